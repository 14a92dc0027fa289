//! `/metrics`: the daemon's counters in Prometheus' text format.
//!
//! In: [`Metrics`] and what only the daemon knows.  Out: text, one family a name, each with HELP and TYPE.
//! Always: names start with `hikyaku_` or `process_` and stay; labels come from code, never from mail, so that their number
//! is bounded; a counter's name ends in `_total`, a unit stands in the name.
//! Sources: Prometheus text exposition format 0.0.4.

use std::fmt::Write;

use crate::{
    clock::Timestamp,
    http::{
        daemon::Daemon,
        exchange::Response,
        rows::{AgesOut, mode_word, validation_word},
    },
    metrics::Metrics,
    net::dns::Validation,
    store::{MemoKind, Totals},
    webhook::view::{State, View},
};

const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Linux's clock ticks a second in /proc; fixed for user space on every architecture that Hikyaku runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// The page for Prometheus.
pub fn metrics(daemon: &dyn Daemon) -> Response {
    Response::new(200, CONTENT_TYPE, text(daemon))
}

type Family<T> = (&'static str, &'static str, fn(&T) -> u64);

const COUNTERS: [Family<Metrics>; 41] = [
    ("smtp_sessions_total", "SMTP sessions opened.", |m| m.sessions_total.get()),
    ("smtp_sessions_refused_total", "SMTP sessions refused by a limit (421).", |m| m.sessions_refused.get()),
    ("messages_accepted_total", "Messages accepted: safe on disk, answered 250.", |m| m.messages_accepted.get()),
    ("recipients_accepted_total", "Recipients of accepted messages.", |m| m.recipients_accepted.get()),
    ("accepted_bytes_total", "Octets of accepted messages.", |m| m.octets_accepted.get()),
    ("refusals_total", "Commands and messages refused with 4yz or 5yz.", |m| m.refusals.get()),
    ("logins_hashed_total", "Keys verified by argon2id; other logins were cached or refused unheard.", |m| {
        m.logins_hashed.get()
    }),
    ("logins_failed_total", "Logins with wrong credentials.", |m| m.logins_failed.get()),
    ("attempts_total", "Delivery attempts started.", |m| m.attempts.get()),
    ("possible_duplicates_total", "Attempts that may have left a duplicate: the reply was lost.", |m| {
        m.possible_duplicates.get()
    }),
    ("connections_total", "Outbound connections opened.", |m| m.connections_total.get()),
    ("notices_total", "Delivery status notifications composed.", |m| m.notices.get()),
    ("store_commits_total", "Commits of the store, each synced to disk.", |m| m.commits.get()),
    ("store_operations_total", "Operations that those commits held.", |m| m.commit_operations.get()),
    ("dkim_signed_total", "Mails signed; of a list's mail, one a recipient.", |m| m.dkim_signed.get()),
    ("dkim_failed_total", "Times that signing failed: the mail waits.", |m| m.dkim_failed.get()),
    ("dns_queries_total", "DNS queries sent.", |m| m.dns_queries.get()),
    ("http_requests_total", "HTTP requests answered.", |m| m.http_requests.get()),
    ("recipients_dropped_total", "Recipients dropped by an operator.", |m| m.dropped.get()),
    ("held_back_total", "Recipients deferred without a try because their site is in trouble.", |m| m.held_back.get()),
    ("pushes_total", "Times that a response rule paused or slowed a site.", |m| m.pushes.get()),
    ("delivered_tls_total", "Recipients delivered over TLS.", |m| m.delivered_tls.get()),
    ("delivered_verified_total", "Recipients delivered over TLS to a peer verified by DANE, MTA-STS or policy.", |m| {
        m.delivered_verified.get()
    }),
    ("clear_after_tls_total", "Opportunistic deliveries in clear after a handshake failed.", |m| {
        m.clear_after_tls.get()
    }),
    ("tls_refused_total", "Tries at a host that did not meet its TLS policy.", |m| m.tls_refused.get()),
    ("mta_sts_fetched_total", "MTA-STS policies fetched.", |m| m.sts_fetched.get()),
    ("mta_sts_failed_total", "MTA-STS policies that could not be fetched.", |m| m.sts_failed.get()),
    ("tls_reports_sent_total", "TLS reports sent.", |m| m.tls_reports_sent.get()),
    ("tls_reports_received_total", "TLS reports that came in.", |m| m.tls_reports_received.get()),
    ("dmarc_reports_received_total", "DMARC reports that came in and are kept.", |m| m.dmarc_reports_received.get()),
    ("dmarc_reports_refused_total", "DMARC reports that were refused.", |m| m.dmarc_reports_refused.get()),
    ("dmarc_rows_total", "Rows of DMARC reports that came in.", |m| m.dmarc_rows.get()),
    ("inbound_forwarded_total", "Mails that came in and were passed on.", |m| m.inbound_forwarded.get()),
    ("bounced_total", "Recipients that bounced after they were delivered.", |m| m.bounced.get()),
    ("complained_total", "Recipients that complained.", |m| m.complained.get()),
    ("suppressed_total", "Addresses that came onto the suppression list.", |m| m.suppressed.get()),
    ("suppressions_held_total", "Errors held because their destination's unknown users had jumped.", |m| {
        m.suppressions_held.get()
    }),
    ("webhook_posts_total", "Posts of webhooks that were tried.", |m| m.webhook_posts.get()),
    ("webhook_failures_total", "Posts of webhooks that were not answered 2xx.", |m| m.webhook_failures.get()),
    ("webhook_events_total", "Events in posts of webhooks that were answered 2xx.", |m| m.webhook_events.get()),
    ("blocked_total", "Recipients that were not written to: suppressed or unsubscribed.", |m| m.blocked.get()),
];

const GAUGES: [Family<Metrics>; 7] = [
    ("smtp_sessions", "SMTP sessions open now.", |m| m.sessions.get()),
    ("connections", "Outbound connections open now.", |m| m.connections.get()),
    ("dkim_queue", "Mails that wait for their signature.", |m| m.dkim_queue.get()),
    ("dkim_key_age_seconds", "How long the oldest DKIM key that signs has signed.", |m| m.dkim_key_age_seconds.get()),
    ("dkim_rotations", "DKIM keys that are on their way to sign.", |m| m.dkim_rotations.get()),
    ("dkim_key_alarms", "DKIM keys with which something is wrong; hikyaku status says what.", |m| {
        m.dkim_key_alarms.get()
    }),
    ("suppression_brakes", "Destinations whose errors are held instead of suppressing.", |m| m.brakes_held.get()),
];

const TOTALS: [Family<Totals>; 6] = [
    ("queue_recipients", "Recipients that wait, held ones included.", |t| t.waiting),
    ("queue_recipients_held", "Recipients that an operator holds.", |t| t.held),
    ("store_bodies_bytes", "Octets of live message bodies.", |t| t.body_octets),
    ("store_leads", "Signed header fields that are kept for the next try of their mail.", |t| t.leads),
    ("store_database_bytes", "Octets of the database file.", |t| t.database_octets),
    ("store_disk_free_bytes", "Octets free on the data directory's disk.", |t| t.disk_free),
];

fn text(daemon: &dyn Daemon) -> String {
    let mut out = String::with_capacity(8 * 1024);
    let about = daemon.about();
    let metrics = daemon.metrics();
    let totals = daemon.totals();

    head(&mut out, "hikyaku_build_info", "gauge", "Version and delivery mode of the running daemon; always 1.");
    let _ = writeln!(out, "hikyaku_build_info{{version=\"{}\",mode=\"{}\"}} 1", about.version, mode_word(about.mode));
    for (name, help, get) in COUNTERS {
        one(&mut out, &format!("hikyaku_{name}"), "counter", help, get(&metrics));
    }
    head(&mut out, "hikyaku_verdicts_total", "counter", "Results of delivery tries, one a recipient and try.");
    for (verdict, n) in
        [("delivered", metrics.delivered.get()), ("deferred", metrics.deferred.get()), ("failed", metrics.failed.get())]
    {
        let _ = writeln!(out, "hikyaku_verdicts_total{{verdict=\"{verdict}\"}} {n}");
    }
    head(
        &mut out,
        "hikyaku_inbound_total",
        "counter",
        "Mails that came to return and complaint addresses, by what they are.",
    );
    for (kind, n) in [
        ("bounce", metrics.inbound_bounces.get()),
        ("complaint", metrics.inbound_complaints.get()),
        ("delay", metrics.inbound_delays.get()),
        ("delivered", metrics.inbound_successes.get()),
        ("auto-reply", metrics.inbound_replies.get()),
        ("other", metrics.inbound_others.get()),
    ] {
        let _ = writeln!(out, "hikyaku_inbound_total{{kind=\"{kind}\"}} {n}");
    }
    dkim(&mut out, &metrics);
    for (name, help, get) in GAUGES {
        one(&mut out, &format!("hikyaku_{name}"), "gauge", help, get(&metrics));
    }
    for (name, help, get) in TOTALS {
        one(&mut out, &format!("hikyaku_{name}"), "gauge", help, get(&totals));
    }
    let activity = daemon.activity();
    let running = activity.iter().map(|a| u64::from(a.running)).sum();
    one(&mut out, "hikyaku_attempts_running", "gauge", "Delivery attempts that run now.", running);
    let now = daemon.now();
    let paused = activity.iter().filter(|a| a.paused_until.is_some_and(|until| until > now)).count() as u64;
    one(&mut out, "hikyaku_destinations_paused", "gauge", "Destinations that are in trouble and wait.", paused);
    delivery(&mut out, daemon, now);
    webhooks(&mut out, daemon, now);
    let behind = metrics.writer_behind_millis.get();
    head(&mut out, "hikyaku_store_behind_seconds", "gauge", "How long the oldest operation has waited for the writer.");
    let _ = writeln!(out, "hikyaku_store_behind_seconds {}.{:03}", behind / 1000, behind % 1000);
    let ready = u64::from(daemon.unready().is_empty());
    one(&mut out, "hikyaku_ready", "gauge", "1 when new mail is taken, as /readyz says.", ready);
    one(
        &mut out,
        "hikyaku_panics_total",
        "counter",
        "Tasks that panicked and were fenced. Report them.",
        daemon.panics(),
    );
    let started = about.started_at.as_seconds();
    one(&mut out, "process_start_time_seconds", "gauge", "When the process started, in Unix time.", started);
    process(&mut out);
    out
}

/// What was signed, and what was not.
fn dkim(out: &mut String, metrics: &Metrics) {
    let name = "hikyaku_dkim_unsigned_total";
    head(out, name, "counter", "Times that mail went out unsigned though there are keys, by reason.");
    for (reason, n) in [
        ("no_key", metrics.dkim_unsigned_no_key.get()),
        ("no_from", metrics.dkim_unsigned_no_from.get()),
        ("several_from", metrics.dkim_unsigned_several_from.get()),
        ("long_header", metrics.dkim_unsigned_long_header.get()),
        ("passed_on", metrics.dkim_unsigned_passed_on.get()),
    ] {
        let _ = writeln!(out, "{name}{{reason=\"{reason}\"}} {n}");
    }
    let (name, micros) = ("hikyaku_dkim_seconds_total", metrics.dkim_micros.get());
    head(out, name, "counter", "Seconds that the signing threads worked.");
    let _ = writeln!(out, "{name} {}.{:06}", micros / 1_000_000, micros % 1_000_000);
}

/// What the store and the rules say of how mail goes; a family that cannot be read is left out.
fn delivery(out: &mut String, daemon: &dyn Daemon, now: Timestamp) {
    if let Ok(oldest) = daemon.oldest() {
        let name = "hikyaku_oldest_seconds";
        head(out, name, "gauge", "Age of the oldest waiting mail by class; 0 when none of it waits.");
        for (class, age) in AgesOut::new(oldest, now).each() {
            let _ = writeln!(out, "{name}{{class=\"{}\"}} {}", class.word(), age.unwrap_or(0));
        }
    }
    if let Ok(pauses) = daemon.pauses() {
        let help = "Destinations to which an operator lets nothing go.";
        one(out, "hikyaku_pauses", "gauge", help, pauses.len() as u64);
    }
    if let Some(validation) = daemon.validation() {
        let name = "hikyaku_dns_validation";
        head(
            out,
            name,
            "gauge",
            "1 at what is true: the resolvers validate DNSSEC, do not, or have not said. Only with DANE.",
        );
        for state in [Validation::Yes, Validation::No, Validation::Unknown] {
            let is = u8::from(state == validation);
            let _ = writeln!(out, "{name}{{state=\"{}\"}} {is}", validation_word(state));
        }
    }
    for (kind, name, help) in [
        (
            MemoKind::Suppressions,
            "hikyaku_suppressions",
            "Rows of the suppression list, exempt and lately lifted ones included.",
        ),
        (MemoKind::Unsubscribes, "hikyaku_unsubscribes", "Who left a list, one a list and address."),
    ] {
        if let Ok(count) = daemon.memo_count(kind) {
            one(out, name, "gauge", help, count);
        }
    }
    let unused = daemon.rule_uses().iter().filter(|rule| rule.unused_for(now).is_some()).count() as u64;
    one(out, "hikyaku_rules_unused", "gauge", "Delivery-speed rules that have matched nothing for 30 days.", unused);
}

/// How each webhook stands; their names are the config's, and bounded as it is.
fn webhooks(out: &mut String, daemon: &dyn Daemon, now: Timestamp) {
    let views = daemon.webhooks().views();
    if views.is_empty() {
        return;
    }
    type Value = fn(&View, Timestamp) -> u64;
    let families: [(&str, &str, Value); 3] = [
        (
            "hikyaku_webhook_lag_seconds",
            "Age of the oldest event that a webhook has not got; 0: it has all.",
            |view, now| view.lag(now).as_secs(),
        ),
        ("hikyaku_webhook_failing", "1 while a webhook fails or is gone.", |view, _| {
            u64::from(matches!(view.state(), State::Failing | State::Gone))
        }),
        (
            "hikyaku_webhook_parked_ranges",
            "Ranges of events that were set aside after failing for too long.",
            |view, _| view.mark.parked.len() as u64,
        ),
    ];
    for (name, help, value) in families {
        head(out, name, "gauge", help);
        for view in &views {
            let label = view.name.replace('\\', "\\\\").replace('"', "\\\"");
            let _ = writeln!(out, "{name}{{webhook=\"{label}\"}} {}", value(view, now));
        }
    }
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn one(out: &mut String, name: &str, kind: &str, help: &str, value: u64) {
    head(out, name, kind, help);
    let _ = writeln!(out, "{name} {value}");
}

/// What Linux says of the process; a family that cannot be read is left out.
fn process(out: &mut String) {
    if let Ok(stat) = std::fs::read_to_string("/proc/self/stat") {
        // The name in parentheses may hold blanks: fields are counted after it. 14 and 15 are CPU ticks, 24 resident pages.
        let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_ascii_whitespace().collect();
        let field = |n: usize| fields.get(n - 3).and_then(|f| f.parse::<u64>().ok());
        if let (Some(user), Some(system)) = (field(14), field(15)) {
            head(out, "process_cpu_seconds_total", "counter", "CPU time used, user and system, in seconds.");
            let _ = writeln!(out, "process_cpu_seconds_total {:.2}", (user + system) as f64 / TICKS_PER_SECOND);
        }
        if let Some(pages) = field(24) {
            let octets = pages * rustix::param::page_size() as u64;
            one(out, "process_resident_memory_bytes", "gauge", "Memory in RAM, in octets.", octets);
        }
        if let Some(threads) = field(20) {
            one(out, "process_threads", "gauge", "Threads.", threads);
        }
    }
    if let Ok(folder) = std::fs::read_dir("/proc/self/fd") {
        one(out, "process_open_fds", "gauge", "Open file descriptors.", folder.count() as u64);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::http::fake::Fake;

    /// Every line is a HELP, its TYPE, or a sample of the family above it; names are unique and well-formed.
    #[test]
    fn the_text_is_valid_and_complete() {
        let text = text(&Fake::busy());
        let mut families = HashSet::new();
        let mut family = "";
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, words) = help.split_once(' ').expect("HELP has words");
                assert!(families.insert(name), "{name} twice");
                assert!(words.ends_with('.') && !words.contains('\\'), "{line}");
                assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
                let kind = lines.next().and_then(|l| l.strip_prefix(&format!("# TYPE {name} "))).expect("TYPE follows");
                assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
                family = name;
            } else {
                let (name, value) = line.rsplit_once(' ').expect("a sample");
                assert_eq!(name.split('{').next(), Some(family));
                assert!(value.parse::<f64>().is_ok_and(f64::is_finite), "{line}");
            }
        }
        assert!(text.ends_with('\n'));
        for line in [
            "hikyaku_oldest_seconds{class=\"high\"} 0",
            "hikyaku_oldest_seconds{class=\"normal\"} 90000",
            "hikyaku_dns_validation{state=\"no\"} 1",
            "hikyaku_dns_validation{state=\"yes\"} 0",
            "hikyaku_pauses 2",
            "hikyaku_rules_unused 1",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}: {text}");
        }
        for name in
            ["hikyaku_queue_recipients", "hikyaku_verdicts_total", "process_resident_memory_bytes", "hikyaku_ready"]
        {
            assert!(families.contains(name), "{name}");
        }
        assert!(
            text.contains("hikyaku_queue_recipients 1284\n") && text.contains("verdict=\"deferred\"} 90"),
            "{text}"
        );
    }
}
