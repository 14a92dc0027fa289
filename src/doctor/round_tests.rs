//! The daily round with a manual clock, a scripted doctor and memos in RAM.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Mutex as SyncMutex,
};

use super::*;
use crate::{
    config::{self, Config},
    doctor::finding::{RecordToPublish, Seen, Spf, TlsRpt},
    tls_report::fake::RamMemos,
};

/// Answers the next report of each domain; the last one stays.
#[derive(Default)]
struct Script {
    reports: SyncMutex<BTreeMap<String, VecDeque<Vec<Finding>>>>,
    asked: SyncMutex<Vec<String>>,
    clock: SyncMutex<Option<Clock>>,
}

impl Script {
    fn says(&self, domain: &str, findings: Vec<Finding>) {
        self.reports.lock().unwrap().entry(domain.to_owned()).or_default().push_back(findings);
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

impl Check for Script {
    fn check<'a>(&'a self, domain: &'a str) -> Checking<'a> {
        self.asked.lock().unwrap().push(domain.to_owned());
        let mut reports = self.reports.lock().unwrap();
        let script = reports.entry(domain.to_owned()).or_default();
        let findings = if script.len() > 1 { script.pop_front() } else { script.front().cloned() };
        let now = self.clock.lock().unwrap().as_ref().expect("set").now();
        Box::pin(std::future::ready(Report::new(domain, now, findings.unwrap_or_default())))
    }

    fn records<'a>(&'a self, _: &'a str) -> Gathering<'a> {
        Box::pin(std::future::ready(Records::default()))
    }
}

/// Somebody who is told.
#[derive(Default)]
struct Ear {
    turn: Mutex<()>,
    heard: SyncMutex<Vec<DomainChange>>,
}

impl Tell for Ear {
    fn wants(&self) -> bool {
        true
    }

    fn turn(&self) -> &Mutex<()> {
        &self.turn
    }

    fn rows(&self, changes: Vec<DomainChange>) -> Vec<MemoChange> {
        assert!(self.turn.try_lock().is_none(), "its turn is held");
        let key = format!("told-{}", self.heard.lock().unwrap().len());
        self.heard.lock().unwrap().extend(changes);
        vec![MemoChange { kind: MemoKind::WebhookEvents, key, value: Some(Vec::new()) }]
    }
}

struct Rig {
    rounds: Rounds<RamMemos>,
    memory: RamMemos,
    clock: Clock,
    script: Arc<Script>,
    ear: Arc<Ear>,
    config: InForce,
}

fn rig(domains: &[&str]) -> Rig {
    let mut config = Config::default();
    config.server.time_zone = "Asia/Tokyo".to_owned();
    for name in domains {
        config.domains.push(config::Domain { name: (*name).to_owned(), ..config::Domain::default() });
    }
    // 10:00 in Tokyo.
    let clock = Clock::manual(Timestamp::from_rfc3339("2026-11-24T01:00:00Z").unwrap());
    let (memory, script, ear) = (RamMemos::default(), Arc::new(Script::default()), Arc::new(Ear::default()));
    *script.clock.lock().unwrap() = Some(clock.clone());
    let config = InForce::new(config);
    let rounds = Rounds::new(Parts {
        memory: memory.clone(),
        clock: clock.clone(),
        config: config.clone(),
        check: script.clone(),
        tell: Some(ear.clone()),
    });
    Rig { rounds, memory, clock, script, ear, config }
}

fn missing() -> Finding {
    Finding::new(Level::Error, "example.jp", Seen::Spf(Spf::Missing { neighbours: Vec::new() }))
        .with(RecordToPublish::txt("example.jp", "v=spf1 ip4:192.0.2.1 -all"))
}

fn found() -> Finding {
    Finding::new(Level::Ok, "example.jp", Seen::Spf(Spf::Found { record: "v=spf1 -all".to_owned() }))
}

fn dark() -> Finding {
    let seen = Seen::Unanswered { area: Area::Spf, asked: "TXT example.jp".to_owned(), why: "SERVFAIL".to_owned() };
    Finding::new(Level::Note, "example.jp", seen)
}

#[test]
fn what_changes_is_told_once_and_an_outage_changes_nothing() {
    let rig = rig(&["Example.jp"]);
    for findings in [vec![found()], vec![missing()], vec![dark()], vec![missing()], vec![dark()], vec![found()]] {
        rig.script.says("example.jp", findings);
    }
    let mut told = Vec::new();
    for _ in 0..6 {
        rig.clock.advance(Duration::from_secs(60));
        let report = smol::block_on(rig.rounds.check("EXAMPLE.jp.")).unwrap();
        assert_eq!(rig.rounds.last("example.jp").unwrap(), Some(report), "the last report is kept as it is");
        let heard = std::mem::take(&mut *rig.ear.heard.lock().unwrap());
        told.push(heard.iter().map(|c| format!("{} {}→{}", c.check, c.was, c.is)).collect::<Vec<_>>());
    }
    let none: Vec<String> = Vec::new();
    assert_eq!(
        told,
        [
            none.clone(),
            vec!["spf.record ok→error".to_owned()],
            none.clone(),
            none.clone(),
            none,
            vec!["spf.record error→ok".to_owned()],
        ]
    );
    let changes = rig.rounds.changes("example.jp", Timestamp::ZERO, 10).unwrap();
    assert_eq!(changes.iter().map(|c| c.is.as_str()).collect::<Vec<_>>(), ["ok", "error"], "newest first");
    let broke = &changes[1];
    assert!(broke.is_worse() && !changes[0].is_worse());
    assert!(
        !broke.seen.is_empty() && !broke.seen_ja.is_empty() && broke.seen != broke.seen_ja && !broke.fix.is_empty()
    );
    assert_eq!(broke.records, ["example.jp. 3600 IN TXT \"v=spf1 ip4:192.0.2.1 -all\""]);
}

#[test]
fn a_first_look_during_an_outage_makes_no_news_of_the_first_answer() {
    let rig = rig(&["example.jp"]);
    for findings in [vec![dark()], vec![dark()], vec![missing()], vec![found()]] {
        rig.script.says("example.jp", findings);
    }
    let mut told = Vec::new();
    for _ in 0..4 {
        rig.clock.advance(Duration::from_secs(60));
        smol::block_on(rig.rounds.check("example.jp")).unwrap();
        told.push(std::mem::take(&mut *rig.ear.heard.lock().unwrap()).len());
    }
    assert_eq!(told, [0, 0, 0, 1], "the first answer is the first look; what follows is a change");
}

#[test]
fn a_strange_domain_is_looked_at_and_not_kept() {
    let rig = rig(&["example.jp"]);
    rig.script.says("stranger.example", vec![missing()]);
    assert_eq!(smol::block_on(rig.rounds.check("stranger.example")).unwrap().worst(), Level::Error);
    assert_eq!(rig.rounds.last("stranger.example").unwrap(), None);
    assert_eq!(rig.rounds.all().unwrap(), [("example.jp".to_owned(), None)]);
    assert_eq!(rig.rounds.standings().unwrap(), [Standing::of("example.jp", None)]);
}

#[test]
fn how_a_domain_stands_is_what_the_last_look_found_also_after_a_restart() {
    let rig = rig(&["a.example", "b.example"]);
    assert!(rig.rounds.standings().unwrap().iter().all(|standing| standing.at.is_none()));
    for findings in [vec![missing(), found()], vec![found()]] {
        rig.script.says("a.example", findings);
    }
    for errors in [1, 0] {
        rig.clock.advance(Duration::from_secs(60));
        smol::block_on(rig.rounds.check("a.example")).unwrap();
        let standings = rig.rounds.standings().unwrap();
        let names: Vec<&str> = standings.iter().map(|s| s.domain.as_str()).collect();
        assert_eq!(names, ["a.example", "b.example"]);
        let a = &standings[0];
        assert_eq!((a.errors, a.worst.len(), a.is_bad(), a.at), (errors, errors, errors > 0, Some(rig.clock.now())));
        assert!(a.worst.iter().all(|finding| finding.records.is_empty()));
        let again = Rounds::new(Parts {
            memory: rig.memory.clone(),
            clock: rig.clock.clone(),
            config: rig.config.clone(),
            check: rig.script.clone(),
            tell: None,
        });
        assert_eq!(again.standings().unwrap(), standings);
    }
}

#[test]
fn the_round_runs_once_a_day_at_its_time_and_at_once_for_what_is_new() {
    let rig = rig(&["a.example", "b.example"]);
    let shutdown = Shutdown::new();
    let run = || smol::block_on(rig.rounds.run_if_due(&shutdown)).unwrap();
    run();
    assert_eq!(rig.script.asked(), 2, "never before: at once");
    run();
    // 17 hours and 30 minutes: 03:30 in Tokyo.
    rig.clock.advance(Duration::from_secs(17 * 3600 + 1800));
    run();
    assert_eq!(rig.script.asked(), 2, "not yet");
    rig.clock.advance(Duration::from_secs(600));
    run();
    run();
    assert_eq!(rig.script.asked(), 4, "03:40");
    let mut config = (*rig.config.get()).clone();
    config.domains.push(config::Domain { name: "c.example".to_owned(), ..config::Domain::default() });
    rig.config.swap(config.clone());
    run();
    assert_eq!(rig.script.asked(), 5, "a new domain at once");
    config.domain_check.run_at_minute = None;
    config.domains.remove(0);
    rig.config.swap(config.clone());
    rig.clock.advance(Duration::from_secs(3 * 86_400));
    run();
    assert_eq!(rig.script.asked(), 5, "never");
    config.domain_check.run_at_minute = Some(0);
    rig.config.swap(config);
    run();
    assert_eq!(rig.script.asked(), 7);
    let keys = rig.memory.keys(MemoKind::DomainFindings);
    assert_eq!(
        keys,
        ["b/b.example", "b/c.example", "r/b.example", "r/c.example", "round"],
        "a domain that left is forgotten"
    );
    shutdown.drain();
    rig.clock.advance(Duration::from_secs(2 * 86_400));
    run();
    assert_eq!(rig.script.asked(), 7, "a stop begins nothing, and the round is still due");
}

#[test]
fn changes_go_when_they_are_old() {
    let rig = rig(&["example.jp"]);
    let tls = |level| vec![Finding::new(level, "example.jp", Seen::TlsRpt(TlsRpt::Absent))];
    for n in 0..4 {
        rig.script.says("example.jp", tls(if n % 2 == 0 { Level::Warning } else { Level::Error }));
    }
    let check = || smol::block_on(rig.rounds.check("example.jp")).unwrap();
    check();
    check();
    rig.clock.advance(Duration::from_secs(80 * 86_400));
    check();
    assert_eq!(rig.rounds.changes("", Timestamp::ZERO, 10).unwrap().len(), 2);
    rig.clock.advance(Duration::from_secs(20 * 86_400));
    smol::block_on(rig.rounds.forget_old(rig.clock.now())).unwrap();
    assert_eq!(rig.rounds.changes("", Timestamp::ZERO, 10).unwrap().len(), 1);
    assert_eq!(rig.rounds.changes("other.example", Timestamp::ZERO, 10).unwrap(), []);
}

#[test]
fn a_report_that_is_too_large_loses_its_mildest_findings() {
    let mut findings = vec![missing()];
    for n in 0..300 {
        let record = "x".repeat(1_024);
        findings.push(Finding::new(Level::Ok, format!("n{n}"), Seen::Spf(Spf::Found { record })));
    }
    let report = Report::new("example.jp", Timestamp::ZERO, findings);
    let row = row("r/example.jp".to_owned(), &report);
    let value = row.value.unwrap();
    assert!(value.len() <= MEMO_OCTETS_MAX);
    let kept: Report = serde_json::from_slice(&value).unwrap();
    assert!(kept.count(Level::Error) == 1 && kept.findings.len() > 100);
}
