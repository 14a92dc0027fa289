//! P7: nobody relays through it without permission; AUTH gives permission, wrong credentials give nothing.

use base64::Engine;

use crate::support::{
    Client, Config, Relay, Sink,
    client::letter,
    tls::{Authority, trusting_client},
};

const USER: &str = "shop";
const KEY: &str = "correct-horse-battery-staple";

fn with_user(config: Config) -> Relay {
    let relay = Relay::start(config);
    let key_file = relay.place.write("key", KEY);
    let key_file = key_file.to_str().expect("the place's path is text").to_owned();
    relay.cli(&["user", "add", USER, "--api", "--key-file", &key_file]).expect_done();
    relay
}

fn base64(text: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(text)
}

#[test]
fn strangers_are_refused_in_every_form() {
    let sink = Sink::willing();
    let relay = Relay::start(Config::smarthost(sink.address()).set("relay.networks", "[\"127.0.0.2/32\"]"));
    let senders = ["", "sender@src.test", "postmaster@relay.test", "someone@dst.test"];
    let recipients = [
        "user@dst.test",
        "user%dst.test@relay.test",
        "\"user@dst.test\"@relay.test",
        "user@[127.0.0.1]",
        "@relay.test:user@dst.test",
        "dst.test!user@relay.test",
        "postmaster@dst.test",
        "user@relay.test",
    ];
    for sender in senders {
        // A session of its own each: too many errors end one.
        let mut client = Client::hello(relay.smtp());
        let taken = client.say(&format!("MAIL FROM:<{sender}>"));
        for recipient in recipients {
            let reply = client.say(&format!("RCPT TO:<{recipient}>"));
            assert!((500..600).contains(&reply.code), "{sender} → {recipient}: {reply}");
        }
        if taken.code == 250 {
            let reply = client.say("DATA");
            assert!((500..600).contains(&reply.code), "{reply}");
        }
    }
    let mut client = Client::hello(relay.smtp());
    client.say("MAIL FROM:<sender@src.test>");
    let reply = client.say("RCPT TO:<user@dst.test>");
    assert!(
        reply.text().starts_with("550 5.7.1") || reply.text().starts_with("530 5.7.0") || reply.code == 503,
        "{reply}"
    );
    assert_eq!(sink.sessions(), 0);
    assert_eq!(relay.deliveries().len(), 0);
}

#[test]
fn credentials_open_the_relay_and_wrong_ones_do_not() {
    let sink = Sink::willing();
    let relay =
        with_user(Config::smarthost(sink.address()).set("relay.policy", "\"auth\"").set("relay.networks", "[]"));
    let mut client = Client::connect(relay.smtp());
    let ehlo = client.ehlo();
    assert!(ehlo.offers("AUTH"), "AUTH is offered on loopback: {ehlo}");
    let refused = client.say("MAIL FROM:<sender@src.test>");
    if refused.code == 250 {
        client.say("RCPT TO:<user@dst.test>").expect("530 5.7.0");
    } else {
        refused.expect("530 5.7.0");
    }
    client.say("RSET").expect("250");
    client.auth_plain(USER, "wrong").expect("535 5.7.8");
    client.auth_plain("nobody", KEY).expect("535 5.7.8");
    client.say("AUTH CRAM-MD5").expect("504 5.5.4");
    client.auth_plain(USER, KEY).expect("235 2.7.0");
    client.say(&format!("AUTH PLAIN {}", base64("\0a\0b"))).expect("503");
    client.send("sender@src.test", &["user@dst.test"], letter("auth", "x\r\n").as_bytes()).expect("250");
    let queued = relay.wait_event("queued", "user@dst.test");
    assert_eq!(queued.text("user"), USER, "{queued:?}");

    let mut login = Client::hello(relay.smtp());
    login.say("AUTH LOGIN").expect("334");
    login.say(&base64(USER)).expect("334");
    login.say(&base64(KEY)).expect("235");
    let mut cancelled = Client::hello(relay.smtp());
    cancelled.say("AUTH PLAIN").expect("334");
    cancelled.say("*").expect("501");
    cancelled.say(&format!("AUTH PLAIN {}", base64(&format!("\0{USER}\0{KEY}")))).expect("235");
    let of_user = relay.events(&["log", "deliveries", "--user", USER, "--json"]);
    assert!(!of_user.is_empty(), "R14: the log filters by API user");
    assert!(!relay.log().contains(KEY), "no secret in the log");
}

#[test]
fn wrong_credentials_never_lock_an_api_user() {
    let sink = Sink::willing();
    let relay = with_user(Config::smarthost(sink.address()));
    for _ in 0..4 {
        let mut client = Client::hello(relay.smtp());
        let reply = client.auth_plain(USER, "wrong");
        assert!(matches!(reply.code, 535 | 454 | 421), "{reply}");
    }
    // R15: the address is slowed and perhaps refused for a while, the user is not locked.
    let list = relay.cli(&["user", "list", "--json"]).expect_done();
    assert!(list.stdout.contains(USER) && !list.stdout.contains("\"locked\":true"), "{list}");
}

#[test]
fn both_are_needed_where_the_operator_says_so() {
    let sink = Sink::willing();
    let relay = with_user(Config::smarthost(sink.address()).set("relay.policy", "\"network-and-auth\""));
    let mut client = Client::hello(relay.smtp());
    let mail = client.say("MAIL FROM:<sender@src.test>");
    let refused = if mail.code == 250 { client.say("RCPT TO:<user@dst.test>") } else { mail };
    refused.expect("530 5.7.0");
    client.say("RSET").expect("250");
    client.auth_plain(USER, KEY).expect("235");
    client.send("sender@src.test", &["user@dst.test"], letter("both", "x\r\n").as_bytes()).expect("250");
}

#[test]
fn an_inbound_listener_relays_for_nobody() {
    let sink = Sink::willing();
    let second = crate::support::place::address();
    let relay = Relay::start(
        Config::smarthost(sink.address()).listener(&format!("address = \"{second}:2526\"\nrole = \"inbound\"")),
    );
    let mut client = Client::hello((second, 2526).into());
    client.say("MAIL FROM:<sender@src.test>").expect("250");
    client.say("RCPT TO:<user@dst.test>").expect("550 5.7.1");
    client.say("RCPT TO:<user@relay.test>").expect("550 5.7.1");
    assert_eq!(relay.deliveries().len(), 0);
}

#[test]
fn credentials_wait_for_tls_away_from_loopback_rules() {
    let sink = Sink::willing();
    let place = crate::support::Place::new();
    let certificate = Authority::new().certificate(&["relay.test"]);
    let (chain, key) = certificate.write(&place);
    let second = crate::support::place::address();
    let relay = with_user(
        Config::smarthost(sink.address())
            .set("tls.certificate", &format!("\"{}\"", chain.display()))
            .set("tls.private_key", &format!("\"{}\"", key.display()))
            .listener(&format!("address = \"{second}:2527\"\ntls = \"implicit\"")),
    );
    let mut client = Client::connect_tls((second, 2527).into(), trusting_client(), "relay.test");
    assert!(client.ehlo().offers("AUTH"));
    client.auth_plain(USER, KEY).expect("235");
    client.send("sender@src.test", &["user@dst.test"], letter("tls", "x\r\n").as_bytes()).expect("250");
    sink.wait_for(1);
    drop(relay);
}
