//! The promises of `[[domain.dkim]]`, by data: a key that cannot sign is refused with its file, the line and the fix.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use super::{
    tests::{calm, check, check_warning, load},
    *,
};
use crate::dkim::{
    fake::RFC8463_RSA,
    key::{Algorithm, SigningKey},
};

/// A folder of key files, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("hikyaku-config-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).expect("a folder");
        Folder(dir)
    }

    fn file(&self, name: &str, content: &str, mode: u32) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, content).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("ours");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A domain with keys, the first of which stands on lines 3 to 5.
fn domain(name: &str, keys: &[(&str, &PathBuf)]) -> String {
    let mut text = format!("[[domain]]\nname = \"{name}\"\n");
    for (selector, path) in keys {
        text += &format!("[[domain.dkim]]\nselector = \"{selector}\"\nprivate_key = \"{}\"\n", path.display());
    }
    text
}

fn pem(algorithm: Algorithm) -> String {
    let (_, secret) = SigningKey::generate(algorithm, 2048).expect("a key");
    SigningKey::pem_of(secret.reveal()).reveal().clone()
}

#[test]
fn a_key_that_cannot_sign_is_refused_with_file_line_and_fix() {
    let folder = Folder::new("bad-keys");
    for (content, reason, fix) in [
        ("", "bad.pem holds no private key in PEM", "dkim-new"),
        ("-----BEGIN PUBLIC KEY-----\nAA\n-----END PUBLIC KEY-----\n", "holds a PUBLIC KEY", "dkim-new"),
        ("-----BEGIN PRIVATE KEY-----\nAA", "is cut off", "copy the whole file again"),
        ("-----BEGIN PRIVATE KEY-----\n?\n-----END PRIVATE KEY-----\n", "not base64", "copy the file again"),
        (
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
            "encrypted",
            "openssl pkey",
        ),
    ] {
        let path = folder.file("bad.pem", content, 0o600);
        check(&domain("a.example", &[("s", &path)]), 5, "domain.dkim.private_key", reason, fix);
    }
    let missing = folder.0.join("missing.pem");
    check(
        &domain("a.example", &[("s", &missing)]),
        5,
        "domain.dkim.private_key",
        "missing.pem cannot be read",
        "create",
    );
}

#[test]
fn good_keys_are_in_the_config_and_are_never_shown() {
    let folder = Folder::new("good-keys");
    let (rsa, ed) = (pem(Algorithm::RsaSha256), pem(Algorithm::Ed25519Sha256));
    let files = [folder.file("rsa.pem", &rsa, 0o600), folder.file("ed.pem", &ed, 0o640)];
    let loaded = load(&domain("a.example", &[("r", &files[0]), ("e", &files[1])])).expect("good");
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let keys: Vec<Algorithm> =
        loaded.config.domains[0].dkim.iter().filter_map(|k| k.key.as_ref()).map(|k| k.algorithm()).collect();
    assert_eq!(keys, [Algorithm::RsaSha256, Algorithm::Ed25519Sha256]);
    let shown = format!("{:?}{}", loaded.config, effective(&loaded.config));
    for secret in rsa.lines().chain(ed.lines()).filter(|line| !line.starts_with('-')) {
        assert!(!shown.contains(secret), "{secret}");
    }
    // Another content of the same file is a difference, which says nothing of it.
    let before = loaded.config;
    fs::write(&files[1], pem(Algorithm::Ed25519Sha256)).expect("written");
    let after = load(&domain("a.example", &[("r", &files[0]), ("e", &files[1])])).expect("good").config;
    let told: Vec<String> = difference(&before, &after).iter().map(|d| format!("{} {}", d.key, d.new)).collect();
    assert_eq!(told, ["domain.dkim.private_key (content) of e for a.example \"(hidden)\""]);
    assert!(difference(&before, &before).is_empty());
}

#[test]
fn what_signs_and_should_not_is_a_warning() {
    let folder = Folder::new("weak-keys");
    let small = folder.file("small.pem", RFC8463_RSA, 0o600);
    check_warning(&domain("a.example", &[("s", &small)]), 5, "domain.dkim.private_key", "RSA key has 1024 bits");
    let open = folder.file("open.pem", &pem(Algorithm::Ed25519Sha256), 0o644);
    check_warning(&domain("a.example", &[("s", &open)]), 5, "domain.dkim.private_key", "by others (mode 0644)");
}

#[test]
fn too_many_keys_and_names_that_are_too_long_are_refused() {
    let folder = Folder::new("many-keys");
    let file = folder.file("ed.pem", &pem(Algorithm::Ed25519Sha256), 0o600);
    let keys: Vec<(&str, &PathBuf)> = ["a", "b", "c", "d", "e"].map(|selector| (selector, &file)).to_vec();
    assert!(load(&domain("a.example", &keys[..4])).is_ok());
    check(&domain("a.example", &keys), 16, "domain.dkim.selector", "more than 4 keys", "one RSA and one Ed25519");
    let long = [["x"; 60].concat(), ["y"; 60].concat(), ["z"; 60].concat(), ["w"; 60].concat()].join(".");
    let text = domain(&long, &[("h2026a", &file)]);
    check(&text, 4, "domain.dkim.selector", "too long for a name of the DNS", "shorter selector");
}

#[test]
fn a_command_that_looks_at_no_files_has_no_keys() {
    let text = domain("a.example", &[("s", &"/nowhere/key.pem".into())]);
    let around = Surroundings { files: Files::Ignored, ..calm() };
    let config = read_str(Path::new("/etc/hikyaku/config.toml"), &text, &around).expect("not looked at").config;
    assert!(config.domains[0].dkim[0].key.is_none());
}
