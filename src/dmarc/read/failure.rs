//! Failure reports: mail about one message that failed.
//!
//! In: a mail, taken apart.  Out: a [`Failure`].
//! Always: all texts are single lines and bounded; of the message that is returned only its header is read, and nothing of its
//! body is kept; a complaint (another feedback type) is no failure report.
//! Sources: RFC 9991 §4, RFC 6591 §3, RFC 5965 §3, the texts of Exim-based gateways that send no machine's part.

use super::values;
use crate::{
    dmarc::report::{Failure, Fault, NoReport, VALUES_MAX},
    mail::parts::{Part, Parts},
};

/// Octets of a report's part that are read; real ones have two kilobytes.
const REPORT_OCTETS_MAX: usize = 256 << 10;
/// Octets of the returned message in which its header is looked for.
const RETURNED_OCTETS_MAX: usize = 256 << 10;
/// How a text-only report begins.
const TEXT_ONLY: &str = "A message claiming to be from you has failed";
/// Where the returned header begins in it.
const TEXT_ONLY_RETURNED: &str = "detected.";

/// The failure report that a mail is; `None`: it is none, nor a complaint.
pub(super) fn of_mail(mail: &Parts<'_>) -> Option<Result<Failure, NoReport>> {
    if let Some(at) = mail.attachments.iter().position(|part| part.content_type == "message/feedback-report") {
        let (report, behind) = (&mail.attachments[at], &mail.attachments[at + 1..]);
        let texts = mail.texts.iter().filter(|part| is_returned(part));
        let returned = behind.iter().filter(|part| is_returned(part)).chain(texts).next();
        return Some(of_report(mail, report, returned));
    }
    let text = mail.texts.first()?;
    let text = text.text();
    text.get(..text.floor_char_boundary(REPORT_OCTETS_MAX))
        .filter(|text| text.contains(TEXT_ONLY))
        .map(|text| of_text(mail, text))
}

fn is_returned(part: &Part<'_>) -> bool {
    matches!(
        part.content_type.as_str(),
        "message/rfc822" | "message/global" | "text/rfc822-headers" | "text/rfc822-header" | "text/rfc822"
    ) || part.content_type.ends_with("-headers")
}

fn of_report(mail: &Parts<'_>, report: &Part<'_>, returned: Option<&Part<'_>>) -> Result<Failure, NoReport> {
    let octets = report.bytes();
    let octets = octets[..octets.len().min(REPORT_OCTETS_MAX)].trim_ascii_start();
    let fields = Parts::of(octets);
    let mut failure = Failure { incidents: 1, ..Failure::default() };
    for (name, value) in &fields.fields {
        failure.field(&name.to_ascii_lowercase(), value);
    }
    let kind = failure.feedback_type.split([';', ' ']).next().unwrap_or_default().to_ascii_lowercase();
    let is_failure = matches!(kind.as_str(), "auth-failure" | "dmarc" | "dkim") || !failure.auth_failure.is_empty();
    if !is_failure {
        return Err(match kind.is_empty() {
            true => Fault::Missing("Feedback-Type").into(),
            false => Fault::Broken(format!("it is a report about {:?}, not about authentication", line(&kind))).into(),
        });
    }
    if kind.is_empty() {
        failure.feedback_type = "auth-failure".to_owned();
    }
    let returned = returned.map(Part::bytes);
    failure.finish(mail, returned.as_deref().unwrap_or_default())
}

/// A report for people, of fields in lines: `Sender Domain: example.com`.
fn of_text(mail: &Parts<'_>, text: &str) -> Result<Failure, NoReport> {
    let (said, returned) = text.split_once(TEXT_ONLY_RETURNED).unwrap_or((text, ""));
    let mut failure = Failure { incidents: 1, is_text_only: true, ..Failure::default() };
    failure.feedback_type = "auth-failure".to_owned();
    failure.auth_failure.push("dmarc".to_owned());
    for (name, value) in said.lines().filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        match name.trim().to_ascii_lowercase().as_str() {
            "sender domain" => failure.reported_domain = values::domain(value).0,
            "sender ip address" => failure.source_ip = values::ip(value),
            "received date" => failure.arrival_date = line(value),
            "spf alignment" if value.eq_ignore_ascii_case("yes") => failure.identity_alignment.push("spf".into()),
            "dkim alignment" if value.eq_ignore_ascii_case("yes") => failure.identity_alignment.push("dkim".into()),
            "dmarc results" => failure.authentication_results = line(value),
            _ => {}
        }
    }
    if failure.source_ip.is_none() && failure.reported_domain.is_empty() {
        return Err(Fault::Missing("Sender Domain").into());
    }
    failure.finish(mail, returned.trim_start().as_bytes())
}

impl Failure {
    /// A field of the report; its name is in lower case.
    fn field(&mut self, name: &str, value: &str) {
        let first = |known: &mut String, value: String| {
            if known.is_empty() {
                *known = value;
            }
        };
        match name {
            "feedback-type" => first(&mut self.feedback_type, line(value)),
            "user-agent" => first(&mut self.user_agent, line(value)),
            "auth-failure" => words(&mut self.auth_failure, value),
            "identity-alignment" => words(&mut self.identity_alignment, value),
            "reported-domain" => first(&mut self.reported_domain, values::domain(value).0),
            "source-ip" => {
                let address = value.split_whitespace().next().unwrap_or_default();
                self.source_ip = self.source_ip.or_else(|| values::ip(address));
            }
            "arrival-date" | "received-date" => first(&mut self.arrival_date, line(value)),
            "incidents" => self.incidents = values::count(value).unwrap_or(1),
            "delivery-result" => first(&mut self.delivery_result, delivery(value).to_owned()),
            "authentication-results" => first(&mut self.authentication_results, line(value)),
            "original-mail-from" => first(&mut self.mail_from, path(value)),
            "original-rcpt-to" if self.rcpt_to.len() < VALUES_MAX => self.rcpt_to.push(path(value)),
            "original-envelope-id" => first(&mut self.envelope_id, line(value)),
            "dkim-domain" => first(&mut self.dkim_domain, values::domain(value).0),
            "dkim-selector" => first(&mut self.dkim_selector, line(value)),
            "dkim-identity" => first(&mut self.dkim_identity, line(value)),
            "spf-dns" => first(&mut self.spf_dns, line(value)),
            _ => {}
        }
    }

    /// Adds what the returned message and the mail itself say.
    fn finish(mut self, mail: &Parts<'_>, returned: &[u8]) -> Result<Failure, NoReport> {
        let returned = Parts::of(&returned[..returned.len().min(RETURNED_OCTETS_MAX)]);
        self.message_from = line(returned.field("From"));
        self.message_to = line(returned.field("To"));
        self.message_subject = line(returned.field("Subject"));
        self.message_id = line(returned.field("Message-ID"));
        self.message_date = line(returned.field("Date"));
        self.reporter = values::domain_of(mail.field("From"));
        if self.reported_domain.is_empty() {
            self.reported_domain = values::domain_of(&self.message_from);
        }
        if self.arrival_date.is_empty() {
            self.arrival_date = line(mail.field("Date"));
        }
        self.arrived_seconds = values::mail_date(&self.arrival_date);
        if self.reported_domain.is_empty() {
            return Err(Fault::Missing("Reported-Domain, and the returned message no From").into());
        }
        Ok(self)
    }
}

fn line(text: &str) -> String {
    values::line(text).0
}

/// An address without its brackets.
fn path(value: &str) -> String {
    let value = value.trim();
    line(value.strip_prefix('<').and_then(|inside| inside.strip_suffix('>')).unwrap_or(value))
}

/// Words between commas; `none` is none.
fn words(known: &mut Vec<String>, value: &str) {
    for word in value.split(',').map(|word| line(word).to_ascii_lowercase()) {
        if known.len() < VALUES_MAX && !word.is_empty() && word != "none" && !known.contains(&word) {
            known.push(word);
        }
    }
}

/// The words of RFC 6591 §3.2.2, also where more is said than one of them.
fn delivery(value: &str) -> &'static str {
    let value = value.to_ascii_lowercase();
    ["delivered", "spam", "policy", "reject"].into_iter().find(|word| value.contains(word)).unwrap_or("other")
}
