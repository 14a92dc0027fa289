//! What large providers ask of senders, held against what the other checks found and what was counted.
//!
//! In: the table of rules, what is known, the streams of the last days.  Out: the volume, and each requirement, for each provider.
//! Always: a requirement that rests on a check without an answer is unknown, not unmet; figures are those of this server alone.
//! Sources: `doctor/rules.rs`.

use super::{Case, Known, Outcome};
use crate::{
    config::TlsPolicy,
    deliver::{
        provider,
        streams::{self, Counts, DayCounts},
    },
    doctor::{
        finding::{Bulk, Finding, Level, Provider, Requirement, Seen, State},
        rules::{RULES, Rules},
    },
    store::Memos,
};

/// Days that are looked at, today included.
const DAYS: u32 = 14;
/// The figure that stands for "bulk" where a provider names none, for how bad a finding is, and no claim about the provider.
const BULK_USUALLY: u64 = 5_000;
/// From four fifths of the figure on a sender is told as if it were over it: the busiest day comes without warning.
const NEAR_PERCENT: u64 = 80;

/// What was counted.
#[derive(Clone, Default)]
pub(in crate::doctor) struct Streams {
    /// The busiest day at each provider, of the whole organization: so do they count.
    busiest: Vec<(Provider, u64)>,
    /// What the domain itself sent to each.
    own: Vec<(Provider, Counts)>,
}

impl Streams {
    /// Reads them. Blocking. `None`: the store did not say, which was logged.
    pub fn read(memos: &dyn Memos, organization: &str, domain: &str, today: u32) -> Option<Self> {
        let from = (today + 1).saturating_sub(DAYS);
        match streams::days(memos, organization, from, today) {
            Ok(rows) => Some(Self::of(&rows, domain)),
            Err(error) => {
                log::warn!("domain={domain} streams=unread error={error}");
                None
            }
        }
    }

    fn of(rows: &[DayCounts], domain: &str) -> Self {
        let mut all = Streams::default();
        for rules in RULES {
            let provider = rules.provider;
            let here: Vec<&DayCounts> = rows.iter().filter(|row| row.provider == row_name(provider)).collect();
            let mut days: Vec<(u32, u64)> = Vec::new();
            for row in &here {
                match days.iter_mut().find(|(day, _)| *day == row.day) {
                    Some((_, sum)) => *sum = sum.saturating_add(row.counts.volume()),
                    None => days.push((row.day, row.counts.volume())),
                }
            }
            if let Some(most) = days.iter().map(|(_, sum)| *sum).max() {
                all.busiest.push((provider, most));
            }
            let mut own = Counts::default();
            here.iter().filter(|row| row.domain == domain).for_each(|row| own.add(&row.counts));
            if own.delivered > 0 {
                all.own.push((provider, own));
            }
        }
        all
    }

    fn busiest(&self, provider: Provider) -> u64 {
        self.busiest.iter().find(|(known, _)| *known == provider).map_or(0, |(_, most)| *most)
    }

    fn own(&self, provider: Provider) -> Option<&Counts> {
        self.own.iter().find(|(known, _)| *known == provider).map(|(_, counts)| counts)
    }
}

fn row_name(provider: Provider) -> provider::Provider {
    match provider {
        Provider::Gmail => provider::Provider::Gmail,
        Provider::Yahoo => provider::Provider::Yahoo,
        Provider::Microsoft => provider::Provider::Microsoft,
    }
}

pub(super) fn check(case: &Case<'_>, known: &Known, passes: Option<bool>, streams: Option<&Streams>) -> Outcome {
    let mut outcome = Outcome::default();
    let none = Streams::default();
    let streams = streams.unwrap_or(&none);
    if streams.busiest.is_empty() {
        outcome.found(Finding::new(Level::Note, case.domain, Seen::Bulk(Bulk::NoFigures)));
    }
    for rules in RULES {
        let provider = rules.provider;
        let busiest = streams.busiest(provider);
        if busiest > 0 {
            let near = busiest >= near(rules.bulk_from.unwrap_or(u64::MAX));
            let level = if near { Level::Note } else { Level::Ok };
            let seen = Bulk::Volume { provider, busiest, days: DAYS, bulk_from: rules.bulk_from };
            outcome.found(Finding::new(level, case.domain, Seen::Bulk(seen)));
        }
        let asked = rules.of_all.iter().map(|r| (*r, true)).chain(rules.of_bulk.iter().map(|r| (*r, false)));
        for (requirement, of_all) in asked {
            let state = state(case, known, passes, streams.own(provider), requirement);
            let level = level(rules, requirement, of_all, state, busiest);
            let seen = Bulk::Rule { provider, requirement, of_all, state, busiest };
            outcome.found(Finding::new(level, case.domain, Seen::Bulk(seen)));
        }
    }
    outcome
}

/// The volume from which on somebody is nearly a bulk sender.
fn near(from: u64) -> u64 {
    (from / 100).saturating_mul(NEAR_PERCENT)
}

fn state(
    case: &Case<'_>,
    known: &Known,
    passes: Option<bool>,
    counts: Option<&Counts>,
    requirement: Requirement,
) -> State {
    let of = |answer: Option<bool>| match answer {
        Some(true) => State::Met,
        Some(false) => State::Unmet,
        None => State::Unknown,
    };
    let share = |part: fn(&Counts) -> u64| match counts {
        None => State::Unknown,
        Some(counts) => match percent(part(counts), counts.delivered) {
            100 => State::Met,
            0 => State::Unmet,
            percent => State::Partly { percent },
        },
    };
    match requirement {
        Requirement::Spf => of(known.spf),
        Requirement::Dkim => of(known.dkim),
        Requirement::DmarcRecord => of(known.dmarc.as_ref().and_then(|found| match (&found.trouble, found.applies) {
            (_, true) => Some(true),
            (None, false) => Some(false),
            (Some(_), false) => None,
        })),
        Requirement::Alignment => of(passes),
        Requirement::ReverseDns => of(known.reverse),
        Requirement::Tls if counts.is_none() && case.config.delivery.tls == TlsPolicy::None => State::Unmet,
        Requirement::Tls => share(|counts| counts.tls),
        Requirement::OneClick => share(|counts| counts.one_click),
    }
}

/// Of a hundred; neither none nor all unless it is.
fn percent(part: u64, whole: u64) -> u8 {
    match (part, whole) {
        (0, _) | (_, 0) => 0,
        (part, whole) if part >= whole => 100,
        (part, whole) => u8::try_from((u128::from(part) * 100 / u128::from(whole)).clamp(1, 99)).unwrap_or(99),
    }
}

fn level(rules: &Rules, requirement: Requirement, of_all: bool, state: State, busiest: u64) -> Level {
    let is_bulk = busiest >= near(rules.bulk_from.unwrap_or(BULK_USUALLY));
    match state {
        State::Met => Level::Ok,
        State::Unknown => Level::Note,
        // Mail that nobody subscribed to, such as receipts, needs none: what share should have it is not known here.
        State::Unmet if requirement == Requirement::OneClick && is_bulk => Level::Warning,
        State::Unmet | State::Partly { .. } if requirement == Requirement::OneClick => Level::Note,
        State::Partly { .. } => Level::Warning,
        State::Unmet if of_all && busiest > 0 || is_bulk => Level::Error,
        State::Unmet if of_all => Level::Warning,
        State::Unmet => Level::Note,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_whole_only_when_they_are() {
        for (part, whole, want) in
            [(0, 0, 0), (0, 9, 0), (1, 100_000, 1), (1, 3, 33), (99_999, 100_000, 99), (7, 7, 100)]
        {
            assert_eq!(percent(part, whole), want, "{part} of {whole}");
        }
    }

    #[test]
    fn the_busiest_day_is_the_organizations_and_the_shares_are_the_domains_own() {
        let row = |day, domain: &str, delivered, tls| {
            let mut counts = Counts::default();
            (counts.delivered, counts.tls) = (delivered, tls);
            DayCounts { day, domain: domain.into(), provider: provider::Provider::Gmail, counts }
        };
        let rows = [
            row(1, "example.jp", 2_000, 2_000),
            row(1, "shop.example.jp", 2_500, 0),
            row(2, "example.jp", 3_000, 2_500),
        ];
        let streams = Streams::of(&rows, "example.jp");
        assert_eq!(streams.busiest(Provider::Gmail), 4_500);
        assert_eq!(streams.own(Provider::Gmail).map(|c| (c.delivered, c.tls)), Some((5_000, 4_500)));
        assert_eq!((streams.busiest(Provider::Yahoo), streams.own(Provider::Yahoo).is_none()), (0, true));
    }

    #[test]
    fn how_bad_it_is_depends_on_the_volume_and_on_whom_it_is_asked_of() {
        let gmail = crate::doctor::rules::of(Provider::Gmail);
        for (requirement, of_all, state, busiest, want) in [
            (Requirement::Dkim, false, State::Unmet, 100, Level::Note),
            (Requirement::Dkim, false, State::Unmet, 3_999, Level::Note),
            (Requirement::Dkim, false, State::Unmet, 4_000, Level::Error),
            (Requirement::Dkim, false, State::Unknown, 9_000, Level::Note),
            (Requirement::ReverseDns, true, State::Unmet, 1, Level::Error),
            (Requirement::ReverseDns, true, State::Unmet, 0, Level::Warning),
            (Requirement::OneClick, false, State::Unmet, 9_000, Level::Warning),
            (Requirement::OneClick, false, State::Partly { percent: 40 }, 9_000, Level::Note),
            (Requirement::Tls, true, State::Partly { percent: 99 }, 10, Level::Warning),
            (Requirement::Tls, true, State::Met, 10, Level::Ok),
        ] {
            assert_eq!(level(gmail, requirement, of_all, state, busiest), want, "{requirement:?} {state:?} {busiest}");
        }
    }
}
