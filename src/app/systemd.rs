//! What the service manager hears and asks: readiness, reload, stop, and the watchdog.
//!
//! Always: the watchdog's ping makes a round trip through the writer and the executor: a daemon that only looks alive is
//! restarted. Source: sd_notify(3), sd_watchdog_enabled(3).

use std::time::Duration;

use sd_notify::NotifyState;
use smol::{Timer, future::FutureExt};

use crate::{clock::Clock, runtime::Runtime, store::Store};

/// The daemon takes mail.
pub fn ready(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// A reload begins (`Type=notify` with `ExecReload` needs no more than this and [`ready`] after it).
pub fn reloading() {
    notify(&[NotifyState::Reloading]);
}

/// A stop begins.
pub fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// Answers the watchdog at half its period, while the writer answers us.
pub fn watch(runtime: &Runtime, store: Store, clock: Clock) {
    let Some(period) = sd_notify::watchdog_enabled() else { return };
    let beat = (period / 2).max(Duration::from_millis(100));
    runtime.spawn("watchdog", async move {
        loop {
            let began = clock.instant();
            let answered = async { store.ping().await.is_ok() }
                .or(async {
                    Timer::after(beat).await;
                    false
                })
                .await;
            if answered {
                notify(&[NotifyState::Watchdog]);
            } else {
                log::error!("act=watchdog error=\"the writer did not answer within {} ms\"", beat.as_millis());
            }
            Timer::after(beat.saturating_sub(clock.instant().duration_since(began))).await;
        }
    });
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        log::warn!("act=notify error=\"{error}\"");
    }
}
