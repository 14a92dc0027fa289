//! Reads complaints: the Abuse Reporting Format, and what some mailbox providers send instead.
//!
//! In: the text of message/feedback-report, the returned header, the mail's own header.  Out: rows with [`Action::Feedback`].
//! Always: `not-spam` is no complaint; a report of an authentication failure names a recipient who did not complain, so it is
//! judged as our trouble, not the recipient's, and its kind is [`Kind::Other`].
//! Sources: RFC 5965 §3, RFC 6591 (auth-failure), RFC 6650.

use super::{
    Action, Judged, Kind, Row, address,
    dsn::ROWS_MAX,
    head::{Head, one_line},
};
use crate::event::{ErrorClass, Trouble};

/// What a feedback report says.
#[derive(Debug, Default)]
pub(super) struct Feedback {
    kind: String,
    recipients: Vec<String>,
    /// Original-Envelope-Id.
    pub(super) envid: String,
    /// Original-Mail-From.
    pub(super) senders: Vec<String>,
}

impl Feedback {
    /// Reads the fields of a report.
    pub(super) fn of(text: &str) -> Feedback {
        let mut feedback = Feedback::default();
        for line in text.lines() {
            let Some((name, value)) = line.split_once(':') else { continue };
            let value = value.trim();
            match name.trim().to_ascii_lowercase().as_str() {
                "feedback-type" if feedback.kind.is_empty() => feedback.kind = value.to_ascii_lowercase(),
                "original-rcpt-to" | "removal-recipient" | "original-recipient" | "redacted-address" => {
                    add(&mut feedback.recipients, value);
                }
                "original-mail-from" => add(&mut feedback.senders, value),
                "original-envelope-id" if feedback.envid.is_empty() && value.len() <= 256 => {
                    feedback.envid = one_line(value, 256);
                }
                _ => {}
            }
        }
        feedback
    }

    /// The recipients, out of the returned header where the report names none.
    pub(super) fn rows(self, returned: &Head) -> (Kind, Vec<Row>) {
        let what = self.kind.split([';', ' ']).next().unwrap_or_default();
        if what == "not-spam" {
            return (Kind::Other, Vec::new());
        }
        let is_ours = matches!(what, "auth-failure" | "dmarc" | "dkim");
        let mut recipients = self.recipients;
        if recipients.is_empty() {
            recipients = named(returned);
        }
        let rows = rows(recipients, if is_ours { AUTHENTICATION } else { COMPLAINT });
        (if is_ours { Kind::Other } else { Kind::Complaint }, rows)
    }
}

/// Complaints that are no report: a mail that a provider sends back to its sender, or a mail program's own unsubscription.
pub(super) fn without_report(head: &Head, returned: Option<&Head>) -> Option<Vec<Row>> {
    if head.is_unsubscribe {
        return Some(rows(address::first(&head.from).map(str::to_owned).into_iter().collect(), COMPLAINT));
    }
    let returned = returned.filter(|r| !r.complained.is_empty())?;
    let said = head.subject.to_ascii_lowercase();
    said.starts_with("complaint about").then(|| rows(named(returned), COMPLAINT))
}

const COMPLAINT: Judged = Judged {
    class: ErrorClass::Unsubscribed,
    hard: false,
    trouble: Trouble::Recipient,
    reason: "feedback",
    known: true,
};

const AUTHENTICATION: Judged = Judged {
    class: ErrorClass::Rejected,
    hard: false,
    trouble: Trouble::Authentication,
    reason: "authfailure",
    known: true,
};

/// Who the returned mail was for.
fn named(returned: &Head) -> Vec<String> {
    [&returned.complained, &returned.delivered_to, &returned.to]
        .into_iter()
        .find(|list| !list.is_empty())
        .cloned()
        .unwrap_or_default()
}

fn rows(recipients: Vec<String>, judged: Judged) -> Vec<Row> {
    let row = |recipient| Row { recipient, action: Action::Feedback, judged: Some(judged), ..Row::default() };
    if recipients.is_empty() {
        return vec![row(String::new())];
    }
    recipients.into_iter().map(row).collect()
}

fn add(list: &mut Vec<String>, value: &str) {
    for found in address::all(value) {
        if list.len() < ROWS_MAX && !list.iter().any(|known| address::same(known, found)) {
            list.push(found.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_name_their_recipients() {
        let report = "Feedback-Type: abuse\nUser-Agent: X/1\nOriginal-Mail-From: <bounce@s.example>\nOriginal-Rcpt-To: <a@b.example>\n\
            Original-Rcpt-To: c@d.example\n";
        let feedback = Feedback::of(report);
        assert_eq!(feedback.senders, ["bounce@s.example"]);
        let (kind, rows) = feedback.rows(&Head::default());
        assert_eq!((kind, rows.len(), rows[1].recipient.as_str()), (Kind::Complaint, 2, "c@d.example"));
        assert_eq!(rows[0].judged.map(|j| j.class.code()), Some(11));

        let returned = Head::of(b"To: x@y.example\nX-HmXmrOriginalRecipient: z@y.example\n");
        let (_, rows) = Feedback::of("Feedback-Type: opt-out\n").rows(&returned);
        assert_eq!(rows[0].recipient, "z@y.example");
    }

    #[test]
    fn what_is_no_complaint_suppresses_nobody() {
        let report = |kind: &str| Feedback::of(&format!("Feedback-Type: {kind}\nOriginal-Rcpt-To: a@b.example\n"));
        assert_eq!(report("not-spam").rows(&Head::default()), (Kind::Other, Vec::new()));
        let (kind, rows) = report("auth-failure").rows(&Head::default());
        assert_eq!(kind, Kind::Other);
        assert_eq!(rows[0].judged.map(|j| j.trouble), Some(Trouble::Authentication));
    }
}
