//! Rotations by the command line, over the real front and server of a made-up daemon.

use super::{super::super::table::finish, *};
use crate::{
    cli::Target,
    http::{fake::Fake, front::Limits, rig::Rig},
    signing::witness::Says,
};

struct Ran {
    code: u8,
    out: String,
    err: String,
}

fn run(rig: &Rig, line: &str) -> Ran {
    let words = std::iter::once("domain").chain(line.split_whitespace());
    let matches = super::super::command().try_get_matches_from(words).expect("a good line");
    let (_, args) = matches.subcommand().expect("a verb");
    let target = Target { data_dir: rig.dir.clone() };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = finish(&mut Output { out: &mut out, err: &mut err }, |output| run_to(args, &target, output));
    let text = |octets| String::from_utf8(octets).expect("UTF-8");
    Ran { code, out: text(out), err: text(err) }
}

fn status(rig: &Rig) -> String {
    let target = Target { data_dir: rig.dir.clone() };
    let matches = crate::cli::status::command().try_get_matches_from(["status"]).expect("a good line");
    let (mut out, mut err) = (Vec::new(), Vec::new());
    finish(&mut Output { out: &mut out, err: &mut err }, |output| {
        crate::cli::status::run_to(&matches, &target, output)
    });
    String::from_utf8(out).expect("UTF-8")
}

#[test]
fn a_rotation_is_begun_followed_hurried_and_given_up() {
    let rig = Rig::new(Fake::busy(), Limits::default());
    let dns = rig.fake.lists.get().dns.clone();
    let ran = run(&rig, "dkim-rotate example.jp --status");
    assert_eq!((ran.code, ran.out.as_str()), (1, "example.jp has no DKIM key.\n"));
    assert!(!status(&rig).contains("DKIM"));

    let ran = run(&rig, "dkim-rotate example.jp --selector s1 --algorithm ed25519");
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{}", ran.out);
    for text in [
        "s1  Ed25519: pending since 2026-11-24",
        "  next  signs once every server has the record",
        "  do    publish the TXT record at s1._domainkey.example.jp\n",
        "    s1._domainkey.example.jp. IN TXT \"v=DKIM1; k=ed25519; p=",
        "    Value  v=DKIM1; k=ed25519; p=",
        "  dns   ns1.example.jp has no such record",
        "        asked 2026-11-24",
    ] {
        assert!(ran.out.contains(text), "{text}: {}", ran.out);
    }
    assert!(!ran.out.contains("PRIVATE"));
    let told = status(&rig);
    assert!(told.contains("DKIM       0 keys sign for 0 domains\n"), "{told}");
    assert!(told.contains("example.jp s1 (Ed25519, pending): signs once every server has the record"), "{told}");
    assert!(told.contains("publish the TXT record at s1._domainkey.example.jp"), "{told}");

    // Called again, it goes on; what is wrong in the DNS is told.
    dns.set("s1._domainkey.example.jp", Says::Wrong("has the record cut off after 255 characters".into()));
    let ran = run(&rig, "dkim-rotate example.jp --algorithm ed25519");
    assert_eq!(ran.code, 0);
    assert!(ran.out.starts_with("It is under way.\n"), "{}", ran.out);
    assert!(ran.out.contains("dns   ns1.example.jp has the record cut off after 255 characters"), "{}", ran.out);
    dns.set("s1._domainkey.example.jp", Says::Right);
    let ran = run(&rig, "dkim-rotate example.jp --algorithm ed25519");
    assert!(ran.out.contains("s1  Ed25519: published since"), "{}", ran.out);
    assert!(ran.out.contains("  next  signs in 15m"), "{}", ran.out);
    assert!(!ran.out.contains("zone file"), "{}", ran.out);
    let ran = run(&rig, "dkim-rotate example.jp --algorithm ed25519 --now");
    assert!(ran.out.contains("s1  Ed25519: active since"), "{}", ran.out);
    assert!(status(&rig).contains("DKIM       1 key signs for 1 domain, the oldest for 0s\n"), "{}", status(&rig));

    // For programs.
    let ran = run(&rig, "--json dkim-rotate example.jp --status");
    let row: serde_json::Value = serde_json::from_str(&ran.out).expect("one row");
    assert_eq!((row["state"].as_str(), row["signs"].as_bool()), (Some("active"), Some(true)));
    assert_eq!(row["servers"][0]["says"], "right");

    let ran = run(&rig, "dkim-rotate example.jp --abort");
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("nothing else could sign"), "{}", ran.err);
    run(&rig, "dkim-rotate example.jp --selector s2 --algorithm ed25519");
    let ran = run(&rig, "dkim-rotate example.jp --abort");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.starts_with("It is given up.\n") && !ran.out.contains("s2"), "{}", ran.out);
}

#[test]
fn a_refusal_is_told_with_its_code() {
    let rig = Rig::new(Fake::busy(), Limits::default());
    for (line, code, words) in [
        ("dkim-rotate other.jp", 1, "the config has no [[domain]] of the name other.jp"),
        ("dkim-rotate example.jp --bits 1000", 2, "no RSA key of 1000 bits"),
        ("dkim-rotate example.jp --algorithm ed25519 --selector a_b.", 2, "a selector has letters"),
        ("dkim-rotate example.jp --abort", 1, "no rotation is under way"),
    ] {
        let ran = run(&rig, line);
        assert_eq!((ran.code, ran.out.as_str()), (code, ""), "{line}: {}", ran.err);
        assert!(ran.err.contains(words), "{line}: {}", ran.err);
    }
}
