//! Mail in ISO-2022-JP, read by programs that others wrote: Python's `email` and Node's `TextDecoder`.
//!
//! In: every character of JIS X 0208 that is sent, as Python lists them, in subjects, names, header values, file names and
//! bodies; and the characters that make trouble.  Always: what both read is what was written, up to the published pairs
//! (`〜` and `～`, …), of which each table has one.
//! A test whose program is missing is skipped with a word, and fails where `HIKYAKU_PEERS=require` (as `.ci/run` sets it).
#![allow(dead_code, unused_imports, reason = "each test program uses its part of the harness")]
#![allow(clippy::unwrap_used, reason = "a failing unwrap is a failing test")]

#[path = "../peers/program.rs"]
mod program;
#[path = "../support/mod.rs"]
mod support;

use std::{path::Path, process::Command, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use hikyaku::{
    clock::Timestamp,
    mail::letter::{Address, Attachment, Charset, Composed, Enclosures, Fallback, Letter, compose},
    smtp::address::Mailbox,
};
use serde_json::Value;
use support::cli::run_command;

/// How long a reader may take over all mails.
const LIMIT: Duration = Duration::from_secs(120);
/// Characters of JIS X 0208:1997.
const CHARACTERS: usize = 6_879;
/// Characters of a mail: a subject and a file name take so many.
const MAIL_CHARACTERS: usize = 120;

/// Lists the characters of rows 1–8 and 16–84, one row a line.
const PYTHON_TABLE: &str = r#"
for row in [*range(1, 9), *range(16, 85)]:
    cells = []
    for cell in range(1, 95):
        try:
            cells.append(bytes([0x1b, 0x24, 0x42, row + 32, cell + 32, 0x1b, 0x28, 0x42]).decode('iso2022_jp'))
        except UnicodeDecodeError:
            pass
    print(''.join(cells))
"#;

/// Reads mails, one in base64 a line; prints what it finds in each as JSON.
const PYTHON_READ: &str = r#"
import base64, email, email.header, email.policy, email.utils, json, sys
def words(text):
    return str(email.header.make_header(email.header.decode_header(text)))
for line in sys.stdin:
    octets = base64.b64decode(line)
    mail = email.message_from_bytes(octets, policy=email.policy.default)
    # Display names by the older parser: the newer one of Python 3.11 keeps blanks between encoded words.
    plain = email.message_from_bytes(octets, policy=email.policy.compat32)
    shown = lambda field: [words(name) for name, _ in email.utils.getaddresses([plain[field].replace('\r\n', '')])]
    faults = [str(f) for part in mail.walk() for f in part.defects]
    faults += [str(f) for value in mail.values() for f in value.defects]
    body, html = mail.get_body(('plain',)), mail.get_body(('html',))
    names = [(part.get_filename(), words(part.get_param('name', ''))) for part in mail.iter_attachments()]
    print(json.dumps({
        'faults': faults,
        'subject': str(mail['subject']), 'from': shown('from')[0],
        'to': shown('to'),
        'note': str(mail['x-note']),
        'text': body.get_content() if body else '', 'html': html.get_content() if html else '',
        'charset': body.get_content_charset() if body else '', 'encoding': str((body or html)['content-transfer-encoding']),
        'files': [name for name, _ in names], 'fallbacks': [name for _, name in names],
    }))
"#;

/// The same for encoded words and 7-bit bodies, decoded strictly.
const NODE_READ: &str = r#"
const jis = octets => new TextDecoder('iso-2022-jp', {fatal: true}).decode(octets);
const lines = require('fs').readFileSync(0, 'latin1').split('\n').filter(l => l);
for (const line of lines) {
  const mail = Buffer.from(line, 'base64').toString('latin1');
  const end = mail.indexOf('\r\n\r\n');
  const header = mail.slice(0, end).replace(/\r\n(?=[ \t])/g, '');
  const field = name => {
    const found = header.split('\r\n').find(f => f.toLowerCase().startsWith(name + ':'));
    if (!found) return '';
    // White space between encoded words is none (RFC 2047 §6.2).
    return found.slice(name.length + 1).trim().replace(/\?=[ \t]+=\?/g, '?==?')
      .replace(/=\?ISO-2022-JP\?B\?([^?]*)\?=/g, (_, text) => jis(Buffer.from(text, 'base64')));
  };
  const parts = mail.slice(end).split(/\r\n--=_[^\r]*\r\n/).slice(1)
    .filter(p => p.includes('charset="ISO-2022-JP"') && p.includes('Content-Transfer-Encoding: 7bit'))
    .map(p => jis(Buffer.from(p.slice(p.indexOf('\r\n\r\n') + 4), 'latin1')));
  console.log(JSON.stringify({subject: field('subject'), from: field('from'), note: field('x-note'), parts}));
}
"#;

/// Gives each published pair one form.
fn one_form(text: &str) -> String {
    let pair = |c| match c {
        '\u{301c}' => '\u{ff5e}',
        '\u{2212}' => '\u{ff0d}',
        '\u{2016}' => '\u{2225}',
        '\u{2014}' => '\u{2015}',
        '\u{a2}' => '\u{ffe0}',
        '\u{a3}' => '\u{ffe1}',
        '\u{ac}' => '\u{ffe2}',
        '\u{a5}' => '\u{ffe5}',
        '\u{203e}' => '\u{ffe3}',
        c => c,
    };
    text.chars().map(pair).collect::<String>().replace("\r\n", "\n")
}

fn address(name: &str, address: &str) -> Address {
    Address { name: name.to_owned(), address: Mailbox::parse(address).unwrap() }
}

/// A mail that says `words` everywhere, and `body` in both bodies.
fn letter(words: &str, body: &str, charset: Charset) -> Composed {
    let filename = format!("{words}.pdf");
    let files = [Attachment { filename: &filename, content_type: "application/pdf", bytes: &[1] }];
    let headers = [("X-Note".to_owned(), words.to_owned())];
    let (from, to) = (address(words, "a@src.test"), [address(words, "b@dst.test"), address("B", "c@dst.test")]);
    compose(&Letter {
        message_id: "<1@relay.test>",
        date: Timestamp::from_millis(1_795_527_310_000),
        from: &from,
        to: &to,
        cc: &[],
        reply_to: None,
        subject: words,
        text: body,
        html: &format!("<p>{body}</p>"),
        headers: &headers,
        enclosures: &Enclosures::new(&files).unwrap(),
        charset,
        fallback: Fallback::Utf8,
    })
    .unwrap()
}

/// Runs a reader over mails: one answer each.
#[track_caller]
fn read(reader: &Path, option: &str, script: &str, mails: &[Composed]) -> Vec<Value> {
    let input: String = mails.iter().map(|m| STANDARD.encode(&m.bytes) + "\n").collect();
    let mut command = Command::new(reader);
    command.args([option, script]).env("PYTHONIOENCODING", "utf-8");
    let ran = run_command(command, input.as_bytes(), LIMIT).expect_done();
    let answers: Vec<Value> = ran.stdout.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(answers.len(), mails.len(), "{ran}");
    answers
}

#[track_caller]
fn expect(value: &Value, expected: &str) {
    assert_eq!(one_form(value.as_str().unwrap()), one_form(expected));
}

/// Every character that is sent, in pieces; `None`: there is no Python to list them.
fn all_characters() -> Option<Vec<String>> {
    let python = program::find("python3")?;
    let mut command = Command::new(python);
    command.args(["-c", PYTHON_TABLE]).env("PYTHONIOENCODING", "utf-8");
    let table = run_command(command, b"", LIMIT).expect_done().stdout;
    // The ideographic space is a blank, which the ends of a field do not keep.
    let characters: Vec<char> = table.chars().filter(|c| *c != '\n').collect();
    assert_eq!(characters.len(), CHARACTERS);
    Some(characters.chunks(MAIL_CHARACTERS).map(|c| c.iter().collect()).collect())
}

fn body_of(words: &str) -> String {
    // Lines of mixed sets: each must end in ASCII, and begin so.
    words.chars().map(|c| format!("{c}{c}a{c}\n")).collect()
}

#[test]
fn python_reads_every_character_in_every_place() {
    let (Some(python), Some(pieces)) = (program::find("python3"), all_characters()) else { return };
    let mails: Vec<Composed> =
        pieces.iter().map(|p| letter(&format!("x{p}y"), &body_of(p), Charset::Iso2022Jp)).collect();
    for ((mail, got), piece) in mails.iter().zip(read(&python, "-c", PYTHON_READ, &mails)).zip(&pieces) {
        assert_eq!(mail.charset_used, Charset::Iso2022Jp);
        let words = format!("x{piece}y");
        assert_eq!(got["faults"].as_array().unwrap().len(), 0, "{got}");
        for place in ["subject", "from", "note"] {
            expect(&got[place], &words);
        }
        expect(&got["to"][0], &words);
        expect(&got["to"][1], "B");
        // A name with a path in it keeps what stands behind it; `／` is none.
        expect(&got["files"][0], &format!("{words}.pdf"));
        expect(&got["fallbacks"][0], &format!("{words}.pdf"));
        expect(&got["text"], &body_of(piece));
        expect(&got["html"], &format!("<p>{}</p>", body_of(piece)));
        assert_eq!((got["charset"].as_str(), got["encoding"].as_str()), (Some("iso-2022-jp"), Some("7bit")));
    }
}

#[test]
fn node_reads_every_character_strictly() {
    let (Some(node), Some(pieces)) = (program::find("node"), all_characters()) else { return };
    let mails: Vec<Composed> =
        pieces.iter().map(|p| letter(&format!("x{p}y"), &body_of(p), Charset::Iso2022Jp)).collect();
    for (got, piece) in read(&node, "-e", NODE_READ, &mails).iter().zip(&pieces) {
        let words = format!("x{piece}y");
        expect(&got["subject"], &words);
        expect(&got["note"], &words);
        expect(&got["from"], &format!("{words} <a@src.test>"));
        expect(&got["parts"][0], &body_of(piece));
        expect(&got["parts"][1], &format!("<p>{}</p>", body_of(piece)));
    }
}

#[test]
fn half_width_kana_and_marks_are_read_as_full_width() {
    let cases = [
        ("ｱｲｳｴｵ｡｢｣､･ｦｧｰ", "アイウエオ。「」、・ヲァー"),
        ("ｶﾞｷﾞｸﾞﾊﾟﾋﾟﾊﾞｳﾞ", "ガギグパピバヴ"),
        ("ﾜﾞﾝﾟ", "ワ゛ン゜"),
        ("か\u{3099}は\u{309a}ホ\u{309a}ヽ\u{3099}", "がぱポヾ"),
        ("1〜2－3−4‖5¢£¬—", "1〜2－3－4‖5￠￡￢―"),
        ("a\\b ¥100 ‾", "a\\b ￥100 ￣"),
        ("и\u{306}е\u{308}", "йё"),
    ];
    let mails: Vec<Composed> =
        cases.iter().map(|(text, _)| letter(&format!("x{text}y"), text, Charset::Iso2022Jp)).collect();
    assert!(mails.iter().all(|m| m.charset_used == Charset::Iso2022Jp && m.note.is_none()));
    if let Some(python) = program::find("python3") {
        for (got, (given, shown)) in read(&python, "-c", PYTHON_READ, &mails).iter().zip(cases) {
            expect(&got["subject"], &format!("x{shown}y"));
            expect(&got["from"], &format!("x{shown}y"));
            expect(&got["text"], shown);
            // A backslash in a file's name parts a folder from it.
            if !given.contains('\\') {
                expect(&got["files"][0], &format!("x{shown}y.pdf"));
            }
        }
    }
    if let Some(node) = program::find("node") {
        for (got, (_, shown)) in read(&node, "-e", NODE_READ, &mails).iter().zip(cases) {
            expect(&got["subject"], &format!("x{shown}y"));
            expect(&got["parts"][0], shown);
        }
    }
}

#[test]
fn what_the_charset_lacks_goes_out_in_utf8_unchanged() {
    let cases = ["①②③", "㈱例え", "髙﨑", "注文 😀", "ﾊｰﾄ♥", "é", "한국어", "\u{a0}x"];
    let mails: Vec<Composed> =
        cases.iter().map(|text| letter(&format!("x{text}y"), text, Charset::Iso2022Jp)).collect();
    for (mail, text) in mails.iter().zip(cases) {
        assert_eq!(mail.charset_used, Charset::Utf8, "{text}");
        assert!(mail.note.as_ref().is_some_and(|n| n.contains("UTF-8") && n.contains("subject")), "{:?}", mail.note);
        assert!(mail.bytes.is_ascii());
        assert!(!String::from_utf8_lossy(&mail.bytes).to_uppercase().contains("ISO-2022-JP"));
    }
    let Some(python) = program::find("python3") else { return };
    for (got, text) in read(&python, "-c", PYTHON_READ, &mails).iter().zip(cases) {
        assert_eq!(got["faults"].as_array().unwrap().len(), 0, "{got}");
        for place in ["subject", "from", "note"] {
            assert_eq!(got[place], format!("x{text}y"));
        }
        assert_eq!(got["text"], text);
        assert_eq!(got["files"][0], format!("x{text}y.pdf"));
        assert_eq!(got["fallbacks"][0], format!("x{text}y.pdf"));
    }
}
