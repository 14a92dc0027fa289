//! Inflates what others compressed, within bounds: gzip, and the deflated or stored entries of ZIP files.
//!
//! In: compressed octets in memory, and a [`Bound`].  Out: a reader of what they hold; its errors carry a [`Fault`].
//! Always: no size that a file claims is believed; what comes out is bounded in octets and in how often it is longer than what
//! went in; checksums and lengths are checked at the end; memory is a window of 32 KiB, whatever the file does.
//! Sources: RFC 1951, RFC 1952 §2.2 (members), PKWARE APPNOTE §4.4.

use std::io::{self, ErrorKind, Read};

use flate2::{
    Crc,
    bufread::{DeflateDecoder, GzDecoder},
};

/// How often longer than its file a text may be: reports of a hundred thousand records that look alike stay below 60.
pub const RATIO_MAX: u64 = 200;
/// Octets up to which the ratio does not count: short texts of blanks harm nobody.
pub const RATIO_FREE_OCTETS: u64 = 1 << 20;
/// Members of a gzip file that are read one after another; real files have one.
pub const MEMBERS_MAX: u32 = 100;

/// How much may come out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bound {
    /// Octets at most.
    pub octets_max: u64,
}

/// Why inflation stopped.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Fault {
    /// More than [`Bound::octets_max`] octets.
    #[error("the compressed file holds more than {0} octets")]
    TooLong(u64),
    /// More than [`RATIO_MAX`] times its size.
    #[error("the compressed file holds more than {RATIO_MAX} times its size")]
    Ratio,
    /// More than [`MEMBERS_MAX`] members.
    #[error("the gzip file has more than {MEMBERS_MAX} members")]
    Members,
    /// It stops too early.
    #[error("the compressed file ends too early")]
    Ended,
    /// Its checksum or length is another one.
    #[error("the compressed file does not match its checksum")]
    Differs,
    /// It is no such file.
    #[error("the compressed file is broken: {0}")]
    Broken(String),
}

impl Fault {
    /// The fault that an error of [`Inflated`] carries.
    pub fn of(error: &io::Error) -> Option<&Fault> {
        error.get_ref()?.downcast_ref()
    }

    fn io(self) -> io::Error {
        io::Error::new(ErrorKind::InvalidData, self)
    }
}

/// Whether these octets begin a gzip file.
pub fn is_gzip(octets: &[u8]) -> bool {
    octets.starts_with(&[0x1f, 0x8b])
}

/// How an entry of a ZIP file is kept, and what its directory claims.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Deflated; otherwise stored.
    pub is_deflated: bool,
    /// CRC-32 of its text.
    pub crc: u32,
    /// Octets of its text.
    pub octets: u64,
}

/// What comes out.
#[derive(Debug)]
pub struct Inflated<'a> {
    from: Source<'a>,
    members: u32,
    bound: Bound,
    ratio_max: u64,
    octets: u64,
    crc: Crc,
}

#[derive(Debug)]
enum Source<'a> {
    Gzip(Box<GzDecoder<&'a [u8]>>),
    Deflated(Box<DeflateDecoder<&'a [u8]>>, Entry),
    Stored(&'a [u8], Entry),
    Done,
}

impl<'a> Inflated<'a> {
    /// Reads a gzip file; what follows its last member is not looked at.
    pub fn gzip(octets: &'a [u8], bound: Bound) -> Self {
        Self::new(Source::Gzip(Box::new(GzDecoder::new(octets))), octets.len(), bound)
    }

    /// Reads an entry of a ZIP file.
    pub fn entry(octets: &'a [u8], entry: Entry, bound: Bound) -> Self {
        let from = match entry.is_deflated {
            true => Source::Deflated(Box::new(DeflateDecoder::new(octets)), entry),
            false => Source::Stored(octets, entry),
        };
        Self::new(from, octets.len(), bound)
    }

    fn new(from: Source<'a>, len: usize, bound: Bound) -> Self {
        let ratio_max = (len as u64).saturating_mul(RATIO_MAX).max(RATIO_FREE_OCTETS);
        Inflated { from, members: 1, bound, ratio_max, octets: 0, crc: Crc::new() }
    }

    /// All of it.
    ///
    /// # Errors
    /// See [`Fault`].
    pub fn all(mut self) -> Result<Vec<u8>, Fault> {
        let mut out = Vec::new();
        match self.read_to_end(&mut out) {
            Ok(_) => Ok(out),
            Err(error) => Err(Fault::of(&error).cloned().unwrap_or_else(|| Fault::Broken(error.to_string()))),
        }
    }

    /// What the decoder says, in the words of this room.
    fn fault(error: &io::Error) -> io::Error {
        match error.kind() {
            ErrorKind::UnexpectedEof => Fault::Ended.io(),
            _ if error.to_string().contains("checksum") => Fault::Differs.io(),
            _ => Fault::Broken(error.to_string()).io(),
        }
    }

    /// The source has nothing more: is it the end?
    fn ended(&mut self) -> io::Result<bool> {
        match std::mem::replace(&mut self.from, Source::Done) {
            Source::Gzip(decoder) => {
                let rest = decoder.into_inner();
                if !is_gzip(rest) {
                    return Ok(true);
                }
                self.members += 1;
                if self.members > MEMBERS_MAX {
                    return Err(Fault::Members.io());
                }
                self.from = Source::Gzip(Box::new(GzDecoder::new(rest)));
                Ok(false)
            }
            Source::Deflated(_, entry) | Source::Stored(_, entry) => {
                let is_right = entry.octets == self.octets && entry.crc == self.crc.sum();
                if is_right { Ok(true) } else { Err(Fault::Differs.io()) }
            }
            Source::Done => Ok(true),
        }
    }
}

impl Read for Inflated<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let read = match &mut self.from {
                Source::Gzip(decoder) => decoder.read(buffer).map_err(|e| Self::fault(&e))?,
                Source::Deflated(decoder, _) => {
                    let n = decoder.read(buffer).map_err(|e| Self::fault(&e))?;
                    self.crc.update(&buffer[..n]);
                    n
                }
                Source::Stored(octets, _) => {
                    let n = octets.read(buffer)?;
                    self.crc.update(&buffer[..n]);
                    n
                }
                Source::Done => return Ok(0),
            };
            if read == 0 {
                if self.ended()? {
                    return Ok(0);
                }
                continue;
            }
            self.octets += read as u64;
            if self.octets > self.bound.octets_max {
                return Err(Fault::TooLong(self.bound.octets_max).io());
            }
            if self.octets > self.ratio_max {
                return Err(Fault::Ratio.io());
            }
            return Ok(read);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::DeflateEncoder, write::GzEncoder};
    use proptest::prelude::*;

    use super::*;

    const BOUND: Bound = Bound { octets_max: 4 << 20 };

    fn gzip(octets: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(octets).expect("memory");
        encoder.finish().expect("memory")
    }

    fn entry(octets: &[u8]) -> (Vec<u8>, Entry) {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(octets).expect("memory");
        let mut crc = Crc::new();
        crc.update(octets);
        let claim = Entry { is_deflated: true, crc: crc.sum(), octets: octets.len() as u64 };
        (encoder.finish().expect("memory"), claim)
    }

    #[test]
    fn members_follow_one_another_and_what_follows_them_is_left() {
        let two = [gzip(b"one "), gzip(b"two")].concat();
        assert_eq!(Inflated::gzip(&two, BOUND).all(), Ok(b"one two".to_vec()));
        let garbage = [gzip(b"one"), b"\r\n--boundary".to_vec()].concat();
        assert_eq!(Inflated::gzip(&garbage, BOUND).all(), Ok(b"one".to_vec()));
        let many = gzip(b"").repeat(MEMBERS_MAX as usize + 1);
        assert_eq!(Inflated::gzip(&many, BOUND).all(), Err(Fault::Members));
    }

    #[test]
    fn damage_is_noticed() {
        let text: Vec<u8> = (0..10_000u32).flat_map(|n| n.to_string().into_bytes()).collect();
        let whole = gzip(&text);
        assert_eq!(Inflated::gzip(&whole, BOUND).all(), Ok(text.clone()));
        for cut in [whole.len() - 1, whole.len() - 8, whole.len() / 2, 11] {
            assert_eq!(Inflated::gzip(&whole[..cut], BOUND).all(), Err(Fault::Ended), "{cut}");
        }
        let mut wrong = whole.clone();
        let crc = wrong.len() - 6;
        wrong[crc] ^= 1;
        assert_eq!(Inflated::gzip(&wrong, BOUND).all(), Err(Fault::Differs));
        assert!(matches!(Inflated::gzip(b"\x1f\x8bno gzip at all", BOUND).all(), Err(Fault::Broken(_))));

        let (deflated, claim) = entry(&text);
        assert_eq!(Inflated::entry(&deflated, claim, BOUND).all(), Ok(text.clone()));
        let lie = Entry { octets: 3, ..claim };
        assert_eq!(Inflated::entry(&deflated, lie, BOUND).all(), Err(Fault::Differs));
        let stored = Entry { is_deflated: false, ..claim };
        assert_eq!(Inflated::entry(&text, stored, BOUND).all(), Ok(text.clone()));
        assert_eq!(Inflated::entry(&text, Entry { crc: 1, ..stored }, BOUND).all(), Err(Fault::Differs));
    }

    #[test]
    fn bombs_end_at_the_bounds() {
        let blanks = gzip(&vec![b' '; 3 << 20]);
        assert_eq!(Inflated::gzip(&blanks, BOUND).all(), Err(Fault::Ratio));
        let few = gzip(&vec![b' '; RATIO_FREE_OCTETS as usize]);
        assert_eq!(Inflated::gzip(&few, BOUND).all().map(|o| o.len()), Ok(RATIO_FREE_OCTETS as usize));
        let bound = Bound { octets_max: 1000 };
        assert_eq!(Inflated::gzip(&gzip(&[b'x'; 1001]), bound).all(), Err(Fault::TooLong(1000)));
        let (deflated, claim) = entry(&[b'x'; 1001]);
        assert_eq!(Inflated::entry(&deflated, claim, bound).all(), Err(Fault::TooLong(1000)));
    }

    proptest! {
        #[test]
        fn any_octets_are_survived(octets in prop::collection::vec(any::<u8>(), 0..300), crc: u32, is_deflated: bool) {
            let _ = Inflated::gzip(&octets, BOUND).all();
            let _ = Inflated::gzip(&[&b"\x1f\x8b\x08\0\0\0\0\0\0\0"[..], &octets].concat(), BOUND).all();
            let _ = Inflated::entry(&octets, Entry { is_deflated, crc, octets: 7 }, BOUND).all();
        }
    }
}
