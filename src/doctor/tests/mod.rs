//! The doctor over made-up zones: a world in which everything is well, and one change for each finding.

mod places;
mod receiving;
mod records;
mod sending;
mod whole;

use std::{
    collections::BTreeSet,
    net::IpAddr,
    sync::{Arc, LazyLock, Mutex, PoisonError},
    time::Duration,
};

use super::{
    Doctor, Parts,
    finding::{Finding, Level, Report, Seen},
    policy::{Fetching, NoPolicy, Policies},
    words::{self, Language},
};
use crate::{
    clock::{Clock, DAY_MILLIS, Timestamp},
    config::{Config, DkimKey, Domain, InForce, Listener, Role},
    dkim::key::{Algorithm, SigningKey},
    lookup::{Tlsa, fake::Zones},
    signing::{Keyring, Managed},
    store::MemoKind,
    tls_report::fake::RamMemos,
};

/// The day on which all tests play.
pub(super) const TODAY: u32 = 20_786;
/// Our address in the world.
pub(super) const OURS: &str = "192.0.2.1";

pub(super) static RSA: LazyLock<Arc<SigningKey>> = LazyLock::new(|| made(Algorithm::RsaSha256));
pub(super) static OTHER: LazyLock<Arc<SigningKey>> = LazyLock::new(|| made(Algorithm::RsaSha256));
pub(super) static ED: LazyLock<Arc<SigningKey>> = LazyLock::new(|| made(Algorithm::Ed25519Sha256));

fn made(algorithm: Algorithm) -> Arc<SigningKey> {
    Arc::new(SigningKey::generate(algorithm, 2048).expect("a key").0)
}

pub(super) const POLICY: &str = "version: STSv1\nmode: enforce\nmx: mx.example.jp\nmax_age: 604800\n";
pub(super) const KEY_NAME: &str = "k1._domainkey.example.jp";

/// What a test may change.
pub(super) struct World {
    pub zones: Zones,
    pub config: Config,
    pub keys: Vec<(&'static str, Arc<SigningKey>)>,
    pub managed: Vec<Managed>,
    pub policy: Result<&'static str, NoPolicy>,
    pub memos: RamMemos,
    pub domain: &'static str,
}

impl Policies for Result<&'static str, NoPolicy> {
    fn fetch<'a>(&'a self, _: &'a str, _: Vec<IpAddr>) -> Fetching<'a> {
        let answer = self.clone().map(|text| text.as_bytes().to_vec());
        Box::pin(async { answer })
    }
}

pub(super) fn tlsa(usage: u8) -> Tlsa {
    Tlsa { usage, selector: 1, matching: 1, data: vec![7; 32] }
}

/// Everything is well: example.jp sends from 192.0.2.1 under return.example.jp, signs, and receives with DANE and MTA-STS.
pub(super) fn well() -> World {
    let mut config = Config::default();
    config.server.hostname = "mail.example.jp".into();
    config.domain_check.addresses = vec![OURS.parse().expect("an address")];
    config.envelope_from.return_domain = "return.mail.example.jp".into();
    let domain = Domain { name: "example.jp".into(), envelope_from_rewrite: true, ..Domain::default() };
    config.domains.push(Domain { return_domain: "return.example.jp".into(), ..domain });
    config.bounce.report_address = "dmarc@in.example.jp".into();
    config.bounce.complaint_address = "fbl@in.example.jp".into();
    config.tls_report.address = "tls@in.example.jp".into();
    config.unsubscribe.address = Some("127.0.0.1:8026".parse().expect("an address"));
    config.unsubscribe.public_url = "https://u.example.jp".into();
    config.domain_check.blocklists = vec!["bl.test".into()];
    config.delivery.block_private_destinations = false;
    config.listeners = vec![
        Listener::default(),
        Listener { address: "0.0.0.0:25".parse().expect("an address"), role: Role::Inbound, ..Listener::default() },
    ];
    let zones = Zones::default()
        .with_txt("example.jp", "v=spf1 ip4:192.0.2.1 include:_spf.example.net -all")
        .with_txt("_spf.example.net", "v=spf1 ip4:198.51.100.0/24 -all")
        .with_txt("return.example.jp", "v=spf1 ip4:192.0.2.1 -all")
        .with_mx("return.example.jp", 10, "mail.example.jp")
        .with_mx("in.example.jp", 10, "mail.example.jp")
        .with_ip("u.example.jp", OURS)
        .with_mx("example.jp", 10, "mx.example.jp")
        .secure("example.jp")
        .with_ip("mx.example.jp", "192.0.2.25")
        .with_tlsa("_25._tcp.mx.example.jp", tlsa(3))
        .secure("_25._tcp.mx.example.jp")
        .with_ip("mail.example.jp", OURS)
        .with_ptr(OURS, "mail.example.jp")
        .with_txt(KEY_NAME, &RSA.record())
        .with_txt("_dmarc.example.jp", "v=DMARC1; p=reject; rua=mailto:dmarc@in.example.jp")
        .with_txt("_mta-sts.example.jp", "v=STSv1; id=20261129")
        .with_ip("mta-sts.example.jp", "192.0.2.44")
        .with_txt("_smtp._tls.example.jp", "v=TLSRPTv1; rua=mailto:tls@in.example.jp")
        .with_txt("default._bimi.example.jp", "v=BIMI1; l=https://example.jp/l.svg; a=https://example.jp/c.pem")
        .with_ip("2.0.0.127.bl.test", "127.0.0.2");
    let world = World {
        zones,
        config,
        keys: vec![("k1", RSA.clone())],
        managed: Vec::new(),
        policy: Ok(POLICY),
        memos: RamMemos::default(),
        domain: "example.jp",
    };
    world.counted(
        "jp.example",
        1,
        r#"{"gmail":{"delivered":900,"tls":900,"one_click":900},"yahoo":{"delivered":9,"tls":9,"one_click":9}}"#,
    )
}

impl World {
    /// Streams of a day, so many days ago.
    pub fn counted(self, turned: &str, ago: u32, row: &str) -> Self {
        self.memos.set(MemoKind::Streams, &format!("{turned}/{}", TODAY - ago), row.as_bytes());
        self
    }

    pub fn doctor(mut self) -> (Doctor, Arc<Zones>) {
        let keys = self.keys.iter().map(|(selector, key)| DkimKey {
            selector: (*selector).into(),
            key: Some(key.clone()),
            ..DkimKey::default()
        });
        self.config.domains[0].dkim = keys.collect();
        let ring = Keyring::new(&self.config);
        ring.set_managed(self.managed);
        let zones = Arc::new(self.zones);
        let parts = Parts {
            clock: Clock::manual(Timestamp::from_millis(u64::from(TODAY) * DAY_MILLIS + 1)),
            dns: zones.clone(),
            policies: Arc::new(self.policy),
            config: InForce::new(self.config),
            keys: ring,
            memos: Arc::new(self.memos),
        };
        (Doctor::new(parts), zones)
    }

    pub fn report(self) -> Report {
        let domain = self.domain;
        let (doctor, _) = self.doctor();
        smol::block_on(async { doctor.check(domain).await })
    }
}

/// `spf.missing`: area and variant.
pub(super) fn variant(seen: &Seen) -> String {
    let value = serde_json::to_value(seen).expect("texts and numbers");
    let (area, inner) = value.as_object().and_then(|o| o.iter().next()).expect("an area");
    match inner {
        serde_json::Value::String(word) => format!("{area}.{word}"),
        serde_json::Value::Object(fields) if area != "unanswered" => {
            format!("{area}.{}", fields.keys().next().expect("a variant"))
        }
        _ => area.clone(),
    }
}

/// What the tables below have provoked so far in this process.
pub(super) static PROVOKED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// One row of a table: what is changed, and what is then found: variant, level, subject, and a part of the English words.
pub(super) type Row = (&'static str, fn(World) -> World, &'static [(&'static str, Level, &'static str, &'static str)]);

/// Runs a table; the words of everything that is found are looked at on the way.
#[track_caller]
pub(super) fn check(table: &[Row]) {
    for (name, change, expected) in table {
        let report = change(well()).report();
        for finding in &report.findings {
            said(finding);
        }
        let found: Vec<(String, Level, &str, String)> = report
            .findings
            .iter()
            .map(|f| (variant(&f.seen), f.level, f.subject.as_str(), words::seen(f, Language::English)))
            .collect();
        for (wanted, level, subject, part) in *expected {
            assert!(
                found.iter().any(|(v, l, s, words)| v == wanted && l == level && s == subject && words.contains(part)),
                "{name}: no {wanted} ({level:?}, {subject}, {part:?}) in {found:#?}"
            );
            PROVOKED.lock().unwrap_or_else(PoisonError::into_inner).insert((*wanted).to_owned());
        }
    }
}

/// A finding has its words, in both languages.
#[track_caller]
pub(super) fn said(finding: &Finding) {
    for language in [Language::English, Language::Japanese] {
        let (seen, why, fix) =
            (words::seen(finding, language), words::why(finding, language), words::fix(finding, language));
        assert!(!seen.is_empty() && !why.is_empty(), "{finding:?}");
        // A raw record may have any letters; what we say about it is in the language.
        let is_japanese = |text: &str| text.chars().any(|c| ('\u{3040}'..='\u{9fff}').contains(&c));
        assert!(language == Language::Japanese || !is_japanese(&why), "{why}");
        assert!(language == Language::English || is_japanese(&why), "{why}");
        let must_say = matches!(finding.level, Level::Warning | Level::Error);
        assert!(!must_say || !fix.is_empty(), "what to do about {finding:?}?");
        assert!(!seen.contains("Some(") && !seen.contains("Err("), "{seen}");
    }
}

/// The first finding of a variant.
#[track_caller]
pub(super) fn one<'r>(report: &'r Report, wanted: &str) -> &'r Finding {
    let found = report.findings.iter().find(|f| variant(&f.seen) == wanted);
    found.unwrap_or_else(|| {
        panic!("no {wanted} in {:#?}", report.findings.iter().map(|f| variant(&f.seen)).collect::<Vec<_>>())
    })
}

/// Zone-file lines of its records.
pub(super) fn lines(finding: &Finding) -> Vec<String> {
    finding.records.iter().map(super::finding::RecordToPublish::zone_line).collect()
}

pub(super) const SLOW: Duration = Duration::from_millis(300);
