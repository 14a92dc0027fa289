//! DMARC reports over a power cut: what was answered as kept is there, whole and once; what was not may be brought again.

use std::{collections::HashSet, sync::Arc};

use hikyaku::{
    clock::Clock,
    config::{Config, InForce},
    dmarc::{
        keep::{Became, Keeper, Origin, Taken},
        row::{By, KeptReport},
        views::Asked,
    },
    store::{
        Store,
        sim::{Fate, SimDisk},
    },
};

use crate::support::*;

/// Mails that a report tells of.
const MAILS: u64 = 40;

fn keeper(store: &Store, clock: &Clock) -> Keeper<Store> {
    let no_tls = Arc::new(|_, _: &Origin| Ok(Taken::nothing()));
    Keeper::new(store.clone(), clock.clone(), InForce::new(Config::default()), Arc::default(), no_tls)
}

/// A report of ten rows.
fn report(id: &str) -> String {
    let begin = START.as_seconds() - 86_400;
    let row = |n: u64| {
        format!(
            "<record><row><source_ip>192.0.2.{n}</source_ip><count>{}</count><policy_evaluated><disposition>none</disposition>\
             <dkim>pass</dkim><spf>fail</spf></policy_evaluated></row><identifiers><header_from>example.jp</header_from>\
             </identifiers><auth_results/></record>",
            MAILS / 10
        )
    };
    format!(
        "<feedback><report_metadata><org_name>r.example</org_name><email>a@r.example</email><report_id>{id}</report_id>\
         <date_range><begin>{begin}</begin><end>{}</end></date_range></report_metadata><policy_published><domain>example.jp\
         </domain><p>none</p></policy_published>{}</feedback>",
        begin + 86_399,
        (0..10).map(row).collect::<String>()
    )
}

/// Brings reports one by one, then two in a batch, until the disk stops; answers those that were answered as kept.
fn bring(keeper: &Keeper<Store>) -> Vec<String> {
    let mut kept = Vec::new();
    let file = Origin::brought(By::File);
    for n in 0..3 {
        let id = format!("r-{n}");
        match keeper.take(report(&id).as_bytes(), &file) {
            Ok(taken) if taken[0].became != Became::Refused => kept.push(id),
            Ok(_) | Err(_) => return kept,
        }
    }
    let mut batch = keeper.batch(file);
    for id in ["b-0", "b-1"] {
        batch.add(report(id).as_bytes()).expect("a report");
    }
    if batch.finish().is_ok() {
        kept.extend(["b-0", "b-1"].map(str::to_owned));
    }
    kept
}

/// Mails in all reports, and the ids of those that are known.
fn seen(keeper: &Keeper<Store>) -> (u64, Vec<String>) {
    let day = START.day();
    let asked = Asked { domain: "example.jp".into(), from: day - 5, to: day, all: true };
    let total = keeper.view(asked, HashSet::new()).unwrap().total();
    assert_eq!(total.messages, total.dkim, "every row is whole");
    let page = keeper.page::<KeptReport>("example.jp", (day - 5, day), None, 100).unwrap();
    (total.messages, page.rows.into_iter().map(|(_, report)| report.report_id).collect())
}

#[test]
fn a_power_cut_before_any_disk_operation_keeps_reports_whole_and_once() {
    let long = std::env::var_os("HIKYAKU_LONG").is_some();
    // A redo log that holds commits, and one that holds none: each of them goes to the database at once.
    for redo_octets in [256 * 1024, 64 * 1024] {
        let total = run(None, 0, redo_octets, "whole");
        assert!(total >= 8, "{total} operations");
        for seed in 0..if long { 32 } else { 3 } {
            for at in 1..=total {
                let context = format!("cut before operation {at} of {total}, seed {seed}, redo log of {redo_octets}");
                run(Some(at), seed * 1_000 + at, redo_octets, &context);
            }
        }
    }
}

/// Operations of the disk while reports are brought.
fn run(cut: Option<u64>, seed: u64, redo_octets: u64, context: &str) -> u64 {
    let clock = Clock::manual(START);
    let disk = SimDisk::default();
    let store = open_sim_redo(&disk, options(SIM_DIR, &clock), redo_octets).unwrap().store;
    disk.plan(cut.map(Fate::CrashAt));
    let kept = bring(&keeper(&store, &clock));
    let operations = disk.operations();
    drop(store);
    disk.restart(seed);
    let store = open_sim_redo(&disk, options(SIM_DIR, &clock), redo_octets).unwrap().store;
    let keeper = keeper(&store, &clock);
    let (messages, known) = seen(&keeper);
    assert!(kept.iter().all(|id| known.contains(id)), "{context}: {kept:?} were kept, {known:?} are known");
    assert_eq!(messages, MAILS * known.len() as u64, "{context}: rows of {known:?}");
    assert_eq!(bring(&keeper).len(), 5, "{context}");
    assert_eq!(seen(&keeper).0, MAILS * 5, "{context}: brought again");
    operations
}
