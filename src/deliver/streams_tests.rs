//! Mail streams: what is counted, how it is kept over restarts and midnights, and its bounds.

use super::*;
use crate::{
    clock::{DAY_MILLIS, Timestamp},
    deliver::shelf::RamShelf,
    event::{AttemptDetail, Class, Event, Phase},
    ids::{MessageId, RecipientKey},
    mail::header::Facts,
    smtp::{
        address::Mailbox,
        params::{MailParams, RcptParams},
    },
    store::{BodyPlace, Lane, RecipientState},
};

const NOON: Timestamp = Timestamp::from_millis(20_000 * DAY_MILLIS + DAY_MILLIS / 2);

fn message(from: &str, sender: Option<&str>) -> Message {
    Message {
        id: MessageId::from_u64(7),
        accepted_at: NOON,
        expires_at: NOON,
        sender: sender.map(|s| Mailbox::parse(s).unwrap()),
        params: MailParams::default(),
        recipients: 1,
        class: Class::Normal,
        facts: Facts { from: from.into(), ..Facts::default() },
        user: String::new(),
        source_ip: None,
        origin: Origin::Smtp,
        return_path: crate::bounce::envelope_from::ReturnPath::AsIs,
        list: String::new(),
        place: BodyPlace::Gone,
        len: 1_000,
    }
}

fn recipient(address: &str) -> Recipient {
    let address = Mailbox::parse(address).unwrap();
    Recipient {
        key: RecipientKey { message: MessageId::from_u64(7), index: 0 },
        lane: Lane(address.domain_key().into()),
        address,
        params: RcptParams::default(),
        state: RecipientState::Waiting { due: NOON, wait: crate::event::WaitReason::Fresh },
        attempts: 0,
        last_reply: String::new(),
        possible_duplicate: false,
        delay_noticed: false,
    }
}

fn ended(kind: EventKind, at: Timestamp, host: &str, class: Option<ErrorClass>) -> Change {
    let detail = AttemptDetail {
        destination: "x.example".into(),
        host: host.into(),
        tls: if kind == EventKind::Succeeded { "TLSv1.3".into() } else { String::new() },
        phase: Some(Phase::Content),
        error: class,
        ..AttemptDetail::default()
    };
    let key = RecipientKey { message: MessageId::from_u64(7), index: 0 };
    let event =
        Event { at, key, kind, attempt: 1, next_try: None, wait: None, operator: None, detail: Some(Box::new(detail)) };
    Change::of(event, None)
}

fn count(streams: &Streams, message: &Message, to: &str, change: Change) {
    streams.count(message, &[recipient(to)], &[change]);
}

fn delivered(streams: &Streams, from: &str, at: Timestamp) {
    count(streams, &message(from, None), "a@gmail.com", ended(EventKind::Succeeded, at, "mx.google.com", None));
}

fn read(shelf: &RamShelf, domain: &str) -> Vec<(u32, String, &'static str, u64)> {
    let rows = days(shelf, domain, 0, u32::MAX).unwrap();
    rows.into_iter().map(|r| (r.day, r.domain, r.provider.word(), r.counts.volume())).collect()
}

#[test]
fn a_days_counts_grow_over_flushes_and_restarts() {
    let shelf = RamShelf::default();
    for _ in 0..2 {
        let streams = Streams::default();
        let mail = message("News@Shop.Example.JP", None);
        let leavable = Message { facts: Facts { one_click: true, ..mail.facts.clone() }, ..mail.clone() };
        let of_list = Message { list: "news".into(), ..mail.clone() };
        for mail in [&mail, &leavable, &of_list] {
            count(&streams, mail, "a@example.org", ended(EventKind::Succeeded, NOON, "aspmx.l.google.com", None));
        }
        let refused = Some(ErrorClass::UnknownUser);
        count(&streams, &mail, "a@docomo.ne.jp", ended(EventKind::Failed, NOON, "mfsmax.docomo.ne.jp", refused));
        count(&streams, &mail, "a@docomo.ne.jp", ended(EventKind::Deferred, NOON, "", Some(ErrorClass::ResendTimeout)));
        smol::block_on(streams.flush(&shelf));
        smol::block_on(streams.flush(&shelf));
    }
    let rows = days(&shelf, "example.jp", 20_000, 20_000).unwrap();
    let [gmail, docomo] = &rows[..] else { panic!("{rows:?}") };
    assert_eq!((gmail.day, gmail.domain.as_str(), gmail.provider), (20_000, "shop.example.jp", Provider::Gmail));
    let got = &gmail.counts;
    assert_eq!((got.delivered, got.octets, got.one_click, got.tls, got.failed()), (6, 6_000, 4, 6, 0));
    let got = &docomo.counts;
    assert_eq!(docomo.provider, Provider::Docomo);
    assert_eq!((got.delivered, got.deferred, got.failed_by(ErrorClass::UnknownUser), got.failed()), (0, 2, 2, 2));
}

#[test]
fn a_domain_is_read_with_what_is_below_it_and_nothing_else() {
    let shelf = RamShelf::default();
    let streams = Streams::default();
    for from in ["a@example.jp", "a@b.example.jp", "a@example.jp.evil.example", "a@notexample.jp", "a@例え.jp", "who?"]
    {
        delivered(&streams, from, NOON);
    }
    count(
        &streams,
        &message("", Some("x@Envelope.example")),
        "a@b.example",
        ended(EventKind::Succeeded, NOON, "", None),
    );
    smol::block_on(streams.flush(&shelf));
    let row = |domain: &str, provider, n| (20_000, domain.to_owned(), provider, n);
    assert_eq!(read(&shelf, "EXAMPLE.jp."), [row("b.example.jp", "gmail", 1), row("example.jp", "gmail", 1)]);
    assert_eq!(read(&shelf, "xn--r8jz45g.jp"), [row("xn--r8jz45g.jp", "gmail", 1)]);
    assert_eq!(read(&shelf, "envelope.example"), [row("envelope.example", "other", 1)]);
    assert_eq!(read(&shelf, OTHERS), [row(OTHERS, "gmail", 1)]);
    assert_eq!(read(&shelf, "").len(), 7);
    assert!(read(&shelf, "jp.evil.example").len() == 1 && read(&shelf, "p").is_empty());
    assert!(days(&shelf, "", 20_001, 30_000).unwrap().is_empty());
}

#[test]
fn what_is_nobodys_stream_is_not_counted() {
    let streams = Streams::default();
    let forwarded = Message { origin: Origin::Forward, ..message("a@example.jp", None) };
    count(&streams, &forwarded, "a@b.example", ended(EventKind::Succeeded, NOON, "mx", None));
    let mail = message("a@example.jp", None);
    count(&streams, &mail, "a@b.example", ended(EventKind::Succeeded, NOON, SANDBOX_HOST, None));
    let mut posted = ended(EventKind::Succeeded, NOON, "hook", None);
    posted.event.detail.as_mut().unwrap().destination = "webhook/tickets".into();
    count(&streams, &mail, "a@b.example", posted);
    let shelf = RamShelf::default();
    smol::block_on(streams.flush(&shelf));
    assert!(read(&shelf, "").is_empty());
}

#[test]
fn a_day_is_bounded_in_domains_and_what_is_over_is_counted_together() {
    let shelf = RamShelf::default();
    let streams = Streams::default();
    for round in 0..2 {
        for n in 0..DOMAINS_A_DAY_MAX + 20 {
            delivered(&streams, &format!("a@d{n}.example"), NOON);
        }
        smol::block_on(streams.flush(&shelf));
        let rows = read(&shelf, "");
        assert_eq!(rows.len(), DOMAINS_A_DAY_MAX + 1, "round {round}");
        assert_eq!(read(&shelf, OTHERS)[0].3, 20 * (round + 1));
    }
    // A restart knows which domains the day has.
    let memos: Arc<dyn Memos> = Arc::new(shelf);
    let again = Streams::default();
    smol::block_on(again.sweep(&memos, 20_000));
    delivered(&again, "a@late.example", NOON);
    delivered(&again, "a@d7.example", NOON);
    smol::block_on(again.flush(&*memos));
    let volume = |domain| days(&*memos, domain, 0, u32::MAX).unwrap().iter().map(|r| r.counts.volume()).sum::<u64>();
    assert_eq!((volume("late.example"), volume("d7.example"), volume(OTHERS)), (0, 3, 41));
    // Nor does what the store takes of a kind stop them.
    assert!((DOMAINS_A_DAY_MAX + 1) * (KEPT_DAYS as usize + 1) < MemoKind::Streams.max());
}

#[test]
fn what_cannot_be_written_is_written_later_and_old_days_go() {
    let shelf = Arc::new(RamShelf::default());
    let memos: Arc<dyn Memos> = shelf.clone();
    let streams = Streams::default();
    delivered(&streams, "a@example.jp", NOON);
    shelf.fail(true);
    smol::block_on(streams.flush(&*memos));
    delivered(&streams, "a@example.jp", NOON);
    smol::block_on(streams.flush(&*memos));
    assert!(read(&shelf, "").is_empty());
    shelf.fail(false);
    // Midnight passed meanwhile.
    let tomorrow = NOON.plus(Duration::from_secs(86_400));
    delivered(&streams, "a@example.jp", tomorrow);
    smol::block_on(streams.flush(&*memos));
    let row = |day, n| (day, "example.jp".to_owned(), "gmail", n);
    assert_eq!(read(&shelf, "example.jp"), [row(20_000, 2), row(20_001, 1)]);
    smol::block_on(streams.sweep(&memos, 20_000 + KEPT_DAYS - 1));
    assert_eq!(read(&shelf, "example.jp").len(), 2, "sixty days are kept");
    smol::block_on(streams.sweep(&memos, 20_000 + KEPT_DAYS));
    assert_eq!(read(&shelf, "example.jp"), [row(20_001, 1)]);
}

#[test]
fn a_row_is_short_and_read_back_equal() {
    let mut counts = Counts { delivered: 3, octets: 4_096, ..Counts::default() };
    counts.add_failed(ErrorClass::Other, 2);
    counts.add_failed(ErrorClass::UnknownUser, 1);
    let json = serde_json::to_string(&Row::from([(Provider::YahooJapan, counts)])).unwrap();
    assert_eq!(json, r#"{"yahoo-japan":{"delivered":3,"failed":{"2":1,"99":2},"octets":4096}}"#);
    assert_eq!(serde_json::from_str::<Row>(&json).unwrap()[&Provider::YahooJapan], counts);
}
