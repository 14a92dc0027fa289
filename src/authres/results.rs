//! What SPF, DKIM and DMARC say of a mail that came in, in types, in RFC 8601's words, and as a mark for reports.
//!
//! In: the three results; for a mark, whom a report names as its sender.  Out: text, a header field, a [`Marked`].
//! Always: nothing of a stranger's gets into a field but domain names and selectors, quoted where they are no tokens; a mark
//! is made from what was proven, never from what the mail says of itself.
//! Sources: RFC 8601 §2.2, §2.7 and §5; RFC 9989 §5.3; RFC 8460 §5.3; RFC 9990.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use crate::{
    dkim::verify::{DkimResult, Verified},
    dmarc::record::{Mode, Policy},
    lookup::is_below,
    mail::compose::Folder,
    spf,
};

/// Octets of a stranger's word in a field: the longest domain name, and a bit.
const WORD_OCTETS_MAX: usize = 260;

/// All that was found out about a mail.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Results {
    /// SPF of MAIL FROM, or of HELO where the sender is null.
    pub spf: spf::Outcome,
    /// Signature by signature, in the order of the mail; those that were looked at.
    pub dkim: Vec<Verified>,
    /// DMARC.
    pub dmarc: DmarcResult,
}

/// What DMARC says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DmarcResult {
    /// The result.
    pub result: DmarcWord,
    /// The domain of From, in A-labels; empty: From names none, or several.
    pub from: String,
    /// Its organizational domain; empty: unknown.
    pub organizational_domain: String,
    /// Where the record that applies stands; empty: none applies.
    pub policy_domain: String,
    /// What it wants of mail that fails, `t` heard.
    pub policy: Policy,
    /// The authenticated domains that are aligned with From, record or not.
    pub aligned: Vec<Aligned>,
    /// Why, in a sentence.
    pub why: String,
}

/// An authenticated domain that is aligned with From.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Aligned {
    /// `spf` or `dkim`.
    pub by: &'static str,
    /// The domain.
    pub domain: String,
    /// How close it had to be.
    pub mode: Mode,
}

/// The results of DMARC (RFC 9989 §9.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum DmarcWord {
    /// There is a record, and something is aligned.
    Pass,
    /// There is a record, and nothing is aligned.
    Fail,
    /// There is no record that applies, or no From.
    #[default]
    None,
    /// The DNS did not say.
    TempError,
    /// From names several domains: DMARC cannot say.
    PermError,
}

impl DmarcWord {
    /// The word.
    pub fn word(self) -> &'static str {
        match self {
            DmarcWord::Pass => "pass",
            DmarcWord::Fail => "fail",
            DmarcWord::None => "none",
            DmarcWord::TempError => "temperror",
            DmarcWord::PermError => "permerror",
        }
    }
}

impl Results {
    /// The results as RFC 8601 writes them: `spf=pass smtp.mailfrom=…; dkim=pass header.d=…; dmarc=pass header.from=…`.
    pub fn text(&self) -> String {
        self.parts().join("; ")
    }

    /// One part a method and signature.
    fn parts(&self) -> Vec<String> {
        let spf = &self.spf;
        let property = if spf.by_helo { "smtp.helo" } else { "smtp.mailfrom" };
        let mut parts = vec![with(format!("spf={}", spf.result.word()), property, &spf.domain)];
        if self.dkim.is_empty() {
            parts.push("dkim=none".to_owned());
        }
        for one in &self.dkim {
            let part = with(format!("dkim={}", one.result.word()), "header.d", &one.domain);
            parts.push(with(part, "header.s", &one.selector));
        }
        let dmarc = &self.dmarc;
        let mut part = format!("dmarc={}", dmarc.result.word());
        if !dmarc.policy_domain.is_empty() {
            let _ = write!(part, " (p={})", dmarc.policy.word());
        }
        parts.push(with(part, "header.from", &dmarc.from));
        parts
    }

    /// The whole header field, folded, with its line ends.
    pub fn field(&self, authserv_id: &str) -> String {
        let mut out = String::new();
        let mut folder = Folder::new(&mut out, "Authentication-Results");
        folder.word(&pvalue(authserv_id));
        for part in self.parts() {
            folder.glue(";");
            for (n, word) in part.split(' ').enumerate() {
                if n == 0 {
                    folder.line(word)
                } else {
                    folder.word(word)
                };
            }
        }
        folder.end();
        out
    }

    /// What a report in this mail is worth. `claims`: the domains of the organisation that it names, strictest first; empty: it
    /// names none.
    pub fn mark(&self, claims: &[Claim]) -> Marked {
        let dmarc = &self.dmarc;
        let marked = |mark, why: String| Marked { mark, from: dmarc.from.clone(), why };
        if let Some(aligned) = dmarc.aligned.first() {
            let proven = format!("{} of {} is aligned with From", aligned.by.to_uppercase(), aligned.domain);
            // Where the DNS did not say how far the organization reaches, the domain itself is certain.
            let is_certain = !dmarc.organizational_domain.is_empty();
            let organization = if is_certain { &dmarc.organizational_domain } else { &dmarc.from };
            let fits = |claim: &Claim| !organization.is_empty() && is_below(&claim.domain, organization);
            return match claims.iter().find(|claim| !fits(claim)) {
                None => marked(Mark::Verified, proven),
                Some(_) if !is_certain => {
                    marked(Mark::Unknown, format!("the DNS did not say which organization {} belongs to", dmarc.from))
                }
                Some(claim) if claim.is_name => {
                    marked(Mark::Forged, format!("it says that {} reports, but {} sent it", claim.domain, dmarc.from))
                }
                // Large receivers answer for their reports from another domain than the one that sends them.
                Some(claim) if !claims.iter().any(fits) => {
                    marked(Mark::Unverified, format!("its contact is at {}, but {} sent it", claim.domain, dmarc.from))
                }
                Some(_) => marked(Mark::Verified, proven),
            };
        }
        match dmarc.result {
            DmarcWord::TempError => marked(Mark::Unknown, "the DNS did not say whose mail it is".to_owned()),
            DmarcWord::Fail if dmarc.policy != Policy::None => marked(
                Mark::Forged,
                format!("it is not from {}, whose DMARC record says p={}", dmarc.from, dmarc.policy.word()),
            ),
            // Silence of the DNS may hide what would have proven it.
            DmarcWord::Fail | DmarcWord::None if self.is_uncertain() => {
                marked(Mark::Unknown, "the DNS did not say whose mail it is".to_owned())
            }
            DmarcWord::PermError => marked(Mark::Unverified, "From names several domains".to_owned()),
            DmarcWord::Pass | DmarcWord::Fail | DmarcWord::None => {
                marked(Mark::Unverified, "neither SPF nor DKIM proves whose mail it is".to_owned())
            }
        }
    }

    /// The DNS did not say of SPF, or of a signature.
    pub(super) fn is_uncertain(&self) -> bool {
        self.spf.result == spf::SpfResult::TempError || self.dkim.iter().any(|d| d.result == DkimResult::TempError)
    }
}

/// A domain that a report claims to be from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Claim {
    /// The domain.
    pub domain: String,
    /// It is the reporter's name (the organisation, the submitter), which people read; else a contact.
    pub is_name: bool,
}

impl Claim {
    /// From an organisation's name, where that is a domain name: `google.com`, not `Fastmail Pty Ltd`.
    pub fn name(text: &str) -> Option<Self> {
        Self::domain(text, true)
    }

    /// From a contact: an address, a `mailto:` URI, or a list of which the first counts.
    pub fn contact(text: &str) -> Option<Self> {
        let text = text.trim().trim_start_matches('<');
        let text = if text.len() >= 7 && text.is_char_boundary(7) && text[..7].eq_ignore_ascii_case("mailto:") {
            &text[7..]
        } else {
            text
        };
        let (_, domain) = text.split(['?', ',', ';', ' ', '>']).next()?.rsplit_once('@')?;
        Self::domain(domain, false)
    }

    fn domain(text: &str, is_name: bool) -> Option<Self> {
        let text = text.trim();
        let looks_so = text.contains('.') && !text.contains(|c: char| c.is_whitespace() || c == '@' || c == '/');
        let domain = looks_so.then(|| crate::dmarc::tree_walk::normal(text))??;
        let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        // The last label of a name that people register has a letter: `1.2.3.4` and `v2.0` are none.
        let tld_is_valid = domain.rsplit('.').next().is_some_and(|tld| tld.chars().any(|c| c.is_ascii_alphabetic()));
        (domain.chars().all(is_host) && tld_is_valid).then_some(Claim { domain, is_name })
    }
}

/// What a report is worth.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// SPF or DKIM proves that it is from whom it names.
    Verified,
    /// Nothing proves it, and nothing speaks against it.
    Unverified,
    /// It is not from whom it names.
    Forged,
    /// The DNS did not say.
    Unknown,
}

impl Mark {
    /// The word in tables and logs.
    pub fn word(self) -> &'static str {
        match self {
            Mark::Verified => "verified",
            Mark::Unverified => "unverified",
            Mark::Forged => "forged",
            Mark::Unknown => "unknown",
        }
    }
}

/// A mark, as it is kept with a report.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Marked {
    /// The mark.
    pub mark: Mark,
    /// The domain of From; empty: there is none.
    pub from: String,
    /// Why, in a few words.
    pub why: String,
}

/// A part with a property, where there is a value.
fn with(mut part: String, property: &str, value: &str) -> String {
    if !value.is_empty() {
        let _ = write!(part, " {property}={}", pvalue(value));
    }
    part
}

/// A value as RFC 8601 §2.2 lets it stand: a token, or quoted; without controls and blanks, bounded.
fn pvalue(text: &str) -> String {
    let is_token = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '+' | '!' | '#' | '$' | '*');
    let text: String = text.chars().filter(|c| !c.is_control() && !c.is_whitespace()).take(WORD_OCTETS_MAX).collect();
    if !text.is_empty() && text.chars().all(is_token) {
        return text;
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_ascii() => out.push(c),
            _ => out.push('?'),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
#[path = "results_tests.rs"]
mod tests;
