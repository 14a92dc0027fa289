//! Keys that are read and checked, but that this version does not act on: said aloud, so that nobody counts on them.
//!
//! A line leaves this list in the same change that brings its feature.

use super::{
    Config,
    checks::Checks,
    show::{self, Entry},
};

/// The first part of a key, and what does not happen yet.
const NOT_YET: &[(&str, &str)] = &[("delivery.downgrade_8bit", "8-bit mail is passed on as it is")];

/// Warns of each such key that the file sets to something else than its default, once for each entry.
pub(super) fn warn(checks: &mut Checks<'_>) {
    let defaults = show::entries(&Config::default());
    let set: Vec<(String, String)> = show::entries(checks.config)
        .into_iter()
        .filter(|entry| {
            defaults.iter().find(|default| default.path == entry.path).map(Entry::value) != Some(entry.value())
        })
        .filter_map(|entry| checks.facts.first_given(&entry.key).map(|path| (entry.key, path)))
        .collect();
    for (prefix, what) in NOT_YET {
        if let Some((_, path)) = set.iter().find(|(key, _)| key.starts_with(prefix)) {
            checks.warn(path, format!("this version reads it, but {what} yet"), "");
        }
    }
}
