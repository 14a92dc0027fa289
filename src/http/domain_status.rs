//! How our domains stand, in short: for `/status.json`, the front page and `hikyaku status`.
//!
//! In: the doctor's last report of each domain.  Out: a row each.
//! Always: bounded: the worst findings alone, the rest are counted; both languages are there, as the page and programs need them.

use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    doctor::{
        round::Standing,
        words::{self, Language},
    },
    http::daemon::Daemon,
    store::StoreError,
};

/// Domains in a status.
pub const DOMAINS_MAX: usize = 50;

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
    /// The same as a row.
    pub fn of(standing: &Standing) -> Self {
        DomainStatusOut {
            domain: standing.domain.clone(),
            checked_at: standing.at.map(Timestamp::rfc3339),
            errors: standing.errors,
            warnings: standing.warnings,
            worst: standing
                .worst
                .iter()
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
    let mut rows: Vec<DomainStatusOut> = daemon.domain_checks().standings()?.iter().map(DomainStatusOut::of).collect();
    rows.sort_by_key(|row| std::cmp::Reverse((row.errors, row.warnings)));
    rows.truncate(DOMAINS_MAX);
    Ok(rows)
}
