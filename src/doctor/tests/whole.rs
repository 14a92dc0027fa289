//! The report as a whole: where all is well nothing is wrong; it is bounded in time; every finding there is can be provoked.

use super::{super::finding::Area, *};
use crate::lookup::{Answer, Asking, DnsError, Lookup, MxRecord};

#[test]
fn where_all_is_well_nothing_is_wrong() {
    let report = well().report();
    let bad: Vec<&Finding> = report.findings.iter().filter(|f| f.level >= Level::Note).collect();
    assert!(bad.iter().all(|f| matches!(f.seen, Seen::Bulk(_))), "{bad:#?}");
    assert!(report.worst() <= Level::Note);
    assert!(words::verdict(&report, Language::English).contains("nothing is wrong"));
    let areas: BTreeSet<Area> = report.findings.iter().map(Finding::area).collect();
    assert_eq!(areas.len(), Area::ALL.len(), "every area was looked at: {areas:?}");
    let octets = serde_json::to_vec(&report).expect("texts and numbers").len();
    assert!(octets < 64 * 1024, "{octets} octets");
}

/// A DNS that says nothing for long.
struct Dark;

fn dark<'a, T: Send + 'a>() -> Asking<'a, T> {
    Box::pin(async {
        smol::Timer::after(SLOW * 100).await;
        Answer { records: Err(DnsError::Timeout("late".into())), secure: false, ttl: Duration::ZERO }
    })
}

impl Lookup for Dark {
    fn txt<'a>(&'a self, _: &'a str) -> Asking<'a, String> {
        dark()
    }
    fn mx<'a>(&'a self, _: &'a str) -> Asking<'a, MxRecord> {
        dark()
    }
    fn a<'a>(&'a self, _: &'a str) -> Asking<'a, std::net::Ipv4Addr> {
        dark()
    }
    fn aaaa<'a>(&'a self, _: &'a str) -> Asking<'a, std::net::Ipv6Addr> {
        dark()
    }
    fn ptr(&self, _: IpAddr) -> Asking<'_, String> {
        dark()
    }
    fn ns<'a>(&'a self, _: &'a str) -> Asking<'a, String> {
        dark()
    }
    fn tlsa<'a>(&'a self, _: &'a str) -> Asking<'a, Tlsa> {
        dark()
    }
}

#[test]
fn what_is_not_answered_in_time_is_told_as_unanswered() {
    let world = well();
    let share = super::super::ask::Share::of(Arc::new(Dark));
    let ours = super::super::ours::Ours::of(&world.config);
    let keys = Keyring::new(&world.config);
    let case = super::super::checks::Case::new("example.jp", &share, &world.config, ours, &keys);
    let policy: Result<&'static str, NoPolicy> = Ok(POLICY);
    let (clock, started) = (Clock::system(), Clock::system().instant());
    let outcome = smol::block_on(super::super::within(super::super::checks::first(&case, &policy), SLOW));
    assert!(clock.instant().duration_since(started) < SLOW * 10);
    let unanswered: BTreeSet<Area> = outcome.findings.iter().filter(|f| f.is_unanswered()).map(Finding::area).collect();
    let expected = [
        Area::Spf,
        Area::Dmarc,
        Area::Address,
        Area::Domain,
        Area::Inlet,
        Area::Sts,
        Area::TlsRpt,
        Area::Dane,
        Area::Bimi,
        Area::Blocklist,
    ];
    // Whether a key is there at all needs no DNS.
    assert!(expected.iter().all(|area| unanswered.contains(area)), "{unanswered:?}");
    assert!(outcome.known.spf.is_none() && outcome.known.reverse.is_none() && outcome.known.dmarc.is_none());
    outcome.findings.iter().for_each(said);
}

#[test]
fn a_dead_dns_claims_nothing() {
    let mut world = well();
    for name in [
        "example.jp",
        "_spf.example.net",
        "return.example.jp",
        "in.example.jp",
        "u.example.jp",
        "mx.example.jp",
        "mail.example.jp",
        OURS,
        KEY_NAME,
        "_dmarc.example.jp",
        "_mta-sts.example.jp",
        "_smtp._tls.example.jp",
        AT_BIMI,
        "2.0.0.127.bl.test",
        "_25._tcp.mx.example.jp",
    ] {
        world.zones = world.zones.failing(name);
    }
    let report = world.report();
    let claims: Vec<&Finding> =
        report.findings.iter().filter(|f| f.level >= Level::Warning && !f.is_unanswered()).collect();
    assert!(claims.is_empty(), "{claims:#?}");
    assert_eq!(report.count(Level::Error), 0);
    let changes = report.changes_since(&well().report());
    assert!(changes.is_empty(), "an outage is no change: {changes:#?}");
}

const AT_BIMI: &str = "default._bimi.example.jp";

/// The variants that the sources have: `spf.missing` and so on.
fn variants(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut area = None;
    for line in source.lines() {
        if let Some(rest) = line.strip_prefix("pub enum ") {
            let name = rest.trim_end_matches(" {");
            let known = [
                "Spf",
                "Dkim",
                "Dmarc",
                "Address",
                "Domain",
                "Inlet",
                "Sts",
                "TlsRpt",
                "Dane",
                "Bimi",
                "Blocklist",
                "Bulk",
            ];
            area = known.contains(&name).then(|| snake(name));
        } else if line == "}" {
            area = None;
        } else if let (Some(area), Some(rest)) = (&area, line.strip_prefix("    "))
            && rest.starts_with(|c: char| c.is_ascii_uppercase())
        {
            let name: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
            found.push(format!("{area}.{}", snake(&name)));
        }
    }
    found
}

fn snake(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

/// All tables are run here once more, since tests run in any order.
#[test]
fn every_finding_there_is_has_been_provoked() {
    sending::spf_is_looked_at_from_all_sides();
    sending::each_key_is_held_against_its_record();
    sending::the_dmarc_record_that_applies_is_told_with_whence_it_comes();
    places::our_addresses_have_names_that_lead_back();
    places::the_header_from_domain_can_be_answered();
    places::what_comes_back_leads_here();
    places::no_machine_way_out_is_told();
    places::a_blocklist_is_believed_only_when_it_answers_its_test_entries();
    places::each_provider_is_held_against_its_rules();
    receiving::mta_sts_is_followed_to_its_policy();
    receiving::tls_reports_go_somewhere();
    receiving::dane_counts_where_it_is_proven();
    receiving::bimi_needs_a_strong_policy();
    let sources = [
        include_str!("../seen/sending.rs"),
        include_str!("../seen/places.rs"),
        include_str!("../seen/receiving.rs"),
        include_str!("../seen/bulk.rs"),
    ];
    let all: Vec<String> = sources.iter().flat_map(|source| variants(source)).collect();
    assert!(all.len() > 80, "{}", all.len());
    let provoked = PROVOKED.lock().unwrap_or_else(PoisonError::into_inner);
    let missing: Vec<&String> = all.iter().filter(|variant| !provoked.contains(*variant)).collect();
    assert!(missing.is_empty(), "nobody provoked {missing:?}");
}
