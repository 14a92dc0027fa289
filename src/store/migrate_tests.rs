//! A database of schema 1 is brought up to date, wherever the power is cut.

use std::{path::Path, sync::Arc, time::Duration};

use bytes::Bytes;

use super::{super::*, *};
use crate::{
    budget::Budget,
    event::{Event, EventKind, WaitReason},
    mail::header::Facts,
    smtp::{
        address::Mailbox,
        params::{Envelope, EnvelopeRecipient, MailParams, RcptParams},
    },
    store::{
        chain::LINK_LEN,
        message_rows::{write_message, write_message_v1, write_message_v2},
        pages::DatabaseFile,
        sim::{DIR, Fate, SimDisk},
        tables::{
            AGES, AUDIT, CONVERSATIONS, COUNTS, DATABASE_FILE, DUE, LEADS, MAIL, MEMOS, META, META_USER_MINUTES,
            MINUTES, PAUSES, USER_MINUTES, read_due_key, read_mail_key,
        },
    },
};

const START: Timestamp = Timestamp::from_millis(1_793_491_200_000);

pub(in crate::store) fn open(disk: &SimDisk, clock: &Clock) -> Result<Opened, StoreError> {
    let day = Duration::from_secs(86_400);
    let retention =
        RetentionPeriods { delivery_log: day, error_log: day, audit_log: day, message_bodies: Duration::ZERO };
    let options = StoreOptions { data_dir: DIR.into(), clock: clock.clone(), disk_free_min: 0, retention };
    let tuning = Tuning {
        disk: Arc::new(disk.clone()),
        segment_octets: 8 * 1024,
        jobs_inline: true,
        company_wait: Duration::ZERO,
        idle_tick: Duration::from_secs(60),
        migration_step: 7,
        redo_octets: 192 * 1024,
    };
    Store::open_tuned(options, tuning)
}

fn submit(store: &Store, now: Timestamp, n: usize) -> MessageId {
    let id = store.ids().next(now);
    let mailbox = |text: &str| Mailbox::parse(text).unwrap();
    let to: Vec<Mailbox> = (0..3).map(|r| mailbox(&format!("u{r}@d{}.example", (n + r) % 4))).collect();
    let body = Bytes::from_static(b"body");
    let submission = Submission {
        id,
        accepted_at: now,
        expires_at: now.plus(Duration::from_secs(1000)),
        lanes: to.iter().map(|a| Lane(a.domain_key().into())).collect(),
        envelope: Envelope {
            sender: Some(mailbox("me@example.jp")),
            params: MailParams::default(),
            recipients: to
                .into_iter()
                .map(|address| EnvelopeRecipient { address, params: RcptParams::default() })
                .collect(),
        },
        class: Class::ALL[n % 3],
        facts: Facts { subject: format!("mail {n}"), ..Facts::default() },
        user: ["", "shop", "crm"][n % 3].to_owned(),
        source_ip: None,
        origin: Origin::Smtp,
        release_at: None,
        body: BodyIn::Ram { lease: Budget::new(usize::MAX).take(body.len()).unwrap(), bytes: body },
        settles: Vec::new(),
        return_path: crate::bounce::envelope_from::ReturnPath::AsIs,
        list: String::new(),
        blocked: Vec::new(),
        sandboxed: Vec::new(),
        memos: Vec::new(),
    };
    smol::block_on(store.submit(submission)).unwrap().id()
}

/// Twelve messages to three each; some delivered, some deferred, some held.
pub(in crate::store) fn filled(clock: &Clock) -> (SimDisk, Vec<MessageId>) {
    let disk = SimDisk::default();
    let store = open(&disk, clock).unwrap().store;
    let mut ids = Vec::new();
    for n in 0..12 {
        clock.advance(Duration::from_secs(41));
        ids.push(submit(&store, clock.now(), n));
    }
    for (n, id) in ids.iter().enumerate() {
        let kind = if n % 4 == 0 { EventKind::Succeeded } else { EventKind::Deferred };
        let deferred = kind == EventKind::Deferred;
        let event = Event {
            at: clock.now(),
            key: RecipientKey { message: *id, index: 1 },
            kind,
            attempt: 1,
            next_try: deferred.then(|| clock.now().plus(Duration::from_secs(60))),
            wait: deferred.then_some(WaitReason::Retry),
            operator: None,
            detail: None,
        };
        smol::block_on(store.apply(vec![Change::of(event, None)])).unwrap();
    }
    let filter = QueueFilter { destination: "d3.example".into(), ..QueueFilter::default() };
    smol::block_on(store.act(QueueAct { verb: QueueVerb::Hold, filter, operator: "op".into(), from: "test".into() }))
        .unwrap();
    for n in 0..ENTRIES - 1 {
        let entry = AuditEntry {
            at: clock.now(),
            who: format!("op {n}"),
            from: "192.0.2.1".into(),
            act: "user.add".into(),
            object: "crm".into(),
            detail: String::new(),
        };
        smol::block_on(store.audit(entry)).unwrap();
    }
    smol::block_on(store.stop()).unwrap();
    (disk, ids)
}

/// Entries of the operation log: more than a step takes.
const ENTRIES: usize = 17;

pub(in crate::store) fn database(disk: &SimDisk) -> Database {
    use crate::store::disk::{Disk, OpenHow};
    let path = Path::new(DIR).join(DATABASE_FILE);
    let file = disk.open(&path, OpenHow::Write).unwrap();
    crate::store::redo::replay(disk, &path, &file).unwrap();
    Database::builder().create_with_backend(DatabaseFile::new(file, None)).unwrap()
}

/// How a version wrote a message's row.
type WriteMessage = fn(&MessageHead, &Message) -> Vec<u8>;

/// Writes the rows that every older schema has otherwise, and its number.
fn write_as(txn: &redb::WriteTransaction, schema: u64, write: WriteMessage) {
    let mut mail = txn.open_table(MAIL).unwrap();
    let rows: Vec<_> = mail
        .iter()
        .unwrap()
        .filter_map(|entry| {
            let (key, row) = entry.unwrap();
            let (id, None) = read_mail_key(key.value()) else { return None };
            let head = MessageHead::read(row.value()).unwrap();
            Some((*key.value(), write(&head, &rows::read_message(id, row.value()).unwrap())))
        })
        .collect();
    for (key, row) in rows {
        mail.insert(&key, row.as_slice()).unwrap();
    }
    let mut minutes = txn.open_table(MINUTES).unwrap();
    let counts: Vec<_> = minutes
        .iter()
        .unwrap()
        .map(|entry| {
            let (minute, row) = entry.unwrap();
            (minute.value(), rows::read_minute(row.value()).unwrap())
        })
        .collect();
    for (minute, n) in counts {
        minutes.insert(minute, write_numbers(&n[..if schema < 3 { 4 } else { 5 }]).as_slice()).unwrap();
    }
    let mut audit = txn.open_table(AUDIT).unwrap();
    let entries: Vec<_> = audit
        .iter()
        .unwrap()
        .map(|entry| {
            let (number, row) = entry.unwrap();
            let mut row = row.value().to_vec();
            row.truncate(row.len() - LINK_LEN);
            row[0] = 1;
            (number.value(), row)
        })
        .collect();
    for (number, row) in entries {
        audit.insert(number, row.as_slice()).unwrap();
    }
    txn.delete_table(COUNTS).unwrap();
    txn.delete_table(USER_MINUTES).unwrap();
    for name in [META_MIGRATED, META_CHAIN, META_COUNTS, META_USER_MINUTES] {
        txn.open_table(META).unwrap().remove(name).unwrap();
    }
    txn.open_table(META).unwrap().insert(META_SCHEMA, write_numbers(&[schema]).as_slice()).unwrap();
}

/// Makes of the database what schema 2 wrote.
fn downgrade_to_2(disk: &SimDisk) {
    let txn = database(disk).begin_write().unwrap();
    write_as(&txn, 2, write_message_v2);
    txn.commit().unwrap();
}

/// Makes of the database what schema 3 wrote.
fn downgrade_to_3(disk: &SimDisk) {
    let txn = database(disk).begin_write().unwrap();
    write_as(&txn, 3, write_message);
    txn.commit().unwrap();
}

/// Makes of the database what schema 4 wrote.
fn downgrade_to_4(disk: &SimDisk) {
    let txn = database(disk).begin_write().unwrap();
    txn.delete_table(LEADS).unwrap();
    txn.delete_table(CONVERSATIONS).unwrap();
    let mut meta = txn.open_table(META).unwrap();
    for name in [META_SCHEMA, META_MIGRATED] {
        meta.insert(name, write_numbers(&[4]).as_slice()).unwrap();
    }
    drop(meta);
    txn.commit().unwrap();
}

/// Makes of the database what schema 1 wrote.
fn downgrade(disk: &SimDisk) {
    let db = database(disk);
    let txn = db.begin_write().unwrap();
    write_as(&txn, 1, write_message_v1);
    {
        let due = txn.open_table(DUE).unwrap();
        let mut old = txn.open_table(OLD_DUE).unwrap();
        for entry in due.iter().unwrap() {
            let (key, value) = entry.unwrap();
            let k = read_due_key(key.value()).unwrap();
            let mut out = k.lane.as_bytes().to_vec();
            out.extend([0, k.class as u8]);
            out.extend(k.due.as_millis().to_be_bytes());
            out.extend(k.key.message.as_u64().to_be_bytes());
            out.extend(k.key.index.to_be_bytes());
            assert_eq!(read_old_key(&out), Some((k.lane, k.class, k.due, k.key)));
            old.insert(out.as_slice(), value.value()).unwrap();
        }
    }
    txn.delete_table(DUE).unwrap();
    txn.delete_table(AGES).unwrap();
    txn.delete_table(MEMOS).unwrap();
    txn.delete_table(PAUSES).unwrap();
    txn.commit().unwrap();
}

fn assert_sound(disk: &SimDisk, context: &str) {
    let report = Store::verify_on(Arc::new(disk.clone()), Path::new(DIR)).unwrap();
    assert!(report.damage.is_empty(), "{context}: {:#?}", report.damage);
    assert_eq!((report.messages, report.recipients), (12, 36), "{context}");
}

/// Everybody who waits is found under his submitter, and nothing else changed.
fn check(store: &Store, ids: &[MessageId], context: &str) {
    assert_eq!((store.totals().waiting, store.totals().held), (33, 9), "{context}");
    assert_eq!(store.lanes(10).unwrap().iter().map(|l| l.count).sum::<u64>(), 33, "{context}");
    let mut due = 0;
    for class in Class::ALL {
        for lane in store.lanes(10).unwrap() {
            let limits = HeadLimits { rows: 100, per_message: 9 };
            let head = store.head(&lane.lane, class, Timestamp::MAX, limits, &|_| false).unwrap();
            for t in &head.tickets {
                let message = store.load(t.key.message, &[]).unwrap().unwrap().0;
                assert_eq!(t.user, UserKey::of(&message.user), "{context}");
            }
            due += head.tickets.len();
        }
    }
    assert_eq!(due, 24, "{context}");
    let oldest = store.oldest().unwrap();
    for class in Class::ALL {
        let first = ids.iter().find_map(|id| {
            let (message, recipients) = store.load(*id, &[0, 1, 2]).unwrap().unwrap();
            let waits = |r: &Recipient| matches!(r.state, RecipientState::Waiting { due, .. } if due != Timestamp::MAX);
            (message.class == class && recipients.iter().any(waits)).then_some(message.accepted_at)
        });
        assert_eq!(oldest[class as usize], first, "{context}");
    }
}

#[test]
fn a_database_of_schema_1_is_brought_up_to_date_wherever_the_power_is_cut() {
    let clock = Clock::manual(START);
    let total = {
        let (disk, ids) = filled(&clock);
        assert_sound(&disk, "before");
        downgrade(&disk);
        assert!(matches!(Store::verify_on(Arc::new(disk.clone()), Path::new(DIR)), Err(StoreError::Read { .. })));
        disk.plan(None);
        let opened = open(&disk, &clock).unwrap();
        assert!(opened.clean);
        let operations = disk.operations();
        check(&opened.store, &ids, "uncut");
        check_logs(&opened.store, &clock, 36, "uncut");
        smol::block_on(opened.store.stop()).unwrap();
        drop(opened);
        assert_sound(&disk, "uncut");
        operations
    };
    assert!(total > 20, "{total}");
    for at in (1..=total).step_by(if std::env::var_os("HIKYAKU_LONG").is_some() { 1 } else { 3 }) {
        let context = format!("cut at {at} of {total}");
        let (disk, ids) = filled(&clock);
        downgrade(&disk);
        disk.plan(Some(Fate::CrashAt(at)));
        let _ = open(&disk, &clock);
        disk.restart(at);
        let opened = open(&disk, &clock).unwrap_or_else(|e| panic!("{context}: {e}"));
        check(&opened.store, &ids, &context);
        check_logs(&opened.store, &clock, 36, &context);
        // It works on.
        let id = submit(&opened.store, clock.now(), 1);
        assert!(ids.iter().all(|known| *known < id));
        let filter = QueueFilter { message: Some(id), ..QueueFilter::default() };
        let act = QueueAct { verb: QueueVerb::Drop, filter, operator: "op".into(), from: "test".into() };
        assert_eq!(smol::block_on(opened.store.act(act)).unwrap(), 3);
        smol::block_on(opened.store.stop()).unwrap();
        drop(opened);
        let report = Store::verify_on(Arc::new(disk.clone()), Path::new(DIR)).unwrap();
        assert!(report.damage.is_empty(), "{context}: {:#?}", report.damage);
    }
}

#[test]
fn a_half_moved_database_is_refused_by_an_older_program() {
    let clock = Clock::manual(START);
    let (disk, _) = filled(&clock);
    downgrade(&disk);
    let mut half = 0;
    for at in 1.. {
        let copy = {
            let (disk, _) = filled(&clock);
            downgrade(&disk);
            disk
        };
        copy.plan(Some(Fate::CrashAt(at)));
        let opened = open(&copy, &clock).is_ok();
        copy.restart(at);
        let db = database(&copy);
        let txn = db.begin_read().unwrap();
        let moved = txn.open_table(DUE).is_ok();
        assert_eq!(read_schema(&txn).unwrap(), if moved { SCHEMA } else { 1 }, "cut at {at}");
        half += usize::from(moved && txn.open_table(OLD_DUE).is_ok());
        if opened || at > 400 {
            break;
        }
    }
    assert!(half > 0, "no cut hit the middle");
}

#[test]
fn a_database_of_schema_2_is_taken_as_it_is_and_refused_by_older_programs_from_then_on() {
    let clock = Clock::manual(START);
    for at in 0.. {
        let (disk, ids) = filled(&clock);
        downgrade_to_2(&disk);
        if at > 0 {
            disk.plan(Some(Fate::CrashAt(at)));
            let opened = open(&disk, &clock).is_ok();
            disk.restart(at);
            if opened {
                return;
            }
        }
        let opened = open(&disk, &clock).unwrap();
        check(&opened.store, &ids, &format!("cut at {at}"));
        // Its rows are as good as new ones: something comes back about the one that is done, and counts go on.
        let returned = |n: usize| Returned {
            key: RecipientKey { message: ids[n], index: 1 },
            kind: EventKind::Bounced,
            at: clock.now(),
            detail: Box::default(),
        };
        let written = smol::block_on(opened.store.returned(vec![returned(0), returned(1)])).unwrap();
        assert!(written.iter().all(|w| matches!(w, ReturnedAs::Written(_))), "{written:?}");
        submit(&opened.store, clock.now(), 1);
        let minutes = opened.store.minutes(START, clock.now().plus(Duration::from_secs(60))).unwrap();
        assert_eq!(minutes.iter().map(|m| (m.queued, m.blocked)).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1)), (39, 0));
        smol::block_on(opened.store.stop()).unwrap();
        drop(opened);
        assert_eq!(read_schema(&database(&disk).begin_read().unwrap()).unwrap(), SCHEMA);
        let report = Store::verify_on(Arc::new(disk.clone()), Path::new(DIR)).unwrap();
        assert!(report.damage.is_empty(), "cut at {at}: {:#?}", report.damage);
    }
}

/// What the minutes know is in the counts, once, and the whole operation log is linked.
fn check_logs(store: &Store, clock: &Clock, queued: u64, context: &str) {
    let counts = store.counts(START, clock.now().plus(Duration::from_secs(900)), None).unwrap();
    let mut sum = QuarterCounts::default();
    counts.iter().for_each(|c| sum.add(c));
    assert_eq!((sum.queued, sum.deferred, sum.succeeded), (queued, 9, 3), "{context}");
    let page = store.audit_page(&AuditQuery::default(), &Page::default()).unwrap();
    assert_eq!(page.rows.len(), ENTRIES, "{context}");
    assert_eq!((page.rows[0].who.as_str(), page.rows[ENTRIES - 1].who.as_str()), ("op 15", "op"), "{context}");
}

#[test]
fn a_database_of_schema_3_gets_counts_and_a_chain_wherever_the_power_is_cut() {
    let clock = Clock::manual(START);
    for at in 0.. {
        let context = format!("cut at {at}");
        let (disk, ids) = filled(&clock);
        downgrade_to_3(&disk);
        let mut opened_at_once = false;
        if at > 0 {
            disk.plan(Some(Fate::CrashAt(at)));
            opened_at_once = open(&disk, &clock).is_ok();
            disk.restart(at);
        }
        let opened = open(&disk, &clock).unwrap_or_else(|e| panic!("{context}: {e}"));
        check(&opened.store, &ids, &context);
        check_logs(&opened.store, &clock, 36, &context);
        let before = opened.store.counts(Timestamp::ZERO, Timestamp::MAX, None).unwrap();
        assert!(before.iter().all(|c| c.user.is_empty()), "{context}: nobody's");
        // From now on they are counted by name.
        submit(&opened.store, clock.now(), 1);
        check_logs(&opened.store, &clock, 39, &context);
        let shops = opened.store.counts(Timestamp::ZERO, Timestamp::MAX, Some("shop")).unwrap();
        assert_eq!(shops.iter().map(|c| c.queued).collect::<Vec<_>>(), [3], "{context}");
        smol::block_on(opened.store.stop()).unwrap();
        drop(opened);
        let report = Store::verify_on(Arc::new(disk.clone()), Path::new(DIR)).unwrap();
        assert!(report.damage.is_empty(), "{context}: {:#?}", report.damage);
        assert_eq!(report.audit_entries, ENTRIES as u64, "{context}");
        if opened_at_once {
            assert!(at > 10, "{at}");
            return;
        }
    }
}

#[test]
fn a_database_of_schema_4_is_taken_as_it_is_and_counts_nothing_twice() {
    let clock = Clock::manual(START);
    for at in 0.. {
        let context = format!("cut at {at}");
        let (disk, ids) = filled(&clock);
        downgrade_to_4(&disk);
        let mut opened_at_once = false;
        if at > 0 {
            disk.plan(Some(Fate::CrashAt(at)));
            opened_at_once = open(&disk, &clock).is_ok();
            disk.restart(at);
        }
        let opened = open(&disk, &clock).unwrap_or_else(|e| panic!("{context}: {e}"));
        check(&opened.store, &ids, &context);
        check_logs(&opened.store, &clock, 36, &context);
        // A recipient that waits gets a lead, and keeps it.
        let key = RecipientKey { message: ids[1], index: 1 };
        let event = Event {
            at: clock.now(),
            key,
            kind: EventKind::Deferred,
            attempt: 2,
            next_try: Some(clock.now().plus(Duration::from_secs(60))),
            wait: Some(WaitReason::Retry),
            operator: None,
            detail: None,
        };
        let lead = Some(Lead { own: false, octets: Bytes::from_static(b"X: 1\r\n") });
        let applied = smol::block_on(opened.store.apply(vec![Change { lead, ..Change::of(event, None) }])).unwrap();
        assert_eq!(applied.applied, 1, "{context}");
        smol::block_on(opened.store.stop()).unwrap();
        drop(opened);
        assert_eq!(read_schema(&database(&disk).begin_read().unwrap()).unwrap(), SCHEMA, "{context}");
        let opened = open(&disk, &clock).unwrap();
        assert_eq!(opened.store.leads(ids[1], &[1]).unwrap().len(), 1, "{context}");
        smol::block_on(opened.store.stop()).unwrap();
        drop(opened);
        assert_sound(&disk, &context);
        if opened_at_once {
            return;
        }
    }
}
