//! What comes back is taken from anybody, for addresses of ours alone: it is written down, forwarded where that is switched on, and
//! never answered by a mail of our own.

use std::{net::SocketAddr, thread, time::Duration};

use crate::support::{
    Act, Client, Config, Received, Relay, Sink, Step,
    cli::Event,
    client::{Reply, letter},
    place, until,
};

const OWN: &str =
    "[[domain]]\nname = \"src.test\"\nenvelope_from_rewrite = true\nreturn_domain = \"bounce.src.test\"\n";
const APP: &str = "app@src.test";

/// Adds an inbound listener; answers where it is.
fn with_inbound(config: Config) -> (Config, SocketAddr) {
    let inbound = SocketAddr::from((place::address(), 2525));
    (config.listener(&format!("address = \"{inbound}\"\nrole = \"inbound\"")), inbound)
}

/// A failure report about one address, in a mail with this subject.
fn report(to: &str, about: &str, message_id: &str) -> String {
    format!(
        "From: MAILER-DAEMON@mx.dst.test\r\nTo: {to}\r\nSubject: Undelivered Mail\r\nAuto-Submitted: auto-replied\r\n\
         MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=\"b1\"\r\n\r\n\
         --b1\r\nContent-Type: text/plain\r\n\r\nYour mail could not be delivered.\r\n\
         .a line with a dot, and one of bytes: \u{98db}\u{811a}\r\n\r\n\
         --b1\r\nContent-Type: message/delivery-status\r\n\r\n\
         Reporting-MTA: dns; mx.dst.test\r\n\r\n\
         Final-Recipient: rfc822; {about}\r\nAction: failed\r\nStatus: 5.1.1\r\nRemote-MTA: dns; mx.dst.test\r\n\
         Diagnostic-Code: smtp; 550 5.1.1 <{about}>: no such user here\r\n\r\n\
         --b1\r\nContent-Type: text/rfc822-headers\r\n\r\n\
         From: Sender <sender@src.test>\r\nTo: {about}\r\nSubject: x\r\nMessage-ID: {message_id}\r\n\r\n--b1--\r\n"
    )
}

/// A complaint (RFC 5965) that names the mail by its Message-ID and recipient.
fn complaint(about: &str, message_id: &str) -> String {
    format!(
        "From: fbl@dst.test\r\nTo: fbl@reports.src.test\r\nSubject: FW: x\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=feedback-report; boundary=\"b1\"\r\n\r\n\
         --b1\r\nContent-Type: text/plain\r\n\r\nThis is an abuse report.\r\n\r\n\
         --b1\r\nContent-Type: message/feedback-report\r\n\r\n\
         Feedback-Type: abuse\r\nUser-Agent: fbl/1\r\nVersion: 1\r\nOriginal-Rcpt-To: {about}\r\n\r\n\
         --b1\r\nContent-Type: message/rfc822\r\n\r\n\
         From: Sender <sender@src.test>\r\nTo: {about}\r\nSubject: x\r\nMessage-ID: {message_id}\r\n\r\nhello\r\n\r\n--b1--\r\n"
    )
}

fn come_in(to: SocketAddr, from: &str, recipient: &str, mail: &str) -> Reply {
    let mut client = Client::hello(to);
    client.say(&format!("MAIL FROM:<{from}>")).expect("250");
    let reply = client.say(&format!("RCPT TO:<{recipient}>"));
    if reply.code != 250 {
        return reply;
    }
    let reply = client.data(mail.as_bytes());
    client.write(b"QUIT\r\n");
    reply
}

/// What the error log says came back: kind, recipient.
fn errors(relay: &Relay) -> Vec<(String, String, Event)> {
    let events = relay.events(&["log", "errors", "--json"]);
    let back = events.into_iter().filter(|e| matches!(e.kind().as_str(), "bounced" | "complained"));
    back.map(|e| (e.kind(), e.recipient(), e)).collect()
}

fn passed_on(sink: &Sink) -> Vec<Received> {
    sink.received().into_iter().filter(|m| m.text().starts_with("X-Hikyaku-Forwarded: ")).collect()
}

/// Sends one mail out; answers the return address that it got.
fn send_out(relay: &Relay, sink: &Sink, to: &str, subject: &str) -> String {
    relay.submit(APP, &[to], subject);
    relay.wait_event("succeeded", to);
    sink.wait_for_recipient(to).sender
}

/// Time in which what must not happen would happen.
fn pause() {
    thread::sleep(Duration::from_millis(400));
}

#[test]
fn a_bounce_to_a_token_is_on_disk_before_its_250_and_forged_ones_are_refused() {
    let sink = Sink::willing();
    let (config, inbound) = with_inbound(Config::smarthost(sink.address()).text(OWN));
    let mut relay = Relay::start(config);
    let token = send_out(&relay, &sink, "one@dst.test", "first");
    assert!(token.ends_with("@bounce.src.test") && !token.starts_with("app@"), "{token}");
    let mail = report(&token, "one@dst.test", "<first@src.test>");
    come_in(inbound, "", &token, &mail).expect("250");
    relay.kill();
    relay.restart();
    let found = errors(&relay);
    assert_eq!(found.len(), 1, "{found:?}");
    let (kind, recipient, event) = &found[0];
    assert_eq!((kind.as_str(), recipient.as_str()), ("bounced", "one@dst.test"));
    assert!(event.reply().contains("550 5.1.1"), "{event:?}");

    // Again, as a peer does that lost our 250, with letters that it folded.
    come_in(inbound, "", &token.to_uppercase(), &mail).expect("250");
    assert_eq!(errors(&relay).len(), 1);
    let (local, domain) = token.split_once('@').unwrap();
    let last = if local.ends_with('2') { "3" } else { "2" };
    let forged = format!("{}{last}@{domain}", &local[..local.len() - 1]);
    for (address, expected) in [
        (forged.as_str(), "550 5.1.1"),
        ("app@bounce.src.test", "550 5.1.1"),
        ("nobody@return.relay.test", "550 5.1.1"),
        (&format!("{local}@elsewhere.test"), "550 5.7.1"),
        ("one@dst.test", "550 5.7.1"),
        ("nobody@relay.test", "550 5.7.1"),
    ] {
        come_in(inbound, "", address, &mail).expect(expected);
    }
    // It delivers for nobody, whoever asks; and what came back was not passed on.
    come_in(inbound, "someone@them.test", "one@dst.test", &mail).expect("550 5.7.1");
    pause();
    assert!(passed_on(&sink).is_empty());
    assert_eq!(sink.received().len(), 1);
}

#[test]
fn every_bounce_mail_goes_to_the_sender_as_it_came_and_never_in_a_loop() {
    let sink = Sink::scripted(|m| match m.step {
        Step::Rcpt if m.line.contains("lost@src.test") => Act::reply("550 5.1.1 No such user here"),
        _ => Act::Normal,
    });
    let (config, inbound) = with_inbound(Config::smarthost(sink.address()).text(OWN));
    let relay = Relay::start(config.set("bounce.forward_to_sender", "true"));
    let token = send_out(&relay, &sink, "one@dst.test", "first");
    let mail = report(&token, "one@dst.test", "<first@src.test>");
    come_in(inbound, "", &token, &mail).expect("250");
    let forwarded = sink.wait_for_recipient(APP);
    assert_eq!(forwarded.sender, "", "{forwarded:?}");
    let text = forwarded.text();
    assert!(
        text.starts_with("X-Hikyaku-Forwarded: bounce ") && text.contains("\r\nReceived: from client.test"),
        "{text}"
    );
    assert!(forwarded.content.ends_with(mail.as_bytes()), "octet for octet:\n{text}");

    // A repeat, and our own forward when it comes back to the token, reach nobody.
    come_in(inbound, "", &token, &mail).expect("250");
    come_in(inbound, "", &token, &text).expect("250");
    // A person's automatic answer goes the same way; so does a mail that nobody can read.
    let away = "From: one@dst.test\r\nTo: x@y.test\r\nSubject: Away\r\nAuto-Submitted: auto-replied\r\n\r\nBack on Monday.\r\n";
    come_in(inbound, "one@dst.test", &token, away).expect("250");
    // Larger than what waits in memory for the queue.
    let large = format!("{mail}{}", "The mail that came back, line by line.\r\n".repeat(20_000));
    come_in(inbound, "", &token, &large).expect("250");
    let whole = |m: &Received| m.content.ends_with(large.as_bytes());
    until("three mails passed on", || (passed_on(&sink).len() == 3).then_some(()));
    assert!(passed_on(&sink).iter().any(whole), "octet for octet, too");
    let pretends = "From: x@bounce.src.test\r\nSubject: hello\r\n\r\nhello\r\n";
    come_in(inbound, "x@them.test", &token, pretends).expect("550 5.7.1");

    // A bounce whose sender is gone, too: logged as failed, and no notice follows.
    relay.submit("lost@src.test", &["two@dst.test"], "second");
    let token = sink.wait_for_recipient("two@dst.test").sender;
    come_in(inbound, "", &token, &report(&token, "two@dst.test", "<second@src.test>")).expect("250");
    relay.wait_event("failed", "lost@src.test");
    pause();
    assert_eq!(passed_on(&sink).len(), 3);
    assert_eq!(sink.received().len(), 5, "two mails, three forwards");
    let kinds: Vec<(String, String)> = errors(&relay).into_iter().map(|(k, r, _)| (k, r)).collect();
    assert_eq!(
        kinds,
        [("bounced", "one@dst.test"), ("bounced", "two@dst.test")].map(|(k, r)| (k.to_owned(), r.to_owned()))
    );
}

#[test]
fn a_kept_local_part_takes_only_what_is_about_mail_of_ours() {
    let sink = Sink::willing();
    let (config, inbound) = with_inbound(Config::smarthost(sink.address()).text(OWN));
    let relay = Relay::start(config.set("bounce.return_form", "\"keep-local\""));
    let path = send_out(&relay, &sink, "one@dst.test", "first");
    assert_eq!(path, "app@bounce.src.test");
    come_in(inbound, "", "other@bounce.src.test", "x\r\n").expect("550 5.1.1");
    for strange in [
        report(&path, "stranger@dst.test", "<unknown@src.test>"),
        "From: a@b.test\r\nSubject: buy this\r\n\r\nnow\r\n".to_owned(),
    ] {
        come_in(inbound, "", &path, &strange).expect("550 5.1.1");
    }
    assert!(errors(&relay).is_empty());
    come_in(inbound, "", &path.to_uppercase(), &report(&path, "one@dst.test", "<first@src.test>")).expect("250");
    let found = errors(&relay);
    assert_eq!((found.len(), found[0].1.as_str()), (1, "one@dst.test"));
}

#[test]
fn a_complaint_is_found_by_what_it_quotes_and_goes_to_nobody() {
    let sink = Sink::willing();
    let (config, inbound) = with_inbound(Config::smarthost(sink.address()).text(OWN));
    let config = config.set("bounce.forward_to_sender", "true");
    let relay = Relay::start(config.set("bounce.complaint_address", "\"fbl@reports.src.test\""));
    send_out(&relay, &sink, "one@dst.test", "first");
    let mail = complaint("one@dst.test", "<first@src.test>");
    come_in(inbound, "fbl@dst.test", "FBL@reports.src.test", &mail).expect("250");
    come_in(inbound, "fbl@dst.test", "fbl@reports.src.test", &complaint("nobody@dst.test", "<x@y>")).expect("250");
    let found = errors(&relay);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].0.as_str(), found[0].1.as_str()), ("complained", "one@dst.test"));
    pause();
    assert!(passed_on(&sink).is_empty());
}

#[test]
fn postmaster_and_abuse_reach_a_person_in_the_sandbox_too() {
    let (config, inbound) = with_inbound(Config::sandbox().text(OWN));
    let relay = Relay::start(config.clone().set("server.postmaster", "\"admin@office.test\""));
    let mail = "From: a@them.test\r\nTo: x@relay.test\r\nSubject: hello\r\n\r\nhello\r\n";
    for address in ["postmaster", "Postmaster@relay.test", "abuse@bounce.src.test"] {
        come_in(inbound, "a@them.test", address, mail).expect("250");
    }
    relay.wait_events("succeeded", "admin@office.test", 3);
    come_in(inbound, "a@them.test", "postmaster@src.test", mail).expect("550 5.7.1");
    drop(relay);
    let (config, inbound) = with_inbound(Config::sandbox().text(OWN));
    let relay = Relay::start(config);
    let refused = come_in(inbound, "a@them.test", "postmaster", mail).expect("550 5.7.1");
    assert!(refused.text().contains("no postmaster is configured"), "{refused}");
    let warned = relay.cli(&["check"]);
    assert!(format!("{}{}", warned.stdout, warned.stderr).contains("server.postmaster"), "{warned:?}");
}

#[test]
fn filters_of_both_sides_pass_mail_on() {
    let sink = Sink::willing();
    let filters = "[[forward]]\nname = \"archive\"\nheader = \"subject\"\npattern = '^invoice'\nto = \"archive@f.test\"\n\
         [[forward]]\nname = \"test\"\nheader = \"Subject\"\npattern = 'to nobody'\nto = \"lab@f.test\"\nmode = \"rewrite\"\n\
         [[forward]]\nname = \"desk\"\nside = \"inbound\"\nheader = \"Subject\"\npattern = '^help'\nto = \"desk@f.test\"\n";
    let (config, inbound) = with_inbound(Config::smarthost(sink.address()).text(filters));
    let relay = Relay::start(config.set("inbound.addresses", "[\"@in.src.test\"]"));
    relay.submit(APP, &["one@dst.test"], "invoice-1");
    let copied = sink.wait_for_recipient("archive@f.test");
    assert_eq!(
        (copied.sender.as_str(), copied.recipients),
        (APP, vec!["one@dst.test".into(), "archive@f.test".into()])
    );
    relay.submit(APP, &["two@dst.test", "three@dst.test"], "goes to nobody");
    assert_eq!(sink.wait_for_recipient("lab@f.test").recipients, ["lab@f.test"]);
    relay.wait_log("filter=\"test\" mode=rewrite");

    let question = letter("help me", "please\r\n");
    come_in(inbound, "a@them.test", "info@IN.src.test", &question).expect("250");
    let passed = sink.wait_for_recipient("desk@f.test");
    assert_eq!(passed.sender, "");
    assert!(
        passed.text().starts_with("X-Hikyaku-Forwarded: filter ") && passed.text().ends_with(&question),
        "{passed:?}"
    );
    let refused =
        come_in(inbound, "a@them.test", "info@in.src.test", &letter("buy this", "now\r\n")).expect("550 5.7.1");
    assert!(refused.text().contains("filter"), "{refused}");
    come_in(inbound, "a@them.test", "info@in.src.test", &passed.text()).expect("554 5.4.6");
    pause();
    let recipients: Vec<String> = sink.received().into_iter().flat_map(|m| m.recipients).collect();
    assert_eq!(recipients.len(), 4, "{recipients:?}");
}

#[test]
fn sizes_and_guesses_are_bounded() {
    let sink = Sink::willing();
    let (config, inbound) = with_inbound(Config::smarthost(sink.address()).text(OWN));
    let relay =
        Relay::start(config.set("inbound.message_size_max", "\"64KiB\"").set("bounce.forward_to_sender", "true"));
    let token = send_out(&relay, &sink, "one@dst.test", "first");
    let mut client = Client::hello(inbound);
    client.say("MAIL FROM:<> SIZE=65537").expect("552");
    let mail = report(&token, "one@dst.test", "<first@src.test>");
    come_in(inbound, "", &token, &format!("{mail}{}", "x\r\n".repeat(30_000))).expect("552");
    come_in(inbound, "", &token, &format!("{}{mail}", "Received: x\r\n".repeat(51))).expect("554 5.4.6");
    let mut client = Client::hello(inbound);
    client.say("MAIL FROM:<>").expect("250");
    for n in 0..20 {
        client.say(&format!("RCPT TO:<guess{n}@bounce.src.test>")).expect("550 5.1.1");
    }
    client.say("RCPT TO:<guess@bounce.src.test>").expect("421");
    assert!(errors(&relay).is_empty());
    assert!(passed_on(&sink).is_empty());
}
