//! Brings an answer into the one form that rules are written for.
//!
//! In: an answer as it was said, or as a bounce mail repeats it.  Out: [`Prepared`]: codes, phase, and a text in small letters.
//! Always: at most [`TEXT_OCTETS_MAX`] octets of the answer are read; an address becomes `@` and a URL one word (`url_host_path`),
//! so that no rule reads a word out of a name; what another server's report says around the answer is left out.

use std::sync::LazyLock;

use regex::bytes::RegexSet;

use super::{
    Said,
    codes::{self, Weight},
};
use crate::{event::Phase, smtp::reply::Enhanced};

/// Octets of an answer that are read: an in-session answer has 1,000 at most, a report's longest explanations about 3,000.
pub(super) const TEXT_OCTETS_MAX: usize = 4_096;

/// An answer, ready for the rules.
#[derive(Debug)]
pub(super) struct Prepared {
    pub code: Option<u16>,
    pub enhanced: Option<Enhanced>,
    pub phase: Option<Phase>,
    /// `550 5.1.1 rcpt| the text`; `-` for what is not known.
    pub text: String,
    /// There are words after the bar.
    pub has_words: bool,
}

/// Words of reports that tell how far the try got. The first of them counts.
const PHASES: [(&str, Phase); 24] = [
    ("in reply to end of data", Phase::Content),
    ("after end of data", Phase::Content),
    ("our final data", Phase::Content),
    ("after i sent the message", Phase::Content),
    ("after sending data", Phase::Content),
    ("in reply to data command", Phase::Data),
    ("failed on data command", Phase::Data),
    ("in reply to rcpt to", Phase::Rcpt),
    ("after rcpt to", Phase::Rcpt),
    ("our rcpt to", Phase::Rcpt),
    ("does not like recipient", Phase::Rcpt),
    ("following rcpt command", Phase::Rcpt),
    ("for rcpt to response", Phase::Rcpt),
    ("[rcpt_to]", Phase::Rcpt),
    ("in reply to mail from", Phase::Mail),
    ("after mail from", Phase::Mail),
    ("our mail from", Phase::Mail),
    ("but sender was rejected", Phase::Mail),
    ("but my name was rejected", Phase::Ehlo),
    ("in reply to ehlo", Phase::Ehlo),
    ("in reply to helo", Phase::Ehlo),
    ("refused to talk to me", Phase::Greeting),
    ("after initial connection", Phase::Greeting),
    ("but greeting failed", Phase::Greeting),
];

/// One pass over a report finds them all.
static PHASE_WORDS: LazyLock<RegexSet> =
    LazyLock::new(|| RegexSet::new(PHASES.iter().map(|(words, _)| regex::escape(words))).expect("plain words compile"));

/// What a report says before it repeats the answer: the last one that is found counts.
const BEFORE_ANSWER: [&str; 5] = [
    " said: ",
    "refused to talk to me: ",
    "remote server returned '",
    "server returned was: ",
    "unknown address error '",
];
/// What a report says after the answer.
const AFTER_ANSWER: [&str; 3] = [" (in reply to ", " giving up on ", "i'm not going to try again"];

/// The answer in the form that rules are written for.
pub(super) fn prepare(said: &Said<'_>) -> Prepared {
    let cut = said.text.floor_char_boundary(TEXT_OCTETS_MAX);
    let lower = lower(&said.text[..cut]);
    let phase = said.phase.or_else(|| Some(PHASES[PHASE_WORDS.matches(lower.as_bytes()).iter().next()?].1));
    let mut read = Reading { out: String::with_capacity(lower.len() + 32), code: None, enhanced: said.enhanced };
    let mut words = String::with_capacity(lower.len());
    for word in the_answer(&lower).split_whitespace() {
        read.word(word, &mut words);
    }
    let code = said.code.filter(|c| (400..600).contains(c)).or(read.code);
    let mut out = read.out;
    match code {
        Some(code) => out.push_str(&code.to_string()),
        None => out.push('-'),
    }
    out.push(' ');
    match read.enhanced {
        Some(enhanced) => out.push_str(&enhanced.to_string()),
        None => out.push('-'),
    }
    out.push(' ');
    out.push_str(phase.map_or("-", Phase::word));
    out.push('|');
    out.push_str(&words);
    let has_words = words.bytes().any(|b| b.is_ascii_alphabetic() || b >= 0x80);
    Prepared { code, enhanced: read.enhanced, phase, text: out, has_words }
}

/// In small letters.
fn lower(text: &str) -> String {
    if text.is_ascii() { text.to_ascii_lowercase() } else { text.to_lowercase() }
}

/// The answer without the report around it.
fn the_answer(lower: &str) -> &str {
    let start = BEFORE_ANSWER.iter().filter_map(|w| lower.rfind(w).map(|at| at + w.len())).max().unwrap_or(0);
    let answer = &lower[start..];
    // A report that begins so has nothing else to say.
    let end = AFTER_ANSWER.iter().filter_map(|w| answer.find(w)).filter(|at| *at > 0).min().unwrap_or(answer.len());
    if answer[..end].bytes().any(|b| b.is_ascii_alphanumeric() || b >= 0x80) { &answer[..end] } else { lower }
}

/// What was read so far.
struct Reading {
    out: String,
    code: Option<u16>,
    enhanced: Option<Enhanced>,
}

impl Reading {
    /// Takes one word of the answer.
    fn word(&mut self, word: &str, words: &mut String) {
        let bare = word.trim_matches(|c: char| c.is_ascii_punctuation());
        // `550-5.1.1 text` and `550-text`: the lines of one answer.
        let (code, rest) = match bare.split_once('-') {
            Some((code, rest)) if reply_code(code).is_some() => (reply_code(code), rest),
            _ => (reply_code(bare), if reply_code(bare).is_some() { "" } else { bare }),
        };
        if let Some(code) = code {
            self.code.get_or_insert(code);
            if rest.is_empty() {
                return;
            }
        }
        if let Some(enhanced) = enhanced_code(rest) {
            self.take_enhanced(enhanced);
            return;
        }
        words.push(' ');
        let word = if code.is_some() { rest } else { word };
        if let Some(at) = word.find("http://").or_else(|| word.find("https://")) {
            url(&word[at..], words);
        } else if word.contains('@') {
            address(word, words);
        } else {
            words.push_str(word);
        }
    }

    /// The first clear code counts, else the first that says anything, else the first.
    fn take_enhanced(&mut self, new: Enhanced) {
        let better = match self.enhanced {
            None => true,
            Some(old) => codes::weight(old) < codes::weight(new) && codes::weight(old) != Some(Weight::Clear),
        };
        if better {
            self.enhanced = Some(new);
        }
    }
}

/// `550`: a reply code that is in use. Other numbers are counts and days.
fn reply_code(word: &str) -> Option<u16> {
    if word.len() != 3 {
        return None;
    }
    let code: u16 = word.parse().ok()?;
    matches!(code, 421 | 450..=455 | 458 | 459 | 471 | 500..=504 | 510..=513 | 521..=525 | 530..=535 | 538 | 541 | 550..=557 | 570..=574)
        .then_some(code)
}

/// `5.1.1`, failures only.
fn enhanced_code(word: &str) -> Option<Enhanced> {
    let mut parts = word.split('.');
    let class = match parts.next()? {
        "4" => 4,
        "5" => 5,
        _ => return None,
    };
    let (subject, detail) = (parts.next()?, parts.next()?);
    if parts.next().is_some() || !(1..=3).contains(&subject.len()) || !(1..=3).contains(&detail.len()) {
        return None;
    }
    Some(Enhanced(class, subject.parse().ok()?, detail.parse().ok()?))
}

/// `https://www.example.com/mail?p=x#y)` becomes `url_www_example_com_mail_p_x`.
fn url(word: &str, words: &mut String) {
    let rest = &word[word.find("://").map_or(0, |at| at + 3)..];
    let end = rest.find(['#', '>', ')', '"', '\'', ';', ']']).unwrap_or(rest.len());
    words.push_str("url_");
    words.extend(rest[..end].chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }));
}

/// `<a@example.jp>...` becomes `<@>...`.
fn address(word: &str, words: &mut String) {
    let part_of = |c: char| c.is_ascii_alphanumeric() || !c.is_ascii() || "@._-+=%/~!$&*?^`{|}".contains(c);
    let mut rest = word;
    while let Some(at) = rest.find('@') {
        let start = rest[..at].char_indices().rev().take_while(|(_, c)| part_of(*c)).last().map_or(at, |(i, _)| i);
        let end = rest[at..].find(|c| !part_of(c)).map_or(rest.len(), |i| at + i);
        words.push_str(&rest[..start]);
        words.push('@');
        // A full stop behind an address is none of its own.
        let dots = rest[at..end].len() - rest[at..end].trim_end_matches('.').len();
        rest = &rest[end - dots..];
    }
    words.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(said: &str) -> String {
        prepare(&Said { phase: None, code: None, enhanced: None, text: said }).text
    }

    #[test]
    fn an_answer_is_read_out_of_the_report_around_it() {
        for (said, want) in [
            ("550 5.1.1 <a@example.jp>... User Unknown", "550 5.1.1 -| <@>... user unknown"),
            (
                "host mx.example.jp[192.0.2.1] said: 550-5.7.26 Mail from example.com\n550 5.7.26 is refused. See https://a.example/?p=Dm#x (in reply to end of DATA command)",
                "550 5.7.26 content| mail from example.com is refused. see url_a_example__p_dm",
            ),
            (
                "#550 5.1.1 RESOLVER.ADR.RecipNotFound; not found ##",
                "550 5.1.1 -| resolver.adr.recipnotfound; not found ##",
            ),
            ("Sorry, a@example.jp. (#5.1.1)", "- 5.1.1 -| sorry, @."),
            ("not delivered within 480 hours", "- - -| not delivered within 480 hours"),
            ("550 5.0.0 a 554 5.1.1 b 554 5.1.2 c", "550 5.1.1 -| a b c"),
            ("192.0.2.1 does not like recipient. Remote host said: 550 No Giving up on 192.0.2.1.", "550 - rcpt| no"),
            ("", "- - -|"),
        ] {
            assert_eq!(text(said), want);
        }
    }

    #[test]
    fn no_answer_is_too_long_or_too_strange() {
        for said in
            ["だ".repeat(9_000), "@".repeat(9_000), "http://".repeat(2_000), "a@b ".repeat(5_000), "550-".repeat(3_000)]
        {
            assert!(text(&said).len() <= TEXT_OCTETS_MAX * 2);
        }
    }
}
