//! Idle connections are held in bounded memory, and mail still passes while they stand.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::{Client, Config, Relay, Sink, long, say};

/// Most memory that an idle session may take, in octets: 10 KiB by design.
const OCTETS_PER_SESSION_MAX: u64 = 10 * 1024;
/// What the daemon may grow by for other reasons meanwhile (metrics, allocator).
const SLACK_OCTETS: u64 = 4 << 20;

#[test]
fn idle_sessions_cost_little_and_block_nobody() {
    let wanted = if long() { 10_000 } else { 2_000 };
    let limits = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limits.maximum, maximum: limits.maximum });
    let sink = Sink::willing();
    let relay = Relay::start(Config::smarthost(sink.address()).set("relay.sessions_max", "20000"));
    relay.submit("sender@src.test", &["warm@dst.test"], "warm");
    sink.wait_for(1);
    let before = relay.resident();
    let mut idle: Vec<Client> = (0..wanted)
        .map(|n| {
            let mut client = Client::connect(relay.smtp());
            assert_eq!(client.greeting.code, 220, "session {n}: {}", client.greeting);
            client.ehlo();
            client
        })
        .collect();
    let after = relay.resident();
    let each = after.saturating_sub(before) / wanted as u64;
    say(format_args!("{wanted} idle sessions: {each} octets each ({before} → {after})"));
    assert!(after <= before + SLACK_OCTETS + wanted as u64 * OCTETS_PER_SESSION_MAX, "{each} octets a session");
    relay.submit("sender@src.test", &["through@dst.test"], "through");
    sink.wait_for_recipient("through@dst.test");
    for n in [0, wanted / 2, wanted - 1] {
        idle[n].say("NOOP").expect("250");
    }
}
