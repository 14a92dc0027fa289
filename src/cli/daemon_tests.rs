//! The command line against the real front and server over a made-up daemon.

use std::{os::unix::fs::PermissionsExt, time::Duration};

use super::*;
use crate::{
    event::EventKind,
    http::{
        fake::{self, Fake, HOSTILE},
        front::Limits,
        rig::Rig,
    },
    store::QueueVerb,
};

struct Ran {
    code: u8,
    out: String,
    err: String,
}

fn root() -> clap::Command {
    let nouns = [
        log::command(),
        queue::command(),
        find::command(),
        explain::command(),
        status::command(),
        user::command(),
        backup::command(),
    ];
    clap::Command::new("hikyaku").arg(clap::Arg::new("config").long("config").global(true)).subcommands(nouns)
}

/// Words apart by a blank; a word in single quotes may hold some.
fn words(line: &str) -> Vec<String> {
    let parts = line.split('\'').enumerate();
    parts
        .flat_map(|(n, part)| match n % 2 {
            0 => part.split_whitespace().map(str::to_owned).collect::<Vec<_>>(),
            _ => vec![part.to_owned()],
        })
        .collect()
}

fn run_at(target: &Target, line: &str, input: &str) -> Ran {
    let matches = match root().try_get_matches_from(std::iter::once("hikyaku".to_owned()).chain(words(line))) {
        Ok(matches) => matches,
        Err(error) => return Ran { code: client::USAGE, out: String::new(), err: error.to_string() },
    };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let (name, args) = matches.subcommand().expect("a command");
    let code = table::finish(&mut table::Output { out: &mut out, err: &mut err }, |output| match name {
        "log" => log::run_to(args, target, output, Some(2)),
        "queue" => queue::run_to(args, target, output),
        "find" => find::run_to(args, target, output),
        "explain" => explain::run_to(args, target, output),
        "status" => status::run_to(args, target, output),
        "user" => user::run_to(args, target, output, &mut input.as_bytes()),
        _ => backup::run_to(args, target, output),
    });
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Ran { code, out: text(out), err: text(err) }
}

fn target(dir: &std::path::Path) -> Target {
    Target { data_dir: dir.to_owned() }
}

fn run(rig: &Rig, line: &str) -> Ran {
    run_at(&target(&rig.dir), line, "")
}

fn rig(fake: Fake) -> Rig {
    Rig::new(fake, Limits::default())
}

#[test]
fn the_nouns_are_sound_commands() {
    root().debug_assert();
}

#[test]
fn a_daemon_that_is_down_is_exit_75_with_words() {
    let target = target("/nonexistent/hikyaku".as_ref());
    for line in ["status", "queue list", "log deliveries", "find a@b", "user list", "backup /tmp/never.tar"] {
        let ran = run_at(&target, line, "");
        assert_eq!(ran.code, 75, "{line}");
        assert!(
            ran.err.contains("/nonexistent/hikyaku/control.sock") && ran.err.contains("Is it running"),
            "{}",
            ran.err
        );
        assert!(ran.out.is_empty());
    }
    assert!(!std::path::Path::new("/tmp/never.tar").exists());
}

#[test]
fn tables_are_for_people_and_lines_up() {
    let rig = rig(Fake::busy());
    let ran = run(&rig, "log deliveries --limit 6");
    assert_eq!(ran.code, 0);
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines.len(), 7, "{}", ran.out);
    assert!(lines[0].starts_with("TIME      STATUS     QUEUE ID"), "{}", ran.out);
    assert!(lines[1].starts_with("22:34:59  delivered  "), "{}", ran.out);
    let column = lines[0].find("RECIPIENT").expect("a column");
    assert!(lines[1..].iter().all(|l| l.as_bytes()[column - 1] == b' ' && l.as_bytes()[column] != b' '), "{}", ran.out);
    assert!(ran.err.contains("--limit 0 shows all"));
    let queue = run(&rig, "queue list");
    assert!(
        queue.out.contains("in 4m") && queue.out.contains("not tried yet") && queue.err.is_empty(),
        "{}",
        queue.out
    );
    let by = run(&rig, "queue list --destinations");
    assert!(by.out.contains("docomo.example") && by.out.contains("1,204") && by.out.contains("paused"), "{}", by.out);
}

#[test]
fn empty_answers_say_so() {
    let rig = rig(Fake::empty());
    for (line, words, code) in [
        ("queue list", "The queue is empty.", 0),
        ("queue list --recipient nobody", "Nothing that matches waits.", 0),
        ("queue list -d", "The queue is empty.", 0),
        ("queue flush --all", "No waiting recipient matches.", 1),
        ("log deliveries", "No entries.", 0),
        ("log errors", "No entries.", 0),
        ("log audit", "No entries.", 0),
        ("queue pauses", "No destination is paused.", 0),
        ("find nobody@example.com", "No message has the key \"nobody@example.com\"", 1),
        ("user list", "There are no users.", 0),
        ("status", "queue      empty", 0),
    ] {
        let ran = run(&rig, line);
        assert_eq!(ran.code, code, "{line}: {}", ran.err);
        assert!(ran.out.contains(words), "{line}: {}", ran.out);
    }
    for line in
        ["queue list --json", "queue --json list", "log deliveries --json", "log audit --json", "user list --json"]
    {
        assert_eq!(run(&rig, line).out, "", "{line}: no rows, no lines");
    }
}

#[test]
fn json_lines_keep_their_schema() {
    let rig = rig(Fake::busy());
    let keys = |line: &str| -> Vec<String> {
        let row: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).expect("an object");
        row.keys().cloned().collect()
    };
    let mut message: Vec<&str> = vec![
        "accepted_at",
        "api_data",
        "body_stored",
        "class",
        "expires_at",
        "from",
        "message_id",
        "origin",
        "queue_id",
        "return_domain",
        "return_path",
        "sender",
        "size",
        "source_ip",
        "subject",
        "user",
    ];
    let event = [
        "about",
        "address",
        "at",
        "attempt",
        "destination",
        "duration_ms",
        "error",
        "error_code",
        "hard",
        "host",
        "index",
        "next_try",
        "operator",
        "phase",
        "possible_duplicate",
        "recipient",
        "reply",
        "returned",
        "sender_ip",
        "status",
        "tls",
        "trouble",
        "wait",
    ];
    let recipient = [
        "attempts",
        "destination",
        "index",
        "last_reply",
        "next_try",
        "possible_duplicate",
        "recipient",
        "state",
        "wait",
    ];
    let sorted = |parts: &[&[&str]]| {
        let mut all: Vec<String> = parts.concat().into_iter().map(str::to_owned).collect();
        all.sort();
        all
    };
    let first = |line: &str| run(&rig, line).out.lines().next().unwrap_or_default().to_owned();
    assert_eq!(keys(&first("log deliveries --json")), sorted(&[&message, &event, &["number"]]));
    assert_eq!(keys(&first("log errors --json")), sorted(&[&message, &event, &["number"]]));
    assert_eq!(keys(&first("queue list --json")), sorted(&[&message, &recipient]));
    assert_eq!(keys(&first("log audit --json")), ["act", "at", "detail", "from", "number", "object", "who"]);
    assert_eq!(
        keys(&first("queue list -d --json")),
        ["destination", "last_reply", "next_try", "paused", "running", "waiting"]
    );
    assert_eq!(keys(&first("queue pauses --json")), ["destination", "operator", "reason", "since", "until", "waiting"]);
    assert_eq!(keys(&first("explain a@docomo.example --from b@example.jp --json")), ["says", "says_ja", "topic"]);
    assert_eq!(
        keys(&first("user list --json")),
        sorted(&[
            &["class", "created_at", "kind", "may_download", "may_http", "may_smtp", "may_view", "name"],
            &["password_set_at", "role", "own_data_only", "networks", "senders", "time_zone", "rate", "expires_at"],
            &["expired", "sandbox", "locked", "locked_at", "failed_logins", "totp", "display_name", "language"],
        ])
    );
    message.extend(["events", "recipients"]);
    assert_eq!(keys(&first(&format!("queue show {} --json", fake::id(3)))), sorted(&[&message]));
    assert_eq!(keys(&first("find order-8801 --json")), sorted(&[&message]));
    assert!(keys(&first("status --json")).contains(&"last_hour".to_owned()));
    let row: serde_json::Value = serde_json::from_str(&first("log errors --json")).expect("JSON");
    assert_eq!(row["error_code"], 2);
    assert_eq!(row["error"], "unknown_user");
    assert_eq!(row["at"], "2026-11-24T13:33:56.250Z");
    assert_eq!(row["duration_ms"], 412);
    assert!(!run(&rig, "user list --json").out.contains("argon2"), "no secret leaves");
}

#[test]
fn everything_comes_page_by_page_and_filters_reach_the_store() {
    let mut fake = Fake::busy();
    let row = fake.log_rows().pop().expect("a row");
    let many = (0..2_500).map(|n| crate::store::LogRow { number: 100 + n, ..row.clone() }).collect();
    fake.more = std::sync::Mutex::new(many);
    let rig = rig(fake);
    let all = run(&rig, "log deliveries --json --since 2d");
    assert_eq!(all.out.lines().count(), 2_500 + 19, "three pages");
    assert_eq!(run(&rig, "log deliveries --json --limit 1001").out.lines().count(), 1001);
    assert_eq!(run(&rig, "log deliveries --csv --since 2d").out.lines().count(), 2_500 + 19 + 1);
    assert_eq!(run(&rig, "log deliveries --json --status failed,deferred --since 10m").out.lines().count(), 7);
    assert_eq!(
        run(&rig, "log deliveries --json --recipient gmail --status deferred --since 10m").out.lines().count(),
        4
    );
    assert_eq!(run(&rig, "log deliveries --json --since 30s --until 15s").out.lines().count(), 2);
    for (line, field) in [
        ("log deliveries --since yesterday", "since"),
        ("log deliveries --status gone", "statuses are queued, deferred"),
        ("log deliveries --since 1h --until 2h", "since must be before until"),
        ("log deliveries --id nonsense", "not a queue id"),
        ("queue flush", "flush whom?"),
        ("queue drop --index 0", "id"),
        ("queue show ../../users", "not a queue id"),
        ("queue list --limit x", "--limit"),
        ("queue list -d --recipient x", "--recipient"),
        ("log deliveries --csv --json", "--csv"),
    ] {
        let ran = run(&rig, line);
        assert_eq!(ran.code, 2, "{line}: {}{}", ran.out, ran.err);
        assert!(ran.err.contains(field), "{line}: {}", ran.err);
    }
}

#[test]
fn what_came_with_a_mail_drives_no_terminal_and_no_spreadsheet() {
    let rig = rig(Fake::busy());
    for line in [
        "log deliveries",
        "log errors",
        "find hostile@example.net",
        &format!("queue show {}", fake::id(7)),
        &format!("queue show {}", fake::id(3)),
        "explain hanako@docomo.example --from shop@example.jp",
        "queue list",
    ] {
        let ran = run(&rig, line);
        assert_eq!(ran.code, 0, "{line}: {}", ran.err);
        assert!(!ran.out.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'), "{line}: {:?}", ran.out);
    }
    let csv = run(&rig, "log errors --csv").out;
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let head = reader.headers().expect("a head").clone();
    assert_eq!(head.iter().take(3).collect::<Vec<_>>(), ["at", "status", "recipient"]);
    let rows: Vec<csv::StringRecord> = reader.records().map(|r| r.expect("a row")).collect();
    assert_eq!(rows.len(), 2);
    let subject = head.iter().position(|h| h == "subject").expect("a column");
    assert_eq!(&rows[1][subject], HOSTILE, "CSV keeps the text as it is");
    assert_eq!(&rows[0][0], "2026-11-24T22:33:56+09:00");
}

#[test]
fn acts_reach_the_store_with_the_unix_users_name() {
    let rig = rig(Fake::busy());
    let ran = run(&rig, "queue flush --destination gmail.example");
    assert_eq!((ran.code, ran.out.as_str()), (0, "2 recipients will be tried now.\n"), "{}", ran.err);
    assert_eq!(run(&rig, "queue hold --recipient waiting@").out, "1 recipient held.\n");
    assert_eq!(run(&rig, &format!("queue drop {} --index 0", fake::id(8))).code, 0);
    assert_eq!(run(&rig, "queue fail --all --json").out, "{\"recipients\":4}\n");
    let none = run(&rig, "queue release 0000000000001");
    assert_eq!((none.code, none.err.as_str()), (1, "hikyaku: there is no message 0000000000001\n"));
    let acts = rig.fake.acts.lock().expect("no panic");
    let verbs: Vec<QueueVerb> = acts.iter().map(|a| a.verb).collect();
    assert_eq!(verbs, [QueueVerb::Flush, QueueVerb::Hold, QueueVerb::Drop, QueueVerb::Fail]);
    assert_eq!((acts[2].filter.message, acts[2].filter.index), (Some(fake::id(8)), Some(0)));
    assert!(acts.iter().all(|a| a.operator.starts_with("operator ")), "{:?}", acts[0].operator);
    if rustix::process::geteuid().is_root() {
        assert_eq!(acts[0].operator, "operator root");
    }
}

#[test]
fn flush_knows_by_its_look_what_is_meant() {
    let rig = rig(Fake::busy());
    for line in [
        "queue flush all",
        &format!("queue flush {}", fake::id(3)),
        &format!("queue flush {} --index 1", fake::id(3)),
        "queue flush full@gmail.example",
        "queue flush gmail.example",
        "queue flush 192.0.2.1:2525",
        "queue flush gmail.example --sender shop@",
    ] {
        assert!(run(&rig, line).code <= 1, "{line}");
    }
    let acts = rig.fake.acts.lock().expect("no panic");
    let seen: Vec<String> = acts
        .iter()
        .map(|a| {
            let f = &a.filter;
            let id = f.message.map(|m| m.to_string()).unwrap_or_default();
            format!("{id}|{}|{}|{}|{}", f.index.unwrap_or(9), f.recipient, f.destination, f.sender)
        })
        .collect();
    let id = fake::id(3);
    assert_eq!(
        seen,
        [
            "|9|||".to_owned(),
            format!("{id}|9|||"),
            format!("{id}|1|||"),
            "|9|full@gmail.example||".into(),
            "|9||gmail.example|".into(),
            "|9||192.0.2.1:2525|".into(),
            "|9||gmail.example|shop@".into(),
        ]
    );
    assert_eq!(run(&rig, "queue flush gmail.example --destination a.example").code, 2);
    assert_eq!(run(&rig, "queue flush gmail.example --index 1").code, 2);
}

#[test]
fn a_destination_is_paused_and_resumed_by_name() {
    let rig = rig(Fake::busy());
    let list = run(&rig, "queue pauses");
    for text in ["DESTINATION", "partner.example.jp", "operator root", "ticket 4711", "resumed"] {
        assert!(list.out.contains(text), "{text}: {}", list.out);
    }
    let paused = run(&rig, "queue pause Docomo.Example. --for 2h --reason 'too many complaints'");
    assert_eq!(
        paused.out, "docomo.example is paused until 2026-11-25 00:35:10; 1,204 recipients wait.\n",
        "{}",
        paused.err
    );
    assert_eq!(
        run(&rig, "queue pause '[::1]:2525'").out,
        "[::1]:2525 is paused until it is resumed; nothing waits for it.\n"
    );
    {
        let pauses = rig.fake.pauses.lock().expect("no panic");
        let ours = &pauses[2];
        assert_eq!((ours.destination.as_str(), ours.reason.as_str()), ("docomo.example", "too many complaints"));
        assert_eq!(ours.until, Some(fake::now().plus(Duration::from_secs(7_200))));
        assert!(ours.operator.starts_with("operator "), "{}", ours.operator);
    }
    let by = run(&rig, "queue list -d").out;
    assert!(by.lines().any(|l| l.starts_with("docomo.example") && l.contains("paused")), "{by}");
    assert_eq!(run(&rig, "queue resume docomo.example").out, "docomo.example is no longer paused.\n");
    let none = run(&rig, "queue resume docomo.example");
    assert_eq!((none.code, none.err.as_str()), (1, "hikyaku: there is no pause of docomo.example\n"));
    for (line, words) in [
        ("queue pause docomo.example --for 2hours", "not a duration"),
        ("queue pause docomo.example --for 0s", "up to 365d"),
        ("queue pause docomo.example --for 400d", "up to 365d"),
        ("queue pause a@b.example", "is no destination"),
        ("queue pause ''", "is no destination"),
        ("queue pause a.example --reason 'x\u{7}'", "one line"),
    ] {
        let ran = run(&rig, line);
        assert_eq!(ran.code, 2, "{line}: {}{}", ran.out, ran.err);
        assert!(ran.err.contains(words), "{line}: {}", ran.err);
    }
    assert_eq!(run(&self::rig(Fake::empty()), "queue pauses").out, "No destination is paused.\n");
}

#[test]
fn the_reasons_are_told_one_topic_a_line() {
    let rig = rig(Fake::busy());
    let ran = run(&rig, "explain hanako@docomo.example --from shop@example.jp --user shop-app");
    assert_eq!(ran.code, 0, "{}", ran.err);
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines[0], "policy    shop@example.jp may send, user \"shop-app\"");
    assert_eq!(lines[2], "site      mx1.docomo.example (+2), 3 of 8 connections");
    assert_eq!(lines.len(), 6, "{}", ran.out);
    for line in ["explain a@b.example --from <> --lang ja", &format!("queue show {} --lang ja", fake::id(3))] {
        assert!(run(&rig, line).out.contains("4 分後に送信します。"), "{line}");
    }
    assert!(run(&rig, "explain a@b.example --from <>").out.starts_with("policy    <> may send"));
    for (line, code, words) in [
        ("explain a@b.example", 2, "--from"),
        ("explain nobody --from a@b.example", 2, "not a mail address"),
        ("explain a@b.example --from me", 2, "not a mail address"),
        ("explain a@b.example --from a@b.example --user nobody", 1, "there is no user \"nobody\""),
    ] {
        let ran = run(&rig, line);
        assert_eq!(ran.code, code, "{line}: {}", ran.out);
        assert!(ran.err.contains(words), "{line}: {}", ran.err);
    }
    for line in [format!("queue show {}", fake::id(3)), "find full@gmail.example".into()] {
        let out = run(&rig, &line).out;
        assert!(out.contains("How full@gmail.example goes, and why\n  class "), "{line}: {out}");
        assert!(out.contains("  rule      docomo: recipients matches"), "{line}: {out}");
    }
    for line in
        [format!("queue show {} -c --lang en", fake::id(3)), "find full@gmail.example --conversation --lang en".into()]
    {
        let out = run(&rig, &line).out;
        for words in [
            "The mailbox is full.",
            "0.022 > EHLO relay.example.jp",
            "1.090 < 550-5.7.1",
            "credentials, which are not kept",
        ] {
            assert!(out.contains(words), "{words}: {out}");
        }
        assert!(!out.contains(['\u{1b}', '\u{202e}', '\u{7}']), "what a peer said drives no terminal");
    }
    assert!(run(&rig, &format!("queue show {} -c --lang ja", fake::id(3))).out.contains("容量超過"));
    let json = run(&rig, &format!("queue show {} --json", fake::id(3))).out;
    assert!(json.contains("\"said\":\"host\"") && json.contains("\"after_ms\":1090"), "{json}");
    let done = run(&rig, &format!("queue show {}", fake::id(1))).out;
    assert!(!done.contains("and why"), "delivered mail has no open question: {done}");
}

#[test]
fn scheduled_mail_says_so() {
    let mut fake = Fake::busy();
    let last = fake.stories.last_mut().expect("a story");
    last.recipients[0].state = crate::store::RecipientState::Waiting {
        due: fake::now().plus(Duration::from_secs(7_200)),
        wait: crate::event::WaitReason::Scheduled,
    };
    let rig = rig(fake);
    assert!(run(&rig, "queue list").out.contains("its sender asked for a later time"));
    assert!(run(&rig, &format!("queue show {}", fake::id(8))).out.contains("scheduled"));
    assert!(run(&rig, "find waiting@slow.example").out.contains("scheduled, in 2h"));
    assert!(run(&rig, &format!("queue show {} --json", fake::id(8))).out.contains("\"wait\":\"scheduled\""));
}

#[test]
fn a_backup_is_whole_or_not_there() {
    let good = rig(Fake::busy());
    let file = good.dir.join("copy.tar");
    std::fs::write(&file, "the copy of yesterday").expect("written");
    let ran = run(&good, &format!("backup {}", file.display()));
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.ends_with("copy.tar: 293 KiB\n"), "{}", ran.out);
    assert_eq!(std::fs::read(&file).expect("the copy"), b"tar".repeat(100_000));
    assert_eq!(std::fs::metadata(&file).expect("the copy").permissions().mode() & 0o777, 0o600);

    let mut fake = Fake::busy();
    fake.backup = Err(vec![b'x'; 200_000]);
    let bad = rig(fake);
    let file = bad.dir.join("copy.tar");
    std::fs::write(&file, "the copy of yesterday").expect("written");
    let ran = run(&bad, &format!("backup {}", file.display()));
    assert_eq!(ran.code, 75);
    assert!(ran.err.contains("ended early"), "{}", ran.err);
    assert_eq!(std::fs::read(&file).expect("the old copy"), b"the copy of yesterday");
    let left: Vec<_> = std::fs::read_dir(&bad.dir).expect("the folder").flatten().map(|e| e.file_name()).collect();
    assert!(!left.iter().any(|n| n.to_string_lossy().ends_with(".part")), "{left:?}");
    assert_eq!(run(&bad, "backup /nonexistent/folder/x.tar").code, 2);
}

#[test]
fn following_shows_new_entries_once_and_in_order() {
    let rig = rig(Fake::busy());
    let mut row = rig.fake.log_rows().remove(0);
    let fake = rig.fake.clone();
    let writer = std::thread::spawn(move || {
        for n in 0..2 {
            std::thread::sleep(Duration::from_millis(700));
            row.number = 100 + n;
            row.event.kind = EventKind::Dropped;
            fake.more.lock().expect("no panic").push(row.clone());
        }
    });
    let ran = run(&rig, "log deliveries --follow --limit 3");
    writer.join().expect("no panic");
    assert_eq!(ran.code, 0, "{}", ran.err);
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines.len(), 5, "{}", ran.out);
    assert!(lines[..3].is_sorted(), "oldest first: {}", ran.out);
    assert_eq!(lines[3..].iter().filter(|l| l.contains("dropped")).count(), 2, "{}", ran.out);
}

#[test]
fn the_status_is_friendly_and_its_exit_code_speaks() {
    let up = rig(Fake::busy());
    let ran = run(&up, "status");
    assert_eq!(ran.code, 0);
    for text in [
        "Hikyaku 0.1.0 on relay.example.jp: running, some mail waits",
        "up         3d",
        "10,009 accepted",
        "1,284 recipients wait, 3 of them held",
        "DESTINATION",
        "oldest     normal 1d 1h · low 4m 10s",
        "DNSSEC     not validated",
        "paused     2 destinations",
        "warm-up    192.0.2.11 to aspmx.l.google.com (+4): 131 of 200 today, day 3 of 15",
        "unused     rule kddi has matched nothing for 34d",
    ] {
        assert!(ran.out.contains(text), "{text}: {}", ran.out);
    }
    let mut fake = Fake::busy();
    fake.unready = vec![crate::http::daemon::Unready::DiskFull];
    let down = rig(fake);
    let ran = run(&down, "status");
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains("no new mail is taken") && ran.out.contains("! the disk is nearly full"), "{}", ran.out);
}

/// For eyes: prints what people see. `cargo test --lib see_the_output -- --ignored --nocapture`.
#[test]
#[ignore = "for looking at the tables"]
#[allow(clippy::print_stdout)]
fn see_the_output() {
    let rig = rig(Fake::busy());
    for line in [
        "status",
        "queue list",
        "queue list -d",
        "queue pauses",
        "queue pause docomo.example --for 2h",
        "explain hanako@docomo.example --from shop@example.jp",
        "log deliveries",
        "log errors",
        "log audit",
        "find full@gmail.example",
        "user list",
        &format!("queue show {}", fake::id(3)),
        "queue flush --all",
        "log deliveries --follow --limit 3",
        "queue",
        "log deliveries --help",
        "user add x",
        "queue show x/y",
        "log deliveries --since tomorrow",
        "find nothing",
    ] {
        let ran = run(&rig, line);
        println!("$ hikyaku {line}\n{}{}[{}]\n", ran.out, ran.err, ran.code);
    }
}

#[path = "user_tests.rs"]
mod users;

#[path = "links_tests.rs"]
mod links;
