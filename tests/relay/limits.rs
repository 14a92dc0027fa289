//! Limits answer with the named reply and cost nothing else.

use crate::support::{Client, Config, Relay, Sink, client::letter, say, until};

const FROM: &str = "sender@src.test";
const TO: &str = "user@dst.test";

#[test]
fn a_mail_over_the_limit_is_refused_early_or_at_its_end() {
    let sink = Sink::willing();
    let relay = Relay::start(Config::smarthost(sink.address()).set("relay.message_size_max", "\"100KiB\""));
    let mut client = Client::connect(relay.smtp());
    assert!(client.ehlo().text().contains("SIZE 102400"));
    client.say(&format!("MAIL FROM:<{FROM}> SIZE=102401")).expect("552 5.3.4");
    let large = letter("large", &"x".repeat(70).repeat(2000).replace("xxxxxxxxxx", "xxxxxxxx\r\n"));
    client.envelope(FROM, &[TO]);
    client.data(large.as_bytes()).expect("552 5.3.4");
    // The session lives on, and a fitting mail passes.
    client.send(FROM, &[TO], letter("small", "x\r\n").as_bytes()).expect("250");
    client.envelope(FROM, &[TO]);
    let mut reply = client.bdat(&large.as_bytes()[..60_000], false).expect("250");
    if reply.code == 250 {
        reply = client.bdat(&large.as_bytes()[60_000..], true);
    }
    reply.expect("552 5.3.4");
    sink.wait_for(1);
    assert_eq!(relay.deliveries().iter().filter(|e| e.kind() == "queued").count(), 1);
}

#[test]
fn sessions_over_the_limit_hear_421_and_a_freed_place_is_given_again() {
    let sink = Sink::willing();
    let relay = Relay::start(Config::smarthost(sink.address()).set("relay.sessions_max", "3"));
    // The look at its readiness may still hold a place.
    let mut held: Vec<Client> = (0..3)
        .map(|_| until("a place", || Some(Client::connect(relay.smtp())).filter(|c| c.greeting.code == 220)))
        .collect();
    let mut fourth = Client::connect(relay.smtp());
    assert!(fourth.greeting.text().starts_with("421 4.7.0"), "{}", fourth.greeting);
    assert!(fourth.reply().is_end());
    held.pop();
    until("a freed place", || Some(Client::connect(relay.smtp())).filter(|c| c.greeting.code == 220));
}

#[test]
fn one_address_cannot_take_every_place() {
    let sink = Sink::willing();
    let relay = Relay::start(Config::smarthost(sink.address()).set("relay.sessions_per_address_max", "2"));
    let held: Vec<Client> = (0..2)
        .map(|_| until("a place", || Some(Client::connect(relay.smtp())).filter(|c| c.greeting.code == 220)))
        .collect();
    let third = Client::connect(relay.smtp());
    assert_eq!(third.greeting.code, 421, "{}", third.greeting);
    drop(held);
}

#[test]
fn recipients_over_the_limit_wait_for_the_next_mail() {
    let sink = Sink::willing();
    let relay = Relay::start(Config::smarthost(sink.address()).set("relay.recipients_max", "3"));
    let mut client = Client::hello(relay.smtp());
    client.envelope(FROM, &["a@dst.test", "b@dst.test", "c@dst.test"]);
    client.say("RCPT TO:<d@dst.test>").expect("452 4.5.3");
    client.data(letter("many", "x\r\n").as_bytes()).expect("250");
    assert_eq!(sink.wait_for(1)[0].recipients.len(), 3);
}

#[test]
fn a_full_disk_takes_no_new_mail_and_says_so() {
    let sink = Sink::willing();
    let mut relay = Relay::start(Config::smarthost(sink.address()));
    let disk = rustix::fs::statvfs(relay.place.dir()).expect("the place is on a file system");
    if disk.f_bavail * disk.f_frsize >= 1 << 40 {
        say("this disk has more free space than disk_free_min can ask for: skipped");
        return;
    }
    relay.submit(FROM, &["before@dst.test"], "before");
    relay.stop();
    relay.reconfigure(|c| c.set("queue.disk_free_min", "\"1TiB\""));
    relay.spawn();
    let mut client = until("a greeting", || Client::try_connect(relay.smtp()).ok().filter(|c| c.greeting.code == 220));
    client.ehlo();
    let mail = client.say(&format!("MAIL FROM:<{FROM}>"));
    let refused = if mail.code == 250 {
        client.say(&format!("RCPT TO:<{TO}>"));
        let data = client.say("DATA");
        if data.code == 354 {
            client.write(letter("full", "x\r\n.\r\n").as_bytes());
            client.reply()
        } else {
            data
        }
    } else {
        mail
    };
    refused.expect("452 4.3.1");
    // What was accepted before still leaves.
    relay.wait_event("succeeded", "before@dst.test");
    relay.reconfigure(|c| c.set("queue.disk_free_min", "\"1MiB\""));
    relay.signal(rustix::process::Signal::HUP);
    until("room again", || {
        let mut client = Client::hello(relay.smtp());
        (client.say(&format!("MAIL FROM:<{FROM}>")).code == 250).then_some(())
    });
}

#[test]
fn endless_lines_and_silent_peers_are_cut_off() {
    let sink = Sink::willing();
    let relay = Relay::start(Config::smarthost(sink.address()));
    let mut client = Client::hello(relay.smtp());
    client.write(format!("MAIL FROM:<{}@src.test>\r\n", "x".repeat(60_000)).as_bytes());
    client.reply().expect("500 5.5.2");
    let mut flood = Client::hello(relay.smtp());
    flood.write(&vec![b'x'; 4 << 20]);
    let reply = flood.reply();
    assert!(matches!(reply.code, 500 | 421 | 0), "{reply}");
    let mut errors = Client::hello(relay.smtp());
    let ended = (0..200).any(|_| {
        let reply = errors.say("NONSENSE");
        reply.code == 421 || reply.is_end()
    });
    assert!(ended, "two hundred wrong commands are heard out");
    client.say("NOOP").expect("250");
}
