//! Taking a message in: its rows are written down on the submitter's side, and the writer only numbers and inserts them.
//!
//! In: a [`Submission`].  Out: rows, and the [`Loaded`] message that its receipt carries.
//! Always: a receipt's message is complete before the writer sees it; what the writer adds is the body's place and the
//! event numbers.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    batch::{Spot, Work},
    fault::Fatal,
    inbox::Answer,
    messages::StoredFile,
    rows::{self, MessageHead, RecipientRow},
    segments::{RECORD_HEAD, RecordHead},
    tables::{index_hash, index_key, message_key, recipient_key},
    types::{BodyIn, BodyPlace, Loaded, Message, Receipt, Recipient, RecipientState, StoreError, Submission},
};
use crate::{
    budget::Lease,
    clock::Timestamp,
    event::{Event, EventKind, WaitReason},
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
        1 + self.recipient_rows.len()
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
        place: BodyPlace::Gone,
        len,
    };
    // A release that is past when the message is accepted is none.
    let (due, wait) = match s.release_at.filter(|at| *at > s.accepted_at) {
        Some(at) => (at, WaitReason::Scheduled),
        None => (s.accepted_at, WaitReason::Fresh),
    };
    let recipients: Vec<Recipient> = s
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
    let hash = |text: &str| (!text.is_empty()).then(|| index_hash(text));
    let head = MessageHead {
        place: BodyPlace::Gone,
        waiting: u32::try_from(recipients.len()).unwrap_or(u32::MAX),
        owed: 0,
        len,
        api_hash: hash(&message.facts.api_data),
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
        body,
        answer,
        loaded: Loaded { message, recipients, body: in_ram },
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
    for key in std::mem::take(&mut p.settles) {
        super::verdicts::settle(work, key)?;
    }
    message.place = place;
    p.head.place = place;
    p.head.patch(&mut p.row);
    work.t.mail.insert(&message_key(id), p.row.as_slice()).fatal()?;
    let due_row = rows::write_due(0, message.expires_at);
    for (r, row) in p.loaded.recipients.iter().zip(&mut p.recipient_rows) {
        let number = work.number();
        rows::patch_last_event(row, number);
        work.t.mail.insert(&recipient_key(r.key), row.as_slice()).fatal()?;
        if let RecipientState::Waiting { due, wait } = r.state {
            work.wait(Spot { lane: &r.lane, class, user: p.head.user }, due, r.key, &due_row)?;
            work.count(class, p.head.since, None, Some(wait));
        }
        work.log(number, 0, false, &queued(r.key, at), r.address.as_str(), p.head.api_hash)?;
    }
    if let Some(hash) = p.message_id_hash {
        work.t.by_message_id.insert(&index_key(id.time().day(), hash, id.as_u64()), ()).fatal()?;
    }
    work.body_added(place, message.len);
    work.books.last_id = work.books.last_id.max(id.as_u64());
    Ok(())
}

fn queued(key: RecipientKey, at: Timestamp) -> Event {
    Event { at, key, kind: EventKind::Queued, attempt: 0, next_try: None, wait: None, operator: None, detail: None }
}
