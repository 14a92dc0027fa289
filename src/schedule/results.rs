//! Turns what an attempt said into what is stored: one change and one event for each recipient (P4), and the log's lines.
//!
//! In: the job's recipients, the attempt's results, the time.  Out: [`Settled`].
//! Always: each recipient of the job gets exactly one change; trouble without a verdict defers; a recipient expires only
//! with a try right before it; a notice is owed only to a sender that has an address and wants it (RFC 3461 §4.1, RFC 5321
//! §6.1); what may be a duplicate is marked as one (P3).

use std::time::Duration;

use super::backoff::{self, DelayNotice, Jitter, NextTry};
use crate::{
    clock::Timestamp,
    deliver::job::{RecipientResult, Verdict},
    event::{AttemptDetail, ErrorClass, Event, EventKind, Phase, WaitReason},
    metrics::Metrics,
    store::{Change, Message, NoticeKind, Recipient},
};

/// A try that carries the delay notice is put in only when it is at least this far off; otherwise the next one carries it.
const EXTRA_TRY_MIN: Duration = Duration::from_secs(60);

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
}

impl Counts {
    /// Adds `other` to these.
    pub fn add(&mut self, other: Counts) {
        self.delivered += other.delivered;
        self.deferred += other.deferred;
        self.failed += other.failed;
        self.possible_duplicates += other.possible_duplicates;
    }

    /// Counts them: their changes are stored.
    pub fn count(self, metrics: &Metrics) {
        metrics.delivered.add(self.delivered);
        metrics.deferred.add(self.deferred);
        metrics.failed.add(self.failed);
        metrics.possible_duplicates.add(self.possible_duplicates);
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
            EventKind::Queued | EventKind::Deferred | EventKind::Dropped => settled.counts.deferred += 1,
        }
        settled.counts.possible_duplicates += u64::from(event.detail.as_ref().is_some_and(|d| d.possible_duplicate));
        settled.due = settled.due.into_iter().chain(event.next_try.filter(|t| *t != Timestamp::MAX)).min();
        log_change(&change);
        settled.changes.push(change);
    }
    settled
}

/// The results of recipients that were not tried because their site's last attempt met `trouble`.
pub(super) fn suspended(recipients: &[Recipient], trouble: &AttemptDetail) -> Vec<RecipientResult> {
    let detail = AttemptDetail {
        reply: format!("not tried, the destination is in trouble; its last answer: {}", trouble.reply),
        duration: Duration::ZERO,
        possible_duplicate: false,
        ..trouble.clone()
    };
    let result = |r: &Recipient| RecipientResult {
        index: r.key.index,
        verdict: Verdict::Deferred { site: true, damaged: false },
        detail: Box::new(detail.clone()),
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
    let change = Change { event, notice: None };
    log_change(&change);
    change
}

fn no_result(recipient: &Recipient) -> RecipientResult {
    let detail = AttemptDetail {
        destination: recipient.lane.0.to_string(),
        phase: Some(Phase::Queue),
        reply: "the attempt ended without a result".to_owned(),
        error: Some(ErrorClass::Other),
        ..AttemptDetail::default()
    };
    let verdict = Verdict::Deferred { site: false, damaged: false };
    RecipientResult { index: recipient.key.index, verdict, detail: Box::new(detail) }
}

fn change(
    message: &Message,
    recipient: &Recipient,
    result: RecipientResult,
    policy: &RetryPolicy,
    now: Timestamp,
) -> Change {
    let RecipientResult { verdict, mut detail, .. } = result;
    detail.possible_duplicate |= recipient.possible_duplicate;
    let attempt = recipient.attempts.saturating_add(1);
    let notify = recipient.params.notify;
    let owed = |wanted: bool, kind: NoticeKind| (wanted && message.sender.is_some()).then_some(kind);
    let mut next_try = None;
    let mut wait = None;
    let (kind, notice) = match verdict {
        // A peer that does DSN was handed NOTIFY and sends the notice itself.
        Verdict::Delivered { peer_does_dsn } => {
            (EventKind::Succeeded, owed(notify.success && !peer_does_dsn, NoticeKind::Relayed))
        }
        Verdict::Failed => (EventKind::Failed, owed(notify.wants_failure(), NoticeKind::Failure)),
        Verdict::Deferred { damaged: true, .. } => {
            next_try = Some(Timestamp::MAX);
            wait = Some(WaitReason::Damaged);
            (EventKind::Deferred, None)
        }
        Verdict::Deferred { site, damaged: false } => {
            let jitter = Jitter::of(message.id, attempt);
            match backoff::next_try(&policy.schedule, attempt, now, message.expires_at, jitter) {
                NextTry::Expired => {
                    let life = message.expires_at.since(message.accepted_at);
                    detail.reply = format!("4.4.7 not delivered within {}; last answer: {}", words(life), detail.reply);
                    detail.error = Some(ErrorClass::ResendTimeout);
                    (EventKind::Failed, owed(notify.wants_failure(), NoticeKind::Failure))
                }
                NextTry::At(at) => {
                    let delay = match &message.sender {
                        Some(_) if !recipient.delay_noticed => backoff::delay_notice(
                            notify.wants_delay(),
                            notify.given,
                            policy.delay_notice_after,
                            message.accepted_at,
                            now,
                        ),
                        Some(_) | None => DelayNotice::No,
                    };
                    next_try = Some(match delay {
                        DelayNotice::At(time) if time < at && time > now.plus(EXTRA_TRY_MIN) => time,
                        DelayNotice::At(_) | DelayNotice::Now | DelayNotice::No => at,
                    });
                    wait = Some(if site { WaitReason::Site } else { WaitReason::Retry });
                    (EventKind::Deferred, (delay == DelayNotice::Now).then_some(NoticeKind::Delay))
                }
            }
        }
    };
    let (key, detail) = (recipient.key, Some(detail));
    Change { event: Event { at: now, key, kind, attempt, next_try, wait, operator: None, detail }, notice }
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
    // `{:?}` quotes and escapes: a peer's words cannot forge a line.
    match event.next_try {
        None => log::info!(
            "message={} recipient={} destination={} attempt={} verdict={} phase={phase} host={} address={address} \
             duration_ms={} possible_duplicate={} reply={:?}",
            event.key.message,
            event.key.index,
            detail.destination,
            event.attempt,
            event.kind.word(),
            detail.host,
            detail.duration.as_millis(),
            detail.possible_duplicate,
            detail.reply,
        ),
        Some(next) => log::info!(
            "message={} recipient={} destination={} attempt={} verdict={} phase={phase} host={} address={address} \
             duration_ms={} possible_duplicate={} reply={:?} wait={} next_try={}",
            event.key.message,
            event.key.index,
            detail.destination,
            event.attempt,
            event.kind.word(),
            detail.host,
            detail.duration.as_millis(),
            detail.possible_duplicate,
            detail.reply,
            event.wait.map_or("-", WaitReason::word),
            next,
        ),
    }
}
