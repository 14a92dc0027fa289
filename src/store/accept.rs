//! Taking a message in: its rows are written down on the submitter's side, and the writer only numbers and inserts them.
//!
//! In: a [`Submission`].  Out: rows, and the [`Loaded`] message that its receipt carries.
//! Always: a receipt's message is complete before the writer sees it; what the writer adds is the body's place and the
//! event numbers. A recipient that is not written to is final from the first: it is never in the queue, and both its events
//! are in the transaction that stores the message.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    batch::{Spot, Work},
    counts::Whose,
    fault::Fatal,
    inbox::Answer,
    lead_slot::Leads,
    messages::StoredFile,
    rows::{self, MessageHead, RecipientRow},
    segments::{RECORD_HEAD, RecordHead},
    sums::Whom,
    tables::{index_hash, index_key, message_key, recipient_key},
    types::{
        Blocked, BodyIn, BodyPlace, Loaded, MemoChange, Message, Receipt, Recipient, RecipientState, Sandboxed,
        StoreError, Submission,
    },
};
use crate::{
    budget::Lease,
    clock::Timestamp,
    event::{AttemptDetail, ErrorClass, Event, EventKind, Phase, SANDBOX_HOST, Trouble, WaitReason},
    ids::{MessageId, RecipientKey, UserKey},
};

/// A submission, ready for the writer.
pub(super) struct Prepared {
    pub loaded: Loaded,
    head: MessageHead,
    row: Vec<u8>,
    recipient_rows: Vec<Vec<u8>>,
    message_id_hash: Option<u32>,
    settles: Vec<RecipientKey>,
    memos: Vec<MemoChange>,
    /// The ends of those that are not written to, in the envelope's order.
    ended: Vec<Event>,
    pub body: PreparedBody,
    pub answer: Answer<Result<Receipt, StoreError>>,
}

/// Its body.
pub(super) enum PreparedBody {
    /// To be appended to a segment.
    Record(RecordHead, Bytes),
    /// A file that is on disk already; deleted again if the submission is not stored.
    File(StoredFile),
}

impl Prepared {
    /// Rows it writes, roughly.
    pub(super) fn weight(&self) -> usize {
        1 + self.recipient_rows.len() + self.ended.len() + self.memos.len()
    }

    /// Octets that wait in RAM for it.
    pub(super) fn octets(&self) -> usize {
        match &self.body {
            PreparedBody::Record(_, body) => body.len() + RECORD_HEAD,
            PreparedBody::File(_) => 0,
        }
    }
}

/// Writes a submission's rows.
pub(super) fn prepare(s: Submission, answer: Answer<Result<Receipt, StoreError>>) -> Prepared {
    let (body, in_ram, len): (PreparedBody, Option<(Bytes, Lease)>, u64) = match s.body {
        BodyIn::Ram { bytes, lease } => {
            let head = RecordHead::of(s.id, &bytes);
            let len = bytes.len() as u64;
            (PreparedBody::Record(head, bytes.clone()), Some((bytes, lease)), len)
        }
        BodyIn::File(file) => {
            let len = file.len;
            (PreparedBody::File(file), None, len)
        }
    };
    let message = Message {
        id: s.id,
        accepted_at: s.accepted_at,
        expires_at: s.expires_at,
        sender: s.envelope.sender,
        params: s.envelope.params,
        recipients: u32::try_from(s.envelope.recipients.len()).unwrap_or(u32::MAX),
        class: s.class,
        facts: s.facts,
        user: s.user,
        source_ip: s.source_ip,
        origin: s.origin,
        return_path: s.return_path,
        list: s.list,
        place: BodyPlace::Gone,
        len,
    };
    // A release that is past when the message is accepted is none.
    let (due, wait) = match s.release_at.filter(|at| *at > s.accepted_at) {
        Some(at) => (at, WaitReason::Scheduled),
        None => (s.accepted_at, WaitReason::Fresh),
    };
    let mut recipients: Vec<Recipient> = s
        .envelope
        .recipients
        .into_iter()
        .zip(s.lanes)
        .enumerate()
        .map(|(index, (r, lane))| Recipient {
            key: RecipientKey { message: s.id, index: u32::try_from(index).unwrap_or(u32::MAX) },
            address: r.address,
            params: r.params,
            lane,
            state: RecipientState::Waiting { due, wait },
            attempts: 0,
            last_reply: String::new(),
            possible_duplicate: false,
            delay_noticed: false,
        })
        .collect();
    let ended = end_at_once(&mut recipients, s.blocked, s.sandboxed, s.accepted_at);
    let hash = |text: &str| (!text.is_empty()).then(|| index_hash(text));
    let head = MessageHead {
        place: BodyPlace::Gone,
        waiting: u32::try_from(recipients.len() - ended.len()).unwrap_or(u32::MAX),
        owed: 0,
        len,
        api_hash: hash(&message.facts.api_data),
        returned: false,
        leads: false,
        user: UserKey::of(&message.user),
        since: Some(due),
    };
    let rows = recipients.iter().map(|r| {
        let row = RecipientRow { shown: r.clone(), class: s.class, last_event: 0, owed: Vec::new() };
        rows::write_recipient(&row)
    });
    Prepared {
        head,
        row: rows::write_message(&head, &message),
        recipient_rows: rows.collect(),
        message_id_hash: hash(&message.facts.message_id),
        settles: s.settles,
        memos: s.memos,
        ended,
        body,
        answer,
        loaded: Loaded { message, recipients, body: in_ram, leads: Leads::default() },
    }
}

/// Makes the named recipients final; answers the events that do so, in the envelope's order. Of two that name the same
/// recipient the first counts, and a block before the sandbox; one that names nobody counts for nothing.
fn end_at_once(
    recipients: &mut [Recipient],
    mut blocked: Vec<Blocked>,
    mut sandboxed: Vec<Sandboxed>,
    at: Timestamp,
) -> Vec<Event> {
    blocked.sort_by_key(|b| b.index);
    blocked.dedup_by_key(|b| b.index);
    sandboxed.sort_by_key(|s| s.index);
    sandboxed.dedup_by_key(|s| s.index);
    sandboxed.retain(|s| blocked.binary_search_by_key(&s.index, |b| b.index).is_err());
    let mut ends: Vec<End> = blocked.into_iter().map(End::of_block).collect();
    ends.extend(sandboxed.into_iter().map(End::of_sandbox));
    ends.sort_by_key(|end| end.index);
    let mut events = Vec::with_capacity(ends.len());
    for end in ends {
        let Some(r) = usize::try_from(end.index).ok().and_then(|n| recipients.get_mut(n)) else { continue };
        r.state = RecipientState::Final(end.kind);
        let detail = AttemptDetail { destination: r.lane.to_string(), ..end.detail };
        events.push(Event {
            at,
            key: r.key,
            kind: end.kind,
            attempt: 0,
            next_try: None,
            wait: None,
            operator: None,
            detail: Some(Box::new(detail)),
        });
    }
    events
}

/// How a recipient that is not written to ends.
struct End {
    index: u32,
    kind: EventKind,
    detail: AttemptDetail,
}

impl End {
    fn of_block(b: Blocked) -> Self {
        let trouble = if b.class == ErrorClass::Unsubscribed { Trouble::Policy } else { Trouble::Recipient };
        let detail = AttemptDetail {
            phase: Some(Phase::Queue),
            reply: b.reply,
            error: Some(b.class),
            trouble: Some(trouble),
            ..AttemptDetail::default()
        };
        End { index: b.index, kind: EventKind::Failed, detail }
    }

    fn of_sandbox(s: Sandboxed) -> Self {
        let kind = if s.class.is_some() { EventKind::Failed } else { EventKind::Succeeded };
        let detail = AttemptDetail {
            host: SANDBOX_HOST.to_owned(),
            phase: Some(Phase::Queue),
            reply: s.reply,
            error: s.class,
            trouble: s.class.map(|_| Trouble::Recipient),
            ..AttemptDetail::default()
        };
        End { index: s.index, kind, detail }
    }
}

/// Stores a prepared submission whose body has its place; answers what to tell once the commit is durable.
pub(super) fn store(
    work: &mut Work<'_, '_>,
    mut p: Prepared,
    place: BodyPlace,
) -> Result<Stored, (StoreError, Answer<Result<Receipt, StoreError>>)> {
    match insert(work, &mut p, place) {
        Ok(()) => {
            if let PreparedBody::File(file) = p.body {
                file.keep();
            }
            Ok(Stored { id: p.loaded.message.id, loaded: Arc::new(p.loaded), answer: p.answer })
        }
        Err(e) => Err((e, p.answer)),
    }
}

/// A message that waits for its commit.
pub(super) struct Stored {
    id: MessageId,
    loaded: Arc<Loaded>,
    answer: Answer<Result<Receipt, StoreError>>,
}

impl Stored {
    /// After the commit: the one place where receipts are made (P1).
    pub(super) fn give_receipt(self) {
        self.answer.give(Ok(Receipt::new(self.id, self.loaded)));
    }

    /// The commit failed.
    pub(super) fn refuse(self, why: StoreError) {
        self.answer.give(Err(why));
    }
}

fn insert(work: &mut Work<'_, '_>, p: &mut Prepared, place: BodyPlace) -> Result<(), StoreError> {
    let message = &mut p.loaded.message;
    let (id, at, class) = (message.id, message.accepted_at, message.class);
    // First, for they alone can be refused: then nothing of the message is written.
    if !p.memos.is_empty() {
        super::memos::put(work, std::mem::take(&mut p.memos))?;
    }
    for key in std::mem::take(&mut p.settles) {
        super::verdicts::settle(work, key)?;
    }
    message.place = place;
    p.head.place = place;
    p.head.patch(&mut p.row);
    work.t.mail.insert(&message_key(id), p.row.as_slice()).fatal()?;
    let due_row = rows::write_due(0, message.expires_at);
    let whose = Whose { user: p.head.user, name: Some(&message.user), api_hash: p.head.api_hash };
    let mut ended = std::mem::take(&mut p.ended).into_iter().peekable();
    let is_done = ended.peek().is_some() && p.head.waiting == 0;
    for (r, row) in p.loaded.recipients.iter().zip(&mut p.recipient_rows) {
        let number = work.number();
        let end = ended.next_if(|e| e.key == r.key).map(|event| (work.number(), event));
        rows::patch_last_event(row, end.as_ref().map_or(number, |(n, _)| *n));
        work.t.mail.insert(&recipient_key(r.key), row.as_slice()).fatal()?;
        if let RecipientState::Waiting { due, wait } = r.state {
            work.wait(Spot { lane: &r.lane, class, user: p.head.user }, due, r.key, &due_row)?;
            let whom = Whom { class, user: p.head.user, name: &message.user };
            work.count(whom, p.head.since, None, Some(wait));
        }
        work.log(number, 0, false, &queued(r.key, at), r.address.as_str(), whose)?;
        if let Some((last, event)) = end {
            let closes = is_done && ended.peek().is_none();
            work.log(last, number, closes, &event, r.address.as_str(), whose)?;
        }
    }
    if let Some(hash) = p.message_id_hash {
        work.t.by_message_id.insert(&index_key(id.time().day(), hash, id.as_u64()), ()).fatal()?;
    }
    work.body_added(place, message.len);
    work.books.last_id = work.books.last_id.max(id.as_u64());
    if is_done {
        super::verdicts::body_if_done(work, id)?;
    }
    Ok(())
}

fn queued(key: RecipientKey, at: Timestamp) -> Event {
    Event { at, key, kind: EventKind::Queued, attempt: 0, next_try: None, wait: None, operator: None, detail: None }
}
