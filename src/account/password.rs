//! Keys and their hashes: argon2id, generated keys, and which given keys are too weak.
//!
//! In: keys.  Out: PHC strings, verdicts.
//! Always: hashing takes 19 MiB and some 50 ms: call it off the executor; a key leaves here only once, when it is made.
//! Sources: RFC 9106; OWASP's password storage advice (19 MiB, two passes, one lane).

use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};

use super::words::Said;
use crate::secret::Secret;

/// Memory of one hash, in KiB.
const MEMORY_KIB: u32 = 19_456;
/// Passes over it.
const PASSES: u32 = 2;
/// Lanes: one, because verifications are bounded in number instead.
const LANES: u32 = 1;
/// Letters of a generated key: 5 bits each, 160 bits.
const GENERATED_LEN: usize = 32;
/// Letters of a given key at least.
pub(super) const GIVEN_LEN_MIN: usize = 12;
/// Letters of a key that comes from CMC at least.
const IMPORTED_LEN_MIN: usize = 8;
/// Octets of any key at most: what AUTH and hashing must bear.
pub(super) const KEY_LEN_MAX: usize = 1024;
/// Different letters in a given key at least: `aaaaaaaaaaaa` is long, too.
const GIVEN_LETTERS_MIN: usize = 6;
/// Letters of a generated key: digits and lower case without i, l, o, u, which are mistaken for others.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// What weak keys are made of; a key that is little else is refused.
const COMMON: [&str; 12] = [
    "password", "passw0rd", "hikyaku", "secret", "letmein", "welcome", "qwerty", "changeme", "admin", "123456",
    "abcdef", "example",
];
/// Letters that a key needs beside common words.
const BESIDE_COMMON_MIN: usize = 8;

/// The system gave no randomness, or no memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the key cannot be hashed: the system has no randomness or no memory left")]
pub(super) struct HashError;

fn hasher() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).expect("the constants are within argon2's bounds");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// Hashes a key with a fresh salt. Blocking, tens of milliseconds.
pub(super) fn hash(key: &Secret<String>) -> Result<Secret<String>, HashError> {
    let hash = hasher().hash_password(key.reveal().as_bytes()).map_err(|_| HashError)?;
    Ok(Secret::new(hash.to_string()))
}

/// Compares a key with a hash; a hash that cannot be read fits no key. Blocking, tens of milliseconds.
pub(super) fn fits(key: &Secret<String>, hash: &Secret<String>) -> bool {
    hasher().verify_password(key.reveal().as_bytes(), hash.reveal().as_str()).is_ok()
}

/// What the password of an unknown name is compared with: random octets that nobody knows a password for, at the same price.
pub(super) fn nobody() -> Secret<String> {
    Secret::new(
        "$argon2id$v=19$m=19456,t=2,p=1$kM2LqIr9VWlzVmhi/eHENQ$QInrdp+4GYsGjJJ21JH8PcWChuF2YTGUrzP2ZteVcEw".into(),
    )
}

/// What is wrong with a key that a customer of CMC brings along: its rule is 8 characters with letters and digits.
pub(super) fn import_weakness(key: &Secret<String>, name: &str) -> Option<Said> {
    let text = key.reveal();
    if let Some(words) = unusable(text) {
        return Some(words);
    }
    let has = |what: fn(&char) -> bool| text.chars().any(|c| what(&c));
    if text.chars().count() < IMPORTED_LEN_MIN || !has(char::is_ascii_alphabetic) || !has(char::is_ascii_digit) {
        return Some(Said::new(
            format!("an imported key has at least {IMPORTED_LEN_MIN} characters, with letters and digits"),
            format!("移行したキーは {IMPORTED_LEN_MIN} 文字以上で、英字と数字を含む必要があります。"),
        ));
    }
    text.eq_ignore_ascii_case(name)
        .then(|| Said::new("the key is the account's name", "キーがアカウント名と同じです。"))
}

/// Makes a key of 160 random bits.
pub(super) fn generate() -> Result<Secret<String>, HashError> {
    let mut random = [0u8; GENERATED_LEN];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| HashError)?;
    // 32 divides 256: each letter is equally likely.
    Ok(Secret::new(random.iter().map(|byte| char::from(ALPHABET[usize::from(byte & 31)])).collect()))
}

/// What no key may be.
fn unusable(key: &str) -> Option<Said> {
    if key.len() > KEY_LEN_MAX {
        return Some(Said::new(
            format!("the key is longer than {KEY_LEN_MAX} bytes"),
            format!("{KEY_LEN_MAX} バイトより長いものは使えません。"),
        ));
    }
    if key.chars().any(char::is_control) {
        return Some(Said::new(
            "the key has a control character; keep it on one line",
            "制御文字が含まれています。1行で入力してください。",
        ));
    }
    (key.trim() != key)
        .then(|| Said::new("the key begins or ends with a blank; programs lose it", "先頭または末尾に空白があります。"))
}

/// What is wrong with a key that somebody chose for the account `name`; `None`: it will do.
pub(super) fn weakness(key: &Secret<String>, name: &str) -> Option<Said> {
    let key = key.reveal();
    if let Some(words) = unusable(key) {
        return Some(words);
    }
    let letters = key.chars().count();
    if letters < GIVEN_LEN_MIN {
        return Some(Said::new(
            format!("the key has {letters} characters; at least {GIVEN_LEN_MIN} are needed"),
            format!("{letters} 文字しかありません。{GIVEN_LEN_MIN} 文字以上にしてください。"),
        ));
    }
    let mut different: Vec<char> = key.chars().collect();
    different.sort_unstable();
    different.dedup();
    if different.len() < GIVEN_LETTERS_MIN {
        return Some(Said::new(
            format!("the key has only {} different characters", different.len()),
            format!("使われている文字が {} 種類しかありません。", different.len()),
        ));
    }
    let mut rest = key.to_lowercase();
    let local = name.split('@').next().unwrap_or(name).to_lowercase();
    for word in COMMON.iter().copied().chain([local.as_str()]).filter(|word| word.len() > 3) {
        rest = rest.replace(word, "");
    }
    (rest.chars().count() < BESIDE_COMMON_MIN).then(|| {
        Said::new(
            "the key is made of the account's name or of common words",
            "アカウント名や、よくある言葉だけでできています。",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.into())
    }

    #[test]
    fn a_hash_is_argon2id_at_19_mib_and_fits_its_key_alone() {
        let key = generate().unwrap();
        let stored = hash(&key).unwrap();
        assert!(stored.reveal().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", stored.reveal());
        assert!(fits(&key, &stored));
        assert!(!fits(&secret("another"), &stored));
        assert!(!fits(&key, &secret("")) && !fits(&key, &secret("$argon2id$")));
        assert_ne!(hash(&key).unwrap(), stored, "each hash has its own salt");
    }

    #[test]
    fn what_unknown_names_are_compared_with_costs_the_same_and_fits_nothing() {
        use argon2::password_hash::{Error, phc::PasswordHash};
        let nobody = nobody();
        let parsed = PasswordHash::new(nobody.reveal()).unwrap();
        assert_eq!(hasher().verify_password(b"any", &parsed), Err(Error::PasswordInvalid));
        assert!(nobody.reveal().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert_eq!(nobody.reveal().len(), hash(&secret("any")).unwrap().reveal().len());
    }

    #[test]
    fn a_key_that_comes_from_cmc_has_eight_letters_with_letters_and_digits() {
        for (key, fits) in [
            ("abcd1234", true),
            ("A1!$%&/(", true),
            ("abc1234", false),
            ("abcdefgh", false),
            ("12345678", false),
            ("abcd1234 ", false),
            ("abcd\n1234", false),
            ("Shop2026", false),
        ] {
            assert_eq!(import_weakness(&secret(key), "shop2026").is_none(), fits, "{key}");
        }
    }

    #[test]
    fn generated_keys_are_long_and_strong() {
        let (a, b) = (generate().unwrap(), generate().unwrap());
        assert_eq!(a.reveal().len(), 32);
        assert_ne!(a, b);
        assert_eq!(weakness(&a, "shop"), None);
    }

    #[test]
    fn weak_keys_are_refused_with_words() {
        for (key, words) in [
            ("short", "at least 12"),
            ("aaaaaaaaaaaaaaaa", "different"),
            ("password12345678", "common"),
            ("Shop-system-key", "common"),
            ("twelve\nletters long", "one line"),
            (" leading blank here", "blank"),
            (&"xy12".repeat(300), "longer"),
        ] {
            let told = weakness(&secret(key), "shop-system@example.jp").unwrap().to_string();
            assert!(told.contains(words), "{key}: {told}");
        }
        assert_eq!(weakness(&secret("correct horse battery"), "shop"), None);
    }
}
