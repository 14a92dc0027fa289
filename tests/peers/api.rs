//! Real clients of the HTTP API: the public Python package with only its endpoints pointed here, curl, and schemathesis, which
//! makes thousands of calls out of our own description of the API.
//!
//! The Python programs come from PyPI; `HIKYAKU_PYTHON` names an interpreter that has them (`.ci/run` makes one).

use std::{env, path::PathBuf, process::Command, time::Duration};

use serde_json::Value;

use crate::{
    program::{find, missing, run},
    support::{Config, Ran, Relay, Sink, cli::run_command, long, say, wait},
};

const USER: &str = "app@example.net";
const KEY: &str = "tide-97-lantern-quay";
/// Cases that schemathesis makes of each operation with `HIKYAKU_LONG`; there are about fifty operations.
const CASES_LONG: &str = "200";
/// Cases of all operations together that a long run must have made.
const CASES_LONG_MIN: u64 = 10_000;
/// The same in an ordinary run, within [`TIME`].
const CASES_MIN: u64 = 300;
/// Seconds of an ordinary run.
const TIME: &str = "60";
/// Of a long one.
const TIME_LONG: &str = "300";

/// An interpreter that has this package; `None`: it is missing, which was said.
pub fn python_with(package: &str) -> Option<PathBuf> {
    let python = match env::var_os("HIKYAKU_PYTHON") {
        Some(python) => PathBuf::from(python),
        None => find("python3")?,
    };
    let mut command = Command::new(&python);
    command.args(["-c", &format!("import {package}")]);
    if run_command(command, b"", Duration::from_secs(60)).code == 0 {
        return Some(python);
    }
    missing(&format!("the Python package {package} is not installed (HIKYAKU_PYTHON)"));
    None
}

/// A relay with an API user that may do everything.
fn relay(sink: &Sink) -> Relay {
    let relay = Relay::start(Config::smarthost(sink.address()));
    let key = relay.place.write("api-key", KEY);
    let add = ["user", "add", USER, "--api", "--key-file", key.to_str().unwrap()];
    relay.cli(&add).expect_done();
    let rights = ["--role", "group-administrator", "--access", "smtp,http", "--permissions", "view,download"];
    relay.cli(&[&["user", "set", USER], &rights[..]].concat()).expect_done();
    relay
}

#[test]
fn the_public_python_package_sends_with_its_endpoint_alone_changed() {
    let Some(python) = python_with("CustomersMailCloud") else { return };
    let sink = Sink::willing();
    let relay = relay(&sink);
    relay.place.write("添付.txt", "添付の中身\n");
    let script = format!(
        "
from CustomersMailCloud import CustomersMailCloud
def client():
    c = CustomersMailCloud('{USER}', '{KEY}')
    c.endpoints['pro'] = 'http://{}/api/v2/emails/send.json'
    c.pro('SUBDOMAIN')
    c.addTo('花子', 'hanako@dst.test')
    c.setFrom('お店', 'shop@src.test')
    c.subject = 'ご注文 42'
    c.text = 'ありがとうございます。\\n'
    return c
plain = client()
plain.html = '<p>ありがとうございます。</p>'
plain.setReplyTo('窓口', 'help@src.test')
answer = plain.send()
assert answer['id'].startswith('<') and answer['id'].endswith('>'), answer
files = client()
files.addFile('添付.txt')
assert files.send()['id'] != answer['id']
wrong = client()
wrong.api_key = 'wrong'
try:
    wrong.send()
    raise SystemExit('a wrong key was taken')
except Exception as e:
    assert b'11-001' in e.args[0], e
",
        relay.http()
    );
    let mut command = Command::new(&python);
    command.args(["-c", &script]).current_dir(relay.place.dir());
    run_command(command, b"", Duration::from_secs(60)).expect_done();
    let mails = sink.wait_for(2);
    assert!(mails.iter().all(|mail| mail.recipients.len() == 1));
    assert!(mails.iter().any(|mail| mail.text().contains("text/html")));
    assert!(mails.iter().any(|mail| mail.text().contains("Content-Disposition: attachment")));
    assert_eq!(relay.wait_events("succeeded", "hanako@dst.test", 2).len(), 2);
}

#[test]
fn curl_sends_forms_and_files_and_reads_the_log() {
    let Some(curl) = find("curl") else { return };
    let sink = Sink::willing();
    let relay = relay(&sink);
    let file = relay.place.write("note.txt", "noted\n");
    let url = |path: &str| format!("http://{}{path}", relay.http());
    let (user, key) = (format!("api_user={USER}"), format!("api_key={KEY}"));
    let attachment = format!("attachment1=@{}", file.display());
    let sent = run(
        &curl,
        &[
            "-sS",
            "-f",
            &url("/api/v2/emails/send.json"),
            "-F",
            &user,
            "-F",
            &key,
            "-F",
            "to=b@dst.test",
            "-F",
            "from={\"name\":\"\",\"address\":\"a@src.test\"}",
            "-F",
            "subject=by curl",
            "-F",
            "text=Good morning.",
            "-F",
            "attachments=1",
            "-F",
            &attachment,
        ],
    );
    let id: Value = serde_json::from_str(&sent.expect_done().stdout).unwrap();
    assert!(id["id"].as_str().unwrap().starts_with('<'));
    assert!(sink.wait_for(1)[0].text().contains("note.txt"));
    relay.wait_event("succeeded", "b@dst.test");
    let list = |path: &str, more: &[&str]| -> Ran {
        let url = url(path);
        let words = ["-sS", "-f", &url, "--data-urlencode", &user, "-d", &key, "-d", "server_composition=main"];
        run(&curl, &[&words[..], more].concat()).expect_done()
    };
    let found = list(
        "/transaction/v2/messages/find.json",
        &["--data-urlencode", &format!("key={}", id["id"].as_str().unwrap())],
    );
    let found: Value = serde_json::from_str(&found.stdout).unwrap();
    let day = format!("date={}", &found["messages"][0]["created"].as_str().unwrap()[..10]);
    let xml = list("/transaction/v2/deliveries/list.xml", &["-d", &day, "-d", "r=100"]).stdout;
    assert_eq!(xml.matches("<delivery>").count(), 2, "{xml}");
    let zip = relay.place.path("deliveries.zip");
    list("/transaction/v2/deliveries/download.json", &["-d", &day, "-o", zip.to_str().unwrap()]);
    let Some(python) = find("python3") else { return };
    let script = format!(
        "import csv, io, zipfile
archive = zipfile.ZipFile({:?})
assert archive.testzip() is None
name, = archive.namelist()
rows = list(csv.DictReader(io.TextIOWrapper(archive.open(name), 'utf-8', newline='')))
print(len(rows), rows[0]['status'], rows[0]['subject'])",
        zip.display()
    );
    assert_eq!(run(&python, &["-c", &script]).expect_done().stdout.trim(), "2 succeeded by curl");
}

#[test]
fn thousands_of_calls_made_of_the_description_meet_no_error_of_ours() {
    let Some(python) = python_with("schemathesis") else { return };
    let sink = Sink::willing();
    let relay = relay(&sink);
    relay.place.write("calls.py", include_str!("schemathesis_calls.py"));
    let counts = relay.place.path("calls.json");
    let (cases, time) = if long() { (CASES_LONG, TIME_LONG) } else { ("10", TIME) };
    let mut command = Command::new(&python);
    command
        .args(["-m", "schemathesis.cli", "run", &format!("http://{}/openapi.json", relay.http())])
        .args([
            "--checks",
            "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
        ])
        .args(["--phases", "coverage,fuzzing", "--max-examples", cases, "--max-time", time, "--seed", "42"])
        .args(["--suppress-health-check", "all", "--generation-database", "none", "--request-timeout", "30"])
        .args(["--warnings", "off", "--no-color", "--continue-on-failure"])
        .current_dir(relay.place.dir())
        .env("SCHEMATHESIS_HOOKS", "calls")
        .env("PYTHONPATH", relay.place.dir())
        .env("HIKYAKU_API_USER", USER)
        .env("HIKYAKU_API_KEY", KEY)
        .env("HIKYAKU_COUNTS", &counts);
    let ran = run_command(command, b"", Duration::from_secs(time.parse::<u64>().unwrap() + 300));
    let text = std::fs::read_to_string(&counts).unwrap_or_default();
    let counted: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
    say(format_args!("schemathesis: {text}"));
    assert_eq!(ran.code, 0, "{}", ran.all());
    let of = |from: u64, to: u64| -> u64 {
        let statuses = counted.as_object().into_iter().flatten();
        statuses
            .filter(|(s, _)| s.parse().is_ok_and(|s: u64| s >= from && s < to))
            .filter_map(|(_, n)| n.as_u64())
            .sum()
    };
    assert_eq!(of(500, 600), 0, "{text}");
    assert!(of(200, 300) > 0, "none was good: {text}");
    assert!(of(100, 600) >= if long() { CASES_LONG_MIN } else { CASES_MIN }, "too few: {text}");
    assert!(relay.get("/livez").is_some_and(|answer| answer.status == 200));
    wait::until("an idle daemon", || (!relay.log().contains("panic")).then_some(()));
}
