//! What the reports of a domain add up to: by day, by source, by reporter; and what `p=reject` would do.
//!
//! In: reports and rows as they are kept, labels of addresses, what our own log says was delivered.  Out: rows for people and
//! programs.
//! Always: a mail is counted once, on the day (UTC) on which its report's period begins; reports whose sender is not proven are
//! left out and counted apart, unless all are asked for; sources, reporters and names are bounded, and what is beyond is summed
//! up as others.
//! Sources: RFC 9990 §3 and §5, RFC 9989 §5.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    net::IpAddr,
};

use serde::{Deserialize, Serialize};

use crate::{lookup::is_below, when::day_name};

use super::{
    row::{KeptReport, KeptRow, Mark, Tally},
    words::Advice,
};

/// Sources that a view tells apart.
pub const SOURCES_MAX: usize = 100_000;
/// Reporters that a view tells apart.
pub const REPORTERS_MAX: usize = 2_000;
/// Names below a domain that a view tells apart.
pub const NAMES_MAX: usize = 1_000;
/// Sources that the answer about `p=reject` names.
const TOLD_MAX: usize = 20;
/// Mails, and days with reports, below which nothing is recommended.
const MESSAGES_MIN: u64 = 100;
const DAYS_MIN: u64 = 7;
/// One legitimate mail in so many may fail: forwarding breaks a few whatever one does.
const LOSS_ONE_IN: u64 = 1_000;

/// Which reports a view is of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asked {
    /// The domain: its own mail and that of names below it.
    pub domain: String,
    /// The first day …
    pub from: u32,
    /// … and the last one.
    pub to: u32,
    /// Reports whose sender is not proven count, too.
    pub all: bool,
}

/// Who an address is.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "label", content = "sender")]
pub enum Who {
    /// One of our own addresses.
    ThisRelay,
    /// A `[[dmarc.sender]]`, by its name.
    KnownSender(String),
    /// Nobody that the config names.
    #[default]
    Unknown,
}

impl Who {
    /// The word in tables.
    pub fn word(&self) -> &str {
        match self {
            Who::ThisRelay => "this relay",
            Who::KnownSender(name) => name,
            Who::Unknown => "unknown",
        }
    }
}

/// What is known of an address.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Label {
    /// Who it is.
    pub who: Who,
    /// Its name in the DNS, which leads back to it; empty: none, or not known yet.
    pub name: String,
    /// The DNS was asked.
    pub is_looked_up: bool,
}

/// A day of a domain.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DayTally {
    /// All mails.
    pub tally: Tally,
    /// Those from our own addresses.
    pub relay: u64,
    /// Reports.
    pub reports: u64,
}

/// What our own log says was delivered for a domain and names below it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Delivered {
    /// The first day that the log knows; nothing is known of days before it.
    pub known_from: u32,
    /// Mails by day (UTC).
    pub by_day: BTreeMap<u32, u64>,
}

impl Delivered {
    /// Nothing is known of any day.
    pub fn unknown() -> Self {
        Delivered { known_from: u32::MAX, by_day: BTreeMap::new() }
    }

    /// Mails of a day; `None`: nothing is known of it.
    pub fn on(&self, day: u32) -> Option<u64> {
        (day >= self.known_from).then(|| self.by_day.get(&day).copied().unwrap_or(0))
    }
}

/// A source of a domain's mail.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SourceTally {
    /// Its mails.
    pub tally: Tally,
    /// Who reported them.
    pub reporters: BTreeSet<u32>,
    /// The first and last day.
    pub days: Option<(u32, u32)>,
}

/// Somebody who reports.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ReporterTally {
    /// Its reports.
    pub reports: u64,
    /// Their mails.
    pub messages: u64,
    /// When its last one came, RFC 3339.
    pub last: String,
}

/// Reports that are left out of the sums.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct LeftOut {
    /// Reports.
    pub reports: u64,
    /// Their mails.
    pub messages: u64,
    /// Of the reports, forged ones.
    pub forged: u64,
}

/// What reports add up to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct View {
    /// What was asked for.
    pub asked: Asked,
    ours: HashSet<IpAddr>,
    /// Day by day.
    pub days: BTreeMap<u32, DayTally>,
    /// Source by source.
    pub sources: HashMap<IpAddr, SourceTally>,
    /// Sources beyond [`SOURCES_MAX`], together.
    pub other_sources: Tally,
    /// Who reports, by organisation.
    pub reporters: BTreeMap<String, ReporterTally>,
    numbers: HashMap<String, u32>,
    organizations: Vec<String>,
    /// Mails by the domain of their From field.
    pub names: BTreeMap<String, Tally>,
    /// Left out of all this.
    pub left_out: LeftOut,
    /// The newest policy that was reported: when the report came, `p`, and `sp`.
    pub policy: Option<(String, String, String)>,
    /// There was more than is looked at at once.
    pub is_cut: bool,
    /// Rows that could not be read.
    pub unread: u64,
}

impl View {
    /// An empty view. `ours`: the addresses that our mail comes from.
    pub fn new(asked: Asked, ours: HashSet<IpAddr>) -> Self {
        View {
            asked,
            ours,
            days: BTreeMap::new(),
            sources: HashMap::new(),
            other_sources: Tally::default(),
            reporters: BTreeMap::new(),
            numbers: HashMap::new(),
            organizations: Vec::new(),
            names: BTreeMap::new(),
            left_out: LeftOut::default(),
            policy: None,
            is_cut: false,
            unread: 0,
        }
    }

    /// Reports of this mark are summed up.
    pub fn counts(&self, mark: Mark) -> bool {
        self.asked.all || mark.counts()
    }

    /// Adds a report without its rows.
    pub fn add_report(&mut self, day: u32, report: &KeptReport) {
        if !self.counts(report.mark) {
            self.left_out.reports += 1;
            self.left_out.messages = self.left_out.messages.saturating_add(report.tally.messages);
            self.left_out.forged += u64::from(report.mark == Mark::Forged);
            return;
        }
        self.days.entry(day).or_default().reports += 1;
        if self.policy.as_ref().is_none_or(|(at, ..)| *at <= report.begin) {
            self.policy = Some((report.begin.clone(), report.policy.p.clone(), report.policy.sp.clone()));
        }
        if let Some(reporter) = bounded(&mut self.reporters, &report.organization, REPORTERS_MAX) {
            reporter.reports += 1;
            reporter.messages = reporter.messages.saturating_add(report.tally.messages);
            if reporter.last < report.received_at {
                reporter.last.clone_from(&report.received_at);
            }
        }
    }

    /// Adds a report with what its rows add up to, for views that read no rows.
    pub fn add_summary(&mut self, day: u32, report: &KeptReport) {
        self.add_report(day, report);
        if self.counts(report.mark) {
            self.days.entry(day).or_default().tally.add(&report.tally);
        }
    }

    /// Takes the policy of a report about a domain above, which is what applies here.
    pub fn add_inherited_policy(&mut self, report: &KeptReport) {
        let newer = self.policy.as_ref().is_none_or(|(at, ..)| *at <= report.begin);
        if newer && self.counts(report.mark) {
            let policy = if report.policy.sp.is_empty() { &report.policy.p } else { &report.policy.sp };
            self.policy = Some((report.begin.clone(), policy.clone(), String::new()));
        }
    }

    /// Counts a row of a report about a domain above; `is_first`: no other row of that report was counted.
    pub fn add_inherited(&mut self, day: u32, reporter: u32, is_first: bool, row: &KeptRow) {
        self.days.entry(day).or_default().reports += u64::from(is_first);
        let organization = self.organizations.get(reporter as usize).cloned().unwrap_or_default();
        if let Some(reporter) = bounded(&mut self.reporters, &organization, REPORTERS_MAX) {
            reporter.reports += u64::from(is_first);
            reporter.messages = reporter.messages.saturating_add(row.count);
        }
    }

    /// The number by which a reporter's rows are added; those beyond [`REPORTERS_MAX`] share one.
    pub fn number_of(&mut self, organization: &str) -> u32 {
        if let Some(number) = self.numbers.get(organization) {
            return *number;
        }
        let number = u32::try_from(self.organizations.len()).unwrap_or(u32::MAX);
        if self.organizations.len() < REPORTERS_MAX {
            self.organizations.push(organization.to_owned());
            self.numbers.insert(organization.to_owned(), number);
        }
        number
    }

    /// Whether a row of a report about `domain` belongs here.
    pub fn has(&self, domain: &str, row: &KeptRow) -> bool {
        is_below(domain, &self.asked.domain) || is_below(&row.header_from, &self.asked.domain)
    }

    /// Adds a row of a report that counts.
    pub fn add_row(&mut self, day: u32, domain: &str, reporter: u32, row: &KeptRow) {
        let mut one = Tally::default();
        one.add_row(row);
        let of_day = self.days.entry(day).or_default();
        of_day.tally.add(&one);
        if self.ours.contains(&row.source) {
            of_day.relay = of_day.relay.saturating_add(row.count);
        }
        let name = if row.header_from.is_empty() { domain } else { &row.header_from };
        if let Some(names) = bounded(&mut self.names, name, NAMES_MAX) {
            names.add(&one);
        }
        let is_room = self.sources.len() < SOURCES_MAX || self.sources.contains_key(&row.source);
        if !is_room {
            self.other_sources.add(&one);
            return;
        }
        let source = self.sources.entry(row.source).or_default();
        source.tally.add(&one);
        if source.reporters.len() < REPORTERS_MAX {
            source.reporters.insert(reporter);
        }
        let (first, last) = source.days.unwrap_or((day, day));
        source.days = Some((first.min(day), last.max(day)));
    }

    /// The sum over all days.
    pub fn total(&self) -> Tally {
        let mut total = Tally::default();
        self.days.values().for_each(|day| total.add(&day.tally));
        total
    }

    /// The days, each one of the span, with what our own log says was delivered.
    pub fn day_rows(&self, delivered: &Delivered) -> Vec<DayOut> {
        let none = DayTally::default();
        (self.asked.from..=self.asked.to)
            .map(|day| {
                let of_day = self.days.get(&day).unwrap_or(&none);
                let delivered = delivered.on(day);
                DayOut {
                    day: day_name(day),
                    domain: self.asked.domain.clone(),
                    reports: of_day.reports,
                    tally: of_day.tally,
                    relay_reported: of_day.relay,
                    relay_delivered: delivered,
                    relay_unaccounted: delivered.map(|delivered| of_day.relay.saturating_sub(delivered)),
                }
            })
            .collect()
    }

    /// The sources, those with the most mails first.
    pub fn source_rows(&self, label: &dyn Fn(IpAddr) -> Label) -> Vec<SourceOut> {
        let mut rows: Vec<(&IpAddr, &SourceTally)> = self.sources.iter().collect();
        rows.sort_by_key(|(address, source)| (std::cmp::Reverse(source.tally.messages), **address));
        rows.into_iter()
            .map(|(address, source)| {
                let label = label(*address);
                let (first, last) = source.days.unwrap_or_default();
                SourceOut {
                    source: *address,
                    who: label.who,
                    name: label.name,
                    is_looked_up: label.is_looked_up,
                    reporters: source.reporters.len() as u64,
                    first_day: day_name(first),
                    last_day: day_name(last),
                    tally: source.tally,
                }
            })
            .collect()
    }

    /// Who reports, those with the most mails first.
    pub fn reporter_rows(&self) -> Vec<ReporterOut> {
        let mut rows: Vec<ReporterOut> = self
            .reporters
            .iter()
            .map(|(organization, r)| ReporterOut {
                organization: organization.clone(),
                reports: r.reports,
                messages: r.messages,
                last_received: r.last.clone(),
            })
            .collect();
        rows.sort_by(|a, b| b.messages.cmp(&a.messages).then_with(|| a.organization.cmp(&b.organization)));
        rows
    }

    /// The names that mail came from, those with the most mails first.
    pub fn name_rows(&self) -> Vec<NameOut> {
        let mut rows: Vec<NameOut> =
            self.names.iter().map(|(name, tally)| NameOut { name: name.clone(), tally: *tally }).collect();
        rows.sort_by(|a, b| b.tally.messages.cmp(&a.tally.messages).then_with(|| a.name.cmp(&b.name)));
        rows
    }

    /// What `p=reject` would have done in these days.
    pub fn what_if(&self, sources: &[SourceOut]) -> WhatIf {
        let mut what = WhatIf { would_be_refused: self.total().spoofed, ..WhatIf::default() };
        let mut by_name: BTreeMap<&str, u64> = BTreeMap::new();
        for source in sources {
            let t = &source.tally;
            match &source.who {
                Who::ThisRelay => {
                    what.relay_messages += t.messages;
                    what.relay_refused += t.spoofed;
                }
                Who::KnownSender(name) => {
                    what.known_messages += t.messages;
                    what.known_refused += t.spoofed;
                    *by_name.entry(name).or_default() += t.spoofed;
                }
                Who::Unknown => {
                    what.unknown_messages += t.messages;
                    what.unknown_refused += t.spoofed;
                    what.unknown_forwarded += t.forwarded;
                }
            }
        }
        what.unknown_messages += self.other_sources.messages;
        what.unknown_refused += self.other_sources.spoofed;
        what.unknown_forwarded += self.other_sources.forwarded;
        let mut worst: Vec<&SourceOut> = sources.iter().filter(|s| s.tally.spoofed > 0).collect();
        // Legitimate ones first: they are what somebody has to do something about.
        worst.sort_by_key(|s| (s.who == Who::Unknown, std::cmp::Reverse(s.tally.spoofed)));
        what.sources = worst.into_iter().take(TOLD_MAX).cloned().collect();
        let policy = self.policy.as_ref().map_or("", |(_, p, _)| p.as_str());
        let days = self.days.values().filter(|day| day.tally.messages > 0).count() as u64;
        let worst_known = by_name.into_iter().filter(|(_, n)| *n > 0).max_by_key(|(_, n)| *n);
        what.advice = advise(&what, policy, days, worst_known);
        what.policy = policy.to_owned();
        what.recommendation = what.advice.english();
        what.recommendation_ja = what.advice.japanese();
        what
    }
}

/// What to recommend.
fn advise(what: &WhatIf, policy: &str, days: u64, worst_known: Option<(&str, u64)>) -> Advice {
    let messages = what.relay_messages + what.known_messages + what.unknown_messages;
    let legitimate = what.relay_messages + what.known_messages;
    let lost = what.relay_refused + what.known_refused;
    let is_reject = policy == "reject";
    if messages == 0 {
        return Advice::NoReports;
    }
    if lost.saturating_mul(LOSS_ONE_IN) > legitimate {
        return match worst_known {
            Some((name, refused)) if refused >= what.relay_refused => {
                Advice::FixKnown { name: name.to_owned(), refused, is_reject }
            }
            Some(_) | None => Advice::FixRelay { refused: what.relay_refused, is_reject },
        };
    }
    if messages < MESSAGES_MIN || days < DAYS_MIN {
        return Advice::TooLittle { messages, days, messages_min: MESSAGES_MIN, days_min: DAYS_MIN };
    }
    if legitimate == 0 {
        return Advice::NobodyIsKnown { messages };
    }
    let (refused, forwarded) = (what.unknown_refused, what.unknown_forwarded);
    if is_reject {
        return Advice::InForce { refused, lost };
    }
    Advice::Ready { refused, forwarded, lost }
}

/// The entry of a name; `None`: there are too many others.
fn bounded<'m, V: Default>(map: &'m mut BTreeMap<String, V>, name: &str, max: usize) -> Option<&'m mut V> {
    if map.len() >= max && !map.contains_key(name) {
        return None;
    }
    Some(map.entry(name.to_owned()).or_default())
}

/// A day of a domain, for people and programs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DayOut {
    /// The day (UTC).
    pub day: String,
    /// The domain.
    pub domain: String,
    /// Reports whose period begins on it.
    pub reports: u64,
    /// What they say.
    #[serde(flatten)]
    pub tally: Tally,
    /// Mails from our own addresses, as reported.
    pub relay_reported: u64,
    /// Mails that we delivered for the domain, by our own log; `None`: it does not reach back so far.
    pub relay_delivered: Option<u64>,
    /// Reported from our addresses beyond what we delivered: somebody else sends from them.
    pub relay_unaccounted: Option<u64>,
}

/// A source of a domain's mail, for people and programs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SourceOut {
    /// The address.
    pub source: IpAddr,
    /// Who it is.
    #[serde(flatten)]
    pub who: Who,
    /// Its name in the DNS, which leads back to it; empty: none, or not known yet.
    pub name: String,
    /// The DNS was asked.
    pub is_looked_up: bool,
    /// How many reported it.
    pub reporters: u64,
    /// The first day.
    pub first_day: String,
    /// The last one.
    pub last_day: String,
    /// What the reports say.
    #[serde(flatten)]
    pub tally: Tally,
}

/// Somebody who reports, for people and programs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ReporterOut {
    /// Its name.
    pub organization: String,
    /// Its reports.
    pub reports: u64,
    /// Their mails.
    pub messages: u64,
    /// When the last one came.
    pub last_received: String,
}

/// A name that mail came from.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NameOut {
    /// The domain of the From field.
    pub name: String,
    /// What the reports say.
    #[serde(flatten)]
    pub tally: Tally,
}

/// What `p=reject` would have done.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct WhatIf {
    /// The policy that receivers found last; empty: none was reported.
    pub policy: String,
    /// Mails that neither DKIM nor SPF proves: these would have been refused.
    pub would_be_refused: u64,
    /// Mails of this relay …
    pub relay_messages: u64,
    /// … and those of them that would have been refused.
    pub relay_refused: u64,
    /// Mails of known senders …
    pub known_messages: u64,
    /// … and those of them that would have been refused.
    pub known_refused: u64,
    /// Mails of sources that nobody named …
    pub unknown_messages: u64,
    /// … those of them that would have been refused …
    pub unknown_refused: u64,
    /// … and of these, what receivers say came by a forwarder or a mailing list.
    pub unknown_forwarded: u64,
    /// The sources of refused mail, legitimate ones first, then those with the most.
    pub sources: Vec<SourceOut>,
    /// What to do.
    pub advice: Advice,
    /// The same in a sentence …
    pub recommendation: String,
    /// … and in Japanese.
    pub recommendation_ja: String,
}

#[cfg(test)]
#[path = "views_tests.rs"]
mod tests;
