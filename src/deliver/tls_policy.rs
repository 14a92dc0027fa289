//! Decides how TLS is used with one host: what the operator, the message and the receiver's own policy ask for together.
//!
//! In: the configured policy, the message's wish, what DANE and MTA-STS say of the host; later, what went wrong there
//! before.  Out: a [`Level`] or why the host is passed over; the [`Plan`] of a connection.
//!
//! The table ([`decide`]), first row that applies:
//!
//! | the message            | the host                        | then                                                   |
//! |------------------------|---------------------------------|--------------------------------------------------------|
//! | REQUIRETLS             | TLSA lookup failed              | passed over                                            |
//! |                        | usable TLSA                     | DANE                                                   |
//! |                        | left out by an enforced policy  | passed over                                            |
//! |                        | its name is known for certain   | certificate for its name                               |
//! |                        | else                            | passed over                                            |
//! | `TLS-Required: No`     | any                             | as configured: the receiver's own policy is left aside |
//! | neither, tls = "none"  | any                             | in clear: the operator's word that TLS does not work   |
//! | neither                | TLSA lookup failed              | passed over: never in clear                            |
//! |                        | usable TLSA                     | DANE, whatever MTA-STS says                            |
//! |                        | left out by an enforced policy  | passed over                                            |
//! |                        | allowed by an enforced policy   | certificate for its name                               |
//! |                        | only unusable TLSA              | at least TLS                                           |
//! |                        | allowed by a policy in testing  | as configured; opportunistic: the certificate is tried |
//! |                        | else                            | as configured                                          |
//!
//! Always: only the opportunistic levels ever go on in clear; a login is told only to a verified host, or on loopback.
//! Sources: RFC 3207, RFC 7435 (opportunistic security), RFC 7672 §2.2, RFC 8314 §3, RFC 8461 §2 and §5, RFC 8689 §4.2.1 and §5.

use crate::smtp::client::TlsMode;

/// TLS towards a destination, as configured.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Policy {
    /// Never.
    None,
    /// Where the peer offers it; its certificate is not checked.
    Opportunistic,
    /// Always; its certificate is not checked.
    Require,
    /// Always, with a certificate that matches the host's name.
    Verify,
}

impl Policy {
    /// The word of the config.
    pub fn word(self) -> &'static str {
        match self {
            Policy::None => "none",
            Policy::Opportunistic => "opportunistic",
            Policy::Require => "require",
            Policy::Verify => "verify",
        }
    }
}

/// What a message says of TLS itself (RFC 8689).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Wish {
    /// Nothing.
    Nothing,
    /// REQUIRETLS: only by verified hosts that promise the same.
    RequireTls,
    /// `TLS-Required: No`: rather in clear than not at all.
    Optional,
}

impl Wish {
    /// REQUIRETLS in the envelope makes the header field void (RFC 8689 §4.1).
    pub fn of(require_tls: bool, tls_optional: bool) -> Self {
        match (require_tls, tls_optional) {
            (true, _) => Wish::RequireTls,
            (false, true) => Wish::Optional,
            (false, false) => Wish::Nothing,
        }
    }
}

/// What is asked for on our side: the operator's policy and the message's wish.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Demand {
    /// For the destination.
    pub configured: Policy,
    /// Of the message.
    pub wish: Wish,
}

impl Demand {
    /// What the receiver publishes may change how TLS is used: it is worth asking the DNS.
    pub fn heeds_the_receiver(self) -> bool {
        match self.wish {
            Wish::RequireTls => true,
            Wish::Optional => false,
            Wish::Nothing => self.configured != Policy::None,
        }
    }
}

/// What DANE says of a host.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Dane {
    /// Nothing: no TLSA records, or DNSSEC does not cover the way to them.
    Absent,
    /// There are records that a certificate can be checked by.
    Usable,
    /// There are records, none of them usable.
    Unusable,
    /// Nobody can tell whether there are records.
    Failed,
}

/// What MTA-STS says of a host.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Sts {
    /// Nothing: the domain has no policy, or none in force.
    Absent,
    /// The policy is only reported on.
    Testing {
        /// One of its patterns matches the host.
        allows: bool,
    },
    /// The policy is in force.
    Enforced {
        /// One of its patterns matches the host.
        allows: bool,
    },
}

/// Who asked for the certificate's name to be checked.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum By {
    /// The operator, or REQUIRETLS.
    Us,
    /// The receiver's MTA-STS policy.
    Sts,
}

/// How TLS is used with a host.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Level {
    /// Not at all.
    Clear,
    /// Where it is offered; in clear after it broke.
    Opportunistic,
    /// The same; the certificate is checked first, so that the report can tell what an enforced policy would do.
    Tested,
    /// Always; the certificate is not checked.
    Encrypted,
    /// Always, with a certificate for the host's name from a public authority.
    Named(By),
    /// Always, with a certificate that the host's TLSA records vouch for.
    Dane,
}

impl Level {
    /// It ends in a verified peer, or in no mail.
    pub fn is_verified(self) -> bool {
        matches!(self, Level::Named(_) | Level::Dane)
    }

    /// Mail may end up in clear.
    pub fn may_be_clear(self) -> bool {
        matches!(self, Level::Clear | Level::Opportunistic | Level::Tested)
    }
}

/// Why a host is passed over.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PassedOver {
    /// Its TLSA records cannot be had.
    Tlsa,
    /// The domain's MTA-STS policy does not list it.
    Sts,
    /// REQUIRETLS: neither DNSSEC nor MTA-STS says that it is a host of the domain.
    UnknownName,
}

/// The table.
///
/// # Errors
/// Why the host gets no mail.
pub fn decide(demand: Demand, dane: Dane, sts: Sts, name_is_secure: bool) -> Result<Level, PassedOver> {
    let configured = match demand.configured {
        Policy::None => Level::Clear,
        Policy::Opportunistic => Level::Opportunistic,
        Policy::Require => Level::Encrypted,
        Policy::Verify => Level::Named(By::Us),
    };
    if !demand.heeds_the_receiver() {
        return Ok(configured);
    }
    let require_tls = demand.wish == Wish::RequireTls;
    match (dane, sts) {
        (Dane::Failed, _) => Err(PassedOver::Tlsa),
        (Dane::Usable, _) => Ok(Level::Dane),
        (_, Sts::Enforced { allows: false }) => Err(PassedOver::Sts),
        (_, Sts::Enforced { allows: true }) => Ok(Level::Named(By::Sts)),
        // The policy itself came from the domain, also while it is only tried.
        (_, Sts::Testing { allows: true }) if require_tls => Ok(Level::Named(By::Sts)),
        _ if require_tls && name_is_secure => Ok(Level::Named(By::Us)),
        _ if require_tls => Err(PassedOver::UnknownName),
        (Dane::Unusable, _) if configured == Level::Opportunistic => Ok(Level::Encrypted),
        (Dane::Absent, Sts::Testing { allows: true }) if configured == Level::Opportunistic => Ok(Level::Tested),
        _ => Ok(configured),
    }
}

/// Which check a certificate must pass.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Check {
    /// None: whoever answers is taken for the host.
    Anybody,
    /// A chain to a trusted root, for the host's name, in date.
    Name,
    /// A TLSA record of the host.
    Dane,
}

/// What follows a handshake that broke: the same host once more, in a new connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AfterBreak {
    /// Nothing: the host's turn is over.
    Stop,
    /// Without a check of the certificate, if that was the trouble; else in clear.
    Unchecked,
    /// In clear.
    Clear,
}

/// How one connection is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Plan {
    /// STARTTLS.
    pub mode: TlsMode,
    /// The certificate.
    pub check: Check,
    /// When the handshake breaks.
    pub after_break: AfterBreak,
}

/// What is remembered of a host.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Past {
    /// Its handshake broke a while ago.
    pub tls_broke: bool,
    /// Its certificate did not pass, where that was only tried.
    pub check_failed: bool,
}

/// The plan for a connection.
pub fn plan(level: Level, past: Past) -> Plan {
    let of = |mode, check, after_break| Plan { mode, check, after_break };
    match level {
        Level::Clear => of(TlsMode::Never, Check::Anybody, AfterBreak::Stop),
        Level::Opportunistic | Level::Tested if past.tls_broke => of(TlsMode::Never, Check::Anybody, AfterBreak::Stop),
        Level::Tested if !past.check_failed => of(TlsMode::IfOffered, Check::Name, AfterBreak::Unchecked),
        Level::Opportunistic | Level::Tested => of(TlsMode::IfOffered, Check::Anybody, AfterBreak::Clear),
        Level::Encrypted => of(TlsMode::Always, Check::Anybody, AfterBreak::Stop),
        Level::Named(_) => of(TlsMode::Always, Check::Name, AfterBreak::Stop),
        Level::Dane => of(TlsMode::Always, Check::Dane, AfterBreak::Stop),
    }
}

/// A login may be told to this host: it is verified, or it is this machine.
pub fn may_log_in(level: Level, loopback: bool) -> bool {
    level.is_verified() || loopback
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICIES: [Policy; 4] = [Policy::None, Policy::Opportunistic, Policy::Require, Policy::Verify];
    const DANES: [Dane; 4] = [Dane::Absent, Dane::Usable, Dane::Unusable, Dane::Failed];
    const STSES: [Sts; 5] = [
        Sts::Absent,
        Sts::Testing { allows: false },
        Sts::Testing { allows: true },
        Sts::Enforced { allows: false },
        Sts::Enforced { allows: true },
    ];
    const LEVELS: [Level; 7] = [
        Level::Clear,
        Level::Opportunistic,
        Level::Tested,
        Level::Encrypted,
        Level::Named(By::Us),
        Level::Named(By::Sts),
        Level::Dane,
    ];

    fn letter(got: Result<Level, PassedOver>) -> char {
        match got {
            Ok(Level::Clear) => '-',
            Ok(Level::Opportunistic) => 'o',
            Ok(Level::Tested) => 't',
            Ok(Level::Encrypted) => 'e',
            Ok(Level::Named(By::Us)) => 'v',
            Ok(Level::Named(By::Sts)) => 's',
            Ok(Level::Dane) => 'D',
            Err(PassedOver::Tlsa) => 'F',
            Err(PassedOver::Sts) => 'X',
            Err(PassedOver::UnknownName) => '?',
        }
    }

    #[test]
    fn every_combination_is_decided_as_the_table_says() {
        // Five letters a DANE state (absent usable unusable failed): no STS, testing without and with the host, enforced
        // without and with the host. First the name unknown, then known for certain.
        for (configured, wish, unknown, known) in [
            (Policy::None, Wish::Nothing, "----- ----- ----- -----", "----- ----- ----- -----"),
            (Policy::Opportunistic, Wish::Nothing, "ootXs DDDDD eeeXs FFFFF", "ootXs DDDDD eeeXs FFFFF"),
            (Policy::Require, Wish::Nothing, "eeeXs DDDDD eeeXs FFFFF", "eeeXs DDDDD eeeXs FFFFF"),
            (Policy::Verify, Wish::Nothing, "vvvXs DDDDD vvvXs FFFFF", "vvvXs DDDDD vvvXs FFFFF"),
            (Policy::None, Wish::Optional, "----- ----- ----- -----", "----- ----- ----- -----"),
            (Policy::Opportunistic, Wish::Optional, "ooooo ooooo ooooo ooooo", "ooooo ooooo ooooo ooooo"),
            (Policy::Require, Wish::Optional, "eeeee eeeee eeeee eeeee", "eeeee eeeee eeeee eeeee"),
            (Policy::Verify, Wish::Optional, "vvvvv vvvvv vvvvv vvvvv", "vvvvv vvvvv vvvvv vvvvv"),
            (Policy::None, Wish::RequireTls, "??sXs DDDDD ??sXs FFFFF", "vvsXs DDDDD vvsXs FFFFF"),
            (Policy::Opportunistic, Wish::RequireTls, "??sXs DDDDD ??sXs FFFFF", "vvsXs DDDDD vvsXs FFFFF"),
            (Policy::Require, Wish::RequireTls, "??sXs DDDDD ??sXs FFFFF", "vvsXs DDDDD vvsXs FFFFF"),
            (Policy::Verify, Wish::RequireTls, "??sXs DDDDD ??sXs FFFFF", "vvsXs DDDDD vvsXs FFFFF"),
        ] {
            for (secure, want) in [(false, unknown), (true, known)] {
                let demand = Demand { configured, wish };
                let row = |dane| STSES.map(|sts| letter(decide(demand, dane, sts, secure))).iter().collect::<String>();
                assert_eq!(DANES.map(row).join(" "), want, "{demand:?} secure={secure}");
            }
        }
    }

    #[test]
    fn what_is_published_is_never_answered_with_clear_text() {
        for configured in [Policy::Opportunistic, Policy::Require, Policy::Verify] {
            let demand = Demand { configured, wish: Wish::Nothing };
            for sts in STSES {
                for dane in [Dane::Usable, Dane::Unusable, Dane::Failed] {
                    assert!(decide(demand, dane, sts, true).map_or(true, |level| !level.may_be_clear()));
                }
            }
            assert!(decide(demand, Dane::Absent, Sts::Enforced { allows: true }, false).is_ok_and(Level::is_verified));
        }
    }

    #[test]
    fn only_the_opportunistic_levels_ever_go_on_in_clear() {
        for level in LEVELS {
            for (tls_broke, check_failed) in [(false, false), (false, true), (true, false), (true, true)] {
                let got = plan(level, Past { tls_broke, check_failed });
                let want = match (level, tls_broke, check_failed) {
                    (Level::Clear, _, _) => (TlsMode::Never, Check::Anybody, AfterBreak::Stop),
                    (Level::Opportunistic | Level::Tested, true, _) => {
                        (TlsMode::Never, Check::Anybody, AfterBreak::Stop)
                    }
                    (Level::Tested, false, false) => (TlsMode::IfOffered, Check::Name, AfterBreak::Unchecked),
                    (Level::Opportunistic | Level::Tested, false, _) => {
                        (TlsMode::IfOffered, Check::Anybody, AfterBreak::Clear)
                    }
                    (Level::Encrypted, _, _) => (TlsMode::Always, Check::Anybody, AfterBreak::Stop),
                    (Level::Named(_), _, _) => (TlsMode::Always, Check::Name, AfterBreak::Stop),
                    (Level::Dane, _, _) => (TlsMode::Always, Check::Dane, AfterBreak::Stop),
                };
                assert_eq!((got.mode, got.check, got.after_break), want, "{level:?} {tls_broke} {check_failed}");
                assert_eq!(got.mode == TlsMode::Always, !level.may_be_clear());
            }
        }
    }

    #[test]
    fn a_login_needs_a_verified_name_or_loopback() {
        for level in LEVELS {
            assert!(may_log_in(level, true));
            assert_eq!(may_log_in(level, false), level.is_verified());
        }
        assert!(POLICIES.iter().all(|p| !p.word().is_empty()));
    }

    #[test]
    fn requiretls_makes_the_header_field_void() {
        assert_eq!(Wish::of(true, true), Wish::RequireTls);
        assert_eq!(Wish::of(false, true), Wish::Optional);
        assert_eq!(Wish::of(false, false), Wish::Nothing);
    }
}
