//! What was said at the hosts of an attempt, put together as each recipient's own conversation.
//!
//! In: what each connection noted.  Out: a [`Conversation`] a recipient.
//! Always: an attempt holds [`HISTORY_OCTETS_MAX`] of it at most, and its results [`RESULTS_OCTETS_MAX`], whatever the hosts say; the
//! host that decided comes first when there is not room for all; a delivery by a connection that had carried mail before keeps
//! only what was said about this mail.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::connection::Key;
use crate::smtp::{
    client::{About, Entry, NO_TURN},
    conversation::{CONVERSATION_OCTETS_MAX, Conversation, Said},
};

/// Octets of texts that an attempt remembers of its hosts, the last one not counted.
const HISTORY_OCTETS_MAX: usize = 48 * 1024;
/// Octets of conversations that the results of one attempt hold together.
const RESULTS_OCTETS_MAX: usize = 96 * 1024;
/// The least that one of them may have.
const RESULT_OCTETS_MIN: usize = 1024;
/// What an entry takes beside its text.
const ENTRY_OCTETS: usize = size_of::<Entry>();

/// What was said at one host.
pub(super) struct Talk {
    /// The host and how we came.
    pub key: Arc<Key>,
    /// When the connection began.
    pub began: Instant,
    /// What was said before the first message.
    pub opening: Arc<[Entry]>,
    /// What was said since.
    pub said: Vec<Entry>,
    /// How many messages the connection had carried before, and for how long it was open then.
    pub before: Option<(u32, Duration)>,
    /// Whose transaction it was, by their places in the job; `None`: no message was begun.
    pub whose: Option<Vec<usize>>,
}

impl Talk {
    /// A host that could not be reached.
    pub(super) fn unreached(key: Arc<Key>, began: Instant, after: Duration, said: Said, why: &str) -> Self {
        let entry = Entry { at: after, said, about: About::All, turn: NO_TURN, text: why.to_owned() };
        Talk { key, began, opening: Arc::default(), said: vec![entry], before: None, whose: None }
    }

    fn octets(&self) -> usize {
        let of = |entries: &[Entry]| entries.iter().map(|entry| ENTRY_OCTETS + entry.text.len()).sum::<usize>();
        of(&self.said) + of(&self.opening)
    }

    /// The part of a recipient of the job: commands with their answers, those of others left out.
    fn part(&self, at: usize, started: Instant, short: bool) -> Vec<(Option<u32>, Said, String)> {
        let place = match &self.whose {
            None => None,
            Some(whose) => match whose.iter().position(|other| *other == at) {
                // Another recipient's transaction says nothing about this one.
                None => return Vec::new(),
                some => some,
            },
        };
        let stamp = |at: Duration| {
            let at = (self.began + at).saturating_duration_since(started);
            Some(u32::try_from(at.as_millis()).unwrap_or(u32::MAX - 1))
        };
        let mut out = vec![(stamp(Duration::ZERO), Said::Host, self.key.place())];
        if let Some((messages, open)) = self.before {
            // What was said before this attempt has no time in it.
            out[0].0 = None;
            out.push((None, Said::Reused, format!("{messages} {}", open.as_secs())));
        }
        if !(short && self.before.is_some()) {
            let time = |entry: &Entry| if self.before.is_some() { None } else { stamp(entry.at) };
            out.extend(self.opening.iter().map(|entry| (time(entry), entry.said, entry.text.clone())));
        }
        let is_own = |entry: &&Entry| match entry.about {
            About::All => true,
            About::Recipient(other) => Some(other) == place,
        };
        let mut own: Vec<&Entry> = self.said.iter().filter(is_own).collect();
        // The commands went out together; a person reads each with its answer.
        own.sort_by_key(|entry| entry.turn);
        let others = self.whose.as_ref().map_or(0, |whose| whose.len().saturating_sub(1));
        let mut told = others == 0;
        let mut latest = 0;
        for entry in own {
            let mine = matches!(entry.about, About::Recipient(_));
            if mine && !told {
                out.push((None, Said::Others, others.to_string()));
                told = true;
            }
            // A command that went out together with those above it has their time.
            let at = stamp(entry.at).filter(|at| *at >= latest);
            latest = at.unwrap_or(latest);
            out.push((at, entry.said, entry.text.clone()));
            if mine && entry.said == Said::Peer && entry.text.starts_with(['4', '5']) {
                // What follows is about the others.
                break;
            }
        }
        out
    }
}

/// The hosts of an attempt, in order.
#[derive(Default)]
pub(super) struct History(Vec<Talk>);

impl History {
    /// Remembers a host; the oldest ones give way.
    pub(super) fn add(&mut self, talk: Talk) {
        self.0.push(talk);
        while self.0.len() > 1 && self.0.iter().rev().skip(1).map(Talk::octets).sum::<usize>() > HISTORY_OCTETS_MAX {
            self.0.remove(0);
        }
    }

    /// The conversation of the recipient at this place of a job with so many; `None`: nothing was said.
    pub(super) fn of(&self, at: usize, recipients: usize, started: Instant, taken: bool) -> Option<Conversation> {
        let share = RESULTS_OCTETS_MAX / recipients.max(1);
        let max = share.clamp(RESULT_OCTETS_MIN, CONVERSATION_OCTETS_MAX);
        let parts = self.0.iter().map(|talk| talk.part(at, started, taken)).filter(|part| !part.is_empty());
        let parts: Vec<_> = parts.collect();
        let (last, before) = parts.split_last()?;
        let mut out = Conversation::default();
        // The last host is what the verdict came from: the others have the room that it leaves.
        let mut room = max.saturating_sub(octets(last));
        let fitting = before.iter().rev().take_while(|part| {
            let fits = octets(part) <= room;
            room = room.saturating_sub(octets(part));
            fits
        });
        let fitting = fitting.count();
        if fitting < before.len() {
            out.push(None, Said::LeftOut, "", max);
        }
        for part in &before[before.len() - fitting..] {
            part.iter().for_each(|(at, said, text)| {
                out.push(*at, *said, text, max);
            });
        }
        push_last(&mut out, last, max);
        Some(out)
    }
}

/// What a line takes beside its text, at most.
const LINE_OCTETS: usize = 12;

fn octets(part: &[(Option<u32>, Said, String)]) -> usize {
    part.iter().map(|(_, _, text)| LINE_OCTETS + text.len()).sum()
}

/// Adds the last host's part: where it is too long, its middle is left out, since its end says what became of the mail.
fn push_last(out: &mut Conversation, part: &[(Option<u32>, Said, String)], max: usize) {
    let room = max.saturating_sub(out.octets().len());
    if octets(part) <= room {
        part.iter().for_each(|(at, said, text)| {
            out.push(*at, *said, text, max);
        });
        return;
    }
    let Some((host, rest)) = part.split_first() else { return };
    let mut left = room.saturating_sub(octets(std::slice::from_ref(host)) + LINE_OCTETS);
    let kept = rest.iter().rev().take_while(|line| {
        let takes = octets(std::slice::from_ref(*line));
        let fits = takes <= left;
        left = left.saturating_sub(takes);
        fits
    });
    let kept = kept.count();
    out.push(host.0, host.1, &host.2, max);
    out.push(None, Said::LeftOut, "", max);
    for (at, said, text) in &rest[rest.len() - kept..] {
        out.push(*at, *said, text, max);
    }
}
