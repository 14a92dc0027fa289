//! Starts the daily look at the domains, with the daemon's resolver, keys and webhooks.

use std::sync::Arc;

use crate::{
    clock::Clock,
    config::InForce,
    doctor::{
        self, Doctor,
        policy::PolicyHosts,
        round::{self, Rounds},
    },
    net::{dns::Resolver, tls::Trust},
    runtime::{Runtime, Shutdown},
    signing::Keyring,
    store::Store,
    webhook::outbox::Outbox,
};

/// What it needs of the daemon.
pub(super) struct Parts {
    pub runtime: Runtime,
    pub store: Store,
    pub clock: Clock,
    pub shutdown: Shutdown,
    pub config: InForce,
    pub resolver: Resolver,
    pub keys: Keyring,
    /// Where changes are written for webhooks.
    pub outbox: Arc<Outbox>,
}

/// Starts its task.
pub(super) fn start(parts: Parts) -> Rounds {
    let Parts { runtime, store, clock, shutdown, config, resolver, keys, outbox } = parts;
    let doctor = Doctor::new(doctor::Parts {
        clock: clock.clone(),
        dns: Arc::new(resolver),
        policies: Arc::new(PolicyHosts::new(Trust::System)),
        config: config.clone(),
        keys,
        memos: Arc::new(store.clone()),
    });
    let parts = round::Parts { memory: store, clock, config, check: Arc::new(doctor), tell: Some(outbox) };
    Rounds::start(parts, &runtime, shutdown)
}
