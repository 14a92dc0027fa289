//! What the writer and everybody else see together: totals, the failure, the disk's room, the settings.
//!
//! Always: short; nothing here waits for the disk, but for one look at its free space a second.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use smol::channel;

use super::{
    archive::ArchiveState,
    batch::{Books, Unclean},
    disk::{BALLAST_OCTETS, Ballast, Disk, DiskFile},
    largest::Largest,
    segments::Segments,
    types::{RetentionPeriods, Totals},
};
use crate::clock::Clock;

/// Free space is looked up at most this often.
const DISK_LOOK_EVERY: Duration = Duration::from_secs(1);
/// Without ballast, a verdict needs this much room: a commit rewrites tens of pages.
const VERDICT_ROOM: u64 = 8 * 1024 * 1024;

/// Shared by the store's handles, the writer and the readers.
pub(super) struct Shared {
    disk: Arc<dyn Disk>,
    data_dir: PathBuf,
    database: Arc<dyn DiskFile>,
    pub ballast: Arc<Ballast>,
    real: Clock,
    totals: Mutex<Totals>,
    retention: Mutex<RetentionPeriods>,
    disk_free_min: AtomicU64,
    free: Mutex<(Option<Instant>, u64)>,
    failure: Mutex<Option<String>>,
    failed: (channel::Sender<()>, channel::Receiver<()>),
    /// The last unclean start.
    pub unclean: Option<Unclean>,
    commits: AtomicU64,
    operations: AtomicU64,
    /// What is archived, and where to.
    pub archive: ArchiveState,
    /// The largest lanes.
    pub largest: Arc<Largest>,
}

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        data_dir: PathBuf,
        database: Arc<dyn DiskFile>,
        ballast: Arc<Ballast>,
        books: &Books,
        retention: RetentionPeriods,
        disk_free_min: u64,
    ) -> Self {
        Shared {
            disk,
            data_dir,
            database,
            ballast,
            real: Clock::system(),
            totals: Mutex::new(books.totals()),
            retention: Mutex::new(retention),
            disk_free_min: AtomicU64::new(disk_free_min),
            free: Mutex::new((None, u64::MAX)),
            failure: Mutex::new(None),
            failed: channel::bounded(1),
            unclean: books.unclean,
            commits: AtomicU64::new(0),
            operations: AtomicU64::new(0),
            archive: ArchiveState::default(),
            largest: Arc::default(),
        }
    }

    /// A write or sync failed: final.
    pub(super) fn fail(&self, why: String) {
        let mut failure = lock(&self.failure);
        if failure.is_none() {
            log::error!("store=failed reason=\"{why}\"");
            *failure = Some(why);
        }
        drop(failure);
        self.failed.0.close();
    }

    /// Why the writer stopped, if it did.
    pub(super) fn failure(&self) -> Option<String> {
        lock(&self.failure).clone()
    }

    /// Returns when a write or sync has failed.
    pub(super) async fn failed(&self) -> String {
        // Nothing is ever sent: the channel is closed by the failure.
        let _ = self.failed.1.recv().await;
        self.failure().unwrap_or_default()
    }

    /// The data directory.
    pub(super) fn data_dir(&self) -> &std::path::Path {
        &self.data_dir
    }

    pub(super) fn set_totals(&self, books: &Books) {
        *lock(&self.totals) = books.totals();
    }

    pub(super) fn totals(&self) -> Totals {
        let database_octets = self.database.len().unwrap_or(0);
        Totals { database_octets, disk_free: lock(&self.free).1, ..*lock(&self.totals) }
    }

    /// Leads are kept: who is tried again may have one.
    pub(super) fn has_leads(&self) -> bool {
        lock(&self.totals).leads > 0
    }

    pub(super) fn retention(&self) -> RetentionPeriods {
        *lock(&self.retention)
    }

    pub(super) fn reconfigure(&self, retention: RetentionPeriods, disk_free_min: u64) {
        *lock(&self.retention) = retention;
        self.disk_free_min.store(disk_free_min, Ordering::Relaxed);
        lock(&self.free).0 = None;
    }

    fn free_space(&self) -> u64 {
        let mut free = lock(&self.free);
        let now = self.real.instant();
        if free.0.is_none_or(|looked| now.saturating_duration_since(looked) >= DISK_LOOK_EVERY) {
            match self.disk.free_space(&self.data_dir) {
                Ok(octets) => free.1 = octets,
                Err(e) => log::warn!("disk free space not known: {e}"),
            }
            free.0 = Some(now);
        }
        free.1
    }

    /// Too little room for new mail.
    pub(super) fn disk_is_full(&self) -> bool {
        self.free_space() < self.disk_free_min.load(Ordering::Relaxed)
    }

    /// No room even for a verdict, or no writer.
    pub(super) fn verdicts_are_stuck(&self) -> bool {
        if lock(&self.failure).is_some() {
            return true;
        }
        !self.ballast.is_there() && self.free_space() < VERDICT_ROOM
    }

    /// Takes the ballast where there is room for it and for mail.
    pub(super) fn look_at_disk(&self, segments: &Segments) {
        if self.ballast.is_there() {
            return;
        }
        let wanted = self.disk_free_min.load(Ordering::Relaxed).saturating_add(BALLAST_OCTETS);
        if self.free_space() > wanted {
            segments.take_ballast(self.ballast.clone());
        }
    }

    pub(super) fn count_commit(&self, operations: u64) {
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.operations.fetch_add(operations, Ordering::Relaxed);
    }

    /// Commits since the start, and the operations that they held.
    pub(super) fn commits(&self) -> (u64, u64) {
        (self.commits.load(Ordering::Relaxed), self.operations.load(Ordering::Relaxed))
    }
}
