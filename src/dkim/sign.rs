//! DKIM-Signature fields for a message of ours.
//!
//! In: the header as it goes out, the hash of the body, who signs, the time.  Out: whole fields to stand above the header.
//! Always: the same input gives the same octets; fields that a stranger could add to change what people see are signed as
//! absent (over-signed); a message without exactly one From is not signed, because nobody could say whose it is; no `l=`
//! (it would let anybody append), no `x=` (mail waits), lines of at most 78 columns where names allow it.
//! Sources: RFC 6376 §3.5, §5.4 and §8.15, RFC 8463, RFC 8616 §4, RFC 8058 §4 (both unsubscribe fields are signed).

use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    canon::{self, BodyCanon, Mode},
    key::SigningKey,
};
use crate::{clock::Timestamp, mail::header::Fields};

/// Signed as often as they stand there, and once more: another one added on the way spoils the signature.
const OVERSIGNED: [&str; 10] = [
    "from",
    "reply-to",
    "to",
    "cc",
    "subject",
    "date",
    "message-id",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
];
/// Signed as often as they stand there.
const SIGNED: [&str; 4] = ["sender", "in-reply-to", "references", "feedback-id"];
/// The start of the names of further fields signed as often as they stand there.
const SIGNED_PREFIX: &[u8] = b"list-";
/// Fields of one name that are signed: the lowest ones. A header has one or two of each.
const SAME_NAME_MAX: usize = 8;
/// Names with [`SIGNED_PREFIX`] that are signed; eight are registered.
const PREFIXED_MAX: usize = 16;
/// Octets of such a name: a longer one could not be folded.
const NAME_MAX: usize = 60;
/// Columns of a line, as RFC 5322 §2.1.1 recommends.
const COLUMNS_MAX: usize = 78;

/// Hashes a body, relaxed, in the pieces in which it comes.
pub struct BodyHasher(BodyCanon);

impl BodyHasher {
    /// Nothing yet.
    pub fn new() -> Self {
        BodyHasher(BodyCanon::new(Mode::Relaxed, None))
    }

    /// Takes the next piece of the body, as it is before dots are doubled.
    pub fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    /// The hash; a CRLF that the body lacks at its end counts as there, as it goes out with one.
    pub fn finish(self) -> [u8; 32] {
        let mut hash = [0; 32];
        hash.copy_from_slice(self.0.finish().0.as_ref());
        hash
    }
}

impl Default for BodyHasher {
    fn default() -> Self {
        Self::new()
    }
}

/// Who signs.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The domain (`d=`), with U-labels or A-labels.
    pub domain: String,
    /// The selector (`s=`).
    pub selector: String,
    /// The key.
    pub key: Arc<SigningKey>,
}

/// Why a message is not signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotSigned {
    /// No From.
    #[error("the message has no From")]
    NoFrom,
    /// More than one From.
    #[error("the message has several From fields")]
    SeveralFrom,
    /// A name or the cryptography.
    #[error("{0}")]
    Crypto(String),
}

/// Makes the DKIM-Signature fields of a message, one for each identity, in their order, ended by CRLF.
///
/// `head` is everything that stands above the body when the message goes out, but for these fields; with or without the empty
/// line. A field counts as [`Fields`] reads it: up to the first line that is none.
///
/// # Errors
/// [`NotSigned`]; nothing is signed then.
pub fn fields(head: &[u8], body_hash: &[u8; 32], identities: &[Identity], at: Timestamp) -> Result<Vec<u8>, NotSigned> {
    let chosen = Chosen::of(head)?;
    let mut context = Context::new(&SHA256);
    context.update(&chosen.canonical);
    let body_hash = STANDARD.encode(body_hash);
    let mut out = Vec::new();
    for identity in identities {
        let (domain, selector) = (a_labels(&identity.domain)?, a_labels(&identity.selector)?);
        let mut field = Folded::new("DKIM-Signature:");
        field.word("v=1;");
        field.word(&format!("a={};", identity.key.algorithm().name()));
        field.word("c=relaxed/relaxed;");
        field.word(&format!("d={domain};"));
        field.word(&format!("s={selector};"));
        field.word(&format!("t={};", at.as_seconds()));
        field.list("h=", &chosen.names);
        field.word(&format!("bh={body_hash};"));
        field.word("b=");
        // What is signed of this field itself ends here, without a line's end.
        let mut own = Vec::new();
        let value = &field.text.as_bytes()["DKIM-Signature:".len()..];
        canon::add_field(&mut own, Mode::Relaxed, b"dkim-signature", value, b"");
        let mut context = context.clone();
        context.update(own.strip_suffix(b"\r\n").unwrap_or(&own));
        let signature = identity.key.sign(&context.finish());
        let signature = signature.ok_or_else(|| {
            NotSigned::Crypto(format!("the key {selector} of {domain} made no signature: the cryptography failed"))
        })?;
        field.base64(&STANDARD.encode(signature));
        out.extend_from_slice(field.text.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    Ok(out)
}

/// Which fields are signed.
struct Chosen {
    /// The names for `h=`.
    names: Vec<String>,
    /// The fields in their canonical form, in the order of the names.
    canonical: Vec<u8>,
}

impl Chosen {
    fn of(head: &[u8]) -> Result<Self, NotSigned> {
        // Where the fields of each name stand: the fixed names first, then those with the prefix as they appear.
        let fixed = OVERSIGNED.iter().chain(&SIGNED);
        let mut places: Vec<(String, Vec<crate::mail::header::Field>)> =
            fixed.map(|name| ((*name).to_owned(), Vec::new())).collect();
        for field in Fields::new(head) {
            let name = &head[field.name.clone()];
            if let Some((_, found)) = places.iter_mut().find(|(known, _)| name.eq_ignore_ascii_case(known.as_bytes())) {
                found.push(field);
            } else if is_prefixed(name) && places.len() < OVERSIGNED.len() + SIGNED.len() + PREFIXED_MAX {
                places.push((String::from_utf8_lossy(name).to_ascii_lowercase(), vec![field]));
            }
        }
        match places.first().map_or(0, |(_, found)| found.len()) {
            0 => return Err(NotSigned::NoFrom),
            1 => {}
            _ => return Err(NotSigned::SeveralFrom),
        }
        let mut chosen = Chosen { names: Vec::new(), canonical: Vec::with_capacity(2048) };
        for (n, (name, found)) in places.into_iter().enumerate() {
            // From the lowest up, as verifiers take them (RFC 6376 §5.4.2).
            for field in found.iter().rev().take(SAME_NAME_MAX) {
                let (value, whole) = (&head[field.value.clone()], &head[field.whole.clone()]);
                canon::add_field(&mut chosen.canonical, Mode::Relaxed, name.as_bytes(), value, whole);
                chosen.names.push(name.clone());
            }
            if n < OVERSIGNED.len() && found.len() <= SAME_NAME_MAX {
                chosen.names.push(name);
            }
        }
        Ok(chosen)
    }
}

fn is_prefixed(name: &[u8]) -> bool {
    name.len() <= NAME_MAX
        && name.get(..SIGNED_PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(SIGNED_PREFIX))
        && name.iter().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.'))
}

/// A domain or selector with A-labels, in small letters.
pub(super) fn a_labels(name: &str) -> Result<String, NotSigned> {
    let plain = idna::domain_to_ascii(name.trim_end_matches('.')).ok();
    let is_name = |name: &String| {
        !name.is_empty()
            && name.len() <= 253
            && name.split('.').all(|label| {
                (1..=63).contains(&label.len())
                    && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
            })
    };
    plain.filter(is_name).ok_or_else(|| NotSigned::Crypto(format!("{name} is not a domain name")))
}

/// A field that is folded where it grows too wide.
struct Folded {
    text: String,
    column: usize,
}

impl Folded {
    fn new(name: &str) -> Self {
        Folded { text: name.to_owned(), column: name.len() }
    }

    /// A word behind a blank, on a new line where the last has no room.
    fn word(&mut self, word: &str) {
        if self.column + 1 + word.len() > COLUMNS_MAX {
            self.fold();
        } else {
            self.text.push(' ');
            self.column += 1;
        }
        self.add(word);
    }

    /// A tag with a list that may be folded behind its colons.
    fn list(&mut self, tag: &str, names: &[String]) {
        for (n, name) in names.iter().enumerate() {
            let end = if n + 1 == names.len() { ';' } else { ':' };
            if n == 0 {
                self.word(&format!("{tag}{name}{end}"));
                continue;
            }
            if self.column + name.len() + 1 > COLUMNS_MAX {
                self.fold();
            }
            self.add(name);
            self.text.push(end);
            self.column += 1;
        }
    }

    /// Base64, folded anywhere, directly behind what stands there.
    fn base64(&mut self, base64: &str) {
        let mut rest = base64;
        while !rest.is_empty() {
            if self.column >= COLUMNS_MAX {
                self.fold();
            }
            let (line, more) = rest.split_at(rest.len().min(COLUMNS_MAX - self.column));
            self.add(line);
            rest = more;
        }
    }

    fn fold(&mut self) {
        self.text.push_str("\r\n ");
        self.column = 1;
    }

    fn add(&mut self, text: &str) {
        self.text.push_str(text);
        self.column += text.len();
    }
}

#[cfg(test)]
#[path = "sign_tests.rs"]
mod tests;
