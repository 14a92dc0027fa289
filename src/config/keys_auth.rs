//! The table of all keys, part of sender authentication.
//!
//! In: a [`Visit`]or.  Out: the keys of `[dkim]`, `[domain_check]` and `[dmarc]`.
//! Sources: config.md; issue 6.

use super::{
    Dkim, Dmarc, DomainCheck, KnownSender,
    keys::Visit,
    kinds::{DailyTime, List, Name, OrEmpty, Time, Whole, days, list},
    kinds_net::{DomainName, DomainSuffix, EmptyOr, Ip, Socket},
};

/// Signing threads at most: signing is what a core does, and more threads than cores only wait.
const SIGNING_THREADS_MAX: u64 = 64;

pub(super) fn dkim<V: Visit>(v: &mut V, d: &mut Dkim) {
    v.key("threads", &mut d.threads, Whole(0, SIGNING_THREADS_MAX));
    v.key("key_age_max", &mut d.key_age_max, OrEmpty(Time(days(1), days(3650))));
    v.key("resolvers", &mut d.resolvers, List { of: Socket { port: Some(53) }, min: 0, max: 8 });
}

pub(super) fn domain_check<V: Visit>(v: &mut V, d: &mut DomainCheck) {
    v.key("run", &mut d.run_at_minute, DailyTime::OR_NEVER);
    v.key("addresses", &mut d.addresses, list(Ip));
    v.key("blocklists", &mut d.blocklists, list(DomainName));
}

pub(super) fn dmarc<V: Visit>(v: &mut V, d: &mut Dmarc) {
    v.tables("sender", &mut d.senders, sender);
}

fn sender<V: Visit>(v: &mut V, s: &mut KnownSender) {
    v.required("name", &mut s.name, Name);
    v.key("include", &mut s.include, EmptyOr(DomainName));
    v.key("rdns", &mut s.rdns, EmptyOr(DomainSuffix));
}
