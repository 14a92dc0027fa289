//! The daemon behind the routes in the running process: store, accounts, sandbox, and what the wiring tells by closures.
//!
//! Always: runs on the threads of [`super::server`], never on an executor thread; waits for the writer there.

use std::{
    io,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use smol::future::block_on;

use crate::{
    account::{self, Accounts, Actor, Login, LoginRefusal, reset_mail::Resets},
    budget::Budget,
    clock::{Clock, Timestamp},
    config::{Config, InForce, Mode, Suppression},
    deliver::counted::{RuleUse, WarmUpState},
    deliver::{lately::Lately, streams::Streams},
    diagnose::{Diagnoser, Diagnosis, NoDiagnosis, Question},
    dmarc::monitor::{Desk, Monitor},
    doctor::round::{Findings, Rounds},
    fact::Fact,
    http::{
        api::{caller::Calls, emails::Posting, transaction::paging::PageMarks},
        daemon::{About, Daemon, ExplainQuery, LaneActivity, Logs, Unready},
        day_sums::DaySums,
        exchange::Stream,
        owner_links::OwnerLinks,
        queue_acts::{ActEnd, ActView, QueueActs},
        resources::Resources,
        views::Views,
        when::Zone,
    },
    ids::MessageId,
    language::Language,
    metrics::Metrics,
    net::dns::Validation,
    runtime::{Runtime, Shutdown, Stage},
    sandbox::{Sandbox, SandboxMail},
    schedule::trouble::SiteTrouble,
    secret::Secret,
    signing::rotate::Rotation,
    smtp::conversation::Conversation,
    store::{
        Account, AuditEntry, AuditPage, AuditQuery, BEHIND_MAX, Found, FoundPage, Glance, GlanceAsk, LaneRow, LogPage,
        LogQuery, MemoKind, Message, MinuteCounts, Page, Pause, QuarterCounts, QueueAct, QueueCount, QueueFilter,
        QueuePage, QueueSums, Recipient, RetentionPeriods, Store, StoreError, Story, Totals,
    },
    suppress::Suppressions,
    tls_report::receive::{Receiver, Shelf},
    unsubscribe::list::Unsubscribes,
    webhook::Webhooks,
};

/// A question to a part of the daemon that this room does not know.
pub type Ask<T> = Box<dyn Fn() -> T + Send + Sync>;
/// [`Daemon::explain`], answered by those who decide.
pub type Explain = Box<dyn Fn(&ExplainQuery) -> Vec<Fact> + Send + Sync>;
/// [`Daemon::facts_of`] likewise.
pub type FactsOf = Box<dyn Fn(&Message, &Recipient, Duration) -> Vec<Fact> + Send + Sync>;

/// The topic under which an operator's pause is told.
const PAUSE: &str = "pause";

fn pause_fact(pause: &Pause, zone: &Zone) -> Fact {
    let Pause { destination, operator, reason, .. } = pause;
    Fact::told(PAUSE, |language| match language {
        Language::English => {
            let until =
                pause.until.map_or_else(|| "until it is lifted".to_owned(), |at| format!("until {}", zone.full(at)));
            let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
            format!("nothing goes to {destination} {until}, by {operator}{reason}")
        }
        Language::Japanese => {
            let until =
                pause.until.map_or_else(|| "解除されるまで".to_owned(), |at| format!(" {} まで", zone.full(at)));
            let reason = if reason.is_empty() { String::new() } else { format!("、理由：{reason}") };
            format!("{destination} への配信は{until}一時停止中です（実行者：{operator}{reason}）。")
        }
    })
}

/// The parts of the running daemon.
pub struct Live {
    /// The time.
    pub clock: Clock,
    /// When the process started.
    pub started_at: Timestamp,
    /// The config in force.
    pub config: InForce,
    /// The store.
    pub store: Store,
    /// The accounts.
    pub accounts: Accounts,
    /// Mail that was not sent, to be looked at.
    pub sandbox: Arc<Sandbox>,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// For its count of panics.
    pub runtime: Runtime,
    /// How far a stop has come.
    pub shutdown: Shutdown,
    /// What the scheduler does now, by destination.
    pub activity: Ask<Vec<LaneActivity>>,
    /// Tells the scheduler that an act changed the queue on disk.
    pub kick: Arc<dyn Fn() + Send + Sync>,
    /// Tells the scheduler that the operator's pauses changed on disk.
    pub pauses_changed: Ask<()>,
    /// Whether the resolver validates, as it last found.
    pub validation: Ask<Validation>,
    /// The chain of decisions about a mail.
    pub explain: Explain,
    /// The same about a waiting recipient.
    pub facts_of: FactsOf,
    /// Source addresses that are warming up.
    pub warm_ups: Ask<Vec<WarmUpState>>,
    /// What the delivery-speed rules did.
    pub rule_uses: Ask<Vec<RuleUse>>,
    /// TLS reports that came in.
    pub tls_reports: Receiver,
    /// The DMARC monitor.
    pub dmarc: Monitor,
    /// The suppression list.
    pub suppressions: Suppressions,
    /// Who left which list.
    pub unsubscribes: Unsubscribes,
    /// The webhooks.
    pub webhooks: Webhooks,
    /// What the doctor finds.
    pub domain_checks: Rounds,
    /// Who joins the log with what the doctor finds.
    pub diagnoser: Diagnoser,
    /// A backup is being made; starts as false.
    pub backup_runs: Arc<AtomicBool>,
    /// The API's calls under way; starts empty.
    pub calls: Calls,
    /// The way in for mail of the sending API.
    pub posting: Posting,
    /// Where pages of the API ended; starts empty.
    pub page_marks: PageMarks,
    /// The signing keys.
    pub signing_keys: Rotation,
    /// Who mails links to set a password anew.
    pub resets: Resets,
    /// Acts on the queue that go on by themselves; starts empty.
    pub queue_acts: QueueActs,
    /// Filters that people keep under a name.
    pub views: Views,
    /// Sites in trouble, as many as are asked for.
    pub troubles: Box<dyn Fn(usize) -> Vec<SiteTrouble> + Send + Sync>,
    /// Where what became of mail is counted by its provider.
    pub streams: Streams,
    /// The memory that bodies and tickets share.
    pub budget: Budget,
    /// Links for application owners.
    pub owner_links: OwnerLinks,
    /// Sums of days that are over; starts empty.
    pub day_sums: DaySums,
    /// What only the wiring knows: still starting, or the store failed.
    pub trouble: Ask<Option<Unready>>,
}

/// At most one backup at once: each keeps a thread of the server busy and holds pruning back.
struct OneBackup(Arc<AtomicBool>);

impl OneBackup {
    fn start(runs: &Arc<AtomicBool>) -> Option<Self> {
        (!runs.swap(true, Ordering::SeqCst)).then(|| OneBackup(runs.clone()))
    }
}

impl Drop for OneBackup {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

impl Live {
    /// Adds the operator's pause of the destination, unless whoever decides has said it already.
    fn with_pause(&self, mut facts: Vec<Fact>, destination: &str) -> Vec<Fact> {
        let known = facts.iter().any(|fact| fact.topic == PAUSE);
        // A store that cannot be read says so elsewhere; these are words beside an answer.
        let pauses = if known { Vec::new() } else { self.pauses().unwrap_or_default() };
        if let Some(pause) = pauses.iter().find(|pause| pause.destination == destination) {
            facts.push(pause_fact(pause, &Zone::named(&self.config().server.time_zone)));
        }
        facts
    }
}

impl Daemon for Live {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn about(&self) -> About {
        let config = self.config();
        About {
            hostname: config.server.hostname.clone(),
            version: env!("CARGO_PKG_VERSION"),
            mode: config.delivery.mode,
            smarthost: match (&config.delivery.smarthost, config.delivery.mode) {
                (Some(host), Mode::Smarthost) => host.to_string(),
                (Some(_) | None, Mode::Internet | Mode::Smarthost | Mode::Sandbox) => String::new(),
            },
            zone: Zone::named(&config.server.time_zone),
            started_at: self.started_at,
            retention: RetentionPeriods {
                delivery_log: config.retention.delivery_log,
                error_log: config.retention.error_log,
                audit_log: config.retention.audit_log,
                message_bodies: config.retention.message_bodies,
            },
        }
    }

    fn unready(&self) -> Vec<Unready> {
        let mut all: Vec<Unready> = (self.trouble)().into_iter().collect();
        if self.shutdown.stage() != Stage::Running {
            all.push(Unready::Draining);
        }
        if self.store.disk_is_full() {
            all.push(Unready::DiskFull);
        }
        if self.store.verdicts_are_stuck() {
            all.push(Unready::VerdictsStuck);
        }
        let behind = self.store.behind();
        if behind > BEHIND_MAX {
            all.push(Unready::WriterBehind(behind));
        }
        all
    }

    fn metrics(&self) -> Arc<Metrics> {
        let (commits, operations) = self.store.commits();
        self.metrics.commits.raise_to(commits);
        self.metrics.commit_operations.raise_to(operations);
        self.metrics.writer_behind_millis.set(u64::try_from(self.store.behind().as_millis()).unwrap_or(u64::MAX));
        self.metrics.clone()
    }

    fn panics(&self) -> u64 {
        self.runtime.panics()
    }

    fn activity(&self) -> Vec<LaneActivity> {
        (self.activity)()
    }

    fn validation(&self) -> Option<Validation> {
        let config = self.config();
        let asked = config.delivery.mode == Mode::Internet && config.delivery.dane;
        asked.then(|| (self.validation)())
    }

    fn rule_uses(&self) -> Vec<RuleUse> {
        (self.rule_uses)()
    }

    fn warm_ups(&self) -> Vec<WarmUpState> {
        (self.warm_ups)()
    }

    fn explain(&self, query: &ExplainQuery) -> Result<Vec<Fact>, StoreError> {
        let facts = (self.explain)(query);
        Ok(self.with_pause(facts, &query.recipient.domain_key()))
    }

    fn facts_of(&self, message: &Message, recipient: &Recipient, within: Duration) -> Vec<Fact> {
        let facts = (self.facts_of)(message, recipient, within);
        self.with_pause(facts, recipient.lane.destination())
    }

    fn totals(&self) -> Totals {
        self.store.totals()
    }

    fn lanes(&self, limit: usize) -> Result<Vec<LaneRow>, StoreError> {
        self.store.lanes(limit)
    }

    fn oldest(&self) -> Result<[Option<Timestamp>; 3], StoreError> {
        self.store.oldest()
    }

    fn minutes(&self, from: Timestamp, to: Timestamp) -> Result<Vec<MinuteCounts>, StoreError> {
        self.store.minutes(from, to)
    }

    fn each_count(
        &self,
        from: Timestamp,
        to: Timestamp,
        user: Option<&str>,
        each: &mut dyn FnMut(QuarterCounts),
    ) -> Result<(), StoreError> {
        self.store.each_count(from, to, user, each)
    }

    fn archive_trouble(&self) -> Option<String> {
        self.store.archive_trouble()
    }

    fn queue_page(&self, filter: &QueueFilter, page: &Page) -> Result<QueuePage, StoreError> {
        self.store.queue_page(filter, page)
    }

    fn log_page(&self, query: &LogQuery, page: &Page) -> Result<LogPage, StoreError> {
        self.store.log_page(query, page)
    }

    fn audit_page(&self, query: &AuditQuery, page: &Page) -> Result<AuditPage, StoreError> {
        self.store.audit_page(query, page)
    }

    fn message_story(&self, id: MessageId) -> Result<Option<Story>, StoreError> {
        self.store.message_story(id)
    }

    fn message_glance(&self, id: MessageId, ask: &GlanceAsk) -> Result<Option<Glance>, StoreError> {
        self.store.message_glance(id, ask)
    }

    fn find(&self, key: &str, limit: usize) -> Result<Vec<MessageId>, StoreError> {
        self.store.find(key, limit)
    }

    fn backup(&self) -> Option<Stream> {
        let one = OneBackup::start(&self.backup_runs)?;
        let store = self.store.clone();
        Some(Box::new(move |to| {
            let _one = one;
            let summary = store.backup(to).map_err(io::Error::other)?;
            log::info!("backup=done messages={} octets={}", summary.messages, summary.octets);
            Ok(())
        }))
    }

    fn act(&self, act: QueueAct) -> Result<u64, StoreError> {
        let done = block_on(self.store.act(act))?;
        if done > 0 {
            (self.kick)();
        }
        Ok(done)
    }

    fn pauses(&self) -> Result<Vec<Pause>, StoreError> {
        let now = self.clock.now();
        let mut pauses = self.store.pauses()?;
        pauses.retain(|pause| pause.until.is_none_or(|until| until > now));
        Ok(pauses)
    }

    fn pause(&self, pause: Pause, from: &str) -> Result<(), StoreError> {
        block_on(self.store.pause(pause, from))?;
        (self.pauses_changed)();
        Ok(())
    }

    fn unpause(&self, destination: &str, operator: &str, from: &str) -> Result<bool, StoreError> {
        let lifted = block_on(self.store.unpause(destination, operator, from))?;
        (self.pauses_changed)();
        Ok(lifted)
    }

    fn audit(&self, entry: AuditEntry) -> Result<(), StoreError> {
        block_on(self.store.audit(entry))
    }

    fn accounts(&self) -> Result<Vec<Account>, StoreError> {
        self.store.accounts()
    }

    fn users(&self) -> &Accounts {
        &self.accounts
    }

    fn tls_reports(&self) -> &dyn Shelf {
        &self.tls_reports
    }

    fn domain_checks(&self) -> &dyn Findings {
        &self.domain_checks
    }

    fn dmarc(&self) -> &dyn Desk {
        &self.dmarc
    }

    fn diagnose(&self, question: &Question) -> Result<Diagnosis, NoDiagnosis> {
        self.diagnoser.diagnose(question)
    }

    fn memo_count(&self, kind: MemoKind) -> Result<u64, StoreError> {
        self.store.memo_count(kind)
    }

    fn suppressions(&self) -> &Suppressions {
        &self.suppressions
    }

    fn suppression(&self) -> Suppression {
        self.config().suppression.clone()
    }

    fn unsubscribes(&self) -> &Unsubscribes {
        &self.unsubscribes
    }

    fn webhooks(&self) -> &Webhooks {
        &self.webhooks
    }

    fn sandbox_list(&self, limit: usize) -> io::Result<Vec<SandboxMail>> {
        self.sandbox.list(limit)
    }

    fn sandbox_has(&self, id: MessageId) -> bool {
        self.sandbox.has(id)
    }

    fn sandbox_read(&self, id: MessageId) -> io::Result<Option<(SandboxMail, Vec<u8>)>> {
        self.sandbox.read(id)
    }

    fn zone(&self) -> Zone {
        Zone::named(&self.config().server.time_zone)
    }

    fn check_login(
        &self,
        door: account::Door,
        source: IpAddr,
        name: &str,
        key: &Secret<String>,
    ) -> Result<Login, LoginRefusal> {
        block_on(self.accounts.check(door, source, name, key))
    }

    fn posting(&self) -> Option<&Posting> {
        Some(&self.posting)
    }

    fn calls(&self) -> &Calls {
        &self.calls
    }

    fn clock(&self) -> Clock {
        self.clock.clone()
    }

    fn composition(&self) -> String {
        self.config().server.composition.clone()
    }

    fn logs(&self) -> Arc<dyn Logs> {
        Arc::new(self.store.clone())
    }

    fn page_marks(&self) -> &PageMarks {
        &self.page_marks
    }

    fn signing_keys(&self) -> &Rotation {
        &self.signing_keys
    }

    fn mail_reset(&self, name: &str, by: Actor, language: Language) {
        self.resets.ask(name, by, language);
    }

    fn queue_sums(&self) -> Result<QueueSums, StoreError> {
        self.store.queue_sums()
    }

    fn count_waiting(&self, filter: &QueueFilter, within: Duration) -> Result<QueueCount, StoreError> {
        self.store.count_waiting(filter, within)
    }

    fn act_soon(&self, act: QueueAct, patience: Duration) -> Result<ActEnd, StoreError> {
        let (store, kick) = (self.store.clone(), self.kick.clone());
        self.queue_acts.start(&self.runtime, &self.clock, act, patience, move |act, done| async move {
            let count = store.act_told(act, &done).await?;
            if count > 0 {
                kick();
            }
            Ok(count)
        })
    }

    fn acts(&self) -> Vec<ActView> {
        self.queue_acts.views()
    }

    fn views(&self) -> &Views {
        &self.views
    }

    fn troubles(&self, limit: usize) -> Vec<SiteTrouble> {
        (self.troubles)(limit)
    }

    fn lately(&self) -> Vec<Lately> {
        self.streams.lately(self.clock.now())
    }

    fn resources(&self) -> Resources {
        let (config, totals) = (self.config(), self.store.totals());
        let mut found = Resources {
            disk_free_min: config.queue.disk_free_min,
            database: totals.database_octets,
            bodies: totals.body_octets,
            memory_limit: config.server.memory_limit,
            leased: self.budget.used() as u64,
            leases_max: self.budget.bytes_max() as u64,
            ..Resources::default()
        };
        found.look_at_disk(&config.server.data_dir);
        found.look_at_memory();
        found
    }

    fn each_minute_count(
        &self,
        from: Timestamp,
        to: Timestamp,
        user: Option<&str>,
        each: &mut dyn FnMut(QuarterCounts),
    ) -> Result<(), StoreError> {
        self.store.each_minute_count(from, to, user, each)
    }

    fn minutes_by_user_from(&self) -> Result<Timestamp, StoreError> {
        self.store.minutes_by_user_from()
    }

    fn owner_links(&self) -> &OwnerLinks {
        &self.owner_links
    }

    fn day_sums(&self) -> &DaySums {
        &self.day_sums
    }

    fn config(&self) -> Arc<Config> {
        self.config.get()
    }

    fn search(&self, text: &str, page: &Page) -> Result<FoundPage, StoreError> {
        self.store.search(text, page)
    }

    fn found(&self, ids: &[MessageId], address: &str) -> Result<Vec<Found>, StoreError> {
        self.store.found(ids, address)
    }

    fn conversations(&self, numbers: &[u64]) -> Result<Vec<Option<Conversation>>, StoreError> {
        self.store.conversations(numbers)
    }

    fn open_body(&self, message: &Message) -> Result<Box<dyn io::Read + Send>, StoreError> {
        Ok(Box::new(self.store.open_body(message)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_tells_until_when_by_whom_and_why() {
        let mut pause = Pause {
            destination: "example.jp".into(),
            since: Timestamp::ZERO,
            until: Some(Timestamp::from_millis(1_795_527_310_000)),
            operator: "operator root".into(),
            reason: "maintenance".into(),
        };
        let zone = Zone::named("Asia/Tokyo");
        let says = pause_fact(&pause, &zone).says;
        let english = "nothing goes to example.jp until 2026-11-24 22:35:10, by operator root: maintenance";
        assert_eq!(says.words(Language::English), english);
        assert_eq!(
            says.words(Language::Japanese),
            "example.jp への配信は 2026-11-24 22:35:10 まで一時停止中です（実行者：operator root、理由：maintenance）。"
        );
        (pause.until, pause.reason) = (None, String::new());
        let fact = pause_fact(&pause, &zone);
        let says = "nothing goes to example.jp until it is lifted, by operator root";
        assert_eq!((fact.topic, fact.says.words(Language::English)), ("pause", says));
    }
}
