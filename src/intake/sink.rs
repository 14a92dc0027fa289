//! Mail that an inbound listener takes for ourselves, and what takes it: each inlet has its sink.
//!
//! In: a transaction's content.  Out: the sink's yes or no.
//! Always: the 250 comes only after every sink has stored what it wants to keep (P1); content waits in RAM, under a lease (P5).
//! Sources: RFC 8460 §5.3 (TLS reports); config.md `[inbound]`.

use std::{future::Future, pin::Pin};

use bytes::Bytes;

use crate::{
    authres::results::Results,
    budget::{Budget, Lease},
    mail::{header::Facts, trace::Arrival, watched::Watched},
    smtp::{
        address::Mailbox,
        reply::{Enhanced, Reply},
    },
};

use super::inlets::Inlet;

/// Octets of a TLS report mail at most: gzipped reports of the largest senders have some 100 KiB.
pub const REPORT_OCTETS_MAX: u64 = 2 << 20;

/// Octets that the first lease covers: most bounces are smaller.
const FIRST_OCTETS: usize = 64 * 1024;

/// A mail for ourselves.
#[derive(Clone, Copy, Debug)]
pub struct InboundMail<'a> {
    /// How it came; its id is the name that the peer hears.
    pub arrival: Arrival<'a>,
    /// MAIL FROM.
    pub sender: Option<&'a Mailbox>,
    /// It was sent with SMTPUTF8.
    pub smtputf8: bool,
    /// The recipients that this sink is to serve; never empty.
    pub to: &'a [(Mailbox, Inlet)],
    /// Facts of its header.
    pub facts: &'a Facts,
    /// What its header holds of the fields that filters look at.
    pub watched: &'a Watched,
    /// Where its header ends.
    pub head_len: usize,
    /// All of it, as it came.
    pub body: &'a Bytes,
    /// Whether it is its sender's; `None`: it was not asked, because it comes to return addresses alone.
    pub results: Option<&'a Results>,
}

impl<'a> InboundMail<'a> {
    /// The header.
    pub fn head(&self) -> &'a [u8] {
        self.body.get(..self.head_len).unwrap_or_default()
    }

    /// A mail from nobody that came from nowhere, for tests.
    #[cfg(test)]
    pub fn of(body: &'a Bytes, (facts, watched): &'a (Facts, Watched), to: &'a [(Mailbox, Inlet)]) -> Self {
        let arrival = Arrival {
            id: crate::ids::MessageId::from_u64(9 << 40),
            at: crate::clock::Timestamp::from_millis(1_795_527_310_000),
            hostname: "relay.test",
            helo: "mx.them.test",
            address: None,
            protocol: crate::mail::trace::Protocol { extended: true, ..Default::default() },
            tls: "",
            recipient: to.first().map(|(address, _)| address),
            priority: None,
            begins_empty: false,
        };
        let head_len = crate::mail::header::find_end(body, 0).unwrap_or(body.len());
        InboundMail { arrival, sender: None, smtputf8: false, to, facts, watched, head_len, body, results: None }
    }
}

/// Why a mail is not kept.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    /// It is none, or more of them came than are kept: its sender need not try again. The text says what is wrong.
    #[error("{0}")]
    NotTaken(String),
    /// Its sender hears this reply, which is 5yz.
    #[error("{}", .0.text)]
    Refused(Reply),
    /// It cannot be kept now.
    #[error("{0}")]
    Later(String),
}

/// Who keeps mail of some inlets: the mailroom or the TLS reports' room, live; a list, in tests.
pub trait Sink: Send + Sync + 'static {
    /// Keeps a mail; returns once everything about it is on disk.
    fn take<'a>(&'a self, mail: InboundMail<'a>) -> Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send + 'a>>;
}

/// A mail's content on its way in.
#[derive(Debug)]
pub struct Gathering {
    bytes: Vec<u8>,
    octets_max: u64,
    lease: Lease,
}

impl Gathering {
    /// Nothing yet, and `octets_max` octets in the end; `None`: the memory is used up.
    pub fn new(budget: &Budget, octets_max: u64) -> Option<Self> {
        Some(Gathering { bytes: Vec::new(), octets_max, lease: budget.take(FIRST_OCTETS)? })
    }

    /// Adds octets.
    ///
    /// # Errors
    /// There are too many (552), or the memory is used up (451).
    pub fn add(&mut self, more: &[u8]) -> Result<(), Reply> {
        let after = self.bytes.len() + more.len();
        if after as u64 > self.octets_max {
            return Err(Reply::too_large(self.octets_max));
        }
        if after > self.lease.bytes() {
            // The buffer is as large as what is paid for, never larger.
            let octets_max = usize::try_from(self.octets_max).unwrap_or(usize::MAX);
            let target = (2 * self.lease.bytes()).min(octets_max).max(after);
            if !self.lease.grow(target - self.lease.bytes()) {
                return Err(Reply::storage_trouble());
            }
        }
        if after > self.bytes.capacity() {
            self.bytes.reserve_exact(self.lease.bytes() - self.bytes.len());
        }
        self.bytes.extend_from_slice(more);
        Ok(())
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
        Refusal::Refused(reply) => reply.clone(),
        Refusal::Later(_) => Reply::storage_trouble(),
    }
}

#[cfg(test)]
#[path = "sink_tests.rs"]
mod tests_live;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_bounded_in_size_and_pays_for_its_memory() {
        let budget = Budget::new(3 << 20);
        let mut gathering = Gathering::new(&budget, REPORT_OCTETS_MAX).expect("there is room");
        while gathering.add(&[0; 100_000]).is_ok() {
            assert!(budget.used() >= gathering.bytes.capacity());
        }
        assert!(gathering.bytes.len() as u64 <= REPORT_OCTETS_MAX && gathering.bytes.len() > 1_900_000);
        assert_eq!(gathering.add(&[0; 200_000]).unwrap_err().code, 552);
        drop(gathering.finish());
        assert_eq!(budget.used(), 0);
        let tight = Budget::new(100_000);
        let mut gathering = Gathering::new(&tight, 1 << 30).expect("there is room");
        assert!(gathering.add(&[0; 50_000]).is_ok());
        assert_eq!(gathering.add(&[0; 50_000]).unwrap_err().code, 451);
        assert!(Gathering::new(&tight, 1 << 30).is_none());
    }
}
