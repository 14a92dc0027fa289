//! The letters that rows are written in: varints, length-prefixed texts, optional values; each row starts with a version.
//!
//! In: values.  Out: bytes, and the other way round.
//! Always: what was written is read back equal; a row that cannot be read is an error with words, never a panic and never
//! a guess; no length is trusted before the octets are there.

use std::net::{IpAddr, SocketAddr};

/// Why a row cannot be read. The caller names the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum RowError {
    /// The row ends too early.
    #[error("it ends too early")]
    Short,
    /// A number, tag or text that no version of Hikyaku writes.
    #[error("it holds a value that makes no sense")]
    Nonsense,
    /// The row's version is not known.
    #[error("its version {0} is not known")]
    Version(u8),
}

/// Writes a row.
pub(super) struct Pen(Vec<u8>);

impl Pen {
    /// A row of this version, with room for `room` octets.
    pub(super) fn new(version: u8, room: usize) -> Self {
        let mut row = Vec::with_capacity(room);
        row.push(version);
        Pen(row)
    }

    /// The row.
    pub(super) fn done(self) -> Vec<u8> {
        self.0
    }

    pub(super) fn byte(&mut self, b: u8) {
        self.0.push(b);
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// A number, seven bits an octet, lowest first.
    pub(super) fn number(&mut self, mut n: u64) {
        while n >= 0x80 {
            self.0.push((n as u8) | 0x80);
            n >>= 7;
        }
        self.0.push(n as u8);
    }

    /// A number that may be negative, small when near zero.
    pub(super) fn signed(&mut self, n: i64) {
        self.number(((n << 1) ^ (n >> 63)) as u64);
    }

    pub(super) fn text(&mut self, s: &str) {
        self.number(s.len() as u64);
        self.0.extend_from_slice(s.as_bytes());
    }

    /// A text or nothing: length plus one, or zero.
    pub(super) fn maybe_text(&mut self, s: Option<&str>) {
        match s {
            Some(s) => {
                self.number(s.len() as u64 + 1);
                self.0.extend_from_slice(s.as_bytes());
            }
            None => self.number(0),
        }
    }

    pub(super) fn maybe_number(&mut self, n: Option<u64>) {
        match n {
            Some(n) => {
                self.byte(1);
                self.number(n);
            }
            None => self.byte(0),
        }
    }

    pub(super) fn ip(&mut self, ip: Option<IpAddr>) {
        match ip {
            None => self.byte(0),
            Some(IpAddr::V4(v4)) => {
                self.byte(4);
                self.raw(&v4.octets());
            }
            Some(IpAddr::V6(v6)) => {
                self.byte(6);
                self.raw(&v6.octets());
            }
        }
    }

    pub(super) fn socket(&mut self, address: Option<SocketAddr>) {
        self.ip(address.map(|a| a.ip()));
        if let Some(a) = address {
            self.raw(&a.port().to_le_bytes());
        }
    }
}

/// Reads a row.
pub(super) struct Eye<'a>(&'a [u8]);

impl<'a> Eye<'a> {
    /// Starts behind the version octet, which must be at most `newest`; answers it.
    pub(super) fn open(row: &'a [u8], newest: u8) -> Result<(u8, Self), RowError> {
        match row.split_first() {
            None => Err(RowError::Short),
            Some((0, _)) => Err(RowError::Version(0)),
            Some((version, _)) if *version > newest => Err(RowError::Version(*version)),
            Some((version, rest)) => Ok((*version, Eye(rest))),
        }
    }

    /// Nothing is left.
    pub(super) fn is_done(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn byte(&mut self) -> Result<u8, RowError> {
        let (first, rest) = self.0.split_first().ok_or(RowError::Short)?;
        self.0 = rest;
        Ok(*first)
    }

    pub(super) fn raw(&mut self, len: usize) -> Result<&'a [u8], RowError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(RowError::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], RowError> {
        self.raw(N)?.try_into().map_err(|_| RowError::Short)
    }

    pub(super) fn number(&mut self) -> Result<u64, RowError> {
        let mut n = 0u64;
        // Ten octets of seven bits hold 64; the tenth may only be 0 or 1.
        for shift in (0..70).step_by(7) {
            let b = self.byte()?;
            let bits = u64::from(b & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(RowError::Nonsense);
            }
            n |= bits << shift;
            if b & 0x80 == 0 {
                return Ok(n);
            }
        }
        Err(RowError::Nonsense)
    }

    pub(super) fn number_u32(&mut self) -> Result<u32, RowError> {
        u32::try_from(self.number()?).map_err(|_| RowError::Nonsense)
    }

    pub(super) fn signed(&mut self) -> Result<i64, RowError> {
        let n = self.number()?;
        Ok(((n >> 1) as i64) ^ -((n & 1) as i64))
    }

    fn text_of(&mut self, len: u64) -> Result<&'a str, RowError> {
        let len = usize::try_from(len).map_err(|_| RowError::Nonsense)?;
        std::str::from_utf8(self.raw(len)?).map_err(|_| RowError::Nonsense)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, RowError> {
        let len = self.number()?;
        self.text_of(len)
    }

    pub(super) fn maybe_text(&mut self) -> Result<Option<&'a str>, RowError> {
        match self.number()? {
            0 => Ok(None),
            len => self.text_of(len - 1).map(Some),
        }
    }

    pub(super) fn flag(&mut self) -> Result<bool, RowError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(RowError::Nonsense),
        }
    }

    pub(super) fn maybe_number(&mut self) -> Result<Option<u64>, RowError> {
        if self.flag()? { self.number().map(Some) } else { Ok(None) }
    }

    pub(super) fn ip(&mut self) -> Result<Option<IpAddr>, RowError> {
        match self.byte()? {
            0 => Ok(None),
            4 => Ok(Some(IpAddr::from(self.array::<4>()?))),
            6 => Ok(Some(IpAddr::from(self.array::<16>()?))),
            _ => Err(RowError::Nonsense),
        }
    }

    pub(super) fn socket(&mut self) -> Result<Option<SocketAddr>, RowError> {
        match self.ip()? {
            None => Ok(None),
            Some(ip) => Ok(Some(SocketAddr::new(ip, u16::from_le_bytes(self.array()?)))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn letters_are_read_back_equal(
            n in any::<u64>(), s in any::<i64>(), text in ".{0,40}", maybe in proptest::option::of(".{0,9}"),
            number in proptest::option::of(any::<u64>()), ip in any::<Option<IpAddr>>(), port in any::<u16>(),
        ) {
            let socket = ip.map(|ip| SocketAddr::new(ip, port));
            let mut pen = Pen::new(1, 0);
            pen.number(n);
            pen.signed(s);
            pen.text(&text);
            pen.maybe_text(maybe.as_deref());
            pen.maybe_number(number);
            pen.ip(ip);
            pen.socket(socket);
            let row = pen.done();
            let (_, mut eye) = Eye::open(&row, 1).unwrap();
            prop_assert_eq!(eye.number().unwrap(), n);
            prop_assert_eq!(eye.signed().unwrap(), s);
            prop_assert_eq!(eye.text().unwrap(), text.as_str());
            prop_assert_eq!(eye.maybe_text().unwrap(), maybe.as_deref());
            prop_assert_eq!(eye.maybe_number().unwrap(), number);
            prop_assert_eq!(eye.ip().unwrap(), ip);
            prop_assert_eq!(eye.socket().unwrap(), socket);
            prop_assert_eq!(eye.byte(), Err(RowError::Short));
        }

        #[test]
        fn garbage_is_an_error_and_never_a_panic(row in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok((_, mut eye)) = Eye::open(&row, 9) {
                let _ = (eye.number(), eye.text().is_ok(), eye.maybe_text().is_ok(), eye.ip(), eye.socket(), eye.signed());
            }
        }
    }

    #[test]
    fn a_newer_version_is_refused() {
        assert_eq!(Eye::open(&[2, 0], 1).err(), Some(RowError::Version(2)));
        assert_eq!(Eye::open(&[], 1).err(), Some(RowError::Short));
    }
}
