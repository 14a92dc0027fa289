//! The deliverer against scripted peers and a DNS server, over loopback.

mod peer;
mod reuse;
mod routes;
mod security;
mod stopping;
mod verdicts;

use std::{
    io::{self, Cursor, Read},
    net::{IpAddr, SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;

use self::peer::{Act, Peer};
use super::{
    attempt::{Deliverer, Rest, Tuning},
    body::Bodies,
    job::{Deliver, Job, Outcome, SiteFeedback, Verdict},
};
use crate::{
    budget::Budget,
    clock::{Clock, Timestamp},
    config::{Config, TlsPolicy},
    event::{Class, ErrorClass, Phase, WaitReason},
    ids::{MessageId, RecipientKey},
    mail::header::Facts,
    metrics::Metrics,
    net::{
        dns::{
            Resolver,
            testserver::{Says, TestServer},
        },
        tls::Trust,
    },
    runtime::{Runtime, Shutdown},
    smtp::{
        address::Mailbox,
        client::Timeouts,
        params::{MailParams, RcptParams},
    },
    store::{BodyPlace, Lane, Loaded, Message, Origin, Recipient, RecipientState, StoreError},
};

/// One deliverer, its DNS, and a port that is free on several loopback addresses.
struct World {
    deliverer: Deliverer,
    dns: TestServer,
    shutdown: Shutdown,
    metrics: Arc<Metrics>,
    port: u16,
}

/// Stored bodies of tests.
struct TestBodies(Vec<u8>, Option<&'static str>);

impl Bodies for TestBodies {
    fn open(&self, _message: &Message) -> Result<Box<dyn Read + Send>, StoreError> {
        let body = Cursor::new(self.0.clone());
        match self.1 {
            None => Ok(Box::new(body)),
            Some("missing") => Err(StoreError::Damaged("bodies/x is missing".into())),
            Some(words) => Ok(Box::new(body.chain(Fails(words)))),
        }
    }
}

/// A reader whose checksum is wrong at the end.
struct Fails(&'static str);

impl Read for Fails {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::new(io::ErrorKind::InvalidData, self.0))
    }
}

/// Long enough for a busy machine.
fn patient() -> Timeouts {
    let long = Duration::from_secs(20);
    Timeouts { greeting: long, mail: long, rcpt: long, data: long, block: long, last: long, ..Timeouts::default() }
}

/// For tests whose peers are silent.
fn quick() -> Timeouts {
    let short = Duration::from_millis(300);
    Timeouts {
        greeting: short,
        mail: short,
        rcpt: short,
        data: Duration::from_secs(2),
        block: Duration::from_secs(2),
        last: short,
        quit: short,
    }
}

impl World {
    fn new(change: impl FnOnce(&mut Config)) -> Self {
        Self::with(TestBodies(Vec::new(), None), Trust::Anybody, change)
    }

    fn impatient() -> Self {
        Self::build(TestBodies(Vec::new(), None), Trust::Anybody, quick(), |_| {})
    }

    fn with(bodies: TestBodies, trust: Trust, change: impl FnOnce(&mut Config)) -> Self {
        Self::build(bodies, trust, patient(), change)
    }

    fn build(bodies: TestBodies, trust: Trust, timeouts: Timeouts, change: impl FnOnce(&mut Config)) -> Self {
        let dns = TestServer::start();
        let mut config = Config::default();
        config.server.hostname = "us.test".into();
        config.dns.servers = vec![dns.address()];
        config.delivery.block_private_destinations = false;
        config.delivery.port = free_port();
        config.delivery.tls = TlsPolicy::None;
        change(&mut config);
        let runtime = Runtime::start(1).expect("threads");
        let clock = Clock::system();
        let metrics = Arc::new(Metrics::default());
        let shutdown = Shutdown::new();
        let resolver = Resolver::new(clock.clone(), metrics.clone(), &config.dns);
        let rest = Rest { runtime, clock, metrics: metrics.clone(), resolver, shutdown: shutdown.clone() };
        let tuning = Tuning { timeouts, connect: Duration::from_secs(5), tick: Duration::from_millis(50), trust };
        let deliverer = Deliverer::assemble(rest, Arc::new(bodies), &config, tuning);
        World { deliverer, dns, shutdown, metrics, port: config.delivery.port }
    }

    /// A peer on 127.0.0.`n`, with a host name in DNS.
    fn peer(&self, n: u8, host: &str) -> Peer {
        self.dns.set(host, Says::Address(vec![ip(n)]));
        Peer::start(SocketAddr::new(ip(n), self.port))
    }

    /// A domain whose only MX is a peer.
    fn domain(&self, domain: &str, n: u8) -> Peer {
        let host: &'static str = format!("mx.{domain}").leak();
        self.dns.set(domain, Says::Mx(vec![(10, host)]));
        self.peer(n, host)
    }

    fn deliver(&self, job: Job) -> Outcome {
        smol::block_on(self.deliverer.deliver(job))
    }

    /// Sends a small mail and gives the outcome.
    fn send(&self, to: &[&str]) -> Outcome {
        self.deliver(job(to, b"Subject: x\r\n\r\nhello\r\n"))
    }
}

/// A port that nobody has on the first few loopback addresses.
fn free_port() -> u16 {
    for _ in 0..100 {
        let first = TcpListener::bind((ip(1), 0)).expect("a port");
        let port = first.local_addr().expect("bound").port();
        let others: Vec<_> = (2..8).map(|n| TcpListener::bind((ip(n), port))).collect();
        if others.iter().all(Result::is_ok) {
            return port;
        }
    }
    panic!("no free port");
}

fn ip(n: u8) -> IpAddr {
    IpAddr::from([127, 0, 0, n])
}

fn job(to: &[&str], body: &[u8]) -> Job {
    job_with(to, Some(body), body.len() as u64, MailParams::default(), false)
}

fn job_with(to: &[&str], body: Option<&[u8]>, len: u64, params: MailParams, header_is_8bit: bool) -> Job {
    let id = MessageId::from_u64(7);
    let recipients: Vec<Recipient> = to
        .iter()
        .enumerate()
        .map(|(n, to)| {
            let address = Mailbox::parse(to).expect("an address");
            Recipient {
                key: RecipientKey { message: id, index: n as u32 },
                lane: Lane(address.domain_key().into()),
                address,
                params: RcptParams::default(),
                state: RecipientState::Waiting { due: Timestamp::ZERO, wait: WaitReason::Fresh },
                attempts: 0,
                last_reply: String::new(),
                possible_duplicate: false,
                delay_noticed: false,
            }
        })
        .collect();
    let message = Message {
        id,
        accepted_at: Timestamp::ZERO,
        expires_at: Timestamp::MAX,
        sender: Mailbox::parse("a@us.test").ok(),
        params,
        recipients: to.len() as u32,
        class: Class::Normal,
        facts: Facts { header_is_8bit, ..Facts::default() },
        user: String::new(),
        source_ip: None,
        origin: Origin::Smtp,
        place: BodyPlace::File,
        len,
    };
    let lease = Budget::new(1 << 30).take(1).expect("fits");
    let body = body.map(|b| (Bytes::copy_from_slice(b), lease));
    let lane = recipients[0].lane.clone();
    Job { lane, recipients: recipients.clone(), loaded: Arc::new(Loaded { message, recipients, body }) }
}

/// A result in short: `delivered`, `deferred site` …, and the answer.
fn short(outcome: &Outcome) -> Vec<(&'static str, String)> {
    let word = |v: &Verdict| match v {
        Verdict::Delivered { .. } => "delivered",
        Verdict::Deferred { damaged: true, .. } => "damaged",
        Verdict::Deferred { site: true, .. } => "site",
        Verdict::Deferred { .. } => "deferred",
        Verdict::Failed => "failed",
    };
    outcome.results.iter().map(|r| (word(&r.verdict), r.detail.reply.clone())).collect()
}

#[track_caller]
fn check(outcome: &Outcome, want: &[(&str, &str)], feedback: SiteFeedback) {
    let got = short(outcome);
    assert_eq!(got.len(), want.len(), "{got:?}");
    for ((verdict, reply), (want_verdict, want_reply)) in got.iter().zip(want) {
        assert_eq!(verdict, want_verdict, "{got:?}");
        assert!(reply.starts_with(want_reply), "{reply:?} should begin with {want_reply:?}");
    }
    assert_eq!(outcome.feedback, feedback, "{got:?}");
    assert!(!outcome.interrupted);
}
