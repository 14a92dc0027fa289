//! The large mailbox providers, by the names of their MX hosts and of their recipients' domains: **the one table**.
//!
//! In: the host that answered, the recipient's domain.  Out: [`Provider`].
//! Always: a look costs some comparisons and no memory; whoever is in no row is [`Provider::Other`].
//! Sources: the providers' MX records as of 2026-11; the hosts of answers that `deliver/responses` knows.

use serde::{Deserialize, Serialize};

use crate::lookup::is_below;

/// A provider whose rules or whose size make it worth a row of its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Provider {
    /// Gmail and Google Workspace.
    Gmail,
    /// Yahoo Mail and AOL, outside Japan.
    Yahoo,
    /// Outlook.com, Hotmail and Exchange Online.
    Microsoft,
    /// NTT docomo.
    Docomo,
    /// KDDI (au).
    Kddi,
    /// SoftBank and Y!mobile.
    Softbank,
    /// Yahoo! JAPAN, which is not Yahoo's.
    YahooJapan,
    /// Everybody else.
    Other,
}

/// What a provider is known by. A name stands for itself and everything below it.
struct Known {
    provider: Provider,
    /// How its MX hosts' names end.
    hosts: &'static [&'static str],
    /// Its recipients' domains, for mail whose host was not reached.
    domains: &'static [&'static str],
}

const KNOWN: &[Known] = &[
    Known {
        provider: Provider::Gmail,
        hosts: &["google.com", "googlemail.com"],
        domains: &["gmail.com", "googlemail.com"],
    },
    Known {
        provider: Provider::Yahoo,
        hosts: &["yahoodns.net"],
        domains: &["yahoo.com", "ymail.com", "rocketmail.com", "aol.com"],
    },
    Known {
        provider: Provider::Microsoft,
        hosts: &["outlook.com", "mx.microsoft"],
        domains: &["outlook.com", "outlook.jp", "hotmail.com", "hotmail.co.jp", "live.com", "live.jp", "msn.com"],
    },
    Known { provider: Provider::Docomo, hosts: &["docomo.ne.jp"], domains: &["docomo.ne.jp"] },
    Known { provider: Provider::Kddi, hosts: &["ezweb.ne.jp", "au.com"], domains: &["ezweb.ne.jp", "au.com"] },
    Known {
        provider: Provider::Softbank,
        hosts: &["softbank.jp", "softbank.ne.jp", "vodafone.ne.jp", "ymobile.ne.jp"],
        domains: &["softbank.jp", "softbank.ne.jp", "vodafone.ne.jp", "disney.ne.jp", "ymobile.ne.jp", "willcom.com"],
    },
    Known {
        provider: Provider::YahooJapan,
        hosts: &["yahoo.co.jp", "ybb.ne.jp"],
        domains: &["yahoo.co.jp", "ybb.ne.jp", "ymail.ne.jp"],
    },
];

impl Provider {
    /// Every provider, in the order of the table.
    pub const ALL: [Provider; 8] = [
        Provider::Gmail,
        Provider::Yahoo,
        Provider::Microsoft,
        Provider::Docomo,
        Provider::Kddi,
        Provider::Softbank,
        Provider::YahooJapan,
        Provider::Other,
    ];

    /// Whose the host is; where it is nobody's, or empty, whose the recipient's domain is.
    pub fn of(host: &str, domain: &str) -> Provider {
        let host = host.trim_end_matches('.');
        let by_host = KNOWN.iter().find(|known| known.hosts.iter().any(|name| is_below(host, name)));
        let by_domain = || KNOWN.iter().find(|known| known.domains.iter().any(|name| is_below(domain, name)));
        by_host.or_else(by_domain).map_or(Provider::Other, |known| known.provider)
    }

    /// The word in rows and on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Provider::Gmail => "gmail",
            Provider::Yahoo => "yahoo",
            Provider::Microsoft => "microsoft",
            Provider::Docomo => "docomo",
            Provider::Kddi => "kddi",
            Provider::Softbank => "softbank",
            Provider::YahooJapan => "yahoo-japan",
            Provider::Other => "other",
        }
    }

    /// The provider of a word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.word() == word)
    }

    /// Its name for people.
    pub fn name(self) -> &'static str {
        match self {
            Provider::Gmail => "Gmail",
            Provider::Yahoo => "Yahoo",
            Provider::Microsoft => "Microsoft",
            Provider::Docomo => "docomo",
            Provider::Kddi => "KDDI (au)",
            Provider::Softbank => "SoftBank",
            Provider::YahooJapan => "Yahoo! JAPAN",
            Provider::Other => "other",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_is_known_by_its_hosts_and_then_by_its_recipients() {
        for (host, domain, want) in [
            ("gmail-smtp-in.l.google.com", "gmail.com", Provider::Gmail),
            ("ASPMX.L.GOOGLE.COM.", "shop.example", Provider::Gmail),
            ("aspmx2.googlemail.com", "shop.example", Provider::Gmail),
            ("mta5.am0.yahoodns.net", "yahoo.com", Provider::Yahoo),
            ("example-jp.mail.protection.outlook.com", "example.jp", Provider::Microsoft),
            ("outlook-com.olc.protection.outlook.com", "outlook.com", Provider::Microsoft),
            ("example-jp.a-v1.mx.microsoft", "example.jp", Provider::Microsoft),
            ("mfsmax.docomo.ne.jp", "docomo.ne.jp", Provider::Docomo),
            ("lsean.ezweb.ne.jp", "ezweb.ne.jp", Provider::Kddi),
            ("mx.softbank.ne.jp", "i.softbank.jp", Provider::Softbank),
            ("mx1.mail.yahoo.co.jp", "yahoo.co.jp", Provider::YahooJapan),
            // Not reached, or by a smarthost.
            ("", "Gmail.com", Provider::Gmail),
            ("relay.example.net", "docomo.ne.jp", Provider::Docomo),
            ("", "i.softbank.jp", Provider::Softbank),
            ("mx.example.jp", "example.jp", Provider::Other),
            // Names that only look like theirs.
            ("mx.notgoogle.com", "mygmail.com", Provider::Other),
            ("google.com.example.org", "x.example", Provider::Other),
            ("", "", Provider::Other),
        ] {
            assert_eq!(Provider::of(host, domain), want, "{host} {domain}");
        }
    }

    #[test]
    fn each_has_a_word_of_its_own() {
        for provider in Provider::ALL {
            assert_eq!(Provider::from_word(provider.word()), Some(provider));
            assert_eq!(serde_json::to_string(&provider).unwrap(), format!("{:?}", provider.word()));
        }
    }
}
