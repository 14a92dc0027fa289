//! The unit under systemd's own eyes: hardened, sane, and naming what the command line knows.
//!
//! Needs `systemd-analyze` and `systemd-sysusers`; where they are absent the tests pass, unless `HIKYAKU_PEERS=require`
//! (set by `.ci/run`) makes that a failure.

use std::{path::PathBuf, process::Command};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("systemd")
}

fn unit() -> String {
    std::fs::read_to_string(folder().join("hikyaku.service")).expect("the unit is there")
}

/// Runs a tool; `None` when it is not installed and nobody insists.
fn run(tool: &str, args: &[&str]) -> Option<(bool, String)> {
    match Command::new(tool).args(args).output() {
        Ok(output) => {
            let told = [output.stdout, output.stderr].concat();
            Some((output.status.success(), String::from_utf8_lossy(&told).into_owned()))
        }
        Err(error) if std::env::var("HIKYAKU_PEERS").is_ok_and(|value| value == "require") => {
            panic!("{tool} is required and cannot be run: {error}")
        }
        Err(_) => None,
    }
}

#[test]
fn the_unit_is_hardened() {
    let unit = folder().join("hikyaku.service");
    let args = ["security", "--offline=true", "--no-pager", "--threshold=20", unit.to_str().expect("UTF-8")];
    if let Some((good, told)) = run("systemd-analyze", &args) {
        assert!(good, "exposure over 2.0:\n{told}");
    }
}

#[test]
fn systemd_understands_every_line_of_the_unit() {
    // verify wants the binary to be there: any will do.
    let there = std::env::temp_dir().join(format!("hikyaku-unit-{}", std::process::id()));
    std::fs::create_dir_all(&there).expect("a folder");
    let copy = there.join("hikyaku.service");
    std::fs::write(&copy, unit().replace("ExecStart=/usr/bin/hikyaku", "ExecStart=/bin/true")).expect("a copy");
    if let Some((good, told)) = run("systemd-analyze", &["verify", "--man=no", copy.to_str().expect("UTF-8")]) {
        let about_us: Vec<&str> = told.lines().filter(|line| line.contains("hikyaku")).collect();
        assert!(good && about_us.is_empty(), "{told}");
    }
    std::fs::remove_dir_all(&there).expect("removed");
}

#[test]
fn the_user_can_be_made() {
    let file = folder().join("hikyaku.sysusers");
    if let Some((good, told)) = run("systemd-sysusers", &["--dry-run", file.to_str().expect("UTF-8")]) {
        assert!(good, "{told}");
    }
}

#[test]
fn the_unit_starts_reloads_and_watches_the_daemon() {
    let unit = unit();
    for line in [
        "Type=notify",
        "ExecStart=/usr/bin/hikyaku serve --config /etc/hikyaku/config.toml",
        "ExecReload=/bin/kill -HUP $MAINPID",
        "User=hikyaku",
        "StateDirectory=hikyaku",
        "AmbientCapabilities=CAP_NET_BIND_SERVICE",
        "RestartPreventExitStatus=2",
    ] {
        assert!(unit.lines().any(|known| known == line), "{line} is missing");
    }
    let value = |key: &str| unit.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=').map(str::to_owned));
    assert!(value("WatchdogSec").is_some());
    // The default limits must fit, so that `check` has nothing to warn of.
    let files: u64 = value("LimitNOFILE").expect("LimitNOFILE").parse().expect("a number");
    assert!(files >= 1000 + 100 + 2000 + 256, "{files}");
}
