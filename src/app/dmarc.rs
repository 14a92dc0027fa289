//! Starts the DMARC monitor: what keeps reports, whose addresses they name, and whether they come.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use crate::{
    clock::Clock,
    config::InForce,
    deliver::streams,
    dmarc::{
        keep::{Became, Keeper, Kind, Taken},
        label::Labels,
        monitor::{Monitor, Turns},
        row::Mark,
        views::Delivered,
        watch::{Alarms, DeliveredBy, Watch},
    },
    lookup::Lookup,
    metrics::Metrics,
    runtime::{Runtime, Shutdown},
    store::{Store, StoreError},
    tls_report::receive::{self, By, Receiver},
};

/// What it needs of the daemon.
pub(super) struct Parts {
    pub(super) runtime: Runtime,
    pub(super) store: Store,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    pub(super) shutdown: Shutdown,
    pub(super) config: InForce,
    pub(super) dns: Arc<dyn Lookup>,
    pub(super) tls_reports: Receiver<Store>,
}

/// The monitor, with its tasks running.
pub(super) fn start(parts: Parts) -> Monitor {
    let Parts { runtime, store, clock, metrics, shutdown, config, dns, tls_reports } = parts;
    let delivered = delivered_by(&store, &clock);
    let labels = Labels::new(clock.clone(), config.clone());
    labels.start(dns.clone(), &runtime, &shutdown);
    let take_tls = Arc::new(move |json: Vec<u8>| take_tls(&tls_reports, json));
    let keeper = Keeper::new(store, clock, config, metrics, take_tls);
    let alarms = Alarms::default();
    let watch = Watch { keeper: keeper.clone(), dns, delivered: delivered.clone(), alarms: alarms.clone() };
    watch.start(&runtime, &shutdown);
    Monitor { keeper, labels, alarms, delivered, turns: Turns::default() }
}

/// What the streams of our own mail count as delivered. Blocking.
fn delivered_by(store: &Store, clock: &Clock) -> DeliveredBy {
    let (store, clock, counted_since) = (store.clone(), clock.clone(), OnceLock::new());
    Arc::new(move |domain, from, to| {
        let oldest = clock.now().day().saturating_sub(streams::KEPT_DAYS - 1);
        // Before the first day that was ever counted, nothing is known: none delivered is not what that means.
        let since = match counted_since.get() {
            Some(since) => *since,
            None => match streams::days(&store, "", oldest, u32::MAX)?.iter().map(|row| row.day).min() {
                Some(since) => *counted_since.get_or_init(|| since),
                None => return Ok(Delivered::unknown()),
            },
        };
        let mut by_day: BTreeMap<u32, u64> = BTreeMap::new();
        for row in streams::days(&store, domain, from, to)? {
            let sum = by_day.entry(row.day).or_default();
            *sum = sum.saturating_add(row.counts.delivered);
        }
        Ok(Delivered { known_from: since.max(oldest), by_day })
    })
}

/// A TLS report that came to the address of DMARC reports. Blocking.
fn take_tls(receiver: &Receiver<Store>, json: Vec<u8>) -> Result<Taken, StoreError> {
    let (became, id, why) = match async_io::block_on(receiver.receive(json.into(), By::Mail)) {
        Ok(receive::Taken::New(key)) => (Became::New, key, String::new()),
        Ok(receive::Taken::Known(key)) => (Became::Known, key, String::new()),
        Err(receive::Refused::Store(error)) => return Err(error),
        Err(error) => (Became::Refused, String::new(), error.to_string()),
    };
    let nothing = Taken::nothing();
    Ok(Taken { kind: Kind::Tls, became, report_id: id, why, mark: Mark::Unknown, ..nothing })
}
