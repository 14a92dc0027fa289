//! Starting: a wrong config is explained and never half-used, and without any config the demo holds all mail.

use std::{
    net::{SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{
    Browser, Config, Event, Place, Relay,
    cli::{run, run_command},
    client::submit,
    console::PASSWORD,
    daemon::get,
    say, until, wait,
};

#[test]
fn every_config_error_is_named_at_once_with_its_line() {
    let place = Place::new();
    let text = "[server]\nhostname = \"relay.test\"\nmemory = \"1GiB\"\n\n[relay]\nsessions_max = \"many\"\n\
                message_size_max = \"20 parsecs\"\n\n[[listener]]\naddress = \"nowhere\"\n";
    place.write("config.toml", text);
    for command in ["check", "serve"] {
        let ran = run(&[command, "--config", "config.toml"], place.dir(), b"").expect_code(2);
        for (line, key) in [(3, "memory"), (6, "sessions_max"), (7, "message_size_max"), (10, "address")] {
            let named = ran.all().lines().any(|l| l.contains(&format!("config.toml:{line}")) && l.contains(key));
            assert!(named, "{command}: line {line}, {key}\n{ran}");
        }
    }
    assert!(!place.path("data").exists());
}

#[test]
fn a_broken_file_is_explained_too() {
    let place = Place::new();
    place.write("config.toml", "[server\nhostname = \n");
    let ran = run(&["check", "--config", "config.toml"], place.dir(), b"").expect_code(2);
    assert!(ran.all().contains("config.toml:1"), "{ran}");
}

#[test]
fn check_prints_the_effective_settings_without_secrets() {
    let place = Place::new();
    place.write("password", "open sesame");
    let text = format!(
        "[server]\nhostname = \"relay.test\"\ndata_dir = \"{0}/data\"\n[delivery]\nsmarthost = \"127.0.0.1:2600\"\n\
         smarthost_user = \"courier\"\nsmarthost_password_file = \"{0}/password\"\nsmarthost_tls = \"none\"\n",
        place.dir().display()
    );
    place.write("config.toml", text);
    let ran = run(&["check", "--config", "config.toml"], place.dir(), b"").expect_done();
    assert!(ran.stdout.contains("relay.test") && ran.stdout.contains("message_size_max"), "{ran}");
    assert!(!ran.all().contains("open sesame"), "{ran}");
}

#[test]
fn a_missing_config_is_an_error_and_never_the_demo() {
    let place = Place::new();
    let ran = run(&["serve", "--config", "nowhere.toml"], place.dir(), b"").expect_code(2);
    assert!(ran.all().contains("nowhere.toml"), "{ran}");
    let mut by_systemd = Command::new(env!("CARGO_BIN_EXE_hikyaku"));
    by_systemd
        .arg("serve")
        .current_dir(place.dir())
        .env_remove("HIKYAKU_CONFIG")
        .env("INVOCATION_ID", "0123456789abcdef0123456789abcdef")
        .env("NOTIFY_SOCKET", place.path("notify.sock"));
    if !std::path::Path::new("/etc/hikyaku/config.toml").exists() {
        run_command(by_systemd, b"", Duration::from_secs(20)).expect_code(2);
    }
    assert_eq!(std::fs::read_dir(place.dir()).unwrap().count(), 0, "nothing was made");
}

#[test]
fn commands_without_a_daemon_ask_to_try_later() {
    let relay = Relay::prepare(Config::sandbox());
    relay.cli(&["status"]).expect_code(75);
    run(&["nonsense"], relay.place.dir(), b"").expect_code(2);
    run(&["log", "deliveries", "--no-such-flag"], relay.place.dir(), b"").expect_code(2);
}

/// A child that is killed when the test ends.
struct Demo(Child);

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn without_a_config_the_demo_shows_the_main_job() {
    if std::path::Path::new("/etc/hikyaku/config.toml").exists() {
        say("this machine has /etc/hikyaku/config.toml: the demo is skipped");
        return;
    }
    let (smtp, http) = (SocketAddr::from(([127, 0, 0, 1], 2525)), SocketAddr::from(([127, 0, 0, 1], 8025)));
    // The demo's addresses are fixed; another one on this machine may hold them for a while.
    wait::within(Duration::from_secs(120), "the demo's ports", || {
        (TcpListener::bind(smtp).is_ok() && TcpListener::bind(http).is_ok()).then_some(())
    });
    let place = Place::new();
    let log = std::fs::File::create(place.path("log")).unwrap();
    let mut demo = Demo(
        Command::new(env!("CARGO_BIN_EXE_hikyaku"))
            .arg("serve")
            .current_dir(place.dir())
            .env_remove("HIKYAKU_CONFIG")
            .env_remove("NOTIFY_SOCKET")
            .env_remove("INVOCATION_ID")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap(),
    );
    until("the demo", || get(http, "/readyz").filter(|a| a.status == 200));
    submit(smtp, "me@example.test", &["you@example.test"], "A-first-mail");
    let events = until("the first mail in the log", || {
        let ran = run(&["log", "deliveries", "--json"], place.dir(), b"").expect_done();
        Some(Event::parse_all(&ran.stdout)).filter(|e| e.iter().any(|e| e.kind() == "succeeded"))
    });
    assert_eq!(events.len(), 2, "{events:?}");
    let table = run(&["log", "deliveries"], place.dir(), b"").expect_done();
    assert!(table.stdout.contains("you@example.test") && table.stdout.contains("delivered"), "{table}");
    let told = std::fs::read_to_string(place.path("log")).unwrap();
    let link = told.split("link=http://127.0.0.1:8025").nth(1).and_then(|rest| rest.split_whitespace().next());
    let mut browser = Browser::new(http);
    assert!(browser.get(link.expect("the terminal shows the set-up link")).body.contains("first account"));
    let key = browser.field("key");
    let first = [("name", "me@example.test"), ("new", PASSWORD), ("again", PASSWORD), ("key", key.as_str())];
    browser.post("/set-up", &first);
    assert!(browser.get("/sandbox").body.contains("A-first-mail"), "the sandbox shows it");
    let pid = Pid::from_raw(demo.0.id() as i32).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    let status = until("the demo's end", || demo.0.try_wait().unwrap());
    assert!(status.success(), "{}", std::fs::read_to_string(place.path("log")).unwrap_or_default());
}
