//! What an answer is about, as far as the sender can do something about it.
//!
//! In: an answer of the log.  Out: its [`Topic`].
//! Always: decided by what `bounce/classify` knows, so that the diagnosis and the log never disagree; only "authentication" is told
//! apart further, by the words SPF, DKIM and DMARC.
//! Sources: `bounce/classify`'s rules and reasons; RFC 7372 and IANA's registry for 5.7.20–5.7.27.

use serde::Serialize;

use crate::{
    bounce::classify::{DecidedBy, Said, judge_and_tell},
    event::{ErrorClass, Phase},
    smtp::reply::Enhanced,
};

/// What an answer is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// DKIM did not pass.
    Dkim,
    /// SPF did not pass.
    Spf,
    /// DMARC did not pass.
    Dmarc,
    /// Authentication, without saying which.
    Authentication,
    /// Our address has no name, or it does not lead back.
    ReverseDns,
    /// The sender's domain does not exist or takes no mail.
    SenderDomain,
    /// The sender's address is not wanted.
    Sender,
    /// A blocklist holds our address or domain.
    Blocklist,
    /// Our address or domain has a bad name there.
    Reputation,
    /// Too fast, too many at once.
    Speed,
    /// Spam, or a link in it.
    Content,
    /// A virus or a forbidden attachment.
    Attachment,
    /// The form of the mail.
    Form,
    /// Too large.
    Size,
    /// The mailbox is full.
    MailboxFull,
    /// No such user.
    UnknownUser,
    /// No such domain, or it takes no mail.
    UnknownHost,
    /// The recipient's own filter.
    Filtered,
    /// Come again later.
    Greylisting,
    /// The host does not answer, or is in trouble.
    Network,
    /// TLS.
    Tls,
    /// The destination's set-up: relaying, logins.
    Setup,
    /// The destination's rules.
    Policy,
    /// It is on our own lists: not tried at all.
    OwnList,
    /// The recipient complained.
    Complaint,
    /// Nothing knows.
    Unknown,
}

impl Topic {
    /// The word in rows.
    pub fn word(self) -> &'static str {
        match self {
            Topic::Dkim => "dkim",
            Topic::Spf => "spf",
            Topic::Dmarc => "dmarc",
            Topic::Authentication => "authentication",
            Topic::ReverseDns => "reverse_dns",
            Topic::SenderDomain => "sender_domain",
            Topic::Sender => "sender",
            Topic::Blocklist => "blocklist",
            Topic::Reputation => "reputation",
            Topic::Speed => "speed",
            Topic::Content => "content",
            Topic::Attachment => "attachment",
            Topic::Form => "form",
            Topic::Size => "size",
            Topic::MailboxFull => "mailbox_full",
            Topic::UnknownUser => "unknown_user",
            Topic::UnknownHost => "unknown_host",
            Topic::Filtered => "filtered",
            Topic::Greylisting => "greylisting",
            Topic::Network => "network",
            Topic::Tls => "tls",
            Topic::Setup => "setup",
            Topic::Policy => "policy",
            Topic::OwnList => "own_list",
            Topic::Complaint => "complaint",
            Topic::Unknown => "unknown",
        }
    }
}

/// What an answer is about. `class` is the log's.
pub fn of(phase: Option<Phase>, reply: &str, class: Option<ErrorClass>) -> Topic {
    match class {
        Some(ErrorClass::Blocked | ErrorClass::Unsubscribed) => return Topic::OwnList,
        Some(ErrorClass::UnknownHost) if phase == Some(Phase::Route) => return Topic::UnknownHost,
        Some(ErrorClass::ResendTimeout) if matches!(phase, Some(Phase::Route | Phase::Connect)) => {
            return Topic::Network;
        }
        _ => {}
    }
    // A recipient whose life is over carries the last answer, which says why.
    let reply = reply.split_once("; last answer: ").map_or(reply, |(_, last)| last);
    let (judged, by) = judge_and_tell(&Said { phase, code: None, enhanced: None, text: reply });
    let by_rule = match by {
        DecidedBy::Rule(rule) => of_rule(rule),
        DecidedBy::Enhanced(enhanced) => of_enhanced(enhanced),
        DecidedBy::Code | DecidedBy::Nothing => None,
    };
    let topic = by_rule.unwrap_or_else(|| of_reason(judged.reason, judged.class));
    match topic {
        Topic::Authentication => which(reply),
        // One rule is hit first where an answer names both.
        Topic::Spf | Topic::Dkim if which(reply) == Topic::Authentication && names_both(reply) => Topic::Authentication,
        topic => topic,
    }
}

fn of_rule(rule: &str) -> Option<Topic> {
    Some(match rule {
        "auth-dmarc" => Topic::Dmarc,
        "auth-spf" => Topic::Spf,
        "auth-dkim" => Topic::Dkim,
        "auth-any" => Topic::Authentication,
        "auth-ptr" => Topic::ReverseDns,
        "sender-domain" => Topic::SenderDomain,
        "block-list" => Topic::Blocklist,
        "content-attachment" | "content-virus" => Topic::Attachment,
        _ if rule.starts_with("form-") => Topic::Form,
        _ => return None,
    })
}

fn of_enhanced(enhanced: Enhanced) -> Option<Topic> {
    Some(match (enhanced.1, enhanced.2) {
        (7, 20..=22) => Topic::Dkim,
        (7, 23 | 24) => Topic::Spf,
        (7, 25) => Topic::ReverseDns,
        (7, 26) => Topic::Authentication,
        (7, 27) | (1, 8) => Topic::SenderDomain,
        (7, 28) => Topic::Speed,
        _ => return None,
    })
}

fn of_reason(reason: &str, class: ErrorClass) -> Topic {
    match reason {
        "authfailure" => Topic::Authentication,
        "requireptr" => Topic::ReverseDns,
        "badreputation" | "blocked" => Topic::Reputation,
        "speeding" | "toomanyconn" => Topic::Speed,
        "spamdetected" | "contenterror" => Topic::Content,
        "virusdetected" => Topic::Attachment,
        "notcompliantrfc" | "syntaxerror" => Topic::Form,
        "mesgtoobig" | "exceedlimit" => Topic::Size,
        "mailboxfull" => Topic::MailboxFull,
        "userunknown" | "hasmoved" | "suspend" => Topic::UnknownUser,
        "filtered" if class == ErrorClass::UnknownUser => Topic::UnknownUser,
        "filtered" | "suppressed" => Topic::Filtered,
        "hostunknown" | "notaccept" => Topic::UnknownHost,
        "onhold" if class == ErrorClass::ResendTimeout => Topic::Greylisting,
        "networkerror" | "expired" | "systemerror" | "systemfull" | "mailererror" => Topic::Network,
        "failedstarttls" => Topic::Tls,
        "norelaying" => Topic::Setup,
        "securityerror" if class == ErrorClass::ReceivingServerError => Topic::Setup,
        "policyviolation" | "securityerror" => Topic::Policy,
        "rejected" => Topic::Sender,
        _ => Topic::Unknown,
    }
}

fn names_both(reply: &str) -> bool {
    let reply = reply.to_ascii_lowercase();
    reply.contains("spf") && reply.contains("dkim")
}

/// Which of the three an answer names; several or none: authentication as a whole.
fn which(reply: &str) -> Topic {
    let reply = reply.to_ascii_lowercase();
    match (reply.contains("spf"), reply.contains("dkim"), reply.contains("dmarc")) {
        (_, _, true) => Topic::Dmarc,
        (true, false, false) => Topic::Spf,
        (false, true, false) => Topic::Dkim,
        (true, true, false) | (false, false, false) => Topic::Authentication,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_about_what_they_say() {
        for (phase, reply, want) in [
            (Phase::Content, "550 5.7.20 DKIM signature did not verify", Topic::Dkim),
            (
                Phase::Content,
                "550-5.7.26 This mail has been blocked because the sender is unauthenticated. Gmail requires all senders to authenticate with either SPF or DKIM. Authentication results: DKIM = did not pass SPF [example.jp] with ip: [192.0.2.1] = did not pass",
                Topic::Authentication,
            ),
            (
                Phase::Content,
                "550 5.7.1 Unauthenticated email from example.jp is not accepted due to domain's DMARC policy.",
                Topic::Dmarc,
            ),
            (Phase::Mail, "550 5.7.23 SPF validation failed", Topic::Spf),
            (
                Phase::Content,
                "550 5.7.25 The IP address sending this message does not have a PTR record setup",
                Topic::ReverseDns,
            ),
            (Phase::Mail, "553 5.1.8 Sender address rejected: Domain not found", Topic::SenderDomain),
            (
                Phase::Rcpt,
                "550 5.7.1 Service unavailable, Client host [192.0.2.1] blocked using Spamhaus",
                Topic::Blocklist,
            ),
            (
                Phase::Content,
                "421 4.7.28 [192.0.2.1] Our system has detected an unusual rate of unsolicited mail originating from your IP address.",
                Topic::Speed,
            ),
            (Phase::Connect, "4.4.1 connect to mx.example.org[192.0.2.1]:25: Connection refused", Topic::Network),
            (Phase::Rcpt, "452 4.2.2 The email account that you tried to reach is over quota", Topic::MailboxFull),
            (Phase::Rcpt, "550 5.1.1 <a@example.jp>: User unknown", Topic::UnknownUser),
            (Phase::Content, "554 5.7.1 Message rejected as spam", Topic::Content),
            (Phase::Mail, "552 5.3.4 message too large", Topic::Size),
            (Phase::Rcpt, "4.4.7 not delivered within 4 days; last answer: 452 4.2.2 mailbox full", Topic::MailboxFull),
            (Phase::Rcpt, "451 4.7.1 Greylisted, please try again later", Topic::Greylisting),
        ] {
            assert_eq!(of(Some(phase), reply, None), want, "{reply}");
        }
        assert_eq!(of(Some(Phase::Queue), "since yesterday", Some(ErrorClass::Blocked)), Topic::OwnList);
    }
}
