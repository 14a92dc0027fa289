//! The made-up daemon's troubles, providers and resources.

use std::{sync::Arc, time::Duration};

use super::fake::{HOSTILE, now};
use crate::{
    deliver::{lately::Lately, provider::Provider},
    event::AttemptDetail,
    http::resources::Resources,
    schedule::trouble::{SiteTrouble, Standing},
};

fn ago(seconds: u64) -> crate::clock::Timestamp {
    now().minus(Duration::from_secs(seconds))
}

fn said(destination: &str, reply: &str) -> Option<Arc<AttemptDetail>> {
    let detail = AttemptDetail { destination: destination.into(), reply: reply.into(), ..AttemptDetail::default() };
    Some(Arc::new(detail))
}

/// One that is slowed, one that is dead, one that a rule pauses, one that puts off, one between two tries.
pub(crate) fn troubles() -> Vec<SiteTrouble> {
    let slowed = SiteTrouble {
        site: "mfsmax.docomo.example (+1)".into(),
        destinations: vec!["docomo.example".into()],
        destinations_count: 1,
        standing: Standing::Slowed,
        since: ago(4_980),
        last_at: ago(4),
        connections: 2,
        connections_before: 10,
        per_minute: 7.8,
        per_minute_before: 40.2,
        deferred: 3_110,
        delivered: 612,
        queued: 480,
        said: said("docomo.example", "421 4.7.0 mfsmax.docomo.example: too many connections, try again later"),
    };
    let dead = SiteTrouble {
        site: "mx.hostile.example".into(),
        destinations: vec!["hostile.example".into()],
        standing: Standing::Dead { probe_at: now().plus(Duration::from_secs(130)) },
        since: ago(90_000),
        last_at: ago(170),
        connections: 1,
        connections_before: 5,
        per_minute: 0.0,
        per_minute_before: 0.0,
        deferred: 12,
        delivered: 0,
        queued: 3,
        said: said("hostile.example", HOSTILE),
        ..slowed.clone()
    };
    let paused = SiteTrouble {
        site: "mx.quota.example".into(),
        destinations: vec!["quota.example".into()],
        standing: Standing::Paused { rule: "quota".into(), until: now().plus(Duration::from_secs(900)) },
        since: ago(600),
        said: said("quota.example", "452 4.5.3 quota of the hour is used up"),
        ..dead.clone()
    };
    let deferring = SiteTrouble {
        site: "mx.grey.example".into(),
        destinations: vec!["grey.example".into()],
        standing: Standing::Deferring,
        connections: 5,
        since: ago(1_200),
        said: said("grey.example", "450 4.7.1 greylisted"),
        ..dead.clone()
    };
    let between = SiteTrouble {
        site: "mx.gone.example".into(),
        destinations: vec!["gone.example".into()],
        standing: Standing::Between,
        since: ago(9_000),
        last_at: ago(4_000),
        queued: 0,
        said: said("gone.example", "no route to host"),
        ..dead.clone()
    };
    vec![slowed, dead, paused, deferring, between]
}

/// Four providers, of which one takes little.
pub(crate) fn lately() -> Vec<Lately> {
    let of = |provider, delivered, deferred, failed| Lately { provider, delivered, deferred, failed };
    vec![
        of(Provider::Gmail, 12_400, 31, 12),
        of(Provider::Docomo, 612, 3_110, 4),
        of(Provider::YahooJapan, 2_210, 4, 90),
        of(Provider::Other, 480, 2, 1),
    ]
}

/// A machine with room.
pub(crate) fn resources() -> Resources {
    Resources {
        disk_free: Some(39_000_000_000),
        disk_total: Some(100_000_000_000),
        disk_free_min: 1 << 30,
        database: 71_000_000,
        bodies: 18_200_000,
        memory: Some(188 << 20),
        memory_peak: Some(240 << 20),
        memory_limit: 512 << 20,
        leased: 21 << 20,
        leases_max: 480 << 20,
    }
}
