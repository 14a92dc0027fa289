//! What servers say, and what it amounts to.

use super::*;
use crate::dkim::{
    key::SigningKey,
    public::{Algorithm, PublicKey},
};

fn record(algorithm: Algorithm) -> String {
    SigningKey::generate(algorithm, 2048).expect("a key").0.record()
}

#[test]
fn what_is_wrong_with_a_record_is_told_exactly() {
    let ours = record(Algorithm::RsaSha256);
    let ed = record(Algorithm::Ed25519Sha256);
    let p = ours.split("p=").nth(1).expect("a key").to_owned();
    let letter = if &p[59..60] == "A" { "B" } else { "A" };
    let typo = format!("{}{letter}{}", &p[..59], &p[60..]);
    let (first, second) = ours.split_at(255);
    for (texts, expected) in [
        (vec![], "has no such record"),
        (vec![ours.clone()], "has the record"),
        // The same in other words.
        (vec![format!("k=rsa;p={p}")], "has the record"),
        (vec![format!("p={p};k=rsa;v=DKIM1")], "begins with something other than v=DKIM1"),
        (vec![format!("v=DKIM1; h=sha256; s=email; t=s; n=ours; p={} {}", &p[..99], &p[99..])], "has the record"),
        (vec!["v=DKIM1; p=".into()], "revoked"),
        (vec![first.to_owned()], "cut off after 255 characters: a TXT string holds no more"),
        (vec![ours[..300].to_owned()], "cut off after 300 of"),
        (vec!["v=DKIM1".into()], "cut off at a semicolon"),
        (vec!["v=DKIM1; k=rsa".into()], "cut off at a semicolon"),
        (vec![format!("\"{ours}\"")], "with quotation marks in its text"),
        (vec![format!("{first}\" \"{second}")], "with quotation marks in its text"),
        (vec![ours.replace("; ", "\\; ")], "with backslashes"),
        (vec![ours.replace(&p, &typo)], "a typing error at character 60"),
        (vec![record(Algorithm::RsaSha256)], "has another key there: its p= ends in …"),
        (vec![ed.clone()], "another type there (k=ed25519 instead of k=rsa)"),
        (vec![ours.replace("k=rsa", "k=ed25519")], "no public key of type ed25519"),
        (vec![ours.replace("; p", "; h=sha1; p")], "forbids sha256"),
        (vec![ours.replace("; p", "; s=tlsrpt; p")], "not for mail"),
        (vec![ours.replace("; p", "; t=y; p")], "t=y (testing)"),
        (vec!["v=spf1 -all".into()], "which is no key record: \"v=spf1 -all\""),
        (
            vec![ours.clone(), "google-site-verification=1".into()],
            "2 TXT records there, and there must be one alone: remove \"goo",
        ),
        (vec![ours.clone(), ours.clone()], "remove all but the right one"),
        (vec![String::new()], "an empty record"),
        (vec!["\u{1b}[31mred".into()], "no key record: \"·[31mred\""),
        (vec!["x".repeat(5000)], "…\""),
    ] {
        let says = compare(&texts, &ours);
        assert!(says.words().contains(expected), "{texts:?}: {}", says.words());
        assert_eq!(says == Says::Right, expected == "has the record", "{texts:?}");
        assert!(says.words().len() < 300);
    }
    assert_eq!(compare(std::slice::from_ref(&ed), &ed), Says::Right);
    // RSA keys are published in two forms, and both are the same key.
    let spki = KeyRecord::parse(&ours).expect("ours").key.expect("a key");
    assert!(matches!(spki, PublicKey::Rsa { .. }));
}

fn witness(role: Role, server: &str, says: Says, ttl: u64) -> Witness {
    let address = Some(if server.contains('6') { "2001:db8::1" } else { "192.0.2.1" }.parse().expect("an address"));
    Witness { role, server: server.into(), address, says, ttl: Duration::from_secs(ttl) }
}

fn silent() -> Says {
    Says::Silent("no answer in time".into())
}

fn no_way() -> Says {
    Says::NoWay("no route".into())
}

fn refused() -> Says {
    Says::Refused("SERVFAIL".into())
}

/// `own` and `resolvers`: servers by name, what each of their addresses says.
fn seen(own: &[(&str, Says)], resolvers: &[(&str, Says)]) -> Seen {
    let own = own.iter().map(|(name, says)| witness(Role::Own, name, says.clone(), 300));
    let resolvers = resolvers.iter().map(|(name, says)| witness(Role::Resolver, name, says.clone(), 60));
    Seen { witnesses: own.chain(resolvers).collect(), ..Seen::default() }
}

#[test]
fn everywhere_is_where_everybody_agrees_and_silence_does_not_agree() {
    use Judgement::{ButSilent, Everywhere, Not, Unknown};
    let wrong = || Says::Wrong("has another key there".into());
    for (own, resolvers, expected) in [
        (vec![("a", Says::Right), ("b", Says::Right)], vec![("r", Says::Right)], Everywhere),
        (vec![("a", Says::Right), ("b", Says::Absent)], vec![("r", Says::Right)], Not),
        (vec![("a", Says::Right), ("b", wrong())], vec![("r", Says::Right)], Not),
        (vec![("a", Says::Right), ("b", Says::Revoked)], vec![("r", Says::Right)], Not),
        (vec![("a", Says::Right)], vec![("r", Says::Absent)], Not),
        // A validating resolver that finds the zone broken, as receivers' do.
        (vec![("a", Says::Right)], vec![("r", refused())], Not),
        (vec![("a", Says::Right)], vec![("r", silent())], ButSilent),
        (vec![("a", Says::Right), ("b", silent())], vec![("r", Says::Right)], ButSilent),
        (vec![("a", Says::Right), ("b", refused())], vec![("r", Says::Right)], ButSilent),
        // One of two addresses is enough for a server …
        (vec![("a", Says::Right), ("a", silent())], vec![("r", Says::Right)], Everywhere),
        (vec![("a", Says::Right), ("a", no_way())], vec![("r", Says::Right)], Everywhere),
        // … unless the other says something else.
        (vec![("a", Says::Right), ("a", Says::Absent)], vec![("r", Says::Right)], Not),
        // Nobody can ask it from here: left out.
        (vec![("a", Says::Right), ("b6", no_way())], vec![("r", Says::Right)], Everywhere),
        (vec![("a", Says::Right)], vec![("r", Says::Right), ("r6", no_way())], Everywhere),
        // Nobody says it.
        (vec![("a", silent()), ("b", silent())], vec![("r", Says::Right)], Unknown),
        (vec![("a6", no_way())], vec![("r", Says::Right)], Unknown),
        (vec![], vec![("r", Says::Right)], Unknown),
        // A resolver has not been asked.
        (vec![("a", Says::Right)], vec![], Unknown),
    ] {
        let seen = seen(&own, &resolvers);
        assert_eq!(seen.judge(resolvers.len().max(1)), expected, "{own:?} {resolvers:?}");
    }
    let alone = seen(&[("a", Says::Right)], &[]);
    assert_eq!(alone.judge(0), Everywhere, "nobody wants resolvers to be asked");
    let mut troubled = alone.clone();
    troubled.trouble = Some("the servers cannot be found".into());
    assert_eq!(troubled.judge(0), Unknown);
}

#[test]
fn silence_holds_for_a_day() {
    let at = Timestamp::from_millis(1_000_000);
    let (since, over) = silence(&Judgement::ButSilent, None, at);
    assert_eq!((since, over), (Some(at), false));
    let later = at.plus(SILENCE_HOLDS - Duration::from_secs(1));
    assert_eq!(silence(&Judgement::ButSilent, since, later), (since, false));
    assert_eq!(silence(&Judgement::ButSilent, since, at.plus(SILENCE_HOLDS)), (since, true));
    for other in [Judgement::Everywhere, Judgement::Not, Judgement::Unknown] {
        assert_eq!(silence(&other, since, later), (None, false));
    }
}

#[test]
fn who_says_what_is_told_and_what_may_be_in_caches() {
    let mut seen = seen(
        &[("ns1.example.jp", Says::Right), ("ns2.example.jp", Says::Absent), ("ns6.example.jp", no_way())],
        &[("1.1.1.1:53", silent())],
    );
    seen.witnesses[1].ttl = Duration::from_secs(900);
    assert_eq!(
        seen.complaints(),
        [
            "ns2.example.jp (192.0.2.1) has no such record",
            "ns6.example.jp (2001:db8::1) cannot be reached from here: no route",
            "resolver 1.1.1.1:53 does not answer: no answer in time",
        ]
    );
    assert_eq!((seen.ttl(), seen.stale_ttl()), (Duration::from_secs(300), Duration::from_secs(900)));
    seen.negative_ttl = Some(Duration::from_secs(3600));
    assert_eq!(seen.stale_ttl(), Duration::from_secs(3600));
    assert!(seen.denies() && !seen.confirms() && !seen.is_gone());
}

#[test]
fn a_record_is_gone_when_nobody_of_the_zone_has_it() {
    for (own, gone) in [
        (vec![("a", Says::Absent), ("b", Says::Revoked)], true),
        (vec![("a", Says::Absent), ("b", silent())], true),
        (vec![("a", Says::Absent), ("b", Says::Right)], false),
        (vec![("a", silent())], false),
        (vec![], false),
    ] {
        assert_eq!(seen(&own, &[]).is_gone(), gone, "{own:?}");
    }
}
