//! The promises of the config, by data: what is refused, where, why, and what helps.

use std::path::{Path, PathBuf};

use super::*;

/// A machine on which nothing is wrong.
pub(super) fn calm() -> Surroundings<'static> {
    Surroundings {
        hostname: "relay.example.jp".into(),
        open_files_max: None,
        credentials: None,
        files: Files::Needed,
        check_tls: &|_, _| Ok(()),
        is_local: &|_| true,
    }
}

pub(super) fn load(text: &str) -> Result<Loaded, ConfigErrors> {
    read_str(Path::new("/etc/hikyaku/config.toml"), text, &calm())
}

/// Reads a text that must be refused, for exactly one reason.
#[track_caller]
pub(super) fn check(text: &str, line: usize, key: &str, reason: &str, fix: &str) {
    let errors = load(text).expect_err(text).errors;
    let [error] = errors.as_slice() else { panic!("one error expected for {text}: {errors:#?}") };
    let place = error.place.map_or(0, |place| place.line);
    assert_eq!((place, error.key.as_str()), (line, key), "{text}\n{error}");
    assert!(error.reason.contains(reason), "reason of {text}\n{error}");
    assert!(error.fix.contains(fix), "fix of {text}\n{error}");
}

/// A text that is taken, with one warning.
#[track_caller]
pub(super) fn check_warning(text: &str, line: usize, key: &str, reason: &str) {
    let warnings = load(text).expect(text).warnings;
    let [warning] = warnings.as_slice() else { panic!("one warning expected for {text}: {warnings:#?}") };
    assert_eq!((warning.place.map_or(0, |place| place.line), warning.key.as_str()), (line, key), "{text}\n{warning}");
    assert!(warning.reason.contains(reason), "{text}\n{warning}");
}

#[test]
fn every_bad_value_is_refused_with_line_key_reason_and_fix() {
    let cases: &[(&str, usize, &str, &str, &str)] = &[
        // TOML itself.
        ("[server\nthreads = 1\n", 1, "", "not TOML", "close the bracket"),
        ("[server]\nhostname = relay.example.jp\n", 2, "", "not TOML", "put the text in quotes: \"relay.example.jp\""),
        ("[server]\nhostname = \"a.example\n", 2, "", "not TOML", "close the quotes"),
        ("[server]\nthreads = 1\nthreads = 2\n", 3, "", "duplicate", "once"),
        ("[server]\nthreads =\n", 2, "", "not TOML", "write a value"),
        ("[[delivery.rule]]\nname = \"a\"\nrecipients = [\"\\.jp$\"]\n", 3, "", "not TOML", "single quotes"),
        // Keys and tables.
        ("[server]\nhostnmae = \"a.example\"\n", 2, "server.hostnmae", "no such key", "did you mean hostname?"),
        ("[server]\ncolour = 1\n", 2, "server.colour", "no such key", "the keys of [server] are hostname, data_dir"),
        ("[sever]\n", 1, "sever", "no such table", "did you mean server?"),
        ("[relay]\nlifetime = \"4d\"\n", 2, "relay.lifetime", "no such key", "lifetime belongs to [queue]"),
        ("hostname = \"a.example\"\n", 1, "hostname", "no such key", "hostname belongs to [server]"),
        (
            "[accounts]\nallowed_ips = { web = [] }\n",
            2,
            "accounts.allowed_ips.web",
            "no such key",
            "console, api, submit",
        ),
        ("[listener]\naddress = \"127.0.0.1:25\"\n", 1, "listener", "may be several", "[[listener]]"),
        ("[[server]]\nthreads = 1\n", 1, "server", "exists once", "[server]"),
        ("server = 1\n", 1, "server", "is a table", "[server]"),
        ("[[listener]]\nrole = \"relay\"\n", 1, "listener.address", "needs the key address", "add address"),
        // Types.
        ("[server]\nthreads = \"1\"\n", 2, "server.threads", "a string, not a whole number", "without quotes"),
        ("[server]\nthreads = 1.5\n", 2, "server.threads", "not a whole number", "from 0 to 64"),
        ("[server]\nthreads = 65\n", 2, "server.threads", "out of range", "from 0 to 64"),
        ("[server]\nthreads = -1\n", 2, "server.threads", "out of range", "from 0 to 64"),
        ("[server]\nhostname = 1\n", 2, "server.hostname", "a number, not a string", "in quotes"),
        (
            "[relay]\nadd_missing_headers = \"yes\"\n",
            2,
            "relay.add_missing_headers",
            "not true or false",
            "without quotes",
        ),
        ("[relay]\nnetworks = \"127.0.0.0/8\"\n", 2, "relay.networks", "not a list", "brackets"),
        // Durations and sizes.
        ("[queue]\nlifetime = \"4 days\"\n", 2, "queue.lifetime", "not a duration", "ms, s, m, h and d"),
        ("[queue]\nlifetime = \"400000\"\n", 2, "queue.lifetime", "not a duration", "\"400000s\""),
        ("[queue]\nlifetime = 4000\n", 2, "queue.lifetime", "needs a unit", "\"4000s\""),
        ("[queue]\nlifetime = \"31d\"\n", 2, "queue.lifetime", "out of range", "\"30d\""),
        ("[queue]\nretry_schedule = []\n", 2, "queue.retry_schedule", "empty", "at least 1"),
        ("[queue]\nretry_schedule = [\"1m\",\n  \"5x\"]\n", 3, "queue.retry_schedule", "\"5x\" is not a duration", "5"),
        ("[relay]\nmessage_size_max = \"20MB\"\n", 2, "relay.message_size_max", "not a size", "\"20MiB\""),
        ("[relay]\nmessage_size_max = \"1KiB\"\n", 2, "relay.message_size_max", "out of range", "\"64KiB\""),
        // Words.
        ("[relay]\npolicy = \"netwrok\"\n", 2, "relay.policy", "not a word", "did you mean \"network\"?"),
        (
            "[log]\nlevel = \"loud\"\n",
            2,
            "log.level",
            "not a word",
            "\"error\", \"warn\", \"info\", \"debug\", \"trace\"",
        ),
        ("[log]\nlevel = 3\n", 2, "log.level", "a number", "\"error\""),
        ("[suppression]\nrun = \"24:00\"\n", 2, "suppression.run", "not a time of day", "23:59"),
        // Names and addresses.
        ("[server]\nhostname = \"relay_.example.jp.\"\n", 2, "server.hostname", "not a domain name", "dot"),
        ("[server]\nhostname = \"192.0.2.1\"\n", 2, "server.hostname", "not a domain name", "not an address"),
        ("[server]\nhostname = \"飛脚.example\"\n", 2, "server.hostname", "not a domain name", "xn--"),
        ("[server]\npostmaster = \"me\"\n", 2, "server.postmaster", "not a mail address", "one address"),
        ("[server]\ntime_zone = \"Asia/Tokio\"\n", 2, "server.time_zone", "no time zone", "IANA"),
        ("[relay]\nnetworks = [\"10.0.0.1/8\"]\n", 2, "relay.networks", "bits set after its /8", "\"10.0.0.0/8\""),
        ("[relay]\nnetworks = [\"10.0.0.0/33\"]\n", 2, "relay.networks", "not a network", "ADDRESS/BITS"),
        ("[[listener]]\naddress = \":25\"\n", 2, "listener.address", "not an address with port", "0.0.0.0:25"),
        ("[[listener]]\naddress = \"localhost:25\"\n", 2, "listener.address", "not an address", "127.0.0.1:25"),
        ("[[listener]]\naddress = \"192.0.2.1\"\n", 2, "listener.address", "not an address with port", "add the port"),
        ("[delivery]\nsmarthost = \"a.example\"\n", 2, "delivery.smarthost", "not a host with port", "HOST:PORT"),
        (
            "[delivery]\nsource_addresses = [\"a.example\"]\n",
            2,
            "delivery.source_addresses",
            "not an IP address",
            "192.0.2.1",
        ),
        ("[dns]\nservers = [\"resolver.example\"]\n", 2, "dns.servers", "not an address", "IP address"),
        // Patterns.
        (
            "[[delivery.rule]]\nname = \"a\"\nrecipients = ['@(docomo$']\n",
            3,
            "delivery.rule.recipients",
            "at letter 2: unclosed group",
            "syntax",
        ),
        (
            "[[delivery.rule]]\nname = \"a\"\nmx_hosts = ['(a{1000}){1000}']\n",
            3,
            "delivery.rule.mx_hosts",
            "too large",
            "smaller",
        ),
        ("[[delivery.rule]]\nname = \"a\"\nmx_hosts = ['']\n", 3, "delivery.rule.mx_hosts", "empty pattern", "pattern"),
        ("[[delivery.rule]]\nname = \"a\"\n", 2, "delivery.rule.name", "matches nothing", "recipients or mx_hosts"),
        // Webhooks.
        ("[[webhook]]\nname = \"a\"\nurl = \"http://crm.example/\"\n", 3, "webhook.url", "in clear", "https://"),
        (
            "[[webhook]]\nname = \"a\"\nurl = \"http://127.0.0.1/\"\nevents = [\"sent\"]\n",
            4,
            "webhook.events",
            "not a word",
            "\"queued\"",
        ),
    ];
    for (text, line, key, reason, fix) in cases {
        check(text, *line, key, reason, fix);
    }
}

#[test]
fn settings_that_contradict_each_other_are_errors() {
    let cases: &[(&str, usize, &str, &str, &str)] = &[
        (
            "[[listener]]\naddress = \"0.0.0.0:25\"\nproxy_protocol = true\n",
            3,
            "listener.proxy_protocol",
            "proxy_networks is empty",
            "set proxy_networks",
        ),
        (
            "[[listener]]\naddress = \"0.0.0.0:25\"\nproxy_protocol = true\nproxy_networks = [\"0.0.0.0/0\"]\n",
            4,
            "listener.proxy_networks",
            "open relay",
            "proxies",
        ),
        (
            "[[listener]]\naddress = \"0.0.0.0:25\"\ntls = \"starttls\"\n",
            3,
            "listener.tls",
            "needs a certificate",
            "[tls]",
        ),
        ("[tls]\ncertificate = \"/nowhere/cert.pem\"\n", 2, "tls.certificate", "without its key", "private_key"),
        (
            "[[listener]]\naddress = \"127.0.0.1:25\"\n[[listener]]\naddress = \"0.0.0.0:25\"\n",
            4,
            "listener.address",
            "cannot both",
            "port",
        ),
        (
            "[[listener]]\naddress = \"127.0.0.1:25\"\n[[listener]]\naddress = \"127.0.0.1:25\"\n",
            4,
            "listener.address",
            "taken already by another [[listener]]",
            "port",
        ),
        ("[http]\naddress = \"127.0.0.1:2525\"\n", 2, "http.address", "taken already", "port"),
        (
            "[[listener]]\naddress = \"127.0.0.1:8025\"\n",
            2,
            "listener.address",
            "taken already by http.address",
            "port",
        ),
        ("[delivery]\nmode = \"smarthost\"\n", 2, "delivery.mode", "needs a smarthost", "HOST:PORT"),
        (
            "[delivery]\nmode = \"internet\"\nsmarthost = \"a.example:25\"\n",
            3,
            "delivery.smarthost",
            "not be used",
            "mode = \"smarthost\"",
        ),
        (
            "[delivery]\nmode = \"sandbox\"\nsmarthost = \"a.example:25\"\n",
            3,
            "delivery.smarthost",
            "not be used",
            "remove",
        ),
        (
            "[delivery]\nsmarthost = \"a.example:25\"\nsmarthost_user = \"u\"\n",
            3,
            "delivery.smarthost_user",
            "without a password",
            "smarthost_password_file",
        ),
        (
            "[delivery]\nsmarthost = \"a.example:25\"\nsmarthost_user = \"u\"\nsmarthost_password_file = \"/nowhere/p\"\n",
            4,
            "delivery.smarthost_password_file",
            "cannot be read",
            "create the file",
        ),
        ("[http]\naddress = \"0.0.0.0:8025\"\n", 2, "http.address", "travel in clear", "127.0.0.1:8025"),
        ("[http]\ntls = true\n", 2, "http.tls", "needs a certificate", "[tls]"),
        ("[http]\nproxy_networks = [\"0.0.0.0/0\"]\n", 2, "http.proxy_networks", "without TLS", "proxies alone"),
        ("[relay]\nnetworks = [\"0.0.0.0/0\"]\n", 2, "relay.networks", "open relay", "your own networks"),
        (
            "[relay]\nnetworks = [\"0.0.0.0/1\", \"128.0.0.0/1\"]\n",
            2,
            "relay.networks",
            "0.0.0.0/0 would make this an open relay",
            "auth",
        ),
        ("[relay]\nnetworks = [\"::/0\"]\npolicy = \"network\"\n", 2, "relay.networks", "open relay", "auth"),
        ("[relay]\nnetworks = []\npolicy = \"network\"\n", 2, "relay.networks", "nobody could relay", "auth"),
        (
            "[relay]\nsender_domains_only = true\n",
            2,
            "relay.sender_domains_only",
            "refuse all mail",
            "add your domains",
        ),
        ("[queue]\nlifetime = \"30s\"\n", 2, "queue.lifetime", "expire before", "longer"),
        (
            "[[domain]]\nname = \"a.example\"\n[[domain]]\nname = \"A.example\"\n",
            4,
            "domain.name",
            "twice",
            "its own name",
        ),
        (
            "[[domain]]\nname = \"a.example\"\n[[domain.dkim]]\nselector = \"s\"\nprivate_key = \"/nowhere/k\"\n",
            5,
            "domain.dkim.private_key",
            "cannot be read",
            "create",
        ),
        (
            "[server]\ndata_dir = \"/0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\"\n",
            2,
            "server.data_dir",
            "control socket",
            "at most",
        ),
        (
            "[delivery.priority]\nheader = \"X Class:\"\n",
            2,
            "delivery.priority.header",
            "not the name of a header",
            "hyphens",
        ),
        (
            "[tls]\ncertificate = \"credential:cert\"\nprivate_key = \"credential:../x\"\n",
            3,
            "tls.private_key",
            "not the name of a credential",
            "LoadCredential",
        ),
    ];
    for (text, line, key, reason, fix) in cases {
        check(text, *line, key, reason, fix);
    }
}

#[test]
fn what_only_looks_wrong_is_a_warning() {
    check_warning(
        "[[listener]]\naddress = \"127.0.0.1:25\"\nproxy_networks = [\"10.0.0.0/8\"]\n",
        3,
        "listener.proxy_networks",
        "no effect",
    );
    check_warning("[relay]\nrecipients_max = 10\n", 2, "relay.recipients_max", "100 recipients");
    check_warning("[queue]\nretry_schedule = [\"1s\"]\n", 2, "queue.retry_schedule", "abuse");
    check_warning(
        "[relay]\npolicy = \"auth\"\n[[listener]]\naddress = \"0.0.0.0:25\"\n",
        3,
        "listener.tls",
        "cannot offer",
    );
    check_warning("[server]\nhostname = \"relay\"\n", 2, "server.hostname", "no dot");

    let around = Surroundings { hostname: "box".into(), open_files_max: Some(1024), ..calm() };
    let loaded = read_str(Path::new("/c.toml"), "", &around).expect("defaults");
    assert_eq!(loaded.config.server.hostname, "box");
    let keys: Vec<&str> = loaded.warnings.iter().map(|warning| warning.key.as_str()).collect();
    assert_eq!(keys, ["server.hostname", "relay.sessions_max"]);
    assert!(
        loaded.warnings[1].reason.contains("3256 open files, and this process may have 1024"),
        "{}",
        loaded.warnings[1]
    );

    let inbound = "[[listener]]\naddress = \"127.0.0.1:2526\"\nrole = \"inbound\"\n";
    for (text, wanting) in [
        ("[envelope_from]\nreturn_domain = \"r.example\"\n", true),
        ("[envelope_from]\nrewrite = true\n", true),
        ("[envelope_from]\nrewrite = false\n", false),
        ("[[domain]]\nname = \"a.example\"\nenvelope_from_rewrite = true\n", true),
        ("[[domain]]\nname = \"a.example\"\nenvelope_from_rewrite = false\n", false),
        // The return domain may be the domain itself.
        ("[[domain]]\nname = \"a.example\"\nreturn_domain = \"a.example\"\n", true),
    ] {
        let is_told = |text: &str| {
            let warnings = load(text).expect("good").warnings;
            warnings.iter().any(|w| w.reason.contains("no listener takes") && w.fix.contains("inbound"))
        };
        assert_eq!((is_told(text), is_told(&format!("{inbound}{text}"))), (wanting, false), "{text}");
    }
}

#[test]
fn a_return_domain_leaves_room_for_a_local_part() {
    let name = |octets: usize| format!("{}b", "a.".repeat(octets / 2));
    for (octets, good) in [(189, true), (191, false)] {
        let text = format!("[envelope_from]\nrewrite = true\nreturn_domain = \"{}\"\n", name(octets));
        assert_eq!(load(&text).is_ok(), good, "{octets}");
    }
}

#[test]
fn all_errors_are_reported_at_once_in_the_order_of_the_file() {
    let text = "\
[server]
hostname = \"a b\"
thread = 2
[[listener]]
address = \"25\"
tls = \"ssl\"
[relay]
networks = [\"10.0.0.0/8\", \"x\", \"y\"]
[queue
[delivery]
mode = \"smarthost\"
[server.more]
";
    let errors = load(text).expect_err("bad");
    let found: Vec<(usize, &str)> =
        errors.errors.iter().map(|e| (e.place.map_or(0, |place| place.line), e.key.as_str())).collect();
    assert_eq!(
        found,
        [
            (2, "server.hostname"),
            (3, "server.thread"),
            (5, "listener.address"),
            (6, "listener.tls"),
            (8, "relay.networks"),
            (8, "relay.networks"),
            (9, ""),
            (11, "delivery.mode"),
            (12, "server.more"),
        ],
        "{errors}"
    );
    let told = errors.to_string();
    assert!(told.starts_with("/etc/hikyaku/config.toml:2:12: server.hostname: "), "{told}");
    assert!(told.contains("  2 | hostname = \"a b\"\n    |            ^^^^^\n  fix: "), "{told}");
    assert!(told.ends_with("9 errors"), "{told}");
}

#[test]
fn a_secret_is_never_quoted_or_shown() {
    let secret = "hunter2-hunter2";
    let text = format!(
        "[[webhook]]\nname = \"a\"\nurl = \"https://a.example/\"\napi_key = \"{secret}\"\nsigning_key = [\"{secret}\"]\n"
    );
    let told = load(&text).expect_err("a list is no key").to_string();
    assert!(!told.contains(secret), "{told}");
    let text = text.replace("signing_key", "#");
    let old = load(&text).expect("good").config;
    let shown = effective(&old);
    assert!(!shown.contains(secret) && shown.contains("api_key = \"(hidden)\"\nsigning_key = \"\"\n"), "{shown}");
    let mut new = old.clone();
    new.webhooks[0].api_key = crate::secret::Secret::new("correct-horse".into());
    let diffs = difference(&old, &new);
    assert_eq!(diffs.len(), 1);
    assert!(diffs[0].key == "webhook[a].api_key" && !format!("{diffs:?}").contains("correct-horse"), "{diffs:?}");
    assert!(!format!("{new:?}").contains("correct-horse"));
}

#[test]
fn defaults_that_follow_from_other_keys() {
    let config = load("[delivery]\nsmarthost = \"127.0.0.1:2600\"\n[http]\naddress = \"127.0.0.1:9000\"\n[[domain]]\nname = \"example.jp\"\n").expect("good").config;
    assert_eq!(config.delivery.mode, Mode::Smarthost);
    assert_eq!(config.delivery.smarthost.map(|s| s.to_string()).as_deref(), Some("127.0.0.1:2600"));
    assert_eq!(config.server.hostname, "relay.example.jp");
    assert_eq!(config.envelope_from.return_domain, "return.relay.example.jp");
    assert_eq!(config.domains[0].return_domain, "return.relay.example.jp");
    assert_eq!(config.http.public_url, "http://127.0.0.1:9000");
    assert_eq!(config.listeners.len(), 1);
    assert_eq!(
        (config.listeners[0].address.to_string().as_str(), config.listeners[0].role),
        ("127.0.0.1:2525", Role::Relay)
    );
}

#[test]
fn the_password_file_is_read_and_a_credential_is_found() {
    use std::os::unix::fs::PermissionsExt;
    let folder = std::env::temp_dir().join(format!("hikyaku-config-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("smarthost");
    std::fs::write(&file, "pass word\n").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let text = |path: &str| {
        format!(
            "[delivery]\nsmarthost = \"a.example:587\"\nsmarthost_user = \"u\"\nsmarthost_password_file = \"{path}\"\n"
        )
    };
    let password = |loaded: &Loaded| loaded.config.delivery.smarthost_password.as_ref().map(|p| p.reveal().clone());

    let plain = load(&text(&file.display().to_string())).expect("readable");
    assert_eq!(password(&plain).as_deref(), Some("pass word"));
    assert!(plain.warnings[0].reason.contains("0644") && plain.warnings[0].fix.contains("chmod 0600"));

    let relative = read_str(&folder.join("config.toml"), &text("smarthost"), &calm()).expect("beside the config file");
    assert_eq!(password(&relative).as_deref(), Some("pass word"));

    let with = Surroundings { credentials: Some(folder.clone()), ..calm() };
    let credential = read_str(Path::new("/c.toml"), &text("credential:smarthost"), &with).expect("found");
    assert_eq!(password(&credential).as_deref(), Some("pass word"));
    assert!(credential.warnings.is_empty(), "systemd sets the mode: {:?}", credential.warnings);

    let error = load(&text("credential:smarthost")).expect_err("the daemon needs it");
    assert!(error.errors[0].fix.contains("LoadCredential"), "{error}");
    let check = Surroundings { files: Files::Checked, ..calm() };
    let lenient = read_str(Path::new("/c.toml"), &text("credential:smarthost"), &check).expect("a warning");
    assert!(lenient.warnings[0].reason.contains("only be seen by the service"), "{:?}", lenient.warnings);

    std::fs::write(&file, "two\nlines\n").unwrap();
    let error = load(&text(&file.display().to_string())).expect_err("two lines");
    assert!(error.errors[0].reason.contains("more than one line"), "{error}");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn the_tls_room_has_the_last_word_on_certificates() {
    let folder = std::env::temp_dir().join(format!("hikyaku-config-tls-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for name in ["cert.pem", "key.pem"] {
        std::fs::write(folder.join(name), "-----BEGIN SOMETHING-----\n").unwrap();
    }
    let text = "[tls]\ncertificate = \"cert.pem\"\nprivate_key = \"key.pem\"\n[[listener]]\naddress = \"127.0.0.1:465\"\ntls = \"implicit\"\n";
    let path = folder.join("config.toml");
    assert!(read_str(&path, text, &calm()).is_ok());
    let strict = Surroundings { check_tls: &|_, _| Err("the key is another one's".into()), ..calm() };
    let error = read_str(&path, text, &strict).expect_err("refused");
    assert_eq!(
        (error.errors[0].key.as_str(), error.errors[0].reason.as_str()),
        ("tls.certificate", "the key is another one's")
    );
    std::fs::write(folder.join("cert.pem"), "DER").unwrap();
    let error = read_str(&path, text, &calm()).expect_err("not PEM");
    assert!(error.errors[0].reason.contains("not a PEM file"), "{error}");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_reload_tells_what_changes_and_what_waits_for_a_restart() {
    let old = load("[[listener]]\naddress = \"127.0.0.1:2525\"\n[[listener]]\naddress = \"127.0.0.1:2526\"\n")
        .expect("good")
        .config;
    let new = load("[server]\nthreads = 2\n[[listener]]\naddress = \"127.0.0.1:2525\"\nrole = \"inbound\"\n[[listener]]\naddress = \"127.0.0.1:2527\"\n[queue]\nlifetime = \"2d\"\n").expect("good").config;
    let told: Vec<(String, bool)> = difference(&old, &new)
        .into_iter()
        .map(|d| (format!("{}: {} -> {}", d.key, d.old, d.new), d.needs_restart))
        .collect();
    let rest = "role = \"relay\", tls = \"none\", proxy_protocol = false, proxy_networks = []";
    assert_eq!(
        told,
        [
            ("server.threads: 0 -> 2".to_owned(), true),
            ("listener[127.0.0.1:2525].role: \"relay\" -> \"inbound\"".to_owned(), true),
            (format!("listener[127.0.0.1:2526]: {{ address = \"127.0.0.1:2526\", {rest} }} -> -"), true),
            ("queue.lifetime: \"4d\" -> \"2d\"".to_owned(), false),
            (format!("listener[127.0.0.1:2527]: - -> {{ address = \"127.0.0.1:2527\", {rest} }}"), true),
        ]
    );
    assert!(difference(&old, &old).is_empty());
    let rules = |first: &str, second: &str| {
        let rule = |name: &str| format!("[[delivery.rule]]\nname = \"{name}\"\nmx_hosts = ['x']\n");
        load(&(rule(first) + &rule(second))).expect("good").config
    };
    let order = difference(&rules("a", "b"), &rules("b", "a"));
    assert_eq!(
        (order.len(), order[0].key.as_str(), order[0].new.as_str()),
        (1, "delivery.rule (order)", "[\"b\", \"a\"]")
    );
}

#[test]
fn every_key_that_needs_a_restart_exists() {
    let known = show::all_paths();
    for key in show::NEEDS_RESTART {
        assert!(known.iter().any(|path| path == key || path.starts_with(&format!("{key}."))), "{key}");
    }
}

#[test]
fn effective_settings_read_back_as_the_same_config() {
    let text = r#"
[[listener]]
address = "[::1]:2525"
[[listener]]
address = "127.0.0.1:2600"
role = "inbound"
[[delivery.rule]]
name = "docomo \"quoted\""
recipients = ['@docomo\.ne\.jp$']
connections_max = 4
interval = "250ms"
[[domain]]
name = "example.jp"
[suppression]
run = "03:30"
watch = "30d"
[dns]
servers = ["127.0.0.1", "[::1]:5353"]
"#;
    for text in ["", text] {
        let config = load(text).expect("good").config;
        let again = load(&effective(&config)).unwrap_or_else(|e| panic!("{e}\n{}", effective(&config))).config;
        assert_eq!(difference(&config, &again), []);
        assert_eq!(effective(&config), effective(&again));
    }
}

#[test]
fn the_demo_is_on_loopback_and_sends_nothing() {
    let demo = Config::demo(Path::new("/work"));
    assert_eq!(demo.delivery.mode, Mode::Sandbox);
    assert!(
        demo.listeners.iter().all(|listener| listener.address.ip().is_loopback())
            && demo.http.address.ip().is_loopback()
    );
    assert_eq!(demo.listeners[0].address.to_string(), "127.0.0.1:2525");
    assert_eq!(demo.http.address.to_string(), "127.0.0.1:8025");
    assert_eq!(demo.server.data_dir, PathBuf::from("/work/hikyaku-demo"));
}

#[test]
fn a_glance_finds_the_daemon_in_a_file_with_errors_elsewhere() {
    let path = std::env::temp_dir().join(format!("hikyaku-glance-{}.toml", std::process::id()));
    std::fs::write(
        &path,
        "[server]\ndata_dir = \"/srv/mail\"\n[queue]\nlifetime = \"soon\"\n[tls]\ncertificate = \"/nowhere\"\n",
    )
    .unwrap();
    let glance_ = glance(&path).expect("enough to go on");
    assert_eq!((glance_.data_dir, glance_.listeners.len()), (PathBuf::from("/srv/mail"), 1));
    std::fs::write(&path, "[server]\ndata_dir = 5\n").unwrap();
    assert_eq!(glance(&path).expect_err("nowhere to go").errors.len(), 1);
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn a_file_that_is_no_text_or_too_long_or_missing_is_refused_in_words() {
    let path = std::env::temp_dir().join(format!("hikyaku-bytes-{}.toml", std::process::id()));
    std::fs::write(&path, b"[server]\nhostname = \"\xff\"\n").unwrap();
    let error = read(&path).expect_err("not UTF-8").to_string();
    assert!(error.contains(":2:13: the config file is not UTF-8"), "{error}");
    std::fs::write(&path, vec![b'\n'; (FILE_BYTES_MAX + 1) as usize]).unwrap();
    assert!(read(&path).expect_err("too long").to_string().contains("longer than"));
    std::fs::remove_file(&path).unwrap();
    assert!(read(&path).expect_err("missing").to_string().contains("No such file"));
}
