//! What the doctor finds: one finding a question, with what was seen as data.
//!
//! In: what the checks saw.  Out: [`Finding`]s, [`Report`]s, what changed between two of them, and records as a zone file has them.
//! Always: a finding's id depends on what was seen alone and never changes its meaning; texts that came from elsewhere are clipped,
//! and a report has at most [`FINDINGS_MAX`] findings, so that it fits a memo; where the DNS gave no answer, nothing is claimed.
//! Sources: R1, R2, R10; RFC 1035 §5 (zone files), RFC 7208 §3.3 (strings of TXT).

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use serde::{Deserialize, Serialize};

pub use super::seen::{
    Address, Bimi, Blocklist, Bulk, Dane, Dkim, Dmarc, Domain, Inlet, InletUse, Provider, Published, Purpose, Records,
    Requirement, Spent, Spf, State, Sts, TlsRpt, Wanted,
};
use crate::{
    clock::Timestamp,
    dkim::record::{quoted, split_for_txt},
    lookup::reverse_name,
};

/// Findings of a report at most.
pub const FINDINGS_MAX: usize = 400;
/// Octets of a text from elsewhere that are kept.
pub const TEXT_OCTETS_MAX: usize = 1_024;
/// The TTL of records that we propose, in seconds: an hour, so that a mistake does not live long.
pub const TTL_SECONDS: u32 = 3_600;

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Worth knowing; nothing is wrong.
    Note,
    /// Something is missing or weak: some receivers will mind, or nobody could tell.
    Warning,
    /// Mail is refused, or will be.
    Error,
}

impl Level {
    /// All of them, the worst first.
    pub const WORST_FIRST: [Level; 4] = [Level::Error, Level::Warning, Level::Note, Level::Ok];

    /// The word for programs.
    pub fn word(self) -> &'static str {
        match self {
            Level::Ok => "ok",
            Level::Note => "note",
            Level::Warning => "warning",
            Level::Error => "error",
        }
    }
}

/// What a finding is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Area {
    /// Who may send for the domain.
    Spf,
    /// Signatures.
    Dkim,
    /// The domain's policy.
    Dmarc,
    /// The addresses that our mail comes from.
    Address,
    /// The domain in the header's From.
    Domain,
    /// Where bounces, reports and unsubscriptions come in.
    Inlet,
    /// MTA-STS of the domain as a receiver.
    Sts,
    /// TLS reports of the domain as a receiver.
    TlsRpt,
    /// DANE of the domain as a receiver.
    Dane,
    /// The logo.
    Bimi,
    /// Blocklists.
    Blocklist,
    /// What large providers ask of bulk senders.
    Bulk,
}

impl Area {
    /// All of them, in the order in which they are told.
    pub const ALL: [Area; 12] = [
        Area::Spf,
        Area::Dkim,
        Area::Dmarc,
        Area::Address,
        Area::Domain,
        Area::Inlet,
        Area::Bulk,
        Area::Blocklist,
        Area::Sts,
        Area::TlsRpt,
        Area::Dane,
        Area::Bimi,
    ];

    /// The id of "the DNS did not say".
    fn unanswered(self) -> &'static str {
        match self {
            Area::Spf => "spf.unanswered",
            Area::Dkim => "dkim.unanswered",
            Area::Dmarc => "dmarc.unanswered",
            Area::Address => "address.unanswered",
            Area::Domain => "domain.unanswered",
            Area::Inlet => "inlet.unanswered",
            Area::Sts => "sts.unanswered",
            Area::TlsRpt => "tlsrpt.unanswered",
            Area::Dane => "dane.unanswered",
            Area::Bimi => "bimi.unanswered",
            Area::Blocklist => "blocklist.unanswered",
            Area::Bulk => "bulk.unanswered",
        }
    }
}

/// What was seen, as data.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // each stands for its area
pub enum Seen {
    /// A question that the DNS did not answer, or that was cut off by the time limit: nothing is claimed.
    Unanswered {
        /// Which part could not be looked at.
        area: Area,
        /// The question: `TXT example.jp`.
        asked: String,
        /// What came instead of an answer.
        why: String,
    },
    Spf(Spf),
    Dkim(Dkim),
    Dmarc(Dmarc),
    Address(Address),
    Domain(Domain),
    Inlet(Inlet),
    Sts(Sts),
    TlsRpt(TlsRpt),
    Dane(Dane),
    Bimi(Bimi),
    Blocklist(Blocklist),
    Bulk(Bulk),
}

impl Seen {
    /// What it is about.
    pub fn area(&self) -> Area {
        match self {
            Seen::Unanswered { area, .. } => *area,
            Seen::Spf(_) => Area::Spf,
            Seen::Dkim(_) => Area::Dkim,
            Seen::Dmarc(_) => Area::Dmarc,
            Seen::Address(_) => Area::Address,
            Seen::Domain(_) => Area::Domain,
            Seen::Inlet(_) => Area::Inlet,
            Seen::Sts(_) => Area::Sts,
            Seen::TlsRpt(_) => Area::TlsRpt,
            Seen::Dane(_) => Area::Dane,
            Seen::Bimi(_) => Area::Bimi,
            Seen::Blocklist(_) => Area::Blocklist,
            Seen::Bulk(_) => Area::Bulk,
        }
    }

    /// The stable id of the question that this answers, e.g. `spf.lookups`.
    pub fn check(&self) -> &'static str {
        match self {
            Seen::Unanswered { area, .. } => area.unanswered(),
            Seen::Spf(seen) => seen.check(),
            Seen::Dkim(seen) => seen.check(),
            Seen::Dmarc(seen) => seen.check(),
            Seen::Address(seen) => seen.check(),
            Seen::Domain(seen) => seen.check(),
            Seen::Inlet(seen) => seen.check(),
            Seen::Sts(seen) => seen.check(),
            Seen::TlsRpt(seen) => seen.check(),
            Seen::Dane(seen) => seen.check(),
            Seen::Bimi(seen) => seen.check(),
            Seen::Blocklist(seen) => seen.check(),
            Seen::Bulk(seen) => seen.check(),
        }
    }
}

/// The type of a record.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[allow(missing_docs)] // the DNS's own names
pub enum RecordKind {
    Txt,
    Mx,
    A,
    Aaaa,
    Ptr,
    Tlsa,
}

impl RecordKind {
    /// The word of zone files.
    pub fn word(self) -> &'static str {
        match self {
            RecordKind::Txt => "TXT",
            RecordKind::Mx => "MX",
            RecordKind::A => "A",
            RecordKind::Aaaa => "AAAA",
            RecordKind::Ptr => "PTR",
            RecordKind::Tlsa => "TLSA",
        }
    }
}

/// A record that should be in the DNS.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct RecordToPublish {
    /// Its name, in full, without the last dot.
    pub name: String,
    /// Its type.
    pub kind: RecordKind,
    /// Its value: for TXT the text in one piece, for others as a zone file has it.
    pub value: String,
    /// Seconds that others may keep it.
    pub ttl: u32,
}

impl RecordToPublish {
    /// A TXT record.
    pub fn txt(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self::new(name, RecordKind::Txt, value)
    }

    /// A record with the usual TTL.
    pub fn new(name: impl Into<String>, kind: RecordKind, value: impl Into<String>) -> Self {
        RecordToPublish { name: name.into(), kind, value: value.into(), ttl: TTL_SECONDS }
    }

    /// The name of an address, for its PTR record.
    pub fn ptr(address: IpAddr, host: &str) -> Self {
        Self::new(reverse_name(address), RecordKind::Ptr, format!("{host}."))
    }

    /// The address of a name.
    pub fn address(host: &str, address: IpAddr) -> Self {
        let kind = if address.is_ipv4() { RecordKind::A } else { RecordKind::Aaaa };
        Self::new(host, kind, address.to_string())
    }

    /// As a line of a zone file, without its end; a TXT record of several strings takes several lines in brackets.
    pub fn zone_line(&self) -> String {
        let head = format!("{}. {} IN {}", self.name, self.ttl, self.kind.word());
        match self.kind {
            RecordKind::Txt => {
                let strings: Vec<String> = split_for_txt(&self.value).iter().map(|string| quoted(string)).collect();
                match strings.as_slice() {
                    [one] => format!("{head} {one}"),
                    many => format!("{head} (\n    {} )", many.join("\n    ")),
                }
            }
            RecordKind::Mx | RecordKind::A | RecordKind::Aaaa | RecordKind::Ptr | RecordKind::Tlsa => {
                format!("{head} {}", self.value)
            }
        }
    }
}

/// One finding.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// Which domain, host, key or address it is about; with the check's id it names the finding.
    pub subject: String,
    /// What was seen.
    pub seen: Seen,
    /// The exact records to publish; empty: none would help, or none is needed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub records: Vec<RecordToPublish>,
}

impl Finding {
    /// A finding without records.
    pub fn new(level: Level, subject: impl Into<String>, seen: Seen) -> Self {
        Finding { level, subject: subject.into(), seen, records: Vec::new() }
    }

    /// The same with a record to publish.
    #[must_use]
    pub fn with(mut self, record: RecordToPublish) -> Self {
        self.records.push(record);
        self
    }

    /// Its stable id, e.g. `spf.lookups`.
    pub fn check(&self) -> &'static str {
        self.seen.check()
    }

    /// What it is about.
    pub fn area(&self) -> Area {
        self.seen.area()
    }

    /// The DNS did not say.
    pub fn is_unanswered(&self) -> bool {
        matches!(self.seen, Seen::Unanswered { .. })
    }
}

/// What the doctor says about a domain.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Report {
    /// The header-From domain that was looked at, in lower case.
    pub domain: String,
    /// When; kept as milliseconds since 1970.
    #[serde(with = "crate::clock::millis")]
    pub at: Timestamp,
    /// What was found, the worst first, then by area.
    pub findings: Vec<Finding>,
}

impl Report {
    /// A report of these findings, in order and within bounds. Of too many the worst stay.
    pub fn new(domain: &str, at: Timestamp, mut findings: Vec<Finding>) -> Self {
        let place = |area: Area| Area::ALL.iter().position(|a| *a == area);
        findings.sort_by(|a, b| b.level.cmp(&a.level).then_with(|| place(a.area()).cmp(&place(b.area()))));
        findings.truncate(FINDINGS_MAX);
        Report { domain: domain.to_owned(), at, findings }
    }

    /// The worst level; nothing was found: [`Level::Ok`].
    pub fn worst(&self) -> Level {
        self.findings.iter().map(|f| f.level).max().unwrap_or(Level::Ok)
    }

    /// How many findings have this level.
    pub fn count(&self, level: Level) -> usize {
        self.findings.iter().filter(|f| f.level == level).count()
    }

    /// What is different since an earlier report of the same domain. What the DNS did not answer, then or now, has not changed:
    /// an outage of a resolver must not look like a repair.
    pub fn changes_since(&self, before: &Report) -> Vec<Change> {
        let unknown: BTreeSet<Area> =
            self.findings.iter().chain(&before.findings).filter(|f| f.is_unanswered()).map(Finding::area).collect();
        let by_name = |report: &Report| {
            let mut found: BTreeMap<(&'static str, String), Level> = BTreeMap::new();
            for finding in report.findings.iter().filter(|f| !unknown.contains(&f.area())) {
                let level = found.entry((finding.check(), finding.subject.clone())).or_insert(finding.level);
                *level = finding.level.max(*level);
            }
            found
        };
        let (was, is) = (by_name(before), by_name(self));
        let mut changes = Vec::new();
        for ((check, subject), after) in &is {
            let earlier = was.get(&(*check, subject.clone())).copied();
            if earlier != Some(*after) {
                changes.push(Change { check, subject: subject.clone(), before: earlier, after: Some(*after) });
            }
        }
        for ((check, subject), earlier) in &was {
            if !is.contains_key(&(*check, subject.clone())) {
                changes.push(Change { check, subject: subject.clone(), before: Some(*earlier), after: None });
            }
        }
        changes.sort_by(|a, b| b.worst().cmp(&a.worst()).then_with(|| a.check.cmp(b.check)));
        changes
    }
}

/// A finding whose level is not what it was.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Change {
    /// The check's id.
    pub check: &'static str,
    /// What it is about.
    pub subject: String,
    /// Its level before; `None`: there was no such finding.
    pub before: Option<Level>,
    /// Its level now; `None`: there is no such finding any more.
    pub after: Option<Level>,
}

impl Change {
    fn worst(&self) -> Option<Level> {
        self.after.max(self.before)
    }
}

/// A text from elsewhere, cut to what is kept.
pub fn clipped(text: &str) -> String {
    if text.len() <= TEXT_OCTETS_MAX {
        return text.to_owned();
    }
    let end = (0..=TEXT_OCTETS_MAX).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(level: Level, seen: Seen) -> Finding {
        Finding::new(level, "example.jp", seen)
    }

    fn missing(level: Level) -> Finding {
        finding(level, Seen::Spf(Spf::Missing { neighbours: Vec::new() }))
    }

    fn report(findings: Vec<Finding>) -> Report {
        Report::new("example.jp", Timestamp::from_millis(1), findings)
    }

    #[test]
    fn the_worst_comes_first_and_a_report_survives_being_kept() {
        let report = report(vec![
            finding(Level::Ok, Seen::Spf(Spf::Found { record: "v=spf1 -all".into() })),
            finding(Level::Error, Seen::TlsRpt(TlsRpt::Absent)),
            missing(Level::Error)
                .with(RecordToPublish::txt("example.jp", "v=spf1 ip4:192.0.2.1 -all"))
                .with(RecordToPublish::ptr("192.0.2.1".parse().expect("an address"), "mail.example.jp")),
        ]);
        let checks: Vec<&str> = report.findings.iter().map(Finding::check).collect();
        assert_eq!(checks, ["spf.record", "tlsrpt.record", "spf.record"]);
        assert_eq!((report.worst(), report.count(Level::Error)), (Level::Error, 2));
        let kept = serde_json::to_string(&report).expect("texts and numbers");
        assert_eq!(serde_json::from_str::<Report>(&kept).expect("what was written"), report);
        assert!(kept.contains("\"level\":\"error\"") && kept.contains("\"spf\":{\"missing\""), "{kept}");
    }

    #[test]
    fn an_outage_of_the_resolver_is_no_change() {
        let dark = |area| {
            finding(Level::Warning, Seen::Unanswered { area, asked: "TXT example.jp".into(), why: "SERVFAIL".into() })
        };
        let good = finding(Level::Ok, Seen::Spf(Spf::Found { record: "v=spf1 -all".into() }));
        let (bad, fine) = (report(vec![missing(Level::Error)]), report(vec![good.clone()]));
        let change = |now: &Report, then: &Report| {
            let changes = now.changes_since(then);
            changes.iter().map(|c| (c.check, c.before, c.after)).collect::<Vec<_>>()
        };
        assert_eq!(change(&fine, &bad), [("spf.record", Some(Level::Error), Some(Level::Ok))]);
        assert_eq!(change(&bad, &fine), [("spf.record", Some(Level::Ok), Some(Level::Error))]);
        assert_eq!(change(&bad, &bad), []);
        assert_eq!(change(&report(vec![dark(Area::Spf)]), &bad), []);
        assert_eq!(change(&bad, &report(vec![dark(Area::Spf)])), []);
        let other = report(vec![dark(Area::Dkim), missing(Level::Error)]);
        assert_eq!(change(&other, &fine), [("spf.record", Some(Level::Ok), Some(Level::Error))]);
        assert_eq!(change(&report(vec![]), &bad), [("spf.record", Some(Level::Error), None)]);
        assert_eq!(change(&fine, &report(vec![])), [("spf.record", None, Some(Level::Ok))]);
    }

    #[test]
    fn records_are_lines_of_a_zone_file() {
        let long = "a".repeat(300);
        for (record, line) in [
            (
                RecordToPublish::txt("_dmarc.example.jp", "v=DMARC1; p=none"),
                "_dmarc.example.jp. 3600 IN TXT \"v=DMARC1; p=none\"".to_owned(),
            ),
            (RecordToPublish::txt("x.jp", "a\"\\é\u{7}"), "x.jp. 3600 IN TXT \"a\\\"\\\\\\195\\169\\007\"".into()),
            (
                RecordToPublish::txt("x.jp", long.clone()),
                format!("x.jp. 3600 IN TXT (\n    \"{}\"\n    \"{}\" )", &long[..255], &long[255..]),
            ),
            (
                RecordToPublish::ptr("192.0.2.1".parse().expect("an address"), "a.b"),
                "1.2.0.192.in-addr.arpa. 3600 IN PTR a.b.".into(),
            ),
            (
                RecordToPublish::address("a.b", "2001:db8::1".parse().expect("an address")),
                "a.b. 3600 IN AAAA 2001:db8::1".into(),
            ),
        ] {
            assert_eq!(record.zone_line(), line);
        }
        assert_eq!(
            reverse_name("2001:db8::567:89ab".parse().expect("an address")),
            "b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"
        );
    }

    #[test]
    fn what_comes_from_elsewhere_is_cut() {
        assert_eq!(clipped("abc"), "abc");
        let cut = clipped(&"é".repeat(TEXT_OCTETS_MAX));
        assert!(cut.len() <= TEXT_OCTETS_MAX + 4 && cut.ends_with('…'));
        let many = (0..2 * FINDINGS_MAX).map(|_| missing(Level::Note)).collect();
        assert_eq!(report(many).findings.len(), FINDINGS_MAX);
    }
}
