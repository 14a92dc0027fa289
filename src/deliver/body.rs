//! The content on its way out: dot-stuffed, from RAM or from disk.
//!
//! In: a body in RAM, or a reader of a stored one; what stands before it for this recipient.  Out: octets in vectored writes,
//! ended by the lone dot.
//! Always: the octets between the start and the final dot are the prefix and those of the body (R8), but for the dots that the peer takes
//! off again and a CRLF at the end where the body lacks it; a body that turns out damaged never gets its final dot.
//! Sources: RFC 5321 §4.5.2.

use std::{
    io::{self, BufRead, IoSlice, Read},
    time::Duration,
};

use bytes::Bytes;
use smol::io::AsyncWriteExt;

use crate::{
    net::stream::Stream,
    store::{Loaded, Message, Store, StoreError},
};

/// Octets read from disk at once.
const BLOCK_OCTETS: usize = 64 * 1024;
/// Slices of one vectored write; the system takes 1024.
const SLICES_MAX: usize = 256;

/// Where stored bodies are read: the store, or a test's.
pub trait Bodies: Send + Sync + 'static {
    /// Opens a body. Blocking.
    ///
    /// # Errors
    /// As [`Store::open_body`].
    fn open(&self, message: &Message) -> Result<Box<dyn Read + Send>, StoreError>;
}

impl Bodies for Store {
    fn open(&self, message: &Message) -> Result<Box<dyn Read + Send>, StoreError> {
        Ok(Box::new(self.open_body(message)?))
    }
}

/// A body, ready to be sent once.
pub(super) enum Body {
    /// All of it.
    Ram(Bytes),
    /// Its first block, and the rest behind a reader.
    Disk { first: Vec<u8>, reader: Box<dyn Read + Send> },
}

/// Why content could not be sent.
#[derive(Debug)]
pub(super) enum SendError {
    /// The connection.
    Io(io::Error),
    /// Our disk; says what.
    Damaged(String),
}

impl From<io::Error> for SendError {
    fn from(e: io::Error) -> Self {
        SendError::Io(e)
    }
}

impl Body {
    /// The message's body: as it is in RAM, else opened and its first block read, so that damage is known early.
    pub(super) async fn of(loaded: &Loaded, bodies: &std::sync::Arc<dyn Bodies>) -> Result<Body, StoreError> {
        if let Some((bytes, _)) = &loaded.body {
            return Ok(Body::Ram(bytes.clone()));
        }
        let (bodies, message) = (bodies.clone(), loaded.message.clone());
        smol::unblock(move || {
            let mut reader = bodies.open(&message)?;
            let mut first = Vec::new();
            read_block(&mut reader, &mut first)
                .map_err(|e| StoreError::Damaged(format!("the body of {}: {e}", message.id)))?;
            Ok(Body::Disk { first, reader })
        })
        .await
    }

    /// Sends the prefix, all of it, and the final dot.
    pub(super) async fn send(self, stream: &mut Stream, prefix: &[u8], block: Duration) -> Result<(), SendError> {
        let mut stuffing = Stuffing::new();
        match self {
            Body::Ram(bytes) => send_blocks(stream, &mut stuffing, [prefix, &bytes], true, block).await?,
            Body::Disk { first, reader } => {
                let (mut prefix, mut now, mut reader) = (prefix, first, Some(reader));
                while let Some(mut r) = reader.take() {
                    // The next block is read before this one is sent: only then is it known whether this is the last, and
                    // whether the whole body is as it was stored.
                    let mut next = Vec::new();
                    if now.len() == BLOCK_OCTETS {
                        let read = smol::unblock(move || read_block(&mut r, &mut next).map(|()| (r, next))).await;
                        let (r, block) = read.map_err(|e| SendError::Damaged(e.to_string()))?;
                        (reader, next) = (Some(r), block);
                    }
                    send_blocks(stream, &mut stuffing, [prefix, &now], reader.is_none(), block).await?;
                    (prefix, now) = (&[], next);
                }
            }
        }
        Ok(stream.flush().await?)
    }
}

/// Fills a block, or less at the end. The reader checks the whole body when it meets its end.
fn read_block(reader: &mut Box<dyn Read + Send>, block: &mut Vec<u8>) -> io::Result<()> {
    block.reserve_exact(BLOCK_OCTETS);
    reader.by_ref().take(BLOCK_OCTETS as u64).read_to_end(block)?;
    Ok(())
}

/// Sends blocks one after another, in as few writes as possible.
async fn send_blocks(
    stream: &mut Stream,
    stuffing: &mut Stuffing,
    blocks: [&[u8]; 2],
    last: bool,
    within: Duration,
) -> io::Result<()> {
    let mut slices = Vec::with_capacity(8);
    for block in blocks {
        stuffing.slices(block, &mut slices);
    }
    if last {
        slices.push(IoSlice::new(stuffing.tail()));
    }
    for group in slices.chunks_mut(SLICES_MAX) {
        let mut group = group;
        while !group.is_empty() {
            stream.set_deadline(Some(within));
            let n = stream.write_vectored(group).await?;
            if n == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            IoSlice::advance_slices(&mut group, n);
        }
    }
    Ok(())
}

/// Where lines begin, across blocks.
struct Stuffing {
    /// The last two octets; as if a line had just ended, at the start.
    last: [u8; 2],
}

impl Stuffing {
    fn new() -> Self {
        Stuffing { last: *b"\r\n" }
    }

    /// Cuts a block so that each dot at the start of a line stands at the end of one slice and the start of the next: it is
    /// written twice without a copy. A line begins after any LF: an octet more at worst, where the peer would take a bare
    /// LF for a line end, and never an end of data that is none.
    fn slices<'a>(&mut self, block: &'a [u8], out: &mut Vec<IoSlice<'a>>) {
        let mut start = 0;
        if self.last[1] == b'\n' && block.first() == Some(&b'.') {
            out.push(IoSlice::new(&block[..1]));
        }
        let mut at = 0;
        while at < block.len() {
            let mut rest = &block[at..];
            // Reading from a slice cannot fail; this is the standard library's fast search for an octet.
            at += rest.skip_until(b'\n').unwrap_or(rest.len());
            if block.get(at) == Some(&b'.') {
                out.push(IoSlice::new(&block[start..=at]));
                start = at;
            }
        }
        if start < block.len() {
            out.push(IoSlice::new(&block[start..]));
        }
        match block {
            [] => {}
            [one] => self.last = [self.last[1], *one],
            [.., a, b] => self.last = [*a, *b],
        }
    }

    /// What ends the data: with a CRLF first where the body lacks it.
    fn tail(&self) -> &'static [u8] {
        if self.last == *b"\r\n" { b".\r\n" } else { b"\r\n.\r\n" }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stuffed(blocks: &[&[u8]]) -> Vec<u8> {
        let mut stuffing = Stuffing::new();
        let mut out = Vec::new();
        for block in blocks {
            let mut slices = Vec::new();
            stuffing.slices(block, &mut slices);
            slices.iter().for_each(|s| out.extend_from_slice(s));
        }
        out.extend_from_slice(stuffing.tail());
        out
    }

    #[test]
    fn dots_are_doubled_where_lines_begin_and_nowhere_else() {
        for (body, want) in [
            (&b""[..], &b".\r\n"[..]),
            (b".", b"..\r\n.\r\n"),
            (b".\r\n", b"..\r\n.\r\n"),
            (b"..\r\n", b"...\r\n.\r\n"),
            (b"a.b\r\n.c\r\n", b"a.b\r\n..c\r\n.\r\n"),
            (b"a\r\n\r\n.\r\n.\r\n", b"a\r\n\r\n..\r\n..\r\n.\r\n"),
            (b"no end", b"no end\r\n.\r\n"),
            (b"x\r", b"x\r\r\n.\r\n"),
            (b"x\n.\r\n", b"x\n..\r\n.\r\n"),
            (b"x\n", b"x\n\r\n.\r\n"),
        ] {
            assert_eq!(stuffed(&[body]), want, "{:?}", String::from_utf8_lossy(body));
            let octets: Vec<&[u8]> = body.chunks(1).collect();
            assert_eq!(stuffed(&octets), want, "octet by octet: {:?}", String::from_utf8_lossy(body));
        }
    }

    proptest! {
        #[test]
        fn unstuffing_gives_the_body_back_whatever_the_blocks(
            lines in prop::collection::vec(prop::collection::vec(prop_oneof![3 => Just(b'.'), 1 => any::<u8>().prop_filter("no line end", |b| *b != b'\r' && *b != b'\n')], 0..6), 0..30),
            end: bool,
            cut in 1usize..20,
        ) {
            let mut body = lines.join(&b"\r\n"[..]);
            if end {
                body.extend_from_slice(b"\r\n");
            }
            let blocks: Vec<&[u8]> = body.chunks(cut).collect();
            let wire = stuffed(&blocks);
            // A server's view: lines up to the lone dot, a leading dot taken off.
            let text = wire.strip_suffix(b".\r\n").expect("ends with a dot line");
            prop_assert!(text.is_empty() || text.ends_with(b"\r\n"));
            let mut got = Vec::new();
            for line in text.split_inclusive(|b| *b == b'\n') {
                prop_assert_ne!(line, &b".\r\n"[..]);
                got.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
            }
            if !body.is_empty() && !body.ends_with(b"\r\n") {
                body.extend_from_slice(b"\r\n");
            }
            prop_assert_eq!(got, body);
        }
    }
}
