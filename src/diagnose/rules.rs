//! **The one table**: which causes there are, what speaks for each, and how much each weighs.
//!
//! In: what was gathered.  Out: [`Cause`]s, the likeliest first.
//! Always: the same figures give the same order; a cause without a figure is none; at most [`CAUSES_MAX`], none below [`SCORE_MIN`].
//!
//! A rule answers how much speaks for it, 0 to 1: in most of them the share of the refusals that it explains. Its score is that times
//! its weight, times how bad things are at all: refusals of a fiftieth of all tries count in full, fewer count less, so that three odd
//! answers among a million alarm nobody. Weights say which of two explanations of the same refusals an operator should look at first:
//! what somebody broke or changed before what merely is so, the reason before its effect. They differ by a few points only where two
//! rules explain the same answers.
//! Sources: PRODUCT.md R10; issue 6 part 4.

use super::{
    delist,
    evidence::{
        answers, authentication, elsewhere_fine, finding_only, floor, found, of_topics, others, shares_of, top_name,
    },
    figures::{Cause, CauseId, Figure, Gathered, Kind},
    tally::{Fared, share},
    topic::Topic,
};
use crate::{
    clock::{DAY_MILLIS, Timestamp},
    deliver::provider::Provider,
    doctor::finding::Level,
};

/// Causes that are told.
pub const CAUSES_MAX: usize = 8;
/// Below this score a cause is not told.
pub const SCORE_MIN: u32 = 15;
/// Refusals that are this share of all tries count in full.
const RATE_IN_FULL: f64 = 0.02;
/// A destination is looked at by itself from so many tries on …
const PLACE_TRIES_MIN: u64 = 10;
/// … and counts for this much where a fifth of them is refused, however well all others go.
const PLACE_SEVERITY: f64 = 0.7;
/// See [`PLACE_SEVERITY`].
const PLACE_RATE: f64 = 0.2;
/// Fewer refusals than this are half a case.
const EVENTS_MIN: u64 = 3;
/// A rule that was loosened longer ago than this explains nothing new.
pub const LOOSENED_WITHIN_DAYS: u64 = 30;
/// A volume below this a day is no volume, whatever it was before.
const VOLUME_MIN: u64 = 100;
/// Mails of a sample below which nobody can say that a subject is new.
const SAMPLE_MIN: u64 = 20;
/// A subject grew when its share is this many times the one before.
const GREW: f64 = 5.0;
/// Unknown users among results from which a list is dead.
const DEAD_RATE: f64 = 0.05;
/// A list that one destination alone names, and that is none of the public ones, counts for this much.
const OWN_LIST: f64 = 0.8;
/// The score of recipients on our own lists at most: the weight of their rule.
const OWN_LISTS_MAX: u32 = 38;
/// Complaints among the delivered that providers do not bear (Gmail's and Yahoo's limit).
const COMPLAINT_RATE: f64 = 0.003;

/// What speaks for a rule.
pub(super) struct Evidence {
    /// 0 to 1.
    pub strength: f64,
    /// At least this score, whatever the share of refusals is: something is wrong even if nobody refuses yet.
    pub floor: u32,
    /// The figures.
    pub figures: Vec<Figure>,
}

/// A rule.
struct Rule {
    id: CauseId,
    /// The score of full evidence, 1 to 100.
    weight: u32,
    /// Why it weighs so much; read by people alone.
    #[cfg_attr(not(test), allow(dead_code, reason = "the documentation of the weights, which a test reads"))]
    because: &'static str,
    find: fn(&Gathered) -> Option<Evidence>,
}

const fn rule(id: CauseId, weight: u32, because: &'static str, find: fn(&Gathered) -> Option<Evidence>) -> Rule {
    Rule { id, weight, because, find }
}

/// The table.
#[rustfmt::skip]
const RULES: &[Rule] = &[
    rule(CauseId::Dkim, 95, "broken signatures turn every provider away at once, and the fix is one record", dkim),
    rule(CauseId::Spf, 94, "as DKIM, but DKIM alone may carry DMARC", spf),
    rule(CauseId::ReverseDns, 93, "no name, no mail at the largest providers; the fix is one record", reverse_dns),
    rule(CauseId::SenderDomain, 92, "a sender that cannot be answered is refused everywhere", sender_domain),
    rule(CauseId::Dmarc, 91, "usually the effect of SPF or DKIM, which come first where they are broken", dmarc),
    rule(CauseId::RuleLoosened, 90, "the one cause that we made ourselves, with a date and a way back", rule_loosened),
    rule(CauseId::Blocklist, 88, "the answer names the list; until it is left, nothing else helps", blocklist),
    rule(CauseId::Authentication, 87, "as DKIM and SPF, but the answer does not say which", any_authentication),
    rule(CauseId::NewSubject, 86, "a campaign that began when the refusals did", new_subject),
    rule(CauseId::Volume, 85, "sudden volume explains limits and a worse name, not the other way round", volume),
    rule(CauseId::DeadList, 84, "a list with many dead addresses ruins the name for all other mail", dead_list),
    rule(CauseId::OwnNetwork, 82, "when nothing can be reached, the others are not to blame", own_network),
    rule(CauseId::OneSource, 81, "one of our addresses is refused while the others pass", one_source),
    rule(CauseId::OneProvider, 80, "one provider's view of us, while all others take the mail", one_provider),
    rule(CauseId::OneRecipient, 78, "a single mailbox that is tried again and again is no trouble of the domain", one_recipient),
    rule(CauseId::WarmUp, 76, "new addresses are met with limits; that passes", warm_up),
    rule(CauseId::OneDestination, 74, "a destination in trouble; its mail waits and goes by itself", one_destination),
    rule(CauseId::Speed, 72, "limits that a speed rule would keep", speed),
    rule(CauseId::OneSubject, 71, "one mail among many is refused for what it says", one_subject),
    rule(CauseId::Sender, 70, "the sender's address is not wanted there", |g| of_topics(g, &[Topic::Sender])),
    rule(CauseId::Reputation, 68, "a bad name without a place of its own", reputation),
    rule(CauseId::Attachment, 67, "plain words, and plain to mend", |g| of_topics(g, &[Topic::Attachment])),
    rule(CauseId::Size, 67, "plain words, and plain to mend", size),
    rule(CauseId::Content, 66, "taken for spam, without one subject that sticks out", |g| of_topics(g, &[Topic::Content])),
    rule(CauseId::Form, 65, "the program that writes the mail has a fault", |g| of_topics(g, &[Topic::Form])),
    rule(CauseId::Tls, 64, "one side's TLS set-up", |g| of_topics(g, &[Topic::Tls])),
    rule(CauseId::Setup, 63, "the destination's set-up, or a smarthost's login", |g| of_topics(g, &[Topic::Setup])),
    rule(CauseId::Complaints, 60, "complaints come before blocks do", complaints),
    rule(CauseId::OldAddresses, 56, "dead addresses as ever: the suppression list is made for them", old_addresses),
    rule(CauseId::Brake, 55, "a provider in an outage may say that nobody exists", brake),
    rule(CauseId::OneUser, 54, "one program among several makes the trouble", one_user),
    rule(CauseId::Policy, 52, "the destination's own rules", |g| of_topics(g, &[Topic::Policy])),
    rule(CauseId::Filtered, 50, "recipients who do not want this mail", |g| of_topics(g, &[Topic::Filtered])),
    rule(CauseId::MailboxFull, 48, "many full mailboxes: old recipients, as a rule", |g| of_topics(g, &[Topic::MailboxFull])),
    rule(CauseId::Greylisting, 40, "it passes at the next try", |g| of_topics(g, &[Topic::Greylisting])),
    rule(CauseId::OwnLists, 38, "nobody refused them but we", own_lists),
    rule(CauseId::Unknown, 36, "nothing knows these answers: somebody should read them", |g| of_topics(g, &[Topic::Unknown])),
];

/// The causes, the likeliest first.
pub fn rank(gathered: &Gathered) -> Vec<Cause> {
    let severity = severity(gathered);
    let cause = |rule: &Rule| {
        let evidence = (rule.find)(gathered)?;
        let score = f64::from(rule.weight) * evidence.strength.clamp(0.0, 1.0) * severity;
        let score = (score.round() as u32).max(evidence.floor.min(rule.weight));
        (score >= SCORE_MIN && !evidence.figures.is_empty()).then_some(Cause {
            id: rule.id,
            score,
            figures: evidence.figures,
        })
    };
    let mut causes: Vec<Cause> = RULES.iter().filter_map(cause).collect();
    causes.sort_by_key(|cause| std::cmp::Reverse(cause.score));
    causes.truncate(CAUSES_MAX);
    causes
}

/// How bad things are, 0 to 1.
fn severity(g: &Gathered) -> f64 {
    let refused = g.tally.refused();
    let overall = (g.tally.refused_rate() / RATE_IN_FULL).min(1.0);
    let places = g.tally.destinations.values();
    let bad = |f: &&Fared| f.tries() >= PLACE_TRIES_MIN && f.rate() >= PLACE_RATE;
    let worst = if places.filter(bad).count() > 0 { PLACE_SEVERITY } else { 0.0 };
    let enough = if refused < EVENTS_MIN { 0.5 } else { 1.0 };
    // Where nothing was refused, only what counts without refusals is told: broken records, our own lists.
    if refused == 0 { 1.0 } else { overall.max(worst) * enough }
}

fn dkim(g: &Gathered) -> Option<Evidence> {
    authentication(g, "dkim.", &[Topic::Dkim], &[Topic::Authentication, Topic::Dmarc])
}

fn spf(g: &Gathered) -> Option<Evidence> {
    authentication(g, "spf.", &[Topic::Spf], &[Topic::Authentication, Topic::Dmarc])
}

fn dmarc(g: &Gathered) -> Option<Evidence> {
    authentication(g, "dmarc.", &[Topic::Dmarc], &[Topic::Authentication])
}

fn reverse_dns(g: &Gathered) -> Option<Evidence> {
    authentication(g, "address.ptr", &[Topic::ReverseDns], &[])
}

fn sender_domain(g: &Gathered) -> Option<Evidence> {
    authentication(g, "domain.", &[Topic::SenderDomain], &[])
}

/// Answers that say "unauthenticated", where no broken part explains them.
fn any_authentication(g: &Gathered) -> Option<Evidence> {
    let explained = ["dkim.", "spf.", "dmarc."].iter().any(|area| g.findings_of(area, Level::Error).count() > 0);
    if explained {
        return None;
    }
    let topics = [Topic::Authentication, Topic::Dmarc, Topic::Spf, Topic::Dkim];
    let mut evidence = of_topics(g, &topics)?;
    // Where all of them name one part, that part's own rule has the same answers and weighs more.
    evidence.figures.extend(finding_only(g, &["dkim.", "spf.", "dmarc."], Level::Warning));
    Some(evidence)
}

fn rule_loosened(g: &Gathered) -> Option<Evidence> {
    let about = g.tally.about(&[Topic::Speed, Topic::Greylisting, Topic::Reputation]);
    let best = g.loosened.iter().filter_map(|change| {
        let touched: u64 = match change.destinations.as_slice() {
            [] => about.events,
            some => some.iter().map(|name| about.destinations.of(name.as_str())).sum(),
        };
        // Of those answers only the ones after the change are its doing.
        if touched == 0 || change.at >= about.groups.iter().map(|g| g.last).max()? {
            return None;
        }
        let days = g.question.to.as_millis().saturating_sub(change.at.as_millis()) / DAY_MILLIS;
        let fresh = match days {
            0..=7 => 1.0,
            8..=14 => 0.9,
            15..=LOOSENED_WITHIN_DAYS => 0.6,
            _ => return None,
        };
        Some((share(touched, g.tally.refused()) * fresh, touched, change))
    });
    let (strength, touched, change) = best.max_by(|a, b| a.0.total_cmp(&b.0))?;
    let topics: Vec<Topic> = about.groups.iter().map(|group| group.topic).collect();
    let mut figures = vec![Figure::Loosened(change.clone()), found(&topics, touched, g)];
    figures.extend(answers(&about, 2));
    Some(Evidence { strength, floor: 0, figures })
}

fn blocklist(g: &Gathered) -> Option<Evidence> {
    let about = g.tally.about(&[Topic::Blocklist]);
    let listed: Vec<Figure> = finding_only(g, &["blocklist."], Level::Error);
    if about.events == 0 && listed.is_empty() {
        return None;
    }
    let floor = floor(&listed);
    let mut figures = vec![found(&[Topic::Blocklist], about.events, g)];
    figures.extend(top_name(Kind::Source, &about.sources, about.events));
    figures.extend(answers(&about, 3));
    let hints = delist::hints(about.groups.iter().map(|group| group.example.as_str()));
    // A provider's own list is that provider's view of us.
    let is_public = delist::names_public_list(&hints) || about.destinations.len() > 1;
    let believed = if is_public { 1.0 } else { OWN_LIST };
    figures.extend(hints);
    figures.extend(listed);
    Some(Evidence { strength: share(about.events, g.tally.refused()) * believed, floor, figures })
}

/// What a mail's words, links and sender's name bring about.
const FOR_CONTENT: [Topic; 6] =
    [Topic::Content, Topic::Attachment, Topic::Reputation, Topic::Policy, Topic::Filtered, Topic::Unknown];

/// The subject on which most refusals for content lie: its pattern, its refusals, and whether others fare better.
fn subject(g: &Gathered) -> Option<(String, u64, f64)> {
    let about = g.tally.about(&FOR_CONTENT);
    let (pattern, events) = about.patterns.top().into_iter().next()?;
    let own = g.tally.patterns.get(pattern).copied().unwrap_or_default();
    let all = g.tally.patterns.values().fold(Fared::default(), |a, b| Fared {
        delivered: a.delivered + b.delivered,
        refused: a.refused + b.refused,
        octets: 0,
    });
    let others = Fared { delivered: all.delivered - own.delivered, refused: all.refused - own.refused, octets: 0 };
    // Nothing to compare with, or all fare alike: the subject is not it.
    let contrast = match others.tries() {
        0 => 0.5,
        _ if own.rate() >= 2.0 * others.rate() => 1.0,
        _ => return None,
    };
    (share(events, about.events) >= 0.5).then(|| (pattern.clone(), events, contrast))
}

fn new_subject(g: &Gathered) -> Option<Evidence> {
    let (pattern, events, contrast) = subject(g)?;
    let (now, before) = g.pattern_shares(&pattern);
    let is_new = g.before.sampled >= SAMPLE_MIN && now >= GREW * before;
    if !is_new {
        return None;
    }
    let tries = g.tally.patterns.get(&pattern).map_or(0, Fared::tries);
    let mut figures = vec![
        Figure::NewSubject { pattern: pattern.clone(), tries, share: now, share_before: before },
        Figure::Concentrated { kind: Kind::Subject, name: pattern.clone(), refusals: events, of: g.tally.refused() },
    ];
    figures.extend(others(Kind::Subject, &pattern, g.tally.patterns.get(&pattern), g.tally.patterns.values()));
    figures.extend(answers(&g.tally.about(&FOR_CONTENT), 2));
    // New mail that is the only mail there is still is new.
    let contrast = f64::max(contrast, 0.9);
    Some(Evidence { strength: share(events, g.tally.refused()) * contrast, floor: 0, figures })
}

fn one_subject(g: &Gathered) -> Option<Evidence> {
    let (pattern, events, contrast) = subject(g)?;
    let mut figures = vec![Figure::Concentrated {
        kind: Kind::Subject,
        name: pattern.clone(),
        refusals: events,
        of: g.tally.refused(),
    }];
    figures.extend(others(Kind::Subject, &pattern, g.tally.patterns.get(&pattern), g.tally.patterns.values()));
    figures.extend(answers(&g.tally.about(&FOR_CONTENT), 2));
    Some(Evidence { strength: share(events, g.tally.refused()) * contrast, floor: 0, figures })
}

fn volume(g: &Gathered) -> Option<Evidence> {
    let factor = g.volume_factor().filter(|_| g.volume_a_day >= VOLUME_MIN)?;
    let peak = g.volume_a_day as f64 / (g.before.busiest.max(1)) as f64;
    // Four times the mean and twice the busiest day is a jump in full.
    let jump = ((factor - 1.0) / 3.0).min(peak - 1.0).clamp(0.0, 1.0);
    let about = g.tally.about(&[Topic::Speed, Topic::Reputation, Topic::Greylisting, Topic::Policy, Topic::Blocklist]);
    if jump < 0.2 || about.events == 0 {
        return None;
    }
    let topics: Vec<Topic> = about.groups.iter().map(|group| group.topic).collect();
    let mut figures = vec![
        Figure::Volume {
            now: g.volume_a_day,
            before_mean: g.before.volume_a_day,
            before_busiest: g.before.busiest,
            factor,
        },
        found(&topics, about.events, g),
    ];
    figures.extend(answers(&about, 2));
    Some(Evidence { strength: share(about.events, g.tally.refused()) * jump, floor: 0, figures })
}

/// The share of unknown users and hosts among results, and the evidence for both rules about them.
fn unknown_users(g: &Gathered) -> Option<(f64, Vec<Figure>, f64)> {
    let topics = [Topic::UnknownUser, Topic::UnknownHost];
    let about = g.tally.about(&topics);
    if about.events == 0 {
        return None;
    }
    let rate = share(about.failed, g.tally.volume().max(about.failed));
    let mut figures =
        vec![Figure::UnknownRate { now: rate, before: g.before.unknown_rate }, found(&topics, about.events, g)];
    figures.extend(top_name(Kind::User, &about.users, about.events));
    figures.extend(answers(&about, 2));
    Some((rate, figures, share(about.events, g.tally.refused())))
}

/// Many, and not as before.
fn is_dead_list(g: &Gathered, rate: f64) -> bool {
    rate >= DEAD_RATE && (g.before.days == 0 || rate >= 2.0 * g.before.unknown_rate)
}

fn dead_list(g: &Gathered) -> Option<Evidence> {
    let (rate, mut figures, strength) = unknown_users(g)?;
    if !is_dead_list(g, rate) {
        return None;
    }
    if let Some(factor) = g.volume_factor().filter(|factor| *factor >= 1.5) {
        let (before_mean, before_busiest) = (g.before.volume_a_day, g.before.busiest);
        figures.push(Figure::Volume { now: g.volume_a_day, before_mean, before_busiest, factor });
    }
    Some(Evidence { strength: strength * (rate / (2.0 * DEAD_RATE)).min(1.0), floor: 0, figures })
}

fn old_addresses(g: &Gathered) -> Option<Evidence> {
    let (rate, figures, strength) = unknown_users(g)?;
    (!is_dead_list(g, rate)).then_some(Evidence { strength, floor: 0, figures })
}

fn own_network(g: &Gathered) -> Option<Evidence> {
    let about = g.tally.about(&[Topic::Network]);
    let reached_nobody = g.tally.destinations.values().filter(|f| f.delivered == 0 && f.refused > 0).count();
    let places = g.tally.destinations.len();
    // Several destinations, and hardly one of them was reached.
    if about.destinations.len() < 5 || reached_nobody * 10 < places * 9 {
        return None;
    }
    let mut figures = vec![found(&[Topic::Network], about.events, g)];
    figures.extend(answers(&about, 3));
    Some(Evidence { strength: share(about.events, g.tally.refused()), floor: 0, figures })
}

/// What says something about an address of ours.
const FOR_ADDRESS: [Topic; 6] =
    [Topic::Reputation, Topic::Blocklist, Topic::Policy, Topic::Speed, Topic::ReverseDns, Topic::Unknown];

fn one_source(g: &Gathered) -> Option<Evidence> {
    let about = g.tally.about(&FOR_ADDRESS);
    let (source, events) = about.sources.top().into_iter().next()?;
    let own = g.tally.sources.get(source);
    if g.tally.sources.len() < 2 || share(events, about.events) < 0.8 || !elsewhere_fine(own, g.tally.sources.values())
    {
        return None;
    }
    let name = source.to_string();
    let mut figures =
        vec![Figure::Concentrated { kind: Kind::Source, name: name.clone(), refusals: events, of: about.events }];
    figures.extend(others(Kind::Source, &name, own, g.tally.sources.values()));
    figures.extend(answers(&about, 2));
    figures.extend(delist::hints(about.groups.iter().map(|group| group.example.as_str())));
    Some(Evidence { strength: share(events, g.tally.refused()), floor: 0, figures })
}

fn one_provider(g: &Gathered) -> Option<Evidence> {
    let about = g.tally.about(&[
        Topic::Reputation,
        Topic::Blocklist,
        Topic::Policy,
        Topic::Content,
        Topic::Sender,
        Topic::Unknown,
    ]);
    let (provider, by_provider) = about.top_provider();
    let (destination, by_destination) = about.destinations.top().into_iter().next()?;
    let figures_of = |kind, name: &str, events, own: Option<&Fared>, all: Vec<Fared>| {
        let mut figures =
            vec![Figure::Concentrated { kind, name: name.to_owned(), refusals: events, of: about.events }];
        figures.extend(others(kind, name, own, all.iter()));
        figures.extend(answers(&about, 2));
        figures.extend(delist::hints(about.groups.iter().map(|group| group.example.as_str())));
        figures
    };
    let is_one = |events: u64, own: Option<&Fared>, all: &[Fared]| {
        share(events, about.events) >= 0.8 && elsewhere_fine(own, all.iter())
    };
    let providers: Vec<Fared> = g.tally.providers.to_vec();
    let own = &g.tally.providers[provider as usize];
    if provider != Provider::Other && is_one(by_provider, Some(own), &providers) {
        let figures = figures_of(Kind::Provider, provider.word(), by_provider, Some(own), providers);
        return Some(Evidence { strength: share(by_provider, g.tally.refused()), floor: 0, figures });
    }
    let destinations: Vec<Fared> = g.tally.destinations.values().copied().collect();
    let own = g.tally.destinations.get(destination);
    is_one(by_destination, own, &destinations).then(|| Evidence {
        strength: share(by_destination, g.tally.refused()),
        floor: 0,
        figures: figures_of(Kind::Destination, destination, by_destination, own, destinations.clone()),
    })
}

fn one_recipient(g: &Gathered) -> Option<Evidence> {
    let (recipient, events) = g.tally.refused_recipients.top().into_iter().next()?;
    let part = share(events, g.tally.refused());
    // Of five refusals at least, so that one refused mail is no pattern.
    if events < 5 || part < 0.5 {
        return None;
    }
    let mut figures = vec![Figure::Concentrated {
        kind: Kind::Recipient,
        name: recipient.clone(),
        refusals: events,
        of: g.tally.refused(),
    }];
    let group = g.tally.groups.iter().filter(|group| group.example_recipient == *recipient).max_by_key(|g| g.events);
    figures.extend(group.map(shares_of));
    Some(Evidence { strength: part, floor: 0, figures })
}

fn warm_up(g: &Gathered) -> Option<Evidence> {
    let about = g.tally.about(&[Topic::Speed, Topic::Reputation, Topic::Greylisting]);
    let of = |w: &super::figures::WarmUp| about.sources.of(&w.source);
    let new = g.warm_ups.iter().filter(|w| w.day <= w.days).max_by_key(|w| of(w))?;
    let events = of(new);
    if events == 0 {
        return None;
    }
    let mut figures = vec![
        Figure::WarmUp(new.clone()),
        Figure::Concentrated {
            kind: Kind::Source,
            name: new.source.to_string(),
            refusals: events,
            of: g.tally.refused(),
        },
    ];
    figures.extend(answers(&about, 1));
    Some(Evidence { strength: share(events, g.tally.refused()), floor: 0, figures })
}

fn one_destination(g: &Gathered) -> Option<Evidence> {
    let about = g.tally.about(&[Topic::Network, Topic::Setup, Topic::Tls]);
    let (name, events) = about.destinations.top().into_iter().next()?;
    if share(events, about.events) < 0.6 {
        return None;
    }
    let mut figures = vec![Figure::Concentrated {
        kind: Kind::Destination,
        name: name.clone(),
        refusals: events,
        of: g.tally.refused(),
    }];
    figures.extend(others(Kind::Destination, name, g.tally.destinations.get(name), g.tally.destinations.values()));
    figures.extend(answers(&about, 2));
    Some(Evidence { strength: share(events, g.tally.refused()), floor: 0, figures })
}

fn speed(g: &Gathered) -> Option<Evidence> {
    let mut evidence = of_topics(g, &[Topic::Speed])?;
    let about = g.tally.about(&[Topic::Speed]);
    let refusing = |s: &&super::figures::Speed| about.destinations.of(s.destination.as_str()) > 0;
    evidence.figures.extend(g.speeds.iter().filter(refusing).take(3).cloned().map(Figure::Speed));
    Some(evidence)
}

fn reputation(g: &Gathered) -> Option<Evidence> {
    let mut evidence = of_topics(g, &[Topic::Reputation])?;
    let about = g.tally.about(&[Topic::Reputation]);
    evidence.figures.extend(delist::hints(about.groups.iter().map(|group| group.example.as_str())));
    Some(evidence)
}

fn size(g: &Gathered) -> Option<Evidence> {
    let mut evidence = of_topics(g, &[Topic::Size])?;
    let (now, before) = (g.octets(), g.before.octets);
    if now > 0.0 && before > 0.0 {
        evidence.figures.push(Figure::Size { now, before, factor: now / before });
    }
    Some(evidence)
}

fn one_user(g: &Gathered) -> Option<Evidence> {
    let (name, own) = g.tally.users.iter().max_by_key(|(name, f)| (f.refused, std::cmp::Reverse(*name)))?;
    let (refused, tries) = (g.tally.refused(), g.tally.refused() + g.tally.delivered);
    let part = share(own.refused, refused);
    let mail = share(own.tries(), tries);
    // More of the trouble than of the mail.
    if g.tally.users.len() < 2 || part < 0.8 || mail > 0.6 {
        return None;
    }
    let mut figures =
        vec![Figure::Concentrated { kind: Kind::User, name: name.clone(), refusals: own.refused, of: refused }];
    figures.extend(others(Kind::User, name, Some(own), g.tally.users.values()));
    Some(Evidence { strength: part, floor: 0, figures })
}

fn complaints(g: &Gathered) -> Option<Evidence> {
    let (complaints, delivered) = (g.tally.complained, g.tally.delivered);
    let rate = share(complaints, delivered.max(complaints));
    if complaints < EVENTS_MIN || rate < COMPLAINT_RATE {
        return None;
    }
    let about = g.tally.about(&[Topic::Complaint]);
    let mut figures = vec![Figure::Complaints { complaints, delivered }];
    figures.extend(top_name(Kind::Subject, &about.patterns, about.events));
    Some(Evidence { strength: (rate / (2.0 * COMPLAINT_RATE)).min(1.0), floor: 40, figures })
}

fn brake(g: &Gathered) -> Option<Evidence> {
    let about = g.tally.about(&[Topic::UnknownUser, Topic::UnknownHost]);
    let held: Vec<Figure> = g.brakes.iter().take(3).cloned().map(Figure::Brake).collect();
    let strength = share(about.events, g.tally.refused());
    (!held.is_empty()).then_some(Evidence { strength, floor: 30, figures: held })
}

fn own_lists(g: &Gathered) -> Option<Evidence> {
    let of = g.tally.listed + g.tally.volume();
    let part = share(g.tally.listed, of);
    (part >= 0.1).then(|| Evidence {
        strength: 0.0,
        // Half of all recipients count in full, however the other half fares.
        floor: (f64::from(OWN_LISTS_MAX) * (part * 2.0).min(1.0)).round() as u32,
        figures: vec![Figure::Listed { recipients: g.tally.listed, of }],
    })
}

/// Since when the refusals of a cause come, where mail went before that.
pub(super) fn since(first: Timestamp, g: &Gathered) -> Option<Figure> {
    // A first refusal right at the begin of what was read may have come earlier, too.
    let begin = g.looked_back_to.unwrap_or(g.question.from);
    let is_inside = first != Timestamp::MAX && first.since(begin).as_secs() > 600;
    is_inside.then_some(Figure::Since { at: first })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_has_one_rule_with_its_reason_and_the_table_is_in_order() {
        assert_eq!(RULES.len(), CauseId::ALL.len());
        for id in CauseId::ALL {
            assert_eq!(RULES.iter().filter(|rule| rule.id == *id).count(), 1, "{id:?}");
        }
        assert!(RULES.iter().all(|rule| (1..=100).contains(&rule.weight) && rule.because.len() > 15));
        assert!(RULES.windows(2).all(|two| two[0].weight >= two[1].weight), "the heaviest first");
    }
}
