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

/// What a fact is about, in the reader's language; a topic that is not known stays as it is.
pub fn topic_words(topic: &str, language: Language) -> &str {
    match topic {
        "policy" => language.pick("policy", "受付ポリシー"),
        "suppression" => language.pick("suppression", "配信停止"),
        "rewriting" => language.pick("rewriting", "書き換え"),
        "class" => language.pick("class", "優先度"),
        "route" => language.pick("route", "経路"),
        "site" => language.pick("site", "配信先"),
        "mx" => language.pick("MX", "MX"),
        "tls" => language.pick("TLS", "TLS"),
        "rule" => language.pick("rule", "配信速度"),
        "source" => language.pick("source", "送信元"),
        "pause" => language.pick("pause", "一時停止"),
        "now" => language.pick("now", "現在"),
        "dkim" => language.pick("DKIM", "DKIM"),
        "return path" => language.pick("return path", "返送先アドレス"),
        "trouble" => language.pick("trouble", "障害"),
        "next try" => language.pick("next try", "次回の試行"),
        "error" => language.pick("errors", "エラー"),
        "exempt" => language.pick("exempt", "停止対象外"),
        "held" => language.pick("held", "保留中のエラー"),
        "unsubscribed" => language.pick("unsubscribed", "配信解除"),
        "user" => language.pick("user", "ユーザー"),
        "being located" => language.pick("being located", "配信先を確認中"),
        other => other,
    }
}
