//! Mail of every unpleasant kind, from a seed: 8-bit octets, dots at line starts, long lines, empty lines, no final line
//! end, no header at all.

use super::Rng;

/// A generated mail.
#[derive(Clone, Debug)]
pub struct Body {
    /// Its octets; every CR is followed by LF and the reverse, and there is no NUL (such mail is refused).
    pub content: Vec<u8>,
    /// It does not end in CRLF: only BDAT carries it.
    pub unfinished: bool,
}

/// Octets of one line at most: far over the 998 of RFC 5321 §4.5.3.1.6 (R8: lines of any length pass).
const LINE_MAX: usize = 9000;

/// The `n`th mail of a seed, with its number in a header of its own.
pub fn generate(rng: &mut Rng, n: usize) -> Body {
    let mut content = Vec::new();
    let has_header = rng.below(20) != 0;
    if has_header {
        header(rng, n, &mut content);
    }
    for _ in 0..rng.below(12) {
        line(rng, &mut content);
        content.extend_from_slice(b"\r\n");
    }
    let unfinished = rng.below(4) == 0;
    if unfinished {
        line(rng, &mut content);
        // An empty last line would end in the CRLF before it.
        content.push(b'x');
    } else if content.is_empty() {
        content.extend_from_slice(b"\r\n");
    }
    Body { content, unfinished }
}

fn header(rng: &mut Rng, n: usize, out: &mut Vec<u8>) {
    let fields: &[&[u8]] = &[
        b"From: \xe5\xb1\xb1\xe7\x94\xb0 <sender@src.test>",
        b"To: someone@dst.test",
        b"Subject: =?UTF-8?B?44GT44KT44Gr44Gh44Gv?=",
        b"Subject: \x1b$B$3$s$K$A$O\x1b(B",
        b"X-Folded: one\r\n\ttwo\r\n three",
        b"Date: Tue, 24 Nov 2026 10:00:00 +0900",
        b"Received: from a.test by b.test; Tue, 24 Nov 2026 10:00:00 +0900",
        b"X-Latin: caf\xe9",
        b"Broken header line without a colon",
        b"X-Empty:",
    ];
    out.extend_from_slice(format!("Message-ID: <{n}@src.test>\r\n").as_bytes());
    for _ in 0..rng.below(6) {
        out.extend_from_slice(fields[rng.below(fields.len())]);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

fn line(rng: &mut Rng, out: &mut Vec<u8>) {
    match rng.below(8) {
        0 => {}
        1 => out.extend_from_slice(b"."),
        2 => out.extend_from_slice(b".."),
        3 => out.extend_from_slice(b".a line with a dot"),
        4 => octets(rng, LINE_MAX, out),
        5 => out.extend_from_slice(b"From the beginning"),
        _ => octets(rng, 80, out),
    }
}

/// Any octets but NUL, CR and LF.
fn octets(rng: &mut Rng, max: usize, out: &mut Vec<u8>) {
    for _ in 0..rng.below(max) {
        let b = (rng.next() & 0xff) as u8;
        out.push(if matches!(b, 0 | b'\r' | b'\n') { b'.' } else { b });
    }
}
