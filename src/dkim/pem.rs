//! Finding a private key in a PEM file, and saying what is there instead.
//!
//! In: a file's octets.  Out: the DER and its kind, or a [`KeyFault`] that says what to do.
//! Always: the first private key counts, whatever stands around it (certificates, `EC PARAMETERS`, text); input is bounded.
//! Sources: RFC 7468, RFC 1421 §4.6 (encapsulated headers), RFC 5958, RFC 8017 §A.1.2.

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use super::key::KeyFault;

/// Octets of a key file. A key of 8,192 bits takes 6.5 KiB; certificates may stand beside it.
pub(super) const FILE_OCTETS_MAX: usize = 64 * 1024;

/// Base64 of PEM and of key records, whose padding some programs leave out.
pub(super) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a private key's octets are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// `PRIVATE KEY`.
    Pkcs8,
    /// `RSA PRIVATE KEY`.
    Pkcs1,
}

/// The first private key of a file.
pub(super) fn private_key(file: &[u8]) -> Result<(Kind, Vec<u8>), KeyFault> {
    if file.len() > FILE_OCTETS_MAX {
        return Err(KeyFault::NoPem);
    }
    let text = String::from_utf8_lossy(file);
    let mut rest = text.as_ref();
    let mut other = None;
    while let Some(at) = rest.find(BEGIN) {
        rest = &rest[at + BEGIN.len()..];
        let Some((label, after)) = rest.split_once("-----") else { break };
        let end = format!("-----END {label}-----");
        let Some((inside, after)) = after.split_once(end.as_str()) else {
            return Err(KeyFault::Cut(clean(label)));
        };
        rest = after;
        let kind = match label {
            "PRIVATE KEY" => Kind::Pkcs8,
            "RSA PRIVATE KEY" => Kind::Pkcs1,
            "ENCRYPTED PRIVATE KEY" => return Err(KeyFault::Encrypted),
            label => {
                other.get_or_insert_with(|| clean(label));
                continue;
            }
        };
        // The old way to encrypt: `Proc-Type: 4,ENCRYPTED` above the base64.
        if inside.contains("ENCRYPTED") {
            return Err(KeyFault::Encrypted);
        }
        let base64: String = inside.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        let der = BASE64.decode(base64).map_err(|_| KeyFault::NotBase64(clean(label)))?;
        return Ok((kind, der));
    }
    Err(other.map_or(KeyFault::NoPem, KeyFault::Other))
}

const BEGIN: &str = "-----BEGIN ";

/// A label as an error may show it.
fn clean(label: &str) -> String {
    label.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(40).collect()
}
