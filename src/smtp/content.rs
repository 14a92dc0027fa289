//! The content of a message on its way in: DATA and BDAT, checked and unstuffed as a stream.
//!
//! In: octets in pieces of any size.  Out: the octets of the message, and whether it ended.
//! Always: only CR LF . CR LF ends DATA, in every mode; after a bare LF, bare CR, NUL or too many octets nothing more is given
//! out, but the true end is still found, so that what follows it is a command and nothing else is; how the octets were cut
//! into pieces changes nothing.
//! Sources: RFC 5321 §2.3.8, §4.1.1.4 and §4.5.2; RFC 3030; RFC 1870 §3 (what counts as size).

/// What is wrong with a content.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// More octets than are taken.
    TooLarge,
    /// LF without CR before it.
    BareLf,
    /// CR without LF after it.
    BareCr,
    /// An octet 0.
    Nul,
}

/// How far [`Scanner::scan`] came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Scanned {
    /// Octets used up.
    pub used: usize,
    /// CR LF . CR LF was seen (DATA only); what follows `used` are commands.
    pub ended: bool,
}

/// Checks one message's content.
#[derive(Debug)]
pub struct Scanner {
    framing: Framing,
    normalize: bool,
    at: At,
    octets: u64,
    octets_max: u64,
    fault: Option<Fault>,
    muted: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    /// DATA: dot-stuffed, ended by a line with a dot.
    Dots,
    /// BDAT: raw, the length is known.
    Chunks,
}

/// Where the next octet stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// After CR LF, or at the very start.
    LineStart,
    /// After a bare LF that was made CR LF: a dot is unstuffed, but can never end the message.
    SoftLineStart,
    /// After CR LF and a dot, which was not given out.
    Dot,
    /// After CR LF, dot, CR; neither dot nor CR was given out.
    DotCr,
    /// After a CR, which was given out.
    Cr,
    /// Anywhere else.
    Text,
}

impl Scanner {
    /// For DATA. `normalize`: a bare LF or CR becomes CR LF instead of a fault.
    pub fn data(octets_max: u64, normalize: bool) -> Self {
        Scanner::new(Framing::Dots, octets_max, normalize)
    }

    /// For BDAT; one scanner for all chunks of a message.
    pub fn chunks(octets_max: u64, normalize: bool) -> Self {
        Scanner::new(Framing::Chunks, octets_max, normalize)
    }

    fn new(framing: Framing, octets_max: u64, normalize: bool) -> Self {
        Scanner { framing, normalize, at: At::LineStart, octets: 0, octets_max, fault: None, muted: false }
    }

    /// Octets of the message so far, unstuffed.
    pub fn octets(&self) -> u64 {
        self.octets
    }

    /// The first fault; one of the line ends or NUL hides an excess of octets, because the session must end on it.
    pub fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// From here on nothing is given out; the end is still looked for.
    pub fn mute(&mut self) {
        self.muted = true;
    }

    /// A chunk of `octets` is announced: notes at once that it will not fit.
    pub fn announce(&mut self, octets: u64) {
        if self.octets.saturating_add(octets) > self.octets_max {
            self.note(Fault::TooLarge);
        }
    }

    /// Scans `input` and appends what belongs to the message to `out`. With DATA it stops after the end of the message.
    pub fn scan(&mut self, input: &[u8], out: &mut Vec<u8>) -> Scanned {
        let start = out.len();
        if !self.is_silent() {
            out.reserve(input.len());
        }
        let scanned = self.walk(input, out);
        self.octets = self.octets.saturating_add((out.len() - start) as u64);
        if self.octets > self.octets_max {
            self.note(Fault::TooLarge);
        }
        if self.is_silent() {
            out.truncate(start);
        }
        scanned
    }

    /// The last chunk is over: a CR at its very end has no LF. Appends what normalizing adds.
    pub fn end_of_chunks(&mut self, out: &mut Vec<u8>) {
        if self.at != At::Cr {
            return;
        }
        let start = out.len();
        self.bare_cr(out, false);
        self.octets = self.octets.saturating_add((out.len() - start) as u64);
        if self.is_silent() {
            out.truncate(start);
        }
    }

    fn is_silent(&self) -> bool {
        self.muted || self.fault.is_some()
    }

    fn note(&mut self, fault: Fault) {
        if matches!(self.fault, None | Some(Fault::TooLarge)) {
            self.fault = Some(fault);
        }
    }

    /// The states at the border of two pieces are walked octet by octet, the rest by [`Scanner::text`] in long strides.
    fn walk(&mut self, input: &[u8], out: &mut Vec<u8>) -> Scanned {
        let mut i = 0;
        while let Some(&octet) = input.get(i) {
            match (self.at, octet) {
                (At::LineStart, b'.') if self.framing == Framing::Dots => {
                    self.at = At::Dot;
                    i += 1;
                }
                (At::SoftLineStart, b'.') if self.framing == Framing::Dots => {
                    self.at = At::Text;
                    i += 1;
                }
                (At::Dot, b'\r') => {
                    self.at = At::DotCr;
                    i += 1;
                }
                (At::DotCr, b'\n') => return Scanned { used: i + 1, ended: true },
                (At::DotCr, _) => self.bare_cr(out, true),
                (At::Cr, b'\n') => {
                    out.push(b'\n');
                    self.at = At::LineStart;
                    i += 1;
                }
                (At::Cr, _) => self.bare_cr(out, false),
                (At::LineStart | At::SoftLineStart | At::Dot | At::Text, _) => i += self.text(&input[i..], out),
            }
        }
        Scanned { used: i, ended: false }
    }

    /// A CR without LF; `withheld`: it was not given out yet. The octet after it is looked at again, as text: a dot there
    /// is no stuffing, because no sender counts a bare CR as the end of a line.
    fn bare_cr(&mut self, out: &mut Vec<u8>, withheld: bool) {
        if self.normalize {
            out.extend_from_slice(if withheld { b"\r\n" } else { b"\n" });
        } else {
            self.note(Fault::BareCr);
        }
        self.at = At::Text;
    }

    /// Takes octets from within a line up to the next place that [`Scanner::walk`] must look at; uses at least one.
    fn text(&mut self, input: &[u8], out: &mut Vec<u8>) -> usize {
        let mut i = 0;
        let (stop, at) = loop {
            let Some(found) = next_control(&input[i..]) else {
                break (input.len(), At::Text);
            };
            i += found;
            match (input[i], input.get(i + 1)) {
                // Most lines end and begin within one piece, and begin without a dot.
                (b'\r', Some(b'\n')) => {
                    i += 2;
                    if i == input.len() || (input[i] == b'.' && self.framing == Framing::Dots) {
                        break (i, At::LineStart);
                    }
                }
                (b'\r', _) => break (i + 1, At::Cr),
                (b'\n', _) if self.normalize => {
                    out.extend_from_slice(&input[..i]);
                    out.extend_from_slice(b"\r\n");
                    self.at = At::SoftLineStart;
                    return i + 1;
                }
                (b'\n', _) => {
                    self.note(Fault::BareLf);
                    i += 1;
                }
                (0, _) => {
                    self.note(Fault::Nul);
                    i += 1;
                }
                // A tab, or another control character that mail may hold.
                _ => i += 1,
            }
        };
        out.extend_from_slice(&input[..stop]);
        self.at = at;
        stop
    }
}

/// Index of the first octet below 14: CR, LF, NUL, and a few that are rare in mail. Looks at 32 octets a step.
fn next_control(input: &[u8]) -> Option<usize> {
    const WORD: usize = size_of::<u64>();
    let mut strides = input.chunks_exact(4 * WORD);
    let mut i = 0;
    for stride in &mut strides {
        let mut any = 0;
        for word in stride.chunks_exact(WORD) {
            any |= octets_below_14(word);
        }
        if any != 0 {
            break;
        }
        i += stride.len();
    }
    let rest = &input[i..];
    let mut words = rest.chunks_exact(WORD);
    for word in &mut words {
        let marks = octets_below_14(word);
        if marks != 0 {
            return Some(i + marks.trailing_zeros() as usize / 8);
        }
        i += WORD;
    }
    words.remainder().iter().position(|b| *b < 14).map(|p| i + p)
}

/// Marks the octets below 14 of eight by their highest bits. A borrow can only run upwards from a marked octet, so that the
/// lowest mark is always true.
fn octets_below_14(word: &[u8]) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let mut octets = [0; 8];
    octets.copy_from_slice(word);
    let x = u64::from_le_bytes(octets);
    x.wrapping_sub(ONES * 14) & !x & (ONES << 7)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a scanner makes of a stream: the message, its fault, and what is left after its end.
    #[derive(Debug, PartialEq, Clone)]
    struct Seen {
        content: Vec<u8>,
        fault: Option<Fault>,
        ended: bool,
        left: Vec<u8>,
    }

    fn scan(mut scanner: Scanner, pieces: &[&[u8]]) -> Seen {
        let (mut content, mut ended, mut left) = (Vec::new(), false, Vec::new());
        for piece in pieces {
            if ended {
                left.extend_from_slice(piece);
                continue;
            }
            let scanned = scanner.scan(piece, &mut content);
            ended = scanned.ended;
            left.extend_from_slice(&piece[scanned.used..]);
            assert!(ended || scanned.used == piece.len());
        }
        if scanner.framing == Framing::Chunks {
            scanner.end_of_chunks(&mut content);
        }
        let fault = scanner.fault();
        if fault.is_some() {
            content.clear();
        }
        Seen { content, fault, ended, left }
    }

    fn whole(input: &[u8], normalize: bool) -> Seen {
        scan(Scanner::data(u64::MAX, normalize), &[input])
    }

    /// The obvious way: look for the first CR LF . CR LF, then judge and unstuff what stands before it, line by line.
    fn reference(input: &[u8], normalize: bool) -> Seen {
        // The 354 stands where a CR LF would: a dot may be the very first line.
        let virtual_input = [b"\r\n", input].concat();
        let end = virtual_input.windows(5).position(|w| w == b"\r\n.\r\n");
        let (body, left) = match end {
            Some(end) => (&virtual_input[2..(end + 2).max(2)], virtual_input[end + 5..].to_vec()),
            None => (&virtual_input[2..], Vec::new()),
        };
        let mut content = Vec::new();
        let mut fault = None;
        let mut line_start = true;
        let mut i = 0;
        while i < body.len() {
            let after_line_start = std::mem::replace(&mut line_start, false);
            let (octet, next) = (body[i], body.get(i + 1));
            i += 1;
            match (octet, next) {
                (b'.', _) if after_line_start => {}
                (b'\r', Some(b'\n')) => {
                    content.extend_from_slice(b"\r\n");
                    i += 1;
                    line_start = true;
                }
                // Cut off: nobody knows yet what follows.
                (b'\r', None) if end.is_none() => content.push(b'\r'),
                (b'\r', _) => {
                    if !normalize {
                        fault = fault.or(Some(Fault::BareCr));
                    }
                    content.extend_from_slice(b"\r\n");
                }
                (b'\n', _) => {
                    if !normalize {
                        fault = fault.or(Some(Fault::BareLf));
                    } else {
                        line_start = true;
                    }
                    content.extend_from_slice(b"\r\n");
                }
                (0, _) => {
                    fault = fault.or(Some(Fault::Nul));
                    content.push(0);
                }
                (octet, _) => content.push(octet),
            }
        }
        if fault.is_some() {
            content.clear();
        }
        Seen { content, fault, ended: end.is_some(), left }
    }

    #[test]
    fn only_cr_lf_dot_cr_lf_ends_a_message() {
        let starts: [&[u8]; 4] = [b"", b"\r", b"\n", b"\r\n"];
        for before in [&b"x"[..], b""] {
            for first in starts {
                for second in [&b"\r"[..], b"\n", b"\r\n", b"\r\r\n", b"\n\r\n", b" \r\n", b""] {
                    let smuggled = [before, first, b".", second, b"MAIL FROM:<evil@example.jp>\r\n"].concat();
                    let is_end = (first == b"\r\n" || first.is_empty() && before.is_empty()) && second == b"\r\n";
                    for normalize in [false, true] {
                        assert_eq!(
                            whole(&smuggled, normalize).ended,
                            is_end,
                            "{:?}",
                            smuggled.escape_ascii().to_string()
                        );
                        let input = [&smuggled[..], b"\r\n.\r\nQUIT\r\n"].concat();
                        let seen = whole(&input, normalize);
                        assert!(seen.ended);
                        if !is_end {
                            assert_eq!(seen.left, b"QUIT\r\n");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn dots_are_unstuffed_and_everything_else_is_kept() {
        let cases: [(&[u8], &[u8]); 7] = [
            (b".\r\n", b""),
            (b"a\r\n.\r\n", b"a\r\n"),
            (b"..\r\n.\r\n", b".\r\n"),
            (b"...a\r\n..b\r\n.c\r\n.\r\n", b"..a\r\n.b\r\nc\r\n"),
            (b"\r\n\r\n.\r\n", b"\r\n\r\n"),
            (b"a.b\t\x01\x0b\x0c\x0e\x1b\x7f\xff\r\n.\r\n", b"a.b\t\x01\x0b\x0c\x0e\x1b\x7f\xff\r\n"),
            (b"a\r\n..\r\n.\r\n", b"a\r\n.\r\n"),
        ];
        for (input, content) in cases {
            let seen = whole(input, false);
            assert_eq!(
                (seen.content.as_slice(), seen.fault, seen.ended),
                (content, None, true),
                "{:?}",
                input.escape_ascii()
            );
        }
    }

    #[test]
    fn normalizing_makes_bare_line_ends_whole() {
        let cases: [(&[u8], &[u8]); 7] = [
            (b"a\nb\n\r\n.\r\n", b"a\r\nb\r\n\r\n"),
            (b"a\n.\nb\r\n.\r\n", b"a\r\n\r\nb\r\n"),
            (b"a\n..b\r\n.\r\n", b"a\r\n.b\r\n"),
            (b"a\rb\r\n.\r\n", b"a\r\nb\r\n"),
            (b"a\r.b\r\n.\r\n", b"a\r\n.b\r\n"),
            (b".\rb\r\n.\r\n", b"\r\nb\r\n"),
            (b"a\r\r\n.\r\n", b"a\r\n\r\n"),
        ];
        for (input, content) in cases {
            let seen = whole(input, true);
            assert_eq!(
                (seen.content.as_slice(), seen.fault, seen.ended),
                (content, None, true),
                "{:?}",
                input.escape_ascii()
            );
        }
        assert_eq!(whole(b"a\0\r\n.\r\n", true).fault, Some(Fault::Nul));
    }

    #[test]
    fn chunks_are_checked_across_their_borders() {
        type Case<'a> = (&'a [&'a [u8]], Result<&'a [u8], Fault>);
        let cases: [Case; 9] = [
            (&[b"a\r\n", b".\r\n", b"b"], Ok(b"a\r\n.\r\nb")),
            (&[b"a\r", b"\nb"], Ok(b"a\r\nb")),
            (&[b"a\r", b"", b"\n"], Ok(b"a\r\n")),
            (&[b""], Ok(b"")),
            (&[b"a\r", b"b"], Err(Fault::BareCr)),
            (&[b"a", b"\nb"], Err(Fault::BareLf)),
            (&[b"a\r"], Err(Fault::BareCr)),
            (&[b"a\r", b"\r\n"], Err(Fault::BareCr)),
            (&[b"a", b"\0"], Err(Fault::Nul)),
        ];
        for (chunks, expected) in cases {
            let seen = scan(Scanner::chunks(u64::MAX, false), chunks);
            match expected {
                Ok(content) => assert_eq!((seen.content.as_slice(), seen.fault), (content, None), "{chunks:?}"),
                Err(fault) => assert_eq!(seen.fault, Some(fault), "{chunks:?}"),
            }
        }
        assert_eq!(scan(Scanner::chunks(u64::MAX, true), &[b"a\r", b"b\r"]).content, b"a\r\nb\r\n");
    }

    #[test]
    fn size_counts_unstuffed_octets_and_a_bad_line_end_outranks_it() {
        let fault = |input: &[u8], max| scan(Scanner::data(max, false), &[input]).fault;
        assert_eq!(fault(b"..a\r\n.\r\n", 4), None);
        assert_eq!(fault(b"..a\r\n.\r\n", 3), Some(Fault::TooLarge));
        assert_eq!(fault(b"aaaa\nb\r\n.\r\n", 3), Some(Fault::BareLf));
        let mut scanner = Scanner::chunks(3, false);
        scanner.announce(3);
        assert_eq!(scanner.fault(), None);
        scanner.announce(4);
        assert_eq!(scanner.fault(), Some(Fault::TooLarge));
        scanner.scan(b"a\0b", &mut Vec::new());
        assert_eq!(scanner.fault(), Some(Fault::Nul));
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_obvious_way_however_the_octets_are_cut(
            input in proptest::collection::vec(
                prop_oneof![
                    4 => Just(&b"\r\n"[..]), 3 => Just(&b"."[..]), 1 => Just(&b"\r"[..]), 1 => Just(&b"\n"[..]),
                    1 => Just(&b"\r\n.\r\n"[..]), 4 => Just(&b"text"[..]), 1 => Just(&b"\t"[..]),
                    1 => Just(&b"a long line that is more than one stride of the search for line ends"[..]),
                ],
                0..40,
            ),
            nul in proptest::option::weighted(0.1, 0usize..100),
            cuts in proptest::collection::vec(1usize..40, 1..20),
            normalize: bool,
        ) {
            let mut input = input.concat();
            if let Some(at) = nul.filter(|at| *at < input.len()) {
                input[at] = 0;
            }
            let expected = reference(&input, normalize);
            let mut pieces = Vec::new();
            let mut rest = &input[..];
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, more) = rest.split_at((*cut).min(rest.len()));
                pieces.push(piece);
                rest = more;
            }
            for pieces in [&[&input[..]][..], &pieces] {
                let seen = scan(Scanner::data(u64::MAX, normalize), pieces);
                // Without an end, what a cut holds back is not decided yet: only an ended message is compared in full.
                if expected.ended {
                    prop_assert_eq!(&seen, &expected);
                } else {
                    prop_assert!(!seen.ended);
                }
            }
        }

        #[test]
        fn chunks_give_back_what_was_put_in(input in proptest::collection::vec(32u8..=255, 0..200), cut in 0usize..200) {
            let input: Vec<u8> = input.into_iter().flat_map(|b| if b % 16 == 0 { vec![b'\r', b'\n'] } else { vec![b] }).collect();
            let (a, b) = input.split_at(cut.min(input.len()));
            prop_assert_eq!(scan(Scanner::chunks(u64::MAX, false), &[a, b]).content, input);
        }

        #[test]
        fn the_search_finds_the_first_low_octet(input in proptest::collection::vec(any::<u8>(), 0..120)) {
            let input: Vec<u8> = input.into_iter().map(|b| if b < 14 && b % 3 != 0 { b'x' } else { b }).collect();
            prop_assert_eq!(next_control(&input), input.iter().position(|b| *b < 14));
        }
    }
}
