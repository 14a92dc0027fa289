//! The config in force: read by everybody, swapped at SIGHUP.

use std::sync::{Arc, PoisonError, RwLock};

use super::Config;
use crate::mail::watched::Watch;

/// The config in force; clones share it.
#[derive(Clone, Debug)]
pub struct InForce(Arc<RwLock<Arc<Config>>>);

impl InForce {
    /// Puts a config in force.
    pub fn new(config: Config) -> Self {
        InForce(Arc::new(RwLock::new(Arc::new(watching(config)))))
    }

    /// The config of this moment.
    pub fn get(&self) -> Arc<Config> {
        // A swap is one assignment: a panic elsewhere cannot leave half a config.
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts another config in force; answers the one before.
    pub fn swap(&self, config: Config) -> Arc<Config> {
        std::mem::replace(&mut *self.0.write().unwrap_or_else(PoisonError::into_inner), Arc::new(watching(config)))
    }
}

/// Fields that are looked at where a filter could name a list.
const UNSUBSCRIBE_FIELD: &str = "List-Unsubscribe";

/// The config with the header fields that its filters look at, gathered once and not for every message.
fn watching(mut config: Config) -> Config {
    let filters = &config.unsubscribe.filters;
    let own = filters.first().map(|_| UNSUBSCRIBE_FIELD);
    let forwards = config.forwards.iter().map(|filter| filter.header.as_str());
    config.watch = Watch::of(filters.iter().map(|filter| filter.header.as_str()).chain(own).chain(forwards));
    config
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::UnsubscribeFilter, mail::header::scan_watching};

    #[test]
    fn the_fields_of_the_filters_in_force_are_looked_at() {
        let see = |in_force: &InForce| {
            scan_watching(b"List-Id: a\r\nList-Unsubscribe: b\r\n\r\n", "", &in_force.get().watch).1
        };
        let in_force = InForce::new(Config::default());
        assert_eq!(see(&in_force), Default::default());
        let mut config = Config::default();
        config.unsubscribe.filters.push(UnsubscribeFilter { header: "list-ID".into(), ..UnsubscribeFilter::default() });
        in_force.swap(config);
        assert!(see(&in_force).has("List-Id") && see(&in_force).has("List-Unsubscribe"));
        in_force.swap(Config::default());
        assert!(in_force.get().watch.is_empty());
    }
}
