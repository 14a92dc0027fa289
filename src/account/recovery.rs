//! Recovery codes: what a person keeps on paper for the day on which the phone is gone.
//!
//! In: an account's name.  Out: ten codes to be shown once, and the digests that are kept; whether a code is one of them.
//! Always: 80 random bits a code, so that a digest needs no slow hash; all digests are compared, each in constant time; what is no
//! code of this form is none, and costs nothing.
//! Sources: NIST SP 800-63B-4 §3.1.2 (look-up secrets), RFC 4648 §6.

use super::totp;
use crate::secret::{Secret, equal_in_constant_time};

/// Codes of a set.
pub const CODES: usize = 10;
/// Octets of a code: sixteen letters, none of which pads.
const CODE_OCTETS: usize = 10;
/// Letters of a code, without the dashes between groups.
const CODE_LEN: usize = 16;
/// Letters of a group.
const GROUP: usize = 4;

/// A new set: the codes as people write them down, and their digests.
pub(super) struct Set {
    pub codes: Vec<Secret<String>>,
    pub digests: Vec<Secret<Vec<u8>>>,
}

/// Makes a set; `None`: the system has no randomness.
pub(super) fn new_set(name: &str) -> Option<Set> {
    let mut set = Set { codes: Vec::with_capacity(CODES), digests: Vec::with_capacity(CODES) };
    for _ in 0..CODES {
        let mut octets = [0u8; CODE_OCTETS];
        aws_lc_rs::rand::fill(&mut octets).ok()?;
        let letters = totp::base32(&octets);
        set.digests.push(digest_of(name, &letters));
        let groups: Vec<&str> = (0..CODE_LEN).step_by(GROUP).filter_map(|at| letters.get(at..at + GROUP)).collect();
        set.codes.push(Secret::new(groups.join("-")));
    }
    Some(set)
}

/// Which of the digests a typed code is of; `None`: none.
pub(super) fn position(name: &str, digests: &[Secret<Vec<u8>>], typed: &str) -> Option<usize> {
    let letters = letters_of(typed)?;
    let digest = digest_of(name, &letters);
    let mut found = None;
    // All are compared, whichever fits.
    for (at, known) in digests.iter().enumerate() {
        if equal_in_constant_time(known.reveal(), digest.reveal()) {
            found = Some(at);
        }
    }
    found
}

/// The letters of a code, however it was typed; `None`: it is no recovery code. Digits that base32 has not are what they look like
/// on paper.
fn letters_of(typed: &str) -> Option<String> {
    let letters = typed.chars().filter(|c| !c.is_ascii_whitespace() && *c != '-').map(|c| match c {
        '0' => 'O',
        '1' => 'I',
        '8' => 'B',
        c => c.to_ascii_uppercase(),
    });
    let letters: String = letters.take(CODE_LEN + 1).collect();
    let is_code = letters.len() == CODE_LEN && letters.bytes().all(|b| totp::BASE32.contains(&b));
    is_code.then_some(letters)
}

/// What is kept of a code: of use for this account alone.
fn digest_of(name: &str, letters: &str) -> Secret<Vec<u8>> {
    let mut hash = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    for part in ["hikyaku recovery code", name, letters] {
        hash.update(part.as_bytes());
        hash.update(b"\0");
    }
    Secret::new(hash.finish().as_ref().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_is_found_however_it_is_typed_and_for_its_account_alone() {
        let Set { codes, digests } = new_set("a@example.jp").unwrap();
        assert_eq!((codes.len(), digests.len()), (CODES, CODES));
        let text = |at: usize| codes[at].reveal().clone();
        for at in 0..CODES {
            assert_eq!((text(at).len(), text(at).matches('-').count()), (19, 3));
            assert_eq!(position("a@example.jp", &digests, &text(at)), Some(at));
            assert_eq!(position("b@example.jp", &digests, &text(at)), None);
        }
        let of_paper = text(3).replace('O', "0").replace('I', "1").replace('B', "8");
        let typed =
            [of_paper, text(3).to_lowercase(), text(3).replace('-', ""), format!(" {} ", text(3).replace('-', " "))];
        for typed in typed {
            assert_eq!(position("a@example.jp", &digests, &typed), Some(3), "{typed}");
        }
        let mut twice: Vec<String> = (0..CODES).map(text).collect();
        twice.sort();
        twice.dedup();
        assert_eq!(twice.len(), CODES);
    }

    #[test]
    fn what_is_no_code_is_none() {
        let Set { codes, digests } = new_set("a").unwrap();
        let code = codes[0].reveal();
        let long = "A".repeat(1_000_000);
        for typed in [
            "",
            "123456",
            "-",
            &code[..18],
            &format!("{code}A"),
            "AAAA-AAAA-AAAA-AAAA",
            "ÄÄÄÄÄÄÄÄ",
            "0189018901890189",
            &long,
        ] {
            assert_eq!(position("a", &digests, typed), None, "{typed:.40}");
        }
        assert_eq!(position("a", &[], code), None);
    }
}
