//! Decides what trouble means for the recipient, for the destination, and for the rest of the try: the one table.
//!
//! In: the phase, the kind of trouble, whether another host is left.  Out: [`Judgement`].
//!
//! A delivery **fails** for good on:
//! - a 5yz answer to MAIL, RCPT, DATA or the final dot: the peer speaks about this mail;
//! - a domain that does not exist, takes no mail (null MX), or has neither MX nor address;
//! - a route that is wrong for certain: it leads back to us, or to private addresses only;
//! - a message that the peer announced not to take: over its SIZE, or UTF-8 without SMTPUTF8; an address that cannot be sent;
//! - after the other hosts: a message that asks for REQUIRETLS or for its return in time (BY with R) where it is not offered.
//!
//! It is **deferred** by everything else, most of it after the other hosts were tried:
//! - 5yz at the greeting, EHLO, STARTTLS or AUTH: the peer speaks about us, or about itself, never about this mail
//!   (a wrong smarthost password must not bounce the queue);
//! - an unmet TLS policy; trouble in our own set-up; DNS that gives no answer;
//! - 421, a dropped connection or silence, in any phase;
//! - 4yz to MAIL, RCPT, DATA or the final dot: this one is not tried at another host, which would only be asked twice.
//!
//! When the connection is lost after the final dot and before its reply, the peer may have kept the message: it is
//! deferred, no other host is tried, and the entry says *possible duplicate* (P3).
//!
//! The **destination** is in trouble when a connection, a greeting, EHLO, STARTTLS or AUTH fails, or on 421 and loss in
//! any phase; it is healthy when it answered MAIL or more; DNS and our own trouble teach nothing about it.
//!
//! Always: an unknown trouble defers; what `bounce/classify` reads out of an answer changes none of this.
//! Sources: RFC 5321 §4.2.1, §4.5.4.1 and §5.1, RFC 3463, RFC 7505, RFC 6531 §3.

use crate::{
    event::{ErrorClass, Phase, Trouble as Whose},
    smtp::{client::Trouble, reply::Enhanced},
};

/// What kind of trouble.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// 5yz.
    Permanent,
    /// 4yz other than 421.
    Transient,
    /// 421: the peer closes the connection.
    Closing,
    /// No connection, or it was dropped, or the peer fell silent, before the final dot.
    Lost,
    /// The connection was lost after the final dot and before its reply.
    LostAfterDot,
    /// The peer does not speak SMTP.
    Garbage,
    /// TLS must be, and is not offered.
    TlsUnmet,
    /// The handshake failed, the certificate's check included.
    TlsBroken,
    /// The receiver's own TLS policy (DANE, MTA-STS) leaves the host out, or it cannot be known.
    PolicyUnmet,
    /// No usable AUTH.
    LoginUnusable,
    /// Over the peer's SIZE.
    TooLarge,
    /// A UTF-8 address or header, and the peer lacks SMTPUTF8.
    NeedsUtf8,
    /// The address cannot be sent, or its domain is malformed.
    BadAddress,
    /// REQUIRETLS was asked for, and the peer does not offer it, or (in the phase of the route) is not for certain a host of
    /// the domain.
    NeedsRequireTls,
    /// The mail must come back in time, and the peer does not know deadlines.
    NeedsDeliverBy,
    /// The deadline of a mail that must come back is over, or too near for the peer.
    TooLate,
    /// NXDOMAIN.
    NoSuchDomain,
    /// The domain takes no mail (RFC 7505).
    NullMx,
    /// Neither MX nor address.
    NoHost,
    /// We are the best MX ourselves.
    LoopsBack,
    /// Every address is private or reserved.
    Guarded,
    /// A host without an address that we can use.
    NoAddress,
    /// DNS gave no answer.
    DnsTrouble,
    /// Our own set-up: file limit, source address, configuration.
    Ours,
    /// The body cannot be read from our disk.
    Damaged,
}

/// What becomes of the recipient.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ruling {
    /// Tried again later.
    Deferred {
        /// Nothing was learnt about the recipient, only about the site.
        site: bool,
    },
    /// Never again.
    Failed,
}

/// What the try teaches about the destination.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Feedback {
    /// It answered and took commands.
    Healthy,
    /// It is in trouble.
    Trouble,
    /// Nothing.
    Unknown,
}

/// What trouble means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Judgement {
    /// Go on with the next host; the ruling is for the case that it is the last.
    pub next_host: bool,
    /// For the recipient.
    pub ruling: Ruling,
    /// For the destination.
    pub feedback: Feedback,
    /// The peer may have kept the message.
    pub possible_duplicate: bool,
}

/// The table.
pub fn judge(phase: Phase, kind: Kind, another_host_left: bool) -> Judgement {
    use Feedback::{Healthy, Trouble, Unknown};
    let site = Ruling::Deferred { site: true };
    let mail = Ruling::Deferred { site: false };
    let about_mail = match phase {
        Phase::Mail | Phase::Rcpt | Phase::Data | Phase::Content => true,
        Phase::Queue
        | Phase::Route
        | Phase::Connect
        | Phase::Greeting
        | Phase::Ehlo
        | Phase::StartTls
        | Phase::Auth => false,
    };
    let (try_others, ruling, feedback) = match kind {
        Kind::Permanent if about_mail => (false, Ruling::Failed, Healthy),
        Kind::Transient if about_mail => (false, mail, Healthy),
        Kind::Permanent | Kind::Transient => (true, site, Trouble),
        Kind::Closing | Kind::Lost | Kind::Garbage => (true, site, Trouble),
        Kind::LostAfterDot => (false, mail, Trouble),
        Kind::TlsUnmet | Kind::TlsBroken | Kind::LoginUnusable => (true, site, Trouble),
        Kind::TooLarge | Kind::NeedsUtf8 => (false, Ruling::Failed, Healthy),
        Kind::NeedsRequireTls if phase == Phase::Route => (true, Ruling::Failed, Unknown),
        Kind::NeedsRequireTls | Kind::NeedsDeliverBy | Kind::TooLate => (true, Ruling::Failed, Healthy),
        Kind::BadAddress => (false, Ruling::Failed, Unknown),
        Kind::NoSuchDomain | Kind::NullMx | Kind::NoHost | Kind::LoopsBack => (false, Ruling::Failed, Unknown),
        // Another host of the same domain may be on a public address.
        Kind::Guarded => (true, Ruling::Failed, Unknown),
        Kind::NoAddress | Kind::DnsTrouble | Kind::PolicyUnmet | Kind::Ours => (true, site, Unknown),
        Kind::Damaged => (false, mail, Unknown),
    };
    Judgement {
        next_host: try_others && another_host_left,
        ruling,
        feedback,
        possible_duplicate: kind == Kind::LostAfterDot,
    }
}

impl Kind {
    /// The kind of what the SMTP client met.
    pub fn of(trouble: &Trouble) -> Self {
        match trouble {
            Trouble::Reply(reply) if reply.code == 421 => Kind::Closing,
            Trouble::Reply(reply) if reply.is_permanent() => Kind::Permanent,
            Trouble::Reply(_) => Kind::Transient,
            Trouble::Closed(_) | Trouble::TimedOut(_) => Kind::Lost,
            Trouble::LostAfterDot(_) => Kind::LostAfterDot,
            Trouble::NotSmtp(_) => Kind::Garbage,
            Trouble::TlsNotOffered => Kind::TlsUnmet,
            Trouble::TlsBroken(_) => Kind::TlsBroken,
            Trouble::LoginUnusable(_) => Kind::LoginUnusable,
            Trouble::TooLarge { .. } => Kind::TooLarge,
            Trouble::NeedsUtf8Address | Trouble::NeedsUtf8Header => Kind::NeedsUtf8,
            Trouble::BadAddress => Kind::BadAddress,
            Trouble::NeedsRequireTls => Kind::NeedsRequireTls,
            Trouble::NeedsDeliverBy => Kind::NeedsDeliverBy,
            Trouble::TooLate { .. } => Kind::TooLate,
        }
    }

    /// The enhanced code that our own words for it begin with (RFC 3463).
    pub fn enhanced(self) -> Enhanced {
        match self {
            Kind::Permanent => Enhanced(5, 0, 0),
            Kind::Transient => Enhanced(4, 0, 0),
            Kind::Closing | Kind::Lost | Kind::LostAfterDot => Enhanced(4, 4, 2),
            Kind::Garbage => Enhanced(4, 5, 0),
            Kind::TlsUnmet => Enhanced(4, 7, 4),
            Kind::TlsBroken | Kind::PolicyUnmet => Enhanced(4, 7, 5),
            Kind::LoginUnusable => Enhanced(4, 7, 0),
            Kind::TooLarge => Enhanced(5, 3, 4),
            Kind::NeedsUtf8 => Enhanced(5, 6, 7),
            Kind::BadAddress => Enhanced(5, 1, 3),
            Kind::NeedsRequireTls => Enhanced(5, 7, 30),
            Kind::NeedsDeliverBy => Enhanced(5, 3, 3),
            Kind::TooLate => Enhanced(5, 4, 7),
            Kind::NoSuchDomain | Kind::NoHost => Enhanced(5, 1, 2),
            Kind::NullMx => Enhanced(5, 1, 10),
            Kind::LoopsBack => Enhanced(5, 4, 6),
            Kind::Guarded => Enhanced(5, 4, 4),
            Kind::NoAddress => Enhanced(4, 4, 4),
            Kind::DnsTrouble => Enhanced(4, 4, 3),
            Kind::Ours => Enhanced(4, 3, 5),
            Kind::Damaged => Enhanced(4, 3, 0),
        }
    }

    /// The address, or its domain, will never take mail.
    pub fn is_hard(self) -> bool {
        self.whose() == Whose::Recipient
    }

    /// Whose trouble it is, where no answer of a peer says more. What is wrong at our own end counts as the destination's, which
    /// is nobody's fault that a recipient or our reputation would pay for.
    pub fn whose(self) -> Whose {
        match self {
            // A domain without mail is the end of all its addresses.
            Kind::NoSuchDomain | Kind::NoHost | Kind::NullMx | Kind::BadAddress => Whose::Recipient,
            Kind::LoginUnusable => Whose::Authentication,
            Kind::TooLarge => Whose::Content,
            Kind::Permanent | Kind::Transient | Kind::Closing | Kind::Lost | Kind::LostAfterDot | Kind::Garbage => {
                Whose::Destination
            }
            Kind::TlsUnmet | Kind::TlsBroken | Kind::PolicyUnmet | Kind::NeedsUtf8 => Whose::Destination,
            Kind::NeedsRequireTls | Kind::NeedsDeliverBy | Kind::TooLate => Whose::Destination,
            Kind::LoopsBack | Kind::Guarded | Kind::NoAddress | Kind::DnsTrouble => Whose::Destination,
            Kind::Ours | Kind::Damaged => Whose::Destination,
        }
    }

    /// CMC's class of it, where no answer of a peer says more.
    pub fn class(self) -> ErrorClass {
        match self {
            Kind::NoSuchDomain | Kind::NoHost | Kind::NullMx => ErrorClass::UnknownHost,
            Kind::Lost | Kind::LostAfterDot | Kind::Closing | Kind::Garbage => ErrorClass::ResendTimeout,
            Kind::DnsTrouble | Kind::NoAddress | Kind::Ours | Kind::Damaged => ErrorClass::ResendTimeout,
            Kind::TlsUnmet | Kind::TlsBroken | Kind::PolicyUnmet | Kind::LoginUnusable => ErrorClass::ResendTimeout,
            Kind::LoopsBack | Kind::Guarded => ErrorClass::ReceivingServerError,
            Kind::TooLarge => ErrorClass::TooLarge,
            Kind::BadAddress => ErrorClass::BadAddress,
            Kind::TooLate => ErrorClass::ResendTimeout,
            Kind::NeedsRequireTls | Kind::NeedsDeliverBy => ErrorClass::Other,
            Kind::Permanent | Kind::Transient | Kind::NeedsUtf8 => ErrorClass::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [Kind; 25] = [
        Kind::Permanent,
        Kind::Transient,
        Kind::Closing,
        Kind::Lost,
        Kind::LostAfterDot,
        Kind::Garbage,
        Kind::TlsUnmet,
        Kind::TlsBroken,
        Kind::PolicyUnmet,
        Kind::LoginUnusable,
        Kind::TooLarge,
        Kind::NeedsUtf8,
        Kind::BadAddress,
        Kind::NeedsRequireTls,
        Kind::NeedsDeliverBy,
        Kind::TooLate,
        Kind::NoSuchDomain,
        Kind::NullMx,
        Kind::NoHost,
        Kind::LoopsBack,
        Kind::Guarded,
        Kind::NoAddress,
        Kind::DnsTrouble,
        Kind::Ours,
        Kind::Damaged,
    ];

    /// One letter a cell, phase by phase: F failed · d deferred · D deferred after the other hosts · G failed after them.
    const TABLE: [(Kind, &str); 25] = [
        //                    queue route connect greeting ehlo starttls auth mail rcpt data content
        (Kind::Permanent, "DDDDDDDFFFF"),
        (Kind::Transient, "DDDDDDDdddd"),
        (Kind::Closing, "DDDDDDDDDDD"),
        (Kind::Lost, "DDDDDDDDDDD"),
        (Kind::LostAfterDot, "ddddddddddd"),
        (Kind::Garbage, "DDDDDDDDDDD"),
        (Kind::TlsUnmet, "DDDDDDDDDDD"),
        (Kind::TlsBroken, "DDDDDDDDDDD"),
        (Kind::PolicyUnmet, "DDDDDDDDDDD"),
        (Kind::LoginUnusable, "DDDDDDDDDDD"),
        (Kind::TooLarge, "FFFFFFFFFFF"),
        (Kind::NeedsUtf8, "FFFFFFFFFFF"),
        (Kind::BadAddress, "FFFFFFFFFFF"),
        (Kind::NeedsRequireTls, "GGGGGGGGGGG"),
        (Kind::NeedsDeliverBy, "GGGGGGGGGGG"),
        (Kind::TooLate, "GGGGGGGGGGG"),
        (Kind::NoSuchDomain, "FFFFFFFFFFF"),
        (Kind::NullMx, "FFFFFFFFFFF"),
        (Kind::NoHost, "FFFFFFFFFFF"),
        (Kind::LoopsBack, "FFFFFFFFFFF"),
        (Kind::Guarded, "GGGGGGGGGGG"),
        (Kind::NoAddress, "DDDDDDDDDDD"),
        (Kind::DnsTrouble, "DDDDDDDDDDD"),
        (Kind::Ours, "DDDDDDDDDDD"),
        (Kind::Damaged, "ddddddddddd"),
    ];

    #[test]
    fn every_cell_of_the_table_is_as_the_prose_says() {
        assert_eq!(TABLE.map(|(kind, _)| kind), KINDS);
        for (kind, row) in TABLE {
            assert_eq!(row.len(), Phase::ALL.len());
            for (phase, cell) in Phase::ALL.into_iter().zip(row.chars()) {
                for left in [false, true] {
                    let got = judge(phase, kind, left);
                    let what = format!("{phase:?} {kind:?} another={left}: {got:?}");
                    assert_eq!(got.ruling == Ruling::Failed, matches!(cell, 'F' | 'G'), "{what}");
                    assert_eq!(got.next_host, left && matches!(cell, 'D' | 'G'), "{what}");
                    assert_eq!(got.possible_duplicate, kind == Kind::LostAfterDot, "{what}");
                    // An own word for it never contradicts the ruling.
                    if kind.enhanced().0 == 5 && kind != Kind::Permanent {
                        assert_eq!(got.ruling, Ruling::Failed, "{what}");
                    }
                    if kind.enhanced().0 == 4 {
                        assert_ne!(got.ruling, Ruling::Failed, "{what}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_site_is_blamed_for_what_it_did_and_for_nothing_else() {
        for phase in Phase::ALL {
            for kind in KINDS {
                let got = judge(phase, kind, false);
                match kind {
                    Kind::Closing
                    | Kind::Lost
                    | Kind::Garbage
                    | Kind::TlsUnmet
                    | Kind::TlsBroken
                    | Kind::LoginUnusable => {
                        assert_eq!((got.feedback, got.ruling), (Feedback::Trouble, Ruling::Deferred { site: true }));
                    }
                    Kind::DnsTrouble
                    | Kind::PolicyUnmet
                    | Kind::Ours
                    | Kind::Damaged
                    | Kind::NoSuchDomain
                    | Kind::NullMx
                    | Kind::Guarded => {
                        assert_eq!(got.feedback, Feedback::Unknown, "{phase:?} {kind:?}");
                    }
                    Kind::Permanent | Kind::Transient if phase >= Phase::Mail => {
                        assert_eq!(got.feedback, Feedback::Healthy, "{phase:?} {kind:?}");
                    }
                    Kind::Permanent | Kind::Transient => {
                        assert_eq!(got.feedback, Feedback::Trouble, "{phase:?} {kind:?}")
                    }
                    _ => {}
                }
            }
        }
    }

    #[test]
    fn only_what_a_domain_or_address_is_for_good_is_hard_and_the_recipients() {
        for kind in KINDS {
            let for_good = matches!(kind, Kind::NoSuchDomain | Kind::NoHost | Kind::NullMx | Kind::BadAddress);
            assert_eq!((kind.is_hard(), kind.whose() == Whose::Recipient), (for_good, for_good), "{kind:?}");
            // What may be tried again is never hard.
            assert!(!kind.is_hard() || kind.enhanced().0 == 5, "{kind:?}");
        }
    }
}
