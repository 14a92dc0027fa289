//! SPF: whether a host may send mail in a domain's name.
//!
//! In: the host's address, what it called itself, the sender of its mail, the DNS.  Out: an [`Outcome`]; for people, a [`Walk`]
//! through everything that a domain's record reaches.
//! Always: the DNS is asked for ten terms at most, two of them may find nothing (RFC 7208 §4.6.4), ten hosts of each, so that no
//! record, however made, costs more; a record with an error anywhere is an error, wherever the match stands.
//! Sources: RFC 7208.

mod check;
mod macros;
pub mod record;
mod walk;

use std::{fmt, net::IpAddr};

pub use self::{
    check::{Explaining, check, check_explained},
    walk::{Fault, FaultKind, Network, Reached, Spent, Walk, walk},
};
use crate::smtp::address::Mailbox;

/// Terms that ask the DNS, in one check.
pub const LOOKUPS_MAX: usize = 10;
/// Of these, answers without a record.
pub const VOID_LOOKUPS_MAX: usize = 2;
/// Hosts of one `mx`, and names of one `ptr`.
pub const HOSTS_MAX: usize = 10;

/// What SPF says (RFC 7208 §2.6).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum SpfResult {
    /// The host may.
    Pass,
    /// It may not.
    Fail,
    /// It probably may not.
    SoftFail,
    /// The domain does not say.
    Neutral,
    /// There is no domain, or it has no record.
    #[default]
    None,
    /// The DNS did not say.
    TempError,
    /// The record cannot be understood.
    PermError,
}

impl SpfResult {
    /// The word of RFC 8601 §2.7.2.
    pub fn word(self) -> &'static str {
        match self {
            SpfResult::Pass => "pass",
            SpfResult::Fail => "fail",
            SpfResult::SoftFail => "softfail",
            SpfResult::Neutral => "neutral",
            SpfResult::None => "none",
            SpfResult::TempError => "temperror",
            SpfResult::PermError => "permerror",
        }
    }
}

impl fmt::Display for SpfResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// The host's address.
    pub ip: IpAddr,
    /// What it called itself.
    pub helo: &'a str,
    /// MAIL FROM; `None`: the null sender, for which `postmaster` at the HELO name stands (RFC 7208 §2.4).
    pub sender: Option<&'a Mailbox>,
}

/// What was found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Outcome {
    /// The result.
    pub result: SpfResult,
    /// The domain that was checked, in small letters.
    pub domain: String,
    /// The domain is that of HELO: the sender is null.
    pub by_helo: bool,
    /// The mechanism that decided, as written; empty: none did.
    pub matched: String,
    /// Why, in a sentence; with `exp`, the domain's own words are in `explanation`.
    pub why: String,
    /// The domain's explanation of a fail, if it was asked for.
    pub explanation: Option<String>,
    /// Terms that asked the DNS.
    pub lookups: usize,
    /// Of these, questions without a record in the answer.
    pub void_lookups: usize,
}
