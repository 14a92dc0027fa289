//! Of which list a message is.
//!
//! In: the filters of the config, what a message's header holds of their fields, by which door it came.  Out: the list's name.
//! Always: the first filter that matches counts; mail that brings its own List-Unsubscribe, and mail that we write or pass on
//! ourselves, is of no list.
//! Sources: cmc.md §12.6; RFC 8058 §4 (one field, by whom the list is).

use crate::{config::Unsubscribe, mail::watched::Watched, store::Origin};

/// The field of mail whose sender cares for it himself.
const OWN_FIELD: &str = "List-Unsubscribe";

/// The list of a message; empty: none. Costs nothing where no filter is configured.
pub fn list_of(config: &Unsubscribe, origin: Origin, watched: &Watched) -> String {
    let is_submitted = match origin {
        Origin::Smtp | Origin::Api => true,
        Origin::Notice | Origin::Forward => false,
    };
    if !is_submitted || config.filters.is_empty() || watched.has(OWN_FIELD) {
        return String::new();
    }
    let matching = config.filters.iter().find(|f| watched.values(&f.header).iter().any(|v| f.pattern.matches(v)));
    matching.map(|filter| filter.name.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use regex::Regex;

    use super::*;
    use crate::{
        config::{Config, InForce, UnsubscribeFilter, ValuePattern},
        mail::header::scan_watching,
    };

    fn filter(name: &str, header: &str, pattern: ValuePattern) -> UnsubscribeFilter {
        UnsubscribeFilter { name: name.into(), header: header.into(), pattern }
    }

    #[test]
    fn the_first_filter_that_matches_names_the_list() {
        let mut config = Config::default();
        config.unsubscribe.filters = vec![
            filter("news", "List-Id", ValuePattern::Exact("<news.example.jp>".into())),
            filter("all", "List-ID", ValuePattern::Regex(Regex::new("example").unwrap())),
            filter("お知らせ", "subject", ValuePattern::Regex(Regex::new("^【お知らせ】").unwrap())),
        ];
        let config = InForce::new(config).get();
        let list = |head: &str, origin| {
            list_of(&config.unsubscribe, origin, &scan_watching(head.as_bytes(), "", &config.watch).1)
        };
        for (head, expected) in [
            ("list-id: <news.example.jp>\r\n\r\n", "news"),
            ("List-Id:\r\n <news.example.jp>\r\n\r\n", "news"),
            ("List-Id: <offers.example.jp>\r\n\r\n", "all"),
            ("List-Id: <x.jp>\r\nList-Id: <news.example.jp>\r\n\r\n", "news"),
            ("List-Id: <x.jp>\r\n\r\n", ""),
            ("Subject: =?UTF-8?B?44CQ44GK55+l44KJ44Gb44CR5aSP?=\r\n\r\n", "お知らせ"),
            ("Subject: \u{3010}お知らせ】夏\r\n\r\n", "お知らせ"),
            ("Subject: Re: 【お知らせ】\r\n\r\n", ""),
            ("List-Id: <news.example.jp>\r\nLIST-unsubscribe: <mailto:x@example.jp>\r\n\r\n", ""),
            ("\r\nList-Id: <news.example.jp>\r\n", ""),
        ] {
            assert_eq!(list(head, Origin::Smtp), expected, "{head:?}");
            assert_eq!(list(head, Origin::Api), expected, "{head:?}");
            assert_eq!(list(head, Origin::Notice), "", "{head:?}");
            assert_eq!(list(head, Origin::Forward), "", "{head:?}");
        }
    }
}
