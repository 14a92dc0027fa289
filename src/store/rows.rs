//! How each kind of row is laid out: recipients, events, lanes, notices, and the small ones; messages: `message_rows.rs`.
//!
//! In: values of `types.rs` and `event.rs`.  Out: versioned bytes, and back.
//! Always: octet 0 is the version. What the writer patches on the hot path stands at fixed places in front, so that a
//! verdict rewrites a few octets instead of decoding a whole row.

use std::{sync::Arc, time::Duration};

pub(super) use super::message_rows::{MessageHead, read_message, write_message};
use super::{
    codec::{Eye, Pen, RowError},
    types::{Lane, NoticeKind, Recipient, RecipientState},
};
use crate::{
    clock::Timestamp,
    event::{AttemptDetail, Class, ErrorClass, Event, EventKind, Phase, Trouble, WaitReason},
    ids::{MessageId, RecipientKey},
    smtp::{
        address::Mailbox,
        params::{Notify, RcptParams},
    },
};

/// The version of every row that this program writes, but for those of messages.
pub(super) const VERSION: u8 = 1;

/// The class of that number.
pub(super) fn class_of(n: u8) -> Result<Class, RowError> {
    Class::ALL.get(usize::from(n)).copied().ok_or(RowError::Nonsense)
}

/// An address that was parsed when it came in.
pub(super) fn mailbox_of(text: &str) -> Result<Mailbox, RowError> {
    Mailbox::parse(text).map_err(|_| RowError::Nonsense)
}

// ---- recipients ----

/// A recipient row: what the other rooms see, and what only the store needs.
#[derive(Clone, Debug)]
pub(super) struct RecipientRow {
    /// What the other rooms see. `possible_duplicate` holds the stored mark only.
    pub shown: Recipient,
    /// The class of its message, so that a verdict need not read the message for the due index.
    pub class: Class,
    /// The number of its last event; events name the one before, so that its story can be walked.
    pub last_event: u64,
    /// Numbers of the events that owe a notice, oldest first; at most a delay and a final one.
    pub owed: Vec<u64>,
}

/// The place of `last_event` in a row, patched by the writer when a message is accepted.
const LAST_EVENT: std::ops::Range<usize> = 1..9;

/// Sets `last_event` in a written row.
pub(super) fn patch_last_event(row: &mut [u8], number: u64) {
    row[LAST_EVENT].copy_from_slice(&number.to_le_bytes());
}

/// `last_event` of a written row; 0 where it is cut short.
pub(super) fn last_event_of(row: &[u8]) -> u64 {
    row.get(LAST_EVENT).and_then(|octets| octets.try_into().ok()).map_or(0, u64::from_le_bytes)
}

/// `last_event` of a written row and its state: its first octets.
pub(super) fn standing_of(row: &[u8]) -> Result<(u64, RecipientState), RowError> {
    let (_, mut eye) = Eye::open(row, VERSION)?;
    let last_event = u64::from_le_bytes(eye.array()?);
    Ok((last_event, read_state(&mut eye)?))
}

fn read_state(eye: &mut Eye<'_>) -> Result<RecipientState, RowError> {
    let tag = eye.byte()?;
    match tag & 15 {
        0 => {
            let wait = wait_of(tag >> 4)?;
            Ok(RecipientState::Waiting { due: Timestamp::from_millis(u64::from_le_bytes(eye.array()?)), wait })
        }
        1 => Ok(RecipientState::Final(kind_of(tag >> 4)?)),
        _ => Err(RowError::Nonsense),
    }
}

/// A recipient row.
pub(super) fn write_recipient(r: &RecipientRow) -> Vec<u8> {
    let s = &r.shown;
    let mut pen = Pen::new(VERSION, 96);
    pen.raw(&r.last_event.to_le_bytes());
    match &s.state {
        RecipientState::Waiting { due, wait } => {
            pen.byte(wait_number(*wait) << 4);
            pen.raw(&due.as_millis().to_le_bytes());
        }
        RecipientState::Final(kind) => pen.byte(1 | (*kind as u8) << 4),
    }
    let n = s.params.notify;
    pen.byte(r.class as u8 | u8::from(s.possible_duplicate) << 2 | u8::from(s.delay_noticed) << 3);
    pen.byte(u8::from(n.given) | u8::from(n.success) << 1 | u8::from(n.failure) << 2 | u8::from(n.delay) << 3);
    pen.number(u64::from(s.attempts));
    pen.text(s.address.as_str());
    // The lane is nearly always the address's domain: one octet instead of the name.
    if *s.lane.0 == *s.address.domain() {
        pen.number(0)
    } else {
        pen.maybe_text(Some(&s.lane.0))
    }
    pen.maybe_text(s.params.orcpt.as_deref());
    pen.text(&s.last_reply);
    pen.number(r.owed.len() as u64);
    r.owed.iter().for_each(|n| pen.number(*n));
    pen.done()
}

/// Reads a recipient row.
pub(super) fn read_recipient(key: RecipientKey, row: &[u8]) -> Result<RecipientRow, RowError> {
    let (_, mut eye) = Eye::open(row, VERSION)?;
    let last_event = u64::from_le_bytes(eye.array()?);
    let state = read_state(&mut eye)?;
    let bits = eye.byte()?;
    let class = class_of(bits & 3)?;
    let notify = eye.byte()?;
    let attempts = eye.number_u32()?;
    let address = mailbox_of(eye.text()?)?;
    let lane = match eye.maybe_text()? {
        None => Lane(Arc::from(address.domain())),
        Some(name) => Lane(Arc::from(name)),
    };
    let orcpt = eye.maybe_text()?.map(str::to_owned);
    let last_reply = eye.text()?.to_owned();
    let owed = (0..eye.number()?.min(4)).map(|_| eye.number()).collect::<Result<_, _>>()?;
    Ok(RecipientRow {
        shown: Recipient {
            key,
            address,
            params: RcptParams {
                notify: Notify {
                    given: notify & 1 != 0,
                    success: notify & 2 != 0,
                    failure: notify & 4 != 0,
                    delay: notify & 8 != 0,
                },
                orcpt,
            },
            lane,
            state,
            attempts,
            last_reply,
            possible_duplicate: bits & 4 != 0,
            delay_noticed: bits & 8 != 0,
        },
        class,
        last_event,
        owed,
    })
}

fn wait_number(wait: WaitReason) -> u8 {
    match wait {
        WaitReason::Fresh => 0,
        WaitReason::Retry => 1,
        WaitReason::Site => 2,
        WaitReason::Held => 3,
        WaitReason::Damaged => 4,
        WaitReason::Scheduled => 5,
    }
}

fn wait_of(n: u8) -> Result<WaitReason, RowError> {
    WaitReason::ALL.get(usize::from(n)).copied().ok_or(RowError::Nonsense)
}

fn kind_of(n: u8) -> Result<EventKind, RowError> {
    EventKind::ALL.get(usize::from(n)).copied().ok_or(RowError::Nonsense)
}

/// What a row of the due index carries: enough for a ticket without reading the message.
pub(super) fn write_due(attempts: u32, expires_at: Timestamp) -> Vec<u8> {
    let mut pen = Pen::new(VERSION, 16);
    pen.number(u64::from(attempts));
    pen.number(expires_at.as_millis());
    pen.done()
}

/// Reads a row of the due index: tries so far, and when it expires.
pub(super) fn read_due(row: &[u8]) -> Result<(u32, Timestamp), RowError> {
    let (_, mut eye) = Eye::open(row, VERSION)?;
    Ok((eye.number_u32()?, Timestamp::from_millis(eye.number()?)))
}

// ---- events ----

/// Bits beside the kind in an event row.
const CLOSES: u8 = 8;
const HAS_NEXT: u8 = 16;
const HAS_WAIT: u8 = 32;
const HAS_OPERATOR: u8 = 64;
const HAS_DETAIL: u8 = 128;

/// The front of an event row: all that a scan needs before it decides to read on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct EventHead {
    /// What happened.
    pub kind: EventKind,
    /// When it was written, nobody of its message waited any more: the last event of a finished message always says so, and
    /// the message goes with it. Only what came back may stand behind an earlier one that says it, too.
    pub closes: bool,
    /// Whose message.
    pub message: MessageId,
    /// Which recipient of it.
    pub index: u32,
    /// How far back the same recipient's event before is; 0: there is none.
    pub back: u64,
}

impl EventHead {
    /// Reads the front.
    pub(super) fn read(row: &[u8]) -> Result<Self, RowError> {
        let (_, mut eye) = Eye::open(row, VERSION)?;
        let tag = eye.byte()?;
        let message = MessageId::from_u64(u64::from_le_bytes(eye.array()?));
        let (index, back) = (eye.number_u32()?, eye.number()?);
        Ok(EventHead { kind: kind_of(tag & 7)?, closes: tag & CLOSES != 0, message, index, back })
    }
}

/// An event row. `prev` is the number of the same recipient's event before; 0: none.
pub(super) fn write_event(number: u64, prev: u64, closes: bool, e: &Event) -> Vec<u8> {
    let mut pen = Pen::new(VERSION, if e.detail.is_some() { 192 } else { 24 });
    let bit = |on: bool, bit: u8| if on { bit } else { 0 };
    pen.byte(
        e.kind as u8
            | bit(closes, CLOSES)
            | bit(e.next_try.is_some(), HAS_NEXT)
            | bit(e.wait.is_some(), HAS_WAIT)
            | bit(e.operator.is_some(), HAS_OPERATOR)
            | bit(e.detail.is_some(), HAS_DETAIL),
    );
    pen.raw(&e.key.message.as_u64().to_le_bytes());
    pen.number(u64::from(e.key.index));
    pen.number(if prev == 0 { 0 } else { number - prev });
    pen.signed(e.at.as_millis().wrapping_sub(number_time(number).as_millis()) as i64);
    pen.number(u64::from(e.attempt));
    if let Some(at) = e.next_try {
        pen.number(at.as_millis());
    }
    if let Some(wait) = e.wait {
        pen.byte(wait_number(wait));
    }
    if let Some(operator) = &e.operator {
        pen.text(operator);
    }
    if let Some(d) = &e.detail {
        write_detail(&mut pen, d);
    }
    pen.done()
}

/// Reads an event row; the second value is the number of the same recipient's event before, 0 for none.
pub(super) fn read_event(number: u64, row: &[u8]) -> Result<(Event, u64), RowError> {
    let (_, mut eye) = Eye::open(row, VERSION)?;
    let tag = eye.byte()?;
    let message = MessageId::from_u64(u64::from_le_bytes(eye.array()?));
    let index = eye.number_u32()?;
    let prev = match eye.number()? {
        0 => 0,
        back => number.checked_sub(back).ok_or(RowError::Nonsense)?,
    };
    let at = number_time(number).as_millis().wrapping_add(eye.signed()? as u64);
    let attempt = eye.number_u32()?;
    let next_try = (tag & HAS_NEXT != 0).then(|| eye.number()).transpose()?.map(Timestamp::from_millis);
    let wait = if tag & HAS_WAIT != 0 { Some(wait_of(eye.byte()?)?) } else { None };
    let operator = if tag & HAS_OPERATOR != 0 { Some(eye.text()?.to_owned()) } else { None };
    let detail = if tag & HAS_DETAIL != 0 { Some(Box::new(read_detail(&mut eye)?)) } else { None };
    let event = Event {
        at: Timestamp::from_millis(at),
        key: RecipientKey { message, index },
        kind: kind_of(tag & 7)?,
        attempt,
        next_try,
        wait,
        operator,
        detail,
    };
    Ok((event, prev))
}

fn write_detail(pen: &mut Pen, d: &AttemptDetail) {
    pen.text(&d.destination);
    pen.text(&d.host);
    pen.socket(d.address);
    pen.ip(d.sender_ip);
    pen.text(&d.tls);
    pen.byte(d.phase.map_or(0, |p| p as u8 + 1));
    pen.text(&d.reply);
    pen.number(d.duration.as_secs());
    pen.number(u64::from(d.duration.subsec_nanos()));
    pen.byte(d.error.map_or(0, ErrorClass::code));
    // The octet was a flag once: rows of older versions have nothing above it.
    pen.byte(
        u8::from(d.possible_duplicate)
            | u8::from(d.hard) << 1
            | d.trouble.map_or(0, |t| (t as u8 + 1) << TROUBLE_SHIFT),
    );
}

fn read_detail(eye: &mut Eye<'_>) -> Result<AttemptDetail, RowError> {
    Ok(AttemptDetail {
        destination: eye.text()?.to_owned(),
        host: eye.text()?.to_owned(),
        address: eye.socket()?,
        sender_ip: eye.ip()?,
        tls: eye.text()?.to_owned(),
        phase: match eye.byte()? {
            0 => None,
            n => Some(*Phase::ALL.get(usize::from(n) - 1).ok_or(RowError::Nonsense)?),
        },
        reply: eye.text()?.to_owned(),
        duration: {
            let seconds = eye.number()?;
            let nanos = eye.number_u32()?;
            if nanos >= 1_000_000_000 {
                return Err(RowError::Nonsense);
            }
            Duration::new(seconds, nanos)
        },
        error: match eye.byte()? {
            0 => None,
            code => Some(ErrorClass::from_code(code).ok_or(RowError::Nonsense)?),
        },
        ..read_marks(eye.byte()?)?
    })
}

/// Where the number of the trouble stands in a detail's last octet.
const TROUBLE_SHIFT: u8 = 2;

fn read_marks(octet: u8) -> Result<AttemptDetail, RowError> {
    let trouble = match usize::from(octet >> TROUBLE_SHIFT) {
        0 => None,
        n => Some(*Trouble::ALL.get(n - 1).ok_or(RowError::Nonsense)?),
    };
    Ok(AttemptDetail { possible_duplicate: octet & 1 != 0, hard: octet & 2 != 0, trouble, ..AttemptDetail::default() })
}

/// The time inside an event number or message id: they share one layout.
pub(super) fn number_time(number: u64) -> Timestamp {
    MessageId::from_u64(number).time()
}

// ---- lanes, notices, small rows ----

/// A lane's totals.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct LaneTotals {
    /// Waiting recipients of each class.
    pub counts: [u64; 3],
    /// The earliest due time.
    pub earliest: u64,
    /// What the destination said last.
    pub last_reply: String,
}

/// Longest last reply of a lane kept, in octets: enough for a person, small enough for a million lanes.
pub(super) const LANE_REPLY_MAX: usize = 160;

/// A lane row.
pub(super) fn write_lane(l: &LaneTotals) -> Vec<u8> {
    let mut pen = Pen::new(VERSION, 24 + l.last_reply.len());
    l.counts.iter().for_each(|n| pen.number(*n));
    pen.number(l.earliest);
    pen.text(&l.last_reply);
    pen.done()
}

/// Reads a lane row.
pub(super) fn read_lane(row: &[u8]) -> Result<LaneTotals, RowError> {
    let (_, mut eye) = Eye::open(row, VERSION)?;
    Ok(LaneTotals {
        counts: [eye.number()?, eye.number()?, eye.number()?],
        earliest: eye.number()?,
        last_reply: eye.text()?.to_owned(),
    })
}

/// The counts of a lane row alone.
pub(super) fn read_lane_counts(row: &[u8]) -> Result<[u64; 3], RowError> {
    let (_, mut eye) = Eye::open(row, VERSION)?;
    Ok([eye.number()?, eye.number()?, eye.number()?])
}

const NOTICES: [NoticeKind; 4] = [NoticeKind::Failure, NoticeKind::Delay, NoticeKind::Success, NoticeKind::Relayed];

/// A row of the owed notices; its key is the event's number.
pub(super) fn write_notice(key: RecipientKey, kind: NoticeKind) -> Vec<u8> {
    let mut pen = Pen::new(VERSION, 16);
    pen.byte(match kind {
        NoticeKind::Failure => 0,
        NoticeKind::Delay => 1,
        NoticeKind::Success => 2,
        NoticeKind::Relayed => 3,
    });
    pen.raw(&key.message.as_u64().to_le_bytes());
    pen.number(u64::from(key.index));
    pen.done()
}

/// Reads a row of the owed notices.
pub(super) fn read_notice(row: &[u8]) -> Result<(RecipientKey, NoticeKind), RowError> {
    let (_, mut eye) = Eye::open(row, VERSION)?;
    let kind = *NOTICES.get(usize::from(eye.byte()?)).ok_or(RowError::Nonsense)?;
    let message = MessageId::from_u64(u64::from_le_bytes(eye.array()?));
    Ok((RecipientKey { message, index: eye.number_u32()? }, kind))
}

/// A row of plain numbers (segments, minutes, totals).
pub(super) fn write_numbers(numbers: &[u64]) -> Vec<u8> {
    let mut pen = Pen::new(VERSION, 4 + numbers.len() * 5);
    numbers.iter().for_each(|n| pen.number(*n));
    pen.done()
}

/// Reads a row of plain numbers.
pub(super) fn read_numbers<const N: usize>(row: &[u8]) -> Result<[u64; N], RowError> {
    let (_, mut eye) = Eye::open(row, VERSION)?;
    let mut out = [0; N];
    for n in &mut out {
        *n = eye.number()?;
    }
    Ok(out)
}

/// Counts of a minute: queued, deferred, succeeded, failed, blocked.
pub(super) type MinuteNumbers = [u64; 5];

/// Reads the counts of a minute; rows of older versions lack the last one.
pub(super) fn read_minute(row: &[u8]) -> Result<MinuteNumbers, RowError> {
    let (_, mut eye) = Eye::open(row, VERSION)?;
    let [queued, deferred, succeeded, failed] = [eye.number()?, eye.number()?, eye.number()?, eye.number()?];
    let blocked = if eye.is_done() { 0 } else { eye.number()? };
    Ok([queued, deferred, succeeded, failed, blocked])
}

#[cfg(test)]
#[path = "rows_tests.rs"]
mod tests;
