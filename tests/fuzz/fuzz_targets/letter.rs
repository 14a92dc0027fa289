//! Any letter: composing neither panics nor lets a text of the caller start a field, close a part or leave its line.
//!
//! The input is text; each line break parts a subject, a name, a header value, a file name, and the bodies.

#![no_main]

use hikyaku::{
    clock::Timestamp,
    mail::{
        letter::{Address, Attachment, Charset, Enclosures, Fallback, Letter, compose},
        merge::{Markup, Template, Texts, Values, check},
    },
    smtp::address::Mailbox,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &str| {
    let mut texts = input.splitn(6, '\n');
    let mut next = || texts.next().unwrap_or_default();
    let (subject, name, value, filename, text, html) = (next(), next(), next(), next(), next(), next());
    let Ok(mailbox) = Mailbox::parse("a@example.org") else { return };
    let from = Address { name: name.to_owned(), address: mailbox };
    let headers = [("X-Note".to_owned(), value.to_owned())];
    let values: Values = [("a".to_owned(), name.to_owned()), ("b".to_owned(), html.to_owned())].into();
    let template = Template::new(Texts { subject, text, html, headers: &headers }, Markup::Escape);
    let (Ok(template), Ok(())) = (template, check(&values)) else { return };
    let expected = template.octets(&values);
    let Ok(filled) = template.fill(&values) else { return };
    let written = [&filled.subject, &filled.text, &filled.html, &filled.headers[0].1].map(|t| t.len()).iter().sum::<usize>();
    assert!(written <= expected, "{written} octets, not {expected}");
    let file = Attachment { filename, content_type: value, bytes: html.as_bytes() };
    let Ok(enclosures) = Enclosures::new(&[file]) else { return };
    for charset in [Charset::Utf8, Charset::Iso2022Jp] {
        let letter = Letter {
            message_id: "<1@relay.test>",
            date: Timestamp::from_millis(0),
            from: &from,
            to: std::slice::from_ref(&from),
            cc: &[],
            reply_to: Some(&from),
            subject: &filled.subject,
            text: &filled.text,
            html: &filled.html,
            headers: &filled.headers,
            enclosures: &enclosures,
            charset,
            fallback: Fallback::Utf8,
        };
        let Ok(composed) = compose(&letter) else { continue };
        let mail = std::str::from_utf8(&composed.bytes).expect("ASCII");
        assert!(mail.is_ascii() && mail.ends_with("\r\n") && !mail.contains('\0'));
        assert!(!mail.replace("\r\n", "").contains(['\r', '\n']));
        assert!(mail.split("\r\n").all(|line| line.len() <= 998));
        let (header, body) = mail.split_once("\r\n\r\n").expect("a header ends");
        let fields: Vec<&str> = header
            .split("\r\n")
            .filter(|line| !line.starts_with([' ', '\t']))
            .map(|line| line.split_once(':').expect("a field has a colon").0)
            .collect();
        assert_eq!(
            fields,
            ["Date", "Message-ID", "From", "To", "Reply-To", "Subject", "X-Note", "MIME-Version", "Content-Type"]
        );
        let delimiters = body.split("\r\n").filter(|line| line.starts_with("--=_1_")).count();
        // In front of the body, in front of the file, behind it.
        assert_eq!(delimiters, 3);
    }
});
