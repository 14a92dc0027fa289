//! Starts the webhooks, with the daemon's resolver and the system's roots as their way out.

use std::sync::Arc;

use crate::{
    clock::Clock,
    config::InForce,
    metrics::Metrics,
    net::{dns::Resolver, https::Client, tls::Trust},
    runtime::{Runtime, Shutdown},
    store::{Store, StoreError},
    webhook::{self, Webhooks, sender::Ways},
};

/// What they need of the daemon.
pub(super) struct Parts {
    pub(super) runtime: Runtime,
    pub(super) store: Store,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    pub(super) shutdown: Shutdown,
    pub(super) config: InForce,
    pub(super) ways: Ways,
}

/// The way out of posts. Reads the system's root certificates.
pub(super) fn ways(resolver: Resolver, clock: Clock, config: InForce) -> Ways {
    let client = Client::new(Trust::System).map_err(|error| log::warn!("webhooks cannot be posted: {error}")).ok();
    Ways { client, resolver, clock, config }
}

/// Starts their tasks.
pub(super) fn start(parts: Parts) -> Result<Webhooks, StoreError> {
    let Parts { runtime, store, clock, metrics, shutdown, config, ways } = parts;
    Webhooks::start(webhook::Parts { runtime, store, clock, metrics, shutdown, config, ways })
}
