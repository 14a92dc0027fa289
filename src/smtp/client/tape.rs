//! What a connection says and hears, as it happens: the opening once, and each transaction anew.
//!
//! In: commands, answers and what befalls the connection.  Out: entries, each with its time and whom it is about.
//! Always: credentials and content are never handed in, and what a peer repeats of our credentials is blotted out before anybody
//! reads it; a tape is bounded in entries (by the dialog itself) and in octets, whatever the peer says.

use std::{borrow::Cow, sync::Arc, time::Duration};

use super::{Client, State, Trouble, transaction::Command, words};
use crate::{
    secret::Secret,
    smtp::{
        conversation::{Said, TEXT_OCTETS_MAX},
        reply::Reply,
    },
};

/// Octets of texts that a tape holds before it keeps less of each.
const PLENTY_OCTETS: usize = 16 * 1024;
/// Octets of a text that are kept once a tape is that full: a hundred recipients have two lines each.
const SHORT_OCTETS: usize = 120;
/// Stands for what a peer repeated of our credentials.
const BLOT: &str = "[hidden]";
/// A shorter password is no secret, and blotting it out would take letters from every word.
const WORD_OCTETS_MIN: usize = 4;
/// The shortest word of an answer that is compared with parts of the credentials.
const PART_OCTETS_MIN: usize = 6;

/// Whom an entry is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum About {
    /// Everybody.
    All,
    /// The recipient at this place of the transaction.
    Recipient(usize),
}

/// One entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Since the connection began.
    pub at: Duration,
    /// What it is.
    pub said: Said,
    /// Whom it is about.
    pub about: About,
    /// The place of its command among those of the transaction: a command and its answer have the same.
    pub turn: usize,
    /// Its text.
    pub text: String,
}

/// The turn of what is not about one command.
pub const NO_TURN: usize = usize::MAX;

/// Entries in the order in which they happened.
#[derive(Clone, Debug, Default)]
pub(super) struct Tape {
    entries: Vec<Entry>,
    octets: usize,
}

impl Tape {
    /// Adds an entry.
    pub(super) fn push(&mut self, at: Duration, said: Said, about: About, turn: usize, text: Cow<'_, str>) {
        let room = if self.octets < PLENTY_OCTETS { TEXT_OCTETS_MAX } else { SHORT_OCTETS };
        let text = match text {
            text if text.len() > room => {
                let mut short = text[..text.floor_char_boundary(room)].to_owned();
                short.push('…');
                short
            }
            text => text.into_owned(),
        };
        self.octets += text.len();
        self.entries.push(Entry { at, said, about, turn, text });
    }

    /// What was said, and an empty tape.
    pub(super) fn take(&mut self) -> Vec<Entry> {
        self.octets = 0;
        std::mem::take(&mut self.entries)
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.octets = 0;
        self.entries.clear();
    }

    /// What was said so far, for many.
    pub(super) fn shared(&mut self) -> Arc<[Entry]> {
        self.take().into()
    }
}

impl Client {
    /// Sends a line that stands for itself, and notes it.
    pub(super) fn say(&mut self, line: &str) {
        self.out.extend_from_slice(line.as_bytes());
        self.out.extend_from_slice(b"\r\n");
        self.note(Said::We, Cow::Borrowed(line));
    }

    /// Notes what is about everybody.
    pub(super) fn note(&mut self, said: Said, text: Cow<'_, str>) {
        self.tape.push(self.now, said, About::All, NO_TURN, text);
    }

    /// Notes an answer, with the command that it is to.
    pub(super) fn note_reply(&mut self, reply: &Reply) {
        let (about, turn) = match &self.state {
            State::Dialog(d) => (d.lines.commands.get(d.answered).map_or(About::All, |(c, _)| about(*c)), d.answered),
            State::Quitting | State::Over => return,
            _ => (About::All, NO_TURN),
        };
        self.tape.push(self.now, Said::Peer, about, turn, Cow::Owned(answer_text(reply)));
    }

    /// Notes what ended the connection, unless the peer said it.
    pub(super) fn note_trouble(&mut self, trouble: &Trouble) {
        let (said, text) = match trouble {
            Trouble::Reply(_) => return,
            Trouble::Closed(why) | Trouble::LostAfterDot(why) => (Said::Closed, Cow::Borrowed(why.as_str())),
            Trouble::TimedOut(within) => (Said::Silent, Cow::Owned(words(*within))),
            Trouble::NotSmtp(what) => (Said::Nonsense, Cow::Borrowed(what.as_str())),
            Trouble::TlsBroken(why) => (Said::TlsBroken, Cow::Borrowed(why.as_str())),
            Trouble::TlsNotOffered => (Said::Stopped, Cow::Borrowed("STARTTLS")),
            Trouble::LoginUnusable(why) => (Said::Stopped, Cow::Borrowed(*why)),
            // Found before anything was said.
            Trouble::TooLarge { .. } | Trouble::NeedsUtf8Address | Trouble::NeedsUtf8Header => return,
            Trouble::BadAddress | Trouble::NeedsRequireTls | Trouble::NeedsDeliverBy | Trouble::TooLate { .. } => {
                return;
            }
        };
        self.note(said, text);
    }
}

/// Whom a command is about.
pub(super) fn about(command: Command) -> About {
    match command {
        Command::Rcpt(index) => About::Recipient(index),
        Command::Rset | Command::Mail | Command::Data => About::All,
    }
}

/// An answer as it came: each line with its codes.
fn answer_text(reply: &Reply) -> String {
    let lines = reply.text.split('\n').count();
    let mut out = String::with_capacity(reply.text.len() + 12 * lines);
    for (n, line) in reply.text.split('\n').enumerate() {
        // What no tape keeps need not be put together.
        if out.len() > TEXT_OCTETS_MAX {
            break;
        }
        if n > 0 {
            out.push('\n');
        }
        let mark = if n + 1 < lines { '-' } else { ' ' };
        out.push_str(&format!("{:03}{mark}", reply.code));
        if let Some(enhanced) = reply.enhanced {
            out.push_str(&format!("{enhanced} "));
        }
        out.push_str(line);
    }
    let end = out.trim_end().len();
    out.truncate(end);
    out
}

/// The words of our credentials, in clear and as they were sent.
#[derive(Clone, Debug, Default)]
pub(super) struct Secrets(Vec<Secret<String>>);

impl Secrets {
    /// Nobody must read this.
    pub(super) fn add(&mut self, word: &str) {
        if word.len() >= WORD_OCTETS_MIN {
            self.0.push(Secret::new(word.to_owned()));
        }
    }

    /// Blots out what an answer repeats of the credentials, whole or in part.
    pub(super) fn blot(&self, reply: &mut Reply) {
        if self.0.is_empty() {
            return;
        }
        let mut text = reply.text.to_string();
        for secret in &self.0 {
            if text.contains(secret.reveal().as_str()) {
                text = text.replace(secret.reveal().as_str(), BLOT);
            }
        }
        // A line that was cut holds the beginning of one.
        let is_part = |word: &str| {
            word.len() >= PART_OCTETS_MIN && word != BLOT && self.0.iter().any(|secret| secret.reveal().contains(word))
        };
        if text.split([' ', '\n']).any(is_part) {
            let lines = text.split('\n').map(|line| {
                let words: Vec<&str> = line.split(' ').map(|word| if is_part(word) { BLOT } else { word }).collect();
                words.join(" ")
            });
            text = lines.collect::<Vec<_>>().join("\n");
        }
        if text != reply.text {
            reply.text = Cow::Owned(text);
        }
    }
}
