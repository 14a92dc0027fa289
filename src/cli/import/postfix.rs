//! Says in our words what a Postfix's files say: main.cf, master.cf, transport and password tables.
//!
//! In: the files' texts, by a [`Files`].  Out: a [`Draft`], and the smarthost's password apart from it.
//! Always: what has no equivalent is noted with file, line and reason; no password stands in the draft; a table's entries are
//! bounded; the order of rules is that in which Postfix would look: an address, its domain, the domains above it, all.
//! Sources: postconf(5), master(5), transport(5), SASL_README, TLS_README.

use std::collections::BTreeMap;

use super::{
    draft::{Draft, seconds as duration, text, texts},
    main_cf::{MainCf, list},
    maps::{ENTRIES_MAX, Map, NextHop, entries, maps_of, next_hop, seconds},
    postfix_doors,
    reasons::reason,
};

/// The file of settings.
pub const MAIN_CF: &str = "main.cf";
/// Entries of one table that are noted one by one; of more, only how many.
const NOTED_MAX: usize = 50;
/// Rules at most: each mail is compared with all of them.
const RULES_MAX: usize = 1_000;
/// What is different where a host has no brackets.
const BY_MX: &str = "without brackets Postfix asks for MX records; a smarthost here is that host itself";
/// The longest wait between two tries that makes sense in a schedule, in steps.
const STEPS_MAX: usize = 20;

/// Where the files are.
pub trait Files {
    /// A file that a setting names, by its path there; answers its text, and the name that notes give it.
    ///
    /// # Errors
    /// Why it cannot be read, in words.
    fn read(&mut self, path: &str) -> Result<(String, String), String>;
}

/// A login for the smarthost.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The user.
    pub user: String,
    /// The password.
    pub password: crate::secret::Secret<String>,
    /// Where it stands.
    pub from: String,
}

/// What was read.
pub struct Imported {
    /// The config.
    pub draft: Draft,
    /// The login, which goes into a file of its own.
    pub login: Option<Login>,
}

/// One import.
pub(super) struct Import<'f> {
    pub(super) main: MainCf,
    pub(super) files: &'f mut dyn Files,
    pub(super) draft: Draft,
    /// Settings that were taken over, or need no word.
    done: Vec<&'static str>,
    login: Option<Login>,
    /// Transports of master.cf that deliver by SMTP, besides Postfix's own.
    pub(super) transports: BTreeMap<String, usize>,
}

/// Translates; `None`: there is no main.cf.
///
/// # Errors
/// Why main.cf cannot be read.
pub fn import(files: &mut dyn Files) -> Result<Imported, String> {
    let (main, _) = files.read(MAIN_CF)?;
    let mut import = Import {
        main: MainCf::parse(&main),
        files,
        draft: Draft::default(),
        done: Vec::new(),
        login: None,
        transports: BTreeMap::new(),
    };
    import.all();
    Ok(Imported { draft: import.draft, login: import.login })
}

impl Import<'_> {
    fn all(&mut self) {
        self.server();
        postfix_doors::listeners(self);
        postfix_doors::relay(self);
        self.queue();
        self.delivery();
        self.rules();
        self.rest();
    }

    /// The value of a setting that is looked at: expanded, and the place where it stands.
    pub(super) fn take(&mut self, name: &'static str) -> Option<(String, String)> {
        self.done.push(name);
        let line = self.main.setting(name)?.line;
        self.main.value(name).map(|value| (value, format!("{MAIN_CF}:{line} {name}")))
    }

    /// Notes why a setting of main.cf is not taken over, or not whole.
    pub(super) fn note(&mut self, name: &str, why: impl Into<String>) {
        if let Some(setting) = self.main.setting(name) {
            let what = format!("{name} = {}", setting.raw);
            self.draft.note(MAIN_CF, setting.line, &what, why);
        }
    }

    fn server(&mut self) {
        if let Some((host, from)) = self.take("myhostname") {
            self.draft.set("server", "hostname", &text(&host.to_ascii_lowercase()), &from);
        }
    }

    fn time(&mut self, name: &'static str, usual: char) -> Option<(u64, String)> {
        let (value, from) = self.take(name)?;
        let time = seconds(&value, usual);
        if time.is_none() {
            self.note(name, "this is no time");
        }
        time.map(|time| (time, from))
    }

    fn queue(&mut self) {
        if let Some((lifetime, from)) = self.time("maximal_queue_lifetime", 'd') {
            self.draft.set("queue", "lifetime", &duration(lifetime.max(1)), &from);
        }
        if let Some((delay, from)) = self.time("delay_warning_time", 'h') {
            self.draft.set("queue", "delay_notice_after", &duration(delay), &from);
        }
        let (least, most) = (self.time("minimal_backoff_time", 's'), self.time("maximal_backoff_time", 's'));
        if least.is_some() || most.is_some() {
            let from =
                [&least, &most].into_iter().flatten().map(|(_, from)| from.clone()).collect::<Vec<_>>().join(", ");
            // Postfix's own values where the file sets one of them; it doubles the wait.
            let most = most.map_or(4_000, |(most, _)| most).max(1);
            let mut wait = least.map_or(300, |(least, _)| least).clamp(1, most);
            let mut steps = Vec::new();
            while wait < most && steps.len() + 1 < STEPS_MAX {
                steps.push(wait);
                wait = wait.saturating_mul(2);
            }
            steps.push(most);
            let steps: Vec<String> = steps.into_iter().map(duration).collect();
            self.draft.set("queue", "retry_schedule", &format!("[{}]", steps.join(", ")), &from);
        }
    }

    fn delivery(&mut self) {
        let relayhost = self.take("relayhost").filter(|(value, _)| !value.is_empty());
        let mut smarthost = None;
        if let Some((value, from)) = relayhost {
            match next_hop(&value) {
                Some(hop) => {
                    self.draft.set("delivery", "mode", &text("smarthost"), &from);
                    self.draft.set("delivery", "smarthost", &text(&hop.host_port), &from);
                    if hop.by_mx {
                        self.note("relayhost", BY_MX);
                    }
                    smarthost = Some((value, hop));
                }
                None => self.note("relayhost", "this is no host and port"),
            }
        }
        self.smarthost_login(smarthost.as_ref());
        self.tls_out(smarthost.is_some());
        if let Some((protocols, from)) = self.take("inet_protocols")
            && list(&protocols) == ["ipv4"]
        {
            self.draft.set("delivery", "ipv6", &text("off"), &from);
        }
        let sources: Vec<(String, String)> =
            ["smtp_bind_address", "smtp_bind_address6"].into_iter().filter_map(|name| self.take(name)).collect();
        let (addresses, from): (Vec<String>, Vec<String>) = sources.into_iter().filter(|(v, _)| !v.is_empty()).unzip();
        if !addresses.is_empty() {
            self.draft.set("delivery", "source_addresses", &texts(&addresses), &from.join(", "));
        }
        for name in ["default_destination_concurrency_limit", "smtp_destination_concurrency_limit"] {
            if let Some((value, from)) = self.take(name) {
                match value.parse::<u64>() {
                    // 0 is no limit there.
                    Ok(limit) => {
                        let limit = if limit == 0 { 1_000 } else { limit.min(1_000) };
                        self.draft.set("delivery", "connections_per_destination", &limit.to_string(), &from);
                    }
                    Err(_) => self.note(name, "this is no number"),
                }
            }
        }
    }

    /// The password that belongs to the relayhost: by its whole name, then by its host.
    fn smarthost_login(&mut self, smarthost: Option<&(String, NextHop)>) {
        let enabled = self.take("smtp_sasl_auth_enable").is_some_and(|(value, _)| value == "yes");
        let Some((maps, _)) = self.take("smtp_sasl_password_maps") else { return };
        if !enabled || smarthost.is_none() {
            self.note("smtp_sasl_password_maps", "passwords are for the smarthost alone, and none is used");
            return;
        }
        let Some((relayhost, _)) = smarthost else { return };
        let bare = relayhost.trim_start_matches('[').split([']', ':']).next().unwrap_or_default();
        for (file, line, key, value) in self.table("smtp_sasl_password_maps", &maps) {
            let is_its = key == *relayhost || key == bare || key == format!("[{bare}]");
            match value.split_once(':').filter(|(user, _)| !user.is_empty()) {
                Some((user, password)) if is_its && self.login.is_none() => {
                    let from = format!("{file}:{line}");
                    self.draft.set("delivery", "smarthost_user", &text(user), &from);
                    let password = crate::secret::Secret::new(password.to_owned());
                    self.login = Some(Login { user: user.to_owned(), password, from });
                }
                _ if is_its => {
                    self.draft.note(&file, line, &key, "there is another login for the smarthost, or it is no login")
                }
                _ => self.draft.note(&file, line, &key, "one login is used, that of relayhost"),
            }
        }
        if self.login.is_none() {
            self.note(
                "smtp_sasl_password_maps",
                "no login for relayhost was found: set smarthost_user and smarthost_password_file in [delivery]",
            );
        }
    }

    fn tls_out(&mut self, has_smarthost: bool) {
        let level = self.take("smtp_tls_security_level");
        let (wants, must) = (self.take("smtp_use_tls"), self.take("smtp_enforce_tls"));
        let yes =
            |setting: &Option<(String, String)>| setting.as_ref().filter(|(v, _)| v == "yes").map(|(_, f)| f.clone());
        let old =
            yes(&must).map(|from| ("encrypt".to_owned(), from)).or(yes(&wants).map(|from| ("may".to_owned(), from)));
        let (level, from) = level.filter(|(value, _)| !value.is_empty()).or(old).unwrap_or_else(|| {
            (
                "may".to_owned(),
                "Postfix uses no TLS unless it is told to; here it is used where it is offered".to_owned(),
            )
        });
        let word = tls_word(&level);
        if word.is_none() {
            self.note(
                "smtp_tls_security_level",
                "there is no such level here: TLS is asked for, certificates are checked",
            );
        }
        let word = word.unwrap_or("verify");
        self.draft.set("delivery", "tls", &text(word), &from);
        if level.starts_with("dane") {
            self.draft.set("delivery", "dane", "true", &from);
            if level == "dane-only" {
                self.note("smtp_tls_security_level", "TLS is required everywhere, and DANE where it is published");
            }
        }
        let word = if self.login.is_some() { "verify" } else { word };
        if has_smarthost || self.main.setting("transport_maps").is_some() {
            let from =
                if self.login.is_some() { "a password goes out under verified TLS alone".to_owned() } else { from };
            self.draft.set("delivery", "smarthost_tls", &text(word), &from);
        }
        if self.take("smtp_tls_wrappermode").is_some_and(|(value, _)| value == "yes") {
            self.note("smtp_tls_wrappermode", "the smarthost must offer STARTTLS: use its port 587 or 25");
        }
        let Some((maps, _)) = self.take("smtp_tls_policy_maps") else { return };
        for (file, line, key, value) in self.table("smtp_tls_policy_maps", &maps) {
            let mut words = value.split_whitespace();
            let level = tls_word(words.next().unwrap_or_default());
            let is_domain = !key.contains(['[', ':', '@', '*']);
            match level.filter(|_| is_domain) {
                Some(level) => {
                    let settings = [("domains", texts(&[key.to_ascii_lowercase()])), ("policy", text(level))];
                    self.draft.row("delivery.tls_policy", &settings, &format!("{file}:{line}"));
                    if words.next().is_some() {
                        self.draft.note(
                            &file,
                            line,
                            &format!("{key} {value}"),
                            "what follows the level is not taken over",
                        );
                    }
                }
                None => self.draft.note(
                    &file,
                    line,
                    &format!("{key} {value}"),
                    "policies are for domains, by a level of TLS",
                ),
            }
        }
    }

    /// transport(5), and how fast each transport may be.
    fn rules(&mut self) {
        let maps = self.take("transport_maps").map(|(maps, _)| maps).unwrap_or_default();
        let mut found: Vec<Found> = Vec::new();
        for (file, line, key, value) in self.table("transport_maps", &maps) {
            let key = key.to_ascii_lowercase();
            match (recipients_of(&key), self.way(&value)) {
                (Some((rank, pattern)), Ok(way)) if found.len() < RULES_MAX => {
                    if next_hop(value.split_once(':').map_or("", |(_, hop)| hop)).is_some_and(|hop| hop.by_mx) {
                        self.draft.note(&file, line, &format!("{key} {value}"), BY_MX);
                    }
                    let mut settings = vec![("name", text(&rule_name(&key))), ("recipients", texts(&[pattern]))];
                    settings.extend(way);
                    // Deeper subdomains first.
                    let depth = 255usize.saturating_sub(key.matches('.').count());
                    found.push(Found { rank, depth, key, settings, from: format!("{file}:{line}") });
                }
                (Some(_), Ok(_)) => self.draft.note(&file, line, &format!("{key} {value}"), "there are too many rules"),
                (None, _) => {
                    self.draft.note(&file, line, &format!("{key} {value}"), "this names no address and no domain")
                }
                (_, Err(why)) => self.draft.note(&file, line, &format!("{key} {value}"), why),
            }
        }
        found.sort();
        let mut names: Vec<String> = Vec::new();
        for Found { key, settings, from, .. } in found {
            if names.contains(&key) {
                self.draft.note(&from, 0, &key, "it is there twice: the first counts");
                continue;
            }
            names.push(key);
            self.draft.row("delivery.rule", &settings, &from);
        }
        for name in ["smtp_destination_rate_delay", "default_destination_rate_delay"] {
            let Some((delay, from)) = self.time(name, 's').filter(|(delay, _)| *delay > 0) else { continue };
            let settings = [("name", text(name)), ("recipients", texts(&["."])), ("interval", duration(delay))];
            self.draft.row("delivery.rule", &settings, &from);
            break;
        }
    }

    /// The settings of a rule that does what a transport does.
    fn way(&mut self, value: &str) -> Result<Vec<(&'static str, String)>, String> {
        let (transport, hop) = value.split_once(':').unwrap_or((value, ""));
        let own = self.transports.contains_key(transport);
        if !own && !matches!(transport, "" | "smtp" | "relay") {
            return Err(match transport {
                "error" | "retry" => "mail is not refused by its recipient's domain".to_owned(),
                "discard" => "no mail is thrown away".to_owned(),
                "local" | "virtual" | "lmtp" | "pipe" | "uucp" => {
                    "Hikyaku delivers to other servers by SMTP alone".to_owned()
                }
                _ => format!("{transport} is no transport that delivers by SMTP"),
            });
        }
        let mut settings = Vec::new();
        if !hop.trim().is_empty() {
            let hop = next_hop(hop).ok_or("this is no host and port")?;
            settings.push(("smarthost", text(&hop.host_port)));
        }
        if own {
            settings.extend(self.speed_of(transport));
        }
        if settings.is_empty() {
            return Err(match self.main.value("relayhost").is_some_and(|host| !host.is_empty()) {
                true => "with a smarthost all mail goes there: this domain cannot go to its MX hosts".to_owned(),
                false => "mail for it goes to its MX hosts anyway".to_owned(),
            });
        }
        Ok(settings)
    }

    /// `NAME_destination_concurrency_limit` and `NAME_destination_rate_delay` of a transport of the file's own.
    fn speed_of(&self, transport: &str) -> Vec<(&'static str, String)> {
        let value = |what: &str| self.main.value(&format!("{transport}_destination_{what}"));
        let mut settings = Vec::new();
        if let Some(limit) = value("concurrency_limit").and_then(|v| v.parse::<u64>().ok()).filter(|n| *n > 0) {
            settings.push(("connections_max", limit.min(1_000).to_string()));
        }
        if let Some(delay) = value("rate_delay").and_then(|v| seconds(&v, 's')).filter(|n| *n > 0) {
            settings.push(("interval", duration(delay)));
            // With a delay Postfix sends one mail after another.
            if !settings.iter().any(|(key, _)| *key == "connections_max") {
                settings.push(("connections_max", "1".to_owned()));
            }
        }
        settings
    }

    /// The entries of a setting's tables: file, line, key, value. What cannot be read is noted.
    fn table(&mut self, setting: &str, maps: &str) -> Vec<(String, usize, String, String)> {
        let mut all = Vec::new();
        for map in maps_of(maps) {
            match map {
                Map::Other(what, why) => self.note(setting, format!("{what}: {why}")),
                Map::Source(path) => match self.files.read(&path) {
                    Ok((text, name)) => {
                        let found = entries(&text);
                        if found.len() >= ENTRIES_MAX {
                            self.note(setting, format!("{name}: only its first {ENTRIES_MAX} entries were read"));
                        }
                        all.extend(found.into_iter().map(|(line, key, value)| (name.clone(), line, key, value)));
                    }
                    Err(why) => self.note(setting, format!("{path}: {why}")),
                },
            }
        }
        all
    }

    /// By sender, and everything that nobody has looked at.
    fn rest(&mut self) {
        if let Some((maps, _)) = self.take("sender_dependent_relayhost_maps") {
            let entries = self.table("sender_dependent_relayhost_maps", &maps);
            let why = "where mail goes does not depend on its sender: run one Hikyaku for each way, or send all by one smarthost";
            for (file, line, key, value) in entries.iter().take(NOTED_MAX) {
                self.draft.note(file, *line, &format!("{key} {value}"), why);
            }
            self.note("sender_dependent_relayhost_maps", format!("{} entries: {why}", entries.len()));
        }
        let names: Vec<(String, usize, String, bool)> =
            self.main.settings.iter().map(|s| (s.name.clone(), s.line, s.raw.clone(), s.is_overridden)).collect();
        for (name, line, raw, is_overridden) in names {
            let what = format!("{name} = {raw}");
            if is_overridden {
                self.draft.note(MAIN_CF, line, &what, "a later line sets it again");
            } else if !raw.is_empty() && !self.done.contains(&name.as_str()) && !self.is_of_a_transport(&name) {
                match reason(&name) {
                    Some(_) if self.is_named(&name) => {
                        self.draft.note(MAIN_CF, line, &what, "it is used in other settings alone");
                    }
                    Some(why) => self.draft.note(MAIN_CF, line, &what, why),
                    None => {}
                }
            }
        }
        for (line, text) in self.main.strange.clone() {
            self.draft.note(MAIN_CF, line, &text, "this is no setting");
        }
    }

    fn is_of_a_transport(&self, name: &str) -> bool {
        let of = name.strip_suffix("_destination_concurrency_limit").or(name.strip_suffix("_destination_rate_delay"));
        of.is_some_and(|transport| self.transports.contains_key(transport))
    }

    /// A setting of nobody's but the file's, which other settings name.
    fn is_named(&self, name: &str) -> bool {
        let names = [format!("${name}"), format!("${{{name}"), format!("$({name}")];
        reason(name) == reason("no setting of this name")
            && self.main.settings.iter().any(|s| names.iter().any(|n| s.raw.contains(n.as_str())))
    }
}

/// A rule, and its place among others: by rank, then by depth.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Found {
    rank: u8,
    depth: usize,
    key: String,
    settings: Vec<(&'static str, String)>,
    from: String,
}

/// Our word for a level of TLS.
fn tls_word(level: &str) -> Option<&'static str> {
    Some(match level {
        "none" => "none",
        "may" | "dane" => "opportunistic",
        "encrypt" | "dane-only" => "require",
        "verify" | "secure" => "verify",
        _ => return None,
    })
}

/// Which recipients a key of transport(5) names: its rank among others, and a pattern.
fn recipients_of(key: &str) -> Option<(u8, String)> {
    let escaped = |text: &str| regex::escape(text);
    Some(match key.split_once('@') {
        _ if key.is_empty() || key.contains(char::is_whitespace) => return None,
        Some((_, "")) => return None,
        Some(("", domain)) => (1, format!("@{}$", escaped(domain))),
        Some((local, domain)) => (0, format!("^{}@{}$", escaped(local), escaped(domain))),
        None if key == "*" => (3, ".".to_owned()),
        None => match key.strip_prefix('.') {
            Some("") => return None,
            Some(domain) => (2, format!("\\.{}$", escaped(domain))),
            None => (1, format!("@{}$", escaped(key))),
        },
    })
}

/// A name that a rule may have.
fn rule_name(key: &str) -> String {
    let clean: String = key.chars().map(|c| if c == '#' || c.is_control() { '_' } else { c }).collect();
    let name = format!("transport {clean}");
    name[..name.floor_char_boundary(60)].trim_end().to_owned()
}

#[cfg(test)]
#[path = "postfix_tests.rs"]
mod tests;
