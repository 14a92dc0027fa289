//! One attempt, from its turn to its verdicts: reads the message if RAM lacks it, hands the job over, settles the results.
//!
//! In: a [`Start`].  Out: one [`Done`], whatever happens.
//! Always: a row that cannot be read any more is held, not lost; a recipient that is final or not due is left alone.

use std::sync::Arc;

use super::{
    core::{LaneRef, Slip, Start},
    limits::Feedback,
    results::{self, RetryPolicy, Settled},
    shelf::Shelf,
};
use crate::{
    clock::{Clock, Timestamp},
    deliver::job::{Deliver, Job, Outcome, RecipientResult, SiteFeedback, Verdict},
    event::AttemptDetail,
    ids::RecipientKey,
    metrics::Metrics,
    store::{Lane, Loaded, Recipient, RecipientState, StoreError},
};

/// What all attempts share.
pub(super) struct Context<S> {
    /// The store.
    pub store: S,
    /// The time.
    pub clock: Clock,
    /// Who carries attempts out.
    pub deliver: Arc<dyn Deliver>,
    /// The counters.
    pub metrics: Arc<Metrics>,
}

/// How an attempt ended.
pub(super) struct Done {
    /// Its lane.
    pub at: LaneRef,
    /// It held a connection.
    pub conversation: bool,
    /// About the site.
    pub feedback: Feedback,
    /// What the site's trouble was.
    pub trouble: Option<Box<AttemptDetail>>,
    /// What to store.
    pub settled: Settled,
    /// Recipients to which nothing happened.
    pub unchanged: Vec<RecipientKey>,
}

/// Runs one attempt to its end and reports it.
pub(super) async fn attempt<S: Shelf>(
    context: Arc<Context<S>>,
    policy: Arc<RetryPolicy>,
    start: Start<Arc<Loaded>>,
    report: impl FnOnce(Done) + Send + 'static,
) {
    let Start { at, lane, mut slips, suspended, .. } = start;
    let keys: Vec<RecipientKey> = slips.iter().map(|s| s.key).collect();
    let done = Done {
        at,
        conversation: suspended.is_none(),
        feedback: Feedback::Unknown,
        trouble: None,
        settled: Settled::default(),
        unchanged: Vec::new(),
    };
    let mut fence = Fence { report: Some(report), done: Some(done), running: None, context, policy };
    let now = fence.context.clock.now();
    let (loaded, recipients) = match message(&fence.context.store, &mut slips, &keys, now) {
        Ok(Some(found)) => found,
        Ok(None) => return fence.unchanged(keys),
        Err(StoreError::Damaged(why)) => {
            let changes = keys.iter().map(|key| results::damaged(*key, &lane, &why, now)).collect();
            return fence.settled(Settled { changes, ..Settled::default() });
        }
        Err(error) => {
            log::error!("message={} could not be read: {error}", keys[0].message);
            return fence.unchanged(keys);
        }
    };
    // Final or held since it was queued in RAM: nothing of ours.
    let gone = keys.into_iter().filter(|key| recipients.iter().all(|r| r.key != *key)).collect();
    fence.leave(gone);
    if recipients.is_empty() {
        return;
    }
    fence.running = Some((loaded.clone(), recipients.clone()));
    if let Some(trouble) = suspended {
        let results = results::suspended(&recipients, &trouble);
        return fence.end(Outcome { results, feedback: SiteFeedback::Unknown, interrupted: false });
    }
    fence.context.metrics.attempts.one();
    let deliver = fence.context.deliver.clone();
    let outcome = deliver.deliver(Job { lane: Lane(lane), loaded, recipients }).await;
    fence.end(outcome);
}

type Found = (Arc<Loaded>, Vec<Recipient>);

/// The message of these slips with its recipients that still wait: from RAM, else from disk.
fn message<S: Shelf>(
    store: &S,
    slips: &mut [Slip<Arc<Loaded>>],
    keys: &[RecipientKey],
    now: Timestamp,
) -> Result<Option<Found>, StoreError> {
    if let Some(loaded) = slips.iter_mut().find_map(|slip| slip.payload.take()) {
        let find = |key: &RecipientKey| {
            let by_place = loaded.recipients.get(key.index as usize).filter(|r| r.key == *key);
            by_place.or_else(|| loaded.recipients.iter().find(|r| r.key == *key)).cloned()
        };
        let recipients: Vec<Recipient> = keys.iter().filter_map(find).collect();
        if recipients.len() == keys.len() {
            return Ok(Some((loaded, recipients)));
        }
    }
    let indexes: Vec<u32> = keys.iter().map(|key| key.index).collect();
    let Some((message, mut recipients)) = store.load(keys[0].message, &indexes)? else { return Ok(None) };
    recipients.retain(|r| match r.state {
        RecipientState::Waiting { due, .. } => due <= now,
        RecipientState::Final(_) => false,
    });
    Ok(Some((Arc::new(Loaded { message, recipients: recipients.clone(), body: None }), recipients)))
}

/// Reports the end of an attempt even when it panics.
struct Fence<S: Shelf, F: FnOnce(Done)> {
    report: Option<F>,
    done: Option<Done>,
    running: Option<Found>,
    context: Arc<Context<S>>,
    policy: Arc<RetryPolicy>,
}

impl<S: Shelf, F: FnOnce(Done)> Fence<S, F> {
    fn leave(&mut self, keys: Vec<RecipientKey>) {
        if let Some(done) = &mut self.done {
            done.unchanged = keys;
        }
    }

    fn unchanged(mut self, keys: Vec<RecipientKey>) {
        self.leave(keys);
    }

    fn settled(mut self, settled: Settled) {
        if let Some(done) = &mut self.done {
            done.settled = settled;
        }
    }

    fn end(mut self, outcome: Outcome) {
        let now = self.context.clock.now();
        let (Some((loaded, recipients)), Some(done)) = (self.running.take(), &mut self.done) else { return };
        if outcome.interrupted {
            done.unchanged.extend(recipients.iter().map(|r| r.key));
            return;
        }
        done.feedback = outcome.feedback.into();
        if done.feedback == Feedback::Trouble {
            let of_site = |r: &&RecipientResult| matches!(r.verdict, Verdict::Deferred { .. });
            done.trouble = outcome.results.iter().find(of_site).map(|r| r.detail.clone());
        }
        done.settled = results::settle(&loaded.message, &recipients, outcome.results, &self.policy, now);
    }
}

impl<S: Shelf, F: FnOnce(Done)> Drop for Fence<S, F> {
    fn drop(&mut self) {
        let (Some(report), Some(mut done)) = (self.report.take(), self.done.take()) else { return };
        // Still running: it panicked, or the executor ended. The peer may have taken the mail.
        if let Some((loaded, recipients)) = self.running.take() {
            let results = results::broken_off(&recipients, "the attempt was broken off by a fault in Hikyaku");
            let now = self.context.clock.now();
            done.settled = results::settle(&loaded.message, &recipients, results, &self.policy, now);
        }
        report(done);
    }
}
