//! The scheduler's shell: feeds the core, runs attempts, stores their verdicts.
//!
//! In: receipts of fresh messages, the due queue, the ends of attempts.  Out: attempts, changes for the store.
//! Always: no attempt starts while its verdict could not be stored; a connection is free again before its verdicts are
//! committed, its recipients only after; an attempt that panics still frees its place; verdicts that end at the same time
//! share one trip to the writer, and at most `APPLIES_MAX` trips are under way.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};

use smol::{Timer, channel, stream::Stream};

use super::{
    attempt::{Context, Done, attempt},
    core::{Core, End, LaneRef, LaneView, Load, Locate, Page, SiteView},
    limits::Limits,
    locate::locate,
    place::Place,
    results::{Counts, RetryPolicy},
    shelf::{STORE_WAIT, Scan, Shelf, YOUNG, enter, page, scan, store},
    trouble::SiteTrouble,
};
use crate::{
    budget::{Budget, Lease},
    clock::{Clock, Timestamp},
    config::Config,
    deliver::{
        job::{Deliver, RECIPIENTS_PER_JOB_MAX},
        streams::Streams,
    },
    fact::Fact,
    ids::RecipientKey,
    metrics::Metrics,
    runtime::{Runtime, Shutdown, Stage},
    store::{Change, Lane, Loaded, Pause, Receipt},
};

/// Trips to the writer at once: the second leaves while the first waits for its sync, later verdicts ride together.
const APPLIES_MAX: usize = 2;
/// Changes in one trip.
const CHANGES_MAX: usize = 4_096;
/// Fresh messages on their way to the scheduler; beyond, they are found on disk.
const FRESH_MAX: usize = 8_192;
/// Notes taken before the scheduler acts on them.
const NOTES_MAX: usize = 256;
/// Reads done in one trip to the blocking pool.
const LOADS_MAX: usize = 32;
/// Trips to the blocking pool at once.
const READS_MAX: usize = 2;
/// Lanes that are located at once: enough that some whose DNS is slow do not make the others wait.
const LOCATES_MAX: usize = 256;
/// Lanes of sites that came back whose recipients are made due at once: the disk has other things to do.
const WALKS_MAX: usize = 2;
/// The scheduler looks around at least this often, whatever the clock did.
const SLEEP_MAX: Duration = Duration::from_secs(60);
/// The least time between two looks that nothing else asked for.
const REST: Duration = Duration::from_millis(5);
/// The window's share of the memory budget changes in steps of this many bytes.
const LEASE_STEP: usize = 64 * 1024;

/// What the scheduler is made of.
pub struct Parts<S> {
    /// Where its tasks run.
    pub runtime: Runtime,
    /// The due queue.
    pub store: S,
    /// The time.
    pub clock: Clock,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// The daemon's stop.
    pub shutdown: Shutdown,
    /// Who carries attempts out.
    pub deliver: Arc<dyn Deliver>,
    /// The memory that bodies and tickets share.
    pub budget: Budget,
    /// Where what became of mail is counted by its domain.
    pub streams: Streams,
}

/// What the config file says about scheduling.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// `[delivery] connections_total`.
    pub connections_total: usize,
    /// `[delivery] connections_per_destination`.
    pub connections_per_destination: usize,
    /// `[queue] retry_schedule`.
    pub retry_schedule: Vec<Duration>,
    /// `[queue] delay_notice_after`; zero: only when asked for.
    pub delay_notice_after: Duration,
    /// `[delivery.priority] low_share_percent`.
    pub low_share_percent: usize,
}

impl From<&Config> for Settings {
    fn from(config: &Config) -> Self {
        Settings {
            connections_total: config.delivery.connections_total,
            connections_per_destination: config.delivery.connections_per_destination,
            retry_schedule: config.queue.retry_schedule.clone(),
            delay_notice_after: config.queue.delay_notice_after,
            low_share_percent: usize::from(config.delivery.priority.low_share_percent),
        }
    }
}

impl Settings {
    fn limits(&self, budget: &Budget) -> Limits {
        let (total, each) = (self.connections_total, self.connections_per_destination);
        let limits = Limits::for_memory(budget.bytes_max(), total, each, RECIPIENTS_PER_JOB_MAX);
        Limits { low_share_percent: self.low_share_percent, ..limits }
    }

    fn policy(&self) -> Arc<RetryPolicy> {
        let (schedule, delay_notice_after) = (self.retry_schedule.clone(), self.delay_notice_after);
        Arc::new(RetryPolicy { schedule, delay_notice_after })
    }
}

/// Starts the scheduler.
pub struct Scheduler;

impl Scheduler {
    /// Starts the scheduler's task and answers the handle by which the others reach it. It begins with what waits on disk,
    /// and ends when the shutdown drains and every running attempt's verdict is stored.
    pub fn start<S: Shelf>(parts: Parts<S>, settings: Settings) -> Handle {
        let (sender, notes) = channel::unbounded();
        let (alive, ended) = channel::bounded(1);
        let shared = Arc::new(Shared {
            core: Mutex::new(Core::new(settings.limits(&parts.budget), &settings.retry_schedule)),
            clock: parts.clock.clone(),
            notes: sender,
            fresh: AtomicUsize::new(0),
            overflowed: AtomicBool::new(false),
            failures: OnceLock::new(),
            ended,
        });
        let task = Task {
            context: Arc::new(Context {
                store: parts.store,
                clock: parts.clock.clone(),
                deliver: parts.deliver,
                metrics: parts.metrics,
                streams: parts.streams,
            }),
            runtime: parts.runtime.clone(),
            shutdown: parts.shutdown,
            budget: parts.budget,
            boot: parts.clock.now(),
            shared: shared.clone(),
            policy: settings.policy(),
            lease: None,
            pending: Batch::default(),
            applying: 0,
            attempts: 0,
            reading: 0,
            locating: 0,
            walking: 0,
            scanning: false,
            _alive: alive,
        };
        parts.runtime.spawn("scheduler", task.run(Box::pin(notes)));
        Handle(shared)
    }
}

/// How the other rooms reach the scheduler; clones share it.
#[derive(Clone)]
pub struct Handle(Arc<Shared>);

struct Shared {
    core: Mutex<Core<Arc<Loaded>>>,
    clock: Clock,
    notes: channel::Sender<Note>,
    fresh: AtomicUsize,
    overflowed: AtomicBool,
    failures: OnceLock<OnFailures>,
    ended: channel::Receiver<()>,
}

/// Who is told that recipients failed.
type OnFailures = Box<dyn Fn() + Send + Sync>;

impl Handle {
    /// Whom to tell that failures were stored, each time some were; said once, at the start. It must be cheap.
    pub fn on_failures(&self, tell: impl Fn() + Send + Sync + 'static) {
        // A second one would have no use: the daemon has one suppression list.
        let _ = self.0.failures.set(Box::new(tell));
    }

    /// A message was accepted: its recipients are tried now, if their turn allows. Cheap; call it for every receipt.
    pub fn fresh(&self, receipt: &Receipt) {
        self.fresh_message(receipt.loaded());
    }

    /// The same without a receipt, for those who have the message as it was stored.
    pub fn fresh_message(&self, loaded: &Arc<Loaded>) {
        if self.0.fresh.load(Ordering::Relaxed) >= FRESH_MAX {
            self.0.overflowed.store(true, Ordering::Relaxed);
            return;
        }
        self.0.fresh.fetch_add(1, Ordering::Relaxed);
        // Fails only after the scheduler ended: then the message waits on disk for the next start.
        let _ = self.0.notes.try_send(Note::Fresh(loaded.clone()));
    }

    /// The queue on disk changed: an operator's act was stored. What waits in RAM is read anew, and sites in trouble get
    /// their probe at once.
    pub fn kick(&self) {
        let _ = self.0.notes.try_send(Note::Kick);
    }

    /// New settings, at a reload.
    pub fn reconfigure(&self, settings: Settings) {
        let _ = self.0.notes.try_send(Note::Settings(settings));
    }

    /// The destinations that the operator paused; call it at the start and after each change. A paused one starts nothing
    /// and its mail waits on disk, without entries; attempts that run go on.
    pub fn set_pauses(&self, pauses: Vec<Pause>) {
        let _ = self.0.notes.try_send(Note::Pauses(pauses));
    }

    /// The busiest lanes, at most `limit`, sites in trouble first. Short.
    pub fn snapshot(&self, limit: usize) -> Vec<LaneView> {
        lock(&self.0.core).views(limit)
    }

    /// The busiest sites, at most `limit`, those in trouble first. Short.
    pub fn sites(&self, limit: usize) -> Vec<SiteView> {
        lock(&self.0.core).site_views(limit, self.0.clock.now())
    }

    /// Sites in trouble, at most `limit`. Short.
    pub fn troubles(&self, limit: usize) -> Vec<SiteTrouble> {
        lock(&self.0.core).troubles(limit, self.0.clock.now())
    }

    /// What is true now of a lane, for `explain` and `find`: site, rule, connections, ways, troubles, pauses. Short.
    pub fn facts(&self, lane: &Lane, now: Timestamp) -> Vec<Fact> {
        lock(&self.0.core).facts(&lane.0, now)
    }

    /// Attempts that run now. Short.
    pub fn attempts(&self) -> usize {
        lock(&self.0.core).in_flight()
    }

    /// Returns when the scheduler has ended: the shutdown drains, no attempt runs, and every verdict is stored.
    pub async fn drained(&self) {
        let _ = self.0.ended.recv().await;
    }
}

fn lock(core: &Mutex<Core<Arc<Loaded>>>) -> MutexGuard<'_, Core<Arc<Loaded>>> {
    // A panic inside the core would leave it between two states; its own checks tolerate that, a halt would not.
    core.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What reaches the scheduler.
enum Note {
    Fresh(Arc<Loaded>),
    Done(Done),
    Applied(Batch),
    Loaded(Vec<(Load, Option<Page<Arc<Loaded>>>)>),
    Scanned(Option<Scan>),
    Located(Locate, Option<Place>),
    /// A lane, and whether recipients of it may have been made due.
    Walked(LaneRef, bool),
    Kick,
    Pauses(Vec<Pause>),
    Settings(Settings),
}

/// Tells the scheduler how a walk ended, even when it broke off.
struct Walk {
    at: LaneRef,
    moved: bool,
    notes: channel::Sender<Note>,
}

impl Drop for Walk {
    fn drop(&mut self) {
        let _ = self.notes.try_send(Note::Walked(self.at, self.moved));
    }
}

/// Verdicts that go to the writer together.
#[derive(Default)]
struct Batch {
    changes: Vec<Change>,
    release: Vec<(LaneRef, Vec<RecipientKey>)>,
    due: Option<Timestamp>,
    counts: Counts,
}

struct Task<S> {
    context: Arc<Context<S>>,
    runtime: Runtime,
    shutdown: Shutdown,
    budget: Budget,
    boot: Timestamp,
    shared: Arc<Shared>,
    policy: Arc<RetryPolicy>,
    lease: Option<Lease>,
    pending: Batch,
    applying: usize,
    attempts: usize,
    reading: usize,
    locating: usize,
    walking: usize,
    scanning: bool,
    /// Closes when the task ends, however it ends.
    _alive: channel::Sender<()>,
}

type Notes = Pin<Box<channel::Receiver<Note>>>;

impl<S: Shelf> Task<S> {
    async fn run(mut self, mut notes: Notes) {
        let mut timer: Option<(Timestamp, Timer)> = None;
        let mut drained = Some(Box::pin({
            let shutdown = self.shutdown.clone();
            async move { shutdown.drained().await }
        }));
        loop {
            for _ in 0..NOTES_MAX {
                let Ok(note) = notes.try_recv() else { break };
                self.take(note);
            }
            let draining = self.shutdown.stage() != Stage::Running;
            let wake_at = self.act(draining);
            if draining && self.attempts == 0 && self.applying == 0 && self.pending.changes.is_empty() {
                return;
            }
            let now = self.context.clock.now();
            // An armed timer that rings too early is harmless; arming one for each note would not be cheap.
            if timer.as_ref().is_none_or(|(armed, _)| *armed > wake_at || *armed < now) {
                let wait = wake_at.since(now).min(SLEEP_MAX);
                timer = Some((now.plus(wait), Timer::after(wait)));
            }
            let note = std::future::poll_fn(|cx| {
                if let Poll::Ready(note) = notes.as_mut().poll_next(cx) {
                    return Poll::Ready(note);
                }
                if let Some(stop) = &mut drained
                    && stop.as_mut().poll(cx).is_ready()
                {
                    drained = None;
                    return Poll::Ready(None);
                }
                if let Some((_, ring)) = &mut timer
                    && Pin::new(ring).poll(cx).is_ready()
                {
                    timer = None;
                    return Poll::Ready(None);
                }
                Poll::Pending
            })
            .await;
            if let Some(note) = note {
                self.take(note);
            }
        }
    }

    fn take(&mut self, note: Note) {
        let now = self.context.clock.now();
        match note {
            Note::Fresh(loaded) => {
                self.shared.fresh.fetch_sub(1, Ordering::Relaxed);
                enter(&mut lock(&self.shared.core), &loaded, now);
            }
            Note::Done(done) => self.done(done, now),
            Note::Applied(batch) => {
                self.applying -= 1;
                batch.counts.count(&self.context.metrics);
                if batch.counts.has_failures()
                    && let Some(tell) = self.shared.failures.get()
                {
                    tell();
                }
                let mut core = lock(&self.shared.core);
                batch.release.into_iter().for_each(|(at, keys)| core.released(at, keys));
                batch.due.into_iter().for_each(|due| core.due_at(due));
            }
            Note::Loaded(pages) => {
                self.reading -= 1;
                let mut core = lock(&self.shared.core);
                pages.into_iter().for_each(|(load, page)| core.loaded(load, page, now));
            }
            Note::Scanned(scan) => {
                self.scanning = false;
                let mut core = lock(&self.shared.core);
                match scan {
                    Some(scan) => core.scanned(scan.lanes, scan.more, scan.next_due, now),
                    None => core.due_at(now.plus(STORE_WAIT)),
                }
            }
            Note::Located(asked, place) => {
                self.locating -= 1;
                let mut core = lock(&self.shared.core);
                match place {
                    Some(place) => core.located(asked.at, &place, now),
                    None => core.not_located(asked.at, now),
                }
            }
            Note::Walked(at, moved) => {
                self.walking -= 1;
                lock(&self.shared.core).walked(at, moved, now);
            }
            Note::Kick => lock(&self.shared.core).kick(now),
            Note::Pauses(pauses) => {
                let until = |p: Pause| (p.destination.into(), p.until.unwrap_or(Timestamp::MAX));
                lock(&self.shared.core).set_pauses(pauses.into_iter().map(until).collect(), now);
            }
            Note::Settings(settings) => {
                self.policy = settings.policy();
                lock(&self.shared.core).set_limits(settings.limits(&self.budget), &settings.retry_schedule);
            }
        }
    }

    fn done(&mut self, done: Done, now: Timestamp) {
        self.attempts -= 1;
        let mut core = lock(&self.shared.core);
        if let Some(conversation) = &done.conversation {
            let (delivered, deferred) = done.settled.counts.brought();
            let (said, push) = (done.said.as_deref(), done.push.as_ref());
            let end = End { feedback: done.feedback, said, push, delivered, deferred };
            core.finished(conversation, &end, now);
        }
        if let Some(push) = &done.push {
            self.context.metrics.pushes.one();
            log::info!("rule={:?} act={:?} seconds={}", push.rule, push.what, push.duration.as_secs());
        }
        if !done.unchanged.is_empty() {
            core.released(done.at, done.unchanged);
            core.due_at(now.plus(STORE_WAIT));
        }
        if !done.settled.changes.is_empty() {
            let keys = done.settled.changes.iter().map(|c| c.event.key).collect();
            self.pending.release.push((done.at, keys));
            self.pending.changes.extend(done.settled.changes);
            self.pending.due = self.pending.due.into_iter().chain(done.settled.due).min();
            self.pending.counts.add(done.settled.counts);
        }
    }

    /// Does all that can be done now; answers when to come back if nothing happens before.
    fn act(&mut self, draining: bool) -> Timestamp {
        let now = self.context.clock.now();
        self.send_verdicts();
        if draining {
            return Timestamp::MAX;
        }
        let shared = self.shared.clone();
        let mut core = lock(&shared.core);
        if shared.overflowed.swap(false, Ordering::Relaxed) {
            core.due_at(now.plus(YOUNG));
        }
        self.watch_memory(&mut core);
        let stuck = self.context.store.verdicts_are_stuck();
        if !stuck {
            while let Some(start) = core.poll(now) {
                self.attempts += 1;
                let (context, policy) = (self.context.clone(), self.policy.clone());
                let notes = self.shared.notes.clone();
                let report = move |done| {
                    let _ = notes.try_send(Note::Done(done));
                };
                self.runtime.spawn("attempt", attempt(context, policy, start, report));
            }
        }
        if !stuck {
            self.bring_back(&mut core, now);
        }
        // A start may have shown that a place is old.
        self.locate(&mut core);
        self.read(&mut core, now);
        // What is due already waits for something under way: an alarm now would only ring again.
        if stuck { now.plus(STORE_WAIT) } else { core.wake_at(now).max(now.plus(REST)) }
    }

    /// Asks for the places of lanes that have none, or old ones.
    fn locate(&mut self, core: &mut Core<Arc<Loaded>>) {
        while self.locating < LOCATES_MAX
            && let Some(asked) = core.locate()
        {
            self.locating += 1;
            let notes = self.shared.notes.clone();
            let report = move |asked, place| {
                let _ = notes.try_send(Note::Located(asked, place));
            };
            self.runtime.spawn("locate", locate(self.context.clone(), asked, report));
        }
    }

    /// Makes recipients due that waited for a site which answers again.
    fn bring_back(&mut self, core: &mut Core<Arc<Loaded>>, now: Timestamp) {
        while self.walking < WALKS_MAX
            && let Some(found) = core.recovered(now)
        {
            self.walking += 1;
            let mut walk = Walk { at: found.at, moved: true, notes: self.shared.notes.clone() };
            let context = self.context.clone();
            self.runtime.spawn("site-is-back", async move {
                match context.store.site_is_back(&Lane(found.lane.clone())).await {
                    Ok(0) => walk.moved = false,
                    Ok(moved) => log::info!("lane={} recipients={moved} due now: the site answers again", found.lane),
                    Err(error) => log::error!("lane={} its recipients wait on: {error}", found.lane),
                }
                drop(walk);
            });
        }
    }

    /// Sends the verdicts that have gathered to the writer, if a trip is free.
    fn send_verdicts(&mut self) {
        if self.applying >= APPLIES_MAX || self.pending.changes.is_empty() {
            return;
        }
        self.applying += 1;
        let mut batch = std::mem::take(&mut self.pending);
        let (context, notes) = (self.context.clone(), self.shared.notes.clone());
        self.runtime.spawn("verdicts", async move {
            let mut changes = std::mem::take(&mut batch.changes);
            while !changes.is_empty() {
                let rest = changes.split_off(changes.len().min(CHANGES_MAX));
                if !store(&context.store, changes).await {
                    // The process stops: the recipients stay marked, so that nobody is tried again before that.
                    return;
                }
                changes = rest;
            }
            let _ = notes.try_send(Note::Applied(batch));
        });
    }

    /// Starts the scan and the reads that the core wants, off the executor.
    fn read(&mut self, core: &mut Core<Arc<Loaded>>, now: Timestamp) {
        if !self.scanning
            && let Some(limit) = core.scan(now)
        {
            self.scanning = true;
            let (context, notes) = (self.context.clone(), self.shared.notes.clone());
            self.runtime.spawn("due-scan", async move {
                let scan = smol::unblock(move || scan(&context.store, now, limit)).await;
                let _ = notes.try_send(Note::Scanned(scan));
            });
        }
        while self.reading < READS_MAX {
            let loads: Vec<Load> = std::iter::from_fn(|| core.load()).take(LOADS_MAX).collect();
            if loads.is_empty() {
                return;
            }
            self.reading += 1;
            let (context, notes, boot) = (self.context.clone(), self.shared.notes.clone(), self.boot);
            self.runtime.spawn("due-read", async move {
                let read = move || loads.into_iter().map(|load| page(&context.store, load, now, boot)).collect();
                let _ = notes.try_send(Note::Loaded(smol::unblock(read).await));
            });
        }
    }

    /// Keeps the window's lease as large as the window, and tells the core when memory is short.
    fn watch_memory(&mut self, core: &mut Core<Arc<Loaded>>) {
        let wanted = core.window_bytes().div_ceil(LEASE_STEP) * LEASE_STEP;
        let fits = match &mut self.lease {
            Some(lease) if wanted > lease.bytes() => lease.grow(wanted - lease.bytes()),
            Some(lease) => {
                if wanted + LEASE_STEP < lease.bytes() {
                    lease.shrink_to(wanted);
                }
                true
            }
            None => {
                self.lease = self.budget.take(wanted);
                self.lease.is_some()
            }
        };
        core.set_memory_short(!fits || self.budget.used() > self.budget.bytes_max() / 2);
    }
}

#[cfg(test)]
#[path = "task_tests.rs"]
mod tests;
