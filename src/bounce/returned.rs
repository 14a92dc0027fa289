//! Turns what a mail says of a recipient into its entry of the error log.
//!
//! In: what kind of mail it is, the recipient, the row about it.  Out: a [`Returned`], or nothing: only failures and complaints are
//! errors.
//! Always: a failure at another address than the one that we wrote to is CMC's class 6, and is never hard: it says nothing of
//! ours; texts are bounded and of one line.
//! Sources: cmc.md §5.1; RFC 3464 §2.3.1 to §2.3.6; RFC 5965.

use super::{
    find::Found,
    read::{Action, Kind, Row},
};
use crate::{
    clock::Timestamp,
    config::inbound::{alike, same_address},
    event::{AttemptDetail, ErrorClass, EventKind, Trouble},
    ids::MessageId,
    smtp::address::Mailbox,
    store::Returned,
};

/// Octets of a reply that are kept: a long SMTP reply.
const REPLY_OCTETS_MAX: usize = 1_000;
/// Octets of a host's name that are kept.
const HOST_OCTETS_MAX: usize = 255;

/// The entry, where there is one.
pub fn entry(kind: Kind, found: &Found, at: Timestamp) -> Option<Returned> {
    let failed = found.row.as_ref().is_none_or(|row| row.action == Action::Failed);
    let (kind, detail) = match kind {
        Kind::Bounce if failed => (EventKind::Bounced, bounced(found)),
        Kind::Complaint => (EventKind::Complained, complained(found)),
        Kind::Bounce | Kind::Delay | Kind::Delivered | Kind::AutoReply | Kind::Other => return None,
    };
    Some(Returned { key: found.recipient.key, kind, at, detail: Box::new(detail) })
}

/// What the log says of a recipient and of how it was found.
pub fn line(inbound: MessageId, found: &Found) -> String {
    format!(
        "inbound={inbound} message={} recipient={} address=<{}> by={}",
        found.message.id,
        found.recipient.key.index,
        found.recipient.address,
        found.by.word()
    )
}

fn bounced(found: &Found) -> AttemptDetail {
    let plain = AttemptDetail {
        destination: found.recipient.lane.destination().to_owned(),
        error: Some(ErrorClass::Other),
        trouble: Some(Trouble::Destination),
        ..AttemptDetail::default()
    };
    let Some(row) = &found.row else {
        return AttemptDetail { reply: "a bounce without details came back".to_owned(), ..plain };
    };
    let mut detail = AttemptDetail { host: one_line(&row.host, HOST_OCTETS_MAX), reply: reply_of(row), ..plain };
    if let Some(judged) = row.judged {
        detail.error = Some(judged.class);
        detail.hard = judged.hard;
        detail.trouble = Some(judged.trouble);
    }
    if is_elsewhere(row, &found.recipient.address) {
        detail.error = Some(ErrorClass::ForwardingError);
        detail.hard = false;
        detail.trouble = Some(Trouble::Destination);
    }
    detail
}

fn complained(found: &Found) -> AttemptDetail {
    let said = found.row.as_ref().map(reply_of).filter(|reply| !reply.is_empty());
    AttemptDetail {
        destination: found.recipient.lane.destination().to_owned(),
        host: found.row.as_ref().map_or_else(String::new, |row| one_line(&row.host, HOST_OCTETS_MAX)),
        reply: said.map_or_else(|| "complaint".to_owned(), |said| format!("complaint: {said}")),
        error: Some(ErrorClass::Unsubscribed),
        trouble: Some(Trouble::Recipient),
        ..AttemptDetail::default()
    }
}

/// It failed at another address than ours: one that ours leads to. A mailbox host's name for the same mailbox
/// (`taro@mx1.example.jp` for `taro@example.jp`) is no other address.
fn is_elsewhere(row: &Row, ours: &Mailbox) -> bool {
    [&row.recipient, &row.failed_at].into_iter().filter(|text| !text.is_empty()).any(|text| {
        let Ok(theirs) = Mailbox::parse(text) else { return false };
        let is_the_same = same_address(text, ours);
        let is_the_same_mailbox = alike(theirs.local(), ours.local()) && are_related(theirs.domain(), ours.domain());
        !is_the_same && !is_the_same_mailbox
    })
}

/// One domain is the other, or stands above it.
fn are_related(a: &str, b: &str) -> bool {
    let (a, b) = (a.to_lowercase(), b.to_lowercase());
    let above = |low: &str, high: &str| low.strip_suffix(high).is_some_and(|rest| rest.ends_with('.'));
    a == b || above(&a, &b) || above(&b, &a)
}

/// What the remote said, as the log shows replies: code, enhanced code, text.
fn reply_of(row: &Row) -> String {
    let mut parts: Vec<String> = Vec::new();
    let text = row.diagnostic.trim();
    if let Some(code) = row.reply_code.filter(|code| !text.starts_with(&code.to_string())) {
        parts.push(code.to_string());
    }
    if !row.status.is_empty() && !text.contains(row.status.as_str()) {
        parts.push(row.status.clone());
    }
    parts.push(text.to_owned());
    one_line(parts.join(" ").trim(), REPLY_OCTETS_MAX)
}

/// One line without control characters, bounded.
fn one_line(text: &str, octets_max: usize) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    clean[..clean.floor_char_boundary(octets_max)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounce::{classify::Judged, find::By, find::tests::sent_message};

    fn found(row: Option<Row>) -> Found {
        let (message, mut recipients) = sent_message(1, "shop@own.example", &["taro@example.jp"]);
        Found { message, recipient: recipients.remove(0), row, by: By::Token }
    }

    fn row(recipient: &str, failed_at: &str) -> Row {
        Row {
            recipient: recipient.into(),
            failed_at: failed_at.into(),
            status: "5.1.1".into(),
            reply_code: Some(550),
            diagnostic: "550 5.1.1 no such user\r\nat all".into(),
            host: "mx.example.jp".into(),
            judged: Some(Judged {
                class: ErrorClass::UnknownUser,
                hard: true,
                trouble: Trouble::Recipient,
                reason: "userunknown",
                known: true,
            }),
            ..Row::default()
        }
    }

    #[test]
    fn only_failures_and_complaints_are_errors() {
        let at = Timestamp::from_millis(1);
        for (kind, action, expected) in [
            (Kind::Bounce, Action::Failed, Some(EventKind::Bounced)),
            (Kind::Bounce, Action::Delayed, None),
            (Kind::Bounce, Action::Delivered, None),
            (Kind::Delay, Action::Delayed, None),
            (Kind::Delay, Action::Failed, None),
            (Kind::Delivered, Action::Relayed, None),
            (Kind::AutoReply, Action::Replied, None),
            (Kind::Other, Action::Failed, None),
            (Kind::Complaint, Action::Feedback, Some(EventKind::Complained)),
        ] {
            let found = found(Some(Row { action, ..row("taro@example.jp", "") }));
            assert_eq!(entry(kind, &found, at).map(|e| e.kind), expected, "{kind:?} {action:?}");
        }
        let bare = entry(Kind::Bounce, &found(None), at).expect("an entry").detail;
        assert_eq!((bare.error, bare.hard), (Some(ErrorClass::Other), false));
        let complaint = entry(Kind::Complaint, &found(None), at).expect("an entry").detail;
        assert_eq!((complaint.error, complaint.trouble), (Some(ErrorClass::Unsubscribed), Some(Trouble::Recipient)));
    }

    #[test]
    fn a_failure_elsewhere_is_not_our_recipients() {
        for (recipient, failed_at, class, hard) in [
            ("taro@example.jp", "", ErrorClass::UnknownUser, true),
            ("TARO@Example.JP", "taro@mx1.example.jp", ErrorClass::UnknownUser, true),
            ("", "", ErrorClass::UnknownUser, true),
            ("taro@example.jp", "taro@elsewhere.example", ErrorClass::ForwardingError, false),
            ("taro@example.jp", "hanako@example.jp", ErrorClass::ForwardingError, false),
            ("taro@notexample.jp", "", ErrorClass::ForwardingError, false),
            ("taro@example.jp", "no address", ErrorClass::UnknownUser, true),
        ] {
            let detail =
                entry(Kind::Bounce, &found(Some(row(recipient, failed_at))), Timestamp::ZERO).expect("an entry").detail;
            assert_eq!((detail.error, detail.hard), (Some(class), hard), "{recipient} {failed_at}");
        }
    }

    #[test]
    fn replies_are_of_one_line_and_bounded() {
        let detail = entry(Kind::Bounce, &found(Some(row("", ""))), Timestamp::ZERO).expect("an entry").detail;
        assert_eq!((detail.reply.as_str(), detail.host.as_str()), ("550 5.1.1 no such user  at all", "mx.example.jp"));
        let bare =
            Row { diagnostic: "mailbox full".into(), status: "5.2.2".into(), reply_code: Some(552), ..row("", "") };
        let detail = entry(Kind::Bounce, &found(Some(bare)), Timestamp::ZERO).expect("an entry").detail;
        assert_eq!(detail.reply, "552 5.2.2 mailbox full");
        let long = Row { diagnostic: "飛".repeat(5_000), ..row("", "") };
        let detail = entry(Kind::Bounce, &found(Some(long)), Timestamp::ZERO).expect("an entry").detail;
        assert!(detail.reply.len() <= REPLY_OCTETS_MAX && detail.reply.len() > 900);
    }
}
