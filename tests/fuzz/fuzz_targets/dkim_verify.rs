//! Any header, body and key record, NULs between them: the verifier neither panics nor says more than it should, keys and records are read
//! without harm, and what we sign verifies, whatever stands in the header and the body.

#![no_main]

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    pin::pin,
    sync::{Arc, LazyLock},
    task::{Context, Poll, Waker},
    time::Duration,
};

use hikyaku::{
    clock::Timestamp,
    dkim::{
        key::SigningKey,
        record::{self, KeyRecord},
        sign::{BodyHasher, Identity, NotSigned, fields},
        verify::{DkimResult, SIGNATURES_MAX, Verified, verify},
    },
    lookup::{Answer, Asking, DnsError, Lookup, MxRecord, Tlsa},
};
use libfuzzer_sys::fuzz_target;

/// The Ed25519 key of RFC 8463.
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n";

/// One TXT record, whatever the name.
struct One(String);

fn answer<T: Send + 'static>(records: Result<Vec<T>, DnsError>) -> Asking<'static, T> {
    Box::pin(std::future::ready(Answer { records, secure: false, ttl: Duration::ZERO }))
}

impl Lookup for One {
    fn txt<'a>(&'a self, _: &'a str) -> Asking<'a, String> {
        answer(Ok(vec![self.0.clone()]))
    }
    fn mx<'a>(&'a self, _: &'a str) -> Asking<'a, MxRecord> {
        answer(Err(DnsError::NoData))
    }
    fn a<'a>(&'a self, _: &'a str) -> Asking<'a, Ipv4Addr> {
        answer(Err(DnsError::NoData))
    }
    fn aaaa<'a>(&'a self, _: &'a str) -> Asking<'a, Ipv6Addr> {
        answer(Err(DnsError::NoData))
    }
    fn ptr(&self, _: IpAddr) -> Asking<'_, String> {
        answer(Err(DnsError::NoData))
    }
    fn ns<'a>(&'a self, _: &'a str) -> Asking<'a, String> {
        answer(Err(DnsError::NoData))
    }
    fn tlsa<'a>(&'a self, _: &'a str) -> Asking<'a, Tlsa> {
        answer(Err(DnsError::NoData))
    }
}

const NOW: Timestamp = Timestamp::from_millis(1_764_390_000_000);

fn verified(head: &[u8], body: &[u8], record: String) -> Vec<Verified> {
    let dns = One(record);
    match pin!(verify(head, body, &dns, NOW)).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(found) => found,
        Poll::Pending => unreachable!("this DNS answers at once"),
    }
}

fuzz_target!(|input: &[u8]| {
    static IDENTITY: LazyLock<Identity> = LazyLock::new(|| Identity {
        domain: "example.jp".to_owned(),
        selector: "s".to_owned(),
        key: Arc::new(SigningKey::from_pem(KEY.as_bytes()).expect("the RFC's key")),
    });
    let mut parts = input.splitn(3, |octet| *octet == 0);
    let mut part = || parts.next().unwrap_or_default();
    let (head, body, text) = (part(), part(), String::from_utf8_lossy(part()));
    let text = text.as_ref();

    let found = verified(head, body, text.to_owned());
    assert!(found.len() <= SIGNATURES_MAX);
    for one in &found {
        assert_eq!(one.why.is_empty(), one.result == DkimResult::Pass);
        assert!(one.why.len() < 400 && !one.why.chars().any(char::is_control), "{one:?}");
        for name in [&one.domain, &one.selector] {
            assert!(
                name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) && name.len() < 254,
                "{one:?}"
            );
        }
    }

    // Records: what is read and printed is read alike again; keys: any text is none or one.
    if let Ok(record) = KeyRecord::parse(text) {
        if record.note.is_none() && record.hashes.is_none() && record.services == ["*"] {
            assert_eq!(KeyRecord::parse(&record.to_string()).map(|again| again.key), Ok(record.key));
        }
    }
    let _ = SigningKey::from_pem(text.as_bytes()).map(|key| key.record());
    let _ = SigningKey::from_pkcs8(body).map(|key| key.record());
    assert_eq!(record::split_for_txt(text).concat(), text);

    // What we sign verifies, by itself and with what the body lacks at its end.
    let mut hasher = BodyHasher::new();
    body.chunks(7).for_each(|piece| hasher.update(piece));
    match fields(head, &hasher.finish(), std::slice::from_ref(&*IDENTITY), NOW) {
        Ok(made) => {
            assert!(made.split(|b| *b == b'\n').all(|line| line.len() <= 79));
            let mail = [&made, head].concat();
            let record = IDENTITY.key.record();
            assert_eq!(verified(&mail, body, record.clone())[0].result, DkimResult::Pass);
            let end: &[u8] = if body.ends_with(b"\r\n") { b"" } else { b"\r\n" };
            let ended = [body, end].concat();
            assert_eq!(verified(&mail, &ended, record)[0].result, DkimResult::Pass);
        }
        Err(NotSigned::NoFrom | NotSigned::SeveralFrom) => {}
        Err(NotSigned::Crypto(why)) => panic!("{why}"),
    }
});
