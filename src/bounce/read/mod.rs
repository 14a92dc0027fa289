//! Reads what came back: delivery reports of all dialects, complaints, and what only looks like them.
//!
//! In: a mail, as it came.  Out: a [`Reading`]: what kind of mail it is, a row for each recipient, and what names the mail that it
//! is about.
//! Always: bounded in time, depth and memory, whatever the bytes are; what is not certainly a failure is no failure; nothing here
//! asks the store whether the mail was ours.
//! Sources: RFC 3464, 6522, 6533, 5965, 3834; algorithms F6.

mod address;
mod arf;
mod auto;
mod codes;
mod dsn;
mod head;
mod json;
mod original;
mod row;
mod rules;
#[cfg(test)]
mod tests;
mod text;
mod walk;

use std::borrow::Cow;

use arf::Feedback;
use dsn::Report;
use head::Head;
use walk::{Part, Sort, Walked};

use super::classify::Judged;

/// What kind of mail it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Kind {
    /// It says that mail could not be delivered.
    Bounce,
    /// A recipient complained (RFC 5965).
    Complaint,
    /// Delivery is late; it goes on.
    Delay,
    /// Mail was delivered, relayed or expanded.
    Delivered,
    /// A person's or a program's automatic answer.
    AutoReply,
    /// None of these.
    #[default]
    Other,
}

impl Kind {
    /// The word in logs.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Bounce => "bounce",
            Kind::Complaint => "complaint",
            Kind::Delay => "delay",
            Kind::Delivered => "delivered",
            Kind::AutoReply => "auto-reply",
            Kind::Other => "other",
        }
    }
}

/// What is said of one recipient (RFC 3464 §2.3.3, and RFC 5965 as `Feedback`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Action {
    /// It failed.
    #[default]
    Failed,
    /// It is late.
    Delayed,
    /// It was delivered.
    Delivered,
    /// It went on to a host that does not report.
    Relayed,
    /// It was expanded to several addresses.
    Expanded,
    /// Its recipient complained.
    Feedback,
    /// Its recipient's program answered.
    Replied,
}

impl Action {
    /// The word in logs.
    pub fn word(self) -> &'static str {
        match self {
            Action::Failed => "failed",
            Action::Delayed => "delayed",
            Action::Delivered => "delivered",
            Action::Relayed => "relayed",
            Action::Expanded => "expanded",
            Action::Feedback => "feedback",
            Action::Replied => "replied",
        }
    }
}

/// What the mail says of one recipient.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Row {
    /// The recipient that we wrote to, as far as the mail says; empty: it does not say.
    pub recipient: String,
    /// The address that failed, where it is another one (forwarded, an alias); empty: the same.
    pub failed_at: String,
    /// What happened.
    pub action: Action,
    /// The enhanced status code, e.g. `5.1.1`; empty: none was found.
    pub status: String,
    /// The SMTP reply code.
    pub reply_code: Option<u16>,
    /// What the remote said, in one line.
    pub diagnostic: String,
    /// The host that said it; empty: unknown.
    pub host: String,
    /// What it means: of failures and delays (a delay is never hard), and of complaints; `None` where nothing failed.
    pub judged: Option<Judged>,
}

/// What names the mail that came back.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Original {
    /// Its Message-ID with angle brackets; empty: unknown.
    pub message_id: String,
    /// Its ENVID (RFC 3461), decoded; empty: unknown.
    pub envid: String,
    /// Addresses in the report or the returned header that may be return addresses of ours (Return-Path, the reporter's
    /// To, Original-Mail-From), as written.
    pub return_paths: Vec<String>,
    /// Its subject, decoded.
    pub subject: String,
    /// Its X-Api-Data.
    pub api_data: String,
}

/// What was read in a mail.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Reading {
    /// What kind of mail it is.
    pub kind: Kind,
    /// A row for each recipient. Of [`Kind::Other`] there is none, but for reports of authentication failures (RFC 6591): they
    /// name a recipient who did not complain, with our authentication as the trouble.
    pub rows: Vec<Row>,
    /// What names the mail that it is about.
    pub original: Original,
}

/// Reads a mail.
pub fn read(mail: &[u8]) -> Reading {
    let walked = walk::walk(mail);
    let head = Head::of(walked.head);
    let returned = walked.parts.iter().find(|p| matches!(p.sort, Sort::Message | Sort::Headers));
    let returned_head = returned.map(|p| Head::of(walk::split(&header_of(p)).0));
    let back = returned_head.as_ref();

    if let Some(part) = walked.parts.iter().find(|p| p.sort == Sort::Feedback) {
        let mut feedback = Feedback::of(&part.text());
        let (envid, senders) = (std::mem::take(&mut feedback.envid), std::mem::take(&mut feedback.senders));
        let none = Head::default();
        let (kind, rows) = feedback.rows(back.unwrap_or(&none));
        return reading(kind, rows, &head, back, &envid, &senders);
    }
    if let Some(rows) = arf::without_report(&head, back) {
        return reading(Kind::Complaint, rows, &head, back, "", &[]);
    }
    let mut report = Report::default();
    for part in walked.parts.iter().filter(|p| p.sort == Sort::Status).take(STATUS_PARTS_MAX) {
        dsn::read(&part.text(), &mut report);
    }
    let is_told =
        !report.recipients.is_empty() && report.recipients.iter().all(|r| !r.recipient.is_empty() && r.is_telling());
    if is_told {
        return reported(report, &head, back);
    }

    // The words for people: alone, or to fill in what the report left out.
    let text = text_of(&walked);
    let notice = text::notice(&text, &head);
    let in_text = (!notice.returned.is_empty()).then(|| original::header_in(notice.returned)).filter(|h| !h.is_empty());
    let back = back.or(in_text.as_ref());
    if report.recipients.is_empty() && dsn::is_in(&text) {
        dsn::read(&text, &mut report);
    }
    let none = Head::default();
    if !report.recipients.is_empty() {
        fill(&mut report, notice.recipients(&head, back.unwrap_or(&none)), &head);
        return reported(report, &head, back);
    }
    if let Some(notice) = json::read(&text) {
        let mut reading = reading(notice.kind, notice.rows, &head, back, "", &notice.senders);
        reading.original.message_id = notice.message_id;
        reading.original.subject = notice.subject;
        return reading;
    }
    if let Some(inner) = returned.and_then(wrapped) {
        return inner;
    }
    if walked.parts.iter().all(|p| p.sort != Sort::Disposition) && notice.is_bounce(&head) {
        let kind = if notice.is_delay() { Kind::Delay } else { Kind::Bounce };
        let rows = notice.recipients(&head, back.unwrap_or(&none)).into_iter().map(row::make).collect();
        return reading(kind, rows, &head, back, "", &[]);
    }
    let is_answer = walked.parts.iter().any(|p| p.sort == Sort::Disposition) || auto::is_answer(&head, &notice.words);
    if is_answer {
        let row = Row { action: Action::Replied, ..Row::default() };
        return reading(Kind::AutoReply, vec![row], &head, back, "", &[]);
    }
    reading(Kind::Other, Vec::new(), &head, back, "", &[])
}

/// Status parts that are read: some reporters write one a recipient.
const STATUS_PARTS_MAX: usize = 32;
/// Text parts that are read as one.
const TEXT_PARTS_MAX: usize = 3;

/// The first octets of a returned mail.
fn header_of<'a>(part: &Part<'a>) -> Cow<'a, [u8]> {
    part.bytes(walk::TEXT_MAX)
}

/// The words for people: the plain parts in front of the returned mail, else the HTML ones.
fn text_of(walked: &Walked<'_>) -> String {
    let before = walked.parts.iter().take_while(|p| !matches!(p.sort, Sort::Message | Sort::Headers));
    let mut out = String::new();
    for sort in [Sort::Plain, Sort::Html] {
        for part in before.clone().filter(|p| p.sort == sort).take(TEXT_PARTS_MAX) {
            out.push_str(&part.text());
            out.push('\n');
        }
        if !out.trim().is_empty() {
            break;
        }
    }
    out
}

/// A bounce that a gateway packed into a mail of its own.
fn wrapped(part: &Part<'_>) -> Option<Reading> {
    let bytes = part.bytes(walk::LOOKED_AT_MAX);
    let walked = walk::walk(&bytes);
    if !walked.is_report {
        return None;
    }
    let mut report = Report::default();
    for part in walked.parts.iter().filter(|p| p.sort == Sort::Status).take(STATUS_PARTS_MAX) {
        dsn::read(&part.text(), &mut report);
    }
    if report.recipients.is_empty() {
        return None;
    }
    let returned = walked.parts.iter().find(|p| matches!(p.sort, Sort::Message | Sort::Headers));
    let returned = returned.map(|p| Head::of(walk::split(&header_of(p)).0));
    Some(reported(report, &Head::of(walked.head), returned.as_ref()))
}

/// Gives each recipient of a report what the words for people say of it, where the report itself says nothing.
fn fill(report: &mut Report, words: Vec<row::Found>, head: &Head) {
    for (n, recipient) in report.recipients.iter_mut().enumerate() {
        if recipient.recipient.is_empty() {
            let named = head.failed.get(n).or_else(|| words.get(n).map(|w| &w.recipient));
            recipient.recipient = named.cloned().unwrap_or_default();
        }
        if recipient.is_telling() {
            continue;
        }
        let is_it = |w: &&row::Found| {
            address::same(&w.recipient, &recipient.recipient) || address::same(&w.recipient, &recipient.failed_at)
        };
        let one = if words.len() == 1 { words.first() } else { None };
        let Some(words) = words.iter().find(is_it).or(one) else { continue };
        if recipient.diagnostic.is_empty() {
            recipient.diagnostic.clone_from(&words.diagnostic);
        }
        if recipient.context.is_empty() {
            recipient.context.clone_from(&words.context);
        }
    }
}

/// The reading of a delivery report.
fn reported(report: Report, head: &Head, returned: Option<&Head>) -> Reading {
    let mut rows: Vec<Row> = Vec::with_capacity(report.recipients.len());
    for found in report.recipients {
        let mut row = row::make(found);
        if row.recipient.is_empty()
            && let Some([one]) = returned.map(|r| r.to.as_slice())
        {
            row.recipient.clone_from(one);
        }
        // Some reporters say everything twice.
        if rows.last() != Some(&row) {
            rows.push(row);
        }
    }
    let has = |action| rows.iter().any(|r| r.action == action);
    let kind = if has(Action::Failed) {
        Kind::Bounce
    } else if has(Action::Delayed) {
        Kind::Delay
    } else {
        Kind::Delivered
    };
    reading(kind, rows, head, returned, &report.envid, &report.senders)
}

fn reading(
    kind: Kind,
    rows: Vec<Row>,
    head: &Head,
    returned: Option<&Head>,
    envid: &str,
    senders: &[String],
) -> Reading {
    let none = Head::default();
    Reading { kind, rows, original: original::original(head, returned.unwrap_or(&none), envid, senders) }
}
