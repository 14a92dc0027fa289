//! What became of recipients: verdicts, operators' acts, and notices that were sent.
//!
//! In: a [`Change`], a step of a [`QueueVerb`], a settled notice.  Out: rows.
//! Always: state and event are one transaction (P4); a final recipient is never changed again (P2); a body is dropped in the
//! transaction that made it unneeded; an owed notice keeps message and body.

use redb::ReadableTable;

use super::{
    batch::{Spot, Unclean, Work, is_held},
    conversations,
    counts::Whose,
    fault::{Fatal, bad_row},
    leads,
    rows::{self, MessageHead, RecipientRow},
    sums::Whom,
    tables::{self, message_key},
    types::{Change, NoticeKind, QueueVerb, RecipientState, StoreError},
};
use crate::{
    clock::Timestamp,
    event::{AttemptDetail, ErrorClass, Event, EventKind, Phase, Trouble, WaitReason},
    ids::{MessageId, RecipientKey, UserKey},
};

/// Applies one change; false when the recipient is final or unknown.
pub(super) fn apply(work: &mut Work<'_, '_>, change: &Change) -> Result<bool, StoreError> {
    let event = &change.event;
    let key = event.key;
    let Some(mut row) = work.recipient(key)? else { return Ok(false) };
    let RecipientState::Waiting { due, wait } = row.shown.state else { return Ok(false) };
    if event.kind == EventKind::Queued {
        return Ok(false);
    }
    let Some(message) = work.message(key.message)? else {
        return Err(StoreError::Damaged(format!(
            "hikyaku.redb: message {} has no row; run `hikyaku verify`",
            key.message
        )));
    };
    let MessageHead { api_hash, waiting: was_waiting, user, since, leads: has_leads, .. } = message.head;
    let (lane, class) = (row.shown.lane.clone(), row.class);
    let (spot, whom) = (Spot { lane: &lane, class, user }, Whom { class, user, name: "" });
    let due_row = work.unwait(spot, due, key)?;
    let number = work.number();

    row.shown.attempts = row.shown.attempts.max(event.attempt);
    // A reply that was lost stays lost: the peer may have a copy from that try on.
    row.shown.possible_duplicate |= event.detail.as_ref().is_some_and(|d| d.possible_duplicate);
    let mut closes = false;
    if event.kind.is_final() {
        row.shown.state = RecipientState::Final(event.kind);
        row.shown.last_reply = String::new(); // its last event has it
        work.count(whom, since, Some(wait), None);
        work.change_message(key.message, |head| head.waiting = head.waiting.saturating_sub(1));
        closes = was_waiting <= 1;
        if has_leads {
            leads::forget_own(work, key)?;
        }
    } else {
        let (next, reason) = (event.next_try.unwrap_or(event.at), event.wait.unwrap_or(WaitReason::Retry));
        row.shown.state = RecipientState::Waiting { due: next, wait: reason };
        row.shown.last_reply = event.detail.as_ref().map_or(String::new(), |d| d.reply.clone());
        work.count(whom, since, Some(wait), Some(reason));
        let expires_at = expiry_of(due_row.as_deref(), key);
        work.wait(spot, next, key, &rows::write_due(row.shown.attempts, expires_at))?;
        work.lane_says(&lane, &row.shown.last_reply);
        if let Some(lead) = &change.lead {
            leads::keep(work, key, lead)?;
        }
    }
    if let Some(kind) = change.notice {
        owe(work, &mut row, number, kind)?;
    }
    if let Some(conversation) = &change.conversation {
        conversations::keep(work, number, conversation)?;
    }
    let whose = Whose { user, name: None, api_hash };
    work.log(number, row.last_event, closes, event, row.shown.address.as_str(), whose)?;
    row.last_event = number;
    work.put_recipient(&row)?;
    body_if_done(work, key.message)?;
    Ok(true)
}

/// When the recipient expires, as its row in the due index said. A hole or a damaged row there must not stop a verdict:
/// `verify` reports it, and the recipient is in the queue again.
fn expiry_of(due_row: Option<&[u8]>, key: RecipientKey) -> Timestamp {
    match due_row.map(rows::read_due) {
        Some(Ok((_, expires_at))) => expires_at,
        Some(Err(_)) | None => {
            log::error!("message={} recipient={} due index damaged; run hikyaku verify", key.message, key.index);
            Timestamp::MAX
        }
    }
}

fn owe(work: &mut Work<'_, '_>, row: &mut RecipientRow, number: u64, kind: NoticeKind) -> Result<(), StoreError> {
    /// A delay notice and a final one; more than that would be one never settled.
    const OWED_MAX: usize = 2;
    let key = row.shown.key;
    if kind == NoticeKind::Delay {
        row.shown.delay_noticed = true;
    }
    if row.owed.len() >= OWED_MAX {
        return Ok(());
    }
    row.owed.push(number);
    work.t.notices.insert(number, rows::write_notice(key, kind).as_slice()).fatal()?;
    work.change_message(key.message, |head| head.owed += 1);
    Ok(())
}

/// Drops the leads when nobody waits, and the body when nothing is owed, either.
pub(super) fn body_if_done(work: &mut Work<'_, '_>, id: MessageId) -> Result<(), StoreError> {
    let Some(MessageHead { waiting: 0, owed, leads, .. }) = work.message(id)?.map(|m| m.head) else { return Ok(()) };
    if leads {
        leads::forget_all(work, id)?;
    }
    if owed == 0 { work.body_unneeded(id) } else { Ok(()) }
}

/// The oldest notice owed about this recipient was sent, or will never be.
pub(super) fn settle(work: &mut Work<'_, '_>, key: RecipientKey) -> Result<bool, StoreError> {
    let Some(mut row) = work.recipient(key)? else { return Ok(false) };
    if row.owed.is_empty() {
        return Ok(false);
    }
    if work.message(key.message)?.is_none() {
        return Ok(false);
    }
    let number = row.owed.remove(0);
    work.t.notices.remove(number).fatal()?;
    work.change_message(key.message, |head| head.owed = head.owed.saturating_sub(1));
    work.put_recipient(&row)?;
    body_if_done(work, key.message)?;
    if outlived_its_events(work, key.message)? {
        super::retention::delete_message(work, key.message)?;
    }
    Ok(true)
}

/// The message is finished and all its events were pruned, while a notice was owed or something had come back.
pub(super) fn outlived_its_events(work: &mut Work<'_, '_>, id: MessageId) -> Result<bool, StoreError> {
    let done = work.message(id)?.is_some_and(|m| m.head.waiting == 0 && m.head.owed == 0);
    if !done {
        return Ok(false);
    }
    for entry in work.t.mail.range::<&tables::MailKey>(&message_key(id)..&tables::mail_end(id)).fatal()? {
        let (key, value) = entry.fatal()?;
        let (_, index) = tables::read_mail_key(key.value());
        if let Some(index) = index
            && let Ok(row) = rows::read_recipient(RecipientKey { message: id, index }, value.value())
            && work.t.events.get(row.last_event).fatal()?.is_some()
        {
            return Ok(false);
        }
    }
    Ok(true)
}

/// One recipient's part of an operator's act; false when it did not apply.
pub(super) fn act(
    work: &mut Work<'_, '_>,
    verb: QueueVerb,
    key: RecipientKey,
    operator: &str,
) -> Result<bool, StoreError> {
    let Some(row) = work.recipient(key)? else { return Ok(false) };
    let RecipientState::Waiting { due, wait } = row.shown.state else { return Ok(false) };
    let now = work.now;
    let fresh = if row.shown.attempts == 0 { WaitReason::Fresh } else { WaitReason::Retry };
    match verb {
        QueueVerb::Flush if is_held(wait) => Ok(false),
        // What was scheduled for later is no longer.
        QueueVerb::Flush if wait == WaitReason::Scheduled => move_to(work, row, due, wait, due.min(now), fresh),
        QueueVerb::Flush => move_to(work, row, due, wait, due.min(now), wait),
        QueueVerb::Hold if is_held(wait) => Ok(false),
        QueueVerb::Hold => move_to(work, row, due, wait, Timestamp::MAX, WaitReason::Held),
        QueueVerb::Release if !is_held(wait) => Ok(false),
        QueueVerb::Release => move_to(work, row, due, wait, now, fresh),
        QueueVerb::Drop => {
            let event = operators_event(EventKind::Dropped, key, now, operator, None);
            apply(work, &Change::of(event, None))
        }
        QueueVerb::Fail => {
            let detail = AttemptDetail {
                destination: row.shown.lane.to_string(),
                phase: Some(Phase::Queue),
                reply: format!("given up by operator {operator}"),
                error: Some(ErrorClass::Other),
                trouble: Some(Trouble::Destination),
                possible_duplicate: row.shown.possible_duplicate,
                ..AttemptDetail::default()
            };
            let event = operators_event(EventKind::Failed, key, now, operator, Some(Box::new(detail)));
            let wanted = row.shown.params.notify.wants_failure() && has_sender(work, key.message)?;
            apply(work, &Change::of(event, wanted.then_some(NoticeKind::Failure)))
        }
    }
}

fn has_sender(work: &mut Work<'_, '_>, id: MessageId) -> Result<bool, StoreError> {
    let Some(m) = work.message(id)? else { return Ok(false) };
    let message = rows::read_message(id, &m.row).map_err(|e| bad_row(format_args!("message {id}"), e))?;
    Ok(message.sender.is_some())
}

fn operators_event(
    kind: EventKind,
    key: RecipientKey,
    at: Timestamp,
    operator: &str,
    detail: Option<Box<AttemptDetail>>,
) -> Event {
    let operator = Some(operator.to_owned());
    Event { at, key, kind, attempt: 0, next_try: None, wait: None, operator, detail }
}

/// Lets a waiting recipient wait until another time, or for another reason, without an event.
pub(super) fn move_to(
    work: &mut Work<'_, '_>,
    mut row: RecipientRow,
    due: Timestamp,
    wait: WaitReason,
    next: Timestamp,
    reason: WaitReason,
) -> Result<bool, StoreError> {
    // The new due time hides that it was due when the process stopped hard: the mark is stored instead.
    row.shown.possible_duplicate |= Unclean::marks(work.books.unclean, &row);
    let key = row.shown.key;
    // A message whose row is gone is nobody's.
    let (user, since) = work.message(key.message)?.map_or((UserKey::default(), None), |m| (m.head.user, m.head.since));
    if next != due {
        let lane = row.shown.lane.clone();
        let spot = Spot { lane: &lane, class: row.class, user };
        let due_row = work.unwait(spot, due, key)?;
        let expires_at = expiry_of(due_row.as_deref(), key);
        work.wait(spot, next, key, &rows::write_due(row.shown.attempts, expires_at))?;
    }
    work.count(Whom { class: row.class, user, name: "" }, since, Some(wait), Some(reason));
    row.shown.state = RecipientState::Waiting { due: next, wait: reason };
    work.put_recipient(&row)?;
    Ok(true)
}
