//! The cache of MTA-STS policies against a scripted policy host and a clock that the tests move.

use std::sync::atomic::AtomicUsize;

use super::{
    super::{shelf::RamShelf, sts_host::Boxed},
    *,
};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// What the scripted host says.
struct Host {
    record: Mutex<Result<Option<String>, String>>,
    policy: Mutex<Result<String, FetchError>>,
    looked: AtomicUsize,
    fetched: AtomicUsize,
    silent: AtomicBool,
}

impl PolicyHost for Host {
    fn record<'a>(&'a self, _domain: &'a str) -> Boxed<'a, Result<Option<String>, String>> {
        self.looked.fetch_add(1, Ordering::SeqCst);
        let record = lock(&self.record).clone();
        Box::pin(async move { record })
    }

    fn fetch<'a>(&'a self, _domain: &'a str, guard: bool) -> Boxed<'a, Result<Vec<u8>, FetchError>> {
        assert!(guard, "on by default");
        self.fetched.fetch_add(1, Ordering::SeqCst);
        let policy = lock(&self.policy).clone().map(String::into_bytes);
        let silent = self.silent.load(Ordering::SeqCst);
        Box::pin(async move {
            // Long enough for others to join the flight.
            Timer::after(Duration::from_millis(if silent { 60_000 } else { 20 })).await;
            policy
        })
    }
}

struct World {
    clock: Clock,
    metrics: Arc<Metrics>,
    runtime: Runtime,
    shelf: Arc<RamShelf>,
    host: Arc<Host>,
    results: Arc<Collector>,
}

impl World {
    fn new() -> Self {
        World {
            clock: Clock::manual(Timestamp::from_millis(1_796_000_000_000)),
            metrics: Arc::default(),
            runtime: Runtime::start(1).expect("threads"),
            shelf: Arc::default(),
            host: Arc::new(Host {
                record: Mutex::new(Ok(Some("1".into()))),
                policy: Mutex::new(Ok(policy("enforce", "mx.x.test", 7 * DAY))),
                looked: AtomicUsize::new(0),
                fetched: AtomicUsize::new(0),
                silent: AtomicBool::new(false),
            }),
            results: Arc::default(),
        }
    }

    /// A daemon that starts with what is on the shelf.
    fn start(&self) -> StsCache {
        StsCache::new(StsParts {
            clock: self.clock.clone(),
            metrics: self.metrics.clone(),
            runtime: self.runtime.clone(),
            shelf: self.shelf.clone(),
            host: self.host.clone(),
            results: self.results.clone(),
        })
    }

    fn record(&self, record: Result<Option<&str>, &str>) -> &Self {
        *lock(&self.host.record) = record.map(|id| id.map(str::to_owned)).map_err(str::to_owned);
        self
    }

    fn policy(&self, policy: Result<String, FetchError>) -> &Self {
        *lock(&self.host.policy) = policy;
        self
    }

    /// (TXT records looked at, policies fetched).
    fn asked(&self) -> (usize, usize) {
        (self.host.looked.load(Ordering::SeqCst), self.host.fetched.load(Ordering::SeqCst))
    }
}

fn policy(mode: &str, mx: &str, max_age: Duration) -> String {
    format!("version: STSv1\nmode: {mode}\nmx: {mx}\nmax_age: {}\n", max_age.as_secs())
}

fn broken() -> FetchError {
    FetchError { result: ResultType::StsPolicyFetchError, words: "connection refused".into() }
}

fn ask(cache: &StsCache) -> Option<(StsMode, String)> {
    let known = smol::block_on(cache.ask("x.test"));
    known.held.map(|held| (held.policy.mode, held.policy.mx[0].clone()))
}

/// Waits for what goes on beside.
fn settle(cache: &StsCache) {
    for _ in 0..500 {
        if lock(&cache.0.flights).is_empty() {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("a flight that does not end");
}

fn enforced() -> Option<(StsMode, String)> {
    Some((StsMode::Enforce, "mx.x.test".into()))
}

#[test]
fn a_policy_is_fetched_once_for_all_who_ask_and_then_used_at_once() {
    let world = World::new();
    let cache = world.start();
    let all: Vec<_> = (0..20)
        .map(|_| {
            let cache = cache.clone();
            world.runtime.task("ask", async move { cache.ask("x.test").await })
        })
        .collect();
    for one in all {
        let known = smol::block_on(one).expect("no panic");
        assert!(known.held.is_some() && !known.uncertain);
    }
    assert_eq!(world.asked(), (1, 1));
    assert_eq!(ask(&cache), enforced());
    assert_eq!(world.asked(), (1, 1));
    assert_eq!((world.metrics.sts_fetched.get(), world.metrics.sts_failed.get()), (1, 0));
}

#[test]
fn a_policy_survives_a_restart_and_an_expired_one_does_not() {
    let world = World::new();
    assert_eq!(ask(&world.start()), enforced());
    world.record(Err("SERVFAIL"));
    let cache = world.start();
    assert_eq!(ask(&cache), enforced(), "from disk, whatever the DNS says");
    settle(&cache);
    assert_eq!(world.asked().1, 1);
    world.clock.advance(7 * DAY);
    let known = smol::block_on(world.start().ask("x.test"));
    assert!(known.held.is_none() && known.uncertain);
    smol::block_on(world.start().maintain());
    assert!(world.shelf.all(MemoKind::MtaSts).is_empty(), "what is over leaves the disk");
}

#[test]
fn a_new_id_brings_the_new_policy_beside_the_mail() {
    let world = World::new();
    let cache = world.start();
    assert_eq!(ask(&cache), enforced());
    world.record(Ok(Some("2"))).policy(Ok(policy("testing", "*.y.test", DAY)));
    assert_eq!(ask(&cache), enforced(), "not looked at again at once");
    world.clock.advance(LOOKED_AT_EVERY);
    assert_eq!(ask(&cache), enforced(), "mail does not wait for the renewal");
    settle(&cache);
    assert_eq!(ask(&cache), Some((StsMode::Testing, "*.y.test".into())));
    assert_eq!(world.asked(), (2, 2));
    // The same id is not fetched again, until it is old.
    world.clock.advance(LOOKED_AT_EVERY);
    ask(&cache);
    settle(&cache);
    assert_eq!(world.asked(), (3, 2));
    world.clock.advance(13 * HOUR);
    ask(&cache);
    settle(&cache);
    assert_eq!(world.asked(), (4, 3), "half of its max_age is over");
}

#[test]
fn nothing_that_fails_ends_a_policy_that_holds() {
    for (record, policy) in [
        (Err("SERVFAIL"), Err(broken())),
        (Ok(None), Err(broken())),
        (Ok(Some("2")), Err(broken())),
        (Ok(Some("2")), Ok("<html>".to_owned())),
    ] {
        let world = World::new();
        let cache = world.start();
        assert_eq!(ask(&cache), enforced());
        world.record(record).policy(policy.clone());
        for _ in 0..5 {
            world.clock.advance(DAY);
            assert_eq!(ask(&cache), enforced(), "{record:?}");
            settle(&cache);
        }
        world.clock.advance(2 * DAY);
        assert_eq!(ask(&cache), None, "it ran out: {record:?}");
    }
}

#[test]
fn a_domain_without_a_policy_costs_little_and_gets_its_mail() {
    for (record, policy, uncertain, fetches) in [
        (Ok(None), Ok(String::new()), false, 0),
        (Err("time-out"), Ok(String::new()), true, 0),
        (Ok(Some("1")), Err(broken()), true, 1),
        (Ok(Some("1")), Ok("version: STSv2".to_owned()), true, 1),
    ] {
        let world = World::new();
        world.record(record).policy(policy);
        let cache = world.start();
        for _ in 0..10 {
            let known = smol::block_on(cache.ask("x.test"));
            assert_eq!((known.held.is_none(), known.uncertain), (true, uncertain), "{record:?}");
        }
        assert_eq!(world.asked(), (1, fetches));
        assert_eq!(world.metrics.sts_failed.get(), fetches as u64);
        world.clock.advance(HOUR);
        assert!(ask(&cache).is_none());
        assert_eq!(world.asked(), (2, 2 * fetches), "looked at again after a while");
    }
}

#[test]
fn failing_fetches_are_tried_at_growing_intervals_and_told_to_the_domain() {
    let world = World::new();
    world.policy(Err(broken()));
    let cache = world.start();
    for _ in 0..24 * 60 {
        ask(&cache);
        settle(&cache);
        world.clock.advance(Duration::from_secs(60));
    }
    let (_, fetches) = world.asked();
    assert!((24..30).contains(&fetches), "{fetches} fetches in a day");
    smol::block_on(world.results.flush(&*world.shelf));
    let rows = world.shelf.all(MemoKind::TlsResults);
    let text = rows.iter().map(|(_, json)| String::from_utf8_lossy(json).into_owned()).collect::<String>();
    assert!(
        text.contains(r#""result_type":"sts-policy-fetch-error""#) && text.contains("connection refused"),
        "{text}"
    );
}

#[test]
fn mode_none_takes_the_policy_back() {
    let world = World::new();
    let cache = world.start();
    assert_eq!(ask(&cache), enforced());
    world.record(Ok(Some("2"))).policy(Ok(policy("none", "mx.x.test", DAY)));
    world.clock.advance(LOOKED_AT_EVERY);
    ask(&cache);
    settle(&cache);
    let known = smol::block_on(cache.ask("x.test"));
    assert!(known.held.is_none() && !known.uncertain);
    assert_eq!(ask(&world.start()), None, "after a restart, too");
}

#[test]
fn a_policy_in_use_is_renewed_before_it_runs_out() {
    let world = World::new();
    let cache = world.start();
    ask(&cache);
    world.clock.advance(Duration::from_secs(1));
    ask(&cache);
    world.clock.advance(DAY);
    smol::block_on(cache.maintain());
    settle(&cache);
    assert_eq!(world.asked(), (2, 2));
    world.clock.advance(6 * DAY + HOUR);
    assert_eq!(ask(&cache), enforced());
}

#[test]
fn many_domains_with_large_policies_take_bounded_memory() {
    let world = World::new();
    let cache = world.start();
    let large = StsPolicy { mode: StsMode::Enforce, mx: vec!["x".repeat(250); 100], max_age: DAY };
    let now = world.clock.now();
    for n in 0..3 * DOMAINS_MAX {
        let policy = if n % 2 == 0 { large.clone() } else { StsPolicy { mx: Vec::new(), ..large.clone() } };
        let held = Held { policy, id: "1".into(), fetched: now.as_millis() };
        let entry = Entry { held: Some(Arc::new(held)), look_at: now.plus(HOUR), ..Entry::default() };
        lock(&cache.0.cache).put(&format!("d{n}.test"), entry, now);
        let cache = lock(&cache.0.cache);
        assert!(cache.domains.len() <= DOMAINS_MAX && cache.octets <= OCTETS_MAX);
    }
    let cache = lock(&cache.0.cache);
    let counted: usize = cache.domains.values().filter_map(|e| e.held.as_ref()).map(|h| h.octets()).sum();
    assert_eq!(counted, cache.octets);
}
