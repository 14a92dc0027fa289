//! What keeping DMARC reports costs on this disk, beside what reading the same reports costs: records a second.
//!
//! `cargo bench --bench dmarc_keep`: a set of reports of three sizes, read alone; read and kept as the command line brings them, in
//! requests of some megabytes; and one by one, as mail brings them (a sync each); then a view over all of it.
#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used, reason = "a program that measures")]

use std::{collections::HashSet, hint::black_box, io::Write, net::Ipv4Addr, sync::Arc, time::Duration};

use hikyaku::{
    clock::Clock,
    config::{Config, InForce},
    dmarc::{
        keep::{Became, Keeper, Origin, Taken},
        read::read,
        report::Found,
        row::By,
        views::Asked,
    },
    store::{RetentionPeriods, Store, StoreOptions},
};

/// Octets of files in one request of the command line.
const REQUEST_MAX: usize = 4 << 20;
const DAY: u64 = 86_400;

/// A report of so many records, in gzip, as receivers send them.
fn report(id: u64, records: u32, today: u64) -> Vec<u8> {
    let begin = (today - 1 - id % 28) * DAY;
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\" ?>\n<feedback>\n  <version>1.0</version>\n  <report_metadata>\n    <org_name>receiver{}.example</org_name>\n    \
         <email>noreply@receiver.example</email>\n    <report_id>{id}</report_id>\n    <date_range>\n      <begin>{begin}</begin>\n      \
         <end>{}</end>\n    </date_range>\n  </report_metadata>\n  <policy_published>\n    <domain>example.com</domain>\n    <adkim>r</adkim>\n    \
         <aspf>r</aspf>\n    <p>quarantine</p>\n    <sp>none</sp>\n    <pct>100</pct>\n  </policy_published>\n",
        id % 20,
        begin + DAY - 1
    );
    let mut n = id as u32 | 1;
    for record in 0..records {
        n = n.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let (ip, count) = (Ipv4Addr::from(n), n % 500 + 1);
        let second = "      <dkim>\n        <domain>mail.example.net</domain>\n        <selector>k1</selector>\n        <result>pass</result>\n      </dkim>\n";
        let second = if record % 2 == 0 { second } else { "" };
        out.push_str(&format!(
            "  <record>\n    <row>\n      <source_ip>{ip}</source_ip>\n      <count>{count}</count>\n      <policy_evaluated>\n        \
             <disposition>none</disposition>\n        <dkim>pass</dkim>\n        <spf>fail</spf>\n      </policy_evaluated>\n    </row>\n    <identifiers>\n      \
             <envelope_from>bounce.example.net</envelope_from>\n      <header_from>example.com</header_from>\n    </identifiers>\n    <auth_results>\n      <dkim>\n        \
             <domain>example.com</domain>\n        <selector>s2026</selector>\n        <result>pass</result>\n      </dkim>\n{second}      <spf>\n        \
             <domain>bounce.example.net</domain>\n        <scope>mfrom</scope>\n        <result>pass</result>\n      </spf>\n    </auth_results>\n  </record>\n"
        ));
    }
    out.push_str("</feedback>\n");
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(out.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn rows(raw: &[u8]) -> u64 {
    let mut rows = 0;
    let count = read(black_box(raw), &mut |found| {
        if let Found::Aggregate(piece) = black_box(found) {
            rows += piece.rows.len() as u64;
        }
    });
    count.map(|_| rows).unwrap()
}

fn told(what: &str, records: u64, reports: usize, took: Duration) {
    let seconds = took.as_secs_f64();
    println!(
        "{what}: {records} records of {reports} reports in {seconds:.2} s: {:.0} records/s",
        records as f64 / seconds
    );
}

fn main() {
    // `cargo test --benches` only wants to see that it runs.
    let is_test = std::env::args().any(|arg| arg == "--test");
    let scale = if is_test { 50 } else { 1 };
    let clock = Clock::system();
    let today = clock.now().as_seconds() / DAY;
    let base = std::env::var_os("HIKYAKU_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    let dir = base.join(format!("hikyaku-dmarc-keep-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let retention = RetentionPeriods {
        delivery_log: Duration::from_secs(DAY),
        error_log: Duration::from_secs(DAY),
        audit_log: Duration::from_secs(DAY),
        message_bodies: Duration::ZERO,
    };
    let options = StoreOptions { data_dir: dir.clone(), clock: clock.clone(), disk_free_min: 0, retention };
    let store = Store::open(options).unwrap().store;
    let no_tls = Arc::new(|_: Vec<u8>, _: &Origin| Ok(Taken::nothing()));
    let keeper = Keeper::new(store, clock.clone(), InForce::new(Config::default()), Arc::default(), no_tls);
    let mut next = 0;
    let mut set = |reports: u64, records: u32| -> Vec<Vec<u8>> {
        (0..(reports / scale).max(1))
            .map(|_| {
                next += 1;
                report(next, records, today)
            })
            .collect()
    };
    for (what, reports, records) in [("small", 3_000, 20), ("middle", 40, 3_000), ("large", 2, 60_000)] {
        let files = set(reports, records);
        let start = clock.instant();
        let all: u64 = files.iter().map(|file| rows(file)).sum();
        told(&format!("{what}, read alone"), all, files.len(), clock.instant() - start);
        let start = clock.instant();
        let mut kept = 0;
        let mut some = files.iter().peekable();
        while some.peek().is_some() {
            let mut batch = keeper.batch(Origin::brought(By::File));
            let mut octets = 0;
            while let Some(file) = some.next_if(|_| octets < REQUEST_MAX) {
                octets += file.len();
                batch.add(file).unwrap();
            }
            let taken = batch.finish().unwrap();
            kept += taken.iter().flatten().filter(|t| t.became == Became::New).map(|t| t.rows).sum::<u64>();
        }
        told(&format!("{what}, read and kept in requests"), kept, files.len(), clock.instant() - start);
        assert_eq!(kept, all);
        let start = clock.instant();
        let known = files.iter().flat_map(|file| keeper.take(file, &Origin::brought(By::File)).unwrap());
        assert!(known.into_iter().all(|taken| taken.became == Became::Known));
        told(&format!("{what}, read and known"), all, files.len(), clock.instant() - start);
    }
    let files = set(500, 20);
    let start = clock.instant();
    let all: u64 =
        files.iter().flat_map(|file| keeper.take(file, &Origin::brought(By::File)).unwrap()).map(|t| t.rows).sum();
    told("small, read and kept one by one", all, files.len(), clock.instant() - start);
    let start = clock.instant();
    let asked = Asked { domain: "example.com".into(), from: today as u32 - 30, to: today as u32, all: false };
    let view = keeper.view(asked, HashSet::new()).unwrap();
    let all = view.reporters.values().map(|r| r.reports).sum::<u64>();
    let took = clock.instant() - start;
    println!("a view of 30 days over {all} reports from {} sources: {:.2} s", view.sources.len(), took.as_secs_f64());
    let octets: u64 =
        std::fs::read_dir(&dir).unwrap().flatten().filter_map(|e| e.metadata().ok()).map(|m| m.len()).sum();
    println!("files of the store: {} MiB", octets >> 20);
    let _ = std::fs::remove_dir_all(&dir);
}
