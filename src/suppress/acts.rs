//! What people do to the list: add, lift one, exempt one for good, undo an incident, import, end a held place.
//!
//! In: an act with who does it.  Out: what became of it.
//! Always: an act and its entry in the operation log are one transaction, in steps of bounded size where it names many; a
//! lifted address's errors up to that moment never count again; an exemption overrides no complaint and no unsubscribe; what
//! is done to many addresses names every one of them in the operation log.
//! Sources: PRODUCT.md R4, R7; cmc.md §6.2.

use std::sync::Arc;

use super::{
    Suppressions,
    draft::Draft,
    incidents::{self, HoldState, Undo, held_page},
    learn::{Known, put_on_list},
    list::{ListQuery, Listed, listed, row_of},
    memory::Memory,
    row::{Cause, Entry, Exemption, Lifted, LiftedBy, Row, bounded, key_of, split_key},
};
use crate::{
    clock::Timestamp,
    event::ErrorClass,
    ids::MessageId,
    smtp::address::Mailbox,
    store::{AuditEntry, MemoKind, Page, StoreError},
};

/// Rows of one batch of an import at most.
pub const IMPORT_BATCH_MAX: usize = 500;
/// Addresses that one step of an undo lifts, all named in one entry of the operation log.
const UNDO_STEP: usize = 200;
/// Addresses that the answer of an undo lists; the operation log names all of them.
pub const UNDO_LISTED_MAX: usize = 10_000;
/// Held errors that one step of a release applies: up to three rows each.
const RELEASE_STEP: usize = 250;
/// Rows of errors that one read brings.
const READ_ROWS: usize = 500;

/// Who does something, for the operation log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Actor {
    /// `operator` with the Unix user, or an account's name.
    pub who: String,
    /// An address or `control socket`.
    pub from: String,
}

/// An address that an operator adds.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NewEntry {
    /// The address.
    pub address: String,
    /// For whose mail; empty: for everybody's.
    pub user: String,
    /// When it comes off by itself; `None`: when it is lifted.
    pub until: Option<Timestamp>,
    /// The operator's words; may be empty.
    pub reason: String,
}

impl NewEntry {
    /// Its stay, from now on.
    pub(super) fn entry(&self, id: MessageId, actor: &Actor, now: Timestamp) -> Entry {
        Entry {
            until: self.until.filter(|until| *until > now),
            reason: bounded(&self.reason),
            operator: actor.who.clone(),
            ..blank(id, now, Cause::Manual)
        }
    }
}

/// What became of an added address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Added {
    /// It is on the list; an exemption that it had is over.
    New(Listed),
    /// It was there already, and stays as it was.
    Known(Listed),
}

/// What became of an exemption.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Exempted {
    /// The stay that it ended.
    pub lifted: Option<Listed>,
    /// The address stays on the list: its owner complained or unsubscribed, which no exemption overrides. `lift` would.
    pub stays: Option<Listed>,
}

/// What an undo did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Undone {
    /// Addresses that were lifted.
    pub lifted: u64,
    /// The first [`UNDO_LISTED_MAX`] of them; the operation log names all.
    pub addresses: Vec<String>,
    /// Addresses that were not on the list yet, and whose errors no longer count.
    pub forgotten: u64,
}

/// A row of a list to import.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ImportRow {
    /// The address.
    pub address: String,
    /// For whose mail; empty: for everybody's.
    pub user: String,
    /// [`Cause::Complaint`] and [`Cause::Unsubscribe`] where the file says so, else [`Cause::Import`].
    pub cause: Cause,
    /// CMC's class, where the file says one.
    pub class: Option<ErrorClass>,
    /// How many errors, where the file says it.
    pub occurred: u32,
    /// The file's words.
    pub reason: String,
    /// Since when, where the file says it.
    pub since: Option<Timestamp>,
    /// The end of its watch period, where the file says one; past ones are left out.
    pub until: Option<Timestamp>,
}

/// What became of a batch of an import.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Imported {
    /// Came onto the list.
    pub added: u64,
    /// Were there already.
    pub known: u64,
    /// Are exempt, and stay so.
    pub exempt: u64,
    /// Are no address, or over already.
    pub refused: u64,
}

/// What ending a held place did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ended {
    /// Errors that were held.
    pub errors: u64,
    /// Addresses that came onto the list.
    pub suppressed: u64,
}

impl Suppressions {
    /// Puts an address on the list by hand.
    ///
    /// # Errors
    /// `Refused` when it is no address; the store's.
    pub async fn add(&self, actor: &Actor, new: NewEntry) -> Result<Added, StoreError> {
        let address = checked(&new.address)?;
        let _turn = self.0.known.lock().await;
        let (key, now) = (key_of(&address, &new.user), self.0.clock.now());
        let mut row = row_of(&self.0.memory, &key)?;
        row.end_watch(now);
        if let Some(entry) = &row.now {
            return Ok(Added::Known(listed(&key, Some(entry.clone()), row.exempt.as_ref())));
        }
        let mut draft = Draft::new(&self.0.memory);
        let entry = new.entry(self.0.memory.new_id(now), actor, now);
        row.exempt = None;
        row.now = Some(entry.clone());
        draft.put_row(&key, &row);
        let detail = if new.reason.is_empty() { "by hand".to_owned() } else { AuditEntry::typed(&entry.reason) };
        self.write(draft, actor, "suppress.add", named(&key), detail).await?;
        self.0.metrics.suppressed.one();
        Ok(Added::New(listed(&key, Some(entry), None)))
    }

    /// Takes one address off the list (CMC's cancel): later errors may put it there again. `None`: it was not on it.
    ///
    /// # Errors
    /// The store's.
    pub async fn lift(&self, actor: &Actor, address: &str, user: &str) -> Result<Option<Listed>, StoreError> {
        let _turn = self.0.known.lock().await;
        let (key, now) = (key_of(address, user), self.0.clock.now());
        let mut draft = Draft::new(&self.0.memory);
        let Some(lifted) = lift(&mut draft, &key, now, LiftedBy::Lift, &actor.who)? else { return Ok(None) };
        let detail = words_of(lifted.entry.as_ref());
        self.write(draft, actor, "suppress.lift", named(&key), detail).await?;
        Ok(Some(lifted))
    }

    /// Exempts one address for good (CMC's delete): its errors never suppress it again. Whoever complained or unsubscribed
    /// stays on the list.
    ///
    /// # Errors
    /// `Refused` when it is no address; the store's.
    pub async fn exempt(&self, actor: &Actor, address: &str, user: &str) -> Result<Exempted, StoreError> {
        let address = checked(address)?;
        let _turn = self.0.known.lock().await;
        let (key, now) = (key_of(&address, user), self.0.clock.now());
        let mut draft = Draft::new(&self.0.memory);
        let mut row = draft.row(&key)?;
        row.end_watch(now);
        row.exempt.get_or_insert_with(|| Exemption { since: now, operator: actor.who.clone() });
        let stays = row.now.as_ref().filter(|entry| entry.cause.is_will()).cloned();
        let ended = match &stays {
            Some(_) => None,
            None => row.end(Lifted { at: now, by: LiftedBy::Exemption, operator: actor.who.clone() }),
        };
        draft.put_row(&key, &row);
        if ended.is_some() {
            let mut history = draft.history(&key)?;
            history.lift(now);
            draft.put_history(&key, &history);
        }
        let detail = match &stays {
            Some(_) => "it stays on the list: its owner wants it so".to_owned(),
            None => words_of(ended.as_ref()),
        };
        self.write(draft, actor, "suppress.exempt", named(&key), detail).await?;
        let listed = |entry: Option<Entry>| entry.map(|entry| listed(&key, Some(entry), row.exempt.as_ref()));
        Ok(Exempted { lifted: listed(ended), stays: listed(stays) })
    }

    /// Ends an exemption: errors from now on count again. False: there was none.
    ///
    /// # Errors
    /// The store's.
    pub async fn end_exemption(&self, actor: &Actor, address: &str, user: &str) -> Result<bool, StoreError> {
        let _turn = self.0.known.lock().await;
        let (key, now) = (key_of(address, user), self.0.clock.now());
        let mut draft = Draft::new(&self.0.memory);
        let mut row = draft.row(&key)?;
        if row.exempt.take().is_none() {
            return Ok(false);
        }
        let mut history = draft.history(&key)?;
        history.lift(now);
        draft.put_history(&key, &history);
        draft.put_row(&key, &row);
        self.write(draft, actor, "suppress.exempt_end", named(&key), String::new()).await?;
        Ok(true)
    }

    /// Takes every address off the list that one incident put there ([`ListQuery::incident`] shows them before), and forgets
    /// errors of that incident that count but have not suppressed yet. In steps, each with every address by name in the
    /// operation log; done again it finds what an interrupted undo left. `None`: there is no such incident.
    ///
    /// # Errors
    /// The store's; steps done before it are done.
    pub async fn undo_incident(&self, actor: &Actor, id: &str) -> Result<Option<Undone>, StoreError> {
        let Some(undo) = self
            .read({
                let id = id.to_owned();
                move |memory| incidents::undoes(&**memory, &id)
            })
            .await?
        else {
            return Ok(None);
        };
        let (what, mut done) = (undo.words(), Undone::default());
        let query = ListQuery { incident: id.to_owned(), ..ListQuery::default() };
        let mut page = Page { rows_max: UNDO_STEP, ..Page::default() };
        loop {
            let (this, asked, wanted) = (self.clone(), query.clone(), page.clone());
            let found = smol::unblock(move || this.list(&asked, &wanted)).await?;
            self.undo_step(actor, &what, found.rows, &mut done).await?;
            match found.next {
                Some(cursor) => page.cursor = Some(cursor),
                None => break,
            }
        }
        if let Undo::Brake(incident) = &undo {
            done.forgotten = self.forget_errors(actor, &what, incident).await?;
        }
        Ok(Some(done))
    }

    async fn undo_step(
        &self,
        actor: &Actor,
        what: &str,
        rows: Vec<Listed>,
        done: &mut Undone,
    ) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        let _turn = self.0.known.lock().await;
        let (mut draft, now) = (Draft::new(&self.0.memory), self.0.clock.now());
        let mut names = Vec::new();
        for row in rows {
            let key = key_of(&row.address, &row.user);
            // Another act may have been faster.
            if lift(&mut draft, &key, now, LiftedBy::Undo, &actor.who)?.is_some() {
                names.push(named(&key));
            }
        }
        if names.is_empty() {
            return Ok(());
        }
        self.write(draft, actor, "suppress.undo", what.to_owned(), names.join(" ")).await?;
        done.lifted += names.len() as u64;
        let room = UNDO_LISTED_MAX.saturating_sub(done.addresses.len());
        done.addresses.extend(names.into_iter().take(room));
        Ok(())
    }

    /// Errors that were counted while the incident began, of addresses that are not on the list.
    async fn forget_errors(
        &self,
        actor: &Actor,
        what: &str,
        incident: &incidents::BrakeIncident,
    ) -> Result<u64, StoreError> {
        let (mut after, mut forgotten) = (None::<String>, 0);
        loop {
            let from = after.clone();
            let rows =
                self.read(move |memory| memory.memos(MemoKind::AddressErrors, "", from.as_deref(), READ_ROWS)).await?;
            let Some((last, _)) = rows.last() else { return Ok(forgotten) };
            after = Some(last.clone());
            let keys: Vec<String> = rows
                .iter()
                .filter(|(key, value)| incident.errors_of(key, value).is_some())
                .map(|(key, _)| key.clone())
                .collect();
            if keys.is_empty() {
                continue;
            }
            let _turn = self.0.known.lock().await;
            let (mut draft, mut names) = (Draft::new(&self.0.memory), Vec::new());
            for key in keys {
                let mut history = draft.history(&key)?;
                let before = history.errors.len();
                history.errors.retain(|error| !incident.is_of_its_time(error));
                if history.errors.len() < before {
                    draft.put_history(&key, &history);
                    names.push(named(&key));
                }
            }
            if names.is_empty() {
                continue;
            }
            forgotten += names.len() as u64;
            self.write(draft, actor, "suppress.forget", what.to_owned(), names.join(" ")).await?;
        }
    }

    /// Puts a batch of a list on ours, with one entry in the operation log; `file` names where it came from. What is on the
    /// list stays as it is, but for a complaint or unsubscribe, which outranks errors.
    ///
    /// # Errors
    /// `Refused` over [`IMPORT_BATCH_MAX`] rows; the store's. The batch is imported whole or not at all.
    pub async fn import(&self, actor: &Actor, file: &str, rows: Vec<ImportRow>) -> Result<Imported, StoreError> {
        if rows.len() > IMPORT_BATCH_MAX {
            return Err(StoreError::Refused(format!("{} rows in one batch: at most {IMPORT_BATCH_MAX}", rows.len())));
        }
        let _turn = self.0.known.lock().await;
        let (mut draft, now) = (Draft::new(&self.0.memory), self.0.clock.now());
        let mut done = Imported::default();
        for new in rows {
            let Ok(address) = checked(&new.address) else {
                done.refused += 1;
                continue;
            };
            if new.until.is_some_and(|until| until <= now) {
                done.refused += 1;
                continue;
            }
            let key = key_of(&address, &new.user);
            let mut row = draft.row(&key)?;
            row.end_watch(now);
            let outranks = |entry: &Entry| new.cause.is_will() && !entry.cause.is_will();
            if row.now.as_ref().is_some_and(|entry| !outranks(entry)) {
                done.known += 1;
                continue;
            }
            if row.exempt.is_some() && !new.cause.is_will() {
                done.exempt += 1;
                continue;
            }
            row.now = Some(Entry {
                since: new.since.map_or(now, |since| since.min(now)),
                until: new.until,
                class: new.class,
                occurred: new.occurred,
                reason: bounded(&new.reason),
                operator: actor.who.clone(),
                ..blank(self.0.memory.new_id(now), now, new.cause)
            });
            draft.put_row(&key, &row);
            done.added += 1;
        }
        if done.added > 0 {
            let detail =
                format!("{} added, {} known, {} exempt, {} refused", done.added, done.known, done.exempt, done.refused);
            self.write(draft, actor, "suppress.import", AuditEntry::typed(file), detail).await?;
            self.0.metrics.suppressed.add(done.added);
        }
        Ok(done)
    }

    /// Ends a held place: its errors were true, they count, and addresses that they make reach a threshold come onto the
    /// list. `None`: no such place is held.
    ///
    /// # Errors
    /// The store's. The end is stored before the errors are applied; what a stop cuts off is applied at the next start.
    pub async fn release(&self, actor: &Actor, id: &str) -> Result<Option<Ended>, StoreError> {
        self.end_hold(actor, id, HoldState::Released, "suppress.release").await
    }

    /// Ends a held place: its errors were the destination's fault and are forgotten. Addresses that came onto the list before
    /// the brake was pulled are lifted by [`Suppressions::undo_incident`]. `None`: no such place is held.
    ///
    /// # Errors
    /// As for [`Suppressions::release`].
    pub async fn discard(&self, actor: &Actor, id: &str) -> Result<Option<Ended>, StoreError> {
        self.end_hold(actor, id, HoldState::Discarded, "suppress.discard").await
    }

    async fn end_hold(
        &self,
        actor: &Actor,
        id: &str,
        state: HoldState,
        act: &str,
    ) -> Result<Option<Ended>, StoreError> {
        let mut known = self.0.known.lock().await;
        let mut mind = self.mind(&mut known).await?;
        let Some(place) = mind.held_place(id) else {
            *known = Some(mind);
            return Ok(None);
        };
        let mut incident = mind.held.remove(&place).expect("the place was found among the held ones");
        incident.state = state;
        incident.ended_millis = Some(self.0.clock.now().as_millis());
        incident.operator.clone_from(&actor.who);
        mind.brake.reset(&place, state == HoldState::Released);
        mind.held_errors = mind.held_errors.saturating_sub(incident.held);
        let mut draft = Draft::new(&self.0.memory);
        draft.put(MemoKind::Incidents, incidents::brake_key(id), incidents::json(&incident));
        let detail = format!("{} errors held, {} more were forgotten", incident.held, incident.lost);
        // If the write fails, what is in RAM is wrong: the follower reads it anew.
        self.write(draft, actor, act, format!("{} ({id})", AuditEntry::typed(&place)), detail).await?;
        self.0.metrics.brakes_held.set(mind.held.len() as u64);
        mind.note_ended(&incident);
        let ended = self.apply_held(&incident).await;
        *known = Some(mind);
        ended.map(Some)
    }

    /// Applies or forgets what an ended incident holds. The caller holds the turn.
    pub(super) async fn apply_held(&self, incident: &incidents::BrakeIncident) -> Result<Ended, StoreError> {
        let mut ended = Ended::default();
        loop {
            let (config, now) = (self.0.config.get(), self.0.clock.now());
            let (incident, this) = (incident.clone(), self.clone());
            let step = move || -> Result<(Draft, u64, u64), StoreError> {
                let mut draft = Draft::new(&this.0.memory);
                let rows = held_page(&*this.0.memory, &incident.id, None, RELEASE_STEP)?;
                let (errors, mut suppressed) = (rows.len() as u64, 0);
                for (key, held) in rows {
                    draft.forget(MemoKind::Incidents, key);
                    let Some(held) = held.filter(|_| incident.state == HoldState::Released) else { continue };
                    let key = key_of(&held.address, &held.user);
                    let mut history = draft.history(&key)?;
                    if history.note(held.error, &held.provider, &held.reply) {
                        draft.put_history(&key, &history);
                    }
                    let put = put_on_list(&mut draft, &key, &config.suppression, &incident.id, now, false)?;
                    suppressed += u64::from(put);
                }
                Ok((draft, errors, suppressed))
            };
            let (draft, errors, suppressed) = smol::unblock(step).await?;
            if errors == 0 {
                return Ok(ended);
            }
            self.0.memory.put(draft.changes(), None).await?;
            self.0.metrics.suppressed.add(suppressed);
            ended.errors += errors;
            ended.suppressed += suppressed;
        }
    }

    /// What the follower knows, read from the store if it must be.
    pub(super) async fn mind(&self, known: &mut Option<Known>) -> Result<Known, StoreError> {
        match known.take() {
            Some(mind) => Ok(mind),
            None => {
                let config = self.0.config.get();
                let now = self.0.clock.now();
                self.read(move |memory| Known::load(&**memory, &config.suppression, now)).await
            }
        }
    }

    /// A read off the executor.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Arc<dyn Memory>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let memory = self.0.memory.clone();
        smol::unblock(move || read(&memory)).await
    }

    pub(super) async fn write(
        &self,
        draft: Draft,
        actor: &Actor,
        act: &str,
        object: String,
        detail: String,
    ) -> Result<(), StoreError> {
        let at = self.0.clock.now();
        let Actor { who, from } = actor.clone();
        log::info!("act={act} who={who:?} object={object:?} detail={detail:?}");
        let entry = AuditEntry { at, who, from, act: act.to_owned(), object, detail };
        self.0.memory.put(draft.changes(), Some(entry)).await
    }
}

/// Ends a stay; its errors never count again. `None`: there is none.
pub(super) fn lift(
    draft: &mut Draft,
    key: &str,
    now: Timestamp,
    by: LiftedBy,
    operator: &str,
) -> Result<Option<Listed>, StoreError> {
    let mut row: Row = draft.row(key)?;
    row.end_watch(now);
    let Some(entry) = row.end(Lifted { at: now, by, operator: operator.to_owned() }) else { return Ok(None) };
    let mut history = draft.history(key)?;
    history.lift(now);
    draft.put_history(key, &history);
    draft.put_row(key, &row);
    Ok(Some(listed(key, Some(entry), row.exempt.as_ref())))
}

/// A stay without its particulars.
pub(super) fn blank(id: MessageId, since: Timestamp, cause: Cause) -> Entry {
    Entry {
        id,
        since,
        until: None,
        cause,
        class: None,
        occurred: 0,
        reason: String::new(),
        event: None,
        operator: String::new(),
        hard: false,
        provider: String::new(),
        incident: String::new(),
        lifted: None,
    }
}

pub(super) fn checked(address: &str) -> Result<String, StoreError> {
    match Mailbox::parse(address.trim()) {
        Ok(mailbox) => Ok(mailbox.as_str().to_owned()),
        Err(error) => Err(StoreError::Refused(format!("{address:?} is no address: {error}"))),
    }
}

/// An address as the operation log names it: with its scope, where it has one.
pub(super) fn named(key: &str) -> String {
    match split_key(key) {
        (address, "") => address.to_owned(),
        (address, user) => format!("{address} (user {user})"),
    }
}

fn words_of(entry: Option<&Entry>) -> String {
    entry.map_or_else(String::new, super::lookup::words_of)
}
