//! The table of all keys, second part: `[delivery]` and everything below it.
//!
//! In: a [`Visit`]or.  Out: every key of where, how fast and how safely mail goes.
//! Always: the first key of a row names it in differences and in the log.
//! Sources: config.md; RFC 8460 and RFC 7672 for the TLS policies.

use std::time::Duration;

use super::{
    Delivery, DomainTls, Ipv6, Mode, Priority, PriorityRule, Response, ResponseAction, Rule, Source, TlsPolicy, WarmUp,
    keys::{INSTANT, Visit},
    kinds::{Bool, Day, List, Name, OrAbsent, OrEmpty, Text, Time, Whole, Words, days, hours, list},
    kinds_net::{DomainName, DomainSuffix, EmptyOr, File, HostAndPort, Ip, Pattern},
};
use crate::event::Class;

/// The words of a TLS policy.
const TLS_POLICIES: &[(&str, TlsPolicy)] = &[
    ("none", TlsPolicy::None),
    ("opportunistic", TlsPolicy::Opportunistic),
    ("require", TlsPolicy::Require),
    ("verify", TlsPolicy::Verify),
];

/// The words of a priority class.
const CLASSES: &[(&str, Class)] = &[("high", Class::High), ("normal", Class::Normal), ("low", Class::Low)];

/// Recipients a day of a warming address at most: more than anybody sends from one.
const WARM_UP_CAP_MAX: u64 = 100_000_000;
/// Days of a warm-up at most.
const WARM_UP_DAYS_MAX: usize = 365;

pub(super) fn delivery<V: Visit>(v: &mut V, d: &mut Delivery) {
    let words = &[("internet", Mode::Internet), ("smarthost", Mode::Smarthost), ("sandbox", Mode::Sandbox)];
    v.key("mode", &mut d.mode, Words(words));
    v.key("smarthost", &mut d.smarthost, OrEmpty(HostAndPort));
    v.key("smarthost_user", &mut d.smarthost_user, Text(256));
    v.key("smarthost_password_file", &mut d.smarthost_password_file, OrEmpty(File));
    v.key("smarthost_tls", &mut d.smarthost_tls, Words(TLS_POLICIES));
    v.key("ipv6", &mut d.ipv6, Words(&[("auto", Ipv6::Auto), ("on", Ipv6::On), ("off", Ipv6::Off)]));
    v.key("downgrade_8bit", &mut d.downgrade_8bit, Bool);
    v.key("connections_total", &mut d.connections_total, Whole(1, 50_000));
    v.key("port", &mut d.port, Whole(1, 65_535));
    v.key("connections_per_destination", &mut d.connections_per_destination, Whole(1, 1000));
    v.key("messages_per_connection", &mut d.messages_per_connection, Whole(1, 10_000));
    v.key("source_addresses", &mut d.source_addresses, list(Ip));
    v.key("tls", &mut d.tls, Words(TLS_POLICIES));
    v.key("dane", &mut d.dane, Bool);
    v.key("mta_sts", &mut d.mta_sts, Bool);
    v.key("block_private_destinations", &mut d.block_private_destinations, Bool);
    v.key("response_defaults", &mut d.response_defaults, Bool);
    v.tables("source", &mut d.sources, source);
    v.table("warm_up", |v| warm_up(v, &mut d.warm_up));
    v.tables("tls_policy", &mut d.tls_policies, tls_policy);
    v.table("priority", |v| priority(v, &mut d.priority));
    v.tables("rule", &mut d.rules, rule);
    v.tables("response", &mut d.responses, response);
}

fn source<V: Visit>(v: &mut V, s: &mut Source) {
    v.required("address", &mut s.address, Ip);
    v.key("weight", &mut s.weight, Whole(1, 1000));
    v.key("hostname", &mut s.hostname, EmptyOr(DomainName));
    v.key("users", &mut s.users, list(Text(256)));
    v.key("warm_up_from", &mut s.warm_up_from, OrEmpty(Day));
}

fn warm_up<V: Visit>(v: &mut V, w: &mut WarmUp) {
    v.key("schedule", &mut w.schedule, List { of: Whole(1, WARM_UP_CAP_MAX), min: 1, max: WARM_UP_DAYS_MAX });
    v.key("alone", &mut w.alone, Bool);
}

fn tls_policy<V: Visit>(v: &mut V, t: &mut DomainTls) {
    v.required("domains", &mut t.domains, List { of: DomainSuffix, min: 1, max: 1000 });
    v.required("policy", &mut t.policy, Words(TLS_POLICIES));
}

fn priority<V: Visit>(v: &mut V, p: &mut Priority) {
    v.key("header", &mut p.header, Text(64));
    v.key("strip", &mut p.strip, Bool);
    v.key("low_share_percent", &mut p.low_share_percent, Whole(1, 50));
    v.tables("rule", &mut p.rules, priority_rule);
}

fn priority_rule<V: Visit>(v: &mut V, r: &mut PriorityRule) {
    v.required("class", &mut r.class, Words(CLASSES));
    v.key("senders", &mut r.senders, list(Pattern));
    v.key("recipients", &mut r.recipients, list(Pattern));
    v.key("users", &mut r.users, list(Text(256)));
}

fn rule<V: Visit>(v: &mut V, r: &mut Rule) {
    v.required("name", &mut r.name, Name);
    v.key("recipients", &mut r.recipients, list(Pattern));
    v.key("mx_hosts", &mut r.mx_hosts, list(Pattern));
    v.key("connections_max", &mut r.connections_max, OrAbsent(Whole(1, 1000)));
    v.key("interval", &mut r.interval, Time(Duration::ZERO, hours(1)));
    v.key("fixed", &mut r.fixed, Bool);
    v.key("smarthost", &mut r.smarthost, OrEmpty(HostAndPort));
    v.key("source_addresses", &mut r.source_addresses, list(Ip));
}

fn response<V: Visit>(v: &mut V, r: &mut Response) {
    v.required("name", &mut r.name, Name);
    v.key("replies", &mut r.replies, list(Pattern));
    v.key("destinations", &mut r.destinations, list(Pattern));
    let words = &[("pause", ResponseAction::Pause), ("slow", ResponseAction::Slow), ("fail", ResponseAction::Fail)];
    v.key("action", &mut r.action, Words(words));
    v.key("duration", &mut r.duration, Time(Duration::from_secs(1), days(7)));
    v.key("count", &mut r.count, Whole(1, 10_000));
    v.key("within", &mut r.within, Time(INSTANT, days(1)));
}
