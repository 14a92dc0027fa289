//! A rotation with Knot as the zone's own server and Unbound as a resolver: published by a zone file, seen by both, signed with.

use std::{net::SocketAddr, path::Path};

use crate::{
    program::{Server, find, is_root, run},
    support::{Client, Config, Place, Relay, Sink, place, until},
};

const DOMAIN: &str = "src.test";

struct Zone<'a> {
    files: &'a Place,
    knotc: &'a Path,
    address: SocketAddr,
    config: String,
    serial: u32,
}

impl Zone<'_> {
    /// Writes the zone with these records, and has Knot load it.
    fn publish(&mut self, records: &str) {
        self.serial += 1;
        let ip = self.address.ip();
        let zone = format!(
            "$ORIGIN {DOMAIN}.\n$TTL 5\n@ SOA ns hostmaster {} 3600 600 86400 2\n@ NS ns\nns A {ip}\n{records}\n",
            self.serial
        );
        self.files.write(&format!("{DOMAIN}.zone"), zone);
    }

    fn reload(&self) {
        let ran = run(self.knotc, &["-c", &self.config, "zone-reload", DOMAIN]);
        assert_eq!(ran.code, 0, "{}", ran.all());
    }
}

#[test]
fn a_key_is_published_in_knot_seen_by_unbound_and_signs() {
    let (Some(knotd), Some(knotc), Some(unbound)) = (find("knotd"), find("knotc"), find("unbound")) else { return };
    if !is_root() {
        return;
    }
    let files = Place::new();
    let dir = files.dir().display().to_string();
    let address = SocketAddr::from((place::address(), 53));
    let config = format!(
        "server:\n    rundir: \"{dir}\"\n    listen: [ {}@53 ]\ndatabase:\n    storage: \"{dir}/db\"\n\
         log:\n  - target: stderr\n    any: info\nzone:\n  - domain: {DOMAIN}\n    storage: \"{dir}\"\n    \
         file: {DOMAIN}.zone\n    zonefile-sync: -1\n",
        address.ip()
    );
    let config = files.write("knot.conf", config).to_str().expect("text").to_owned();
    let mut zone = Zone { files: &files, knotc: &knotc, address, config, serial: 0 };
    zone.publish("");
    let mut knot = Server::start(&knotd, &["-c", &zone.config], &files.path("knot.log"));
    let resolver = SocketAddr::from((place::address(), 53));
    let unbound_config = format!(
        "server:\n    directory: \"{dir}\"\n    username: \"\"\n    chroot: \"\"\n    pidfile: \"{dir}/unbound.pid\"\n    \
         use-syslog: no\n    logfile: \"\"\n    verbosity: 1\n    interface: {}@53\n    do-not-query-localhost: no\n    \
         module-config: \"iterator\"\n    local-zone: \"test.\" nodefault\nremote-control:\n    control-enable: no\n\
         stub-zone:\n    name: \"{DOMAIN}\"\n    stub-addr: {}@53\n",
        resolver.ip(),
        address.ip()
    );
    let unbound_config = files.write("unbound.conf", unbound_config);
    let words = ["-d", "-c", unbound_config.to_str().expect("text")];
    let mut unbound = Server::start(&unbound, &words, &files.path("unbound.log"));
    let log = |name: &str| std::fs::read_to_string(files.path(name)).unwrap_or_default();
    until("the servers", || {
        assert!(!knot.ended() && !unbound.ended(), "{}{}", log("knot.log"), log("unbound.log"));
        let ready = log("knot.log").contains("server started") && log("unbound.log").contains("start of service");
        ready.then_some(())
    });

    let sink = Sink::willing();
    let relay = Relay::start(
        Config::smarthost(sink.address())
            .set("dns.servers", &format!("[\"{resolver}\"]"))
            .set("dkim.resolvers", &format!("[\"{resolver}\"]"))
            .text(&format!("[[domain]]\nname = \"{DOMAIN}\"\n")),
    );
    let rotate = |words: &[&str]| {
        let all = [&["domain", "dkim-rotate", DOMAIN, "--json"], words].concat();
        let ran = relay.cli(&all).expect_done();
        serde_json::from_str::<serde_json::Value>(ran.stdout.lines().next().expect("a key")).expect("JSON")
    };
    let says = |key: &serde_json::Value| -> Vec<(String, String)> {
        let word = |server: &serde_json::Value, field: &str| server[field].as_str().unwrap_or_default().to_owned();
        let servers = key["servers"].as_array().cloned().unwrap_or_default();
        servers.iter().map(|server| (word(server, "role"), word(server, "says"))).collect()
    };
    let pair = |role: &str, says: &str| (role.to_owned(), says.to_owned());
    let key = rotate(&["--selector", "s1", "--now"]);
    assert_eq!((key["state"].as_str(), says(&key)), (Some("pending"), vec![pair("authoritative", "absent")]));

    // As it is printed for a zone file; first with the quotation marks forgotten.
    let told = relay.cli(&["domain", "dkim-rotate", DOMAIN, "--status"]).expect_done().stdout;
    let start = told.find("s1._domainkey.src.test. IN TXT (").expect("the zone file's lines");
    let end = start + told[start..].find(')').expect("their end");
    let lines = &told[start..=end];
    let bare = format!("s1._domainkey TXT {}", key["record"].as_str().expect("a record"));
    zone.publish(&bare);
    zone.reload();
    let key = until("the wrong record", || Some(rotate(&[])).filter(|key| says(key)[0].1 == "wrong"));
    let words = key["servers"][0]["words"].as_str().expect("words");
    assert!(words.contains("cut off at a semicolon: put its text in quotation marks"), "{words}");
    zone.publish(lines);
    zone.reload();
    let key = until("the key in force", || Some(rotate(&[])).filter(|key| key["state"] == "active"));
    assert_eq!(says(&key), [pair("authoritative", "right"), pair("resolver", "right")]);

    let mail = format!("From: a@{DOMAIN}\r\nTo: b@dst.test\r\nSubject: hello\r\n\r\nhello\r\n");
    Client::hello(relay.smtp()).send("a@src.test", &["b@dst.test"], mail.as_bytes()).expect("250");
    let copy = sink.wait_for_recipient("b@dst.test").text();
    assert!(copy.contains("d=src.test;") && copy.contains("s=s1;"), "{copy}");

    // Knot stops: nobody says otherwise, and the key goes on; then the record is gone, and that is told.
    drop(knot);
    let silent = rotate(&["--look"]);
    assert!(silent["alarms"].as_array().is_some_and(Vec::is_empty), "{silent}");
    zone.publish("");
    let _knot = Server::start(&knotd, &["-c", &zone.config], &files.path("knot2.log"));
    let alarm = until("an alarm", || {
        let key = rotate(&["--look"]);
        key["alarms"].as_array().is_some_and(|alarms| !alarms.is_empty()).then_some(key)
    });
    assert!(alarm["alarms"][0].as_str().is_some_and(|words| words.contains("missing or wrong")), "{alarm}");
}
