//! Mail goes out under return addresses of ours where the config says so (R3), and what was sent under them can be told for ours.

use std::time::Duration;

use hikyaku::{
    bounce::keys::{KeyRing, NotOpened},
    bounce::return_paths::is_known_return_path,
    clock::Clock,
    smtp::address::Mailbox,
    store::{RetentionPeriods, Store, StoreOptions},
};

use crate::support::{Act, Client, Config, Relay, Sink, Step, client::letter, sink::Options, until};

const DAYS: Duration = Duration::from_secs(40 * 86_400);

fn store(relay: &Relay) -> Store {
    let retention = RetentionPeriods { delivery_log: DAYS, error_log: DAYS, audit_log: DAYS, message_bodies: DAYS };
    let clock = Clock::system();
    Store::open(StoreOptions { data_dir: relay.data_dir(), clock, disk_free_min: 0, retention }).unwrap().store
}

/// Domains of every kind: the letters' From is sender@src.test.
fn config(sink: &Sink, more: &str) -> Config {
    Config::smarthost(sink.address()).set("envelope_from.return_domain", "\"return.relay.test\"").text(more)
}

const OWN: &str =
    "[[domain]]\nname = \"src.test\"\nenvelope_from_rewrite = true\nreturn_domain = \"bounce.src.test\"\n";

#[test]
fn with_tokens_each_recipient_gets_a_copy_whose_return_address_opens_again() {
    let sink = Options::default()
        .with("DSN")
        .script(|m| match m.step {
            Step::Rcpt if m.line.contains("gone@") => Act::reply("550 5.1.1 No such user here"),
            _ => Act::Normal,
        })
        .start();
    let mut relay = Relay::start(config(&sink, OWN));
    let mut client = Client::hello(relay.smtp());
    client.say("MAIL FROM:<app@src.test> RET=HDRS").expect("250");
    for to in ["one@dst.test", "two@dst.test", "gone@dst.test"] {
        let asked = if to.starts_with("one") { " NOTIFY=SUCCESS" } else { "" };
        client.say(&format!("RCPT TO:<{to}>{asked}")).expect("250");
    }
    let id = client.data(letter("tokens", "Good morning.\r\n").as_bytes()).expect("250").queue_id();
    relay.wait_event("succeeded", "one@dst.test");
    relay.wait_event("succeeded", "two@dst.test");
    relay.wait_event("failed", "gone@dst.test");
    // The submitter hears of both ends at its own address, under the null sender, which nobody rewrites.
    let notices = until("a success and a failure notice", || {
        let notices: Vec<_> = sink.received().into_iter().filter(|m| m.recipients == ["app@src.test"]).collect();
        (notices.len() == 2).then_some(notices)
    });
    assert!(notices.iter().all(|notice| notice.sender.is_empty()));
    for part in ["Action: relayed", "Action: failed"] {
        assert_eq!(notices.iter().filter(|n| n.text().contains(part)).count(), 1, "{part}: {notices:?}");
    }
    let found = relay.cli(&["find", &id]).expect_done().stdout;
    assert!(found.contains("a token for each recipient, at bounce.src.test"), "{found}");

    assert!(relay.stop().success());
    let (store, now) = (store(&relay), Clock::system().now());
    let ring = smol::block_on(KeyRing::open_in(&store, now)).unwrap();
    let sent: Vec<_> = sink.received().into_iter().filter(|m| !m.sender.is_empty()).collect();
    assert_eq!(sent.len(), 2, "{sent:?}");
    for mail in sent {
        let (local, domain) = mail.sender.split_once('@').unwrap();
        assert_eq!(domain, "bounce.src.test");
        let of = ring.open(local, now, DAYS).unwrap();
        assert_eq!((of.message.to_string(), of.index), (id.clone(), u32::from(mail.recipients == ["two@dst.test"])));
        assert_eq!(mail.recipients.len(), 1);
        assert!(mail.mail_line.contains(" RET=HDRS ") && mail.mail_line.ends_with(&format!(" ENVID={id}")), "{mail:?}");
        let rcpt =
            if of.index == 0 { " NOTIFY=FAILURE ORCPT=rfc822;one@dst.test" } else { " ORCPT=rfc822;two@dst.test" };
        assert!(mail.rcpt_lines[0].ends_with(rcpt), "{mail:?}");
        assert_eq!(ring.open(local, now.plus(2 * DAYS), DAYS), Err(NotOpened::Expired));
    }
}

#[test]
fn with_the_local_part_kept_the_sender_is_known_before_its_mail_leaves() {
    let sink = Sink::willing();
    let mut relay = Relay::start(config(&sink, OWN).set("bounce.return_form", "\"keep-local\""));
    relay.submit("App@src.test", &["one@dst.test", "two@dst.test"], "kept");
    let mail = &sink.wait_for(1)[0];
    assert_eq!((mail.sender.as_str(), mail.recipients.len()), ("App@bounce.src.test", 2));
    relay.kill();
    let store = store(&relay);
    for (address, known) in [
        ("app@bounce.src.test", true),
        ("App@BOUNCE.src.test", true),
        ("app@src.test", false),
        ("x@bounce.src.test", false),
    ] {
        assert_eq!(is_known_return_path(&store, &Mailbox::parse(address).unwrap()).unwrap(), known, "{address}");
    }
}

#[test]
fn explain_and_the_mail_itself_agree_on_every_combination_of_the_two_settings() {
    for (own, advanced, domain, why) in [
        ("true", "false", Some("bounce.src.test"), "[[domain]] src.test has envelope_from_rewrite = true"),
        ("true", "true", Some("bounce.src.test"), "[[domain]] src.test has envelope_from_rewrite = true"),
        ("false", "true", Some("return.relay.test"), "[envelope_from] has rewrite = true; its sending domain"),
        ("false", "false", None, "neither [[domain]] src.test nor [envelope_from] rewrites"),
    ] {
        let sink = Sink::willing();
        let relay = Relay::start(
            config(&sink, &OWN.replace("= true", &format!("= {own}"))).set("envelope_from.rewrite", advanced),
        );
        relay.submit("app@src.test", &["one@dst.test"], "combination");
        let sender = sink.wait_for(1)[0].sender.clone();
        let said = relay.cli(&["explain", "one@dst.test", "--from", "app@src.test"]).expect_done().stdout;
        let line = said.lines().find(|line| line.starts_with("return path")).expect("its row");
        assert!(line.contains(why), "{line}");
        match domain {
            Some(domain) => {
                assert!(sender.starts_with("b-") && sender.ends_with(&format!("@{domain}")), "{sender}");
                assert!(line.contains(&format!("a token at {domain} for each recipient")), "{line}");
            }
            None => assert!(sender == "app@src.test" && line.contains("as it is"), "{sender}: {line}"),
        }
    }
}
