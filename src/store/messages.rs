//! Reading messages and their bodies; writing large bodies.
//!
//! In: message ids and rows.  Out: rows, and the octets of a body in blocks.
//! Always: this is the one file that knows how a place becomes octets; a body's checksum is checked before its last block is
//! handed out, so that a damaged one is never sent to its end; a missing one is reported by name, never skipped.

use std::{
    fmt,
    io::{self, IoSlice, Read},
    sync::Arc,
};

use redb::{Database, ReadOnlyTable, ReadTransaction, ReadableDatabase};

use super::{
    batch::Unclean,
    disk::{DiskFile, is_full},
    fault::{Reading, bad_row},
    rows,
    segments::{RECORD_HEAD, RecordHead, Segments},
    shared::Shared,
    tables::{self, MailKey, message_key, recipient_key},
    types::{BodyPlace, Message, Recipient, StoreError},
};
use crate::ids::{MessageId, RecipientKey};

/// Reads message and recipient rows of one snapshot, and remembers the last message.
pub(super) struct MailReader {
    table: ReadOnlyTable<&'static MailKey, &'static [u8]>,
    unclean: Option<Unclean>,
    last: Option<Arc<Message>>,
}

impl MailReader {
    pub(super) fn new(db: &Database, unclean: Option<Unclean>) -> Result<Self, StoreError> {
        MailReader::of(&db.begin_read().reading()?, unclean)
    }

    /// A reader of a snapshot that others read, too.
    pub(super) fn of(txn: &ReadTransaction, unclean: Option<Unclean>) -> Result<Self, StoreError> {
        let table = txn.open_table(tables::MAIL).reading()?;
        Ok(MailReader { table, unclean, last: None })
    }

    /// A message's row.
    pub(super) fn message(&mut self, id: MessageId) -> Result<Option<Arc<Message>>, StoreError> {
        if let Some(last) = self.last.as_ref().filter(|m| m.id == id) {
            return Ok(Some(last.clone()));
        }
        let Some(row) = self.table.get(&message_key(id)).reading()? else { return Ok(None) };
        let message = rows::read_message(id, row.value()).map_err(|e| bad_row(format_args!("message {id}"), e))?;
        let message = Arc::new(message);
        self.last = Some(message.clone());
        Ok(Some(message))
    }

    /// A recipient's row, with everything that only the store knows.
    pub(super) fn recipient_row(&self, key: RecipientKey) -> Result<Option<rows::RecipientRow>, StoreError> {
        let Some(row) = self.table.get(&recipient_key(key)).reading()? else { return Ok(None) };
        let mut row = rows::read_recipient(key, row.value())
            .map_err(|e| bad_row(format_args!("recipient {} of message {}", key.index, key.message), e))?;
        row.shown.possible_duplicate |= Unclean::marks(self.unclean, &row);
        Ok(Some(row))
    }

    /// False when the address of this recipient cannot hold `part`, which is in lower case: most rows are told apart by their
    /// octets, without reading them.
    pub(super) fn recipient_may_hold(&self, key: RecipientKey, part: &str) -> Result<bool, StoreError> {
        if part.is_empty() || !part.is_ascii() {
            return Ok(true);
        }
        let row = self.table.get(&recipient_key(key)).reading()?;
        Ok(row.is_some_and(|row| holds(row.value(), part.as_bytes())))
    }

    /// Adds the number of the last event of each of a message's recipients, until there are `max` in all.
    pub(super) fn last_events(&self, id: MessageId, max: usize, to: &mut Vec<u64>) -> Result<(), StoreError> {
        for entry in self.table.range::<&MailKey>(&message_key(id)..&tables::mail_end(id)).reading()? {
            let (key, row) = entry.reading()?;
            if to.len() >= max {
                break;
            }
            if tables::read_mail_key(key.value()).1.is_some() {
                to.push(rows::last_event_of(row.value()));
            }
        }
        Ok(())
    }

    /// A recipient's row.
    pub(super) fn recipient(&self, key: RecipientKey) -> Result<Option<Recipient>, StoreError> {
        Ok(self.recipient_row(key)?.map(|r| r.shown))
    }
}

/// True when `row` holds `part`, ASCII letters in any case; `part` is in lower case and not empty.
pub(super) fn holds(row: &[u8], part: &[u8]) -> bool {
    let Some((first, rest)) = part.split_first() else { return true };
    let last = row.len().checked_sub(rest.len());
    let places = row.get(..last.unwrap_or(0)).unwrap_or_default();
    places.iter().enumerate().any(|(at, octet)| {
        octet.to_ascii_lowercase() == *first
            && row.get(at + 1..at + 1 + rest.len()).is_some_and(|octets| octets.eq_ignore_ascii_case(rest))
    })
}

/// A message and the named recipients of it.
pub(super) fn load(
    db: &Database,
    unclean: Option<Unclean>,
    id: MessageId,
    indexes: &[u32],
) -> Result<Option<(Message, Vec<Recipient>)>, StoreError> {
    let mut mail = MailReader::new(db, unclean)?;
    let Some(message) = mail.message(id)? else { return Ok(None) };
    let mut recipients = Vec::with_capacity(indexes.len());
    for index in indexes {
        recipients.extend(mail.recipient(RecipientKey { message: id, index: *index })?);
    }
    drop(mail);
    Ok(Some((Arc::unwrap_or_clone(message), recipients)))
}

// ---- reading bodies ----

/// Octets that are read at once.
const BLOCK: usize = 64 * 1024;

/// Reads a stored body from its start, in blocks; checks its CRC before the last octets are handed out.
pub struct BodyReader {
    /// Octets of the body.
    pub len: u64,
    file: Arc<dyn DiskFile>,
    name: String,
    /// Where the body begins in the file.
    start: u64,
    /// Octets read from the file.
    done: u64,
    block: Vec<u8>,
    /// Octets of the block handed out.
    taken: usize,
    crc: crc32fast::Hasher,
    expected: u32,
    bad: bool,
}

impl fmt::Debug for BodyReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BodyReader({}, {} of {})", self.name, self.done, self.len)
    }
}

/// Opens a message's body. Its row may have moved since it was read: `db` is asked again once.
pub(super) fn open_body(db: &Database, segments: &Segments, message: &Message) -> Result<BodyReader, StoreError> {
    match try_open(segments, message.id, message.place, message.len) {
        Err(e) => {
            let now = load(db, None, message.id, &[])?.map(|(m, _)| m.place);
            match now {
                Some(place) if place != message.place => try_open(segments, message.id, place, message.len),
                _ => Err(e),
            }
        }
        opened => opened,
    }
}

pub(super) fn try_open(
    segments: &Segments,
    id: MessageId,
    place: BodyPlace,
    len: u64,
) -> Result<BodyReader, StoreError> {
    let Some(path) = segments.path_of(id, place) else {
        return Err(StoreError::Damaged(format!("message {id}: its body was deleted, the message is finished")));
    };
    let name = path.display().to_string();
    let damaged = |why: &dyn fmt::Display| {
        StoreError::Damaged(format!(
            "{name}: the body of message {id} is damaged ({why}); its recipients are held: drop them, or restore the file from a backup and release them"
        ))
    };
    let (file, offset) = match place {
        BodyPlace::Segment { segment, offset } => (segments.file(segment).map_err(|e| damaged(&e))?, offset),
        BodyPlace::File | BodyPlace::Gone => (segments.open_body_file(id).map_err(|e| damaged(&e))?, 0),
    };
    let mut head = [0; RECORD_HEAD];
    file.read_exact_at(&mut head, offset).map_err(|e| damaged(&e))?;
    let head = RecordHead::read(&head).ok_or_else(|| damaged(&"no record head"))?;
    if head.id != id || head.len != len {
        return Err(damaged(&"another message is there"));
    }
    Ok(BodyReader {
        len,
        file,
        name,
        start: offset + RECORD_HEAD as u64,
        done: 0,
        block: Vec::new(),
        taken: 0,
        crc: crc32fast::Hasher::new(),
        expected: head.crc,
        bad: false,
    })
}

/// A whole body, checked; for small ones.
pub(super) fn read_whole(
    segments: &Segments,
    id: MessageId,
    place: BodyPlace,
    len: u64,
) -> Result<Vec<u8>, StoreError> {
    let mut reader = try_open(segments, id, place, len)?;
    let mut body = Vec::with_capacity(usize::try_from(len).unwrap_or(0));
    reader.read_to_end(&mut body).map_err(|e| StoreError::Damaged(e.to_string()))?;
    Ok(body)
}

impl BodyReader {
    fn fill(&mut self) -> io::Result<()> {
        if self.bad {
            return Err(self.damaged());
        }
        let want = (self.len - self.done).min(BLOCK as u64);
        self.block.resize(usize::try_from(want).unwrap_or(BLOCK), 0);
        self.taken = 0;
        if let Err(e) = self.file.read_exact_at(&mut self.block, self.start + self.done) {
            self.block.clear();
            self.bad = true;
            return Err(io::Error::new(e.kind(), format!("{}: {e}", self.name)));
        }
        self.crc.update(&self.block);
        self.done += want;
        if self.done == self.len && std::mem::take(&mut self.crc).finalize() != self.expected {
            self.block.clear();
            self.bad = true;
            return Err(self.damaged());
        }
        Ok(())
    }

    fn damaged(&self) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, format!("{}: the body is damaged (checksum)", self.name))
    }
}

impl Read for BodyReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.block.len() {
            if self.done == self.len && !self.bad && (self.len > 0 || self.expected == 0) {
                return Ok(0);
            }
            self.fill()?;
        }
        let n = buf.len().min(self.block.len() - self.taken);
        buf[..n].copy_from_slice(&self.block[self.taken..self.taken + n]);
        self.taken += n;
        Ok(n)
    }
}

// ---- large bodies ----

/// A body that is being written to a file of its own. Blocking; dropped unfinished it is deleted.
pub struct LargeBody {
    /// The message it is for.
    pub id: MessageId,
    segments: Arc<Segments>,
    shared: Arc<Shared>,
    file: Option<Arc<dyn DiskFile>>,
    len: u64,
    crc: crc32fast::Hasher,
}

impl fmt::Debug for LargeBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LargeBody({}, {} octets)", self.id, self.len)
    }
}

/// No room is no failure; anything else is final for the process, as for every write and sync of the store (P2).
fn refused(shared: &Shared, what: &str, e: &io::Error) -> StoreError {
    if is_full(e) { StoreError::Full } else { failed(shared, what, e) }
}

fn failed(shared: &Shared, what: &str, e: &io::Error) -> StoreError {
    let why = format!("{what}: {e}");
    shared.fail(why.clone());
    StoreError::Failed(why)
}

impl LargeBody {
    pub(super) fn create(segments: Arc<Segments>, shared: Arc<Shared>, id: MessageId) -> Result<Self, StoreError> {
        let file = segments.create_body_file(id).map_err(|e| refused(&shared, "creating a body file", &e))?;
        Ok(LargeBody { id, segments, shared, file: Some(file), len: 0, crc: crc32fast::Hasher::new() })
    }

    /// Appends octets.
    ///
    /// # Errors
    /// `Full` when the disk has no room; `Failed` when a write failed, which is final for this body.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let file = self.file.as_ref().ok_or(StoreError::Closed)?;
        let at = RECORD_HEAD as u64 + self.len;
        file.write_all_at(&[IoSlice::new(bytes)], at).map_err(|e| refused(&self.shared, "writing a body file", &e))?;
        self.crc.update(bytes);
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Writes the head, syncs file and folder.
    ///
    /// # Errors
    /// `Full` or `Failed`, as for [`LargeBody::write`]; the file is deleted then.
    pub fn finish(mut self) -> Result<StoredFile, StoreError> {
        let file = self.file.as_ref().ok_or(StoreError::Closed)?;
        let head = RecordHead { id: self.id, len: self.len, crc: self.crc.clone().finalize() };
        let shared = &self.shared;
        file.write_all_at(&[IoSlice::new(&head.bytes())], 0).map_err(|e| refused(shared, "writing a body file", &e))?;
        // Even for want of room, a sync that failed is final: the kernel may have dropped the pages.
        file.sync().map_err(|e| failed(shared, "syncing a body file", &e))?;
        self.segments.sync_bodies_dir().map_err(|e| failed(shared, "syncing the bodies' folder", &e))?;
        self.file = None;
        Ok(StoredFile { id: self.id, len: self.len, segments: Some(self.segments.clone()) })
    }
}

impl Drop for LargeBody {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            self.segments.unlink_body(self.id);
        }
    }
}

/// A body file that was written and synced by [`LargeBody::finish`]; deleted when dropped before it was submitted.
pub struct StoredFile {
    /// The message it is for.
    pub id: MessageId,
    /// Its octets.
    pub len: u64,
    segments: Option<Arc<Segments>>,
}

impl fmt::Debug for StoredFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoredFile({}, {} octets)", self.id, self.len)
    }
}

impl StoredFile {
    /// A row names it from now on.
    pub(super) fn keep(mut self) {
        self.segments = None;
    }
}

impl Drop for StoredFile {
    fn drop(&mut self) {
        if let Some(segments) = self.segments.take() {
            segments.unlink_body(self.id);
        }
    }
}
