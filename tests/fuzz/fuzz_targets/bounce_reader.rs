//! Any octets: the reader of returned mail neither panics nor answers with texts that are not bounded and single-line.

#![no_main]

use hikyaku::bounce::read::{Action, Kind, read};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|mail: &[u8]| {
    let reading = read(mail);
    let original = &reading.original;
    assert!(reading.rows.len() <= 1_000 && original.return_paths.len() <= 16);
    for row in &reading.rows {
        for (text, max) in [
            (&row.recipient, 320),
            (&row.failed_at, 320),
            (&row.status, 11),
            (&row.diagnostic, 1_024),
            (&row.host, 255),
        ] {
            assert!(text.len() <= max && !text.chars().any(char::is_control), "{text:?}");
        }
        assert_eq!(row.judged.is_some(), matches!(row.action, Action::Failed | Action::Delayed | Action::Feedback));
    }
    for text in original.return_paths.iter().chain([&original.message_id, &original.envid, &original.subject]) {
        assert!(text.len() <= 514 && !text.chars().any(char::is_control), "{text:?}");
    }
    if reading.kind == Kind::Bounce {
        assert!(reading.rows.iter().any(|row| row.action == Action::Failed));
    }
    // The same mail is always read alike.
    assert_eq!(read(mail), reading);
});
