//! The HTTP side of the daemon: the page and machine endpoints on TCP, the operator's routes on the control socket.

use std::{
    io,
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_io::{Async, Timer};
use smol::future::FutureExt;

use crate::{
    clock::Clock,
    config::{Config, InForce, Mode},
    deliver::{
        attempt::Deliverer,
        counted::{RuleUse, WarmUpState},
    },
    http::{
        Http,
        api::emails::keys::Keys,
        daemon::{LaneActivity, Unready},
        front::{Duplex, Names, TlsAccept},
        live::{Ask, Live},
    },
    net::{dns::Resolver, tls::ReloadableServerConfig},
    runtime::{Runtime, Shutdown, Stage},
    schedule::task::Handle,
    store::Store,
};

/// Destinations whose activity the page may ask for.
const ACTIVITY_MAX: usize = 1000;

/// How often the resolvers are asked whether they validate: one may be exchanged under us.
const VALIDATION_EVERY: Duration = Duration::from_secs(600);

/// How often answers of the sending API that are past their time are looked for.
const KEYS_FORGOTTEN_EVERY: Duration = Duration::from_secs(3600);

/// What it needs beside the routes' own parts.
pub struct Parts {
    /// The config in force.
    pub config: InForce,
    /// Executor threads.
    pub runtime: Runtime,
    /// The stop token.
    pub shutdown: Shutdown,
    /// The certificate, for `http.tls`.
    pub tls: Option<ReloadableServerConfig>,
}

/// Opens the control socket and the HTTP listener and serves them.
pub fn start(parts: &Parts, daemon: Live) -> io::Result<Http> {
    let config = parts.config.get();
    let Parts { runtime, shutdown, .. } = parts;
    let listener = TcpListener::bind(config.http.address).map_err(|error| {
        let text =
            format!("http.address {}: {error}; is another daemon running? Change http.address", config.http.address);
        io::Error::new(error.kind(), text)
    })?;
    let clock = daemon.clock.clone();
    let http = Http::start(&config.server.data_dir, Arc::new(daemon), names(&config), clock, runtime, shutdown)?;
    let tls = if config.http.tls { parts.tls.clone().map(acceptor) } else { None };
    http.serve(listener, tls, runtime, shutdown)?;
    log::info!("http={} act=start", config.http.public_url);
    Ok(http)
}

/// What the scheduler does now, for the page.
pub fn activity(scheduler: Handle) -> Box<dyn Fn() -> Vec<LaneActivity> + Send + Sync> {
    Box::new(move || {
        scheduler
            .snapshot(ACTIVITY_MAX)
            .into_iter()
            .map(|view| LaneActivity {
                lane: view.lane.to_string(),
                running: u32::try_from(view.in_flight).unwrap_or(u32::MAX),
                paused_until: view.probe_at,
            })
            .collect()
    })
}

/// Tells the scheduler which destinations are paused, as the store has it.
pub fn pauses(store: Store, scheduler: Handle) -> Ask<()> {
    Box::new(move || match store.pauses() {
        Ok(pauses) => scheduler.set_pauses(pauses),
        Err(error) => log::error!("act=queue.pause error=\"{error}\" what=\"the pauses in force stay as they were\""),
    })
}

/// How far new source addresses have come.
pub fn warm_ups(deliverer: Option<Arc<Deliverer>>) -> Ask<Vec<WarmUpState>> {
    Box::new(move || deliverer.as_ref().map(|d| d.warm_ups()).unwrap_or_default())
}

/// When each delivery-speed rule last applied.
pub fn rule_uses(deliverer: Option<Arc<Deliverer>>) -> Ask<Vec<RuleUse>> {
    Box::new(move || deliverer.as_ref().map(|d| d.rule_uses()).unwrap_or_default())
}

/// Asks the resolvers again and again whether they validate DNSSEC, where DANE depends on it.
pub async fn try_validation(resolver: Resolver, config: InForce) {
    loop {
        let now = config.get();
        if now.delivery.mode == Mode::Internet && now.delivery.dane {
            let before = resolver.validation();
            let found = resolver.try_validation().await;
            if found != before {
                log::info!("dnssec={:?} what={:?}", found, resolver.validation_words());
            }
        }
        Timer::after(VALIDATION_EVERY).await;
    }
}

/// Forgets answers of the sending API that nobody may ask for any more.
pub async fn forget_keys(keys: Keys, clock: Clock, shutdown: Shutdown) {
    while shutdown.stage() == Stage::Running {
        match keys.prune(clock.now()).await {
            Ok(0) => {}
            Ok(gone) => log::info!("act=idempotency forgotten={gone}"),
            Err(error) => log::warn!("act=idempotency error=\"{error}\""),
        }
        let pause = async {
            Timer::after(KEYS_FORGOTTEN_EVERY).await;
        };
        pause.or(shutdown.drained()).await;
    }
}

/// The store's failure, for readiness.
pub fn trouble(store_failed: Arc<AtomicBool>) -> Box<dyn Fn() -> Option<Unready> + Send + Sync> {
    Box::new(move || {
        store_failed.load(Ordering::SeqCst).then(|| Unready::StoreFailed("a write or sync failed".to_owned()))
    })
}

/// By which names the page may be asked for.
pub fn names(config: &Config) -> Names {
    Names {
        public_url: config.http.public_url.clone(),
        proxy_networks: config.http.proxy_networks.clone(),
        has_secrets: true,
    }
}

/// A TLS handshake with the daemon's certificate, as it is at that moment.
pub fn acceptor(tls: ReloadableServerConfig) -> TlsAccept {
    Arc::new(move |stream: Async<TcpStream>| {
        let tls = tls.clone();
        Box::pin(async move { Ok(Box::new(tls.accept(stream).await?) as Box<dyn Duplex>) })
    })
}
