//! What the routes may ask of the daemon: one trait, so that pages and control routes are tested without a store.
//!
//! In: questions and acts.  Out: rows of the store, and what only the running process knows.
//! Always: every method may block (it runs on a thread of [`super::server`]), and every answer is bounded by its arguments.

use std::{io, net::IpAddr, sync::Arc, time::Duration};

use crate::{
    account::{self, Accounts, Actor, Login, LoginRefusal},
    clock::{Clock, Timestamp},
    config::{Config, Mode, Suppression},
    deliver::counted::{RuleUse, WarmUpState},
    deliver::lately::Lately,
    diagnose::{Diagnosis, NoDiagnosis, Question},
    dmarc::monitor::Desk,
    doctor::round::Findings,
    fact::Fact,
    http::{
        api::{caller::Calls, emails::Posting, transaction::paging::PageMarks},
        day_sums::DaySums,
        exchange::Stream,
        owner_links::OwnerLinks,
        queue_acts::{ActEnd, ActView},
        resources::Resources,
        views::Views,
        when::Zone,
    },
    ids::MessageId,
    language::Language,
    metrics::Metrics,
    net::dns::Validation,
    sandbox::SandboxMail,
    schedule::trouble::SiteTrouble,
    secret::Secret,
    signing::rotate::Rotation,
    smtp::{address::Mailbox, conversation::Conversation},
    store::{
        Account, AuditEntry, AuditPage, AuditQuery, Found, FoundPage, Glance, GlanceAsk, LaneRow, LogPage, LogQuery,
        MemoKind, Message, MinuteCounts, Page, Pause, QuarterCounts, QueueAct, QueueCount, QueueFilter, QueuePage,
        QueueSums, Recipient, RetentionPeriods, Store, StoreError, Story, Totals,
    },
    suppress::Suppressions,
    tls_report::receive::Shelf,
    unsubscribe::list::Unsubscribes,
    webhook::Webhooks,
};

/// Who and what this daemon is.
#[derive(Clone, Debug)]
pub struct About {
    /// `[server].hostname`.
    pub hostname: String,
    /// Hikyaku's version.
    pub version: &'static str,
    /// Where mail goes.
    pub mode: Mode,
    /// The smarthost in that mode; else empty.
    pub smarthost: String,
    /// The zone of screens and CSV.
    pub zone: Zone,
    /// When the process started.
    pub started_at: Timestamp,
    /// How long the logs may be read (R13).
    pub retention: RetentionPeriods,
}

/// Why the daemon should get no new mail now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Unready {
    /// It has not opened everything yet.
    Starting,
    /// It is stopping.
    Draining,
    /// A write or sync failed; the process ends (P2).
    StoreFailed(String),
    /// Less than `disk_free_min` is free.
    DiskFull,
    /// The disk cannot take verdicts.
    VerdictsStuck,
    /// The writer is this far behind.
    WriterBehind(Duration),
}

impl Unready {
    /// The word in `/readyz` and `/status.json`.
    pub fn word(&self) -> &'static str {
        match self {
            Unready::Starting => "starting",
            Unready::Draining => "draining",
            Unready::StoreFailed(_) => "store_failed",
            Unready::DiskFull => "disk_full",
            Unready::VerdictsStuck => "verdicts_stuck",
            Unready::WriterBehind(_) => "writer_behind",
        }
    }

    /// What it means and what to do, in a sentence.
    pub fn words(&self) -> String {
        match self {
            Unready::Starting => "starting: the store is being opened".into(),
            Unready::Draining => "stopping: sessions may finish, no new mail is taken".into(),
            Unready::StoreFailed(why) => {
                format!("the store stopped ({why}): mail that was accepted is safe; see the daemon's log")
            }
            Unready::DiskFull => {
                "the disk is nearly full: new mail is answered 452 until [queue].disk_free_min is free again".into()
            }
            Unready::VerdictsStuck => "no verdict can be stored: deliveries wait until the disk has room".into(),
            Unready::WriterBehind(by) => format!("the disk is {} s behind: new mail is answered 451", by.as_secs()),
        }
    }
}

/// What the scheduler does for a destination now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LaneActivity {
    /// The lane, as [`LaneRow::lane`] has it.
    pub lane: String,
    /// Attempts that run.
    pub running: u32,
    /// The site was in trouble; no attempt starts before this.
    pub paused_until: Option<Timestamp>,
}

/// What `explain` is asked: what would happen to such a mail, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExplainQuery {
    /// RCPT TO.
    pub recipient: Mailbox,
    /// MAIL FROM; `None`: the null reverse-path.
    pub sender: Option<Mailbox>,
    /// The API user that would submit it; empty: none.
    pub user: String,
}

/// The daemon, as routes see it.
#[allow(missing_docs)] // each is the store's, the accounts' or the sandbox's method of that name, documented there
pub trait Daemon: Send + Sync + 'static {
    /// The time.
    fn now(&self) -> Timestamp;
    /// Who and what it is.
    fn about(&self) -> About;
    /// Why it should get no mail now; empty: it is ready.
    fn unready(&self) -> Vec<Unready>;
    /// The counters.
    fn metrics(&self) -> Arc<Metrics>;
    /// Tasks that panicked and were fenced.
    fn panics(&self) -> u64;
    /// Destinations that have attempts running or are in trouble.
    fn activity(&self) -> Vec<LaneActivity>;
    /// Whether the resolvers validate DNSSEC; `None`: nobody asks, for DANE is off or no mail goes to MX hosts.
    fn validation(&self) -> Option<Validation>;
    /// What the delivery-speed rules of the config did.
    fn rule_uses(&self) -> Vec<RuleUse>;
    /// Source addresses that are warming up, by provider.
    fn warm_ups(&self) -> Vec<WarmUpState>;
    /// The chain of decisions about a mail that does not exist (yet). May ask the DNS.
    fn explain(&self, query: &ExplainQuery) -> Result<Vec<Fact>, StoreError>;
    /// The same about a recipient that waits. May ask the DNS, `within` that time.
    fn facts_of(&self, message: &Message, recipient: &Recipient, within: Duration) -> Vec<Fact>;

    fn totals(&self) -> Totals;
    fn lanes(&self, limit: usize) -> Result<Vec<LaneRow>, StoreError>;
    /// When the oldest waiting mail of each class was accepted, in the order of [`crate::event::Class::ALL`].
    fn oldest(&self) -> Result<[Option<Timestamp>; 3], StoreError>;
    fn minutes(&self, from: Timestamp, to: Timestamp) -> Result<Vec<MinuteCounts>, StoreError>;
    /// Counts of each quarter of an hour and API user in `[from, to)`, one after the other; `user`: of this one only.
    fn each_count(
        &self,
        from: Timestamp,
        to: Timestamp,
        user: Option<&str>,
        each: &mut dyn FnMut(QuarterCounts),
    ) -> Result<(), StoreError>;
    /// Why rows of the logs are not archived, and so kept; `None`: nothing is wrong.
    fn archive_trouble(&self) -> Option<String> {
        None
    }
    fn queue_page(&self, filter: &QueueFilter, page: &Page) -> Result<QueuePage, StoreError>;
    fn log_page(&self, query: &LogQuery, page: &Page) -> Result<LogPage, StoreError>;
    fn audit_page(&self, query: &AuditQuery, page: &Page) -> Result<AuditPage, StoreError>;
    fn message_story(&self, id: MessageId) -> Result<Option<Story>, StoreError>;
    fn message_glance(&self, id: MessageId, ask: &GlanceAsk) -> Result<Option<Glance>, StoreError>;
    fn find(&self, key: &str, limit: usize) -> Result<Vec<MessageId>, StoreError>;
    /// What writes a consistent copy of rows and live bodies as a tar, while running; `None`: one is being made already.
    fn backup(&self) -> Option<Stream>;

    /// Acts on waiting recipients and tells the scheduler; the store writes the operation log's entry.
    fn act(&self, act: QueueAct) -> Result<u64, StoreError>;
    /// The operator's pauses that are in force, by destination.
    fn pauses(&self) -> Result<Vec<Pause>, StoreError>;
    /// Pauses a destination and tells the scheduler; the store writes the operation log's entry.
    fn pause(&self, pause: Pause, from: &str) -> Result<(), StoreError>;
    /// Lifts a pause likewise; false: there was none.
    fn unpause(&self, destination: &str, operator: &str, from: &str) -> Result<bool, StoreError>;
    /// Writes an entry of the operation log.
    fn audit(&self, entry: AuditEntry) -> Result<(), StoreError>;

    fn accounts(&self) -> Result<Vec<Account>, StoreError>;
    /// Who may log in.
    fn users(&self) -> &Accounts;

    /// TLS reports that came in.
    fn tls_reports(&self) -> &dyn Shelf;
    /// What the doctor finds in the DNS about our domains.
    fn domain_checks(&self) -> &dyn Findings;
    /// Why mail of a domain is refused (R10). Takes some seconds.
    fn diagnose(&self, question: &Question) -> Result<Diagnosis, NoDiagnosis>;

    /// The DMARC monitor.
    fn dmarc(&self) -> &dyn Desk;

    /// How many memos of a kind there are. Short.
    fn memo_count(&self, kind: MemoKind) -> Result<u64, StoreError>;
    /// The suppression list.
    fn suppressions(&self) -> &Suppressions;
    /// `[suppression]`, as it is in force.
    fn suppression(&self) -> Suppression;
    /// Who left which list.
    fn unsubscribes(&self) -> &Unsubscribes;

    /// The webhooks.
    fn webhooks(&self) -> &Webhooks;

    /// Mails that the sandbox keeps, newest first.
    fn sandbox_list(&self, limit: usize) -> io::Result<Vec<SandboxMail>>;
    /// One of them with its source.
    fn sandbox_read(&self, id: MessageId) -> io::Result<Option<(SandboxMail, Vec<u8>)>>;
    /// Whether the sandbox keeps a mail.
    fn sandbox_has(&self, id: MessageId) -> bool;

    /// The zone of screens, CSV, and of API users without one of their own: `[server] time_zone`.
    fn zone(&self) -> Zone;
    /// Checks an API user's credentials. May take the time of a hash.
    fn check_login(
        &self,
        door: account::Door,
        source: IpAddr,
        name: &str,
        key: &Secret<String>,
    ) -> Result<Login, LoginRefusal>;
    /// The way in for mail of the sending API; `None`: there is none.
    fn posting(&self) -> Option<&Posting>;
    /// The API's calls under way.
    fn calls(&self) -> &Calls;

    /// The time, for who waits or streams.
    fn clock(&self) -> Clock;
    /// `[server] composition`: the name of this server in the API.
    fn composition(&self) -> String;
    /// The logs, for who reads on when the route has returned.
    fn logs(&self) -> Arc<dyn Logs>;
    /// Where pages ended that API callers just read.
    fn page_marks(&self) -> &PageMarks;

    /// The keys that sign, those that are to sign, and those that did.
    fn signing_keys(&self) -> &Rotation;

    /// Mails the account of this name a link to set its password anew, if there is one: later, and nobody is told. `by`: who asks
    /// for it. `language`: that of the page.
    fn mail_reset(&self, name: &str, by: Actor, language: Language);
    // ---- the queue in sums, and acts that take their time ----

    fn queue_sums(&self) -> Result<QueueSums, StoreError>;
    fn count_waiting(&self, filter: &QueueFilter, within: Duration) -> Result<QueueCount, StoreError>;
    /// [`Daemon::act`], which goes on by itself where it is not done after `patience`.
    fn act_soon(&self, act: QueueAct, patience: Duration) -> Result<ActEnd, StoreError>;
    /// Acts that go on by themselves, and those that lately ended, the newest first.
    fn acts(&self) -> Vec<ActView>;
    /// Filters that people keep under a name.
    fn views(&self) -> &Views;
    // What the overview and the page for application owners ask.

    /// Sites in trouble, at most `limit`: those with the most mail in RAM first.
    fn troubles(&self, limit: usize) -> Vec<SiteTrouble>;
    /// How the large providers took our mail within the last hour, since the start at most.
    fn lately(&self) -> Vec<Lately>;
    /// Disk and memory.
    fn resources(&self) -> Resources;
    /// [`Daemon::each_count`] by minute, from [`Daemon::minutes_by_user_from`] on.
    fn each_minute_count(
        &self,
        from: Timestamp,
        to: Timestamp,
        user: Option<&str>,
        each: &mut dyn FnMut(QuarterCounts),
    ) -> Result<(), StoreError>;
    fn minutes_by_user_from(&self) -> Result<Timestamp, StoreError>;
    /// Links for application owners.
    fn owner_links(&self) -> &OwnerLinks;
    /// Sums of days that are over.
    fn day_sums(&self) -> &DaySums;

    /// The config in force, with the lines of the file that say it.
    fn config(&self) -> Arc<Config>;
    // ---- where is my mail ----

    fn search(&self, text: &str, page: &Page) -> Result<FoundPage, StoreError>;
    fn found(&self, ids: &[MessageId], address: &str) -> Result<Vec<Found>, StoreError>;
    fn conversations(&self, numbers: &[u64]) -> Result<Vec<Option<Conversation>>, StoreError>;
    /// The stored body of a message, to be read.
    fn open_body(&self, message: &Message) -> Result<Box<dyn io::Read + Send>, StoreError>;
}

/// The logs, as a stream reads them.
#[allow(missing_docs)] // each is the store's method of that name, documented there
pub trait Logs: Send + Sync + 'static {
    fn log_page(&self, query: &LogQuery, page: &Page) -> Result<LogPage, StoreError>;
    fn audit_page(&self, query: &AuditQuery, page: &Page) -> Result<AuditPage, StoreError>;
}

impl Logs for Store {
    fn log_page(&self, query: &LogQuery, page: &Page) -> Result<LogPage, StoreError> {
        Store::log_page(self, query, page)
    }

    fn audit_page(&self, query: &AuditQuery, page: &Page) -> Result<AuditPage, StoreError> {
        Store::audit_page(self, query, page)
    }
}

/// A story without what is past its retention (R13), even if the pruner has not come by yet.
pub fn visible_story(mut story: Story, retention: &RetentionPeriods, now: Timestamp) -> Story {
    story.retain_events(|event| retention.keeps(event.kind, event.at, now));
    story
}
