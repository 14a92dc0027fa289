//! What replies mean beyond their codes: the response rules, configured and built in, and how often each was met.
//!
//! In: a refusing reply as it is logged, when and where it came.  Out: the rule that acts; whether it was met often enough.
//!
//! The first rule that matches and can act applies: those of the config file, then the built-in ones. `fail` acts on every
//! refusal; `pause` and `slow` only on what may pass by itself: 4yz replies, and refusals of the connection (greeting, EHLO).
//! A reply about one mail, one sender or one mailbox must match no built-in rule: greylisting, a full mailbox, a user who
//! gets too much, a sender without SPF.
//!
//! Always: memory is bounded; each built-in rule stands with the replies that caused it, and a test reads them.
//! Sources: replies that receivers document in public, or that operators quote.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use regex::{Regex, RegexBuilder};

use super::{rules::Patterns, verdict::Kind};
use crate::{
    config::{Delivery, Response, ResponseAction},
    event::Phase,
};

/// Sites, each with a rule, whose hits are counted.
const SITES_MAX: usize = 1_000;
/// Hits remembered of one site and rule; a rule that wants more acts at this number.
const HITS_MAX: usize = 1_000;

/// A rule that is built in.
struct BuiltIn {
    name: &'static str,
    replies: &'static [&'static str],
    /// Patterns on domain or MX host; empty: everywhere.
    destinations: &'static [&'static str],
    action: ResponseAction,
    minutes: u64,
    /// It acts once it was seen this often within a minute.
    count: u32,
    /// Replies that it is for, with the host that gave them.
    #[cfg_attr(not(test), allow(dead_code, reason = "the documentation of the patterns, which a test reads"))]
    examples: &'static [(&'static str, &'static str)],
}

/// The Japanese carriers' mail hosts.
const CARRIERS: &[&str] = &[
    r"(?:^|\.)docomo\.ne\.jp$",
    r"(?:^|\.)(?:ezweb\.ne\.jp|au\.com)$",
    r"(?:^|\.)(?:softbank(?:\.ne)?|vodafone\.ne)\.jp$",
];

/// In the order of trying.
const BUILT_IN: &[BuiltIn] = &[
    BuiltIn {
        name: "too-many-connections",
        replies: &[
            r"^[45]\d\d .*\btoo many (?:[\w-]+ ){0,3}(?:connections|sessions)\b",
            r"^[45]\d\d .*\b(?:concurrent|simultaneous) (?:[\w-]+ ){0,2}(?:connections?|sessions?)\b.*\b(?:exceed|reach)",
            r"^[45]\d\d .*\bexceeded the maximum number of connections\b",
            r"^[45]\d\d .*\bconnection rate limit exceeded\b",
        ],
        destinations: &[],
        action: ResponseAction::Slow,
        minutes: 10,
        count: 1,
        examples: &[
            ("421 4.7.0 mx.example.jp Error: too many connections from 192.0.2.1", "mx.example.jp"),
            ("421 Too many concurrent SMTP connections; please try again later.", "mx.example.org"),
            ("421 4.3.2 Connection rate limit exceeded.", "mx.example.org"),
            ("452 4.3.2 Connection rate limit exceeded. (in reply to MAIL FROM)", "mx02.example.ne.jp"),
            (
                "421 4.3.2 The maximum number of concurrent server connections has exceeded a limit, closing transmission channel",
                "mx.example.com",
            ),
            (
                "421 4.7.652 The mail server [192.0.2.1] has exceeded the maximum number of connections.",
                "example-jp.mail.protection.outlook.com",
            ),
            ("554 5.7.1 Too many open connections from your host", "mx.example.net"),
        ],
    },
    BuiltIn {
        name: "yahoo-deferred",
        replies: &[r"^4\d\d .*\[TSS?\d\d\]"],
        destinations: &[],
        action: ResponseAction::Pause,
        minutes: 15,
        count: 1,
        examples: &[
            (
                "421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume or user complaints - 4.16.55.1; see https://postmaster.yahooinc.com/error-codes",
                "mta5.am0.yahoodns.net",
            ),
            (
                "421 4.7.1 [TS03] All messages from 192.0.2.1 will be permanently deferred; Retrying will NOT succeed. See https://postmaster.yahooinc.com/error-codes",
                "mta7.am0.yahoodns.net",
            ),
        ],
    },
    BuiltIn {
        name: "google-unsolicited",
        replies: &[r"^421 .*\bunusual (?:rate|amount) of (?:unsolicited )?e?mail\b.*\byour IP\b"],
        destinations: &[],
        action: ResponseAction::Pause,
        minutes: 15,
        count: 1,
        examples: &[(
            "421 4.7.28 [192.0.2.1      15] Our system has detected an unusual rate of unsolicited mail originating from your IP address. To protect our users from spam, mail sent from your IP address has been temporarily rate limited.",
            "gmail-smtp-in.l.google.com",
        )],
    },
    BuiltIn {
        name: "microsoft-busy",
        replies: &[r"^451 4\.7\.500 .*\bserver busy\b"],
        destinations: &[],
        action: ResponseAction::Pause,
        minutes: 10,
        count: 1,
        examples: &[(
            "451 4.7.500 Server busy. Please try again later from [192.0.2.1]. (S77719) [TY1JPN.prod.protection.outlook.com]",
            "example-jp.mail.protection.outlook.com",
        )],
    },
    BuiltIn {
        name: "microsoft-reputation",
        replies: &[r"^4\d\d 4\.7\.6\d\d ", r"\bpart of their network is on our block list\b"],
        destinations: &[r"\.(?:outlook|hotmail)\.com$"],
        action: ResponseAction::Pause,
        minutes: 30,
        count: 1,
        examples: &[
            (
                "421 4.7.650 The mail server [192.0.2.1] has been temporarily rate limited due to IP reputation. For e-mail delivery information, see https://postmaster.live.com (S775)",
                "hotmail-com.olc.protection.outlook.com",
            ),
            (
                "451 4.7.651 Unfortunately, messages from [192.0.2.1] weren't sent. Please contact your Internet service provider since part of their network is on our block list (S3150).",
                "outlook-com.olc.protection.outlook.com",
            ),
        ],
    },
    BuiltIn {
        name: "japanese-carrier-busy",
        replies: &[
            r"^4\d\d .*\bservice (?:is )?(?:currently |temporarily )?(?:not available|unavailable)\b",
            r"^4\d\d .*\btoo many mails?\b",
        ],
        destinations: CARRIERS,
        action: ResponseAction::Slow,
        minutes: 10,
        count: 3,
        examples: &[
            ("421 mfsmax.docomo.ne.jp Service not available, closing transmission channel", "mfsmax.docomo.ne.jp"),
            ("421 4.3.2 Service currently unavailable", "lsean.ezweb.ne.jp"),
            ("450 4.3.2 Service temporarily unavailable", "mx.softbank.ne.jp"),
        ],
    },
    BuiltIn {
        name: "temporarily-deferred",
        replies: &[r"^421 .*\btemporarily (?:deferred|blocked)\b"],
        destinations: &[],
        action: ResponseAction::Pause,
        minutes: 10,
        count: 1,
        examples: &[
            ("421 4.7.0 Mail from 192.0.2.1 temporarily deferred, see our postmaster page", "mx.example.org"),
            ("421 4.7.1 Your IP address is temporarily blocked", "mx.example.net"),
        ],
    },
    BuiltIn {
        name: "too-many-messages",
        replies: &[
            r"^4\d\d .*\btoo many (?:messages|mails|e-?mails) (?:from|sent|in the last)\b",
            r"^4\d\d .*\bthrottled\b",
        ],
        destinations: &[],
        action: ResponseAction::Slow,
        minutes: 10,
        count: 1,
        examples: &[
            ("421 4.7.0 Too many messages from 192.0.2.1, slow down", "mx.example.org"),
            (
                "421 4.1.0 192.0.2.1 Throttled - try again later. Please see http://postmaster.comcast.net/smtp-error-codes.php#RL000001",
                "mx1.comcast.net",
            ),
        ],
    },
    BuiltIn {
        name: "rate-limited",
        replies: &[
            r"^4\d\d .*\brate[- ]limited(?: by\b|\.|,|;|\)|$)",
            r"^4\d\d .*\b(?:message|mail|sending|delivery) rate (?:limit )?(?:has been |was |is )?exceeded\b",
            r"^4\d\d .*\bexceeded (?:[\w'-]+ ){0,4}rate limit\b",
            r"^4\d\d .*\btry again slower\b",
        ],
        destinations: &[],
        action: ResponseAction::Slow,
        minutes: 10,
        // A smarthost may say this of one of several senders: that alone slows nobody.
        count: 3,
        examples: &[
            ("451 4.7.1 You have exceeded your rate limit", "mx.example.org"),
            ("421 4.7.0 This host is rate limited.", "mx.example.org"),
            ("450 4.7.0 Please try again slower", "mx.example.net"),
        ],
    },
];

/// A rule, made ready.
#[derive(Debug)]
pub(super) struct ResponseRule {
    pub name: Arc<str>,
    destinations: Vec<Regex>,
    pub action: ResponseAction,
    pub duration: Duration,
    pub count: u32,
    pub within: Duration,
}

/// A refusal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heard<'a> {
    /// As it is logged.
    pub reply: &'a str,
    pub phase: Phase,
    pub kind: Kind,
    /// The recipient's domain; empty where it was said to none in particular.
    pub domain: &'a str,
    /// The same, or the smarthost.
    pub destination: &'a str,
    /// The host that said it.
    pub host: &'a str,
}

/// All rules, in the order of trying.
#[derive(Debug)]
pub(super) struct Responses {
    rules: Vec<ResponseRule>,
    patterns: Patterns,
}

impl Responses {
    pub(super) fn new(delivery: &Delivery) -> Self {
        let built_in: Vec<Response> =
            if delivery.response_defaults { BUILT_IN.iter().map(BuiltIn::ready).collect() } else { Vec::new() };
        let all = || delivery.responses.iter().chain(&built_in);
        Responses {
            patterns: Patterns::new(all().map(|response| response.replies.as_slice())),
            rules: all()
                .map(|response| ResponseRule {
                    name: response.name.as_str().into(),
                    destinations: response.destinations.clone(),
                    action: response.action,
                    duration: response.duration,
                    count: response.count.max(1),
                    within: response.within,
                })
                .collect(),
        }
    }

    /// The rule that acts on a refusal: its place.
    pub(super) fn find(&self, heard: Heard<'_>) -> Option<usize> {
        let passing = may_pass(heard.phase, heard.kind);
        self.patterns.all(heard.reply).find(|at| {
            let rule = &self.rules[*at];
            let near = |pattern: &Regex| pattern.is_match(heard.destination) || pattern.is_match(heard.host);
            let here = |pattern: &Regex| match rule.action {
                // A smarthost is not pushed for what it says of somebody else's domain.
                ResponseAction::Pause | ResponseAction::Slow => passing && near(pattern),
                ResponseAction::Fail => near(pattern) || pattern.is_match(heard.domain),
            };
            let anywhere = rule.destinations.is_empty() && (passing || rule.action == ResponseAction::Fail);
            anywhere || rule.destinations.iter().any(here)
        })
    }

    /// The rule in a place.
    pub(super) fn rule(&self, at: usize) -> &ResponseRule {
        &self.rules[at]
    }
}

/// The refusal is about the moment or the connection, not about a mail for good.
fn may_pass(phase: Phase, kind: Kind) -> bool {
    match kind {
        Kind::Transient | Kind::Closing => true,
        Kind::Permanent => matches!(phase, Phase::Connect | Phase::Greeting | Phase::Ehlo),
        _ => false,
    }
}

impl BuiltIn {
    fn ready(&self) -> Response {
        Response {
            name: self.name.to_owned(),
            replies: compiled(self.replies),
            destinations: compiled(self.destinations),
            action: self.action,
            duration: Duration::from_secs(60 * self.minutes),
            count: self.count,
            within: Duration::from_secs(60),
        }
    }
}

fn compiled(patterns: &[&str]) -> Vec<Regex> {
    let pattern = |text: &&str| {
        RegexBuilder::new(text).case_insensitive(true).build().expect("the built-in patterns are tried by a test")
    };
    patterns.iter().map(pattern).collect()
}

/// How often rules were met lately, for those that act only on the third time or so.
#[derive(Default)]
pub(super) struct Hits(Mutex<HashMap<SiteAndRule, Recent>>);

type SiteAndRule = (Arc<str>, Arc<str>);

struct Recent {
    within: Duration,
    at: VecDeque<Instant>,
}

impl Hits {
    /// Counts hits of a rule at a site; true once they are enough, and then the count begins anew.
    pub(super) fn reached(&self, site: &Arc<str>, rule: &ResponseRule, hits: u32, now: Instant) -> bool {
        let wanted = usize::try_from(rule.count).unwrap_or(HITS_MAX).clamp(1, HITS_MAX);
        let hits = usize::try_from(hits).unwrap_or(HITS_MAX).min(wanted);
        if hits >= wanted {
            return true;
        }
        let mut sites = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (site.clone(), rule.name.clone());
        if sites.len() >= SITES_MAX && !sites.contains_key(&key) {
            let fresh = |recent: &Recent| {
                recent.at.back().is_some_and(|last| now.saturating_duration_since(*last) < recent.within)
            };
            sites.retain(|_, recent| fresh(recent));
            // All of them fresh: counting anew makes some rules act later, no more.
            if sites.len() >= SITES_MAX {
                sites.clear();
            }
        }
        let recent = sites.entry(key.clone()).or_insert_with(|| Recent { within: rule.within, at: VecDeque::new() });
        while recent.at.front().is_some_and(|first| now.saturating_duration_since(*first) >= rule.within) {
            recent.at.pop_front();
        }
        recent.at.extend(std::iter::repeat_n(now, hits));
        let reached = recent.at.len() >= wanted;
        if reached {
            sites.remove(&key);
        }
        reached
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, Timestamp};

    fn kind_of(reply: &str) -> Kind {
        match &reply[..3] {
            "421" => Kind::Closing,
            code if code.starts_with('4') => Kind::Transient,
            _ => Kind::Permanent,
        }
    }

    fn found(responses: &Responses, reply: &str, phase: Phase, host: &str) -> Option<String> {
        let (domain, destination) = ("recipient.jp", "example.jp");
        let heard = Heard { reply, phase, kind: kind_of(reply), domain, destination, host };
        responses.find(heard).map(|at| responses.rule(at).name.to_string())
    }

    #[test]
    fn each_built_in_rule_matches_the_replies_it_is_for_first() {
        let responses = Responses::new(&Delivery::default());
        for built_in in BUILT_IN {
            assert!(!built_in.examples.is_empty());
            for (reply, host) in built_in.examples {
                assert_eq!(found(&responses, reply, Phase::Greeting, host).as_deref(), Some(built_in.name), "{reply}");
            }
        }
    }

    #[test]
    fn replies_about_one_mail_sender_or_mailbox_match_no_built_in_rule() {
        let responses = Responses::new(&Delivery::default());
        for reply in [
            "450 4.2.0 <u@example.jp>: Recipient address rejected: Greylisted, see http://postgrey.example/help",
            "450 4.7.1 <u@example.jp>: Recipient address rejected: Greylisting in effect, please come back later",
            "451 4.7.1 Greylisting in action, please come back in 00:04:59",
            "451 4.7.1 Temporarily deferred, greylisting: try again later",
            "450 4.2.1 The user you are trying to contact is receiving mail at a rate that prevents additional messages from being delivered.",
            "450 4.2.1 The user you are trying to contact is receiving mail too quickly.",
            "421 4.7.26 This mail has been rate limited because it is unauthenticated.",
            "421 4.7.28 Gmail has detected an unusual rate of mail originating from your SPF domain [example.jp].",
            "452 4.2.2 The email account that you tried to reach is over quota.",
            "452 4.5.3 Too many recipients",
            "421 4.7.0 Too many messages in this session",
            "421 4.4.2 mx.example.jp Error: timeout exceeded",
            "450 4.1.8 Sender address rejected: Domain not found",
            "451 4.3.0 Error: queue file write error",
            "421 Service not available, closing transmission channel",
            "454 4.7.0 TLS not available due to local problem",
        ] {
            assert_eq!(found(&responses, reply, Phase::Rcpt, "mx.example.jp"), None, "{reply}");
        }
    }

    #[test]
    fn only_what_may_pass_pauses_or_slows() {
        let responses = Responses::new(&Delivery::default());
        let reply = "550 5.7.1 Too many connections from your host";
        assert!(found(&responses, reply, Phase::Greeting, "h").is_some());
        for phase in [Phase::Auth, Phase::Mail, Phase::Rcpt, Phase::Content] {
            assert_eq!(found(&responses, reply, phase, "h"), None, "{phase:?}");
        }
        let refused = "550 5.7.1 messages weren't sent since part of their network is on our block list (S3150).";
        assert_eq!(found(&responses, refused, Phase::Mail, "x.olc.protection.outlook.com"), None);
    }

    #[test]
    fn configured_rules_come_first_and_only_where_they_are_for() {
        let rule = |name: &str, reply: &str, action, destinations: &[&str]| Response {
            name: name.into(),
            replies: compiled(&[reply]),
            destinations: compiled(destinations),
            action,
            ..Response::default()
        };
        let mut delivery = Delivery {
            responses: vec![
                rule("elsewhere", "too many", ResponseAction::Pause, &["^other\\.jp$"]),
                rule("not-pushed", "too many", ResponseAction::Slow, &["^recipient\\.jp$"]),
                rule("for-one", "quota", ResponseAction::Fail, &["^recipient\\.jp$"]),
                rule("paused", "no such", ResponseAction::Pause, &[]),
                rule("fails", "^550 .*no such|mailbox is gone", ResponseAction::Fail, &[]),
                rule("mine", "TOO MANY connections", ResponseAction::Pause, &["^example\\.jp$", "^mx\\."]),
            ],
            ..Delivery::default()
        };
        let responses = Responses::new(&delivery);
        let many = "421 too many connections";
        assert_eq!(found(&responses, many, Phase::Rcpt, "h").as_deref(), Some("mine"));
        // A pause cannot act on it; the next one that matches can.
        assert_eq!(found(&responses, "550 no such user", Phase::Rcpt, "h").as_deref(), Some("fails"));
        assert_eq!(found(&responses, "450 no such user yet", Phase::Rcpt, "h").as_deref(), Some("paused"));
        assert_eq!(found(&responses, "450 the mailbox is gone", Phase::Rcpt, "h").as_deref(), Some("fails"));
        assert_eq!(found(&responses, "452 over quota", Phase::Rcpt, "h").as_deref(), Some("for-one"));
        delivery.responses.clear();
        assert_eq!(found(&Responses::new(&delivery), many, Phase::Rcpt, "h").as_deref(), Some("too-many-connections"));
        delivery.response_defaults = false;
        assert_eq!(found(&Responses::new(&delivery), many, Phase::Rcpt, "h"), None);
    }

    #[test]
    fn a_rule_acts_once_it_was_met_often_enough_in_its_time() {
        let clock = Clock::manual(Timestamp::from_millis(1));
        let start = clock.instant();
        let rule = ResponseRule {
            name: "r".into(),
            destinations: Vec::new(),
            action: ResponseAction::Pause,
            duration: Duration::from_secs(60),
            count: 3,
            within: Duration::from_secs(10),
        };
        let hits = Hits::default();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let (one, two): (Arc<str>, Arc<str>) = ("one".into(), "two".into());
        assert!(!hits.reached(&one, &rule, 1, at(0)));
        assert!(!hits.reached(&one, &rule, 1, at(5)));
        assert!(!hits.reached(&two, &rule, 1, at(5)), "another site");
        assert!(!hits.reached(&one, &rule, 1, at(11)), "the first is too long ago");
        assert!(hits.reached(&one, &rule, 1, at(12)));
        assert!(!hits.reached(&one, &rule, 2, at(12)), "it counts anew");
        assert!(hits.reached(&one, &rule, 1, at(13)));
        assert!(hits.reached(&one, &rule, 3, at(14)), "all at once");
        for n in 0..3 * SITES_MAX {
            hits.reached(&format!("s{n}").into(), &rule, 1, at(20));
        }
        assert!(hits.0.lock().expect("hits").len() <= SITES_MAX);
    }
}
