//! One step of a decision, in words for people: what `explain`, `find` and the pages show of how a mail is treated.
//!
//! Always: a topic is one of the product's nouns, fixed in code; what it says may quote mail and must be escaped by whoever
//! shows it.

/// One step: `site` — `aspmx.l.google.com (+4), 3 of 8 connections`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fact {
    /// What it is about: `policy`, `class`, `route`, `site`, `mx`, `tls`, `rule`, `source`, `now`, `next try` …
    pub topic: &'static str,
    /// What is true, and why.
    pub says: String,
}

impl Fact {
    /// A fact.
    pub fn new(topic: &'static str, says: impl Into<String>) -> Self {
        Fact { topic, says: says.into() }
    }
}
