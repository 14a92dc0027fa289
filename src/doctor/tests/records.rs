//! The records that a domain should have.

use super::{
    super::finding::{Published, Purpose, Records},
    *,
};

fn records(world: World) -> Records {
    let domain = world.domain;
    let (doctor, _) = world.doctor();
    smol::block_on(async { doctor.records(domain).await })
}

/// Those that are not published, as purpose and line.
fn missing(world: World) -> Vec<(Purpose, String)> {
    let wanted = records(world).wanted.into_iter().filter(|w| w.published != Published::Yes);
    wanted.map(|w| (w.purpose, w.record.zone_line())).collect()
}

#[test]
fn where_all_is_well_everything_is_published() {
    let found = records(well());
    let purposes: Vec<Purpose> = found.wanted.iter().map(|w| w.purpose).collect();
    assert_eq!(
        purposes,
        [
            Purpose::Spf,
            Purpose::ReturnSpf,
            Purpose::ReturnMx,
            Purpose::ReportMx,
            Purpose::Dkim,
            Purpose::Dmarc,
            Purpose::TlsRpt,
            Purpose::Sts,
            Purpose::Hello,
            Purpose::ReverseName
        ]
    );
    assert!(found.wanted.iter().all(|w| w.published == Published::Yes), "{found:#?}");
    let elsewhere: Vec<Purpose> = found.wanted.iter().filter(|w| !w.own_zone).map(|w| w.purpose).collect();
    assert_eq!(elsewhere, [Purpose::ReverseName]);
    for purpose in purposes {
        for language in [Language::English, Language::Japanese] {
            let words = words::records::purpose(purpose, language);
            assert!(!words.is_empty() && !words.contains('\n'));
        }
    }
}

#[test]
fn what_is_missing_is_told_and_what_is_there_is_kept() {
    let mut world = well();
    world.zones.set_txt("example.jp", "v=spf1 include:_spf.example.net ~all");
    world.zones.forget("_dmarc.example.jp");
    world.zones.forget(KEY_NAME);
    world.config.bounce.report_address = "dmarc@reports.example.net".into();
    let found = missing(world);
    assert!(found.contains(&(
        Purpose::Spf,
        "example.jp. 3600 IN TXT \"v=spf1 ip4:192.0.2.1 include:_spf.example.net ~all\"".into()
    )));
    assert!(found.contains(&(
        Purpose::Dmarc,
        "_dmarc.example.jp. 3600 IN TXT \"v=DMARC1; p=none; rua=mailto:dmarc@reports.example.net\"".into()
    )));
    assert!(found.contains(&(
        Purpose::DmarcAuthorisation,
        "example.jp._report._dmarc.reports.example.net. 3600 IN TXT \"v=DMARC1;\"".into()
    )));
    assert!(found.iter().any(|(purpose, line)| *purpose == Purpose::Dkim && line.starts_with(KEY_NAME)));

    // The organization's policy covers a subdomain: nothing is written over it.
    let mut below = well();
    below.domain = "shop.example.jp";
    let found = records(below);
    let policy = found.wanted.iter().find(|w| w.purpose == Purpose::DmarcInherited).expect("the organization's");
    assert_eq!((policy.record.name.as_str(), policy.published), ("_dmarc.example.jp", Published::Yes));

    let dark = well();
    let zones = dark.zones.failing("_dmarc.example.jp");
    let found = records(World { zones, ..dark });
    let policy = found.wanted.iter().find(|w| w.purpose == Purpose::Dmarc).expect("a proposal");
    assert_eq!(policy.published, Published::Unknown);

    let mut none = well();
    none.domain = "no name";
    assert!(records(none).wanted.is_empty());
}
