//! The task that follows the log: learns what is new, applies the thresholds when it is time, keeps house once a day.
//!
//! In: the bell ([`Suppressions::kick`]), the log.  Out: rows, by one write a step.
//! Always: what a step learnt and how far it came are one write; when one fails, everything is read anew from the store; while
//! nothing happens the task sleeps, and wakes every few seconds to look.

use std::time::Duration;

use smol::{Timer, future::FutureExt};

use super::{
    Suppressions,
    learn::{KINDS, Known, Learnt, PAGE},
};
use crate::{
    runtime::{Shutdown, Stage},
    store::StoreError,
};

/// How often the log is looked at although nobody rang.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// After the bell the task waits so long for company: a busy relay rings for every failure.
const GATHER: Duration = Duration::from_millis(50);
/// After a failure of the store the task waits before it tries again.
const STORE_WAIT: Duration = Duration::from_secs(5);
/// How old the stored counters of the brake may become, while there is something new: after a crash so much is told again.
const COUNTERS_EVERY: Duration = Duration::from_secs(60);

/// Follows the log until the shutdown drains.
pub(super) async fn run(this: Suppressions, shutdown: Shutdown) {
    while shutdown.stage() == Stage::Running {
        let wait = match this.look(&shutdown).await {
            Ok(()) => LOOK_EVERY,
            Err(StoreError::Closed) => return,
            Err(error) => {
                log::error!("suppression what=\"the log could not be followed; it is tried again\" error=\"{error}\"");
                STORE_WAIT
            }
        };
        let rung = async {
            let _ = this.0.bell.1.recv().await;
            Timer::after(GATHER).await;
        };
        let slept = async {
            Timer::after(wait).await;
        };
        rung.or(slept).or(shutdown.drained()).await;
    }
    this.stop_works();
    // The counters are told again at the next start if this fails.
    if let Err(error) = this.keep_counters(true).await {
        log::warn!("suppression what=\"the counters could not be written\" error=\"{error}\"");
    }
}

impl Suppressions {
    /// One look: all that is new, then what is due.
    async fn look(&self, shutdown: &Shutdown) -> Result<(), StoreError> {
        self.finish_ended().await?;
        while shutdown.stage() == Stage::Running && self.step().await? {}
        self.keep_counters(false).await?;
        self.run_if_due(shutdown).await?;
        self.keep_house(shutdown).await
    }

    /// Learns one page of the log; false: nothing is left.
    pub(super) async fn step(&self) -> Result<bool, StoreError> {
        let mut known = self.0.known.lock().await;
        let mut mind = self.mind(&mut known).await?;
        let (memory, config, now) = (self.0.memory.clone(), self.0.config.get(), self.0.clock.now());
        let page = move || -> Result<(Known, Learnt, bool), StoreError> {
            let (events, next) = memory.follow(mind.cursor, &KINDS, PAGE)?;
            let learnt = mind.learn(&memory, &config.suppression, &events, next, now)?;
            let moved = learnt.cursor > mind.cursor;
            mind.cursor = mind.cursor.max(learnt.cursor);
            Ok((mind, learnt, moved))
        };
        let (mut mind, mut learnt, moved) = smol::unblock(page).await?;
        // Successes alone change no row: how far they were read is stored with the counters, now and then.
        if learnt.draft.len() > 0 {
            mind.sign(&mut learnt.draft, false, now);
            self.0.memory.put(learnt.draft.changes(), None).await?;
            self.0.metrics.suppressed.add(learnt.suppressed);
            self.0.metrics.suppressions_held.add(learnt.held);
        }
        self.0.metrics.brakes_held.set(mind.held.len() as u64);
        *known = Some(mind);
        Ok(moved)
    }

    /// Writes the brake's counters and the place in the log, if they are old.
    async fn keep_counters(&self, always: bool) -> Result<(), StoreError> {
        let mut known = self.0.known.lock().await;
        let mut mind = self.mind(&mut known).await?;
        let now = self.0.clock.now();
        let is_new = mind.cursor > mind.stored.brake_cursor;
        let is_old = now.as_millis().saturating_sub(mind.stored.brake_at) >= COUNTERS_EVERY.as_millis() as u64;
        if is_new && (is_old || always) {
            let mut draft = super::draft::Draft::new(&self.0.memory);
            mind.sign(&mut draft, true, now);
            self.0.memory.put(draft.changes(), None).await?;
        }
        *known = Some(mind);
        Ok(())
    }

    /// Applies or forgets what ended incidents still hold: a stop cut that off.
    pub(super) async fn finish_ended(&self) -> Result<(), StoreError> {
        let mut known = self.0.known.lock().await;
        let mut mind = self.mind(&mut known).await?;
        while let Some(incident) = mind.unfinished.last() {
            self.apply_held(incident).await?;
            mind.unfinished.pop();
        }
        *known = Some(mind);
        Ok(())
    }
}
