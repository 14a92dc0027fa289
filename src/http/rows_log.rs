//! Rows of the log: what happened to recipients, what came back about them, and the story of a message; a third part of `rows`.
//!
//! Always: as there, a name is a contract with other people's programs. A delivery and what came back about it name each
//! other (R11).

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::{
    rows::{MessageOut, RecipientOut, error_word, time},
    rows_said::SaidOut,
};
use crate::{
    event::{ErrorClass, Event},
    ids::RecipientKey,
    store::{Linked, LogRow, Recipient, Story},
};

/// An entry that another one names.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct LinkOut {
    /// Its number.
    pub number: u64,
    /// When.
    pub at: String,
    /// Its status.
    pub status: String,
    /// The error class's name.
    pub error: Option<String>,
    /// The error class's number in CMC's API.
    pub error_code: Option<u8>,
    /// Whose trouble it is.
    pub trouble: Option<String>,
    /// The address or its domain will never take mail.
    pub hard: bool,
    /// The answer, or what the returned mail says.
    pub reply: String,
}

impl From<&Linked> for LinkOut {
    fn from(linked: &Linked) -> Self {
        let EventOut { number, at, status, error, error_code, trouble, hard, reply, .. } =
            EventOut::new(linked.number, &linked.event, "", &[]);
        LinkOut { number, at, status, error, error_code, trouble, hard, reply }
    }
}

/// What happened to a recipient.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct EventOut {
    /// Grows with time: where `--follow` goes on, and what other entries name it by.
    #[serde(default)]
    pub number: u64,
    /// When.
    pub at: String,
    /// `queued`, `deferred`, `succeeded`, `failed`, `dropped`, `bounced` or `complained`.
    pub status: String,
    /// The recipient's place in the envelope.
    pub index: u32,
    /// Its address.
    pub recipient: String,
    /// Which try, from 1; 0: none.
    pub attempt: u32,
    /// Where it was going.
    pub destination: String,
    /// The host that answered, or was tried last.
    pub host: String,
    /// That host's address and port.
    pub address: Option<String>,
    /// The local address we sent from.
    pub sender_ip: Option<String>,
    /// Protocol, cipher, and whether the certificate was verified; empty in clear.
    pub tls: String,
    /// How far the try got.
    pub phase: Option<String>,
    /// The remote's answer, or our words.
    pub reply: String,
    /// How long the try took, in milliseconds.
    pub duration_ms: u64,
    /// The error class's name.
    pub error: Option<String>,
    /// The error class's number in CMC's API.
    pub error_code: Option<u8>,
    /// Whose trouble it is: `recipient`, `reputation`, `authentication`, `content`, `destination`, `policy`; `null`: none, or
    /// not known.
    #[serde(default)]
    pub trouble: Option<String>,
    /// The address or its domain will never take mail, as far as the answer says.
    #[serde(default)]
    pub hard: bool,
    /// The peer may have kept a copy (P3).
    pub possible_duplicate: bool,
    /// When it is tried next; `deferred` only.
    pub next_try: Option<String>,
    /// Why it waits; `deferred` only.
    pub wait: Option<String>,
    /// Who did it; acts of an operator only.
    pub operator: Option<String>,
    /// The entry that this is about: the delivery; `bounced` and `complained` only, `null` once that one is past its period.
    #[serde(default)]
    pub about: Option<LinkOut>,
    /// What came back later about this one, oldest first.
    #[serde(default)]
    pub returned: Vec<LinkOut>,
    /// What it means, in plain words; of `queue show` and `find` only, where it was asked for; so are the next two.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub means: String,
    /// What there is to do.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub to_do: String,
    /// What was said to the hosts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conversation: Vec<SaidOut>,
}

impl EventOut {
    /// An event of the recipient with this address, and what it is linked with.
    pub fn new(number: u64, event: &Event, recipient: &str, links: &[Linked]) -> Self {
        let mut links: Vec<LinkOut> = links.iter().map(LinkOut::from).collect();
        let about = if event.kind.is_return() { links.pop() } else { None };
        let mut out = EventOut {
            number,
            about,
            returned: links,
            at: event.at.rfc3339(),
            status: event.kind.word().to_owned(),
            index: event.key.index,
            recipient: recipient.to_owned(),
            attempt: event.attempt,
            next_try: event.next_try.and_then(time),
            wait: event.wait.map(|w| w.word().to_owned()),
            operator: event.operator.clone(),
            ..EventOut::default()
        };
        if let Some(detail) = &event.detail {
            out.destination.clone_from(&detail.destination);
            out.host.clone_from(&detail.host);
            out.address = detail.address.map(|a| a.to_string());
            out.sender_ip = detail.sender_ip.map(|a| a.to_string());
            out.tls.clone_from(&detail.tls);
            out.phase = detail.phase.map(|p| p.word().to_owned());
            out.reply.clone_from(&detail.reply);
            out.duration_ms = u64::try_from(detail.duration.as_millis()).unwrap_or(u64::MAX);
            out.error = detail.error.map(|e| error_word(e).to_owned());
            out.error_code = detail.error.map(ErrorClass::code);
            out.trouble = detail.trouble.map(|t| t.word().to_owned());
            out.hard = detail.hard;
            out.possible_duplicate = detail.possible_duplicate;
        }
        out
    }
}

/// One line of `log deliveries` and `log errors`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct LogOut {
    /// The event.
    #[serde(flatten)]
    pub event: EventOut,
    /// Its message.
    #[serde(flatten)]
    pub message: MessageOut,
}

impl From<&LogRow> for LogOut {
    fn from(row: &LogRow) -> Self {
        LogOut {
            event: EventOut::new(row.number, &row.event, &row.recipient, &row.links),
            message: (&*row.message).into(),
        }
    }
}

/// A message's story: `queue show` and `find`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct StoryOut {
    /// The message.
    #[serde(flatten)]
    pub message: MessageOut,
    /// Its recipients.
    pub recipients: Vec<RecipientOut>,
    /// Its events, oldest first.
    pub events: Vec<EventOut>,
}

impl From<&Story> for StoryOut {
    fn from(story: &Story) -> Self {
        // By recipient, once: there may be very many of both.
        let recipients: HashMap<RecipientKey, &Recipient> = story.recipients.iter().map(|r| (r.key, r)).collect();
        let places = story.places();
        let event = |n: usize, e: &Event| {
            let number = story.numbers.get(n).copied().unwrap_or(0);
            let address = recipients.get(&e.key).map_or_else(String::new, |r| r.address.to_string());
            let same = places.get(&e.key.index).map_or(&[][..], Vec::as_slice);
            EventOut::new(number, e, &address, &story.links_among(n, same))
        };
        StoryOut {
            message: (&*story.message).into(),
            recipients: story.recipients.iter().map(RecipientOut::from).collect(),
            events: (0..).zip(&story.events).map(|(n, e)| event(n, e)).collect(),
        }
    }
}
