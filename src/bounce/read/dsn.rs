//! Reads delivery status fields: the part that RFC 3464 defines, and the same fields where reporters put them elsewhere.
//!
//! In: the text of message/delivery-status or message/global-delivery-status, or a notice with such fields in it.  Out: a
//! [`Report`].
//! Always: fields count by their names, not by the blank lines between them, because many reporters leave those out or add
//! some; a recipient without an address is kept, so that it can be found elsewhere; at most [`ROWS_MAX`] recipients.
//! Sources: RFC 3464 §2.2 and §2.3, RFC 3461 §4.2 (xtext), RFC 6533 §3 (utf-8 addresses).

use super::{Action, address, codes, head::one_line, row::Found};
use crate::smtp::reply::Enhanced;

/// Recipients of one report at most: what we send has fewer.
pub(super) const ROWS_MAX: usize = 1_000;
/// Octets of one field's value.
const VALUE_MAX: usize = 8 * 1024;
/// Octets of ENVID (RFC 3461 §4.4 allows 100 before encoding).
const ENVID_MAX: usize = 256;

/// What a report says.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// Each recipient.
    pub(super) recipients: Vec<Found>,
    /// Original-Envelope-Id.
    pub(super) envid: String,
    /// Addresses of fields that name the sender of what came back.
    pub(super) senders: Vec<String>,
}

/// The text has status fields in it, although it is no part of that type.
pub(super) fn is_in(text: &str) -> bool {
    let mut recipient = false;
    let mut outcome = false;
    for line in text.lines() {
        let Some((name, value)) = field(unquoted(line)) else { continue };
        match Name::of(name) {
            Some(Name::Final | Name::Original) => recipient |= value.contains('@'),
            Some(Name::Action | Name::Status | Name::Diagnostic) => outcome = true,
            _ => {}
        }
        if recipient && outcome {
            return true;
        }
    }
    false
}

/// Reads status fields.
pub(super) fn read(text: &str, report: &mut Report) {
    let mut reader = Reader { report, open: None, gap: false };
    let mut name = None;
    let mut value = String::new();
    for line in text.lines() {
        let line = unquoted(line);
        let folded = line.starts_with([' ', '\t']) && !line.trim().is_empty();
        if folded && name.is_some() {
            add(&mut value, line);
            continue;
        }
        if let Some((found, first)) = field(line) {
            reader.take(name.take(), &value);
            name = Name::of(found);
            value.clear();
            add(&mut value, first);
        } else if line.trim().is_empty() {
            reader.take(name.take(), &value);
            value.clear();
            reader.gap = true;
        } else if name == Some(Name::Diagnostic) {
            // A long answer that was wrapped without the blank that folding asks for.
            add(&mut value, line);
        }
    }
    reader.take(name, &value);
    reader.close();
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Name {
    Original,
    Final,
    Actual,
    Action,
    Status,
    Remote,
    Diagnostic,
    Supplement,
    Envid,
    Sender,
    OtherOfRecipient,
}

impl Name {
    fn of(name: &str) -> Option<Name> {
        const NAMES: [(&str, Name); 18] = [
            ("Original-Recipient", Name::Original),
            ("Final-Recipient", Name::Final),
            ("X-Actual-Recipient", Name::Actual),
            ("Failed-Recipient", Name::Final),
            ("X-Failed-Address", Name::Final),
            ("Action", Name::Action),
            ("Status", Name::Status),
            ("Remote-MTA", Name::Remote),
            ("Diagnostic-Code", Name::Diagnostic),
            ("X-Supplementary-Info", Name::Supplement),
            ("X-Notes", Name::Supplement),
            ("X-SMTP-Server-Response", Name::Supplement),
            ("Original-Envelope-Id", Name::Envid),
            ("X-Postfix-Sender", Name::Sender),
            ("X-Outbound-Mail-Relay-Sender", Name::Sender),
            ("X-Original-Sender", Name::Sender),
            ("Last-Attempt-Date", Name::OtherOfRecipient),
            ("Will-Retry-Until", Name::OtherOfRecipient),
        ];
        NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, name)| *name)
    }
}

struct Reader<'r> {
    report: &'r mut Report,
    open: Option<Fields>,
    /// A blank line came since the last field of the open recipient.
    gap: bool,
}

/// Fields of one recipient.
#[derive(Default)]
struct Fields {
    original: Option<String>,
    last: Option<String>,
    actual: Option<String>,
    action: Option<Action>,
    status: Option<(Option<Enhanced>, String)>,
    host: Option<String>,
    diagnostic: Option<String>,
    supplement: Option<String>,
}

impl Reader<'_> {
    fn take(&mut self, name: Option<Name>, value: &str) {
        let Some(name) = name else { return };
        match name {
            Name::Envid => {
                if self.report.envid.is_empty() && value.len() <= ENVID_MAX {
                    self.report.envid = one_line(value, ENVID_MAX);
                }
                return;
            }
            Name::Sender => {
                self.report.senders.extend(address::first(value).map(str::to_owned));
                return;
            }
            _ => {}
        }
        if self.begins_another(name) {
            self.close();
        }
        let fields = self.open.get_or_insert_default();
        self.gap = false;
        match name {
            Name::Original => fields.original = Some(recipient(value)),
            Name::Final => fields.last = Some(recipient(value)),
            Name::Actual => fields.actual = Some(recipient(value)),
            Name::Action => fields.action = action(value),
            Name::Status => fields.status = Some((codes::status(value), comment(value).to_owned())),
            Name::Remote => fields.host = Some(host(value)),
            Name::Diagnostic => {
                let words = without_type(value);
                // Of several the first one with a code counts.
                let better = fields.diagnostic.as_deref().is_none_or(|old| {
                    codes::Codes::of(old) == codes::Codes::default()
                        && codes::Codes::of(words) != codes::Codes::default()
                });
                if better {
                    fields.diagnostic = Some(words.to_owned());
                }
            }
            Name::Supplement => fields.supplement = Some(without_type(value).to_owned()),
            Name::OtherOfRecipient | Name::Envid | Name::Sender => {}
        }
    }

    /// The field opens the next recipient: it names an address again, or after a blank line something that is known already.
    fn begins_another(&self, name: Name) -> bool {
        let Some(open) = &self.open else { return false };
        match name {
            Name::Original => open.original.is_some() || (self.gap && open.last.is_some()),
            Name::Final => open.last.is_some() || (self.gap && open.original.is_some() && open.action.is_some()),
            Name::Action => self.gap && open.action.is_some(),
            Name::Status => self.gap && open.status.is_some(),
            _ => false,
        }
    }

    fn close(&mut self) {
        let Some(fields) = self.open.take() else { return };
        let says_something = fields.action.is_some()
            || fields.status.is_some()
            || fields.diagnostic.is_some()
            || fields.last.is_some()
            || fields.original.is_some();
        if says_something && self.report.recipients.len() < ROWS_MAX {
            self.report.recipients.push(fields.found());
        }
    }
}

impl Fields {
    fn found(self) -> Found {
        let given = |address: Option<String>| address.filter(|a| !a.is_empty());
        let (original, last, actual) = (given(self.original), given(self.last), given(self.actual));
        let recipient = original.or_else(|| last.clone()).or_else(|| actual.clone()).unwrap_or_default();
        let failed_at = actual.filter(|a| a.contains('@')).or(last).unwrap_or_default();
        let (status, note) = self.status.unwrap_or_default();
        let diagnostic = self.diagnostic.filter(|d| !d.is_empty()).or(self.supplement.clone()).unwrap_or_default();
        let mut context = note;
        if let Some(more) = self.supplement {
            context.push(' ');
            context.push_str(&more);
        }
        Found {
            recipient,
            failed_at,
            action: self.action,
            status,
            diagnostic,
            context,
            host: self.host.unwrap_or_default(),
            ..Found::default()
        }
    }
}

fn field(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once(':')?;
    let name = name.trim_end();
    let is_name = !name.is_empty() && name.len() <= 40 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    is_name.then_some((name, value))
}

/// Without the marks of a reply or a forwarded mail.
fn unquoted(line: &str) -> &str {
    match line.strip_prefix('>') {
        Some(rest) => rest.strip_prefix(' ').unwrap_or(rest),
        None => line,
    }
}

fn add(value: &mut String, line: &str) {
    let line = line.trim();
    if value.len() + line.len() < VALUE_MAX {
        if !value.is_empty() {
            value.push(' ');
        }
        value.push_str(line);
    }
}

/// `rfc822; a@b` → `a@b`.
fn recipient(value: &str) -> String {
    let value = value.trim();
    let (kind, rest) = match value.split_once(';') {
        Some((kind, rest)) if !kind.contains('@') => (kind.trim(), rest.trim()),
        _ => ("rfc822", value),
    };
    if kind.eq_ignore_ascii_case("utf-8") {
        return utf8_address(rest);
    }
    match address::first(rest) {
        Some(found) => found.to_owned(),
        // Some MTAs report a local mailbox without its domain; a pipe or a path is none.
        None => String::new(),
    }
}

/// RFC 6533 §3: `\x{HEX}` stands for a character.
fn utf8_address(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("\\x{") {
        out.push_str(&rest[..at]);
        let tail = &rest[at + 3..];
        let Some(end) = tail.find('}') else { break };
        match u32::from_str_radix(&tail[..end], 16).ok().and_then(char::from_u32) {
            Some(c) if !c.is_control() => out.push(c),
            _ => return String::new(),
        }
        rest = &tail[end + 1..];
    }
    out.push_str(rest);
    address::first(&out).unwrap_or_default().to_owned()
}

fn action(value: &str) -> Option<Action> {
    let value = value.trim_start();
    let end = value.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(value.len());
    let word = value[..end].to_ascii_lowercase();
    Some(match word.as_str() {
        "failed" | "failure" | "fail" | "undeliverable" | "error" | "failing" | "rejected" | "expired" => {
            Action::Failed
        }
        "delayed" | "delay" | "deferred" | "warning" => Action::Delayed,
        "delivered" | "deliverable" | "success" | "succeeded" => Action::Delivered,
        "relayed" => Action::Relayed,
        "expanded" => Action::Expanded,
        _ => return None,
    })
}

/// What stands behind a status code, without brackets.
fn comment(value: &str) -> &str {
    let rest = value.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.' || c.is_whitespace());
    rest.trim().trim_start_matches('(').trim_end_matches(')')
}

/// `smtp; 550 x` → `550 x`.
fn without_type(value: &str) -> &str {
    let value = value.trim();
    match value.split_once(';') {
        Some((kind, rest)) if !kind.contains(' ') && !kind.contains(':') && kind.len() <= 40 => rest.trim(),
        _ => value,
    }
}

/// `dns; mx.example (192.0.2.1)` → `mx.example`.
fn host(value: &str) -> String {
    let host = without_type(value).split([' ', '(', '\t']).find(|w| !w.is_empty()).unwrap_or_default();
    host.trim_matches(['[', ']', '<', '>', ';', ',']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Vec<(String, String, Option<Action>, Option<Enhanced>)> {
        let mut report = Report::default();
        read(text, &mut report);
        report.recipients.into_iter().map(|r| (r.recipient, r.diagnostic, r.action, r.status)).collect()
    }

    #[test]
    fn recipients_are_told_apart_whatever_the_blank_lines() {
        let (failed, e511, e522) = (Some(Action::Failed), Some(Enhanced(5, 1, 1)), Some(Enhanced(5, 2, 2)));
        let expected = [
            ("a@b.example".to_owned(), "550 5.1.1 no such user".to_owned(), failed, e511),
            ("c@d.example".to_owned(), String::new(), failed, e522),
        ];
        let usual = "Reporting-MTA: dns; x\n\nFinal-Recipient: rfc822; a@b.example\nAction: failed\nStatus: 5.1.1\n\
            Diagnostic-Code: smtp; 550 5.1.1\n no such user\n\nFinal-Recipient: RFC822; <c@d.example>\nAction: Failed (x)\nStatus: 5.2.2 (full)\n";
        assert_eq!(rows(usual), expected);
        assert_eq!(rows(&usual.replace("\n\n", "\n")), expected, "no blank lines");
        assert_eq!(rows(&usual.replace('\n', "\n\n").replace("\n\n no", "\n no")), expected, "too many");
        let quoted: String = usual.lines().map(|l| format!("> {l}\n")).collect();
        assert_eq!(rows(&quoted), expected, "quoted");
        assert!(is_in(&quoted) && !is_in("Status: 5.1.1\nAction: failed\n"));
        let action_first = "Action: failed\nFinal-Recipient: rfc822;a@b.example\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 5.1.1 no such user\n\n\
            Action: failed\nFinal-Recipient: rfc822;c@d.example\nStatus: 5.2.2\n";
        assert_eq!(rows(action_first), expected, "action first");
    }

    #[test]
    fn the_address_that_we_wrote_to_goes_first() {
        let mut report = Report::default();
        read(
            "Original-Envelope-Id: QQ314159\n\nFinal-Recipient: rfc822; final@x.example\nOriginal-Recipient: rfc822;first@y.example\nAction: failed\n\n\
             Final-Recipient: utf-8; \\x{65e5}\\x{672c}@x.example\nAction: delayed\n",
            &mut report,
        );
        assert_eq!(report.envid, "QQ314159");
        assert_eq!(report.recipients[0].recipient, "first@y.example");
        assert_eq!(report.recipients[0].failed_at, "final@x.example");
        assert_eq!(report.recipients[1].recipient, "日本@x.example");
    }

    #[test]
    fn a_path_is_no_address_and_rows_are_bounded() {
        assert_eq!(rows("Final-Recipient: rfc822;/mail/spool/x\nAction: failed\n")[0].0, "");
        assert_eq!(rows(&"Final-Recipient: rfc822;a@b\n".repeat(5_000)).len(), ROWS_MAX);
    }
}
