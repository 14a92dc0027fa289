//! The leads of a message while it is in RAM: made once, for whoever tries it.
//!
//! In: leads as they are made or read back.  Out: the same, to every attempt of the message.
//! Always: mail that leaves as it was stored has no slot, and costs nothing here; only one maker is at work for a message; what a
//! list's mail has of its own for each recipient is held only while that recipient is tried.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use bytes::Bytes;

/// What stands in front of a recipient's copy of the stored message: whole header fields. Printed, it tells its length.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Lead {
    /// It is this recipient's alone; else all recipients of the message share it.
    pub own: bool,
    /// The octets; empty: nothing stands there.
    pub octets: Bytes,
}

impl std::fmt::Debug for Lead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Lead({}, {} octets)", if self.own { "own" } else { "shared" }, self.octets.len())
    }
}

/// A lead as it is kept. Printed, it tells its length.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredLead {
    /// Whose it is; `None`: all recipients share it, but for those who have one of their own.
    pub index: Option<u32>,
    /// The octets.
    pub octets: Bytes,
}

impl std::fmt::Debug for StoredLead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StoredLead({:?}, {} octets)", self.index, self.octets.len())
    }
}

/// The place of the slot beside a message in RAM.
#[derive(Clone, Debug, Default)]
pub struct Leads(OnceLock<Arc<LeadSlot>>);

impl Leads {
    /// Leads that were read back; they are not stored again.
    pub fn stored(leads: Vec<StoredLead>) -> Self {
        let out = Leads::default();
        if !leads.is_empty() {
            let slot = LeadSlot::default();
            let mut held = slot.held();
            for lead in leads {
                let octets = Made { octets: lead.octets, stored: true };
                match lead.index {
                    Some(index) => drop(held.own.insert(index, octets)),
                    None => held.shared = Some(octets),
                }
            }
            drop(held);
            out.join(|| Arc::new(slot));
        }
        out
    }

    /// The slot, if there is one.
    pub fn slot(&self) -> Option<&Arc<LeadSlot>> {
        self.0.get()
    }

    /// The slot; the one that `find` names where there was none.
    pub fn join(&self, find: impl FnOnce() -> Arc<LeadSlot>) -> &Arc<LeadSlot> {
        self.0.get_or_init(find)
    }
}

/// What is known of a message's leads.
#[derive(Debug, Default)]
pub struct LeadSlot {
    making: smol::lock::Mutex<()>,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    body_hash: Option<[u8; 32]>,
    shared: Option<Made>,
    own: BTreeMap<u32, Made>,
}

#[derive(Debug)]
struct Made {
    octets: Bytes,
    /// It is on disk.
    stored: bool,
}

impl LeadSlot {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nobody else makes a lead of this message.
    pub async fn making(&self) -> smol::lock::MutexGuard<'_, ()> {
        self.making.lock().await
    }

    /// The lead that is this recipient's alone.
    pub fn own(&self, index: u32) -> Option<Lead> {
        let held = self.held();
        held.own.get(&index).map(|made| Lead { own: true, octets: made.octets.clone() })
    }

    /// The lead of those who have none of their own.
    pub fn shared(&self) -> Option<Lead> {
        self.held().shared.as_ref().map(|made| Lead { own: false, octets: made.octets.clone() })
    }

    /// Remembers a lead that was made for this recipient, or for all.
    pub fn put(&self, index: u32, lead: &Lead) {
        let made = Made { octets: lead.octets.clone(), stored: false };
        let mut held = self.held();
        match lead.own {
            true => drop(held.own.insert(index, made)),
            false => held.shared = Some(made),
        }
    }

    /// The hash of the body, once it is known.
    pub fn body_hash(&self) -> Option<[u8; 32]> {
        self.held().body_hash
    }

    /// Remembers it.
    pub fn put_body_hash(&self, hash: [u8; 32]) {
        self.held().body_hash = Some(hash);
    }

    /// The try of this recipient is over: its own lead is forgotten here. Answers what is to be kept for the next try, if it is not
    /// on disk yet.
    pub fn over(&self, index: u32) -> Option<Lead> {
        let mut held = self.held();
        let (own, made) = match held.own.remove(&index) {
            Some(made) => (true, made),
            None => {
                let made = held.shared.as_ref()?;
                (false, Made { octets: made.octets.clone(), stored: made.stored })
            }
        };
        (!made.stored && !made.octets.is_empty()).then_some(Lead { own, octets: made.octets })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn octets(lead: Option<Lead>) -> Option<(bool, Vec<u8>)> {
        lead.map(|lead| (lead.own, lead.octets.to_vec()))
    }

    #[test]
    fn what_is_on_disk_or_empty_is_not_kept_again() {
        let stored = vec![
            StoredLead { index: None, octets: Bytes::from_static(b"S") },
            StoredLead { index: Some(2), octets: Bytes::from_static(b"O") },
        ];
        let leads = Leads::stored(stored);
        let slot = leads.slot().unwrap();
        assert_eq!(octets(slot.own(2)), Some((true, b"O".to_vec())));
        assert_eq!((octets(slot.own(1)), octets(slot.shared())), (None, Some((false, b"S".to_vec()))));
        assert_eq!((slot.over(1), slot.over(2)), (None, None));
        assert_eq!(slot.own(2), None, "held while it is tried");
        assert!(Leads::stored(Vec::new()).slot().is_none());

        let leads = Leads::default();
        let slot = leads.join(Arc::default);
        slot.put(0, &Lead::default());
        assert_eq!((octets(slot.shared()), slot.over(0)), (Some((false, Vec::new())), None));
        slot.put(0, &Lead { own: true, octets: Bytes::from_static(b"A") });
        slot.put(1, &Lead { own: false, octets: Bytes::from_static(b"B") });
        assert_eq!(octets(slot.over(0)), Some((true, b"A".to_vec())));
        assert_eq!(octets(slot.over(0)), Some((false, b"B".to_vec())));
        assert!(Arc::ptr_eq(leads.join(Arc::default), slot), "the first stays");
    }
}
