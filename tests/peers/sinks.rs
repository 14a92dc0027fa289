//! Postfix's test sink as a destination: many mails, hard and soft refusals, no extensions at all.

use std::path::Path;

use crate::{
    program::{Server, find},
    support::{Client, Config, Relay, client::letter, place, until},
};

fn start(program: &Path, extra: &[&str], relay_place: &crate::support::Place) -> (Server, std::net::SocketAddr) {
    let at = std::net::SocketAddr::from((place::address(), 2525));
    let at_text = at.to_string();
    // Started by root, it wants to be told as whom to run.
    let user: &[&str] = if rustix::process::geteuid().is_root() { &["-u", "nobody"] } else { &[] };
    let words = [user, extra, &[at_text.as_str(), "100"]].concat();
    let mut server = Server::start(program, &words, &relay_place.path("smtp-sink.log"));
    until("smtp-sink", || {
        assert!(!server.ended(), "{}", std::fs::read_to_string(relay_place.path("smtp-sink.log")).unwrap_or_default());
        std::net::TcpStream::connect(at).ok()
    });
    (server, at)
}

#[test]
fn smtp_sink_in_its_moods() {
    let Some(program) = find("smtp-sink") else { return };
    // Flags of smtp-sink, and what becomes of a mail.
    let cases: &[(&[&str], &str)] = &[
        (&[], "succeeded"),
        (&["-p"], "succeeded"),
        (&["-e"], "succeeded"),
        (&["-8"], "succeeded"),
        (&["-f", "rcpt"], "failed"),
        (&["-f", "mail"], "failed"),
        (&["-f", "data"], "failed"),
        (&["-f", "."], "failed"),
        (&["-r", "rcpt"], "deferred"),
        (&["-r", "."], "deferred"),
        (&["-q", "data"], "deferred"),
        (&["-q", "."], "deferred"),
        (&["-f", "connect"], "deferred"),
    ];
    let mut relay = Relay::prepare(Config::smarthost(std::net::SocketAddr::from(([127, 0, 0, 1], 9))));
    for (n, (flags, wanted)) in cases.iter().enumerate() {
        let (server, at) = start(&program, flags, &relay.place);
        relay.reconfigure(|c| c.set("delivery.smarthost", &format!("\"{at}\"")).set("queue.lifetime", "\"1h\""));
        relay.restart();
        let recipient = format!("case{n}@dst.test");
        let mut client = Client::hello(relay.smtp());
        let content = letter("moods", "caf\u{e9}\r\n.\r\n");
        client.send("", &[&recipient], content.as_bytes()).expect("250");
        relay.wait_event(wanted, &recipient);
        relay.kill();
        drop(server);
    }
}
