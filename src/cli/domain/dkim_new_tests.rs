//! Keys made in folders of their own.

use std::os::unix::fs::PermissionsExt;

use super::{super::super::Around, *};

struct Rig {
    dir: PathBuf,
}

impl Rig {
    fn new(name: &str, config: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("hikyaku-dkim-new-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).expect("a folder");
        if !config.is_empty() {
            fs::write(dir.join("config.toml"), config).expect("a file");
        }
        Rig { dir }
    }

    /// The exit code, what it printed, what it complained of.
    fn run(&self, line: &str) -> (u8, String, String) {
        let words = ["domain", "dkim-new"].into_iter().chain(line.split_whitespace());
        let matches = match super::super::command().try_get_matches_from(words) {
            Ok(matches) => matches,
            Err(error) => return (2, String::new(), error.to_string()),
        };
        let (_, args) = matches.subcommand().expect("a verb");
        let config = self.dir.join("config.toml");
        let around = Around {
            folder: self.dir.clone(),
            env_config: None,
            system_config: self.dir.join("none.toml"),
            started_by_systemd: false,
        };
        let place = Place { config: config.exists().then_some(config.as_path()), around: &around };
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = crate::cli::table::finish(&mut Output { out: &mut out, err: &mut err }, |output| {
            run_to(args, &place, output)
        });
        let text = |octets| String::from_utf8(octets).expect("UTF-8");
        (code, text(out), text(err))
    }

    fn files(&self) -> Vec<String> {
        let read = fs::read_dir(self.dir.join("dkim")).into_iter().flatten();
        let mut names: Vec<String> =
            read.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect();
        names.sort();
        names
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

const MODE: u32 = 0o7777;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").permissions().mode() & MODE
}

#[test]
fn a_key_is_made_for_its_owner_alone_and_the_record_is_its_own() {
    let rig = Rig::new("made", "[[domain]]\nname = \"example.jp\"\n");
    let (code, out, err) = rig.run("example.jp --selector S1");
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let file = rig.dir.join("dkim/example.jp.s1.pem");
    assert_eq!((mode(&rig.dir.join("dkim")), mode(&file)), (0o700, 0o600));
    let key = SigningKey::from_pem(&fs::read(&file).expect("it can be read")).expect("a key");
    assert_eq!(key.bits(), 2048);
    assert!(out.contains(&format!("    Value  {}\n", key.record())), "{out}");
    // Joined, the strings of the zone file are the record.
    let start = out.find("s1._domainkey.example.jp. IN TXT (").expect("a zone file's line");
    let strings: String = out[start..]
        .lines()
        .skip(1)
        .take_while(|line| line.trim() != ")")
        .map(|line| line.trim().trim_matches('"'))
        .collect();
    assert_eq!(strings, key.record());
    let lines = format!("    [[domain.dkim]]\n    selector = \"s1\"\n    private_key = \"{}\"\n", file.display());
    assert!(out.contains(&lines), "{out}");
    assert!(out.contains("below the [[domain]] of the name example.jp") && !out.contains("    [[domain]]\n"), "{out}");
    // The config takes them.
    let config = format!(
        "[[domain]]\nname = \"example.jp\"\n[[domain.dkim]]\nselector = \"s1\"\nprivate_key = \"{}\"\n",
        file.display()
    );
    let around = Surroundings::of_this_machine(Files::Needed);
    let loaded = config::read_str(&rig.dir.join("config.toml"), &config, &around).expect("a good config");
    let read = loaded.config.domains[0].dkim[0].key.as_ref().expect("its key");
    assert_eq!(read.record(), key.record());
}

#[test]
fn a_key_is_never_written_over() {
    let rig = Rig::new("over", "[[domain]]\nname = \"example.jp\"\n");
    assert_eq!(rig.run("example.jp --selector s1 --algorithm ed25519").0, 0);
    let file = rig.dir.join("dkim/example.jp.s1.pem");
    let before = fs::read(&file).expect("a key");
    let (code, out, err) = rig.run("example.jp --selector s1");
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains("is there already, and is not written over"), "{err}");
    assert_eq!(fs::read(&file).expect("a key"), before);
    // Nor is a link followed, wherever it leads.
    let victim = rig.dir.join("victim");
    std::os::unix::fs::symlink(&victim, rig.dir.join("dkim/example.jp.s2.pem")).expect("a link");
    assert_eq!(rig.run("example.jp --selector s2").0, 1);
    assert!(!victim.exists());
}

#[test]
fn selectors_are_of_the_day_and_never_twice() {
    let rig = Rig::new("day", "");
    fs::write(rig.dir.join("config.toml"), "").expect("a file");
    for _ in 0..3 {
        assert_eq!(rig.run("example.jp --algorithm ed25519").0, 0);
    }
    let files = rig.files();
    let date: String = Clock::system().now().rfc3339().chars().take(10).filter(|c| *c != '-').collect();
    assert_eq!(files[0], format!("example.jp.e{date}.pem"));
    assert_eq!(files[1..], [format!("example.jp.e{date}b.pem"), format!("example.jp.e{date}c.pem")]);
    // The domain is not in the config yet.
    let (_, out, _) = rig.run("例え.jp --algorithm ed25519");
    assert!(out.contains("    [[domain]]\n    name = \"xn--r8jz45g.jp\"\n\n    [[domain.dkim]]\n"), "{out}");
}

#[test]
fn programs_get_json() {
    let rig = Rig::new("json", "[[domain]]\nname = \"example.jp\"\n");
    let out_file = rig.dir.join("elsewhere.pem");
    let (code, out, err) =
        rig.run(&format!("example.jp --json --algorithm ed25519 --selector x --out {}", out_file.display()));
    assert_eq!((code, err.as_str()), (0, ""));
    let made: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    let key = SigningKey::from_pem(&fs::read(&out_file).expect("it can be read")).expect("a key");
    assert_eq!(made["record"]["value"], key.record());
    assert_eq!(made["record"]["name"], "x._domainkey.example.jp");
    assert_eq!(made["record"]["zone_line"], format!("x._domainkey.example.jp. IN TXT \"{}\"", key.record()));
    assert_eq!((&made["algorithm"], &made["bits"]), (&"ed25519".into(), &256.into()));
    assert_eq!(made["private_key"], out_file.to_str().expect("UTF-8"));
    assert!(!out.contains("PRIVATE KEY"));
    assert!(!rig.dir.join("dkim").exists());
}

#[test]
fn what_cannot_be_is_told() {
    let rig = Rig::new(
        "told",
        "[[domain]]\nname = \"example.jp\"\n[[domain.dkim]]\nselector = \"s1\"\nprivate_key = \"/nowhere\"\n",
    );
    for (line, words) in [
        ("", "<NAME>"),
        ("exa..mple", "is not a domain name"),
        ("../../etc --selector a", "is not a domain name"),
        ("example.jp --selector ../x", "a selector has letters"),
        ("EXAMPLE.jp --selector S1", "with the selector S1 already"),
        ("example.jp --algorithm dsa", "rsa"),
        ("example.jp --bits 1024", "no RSA key of 1024 bits"),
        ("example.jp --bits many", "invalid"),
    ] {
        let (code, out, err) = rig.run(line);
        assert_eq!((code, out.as_str()), (2, ""), "{line}: {err}");
        assert!(err.contains(words), "{line}: {err}");
    }
    assert!(rig.files().is_empty());
    let nowhere = Rig::new("nowhere", "");
    let (code, _, err) = nowhere.run("example.jp");
    assert_eq!(code, 2);
    assert!(err.contains("say --out FILE"), "{err}");
    // A folder that cannot be made leaves nothing behind.
    let (code, _, err) =
        nowhere.run(&format!("example.jp --algorithm ed25519 --out {}/a/b.pem", nowhere.dir.display()));
    assert_eq!(code, 1, "{err}");
    // A config with errors is in nobody's way, and said.
    let broken = Rig::new("broken", "nonsense = 1\n");
    let (code, _, err) = broken.run("example.jp --algorithm ed25519");
    assert_eq!(code, 0);
    assert!(err.contains("has errors (hikyaku check)"), "{err}");
}
