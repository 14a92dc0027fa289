//! Any octets: the reader of reports neither panics nor hands over what is not bounded, and splitting a mailbox loses no bound.

#![no_main]

use hikyaku::dmarc::{
    read::{
        mbox::{Item, Mails},
        read,
    },
    report::{DKIM_RESULTS_MAX, Found, PIECE_ROWS_MAX, REASONS_MAX, SPF_RESULTS_MAX, TEXT_MAX},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|raw: &[u8]| {
    let text = |text: &str| assert!(text.len() <= TEXT_MAX && !text.chars().any(char::is_control), "{text:?}");
    let (mut rows, mut reports) = (0, 0);
    let count = read(raw, &mut |found| match found {
        Found::Aggregate(piece) => {
            reports += u64::from(piece.is_last);
            rows += piece.rows.len() as u64;
            let head = &piece.head;
            assert!(piece.rows.len() <= PIECE_ROWS_MAX);
            assert!(!head.organization.is_empty() && !head.report_id.is_empty() && !head.policy.domain.is_empty());
            for value in [&head.schema, &head.organization, &head.email, &head.contact, &head.report_id, &head.generator] {
                text(value);
            }
            for row in &piece.rows {
                assert!(row.dkim.len() <= DKIM_RESULTS_MAX && row.spf.len() <= SPF_RESULTS_MAX && row.reasons.len() <= REASONS_MAX);
                for value in [&row.header_from, &row.envelope_from, &row.envelope_to] {
                    text(value);
                }
                row.dkim.iter().for_each(|r| [&r.domain, &r.selector, &r.human_result].into_iter().for_each(|t| text(t)));
                row.spf.iter().for_each(|r| [&r.domain, &r.human_result].into_iter().for_each(|t| text(t)));
                row.reasons.iter().for_each(|r| text(&r.comment));
            }
        }
        Found::Failure(failure) => {
            reports += 1;
            for value in [&failure.reported_domain, &failure.mail_from, &failure.message_subject, &failure.message_from] {
                text(value);
            }
        }
        Found::Tls(_) => reports += 1,
    });
    match count {
        Ok(count) => assert_eq!((count.rows, count.reports()), (rows, reports)),
        Err(no) => {
            assert_eq!((rows, reports), (0, 0));
            assert!(!no.to_string().chars().any(char::is_control), "{no}");
        }
    }
    for item in Mails::new(raw, 1_000) {
        match item {
            Ok(Item::Mail(mail)) => assert!(mail.len() <= 1_000),
            Ok(Item::TooLong(octets)) => assert!(octets > 1_000),
            Err(_) => unreachable!("memory is no disk"),
        }
    }
});
