//! CMC's records of what happened: deliveries, bounces, blocks, word for word as its API and its webhooks tell them.
//!
//! In: events with their messages, stays on the suppression list, the zone of whoever reads.  Out: records of fixed keys.
//! Always: exactly CMC's keys, in CMC's order, and every value is a string: clients fail at an unknown key.
//! Sources: cmc.md §4 (deliveries), §5 (bounces), §6.1 (blocks), §10.1 (webhooks), §17.

use serde::Serialize;

use crate::{
    bounce::envelope_from::{ReturnPath, kept_local},
    event::{ErrorClass, Event, EventKind},
    store::Message,
    suppress::row::Entry,
    when::Zone,
};

/// One line of the delivery log.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Delivery {
    /// When, `YYYY-MM-DD hh:mm:ss` in the reader's zone.
    pub created: String,
    /// The envelope's sender: with its local part kept at the return domain where it goes out so, else as it was submitted. A
    /// return address with a token is another one for each recipient and nobody's business: it is not told.
    pub return_path: String,
    /// The header's From address.
    pub from: String,
    /// The recipient.
    pub to: String,
    /// With its angle brackets.
    pub message_id: String,
    /// The remote's answer, or our words for the trouble; empty: none.
    pub reason: String,
    /// The address that we sent from; empty while queued.
    pub sender_ip: String,
    /// The address that submitted it; of `queued` only.
    pub source_ip: String,
    /// `queued`, `deferred`, `succeeded`, `failed`; and `dropped`, which CMC does not know, for what an operator removed.
    pub status: String,
    /// The decoded subject.
    pub subject: String,
    /// The value of X-Api-Data.
    pub api_data: String,
}

impl Delivery {
    /// The keys, in their order.
    pub const KEYS: [&'static str; 11] = [
        "created",
        "returnPath",
        "from",
        "to",
        "messageId",
        "reason",
        "senderIp",
        "sourceIp",
        "status",
        "subject",
        "apiData",
    ];

    /// The record of an event about a recipient; `None`: it is of the error log alone (what came back later).
    pub fn of(event: &Event, recipient: &str, message: &Message, zone: &Zone) -> Option<Self> {
        if event.kind.is_return() {
            return None;
        }
        let detail = event.detail.as_deref();
        let source_ip = match event.kind {
            EventKind::Queued => message.source_ip.map(|ip| ip.to_string()),
            EventKind::Deferred
            | EventKind::Succeeded
            | EventKind::Failed
            | EventKind::Dropped
            | EventKind::Bounced
            | EventKind::Complained => None,
        };
        Some(Delivery {
            created: zone.full(event.at),
            return_path: return_path(message),
            from: message.facts.from.clone(),
            to: recipient.to_owned(),
            message_id: message.facts.message_id.clone(),
            reason: reason(event),
            sender_ip: detail.and_then(|d| d.sender_ip).map(|ip| ip.to_string()).unwrap_or_default(),
            source_ip: source_ip.unwrap_or_default(),
            status: event.kind.word().to_owned(),
            subject: message.facts.subject.clone(),
            api_data: message.facts.api_data.clone(),
        })
    }

    /// Its values, in the order of [`Delivery::KEYS`].
    pub fn into_values(self) -> [String; 11] {
        [
            self.created,
            self.return_path,
            self.from,
            self.to,
            self.message_id,
            self.reason,
            self.sender_ip,
            self.source_ip,
            self.status,
            self.subject,
            self.api_data,
        ]
    }
}

/// One line of the error log.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Bounce {
    /// As [`Delivery::created`].
    pub created: String,
    /// The number of the error's class ([`ErrorClass::code`]).
    pub status: String,
    /// As [`Delivery::from`].
    pub from: String,
    /// The recipient.
    pub to: String,
    /// With its angle brackets.
    pub message_id: String,
    /// As [`Delivery::return_path`].
    pub return_path: String,
    /// The decoded subject.
    pub subject: String,
    /// The value of X-Api-Data.
    pub api_data: String,
    /// The remote's answer, or what the returned mail says.
    pub reason: String,
}

impl Bounce {
    /// The keys, in their order.
    pub const KEYS: [&'static str; 9] =
        ["created", "status", "from", "to", "messageId", "returnPath", "subject", "apiData", "reason"];

    /// The record of an event about a recipient; `None`: it is no error.
    pub fn of(event: &Event, recipient: &str, message: &Message, zone: &Zone) -> Option<Self> {
        if !event.kind.is_error() {
            return None;
        }
        Some(Bounce {
            created: zone.full(event.at),
            status: bounce_class(event).code().to_string(),
            from: message.facts.from.clone(),
            to: recipient.to_owned(),
            message_id: message.facts.message_id.clone(),
            return_path: return_path(message),
            subject: message.facts.subject.clone(),
            api_data: message.facts.api_data.clone(),
            reason: reason(event),
        })
    }

    /// Its values, in the order of [`Bounce::KEYS`].
    pub fn into_values(self) -> [String; 9] {
        [
            self.created,
            self.status,
            self.from,
            self.to,
            self.message_id,
            self.return_path,
            self.subject,
            self.api_data,
            self.reason,
        ]
    }
}

/// The class under which the error log shows an event; one that has none is of no other class.
pub fn bounce_class(event: &Event) -> ErrorClass {
    event.detail.as_deref().and_then(|d| d.error).unwrap_or(ErrorClass::Other)
}

/// One stay of an address on the suppression list.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Block {
    /// Since when, as [`Delivery::created`].
    pub created: String,
    /// The address, in lower case.
    pub email: String,
    /// The stay's id, 13 letters.
    pub id: String,
    /// How many errors were counted.
    pub occurred: String,
    /// The number of the error's class; 11 for the recipient's own will, 99 where nobody said one (an operator's act).
    pub status: String,
}

impl Block {
    /// The keys, in their order.
    pub const KEYS: [&'static str; 5] = ["created", "email", "id", "occurred", "status"];

    /// The record of a stay.
    pub fn of(address: &str, entry: &Entry, zone: &Zone) -> Self {
        let class = entry.class.unwrap_or(match entry.cause.is_will() {
            true => ErrorClass::Unsubscribed,
            false => ErrorClass::Other,
        });
        Block {
            created: zone.full(entry.since),
            email: address.to_owned(),
            id: entry.id.to_string(),
            occurred: entry.occurred.to_string(),
            status: class.code().to_string(),
        }
    }

    /// Its values, in the order of [`Block::KEYS`].
    pub fn into_values(self) -> [String; 5] {
        [self.created, self.email, self.id, self.occurred, self.status]
    }
}

fn return_path(message: &Message) -> String {
    let Some(sender) = &message.sender else { return String::new() };
    match &message.return_path {
        ReturnPath::AsIs | ReturnPath::Token { .. } => sender.to_string(),
        ReturnPath::KeepLocal { domain } => kept_local(sender, domain).unwrap_or_else(|| sender.clone()).to_string(),
    }
}

fn reason(event: &Event) -> String {
    let said = event.detail.as_deref().map_or("", |d| &*d.reply);
    // Who it was is in the operation log; a program need not know the names of the machine's users.
    match (&event.operator, said) {
        (Some(_), "") => "removed from the queue by an operator".to_owned(),
        (_, said) => said.to_owned(),
    }
}

#[cfg(test)]
mod tests;
