//! The addresses that our mail comes from: their names, and the names that we say hello with.
//!
//! In: our addresses.  Out: whether each has a name that leads back to it, and whether its hello does.
//! Sources: RFC 1912 §2.1, RFC 5321 §4.1.1.1; the providers' rules.

use std::net::IpAddr;

use super::{Case, HOSTS_MAX, Outcome, all};
use crate::{
    doctor::{
        ask::Share,
        finding::{Address, Area, Finding, Level, RecordToPublish, Seen},
        ours::Own,
    },
    lookup::{DnsError, Lookup, reverse_name},
};

pub(super) async fn check(case: &Case<'_>) -> Outcome {
    let mut outcome = Outcome::default();
    let ours = &case.ours;
    let found = |level, seen| Finding::new(level, case.domain, Seen::Address(seen));
    if let Some(host) = &ours.smarthost {
        outcome.found(found(Level::Note, Address::Smarthost { host: host.clone() }));
    }
    if ours.are_known() {
        let (addresses, whence) = (ours.addresses(), ours.whence.word().to_owned());
        outcome.found(found(Level::Ok, Address::Known { addresses, whence }));
    } else if ours.smarthost.is_none() {
        let seen = match ours.private.as_slice() {
            [] => Address::None,
            private => Address::Private { addresses: private.to_vec() },
        };
        outcome.found(found(Level::Warning, seen));
    }
    let mut confirmed = Vec::new();
    for own in &ours.seen {
        confirmed.push(names(case.dns, own, &mut outcome).await);
        if !own.hello.is_empty() {
            hello(case.dns, own, &mut outcome).await;
        }
    }
    outcome.known.reverse = if confirmed.is_empty() { None } else { all(confirmed) };
    outcome
}

/// Whether a name of the address leads back to it; `None`: the DNS did not say.
pub(in crate::doctor) async fn is_confirmed(dns: &Share, address: IpAddr) -> Option<bool> {
    let names = match dns.ptr(address).await.records {
        Ok(names) => names,
        Err(error) if error.is_temporary() => return None,
        Err(_) => return Some(false),
    };
    let mut unknown = false;
    for name in names.iter().take(HOSTS_MAX) {
        match dns.addresses(name).await {
            Ok(found) if found.contains(&address) => return Some(true),
            Err(error) if error.is_temporary() => unknown = true,
            Ok(_) | Err(_) => {}
        }
    }
    if unknown { None } else { Some(false) }
}

async fn names(dns: &Share, own: &Own, outcome: &mut Outcome) -> Option<bool> {
    let (address, subject) = (own.address, own.address.to_string());
    let asked = format!("PTR {}", reverse_name(address));
    let mut names = match dns.ptr(address).await.records {
        Ok(names) => names,
        Err(error @ (DnsError::Servfail(_) | DnsError::Timeout(_))) => {
            outcome.trouble(Area::Address, &subject, &asked, &error);
            return None;
        }
        Err(DnsError::NxDomain | DnsError::NoData | DnsError::BadName) => {
            outcome.found(proposed(Finding::new(Level::Error, &subject, Seen::Address(Address::NoName)), own));
            return Some(false);
        }
    };
    names.truncate(HOSTS_MAX);
    let mut dark = None;
    for name in &names {
        match dns.addresses(name).await {
            Ok(found) if found.contains(&address) => {
                let seen = Seen::Address(Address::Confirmed { name: name.clone() });
                outcome.found(Finding::new(Level::Ok, &subject, seen));
                return Some(true);
            }
            Err(error) if error.is_temporary() => dark = Some((name, error)),
            Ok(_) | Err(_) => {}
        }
    }
    if let Some((name, error)) = dark {
        outcome.trouble(Area::Address, &subject, &format!("A/AAAA {name}"), &error);
        return None;
    }
    let seen = Seen::Address(Address::NotConfirmed { names });
    outcome.found(proposed(Finding::new(Level::Error, &subject, seen), own));
    Some(false)
}

/// The address is called what it says, and that leads to it.
fn proposed(finding: Finding, own: &Own) -> Finding {
    if own.hello.contains('.') {
        let there = RecordToPublish::address(&own.hello, own.address);
        finding.with(RecordToPublish::ptr(own.address, &own.hello)).with(there)
    } else {
        finding
    }
}

async fn hello(dns: &Share, own: &Own, outcome: &mut Outcome) {
    let (hello, subject) = (own.hello.clone(), own.address.to_string());
    let found = |level, seen| Finding::new(level, &subject, Seen::Address(seen));
    if !hello.contains('.') {
        outcome.found(found(Level::Error, Address::HelloIsNoName { hello }));
        return;
    }
    let addresses = match dns.addresses(&hello).await {
        Ok(addresses) if addresses.contains(&own.address) => {
            outcome.found(found(Level::Ok, Address::HelloLeadsHere { hello }));
            return;
        }
        Ok(addresses) => addresses,
        Err(error) if error.is_temporary() => {
            outcome.trouble(Area::Address, &subject, &format!("A/AAAA {hello}"), &error);
            return;
        }
        Err(_) => Vec::new(),
    };
    let record = RecordToPublish::address(&hello, own.address);
    let addresses = addresses.into_iter().take(HOSTS_MAX).collect();
    outcome.found(found(Level::Warning, Address::HelloLeadsElsewhere { hello, addresses }).with(record));
}
