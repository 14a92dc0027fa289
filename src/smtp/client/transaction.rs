//! One message as the client sends it: the envelope as command lines.
//!
//! In: an envelope and what the peer offers.  Out: command lines in order, with whom each is about.
//! Always: a command line is built from checked parts only: nothing in an address or parameter can end the line.
//! Sources: RFC 5321 §4.1.1, RFC 1870, 6152, 6531, 3461, 6533 §3, 6710 §4.2, 2852 §4.1.4, 8689 §4.2.1 and §5.

use std::borrow::Cow;

use crate::{
    ids::MessageId,
    smtp::{
        address::Mailbox,
        delivery_params::SECONDS_MAX,
        params::{BodyType, ByMode, MailParams, Notify, ORCPT_OCTETS_MAX, RcptParams, Ret},
    },
};

use super::{Trouble, peer::Peer};

/// One message for one server.
#[derive(Clone, Copy, Debug)]
pub struct Transaction<'a> {
    /// MAIL FROM; `None`: the null reverse-path.
    pub sender: Option<&'a Mailbox>,
    /// Its parameters, as the message was submitted.
    pub params: &'a MailParams,
    /// Octets of the message before dot-stuffing.
    pub size: u64,
    /// The header has bytes over 127.
    pub header_is_8bit: bool,
    /// Whole seconds until the deadline of its BY, from now ([`crate::smtp::params::DeliverBy::left`]); `None`: it has none.
    pub by_left: Option<i64>,
    /// The sender is a return address of ours: the peer's reports come to us, and are found by this queue id. What the
    /// submitter asked to be told, we tell; the peer is asked for failures alone.
    pub reports_to_us: Option<MessageId>,
    /// RCPT TO.
    pub recipients: &'a [(&'a Mailbox, &'a RcptParams)],
}

/// Which command a line is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Command {
    /// RSET before the next MAIL.
    Rset,
    /// MAIL FROM.
    Mail,
    /// RCPT TO of this recipient.
    Rcpt(usize),
    /// DATA.
    Data,
}

/// Command lines, one after another.
#[derive(Debug, Default)]
pub(super) struct Lines {
    pub(super) bytes: Vec<u8>,
    /// Each command and where its line ends.
    pub(super) commands: Vec<(Command, usize)>,
}

impl Lines {
    /// The line at this place, without its end.
    pub(super) fn line(&self, at: usize) -> Cow<'_, str> {
        let start = at.checked_sub(1).and_then(|before| self.commands.get(before)).map_or(0, |(_, end)| *end);
        let end = self.commands.get(at).map_or(start, |(_, end)| *end);
        String::from_utf8_lossy(self.bytes.get(start..end.saturating_sub(2)).unwrap_or_default())
    }

    fn end(&mut self, command: Command) {
        self.bytes.extend_from_slice(b"\r\n");
        self.commands.push((command, self.bytes.len()));
    }
}

/// Why the whole message cannot go to this peer; `None`: it can.
pub(super) fn obstacle(t: &Transaction<'_>, peer: &Peer, secure: bool) -> Option<Trouble> {
    // A notice goes out all the same: its loss would be worse (RFC 8689 §5).
    if t.params.require_tls && t.sender.is_some() && !(secure && peer.require_tls) {
        return Some(Trouble::NeedsRequireTls);
    }
    if let Some(trouble) = deadline_obstacle(t, peer) {
        return Some(trouble);
    }
    if peer.size_max > 0 && t.size > peer.size_max {
        return Some(Trouble::TooLarge { limit: peer.size_max });
    }
    if let Some(sender) = t.sender {
        if sender.needs_smtputf8() && !peer.smtputf8 {
            return Some(Trouble::NeedsUtf8Address);
        }
        if !is_clean(sender.as_str()) {
            return Some(Trouble::BadAddress);
        }
    }
    (t.params.smtputf8 && t.header_is_8bit && !peer.smtputf8).then_some(Trouble::NeedsUtf8Header)
}

/// RFC 2852 §4.1.4.1: with `R` the peer must know deadlines, and take one that is this near; with `N` any peer will do.
fn deadline_obstacle(t: &Transaction<'_>, peer: &Peer) -> Option<Trouble> {
    let left = t.by_left.filter(|_| t.params.by.is_some_and(|by| by.mode == ByMode::Return))?;
    let least = peer.deliver_by.unwrap_or(0);
    if left < i64::from(least.max(1)) {
        return Some(Trouble::TooLate { left, least });
    }
    peer.deliver_by.is_none().then_some(Trouble::NeedsDeliverBy)
}

/// Why this recipient cannot go to this peer.
pub(super) fn recipient_obstacle(address: &Mailbox, peer: &Peer) -> Option<Trouble> {
    if address.needs_smtputf8() && !peer.smtputf8 {
        return Some(Trouble::NeedsUtf8Address);
    }
    (!is_clean(address.as_str())).then_some(Trouble::BadAddress)
}

/// The lines of a transaction for the recipients that `wanted` names.
pub(super) fn lines(
    t: &Transaction<'_>,
    peer: &Peer,
    secure: bool,
    reset: bool,
    wanted: impl Iterator<Item = usize>,
) -> Lines {
    let mut lines = Lines::default();
    lines.bytes.reserve(256);
    if reset {
        lines.bytes.extend_from_slice(b"RSET");
        lines.end(Command::Rset);
    }
    mail_line(&mut lines.bytes, t, peer, secure);
    lines.end(Command::Mail);
    for index in wanted {
        let (address, params) = t.recipients[index];
        rcpt_line(&mut lines.bytes, t, address, params, peer);
        lines.end(Command::Rcpt(index));
    }
    lines.bytes.extend_from_slice(b"DATA");
    lines.end(Command::Data);
    lines
}

fn mail_line(out: &mut Vec<u8>, t: &Transaction<'_>, peer: &Peer, secure: bool) {
    out.extend_from_slice(b"MAIL FROM:<");
    out.extend_from_slice(t.sender.map_or("", Mailbox::as_str).as_bytes());
    out.push(b'>');
    if peer.size {
        out.extend_from_slice(b" SIZE=");
        out.extend_from_slice(t.size.to_string().as_bytes());
    }
    if peer.eight_bit_mime && t.params.body == BodyType::EightBitMime {
        out.extend_from_slice(b" BODY=8BITMIME");
    }
    if peer.smtputf8 && needs_smtputf8(t) {
        out.extend_from_slice(b" SMTPUTF8");
    }
    if peer.dsn {
        match t.params.ret {
            Some(Ret::Full) => out.extend_from_slice(b" RET=FULL"),
            Some(Ret::Headers) => out.extend_from_slice(b" RET=HDRS"),
            None => {}
        }
        // RFC 3461 §5.2.1: an ENVID is passed on, and never invented on the way; where we are the sender, it is ours to give.
        let own = || t.reports_to_us.map(|id| Cow::Owned(id.to_string()));
        let given = t.params.envid.as_deref().filter(|e| is_parameter(e)).map(Cow::Borrowed);
        if let Some(envid) = given.or_else(own) {
            out.extend_from_slice(b" ENVID=");
            out.extend_from_slice(envid.as_bytes());
        }
    }
    delivery_params(out, t, peer, secure);
}

/// What the message says about its delivery, as far as the peer knows the words. A hold is over: it is not passed on.
fn delivery_params(out: &mut Vec<u8>, t: &Transaction<'_>, peer: &Peer, secure: bool) {
    if let Some(priority) = t.params.mt_priority.filter(|_| peer.mt_priority) {
        out.extend_from_slice(b" MT-PRIORITY=");
        out.extend_from_slice(priority.to_string().as_bytes());
    }
    if let (Some(by), Some(left), Some(_)) = (t.params.by, t.by_left, peer.deliver_by) {
        // Nine digits and a sign is what a server must read.
        let left = left.clamp(-i64::from(SECONDS_MAX), i64::from(SECONDS_MAX));
        out.extend_from_slice(b" BY=");
        out.extend_from_slice(left.to_string().as_bytes());
        out.extend_from_slice(if by.mode == ByMode::Return { b";R" } else { b";N" });
        if by.trace {
            out.push(b'T');
        }
    }
    if t.params.require_tls && peer.require_tls && secure {
        out.extend_from_slice(b" REQUIRETLS");
    }
}

/// The message was submitted with SMTPUTF8, or one of its addresses needs it.
fn needs_smtputf8(t: &Transaction<'_>) -> bool {
    t.params.smtputf8
        || t.sender.is_some_and(Mailbox::needs_smtputf8)
        || t.recipients.iter().any(|(address, _)| address.needs_smtputf8())
}

/// RFC 2852 §4.1.4.2: a peer that keeps no deadlines is asked to tell of delays while the time of BY with `N` runs.
fn wants_delays(t: &Transaction<'_>, peer: &Peer) -> bool {
    let by_notifies = t.params.by.is_some_and(|by| by.mode == ByMode::Notify);
    by_notifies && peer.deliver_by.is_none() && t.by_left.is_some_and(|left| left > 0)
}

fn rcpt_line(out: &mut Vec<u8>, t: &Transaction<'_>, address: &Mailbox, params: &RcptParams, peer: &Peer) {
    out.extend_from_slice(b"RCPT TO:<");
    out.extend_from_slice(address.as_str().as_bytes());
    out.push(b'>');
    if !peer.dsn {
        return;
    }
    let mut notify = params.notify;
    if wants_delays(t, peer) && !notify.never() {
        notify = Notify { given: true, failure: notify.wants_failure(), delay: true, ..notify };
    }
    if notify.given {
        out.extend_from_slice(b" NOTIFY=");
        notify_words(out, notify, t.reports_to_us.is_some());
    }
    // RFC 3461 §5.2.1 lets a relay add the address that it was given: it is what a bounce will be matched by.
    let start = out.len();
    out.extend_from_slice(b" ORCPT=");
    let value = out.len();
    let utf8 = peer.smtputf8 && needs_smtputf8(t);
    match params.orcpt.as_deref().filter(|o| is_parameter(o) || utf8 && is_utf8_parameter(o)) {
        Some(orcpt) => out.extend_from_slice(orcpt.as_bytes()),
        None if address.as_str().is_ascii() => {
            out.extend_from_slice(b"rfc822;");
            xtext(out, address.as_str());
        }
        None if utf8 => {
            out.extend_from_slice(b"utf-8;");
            unitext(out, address.as_str());
        }
        None => {}
    }
    if out.len() == value || out.len() - value > ORCPT_OCTETS_MAX {
        out.truncate(start);
    }
}

fn notify_words(out: &mut Vec<u8>, notify: Notify, reports_to_us: bool) {
    let words: &[(bool, &str)] = match (notify.never(), reports_to_us) {
        (true, _) => &[(true, "NEVER")],
        (false, true) => &[(true, "FAILURE")],
        (false, false) => &[(notify.success, "SUCCESS"), (notify.failure, "FAILURE"), (notify.delay, "DELAY")],
    };
    let mut comma = false;
    for (_, word) in words.iter().filter(|(wanted, _)| *wanted) {
        if comma {
            out.push(b',');
        }
        out.extend_from_slice(word.as_bytes());
        comma = true;
    }
}

/// RFC 6533 §3, utf-8-addr-unitext: as it is, but for `+`, `=`, backslash and what is not visible, as `\x{HEX}`.
fn unitext(out: &mut Vec<u8>, text: &str) {
    for c in text.chars() {
        if matches!(c, '+' | '=' | '\\') || c <= ' ' || c.is_control() {
            out.extend_from_slice(format!("\\x{{{:02X}}}", u32::from(c)).as_bytes());
        } else {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
}

/// RFC 3461 §4: printable ASCII but `+` and `=`, the rest as `+` and two hex digits.
fn xtext(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for b in text.bytes() {
        if (b'!'..=b'~').contains(&b) && b != b'+' && b != b'=' {
            out.push(b);
        } else {
            out.extend_from_slice(&[b'+', HEX[usize::from(b >> 4)], HEX[usize::from(b & 15)]]);
        }
    }
}

/// Nothing in it can end or split a path.
fn is_clean(address: &str) -> bool {
    !address.chars().any(|c| c.is_control() || c == '<' || c == '>') || is_quoted_clean(address)
}

/// Angle brackets may stand inside a quoted local part (RFC 5321 §4.1.2); control characters nowhere.
fn is_quoted_clean(address: &str) -> bool {
    address.starts_with('"') && !address.chars().any(char::is_control)
}

/// The value of a parameter: printable ASCII without blanks.
fn is_parameter(value: &str) -> bool {
    is_utf8_parameter(value) && value.is_ascii()
}

/// The same under SMTPUTF8 (RFC 6531 §3.3).
fn is_utf8_parameter(value: &str) -> bool {
    !value.is_empty() && value.len() <= ORCPT_OCTETS_MAX && !value.chars().any(|c| c.is_control() || c.is_whitespace())
}
