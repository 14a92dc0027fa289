//! What the doctor sees, part of what large providers ask of bulk senders.
//!
//! In: nothing.  Out: the variants, and the id of each.
//! Always: as in [`super`].
//! Sources: the rules themselves, in `doctor/checks/rules.rs`.

use serde::{Deserialize, Serialize};

/// A provider with rules for bulk senders.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // names
pub enum Provider {
    Gmail,
    Yahoo,
    Microsoft,
}

/// What a provider asks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Requirement {
    /// SPF passes.
    Spf,
    /// A DKIM signature verifies.
    Dkim,
    /// There is a DMARC record, p=none at least.
    DmarcRecord,
    /// Mail passes DMARC: SPF or DKIM is aligned.
    Alignment,
    /// Forward-confirmed reverse names.
    ReverseDns,
    /// Mail goes over TLS.
    Tls,
    /// One-click unsubscribe.
    OneClick,
}

/// Whether it is met.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is.
    Met,
    /// It is not.
    Unmet,
    /// It is met by some of the mail.
    Partly {
        /// Of a hundred mails.
        percent: u8,
    },
    /// Nobody can tell: the checks that it rests on got no answer, or no mail went there.
    Unknown,
}

/// The rules for bulk senders.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bulk {
    /// How much goes to a provider.
    Volume {
        /// Whose.
        provider: Provider,
        /// Mails on the busiest of the last days.
        busiest: u64,
        /// How many days were looked at.
        days: u32,
        /// From where on a sender is a bulk sender; `None`: the provider names no figure.
        bulk_from: Option<u64>,
    },
    /// One requirement.
    Rule {
        /// Whose.
        provider: Provider,
        /// Which.
        requirement: Requirement,
        /// It is asked of every sender, not of bulk senders alone.
        of_all: bool,
        /// Whether it is met.
        state: State,
        /// Mails on the busiest of the last days.
        busiest: u64,
    },
    /// Nothing was counted yet.
    NoFigures,
}

impl Bulk {
    /// The stable id.
    pub fn check(&self) -> &'static str {
        use Provider::{Gmail, Microsoft, Yahoo};
        use Requirement::{Alignment, Dkim, DmarcRecord, OneClick, ReverseDns, Spf, Tls};
        match self {
            Bulk::NoFigures => "bulk.figures",
            Bulk::Volume { provider: Gmail, .. } => "bulk.gmail.volume",
            Bulk::Volume { provider: Yahoo, .. } => "bulk.yahoo.volume",
            Bulk::Volume { provider: Microsoft, .. } => "bulk.microsoft.volume",
            Bulk::Rule { provider, requirement, .. } => match (provider, requirement) {
                (Gmail, Spf) => "bulk.gmail.spf",
                (Gmail, Dkim) => "bulk.gmail.dkim",
                (Gmail, DmarcRecord) => "bulk.gmail.dmarc",
                (Gmail, Alignment) => "bulk.gmail.alignment",
                (Gmail, ReverseDns) => "bulk.gmail.reverse_dns",
                (Gmail, Tls) => "bulk.gmail.tls",
                (Gmail, OneClick) => "bulk.gmail.one_click",
                (Yahoo, Spf) => "bulk.yahoo.spf",
                (Yahoo, Dkim) => "bulk.yahoo.dkim",
                (Yahoo, DmarcRecord) => "bulk.yahoo.dmarc",
                (Yahoo, Alignment) => "bulk.yahoo.alignment",
                (Yahoo, ReverseDns) => "bulk.yahoo.reverse_dns",
                (Yahoo, Tls) => "bulk.yahoo.tls",
                (Yahoo, OneClick) => "bulk.yahoo.one_click",
                (Microsoft, Spf) => "bulk.microsoft.spf",
                (Microsoft, Dkim) => "bulk.microsoft.dkim",
                (Microsoft, DmarcRecord) => "bulk.microsoft.dmarc",
                (Microsoft, Alignment) => "bulk.microsoft.alignment",
                (Microsoft, ReverseDns) => "bulk.microsoft.reverse_dns",
                (Microsoft, Tls) => "bulk.microsoft.tls",
                (Microsoft, OneClick) => "bulk.microsoft.one_click",
            },
        }
    }
}
