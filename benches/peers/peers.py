"""What the measuring scripts share: the two relays, who pays for the CPU, and the plain sink and source.

Everything is bounded in time and stays on 127.0.0.0/8.
"""
import json, os, pwd, re, shutil, signal, socket, subprocess, sys, tempfile, time, urllib.request
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
TICK, PAGE = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")


def tool(name):
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not found:
        sys.exit(f"{name} is missing: apt-get install postfix (it brings smtp-source, smtp-sink and the peer)")
    return found


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_port(port, what, limit=30):
    end = time.monotonic() + limit
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    sys.exit(f"{what} does not listen on 127.0.0.1:{port}")


# ---- billing: a control group where the machine has them, else the tree of processes ----
class Bill:
    def __init__(self, name):
        self.name, self.dir, self.root = f"hky-bench-{name}", None, None
        for base, usage in (("/sys/fs/cgroup/cpuacct", "cpuacct.usage"), ("/sys/fs/cgroup", "cpu.stat")):
            try:
                path = Path(base) / self.name
                path.mkdir(exist_ok=True)
                if (path / usage).exists():
                    self.dir, self.usage = path, usage
                    break
                path.rmdir()
            except OSError:
                pass

    def enter(self):
        """In the child, before it becomes the server."""
        if self.dir:
            (self.dir / "cgroup.procs").write_text(str(os.getpid()))

    def env(self):
        return {"SRV_CG": self.name} if self.dir else {"SRV_PIDS": str(self.root)}

    def pids(self):
        if self.dir:
            return [int(p) for p in (self.dir / "cgroup.procs").read_text().split()]
        parents, tree, todo = {}, [], [self.root]
        for d in filter(str.isdigit, os.listdir("/proc")):
            try:
                stat = Path(f"/proc/{d}/stat").read_text()
                parents.setdefault(int(stat[stat.rindex(")") + 2:].split()[1]), []).append(int(d))
            except OSError:
                pass
        while todo:
            pid = todo.pop()
            tree.append(pid)
            todo += parents.get(pid, [])
        return tree

    def cpu(self):
        if self.dir and self.usage == "cpuacct.usage":
            return int((self.dir / self.usage).read_text()) / 1e9
        if self.dir:
            return int(re.search(r"usage_usec (\d+)", (self.dir / self.usage).read_text())[1]) / 1e6
        total = 0
        for pid in self.pids():
            try:
                stat = Path(f"/proc/{pid}/stat").read_text()
                # Children that have ended are counted with their parent.
                total += sum(int(n) for n in stat[stat.rindex(")") + 2:].split()[11:15])
            except OSError:
                pass
        return total / TICK

    def rss_mib(self):
        total = 0
        for pid in self.pids():
            try:
                total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
            except OSError:
                pass
        return total / 2**20

    def close(self):
        for _ in range(50):
            try:
                if self.dir:
                    self.dir.rmdir()
                return
            except OSError:
                time.sleep(0.1)


# ---- the two relays ----
class Hikyaku:
    name = "hikyaku"

    def __init__(self, work, sink_port, binary, routes=(), more=""):
        """`routes`: domains that go elsewhere than to the sink: (domain, address, port). `more`: further lines of the config."""
        self.port, self.bill, self.http, self.binary = free_port(), Bill(self.name), free_port(), binary
        work.mkdir()
        self.config = config = work / "config.toml"
        rules = "".join(f"""
[[delivery.rule]]
name = "{domain}"
recipients = ['@{re.escape(domain)}$']
smarthost = "{address}:{port}"
""" for domain, address, port in routes)
        config.write_text(f"""
[server]
hostname = "relay.test"
data_dir = "{work}/data"
[[listener]]
address = "127.0.0.1:{self.port}"
[delivery]
mode = "smarthost"
smarthost = "127.0.0.1:{sink_port}"
smarthost_tls = "none"
connections_per_destination = 50
[http]
address = "127.0.0.1:{self.http}"
public_url = "http://127.0.0.1:{self.http}"
{rules}{more}""")
        self.log = work / "log"
        self.start()

    def start(self):
        with open(self.log, "ab") as log:
            self.child = subprocess.Popen([self.binary, "serve", "--config", self.config], stdin=subprocess.DEVNULL, stdout=log,
                                          stderr=log, preexec_fn=self.bill.enter, cwd=self.log.parent)
        self.bill.root = self.child.pid
        try:
            wait_port(self.port, "hikyaku")
        except SystemExit:
            sys.exit(f"hikyaku did not start:\n{self.log.read_text()[-2000:]}")

    def flush(self):
        subprocess.run([self.binary, "queue", "flush", "--all", "--config", self.config], capture_output=True, timeout=600)

    def is_deferred(self, messages):
        """Every message was tried, or held back, once."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/metrics", timeout=30) as page:
            found = re.search(r'hikyaku_verdicts_total\{verdict="deferred"\} (\d+)', page.read().decode())
        return found is not None and int(found[1]) >= messages

    def stop(self):
        self.child.send_signal(signal.SIGTERM)
        try:
            self.child.wait(40)
        except subprocess.TimeoutExpired:
            self.child.kill()
        self.bill.close()


class Postfix:
    name = "postfix"

    def __init__(self, work, sink_port, routes=()):
        self.port, self.bill, self.work = free_port(), Bill(self.name), work
        (work / "etc").mkdir(parents=True)
        for part in ("queue", "data"):
            (work / part).mkdir()
        master = next(Path(p) for p in ("/usr/share/postfix/master.cf.dist", "/etc/postfix/master.cf.proto",
                                        "/etc/postfix/master.cf") if Path(p).exists()).read_text()
        master = re.sub(r"(?m)^smtp +inet .*", f"127.0.0.1:{self.port} inet n - n - - smtpd", master)
        master = re.sub(r"(?m)^([a-z0-9-]+ +(?:inet|unix|fifo|unix-dgram) +[yn-] +[-yn] +)y ", r"\1n ", master)
        if not re.search(r"(?m)^postlog ", master):
            master += "postlog unix-dgram n - n - 1 postlogd\n"
        (work / "etc/master.cf").write_text(master)
        (work / "etc/transport").write_text("".join(f"{domain} smtp:[{address}]:{port}\n" for domain, address, port in routes))
        (work / "etc/main.cf").write_text(f"""
compatibility_level = 3.6
queue_directory = {work}/queue
data_directory = {work}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
myhostname = relay.test
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
relayhost = [127.0.0.1]:{sink_port}
alias_maps =
local_recipient_maps =
smtpd_tls_security_level = none
smtp_tls_security_level = none
maillog_file = {work}/mail.log
maillog_file_prefixes = {work}
message_size_limit = 102400000
default_process_limit = 200
default_destination_concurrency_limit = 100
initial_destination_concurrency = 50
in_flow_delay = 0
qmgr_message_active_limit = 100000
qmgr_message_recipient_limit = 100000
smtp_connection_cache_on_demand = yes
smtpd_client_connection_count_limit = 0
smtpd_peername_lookup = no
transport_maps = texthash:{work}/etc/transport
""")
        os.chown(work / "data", pwd.getpwnam("postfix").pw_uid, -1)
        self.program = tool("postfix")
        self.command("check")
        self.command("start", preexec_fn=self.bill.enter)
        pid_file = work / "queue/pid/master.pid"
        self.bill.root = int(pid_file.read_text()) if pid_file.exists() else 0
        wait_port(self.port, "postfix")

    def command(self, verb, **more):
        done = subprocess.run([self.program, "-c", self.work / "etc", verb], capture_output=True, text=True, timeout=60, **more)
        if done.returncode:
            sys.exit(f"postfix {verb}: {done.stderr or done.stdout}")

    def flush(self):
        subprocess.run(["postqueue", "-c", self.work / "etc", "-f"], capture_output=True, timeout=600)

    def is_deferred(self, messages):
        waiting = sum(len(files) for _, _, files in os.walk(self.work / "queue/deferred"))
        return waiting >= messages

    def stop(self):
        subprocess.run([self.program, "-c", self.work / "etc", "stop"], capture_output=True, timeout=60)
        self.bill.close()


# ---- load ----
class Sink:
    """smtp-sink with its running counter in memory."""

    def __init__(self, port):
        self.file = tempfile.NamedTemporaryFile(dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        self.child = subprocess.Popen([tool("smtp-sink"), "-c", *user, f"127.0.0.1:{port}", "1000"],
                                      stdout=self.file, stderr=subprocess.PIPE, cwd="/tmp")
        wait_port(port, "smtp-sink")

    def count(self):
        size = os.fstat(self.file.fileno()).st_size
        found = re.findall(rb"mesg=(\d+)\r", os.pread(self.file.fileno(), 200, max(0, size - 200)))
        return int(found[-1]) if found else 0

    def close(self):
        self.child.terminate()
        self.child.wait(10)
        self.file.close()


def source(port, octets, sessions, messages, flags):
    words = [tool("smtp-source"), "-s", sessions, "-l", octets, "-m", messages, "-f", "a@src.example", "-t", "b@dst.example"]
    return [str(w) for w in words] + flags.split() + [f"127.0.0.1:{port}"]
