//! What reading DMARC reports costs: records a second, plain and in gzip, of a small report and of a large one.
//!
//! `cargo bench --bench dmarc`
#![allow(missing_docs, reason = "criterion's macros make the items")]

use std::{hint::black_box, io::Write, net::Ipv4Addr};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hikyaku::dmarc::{read::read, report::Found};

/// A report of so many records, indented as receivers write them, with one or two signatures and SPF.
fn report(records: u32) -> Vec<u8> {
    let mut out = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\" ?>\n<feedback>\n  <version>1.0</version>\n  <report_metadata>\n    <org_name>receiver.example</org_name>\n    \
         <email>noreply@receiver.example</email>\n    <report_id>1234567890</report_id>\n    <date_range>\n      <begin>1795478400</begin>\n      \
         <end>1795564799</end>\n    </date_range>\n  </report_metadata>\n  <policy_published>\n    <domain>example.com</domain>\n    <adkim>r</adkim>\n    \
         <aspf>r</aspf>\n    <p>quarantine</p>\n    <sp>none</sp>\n    <pct>100</pct>\n  </policy_published>\n",
    );
    let mut n = 1u32;
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
    out.into_bytes()
}

fn gzip(octets: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(octets).expect("memory");
    encoder.finish().expect("memory")
}

fn rows(raw: &[u8]) -> usize {
    let mut rows = 0;
    let read = read(black_box(raw), &mut |found| {
        if let Found::Aggregate(piece) = black_box(found) {
            rows += piece.rows.len();
        }
    });
    read.map(|_| rows).expect("a report")
}

fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("dmarc");
    group.sample_size(10);
    // The largest is read twice: it has more rows than a piece.
    for records in [20, 5_000, 60_000] {
        let plain = report(records);
        let packed = gzip(&plain);
        group.throughput(Throughput::Elements(u64::from(records)));
        for (name, raw) in [("XML", &plain), ("gzip", &packed)] {
            assert_eq!(rows(raw), records as usize);
            group.bench_function(format!("{records} records, {name}"), |b| b.iter(|| rows(raw)));
        }
    }
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
