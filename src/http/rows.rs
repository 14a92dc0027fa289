//! The rows of the machine routes: JSON in snake_case, the same for `--json`, `/status.json` and the command line's tables.
//!
//! In: what the store has.  Out: serde structs; times are RFC 3339 in UTC, sizes octets, durations milliseconds.
//! Always: a name here is a contract with other people's programs: fields are added, never renamed or given another unit.

use serde::{Deserialize, Serialize};

pub use super::{
    domain_status::DomainStatusOut,
    rows_delivery::{AgesOut, DestinationOut, FactOut, LiftOut, PauseOut, UnusedRuleOut, WarmUpOut, validation_word},
    rows_lists::ListsOut,
    rows_log::{EventOut, LinkOut, LogOut, StoryOut},
    rows_users::{UserActOut, UserKeyOut, UserOut},
    rows_webhooks::WebhookOut,
};
use crate::{
    clock::Timestamp,
    config::Mode,
    dmarc::watch::AlarmOut,
    event::{ErrorClass, EventKind},
    http::rows_keys::DkimOut,
    store::{AuditEntry, BodyPlace, Message, Origin, QueueRow, Recipient, RecipientState, Totals},
};

/// A time; `None` where it is the end of time, that is, held.
pub(super) fn time(at: Timestamp) -> Option<String> {
    (at != Timestamp::MAX).then(|| at.rfc3339())
}

/// The name of an error class, as the log and the config write it.
pub fn error_word(class: ErrorClass) -> &'static str {
    class.word()
}

/// The name of a delivery mode.
pub fn mode_word(mode: Mode) -> &'static str {
    match mode {
        Mode::Internet => "internet",
        Mode::Smarthost => "smarthost",
        Mode::Sandbox => "sandbox",
    }
}

/// A recipient and where it stands.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct RecipientOut {
    /// Its place in the envelope, from 0.
    pub index: u32,
    /// Its address.
    pub recipient: String,
    /// Its destination: domain, or smarthost.
    pub destination: String,
    /// `waiting`, `held`, or its final event's word.
    pub state: String,
    /// Why it waits: `fresh`, `retry`, `site`, `held`, `damaged`, `scheduled`; `null` when it is final.
    pub wait: Option<String>,
    /// Tries so far.
    pub attempts: u32,
    /// When it is tried next; `null` while held and when final.
    pub next_try: Option<String>,
    /// The last answer or trouble; empty before the first try.
    pub last_reply: String,
    /// The next try may be a duplicate (P3).
    pub possible_duplicate: bool,
    /// How it is treated and why; of some waiting recipients of `queue show` and `find` only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub facts: Vec<FactOut>,
}

impl From<&Recipient> for RecipientOut {
    fn from(r: &Recipient) -> Self {
        let (state, wait, next_try) = match &r.state {
            RecipientState::Waiting { due, wait } => {
                let held = *due == Timestamp::MAX;
                (if held { "held" } else { "waiting" }, Some(wait.word().to_owned()), time(*due))
            }
            RecipientState::Final(kind) => (kind.word(), None, None),
        };
        RecipientOut {
            index: r.key.index,
            recipient: r.address.to_string(),
            destination: r.lane.destination().to_owned(),
            state: state.to_owned(),
            wait,
            attempts: r.attempts,
            next_try,
            last_reply: r.last_reply.clone(),
            possible_duplicate: r.possible_duplicate,
            facts: Vec::new(),
        }
    }
}

/// A message.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct MessageOut {
    /// Its queue id.
    pub queue_id: String,
    /// When it was accepted.
    pub accepted_at: String,
    /// When its waiting recipients expire.
    pub expires_at: String,
    /// MAIL FROM; empty: the null reverse-path.
    pub sender: String,
    /// The form of the sender that goes out (R3): `as_is`, `token` (one for each recipient) or `keep_local`.
    #[serde(default)]
    pub return_path: String,
    /// Its domain; empty: that of `sender`.
    #[serde(default)]
    pub return_domain: String,
    /// The header's From address.
    pub from: String,
    /// The decoded subject.
    pub subject: String,
    /// Message-ID with its angle brackets.
    pub message_id: String,
    /// X-Api-Data.
    pub api_data: String,
    /// The API user; empty: none.
    pub user: String,
    /// The address that submitted it; `null`: ourselves.
    pub source_ip: Option<String>,
    /// `smtp`, `api`, `notice` or `forward`.
    pub origin: String,
    /// `high`, `normal` or `low`.
    pub class: String,
    /// Octets of the body.
    pub size: u64,
    /// The body is still stored.
    pub body_stored: bool,
}

impl From<&Message> for MessageOut {
    fn from(m: &Message) -> Self {
        MessageOut {
            queue_id: m.id.to_string(),
            accepted_at: m.accepted_at.rfc3339(),
            expires_at: m.expires_at.rfc3339(),
            sender: m.sender.as_ref().map_or_else(String::new, ToString::to_string),
            return_path: m.return_path.word().to_owned(),
            return_domain: m.return_path.domain().to_owned(),
            from: m.facts.from.clone(),
            subject: m.facts.subject.clone(),
            message_id: m.facts.message_id.clone(),
            api_data: m.facts.api_data.clone(),
            user: m.user.clone(),
            source_ip: m.source_ip.map(|ip| ip.to_string()),
            origin: match m.origin {
                Origin::Smtp => "smtp",
                Origin::Api => "api",
                Origin::Notice => "notice",
                Origin::Forward => "forward",
            }
            .to_owned(),
            class: m.class.word().to_owned(),
            size: m.len,
            body_stored: m.place != BodyPlace::Gone,
        }
    }
}

/// One line of `queue list`: a waiting recipient with its message.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct QueueOut {
    /// The message.
    #[serde(flatten)]
    pub message: MessageOut,
    /// The recipient.
    #[serde(flatten)]
    pub recipient: RecipientOut,
}

impl From<&QueueRow> for QueueOut {
    fn from(row: &QueueRow) -> Self {
        QueueOut { message: (&*row.message).into(), recipient: (&row.recipient).into() }
    }
}

/// One line of `log audit`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct AuditOut {
    /// When.
    pub at: String,
    /// Who.
    pub who: String,
    /// From where.
    pub from: String,
    /// The act.
    pub act: String,
    /// On what.
    pub object: String,
    /// The difference or result, secrets hidden.
    pub detail: String,
    /// Its number: grows with time; where `--follow` goes on, and what `hikyaku verify` calls it.
    #[serde(default)]
    pub number: u64,
}

impl From<&AuditEntry> for AuditOut {
    fn from(e: &AuditEntry) -> Self {
        AuditOut {
            at: e.at.rfc3339(),
            who: e.who.clone(),
            from: e.from.clone(),
            act: e.act.clone(),
            object: e.object.clone(),
            detail: e.detail.clone(),
            number: 0,
        }
    }
}

/// What a queue act did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ActOut {
    /// Recipients acted on.
    pub recipients: u64,
}

/// Counts of a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct CountsOut {
    /// Recipients accepted.
    pub accepted: u64,
    /// Recipients delivered.
    pub delivered: u64,
    /// Tries that deferred.
    pub deferred: u64,
    /// Recipients failed.
    pub failed: u64,
    /// Recipients accepted and not written to, since they are suppressed or have unsubscribed; not among the failed.
    #[serde(default)]
    pub blocked: u64,
}

/// Why the daemon is not ready.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ReasonOut {
    /// A word: `starting`, `draining`, `store_failed`, `disk_full`, `verdicts_stuck`, `writer_behind`.
    pub reason: String,
    /// What it means.
    pub words: String,
}

/// `/status.json` and `hikyaku status`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct StatusOut {
    /// `ok`, `waiting` (some mail was deferred or is held) or `trouble` (no new mail is taken).
    pub state: String,
    /// Why it is in trouble; else empty.
    pub reasons: Vec<ReasonOut>,
    /// The daemon's name.
    pub hostname: String,
    /// Its version.
    pub version: String,
    /// `internet`, `smarthost` or `sandbox`.
    pub mode: String,
    /// When this was asked.
    pub at: String,
    /// When the process started.
    pub started_at: String,
    /// The zone of screens and CSV.
    pub time_zone: String,
    /// Waiting recipients.
    pub waiting: u64,
    /// Of them, held.
    pub held: u64,
    /// Sessions open now.
    pub sessions: u64,
    /// Outbound connections open now.
    pub connections: u64,
    /// Octets of live bodies.
    pub body_octets: u64,
    /// Octets of the database.
    pub database_octets: u64,
    /// Octets free on the disk.
    pub disk_free_octets: u64,
    /// The last hour.
    pub last_hour: CountsOut,
    /// The destinations with the most waiting recipients.
    pub destinations: Vec<DestinationOut>,
    /// How long the oldest waiting mail of each class has waited.
    #[serde(default)]
    pub oldest_seconds: AgesOut,
    /// Whether the resolvers validate DNSSEC: `yes`, `no`, `unknown`; `null`: nobody asks (DANE is off).
    #[serde(default)]
    pub dns_validation: Option<String>,
    /// Destinations that an operator paused.
    #[serde(default)]
    pub pauses: Vec<PauseOut>,
    /// Source addresses that are warming up.
    #[serde(default)]
    pub warm_ups: Vec<WarmUpOut>,
    /// Who is not written to.
    #[serde(default)]
    pub lists: ListsOut,
    /// Why rows of the logs are not archived, and so not pruned; `null`: nothing is wrong.
    #[serde(default)]
    pub archive_trouble: Option<String>,
    /// Delivery-speed rules that have matched nothing for thirty days.
    #[serde(default)]
    pub unused_rules: Vec<UnusedRuleOut>,
    /// Webhooks that fail, are gone, or set something aside.
    #[serde(default)]
    pub webhooks: Vec<WebhookOut>,
    /// What is wrong with DMARC reports that should come (R2).
    #[serde(default)]
    pub dmarc_alarms: Vec<AlarmOut>,
    /// What the checks of our domains found, those with errors first.
    #[serde(default)]
    pub domains: Vec<DomainStatusOut>,
    /// The DKIM keys.
    #[serde(default)]
    pub dkim: DkimOut,
}

impl StatusOut {
    /// Fills in what the store counts.
    pub fn set_totals(&mut self, totals: &Totals) {
        self.waiting = totals.waiting;
        self.held = totals.held;
        self.body_octets = totals.body_octets;
        self.database_octets = totals.database_octets;
        self.disk_free_octets = totals.disk_free;
    }
}

/// The event kinds that a filter's comma-separated words name.
pub fn kinds_of(words: &str) -> Result<Vec<EventKind>, String> {
    words
        .split(',')
        .map(str::trim)
        .filter(|w| !w.is_empty())
        .map(|w| {
            EventKind::from_word(w).ok_or_else(|| {
                let all = EventKind::ALL.map(EventKind::word).join(", ");
                format!("{w:?} is no status: the statuses are {all}")
            })
        })
        .collect()
}
