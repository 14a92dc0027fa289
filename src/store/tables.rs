//! The tables of the database and the shape of their keys; opening it, making it, and refusing what is not ours.
//!
//! In: the database file.  Out: a [`redb::Database`] whose schema is known, tables, keys.
//! Always: keys are fixed arrays in big-endian order or plain bytes, values are versioned rows: nothing depends on how
//! redb encodes tuples or options. A database is made under another name and renamed when whole, so that a crash at the
//! first start leaves none, and a file that is there and is not ours is never overwritten.

use std::{io, path::Path, sync::Arc};

use redb::{Database, ReadTransaction, ReadableDatabase, Table, TableDefinition, WriteTransaction};

use super::{
    disk::{Ballast, Disk, DiskFile, OpenHow},
    pages::DatabaseFile,
    redo::{self, Redo, RedoError},
    types::StoreError,
};
use crate::{
    clock::Timestamp,
    event::Class,
    ids::{MessageId, RecipientKey, UserKey},
};

/// The database's file in the data directory.
pub(super) const DATABASE_FILE: &str = "hikyaku.redb";
const DATABASE_FILE_NEW: &str = "hikyaku.redb.new";
/// The schema that this program writes. Older ones are read; a newer one is refused.
///
/// 1: the due index was ordered by lane, class and time alone. 2: by submitter before time; ages, memos and pauses. 3: events
/// of what came back, behind the one that closes a message, with a mark in its row; messages know their return path and list;
/// minutes count the blocked. A program of schema 2 would prune such a message too early and call the rest damaged. 4: counts
/// by submitter; the operation log is a chain. A program of schema 3 would write neither. 5: leads, and a mark of them in the
/// message's row, which a program of schema 4 would call nonsense. 6: what was said in each attempt, which a program of schema 5
/// would never prune.
pub(super) const SCHEMA: u64 = 6;
/// redb's cache. Measured: 16–64 MiB are alike, 1 GiB is slower; `memory_limit` counts it as 32 MiB.
const CACHE_OCTETS: usize = 32 * 1024 * 1024;

type Bytes = &'static [u8];
/// Key of a message or recipient row: id, then 0 or the recipient's index plus one.
pub(super) type MailKey = [u8; 12];
/// Key of an index row: day, hash, number.
pub(super) type IndexKey = [u8; 16];

/// Schema, totals, marks.
pub(super) const META: TableDefinition<&str, Bytes> = TableDefinition::new("meta");
/// Messages, each followed by its recipients.
pub(super) const MAIL: TableDefinition<&MailKey, Bytes> = TableDefinition::new("mail");
/// Key of a bucket of ages: class, second.
pub(super) type AgeKey = [u8; 9];

/// The due index: lane, 0, class, submitter, due, recipient.
pub(super) const DUE: TableDefinition<Bytes, Bytes> = TableDefinition::new("due_by_user");
/// Totals of each lane.
pub(super) const LANES: TableDefinition<Bytes, Bytes> = TableDefinition::new("lanes");
/// Lanes by earliest due time.
pub(super) const LANE_DUE: TableDefinition<Bytes, ()> = TableDefinition::new("lane_due");
/// The log, by number.
pub(super) const EVENTS: TableDefinition<u64, Bytes> = TableDefinition::new("events");
/// Events by recipient address.
pub(super) const BY_RECIPIENT: TableDefinition<&IndexKey, ()> = TableDefinition::new("by_recipient");
/// Messages by Message-ID, in the bucket of the day they were accepted.
pub(super) const BY_MESSAGE_ID: TableDefinition<&IndexKey, ()> = TableDefinition::new("by_message_id");
/// Events by X-Api-Data.
pub(super) const BY_API_DATA: TableDefinition<&IndexKey, ()> = TableDefinition::new("by_api_data");
/// Notices owed, by the number of the event that owes them.
pub(super) const NOTICES: TableDefinition<u64, Bytes> = TableDefinition::new("notices");
/// Bodies of finished messages that are kept for a while: number of the last event → message.
pub(super) const KEPT_BODIES: TableDefinition<u64, u64> = TableDefinition::new("kept_bodies");
/// Segment files: live bodies, their octets, used length.
pub(super) const SEGMENTS: TableDefinition<u64, Bytes> = TableDefinition::new("segments");
/// Counts of each minute.
pub(super) const MINUTES: TableDefinition<u64, Bytes> = TableDefinition::new("minutes");
/// Counts of each quarter of an hour and submitter: quarter, name.
pub(super) const COUNTS: TableDefinition<Bytes, Bytes> = TableDefinition::new("counts");
/// Counts of each minute and submitter: minute, name.
pub(super) const USER_MINUTES: TableDefinition<Bytes, Bytes> = TableDefinition::new("user_minutes");
/// The operation log.
pub(super) const AUDIT: TableDefinition<u64, Bytes> = TableDefinition::new("audit");
/// Accounts by name.
pub(super) const ACCOUNTS: TableDefinition<&str, Bytes> = TableDefinition::new("accounts");
/// How many recipients wait, by class and the second since which: see `ages.rs`.
pub(super) const AGES: TableDefinition<&AgeKey, Bytes> = TableDefinition::new("ages");
/// What other rooms remember: kind, key.
pub(super) const MEMOS: TableDefinition<Bytes, Bytes> = TableDefinition::new("memos");
/// Destinations that an operator paused.
pub(super) const PAUSES: TableDefinition<&str, Bytes> = TableDefinition::new("pauses");
/// What stands in front of copies that wait for another try, by message (for all) or recipient (its own).
pub(super) const LEADS: TableDefinition<&MailKey, Bytes> = TableDefinition::new("leads");

/// What was said in an attempt, by the number of its event.
pub(super) const CONVERSATIONS: TableDefinition<u64, Bytes> = TableDefinition::new("conversations");

/// Rows of `META`.
pub(super) const META_SCHEMA: &str = "schema";
pub(super) const META_TOTALS: &str = "totals";
pub(super) const META_CLEAN: &str = "clean";
pub(super) const META_UNCLEAN: &str = "unclean";
pub(super) const META_MEMOS: &str = "memos";
/// The ends of the operation log's chain.
pub(super) const META_CHAIN: &str = "audit_chain";
/// How far the rows are brought up to date: schema, phase, cursor.
pub(super) const META_MIGRATED: &str = "migrated";
/// Up to which numbers the logs are archived.
pub(super) const META_ARCHIVE: &str = "archived";
/// The quarter from which on the counts are complete.
pub(super) const META_COUNTS: &str = "counts_from";
/// The minute from which on minutes are counted by submitter.
pub(super) const META_USER_MINUTES: &str = "user_minutes_from";

/// Every table, open for writing.
pub(super) struct Tables<'t> {
    pub meta: Table<'t, &'static str, Bytes>,
    pub mail: Table<'t, &'static MailKey, Bytes>,
    pub due: Table<'t, Bytes, Bytes>,
    pub lanes: Table<'t, Bytes, Bytes>,
    pub lane_due: Table<'t, Bytes, ()>,
    pub events: Table<'t, u64, Bytes>,
    pub by_recipient: Table<'t, &'static IndexKey, ()>,
    pub by_message_id: Table<'t, &'static IndexKey, ()>,
    pub by_api_data: Table<'t, &'static IndexKey, ()>,
    pub notices: Table<'t, u64, Bytes>,
    pub kept_bodies: Table<'t, u64, u64>,
    pub segments: Table<'t, u64, Bytes>,
    pub minutes: Table<'t, u64, Bytes>,
    pub counts: Table<'t, Bytes, Bytes>,
    pub user_minutes: Table<'t, Bytes, Bytes>,
    pub audit: Table<'t, u64, Bytes>,
    pub accounts: Table<'t, &'static str, Bytes>,
    pub ages: Table<'t, &'static AgeKey, Bytes>,
    pub memos: Table<'t, Bytes, Bytes>,
    pub pauses: Table<'t, &'static str, Bytes>,
    pub leads: Table<'t, &'static MailKey, Bytes>,
    pub conversations: Table<'t, u64, Bytes>,
}

impl<'t> Tables<'t> {
    pub(super) fn open(txn: &'t WriteTransaction) -> Result<Self, redb::TableError> {
        Ok(Tables {
            meta: txn.open_table(META)?,
            mail: txn.open_table(MAIL)?,
            due: txn.open_table(DUE)?,
            lanes: txn.open_table(LANES)?,
            lane_due: txn.open_table(LANE_DUE)?,
            events: txn.open_table(EVENTS)?,
            by_recipient: txn.open_table(BY_RECIPIENT)?,
            by_message_id: txn.open_table(BY_MESSAGE_ID)?,
            by_api_data: txn.open_table(BY_API_DATA)?,
            notices: txn.open_table(NOTICES)?,
            kept_bodies: txn.open_table(KEPT_BODIES)?,
            segments: txn.open_table(SEGMENTS)?,
            minutes: txn.open_table(MINUTES)?,
            counts: txn.open_table(COUNTS)?,
            user_minutes: txn.open_table(USER_MINUTES)?,
            audit: txn.open_table(AUDIT)?,
            accounts: txn.open_table(ACCOUNTS)?,
            ages: txn.open_table(AGES)?,
            memos: txn.open_table(MEMOS)?,
            pauses: txn.open_table(PAUSES)?,
            leads: txn.open_table(LEADS)?,
            conversations: txn.open_table(CONVERSATIONS)?,
        })
    }
}

// ---- keys ----

/// The key of a message's row.
pub(super) fn message_key(id: MessageId) -> MailKey {
    mail_key(id, 0)
}

/// The key of a recipient's row.
pub(super) fn recipient_key(key: RecipientKey) -> MailKey {
    mail_key(key.message, key.index.saturating_add(1))
}

/// The first key behind a message and its recipients.
pub(super) fn mail_end(id: MessageId) -> MailKey {
    mail_key(id, u32::MAX)
}

fn mail_key(id: MessageId, slot: u32) -> MailKey {
    let mut key = [0; 12];
    key[..8].copy_from_slice(&id.as_u64().to_be_bytes());
    key[8..].copy_from_slice(&slot.to_be_bytes());
    key
}

/// The message of a mail key, and its recipient's index where it is a recipient's.
pub(super) fn read_mail_key(key: &MailKey) -> (MessageId, Option<u32>) {
    let (mut id, mut slot) = ([0; 8], [0; 4]);
    id.copy_from_slice(&key[..8]);
    slot.copy_from_slice(&key[8..]);
    (MessageId::from_u64(u64::from_be_bytes(id)), u32::from_be_bytes(slot).checked_sub(1))
}

/// Octets of a due key behind the lane's name and its zero.
const DUE_TAIL: usize = 1 + 8 + 8 + 8 + 4;

/// The key of a waiting recipient in the due index.
pub(super) fn due_key(lane: &str, class: Class, user: UserKey, due: Timestamp, key: RecipientKey) -> Vec<u8> {
    let mut out = due_user_prefix(lane, class, user);
    out.extend_from_slice(&due.as_millis().to_be_bytes());
    out.extend_from_slice(&key.message.as_u64().to_be_bytes());
    out.extend_from_slice(&key.index.to_be_bytes());
    out
}

/// What all due keys of a lane, class and submitter begin with; there is room for the rest.
pub(super) fn due_user_prefix(lane: &str, class: Class, user: UserKey) -> Vec<u8> {
    let mut out = due_prefix(lane, class, DUE_TAIL);
    out.extend_from_slice(&user.as_u64().to_be_bytes());
    out
}

/// What all due keys of a lane and class begin with.
pub(super) fn due_prefix(lane: &str, class: Class, room: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(lane.len() + 2 + room);
    out.extend_from_slice(lane.as_bytes());
    out.push(0);
    out.push(class as u8);
    out
}

/// A due key, taken apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct DueKey<'a> {
    pub lane: &'a str,
    pub class: Class,
    pub user: UserKey,
    pub due: Timestamp,
    pub key: RecipientKey,
}

/// Takes a due key apart; `None` for bytes that are none.
pub(super) fn read_due_key(key: &[u8]) -> Option<DueKey<'_>> {
    let at = key.len().checked_sub(DUE_TAIL + 1)?;
    let (lane, tail) = (std::str::from_utf8(&key[..at]).ok()?, &key[at + 1..]);
    let number = |from: usize| Some(u64::from_be_bytes(tail.get(from..from + 8)?.try_into().ok()?));
    Some(DueKey {
        lane,
        class: *Class::ALL.get(usize::from(tail[0]))?,
        user: UserKey::from_u64(number(1)?),
        due: Timestamp::from_millis(number(9)?),
        key: RecipientKey {
            message: MessageId::from_u64(number(17)?),
            index: u32::from_be_bytes(tail.get(25..29)?.try_into().ok()?),
        },
    })
}

/// The key of a lane in the table of earliest due times.
pub(super) fn lane_due_key(earliest: u64, lane: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(8 + lane.len());
    out.extend_from_slice(&earliest.to_be_bytes());
    out.extend_from_slice(lane.as_bytes());
    out
}

/// A key of that table, taken apart.
pub(super) fn read_lane_due_key(key: &[u8]) -> Option<(u64, &str)> {
    let (due, lane) = key.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*due), std::str::from_utf8(lane).ok()?))
}

/// The key of an index row.
pub(super) fn index_key(day: u32, hash: u32, number: u64) -> IndexKey {
    let mut key = [0; 16];
    key[..4].copy_from_slice(&day.to_be_bytes());
    key[4..8].copy_from_slice(&hash.to_be_bytes());
    key[8..].copy_from_slice(&number.to_be_bytes());
    key
}

/// Day, hash and number of an index row.
pub(super) fn read_index_key(key: &IndexKey) -> (u32, u32, u64) {
    let (mut day, mut hash, mut number) = ([0; 4], [0; 4], [0; 8]);
    day.copy_from_slice(&key[..4]);
    hash.copy_from_slice(&key[4..8]);
    number.copy_from_slice(&key[8..]);
    (u32::from_be_bytes(day), u32::from_be_bytes(hash), u64::from_be_bytes(number))
}

/// The hash of a looked-up text, any case: stored, so that it must never change. Collisions cost time, not truth.
pub(super) fn index_hash(text: &str) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    if text.is_ascii() {
        let mut block = [0u8; 64];
        for part in text.as_bytes().chunks(block.len()) {
            let lower = &mut block[..part.len()];
            lower.copy_from_slice(part);
            lower.make_ascii_lowercase();
            hasher.update(lower);
        }
    } else {
        hasher.update(text.to_lowercase().as_bytes());
    }
    hasher.finalize()
}

// ---- opening ----

/// An open database: its file stays locked as long as this lives.
pub(super) struct OpenDatabase {
    pub db: Database,
    pub file: Arc<dyn DiskFile>,
    /// The file as redb has it.
    pub pages: DatabaseFile,
    /// It was made just now.
    pub fresh: bool,
}

/// Opens the database in `dir`, or makes it where there was never one.
pub(super) fn open_database(
    disk: &dyn Disk,
    dir: &Path,
    ballast: Option<Arc<Ballast>>,
    redo_octets: u64,
) -> Result<OpenDatabase, StoreError> {
    let path = dir.join(DATABASE_FILE);
    let io = |e: io::Error| StoreError::Read { what: path.display().to_string(), cause: e.to_string() };
    let mut fresh = false;
    if !disk.exists(&path).map_err(io)? {
        create_database(disk, dir)
            .map_err(|cause| StoreError::Failed(format!("making {}: {cause}", path.display())))?;
        fresh = true;
    }
    let file = open_locked(disk, &path)?;
    let pages = match Redo::open(disk, &path, &file, redo_octets).map_err(|e| redo_error(&path, &e))? {
        Some(log) => DatabaseFile::with_log(file.clone(), ballast, log).map_err(io)?,
        None => DatabaseFile::new(file.clone(), ballast),
    };
    let db = build(pages.clone()).map_err(|e| open_error(&path, &e))?;
    check_schema(&db, &path)?;
    Ok(OpenDatabase { db, file, pages, fresh })
}

/// Opens a database that exists, without a log in front of it; what a log holds is put in place first.
pub(super) fn open_existing(disk: &dyn Disk, path: &Path) -> Result<(Database, Arc<dyn DiskFile>), StoreError> {
    let file = open_locked(disk, path)?;
    redo::replay(disk, path, &file).map_err(|e| redo_error(path, &e))?;
    let db = build(DatabaseFile::new(file.clone(), None)).map_err(|e| open_error(path, &e))?;
    check_schema(&db, path)?;
    Ok((db, file))
}

fn open_locked(disk: &dyn Disk, path: &Path) -> Result<Arc<dyn DiskFile>, StoreError> {
    let io = |e: io::Error| StoreError::Read { what: path.display().to_string(), cause: e.to_string() };
    let file = disk.open(path, OpenHow::Write).map_err(io)?;
    if !file.try_lock().map_err(io)? {
        return Err(StoreError::InUse(format!(
            "{} is in use by another process: stop that daemon first",
            path.display()
        )));
    }
    if file.len().map_err(io)? == 0 {
        return Err(damaged(path, "it is empty"));
    }
    Ok(file)
}

fn redo_error(path: &Path, e: &RedoError) -> StoreError {
    let log = redo::path_of(path);
    match e {
        RedoError::Io(e) => StoreError::Read { what: log.display().to_string(), cause: e.to_string() },
        RedoError::Foreign(why) => damaged(&log, why),
    }
}

fn build(file: DatabaseFile) -> Result<Database, redb::DatabaseError> {
    Database::builder().set_cache_size(CACHE_OCTETS).create_with_backend(file)
}

fn create_database(disk: &dyn Disk, dir: &Path) -> Result<(), String> {
    let (new, path) = (dir.join(DATABASE_FILE_NEW), dir.join(DATABASE_FILE));
    let words = |e: &dyn std::fmt::Display| e.to_string();
    if disk.exists(&new).map_err(|e| words(&e))? {
        // A first start that crashed: nothing was ever accepted.
        disk.unlink(&new).map_err(|e| words(&e))?;
    }
    let file = disk.open(&new, OpenHow::CreateNew).map_err(|e| words(&e))?;
    let db = build(DatabaseFile::new(file.clone(), None)).map_err(|e| words(&e))?;
    make_tables(&db).map_err(|e| words(&e))?;
    drop(db);
    file.sync().map_err(|e| words(&e))?;
    drop(file);
    disk.rename(&new, &path).map_err(|e| words(&e))?;
    disk.sync_dir(dir).map_err(|e| words(&e))?;
    if let Some(parent) = dir.parent().filter(|p| !p.as_os_str().is_empty()) {
        // The data directory's own name (redb never syncs a folder). A parent that we may not open is its owner's care.
        if let Err(e) = disk.sync_dir(parent) {
            log::debug!("dir={} not synced: {e}", parent.display());
        }
    }
    Ok(())
}

/// Makes every table, empty, and writes the schema.
pub(super) fn make_tables(db: &Database) -> Result<(), redb::Error> {
    let txn = db.begin_write()?;
    {
        let mut t = Tables::open(&txn)?;
        t.meta.insert(META_SCHEMA, super::rows::write_numbers(&[SCHEMA]).as_slice())?;
        t.meta.insert(META_MIGRATED, super::rows::write_numbers(&[SCHEMA]).as_slice())?;
    }
    txn.commit()?;
    Ok(())
}

fn check_schema(db: &Database, path: &Path) -> Result<(), StoreError> {
    let txn = db.begin_read().map_err(|e| damaged(path, &e.to_string()))?;
    let schema = read_schema(&txn).map_err(|why| damaged(path, &why))?;
    if schema == 0 {
        return Err(damaged(path, "its schema makes no sense"));
    }
    if schema > SCHEMA {
        return Err(StoreError::Newer(format!(
            "{} was written by a newer Hikyaku (schema {schema}; this program knows {SCHEMA}): start that version, or restore a backup made before the upgrade",
            path.display()
        )));
    }
    Ok(())
}

/// The schema of a database: 1 or more.
pub(super) fn read_schema(txn: &ReadTransaction) -> Result<u64, String> {
    let meta = txn.open_table(META).map_err(|e| e.to_string())?;
    let row = meta.get(META_SCHEMA).map_err(|e| e.to_string())?.ok_or("it has no schema row")?;
    let [schema] = super::rows::read_numbers(row.value()).map_err(|e| format!("schema row: {e}"))?;
    Ok(schema)
}

fn open_error(path: &Path, e: &redb::DatabaseError) -> StoreError {
    match e {
        redb::DatabaseError::DatabaseAlreadyOpen => {
            StoreError::InUse(format!("{} is in use by another process: stop that daemon first", path.display()))
        }
        redb::DatabaseError::Storage(redb::StorageError::Io(io)) if io.kind() != io::ErrorKind::InvalidData => {
            StoreError::Read { what: path.display().to_string(), cause: io.to_string() }
        }
        other => damaged(path, &other.to_string()),
    }
}

/// A damaged database, with what to do.
pub(super) fn damaged(path: &Path, why: &str) -> StoreError {
    StoreError::Damaged(format!(
        "{} is damaged ({why}): nothing was changed. Keep a copy of the data directory, then restore the last backup with `hikyaku restore`",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keys_are_read_back_and_sort_as_the_queue_runs(
            lanes in ("[a-z0-9.:-]{0,30}", "[a-z0-9.:-]{0,30}"), classes in (0..3usize, 0..3usize), users in any::<(u64, u64)>(), due in any::<(u64, u64)>(), key in any::<(u64, u32)>(),
        ) {
            let (lane, other) = &lanes;
            let who = RecipientKey { message: MessageId::from_u64(key.0), index: key.1 };
            let (a_user, b_user) = (UserKey::from_u64(users.0), UserKey::from_u64(users.1));
            let a = due_key(lane, Class::ALL[classes.0], a_user, Timestamp::from_millis(due.0), who);
            let read = read_due_key(&a).unwrap();
            prop_assert_eq!((read.lane, read.class, read.user, read.due.as_millis(), read.key), (lane.as_str(), Class::ALL[classes.0], a_user, due.0, who));
            let b = due_key(other, Class::ALL[classes.1], b_user, Timestamp::from_millis(due.1), who);
            prop_assert_eq!(a.cmp(&b), (lane, classes.0, users.0, due.0).cmp(&(other, classes.1, users.1, due.1)));
            let by_due = lane_due_key(due.0, lane);
            prop_assert_eq!(read_lane_due_key(&by_due), Some((due.0, lane.as_str())));
            prop_assert_eq!(read_mail_key(&message_key(who.message)), (who.message, None));
            prop_assert_eq!(read_index_key(&index_key(key.1, 7, due.0)), (key.1, 7, due.0));
        }

        #[test]
        fn a_looked_up_text_hashes_alike_in_any_case(text in "[ -~]{0,200}") {
            prop_assert_eq!(index_hash(&text), index_hash(&text.to_uppercase()));
            prop_assert_eq!(index_hash(&text), crc32fast::hash(text.to_lowercase().as_bytes()));
        }
    }

    #[test]
    fn garbage_is_no_due_key() {
        for n in 0..40 {
            let _ = read_due_key(&vec![0xff; n]);
        }
        assert_eq!(read_due_key(b"short"), None);
    }
}
