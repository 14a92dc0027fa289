//! The running daemon: its parts, put together in the order of start, and what a stop and a reload do to them.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::{
    account::{Accounts, reset_mail},
    app::{Started, dmarc, doctor, explain::Deciders, inbound, lock, reload, tls_reports, unsubscribe, web, webhooks},
    bounce::{classify, keys, notice},
    budget::Budget,
    clock::Clock,
    config::{Config, InForce, ListenerTls, Mode},
    deliver::{
        attempt::{Deliverer, DelivererParts},
        job::Deliver,
        sandbox::SandboxDeliver,
        streams::Streams,
    },
    diagnose::{self, Diagnoser},
    http::{
        Http,
        api::emails::{Posting, keys::Keys},
        live::Live,
        one_click::OneClick,
        owner_links::OwnerLinks,
        views::Views,
    },
    intake::{
        hand_in::HandIn,
        listener::{self, Entrance},
        notices::NoticeDoor,
        submit::Door,
        sweep::Board,
    },
    mail::trace::TraceKey,
    metrics::Metrics,
    net::{dns::Resolver, tls::ReloadableServerConfig},
    runtime::{Runtime, Shutdown},
    sandbox::Sandbox,
    schedule::task::{Handle, Parts, Scheduler, Settings},
    signing::{
        Keyring, Signer, Signing,
        rotate::{self, Rotation},
    },
    store::{Archive, RetentionPeriods, Store, StoreOptions},
    suppress::{self, Suppressions},
    tls_report::receive::Receiver,
    unsubscribe::list::Unsubscribes,
    webhook::{
        self, Webhooks,
        inbound_deliver::{self, ByLane, Poster},
    },
};

/// redb's cache, in bytes: a part of `memory_limit`.
const STORE_CACHE: u64 = 32 << 20;

/// Of a small `memory_limit`, this much is left to bodies and tickets at least.
const BUDGET_MIN: u64 = 16 << 20;

/// How often a stop looks whether the last session has gone.
const CALM_POLL: Duration = Duration::from_millis(20);

/// Why a daemon did not start; says what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StartError(String);

fn failed(what: impl std::fmt::Display) -> StartError {
    StartError(what.to_string())
}

/// A running daemon.
pub struct Daemon {
    pub(super) config: InForce,
    pub(super) config_path: Option<PathBuf>,
    pub(super) store: Store,
    pub(super) accounts: Accounts,
    pub(super) scheduler: Handle,
    pub(super) deliverer: Option<Arc<Deliverer>>,
    pub(super) signing_keys: Keyring,
    pub(super) rotation: Rotation,
    pub(super) resolver: Resolver,
    pub(super) suppressions: Suppressions,
    pub(super) webhooks: Webhooks,
    streams: Streams,
    pub(super) tls: Option<ReloadableServerConfig>,
    pub(super) http: Http,
    pub(super) one_click: Option<OneClick>,
    runtime: Runtime,
    shutdown: Shutdown,
    pub(super) clock: Clock,
    board: Board,
    store_failed: Arc<AtomicBool>,
    _lock: lock::Lock,
}

impl Daemon {
    /// Starts everything; when it returns, mail is taken.
    pub fn start(started: Started) -> Result<Daemon, StartError> {
        let config = started.config;
        let clock = Clock::system();
        let lock = lock::take(&config.server.data_dir).map_err(failed)?;
        let tls = server_tls(&config)?;
        // Sockets are bound early, so that a taken port is told before the store is opened; they are served last.
        let bound = listener::bind(&config.listeners).map_err(|(address, error)| {
            failed(format!("listener {address}: {error}; is another mail server running? Change listener.address"))
        })?;
        let unsubscribe_bound = unsubscribe::bind(&config).map_err(failed)?;
        let runtime = Runtime::start(config.server.threads).map_err(failed)?;
        let options = StoreOptions {
            data_dir: config.server.data_dir.clone(),
            clock: clock.clone(),
            disk_free_min: config.queue.disk_free_min,
            retention: retention(&config),
        };
        let opened = Store::open_archiving(options, archive(&config)).map_err(failed)?;
        let store = opened.store;
        if !opened.clean {
            log::warn!(
                "act=start what=\"the last process did not stop cleanly: what was due then is tried again, and marked as a possible duplicate\""
            );
        }
        let metrics = Arc::new(Metrics::default());
        let shutdown = Shutdown::new();
        let live = InForce::new(config);
        let config = live.get();
        let budget = Budget::new(budget_bytes(config.server.memory_limit));
        let accounts =
            Accounts::new(store.clone(), clock.clone(), metrics.clone(), &config.accounts).map_err(failed)?;
        accounts.start(&runtime, &shutdown);

        let resolver = Resolver::new(clock.clone(), metrics.clone(), &config.dns);
        // The rules of answers are made ready before the first failure asks for them.
        runtime.spawn("rules of answers", smol::unblock(classify::warm_up));
        let keys = async_io::block_on(keys::start(keys::Parts {
            runtime: runtime.clone(),
            store: store.clone(),
            clock: clock.clone(),
            shutdown: shutdown.clone(),
            config: live.clone(),
        }))
        .map_err(failed)?;
        let keyring = Keyring::new(&config);
        // Keys that were in force are so again before the first mail leaves.
        let rotation = async_io::block_on(Rotation::open(rotate::Parts {
            shelf: Arc::new(store.clone()),
            clock: clock.clone(),
            metrics: metrics.clone(),
            config: live.clone(),
            ring: keyring.clone(),
            eyes: Arc::new(resolver.clone()),
        }))
        .map_err(failed)?;
        let mut deliverer = None;
        let sandbox = Arc::new(Sandbox::open(&config.server.data_dir).map_err(failed)?);
        let deliver: Arc<dyn Deliver> = match config.delivery.mode {
            Mode::Sandbox => {
                Arc::new(SandboxDeliver::new(sandbox.clone(), store.clone(), clock.clone(), shutdown.clone()))
            }
            Mode::Internet | Mode::Smarthost => {
                let signer = Signer::start(config.dkim.threads, &clock, &metrics).map_err(failed)?;
                let parts = DelivererParts {
                    runtime: runtime.clone(),
                    store: store.clone(),
                    clock: clock.clone(),
                    metrics: metrics.clone(),
                    resolver: resolver.clone(),
                    shutdown: shutdown.clone(),
                    keys: keys.clone(),
                    per_recipient: Some(unsubscribe::per_recipient(live.clone(), keys.clone())),
                    signing: Some(Signing { keys: keyring.clone(), signer }),
                };
                let made = Arc::new(Deliverer::new(parts, &config));
                deliverer = Some(made.clone());
                made
            }
        };
        let ways = webhooks::ways(resolver.clone(), clock.clone(), live.clone());
        let deliver = Arc::new(ByLane {
            mail: deliver,
            posts: Poster::new(inbound_deliver::Parts {
                store: store.clone(),
                ways: ways.clone(),
                budget: budget.clone(),
                shutdown: shutdown.clone(),
            }),
        });
        async_io::block_on(reload::note_rules(&store, &config.delivery, clock.now()));
        let streams = Streams::default();
        streams.start(&runtime, &shutdown, Arc::new(store.clone()), clock.clone());
        let scheduler = Scheduler::start(
            Parts {
                runtime: runtime.clone(),
                store: store.clone(),
                clock: clock.clone(),
                metrics: metrics.clone(),
                shutdown: shutdown.clone(),
                deliver,
                budget: budget.clone(),
                streams: streams.clone(),
            },
            Settings::from(&*config),
        );
        let door = Door::new(
            store.clone(),
            scheduler.clone(),
            clock.clone(),
            metrics.clone(),
            live.clone(),
            keys.clone(),
            sandbox.clone(),
        );
        let notice_door = Arc::new(NoticeDoor::new(door.clone(), budget.clone()));
        let resets = reset_mail::start(reset_mail::Parts {
            runtime: runtime.clone(),
            shutdown: shutdown.clone(),
            accounts: accounts.clone(),
            clock: clock.clone(),
            config: live.clone(),
            door: notice_door.clone(),
        });
        notice::start(notice::Parts {
            runtime: runtime.clone(),
            store: store.clone(),
            clock: clock.clone(),
            metrics: metrics.clone(),
            shutdown: shutdown.clone(),
            door: notice_door,
            hostname: config.server.hostname.clone(),
        });
        // In the sandbox nothing goes out: there are no signatures, and no sessions to report on.
        if deliverer.is_some() {
            rotation.start(&runtime, shutdown.clone());
            tls_reports::start(tls_reports::Parts {
                runtime: runtime.clone(),
                store: store.clone(),
                clock: clock.clone(),
                metrics: metrics.clone(),
                shutdown: shutdown.clone(),
                config: live.clone(),
                door: door.clone(),
                budget: budget.clone(),
                resolver: resolver.clone(),
            });
        }
        let tls_receiver = Receiver::new(store.clone(), clock.clone(), metrics.clone());
        let monitor = dmarc::start(dmarc::Parts {
            runtime: runtime.clone(),
            store: store.clone(),
            clock: clock.clone(),
            metrics: metrics.clone(),
            shutdown: shutdown.clone(),
            config: live.clone(),
            dns: Arc::new(resolver.clone()),
            tls_reports: tls_receiver.clone(),
        });

        let store_failed = Arc::new(AtomicBool::new(false));
        runtime.spawn("dnssec", web::try_validation(resolver.clone(), live.clone()));
        let pauses_changed = web::pauses(store.clone(), scheduler.clone());
        pauses_changed();
        let kick = scheduler.clone();
        let webhooks = Webhooks::start(webhook::Parts {
            runtime: runtime.clone(),
            store: store.clone(),
            clock: clock.clone(),
            metrics: metrics.clone(),
            shutdown: shutdown.clone(),
            config: live.clone(),
            ways,
        })
        .map_err(failed)?;
        let suppressions = Suppressions::start(suppress::Parts {
            runtime: runtime.clone(),
            store: store.clone(),
            clock: clock.clone(),
            metrics: metrics.clone(),
            shutdown: shutdown.clone(),
            config: live.clone(),
            tell: Some(webhooks.outbox()),
        });
        let domain_checks = doctor::start(doctor::Parts {
            runtime: runtime.clone(),
            store: store.clone(),
            clock: clock.clone(),
            shutdown: shutdown.clone(),
            config: live.clone(),
            resolver: resolver.clone(),
            keys: keyring.clone(),
            outbox: webhooks.outbox(),
        });
        scheduler.on_failures({
            let suppressions = suppressions.clone();
            move || suppressions.kick()
        });
        let deciders = Deciders {
            config: live.clone(),
            store: store.clone(),
            deliverer: deliverer.clone(),
            scheduler: scheduler.clone(),
            clock: clock.clone(),
            keys: keys.clone(),
            signing_keys: keyring.clone(),
            suppressions: suppressions.clone(),
        };
        let unsubscribes = Unsubscribes::new(store.clone(), clock.clone(), live.clone());
        let trace_key = TraceKey::new(&trace_key(&config.server.data_dir).map_err(failed)?);
        let posting = Posting {
            hand_in: HandIn {
                door: door.clone(),
                store: store.clone(),
                config: live.clone(),
                clock: clock.clone(),
                budget: budget.clone(),
                trace_key: trace_key.clone(),
            },
            accounts: accounts.clone(),
            keys: Keys::new(store.clone()),
        };
        runtime.spawn("idempotency", web::forget_keys(posting.keys.clone(), clock.clone(), shutdown.clone()));
        let http = web::start(
            &web::Parts {
                config: live.clone(),
                runtime: runtime.clone(),
                shutdown: shutdown.clone(),
                tls: tls.clone(),
            },
            Live {
                clock: clock.clone(),
                started_at: clock.now(),
                config: live.clone(),
                store: store.clone(),
                accounts: accounts.clone(),
                sandbox,
                metrics: metrics.clone(),
                runtime: runtime.clone(),
                shutdown: shutdown.clone(),
                activity: web::activity(scheduler.clone()),
                kick: Arc::new(move || kick.kick()),
                pauses_changed,
                validation: Box::new({
                    let resolver = resolver.clone();
                    move || resolver.validation()
                }),
                diagnoser: Diagnoser::new(diagnose::Parts {
                    store: store.clone(),
                    clock: clock.clone(),
                    config: live.clone(),
                    suppressions: suppressions.clone(),
                    warm_ups: web::warm_ups(deliverer.clone()),
                    doctor: Some(Arc::new(domain_checks.clone())),
                }),
                warm_ups: web::warm_ups(deliverer.clone()),
                rule_uses: web::rule_uses(deliverer.clone()),
                explain: Box::new({
                    let deciders = deciders.clone();
                    move |query| deciders.explain(query)
                }),
                facts_of: Box::new(move |message, recipient, within| deciders.facts_of(message, recipient, within)),
                trouble: web::trouble(store_failed.clone()),
                tls_reports: tls_receiver.clone(),
                dmarc: monitor.clone(),
                suppressions: suppressions.clone(),
                unsubscribes: unsubscribes.clone(),
                webhooks: webhooks.clone(),
                domain_checks,
                backup_runs: Arc::default(),
                calls: Default::default(),
                posting,
                page_marks: Default::default(),
                signing_keys: rotation.clone(),
                resets,
                queue_acts: Default::default(),
                views: Views::new(Arc::new(store.clone())),
                troubles: Box::new({
                    let scheduler = scheduler.clone();
                    move |limit| scheduler.troubles(limit)
                }),
                streams: streams.clone(),
                budget: budget.clone(),
                owner_links: OwnerLinks::new(Arc::new(store.clone()), clock.clone()),
                day_sums: Default::default(),
            },
        )
        .map_err(failed)?;

        let endpoint = |listener| {
            let parts = unsubscribe::Parts {
                runtime: runtime.clone(),
                store: store.clone(),
                clock: clock.clone(),
                metrics: metrics.clone(),
                shutdown: shutdown.clone(),
                config: live.clone(),
                keys: keys.clone(),
                tls: tls.clone(),
            };
            unsubscribe::start(parts, listener)
        };
        let one_click = unsubscribe_bound.map(endpoint).transpose().map_err(failed)?;

        if let Some(tls) = &tls {
            runtime.spawn("certificates", tls.clone().watch());
        }
        let board = Board::new(clock.clone());
        let inbound = inbound::inbound(inbound::Parts {
            store: store.clone(),
            clock: clock.clone(),
            config: live.clone(),
            keys,
            metrics: metrics.clone(),
            door: door.clone(),
            budget: budget.clone(),
            trace_key: trace_key.clone(),
            tls_reports: tls_receiver,
            dmarc: monitor.keeper,
            on_returned: Box::new({
                let suppressions = suppressions.clone();
                move || suppressions.kick()
            }),
            unsubscribes: unsubscribes.clone(),
            dns: Arc::new(resolver.clone()),
        });
        let entrance = Arc::new(Entrance {
            runtime: runtime.clone(),
            shutdown: shutdown.clone(),
            config: live.clone(),
            clock: clock.clone(),
            metrics,
            board: board.clone(),
            budget,
            store: store.clone(),
            accounts: accounts.clone(),
            door,
            tls: tls.clone(),
            trace_key,
            inbound,
        });
        for l in &config.listeners {
            log::info!("listener={} role={:?} tls={:?} act=start", l.address, l.role, l.tls);
        }
        listener::start(&entrance, bound);
        Ok(Daemon {
            config: live,
            config_path: started.config_path,
            store,
            accounts,
            scheduler,
            deliverer,
            signing_keys: keyring,
            rotation,
            resolver,
            suppressions,
            webhooks,
            streams,
            tls,
            http,
            one_click,
            runtime,
            shutdown,
            clock,
            board,
            store_failed,
            _lock: lock,
        })
    }

    /// The executor.
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The time.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The config in force.
    pub fn config(&self) -> Arc<Config> {
        self.config.get()
    }

    /// The stop token.
    pub fn shutdown(&self) -> &Shutdown {
        &self.shutdown
    }

    /// How long a drain may take.
    pub fn drain_timeout(&self) -> Duration {
        self.config.get().server.drain_timeout
    }

    /// Reads the config file again and puts in force what can change without a restart.
    pub async fn reload(&self) {
        reload::reload(self).await;
    }

    /// No new connections, sessions hear 421 at their next command, no new attempts.
    pub fn stop_taking(&self) {
        self.shutdown.drain();
        self.board.drain();
    }

    /// The store failed: readiness says so from now on.
    pub fn note_store_failure(&self) {
        self.store_failed.store(true, Ordering::SeqCst);
    }

    /// Returns when the last session has gone and the last verdict is stored.
    pub async fn calm(&self) {
        while self.board.count() > 0 {
            self.board.sweep();
            smol::Timer::after(CALM_POLL).await;
        }
        self.scheduler.drained().await;
    }

    /// Writes what the rooms remember across restarts. Called once no attempt runs any more.
    pub async fn flush(&self) {
        if let Some(deliverer) = &self.deliverer {
            deliverer.flush().await;
        }
        self.streams.flush(&self.store).await;
        self.accounts.flush().await;
        self.webhooks.stopped().await;
    }

    /// Cuts every connection.
    pub fn cut(&self) {
        self.shutdown.cut();
        self.board.cut();
    }
}

/// Periods of `[retention]`, as the store takes them.
pub(super) fn retention(config: &Config) -> RetentionPeriods {
    RetentionPeriods {
        delivery_log: config.retention.delivery_log,
        error_log: config.retention.error_log,
        audit_log: config.retention.audit_log,
        message_bodies: config.retention.message_bodies,
    }
}

/// Where `[retention]` wants pruned rows.
pub(super) fn archive(config: &Config) -> Option<Archive> {
    let dir = config.retention.archive_dir.clone()?;
    Some(Archive { dir, time_zone: config.server.time_zone.clone() })
}

/// `memory_limit` less what redb's cache takes.
fn budget_bytes(memory_limit: u64) -> usize {
    usize::try_from(memory_limit.saturating_sub(STORE_CACHE).max(BUDGET_MIN)).unwrap_or(usize::MAX)
}

fn server_tls(config: &Config) -> Result<Option<ReloadableServerConfig>, StartError> {
    let needed =
        config.http.tls || config.unsubscribe.tls || config.listeners.iter().any(|l| l.tls != ListenerTls::None);
    match (&config.tls.certificate, &config.tls.private_key) {
        (Some(certificate), Some(key)) => ReloadableServerConfig::load(certificate, key).map(Some).map_err(failed),
        _ if needed => Err(failed("a listener needs TLS: set tls.certificate and tls.private_key")),
        _ => Ok(None),
    }
}

/// Octets of the key of our trace lines.
const TRACE_KEY_BYTES: usize = 32;

/// The key of our trace lines: made at the first start, kept in the data directory, so that a loop over a restart is found.
fn trace_key(data_dir: &Path) -> io::Result<[u8; TRACE_KEY_BYTES]> {
    let path = data_dir.join("trace.key");
    let mut key = [0; TRACE_KEY_BYTES];
    match fs::read(&path) {
        Ok(bytes) if bytes.len() == TRACE_KEY_BYTES => key.copy_from_slice(&bytes),
        Ok(_) => return Err(io::Error::other(format!("{}: is damaged; delete it, a new one is made", path.display()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            aws_lc_rs::rand::fill(&mut key).map_err(|_| io::Error::other("the system gives no random bytes"))?;
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
            file.write_all(&key)?;
            file.sync_all()?;
        }
        Err(error) => return Err(error),
    }
    Ok(key)
}
