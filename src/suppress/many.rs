//! One act on several addresses that somebody ticked or wrote: lift them, exempt them for good or no more, add them.
//!
//! In: addresses by name.  Out: which of them changed.
//! Always: a step is one transaction with one entry in the operation log that names every address of it (R4, R7); what an act on
//! one address would refuse, this refuses, before anything is done.
//! Sources: PRODUCT.md R4, R7; cmc.md §6.2.

use super::{
    Suppressions,
    acts::{Actor, NewEntry, checked, lift, named},
    draft::Draft,
    list::{Listed, listed},
    row::{Exemption, Lifted, LiftedBy, key_of},
};
use crate::{clock::Timestamp, store::StoreError};

/// Addresses that one call names at most.
pub const MANY_MAX: usize = 1_000;
/// Addresses of one step: one entry of the operation log names them all.
const STEP: usize = 200;

/// What became of those who were to be exempt.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ExemptedMany {
    /// Are exempt now, and were not.
    pub exempted: Vec<String>,
    /// Came off the list by it.
    pub lifted: Vec<Listed>,
    /// Stay on the list: their owners complained or unsubscribed, which no exemption overrides.
    pub stay: Vec<Listed>,
}

/// An address and for whose mail; the second is empty: for everybody's.
pub type Whose = (String, String);

impl Suppressions {
    /// Takes each of these addresses off the list (CMC's cancel); answers those that were on it.
    ///
    /// # Errors
    /// `Refused` over [`MANY_MAX`] addresses or when one is none; the store's, steps before it are done.
    pub async fn lift_many(&self, actor: &Actor, whose: &[Whose]) -> Result<Vec<Listed>, StoreError> {
        let keys = keys_of(whose)?;
        let mut lifted = Vec::new();
        let one = |draft: &mut Draft, now, key: &String| {
            let row = lift(draft, key, now, LiftedBy::Lift, &actor.who)?;
            Ok(row.map(|row| {
                lifted.push(row);
                named(key)
            }))
        };
        self.in_steps(actor, "suppress.lift", &keys, one, &mut Vec::new()).await?;
        Ok(lifted)
    }

    /// Exempts each of these addresses for good (CMC's delete).
    ///
    /// # Errors
    /// As for [`Suppressions::lift_many`].
    pub async fn exempt_many(&self, actor: &Actor, whose: &[Whose]) -> Result<ExemptedMany, StoreError> {
        let keys = keys_of(whose)?;
        let (mut lifted, mut stay, mut exempted) = (Vec::new(), Vec::new(), Vec::new());
        let one = |draft: &mut Draft, now, key: &String| {
            let mut row = draft.row(key)?;
            row.end_watch(now);
            let was_exempt = row.exempt.is_some();
            row.exempt.get_or_insert_with(|| Exemption { since: now, operator: actor.who.clone() });
            let stays = row.now.as_ref().filter(|entry| entry.cause.is_will()).cloned();
            let ended = match &stays {
                Some(_) => None,
                None => row.end(Lifted { at: now, by: LiftedBy::Exemption, operator: actor.who.clone() }),
            };
            stay.extend(stays.map(|entry| listed(key, Some(entry), row.exempt.as_ref())));
            if was_exempt && ended.is_none() {
                return Ok(None);
            }
            draft.put_row(key, &row);
            if ended.is_some() {
                let mut history = draft.history(key)?;
                history.lift(now);
                draft.put_history(key, &history);
            }
            lifted.extend(ended.map(|entry| listed(key, Some(entry), row.exempt.as_ref())));
            Ok(Some(named(key)))
        };
        self.in_steps(actor, "suppress.exempt", &keys, one, &mut exempted).await?;
        Ok(ExemptedMany { exempted, lifted, stay })
    }

    /// Ends the exemption of each of these addresses: errors from now on count again. Answers those that were exempt.
    ///
    /// # Errors
    /// As for [`Suppressions::lift_many`].
    pub async fn end_exemptions(&self, actor: &Actor, whose: &[Whose]) -> Result<Vec<String>, StoreError> {
        let keys = keys_of(whose)?;
        let mut ended = Vec::new();
        let one = |draft: &mut Draft, now, key: &String| {
            let mut row = draft.row(key)?;
            row.end_watch(now);
            if row.exempt.take().is_none() {
                return Ok(None);
            }
            let mut history = draft.history(key)?;
            history.lift(now);
            draft.put_history(key, &history);
            draft.put_row(key, &row);
            Ok(Some(named(key)))
        };
        self.in_steps(actor, "suppress.exempt_end", &keys, one, &mut ended).await?;
        Ok(ended)
    }

    /// Puts each of these addresses on the list by hand; answers how many were not on it. Exemptions that they had are over.
    ///
    /// # Errors
    /// As for [`Suppressions::lift_many`].
    pub async fn add_many(&self, actor: &Actor, new: Vec<NewEntry>) -> Result<u64, StoreError> {
        let whose: Vec<Whose> = new.iter().map(|new| (new.address.clone(), new.user.clone())).collect();
        keys_of(&whose)?;
        let mut added = Vec::new();
        let one = |draft: &mut Draft, now, new: &NewEntry| {
            let key = key_of(&checked(&new.address)?, &new.user);
            let mut row = draft.row(&key)?;
            row.end_watch(now);
            if row.now.is_some() {
                return Ok(None);
            }
            row.exempt = None;
            row.now = Some(new.entry(draft.new_id(now), actor, now));
            draft.put_row(&key, &row);
            Ok(Some(named(&key)))
        };
        let result = self.in_steps(actor, "suppress.add", &new, one, &mut added).await;
        // Steps before one that failed are done.
        self.0.metrics.suppressed.add(added.len() as u64);
        result.map(|()| added.len() as u64)
    }

    /// Does one thing to each, step by step; `one` answers the name of what it changed. `changed`: those of the steps that are
    /// written, also where a later one fails.
    async fn in_steps<T>(
        &self,
        actor: &Actor,
        act: &str,
        all: &[T],
        mut one: impl FnMut(&mut Draft, Timestamp, &T) -> Result<Option<String>, StoreError>,
        changed: &mut Vec<String>,
    ) -> Result<(), StoreError> {
        for step in all.chunks(STEP) {
            let _turn = self.0.known.lock().await;
            let (mut draft, now) = (Draft::new(&self.0.memory), self.0.clock.now());
            let mut names = Vec::new();
            for item in step {
                names.extend(one(&mut draft, now, item)?);
            }
            self.tell(draft, actor, act, &names).await?;
            changed.extend(names);
        }
        Ok(())
    }

    /// Writes a step, if it changes anything.
    async fn tell(&self, draft: Draft, actor: &Actor, act: &str, names: &[String]) -> Result<(), StoreError> {
        match names {
            [] => Ok(()),
            [one] => self.write(draft, actor, act, one.clone(), String::new()).await,
            many => self.write(draft, actor, act, format!("{} addresses", many.len()), many.join(" ")).await,
        }
    }
}

fn keys_of(whose: &[Whose]) -> Result<Vec<String>, StoreError> {
    if whose.len() > MANY_MAX {
        return Err(StoreError::Refused(format!("{} addresses in one act: at most {MANY_MAX}", whose.len())));
    }
    let key = |(address, user): &Whose| Ok(key_of(&checked(address)?, user));
    let mut keys: Vec<String> = whose.iter().map(key).collect::<Result<_, StoreError>>()?;
    keys.sort_unstable();
    keys.dedup();
    Ok(keys)
}
