//! Brings an answer into one text for all who get it, so that the same trouble of a thousand recipients is one incident.
//!
//! In: an answer, with its codes in front.  Out: its [`normalised`] text.
//! Always: codes stay; addresses, hosts' IPs, ids, hex strings, times, counts and what is behind a URL's host become
//! placeholders; blanks are folded; at most [`CHARS_MAX`] characters, and normalising once more changes nothing.
//! Sources: algorithms F6.

use std::fmt::Write;

/// Characters of a normalised answer: enough to know it by, short enough for a list.
pub const CHARS_MAX: usize = 200;

/// Octets of an answer that are read; what is longer says nothing new.
const OCTETS_MAX: usize = 2_048;

/// A word that mixes letters and digits, and is at least so long, is an id.
const ID_OCTETS_MIN: usize = 8;

/// The answer as it would be said to anybody.
pub fn normalised(text: &str) -> String {
    let text = &text[..text.floor_char_boundary(OCTETS_MAX)];
    let mut out = String::with_capacity(CHARS_MAX * 2);
    for (index, word) in text.split_whitespace().enumerate() {
        if !out.is_empty() {
            out.push(' ');
        }
        // The codes stand in front.
        if index < 3 && is_code(word) {
            out.push_str(word);
        } else {
            put_word(word, &mut out);
        }
    }
    if let Some((end, _)) = out.char_indices().nth(CHARS_MAX) {
        out.truncate(end);
        out.truncate(out.trim_end().len());
    }
    out
}

/// `550`, `550-5.1.1`, `5.1.1`.
fn is_code(word: &str) -> bool {
    let word = word.trim_matches(|c: char| matches!(c, '#' | '(' | ')' | ':' | ','));
    let status = |w: &str| {
        w.split('.').count() == 3
            && w.starts_with(['2', '4', '5'])
            && w.split('.').all(|p| (1..=3).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_digit()))
    };
    let reply = |w: &str| w.len() == 3 && w.bytes().all(|b| b.is_ascii_digit());
    match word.split_once('-') {
        Some((code, rest)) => reply(code) && (rest.is_empty() || status(rest)),
        None => reply(word) || status(word),
    }
}

/// One word, which may be several pieces: `mx1.example.org[192.0.2.1]:25`.
fn put_word(word: &str, out: &mut String) {
    if let Some(at) = word.find("://") {
        put_url(word, at, out);
        return;
    }
    let mut rest = word;
    while let Some(first) = rest.chars().next() {
        let piece_of = |c: char| c.is_alphanumeric() || "@._-+=%/~!$&*:".contains(c);
        let end = rest.find(|c| !piece_of(c)).unwrap_or(rest.len());
        if end == 0 {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            put_piece(&rest[..end], out);
            rest = &rest[end..];
        }
    }
}

fn put_piece(piece: &str, out: &mut String) {
    let core = piece.trim_end_matches(['.', ':', '!', '-', '/', '=', '*']);
    let tail = &piece[core.len()..];
    let placeholder = if core.is_empty() || is_code(core) && core.contains('.') {
        None
    } else if core.contains('@') {
        Some("<address>")
    } else if core.parse::<std::net::IpAddr>().is_ok() {
        Some("<ip>")
    } else if is_time(core) {
        Some("<time>")
    } else {
        None
    };
    match placeholder {
        Some(placeholder) => out.push_str(placeholder),
        None if is_code(core) && core.contains('.') => out.push_str(core),
        // `lhlo=a1b2c3d4` and `a/b-c`: the parts on their own.
        None if core.contains(['=', ':', '/']) => {
            for part in core.split_inclusive(['=', ':', '/']) {
                let bare = part.trim_end_matches(['=', ':', '/']);
                put_plain(bare, out);
                out.push_str(&part[bare.len()..]);
            }
        }
        None => put_plain(core, out),
    }
    out.push_str(tail);
}

fn put_plain(word: &str, out: &mut String) {
    if is_id(word) {
        out.push_str("<id>");
        return;
    }
    // A count; digits inside a name, as `mx1`, too.
    let mut digits = false;
    for c in word.chars() {
        if c.is_ascii_digit() {
            if !digits {
                out.push('#');
            }
            digits = true;
        } else {
            out.push(c);
            digits = false;
        }
    }
}

/// Nothing a person would write: long, and letters with digits; a number or a hex string.
fn is_id(word: &str) -> bool {
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    let letters = word.bytes().filter(u8::is_ascii_alphabetic).count();
    let named = word.contains('.') && !word.starts_with(|c: char| c.is_ascii_digit());
    let hex = word.len() >= ID_OCTETS_MIN && word.bytes().all(|b| b.is_ascii_hexdigit());
    let mixed = word.len() >= ID_OCTETS_MIN && digits >= 2 && letters >= 1;
    // `jo4si1234567ejb.123`, but not `mx12.mail.example.org`.
    hex && digits > 0 || mixed && (!named || digits * 2 >= letters)
}

/// `12:34:56`, `2024-06-26T06:23:31.981Z`, `2023/11/23`.
fn is_time(word: &str) -> bool {
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    let marks = word.bytes().filter(|b| matches!(b, b':' | b'-' | b'/')).count();
    digits >= 4 && marks >= 2 && word.bytes().all(|b| b.is_ascii_digit() || b":-/.+TZ".contains(&b))
}

/// The host stays, what is behind it goes.
fn put_url(word: &str, at: usize, out: &mut String) {
    let (before, rest) = word.split_at(at);
    let rest = &rest[3..];
    let host_end = rest.find(['/', '?', '#', '>', ')', '"', '\'', ';', ']', ',']).unwrap_or(rest.len());
    let (host, behind) = rest.split_at(host_end);
    let _ = write!(out, "{before}://{host}");
    if behind.starts_with(['/', '?', '#']) {
        out.push_str("/…");
    } else {
        out.push_str(behind);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_from_one_recipient_to_the_next_is_gone() {
        for (said, want) in [
            ("550 5.1.1 <hanako@example.jp>: User unknown", "550 5.1.1 <<address>>: User unknown"),
            (
                "421 4.7.0 [TSS04] Messages from 192.0.2.25 temporarily deferred - 4.16.55.1; see https://postmaster.example.com/error-codes",
                "421 4.7.0 [TSS#] Messages from <ip> temporarily deferred - <ip>; see https://postmaster.example.com/…",
            ),
            (
                "550-5.7.26 Not accepted. d9443c01a7336-1f9eb3b6e81si99625855ad.239 - gsmtp",
                "550-5.7.26 Not accepted. <id> - gsmtp",
            ),
            ("452 4.2.2  mx12.example.org\tis full (try 17 of 20)", "452 4.2.2 mx#.example.org is full (try # of #)"),
            (
                "451 4.7.650 Busy (S843) [QE2FRA04FT039.example 2023-11-23T18:53:22.058Z 10DSKD34941BC6NE]",
                "451 4.7.650 Busy (S#) [QE#FRA#FT#.example <time> <id>]",
            ),
            ("554 rejected on 2023/11/23 18:59:46 GMT", "554 rejected on <time> <time> GMT"),
            ("554 [2001:db8::1] is listed", "554 [<ip>] is listed"),
            ("550 宛先が 12 見つかりません", "550 宛先が # 見つかりません"),
            ("", ""),
        ] {
            assert_eq!(normalised(said), want);
            assert_eq!(normalised(want), want);
        }
    }

    #[test]
    fn two_recipients_of_one_trouble_have_one_text() {
        let say = |n: u32| {
            format!(
                "550-5.7.1 [192.0.2.{n} {n}] Mail for user{n}@example.jp is blocked. {n:08x}si{n}99625855ad.{n} - gsmtp"
            )
        };
        assert_eq!(normalised(&say(1)), normalised(&say(254)));
        assert_ne!(normalised("550 5.1.1 no"), normalised("550 5.1.2 no"));
    }

    #[test]
    fn it_is_bounded_and_settles_at_once() {
        for said in ["だ".repeat(5_000), "a1b2c3d4 ".repeat(2_000), "x@y ".repeat(900), "http://a/b ".repeat(500)] {
            let once = normalised(&said);
            assert!(once.chars().count() <= CHARS_MAX, "{once}");
            assert_eq!(normalised(&once), once);
        }
    }
}
