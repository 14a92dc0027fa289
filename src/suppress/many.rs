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
use crate::store::StoreError;

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
        for step in keys.chunks(STEP) {
            let _turn = self.0.known.lock().await;
            let (mut draft, now) = (Draft::new(&self.0.memory), self.0.clock.now());
            let mut names = Vec::new();
            for key in step {
                if let Some(row) = lift(&mut draft, key, now, LiftedBy::Lift, &actor.who)? {
                    names.push(named(key));
                    lifted.push(row);
                }
            }
            self.tell(draft, actor, "suppress.lift", &names).await?;
        }
        Ok(lifted)
    }

    /// Exempts each of these addresses for good (CMC's delete).
    ///
    /// # Errors
    /// As for [`Suppressions::lift_many`].
    pub async fn exempt_many(&self, actor: &Actor, whose: &[Whose]) -> Result<ExemptedMany, StoreError> {
        let keys = keys_of(whose)?;
        let mut done = ExemptedMany::default();
        for step in keys.chunks(STEP) {
            let _turn = self.0.known.lock().await;
            let (mut draft, now) = (Draft::new(&self.0.memory), self.0.clock.now());
            let mut names = Vec::new();
            for key in step {
                let mut row = draft.row(key)?;
                row.end_watch(now);
                let was_exempt = row.exempt.is_some();
                row.exempt.get_or_insert_with(|| Exemption { since: now, operator: actor.who.clone() });
                let stays = row.now.as_ref().filter(|entry| entry.cause.is_will()).cloned();
                let ended = match &stays {
                    Some(_) => None,
                    None => row.end(Lifted { at: now, by: LiftedBy::Exemption, operator: actor.who.clone() }),
                };
                if was_exempt && ended.is_none() {
                    done.stay.extend(stays.map(|entry| listed(key, Some(entry), row.exempt.as_ref())));
                    continue;
                }
                draft.put_row(key, &row);
                if ended.is_some() {
                    let mut history = draft.history(key)?;
                    history.lift(now);
                    draft.put_history(key, &history);
                }
                names.push(named(key));
                done.stay.extend(stays.map(|entry| listed(key, Some(entry), row.exempt.as_ref())));
                done.lifted.extend(ended.map(|entry| listed(key, Some(entry), row.exempt.as_ref())));
            }
            self.tell(draft, actor, "suppress.exempt", &names).await?;
            done.exempted.extend(names);
        }
        Ok(done)
    }

    /// Ends the exemption of each of these addresses: errors from now on count again. Answers those that were exempt.
    ///
    /// # Errors
    /// As for [`Suppressions::lift_many`].
    pub async fn end_exemptions(&self, actor: &Actor, whose: &[Whose]) -> Result<Vec<String>, StoreError> {
        let keys = keys_of(whose)?;
        let mut ended = Vec::new();
        for step in keys.chunks(STEP) {
            let _turn = self.0.known.lock().await;
            let (mut draft, now) = (Draft::new(&self.0.memory), self.0.clock.now());
            let mut names = Vec::new();
            for key in step {
                let mut row = draft.row(key)?;
                row.end_watch(now);
                if row.exempt.take().is_none() {
                    continue;
                }
                let mut history = draft.history(key)?;
                history.lift(now);
                draft.put_history(key, &history);
                draft.put_row(key, &row);
                names.push(named(key));
            }
            self.tell(draft, actor, "suppress.exempt_end", &names).await?;
            ended.extend(names);
        }
        Ok(ended)
    }

    /// Puts each of these addresses on the list by hand; answers how many were not on it. Exemptions that they had are over.
    ///
    /// # Errors
    /// As for [`Suppressions::lift_many`].
    pub async fn add_many(&self, actor: &Actor, new: Vec<NewEntry>) -> Result<u64, StoreError> {
        let whose: Vec<Whose> = new.iter().map(|new| (new.address.clone(), new.user.clone())).collect();
        keys_of(&whose)?;
        let mut added = 0;
        for step in new.chunks(STEP) {
            let _turn = self.0.known.lock().await;
            let (mut draft, now) = (Draft::new(&self.0.memory), self.0.clock.now());
            let mut names = Vec::new();
            for new in step {
                let key = key_of(&checked(&new.address)?, &new.user);
                let mut row = draft.row(&key)?;
                row.end_watch(now);
                if row.now.is_some() {
                    continue;
                }
                row.exempt = None;
                row.now = Some(new.entry(draft.new_id(now), actor, now));
                draft.put_row(&key, &row);
                names.push(named(&key));
            }
            self.tell(draft, actor, "suppress.add", &names).await?;
            added += names.len() as u64;
            self.0.metrics.suppressed.add(names.len() as u64);
        }
        Ok(added)
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
