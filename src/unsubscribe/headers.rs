//! The two header fields of a mail that can be left with one click.
//!
//! In: the public URL, a token.  Out: the octets that stand before the stored message, for one recipient.
//! Always: each line has at most 998 octets; nothing in the URL or token can end a line or the angle brackets.
//! Sources: RFC 8058 §3.1 and §8; RFC 2369 §2; RFC 5322 §2.1.1 and §2.2.3 (folding).
//!
//! How DKIM signs them (RFC 8058 §4: a signature must cover both fields): these octets differ for each recipient, and the stored
//! message below them does not. So the body is hashed once while the message is in RAM, and each recipient's copy costs one hash of
//! its header and one signature, whose `h=` names `list-unsubscribe` and `list-unsubscribe-post`; the DKIM-Signature is put above
//! what [`fields`] gives (`deliver/lead`).

/// Octets of a line at most, without its end (RFC 5322 §2.1.1).
const LINE_MAX: usize = 998;
/// The path of links, below the public URL.
pub const PATH: &str = "/u/";

/// The link of a token.
pub fn link(public_url: &str, token: &str) -> String {
    format!("{}{PATH}{token}", public_url.trim_end_matches('/'))
}

/// Both fields; `None` when the URL is none that a header could hold: the config room has refused it before.
pub fn fields(public_url: &str, token: &str) -> Option<Vec<u8>> {
    let link = link(public_url, token);
    let is_clean = link.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'<' | b'>' | b'"'));
    if public_url.is_empty() || !is_clean || link.len() > LINE_MAX - " <>".len() {
        return None;
    }
    // The link stands on a line of its own: a URL cannot be folded, and beside the name it would be longer still.
    let text = format!("List-Unsubscribe:\r\n <{link}>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n");
    Some(text.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        mail::header::{Facts, Fields, scan},
        unsubscribe::token::TOKEN_MAX,
    };

    #[test]
    fn both_fields_are_whole_and_within_the_lines() {
        let longest = "A".repeat(TOKEN_MAX);
        for (url, token) in [
            ("https://mail.example.jp", "abc-_"),
            ("https://mail.example.jp/", "abc-_"),
            (&format!("https://mail.example.jp/{}", "x".repeat(176)), &longest),
        ] {
            let head = [&fields(url, token).unwrap()[..], b"Subject: x\r\n\r\n"].concat();
            let read: Vec<(String, String)> = Fields::new(&head)
                .map(|f| {
                    let text =
                        |r: std::ops::Range<usize>| String::from_utf8(head[r].to_vec()).unwrap().trim().to_owned();
                    (text(f.name), text(f.value))
                })
                .collect();
            let wanted = format!("<{}/u/{token}>", url.trim_end_matches('/'));
            assert_eq!(read[0], ("List-Unsubscribe".to_owned(), wanted));
            assert_eq!(read[1], ("List-Unsubscribe-Post".to_owned(), "List-Unsubscribe=One-Click".to_owned()));
            assert_eq!(read.len(), 3);
            assert!(head.split(|b| *b == b'\n').all(|line| line.len() <= LINE_MAX + 1));
            assert_ne!(scan(&head, ""), Facts::default(), "what follows is still a header");
        }
    }

    #[test]
    fn nothing_breaks_out_of_the_brackets() {
        for url in [
            "",
            "https://a.example/>",
            "https://a.example/\r\nBcc: x",
            "https://a.example/ ",
            "https://例え.jp",
            &"x".repeat(990),
        ] {
            assert_eq!(fields(url, "abc"), None, "{url}");
        }
    }
}
