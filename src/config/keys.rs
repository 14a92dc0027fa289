//! The table of all keys: name, place in [`Config`], kind and bounds, each written once.
//!
//! In: a [`Visit`]or, which reads, lists or shows.  Out: every key offered to it, in the order of config.md.
//! Always: a key that is not here does not exist: the reader calls it unknown, and tests compare this table with
//! `config.example.toml`.
//! Sources: config.md; RFC 5321 §4.5.3.1 (smallest limits).

use std::time::Duration;

use super::{
    Accounts, BareNewline, Bounce, Brake, Config, DkimKey, Dns, Domain, EnvelopeFrom, Forward, ForwardMode,
    ForwardSide, Http, Inbound, InboundWebhook, Listener, ListenerTls, Log, LogLevel, MIB, Queue, ReceivedHeader,
    Relay, RelayPolicy, Retention, ReturnForm, Role, Server, Suppression, Thresholds, Tls, TlsReport, Unsubscribe,
    UnsubscribeFilter, Webhook,
    keys_auth::{dkim, dmarc, domain_check},
    keys_delivery::delivery,
    kinds::{Bool, Bytes, DailyTime, Hidden, Kind, List, Name, OrEmpty, Text, Time, Whole, Words, days, hours, list},
    kinds_mail::{FieldName, FieldPattern, Label},
    kinds_net::{Address, AddressOrDomain, DomainName, EmptyOr, File, Ip, Network, Pattern, Socket, Url},
};

/// Who walks the table.
pub(super) trait Visit {
    /// A key with a default.
    fn key<T, K: Kind<T>>(&mut self, name: &'static str, slot: &mut T, kind: K);

    /// A key that its table cannot do without.
    fn required<T, K: Kind<T>>(&mut self, name: &'static str, slot: &mut T, kind: K);

    /// A table.
    fn table(&mut self, name: &'static str, inside: impl FnOnce(&mut Self));

    /// An array of tables; `required` keys name each.
    fn tables<T: Default>(&mut self, name: &'static str, rows: &mut Vec<T>, inside: impl Fn(&mut Self, &mut T));
}

/// Walks every key.
pub(super) fn all<V: Visit>(v: &mut V, c: &mut Config) {
    v.table("server", |v| server(v, &mut c.server));
    v.tables("listener", &mut c.listeners, listener);
    v.table("tls", |v| tls(v, &mut c.tls));
    v.table("relay", |v| relay(v, &mut c.relay));
    v.table("inbound", |v| inbound(v, &mut c.inbound));
    v.table("queue", |v| queue(v, &mut c.queue));
    v.table("delivery", |v| delivery(v, &mut c.delivery));
    v.table("envelope_from", |v| envelope_from(v, &mut c.envelope_from));
    v.tables("domain", &mut c.domains, domain);
    v.table("dkim", |v| dkim(v, &mut c.dkim));
    v.table("domain_check", |v| domain_check(v, &mut c.domain_check));
    v.table("dmarc", |v| dmarc(v, &mut c.dmarc));
    v.table("bounce", |v| bounce(v, &mut c.bounce));
    v.tables("forward", &mut c.forwards, forward);
    v.table("suppression", |v| suppression(v, &mut c.suppression));
    v.table("tls_report", |v| tls_report(v, &mut c.tls_report));
    v.table("retention", |v| retention(v, &mut c.retention));
    v.table("accounts", |v| accounts(v, &mut c.accounts));
    v.table("http", |v| http(v, &mut c.http));
    v.table("unsubscribe", |v| unsubscribe(v, &mut c.unsubscribe));
    v.tables("webhook", &mut c.webhooks, webhook);
    v.table("log", |v| log(v, &mut c.log));
    v.table("dns", |v| dns(v, &mut c.dns));
}

/// The shortest time that is not zero.
pub(super) const INSTANT: Duration = Duration::from_millis(1);
/// Sessions at most: each takes a file and up to 20 KiB.
const SESSIONS_MAX: u64 = 100_000;
/// The largest message that can be configured. RFC 5321 §4.5.3.1.7 asks for at least 64 KiB.
const MESSAGE_MAX: u64 = 1024 * MIB;
/// Octets of any disk or memory bound at most.
const TIB: u64 = 1 << 40;

fn server<V: Visit>(v: &mut V, s: &mut Server) {
    v.key("hostname", &mut s.hostname, DomainName);
    v.key("data_dir", &mut s.data_dir, File);
    v.key("composition", &mut s.composition, Text(64));
    v.key("postmaster", &mut s.postmaster, EmptyOr(Address));
    v.key("time_zone", &mut s.time_zone, Text(64));
    v.key("threads", &mut s.threads, Whole(0, 64));
    v.key("drain_timeout", &mut s.drain_timeout, Time(Duration::ZERO, Duration::from_secs(600)));
    v.key("memory_limit", &mut s.memory_limit, Bytes(64 * MIB, TIB));
}

fn listener<V: Visit>(v: &mut V, l: &mut Listener) {
    v.required("address", &mut l.address, Socket { port: None });
    v.key("role", &mut l.role, Words(&[("relay", Role::Relay), ("inbound", Role::Inbound)]));
    let words =
        &[("none", ListenerTls::None), ("starttls", ListenerTls::StartTls), ("implicit", ListenerTls::Implicit)];
    v.key("tls", &mut l.tls, Words(words));
    v.key("proxy_protocol", &mut l.proxy_protocol, Bool);
    v.key("proxy_networks", &mut l.proxy_networks, list(Network));
}

fn tls<V: Visit>(v: &mut V, t: &mut Tls) {
    v.key("certificate", &mut t.certificate, OrEmpty(File));
    v.key("private_key", &mut t.private_key, OrEmpty(File));
}

fn relay<V: Visit>(v: &mut V, r: &mut Relay) {
    v.key("networks", &mut r.networks, list(Network));
    let words = &[
        ("network-or-auth", RelayPolicy::NetworkOrAuth),
        ("network", RelayPolicy::Network),
        ("auth", RelayPolicy::Auth),
        ("network-and-auth", RelayPolicy::NetworkAndAuth),
    ];
    v.key("policy", &mut r.policy, Words(words));
    v.key("sessions_max", &mut r.sessions_max, Whole(1, SESSIONS_MAX));
    v.key("sessions_per_address_max", &mut r.sessions_per_address_max, Whole(0, SESSIONS_MAX));
    v.key("receive_interval", &mut r.receive_interval, Time(Duration::ZERO, hours(1)));
    v.key("message_size_max", &mut r.message_size_max, Bytes(64 << 10, MESSAGE_MAX));
    v.key("recipients_max", &mut r.recipients_max, Whole(1, 100_000));
    let words = &[
        ("abbreviated", ReceivedHeader::Abbreviated),
        ("normal", ReceivedHeader::Normal),
        ("none", ReceivedHeader::None),
        ("delete-all", ReceivedHeader::DeleteAll),
    ];
    v.key("received_header", &mut r.received_header, Words(words));
    v.key("add_missing_headers", &mut r.add_missing_headers, Bool);
    let words = &[("refuse", BareNewline::Refuse), ("normalize", BareNewline::Normalize)];
    v.key("bare_newline", &mut r.bare_newline, Words(words));
    v.key("sender_domains_only", &mut r.sender_domains_only, Bool);
}

fn inbound<V: Visit>(v: &mut V, i: &mut Inbound) {
    v.key("sessions_max", &mut i.sessions_max, Whole(1, SESSIONS_MAX));
    v.key("message_size_max", &mut i.message_size_max, Bytes(64 << 10, MESSAGE_MAX));
    v.key("receive_interval", &mut i.receive_interval, Time(Duration::ZERO, hours(1)));
    v.key("addresses", &mut i.addresses, list(AddressOrDomain));
    v.tables("webhook", &mut i.webhooks, inbound_webhook);
}

fn inbound_webhook<V: Visit>(v: &mut V, w: &mut InboundWebhook) {
    v.required("name", &mut w.name, Name);
    v.key("addresses", &mut w.addresses, list(Pattern));
    v.required("url", &mut w.url, Url { tls_away_from_loopback: true });
    v.key("format", &mut w.multipart, Words(&[("json", false), ("multipart", true)]));
    v.key("api_key", &mut w.api_key, Hidden);
    v.key("signing_key", &mut w.signing_key, Hidden);
    v.key("allow_private", &mut w.allow_private, Bool);
    v.key("timeout", &mut w.timeout, Time(Duration::from_secs(1), Duration::from_secs(600)));
    v.key("connections_max", &mut w.connections_max, Whole(1, 100));
}

fn queue<V: Visit>(v: &mut V, q: &mut Queue) {
    v.key("retry_schedule", &mut q.retry_schedule, List { of: Time(INSTANT, days(7)), min: 1, max: 50 });
    v.key("lifetime", &mut q.lifetime, Time(INSTANT, days(30)));
    v.key("lifetime_high", &mut q.lifetime_high, Time(Duration::ZERO, days(30)));
    v.key("lifetime_low", &mut q.lifetime_low, Time(Duration::ZERO, days(30)));
    v.key("future_release_max", &mut q.future_release_max, Time(Duration::ZERO, days(365)));
    v.key("delay_notice_after", &mut q.delay_notice_after, Time(Duration::ZERO, days(30)));
    v.key("disk_free_min", &mut q.disk_free_min, Bytes(0, TIB));
}

fn envelope_from<V: Visit>(v: &mut V, e: &mut EnvelopeFrom) {
    v.key("rewrite", &mut e.rewrite, Bool);
    v.key("return_domain", &mut e.return_domain, EmptyOr(DomainName));
}

fn domain<V: Visit>(v: &mut V, d: &mut Domain) {
    v.required("name", &mut d.name, DomainName);
    v.key("envelope_from_rewrite", &mut d.envelope_from_rewrite, Bool);
    v.key("return_domain", &mut d.return_domain, EmptyOr(DomainName));
    v.tables("dkim", &mut d.dkim, dkim_key);
}

fn dkim_key<V: Visit>(v: &mut V, k: &mut DkimKey) {
    v.required("selector", &mut k.selector, DomainName);
    v.required("private_key", &mut k.private_key, File);
}

fn bounce<V: Visit>(v: &mut V, b: &mut Bounce) {
    v.key("forward_to_sender", &mut b.forward_to_sender, Bool);
    let words = &[("token", ReturnForm::Token), ("keep-local", ReturnForm::KeepLocal)];
    v.key("return_form", &mut b.return_form, Words(words));
    v.key("complaint_address", &mut b.complaint_address, EmptyOr(Address));
    v.key("report_address", &mut b.report_address, EmptyOr(Address));
    v.key("domains", &mut b.domains, list(DomainName));
}

fn forward<V: Visit>(v: &mut V, f: &mut Forward) {
    v.required("name", &mut f.name, Name);
    v.key("side", &mut f.side, Words(&[("relay", ForwardSide::Relay), ("inbound", ForwardSide::Inbound)]));
    v.required("header", &mut f.header, FieldName);
    v.required("pattern", &mut f.pattern, Pattern);
    v.required("to", &mut f.to, Address);
    v.key("mode", &mut f.mode, Words(&[("copy", ForwardMode::Copy), ("rewrite", ForwardMode::Rewrite)]));
}

fn suppression<V: Visit>(v: &mut V, s: &mut Suppression) {
    v.key("run", &mut s.run_at_minute, DailyTime::OR_IMMEDIATELY);
    v.key("watch", &mut s.watch, OrEmpty(Time(days(1), days(3650))));
    v.key("on_submit", &mut s.reject_on_submit, Words(&[("accept", false), ("reject", true)]));
    v.key("per_user", &mut s.per_user, Bool);
    v.table("thresholds", |v| thresholds(v, &mut s.thresholds));
    v.table("brake", |v| brake(v, &mut s.brake));
}

fn brake<V: Visit>(v: &mut V, b: &mut Brake) {
    v.key("enabled", &mut b.enabled, Bool);
    v.key("errors_min", &mut b.errors_min, Whole(1, BRAKE_RESULTS));
    v.key("rate_min_percent", &mut b.rate_min_percent, Whole(1, 100));
    v.key("factor", &mut b.factor, Whole(1, 1000));
}

/// Results of a destination that the brake looks at (`suppress/brake.rs`).
const BRAKE_RESULTS: u64 = 64;

fn tls_report<V: Visit>(v: &mut V, t: &mut TlsReport) {
    v.key("contact", &mut t.contact, EmptyOr(Address));
    v.key("organization", &mut t.organization, Text(128));
    v.key("address", &mut t.address, EmptyOr(Address));
}

fn thresholds<V: Visit>(v: &mut V, t: &mut Thresholds) {
    let times = || Whole(0, 1000);
    v.key("unknown_host", &mut t.unknown_host, times());
    v.key("unknown_user", &mut t.unknown_user, times());
    v.key("bad_address", &mut t.bad_address, times());
    v.key("complaint", &mut t.complaint, times());
    v.key("over_capacity", &mut t.over_capacity, times());
    v.key("resend_timeout", &mut t.resend_timeout, times());
    v.key("rejected", &mut t.rejected, times());
    v.key("forwarding_error", &mut t.forwarding_error, times());
    v.key("receiving_server_error", &mut t.receiving_server_error, times());
    v.key("too_large", &mut t.too_large, times());
    v.key("other", &mut t.other, times());
    v.key("window", &mut t.window, Time(days(1), days(400)));
}

fn retention<V: Visit>(v: &mut V, r: &mut Retention) {
    let period = || Time(hours(1), days(3650));
    v.key("delivery_log", &mut r.delivery_log, period());
    v.key("error_log", &mut r.error_log, period());
    v.key("audit_log", &mut r.audit_log, period());
    v.key("dmarc", &mut r.dmarc, period());
    v.key("archive_dir", &mut r.archive_dir, OrEmpty(File));
    v.key("message_bodies", &mut r.message_bodies, Time(Duration::ZERO, days(3650)));
}

fn accounts<V: Visit>(v: &mut V, a: &mut Accounts) {
    v.key("users_max", &mut a.users_max, Whole(1, 100_000));
    v.key("failed_logins_max", &mut a.failed_logins_max, Whole(1, 1000));
    v.key("session_lifetime", &mut a.session_lifetime, Time(Duration::from_secs(300), days(30)));
    v.key("session_idle", &mut a.session_idle, Time(Duration::from_secs(60), days(30)));
    v.table("allowed_ips", |v| {
        v.key("console", &mut a.allowed_ips.console, list(Network));
        v.key("api", &mut a.allowed_ips.api, list(Network));
        v.key("submit", &mut a.allowed_ips.submit, list(Network));
    });
}

fn http<V: Visit>(v: &mut V, h: &mut Http) {
    v.key("address", &mut h.address, Socket { port: None });
    v.key("tls", &mut h.tls, Bool);
    v.key("proxy_networks", &mut h.proxy_networks, list(Network));
    v.key("public_url", &mut h.public_url, Url { tls_away_from_loopback: false });
}

fn unsubscribe<V: Visit>(v: &mut V, u: &mut Unsubscribe) {
    v.key("address", &mut u.address, OrEmpty(Socket { port: None }));
    v.key("public_url", &mut u.public_url, EmptyOr(Url { tls_away_from_loopback: true }));
    v.key("tls", &mut u.tls, Bool);
    v.key("proxy_networks", &mut u.proxy_networks, list(Network));
    v.key("run", &mut u.run_at_minute, DailyTime::OR_IMMEDIATELY);
    v.tables("filter", &mut u.filters, unsubscribe_filter);
}

fn unsubscribe_filter<V: Visit>(v: &mut V, f: &mut UnsubscribeFilter) {
    v.required("name", &mut f.name, Label(50));
    v.required("header", &mut f.header, FieldName);
    v.required("pattern", &mut f.pattern, FieldPattern);
}

/// What a webhook can be told of. Unless it says otherwise, of all but the last: who reads CMC's posts has never met it.
pub(super) const WEBHOOK_EVENTS: &[(&str, &str)] = &[
    ("queued", "queued"),
    ("succeeded", "succeeded"),
    ("deferred", "deferred"),
    ("failed", "failed"),
    ("bounced", "bounced"),
    ("blocked", "blocked"),
    ("domain", "domain"),
];

/// An event's word, kept as text.
struct EventWord;

impl Kind<String> for EventWord {
    fn read(&self, raw: &super::kinds::Raw<'_>, notes: &mut super::kinds::Notes) -> Option<String> {
        Words(WEBHOOK_EVENTS).read(raw, notes).map(str::to_owned)
    }

    fn show(&self, value: &String) -> Option<String> {
        Some(super::kinds::quoted(value))
    }
}

fn webhook<V: Visit>(v: &mut V, w: &mut Webhook) {
    v.required("name", &mut w.name, Text(64));
    v.required("url", &mut w.url, Url { tls_away_from_loopback: true });
    v.key("events", &mut w.events, List { of: EventWord, min: 1, max: WEBHOOK_EVENTS.len() });
    v.key("format", &mut w.form, Words(&[("json", false), ("form", true)]));
    v.key("version", &mut w.version, Whole(1, 2));
    v.key("interval", &mut w.interval, Time(Duration::ZERO, hours(1)));
    v.key("batch_max", &mut w.batch_max, Whole(1, 1000));
    v.key("api_key", &mut w.api_key, Hidden);
    v.key("signing_key", &mut w.signing_key, Hidden);
    v.key("time_zone", &mut w.time_zone, Text(64));
    v.key("event_ids", &mut w.event_ids, Bool);
    v.key("timeout", &mut w.timeout, Time(Duration::from_millis(100), Duration::from_secs(60)));
    v.key("retry_for", &mut w.retry_for, Time(Duration::from_secs(1), days(30)));
    v.key("allow_private", &mut w.allow_private, Bool);
}

fn log<V: Visit>(v: &mut V, l: &mut Log) {
    v.key("format", &mut l.json, Words(&[("text", false), ("json", true)]));
    let words = &[
        ("error", LogLevel::Error),
        ("warn", LogLevel::Warn),
        ("info", LogLevel::Info),
        ("debug", LogLevel::Debug),
        ("trace", LogLevel::Trace),
    ];
    v.key("level", &mut l.level, Words(words));
}

fn dns<V: Visit>(v: &mut V, d: &mut Dns) {
    v.key("servers", &mut d.servers, List { of: Socket { port: Some(53) }, min: 0, max: 16 });
    v.key("trusted", &mut d.trusted, List { of: Ip, min: 0, max: 16 });
}
