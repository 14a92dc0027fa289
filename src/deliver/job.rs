//! What the scheduler asks of a delivery, and what it hears back.

use std::{future::Future, net::IpAddr, pin::Pin, sync::Arc, time::Duration};

use crate::{
    event::{AttemptDetail, Class},
    ids::{MessageId, UserKey},
    smtp::conversation::Conversation,
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
    /// Where from, as [`Located::paths`] offered it.
    pub path: Path,
}

/// The local addresses of a way to a site; `None`: the system chooses.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Path {
    /// For hosts reached by IPv4.
    pub v4: Option<IpAddr>,
    /// For hosts reached by IPv6.
    pub v6: Option<IpAddr>,
}

/// Which site a lane belongs to (algorithms F2, F4: recipients whose domains share their MX hosts share one).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Located {
    /// The key: sorted MX hosts, TLS policy and the rule that applies, bounded in length. The same for every lane of the site.
    pub site: Arc<str>,
    /// The site for people: `aspmx.l.google.com (+4)`, a domain without MX, or `host:port`.
    pub name: Arc<str>,
    /// Ways to it; never empty.
    pub paths: Vec<PathOffer>,
    /// The delivery-speed rule that applies.
    pub pace: Option<Pace>,
    /// It is asked again after this time.
    pub valid_for: Duration,
}

/// A way to a site, and how much may go by it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PathOffer {
    /// The way.
    pub path: Path,
    /// Its share against the others; at least 1.
    pub weight: u32,
    /// The submitters that use it; empty: all.
    pub users: Vec<UserKey>,
    /// Recipients that may still go by it until the next question (warm-up); `None`: no cap.
    pub cap: Option<u64>,
}

/// The speed that a `[[delivery.rule]]` sets, shared by every site that matches it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pace {
    /// The rule's name: the key of what is shared.
    pub rule: Arc<str>,
    /// Connections at once; `None`: the general limit, for each site by itself.
    pub connections_max: Option<usize>,
    /// Least time between two messages; zero: none.
    pub interval: Duration,
    /// The speed stays when the destination pushes back.
    pub fixed: bool,
}

/// What a response rule asks of the scheduler.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Push {
    /// The rule's name.
    pub rule: Arc<str>,
    /// What to do with the site.
    pub what: PushKind,
    /// For how long.
    pub duration: Duration,
}

/// How a site pushes back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PushKind {
    /// Nothing more is sent for a while.
    Pause,
    /// Half the connections, for a while.
    Slow,
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
        /// The peer reports to the submitter itself: it offered DSN, and heard the submitter's own address as the sender.
        peer_does_dsn: bool,
        /// The peer offered DELIVERBY, so that it was handed the deadline.
        peer_does_by: bool,
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
    /// What was said at the hosts; `None`: nothing was.
    pub conversation: Option<Conversation>,
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

/// What an attempt says at its end: one result for each recipient of the job that was tried.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The results.
    pub results: Vec<RecipientResult>,
    /// About the destination.
    pub feedback: SiteFeedback,
    /// The shutdown cut it, or it left some to another attempt: to recipients without a result nothing happened, no try is
    /// counted, no event is written.
    pub interrupted: bool,
    /// A response rule that acts on the site.
    pub push: Option<Push>,
}

/// How the scheduler hands a job over: the live deliverer, the sandbox, or a test's.
pub trait Deliver: Send + Sync + 'static {
    /// Runs one attempt to its end. Bounded in time by the SMTP time-outs.
    fn deliver(&self, job: Job) -> Pin<Box<dyn Future<Output = Outcome> + Send + '_>>;

    /// Finds the site of a lane; bounded in time by the resolver's patience, and never without an answer: a lane whose
    /// hosts cannot be found is a site of its own, and its attempts say why.
    fn locate<'a>(&'a self, lane: &'a Lane) -> Pin<Box<dyn Future<Output = Located> + Send + 'a>> {
        Box::pin(std::future::ready(Located::alone(lane)))
    }
}

impl Located {
    /// A lane that is its own site, reached by the system's choice of address, without a rule.
    pub fn alone(lane: &Lane) -> Self {
        Located {
            site: lane.0.clone(),
            name: lane.0.clone(),
            paths: vec![PathOffer { path: Path::default(), weight: 1, users: Vec::new(), cap: None }],
            pace: None,
            valid_for: Duration::from_secs(300),
        }
    }
}
