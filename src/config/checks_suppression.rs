//! Cross-checks of `[suppression]`: thresholds that would suppress addresses for somebody else's trouble, or never act.
//!
//! In and out: as for `checks`.
//! Always: nothing here is an error: what an operator sets is done, after a word about what it means.
//! Sources: cmc.md §5.1 and §12.4; algorithms F6.

use super::{Thresholds, checks::Checks};

/// The seconds of a day.
const DAY_SECONDS: u64 = 86_400;

impl Checks<'_> {
    pub(super) fn suppression(&mut self) {
        let t = self.config.suppression.thresholds.clone();
        let seldom = [
            ("resend_timeout", t.resend_timeout, "a destination that does not answer is not the recipient's fault"),
            ("rejected", t.rejected, "a refusal by policy is mostly about your reputation, authentication or content"),
            ("receiving_server_error", t.receiving_server_error, "it is the destination that is set up wrong"),
            ("too_large", t.too_large, "a smaller mail would arrive"),
            ("other", t.other, "nobody knows what those errors mean"),
        ];
        for (key, _, why) in seldom.into_iter().filter(|(_, count, _)| *count > 0) {
            let reason = format!("addresses will be suppressed for trouble that is seldom theirs: {why}");
            self.warn(&format!("suppression.thresholds.{key}"), reason, "set it to 0, unless you mean that");
        }
        if t.forwarding_error > 0 {
            self.warn(
                "suppression.thresholds.forwarding_error",
                "such errors are about the address that a recipient forwards to: they never count against the recipient",
                "remove it, or set it to 0",
            );
        }
        if t.complaint == 0 {
            self.warn(
                "suppression.thresholds.complaint",
                "who complains about your mail will get more of it",
                "set it to 1",
            );
        }
        let days = t.window.as_secs() / DAY_SECONDS + 1;
        for (key, count) in keys_of(&t) {
            if u64::from(count) > days {
                let reason =
                    format!("{count} errors never fall within {days} days: at most one an address a day counts");
                self.warn(&format!("suppression.thresholds.{key}"), reason, "lower it, or widen the window");
            }
        }
    }
}

/// Every threshold with its key.
fn keys_of(t: &Thresholds) -> [(&'static str, u32); 11] {
    [
        ("unknown_host", t.unknown_host),
        ("unknown_user", t.unknown_user),
        ("bad_address", t.bad_address),
        ("complaint", t.complaint),
        ("over_capacity", t.over_capacity),
        ("resend_timeout", t.resend_timeout),
        ("rejected", t.rejected),
        ("forwarding_error", t.forwarding_error),
        ("receiving_server_error", t.receiving_server_error),
        ("too_large", t.too_large),
        ("other", t.other),
    ]
}

#[cfg(test)]
mod tests {
    use crate::config::tests::load;

    /// The keys that are warned of.
    fn warned(text: &str) -> Vec<String> {
        let loaded = load(text).unwrap_or_else(|e| panic!("{e}"));
        let keys = loaded.warnings.iter().map(|w| w.to_string());
        keys.filter(|w| w.contains("suppression")).collect()
    }

    #[test]
    fn thresholds_for_somebody_elses_trouble_are_warned_of() {
        assert_eq!(warned(""), Vec::<String>::new());
        assert_eq!(warned("[suppression.thresholds]\nunknown_user = 3\nover_capacity = 10\n"), Vec::<String>::new());
        for (key, value, words) in [
            ("rejected", 3, "reputation"),
            ("resend_timeout", 3, "does not answer"),
            ("receiving_server_error", 1, "set up wrong"),
            ("too_large", 1, "smaller mail"),
            ("other", 1, "nobody knows"),
            ("forwarding_error", 1, "never count"),
            ("complaint", 0, "more of it"),
            ("over_capacity", 99, "never fall within 91 days"),
        ] {
            let found = warned(&format!("[suppression.thresholds]\n{key} = {value}\n"));
            assert!(found.len() == 1 && found[0].contains(key) && found[0].contains(words), "{key}: {found:?}");
        }
    }
}
