//! Keys are made, published, put in force and replaced, whatever happens to the daemon in between.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use hikyaku::{
    clock::Clock,
    config,
    dkim::verify::{DkimResult, verify},
    mail::header::find_end,
    metrics::Metrics,
    net::dns::Resolver,
};
use rustix::process::Signal;

use crate::support::{Act, Client, Config, Dns, Received, Relay, Sink, Step, until};

const DOMAIN: &str = "src.test";

struct Rig {
    dns: Dns,
    sink: Sink,
    relay: Relay,
    mails: usize,
}

impl Rig {
    /// `None`: port 53 cannot be used here, which was said.
    fn start(more: &str) -> Option<Self> {
        Rig::with(Sink::willing(), more)
    }

    fn with(sink: Sink, more: &str) -> Option<Self> {
        let dns = Dns::authority()?;
        let std::net::IpAddr::V4(ip) = dns.address().ip() else { panic!("an IPv4 address") };
        let dns = dns.ns(DOMAIN, "ns.src.test").a("ns.src.test", ip);
        let server = format!("[\"{}\"]", dns.address());
        let config = Config::smarthost(sink.address())
            .set("dns.servers", &server)
            .set("dkim.resolvers", &server)
            .text(&format!("[[domain]]\nname = \"{DOMAIN}\"\n{more}"));
        let relay = Relay::start(config);
        Some(Rig { dns, sink, relay, mails: 0 })
    }

    /// The keys, as `dkim-rotate` with these words tells them.
    #[track_caller]
    fn rotate(&self, words: &[&str]) -> Vec<serde_json::Value> {
        let all = [&["domain", "dkim-rotate", DOMAIN, "--json"], words].concat();
        let ran = self.relay.cli(&all);
        // 1: there is none yet.
        assert!(ran.code == 0 || ran.code == 1 && ran.stdout.is_empty() && ran.stderr.is_empty(), "{}", ran.all());
        ran.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    /// `selector state` of each key.
    #[track_caller]
    fn keys(&self) -> Vec<String> {
        let text = |key: &serde_json::Value, field: &str| key[field].as_str().unwrap_or_default().to_owned();
        let keys = self.rotate(&["--status"]);
        keys.iter().map(|key| format!("{} {}", text(key, "selector"), text(key, "state"))).collect()
    }

    /// Sends a mail and says who signed it, as a receiver sees it that asks the DNS.
    #[track_caller]
    fn signers(&mut self) -> Vec<String> {
        self.mails += 1;
        let to = format!("reader{}@dst.test", self.mails);
        let mail = format!(
            "From: a@{DOMAIN}\r\nTo: {to}\r\nSubject: hello\r\nMessage-ID: <{}@{DOMAIN}>\r\n\r\nhello\r\n",
            self.mails
        );
        Client::hello(self.relay.smtp()).send("a@src.test", &[&to], mail.as_bytes()).expect("250");
        self.verified(&self.sink.wait_for_recipient(&to))
    }

    fn verified(&self, mail: &Received) -> Vec<String> {
        let dns = config::Dns { servers: vec![self.dns.address()], trusted: Vec::new() };
        let resolver = Resolver::new(Clock::system(), Arc::new(Metrics::default()), &dns);
        let (head, body) = mail.content.split_at(find_end(&mail.content, 0).unwrap_or(mail.content.len()));
        let found = smol::block_on(verify(head, body, &resolver, Clock::system().now()));
        let words = |v: &hikyaku::dkim::verify::Verified| match v.result {
            DkimResult::Pass => format!("pass {}", v.selector),
            other => format!("{other:?} {}: {}", v.selector, v.why),
        };
        found.iter().map(words).collect()
    }

    /// The record that a key wants, published.
    fn publish(&self, key: &serde_json::Value) {
        self.dns.set_txt(key["record_name"].as_str().expect("a name"), key["record"].as_str().expect("a record"));
    }
}

#[test]
fn a_key_of_the_command_is_taken_by_the_config_and_replaced_by_a_rotation_through_deaths() {
    let Some(mut rig) = Rig::start("") else { return };
    assert_eq!(rig.signers(), Vec::<String>::new());
    // A key of the config.
    let ran = rig.relay.cli(&["domain", "dkim-new", DOMAIN, "--selector", "file1", "--json"]).expect_done();
    let made: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    let file = made["private_key"].as_str().expect("a path");
    assert_eq!(fs::metadata(file).expect("it is there").permissions().mode() & 0o7777, 0o600);
    rig.dns.set_txt("file1._domainkey.src.test", made["record"]["value"].as_str().expect("a record"));
    let lines = made["config"].as_str().expect("lines").to_owned();
    rig.relay.reconfigure(|config| config.text(&lines));
    rig.relay.signal(Signal::HUP);
    until("the key in force", || rig.keys().first().cloned().filter(|key| key == "file1 active"));
    assert_eq!(rig.signers(), ["pass file1"]);

    // A rotation: the daemon dies before anything is published, and again when all is.
    let keys = rig.rotate(&["--selector", "next1"]);
    assert_eq!((keys[1]["selector"].as_str(), keys[1]["state"].as_str()), (Some("next1"), Some("pending")));
    assert_eq!(keys[1]["servers"][0]["says"], "absent");
    rig.relay.kill();
    rig.relay.restart();
    assert_eq!(rig.keys(), ["file1 active", "next1 pending"]);
    assert_eq!(rig.rotate(&["--status"])[1]["record"], keys[1]["record"], "the very key");
    assert_eq!(rig.signers(), ["pass file1"]);
    // Published by a form that knows one string only.
    let record = keys[1]["record"].as_str().expect("a record").to_owned();
    rig.dns.set_txt("next1._domainkey.src.test", &record[..255]);
    let told = rig.relay.cli(&["domain", "dkim-rotate", DOMAIN]).expect_done().all();
    assert!(told.contains("has the record cut off after 255 characters"), "{told}");
    rig.publish(&keys[1]);
    let keys = rig.rotate(&[]);
    assert_eq!(keys[1]["state"], "published", "{keys:?}");
    let roles: Vec<&str> =
        keys[1]["servers"].as_array().expect("a list").iter().filter_map(|s| s["role"].as_str()).collect();
    assert_eq!(roles, ["authoritative", "resolver"]);
    rig.relay.kill();
    rig.relay.restart();
    assert_eq!(rig.keys(), ["file1 active", "next1 published"]);
    assert_eq!(rig.signers(), ["pass file1"]);
    // In a hurry: caches are not waited for.
    assert_eq!(rig.rotate(&["--now"])[1]["state"], "active");
    assert_eq!(rig.signers(), ["pass next1"]);
    rig.relay.kill();
    rig.relay.restart();
    assert_eq!(rig.keys(), ["file1 retiring", "next1 active"]);
    assert_eq!(rig.signers(), ["pass next1"]);
    // The lines in the config may go, and then nothing changes.
    let told = rig.relay.cli(&["status"]).expect_done().all();
    assert!(told.contains("its lines in the config may be removed"), "{told}");
    rig.relay.reconfigure(|config| config.replace(&lines, ""));
    rig.relay.signal(Signal::HUP);
    until("the lines gone", || {
        let told = rig.relay.cli(&["status"]).expect_done().all();
        (!told.contains("its lines in the config may be removed")).then_some(())
    });
    assert_eq!(rig.signers(), ["pass next1"]);
    assert_eq!(rig.keys(), ["file1 retiring", "next1 active"]);

    let audit = rig.relay.cli(&["log", "audit", "--json"]).expect_done().stdout;
    for act in ["domain.dkim-rotate", "dkim.made", "dkim.published", "dkim.hurried", "dkim.active", "dkim.retiring"] {
        assert!(audit.contains(&format!("\"{act}\"")), "{act}: {audit}");
    }
    let metrics = rig.relay.get("/metrics").expect("metrics").body;
    assert!(
        metrics.contains("hikyaku_dkim_rotations 0\n") && metrics.contains("hikyaku_dkim_key_age_seconds "),
        "{metrics}"
    );
    let log = rig.relay.log();
    assert!(log.contains("act=dkim.active domain=src.test selector=next1"), "{log}");
    assert!(!log.contains("PRIVATE") && !audit.contains("PRIVATE"));
}

#[test]
fn a_rotation_is_given_up_and_turned_back_and_a_lost_record_is_an_alarm() {
    let Some(mut rig) = Rig::start("") else { return };
    let first = rig.rotate(&["--algorithm", "ed25519", "--selector", "one", "--now"]);
    rig.publish(&first[0]);
    assert_eq!(rig.rotate(&["--algorithm", "ed25519"])[0]["state"], "active");
    assert_eq!(rig.signers(), ["pass one"]);
    // Given up before it signs.
    rig.rotate(&["--algorithm", "ed25519", "--selector", "two"]);
    let left = rig.rotate(&["--abort"]);
    assert_eq!((left.len(), left[0]["selector"].as_str()), (1, Some("one")));
    // Turned back after it signed: the record of the one that signed for a while has to stay.
    let second = rig.rotate(&["--algorithm", "ed25519", "--selector", "three", "--now"]);
    rig.publish(second.iter().find(|key| key["selector"] == "three").expect("the new one"));
    rig.rotate(&["--algorithm", "ed25519"]);
    assert_eq!(rig.keys(), ["one retiring", "three active"]);
    assert_eq!(rig.signers(), ["pass three"]);
    rig.rotate(&["--abort"]);
    assert_eq!(rig.keys(), ["one active", "three retiring"]);
    assert_eq!(rig.signers(), ["pass one"]);
    // Somebody removes the record of the key that signs.
    rig.dns.set_txt("one._domainkey.src.test", "");
    assert!(rig.relay.stop().success(), "{}", rig.relay.log());
    rig.relay.restart();
    until("an alarm", || {
        let told = rig.relay.cli(&["status"]).expect_done().all();
        told.contains("! src.test one (Ed25519, active): its record has been missing or wrong").then_some(())
    });
    rig.relay.wait_log("act=dkim.record-missing domain=src.test selector=one");
    let kept = rig.relay.cli(&["find", "reader1@dst.test"]).expect_done();
    assert!(!kept.stdout.is_empty());
    // It signs all the same.
    rig.mails += 1;
    let to = format!("reader{}@dst.test", rig.mails);
    let mail = format!("From: a@{DOMAIN}\r\nTo: {to}\r\nSubject: hello\r\n\r\nhello\r\n");
    Client::hello(rig.relay.smtp()).send("a@src.test", &[&to], mail.as_bytes()).expect("250");
    assert!(rig.sink.wait_for_recipient(&to).text().contains("s=one;"));
}

#[test]
fn a_key_does_not_retire_while_mail_that_it_signed_waits_or_is_held() {
    let open = Arc::new(AtomicBool::new(false));
    let opened = open.clone();
    let sink = Sink::scripted(move |m| match m.step {
        Step::Rcpt if !opened.load(Ordering::SeqCst) => Act::reply("451 4.2.0 later"),
        _ => Act::Normal,
    });
    let Some(rig) = Rig::with(sink, "") else { return };
    let ed = ["--algorithm", "ed25519"];
    let first = rig.rotate(&[&ed[..], &["--selector", "one", "--now"]].concat());
    rig.publish(&first[0]);
    assert_eq!(rig.rotate(&ed)[0]["state"], "active");
    let to = "slow@dst.test";
    let mail = format!("From: a@{DOMAIN}\r\nTo: {to}\r\nSubject: hello\r\n\r\nhello\r\n");
    let id = Client::hello(rig.relay.smtp()).send("a@src.test", &[to], mail.as_bytes()).expect("250").queue_id();
    rig.relay.wait_event("deferred", to);
    let second = rig.rotate(&[&ed[..], &["--selector", "two", "--now"]].concat());
    rig.publish(&second[1]);
    rig.rotate(&ed);
    assert_eq!(rig.keys(), ["one retiring", "two active"]);
    let next = || rig.rotate(&["--look"])[0]["next"].as_str().expect("words").to_owned();
    assert!(next().contains("mail that it may have signed still waits"), "{}", next());
    // Held mail waits for longer than any lifetime.
    rig.relay.cli(&["queue", "hold", "--recipient", "slow@"]).expect_done();
    assert!(next().contains("still waits"), "{}", next());
    rig.relay.cli(&["queue", "release", "--recipient", "slow@"]).expect_done();
    open.store(true, Ordering::SeqCst);
    rig.relay.wait_event("succeeded", to);
    assert!(next().starts_with("retires in 7d"), "{}", next());
    // It went out as it was signed, and its record is there for whoever looks now.
    assert_eq!(rig.verified(&rig.sink.wait_for_recipient(to)), ["pass one"], "{id}");
}
