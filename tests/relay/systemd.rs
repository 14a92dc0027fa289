//! What systemd is told: ready, alive, reloading, stopping.

use std::time::Duration;

use rustix::process::Signal;

use crate::support::{Config, Place, Relay, Sink, notify::Notify, say};

#[test]
fn systemd_hears_when_it_is_ready_alive_reloading_and_stopping() {
    let place = Place::new();
    let notify = Notify::new(&place);
    let sink = Sink::willing();
    let mut relay = Relay::start(
        Config::smarthost(sink.address())
            .variable("NOTIFY_SOCKET", &notify.path())
            .variable("WATCHDOG_USEC", "1000000"),
    );
    notify.wait_for("READY=1");
    let first = notify.wait_for("WATCHDOG=1");
    let second = notify.wait_for("WATCHDOG=1");
    assert!(second.duration_since(first) < Duration::from_secs(1), "twice within the watchdog's time");
    relay.signal(Signal::HUP);
    notify.wait_for("RELOADING=1");
    notify.wait_for("READY=1");
    relay.signal(Signal::TERM);
    notify.wait_for("STOPPING=1");
    assert!(relay.wait_end().success());
}

#[test]
fn the_unit_is_hardened() {
    let unit = concat!(env!("CARGO_MANIFEST_DIR"), "/systemd/hikyaku.service");
    let mut command = std::process::Command::new("systemd-analyze");
    command.args(["security", "--offline=true", "--threshold=20", "--no-pager", unit]);
    if command.output().is_err() {
        say("systemd-analyze is missing: skipped");
        return;
    }
    crate::support::cli::run_command(command, b"", Duration::from_secs(30)).expect_done();
}
