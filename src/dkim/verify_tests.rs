//! Verification: the examples of the standards, and what each tag and each record does to a right signature.

use proptest::prelude::*;

use super::*;
use crate::{
    dkim::{
        fake,
        key::SigningKey,
        sign::{BodyHasher, fields},
    },
    lookup::fake::Zones,
};

const NOW: Timestamp = Timestamp::from_millis(1_764_390_000_000);

fn crlf(text: &str) -> Vec<u8> {
    text.replace('\n', "\r\n").into_bytes()
}

fn run(head: &[u8], body: &[u8], zones: &Zones) -> Vec<Verified> {
    smol::block_on(verify(head, body, zones, NOW))
}

/// RFC 8463 §A.3.
const RFC8463_HEAD: &str = "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=brisbane; t=1528637909; h=from : to :
 subject : date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus
 Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==
DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=test; t=1528637909; h=from : to : subject :
 date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3
 DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz
 dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=
From: Joe SixPack <joe@football.example.com>
To: Suzie Q <suzie@shopping.example.net>
Subject: Is dinner ready?
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)
Message-ID: <20030712040037.46341.5F8J@football.example.com>

";
const RFC8463_BODY: &str = "Hi.\n\nWe lost the game.  Are you hungry yet?\n\nJoe.\n";

/// RFC 6376 §A.2, with errata 3192 and 4926 (one blank in the body, and how `b=` is indented).
const RFC6376_HEAD: &str = "DKIM-Signature: v=1; a=rsa-sha256; s=brisbane; d=example.com;
      c=simple/simple; q=dns/txt; i=joe@football.example.com;
      h=Received : From : To : Subject : Date : Message-ID;
      bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
      b=AuUoFEfDxTDkHlLXSZEpZj79LICEps6eda7W3deTVFOk4yAUoqOB
        4nujc7YopdG5dWLSdNg6xNAZpOPr+kHxt1IrE+NahM6L/LbvaHut
        KVdkLLkpVaVVQPzeRDI009SO2Il5Lu7rDNH6mZckBdrIx0orEtZV
        4bmp/YzhwvcubU4=;
Received: from client1.football.example.com  [192.0.2.1]
      by submitserver.example.com with SUBMISSION;
      Fri, 11 Jul 2003 21:01:54 -0700 (PDT)
From: Joe SixPack <joe@football.example.com>
To: Suzie Q <suzie@shopping.example.net>
Subject: Is dinner ready?
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)
Message-ID: <20030712040037.46341.5F8J@football.example.com>

";
const RFC6376_BODY: &str = "Hi.\n\nWe lost the game. Are you hungry yet?\n\nJoe.\n";
const RFC6376_RECORD: &str = "v=DKIM1; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDwIRP/UC3SBsEmGqZ9ZJW3/DkMoGeLnQg1fWn7/zYtIxN2SnFCjxOCKG9v3b4jYfcTNh5ijSsq631uBItLa7od+v/RtdC2UzJ1lWT947qR+Rcac2gbto/NMqJ0fzfVjH4OuKhitdY9tf6mcwGjaNBcWToIMmPSPDdQPNUYckcQ2QIDAQAB";

fn rfc8463_zones() -> Zones {
    Zones::default()
        .with_txt("brisbane._domainkey.football.example.com", fake::RFC8463_ED25519_RECORD)
        .with_txt("test._domainkey.football.example.com", fake::RFC8463_RSA_RECORD)
}

#[test]
fn the_examples_of_the_standards_verify() {
    let found = run(&crlf(RFC8463_HEAD), &crlf(RFC8463_BODY), &rfc8463_zones());
    assert_eq!(found.iter().map(|v| v.result).collect::<Vec<_>>(), [DkimResult::Pass; 2], "{found:?}");
    assert_eq!(found.iter().map(|v| v.bits).collect::<Vec<_>>(), [256, 1024]);
    assert_eq!((found[0].domain.as_str(), found[0].selector.as_str()), ("football.example.com", "brisbane"));
    let zones = Zones::default().with_txt("brisbane._domainkey.example.com", RFC6376_RECORD);
    let found = run(&crlf(RFC6376_HEAD), &crlf(RFC6376_BODY), &zones);
    assert_eq!(found.iter().map(|v| v.result).collect::<Vec<_>>(), [DkimResult::Pass], "{found:?}");
    // Simple means simple: one blank more is another mail.
    let found = run(&crlf(RFC6376_HEAD), &crlf(RFC8463_BODY), &zones);
    assert_eq!(found[0].result, DkimResult::Fail);
}

#[test]
fn our_keys_make_the_signatures_that_the_standard_prints() {
    let head = crlf(RFC8463_HEAD);
    let header = Header::of(&head);
    let rsa = SigningKey::from_pem(fake::RFC8463_RSA.as_bytes()).expect("the key of the RFC");
    for (field, key) in header.signatures.iter().zip([&*fake::ed25519(), &rsa]) {
        let text = std::str::from_utf8(&head[field.value.clone()]).expect("ASCII");
        let signature = Signature::parse(text, &mut nothing()).unwrap_or_else(|not| panic!("{}", not.1));
        let digest = header.digest(signature.header_mode, &signature.names, field);
        assert_eq!(key.sign(&digest), Some(signature.signature));
    }
}

fn nothing() -> Verified {
    Verified {
        domain: String::new(),
        selector: String::new(),
        result: DkimResult::Pass,
        why: String::new(),
        bits: 0,
        testing: false,
    }
}

/// A signature over `tags`, which may say anything, with its `bh=` and `b=` right. They come first.
fn made(key: &SigningKey, tags: &str, head: &str, body: &[u8], length: Option<u64>) -> Vec<u8> {
    let mut canon = BodyCanon::new(Mode::Relaxed, length);
    canon.update(body);
    let bh = base64::engine::general_purpose::STANDARD.encode(canon.finish().0);
    let unsigned = format!("DKIM-Signature: v=1; c=relaxed/relaxed; bh={bh};{tags}; b=\r\n{head}");
    let header = Header::of(unsigned.as_bytes());
    let names = tags.split("h=").nth(1).and_then(|rest| rest.split(';').next()).unwrap_or_default();
    let names: Vec<String> = parts(names).map(str::to_ascii_lowercase).collect();
    let digest = header.digest(Mode::Relaxed, &names, &header.signatures[0]);
    let b = base64::engine::general_purpose::STANDARD.encode(key.sign(&digest).expect("a signature"));
    unsigned.replacen("; b=\r\n", &format!("; b={b}\r\n"), 1).into_bytes()
}

const HEAD: &str = "From: a@example.jp\r\nSubject: x\r\n\r\n";
const BODY: &[u8] = b"line one\r\nline two\r\n";

#[test]
fn tags_decide_what_a_right_signature_is_worth() {
    let key = fake::ed25519();
    let zones = Zones::default().with_txt("s._domainkey.example.jp", &key.record());
    let plain = "d=example.jp; s=s; a=ed25519-sha256";
    for (tags, length, result) in [
        (format!("{plain}; h=from:subject"), None, DkimResult::Pass),
        (format!("{plain}; h=From : From"), None, DkimResult::Pass),
        (format!("{plain}; h=subject"), None, DkimResult::PermError),
        (format!("{plain}; h=from; l=20"), Some(20), DkimResult::Pass),
        (format!("{plain}; h=from; l=10"), Some(10), DkimResult::Policy),
        (format!("{plain}; h=from; l=0"), Some(0), DkimResult::Policy),
        (format!("{plain}; h=from; l=21"), Some(21), DkimResult::Fail),
        (format!("{plain}; h=from; l=-1"), None, DkimResult::Neutral),
        (format!("{plain}; h=from; t=1; x=1764390000"), None, DkimResult::Pass),
        (format!("{plain}; h=from; t=1; x=1764389999"), None, DkimResult::Policy),
        (format!("{plain}; h=from; t=5; x=5"), None, DkimResult::Neutral),
        (format!("{plain}; h=from; i=b@mail.example.jp"), None, DkimResult::Pass),
        (format!("{plain}; h=from; i=@notexample.jp"), None, DkimResult::PermError),
        (format!("{plain}; h=from; i=nobody"), None, DkimResult::Neutral),
        (format!("{plain}; h=from; q=dns/txt:x"), None, DkimResult::Pass),
        (format!("{plain}; h=from; q=http"), None, DkimResult::Neutral),
        (format!("{plain}; h=from; future=yes; z=From:x"), None, DkimResult::Pass),
        (format!("{plain}; h=from; h=from"), None, DkimResult::Neutral),
        (format!("{plain}; h=from{}", ":x".repeat(600)), None, DkimResult::Neutral),
        ("d=example.jp; a=ed25519-sha256; h=from".to_owned(), None, DkimResult::Neutral),
        ("d=example.jp; s=s; a=rsa-sha1; h=from".to_owned(), None, DkimResult::Policy),
        ("d=example.jp; s=s; a=dsa; h=from".to_owned(), None, DkimResult::Neutral),
        ("d=example.jp; s=s; a=rsa-sha256; h=from".to_owned(), None, DkimResult::PermError),
        ("d=a b; s=s; a=ed25519-sha256; h=from".to_owned(), None, DkimResult::Neutral),
        ("d=[1.2.3.4]; s=s; a=ed25519-sha256; h=from".to_owned(), None, DkimResult::Neutral),
    ] {
        let head = made(&key, &tags, HEAD, BODY, length);
        let found = run(&head, BODY, &zones);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].result, result, "{tags}: {:?}", found[0]);
        assert_eq!(found[0].why.is_empty(), result == DkimResult::Pass, "{:?}", found[0]);
    }
}

#[test]
fn records_decide_what_a_right_signature_is_worth() {
    let key = fake::ed25519();
    let p = key.public_key_base64();
    let head = |identity: &str| {
        made(&key, &format!("d=example.jp; s=s; a=ed25519-sha256; h=from{identity}"), HEAD, BODY, None)
    };
    let name = "s._domainkey.example.jp";
    let check = |zones: &Zones, identity: &str, result: DkimResult| {
        let found = run(&head(identity), BODY, zones);
        assert_eq!(found[0].result, result, "{:?}", found[0]);
        found[0].clone()
    };
    for (record, result) in [
        (format!("k=ed25519; p={p}"), DkimResult::Pass),
        (format!("v=DKIM1; k=ed25519; h=sha1:sha256; s=email; p={p}"), DkimResult::Pass),
        (format!("v=DKIM1; k=ed25519; h=sha1; p={p}"), DkimResult::PermError),
        (format!("v=DKIM1; k=ed25519; s=tlsrpt; p={p}"), DkimResult::PermError),
        (format!("v=DKIM1; p={p}"), DkimResult::PermError),
        ("v=DKIM1; k=ed25519; p=".to_owned(), DkimResult::PermError),
        ("v=DKIM1; k=ed25519; p=yi50DjK5O9pqbFpNHklsv9lqaS0ArSYu02qp1S0DW1Y=".to_owned(), DkimResult::Fail),
        (fake::RFC8463_RSA_RECORD.to_owned(), DkimResult::PermError),
        ("v=spf1 -all".to_owned(), DkimResult::PermError),
    ] {
        check(&Zones::default().with_txt(name, &record), "", result);
    }
    let testing = check(&Zones::default().with_txt(name, &format!("k=ed25519; t=y:s; p={p}")), "", DkimResult::Pass);
    assert!(testing.testing);
    let strict = Zones::default().with_txt(name, &format!("k=ed25519; t=s; p={p}"));
    check(&strict, "; i=@example.jp", DkimResult::Pass);
    check(&strict, "; i=@mail.example.jp", DkimResult::PermError);
    check(&Zones::default(), "", DkimResult::PermError);
    check(&Zones::default().with_txt("example.jp", "x"), "", DkimResult::PermError);
    check(&Zones::default().failing(name), "", DkimResult::TempError);
    // Beside something else, the key is still found.
    let several = Zones::default().with_txt(name, "v=spf1 -all").with_txt(name, &key.record());
    check(&several, "", DkimResult::Pass);
}

#[test]
fn a_message_without_signatures_asks_nothing_and_one_with_many_asks_little() {
    let zones = Zones::default();
    assert_eq!(run(HEAD.as_bytes(), BODY, &zones), []);
    assert!(zones.asked().is_empty());
    let head: String = (0..100)
        .map(|n| format!("DKIM-Signature: v=1; a=ed25519-sha256; d=d{n}.test; s=s; h=from; bh=AA==; b=AA==\r\n"))
        .collect();
    let found = run((head + HEAD).as_bytes(), BODY, &zones);
    assert_eq!(found.len(), SIGNATURES_MAX);
    assert_eq!(zones.asked().len(), SIGNATURES_MAX);
}

#[test]
fn keys_that_are_too_small_never_pass() {
    let weak = "v=DKIM1; p=MHwwDQYJKoZIhvcNAQEBBQADawAwaAJhAKfajmXKzvaUMwaiv65W6WSWJjRtFcfYe69ZNmIcaASGo1GkV+gu3T7fl+vcT+n3x+GN2sjVuFGAO3LfdmCHAYU+jZ+yvfAkSjb81S2gRUJ5+o7iR7ovZlf1G/ArZmJgeQIDAQAB";
    let zones = Zones::default().with_txt("test._domainkey.football.example.com", weak);
    let found = run(&crlf(RFC8463_HEAD), &crlf(RFC8463_BODY), &zones);
    assert_eq!((found[1].result, found[1].bits), (DkimResult::Policy, 768));
    assert!(found[1].why.contains("768"));
}

proptest! {
    #[test]
    fn any_message_and_any_record_are_looked_at_without_harm(
        tags in "(v=1|a=rsa-sha256|a=ed25519-sha256|c=simple|c=relaxed/simple|d=example.jp|s=s|h=from:to|l=[0-9]{0,20}|b=[A-Za-z0-9+/=]{0,40}|bh=[A-Za-z0-9+/=]{44}|x=[0-9]{1,12}|i=[a-z@.]{0,12}|;|\r\n |\t){0,24}",
        junk in prop::collection::vec(any::<u8>(), 0..200),
        record in "(v=DKIM1|k=rsa|k=ed25519|p=[A-Za-z0-9+/=]{0,60}|;| ){0,12}",
    ) {
        let zones = Zones::default().with_txt("s._domainkey.example.jp", &record);
        let head = [b"DKIM-Signature: ", tags.as_bytes(), b"\r\nFrom: a\r\n", &junk].concat();
        for verified in run(&head, &junk, &zones) {
            prop_assert_ne!(verified.result, DkimResult::Pass);
            prop_assert!(verified.why.len() < 300 && !verified.why.chars().any(char::is_control));
        }
    }

    #[test]
    fn a_signature_with_a_changed_octet_never_passes(at: prop::sample::Index, bit in 0u8..7) {
        let body = b"Hi.\r\n";
        let mut hasher = BodyHasher::new();
        hasher.update(body);
        let identities = &fake::identities("example.jp")[1..];
        let own = fields(HEAD.as_bytes(), &hasher.finish(), identities, NOW).expect("a signature");
        let mut changed = own.clone();
        let n = at.index(own.len());
        changed[n] ^= 1 << bit;
        let found = run(&[&changed, HEAD.as_bytes()].concat(), body, &fake::zones(identities));
        // What canonicalisation lets pass: capitals in the name, and blanks for blanks or within base64.
        let is_name = n < b"DKIM-Signature".len() && changed[n].eq_ignore_ascii_case(&own[n]);
        let blanks = |octet: u8| matches!(octet, b' ' | b'\t' | b'\r' | b'\n');
        prop_assume!(!is_name && !blanks(own[n]) && !blanks(changed[n]));
        prop_assert!(found.iter().all(|v| v.result != DkimResult::Pass), "{:?} at {n}: {found:?}", changed[n]);
    }
}
