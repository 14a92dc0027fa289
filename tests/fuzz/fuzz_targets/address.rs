//! Any text: the parsers of paths, parameters and EHLO names neither panic nor let through what breaks a header or a reply.

#![no_main]

use hikyaku::smtp::{
    address::{ADDRESS_OCTETS_MAX, LOCAL_OCTETS_MAX, Mailbox},
    command::{is_hello_name, parse_bdat, split_path},
    params::{HoldLimits, MailParams, Offered, RcptParams},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    for mailbox in [Mailbox::parse(text), Mailbox::parse_path(text)].into_iter().flatten() {
        assert!(mailbox.as_str().len() <= ADDRESS_OCTETS_MAX && mailbox.local().len() <= LOCAL_OCTETS_MAX);
        assert!(!mailbox.as_str().chars().any(char::is_control));
        assert_eq!(format!("{}@{}", mailbox.local(), mailbox.domain()), mailbox.as_str());
        // What is a mailbox survives being written between brackets.
        let path = format!("FROM:<{mailbox}>");
        assert_eq!(split_path(&path, "FROM:"), Some((mailbox.as_str(), "")));
        assert_eq!(Mailbox::parse(mailbox.as_str()), Ok(mailbox));
    }
    if let Some((path, params)) = split_path(text, "FROM:") {
        assert!(path.len() + params.len() < text.len());
    }
    let hold = Some(HoldLimits { seconds_max: 3_600, now: 1_795_527_310 });
    let all = Offered { mt_priority: true, hold, deliver_by: true, require_tls: true };
    if let Ok(params) = MailParams::parse(text, all) {
        assert!(params.mt_priority.is_none_or(|p| (-9..=9).contains(&p)));
    }
    let _ = (MailParams::parse(text, Offered::default()), RcptParams::parse(text), parse_bdat(text));
    if is_hello_name(text) {
        assert!(text.bytes().all(|b| b.is_ascii_graphic()));
    }
});
