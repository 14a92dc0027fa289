//! The config in force: read by everybody, swapped at SIGHUP.

use std::sync::{Arc, PoisonError, RwLock};

use super::Config;

/// The config in force; clones share it.
#[derive(Clone, Debug)]
pub struct InForce(Arc<RwLock<Arc<Config>>>);

impl InForce {
    /// Puts a config in force.
    pub fn new(config: Config) -> Self {
        InForce(Arc::new(RwLock::new(Arc::new(config))))
    }

    /// The config of this moment.
    pub fn get(&self) -> Arc<Config> {
        // A swap is one assignment: a panic elsewhere cannot leave half a config.
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts another config in force; answers the one before.
    pub fn swap(&self, config: Config) -> Arc<Config> {
        std::mem::replace(&mut *self.0.write().unwrap_or_else(PoisonError::into_inner), Arc::new(config))
    }
}
