//! What a filter takes: sums without a look at the queue, counts before an act, acts that meet exactly what was counted.

use std::{collections::BTreeSet, time::Duration};

use hikyaku::{
    clock::Clock,
    event::{Class, ErrorClass, EventKind, WaitReason},
    ids::RecipientKey,
    store::{
        AuditQuery, LogQuery, Page, QueueAct, QueueCount, QueueFilter, QueueVerb, RecipientState, Store, sim::SimDisk,
    },
};

use crate::support::*;

const LONG: Duration = Duration::from_secs(60);

/// Mail of three users and classes to several destinations, in every state that waits.
fn mixed() -> (SimDisk, Clock, Store) {
    let (disk, clock) = (SimDisk::default(), Clock::manual(START));
    let store = open_sim(&disk, &clock).unwrap().store;
    let later = START.plus(Duration::from_secs(7_200));
    for n in 0..60_usize {
        clock.advance(Duration::from_secs(1));
        let to = [format!("u{n}@a.example"), format!("v{n}@d{}.example", n % 7)];
        let mail = Mail {
            user: ["", "shop", "crm"][n % 3].into(),
            class: Class::ALL[n % 3 * 2 % 3],
            from: (n % 5 != 0).then(|| format!("sender{n}@example.jp")),
            release_at: (n % 11 == 0).then_some(later),
            ..Mail::to(&to.each_ref().map(String::as_str))
        };
        let id = submit(&store, &clock, mail).unwrap().id();
        let now = clock.now();
        match n % 4 {
            0 => apply(&store, vec![succeeded(key(id, 0), now)]).unwrap(),
            1 => apply(&store, vec![deferred(key(id, 0), now, later)]).unwrap(),
            2 => apply(&store, vec![failed(key(id, 0), now)]).unwrap(),
            _ => continue,
        };
    }
    act(&store, QueueVerb::Hold, &QueueFilter { recipient: "v1".into(), ..QueueFilter::default() });
    (disk, clock, store)
}

fn act(store: &Store, verb: QueueVerb, filter: &QueueFilter) -> u64 {
    let (operator, from) = ("mari@example.jp".into(), "192.0.2.7".into());
    smol::block_on(store.act(QueueAct { verb, filter: filter.clone(), operator, from })).unwrap()
}

/// Every filter that the pages make, and some more.
fn filters() -> Vec<QueueFilter> {
    let bare = QueueFilter::default();
    let mut all = vec![bare.clone(), QueueFilter { held: true, ..bare.clone() }];
    for user in ["shop", "crm", "nobody"] {
        all.push(QueueFilter { user: user.into(), ..bare.clone() });
        all.push(QueueFilter { user: user.into(), held: true, ..bare.clone() });
        all.push(QueueFilter { user: user.into(), destination: "d1.example".into(), ..bare.clone() });
    }
    for destination in ["A.example", "d1.example", "d9.example"] {
        all.push(QueueFilter { destination: destination.into(), ..bare.clone() });
        all.push(QueueFilter { destination: destination.into(), class: Some(Class::Low), ..bare.clone() });
        all.push(QueueFilter { destination: destination.into(), held: true, ..bare.clone() });
    }
    for wait in WaitReason::ALL {
        all.push(QueueFilter { wait: Some(wait), ..bare.clone() });
        all.push(QueueFilter { wait: Some(wait), user: "crm".into(), ..bare.clone() });
    }
    for class in Class::ALL {
        all.push(QueueFilter { class: Some(class), ..bare.clone() });
        all.push(QueueFilter { class: Some(class), wait: Some(WaitReason::Held), ..bare.clone() });
        all.push(QueueFilter { class: Some(class), user: "shop".into(), ..bare.clone() });
    }
    all.push(QueueFilter { reply: "4.2.1 LATER".into(), ..bare.clone() });
    all.push(QueueFilter { recipient: "U1".into(), sender: "Sender1".into(), ..bare.clone() });
    all
}

/// What a filter takes of everything that waits, one by one, as its fields say.
fn by_hand(store: &Store, f: &QueueFilter) -> BTreeSet<RecipientKey> {
    let all = Page { rows_max: usize::MAX, ..Page::default() };
    let has = |part: &str, text: &str| text.to_lowercase().contains(&part.to_lowercase());
    let rows = store.queue_page(&QueueFilter::default(), &all).unwrap().rows;
    let takes = |row: &hikyaku::store::QueueRow| {
        let (m, r) = (&row.message, &row.recipient);
        let RecipientState::Waiting { wait, .. } = r.state else { return false };
        (!f.held || matches!(wait, WaitReason::Held | WaitReason::Damaged))
            && f.wait.is_none_or(|wanted| wanted == wait)
            && f.class.is_none_or(|class| class == m.class)
            && (f.user.is_empty() || f.user == m.user)
            && (f.destination.is_empty() || f.destination.eq_ignore_ascii_case(r.lane.destination()))
            && has(&f.recipient, r.address.as_str())
            && (f.sender.is_empty() || m.sender.as_ref().is_some_and(|s| has(&f.sender, s.as_str())))
            && has(&f.reply, &r.last_reply)
    };
    rows.iter().filter(|row| takes(row)).map(|row| row.recipient.key).collect()
}

#[test]
fn a_count_a_page_and_an_act_take_the_same() {
    let (disk, clock, store) = mixed();
    for filter in filters() {
        let expected = by_hand(&store, &filter);
        let counted = store.count_waiting(&filter, LONG).unwrap();
        assert_eq!(counted, QueueCount { recipients: expected.len() as u64, is_whole: true }, "{filter:?}");
        for rows_max in [1, 7, 1_000] {
            let (mut found, mut cursor) = (Vec::new(), None);
            loop {
                let page = store.queue_page(&filter, &Page { rows_max, cursor, ..Page::default() }).unwrap();
                assert!(page.rows.len() <= rows_max);
                found.extend(page.rows.iter().map(|row| row.recipient.key));
                cursor = page.next;
                if cursor.is_none() {
                    break;
                }
            }
            assert_eq!(found.len(), expected.len(), "{filter:?}");
            assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected, "{filter:?}");
        }
    }
    // An act meets what was counted, and nothing else.
    let crm = QueueFilter { user: "crm".into(), wait: Some(WaitReason::Retry), ..QueueFilter::default() };
    let before = by_hand(&store, &QueueFilter::default());
    let wanted = by_hand(&store, &crm);
    assert!(!wanted.is_empty());
    assert_eq!(act(&store, QueueVerb::Drop, &crm), wanted.len() as u64);
    let left: BTreeSet<_> = before.difference(&wanted).copied().collect();
    assert_eq!(by_hand(&store, &QueueFilter::default()), left);
    let entry = store.audit_page(&AuditQuery::default(), &Page::default()).unwrap().rows.remove(0);
    assert_eq!((entry.act.as_str(), entry.object.as_str()), ("queue.drop", "user=crm wait=retry"));
    assert_eq!((entry.who.as_str(), entry.from.as_str()), ("mari@example.jp", "192.0.2.7"));
    assert_eq!(entry.detail, format!("recipients={}", wanted.len()));
    drop((store, clock));
    assert_sound(&disk);
}

#[test]
fn sums_follow_the_queue_and_a_restart_keeps_them() {
    let (disk, clock, store) = mixed();
    let check = |store: &Store| {
        let sums = store.queue_sums().unwrap();
        assert_eq!(sums.waiting(None, None), store.totals().waiting);
        assert_eq!(sums.held(None), store.totals().held);
        let mut cells = 0;
        for class in Class::ALL {
            for wait in WaitReason::ALL {
                let filter = QueueFilter { class: Some(class), wait: Some(wait), ..QueueFilter::default() };
                let count = by_hand(store, &filter).len() as u64;
                assert_eq!(sums.waiting(Some(class), Some(wait)), count, "{class:?} {wait:?}");
                cells += u64::from(count > 0);
            }
        }
        for user in ["", "shop", "crm"] {
            let rows = store.queue_page(&QueueFilter::default(), &Page { rows_max: 9_999, ..Page::default() });
            let count = rows.unwrap().rows.iter().filter(|row| row.message.user == user).count() as u64;
            assert_eq!(sums.of_user(user), count, "{user}");
        }
        (sums, cells)
    };
    let (sums, cells) = check(&store);
    assert!(cells >= 6, "{sums:?}");
    drop(store);
    let store = open_sim(&disk, &clock).unwrap().store;
    assert_eq!(check(&store).0, sums);
    act(&store, QueueVerb::Release, &QueueFilter { held: true, ..QueueFilter::default() });
    act(&store, QueueVerb::Flush, &QueueFilter { wait: Some(WaitReason::Scheduled), ..QueueFilter::default() });
    let (sums, _) = check(&store);
    assert_eq!((sums.held(None), sums.waiting(None, Some(WaitReason::Scheduled))), (0, 0));
    act(&store, QueueVerb::Fail, &QueueFilter::default());
    let (sums, _) = check(&store);
    assert_eq!((sums.waiting(None, None), sums.users.len()), (0, 0), "{sums:?}");
    drop(store);
    assert_sound(&disk);
}

#[test]
fn an_act_of_several_steps_leaves_its_beginning_in_the_operation_log_and_tells_how_far_it_is() {
    let (disk, clock) = (SimDisk::default(), Clock::manual(START));
    let store = open_sim(&disk, &clock).unwrap().store;
    for n in 0..9 {
        let to: Vec<String> = (0..100).map(|i| format!("u{n}-{i}@a.example")).collect();
        submit(&store, &clock, Mail::to(&to.iter().map(String::as_str).collect::<Vec<_>>())).unwrap();
    }
    let (operator, from) = ("mari@example.jp".into(), "192.0.2.7".into());
    let done = std::sync::atomic::AtomicU64::new(0);
    let hold = QueueAct { verb: QueueVerb::Hold, filter: QueueFilter::default(), operator, from };
    assert_eq!(smol::block_on(store.act_told(hold, &done)).unwrap(), 900);
    assert_eq!(done.into_inner(), 900);
    let rows = store.audit_page(&AuditQuery::default(), &Page::default()).unwrap().rows;
    let details: Vec<_> = rows.iter().map(|row| (row.act.as_str(), row.detail.as_str())).collect();
    assert_eq!(details, [("queue.hold", "recipients=900"), ("queue.hold", "begun")]);
    let found = |text: &str| {
        let query = AuditQuery { text: text.into(), ..AuditQuery::default() };
        store.audit_page(&query, &Page::default()).unwrap().rows.len()
    };
    assert_eq!([found("BEGUN"), found("whole queue"), found("192.0.2.7"), found("nothing")], [1, 2, 2, 0]);
    drop(store);
    assert_sound(&disk);
}

#[test]
fn the_log_is_filtered_by_error_class_and_by_domain() {
    let (_disk, _clock, store) = mixed();
    let count = |query: LogQuery| store.log_page(&query, &Page { rows_max: 999, ..Page::default() }).unwrap().rows;
    let all = count(LogQuery::default());
    let errors = count(LogQuery { errors_only: true, ..LogQuery::default() });
    assert!(!errors.is_empty());
    let class = |row: &hikyaku::store::LogRow| row.event.detail.as_ref().and_then(|d| d.error);
    let mut seen = 0;
    for wanted in [ErrorClass::UnknownUser, ErrorClass::Rejected, ErrorClass::Other] {
        let found = count(LogQuery { classes: vec![wanted], errors_only: true, ..LogQuery::default() });
        let expected = errors.iter().filter(|row| class(row).unwrap_or(ErrorClass::Other) == wanted).count();
        assert_eq!(found.len(), expected);
        seen += found.len();
    }
    assert!(seen > 0);
    assert!(
        count(LogQuery { classes: vec![ErrorClass::Other], ..LogQuery::default() })
            .iter()
            .all(|row| row.event.kind == EventKind::Failed)
    );
    let of_a = count(LogQuery { domain: "A.Example".into(), ..LogQuery::default() });
    let expected = all.iter().filter(|row| row.recipient.ends_with("@a.example")).count();
    assert_eq!((of_a.len(), of_a.len() > 60), (expected, true));
    assert!(count(LogQuery { domain: "example".into(), ..LogQuery::default() }).is_empty());
}
