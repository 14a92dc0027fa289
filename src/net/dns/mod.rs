//! DNS: a stub resolver over the system's (or the configured) recursive resolvers.
//!
//! In: a name or address.  Out: records, or why there are none: no such name, no such records, or no answer.
//! Always: the same question is on its way once; answers are kept for their TTL, absences too (RFC 2308); queries, cache,
//! tries and waiting are bounded; a busy zone leaves room for the others.
//! Sources: RFC 1034, 1035, 2181, 2308, 5452 (forgery resilience), 6891 (EDNS), 7766 (TCP).

mod cache;
mod exchange;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub mod testserver;
mod wire;

use std::{
    collections::HashMap,
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use smol::lock::{Mutex as AsyncMutex, Semaphore};

use self::{
    cache::Cache,
    exchange::{Exchange, Patience},
    wire::{Record, Records, Type},
};
use crate::{clock::Clock, config, metrics::Metrics};

/// Queries on their way at once.
const QUERIES_MAX: usize = 200;
/// Queries on their way at once for names of one zone, so that a dead zone cannot take all places.
const QUERIES_PER_ZONE_MAX: usize = 20;
/// Steps of a CNAME chain that are followed.
const CNAME_STEPS_MAX: usize = 8;
/// Resolvers used of those that are named.
const SERVERS_MAX: usize = 3;
/// How long silence and SERVFAIL are remembered (RFC 2308 §7 allows five minutes).
const FAILURE_TTL: Duration = Duration::from_secs(5);
/// Where the system names its resolvers.
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// Octets of that file that are read.
const RESOLV_CONF_OCTETS_MAX: usize = 64 * 1024;

/// Why there are no records.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DnsError {
    /// The name does not exist.
    #[error("NXDOMAIN")]
    NxDomain,
    /// The name exists, without such records.
    #[error("no such records")]
    NoData,
    /// The resolvers answered that they cannot tell.
    #[error("{0}")]
    Servfail(String),
    /// No resolver answered in time, or none can be reached.
    #[error("no resolver answered ({0})")]
    Timeout(String),
    /// The text is no domain name.
    #[error("not a domain name")]
    BadName,
}

/// One MX record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MxRecord {
    /// Lower is better.
    pub preference: u16,
    /// Its host, lower case, without the last dot; empty: the root (null MX).
    pub host: String,
}

/// A stub resolver; clones share cache and bounds.
#[derive(Clone)]
pub struct Resolver(Arc<Inner>);

struct Inner {
    clock: Clock,
    metrics: Arc<Metrics>,
    servers: Mutex<Arc<[SocketAddr]>>,
    cache: Mutex<Cache>,
    flights: Mutex<HashMap<Question, Weak<AsyncMutex<()>>>>,
    places: Semaphore,
    zones: Mutex<HashMap<String, Weak<Semaphore>>>,
    patience: Patience,
}

/// What is asked.
type Question = (Box<str>, Type);

impl Resolver {
    /// A resolver that asks the configured servers, or those of /etc/resolv.conf (which it reads now).
    pub fn new(clock: Clock, metrics: Arc<Metrics>, config: &config::Dns) -> Self {
        Self::with_patience(clock, metrics, config, Patience::default())
    }

    fn with_patience(clock: Clock, metrics: Arc<Metrics>, config: &config::Dns, patience: Patience) -> Self {
        Resolver(Arc::new(Inner {
            clock,
            metrics,
            servers: Mutex::new(servers(config)),
            cache: Mutex::new(Cache::default()),
            flights: Mutex::default(),
            places: Semaphore::new(QUERIES_MAX),
            zones: Mutex::default(),
            patience,
        }))
    }

    /// Other servers, at reload; the cache is emptied.
    pub fn reconfigure(&self, config: &config::Dns) {
        *lock(&self.0.servers) = servers(config);
        *lock(&self.0.cache) = Cache::default();
    }

    /// The MX records of a domain, in the order of the answer.
    pub async fn mx(&self, domain: &str) -> Result<Vec<MxRecord>, DnsError> {
        let records = self.lookup(domain, Type::Mx).await?;
        Ok(records
            .iter()
            .filter_map(|r| match r {
                Record::Mx(preference, host) => Some(MxRecord { preference: *preference, host: host.clone() }),
                _ => None,
            })
            .collect())
    }

    /// The IPv4 addresses of a host.
    pub async fn a(&self, host: &str) -> Result<Vec<Ipv4Addr>, DnsError> {
        let records = self.lookup(host, Type::A).await?;
        Ok(records.iter().filter_map(|r| if let Record::A(a) = r { Some(*a) } else { None }).collect())
    }

    /// The IPv6 addresses of a host.
    pub async fn aaaa(&self, host: &str) -> Result<Vec<Ipv6Addr>, DnsError> {
        let records = self.lookup(host, Type::Aaaa).await?;
        Ok(records.iter().filter_map(|r| if let Record::Aaaa(a) = r { Some(*a) } else { None }).collect())
    }

    /// The names of an address.
    pub async fn ptr(&self, address: IpAddr) -> Result<Vec<String>, DnsError> {
        let records = self.lookup(&wire::reverse_name(address), Type::Ptr).await?;
        Ok(records.iter().filter_map(|r| if let Record::Ptr(n) = r { Some(n.clone()) } else { None }).collect())
    }

    /// The address has a name that leads back to it (forward-confirmed reverse DNS).
    pub async fn is_forward_confirmed(&self, address: IpAddr) -> Result<bool, DnsError> {
        /// Names of one address that are looked at.
        const NAMES_MAX: usize = 5;
        let names = match self.ptr(address).await {
            Ok(names) => names,
            Err(DnsError::NxDomain | DnsError::NoData) => return Ok(false),
            Err(e) => return Err(e),
        };
        for name in names.iter().take(NAMES_MAX) {
            let confirmed = match address {
                IpAddr::V4(a) => self.a(name).await.map(|found| found.contains(&a)),
                IpAddr::V6(a) => self.aaaa(name).await.map(|found| found.contains(&a)),
            };
            if confirmed.is_ok_and(|yes| yes) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// From the cache, from a query that is under way, or by a query of its own; CNAMEs are followed.
    async fn lookup(&self, name: &str, kind: Type) -> Result<Records, DnsError> {
        let name: Box<str> = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase().into();
        if !wire::is_name(&name) {
            return Err(DnsError::BadName);
        }
        let question = (name, kind);
        if let Some(known) = lock(&self.0.cache).get(&question, self.0.clock.instant()) {
            return known;
        }
        let flight = self.flight(&question);
        let _turn = flight.lock().await;
        // Whoever waited for this turn finds the answer of the one before.
        if let Some(known) = lock(&self.0.cache).get(&question, self.0.clock.instant()) {
            return known;
        }
        let (result, ttl) = self.ask(&question).await;
        lock(&self.0.cache).put(question.clone(), result.clone(), self.0.clock.instant(), ttl);
        lock(&self.0.flights).remove(&question);
        result
    }

    fn flight(&self, question: &Question) -> Arc<AsyncMutex<()>> {
        let mut flights = lock(&self.0.flights);
        if let Some(flight) = flights.get(question).and_then(Weak::upgrade) {
            return flight;
        }
        // Flights whose waiters all went away leave dead entries behind.
        if flights.len() > 4 * QUERIES_MAX {
            flights.retain(|_, flight| flight.strong_count() > 0);
        }
        let flight = Arc::new(AsyncMutex::new(()));
        flights.insert(question.clone(), Arc::downgrade(&flight));
        flight
    }

    /// Asks until the chain of CNAMEs ends; the least TTL met on the way counts.
    async fn ask(&self, question: &Question) -> (Result<Records, DnsError>, Duration) {
        let (mut name, kind) = (question.0.to_string(), question.1);
        let mut ttl = cache::TTL_MAX;
        for _ in 0..CNAME_STEPS_MAX {
            match self.query(&name, kind).await {
                Ok(wire::Answer::Records(records, t)) => return (Ok(records.into()), ttl.min(t)),
                Ok(wire::Answer::Alias(target, t)) => {
                    ttl = ttl.min(t);
                    name = target;
                }
                Ok(wire::Answer::NxDomain(t)) => return (Err(DnsError::NxDomain), ttl.min(t)),
                Ok(wire::Answer::NoData(t)) => return (Err(DnsError::NoData), ttl.min(t)),
                Err(e) => return (Err(e), FAILURE_TTL),
            }
        }
        (Err(DnsError::Servfail(format!("more than {CNAME_STEPS_MAX} CNAMEs in a row"))), FAILURE_TTL)
    }

    async fn query(&self, name: &str, kind: Type) -> Result<wire::Answer, DnsError> {
        let zone = self.zone(name);
        let _zone_place = zone.acquire_arc().await;
        let _place = self.0.places.acquire().await;
        let servers = lock(&self.0.servers).clone();
        let exchange = Exchange { servers: &servers, patience: &self.0.patience, metrics: &self.0.metrics };
        exchange.query(name, kind).await
    }

    fn zone(&self, name: &str) -> Arc<Semaphore> {
        let zone = zone_of(name);
        let mut zones = lock(&self.0.zones);
        if let Some(places) = zones.get(zone).and_then(Weak::upgrade) {
            return places;
        }
        if zones.len() > 4 * QUERIES_MAX {
            zones.retain(|_, places| places.strong_count() > 0);
        }
        let places = Arc::new(Semaphore::new(QUERIES_PER_ZONE_MAX));
        zones.insert(zone.to_owned(), Arc::downgrade(&places));
        places
    }
}

/// The part of a name that stands for who answers: two labels, three below a country's, four of a reverse name.
fn zone_of(name: &str) -> &str {
    let last = name.rsplit('.').next().unwrap_or_default();
    let labels = match last {
        "arpa" => 4,
        country if country.len() == 2 => 3,
        _ => 2,
    };
    let mut dots = name.rmatch_indices('.');
    dots.nth(labels - 1).map_or(name, |(at, _)| &name[at + 1..])
}

/// The configured servers, else the system's, else this machine.
fn servers(config: &config::Dns) -> Arc<[SocketAddr]> {
    let mut servers = config.servers.clone();
    if servers.is_empty() {
        let text = fs::read(RESOLV_CONF).unwrap_or_default();
        servers = nameservers(&String::from_utf8_lossy(&text[..text.len().min(RESOLV_CONF_OCTETS_MAX)]));
    }
    if servers.is_empty() {
        servers.push(SocketAddr::from(([127, 0, 0, 1], 53)));
    }
    servers.truncate(SERVERS_MAX);
    servers.into()
}

/// The `nameserver` lines of resolv.conf(5).
fn nameservers(text: &str) -> Vec<SocketAddr> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            let address = words.next().filter(|w| *w == "nameserver").and_then(|_| words.next())?;
            // A link-local server has its interface after a percent sign, which only the socket's scope could carry.
            address.parse::<IpAddr>().ok().map(|a| SocketAddr::new(a, 53))
        })
        .collect()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
