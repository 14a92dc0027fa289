//! Reads lists of suppressed addresses that people bring along, line by line.
//!
//! In: a file in one of the [`Dialect`]s, in UTF-8 (with or without BOM) or Shift_JIS.  Out: an [`Item`] for each line.
//! Always: memory is bounded by [`RECORD_MAX`] whatever the file holds; a line that cannot be used is told with its number and
//! the reason, and costs no other line: a quote that is never closed ends with its own line; an address is never left out for
//! the sake of its date.
//! Sources: RFC 4180; the services' own descriptions of their exports; cmc.md §5.1 and §6.1.

use std::io::{self, BufRead, BufReader, Read};

use jiff::tz::TimeZone;

use super::{
    dates,
    dialect::{self, Column, Dialect, Head},
    row::{Cause, bounded},
};
use crate::{
    bounce::classify::{self, Said},
    clock::Timestamp,
    event::{ErrorClass, Phase, Trouble},
    smtp::{address::Mailbox, reply::Enhanced},
};

/// Octets of a record at most: a bounce's text is quoted whole in some exports.
pub const RECORD_MAX: usize = 64 * 1024;
/// Lines that a record in quotes may go over.
const RECORD_LINES_MAX: usize = 50;
/// Fields of a record that are read.
const FIELDS_MAX: usize = 64;
/// What UTF-8 files of Excel begin with.
const BOM: &[u8] = b"\xef\xbb\xbf";
/// How files in UTF-16 begin.
const UTF16: [&[u8]; 2] = [b"\xff\xfe", b"\xfe\xff"];

/// An address out of a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// The address, in small letters.
    pub address: String,
    /// Why it is on the list: [`Cause::Import`], unless its owner wanted it so or the list is one of ours.
    pub cause: Cause,
    /// CMC's class of its errors, where the list says or implies one.
    pub class: Option<ErrorClass>,
    /// How many errors it had; 0: not said.
    pub occurred: u32,
    /// Since when; `None`: not said.
    pub since: Option<Timestamp>,
    /// Until when; `None`: until it is lifted, or as the watch period of the config says.
    pub until: Option<Timestamp>,
    /// The API user whose mail it is about; empty: everybody's.
    pub user: String,
    /// The list that its owner left; empty: no certain one.
    pub list: String,
    /// The last answer; bounded.
    pub reason: String,
    /// It is no suppression: the address is exempt from them (our own lists only).
    pub exempt: bool,
}

/// A line of a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Item {
    /// An address; `note`: what of the line was not understood.
    Row {
        /// The line's number, from 1.
        line: u64,
        /// What it says.
        row: Box<Row>,
        /// What of it was not understood; empty: nothing.
        note: String,
    },
    /// It can be read, and is no reason to stop writing to the address.
    LeftOut {
        /// The line's number, from 1.
        line: u64,
        /// Why.
        why: String,
    },
    /// It cannot be used.
    Bad {
        /// The line's number, from 1.
        line: u64,
        /// Why.
        why: String,
    },
}

/// Why a file is no list.
#[derive(Debug, thiserror::Error)]
pub enum NotAList {
    /// It cannot be read.
    #[error("reading: {0}")]
    Io(#[from] io::Error),
    /// It holds nothing.
    #[error("the file is empty")]
    Empty,
    /// UTF-16.
    #[error("the file is in UTF-16: save it as CSV UTF-8")]
    Utf16,
    /// No column of it is known.
    #[error("no column of the first line is an address: {0:?}. Name one \"email\", or say what the file is: --as")]
    Unknown(String),
}

/// Reads a list.
pub struct Reader<R> {
    input: BufReader<R>,
    /// Physical lines that were read ahead for a record in quotes that never closed.
    ahead: std::collections::VecDeque<Vec<u8>>,
    line: u64,
    head: Head,
    delimiter: u8,
    zone: TimeZone,
    first: Option<Vec<String>>,
    /// Rows that are no trouble of the recipient are taken too.
    all: bool,
}

impl<R: Read> Reader<R> {
    /// Reads the first line. `zone`: of times without one. `asked`: what the operator says the file is. `all`: bounces that are
    /// no trouble of the recipient count too.
    ///
    /// # Errors
    /// The file cannot be read, or nothing of it is known.
    pub fn new(input: R, zone: TimeZone, asked: Option<Dialect>, all: bool) -> Result<Self, NotAList> {
        let none = Head { dialect: Dialect::Addresses, columns: dialect::Columns::default(), is_row: false };
        let input = BufReader::with_capacity(RECORD_MAX, input);
        let ahead = std::collections::VecDeque::new();
        let mut reader = Reader { input, ahead, line: 0, head: none, delimiter: b',', zone, first: None, all };
        let first = loop {
            let Some(line) = reader.physical()? else { return Err(NotAList::Empty) };
            reader.line += 1;
            let mut line = line.as_slice();
            if reader.line == 1 {
                if UTF16.iter().any(|mark| line.starts_with(mark)) {
                    return Err(NotAList::Utf16);
                }
                line = line.strip_prefix(BOM).unwrap_or(line);
            }
            if !line.trim_ascii().is_empty() {
                break line.to_vec();
            }
        };
        reader.delimiter = delimiter_of(&first);
        let fields = split(&first, reader.delimiter).and_then(|(all, _)| all.iter().map(|f| decoded(f)).collect());
        let fields: Vec<String> = fields.unwrap_or_default();
        let shown =
            || NotAList::Unknown(bounded(&String::from_utf8_lossy(&first).chars().take(80).collect::<String>()));
        reader.head = dialect::head_of(&fields, asked).ok_or_else(shown)?;
        reader.first = reader.head.is_row.then_some(fields);
        Ok(reader)
    }

    /// What the file is.
    pub fn dialect(&self) -> Dialect {
        self.head.dialect
    }

    /// The next physical line without its end; longer ones are cut behind [`RECORD_MAX`], and one octet more tells so.
    fn physical(&mut self) -> io::Result<Option<Vec<u8>>> {
        if let Some(line) = self.ahead.pop_front() {
            return Ok(Some(line));
        }
        let mut line = Vec::new();
        let read = self.input.by_ref().take(RECORD_MAX as u64 + 1).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(None);
        }
        if line.last() != Some(&b'\n') && line.len() > RECORD_MAX {
            self.skip_line()?;
            return Ok(Some(line));
        }
        for end in [b'\n', b'\r'] {
            if line.last() == Some(&end) {
                line.pop();
            }
        }
        Ok(Some(line))
    }

    fn skip_line(&mut self) -> io::Result<()> {
        loop {
            let block = self.input.fill_buf()?;
            let (used, done) = match block.iter().position(|b| *b == b'\n') {
                Some(at) => (at + 1, true),
                None => (block.len(), block.is_empty()),
            };
            self.input.consume(used);
            if done {
                return Ok(());
            }
        }
    }

    /// The next record's fields with its first line's number; the error is what is wrong with it.
    fn record(&mut self) -> io::Result<Option<Numbered>> {
        if let Some(first) = self.first.take() {
            return Ok(Some((self.line, Ok(first))));
        }
        loop {
            let Some(mut record) = self.physical()? else { return Ok(None) };
            self.line += 1;
            let line = self.line;
            if record.len() > RECORD_MAX {
                return Ok(Some((line, Err(format!("it has more than {RECORD_MAX} octets")))));
            }
            if record.trim_ascii().is_empty() {
                continue;
            }
            let mut more: Vec<Vec<u8>> = Vec::new();
            let fields = loop {
                match split(&record, self.delimiter) {
                    // A quote over lines that ends amid a cell was never closed: the next record's own quote ended it.
                    Some((_, false)) if !more.is_empty() => break None,
                    Some((fields, _)) => break Some(fields),
                    None => {}
                }
                let next = if more.len() < RECORD_LINES_MAX { self.physical()? } else { None };
                let Some(next) = next else { break None };
                let fits = record.len() + next.len() < RECORD_MAX;
                if fits {
                    record.push(b'\n');
                    record.extend_from_slice(&next);
                }
                more.push(next);
                if !fits {
                    break None;
                }
            };
            let Some(fields) = fields else {
                for line in more.into_iter().rev() {
                    self.ahead.push_front(line);
                }
                return Ok(Some((line, Err("a quote is never closed".to_owned()))));
            };
            self.line += more.len() as u64;
            let texts: Option<Vec<String>> = fields.iter().take(FIELDS_MAX).map(|field| decoded(field)).collect();
            return Ok(Some((line, texts.ok_or_else(|| "it is neither UTF-8 nor Shift_JIS".to_owned()))));
        }
    }

    fn item(&self, line: u64, fields: &[String]) -> Item {
        match self.row(fields) {
            Ok((row, note)) => Item::Row { line, row: Box::new(row), note },
            Err(Not::Wanted(why)) => Item::LeftOut { line, why },
            Err(Not::Usable(why)) => Item::Bad { line, why },
        }
    }

    fn row(&self, fields: &[String]) -> Result<(Row, String), Not> {
        let field = |column: Column| {
            let text = self.head.columns.place(column).and_then(|place| fields.get(place));
            text.map_or("", |text| unguarded(text.trim()))
        };
        let mut row = Row {
            address: address_of(field(Column::Email))?,
            cause: Cause::Import,
            class: None,
            occurred: field(Column::Occurred).parse().unwrap_or(0),
            since: None,
            until: None,
            user: String::new(),
            list: String::new(),
            reason: bounded(field(Column::Reason)),
            exempt: false,
        };
        let status = field(Column::Status);
        match self.head.dialect {
            Dialect::Hikyaku => {
                row.cause = match field(Column::Cause) {
                    "" => Cause::Import,
                    word => Cause::from_word(word).ok_or_else(|| Not::Usable(format!("{word:?} is no cause")))?,
                };
                row.class = class_of(status)?;
                row.exempt = match field(Column::State) {
                    "" | "suppressed" => false,
                    "exempt" => true,
                    "lifted" => return Err(Not::Wanted("it came off the list".to_owned())),
                    word => return Err(Not::Usable(format!("{word:?} is no state: suppressed or exempt"))),
                };
                field(Column::User).clone_into(&mut row.user);
                field(Column::List).clone_into(&mut row.list);
            }
            Dialect::CmcBlocks => {
                row.class = class_of(status)?;
                row.cause = match row.class {
                    Some(ErrorClass::Unsubscribed) => Cause::Unsubscribe,
                    Some(_) | None => Cause::Import,
                };
            }
            Dialect::CmcUnsubscribes | Dialect::MailgunUnsubscribes | Dialect::SendGridUnsubscribes => {
                row.cause = Cause::Unsubscribe;
                // Mailgun's star is every tag.
                let list = field(Column::List);
                row.list = if list == "*" { String::new() } else { list.to_owned() };
            }
            Dialect::SendGridSpamReports | Dialect::MailgunComplaints => row.cause = Cause::Complaint,
            Dialect::SendGridInvalid => row.class = Some(ErrorClass::BadAddress),
            Dialect::SendGridBounces | Dialect::MailgunBounces => self.bounced(&mut row, status)?,
            Dialect::PostmarkBounces => self.postmark(&mut row, field(Column::Type))?,
            Dialect::PostmarkSuppressions | Dialect::Ses | Dialect::Addresses => named(&mut row),
        }
        let mut note = String::new();
        let mut time = |column: Column| match field(column) {
            "" => None,
            text => {
                let at = dates::read(text, &self.zone);
                if at.is_none() {
                    note = format!("{:?} is no time that is known: it counts from now", bounded(text));
                }
                at
            }
        };
        row.since = time(Column::Since);
        row.until = time(Column::Until);
        Ok((row, note))
    }

    /// A bounce with an answer: whose trouble it is decides, for reputation and content are none of the address.
    fn bounced(&self, row: &mut Row, status: &str) -> Result<(), Not> {
        let (code, enhanced) = codes_of(status, &row.reason);
        let text = if row.reason.is_empty() { status } else { &row.reason };
        let judged = classify::judge(&Said { phase: Some(Phase::Rcpt), code, enhanced, text });
        if judged.known && judged.trouble != Trouble::Recipient && !self.all {
            let whose = judged.trouble.word();
            return Err(Not::Wanted(format!("the answer is no trouble of the recipient ({whose}): {text}")));
        }
        row.class = judged.known.then_some(judged.class);
        Ok(())
    }

    /// Postmark's kinds of bounce, by word or number.
    fn postmark(&self, row: &mut Row, kind: &str) -> Result<(), Not> {
        (row.cause, row.class) = match kind {
            "HardBounce" | "1" => (Cause::Import, Some(ErrorClass::UnknownUser)),
            "BadEmailAddress" | "100000" => (Cause::Import, Some(ErrorClass::BadAddress)),
            "SpamComplaint" | "100001" => (Cause::Complaint, None),
            "ManuallyDeactivated" | "100002" => (Cause::Import, None),
            "Unsubscribe" | "16" => (Cause::Unsubscribe, None),
            _ if self.all => (Cause::Import, None),
            other => return Err(Not::Wanted(format!("{other} does not stop mail at Postmark either"))),
        };
        Ok(())
    }
}

/// A record's first line, and its fields or what is wrong with it.
type Numbered = (u64, Result<Vec<String>, String>);

impl<R: Read> Iterator for Reader<R> {
    type Item = io::Result<Item>;

    fn next(&mut self) -> Option<io::Result<Item>> {
        let (line, fields) = match self.record() {
            Ok(record) => record?,
            Err(error) => return Some(Err(error)),
        };
        Some(Ok(match fields {
            Ok(fields) => self.item(line, &fields),
            Err(why) => Item::Bad { line, why },
        }))
    }
}

/// Why a line becomes no row.
enum Not {
    Wanted(String),
    Usable(String),
}

/// The words of SES and Postmark for why an address is on their list.
fn named(row: &mut Row) {
    (row.cause, row.class) = match row.reason.to_ascii_lowercase().as_str() {
        "bounce" | "hardbounce" => (Cause::Import, Some(ErrorClass::UnknownUser)),
        "complaint" | "spamcomplaint" => (Cause::Complaint, None),
        "manualsuppression" => (Cause::Import, None),
        _ => (Cause::Import, None),
    };
}

/// CMC's number of a class; empty: none.
fn class_of(text: &str) -> Result<Option<ErrorClass>, Not> {
    if text.is_empty() {
        return Ok(None);
    }
    let class = text.parse().ok().and_then(ErrorClass::from_code);
    class.map(Some).ok_or_else(|| Not::Usable(format!("{text:?} is no class: 1 to 11, or 99")))
}

/// The codes of an answer, out of the column or out of its words.
fn codes_of(status: &str, reason: &str) -> (Option<u16>, Option<Enhanced>) {
    let words = || std::iter::once(status).chain(reason.split(|c: char| c.is_whitespace() || c == '-').take(4));
    let code = |word: &str| word.parse().ok().filter(|code| (400..600).contains(code));
    (words().find_map(code), words().find_map(enhanced_of))
}

fn enhanced_of(word: &str) -> Option<Enhanced> {
    let mut parts = word.split('.').map(str::parse::<u16>);
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(Ok(class @ (4 | 5))), Some(Ok(subject)), Some(Ok(detail)), None) => {
            Some(Enhanced(if class == 4 { 4 } else { 5 }, subject, detail))
        }
        _ => None,
    }
}

/// The address of a cell: bare, in angle brackets, or behind a name.
fn address_of(text: &str) -> Result<String, Not> {
    if text.is_empty() {
        return Err(Not::Usable("it has no address".to_owned()));
    }
    let inner = match (text.rfind('<'), text.strip_suffix('>')) {
        (Some(at), Some(rest)) => &rest[at + 1..],
        (Some(_) | None, Some(_) | None) => text,
    };
    match Mailbox::parse(inner.trim()) {
        Ok(mailbox) => Ok(mailbox.as_str().to_lowercase()),
        Err(why) => Err(Not::Usable(format!("{:?} is not a mail address: {why}", bounded(text)))),
    }
}

/// A cell without the apostrophe that keeps a spreadsheet from calculating it.
fn unguarded(cell: &str) -> &str {
    match cell.strip_prefix('\'') {
        Some(rest) if rest.starts_with(['=', '+', '-', '@']) => rest,
        Some(_) | None => cell,
    }
}

/// Commas, or what the programs of some countries write in their place.
fn delimiter_of(line: &[u8]) -> u8 {
    let count = |wanted: u8| line.iter().filter(|b| **b == wanted).count();
    [b'\t', b';'].into_iter().find(|d| count(*d) > count(b',')).unwrap_or(b',')
}

/// The fields of a record, and whether each quote ended with its field; `None`: a quote is open at its end. A quote opens a
/// field only where the field begins.
fn split(record: &[u8], delimiter: u8) -> Option<(Vec<Vec<u8>>, bool)> {
    let (mut fields, mut is_clean) = (Vec::new(), true);
    let mut rest = record;
    loop {
        let mut field = Vec::new();
        if let Some(mut quoted) = rest.strip_prefix(b"\"") {
            loop {
                let end = quoted.iter().position(|b| *b == b'"')?;
                field.extend_from_slice(&quoted[..end]);
                quoted = &quoted[end + 1..];
                match quoted.strip_prefix(b"\"") {
                    Some(more) => {
                        field.push(b'"');
                        quoted = more;
                    }
                    None => break,
                }
            }
            rest = quoted;
            is_clean &= rest.first().is_none_or(|b| *b == delimiter);
        }
        let end = rest.iter().position(|b| *b == delimiter).unwrap_or(rest.len());
        field.extend_from_slice(&rest[..end]);
        fields.push(field);
        match rest.get(end + 1..) {
            Some(more) => rest = more,
            None => return Some((fields, is_clean)),
        }
    }
}

/// The text of a field: UTF-8, else Shift_JIS (whose second octets are never a comma, a quote or a line's end).
fn decoded(field: &[u8]) -> Option<String> {
    if let Ok(text) = std::str::from_utf8(field) {
        return Some(text.to_owned());
    }
    let decode = mail_parser::decoders::charsets::map::charset_decoder(b"shift_jis")?;
    Some(decode(field)).filter(|text| !text.contains('\u{fffd}'))
}

#[cfg(test)]
#[path = "csv_tests.rs"]
mod tests;
