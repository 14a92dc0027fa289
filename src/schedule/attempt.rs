//! One attempt, from its turn to its verdicts: reads the message if RAM lacks it, hands the job over, settles the results.
//!
//! In: a [`Start`].  Out: one [`Done`], whatever happens.
//! Always: a row that cannot be read any more is held, not lost; a recipient that is final or not due is left alone; one that
//! came onto the suppression list since is not tried again.

use std::{sync::Arc, time::Duration};

use super::{
    core::{Conversation, HeldBack, LaneRef, Slip, Start, Turn},
    limits::Feedback,
    locate::{path_of, push_of},
    place::{Push, Way},
    results::{self, RetryPolicy, Settled},
    shelf::Shelf,
};
use crate::{
    clock::{Clock, Timestamp},
    deliver::{
        job::{Deliver, Job, Outcome, RecipientResult, SiteFeedback, Verdict},
        streams::Streams,
    },
    event::AttemptDetail,
    ids::RecipientKey,
    metrics::Metrics,
    store::{Change, Lane, Leads, Loaded, Message, Recipient, RecipientState, StoreError},
    suppress::lookup,
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
    /// The counters by domain and provider.
    pub streams: Streams,
}

/// How an attempt ended.
pub(super) struct Done {
    /// Its lane.
    pub at: LaneRef,
    /// The conversation, if it held a connection.
    pub conversation: Option<Conversation>,
    /// About the site.
    pub feedback: Feedback,
    /// What the peer said to those that were not delivered, where that says something about the site.
    pub said: Option<Box<AttemptDetail>>,
    /// A response rule that acts on the site.
    pub push: Option<Push>,
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
    let conversation = start.conversation();
    let Start { at, lane, mut slips, turn, .. } = start;
    let keys: Vec<RecipientKey> = slips.iter().map(|s| s.key).collect();
    let done = Done {
        at,
        conversation,
        feedback: Feedback::Unknown,
        said: None,
        push: None,
        settled: Settled::default(),
        unchanged: Vec::new(),
    };
    let (running, blocked) = (None, Vec::new());
    let mut fence = Fence { report: Some(report), done: Some(done), running, blocked, context, policy };
    let now = fence.context.clock.now();
    let (loaded, mut recipients) = match message(&fence.context.store, &mut slips, &keys, now) {
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
    fence.blocked = take_blocked(&fence.context.store, &loaded.message, &mut recipients, now);
    if recipients.is_empty() {
        return;
    }
    fence.running = Some((loaded.clone(), recipients.clone()));
    let way = match turn {
        Turn::HoldBack(held) => return fence.hold_back(&held),
        Turn::Try(conversation) => conversation.way,
    };
    fence.context.metrics.attempts.one();
    let outcome = deliver(&fence.context, Lane(lane), loaded, recipients, way).await;
    fence.end(outcome);
}

async fn deliver<S>(
    context: &Context<S>,
    lane: Lane,
    loaded: Arc<Loaded>,
    recipients: Vec<Recipient>,
    way: Way,
) -> Outcome {
    context.deliver.deliver(Job { lane, loaded, recipients, path: path_of(way) }).await
}

/// How long a message is fresh: what was looked up when it was accepted need not be looked up again.
const FRESH: Duration = Duration::from_secs(60);

/// Takes those recipients out that came onto the suppression list, or left the message's list, while they waited: a last
/// look before a retry. Fresh mail was looked up when it was accepted, and costs no read.
fn take_blocked<S: Shelf>(
    store: &S,
    message: &Message,
    recipients: &mut Vec<Recipient>,
    now: Timestamp,
) -> Vec<Change> {
    if !lookup::applies_to(message.origin) {
        return Vec::new();
    }
    let is_old = now.since(message.accepted_at) > FRESH;
    let mut blocked = Vec::new();
    recipients.retain(|recipient| {
        if recipient.attempts == 0 && !is_old {
            return true;
        }
        match store.block_of(recipient, &message.user, &message.list, now) {
            Ok(None) => true,
            Ok(Some(block)) => {
                blocked.push(results::blocked(recipient, block, now));
                false
            }
            Err(error) => {
                log::error!("message={} what=\"the suppression list could not be read\" error=\"{error}\"", message.id);
                true
            }
        }
    });
    blocked
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
    // Without them, the mail would be signed anew: other octets, and no harm besides.
    let leads = store.leads(keys[0].message, &indexes).unwrap_or_else(|error| {
        log::error!("message={} its leads could not be read: {error}", keys[0].message);
        Vec::new()
    });
    let loaded = Loaded { message, recipients: recipients.clone(), body: None, leads: Leads::stored(leads) };
    Ok(Some((Arc::new(loaded), recipients)))
}

/// Reports the end of an attempt even when it panics.
struct Fence<S: Shelf, F: FnOnce(Done)> {
    report: Option<F>,
    done: Option<Done>,
    running: Option<Found>,
    /// Recipients that are not written to any more.
    blocked: Vec<Change>,
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

    /// They are deferred without a try, at the moment for which that was decided: nobody's life ends in between.
    fn hold_back(mut self, held: &HeldBack) {
        let (Some((loaded, recipients)), Some(done)) = (self.running.take(), &mut self.done) else { return };
        let results = results::held_back(&recipients, held);
        done.settled = results::settle(&loaded.message, &recipients, results, &self.policy, held.now);
        results::keep_leads(&mut done.settled, &loaded.leads);
        done.settled.counts.held_back(recipients.len());
    }

    fn end(mut self, outcome: Outcome) {
        let now = self.context.clock.now();
        let (Some((loaded, mut recipients)), Some(done)) = (self.running.take(), &mut self.done) else { return };
        if outcome.interrupted {
            let was_tried = |r: &Recipient| outcome.results.iter().any(|result| result.index == r.key.index);
            done.unchanged.extend(recipients.iter().filter(|r| !was_tried(r)).map(|r| r.key));
            recipients.retain(was_tried);
            if recipients.is_empty() {
                return;
            }
        }
        done.feedback = feedback(outcome.feedback);
        done.push = outcome.push.map(push_of);
        let deferred = |r: &&RecipientResult| matches!(r.verdict, Verdict::Deferred { .. });
        let failed = |r: &&RecipientResult| r.verdict == Verdict::Failed;
        let mut said = outcome.results.iter().find(deferred);
        if done.feedback == Feedback::Trouble || done.push.is_some() {
            said = said.or_else(|| outcome.results.iter().find(failed));
        }
        done.said = said.map(|r| r.detail.clone());
        done.settled = results::settle(&loaded.message, &recipients, outcome.results, &self.policy, now);
        self.context.streams.count(&loaded.message, &recipients, &done.settled.changes);
        results::keep_leads(&mut done.settled, &loaded.leads);
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
            results::keep_leads(&mut done.settled, &loaded.leads);
        }
        done.settled.counts.blocked(self.blocked.len());
        done.settled.changes.append(&mut self.blocked);
        report(done);
    }
}

fn feedback(feedback: SiteFeedback) -> Feedback {
    match feedback {
        SiteFeedback::Healthy => Feedback::Healthy,
        SiteFeedback::Trouble => Feedback::Trouble,
        SiteFeedback::Unknown => Feedback::Unknown,
    }
}
