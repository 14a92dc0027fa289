//! SPF, DKIM and DMARC together: what is proven, what is not, what stays unknown, and what it costs at most.

use std::net::IpAddr;

use bytes::Bytes;

use super::*;
use crate::{
    authres::{Mark, results::Claim},
    clock::Timestamp,
    dkim::{
        fake,
        sign::{self, BodyHasher},
    },
    dmarc::record::Policy,
    lookup::{Answer, Asking, MxRecord, Tlsa, fake::Zones},
    smtp::address::Mailbox,
};

const NOW: Timestamp = Timestamp::from_millis(1_795_527_310_000);

/// A mail with these head lines, signed for `domain`.
fn signed(head: &str, domain: &str) -> Bytes {
    let body = b"hello\r\n";
    let mut hasher = BodyHasher::new();
    hasher.update(body);
    let lines = sign::fields(head.as_bytes(), &hasher.finish(), &fake::identities(domain)[1..], NOW).expect("signed");
    Bytes::from([&lines[..], head.as_bytes(), b"\r\n", body].concat())
}

fn plain(head: &str) -> Bytes {
    Bytes::from(format!("{head}\r\nhello\r\n"))
}

fn ask(zones: Zones, mail: &Bytes, ip: &str, sender: &str) -> (Results, Arc<Zones>) {
    let zones = Arc::new(zones);
    let authenticator = Authenticator::new(zones.clone(), Clock::manual(NOW));
    let sender = Mailbox::parse(sender).ok();
    let head_len = header::find_end(mail, 0).expect("a header");
    let ip: IpAddr = ip.parse().expect("an address");
    let received = Received { ip, helo: "mx.them.example", sender: sender.as_ref(), mail, head_len };
    (smol::block_on(authenticator.authenticate(received)), zones)
}

/// A reporter with all that a domain should have.
fn reporter() -> Zones {
    fake::zones(&fake::identities("reporter.example"))
        .with_txt("bounce.reporter.example", "v=spf1 ip4:192.0.2.1 -all")
        .with_txt("_dmarc.reporter.example", "v=DMARC1; p=reject")
        .with_txt("_dmarc.evil.example", "v=DMARC1; p=reject")
        .with_txt("evil.example", "v=spf1 ip4:203.0.113.9 -all")
}

#[test]
fn mail_is_its_senders_by_spf_or_dkim_aligned_with_from() {
    let head = "From: Reports <noreply@mail.reporter.example>\r\nSubject: x\r\n";
    let (here, there) = ("192.0.2.1", "203.0.113.9");
    // (mail, address, MAIL FROM, spf, dkim, dmarc, aligned by)
    let spoofed = "From: noreply@reporter.example\r\nSubject: x\r\n";
    let table = [
        (
            signed(head, "reporter.example"),
            there,
            "x@nowhere.example",
            SpfResult::None,
            Some(DkimResult::Pass),
            DmarcWord::Pass,
            vec!["dkim"],
        ),
        (plain(head), here, "b@bounce.reporter.example", SpfResult::Pass, None, DmarcWord::Pass, vec!["spf"]),
        (
            signed(head, "reporter.example"),
            here,
            "b@bounce.reporter.example",
            SpfResult::Pass,
            Some(DkimResult::Pass),
            DmarcWord::Pass,
            vec!["dkim", "spf"],
        ),
        // SPF and DKIM of another domain prove nothing about From.
        (plain(spoofed), there, "x@evil.example", SpfResult::Pass, None, DmarcWord::Fail, vec![]),
        (plain(head), there, "b@bounce.reporter.example", SpfResult::Fail, None, DmarcWord::Fail, vec![]),
        (
            plain("From: a@unknown.example\r\n"),
            there,
            "x@unknown.example",
            SpfResult::None,
            None,
            DmarcWord::None,
            vec![],
        ),
        (
            plain("From: a@reporter.example, b@evil.example\r\n"),
            there,
            "x@evil.example",
            SpfResult::Pass,
            None,
            DmarcWord::PermError,
            vec![],
        ),
        (
            plain("From: a@reporter.example\r\nFrom: b@evil.example\r\n"),
            there,
            "x@evil.example",
            SpfResult::Pass,
            None,
            DmarcWord::PermError,
            vec![],
        ),
        (plain("Subject: x\r\n"), there, "x@evil.example", SpfResult::Pass, None, DmarcWord::None, vec![]),
        (
            plain("From: \"a@reporter.example\" <b@evil.example>\r\n"),
            there,
            "x@evil.example",
            SpfResult::Pass,
            None,
            DmarcWord::Pass,
            vec!["spf"],
        ),
    ];
    for (mail, ip, sender, spf, dkim, dmarc, aligned) in table {
        let (results, _) = ask(reporter(), &mail, ip, sender);
        let what = String::from_utf8_lossy(&mail).into_owned();
        assert_eq!(results.spf.result, spf, "{what}");
        assert_eq!(results.dkim.first().map(|d| d.result), dkim, "{what}: {:?}", results.dkim);
        assert_eq!(results.dmarc.result, dmarc, "{what}: {:?}", results.dmarc);
        assert_eq!(results.dmarc.aligned.iter().map(|a| a.by).collect::<Vec<_>>(), aligned, "{what}");
    }
}

#[test]
fn a_changed_body_a_changed_from_and_a_strangers_key_are_no_proof() {
    let head = "From: noreply@reporter.example\r\nSubject: x\r\n";
    let good = signed(head, "reporter.example");
    let text = String::from_utf8_lossy(&good).into_owned();
    for bad in
        [text.replace("hello", "hallo"), text.replace("noreply@", "other@"), text.replace("d=reporter", "d=evil")]
    {
        let (results, _) = ask(reporter(), &Bytes::from(bad), "203.0.113.9", "x@nowhere.example");
        assert_eq!(
            (results.dmarc.result, results.dmarc.policy),
            (DmarcWord::Fail, Policy::Reject),
            "{:?}",
            results.dkim
        );
        assert_eq!(results.mark(&[]).mark, Mark::Forged);
    }
    let claims: Vec<Claim> = Claim::name("reporter.example").into_iter().collect();
    assert_eq!(ask(reporter(), &good, "203.0.113.9", "").0.mark(&claims).mark, Mark::Verified);
}

#[test]
fn trouble_of_the_dns_is_told_and_proofs_stand_in_spite_of_it() {
    let head = "From: noreply@reporter.example\r\nSubject: x\r\n";
    let sender = "b@bounce.reporter.example";
    for (zones, mail, expected, mark) in [
        (reporter().failing("bounce.reporter.example"), plain(head), DmarcWord::TempError, Mark::Unknown),
        (reporter().failing("_dmarc.reporter.example"), plain(head), DmarcWord::TempError, Mark::Unknown),
        // The signature is of the very domain: no policy is needed to believe it.
        (
            reporter().failing("_dmarc.reporter.example"),
            signed(head, "reporter.example"),
            DmarcWord::TempError,
            Mark::Verified,
        ),
        (
            reporter().failing("bounce.reporter.example"),
            signed(head, "reporter.example"),
            DmarcWord::Pass,
            Mark::Verified,
        ),
    ] {
        let (results, _) = ask(zones, &mail, "203.0.113.9", sender);
        assert_eq!((results.dmarc.result, results.mark(&[]).mark), (expected, mark), "{results:?}");
    }
}

#[test]
fn a_null_senders_identity_is_helo() {
    let zones = || {
        reporter()
            .with_txt("mx.them.example", "v=spf1 ip4:203.0.113.9 -all")
            .with_txt("_dmarc.them.example", "v=DMARC1; p=none")
    };
    let (results, _) = ask(zones(), &plain("From: a@them.example\r\n"), "203.0.113.9", "");
    assert_eq!((results.spf.by_helo, results.dmarc.result), (true, DmarcWord::Pass), "{results:?}");
    assert!(
        results.text().starts_with("spf=pass smtp.helo=mx.them.example; dkim=none; dmarc=pass (p=none)"),
        "{}",
        results.text()
    );
}

#[test]
fn a_large_mail_is_hashed_elsewhere_with_the_same_result() {
    let head = "From: noreply@reporter.example\r\nSubject: x\r\n";
    let body = "0123456789abcdef\r\n".repeat(INLINE_OCTETS_MAX / 16);
    let mut hasher = BodyHasher::new();
    hasher.update(body.as_bytes());
    let lines =
        sign::fields(head.as_bytes(), &hasher.finish(), &fake::identities("reporter.example"), NOW).expect("signed");
    let mail = Bytes::from([&lines[..], head.as_bytes(), b"\r\n", body.as_bytes()].concat());
    let (results, _) = ask(reporter(), &mail, "203.0.113.9", "");
    assert_eq!(results.dkim.iter().map(|d| d.result).collect::<Vec<_>>(), [DkimResult::Pass; 2], "{:?}", results.dkim);
}

#[test]
fn the_questions_of_a_hostile_mail_are_bounded() {
    let mut head = String::from("From: a@a.b.c.d.e.f.g.h.i.evil.example\r\n");
    for n in 0..500 {
        head.push_str(&format!("DKIM-Signature: v=1; a=rsa-sha256; d=d{n}.evil.example; s=s; h=from; bh=x; b=x\r\n"));
    }
    let (results, zones) = ask(reporter(), &plain(&head), "203.0.113.9", "a@b.evil.example");
    assert!(results.dkim.len() <= verify::SIGNATURES_MAX);
    assert!(zones.asked().len() < 100, "{} questions", zones.asked().len());
}

/// Never answers.
struct Silent;

fn never<T: 'static>() -> Asking<'static, T> {
    Box::pin(std::future::pending::<Answer<T>>())
}

impl Lookup for Silent {
    fn txt<'a>(&'a self, _: &'a str) -> Asking<'a, String> {
        never()
    }
    fn mx<'a>(&'a self, _: &'a str) -> Asking<'a, MxRecord> {
        never()
    }
    fn a<'a>(&'a self, _: &'a str) -> Asking<'a, std::net::Ipv4Addr> {
        never()
    }
    fn aaaa<'a>(&'a self, _: &'a str) -> Asking<'a, std::net::Ipv6Addr> {
        never()
    }
    fn ptr(&self, _: IpAddr) -> Asking<'_, String> {
        never()
    }
    fn ns<'a>(&'a self, _: &'a str) -> Asking<'a, String> {
        never()
    }
    fn tlsa<'a>(&'a self, _: &'a str) -> Asking<'a, Tlsa> {
        never()
    }
}

#[test]
fn silence_ends_in_time_for_all_that_wait() {
    let authenticator = Authenticator::with_time(Arc::new(Silent), Clock::system(), Duration::from_millis(300));
    let mail = signed("From: noreply@reporter.example\r\n", "reporter.example");
    let head_len = header::find_end(&mail, 0).expect("a header");
    let received =
        Received { ip: IpAddr::from([192, 0, 2, 1]), helo: "h.example", sender: None, mail: &mail, head_len };
    let began = Clock::system().instant();
    let all = (0..3 * AUTHENTICATIONS_MAX).map(|_| authenticator.authenticate(received));
    let all: Vec<Results> = smol::block_on(async {
        let mut done = Vec::new();
        let running: smol::stream::Iter<_> = smol::stream::iter(all);
        let mut tasks: Vec<_> = smol::stream::StreamExt::collect::<Vec<_>>(running).await;
        // All of them wait at once.
        std::future::poll_fn(|cx| {
            tasks.retain_mut(|task| match task.as_mut().poll(cx) {
                std::task::Poll::Ready(results) => {
                    done.push(results);
                    false
                }
                std::task::Poll::Pending => true,
            });
            if tasks.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
        done
    });
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(all.len(), 3 * AUTHENTICATIONS_MAX);
    for results in all {
        assert_eq!((results.spf.result, results.dmarc.result), (SpfResult::TempError, DmarcWord::TempError));
        assert_eq!((results.dkim[0].result, results.mark(&[]).mark), (DkimResult::TempError, Mark::Unknown));
    }
}
