//! Whole imports, as the operator runs them: what is written passes the real reader.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::config::{self, Config, Loaded, Mode, Role, TlsPolicy};

/// A folder for one test.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("hikyaku-import-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).expect("a folder");
        Place(dir)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn hikyaku(words: &[&str]) -> u8 {
    let words = ["import"].iter().chain(words);
    run(&command().try_get_matches_from(words).expect("a command line"))
}

fn fixture(name: &str) -> String {
    format!("{}/tests/data/postfix/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Imports a fixture; answers the config as `check` reads it, and its text.
fn imported(name: &str) -> (Config, String) {
    let place = Place::new(name);
    let out = place.path("config.toml");
    assert_eq!(hikyaku(&["postfix", &fixture(name), "--out", &out.to_string_lossy()]), exit::DONE);
    let text = fs::read_to_string(&out).expect("written");
    let Loaded { config, .. } =
        config::read_with(&out, &surroundings(Files::Checked)).unwrap_or_else(|e| panic!("{e}\n{text}"));
    (config, text)
}

fn has(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.lines().any(|l| l.starts_with(line)), "{line} is missing in:\n{text}");
    }
}

#[test]
fn debians_own_config_is_taken_over() {
    let (config, text) = imported("debian");
    assert_eq!(config.server.hostname, "mx1.example.jp");
    assert_eq!(config.delivery.mode, Mode::Internet);
    assert_eq!(config.delivery.tls, TlsPolicy::Opportunistic);
    let networks: Vec<String> = config.relay.networks.iter().map(ToString::to_string).collect();
    assert_eq!(networks, ["127.0.0.0/8", "::1/128"]);
    let listeners: Vec<String> = config.listeners.iter().map(|l| l.address.to_string()).collect();
    assert_eq!(listeners, ["0.0.0.0:25", "[::]:25"]);
    has(
        &text,
        &[
            "# Written by `hikyaku import postfix ",
            "# main.cf:38: alias_maps = hash:/etc/aliases: Hikyaku has no mailboxes",
            "# main.cf:42: mynetworks = 127.0.0.0/8 [::ffff:127.0.0.0]/104 [::1]/128: [::ffff:127.0.0.0]/104:",
        ],
    );
    for silent in ["biff", "readme_directory", "compatibility_level", "pickup", "uucp"] {
        assert!(!text.contains(silent), "{silent} is told:\n{text}");
    }
}

#[test]
fn an_offices_relay_is_taken_over() {
    let (config, text) = imported("office");
    assert_eq!(config.server.hostname, "relay.example.jp");
    let listeners: Vec<(String, Role)> = config.listeners.iter().map(|l| (l.address.to_string(), l.role)).collect();
    let expected = ["192.0.2.10:25", "127.0.0.1:25", "192.0.2.10:10025", "127.0.0.1:10025"];
    assert_eq!(listeners, expected.map(|a| (a.to_owned(), Role::Relay)));
    let networks: Vec<String> = config.relay.networks.iter().map(ToString::to_string).collect();
    assert_eq!(networks, ["127.0.0.0/8", "192.0.2.0/24", "198.51.100.64/26", "2001:db8:1::/48"]);
    assert_eq!((config.relay.message_size_max, config.relay.recipients_max), (20 << 20, 500));
    assert_eq!((config.relay.sessions_per_address_max, config.delivery.connections_per_destination), (20, 5));
    assert_eq!(config.relay.policy, config::RelayPolicy::Network);
    let minutes = |all: &[std::time::Duration]| all.iter().map(|d| d.as_secs() / 60).collect::<Vec<_>>();
    assert_eq!(minutes(&config.queue.retry_schedule), [5, 10, 20, 40, 60]);
    assert_eq!((config.queue.lifetime.as_secs(), config.queue.delay_notice_after.as_secs()), (3 * 86_400, 4 * 3_600));
    assert!(config.delivery.dane && config.delivery.ipv6 == config::Ipv6::Off);
    has(
        &text,
        &[
            "source_addresses = [\"192.0.2.10\"]  # main.cf:34 smtp_bind_address",
            "# main.cf:18: smtpd_recipient_restrictions = ",
            "# main.cf:22: message_size_limit = 31457280: a later line sets it again",
            "# main.cf:35: always_bcc = archive@example.jp: for copies of mail, add a [[forward]]",
            "# main.cf:40: this line is no setting: this is no setting",
            "# main.cf:41: bogus_time = 7: Hikyaku has no such setting",
            "# main.cf:10: mynetworks = ",
            "# master.cf:8: -o smtpd_client_restrictions=permit_mynetworks,reject: options of one listener",
            "# master.cf:10: filter ",
            "# master.cf:12: policy ",
        ],
    );
}

#[test]
fn a_smarthost_with_a_password_is_taken_over_and_the_password_stands_apart() {
    let place = Place::new("sasl-out");
    let out = place.path("config.toml");
    let out_word = out.to_string_lossy().into_owned();
    assert_eq!(hikyaku(&["postfix", &fixture("sasl"), "--out", &out_word]), exit::DONE);
    let text = fs::read_to_string(&out).expect("written");
    let config =
        config::read_with(&out, &surroundings(Files::Checked)).unwrap_or_else(|e| panic!("{e}\n{text}")).config;
    let delivery = &config.delivery;
    assert_eq!(delivery.mode, Mode::Smarthost);
    assert_eq!(delivery.smarthost.as_ref().map(ToString::to_string).as_deref(), Some("pro.smtps.example:10025"));
    assert_eq!(delivery.smarthost_user, "app@example.jp");
    assert_eq!(delivery.smarthost_password.as_ref().map(|p| p.reveal().as_str()), Some("Pa\"ss:w0rd#9"));
    assert_eq!((delivery.smarthost_tls, delivery.tls), (TlsPolicy::Verify, TlsPolicy::Require));
    let policies: Vec<(&str, TlsPolicy)> =
        delivery.tls_policies.iter().map(|p| (p.domains[0].as_str(), p.policy)).collect();
    assert_eq!(policies, [("bank.example", TlsPolicy::Verify), (".partner.example", TlsPolicy::Require)]);
    let file = delivery.smarthost_password_file.clone().expect("a file");
    assert_eq!(file, place.path("config.toml.smarthost-password"));
    assert_eq!(fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o600);
    for secret in ["Pa\"ss", "w0rd", "0ther-secret"] {
        assert!(!text.contains(secret), "{secret} stands in the config:\n{text}");
    }
    has(
        &text,
        &[
            "#certificate = \"/nowhere/cert.pem\"",
            "# sasl_passwd:3: [other.example]:587: one login is used",
            "# tls_policy:1: bank.example verify protocols=>=TLSv1.2: what follows the level",
            "# tls_policy:3: [host.example]:25 may: policies are for domains",
            "# relayhost_map:1: @news.example.jp [other.example]:587: where mail goes does not depend on its sender",
            "# main.cf:12: sender_dependent_relayhost_maps",
        ],
    );
    // Nothing is written over, not even half of it.
    assert_eq!(hikyaku(&["postfix", &fixture("sasl"), "--out", &out_word]), exit::USAGE);
    assert_eq!(fs::read_to_string(&out).expect("there"), text);
    let other = place.path("other.toml");
    fs::write(place.path("other.toml.smarthost-password"), "mine").expect("written");
    assert_eq!(hikyaku(&["postfix", &fixture("sasl"), "--out", &other.to_string_lossy()]), exit::USAGE);
    assert!(!other.exists());
    assert_eq!(fs::read_to_string(place.path("other.toml.smarthost-password")).expect("there"), "mine");
}

#[test]
fn transports_become_rules_closest_first() {
    let (config, text) = imported("transport");
    let rules: Vec<(String, String, Option<usize>, u64)> = config
        .delivery
        .rules
        .iter()
        .map(|r| {
            let smarthost = r.smarthost.as_ref().map(ToString::to_string).unwrap_or_default();
            (r.recipients[0].as_str().to_owned(), smarthost, r.connections_max, r.interval.as_secs())
        })
        .collect();
    let rule = |pattern: &str, host: &str, max, delay| (pattern.to_owned(), host.to_owned(), max, delay);
    assert_eq!(
        rules,
        [
            rule("^boss@example\\.com$", "vip.example.com:25", None, 0),
            rule("@docomo\\.ne\\.jp$", "", Some(4), 2),
            rule("@ezweb\\.ne\\.jp$", "", Some(8), 0),
            rule("@au\\.com$", "", Some(8), 0),
            rule("@bad\\#name\\.example$", "x.example:25", None, 0),
            rule("@example\\.com$", "mail.example.com:2525", None, 0),
            rule("@viamx\\.example$", "mx.viamx.example:25", None, 0),
            rule("\\.a\\.example\\.com$", "deep.example.com:25", None, 0),
            rule("\\.example\\.com$", "sub.example.com:25", None, 0),
            rule(".", "edge.example.jp:25", None, 0),
        ],
        "{text}"
    );
    assert_eq!(config.delivery.tls, TlsPolicy::Opportunistic);
    has(
        &text,
        &[
            "# transport:9: old.example error:5.1.1 gone: mail is not refused by its recipient's domain",
            "# transport:10: list.example mailman:: mailman is no transport",
            "# transport:12: viamx.example smtp:mx.viamx.example: without brackets",
            "# master.cf:2 submission: tls = starttls: there is no certificate",
            "# transport:11: bydns.example smtp:: mail for it goes to its MX hosts anyway",
            "# main.cf:4: transport_maps = texthash:/etc/postfix/transport, regexp:/etc/postfix/transport_regexp: regexp:",
            "# master.cf:7: docomo: -o smtp_helo_timeout=30",
        ],
    );
}

#[test]
fn hostile_and_missing_files_are_refused_or_noted() {
    let place = Place::new("hostile");
    let dir = place.path("pf");
    fs::create_dir(&dir).expect("a folder");
    let dir_word = dir.to_string_lossy().into_owned();
    assert_eq!(hikyaku(&["postfix", &dir_word]), exit::USAGE, "no main.cf");
    assert_eq!(hikyaku(&["postfix", "/nowhere"]), exit::USAGE);
    fs::write(place.path("outside"), "secret.example smtp:[leaked.example]\n").expect("written");
    fs::write(place.path("named"), "named.example smtp:[named.example]\n").expect("written");
    std::os::unix::fs::symlink(place.path("outside"), dir.join("link")).expect("a link");
    let named = place.path("named").display().to_string();
    let main = format!(
        "myhostname = \"];\\n[server]\nmynetworks = 0.0.0.0/0 /etc/passwd !10.0.0.1\nmessage_size_limit = 1\n\
         transport_maps = hash:link hash:../outside hash:{named} hash:/dev/zero hash:gone\nrelayhost = a b\nmaximal_queue_lifetime = 99999w\n\
         smtpd_recipient_limit = 999999999999\ninet_interfaces = eth0\nsmtp_tls_security_level = fingerprint\n"
    );
    fs::write(dir.join("main.cf"), main).expect("written");
    let out = place.path("out.toml");
    assert_eq!(hikyaku(&["postfix", &dir_word, "--out", &out.to_string_lossy()]), exit::DONE);
    let text = fs::read_to_string(&out).expect("written");
    config::read_with(&out, &surroundings(Files::Checked)).unwrap_or_else(|e| panic!("{e}\n{text}"));
    assert!(!text.contains("leaked.example"), "{text}");
    assert!(
        text.contains("named.example:25") && text.contains(&format!("# {named}: this file: it is outside")),
        "{text}"
    );
    for words in
        ["this link leads out", "leads out of the folder", "no regular file", "gone: No such file", "#hostname = "]
    {
        assert!(text.contains(words), "{words}:\n{text}");
    }
    assert!(!text.lines().any(|l| l.starts_with("networks") && l.contains("0.0.0.0/0")), "{text}");
}

#[test]
fn cmcs_lists_become_rules_and_a_list_that_suppress_import_takes() {
    let place = Place::new("cmc");
    let path = |name: &str| place.path(name).to_string_lossy().into_owned();
    fs::write(
        place.path("filters.csv"),
        "フィルタ名,パターン,ホスト名,最大接続数,送信間隔\ndocomo,@docomo\\.ne\\.jp$,,4,250\n",
    )
    .expect("written");
    fs::write(
        place.path("blocks.csv"),
        "created,email,id,occurred,status\n2026-05-01 09:00:00,a@example.org,x1,3,2\n2026-05-02 09:00:00,nobody,x2,1,2\n",
    )
    .expect("written");
    let (filters, blocks, out, list) = (path("filters.csv"), path("blocks.csv"), path("out.toml"), path("list.csv"));
    let line = ["cmc", "--filters", &filters, "--blocks", &blocks, "--out", &out, "--list", &list];
    assert_eq!(hikyaku(&line), exit::NO, "one row is no address");
    let config = config::read_with(Path::new(&out), &surroundings(Files::Checked)).expect("it passes").config;
    assert_eq!(config.delivery.rules.len(), 1);
    let file = fs::File::open(&list).expect("there");
    let rows: Vec<Item> =
        Reader::new(file, TimeZone::UTC, None, false).expect("a list").map(|item| item.expect("a row")).collect();
    let [Item::Row { row, .. }] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!((row.address.as_str(), row.occurred, row.class.map(|c| c.code())), ("a@example.org", 3, Some(2)));
    assert_eq!(hikyaku(&["cmc"]), exit::USAGE);
    assert_eq!(hikyaku(&["cmc", "--blocks", &blocks]), exit::USAGE);
    assert_eq!(hikyaku(&["cmc", "--filters", &blocks]), exit::USAGE, "blocks are no filters");
    assert_eq!(hikyaku(&["cmc", "--blocks", &blocks, "--list", &list]), exit::USAGE, "nothing is written over");
}
