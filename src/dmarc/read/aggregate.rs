//! Aggregate reports: from events to rows.
//!
//! In: a document that can be opened again.  Out: [`Aggregate`]s, all of one report or none.
//! Always: elements count by where they stand, in any order and any case, and what no schema knows is passed over with all
//! that is in it; memory is one piece of rows: a report with more of them is read a second time, once it is known to be whole;
//! records, lists and texts are bounded.
//! Sources: RFC 7489 appendix C, RFC 9990 (its schema, and what it changed), reports as they are in the world.

use std::io::BufRead;

use super::{
    element::E,
    text::Utf8,
    values,
    xml::{Event, Pull},
};
use crate::dmarc::report::{
    Aggregate, Alignment, AuthResult, DKIM_RESULTS_MAX, Discovery, Disposition, DkimResult, ERRORS_MAX, Fault, Head,
    NoReport, Oddity, PIECE_OCTETS_MAX, PIECE_ROWS_MAX, REASONS_MAX, Reason, ReasonKind, Row, SPF_RESULTS_MAX, Scope,
    SpfResult,
};

/// Records of a report; a day of the largest senders at the largest receivers stays below.
pub const RECORDS_MAX: u64 = 1_000_000;
/// The namespace of RFC 9990.
const NAMESPACE: &str = "urn:ietf:params:xml:ns:dmarc-2.0";

/// Reads the report that `open` opens, and hands its pieces over; `open` may be called twice.
///
/// # Errors
/// It is no report, or not a whole one: then nothing was handed over.
pub(super) fn read<R: BufRead>(
    mut open: impl FnMut() -> Utf8<R>,
    octets_read: &mut u64,
    has_garbage: bool,
    each: &mut dyn FnMut(Aggregate),
) -> Result<u64, NoReport> {
    let mut pull = Pull::new(open());
    let mut first = Reading::new(None);
    if has_garbage {
        first.odd(Oddity::Garbage);
    }
    let read = first.all(&mut pull);
    *octets_read = pull.text().octets();
    read?;
    pull.drain()?;
    let head = first.finish(&mut pull)?;
    let rows = head.totals.rows;
    if !first.is_over {
        each(Aggregate { head, first_row: 0, is_last: true, rows: first.rows });
        return Ok(rows);
    }
    let mut pull = Pull::new(open());
    let mut second = Reading::new(Some(Pieces { head, first_row: 0, each }));
    let read = second.all(&mut pull);
    *octets_read += pull.text().octets();
    read?;
    second.hand_over(true);
    Ok(rows)
}

/// Where the pieces of a long report go, the second time it is read.
struct Pieces<'e> {
    head: Head,
    first_row: u64,
    each: &'e mut dyn FnMut(Aggregate),
}

/// A report while it is read.
struct Reading<'e> {
    head: Head,
    has: Has,
    stack: Vec<E>,
    /// Elements on the stack that no schema knows.
    unknown: usize,
    record: Record,
    records: u64,
    rows: Vec<Row>,
    octets: usize,
    /// It has more rows than a piece.
    is_over: bool,
    pieces: Option<Pieces<'e>>,
}

/// What was met.
#[derive(Default)]
struct Has {
    begin: bool,
    end: bool,
    policies: u32,
}

/// A record while it is read.
#[derive(Default)]
struct Record {
    source_ip: Option<std::net::IpAddr>,
    count: Option<u64>,
    disposition: Disposition,
    dkim_aligned: bool,
    spf_aligned: bool,
    reasons: Vec<Reason>,
    header_from: String,
    envelope_from: String,
    envelope_to: String,
    dkim: Vec<DkimResult>,
    spf: Vec<SpfResult>,
}

impl<'e> Reading<'e> {
    fn new(pieces: Option<Pieces<'e>>) -> Self {
        Reading {
            head: Head::default(),
            has: Has::default(),
            stack: Vec::new(),
            unknown: 0,
            record: Record::default(),
            records: 0,
            rows: Vec::new(),
            octets: 0,
            is_over: false,
            pieces,
        }
    }

    /// Reads to the end of the root.
    fn all<R: BufRead>(&mut self, pull: &mut Pull<R>) -> Result<(), NoReport> {
        loop {
            match pull.next()? {
                Event::Start => {
                    let e = E::of(pull.name());
                    if self.stack.is_empty() && e != E::Feedback {
                        let what = format!("the XML is no DMARC report: its first element is <{}>", pull.name());
                        return Err(pull.no(Fault::Broken(what)));
                    }
                    self.start(e).map_err(|fault| pull.no(fault))?;
                }
                Event::End => {
                    self.end(pull.said());
                    if self.stack.is_empty() {
                        return Ok(());
                    }
                }
                Event::Eof => {
                    // Nobody knows what is missing from a record; behind one, it is an end tag as far as anyone can see.
                    if self.records == 0 || pull.depth() != 1 {
                        let what =
                            if self.stack.is_empty() { "it has no element" } else { "the report ends too early" };
                        return Err(pull.no(Fault::Broken(what.to_owned())));
                    }
                    self.odd(Oddity::EndMissing);
                    return Ok(());
                }
            }
        }
    }

    /// What is known once the end is reached.
    fn finish<R: BufRead>(&mut self, pull: &mut Pull<R>) -> Result<Head, NoReport> {
        let missing = |what| Err(NoReport::from(Fault::Missing(what)));
        if pull.text().is_odd() {
            self.odd(Oddity::Charset);
        }
        if pull.is_forgiven() {
            self.odd(Oddity::EndTag);
        }
        let head = &mut self.head;
        head.is_rfc9990 |= pull.namespace().is_some_and(|n| n.eq_ignore_ascii_case(NAMESPACE));
        if head.schema.is_empty() {
            head.schema = "draft".to_owned();
            head.oddities.push(Oddity::VersionMissing);
        }
        if head.organization.is_empty() {
            head.organization = values::domain_of(&head.email);
            head.oddities.push(Oddity::OrganizationMissing);
        }
        if head.organization.is_empty() {
            return missing("org_name");
        }
        if head.report_id.is_empty() {
            return missing("report_id");
        }
        if !self.has.begin || !self.has.end {
            return missing("date_range");
        }
        if head.end_seconds < head.begin_seconds {
            head.oddities.push(Oddity::PeriodReversed);
        }
        if head.policy.domain.is_empty() {
            return missing("domain in its policy_published");
        }
        if head.policy.p == Disposition::Unknown {
            head.oddities.push(Oddity::PolicyMissing);
        }
        if self.has.policies > 1 {
            head.oddities.push(Oddity::SeveralPolicies);
        }
        if self.records == 0 {
            return missing("record");
        }
        if head.totals.unusable > 0 {
            head.oddities.push(Oddity::UnusableRecords);
        }
        head.oddities.sort_unstable();
        head.oddities.dedup();
        Ok(std::mem::take(head))
    }

    fn odd(&mut self, oddity: Oddity) {
        if !self.head.oddities.contains(&oddity) {
            self.head.oddities.push(oddity);
        }
    }

    /// The element around the innermost.
    fn parent(&self) -> E {
        self.stack.len().checked_sub(2).map_or(E::Other, |at| self.stack[at])
    }

    fn start(&mut self, e: E) -> Result<(), Fault> {
        self.stack.push(e);
        if e == E::Other || self.unknown > 0 {
            self.unknown += 1;
            return Ok(());
        }
        match (self.parent(), e) {
            (E::Feedback, E::Policy) => self.has.policies = self.has.policies.saturating_add(1),
            (E::Feedback, E::Record) => {
                self.records += 1;
                self.record = Record::default();
                if self.records > RECORDS_MAX {
                    return Err(Fault::TooLarge("the report has too many records", RECORDS_MAX));
                }
            }
            (E::Evaluated, E::Reason) => {
                let is_full = self.record.reasons.len() >= REASONS_MAX;
                self.add(is_full, |record| record.reasons.push(Reason::default()));
            }
            (E::AuthResults, E::Dkim) => {
                let is_full = self.record.dkim.len() >= DKIM_RESULTS_MAX;
                self.add(is_full, |record| record.dkim.push(DkimResult::default()));
            }
            (E::AuthResults, E::Spf) => {
                let is_full = self.record.spf.len() >= SPF_RESULTS_MAX;
                self.add(is_full, |record| record.spf.push(SpfResult::default()));
            }
            _ => {}
        }
        Ok(())
    }

    /// Adds to a list, or, where that is full, counts all that follows in this element as unknown.
    fn add(&mut self, is_full: bool, add: impl FnOnce(&mut Record)) {
        if is_full {
            self.odd(Oddity::Cut);
            self.unknown += 1;
            if let Some(last) = self.stack.last_mut() {
                *last = E::Other;
            }
        } else {
            add(&mut self.record);
        }
    }

    fn end(&mut self, text: &str) {
        let Some(e) = self.stack.last().copied() else { return };
        if self.unknown > 0 {
            self.unknown -= 1;
        } else {
            self.value(self.parent(), e, text);
        }
        self.stack.pop();
    }

    /// An element that a schema knows has ended.
    fn value(&mut self, parent: E, e: E, text: &str) {
        let is_first_policy = self.has.policies == 1;
        match (parent, e) {
            (E::Feedback, E::Record) => self.record_ends(),
            (E::Feedback, E::Version) => self.head.schema = self.line(text),
            (E::Metadata, E::OrgName) => self.head.organization = self.line(text),
            (E::Metadata, E::Email) => self.head.email = self.line(text),
            (E::Metadata, E::Contact) => self.head.contact = self.line(text),
            (E::Metadata, E::ReportId) => self.head.report_id = self.line(text),
            (E::Metadata, E::Generator) => {
                self.head.generator = self.line(text);
                self.head.is_rfc9990 = true;
            }
            (E::Metadata, E::Error) => {
                let error = self.line(text);
                if self.head.errors.len() >= ERRORS_MAX {
                    self.odd(Oddity::Cut);
                } else if !error.is_empty() {
                    self.head.errors.push(error);
                }
            }
            (E::DateRange, E::Begin) => {
                if let Some(at) = self.time(text) {
                    (self.head.begin_seconds, self.has.begin) = (at, true);
                }
            }
            (E::DateRange, E::End) => {
                if let Some(at) = self.time(text) {
                    (self.head.end_seconds, self.has.end) = (at, true);
                }
            }
            (E::Policy, e) if is_first_policy => self.policy(e, text),
            (E::Row, E::SourceIp) => self.record.source_ip = values::ip(text),
            (E::Row, E::Count) => self.record.count = values::count(text),
            (E::Evaluated, E::Disposition) => self.record.disposition = Disposition::of(text),
            (E::Evaluated, E::Dkim) => self.record.dkim_aligned = text.trim().eq_ignore_ascii_case("pass"),
            (E::Evaluated, E::Spf) => self.record.spf_aligned = text.trim().eq_ignore_ascii_case("pass"),
            (E::Reason, E::Type) => {
                if let Some(reason) = self.record.reasons.last_mut() {
                    reason.kind = ReasonKind::of(text);
                }
            }
            (E::Reason, E::Comment) => {
                let comment = self.line(text);
                if let Some(reason) = self.record.reasons.last_mut() {
                    reason.comment = comment;
                }
            }
            (E::Identifiers, E::HeaderFrom) => self.record.header_from = self.domain(text),
            (E::Identifiers, E::EnvelopeFrom) => self.record.envelope_from = self.domain(text),
            (E::Identifiers, E::EnvelopeTo) => self.record.envelope_to = self.domain(text),
            (E::Dkim, e) => self.dkim(e, text),
            (E::Spf, e) => self.spf(e, text),
            _ => {}
        }
    }

    fn policy(&mut self, e: E, text: &str) {
        let wish = |text: &str| match Disposition::of(text) {
            Disposition::Pass | Disposition::Unknown => None,
            wish => Some(wish),
        };
        match e {
            E::Domain => self.head.policy.domain = self.domain(text),
            E::Adkim => self.head.policy.adkim = Alignment::of(text),
            E::Aspf => self.head.policy.aspf = Alignment::of(text),
            E::P => self.head.policy.p = wish(text).unwrap_or_default(),
            E::Sp => self.head.policy.sp = wish(text),
            E::Pct => {
                self.head.policy.pct = values::count(text).and_then(|n| u8::try_from(n).ok()).filter(|n| *n <= 100)
            }
            E::Fo => self.head.policy.fo = self.line(text),
            E::Np => {
                self.head.policy.np = wish(text);
                self.head.is_rfc9990 = true;
            }
            E::Testing => {
                self.head.policy.testing = match text.trim() {
                    "y" | "Y" => Some(true),
                    "n" | "N" => Some(false),
                    _ => None,
                };
                self.head.is_rfc9990 = true;
            }
            E::Discovery => {
                let method = Discovery::of(text);
                self.head.policy.discovery = (method != Discovery::Unknown).then_some(method);
                self.head.is_rfc9990 = true;
            }
            _ => {}
        }
    }

    fn dkim(&mut self, e: E, text: &str) {
        let (domain, line) = (self.domain_if(e, text), self.line_if(e, text));
        let Some(result) = self.record.dkim.last_mut() else { return };
        match e {
            E::Domain => result.domain = domain,
            E::Selector => result.selector = line,
            E::HumanResult => result.human_result = line,
            E::Result => result.result = AuthResult::of(text),
            _ => {}
        }
    }

    fn spf(&mut self, e: E, text: &str) {
        let (domain, line) = (self.domain_if(e, text), self.line_if(e, text));
        let Some(result) = self.record.spf.last_mut() else { return };
        match e {
            E::Domain => result.domain = domain,
            E::HumanResult => result.human_result = line,
            E::Scope => result.scope = Scope::of(text),
            E::Result => result.result = AuthResult::of(text),
            _ => {}
        }
    }

    fn domain_if(&mut self, e: E, text: &str) -> String {
        if e == E::Domain { self.domain(text) } else { String::new() }
    }

    fn line_if(&mut self, e: E, text: &str) -> String {
        if matches!(e, E::Selector | E::HumanResult) { self.line(text) } else { String::new() }
    }

    fn line(&mut self, text: &str) -> String {
        let (line, cut) = values::line(text);
        if cut {
            self.odd(Oddity::Cut);
        }
        line
    }

    fn domain(&mut self, text: &str) -> String {
        let (domain, cut) = values::domain(text);
        if cut {
            self.odd(Oddity::Cut);
        }
        domain
    }

    fn time(&mut self, text: &str) -> Option<u64> {
        let (at, is_odd) = values::time(text)?;
        if is_odd {
            self.odd(Oddity::Time);
        }
        Some(at)
    }

    fn record_ends(&mut self) {
        let record = std::mem::take(&mut self.record);
        let totals = &mut self.head.totals;
        let (Some(source_ip), Some(count)) = (record.source_ip, record.count) else {
            totals.unusable += 1;
            return;
        };
        let Record { mut dkim, mut envelope_from, mut spf, .. } = record;
        // Some reporters write an empty result where there is none; without a domain it says nothing.
        dkim.retain(|result| !result.domain.is_empty());
        spf.retain(|result| !result.domain.is_empty());
        if envelope_from.is_empty() {
            envelope_from = spf.last().map(|result| result.domain.clone()).unwrap_or_default();
        }
        let row = Row {
            source_ip,
            count,
            disposition: record.disposition,
            dkim_aligned: record.dkim_aligned,
            spf_aligned: record.spf_aligned,
            reasons: record.reasons,
            header_from: record.header_from,
            envelope_from,
            envelope_to: record.envelope_to,
            dkim,
            spf,
        };
        totals.rows += 1;
        totals.messages = totals.messages.saturating_add(count);
        if row.passed() {
            totals.passed = totals.passed.saturating_add(count);
        }
        if !self.is_over {
            self.keep(row);
        }
    }

    /// Keeps a row of the piece; when that is full, the first reading goes on counting, and the second hands it over.
    fn keep(&mut self, row: Row) {
        let octets = octets(&row);
        let is_full = self.rows.len() >= PIECE_ROWS_MAX || self.octets + octets > PIECE_OCTETS_MAX;
        if is_full && !self.rows.is_empty() {
            self.octets = 0;
            if self.pieces.is_none() {
                self.is_over = true;
                self.rows = Vec::new();
                return;
            }
            self.hand_over(false);
        }
        self.octets += octets;
        self.rows.push(row);
    }

    fn hand_over(&mut self, is_last: bool) {
        let Some(pieces) = &mut self.pieces else { return };
        let rows = std::mem::take(&mut self.rows);
        let first_row = pieces.first_row;
        pieces.first_row += rows.len() as u64;
        (pieces.each)(Aggregate { head: pieces.head.clone(), first_row, is_last, rows });
    }
}

/// What a row takes in memory, about.
fn octets(row: &Row) -> usize {
    let texts = |texts: &[&String]| texts.iter().map(|t| t.capacity()).sum::<usize>();
    let dkim = |r: &DkimResult| size_of::<DkimResult>() + texts(&[&r.domain, &r.selector, &r.human_result]);
    let spf = |r: &SpfResult| size_of::<SpfResult>() + texts(&[&r.domain, &r.human_result]);
    size_of::<Row>()
        + texts(&[&row.header_from, &row.envelope_from, &row.envelope_to])
        + row.reasons.iter().map(|r| size_of::<Reason>() + r.comment.capacity()).sum::<usize>()
        + row.dkim.iter().map(dkim).sum::<usize>()
        + row.spf.iter().map(spf).sum::<usize>()
}
