//! Figures that several rules draw from what was gathered.
//!
//! In: what was gathered, topics.  Out: figures, and how much they speak for a cause.
//! Always: nothing is claimed that the figures do not show; lists are short.

use std::{fmt::Display, hash::Hash};

use super::{
    figures::{Figure, Gathered, Kind},
    rules::{Evidence, since},
    tally::{About, Counter, Fared, Group, share},
    topic::Topic,
};
use crate::doctor::finding::Level;

/// Answers of a cause that are told when nothing else is said.
const ANSWERS: usize = 3;
/// Findings of a cause that are told.
const FINDINGS_MAX: usize = 4;
/// The score of a broken record that nobody refuses for yet: a hint.
const FLOOR: u32 = 28;
/// A name is told when at least so much lies on it.
const TOP_MIN: f64 = 0.5;
/// Topics that need no second word are believed to this part, where the doctor has not confirmed them.
const UNCONFIRMED: f64 = 0.85;
/// Others fare well when at most this share of theirs is refused.
const FINE: f64 = 0.1;

/// So many refusals are about this.
pub(super) fn found(topics: &[Topic], refusals: u64, g: &Gathered) -> Figure {
    let is_there = |topic: &Topic| g.tally.groups.iter().any(|group| group.topic == *topic);
    let mut topics: Vec<Topic> = topics.iter().copied().filter(is_there).collect();
    topics.sort_unstable();
    topics.dedup();
    Figure::About { topics, refusals, of: g.tally.refused() }
}

/// The answer of a group.
pub(super) fn shares_of(group: &Group) -> Figure {
    Figure::Answer {
        text: group.text.clone(),
        example: group.example.clone(),
        example_recipient: group.example_recipient.clone(),
        events: group.events,
        recipients: group.recipients(),
        destination: group.destinations.top().first().map(|(name, _)| (*name).clone()).unwrap_or_default(),
        first: group.first,
        last: group.last,
    }
}

/// The commonest answers.
pub(super) fn answers(about: &About<'_>, max: usize) -> Vec<Figure> {
    about.groups.iter().take(max).map(|group| shares_of(group)).collect()
}

/// The evidence of answers about these topics: their share.
pub(super) fn of_topics(g: &Gathered, topics: &[Topic]) -> Option<Evidence> {
    let about = g.tally.about(topics);
    if about.events == 0 {
        return None;
    }
    let mut figures = vec![found(topics, about.events, g)];
    figures.extend(since(about.first, g));
    figures.extend(top_provider(&about));
    figures.extend(answers(&about, ANSWERS));
    Some(Evidence { strength: share(about.events, g.tally.refused()), floor: 0, figures })
}

/// What the doctor found in some areas.
pub(super) fn finding_only(g: &Gathered, prefixes: &[&str], worst: Level) -> Vec<Figure> {
    let findings = prefixes.iter().flat_map(|prefix| g.findings_of(prefix, worst));
    let figure = |finding: &crate::doctor::finding::Finding| Figure::Finding {
        check: finding.check().to_owned(),
        level: finding.level,
        subject: finding.subject.clone(),
        finding: Box::new(finding.clone()),
    };
    findings.take(FINDINGS_MAX).map(figure).collect()
}

/// The score that broken records have by themselves.
pub(super) fn floor(findings: &[Figure]) -> u32 {
    let is_error = |figure: &Figure| matches!(figure, Figure::Finding { level: Level::Error, .. });
    if findings.iter().any(is_error) { FLOOR } else { 0 }
}

/// Something that the DNS should say: refusals about it, refusals that may be about it where the doctor confirms it, and what the doctor
/// found.
pub(super) fn authentication(g: &Gathered, area: &str, own: &[Topic], shared: &[Topic]) -> Option<Evidence> {
    let broken = finding_only(g, &[area], Level::Error);
    let is_broken = !broken.is_empty();
    let topics: Vec<Topic> = if is_broken { own.iter().chain(shared).copied().collect() } else { own.to_vec() };
    let about = g.tally.about(&topics);
    if about.events == 0 && !is_broken {
        return None;
    }
    let believed = if is_broken { 1.0 } else { UNCONFIRMED };
    let mut figures = Vec::new();
    if about.events > 0 {
        figures.push(found(&topics, about.events, g));
        figures.extend(since(about.first, g));
    }
    let floor = floor(&broken);
    let lately = g.broke.iter().filter(|broke| is_broken && broke.check.starts_with(area));
    figures.extend(lately.take(FINDINGS_MAX).cloned().map(Figure::Broke));
    figures.extend(if is_broken { broken } else { finding_only(g, &[area], Level::Warning) });
    figures.extend(top_provider(&about));
    figures.extend(answers(&about, ANSWERS));
    Some(Evidence { strength: share(about.events, g.tally.refused()) * believed, floor, figures })
}

/// The provider on which most of it lies.
fn top_provider(about: &About<'_>) -> Option<Figure> {
    let (provider, refusals) = about.top_provider();
    (share(refusals, about.events) >= TOP_MIN && provider != crate::deliver::provider::Provider::Other).then(|| {
        Figure::Concentrated { kind: Kind::Provider, name: provider.word().to_owned(), refusals, of: about.events }
    })
}

/// The name on which most of it lies, where there is one.
pub(super) fn top_name<K: Hash + Eq + Clone + Ord + Display>(
    kind: Kind,
    counter: &Counter<K>,
    of: u64,
) -> Option<Figure> {
    let (name, refusals) = counter.top().into_iter().next()?;
    let name = name.to_string();
    (share(refusals, of) >= TOP_MIN && !name.is_empty()).then_some(Figure::Concentrated { kind, name, refusals, of })
}

/// How one fares, and all others.
pub(super) fn others<'f>(
    kind: Kind,
    name: &str,
    own: Option<&Fared>,
    all: impl Iterator<Item = &'f Fared>,
) -> Option<Figure> {
    let own = own?;
    let (refused, tries) = all.fold((0, 0), |(refused, tries), f| (refused + f.refused, tries + f.tries()));
    let (others_refused, others_tries) = (refused.saturating_sub(own.refused), tries.saturating_sub(own.tries()));
    (others_tries > 0).then(|| Figure::Fares {
        kind,
        name: name.to_owned(),
        refused: own.refused,
        tries: own.tries(),
        others_refused,
        others_tries,
    })
}

/// All others are reached, by and large, and this one fares much worse.
pub(super) fn elsewhere_fine<'f>(own: Option<&Fared>, all: impl Iterator<Item = &'f Fared>) -> bool {
    let Some(own) = own else { return false };
    let (refused, tries) = all.fold((0, 0), |(refused, tries), f| (refused + f.refused, tries + f.tries()));
    let (refused, tries) = (refused.saturating_sub(own.refused), tries.saturating_sub(own.tries()));
    tries > 0 && share(refused, tries) <= FINE && own.rate() >= 2.0 * share(refused, tries)
}
