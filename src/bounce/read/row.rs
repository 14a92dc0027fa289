//! Makes a row out of what a report says of one recipient.
//!
//! In: a [`Found`].  Out: a [`Row`], judged.
//! Always: a failure has a status, if only the class; where the report's own Status says nothing (5.0.0), a code of the
//! diagnostic that says more is taken; every text is one line and bounded.
//! Sources: RFC 3464 §2.3; RFC 3463 §2.

use super::{
    super::classify::{Said, judge},
    Action, Row, address,
    codes::{self, Codes},
    head::one_line,
    rules::{self, Phrase},
};
use crate::{event::Phase, smtp::reply::Enhanced};

/// Octets of a diagnostic that are kept.
const DIAGNOSTIC_MAX: usize = 1_024;
/// Octets of a host's name that are kept.
const HOST_MAX: usize = 255;

/// What a report says of one recipient, as it was found.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    /// See [`Row::recipient`].
    pub(super) recipient: String,
    /// See [`Row::failed_at`].
    pub(super) failed_at: String,
    /// What happened; `None`: not said.
    pub(super) action: Option<Action>,
    /// The report's own status code.
    pub(super) status: Option<Enhanced>,
    /// What the remote said.
    pub(super) diagnostic: String,
    /// What else is said of it: read where the diagnostic says nothing that anybody knows.
    pub(super) context: String,
    /// The host that said it.
    pub(super) host: String,
    /// Where the session stopped, if other words than these say so.
    pub(super) phase: Option<Phase>,
    /// Where no code says so: the last obstacle was a temporary one.
    pub(super) is_temporary: bool,
}

impl Found {
    /// What happened, from the status where the report does not say.
    pub(super) fn action(&self) -> Action {
        self.action.unwrap_or(match self.status {
            Some(Enhanced(2, ..)) => Action::Delivered,
            _ => Action::Failed,
        })
    }

    /// The words say enough to judge by.
    pub(super) fn is_telling(&self) -> bool {
        !self.diagnostic.is_empty()
            && (self.status.is_some_and(|s| (s.1, s.2) != (0, 0)) || Codes::of(&self.diagnostic) != Codes::default())
    }
}

/// The row of it.
pub(super) fn make(found: Found) -> Row {
    let action = found.action();
    let diagnostic = one_line(&found.diagnostic, DIAGNOSTIC_MAX);
    let context = one_line(&found.context, DIAGNOSTIC_MAX);
    let mut codes = Codes::of(&diagnostic);
    if codes == Codes::default() {
        codes = Codes::of(&context);
    }
    let (reply_code, enhanced) = codes.best(found.status);
    let host = if found.host.is_empty() {
        codes::host(&diagnostic).or_else(|| codes::host(&context)).unwrap_or_default()
    } else {
        &found.host
    };
    let mut row = Row {
        host: one_line(host, HOST_MAX),
        reply_code,
        failed_at: if address::same(&found.failed_at, &found.recipient) {
            String::new()
        } else {
            bounded(&found.failed_at)
        },
        recipient: bounded(&found.recipient),
        action,
        ..Row::default()
    };
    row.status = match (action, enhanced, reply_code) {
        (_, Some(code), _) => code.to_string(),
        (Action::Failed | Action::Delayed, None, Some(reply)) => format!("{}.0.0", reply / 100),
        (Action::Failed, None, None) if !found.is_temporary => "5.0.0".to_owned(),
        (Action::Failed | Action::Delayed, None, None) => "4.0.0".to_owned(),
        _ => String::new(),
    };
    if matches!(action, Action::Failed | Action::Delayed) {
        let said = |text| Said {
            phase: phase(&diagnostic).or_else(|| phase(&context)).or(found.phase),
            code: reply_code,
            enhanced,
            text,
        };
        let mut judged = judge(&said(&diagnostic));
        if !judged.known && !context.is_empty() {
            let wider = judge(&said(&context));
            if wider.known {
                judged = wider;
            }
        }
        // 4yz with "no such user" is not final in a session. In a report that gives up, the last word was still "no such user".
        let is_unknown = judged.reason == "userunknown" && enhanced.is_some_and(|e| (e.1, e.2) == (1, 1));
        // What is late may still arrive.
        judged.hard = action == Action::Failed && (judged.hard || is_unknown);
        row.judged = Some(judged);
    }
    row.diagnostic = if diagnostic.is_empty() { context } else { diagnostic };
    row
}

/// The address, if it can be one: no address is longer or holds a control character, which would break a line of the log.
fn bounded(address: &str) -> String {
    let can_be_one = address.len() <= address::ADDRESS_MAX && !address.chars().any(char::is_control);
    if can_be_one { address.to_owned() } else { String::new() }
}

/// Where the session stopped, if the words say so.
pub(super) fn phase(text: &str) -> Option<Phase> {
    let place = rules::place(text);
    [(Phrase::AtRcpt, Phase::Rcpt), (Phrase::AtContent, Phase::Content), (Phrase::AtMail, Phase::Mail)]
        .into_iter()
        .find_map(|(phrase, phase)| place.has(phrase).then_some(phase))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_an_address_is_none() {
        for (text, expected) in [("a@b.example", "a@b.example"), ("a@ex\u{1}\0ample.org", ""), ("a\r\nb@c.example", "")]
        {
            assert_eq!(bounded(text), expected);
        }
        assert_eq!(bounded(&format!("{}@b.example", "a".repeat(400))), "");
    }

    #[test]
    fn a_row_takes_the_code_that_says_most() {
        for (status, diagnostic, temporary, expected, code) in [
            ("5.0.0", "550 5.1.1 no such user", false, "5.1.1", Some(550)),
            ("5.2.2", "552 quota, see 5.7.1", false, "5.2.2", Some(552)),
            ("", "550 unknown user", false, "5.0.0", Some(550)),
            ("", "451 wait", false, "4.0.0", Some(451)),
            ("", "mailbox is full: retry timeout exceeded", true, "4.0.0", None),
            ("", "no such domain", false, "5.0.0", None),
        ] {
            let row = make(Found {
                status: codes::status(status),
                diagnostic: diagnostic.into(),
                is_temporary: temporary,
                ..Found::default()
            });
            assert_eq!((row.status.as_str(), row.reply_code), (expected, code), "{status} {diagnostic}");
            assert!(row.judged.is_some());
        }
    }

    #[test]
    fn what_did_not_fail_is_not_judged_and_what_is_late_is_not_hard() {
        let row = make(Found { status: codes::status("2.1.5"), ..Found::default() });
        assert_eq!((row.action, row.judged), (Action::Delivered, None));
        let late = Found { action: Some(Action::Delayed), diagnostic: "550 5.1.1 x".into(), ..Found::default() };
        assert!(make(late).judged.is_some_and(|j| !j.hard));
    }
}
