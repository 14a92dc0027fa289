//! Tag lists, `v=1; a=rsa-sha256; …`: the form of signatures and of key records.
//!
//! In: text that a stranger wrote.  Out: its tags, in order, or what is wrong with it.
//! Always: a tag that stands twice spoils the list, as the standard asks; the number of tags is bounded.
//! Sources: RFC 6376 §3.2.

/// Tags of one list. Signatures have 13 kinds, records 7; the rest is room for what comes.
const TAGS_MAX: usize = 64;
/// Blanks between words, folding included.
pub(super) const FWS: [char; 4] = [' ', '\t', '\r', '\n'];

/// What is wrong with a tag list.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TagFault {
    /// Something between two semicolons is no `name=value`.
    #[error("\"{0}\" is no tag=value")]
    NoTag(String),
    /// A tag stands twice.
    #[error("the tag {0}= stands twice")]
    Twice(String),
    /// More tags than any list has.
    #[error("more than 64 tags")]
    TooMany,
}

/// The tags of a list with their values, blanks around them taken off.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Tags<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Tags<'a> {
    /// Reads a list; a semicolon may end it.
    pub(super) fn parse(text: &'a str) -> Result<Self, TagFault> {
        let mut tags: Vec<(&str, &str)> = Vec::new();
        let mut specs = text.split(';').peekable();
        while let Some(spec) = specs.next() {
            if specs.peek().is_none() && spec.trim_matches(FWS).is_empty() {
                break;
            }
            let (name, value) = spec.split_once('=').ok_or_else(|| no_tag(spec))?;
            let (name, value) = (name.trim_matches(FWS), value.trim_matches(FWS));
            let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic())
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            if !is_name || value.chars().any(|c| c.is_control() && !FWS.contains(&c)) {
                return Err(no_tag(spec));
            }
            if tags.iter().any(|(known, _)| *known == name) {
                return Err(TagFault::Twice(bounded(name)));
            }
            if tags.len() == TAGS_MAX {
                return Err(TagFault::TooMany);
            }
            tags.push((name, value));
        }
        Ok(Tags(tags))
    }

    /// The value of a tag; names tell capitals from small letters.
    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    /// The first tag's name.
    pub(super) fn first(&self) -> Option<&'a str> {
        self.0.first().map(|(name, _)| *name)
    }
}

/// The value without blanks: base64 may be folded anywhere.
pub(super) fn without_blanks(value: &str) -> String {
    value.chars().filter(|c| !FWS.contains(c)).collect()
}

/// The parts of a list with colons, blanks around them taken off.
pub(super) fn parts(value: &str) -> impl Iterator<Item = &str> {
    value.split(':').map(|part| part.trim_matches(FWS))
}

fn no_tag(spec: &str) -> TagFault {
    TagFault::NoTag(bounded(spec.trim_matches(FWS)))
}

/// A stranger's word as an error may show it: short, on one line.
pub(super) fn bounded(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_as_the_standard_writes_them() {
        let tags = Tags::parse(" v=1 ;\r\n\ta = rsa-sha256;b=a=b;empty=; ").expect("a list");
        assert_eq!(tags.first(), Some("v"));
        let values = ["v", "a", "b", "empty", "A"].map(|name| tags.get(name));
        assert_eq!(values, [Some("1"), Some("rsa-sha256"), Some("a=b"), Some(""), None]);
        assert_eq!(Tags::parse(""), Ok(Tags::default()));
        for (text, fault) in [
            ("v=1;;a=b", TagFault::NoTag(String::new())),
            ("v=1; junk", TagFault::NoTag("junk".to_owned())),
            ("=1", TagFault::NoTag("=1".to_owned())),
            ("1v=1", TagFault::NoTag("1v=1".to_owned())),
            ("v=1; v=1", TagFault::Twice("v".to_owned())),
            ("v=\u{1b}", TagFault::NoTag("v=".to_owned())),
        ] {
            assert_eq!(Tags::parse(text), Err(fault), "{text:?}");
        }
        let many: String = (0..65).map(|n| format!("t{n}=;")).collect();
        assert_eq!(Tags::parse(&many), Err(TagFault::TooMany));
    }
}
