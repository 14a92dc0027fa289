//! Cross-checks of `[unsubscribe]`: links that lead somewhere, in mail that can have them.
//!
//! In and out: as for `checks`, whose third part this is.
//! Always: a link that no recipient could follow is an error.
//! Sources: RFC 8058 §3.1 (https); cmc.md §12.6.

use super::checks::Checks;

/// Octets of `public_url` at most: with the longest token the header line stays below the 998 of RFC 5322 §2.1.1.
const PUBLIC_URL_MAX: usize = 200;
/// The field that mail of other list software has: such mail is left alone.
const OWN_FIELD: &str = "List-Unsubscribe";

impl Checks<'_> {
    pub(super) fn unsubscribe(&mut self) {
        let url = self.config.unsubscribe.public_url.trim_end_matches('/').to_owned();
        self.config.unsubscribe.public_url = url.clone();
        let unsubscribe = self.config.unsubscribe.clone();
        let path = "unsubscribe.public_url";
        if url.len() > PUBLIC_URL_MAX {
            let reason = format!("the URL has {} letters: its links would be too long for a header line", url.len());
            self.error(path, reason, format!("use a URL of at most {PUBLIC_URL_MAX} letters"));
        }
        if url.contains(['?', '#', '<', '>', '"']) {
            self.error(path, "the link's own path follows this URL", "write https://HOST or https://HOST/PATH");
        }
        let has_filters = !unsubscribe.filters.is_empty();
        if unsubscribe.address.is_none() && has_filters && !self.facts.is_broken("unsubscribe.address") {
            let fix = "set address in [unsubscribe], or remove the filter";
            self.error(
                "unsubscribe.filter[0].name",
                "its links would lead nowhere: there is no listener for them",
                fix,
            );
        } else if url.is_empty() && has_filters && !self.facts.is_broken(path) {
            let fix = "set public_url in [unsubscribe] to the https:// URL that leads to its address";
            self.error("unsubscribe.filter[0].name", "its links would have no host: public_url is empty", fix);
        }
        if unsubscribe.address.is_some() && url.is_empty() {
            let fix = "set public_url to the https:// URL that leads here";
            self.warn("unsubscribe.address", "nobody knows how to reach it: public_url is empty", fix);
        }
        if url.starts_with("http://") && has_filters {
            self.warn(path, "mail programs show their button for https:// alone", "write https:// in production");
        }
        let open = unsubscribe.address.is_some_and(|address| !address.ip().is_loopback());
        if open && !unsubscribe.tls && unsubscribe.proxy_networks.is_empty() {
            let reason = "links would go in clear over the network";
            self.error(
                "unsubscribe.address",
                reason,
                "set tls = true, or proxy_networks to those of the proxy before it",
            );
        }
        for (n, filter) in unsubscribe.filters.iter().enumerate() {
            if filter.header.eq_ignore_ascii_case(OWN_FIELD) {
                let reason = "this filter never acts: mail that has List-Unsubscribe already is left alone";
                let fix = "look at another field, such as List-Id";
                self.warn(&format!("unsubscribe.filter[{n}].header"), reason, fix);
            }
        }
    }
}
