//! Key records: the TXT record at `selector._domainkey.domain`.
//!
//! In: the text of a record.  Out: [`KeyRecord`], or a [`RecordFault`] that says what to correct; and texts cut for TXT
//! strings and for zone files.
//! Always: a list that the standard calls wrong is refused, as careful receivers do; an empty `p=` is a revoked key, not an
//! error; base64 may have blanks and lack its padding.
//! Sources: RFC 6376 §3.6.1, RFC 8301, RFC 8463 §4, RFC 1035 §5.1 (zone files) and §3.3.14 (TXT), RFC 4408 §3.1.3.

use base64::Engine;

use super::{
    key::SigningKey,
    pem::BASE64,
    public::{Algorithm, PublicKey},
    tags::{FWS, TagFault, Tags, bounded, parts, without_blanks},
};

/// Octets of a record that are looked at. A key of 8,192 bits takes 1.4 KiB.
const RECORD_OCTETS_MAX: usize = 8 * 1024;
/// Octets of one TXT string.
pub const TXT_STRING_OCTETS: usize = 255;

/// What is wrong with a key record. Each is a sentence for whoever publishes it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordFault {
    /// Too long to be one.
    #[error("the record is longer than 8 KiB")]
    TooLong,
    /// Not a tag list.
    #[error("the record cannot be read: {0}")]
    Tags(#[from] TagFault),
    /// `v=` says something else, or stands elsewhere than in front.
    #[error("the record begins with something other than v=DKIM1")]
    Version,
    /// No `p=`.
    #[error("the record has no p=, the public key")]
    NoKey,
    /// An unknown `k=`.
    #[error("the record's key type k={0} is unknown: rsa or ed25519")]
    KeyType(String),
    /// `p=` is not base64.
    #[error("the record's p= is not base64: a part is missing, or something was added when it was pasted")]
    NotBase64,
    /// `p=` is no such key.
    #[error("the record's p= is no public key of type {0}: a part is missing, or it belongs to another key type")]
    NoSuchKey(&'static str),
}

/// A key record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyRecord {
    /// The key; `None`: revoked (`p=` is empty).
    pub key: Option<PublicKey>,
    /// The key type that `k=` says.
    pub algorithm: Algorithm,
    /// Hash algorithms that may be used (`h=`), in small letters; `None`: all.
    pub hashes: Option<Vec<String>>,
    /// Kinds of service (`s=`): `*` when nothing is said.
    pub services: Vec<String>,
    /// The domain tests DKIM (`t=y`): a failing signature is worth what none is.
    pub testing: bool,
    /// `i=` of signatures must be of the very domain of `d=`, not below it (`t=s`).
    pub strict: bool,
    /// A note for people (`n=`).
    pub note: Option<String>,
}

impl KeyRecord {
    /// Reads a record, its TXT strings joined.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, RecordFault> {
        if text.len() > RECORD_OCTETS_MAX {
            return Err(RecordFault::TooLong);
        }
        let tags = Tags::parse(text)?;
        // It may be left out; where it is, it comes first (RFC 6376 §3.6.1).
        let version = tags.get("v");
        if version.is_some_and(|v| v != "DKIM1" || tags.first() != Some("v")) {
            return Err(RecordFault::Version);
        }
        let p = without_blanks(tags.get("p").ok_or(RecordFault::NoKey)?);
        let word = tags.get("k").unwrap_or("rsa");
        let algorithm = Algorithm::from_key_type(word).ok_or_else(|| RecordFault::KeyType(bounded(word)))?;
        let key = if p.is_empty() {
            None
        } else {
            let octets = BASE64.decode(&p).map_err(|_| RecordFault::NotBase64)?;
            let key = PublicKey::read(algorithm, &octets);
            Some(key.ok_or(RecordFault::NoSuchKey(algorithm.key_type()))?)
        };
        let list = |name: &str| -> Option<Vec<String>> {
            tags.get(name).map(|value| parts(value).map(str::to_ascii_lowercase).collect())
        };
        let flags = list("t").unwrap_or_default();
        Ok(KeyRecord {
            key,
            algorithm,
            hashes: list("h"),
            services: list("s").unwrap_or_else(|| vec!["*".to_owned()]),
            testing: flags.iter().any(|flag| flag == "y"),
            strict: flags.iter().any(|flag| flag == "s"),
            note: tags.get("n").map(str::to_owned),
        })
    }

    /// It publishes the public half of this key.
    pub fn matches(&self, key: &SigningKey) -> bool {
        self.key.as_ref() == Some(key.public())
    }

    /// Signatures over this hash may be verified with it.
    pub fn takes_hash(&self, hash: &str) -> bool {
        self.hashes.as_ref().is_none_or(|hashes| hashes.iter().any(|known| known == hash))
    }

    /// It is for mail.
    pub fn is_for_mail(&self) -> bool {
        self.services.iter().any(|service| service == "*" || service == "email")
    }
}

impl std::fmt::Display for KeyRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "v=DKIM1; k={}", self.algorithm.key_type())?;
        if let Some(hashes) = &self.hashes {
            write!(f, "; h={}", hashes.join(":"))?;
        }
        if self.services != ["*"] {
            write!(f, "; s={}", self.services.join(":"))?;
        }
        match (self.testing, self.strict) {
            (true, true) => f.write_str("; t=y:s")?,
            (true, false) => f.write_str("; t=y")?,
            (false, true) => f.write_str("; t=s")?,
            (false, false) => {}
        }
        if let Some(note) = &self.note {
            write!(f, "; n={note}")?;
        }
        write!(f, "; p={}", self.key.as_ref().map(PublicKey::base64).unwrap_or_default())
    }
}

/// The name of the record of a selector.
pub fn name(selector: &str, domain: &str) -> String {
    format!("{selector}._domainkey.{domain}")
}

/// Cuts a text into strings that a TXT record takes: 255 octets each at most, none of them ends within a character. An empty
/// text is one empty string.
pub fn split_for_txt(text: &str) -> Vec<String> {
    let mut strings = Vec::new();
    let mut rest = text;
    while rest.len() > TXT_STRING_OCTETS {
        let (string, more) = rest.split_at(rest.floor_char_boundary(TXT_STRING_OCTETS));
        strings.push(string.to_owned());
        rest = more;
    }
    if !rest.is_empty() || strings.is_empty() {
        strings.push(rest.to_owned());
    }
    strings
}

/// A TXT record as a zone file has it: quoted, the strings of a long text below each other in parentheses.
pub fn zone_line(name: &str, text: &str) -> String {
    let name = name.trim_end_matches('.');
    let strings: Vec<String> = split_for_txt(text).iter().map(|string| quoted(string)).collect();
    match strings.as_slice() {
        [one] => format!("{name}. IN TXT {one}"),
        several => format!("{name}. IN TXT (\n    {}\n)", several.join("\n    ")),
    }
}

/// A character string of a zone file (RFC 1035 §5.1).
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for octet in text.bytes() {
        match octet {
            b'"' | b'\\' => {
                out.push('\\');
                out.push(char::from(octet));
            }
            b' '..=b'~' => out.push(char::from(octet)),
            octet => out.push_str(&format!("\\{octet:03}")),
        }
    }
    out.push('"');
    out
}

/// A record among the TXT records of a name looks like a key: it says so, or has a key.
pub fn looks_like_key(text: &str) -> bool {
    let text = text.trim_start_matches(FWS);
    text.starts_with("v=DKIM1") || Tags::parse(text).is_ok_and(|tags| tags.get("p").is_some())
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
