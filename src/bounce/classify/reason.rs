//! The one table: what each reason means.
//!
//! In: a reason, as a rule, a code or a phase gave it.  Out: its word, CMC's class, hard or soft, and whose trouble it is.
//! Always: hard is only what no later try can change; only what the recipient alone can change is the recipient's trouble.
//! Some reasons share a word, where the log needs one word and the class differs.
//! Sources: cmc.md §5.1, algorithms F6.

use crate::event::{ErrorClass, Trouble};

/// Why mail was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Reason {
    AuthDemanded,
    AuthFailure,
    BadAddress,
    BadReputation,
    Blocked,
    Closing,
    ContentError,
    ExceedLimit,
    Expired,
    FailedStartTls,
    Filtered,
    Greylisted,
    HasMoved,
    HostUnknown,
    Loop,
    MailboxFull,
    MailerError,
    Malformed,
    MaybeUnknown,
    MesgTooBig,
    NetworkError,
    NoRelaying,
    NotAccept,
    NotCompliantRfc,
    OnHold,
    PolicyViolation,
    Rejected,
    RequirePtr,
    SecurityError,
    SpamDetected,
    Speeding,
    Suppressed,
    Suspend,
    SyntaxError,
    SystemError,
    SystemFull,
    TooManyConn,
    Undefined,
    UserUnknown,
    VirusDetected,
}

/// What a reason means.
#[derive(Clone, Copy, Debug)]
pub(super) struct Meaning {
    pub reason: Reason,
    /// Its name in the data files.
    pub key: &'static str,
    /// Its word in logs.
    pub word: &'static str,
    pub class: ErrorClass,
    pub hard: bool,
    pub trouble: Trouble,
}

const HARD: bool = true;
const SOFT: bool = false;

const fn row(
    reason: Reason,
    key: &'static str,
    word: &'static str,
    class: ErrorClass,
    hard: bool,
    trouble: Trouble,
) -> Meaning {
    Meaning { reason, key, word, class, hard, trouble }
}

/// In the order of [`Reason`].
#[rustfmt::skip]
pub(super) const TABLE: [Meaning; 40] = {
    use {ErrorClass as C, Reason as R, Trouble as T};
    [
        // The peer wants a login of a server that brings mail for its own addresses: CMC's example of class 7.
        row(R::AuthDemanded, "authdemanded", "securityerror", C::ReceivingServerError, SOFT, T::Authentication),
        row(R::AuthFailure, "authfailure", "authfailure", C::Rejected, SOFT, T::Authentication),
        // The address itself is none.
        row(R::BadAddress, "badaddress", "userunknown", C::BadAddress, HARD, T::Recipient),
        row(R::BadReputation, "badreputation", "badreputation", C::Rejected, SOFT, T::Reputation),
        row(R::Blocked, "blocked", "blocked", C::Rejected, SOFT, T::Reputation),
        // 421, or silence: nothing is known but that it did not go through.
        row(R::Closing, "closing", "expired", C::ResendTimeout, SOFT, T::Destination),
        row(R::ContentError, "contenterror", "contenterror", C::Rejected, SOFT, T::Content),
        row(R::ExceedLimit, "exceedlimit", "exceedlimit", C::TooLarge, SOFT, T::Content),
        row(R::Expired, "expired", "expired", C::ResendTimeout, SOFT, T::Destination),
        row(R::FailedStartTls, "failedstarttls", "failedstarttls", C::ReceivingServerError, SOFT, T::Authentication),
        // The recipient's own settings refuse us.
        row(R::Filtered, "filtered", "filtered", C::Rejected, SOFT, T::Recipient),
        row(R::Greylisted, "greylisted", "onhold", C::ResendTimeout, SOFT, T::Policy),
        row(R::HasMoved, "hasmoved", "hasmoved", C::UnknownUser, HARD, T::Recipient),
        row(R::HostUnknown, "hostunknown", "hostunknown", C::UnknownHost, HARD, T::Recipient),
        row(R::Loop, "loop", "networkerror", C::ReceivingServerError, SOFT, T::Destination),
        row(R::MailboxFull, "mailboxfull", "mailboxfull", C::OverCapacity, SOFT, T::Recipient),
        row(R::MailerError, "mailererror", "mailererror", C::ReceivingServerError, SOFT, T::Destination),
        row(R::Malformed, "malformed", "syntaxerror", C::BadAddress, HARD, T::Recipient),
        // "Unknown user" after the content, or a bare 550 to RCPT: it does not exist, or it does not want us.
        row(R::MaybeUnknown, "maybeunknown", "filtered", C::UnknownUser, SOFT, T::Recipient),
        row(R::MesgTooBig, "mesgtoobig", "mesgtoobig", C::TooLarge, SOFT, T::Content),
        row(R::NetworkError, "networkerror", "networkerror", C::ResendTimeout, SOFT, T::Destination),
        // The host that the MX names does not own the domain: CMC's other example of class 7.
        row(R::NoRelaying, "norelaying", "norelaying", C::ReceivingServerError, SOFT, T::Destination),
        row(R::NotAccept, "notaccept", "notaccept", C::UnknownHost, HARD, T::Recipient),
        row(R::NotCompliantRfc, "notcompliantrfc", "notcompliantrfc", C::Rejected, SOFT, T::Content),
        row(R::OnHold, "onhold", "onhold", C::Other, SOFT, T::Destination),
        row(R::PolicyViolation, "policyviolation", "policyviolation", C::Rejected, SOFT, T::Policy),
        // The sender's address, not the recipient's.
        row(R::Rejected, "rejected", "rejected", C::Rejected, SOFT, T::Policy),
        row(R::RequirePtr, "requireptr", "requireptr", C::Rejected, SOFT, T::Authentication),
        row(R::SecurityError, "securityerror", "securityerror", C::Rejected, SOFT, T::Policy),
        row(R::SpamDetected, "spamdetected", "spamdetected", C::Rejected, SOFT, T::Content),
        row(R::Speeding, "speeding", "speeding", C::Rejected, SOFT, T::Reputation),
        // The next relay's own suppression list holds the address.
        row(R::Suppressed, "suppressed", "suppressed", C::Rejected, SOFT, T::Recipient),
        row(R::Suspend, "suspend", "suspend", C::UnknownUser, SOFT, T::Recipient),
        row(R::SyntaxError, "syntaxerror", "syntaxerror", C::Other, SOFT, T::Destination),
        row(R::SystemError, "systemerror", "systemerror", C::ReceivingServerError, SOFT, T::Destination),
        row(R::SystemFull, "systemfull", "systemfull", C::OverCapacity, SOFT, T::Destination),
        row(R::TooManyConn, "toomanyconn", "toomanyconn", C::Rejected, SOFT, T::Reputation),
        row(R::Undefined, "undefined", "undefined", C::Other, SOFT, T::Destination),
        row(R::UserUnknown, "userunknown", "userunknown", C::UnknownUser, HARD, T::Recipient),
        row(R::VirusDetected, "virusdetected", "virusdetected", C::Rejected, SOFT, T::Content),
    ]
};

impl Reason {
    /// What it means.
    pub(super) fn meaning(self) -> &'static Meaning {
        &TABLE[self as usize]
    }

    /// The reason of that name in a data file.
    pub(super) fn named(key: &str) -> Option<Self> {
        TABLE.iter().find(|m| m.key == key).map(|m| m.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_reasons_and_only_the_recipients_trouble_is_hard() {
        for (index, meaning) in TABLE.iter().enumerate() {
            assert_eq!(meaning.reason as usize, index, "{}", meaning.key);
            assert_eq!(Reason::named(meaning.key), Some(meaning.reason));
            assert!(!meaning.hard || meaning.trouble == Trouble::Recipient, "{}", meaning.key);
            assert!(meaning.word.bytes().all(|b| b.is_ascii_lowercase()), "{}", meaning.word);
        }
    }
}
