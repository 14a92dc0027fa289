//! Says in words whether an address is written to, and what is known of its errors: for `explain`, `find` and the pages.
//!
//! In: an address and an API user.  Out: [`Fact`]s.
//! Always: what blocks mail is asked of the code that blocks it.

use super::{
    Suppressions,
    incidents::{HoldState, brake_incidents, domain_of},
    list::row_of,
    lookup::{class_words, words_of},
    row::{key_of, read_history},
    rules::threshold,
};
use crate::{
    fact::Fact,
    store::{MemoKind, StoreError},
    unsubscribe::row as unsubscribed,
};

/// Lists that an address left, as they are shown.
const LISTS_SHOWN_MAX: usize = 20;

impl Suppressions {
    /// What is true of an address for mail of `user` (empty: nobody's), now. Blocking, short.
    ///
    /// # Errors
    /// The store's.
    pub fn explain(&self, address: &str, user: &str) -> Result<Vec<Fact>, StoreError> {
        let (memory, now) = (&self.0.memory, self.0.clock.now());
        let settings = &self.0.config.get().suppression;
        let mut facts = Vec::new();
        let everybody = key_of(address, "");
        let own = key_of(address, user);
        let scopes = if own == everybody { vec![everybody.clone()] } else { vec![everybody.clone(), own] };
        for (n, key) in scopes.iter().enumerate() {
            let scope = if n == 0 { String::new() } else { format!(" for mail of {user}") };
            let mut row = row_of(memory, key)?;
            row.end_watch(now);
            if let Some(entry) = &row.now {
                let until =
                    entry.until.map_or_else(|| "until it is lifted".to_owned(), |until| format!("until {until}"));
                facts.push(Fact::new("suppression", format!("{}{scope}, {until}", words_of(entry))));
            } else if let Some(lifted) = row.past.first().and_then(|entry| entry.lifted.as_ref()) {
                let by = if lifted.operator.is_empty() { String::new() } else { format!(" by {}", lifted.operator) };
                facts.push(Fact::new("suppression", format!("lifted {}{by}{scope}: it is written to", lifted.at)));
            }
            if let Some(exempt) = &row.exempt {
                let says =
                    format!("since {} by {}{scope}: its errors never suppress it", exempt.since, exempt.operator);
                facts.push(Fact::new("exempt", says));
            }
            let history = memory.memo(MemoKind::AddressErrors, key)?.and_then(|value| read_history(&value));
            let floor = now.minus(settings.thresholds.window);
            for error in history.iter().flat_map(|h| &h.errors).filter(|e| e.at >= floor).rev().take(LISTS_SHOWN_MAX) {
                let words = class_words(error.class);
                let of = threshold(error.class, error.trouble, &settings.thresholds);
                facts.push(Fact::new(
                    "error",
                    format!("{}: {words}, {of} such days within the window suppress{scope}", error.at),
                ));
            }
        }
        if facts.is_empty() {
            facts.push(Fact::new("suppression", "none: it is written to"));
        }
        let domain = domain_of(&everybody);
        for incident in brake_incidents(&**memory)? {
            if incident.state == HoldState::Held && incident.place == domain {
                let says = format!(
                    "errors of {} are held since {} (incident {}): they suppress nobody until it is released",
                    incident.place,
                    incident.opened(),
                    incident.id
                );
                facts.push(Fact::new("held", says));
            }
        }
        let left = memory.memos(MemoKind::Unsubscribes, &unsubscribed::prefix(address), None, LISTS_SHOWN_MAX)?;
        for row in left.iter().filter_map(|(_, value)| unsubscribed::Row::of_value(value)) {
            let from = if row.applies(now) { String::new() } else { format!(" from {} on", row.effective_from()) };
            facts.push(Fact::new("unsubscribed", format!("{}: mail of that list is not sent{from}", row.words())));
        }
        Ok(facts)
    }
}
