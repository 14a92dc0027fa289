//! The HTTP room: the status page, the machine endpoints, and the routes that the command line calls.
//!
//! ```text
//! browser, Prometheus ── TCP ──┐
//!                              ├─► front (limits, Host, door) ─ http.sock ─► server (tiny_http) ─► route ─► daemon
//! hikyaku queue, log … ─ control.sock ─┘
//! recipients' mail programs ── TCP ─► front ─ unsubscribe.sock ─► server ─► one_click (reaches nothing of the above)
//! ```
//!
//! Always: everything that a stranger sends is bounded and checked in `front` and `relay` before it reaches the one
//! `tiny_http` in `server`; no worker of the server waits for a reader (`large`); the door by which a request came is set by the front and cannot be forged; routes are plain
//! functions from [`exchange::Request`] to [`exchange::Response`].

pub mod api;
/// Times for people: a room of its own, since webhooks print them too.
pub use crate::when;

pub mod archive;
mod bodies;
pub mod chart;
mod client;
pub mod console;
pub mod control;
pub mod daemon;
pub mod day_sums;
pub mod domain_status;
pub mod download;
pub mod exchange;
pub mod front;
pub mod health;
mod large;
pub mod live;
pub mod login_words;
pub mod metrics;
pub mod one_click;
pub mod owner_links;
pub mod queue_acts;
pub mod relay;
pub mod removal;
pub mod resources;
pub mod route;
pub mod rows;
mod rows_delivery;
pub mod rows_diagnose;
pub mod rows_keys;
pub mod rows_lists;
mod rows_log;
pub mod rows_said;
mod rows_users;
pub mod rows_webhooks;
pub mod server;
pub mod stats;
mod upstream;
pub mod views;
pub mod wire;
pub mod words;

use std::{io, net::TcpListener, path::Path, sync::Arc};

use async_io::Async;

use crate::{
    clock::Clock,
    http::{
        daemon::Daemon,
        front::{Front, Limits, Names, TlsAccept},
        server::Server,
    },
    runtime::{Runtime, Shutdown},
};

/// The private socket between front and server, in the data directory.
pub const SERVER_SOCKET: &str = "http.sock";
/// The operator's socket, in the data directory.
pub const CONTROL_SOCKET: &str = "control.sock";

/// The running room; dropped, its server stops (the listeners end with the shutdown).
pub struct Http {
    front: Front,
    _server: Server,
}

impl Http {
    /// Starts the server and serves the control socket in `data_dir` (0700, locked by the caller). The page follows with
    /// [`Http::serve`], so that the operator can ask before the world can.
    pub fn start(
        data_dir: &Path,
        daemon: Arc<dyn Daemon>,
        names: Names,
        clock: Clock,
        runtime: &Runtime,
        shutdown: &Shutdown,
    ) -> io::Result<Self> {
        let metrics = daemon.metrics();
        let answer = Arc::new(move |request: &exchange::Request| route::route(&*daemon, request));
        let server = Server::start(&data_dir.join(SERVER_SOCKET), answer, metrics, server::API_WORKERS)?;
        let front = Front::new(server.upstream(), Limits::default(), names, clock);
        let control = front::bind_control(&data_dir.join(CONTROL_SOCKET))?;
        let (serving, tasks, until) = (front.clone(), runtime.clone(), shutdown.clone());
        runtime.spawn("control-listener", async move { serving.serve_control(control, tasks, until).await });
        Ok(Http { front, _server: server })
    }

    /// Serves `[http].address`, which the caller has bound.
    pub fn serve(
        &self,
        listener: TcpListener,
        tls: Option<TlsAccept>,
        runtime: &Runtime,
        shutdown: &Shutdown,
    ) -> io::Result<()> {
        let listener = Async::new(listener)?;
        let (serving, tasks, until) = (self.front.clone(), runtime.clone(), shutdown.clone());
        runtime.spawn("http-listener", async move { serving.serve_tcp(listener, tls, tasks, until).await });
        Ok(())
    }

    /// Other names, at a reload.
    pub fn reconfigure(&self, names: Names) {
        self.front.reconfigure(names);
    }
}

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod fake_daemon_tests;
#[cfg(test)]
mod fake_domains_tests;
#[cfg(test)]
mod fake_glance_tests;
#[cfg(test)]
pub(crate) mod fake_lists_tests;
#[cfg(test)]
pub(crate) mod fake_overview;
#[cfg(test)]
mod front_tests;
#[cfg(test)]
pub(crate) mod rig;
