//! What large providers ask of senders, as a table.
//!
//! In: a provider.  Out: its rules, where they stand, and when they were read.
//! Always: the table is data; a rule that is only advised is not in it.
//! Sources: in the table.

use super::seen::{Provider, Requirement};

/// A provider's rules.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Whose.
    pub provider: Provider,
    /// Where they stand.
    pub source: &'static str,
    /// When the table was last held against what the page says, in copies and quotations of it.
    pub read_on: &'static str,
    /// Since when they hold.
    pub since: &'static str,
    /// Mails a day from which on a sender is a bulk sender; `None`: the provider names no figure.
    pub bulk_from: Option<u64>,
    /// Asked of every sender.
    pub of_all: &'static [Requirement],
    /// Asked of bulk senders on top.
    pub of_bulk: &'static [Requirement],
}

use Requirement::{Alignment, Dkim, DmarcRecord, OneClick, ReverseDns, Spf, Tls};

/// The table.
pub const RULES: &[Rules] = &[
    // Of every sender Gmail and Yahoo ask SPF or DKIM; both together are the bulk senders' matter. All mail of one organizational
    // domain counts together, and "close to 5,000" is enough.
    Rules {
        provider: Provider::Gmail,
        source: "https://support.google.com/a/answer/81126",
        read_on: "2026-11-29",
        since: "2024-02-01",
        bulk_from: Some(5_000),
        of_all: &[ReverseDns, Tls],
        of_bulk: &[Spf, Dkim, DmarcRecord, Alignment, OneClick],
    },
    Rules {
        provider: Provider::Yahoo,
        source: "https://senders.yahooinc.com/best-practices/",
        read_on: "2026-11-29",
        since: "2024-02-01",
        bulk_from: None,
        of_all: &[ReverseDns],
        of_bulk: &[Spf, Dkim, DmarcRecord, Alignment, OneClick],
    },
    // A working unsubscribe is advised there, not asked.
    Rules {
        provider: Provider::Microsoft,
        source: "https://techcommunity.microsoft.com/blog/microsoftdefenderforoffice365blog/4399730",
        read_on: "2026-11-29",
        since: "2025-05-05",
        bulk_from: Some(5_000),
        of_all: &[],
        of_bulk: &[Spf, Dkim, DmarcRecord, Alignment],
    },
];

/// The rules of a provider.
pub fn of(provider: Provider) -> &'static Rules {
    let found = RULES.iter().find(|rules| rules.provider == provider);
    found.expect("the table has every provider; a test holds it against the type")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_provider_has_its_rules_and_no_requirement_twice() {
        for provider in [Provider::Gmail, Provider::Yahoo, Provider::Microsoft] {
            let rules = of(provider);
            let mut all: Vec<Requirement> = rules.of_all.iter().chain(rules.of_bulk).copied().collect();
            let count = all.len();
            all.sort();
            all.dedup();
            assert_eq!((rules.provider, all.len()), (provider, count));
            assert!(rules.source.starts_with("https://") && rules.read_on.len() == 10);
        }
    }
}
