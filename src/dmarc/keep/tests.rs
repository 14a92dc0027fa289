//! Reports by the octet, a store in RAM that fails at a given write, and what is counted afterwards.

use std::{
    collections::HashSet,
    net::IpAddr,
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use super::*;
use crate::{
    config::Domain,
    dmarc::{
        report::{Disposition, PolicyPublished, Row, Totals},
        row::{KeptFailure, Tally},
        views::{Asked, View},
    },
    store::Writing,
    tls_report::fake::RamMemos,
};

/// 2026-11-24T13:35:10Z.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_795_527_310_000);

/// A report as reporters write them: one row for each address, with a count and what passed.
pub(crate) struct Written<'a> {
    pub organization: &'a str,
    pub id: &'a str,
    pub domain: &'a str,
    /// Days before [`NOW`] on which its period begins.
    pub days_ago: u64,
    /// Address, mails, DKIM, SPF, From.
    pub rows: &'a [(&'a str, u64, bool, bool, &'a str)],
}

impl Written<'_> {
    pub(crate) fn xml(&self) -> String {
        let begin = (NOW.as_seconds() / 86_400 - self.days_ago) * 86_400;
        let word = |pass: bool| if pass { "pass" } else { "fail" };
        let rows: String = self
            .rows
            .iter()
            .map(|(ip, count, dkim, spf, from)| {
                let (disposition, dkim, spf) = (if *dkim || *spf { "none" } else { "quarantine" }, word(*dkim), word(*spf));
                format!(
                    "<record><row><source_ip>{ip}</source_ip><count>{count}</count><policy_evaluated><disposition>{disposition}\
                     </disposition><dkim>{dkim}</dkim><spf>{spf}</spf></policy_evaluated></row><identifiers><header_from>{from}\
                     </header_from></identifiers><auth_results><spf><domain>{from}</domain><result>{spf}</result></spf>\
                     </auth_results></record>"
                )
            })
            .collect();
        format!(
            "<?xml version=\"1.0\"?><feedback><version>1.0</version><report_metadata><org_name>{}</org_name><email>dmarc@{}</email>\
             <report_id>{}</report_id><date_range><begin>{begin}</begin><end>{}</end></date_range></report_metadata>\
             <policy_published><domain>{}</domain><adkim>r</adkim><aspf>r</aspf><p>quarantine</p><sp>none</sp><pct>100</pct>\
             </policy_published>{rows}</feedback>",
            self.organization,
            self.organization,
            self.id,
            begin + 86_399,
            self.domain,
        )
    }
}

/// A report of three mails about `example.jp`, yesterday's.
pub(crate) fn simple(id: &str) -> String {
    Written {
        organization: "reporter.example",
        id,
        domain: "example.jp",
        days_ago: 1,
        rows: &[("192.0.2.10", 2, true, true, "example.jp"), ("203.0.113.9", 1, false, false, "example.jp")],
    }
    .xml()
}

/// Memos in RAM, whose nth write from now on fails.
#[derive(Clone, Default)]
struct Failing {
    memos: RamMemos,
    writes_left: Arc<AtomicI64>,
}

impl Failing {
    fn after(writes: i64) -> Self {
        Failing { memos: RamMemos::default(), writes_left: Arc::new(AtomicI64::new(writes)) }
    }
}

impl Memos for Failing {
    fn memo(&self, kind: MemoKind, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.memos.memo(kind, key)
    }
    fn memos(
        &self,
        kind: MemoKind,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        self.memos.memos(kind, prefix, after, limit)
    }
    fn put_memos(&self, changes: Vec<MemoChange>) -> Writing<'_> {
        let octets: usize = changes.iter().map(|c| c.value.as_ref().map_or(0, Vec::len)).sum();
        assert!(changes.len() <= MEMOS_A_CALL_MAX && octets <= MEMOS_A_CALL_OCTETS_MAX, "{} {octets}", changes.len());
        if self.writes_left.fetch_sub(1, Ordering::SeqCst) <= 0 {
            return Box::pin(std::future::ready(Err(StoreError::Failed("EIO".into()))));
        }
        self.memos.put_memos(changes)
    }
}

fn no_tls() -> TakeTls {
    Arc::new(|json, _| Ok(Taken { became: Became::New, rows: json.len() as u64, ..Taken::nothing() }))
}

fn config() -> Config {
    let mut config = Config::default();
    config.domains.push(Domain { name: "Example.jp".into(), ..Domain::default() });
    config
}

fn keeper<M: Memory>(memory: M) -> (Keeper<M>, Clock) {
    let clock = Clock::manual(NOW);
    (Keeper::new(memory, clock.clone(), InForce::new(config()), Arc::default(), no_tls()), clock)
}

fn mail(mark: Mark, from: &str) -> Origin {
    Origin::of(By::Mail, Weighed { mark, from: from.into(), why: String::new() })
}

fn view<M: Memory>(keeper: &Keeper<M>, domain: &str, all: bool) -> View {
    let today = keeper.clock.now().day();
    let asked = Asked { domain: domain.into(), from: today - 400, to: today, all };
    keeper.view(asked, HashSet::new()).expect("the store works")
}

fn total<M: Memory>(keeper: &Keeper<M>) -> Tally {
    view(keeper, "example.jp", false).total()
}

fn became(taken: &Result<Vec<Taken>, Refused>) -> Vec<(Became, &str)> {
    taken.as_ref().map_or_else(|_| Vec::new(), |all| all.iter().map(|t| (t.became, t.why.as_str())).collect())
}

#[test]
fn a_report_counts_once_however_often_and_by_whichever_way_it_comes() {
    let (keeper, clock) = keeper(RamMemos::default());
    let file = Origin::brought(By::File);
    assert_eq!(became(&keeper.take(simple("r-1").as_bytes(), &file)), [(Became::New, "")]);
    for origin in [&file, &mail(Mark::Verified, "reporter.example"), &Origin::brought(By::Api)] {
        assert_eq!(became(&keeper.take(simple("r-1").as_bytes(), origin)), [(Became::Known, "")]);
    }
    let packed = crate::tls_report::gzip(simple("r-1").as_bytes());
    assert_eq!(became(&keeper.take(&packed, &file)), [(Became::Known, "")]);
    assert_eq!((total(&keeper).messages, total(&keeper).spoofed), (3, 1));
    // Another organisation, domain or day with the same id is another report.
    let others = [
        Written { organization: "other.example", id: "r-1", domain: "example.jp", days_ago: 1, rows: &[] },
        Written { organization: "reporter.example", id: "r-1", domain: "sub.example.jp", days_ago: 1, rows: &[] },
        Written { organization: "reporter.example", id: "r-1", domain: "example.jp", days_ago: 2, rows: &[] },
    ];
    for other in others {
        let rows = [("192.0.2.10", 10, true, true, "example.jp")];
        let xml = Written { rows: &rows, ..other }.xml();
        assert_eq!(became(&keeper.take(xml.as_bytes(), &file)), [(Became::New, "")]);
    }
    assert_eq!(total(&keeper).messages, 33);
    assert_eq!(keeper.domains().expect("the store works"), ["sub.example.jp", "example.jp"]);
    // Two copies in one batch.
    let mut batch = keeper.batch(file.clone());
    for _ in 0..2 {
        batch.add(simple("r-2").as_bytes()).expect("a report");
    }
    let taken = batch.finish().expect("the store works");
    assert_eq!([taken[0][0].became, taken[1][0].became], [Became::New, Became::Known]);
    assert_eq!(total(&keeper).messages, 36);
    clock.advance(Duration::from_secs(86_400));
    assert_eq!(became(&keeper.take(simple("r-2").as_bytes(), &file)), [(Became::Known, "")], "the next day, too");
}

#[test]
fn a_forged_report_counts_in_no_sum_and_makes_room_for_the_genuine_one() {
    let (keeper, _) = keeper(RamMemos::default());
    let rows = [("198.51.100.1", 1_000_000, true, true, "example.jp")];
    let lie = Written { organization: "reporter.example", id: "r-1", domain: "example.jp", days_ago: 1, rows: &rows };
    assert_eq!(
        became(&keeper.take(lie.xml().as_bytes(), &mail(Mark::Forged, "reporter.example"))),
        [(Became::New, "")]
    );
    let seen = view(&keeper, "example.jp", false);
    assert_eq!((seen.total().messages, seen.left_out.reports, seen.left_out.messages), (0, 1, 1_000_000));
    assert_eq!((seen.left_out.forged, seen.policy), (1, None));
    assert_eq!(view(&keeper, "example.jp", true).total().messages, 1_000_000);
    let genuine = mail(Mark::Verified, "reporter.example");
    assert_eq!(became(&keeper.take(simple("r-1").as_bytes(), &genuine)), [(Became::Better, "")]);
    let seen = view(&keeper, "example.jp", true);
    assert_eq!((seen.total().messages, seen.left_out.reports), (3, 0), "the lie's rows are gone");
    assert_eq!(keeper.memory.keys(MemoKind::DmarcRecords).len(), 1);
    for mark in [Mark::Forged, Mark::Unknown, Mark::Unverified, Mark::Verified] {
        assert_eq!(became(&keeper.take(lie.xml().as_bytes(), &mail(mark, "reporter.example"))), [(Became::Known, "")]);
    }
    assert_eq!(view(&keeper, "example.jp", true).total().messages, 3);
}

#[test]
fn what_strangers_send_is_bounded_by_the_day_and_what_an_operator_brings_is_not() {
    let (keeper, clock) = keeper(RamMemos::default());
    let send = |n: u64, origin: &Origin| became(&keeper.take(simple(&format!("r-{n}")).as_bytes(), origin))[0].0;
    let stranger = mail(Mark::Unverified, "stranger.example");
    let taken = (0..UNPROVEN_REPORTS_A_DAY + 5).filter(|n| send(*n, &stranger) == Became::New).count() as u64;
    assert_eq!(taken, UNPROVEN_REPORTS_A_DAY);
    assert_eq!(send(20_000, &mail(Mark::Forged, "reporter.example")), Became::Refused, "all strangers share a bound");
    assert_eq!(send(20_001, &mail(Mark::Verified, "reporter.example")), Became::New, "others are not kept out by them");
    assert_eq!(send(20_002, &Origin::brought(By::File)), Became::New);
    clock.advance(Duration::from_secs(86_400));
    assert_eq!(send(20_003, &stranger), Became::New, "another day");
    let rows: Vec<(String, u64)> =
        (0..UNPROVEN_ROWS_A_DAY).map(|n| (format!("10.{}.{}.{}", n >> 16, n >> 8 & 255, n & 255), n)).collect();
    let rows: Vec<_> = rows.iter().map(|(ip, n)| (ip.as_str(), n + 1, true, true, "example.jp")).collect();
    let many = Written { organization: "x.example", id: "many", domain: "example.jp", days_ago: 1, rows: &rows }.xml();
    let refused = keeper.take(many.as_bytes(), &stranger);
    assert!(became(&refused)[0].1.contains("whose sender is not proven"), "{refused:?}");
    assert_eq!(became(&keeper.take(many.as_bytes(), &mail(Mark::Verified, "x.example")))[0].0, Became::New);
    let one = Counted { reports: 3, rows: 10, octets: 0 };
    let most = Counted { reports: 3, rows: 100, octets: 100 };
    assert!(one.clone().admit(1, most).is_err() && Counted { reports: 0, ..one }.clone().admit(1, most).is_ok());
    assert!(Counted { octets: 100, ..Counted::default() }.admit(1, most).is_err());
    assert!(Counted::default().admit(u64::MAX, most).is_err());
}

#[test]
fn reports_about_others_old_ones_and_ones_of_the_future_are_refused_with_a_reason() {
    let (keeper, _) = keeper(RamMemos::default());
    let genuine = mail(Mark::Verified, "reporter.example");
    let about = |domain: &str, days_ago| {
        let rows = [("192.0.2.1", 1, true, true, "example.jp")];
        Written { organization: "reporter.example", id: domain, domain, days_ago, rows: &rows }.xml()
    };
    for (domain, days_ago, file, by_mail) in [
        ("example.jp", 1, "", ""),
        ("mail.example.jp", 1, "", ""),
        ("other.example", 1, "", "no domain of this server"),
        ("evilexample.jp", 1, "", "no domain of this server"),
        ("jp", 1, "", "no domain of this server"),
        ("example.jp", 395, "", ""),
        ("example.jp", 397, "not within the last 396 days", "not within the last 396 days"),
    ] {
        for (origin, expected) in [(&genuine, by_mail), (&Origin::brought(By::File), file)] {
            let taken = keeper.take(about(domain, days_ago).as_bytes(), origin);
            let (became, why) = became(&taken)[0];
            assert_eq!(became == Became::Refused, !expected.is_empty(), "{domain} {why}");
            assert!(why.contains(expected), "{why}");
        }
    }
    for (octets, at_all) in
        [(&b"Subject: hi\r\n\r\nhello\r\n"[..], true), (b"<feedback><report_metadata>", false), (b"", true)]
    {
        let refused = keeper.take(octets, &genuine).expect_err("no report");
        assert_eq!(refused.is_no_report_at_all(), at_all, "{refused}");
    }
}

/// A report of two pieces, each too large to go with the other, in two looks: `n` of every row is its own.
fn large(n: u64) -> [Aggregate; 2] {
    let row = |i: u64| Row {
        source_ip: IpAddr::from([192, 0, 2, (i % 250) as u8]),
        count: 1,
        disposition: Disposition::None,
        dkim_aligned: true,
        spf_aligned: false,
        reasons: Vec::new(),
        header_from: "example.jp".into(),
        // Digits that do not pack.
        envelope_from: (0..8u64)
            .map(|k| format!("{:016x}", (i * 8 + k + n).wrapping_mul(0x9e37_79b9_7f4a_7c15)))
            .collect(),
        envelope_to: String::new(),
        dkim: Vec::new(),
        spf: Vec::new(),
    };
    const ROWS: u64 = 100;
    let head = Head {
        organization: "big.example".into(),
        report_id: "big".into(),
        begin_seconds: NOW.as_seconds() - 86_400,
        end_seconds: NOW.as_seconds(),
        policy: PolicyPublished { domain: "example.jp".into(), ..PolicyPublished::default() },
        totals: Totals { rows: 2 * ROWS, messages: 2 * ROWS, passed: 2 * ROWS, unusable: 0 },
        ..Head::default()
    };
    let piece = |first: u64, is_last| Aggregate {
        head: head.clone(),
        first_row: first,
        is_last,
        rows: (first..first + ROWS).map(row).collect(),
    };
    [piece(0, false), piece(ROWS, true)]
}

use crate::dmarc::report::{Aggregate, Found, Head};

/// Its transactions hold a piece of such a report, and not two.
fn small(memory: Failing) -> (Keeper<Failing>, Clock) {
    let (mut keeper, clock) = keeper(memory);
    keeper.waiting_max.1 = 10_000;
    (keeper, clock)
}

fn bring(keeper: &Keeper<Failing>, mark: Mark, pieces: &[Aggregate]) -> Result<(), StoreError> {
    let mut batch = keeper.batch(Origin::of(By::File, Weighed { mark, from: String::new(), why: String::new() }));
    for piece in pieces {
        batch.found(Found::Aggregate(piece.clone()));
    }
    batch.finish().map(drop)
}

#[test]
fn a_stop_between_any_two_writes_counts_no_row_twice_and_leaves_no_report_without_rows() {
    let report = large(0);
    let (mut stopped, mut writes) = (0, 0);
    for at in 0.. {
        let memory = Failing::after(at);
        let (keeper, _) = small(memory.clone());
        let kept = bring(&keeper, Mark::Imported, &report);
        // The next process finds what was written.
        memory.writes_left.store(i64::MAX, Ordering::SeqCst);
        let (keeper, _) = small(memory.clone());
        let seen = view(&keeper, "example.jp", true).total().messages;
        assert_eq!(seen, if kept.is_ok() { 200 } else { 0 }, "stopped at write {at}");
        stopped += i64::from(kept.is_err());
        bring(&keeper, Mark::Imported, &report).expect("the store works");
        assert_eq!(view(&keeper, "example.jp", true).total().messages, 200, "brought again after write {at}");
        if kept.is_ok() {
            writes = at;
            break;
        }
    }
    assert!(stopped >= 2 && writes == stopped, "it takes several transactions: {stopped}");

    // The same while the genuine one takes the place of a forged one.
    for at in 0.. {
        let memory = Failing::after(i64::MAX);
        let (keeper, _) = small(memory.clone());
        bring(&keeper, Mark::Forged, &large(1)).expect("the store works");
        memory.writes_left.store(at, Ordering::SeqCst);
        let kept = bring(&keeper, Mark::Imported, &report);
        memory.writes_left.store(i64::MAX, Ordering::SeqCst);
        let (keeper, _) = small(memory.clone());
        assert_eq!(view(&keeper, "example.jp", true).total().messages, 200, "one of the two, whole: write {at}");
        let genuine = view(&keeper, "example.jp", false).total().messages;
        assert!(genuine == 200 || (genuine == 0 && kept.is_err()), "{genuine} after write {at}");
        bring(&keeper, Mark::Imported, &report).expect("the store works");
        assert_eq!(view(&keeper, "example.jp", false).total().messages, 200);
        if kept.is_ok() {
            break;
        }
    }
}

#[test]
fn of_two_copies_of_a_large_report_at_once_one_counts_with_all_its_rows() {
    let (mut keeper, _) = small(Failing::after(i64::MAX));
    // Both wait for the same transaction, the first pieces of both are on disk.
    keeper.waiting_max.1 = 60_000;
    let mut batch = keeper.batch(Origin::brought(By::File));
    for piece in [large(0), large(0)].into_iter().flatten() {
        batch.found(Found::Aggregate(piece));
        if let Some((waiting, written)) = batch.open.take() {
            batch.open = Some(batch.write_ahead(waiting, written).expect("the store works"));
        }
    }
    assert_eq!(batch.waiting.len(), 2);
    batch.finish().expect("the store works");
    assert_eq!(view(&keeper, "example.jp", false).total().messages, 200);
    assert_eq!(keeper.memory.memos.keys(MemoKind::DmarcReports).len(), 1);
}

#[test]
fn of_two_copies_of_a_failure_report_at_once_one_is_new() {
    let (keeper, _) = keeper(RamMemos::default());
    let report = "From: abuse@reporter.example\r\nSubject: FW: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=feedback-report; boundary=b\r\n\r\n\
        --b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b\r\nContent-Type: message/feedback-report\r\n\r\nFeedback-Type: auth-failure\r\nVersion: 1\r\nUser-Agent: x/1\r\n\
        Auth-Failure: dmarc\r\nSource-IP: 203.0.113.9\r\nReported-Domain: example.jp\r\nDelivery-Result: reject\r\n\r\n\
        --b\r\nContent-Type: message/rfc822\r\n\r\nFrom: boss@example.jp\r\nSubject: x\r\nMessage-ID: <1@x>\r\n\r\npay\r\n--b--\r\n";
    let mut batch = keeper.batch(mail(Mark::Verified, "reporter.example"));
    // Another copy is written between the look at what is known and the writing of this one.
    let twin = keeper.clone();
    batch.add(report.as_bytes()).expect("a report");
    batch.add(report.as_bytes()).expect("a report");
    assert_eq!(became(&twin.take(report.as_bytes(), &mail(Mark::Verified, "reporter.example")))[0].0, Became::New);
    let taken = batch.finish().expect("the store works");
    assert_eq!([taken[0][0].became, taken[1][0].became], [Became::Known, Became::Known]);
    assert_eq!(keeper.memory.keys(MemoKind::DmarcFailures).len(), 1);
}

#[test]
fn what_is_older_than_the_retention_is_forgotten_with_what_crashes_left() {
    let (keeper, clock) = keeper(RamMemos::default());
    let file = Origin::brought(By::File);
    let rows = [("192.0.2.1", 1, true, true, "example.jp")];
    for days_ago in 0..9 {
        for domain in ["example.jp", "a.example.jp", "example.org"] {
            let id = format!("{domain}-{days_ago}");
            let xml = Written { organization: "r.example", id: &id, domain, days_ago, rows: &rows }.xml();
            keeper.take(xml.as_bytes(), &file).expect("a report");
        }
    }
    let orphan = row_key("example.jp", NOW.day() - 5, "0".repeat(20).as_str());
    keeper.memory.set(MemoKind::DmarcRecords, &orphan, "{}");
    keeper.memory.set(MemoKind::DmarcFailures, "jp.example/2026-11-16/x", "{}");
    keeper.memory.set(MemoKind::DmarcReports, "nonsense", "{}");
    let mut short = config();
    short.retention.dmarc = Duration::from_secs(4 * 86_400);
    keeper.config.swap(short);
    assert_eq!(view(&keeper, "example.jp", false).total().messages, 10, "what is too old is not shown, pruned or not");
    while keeper.forget_old(clock.now()).expect("the store works") {}
    let days: HashSet<_> = [MemoKind::DmarcReports, MemoKind::DmarcRecords, MemoKind::DmarcFailures]
        .into_iter()
        .flat_map(|kind| keeper.memory.keys(kind))
        .map(|key| key.split('/').nth(1).map(str::to_owned))
        .collect();
    let kept: HashSet<_> = (20..25).map(|day| Some(format!("2026-11-{day}"))).collect();
    assert_eq!(days, kept);
    assert_eq!(keeper.memory.keys(MemoKind::DmarcReports).len(), 15);
    assert_eq!(view(&keeper, "example.jp", false).total().messages, 10);
}

fn row_key(domain: &str, day: u32, group: &str) -> String {
    crate::dmarc::row::piece_key(domain, day, group, 0)
}

#[test]
fn failure_reports_are_kept_in_short_once_and_in_bounds() {
    let (keeper, _) = keeper(RamMemos::default());
    let report = |n: u64| {
        format!(
            "From: abuse@reporter.example\r\nSubject: FW: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=feedback-report; boundary=b\r\n\r\n\
             --b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b\r\nContent-Type: message/feedback-report\r\n\r\nFeedback-Type: auth-failure\r\nVersion: 1\r\nUser-Agent: x/1\r\n\
             Auth-Failure: dmarc\r\nSource-IP: 203.0.113.9\r\nReported-Domain: example.jp\r\nDelivery-Result: reject\r\n\r\n\
             --b\r\nContent-Type: message/rfc822\r\n\r\nFrom: boss@example.jp\r\nSubject: invoice {n}\r\nMessage-ID: <{n}@x>\r\n\r\npay\r\n--b--\r\n"
        )
    };
    let send = |n: u64, mark| became(&keeper.take(report(n).as_bytes(), &mail(mark, "reporter.example")))[0].0;
    assert_eq!((send(1, Mark::Verified), send(1, Mark::Verified)), (Became::New, Became::Known));
    let today = NOW.day();
    let page = keeper.page::<KeptFailure>("example.jp", (today - 3, today), None, 10).expect("the store works");
    let kept = &page.rows[0].1;
    assert_eq!(
        (kept.subject.as_str(), kept.source.as_str(), kept.mark.as_str()),
        ("invoice 1", "203.0.113.9", "verified")
    );
    let taken =
        |mark, from: u64| (from..from + FAILURES_A_DAY).filter(|n| send(*n, mark) == Became::New).count() as u64;
    assert_eq!(taken(Mark::Unverified, 1_000), UNPROVEN_FAILURES_A_DAY);
    assert_eq!(taken(Mark::Verified, 2_000), FAILURES_A_DAY - UNPROVEN_FAILURES_A_DAY - 1);
}
