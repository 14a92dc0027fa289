//! The rules of words, out of the data files.
//!
//! In: an answer in the form of `prepare`.  Out: the first rule that it hits, of each of the two files.
//! Always: one pass over the answer finds the needles, without one of which a rule cannot be hit, so that few rules are tried;
//! the files are read once, and a rule's expression is compiled when it is first tried.

use std::sync::{LazyLock, OnceLock};

use regex::bytes::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};

use super::{needles, reason::Reason};

/// Octets of a compiled rule, and of the automata that are built while answers are read.
const COMPILED_OCTETS_MAX: usize = 4 << 20;
const AUTOMATON_OCTETS_MAX: usize = 16 << 20;

/// A rule.
#[derive(Debug)]
pub(super) struct Rule {
    /// Its name.
    pub id: &'static str,
    pub reason: Reason,
    /// After the content such words often hide a filter.
    pub masks: bool,
    /// Read by tests only.
    #[cfg_attr(not(test), allow(dead_code))]
    pub seen: Vec<&'static str>,
    likes: Vec<&'static str>,
    compiled: OnceLock<Regex>,
}

impl Rule {
    fn is_hit(&self, text: &str) -> bool {
        self.compiled().is_match(text.as_bytes())
    }

    fn compiled(&self) -> &Regex {
        self.compiled.get_or_init(|| {
            RegexBuilder::new(&self.likes.iter().map(|l| format!("(?:{l})")).collect::<Vec<_>>().join("|"))
                .unicode(false)
                .size_limit(COMPILED_OCTETS_MAX)
                .dfa_size_limit(AUTOMATON_OCTETS_MAX)
                .build()
                .expect("a test compiles every rule of the data files")
        })
    }
}

/// The first rules that an answer hits.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Hits {
    /// Words that cannot be mistaken: they beat every code.
    pub certain: Option<&'static Rule>,
    /// Words that say something where no clear code does.
    pub likely: Option<&'static Rule>,
}

/// A set of rules, by number.
type Marks = [u64; RULES_MAX / 64];

/// Most rules of the two files together.
const RULES_MAX: usize = 256;

struct Rules {
    rules: Vec<Rule>,
    /// Rules of the first file.
    certain: usize,
    needles: RegexSet,
    /// For each needle the rules that need it.
    owners: Vec<Marks>,
    /// Rules that have no needle.
    always: Marks,
}

static RULES: LazyLock<Rules> = LazyLock::new(|| {
    let mut rules = Vec::new();
    parse(include_str!("../data/certain.rules"), &mut rules);
    let certain = rules.len();
    parse(include_str!("../data/likely.rules"), &mut rules);
    assert!(rules.len() <= RULES_MAX, "the marks have room for all rules");
    let mut by_needle = std::collections::BTreeMap::<String, Marks>::new();
    let mut always = Marks::default();
    for (number, rule) in rules.iter().enumerate() {
        for like in &rule.likes {
            match needles::of(like) {
                Some(needles) => {
                    needles.into_iter().for_each(|needle| mark(by_needle.entry(needle).or_default(), number));
                }
                None => mark(&mut always, number),
            }
        }
    }
    let needles = RegexSetBuilder::new(by_needle.keys().map(|n| regex::escape(n)))
        .unicode(false)
        .size_limit(COMPILED_OCTETS_MAX)
        .dfa_size_limit(AUTOMATON_OCTETS_MAX)
        .build()
        .expect("plain words compile");
    Rules { rules, certain, needles, owners: by_needle.into_values().collect(), always }
});

fn mark(marks: &mut Marks, number: usize) {
    marks[number / 64] |= 1 << (number % 64);
}

/// The first rules that the text hits.
pub(super) fn hits(text: &str) -> Hits {
    let all = &*RULES;
    let mut marks = all.always;
    for needle in &all.needles.matches(text.as_bytes()) {
        marks.iter_mut().zip(&all.owners[needle]).for_each(|(m, o)| *m |= o);
    }
    let first = |range: std::ops::Range<usize>| {
        all.rules[range.clone()].iter().zip(range).find_map(|(rule, number)| {
            (marks[number / 64] >> (number % 64) & 1 == 1 && rule.is_hit(text)).then_some(rule)
        })
    };
    let certain = first(0..all.certain);
    // Not asked for what does not count any more.
    let likely = if certain.is_none() { first(all.certain..all.rules.len()) } else { None };
    Hits { certain, likely }
}

/// Reads the files and compiles every rule.
pub(super) fn compile() {
    RULES.rules.iter().for_each(|rule| {
        rule.compiled();
    });
}

/// Every rule.
#[cfg(test)]
pub(super) fn all() -> &'static [Rule] {
    &RULES.rules
}

/// Rules that would be tried on every answer.
#[cfg(test)]
pub(super) fn without_needle() -> Vec<&'static str> {
    let all = &*RULES;
    let always = |number: &usize| all.always[number / 64] >> (number % 64) & 1 == 1;
    (0..all.rules.len()).filter(always).map(|number| all.rules[number].id).collect()
}

fn parse(data: &'static str, rules: &mut Vec<Rule>) {
    for line in data.lines().filter(|l| !l.is_empty() && !l.starts_with('#')) {
        let (word, rest) = line.split_once(' ').expect("a line of the rules has two parts");
        match word {
            "rule" => rules.push(head(rest).expect("a rule has a name and a reason of the table")),
            "like" => rules.last_mut().expect("a pattern follows its rule's head").likes.push(rest),
            "seen" => rules.last_mut().expect("an example follows its rule's head").seen.push(rest),
            _ => unreachable!("a line of the rules is a rule, like or seen: {line}"),
        }
    }
}

/// `id reason`, and perhaps `masks`.
fn head(rest: &'static str) -> Option<Rule> {
    let mut fields = rest.split(' ');
    let (id, reason) = (fields.next()?, Reason::named(fields.next()?)?);
    let masks = match fields.next() {
        None => false,
        Some("masks") => true,
        Some(_) => return None,
    };
    let rule = Rule { id, reason, masks, seen: Vec::new(), likes: Vec::new(), compiled: OnceLock::new() };
    fields.next().is_none().then_some(rule)
}
