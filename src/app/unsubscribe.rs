//! One-click unsubscription, put together: its links in mail that leaves, its endpoint, its list.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
};

use crate::{
    app::web,
    bounce::keys::KeyRing,
    clock::Clock,
    config::{Config, InForce},
    deliver::envelope::PerRecipient,
    http::one_click::{self, Live, OneClick},
    metrics::Metrics,
    net::tls::ReloadableServerConfig,
    runtime::{Runtime, Shutdown},
    store::Store,
    unsubscribe::{links::Links, list::Unsubscribes},
};

/// What it needs of the daemon.
pub(super) struct Parts {
    pub(super) runtime: Runtime,
    pub(super) store: Store,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    pub(super) shutdown: Shutdown,
    pub(super) config: InForce,
    pub(super) keys: KeyRing,
    pub(super) tls: Option<ReloadableServerConfig>,
}

/// Opens the endpoint's port, if it has one.
pub(super) fn bind(config: &Config) -> io::Result<Option<TcpListener>> {
    let bind = |address: SocketAddr| {
        TcpListener::bind(address).map_err(|error| {
            let text = format!("unsubscribe.address {address}: {error}; change unsubscribe.address");
            io::Error::new(error.kind(), text)
        })
    };
    config.unsubscribe.address.map(bind).transpose()
}

/// What stands before a message of a list, for each recipient.
pub(super) fn per_recipient(config: InForce, keys: KeyRing) -> PerRecipient {
    let links = Links::new(config, Arc::new(keys));
    Arc::new(move |message, recipient| links.for_recipient(message, recipient))
}

/// Serves the endpoint on a port that was bound.
pub(super) fn start(parts: Parts, listener: TcpListener) -> io::Result<OneClick> {
    let Parts { runtime, store, clock, metrics, shutdown, config, keys, tls } = parts;
    let now = config.get();
    let leave = Live {
        links: Links::new(config.clone(), Arc::new(keys)),
        list: Unsubscribes::new(store, clock.clone(), config.clone()),
        config,
    };
    let tls = tls.filter(|_| now.unsubscribe.tls).map(web::acceptor);
    let parts = one_click::Parts { metrics, clock, runtime, shutdown };
    let names = one_click::names(&now);
    let endpoint = OneClick::start(parts, Arc::new(leave), names, listener, tls, &now.server.data_dir)?;
    log::info!("unsubscribe={} act=start", now.unsubscribe.public_url);
    Ok(endpoint)
}
