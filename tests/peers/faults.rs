//! A disk whose sync fails: 451 for those who wait, no further mail, an exit that is not 0, and nothing lost (P1, P2).

use std::time::Duration;

use crate::{
    program::{Server, find},
    support::{Client, Config, Relay, Sink, client::letter, place, sink::Options, until, wait},
};

#[test]
fn a_failed_sync_answers_451_and_ends_the_process() {
    let Some(strace) = find("strace") else { return };
    let away = std::net::SocketAddr::from((place::address(), 2600));
    let mut relay = Relay::start(Config::smarthost(away).set("queue.retry_schedule", "[\"1h\"]"));
    relay.submit("sender@src.test", &["before@dst.test"], "before");
    // Its verdict is stored: the next sync is that of the mail below.
    relay.wait_event("deferred", "before@dst.test");

    let mut client = Client::hello(relay.smtp());
    client.envelope("sender@src.test", &["during@dst.test"]);
    let pid = relay.pid().to_string();
    let trace = relay.place.path("strace.log");
    let words = ["-f", "-p", &pid, "-e", "trace=fdatasync,fsync", "-e", "inject=fdatasync,fsync:error=EIO"];
    let tracer = Server::start(&strace, &words, &trace);
    let attached = || std::fs::read_to_string(&trace).unwrap_or_default();
    until("strace attached", || attached().contains("attached").then_some(()));
    let reply = client.data(letter("during", "x\r\n").as_bytes());
    assert!(reply.code == 451 || reply.is_end(), "never 250 without a sync: {reply}");
    assert_eq!(reply.code, 451, "those who wait are told: {reply}");
    let status = wait::within(Duration::from_secs(30), "the daemon's end", || relay.ended());
    assert!(!status.success(), "{status}");
    drop(tracer);
    relay.kill();

    let sink = Options::default().at(away).start();
    relay.restart();
    relay.cli(&["queue", "flush", "--all"]).expect_done();
    sink.wait_for_recipient("before@dst.test");
    relay.wait_event("succeeded", "before@dst.test");
    // The refused one may have reached the disk, but then it is a whole mail with a whole story.
    let during = relay.deliveries().into_iter().filter(|e| e.recipient() == "during@dst.test" && e.kind() == "queued");
    assert!(during.count() <= 1);
}
