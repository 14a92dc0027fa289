//! DNS: a stub resolver over the system's (or the configured) recursive resolvers.
//!
//! In: a name or address.  Out: records, or why there are none: no such name, no such records, or no answer.
//! Always: the same question is on its way once; answers are kept for their TTL, absences too (RFC 2308); queries, cache,
//! tries and waiting are bounded; a busy zone leaves room for the others; secure is only what a believed resolver says it
//! validated (`trial`).
//! Sources: RFC 1034, 1035, 2181, 2308, 5452 (forgery resilience), 6840 (AD), 6891 (EDNS), 7672 §2 (what DANE asks), 7766 (TCP).

pub mod ask;
#[cfg(test)]
mod ask_tests;
mod cache;
mod exchange;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub mod testserver;
mod trial;
mod wire;

use std::{
    collections::HashMap,
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use smol::{
    future::zip,
    lock::{Mutex as AsyncMutex, Semaphore},
};

use self::{
    cache::{Cache, Found},
    exchange::{Exchange, Patience},
    trial::{Servers, Trial},
    wire::{Record, Records, Reply, Type},
};
use crate::{
    clock::Clock,
    config,
    lookup::{Answer, Asking, Lookup, reverse_name},
    metrics::Metrics,
};

pub use crate::lookup::{DnsError, MxRecord, Tlsa};

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

/// An answer with what it is worth.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answered<T> {
    /// The records, or why there are none.
    pub records: Result<Vec<T>, DnsError>,
    /// The answer, or the proof that there is none, was validated by a resolver that is believed (DNSSEC), every step of
    /// its chain of aliases included. That is what its AD bit says, on this very answer: what [`Resolver::validation`] says
    /// by now does not take it back, or a trial in a bad moment would switch DANE off for what is still in the cache.
    pub secure: bool,
    /// Where validated aliases (CNAME) lead: the end of the chain where all of it is `secure`. Where it is not, because an
    /// alias of a signed zone leads into one without signatures, the target of that first alias, if it is validated
    /// ([`Resolver::addresses_answer`] alone looks). So, for the TLSA base domain (RFC 7672 §2.2.2):
    /// - `secure`, and an alias here: look under this name, then under the one asked for;
    /// - not `secure`, and an alias here ("insecure CNAME"): look under the name asked for;
    /// - `secure` without an alias: under the name asked for;
    /// - neither: no DANE for this host.
    pub secure_alias: Option<String>,
    /// How long it holds.
    pub ttl: Duration,
}

/// Whether the resolvers validate DNSSEC, and may be believed: for the operator to see. What an answer is worth it says
/// itself ([`Answered::secure`]).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Validation {
    /// Not tried yet, or no answer came.
    #[default]
    Unknown,
    /// Signed answers carry AD, and forged ones do not come (SERVFAIL); only believed resolvers are asked.
    Yes,
    /// They do not validate, or are neither on loopback nor in `[dns] trusted`: DANE is off.
    No,
}

/// A stub resolver; clones share cache and bounds.
#[derive(Clone)]
pub struct Resolver(Arc<Inner>);

struct Inner {
    clock: Clock,
    metrics: Arc<Metrics>,
    servers: Mutex<Arc<Servers>>,
    trial: Mutex<Trial>,
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
        let servers = servers(config);
        Resolver(Arc::new(Inner {
            clock,
            metrics,
            trial: Mutex::new(Trial::of(&servers)),
            servers: Mutex::new(servers),
            cache: Mutex::new(Cache::default()),
            flights: Mutex::default(),
            places: Semaphore::new(QUERIES_MAX),
            zones: Mutex::default(),
            patience,
        }))
    }

    /// Other servers, at reload; the cache is emptied, and whether they validate has to be tried again.
    pub fn reconfigure(&self, config: &config::Dns) {
        let servers = servers(config);
        let trial = Trial::of(&servers);
        // In this order: whoever still comes with an answer of the servers before finds that they are gone.
        *lock(&self.0.servers) = servers;
        *lock(&self.0.trial) = trial;
        *lock(&self.0.cache) = Cache::default();
    }

    /// The MX records of a domain, in the order of the answer.
    pub async fn mx(&self, domain: &str) -> Result<Vec<MxRecord>, DnsError> {
        self.mx_answer(domain).await.records
    }

    /// The IPv4 addresses of a host.
    pub async fn a(&self, host: &str) -> Result<Vec<Ipv4Addr>, DnsError> {
        let records = self.lookup(host, Type::A).await.result?;
        Ok(records.iter().filter_map(|r| if let Record::A(a) = r { Some(*a) } else { None }).collect())
    }

    /// The IPv6 addresses of a host.
    pub async fn aaaa(&self, host: &str) -> Result<Vec<Ipv6Addr>, DnsError> {
        let records = self.lookup(host, Type::Aaaa).await.result?;
        Ok(records.iter().filter_map(|r| if let Record::Aaaa(a) = r { Some(*a) } else { None }).collect())
    }

    /// The MX records with what they are worth. Not secure where an alias on the way is not: DANE then does not apply to
    /// the domain (RFC 7672 §2.2.1).
    pub async fn mx_answer(&self, domain: &str) -> Answered<MxRecord> {
        let found = self.lookup(domain, Type::Mx).await;
        self.answered(found, |record| match record {
            Record::Mx(preference, host) => Some(MxRecord { preference: *preference, host: host.clone() }),
            _ => None,
        })
    }

    /// The addresses of a host, IPv4 and then IPv6, with what they are worth. IPv6 is left out unless asked for.
    ///
    /// Secure only if each of the two answers is that came. One that did not come (SERVFAIL, silence) takes nothing from
    /// the other: who can make one fail must not be able to switch DANE off. When one family is absent and the other
    /// unknown, the failure is the answer.
    pub async fn addresses_answer(&self, host: &str, ipv6: bool) -> Answered<IpAddr> {
        let other = async { if ipv6 { Some(self.lookup(host, Type::Aaaa).await) } else { None } };
        let (v4, v6) = zip(self.lookup(host, Type::A), other).await;
        let (failed, told): (Vec<Found>, Vec<Found>) =
            [Some(v4), v6].into_iter().flatten().partition(|found| is_failure(&found.result));
        let addresses: Vec<IpAddr> = told
            .iter()
            .filter_map(|found| found.result.as_ref().ok())
            .flat_map(|records| records.iter())
            .filter_map(|record| match record {
                Record::A(a) => Some(IpAddr::V4(*a)),
                Record::Aaaa(a) => Some(IpAddr::V6(*a)),
                _ => None,
            })
            .collect();
        let records = if addresses.is_empty() {
            let error = failed.iter().chain(&told).find_map(|found| found.result.as_ref().err().cloned());
            Err(error.unwrap_or(DnsError::NoData))
        } else {
            Ok(addresses)
        };
        let now = self.0.clock.instant();
        let ttl = failed.iter().chain(&told).map(|found| found.until.saturating_duration_since(now)).min();
        let secure = !told.is_empty() && told.iter().all(|found| found.secure);
        let secure_alias = match told.iter().find_map(|found| found.alias.as_deref()) {
            Some(end) if secure => Some(end.to_owned()),
            Some(_) => self.secure_first_alias(host).await,
            None => None,
        };
        Answered { records, secure, secure_alias, ttl: ttl.unwrap_or_default() }
    }

    /// The TLSA records of a name such as `_25._tcp.mx.example.jp`: 100 at most, those that cannot be used included, since
    /// they ask for TLS all the same (RFC 7672 §2.2); see [`super::tls::usable`].
    ///
    /// [`DnsError::NxDomain`] or [`DnsError::NoData`] and secure: proof that there are none. [`DnsError::Servfail`] and
    /// [`DnsError::Timeout`]: nobody knows, so the host must not be used (RFC 7672 §2.1.2).
    pub async fn tlsa(&self, name: &str) -> Answered<Tlsa> {
        let found = self.lookup(name, Type::Tlsa).await;
        self.answered(found, |record| if let Record::Tlsa(tlsa) = record { Some(tlsa.clone()) } else { None })
    }

    /// The TXT records of a name, the strings of each joined: 100 at most, without those of more than 4 KiB. Octets that
    /// are no UTF-8 are replaced.
    pub async fn txt(&self, name: &str) -> Answered<String> {
        let found = self.lookup(name, Type::Txt).await;
        self.answered(found, |record| if let Record::Txt(text) = record { Some(text.clone()) } else { None })
    }

    /// Whether the resolvers validate, as [`Resolver::try_validation`] and ordinary answers since then showed.
    pub fn validation(&self) -> Validation {
        lock(&self.0.trial).validation
    }

    /// The same for the operator: `yes: 127.0.0.1:53 answers with AD`, `no: …` and `not known: …` with the reason.
    pub fn validation_words(&self) -> String {
        lock(&self.0.trial).words()
    }

    /// Asks each believed resolver for the root's SOA, which is signed, and remembers what that says; for a call at the
    /// start, after a reload, and every ten minutes or so. Takes as long as a silent resolver makes it (half a minute).
    ///
    /// Yes: one answered with AD, now or to any question of the last half hour (a closed network has trust anchors of its
    /// own and none for the root). No: all answered, none of them with AD; or none is believed. What is not answered
    /// leaves it as it was, at first unknown.
    pub async fn try_validation(&self) -> Validation {
        let servers = self.servers();
        let mut replies = Vec::new();
        for server in &servers.believed {
            let metrics = &self.0.metrics;
            let servers = std::slice::from_ref(server);
            let exchange = Exchange { servers, patience: &self.0.patience, metrics, recursive: true };
            let reply = exchange.query(".", Type::Soa).await.map(|(reply, _)| reply);
            let enough = reply.as_ref().is_ok_and(|reply| reply.authentic);
            replies.push((*server, reply));
            if enough {
                break;
            }
        }
        let mut trial = lock(&self.0.trial);
        if self.are_current(&servers) && !servers.believed.is_empty() {
            trial.judge(&replies, self.0.clock.instant());
        }
        trial.validation
    }

    /// The names of an address.
    pub async fn ptr(&self, address: IpAddr) -> Result<Vec<String>, DnsError> {
        let records = self.lookup(&reverse_name(address), Type::Ptr).await.result?;
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

    fn servers(&self) -> Arc<Servers> {
        lock(&self.0.servers).clone()
    }

    fn are_current(&self, servers: &Arc<Servers>) -> bool {
        Arc::ptr_eq(servers, &self.servers())
    }

    /// The records of one kind with what they are worth.
    fn answered<T>(&self, found: Found, pick: impl Fn(&Record) -> Option<T>) -> Answered<T> {
        let secure = found.secure;
        Answered {
            secure,
            secure_alias: found.alias.filter(|_| secure).map(|end| end.to_string()),
            ttl: found.until.saturating_duration_since(self.0.clock.instant()),
            records: found.result.map(|records| records.iter().filter_map(pick).collect()),
        }
    }

    /// The same for whoever asks through [`Lookup`].
    async fn asked<T>(&self, name: &str, kind: Type, pick: impl Fn(&Record) -> Option<T>) -> Answer<T> {
        let answered = self.answered(self.lookup(name, kind).await, pick);
        Answer { records: answered.records, secure: answered.secure, ttl: answered.ttl }
    }

    /// The target of a name that is an alias, if that much is validated: an answer that leads out of the signed zones
    /// carries no AD, whatever its first step is worth (RFC 7672 §2.1.3 has it asked for separately).
    async fn secure_first_alias(&self, host: &str) -> Option<String> {
        if self.servers().believed.is_empty() {
            return None;
        }
        let found = self.lookup(host, Type::Cname).await;
        let records = found.result.as_ref().ok().filter(|_| found.secure)?;
        records.iter().find_map(|record| if let Record::Cname(target) = record { Some(target.clone()) } else { None })
    }

    /// From the cache, from a query that is under way, or by a query of its own; CNAMEs are followed.
    async fn lookup(&self, name: &str, kind: Type) -> Found {
        let name: Box<str> = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase().into();
        if !wire::is_name(&name) {
            let until = self.0.clock.instant() + FAILURE_TTL;
            return Found { result: Err(DnsError::BadName), secure: false, alias: None, until };
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
        let servers = self.servers();
        let found = self.ask(&question, &servers).await;
        // What resolvers said that were replaced meanwhile is not kept.
        let mut cache = lock(&self.0.cache);
        if self.are_current(&servers) {
            cache.put(question.clone(), found.clone(), self.0.clock.instant());
        }
        drop(cache);
        lock(&self.0.flights).remove(&question);
        found
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

    /// Asks until the chain of CNAMEs ends; the least TTL met on the way counts, and it is secure only if every step is.
    async fn ask(&self, question: &Question, servers: &Arc<Servers>) -> Found {
        let (mut name, kind) = (question.0.to_string(), question.1);
        let mut ttl = cache::TTL_MAX;
        let mut secure = true;
        let mut alias = None;
        let mut result = Err(DnsError::Servfail(format!("more than {CNAME_STEPS_MAX} CNAMEs in a row")));
        for _ in 0..CNAME_STEPS_MAX {
            let (reply, by) = match self.query(&name, kind, servers).await {
                Ok(answered) => answered,
                Err(e) => {
                    result = Err(e);
                    break;
                }
            };
            secure &= reply.authentic && servers.are_believed(by);
            alias = reply.alias.or(alias);
            let (step, t) = match reply.answer {
                wire::Answer::Records(records, t) => (Ok(records.into()), t),
                wire::Answer::NxDomain(t) => (Err(DnsError::NxDomain), t),
                wire::Answer::NoData(t) => (Err(DnsError::NoData), t),
                wire::Answer::Alias(target, t) => {
                    ttl = ttl.min(t);
                    name = target;
                    continue;
                }
            };
            ttl = ttl.min(t);
            result = step;
            break;
        }
        if is_failure(&result) {
            (secure, ttl) = (false, FAILURE_TTL);
        }
        let until = self.0.clock.instant() + cache::kept(&result, ttl);
        Found { result, secure, alias: alias.map(Arc::from), until }
    }

    async fn query(&self, name: &str, kind: Type, servers: &Arc<Servers>) -> Result<(Reply, SocketAddr), DnsError> {
        let zone = self.zone(name);
        let _zone_place = zone.acquire_arc().await;
        let _place = self.0.places.acquire().await;
        let asked = servers.to_ask(self.validation());
        let (patience, metrics) = (&self.0.patience, &*self.0.metrics);
        let exchange = Exchange { servers: asked, patience, metrics, recursive: true };
        let (reply, by) = exchange.query(name, kind).await?;
        if reply.authentic && servers.are_believed(by) {
            let mut trial = lock(&self.0.trial);
            if self.are_current(servers) {
                trial.saw_authentic(by, self.0.clock.instant());
            }
        }
        Ok((reply, by))
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

impl Lookup for Resolver {
    fn txt<'a>(&'a self, name: &'a str) -> Asking<'a, String> {
        Box::pin(self.asked(name, Type::Txt, |r| if let Record::Txt(t) = r { Some(t.clone()) } else { None }))
    }

    fn mx<'a>(&'a self, name: &'a str) -> Asking<'a, MxRecord> {
        Box::pin(self.asked(name, Type::Mx, |r| match r {
            Record::Mx(preference, host) => Some(MxRecord { preference: *preference, host: host.clone() }),
            _ => None,
        }))
    }

    fn a<'a>(&'a self, name: &'a str) -> Asking<'a, Ipv4Addr> {
        Box::pin(self.asked(name, Type::A, |r| if let Record::A(a) = r { Some(*a) } else { None }))
    }

    fn aaaa<'a>(&'a self, name: &'a str) -> Asking<'a, Ipv6Addr> {
        Box::pin(self.asked(name, Type::Aaaa, |r| if let Record::Aaaa(a) = r { Some(*a) } else { None }))
    }

    fn ptr(&self, address: IpAddr) -> Asking<'_, String> {
        Box::pin(async move {
            let name = reverse_name(address);
            self.asked(&name, Type::Ptr, |r| if let Record::Ptr(n) = r { Some(n.clone()) } else { None }).await
        })
    }

    fn ns<'a>(&'a self, name: &'a str) -> Asking<'a, String> {
        Box::pin(self.asked(name, Type::Ns, |r| if let Record::Ns(n) = r { Some(n.clone()) } else { None }))
    }

    fn tlsa<'a>(&'a self, name: &'a str) -> Asking<'a, Tlsa> {
        Box::pin(self.asked(name, Type::Tlsa, |r| if let Record::Tlsa(t) = r { Some(t.clone()) } else { None }))
    }
}

/// The configured servers, else the system's, else this machine.
fn servers(config: &config::Dns) -> Arc<Servers> {
    let mut servers = config.servers.clone();
    if servers.is_empty() {
        let text = fs::read(RESOLV_CONF).unwrap_or_default();
        servers = nameservers(&String::from_utf8_lossy(&text[..text.len().min(RESOLV_CONF_OCTETS_MAX)]));
    }
    if servers.is_empty() {
        servers.push(SocketAddr::from(([127, 0, 0, 1], 53)));
    }
    servers.truncate(SERVERS_MAX);
    Arc::new(Servers::new(servers, config))
}

/// There may be records or not: nobody could tell.
fn is_failure(result: &Result<Records, DnsError>) -> bool {
    matches!(result, Err(DnsError::Servfail(_) | DnsError::Timeout(_) | DnsError::BadName))
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
