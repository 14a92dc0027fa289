//! The commands against a daemon of made-up rows.

use std::path::PathBuf;

use super::*;
use crate::{
    cli::table::finish,
    dmarc::keep::tests::{Written, simple},
    http::{fake::Fake, front::Limits, rig::Rig},
    tls_report::gzip,
};

fn run(rig: &Rig, words: &[&str]) -> (u8, String, String) {
    let root = Command::new("hikyaku").subcommand(command());
    let all = ["hikyaku", "dmarc"].iter().chain(words).copied();
    let matches = root.try_get_matches_from(all).expect("such a command");
    let args = matches.subcommand_matches("dmarc").expect("this command");
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let target = Target { data_dir: rig.dir.clone() };
    let code = finish(&mut Output { out: &mut out, err: &mut err }, |output| run_to(args, &target, output));
    (code, String::from_utf8(out).expect("UTF-8"), String::from_utf8(err).expect("UTF-8"))
}

fn write(rig: &Rig, name: &str, octets: &[u8]) -> String {
    let path: PathBuf = rig.dir.join(name);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    std::fs::write(&path, octets).expect("written");
    path.to_str().expect("text").to_owned()
}

#[test]
fn files_folders_and_mailboxes_are_imported_and_counted() {
    let rig = Rig::new(Fake::busy(), Limits::default());
    write(&rig, "in/a.xml", simple("r-1").as_bytes());
    write(&rig, "in/sub/b.xml.gz", &gzip(simple("r-2").as_bytes()));
    write(&rig, "in/.hidden", b"nothing");
    std::os::unix::fs::symlink(rig.dir.join("in"), rig.dir.join("in/sub/loop")).expect("a link");
    let mail = |id: &str| {
        format!("From x@y Tue Nov 24 00:00:00 2026\nSubject: r\nContent-Type: text/xml\n\n{}\n\n", simple(id))
    };
    let mbox = write(&rig, "box.mbox", (mail("r-3") + &mail("r-1") + "From x@y\nSubject: hi\n\nhello\n").as_bytes());
    let folder = rig.dir.join("in").to_str().expect("text").to_owned();
    let (code, out, err) = run(&rig, &["import", &folder]);
    assert_eq!((code, err.as_str()), (DONE, ""), "{out}");
    assert!(out.contains("a.xml: new aggregate report about example.jp from reporter.example (r-1, 2 rows)"), "{out}");
    assert!(out.ends_with("2 files: 2 new with 4 rows.\n"), "{out}");
    let (code, out, err) = run(&rig, &["import", &mbox, "/no/such/file"]);
    assert_eq!(code, NO);
    assert!(out.contains("box.mbox#2: known") && err.contains("box.mbox#3: nothing in it looks like"), "{out}{err}");
    assert!(err.contains("/no/such/file: "), "{err}");
    assert!(
        out.ends_with("4 files: 1 new with 2 rows, 1 known before, 1 files without a report, 1 files not read.\n"),
        "{out}"
    );
    let (_, out, _) = run(&rig, &["import", &mbox, "--json"]);
    assert_eq!(out.lines().count(), 3, "{out}");
    let audits = rig.fake.audits.lock().expect("no panic before");
    assert_eq!(audits.iter().filter(|a| a.act == "dmarc.import").count(), 3);
}

#[test]
fn what_is_larger_than_a_request_travels_in_several() {
    let rig = Rig::new(Fake::busy(), Limits::default());
    let rows: Vec<String> = (0..4_000).map(|n| format!("10.0.{}.{}", n >> 8, n & 255)).collect();
    let rows: Vec<_> = rows.iter().map(|ip| (ip.as_str(), 1, true, true, "example.jp")).collect();
    // Below a megabyte they travel as they are: seven are more than a request. The large one is packed.
    let names: Vec<String> = (0..8)
        .map(|n| {
            let id = format!("big-{n}");
            let rows = if n == 3 { &rows[..] } else { &rows[..2_000] };
            let report = Written { organization: "r.example", id: &id, domain: "example.jp", days_ago: 1, rows };
            write(&rig, &format!("big-{n}.xml"), report.xml().as_bytes())
        })
        .collect();
    let (code, out, err) =
        run(&rig, &[&["import"], &names.iter().map(String::as_str).collect::<Vec<_>>()[..]].concat());
    assert_eq!((code, err.as_str()), (DONE, ""));
    assert!(out.ends_with("8 files: 8 new with 18,000 rows.\n"), "{out}");
    let audits = rig.fake.audits.lock().expect("no panic before").iter().filter(|a| a.act == "dmarc.import").count();
    assert!(audits > 1, "{audits} requests");
}

#[test]
fn views_are_shown_as_tables_and_as_json() {
    let rig = Rig::new(Fake::busy(), Limits::default());
    let (code, out, _) = run(&rig, &["report", "example.jp"]);
    assert!(code == NO && out.contains("No reports in this time."), "{out}");
    let (code, out, _) = run(&rig, &["report"]);
    assert!(code == DONE && out.starts_with("There are no reports"), "{out}");
    let file = write(&rig, "a.xml", simple("r-1").as_bytes());
    run(&rig, &["import", &file]);
    let (code, out, _) = run(&rig, &["report", "Example.JP."]);
    assert_eq!(code, DONE, "{out}");
    for piece in [
        "example.jp, 2026-10-26 to 2026-11-24 (UTC)",
        "2026-11-23        1      3",
        "66.6 %",
        "With p=reject (now quarantine), 1 of these",
        "Reported by: reporter.example 3",
    ] {
        assert!(out.contains(piece), "{piece} in:\n{out}");
    }
    let (_, out, _) = run(&rig, &["report", "example.jp", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((&json["total"]["messages"], &json["what_if"]["unknown_refused"]), (&3.into(), &1.into()));
    let (_, out, _) = run(&rig, &["report"]);
    assert!(out.contains("example.jp        1      3  66.6 %       1  quarantine"), "{out}");
    let (code, out, _) = run(&rig, &["sources", "example.jp"]);
    assert!(code == DONE && out.lines().nth(1).is_some_and(|l| l.starts_with("192.0.2.10   unknown      2")), "{out}");
    let (_, out, _) = run(&rig, &["sources", "example.jp", "--json"]);
    assert_eq!(out.lines().count(), 3, "{out}");
    let (_, out, _) = run(&rig, &["reports", "example.jp"]);
    assert!(out.contains("imported") && out.contains("r-1"), "{out}");
    let (code, out, _) = run(&rig, &["failures", "example.jp"]);
    assert!(code == NO && out.contains("No failure report"), "{out}");
    let (code, _, err) = run(&rig, &["report", "not a domain"]);
    assert!(code == 2 && err.contains("name a domain"), "{err}");
    assert_eq!(share(999_999, 1_000_000), "99.9 %");
}
