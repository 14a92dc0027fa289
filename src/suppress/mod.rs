//! Who is no longer written to: errors are counted by following the log, thresholds suppress, people lift.
//!
//! In: the log, the settings, acts of people.  Out: the list that [`lookup`] asks.
//! Always: changing a setting lifts nobody (R7); an address comes off by an act that names it, or at its watch period's end;
//! acts and the follower change rows one after the other, so that neither loses what the other wrote.
//! Sources: PRODUCT.md R4, R7; cmc.md §6, §12.4; algorithms F6.
//!
//! `row` is what is stored, `rules` and `brake` decide, `lookup` answers whether an address is written to. `learn` turns a page
//! of the log into rows, `follow` is the task that does so again and again, `round` what is done once a day. `list`, `count`,
//! `dossier`, `acts`, `many`, `import`, `incidents`, `what_if` and `explain` are what people and programs ask for, by the handle
//! [`Suppressions`]; `works` runs what takes longer than a page may.

pub mod acts;
pub mod brake;
pub mod count;
pub mod csv;
pub mod dates;
pub mod dialect;
pub mod dossier;
pub mod explain;
pub mod import;
pub mod incidents;
pub mod list;
pub mod lookup;
pub mod many;
pub mod row;
pub mod rules;
pub mod told;
pub mod what_if;
pub mod works;

#[cfg(test)]
mod ahead_tests;
mod draft;
#[cfg(test)]
mod fake;
mod follow;
mod learn;
#[cfg(test)]
mod live_tests;
mod memory;
mod round;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod told_tests;

use std::sync::Arc;

use smol::{channel, lock::Mutex};

use crate::{
    clock::Clock,
    config::InForce,
    metrics::Metrics,
    runtime::{Runtime, Shutdown},
    store::Store,
};
use learn::Known;
use memory::{Memory, Telling};
pub use memory::{TOLD_ROWS_MAX, Tell};

/// What the room is made of.
pub struct Parts {
    /// Where its task runs.
    pub runtime: Runtime,
    /// The store.
    pub store: Store,
    /// The time.
    pub clock: Clock,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// The daemon's stop.
    pub shutdown: Shutdown,
    /// The config in force: `[suppression]`, `[retention] audit_log`, `[server] time_zone`.
    pub config: InForce,
    /// Who is told of changes of the list; `None`: nobody.
    pub tell: Option<Arc<dyn Tell>>,
}

/// The door to the room; clones share it.
#[derive(Clone)]
pub struct Suppressions(Arc<Shared>);

struct Shared {
    memory: Arc<dyn Memory>,
    clock: Clock,
    metrics: Arc<Metrics>,
    config: InForce,
    /// What the follower knows; whoever changes rows holds it. `None`: to be read from the store.
    known: Mutex<Option<Known>>,
    /// What takes longer than a page may.
    works: works::Works,
    bell: (channel::Sender<()>, channel::Receiver<()>),
}

impl Suppressions {
    /// Starts the task that follows the log, and answers the door. The task ends when the shutdown drains.
    pub fn start(parts: Parts) -> Self {
        let Parts { runtime, store, clock, metrics, shutdown, config, tell } = parts;
        let memory: Arc<dyn Memory> = match tell {
            Some(tell) => Arc::new(Telling { memory: Arc::new(store), tell, clock: clock.clone() }),
            None => Arc::new(store),
        };
        let this = Suppressions::new(memory, clock, metrics, config);
        runtime.spawn("suppressions", follow::run(this.clone(), shutdown));
        this
    }

    /// The door without its task, for tests of those who show the list.
    #[cfg(test)]
    pub(crate) fn without_task(store: Store, clock: Clock, config: InForce) -> Self {
        Suppressions::new(Arc::new(store), clock, Arc::default(), config)
    }

    fn new(memory: Arc<dyn Memory>, clock: Clock, metrics: Arc<Metrics>, config: InForce) -> Self {
        let (known, bell) = (Mutex::new(None), channel::bounded(1));
        let works = works::Works::default();
        Suppressions(Arc::new(Shared { memory, clock, metrics, config, known, works, bell }))
    }

    /// An event that may count was written, or the settings changed: the log is followed now. Cheap; call it as often as
    /// you like.
    pub fn kick(&self) {
        // A full bell rings already.
        let _ = self.0.bell.0.try_send(());
    }
}
