//! Turns what an attempt said into what is stored: one change and one event for each recipient (P4), and the log's lines.
//!
//! In: the job's recipients, the attempt's results, the time.  Out: [`Settled`].
//! Always: each recipient of the job gets exactly one change; trouble without a verdict defers; a recipient expires only
//! with a try right before it; a notice is owed only to a sender that has an address and wants it (RFC 3461 §4.1, RFC 5321
//! §6.1); what may be a duplicate is marked as one (P3).

use std::time::Duration;

use super::{
    backoff::{self, DelayNotice, Jitter, NextTry},
    core::HeldBack,
};
use crate::{
    clock::Timestamp,
    deliver::job::{RecipientResult, Verdict},
    event::{AttemptDetail, ErrorClass, Event, EventKind, Phase, Trouble, WaitReason},
    metrics::Metrics,
    smtp::params::ByMode,
    store::{Change, Leads, Message, NoticeKind, Recipient},
    suppress::lookup::Block,
};

/// A try that carries the delay notice is put in only when it is at least this far off; otherwise the next one carries it.
const EXTRA_TRY_MIN: Duration = Duration::from_secs(60);
/// The same where the sender named the moment (DELIVERBY): it is kept more exactly.
const EXTRA_TRY_BY_MIN: Duration = Duration::from_secs(5);

/// The parts of the config that decide about retries.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct RetryPolicy {
    /// `[queue] retry_schedule`.
    pub schedule: Vec<Duration>,
    /// `[queue] delay_notice_after`; zero: only when asked for.
    pub delay_notice_after: Duration,
}

/// Changes to store, with what they mean for the counters and the clock.
#[derive(Debug, Default)]
pub(super) struct Settled {
    /// One for each recipient.
    pub changes: Vec<Change>,
    /// When the first of them is due again.
    pub due: Option<Timestamp>,
    /// What they count as.
    pub counts: Counts,
}

/// How many recipients met which end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    delivered: u64,
    deferred: u64,
    failed: u64,
    possible_duplicates: u64,
    held_back: u64,
    blocked: u64,
}

impl Counts {
    /// Adds `other` to these.
    pub fn add(&mut self, other: Counts) {
        self.delivered += other.delivered;
        self.deferred += other.deferred;
        self.failed += other.failed;
        self.possible_duplicates += other.possible_duplicates;
        self.held_back += other.held_back;
        self.blocked += other.blocked;
    }

    /// Counts them: their changes are stored.
    pub fn count(self, metrics: &Metrics) {
        metrics.delivered.add(self.delivered);
        metrics.deferred.add(self.deferred);
        metrics.failed.add(self.failed);
        metrics.possible_duplicates.add(self.possible_duplicates);
        metrics.held_back.add(self.held_back);
        metrics.blocked.add(self.blocked);
    }

    /// Recipients that were delivered, and those that were put off.
    pub fn brought(&self) -> (u32, u32) {
        let few = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        (few(self.delivered), few(self.deferred))
    }

    /// Some of them failed, so that an address may have to come onto the suppression list.
    pub fn has_failures(&self) -> bool {
        self.failed > 0
    }

    /// So many of them are no longer written to.
    pub fn blocked(&mut self, recipients: usize) {
        self.blocked += recipients as u64;
    }

    /// So many of them were deferred without a try.
    pub fn held_back(&mut self, recipients: usize) {
        self.held_back += recipients as u64;
    }
}

/// What becomes of `recipients` of `message` after an attempt that ended at `now` with `results`.
pub(super) fn settle(
    message: &Message,
    recipients: &[Recipient],
    mut results: Vec<RecipientResult>,
    policy: &RetryPolicy,
    now: Timestamp,
) -> Settled {
    let mut settled = Settled { changes: Vec::with_capacity(recipients.len()), ..Settled::default() };
    for recipient in recipients {
        let found = results.iter().position(|r| r.index == recipient.key.index);
        let result = match found {
            Some(place) => results.swap_remove(place),
            None => no_result(recipient),
        };
        let change = change(message, recipient, result, policy, now);
        let event = &change.event;
        match event.kind {
            EventKind::Succeeded => settled.counts.delivered += 1,
            EventKind::Failed => settled.counts.failed += 1,
            EventKind::Queued
            | EventKind::Deferred
            | EventKind::Dropped
            | EventKind::Bounced
            | EventKind::Complained => {
                settled.counts.deferred += 1;
            }
        }
        settled.counts.possible_duplicates += u64::from(event.detail.as_ref().is_some_and(|d| d.possible_duplicate));
        settled.due = settled.due.into_iter().chain(event.next_try.filter(|t| *t != Timestamp::MAX)).min();
        log_change(&change);
        settled.changes.push(change);
    }
    settled
}

/// What stood in front of the copies of those who are tried again goes to disk with their verdicts.
pub(super) fn keep_leads(settled: &mut Settled, leads: &Leads) {
    let Some(slot) = leads.slot() else { return };
    for change in &mut settled.changes {
        let lead = slot.over(change.event.key.index);
        if change.event.kind == EventKind::Deferred {
            change.lead = lead;
        }
    }
}

/// The results of recipients that were not tried because their site is in trouble, or a response rule pauses it.
pub(super) fn held_back(recipients: &[Recipient], held: &HeldBack) -> Vec<RecipientResult> {
    let why = match &held.pause {
        Some((rule, until)) => format!("not tried, the response rule {rule:?} pauses the destination until {until}"),
        None => "not tried, the destination is in trouble".to_owned(),
    };
    let last = held.last.as_deref().cloned().unwrap_or_else(|| AttemptDetail {
        destination: recipients.first().map(|r| r.lane.destination().to_owned()).unwrap_or_default(),
        phase: Some(Phase::Queue),
        error: Some(ErrorClass::ResendTimeout),
        trouble: Some(Trouble::Destination),
        ..AttemptDetail::default()
    });
    let reply = if last.reply.is_empty() { why } else { format!("{why}; its last answer: {}", last.reply) };
    let detail = AttemptDetail { reply, duration: Duration::ZERO, possible_duplicate: false, ..last };
    let result = |r: &Recipient| RecipientResult {
        index: r.key.index,
        verdict: Verdict::Deferred { site: true, damaged: false },
        detail: Box::new(detail.clone()),
        conversation: None,
    };
    recipients.iter().map(result).collect()
}

/// The results of recipients whose attempt was broken off by a fault of ours: the peer may have taken the mail.
pub(super) fn broken_off(recipients: &[Recipient], why: &str) -> Vec<RecipientResult> {
    let result = |r: &Recipient| {
        let mut result = no_result(r);
        result.detail.reply = why.to_owned();
        result.detail.possible_duplicate = true;
        result
    };
    recipients.iter().map(result).collect()
}

/// The change that holds a recipient whose stored message cannot be read.
pub(super) fn damaged(key: crate::ids::RecipientKey, destination: &str, why: &str, now: Timestamp) -> Change {
    let detail = AttemptDetail {
        destination: destination.to_owned(),
        phase: Some(Phase::Queue),
        reply: why.to_owned(),
        error: Some(ErrorClass::Other),
        trouble: Some(Trouble::Destination),
        ..AttemptDetail::default()
    };
    let event = Event {
        at: now,
        key,
        kind: EventKind::Deferred,
        attempt: 0,
        next_try: Some(Timestamp::MAX),
        wait: Some(WaitReason::Damaged),
        operator: None,
        detail: Some(Box::new(detail)),
    };
    let change = Change::of(event, None);
    log_change(&change);
    change
}

/// The change that ends a recipient who is no longer written to; its sender gets no notice: it is told by the log, as at
/// submission.
pub(super) fn blocked(recipient: &Recipient, block: Block, now: Timestamp) -> Change {
    let detail = AttemptDetail {
        destination: recipient.lane.destination().to_owned(),
        phase: Some(Phase::Queue),
        reply: block.words,
        error: Some(block.class),
        trouble: Some(Trouble::Recipient),
        possible_duplicate: recipient.possible_duplicate,
        ..AttemptDetail::default()
    };
    let event = Event {
        at: now,
        key: recipient.key,
        kind: EventKind::Failed,
        attempt: recipient.attempts,
        next_try: None,
        wait: None,
        operator: None,
        detail: Some(Box::new(detail)),
    };
    let change = Change::of(event, None);
    log_change(&change);
    change
}

fn no_result(recipient: &Recipient) -> RecipientResult {
    let detail = AttemptDetail {
        destination: recipient.lane.0.to_string(),
        phase: Some(Phase::Queue),
        reply: "the attempt ended without a result".to_owned(),
        error: Some(ErrorClass::Other),
        trouble: Some(Trouble::Destination),
        ..AttemptDetail::default()
    };
    let verdict = Verdict::Deferred { site: false, damaged: false };
    RecipientResult { index: recipient.key.index, verdict, detail: Box::new(detail), conversation: None }
}

fn change(
    message: &Message,
    recipient: &Recipient,
    result: RecipientResult,
    policy: &RetryPolicy,
    now: Timestamp,
) -> Change {
    let RecipientResult { verdict, mut detail, conversation, .. } = result;
    detail.possible_duplicate |= recipient.possible_duplicate;
    let attempt = recipient.attempts.saturating_add(1);
    let notify = recipient.params.notify;
    let owed = |wanted: bool, kind: NoticeKind| (wanted && message.sender.is_some()).then_some(kind);
    let mut next_try = None;
    let mut wait = None;
    let (kind, notice) = match verdict {
        // A peer that does DSN was handed NOTIFY and sends the notice itself.
        Verdict::Delivered { peer_does_dsn, peer_does_by } => {
            let asked = notify.success && !peer_does_dsn;
            let by = message.params.by.filter(|_| !notify.never());
            let left = by.map(|by| by.left(message.accepted_at, now));
            let by_asks = by.zip(left).is_some_and(|(by, left)| by.wants_relayed_notice(peer_does_by, left));
            (EventKind::Succeeded, owed(asked || by_asks, NoticeKind::Relayed))
        }
        Verdict::Failed => (EventKind::Failed, owed(notify.wants_failure(), NoticeKind::Failure)),
        Verdict::Deferred { damaged: true, .. } => {
            next_try = Some(Timestamp::MAX);
            wait = Some(WaitReason::Damaged);
            (EventKind::Deferred, None)
        }
        Verdict::Deferred { site, damaged: false } => {
            let jitter = Jitter::of(message.id, attempt);
            match backoff::next_try(&policy.schedule, attempt, now, end_of_life(message), jitter) {
                NextTry::Expired => {
                    detail.reply = format!("{}; last answer: {}", expired(message), detail.reply);
                    detail.error = Some(ErrorClass::ResendTimeout);
                    (detail.hard, detail.trouble) = (false, Some(Trouble::Destination));
                    (EventKind::Failed, owed(notify.wants_failure(), NoticeKind::Failure))
                }
                NextTry::At(at) => {
                    let (delay, exact) = delay(message, recipient, policy, now);
                    next_try = Some(match delay {
                        DelayNotice::At(time) if time < at && time > now.plus(exact) => time,
                        DelayNotice::At(_) | DelayNotice::Now | DelayNotice::No => at,
                    });
                    wait = Some(if site { WaitReason::Site } else { WaitReason::Retry });
                    (EventKind::Deferred, (delay == DelayNotice::Now).then_some(NoticeKind::Delay))
                }
            }
        }
    };
    let (key, detail) = (recipient.key, Some(detail));
    let event = Event { at: now, key, kind, attempt, next_try, wait, operator: None, detail };
    Change { conversation, ..Change::of(event, notice) }
}

/// The moment that BY names, and what happens then (RFC 2852 §4.1.3).
fn deadline(message: &Message) -> Option<(Timestamp, ByMode)> {
    let by = message.params.by?;
    let after = Duration::from_secs(u64::try_from(by.seconds).unwrap_or(0));
    Some((message.accepted_at.plus(after), by.mode))
}

/// When the message's waiting recipients expire; the intake reckoned the deadline of BY in, this keeps it.
fn end_of_life(message: &Message) -> Timestamp {
    match deadline(message) {
        Some((deadline, ByMode::Return)) => message.expires_at.min(deadline),
        Some((_, ByMode::Notify)) | None => message.expires_at,
    }
}

fn expired(message: &Message) -> String {
    let end = end_of_life(message);
    let life = words(end.since(message.accepted_at));
    match deadline(message) {
        // RFC 2852 §4.1.3 names the code.
        Some((deadline, ByMode::Return)) if deadline <= end => {
            format!("5.4.7 not delivered within {life}, as its sender asked")
        }
        Some(_) | None => format!("4.4.7 not delivered within {life}"),
    }
}

/// Whether a delay notice goes out with this deferral, and how exactly its time is kept. BY with N wants one at its deadline
/// where NOTIFY names DELAY or is not given (RFC 2852 §4.1.3).
fn delay(message: &Message, recipient: &Recipient, policy: &RetryPolicy, now: Timestamp) -> (DelayNotice, Duration) {
    if message.sender.is_none() || recipient.delay_noticed {
        return (DelayNotice::No, EXTRA_TRY_MIN);
    }
    let notify = recipient.params.notify;
    let (asked, given, configured) = (notify.wants_delay(), notify.given, policy.delay_notice_after);
    let usual = backoff::delay_notice(asked, given, configured, message.accepted_at, now);
    match deadline(message) {
        Some((deadline, ByMode::Notify)) if asked || !given => {
            let by = backoff::notice_at(deadline, now);
            let delay = by.or(usual);
            (delay, if delay == by { EXTRA_TRY_BY_MIN } else { EXTRA_TRY_MIN })
        }
        Some(_) | None => (usual, EXTRA_TRY_MIN),
    }
}

/// `4 days`, `90 minutes`: the largest unit that is exact enough.
fn words(life: Duration) -> String {
    let seconds = life.as_secs();
    let (n, unit) = match seconds {
        172_800.. => (seconds / 86_400, "days"),
        7_200..172_800 => (seconds / 3_600, "hours"),
        120..7_200 => (seconds / 60, "minutes"),
        0..120 => (seconds, "seconds"),
    };
    format!("{n} {unit}")
}

fn log_change(change: &Change) {
    let event = &change.event;
    let Some(detail) = &event.detail else { return };
    let phase = detail.phase.map_or("-", Phase::word);
    let address = detail.address.map(|a| a.to_string()).unwrap_or_default();
    let next = event.next_try.map(|next| format!(" wait={} next_try={next}", event.wait.map_or("-", WaitReason::word)));
    // `{:?}` quotes and escapes: a peer's words cannot forge a line.
    log::info!(
        "message={} recipient={} destination={} attempt={} verdict={} phase={phase} host={} address={address} \
         duration_ms={} possible_duplicate={} reply={:?}{}",
        event.key.message,
        event.key.index,
        detail.destination,
        event.attempt,
        event.kind.word(),
        detail.host,
        detail.duration.as_millis(),
        detail.possible_duplicate,
        detail.reply,
        next.unwrap_or_default(),
    );
}
