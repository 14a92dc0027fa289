//! The webhooks' way out: the daemon's resolver and the system's roots.

use crate::{
    clock::Clock,
    config::InForce,
    net::{dns::Resolver, https::Client, tls::Trust},
    webhook::sender::Ways,
};

/// The way out of posts. Reads the system's root certificates.
pub(super) fn ways(resolver: Resolver, clock: Clock, config: InForce) -> Ways {
    let client = Client::new(Trust::System).map_err(|error| log::warn!("webhooks cannot be posted: {error}")).ok();
    Ways { client, resolver, clock, config }
}
