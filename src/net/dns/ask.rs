//! What one named server says: a zone's own servers, or a resolver elsewhere.
//!
//! In: a name and whom to ask.  Out: which servers a zone has; the TXT records that one of them tells, or why it does not.
//! Always: a zone's own server is asked for what it has itself (no recursion), nothing of it is kept, and a resolver elsewhere
//! is asked once; steps, servers, addresses and waiting are bounded. What a server that is not responsible answers without
//! records is no answer, so that a lame server does not pass for a record that is missing.
//! Sources: RFC 1034 §4.3.1 and §6.2.7 (referrals), RFC 2308 §2.2, RFC 4697 §2.2 (lame servers), RFC 7766 §5.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use super::{
    DnsError, Resolver,
    exchange::{Exchange, Trouble},
    wire::{self, Record, Type},
};

/// Labels that are taken off a name until its zone is found.
const ZONE_STEPS_MAX: usize = 16;
/// Servers of a zone that are asked: a delegation of more does not fit a datagram.
const SERVERS_MAX: usize = 13;
/// Addresses of one server that are asked.
const ADDRESSES_MAX: usize = 4;
/// Tries of one server by UDP: a lost datagram is asked for again.
const TRIES: usize = 2;

/// Whom a question goes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum To {
    /// A server of the zone: what it has itself.
    Own,
    /// A resolver: what it finds out.
    Resolver,
}

/// A server of a zone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NameServer {
    /// Its name.
    pub name: String,
    /// Its addresses, or why there are none.
    pub addresses: Result<Vec<IpAddr>, DnsError>,
}

/// A zone and its servers, as our resolver sees the delegation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Zone {
    /// Its name.
    pub name: String,
    /// Those of its servers that are to be asked.
    pub servers: Vec<NameServer>,
}

/// What a server tells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Told {
    /// The records, the strings of each joined.
    Records(Vec<String>),
    /// The name is an alias of this one, whose records are elsewhere.
    Alias(String),
    /// The servers of this zone below have them.
    Referral(String),
    /// There is no such name, or no such record.
    Nothing,
}

/// The same with how long it may be kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Said {
    /// What it tells.
    pub told: Told,
    /// How long others may keep that.
    pub ttl: Duration,
}

/// Why a server tells nothing.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unheard {
    /// This machine has no way there: no address of that family, no route.
    #[error("this machine has no way there ({0})")]
    NoWay(String),
    /// No answer came.
    #[error("no answer ({0})")]
    Silent(String),
    /// It answers that it cannot tell, or that it is not responsible.
    #[error("{0}")]
    Refused(String),
}

/// Runs questions at once; the answers are in their order.
pub async fn at_once<T: Send>(questions: impl IntoIterator<Item = impl Future<Output = T> + Send>) -> Vec<T> {
    let executor = smol::Executor::new();
    let tasks: Vec<_> = questions.into_iter().map(|question| executor.spawn(question)).collect();
    let gather = async {
        let mut answers = Vec::with_capacity(tasks.len());
        for task in tasks {
            answers.push(task.await);
        }
        answers
    };
    executor.run(gather).await
}

impl Resolver {
    /// The zone that a name is in, and its servers with their addresses: goes up until a name has NS records. A name that
    /// is an alias is no zone.
    ///
    /// # Errors
    /// The resolver's, when it cannot tell; [`DnsError::NxDomain`]: nobody is responsible.
    pub async fn zone_servers(&self, name: &str) -> Result<Zone, DnsError> {
        let mut zone = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        for _ in 0..ZONE_STEPS_MAX {
            let found = self.lookup(&zone, Type::Ns).await;
            match found.result {
                Ok(records) if found.alias.is_none() => {
                    let names =
                        records.iter().filter_map(|r| if let Record::Ns(n) = r { Some(n.clone()) } else { None });
                    let mut names: Vec<String> = names.collect();
                    names.sort_unstable();
                    names.dedup();
                    names.truncate(SERVERS_MAX);
                    let servers = names.into_iter().map(|name| async move {
                        let mut addresses = self.addresses_answer(&name, true).await.records;
                        if let Ok(addresses) = &mut addresses {
                            addresses.truncate(ADDRESSES_MAX);
                        }
                        NameServer { name, addresses }
                    });
                    return Ok(Zone { name: zone, servers: at_once(servers).await });
                }
                Ok(_) | Err(DnsError::NxDomain | DnsError::NoData) => {}
                Err(error) => return Err(error),
            }
            match zone.split_once('.') {
                Some((_, parent)) => zone = parent.to_owned(),
                None => break,
            }
        }
        Err(DnsError::NxDomain)
    }

    /// Asks one server for TXT records. Takes up to five seconds, and as long again by TCP.
    ///
    /// # Errors
    /// Why it tells nothing.
    pub async fn txt_by(&self, server: SocketAddr, name: &str, to: To) -> Result<Said, Unheard> {
        self.told_by(server, name, Type::Txt, to).await
    }

    /// How long others may keep that a name of this zone is missing, as one of its servers says (RFC 2308 §5).
    ///
    /// # Errors
    /// Why it tells nothing.
    pub async fn negative_ttl_by(&self, server: SocketAddr, zone: &str) -> Result<Duration, Unheard> {
        // A zone's own name has no PTR records, and the answer that says so carries the SOA.
        let said = self.told_by(server, zone, Type::Ptr, To::Own).await?;
        match said.told {
            Told::Nothing => Ok(said.ttl),
            Told::Records(_) | Told::Alias(_) | Told::Referral(_) => {
                Err(Unheard::Refused("it does not say how long an absence may be kept".into()))
            }
        }
    }

    async fn told_by(&self, server: SocketAddr, name: &str, kind: Type, to: To) -> Result<Said, Unheard> {
        let name = name.strip_suffix('.').unwrap_or(name);
        if !wire::is_name(name) {
            return Err(Unheard::Refused(DnsError::BadName.to_string()));
        }
        let (patience, metrics) = (&self.0.patience, &*self.0.metrics);
        let recursive = to == To::Resolver;
        let exchange = Exchange { servers: std::slice::from_ref(&server), patience, metrics, recursive };
        let mut unheard = Unheard::Silent("nobody was asked".into());
        for wait in patience.rounds.into_iter().take(TRIES) {
            let reply = match exchange.ask(server, name, kind, wait).await {
                Ok(reply) => reply,
                Err(Trouble::Refused(what)) => return Err(Unheard::Refused(what)),
                Err(Trouble::NoWay(what)) => return Err(Unheard::NoWay(what)),
                Err(Trouble::Silent(what)) => {
                    unheard = Unheard::Silent(what);
                    continue;
                }
            };
            let is_responsible = reply.authoritative || recursive;
            let told = |told, ttl| Ok(Said { told, ttl });
            return match reply.answer {
                wire::Answer::Records(records, ttl) => {
                    let texts =
                        records.iter().filter_map(|r| if let Record::Txt(t) = r { Some(t.clone()) } else { None });
                    told(Told::Records(texts.collect()), ttl)
                }
                wire::Answer::Alias(target, ttl) => told(Told::Alias(target), ttl),
                wire::Answer::NoData(ttl) if reply.referral.is_some() && !recursive => {
                    told(Told::Referral(reply.referral.unwrap_or_default()), ttl)
                }
                wire::Answer::NxDomain(ttl) | wire::Answer::NoData(ttl) if is_responsible => told(Told::Nothing, ttl),
                wire::Answer::NxDomain(_) | wire::Answer::NoData(_) => {
                    Err(Unheard::Refused("it is not responsible for the zone (lame)".into()))
                }
            };
        }
        Err(unheard)
    }
}
