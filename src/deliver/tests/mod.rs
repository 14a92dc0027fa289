//! The deliverer against scripted peers and a DNS server, over loopback.

mod explaining;
mod leading;
mod leaving;
mod peer;
mod responding;
mod return_paths;
mod reuse;
mod routes;
mod security;
mod sites;
mod stopping;
mod talking;
mod tls;
mod verdicts;

use std::{
    collections::HashMap,
    fs,
    io::{self, Cursor, Read},
    net::{IpAddr, SocketAddr, TcpListener},
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;

use self::peer::{Act, Peer};
use super::{
    attempt::{Deliverer, Rest, Tuning},
    body::Bodies,
    job::{Deliver, Job, Located, Outcome, Pace, Path, Push, PushKind, SiteFeedback, Verdict},
    shelf::RamShelf,
    sts_host::Boxed,
    sts_host::{FetchError, PolicyHost},
    tls_results::{DayResults, ResultType},
};
use crate::{
    bounce::keys::KeyRing,
    budget::Budget,
    clock::{Clock, Timestamp},
    config::{self, Config, HostPort, Mode, Rule, TlsPolicy},
    event::{Class, ErrorClass, Phase, WaitReason},
    ids::{MessageId, RecipientKey},
    mail::header::Facts,
    metrics::Metrics,
    net::{
        dns::{
            Resolver,
            testserver::{Says, TestServer},
        },
        tls::{ServerConfig, Trust, server_config},
    },
    runtime::{Runtime, Shutdown},
    signing::Signing,
    smtp::{
        address::Mailbox,
        client::Timeouts,
        params::{MailParams, RcptParams},
    },
    store::{BodyPlace, Lane, Loaded, MemoKind, Message, Origin, Recipient, RecipientState, StoreError},
};

/// One deliverer, its DNS, and a port that is free on several loopback addresses.
struct World {
    deliverer: Deliverer,
    dns: TestServer,
    shutdown: Shutdown,
    metrics: Arc<Metrics>,
    port: u16,
    shelf: Arc<RamShelf>,
    policies: Arc<Policies>,
}

/// MTA-STS policies of tests.
#[derive(Default)]
pub(super) struct Policies(Mutex<HashMap<String, String>>);

impl Policies {
    /// From now on the domain has this policy, under an id of its own.
    pub(super) fn set(&self, domain: &str, mode: &str, mx: &str) {
        let policy = format!("version: STSv1\nmode: {mode}\nmx: {mx}\nmax_age: 86400\n");
        self.0.lock().expect("policies").insert(domain.into(), policy);
    }
}

impl PolicyHost for Policies {
    fn record<'a>(&'a self, domain: &'a str) -> Boxed<'a, Result<Option<String>, String>> {
        let known = self.0.lock().expect("policies").contains_key(domain);
        Box::pin(async move { Ok(known.then(|| "1".to_owned())) })
    }

    fn fetch<'a>(&'a self, domain: &'a str, _guard: bool) -> Boxed<'a, Result<Vec<u8>, FetchError>> {
        let policy = self.0.lock().expect("policies").get(domain).cloned();
        let gone = FetchError { result: ResultType::StsPolicyFetchError, words: "gone".into() };
        Box::pin(async move { policy.map(String::into_bytes).ok_or(gone) })
    }
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

/// The keys of every test's return addresses.
fn keys() -> KeyRing {
    KeyRing::fixed([5; 32])
}

/// A mail of the list `leave` has a line of its own for each recipient but `plain@`, with a dot where dots count.
fn own_lines(message: &Message, recipient: &Recipient) -> Option<Vec<u8>> {
    let own = message.list == "leave" && recipient.address.local() != "plain";
    own.then(|| format!("X-Leave: {}\r\n..folded: no\r\n", recipient.address).into_bytes())
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
        let tuning = Tuning { timeouts, connect: Duration::from_secs(5), tick: Duration::from_millis(50), trust };
        Self::start(bodies, tuning, Clock::system(), Arc::default(), |_| None, change)
    }

    /// With keys that sign.
    fn signing(bodies: TestBodies, signing: impl FnOnce(&Arc<Metrics>) -> Option<Signing>) -> Self {
        let tuning = Tuning { timeouts: patient(), connect: Duration::from_secs(5), ..Tuning::default() };
        Self::start(bodies, tuning, Clock::system(), Arc::default(), signing, |_| {})
    }

    /// With a clock of its own, and notes that survive.
    fn noting(clock: Clock, shelf: &Arc<RamShelf>, change: impl FnOnce(&mut Config)) -> Self {
        let long = Duration::from_secs(5);
        let tuning =
            Tuning { timeouts: patient(), connect: long, tick: Duration::from_millis(50), trust: Trust::Anybody };
        Self::start(TestBodies(Vec::new(), None), tuning, clock, shelf.clone(), |_| None, change)
    }

    fn start(
        bodies: TestBodies,
        tuning: Tuning,
        clock: Clock,
        shelf: Arc<RamShelf>,
        signing: impl FnOnce(&Arc<Metrics>) -> Option<Signing>,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let dns = TestServer::start();
        let mut config = Config::default();
        config.server.hostname = "us.test".into();
        config.dns.servers = vec![dns.address()];
        config.delivery.block_private_destinations = false;
        config.delivery.port = free_port();
        config.delivery.tls = TlsPolicy::None;
        change(&mut config);
        let runtime = Runtime::start(1).expect("threads");
        let metrics = Arc::new(Metrics::default());
        let shutdown = Shutdown::new();
        let resolver = Resolver::new(clock.clone(), metrics.clone(), &config.dns);
        let policies = Arc::new(Policies::default());
        let rest = Rest {
            runtime,
            clock,
            metrics: metrics.clone(),
            resolver,
            shutdown: shutdown.clone(),
            shelf: shelf.clone(),
            policy_host: policies.clone(),
            keys: keys(),
            per_recipient: Some(Arc::new(own_lines)),
            signing: signing(&metrics),
        };
        let deliverer = Deliverer::assemble(rest, Arc::new(bodies), &config, tuning);
        World { deliverer, dns, shutdown, metrics, port: config.delivery.port, shelf, policies }
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

    /// The TLS results of the day so far, by domain.
    fn tls_results(&self) -> HashMap<String, DayResults> {
        smol::block_on(self.deliverer.flush());
        let read = |(key, json): (String, Vec<u8>)| {
            let domain = key.split_once('/').expect("a day in front").1.to_owned();
            (domain, serde_json::from_slice(&json).expect("JSON"))
        };
        self.shelf.all(MemoKind::TlsResults).into_iter().map(read).collect()
    }

    /// The site of a lane.
    fn locate(&self, lane: &str) -> Located {
        smol::block_on(self.deliverer.locate(&Lane(lane.into())))
    }

    /// Sends a small mail by a path.
    fn send_by(&self, path: Path, to: &[&str]) -> Outcome {
        self.deliver(Job { path, ..job(to, b"Subject: x\r\n\r\nhello\r\n") })
    }

    /// Sends a small mail and gives the outcome.
    fn send(&self, to: &[&str]) -> Outcome {
        self.deliver(job(to, b"Subject: x\r\n\r\nhello\r\n"))
    }
}

/// A certificate for a name, and itself as the root that it leads to.
pub(super) fn certificate(name: &str) -> (Arc<ServerConfig>, Trust) {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
    static MADE: AtomicUsize = AtomicUsize::new(0);
    let n = MADE.fetch_add(1, Ordering::SeqCst);
    let dir = std::env::temp_dir().join(format!("hikyaku-deliver-{}-{name}-{n}", std::process::id()));
    fs::create_dir_all(&dir).expect("a folder");
    let write = |file: &str, text: String| -> PathBuf {
        fs::write(dir.join(file), text).expect("written");
        dir.join(file)
    };
    let cert = write("cert.pem", made.cert.pem());
    let key = write("key.pem", made.signing_key.serialize_pem());
    let config = server_config(&cert, &key).expect("a good pair");
    let _ = fs::remove_dir_all(dir);
    (config, Trust::Roots(vec![made.cert.der().to_vec()]))
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
        return_path: crate::bounce::envelope_from::ReturnPath::AsIs,
        list: String::new(),
        place: BodyPlace::File,
        len,
    };
    let lease = Budget::new(1 << 30).take(1).expect("fits");
    let body = body.map(|b| (Bytes::copy_from_slice(b), lease));
    let lane = recipients[0].lane.clone();
    Job {
        lane,
        path: Default::default(),
        recipients: recipients.clone(),
        loaded: Arc::new(Loaded { message, recipients, body, leads: Default::default() }),
    }
}

/// A path by this loopback address.
fn by(n: u8) -> Path {
    Path { v4: Some(ip(n)), v6: None }
}

/// A speed rule with patterns on addresses and on MX hosts.
fn rule(name: &str, recipients: &[&str], mx_hosts: &[&str]) -> Rule {
    let patterns = |list: &[&str]| list.iter().map(|p| regex::Regex::new(p).expect("a pattern")).collect();
    Rule { name: name.into(), recipients: patterns(recipients), mx_hosts: patterns(mx_hosts), ..Rule::default() }
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
