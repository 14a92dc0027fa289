//! What people and programs ask of the store, and what they hear: pages of the queue and the logs, sums, accounts.

use std::{collections::HashMap, sync::Arc, time::Duration};

use ipnet::IpNet;

use super::types::{Lane, Message, Recipient};
use crate::{
    clock::Timestamp,
    event::{Class, ErrorClass, Event, EventKind, WaitReason},
    ids::MessageId,
    secret::Secret,
};

/// One page of an answer.
#[derive(Clone, Debug)]
pub struct Page {
    /// Rows at most.
    pub rows_max: usize,
    /// Where the page before ended; opaque.
    pub cursor: Option<String>,
    /// Rows looked at, at most, before an unfinished page is returned with its cursor.
    pub scan_max: usize,
    /// How long a scan looks before it returns what it has, with its cursor; `None`: until `scan_max`.
    pub within: Option<Duration>,
}

impl Default for Page {
    fn default() -> Self {
        Page { rows_max: 100, cursor: None, scan_max: 200_000, within: None }
    }
}

/// A row of the queue.
#[derive(Clone, Debug)]
pub struct QueueRow {
    /// The message.
    pub message: Arc<Message>,
    /// The recipient.
    pub recipient: Recipient,
}

/// A page of the queue.
#[derive(Clone, Debug, Default)]
pub struct QueuePage {
    /// The rows.
    pub rows: Vec<QueueRow>,
    /// Where to go on; `None`: this was the last page.
    pub next: Option<String>,
}

/// How many waiting recipients a filter takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct QueueCount {
    /// So many.
    pub recipients: u64,
    /// False: there was no time to look at all that may match, so that there may be more.
    pub is_whole: bool,
}

/// What waits, in sums.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct QueueSums {
    /// Recipients by class and reason, in the order of [`Class::ALL`] and [`WaitReason::ALL`].
    pub waits: [[u64; WaitReason::ALL.len()]; Class::ALL.len()],
    /// Recipients by API user, the most first; the empty name is mail without one. Users with none are left out.
    pub users: Vec<(String, u64)>,
}

/// A lane's totals.
#[derive(Clone, Debug)]
pub struct LaneRow {
    /// Which.
    pub lane: Lane,
    /// Waiting recipients.
    pub count: u64,
    /// Of each class, in the order of [`Class::ALL`].
    pub classes: [u64; Class::ALL.len()],
    /// The earliest due time.
    pub earliest_due: Timestamp,
    /// The lane's last deferral, for people: what the destination said. Empty when none was stored.
    pub last_reply: String,
}

/// A question to the log. Empty fields match all.
#[derive(Clone, Debug, Default)]
pub struct LogQuery {
    /// From this time (inclusive).
    pub from: Option<Timestamp>,
    /// To this time (exclusive).
    pub to: Option<Timestamp>,
    /// Recipient, part of it or whole.
    pub recipient: String,
    /// Envelope sender or header From, part or whole.
    pub sender: String,
    /// Message-ID, part or whole.
    pub message_id: String,
    /// X-Api-Data, part or whole.
    pub api_data: String,
    /// The decoded subject, part or whole.
    pub subject: String,
    /// The API user, exactly.
    pub user: String,
    /// Only these kinds; empty: all.
    pub kinds: Vec<EventKind>,
    /// The fields match whole instead of in part: uses the indexes.
    pub exact: bool,
    /// One message.
    pub message: Option<MessageId>,
    /// The error log: failed, bounced and complained only, for the period of `[retention] error_log`.
    pub errors_only: bool,
    /// Only events with a greater number (`--follow`).
    pub after: Option<u64>,
    /// Only errors of these classes; empty: whatever the class, and what is no error.
    pub classes: Vec<ErrorClass>,
    /// The recipient's domain, exactly, any case.
    pub domain: String,
}

/// A row of the log.
#[derive(Clone, Debug)]
pub struct LogRow {
    /// The event.
    pub event: Event,
    /// Its number: grows with time; the cursor of `--follow`.
    pub number: u64,
    /// The recipient's address.
    pub recipient: String,
    /// Its message.
    pub message: Arc<Message>,
    /// What it is about, or what came back about it (R11): of a bounce or complaint the event before it (none once that is
    /// past its period), of a final event the bounces and complaints behind it, oldest first.
    pub links: Vec<Linked>,
}

/// An entry of the log that another one names (R11).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Linked {
    /// Its number.
    pub number: u64,
    /// The entry.
    pub event: Event,
}

/// A page of the log.
#[derive(Clone, Debug, Default)]
pub struct LogPage {
    /// The rows, newest first.
    pub rows: Vec<LogRow>,
    /// Where to go on; `None`: this was the last page.
    pub next: Option<String>,
    /// How far back the page looked, when it is unfinished.
    pub looked_back_to: Option<Timestamp>,
}

/// A message that a search found.
#[derive(Clone, Debug)]
pub struct Found {
    /// The message.
    pub message: Arc<Message>,
    /// The recipient that was found by, else the first.
    pub recipient: Option<Recipient>,
}

/// A page of a search.
#[derive(Clone, Debug, Default)]
pub struct FoundPage {
    /// The messages, newest first.
    pub messages: Vec<Found>,
    /// Where to go on; `None`: this was the last page.
    pub next: Option<String>,
    /// How far back the page looked, when it ended before it was full.
    pub looked_back_to: Option<Timestamp>,
}

/// Everything about one message.
#[derive(Clone, Debug)]
pub struct Story {
    /// The message.
    pub message: Arc<Message>,
    /// Its recipients.
    pub recipients: Vec<Recipient>,
    /// Its events, oldest first.
    pub events: Vec<Event>,
    /// The numbers of the events, in the same order.
    pub numbers: Vec<u64>,
}

impl Story {
    /// Leaves out the events for which `keep` says no.
    pub fn retain_events(&mut self, keep: impl Fn(&Event) -> bool) {
        let kept: Vec<bool> = self.events.iter().map(keep).collect();
        let mut of_events = kept.iter().copied();
        self.events.retain(|_| of_events.next().unwrap_or(false));
        let mut of_numbers = kept.into_iter();
        self.numbers.retain(|_| of_numbers.next().unwrap_or(false));
    }

    /// The places of each recipient's events, in their order: one pass, where many are asked about.
    pub fn places(&self) -> HashMap<u32, Vec<usize>> {
        let mut places: HashMap<u32, Vec<usize>> = HashMap::new();
        for (place, event) in self.events.iter().enumerate() {
            places.entry(event.key.index).or_default().push(place);
        }
        places
    }

    /// What the event at this place is about, or what came back about it (R11), as [`LogRow::links`].
    pub fn links(&self, place: usize) -> Vec<Linked> {
        let Some(event) = self.events.get(place) else { return Vec::new() };
        let same = (0..self.events.len()).filter(|n| self.events[*n].key == event.key).collect::<Vec<_>>();
        self.links_among(place, &same)
    }

    /// The same, where the places of its recipient's events are known.
    pub fn links_among(&self, place: usize, same: &[usize]) -> Vec<Linked> {
        let (Some(event), Ok(at)) = (self.events.get(place), same.binary_search(&place)) else { return Vec::new() };
        let linked =
            |n: usize| Linked { number: self.numbers.get(n).copied().unwrap_or(0), event: self.events[n].clone() };
        let is_return = |n: &usize| self.events[*n].kind.is_return();
        if event.kind.is_return() {
            let before = same[..at].iter().copied().rev().find(|n| !is_return(n));
            return before.map(linked).into_iter().collect();
        }
        if event.kind == EventKind::Queued {
            return Vec::new();
        }
        same[at + 1..].iter().copied().take_while(is_return).map(linked).collect()
    }
}

/// An entry of the operation log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuditEntry {
    /// When.
    pub at: Timestamp,
    /// Who: `operator` with the Unix user, an account, or `hikyaku` itself.
    pub who: String,
    /// From where: an address or `control socket`.
    pub from: String,
    /// The act: `queue.flush`, `user.add`, `config.reload`, `login` …
    pub act: String,
    /// On what.
    pub object: String,
    /// The difference or result, secrets hidden.
    pub detail: String,
}

impl AuditEntry {
    /// A value that somebody typed, as `object` and `detail` have it: as it is, and in quotes with its signs escaped where it could
    /// be read as more than one value, or as something that was not done.
    pub fn typed(text: &str) -> String {
        // Blanks and signs part values from each other; what `Debug` escapes is not seen, or reorders what is.
        let is_odd = |c: char| {
            c.is_whitespace() || matches!(c, '=' | ';' | '→' | '"' | '\\' | '“' | '”') || c.escape_debug().len() > 1
        };
        if text.contains(is_odd) { format!("{text:?}") } else { text.to_owned() }
    }
}

/// A question to the operation log. Empty fields match all.
#[derive(Clone, Debug, Default)]
pub struct AuditQuery {
    /// From (inclusive).
    pub from: Option<Timestamp>,
    /// To (exclusive).
    pub to: Option<Timestamp>,
    /// Part of who.
    pub who: String,
    /// Part of the act.
    pub act: String,
    /// Logins only, or all but logins; `None`: both.
    pub logins: Option<bool>,
    /// Part of on what, of the result, or of from where.
    pub text: String,
    /// Only entries with a greater number (`--follow`).
    pub after: Option<u64>,
}

/// A page of the operation log.
#[derive(Clone, Debug, Default)]
pub struct AuditPage {
    /// The rows, newest first.
    pub rows: Vec<AuditEntry>,
    /// Their numbers, in the same order; they grow with time.
    pub numbers: Vec<u64>,
    /// Where to go on.
    pub next: Option<String>,
    /// How far back the page looked, when it is unfinished.
    pub looked_back_to: Option<Timestamp>,
}

/// Events of one minute.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MinuteCounts {
    /// Its start.
    pub minute: Timestamp,
    /// Recipients accepted.
    pub queued: u64,
    /// Tries that deferred.
    pub deferred: u64,
    /// Recipients delivered.
    pub succeeded: u64,
    /// Recipients failed.
    pub failed: u64,
    /// Recipients that were not written to (classes 10 and 11): accepted, neither delivered nor failed.
    pub blocked: u64,
}

/// Events of a quarter of an hour, of the mail of one API user.
///
/// As CMC counts: valid is succeeded and failed together; blocked stands apart; what bounced after it was delivered stays
/// delivered.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct QuarterCounts {
    /// Its start.
    pub start: Timestamp,
    /// The API user; empty: none.
    pub user: String,
    /// Recipients accepted.
    pub queued: u64,
    /// Tries that deferred.
    pub deferred: u64,
    /// Recipients delivered.
    pub succeeded: u64,
    /// Recipients failed, the blocked left out.
    pub failed: u64,
    /// Recipients that were not written to (classes 10 and 11).
    pub blocked: u64,
    /// Recipients dropped by an operator.
    pub dropped: u64,
    /// Bounces that came back later.
    pub bounced: u64,
    /// Complaints that came back later.
    pub complained: u64,
}

impl QuarterCounts {
    /// Recipients with a result: succeeded and failed.
    pub fn valid(&self) -> u64 {
        self.succeeded.saturating_add(self.failed)
    }

    /// Adds another's numbers.
    pub fn add(&mut self, other: &QuarterCounts) {
        let pairs = [
            (&mut self.queued, other.queued),
            (&mut self.deferred, other.deferred),
            (&mut self.succeeded, other.succeeded),
            (&mut self.failed, other.failed),
            (&mut self.blocked, other.blocked),
            (&mut self.dropped, other.dropped),
            (&mut self.bounced, other.bounced),
            (&mut self.complained, other.complained),
        ];
        for (sum, n) in pairs {
            *sum = sum.saturating_add(n);
        }
    }
}

/// What waits now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Totals {
    /// Waiting recipients.
    pub waiting: u64,
    /// Of them, held.
    pub held: u64,
    /// Octets of live bodies.
    pub body_octets: u64,
    /// Leads that are kept for another try.
    pub leads: u64,
    /// Octets of redb's file.
    pub database_octets: u64,
    /// Octets free on the disk, when last looked up.
    pub disk_free: u64,
}

/// What kind of account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AccountKind {
    /// A program: SMTP AUTH and HTTP API.
    Api,
    /// A person in the console.
    Console,
}

/// What an account may change. Of the console's group administrators there is one (R17); API users may be several.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Role {
    /// Everything that an account can: CMC's group administrator, or API group administrator.
    GroupAdministrator,
    /// A console user works on all but accounts (CMC's service user); an API user sends and reads.
    #[default]
    User,
    /// Reads statistics and graphs; console only.
    ReportViewer,
}

impl Role {
    /// Every role, in the order of their stored numbers.
    pub const ALL: [Role; 3] = [Role::GroupAdministrator, Role::User, Role::ReportViewer];

    /// The word on the command line, in logs and JSON.
    pub fn word(self) -> &'static str {
        match self {
            Role::GroupAdministrator => "group-administrator",
            Role::User => "user",
            Role::ReportViewer => "report-viewer",
        }
    }
}

/// How much an API user may submit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RateLimit {
    /// Recipients …
    pub recipients: u32,
    /// … in this time.
    pub per: Duration,
}

/// What an account may do, and from where.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Rights {
    /// What it may change.
    pub role: Role,
    /// The class of its mail; `None`: the default.
    pub class: Option<Class>,
    /// It may submit by SMTP.
    pub smtp: bool,
    /// It may call the HTTP API.
    pub http: bool,
    /// It may read logs.
    pub view: bool,
    /// It may download logs (R13).
    pub download: bool,
    /// Of deliveries, bounces and statistics it reads those of its own mail only. Lists are shared.
    pub own_data_only: bool,
    /// From where it may be used; empty: from everywhere that `[accounts] allowed_ips` lets.
    pub networks: Vec<IpNet>,
    /// As whom it may send, envelope and header From alike: addresses, or domains with all below them; in lower case. Empty: as
    /// anybody.
    pub senders: Vec<String>,
    /// The zone of its dates, an IANA name; empty: `[server] time_zone`.
    pub time_zone: String,
    /// How much it may submit; `None`: as much as it wants.
    pub rate: Option<RateLimit>,
    /// From when it is not taken any more; `None`: never.
    pub expires_at: Option<Timestamp>,
    /// Its mail is taken, logged and never delivered.
    pub sandbox: bool,
}

/// What only a console account has.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Person {
    /// The name of the person, for screens and the operation log.
    pub display_name: String,
    /// `en` or `ja`; empty: the browser's.
    pub language: String,
    /// Wrong passwords in a row (R15).
    pub failed_logins: u32,
    /// Locked since; `None`: not locked.
    pub locked_at: Option<Timestamp>,
    /// The shared secret of two-factor logins (RFC 6238); `None`: off.
    pub totp: Option<Secret<Vec<u8>>>,
    /// The last time step whose code was used: a code counts once.
    pub totp_step: u64,
    /// Digests of the recovery codes that are left: each stands once for a code of the second factor.
    pub recovery: Vec<Secret<Vec<u8>>>,
    /// The links to set a password anew that were mailed last, the newest last: SHA-256 of the token, and until when it counts.
    pub resets: Vec<(Secret<Vec<u8>>, Timestamp)>,
}

/// A stored account.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Account {
    /// Its name: the login. Of a console account it is an e-mail address.
    pub name: String,
    /// What it is.
    pub kind: AccountKind,
    /// PHC string of argon2id.
    pub hash: Secret<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its password was set.
    pub password_set_at: Timestamp,
    /// What it may do.
    pub rights: Rights,
    /// What only a console account has; of others, empty.
    pub person: Person,
}

/// A change of accounts, and what the operation and login logs say of it: one transaction.
#[derive(Clone, Default, Debug)]
pub struct AccountChange {
    /// Accounts to write.
    pub put: Vec<Account>,
    /// Written over accounts of the same names; else a name that is taken refuses the whole change.
    pub replace: bool,
    /// An account to remove; none of that name refuses the whole change.
    pub remove: Option<String>,
    /// Entries of the logs.
    pub audit: Vec<AuditEntry>,
}

/// What a backup holds.
#[derive(Clone, Copy, Debug, Default)]
pub struct BackupSummary {
    /// Messages with a live body.
    pub messages: u64,
    /// Octets of bodies.
    pub octets: u64,
}

/// What `verify` found.
#[derive(Clone, Debug, Default)]
pub struct VerifyReport {
    /// Message rows read.
    pub messages: u64,
    /// Recipient rows read.
    pub recipients: u64,
    /// Events read.
    pub events: u64,
    /// Bodies read and checked.
    pub bodies: u64,
    /// Index rows of pruned events, which go with their day.
    pub index_rows_left: u64,
    /// Entries of the operation log read.
    pub audit_entries: u64,
    /// The last one's number, and its hash in hexadecimal digits: proves the log up to it to whoever kept it elsewhere.
    pub audit_head: (u64, String),
    /// What is wrong, one line each; empty: nothing.
    pub damage: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_typed_is_one_value_of_the_operation_log() {
        for (text, told) in [
            ("花子", "花子"),
            ("gmail.example", "gmail.example"),
            ("a+b@example.jp", "a+b@example.jp"),
            ("10.0.0.0/8,192.0.2.0/24", "10.0.0.0/8,192.0.2.0/24"),
            ("Hanako Yamada", "\"Hanako Yamada\""),
            ("Boss; role user → group-administrator", "\"Boss; role user → group-administrator\""),
            ("a destination=b", "\"a destination=b\""),
            ("a\"; b \"", "\"a\\\"; b \\\"\""),
            ("a\u{202e}b", "\"a\\u{202e}b\""),
            ("a\nb", "\"a\\nb\""),
        ] {
            assert_eq!(AuditEntry::typed(text), told, "{text:?}");
        }
    }
}
