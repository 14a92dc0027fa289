//! What of a message is hashed: canonicalisation of header fields and of bodies.
//!
//! In: fields and bodies as they travel, octet by octet.  Out: the octets that are hashed.
//! Always: CRLF alone ends a line; a lone CR or LF is an octet like others; bodies may come in any pieces; memory does not
//! grow with a body. A body whose last line lacks its end is hashed as if it had one: so it goes out, and so it arrives.
//! Sources: RFC 6376 §3.4.1 to §3.4.4 and its errata 4926, §3.4.5 (examples).

use aws_lc_rs::digest::{Context, Digest, SHA256};

/// How much a message may change on its way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Not at all, but for empty lines at the end.
    Simple,
    /// Blanks may.
    Relaxed,
}

impl Mode {
    /// The word in `c=`.
    pub(super) fn from_word(word: &str) -> Option<Self> {
        match word {
            "simple" => Some(Mode::Simple),
            "relaxed" => Some(Mode::Relaxed),
            _ => None,
        }
    }
}

/// Adds a field: its name, what follows the colon up to its last line's end, and all of it; with a CRLF behind it.
pub(super) fn add_field(out: &mut Vec<u8>, mode: Mode, name: &[u8], value: &[u8], whole: &[u8]) {
    match mode {
        Mode::Simple => out.extend_from_slice(without_line_end(whole)),
        Mode::Relaxed => {
            out.extend(name.iter().map(u8::to_ascii_lowercase));
            out.push(b':');
            relax_value(out, value);
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// The field without its last line's end.
fn without_line_end(whole: &[u8]) -> &[u8] {
    let text = whole.strip_suffix(b"\n").unwrap_or(whole);
    text.strip_suffix(b"\r").unwrap_or(text)
}

/// A value on one line, each run of blanks one blank, none at its ends.
fn relax_value(out: &mut Vec<u8>, value: &[u8]) {
    let start = out.len();
    let mut blank = false;
    let mut at = 0;
    while let Some(&octet) = value.get(at) {
        at += 1;
        match octet {
            b' ' | b'\t' => blank = true,
            // Unfolding takes the line's end away, and leaves the blanks behind it.
            b'\r' if value.get(at) == Some(&b'\n') => at += 1,
            octet => {
                if std::mem::take(&mut blank) && out.len() > start {
                    out.push(b' ');
                }
                out.push(octet);
            }
        }
    }
}

/// A body on its way into a hash.
pub(super) struct BodyCanon {
    mode: Mode,
    /// Ends of lines that count only if something follows them.
    ends: u64,
    /// Blanks that count only if something of their line follows them.
    blank: bool,
    /// A CR whose next octet is not known yet.
    cr: bool,
    /// Something else than ends of lines came.
    begun: bool,
    out: Hashed,
}

impl BodyCanon {
    /// A hash of the canonical body, or of its first `limit` octets.
    pub(super) fn new(mode: Mode, limit: Option<u64>) -> Self {
        let out = Hashed { context: Context::new(&SHA256), block: Vec::with_capacity(BLOCK_OCTETS), total: 0, limit };
        BodyCanon { mode, ends: 0, blank: false, cr: false, begun: false, out }
    }

    /// Takes the next piece.
    pub(super) fn update(&mut self, piece: &[u8]) {
        let mut rest = piece;
        while let Some(&octet) = rest.first() {
            if self.cr {
                self.cr = false;
                if octet == b'\n' {
                    rest = &rest[1..];
                    self.ends += 1;
                    // Blanks at the end of a line are none.
                    self.blank = false;
                    continue;
                }
                self.text(b"\r");
            }
            match octet {
                b'\r' => {
                    self.cr = true;
                    rest = &rest[1..];
                }
                b' ' | b'\t' if self.mode == Mode::Relaxed => {
                    self.blank = true;
                    rest = &rest[1..];
                }
                _ => {
                    let relaxed = self.mode == Mode::Relaxed;
                    let ends = |octet: &u8| *octet == b'\r' || relaxed && matches!(octet, b' ' | b'\t');
                    let (text, more) = rest.split_at(rest.iter().position(ends).unwrap_or(rest.len()));
                    self.text(text);
                    rest = more;
                }
            }
        }
    }

    /// Octets of a line, after what was waiting to see whether something follows.
    fn text(&mut self, text: &[u8]) {
        while self.ends > 0 {
            self.ends -= 1;
            self.out.write(b"\r\n");
        }
        if std::mem::take(&mut self.blank) {
            self.out.write(b" ");
        }
        self.out.write(text);
        self.begun = true;
    }

    /// The hash, and how many octets the canonical body has.
    pub(super) fn finish(mut self) -> (Digest, u64) {
        if self.cr {
            self.text(b"\r");
        }
        // An empty body is nothing when relaxed, and one end of a line when simple.
        if self.begun || self.mode == Mode::Simple {
            self.out.write(b"\r\n");
        }
        self.out.finish()
    }
}

/// Octets gathered before they are hashed: the library is not called for each word.
const BLOCK_OCTETS: usize = 4096;

struct Hashed {
    context: Context,
    block: Vec<u8>,
    total: u64,
    limit: Option<u64>,
}

impl Hashed {
    fn write(&mut self, octets: &[u8]) {
        let left = self.limit.map_or(u64::MAX, |limit| limit.saturating_sub(self.total));
        self.total += octets.len() as u64;
        let counted = &octets[..octets.len().min(usize::try_from(left).unwrap_or(usize::MAX))];
        if self.block.len() + counted.len() > BLOCK_OCTETS {
            self.context.update(&self.block);
            self.block.clear();
        }
        if counted.len() > BLOCK_OCTETS {
            self.context.update(counted);
        } else {
            self.block.extend_from_slice(counted);
        }
    }

    fn finish(mut self) -> (Digest, u64) {
        self.context.update(&self.block);
        (self.context.finish(), self.total)
    }
}

#[cfg(test)]
#[path = "canon_tests.rs"]
mod tests;
