//! What a TLS policy asks of a connection: STARTTLS or not, which check of the certificate, and what when it breaks.
//!
//! In: the policy, what is remembered of the host.  Out: [`Plan`].
//! Always: only the opportunistic policy ever goes on in clear; a login is told only to a verified host, or on loopback.
//! Sources: RFC 3207, RFC 7435 (opportunistic security), RFC 8314 §3.

use crate::smtp::client::TlsMode;

/// TLS towards a destination.
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

/// Which check a certificate must pass.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Check {
    /// None: whoever answers is taken for the host.
    Anybody,
    /// A chain to a trusted root, for the host's name, in date.
    Name,
}

/// How one connection is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Plan {
    /// STARTTLS.
    pub mode: TlsMode,
    /// The certificate.
    pub check: Check,
    /// When the handshake breaks, the same host is tried once more, in clear, in a new connection.
    pub clear_after_break: bool,
}

/// The plan for a host; `tls_broke` remembers that its handshake failed a while ago.
pub fn plan(policy: Policy, tls_broke: bool) -> Plan {
    let (mode, check) = match policy {
        Policy::None => (TlsMode::Never, Check::Anybody),
        Policy::Opportunistic if tls_broke => (TlsMode::Never, Check::Anybody),
        Policy::Opportunistic => (TlsMode::IfOffered, Check::Anybody),
        Policy::Require => (TlsMode::Always, Check::Anybody),
        Policy::Verify => (TlsMode::Always, Check::Name),
    };
    Plan { mode, check, clear_after_break: policy == Policy::Opportunistic && !tls_broke }
}

/// A login may be told to this host: its name is verified, or it is this machine.
pub fn may_log_in(policy: Policy, loopback: bool) -> bool {
    policy == Policy::Verify || loopback
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_opportunistic_policy_ever_goes_on_in_clear() {
        for (policy, broke, mode, check, clear) in [
            (Policy::None, false, TlsMode::Never, Check::Anybody, false),
            (Policy::None, true, TlsMode::Never, Check::Anybody, false),
            (Policy::Opportunistic, false, TlsMode::IfOffered, Check::Anybody, true),
            (Policy::Opportunistic, true, TlsMode::Never, Check::Anybody, false),
            (Policy::Require, false, TlsMode::Always, Check::Anybody, false),
            (Policy::Require, true, TlsMode::Always, Check::Anybody, false),
            (Policy::Verify, false, TlsMode::Always, Check::Name, false),
            (Policy::Verify, true, TlsMode::Always, Check::Name, false),
        ] {
            assert_eq!(plan(policy, broke), Plan { mode, check, clear_after_break: clear }, "{policy:?} {broke}");
        }
    }

    #[test]
    fn a_login_needs_a_verified_name_or_loopback() {
        for policy in [Policy::None, Policy::Opportunistic, Policy::Require, Policy::Verify] {
            assert!(may_log_in(policy, true));
            assert_eq!(may_log_in(policy, false), policy == Policy::Verify);
        }
    }
}
