//! TLS towards us: STARTTLS and implicit TLS, offered where configured and nowhere else; a renewed certificate is taken up.

use rustix::process::Signal;

use crate::support::{
    Client, Config, Place, Relay, Sink,
    client::letter,
    place,
    tls::{Authority, client_of},
    until,
};

#[test]
fn mail_comes_in_under_tls_and_a_renewed_certificate_is_taken_up() {
    let (old, new) = (Authority::new(), Authority::new());
    let files = Place::new();
    let (chain, key) = old.certificate(&["relay.test"]).write(&files);
    let second = place::address();
    let sink = Sink::willing();
    let relay = Relay::start(
        Config::smarthost(sink.address())
            .set("tls.certificate", &format!("\"{}\"", chain.display()))
            .set("tls.private_key", &format!("\"{}\"", key.display()))
            .listener(&format!("address = \"{second}:2587\"\ntls = \"starttls\""))
            .listener(&format!("address = \"{second}:2465\"\ntls = \"implicit\"")),
    );
    assert!(!Client::connect(relay.smtp()).ehlo().offers("STARTTLS"), "tls = none offers none");

    let mut client = Client::connect((second, 2587).into());
    assert!(client.ehlo().offers("STARTTLS"));
    client.starttls(client_of(&old), "relay.test");
    assert!(!client.ehlo().offers("STARTTLS"), "not twice");
    client.say("STARTTLS").expect("503");
    client.send("a@src.test", &["one@dst.test"], letter("one", "x\r\n").as_bytes()).expect("250");

    let mut client = Client::connect_tls((second, 2465).into(), client_of(&old), "relay.test");
    client.ehlo();
    client.send("a@src.test", &["two@dst.test"], letter("two", "x\r\n").as_bytes()).expect("250");
    sink.wait_for(2);

    new.certificate(&["relay.test"]).write(&files);
    relay.signal(Signal::HUP);
    until("the new certificate", || {
        let mut client = Client::connect((second, 2587).into());
        client.ehlo();
        client.say("STARTTLS").expect("220");
        client.wire().connect_tls(client_of(&new), "relay.test").ok()
    });
    // A client that talks nonsense instead of a handshake costs its own session only.
    let mut nonsense = Client::hello((second, 2587).into());
    nonsense.say("STARTTLS").expect("220");
    nonsense.write(b"EHLO again\r\nNOOP\r\n\r\n\r\n");
    assert!(nonsense.wire().line().is_ok_and(|l| !l.starts_with(b"250")));
    Client::connect(relay.smtp()).ehlo();
}
