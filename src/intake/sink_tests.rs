//! An inbound listener on loopback, with a sink that notes what it was given.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use super::*;
use crate::{
    account::Accounts,
    authres::Authenticator,
    bounce::keys::KeyRing,
    clock::Clock,
    config::{Config, Forward, ForwardSide, InForce, InboundWebhook, Listener, Role},
    deliver::job::{Deliver, Job, Outcome},
    ids::{MessageId, RecipientKey},
    intake::{
        inbound::Inbound,
        inlets::{Opened, Tokens},
        listener::{self, Entrance},
        submit::Door,
        sweep::Board,
    },
    lookup::fake::Zones,
    mail::trace::TraceKey,
    metrics::Metrics,
    runtime::{Runtime, Shutdown},
    sandbox::Sandbox,
    schedule::task::{Parts, Scheduler, Settings},
    store::{RetentionPeriods, Store, StoreOptions},
};

/// What came: sender, recipient, content.
type Came = (String, String, String);

/// Opens `b-valid`, and knows `news`.
struct Known;

impl Tokens for Known {
    fn open(&self, local: &str) -> Opened {
        match local.to_ascii_lowercase().as_str() {
            "b-valid" => Opened::Valid(RecipientKey { message: MessageId::from_u64(1), index: 0 }),
            local if local.starts_with("b-") => Opened::Forged,
            _ => Opened::NotAToken,
        }
    }
    fn is_return_path(&self, address: &Mailbox) -> bool {
        address.local() == "news"
    }
}

/// Takes what holds `report`, asks to wait for what holds `later`, refuses the rest; notes what came, and what it was worth.
#[derive(Clone, Default)]
struct Noting(Arc<Mutex<Vec<Came>>>, Arc<Mutex<Vec<Option<&'static str>>>>);

impl Sink for Noting {
    fn take<'a>(&'a self, mail: InboundMail<'a>) -> Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send + 'a>> {
        Box::pin(async move {
            let text = String::from_utf8_lossy(mail.body).into_owned();
            if text.contains("later") {
                return Err(Refusal::Later("the writer is behind".into()));
            }
            if !text.contains("report") {
                return Err(Refusal::NotTaken("not a report".into()));
            }
            let from = mail.sender.map(ToString::to_string).unwrap_or_default();
            let to: Vec<String> =
                mail.to.iter().map(|(address, inlet)| format!("{}:{address}", inlet.word())).collect();
            self.0.lock().expect("no panic").push((from, to.join(" "), text));
            self.1.lock().expect("no panic").push(mail.results.map(|results| results.mark(&[]).mark.word()));
            Ok(())
        })
    }
}

/// Nothing is ever queued here.
struct Nobody;

impl Deliver for Nobody {
    fn deliver(&self, job: Job) -> Pin<Box<dyn Future<Output = Outcome> + Send + '_>> {
        panic!("a report was queued: {job:?}")
    }
}

struct House {
    store: Store,
    budget: Budget,
    shutdown: Shutdown,
    address: std::net::SocketAddr,
    data_dir: PathBuf,
    dns: Arc<Zones>,
}

impl Drop for House {
    fn drop(&mut self) {
        self.shutdown.cut();
        let _ = std::fs::remove_dir_all(&self.data_dir);
    }
}

fn house(name: &str, tls_reports: Noting, mailroom: Noting, message_size_max: u64) -> House {
    house_with(name, tls_reports, mailroom, Noting::default(), message_size_max)
}

fn house_with(name: &str, tls_reports: Noting, mailroom: Noting, posts: Noting, message_size_max: u64) -> House {
    let day = Duration::from_secs(86_400);
    let data_dir = std::env::temp_dir().join(format!("hikyaku-sinks-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&data_dir).unwrap();
    let clock = Clock::system();
    let retention = RetentionPeriods { delivery_log: day, error_log: day, audit_log: day, message_bodies: day };
    let options = StoreOptions { data_dir: data_dir.clone(), clock: clock.clone(), disk_free_min: 0, retention };
    let store = Store::open(options).unwrap().store;
    let mut config = Config::default();
    config.server.hostname = "relay.test".into();
    config.server.postmaster = "admin@office.test".into();
    config.envelope_from.return_domain = "return.relay.test".into();
    config.bounce.complaint_address = "fbl@relay.test".into();
    config.inbound.message_size_max = message_size_max;
    config.inbound.addresses = vec!["info@relay.test".into(), "hook@relay.test".into()];
    let pattern = regex::Regex::new("^hook@").unwrap();
    config.inbound.webhooks.push(InboundWebhook { addresses: vec![pattern], ..InboundWebhook::default() });
    config.forwards.push(Forward { side: ForwardSide::Inbound, ..Forward::default() });
    config.tls_report.address = "tls@relay.test".into();
    let (runtime, shutdown, metrics) = (Runtime::start(1).unwrap(), Shutdown::new(), Arc::new(Metrics::default()));
    let (budget, settings, live) = (Budget::new(16 << 20), Settings::from(&config), InForce::new(config));
    let parts = Parts {
        runtime: runtime.clone(),
        store: store.clone(),
        clock: clock.clone(),
        metrics: metrics.clone(),
        shutdown: shutdown.clone(),
        deliver: Arc::new(Nobody),
        budget: budget.clone(),
        streams: Default::default(),
    };
    let scheduler = Scheduler::start(parts, settings);
    let dns = Zones::default()
        .with_txt("them.test", "v=spf1 ip4:127.0.0.1 -all")
        .with_txt("_dmarc.them.test", "v=DMARC1; p=reject")
        .with_txt("_dmarc.bank.test", "v=DMARC1; p=reject");
    let dns = Arc::new(dns);
    let entrance = Arc::new(Entrance {
        door: Door::new(
            store.clone(),
            scheduler,
            clock.clone(),
            metrics.clone(),
            live.clone(),
            KeyRing::fixed([7; 32]),
            Arc::new(Sandbox::open(&data_dir).unwrap()),
        ),
        accounts: Accounts::new(store.clone(), clock.clone(), metrics.clone(), &live.get().accounts).unwrap(),
        runtime,
        shutdown: shutdown.clone(),
        config: live,
        board: Board::new(clock.clone()),
        clock,
        metrics,
        budget: budget.clone(),
        store: store.clone(),
        tls: None,
        trace_key: TraceKey::new(&[7; 32]),
        inbound: Inbound {
            tokens: Arc::new(Known),
            tls_reports: Arc::new(tls_reports.clone()),
            dmarc_reports: Arc::new(tls_reports),
            mailroom: Arc::new(mailroom),
            posts: Arc::new(posts),
            authenticate: Arc::new(Authenticator::new(dns.clone(), Clock::system())),
        },
    });
    let inbound = Listener { address: ([127, 0, 0, 1], 0).into(), role: Role::Inbound, ..Listener::default() };
    let bound = listener::bind(&[inbound]).unwrap();
    let address = bound[0].1.get_ref().local_addr().unwrap();
    listener::start(&entrance, bound);
    House { store, budget, shutdown, address, data_dir, dns }
}

/// Says lines one by one; answers the code of the last reply to each.
fn converse(house: &House, lines: &[&str]) -> Vec<String> {
    let stream = TcpStream::connect(house.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut reply = move || loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if line.as_bytes().get(3) != Some(&b'-') {
            return line.get(..9.min(line.len())).unwrap_or_default().trim_end().to_owned();
        }
    };
    assert!(reply().starts_with("220"));
    let mut out = Vec::new();
    for line in lines {
        (&stream).write_all(format!("{line}\r\n").as_bytes()).unwrap();
        out.push(reply());
    }
    out
}

fn codes(said: &[String]) -> Vec<&str> {
    said.iter().map(|s| &s[..3]).collect()
}

#[test]
fn a_report_is_kept_before_its_250_and_nothing_is_queued() {
    let sink = Noting::default();
    let house = house("kept", sink.clone(), Noting::default(), 1 << 20);
    let said = converse(
        &house,
        &[
            "EHLO them.test",
            "MAIL FROM:<noreply@them.test>",
            "RCPT TO:<someone@relay.test>",
            "RCPT TO:<someone@return.relay.test>",
            "RCPT TO:<tls@RELAY.test>",
            "DATA",
            "Subject: a report\r\n\r\nx\r\n.",
            "MAIL FROM:<>",
            "RCPT TO:<tls@relay.test>",
            "DATA",
            "Subject: buy\r\n\r\nx\r\n.",
            "MAIL FROM:<>",
            "RCPT TO:<tls@relay.test>",
            "BDAT 7 LAST\r\nlater",
            "MAIL FROM:<> MT-PRIORITY=3",
            "QUIT",
        ],
    );
    let expected = [
        "250", "250", "550", "550", "250", "354", "250", "250", "250", "354", "550", "250", "250", "451", "555", "221",
    ];
    assert_eq!(codes(&said), expected, "{said:?}");
    assert_eq!((said[2].as_str(), said[3].as_str(), said[10].as_str()), ("550 5.7.1", "550 5.1.1", "550 5.6.0"));
    let kept = sink.0.lock().unwrap().clone();
    let want =
        ("noreply@them.test".into(), "tls-report:tls@RELAY.test".into(), "Subject: a report\r\n\r\nx\r\n".into());
    assert_eq!(kept, [want], "as it came, and once");
    assert!(house.store.notices_owed(10).unwrap().is_empty());
    assert_eq!(house.budget.used(), 0, "its memory is given back");
}

#[test]
fn each_recipient_has_its_inlet_and_one_answer_stands_for_all() {
    let (tls, room) = (Noting::default(), Noting::default());
    let house = house("several", tls.clone(), room.clone(), 1 << 20);
    let transaction = |recipients: &[&str], subject: &str| {
        let mut lines = vec!["EHLO them.test".to_owned(), "MAIL FROM:<>".to_owned()];
        lines.extend(recipients.iter().map(|r| format!("RCPT TO:<{r}>")));
        lines.extend(["DATA".to_owned(), format!("Subject: {subject}\r\n\r\nx\r\n.")]);
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        converse(&house, &lines).pop().unwrap()
    };
    let all =
        ["B-VALID@return.relay.test", "news@RETURN.relay.test", "fbl@relay.test", "postmaster", "info@relay.test"];
    assert!(transaction(&all, "a report").starts_with("250"));
    let came = room.0.lock().unwrap().pop().unwrap().1;
    let want = "return:B-VALID@return.relay.test return:news@RETURN.relay.test complaint:fbl@relay.test \
                postmaster:postmaster@relay.test inbound:info@relay.test";
    assert_eq!(came, want);
    assert!(transaction(&["tls@relay.test", "abuse@return.relay.test"], "a report").starts_with("250"));
    assert_eq!((tls.0.lock().unwrap().len(), room.0.lock().unwrap().len()), (1, 1));
    assert!(transaction(&["tls@relay.test", "abuse@return.relay.test"], "later").starts_with("451"));
    assert!(transaction(&["tls@relay.test", "abuse@return.relay.test"], "buy").starts_with("550"));
    assert_eq!(house.budget.used(), 0, "its memory is given back");
}

#[test]
fn mail_for_a_webhook_goes_to_it_and_to_the_mailroom_which_a_filter_may_want() {
    let (room, posts) = (Noting::default(), Noting::default());
    let house = house_with("posts", Noting::default(), room.clone(), posts.clone(), 1 << 20);
    let said = converse(
        &house,
        &[
            "EHLO them.test",
            "MAIL FROM:<a@them.test>",
            "RCPT TO:<hook@relay.test>",
            "RCPT TO:<info@relay.test>",
            "DATA",
            "Subject: report\r\n\r\nx\r\n.",
            "MAIL FROM:<a@them.test>",
            "RCPT TO:<hook@relay.test>",
            "RCPT TO:<info@relay.test>",
            "DATA",
            "Subject: later\r\n\r\nx\r\n.",
        ],
    );
    assert_eq!((&said[5][..3], &said[10][..3]), ("250", "451"), "{said:?}");
    let came = |sink: &Noting| sink.0.lock().unwrap().iter().map(|(_, to, _)| to.clone()).collect::<Vec<_>>();
    assert_eq!(came(&posts), ["inbound:hook@relay.test"]);
    assert_eq!(came(&room), ["inbound:hook@relay.test inbound:info@relay.test"]);
}

#[test]
fn mail_that_pretends_to_be_ours_is_refused_unless_it_is_a_bounce() {
    let room = Noting::default();
    let house = house("spam", Noting::default(), room.clone(), 1 << 20);
    let head = "DATA\r\nFrom: x@relay.test\r\nTo: y@relay.test\r\nSubject: report\r\n\r\n.";
    for (sender, to, expected) in [
        ("a@them.test", "info@relay.test", "550 5.7.1"),
        ("a@them.test", "b-valid@return.relay.test", "550 5.7.1"),
        ("", "b-valid@return.relay.test", "250 2.0.0"),
        ("a@them.test", "postmaster", "250 2.0.0"),
        ("a@them.test", "fbl@relay.test", "250 2.0.0"),
    ] {
        let said =
            converse(&house, &["EHLO x", &format!("MAIL FROM:<{sender}>"), &format!("RCPT TO:<{to}>"), head, "NOOP"]);
        assert_eq!(said[4], expected, "<{sender}> to {to}: {said:?}");
    }
    assert_eq!(room.0.lock().unwrap().len(), 3);
}

#[test]
fn sizes_are_those_of_the_inlet_and_hops_are_counted() {
    let house = house("large", Noting::default(), Noting::default(), 8 << 20);
    let size = REPORT_OCTETS_MAX + 1;
    let said = converse(
        &house,
        &[
            "EHLO them.test",
            "MAIL FROM:<a@them.test> SIZE=9000000",
            &format!("MAIL FROM:<a@them.test> SIZE={size}"),
            "RCPT TO:<tls@relay.test>",
            "RCPT TO:<fbl@relay.test>",
            "RSET",
            "MAIL FROM:<>",
            "RCPT TO:<tls@relay.test>",
            &format!("DATA\r\nSubject: report\r\n\r\n{}.", "x\r\n".repeat(800_000)),
            "NOOP",
            "MAIL FROM:<>",
            "RCPT TO:<fbl@relay.test>",
            &format!("DATA\r\n{}Subject: report\r\n\r\nx\r\n.", "Received: x\r\n".repeat(51)),
            "NOOP",
            "NOOP",
        ],
    );
    // The answer to content is read with the line behind it.
    let expected =
        ["250", "552", "250", "552", "250", "250", "250", "250", "354", "552", "250", "250", "250", "354", "554"];
    assert_eq!(codes(&said), expected, "{said:?}");
}

#[test]
fn guessing_ends_the_session() {
    let house = house("guess", Noting::default(), Noting::default(), 1 << 20);
    let mut lines = vec!["EHLO them.test".to_owned(), "MAIL FROM:<>".to_owned()];
    lines.extend((0..20).map(|n| format!("RCPT TO:<b-{n}@return.relay.test>")));
    lines.push("RCPT TO:<b-20@return.relay.test>".to_owned());
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let said = converse(&house, &lines);
    assert!(said[2..22].iter().all(|s| s == "550 5.1.1"), "{said:?}");
    assert_eq!(said[22], "421 4.7.0");
}

#[test]
fn mail_for_ourselves_is_authenticated_and_bounces_ask_the_dns_nothing() {
    let (tls, room) = (Noting::default(), Noting::default());
    let house = house("authentic", tls.clone(), room.clone(), 1 << 20);
    let come = |from: &str, to: &str, header_from: &str| {
        let said = converse(
            &house,
            &[
                "EHLO mx.them.test",
                &format!("MAIL FROM:<{from}>"),
                &format!("RCPT TO:<{to}>"),
                "DATA",
                &format!("From: x@{header_from}\r\nSubject: a report\r\n\r\nx\r\n."),
            ],
        );
        assert!(said[4].starts_with("250"), "{said:?}");
    };
    // Return addresses, with a token and with the local part kept.
    come("", "b-valid@return.relay.test", "them.test");
    come("a@them.test", "news@return.relay.test", "bank.test");
    assert_eq!(room.1.lock().unwrap().split_off(0), [None, None]);
    assert!(house.dns.asked().is_empty(), "{:?}", house.dns.asked());
    // All else is looked at, and nothing is refused for what comes out.
    for (from, to, header_from, expected) in [
        ("a@them.test", "tls@relay.test", "them.test", "verified"),
        ("a@them.test", "tls@relay.test", "bank.test", "forged"),
        ("a@nobody.test", "fbl@relay.test", "nobody.test", "unverified"),
        ("a@them.test", "postmaster@relay.test", "them.test", "verified"),
        ("a@them.test", "info@relay.test", "bank.test", "forged"),
    ] {
        come(from, to, header_from);
        let noted: Vec<_> = [&tls, &room].into_iter().flat_map(|sink| sink.1.lock().unwrap().split_off(0)).collect();
        assert_eq!(noted, [Some(expected)], "{from} {to} {header_from}");
    }
    assert_eq!(house.budget.used(), 0, "its memory is given back");
}
