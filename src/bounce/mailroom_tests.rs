//! What the mailroom writes down, whom it forwards to, and what its peers hear.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::{
    bounce::{
        classify::Judged,
        find::tests::{Memory, Readable, config, sent_message, token},
        read::{Action, Original, Row},
    },
    config::{Forward, ForwardMode},
    event::{ErrorClass, EventKind, Trouble},
    ids::MessageId,
    intake::inlets,
    mail::header,
    store::StoreError,
};

/// Notes what is passed on: to whom, why.
#[derive(Clone, Default)]
struct Noting(Arc<Mutex<Vec<String>>>, Arc<Mutex<bool>>);

impl Out for Noting {
    async fn pass_on(&self, mail: &InboundMail<'_>, to: Mailbox, why: Why) -> Result<MessageId, StoreError> {
        if *self.1.lock().expect("no panic") {
            return Err(StoreError::Full);
        }
        assert!(!mail.body.is_empty());
        self.0.lock().expect("no panic").push(format!("{} {to}", why.word()));
        Ok(MessageId::from_u64(1))
    }
    fn was_passed_on(&self, mail: &InboundMail<'_>) -> bool {
        mail.head().starts_with(b"Mark:")
    }
}

/// The mails of these tests say in their body what is read in them: a kind, an action, an address, a Message-ID.
fn read(mail: &[u8]) -> Reading {
    let text = String::from_utf8_lossy(mail).into_owned();
    let words: Vec<&str> = text.split("\r\n\r\n").nth(1).unwrap_or_default().split_whitespace().collect();
    let word = |n: usize| words.get(n).copied().filter(|w| *w != "-").unwrap_or_default();
    let kinds = [Kind::Bounce, Kind::Complaint, Kind::Delay, Kind::Delivered, Kind::AutoReply, Kind::Other];
    let kind = kinds.into_iter().find(|k| k.word() == word(0)).unwrap_or_default();
    let action = [Action::Failed, Action::Delayed].into_iter().find(|a| a.word() == word(1));
    let judged = Judged {
        class: ErrorClass::UnknownUser,
        hard: true,
        trouble: Trouble::Recipient,
        reason: "userunknown",
        known: true,
    };
    let row = action.map(|action| Row {
        recipient: word(2).into(),
        action,
        diagnostic: "550 5.1.1 gone".into(),
        judged: (action == Action::Failed).then_some(judged),
        ..Row::default()
    });
    Reading {
        kind,
        rows: row.into_iter().collect(),
        original: Original { message_id: word(3).into(), ..Original::default() },
    }
}

struct Room {
    mailroom: Mailroom<Memory, Noting>,
    memory: Memory,
    out: Noting,
    woken: Arc<AtomicU64>,
    metrics: Arc<Metrics>,
}

fn room(change: impl FnOnce(&mut Config)) -> Room {
    let mut settings = config();
    settings.server.postmaster = "admin@office.example".into();
    settings.bounce.report_address = "dmarc@own.example".into();
    settings.inbound.addresses = vec!["info@own.example".into()];
    change(&mut settings);
    let mut forwarded = sent_message(3, "", &["taro@a.example"]);
    forwarded.0.origin = Origin::Forward;
    let memory = Memory::with(vec![
        sent_message(1, "news@own.example", &["taro@a.example", "hanako@b.example"]),
        sent_message(2, "", &["taro@a.example"]),
        forwarded,
        sent_message(4, "x@bounce.own.example", &["taro@a.example"]),
    ]);
    let (out, woken, metrics) = (Noting::default(), Arc::new(AtomicU64::new(0)), Arc::new(Metrics::default()));
    let wake = woken.clone();
    let mailroom = Mailroom::new(Parts {
        sent: memory.clone(),
        out: out.clone(),
        tokens: Arc::new(Readable),
        read,
        config: InForce::new(settings),
        metrics: metrics.clone(),
        leave: Box::new(|_, _| Box::pin(std::future::ready(Ok(())))),
        on_returned: Box::new(move || {
            wake.fetch_add(1, Ordering::SeqCst);
        }),
    });
    Room { mailroom, memory, out, woken, metrics }
}

impl Room {
    fn take(&self, to: &[&str], mail: &str) -> Result<(), Refusal> {
        let config = self.mailroom.parts.config.get();
        let to: Vec<(Mailbox, Inlet)> = to
            .iter()
            .map(|text| {
                let address = Mailbox::parse(text).expect("an address");
                let inlet = inlets::inlet_of(&config, &Readable, &address).expect("it is taken");
                (address, inlet)
            })
            .collect();
        let body = Bytes::from(mail.to_owned());
        let facts = header::scan_watching(&body, "", &config.watch);
        smol::block_on(self.mailroom.take(InboundMail::of(&body, &facts, &to)))
    }

    fn written(&self) -> Vec<(EventKind, u64, u32, u8)> {
        let state = self.memory.state();
        let line = |r: &Returned| {
            let class = r.detail.error.map_or(0, ErrorClass::code);
            (r.kind, r.key.message.as_u64() >> 30, r.key.index, class)
        };
        state.written.iter().map(line).collect()
    }

    fn passed(&self) -> Vec<String> {
        self.out.0.lock().expect("no panic").clone()
    }
}

fn code(taken: Result<(), Refusal>) -> u16 {
    taken.err().map_or(250, |refusal| crate::intake::sink::reply_of(&refusal).code)
}

fn mail(words: &str) -> String {
    format!("Subject: x\r\n\r\n{words}\r\n")
}

#[test]
fn failures_and_complaints_are_written_down_and_their_followers_woken() {
    let room = room(|_| {});
    let bounce = mail("bounce failed hanako@b.example");
    assert_eq!(room.take(&[&token(1, 1)], &bounce), Ok(()));
    assert_eq!(room.written(), [(EventKind::Bounced, 1, 1, 2)]);
    assert_eq!(room.woken.load(Ordering::SeqCst), 1);
    assert_eq!(room.take(&[&token(1, 1)], &bounce), Ok(()), "a repeat after a lost 250");
    assert_eq!((room.written().len(), room.woken.load(Ordering::SeqCst)), (1, 1));
    assert_eq!(
        room.take(&["fbl@own.example"], &mail("complaint - - <m1@own.example>")),
        Ok(()),
        "of nobody that we know"
    );
    assert_eq!(room.take(&["fbl@own.example"], &mail("complaint failed taro@a.example <m1@own.example>")), Ok(()));
    assert_eq!(room.written()[1..], [(EventKind::Complained, 1, 0, 11)]);
    assert_eq!(room.take(&[&token(1, 0)], &mail("complaint")), Ok(()), "a known repeat to its own token");
    let m = &room.metrics;
    assert_eq!(
        (m.bounced.get(), m.complained.get(), m.inbound_bounces.get(), m.inbound_complaints.get()),
        (1, 2, 2, 3)
    );
    assert!(room.passed().is_empty(), "R6 is off");
}

#[test]
fn what_is_no_failure_makes_no_entry() {
    let room = room(|_| {});
    for words in ["delay delayed taro@a.example", "delivered", "auto-reply", "other", "bounce delayed taro@a.example"] {
        assert_eq!(room.take(&[&token(1, 0)], &mail(words)), Ok(()), "{words}");
    }
    assert_eq!(room.take(&[&token(9, 0)], &mail("bounce failed taro@a.example")), Ok(()), "forgotten mail");
    assert!(room.written().is_empty() && room.passed().is_empty());
    assert_eq!(room.woken.load(Ordering::SeqCst), 0);
}

#[test]
fn a_kept_local_part_takes_nothing_that_is_not_about_mail_of_ours() {
    let room = room(|config| config.bounce.forward_to_sender = true);
    let news = "news@bounce.own.example";
    for words in ["bounce failed nobody@a.example <x@y>", "auto-reply", "other", "bounce failed - -"] {
        let refused = room.take(&[news], &mail(words)).unwrap_err();
        let reply = crate::intake::sink::reply_of(&refused);
        assert_eq!((reply.code, reply.enhanced), (550, Some(Enhanced(5, 1, 1))), "{words}");
    }
    assert!(room.written().is_empty() && room.passed().is_empty());
    assert_eq!(room.take(&[news], &mail("bounce failed hanako@b.example <m1@own.example>")), Ok(()));
    assert_eq!((room.written().len(), room.passed()), (1, vec!["bounce news@own.example".to_owned()]));
}

#[test]
fn every_bounce_mail_is_forwarded_once_or_none_is() {
    let on = room(|config| config.bounce.forward_to_sender = true);
    let kinds = ["bounce failed taro@a.example", "delay delayed taro@a.example", "delivered", "auto-reply", "other"];
    for (n, words) in kinds.iter().enumerate() {
        for _repeat in 0..2 {
            assert_eq!(on.take(&[&token(1, 0)], &mail(words)), Ok(()));
            assert_eq!(on.passed().len(), n + 1, "{words}");
        }
    }
    assert!(on.passed().iter().all(|line| line == "bounce news@own.example"));
    let before = on.passed().len();
    assert_eq!(on.take(&[&token(1, 0)], &mail("complaint")), Ok(()));
    assert_eq!(on.take(&["fbl@own.example"], &mail("bounce failed taro@a.example <m1@own.example>")), Ok(()));
    assert_eq!(on.passed().len(), before, "complaints, and what came to their address, go to nobody");
}

#[test]
fn nothing_goes_round_in_a_loop() {
    let room = room(|config| config.bounce.forward_to_sender = true);
    let bounce = "bounce failed taro@a.example";
    // Nobody to tell, our own forward, a sender at a return domain of ours, and a mail that we passed on before.
    for n in [2, 3, 4] {
        assert_eq!(room.take(&[&token(n, 0)], &mail(bounce)), Ok(()), "{n}");
    }
    assert_eq!(room.take(&[&token(1, 0)], &format!("Mark: ours\r\n\r\n{bounce}\r\n")), Ok(()));
    assert!(room.passed().is_empty(), "{:?}", room.passed());
    assert_eq!(room.written().len(), 4, "and all of them count");
    for to in ["postmaster@own.example", "info@own.example"] {
        assert_eq!(code(room.take(&[to], "Mark: ours\r\n\r\nx\r\n")), 554, "{to}");
    }
    assert!(room.passed().is_empty());
}

#[test]
fn mail_for_people_goes_to_postmaster_and_filters_choose_the_rest() {
    let filter = |name: &str, pattern: &str, mode| Forward {
        name: name.into(),
        side: ForwardSide::Inbound,
        header: "Subject".into(),
        pattern: regex::Regex::new(pattern).expect("a pattern"),
        to: format!("{name}@office.example"),
        mode,
    };
    let room = room(|config| {
        config.forwards = vec![
            filter("help", "help", ForwardMode::Copy),
            filter("desk", "help|desk", ForwardMode::Rewrite),
            Forward { side: ForwardSide::Relay, ..filter("out", ".", ForwardMode::Copy) },
        ];
    });
    let mut passed = 0;
    let mut check = |to: &[&str], subject: &str, words: &str, expected: &[&str], wanted: u16| {
        let taken = room.take(to, &format!("Subject: {subject}\r\n\r\n{words}\r\n"));
        assert_eq!(code(taken), wanted, "{to:?} {subject}");
        let all = room.passed();
        assert_eq!(all[passed..], *expected, "{to:?} {subject}");
        passed = all.len();
    };
    check(&["postmaster@own.example"], "help", "", &["postmaster admin@office.example"], 250);
    check(&["abuse@bounce.own.example", "POSTMASTER@own.example"], "x", "", &["postmaster admin@office.example"], 250);
    check(&["info@own.example"], "help", "", &["filter help@office.example", "filter desk@office.example"], 250);
    check(&["info@own.example"], "desk", "", &["filter desk@office.example"], 250);
    check(&["info@own.example"], "buy", "", &[], 550);
    check(&["info@own.example", "abuse@own.example"], "buy", "", &["postmaster admin@office.example"], 250);
    let bounce = "bounce failed taro@a.example";
    check(&[&token(1, 0)], "desk", bounce, &["filter desk@office.example"], 250);
    check(&["news@bounce.own.example"], "desk", "bounce failed nobody@a.example", &[], 550);
    assert_eq!(room.written().len(), 1, "a bounce that a filter takes is counted all the same");
}

#[test]
fn what_cannot_be_stored_is_asked_for_again_and_nothing_is_lost() {
    let room = room(|config| config.bounce.forward_to_sender = true);
    let bounce = mail("bounce failed taro@a.example");
    *room.out.1.lock().expect("no panic") = true;
    assert_eq!(code(room.take(&[&token(1, 0)], &bounce)), 451);
    assert!(room.written().is_empty(), "what is written down is forwarded before");
    *room.out.1.lock().expect("no panic") = false;
    room.memory.state().broken = true;
    assert_eq!(code(room.take(&[&token(1, 0)], &bounce)), 451);
    assert_eq!(room.passed().len(), 1);
    room.memory.state().broken = false;
    assert_eq!(room.take(&[&token(1, 0)], &bounce), Ok(()));
    assert_eq!((room.written().len(), room.passed().len()), (1, 1), "the repeat is written, and not forwarded again");
}
