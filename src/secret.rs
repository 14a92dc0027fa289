//! Values that must never be printed, and comparison that does not tell by its duration.

use std::fmt;

/// A value that Debug shows as `(hidden)`; it has no Display.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Hides a value.
    pub fn new(value: T) -> Self {
        Secret(value)
    }

    /// The value itself; the caller keeps it out of logs and answers.
    pub fn reveal(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// Letters of a [`token`].
pub const TOKEN_LEN: usize = 43;

/// 256 random bits as letters, digits, `-` and `_`: what opens a session, a link, a form. `None`: the system has no randomness.
pub fn token() -> Option<Secret<String>> {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let mut octets = [0u8; 32];
    aws_lc_rs::rand::fill(&mut octets).ok()?;
    Some(Secret(URL_SAFE_NO_PAD.encode(octets)))
}

/// What a signing key in a config begins with when the rest is base64 (Standard Webhooks).
const SIGNING_KEY_PREFIX: &str = "whsec_";

/// The octets of a key that signs what we post: `whsec_` with the base64 of 16 to 64 octets, or 16 to 200 letters as they are.
/// `None`: it is neither.
pub fn signing_key(text: &str) -> Option<Secret<Vec<u8>>> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let (octets, most) = match text.strip_prefix(SIGNING_KEY_PREFIX) {
        Some(base64) => (STANDARD.decode(base64).ok()?, 64),
        None => (text.as_bytes().to_vec(), 200),
    };
    (16..=most).contains(&octets.len()).then_some(Secret(octets))
}

/// Compares in a time that depends on the lengths alone.
pub fn equal_in_constant_time(a: &[u8], b: &[u8]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(a, b).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_have_their_length_and_never_come_twice() {
        let tokens: std::collections::BTreeSet<String> =
            (0..100).map(|_| token().expect("randomness").reveal().clone()).collect();
        assert_eq!(tokens.len(), 100);
        let fits = |text: &String| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        assert!(tokens.iter().all(|text| text.len() == TOKEN_LEN && fits(text)));
    }

    #[test]
    fn signing_keys_are_base64_or_letters() {
        let octets = |text: &str| signing_key(text).map(|key| key.reveal().len());
        for (text, expected) in [
            ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", Some(24)),
            ("whsec_", None),
            ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS!", None),
            ("whsec_AAAA", None),
            ("sixteen-letters!", Some(16)),
            ("too-short", None),
        ] {
            assert_eq!(octets(text), expected, "{text}");
        }
        assert_eq!(octets(&"a".repeat(201)), None);
    }
}
