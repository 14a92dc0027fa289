//! Decides to which hosts and addresses mail for a domain goes, from what DNS answered.
//!
//! In: a domain as the recipient wrote it, DNS answers, the guard's setting, randomness.  Out: hosts in the order of
//! trying, their addresses in the order of trying, or why there are none.
//! Always: a domain with MX records is never delivered to its own address; the number of hosts and addresses is bounded
//! whatever DNS says; with the guard on no private, loopback or reserved address comes out.
//! Sources: RFC 5321 §5.1, RFC 7505, RFC 5891, RFC 6890 (special addresses).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::verdict::Kind;

/// MX hosts tried at most; a set that is larger is cut after sorting.
pub const HOSTS_MAX: usize = 5;
/// Addresses of one host that are tried at most.
pub const ADDRESSES_PER_HOST_MAX: usize = 5;
/// Octets of a domain name (RFC 1035 §2.3.4).
const DOMAIN_OCTETS_MAX: usize = 253;

/// Where a domain part points.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// An address literal: no look-up.
    Literal(IpAddr),
    /// A domain in its ASCII form, lower case.
    Domain(String),
}

/// Why there is no way: the kind decides the verdict, the words say it to people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NoWay {
    /// What it is.
    pub kind: Kind,
    /// Our own words, without the enhanced code.
    pub words: String,
}

/// A DNS answer, as the route needs it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer<T> {
    /// At least one record.
    Found(Vec<T>),
    /// NXDOMAIN.
    NoSuchName,
    /// The name exists, without records of this type.
    NoData,
    /// SERVFAIL, time-out and the like; the words say which.
    Failed(String),
}

/// One MX record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mx {
    /// Lower is better.
    pub preference: u16,
    /// Its host; `.` or empty: the null MX.
    pub host: String,
}

/// The hosts of a domain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hosts {
    /// In the order of trying.
    pub names: Vec<String>,
    /// The domain has no MX: its own address is used.
    pub implicit: bool,
}

/// Reads the part after the `@`: a literal in brackets, or a domain, whose U-labels become A-labels.
pub fn target(domain: &str) -> Result<Target, NoWay> {
    let bad = |words: String| NoWay { kind: Kind::BadAddress, words };
    if let Some(literal) = domain.strip_prefix('[').and_then(|d| d.strip_suffix(']')) {
        let (v6, text) = match literal.get(..5) {
            Some(tag) if tag.eq_ignore_ascii_case("ipv6:") => (true, &literal[5..]),
            _ => (false, literal),
        };
        let address = if v6 { text.parse().map(IpAddr::V6) } else { text.parse().map(IpAddr::V4) };
        return address.map(Target::Literal).map_err(|_| bad(format!("{domain} is not an address literal")));
    }
    let ascii = if domain.is_ascii() {
        domain.to_ascii_lowercase()
    } else {
        idna::domain_to_ascii(domain).map_err(|_| bad(format!("{domain} is not a domain name")))?
    };
    let ascii = ascii.strip_suffix('.').unwrap_or(&ascii);
    if !is_host_name(ascii) {
        return Err(bad(format!("{domain} is not a domain name")));
    }
    Ok(Target::Domain(ascii.to_owned()))
}

/// Letters, digits, hyphens and underscores in labels of 1 to 63, 253 in all.
pub fn is_host_name(name: &str) -> bool {
    name.len() <= DOMAIN_OCTETS_MAX
        && name.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        })
}

/// The hosts to try for a domain, best first; `own_names` are ours, `seed` shuffles equals.
pub fn hosts(domain: &str, answer: Answer<Mx>, own_names: &[&str], seed: u64) -> Result<Hosts, NoWay> {
    let no_way = |kind, words: String| Err(NoWay { kind, words });
    let is_own = |name: &str| own_names.iter().any(|own| own.eq_ignore_ascii_case(name));
    let mut records = match answer {
        Answer::Found(records) => records,
        Answer::NoData if is_own(domain) => {
            return no_way(Kind::LoopsBack, format!("mail for {domain} loops back to this machine"));
        }
        Answer::NoData => return Ok(Hosts { names: vec![domain.to_owned()], implicit: true }),
        Answer::NoSuchName => return no_way(Kind::NoSuchDomain, format!("the domain {domain} does not exist")),
        Answer::Failed(why) => return no_way(Kind::DnsTrouble, format!("looking up the MX of {domain}: {why}")),
    };
    let is_null = |mx: &Mx| matches!(mx.host.as_str(), "" | ".");
    if records.iter().all(is_null) {
        return no_way(Kind::NullMx, format!("the domain {domain} takes no mail (null MX)"));
    }
    records.retain(|mx| !is_null(mx));
    records.iter_mut().for_each(|mx| mx.host.make_ascii_lowercase());
    // Whoever prefers us would send it here again: only hosts that are better than we are can end the journey.
    if let Some(ours) = records.iter().filter(|mx| is_own(&mx.host)).map(|mx| mx.preference).min() {
        records.retain(|mx| mx.preference < ours);
        if records.is_empty() {
            return no_way(Kind::LoopsBack, format!("mail for {domain} loops back to this machine: it is the best MX"));
        }
    }
    records.retain(|mx| is_host_name(&mx.host));
    if records.is_empty() {
        return no_way(Kind::NoAddress, format!("no MX of {domain} is a host name"));
    }
    shuffle(&mut records, seed);
    records.sort_by_key(|mx| mx.preference);
    let mut names: Vec<String> = Vec::with_capacity(records.len().min(HOSTS_MAX));
    for mx in records {
        if names.len() == HOSTS_MAX {
            break;
        }
        if !names.contains(&mx.host) {
            names.push(mx.host);
        }
    }
    Ok(Hosts { names, implicit: false })
}

/// Whose addresses are chosen, and how.
#[derive(Clone, Copy, Debug)]
pub struct Choice<'a> {
    /// The host.
    pub host: &'a str,
    /// It is the domain itself, which has no MX.
    pub implicit: bool,
    /// IPv6 may be used.
    pub ipv6: bool,
    /// Private and reserved addresses are refused.
    pub guard: bool,
    /// Shuffles.
    pub seed: u64,
}

/// A host's addresses in the order of trying: shuffled, the two families by turns. `v6` is `None` when it was not asked for.
pub fn addresses(choice: Choice<'_>, v4: Answer<Ipv4Addr>, v6: Option<Answer<Ipv6Addr>>) -> Result<Vec<IpAddr>, NoWay> {
    let host = choice.host;
    let mut trouble = None;
    let mut only_v6 = false;
    let mut four = match v4 {
        Answer::Found(found) => found,
        Answer::NoSuchName | Answer::NoData => Vec::new(),
        Answer::Failed(why) => {
            trouble = Some(why);
            Vec::new()
        }
    };
    let mut six = match v6 {
        Some(Answer::Found(found)) if choice.ipv6 => found,
        Some(Answer::Found(_)) => {
            only_v6 = four.is_empty();
            Vec::new()
        }
        Some(Answer::Failed(why)) => {
            trouble = trouble.or(Some(why));
            Vec::new()
        }
        Some(Answer::NoSuchName | Answer::NoData) | None => Vec::new(),
    };
    if four.is_empty() && six.is_empty() {
        return Err(if let Some(why) = trouble {
            NoWay { kind: Kind::DnsTrouble, words: format!("looking up the address of {host}: {why}") }
        } else if only_v6 {
            NoWay {
                kind: Kind::NoAddress,
                words: format!("{host} has only IPv6 addresses, and we do not send by IPv6"),
            }
        } else if choice.implicit {
            NoWay { kind: Kind::NoHost, words: format!("the domain {host} has neither MX nor address") }
        } else {
            NoWay { kind: Kind::NoAddress, words: format!("the mail host {host} has no address") }
        });
    }
    if choice.guard {
        four.retain(|a| is_public(IpAddr::V4(*a)));
        six.retain(|a| is_public(IpAddr::V6(*a)));
        if four.is_empty() && six.is_empty() {
            let words = format!("the mail host {host} has only private or reserved addresses, which are refused");
            return Err(NoWay { kind: Kind::Guarded, words });
        }
    }
    shuffle(&mut four, choice.seed);
    shuffle(&mut six, choice.seed.rotate_left(32));
    let (mut four, mut six) = (four.into_iter().map(IpAddr::V4), six.into_iter().map(IpAddr::V6));
    let mut out = Vec::new();
    while out.len() < ADDRESSES_PER_HOST_MAX {
        let pair = [six.next(), four.next()];
        if pair == [None, None] {
            break;
        }
        out.extend(pair.into_iter().flatten());
    }
    out.truncate(ADDRESSES_PER_HOST_MAX);
    Ok(out)
}

/// An address literal's way.
pub fn literal(address: IpAddr, guard: bool) -> Result<Vec<IpAddr>, NoWay> {
    if guard && !is_public(address) {
        let words = format!("[{address}] is a private or reserved address, which is refused");
        return Err(NoWay { kind: Kind::Guarded, words });
    }
    Ok(vec![address])
}

/// An address that a host on the internet can have.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => is_public_v4(a),
        IpAddr::V6(a) => is_public_v6(a),
    }
}

fn is_public_v4(a: Ipv4Addr) -> bool {
    !matches!(
        a.octets(),
        // This network; private; loopback; link-local.
        [0 | 10 | 127, ..] | [172, 16..=31, ..] | [192, 168, ..] | [169, 254, ..]
        // Carrier-grade NAT (RFC 6598); benchmarks (RFC 2544).
        | [100, 64..=127, ..] | [198, 18 | 19, ..]
        // Protocol assignments; documentation (RFC 5737); 6to4 relays (RFC 7526).
        | [192, 0, 0 | 2, _] | [198, 51, 100, _] | [203, 0, 113, _] | [192, 88, 99, _]
        // Multicast, reserved, broadcast.
        | [224..=255, ..]
    )
}

fn is_public_v6(a: Ipv6Addr) -> bool {
    if let Some(inner) = a.to_ipv4_mapped() {
        return is_public_v4(inner);
    }
    let s = a.segments();
    let embedded = |high: u16, low: u16| {
        let [b0, b1] = high.to_be_bytes();
        let [b2, b3] = low.to_be_bytes();
        is_public_v4(Ipv4Addr::new(b0, b1, b2, b3))
    };
    match s {
        // NAT64 (RFC 6052) and 6to4 (RFC 3056) carry an IPv4 address.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
        [0x2002, high, low, ..] => embedded(high, low),
        // Documentation (RFC 3849, RFC 9637); protocol assignments with Teredo and ORCHID.
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0x0fff, ..] | [0x2001, 0..=0x01ff, ..] => false,
        // The rest of the global unicast space; everything outside is loopback, unspecified, unique-local, link-local,
        // site-local, multicast, discard-only or not assigned.
        [0x2000..=0x3fff, ..] => true,
        _ => false,
    }
}

/// Fisher and Yates, with a small generator: the order must be fair, not secret.
fn shuffle<T>(items: &mut [T], seed: u64) {
    let mut state = seed | 1;
    for n in (1..items.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        // Below 2^32 items the remainder is as good as even.
        items.swap(n, (state % (n as u64 + 1)) as usize);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn mx(records: &[(u16, &str)]) -> Answer<Mx> {
        Answer::Found(records.iter().map(|(p, h)| Mx { preference: *p, host: (*h).into() }).collect())
    }

    #[test]
    fn domains_and_literals_are_told_apart() {
        let domain = |d: &str| Ok(Target::Domain(d.into()));
        for (text, want) in [
            ("Example.ORG", domain("example.org")),
            ("example.org.", domain("example.org")),
            ("例え.jp", domain("xn--r8jz45g.jp")),
            ("_x.example", domain("_x.example")),
            ("[192.0.2.1]", Ok(Target::Literal("192.0.2.1".parse().expect("an address")))),
            ("[IPv6:2001:db8::1]", Ok(Target::Literal("2001:db8::1".parse().expect("an address")))),
        ] {
            assert_eq!(target(text), want, "{text}");
        }
        for text in
            ["", ".", "a..b", "a b", "[", "[]", "[::1]", "[IPv6:1.2.3.4]", "[tag:x]", "x\r\ny", &"a.".repeat(200)]
        {
            assert_eq!(target(text).map_err(|n| n.kind), Err(Kind::BadAddress), "{text}");
        }
    }

    #[test]
    fn mx_hosts_come_by_preference_and_equals_by_chance() {
        let set = [(20, "c"), (10, "a"), (10, "b"), (30, "D")];
        let mut firsts = HashSet::new();
        for seed in 0..50 {
            let got = hosts("x", mx(&set), &[], seed).expect("hosts");
            assert!(!got.implicit);
            assert_eq!(got.names[2..], ["c", "d"]);
            firsts.insert(got.names[0].clone());
        }
        assert_eq!(firsts, HashSet::from(["a".to_owned(), "b".to_owned()]));
    }

    #[test]
    fn what_has_no_way_says_why() {
        for (answer, want) in [
            (mx(&[(0, ".")]), Kind::NullMx),
            (mx(&[(10, "us.example"), (20, "backup")]), Kind::LoopsBack),
            (mx(&[(10, "a b")]), Kind::NoAddress),
            (Answer::NoSuchName, Kind::NoSuchDomain),
            (Answer::Failed("SERVFAIL".into()), Kind::DnsTrouble),
        ] {
            assert_eq!(hosts("x", answer.clone(), &["US.example"], 1).map_err(|n| n.kind), Err(want), "{answer:?}");
        }
        assert_eq!(hosts("us.example", Answer::NoData, &["us.example"], 1).map_err(|n| n.kind), Err(Kind::LoopsBack));
    }

    #[test]
    fn only_hosts_better_than_ourselves_are_tried() {
        let got = hosts("x", mx(&[(5, "a"), (10, "us.example"), (10, "b"), (20, "c")]), &["us.example"], 1);
        assert_eq!(got.map(|h| h.names), Ok(vec!["a".to_owned()]));
    }

    #[test]
    fn without_mx_the_domain_itself_is_the_host() {
        let got = hosts("x.example", Answer::NoData, &[], 1);
        assert_eq!(got, Ok(Hosts { names: vec!["x.example".into()], implicit: true }));
    }

    const CHOICE: Choice<'static> = Choice { host: "h", implicit: false, ipv6: true, guard: false, seed: 7 };

    #[test]
    fn address_answers_make_a_way_or_say_why_not() {
        let four = || Answer::Found(vec![Ipv4Addr::new(9, 9, 9, 9)]);
        let six = || Answer::Found(vec!["2620:fe::9".parse().expect("an address")]);
        let no = |kind| Err::<usize, Kind>(kind);
        let failed = || "time-out".to_owned();
        for (choice, v4, v6, want) in [
            (CHOICE, four(), Some(six()), Ok(2)),
            (CHOICE, four(), Some(Answer::Failed(failed())), Ok(1)),
            (CHOICE, Answer::Failed(failed()), Some(six()), Ok(1)),
            (CHOICE, Answer::Failed(failed()), Some(Answer::NoData), no(Kind::DnsTrouble)),
            (CHOICE, Answer::NoData, Some(Answer::NoData), no(Kind::NoAddress)),
            (Choice { implicit: true, ..CHOICE }, Answer::NoData, Some(Answer::NoSuchName), no(Kind::NoHost)),
            (Choice { implicit: true, ..CHOICE }, Answer::NoData, Some(Answer::Failed(failed())), no(Kind::DnsTrouble)),
            (Choice { ipv6: false, ..CHOICE }, Answer::NoData, Some(six()), no(Kind::NoAddress)),
            (Choice { ipv6: false, ..CHOICE }, four(), None, Ok(1)),
            (Choice { guard: true, ..CHOICE }, four(), Some(six()), Ok(2)),
            (Choice { guard: true, ..CHOICE }, Answer::Found(vec![Ipv4Addr::LOCALHOST]), None, no(Kind::Guarded)),
        ] {
            let got = addresses(choice, v4.clone(), v6.clone()).map(|a| a.len()).map_err(|n| n.kind);
            assert_eq!(got, want, "{choice:?} {v4:?} {v6:?}");
        }
    }

    #[test]
    fn the_families_take_turns() {
        let four = (1..9).map(|n| Ipv4Addr::new(9, 9, 9, n)).collect();
        let six = (1..9).map(|n| Ipv6Addr::new(0x2620, 0, 0, 0, 0, 0, 0, n)).collect();
        let got = addresses(CHOICE, Answer::Found(four), Some(Answer::Found(six))).expect("addresses");
        assert_eq!(got.iter().map(IpAddr::is_ipv6).collect::<Vec<_>>(), [true, false, true, false, true]);
    }

    #[test]
    fn the_guard_knows_every_special_address() {
        for text in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.1.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.9",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:a00:1::",
            "3fff::1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "5f00::1",
            "::7f00:1",
        ] {
            assert!(!is_public(text.parse().expect(text)), "{text}");
            assert!(literal(text.parse().expect(text), true).is_err());
            assert!(literal(text.parse().expect(text), false).is_ok());
        }
        for text in [
            "1.1.1.1",
            "100.63.0.1",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "193.0.0.1",
            "223.255.255.255",
            "::ffff:9.9.9.9",
            "64:ff9b::909:909",
            "2002:909:909::1",
            "2001:200::1",
            "2620:fe::fe",
            "2a00::1",
        ] {
            assert!(is_public(text.parse().expect(text)), "{text}");
        }
    }

    proptest! {
        #[test]
        fn absurd_sets_stay_bounded(records in prop::collection::vec((0u16..4, "[a-z]{1,3}|\\.|us"), 1..200), seed: u64) {
            let answer = Answer::Found(records.iter().map(|(p, h)| Mx { preference: *p, host: h.clone() }).collect());
            if let Ok(got) = hosts("x", answer, &["us"], seed) {
                prop_assert!((1..=HOSTS_MAX).contains(&got.names.len()));
                let best: Vec<u16> = got.names.iter()
                    .map(|n| records.iter().filter(|(_, h)| h == n).map(|(p, _)| *p).min().expect("from the set"))
                    .collect();
                prop_assert!(best.is_sorted(), "{best:?}");
                prop_assert!(!got.names.iter().any(|n| n == "us" || n == "."));
            }
        }

        #[test]
        fn any_text_is_a_target_or_a_bad_address(text in "\\PC{0,40}") {
            match target(&text) {
                Ok(Target::Domain(d)) => prop_assert!(is_host_name(&d)),
                Ok(Target::Literal(_)) => prop_assert!(text.starts_with('[')),
                Err(n) => prop_assert_eq!(n.kind, Kind::BadAddress),
            }
        }

        #[test]
        fn with_the_guard_only_public_addresses_come_out(four in prop::collection::vec(any::<u32>(), 0..40), six in prop::collection::vec(any::<u128>(), 0..40), seed: u64) {
            let found = |n: usize| n > 0;
            let v4 = if found(four.len()) { Answer::Found(four.into_iter().map(Ipv4Addr::from).collect()) } else { Answer::NoData };
            let v6 = if found(six.len()) { Answer::Found(six.into_iter().map(Ipv6Addr::from).collect()) } else { Answer::NoData };
            if let Ok(list) = addresses(Choice { guard: true, seed, ..CHOICE }, v4, Some(v6)) {
                prop_assert!(!list.is_empty() && list.len() <= ADDRESSES_PER_HOST_MAX);
                prop_assert!(list.into_iter().all(is_public));
            }
        }
    }
}
