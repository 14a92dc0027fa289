//! What the DKIM signatures of a message that came in are worth.
//!
//! In: header and body as they came, the DNS, the time.  Out: [`Verified`], one for each signature looked at, in their order.
//! Always: a handful of signatures, names and keys at most, whatever the message says; nothing of it is echoed unless it is a
//! domain name; a pass means that all of the body and the From are signed by the domain with a key that is good today.
//! Sources: RFC 6376 §3.5 and §6.1, RFC 8301 (no SHA-1, 1,024 bits at least), RFC 8463, RFC 8601 §2.7.1 (the results' words),
//! RFC 8616 §4.

use std::{borrow::Cow, collections::HashMap};

use aws_lc_rs::digest::{Digest, SHA256, digest};
use base64::Engine;

use super::{
    canon::{self, BodyCanon, Mode},
    pem::BASE64,
    public::{Algorithm, PublicKey, RSA_BITS_MIN},
    record::{self, KeyRecord},
    sign::a_labels,
    tags::{Tags, parts, without_blanks},
};
use crate::{
    clock::Timestamp,
    lookup::{DnsError, Lookup},
    mail::header::{Field, Fields, HEADER_BYTES_MAX},
};

/// Signatures of one message that are looked at, the topmost.
pub const SIGNATURES_MAX: usize = 5;
/// TXT records of one name that are tried; the standard knows one.
const RECORDS_MAX: usize = 3;
/// Names in `h=`.
const NAMES_MAX: usize = 512;
/// Octets of a signature field.
const FIELD_OCTETS_MAX: usize = 16 * 1024;

/// What a signature is worth, in the words of RFC 8601 §2.7.1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DkimResult {
    /// It holds, for all of the body.
    Pass,
    /// It does not.
    Fail,
    /// It cannot be read.
    Neutral,
    /// It holds or may hold, but not in a way that counts: too weak, too old, or only for a part.
    Policy,
    /// The key cannot be had now.
    TempError,
    /// There is no key, or none that fits.
    PermError,
}

impl DkimResult {
    /// The word of Authentication-Results.
    pub fn word(self) -> &'static str {
        match self {
            DkimResult::Pass => "pass",
            DkimResult::Fail => "fail",
            DkimResult::Neutral => "neutral",
            DkimResult::Policy => "policy",
            DkimResult::TempError => "temperror",
            DkimResult::PermError => "permerror",
        }
    }
}

/// One signature, looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verified {
    /// `d=`, as A-labels in small letters; empty when it names no domain.
    pub domain: String,
    /// `s=`, likewise.
    pub selector: String,
    /// What it is worth.
    pub result: DkimResult,
    /// Why it is no pass; empty when it is one.
    pub why: String,
    /// Bits of the key; 0 when none was found.
    pub bits: usize,
    /// The domain says that it is testing: a failure is worth what no signature is.
    pub testing: bool,
}

/// Why a signature is no pass.
struct Not(DkimResult, Cow<'static, str>);

fn not<T>(result: DkimResult, why: impl Into<Cow<'static, str>>) -> Result<T, Not> {
    Err(Not(result, why.into()))
}

/// Verifies the signatures of a message. `head` may end with the empty line or before it; `body` is what follows it. An empty
/// list: there is no signature.
pub async fn verify(head: &[u8], body: &[u8], dns: &dyn Lookup, now: Timestamp) -> Vec<Verified> {
    let head = &head[..head.len().min(HEADER_BYTES_MAX)];
    let header = Header::of(head);
    let mut bodies = Bodies { body, known: Vec::new() };
    let mut found = Vec::new();
    for field in header.signatures.iter().take(SIGNATURES_MAX) {
        let mut verified = Verified {
            domain: String::new(),
            selector: String::new(),
            result: DkimResult::Pass,
            why: String::new(),
            bits: 0,
            testing: false,
        };
        if let Err(Not(result, why)) = look_at(&header, field, &mut bodies, dns, now, &mut verified).await {
            (verified.result, verified.why) = (result, why.into_owned());
        }
        found.push(verified);
    }
    found
}

async fn look_at(
    header: &Header<'_>,
    field: &Field,
    bodies: &mut Bodies<'_>,
    dns: &dyn Lookup,
    now: Timestamp,
    verified: &mut Verified,
) -> Result<(), Not> {
    let value = &header.head[field.value.clone()];
    if value.len() > FIELD_OCTETS_MAX {
        return not(DkimResult::Neutral, "the signature is too long");
    }
    let Ok(text) = std::str::from_utf8(value) else {
        return not(DkimResult::Neutral, "the signature is not text");
    };
    let signature = Signature::parse(text, verified)?;
    if signature.expires.is_some_and(|at| at < now.as_seconds()) {
        return not(DkimResult::Policy, "the signature has expired");
    }
    let key = key(&signature, dns, verified).await?;
    verified.bits = key.bits();
    if key.algorithm() == Algorithm::RsaSha256 && key.bits() < RSA_BITS_MIN {
        return not(DkimResult::Policy, format!("the key has {} bits, fewer than 1024", key.bits()));
    }

    let (hash, octets) = bodies.hash(signature.body_mode, signature.length);
    if signature.length.is_some_and(|length| length > octets) {
        return not(DkimResult::Fail, "the body is shorter than what was signed");
    }
    if hash != signature.body_hash {
        return not(DkimResult::Fail, "the body is not what was signed");
    }
    let digest = header.digest(signature.header_mode, &signature.names, field);
    if !key.verifies(&digest, &signature.signature) {
        return not(DkimResult::Fail, "the header is not what was signed, or another key signed it");
    }
    match signature.length {
        Some(length) if length < octets => {
            not(DkimResult::Policy, format!("only {length} octets of the body are signed (l=)"))
        }
        Some(_) | None => Ok(()),
    }
}

/// A DKIM-Signature, read.
struct Signature {
    algorithm: Algorithm,
    signature: Vec<u8>,
    body_hash: Vec<u8>,
    header_mode: Mode,
    body_mode: Mode,
    /// `h=`, in small letters.
    names: Vec<String>,
    length: Option<u64>,
    expires: Option<u64>,
    /// The domain of `i=` is that of `d=`, and not below it.
    identity_is_domain: bool,
}

impl Signature {
    /// Reads the tags; the names go to `verified` as soon as they are known to be names.
    fn parse(text: &str, verified: &mut Verified) -> Result<Self, Not> {
        let tags = match Tags::parse(text) {
            Ok(tags) => tags,
            Err(fault) => return not(DkimResult::Neutral, format!("the signature cannot be read: {fault}")),
        };
        let needed = |name: &'static str| match tags.get(name) {
            Some(value) => Ok(value),
            None => not(DkimResult::Neutral, format!("the signature lacks {name}=")),
        };
        let named = |name: &'static str| match a_labels(needed(name)?) {
            Ok(plain) => Ok(plain),
            Err(_) => not(DkimResult::Neutral, format!("the signature's {name}= is no name")),
        };
        verified.domain = named("d")?;
        verified.selector = named("s")?;
        if needed("v")? != "1" {
            return not(DkimResult::Neutral, "the signature's version is unknown");
        }
        let algorithm = match needed("a")? {
            "rsa-sha256" => Algorithm::RsaSha256,
            "ed25519-sha256" => Algorithm::Ed25519Sha256,
            "rsa-sha1" => return not(DkimResult::Policy, "rsa-sha1 counts no more (RFC 8301)"),
            _ => return not(DkimResult::Neutral, "the signature's algorithm is unknown"),
        };
        let base64 = |name: &'static str| match BASE64.decode(without_blanks(needed(name)?)) {
            Ok(octets) if !octets.is_empty() => Ok(octets),
            Ok(_) | Err(_) => not(DkimResult::Neutral, format!("the signature's {name}= is not base64")),
        };
        let (signature, body_hash) = (base64("b")?, base64("bh")?);
        let modes = tags.get("c").unwrap_or("simple/simple");
        let (for_header, for_body) = modes.split_once('/').unwrap_or((modes, "simple"));
        let (Some(header_mode), Some(body_mode)) = (Mode::from_word(for_header), Mode::from_word(for_body)) else {
            return not(DkimResult::Neutral, "the signature's canonicalization is unknown");
        };
        if tags.get("q").is_some_and(|ways| !parts(ways).any(|way| way == "dns/txt")) {
            return not(DkimResult::Neutral, "the signature's key is not in the DNS");
        }
        let names: Vec<String> = parts(needed("h")?).take(NAMES_MAX + 1).map(str::to_ascii_lowercase).collect();
        if names.len() > NAMES_MAX {
            return not(DkimResult::Neutral, "the signature names too many fields");
        }
        if !names.iter().any(|name| name == "from") {
            return not(DkimResult::PermError, "the signature does not cover From");
        }
        let number = |name: &'static str| match tags.get(name) {
            // Up to 76 digits are allowed; what does not fit here is as good as without end.
            Some(digits) if !digits.is_empty() && digits.len() <= 76 && digits.bytes().all(|b| b.is_ascii_digit()) => {
                Ok(Some(digits.parse().unwrap_or(u64::MAX)))
            }
            Some(_) => not(DkimResult::Neutral, format!("the signature's {name}= is no number")),
            None => Ok(None),
        };
        let (length, signed_at, expires) = (number("l")?, number("t")?, number("x")?);
        if let (Some(signed_at), Some(expires)) = (signed_at, expires)
            && expires <= signed_at
        {
            return not(DkimResult::Neutral, "the signature expires before it was made");
        }
        let identity_is_domain = match tags.get("i") {
            Some(identity) => {
                let domain = identity.rsplit_once('@').map(|(_, domain)| a_labels(&without_blanks(domain)));
                let Some(Ok(domain)) = domain else {
                    return not(DkimResult::Neutral, "the signature's i= is no address");
                };
                let is_below = domain.strip_suffix(&verified.domain).is_some_and(|rest| rest.ends_with('.'));
                if domain != verified.domain && !is_below {
                    return not(DkimResult::PermError, "the signature's i= is not of its d=");
                }
                !is_below
            }
            None => true,
        };
        Ok(Signature {
            algorithm,
            signature,
            body_hash,
            header_mode,
            body_mode,
            names,
            length,
            expires,
            identity_is_domain,
        })
    }
}

/// The key of a signature.
async fn key(signature: &Signature, dns: &dyn Lookup, verified: &mut Verified) -> Result<PublicKey, Not> {
    let name = record::name(&verified.selector, &verified.domain);
    let records = match dns.txt(&name).await.records {
        Ok(records) => records,
        Err(DnsError::NxDomain | DnsError::NoData) => return not(DkimResult::PermError, "there is no key in the DNS"),
        Err(DnsError::BadName) => return not(DkimResult::Neutral, "the key's name is no name"),
        Err(e @ (DnsError::Servfail(_) | DnsError::Timeout(_))) => {
            return not(DkimResult::TempError, format!("the key cannot be had now: {e}"));
        }
    };
    // More than one record is undefined; the first that serves is taken, and the first fault is told.
    let mut fault = None;
    for text in records.iter().take(RECORDS_MAX) {
        match fitting(signature, text, verified) {
            Ok(key) => return Ok(key),
            Err(why) => {
                fault.get_or_insert(why);
            }
        }
    }
    Err(fault.unwrap_or(Not(DkimResult::PermError, "there is no key in the DNS".into())))
}

fn fitting(signature: &Signature, text: &str, verified: &mut Verified) -> Result<PublicKey, Not> {
    let record = match KeyRecord::parse(text) {
        Ok(record) => record,
        Err(fault) => return not(DkimResult::PermError, format!("the key is not usable: {fault}")),
    };
    verified.testing |= record.testing;
    let Some(key) = &record.key else { return not(DkimResult::PermError, "the key was revoked") };
    if key.algorithm() != signature.algorithm || !record.takes_hash("sha256") {
        return not(DkimResult::PermError, "the key is for another algorithm");
    }
    if !record.is_for_mail() {
        return not(DkimResult::PermError, "the key is not for mail");
    }
    if record.strict && !signature.identity_is_domain {
        return not(DkimResult::PermError, "the key does not sign for domains below its own (t=s)");
    }
    Ok(key.clone())
}

/// A header, its fields found by name.
struct Header<'a> {
    head: &'a [u8],
    by_name: HashMap<Vec<u8>, Vec<Field>>,
    signatures: Vec<Field>,
}

impl<'a> Header<'a> {
    fn of(head: &'a [u8]) -> Self {
        let mut header = Header { head, by_name: HashMap::new(), signatures: Vec::new() };
        let is_signature = |field: &Field| head[field.name.clone()].eq_ignore_ascii_case(b"DKIM-Signature");
        // Without a signature, which is most often, nothing needs to be found.
        header.signatures = Fields::new(head).filter(is_signature).take(SIGNATURES_MAX).collect();
        if !header.signatures.is_empty() {
            for field in Fields::new(head) {
                header.by_name.entry(head[field.name.clone()].to_ascii_lowercase()).or_default().push(field);
            }
        }
        header
    }

    /// The hash that a signature is made of: what `h=` names, and the signature's own field.
    fn digest(&self, mode: Mode, names: &[String], field: &Field) -> Digest {
        let mut signed = Vec::with_capacity(4096);
        self.add_signed(&mut signed, mode, names);
        self.add_itself(&mut signed, mode, field);
        digest(&SHA256, &signed)
    }

    /// The fields that `h=` names, each name the next one from below; a name without a field is nothing.
    fn add_signed(&self, out: &mut Vec<u8>, mode: Mode, names: &[String]) {
        let mut used: HashMap<&str, usize> = HashMap::new();
        for name in names {
            let used = used.entry(name).or_default();
            let field = self.by_name.get(name.as_bytes()).and_then(|found| found.iter().rev().nth(*used));
            if let Some(field) = field {
                *used += 1;
                self.add(out, mode, field);
            }
        }
    }

    fn add(&self, out: &mut Vec<u8>, mode: Mode, field: &Field) {
        let part = |range: &std::ops::Range<usize>| &self.head[range.clone()];
        canon::add_field(out, mode, part(&field.name), part(&field.value), part(&field.whole));
    }

    /// The signature's own field, its `b=` empty, without a line's end.
    fn add_itself(&self, out: &mut Vec<u8>, mode: Mode, field: &Field) {
        let whole = &self.head[field.whole.clone()];
        let value_at = field.value.start - field.whole.start;
        let value_end = field.value.end - field.whole.start;
        let (before, value) = (&whole[..value_at], &whole[value_at..value_end]);
        let mut emptied = before.to_vec();
        for (n, spec) in value.split(|octet| *octet == b';').enumerate() {
            if n > 0 {
                emptied.push(b';');
            }
            match spec.iter().position(|octet| *octet == b'=') {
                Some(equals) if spec[..equals].trim_ascii() == b"b" => emptied.extend_from_slice(&spec[..=equals]),
                Some(_) | None => emptied.extend_from_slice(spec),
            }
        }
        canon::add_field(out, mode, &self.head[field.name.clone()], &emptied[value_at..], &emptied);
        out.truncate(out.len() - b"\r\n".len());
    }
}

/// Hashes of the body, each made once.
struct Bodies<'a> {
    body: &'a [u8],
    known: Vec<Hashed>,
}

struct Hashed {
    mode: Mode,
    length: Option<u64>,
    hash: Vec<u8>,
    octets: u64,
}

impl Bodies<'_> {
    fn hash(&mut self, mode: Mode, length: Option<u64>) -> (Vec<u8>, u64) {
        if let Some(known) = self.known.iter().find(|known| known.mode == mode && known.length == length) {
            return (known.hash.clone(), known.octets);
        }
        let mut canon = BodyCanon::new(mode, length);
        canon.update(self.body);
        let (digest, octets) = canon.finish();
        let hash = digest.as_ref().to_vec();
        self.known.push(Hashed { mode, length, hash: hash.clone(), octets });
        (hash, octets)
    }
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
