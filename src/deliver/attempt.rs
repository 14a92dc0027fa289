//! One attempt, from the job to the verdicts: the shell around route, connections, dialog and the verdict table.
//!
//! In: a [`Job`].  Out: an [`Outcome`] with one result a recipient.
//! Always: hosts are tried in the order of the route, within [`ADDRESSES_TRIED_MAX`]; what a result means is decided in
//! [`super::verdict`] alone; a reused connection that dies before the final dot costs no try; nothing here waits without a
//! bound, and the daemon's cut ends every wait.
//!
//! ```text
//! deliver ─► leave ─► groups ─► idle connection? ───────────► converse ─► settle ─► responses ─► done
//!                              │ none, or it died                 ▲          │ next host
//!                              └─► hosts ─► addresses ─► open ────┘ ◄────────┘
//! ```

use std::{
    future::Future,
    net::IpAddr,
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
    counted::{RuleUse, WarmUpState},
    envelope::PerRecipient,
    groups::groups,
    host_tls::TlsRoom,
    hosts::{self, Way},
    job::{Deliver, Job, Located, Outcome, RecipientResult, SiteFeedback},
    lead::Leads,
    memory::Memory,
    notes::{self, RuleUses},
    pacing::Turns,
    pool::Pool,
    responses::{Hits, Responses},
    rules::Rules,
    sources::{Presence, Table},
    sts::{StsCache, StsParts},
    sts_host::{LivePolicyHost, PolicyHost},
    tls_policy::Policy,
    tls_results::Collector,
    trial::Trial,
    verdict::Feedback,
    warm_up::{self, WarmUps},
};
use crate::{
    bounce::keys::KeyRing,
    clock::Clock,
    config::{self, Config},
    metrics::Metrics,
    net::{
        deadline::{self, Deadlines},
        dns::Resolver,
        tls::{self, Trust},
    },
    runtime::{Runtime, Shutdown, Stage},
    signing::Signing,
    smtp::client::{Login, Timeouts},
    store::{Lane, MEMOS_MAX, MemoKind, Memos, Store},
};

/// Addresses that one attempt connects to, at most, over all hosts.
pub const ADDRESSES_TRIED_MAX: usize = 10;
/// How long a TCP connection may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(30);
/// How often idle connections are looked through.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// How often TLS results are written.
const TLS_RESULTS_EVERY: Duration = Duration::from_secs(60);
/// How often MTA-STS policies are looked through.
const STS_EVERY: Duration = Duration::from_secs(3600);

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
    /// The keys of return addresses.
    pub keys: KeyRing,
    /// A recipient's own header fields; `None`: never any.
    pub per_recipient: Option<PerRecipient>,
    /// Who signs; `None`: nobody.
    pub signing: Option<Signing>,
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
    pub(super) tls: TlsRoom,
    pub(super) presence: Presence,
    pub(super) warm_ups: WarmUps,
    pub(super) uses: RuleUses,
    pub(super) hits: Hits,
    pub(super) keys: KeyRing,
    pub(super) leads: Leads,
    pub(super) turns: Turns,
    settings: RwLock<Arc<Settings>>,
    tuning: Tuning,
    seed: AtomicU64,
}

/// What the configuration says, made ready.
pub(super) struct Settings {
    pub delivery: config::Delivery,
    pub rules: Rules,
    pub responses: Responses,
    /// Local addresses, with our names.
    pub sources: Table,
    /// Some address is to be warmed up, or was.
    pub warming: bool,
    /// Some rule sets a least time between two messages.
    pub pacing: bool,
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
        let configured = |trust: Trust| {
            tls::client_config(trust).map_err(|e| log::error!("TLS towards other hosts cannot be set up: {e}")).ok()
        };
        Settings {
            rules: Rules::new(&delivery.rules),
            responses: Responses::new(&delivery),
            sources: Table::new(&delivery, &config.server.hostname),
            warming: delivery.sources.iter().any(|source| source.warm_up_from.is_some()),
            pacing: delivery.rules.iter().any(|rule| !rule.interval.is_zero()),
            login,
            tls: TlsConfigs { anybody: configured(Trust::Anybody), verified: configured(tuning.trust.clone()) },
            timeouts: tuning.timeouts,
            connect: tuning.connect,
            delivery,
            generation,
        }
    }

    /// Recipients a provider that may go by an address today; `None`: it is warm.
    pub(super) fn cap_today(&self, address: IpAddr, today: u32) -> Option<u64> {
        warm_up::cap_today(self.sources.entry(address)?, &self.delivery.warm_up.schedule, today)
    }

    /// The TLS policy of a way.
    pub(super) fn policy(&self, way: &Way) -> Policy {
        hosts::configured_tls(&self.delivery, way).0
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
    /// Starts delivering under this configuration. Reads the system's root certificates.
    pub fn new(parts: DelivererParts, config: &Config) -> Self {
        let shelf: Arc<dyn Memos> = Arc::new(parts.store.clone());
        let bodies: Arc<dyn Bodies> = Arc::new(parts.store);
        let policy_host = Arc::new(LivePolicyHost::new(parts.resolver.clone(), Trust::System));
        let rest = Rest {
            runtime: parts.runtime,
            clock: parts.clock,
            metrics: parts.metrics,
            resolver: parts.resolver,
            shutdown: parts.shutdown,
            shelf,
            policy_host,
            keys: parts.keys,
            per_recipient: parts.per_recipient,
            signing: parts.signing,
        };
        Self::assemble(rest, bodies, config, Tuning::default())
    }

    pub(super) fn assemble(rest: Rest, bodies: Arc<dyn Bodies>, config: &Config, tuning: Tuning) -> Self {
        let Rest { runtime, clock, metrics, resolver, shutdown, shelf, policy_host, keys, per_recipient, signing } =
            rest;
        let mut seed = [0; 8];
        // Without randomness hosts of equal preference are tried in a fixed order: no reason to stop.
        let _ = aws_lc_rs::rand::fill(&mut seed);
        let delivery = &config.delivery;
        let results = Arc::new(Collector::default());
        let sts = StsCache::new(StsParts {
            clock: clock.clone(),
            metrics: metrics.clone(),
            runtime: runtime.clone(),
            shelf: shelf.clone(),
            host: policy_host,
            results: results.clone(),
        });
        sts.set_guard(delivery.block_private_destinations);
        let shared = Arc::new(Shared {
            tls: TlsRoom { sts, results, shelf },
            deadlines: Deadlines::start_with_tick(&runtime, clock.clone(), tuning.tick),
            pool: Pool::new(clock.clone(), delivery.connections_total, delivery.messages_per_connection),
            memory: Memory::default(),
            presence: Presence::default(),
            warm_ups: WarmUps::default(),
            uses: RuleUses::default(),
            hits: Hits::default(),
            keys,
            leads: Leads::new(per_recipient, signing),
            turns: Turns::default(),
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
        shared.load_notes();
        shared.uses.configure(delivery.rules.iter().map(|rule| rule.name.as_str()), shared.clock.now());
        let weak = Arc::downgrade(&shared);
        runtime.spawn("notes of the deliverer", async move {
            loop {
                Timer::after(notes::FLUSH_EVERY).await;
                let Some(shared) = weak.upgrade() else { return };
                shared.write_notes(false).await;
            }
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
        let weak = Arc::downgrade(&shared);
        runtime.spawn("tls results", async move {
            loop {
                Timer::after(TLS_RESULTS_EVERY).await;
                let Some(shared) = weak.upgrade() else { return };
                shared.tls.results.flush(&*shared.tls.shelf).await;
            }
        });
        let weak = Arc::downgrade(&shared);
        runtime.spawn("mta-sts policies", async move {
            loop {
                Timer::after(STS_EVERY).await;
                let Some(shared) = weak.upgrade() else { return };
                shared.tls.sts.maintain().await;
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
        shared.tls.sts.set_guard(delivery.block_private_destinations);
        *shared.settings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
        shared.uses.configure(delivery.rules.iter().map(|rule| rule.name.as_str()), shared.clock.now());
        shared.presence.forget();
        idle.into_iter().for_each(|connection| shared.close(connection));
    }

    /// When each configured rule last applied to a destination, in the order of the config file.
    pub fn rule_uses(&self) -> Vec<RuleUse> {
        let settings = self.0.settings();
        settings.delivery.rules.iter().filter_map(|rule| self.0.uses.of(&rule.name)).collect()
    }

    /// What each warming source address sent today, by provider, most first; at most a thousand rows.
    pub fn warm_ups(&self) -> Vec<WarmUpState> {
        let settings = self.0.settings();
        let today = self.0.clock.now().day();
        self.0.warm_ups.states(settings.sources.entries(), &settings.delivery.warm_up.schedule, today)
    }

    /// Writes what is to be known after a restart. Called once no attempt runs any more, before the store stops.
    pub async fn flush(&self) {
        self.0.write_notes(true).await;
        self.0.tls.results.flush(&*self.0.tls.shelf).await;
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.0
    }

    async fn run(&self, job: Job) -> Outcome {
        let shared = &*self.0;
        let settings = shared.settings();
        // In boxes of their own, so that the usual attempt pays for neither.
        let leave = if settings.warming {
            match Box::pin(shared.leave_warming(&settings, &job)).await {
                Ok(leave) => leave,
                Err(outcome) => return *outcome,
            }
        } else {
            shared.leave(&settings, &job)
        };
        let groups = if settings.rules.reroute() {
            Box::pin(shared.groups_by_rule(&settings, &job, leave.sources)).await
        } else {
            groups(&settings, &job, leave.sources)
        };
        let mut results: Vec<Option<RecipientResult>> = vec![None; job.recipients.len()];
        let mut feedback = Feedback::Unknown;
        let mut interrupted = false;
        let mut pace = if settings.pacing { Box::pin(shared.paced(&settings, &job)).await } else { None };
        let mut pushes = Vec::new();
        for group in groups {
            let mut trial = Trial::new(shared, &settings, &job, group, pace);
            trial.run().await;
            interrupted |= trial.interrupted();
            pace = trial.take_pace();
            feedback = worse(feedback, trial.feedback());
            pushes.extend_from_slice(trial.pushes());
            for result in trial.into_results() {
                if let Some(at) = job.recipients.iter().position(|r| r.key.index == result.index) {
                    results[at] = Some(result);
                }
            }
        }
        let results: Vec<RecipientResult> = results.into_iter().flatten().collect();
        shared.left(leave, &results);
        let push = if pushes.is_empty() { None } else { Box::pin(shared.push(&settings, &job, &pushes)).await };
        Outcome {
            interrupted,
            results,
            feedback: match feedback {
                Feedback::Healthy => SiteFeedback::Healthy,
                Feedback::Trouble => SiteFeedback::Trouble,
                Feedback::Unknown => SiteFeedback::Unknown,
            },
            push,
        }
    }

    async fn find(&self, lane: &Lane) -> Located {
        let settings = self.0.settings();
        let site = self.0.site(&settings, lane).await;
        if let Some(rule) = site.routed.rule {
            self.0.uses.mark(&settings.delivery.rules[rule].name, self.0.clock.now());
        }
        site.located
    }
}

/// The parts besides the store.
pub(super) struct Rest {
    pub runtime: Runtime,
    pub clock: Clock,
    pub metrics: Arc<Metrics>,
    pub resolver: Resolver,
    pub shutdown: Shutdown,
    /// Where notes, TLS policies and results are kept.
    pub shelf: Arc<dyn Memos>,
    /// Where MTA-STS policies come from.
    pub policy_host: Arc<dyn PolicyHost>,
    pub keys: KeyRing,
    pub per_recipient: Option<PerRecipient>,
    pub signing: Option<Signing>,
}

impl Deliver for Deliverer {
    fn deliver(&self, job: Job) -> Pin<Box<dyn Future<Output = Outcome> + Send + '_>> {
        Box::pin(self.run(job))
    }

    fn locate<'a>(&'a self, lane: &'a Lane) -> Pin<Box<dyn Future<Output = Located> + Send + 'a>> {
        Box::pin(self.find(lane))
    }
}

impl Shared {
    /// The configuration in force.
    pub(super) fn settings(&self) -> Arc<Settings> {
        self.settings.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn load_notes(&self) {
        let all = |kind| {
            self.tls.shelf.memos(kind, "", None, MEMOS_MAX).unwrap_or_else(|error| {
                log::warn!("notes of the deliverer could not be read: {error}; they begin anew");
                Vec::new()
            })
        };
        self.warm_ups.load(all(MemoKind::WarmUp), self.clock.now().day());
        self.uses.load(all(MemoKind::RuleUse));
    }

    async fn write_notes(&self, stopping: bool) {
        let shelf = &*self.tls.shelf;
        let now = self.clock.now();
        let changes = self.warm_ups.changes(now.day());
        if let Err(changes) = notes::write(shelf, changes).await {
            self.warm_ups.write_again(changes);
        }
        let changes = self.uses.changes(now, stopping);
        if let Err(changes) = notes::write(shelf, changes).await {
            self.uses.write_again(&changes);
        }
    }

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

fn worse(a: Feedback, b: Feedback) -> Feedback {
    match (a, b) {
        (Feedback::Trouble, _) | (_, Feedback::Trouble) => Feedback::Trouble,
        (Feedback::Healthy, _) | (_, Feedback::Healthy) => Feedback::Healthy,
        (Feedback::Unknown, Feedback::Unknown) => Feedback::Unknown,
    }
}
