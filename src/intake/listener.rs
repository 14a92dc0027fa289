//! Listening sockets: who comes in is given a place on the board, or told at once that there is none.
//!
//! Always: an accept error never ends a listener; a connection over a limit costs one write and no task of its own.

use std::{
    io,
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    time::Duration,
};

use async_io::Async;
use smol::{Timer, future::FutureExt, io::AsyncReadExt};

use crate::{
    account::Accounts,
    budget::Budget,
    clock::Clock,
    config::{Config, InForce, Listener, Role},
    mail::trace::TraceKey,
    metrics::Metrics,
    net::{
        server::{self, Socket},
        tls::ReloadableServerConfig,
    },
    runtime::{Runtime, Shutdown},
    store::Store,
};

use super::{
    inbound::Inbound,
    policy, proxy, session,
    submit::Door,
    sweep::{Board, Crowded, Limits, SWEEP_INTERVAL},
};

/// After an accept error (out of files, usually) the listener rests this long: sessions end meanwhile.
const ACCEPT_REST: Duration = Duration::from_millis(200);

/// A PROXY header comes with the connection; it has this long.
const PROXY_TIMEOUT: Duration = Duration::from_secs(10);

/// What every session needs; one a process.
pub struct Entrance {
    /// Executor threads.
    pub runtime: Runtime,
    /// The stop token.
    pub shutdown: Shutdown,
    /// The config in force.
    pub config: InForce,
    /// The time.
    pub clock: Clock,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Sessions and their deadlines.
    pub board: Board,
    /// Memory for bodies.
    pub budget: Budget,
    /// The store, for large bodies.
    pub store: Store,
    /// Logins.
    pub accounts: Accounts,
    /// The door.
    pub door: Door,
    /// The certificate, where a listener needs one.
    pub tls: Option<ReloadableServerConfig>,
    /// Keys the trace line that stands for hidden hops.
    pub trace_key: TraceKey,
    /// What is behind inbound listeners.
    pub inbound: Inbound,
}

/// A listener of the config and its socket.
pub type Bound = (Arc<Listener>, Async<TcpListener>);

/// Opens all listening sockets. The error names the address.
pub fn bind(listeners: &[Listener]) -> Result<Vec<Bound>, (SocketAddr, io::Error)> {
    listeners
        .iter()
        .map(|l| match server::listen(l.address) {
            Ok(socket) => Ok((Arc::new(l.clone()), socket)),
            Err(error) => Err((l.address, error)),
        })
        .collect()
}

/// Accepts on bound listeners until the drain begins, and keeps the deadlines of sessions.
pub fn start(entrance: &Arc<Entrance>, bound: Vec<Bound>) {
    for (listener, socket) in bound {
        let entrance_of_task = entrance.clone();
        entrance.runtime.spawn("listener", async move {
            let stop = entrance_of_task.shutdown.clone();
            accept_all(&entrance_of_task, listener, socket).or(stop.drained()).await;
        });
    }
    let board = entrance.board.clone();
    entrance.runtime.spawn("sweep", async move {
        loop {
            Timer::after(SWEEP_INTERVAL).await;
            board.sweep();
        }
    });
}

async fn accept_all(entrance: &Arc<Entrance>, listener: Arc<Listener>, socket: Async<TcpListener>) {
    loop {
        match socket.accept().await {
            Ok((stream, peer)) => welcome(entrance, &listener, stream, peer),
            Err(error) => {
                log::error!("listener={} act=accept error=\"{error}\"", listener.address);
                Timer::after(ACCEPT_REST).await;
            }
        }
    }
}

fn welcome(entrance: &Arc<Entrance>, listener: &Arc<Listener>, stream: Async<TcpStream>, peer: SocketAddr) {
    entrance.metrics.sessions_total.one();
    let config = entrance.config.get();
    let socket = Socket::new(stream);
    let address = peer.ip().to_canonical();
    let mut limits = limits(&config, listener.role);
    if listener.proxy_protocol {
        if !policy::contains(&listener.proxy_networks, address) {
            log::warn!("listener={} source={address} refused=\"not of proxy_networks\"", listener.address);
            return;
        }
        limits.per_address_max = usize::MAX;
    }
    let place = match entrance.board.enter(socket.clone(), listener.role, address, limits) {
        Ok(place) => place,
        Err(crowded) => return turn_away(entrance, &config, &socket, address, crowded),
    };
    let entrance_of_task = entrance.clone();
    let listener = listener.clone();
    entrance.runtime.spawn("session", async move {
        let entrance = entrance_of_task;
        entrance.metrics.sessions.up();
        if listener.proxy_protocol {
            Box::pin(proxied(&entrance, listener, socket, place)).await;
        } else {
            session::run(entrance.clone(), listener, socket, address, place).await;
        }
        entrance.metrics.sessions.down();
    });
}

/// Reads who the client really is, then gives it a place under its own address.
async fn proxied(
    entrance: &Arc<Entrance>,
    listener: Arc<Listener>,
    mut socket: Socket,
    place: Arc<super::sweep::Place>,
) {
    let proxy = place.address();
    let header = async { read_proxy_header(&mut socket).await }.or(async {
        Timer::after(PROXY_TIMEOUT).await;
        None
    });
    let Some(client) = header.await else {
        log::warn!("listener={} source={proxy} refused=\"no valid PROXY header\"", listener.address);
        return;
    };
    let address = client.unwrap_or(proxy).to_canonical();
    drop(place);
    let config = entrance.config.get();
    match entrance.board.enter(socket.clone(), listener.role, address, limits(&config, listener.role)) {
        Ok(place) => session::run(entrance.clone(), listener, socket, address, place).await,
        Err(crowded) => turn_away(entrance, &config, &socket, address, crowded),
    }
}

/// Byte by byte, so that not one of the client's own bytes (a TLS hello, perhaps) is taken.
async fn read_proxy_header(socket: &mut Socket) -> Option<Option<IpAddr>> {
    let mut bytes = Vec::new();
    while bytes.len() < proxy::HEADER_BYTES_MAX {
        let mut one = [0u8];
        if socket.read(&mut one).await.ok()? == 0 {
            return None;
        }
        bytes.push(one[0]);
        match proxy::read(&bytes) {
            proxy::Header::Incomplete => {}
            proxy::Header::Complete { client, .. } => return Some(client),
            proxy::Header::Bad => return None,
        }
    }
    None
}

fn limits(config: &Config, role: Role) -> Limits {
    let sessions_max = match role {
        Role::Relay => config.relay.sessions_max,
        Role::Inbound => config.inbound.sessions_max,
    };
    let per_address_max = match config.relay.sessions_per_address_max {
        0 => sessions_max,
        n => n.min(sessions_max),
    };
    Limits { sessions_max, per_address_max }
}

fn turn_away(entrance: &Entrance, config: &Config, socket: &Socket, address: IpAddr, crowded: Crowded) {
    entrance.metrics.sessions_refused.one();
    let why = match crowded {
        Crowded::All => "Too many sessions are open here",
        Crowded::Address => "Too many sessions are open from your address",
    };
    log::warn!("session source={address} refused=\"{why}\"");
    // One try: a peer that does not take a line at once is not worth a task.
    socket.send_now(format!("421 4.7.0 {} {why}, try again later\r\n", config.server.hostname).as_bytes());
    socket.close_both();
}
