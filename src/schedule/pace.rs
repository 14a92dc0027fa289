//! The speeds that delivery-speed rules set, each shared by all sites that it matches: connections and a token bucket.
//!
//! In: starts, ends, sites that wait.  Out: whether a start fits now, and which waiting site is next.
//! Always: two starts of a rule are at least its interval apart; sites that wait take turns, high before normal before low
//! but low at least every tenth time (R5); a site that comes later does not overtake those of its class that wait.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use super::{
    fair::{CLASSES, Turns, may_hold},
    place::Rate,
    site::SiteRef,
};
use crate::{clock::Timestamp, event::Class};

/// A rule's speed in RAM.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct PaceRef(u32);

/// A site's place among those that wait for a rule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Parked {
    pub(super) class: Class,
    order: u64,
}

/// Whether a start fits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Gate {
    Open,
    /// The next token comes at this time.
    At(Timestamp),
    /// Others are in the way; their end opens it.
    Full,
}

/// The speed of one rule.
#[derive(Debug)]
pub(super) struct Pace {
    pub(super) rate: Rate,
    pub(super) busy: [usize; CLASSES],
    next_at: Timestamp,
    turns: Turns,
    waiting: [BTreeSet<(u64, SiteRef)>; CLASSES],
    order: u64,
    /// The waiting site whose turn it is now.
    called: Option<SiteRef>,
    /// Sites that match it.
    sites: usize,
}

impl Pace {
    fn window(&self) -> usize {
        self.rate.connections_max.unwrap_or(usize::MAX)
    }

    /// When the next token comes.
    pub(super) fn next_at(&self) -> Timestamp {
        self.next_at
    }

    /// Sites that wait for it.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.iter().map(BTreeSet::len).sum()
    }

    fn gate(&self, class: Class, now: Timestamp) -> Gate {
        if !may_hold(class, &self.busy, self.window()) {
            return Gate::Full;
        }
        // A clock that stepped back must not close it for longer than one interval.
        if now < self.next_at && self.next_at.since(now) <= self.rate.interval {
            return Gate::At(self.next_at);
        }
        Gate::Open
    }

    /// Whether `site` may start one of `class` now.
    pub(super) fn may_start(&self, site: SiteRef, class: Class, now: Timestamp) -> Gate {
        let gate = self.gate(class, now);
        let overtakes = self.called != Some(site)
            && (self.called.is_some() || self.waiting[..=class as usize].iter().any(|w| !w.is_empty()));
        if gate == Gate::Open && overtakes { Gate::Full } else { gate }
    }

    pub(super) fn started(&mut self, class: Class, now: Timestamp) {
        self.busy[class as usize] += 1;
        self.turns.started(class);
        self.next_at = now.plus(self.rate.interval);
    }

    pub(super) fn park(&mut self, site: SiteRef, class: Class) -> Parked {
        self.order += 1;
        self.waiting[class as usize].insert((self.order, site));
        Parked { class, order: self.order }
    }

    pub(super) fn unpark(&mut self, site: SiteRef, parked: Parked) {
        self.waiting[parked.class as usize].remove(&(parked.order, site));
    }

    /// The site that was called has been looked at.
    pub(super) fn looked_at(&mut self, site: SiteRef) {
        if self.called == Some(site) {
            self.called = None;
        }
    }

    /// Calls the next waiting site, if a start of its class fits and nobody is called yet.
    pub(super) fn call(&mut self, now: Timestamp, low_share_percent: usize) -> Option<SiteRef> {
        if self.called.is_some() {
            return None;
        }
        let waits = [0, 1, 2].map(|class: usize| !self.waiting[class].is_empty());
        let open = |class: &Class| self.gate(*class, now) == Gate::Open;
        let class = self.turns.order(waits, &self.busy, low_share_percent).find(open)?;
        let (_, site) = self.waiting[class as usize].pop_first()?;
        self.called = Some(site);
        Some(site)
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Paces {
    all: Vec<Option<Pace>>,
    by_rule: HashMap<Arc<str>, PaceRef>,
}

impl Paces {
    pub(super) fn get(&self, at: PaceRef) -> Option<&Pace> {
        self.all.get(at.0 as usize).and_then(Option::as_ref)
    }

    pub(super) fn get_mut(&mut self, at: PaceRef) -> Option<&mut Pace> {
        self.all.get_mut(at.0 as usize).and_then(Option::as_mut)
    }

    /// The speed of that rule for one site more, with the newest numbers.
    pub(super) fn join(&mut self, rate: &Rate) -> PaceRef {
        if let Some(at) = self.by_rule.get(&rate.rule).copied()
            && let Some(pace) = self.get_mut(at)
        {
            pace.rate = rate.clone();
            pace.sites += 1;
            return at;
        }
        let place = self.all.iter().position(Option::is_none).unwrap_or_else(|| {
            self.all.push(None);
            self.all.len() - 1
        });
        self.all[place] = Some(Pace {
            rate: rate.clone(),
            busy: [0; CLASSES],
            next_at: Timestamp::ZERO,
            turns: Turns::default(),
            waiting: [const { BTreeSet::new() }; CLASSES],
            order: 0,
            called: None,
            sites: 1,
        });
        let at = PaceRef(u32::try_from(place).unwrap_or(u32::MAX));
        self.by_rule.insert(rate.rule.clone(), at);
        at
    }

    /// The newest numbers of a rule that a site has joined.
    pub(super) fn renew(&mut self, at: PaceRef, rate: &Rate) {
        if let Some(pace) = self.get_mut(at)
            && pace.rate != *rate
        {
            pace.rate = rate.clone();
        }
    }

    /// A site matches it no more.
    pub(super) fn leave(&mut self, at: PaceRef) {
        if let Some(pace) = self.get_mut(at) {
            pace.sites = pace.sites.saturating_sub(1);
        }
        self.forget_unused(at);
    }

    pub(super) fn finished(&mut self, at: PaceRef, class: Class) {
        if let Some(pace) = self.get_mut(at) {
            let busy = &mut pace.busy[class as usize];
            *busy = busy.saturating_sub(1);
        }
        self.forget_unused(at);
    }

    fn forget_unused(&mut self, at: PaceRef) {
        let unused = self.get(at).is_some_and(|p| p.sites == 0 && p.busy == [0; CLASSES]);
        if unused && let Some(pace) = self.all[at.0 as usize].take() {
            self.by_rule.remove(&pace.rate.rule);
        }
    }
}
