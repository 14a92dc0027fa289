//! A signed little internet for tests of DANE and MTA-STS: Knot DNS signs and serves our zones, Unbound validates them, and
//! another program's view of the same names can be asked under a resolv.conf of the test's own.
//!
//! Nothing of the machine is touched: addresses of our own on loopback, port 53 there, files in the test's folder, and a
//! mount namespace for the program that only knows /etc/resolv.conf.

use std::{
    fmt::Write as _,
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::{
    program::{Server, find, is_root, missing, run},
    support::{Place, Ran, cli::run_command, place, until},
};

/// How long a probe may take.
const PROBE_LIMIT: Duration = Duration::from_secs(60);

/// How the resolver sees a zone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trust {
    /// Signed, and the resolver has its key.
    Signed,
    /// Not signed.
    Unsigned,
    /// Signed, and the resolver expects another key: its answers are bogus.
    Bogus,
    /// Signed under a parent that vouches for another key: its answers are bogus.
    BogusBelow,
    /// Its name server does not answer.
    Dark,
}

/// A zone.
pub struct Zone {
    /// Its name.
    pub name: &'static str,
    /// What the resolver makes of it.
    pub trust: Trust,
    /// Its records, without SOA and NS.
    pub records: String,
}

/// Knot and Unbound, running.
pub struct SignedDns {
    files: Place,
    resolver: SocketAddr,
    _servers: [Server; 2],
}

impl SignedDns {
    /// Starts both with these zones; `None`: something is missing, which was said.
    pub fn start(zones: &[Zone]) -> Option<Self> {
        let (knotd, keymgr, unbound) = (find("knotd")?, find("keymgr")?, find("unbound")?);
        find("unshare")?;
        if !is_root() {
            return None;
        }
        let files = Place::new();
        let authority = SocketAddr::from((place::address(), 53));
        let resolver = SocketAddr::from((place::address(), 53));
        let dead = SocketAddr::from((place::address(), 53));
        let config = knot_files(&files, zones, authority);
        let mut knot = Server::start(&knotd, &["-c", &config], &files.path("knot.log"));
        ready(&mut knot, "knotd", &files.path("knot.log"), "server started", authority);
        let config = unbound_files(&files, zones, &keymgr, &config, authority, dead);
        files.write("resolv.conf", format!("nameserver {}\noptions edns0 trust-ad\n", resolver.ip()));
        let config = files.write("unbound.conf", config.replace("RESOLVER", &format!("{}@53", resolver.ip())));
        let mut server = Server::start(&unbound, &["-d", "-c", config.to_str()?], &files.path("unbound.log"));
        ready(&mut server, "unbound", &files.path("unbound.log"), "start of service", resolver);
        Some(SignedDns { files, resolver, _servers: [knot, server] })
    }

    /// The validating resolver.
    pub fn resolver(&self) -> SocketAddr {
        self.resolver
    }

    /// The test's folder.
    pub fn files(&self) -> &Place {
        &self.files
    }

    /// Runs a program that takes its resolver from /etc/resolv.conf.
    #[track_caller]
    pub fn run(&self, program: &Path, words: &[&str], variables: &[(&str, &str)]) -> Ran {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c"]);
        command.arg("mount --bind \"$0\" /etc/resolv.conf && exec \"$@\"");
        command.arg(self.files.path("resolv.conf")).arg(program).args(words);
        for (name, value) in variables {
            command.env(name, value);
        }
        run_command(command, b"", PROBE_LIMIT)
    }
}

/// Its log says that it serves, and its port is open.
#[track_caller]
fn ready(server: &mut Server, name: &str, log: &Path, says: &str, at: SocketAddr) {
    until(name, || {
        let text = std::fs::read_to_string(log).unwrap_or_default();
        assert!(!server.ended(), "{name} ended: {text}");
        text.contains(says).then(|| TcpStream::connect(at).ok()).flatten()
    });
}

/// Writes zones and config; answers the config's path.
fn knot_files(files: &Place, zones: &[Zone], at: SocketAddr) -> String {
    let dir = files.dir().display().to_string();
    let mut config = format!(
        "server:\n    rundir: \"{dir}\"\n    listen: [ {}@{} ]\ndatabase:\n    storage: \"{dir}/db\"\n\
         log:\n  - target: stderr\n    any: info\n\
         policy:\n  - id: ours\n    algorithm: ecdsap256sha256\n    single-type-signing: on\n    nsec3: off\n\
         template:\n  - id: default\n    storage: \"{dir}\"\n    file: \"%s.zone\"\n    zonefile-sync: -1\n    \
         zonefile-load: difference-no-serial\n    journal-content: all\nzone:\n",
        at.ip(),
        at.port()
    );
    std::fs::create_dir_all(files.path("db")).expect("the place's folder can be written");
    for zone in zones.iter().filter(|z| z.trust != Trust::Dark) {
        let head = format!(
            "$ORIGIN {}.\n$TTL 60\n@ SOA ns hostmaster 1 3600 600 86400 5\n@ NS ns\nns A {}\n",
            zone.name,
            at.ip()
        );
        files.write(&format!("{}.zone", zone.name), head + &zone.records);
        let _ = writeln!(config, "  - domain: {}", zone.name);
        if zone.trust != Trust::Unsigned {
            config.push_str("    dnssec-signing: on\n    dnssec-policy: ours\n");
        }
    }
    files.write("knot.conf", config).to_str().expect("the place's path is text").to_owned()
}

/// The keys that the resolver trusts, and its config.
fn unbound_files(
    files: &Place,
    zones: &[Zone],
    keymgr: &Path,
    knot: &str,
    authority: SocketAddr,
    dead: SocketAddr,
) -> String {
    let dir = files.dir().display();
    let mut anchors = String::new();
    let mut config = format!(
        "server:\n    directory: \"{dir}\"\n    username: \"\"\n    chroot: \"\"\n    pidfile: \"{dir}/unbound.pid\"\n    \
         use-syslog: no\n    logfile: \"\"\n    verbosity: 1\n    interface: RESOLVER\n    do-not-query-localhost: no\n    \
         module-config: \"validator iterator\"\n    trust-anchor-file: \"{dir}/anchors\"\n    local-zone: \"test.\" nodefault\n    \
         cache-max-negative-ttl: 5\n    infra-host-ttl: 5\n"
    );
    for zone in zones {
        match zone.trust {
            Trust::Signed => {
                let keys = until("a signed zone", || {
                    let ran = run(keymgr, &["-c", knot, zone.name, "ds"]);
                    (ran.code == 0 && !ran.stdout.trim().is_empty()).then_some(ran.stdout)
                });
                // `zone. DS tag algorithm digest-type digest`; SHA-256 is type 2.
                anchors.extend(keys.lines().filter(|l| l.split(' ').nth(4) == Some("2")).map(|l| format!("{l}\n")));
            }
            Trust::Bogus => {
                let _ = writeln!(anchors, "{}. DS 12345 13 2 {}", zone.name, "0".repeat(64));
            }
            Trust::Unsigned => {
                let _ = writeln!(config, "    domain-insecure: \"{}\"", zone.name);
            }
            // Their parents say.
            Trust::BogusBelow | Trust::Dark => {}
        }
    }
    config.push_str("remote-control:\n    control-enable: no\n");
    for zone in zones {
        let at = if zone.trust == Trust::Dark { dead } else { authority };
        let _ = write!(
            config,
            "stub-zone:\n    name: \"{}\"\n    stub-addr: {}@{}\n    stub-no-cache: yes\n",
            zone.name,
            at.ip(),
            at.port()
        );
    }
    assert!(!anchors.is_empty(), "keymgr told no key");
    files.write("anchors", anchors);
    config
}

/// Postfix's probe of a destination's TLS, with a config of its own.
pub struct Finger {
    program: PathBuf,
    config: String,
}

/// What the probe found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fingered {
    /// TLS, and the certificate is the one that DANE asks for.
    Verified,
    /// TLS, and the certificate proves nothing.
    Unverified,
    /// No session under TLS that satisfies DANE: mail waits.
    Refused,
}

impl Finger {
    /// Finds it; `None`: it is missing, which was said.
    pub fn find(dns: &SignedDns) -> Option<Self> {
        let program = find("posttls-finger")?;
        let dir = dns.files().dir().display();
        let main = format!(
            "compatibility_level = 3.6\nmyhostname = probe.test\nqueue_directory = {dir}\ndata_directory = {dir}\n\
             mail_owner = postfix\nalias_maps =\ninet_protocols = ipv4\n"
        );
        dns.files().write("finger/main.cf", main);
        let config = dns.files().path("finger").to_str()?.to_owned();
        let finger = Finger { program, config };
        let can_mount = dns.run(Path::new("/bin/true"), &[], &[]);
        if can_mount.code != 0 {
            missing(&format!("a mount namespace cannot be made: {}", can_mount.stderr.trim()));
            return None;
        }
        Some(finger)
    }

    /// Probes a domain at this port, at the level that uses DANE where there is some; with the probe's words.
    #[track_caller]
    pub fn probe(&self, dns: &SignedDns, domain: &str, port: u16) -> (Fingered, String) {
        let target = format!("{domain}:{port}");
        let at_level = |level: &str| {
            let words = ["-c", "-l", level, "-t", "10", "-T", "10", "-L", "summary,untrusted", &target];
            dns.run(&self.program, &words, &[("MAIL_CONFIG", &self.config)]).all()
        };
        let said = at_level("dane");
        let established = |said: &str, how: &str| said.contains(&format!("{how} TLS connection established"));
        if established(&said, "Verified") {
            return (Fingered::Verified, said);
        }
        if established(&said, "Trusted") || established(&said, "Anonymous") {
            return (Fingered::Unverified, said);
        }
        if !established(&said, "Untrusted") {
            return (Fingered::Refused, said);
        }
        // It reports what it found, and goes on. Where there are usable records, a client that sends mail would not: the
        // level that insists on records tells whether there are any.
        let insists = at_level("dane-only");
        let none = said.contains("all TLSA records unusable") || insists.contains("no TLSA records found");
        let found = if none { Fingered::Unverified } else { Fingered::Refused };
        (found, said + &insists)
    }
}
