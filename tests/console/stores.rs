//! The stores beside mail, as full as a large sender has them: who is not written to, reports, webhooks.
//!
//! Always: rows as the rooms themselves write them, by their own functions where they have some; the same numbers give the same rows.

use std::time::Duration;

use hikyaku::{
    clock::Timestamp,
    dmarc::row::{self, By, Disposition, KeptFailure, KeptPolicy, KeptReport, KeptRow, Mark, Tally},
    event::{ErrorClass, Trouble},
    ids::MessageId,
    store::{MEMOS_A_CALL_MAX, MemoChange, MemoKind, Store},
    suppress::{
        incidents::{BRAKE_INCIDENTS_MAX, BrakeIncident, HELD_TOTAL_MAX, HoldState, TROUBLES_MAX, TroubleIncident},
        row::{
            AddressError, Cause, Entry, Exemption, History, Lifted, LiftedBy, Row, key_of, write_history, write_row,
        },
    },
    tls_report::receive::{self, Stored, StoredFailure, StoredPolicy},
    unsubscribe::row as left,
    webhook::{
        history::{self, KEPT, Tried},
        place::{Mark as Place, PARKED_MAX, Parked, Paused},
    },
    when::day_name,
};
use serde_json::json;

use crate::{fill::Amount, support::Rng};

const DAY: Duration = Duration::from_secs(86_400);
/// Domains of the reports; the first is the config's.
pub const DOMAINS: [&str; 5] = ["shop.test", "news.shop.test", "brand.test", "old.test", "other.test"];
/// Who reports, each day about each domain.
const REPORTERS: u32 = 4;
/// Days of reports.
const DAYS: u32 = 365;
/// Sources of a day's report, of all that there are: each comes again on other days.
const SEEN_MORE: u32 = 4;
/// TLS reports of a day.
const TLS_A_DAY: u32 = 40;
/// Failure reports of a day.
const FAILURES_A_DAY: u32 = 100;
/// The webhooks: name, and how it stands.
pub const HOOKS: [&str; 4] = ["crm", "billing", "audit", "backup"];
/// Where a held place has its errors: the first two hold, the others ended.
const PLACES: [&str; 4] = ["domain0.test", "domain1.test", "domain2.test", "domain4.test"];
/// Domains of the suppression list, the first of them the most used.
const LISTED_DOMAINS: u32 = 200;

/// Some of what was written, to ask for.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Filled {
    /// A held place of the brake, with very many errors.
    pub held: String,
    /// One that was released, and put very many on the list.
    pub released: String,
    /// A trouble of a destination.
    pub trouble: String,
    /// A suppressed address.
    pub listed: String,
    /// A TLS report.
    pub tls: String,
}

/// Writes memos in as few transactions as may be.
struct Pen<'s> {
    store: &'s Store,
    waiting: Vec<MemoChange>,
    octets: usize,
}

impl Pen<'_> {
    fn put(&mut self, kind: MemoKind, key: String, value: Vec<u8>) {
        self.octets += value.len();
        self.waiting.push(MemoChange { kind, key, value: Some(value) });
        if self.waiting.len() >= MEMOS_A_CALL_MAX || self.octets > 2 << 20 {
            self.flush();
        }
    }

    fn flush(&mut self) {
        self.octets = 0;
        smol::block_on(self.store.put_memos(std::mem::take(&mut self.waiting))).unwrap();
    }
}

/// Fills them. `told`: numbers of events of one message, newest first.
pub fn fill(store: &Store, now: Timestamp, amount: Amount, told: &[u64]) -> Filled {
    let mut pen = Pen { store, waiting: Vec::new(), octets: 0 };
    let mut rng = Rng::new(11);
    let (held, released) = brakes(&mut pen, now, amount);
    let trouble = troubles(&mut pen, now);
    let listed = suppressions(&mut pen, now, amount, &released, &mut rng);
    unsubscribes(&mut pen, now, amount);
    dmarc(&mut pen, now, amount);
    let tls = tls(&mut pen, now);
    webhooks(&mut pen, now, store.log_end().unwrap(), told);
    // The log is learnt already: what is to be seen is this, not a catching up.
    let end = store.log_end().unwrap();
    let place = json!({ "cursor": end, "brake_cursor": end, "brake_at": now.as_millis(), "run_at": now.as_millis(), "day": now.day() });
    pen.put(MemoKind::Followers, "suppress".into(), bytes(&place));
    pen.flush();
    Filled { held, released, trouble, listed, tls }
}

fn bytes(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap()
}

fn id(n: u64) -> MessageId {
    MessageId::from_u64(0x0123_4567_0000_0000 + n)
}

/// Addresses in the order of their keys: `address0000017@…`.
fn listed(n: u32) -> String {
    // A few domains have most of them.
    let domain = (n % LISTED_DOMAINS) * (n / 7 % LISTED_DOMAINS) / LISTED_DOMAINS;
    format!("address{n:07}@domain{domain}.test")
}

fn unknown_user(now: Timestamp, n: u32) -> AddressError {
    AddressError {
        at: now.minus(DAY * (n % 25)),
        number: u64::from(n),
        class: ErrorClass::UnknownUser,
        trouble: Trouble::Recipient,
        hard: true,
    }
}

fn suppressions(pen: &mut Pen<'_>, now: Timestamp, amount: Amount, released: &str, rng: &mut Rng) -> String {
    let reasons = [
        "550 5.1.1 <user>: Recipient address rejected: User unknown in virtual mailbox table",
        "552 5.2.2 The email account that you tried to reach is over quota",
        "554 5.7.1 Service unavailable; client host blocked",
        "asked us by telephone",
    ];
    for n in 0..amount.listed {
        let address = listed(n);
        let user = if n % 50 == 0 { "shop" } else { "" };
        let cause = Cause::ALL[[0, 0, 0, 0, 1, 2, 3, 3, 3, 4][n as usize % 10]];
        let is_of_incident = address.ends_with("@domain2.test") && cause == Cause::Errors;
        let entry = Entry {
            id: id(u64::from(n)),
            since: now.minus(if is_of_incident { DAY * 2 } else { DAY * (n % 300) }),
            until: (n % 9 == 0).then(|| now.plus(DAY * (1 + n % 90))),
            cause,
            class: Some([ErrorClass::UnknownUser, ErrorClass::OverCapacity, ErrorClass::Rejected][n as usize % 3]),
            occurred: if cause == Cause::Errors { 3 } else { 0 },
            reason: reasons[rng.below(reasons.len())].into(),
            event: Some(u64::from(n)),
            operator: if cause == Cause::Manual { "mari@shop.test".into() } else { String::new() },
            hard: n % 3 == 0,
            provider: "*.dst.test".into(),
            incident: if is_of_incident { released.into() } else { String::new() },
            lifted: None,
        };
        let mut row = Row { now: Some(entry), ..Row::default() };
        if n % 20 == 3 {
            row.end(Lifted { at: now.minus(DAY), by: LiftedBy::Lift, operator: "mari@shop.test".into() });
        }
        if n % 100 == 7 {
            row.now = None;
            row.exempt = Some(Exemption { since: now.minus(DAY), operator: "mari@shop.test".into() });
        }
        pen.put(MemoKind::Suppressions, key_of(&address, user), write_row(&row));
    }
    pen.flush();
    for n in (0..amount.listed).step_by(3) {
        let mut history = History::default();
        for again in 0..1 + n % 3 {
            history.note(unknown_user(now, n + 7 * again), "*.dst.test", "550 5.1.1 User unknown");
        }
        pen.put(MemoKind::AddressErrors, key_of(&listed(n), ""), write_history(&history));
    }
    pen.flush();
    listed(amount.listed / 2)
}

/// Places that are held, with as many errors as are kept; places that were.
fn brakes(pen: &mut Pen<'_>, now: Timestamp, amount: Amount) -> (String, String) {
    let ids: Vec<String> = (0..PLACES.len()).map(|n| id(u64::MAX >> 12 | n as u64).to_string()).collect();
    let errors = HELD_TOTAL_MAX.min(u64::from(amount.listed)) / 4;
    for (n, (name, place)) in ids.iter().zip(PLACES).enumerate() {
        let is_held = n < 2;
        let held = if is_held { errors } else { 0 };
        pen.put(MemoKind::Incidents, format!("b/{name}"), bytes(&brake(name, place, now, is_held, held)));
        for number in 0..held {
            let value = json!({
                "at": now.minus(DAY).as_millis(), "number": number, "class": ErrorClass::UnknownUser.code(),
                "trouble": Trouble::Recipient, "hard": true, "provider": "*.dst.test", "reply": "550 5.1.1 User unknown",
            });
            pen.put(MemoKind::Incidents, format!("h/{name}/person{number:06}@{place}"), bytes(&value));
        }
    }
    for n in PLACES.len()..BRAKE_INCIDENTS_MAX {
        let name = id(0xff_0000_0000 + n as u64).to_string();
        let place = format!("ended{n}.test");
        pen.put(MemoKind::Incidents, format!("b/{name}"), bytes(&brake(&name, &place, now, false, 0)));
    }
    (ids[0].clone(), ids[2].clone())
}

fn brake(id: &str, place: &str, now: Timestamp, is_held: bool, held: u64) -> BrakeIncident {
    BrakeIncident {
        id: id.to_owned(),
        place: place.to_owned(),
        since_millis: now.minus(DAY * 3).as_millis(),
        opened_millis: now.minus(DAY * 3).as_millis(),
        ended_millis: (!is_held).then(|| now.minus(DAY).as_millis()),
        state: if is_held { HoldState::Held } else { HoldState::Released },
        operator: if is_held { String::new() } else { "mari@shop.test".into() },
        errors: 90,
        results: 100,
        rate_percent: 90,
        past_permille: 12,
        held,
        lost: 5,
        example: "550 5.1.1 User unknown".into(),
    }
}

fn troubles(pen: &mut Pen<'_>, now: Timestamp) -> String {
    let name = |n: usize| id(0x80_0000_0000 + n as u64).to_string();
    for n in 0..TROUBLES_MAX {
        let trouble = TroubleIncident {
            id: name(n),
            destination: format!("domain{}.test", n % 50),
            reply: format!("554 5.7.1 Service unavailable; client host blocked using list {}", n / 50),
            class: ErrorClass::Rejected,
            trouble: Trouble::Reputation,
            known: n % 2 == 0,
            count: 7 + n as u64,
            first_millis: now.minus(DAY * 9).as_millis(),
            last_millis: now.minus(Duration::from_secs(n as u64)).as_millis(),
            example: "554 5.7.1 Service unavailable; client host [192.0.2.1] blocked".into(),
            event: n as u64,
        };
        pen.put(MemoKind::Incidents, format!("t/{}", trouble.id), bytes(&trouble));
    }
    pen.flush();
    name(1)
}

fn unsubscribes(pen: &mut Pen<'_>, now: Timestamp, amount: Amount) {
    let hows = [left::How::Link, left::How::Form, left::How::Import, left::How::Complaint];
    for n in 0..amount.listed {
        let list = ["News", "Members", "ポイント会員のお知らせ"][n as usize % 3];
        let at = now.minus(DAY * (n % 700));
        let row = left::Row::new(at, list, hows[n as usize % hows.len()], at);
        let address = format!("reader{n:07}@domain{}.test", n % 977);
        pen.put(MemoKind::Unsubscribes, left::key(&address, list), row.to_value());
    }
    pen.flush();
}

/// A year of aggregate reports, and failure reports of the last days.
fn dmarc(pen: &mut Pen<'_>, now: Timestamp, amount: Amount) {
    let rows_a_report = (amount.sources * SEEN_MORE / (DAYS * REPORTERS * DOMAINS.len() as u32)).max(1);
    let mut source = 0;
    for domain in DOMAINS {
        for ago in (1..=DAYS).rev() {
            let day = now.day() - ago;
            for reporter in 0..REPORTERS {
                let rows: Vec<KeptRow> = (0..rows_a_report)
                    .map(|_| {
                        source = (source + 1) % amount.sources;
                        dmarc_row(source, domain)
                    })
                    .collect();
                dmarc_report(pen, domain, day, reporter, &rows);
            }
        }
    }
    for n in 0..FAILURES_A_DAY * 30 {
        let day = now.day() - n / FAILURES_A_DAY;
        let at = now.minus(DAY * (n / FAILURES_A_DAY)).rfc3339();
        let failure = KeptFailure {
            domain: DOMAINS[0].into(),
            at: at.clone(),
            received_at: at,
            reporter: "receiver.test".into(),
            mark: "verified".into(),
            source: "203.0.113.9".into(),
            failure: "dmarc".into(),
            subject: "ご注文商品の発送のお知らせ".into(),
            header_from: "order@shop.test".into(),
            ..KeptFailure::default()
        };
        pen.put(MemoKind::DmarcFailures, row::report_key(DOMAINS[0], day, &format!("{n:032x}")), bytes(&failure));
    }
    pen.flush();
}

fn dmarc_row(source: u32, domain: &str) -> KeptRow {
    let passes = !source.is_multiple_of(3);
    KeptRow {
        source: std::net::Ipv4Addr::from(0xc600_0000 + source * 3).into(),
        count: u64::from(1 + source % 400),
        disposition: if passes { Disposition::None } else { Disposition::Reject },
        dkim: passes,
        spf: passes && source.is_multiple_of(2),
        header_from: domain.to_owned(),
        envelope_from: format!("bounce.{domain}"),
        reasons: Vec::new(),
        signatures: Vec::new(),
        spf_results: Vec::new(),
    }
}

fn dmarc_report(pen: &mut Pen<'_>, domain: &str, day: u32, reporter: u32, rows: &[KeptRow]) {
    let at = |day: u32| Timestamp::from_millis(u64::from(day) * 86_400_000).rfc3339();
    let mut tally = Tally::default();
    rows.iter().for_each(|row| tally.add_row(row));
    let (group, pieces) = (format!("{day:012x}{reporter:08x}"), row::pieces(rows));
    for (n, piece) in pieces.iter().enumerate() {
        pen.put(MemoKind::DmarcRecords, row::piece_key(domain, day, &group, n as u32), piece.clone());
    }
    let report = KeptReport {
        domain: domain.into(),
        organization: format!("receiver{reporter}.test"),
        report_id: format!("{day}.{reporter}"),
        contact: format!("dmarc@receiver{reporter}.test"),
        begin: at(day),
        end: at(day + 1),
        received_at: at(day + 1),
        by: By::Mail,
        mark: if reporter == 3 { Mark::Unverified } else { Mark::Verified },
        from: format!("receiver{reporter}.test"),
        why: String::new(),
        policy: KeptPolicy { p: "none".into(), ..KeptPolicy::default() },
        rows: rows.len() as u64,
        tally,
        errors: Vec::new(),
        group,
        pieces: pieces.len() as u32,
    };
    pen.put(
        MemoKind::DmarcReports,
        row::report_key(domain, day, &format!("{day:016x}{reporter:016x}")),
        bytes(&report),
    );
}

/// TLS reports of as many days as are kept.
fn tls(pen: &mut Pen<'_>, now: Timestamp) -> String {
    let mut key = String::new();
    for ago in (1..receive::RETENTION_DAYS).rev() {
        let day = now.day() - ago;
        let at = |day: u32| Timestamp::from_millis(u64::from(day) * 86_400_000).rfc3339();
        for n in 0..TLS_A_DAY {
            let failures = |n: u32| StoredFailure {
                result_type: "certificate-expired".into(),
                mx: format!("mx{n}.shop.test"),
                mx_ip: "192.0.2.10".into(),
                sender_ip: "203.0.113.9".into(),
                count: 3,
                reason: "expired".into(),
            };
            let stored = Stored {
                organization: format!("Receiver {n}"),
                report_id: format!("r-{n}"),
                contact: "tls@receiver.test".into(),
                start: at(day),
                end: at(day + 1),
                received_at: at(day + 1),
                by: receive::By::File,
                successes: 4_120,
                failed: 30,
                policies: vec![StoredPolicy {
                    domain: DOMAINS[n as usize % 2].into(),
                    policy_type: "sts".into(),
                    successes: 4_120,
                    failed: 30,
                    failures: (0..20).map(failures).collect(),
                }],
                left_out: 0,
                mark: None,
            };
            key = format!("{}/Receiver {n:02}/r-{n}", day_name(day));
            pen.put(MemoKind::TlsReports, key.clone(), bytes(&stored));
        }
    }
    pen.flush();
    key
}

/// Every endpoint with all the history that is kept; one fails, one stands, one has a full list of what was set aside.
fn webhooks(pen: &mut Pen<'_>, now: Timestamp, log_end: u64, told: &[u64]) {
    for (n, name) in HOOKS.into_iter().enumerate() {
        for number in 0..KEPT {
            let failed = number % 5 == 0;
            // Some of the posts are about the message that is asked for.
            let place = (number as usize / 2).min(told.len().saturating_sub(1));
            let last = if number % 2 == 0 { told[place] } else { log_end - number };
            let tried = Tried {
                number,
                at: now.minus(Duration::from_secs(60 * (KEPT - number))).as_millis(),
                id: format!("msg_{number:020}"),
                event_type: if number % 2 == 0 { "deliveries" } else { "bounces" }.into(),
                events: 500,
                first: last - 100_000,
                last,
                status: if failed { 503 } else { 200 },
                took: 120,
                error: if failed { "503 Service Unavailable".into() } else { String::new() },
            };
            let change = history::row(name, &tried);
            pen.put(change.kind, change.key, change.value.unwrap());
        }
        let mut mark = Place::new(&hook_url(name), log_end, 0);
        mark.tried = KEPT;
        mark.posts = KEPT;
        mark.events = 500 * KEPT;
        if n == 1 {
            let parked = |n: usize| Parked {
                list: false,
                after: log_end - 10_000_000 + 100_000 * n as u64,
                to: log_end - 10_000_000 + 100_000 * n as u64 + 50_000,
                at: now.minus(DAY).as_millis(),
                error: "503 Service Unavailable".into(),
            };
            mark.parked = (0..PARKED_MAX).map(parked).collect();
        }
        // So that nothing is posted while pages are measured.
        mark.paused = Some(Paused { at: now.as_millis(), by: "mari@shop.test".into() });
        pen.put(MemoKind::Webhooks, name.into(), mark.write());
    }
    pen.flush();
}

/// Where nobody listens.
pub fn hook_url(name: &str) -> String {
    format!("http://127.0.0.1:9/{name}")
}
