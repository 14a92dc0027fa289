//! What was said in an attempt, as it is kept beside its verdict: the commands, the answers, and what happened between them.
//!
//! In: lines, in order.  Out: octets for the store, and lines again for people.
//! Always: no line holds a credential or an octet of the mail: what could is never handed in (see `client/tape.rs`); texts hold no
//! control characters but the ends of lines; octets that cannot be read end the conversation, and say so, and are no error.

/// Octets of a conversation at most; whoever makes one keeps to it.
pub const CONVERSATION_OCTETS_MAX: usize = 8 * 1024;
/// Octets of one text at most; the rest is cut off with `…`.
pub const TEXT_OCTETS_MAX: usize = 512;

/// What a line is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Said {
    /// A command of ours, as it was sent.
    We,
    /// An answer of the peer, its lines with their codes.
    Peer,
    /// A host's turn begins; the text is its name and address.
    Host,
    /// The TLS handshake is done; the text says what was agreed on.
    Tls,
    /// The content was sent; the text is its size in octets.
    Content,
    /// Credentials were sent, which are not kept; the text names the mechanism.
    Secret,
    /// The connection had carried mail before; the text: how many messages, a blank, seconds since it was opened.
    Reused,
    /// There were other recipients in the same transaction; the text is their number.
    Others,
    /// Lines are missing here: the conversation was too long.
    LeftOut,
    /// The connection ended; the text is what the system said, or empty.
    Closed,
    /// The peer was silent for too long; the text says how long.
    Silent,
    /// What came was not SMTP; the text says what.
    Nonsense,
    /// The TLS handshake failed; the text says why.
    TlsBroken,
    /// We went no further; the text says why.
    Stopped,
}

impl Said {
    /// Every kind, in the order of their stored numbers.
    pub const ALL: [Said; 14] = [
        Said::We,
        Said::Peer,
        Said::Host,
        Said::Tls,
        Said::Content,
        Said::Secret,
        Said::Reused,
        Said::Others,
        Said::LeftOut,
        Said::Closed,
        Said::Silent,
        Said::Nonsense,
        Said::TlsBroken,
        Said::Stopped,
    ];

    /// The word in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Said::We => "we",
            Said::Peer => "peer",
            Said::Host => "host",
            Said::Tls => "tls",
            Said::Content => "content",
            Said::Secret => "secret",
            Said::Reused => "reused",
            Said::Others => "others",
            Said::LeftOut => "left_out",
            Said::Closed => "closed",
            Said::Silent => "silent",
            Said::Nonsense => "nonsense",
            Said::TlsBroken => "tls_broken",
            Said::Stopped => "stopped",
        }
    }

    /// The kind of that word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|said| said.word() == word)
    }
}

/// One line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// Milliseconds since the attempt began; `None`: it was said before the attempt, or together with what stands above it.
    pub after_ms: Option<u32>,
    /// What it is.
    pub said: Said,
    /// Its text; an answer of several lines has several.
    pub text: String,
}

/// The lines of one attempt, written tightly.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Conversation(Vec<u8>);

impl Conversation {
    /// Adds a line; false, and nothing is added, where `max` octets would be passed.
    pub fn push(&mut self, after_ms: Option<u32>, said: Said, text: &str, max: usize) -> bool {
        let (kept, cut) = clipped(text);
        if self.0.len() + kept.len() + LINE_EXTRA_OCTETS_MAX > max {
            return false;
        }
        self.0.push(said as u8);
        write_number(&mut self.0, after_ms.map_or(0, |ms| u64::from(ms) + 1));
        write_number(&mut self.0, (kept.len() + cut.len()) as u64);
        if kept.chars().all(|c| c == '\n' || !c.is_control()) {
            self.0.extend_from_slice(kept.as_bytes());
        } else {
            // The second octet of a control character over 127 is dropped with it: the length stays true.
            let blank = |c: char| {
                if c == '\n' || !c.is_control() {
                    c
                } else if c.len_utf8() == 1 {
                    ' '
                } else {
                    '\u{a0}'
                }
            };
            self.0.extend_from_slice(kept.chars().map(blank).collect::<String>().as_bytes());
        }
        self.0.extend_from_slice(cut.as_bytes());
        true
    }

    /// Nothing was said.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As it is stored.
    pub fn octets(&self) -> &[u8] {
        &self.0
    }

    /// As it was stored.
    pub fn of_octets(octets: &[u8]) -> Self {
        Conversation(octets.to_vec())
    }

    /// Every octet of it makes sense.
    pub fn is_sound(&self) -> bool {
        let mut rest = self.0.as_slice();
        while !rest.is_empty() {
            if read_line(&mut rest).is_none() {
                return false;
            }
        }
        true
    }

    /// The lines. Where the octets make no sense any more, the last one says that something is missing.
    pub fn lines(&self) -> Vec<Line> {
        let mut rest = self.0.as_slice();
        let mut lines = Vec::new();
        while !rest.is_empty() {
            match read_line(&mut rest) {
                Some(line) => lines.push(line),
                None => {
                    lines.push(Line { after_ms: None, said: Said::LeftOut, text: String::new() });
                    break;
                }
            }
        }
        lines
    }
}

/// What a line takes beside its text: its kind, five octets of time and two of length at most, and the mark of a cut.
const LINE_EXTRA_OCTETS_MAX: usize = 1 + 5 + 2 + CUT.len();
/// Stands for what was cut off.
const CUT: &str = "…";

fn clipped(text: &str) -> (&str, &'static str) {
    if text.len() <= TEXT_OCTETS_MAX {
        return (text, "");
    }
    (&text[..text.floor_char_boundary(TEXT_OCTETS_MAX)], CUT)
}

/// Seven bits an octet, lowest first.
fn write_number(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push((n as u8) | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn read_number(rest: &mut &[u8]) -> Option<u64> {
    let mut n = 0;
    // Times and lengths fit five octets.
    for shift in (0..35).step_by(7) {
        let (octet, more) = rest.split_first()?;
        *rest = more;
        n |= u64::from(octet & 0x7f) << shift;
        if octet & 0x80 == 0 {
            return Some(n);
        }
    }
    None
}

fn read_line(rest: &mut &[u8]) -> Option<Line> {
    let (tag, more) = rest.split_first()?;
    let said = *Said::ALL.get(usize::from(*tag))?;
    let mut more = more;
    let after_ms = match read_number(&mut more)? {
        0 => None,
        n => Some(u32::try_from(n - 1).ok()?),
    };
    let len = usize::try_from(read_number(&mut more)?).ok()?;
    let (text, more) = more.split_at_checked(len)?;
    *rest = more;
    Some(Line { after_ms, said, text: std::str::from_utf8(text).ok()?.to_owned() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn lines_are_read_back_clipped_and_without_control_characters(
            said in proptest::collection::vec((0..Said::ALL.len(), any::<Option<u32>>(), "\\PC{0,40}|.{0,900}"), 0..12),
            max in 0..CONVERSATION_OCTETS_MAX,
        ) {
            let mut conversation = Conversation::default();
            let mut pushed = Vec::new();
            for (kind, at, text) in &said {
                let said = Said::ALL[*kind];
                // The end of time has no number: half a day less does.
                let at = at.map(|ms| ms.min(u32::MAX - 1));
                if conversation.push(at, said, text, max) {
                    pushed.push((at, said, text));
                }
            }
            prop_assert!(conversation.octets().len() <= max);
            let again = Conversation::of_octets(conversation.octets());
            prop_assert!(again.is_sound());
            let lines = again.lines();
            prop_assert_eq!(lines.len(), pushed.len());
            for (line, (at, said, text)) in lines.iter().zip(pushed) {
                prop_assert_eq!((line.after_ms, line.said), (at, said));
                prop_assert!(line.text.len() <= TEXT_OCTETS_MAX + CUT.len());
                prop_assert!(line.text.chars().all(|c| c == '\n' || !c.is_control()));
                if text.len() <= TEXT_OCTETS_MAX {
                    prop_assert_eq!(line.text.chars().count(), text.chars().count());
                } else {
                    prop_assert!(line.text.ends_with(CUT));
                }
            }
        }

        #[test]
        fn garbage_ends_a_conversation_and_is_no_panic(octets in proptest::collection::vec(any::<u8>(), 0..200)) {
            let conversation = Conversation::of_octets(&octets);
            let lines = conversation.lines();
            prop_assert!(conversation.is_sound() || lines.last().is_some_and(|line| line.said == Said::LeftOut));
        }
    }

    #[test]
    fn every_kind_has_a_word_and_is_stored_by_its_place() {
        for (place, said) in Said::ALL.into_iter().enumerate() {
            assert_eq!((said as usize, Said::from_word(said.word())), (place, Some(said)));
        }
    }
}
