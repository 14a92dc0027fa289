//! The composition root: a config becomes a running daemon, and a running daemon stops without losing anything.
//!
//! Start: lock → store → control socket and HTTP → SMTP listeners → READY=1.
//! Stop: close listeners → 421 at the next command, content on its way may finish → running deliveries get their time →
//! verdicts are committed → clean-stop mark. A second SIGTERM cuts at once. A failed write or sync ends the process
//! with exit code 1: the kernel may have dropped the pages, so nothing is written again (P2).

mod daemon;
mod dmarc;
mod doctor;
mod explain;
mod inbound;
pub(crate) mod lock;
mod reload;
mod set_up;
mod systemd;
mod tls_reports;
mod unsubscribe;
mod web;
mod webhooks;

use std::{path::PathBuf, time::Duration};

use async_signal::{Signal, Signals};
use smol::{Timer, future::FutureExt, stream::StreamExt};

use crate::{
    config::{Config, Problem},
    runtime::Stage,
};

pub use daemon::Daemon;

/// After sockets were cut, tasks have this long to notice.
const CUT_GRACE: Duration = Duration::from_secs(3);

/// After a failed write, sessions have this long to tell their clients 451.
const FAILURE_GRACE: Duration = Duration::from_secs(2);

/// What `serve` starts with.
#[derive(Debug)]
pub struct Started {
    /// The config.
    pub config: Config,
    /// Its file; `None`: the demo.
    pub config_path: Option<PathBuf>,
    /// The safe demo.
    pub demo: bool,
    /// What `check` would warn of.
    pub warnings: Vec<Problem>,
}

/// Why the run ended.
enum End {
    /// SIGTERM or SIGINT.
    Asked,
    /// The store failed, with the reason.
    StoreFailed(String),
}

/// Runs the daemon until it is told to stop; answers the exit code.
pub fn run(started: Started) -> u8 {
    raise_file_limit();
    for warning in &started.warnings {
        log::warn!("config {warning}");
    }
    let demo = started.demo;
    let daemon = match Daemon::start(started) {
        Ok(daemon) => daemon,
        Err(error) => {
            log::error!("act=start error=\"{error}\"");
            return 1;
        }
    };
    if demo {
        announce_demo(&daemon);
    }
    set_up::announce(&daemon);
    systemd::ready("Taking mail");
    systemd::watch(daemon.runtime(), daemon.store().clone(), daemon.clock().clone());
    async_io::block_on(attend(&daemon))
}

/// Waits for signals and for the store's failure.
async fn attend(daemon: &Daemon) -> u8 {
    let mut signals = match Signals::new([Signal::Term, Signal::Int, Signal::Hup]) {
        Ok(signals) => signals,
        Err(error) => {
            log::error!("act=start error=\"signals cannot be caught: {error}\"");
            return 1;
        }
    };
    let end = loop {
        let signal = async { Ok(signals.next().await) };
        let failed = async { Err(daemon.store().failed().await) };
        match failed.or(signal).await {
            Err(reason) => break End::StoreFailed(reason),
            Ok(Some(Ok(Signal::Hup))) => {
                systemd::reloading();
                daemon.reload().await;
                set_up::announce(daemon);
                systemd::ready("Taking mail");
            }
            Ok(Some(Ok(signal))) => {
                // First done, then told: whoever reads the line finds the doors closed.
                daemon.stop_taking();
                log::info!("act=stop signal={signal:?} drain_timeout_s={}", daemon.drain_timeout().as_secs());
                break End::Asked;
            }
            Ok(Some(Err(error))) => log::error!("act=signal error=\"{error}\""),
            Ok(None) => break End::Asked,
        }
    };
    systemd::stopping();
    match end {
        End::Asked => drain(daemon, &mut signals).await,
        End::StoreFailed(reason) => {
            log::error!(
                "act=stop error=\"{reason}\" hint=\"nothing more is written; everything that was answered 250 is on disk; \
                 look at the disk, then start again\""
            );
            daemon.note_store_failure();
            daemon.stop_taking();
            Timer::after(FAILURE_GRACE).await;
            1
        }
    }
}

async fn drain(daemon: &Daemon, signals: &mut Signals) -> u8 {
    daemon.stop_taking();
    let calm = async { daemon.calm().await };
    let late = async {
        Timer::after(daemon.drain_timeout()).await;
        log::warn!("act=stop what=\"drain_timeout is over; open connections are cut\"");
    };
    let impatient = async {
        loop {
            if let Some(Ok(Signal::Term | Signal::Int)) = signals.next().await {
                log::warn!("act=stop what=\"asked a second time; open connections are cut\"");
                return;
            }
        }
    };
    calm.or(late).or(impatient).await;
    if daemon.shutdown().stage() < Stage::Cutting {
        daemon.cut();
    }
    let grace = async {
        Timer::after(CUT_GRACE).await;
    };
    async { daemon.calm().await }.or(grace).await;
    daemon.flush().await;
    match daemon.store().stop().await {
        Ok(()) => {
            log::info!("act=stop result=clean");
            0
        }
        Err(error) => {
            log::error!("act=stop error=\"{error}\"");
            1
        }
    }
}

/// Ten thousand sessions need as many files: the soft limit is raised to the hard one.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
    {
        log::warn!("act=start what=\"the limit of open files could not be raised\" error=\"{error}\"");
    }
}

fn announce_demo(daemon: &Daemon) {
    let config = daemon.config();
    let smtp = config.listeners.first().map_or_else(String::new, |l| l.address.to_string());
    log::info!(
        "demo: no config file was found, so this is the safe demo. Nothing leaves this machine. Send mail to {smtp}, \
         watch it at {}, read `hikyaku log deliveries`. Data: {}",
        config.http.public_url,
        config.server.data_dir.display()
    );
}
