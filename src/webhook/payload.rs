//! What is posted: CMC's records in CMC's envelope, as JSON or as a form, in version 1 or 2.
//!
//! In: rows of the log, changes of the suppression list, the endpoint's settings.  Out: records, bodies.
//! Always: one body holds records of one kind; every value of a record is a string; `<` and `>` are written as \u003C and
//! \u003E, as CMC does; in a form, `event` is JSON in a string; the envelope has CMC's four keys, and `event_ids` only where it
//! was asked for.
//! Sources: cmc.md §10.1.

use serde::Serialize;

use super::outbox::ListChange;
use crate::{
    clock::Timestamp,
    config,
    doctor::told::DomainChange,
    event::EventKind,
    records::{Block, Bounce, Delivery},
    secret::Secret,
    store::LogRow,
    when::Zone,
};

/// CMC's `event_type`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Feed {
    /// What happened to recipients.
    Deliveries,
    /// The errors of the log, those that came back included.
    Bounces,
    /// What came onto or off the suppression list.
    Blocks,
    /// What changed in the checks of domains: an event of our own, which CMC has not.
    Domains,
}

impl Feed {
    /// CMC's word.
    pub fn word(self) -> &'static str {
        match self {
            Feed::Deliveries => "deliveries",
            Feed::Bounces => "bounces",
            Feed::Blocks => "blocks",
            Feed::Domains => "domains",
        }
    }

    /// Posts of this word come from the outbox of the suppression list, the others from the log.
    pub fn is_of_list(word: &str) -> bool {
        [Feed::Blocks, Feed::Domains].iter().any(|feed| feed.word() == word)
    }

    /// The letter in the id of a post.
    pub(super) fn letter(self) -> char {
        match self {
            Feed::Deliveries => 'd',
            Feed::Bounces => 'b',
            Feed::Blocks => 'k',
            Feed::Domains => 'n',
        }
    }
}

/// How an endpoint wants it.
#[derive(Clone, Debug)]
pub struct Style {
    /// As a form instead of JSON.
    pub form: bool,
    /// 1 or 2.
    pub version: u8,
    /// Echoed; empty: left out.
    pub api_key: Secret<String>,
    /// `[server] composition`.
    pub composition: String,
    /// The numbers of the events go along.
    pub event_ids: bool,
    /// The zone of the dates.
    pub zone: Zone,
}

impl Style {
    /// What the endpoint's settings say.
    pub fn of(hook: &config::Webhook, config: &config::Config) -> Self {
        let zone = if hook.time_zone.is_empty() { &config.server.time_zone } else { &hook.time_zone };
        Style {
            form: hook.form,
            version: hook.version,
            api_key: hook.api_key.clone(),
            composition: config.server.composition.clone(),
            event_ids: hook.event_ids,
            zone: Zone::named(zone),
        }
    }
}

/// Which events an endpoint wants, and of what.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Wants {
    queued: bool,
    succeeded: bool,
    deferred: bool,
    failed: bool,
    bounced: bool,
    /// Changes of the suppression list.
    pub blocked: bool,
    /// Changes of what the checks of domains find.
    pub domains: bool,
}

impl Wants {
    /// What the endpoint's settings say.
    pub fn of(hook: &config::Webhook) -> Self {
        let has = |word: &str| hook.events.iter().any(|e| e == word);
        Wants {
            queued: has("queued"),
            succeeded: has("succeeded"),
            deferred: has("deferred"),
            failed: has("failed"),
            bounced: has("bounced"),
            // Version 1 has none.
            blocked: has("blocked") && hook.version > 1,
            domains: has("domain") && hook.version > 1,
        }
    }

    /// It wants something of the outbox.
    pub fn outbox(self) -> bool {
        self.blocked || self.domains
    }

    /// The kinds of the log's events that it may want.
    pub fn kinds(self) -> Vec<EventKind> {
        EventKind::ALL.into_iter().filter(|kind| self.delivery(*kind) || self.bounce(*kind)).collect()
    }

    /// It is told among the deliveries.
    pub fn delivery(self, kind: EventKind) -> bool {
        match kind {
            EventKind::Queued => self.queued,
            EventKind::Succeeded => self.succeeded,
            EventKind::Deferred => self.deferred,
            EventKind::Failed | EventKind::Dropped => self.failed,
            EventKind::Bounced | EventKind::Complained => false,
        }
    }

    /// It is told among the bounces.
    pub fn bounce(self, kind: EventKind) -> bool {
        self.bounced && kind.is_error()
    }
}

/// A record of version 1.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct First<'a> {
    created: &'a str,
    envelope_from: &'a str,
    envelope_to: &'a str,
    message_id: &'a str,
    reason: &'a str,
    sender_ip: &'a str,
    source_ip: &'a str,
    status: &'a str,
    subject: &'a str,
}

/// A record of `blocks`: CMC's list has the first five keys; those of its webhook were never published.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BlockEvent {
    #[serde(flatten)]
    block: Block,
    /// CMC's verb: `add`, `cancel` (lifted, later errors may block again), `delete` (exempt for good).
    operation: &'static str,
    /// The last answer, or the operator's words.
    reason: String,
    /// For whose mail; empty: for everybody's.
    api_user: String,
}

/// A record of `domains`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DomainEvent<'a> {
    created: String,
    domain: &'a str,
    check: &'a str,
    subject: &'a str,
    /// `ok`, `note`, `warning`, `error`; empty: the finding has gone.
    level: &'a str,
    previous_level: &'a str,
    message: &'a str,
    message_ja: &'a str,
    fix: &'a str,
    fix_ja: &'a str,
    /// Lines of a zone file.
    records: String,
}

impl Style {
    /// The record of an event among the deliveries.
    pub fn delivery(&self, row: &LogRow) -> Option<Vec<u8>> {
        let mut record = Delivery::of(&row.event, &row.recipient, &row.message, &self.zone)?;
        if row.event.kind == EventKind::Dropped {
            // CMC knows no such status, and its receivers would wait for an end that never comes.
            record.status = EventKind::Failed.word().to_owned();
        }
        Some(self.delivery_record(&record))
    }

    fn delivery_record(&self, record: &Delivery) -> Vec<u8> {
        match self.version {
            1 => json(&First {
                created: &record.created,
                envelope_from: &record.return_path,
                envelope_to: &record.to,
                message_id: &record.message_id,
                reason: &record.reason,
                sender_ip: &record.sender_ip,
                source_ip: &record.source_ip,
                status: &record.status,
                subject: &record.subject,
            }),
            _ => json(record),
        }
    }

    /// The record of an event among the bounces.
    pub fn bounce(&self, row: &LogRow) -> Option<Vec<u8>> {
        let record = Bounce::of(&row.event, &row.recipient, &row.message, &self.zone)?;
        let sender_ip = row.event.detail.as_ref().and_then(|d| d.sender_ip).map(|ip| ip.to_string());
        Some(match self.version {
            1 => json(&First {
                created: &record.created,
                envelope_from: &record.return_path,
                envelope_to: &record.to,
                message_id: &record.message_id,
                reason: &record.reason,
                sender_ip: sender_ip.as_deref().unwrap_or_default(),
                source_ip: "",
                status: &record.status,
                subject: &record.subject,
            }),
            _ => json(&record),
        })
    }

    /// The record of a change of the suppression list.
    pub fn block(&self, change: &ListChange) -> Vec<u8> {
        let block = Block::of(&change.address, &change.entry, &self.zone);
        json(&BlockEvent {
            block: Block { created: self.zone.full(change.at), ..block },
            operation: change.act.cmc_word(),
            reason: change.entry.reason.clone(),
            api_user: change.user.clone(),
        })
    }

    /// The record of a change in what the check of a domain finds.
    pub fn domain(&self, change: &DomainChange) -> Vec<u8> {
        json(&DomainEvent {
            created: self.zone.full(change.at),
            domain: &change.domain,
            check: &change.check,
            subject: &change.subject,
            level: &change.is,
            previous_level: &change.was,
            message: &change.seen,
            message_ja: &change.seen_ja,
            fix: &change.fix,
            fix_ja: &change.fix_ja,
            records: change.records.join("\n"),
        })
    }

    /// The record of an event that never happened: for trying an endpoint.
    pub fn made_up(&self, hostname: &str, now: Timestamp) -> Vec<u8> {
        let nobody = format!("test@{hostname}");
        let record = Delivery {
            created: self.zone.full(now),
            return_path: nobody.clone(),
            from: nobody.clone(),
            to: nobody,
            message_id: format!("<test.{}@{hostname}>", now.as_millis()),
            status: EventKind::Queued.word().to_owned(),
            subject: "Hikyaku webhook test".to_owned(),
            ..Delivery::default()
        };
        self.delivery_record(&record)
    }

    /// The body of a post.
    pub fn body(&self, feed: Feed, records: &[Vec<u8>], ids: &[u64]) -> Vec<u8> {
        let mut event = format!("{{\"{}\":[", feed.word()).into_bytes();
        event.extend_from_slice(&records.join(&b','));
        event.extend_from_slice(b"]}");
        let ids = self.event_ids.then(|| {
            let ids: Vec<String> = ids.iter().map(u64::to_string).collect();
            json(&ids)
        });
        if self.form {
            self.form_body(feed, &event, ids.as_deref())
        } else {
            self.json_body(feed, &event, ids.as_deref())
        }
    }

    fn json_body(&self, feed: Feed, event: &[u8], ids: Option<&[u8]>) -> Vec<u8> {
        let mut body = b"{".to_vec();
        if !self.api_key.reveal().is_empty() {
            body.extend_from_slice(b"\"api_key\":");
            body.extend_from_slice(&json(self.api_key.reveal()));
            body.push(b',');
        }
        body.extend_from_slice(b"\"server_composition\":");
        body.extend_from_slice(&json(&self.composition));
        body.extend_from_slice(format!(",\"event_type\":\"{}\",\"event\":", feed.word()).as_bytes());
        body.extend_from_slice(event);
        if let Some(ids) = ids {
            body.extend_from_slice(b",\"event_ids\":");
            body.extend_from_slice(ids);
        }
        body.push(b'}');
        body
    }

    fn form_body(&self, feed: Feed, event: &[u8], ids: Option<&[u8]>) -> Vec<u8> {
        let mut body = Vec::with_capacity(event.len() * 2);
        if !self.api_key.reveal().is_empty() {
            field(&mut body, "api_key", self.api_key.reveal().as_bytes());
        }
        field(&mut body, "server_composition", self.composition.as_bytes());
        field(&mut body, "event_type", feed.word().as_bytes());
        field(&mut body, "event", event);
        if let Some(ids) = ids {
            field(&mut body, "event_ids", ids);
        }
        body
    }

    /// The body's media type.
    pub fn content_type(&self) -> &'static str {
        if self.form { "application/x-www-form-urlencoded" } else { "application/json" }
    }
}

/// JSON without angle brackets.
fn json(value: &impl Serialize) -> Vec<u8> {
    let plain = serde_json::to_vec(value).expect("strings have a form in JSON");
    if !plain.iter().any(|b| matches!(b, b'<' | b'>')) {
        return plain;
    }
    // They stand within strings alone: JSON itself has none.
    let mut out = Vec::with_capacity(plain.len() + 32);
    for b in plain {
        match b {
            b'<' => out.extend_from_slice(b"\\u003C"),
            b'>' => out.extend_from_slice(b"\\u003E"),
            b => out.push(b),
        }
    }
    out
}

/// A field of a form (WHATWG URL §5.2).
fn field(body: &mut Vec<u8>, name: &str, value: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    if !body.is_empty() {
        body.push(b'&');
    }
    body.extend_from_slice(name.as_bytes());
    body.push(b'=');
    for b in value {
        match b {
            b' ' => body.push(b'+'),
            b'*' | b'-' | b'.' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => body.push(*b),
            b => body.extend_from_slice(&[b'%', HEX[usize::from(b >> 4)], HEX[usize::from(b & 15)]]),
        }
    }
}

#[cfg(test)]
#[path = "payload_tests.rs"]
mod tests;
