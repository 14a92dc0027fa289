//! Composes delivery status notifications: what became of a mail, for its sender's eyes and for programs.
//!
//! In: [`Report`].  Out: [`Composed`], a whole message.
//! Always: multipart/report with a text in English and Japanese, the machine-readable part, and the mail or its header;
//! lines of the machine-readable part are ASCII unless an address needs UTF-8, and no word of a peer can start a field.
//! Sources: RFC 3461 §6, RFC 3462/6522, RFC 3464, RFC 6533, RFC 3834 §3.1, RFC 2852 §4.1 and §5, RFC 4865 §5.1.2.

use std::fmt::Write;

use mail_builder::{
    MessageBuilder,
    headers::{HeaderType, content_type::ContentType, raw::Raw},
    mime::{BodyPart, MimePart},
};

use super::dsn_text;
use crate::{
    clock::Timestamp,
    ids::MessageId,
    mail::compose,
    smtp::{address::Mailbox, params::Hold},
};

/// A mail up to this many octets comes back whole; of a larger one its header does (RFC 3461 §6.2 leaves the choice to us).
pub const FULL_BYTES_MAX: u64 = 100 * 1024;
/// Octets of a returned header.
pub const HEADERS_BYTES_MAX: usize = 64 * 1024;
/// Octets of a peer's answer in a report.
const REPLY_BYTES_MAX: usize = 900;
/// Where lines of the machine-readable part are folded.
const LINE_MAX: usize = 76;

/// What became of a recipient (RFC 3464 §2.3.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// It will not be delivered.
    Failed,
    /// It was not delivered yet.
    Delayed,
    /// It was delivered.
    Delivered,
    /// It was handed to a system that sends no such reports, or whose sender has every relay named.
    Relayed,
}

impl Action {
    /// The word of the field.
    pub fn word(self) -> &'static str {
        match self {
            Action::Failed => "failed",
            Action::Delayed => "delayed",
            Action::Delivered => "delivered",
            Action::Relayed => "relayed",
        }
    }
}

/// What the deadline of a BY has to do with a report (RFC 2852 §4.1.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InTime {
    /// The mail had none.
    NoDeadline,
    /// It has not passed.
    Not,
    /// It has passed, and the mail goes on (`N`): a delay is 4.4.7.
    Over,
    /// It has passed, and the mail comes back (`R`): a failure is 5.4.7.
    OverReturned,
}

/// One recipient of a report.
#[derive(Clone, Debug)]
pub struct RecipientReport<'a> {
    /// Its address.
    pub address: &'a Mailbox,
    /// ORCPT as it was given, `type;xtext`.
    pub orcpt: Option<&'a str>,
    /// What became of it.
    pub action: Action,
    /// Whether its deadline has to do with it.
    pub in_time: InTime,
    /// The remote's answer, or our own words.
    pub reply: &'a str,
    /// The host that answered; empty: none.
    pub host: &'a str,
    /// When it was last tried.
    pub last_attempt: Option<Timestamp>,
    /// Until when it is tried; delays only.
    pub will_retry_until: Option<Timestamp>,
}

impl RecipientReport<'_> {
    /// Its status code: that of the answer, unless the deadline is what counts.
    pub fn status(&self) -> String {
        match (self.action, self.in_time) {
            (Action::Delayed, InTime::Over | InTime::OverReturned) => "4.4.7".to_owned(),
            // An answer that said no for good is the reason, deadline or not.
            (Action::Failed, InTime::OverReturned) if !said_no(self.reply) => "5.4.7".to_owned(),
            (action, _) => status(action, self.reply),
        }
    }
}

/// The answer itself was a 5yz.
fn said_no(reply: &str) -> bool {
    reply.starts_with('5')
}

/// What of the mail comes back.
#[derive(Clone, Copy, Debug)]
pub enum Original<'a> {
    /// All of it.
    Full(&'a [u8]),
    /// Its header.
    Headers(&'a [u8]),
    /// Nothing: it could not be read.
    Nothing,
}

/// Everything that a notification says.
#[derive(Clone, Debug)]
pub struct Report<'a> {
    /// Our name.
    pub hostname: &'a str,
    /// The notification's own Message-ID, without brackets.
    pub id: &'a str,
    /// When it is written.
    pub at: Timestamp,
    /// Whom it tells: the mail's envelope sender.
    pub to: &'a Mailbox,
    /// The mail's queue id.
    pub message: MessageId,
    /// When the mail was accepted.
    pub arrived_at: Timestamp,
    /// How its sender had it held (FUTURERELEASE).
    pub hold: Option<Hold>,
    /// The mail's Subject, decoded; may be empty.
    pub subject: &'a str,
    /// The mail's Message-ID with brackets; may be empty.
    pub message_id: &'a str,
    /// ENVID as it was given, in xtext.
    pub envid: Option<&'a str>,
    /// The mail came with SMTPUTF8.
    pub smtputf8: bool,
    /// The deadline that the mail came with (BY).
    pub deliver_by: Option<Timestamp>,
    /// About whom; never empty. All have the same kind of action.
    pub recipients: &'a [RecipientReport<'a>],
    /// What comes back.
    pub original: Original<'a>,
}

/// A notification that is ready to be submitted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Composed {
    /// The message, CRLF line ends.
    pub bytes: Vec<u8>,
    /// It needs SMTPUTF8: an address in it is not ASCII.
    pub smtputf8: bool,
    /// It has octets over 127.
    pub is_8bit: bool,
}

/// Composes the notification.
pub fn compose(report: &Report<'_>) -> Composed {
    let global =
        report.smtputf8 || report.to.needs_smtputf8() || report.recipients.iter().any(|r| r.address.needs_smtputf8());
    let text = dsn_text::text(report);
    let mut parts = vec![MimePart::new("text/plain", text), status_part(report, global)];
    parts.extend(original_part(report.original, global));
    let report_type = if global { "global-delivery-status" } else { "delivery-status" };
    let body = MimePart::new(
        ContentType::new("multipart/report").attribute("report-type", report_type),
        BodyPart::Multipart(parts),
    );
    let mut builder = MessageBuilder::new()
        .header("From", raw(format!("Mail Delivery System <MAILER-DAEMON@{}>", report.hostname)))
        .header("To", raw(format!("<{}>", report.to)))
        .subject(dsn_text::subject(report.recipients[0].action))
        .header("Date", raw(compose::date(report.at)))
        .header("Message-ID", raw(format!("<{}>", report.id)))
        .header("Auto-Submitted", raw("auto-replied".to_owned()));
    if is_message_id(report.message_id) {
        builder = builder.header("References", raw(report.message_id.to_owned()));
    }
    let mut bytes = Vec::new();
    builder.body(body).serialize(&mut bytes);
    let is_8bit = !bytes.is_ascii();
    Composed { bytes, smtputf8: global, is_8bit }
}

fn raw(text: String) -> HeaderType<'static> {
    HeaderType::Raw(Raw::new(text))
}

/// The mail's Message-ID fits into our header as it is.
fn is_message_id(id: &str) -> bool {
    id.len() <= 250 && id.starts_with('<') && id.ends_with('>') && id.bytes().all(|b| b.is_ascii_graphic())
}

/// A part whose octets go out as they are. As *text* the builder would add a charset, which message/delivery-status does
/// not have, and as *binary* encode it, which RFC 2046 §5.2 forbids for message parts: so binary with an encoding named.
fn as_it_is<'a>(content_type: &'static str, octets: impl Into<std::borrow::Cow<'a, [u8]>>) -> MimePart<'a> {
    let octets = octets.into();
    let encoding = if octets.is_ascii() { "7bit" } else { "8bit" };
    MimePart::new(ContentType::new(content_type), BodyPart::Binary(octets)).transfer_encoding(encoding)
}

fn original_part(original: Original<'_>, global: bool) -> Option<MimePart<'_>> {
    match (original, global) {
        (Original::Full(bytes), false) => Some(as_it_is("message/rfc822", bytes)),
        (Original::Full(bytes), true) => Some(as_it_is("message/global", bytes)),
        (Original::Headers(bytes), false) => Some(as_it_is("text/rfc822-headers", bytes)),
        (Original::Headers(bytes), true) => Some(as_it_is("message/global-headers", bytes)),
        (Original::Nothing, _) => None,
    }
}

fn status_part<'a>(report: &Report<'_>, global: bool) -> MimePart<'a> {
    let mut out = String::with_capacity(1_024);
    field(&mut out, "Reporting-MTA", &format!("dns; {}", report.hostname), global);
    if let Some(envid) = report.envid.and_then(xtext_decoded) {
        field(&mut out, "Original-Envelope-Id", &envid, global);
    }
    field(&mut out, "Arrival-Date", &compose::date(report.arrived_at), global);
    if let Some(deadline) = report.deliver_by {
        // RFC 2852 §5 adds this field to those of RFC 3464 §2.2.
        field(&mut out, "Deliver-By-Date", &compose::date(deadline), global);
    }
    // RFC 4865 §5.1.2: the request as it was made.
    match report.hold {
        Some(Hold::For(seconds)) => field(&mut out, "Future-Release-Request", &format!("for;{seconds}"), global),
        Some(Hold::Until(at)) => {
            let at = Timestamp::from_millis(at.saturating_mul(1000)).rfc3339_seconds();
            field(&mut out, "Future-Release-Request", &format!("until;{at}"), global);
        }
        None => {}
    }
    field(&mut out, "X-Hikyaku-Queue-ID", &report.message.to_string(), global);
    for recipient in report.recipients {
        out.push_str("\r\n");
        if let Some(original) = recipient.orcpt.and_then(|orcpt| original_recipient(orcpt, global)) {
            field(&mut out, "Original-Recipient", &original, global);
        }
        let kind = if recipient.address.needs_smtputf8() { "utf-8" } else { "rfc822" };
        field(&mut out, "Final-Recipient", &format!("{kind}; {}", recipient.address), global);
        field(&mut out, "Action", recipient.action.word(), global);
        field(&mut out, "Status", &recipient.status(), global);
        if !recipient.host.is_empty() {
            field(&mut out, "Remote-MTA", &format!("dns; {}", recipient.host), global);
        }
        if !recipient.reply.is_empty() {
            let kind = if reply_code(recipient.reply).is_some() { "smtp" } else { "X-Hikyaku" };
            field(&mut out, "Diagnostic-Code", &format!("{kind}; {}", recipient.reply), global);
        }
        if let Some(at) = recipient.last_attempt {
            field(&mut out, "Last-Attempt-Date", &compose::date(at), global);
        }
        if let Some(until) = recipient.will_retry_until.filter(|_| recipient.action == Action::Delayed) {
            field(&mut out, "Will-Retry-Until", &compose::date(until), global);
        }
    }
    as_it_is(if global { "message/global-delivery-status" } else { "message/delivery-status" }, out.into_bytes())
}

/// Writes one field of the machine-readable part: single-line, ASCII unless `global`, folded between words.
fn field(out: &mut String, name: &str, value: &str, global: bool) {
    out.push_str(name);
    out.push(':');
    let mut column = name.len() + 1;
    let mut octets = 0;
    for word in value.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        if octets + word.len() > REPLY_BYTES_MAX {
            break;
        }
        octets += word.len() + 1;
        // A continuation line must not look empty, and the first word stays with its name.
        if column + 1 + word.len() > LINE_MAX && column > name.len() + 1 {
            out.push_str("\r\n");
            column = 0;
        }
        out.push(' ');
        column += 1 + word.len();
        out.extend(word.chars().map(|c| if global || c.is_ascii() { c } else { '?' }));
    }
    out.push_str("\r\n");
}

/// The enhanced status code of an answer (RFC 3463): its own, else the general one of its class.
pub fn status(action: Action, reply: &str) -> String {
    let mut words = reply.split_ascii_whitespace();
    let first = words.next().unwrap_or_default();
    let code = reply_code(reply);
    let candidate = if code.is_some() { words.next().unwrap_or_default() } else { first };
    let class = match action {
        Action::Failed => code.map_or('5', |code| if code >= 500 { '5' } else { '4' }),
        Action::Delayed => '4',
        Action::Delivered | Action::Relayed => '2',
    };
    let may_be = |status: &str| match action {
        Action::Failed => status.starts_with(['4', '5']),
        Action::Delayed => status.starts_with('4'),
        Action::Delivered | Action::Relayed => status.starts_with('2'),
    };
    if is_enhanced(candidate) && may_be(candidate) { candidate.to_owned() } else { format!("{class}.0.0") }
}

fn is_enhanced(word: &str) -> bool {
    let mut numbers = word.split('.');
    let is_number = |n: &str| (1..=3).contains(&n.len()) && n.bytes().all(|b| b.is_ascii_digit());
    matches!(numbers.next(), Some("2" | "4" | "5"))
        && numbers.next().is_some_and(is_number)
        && numbers.next().is_some_and(is_number)
        && numbers.next().is_none()
}

/// The three digits at the start of an answer that came from a peer.
fn reply_code(reply: &str) -> Option<u16> {
    let word = reply.split([' ', '-']).next()?;
    (word.len() == 3).then(|| word.parse().ok()).flatten().filter(|code| (200..600).contains(code))
}

/// ORCPT as Original-Recipient: `type; address`, decoded.
fn original_recipient(orcpt: &str, global: bool) -> Option<String> {
    let (kind, address) = orcpt.split_once(';')?;
    let is_atom = !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if !is_atom {
        return None;
    }
    let decoded = xtext_decoded(address)?;
    let mut out = String::with_capacity(kind.len() + decoded.len() + 2);
    // An address of type utf-8 keeps its ASCII form where the report is ASCII (RFC 6533 §3).
    let keep = !global && !decoded.is_ascii();
    let _ = write!(out, "{kind}; {}", if keep { address } else { &decoded });
    Some(out)
}

/// Decodes xtext (RFC 3461 §4): `+XX` is an octet. `None` when it is malformed or has control characters.
pub fn xtext_decoded(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        if b == b'+' {
            let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16)).map(|d| d as u8);
            let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
            out.push(high * 16 + low);
        } else {
            out.push(b);
        }
    }
    String::from_utf8(out).ok().filter(|text| !text.chars().any(char::is_control))
}

#[cfg(test)]
#[path = "dsn_tests.rs"]
mod tests;
