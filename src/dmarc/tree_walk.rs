//! The DNS tree walk: which DMARC record applies to mail from a domain, and where its organization ends.
//!
//! In: a domain.  Out: a [`Discovery`]: the record, the policy, the organizational domain, and every step on the way (R1).
//! Always: eight questions at most, however long the name; several records at one name are none; a name between the domain and
//! its organizational domain gives no policy; trouble of the DNS is told as such, never as "no record": what is known in spite
//! of it stands, and the rest is unknown.
//! Sources: RFC 9989 §3.2.13, §4.10, §4.10.1 and §4.10.2; RFC 8020; PRODUCT.md R1.

use std::fmt;

use super::record::{self, Mode, Policy, Psd, Record, Relation, Remark};
use crate::lookup::{self, DnsError, Lookup};

/// Labels of the longest name that is asked for above the first.
pub const LABELS_MAX: usize = 7;
/// TXT records of one name that are looked at: a name below `_dmarc` has one.
const RECORDS_MAX: usize = 100;

/// Whose record applies.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Whence {
    /// The domain's own.
    Own,
    /// That of its organizational domain.
    Organizational,
    /// That of the public suffix above the organization.
    PublicSuffix,
}

/// What one name holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Found {
    /// One record.
    Record {
        /// As published.
        text: String,
        /// What it says.
        record: Box<Record>,
        /// What receivers pass over in it.
        remarks: Vec<Remark>,
    },
    /// None: there is no such name, or nothing that is a DMARC record.
    Nothing,
    /// Several, which count as none: their texts.
    Several(Vec<String>),
    /// The DNS did not say.
    Trouble(DnsError),
}

/// One question of the walk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// The domain; the question is for `_dmarc.` and it.
    pub name: String,
    /// The answer.
    pub found: Found,
}

impl Step {
    fn record(&self) -> Option<&Record> {
        match &self.found {
            Found::Record { record, .. } => Some(record),
            Found::Nothing | Found::Several(_) | Found::Trouble(_) => None,
        }
    }
}

/// A sentence for people.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        match &self.found {
            Found::Record { text, .. } => write!(f, "_dmarc.{name}: {text}"),
            Found::Nothing => write!(f, "_dmarc.{name}: no DMARC record"),
            Found::Several(texts) => write!(f, "_dmarc.{name}: {} DMARC records, which count as none", texts.len()),
            Found::Trouble(error) => write!(f, "_dmarc.{name}: the DNS did not say ({error})"),
        }
    }
}

/// What was found out about a domain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Discovery {
    /// The domain, in A-labels and small letters.
    pub domain: String,
    /// Where the record that applies stands.
    pub policy_domain: Option<String>,
    /// The record that applies. `None` with `trouble`: unknown.
    pub record: Option<Record>,
    /// As published.
    pub text: Option<String>,
    /// What receivers pass over in it.
    pub remarks: Vec<Remark>,
    /// What it wants of failing mail from this domain: none where no record applies. `t` is left aside.
    pub effective: Policy,
    /// The tag that says so: `p`, `sp` or `np`.
    pub tag: &'static str,
    /// DMARC applies: there is a record, and it is not void (RFC 9989 §4.10.1).
    pub applies: bool,
    /// Whose record it is.
    pub whence: Option<Whence>,
    /// The domain at which the organization ends; the domain itself where nothing above says otherwise. With `trouble`, what is
    /// known so far.
    pub organizational_domain: String,
    /// The domain exists: a question for it is not answered NXDOMAIN. `None`: it was not asked, or the DNS did not say.
    pub exists: Option<bool>,
    /// The walk, from the domain upwards.
    pub steps: Vec<Step>,
    /// The first trouble on the way.
    pub trouble: Option<DnsError>,
}

impl Discovery {
    /// Of a domain about which nothing could be asked.
    pub fn unanswered(domain: &str, trouble: DnsError) -> Self {
        nothing(domain.to_owned(), Vec::new(), Some(trouble))
    }

    /// What is asked of receivers once `t=y` is heard, too.
    pub fn applied(&self) -> Policy {
        match &self.record {
            Some(record) if record.testing => self.effective.softened(),
            Some(_) | None => self.effective,
        }
    }

    /// The organizational domain is certain: no step that could change it went without an answer.
    pub fn organization_is_known(&self) -> bool {
        self.trouble.is_none()
    }

    /// Why this record applies, in a sentence.
    pub fn why(&self) -> String {
        let Discovery { domain, organizational_domain, tag, .. } = self;
        let Some(whence) = self.whence else {
            return match &self.trouble {
                Some(error) => format!("The DNS did not say which record applies to {domain} ({error})."),
                None => format!("No DMARC record applies to {domain}: neither its own name nor one above it has one."),
            };
        };
        let policy_domain = self.policy_domain.as_deref().unwrap_or_default();
        let state = match self.exists {
            Some(false) => "which does not exist in the DNS",
            Some(true) | None => "which exists",
        };
        match whence {
            Whence::Own => {
                format!("{domain} has its own record, which goes before every record above it; its {tag} applies.")
            }
            Whence::Organizational => format!(
                "{domain} has no record of its own; its organizational domain {organizational_domain} has one, and its {tag} \
                 applies to {domain}, {state}."
            ),
            Whence::PublicSuffix => format!(
                "Neither {domain} nor its organizational domain {organizational_domain} has a record; {policy_domain}, below \
                 which others register their domains, has one, and its {tag} applies to {domain}, {state}."
            ),
        }
    }
}

/// The name as it is asked for: A-labels, small letters, no last dot; `None`: it is no domain name.
pub fn normal(domain: &str) -> Option<String> {
    lookup::normal_name(domain)
}

/// The names of a walk, from the domain upwards: eight at most.
pub fn names(domain: &str) -> Vec<&str> {
    let mut names = vec![domain];
    let mut labels = domain.split('.').count();
    let mut rest = domain;
    while let Some((_, above)) = rest.split_once('.') {
        rest = above;
        labels -= 1;
        if labels <= LABELS_MAX {
            names.push(above);
        }
    }
    names
}

/// A record that is about to be published: a walk sees it in place of what its name holds.
#[derive(Clone, Copy, Debug)]
pub struct Planned<'a> {
    /// Its domain, in A-labels and small letters.
    pub domain: &'a str,
    /// Its text.
    pub text: &'a str,
}

/// Asks one name.
async fn ask(dns: &dyn Lookup, name: &str, planned: Option<Planned<'_>>) -> Step {
    let answer = match planned {
        Some(planned) if planned.domain == name => Ok(vec![planned.text.to_owned()]),
        Some(_) | None => dns.txt(&format!("_dmarc.{name}")).await.records,
    };
    let found = match answer {
        Ok(texts) => {
            let mut texts: Vec<String> =
                texts.into_iter().take(RECORDS_MAX).filter(|text| record::is_record(text)).collect();
            match (texts.len(), texts.pop()) {
                (1, Some(text)) => match Record::parse(&text) {
                    Ok((record, remarks)) => Found::Record { text, record: Box::new(record), remarks },
                    Err(_) => Found::Nothing,
                },
                (0, _) | (_, None) => Found::Nothing,
                (_, Some(last)) => {
                    texts.push(last);
                    Found::Several(texts)
                }
            }
        }
        Err(DnsError::NxDomain | DnsError::NoData | DnsError::BadName) => Found::Nothing,
        Err(error @ (DnsError::Servfail(_) | DnsError::Timeout(_))) => Found::Trouble(error),
    };
    Step { name: name.to_owned(), found }
}

/// Walks from a normal name upwards, until a record says that the walk ends.
async fn walk(dns: &dyn Lookup, domain: &str, planned: Option<Planned<'_>>) -> Vec<Step> {
    let mut steps = Vec::new();
    for name in names(domain) {
        let step = ask(dns, name, planned).await;
        let ends = step.record().is_some_and(|record| record.psd != Psd::Unknown);
        steps.push(step);
        if ends {
            break;
        }
    }
    steps
}

/// The first step that was not answered.
fn trouble_of(steps: &[Step]) -> Option<DnsError> {
    steps.iter().find_map(|step| match &step.found {
        Found::Trouble(error) => Some(error.clone()),
        Found::Record { .. } | Found::Nothing | Found::Several(_) => None,
    })
}

/// The organizational domain that a walk found (§4.10.2), and the public suffix with a record above it.
fn organization(domain: &str, steps: &[Step]) -> (String, Option<usize>) {
    let mut top = None;
    for (n, step) in steps.iter().enumerate() {
        let Some(record) = step.record() else { continue };
        match record.psd {
            Psd::No => return (step.name.clone(), None),
            Psd::Yes if n > 0 => return (one_below(domain, &step.name), Some(n)),
            Psd::Yes | Psd::Unknown => top = Some(step),
        }
    }
    (top.map_or_else(|| domain.to_owned(), |step| step.name.clone()), None)
}

/// The name one label below `above` on the way to `domain`.
fn one_below(domain: &str, above: &str) -> String {
    let lead = domain.strip_suffix(above).and_then(|lead| lead.strip_suffix('.')).unwrap_or_default();
    let label = lead.rsplit('.').next().unwrap_or_default();
    if label.is_empty() { domain.to_owned() } else { format!("{label}.{above}") }
}

/// Finds the record that applies to mail from a domain, and its organizational domain.
pub async fn discover(dns: &dyn Lookup, domain: &str) -> Discovery {
    let Some(name) = normal(domain) else {
        return nothing(domain.to_owned(), Vec::new(), Some(DnsError::BadName));
    };
    let steps = walk(dns, &name, None).await;
    let (organizational_domain, suffix) = organization(&name, &steps);
    let trouble = trouble_of(&steps);
    let at = |wanted: &str| steps.iter().position(|step| step.name == wanted && step.record().is_some());
    let applying = match at(&name) {
        Some(own) => Some((own, Whence::Own)),
        // A record that an unanswered step may hide goes before those above it.
        None if trouble.is_some() => None,
        None => at(&organizational_domain)
            .map(|n| (n, Whence::Organizational))
            .or_else(|| suffix.map(|n| (n, Whence::PublicSuffix))),
    };
    let Some((n, whence)) = applying else {
        return Discovery { organizational_domain, ..nothing(name, steps, trouble) };
    };
    let Found::Record { text, record, remarks } = steps[n].found.clone() else {
        return Discovery { organizational_domain, ..nothing(name, steps, trouble) };
    };
    let (exists, unknown) = match whence {
        Whence::Own => (None, None),
        Whence::Organizational | Whence::PublicSuffix => exists(dns, &name).await,
    };
    let relation = match (whence, exists) {
        (Whence::Own, _) => Relation::Own,
        (_, Some(false)) => Relation::AbsentSubdomain,
        (_, Some(true) | None) => Relation::Subdomain,
    };
    let policy = record.policy(relation);
    Discovery {
        policy_domain: Some(steps[n].name.clone()),
        text: Some(text),
        remarks,
        effective: policy.unwrap_or_default(),
        tag: record.policy_tag(relation),
        applies: policy.is_some(),
        whence: Some(whence),
        organizational_domain,
        exists,
        // Whether np or sp applies is unknown only where they differ.
        trouble: trouble.or(unknown.filter(|_| record.policy(Relation::AbsentSubdomain) != policy)),
        record: Some(*record),
        steps,
        domain: name,
    }
}

fn nothing(domain: String, steps: Vec<Step>, trouble: Option<DnsError>) -> Discovery {
    Discovery {
        organizational_domain: domain.clone(),
        domain,
        policy_domain: None,
        record: None,
        text: None,
        remarks: Vec::new(),
        effective: Policy::None,
        tag: "p",
        applies: false,
        whence: None,
        exists: None,
        steps,
        trouble,
    }
}

/// Whether a name exists: NXDOMAIN alone says that it does not (RFC 9989 §3.2.13, RFC 8020).
async fn exists(dns: &dyn Lookup, name: &str) -> (Option<bool>, Option<DnsError>) {
    match dns.a(name).await.records {
        Ok(_) | Err(DnsError::NoData) => (Some(true), None),
        Err(DnsError::NxDomain | DnsError::BadName) => (Some(false), None),
        Err(error @ (DnsError::Servfail(_) | DnsError::Timeout(_))) => (None, Some(error)),
    }
}

/// The organizational domain of a domain.
///
/// # Errors
/// The DNS did not say, or it is no domain name.
pub async fn organizational_domain(dns: &dyn Lookup, domain: &str) -> Result<String, DnsError> {
    organizational_domain_with(dns, domain, None).await
}

/// The organizational domain of a domain, once a planned record is published.
///
/// # Errors
/// The DNS did not say, or it is no domain name.
pub async fn organizational_domain_with(
    dns: &dyn Lookup,
    domain: &str,
    planned: Option<Planned<'_>>,
) -> Result<String, DnsError> {
    let name = normal(domain).ok_or(DnsError::BadName)?;
    let steps = walk(dns, &name, planned).await;
    match trouble_of(&steps) {
        Some(error) => Err(error),
        None => Ok(organization(&name, &steps).0),
    }
}

/// Whether an authenticated domain (of SPF, or `d=` of a signature that verified) is aligned with the domain of From, whose
/// walk is `author`. The same domain is aligned whatever the DNS says.
///
/// # Errors
/// The DNS did not say.
pub async fn aligned(dns: &dyn Lookup, mode: Mode, author: &Discovery, authenticated: &str) -> Result<bool, DnsError> {
    let Some(authenticated) = normal(authenticated) else { return Ok(false) };
    if authenticated == author.domain {
        return Ok(true);
    }
    if mode == Mode::Strict || !share_a_suffix(&authenticated, &author.domain) {
        return Ok(false);
    }
    let theirs = organizational_domain(dns, &authenticated).await?;
    match &author.trouble {
        Some(error) => Err(error.clone()),
        None => Ok(theirs == author.organizational_domain),
    }
}

/// Two names below the same last label: others have no common organization, which saves the walk.
fn share_a_suffix(a: &str, b: &str) -> bool {
    a.rsplit('.').next() == b.rsplit('.').next()
}

#[cfg(test)]
#[path = "tree_walk_tests.rs"]
mod tests;
