//! The secret part of a link: who leaves which list, for our eyes alone.
//!
//! In: an address and a list, a key, a nonce.  Out: letters for a URL, and back.
//! Always: nobody else can read a token, make one, or change one; one that was forged, cut, or sealed with a key that is gone
//! is refused like any other; a token is bounded in length, whatever comes in.
//! Sources: RFC 8058 §3.1 (opaque, and hard to forge); RFC 5116 §5.2 (AES-256-GCM); RFC 4648 §5.
//!
//! ```text
//! base64url( form 1 | epoch 1 | nonce 12 | sealed( address 00 list ) | tag 16 )
//! ```
//!
//! Form and epoch are authenticated, too. With random nonces of 96 bits a key may seal 2³² tokens (NIST SP 800-38D §8.3): a
//! million mails a day for eleven years; epochs change long before.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::smtp::address::{ADDRESS_OCTETS_MAX, Mailbox};

/// For what the keys of tokens are derived: no other part of Hikyaku may use this word.
pub const PURPOSE: &str = "unsubscribe";
/// Octets of a list's name at most: fifty letters of four octets.
pub const LIST_OCTETS_MAX: usize = 200;
/// Letters of a token at most.
pub const TOKEN_MAX: usize = (FRAME + ADDRESS_OCTETS_MAX + 1 + LIST_OCTETS_MAX).div_ceil(3) * 4;

/// The form of what is sealed.
const FORM: u8 = 1;
/// Form and epoch.
const HEAD: usize = 2;
/// Octets of the tag.
const TAG: usize = 16;
/// Octets besides the text.
const FRAME: usize = HEAD + NONCE_LEN + TAG;

/// Octets of a nonce; each token has a random one.
pub const NONCE_OCTETS: usize = NONCE_LEN;

/// Who leaves what.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Leaving {
    /// The recipient.
    pub address: Mailbox,
    /// The list.
    pub list: String,
}

/// Seals a token with the key of an epoch; `nonce` is random and never used again. `None`: the list has no name, or one that
/// is too long.
pub fn seal(epoch: u8, key: &[u8; 32], nonce: [u8; NONCE_OCTETS], address: &Mailbox, list: &str) -> Option<String> {
    if list.is_empty() || list.len() > LIST_OCTETS_MAX {
        return None;
    }
    let mut token = Vec::with_capacity(FRAME + address.as_str().len() + 1 + list.len());
    token.extend_from_slice(&[FORM, epoch]);
    token.extend_from_slice(&nonce);
    let start = token.len();
    token.extend_from_slice(address.as_str().as_bytes());
    token.push(0);
    token.extend_from_slice(list.as_bytes());
    let aad = Aad::from([FORM, epoch]);
    let nonce = Nonce::assume_unique_for_key(nonce);
    let tag = of(key)?.seal_in_place_separate_tag(nonce, aad, &mut token[start..]).ok()?;
    token.extend_from_slice(tag.as_ref());
    Some(URL_SAFE_NO_PAD.encode(token))
}

/// Opens a token; `keys` gives the key of an epoch, as long as there is one.
pub fn open(token: &str, keys: impl FnOnce(u8) -> Option<[u8; 32]>) -> Option<Leaving> {
    if token.len() > TOKEN_MAX {
        return None;
    }
    let mut octets = URL_SAFE_NO_PAD.decode(token).ok()?;
    let (head, rest) = octets.split_at_mut_checked(HEAD)?;
    let [FORM, epoch] = *head else { return None };
    let (nonce, sealed) = rest.split_at_mut_checked(NONCE_LEN)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let text = of(&keys(epoch)?)?.open_in_place(nonce, Aad::from([FORM, epoch]), sealed).ok()?;
    let (address, list) = std::str::from_utf8(text).ok()?.split_once('\0')?;
    Some(Leaving { address: Mailbox::parse(address).ok()?, list: list.to_owned() })
}

/// The cipher with a key; keys of 32 octets always fit.
fn of(key: &[u8; 32]) -> Option<LessSafeKey> {
    Some(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: [u8; 32] = [7; 32];

    fn keys(epoch: u8) -> Option<[u8; 32]> {
        (epoch == 3).then_some(KEY)
    }

    fn mailbox(text: &str) -> Mailbox {
        Mailbox::parse(text).unwrap()
    }

    fn sealed(address: &str, list: &str, nonce: u8) -> String {
        seal(3, &KEY, [nonce; 12], &mailbox(address), list).unwrap()
    }

    #[test]
    fn what_was_sealed_comes_back_and_cannot_be_read() {
        for (address, list) in [
            ("taro@example.jp", "newsletter A"),
            ("\"a b\"@example.jp", "お知らせ"),
            ("用戸@例え.jp", "x"),
            (&format!("{}@{}.example", "a".repeat(64), "b".repeat(60)), &"飛".repeat(50)),
        ] {
            let token = sealed(address, list, 1);
            let expected = Leaving { address: mailbox(address), list: list.into() };
            assert_eq!(open(&token, keys), Some(expected));
            assert!(token.len() <= TOKEN_MAX && token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)));
            let octets = URL_SAFE_NO_PAD.decode(&token).unwrap();
            assert!(!octets.windows(4).any(|w| address.as_bytes().windows(4).any(|a| a == w)));
            assert_ne!(token, sealed(address, list, 2), "two mails to one recipient have different links");
        }
        assert_eq!(seal(3, &KEY, [1; 12], &mailbox("a@b.example"), ""), None);
        assert_eq!(seal(3, &KEY, [1; 12], &mailbox("a@b.example"), &"x".repeat(201)), None);
    }

    #[test]
    fn forged_cut_and_outdated_tokens_are_refused_alike() {
        let token = sealed("taro@example.jp", "news", 1);
        let other = seal(3, &[8; 32], [1; 12], &mailbox("taro@example.jp"), "news").unwrap();
        let gone = seal(4, &KEY, [1; 12], &mailbox("taro@example.jp"), "news").unwrap();
        for bad in [
            other,
            gone,
            String::new(),
            "A".into(),
            "AQM".into(),
            format!("{token}A"),
            format!("{token}="),
            "A".repeat(TOKEN_MAX),
            "A".repeat(100_000),
            token.replace(|c: char| c.is_ascii_lowercase(), "."),
            format!(" {token}"),
        ] {
            assert_eq!(open(&bad, keys), None, "{bad}");
        }
        for cut in 0..token.len() {
            assert_eq!(open(&token[..cut], keys), None, "cut to {cut}");
        }
        // A token of another epoch is not made one of this epoch by its number.
        let mut octets = URL_SAFE_NO_PAD.decode(seal(9, &KEY, [1; 12], &mailbox("a@b.example"), "x").unwrap()).unwrap();
        octets[1] = 3;
        assert_eq!(open(&URL_SAFE_NO_PAD.encode(octets), keys), None);
    }

    proptest! {
        #[test]
        fn no_changed_letter_opens(at in 0usize..80, to in "[A-Za-z0-9_-]") {
            let token = sealed("taro@example.jp", "news", 1);
            let at = at % token.len();
            let mut changed = token.clone();
            changed.replace_range(at..=at, &to);
            prop_assert_eq!(open(&changed, keys).is_some(), changed == token);
        }

        #[test]
        fn no_text_opens_or_panics(text in "\\PC{0,200}") {
            prop_assert_eq!(open(&text, keys), None);
        }

        #[test]
        fn every_pair_comes_back(local in "[a-z0-9.+-]{1,20}", domain in "[a-z]{1,20}\\.[a-z]{2,5}", list in "[^\\pC]{1,50}", nonce: [u8; 12]) {
            let Ok(address) = Mailbox::parse(&format!("{local}@{domain}")) else { return Ok(()) };
            let token = seal(3, &KEY, nonce, &address, &list).unwrap();
            prop_assert_eq!(open(&token, keys), Some(Leaving { address, list }));
        }
    }
}
