//! Blocklists: whether our addresses are on those of `[domain_check] blocklists`. None is asked unless it is named there.
//!
//! In: our addresses, the lists.  Out: who is listed where; which lists are dead, and which refuse us.
//! Always: what a list says counts only after it answered for its test entry, and for the entry that no list has.
//! Sources: RFC 5782 §2.1, §2.4 and §5; the lists' codes 127.255.255.x.

use std::net::{IpAddr, Ipv4Addr};

use super::{Case, Outcome};
use crate::{
    doctor::finding::{Area, Blocklist, Finding, Level, Seen, clipped},
    lookup::{DnsError, Lookup, reverse_name},
};

/// Lists that are asked.
const LISTS_MAX: usize = 20;
/// Codes of an entry that are told.
const CODES_MAX: usize = 8;
/// What every list has (RFC 5782 §5).
const TEST_ENTRY: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
/// What no list has.
const NO_ENTRY: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1));

pub(super) async fn check(case: &Case<'_>) -> Outcome {
    let mut outcome = Outcome::default();
    for list in case.config.domain_check.blocklists.iter().take(LISTS_MAX) {
        if case.ours.are_known() {
            one(case, list, &mut outcome).await;
        }
    }
    outcome
}

/// What a list answers for an address.
enum Says {
    Codes(Vec<Ipv4Addr>),
    Nothing,
    Unknown(DnsError),
}

/// The name under which a list has an address.
fn entry(address: IpAddr, list: &str) -> String {
    let reversed = reverse_name(address);
    let bare = reversed.trim_end_matches(".in-addr.arpa").trim_end_matches(".ip6.arpa");
    format!("{bare}.{list}")
}

async fn ask(case: &Case<'_>, address: IpAddr, list: &str) -> Says {
    match case.dns.a(&entry(address, list)).await.records {
        Ok(codes) => Says::Codes(codes),
        Err(why) if why.is_temporary() => Says::Unknown(why),
        Err(_) => Says::Nothing,
    }
}

/// The code by which a list refuses to answer: 127.255.255.252, .254, .255 and their like.
fn refusal(codes: &[Ipv4Addr]) -> Option<Ipv4Addr> {
    codes.iter().find(|code| matches!(code.octets(), [127, 255, 255, _])).copied()
}

async fn one(case: &Case<'_>, list: &str, outcome: &mut Outcome) {
    let name = list.to_owned();
    let found = |level, seen| Finding::new(level, list, Seen::Blocklist(seen));
    match ask(case, TEST_ENTRY, list).await {
        Says::Unknown(why) => {
            return outcome.trouble(Area::Blocklist, list, &format!("A {}", entry(TEST_ENTRY, list)), &why);
        }
        Says::Nothing => return outcome.found(found(Level::Warning, Blocklist::Silent { list: name })),
        Says::Codes(codes) => {
            if let Some(code) = refusal(&codes) {
                let seen = Blocklist::Refused { list: name, code: code.into() };
                return outcome.found(found(Level::Warning, seen));
            }
            // A domain that somebody else bought answers with its web server.
            if !codes.iter().any(Ipv4Addr::is_loopback) {
                return outcome.found(found(Level::Warning, Blocklist::Everything { list: name }));
            }
        }
    }
    match ask(case, NO_ENTRY, list).await {
        Says::Unknown(why) => {
            return outcome.trouble(Area::Blocklist, list, &format!("A {}", entry(NO_ENTRY, list)), &why);
        }
        Says::Codes(codes) if refusal(&codes).is_none() => {
            return outcome.found(found(Level::Warning, Blocklist::Everything { list: name }));
        }
        Says::Codes(_) | Says::Nothing => {}
    }
    for own in &case.ours.seen {
        let subject = own.address.to_string();
        let found = |level, seen| Finding::new(level, format!("{subject} {list}"), Seen::Blocklist(seen));
        let codes = match ask(case, own.address, list).await {
            Says::Unknown(why) => {
                outcome.trouble(Area::Blocklist, &subject, &format!("A {}", entry(own.address, list)), &why);
                continue;
            }
            Says::Nothing => {
                outcome.found(found(Level::Ok, Blocklist::NotListed { list: list.to_owned() }));
                continue;
            }
            Says::Codes(codes) => codes,
        };
        if let Some(code) = refusal(&codes) {
            outcome.found(found(Level::Warning, Blocklist::Refused { list: list.to_owned(), code: code.into() }));
            continue;
        }
        let texts = case.dns.txt(&entry(own.address, list)).await.records.unwrap_or_default();
        let text = texts.first().map(|text| clipped(text)).unwrap_or_default();
        let codes = codes.into_iter().take(CODES_MAX).map(IpAddr::V4).collect();
        outcome.found(found(Level::Error, Blocklist::Listed { list: list.to_owned(), codes, text }));
    }
}
