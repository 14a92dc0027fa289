//! How our domains stand, in short: for `/status.json`, the front page and `hikyaku status`.
//!
//! In: the doctor's last report of each domain.  Out: a row each.
//! Always: bounded: the worst findings alone, the rest are counted; both languages are there, as the page and programs need them.

use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    doctor::{
        finding::{Finding, Level, Report},
        words::{self, Language},
    },
    http::daemon::Daemon,
    store::StoreError,
};

/// Domains in a status.
pub const DOMAINS_MAX: usize = 50;
/// Findings of each that are named.
const FINDINGS_MAX: usize = 3;

/// A domain in short.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct DomainStatusOut {
    /// The domain.
    pub domain: String,
    /// When it was looked at, RFC 3339; `null`: not yet.
    pub checked_at: Option<String>,
    /// Findings because of which mail is refused.
    pub errors: usize,
    /// Findings that want work.
    pub warnings: usize,
    /// The worst of them.
    pub worst: Vec<WorstOut>,
}

/// One finding.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct WorstOut {
    /// The check, `spf.lookups`.
    pub check: String,
    /// `warning`, `error`.
    pub level: String,
    /// What was seen, in English.
    pub seen: String,
    /// The same in Japanese.
    pub seen_ja: String,
}

impl DomainStatusOut {
    /// Of a report; `None`: nobody looked yet.
    pub fn new(domain: &str, report: Option<&Report>) -> Self {
        let count = |level| report.map_or(0, |report| report.count(level));
        let bad = |finding: &&Finding| finding.level >= Level::Warning;
        DomainStatusOut {
            domain: domain.to_owned(),
            checked_at: report.map(|report| report.at).map(Timestamp::rfc3339),
            errors: count(Level::Error),
            warnings: count(Level::Warning),
            worst: report
                .into_iter()
                .flat_map(|report| report.findings.iter().filter(bad).take(FINDINGS_MAX))
                .map(|finding| WorstOut {
                    check: finding.check().to_owned(),
                    level: finding.level.word().to_owned(),
                    seen: words::seen(finding, Language::English),
                    seen_ja: words::seen(finding, Language::Japanese),
                })
                .collect(),
        }
    }

    /// It wants work.
    pub fn is_bad(&self) -> bool {
        self.errors + self.warnings > 0
    }
}

/// The domains, those with errors first, as far as a status names them.
///
/// # Errors
/// The store's.
pub fn domains(daemon: &dyn Daemon) -> Result<Vec<DomainStatusOut>, StoreError> {
    let all = daemon.domain_checks().all()?;
    let mut rows: Vec<DomainStatusOut> =
        all.iter().map(|(domain, report)| DomainStatusOut::new(domain, report.as_ref())).collect();
    rows.sort_by_key(|row| std::cmp::Reverse((row.errors, row.warnings)));
    rows.truncate(DOMAINS_MAX);
    Ok(rows)
}
