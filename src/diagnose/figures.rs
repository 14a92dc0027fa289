//! What a diagnosis is made of: what was gathered, the figures that speak for a cause, and the causes.
//!
//! In: what the shell gathered.  Out: types for the rules and the words.
//! Always: figures are data; sentences are made of them in `words`, programs read them as they are.
//! Sources: PRODUCT.md R10.

use std::{collections::HashMap, net::IpAddr};

use serde::{Serialize, Serializer};

use super::{tally::Tally, topic::Topic};
use crate::{
    clock::Timestamp,
    doctor::finding::{Finding, Level},
};

/// Days before the period that it is compared with.
pub const DAYS_BEFORE: u32 = 14;

/// What is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Question {
    /// The header-From or envelope domain, with all below it; lower case.
    pub domain: String,
    /// Only what went to this destination, or to this provider.
    pub destination: Option<String>,
    /// From …
    pub from: Timestamp,
    /// … until, exclusive.
    pub to: Timestamp,
    /// Of this API user's mail alone; empty: of everybody's.
    pub user: String,
}

/// What was gathered for a question.
#[derive(Clone, Debug)]
pub struct Gathered {
    /// The question.
    pub question: Question,
    /// The log of the period.
    pub tally: Tally,
    /// The log was too long to be read to its begin: it was read back to here.
    pub looked_back_to: Option<Timestamp>,
    /// The fourteen days before.
    pub before: Before,
    /// Recipients with a result on the busiest day of the period.
    pub volume_a_day: u64,
    /// What the doctor says; `None`: nobody asked it, or it did not answer in time.
    pub findings: Option<Vec<Finding>>,
    /// Findings of the doctor that became errors lately.
    pub broke: Vec<Broke>,
    /// Speed rules that became looser, and for whom.
    pub loosened: Vec<Loosened>,
    /// How fast we may send to the destinations that refuse most.
    pub speeds: Vec<Speed>,
    /// Source addresses that are new.
    pub warm_ups: Vec<WarmUp>,
    /// Places whose unknown users jumped and are held.
    pub brakes: Vec<Brake>,
}

/// The days before the period.
#[derive(Clone, Debug, Default)]
pub struct Before {
    /// Days with figures, at most [`DAYS_BEFORE`].
    pub days: u32,
    /// Recipients with a result, a day, on average.
    pub volume_a_day: f64,
    /// The same on the busiest of them.
    pub busiest: u64,
    /// The share of refusals among tries, 0 to 1.
    pub refused_rate: f64,
    /// The share of unknown users and hosts among results, 0 to 1.
    pub unknown_rate: f64,
    /// Octets of a delivered mail, on average.
    pub octets: f64,
    /// Mails by subject pattern, of a sample of the log.
    pub patterns: HashMap<String, u64>,
    /// Mails in that sample.
    pub sampled: u64,
}

/// A finding that became an error.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Broke {
    /// Its id, `dkim.record`.
    pub check: String,
    /// When that was seen.
    #[serde(serialize_with = "rfc3339")]
    pub at: Timestamp,
}

/// A speed rule that became looser.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Loosened {
    /// Its name; `[delivery]`: the general limits.
    pub rule: String,
    /// When.
    #[serde(serialize_with = "rfc3339")]
    pub at: Timestamp,
    /// Connections at once, before and after.
    pub connections: (usize, usize),
    /// Least time between two messages, before and after, in milliseconds.
    pub interval_millis: (u64, u64),
    /// The refusing destinations that it is for; empty of the general limits: all.
    pub destinations: Vec<String>,
}

/// How fast we may send to a destination.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Speed {
    /// The destination.
    pub destination: String,
    /// The rule that applies; `None`: the general limits.
    pub rule: Option<String>,
    /// Connections at once.
    pub connections: usize,
    /// Least time between two messages, in milliseconds.
    pub interval_millis: u64,
}

/// A source address on its way up.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct WarmUp {
    /// The address.
    pub source: IpAddr,
    /// To whom.
    pub provider: String,
    /// The day, from 1.
    pub day: u32,
    /// Days in all.
    pub days: u32,
    /// Recipients today …
    pub sent: u64,
    /// … of at most.
    pub cap: u64,
}

/// A place that the suppression list holds back.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Brake {
    /// The place.
    pub place: String,
    /// Since when.
    #[serde(serialize_with = "rfc3339")]
    pub since: Timestamp,
    /// Unknown users among its last results.
    pub errors: u32,
    /// Those results.
    pub results: u32,
}

/// What a name names.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A recipient.
    Recipient,
    /// A destination.
    Destination,
    /// A large provider.
    Provider,
    /// Our own address.
    Source,
    /// An API user.
    User,
    /// A subject pattern.
    Subject,
}

/// One figure that speaks for a cause.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(tag = "figure", rename_all = "snake_case")]
#[allow(missing_docs)] // their fields are named after what they hold
pub enum Figure {
    /// So many of all refusals are about this.
    About { topics: Vec<Topic>, refusals: u64, of: u64 },
    /// An answer, and how often it came.
    Answer {
        text: String,
        example: String,
        example_recipient: String,
        events: u64,
        recipients: u64,
        destination: String,
        #[serde(serialize_with = "rfc3339")]
        first: Timestamp,
        #[serde(serialize_with = "rfc3339")]
        last: Timestamp,
    },
    /// Mail went until then, and is refused since.
    Since {
        #[serde(serialize_with = "rfc3339")]
        at: Timestamp,
    },
    /// What the doctor found.
    Finding {
        check: String,
        level: Level,
        subject: String,
        #[serde(skip)]
        finding: Box<Finding>,
    },
    /// It was in order before.
    Broke(Broke),
    /// A rule was loosened.
    Loosened(Loosened),
    /// How fast we may send.
    Speed(Speed),
    /// Recipients on the busiest day, and before.
    Volume { now: u64, before_mean: f64, before_busiest: u64, factor: f64 },
    /// The share of refusals, now and before.
    RefusedRate { now: f64, before: f64 },
    /// The share of unknown users among results, now and before.
    UnknownRate { now: f64, before: f64 },
    /// Octets of a mail on average, now and before.
    Size { now: f64, before: f64, factor: f64 },
    /// A subject that nobody saw before, or that grew.
    NewSubject { pattern: String, tries: u64, share: f64, share_before: f64 },
    /// Refusals lie on one name.
    Concentrated { kind: Kind, name: String, refusals: u64, of: u64 },
    /// How that name fares, and all others.
    Fares { kind: Kind, name: String, refused: u64, tries: u64, others_refused: u64, others_tries: u64 },
    /// Complaints.
    Complaints { complaints: u64, delivered: u64 },
    /// A new source address.
    WarmUp(WarmUp),
    /// A place that is held.
    Brake(Brake),
    /// Where to ask to be taken off a list.
    Delist { list: String, url: String },
    /// Recipients that were not tried since they are on our own lists.
    Listed { recipients: u64, of: u64 },
}

/// A likely cause.
#[derive(Clone, PartialEq, Debug)]
pub struct Cause {
    /// Which.
    pub id: CauseId,
    /// 0 to 100: the rule's weight times how much speaks for it.
    pub score: u32,
    /// What speaks for it.
    pub figures: Vec<Figure>,
}

/// How sure a cause is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Certainty {
    /// It would explain a part.
    Hint,
    /// It would explain much.
    Possible,
    /// It explains most of the refusals.
    Likely,
}

impl Cause {
    /// How sure it is.
    pub fn certainty(&self) -> Certainty {
        match self.score {
            60.. => Certainty::Likely,
            35..60 => Certainty::Possible,
            0..35 => Certainty::Hint,
        }
    }
}

macro_rules! causes {
    ($($(#[$doc:meta])* $name:ident $word:literal),* $(,)?) => {
        /// A cause that the rules know.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum CauseId { $($(#[$doc])* $name),* }

        impl CauseId {
            /// Every cause.
            pub const ALL: &'static [CauseId] = &[$(CauseId::$name),*];

            /// The word for programs; it never changes its meaning.
            pub fn word(self) -> &'static str {
                match self { $(CauseId::$name => $word),* }
            }
        }
    };
}

causes! {
    /// DKIM does not pass.
    Dkim "dkim",
    /// SPF does not pass.
    Spf "spf",
    /// DMARC does not pass.
    Dmarc "dmarc",
    /// Authentication does not pass, and nobody said which.
    Authentication "authentication",
    /// Our address has no name, or it does not lead back.
    ReverseDns "reverse_dns",
    /// The sender's domain cannot be found, or takes no mail.
    SenderDomain "sender_domain",
    /// The sender's address is refused.
    Sender "sender",
    /// A speed rule was loosened.
    RuleLoosened "rule_loosened",
    /// A blocklist holds us.
    Blocklist "blocklist",
    /// A campaign with a new subject.
    NewSubject "new_subject",
    /// Much more mail than before.
    Volume "volume",
    /// A list with many addresses that do not exist, new since lately.
    DeadList "dead_list",
    /// Some addresses that do not exist, as ever.
    OldAddresses "old_addresses",
    /// One provider refuses us.
    OneProvider "one_provider",
    /// One of our addresses is refused.
    OneSource "one_source",
    /// One recipient is refused again and again.
    OneRecipient "one_recipient",
    /// One destination cannot be reached.
    OneDestination "one_destination",
    /// Our own network or DNS.
    OwnNetwork "own_network",
    /// A new source address.
    WarmUp "warm_up",
    /// Too fast for the destination.
    Speed "speed",
    /// One subject is refused.
    OneSubject "one_subject",
    /// A bad name.
    Reputation "reputation",
    /// Taken for spam.
    Content "content",
    /// A forbidden attachment.
    Attachment "attachment",
    /// Too large.
    Size "size",
    /// The form of the mail.
    Form "form",
    /// One API user.
    OneUser "one_user",
    /// Complaints.
    Complaints "complaints",
    /// Unknown users jumped at a place: the suppression list holds back.
    Brake "brake",
    /// TLS.
    Tls "tls",
    /// The destination's set-up, or our login.
    Setup "setup",
    /// The destination's rules.
    Policy "policy",
    /// Full mailboxes.
    MailboxFull "mailbox_full",
    /// Recipients' own filters.
    Filtered "filtered",
    /// Greylisting.
    Greylisting "greylisting",
    /// Our own lists.
    OwnLists "own_lists",
    /// Answers that nothing knows.
    Unknown "unknown",
}

/// What the diagnosis says.
#[derive(Clone, Debug)]
pub struct Diagnosis {
    /// What it is made of.
    pub gathered: Gathered,
    /// The causes, the likeliest first; empty: nothing stands out.
    pub causes: Vec<Cause>,
}

impl Gathered {
    /// The doctor's errors and, with `warnings`, its warnings, of the checks that begin so.
    pub fn findings_of(&self, prefix: &str, worst: Level) -> impl Iterator<Item = &Finding> {
        let all = self.findings.as_deref().unwrap_or_default().iter();
        let prefix = prefix.to_owned();
        all.filter(move |f| f.level >= worst && f.check().starts_with(&prefix) && !f.is_unanswered())
    }

    /// How many times the usual volume the busiest day brought; `None`: nothing is known of before, or it is too little to say.
    pub fn volume_factor(&self) -> Option<f64> {
        (self.before.days > 0 && self.before.volume_a_day >= 1.0)
            .then(|| self.volume_a_day as f64 / self.before.volume_a_day)
    }

    /// Octets of a delivered mail on average; 0: none was delivered.
    pub fn octets(&self) -> f64 {
        super::tally::share(self.tally.octets, self.tally.delivered)
    }

    /// The share that a pattern has now, and had before.
    pub fn pattern_shares(&self, pattern: &str) -> (f64, f64) {
        let all: u64 = self.tally.patterns.values().map(super::tally::Fared::tries).sum();
        let now = self.tally.patterns.get(pattern).map_or(0, super::tally::Fared::tries);
        let before = self.before.patterns.get(pattern).copied().unwrap_or(0);
        (super::tally::share(now, all), super::tally::share(before, self.before.sampled))
    }
}

pub(super) fn rfc3339<S: Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&at.rfc3339_seconds())
}
