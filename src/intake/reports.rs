//! Mail that an inbound listener takes for ourselves: TLS reports, which are kept, not delivered.
//!
//! In: a transaction whose recipient is the configured report address, and its content.  Out: the sink's yes or no.
//! Always: the 250 comes only after the sink has stored what it wants to keep (P1); content waits in RAM, under a lease (P5);
//! without a sink or an address nobody is a recipient here (P7).
//! Sources: RFC 8460 §5.3; config.md `[tls_report]`.

use std::{future::Future, pin::Pin};

use bytes::Bytes;

use crate::{
    budget::{Budget, Lease},
    config::Config,
    smtp::{
        address::Mailbox,
        reply::{Enhanced, Reply},
    },
};

/// Octets of a report mail at most: gzipped reports of the largest senders have some 100 KiB.
pub const REPORT_OCTETS_MAX: u64 = 2 << 20;

/// Octets that the first lease of a report covers.
const FIRST_OCTETS: usize = 64 * 1024;

/// Why a report is not kept.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    /// It is none, or more of them came than are kept: its sender need not try again. The text says what is wrong.
    #[error("{0}")]
    NotTaken(String),
    /// It cannot be kept now.
    #[error("{0}")]
    Later(String),
}

/// Who keeps reports: the TLS reports' room, live; a list, in tests.
pub trait ReportSink: Send + Sync + 'static {
    /// Keeps a report mail, headers and all; returns once it is on disk.
    fn take<'a>(
        &'a self,
        from: Option<&'a Mailbox>,
        to: &'a Mailbox,
        body: Bytes,
    ) -> Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send + 'a>>;
}

/// Whether reports come in by this address: the configured one, the domain in any case of letters.
pub fn is_report_address(config: &Config, address: &Mailbox) -> bool {
    let Ok(wanted) = Mailbox::parse(&config.tls_report.address) else { return false };
    wanted.local() == address.local() && wanted.domain_key() == address.domain_key()
}

/// A report's content on its way in.
#[derive(Debug)]
pub struct Gathering {
    bytes: Vec<u8>,
    lease: Lease,
}

impl Gathering {
    /// Nothing yet; `None`: the memory is used up.
    pub fn new(budget: &Budget) -> Option<Self> {
        Some(Gathering { bytes: Vec::new(), lease: budget.take(FIRST_OCTETS)? })
    }

    /// Adds octets; false: there are too many, or the memory is used up.
    pub fn add(&mut self, more: &[u8]) -> bool {
        let after = self.bytes.len() + more.len();
        if after as u64 > REPORT_OCTETS_MAX {
            return false;
        }
        let missing = after.saturating_sub(self.lease.bytes());
        if missing > 0 && !self.lease.grow(missing.max(self.lease.bytes())) {
            return false;
        }
        self.bytes.extend_from_slice(more);
        true
    }

    /// All of it, and the lease that pays for it.
    pub fn finish(self) -> (Bytes, Lease) {
        (self.bytes.into(), self.lease)
    }
}

/// What the peer hears of a refusal.
pub fn reply_of(refusal: &Refusal) -> Reply {
    match refusal {
        // What is wrong goes to our log: the peer's words about its own report help nobody there.
        Refusal::NotTaken(_) => Reply::new(550, Enhanced(5, 6, 0), "This is no report that is kept here."),
        Refusal::Later(_) => Reply::storage_trouble(),
    }
}

#[cfg(test)]
#[path = "reports_tests.rs"]
mod tests_live;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_address_is_exactly_the_configured_one() {
        let mut config = Config::default();
        let address = |text| Mailbox::parse(text).expect("an address");
        assert!(!is_report_address(&config, &address("tls@relay.example.jp")), "nobody without a setting");
        config.tls_report.address = "tls@Relay.example.jp".into();
        for (text, expected) in [
            ("tls@relay.EXAMPLE.jp", true),
            ("TLS@relay.example.jp", false),
            ("tls+x@relay.example.jp", false),
            ("tls@example.jp", false),
            ("postmaster@relay.example.jp", false),
        ] {
            assert_eq!(is_report_address(&config, &address(text)), expected, "{text}");
        }
    }

    #[test]
    fn a_report_is_bounded_in_size_and_pays_for_its_memory() {
        let budget = Budget::new(3 << 20);
        let mut gathering = Gathering::new(&budget).expect("there is room");
        while gathering.add(&[0; 100_000]) {
            assert!(budget.used() >= gathering.bytes.len());
        }
        assert!(gathering.bytes.len() as u64 <= REPORT_OCTETS_MAX && gathering.bytes.len() > 1_900_000);
        drop(gathering.finish());
        assert_eq!(budget.used(), 0);
        let tight = Budget::new(100_000);
        let mut gathering = Gathering::new(&tight).expect("there is room");
        assert!(gathering.add(&[0; 50_000]) && !gathering.add(&[0; 50_000]));
        assert!(Gathering::new(&tight).is_none());
    }
}
