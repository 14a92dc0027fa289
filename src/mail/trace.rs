//! What Hikyaku writes above a message that it takes: Received, a missing Date and Message-ID, and its keyed trace; and how
//! it takes Received fields away where the operator wants that.
//!
//! In: how the message came, the facts of its header, the settings.  Out: [`HeadChanges`].
//! Always: the content stays as it came, byte for byte, below what is added (R8); a message without a header gets the trace
//! alone, with an empty line below it; with `none` and `delete-all` a keyed line keeps our own mail from looping.
//! Sources: RFC 5321 §4.4 and §6.3, RFC 3848, RFC 6531 §4.3, RFC 8314 §4.3, RFC 6710 §4.1 and §7; config.md `[relay] received_header`.

use std::net::IpAddr;

use aws_lc_rs::hmac;

use super::{
    compose::{self, Folder},
    header::{Facts, Fields},
};
use crate::{clock::Timestamp, ids::MessageId, secret::equal_in_constant_time, smtp::address::Mailbox};

/// A message with more Received fields than this loops: 554 5.4.6.
pub const HOPS_MAX: u32 = 50;
/// Our trace's field name.
pub const TRACE_HEADER: &str = "X-Hikyaku-Trace";
/// Octets of the HMAC that a trace shows.
const TRACE_MAC_BYTES: usize = 16;
/// Trace fields looked at in a header: a message passes us once, others' copies are few.
const TRACES_MAX: usize = 64;

/// Which Received field is added: `[relay] received_header`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ReceivedForm {
    /// Without the client's name and address.
    #[default]
    Abbreviated,
    /// In full.
    Normal,
    /// None; a keyed trace instead.
    None,
    /// None, and those that came are removed; a keyed trace instead.
    DeleteAll,
}

/// By which protocol a message came (the `with` clause).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Protocol {
    /// EHLO was said; false: HELO.
    pub extended: bool,
    /// Under TLS.
    pub tls: bool,
    /// After AUTH.
    pub authenticated: bool,
    /// With SMTPUTF8.
    pub utf8: bool,
    /// By the HTTP API; the rest does not matter then.
    pub http: bool,
}

impl Protocol {
    /// The name registered for it (RFC 3848, RFC 6531 §4.3).
    pub fn keyword(self) -> &'static str {
        if self.http {
            return if self.tls { "HTTPS" } else { "HTTP" };
        }
        match (self.utf8, self.extended || self.tls || self.authenticated, self.tls, self.authenticated) {
            (true, _, true, true) => "UTF8SMTPSA",
            (true, _, true, false) => "UTF8SMTPS",
            (true, _, false, true) => "UTF8SMTPA",
            (true, _, false, false) => "UTF8SMTP",
            (false, _, true, true) => "ESMTPSA",
            (false, _, true, false) => "ESMTPS",
            (false, _, false, true) => "ESMTPA",
            (false, true, false, false) => "ESMTP",
            (false, false, false, false) => "SMTP",
        }
    }
}

/// How a message came.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// Its id: the queue id.
    pub id: MessageId,
    /// When its end was seen.
    pub at: Timestamp,
    /// Our name.
    pub hostname: &'a str,
    /// What the client called itself; empty: nothing was said.
    pub helo: &'a str,
    /// The client's address.
    pub address: Option<IpAddr>,
    /// The protocol.
    pub protocol: Protocol,
    /// TLS version and cipher, e.g. `TLSv1.3 TLS13_AES_256_GCM_SHA384`; empty in clear.
    pub tls: &'a str,
    /// The recipient, when there is only one: several must not learn of each other.
    pub recipient: Option<&'a Mailbox>,
    /// MT-PRIORITY, as it was given.
    pub priority: Option<i8>,
    /// The content begins with an empty line: its header is empty, not missing.
    pub begins_empty: bool,
}

/// The settings that decide what is added.
#[derive(Clone, Copy, Debug)]
pub struct TraceSettings<'a> {
    /// `[relay] received_header`.
    pub received: ReceivedForm,
    /// `[relay] add_missing_headers`.
    pub add_missing_headers: bool,
    /// The key of our traces.
    pub key: &'a TraceKey,
}

/// What is done to a message's head.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HeadChanges {
    /// Goes on top of the message.
    pub top: Vec<u8>,
    /// Received fields are removed on the way: feed the header through a [`FieldStripper`].
    pub strip_received: bool,
    /// The Message-ID that was added: the log's, as the header had none.
    pub message_id: Option<String>,
}

/// Decides what goes on top of a message.
pub fn head_changes(arrival: &Arrival<'_>, facts: &Facts, settings: &TraceSettings<'_>) -> HeadChanges {
    let mut top = String::with_capacity(512);
    let mut message_id = None;
    match settings.received {
        ReceivedForm::Normal | ReceivedForm::Abbreviated => {
            push_received(&mut top, arrival, settings.received == ReceivedForm::Normal);
        }
        ReceivedForm::None | ReceivedForm::DeleteAll => {
            Folder::new(&mut top, TRACE_HEADER).word(&settings.key.trace(arrival.id)).end();
        }
    }
    if settings.add_missing_headers && facts.has_header {
        if !facts.has_date {
            top.push_str("Date: ");
            compose::push_date(&mut top, arrival.at);
            top.push_str("\r\n");
        }
        if facts.message_id.is_empty() {
            let id = compose::message_id(arrival.id, arrival.hostname);
            top.push_str("Message-ID: ");
            top.push_str(&id);
            top.push_str("\r\n");
            message_id = Some(id);
        }
    }
    if !facts.has_header && !arrival.begins_empty {
        // The text has no header of its own: this line keeps its first line from being read as one of our fields.
        top.push_str("\r\n");
    }
    let strip_received = settings.received == ReceivedForm::DeleteAll && facts.received_count > 0;
    HeadChanges { top: top.into_bytes(), strip_received, message_id }
}

fn push_received(out: &mut String, arrival: &Arrival<'_>, in_full: bool) {
    let mut field = Folder::new(out, "Received");
    if in_full {
        let helo = if arrival.helo.is_empty() { "unknown" } else { arrival.helo };
        field.word("from").word(&printable(helo));
        if let Some(address) = arrival.address {
            field.word(&format!("({})", literal(address)));
        }
        if !arrival.tls.is_empty() {
            field.line(&format!("(using {})", comment(arrival.tls)));
        }
        field.line("by");
    } else {
        field.word("by");
    }
    field.word(arrival.hostname).word("with").word(arrival.protocol.keyword());
    field.word("id").word(&arrival.id.to_string());
    if let Some(recipient) = arrival.recipient {
        field.line(&format!("for <{recipient}>"));
    }
    if let Some(priority) = arrival.priority {
        // RFC 6710 §4.1: the clause by which the priority can be traced.
        field.word("PRIORITY").word(&priority.to_string());
    }
    field.glue(";").line(&compose::date(arrival.at)).end();
}

/// An address literal (RFC 5321 §4.1.3).
fn literal(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(v4) => format!("[{v4}]"),
        IpAddr::V6(v6) => format!("[IPv6:{v6}]"),
    }
}

/// A client's word that cannot break the field: visible characters without parentheses, bounded.
fn printable(word: &str) -> String {
    let clean: String =
        word.chars().filter(|c| !c.is_control() && !c.is_whitespace() && !"();<>\\\"".contains(*c)).take(255).collect();
    if clean.is_empty() { "unknown".to_owned() } else { clean }
}

/// Text inside a comment.
fn comment(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() && !"()\\".contains(*c)).take(200).collect()
}

/// The key by which we know our own traces.
#[derive(Clone)]
pub struct TraceKey(hmac::Key);

impl std::fmt::Debug for TraceKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TraceKey(hidden)")
    }
}

impl TraceKey {
    /// The key made of these bytes: at least 16 random ones, kept across restarts.
    pub fn new(bytes: &[u8]) -> Self {
        TraceKey(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// The value of our trace in this message.
    pub fn trace(&self, id: MessageId) -> String {
        use std::fmt::Write;
        let mut out = id.to_string();
        out.push(' ');
        for byte in self.mac(&out[..out.len() - 1]) {
            let _ = write!(out, "{byte:02x}");
        }
        out
    }

    /// Whether a trace's value was written by us.
    pub fn is_ours(&self, value: &str) -> bool {
        let mut words = value.split_ascii_whitespace();
        let (Some(id), Some(mac), None) = (words.next(), words.next(), words.next()) else { return false };
        let mut expected = String::with_capacity(2 * TRACE_MAC_BYTES);
        for byte in self.mac(id) {
            use std::fmt::Write;
            let _ = write!(expected, "{byte:02x}");
        }
        id.parse::<MessageId>().is_ok() && equal_in_constant_time(mac.as_bytes(), expected.as_bytes())
    }

    /// Whether a header carries a trace of ours: the message was here before (554 5.4.6).
    pub fn was_here(&self, head: &[u8]) -> bool {
        Fields::new(head)
            .filter(|f| head[f.name.clone()].eq_ignore_ascii_case(TRACE_HEADER.as_bytes()))
            .take(TRACES_MAX)
            .any(|f| std::str::from_utf8(&head[f.value]).is_ok_and(|value| self.is_ours(value)))
    }

    fn mac(&self, id: &str) -> [u8; TRACE_MAC_BYTES] {
        let mut out = [0; TRACE_MAC_BYTES];
        out.copy_from_slice(&hmac::sign(&self.0, id.as_bytes()).as_ref()[..TRACE_MAC_BYTES]);
        out
    }
}

/// Takes fields of some names out of a header that arrives in pieces; everything else passes as it is.
#[derive(Debug)]
pub struct FieldStripper<'a> {
    names: Vec<&'a str>,
    state: Strip,
    /// The start of a line that may still become one of the names.
    held: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Strip {
    /// At the start of a line, or within what may be a name.
    Start,
    /// Within a line that stays.
    Keep,
    /// Within a line that goes.
    Drop,
    /// At the start of a line after one that goes: a blank continues it.
    AfterDrop,
    /// Past the header.
    Body,
}

/// The name of the trace fields that `delete-all` takes away.
pub const RECEIVED: &str = "Received";
/// Blanks before the colon that are still looked through (obsolete syntax).
const NAME_BLANKS_MAX: usize = 8;

impl<'a> FieldStripper<'a> {
    /// One that takes away the fields of these names, in any case of letters.
    pub fn new(names: Vec<&'a str>) -> Self {
        FieldStripper { names, state: Strip::Start, held: Vec::new() }
    }

    /// A whole header without its fields of these names; `None`: it has none of them.
    pub fn strip(names: Vec<&'a str>, head: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(head.len());
        let mut stripper = Self::new(names);
        stripper.push(head, &mut out);
        stripper.finish(&mut out);
        (out.len() < head.len()).then_some(out)
    }

    /// Takes the next bytes of the message and appends what stays to `out`.
    pub fn push(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while let Some(first) = bytes.first().copied() {
            match self.state {
                Strip::Body => {
                    out.extend_from_slice(bytes);
                    return;
                }
                Strip::Keep | Strip::Drop => {
                    let end = bytes.iter().position(|b| *b == b'\n').map_or(bytes.len(), |at| at + 1);
                    let (line, rest) = bytes.split_at(end);
                    if self.state == Strip::Keep {
                        out.extend_from_slice(line);
                    }
                    if line.ends_with(b"\n") {
                        self.state = if self.state == Strip::Keep { Strip::Start } else { Strip::AfterDrop };
                    }
                    bytes = rest;
                }
                Strip::AfterDrop if matches!(first, b' ' | b'\t') => self.state = Strip::Drop,
                Strip::AfterDrop => self.state = Strip::Start,
                Strip::Start => {
                    self.held.push(first);
                    bytes = &bytes[1..];
                    match self.judge() {
                        None => {}
                        Some(Strip::Drop) => {
                            self.held.clear();
                            self.state = Strip::Drop;
                        }
                        Some(state) => {
                            let ended = self.held.ends_with(b"\n");
                            out.append(&mut self.held);
                            self.state = if state == Strip::Keep && ended { Strip::Start } else { state };
                        }
                    }
                }
            }
        }
    }

    /// The message ended: appends what was held back.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.held);
        self.state = Strip::Body;
    }

    /// What the line is whose start is held; `None`: more of it is needed.
    fn judge(&self) -> Option<Strip> {
        let held = self.held.as_slice();
        if held == b"\r\n" || held == b"\n" {
            return Some(Strip::Body);
        }
        if held == b"\r" {
            return None;
        }
        let mut may_become = false;
        for name in &self.names {
            let common = held.len().min(name.len());
            if !held[..common].eq_ignore_ascii_case(&name.as_bytes()[..common]) {
                continue;
            }
            let rest = &held[common..];
            let blanks = rest.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
            match &rest[blanks..] {
                [] => may_become |= blanks <= NAME_BLANKS_MAX,
                [b':'] => return Some(Strip::Drop),
                _ => {}
            }
        }
        if may_become { None } else { Some(Strip::Keep) }
    }
}

#[cfg(test)]
#[path = "trace_tests.rs"]
mod tests;
