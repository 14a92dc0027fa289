//! What an operator does to waiting recipients, and to which.
//!
//! Always: an empty filter takes everything; what it takes is written in words in the operation log.

use super::answers::AuditEntry;
use crate::{
    clock::Timestamp,
    event::{Class, WaitReason},
    ids::MessageId,
};

/// Acts on waiting recipients; `filter` chooses them.
#[derive(Clone, Debug)]
pub struct QueueAct {
    /// What to do.
    pub verb: QueueVerb,
    /// To whom.
    pub filter: QueueFilter,
    /// By whom: the name in the events and in the operation log.
    pub operator: String,
    /// From where, for the operation log ([`AuditEntry::from`]).
    pub from: String,
}

impl QueueAct {
    /// Its entry in the operation log; the writer adds the count.
    pub(super) fn audit_entry(&self, at: Timestamp) -> AuditEntry {
        let f = &self.filter;
        let id = f.message.map(|m| m.to_string()).unwrap_or_default();
        let index = f.index.map(|n| n.to_string()).unwrap_or_default();
        let held = if f.held { "yes" } else { "" };
        let parts = [
            ("message", id.as_str()),
            ("index", &index),
            ("recipient", &f.recipient),
            ("sender", &f.sender),
            ("destination", &f.destination),
            ("user", &f.user),
            ("held", held),
            ("class", f.class.map_or("", Class::word)),
            ("wait", f.wait.map_or("", WaitReason::word)),
            ("reply", &f.reply),
        ];
        let named: Vec<String> = parts
            .iter()
            .filter(|(_, v)| !v.is_empty())
            .map(|(name, v)| format!("{name}={}", AuditEntry::typed(v)))
            .collect();
        AuditEntry {
            at,
            who: self.operator.clone(),
            from: self.from.clone(),
            act: format!("queue.{}", self.verb.word()),
            object: if named.is_empty() { "the whole queue".to_owned() } else { named.join(" ") },
            detail: String::new(),
        }
    }
}

/// `queue flush|hold|release|drop|fail`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum QueueVerb {
    /// Due now.
    Flush,
    /// Not before `release`.
    Hold,
    /// Due now, if held.
    Release,
    /// Removed without a notice; final.
    Drop,
    /// Failed, with a notice; final.
    Fail,
}

impl QueueVerb {
    /// Every act.
    pub const ALL: [QueueVerb; 5] =
        [QueueVerb::Flush, QueueVerb::Hold, QueueVerb::Release, QueueVerb::Drop, QueueVerb::Fail];

    /// The act of that word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verb| verb.word() == word)
    }

    /// The word of the command line.
    pub fn word(self) -> &'static str {
        match self {
            QueueVerb::Flush => "flush",
            QueueVerb::Hold => "hold",
            QueueVerb::Release => "release",
            QueueVerb::Drop => "drop",
            QueueVerb::Fail => "fail",
        }
    }
}

/// Which waiting recipients. Empty fields match all.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct QueueFilter {
    /// One message.
    pub message: Option<MessageId>,
    /// One recipient of it.
    pub index: Option<u32>,
    /// Part of the recipient's address, any case.
    pub recipient: String,
    /// Part of the sender's address, any case.
    pub sender: String,
    /// The destination ([`Lane::destination`](super::Lane::destination)), exactly, any case.
    pub destination: String,
    /// The API user, exactly.
    pub user: String,
    /// Held ones only.
    pub held: bool,
    /// Of this class.
    pub class: Option<Class>,
    /// Waiting for this reason.
    pub wait: Option<WaitReason>,
    /// Part of what the last try heard, any case.
    pub reply: String,
}

impl QueueFilter {
    /// It takes everything that waits.
    pub fn is_all(&self) -> bool {
        let QueueFilter { message, index, recipient, sender, destination, user, held, class, wait, reply } = self;
        let texts = [recipient, sender, destination, user, reply];
        message.is_none()
            && index.is_none()
            && class.is_none()
            && wait.is_none()
            && !held
            && texts.iter().all(|text| text.is_empty())
    }
}
