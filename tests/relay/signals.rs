//! SIGTERM drains, SIGHUP reloads, and a data directory has one daemon.

use std::time::Duration;

use rustix::process::Signal;

use crate::support::{Act, Client, Config, Relay, Sink, Step, cli, client::letter, until, wait};

const TO: &str = "someone@dst.test";

#[test]
fn sigterm_lets_running_work_finish_and_turns_the_rest_away() {
    let sink = Sink::scripted(|m| match m.step {
        Step::Content => Act::Delay(Duration::from_millis(1500)),
        _ => Act::Normal,
    });
    let mut relay = Relay::start(Config::smarthost(sink.address()));
    let mut idle = Client::hello(relay.smtp());
    let mut in_data = Client::hello(relay.smtp());
    in_data.envelope("sender@src.test", &["second@dst.test"]);
    in_data.say("DATA").expect("354");
    relay.submit("sender@src.test", &[TO], "drain");
    wait::until("the attempt under way", || (sink.seen(Step::Content) > 0).then_some(()));
    relay.signal(Signal::TERM);
    relay.wait_log("signal");
    let refused = idle.say("MAIL FROM:<sender@src.test>");
    assert!(refused.code == 421 || refused.is_end(), "{refused}");
    in_data.write(letter("late", "x\r\n.\r\n").as_bytes());
    let late = in_data.reply();
    assert!(relay.wait_end().success(), "{}", relay.log());
    assert!(Client::try_connect(relay.smtp()).is_err(), "the listener is closed");
    assert_eq!(sink.taken(), 1, "the running delivery finished");

    relay.restart();
    relay.wait_event("succeeded", TO);
    let taken = if late.code == 250 { 2 } else { 1 };
    sink.wait_for(taken);
    wait::until("an empty queue", || relay.events(&["queue", "list", "--json"]).is_empty().then_some(()));
    assert_eq!(sink.taken(), taken, "nothing was sent twice: {:?}", relay.deliveries());
    assert_eq!(late.code, 250, "a DATA in progress may finish");
}

#[test]
fn sighup_takes_up_what_can_change_and_says_what_cannot() {
    let (first, second) = (Sink::willing(), Sink::willing());
    let mut relay = Relay::start(Config::smarthost(first.address()));
    let mut session = Client::hello(relay.smtp());
    relay.submit("sender@src.test", &[TO], "before");
    first.wait_for(1);
    relay.reconfigure(|c| {
        c.set("delivery.smarthost", &format!("\"{}\"", second.address()))
            .set("relay.message_size_max", "\"1MiB\"")
            .set("server.hostname", "\"renamed.test\"")
    });
    relay.signal(Signal::HUP);
    until("the new limit", || Client::connect(relay.smtp()).ehlo().text().contains("SIZE 1048576").then_some(()));
    relay.submit("sender@src.test", &["later@dst.test"], "after");
    second.wait_for_recipient("later@dst.test");
    assert_eq!(first.taken(), 1);
    session.say("NOOP").expect("250");
    assert!(relay.log().contains("server.hostname"), "the log names what needs a restart:\n{}", relay.log());

    // A file with errors changes nothing, and the log says why.
    relay.place.write("config.toml", "[relay]\nsessions_max = \"many\"\n");
    relay.signal(Signal::HUP);
    relay.wait_log("sessions_max");
    relay.submit("sender@src.test", &["still@dst.test"], "still");
    second.wait_for_recipient("still@dst.test");
}

#[test]
fn a_second_daemon_on_the_same_data_is_refused_with_the_first_ones_pid() {
    let sink = Sink::willing();
    let first = Relay::start(Config::smarthost(sink.address()));
    let other = crate::support::place::address();
    let data = first.data_dir().display().to_string();
    let mut second = Relay::prepare(
        Config::smarthost(sink.address())
            .set("server.data_dir", &format!("\"{data}\""))
            .set("http.address", &format!("\"{other}:8025\"")),
    );
    second.spawn();
    let status = second.wait_end();
    assert!(!status.success());
    assert!(second.log().contains(&first.pid().to_string()), "{}", second.log());
    first.submit("sender@src.test", &[TO], "unharmed");
    sink.wait_for(1);
    assert!(cli::run(&["status", "--config", first.config_path().to_str().unwrap()], first.place.dir(), b"").code == 0);
}
