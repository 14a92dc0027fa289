//! The rules of plain-text bounces, out of their data files.
//!
//! In: `data/read_lines.rules`, `data/read_phrases.rules`.  Out: what a line or a text says.
//! Always: parsed and compiled once; a file that does not parse is found by this file's tests, not by an operator; matching is
//! linear in the text, whatever it holds.

use std::sync::LazyLock;

use regex::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};

const LINES: &str = include_str!("../data/read_lines.rules");
const PHRASES: &str = include_str!("../data/read_phrases.rules");
/// What `{address}` stands for.
const ADDRESS: &str = r#"(?P<address>(?:"[^"]{1,64}"|[^\s<>()\[\]:;,"'`@]{1,120})@[^\s<>()\[\]:;,"'`@]{1,255})"#;
/// Memory for the automaton of a set: enough that real mail never makes it start over.
const AUTOMATON_BYTES_MAX: usize = 32 * 1024 * 1024;

/// What a line of a notice is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum LineKind {
    /// What follows is the returned mail.
    End,
    /// It is part of the returned header already.
    First,
    /// It says nothing.
    Noise,
    /// It names the sender.
    Sender,
    /// It names a recipient.
    Recipient,
    /// It has the words that decide.
    Said,
    /// It names a recipient, if nothing better does.
    About,
}

/// What a text says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phrase {
    /// Mail did not arrive.
    Failed,
    /// It will not be tried again.
    Final,
    /// It is late.
    Delayed,
    /// The obstacle was temporary.
    Temporary,
    /// Only a bounce says so.
    Certain,
    /// An automatic answer says so.
    Answer,
    /// A subject of bounces.
    SubjectFailed,
    /// A subject of delay notices.
    SubjectDelayed,
    /// A subject of automatic answers.
    SubjectAnswer,
    /// The name of a mail system.
    Daemon,
    /// Refused at MAIL.
    AtMail,
    /// Refused at RCPT.
    AtRcpt,
    /// Refused after the content.
    AtContent,
}

/// Phrases that were found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Phrases(u32);

impl Phrases {
    /// It was found.
    pub(super) fn has(self, phrase: Phrase) -> bool {
        self.0 & (1 << phrase as u32) != 0
    }
}

/// A line that a rule knows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'t> {
    /// What it is.
    pub(super) kind: LineKind,
    /// The address that it names.
    pub(super) address: Option<&'t str>,
    /// What it says.
    pub(super) text: Option<&'t str>,
}

/// What a line is; `None`: no rule knows it.
pub(super) fn line(text: &str) -> Option<Line<'_>> {
    let rules = &*LINE_RULES;
    let first = rules.set.matches(text).iter().next()?;
    let (kind, regex) = &rules.rules[first];
    let mut found = Line { kind: *kind, address: None, text: None };
    if regex.captures_len() > 1
        && let Some(captures) = regex.captures(text)
    {
        let named = |name| captures.name(name).map(|m| m.as_str());
        found.address = named("address").map(|a| a.trim_end_matches(['.', '!', '?', '。', '、']));
        found.text = named("text").map(str::trim).filter(|t| !t.is_empty());
    }
    Some(found)
}

/// What the words of a notice say.
pub(super) fn notice(text: &str) -> Phrases {
    NOTICE.found_in(text)
}

/// What a subject says.
pub(super) fn subject(text: &str) -> Phrases {
    SUBJECT.found_in(text)
}

/// What From says.
pub(super) fn from(text: &str) -> Phrases {
    FROM.found_in(text)
}

/// Where a diagnostic says that the session stopped.
pub(super) fn place(text: &str) -> Phrases {
    PLACE.found_in(text)
}

struct LineRules {
    set: RegexSet,
    rules: Vec<(LineKind, Regex)>,
}

static LINE_RULES: LazyLock<LineRules> = LazyLock::new(|| {
    let rules = parse(LINES);
    let patterns: Vec<&str> = rules.iter().map(|r| r.pattern.as_str()).collect();
    let set = set(&patterns);
    let rules = rules.iter().map(|r| (line_kind(r.kind).expect("a kind of line"), regex(&r.pattern))).collect();
    LineRules { set, rules }
});

static NOTICE: LazyLock<PhraseRules> = LazyLock::new(|| {
    use Phrase::{Answer, Certain, Delayed, Failed, Final, Temporary};
    PhraseRules::of(&[Failed, Final, Delayed, Temporary, Certain, Answer])
});
static SUBJECT: LazyLock<PhraseRules> =
    LazyLock::new(|| PhraseRules::of(&[Phrase::SubjectFailed, Phrase::SubjectDelayed, Phrase::SubjectAnswer]));
static FROM: LazyLock<PhraseRules> = LazyLock::new(|| PhraseRules::of(&[Phrase::Daemon]));
static PLACE: LazyLock<PhraseRules> =
    LazyLock::new(|| PhraseRules::of(&[Phrase::AtMail, Phrase::AtRcpt, Phrase::AtContent]));

struct PhraseRules {
    set: RegexSet,
    phrases: Vec<Phrase>,
}

impl PhraseRules {
    fn of(wanted: &[Phrase]) -> PhraseRules {
        let rules: Vec<(Phrase, Rule<'_>)> = parse(PHRASES)
            .into_iter()
            .map(|r| (phrase(r.kind).expect("a kind of phrase"), r))
            .filter(|(phrase, _)| wanted.contains(phrase))
            .collect();
        let patterns: Vec<&str> = rules.iter().map(|(_, r)| r.pattern.as_str()).collect();
        PhraseRules { set: set(&patterns), phrases: rules.iter().map(|(p, _)| *p).collect() }
    }

    fn found_in(&self, text: &str) -> Phrases {
        Phrases(self.set.matches(text).iter().fold(0, |bits, i| bits | 1 << self.phrases[i] as u32))
    }
}

fn line_kind(word: &str) -> Option<LineKind> {
    Some(match word {
        "end" => LineKind::End,
        "first" => LineKind::First,
        "noise" => LineKind::Noise,
        "sender" => LineKind::Sender,
        "recipient" => LineKind::Recipient,
        "said" => LineKind::Said,
        "about" => LineKind::About,
        _ => return None,
    })
}

fn phrase(word: &str) -> Option<Phrase> {
    Some(match word {
        "failed" => Phrase::Failed,
        "final" => Phrase::Final,
        "delayed" => Phrase::Delayed,
        "temporary" => Phrase::Temporary,
        "certain" => Phrase::Certain,
        "answer" => Phrase::Answer,
        "subject-failed" => Phrase::SubjectFailed,
        "subject-delayed" => Phrase::SubjectDelayed,
        "subject-answer" => Phrase::SubjectAnswer,
        "daemon" => Phrase::Daemon,
        "at-mail" => Phrase::AtMail,
        "at-rcpt" => Phrase::AtRcpt,
        "at-content" => Phrase::AtContent,
        _ => return None,
    })
}

fn regex(pattern: &str) -> Regex {
    RegexBuilder::new(pattern).case_insensitive(true).build().expect("a rule's pattern compiles: a test reads them all")
}

fn set(patterns: &[&str]) -> RegexSet {
    RegexSetBuilder::new(patterns)
        .case_insensitive(true)
        .size_limit(AUTOMATON_BYTES_MAX)
        .dfa_size_limit(AUTOMATON_BYTES_MAX)
        .build()
        .expect("the rules' patterns compile: a test reads them all")
}

struct Rule<'d> {
    kind: &'d str,
    name: &'d str,
    pattern: String,
    examples: Vec<&'d str>,
}

/// Reads a file of rules: a line `KIND NAME`, then indented `match` and `example` lines; `#` begins a comment.
fn parse(file: &str) -> Vec<Rule<'_>> {
    let mut rules: Vec<Rule<'_>> = Vec::new();
    for line in file.lines().filter(|l| !l.trim().is_empty() && !l.starts_with('#')) {
        match line.strip_prefix("  ").and_then(|l| l.split_once(' ')) {
            None => {
                let (kind, name) = line.split_once(' ').expect("a rule has a kind and a name");
                rules.push(Rule { kind, name, pattern: String::new(), examples: Vec::new() });
            }
            Some((key, value)) => {
                let rule = rules.last_mut().expect("a rule begins with its kind");
                match key {
                    "match" => rule.pattern = value.replace("{address}", ADDRESS),
                    "example" => rule.examples.push(value),
                    _ => panic!("{}: a rule has match and example lines", rule.name),
                }
            }
        }
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_of_a_line_hits_its_examples() {
        let mut wrong = Vec::new();
        for rule in parse(LINES) {
            let own = regex(&rule.pattern);
            assert!(!rule.examples.is_empty() && !rule.pattern.is_empty(), "{} has no example", rule.name);
            let kind = line_kind(rule.kind).unwrap_or_else(|| panic!("{}: {}?", rule.name, rule.kind));
            for example in rule.examples {
                let found = line(example);
                let names = matches!(kind, LineKind::Recipient | LineKind::About);
                let named = found.is_some_and(|f| !names || f.address.is_some_and(|a| a.contains('@')));
                if !own.is_match(example) || found.is_none_or(|f| f.kind != kind) || !named {
                    wrong.push(format!("{}: {example}: {found:?}", rule.name));
                }
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn every_rule_of_a_text_hits_its_examples() {
        let mut wrong = Vec::new();
        for rule in parse(PHRASES) {
            let own = regex(&rule.pattern);
            assert!(!rule.examples.is_empty() && !rule.pattern.is_empty(), "{} has no example", rule.name);
            let phrase = phrase(rule.kind).unwrap_or_else(|| panic!("{}: {}?", rule.name, rule.kind));
            for example in rule.examples {
                let found = [notice(example), subject(example), from(example), place(example)];
                if !own.is_match(example) || !found.iter().any(|p| p.has(phrase)) {
                    wrong.push(format!("{} {}: {example}", rule.kind, rule.name));
                }
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn names_are_given_once() {
        for file in [LINES, PHRASES] {
            let mut names: Vec<(&str, &str)> = parse(file).iter().map(|r| (r.kind, r.name)).collect();
            names.sort_unstable();
            let count = names.len();
            names.dedup();
            assert_eq!(names.len(), count);
        }
    }
}
