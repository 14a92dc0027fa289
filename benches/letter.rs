//! What composing costs: one bulk mail, filled and composed, in each charset, and with a file that is shared.
//!
//! `cargo bench --bench letter`.
#![allow(missing_docs, reason = "criterion's macros make the items")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hikyaku::{
    clock::Timestamp,
    mail::{
        letter::{Address, Attachment, Charset, Enclosures, Fallback, Letter, compose},
        merge::{Markup, Template, Texts, Values},
    },
    smtp::address::Mailbox,
};

const ENGLISH: &str = "Dear ((#name#)), thank you for your order of ((#item#)). We will send it tomorrow.\n";
const JAPANESE: &str = "((#name#)) 様\nご注文ありがとうございます。((#item#)) を明日お送りします。\n";

fn address(name: &str, address: &str) -> Address {
    Address { name: name.to_owned(), address: Mailbox::parse(address).expect("a mailbox") }
}

fn benches(criterion: &mut Criterion) {
    let file = vec![7; 1 << 20];
    let cases = [
        ("English, UTF-8", ENGLISH, Charset::Utf8, false),
        ("Japanese, UTF-8", JAPANESE, Charset::Utf8, false),
        ("Japanese, ISO-2022-JP", JAPANESE, Charset::Iso2022Jp, false),
        ("Japanese, UTF-8, a file of 1 MiB", JAPANESE, Charset::Utf8, true),
    ];
    let (from, to) = (address("株式会社例え", "shop@example.net"), [address("山田 花子", "hanako@example.org")]);
    let headers = [("X-Api-Data".to_owned(), "order-((#item#))".to_owned())];
    let values: Values =
        [("name", "山田 花子"), ("item", "お茶 100g")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    let mut group = criterion.benchmark_group("letter");
    group.throughput(Throughput::Elements(1));
    for (name, text, charset, has_file) in cases {
        let text = text.repeat(15);
        let html = format!("<p>{}</p>", text.replace('\n', "<br>\n"));
        let subject = "((#name#)) 様、ご注文 ((#item#))";
        let file = Attachment { filename: "見積書.pdf", content_type: "application/pdf", bytes: &file };
        let enclosures = Enclosures::new(if has_file { std::slice::from_ref(&file) } else { &[] }).expect("a file");
        let texts = Texts { subject, text: &text, html: &html, headers: &headers };
        let template = Template::new(texts, Markup::Escape).expect("few placeholders");
        group.bench_function(name, |b| {
            b.iter(|| {
                let filled = template.fill(black_box(&values)).expect("a small mail");
                let letter = Letter {
                    message_id: "<01JDQ@relay.example.net>",
                    date: Timestamp::from_millis(1_795_527_310_000),
                    from: &from,
                    to: &to,
                    cc: &[],
                    reply_to: None,
                    subject: &filled.subject,
                    text: &filled.text,
                    html: &filled.html,
                    headers: &filled.headers,
                    enclosures: &enclosures,
                    charset,
                    fallback: Fallback::Utf8,
                };
                compose(&letter).expect("a letter").bytes.len()
            })
        });
    }
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
