//! One check: may this host send in this domain's name?
//!
//! In: a [`Query`], the DNS.  Out: an [`Outcome`].
//! Always: see the room's page; a host name of `mx` and `ptr` past the tenth is never asked for, an explanation is asked for only
//! where somebody wants it.
//! Sources: RFC 7208 §2.4, §4, §5, §6; errata 5227 and 6721.

use std::{future::Future, net::IpAddr, pin::Pin};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{
    HOSTS_MAX, LOOKUPS_MAX, Outcome, Query, SpfResult, VOID_LOOKUPS_MAX,
    macros::{self, Letters, MacroString},
    record::{self, Directive, Mechanism, Qualifier, Record},
};
use crate::{
    clock::Timestamp,
    lookup::{Answer, DnsError, Lookup, is_below},
};

/// Octets of an explanation that are kept.
const EXPLANATION_OCTETS_MAX: usize = 1_000;

/// What an explanation may tell.
#[derive(Clone, Copy, Debug)]
pub struct Explaining<'a> {
    /// Our name, for `%{r}`.
    pub receiver: &'a str,
    /// Now, for `%{t}`.
    pub now: Timestamp,
}

/// Checks a host.
pub async fn check(dns: &dyn Lookup, query: Query<'_>) -> Outcome {
    run(dns, query, None).await
}

/// Checks a host; of a domain that has words for a fail, they are asked for.
pub async fn check_explained(dns: &dyn Lookup, query: Query<'_>, explaining: Explaining<'_>) -> Outcome {
    run(dns, query, Some(explaining)).await
}

async fn run(dns: &dyn Lookup, query: Query<'_>, explaining: Option<Explaining<'_>>) -> Outcome {
    let (local, domain) = query.sender.map_or(("", query.helo), |sender| (sender.local(), sender.domain()));
    let outcome = run_as(dns, (query.ip, query.helo), (local, domain), explaining).await;
    Outcome { by_helo: query.sender.is_none(), ..outcome }
}

/// Checks a host and a sender that may be anything: `(address, HELO)`, `(local part, domain)`.
async fn run_as(
    dns: &dyn Lookup,
    (ip, helo): (IpAddr, &str),
    (local, domain): (&str, &str),
    explaining: Option<Explaining<'_>>,
) -> Outcome {
    let outcome = Outcome::default();
    let Some(domain) = checked(domain) else {
        let domain = domain.to_ascii_lowercase();
        let why = format!("\"{}\" is no domain that could have a record", domain.escape_debug());
        return Outcome { domain, why, ..outcome };
    };
    let mut checking = Checking {
        dns,
        ip: ip.to_canonical(),
        helo: helo.trim_end_matches('.'),
        local: if local.is_empty() { "postmaster" } else { local },
        sender_domain: &domain,
        explaining,
        lookups: 0,
        void_lookups: 0,
        validated: None,
    };
    let ended = match checking.evaluate(domain.clone()).await {
        Ok(ended) => ended,
        Err(Broken { temporary, why }) => {
            let result = if temporary { SpfResult::TempError } else { SpfResult::PermError };
            Ended { result, why, ..Ended::default() }
        }
    };
    let explanation = match (&ended.exp, explaining) {
        (Some((exp, of)), Some(explaining)) if ended.result == SpfResult::Fail => {
            checking.explain(exp, of, explaining).await
        }
        _ => None,
    };
    let (lookups, void_lookups) = (checking.lookups, checking.void_lookups);
    let Ended { result, matched, why, .. } = ended;
    Outcome { result, domain, matched, why, explanation, lookups, void_lookups, ..outcome }
}

/// The domain as it is asked for; `None`: malformed, a literal, or a single label (RFC 7208 §4.3).
fn checked(domain: &str) -> Option<String> {
    let name = crate::lookup::normal_name(domain)?;
    (name.contains('.') && !name.starts_with('[')).then_some(name)
}

/// Why an evaluation ends without a result of the domain's.
struct Broken {
    temporary: bool,
    why: String,
}

fn permanent(why: String) -> Broken {
    Broken { temporary: false, why }
}

fn temporary(what: &str, error: &DnsError) -> Broken {
    Broken { temporary: true, why: format!("the DNS did not say what {what} holds ({error})") }
}

/// How an evaluation ended.
#[derive(Default)]
struct Ended {
    result: SpfResult,
    matched: String,
    why: String,
    /// The explanation of the record that decided, and its domain.
    exp: Option<(MacroString, String)>,
}

/// An evaluation on its way: includes nest.
type Evaluating<'s> = Pin<Box<dyn Future<Output = Result<Ended, Broken>> + Send + 's>>;

struct Checking<'a> {
    dns: &'a dyn Lookup,
    ip: IpAddr,
    helo: &'a str,
    local: &'a str,
    sender_domain: &'a str,
    explaining: Option<Explaining<'a>>,
    lookups: usize,
    void_lookups: usize,
    /// The host's names that lead back to it, once they were asked for.
    validated: Option<Vec<String>>,
}

impl<'a> Checking<'a> {
    /// Evaluates a domain's record, and those that it redirects to.
    fn evaluate(&mut self, domain: String) -> Evaluating<'_> {
        Box::pin(self.evaluate_from(domain))
    }

    async fn evaluate_from(&mut self, domain: String) -> Result<Ended, Broken> {
        let mut domain = domain;
        let mut redirected = false;
        // Ends: every redirect is a look-up, and those are counted.
        loop {
            let Some(record) = self.record_of(&domain).await? else {
                if redirected {
                    return Err(permanent(format!("redirect leads to {domain}, which has no SPF record")));
                }
                let why = format!("{domain} has no SPF record");
                return Ok(Ended { result: SpfResult::None, why, ..Ended::default() });
            };
            for directive in &record.directives {
                if self.matches(directive, &domain).await? {
                    let (result, verb) = match directive.qualifier {
                        Qualifier::Pass => (SpfResult::Pass, "may send"),
                        Qualifier::Fail => (SpfResult::Fail, "may not send"),
                        Qualifier::SoftFail => (SpfResult::SoftFail, "probably may not send"),
                        Qualifier::Neutral => (SpfResult::Neutral, "may or may not send"),
                    };
                    return Ok(Ended {
                        result,
                        matched: directive.text.clone(),
                        why: format!("{} {verb}: {directive} in the record of {domain}", self.ip),
                        exp: record.exp.map(|exp| (exp, domain)),
                    });
                }
            }
            let Some(redirect) = record.redirect else {
                let why = format!("nothing in the record of {domain} matches {}", self.ip);
                return Ok(Ended { result: SpfResult::Neutral, why, ..Ended::default() });
            };
            self.count_lookup("redirect")?;
            domain = self.target(&redirect, &domain).await;
            redirected = true;
        }
    }

    /// The one record of a domain; `None`: it has none.
    async fn record_of(&self, domain: &str) -> Result<Option<Record>, Broken> {
        if checked(domain).is_none() {
            return Ok(None);
        }
        let texts = match self.dns.txt(domain).await.records {
            Ok(texts) => texts,
            Err(DnsError::NxDomain | DnsError::NoData | DnsError::BadName) => return Ok(None),
            Err(error) => return Err(temporary(domain, &error)),
        };
        let mut records = texts.iter().filter(|text| record::is_record(text));
        match (records.next(), records.next()) {
            (None, _) => Ok(None),
            (Some(_), Some(_)) => Err(permanent(format!("{domain} has several SPF records"))),
            (Some(text), None) => match record::parse(text) {
                Ok(record) => Ok(Some(record)),
                Err(fault) => Err(permanent(format!("the record of {domain} cannot be read: {fault}"))),
            },
        }
    }

    async fn matches(&mut self, directive: &Directive, domain: &str) -> Result<bool, Broken> {
        match &directive.mechanism {
            Mechanism::All => Ok(true),
            Mechanism::Ip4(address, length) => {
                Ok(Ipv4Net::new(*address, *length).is_ok_and(|net| IpNet::V4(net).contains(&self.ip)))
            }
            Mechanism::Ip6(address, length) => {
                Ok(Ipv6Net::new(*address, *length).is_ok_and(|net| IpNet::V6(net).contains(&self.ip)))
            }
            Mechanism::Include(target) => {
                self.count_lookup(&directive.text)?;
                let target = self.target(target, domain).await;
                match self.evaluate(target.clone()).await?.result {
                    SpfResult::Pass => Ok(true),
                    SpfResult::Fail | SpfResult::SoftFail | SpfResult::Neutral => Ok(false),
                    SpfResult::None => Err(permanent(format!("{domain} includes {target}, which has no SPF record"))),
                    // Errors of the record there end this evaluation, too.
                    SpfResult::TempError | SpfResult::PermError => Ok(false),
                }
            }
            Mechanism::A(target, four, six) => {
                self.count_lookup(&directive.text)?;
                let target = self.target_or(target.as_ref(), domain).await;
                self.has_address(&target, *four, *six).await
            }
            Mechanism::Mx(target, four, six) => {
                self.count_lookup(&directive.text)?;
                let target = self.target_or(target.as_ref(), domain).await;
                let hosts = self.dns.mx(&target).await;
                let hosts = self.some(hosts, &target)?;
                if hosts.len() > HOSTS_MAX {
                    return Err(permanent(format!("{target} has more than {HOSTS_MAX} MX hosts")));
                }
                for host in hosts.iter().filter(|mx| !mx.host.is_empty()) {
                    if self.has_address(&host.host, *four, *six).await? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Mechanism::Ptr(target) => {
                self.count_lookup(&directive.text)?;
                let target = self.target_or(target.as_ref(), domain).await;
                let names = self.validated().await?;
                Ok(names.iter().any(|name| is_below(name, &target)))
            }
            Mechanism::Exists(target) => {
                self.count_lookup(&directive.text)?;
                let target = self.target(target, domain).await;
                let found = self.dns.a(&target).await;
                Ok(!self.some(found, &target)?.is_empty())
            }
        }
    }

    /// A name has the host's address, as far as the prefix goes.
    async fn has_address(&mut self, name: &str, four: u8, six: u8) -> Result<bool, Broken> {
        match self.ip {
            IpAddr::V4(ip) => {
                let found = self.dns.a(name).await;
                let found = self.some(found, name)?;
                Ok(found.iter().any(|a| Ipv4Net::new(*a, four).is_ok_and(|net| net.contains(&ip))))
            }
            IpAddr::V6(ip) => {
                let found = self.dns.aaaa(name).await;
                let found = self.some(found, name)?;
                Ok(found.iter().any(|a| Ipv6Net::new(*a, six).is_ok_and(|net| net.contains(&ip))))
            }
        }
    }

    /// The host's names that lead back to its address; asked for once.
    async fn validated(&mut self) -> Result<Vec<String>, Broken> {
        if let Some(names) = &self.validated {
            return Ok(names.clone());
        }
        let mut validated = Vec::new();
        let answer = self.dns.ptr(self.ip).await;
        // Trouble means no match here, not an error (§5.5).
        let names = match &answer.records {
            Err(error) if error.is_temporary() => Vec::new(),
            _ => self.some(answer, "its reverse name")?,
        };
        for name in names.into_iter().take(HOSTS_MAX) {
            let leads_back = match self.ip {
                IpAddr::V4(ip) => self.dns.a(&name).await.records.is_ok_and(|found| found.contains(&ip)),
                IpAddr::V6(ip) => self.dns.aaaa(&name).await.records.is_ok_and(|found| found.contains(&ip)),
            };
            if leads_back {
                validated.push(name.trim_end_matches('.').to_ascii_lowercase());
            }
        }
        self.validated = Some(validated.clone());
        Ok(validated)
    }

    /// The records of an answer; an empty one is counted.
    fn some<T>(&mut self, answer: Answer<T>, name: &str) -> Result<Vec<T>, Broken> {
        match answer.records {
            Ok(records) => Ok(records),
            Err(DnsError::NxDomain | DnsError::NoData | DnsError::BadName) => {
                self.void_lookups += 1;
                if self.void_lookups > VOID_LOOKUPS_MAX {
                    return Err(permanent(format!("more than {VOID_LOOKUPS_MAX} look-ups find nothing ({name})")));
                }
                Ok(Vec::new())
            }
            Err(error) => Err(temporary(name, &error)),
        }
    }

    fn count_lookup(&mut self, term: &str) -> Result<(), Broken> {
        self.lookups += 1;
        if self.lookups > LOOKUPS_MAX {
            return Err(permanent(format!("more than {LOOKUPS_MAX} DNS look-ups ({term})")));
        }
        Ok(())
    }

    async fn target_or(&mut self, target: Option<&MacroString>, domain: &str) -> String {
        match target {
            Some(target) => self.target(target, domain).await,
            None => domain.to_owned(),
        }
    }

    async fn target(&mut self, target: &MacroString, domain: &str) -> String {
        let validated = self.name_for(target, domain).await;
        target.domain(&self.letters(domain, &validated, self.explaining))
    }

    /// `%{p}`, if it is needed: the domain itself, a name below it, any other, or `unknown` (§7.3).
    async fn name_for(&mut self, text: &MacroString, domain: &str) -> String {
        if !text.uses_validated() {
            return String::new();
        }
        let names = self.validated().await.unwrap_or_default();
        let best = names
            .iter()
            .find(|name| *name == domain)
            .or_else(|| names.iter().find(|name| is_below(name, domain)))
            .or_else(|| names.first());
        best.cloned().unwrap_or_else(|| "unknown".to_owned())
    }

    fn letters<'l>(&'l self, domain: &'l str, validated: &'l str, explaining: Option<Explaining<'l>>) -> Letters<'l> {
        Letters {
            local: self.local,
            sender_domain: self.sender_domain,
            domain,
            ip: self.ip,
            validated,
            helo: self.helo,
            receiver: explaining.map_or("unknown", |e| e.receiver),
            seconds: explaining.map_or(0, |e| e.now.as_seconds()),
        }
    }

    /// The domain's words; `None` where anything is wrong with them (§6.2).
    async fn explain(&mut self, exp: &MacroString, domain: &str, explaining: Explaining<'_>) -> Option<String> {
        let target = self.target(exp, domain).await;
        let texts = self.dns.txt(&target).await.records.ok()?;
        let [text] = texts.as_slice() else { return None };
        let text = macros::explanation(text).ok()?;
        let validated = self.name_for(&text, domain).await;
        let words = text.expand(&self.letters(domain, &validated, Some(explaining)));
        let is_plain = !words.is_empty() && words.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
        (is_plain && words.len() <= EXPLANATION_OCTETS_MAX).then_some(words)
    }
}

#[cfg(test)]
#[path = "suite_tests.rs"]
mod suite_tests;
#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
