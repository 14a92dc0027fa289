//! A look at the DNS: what the zone's own servers and the resolvers elsewhere say of a key's record.
//!
//! In: the record's name and what it has to be.  Out: [`Seen`].
//! Always: servers are asked at once, each within its bound; aliases and delegations are followed for a few steps, and then the
//! servers of every zone on the way count. Resolvers are asked only when the zone's servers have the record, so that we never
//! make them remember its absence.
//! Sources: RFC 1034 §3.6.2 and §4.3.1, RFC 2308, RFC 6376 §3.6.2.

use std::{
    future::Future,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    time::Duration,
};

use smol::{Timer, future::FutureExt};

use super::witness::{Judgement, Role, Says, Seen, Witness, compare};
use crate::net::dns::{
    Resolver,
    ask::{NameServer, Said, To, Told, Unheard, at_once},
};

/// Zones that are asked: the first, and those that aliases and delegations lead to.
const ZONES_MAX: usize = 4;
/// Servers that are asked how long an absence may be kept.
const NEGATIVE_ASKED_MAX: usize = 3;
/// Where name servers listen.
const PORT: u16 = 53;

/// How long a look takes at most: somebody may be waiting for it at a command line.
const LOOK_MAX: Duration = Duration::from_secs(90);

/// A look under way.
pub type Looking<'a> = Pin<Box<dyn Future<Output = Seen> + Send + 'a>>;

/// Who looks: the DNS, or a test.
pub trait Eyes: Send + Sync + 'static {
    /// Looks whether the TXT record of `name` is `expected`, everywhere.
    fn look<'a>(&'a self, name: &'a str, expected: &'a str, resolvers: &'a [SocketAddr]) -> Looking<'a>;
}

impl Eyes for Resolver {
    fn look<'a>(&'a self, name: &'a str, expected: &'a str, resolvers: &'a [SocketAddr]) -> Looking<'a> {
        let late = async move {
            Timer::after(LOOK_MAX).await;
            let trouble = format!("the DNS took longer than {} s to answer for {name}", LOOK_MAX.as_secs());
            Seen { trouble: Some(trouble), ..Seen::default() }
        };
        Box::pin(look(self, name, expected, resolvers, PORT).or(late))
    }
}

/// The same, with the servers of zones at another port.
async fn look(dns: &Resolver, name: &str, expected: &str, resolvers: &[SocketAddr], port: u16) -> Seen {
    let mut seen = Seen::default();
    // A name to ask for, and from which name on to look for the zone that has it.
    let first = (name.to_owned(), name.split_once('.').map_or(name, |(_, parent)| parent).to_owned());
    let mut asking = vec![first];
    let mut done = 0;
    while let Some((name, from)) = asking.get(done).cloned() {
        done += 1;
        let zone = match dns.zone_servers(&from).await {
            Ok(zone) => zone,
            Err(error) => {
                seen.trouble = Some(format!("the servers of the zone of {name} cannot be found: {error}"));
                break;
            }
        };
        for (witness, leads_to) in ask_zone(dns, &zone.servers, &name, expected, port).await {
            match leads_to {
                // The server is right to say so; what counts is what stands there.
                Some(next) if asking.len() < ZONES_MAX || asking.contains(&next) => {
                    if !asking.contains(&next) {
                        asking.push(next);
                    }
                }
                Some(_) => {
                    let says = Says::Wrong("leads on and on, from zone to zone".into());
                    seen.witnesses.push(Witness { says, ..witness });
                }
                None => seen.witnesses.push(witness),
            }
        }
        if seen.negative_ttl.is_none() {
            seen.negative_ttl = negative_ttl(dns, &zone.servers, &zone.name, port).await;
        }
    }
    if matches!(seen.judge(0), Judgement::Everywhere | Judgement::ButSilent) {
        let asked = resolvers.iter().map(|resolver| async move {
            let said = dns.txt_by(*resolver, name, To::Resolver).await;
            let server = resolver.to_string();
            witness(Role::Resolver, server, Some(resolver.ip()), said, expected).0
        });
        seen.witnesses.extend(at_once(asked).await);
    }
    seen
}

/// What each address of each server says, and where it leads on to, with the name from which to look for that zone.
async fn ask_zone(
    dns: &Resolver,
    servers: &[NameServer],
    name: &str,
    expected: &str,
    port: u16,
) -> Vec<(Witness, Option<(String, String)>)> {
    let asked = servers.iter().flat_map(|server| {
        let addresses: Vec<Result<IpAddr, String>> = match &server.addresses {
            Ok(addresses) => addresses.iter().map(|address| Ok(*address)).collect(),
            Err(error) => vec![Err(format!("its address is not known: {error}"))],
        };
        addresses.into_iter().map(move |address| async move {
            let (address, said) = match address {
                Ok(address) => (Some(address), dns.txt_by(SocketAddr::new(address, port), name, To::Own).await),
                Err(why) => (None, Err(Unheard::Silent(why))),
            };
            let (witness, leads_to) = witness(Role::Own, server.name.clone(), address, said, expected);
            let from_there = |to: Told| match to {
                Told::Alias(target) => Some((target.clone(), target)),
                Told::Referral(zone) => Some((name.to_owned(), zone)),
                Told::Records(_) | Told::Nothing => None,
            };
            (witness, leads_to.and_then(from_there))
        })
    });
    at_once(asked).await
}

/// What a server says, as a witness; and where it leads to.
fn witness(
    role: Role,
    server: String,
    address: Option<IpAddr>,
    said: Result<Said, Unheard>,
    expected: &str,
) -> (Witness, Option<Told>) {
    let mut leads_to = None;
    let mut ttl = Duration::ZERO;
    let says = match said {
        Ok(said) => {
            ttl = said.ttl;
            match said.told {
                Told::Records(texts) => compare(&texts, expected),
                Told::Nothing => Says::Absent,
                told @ (Told::Alias(_) | Told::Referral(_)) => {
                    leads_to = Some(told);
                    // For a resolver, an alias without its records is no answer.
                    Says::Refused("an alias without records".into())
                }
            }
        }
        Err(Unheard::Refused(why)) => Says::Refused(why),
        Err(Unheard::Silent(why)) => Says::Silent(why),
        Err(Unheard::NoWay(why)) => Says::NoWay(why),
    };
    (Witness { role, server, address, says, ttl }, leads_to)
}

/// How long an absence may be kept, as the first server says that tells.
async fn negative_ttl(dns: &Resolver, servers: &[NameServer], zone: &str, port: u16) -> Option<Duration> {
    for server in servers.iter().take(NEGATIVE_ASKED_MAX) {
        let Some(address) = server.addresses.as_ref().ok().and_then(|all| all.first()) else { continue };
        if let Ok(ttl) = dns.negative_ttl_by(SocketAddr::new(*address, port), zone).await {
            return Some(ttl);
        }
    }
    None
}

#[cfg(test)]
#[path = "look_tests.rs"]
mod tests;
