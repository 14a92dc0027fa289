//! The binary as people and systemd call it: which config it takes, what it says, how it exits.

use std::{
    io::Write,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

/// A folder of the test's own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("hikyaku-cli-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a folder");
        Folder(path)
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    }

    /// The binary, called in this folder and with none of the environment that it looks at.
    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hikyaku"));
        command.current_dir(&self.0).stdin(Stdio::null());
        for name in ["HIKYAKU_CONFIG", "NOTIFY_SOCKET", "INVOCATION_ID", "JOURNAL_STREAM", "SYSTEMD_EXEC_PID"] {
            command.env_remove(name);
        }
        command
    }

    fn run(&self, args: &[&str]) -> (i32, String, String) {
        told(self.command().args(args).output().expect("it runs"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn told(output: Output) -> (i32, String, String) {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code().expect("an exit code"), text(output.stdout), text(output.stderr))
}

/// `/etc/hikyaku/config.toml` is on this machine: the tests of its absence say nothing.
fn machine_is_set_up() -> bool {
    std::path::Path::new("/etc/hikyaku/config.toml").exists()
}

#[test]
fn check_passes_on_the_example() {
    let folder = Folder::new("example");
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/config.example.toml");
    let (code, out, err) = folder.run(&["check", "--config", example]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("[[listener]]\naddress = \"127.0.0.1:2525\"\n") && err.contains("no errors"), "{out}{err}");
}

#[test]
fn check_prints_every_error_and_exits_2() {
    let folder = Folder::new("errors");
    let file = folder.file("c.toml", "[server]\nthreads = \"many\"\n[relay]\npolicy = \"all\"\n");
    let (code, out, err) = folder.run(&["--config", &file, "check"]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.contains("c.toml:2:11: server.threads: ") && err.contains("c.toml:4:10: relay.policy: "), "{err}");
    assert!(err.trim_end().ends_with("2 errors"), "{err}");
    let (code, _, serve_err) = folder.run(&["serve", "--config", &file]);
    assert_eq!(code, 2);
    assert!(serve_err.contains("relay.policy: "), "{serve_err}");
}

#[test]
fn a_named_file_that_is_missing_is_an_error_and_never_the_demo() {
    let folder = Folder::new("missing");
    for command in ["serve", "check", "status", "verify"] {
        let (code, _, err) = folder.run(&[command, "--config", "typo.toml"]);
        assert_eq!(code, 2, "{command}");
        assert!(err.contains("typo.toml is not there"), "{command}: {err}");
    }
    let output = folder.command().arg("serve").env("HIKYAKU_CONFIG", "typo.toml").output().expect("it runs");
    let (code, _, err) = told(output);
    assert_eq!(code, 2);
    assert!(err.contains("$HIKYAKU_CONFIG names it"), "{err}");
    assert!(!folder.0.join("hikyaku-demo").exists());
}

#[test]
fn the_environment_names_the_config_too() {
    let folder = Folder::new("env");
    let file = folder.file("env.toml", "[server]\ncomposition = \"from the environment\"\n");
    let (code, out, _) = told(folder.command().arg("check").env("HIKYAKU_CONFIG", &file).output().expect("it runs"));
    assert_eq!(code, 0);
    assert!(out.contains("composition = \"from the environment\""), "{out}");
}

#[test]
fn without_a_config_check_shows_the_demo_and_systemd_gets_an_error() {
    if machine_is_set_up() {
        return;
    }
    let folder = Folder::new("demo");
    let (code, out, _) = folder.run(&["check"]);
    assert_eq!(code, 0);
    assert!(out.contains("mode = \"sandbox\"") && out.contains("/hikyaku-demo\""), "{out}");
    let started = folder.command().arg("serve").env("NOTIFY_SOCKET", "/run/systemd/notify").output();
    let (code, _, err) = told(started.expect("it runs"));
    assert_eq!(code, 2);
    assert!(err.contains("systemd started this without a config file"), "{err}");
    let (code, _, err) = folder.run(&["status"]);
    assert_eq!(code, 2);
    assert!(err.contains("no config file and no demo"), "{err}");
}

#[test]
fn usage_errors_exit_2_and_help_exits_0() {
    let folder = Folder::new("usage");
    for args in [&[][..], &["chekc"], &["serve", "--confg", "x"], &["check", "x"]] {
        assert_eq!(folder.run(args).0, 2, "{args:?}");
    }
    for args in [&["--help"][..], &["serve", "--help"], &["check", "--help"], &["verify", "--help"], &["--version"]] {
        let (code, out, _) = folder.run(args);
        assert_eq!(code, 0, "{args:?}");
        assert!(!out.is_empty());
    }
    let (_, help, _) = folder.run(&["--help"]);
    assert!(help.contains("Examples:") && help.contains("Exit codes: 0 done, 1 no"), "{help}");
}

#[test]
fn called_as_sendmail_it_is_one() {
    let folder = Folder::new("sendmail");
    let link = folder.0.join("sendmail");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_hikyaku"), &link).expect("a link");
    // Nothing listens on the port: it was free a moment ago.
    let unused = std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port");
    let config = folder.file("c.toml", &format!("[[listener]]\naddress = \"{unused}\"\n"));
    let run = |args: &[&str], mail: &str| {
        let mut command = Command::new(&link);
        command
            .args(args)
            .env("HIKYAKU_CONFIG", &config)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("it runs");
        // It may refuse before it reads.
        let _ = child.stdin.take().expect("piped").write_all(mail.as_bytes());
        told(child.wait_with_output().expect("it ends"))
    };
    let (code, _, err) = run(&["-t", "-i"], "To: a@b.example\n\nx\n");
    assert_eq!(code, 75, "{err}");
    assert!(err.starts_with("sendmail: ") && err.contains("is the daemon running?"), "{err}");
    assert_eq!(run(&["-bs"], "").0, 64);
    assert_eq!(run(&["-t"], "Subject: s\n\nx\n").0, 65);
}
