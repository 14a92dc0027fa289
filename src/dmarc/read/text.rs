//! XML files as UTF-8, whatever they are written in, within bounds.
//!
//! In: a reader of octets, and their first ones.  Out: a reader of UTF-8.
//! Always: any octets are read, what is no text of the charset becomes U+FFFD and is told by [`Utf8::is_odd`]; a file that is
//! UTF-8 is that, whatever it declares; all octets are counted against the file's bound, and those since the last
//! [`Utf8::mark`] against [`EVENT_OCTETS_MAX`]; memory is a few chunks.
//! Sources: XML 1.0 §4.3.3 and appendix F, the labels of the Encoding Standard.

use std::io::{self, BufRead, ErrorKind, Read};

use encoding_rs::{Decoder, Encoding, UTF_8, UTF_16BE, UTF_16LE};

/// Octets between two marks: a tag, a text, a comment. Real ones stay below a kilobyte.
pub(super) const EVENT_OCTETS_MAX: u64 = 64 << 10;
/// Octets that are looked at in one go.
const CHUNK: usize = 32 << 10;
/// Octets beyond ASCII that are gathered before it is decided what they are.
const RUN_MAX: usize = 4 << 10;
/// Octets of a file in which its declaration is looked for.
pub(super) const DECLARATION_MAX: usize = 512;

/// Why reading stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum Stop {
    /// The whole is too long.
    #[error("the text has more than {0} octets")]
    Whole(u64),
    /// One tag or text is too long.
    #[error("a tag or a text has more than {EVENT_OCTETS_MAX} octets")]
    Event,
}

impl Stop {
    /// The stop that an error of [`Utf8`] carries.
    pub(super) fn of(error: &io::Error) -> Option<Stop> {
        error.get_ref()?.downcast_ref().copied()
    }
}

/// The charset of an XML file, by its first octets: a mark, the form of its first tag, its declaration.
fn charset(start: &[u8]) -> &'static Encoding {
    match start {
        [0xff, 0xfe, ..] | [b'<', 0, _, 0, ..] => return UTF_16LE,
        [0xfe, 0xff, ..] | [0, b'<', 0, _, ..] => return UTF_16BE,
        [0xef, 0xbb, 0xbf, ..] => return UTF_8,
        _ => {}
    }
    let start = &start[..start.len().min(DECLARATION_MAX)];
    let find = |from: &[u8], word: &[u8]| from.windows(word.len()).position(|w| w == word);
    let declared = || {
        let declaration = &start[find(start, b"<?xml")?..];
        let declaration = &declaration[..find(declaration, b"?>")?];
        let value = &declaration[find(declaration, b"encoding")? + b"encoding".len()..];
        let open = value.iter().position(|b| matches!(b, b'"' | b'\''))?;
        let close = value[open + 1..].iter().position(|b| *b == value[open])?;
        Encoding::for_label(&value[open + 1..][..close])
    };
    // What can be read as ASCII is no UTF-16, though it may say so.
    declared().filter(|e| e.is_ascii_compatible()).unwrap_or(UTF_8)
}

/// See the file's head.
pub(super) struct Utf8<R> {
    inner: R,
    mode: Mode,
    /// Octets at the start of `inner`'s buffer that are known to be ASCII.
    clean: usize,
    /// Octets beyond ASCII that are not decided yet.
    run: Vec<u8>,
    /// Decoded text, and how much of it was taken.
    out: Vec<u8>,
    taken: usize,
    octets_max: u64,
    octets: u64,
    since_mark: u64,
    is_odd: bool,
}

enum Mode {
    /// UTF-8, or a charset of single octets where it is not.
    Runs(&'static Encoding),
    /// Several octets a letter.
    Stream(Box<Decoder>),
    /// The stream has ended.
    Done,
}

impl<R: BufRead> Utf8<R> {
    /// Reads `inner`, which begins with `start`, up to `octets_max` octets of UTF-8.
    pub(super) fn new(inner: R, start: &[u8], octets_max: u64) -> Self {
        let encoding = charset(start);
        let mode = if encoding == UTF_8 || encoding.is_single_byte() {
            Mode::Runs(encoding)
        } else {
            Mode::Stream(Box::new(encoding.new_decoder_with_bom_removal()))
        };
        let (run, out) = (Vec::new(), Vec::new());
        Utf8 { inner, mode, clean: 0, run, out, taken: 0, octets_max, octets: 0, since_mark: 0, is_odd: false }
    }

    /// A tag or a text is over.
    pub(super) fn mark(&mut self) {
        self.since_mark = 0;
    }

    /// Some of it was no text of its charset.
    pub(super) fn is_odd(&self) -> bool {
        self.is_odd
    }

    /// Octets that were read.
    pub(super) fn octets(&self) -> u64 {
        self.octets
    }

    /// The reader below.
    pub(super) fn inner(&mut self) -> &mut R {
        &mut self.inner
    }

    /// Makes the next octets ready: `clean`, or `out`, or none at the end.
    fn prepare(&mut self) -> io::Result<()> {
        self.out.clear();
        self.taken = 0;
        match &mut self.mode {
            Mode::Runs(encoding) => {
                let encoding = *encoding;
                self.runs(encoding)
            }
            Mode::Stream(decoder) => loop {
                let chunk = self.inner.fill_buf()?;
                let is_last = chunk.is_empty();
                let chunk = &chunk[..chunk.len().min(CHUNK)];
                self.out.resize(chunk.len() * 3 + 16, 0);
                let (_, read, written, replaced) = decoder.decode_to_utf8(chunk, &mut self.out, is_last);
                self.out.truncate(written);
                self.inner.consume(read);
                self.is_odd |= replaced;
                if is_last {
                    self.mode = Mode::Done;
                    return Ok(());
                }
                if written > 0 {
                    return Ok(());
                }
            },
            Mode::Done => Ok(()),
        }
    }

    fn runs(&mut self, encoding: &'static Encoding) -> io::Result<()> {
        loop {
            let chunk = self.inner.fill_buf()?;
            let chunk = &chunk[..chunk.len().min(CHUNK)];
            let plain = Encoding::ascii_valid_up_to(chunk);
            if self.run.is_empty() && plain > 0 {
                self.clean = plain;
                return Ok(());
            }
            // Behind a run, ASCII or the end decides what it was.
            if plain > 0 || chunk.is_empty() {
                self.decide(encoding, true);
                return Ok(());
            }
            let end = chunk.iter().position(u8::is_ascii).unwrap_or(chunk.len());
            let room = RUN_MAX.saturating_sub(self.run.len());
            let end = end.min(room);
            self.run.extend_from_slice(&chunk[..end]);
            self.inner.consume(end);
            if self.run.len() >= RUN_MAX {
                self.decide(encoding, false);
                return Ok(());
            }
        }
    }

    /// Decodes the run; the beginning of a letter at its end waits if more may follow.
    fn decide(&mut self, encoding: &'static Encoding, is_whole: bool) {
        match std::str::from_utf8(&self.run) {
            Ok(_) => std::mem::swap(&mut self.out, &mut self.run),
            Err(error) if error.error_len().is_none() && !is_whole => {
                let rest = self.run.split_off(error.valid_up_to());
                self.out = std::mem::replace(&mut self.run, rest);
                return;
            }
            Err(_) if encoding != UTF_8 => {
                let (text, replaced) = encoding.decode_without_bom_handling(&self.run);
                self.is_odd |= replaced;
                self.out.extend_from_slice(text.as_bytes());
            }
            Err(_) => {
                self.is_odd = true;
                self.out.extend_from_slice(String::from_utf8_lossy(&self.run).as_bytes());
            }
        }
        self.run.clear();
    }
}

impl<R: BufRead> BufRead for Utf8<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.since_mark > EVENT_OCTETS_MAX {
            return Err(io::Error::new(ErrorKind::InvalidData, Stop::Event));
        }
        if self.octets > self.octets_max {
            return Err(io::Error::new(ErrorKind::InvalidData, Stop::Whole(self.octets_max)));
        }
        if self.clean == 0 && self.taken == self.out.len() {
            self.prepare()?;
        }
        if self.clean > 0 {
            let chunk = self.inner.fill_buf()?;
            return Ok(&chunk[..self.clean.min(chunk.len())]);
        }
        Ok(&self.out[self.taken..])
    }

    fn consume(&mut self, amount: usize) {
        self.octets += amount as u64;
        self.since_mark += amount as u64;
        if self.clean > 0 {
            self.clean = self.clean.saturating_sub(amount);
            self.inner.consume(amount);
        } else {
            self.taken = (self.taken + amount).min(self.out.len());
        }
    }
}

impl<R: BufRead> Read for Utf8<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let chunk = self.fill_buf()?;
        let n = chunk.len().min(buffer.len());
        buffer[..n].copy_from_slice(&chunk[..n]);
        self.consume(n);
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use proptest::prelude::*;

    use super::*;

    /// What is read in chunks of so many octets, and whether it was odd.
    fn read(octets: &[u8], chunk: usize) -> (String, bool) {
        let mut utf8 = Utf8::new(BufReader::with_capacity(chunk, octets), octets, 1 << 20);
        let mut out = Vec::new();
        loop {
            let n = {
                let chunk = utf8.fill_buf().expect("within bounds");
                out.extend_from_slice(chunk);
                chunk.len()
            };
            if n == 0 {
                return (String::from_utf8(out).expect("UTF-8"), utf8.is_odd());
            }
            utf8.consume(n);
            utf8.mark();
        }
    }

    fn utf16(text: &str, is_little: bool, mark: bool) -> Vec<u8> {
        let units = mark.then_some(0xfeff).into_iter().chain(text.encode_utf16());
        units.flat_map(|u| if is_little { u.to_le_bytes() } else { u.to_be_bytes() }).collect()
    }

    #[test]
    fn charsets_are_told_by_what_the_octets_are() {
        let text = "<a>飛脚 é</a>";
        for chunk in [1, 2, 3, 7, 64] {
            for (octets, expected, odd) in [
                (text.as_bytes().to_vec(), text, false),
                (["\u{feff}", text].concat().into_bytes(), "\u{feff}<a>飛脚 é</a>", false),
                (utf16(text, true, true), text, false),
                (utf16(text, false, true), text, false),
                (utf16(text, true, false), text, false),
                (utf16(text, false, false), text, false),
                (b"<?xml encoding='ISO-8859-1'?><a>\xe9</a>".to_vec(), "<?xml encoding='ISO-8859-1'?><a>é</a>", false),
                // Declared wrongly: UTF-8 all the same.
                (
                    "<?xml encoding=\"iso-8859-1\"?><a>é</a>".as_bytes().to_vec(),
                    "<?xml encoding=\"iso-8859-1\"?><a>é</a>",
                    false,
                ),
                (
                    "<?xml encoding=\"UTF-16\"?><a>é</a>".as_bytes().to_vec(),
                    "<?xml encoding=\"UTF-16\"?><a>é</a>",
                    false,
                ),
                (b"<?xml encoding='nonsense'?>\xc3\xa9".to_vec(), "<?xml encoding='nonsense'?>é", false),
                (
                    b"<?xml encoding='Shift_JIS'?>\x83\x81\x81[\x83\x8b".to_vec(),
                    "<?xml encoding='Shift_JIS'?>メール",
                    false,
                ),
                (b"<a>\xe9</a>\xff".to_vec(), "<a>\u{fffd}</a>\u{fffd}", true),
                (b"\xe9".to_vec(), "\u{fffd}", true),
            ] {
                assert_eq!(read(&octets, chunk), (expected.to_owned(), odd), "{octets:?} by {chunk}");
            }
        }
    }

    #[test]
    fn long_runs_are_cut_between_letters() {
        let text = "飛".repeat(RUN_MAX);
        for chunk in [1, 5, 4096, 100_000] {
            assert_eq!(read(text.as_bytes(), chunk), (text.clone(), false), "{chunk}");
        }
    }

    #[test]
    fn octets_are_bounded() {
        let text = vec![b'x'; 1 << 20];
        let mut utf8 = Utf8::new(&text[..], &text[..10], 1 << 20);
        let error = io::copy(&mut utf8, &mut io::sink()).expect_err("an endless text");
        assert_eq!(Stop::of(&error), Some(Stop::Event));
        let mut utf8 = Utf8::new(&text[..], &text[..10], 1000);
        let n = utf8.fill_buf().expect("the first chunk").len();
        utf8.consume(n);
        utf8.mark();
        assert_eq!(utf8.fill_buf().map_err(|e| Stop::of(&e)), Err(Some(Stop::Whole(1000))));
        assert!(utf8.octets() <= CHUNK as u64);
    }

    proptest! {
        #[test]
        fn any_octets_are_text(octets in prop::collection::vec(any::<u8>(), 0..200), chunk in 1usize..40, label in 0usize..5) {
            let label = ["utf-8", "windows-1252", "shift_jis", "iso-2022-jp", "x"][label];
            let octets = [format!("<?xml encoding='{label}'?>").into_bytes(), octets].concat();
            let (text, _) = read(&octets, chunk);
            prop_assert_eq!(text, read(&octets, 1000).0);
        }
    }
}
