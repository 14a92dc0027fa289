//! What the scheduler asks of a delivery, and what it hears back.

use std::{future::Future, pin::Pin, sync::Arc};

use crate::{
    event::{AttemptDetail, Class},
    ids::MessageId,
    store::{Lane, Loaded, Recipient},
};

/// One attempt: some recipients of one message that go to one destination.
#[derive(Debug)]
pub struct Job {
    /// The destination.
    pub lane: Lane,
    /// The message, its body in RAM or to be read.
    pub loaded: Arc<Loaded>,
    /// The recipients to try; at most [`RECIPIENTS_PER_JOB_MAX`].
    pub recipients: Vec<Recipient>,
}

/// Recipients of one transaction at most (RFC 5321 §4.5.3.1.8 asks every server to take 100).
pub const RECIPIENTS_PER_JOB_MAX: usize = 100;

impl Job {
    /// The message.
    pub fn message(&self) -> MessageId {
        self.loaded.message.id
    }

    /// Its class.
    pub fn class(&self) -> Class {
        self.loaded.message.class
    }
}

/// What became of one recipient.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The peer took responsibility.
    Delivered {
        /// The peer offered DSN, so that it sends success notices itself.
        peer_does_dsn: bool,
    },
    /// Not now.
    Deferred {
        /// Nothing was learnt about the recipient: the site is in trouble (connect, greeting, EHLO, TLS, DNS).
        site: bool,
        /// The body could not be read from our disk: hold it.
        damaged: bool,
    },
    /// Never.
    Failed,
}

/// One recipient's result.
#[derive(Clone, Debug)]
pub struct RecipientResult {
    /// Its place in the envelope.
    pub index: u32,
    /// What became of it.
    pub verdict: Verdict,
    /// What the try met.
    pub detail: Box<AttemptDetail>,
}

/// What an attempt teaches about its destination (algorithms F2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SiteFeedback {
    /// A host answered and took commands.
    Healthy,
    /// Connection, greeting, EHLO trouble, or 421 in any phase.
    Trouble,
    /// Nothing was learnt (DNS, our own trouble, the shutdown).
    Unknown,
}

/// What an attempt says at its end: one result for each recipient of the job.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The results.
    pub results: Vec<RecipientResult>,
    /// About the destination.
    pub feedback: SiteFeedback,
    /// The shutdown cut it before anything was sent: nothing happened, no try is counted, no event is written.
    pub interrupted: bool,
}

/// How the scheduler hands a job over: the live deliverer, the sandbox, or a test's.
pub trait Deliver: Send + Sync + 'static {
    /// Runs one attempt to its end. Bounded in time by the SMTP time-outs.
    fn deliver(&self, job: Job) -> Pin<Box<dyn Future<Output = Outcome> + Send + '_>>;
}
