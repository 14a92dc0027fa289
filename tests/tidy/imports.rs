//! The import table: what a line in a folder may touch.
//!
//! In: every path that starts with `crate::` or `super::` in `src/`, tests left out.  Always: words know nobody, pure rooms
//! know words and the pure rooms left of them, state knows those, shells know state and the few shells named for them,
//! and only the wiring knows everybody. A crate with a room of its own is named nowhere else.

use super::{none, rust_files};

/// A room, and what it may use besides itself: all rooms above its line that are not shells, and the shells named.
struct Room {
    /// Its folder or file below `src/`, without `.rs`; the longest match counts.
    path: &'static str,
    kind: Kind,
    /// Shells that it may use.
    shells: &'static [&'static str],
}

#[derive(Clone, Copy, PartialEq, PartialOrd, Debug)]
enum Kind {
    /// Layer 0: they may use each other.
    Word,
    /// Layer 1.
    Pure,
    /// Layer 2.
    State,
    /// Layer 3.
    Shell,
    /// Layer 4.
    Wiring,
}

const fn room(path: &'static str, kind: Kind, shells: &'static [&'static str]) -> Room {
    Room { path, kind, shells }
}

/// The rooms, in the order in which they may know each other.
const ROOMS: &[Room] = &[
    room("clock", Kind::Word, &[]),
    room("ids", Kind::Word, &[]),
    room("secret", Kind::Word, &[]),
    room("event", Kind::Word, &[]),
    room("fact", Kind::Word, &[]),
    room("metrics", Kind::Word, &[]),
    room("budget", Kind::Word, &[]),
    room("journal", Kind::Word, &[]),
    room("language", Kind::Word, &[]),
    room("when", Kind::Word, &[]),
    room("der", Kind::Pure, &[]),
    room("lookup", Kind::Pure, &[]),
    room("smtp", Kind::Pure, &[]),
    room("mail", Kind::Pure, &[]),
    room("dkim", Kind::Pure, &[]),
    room("spf", Kind::Pure, &[]),
    room("dmarc/record", Kind::Pure, &[]),
    room("dmarc/tree_walk", Kind::Pure, &[]),
    room("dmarc/generate", Kind::Pure, &[]),
    room("dmarc/report", Kind::Pure, &[]),
    room("dmarc/read", Kind::Pure, &[]),
    room("authres/results", Kind::Pure, &[]),
    room("signing/witness", Kind::Pure, &[]),
    room("signing/life", Kind::Pure, &[]),
    room("doctor/seen", Kind::Pure, &[]),
    room("signing/words", Kind::Pure, &[]),
    room("doctor/finding", Kind::Pure, &[]),
    room("doctor/rules", Kind::Pure, &[]),
    room("doctor/words", Kind::Pure, &[]),
    room("tls_report/record", Kind::Pure, &[]),
    room("sheet", Kind::Pure, &[]),
    room("bounce/envelope_from", Kind::Pure, &[]),
    room("bounce/verp", Kind::Pure, &[]),
    room("bounce/classify", Kind::Pure, &[]),
    room("bounce/plain", Kind::Pure, &[]),
    room("bounce/normalise", Kind::Pure, &[]),
    room("bounce/read", Kind::Pure, &[]),
    room("bounce/dsn_text", Kind::Pure, &[]),
    room("bounce/dsn_write", Kind::Pure, &[]),
    room("deliver/sts_policy", Kind::Pure, &[]),
    room("deliver/tls_policy", Kind::Pure, &[]),
    room("deliver/verdict", Kind::Pure, &[]),
    room("deliver/counted", Kind::Pure, &[]),
    room("deliver/route", Kind::Pure, &[]),
    room("deliver/provider", Kind::Pure, &[]),
    room("deliver/lately", Kind::Pure, &[]),
    // Why mail of a domain is refused: all but the reading.
    room("diagnose/topic", Kind::Pure, &[]),
    room("diagnose/patterns", Kind::Pure, &[]),
    room("diagnose/tally", Kind::Pure, &[]),
    room("diagnose/figures", Kind::Pure, &[]),
    room("diagnose/delist", Kind::Pure, &[]),
    room("diagnose/evidence", Kind::Pure, &[]),
    room("diagnose/rules", Kind::Pure, &[]),
    room("diagnose/words", Kind::Pure, &[]),
    room("schedule/backoff", Kind::Pure, &[]),
    room("schedule/limits", Kind::Pure, &[]),
    room("schedule/place", Kind::Pure, &[]),
    room("schedule/window", Kind::Pure, &[]),
    room("schedule/fair", Kind::Pure, &[]),
    room("schedule/pace", Kind::Pure, &[]),
    room("schedule/queue", Kind::Pure, &[]),
    room("schedule/lane", Kind::Pure, &[]),
    room("schedule/site", Kind::Pure, &[]),
    room("schedule/trouble", Kind::Pure, &[]),
    room("schedule/core", Kind::Pure, &[]),
    room("intake/proxy", Kind::Pure, &[]),
    room("unsubscribe/token", Kind::Pure, &[]),
    room("unsubscribe/headers", Kind::Pure, &[]),
    room("unsubscribe/row", Kind::Pure, &[]),
    room("config", Kind::State, &[]),
    room("store", Kind::State, &[]),
    // Mail that was not sent: intake and deliver put it in, the console shows it.
    room("sandbox", Kind::State, &[]),
    room("webhook/inbound_lane", Kind::State, &[]),
    // Pure, too, but what they decide by is the config. Lanes are named by intake and read by deliver.
    room("deliver/rules", Kind::State, &[]),
    room("intake/policy", Kind::State, &[]),
    room("intake/inlets", Kind::State, &[]),
    room("intake/spam", Kind::State, &[]),
    room("intake/forwarding", Kind::State, &[]),
    room("suppress/row", Kind::State, &[]),
    room("suppress/told", Kind::State, &[]),
    room("doctor/told", Kind::State, &[]),
    room("suppress/dates", Kind::State, &[]),
    room("suppress/dialect", Kind::State, &[]),
    room("suppress/csv", Kind::State, &[]),
    room("suppress/rules", Kind::State, &[]),
    room("suppress/brake", Kind::State, &[]),
    room("suppress/lookup", Kind::State, &[]),
    room("unsubscribe/filters", Kind::State, &[]),
    // CMC's records, which the API and the webhooks tell alike.
    room("records", Kind::State, &[]),
    room("runtime", Kind::Shell, &[]),
    room("net", Kind::Shell, &["runtime"]),
    room("account", Kind::Shell, &["runtime"]),
    // A question to a policy host, which the doctor asks, too.
    room("deliver/sts_fetch", Kind::Shell, &["runtime", "net"]),
    // The contract between scheduling and handing over.
    room("deliver/job", Kind::Shell, &[]),
    // What a day of TLS brought, which the reports tell.
    room("deliver/tls_results", Kind::Shell, &[]),
    // How much mail of each domain went where, which the scheduler counts and the doctors of domains read.
    room("deliver/rule_history", Kind::Shell, &[]),
    room("deliver/streams", Kind::Shell, &["runtime"]),
    room("deliver/sandbox", Kind::Shell, &["runtime", "deliver/job"]),
    // The keys of return addresses, which hand-over and the door write into mail.
    room("bounce/keys", Kind::Shell, &["runtime"]),
    room("bounce/return_paths", Kind::Shell, &[]),
    // Which keys sign, the threads that do it, and how a key comes and goes.
    room("signing", Kind::Shell, &["runtime", "net"]),
    // Whether mail that came in is its sender's.
    room("authres", Kind::Shell, &["runtime", "net"]),
    room("deliver", Kind::Shell, &["runtime", "net", "bounce/keys", "signing"]),
    room("schedule", Kind::Shell, &["runtime", "deliver/job", "deliver/streams"]),
    // How mail that came in goes on, which the webhooks for it share.
    room("bounce/forward", Kind::Shell, &["intake/submit", "intake/sink"]),
    room("bounce", Kind::Shell, &["runtime", "intake/submit", "intake/sink"]),
    // A file that is imported may hold who left a list.
    room("suppress", Kind::Shell, &["runtime", "unsubscribe"]),
    room("unsubscribe", Kind::Shell, &["runtime", "bounce/keys"]),
    // Intake hands a receipt to the scheduler and lets our own notices in; it never meets deliver.
    room("intake", Kind::Shell, &["runtime", "net", "account", "schedule", "bounce", "authres"]),
    // The door itself: what writes mail of its own may know it without the rest of intake.
    room("intake/submit", Kind::Shell, &["schedule", "bounce/keys", "bounce/return_paths"]),
    // The door for whole mails: what the API composes.
    room("intake/hand_in", Kind::Shell, &["schedule", "bounce/keys", "bounce/return_paths"]),
    // What intake wants of who takes mail for ourselves.
    room("intake/sink", Kind::Shell, &[]),
    room(
        "tls_report",
        Kind::Shell,
        &["runtime", "net", "deliver/tls_results", "intake/submit", "intake/sink", "authres"],
    ),
    room("dmarc", Kind::Shell, &["runtime", "net", "intake/sink", "authres", "tls_report"]),
    // What changed between two checks, which the webhooks post.
    room("doctor", Kind::Shell, &["runtime", "net", "signing", "deliver/streams", "deliver/sts_fetch", "dmarc"]),
    room("diagnose", Kind::Shell, &["deliver/streams", "deliver/rule_history", "doctor", "suppress"]),
    room(
        "webhook",
        Kind::Shell,
        &["runtime", "net", "suppress", "deliver/job", "bounce/forward", "intake/sink", "intake/submit"],
    ),
    room(
        "http",
        Kind::Shell,
        &[
            "runtime",
            "net",
            "account",
            "schedule",
            "deliver/streams",
            "intake/submit",
            "intake/hand_in",
            "tls_report",
            "signing",
            "dmarc",
            "doctor",
            "diagnose",
            "suppress",
            "unsubscribe",
            "webhook",
        ],
    ),
    room("app", Kind::Wiring, &[]),
    room("cli", Kind::Wiring, &[]),
    room("main", Kind::Wiring, &[]),
    room("lib", Kind::Wiring, &[]),
];

/// Crates with a room of their own, by the name that code uses.
const OWNERS: &[(&str, &[&str])] = &[
    ("redb", &["store"]),
    ("crc32fast", &["store"]),
    ("tar", &["store", "http", "cli"]),
    ("rustls", &["net"]),
    ("futures_rustls", &["net"]),
    ("rustls_native_certs", &["net"]),
    ("webpki_roots", &["net"]),
    ("domain", &["net"]),
    ("tiny_http", &["http/server"]),
    ("httparse", &["http", "net/https"]),
    ("maud", &["http"]),
    ("fast_qr", &["http/console/door"]),
    ("plotters", &["http/chart"]),
    ("plotters_backend", &["http/chart"]),
    ("toml", &["config"]),
    ("clap", &["cli"]),
    ("argon2", &["account"]),
    ("mail_builder", &["mail", "bounce", "tls_report", "http", "account"]),
    ("encoding_rs", &["mail/iso2022jp", "dmarc/read"]),
    ("flate2", &["mail/inflate", "tls_report", "store", "http", "dmarc"]),
    ("rawzip", &["http/archive", "dmarc/read"]),
    ("quick_xml", &["dmarc/read"]),
    ("sd_notify", &["app"]),
];

#[test]
fn rooms_import_only_what_stands_below_them() {
    let mut wrong = Vec::new();
    for (file, text) in rust_files(&["src"]).into_iter().filter(|(f, _)| !is_test(f)) {
        let Some(from) = room_of(&module_of(&file)) else {
            wrong.push(format!("{file}: no room in the import table"));
            continue;
        };
        for (line, path) in paths(&file, &text) {
            // A path to something in lib.rs itself, or to a room that the table lacks.
            let Some(to) = room_of(&path) else { continue };
            if !may_use(from, to) {
                wrong.push(format!("{file}:{line}: {} may not use {path}", ROOMS[from].path));
            }
        }
    }
    none(&wrong);
}

#[test]
fn crates_stay_in_their_rooms() {
    let mut wrong = Vec::new();
    for (file, text) in rust_files(&["src"]).into_iter().filter(|(f, _)| !is_test(f)) {
        let module = module_of(&file);
        for (n, line) in code_lines(&text) {
            for (krate, owners) in OWNERS {
                let named = mentions(line, krate);
                let owned = owners.iter().any(|o| module == *o || module.starts_with(&format!("{o}/")));
                if named && !owned {
                    wrong.push(format!("{file}:{n}: {krate} belongs to {}", owners.join(", ")));
                }
            }
        }
    }
    none(&wrong);
}

#[test]
fn the_table_knows_its_order() {
    let may = |from: &str, to: &str| may_use(room_of(from).unwrap(), room_of(to).unwrap());
    for (from, to) in [
        ("http/console", "store"),
        ("mail/header", "smtp"),
        ("event", "ids"),
        ("cli/serve", "app"),
        ("store/writer", "mail"),
    ] {
        assert!(may(from, to), "{from} uses {to}");
    }
    for (from, to) in [
        ("smtp/server", "store"),
        ("smtp/server", "mail"),
        ("intake/session", "deliver/pool"),
        ("deliver/attempt", "intake/submit"),
        ("store", "runtime"),
        ("deliver/attempt", "schedule/task"),
        ("clock", "smtp"),
        ("http/console", "cli"),
        ("schedule/core", "store"),
        ("schedule/task", "deliver/pool"),
    ] {
        assert!(!may(from, to), "{from} does not use {to}");
    }
    let text = "//! x\nuse crate::{\n    store::{self, types::Lane},\n    event::Event,\n};\nfn f() { crate::net::dns::ask() }\n";
    let found: Vec<String> = paths("src/http/console.rs", text).into_iter().map(|(_, p)| p).collect();
    assert_eq!(found, ["store", "store/types/Lane", "event/Event", "net/dns/ask"]);
}

fn may_use(from: usize, to: usize) -> bool {
    let (f, t) = (&ROOMS[from], &ROOMS[to]);
    if from == to || f.kind == Kind::Wiring {
        return true;
    }
    // Parts of one folder know each other, as far as their layers allow.
    let same_folder = f.path.split('/').next() == t.path.split('/').next();
    match t.kind {
        Kind::Wiring => false,
        Kind::Shell => f.kind == Kind::Shell && (same_folder || f.shells.contains(&t.path)),
        Kind::Word if f.kind == Kind::Word => true,
        Kind::Pure if f.kind == Kind::Pure && same_folder => true,
        Kind::Word | Kind::Pure | Kind::State => to < from,
    }
}

/// A file that only tests use: it may know everybody.
fn is_test(file: &str) -> bool {
    let name = file.rsplit('/').next().unwrap_or_default();
    name.ends_with("tests.rs") || name == "fake.rs" || file.contains("/tests/")
}

/// `src/http/console.rs` → `http/console`.
fn module_of(file: &str) -> String {
    let module = file.trim_start_matches("src/").trim_end_matches(".rs");
    module.trim_end_matches("/mod").to_owned()
}

/// The room with the longest matching path.
fn room_of(module: &str) -> Option<usize> {
    // `deliver/job` and the like are parts of a shell that a neighbour may use by name.
    let matching = |r: &Room| module == r.path || module.starts_with(&format!("{}/", r.path));
    (0..ROOMS.len()).filter(|i| matching(&ROOMS[*i])).max_by_key(|i| ROOMS[*i].path.len())
}

/// Lines of code with their numbers: without comments, and without the tests at the end.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(n, line)| (n + 1, line))
        .take_while(|(_, line)| *line != "#[cfg(test)]")
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// Every path below the crate that a file names: the line, and the path with slashes.
fn paths(file: &str, text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let lines: Vec<(usize, &str)> = code_lines(text).collect();
    for (i, (n, line)) in lines.iter().enumerate() {
        let mut rest = *line;
        while let Some(at) = rest.find("crate::") {
            let word_before = rest[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_');
            rest = &rest[at + "crate::".len()..];
            if word_before {
                continue;
            }
            let tail: String = std::iter::once(rest).chain(lines[i + 1..].iter().map(|(_, l)| *l)).collect();
            expand("", &tail, &mut |path| found.push((*n, path)));
        }
        if let Some(rest) = line.trim_start().strip_prefix("use super::") {
            let module = module_of(file);
            let parent = module.rsplit_once('/').map_or("", |(p, _)| p);
            let prefix = if parent.is_empty() { String::new() } else { format!("{parent}/") };
            let tail: String = std::iter::once(rest).chain(lines[i + 1..].iter().map(|(_, l)| *l)).collect();
            expand(&prefix, &tail, &mut |path| found.push((*n, path)));
        }
    }
    found
}

/// Expands a use tree that starts at `text`: `a::{b, c::d}` under `prefix`.
fn expand(prefix: &str, text: &str, say: &mut dyn FnMut(String)) -> usize {
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(text.len());
    let head = text[..end].trim_matches(':').replace("::", "/");
    if !text[end..].starts_with('{') || !(end == 0 || text[..end].ends_with("::")) {
        let whole = format!("{prefix}{head}");
        say(whole.trim_end_matches("/self").to_owned());
        return end;
    }
    let inner_prefix = if head.is_empty() { prefix.to_owned() } else { format!("{prefix}{head}/") };
    let mut at = end + 1;
    while at < text.len() {
        let skipped = text[at..].len() - text[at..].trim_start_matches([' ', ',', '\t']).len();
        at += skipped;
        if text[at..].starts_with('}') || text[at..].is_empty() {
            return at + 1;
        }
        let used = expand(&inner_prefix, &text[at..], say);
        // Something that is no use tree, e.g. ` as name`: skip to the next part.
        at += used;
        if let Some(next) = text[at..].find([',', '}']) {
            at += next;
        } else {
            return text.len();
        }
    }
    at
}

/// The line names the crate as a path's first part.
fn mentions(line: &str, krate: &str) -> bool {
    let mut from = 0;
    while let Some(at) = line[from..].find(krate) {
        let at = from + at;
        let before = line[..at].chars().next_back();
        let after = &line[at + krate.len()..];
        let starts = before.is_none_or(|c| !(c.is_alphanumeric() || c == '_' || c == ':' || c == '"' || c == '.'));
        if starts && (after.starts_with("::") || line.trim() == format!("use {krate};")) {
            return true;
        }
        from = at + krate.len();
    }
    false
}
