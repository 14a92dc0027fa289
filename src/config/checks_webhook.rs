//! Cross-checks of `[[webhook]]`: URLs that can be posted to, keys that can sign, versions that say what is asked of them.
//!
//! In and out: as for `checks`, whose fourth part this is.
//! Always: a signing key that is weak or mistyped is an error, not a signature that nobody can check.
//! Sources: cmc.md §10.1; Standard Webhooks ("Signature scheme").

use jiff::tz::TimeZone;

use super::checks::Checks;
use crate::secret::signing_key;

/// Endpoints at most: each has a task, a place in the log and a thousand rows of history.
const WEBHOOKS_MAX: usize = 50;
/// Keys that sign one post at most: the new one and the old one, and one to spare.
const KEYS_MAX: usize = 3;

impl Checks<'_> {
    pub(super) fn webhooks(&mut self) {
        let hooks = self.config.webhooks.clone();
        if hooks.len() > WEBHOOKS_MAX {
            let path = format!("webhook[{WEBHOOKS_MAX}].name");
            let fix = "let one program spread the events";
            self.error(&path, format!("{} webhooks: at most {WEBHOOKS_MAX}", hooks.len()), fix);
        }
        for (n, hook) in hooks.iter().enumerate() {
            let path = |key: &str| format!("webhook[{n}].{key}");
            if hook.name.is_empty() || hook.name.chars().any(char::is_control) {
                self.error(&path("name"), "this is no name", "write letters and digits, as in \"crm\"");
            }
            if hook.url.contains('#') {
                self.error(&path("url"), "what follows a # is never sent", "leave it out");
            }
            if hook.version == 1 && !hook.form {
                let fix = "set format = \"form\", or version = 2";
                self.error(&path("version"), "version 1 has no JSON form", fix);
            }
            let events = path("events");
            if hook.version == 1 && hook.events.iter().any(|e| e == "blocked") && self.facts.gives(&events) {
                let fix = "leave out blocked, or set version = 2";
                self.warn(&events, "version 1 has no blocks: nothing is posted of them", fix);
            }
            if !hook.time_zone.is_empty() && TimeZone::get(&hook.time_zone).is_err() {
                let fix = "write an IANA name, as Asia/Tokyo or UTC, or leave it empty";
                self.error(&path("time_zone"), "there is no time zone of that name", fix);
            }
            self.signing_keys(&path("signing_key"), hook.signing_key.reveal());
            let mut words = hook.events.clone();
            words.sort_unstable();
            words.dedup();
            if words.len() < hook.events.len() {
                self.warn(&events, "an event is there twice", "write each once");
            }
        }
    }

    /// Keys that sign posts.
    pub(super) fn signing_keys(&mut self, path: &str, keys: &str) {
        let keys: Vec<&str> = keys.split_whitespace().collect();
        if keys.len() > KEYS_MAX {
            self.error(path, format!("{} keys: at most {KEYS_MAX}", keys.len()), "write the new key and the old one");
        }
        if keys.iter().any(|key| signing_key(key).is_none()) {
            let fix = "write whsec_ and the base64 of 16 to 64 octets, or 16 to 200 letters without blanks";
            self.error(path, "this key cannot sign", fix);
        }
    }
}
