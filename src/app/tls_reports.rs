//! Starts the daily TLS reports, with the daemon's doors as their ways out.

use std::sync::Arc;

use crate::{
    budget::Budget,
    clock::Clock,
    config::InForce,
    intake::submit::Door,
    metrics::Metrics,
    net::{dns::Resolver, https::Client, tls::Trust},
    runtime::{Runtime, Shutdown},
    store::Store,
    tls_report::{
        outbox::{Https, Outbox},
        send,
    },
};

/// What they need of the daemon.
pub(super) struct Parts {
    pub(super) runtime: Runtime,
    pub(super) store: Store,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    pub(super) shutdown: Shutdown,
    pub(super) config: InForce,
    pub(super) door: Door,
    pub(super) budget: Budget,
    pub(super) resolver: Resolver,
}

/// Starts their task. Reads the system's root certificates.
pub(super) fn start(parts: Parts) {
    let Parts { runtime, store, clock, metrics, shutdown, config, door, budget, resolver } = parts;
    let client =
        Client::new(Trust::System).map_err(|error| log::warn!("TLS reports cannot be sent by HTTPS: {error}")).ok();
    let https = Https { client, resolver: resolver.clone(), config: config.clone() };
    let ways = Outbox { door, budget, resolver, https };
    send::start(send::Parts { runtime, memory: store, clock, metrics, shutdown, ways, config });
}
