//! A real Postfix takes mail and bounces it later: the bounce finds its recipient, and the address is no longer written to.

use std::net::SocketAddr;

use crate::{
    postfix::Postfix,
    program::{find, is_root},
    support::{Act, Client, Config, Relay, Sink, Step, client::letter, place, until},
};

#[test]
fn postfix_bounces_later() {
    let Some(program) = find("postfix") else { return };
    if !is_root() {
        return;
    }
    let inbound = SocketAddr::from((place::address(), 2526));
    // Postfix takes the mail; the host behind it does not.
    let behind = Sink::scripted(|m| match m.step {
        Step::Rcpt if m.line.contains("late@") => Act::reply("550 5.1.1 no such mailbox any more"),
        Step::Rcpt if m.line.contains("full@") => Act::reply("552 5.2.2 mailbox full"),
        _ => Act::Normal,
    });
    let more = format!(
        "virtual_mailbox_maps = inline:{{ {{ user@ok.test = user/ }} {{ late@ok.test = late/ }} {{ full@ok.test = full/ }} }}\n\
         transport_maps = inline:{{ {{ late@ok.test = smtp:[{0}]:{1} }} {{ full@ok.test = smtp:[{0}]:{1} }} {{ bounce.src.test = smtp:[{2}]:{3} }} }}\n\
         smtp_host_lookup = native\n",
        behind.address().ip(),
        behind.address().port(),
        inbound.ip(),
        inbound.port()
    );
    let postfix = Postfix::start_with(program, &more);
    let config = Config::smarthost(postfix.address)
        .listener(&format!("address = \"{inbound}\"\nrole = \"inbound\""))
        .text("[[domain]]\nname = \"src.test\"\nenvelope_from_rewrite = true\nreturn_domain = \"bounce.src.test\"");
    let relay = Relay::start(config);
    let mut client = Client::hello(relay.smtp());
    let to = ["late@ok.test", "full@ok.test", "user@ok.test"];
    client.send("shop@src.test", &to, letter("comes back", "hello\r\n").as_bytes()).expect("250");
    for address in to {
        relay.wait_event("succeeded", address);
    }
    let late = relay.wait_event("bounced", "late@ok.test");
    assert!(late.reply().contains("5.1.1"), "{late:?}");
    let full = relay.wait_event("bounced", "full@ok.test");
    assert!(full.reply().contains("5.2.2"), "{full:?}");

    // One unknown user is enough by default; one full mailbox is not.
    until("late@ok.test on the list", || {
        let listed = relay.cli(&["suppress", "list", "--json"]);
        listed.stdout.contains("late@ok.test").then_some(())
    });
    client
        .send("shop@src.test", &["late@ok.test", "full@ok.test"], letter("again", "hello\r\n").as_bytes())
        .expect("250");
    let blocked = relay.wait_event("failed", "late@ok.test");
    assert!(blocked.reply().contains("5.1.1"), "the log says why: {blocked:?}");
    let listed = relay.cli(&["suppress", "list", "--json"]);
    assert!(!listed.stdout.contains("full@ok.test"), "{}", listed.stdout);
}
