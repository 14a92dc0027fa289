//! Every kind of row is read back equal, and garbage is an error.

use proptest::{option, prelude::*};

use super::{
    super::{
        message_rows::{MESSAGE_VERSION, write_message_v1, write_message_v2},
        types::{BodyPlace, Message, Origin},
    },
    *,
};
use crate::{
    bounce::envelope_from::ReturnPath,
    ids::UserKey,
    mail::header::Facts,
    smtp::params::{BodyType, ByMode, DeliverBy, Hold, MailParams, Ret},
};

fn mailbox() -> impl Strategy<Value = Mailbox> {
    "([a-zA-Zé]{1,12}|\"[a-z ]{1,8}\")@[a-zé]{1,8}(\\.[a-z]{1,8}){0,2}".prop_map(|s| Mailbox::parse(&s).unwrap())
}

fn timestamp() -> impl Strategy<Value = Timestamp> {
    any::<u64>().prop_map(Timestamp::from_millis)
}

fn class() -> impl Strategy<Value = Class> {
    (0..3usize).prop_map(|n| Class::ALL[n])
}

fn place() -> impl Strategy<Value = BodyPlace> {
    prop_oneof![
        Just(BodyPlace::Gone),
        Just(BodyPlace::File),
        any::<(u64, u64)>().prop_map(|(segment, offset)| BodyPlace::Segment { segment, offset }),
    ]
}

prop_compose! {
    fn facts()(
        texts in (".{0,30}", ".{0,30}", ".{0,30}", ".{0,30}"), class in option::of(class()),
        received_count in any::<u32>(), bits in any::<(bool, bool, bool, bool, bool)>(),
    ) -> Facts {
        let (message_id, from, subject, api_data) = texts;
        let (has_date, has_header, header_is_8bit, tls_optional, one_click) = bits;
        Facts { message_id, from, from_others: Vec::new(), subject, api_data, class, received_count, has_date, has_header, header_is_8bit, tls_optional, one_click }
    }
}

fn hold() -> impl Strategy<Value = Option<Hold>> {
    prop_oneof![
        Just(None),
        any::<u32>().prop_map(|s| Some(Hold::For(s))),
        any::<u64>().prop_map(|s| Some(Hold::Until(s)))
    ]
}

prop_compose! {
    fn by()(seconds in any::<i64>(), returns in any::<bool>(), trace in any::<bool>()) -> DeliverBy {
        DeliverBy { seconds, mode: if returns { ByMode::Return } else { ByMode::Notify }, trace }
    }
}

prop_compose! {
    fn params()(
        size in any::<Option<u64>>(), eight in any::<bool>(), smtputf8 in any::<bool>(), ret in 0..3u8, envid in option::of(".{0,9}"),
        mt_priority in any::<Option<i8>>(), hold in hold(), by in option::of(by()), require_tls in any::<bool>(),
    ) -> MailParams {
        let body = if eight { BodyType::EightBitMime } else { BodyType::SevenBit };
        let ret = [None, Some(Ret::Full), Some(Ret::Headers)][usize::from(ret)];
        MailParams { size, body, smtputf8, ret, envid, mt_priority, hold, by, require_tls }
    }
}

fn return_path() -> impl Strategy<Value = ReturnPath> {
    prop_oneof![
        Just(ReturnPath::AsIs),
        ("[a-z.]{0,20}", any::<u8>()).prop_map(|(domain, epoch)| ReturnPath::Token { domain: domain.into(), epoch }),
        "[a-z.]{0,20}".prop_map(|domain| ReturnPath::KeepLocal { domain: domain.into() }),
    ]
}

prop_compose! {
    fn message()(
        id in any::<u64>(), accepted_at in timestamp(), expires_at in timestamp(), sender in option::of(mailbox()),
        params in params(),
        recipients in any::<u32>(), class in class(), facts in facts(), user in ".{0,9}", source_ip in any::<Option<std::net::IpAddr>>(),
        rest in (0..4u8, place(), any::<u64>()), return_path in return_path(), list in ".{0,9}",
    ) -> Message {
        let (origin, place, len) = rest;
        Message {
            id: MessageId::from_u64(id), accepted_at, expires_at, sender, params,
            recipients, class, facts, user, source_ip, origin: [Origin::Smtp, Origin::Api, Origin::Notice, Origin::Forward][usize::from(origin)],
            return_path, list, place, len,
        }
    }
}

prop_compose! {
    fn detail()(
        texts in (".{0,30}", ".{0,30}", ".{0,30}", ".{0,30}"), address in any::<Option<std::net::SocketAddr>>(),
        sender_ip in any::<Option<std::net::IpAddr>>(), phase in option::of(0..11usize), duration in any::<Duration>(),
        error in option::of(prop_oneof![1..=11u8, Just(99)]), possible_duplicate in any::<bool>(),
        trouble in option::of(0..6usize), hard in any::<bool>(),
    ) -> AttemptDetail {
        let (destination, host, tls, reply) = texts;
        // A flow label is no part of an address that we store.
        let address = address.map(|a| std::net::SocketAddr::new(a.ip(), a.port()));
        AttemptDetail {
            destination, host, address, sender_ip, tls, phase: phase.map(|n| Phase::ALL[n]), reply, duration,
            error: error.map(|c| ErrorClass::from_code(c).unwrap()), possible_duplicate,
            trouble: trouble.map(|n| Trouble::ALL[n]), hard,
        }
    }
}

prop_compose! {
    fn event()(
        at in timestamp(), message in any::<u64>(), index in any::<u32>(), kind in 0..7usize, attempt in any::<u32>(),
        next_try in option::of(timestamp()), wait in option::of(0..6usize), operator in option::of(".{0,9}"),
        detail in option::of(detail()),
    ) -> Event {
        Event {
            at, key: RecipientKey { message: MessageId::from_u64(message), index }, kind: EventKind::ALL[kind], attempt, next_try,
            wait: wait.map(|n| WaitReason::ALL[n]), operator, detail: detail.map(Box::new),
        }
    }
}

fn state() -> impl Strategy<Value = RecipientState> {
    prop_oneof![
        (timestamp(), 0..6usize).prop_map(|(due, n)| RecipientState::Waiting { due, wait: WaitReason::ALL[n] }),
        (0..5usize).prop_map(|n| RecipientState::Final(EventKind::ALL[n])),
    ]
}

prop_compose! {
    fn recipient()(
        key in any::<(u64, u32)>(), address in mailbox(), notify in any::<[bool; 4]>(), orcpt in option::of(".{0,9}"),
        lane in option::of("[a-z.:0-9]{0,20}"), state in state(), attempts in any::<u32>(), last_reply in ".{0,30}",
        bits in any::<(bool, bool)>(), class in class(), last_event in any::<u64>(), owed in proptest::collection::vec(any::<u64>(), 0..3),
    ) -> RecipientRow {
        let [given, success, failure, delay] = notify;
        let lane = Lane(Arc::from(lane.unwrap_or_else(|| address.domain().to_owned())));
        RecipientRow {
            shown: Recipient {
                key: RecipientKey { message: MessageId::from_u64(key.0), index: key.1 }, address, lane, state, attempts, last_reply,
                params: RcptParams { notify: Notify { given, success, failure, delay }, orcpt },
                possible_duplicate: bits.0, delay_noticed: bits.1,
            },
            class, last_event, owed,
        }
    }
}

proptest! {
    #[test]
    fn a_message_row_is_read_back_equal(
        m in message(), waiting in any::<u32>(), owed in any::<u32>(), api in any::<Option<u32>>(), moved in place(), held in any::<u32>(),
        returned in any::<bool>(), leads in any::<bool>(),
    ) {
        let since = Some(m.accepted_at.plus(Duration::from_millis(held.into())));
        let head = MessageHead { place: m.place, waiting, owed, len: m.len, api_hash: api, returned, leads, user: UserKey::of(&m.user), since };
        let mut row = write_message(&head, &m);
        prop_assert_eq!(MessageHead::read(&row).unwrap(), head);
        prop_assert_eq!(format!("{:?}", read_message(m.id, &row).unwrap()), format!("{m:?}"));
        let patched = MessageHead { place: moved, waiting: owed, owed: waiting, returned: !returned, leads: !leads, ..head };
        patched.patch(&mut row);
        let m = Message { place: moved, ..m };
        prop_assert_eq!(MessageHead::read(&row).unwrap(), patched);
        prop_assert_eq!(format!("{:?}", read_message(m.id, &row).unwrap()), format!("{m:?}"));
    }

    #[test]
    fn a_message_row_of_version_1_is_read_and_patched(m in message(), moved in place()) {
        let head = MessageHead { place: m.place, waiting: 3, owed: 1, len: m.len, api_hash: Some(7), returned: false, leads: false, user: UserKey::of(&m.user), since: Some(m.accepted_at) };
        let mut row = write_message_v1(&head, &m);
        prop_assert_eq!(MessageHead::read(&row).unwrap(), head);
        MessageHead { place: moved, waiting: 2, ..head }.patch(&mut row);
        prop_assert_eq!(row[0], 1);
        let p = &m.params;
        let params = MailParams { size: p.size, body: p.body, smtputf8: p.smtputf8, ret: p.ret, envid: p.envid.clone(), ..MailParams::default() };
        let origin = if m.origin == Origin::Forward { Origin::Notice } else { m.origin };
        let facts = Facts { tls_optional: false, one_click: false, ..m.facts.clone() };
        let m = Message { place: moved, params, facts, origin, return_path: ReturnPath::AsIs, list: String::new(), ..m };
        prop_assert_eq!(MessageHead::read(&row).unwrap(), MessageHead { place: moved, waiting: 2, ..head });
        prop_assert_eq!(format!("{:?}", read_message(m.id, &row).unwrap()), format!("{m:?}"));
    }

    #[test]
    fn a_message_row_of_version_2_is_read_and_patched(m in message(), moved in place()) {
        let head = MessageHead { place: m.place, waiting: 3, owed: 1, len: m.len, api_hash: None, returned: false, leads: false, user: UserKey::of(&m.user), since: Some(m.accepted_at) };
        let mut row = write_message_v2(&head, &m);
        prop_assert_eq!(MessageHead::read(&row).unwrap(), head);
        let patched = MessageHead { place: moved, returned: true, leads: true, ..head };
        patched.patch(&mut row);
        prop_assert_eq!((row[0], MessageHead::read(&row).unwrap()), (2, patched));
        let m = Message { place: moved, return_path: ReturnPath::AsIs, list: String::new(), ..m };
        prop_assert_eq!(format!("{:?}", read_message(m.id, &row).unwrap()), format!("{m:?}"));
    }

    #[test]
    fn a_minute_of_four_numbers_blocked_nobody(n in any::<[u64; 5]>()) {
        prop_assert_eq!(read_minute(&write_numbers(&n)).unwrap(), n);
        prop_assert_eq!(read_minute(&write_numbers(&n[..4])).unwrap(), [n[0], n[1], n[2], n[3], 0]);
        prop_assert!(read_minute(&write_numbers(&n[..3])).is_err());
    }

    #[test]
    fn a_recipient_row_is_read_back_equal(mut r in recipient(), number in any::<u64>()) {
        let mut row = write_recipient(&r);
        prop_assert_eq!(format!("{:?}", read_recipient(r.shown.key, &row).unwrap()), format!("{r:?}"));
        patch_last_event(&mut row, number);
        r.last_event = number;
        prop_assert_eq!(format!("{:?}", read_recipient(r.shown.key, &row).unwrap()), format!("{r:?}"));
    }

    #[test]
    fn an_event_row_is_read_back_equal(e in event(), number in 1..u64::MAX, back in 0..1000u64, closes in any::<bool>()) {
        let prev = if back == 0 { 0 } else { number.saturating_sub(back) };
        let row = write_event(number, prev, closes, &e);
        prop_assert_eq!(read_event(number, &row).unwrap(), (e.clone(), prev));
        let back = if prev == 0 { 0 } else { number - prev };
        let head = EventHead { kind: e.kind, closes, message: e.key.message, index: e.key.index, back };
        prop_assert_eq!(EventHead::read(&row).unwrap(), head);
    }

    #[test]
    fn small_rows_are_read_back_equal(counts in any::<[u64; 3]>(), earliest in any::<u64>(), last_reply in ".{0,30}", key in any::<(u64, u32)>(), kind in 0..4usize, numbers in any::<[u64; 4]>(), attempts in any::<u32>(), at in timestamp()) {
        let lane = LaneTotals { counts, earliest, last_reply };
        prop_assert_eq!(read_lane(&write_lane(&lane)).unwrap(), lane);
        let key = RecipientKey { message: MessageId::from_u64(key.0), index: key.1 };
        prop_assert_eq!(read_notice(&write_notice(key, NOTICES[kind])).unwrap(), (key, NOTICES[kind]));
        prop_assert_eq!(read_numbers(&write_numbers(&numbers)).unwrap(), numbers);
        prop_assert_eq!(read_due(&write_due(attempts, at)).unwrap(), (attempts, at));
    }

    #[test]
    fn garbage_rows_are_errors_and_never_panics(mut row in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Some(first) = row.first_mut() {
            *first = VERSION;
        }
        let key = RecipientKey { message: MessageId::from_u64(1), index: 0 };
        let _ = (MessageHead::read(&row), read_message(key.message, &row).is_ok(), read_recipient(key, &row).is_ok());
        if let Some(first) = row.first_mut() {
            *first = MESSAGE_VERSION;
        }
        let _ = (MessageHead::read(&row), read_message(key.message, &row).is_ok());
        let _ = (EventHead::read(&row), read_event(5, &row), read_lane(&row), read_notice(&row), read_due(&row), read_numbers::<4>(&row), read_minute(&row));
    }

    #[test]
    fn a_cut_row_is_an_error(e in event(), cut in any::<proptest::sample::Index>()) {
        let row = write_event(7, 0, false, &e);
        let cut = cut.index(row.len());
        prop_assert!(read_event(7, &row[..cut]).is_err());
    }
}
