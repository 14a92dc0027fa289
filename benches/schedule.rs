//! What scheduling costs for each message: the core alone (fresh, start, end, release), and the shell with its tasks,
//! channels and verdicts but with peers and a store that cost nothing.

use std::{future::Future, hint::black_box, pin::Pin, sync::Arc, time::Duration};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use hikyaku::{
    budget::Budget,
    clock::{Clock, Timestamp},
    config::Config,
    deliver::job::{Deliver, Job, Outcome, RecipientResult, SiteFeedback, Verdict},
    event::{AttemptDetail, Class, Phase, WaitReason},
    ids::{MessageId, RecipientKey, UserKey},
    mail::header::Facts,
    metrics::Metrics,
    runtime::{Runtime, Shutdown},
    schedule::{
        Handle, Parts, Scheduler, Settings, Shelf,
        core::{Core, End, Slip},
        limits::{Feedback, Limits},
        place::Place,
    },
    smtp::{
        address::Mailbox,
        params::{MailParams, RcptParams},
    },
    store::{
        Applied, BodyPlace, Change, Head, HeadLimits, Lane, LaneRow, Loaded, Message, Origin, Recipient,
        RecipientState, StoreError,
    },
};

const NOW: Timestamp = Timestamp::from_millis(1_795_527_310_000);
const MESSAGES: u64 = 1_000;

fn run(core: &mut Core<Arc<[u8]>>, lanes: &[Arc<str>], payload: &Arc<[u8]>) {
    let end = End { feedback: Feedback::Healthy, said: None, push: None, delivered: 1, deferred: 0 };
    for n in 0..MESSAGES {
        let key = RecipientKey { message: MessageId::from_u64(n), index: 0 };
        let (user, expires_at) = (UserKey::default(), Timestamp::MAX);
        let payload_bytes = payload.len();
        let slip = Slip { key, user, attempts: 0, expires_at, payload: Some(payload.clone()), payload_bytes };
        core.fresh(&lanes[n as usize % lanes.len()], Class::Normal, slip, NOW);
        while let Some(asked) = core.locate() {
            core.located(asked.at, &Place::alone(asked.lane, Duration::from_secs(300)), NOW);
        }
        while let Some(start) = core.poll(NOW) {
            if let Some(conversation) = start.conversation() {
                core.finished(&conversation, &end, NOW);
            }
            core.released(start.at, start.slips.iter().map(|s| s.key));
            black_box(start);
        }
    }
}

fn core_alone(c: &mut Criterion) {
    let payload: Arc<[u8]> = vec![0; 10_240].into();
    let limits = Limits::for_memory(512 << 20, 2_000, 20, 100);
    for count in [1usize, 1_000] {
        let lanes: Vec<Arc<str>> = (0..count).map(|n| format!("domain-{n}.example").into()).collect();
        let new = || Core::new(limits, &[]);
        c.bench_function(&format!("core/1000 messages over {count} lanes"), |b| {
            b.iter_batched_ref(new, |core| run(core, &lanes, &payload), BatchSize::SmallInput);
        });
        c.bench_function(&format!("core/1000 messages over {count} known lanes"), |b| {
            let known = || {
                let mut core = new();
                run(&mut core, &lanes, &payload);
                core
            };
            b.iter_batched_ref(known, |core| run(core, &lanes, &payload), BatchSize::SmallInput);
        });
    }
}

/// A store that takes everything and holds nothing.
#[derive(Clone)]
struct Nothing;

impl Shelf for Nothing {
    async fn apply(&self, changes: Vec<Change>) -> Result<Applied, StoreError> {
        Ok(Applied { applied: black_box(changes).len(), too_late: 0 })
    }
    async fn site_is_back(&self, _: &Lane) -> Result<u64, StoreError> {
        Ok(0)
    }
    fn verdicts_are_stuck(&self) -> bool {
        false
    }
    fn lanes_due(&self, _: Timestamp, _: usize) -> Result<Vec<LaneRow>, StoreError> {
        Ok(Vec::new())
    }
    fn next_due(&self, _: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        Ok(None)
    }
    fn head(
        &self,
        _: &Lane,
        _: Class,
        _: Timestamp,
        _: HeadLimits,
        _: &dyn Fn(RecipientKey) -> bool,
    ) -> Result<Head, StoreError> {
        Ok(Head { tickets: Vec::new(), complete: true })
    }
    fn load(&self, _: MessageId, _: &[u32]) -> Result<Option<(Message, Vec<Recipient>)>, StoreError> {
        Ok(None)
    }
}

/// A peer that takes everything at once.
struct Taker;

impl Deliver for Taker {
    fn deliver(&self, job: Job) -> Pin<Box<dyn Future<Output = Outcome> + Send + '_>> {
        Box::pin(async move {
            let detail = AttemptDetail { phase: Some(Phase::Content), ..AttemptDetail::default() };
            let verdict = Verdict::Delivered { peer_does_dsn: false, peer_does_by: false };
            let result = RecipientResult {
                index: job.recipients[0].key.index,
                verdict,
                detail: Box::new(detail),
                conversation: None,
            };
            Outcome { results: vec![result], feedback: SiteFeedback::Healthy, interrupted: false, push: None }
        })
    }
}

fn mail(n: u64, lane: &Lane) -> Arc<Loaded> {
    let id = MessageId::from_u64(n);
    let recipient = Recipient {
        key: RecipientKey { message: id, index: 0 },
        address: Mailbox::parse("hanako@example.org").expect("an address"),
        params: RcptParams::default(),
        lane: lane.clone(),
        state: RecipientState::Waiting { due: NOW, wait: WaitReason::Fresh },
        attempts: 0,
        last_reply: String::new(),
        possible_duplicate: false,
        delay_noticed: false,
    };
    let message = Message {
        id,
        accepted_at: NOW,
        expires_at: Timestamp::MAX,
        sender: Mailbox::parse("a@example.jp").ok(),
        params: MailParams::default(),
        recipients: 1,
        class: Class::Normal,
        facts: Facts::default(),
        user: String::new(),
        source_ip: None,
        origin: Origin::Smtp,
        return_path: hikyaku::bounce::envelope_from::ReturnPath::AsIs,
        list: String::new(),
        place: BodyPlace::File,
        len: 10_240,
    };
    Arc::new(Loaded { message, recipients: vec![recipient], body: None, leads: Default::default() })
}

fn shell(c: &mut Criterion) {
    let metrics = Arc::<Metrics>::default();
    let parts = Parts {
        runtime: Runtime::start(1).expect("threads"),
        store: Nothing,
        clock: Clock::system(),
        metrics: metrics.clone(),
        shutdown: Shutdown::new(),
        deliver: Arc::new(Taker),
        budget: Budget::new(512 << 20),
        streams: Default::default(),
    };
    let handle: Handle = Scheduler::start(parts, Settings::from(&Config::default()));
    let lane = Lane("relay.example:25".into());
    let mut n = 0;
    c.bench_function("shell/1000 messages to one smarthost", |b| {
        b.iter_batched(
            || {
                n += MESSAGES;
                (n..n + MESSAGES).map(|n| mail(n, &lane)).collect::<Vec<_>>()
            },
            |mails| {
                let goal = metrics.delivered.get() + MESSAGES;
                mails.iter().for_each(|loaded| handle.fresh_message(loaded));
                while metrics.delivered.get() < goal {
                    std::thread::sleep(Duration::from_micros(20));
                }
            },
            BatchSize::LargeInput,
        );
    });
}

criterion_group!(benches, core_alone, shell);
criterion_main!(benches);
