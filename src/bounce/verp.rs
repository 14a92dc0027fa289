//! Our return addresses: which recipient of which message a bounce is about, in a local part that nobody can forge.
//!
//! In: a [`RecipientKey`], the keys of the epochs.  Out: a local part; and back.
//! Always: lower case, at most 64 octets, no address inside; read in any case of letters; compared in constant time; a token
//! opens only with the key of the epoch that it names, and each recipient of an epoch has one token only.
//! Sources: algorithms F7; RFC 5321 §4.5.3.1.1; RFC 2104.
//!
//! ```text
//! b-0c5nfzj6x4000000002g-04k9d2r7qm3h8twv
//!   └ message, recipient  └ epoch, proof: the HMAC of both, cut to 72 bits
//! ```

use aws_lc_rs::hmac;

use crate::{
    ids::{MessageId, RecipientKey},
    secret::equal_in_constant_time,
};

/// Octets of a token.
pub const TOKEN_OCTETS: usize = 2 + NAME_LETTERS + 1 + PROOF_LETTERS;
/// Letters of message and recipient: 96 bits, and four that are zero.
const NAME_LETTERS: usize = 20;
/// Bits of the name's last letter that are zero.
const NAME_SPARE_BITS: u32 = 4;
/// Letters of epoch and proof: 80 bits.
const PROOF_LETTERS: usize = 16;
/// Octets of the proof. A peer that guesses is refused each time: 2⁷² guesses are more than all peers ever make.
const MAC_OCTETS: usize = 9;
/// Digits and lower case without i, l, o, u, as in queue ids: whoever reads one aloud is understood.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// The key that the tokens of an epoch are proved with.
#[derive(Clone)]
pub struct TokenKey(hmac::Key);

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenKey(hidden)")
    }
}

impl TokenKey {
    /// The key made of these secret octets.
    pub fn new(octets: &[u8; 32]) -> Self {
        TokenKey(hmac::Key::new(hmac::HMAC_SHA256, octets))
    }

    fn mac(&self, of: RecipientKey, epoch: u8) -> [u8; MAC_OCTETS] {
        let mut said = [0; 13];
        said[0] = epoch;
        said[1..9].copy_from_slice(&of.message.as_u64().to_be_bytes());
        said[9..].copy_from_slice(&of.index.to_be_bytes());
        let mut mac = [0; MAC_OCTETS];
        mac.copy_from_slice(&hmac::sign(&self.0, &said).as_ref()[..MAC_OCTETS]);
        mac
    }
}

/// The local part of a recipient's return address, made with the key of an epoch.
pub fn mint(key: &TokenKey, epoch: u8, of: RecipientKey) -> String {
    let mut out = String::with_capacity(TOKEN_OCTETS);
    out.push_str("b-");
    let name = (u128::from(of.message.as_u64()) << 32) | u128::from(of.index);
    write(&mut out, name << NAME_SPARE_BITS, NAME_LETTERS);
    out.push('-');
    write(&mut out, proof(epoch, &key.mac(of, epoch)), PROOF_LETTERS);
    out
}

/// A local part of a token's form: what it claims, before a key has proved it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Token {
    of: RecipientKey,
    epoch: u8,
    mac: [u8; MAC_OCTETS],
}

impl Token {
    /// Reads a local part; `None`: it has another form. Letters count in any case: some servers fold them.
    pub fn read(local: &str) -> Option<Self> {
        let bytes: &[u8; TOKEN_OCTETS] = local.as_bytes().try_into().ok()?;
        let (head, rest) = bytes.split_at(2);
        let (name, rest) = rest.split_at(NAME_LETTERS);
        let (dash, proof) = rest.split_at(1);
        if !head.eq_ignore_ascii_case(b"b-") || dash != b"-" {
            return None;
        }
        let name = read(name)?;
        if name & ((1 << NAME_SPARE_BITS) - 1) != 0 {
            return None;
        }
        let name = (name >> NAME_SPARE_BITS).to_be_bytes();
        let proof = read(proof)?.to_be_bytes();
        let mut message = [0; 8];
        message.copy_from_slice(&name[4..12]);
        let mut index = [0; 4];
        index.copy_from_slice(&name[12..]);
        let mut mac = [0; MAC_OCTETS];
        mac.copy_from_slice(&proof[7..]);
        let message = MessageId::from_u64(u64::from_be_bytes(message));
        Some(Token { of: RecipientKey { message, index: u32::from_be_bytes(index) }, epoch: proof[6], mac })
    }

    /// The epoch that it names.
    pub fn epoch(&self) -> u8 {
        self.epoch
    }

    /// Whom it is about, if this key, that of its epoch, made it.
    pub fn open(&self, key: &TokenKey) -> Option<RecipientKey> {
        equal_in_constant_time(&key.mac(self.of, self.epoch), &self.mac).then_some(self.of)
    }
}

/// The local part has the form of a token, whoever wrote it.
pub fn is_shaped(local: &str) -> bool {
    Token::read(local).is_some()
}

/// Epoch and proof as one number.
fn proof(epoch: u8, mac: &[u8; MAC_OCTETS]) -> u128 {
    mac.iter().fold(u128::from(epoch), |n, octet| (n << 8) | u128::from(*octet))
}

fn write(out: &mut String, n: u128, letters: usize) {
    for letter in (0..letters).rev() {
        out.push(char::from(ALPHABET[(n >> (5 * letter)) as usize & 31]));
    }
}

fn read(letters: &[u8]) -> Option<u128> {
    letters.iter().try_fold(0u128, |n, letter| {
        let value = ALPHABET.iter().position(|a| *a == letter.to_ascii_lowercase())?;
        Some((n << 5) | value as u128)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        clock::Clock,
        smtp::address::{LOCAL_OCTETS_MAX, Mailbox},
    };

    fn key(n: u8) -> TokenKey {
        TokenKey::new(&[n; 32])
    }

    fn recipient(message: u64, index: u32) -> RecipientKey {
        RecipientKey { message: MessageId::from_u64(message), index }
    }

    fn open(local: &str, key: &TokenKey) -> Option<RecipientKey> {
        Token::read(local)?.open(key)
    }

    #[test]
    fn a_token_is_a_short_local_part_in_lower_case_and_never_changes() {
        for (of, epoch, expected) in [
            (recipient(0, 0), 0, "b-00000000000000000000-"),
            (recipient(u64::MAX, u32::MAX), 255, "b-zzzzzzzzzzzzzzzzzzzg-z"),
            (recipient(0x0123_4567_89ab_cdef, 7), 1, "b-04hmasw9nf6yy000003g-04"),
        ] {
            let token = mint(&key(1), epoch, of);
            assert!(token.starts_with(expected), "{token}");
            assert_eq!((token.len(), token.to_lowercase()), (TOKEN_OCTETS, token.clone()));
            assert!(token.len() <= LOCAL_OCTETS_MAX && Mailbox::parse(&format!("{token}@b.example")).is_ok());
            assert_eq!(token, mint(&key(1), epoch, of), "a retry uses the same");
        }
        // What is in mailboxes of strangers for weeks must open after an update, too.
        assert_eq!(open(KNOWN, &key(9)), Some(recipient(0x0123_4567_89ab_cdef, 7)));
        assert_eq!(mint(&key(9), 4, recipient(0x0123_4567_89ab_cdef, 7)), KNOWN);
    }

    const KNOWN: &str = "b-04hmasw9nf6yy000003g-0hesjmswa9akkgwe";

    #[test]
    fn what_is_not_to_the_letter_ours_does_not_open() {
        let of = recipient(77, 3);
        let token = mint(&key(1), 5, of);
        for changed in [token.to_uppercase(), token.replace('b', "B"), token.clone()] {
            assert_eq!(open(&changed, &key(1)), Some(of), "{changed}");
        }
        assert_eq!(open(&token, &key(2)), None, "another key");
        assert!(!format!("{:?}", key(1)).contains('1'), "a key is never printed");
        for (n, letter) in token.char_indices() {
            for other in "0z9b-".chars().filter(|other| *other != letter) {
                let mut changed = token.clone();
                changed.replace_range(n..=n, &other.to_string());
                assert_eq!(open(&changed, &key(1)), None, "{changed}");
            }
        }
        for text in ["", "b-", &token[1..], &format!("{token}0"), &token.replace('-', "_"), &"飛".repeat(13)] {
            assert_eq!(Token::read(text), None, "{text}");
        }
    }

    #[test]
    fn a_token_costs_next_to_nothing() {
        const ROUNDS: u32 = 2_000;
        let (clock, key) = (Clock::system(), key(1));
        let began = clock.instant();
        let octets: usize = (0..ROUNDS).map(|n| mint(&key, 1, recipient(1, n)).len()).sum();
        let each = clock.instant().duration_since(began) / ROUNDS;
        assert_eq!(octets, TOKEN_OCTETS * ROUNDS as usize);
        // Without optimisation, on a machine that does other things, too; the release build takes well under 2 µs.
        assert!(each.as_micros() < 100, "{each:?}");
    }

    proptest! {
        #[test]
        fn every_token_opens_again_with_its_key_alone(message: u64, index: u32, epoch: u8, secret: [u8; 32], upper: bool) {
            let (of, own) = (recipient(message, index), TokenKey::new(&secret));
            let token = mint(&own, epoch, of);
            let token = if upper { token.to_uppercase() } else { token };
            let read = Token::read(&token).expect("its form");
            prop_assert_eq!((read.epoch(), read.open(&own)), (epoch, Some(of)));
            let mut other = secret;
            other[0] ^= 1;
            prop_assert_eq!(read.open(&TokenKey::new(&other)), None);
        }

        #[test]
        fn no_text_opens_or_breaks_anything(text in "[bB]-[0-9a-zA-Z飛]{18,21}-[0-9a-z]{15,17}|.{0,80}") {
            prop_assert_eq!(open(&text, &key(3)), None);
        }
    }
}
