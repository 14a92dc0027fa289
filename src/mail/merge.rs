//! Fills the placeholders of a bulk mail.
//!
//! In: texts with `((#key#))`, taken apart once ([`Template::new`]), and a recipient's values.  Out: the recipient's texts.
//! Always: one pass: a value is never looked into for placeholders; in a subject or header field a value's line breaks and
//! other control characters become blanks, so that it starts no field; in html a value is text, escaped, unless the caller
//! says that its values are markup; every amount is bounded, before anything is written.
//! A key that a recipient lacks is filled with nothing: the recipient must not read `((#…#))`, and a value that only some
//! have is left out for the others. [`Template::unknown`] names those that nobody has, for the log.
//! Sources: `cmc.md` §3.3.

use std::collections::{BTreeMap, BTreeSet};

/// Properties of a recipient, name and address among them (`cmc.md` §3.3).
pub const PROPERTIES_MAX: usize = 100;
/// Octets of a property's value (`cmc.md` §3.3).
pub const VALUE_OCTETS_MAX: usize = 5 * 1024;
/// Octets of a key; a longer one is no placeholder.
pub const KEY_OCTETS_MAX: usize = 256;
/// Placeholders in all texts of a template.
pub const PLACEHOLDERS_MAX: usize = 10_000;
/// Octets of all filled texts of one letter: the largest mail that CMC takes (`cmc.md` §3.2).
pub const FILLED_OCTETS_MAX: usize = 20 * 1024 * 1024;

const OPEN: &str = "((#";
const CLOSE: &str = "#))";

/// What values are in an html body: the parameter `merge_html`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Markup {
    /// Text: `<` is written so that it shows as `<`. A value that a stranger typed cannot put a link into the mail.
    #[default]
    Escape,
    /// Markup of the caller's own, written as it is.
    Raw,
}

impl Markup {
    /// The word of the parameter.
    pub fn word(self) -> &'static str {
        match self {
            Markup::Escape => "escape",
            Markup::Raw => "raw",
        }
    }

    /// The choice of that name, whatever its case.
    pub fn parse(name: &str) -> Option<Self> {
        [Markup::Escape, Markup::Raw].into_iter().find(|m| m.word().eq_ignore_ascii_case(name))
    }
}

/// Why a template or a recipient's values cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MergeFault {
    /// The template has more than [`PLACEHOLDERS_MAX`].
    #[error("more than {PLACEHOLDERS_MAX} placeholders")]
    Placeholders,
    /// A recipient has more than [`PROPERTIES_MAX`].
    #[error("more than {PROPERTIES_MAX} properties")]
    Properties,
    /// The value of this property is longer than [`VALUE_OCTETS_MAX`].
    #[error("the value of {0} is longer than {VALUE_OCTETS_MAX} octets")]
    Value(String),
    /// The filled letter would be larger than [`FILLED_OCTETS_MAX`].
    #[error("the filled mail is larger than {FILLED_OCTETS_MAX} octets")]
    TooLarge,
}

/// The values of a recipient, by key; `name` and `address` are keys as any other.
pub type Values = BTreeMap<String, String>;

/// Checks a recipient's values.
pub fn check(values: &Values) -> Result<(), MergeFault> {
    if values.len() > PROPERTIES_MAX {
        return Err(MergeFault::Properties);
    }
    match values.iter().find(|(_, value)| value.len() > VALUE_OCTETS_MAX) {
        Some((key, _)) => Err(MergeFault::Value(key.chars().take(KEY_OCTETS_MAX).collect())),
        None => Ok(()),
    }
}

/// The texts of a letter that may hold placeholders.
#[derive(Clone, Copy, Debug, Default)]
pub struct Texts<'a> {
    /// Subject.
    pub subject: &'a str,
    /// The text body.
    pub text: &'a str,
    /// The html body.
    pub html: &'a str,
    /// Further header fields; placeholders count in values only.
    pub headers: &'a [(String, String)],
}

/// Texts for one recipient.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Filled {
    /// Subject.
    pub subject: String,
    /// The text body.
    pub text: String,
    /// The html body.
    pub html: String,
    /// Further header fields.
    pub headers: Vec<(String, String)>,
}

/// A letter's texts, taken apart.
#[derive(Clone, Debug)]
pub struct Template<'a> {
    subject: Pieces<'a>,
    text: Pieces<'a>,
    html: Pieces<'a>,
    headers: Vec<(&'a str, Pieces<'a>)>,
    markup: Markup,
}

/// How a value is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// On one line.
    Line,
    /// As it is.
    Plain,
    /// Escaped for html.
    Html,
}

#[derive(Clone, Debug, Default)]
struct Pieces<'a>(Vec<Piece<'a>>);

#[derive(Clone, Copy, Debug)]
enum Piece<'a> {
    Text(&'a str),
    Key(&'a str),
}

impl<'a> Template<'a> {
    /// Takes texts apart.
    pub fn new(texts: Texts<'a>, markup: Markup) -> Result<Self, MergeFault> {
        let mut left = PLACEHOLDERS_MAX;
        Ok(Template {
            subject: Pieces::new(texts.subject, &mut left)?,
            text: Pieces::new(texts.text, &mut left)?,
            html: Pieces::new(texts.html, &mut left)?,
            headers: texts
                .headers
                .iter()
                .map(|(name, value)| Ok((name.as_str(), Pieces::new(value, &mut left)?)))
                .collect::<Result<_, _>>()?,
            markup,
        })
    }

    /// Octets that [`Template::fill`] will write at most, without writing them.
    pub fn octets(&self, values: &Values) -> usize {
        self.parts().map(|(pieces, place)| pieces.octets(values, place)).fold(0, usize::saturating_add)
    }

    /// The texts for one recipient, whose values were [checked](check).
    pub fn fill(&self, values: &Values) -> Result<Filled, MergeFault> {
        if self.octets(values) > FILLED_OCTETS_MAX {
            return Err(MergeFault::TooLarge);
        }
        Ok(Filled {
            subject: self.subject.fill(values, Place::Line),
            text: self.text.fill(values, Place::Plain),
            html: self.html.fill(values, self.html_place()),
            headers: self
                .headers
                .iter()
                .map(|(name, pieces)| ((*name).to_owned(), pieces.fill(values, Place::Line)))
                .collect(),
        })
    }

    /// The keys of the template that `known` lacks, each once, in their order.
    pub fn unknown(&self, known: &BTreeSet<&str>) -> Vec<&'a str> {
        let mut seen = BTreeSet::new();
        self.parts()
            .flat_map(|(pieces, _)| pieces.0.iter())
            .filter_map(|piece| match piece {
                Piece::Key(key) => Some(*key),
                Piece::Text(_) => None,
            })
            .filter(|key| !known.contains(key) && seen.insert(*key))
            .collect()
    }

    fn html_place(&self) -> Place {
        match self.markup {
            Markup::Escape => Place::Html,
            Markup::Raw => Place::Plain,
        }
    }

    fn parts(&self) -> impl Iterator<Item = (&Pieces<'a>, Place)> {
        let bodies = [(&self.subject, Place::Line), (&self.text, Place::Plain), (&self.html, self.html_place())];
        bodies.into_iter().chain(self.headers.iter().map(|(_, pieces)| (pieces, Place::Line)))
    }
}

impl<'a> Pieces<'a> {
    fn new(text: &'a str, left: &mut usize) -> Result<Self, MergeFault> {
        let mut pieces = Vec::new();
        // `text` from `start` on is not yet in `pieces`.
        let mut start = 0;
        let mut places = Placeholders { text, at: 0 };
        while let Some(key) = places.next_key() {
            *left = left.checked_sub(1).ok_or(MergeFault::Placeholders)?;
            let open = places.at - CLOSE.len() - key.len() - OPEN.len();
            pieces.extend(text.get(start..open).filter(|t| !t.is_empty()).map(Piece::Text));
            pieces.push(Piece::Key(key));
            start = places.at;
        }
        pieces.extend(text.get(start..).filter(|t| !t.is_empty()).map(Piece::Text));
        Ok(Pieces(pieces))
    }

    fn octets(&self, values: &Values, place: Place) -> usize {
        let sizes = self.0.iter().map(|piece| match piece {
            Piece::Text(text) => text.len(),
            Piece::Key(key) => values.get(*key).map_or(0, |value| place.octets(value)),
        });
        sizes.fold(0, usize::saturating_add)
    }

    fn fill(&self, values: &Values, place: Place) -> String {
        let mut out = String::with_capacity(self.octets(values, place));
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Key(key) => {
                    if let Some(value) = values.get(*key) {
                        place.write(&mut out, value);
                    }
                }
            }
        }
        out
    }
}

/// Finds placeholders; looks at each octet a few times at most, whatever the text is.
struct Placeholders<'a> {
    text: &'a str,
    /// What was looked at.
    at: usize,
}

impl<'a> Placeholders<'a> {
    /// The next key; `at` is then behind its placeholder.
    fn next_key(&mut self) -> Option<&'a str> {
        loop {
            let first = self.at + self.text.get(self.at..)?.find(OPEN)? + OPEN.len();
            let close = first + self.text.get(first..)?.find(CLOSE)?;
            self.at = close + CLOSE.len();
            // The last opening before a close is the one that it closes.
            let inside = self.text.get(first..close)?;
            let key = inside.rfind(OPEN).map_or(inside, |at| &inside[at + OPEN.len()..]);
            if !key.is_empty() && key.len() <= KEY_OCTETS_MAX && !key.contains(['\r', '\n']) {
                return Some(key);
            }
        }
    }
}

impl Place {
    fn octets(self, value: &str) -> usize {
        match self {
            Place::Plain | Place::Line => value.len(),
            Place::Html => value.chars().map(|c| escape(c).map_or(c.len_utf8(), str::len)).sum(),
        }
    }

    fn write(self, out: &mut String, value: &str) {
        match self {
            Place::Plain => out.push_str(value),
            // CRLF is one break.
            Place::Line if value.contains(char::is_control) => {
                out.extend(value.replace("\r\n", " ").chars().map(|c| if c.is_control() { ' ' } else { c }));
            }
            Place::Line => out.push_str(value),
            Place::Html => {
                for c in value.chars() {
                    match escape(c) {
                        Some(entity) => out.push_str(entity),
                        None => out.push(c),
                    }
                }
            }
        }
    }
}

/// What a character is in html text and in quoted attributes.
fn escape(c: char) -> Option<&'static str> {
    Some(match c {
        '&' => "&amp;",
        '<' => "&lt;",
        '>' => "&gt;",
        '"' => "&quot;",
        '\'' => "&#39;",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing unwrap is a failing test")]
    use super::*;

    fn values(pairs: &[(&str, &str)]) -> Values {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    fn filled(text: &str, values: &Values) -> String {
        Template::new(Texts { text, ..Texts::default() }, Markup::Escape).unwrap().fill(values).unwrap().text
    }

    #[test]
    fn placeholders_are_filled_and_everything_else_stays() {
        let values = values(&[("name", "花子"), ("address", "h@example.org"), ("a b", "x"), ("self", "((#name#))")]);
        for (text, expected) in [
            ("", ""),
            ("((#name#))", "花子"),
            ("Dear ((#name#)) <((#address#))>!", "Dear 花子 <h@example.org>!"),
            ("((#a b#))((#a b#))", "xx"),
            ("((#self#))", "((#name#))"),
            ("[((#nobody#))]", "[]"),
            ("((#Name#))", ""),
            ("((##)) ((name)) (#name#) ((#name", "((##)) ((name)) (#name#) ((#name"),
            ("((#((#name#))", "((#花子"),
            ("(((#name#)))", "(花子)"),
            ("((#((#((#name#))#))", "((#((#花子#))"),
            ("((#x((##)) ((#name#))", "((#x((##)) 花子"),
            ("#))((#name#))#))((#", "#))花子#))((#"),
            ("((#na\nme#)) ((#name#))", "((#na\nme#)) 花子"),
        ] {
            assert_eq!(filled(text, &values), expected, "{text}");
        }
        let long = format!("((#{}#))", "あ".repeat(KEY_OCTETS_MAX));
        assert_eq!(filled(&long, &values), long);
    }

    #[test]
    fn values_stay_within_their_place() {
        let headers = [("X-((#v#))".to_owned(), "a ((#v#))".to_owned())];
        let texts = Texts { subject: "s ((#v#))", text: "t ((#v#))", html: "<i title='((#v#))'>", headers: &headers };
        let values = values(&[("v", "<a href=\"x\">'&\r\nBcc: b\u{85}\u{1b}")]);
        let got = Template::new(texts, Markup::Escape).unwrap().fill(&values).unwrap();
        assert_eq!(got.subject, "s <a href=\"x\">'& Bcc: b  ");
        assert_eq!(got.headers, [("X-((#v#))".to_owned(), "a <a href=\"x\">'& Bcc: b  ".to_owned())]);
        assert_eq!(got.text, "t <a href=\"x\">'&\r\nBcc: b\u{85}\u{1b}");
        assert_eq!(got.html, "<i title='&lt;a href=&quot;x&quot;&gt;&#39;&amp;\r\nBcc: b\u{85}\u{1b}'>");
        let raw = Template::new(texts, Markup::Raw).unwrap().fill(&values).unwrap();
        assert_eq!(raw.html, "<i title='<a href=\"x\">'&\r\nBcc: b\u{85}\u{1b}'>");
    }

    #[test]
    fn keys_that_nobody_has_are_named() {
        let headers = [("X".to_owned(), "((#d#))".to_owned())];
        let texts = Texts { subject: "((#a#))((#b#))", text: "((#c#))((#a#))", html: "((#b#))", headers: &headers };
        let template = Template::new(texts, Markup::Escape).unwrap();
        assert_eq!(template.unknown(&BTreeSet::from(["b", "z"])), ["a", "c", "d"]);
    }

    #[test]
    fn amounts_are_bounded_before_anything_is_written() {
        let text = "((#v#))".repeat(PLACEHOLDERS_MAX);
        let template = Template::new(Texts { text: &text, ..Texts::default() }, Markup::Escape).unwrap();
        let large = values(&[("v", &"x".repeat(VALUE_OCTETS_MAX))]);
        check(&large).unwrap();
        assert_eq!(template.octets(&large), PLACEHOLDERS_MAX * VALUE_OCTETS_MAX);
        assert_eq!(template.fill(&large), Err(MergeFault::TooLarge));
        let more = format!("{text}((#v#))");
        let fault = Template::new(Texts { subject: &more, ..Texts::default() }, Markup::Escape).map(drop);
        assert_eq!(fault, Err(MergeFault::Placeholders));
        // Escapes count, too.
        let html = "((#v#))".repeat(1_000);
        let template = Template::new(Texts { html: &html, ..Texts::default() }, Markup::Escape).unwrap();
        let quotes = values(&[("v", &"\"".repeat(VALUE_OCTETS_MAX))]);
        assert_eq!(template.octets(&quotes), 6_000 * VALUE_OCTETS_MAX);
        assert_eq!(template.fill(&quotes), Err(MergeFault::TooLarge));
        let longer = values(&[("v", &"x".repeat(VALUE_OCTETS_MAX + 1))]);
        assert_eq!(check(&longer), Err(MergeFault::Value("v".into())));
        let many: Values = (0..=PROPERTIES_MAX).map(|n| (n.to_string(), String::new())).collect();
        assert_eq!(check(&many), Err(MergeFault::Properties));
    }
}
