//! A real Postfix as the destination, in a private configuration of its own: it takes, refuses, defers, and talks TLS.
//!
//! Nothing of the machine's own mail set-up is touched: own folders, own address, own log; Debian's and Ubuntu's paths.

use std::{
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use crate::{
    program::{find, is_root, run},
    support::{Client, Config, Place, Relay, client::letter, place, tls::Authority, until},
};

const PORT: u16 = 2525;

/// Services of `master.cf` that relaying into mailboxes needs: name, type, process limit, command.
const SERVICES: &[(&str, &str, &str, &str)] = &[
    ("cleanup", "unix", "0", "cleanup"),
    ("qmgr", "unix", "1", "qmgr"),
    ("tlsmgr", "unix", "1", "tlsmgr"),
    ("rewrite", "unix", "-", "trivial-rewrite"),
    ("bounce", "unix", "0", "bounce"),
    ("defer", "unix", "0", "bounce"),
    ("trace", "unix", "0", "bounce"),
    ("verify", "unix", "1", "verify"),
    ("flush", "unix", "0", "flush"),
    ("proxymap", "unix", "-", "proxymap"),
    ("proxywrite", "unix", "1", "proxymap"),
    ("smtp", "unix", "-", "smtp"),
    ("relay", "unix", "-", "smtp"),
    ("error", "unix", "-", "error"),
    ("retry", "unix", "-", "error"),
    ("discard", "unix", "-", "discard"),
    ("virtual", "unix", "-", "virtual"),
    ("anvil", "unix", "1", "anvil"),
    ("scache", "unix", "1", "scache"),
    ("postlog", "unix-dgram", "1", "postlogd"),
];

/// A running Postfix.
pub struct Postfix {
    files: Place,
    program: PathBuf,
    /// Where it takes mail.
    pub address: std::net::SocketAddr,
}

impl Postfix {
    fn start(program: PathBuf) -> Self {
        Self::start_with(program, "")
    }

    /// One with more lines in its `main.cf`; of two settings of the same name the later one counts.
    pub fn start_with(program: PathBuf, more: &str) -> Self {
        let files = Place::new();
        let address = std::net::SocketAddr::from((place::address(), PORT));
        let dir = files.dir().display().to_string();
        let certificate = Authority::new().certificate(&["mx.ok.test"]);
        files.write("chain.pem", format!("{}{}", certificate.key_pem, certificate.chain_pem));
        let mut master = format!("{address} inet n - n - - smtpd\n");
        for (name, kind, limit, command) in SERVICES {
            let wakeup = if matches!(*name, "qmgr" | "tlsmgr") { "300" } else { "-" };
            // Private but for qmgr and cleanup, unprivileged as shipped, without chroot.
            let private = if matches!(*name, "qmgr" | "cleanup" | "flush" | "postlog") { "n" } else { "-" };
            let unprivileged = if matches!(*name, "virtual" | "postlog") { "n" } else { "-" };
            master.push_str(&format!("{name} {kind} {private} {unprivileged} n {wakeup} {limit} {command}\n"));
        }
        files.write("etc/master.cf", master);
        let main = format!(
            "compatibility_level = 3.6\n\
             queue_directory = {dir}/queue\n\
             data_directory = {dir}/data\n\
             command_directory = /usr/sbin\n\
             daemon_directory = /usr/lib/postfix/sbin\n\
             mail_owner = postfix\n\
             setgid_group = postdrop\n\
             myhostname = mx.ok.test\n\
             mydestination =\n\
             mynetworks = 127.0.0.2/32\n\
             inet_interfaces = 127.0.0.1\n\
             inet_protocols = ipv4\n\
             alias_maps =\n\
             maillog_file = {dir}/mail.log\n\
             maillog_file_prefixes = {dir}\n\
             virtual_mailbox_domains = ok.test\n\
             virtual_mailbox_maps = inline:{{ {{ user@ok.test = user/ }} {{ 飛脚@ok.test = utf8/ }} }}\n\
             virtual_mailbox_base = {dir}/mail\n\
             virtual_uid_maps = static:65534\n\
             virtual_gid_maps = static:65534\n\
             virtual_minimum_uid = 1\n\
             smtpd_peername_lookup = no\n\
             smtpd_relay_restrictions = reject_unauth_destination\n\
             smtpd_recipient_restrictions = check_recipient_access inline:{{ {{ busy@ok.test = 450 4.2.0 mailbox busy }} {{ spam@ok.test = 554 5.7.1 blocked by policy }} }}, permit\n\
             message_size_limit = 1048576\n\
             smtpd_tls_security_level = may\n\
             smtpd_tls_chain_files = {dir}/chain.pem\n\
             smtputf8_enable = yes\n\
             {more}\n",
        );
        files.write("etc/main.cf", main);
        for (name, owner) in [("queue", None), ("data", Some("postfix")), ("mail", Some("nobody"))] {
            let path = files.path(name);
            std::fs::create_dir_all(&path).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
            if let Some(owner) = owner {
                run(Path::new("/bin/chown"), &[owner, path.to_str().unwrap()]).expect_done();
            }
        }
        std::fs::set_permissions(files.dir(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let postfix = Postfix { files, program, address };
        postfix.command("check");
        postfix.command("start");
        until("Postfix", || TcpStream::connect(address).ok());
        postfix
    }

    #[track_caller]
    fn command(&self, verb: &str) {
        let etc = self.files.path("etc");
        run(&self.program, &["-c", etc.to_str().unwrap(), verb]).expect_done();
    }

    /// The mails of a mailbox.
    fn mailbox(&self, name: &str) -> Vec<Vec<u8>> {
        let files = std::fs::read_dir(self.files.path("mail").join(name).join("new")).into_iter().flatten().flatten();
        files.filter_map(|f| std::fs::read(f.path()).ok()).collect()
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        let etc = self.files.path("etc");
        let _ = std::process::Command::new(&self.program)
            .args(["-c", etc.to_str().unwrap_or_default(), "stop"])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .status();
    }
}

#[test]
fn postfix_takes_refuses_and_defers() {
    let Some(program) = find("postfix") else { return };
    if !is_root() {
        return;
    }
    let postfix = Postfix::start(program);
    let relay = Relay::start(Config::smarthost(postfix.address).set("delivery.smarthost_tls", "\"opportunistic\""));
    let mut client = Client::hello(relay.smtp());
    let content = letter("to Postfix", ".dot\r\ncaf\u{e9} and a long line: ").into_bytes();
    let content = [content, vec![b'y'; 900], b"\r\n..\r\n".to_vec()].concat();
    // A notice waits a minute for recipients of the same message that may fail, too: the busy one gets its own message.
    for to in [&["user@ok.test", "nobody@ok.test", "spam@ok.test"][..], &["busy@ok.test"]] {
        client.send("user@ok.test", to, &content).expect("250");
    }

    let done = relay.wait_event("succeeded", "user@ok.test");
    assert!(done.text("tls").starts_with("TLSv1.3"), "{done:?}");
    let unknown = relay.wait_event("failed", "nobody@ok.test");
    assert!(unknown.reply().contains("5.1.1"), "{unknown:?}");
    assert!(relay.wait_event("failed", "spam@ok.test").reply().contains("554 5.7.1"));
    assert!(relay.wait_event("deferred", "busy@ok.test").reply().contains("450 4.2.0 "));

    // The mail, and the notices about the two that failed.
    let mails = until("the mails in the mailbox", || Some(postfix.mailbox("user")).filter(|m| m.len() >= 2));
    let unix: Vec<u8> = content.iter().copied().filter(|b| *b != b'\r').collect();
    assert!(mails.iter().any(|m| m.ends_with(&unix)), "the content is whole");
    let notices: Vec<String> = mails.iter().map(|m| String::from_utf8_lossy(m).into_owned()).collect();
    assert!(notices.iter().any(|t| t.contains("multipart/report") && t.contains("nobody@ok.test")));
}

#[test]
fn postfix_takes_internationalized_addresses_and_large_mail_is_refused_by_size() {
    let Some(program) = find("postfix") else { return };
    if !is_root() {
        return;
    }
    let postfix = Postfix::start(program);
    let relay = Relay::start(Config::smarthost(postfix.address));
    let mut client = Client::hello(relay.smtp());
    client.say("MAIL FROM:<送り主@src.test> SMTPUTF8").expect("250");
    client.say("RCPT TO:<飛脚@ok.test>").expect("250");
    client.data(letter("utf8", "おはよう\r\n").as_bytes()).expect("250");
    relay.wait_event("succeeded", "飛脚@ok.test");
    until("the mail in the mailbox", || (postfix.mailbox("utf8").len() == 1).then_some(()));

    client
        .send(
            "",
            &["user@ok.test"],
            letter("large", &"z".repeat(70).repeat(20_000).replace("zzzzzzzzzz", "zzzzzzzz\r\n")).as_bytes(),
        )
        .expect("250");
    let large = relay.wait_event("failed", "user@ok.test");
    assert!(large.reply().contains("size") || large.reply().contains("5.3.4"), "{large:?}");
}
