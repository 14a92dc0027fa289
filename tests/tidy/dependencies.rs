//! Which dependencies are let in: their licences, and the crates that stay out, with the reasons.
//!
//! In: `cargo tree` of the committed lock file, for the platform we build for.

use std::{collections::BTreeMap, process::Command};

use super::{none, root};

/// Licences that a binary under Apache-2.0 OR MIT may carry without a further duty than naming them.
const LICENCES: &[&str] = &[
    "MIT",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "0BSD",
    "BSL-1.0",
    "Zlib",
    "Unlicense",
    "CC0-1.0",
    "MIT-0",
    "Unicode-3.0",
    // Mozilla's root certificates (webpki-roots): data, to be passed on with its text.
    "CDLA-Permissive-2.0",
];

/// Single crates with a licence of their own, and why they are let in.
const LICENCE_EXCEPTIONS: &[(&str, &str, &str)] = &[(
    "aws-lc-sys",
    "OpenSSL",
    "the cryptography itself; its newer code is ISC and Apache-2.0, older parts carry the OpenSSL licence, which asks for a notice",
)];

/// Crates that stay out, by name or by the start of a name (`*`), and why.
const BANNED: &[(&str, &str)] = &[
    ("tokio", "one runtime only: smol"),
    ("tokio-*", "one runtime only: smol"),
    ("async-std*", "one runtime only: smol"),
    ("hickory-*", "our own stub resolver over the codec of `domain`"),
    ("ring", "one provider of cryptography: aws-lc-rs"),
    ("openssl", "one provider of cryptography: aws-lc-rs; nothing of the system's"),
    ("openssl-sys", "one provider of cryptography: aws-lc-rs; nothing of the system's"),
    ("native-tls", "rustls only"),
    ("rsa", "unpatched timing advisory"),
    ("rustls-pemfile", "unmaintained: rustls-pki-types reads PEM"),
    ("governor", "36 crates for a token bucket"),
    ("psl", "DMARC walks the tree now (RFC 9989)"),
    ("zip", "its maintenance churns: rawzip"),
    ("gethostname", "the host name comes from the config"),
    ("chrono", "jiff only"),
];

#[test]
fn every_dependency_is_wanted_and_may_be_passed_on() {
    let packages = packages();
    let mut wrong = Vec::new();
    for (name, licence) in &packages {
        if name == env!("CARGO_PKG_NAME") {
            continue;
        }
        if let Some((_, why)) = BANNED.iter().find(|(b, _)| is_named(name, b)) {
            wrong.push(format!("{name}: stays out: {why}"));
        }
        let extra: Vec<&str> = LICENCE_EXCEPTIONS.iter().filter(|(n, ..)| n == name).map(|(_, l, _)| *l).collect();
        if !is_allowed(licence, &extra) {
            wrong.push(format!("{name}: licence {licence:?} is not on the list"));
        }
    }
    none(&wrong);
    assert!(packages.len() > 30, "only {} packages: is this the right tree?", packages.len());
}

#[test]
fn licence_expressions_are_read_right() {
    for (expression, allowed) in [
        ("MIT", true),
        ("MIT/Apache-2.0", true),
        ("MIT OR GPL-3.0-only", true),
        ("MIT AND GPL-3.0-only", false),
        ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
        ("Apache-2.0 WITH LLVM-exception OR GPL-2.0-only", true),
        ("ISC AND (Apache-2.0 OR ISC) AND OpenSSL", false),
        ("GPL-3.0-only", false),
        ("", false),
    ] {
        assert_eq!(is_allowed(expression, &[]), allowed, "{expression:?}");
    }
    assert!(is_allowed("ISC AND (Apache-2.0 OR ISC) AND OpenSSL", &["OpenSSL"]));
}

/// Name and licence of each package that a build for this platform really has, tests and build scripts included.
/// (`cargo metadata` also lists what only unused features would bring.)
fn packages() -> BTreeMap<String, String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "--edges", "normal,build,dev", "--prefix", "none", "--no-dedupe"])
        .args(["--target", "x86_64-unknown-linux-gnu", "--format", "{p}|{l}"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    let packages = lines.lines().filter_map(|l| l.split_once('|'));
    packages.map(|(p, l)| (p.split(' ').next().unwrap_or_default().to_owned(), l.to_owned())).collect()
}

fn is_named(name: &str, pattern: &str) -> bool {
    pattern.strip_suffix('*').map_or(name == pattern, |start| name.starts_with(start))
}

/// An SPDX expression, of which one way to choose is on the list.
fn is_allowed(expression: &str, extra: &[&str]) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    let allowed = either(&mut words, extra);
    allowed && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn either(words: &mut Words<'_>, extra: &[&str]) -> bool {
    let mut allowed = both(words, extra);
    while words.next_if_eq(&"OR").is_some() {
        // Read on even when it is decided: the rest has to be consumed.
        allowed |= both(words, extra);
    }
    allowed
}

fn both(words: &mut Words<'_>, extra: &[&str]) -> bool {
    let mut allowed = one(words, extra);
    while words.next_if_eq(&"AND").is_some() {
        allowed &= one(words, extra);
    }
    allowed
}

fn one(words: &mut Words<'_>, extra: &[&str]) -> bool {
    if words.next_if_eq(&"(").is_some() {
        let allowed = either(words, extra);
        return words.next() == Some(")") && allowed;
    }
    let Some(name) = words.next() else { return false };
    let name = match words.next_if_eq(&"WITH") {
        Some(_) => format!("{name} WITH {}", words.next().unwrap_or_default()),
        None => name.to_owned(),
    };
    LICENCES.contains(&name.as_str()) || extra.contains(&name.as_str())
}
