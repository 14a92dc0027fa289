//! The HTTP side of the daemon: the page and machine endpoints on TCP, the operator's routes on the control socket.

use std::{
    io,
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use async_io::Async;

use crate::{
    config::{Config, InForce},
    http::{
        Http,
        daemon::{LaneActivity, Unready},
        front::{Duplex, Names, TlsAccept},
        live::Live,
    },
    net::tls::ReloadableServerConfig,
    runtime::{Runtime, Shutdown},
    schedule::task::Handle,
};

/// Destinations whose activity the page may ask for.
const ACTIVITY_MAX: usize = 1000;

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

/// The store's failure, for readiness.
pub fn trouble(store_failed: Arc<AtomicBool>) -> Box<dyn Fn() -> Option<Unready> + Send + Sync> {
    Box::new(move || {
        store_failed.load(Ordering::SeqCst).then(|| Unready::StoreFailed("a write or sync failed".to_owned()))
    })
}

/// By which names the page may be asked for.
pub fn names(config: &Config) -> Names {
    Names { public_url: config.http.public_url.clone(), proxy_networks: config.http.proxy_networks.clone() }
}

fn acceptor(tls: ReloadableServerConfig) -> TlsAccept {
    Arc::new(move |stream: Async<TcpStream>| {
        let tls = tls.clone();
        Box::pin(async move { Ok(Box::new(tls.accept(stream).await?) as Box<dyn Duplex>) })
    })
}
