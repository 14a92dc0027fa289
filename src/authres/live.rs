//! SPF, DKIM and DMARC of a mail, by the DNS.
//!
//! In: a [`Received`].  Out: its [`Results`].
//! Always: see the room's page; a large mail is hashed on the blocking pool, where two are at a time, so that the executor's threads
//! stay free for everybody else (P6).
//! Sources: RFC 9989 §5.3, RFC 7208 §2.4, RFC 6376 §6.

use std::{
    collections::BTreeSet,
    future::Future,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use smol::{
    Timer,
    future::{FutureExt, zip},
    lock::Semaphore,
};

use super::{
    AUTHENTICATION_TIME_MAX, Authenticate, Received,
    results::{Aligned, DmarcResult, DmarcWord, Results},
};
use crate::{
    clock::Clock,
    dkim::verify::{self, DkimResult, Verified},
    dmarc::{record::Mode, tree_walk},
    lookup::Lookup,
    mail::header,
    spf::{self, SpfResult},
};

/// Mails that are looked at at once.
pub const AUTHENTICATIONS_MAX: usize = 32;
/// Octets of a mail that is hashed where it is: a core needs about a millisecond.
const INLINE_OCTETS_MAX: usize = 256 << 10;
/// Larger mails that are hashed at once.
const LARGE_MAX: usize = 2;

/// [`Authenticate`] of the running daemon.
pub struct Authenticator {
    dns: Arc<dyn Lookup>,
    clock: Clock,
    time_max: Duration,
    places: Semaphore,
    large: Arc<Semaphore>,
}

impl Authenticator {
    /// Asks this DNS.
    pub fn new(dns: Arc<dyn Lookup>, clock: Clock) -> Self {
        Self::with_time(dns, clock, AUTHENTICATION_TIME_MAX)
    }

    fn with_time(dns: Arc<dyn Lookup>, clock: Clock, time_max: Duration) -> Self {
        let (places, large) = (Semaphore::new(AUTHENTICATIONS_MAX), Arc::new(Semaphore::new(LARGE_MAX)));
        Authenticator { dns, clock, time_max, places, large }
    }

    async fn look_at(&self, received: Received<'_>) -> Results {
        let until = self.clock.instant() + self.time_max;
        let place = by(until, self.places.acquire()).await;
        let (spf, dkim) = match place {
            Some(_) => zip(by(until, self.spf(received)), by(until, self.dkim(received))).await,
            None => (None, None),
        };
        let mut results = Results {
            spf: spf.unwrap_or_else(|| late_spf(received)),
            dkim: dkim.unwrap_or_else(|| vec![late_signature()]),
            dmarc: DmarcResult::default(),
        };
        let from = Author::of(received.head());
        results.dmarc = match place {
            Some(_) => by(until, dmarc(&*self.dns, &from, &results)).await,
            None => None,
        }
        .unwrap_or_else(|| DmarcResult {
            result: DmarcWord::TempError,
            from: from.only().unwrap_or_default().to_owned(),
            why: "there was no time to ask the DNS".to_owned(),
            ..DmarcResult::default()
        });
        results
    }

    async fn spf(&self, received: Received<'_>) -> spf::Outcome {
        spf::check(&*self.dns, spf::Query { ip: received.ip, helo: received.helo, sender: received.sender }).await
    }

    async fn dkim(&self, received: Received<'_>) -> Vec<Verified> {
        let now = self.clock.now();
        if received.mail.len() <= INLINE_OCTETS_MAX {
            return verify::verify(received.head(), received.body(), &*self.dns, now).await;
        }
        let permit = self.large.acquire_arc().await;
        let (dns, mail, head_len) = (self.dns.clone(), received.mail.clone(), received.head_len);
        smol::unblock(move || {
            // Kept until the work ends, even when nobody waits for it any more.
            let _permit = permit;
            let (head, body) = mail.split_at(head_len.min(mail.len()));
            smol::block_on(verify::verify(head, body, &*dns, now))
        })
        .await
    }
}

impl Authenticate for Authenticator {
    fn authenticate<'a>(&'a self, received: Received<'a>) -> Pin<Box<dyn Future<Output = Results> + Send + 'a>> {
        Box::pin(self.look_at(received))
    }
}

/// What comes by then.
async fn by<T>(until: Instant, work: impl Future<Output = T>) -> Option<T> {
    let late = async {
        Timer::at(until).await;
        None
    };
    async { Some(work.await) }.or(late).await
}

fn late_spf(received: Received<'_>) -> spf::Outcome {
    spf::Outcome {
        result: SpfResult::TempError,
        domain: received.sender.map_or(received.helo, |sender| sender.domain()).to_ascii_lowercase(),
        by_helo: received.sender.is_none(),
        why: "there was no time to ask the DNS".to_owned(),
        ..spf::Outcome::default()
    }
}

fn late_signature() -> Verified {
    Verified {
        domain: String::new(),
        selector: String::new(),
        result: DkimResult::TempError,
        why: "there was no time to ask the DNS".to_owned(),
        bits: 0,
        testing: false,
    }
}

/// Whom From names.
struct Author {
    domains: BTreeSet<String>,
    /// An address of it cannot be read.
    is_unclear: bool,
}

impl Author {
    fn of(head: &[u8]) -> Self {
        let facts = header::scan(head, "");
        let (mut domains, mut is_unclear) = (BTreeSet::new(), false);
        for address in std::iter::once(&facts.from).filter(|from| !from.is_empty()).chain(&facts.from_others) {
            match address.rsplit_once('@').and_then(|(_, domain)| tree_walk::normal(domain)) {
                Some(domain) => drop(domains.insert(domain)),
                None => is_unclear = true,
            }
        }
        Author { domains, is_unclear }
    }

    /// The one domain.
    fn only(&self) -> Option<&str> {
        let only = self.domains.first().filter(|_| self.domains.len() == 1 && !self.is_unclear);
        only.map(String::as_str)
    }
}

async fn dmarc(dns: &dyn Lookup, author: &Author, results: &Results) -> DmarcResult {
    let Some(from) = author.only() else {
        let (result, why) = if author.domains.len() > 1 {
            (DmarcWord::PermError, "From names several domains")
        } else {
            (DmarcWord::None, "From names no domain")
        };
        return DmarcResult { result, why: why.to_owned(), ..DmarcResult::default() };
    };
    let found = tree_walk::discover(dns, from).await;
    let (adkim, aspf) = found.record.as_ref().map_or((Mode::Relaxed, Mode::Relaxed), |r| (r.adkim, r.aspf));
    let mut candidates: Vec<(&'static str, &str, Mode)> = Vec::new();
    for signature in results.dkim.iter().filter(|signature| signature.result == DkimResult::Pass) {
        let candidate = ("dkim", signature.domain.as_str(), adkim);
        if !candidates.contains(&candidate) {
            candidates.push(candidate);
        }
    }
    if results.spf.result == SpfResult::Pass {
        candidates.push(("spf", &results.spf.domain, aspf));
    }
    let mut is_uncertain = results.is_uncertain();
    let mut aligned = Vec::new();
    for (by, domain, mode) in candidates {
        match tree_walk::aligned(dns, mode, &found, domain).await {
            Ok(true) => aligned.push(Aligned { by, domain: domain.to_owned(), mode }),
            Ok(false) => {}
            Err(_) => is_uncertain = true,
        }
    }
    let result = match (&found.record, &found.trouble) {
        (None, Some(_)) => DmarcWord::TempError,
        _ if !found.applies => DmarcWord::None,
        _ if !aligned.is_empty() => DmarcWord::Pass,
        _ if is_uncertain => DmarcWord::TempError,
        _ => DmarcWord::Fail,
    };
    let why = match result {
        DmarcWord::Pass => {
            let by: Vec<&str> = aligned.iter().map(|a| a.by).collect();
            format!("aligned by {}", by.join(" and "))
        }
        DmarcWord::Fail => format!("neither SPF nor DKIM passes for a domain that is aligned with {from}"),
        DmarcWord::TempError => "the DNS did not say".to_owned(),
        DmarcWord::None | DmarcWord::PermError => found.why(),
    };
    DmarcResult {
        result,
        from: from.to_owned(),
        organizational_domain: if found.organization_is_known() {
            found.organizational_domain.clone()
        } else {
            String::new()
        },
        policy: found.applied(),
        policy_domain: found.policy_domain.unwrap_or_default(),
        aligned,
        why,
    }
}

#[cfg(test)]
#[path = "live_tests.rs"]
mod tests;
