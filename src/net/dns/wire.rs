//! DNS messages: questions out, answers in.
//!
//! In: a name and type, or the octets of a response.  Out: the octets of a query, or what the response says.
//! Always: a response counts only when its id and question are those of the query; every name is checked; records beyond
//! [`RECORDS_MAX`] (fewer of the types that hostile zones can make large) are passed over.
//! Sources: RFC 1035 §4, RFC 2308 §2, RFC 6698 §2.1, RFC 6840 §5.7 (the AD bit of a query), RFC 6891.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    sync::Arc,
    time::Duration,
};

use domain::{
    base::{
        Message, MessageBuilder, Name, ParsedName, ParsedRecord, Rtype,
        iana::{Class, Rcode},
        name::ToName,
        rdata::UnknownRecordData,
    },
    rdata::{A, Aaaa, Cname, Mx, Ns, Ptr, Soa, Txt},
};

use super::{CNAME_STEPS_MAX, Tlsa};

/// Octets that we take in a UDP response (the DNS flag day's value: it fits every path).
pub(super) const UDP_OCTETS_MAX: u16 = 1232;
/// Records of one answer that are used.
const RECORDS_MAX: usize = 256;
/// TLSA and TXT records of one answer that are used: no host needs more, and a zone can hold thousands.
pub(super) const LARGE_RECORDS_MAX: usize = 100;
/// Octets of a TLSA record's data that are kept: a certificate has some two thousand. What is cut is no certificate any
/// more, so it counts as a record that cannot be used, never as one that is not there.
pub(super) const TLSA_OCTETS_MAX: usize = 8 * 1024;
/// Octets of a TXT record; longer ones are passed over, since half a policy says something else than the whole.
pub(super) const TXT_OCTETS_MAX: usize = 4 * 1024;
/// How long an absence without SOA is kept (RFC 2308 §5 leaves it open).
const NEGATIVE_TTL_DEFAULT: Duration = Duration::from_secs(60);

/// What may be asked.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Type {
    A,
    Aaaa,
    Mx,
    Ptr,
    Tlsa,
    Txt,
    Cname,
    Soa,
    Ns,
}

impl Type {
    fn rtype(self) -> Rtype {
        match self {
            Type::A => Rtype::A,
            Type::Aaaa => Rtype::AAAA,
            Type::Mx => Rtype::MX,
            Type::Ptr => Rtype::PTR,
            Type::Tlsa => Rtype::TLSA,
            Type::Txt => Rtype::TXT,
            Type::Cname => Rtype::CNAME,
            Type::Soa => Rtype::SOA,
            Type::Ns => Rtype::NS,
        }
    }
}

/// One record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Record {
    A(Ipv4Addr),
    Aaaa(Ipv6Addr),
    Mx(u16, String),
    Ptr(String),
    Tlsa(Tlsa),
    Txt(String),
    Cname(String),
    Ns(String),
    /// That there is one is all that is asked for.
    Soa,
}

impl Record {
    /// Octets that it takes in memory, about.
    pub(super) fn octets(&self) -> usize {
        let heap = match self {
            Record::A(_) | Record::Aaaa(_) | Record::Soa => 0,
            Record::Mx(_, text) | Record::Ptr(text) | Record::Txt(text) | Record::Cname(text) | Record::Ns(text) => {
                text.capacity()
            }
            Record::Tlsa(tlsa) => tlsa.data.capacity(),
        };
        size_of::<Record>() + heap
    }
}

/// Records as the cache shares them.
pub(super) type Records = Arc<[Record]>;

/// A response that answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Reply {
    pub(super) answer: Answer,
    /// The resolver says (AD) that it validated all of the answer, the aliases and the proof of an absence included.
    pub(super) authentic: bool,
    /// Where the aliases within the response led, if there were any.
    pub(super) alias: Option<String>,
    /// The server says (AA) that the zone is its own.
    pub(super) authoritative: bool,
    /// It has no records itself and names the zone whose servers have them.
    pub(super) referral: Option<String>,
}

/// What a response says; each with its TTL.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Answer {
    Records(Vec<Record>, Duration),
    /// The name is an alias of this one, whose records the response lacks.
    Alias(String, Duration),
    NxDomain(Duration),
    NoData(Duration),
}

/// Why a response does not answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Useless {
    /// It is not the response to this query: go on waiting.
    NotOurs,
    /// It was cut: ask by TCP.
    Truncated,
    /// The server does not understand EDNS: ask without.
    NoEdns,
    /// The server cannot tell: ask another.
    Refused(String),
}

/// A name that may be asked for.
pub(super) fn is_name(name: &str) -> bool {
    parse_name(name).is_some()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/'))
}

fn parse_name(name: &str) -> Option<Name<Vec<u8>>> {
    if name.is_empty() {
        return None;
    }
    Name::vec_from_str(name).ok()
}

/// A query which asks to hear whether the answer was validated; `None`: the name is none. `recursive`: the server is to find
/// the answer out (RD); else it tells what it has itself.
pub(super) fn query(id: u16, name: &str, kind: Type, edns: bool, recursive: bool) -> Option<Vec<u8>> {
    let mut builder = MessageBuilder::new_vec();
    builder.header_mut().set_id(id);
    builder.header_mut().set_rd(recursive);
    builder.header_mut().set_ad(true);
    let mut builder = builder.question();
    builder.push((parse_name(name)?, kind.rtype())).ok()?;
    let mut builder = builder.additional();
    if edns {
        builder
            .opt(|opt| {
                opt.set_udp_payload_size(UDP_OCTETS_MAX);
                Ok(())
            })
            .ok()?;
    }
    Some(builder.finish())
}

/// Reads a response to that query.
pub(super) fn read(octets: &[u8], id: u16, name: &str, kind: Type) -> Result<Reply, Useless> {
    let message = Message::from_slice(octets).map_err(|_| Useless::NotOurs)?;
    let header = message.header();
    let asked = parse_name(name).ok_or(Useless::NotOurs)?;
    if header.id() != id || !header.qr() {
        return Err(Useless::NotOurs);
    }
    match message.sole_question() {
        Ok(q) if q.qtype() == kind.rtype() && q.qclass() == Class::IN && q.qname().name_eq(&asked) => {}
        // An old server may leave the question out of its FORMERR.
        Err(_) if header.rcode() == Rcode::FORMERR => return Err(Useless::NoEdns),
        _ => return Err(Useless::NotOurs),
    }
    if header.tc() {
        return Err(Useless::Truncated);
    }
    match header.rcode() {
        Rcode::NOERROR | Rcode::NXDOMAIN => {}
        Rcode::FORMERR | Rcode::NOTIMP => return Err(Useless::NoEdns),
        other => return Err(Useless::Refused(other.to_string())),
    }
    let (answer, alias) =
        answer_of(message, asked, kind).ok_or_else(|| Useless::Refused("a malformed or endless answer".into()))?;
    let authoritative = header.aa();
    let refers = !authoritative && alias.is_none() && matches!(answer, Answer::NoData(_));
    // One to the root is how a lame server says that it knows nothing.
    let referral = if refers { delegation(message).filter(|zone| !zone.is_empty()) } else { None };
    Ok(Reply { answer, authentic: header.ad(), alias, authoritative, referral })
}

/// The zone that a response without answer and SOA sends on to (RFC 2308 §2.2).
fn delegation(message: &Message<[u8]>) -> Option<String> {
    let mut zone = None;
    for record in message.authority().ok()?.take(RECORDS_MAX).flatten() {
        match record.rtype() {
            Rtype::SOA => return None,
            Rtype::NS if zone.is_none() => zone = Some(text_of(&record.owner())),
            _ => {}
        }
    }
    zone
}

/// Follows the aliases within the answer, then takes the records at their end. `None`: it cannot be parsed, or has too many
/// aliases.
fn answer_of(message: &Message<[u8]>, asked: Name<Vec<u8>>, kind: Type) -> Option<(Answer, Option<String>)> {
    let mut records = Vec::new();
    let mut aliases = Vec::new();
    for record in message.answer().ok()?.take(RECORDS_MAX) {
        let record = record.ok()?;
        if record.class() != Class::IN {
            continue;
        }
        let (owner, ttl) = (record.owner().to_vec(), record.ttl().as_secs());
        if record.rtype() == kind.rtype() {
            records.extend(data_of(&record, kind)?.map(|data| (owner, data, ttl)));
        } else if record.rtype() == Rtype::CNAME {
            let alias = record.into_record::<Cname<ParsedName<_>>>().ok()??;
            aliases.push((owner, alias.data().cname().to_vec(), ttl));
        }
    }
    let mut name = asked;
    let mut ttl = u32::MAX;
    let mut steps = 0;
    while let Some((_, target, t)) = aliases.iter().find(|(owner, ..)| owner.name_eq(&name)) {
        ttl = ttl.min(*t);
        name = target.clone();
        steps += 1;
        if steps > CNAME_STEPS_MAX {
            return None;
        }
    }
    let alias = (steps > 0).then(|| text_of(&name));
    let mut found = Vec::new();
    let found_max = if matches!(kind, Type::Tlsa | Type::Txt) { LARGE_RECORDS_MAX } else { RECORDS_MAX };
    for (owner, data, t) in records {
        if owner.name_eq(&name) && found.len() < found_max {
            ttl = ttl.min(t);
            found.push(data);
        }
    }
    let seconds = |ttl: u32| Duration::from_secs(ttl.into());
    if !found.is_empty() {
        return Some((Answer::Records(found, seconds(ttl)), alias));
    }
    let negative = negative_ttl(message).map(|t| seconds(t.min(ttl)));
    let answer = if message.header().rcode() == Rcode::NXDOMAIN {
        Answer::NxDomain(negative.unwrap_or(NEGATIVE_TTL_DEFAULT))
    } else {
        match negative {
            // Only the SOA of the alias's target says that the target has nothing; else the chain was not followed to its end.
            None if steps > 0 => Answer::Alias(text_of(&name), seconds(ttl)),
            negative => Answer::NoData(negative.unwrap_or(NEGATIVE_TTL_DEFAULT)),
        }
    };
    Some((answer, alias))
}

/// The data of a record of the type asked for. `None`: it is malformed; `Some(None)`: it is passed over.
fn data_of(record: &ParsedRecord<'_, [u8]>, kind: Type) -> Option<Option<Record>> {
    Some(Some(match kind {
        Type::A => Record::A(record.to_record::<A>().ok()??.data().addr()),
        Type::Aaaa => Record::Aaaa(record.to_record::<Aaaa>().ok()??.data().addr()),
        Type::Mx => {
            let mx = record.to_record::<Mx<ParsedName<_>>>().ok()??;
            Record::Mx(mx.data().preference(), text_of(mx.data().exchange()))
        }
        Type::Ptr => Record::Ptr(text_of(record.to_record::<Ptr<ParsedName<_>>>().ok()??.data().ptrdname())),
        Type::Tlsa => {
            let record = record.to_record::<UnknownRecordData<_>>().ok()??;
            Record::Tlsa(match record.data().data() {
                [usage, selector, matching, data @ ..] => Tlsa {
                    usage: *usage,
                    selector: *selector,
                    matching: *matching,
                    data: data[..data.len().min(TLSA_OCTETS_MAX)].to_vec(),
                },
                // Too short for its three numbers: a record that cannot be used is still a record.
                _ => Tlsa { usage: 255, selector: 255, matching: 255, data: Vec::new() },
            })
        }
        Type::Txt => {
            let txt = record.to_record::<Txt<_>>().ok()??;
            let octets: Vec<u8> = txt.data().iter_charstrs().flat_map(|part| part.iter().collect::<Vec<_>>()).collect();
            if octets.len() > TXT_OCTETS_MAX {
                return Some(None);
            }
            Record::Txt(String::from_utf8_lossy(&octets).into_owned())
        }
        Type::Cname => Record::Cname(text_of(record.to_record::<Cname<ParsedName<_>>>().ok()??.data().cname())),
        Type::Soa => Record::Soa,
        Type::Ns => Record::Ns(text_of(record.to_record::<Ns<ParsedName<_>>>().ok()??.data().nsdname())),
    }))
}

/// The lesser of the SOA's TTL and its MINIMUM (RFC 2308 §5).
fn negative_ttl(message: &Message<[u8]>) -> Option<u32> {
    let authority = message.authority().ok()?;
    authority.take(RECORDS_MAX).flatten().find_map(|record| {
        let soa = record.to_record::<Soa<ParsedName<_>>>().ok()??;
        Some(soa.ttl().as_secs().min(soa.data().minimum().as_secs()))
    })
}

/// Lower case, without the last dot; empty: the root.
fn text_of(name: &impl ToName) -> String {
    let text = name.to_vec().to_string().to_ascii_lowercase();
    if text == "." { String::new() } else { text }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::lookup::reverse_name;

    #[test]
    fn addresses_are_asked_for_in_reverse() {
        assert_eq!(reverse_name("192.0.2.1".parse().expect("v4")), "1.2.0.192.in-addr.arpa");
        let want = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa";
        assert_eq!(reverse_name("2001:db8::1".parse().expect("v6")), want);
    }

    #[test]
    fn only_names_are_asked_for() {
        for good in ["example.org", "_dmarc.example.org", "1.2.in-addr.arpa", "0/25.2.0.192.in-addr.arpa"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "a..b", "a b", "a\\.b", "é.example", &"a".repeat(64), &"a.".repeat(200)] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn anything_at_all_is_read_without_harm(octets in prop::collection::vec(any::<u8>(), 0..600)) {
            for kind in [Type::A, Type::Mx, Type::Ptr, Type::Tlsa, Type::Txt, Type::Cname, Type::Soa] {
                let _ = read(&octets, 1, "example.org", kind);
            }
        }

        #[test]
        fn a_query_with_a_damaged_tail_is_read_without_harm(tail in prop::collection::vec(any::<u8>(), 0..300), counts: [u8; 3]) {
            for kind in [Type::Mx, Type::Tlsa, Type::Txt] {
            let mut octets = query(1, "example.org", kind, false, true).expect("a query");
            octets[2] |= 0x80;
            octets[7] = counts[0];
            octets[9] = counts[1];
            octets[11] = counts[2];
            octets.extend(&tail);
            let _ = read(&octets, 1, "example.org", kind);
            }
        }
    }
}
