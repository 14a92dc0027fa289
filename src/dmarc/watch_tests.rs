//! The watch over a DNS in a table and reports in RAM.

use std::time::Duration;

use super::*;
use crate::{
    clock::Clock,
    config::{Domain, InForce},
    dmarc::{
        keep::{
            Origin, Taken, Weighed,
            tests::{NOW, Written},
        },
        row::{By, Mark},
    },
    lookup::fake::Zones,
    tls_report::fake::RamMemos,
};

struct Rig {
    watch: Watch<RamMemos>,
    zones: Arc<Zones>,
    clock: Clock,
}

fn rig(zones: Zones, delivered: u64) -> Rig {
    let mut config = Config::default();
    config.bounce.report_address = "dmarc@relay.example.net".into();
    config.domains.push(Domain { name: "Mail.Example.jp".into(), ..Domain::default() });
    let (clock, zones) = (Clock::manual(NOW), Arc::new(zones));
    let no_tls = Arc::new(|_, _: &crate::dmarc::keep::Origin| Ok(Taken::nothing()));
    let keeper = Keeper::new(RamMemos::default(), clock.clone(), InForce::new(config), Arc::default(), no_tls);
    let delivered: DeliveredBy = Arc::new(move |_, from, to| {
        let by_day = (from..=to).map(|day| (day, delivered)).collect();
        Ok(Delivered { known_from: from, by_day })
    });
    let watch = Watch { keeper, dns: zones.clone(), delivered, alarms: Alarms::default() };
    Rig { watch, zones, clock }
}

impl Rig {
    fn round(&self) -> Vec<String> {
        smol::block_on(self.watch.round()).expect("the store works");
        self.watch.alarms.list("").into_iter().map(|a| format!("{} {}", a.domain, a.alarm.word())).collect()
    }

    fn report(&self, id: &str, mark: Mark) {
        let rows = [("192.0.2.1", 1, true, true, "mail.example.jp")];
        let report = Written { organization: "r.example", id, domain: "example.jp", days_ago: 1, rows: &rows }.xml();
        let weighed = Weighed { mark, from: "r.example".into(), why: String::new() };
        self.watch.keeper.take(report.as_bytes(), &Origin::of(By::Mail, weighed)).expect("a report");
    }
}

/// Records of a domain whose reports go to another one.
fn zones() -> Zones {
    Zones::default()
        .with_txt(
            "_dmarc.example.jp",
            "v=DMARC1; p=none; rua=mailto:other@x.example,mailto:DMARC@relay.example.net!10m",
        )
        .with_txt("example.jp._report._dmarc.relay.example.net", "v=DMARC1;")
        .with_ip("mail.example.jp", "192.0.2.1")
}

const QUIET: [&str; 0] = [];

#[test]
fn a_record_that_does_not_name_us_is_told_until_it_does() {
    let rig = rig(zones(), 0);
    assert_eq!(rig.round(), QUIET, "others beside us are fine, and so is a record of the domain above");
    rig.zones.set_txt("_dmarc.example.jp", "v=DMARC1; p=none; rua=mailto:other@x.example");
    assert_eq!(rig.round(), ["mail.example.jp not_ours"]);
    let alarm = rig.watch.alarms.list("mail.example.jp").remove(0);
    assert!(alarm.words.contains("other@x.example") && alarm.words.contains("dmarc@relay.example.net"), "{alarm:?}");
    let since = alarm.since;
    rig.clock.advance(Duration::from_secs(3_600));
    rig.zones.set_txt("_dmarc.example.jp", "v=DMARC1; p=none");
    assert_eq!(rig.round(), ["mail.example.jp not_ours"]);
    assert_eq!(rig.watch.alarms.list("mail.example.jp")[0].since, since, "it is the same alarm");
    rig.zones.forget("_dmarc.example.jp");
    assert_eq!(rig.round(), ["mail.example.jp no_record"]);
    // An own record overrides the one above.
    rig.zones.set_txt("_dmarc.example.jp", "v=DMARC1; p=none; rua=mailto:dmarc@relay.example.net");
    rig.zones.set_txt("_dmarc.mail.example.jp", "v=DMARC1; p=none; rua=mailto:else@example.jp");
    assert_eq!(rig.round(), ["mail.example.jp not_ours"]);
    rig.zones.set_txt("_dmarc.mail.example.jp", "v=DMARC1; p=none; rua=mailto:dmarc@relay.example.net");
    assert_eq!(rig.round(), ["mail.example.jp not_allowed"]);
    let alarm = rig.watch.alarms.list("").remove(0);
    assert!(alarm.words.contains("mail.example.jp._report._dmarc.relay.example.net TXT \"v=DMARC1;\""), "{alarm:?}");
    rig.zones.set_txt("mail.example.jp._report._dmarc.relay.example.net", "v=DMARC1");
    assert_eq!(rig.round(), QUIET);
}

#[test]
fn within_an_organization_nobody_needs_to_allow_anything() {
    let zones = Zones::default().with_txt("_dmarc.example.net", "v=DMARC1; p=none; rua=mailto:dmarc@relay.example.net");
    let rig = rig(zones, 0);
    let mut config = (*rig.watch.keeper.config.get()).clone();
    config.domains[0].name = "shop.example.net".into();
    rig.watch.keeper.config.swap(config.clone());
    assert_eq!(rig.round(), QUIET);
    config.bounce.report_address.clear();
    rig.zones.forget("_dmarc.example.net");
    rig.watch.keeper.config.swap(config);
    assert_eq!(rig.round(), QUIET, "without a report address nothing is awaited");
}

#[test]
fn silence_of_the_dns_is_no_news() {
    let rig = rig(zones().failing("_dmarc.mail.example.jp"), 0);
    assert_eq!(rig.round(), QUIET);
    let rig = self::rig(zones(), 0);
    rig.zones.set_txt("_dmarc.example.jp", "v=DMARC1; p=none");
    assert_eq!(rig.round(), ["mail.example.jp not_ours"]);
    let broken = Watch { dns: Arc::new(zones().failing("_dmarc.mail.example.jp")), ..rig.watch.clone() };
    smol::block_on(broken.round()).expect("the store works");
    assert_eq!(rig.watch.alarms.list("").len(), 1, "what stood before stands");
}

#[test]
fn two_days_without_a_report_although_mail_left_are_told() {
    let quiet = rig(zones(), 0);
    assert_eq!(quiet.round(), QUIET, "no mail, no reports");
    let rig = rig(zones(), 7);
    assert_eq!(rig.round(), ["mail.example.jp silent"]);
    assert!(rig.watch.alarms.list("")[0].words.contains("14 mails"), "{:?}", rig.watch.alarms.list(""));
    rig.report("forged", Mark::Forged);
    assert_eq!(rig.round(), ["mail.example.jp silent"], "a forged report is none");
    rig.report("r-1", Mark::Verified);
    assert_eq!(rig.round(), QUIET);
    rig.clock.advance(Duration::from_secs(47 * 3_600));
    assert_eq!(rig.round(), QUIET);
    rig.clock.advance(Duration::from_secs(2 * 3_600));
    assert_eq!(rig.round(), ["mail.example.jp silent"]);
    let alarm = rig.watch.alarms.list("").remove(0).alarm;
    assert!(matches!(&alarm, Alarm::Silent { last, .. } if last.starts_with("2026-11-24T13:35:10")), "{alarm:?}");
}
