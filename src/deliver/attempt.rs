//! One attempt, from the job to the verdicts: the shell around route, connections, dialog and the verdict table.
//!
//! In: a [`Job`].  Out: an [`Outcome`] with one result a recipient.
//! Always: hosts are tried in the order of the route, within [`ADDRESSES_TRIED_MAX`]; what a result means is decided in
//! [`super::verdict`] alone; a reused connection that dies before the final dot costs no try; nothing here waits without a
//! bound, and the daemon's cut ends every wait.
//!
//! ```text
//! deliver ─► group by way ─► idle connection? ──────────────► converse ─► settle ─► done
//!                              │ none, or it died                 ▲          │ next host
//!                              └─► hosts ─► addresses ─► open ────┘ ◄────────┘
//! ```

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use async_io::Timer;
use smol::future::FutureExt;

use super::{
    body::Bodies,
    connection::{Connection, TlsConfigs},
    hosts::{Sources, Way},
    job::{Deliver, Job, Outcome, RecipientResult, SiteFeedback},
    memory::Memory,
    pool::Pool,
    tls_policy::Policy,
    trial::Trial,
    verdict::Feedback,
};
use crate::{
    clock::Clock,
    config::{self, Config, TlsPolicy},
    metrics::Metrics,
    net::{
        deadline::{self, Deadlines},
        dns::Resolver,
        tls::{self, Trust},
    },
    runtime::{Runtime, Shutdown, Stage},
    smtp::client::{Login, Timeouts},
    store::Store,
};

/// Addresses that one attempt connects to, at most, over all hosts.
pub const ADDRESSES_TRIED_MAX: usize = 10;
/// How long a TCP connection may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(30);
/// How often idle connections are looked through.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// What the deliverer works with.
pub struct DelivererParts {
    /// Where its tasks run.
    pub runtime: Runtime,
    /// Where bodies are that are not in RAM.
    pub store: Store,
    /// The time.
    pub clock: Clock,
    /// Connections are counted here; results are counted by the scheduler.
    pub metrics: Arc<Metrics>,
    /// DNS.
    pub resolver: Resolver,
    /// The daemon's stop.
    pub shutdown: Shutdown,
}

/// Hands messages over to the hosts of their destinations; clones share connections and memory.
#[derive(Clone)]
pub struct Deliverer(Arc<Shared>);

pub(super) struct Shared {
    runtime: Runtime,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    pub(super) resolver: Resolver,
    pub(super) shutdown: Shutdown,
    pub(super) bodies: Arc<dyn Bodies>,
    pub(super) deadlines: Deadlines,
    pub(super) pool: Pool,
    pub(super) memory: Memory,
    settings: RwLock<Arc<Settings>>,
    tuning: Tuning,
    seed: AtomicU64,
}

/// What the configuration says, made ready.
pub(super) struct Settings {
    /// Our name.
    pub hello: String,
    pub delivery: config::Delivery,
    pub login: Option<Login>,
    pub tls: TlsConfigs,
    pub timeouts: Timeouts,
    pub connect: Duration,
    pub generation: u64,
}

/// What only tests set otherwise.
#[derive(Clone, Debug)]
pub(super) struct Tuning {
    pub timeouts: Timeouts,
    pub connect: Duration,
    pub tick: Duration,
    pub trust: Trust,
}

impl Default for Tuning {
    fn default() -> Self {
        Tuning { timeouts: Timeouts::default(), connect: CONNECT_WITHIN, tick: deadline::TICK, trust: Trust::System }
    }
}

impl Settings {
    fn new(config: &Config, tuning: &Tuning, generation: u64) -> Self {
        let delivery = config.delivery.clone();
        let login = match &delivery.smarthost_password {
            Some(password) if !delivery.smarthost_user.is_empty() => {
                Some(Login { user: delivery.smarthost_user.clone(), password: password.clone(), in_clear: false })
            }
            _ => None,
        };
        let verifies = delivery.tls == TlsPolicy::Verify || delivery.smarthost_tls == TlsPolicy::Verify;
        let configured = |trust: Trust| {
            tls::client_config(trust).map_err(|e| log::error!("TLS towards other hosts cannot be set up: {e}")).ok()
        };
        Settings {
            hello: config.server.hostname.clone(),
            login,
            tls: TlsConfigs {
                anybody: configured(Trust::Anybody),
                verified: if verifies { configured(tuning.trust.clone()) } else { None },
            },
            timeouts: tuning.timeouts,
            connect: tuning.connect,
            delivery,
            generation,
        }
    }

    /// The TLS policy of a way.
    pub(super) fn policy(&self, way: &Way) -> Policy {
        let configured = match way {
            Way::Smarthost(_) => self.delivery.smarthost_tls,
            Way::Domain(_) => self.delivery.tls,
        };
        match configured {
            TlsPolicy::None => Policy::None,
            TlsPolicy::Opportunistic => Policy::Opportunistic,
            TlsPolicy::Require => Policy::Require,
            TlsPolicy::Verify => Policy::Verify,
        }
    }

    /// The login of a way: only the general smarthost has one.
    pub(super) fn login(&self, way: &Way) -> Option<&Login> {
        match way {
            Way::Smarthost(host) if self.delivery.smarthost.as_ref() == Some(host) => self.login.as_ref(),
            Way::Smarthost(_) | Way::Domain(_) => None,
        }
    }
}

impl Deliverer {
    /// Starts delivering under this configuration. Reads the system's root certificates where a policy verifies.
    pub fn new(parts: DelivererParts, config: &Config) -> Self {
        let bodies: Arc<dyn Bodies> = Arc::new(parts.store);
        let rest = Rest {
            runtime: parts.runtime,
            clock: parts.clock,
            metrics: parts.metrics,
            resolver: parts.resolver,
            shutdown: parts.shutdown,
        };
        Self::assemble(rest, bodies, config, Tuning::default())
    }

    pub(super) fn assemble(rest: Rest, bodies: Arc<dyn Bodies>, config: &Config, tuning: Tuning) -> Self {
        let Rest { runtime, clock, metrics, resolver, shutdown } = rest;
        let mut seed = [0; 8];
        // Without randomness hosts of equal preference are tried in a fixed order: no reason to stop.
        let _ = aws_lc_rs::rand::fill(&mut seed);
        let delivery = &config.delivery;
        let shared = Arc::new(Shared {
            deadlines: Deadlines::start_with_tick(&runtime, clock.clone(), tuning.tick),
            pool: Pool::new(clock.clone(), delivery.connections_total, delivery.messages_per_connection),
            memory: Memory::default(),
            settings: RwLock::new(Arc::new(Settings::new(config, &tuning, 0))),
            tuning,
            seed: AtomicU64::new(u64::from_ne_bytes(seed)),
            runtime: runtime.clone(),
            clock,
            metrics,
            resolver,
            shutdown: shutdown.clone(),
            bodies,
        });
        let weak = Arc::downgrade(&shared);
        runtime.spawn("idle connections", async move {
            loop {
                Timer::after(SWEEP_EVERY).await;
                let Some(shared) = weak.upgrade() else { return };
                let stopping = shared.shutdown.stage() != Stage::Running;
                let over = if stopping { shared.pool.take_all() } else { shared.pool.sweep() };
                over.into_iter().for_each(|connection| shared.close(connection));
            }
        });
        let deadlines = shared.deadlines.clone();
        runtime.spawn("cut connections", async move {
            shutdown.cut_now().await;
            deadlines.cut();
        });
        Deliverer(shared)
    }

    /// Another configuration, at reload: attempts that run keep theirs, idle connections are closed.
    pub fn reconfigure(&self, config: &Config) {
        let shared = &self.0;
        let delivery = &config.delivery;
        let idle = shared.pool.reconfigure(delivery.connections_total, delivery.messages_per_connection);
        let settings = Settings::new(config, &shared.tuning, shared.pool.generation());
        *shared.settings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
        idle.into_iter().for_each(|connection| shared.close(connection));
    }

    #[cfg(test)]
    pub(super) fn shared(&self) -> &Shared {
        &self.0
    }

    async fn run(&self, job: Job) -> Outcome {
        let shared = &*self.0;
        let settings = shared.settings.read().unwrap_or_else(PoisonError::into_inner).clone();
        let mut results: Vec<Option<RecipientResult>> = vec![None; job.recipients.len()];
        let mut feedback = Feedback::Unknown;
        let mut interrupted = 0;
        for group in groups(&settings, &job) {
            let mut trial = Trial::new(shared, &settings, &job, group);
            trial.run().await;
            interrupted += trial.interrupted();
            feedback = worse(feedback, trial.feedback());
            for result in trial.into_results() {
                if let Some(at) = job.recipients.iter().position(|r| r.key.index == result.index) {
                    results[at] = Some(result);
                }
            }
        }
        let results: Vec<RecipientResult> = results.into_iter().flatten().collect();
        Outcome {
            interrupted: interrupted > 0 && interrupted == results.len(),
            results,
            feedback: match feedback {
                Feedback::Healthy => SiteFeedback::Healthy,
                Feedback::Trouble => SiteFeedback::Trouble,
                Feedback::Unknown => SiteFeedback::Unknown,
            },
        }
    }
}

/// The parts besides the store.
pub(super) struct Rest {
    pub runtime: Runtime,
    pub clock: Clock,
    pub metrics: Arc<Metrics>,
    pub resolver: Resolver,
    pub shutdown: Shutdown,
}

impl Deliver for Deliverer {
    fn deliver(&self, job: Job) -> Pin<Box<dyn Future<Output = Outcome> + Send + '_>> {
        Box::pin(self.run(job))
    }
}

impl Shared {
    /// Says goodbye in the background.
    pub(super) fn close(&self, connection: Connection) {
        if connection.fault().is_none() {
            self.runtime.spawn("quit", connection.quit());
        }
    }

    /// Keeps a connection for the next message, or closes it.
    pub(super) fn keep(&self, connection: Connection, destination: &Arc<str>) {
        if self.shutdown.stage() != Stage::Running {
            return self.close(connection);
        }
        if let Some(connection) = self.pool.put(connection, destination) {
            self.close(connection);
        }
    }

    /// A wait that the daemon's cut ends.
    pub(super) async fn unless_cut<T>(&self, wait: impl Future<Output = T>) -> Option<T> {
        let cut = async {
            self.shutdown.cut_now().await;
            None
        };
        async { Some(wait.await) }.or(cut).await
    }

    /// Sockets are being cut.
    pub(super) fn is_cutting(&self) -> bool {
        self.shutdown.stage() == Stage::Cutting
    }

    pub(super) fn now(&self) -> Instant {
        self.clock.instant()
    }

    /// A number that differs each time, for shuffling.
    pub(super) fn seed(&self) -> u64 {
        let mut z = self.seed.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// Recipients that go the same way from the same address. One group, unless rules differ among them or the configuration
/// changed since they were queued.
pub(super) struct Group {
    pub way: Way,
    pub sources: Sources,
    pub destination: Arc<str>,
    /// Places in the job's list.
    pub recipients: Vec<usize>,
}

fn groups(settings: &Settings, job: &Job) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::with_capacity(1);
    for (at, recipient) in job.recipients.iter().enumerate() {
        let (way, rule) = Way::of(settings, &recipient.address);
        let destination = way.destination();
        let sources = Sources::of(settings, rule, &destination);
        match groups.iter_mut().find(|g| g.way == way && g.sources == sources) {
            Some(group) => group.recipients.push(at),
            None => groups.push(Group { way, sources, destination, recipients: vec![at] }),
        }
    }
    groups
}

fn worse(a: Feedback, b: Feedback) -> Feedback {
    match (a, b) {
        (Feedback::Trouble, _) | (_, Feedback::Trouble) => Feedback::Trouble,
        (Feedback::Healthy, _) | (_, Feedback::Healthy) => Feedback::Healthy,
        (Feedback::Unknown, Feedback::Unknown) => Feedback::Unknown,
    }
}
