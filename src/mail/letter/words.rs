//! Header fields of a composed letter: text, address lists and file names, in ASCII whatever they say.
//!
//! In: checked text without control characters.  Out: whole fields, folded.
//! Always: an encoded word is at most 75 octets, complete in itself, and cut between characters; a line that has one is at
//! most 76; no line is over 998 octets, and none is blank; plain ASCII stays as it is, unless it looks like an encoded word
//! and is not meant as one. mail-builder knows UTF-8 only and leaves such look-alikes, so these fields are our own.
//! Sources: RFC 5322 §2.1.1, §2.2.3 and §3.4, RFC 2047 §2, §5 and §6.2, RFC 2231 §3 and §4, RFC 1468, RFC 6532.

use std::fmt::Write;

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{Address, Charset};
use crate::mail::iso2022jp::{Atoms, Encoder};

/// Octets of an encoded word (RFC 2047 §2).
const WORD_MAX: usize = 75;
/// Octets of a line that has an encoded word (RFC 2047 §2); plain lines are folded there, too.
const LINE_MAX: usize = 76;
/// Below this much room a word begins on the next line.
const ROOM_MIN: usize = 32;
/// Octets of a plain word that is never folded inside; a longer one is written in encoded words, for lines end at 998.
const PLAIN_WORD_MAX: usize = 900;
/// Octets between the quotes of a name, which are never folded: not all readers unfold there. A longer name is written in
/// encoded words.
const QUOTED_MAX: usize = 66;
/// Octets of a section of a parameter value in UTF-8 (RFC 2231 §3).
const SECTION_MAX: usize = 60;
/// … and in ISO-2022-JP: about 130 kanji, so that almost every name is in one piece; see [`sections`].
const JIS_SECTION_MAX: usize = 800;

/// How a text may look in a field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Text {
    /// What a person wrote: `=?` means itself.
    Human,
    /// A value that a program wrote: encoded words in it are meant.
    Program,
}

/// Appends the field `name` with `value`.
pub(super) fn text(out: &mut String, name: &str, value: &str, kind: Text, charset: Charset) {
    let value = value.trim_matches([' ', '\t']);
    let mut line = Line::start(out, name);
    // Readers make one blank of a fold and the blanks behind it, so what a person wrote is folded at single blanks only.
    let is_meant = kind == Text::Program
        || !value.contains("=?") && (line.has_room_for(value) || !value.contains('\t') && !value.contains("  "));
    if is_meant && is_plain(value) {
        line.plain(value);
    } else {
        line.words(value, charset);
    }
    line.end();
}

/// Appends the field `name` with a list of addresses; nothing when it is empty.
pub(super) fn addresses<'a>(out: &mut String, name: &str, list: impl Iterator<Item = Shown<'a>>, charset: Charset) {
    let mut list = list.peekable();
    if list.peek().is_none() {
        return;
    }
    let mut line = Line::start(out, name);
    while let Some(shown) = list.next() {
        let comma = if list.peek().is_some() { "," } else { "" };
        let display = shown.name.trim_matches([' ', '\t']);
        if display.is_empty() {
            line.atom(&format!("{}{comma}", shown.address));
            continue;
        }
        match quoted(display) {
            Some(quoted) => line.atom(&quoted),
            None => line.words(display, charset),
        }
        line.atom(&format!("<{}>{comma}", shown.address));
    }
    line.end();
}

/// An address as a field shows it.
#[derive(Clone, Debug)]
pub(super) struct Shown<'a> {
    name: &'a str,
    address: String,
}

/// An address as fields show it: its domain in A-labels where it has such a form, so that only a local part that is not
/// ASCII asks for SMTPUTF8.
pub(super) fn shown(address: &Address) -> Shown<'_> {
    let mailbox = &address.address;
    let text = match idna::domain_to_ascii(mailbox.domain()) {
        Ok(domain) if !mailbox.domain().is_ascii() => format!("{}@{domain}", mailbox.local()),
        _ => mailbox.as_str().to_owned(),
    };
    Shown { name: &address.name, address: text }
}

impl Shown<'_> {
    /// A peer without SMTPUTF8 cannot read it.
    pub(super) fn needs_smtputf8(&self) -> bool {
        !self.address.is_ascii()
    }
}

/// The name is ASCII, means itself, and stands on one line in quotes.
fn is_short(name: &str) -> bool {
    let escapes = name.bytes().filter(|b| matches!(b, b'"' | b'\\')).count();
    name.bytes().all(|b| (b' '..=b'~').contains(&b)) && !name.contains("=?") && name.len() + escapes <= QUOTED_MAX
}

/// A name in quotes; `None`: it needs encoded words.
fn quoted(name: &str) -> Option<String> {
    if !is_short(name) {
        return None;
    }
    let mut out = String::with_capacity(name.len() + 2);
    out.push('"');
    for c in name.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    Some(out)
}

/// The value can stand in a field as it is: ASCII, with a place to fold at before a line gets too long.
fn is_plain(value: &str) -> bool {
    let mut length = 0;
    let mut in_word = false;
    for octet in value.bytes() {
        match octet {
            // A fold keeps the blanks before a word on the word's line.
            b' ' | b'\t' if in_word => (length, in_word) = (1, false),
            b' ' | b'\t' => length += 1,
            b'!'..=b'~' => (length, in_word) = (length + 1, true),
            _ => return false,
        }
        if length > PLAIN_WORD_MAX {
            return false;
        }
    }
    true
}

/// A field that is being written.
struct Line<'a> {
    out: &'a mut String,
    /// Where this line begins.
    start: usize,
    /// The line has the field's name only.
    is_bare: bool,
}

impl<'a> Line<'a> {
    fn start(out: &'a mut String, name: &str) -> Self {
        let start = out.len();
        out.push_str(name);
        out.push(':');
        Line { out, start, is_bare: true }
    }

    fn column(&self) -> usize {
        self.out.len() - self.start
    }

    /// `text` fits behind a blank.
    fn has_room_for(&self, text: &str) -> bool {
        self.column() + 1 + text.len() <= LINE_MAX
    }

    fn fold(&mut self) {
        self.out.push_str("\r\n");
        self.start = self.out.len();
        self.is_bare = false;
    }

    /// Appends a word after a blank or a fold.
    fn atom(&mut self, word: &str) {
        self.blanks_and(" ", word);
    }

    /// Appends blanks and a word behind them, on the next line when this one would get too long.
    fn blanks_and(&mut self, blanks: &str, word: &str) {
        if !self.is_bare && self.column() + blanks.len() + word.len() > LINE_MAX {
            self.fold();
        }
        self.is_bare = false;
        self.out.push_str(blanks);
        self.out.push_str(word);
    }

    /// Appends plain text, folded at its blanks, which all stay.
    fn plain(&mut self, value: &str) {
        let mut rest = value;
        let mut blanks = " ";
        while !rest.is_empty() {
            let end = rest.find([' ', '\t']).unwrap_or(rest.len());
            let (word, behind) = rest.split_at(end);
            self.blanks_and(blanks, word);
            let next = behind.find(|c| c != ' ' && c != '\t').unwrap_or(behind.len());
            (blanks, rest) = behind.split_at(next);
        }
    }

    /// Appends a text in encoded words.
    fn words(&mut self, value: &str, charset: Charset) {
        let room = LINE_MAX.saturating_sub(self.column() + 1);
        let room = if room < ROOM_MIN {
            self.fold();
            WORD_MAX
        } else {
            room.min(WORD_MAX)
        };
        for (n, word) in encoded_words(value, charset, room).iter().enumerate() {
            if n > 0 {
                self.fold();
            }
            self.is_bare = false;
            self.out.push(' ');
            self.out.push_str(word);
        }
    }

    fn end(self) {
        self.out.push_str("\r\n");
    }
}

/// A text in encoded words, the first at most `room` octets.
fn encoded_words(value: &str, charset: Charset, room: usize) -> Vec<String> {
    let name = charset.word();
    // `=?` name `?B?` text `?=`, and base64 makes four of three.
    let octets_in = |room: usize| (room - name.len() - 7) / 4 * 3;
    let mut words = Vec::new();
    let mut limit = octets_in(room);
    let mut keep = |octets: &[u8], limit: &mut usize| {
        words.push(format!("=?{name}?B?{}?=", STANDARD.encode(octets)));
        *limit = octets_in(WORD_MAX);
    };
    match charset {
        Charset::Utf8 => {
            let mut rest = value;
            while !rest.is_empty() {
                // At least one character goes in: the room is wider than the longest.
                let cut = floor_boundary(rest, limit).max(rest.chars().next().map_or(0, char::len_utf8));
                let (word, behind) = rest.split_at(cut);
                keep(word.as_bytes(), &mut limit);
                rest = behind;
            }
        }
        Charset::Iso2022Jp => {
            let mut encoder = Encoder::default();
            for atom in Atoms::new(value) {
                if encoder.ended_len() + encoder.cost(atom) > limit {
                    keep(&encoder.take(), &mut limit);
                }
                encoder.push(atom);
            }
            let last = encoder.take();
            if !last.is_empty() {
                keep(&last, &mut limit);
            }
        }
    }
    words
}

/// The last character boundary of `text` at or before `limit`.
fn floor_boundary(text: &str, limit: usize) -> usize {
    if limit >= text.len() {
        return text.len();
    }
    (0..=limit).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default()
}

/// How a file's name is written.
#[derive(Clone, Debug)]
pub(super) enum FileName<'a> {
    /// In quotes, as it is.
    Short(&'a str),
    /// Encoded. Sections and words are parted by a blank, where a field folds.
    Encoded {
        /// `filename*=…` or its sections, for readers of RFC 2231.
        disposition: String,
        /// `name="…"`, with encoded words in quotes, as Japanese mail programs write and read it.
        kind: String,
    },
}

/// Both ways to write the file name `name`.
pub(super) fn file_name(name: &str, charset: Charset) -> FileName<'_> {
    if is_short(name) {
        return FileName::Short(name);
    }
    // A first word beside `name="` and a blank, all others beside a blank and a quote.
    let words = encoded_words(name, charset, WORD_MAX - 10).join(" ");
    FileName::Encoded { disposition: sections("filename", name, charset), kind: format!("name=\"{words}\"") }
}

/// An extended parameter value (RFC 2231 §4), in sections when it is long (§3). Readers join sections before they decode;
/// some decode each by itself, so in UTF-8 a section ends between two characters. In ISO-2022-JP the set in force goes on
/// into the next section (to leave it and to come back at once is an error to strict readers), and sections are long.
fn sections(parameter: &str, value: &str, charset: Charset) -> String {
    let characters: Vec<Vec<u8>> = match charset {
        Charset::Utf8 => value.chars().map(|c| c.encode_utf8(&mut [0; 4]).as_bytes().to_vec()).collect(),
        Charset::Iso2022Jp => crate::mail::iso2022jp::encode(value).into_iter().map(|octet| vec![octet]).collect(),
    };
    let section_max = if charset == Charset::Utf8 { SECTION_MAX } else { JIS_SECTION_MAX };
    let mut parts = vec![format!("{}''", charset.word())];
    for octets in characters {
        if parts.last().is_some_and(|part| part.len() + 3 * octets.len() > section_max) {
            parts.push(String::new());
        }
        let Some(part) = parts.last_mut() else { continue };
        for octet in octets {
            if octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_' | b'~') {
                part.push(octet as char);
            } else {
                // Writing to a String cannot fail.
                let _ = write!(part, "%{octet:02X}");
            }
        }
    }
    if let [only] = parts.as_slice() {
        return format!("{parameter}*={only}");
    }
    let sections: Vec<String> = parts.iter().enumerate().map(|(n, part)| format!("{parameter}*{n}*={part}")).collect();
    sections.join("; ")
}
