//! What reading returned mail costs: mails a second over the corpus, and one mail of 20 MiB with 10,000 parts.
//!
//! `cargo bench --bench bounce`; the corpus is `../shared/corpora/bounces`, or the folder that `HIKYAKU_BOUNCES` names.
#![allow(missing_docs, reason = "criterion's macros make the items")]

use std::{fs, hint::black_box, path::PathBuf};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hikyaku::bounce::read::read;

fn corpus() -> Vec<Vec<u8>> {
    let named = std::env::var_os("HIKYAKU_BOUNCES").map(PathBuf::from);
    let folder = named.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/corpora/bounces"));
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<PathBuf> =
        entries.flatten().map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == "eml")).collect();
    files.sort();
    files.iter().filter_map(|file| fs::read(file).ok()).collect()
}

/// A mail of 20 MiB in 10,000 parts, the report last.
fn large() -> Vec<u8> {
    let mut mail =
        b"Return-Path: <>\r\nSubject: failure notice\r\nContent-Type: multipart/report; boundary=b\r\n\r\n".to_vec();
    let body = "x".repeat(70) + "\r\n";
    for _ in 0..10_000 {
        mail.extend_from_slice(b"--b\r\nContent-Type: text/plain\r\n\r\n");
        for _ in 0..29 {
            mail.extend_from_slice(body.as_bytes());
        }
    }
    mail
}

fn benches(criterion: &mut Criterion) {
    let mails = corpus();
    if !mails.is_empty() {
        let mut group = criterion.benchmark_group("bounce");
        group.throughput(Throughput::Elements(mails.len() as u64));
        group.bench_function("corpus", |b| {
            b.iter(|| mails.iter().map(|m| read(black_box(m)).rows.len()).sum::<usize>())
        });
        group.finish();
    }
    let large = large();
    criterion.bench_function("bounce/20 MiB in 10,000 parts", |b| b.iter(|| read(black_box(&large))));
}

criterion_group!(all, benches);
criterion_main!(all);
