//! R8: mail leaves with the content it came with, octet for octet, under the headers that we add.

use std::{collections::HashMap, sync::Arc, thread};

use crate::support::{
    Client, Config, Relay, Rng, Sink,
    bodies::{Body, generate},
    wait,
};

const BODIES: usize = 1000;
const SESSIONS: usize = 4;

/// Fields that may stand above the content.
const ADDED: &[&str] = &["received:", "date:", "message-id:", "x-hikyaku-trace:"];

#[test]
fn a_thousand_bodies_leave_as_they_came() {
    let mut rng = Rng::of_this_run("content");
    let bodies: Arc<Vec<Body>> = Arc::new((0..BODIES).map(|n| generate(&mut rng, n)).collect());
    let sink = Sink::willing();
    let relay = Relay::start(Config::smarthost(sink.address()));
    let to = relay.smtp();
    let threads: Vec<_> = (0..SESSIONS)
        .map(|s| {
            let bodies = bodies.clone();
            thread::spawn(move || {
                let mut client = Client::hello(to);
                for n in (s..BODIES).step_by(SESSIONS) {
                    submit(&mut client, n, &bodies[n]);
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("every body is taken");
    }
    wait::within(wait::SOON * 3, "every body at the sink", || (sink.taken() >= BODIES).then_some(()));
    let by_sender: HashMap<String, _> = sink.received().into_iter().map(|m| (m.sender.clone(), m)).collect();
    assert_eq!(by_sender.len(), BODIES, "each body arrived, once");
    for (n, body) in bodies.iter().enumerate() {
        let got = &by_sender[&format!("n{n}@src.test")];
        let mut sent = body.content.clone();
        if body.unfinished && !got.chunked {
            // DATA cannot carry it otherwise (RFC 5321 §4.1.1.4).
            sent.extend_from_slice(b"\r\n");
        }
        assert!(got.content.ends_with(&sent), "body {n} was changed");
        let added = String::from_utf8_lossy(&got.content[..got.content.len() - sent.len()]).into_owned();
        assert!(added.to_ascii_lowercase().starts_with("received:"), "body {n}: {added:?}");
        // Above a mail without a header, an empty line ends ours: the first line of the mail must not become a field.
        let added = added.strip_suffix("\r\n\r\n").unwrap_or(&added);
        for line in added.split_terminator("\r\n") {
            let folded = line.starts_with([' ', '\t']);
            let known = ADDED.iter().any(|f| line.to_ascii_lowercase().starts_with(f));
            assert!(folded || known, "body {n}: {line:?} was added");
        }
    }
}

fn submit(client: &mut Client, n: usize, body: &Body) {
    // Half of them as a legacy program does: 8-bit without saying so.
    let parameter = if n.is_multiple_of(2) { " BODY=8BITMIME" } else { "" };
    client.say(&format!("MAIL FROM:<n{n}@src.test>{parameter}")).expect("250");
    client.say("RCPT TO:<someone@dst.test>").expect("250");
    if body.unfinished || n.is_multiple_of(3) {
        let (first, rest) = body.content.split_at(body.content.len() / 3);
        client.bdat(first, false).expect("250");
        client.bdat(rest, true).expect("250");
    } else {
        client.data(&body.content).expect("250");
    }
}

#[test]
fn a_large_mail_passes_whole() {
    let mut rng = Rng::new(11);
    let mut content =
        b"Subject: large\r\nDate: Tue, 24 Nov 2026 10:00:00 +0900\r\nMessage-ID: <l@src.test>\r\n\r\n".to_vec();
    while content.len() < 6 << 20 {
        let letter = b'a' + rng.below(26) as u8;
        content.extend(std::iter::repeat_n(letter, 1 + rng.below(990)));
        content.extend_from_slice(b"\r\n.\x80.\r\n");
    }
    let sink = Sink::willing();
    let relay = Relay::start(Config::smarthost(sink.address()));
    let mut client = Client::hello(relay.smtp());
    client.send("sender@src.test", &["someone@dst.test"], &content).expect("250");
    let got = &sink.wait_for(1)[0];
    assert!(got.content.ends_with(&content), "the large mail was changed");
}

#[test]
fn a_missing_date_and_message_id_are_added_and_present_ones_kept() {
    let sink = Sink::willing();
    let relay = Relay::start(Config::smarthost(sink.address()));
    let mut client = Client::hello(relay.smtp());
    client.send("a@src.test", &["bare@dst.test"], b"Subject: bare\r\n\r\nx\r\n").expect("250");
    let whole = b"Date: Tue, 24 Nov 2026 10:00:00 +0900\r\nMessage-ID: <kept@src.test>\r\nSubject: whole\r\n\r\nx\r\n";
    client.send("a@src.test", &["whole@dst.test"], whole).expect("250");
    let bare = sink.wait_for_recipient("bare@dst.test").text().to_ascii_lowercase();
    assert!(bare.contains("\r\ndate:") && bare.contains("\r\nmessage-id:"), "{bare}");
    let whole = sink.wait_for_recipient("whole@dst.test").text().to_ascii_lowercase();
    assert_eq!((whole.matches("\r\ndate:").count(), whole.matches("message-id:").count()), (1, 1), "{whole}");
}

#[test]
fn the_received_header_says_what_the_operator_chose() {
    // Setting, and whether the client's address and any Received of ours are there.
    for (setting, address, received) in
        [("abbreviated", false, true), ("normal", true, true), ("none", false, false), ("delete-all", false, false)]
    {
        let sink = Sink::willing();
        let relay =
            Relay::start(Config::smarthost(sink.address()).set("relay.received_header", &format!("\"{setting}\"")));
        let mut client = Client::hello(relay.smtp());
        let content =
            b"Received: from old.test by older.test; Tue, 24 Nov 2026 10:00:00 +0900\r\nSubject: x\r\n\r\nx\r\n";
        client.send("a@src.test", &["b@dst.test"], content).expect("250");
        let text = sink.wait_for(1)[0].text().replace("\r\n\t", " ").replace("\r\n ", " ");
        let ours: String = text.lines().filter(|l| l.starts_with("Received:") && l.contains("by relay.test")).collect();
        assert_eq!(!ours.is_empty(), received, "{setting}: {text}");
        assert_eq!(ours.contains("[127.0.0.1]"), address, "{setting}: {text}");
        assert_eq!(text.contains("from old.test"), setting != "delete-all", "{setting}: {text}");
    }
}
