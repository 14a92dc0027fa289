//! Reads Postfix's main.cf: its settings, the lines they stand in, and what `$name` in them stands for.
//!
//! In: the file's text.  Out: [`MainCf`]; nothing is executed, and nothing but the text is looked at.
//! Always: a setting that is there twice counts as Postfix counts it, the last one; what is expanded is bounded in depth and size,
//! so that a setting that names itself ends.
//! Sources: postconf(5), "main.cf file format".

/// Settings that are read; a real file has fewer than three hundred.
const SETTINGS_MAX: usize = 5_000;
/// Settings in settings that are followed.
const DEPTH_MAX: usize = 20;
/// Octets of an expanded value.
const VALUE_MAX: usize = 256 * 1024;

/// One setting.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Setting {
    /// Its name.
    pub name: String,
    /// Its value, lines joined by a blank, not expanded.
    pub raw: String,
    /// The line in which it begins, from 1.
    pub line: usize,
    /// A later line sets it again.
    pub is_overridden: bool,
}

/// A file's settings.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MainCf {
    /// In the order of the file.
    pub settings: Vec<Setting>,
    /// Lines that are no settings: number and text.
    pub strange: Vec<(usize, String)>,
}

/// A logical line: the number of its first line, and its text, comments left out and lines joined.
pub fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    for (n, line) in text.lines().enumerate() {
        let trimmed = line.trim();
        // A comment or an empty line does not end the line that it stands in.
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        match lines.last_mut().filter(|_| line.starts_with([' ', '\t'])) {
            Some((_, before)) => {
                before.push(' ');
                before.push_str(trimmed);
            }
            None => lines.push((n + 1, trimmed.to_owned())),
        }
    }
    lines
}

impl MainCf {
    /// Reads a text.
    pub fn parse(text: &str) -> Self {
        let mut file = MainCf::default();
        for (line, text) in logical_lines(text).into_iter().take(SETTINGS_MAX) {
            let is_name = |name: &str| {
                !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-./:".contains(&b))
            };
            match text.split_once('=').map(|(name, value)| (name.trim(), value.trim())) {
                Some((name, value)) if is_name(name) => {
                    file.settings.iter_mut().filter(|s| s.name == name).for_each(|s| s.is_overridden = true);
                    file.settings.push(Setting {
                        name: name.to_owned(),
                        raw: value.to_owned(),
                        line,
                        is_overridden: false,
                    });
                }
                _ => file.strange.push((line, text)),
            }
        }
        file
    }

    /// The setting of this name that counts.
    pub fn setting(&self, name: &str) -> Option<&Setting> {
        self.settings.iter().rev().find(|setting| setting.name == name)
    }

    /// Its value, expanded; `None`: the file does not set it.
    pub fn value(&self, name: &str) -> Option<String> {
        self.setting(name).map(|setting| self.expand(&setting.raw))
    }

    /// What a text with `$name`, `${name}`, `$(name)`, `${name?text}` and `${name:text}` stands for.
    pub fn expand(&self, text: &str) -> String {
        let mut out = String::new();
        self.expand_into(text, 0, &mut out);
        out.trim().to_owned()
    }

    fn expand_into(&self, text: &str, depth: usize, out: &mut String) {
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            push(out, &rest[..at]);
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix('$') {
                push(out, "$");
                rest = after;
                continue;
            }
            let (name, after) = match rest.chars().next() {
                Some('{') => bracketed(rest, '{', '}'),
                Some('(') => bracketed(rest, '(', ')'),
                _ => {
                    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
                    rest.split_at(end)
                }
            };
            rest = after;
            if depth < DEPTH_MAX && out.len() < VALUE_MAX {
                self.variable(name, depth, out);
            }
        }
        push(out, rest);
    }

    /// What stands in the brackets, or behind the sign.
    fn variable(&self, inside: &str, depth: usize, out: &mut String) {
        let end = inside.find(['?', ':']).unwrap_or(inside.len());
        let (name, then) = (inside[..end].trim(), &inside[end..]);
        let set = self.setting(name).map(|s| s.raw.clone()).or_else(|| self.default_of(name));
        let is_set = set.as_ref().is_some_and(|value| !value.is_empty());
        // `${name?{yes}:{no}}`, `${name?yes}`, `${name:no}`.
        match then.chars().next() {
            Some('?') => {
                let (yes, rest) = alternative(&then[1..]);
                if is_set {
                    self.expand_into(yes, depth + 1, out);
                } else if let Some(rest) = rest.trim_start().strip_prefix(':') {
                    self.expand_into(alternative(rest).0, depth + 1, out);
                }
            }
            Some(_) if !is_set => self.expand_into(alternative(&then[1..]).0, depth + 1, out),
            Some(_) | None => self.expand_into(&set.unwrap_or_default(), depth + 1, out),
        }
    }

    /// Postfix's own value of what files name without setting it.
    fn default_of(&self, name: &str) -> Option<String> {
        Some(match name {
            "mydomain" => {
                let host = self.setting("myhostname").map(|s| self.expand_name(&s.raw)).unwrap_or_default();
                host.split_once('.')
                    .filter(|(_, rest)| rest.contains('.'))
                    .map_or(host.clone(), |(_, rest)| rest.to_owned())
            }
            "myorigin" => "$myhostname".to_owned(),
            "config_directory" => "/etc/postfix".to_owned(),
            "data_directory" => "/var/lib/postfix".to_owned(),
            "queue_directory" => "/var/spool/postfix".to_owned(),
            "default_database_type" => "hash".to_owned(),
            "mydestination" => "$myhostname, localhost.$mydomain, localhost".to_owned(),
            "mail_name" => "Postfix".to_owned(),
            "proxy_interfaces" | "virtual_alias_maps" | "virtual_alias_domains" | "relay_domains" => String::new(),
            "default_destination_concurrency_limit" => "20".to_owned(),
            "default_destination_recipient_limit" => "50".to_owned(),
            "default_destination_rate_delay" => "0s".to_owned(),
            _ => return None,
        })
    }

    /// A host's name, in which nothing but one setting is followed: `$mydomain` asks for `$myhostname`.
    fn expand_name(&self, raw: &str) -> String {
        match raw.strip_prefix('$') {
            Some(name) if name != "mydomain" => self.setting(name).map(|s| s.raw.clone()).unwrap_or_default(),
            Some(_) => String::new(),
            None => raw.replace(".$mydomain", ""),
        }
    }
}

fn push(out: &mut String, text: &str) {
    let room = VALUE_MAX.saturating_sub(out.len());
    out.push_str(&text[..text.floor_char_boundary(room)]);
}

/// What stands between a bracket and its partner, and what follows it.
fn bracketed(text: &str, open: char, close: char) -> (&str, &str) {
    let mut depth = 0usize;
    for (at, c) in text.char_indices() {
        if c == open {
            depth += 1;
        } else if c == close {
            depth -= 1;
            if depth == 0 {
                return (&text[1..at], &text[at + 1..]);
            }
        }
    }
    (&text[1..], "")
}

/// `{text}` or `text`, and what follows it.
fn alternative(text: &str) -> (&str, &str) {
    let trimmed = text.trim_start();
    if trimmed.starts_with('{') { bracketed(trimmed, '{', '}') } else { (text, "") }
}

/// The parts of a list: divided by commas and blanks; braces hold blanks together.
pub fn list(value: &str) -> Vec<String> {
    let (mut parts, mut part, mut depth) = (Vec::new(), String::new(), 0usize);
    for c in value.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 && (c == ',' || c.is_whitespace()) {
            if !part.is_empty() {
                parts.push(std::mem::take(&mut part));
            }
        } else {
            part.push(c);
        }
    }
    if !part.is_empty() {
        parts.push(part);
    }
    parts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FILE: &str = "# comment\n\nmyhostname = mail.example.jp\nmynetworks = 127.0.0.0/8,\n# in between\n\n    10.0.0.0/8\n\t[::1]/128\n\
        relayhost =\nempty=\nrelayhost = [smart.$mydomain]:587\nnot a setting\n loose = $a ${a} $(a)\na = 1\nself = x$self\nmutual = $other\nother = $mutual\n";

    #[test]
    fn lines_are_joined_and_the_last_setting_counts() {
        let file = MainCf::parse(FILE);
        assert_eq!(file.value("mynetworks").as_deref(), Some("127.0.0.0/8, 10.0.0.0/8 [::1]/128"));
        assert_eq!(file.setting("mynetworks").map(|s| s.line), Some(4));
        assert_eq!(file.value("relayhost").as_deref(), Some("[smart.example.jp]:587"));
        let relayhosts: Vec<(usize, bool)> =
            file.settings.iter().filter(|s| s.name == "relayhost").map(|s| (s.line, s.is_overridden)).collect();
        assert_eq!(relayhosts, [(9, true), (11, false)]);
        assert_eq!(file.value("empty").as_deref(), Some(""));
        assert_eq!(file.value("absent"), None);
        assert_eq!(file.strange, [(12, "not a setting loose = $a ${a} $(a)".to_owned())]);
    }

    #[test]
    fn names_are_expanded_and_circles_end() {
        let file = MainCf::parse(&format!("{FILE}\nset = y\n"));
        for (text, expected) in [
            ("$a ${a} $(a) $$a", "1 1 1 $a"),
            ("${a?yes} ${gone?yes} ${gone:no} ${a:no}", "yes  no 1"),
            ("${a?{yes $a}:{no}} ${gone?{yes}:{no $a}}", "yes 1 no 1"),
            ("$mydomain $config_directory/x $gone.", "example.jp /etc/postfix/x ."),
            ("${unclosed", ""),
            ("tail $", "tail"),
        ] {
            assert_eq!(file.expand(text), expected, "{text}");
        }
        assert_eq!(file.expand("$self"), "x".repeat(DEPTH_MAX));
        assert_eq!(file.expand("$mutual"), "");
        let bomb = MainCf::parse(
            "a = $b$b$b$b$b$b$b$b\nb = $c$c$c$c$c$c$c$c\nc = $d$d$d$d$d$d$d$d\nd = $e$e$e$e$e$e$e$e\ne = $f$f$f$f$f$f$f$f\nf = xxxxxxxxxxxxxxxxxxxx\n",
        );
        assert!(bomb.expand("$a").len() <= VALUE_MAX);
        for (host, domain) in [
            ("mail.a.b.example", "a.b.example"),
            ("example.jp", "example.jp"),
            ("vm", "vm"),
            ("$mydomain", ""),
            ("x.$mydomain", "x"),
        ] {
            assert_eq!(MainCf::parse(&format!("myhostname = {host}\n")).expand("$mydomain"), domain, "{host}");
        }
    }

    #[test]
    fn lists_are_divided_by_commas_and_blanks() {
        assert_eq!(list("a, b  c,,d"), ["a", "b", "c", "d"]);
        assert_eq!(list("inline:{ {a = b} c } x"), ["inline:{ {a = b} c }", "x"]);
        assert!(list(" , ").is_empty());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "([a-z]{1,3} ?= ?)?[a-z$ {}()?:,=#\\n\\t飛]{0,200}") {
            let file = MainCf::parse(&text);
            for setting in &file.settings {
                prop_assert!(file.expand(&setting.raw).len() <= VALUE_MAX);
                list(&setting.raw);
            }
        }
    }
}
