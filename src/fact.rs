//! One step of a decision, in words for people: what `explain`, `find` and the pages show of how a mail is treated.
//!
//! Always: a topic is one of the product's nouns, fixed in code; what it says stands in both languages, may quote mail, and
//! must be escaped by whoever shows it.

use crate::language::{Language, Said};

/// One step: `site` — `aspmx.l.google.com (+4), 3 of 8 connections`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fact {
    /// What it is about: `policy`, `class`, `route`, `site`, `mx`, `tls`, `rule`, `source`, `now`, `next try` …
    pub topic: &'static str,
    /// What is true, and why.
    pub says: Said,
}

impl Fact {
    /// A fact, in English and in Japanese.
    pub fn new(topic: &'static str, english: impl Into<String>, japanese: impl Into<String>) -> Self {
        Fact { topic, says: Said::new(english, japanese) }
    }

    /// A fact whose words are made once for each language.
    pub fn told(topic: &'static str, words: impl Fn(Language) -> String) -> Self {
        Fact { topic, says: Said::told(words) }
    }
}
