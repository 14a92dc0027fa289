//! Finds what may be a report: by what octets are, not by what a name or a type says of them.
//!
//! In: octets.  Out: readers of what was found, called one after another.
//! Always: a part that is no report costs a look at its first octets; each limit of the room is counted over all that one
//! call reads; the mail that a failure report returns is never searched for reports, since anybody may have written it.
//! Sources: RFC 2046 §5.2.1, RFC 1952 §2.3.1, APPNOTE §4.3 and §4.4.4, RFC 8259 §2, RFC 5965 §2.

use std::{
    borrow::Cow,
    io::{BufRead, BufReader, Read},
};

use rawzip::{CompressionMethod, ZipArchive};

use super::{
    ARCHIVE_DEPTH_MAX, ENTRIES_MAX, INNER_ARCHIVE_OCTETS_MAX, JSON_OCTETS_MAX, MAIL_DEPTH_MAX, PARTS_MAX,
    TOTAL_OCTETS_MAX, XML_OCTETS_MAX, aggregate, failure,
    text::{DECLARATION_MAX, Utf8},
    values,
    xml::{inflation, io_fault},
};
use crate::{
    dmarc::report::{Count, Fault, Found, NoReport},
    mail::{
        inflate::{Bound, Entry, Inflated, is_gzip},
        parts::{Part, Parts},
    },
};

/// Octets before the first element of a report that are passed over.
const GARBAGE_MAX: usize = 4 << 10;
/// Octets of the inflation that are read at once.
const CHUNK: usize = 32 << 10;
/// Octets at the start of a JSON text in which a TLS report shows itself.
const JSON_LOOK_MAX: usize = 64 << 10;
/// Octets of a mail's header; intake takes fewer.
const HEAD_OCTETS_MAX: usize = 1 << 20;
/// Octets of a mail in a mail that is encoded as a whole.
const ENCODED_MAIL_OCTETS_MAX: usize = 8 << 20;

/// Looks, reads, and counts.
pub(super) struct Finder<'e> {
    each: &'e mut dyn FnMut(Found),
    count: Count,
    /// Octets that may still be inflated and read.
    octets_left: u64,
    parts_left: usize,
}

/// What octets are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Sort {
    Gzip,
    Zip,
    /// XML that begins at this octet.
    Xml(usize),
    Json,
    Other,
}

/// A text that can be opened again and again.
#[derive(Clone, Copy)]
enum Source<'a> {
    Plain(&'a [u8]),
    Gzip(&'a [u8]),
    Entry(&'a [u8], Entry),
}

impl<'a> Source<'a> {
    fn open(self, octets_max: u64) -> Box<dyn BufRead + 'a> {
        let bound = Bound { octets_max };
        match self {
            Source::Plain(octets) => Box::new(octets),
            Source::Gzip(octets) => Box::new(BufReader::with_capacity(CHUNK, Inflated::gzip(octets, bound))),
            Source::Entry(octets, entry) => {
                Box::new(BufReader::with_capacity(CHUNK, Inflated::entry(octets, entry, bound)))
            }
        }
    }

    /// The first octets, as many as it takes to see what it is.
    fn start(self) -> Result<Vec<u8>, Fault> {
        let mut start = Vec::new();
        let mut reader = self.open(XML_OCTETS_MAX).take((GARBAGE_MAX + DECLARATION_MAX) as u64);
        match reader.read_to_end(&mut start) {
            // What is broken further on shows itself when it is read.
            Err(error) if start.is_empty() => Err(io_fault(&error)),
            _ => Ok(start),
        }
    }

    fn all(self, octets_max: u64) -> Result<Vec<u8>, Fault> {
        let bound = Bound { octets_max };
        match self {
            Source::Plain(octets) if octets.len() as u64 > octets_max => {
                Err(Fault::TooLarge("the report is too long", octets_max))
            }
            Source::Plain(octets) => Ok(octets.to_vec()),
            Source::Gzip(octets) => Inflated::gzip(octets, bound).all().map_err(|f| inflation(&f)),
            Source::Entry(octets, entry) => Inflated::entry(octets, entry, bound).all().map_err(|f| inflation(&f)),
        }
    }
}

impl<'e> Finder<'e> {
    pub(super) fn new(each: &'e mut dyn FnMut(Found)) -> Self {
        Finder { each, count: Count::default(), octets_left: TOTAL_OCTETS_MAX, parts_left: PARTS_MAX }
    }

    /// What came of it.
    pub(super) fn done(mut self) -> Result<Count, NoReport> {
        if self.count.reports() > 0 {
            return Ok(self.count);
        }
        Err(self.count.refused.take().unwrap_or_else(|| Fault::Nothing.into()))
    }

    /// A mail or a file.
    pub(super) fn anything(&mut self, octets: &[u8]) {
        match sort(octets) {
            // A mail whose text has XML in it, soon enough to look like garbage before XML.
            Sort::Xml(at) if at > 0 && is_mail(octets) => self.mail(octets, 0),
            // A mail, or nothing; some programs put lines before the header.
            Sort::Other => self.mail(octets.strip_prefix(b"\xef\xbb\xbf").unwrap_or(octets), 0),
            sort => self.file(Source::Plain(octets), sort, "", 0),
        }
    }

    fn refuse(&mut self, mut no: NoReport, name: &str) {
        if self.count.refused.is_none() {
            if no.file.is_empty() {
                no.file = values::line(name).0;
            }
            self.count.refused = Some(no);
        }
    }

    /// A mail, and all that is in it.
    fn mail(&mut self, octets: &[u8], depth: u32) {
        let octets = octets.trim_ascii_start();
        let start = &octets[..octets.len().min(HEAD_OCTETS_MAX)];
        if start.len() == HEAD_OCTETS_MAX && !has_empty_line(start) {
            return self
                .refuse(Fault::TooLarge("the header of the mail is too long", HEAD_OCTETS_MAX as u64).into(), "");
        }
        let parts = Parts::of(octets);
        if let Some(failure) = failure::of_mail(&parts) {
            match failure {
                Ok(failure) => {
                    self.count.failures += 1;
                    (self.each)(Found::Failure(Box::new(failure)));
                }
                Err(no) => self.refuse(no, ""),
            }
            return;
        }
        for (n, part) in parts.texts.iter().chain(&parts.attachments).chain(&parts.htmls).enumerate() {
            if !self.is_room_for_part() {
                return;
            }
            self.part(part, n + 1, depth);
        }
    }

    /// Whether one more part or entry may be looked at.
    fn is_room_for_part(&mut self) -> bool {
        if self.parts_left == 0 {
            self.refuse(Fault::TooLarge("the mail or file has too many parts", PARTS_MAX as u64).into(), "");
            return false;
        }
        self.parts_left -= 1;
        true
    }

    fn part(&mut self, part: &Part<'_>, n: usize, depth: u32) {
        let name = part.file_name(n);
        let octets = part.bytes();
        let is_mail = part.content_type == "message/rfc822"
            || part.content_type == "message/global"
            || name.to_ascii_lowercase().ends_with(".eml") && is_mail(&octets);
        if !is_mail {
            return self.file(Source::Plain(&octets), sort(&octets), &name, 0);
        }
        if depth + 1 > MAIL_DEPTH_MAX {
            let no = Fault::TooLarge("mails stand too deep in one another", u64::from(MAIL_DEPTH_MAX));
            return self.refuse(no.into(), &name);
        }
        // Encoded as a whole, which RFC 2046 forbids: there is a copy of each such mail in memory.
        if matches!(octets, Cow::Owned(_)) && octets.len() > ENCODED_MAIL_OCTETS_MAX {
            let no = Fault::TooLarge("an encoded mail in a mail is too long", ENCODED_MAIL_OCTETS_MAX as u64);
            return self.refuse(no.into(), &name);
        }
        self.mail(&octets, depth + 1);
    }

    /// A file that is `depth` archives deep.
    fn file(&mut self, source: Source<'_>, sort: Sort, name: &str, depth: u32) {
        let read = match (sort, source) {
            (Sort::Xml(at), _) => self.xml(source, at),
            (Sort::Json, _) => self.json(source),
            (Sort::Gzip | Sort::Zip, Source::Plain(octets)) => self.archive(octets, sort, name, depth),
            (Sort::Gzip, _) if depth < ARCHIVE_DEPTH_MAX => {
                let max = INNER_ARCHIVE_OCTETS_MAX.min(self.octets_left);
                match source.all(max) {
                    Ok(inner) => {
                        self.octets_left = self.octets_left.saturating_sub(inner.len() as u64);
                        self.archive(&inner, sort, name, depth)
                    }
                    Err(fault) => {
                        self.octets_left = self.octets_left.saturating_sub(max);
                        Err(fault.into())
                    }
                }
            }
            (Sort::Gzip | Sort::Zip, _) => Err(Fault::Forbidden("it is an archive in an archive").into()),
            (Sort::Other, _) => Ok(()),
        };
        if let Err(no) = read {
            self.refuse(no, name);
        }
    }

    fn archive(&mut self, octets: &[u8], sort: Sort, name: &str, depth: u32) -> Result<(), NoReport> {
        if sort == Sort::Zip {
            return self.zip(octets, depth);
        }
        let inner = Source::Gzip(octets);
        let start = inner.start()?;
        self.file(inner, self::sort(&start), name, depth + 1);
        Ok(())
    }

    /// The entries of a ZIP file. What its directory says of sizes is compared, never believed.
    fn zip(&mut self, octets: &[u8], depth: u32) -> Result<(), NoReport> {
        let broken = |error: rawzip::Error| NoReport::from(Fault::Broken(format!("the ZIP file is broken: {error}")));
        let archive = ZipArchive::from_slice(octets).map_err(broken)?;
        let mut entries = archive.entries();
        let mut count = 0;
        while let Some(record) = entries.next_entry().map_err(broken)? {
            count += 1;
            if count > ENTRIES_MAX {
                return Err(Fault::TooLarge("the ZIP file has too many entries", ENTRIES_MAX as u64).into());
            }
            if !self.is_room_for_part() {
                return Ok(());
            }
            let name = String::from_utf8_lossy(record.file_path().as_bytes()).into_owned();
            // What an operating system adds of its own.
            if record.is_dir() || name.starts_with("__MACOSX/") || name.ends_with(".DS_Store") {
                continue;
            }
            let is_deflated = record.compression_method() == CompressionMethod::DEFLATE;
            if record.flags().is_encrypted() || !is_deflated && record.compression_method() != CompressionMethod::STORE
            {
                self.refuse(
                    Fault::Forbidden("an entry of the ZIP file is encrypted or kept in a rare way").into(),
                    &name,
                );
                continue;
            }
            let entry = match archive.get_entry(record.wayfinder()) {
                Ok(entry) => entry,
                Err(error) => {
                    self.refuse(broken(error), &name);
                    continue;
                }
            };
            let claim = entry.claim_verifier();
            let kept = Entry { is_deflated, crc: claim.crc, octets: claim.uncompressed_size };
            let inner = Source::Entry(entry.data(), kept);
            match inner.start() {
                Ok(start) => self.file(inner, sort(&start), &name, depth + 1),
                Err(fault) => self.refuse(fault.into(), &name),
            }
        }
        Ok(())
    }

    fn xml(&mut self, source: Source<'_>, at: usize) -> Result<(), NoReport> {
        let start = source.start()?;
        let max = XML_OCTETS_MAX.min(self.octets_left);
        if max == 0 {
            return Err(Fault::TooLarge("the mail or file holds too much in all", TOTAL_OCTETS_MAX).into());
        }
        let open = || {
            let mut reader = source.open(max);
            pass_over(&mut reader, at);
            Utf8::new(reader, start.get(at..).unwrap_or_default(), max)
        };
        let mut octets = 0;
        let each = &mut *self.each;
        let rows = aggregate::read(open, &mut octets, at > 0, &mut |report| each(Found::Aggregate(report)));
        self.octets_left = self.octets_left.saturating_sub(octets.max(1));
        self.count.rows += rows?;
        self.count.aggregates += 1;
        Ok(())
    }

    fn json(&mut self, source: Source<'_>) -> Result<(), NoReport> {
        let max = JSON_OCTETS_MAX.min(self.octets_left);
        let json = source.all(max);
        self.octets_left = self.octets_left.saturating_sub(json.as_ref().map_or(max, |json| json.len() as u64));
        let json = json?;
        let look = &json[..json.len().min(JSON_LOOK_MAX)];
        let has = |word: &[u8]| look.windows(word.len()).any(|w| w == word);
        // Other JSON is no report of mail.
        if has(b"\"report-id\"") || has(b"\"organization-name\"") || has(b"\"policies\"") {
            self.count.tls += 1;
            (self.each)(Found::Tls(json));
        }
        Ok(())
    }
}

/// Octets that come before the first element.
fn pass_over(reader: &mut dyn BufRead, mut left: usize) {
    while left > 0 {
        let Ok(n) = reader.fill_buf().map(|chunk| chunk.len().min(left)) else { return };
        if n == 0 {
            return;
        }
        reader.consume(n);
        left -= n;
    }
}

/// What octets are, by their first ones.
fn sort(octets: &[u8]) -> Sort {
    let start = &octets[..octets.len().min(GARBAGE_MAX + DECLARATION_MAX)];
    if is_gzip(start) {
        return Sort::Gzip;
    }
    // An entry, or the directory of an archive without any.
    if start.starts_with(b"PK\x03\x04") || start.starts_with(b"PK\x05\x06") {
        return Sort::Zip;
    }
    if matches!(start, [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [b'<', 0, ..] | [0, b'<', ..]) {
        return Sort::Xml(0);
    }
    let text = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start).trim_ascii_start();
    if text.starts_with(b"{") {
        return Sort::Json;
    }
    let is = |word: &[u8]| text.get(..word.len()).is_some_and(|t| t.eq_ignore_ascii_case(word));
    if text.starts_with(b"<") && !is(b"<html") && !is(b"<!doctype html") && !is(b"<head") && !is(b"<body") {
        // Blanks and a mark are no garbage.
        return Sort::Xml(0);
    }
    let find = |word: &[u8]| start.windows(word.len()).position(|w| w.eq_ignore_ascii_case(word));
    let feedback = find(b"<feedback");
    match (find(b"<?xml"), feedback) {
        (Some(declaration), Some(feedback)) => Sort::Xml(declaration.min(feedback)),
        (None, Some(feedback)) => Sort::Xml(feedback),
        (_, None) => Sort::Other,
    }
}

/// Whether a header ends here.
fn has_empty_line(octets: &[u8]) -> bool {
    let mut lines = octets.split(|b| *b == b'\n');
    lines.any(|line| line.is_empty() || line == b"\r")
}

/// Whether this begins as a mail does: with the line of a mailbox file, or with a field.
fn is_mail(octets: &[u8]) -> bool {
    let octets = octets.trim_ascii_start();
    if octets.starts_with(b"From ") {
        return true;
    }
    let name = octets.iter().take(80).take_while(|b| matches!(b, 33..=57 | 59..=126)).count();
    name > 0 && octets.get(name) == Some(&b':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_are_what_they_are() {
        for (octets, expected) in [
            (&b"\x1f\x8b\x08"[..], Sort::Gzip),
            (b"PK\x03\x04", Sort::Zip),
            (b"<?xml version='1.0'?><feedback>", Sort::Xml(0)),
            (b" \r\n<feedback>", Sort::Xml(0)),
            (b"\xef\xbb\xbf<feedback>", Sort::Xml(0)),
            (b"\xff\xfe<\0", Sort::Xml(0)),
            (b"\0<\0f", Sort::Xml(0)),
            (b"HTTP/1.1 200 OK\r\n\r\n<?xml version='1.0'?><feedback>", Sort::Xml(19)),
            (b"x<feedback>", Sort::Xml(1)),
            (b"<html><body><feedback>", Sort::Xml(12)),
            (b"<HTML>", Sort::Other),
            (b"{\"a\":1}", Sort::Json),
            (b"\xef\xbb\xbf {}", Sort::Json),
            (b"hello", Sort::Other),
            (b"", Sort::Other),
        ] {
            assert_eq!(sort(octets), expected, "{octets:?}");
        }
        assert!(
            is_mail(b"\r\nSubject: x") && is_mail(b"From a@b Thu") && !is_mail(b"two words: x") && !is_mail(b": x")
        );
    }
}
