//! Command lines out of a stream of octets: bounded, and ended by CR LF alone.
//!
//! In: octets in pieces of any size.  Out: one [`LineEvent`] at a time.
//! Always: how the octets were cut into pieces changes nothing; a line is never held beyond its limit; a bare LF, bare CR or
//! NUL never gets into a command (smuggling).
//! Sources: RFC 5321 §2.3.8, §4.1.1.5 and §4.5.3.1.4.

/// How much of an overlong line is thrown away before the peer is given up, in octets: 64 KiB is far beyond any program's
/// mistake, so that what goes on is an attack or no SMTP.
pub const DISCARD_OCTETS_MAX: usize = 64 * 1024;

/// What a stream of lines holds next.
#[derive(Debug, PartialEq, Eq)]
pub enum LineEvent<'a> {
    /// A line, without its end.
    Line(&'a [u8]),
    /// A line over the limit was thrown away.
    TooLong,
    /// A line that never ends: close.
    Endless,
    /// A line with a bare LF, a bare CR or a NUL: close.
    Malformed,
}

/// Finds lines; remembers only how much of an overlong line it has thrown away.
#[derive(Debug, Default)]
pub struct LineReader {
    discarded: usize,
}

impl LineReader {
    /// The next octet is the first of a line; false within an overlong one.
    pub fn is_at_line_start(&self) -> bool {
        self.discarded == 0
    }

    /// Looks for a line of at most `octets_max` octets (its end included) at the start of `input`. Answers how many octets
    /// are used up, and what they were; `None` when more input is needed: what is not used up is given again then.
    /// `bare_lf` takes a LF without CR as the end of a line, for peers that are allowed legacy line ends.
    pub fn next<'a>(&mut self, input: &'a [u8], octets_max: usize, bare_lf: bool) -> (usize, Option<LineEvent<'a>>) {
        if self.discarded > 0 {
            return self.discard(input);
        }
        let window = &input[..input.len().min(octets_max)];
        let Some(end) = window.iter().position(|b| *b == b'\n') else {
            if window.len() < octets_max {
                return (0, None);
            }
            self.discarded = octets_max;
            return (octets_max, None);
        };
        let line = &window[..end];
        let (line, ended_well) = match line.strip_suffix(b"\r") {
            Some(line) => (line, true),
            None => (line, bare_lf),
        };
        let event = if ended_well && !line.iter().any(|b| matches!(b, b'\r' | 0)) {
            LineEvent::Line(line)
        } else {
            LineEvent::Malformed
        };
        (end + 1, Some(event))
    }

    /// Throws away up to the end of an overlong line; any LF ends it.
    fn discard(&mut self, input: &[u8]) -> (usize, Option<LineEvent<'static>>) {
        let end = input.iter().position(|b| *b == b'\n');
        let used = end.map_or(input.len(), |end| end + 1);
        self.discarded += used;
        if self.discarded > DISCARD_OCTETS_MAX {
            return (used, Some(LineEvent::Endless));
        }
        if end.is_none() {
            return (used, None);
        }
        self.discarded = 0;
        (used, Some(LineEvent::TooLong))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All events of `input` when it comes in pieces of `piece` octets, as words.
    fn events(input: &[u8], piece: usize, bare_lf: bool) -> Vec<String> {
        let (mut reader, mut buffer, mut out) = (LineReader::default(), Vec::new(), Vec::new());
        for piece in input.chunks(piece) {
            buffer.extend_from_slice(piece);
            loop {
                let (used, event) = reader.next(&buffer, 16, bare_lf);
                if let Some(event) = &event {
                    out.push(match event {
                        LineEvent::Line(l) => String::from_utf8_lossy(l).into_owned(),
                        other => format!("{other:?}"),
                    });
                }
                buffer.drain(..used);
                if used == 0 || out.last().is_some_and(|e| e == "Endless") {
                    break;
                }
            }
        }
        out
    }

    #[test]
    fn lines_end_with_cr_lf_and_stay_within_their_limit() {
        let endless = [b'x'; DISCARD_OCTETS_MAX + 1];
        let cases: [(&[u8], bool, &[&str]); 11] = [
            (b"NOOP\r\nQUIT\r\n", false, &["NOOP", "QUIT"]),
            (b"\r\n", false, &[""]),
            (b"NOOP", false, &[]),
            (b"NOOP\nQUIT\r\n", false, &["Malformed", "QUIT"]),
            (b"NOOP\nQUIT\r\n", true, &["NOOP", "QUIT"]),
            (b"NO\rOP\r\n", true, &["Malformed"]),
            (b"NOOP\r\r\n", true, &["Malformed"]),
            (b"NO\0OP\r\n", true, &["Malformed"]),
            (b"12345678901234\r\n", false, &["12345678901234"]),
            (b"123456789012345\r\nQUIT\r\n", false, &["TooLong", "QUIT"]),
            (&endless, false, &["Endless"]),
        ];
        for (input, bare_lf, expected) in cases {
            for piece in [1, 2, 3, 7, 1_000, input.len()] {
                let shown = String::from_utf8_lossy(&input[..input.len().min(40)]).into_owned();
                assert_eq!(events(input, piece, bare_lf), expected, "{shown:?} in pieces of {piece}");
            }
        }
    }
}
