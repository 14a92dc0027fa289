//! Any mail that comes in: taking it apart for a program neither panics nor makes more of it than came.

#![no_main]

use hikyaku::mail::parts::Parts;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|mail: &[u8]| {
    let parts = Parts::of(mail);
    let (text, html) = (parts.text(), parts.html());
    assert!(text.is_none_or(|text| text.len() <= 4 * mail.len() + 16 * parts.texts.len()), "a text grew");
    assert!(html.is_none_or(|html| html.len() <= 4 * mail.len() + 16 * parts.htmls.len()), "an html text grew");
    for (n, file) in parts.attachments.iter().enumerate() {
        assert!(file.bytes().len() <= mail.len(), "a file grew");
        let name = file.file_name(n);
        assert!(!name.is_empty() && !name.chars().any(char::is_control), "{name:?}");
    }
    for (name, value) in &parts.fields {
        assert!(!name.is_empty() && !value.contains(['\r', '\n']), "{name}: {value:?}");
    }
});
