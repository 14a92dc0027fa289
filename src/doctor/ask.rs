//! The DNS as the doctor asks it: no more than its share.
//!
//! In: questions of the checks.  Out: the answers, or, past the bound, that none came.
//! Always: of one check of a domain at most [`QUERIES_MAX`] questions are asked, [`AT_ONCE_MAX`] at once, so that a hostile record
//! costs no more than a large honest one, and deliveries keep their places in the resolver.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use smol::lock::Semaphore;

use crate::lookup::{Answer, Asking, DnsError, Lookup, MxRecord, Tlsa};

/// Questions of one check at most.
pub const QUERIES_MAX: usize = 2_000;
/// Of them, on their way at once; the resolver has two hundred places in all.
pub const AT_ONCE_MAX: usize = 20;

/// A DNS that counts.
pub(super) struct Share {
    dns: Arc<dyn Lookup>,
    asked: AtomicUsize,
    places: Semaphore,
}

impl Share {
    /// The share of one check.
    pub fn of(dns: Arc<dyn Lookup>) -> Self {
        Share { dns, asked: AtomicUsize::new(0), places: Semaphore::new(AT_ONCE_MAX) }
    }

    /// Asks, if there is a question left.
    async fn bounded<'a, T>(&self, ask: impl FnOnce() -> Asking<'a, T>) -> Answer<T> {
        if self.asked.fetch_add(1, Ordering::Relaxed) >= QUERIES_MAX {
            let over = DnsError::Timeout(format!("more than {QUERIES_MAX} questions"));
            return Answer { records: Err(over), secure: false, ttl: Duration::ZERO };
        }
        let _place = self.places.acquire().await;
        ask().await
    }

    /// The addresses of a host, both families.
    ///
    /// # Errors
    /// It has none, or the DNS did not say: where one family is absent and the other unknown, it is unknown.
    pub async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, DnsError> {
        let (v4, v6) = smol::future::zip(self.a(host), self.aaaa(host)).await;
        let mut addresses: Vec<IpAddr> = Vec::new();
        let mut why = None;
        let mut take = |records: Result<Vec<IpAddr>, DnsError>| match records {
            Ok(found) => addresses.extend(found),
            Err(error) if error.is_temporary() || why.is_none() => why = Some(error),
            Err(_) => {}
        };
        take(v4.records.map(|found| found.into_iter().map(IpAddr::V4).collect()));
        take(v6.records.map(|found| found.into_iter().map(IpAddr::V6).collect()));
        if addresses.is_empty() { Err(why.unwrap_or(DnsError::NoData)) } else { Ok(addresses) }
    }
}

impl Lookup for Share {
    fn txt<'a>(&'a self, name: &'a str) -> Asking<'a, String> {
        Box::pin(self.bounded(|| self.dns.txt(name)))
    }

    fn mx<'a>(&'a self, name: &'a str) -> Asking<'a, MxRecord> {
        Box::pin(self.bounded(|| self.dns.mx(name)))
    }

    fn a<'a>(&'a self, name: &'a str) -> Asking<'a, Ipv4Addr> {
        Box::pin(self.bounded(|| self.dns.a(name)))
    }

    fn aaaa<'a>(&'a self, name: &'a str) -> Asking<'a, Ipv6Addr> {
        Box::pin(self.bounded(|| self.dns.aaaa(name)))
    }

    fn ptr(&self, address: IpAddr) -> Asking<'_, String> {
        Box::pin(self.bounded(move || self.dns.ptr(address)))
    }

    fn ns<'a>(&'a self, name: &'a str) -> Asking<'a, String> {
        Box::pin(self.bounded(|| self.dns.ns(name)))
    }

    fn tlsa<'a>(&'a self, name: &'a str) -> Asking<'a, Tlsa> {
        Box::pin(self.bounded(|| self.dns.tlsa(name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lookup::fake::Zones;

    #[test]
    fn past_the_bound_nobody_is_asked() {
        let zones = Arc::new(Zones::default().with_ip("a.test", "192.0.2.1").with_txt("a.test", "x"));
        let share = Share::of(zones.clone());
        smol::block_on(async {
            for _ in 0..QUERIES_MAX {
                assert!(share.txt("a.test").await.records.is_ok());
            }
            let over = share.txt("a.test").await.records;
            assert!(over.is_err_and(|e| e.is_temporary()), "nothing is claimed");
        });
        assert_eq!(zones.asked().len(), QUERIES_MAX);
    }

    #[test]
    fn an_unknown_family_is_not_an_absent_one() {
        let zones = Zones::default().with_ip("four.test", "192.0.2.1").with_txt("none.test", "x").failing("dark.test");
        let share = Share::of(Arc::new(zones));
        let ask = |host: &str| smol::block_on(share.addresses(host));
        assert_eq!(ask("four.test"), Ok(vec![IpAddr::from([192, 0, 2, 1])]));
        assert_eq!(ask("none.test"), Err(DnsError::NoData));
        assert_eq!(ask("gone.test"), Err(DnsError::NxDomain));
        assert!(ask("dark.test").is_err_and(|e| e.is_temporary()));
    }
}
