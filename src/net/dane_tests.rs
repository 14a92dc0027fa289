//! Certificates against TLSA records, in real handshakes over memory.

use rustls::{
    HandshakeKind,
    version::{TLS12, TLS13},
};

use super::*;
use crate::net::{
    certificates_for_tests::{Authority, Certificate, handshake},
    failure::TlsFailure,
    tls::{Trust, client_config},
};

fn record(usage: u8, selector: u8, matching: u8, data: &[u8]) -> Tlsa {
    let data = match matching {
        1 => digest(&SHA256, data).as_ref().to_vec(),
        2 => digest(&SHA512, data).as_ref().to_vec(),
        _ => data.to_vec(),
    };
    Tlsa { usage, selector, matching, data }
}

fn check(what: &str, records: &[Tlsa], names: &[&str], certificate: &Certificate, want: Result<(), TlsFailure>) {
    let tls = dane_config(records, names).expect(what);
    assert!(tls.is_checked());
    for version in [&TLS12, &TLS13] {
        let got = handshake(&tls, &certificate.server(&[version])).map(drop);
        assert_eq!(got, want, "{what}, {version:?}");
    }
}

#[test]
fn a_host_record_binds_its_key_or_certificate_whatever_else_it_says() {
    let authority = Authority::new("nobody knows");
    // For other names, and over.
    let host = authority.certificate_of(&["other.test"], (2001, 2002));
    let (der, key) = (host.chain[0].to_vec(), host.public_key());
    for matching in 0..=2 {
        check("certificate", &[record(3, 0, matching, &der)], &["mx.test"], &host, Ok(()));
        check("key", &[record(3, 1, matching, &key)], &["mx.test"], &host, Ok(()));
        let mut wrong = record(3, 1, matching, &key);
        *wrong.data.last_mut().expect("data") ^= 1;
        check("another key", &[wrong.clone()], &["other.test"], &host, Err(TlsFailure::DaneMismatch));
        check("one of two", &[wrong, record(3, 0, 1, &der)], &["mx.test"], &host, Ok(()));
    }
    check("key as certificate", &[record(3, 0, 1, &key)], &["other.test"], &host, Err(TlsFailure::DaneMismatch));
    let chained = authority.certificate(&["mx.test"]).with(&authority);
    let records = [record(3, 1, 1, &authority.public_key())];
    check("the authority's key", &records, &["mx.test"], &chained, Err(TlsFailure::DaneMismatch));
}

#[test]
fn an_authority_record_asks_for_chain_dates_and_name() {
    let root = Authority::new("own root");
    let middle = root.below("in between");
    let host = || middle.certificate(&["mx.test", "*.wild.test"]).with(&middle);
    let names = ["mx.test"];
    for matching in 0..=2 {
        for (selector, data) in [(0, middle.der().to_vec()), (1, middle.public_key())] {
            let records = [record(2, selector, matching, &data)];
            check("the one below", &records, &names, &host(), Ok(()));
            check("by any of the names", &records, &["example.test", "mx.test"], &host(), Ok(()));
            check("by a wildcard", &records, &["a.wild.test"], &host(), Ok(()));
            check("not two labels", &records, &["a.b.wild.test"], &host(), Err(TlsFailure::HostMismatch));
            check("no name", &records, &["other.test"], &host(), Err(TlsFailure::HostMismatch));
            check("nothing to match", &records, &["not a name"], &host(), Err(TlsFailure::HostMismatch));
            let over = middle.certificate_of(&["mx.test"], (2001, 2002)).with(&middle);
            check("over", &records, &names, &over, Err(TlsFailure::Expired));
            let to_come = middle.certificate_of(&["mx.test"], (2080, 2090)).with(&middle);
            check("to come", &records, &names, &to_come, Err(TlsFailure::Expired));
            // Whoever presents the authority's certificate has not been vouched for by it.
            let stranger = Authority::new("in between").certificate(&["mx.test"]).with(&middle);
            check("a stranger", &records, &names, &stranger, Err(TlsFailure::NotTrusted));
        }
        for (selector, data) in [(0, root.der().to_vec()), (1, root.public_key())] {
            let records = [record(2, selector, matching, &data)];
            check("the root", &records, &names, &host().with(&root), Ok(()));
            // A digest needs the certificate to be presented; what the record holds in full does not.
            let absent = if matching == 0 { Ok(()) } else { Err(TlsFailure::DaneMismatch) };
            check("the root, not presented", &records, &names, &host(), absent);
        }
    }
    let own = host();
    let leaf = [record(2, 1, 1, &own.public_key())];
    check("the host itself is no authority", &leaf, &names, &own, Err(TlsFailure::DaneMismatch));
    let both = [record(2, 0, 1, b"another"), record(3, 1, 1, &own.public_key())];
    check("either usage will do", &both, &["other.test"], &own, Ok(()));
}

#[test]
fn only_the_strongest_digest_of_a_usage_and_selector_counts() {
    let host = Authority::new("x").certificate(&["mx.test"]);
    let key = host.public_key();
    let (right, wrong) = (record(3, 1, 1, &key), record(3, 1, 2, b"another"));
    check("the weaker matches", &[right.clone(), wrong.clone()], &["mx.test"], &host, Err(TlsFailure::DaneMismatch));
    check("the stronger matches", &[record(3, 1, 1, b"x"), record(3, 1, 2, &key)], &["mx.test"], &host, Ok(()));
    check("of another selector", &[right.clone(), record(3, 0, 2, b"x")], &["mx.test"], &host, Ok(()));
    check("of another usage", &[right.clone(), record(2, 1, 2, b"x")], &["mx.test"], &host, Ok(()));
    check("the whole is no digest", &[wrong.clone(), record(3, 1, 0, &key)], &["mx.test"], &host, Ok(()));
    // What cannot be used does not count as stronger either.
    let short = Tlsa { data: vec![1; 63], ..wrong };
    check("a broken stronger one", &[right, short], &["mx.test"], &host, Ok(()));
}

#[test]
fn what_cannot_match_anything_is_unusable() {
    let host = Authority::new("x").certificate(&["mx.test"]);
    let (der, key) = (host.chain[0].to_vec(), host.public_key());
    let good = [record(3, 1, 1, &key), record(2, 0, 2, &der), record(3, 0, 0, &der), record(2, 1, 0, &key)];
    let bad = [
        record(0, 1, 1, &key),
        record(1, 0, 1, &der),
        record(4, 1, 1, &key),
        record(255, 1, 1, &key),
        record(3, 2, 1, &key),
        Tlsa { matching: 3, ..record(3, 1, 1, &key) },
        Tlsa { data: vec![0; 31], ..record(3, 1, 1, &key) },
        Tlsa { data: vec![0; 32], ..record(3, 1, 2, &key) },
        Tlsa { data: Vec::new(), ..record(3, 1, 1, &key) },
        record(3, 0, 0, &der[..der.len() - 1]),
        record(3, 1, 0, &[&key[..], b"x"].concat()),
        record(2, 0, 0, b"no certificate"),
    ];
    assert_eq!(usable(&good), good);
    assert_eq!(usable(&bad), []);
    assert_eq!(usable(&[&bad[..], &good[..]].concat()), good);
    assert!(dane_config(&bad, &["mx.test"]).is_err());
}

#[test]
fn a_handshake_signed_with_another_key_fails_although_the_certificate_matches() {
    let authority = Authority::new("x");
    let host = authority.certificate(&["mx.test"]);
    let thief = Certificate { chain: host.chain.clone(), key: rcgen::KeyPair::generate().expect("a key") };
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(thief.key.serialize_der());
    let key = provider().key_provider.load_private_key(key.into()).expect("a key");
    let certified = Arc::new(rustls::sign::CertifiedKey::new(thief.chain.clone(), key));
    let config = rustls::ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certified)));
    let tls = dane_config(&[record(3, 0, 1, &host.chain[0])], &["mx.test"]).expect("usable");
    assert_eq!(handshake(&tls, &Arc::new(config)), Err(TlsFailure::NotTrusted));
}

#[test]
fn nothing_is_resumed_that_was_verified_by_records() {
    let host = Authority::new("x").certificate(&["mx.test"]);
    let by_records = dane_config(&[record(3, 1, 1, &host.public_key())], &["mx.test"]).expect("usable");
    let unchecked = client_config(Trust::Anybody).expect("a configuration");
    for version in [&TLS12, &TLS13] {
        // This server would resume.
        let server = host.server(&[version]);
        assert_eq!(handshake(&unchecked, &server), Ok(HandshakeKind::Full));
        assert_eq!(handshake(&unchecked, &server), Ok(HandshakeKind::Resumed), "{version:?}");
        for _ in 0..2 {
            assert_eq!(handshake(&by_records, &server), Ok(HandshakeKind::Full), "{version:?}");
        }
    }
}

#[test]
fn a_configuration_for_each_host_is_cheap() {
    let records = vec![record(3, 1, 1, b"a key"); 4];
    let first = dane_config(&records, &["mx.test"]).expect("usable");
    let started = crate::clock::Clock::system().instant();
    for _ in 0..1000 {
        let next = dane_config(&records, &["mx.test"]).expect("usable");
        assert!(Arc::ptr_eq(first.config.crypto_provider(), next.config.crypto_provider()));
    }
    let took = crate::clock::Clock::system().instant() - started;
    // Some microseconds each; reading roots or building a provider takes a thousand times that.
    assert!(took.as_millis() < 500, "{took:?}");
}
