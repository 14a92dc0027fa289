//! The second factor of console logins: codes that change with the time.
//!
//! In: a shared secret, the time, the last step that was used.  Out: the step that a code is of; the secret as people enter it.
//! Always: a step before, now, or a step later, and none that was used or lies before one that was used: a code counts once;
//! codes are compared in constant time.
//! Sources: RFC 6238 (SHA-1, 6 digits, 30 seconds), RFC 4226 §5.3, RFC 4648 §6.

use aws_lc_rs::hmac;

use crate::{
    clock::Timestamp,
    secret::{Secret, equal_in_constant_time},
};

/// Octets of a secret: what RFC 4226 §4 asks for.
const SECRET_OCTETS: usize = 20;
/// Seconds of a step.
const STEP_SECONDS: u64 = 30;
/// Steps that a clock may be wrong, to each side.
const DRIFT: u64 = 1;
/// Digits of a code.
const DIGITS: u32 = 6;
/// The letters of base32.
pub(super) const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// A new secret; `None`: the system has no randomness.
pub(super) fn new_secret() -> Option<Secret<Vec<u8>>> {
    let mut octets = vec![0u8; SECRET_OCTETS];
    aws_lc_rs::rand::fill(&mut octets).ok()?;
    Some(Secret::new(octets))
}

/// The step that the code is of, if it may be used now. `used`: the last step whose code was used.
pub(super) fn step_of(secret: &Secret<Vec<u8>>, code: &str, now: Timestamp, used: u64) -> Option<u64> {
    // People copy codes with the blank that some programs show in the middle.
    let code: String = code.chars().filter(|c| !c.is_ascii_whitespace()).take(DIGITS as usize + 1).collect();
    let now = now.as_seconds() / STEP_SECONDS;
    let mut found = None;
    // All are computed, whichever fits.
    for step in now.saturating_sub(DRIFT)..=now + DRIFT {
        let fits = equal_in_constant_time(code_at(secret, step, DIGITS).as_bytes(), code.as_bytes());
        if fits && step > used {
            found = Some(step);
        }
    }
    found
}

/// The code of a step.
pub(super) fn code_at(secret: &Secret<Vec<u8>>, step: u64, digits: u32) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.reveal());
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let tag = tag.as_ref();
    let at = usize::from(tag.last().copied().unwrap_or(0) & 15);
    let word =
        tag.get(at..at + 4).map_or(0, |four| four.iter().fold(0u32, |word, octet| word << 8 | u32::from(*octet)));
    format!("{:0width$}", (word & 0x7fff_ffff) % 10u32.pow(digits), width = digits as usize)
}

/// The secret as a link that programs take, typed or as a QR code.
pub(super) fn uri(name: &str, secret: &Secret<Vec<u8>>) -> Secret<String> {
    let name: String = name
        .bytes()
        .map(|b| match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' | b'@' => char::from(b).to_string(),
            b => format!("%{b:02X}"),
        })
        .collect();
    let secret = base32(secret.reveal());
    Secret::new(format!(
        "otpauth://totp/Hikyaku:{name}?secret={secret}&issuer=Hikyaku&algorithm=SHA1&digits={DIGITS}&period={STEP_SECONDS}"
    ))
}

/// The secret as people type it.
pub(super) fn text(secret: &Secret<Vec<u8>>) -> Secret<String> {
    Secret::new(base32(secret.reveal()))
}

/// Base32 without padding.
pub(super) fn base32(octets: &[u8]) -> String {
    let mut out = String::with_capacity(octets.len().div_ceil(5) * 8);
    for five in octets.chunks(5) {
        let bits = five.iter().fold(0u64, |bits, octet| bits << 8 | u64::from(*octet)) << (8 * (5 - five.len()));
        let letters = (five.len() * 8).div_ceil(5);
        out.extend((0..letters).map(|n| char::from(BASE32[usize::try_from(bits >> (35 - 5 * n) & 31).unwrap_or(0)])));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rfc() -> Secret<Vec<u8>> {
        Secret::new(b"12345678901234567890".to_vec())
    }

    #[test]
    fn the_vectors_of_rfc_6238() {
        for (seconds, code) in [
            (59u64, "94287082"),
            (1_111_111_109, "07081804"),
            (1_111_111_111, "14050471"),
            (1_234_567_890, "89005924"),
            (2_000_000_000, "69279037"),
            (20_000_000_000, "65353130"),
        ] {
            assert_eq!(code_at(&rfc(), seconds / STEP_SECONDS, 8), code, "{seconds}");
            // Six digits are the last six of them.
            let at = Timestamp::from_millis(seconds * 1000);
            assert_eq!(step_of(&rfc(), &code[2..], at, 0), Some(seconds / 30), "{seconds}");
        }
    }

    #[test]
    fn a_code_counts_once_and_a_clock_may_be_a_step_wrong() {
        let at = |step: u64| Timestamp::from_millis(step * 30_000 + 5_000);
        let code = code_at(&rfc(), 1000, DIGITS);
        for (now, used, expected) in [
            (1000, 0, Some(1000)),
            (1000, 999, Some(1000)),
            (999, 0, Some(1000)),
            (1001, 0, Some(1000)),
            (1000, 1000, None),
            (1000, 1001, None),
            (998, 0, None),
            (1002, 0, None),
        ] {
            assert_eq!(step_of(&rfc(), &code, at(now), used), expected, "now {now}, used {used}");
        }
        let spaced = format!(" {} {} ", &code[..3], &code[3..]);
        assert_eq!(step_of(&rfc(), &spaced, at(1000), 0), Some(1000));
        for bad in ["", "0", &code[1..], &format!("{code}0"), "飛脚飛脚飛脚", "abcdef", &"1".repeat(10_000)] {
            assert_eq!(step_of(&rfc(), bad, at(1000), 0), None, "{bad:.20}");
        }
    }

    #[test]
    fn the_link_is_what_programs_read() {
        for (octets, text) in [
            (&b""[..], ""),
            (b"f", "MY"),
            (b"fo", "MZXQ"),
            (b"foo", "MZXW6"),
            (b"foob", "MZXW6YQ"),
            (b"fooba", "MZXW6YTB"),
            (b"foobar", "MZXW6YTBOI"),
        ] {
            assert_eq!(base32(octets), text);
        }
        let link = uri("hana+ko@example.jp", &rfc());
        assert_eq!(
            link.reveal(),
            "otpauth://totp/Hikyaku:hana%2Bko@example.jp?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Hikyaku&algorithm=SHA1&digits=6&period=30"
        );
        assert_ne!(new_secret().unwrap(), new_secret().unwrap());
        assert!(!format!("{link:?}").contains("GEZD"));
    }
}
