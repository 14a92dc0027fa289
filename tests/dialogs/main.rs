//! SMTP dialogs as readable files: each `*.dlg` beside this file keeps one promise of the server core.
//!
//! Every dialog runs five ways (whole, octet by octet, in random pieces, and twice with answers that come late) and must
//! read the same each time. The words of a dialog:
//!
//! - `use: key=value …` settings of the session (first line); see [`script::config`].
//! - `C: text` a line of the client; those that follow one another leave in one write. `c: text` the same without CR LF.
//!   Escapes: `\r \n \t \0 \\ \xNN`, and `\{text*N}` for a repetition.
//! - `S: text` a line of the server, to the letter; `…` at its end stands for any rest; `S: 250*` for a reply of several lines.
//! - `A: login|sender|recipient|message|content …` how the next question of that kind is answered; yes without it.
//! - `Q: text` what was asked; `=: text` the content of the last message asked about.
//! - `T: info` the handshake succeeds, `T: failed` not; `E: timeout|closed|shutdown|later N` what happens (N seconds
//!   pass; a dialog begins at 2026-11-24T13:35:10Z).
//! - `I: with=… user=… helo=… wanted=…` what the session tells its shell; `X:` it is closed.
//!
//! What the server says and nobody expects is a failure, and so is a session that is closed at the end without `X:`.

mod bounds;
mod cuts;
mod driver;
mod matrix;
mod script;

use std::{fs, path::Path};

use driver::{Cut, Driver};
use script::{Event, Item};

#[test]
fn every_dialog_reads_as_written_however_it_is_cut() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dialogs");
    let mut files: Vec<_> = fs::read_dir(&folder)
        .expect("the dialogs are here")
        .map(|entry| entry.expect("the folder can be read").path())
        .filter(|path| path.extension().is_some_and(|e| e == "dlg"))
        .collect();
    files.sort();
    assert!(files.len() >= 100, "dialogs are missing: {}", files.len());
    let mut failures = Vec::new();
    for file in &files {
        let text = fs::read_to_string(file).expect("a dialog can be read");
        let cuts = [Cut::Whole, Cut::Octets, Cut::WholeLate, Cut::OctetsLate].into_iter();
        for cut in cuts.chain((1..=8).map(Cut::Random)) {
            if let Err(failure) = run(&text, cut) {
                let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
                failures.push(format!("{name} ({cut:?}): {failure}"));
                break;
            }
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

/// Runs one dialog.
fn run(text: &str, cut: Cut) -> Result<(), String> {
    let script = script::parse(text)?;
    let mut driver = Driver::new(script.config, cut);
    driver.start();
    let mut sent = Vec::new();
    for (number, item) in &script.items {
        let at = |e: String| format!("line {number}: {e}");
        if let Item::Send(bytes) = item {
            if sent.is_empty() {
                driver.nothing_unread().map_err(at)?;
            }
            sent.extend_from_slice(bytes);
            continue;
        }
        driver.send(&std::mem::take(&mut sent)).map_err(at)?;
        match item {
            Item::Send(_) => Ok(()),
            Item::Expect(pattern) => driver.expect(pattern),
            Item::Answer(kind, answer) => {
                driver.answers.push((*kind, answer.clone()));
                Ok(())
            }
            Item::Asked(question) => driver.expect_question(question),
            Item::Content(content) => driver.expect_content(content),
            Item::Tls(info) => driver.nothing_unread().and_then(|()| driver.handshake(info)),
            Item::Happens(event) => driver.nothing_unread().map(|()| match event {
                Event::Timeout => driver.timed_out(),
                Event::Closed => driver.closed(),
                Event::Shutdown => driver.shut_down(),
                Event::Later(seconds) => driver.later(*seconds),
            }),
            Item::Told(key, value) => driver.expect_told(key, value),
            Item::Closed => driver.expect_closed(),
        }
        .map_err(at)?;
    }
    driver.send(&sent)?;
    driver.finish()
}
