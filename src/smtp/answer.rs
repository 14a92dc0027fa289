//! Reads what an SMTP server answers: bytes in, whole replies out.
//!
//! In: octets as they arrive, in any pieces.  Out: [`Reply`], or [`NotAReply`] when the peer does not speak SMTP.
//! Always: memory is bounded whatever arrives (lines, their length and their number); the text of a reply is printable.
//! Sources: RFC 5321 §4.2 and §4.5.3.1.5, RFC 2034 §3.

use std::borrow::Cow;

use super::reply::{Enhanced, Reply};

/// Octets of a reply line at most, its end included: four times what RFC 5321 §4.5.3.1.5 allows, since real servers overrun it.
pub const LINE_OCTETS_MAX: usize = 2048;
/// Octets of a line that are kept: what RFC 5321 allows a line to have.
pub const LINE_KEPT_OCTETS_MAX: usize = 512;
/// Lines of one reply at most; the longest EHLO answers have about thirty.
pub const LINES_MAX: usize = 100;

/// Why what arrived is no reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAReply {
    /// The line does not begin with a reply code; holds its printable beginning.
    #[error("not an SMTP reply: {0:?}")]
    Garbage(String),
    /// A line has more than [`LINE_OCTETS_MAX`] octets.
    #[error("a reply line is longer than {LINE_OCTETS_MAX} octets")]
    LineTooLong,
    /// A reply has more than [`LINES_MAX`] lines.
    #[error("a reply has more than {LINES_MAX} lines")]
    TooManyLines,
}

/// Turns arriving octets into replies.
#[derive(Debug, Default)]
pub struct Answers {
    pending: Vec<u8>,
    start: usize,
    /// The lines of the reply that has begun, and how many there are.
    text: String,
    lines: usize,
    enhanced: Option<Enhanced>,
}

impl Answers {
    /// Takes octets as they arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start == self.pending.len() {
            self.pending.clear();
            self.start = 0;
        } else if self.start > LINE_OCTETS_MAX {
            self.pending.drain(..self.start);
            self.start = 0;
        }
        self.pending.extend_from_slice(bytes);
    }

    /// The next whole reply; `None`: more octets are needed.
    pub fn next_reply(&mut self) -> Result<Option<Reply>, NotAReply> {
        loop {
            let rest = &self.pending[self.start..];
            let Some(end) = rest.iter().take(LINE_OCTETS_MAX).position(|b| *b == b'\n') else {
                return if rest.len() >= LINE_OCTETS_MAX { Err(NotAReply::LineTooLong) } else { Ok(None) };
            };
            let mut line = &rest[..end];
            self.start += end + 1;
            if let [head @ .., b'\r'] = line {
                line = head;
            }
            let (code, last, text) = parse_line(line)?;
            if self.lines == LINES_MAX {
                return Err(NotAReply::TooManyLines);
            }
            let text = &text[..text.len().min(LINE_KEPT_OCTETS_MAX)];
            let (enhanced, text) = split_enhanced(code, text);
            if self.lines == 0 {
                self.enhanced = enhanced;
            } else {
                self.text.push('\n');
            }
            self.lines += 1;
            self.text.push_str(&printable(text));
            if last {
                self.lines = 0;
                let text = Cow::Owned(std::mem::take(&mut self.text));
                return Ok(Some(Reply { code, enhanced: self.enhanced.take(), text }));
            }
        }
    }

    /// Nothing has arrived beyond the replies that were taken.
    pub fn is_empty(&self) -> bool {
        self.start == self.pending.len() && self.lines == 0
    }

    /// Forgets what has arrived: plaintext from before a TLS handshake must not count after it (RFC 3207 §4.2).
    pub fn clear(&mut self) {
        *self = Answers::default();
    }
}

/// Code, whether it is the reply's last line, and the octets after both.
fn parse_line(line: &[u8]) -> Result<(u16, bool, &[u8]), NotAReply> {
    let garbage = || NotAReply::Garbage(printable(&line[..line.len().min(80)]).into_owned());
    let [a @ b'2'..=b'5', b @ b'0'..=b'9', c @ b'0'..=b'9', rest @ ..] = line else {
        return Err(garbage());
    };
    let code = u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0');
    match rest {
        [] => Ok((code, true, rest)),
        [b' ', text @ ..] => Ok((code, true, text)),
        [b'-', text @ ..] => Ok((code, false, text)),
        _ => Err(garbage()),
    }
}

/// Takes `class.subject.detail` from the front, when its class is that of the code (RFC 2034 §4).
fn split_enhanced(code: u16, text: &[u8]) -> (Option<Enhanced>, &[u8]) {
    let end = text.iter().position(|b| *b == b' ').unwrap_or(text.len());
    let mut numbers = text[..end].split(|b| *b == b'.').map(decimal);
    match (numbers.next(), numbers.next(), numbers.next(), numbers.next()) {
        (Some(Some(class)), Some(Some(subject)), Some(Some(detail)), None)
            if class == code / 100 && matches!(class, 2 | 4 | 5) =>
        {
            (Some(Enhanced(class as u8, subject, detail)), text.get(end + 1..).unwrap_or_default())
        }
        _ => (None, text),
    }
}

/// One to three digits.
fn decimal(digits: &[u8]) -> Option<u16> {
    if digits.is_empty() || digits.len() > 3 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0, |n, d| n * 10 + u16::from(d - b'0')))
}

/// What a peer wrote, fit for a log: invalid UTF-8 and control characters are replaced.
pub fn printable(bytes: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(bytes);
    if text.chars().any(char::is_control) {
        Cow::Owned(
            text.chars()
                .map(|c| {
                    if c == '\t' {
                        ' '
                    } else if c.is_control() {
                        '?'
                    } else {
                        c
                    }
                })
                .collect(),
        )
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(wire: &[u8], code: u16, enhanced: Option<Enhanced>, text: &str) {
        // Whole, and octet by octet.
        for step in [wire.len(), 1] {
            let mut answers = Answers::default();
            let mut got = None;
            for piece in wire.chunks(step) {
                answers.push(piece);
                if let Some(reply) = answers.next_reply().expect("a reply") {
                    got = Some(reply);
                }
            }
            let reply = got.expect("complete");
            assert_eq!((reply.code, reply.enhanced, &*reply.text), (code, enhanced, text));
            assert!(answers.is_empty());
        }
    }

    #[test]
    fn replies_are_read_whatever_their_pieces() {
        check(b"250 ok\r\n", 250, None, "ok");
        check(b"250\r\n", 250, None, "");
        check(b"550 5.1.1 <a@b> unknown\r\n", 550, Some(Enhanced(5, 1, 1)), "<a@b> unknown");
        check(b"550-5.1.1 no\r\n550-5.1.1 such\r\n550 5.1.1 user\r\n", 550, Some(Enhanced(5, 1, 1)), "no\nsuch\nuser");
        check(b"250-x.example\r\n250-SIZE 10\r\n250 PIPELINING\r\n", 250, None, "x.example\nSIZE 10\nPIPELINING");
        check(b"250 bare line feed\n", 250, None, "bare line feed");
        check(b"550 4.1.1 the class contradicts the code\r\n", 550, None, "4.1.1 the class contradicts the code");
        check(b"550 \xff\x00\x1b[31mred\r\n", 550, None, "\u{fffd}??[31mred");
        check("550 だめです\r\n".as_bytes(), 550, None, "だめです");
    }

    #[test]
    fn what_is_no_reply_is_named() {
        for (wire, want) in [
            (&b"hello\r\n"[..], NotAReply::Garbage("hello".into())),
            (b"999 x\r\n", NotAReply::Garbage("999 x".into())),
            (b"25\r\n", NotAReply::Garbage("25".into())),
            (b"250x\r\n", NotAReply::Garbage("250x".into())),
            (b"\r\n", NotAReply::Garbage(String::new())),
            (b"HTTP/1.1 400 Bad Request\r\n", NotAReply::Garbage("HTTP/1.1 400 Bad Request".into())),
            (&[b'2'; LINE_OCTETS_MAX], NotAReply::LineTooLong),
            (&b"250-x\r\n".repeat(LINES_MAX + 1), NotAReply::TooManyLines),
        ] {
            let mut answers = Answers::default();
            answers.push(wire);
            assert_eq!(answers.next_reply(), Err(want), "{wire:?}");
        }
    }

    #[test]
    fn long_lines_are_kept_in_part() {
        let mut answers = Answers::default();
        answers.push(format!("250 {}\r\n", "x".repeat(1500)).as_bytes());
        let reply = answers.next_reply().expect("a reply").expect("whole");
        assert_eq!(reply.text.len(), LINE_KEPT_OCTETS_MAX);
    }

    proptest! {
        #[test]
        fn anything_at_all_is_read_within_bounds(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..600), 0..20)) {
            let mut answers = Answers::default();
            'all: for piece in pieces {
                answers.push(&piece);
                loop {
                    match answers.next_reply() {
                        Ok(Some(reply)) => {
                            prop_assert!((200..600).contains(&reply.code));
                            prop_assert!(reply.text.chars().all(|c| c == '\n' || !c.is_control()));
                        }
                        Ok(None) => break,
                        Err(_) => break 'all,
                    }
                }
                prop_assert!(answers.pending.len() - answers.start <= LINE_OCTETS_MAX);
            }
        }

        #[test]
        fn pieces_do_not_matter(text in "[ -~]{0,60}", cut in 0usize..70, lines in 1usize..5) {
            let mut wire = Vec::new();
            for n in 0..lines {
                wire.extend_from_slice(format!("451{}4.3.0 {text}\r\n", if n + 1 == lines { ' ' } else { '-' }).as_bytes());
            }
            let mut whole = Answers::default();
            whole.push(&wire);
            let want = whole.next_reply().expect("fine").expect("whole");
            let (a, b) = wire.split_at(cut.min(wire.len()));
            let mut parts = Answers::default();
            parts.push(a);
            let got = match parts.next_reply().expect("fine") {
                Some(reply) => reply,
                None => { parts.push(b); parts.next_reply().expect("fine").expect("whole") }
            };
            prop_assert_eq!(got, want);
        }
    }
}
