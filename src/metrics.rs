//! The daemon's counters, as plain atomics that every room may count on; `http/metrics` prints them for Prometheus.
//!
//! Always: names and labels are fixed in code, never taken from mail, so that their number is bounded.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Counts one.
    pub fn one(&self) {
        self.add(1);
    }

    /// Counts several.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Takes over a count that is kept elsewhere.
    pub fn raise_to(&self, n: u64) {
        self.0.fetch_max(n, Ordering::Relaxed);
    }

    /// The count.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// One more.
    pub fn up(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// One less.
    pub fn down(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// Exactly this.
    pub fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }

    /// The number.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// All of them; one a process, shared by `Arc`.
#[derive(Debug, Default)]
pub struct Metrics {
    /// SMTP sessions open now.
    pub sessions: Gauge,
    /// SMTP sessions opened since the start.
    pub sessions_total: Counter,
    /// Sessions refused by a limit (421).
    pub sessions_refused: Counter,
    /// Messages accepted.
    pub messages_accepted: Counter,
    /// Recipients accepted.
    pub recipients_accepted: Counter,
    /// Octets of accepted messages.
    pub octets_accepted: Counter,
    /// Commands and messages refused with 4yz or 5yz.
    pub refusals: Counter,
    /// Wrong credentials.
    pub logins_failed: Counter,
    /// Keys verified by argon2id; other logins were found in the cache or refused unheard.
    pub logins_hashed: Counter,
    /// Delivery attempts started.
    pub attempts: Counter,
    /// Recipients delivered.
    pub delivered: Counter,
    /// Tries that deferred a recipient.
    pub deferred: Counter,
    /// Recipients failed.
    pub failed: Counter,
    /// Recipients dropped by an operator.
    pub dropped: Counter,
    /// Attempts that may have left a duplicate (P3).
    pub possible_duplicates: Counter,
    /// Outbound connections open now.
    pub connections: Gauge,
    /// Outbound connections opened since the start.
    pub connections_total: Counter,
    /// Notices (DSNs) composed.
    pub notices: Counter,
    /// Mails to return and complaint addresses that were failure reports …
    pub inbound_bounces: Counter,
    /// … complaints …
    pub inbound_complaints: Counter,
    /// … notices of delay …
    pub inbound_delays: Counter,
    /// … reports of success …
    pub inbound_successes: Counter,
    /// … automatic replies …
    pub inbound_replies: Counter,
    /// … none of these.
    pub inbound_others: Counter,
    /// Mails that came in and were passed on.
    pub inbound_forwarded: Counter,
    /// Recipients that bounced after they were delivered.
    pub bounced: Counter,
    /// Recipients that complained.
    pub complained: Counter,
    /// Store commits.
    pub commits: Counter,
    /// Operations that those commits held.
    pub commit_operations: Counter,
    /// Milliseconds that the writer is behind.
    pub writer_behind_millis: Gauge,
    /// Recipients deferred without a try because their site is in trouble.
    pub held_back: Counter,
    /// Times that a response rule paused or slowed a site.
    pub pushes: Counter,
    /// Deliveries over TLS.
    pub delivered_tls: Counter,
    /// Deliveries over TLS whose peer was verified by DANE, MTA-STS or the configured policy.
    pub delivered_verified: Counter,
    /// Opportunistic deliveries in clear after a handshake failed.
    pub clear_after_tls: Counter,
    /// TLS policies that were not met: the try went on with another host or was deferred.
    pub tls_refused: Counter,
    /// MTA-STS policies fetched.
    pub sts_fetched: Counter,
    /// MTA-STS policies that could not be fetched.
    pub sts_failed: Counter,
    /// TLS reports sent.
    pub tls_reports_sent: Counter,
    /// TLS reports that came in.
    pub tls_reports_received: Counter,
    /// DMARC reports that are kept, failure reports among them.
    pub dmarc_reports_received: Counter,
    /// DMARC reports that were refused: about nobody here, too old, or too many.
    pub dmarc_reports_refused: Counter,
    /// Rows of kept DMARC reports.
    pub dmarc_rows: Counter,
    /// Leads that were signed: one a message, or one a recipient of a list's mail.
    pub dkim_signed: Counter,
    /// Mail that left unsigned though there are keys: its domain has none …
    pub dkim_unsigned_no_key: Counter,
    /// … it has no From …
    pub dkim_unsigned_no_from: Counter,
    /// … it has several …
    pub dkim_unsigned_several_from: Counter,
    /// … its header is too long …
    pub dkim_unsigned_long_header: Counter,
    /// … it came in and is passed on.
    pub dkim_unsigned_passed_on: Counter,
    /// Times that signing failed: the mail waits.
    pub dkim_failed: Counter,
    /// Microseconds that the signing threads worked.
    pub dkim_micros: Counter,
    /// Mail that waits for its signature now.
    pub dkim_queue: Gauge,
    /// DNS queries sent.
    pub dns_queries: Counter,
    /// Addresses that came onto the suppression list.
    pub suppressed: Counter,
    /// Errors that were held because their destination's unknown users had jumped.
    pub suppressions_held: Counter,
    /// Recipients that were not written to.
    pub blocked: Counter,
    /// Destinations whose errors are held now.
    pub brakes_held: Gauge,
    /// HTTP requests answered.
    pub http_requests: Counter,
    /// Posts of webhooks that were tried …
    pub webhook_posts: Counter,
    /// … those that failed …
    pub webhook_failures: Counter,
    /// … and events in those that were answered 2xx.
    pub webhook_events: Counter,
    /// Seconds that the oldest DKIM key which signs has signed.
    pub dkim_key_age_seconds: Gauge,
    /// DKIM keys that are on their way to sign.
    pub dkim_rotations: Gauge,
    /// DKIM keys with which something is wrong.
    pub dkim_key_alarms: Gauge,
}
