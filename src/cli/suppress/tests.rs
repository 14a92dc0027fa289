//! The suppression list on the command line, against the real front and server over a made-up daemon.

use super::*;
use crate::{
    cli::{incidents, table::finish, unsubscribe},
    http::{
        fake::{Fake, HOSTILE},
        fake_lists_tests::incident_id,
        front::Limits,
        rig::Rig,
    },
};

struct Ran {
    code: u8,
    out: String,
    err: String,
}

fn run(rig: &Rig, words: &[&str]) -> Ran {
    let root = Command::new("hikyaku").subcommands([command(), unsubscribe::command(), incidents::command()]);
    let matches = root.try_get_matches_from(std::iter::once("hikyaku").chain(words.iter().copied())).expect("words");
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let target = Target { data_dir: rig.dir.clone() };
    let code = finish(&mut Output { out: &mut out, err: &mut err }, |output| match matches.subcommand() {
        Some(("suppress", args)) => run_to(args, &target, output),
        Some(("unsubscribe", args)) => unsubscribe::run_to(args, &target, output),
        Some((_, args)) => incidents::run_to(args, &target, output),
        None => unreachable!("a noun"),
    });
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Ran { code, out: text(out), err: text(err) }
}

fn rig(fake: Fake) -> Rig {
    Rig::new(fake, Limits::default())
}

fn audits(rig: &Rig) -> Vec<String> {
    let query = crate::store::AuditQuery::default();
    let page = crate::store::Page { rows_max: 100, ..crate::store::Page::default() };
    let rows = rig.fake.lists.get().store.audit_page(&query, &page).expect("a page").rows;
    rows.into_iter().rev().map(|row| format!("{} {} {}", row.who, row.act, row.object)).collect()
}

#[test]
fn the_list_is_searched_and_shown() {
    let rig = rig(Fake::busy());
    let all = run(&rig, &["suppress", "list"]);
    assert_eq!(all.code, DONE, "{}", all.err);
    let lines: Vec<&str> = all.out.lines().collect();
    assert_eq!(lines.len(), 7, "{}", all.out);
    assert!(lines[0].starts_with("ADDRESS") && lines[1].starts_with("angry@example.net"), "{}", all.out);
    assert!(!all.out.contains('\u{1b}') && !all.out.contains('\u{202e}') && all.out.contains("evil"), "{}", all.out);
    for (args, first, rows) in [
        (&["suppress", "list", "GMAIL"][..], "full@gmail.example", 1),
        (&["suppress", "list", "--class", "2"], "nobody@example.com", 1),
        (&["suppress", "list", "--cause", "complaint"], "angry@example.net", 1),
        (&["suppress", "list", "--since", "2026-11-24"], "nobody@example.com", 2),
        (&["suppress", "list", "--removed"], "old.taro@docomo.example", 1),
        (&["suppress", "list", "--exempt"], "boss@example.jp", 1),
    ] {
        let ran = run(&rig, args);
        let found: Vec<&str> = ran.out.lines().skip(1).collect();
        assert!(found.len() == rows && found[0].starts_with(first), "{args:?}: {}", ran.out);
    }
    assert_eq!(run(&rig, &["suppress", "list", "nowhere"]).out, "No address matches.\n");
    let short = run(&rig, &["suppress", "list", "--limit", "2"]);
    assert!(short.out.lines().count() == 3 && short.err.contains("2 are shown"), "{} {}", short.out, short.err);
    let json = run(&rig, &["suppress", "list", "--json", "--limit", "1"]);
    let row: SuppressionOut = serde_json::from_str(json.out.lines().next().expect("a row")).expect("the schema");
    assert_eq!((row.address.as_str(), row.state.as_str(), row.id.len()), ("angry@example.net", "suppressed", 13));
    assert_eq!(run(&rig, &["suppress", "list", "--class", "12"]).code, 2);

    let shown = run(&rig, &["suppress", "show", "Nobody@example.com"]);
    assert!(shown.code == DONE && shown.out.starts_with("nobody@example.com is suppressed\n"), "{}", shown.out);
    assert!(shown.out.contains("class     2 unknown user") && shown.out.contains("suppression"), "{}", shown.out);
    let lifted = run(&rig, &["suppress", "show", "old.taro@docomo.example"]);
    assert!(
        lifted.code == NO && lifted.out.contains("\nEarlier\n") && lifted.out.contains("operator root (lifted)"),
        "{}",
        lifted.out
    );
    let shown = run(&rig, &["suppress", "show", "Nobody@example.com", "--lang", "ja"]).out;
    for words in ["nobody@example.com は配信停止中です。\n", "エラー分類", "2 宛先不明", "\n分かっていること\n"]
    {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    assert!(shown.contains("\n  配信停止") && !shown.contains("suppress"), "{shown}");
    let lifted = run(&rig, &["suppress", "show", "old.taro@docomo.example", "--lang", "ja"]).out;
    assert!(lifted.contains("\n過去の配信停止\n") && lifted.contains("operator root（解除）"), "{lifted}");
    assert_eq!(run(&rig, &["suppress", "show", "nobody"]).code, 2);
    assert_eq!(
        run(&Rig::new(Fake::empty(), Limits::default()), &["suppress", "list"]).out,
        "No address is suppressed.\n"
    );
}

#[test]
fn each_act_names_its_address_and_is_in_the_operation_log() {
    let rig = rig(Fake::busy());
    let before = audits(&rig).len();
    let ran = run(&rig, &["suppress", "add", "New@Example.jp", "--for", "30d", "--reason", "asked by mail"]);
    assert_eq!(ran.out, "new@example.jp is suppressed until 2026-12-24 22:35:10.\n", "{}", ran.err);
    assert_eq!(
        run(&rig, &["suppress", "add", "new@example.jp"]).out,
        "new@example.jp is suppressed already until 2026-12-24 22:35:10.\n"
    );
    for (args, code) in [
        (&["suppress", "add", "x"][..], 2),
        (&["suppress", "add", "a@b.example", "--for", "soon"], 2),
        (&["suppress", "add", "a@b.example", "--user", "nobody"], 1),
        (&["suppress", "lift", "never@example.jp"], 1),
    ] {
        assert_eq!(run(&rig, args).code, code, "{args:?}");
    }
    let ran = run(&rig, &["suppress", "lift", "new@example.jp", "x", "full@gmail.example"]);
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (NO, "new@example.jp is written to again.\nfull@gmail.example is written to again.\n")
    );
    let ran = run(&rig, &["suppress", "exempt", "nobody@example.com"]);
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (DONE, "nobody@example.com is written to again, and its errors never suppress it.\n")
    );
    let ran = run(&rig, &["suppress", "exempt", "angry@example.net"]);
    assert!(ran.code == NO && ran.out.contains("stays on the list"), "no exemption overrides a complaint: {}", ran.out);
    assert_eq!(run(&rig, &["suppress", "exempt", "--end", "boss@example.jp"]).code, DONE);
    assert_eq!(run(&rig, &["suppress", "exempt", "--end", "boss@example.jp"]).code, NO);
    let acts = audits(&rig);
    let acts: Vec<&str> = acts[before..].iter().map(|a| a.strip_prefix("operator ").expect("who")).collect();
    let me = acts[0].split(' ').next().expect("a name").to_owned();
    let expected = [
        "suppress.add new@example.jp",
        "suppress.lift new@example.jp",
        "suppress.lift full@gmail.example",
        "suppress.exempt nobody@example.com",
        "suppress.exempt angry@example.net",
        "suppress.exempt_end boss@example.jp",
    ];
    assert_eq!(acts, expected.map(|act| format!("{me} {act}")));
}

#[test]
fn many_addresses_are_lifted_only_after_they_were_counted() {
    let rig = rig(Fake::busy());
    let id = incident_id(1);
    let list = run(&rig, &["suppress", "incidents"]);
    assert!(
        list.out.lines().nth(1).is_some_and(|line| line.contains("docomo.example") && line.contains("held")),
        "{}",
        list.out
    );
    assert!(list.out.contains("discarded") && list.out.contains("by operator hanako"), "{}", list.out);
    let preview = run(&rig, &["suppress", "release", &id]);
    assert_eq!(preview.code, NO);
    assert_eq!(preview.out, "ichiro@docomo.example\njiro@docomo.example\nsaburo@docomo.example\n");
    assert!(
        preview.err.contains("3 addresses have held errors, which would count. Nothing was done"),
        "{}",
        preview.err
    );
    let done = run(&rig, &["suppress", "release", &id, "--yes"]);
    assert_eq!(
        (done.code, done.out.as_str()),
        (DONE, "3 held errors count now; 3 addresses came onto the list.\n"),
        "{}",
        done.err
    );
    assert_eq!(run(&rig, &["suppress", "release", &id, "--yes"]).code, NO, "it is over");
    let preview = run(&rig, &["suppress", "undo", &id]);
    assert!(
        preview.code == NO && preview.err.contains("3 addresses would be lifted"),
        "{} {}",
        preview.out,
        preview.err
    );
    let done = run(&rig, &["suppress", "undo", &id, "-y"]);
    assert_eq!((done.code, done.out.lines().count()), (DONE, 3), "each is named: {}", done.out);
    assert!(done.err.starts_with("3 addresses lifted"), "{}", done.err);
    assert_eq!(run(&rig, &["suppress", "undo", "0000000000000", "--yes"]).code, NO);
}

#[test]
fn a_list_goes_out_and_comes_back_whole() {
    let from = rig(Fake::busy());
    let exported = run(&from, &["suppress", "export"]);
    assert_eq!(exported.code, DONE, "{}", exported.err);
    assert!(exported.out.starts_with("email,user,state,cause,class,occurred,since,until,reason,operator\r\n"));
    let to = rig(Fake::empty());
    let file = to.dir.join("list.csv");
    std::fs::write(&file, &exported.out).expect("written");
    let path = file.to_str().expect("text");
    let dry = run(&to, &["suppress", "import", path, "--dry-run"]);
    assert!(dry.out.contains("6  would come onto the list") && dry.out.contains("1  would be exempt"), "{}", dry.out);
    assert_eq!(run(&to, &["suppress", "list"]).out, "No address is suppressed.\n", "a dry run does nothing");
    let done = run(&to, &["suppress", "import", path]);
    assert!(done.code == DONE && done.out.contains("6  came onto the list"), "{} {}", done.out, done.err);
    assert!(run(&to, &["suppress", "import", path]).out.contains("6  were there already"));
    let strip =
        |text: &str| text.lines().map(|l| l.rsplit_once(',').expect("columns").0.to_owned()).collect::<Vec<_>>();
    assert_eq!(strip(&run(&to, &["suppress", "export"]).out), strip(&exported.out), "but for who did it");

    let cmc = run(&from, &["suppress", "export", "--format", "cmc"]);
    let lines: Vec<&str> = cmc.out.lines().collect();
    assert_eq!(lines[0], "\"created\",\"email\",\"id\",\"occurred\",\"status\"");
    assert!(
        lines[1].starts_with("\"2026-10-30 12:00:00\",\"angry@example.net\",\"")
            && lines[1].ends_with("\",\"1\",\"11\""),
        "{}",
        lines[1]
    );
}

#[test]
fn an_export_calculates_nothing() {
    let rig = rig(Fake::empty());
    let file = rig.dir.join("evil.csv");
    std::fs::write(
        &file,
        format!(
            "email,reason\n=a@example.org,=cmd|' /C calc'!A0\nb@example.org,\"{}\"\n",
            HOSTILE.replace('"', "\"\"")
        ),
    )
    .expect("written");
    let done = run(&rig, &["suppress", "import", file.to_str().expect("text")]);
    assert!(done.out.contains("2  came onto the list"), "{} {}", done.out, done.err);
    let out = run(&rig, &["suppress", "export"]).out;
    assert!(out.contains("\n'=a@example.org,") && out.contains(",'=cmd|"), "{out}");
}

#[test]
fn what_cannot_be_used_is_told_with_its_line() {
    let rig = rig(Fake::empty());
    let file = rig.dir.join("bounces.csv");
    std::fs::write(&file, "created,email,filtername\n2026-06-01 08:46:00,a@example.org,news\nx,not an address,news\n31/12/26,b@example.org,news\n").expect("written");
    let path = file.to_str().expect("text");
    let ran = run(&rig, &["suppress", "import", path]);
    assert_eq!(ran.code, NO);
    assert!(ran.err.contains("bounces.csv:3: \"not an address\" is not a mail address"), "{}", ran.err);
    assert!(ran.err.contains("bounces.csv:4: \"31/12/26\" is no time that is known"), "{}", ran.err);
    assert!(
        ran.out.contains("bounces.csv (cmc-unsubscribes): 2 addresses.") && ran.out.contains("2  left their list"),
        "{}",
        ran.out
    );
    let left = run(&rig, &["unsubscribe", "list"]);
    assert!(left.out.contains("a@example.org  news  2026-06-01 08:46:00  import"), "{}", left.out);
    assert_eq!(run(&rig, &["suppress", "import", "/no/such/file"]).code, 2);
    std::fs::write(&file, "name,city\nx,y\n").expect("written");
    assert_eq!(run(&rig, &["suppress", "import", path]).code, 2);
    let json = run(&rig, &["suppress", "import", path, "--as", "addresses", "--json"]);
    assert_eq!(json.code, 2, "{}", json.out);
}

#[test]
fn other_thresholds_are_tried_without_changing_anything() {
    let rig = rig(Fake::busy());
    let ran = run(&rig, &["suppress", "try", "--unknown-user", "5", "--window", "30d"]);
    assert_eq!(ran.code, DONE, "{}", ran.err);
    assert!(ran.out.contains("0 would come onto the list"), "{}", ran.out);
    assert!(ran.out.contains("they stay, for no setting lifts anybody"), "{}", ran.out);
    assert_eq!(run(&rig, &["suppress", "try", "--window", "long"]).code, 2);
    let json = run(&rig, &["suppress", "try", "--json"]);
    assert!(serde_json::from_str::<crate::http::rows_lists::TryOut>(&json.out).is_ok(), "{}", json.out);
}

#[test]
fn those_who_left_are_listed_cancelled_and_downloaded() {
    let rig = rig(Fake::busy());
    let all = run(&rig, &["unsubscribe", "list"]);
    assert!(all.code == DONE && all.out.contains("週刊ニュース") && all.out.lines().count() == 3, "{}", all.out);
    assert_eq!(run(&rig, &["unsubscribe", "list", "--list", "NEWSLETTER a"]).out.lines().count(), 2);
    assert_eq!(run(&rig, &["unsubscribe", "list", "nobody"]).out, "Nobody matches.\n");
    let csv = run(&rig, &["unsubscribe", "export"]);
    assert!(
        csv.out.starts_with(
            "\"created\",\"email\",\"filtername\"\r\n\"2026-11-24 08:46:00\",\"a@example.org\",\"newsletter A\"\r\n"
        ),
        "{}",
        csv.out
    );
    assert_eq!(run(&rig, &["unsubscribe", "add", "b@example.org", "--list", "newsletter A"]).out, "1 left the list.\n");
    assert_eq!(
        run(&rig, &["unsubscribe", "cancel", "a@example.org", "b@example.org"]).out,
        "2 entries are gone: they are written to again.\n"
    );
    let none = run(&rig, &["unsubscribe", "cancel", "a@example.org"]);
    assert_eq!((none.code, none.out.as_str()), (NO, "None of them had left.\n"));
    assert_eq!(run(&rig, &["unsubscribe", "cancel", "x"]).code, 2);
    let acts = audits(&rig);
    assert!(acts.iter().any(|act| act.ends_with("unsubscribe.cancel 2 entries")), "{acts:?}");
}

#[test]
fn troubles_of_destinations_are_told_apart_from_recipients() {
    let rig = rig(Fake::busy());
    let all = run(&rig, &["incidents"]);
    assert!(all.code == DONE && all.out.lines().count() == 4, "{}", all.out);
    assert!(
        all.out.contains("authentication") && all.out.contains("unclassified") && !all.out.contains('\u{1b}'),
        "{}",
        all.out
    );
    assert_eq!(run(&rig, &["incidents", "--unclassified"]).out.lines().count(), 2);
    assert!(run(&rig, &["incidents", "ezweb"]).out.contains("reputation"));
    assert_eq!(run(&rig, &["incidents", "nowhere"]).out, "Nothing of the kind was seen.\n");
    assert_eq!(run(&rig, &["incidents", "--json"]).out.lines().count(), 3);
}
