//! Knot DNS as the name server of MX delivery, in a private configuration.

use std::net::{IpAddr, SocketAddr, TcpStream};

use crate::{
    program::{Server, find},
    support::{Config, Place, Relay, Sink, place, sink::Options, until},
};

const PORT: u16 = 2525;

#[test]
fn mail_follows_the_records_of_knot() {
    let Some(knotd) = find("knotd") else { return };
    let sink = Options::default().at(SocketAddr::from((place::address(), PORT))).start();
    let dead = place::address();
    let dns = SocketAddr::from((place::address(), 5353));
    let files = Place::new();
    let dir = files.dir().display().to_string();
    let mut zone = format!(
        "$ORIGIN knot.test.\n$TTL 60\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nns A {}\n\
         @ MX 10 dead\n@ MX 20 live\ndead A {dead}\nlive A {}\n\
         nullmx MX 0 .\nalias CNAME knot.test.\nnomx A {}\nempty TXT \"nothing here takes mail\"\n",
        dns.ip(),
        sink.ip(),
        sink.ip(),
    );
    // An answer over 1,232 octets comes truncated and has to be fetched over TCP.
    for n in 0..60 {
        zone.push_str(&format!("many MX {} a-rather-long-host-name-number-{n}.dead\n", 100 + n));
    }
    zone.push_str("many MX 10 live\n");
    files.write("knot.test.zone", zone);
    let config = format!(
        "server:\n    rundir: \"{dir}\"\n    listen: [ {}@{} ]\ndatabase:\n    storage: \"{dir}/db\"\n\
         log:\n  - target: stderr\n    any: info\nzone:\n  - domain: knot.test\n    storage: \"{dir}\"\n    file: knot.test.zone\n",
        dns.ip(),
        dns.port()
    );
    let config = files.write("knot.conf", config);
    let mut server = Server::start(&knotd, &["-c", config.to_str().unwrap()], &files.path("knot.log"));
    until("knotd", || {
        let log = || std::fs::read_to_string(files.path("knot.log")).unwrap_or_default();
        assert!(!server.ended(), "knotd ended: {}", log());
        // Its port opens before its zones are loaded.
        log().contains("server started").then(|| TcpStream::connect(dns).ok()).flatten()
    });
    let relay = Relay::start(Config::internet(dns, PORT));
    for (domain, wanted) in [
        ("knot.test", "succeeded"),
        ("alias.knot.test", "succeeded"),
        ("nomx.knot.test", "succeeded"),
        ("many.knot.test", "succeeded"),
        ("nullmx.knot.test", "failed"),
        ("missing.knot.test", "failed"),
        ("empty.knot.test", "failed"),
        // Knot answers REFUSED for zones that are not its own.
        ("other.test", "deferred"),
    ] {
        let address = format!("user@{domain}");
        relay.submit("", &[&address], domain);
        relay.wait_event(wanted, &address);
    }
    assert_eq!(sink.taken(), 4);
}
