//! The daemon behind the routes in the running process: store, accounts, sandbox, and what the wiring tells by closures.
//!
//! Always: runs on the threads of [`super::server`], never on an executor thread; waits for the writer there.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use smol::future::block_on;

use crate::{
    account::{AccountError, Accounts},
    clock::{Clock, Timestamp},
    config::{Config, InForce, Mode},
    deliver::sandbox::{Sandbox, SandboxMail},
    http::{
        daemon::{About, Daemon, LaneActivity, Unready},
        exchange::Stream,
        when::Zone,
    },
    ids::MessageId,
    metrics::Metrics,
    runtime::{Runtime, Shutdown, Stage},
    secret::Secret,
    store::{
        Account, AuditEntry, AuditPage, AuditQuery, LaneRow, LogPage, LogQuery, MinuteCounts, Page, QueueAct,
        QueueFilter, QueuePage, RetentionPeriods, Store, StoreError, Story, Totals,
    },
};

/// Behind by more than this, the intake answers 451 at MAIL, and the daemon is not ready.
const BEHIND_MAX: Duration = Duration::from_secs(5);

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
    /// The sandbox; `None`: mail really goes out.
    pub sandbox: Option<Arc<Sandbox>>,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// For its count of panics.
    pub runtime: Runtime,
    /// How far a stop has come.
    pub shutdown: Shutdown,
    /// What the scheduler does now, by destination.
    pub activity: Box<dyn Fn() -> Vec<LaneActivity> + Send + Sync>,
    /// Tells the scheduler that an act changed the queue on disk.
    pub kick: Box<dyn Fn() + Send + Sync>,
    /// A backup is being made; starts as false.
    pub backup_runs: Arc<AtomicBool>,
    /// What only the wiring knows: still starting, or the store failed.
    pub trouble: Box<dyn Fn() -> Option<Unready> + Send + Sync>,
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
    fn config(&self) -> Arc<Config> {
        self.config.get()
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

    fn totals(&self) -> Totals {
        self.store.totals()
    }

    fn lanes(&self, limit: usize) -> Result<Vec<LaneRow>, StoreError> {
        self.store.lanes(limit)
    }

    fn minutes(&self, from: Timestamp, to: Timestamp) -> Result<Vec<MinuteCounts>, StoreError> {
        self.store.minutes(from, to)
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

    fn audit(&self, entry: AuditEntry) -> Result<(), StoreError> {
        block_on(self.store.audit(entry))
    }

    fn accounts(&self) -> Result<Vec<Account>, StoreError> {
        self.store.accounts()
    }

    fn add_api_user(&self, name: &str, key: Option<Secret<String>>) -> Result<Secret<String>, AccountError> {
        block_on(self.accounts.add_api(name, key))
    }

    fn set_key(&self, name: &str, key: Option<Secret<String>>) -> Result<Secret<String>, AccountError> {
        block_on(self.accounts.set_key(name, key))
    }

    fn remove_user(&self, name: &str) -> Result<bool, AccountError> {
        block_on(self.accounts.remove(name))
    }

    fn sandbox_list(&self, limit: usize) -> io::Result<Option<Vec<SandboxMail>>> {
        self.sandbox.as_ref().map(|s| s.list(limit)).transpose()
    }

    fn sandbox_read(&self, id: MessageId) -> io::Result<Option<(SandboxMail, Vec<u8>)>> {
        match &self.sandbox {
            Some(sandbox) => sandbox.read(id),
            None => Ok(None),
        }
    }
}
