//! The task of one endpoint, how it is woken and ordered about, and when it ends.
//!
//! In: the bell, the operator's orders.  Out: a [`Worker`] at work.
//! Always: after a failure of the store, and after a panic, the work begins anew with what is stored; the task ends when its
//! endpoint is not in the config any more, or when the shutdown drains, and never otherwise.

use std::{sync::Arc, time::Duration};

use smol::{Timer, channel, future::FutureExt};

use super::{Shared, worker::Worker};
use crate::{runtime::Stage, store::StoreError};

/// After a failure of the store.
const STORE_WAIT: Duration = Duration::from_secs(5);
/// Orders that wait.
const ORDERS: usize = 8;
/// How long an endpoint that left the config keeps its place.
pub(super) const KEPT: Duration = Duration::from_secs(3 * 86_400);

/// What the operator orders.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Order {
    /// Post everything behind this number again.
    From(u64),
    /// Post again what was set aside.
    Parked,
    /// Post again what is between two numbers, both included.
    Range {
        /// In the outbox of the suppression list, else in the log.
        list: bool,
        first: u64,
        last: u64,
    },
    /// Post nothing until it is resumed; who says so.
    Pause(String),
    /// Try at once.
    Resume,
}

pub(super) type Answer = channel::Sender<Result<u64, StoreError>>;

/// Wakes the task and orders it about.
pub(super) struct Bell {
    ring: channel::Sender<()>,
    orders: channel::Sender<(Order, Answer)>,
}

/// What the task hears.
#[derive(Clone)]
pub(super) struct Ears {
    pub(super) ring: channel::Receiver<()>,
    pub(super) orders: channel::Receiver<(Order, Answer)>,
}

/// A bell and who hears it.
pub(super) fn bell() -> (Bell, Ears) {
    let ((ring, rung), (orders, ordered)) = (channel::bounded(1), channel::bounded(ORDERS));
    (Bell { ring, orders }, Ears { ring: rung, orders: ordered })
}

impl Bell {
    pub(super) fn ring(&self) {
        // A full bell rings already.
        let _ = self.ring.try_send(());
    }

    /// The answer comes when the task has carried it out; `None`: too many wait.
    pub(super) fn order(&self, order: Order) -> Option<channel::Receiver<Result<u64, StoreError>>> {
        let (give, wait) = channel::bounded(1);
        self.orders.try_send((order, give)).ok()?;
        self.ring();
        Some(wait)
    }
}

/// Follows the streams until the endpoint leaves the config or the shutdown drains; begins anew after a panic.
pub(super) async fn run(shared: Arc<Shared>, name: String, ears: Ears) {
    let Some(runtime) = shared.runtime.clone() else { return };
    while runtime.task("webhook", attend(shared.clone(), name.clone(), ears.clone())).await.is_none() {
        Timer::after(STORE_WAIT).await;
    }
    let _ = shared.stopped.0.try_send(());
}

async fn attend(shared: Arc<Shared>, name: String, ears: Ears) {
    loop {
        let ended = match Worker::load(&shared, &name, &ears).await {
            Ok(Some(mut worker)) => worker.work().await,
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = ended {
            if shared.shutdown.stage() == Stage::Running {
                log::error!("webhook={name:?} what=\"the store failed; it is tried again\" error=\"{error}\"");
            }
            let wait = async {
                Timer::after(STORE_WAIT).await;
            };
            wait.or(shared.shutdown.drained()).await;
        }
        if leave(&shared, &name) {
            return;
        }
    }
}

/// Gives the task up, unless the endpoint is back in the config.
fn leave(shared: &Shared, name: &str) -> bool {
    let mut running = shared.running();
    let wanted = shared.config.get().webhooks.iter().any(|hook| hook.name == name);
    let ends = !wanted || shared.shutdown.stage() != Stage::Running;
    if ends {
        running.remove(name);
    }
    ends
}
