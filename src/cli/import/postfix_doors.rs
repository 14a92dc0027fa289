//! What Postfix takes mail by: listeners of master.cf, and who may relay.
//!
//! In: master.cf, `inet_interfaces`, networks, restrictions.  Out: `[[listener]]`, `[tls]`, `[relay]`.
//! Always: a listener says what the file says of its port; networks are never widened.
//! Sources: master(5), postconf(5), SMTPD_ACCESS_README.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{
    draft::{text, texts},
    main_cf::{list, logical_lines},
    postfix::Import,
};

/// The file of services.
const MASTER_CF: &str = "master.cf";
/// Listeners that are made at most.
const LISTENERS_MAX: usize = 30;
/// Services that every Postfix has, and that need no word.
const OWN: [&str; 27] = [
    "pickup",
    "cleanup",
    "qmgr",
    "nqmgr",
    "oqmgr",
    "tlsmgr",
    "trivial-rewrite",
    "bounce",
    "flush",
    "proxymap",
    "smtp",
    "smtpd",
    "showq",
    "error",
    "discard",
    "local",
    "virtual",
    "lmtp",
    "anvil",
    "scache",
    "postlogd",
    "verify",
    "dnsblog",
    "tlsproxy",
    "postscreen",
    "qmqpd",
    "pipe",
];

/// A service line.
struct Service {
    line: usize,
    name: String,
    kind: String,
    command: String,
    options: Vec<(String, String)>,
    whole: String,
}

fn services(text: &str) -> Vec<Service> {
    let service = |(line, whole): (usize, String)| {
        let words: Vec<&str> = whole.split_whitespace().collect();
        let [name, kind, _, _, _, _, _, command, args @ ..] = words.as_slice() else { return None };
        let mut options = Vec::new();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            if *arg == "-o"
                && let Some((name, value)) = args.next().and_then(|option| option.split_once('='))
            {
                options.push((name.to_owned(), value.to_owned()));
            }
        }
        let (name, kind, command) = ((*name).to_owned(), (*kind).to_owned(), (*command).to_owned());
        Some(Service { line, name, kind, command, options, whole })
    };
    logical_lines(text).into_iter().filter_map(service).collect()
}

/// `[[listener]]` for each service that takes mail by SMTP, and `[tls]`.
pub(super) fn listeners(import: &mut Import<'_>) {
    certificate(import);
    let level = import.take("smtpd_tls_security_level").map(|(value, _)| value).unwrap_or_default();
    let old = ["smtpd_use_tls", "smtpd_enforce_tls"].map(|name| import.take(name).is_some_and(|(v, _)| v == "yes"));
    let level = if level.is_empty() && old.contains(&true) { "may".to_owned() } else { level };
    let interfaces = interfaces(import);
    let mut made: Vec<String> = Vec::new();
    match import.files.read(MASTER_CF) {
        Ok((file, _)) => {
            for service in services(&file) {
                one_service(import, &service, &interfaces, &level, &mut made);
            }
        }
        Err(why) => import.draft.note(MASTER_CF, 0, "the services", format!("{why}: port 25 is taken")),
    }
    if made.is_empty() {
        add(import, "smtp", &interfaces, tls_of(&level, false), "Postfix's usual port", &mut made);
    }
}

fn one_service(import: &mut Import<'_>, service: &Service, interfaces: &[String], level: &str, made: &mut Vec<String>) {
    let Service { line, name, kind, command, options, whole } = service;
    let option = |wanted: &str| options.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
    let takes_mail = matches!(command.as_str(), "smtpd" | "postscreen");
    if kind == "inet" && takes_mail {
        let level = option("smtpd_tls_security_level").unwrap_or(level);
        let implicit = option("smtpd_tls_wrappermode") == Some("yes");
        let from = format!("{MASTER_CF}:{line} {name}");
        add(import, name, interfaces, tls_of(level, implicit), &from, made);
        let known = ["smtpd_tls_security_level", "smtpd_tls_wrappermode", "syslog_name"];
        for (name, value) in options.iter().filter(|(name, _)| !known.contains(&name.as_str())) {
            let why = "options of one listener are not taken over: [relay] holds for all of them";
            import.draft.note(MASTER_CF, *line, &format!("-o {name}={value}"), why);
        }
        if command == "postscreen" {
            import.draft.note(MASTER_CF, *line, whole, "mail is taken without postscreen's tests");
        }
    } else if kind != "inet" && command == "smtp" && !matches!(name.as_str(), "smtp" | "relay") {
        import.transports.insert(name.clone(), *line);
        for (option, value) in options.iter().filter(|(option, _)| option != "syslog_name") {
            let what = format!("{name}: -o {option}={value}");
            import.draft.note(MASTER_CF, *line, &what, "options of one transport are not taken over");
        }
    } else if !OWN.contains(&command.as_str()) || (command == "pipe" && !is_example(name)) || kind == "inet" {
        import.draft.note(MASTER_CF, *line, whole, "Hikyaku runs no other programs and delivers by SMTP alone");
    }
}

/// Transports that stand in every distribution's master.cf.
fn is_example(name: &str) -> bool {
    ["maildrop", "uucp", "ifmail", "bsmtp", "scalemail-backend", "mailman", "cyrus", "old-cyrus"].contains(&name)
}

fn tls_of(level: &str, implicit: bool) -> &'static str {
    match level {
        _ if implicit => "implicit",
        "may" | "encrypt" => "starttls",
        _ => "none",
    }
}

/// A service's name is `port`, `host:port` or `[address]:port`.
fn add(import: &mut Import<'_>, name: &str, interfaces: &[String], tls: &str, from: &str, made: &mut Vec<String>) {
    let (hosts, port) = match name.rsplit_once(':') {
        Some((host, port)) => (host_of(host).into_iter().collect(), port),
        None => (interfaces.to_vec(), name),
    };
    let port = match port {
        "smtp" => Some(25),
        "submission" => Some(587),
        "smtps" | "submissions" => Some(465),
        port => port.parse::<u16>().ok(),
    };
    let Some(port) = port.filter(|_| !hosts.is_empty()) else {
        import.draft.note(from, 0, name, "write the listener's address and port as numbers");
        return;
    };
    let has_tls = import.main.value("smtpd_tls_cert_file").is_some_and(|file| !file.is_empty() && file != "none");
    if !has_tls && tls != "none" {
        let why = "there is no certificate: this listener is in clear, see [tls]";
        import.draft.note(from, 0, &format!("tls = {tls}"), why);
    }
    let tls = if has_tls { tls } else { "none" };
    for host in hosts {
        let address = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        if made.len() < LISTENERS_MAX && !made.contains(&address) {
            import.draft.row(
                "listener",
                &[("address", text(&address)), ("role", text("relay")), ("tls", text(tls))],
                from,
            );
            made.push(address);
        }
    }
}

fn host_of(host: &str) -> Option<String> {
    let bare = host.trim_matches(['[', ']']);
    let bare = if bare.eq_ignore_ascii_case("localhost") { "127.0.0.1" } else { bare };
    bare.parse::<IpAddr>().ok().map(|address| address.to_string())
}

fn interfaces(import: &mut Import<'_>) -> Vec<String> {
    let protocols = import.main.value("inet_protocols").unwrap_or_else(|| "all".to_owned());
    let (v4, v6) = (
        !protocols.contains("ipv6") || protocols.contains("ipv4"),
        protocols.contains("all") || protocols.contains("ipv6"),
    );
    let both = |four: &str, six: &str| {
        [(v4, four), (v6, six)].into_iter().filter(|(on, _)| *on).map(|(_, host)| host.to_owned()).collect::<Vec<_>>()
    };
    let value = import.take("inet_interfaces").map_or_else(|| "all".to_owned(), |(value, _)| value);
    let mut hosts = Vec::new();
    for one in list(&value) {
        match one.as_str() {
            "all" => hosts.extend(both("0.0.0.0", "::")),
            "loopback-only" => hosts.extend(both("127.0.0.1", "::1")),
            name => match host_of(name) {
                Some(host) => hosts.push(host),
                None => import.note("inet_interfaces", format!("{name}: write the address of the interface")),
            },
        }
    }
    if hosts.is_empty() { both("127.0.0.1", "::1") } else { hosts }
}

fn certificate(import: &mut Import<'_>) {
    let (certificate, key) = (import.take("smtpd_tls_cert_file"), import.take("smtpd_tls_key_file"));
    let Some((certificate, from)) = certificate.filter(|(file, _)| !file.is_empty() && file != "none") else { return };
    // Without a key file of its own Postfix looks into the certificate's.
    let (key, key_from) = key
        .filter(|(file, _)| !file.is_empty() && file != "$smtpd_tls_cert_file")
        .unwrap_or((certificate.clone(), from.clone()));
    import.draft.set("tls", "certificate", &text(&certificate), &from);
    import.draft.set("tls", "private_key", &text(&key), &key_from);
}

/// `[relay]`.
pub(super) fn relay(import: &mut Import<'_>) {
    networks(import);
    policy(import);
    if let Some((size, from)) = import.take("message_size_limit") {
        match size.parse::<u64>() {
            // 0 is no limit there.
            Ok(0) => import.draft.set("relay", "message_size_max", &text("1GiB"), &from),
            Ok(size) => import.draft.set("relay", "message_size_max", &size.to_string(), &from),
            Err(_) => import.note("message_size_limit", "this is no number"),
        }
    }
    let numbers = [
        ("smtpd_recipient_limit", "recipients_max"),
        ("smtpd_client_connection_count_limit", "sessions_per_address_max"),
    ];
    for (name, key) in numbers {
        if let Some((value, from)) = import.take(name) {
            match value.parse::<u64>() {
                Ok(number) => import.draft.set("relay", key, &number.to_string(), &from),
                Err(_) => import.note(name, "this is no number"),
            }
        }
    }
}

fn networks(import: &mut Import<'_>) {
    let Some((value, from)) = import.take("mynetworks") else { return };
    let mut networks: Vec<String> = Vec::new();
    for one in list(&value) {
        let bare = one.replace(['[', ']'], "");
        let network = bare.parse::<IpNet>().or_else(|_| bare.parse::<IpAddr>().map(IpNet::from));
        match network {
            Ok(IpNet::V6(net)) if net.addr().to_ipv4_mapped().is_some() => {
                import.note("mynetworks", format!("{one}: clients that come by IPv4 are known by their IPv4 address"));
            }
            Ok(net) => {
                let net = net.trunc().to_string();
                if !networks.contains(&net) {
                    networks.push(net);
                }
            }
            Err(_) => import.note("mynetworks", format!("{one}: only addresses and networks are taken over")),
        }
    }
    import.draft.set("relay", "networks", &texts(&networks), &from);
}

/// Who may relay, as far as the restrictions say it in plain words.
fn policy(import: &mut Import<'_>) {
    let restrictions = import.take("smtpd_relay_restrictions").or_else(|| import.take("smtpd_recipient_restrictions"));
    let _ = import.take("smtpd_recipient_restrictions");
    let sasl = import.take("smtpd_sasl_auth_enable").is_some_and(|(value, _)| value == "yes");
    let words = restrictions.as_ref().map(|(value, _)| list(value)).unwrap_or_default();
    let has = |word: &str| words.is_empty() || words.iter().any(|w| w == word);
    let policy = match (has("permit_mynetworks"), has("permit_sasl_authenticated")) {
        (true, true) => "network-or-auth",
        (true, false) => "network",
        // What nobody is permitted in plain words, nobody is here without a password.
        (false, true | false) => "auth",
    };
    let from = restrictions.map_or_else(|| "Postfix's usual restrictions".to_owned(), |(_, from)| from);
    import.draft.set("relay", "policy", &text(policy), &from);
    if sasl {
        let why = "passwords are Hikyaku's own: make each program a user with `hikyaku user add NAME --api`";
        import.note("smtpd_sasl_auth_enable", why);
    }
    let known = [
        "permit_mynetworks",
        "permit_sasl_authenticated",
        "defer_unauth_destination",
        "reject_unauth_destination",
        "reject",
        "permit",
        "defer",
    ];
    let name = if import.main.setting("smtpd_relay_restrictions").is_some() {
        "smtpd_relay_restrictions"
    } else {
        "smtpd_recipient_restrictions"
    };
    for word in words.iter().filter(|word| !known.contains(&word.as_str())) {
        import.note(name, format!("{word}: who may send is decided by [relay] alone"));
    }
    if name == "smtpd_relay_restrictions" {
        import.note("smtpd_recipient_restrictions", "who may send is decided by [relay] alone");
    }
}
