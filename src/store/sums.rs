//! What waits, in sums: by class and reason, and by submitter; without a look at the queue.
//!
//! In: recipients that begin and cease to wait, or wait for something else.  Out: how many wait of each kind.
//! Always: changed in the transaction that changes the recipient; one row for classes and reasons, one for each submitter of whom
//! something waits, written when it changed. A store that an older program wrote last has no rows, or rows that do not add up to
//! its totals: then the queue is counted once, at the start.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, Table};

use super::{
    batch::is_held,
    codec::{Eye, Pen, RowError},
    fault::{Fatal, Reading, bad_row},
    rows::{self, VERSION},
    tables::{self, Tables, message_key, read_due_key, recipient_key},
    types::{QueueSums, RecipientState, StoreError},
};
use crate::{
    event::{Class, WaitReason},
    ids::UserKey,
};

/// The row of classes and reasons in `META`.
const META_QUEUE: &str = "queue";
/// What the keys of the submitters' rows begin with, and the first key behind them.
const USER_ROWS: [&str; 2] = ["queue_user/", "queue_user0"];

/// Numbers of the row: each class with each reason.
const CELLS: usize = Class::ALL.len() * WaitReason::ALL.len();

/// The sums, as the writer keeps them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Sums {
    cells: [u64; CELLS],
    users: BTreeMap<UserKey, (Arc<str>, u64)>,
    /// Not written yet: the submitters, and whether anything changed.
    touched: BTreeSet<UserKey>,
    changed: bool,
}

/// Whose recipient it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Whom<'a> {
    /// Its class.
    pub class: Class,
    /// Its submitter.
    pub user: UserKey,
    /// The submitter's name; needed where it begins to wait.
    pub name: &'a str,
}

fn cell(class: Class, wait: WaitReason) -> usize {
    let place = WaitReason::ALL.iter().position(|known| *known == wait).unwrap_or(0);
    class as usize * WaitReason::ALL.len() + place
}

impl Sums {
    /// A recipient's state changes.
    pub(super) fn change(&mut self, whom: Whom<'_>, before: Option<WaitReason>, after: Option<WaitReason>) {
        if before == after {
            return;
        }
        self.changed = true;
        if let Some(wait) = before {
            let count = &mut self.cells[cell(whom.class, wait)];
            *count = count.saturating_sub(1);
        }
        if let Some(wait) = after {
            self.cells[cell(whom.class, wait)] += 1;
        }
        match (before, after) {
            (None, Some(_)) => {
                let (_, count) = self.users.entry(whom.user).or_insert_with(|| (whom.name.into(), 0));
                *count += 1;
                self.touched.insert(whom.user);
            }
            (Some(_), None) => {
                if let Some((_, count)) = self.users.get_mut(&whom.user) {
                    *count = count.saturating_sub(1);
                }
                self.touched.insert(whom.user);
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
    }

    /// Writes what changed.
    pub(super) fn store(&mut self, meta: &mut Table<'_, &'static str, &'static [u8]>) -> Result<(), StoreError> {
        if !self.changed {
            return Ok(());
        }
        meta.insert(META_QUEUE, rows::write_numbers(&self.cells).as_slice()).fatal()?;
        for user in std::mem::take(&mut self.touched) {
            let key = user_row(user);
            match self.users.get(&user).filter(|(_, count)| *count > 0) {
                Some((name, count)) => {
                    meta.insert(key.as_str(), write_user(name, *count).as_slice()).fatal()?;
                }
                None => {
                    self.users.remove(&user);
                    meta.remove(key.as_str()).fatal()?;
                }
            }
        }
        self.changed = false;
        Ok(())
    }

    /// The sums of a store of which `waiting` recipients wait: its rows, or a count of the queue.
    pub(super) fn load(t: &Tables<'_>, waiting: u64) -> Result<Self, StoreError> {
        if let Ok(Some(known)) = read(&t.meta)
            && known.adds_up_to(waiting)
        {
            return Ok(known);
        }
        let mut counted = Sums::default();
        if waiting > 0 {
            log::info!("queue=counting recipients={waiting}: by class, reason and submitter");
            counted.count_all(t)?;
        }
        let [first, end] = USER_ROWS;
        for entry in t.meta.range(first..end).fatal()? {
            let (key, _) = entry.fatal()?;
            counted.touched.extend(user_of(key.value()));
        }
        counted.changed = true;
        Ok(counted)
    }

    fn adds_up_to(&self, waiting: u64) -> bool {
        let of_users: u64 = self.users.values().map(|(_, count)| count).sum();
        self.cells.iter().sum::<u64>() == waiting && of_users == waiting
    }

    fn count_all(&mut self, t: &Tables<'_>) -> Result<(), StoreError> {
        for entry in t.due.iter().fatal()? {
            let (key, _) = entry.fatal()?;
            let Some(due) = read_due_key(key.value()) else { continue };
            let row = t.mail.get(&recipient_key(due.key)).fatal()?;
            // What cannot be read is told by `verify`.
            let Some(Ok(row)) = row.map(|row| rows::read_recipient(due.key, row.value())) else { continue };
            let RecipientState::Waiting { wait, .. } = row.shown.state else { continue };
            let name = match self.users.get(&due.user) {
                Some((name, _)) => name.clone(),
                None => {
                    let message = t.mail.get(&message_key(due.key.message)).fatal()?;
                    let read = message.and_then(|row| rows::read_message(due.key.message, row.value()).ok());
                    read.map_or_else(|| Arc::from(""), |message| message.user.into())
                }
            };
            self.change(Whom { class: due.class, user: due.user, name: &name }, None, Some(wait));
        }
        Ok(())
    }

    fn shown(&self) -> QueueSums {
        let mut shown = QueueSums::default();
        for (class, row) in shown.waits.iter_mut().enumerate() {
            row.copy_from_slice(&self.cells[class * WaitReason::ALL.len()..(class + 1) * WaitReason::ALL.len()]);
        }
        shown.users = self.users.values().map(|(name, count)| (name.to_string(), *count)).collect();
        shown.users.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        shown
    }
}

impl QueueSums {
    /// Waiting recipients of these classes and for these reasons; `None`: of all.
    pub fn waiting(&self, class: Option<Class>, wait: Option<WaitReason>) -> u64 {
        let classes = Class::ALL.into_iter().filter(|known| class.is_none_or(|class| class == *known));
        let row = |class: Class| {
            let cells = WaitReason::ALL.iter().zip(&self.waits[class as usize]);
            cells.filter(|(known, _)| wait.is_none_or(|wait| wait == **known)).map(|(_, count)| count).sum::<u64>()
        };
        classes.map(row).sum()
    }

    /// Held recipients of these classes, whyever they are held.
    pub fn held(&self, class: Option<Class>) -> u64 {
        WaitReason::ALL.into_iter().filter(|wait| is_held(*wait)).map(|wait| self.waiting(class, Some(wait))).sum()
    }

    /// Waiting recipients of an API user; the empty name is mail without one.
    pub fn of_user(&self, user: &str) -> u64 {
        self.users.iter().find(|(name, _)| name == user).map_or(0, |(_, count)| *count)
    }
}

fn user_row(user: UserKey) -> String {
    format!("{}{:016x}", USER_ROWS[0], user.as_u64())
}

fn user_of(key: &str) -> Option<UserKey> {
    u64::from_str_radix(key.strip_prefix(USER_ROWS[0])?, 16).ok().map(UserKey::from_u64)
}

fn write_user(name: &str, count: u64) -> Vec<u8> {
    let mut pen = Pen::new(VERSION, 16 + name.len());
    pen.number(count);
    pen.text(name);
    pen.done()
}

fn read_user(row: &[u8]) -> Result<(Arc<str>, u64), RowError> {
    let (_, mut eye) = Eye::open(row, VERSION)?;
    let count = eye.number()?;
    Ok((eye.text()?.into(), count))
}

/// The stored sums; `None`: there are none.
fn read(meta: &impl ReadableTable<&'static str, &'static [u8]>) -> Result<Option<Sums>, StoreError> {
    let Some(row) = meta.get(META_QUEUE).reading()? else { return Ok(None) };
    let cells = rows::read_numbers(row.value()).map_err(|e| bad_row(format_args!("sums of the queue"), e))?;
    let mut sums = Sums { cells, ..Sums::default() };
    let [first, end] = USER_ROWS;
    for entry in meta.range(first..end).reading()? {
        let (key, row) = entry.reading()?;
        let bad = |e| bad_row(format_args!("sums of the queue, {}", key.value()), e);
        let user = user_of(key.value()).ok_or_else(|| bad(RowError::Nonsense))?;
        sums.users.insert(user, read_user(row.value()).map_err(bad)?);
    }
    Ok(Some(sums))
}

/// The sums, as people see them.
pub(super) fn shown(db: &Database) -> Result<QueueSums, StoreError> {
    let txn = db.begin_read().reading()?;
    let meta = txn.open_table(tables::META).reading()?;
    Ok(read(&meta)?.unwrap_or_default().shown())
}

/// Lines of damage: where the stored sums are not what was counted. A store that was not written since has none.
pub(super) fn compare(txn: &ReadTransaction, counted: &Sums) -> Result<Vec<String>, StoreError> {
    let meta = txn.open_table(tables::META).reading()?;
    let stored = match read(&meta) {
        Ok(Some(stored)) => stored,
        Ok(None) => return Ok(Vec::new()),
        Err(StoreError::Damaged(words)) => return Ok(vec![words]),
        Err(other) => return Err(other),
    };
    let mut damage = Vec::new();
    for (class, wait) in Class::ALL.into_iter().flat_map(|class| WaitReason::ALL.map(|wait| (class, wait))) {
        let (says, is) = (stored.cells[cell(class, wait)], counted.cells[cell(class, wait)]);
        if says != is {
            let words = format!("{} {}", class.word(), wait.word());
            damage.push(format!("sums of the queue: say {says} {words}, but there are {is}"));
        }
    }
    let users: BTreeSet<&UserKey> = stored.users.keys().chain(counted.users.keys()).collect();
    for user in users {
        let of = |sums: &Sums| sums.users.get(user).map_or(0, |(_, count)| *count);
        if of(&stored) != of(counted) {
            let key = user.as_u64();
            damage.push(format!(
                "sums of the queue: say {} of submitter {key:016x}, but there are {}",
                of(&stored),
                of(counted)
            ));
        }
    }
    Ok(damage)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn sums_follow_each_change_and_never_fall_below_zero() {
        let mut sums = Sums::default();
        let crm = Whom { class: Class::Low, user: UserKey::of("crm"), name: "crm" };
        let nobody = Whom { class: Class::High, user: UserKey::of(""), name: "" };
        for (whom, before, after) in [
            (crm, None, Some(WaitReason::Fresh)),
            (crm, None, Some(WaitReason::Scheduled)),
            (crm, Some(WaitReason::Fresh), Some(WaitReason::Held)),
            (nobody, None, Some(WaitReason::Fresh)),
            (nobody, Some(WaitReason::Fresh), None),
            (nobody, Some(WaitReason::Fresh), None),
        ] {
            sums.change(whom, before, after);
        }
        assert!(sums.adds_up_to(2) && !sums.adds_up_to(3));
        let shown = sums.shown();
        assert_eq!(shown.waiting(None, None), 2);
        assert_eq!((shown.held(None), shown.held(Some(Class::High))), (1, 0));
        assert_eq!(shown.waiting(Some(Class::Low), Some(WaitReason::Scheduled)), 1);
        assert_eq!((shown.of_user("crm"), shown.of_user("")), (2, 0));
    }

    #[test]
    fn a_users_row_is_read_back_and_a_foreign_key_is_nobodys() {
        let user = UserKey::of("crm");
        assert_eq!(user_of(&user_row(user)), Some(user));
        assert_eq!(user_of("queue_user/x"), None);
        let (name, count) = read_user(&write_user("営業", 7)).unwrap();
        assert_eq!((&*name, count), ("営業", 7));
    }

    #[test]
    fn a_store_without_sums_or_with_wrong_ones_is_counted_when_it_is_opened() {
        use crate::{
            clock::Clock,
            store::{
                Store,
                migrate::tests::{database, filled, open},
                sim::{DIR, SimDisk},
            },
        };
        let verify = |disk: &SimDisk| Store::verify_on(Arc::new(disk.clone()), Path::new(DIR)).unwrap().damage;
        let clock = Clock::manual(crate::clock::Timestamp::from_millis(1_795_527_310_000));
        let (disk, _) = filled(&clock);
        let opened = open(&disk, &clock).unwrap().store;
        let sums = opened.queue_sums().unwrap();
        assert!(sums.waiting(None, None) > 20 && sums.held(None) > 0 && sums.users.len() == 3, "{sums:?}");
        drop(opened);
        for spoil in ["none", "too few"] {
            let txn = database(&disk).begin_write().unwrap();
            let mut meta = txn.open_table(tables::META).unwrap();
            match spoil {
                "none" => drop(meta.remove(META_QUEUE).unwrap()),
                _ => {
                    let key = user_row(UserKey::of("shop"));
                    meta.insert(key.as_str(), write_user("shop", 1).as_slice()).unwrap();
                    let key = user_row(UserKey::of("nobody"));
                    meta.insert(key.as_str(), write_user("nobody", 9).as_slice()).unwrap();
                }
            }
            drop(meta);
            txn.commit().unwrap();
            let opened = open(&disk, &clock).unwrap().store;
            assert_eq!(opened.queue_sums().unwrap(), sums, "{spoil}");
            smol::block_on(opened.stop()).unwrap();
            drop(opened);
            assert_eq!(verify(&disk), Vec::<String>::new(), "{spoil}");
        }
        // `verify` says what is wrong.
        let txn = database(&disk).begin_write().unwrap();
        let key = user_row(UserKey::of("shop"));
        txn.open_table(tables::META).unwrap().insert(key.as_str(), write_user("shop", 1).as_slice()).unwrap();
        txn.commit().unwrap();
        let damage = verify(&disk);
        assert!(damage.len() == 1 && damage[0].starts_with("sums of the queue: say 1 of submitter"), "{damage:?}");
    }
}
