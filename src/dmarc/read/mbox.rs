//! Splits mailbox files into mails, as they are read.
//!
//! In: a buffered reader of an mbox file.  Out: one [`Item`] a mail, an error of the disk.
//! Always: memory is one mail of at most the bound that is given; a longer mail is passed over and told by its size; a line of
//! any length is read in pieces; `>From ` of the quoting forms becomes `From ` again.
//! Sources: RFC 4155 (application/mbox), the forms mboxo and mboxrd.

use std::io::{self, BufRead};

/// How every mail of a mailbox file begins.
const FROM: &[u8] = b"From ";
/// Octets of a line that are looked at to see whether a mail begins there.
const LINE_MAX: usize = 1 << 10;

/// A mail of the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Item {
    /// The mail, without the line before it.
    Mail(Vec<u8>),
    /// It has so many octets, which is more than wanted.
    TooLong(u64),
}

/// The mails of a file, one after another.
pub struct Mails<R> {
    reader: R,
    octets_max: usize,
    mail: Vec<u8>,
    octets: u64,
    /// A mail has begun.
    is_open: bool,
    is_done: bool,
}

/// Whether a file begins as a mailbox file does.
pub fn is_mbox(start: &[u8]) -> bool {
    start.starts_with(FROM) && start.iter().take(LINE_MAX).any(|b| *b == b'\n')
}

impl<R: BufRead> Mails<R> {
    /// Splits a file into mails of at most `octets_max` octets.
    pub fn new(reader: R, octets_max: usize) -> Self {
        Mails { reader, octets_max, mail: Vec::new(), octets: 0, is_open: false, is_done: false }
    }

    /// The mail that ends here, if one has begun.
    fn end(&mut self) -> Option<Item> {
        let octets = std::mem::take(&mut self.octets);
        let mail = std::mem::take(&mut self.mail);
        let was_open = std::mem::replace(&mut self.is_open, false);
        if !was_open || octets == 0 {
            return None;
        }
        Some(if octets > self.octets_max as u64 { Item::TooLong(octets) } else { Item::Mail(mail) })
    }

    fn add(&mut self, octets: &[u8]) {
        self.octets += octets.len() as u64;
        if self.octets <= self.octets_max as u64 {
            self.mail.extend_from_slice(octets);
        } else {
            // It will not be handed over.
            self.mail = Vec::new();
        }
    }

    fn next_mail(&mut self) -> io::Result<Option<Item>> {
        let mut line = Vec::new();
        let mut after_blank = !self.is_open;
        loop {
            let starts_line = line.is_empty();
            let is_whole = self.piece(&mut line)?;
            if line.is_empty() {
                self.is_done = true;
                return Ok(self.end());
            }
            let begins = starts_line && after_blank && is_from_line(&line);
            if begins {
                let ended = self.end();
                self.is_open = true;
                self.pass_line(is_whole)?;
                line.clear();
                after_blank = false;
                if ended.is_some() {
                    return Ok(ended);
                }
                continue;
            }
            if self.is_open {
                let quotes = line.iter().take_while(|b| **b == b'>').count();
                let is_quoted = starts_line && quotes > 0 && line[quotes..].starts_with(FROM);
                let text = if is_quoted { &line[1..] } else { &line[..] };
                self.octets += text.len() as u64;
                if self.octets <= self.octets_max as u64 {
                    self.mail.extend_from_slice(text);
                } else {
                    self.mail = Vec::new();
                }
            }
            after_blank = starts_line && matches!(line.as_slice(), b"\n" | b"\r\n");
            line.clear();
            if !is_whole {
                self.rest_of_line()?;
            }
        }
    }

    /// Reads a line, or its first [`LINE_MAX`] octets; whether it is whole. Nothing: the file has ended.
    fn piece(&mut self, line: &mut Vec<u8>) -> io::Result<bool> {
        loop {
            let chunk = self.reader.fill_buf()?;
            if chunk.is_empty() {
                return Ok(true);
            }
            let room = chunk.len().min(LINE_MAX - line.len());
            let end = chunk[..room].iter().position(|b| *b == b'\n').map(|at| at + 1);
            let n = end.unwrap_or(room);
            line.extend_from_slice(&chunk[..n]);
            self.reader.consume(n);
            if end.is_some() {
                return Ok(true);
            }
            if line.len() >= LINE_MAX {
                return Ok(false);
            }
        }
    }

    /// Adds the rest of a long line to the mail.
    fn rest_of_line(&mut self) -> io::Result<()> {
        let mut line = Vec::new();
        loop {
            let is_whole = self.piece(&mut line)?;
            if self.is_open {
                self.add(&line);
            }
            if is_whole {
                return Ok(());
            }
            line.clear();
        }
    }

    /// Passes over the rest of a long line.
    fn pass_line(&mut self, mut is_whole: bool) -> io::Result<()> {
        let mut line = Vec::new();
        while !is_whole {
            line.clear();
            is_whole = self.piece(&mut line)?;
        }
        Ok(())
    }
}

impl<R: BufRead> Iterator for Mails<R> {
    type Item = io::Result<Item>;

    fn next(&mut self) -> Option<io::Result<Item>> {
        if self.is_done {
            return None;
        }
        let next = self.next_mail();
        self.is_done |= next.is_err();
        next.transpose()
    }
}

/// Whether a line that follows an empty one begins a mail: an address, and a time of the day somewhere behind it.
fn is_from_line(line: &[u8]) -> bool {
    let Some(rest) = line.strip_prefix(FROM) else { return false };
    let has_time = rest.windows(3).any(|w| w[0].is_ascii_digit() && w[1] == b':' && w[2].is_ascii_digit());
    has_time || rest.trim_ascii().contains(&b'@')
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use proptest::prelude::*;

    use super::*;

    fn split(file: &[u8], octets_max: usize, chunk: usize) -> Vec<Item> {
        let mails = Mails::new(BufReader::with_capacity(chunk, file), octets_max);
        mails.collect::<io::Result<_>>().expect("memory is no disk")
    }

    #[test]
    fn mails_come_apart_where_a_line_says_so() {
        let file = b"From a@b Thu Nov 26 10:00:00 2026\nSubject: 1\n\nFrom here on it is text\n>From quoted\n>>From twice\n\n\
            From MAILER-DAEMON Thu Nov 26 10:00:00 2026\nSubject: 2\n\nx\nFrom c@d no empty line before\n\nFrom e@f\nSubject: 3\n";
        let mail = |text: &str| Item::Mail(text.as_bytes().to_vec());
        let expected = [
            mail("Subject: 1\n\nFrom here on it is text\nFrom quoted\n>From twice\n\n"),
            mail("Subject: 2\n\nx\nFrom c@d no empty line before\n\n"),
            mail("Subject: 3\n"),
        ];
        for chunk in [1, 7, 8192] {
            assert_eq!(split(file, 1000, chunk), expected, "{chunk}");
        }
        assert!(is_mbox(file) && !is_mbox(b"From: a@b\n") && !is_mbox(b""));
        assert_eq!(split(b"", 10, 10), []);
        assert_eq!(split(b"no mailbox\nat all\n", 10, 10), []);
    }

    #[test]
    fn long_mails_and_endless_lines_are_told_by_their_size() {
        let long = [b"From a@b 1:1\n".to_vec(), vec![b'x'; 100_000], b"\n\nFrom c@d 1:1\nshort\n".to_vec()].concat();
        assert_eq!(split(&long, 50_000, 4096), [Item::TooLong(100_002), Item::Mail(b"short\n".to_vec())]);
        assert_eq!(split(&long, 100_002, 4096).len(), 2);
        assert!(matches!(&split(&long, 100_002, 4096)[0], Item::Mail(mail) if mail.len() == 100_002));
        let header = [b"From ".to_vec(), vec![b'@'; 10_000], b"\nx\n".to_vec()].concat();
        assert_eq!(split(&header, 10, 100), [Item::Mail(b"x\n".to_vec())]);
    }

    proptest! {
        #[test]
        fn any_file_ends(words in prop::collection::vec(prop::sample::select(vec!["From a@b 1:1\n", "\n", "\r\n", ">From x\n", "y", "\u{fffd}"]), 0..60)) {
            let file = words.concat();
            let items = split(file.as_bytes(), 40, 3);
            prop_assert!(items.len() <= words.len());
        }
    }
}
