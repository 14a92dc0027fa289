//! Mail whose header From has a key leaves signed: verified as a receiver would, with the same octets at every try, whatever
//! happens in between; and what cannot be signed says why.

use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    time::Duration,
};

use hikyaku::{
    clock::Clock,
    dkim::{
        key::{Algorithm, SigningKey},
        verify::{DkimResult, verify},
    },
    lookup::{Answer, Asking, DnsError, Lookup, MxRecord, Tlsa},
    mail::header::find_end,
};
use rustix::process::Signal;

use crate::support::{Act, Client, Config, Dns, Place, Received, Relay, Sink, Step, place, sink::Options, until};

const TO: &str = "someone@dst.test";
const MAIL: &str = "From: Sender <sender@src.test>\r\nTo: someone@dst.test\r\nSubject: signed\r\n\
                    Date: Tue, 24 Nov 2026 10:00:00 +0900\r\nMessage-ID: <one@src.test>\r\n\r\n.Good morning.\r\n\r\n\r\n";

/// Keys on disk, and the records that belong to them.
struct Keys {
    files: Place,
    records: BTreeMap<String, String>,
    text: String,
}

impl Keys {
    fn new() -> Self {
        Keys { files: Place::new(), records: BTreeMap::new(), text: String::new() }
    }

    /// A domain with a key for each of these selectors: RSA where the name begins with r, else Ed25519.
    fn domain(mut self, domain: &str, selectors: &[&str]) -> Self {
        self.text += &format!("[[domain]]\nname = \"{domain}\"\n");
        for selector in selectors {
            let path = self.key(domain, selector);
            self.text += &format!("[[domain.dkim]]\nselector = \"{selector}\"\nprivate_key = \"{}\"\n", path.display());
        }
        self
    }

    /// Makes a key and publishes it.
    fn key(&mut self, domain: &str, selector: &str) -> PathBuf {
        let algorithm = if selector.starts_with('r') { Algorithm::RsaSha256 } else { Algorithm::Ed25519Sha256 };
        let (key, secret) = SigningKey::generate(algorithm, 2048).expect("a key");
        let pem = SigningKey::pem_of(secret.reveal());
        let path = self.files.write(&format!("{domain}.{selector}.pem"), pem.reveal());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("its owner's alone");
        self.records.insert(format!("{selector}._domainkey.{domain}"), key.record());
        path
    }

    /// Who signed, as a receiver sees it: `pass d/s` or what else it is.
    fn verify(&self, content: &[u8]) -> Vec<String> {
        let (head, body) = content.split_at(find_end(content, 0).unwrap_or(content.len()));
        let records = Records(self.records.clone());
        let found = smol::block_on(verify(head, body, &records, Clock::system().now()));
        let words = |v: &hikyaku::dkim::verify::Verified| match v.result {
            DkimResult::Pass => format!("pass {}/{}", v.domain, v.selector),
            other => format!("{other:?} {}/{}: {}", v.domain, v.selector, v.why),
        };
        found.iter().map(words).collect()
    }
}

/// The DNS of the receiver.
struct Records(BTreeMap<String, String>);

fn nothing<'a, T: Send + 'a>() -> Asking<'a, T> {
    Box::pin(std::future::ready(Answer { records: Err(DnsError::NxDomain), secure: false, ttl: Duration::ZERO }))
}

impl Lookup for Records {
    fn txt<'a>(&'a self, name: &'a str) -> Asking<'a, String> {
        let records = self.0.get(name).map(|text| vec![text.clone()]).ok_or(DnsError::NxDomain);
        Box::pin(std::future::ready(Answer { records, secure: false, ttl: Duration::ZERO }))
    }
    fn mx<'a>(&'a self, _: &'a str) -> Asking<'a, MxRecord> {
        nothing()
    }
    fn a<'a>(&'a self, _: &'a str) -> Asking<'a, Ipv4Addr> {
        nothing()
    }
    fn aaaa<'a>(&'a self, _: &'a str) -> Asking<'a, Ipv6Addr> {
        nothing()
    }
    fn ptr(&self, _: IpAddr) -> Asking<'_, String> {
        nothing()
    }
    fn ns<'a>(&'a self, _: &'a str) -> Asking<'a, String> {
        nothing()
    }
    fn tlsa<'a>(&'a self, _: &'a str) -> Asking<'a, Tlsa> {
        nothing()
    }
}

#[track_caller]
fn send(relay: &Relay, to: &[&str], mail: &[u8]) -> String {
    Client::hello(relay.smtp()).send("sender@src.test", to, mail).expect("250").queue_id()
}

/// A sample of `/metrics`.
#[track_caller]
fn metric(relay: &Relay, name: &str) -> u64 {
    let text = relay.get("/metrics").expect("metrics").body;
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("hikyaku_{name} ")));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().expect("a number")
}

/// The header fields above the stored message.
fn lead(mail: &Received) -> String {
    let text = mail.text();
    text.split_once("Received:").unwrap_or_else(|| panic!("no Received in {text}")).0.to_owned()
}

fn size(mail: &Received) -> usize {
    let words = mail.mail_line.split(' ').find_map(|word| word.strip_prefix("SIZE="));
    words.unwrap_or_else(|| panic!("no SIZE in {}", mail.mail_line)).parse().expect("a number")
}

#[test]
fn mail_is_signed_by_each_key_of_its_domain_and_is_untouched_below() {
    let keys = Keys::new().domain("src.test", &["ed1", "rsa1"]);
    let sink = Sink::willing();
    let relay = Relay::start(Config::smarthost(sink.address()).text(&keys.text));
    send(&relay, &["one@dst.test", "two@dst.test"], MAIL.as_bytes());
    let copies = sink.wait_for(1);
    assert_eq!(copies[0].recipients.len(), 2, "they share a transaction");
    let text = copies[0].text();
    assert_eq!(keys.verify(&copies[0].content), ["pass src.test/rsa1", "pass src.test/ed1"], "{text}");
    assert!(text.starts_with("DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=src.test;"), "{text}");
    assert!(text.ends_with(MAIL), "R8: {text}");
    assert_eq!(size(&copies[0]), copies[0].content.len(), "SIZE counts the signatures");
    // What somebody adds on the way spoils it; what he changes, too.
    for (from, to) in [("Received:", "From: boss@src.test\r\nReceived:"), ("Good", "Bad"), (": signed", ": Signed")] {
        let changed = text.replacen(from, to, 1);
        let worth = keys.verify(changed.as_bytes());
        assert!(!worth.is_empty() && worth.iter().all(|w| !w.starts_with("pass")), "{from}: {worth:?}");
    }
    relay.wait_event("succeeded", "two@dst.test");
    assert_eq!((metric(&relay, "dkim_signed_total"), metric(&relay, "store_leads")), (1, 0));
    assert_eq!(metric(&relay, "dkim_queue"), 0);
    let told = relay.cli(&["explain", TO, "--from", "a@sub.SRC.test"]).expect_done().all();
    for words in ["d=src.test s=rsa1 (rsa-sha256, 2048 bits)", "s=ed1 (ed25519-sha256, 256 bits)"] {
        assert!(told.contains(words), "{told}");
    }
}

#[test]
fn who_signs_is_decided_by_the_header_from() {
    let keys = Keys::new().domain("src.test", &["p1"]).domain("shop.src.test", &["s1"]).domain("bare.test", &[]);
    let sink = Sink::willing();
    let relay = Relay::start(Config::smarthost(sink.address()).text(&keys.text));
    let cases: &[(&str, &[&str], &str)] = &[
        ("From: a@src.test\r\n", &["pass src.test/p1"], ""),
        ("From: =?UTF-8?B?44GC?= <a@mail.SRC.test>\r\n", &["pass src.test/p1"], ""),
        ("From: a@deep.shop.src.test\r\n", &["pass shop.src.test/s1"], ""),
        ("From: a@bare.test\r\n", &[], "no_key"),
        ("From: a@notsrc.test\r\n", &[], "no_key"),
        ("From: a@src.test\r\nFrom: b@src.test\r\n", &[], "several_from"),
        ("Subject: nobody's\r\n", &[], "no_from"),
        ("From: nobody\r\n", &[], "no_from"),
    ];
    for (n, (from, expected, reason)) in cases.iter().enumerate() {
        let to = format!("case{n}@dst.test");
        let before = |reason: &str| match reason {
            "" => 0,
            reason => metric(&relay, &format!("dkim_unsigned_total{{reason=\"{reason}\"}}")),
        };
        let count = before(reason);
        let id = send(&relay, &[&to], format!("{from}To: {to}\r\nX: 1\r\n\r\nhello\r\n").as_bytes());
        let copy = sink.wait_for_recipient(&to);
        assert_eq!(keys.verify(&copy.content), *expected, "{from}: {}", copy.text());
        if !reason.is_empty() {
            assert!(!copy.text().contains("DKIM-Signature"), "{from}");
            assert_eq!(before(reason), count + 1, "{from}");
        }
        if matches!(*reason, "several_from" | "no_from") {
            let line = format!("message={id} dkim=unsigned reason=");
            assert_eq!(relay.log().matches(&line).count(), 1, "{from}: {}", relay.log());
        }
    }
    let told = relay.cli(&["explain", TO, "--from", "a@bare.test"]).expect_done().all();
    assert!(told.contains("not signed: neither the domain of its header From nor a parent has a key"), "{told}");
}

/// What happens between two tries of a mail whose first answer was lost.
#[derive(Clone, Copy, PartialEq)]
enum Between {
    Nothing,
    Stop,
    Kill,
}

/// Both copies that a sink saw of a mail, the first of which it kept without saying so.
fn two_tries(between: Between, lists: bool) -> (Keys, Vec<Received>) {
    let keys = Keys::new().domain("src.test", &["rsa1", "ed1"]);
    let sink = Sink::scripted(|m| match m.step {
        Step::Content if m.nth == 0 => Act::KeepAndHangUp,
        _ => Act::Normal,
    });
    let mut config = Config::smarthost(sink.address()).set("queue.retry_schedule", "[\"4s\"]").text(&keys.text);
    let mut mail = MAIL.to_owned();
    if lists {
        let endpoint: SocketAddr = (place::address(), 8030).into();
        config = config
            .set("unsubscribe.address", &format!("\"{endpoint}\""))
            .set("unsubscribe.public_url", &format!("\"http://{endpoint}\""))
            .text("[[unsubscribe.filter]]\nname = \"News\"\nheader = \"List-Id\"\npattern = \"<news.src.test>\"\n");
        mail = format!("List-Id: <news.src.test>\r\n{mail}");
    }
    let mut relay = Relay::start(config);
    let id = send(&relay, &[TO], mail.as_bytes());
    let deferred = relay.wait_event("deferred", TO);
    assert!(deferred.possible_duplicate(), "{deferred:?}");
    assert_eq!(metric(&relay, "store_leads"), 1);
    let facts = relay.cli(&["find", &id]).expect_done().all();
    let kept = "signed at its first try: d=src.test s=rsa1 (rsa-sha256); d=src.test s=ed1 (ed25519-sha256); it stays";
    assert!(facts.contains(kept), "{facts}");
    if between != Between::Nothing {
        match between {
            Between::Stop => assert!(relay.stop().success(), "{}", relay.log()),
            Between::Kill | Between::Nothing => relay.kill(),
        }
        // Nobody could make these signatures again.
        let text = keys.text.clone();
        relay.reconfigure(|config| config.replace(&text, ""));
        relay.restart();
    }
    relay.wait_event("succeeded", TO);
    assert_eq!(metric(&relay, "store_leads"), 0, "gone with the last recipient");
    if between == Between::Nothing {
        assert_eq!(metric(&relay, "dkim_signed_total"), 1, "signed once");
    }
    let copies = sink.wait_for(2);
    assert!(relay.stop().success(), "{}", relay.log());
    relay.cli(&["verify"]).expect_done();
    (keys, copies)
}

#[test]
fn a_later_try_sends_the_same_octets() {
    for between in [Between::Nothing, Between::Stop, Between::Kill] {
        let (keys, copies) = two_tries(between, false);
        assert_eq!(keys.verify(&copies[1].content), ["pass src.test/rsa1", "pass src.test/ed1"]);
        assert!(copies[0].content == copies[1].content, "{}\n--- and\n{}", copies[0].text(), copies[1].text());
        assert_eq!(size(&copies[1]), copies[1].content.len());
    }
}

#[test]
fn a_later_try_of_a_lists_mail_sends_the_same_octets_link_included() {
    for between in [Between::Nothing, Between::Kill] {
        let (keys, copies) = two_tries(between, true);
        let text = copies[1].text();
        assert!(text.contains("List-Unsubscribe:\r\n <http://"), "{text}");
        assert_eq!(keys.verify(&copies[1].content), ["pass src.test/rsa1", "pass src.test/ed1"], "{text}");
        assert!(copies[0].content == copies[1].content, "{}\n--- and\n{text}", copies[0].text());
    }
}

#[test]
fn both_fields_of_a_list_are_signed_and_each_recipient_has_his_own() {
    let keys = Keys::new().domain("src.test", &["ed1"]);
    let sink = Sink::willing();
    let endpoint: SocketAddr = (place::address(), 8030).into();
    let relay = Relay::start(
        Config::smarthost(sink.address())
            .set("unsubscribe.address", &format!("\"{endpoint}\""))
            .set("unsubscribe.public_url", &format!("\"http://{endpoint}\""))
            .text("[[unsubscribe.filter]]\nname = \"News\"\nheader = \"List-Id\"\npattern = \"<news.src.test>\"\n")
            .text(&keys.text),
    );
    send(&relay, &["one@dst.test", "two@dst.test"], format!("List-Id: <news.src.test>\r\n{MAIL}").as_bytes());
    let copies = [sink.wait_for_recipient("one@dst.test"), sink.wait_for_recipient("two@dst.test")];
    for copy in &copies {
        let lead = lead(copy);
        let signature: String = lead.split("List-Unsubscribe:").next().unwrap().split_whitespace().collect();
        let names = signature.split_once("h=").expect("names").1.split(';').next().unwrap();
        for name in ["list-unsubscribe", "list-unsubscribe-post", "list-id", "from"] {
            assert!(names.split(':').any(|n| n == name), "RFC 8058 §4: {name} in {names}");
        }
        assert_eq!(keys.verify(&copy.content), ["pass src.test/ed1"], "{}", copy.text());
        assert_eq!(size(copy), copy.content.len());
    }
    assert_ne!(lead(&copies[0]), lead(&copies[1]));
}

#[test]
fn recipients_of_many_destinations_share_one_signature() {
    let keys = Keys::new().domain("src.test", &["rsa1"]);
    let sink = Options::default().at((place::address(), 2525).into()).start();
    let IpAddr::V4(address) = sink.ip() else { panic!("sinks are at 127.0.0.0/8") };
    let mut dns = Dns::start();
    let to: Vec<String> = (0..12).map(|n| format!("a@d{n}.test")).collect();
    for n in 0..12 {
        dns = dns.a(&format!("d{n}.test"), address);
    }
    let relay = Relay::start(Config::internet(dns.address(), 2525).text(&keys.text));
    send(&relay, &to.iter().map(String::as_str).collect::<Vec<_>>(), MAIL.as_bytes());
    let copies = sink.wait_for(12);
    assert_eq!(keys.verify(&copies[0].content), ["pass src.test/rsa1"]);
    assert!(copies.iter().all(|copy| copy.content == copies[0].content));
    assert_eq!(metric(&relay, "dkim_signed_total"), 1);
}

#[test]
fn a_large_body_is_signed_from_disk() {
    let keys = Keys::new().domain("src.test", &["rsa1"]);
    let sink = Sink::willing();
    let relay = Relay::start(Config::smarthost(sink.address()).text(&keys.text));
    let mut mail = MAIL.as_bytes().to_vec();
    while mail.len() < 3_000_000 {
        mail.extend_from_slice(b".a line with  blanks \t \r\n\r\nand another one\r\n");
    }
    send(&relay, &[TO], &mail);
    let copy = sink.wait_for(1).remove(0);
    assert_eq!(keys.verify(&copy.content), ["pass src.test/rsa1"]);
    assert!(copy.content.ends_with(&mail), "R8");
    assert_eq!(size(&copy), copy.content.len());
}

#[test]
fn our_own_notices_are_signed_and_what_strangers_wrote_is_not() {
    let keys = Keys::new().domain("relay.test", &["ed1"]).domain("src.test", &["ed2"]);
    let sink = Sink::scripted(|m| match m.step {
        Step::Rcpt if m.line.contains("gone@") => Act::reply("550 5.1.1 No such user here"),
        _ => Act::Normal,
    });
    let inbound = SocketAddr::from((place::address(), 2525));
    let relay = Relay::start(
        Config::smarthost(sink.address())
            .set("server.postmaster", "\"admin@office.test\"")
            .listener(&format!("address = \"{inbound}\"\nrole = \"inbound\""))
            .text(&keys.text),
    );
    send(&relay, &["gone@dst.test"], MAIL.as_bytes());
    let notice = until("a notice", || sink.received().into_iter().find(|m| m.sender.is_empty()));
    assert!(notice.text().contains("multipart/report"), "{}", notice.text());
    assert_eq!(keys.verify(&notice.content), ["pass relay.test/ed1"], "{}", notice.text());
    // A stranger's mail in our name, which is passed on to a person: our signature would vouch for it.
    let forged = b"From: The Boss <boss@src.test>\r\nSubject: pay this\r\n\r\nnow\r\n";
    Client::hello(inbound).send("boss@src.test", &["postmaster"], forged).expect("250");
    let passed_on = sink.wait_for_recipient("admin@office.test");
    assert!(!passed_on.text().contains("DKIM-Signature"), "{}", passed_on.text());
    assert_eq!(metric(&relay, "dkim_unsigned_total{reason=\"passed_on\"}"), 1);
}

#[test]
fn keys_change_with_the_config_and_a_bad_one_changes_nothing() {
    let mut keys = Keys::new().domain("src.test", &["ed1"]);
    let sink = Sink::willing();
    let mut relay = Relay::start(Config::smarthost(sink.address()).text(&keys.text));
    send(&relay, &["first@dst.test"], MAIL.as_bytes());
    assert_eq!(keys.verify(&sink.wait_for_recipient("first@dst.test").content), ["pass src.test/ed1"]);

    let path = keys.key("src.test", "ed2");
    let second = format!("[[domain.dkim]]\nselector = \"ed2\"\nprivate_key = \"{}\"\n", path.display());
    relay.reconfigure(|config| config.text(&second));
    relay.signal(Signal::HUP);
    relay.wait_log("selector=ed2 algorithm=ed25519-sha256 dkim=signs");
    send(&relay, &["second@dst.test"], MAIL.as_bytes());
    let expected = ["pass src.test/ed1", "pass src.test/ed2"];
    assert_eq!(keys.verify(&sink.wait_for_recipient("second@dst.test").content), expected);

    // A key that cannot sign is told with file, line, key, reason and fix, and the keys before stay in force.
    fs::write(&path, "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n").unwrap();
    relay.signal(Signal::HUP);
    relay.wait_log("the config before stays in force");
    assert!(relay.log().contains("domain.dkim.private_key"), "{}", relay.log());
    let told = relay.cli(&["check"]).expect_code(2).all();
    for words in ["config.toml:", "domain.dkim.private_key: ", "ed2.pem holds a PUBLIC KEY", "fix: make a key with"] {
        assert!(told.contains(words), "{words} in {told}");
    }
    assert!(!told.contains("AAAA"), "{told}");
    send(&relay, &["third@dst.test"], MAIL.as_bytes());
    assert_eq!(keys.verify(&sink.wait_for_recipient("third@dst.test").content), expected);
    let first = keys.files.path("src.test.ed1.pem");
    fs::set_permissions(first, fs::Permissions::from_mode(0o644)).expect("it is ours");
    relay.reconfigure(|config| config.replace(&second, ""));
    let told = relay.cli(&["check"]).expect_done().all();
    assert!(told.contains("can be read or changed by others (mode 0644)"), "{told}");
}
