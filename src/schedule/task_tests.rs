//! The scheduler's shell over a store in memory: attempts, verdicts, restarts, the drain.

use std::collections::BTreeMap;

use super::*;
use crate::{
    deliver::job::{Job, Located, Outcome, Path, Push, PushKind, RecipientResult, SiteFeedback, Verdict},
    event::{AttemptDetail, Class, ErrorClass, EventKind, Phase, WaitReason},
    ids::MessageId,
    language::Language,
    mail::header::Facts,
    smtp::{
        address::Mailbox,
        params::{ByMode, DeliverBy, MailParams, Notify, RcptParams},
    },
    store::{
        Applied, BodyPlace, Head, HeadLimits, Lane, LaneRow, Message, NoticeKind, Origin, Recipient, RecipientState,
        StoreError, Ticket,
    },
    suppress::lookup::Block,
};

const START: Timestamp = Timestamp::from_millis(1_795_527_310_000);

/// A store in RAM.
#[derive(Clone, Default)]
struct Fake(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    messages: BTreeMap<MessageId, Message>,
    recipients: BTreeMap<RecipientKey, Recipient>,
    changes: Vec<Change>,
    applies: usize,
    stuck: bool,
    asked_if_stuck: usize,
    /// Now, for those who wait for their site; and how often a lane of one that came back was walked over.
    now: Option<Clock>,
    walks: usize,
    damaged: bool,
    /// Local parts that are no longer written to, and how often one was looked up.
    suppressed: Vec<&'static str>,
    looked_up: usize,
}

impl Fake {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no panic before")
    }

    fn put(&self, loaded: &Loaded) {
        let mut state = self.state();
        state.messages.insert(loaded.message.id, loaded.message.clone());
        state.recipients.extend(loaded.recipients.iter().map(|r| (r.key, r.clone())));
    }

    fn events(&self, n: u64) -> Vec<(EventKind, u32, Option<WaitReason>, Option<NoticeKind>)> {
        let of = |c: &&Change| c.event.key.message == MessageId::from_u64(n);
        let state = self.state();
        state.changes.iter().filter(of).map(|c| (c.event.kind, c.event.attempt, c.event.wait, c.notice)).collect()
    }
}

fn due(recipient: &Recipient) -> Option<Timestamp> {
    match recipient.state {
        RecipientState::Waiting { due, .. } => Some(due),
        RecipientState::Final(_) => None,
    }
}

impl Shelf for Fake {
    async fn apply(&self, changes: Vec<Change>) -> Result<Applied, StoreError> {
        Timer::after(Duration::from_millis(2)).await;
        let mut state = self.state();
        state.applies += 1;
        let mut applied = Applied::default();
        for change in changes {
            let event = &change.event;
            let recipient = state.recipients.get_mut(&event.key).expect("known");
            if due(recipient).is_none() {
                applied.too_late += 1;
                continue;
            }
            recipient.attempts = event.attempt;
            recipient.state = match (event.next_try, event.wait) {
                (Some(due), Some(wait)) => RecipientState::Waiting { due, wait },
                _ => RecipientState::Final(event.kind),
            };
            applied.applied += 1;
            state.changes.push(change);
        }
        Ok(applied)
    }
    async fn site_is_back(&self, lane: &Lane) -> Result<u64, StoreError> {
        Timer::after(Duration::from_millis(2)).await;
        let mut state = self.state();
        state.walks += 1;
        let now = state.now.as_ref().map_or(START, Clock::now);
        let mut moved = 0;
        for recipient in state.recipients.values_mut().filter(|r| r.lane == *lane) {
            if let RecipientState::Waiting { due, wait: WaitReason::Site } = &mut recipient.state
                && *due > now
            {
                *due = now;
                moved += 1;
            }
        }
        Ok(moved)
    }
    fn block_of(
        &self,
        recipient: &Recipient,
        _user: &str,
        _list: &str,
        _now: Timestamp,
    ) -> Result<Option<Block>, StoreError> {
        let mut state = self.state();
        state.looked_up += 1;
        let is_on = state.suppressed.contains(&recipient.address.local());
        Ok(is_on.then(|| Block { class: ErrorClass::Blocked, words: "suppressed since yesterday".to_owned() }))
    }
    fn verdicts_are_stuck(&self) -> bool {
        let mut state = self.state();
        state.asked_if_stuck += 1;
        state.stuck
    }
    fn lanes_due(&self, until: Timestamp, limit: usize) -> Result<Vec<LaneRow>, StoreError> {
        let mut lanes: BTreeMap<Lane, LaneRow> = BTreeMap::new();
        for recipient in self.state().recipients.values() {
            let Some(due) = due(recipient) else { continue };
            let row = lanes.entry(recipient.lane.clone()).or_insert_with(|| LaneRow {
                lane: recipient.lane.clone(),
                count: 0,
                classes: [0; 3],
                earliest_due: due,
                last_reply: String::new(),
            });
            row.count += 1;
            row.earliest_due = row.earliest_due.min(due);
        }
        Ok(lanes.into_values().filter(|l| l.earliest_due <= until).take(limit).collect())
    }
    fn next_due(&self, after: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.state().recipients.values().filter_map(due).filter(|d| *d > after).min())
    }
    fn head(
        &self,
        lane: &Lane,
        class: Class,
        until: Timestamp,
        limits: HeadLimits,
        skip: &dyn Fn(RecipientKey) -> bool,
    ) -> Result<Head, StoreError> {
        let state = self.state();
        let of_lane = |r: &&Recipient| r.lane == *lane && state.messages[&r.key.message].class == class;
        let rows = state.recipients.values().filter(of_lane).filter(|r| due(r).is_some_and(|d| d <= until));
        let ticket = |r: &Recipient| Ticket {
            user: Default::default(),
            key: r.key,
            lane: lane.clone(),
            class,
            due: due(r).unwrap_or(until),
            attempts: r.attempts,
            expires_at: Timestamp::MAX,
            loaded: None,
        };
        let mut tickets: Vec<Ticket> = rows.filter(|r| !skip(r.key)).map(ticket).collect();
        tickets.sort_by_key(|t| t.due);
        let mut of_message: BTreeMap<MessageId, usize> = BTreeMap::new();
        let all = tickets.len();
        tickets.retain(|t| {
            let count = of_message.entry(t.key.message).or_default();
            *count += 1;
            *count <= limits.per_message
        });
        tickets.truncate(limits.rows);
        Ok(Head { complete: tickets.len() == all, tickets })
    }
    fn load(&self, id: MessageId, indexes: &[u32]) -> Result<Option<(Message, Vec<Recipient>)>, StoreError> {
        let state = self.state();
        if state.damaged {
            return Err(StoreError::Damaged("segment 3 is damaged".into()));
        }
        let Some(message) = state.messages.get(&id) else { return Ok(None) };
        let get = |index: &u32| state.recipients.get(&RecipientKey { message: id, index: *index }).cloned();
        Ok(Some((message.clone(), indexes.iter().filter_map(get).collect())))
    }
}

/// Answers by the local part, like the sandbox, and counts its calls.
#[derive(Default)]
struct Peers {
    calls: AtomicUsize,
    /// Questions for a place; the first ones panic while this is positive.
    locates: AtomicUsize,
    locate_panics: AtomicUsize,
    /// The site is no longer in trouble.
    back: AtomicBool,
    /// The ways by which mail came.
    paths: Mutex<Vec<Path>>,
}

const WAY: Path = Path { v4: Some(std::net::IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 9))), v6: None };

impl Deliver for Peers {
    fn locate<'a>(&'a self, lane: &'a Lane) -> Pin<Box<dyn Future<Output = Located> + Send + 'a>> {
        self.locates.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            smol::future::yield_now().await;
            let panics = &self.locate_panics;
            if panics.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok() {
                panic!("a fault, for the test");
            }
            let mut located = Located::alone(lane);
            located.paths[0].path = WAY;
            located
        })
    }

    fn deliver(&self, job: Job) -> Pin<Box<dyn Future<Output = Outcome> + Send + '_>> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.paths.lock().expect("no panic before").push(job.path);
        Box::pin(async move {
            smol::future::yield_now().await;
            let mut outcome =
                Outcome { results: Vec::new(), feedback: SiteFeedback::Healthy, interrupted: false, push: None };
            for recipient in &job.recipients {
                let verdict = match recipient.address.local() {
                    "fail" => Verdict::Failed,
                    "defer" => Verdict::Deferred { site: false, damaged: false },
                    "damaged" => Verdict::Deferred { site: false, damaged: true },
                    "site" if !self.back.load(Ordering::SeqCst) => {
                        outcome.feedback = SiteFeedback::Trouble;
                        Verdict::Deferred { site: true, damaged: false }
                    }
                    "pause" => {
                        let (rule, duration) = ("too many".into(), Duration::from_secs(3_600));
                        outcome.push = Some(Push { rule, what: PushKind::Pause, duration });
                        Verdict::Deferred { site: false, damaged: false }
                    }
                    "silent" => continue,
                    "cut" => return Outcome { interrupted: true, ..outcome },
                    "panic" => panic!("a fault, for the test"),
                    _ => Verdict::Delivered { peer_does_dsn: false, peer_does_by: false },
                };
                let detail = Box::new(AttemptDetail {
                    destination: job.lane.0.to_string(),
                    phase: Some(Phase::Rcpt),
                    reply: "450 4.2.1 busy".into(),
                    ..AttemptDetail::default()
                });
                let index = recipient.key.index;
                outcome.results.push(RecipientResult { index, verdict, detail, conversation: None });
            }
            outcome
        })
    }
}

struct World {
    fake: Fake,
    peers: Arc<Peers>,
    handle: Handle,
    clock: Clock,
    metrics: Arc<Metrics>,
    shutdown: Shutdown,
}

fn world(fake: Fake) -> World {
    let (clock, metrics, shutdown) = (Clock::manual(START), Arc::<Metrics>::default(), Shutdown::new());
    fake.state().now = Some(clock.clone());
    let peers = Arc::<Peers>::default();
    let parts = Parts {
        runtime: Runtime::start(1).expect("threads"),
        store: fake.clone(),
        clock: clock.clone(),
        metrics: metrics.clone(),
        shutdown: shutdown.clone(),
        deliver: peers.clone(),
        budget: Budget::new(64 << 20),
        streams: Default::default(),
    };
    let handle = Scheduler::start(parts, Settings::from(&Config::default()));
    World { fake, peers, handle, clock, metrics, shutdown }
}

fn mail(n: u64, locals: &[&str]) -> Loaded {
    let id = MessageId::from_u64(n);
    let recipient = |(index, local): (usize, &&str)| Recipient {
        key: RecipientKey { message: id, index: index as u32 },
        address: Mailbox::parse(&format!("{local}@example.org")).expect("an address"),
        params: RcptParams::default(),
        lane: Lane("example.org".into()),
        state: RecipientState::Waiting { due: START, wait: WaitReason::Fresh },
        attempts: 0,
        last_reply: String::new(),
        possible_duplicate: false,
        delay_noticed: false,
    };
    let recipients: Vec<Recipient> = locals.iter().enumerate().map(recipient).collect();
    let message = Message {
        id,
        accepted_at: START,
        expires_at: START.plus(Duration::from_secs(345_600)),
        sender: Mailbox::parse("a@example.jp").ok(),
        params: MailParams::default(),
        recipients: recipients.len() as u32,
        class: Class::Normal,
        facts: Facts::default(),
        user: String::new(),
        source_ip: None,
        origin: Origin::Smtp,
        return_path: crate::bounce::envelope_from::ReturnPath::AsIs,
        list: String::new(),
        place: BodyPlace::File,
        len: 10,
    };
    Loaded { message, recipients, body: None, leads: Default::default() }
}

impl World {
    fn accept(&self, loaded: Loaded) {
        self.fake.put(&loaded);
        self.handle.fresh_message(&Arc::new(loaded));
    }

    #[track_caller]
    fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        for _ in 0..2_000 {
            if is_so(self) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("not within 10 s: {what}; {:?}", self.handle.snapshot(10));
    }

    fn settles(&self, count: usize) {
        self.until("verdicts are stored", |w| w.fake.state().changes.len() >= count);
    }

    fn drain(&self) {
        self.shutdown.drain();
        smol::block_on(self.handle.drained());
    }
}

#[test]
fn each_verdict_becomes_one_change_with_its_event_and_notice() {
    let world = world(Fake::default());
    world.accept(mail(1, &["ok", "fail", "defer", "damaged", "silent"]));
    world.settles(5);
    world.drain();
    assert_eq!(
        world.fake.events(1),
        [
            (EventKind::Succeeded, 1, None, None),
            (EventKind::Failed, 1, None, Some(NoticeKind::Failure)),
            (EventKind::Deferred, 1, Some(WaitReason::Retry), None),
            (EventKind::Deferred, 1, Some(WaitReason::Damaged), None),
            (EventKind::Deferred, 1, Some(WaitReason::Retry), None),
        ]
    );
    let state = world.fake.state();
    let next = state.changes[2].event.next_try.expect("deferred");
    let wait = next.since(START).as_millis();
    assert!((51_000..=69_000).contains(&wait), "a minute within 15 %: {wait} ms");
    assert_eq!(state.changes[3].event.next_try, Some(Timestamp::MAX), "held");
    assert_eq!(world.metrics.attempts.get(), 1);
    let m = &world.metrics;
    assert_eq!((m.delivered.get(), m.failed.get(), m.deferred.get()), (1, 1, 3));
}

#[test]
fn notices_go_to_those_who_have_an_address_and_want_them() {
    let world = world(Fake::default());
    let with = |n: u64, local: &str, notify: Notify, sender: bool| {
        let mut loaded = mail(n, &[local]);
        loaded.recipients[0].params.notify = notify;
        if !sender {
            loaded.message.sender = None;
        }
        world.accept(loaded);
    };
    let given = Notify { given: true, ..Notify::default() };
    with(1, "fail", given, true); // NEVER
    with(2, "fail", Notify::default(), false);
    with(3, "fail", Notify { failure: true, ..given }, true);
    with(4, "ok", Notify { success: true, ..given }, true);
    with(5, "ok", Notify::default(), true);
    world.settles(5);
    let notices: Vec<Option<NoticeKind>> = (1..=5).map(|n| world.fake.events(n)[0].3).collect();
    assert_eq!(notices, [None, None, Some(NoticeKind::Failure), Some(NoticeKind::Relayed), None]);
}

#[test]
fn a_deferred_recipient_is_tried_again_until_its_life_ends() {
    let world = world(Fake::default());
    let mut loaded = mail(1, &["defer"]);
    loaded.message.expires_at = START.plus(Duration::from_secs(600));
    loaded.recipients[0].possible_duplicate = true;
    loaded.recipients[0].params.notify = Notify { given: true, delay: true, failure: true, success: false };
    world.accept(loaded);
    for tries in 1..=4 {
        world.settles(tries);
        let next = world.fake.state().changes[tries - 1].event.next_try;
        let Some(next) = next else { break };
        assert!(next <= START.plus(Duration::from_secs(600)), "the last try is at the end of life at the latest");
        world.clock.advance(next.since(world.clock.now()));
        world.handle.kick();
    }
    let state = world.fake.state();
    let last = state.changes.last().expect("some");
    assert_eq!((last.event.kind, last.notice), (EventKind::Failed, Some(NoticeKind::Failure)));
    let detail = last.event.detail.as_ref().expect("a try");
    assert_eq!(detail.reply, "4.4.7 not delivered within 10 minutes; last answer: 450 4.2.1 busy");
    assert_eq!(detail.error, Some(ErrorClass::ResendTimeout));
    assert!(detail.possible_duplicate, "the recipient's mark is in the event");
    assert_eq!(
        state.changes.iter().map(|c| c.event.attempt).collect::<Vec<_>>(),
        (1..=state.changes.len() as u32).collect::<Vec<_>>()
    );
}

#[test]
fn a_panic_frees_its_place_and_an_interruption_leaves_no_trace() {
    let world = world(Fake::default());
    for n in 1..=30 {
        world.accept(mail(n, &["panic"]));
    }
    world.accept(mail(31, &["ok"]));
    world.settles(31);
    let state = world.fake.state();
    let panicked =
        state.changes.iter().filter(|c| c.event.detail.as_ref().is_some_and(|d| d.possible_duplicate)).count();
    assert_eq!(panicked, 30, "the peer may have taken it");
    drop(state);
    world.accept(mail(32, &["cut"]));
    world.until("it is tried", |w| w.peers.calls.load(Ordering::SeqCst) >= 32);
    world.drain();
    assert!(world.fake.events(32).is_empty());
    assert_eq!(world.handle.attempts(), 0);
}

#[test]
fn what_waits_on_disk_is_delivered_after_a_start() {
    let fake = Fake::default();
    for n in 1..=3_000 {
        fake.put(&mail(n, &["ok", "ok"]));
    }
    let world = world(fake);
    world.settles(6_000);
    world.drain();
    assert_eq!(world.metrics.attempts.get(), 3_000, "recipients of a message share an attempt");
    assert_eq!(world.fake.state().changes.len(), 6_000, "each settles once");
}

#[test]
fn a_burst_settles_once_each_and_verdicts_share_trips() {
    let world = world(Fake::default());
    for n in 1..=5_000 {
        world.accept(mail(n, &["ok"]));
    }
    world.settles(5_000);
    world.drain();
    let state = world.fake.state();
    assert_eq!(state.changes.len(), 5_000);
    assert!(state.applies < 2_500, "{} trips", state.applies);
}

#[test]
fn no_attempt_starts_while_verdicts_are_stuck() {
    let world = world(Fake::default());
    world.fake.state().stuck = true;
    world.accept(mail(1, &["ok"]));
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(world.peers.calls.load(Ordering::SeqCst), 0);
    world.fake.state().stuck = false;
    world.settles(1);
}

#[test]
fn a_message_that_cannot_be_read_is_held() {
    let fake = Fake::default();
    fake.put(&mail(1, &["ok"]));
    fake.state().damaged = true;
    let world = world(fake);
    world.settles(1);
    assert_eq!(world.fake.events(1), [(EventKind::Deferred, 0, Some(WaitReason::Damaged), None)]);
    assert_eq!(world.peers.calls.load(Ordering::SeqCst), 0);
}

#[test]
fn mail_for_later_waits_on_disk_until_then() {
    let world = world(Fake::default());
    let mut later = mail(1, &["ok"]);
    let due = START.plus(Duration::from_secs(3_600));
    later.recipients[0].state = RecipientState::Waiting { due, wait: WaitReason::Fresh };
    world.accept(later);
    world.accept(mail(2, &["ok"]));
    world.settles(1);
    assert!(world.fake.events(1).is_empty());
    world.clock.advance(Duration::from_secs(3_600));
    world.accept(mail(3, &["ok"]));
    world.settles(3);
    assert_eq!(world.fake.events(1).len(), 1);
}

#[test]
fn a_lane_is_located_once_and_its_mail_takes_the_offered_way() {
    let world = world(Fake::default());
    world.peers.locate_panics.store(1, Ordering::SeqCst);
    for n in 1..=50 {
        world.accept(mail(n, &["ok"]));
    }
    // The first question breaks off, which takes long where a backtrace is printed; it is asked again by the clock, or by a
    // mail that comes later.
    world.until("it is asked again", |w| {
        w.clock.advance(Duration::from_millis(500));
        w.handle.set_pauses(Vec::new()); // it looks around
        w.peers.locates.load(Ordering::SeqCst) >= 2
    });
    world.accept(mail(51, &["ok"]));
    world.settles(51);
    assert_eq!(world.peers.locates.load(Ordering::SeqCst), 2);
    assert!(world.peers.paths.lock().expect("whole").iter().all(|path| *path == WAY));
    let facts = world.handle.facts(&Lane("example.org".into()), world.clock.now());
    assert!(
        facts.iter().any(|fact| fact.topic == "source" && fact.says.to_string().contains("127.0.0.9")),
        "{facts:?}"
    );
    assert!(facts.iter().all(|fact| !fact.says.words(Language::Japanese).is_ascii()), "{facts:?}");
}

#[path = "task_trouble_tests.rs"]
mod trouble;
