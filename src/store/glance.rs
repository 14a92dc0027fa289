//! One message at a glance: where all its recipients stand, some of them by name, and a page of what happened.
//!
//! In: a message, which recipients, where in time.  Out: counts of all, rows of some.
//! Always: a mail to a hundred thousand costs one pass over the first octets of its recipients' rows, and beside it what is shown;
//! nothing past its period is told (R13); a page of what happened ends in time and says where the next one begins.

use std::{collections::BinaryHeap, sync::Arc, time::Duration};

use redb::Database;

use super::{
    asking::Patience,
    batch::{first_number_of, is_held},
    events::{FOLLOWED_MAX, LogReader},
    fault::{Reading, bad_row},
    retention::log_floor,
    rows::{self, EventHead},
    tables,
    types::{LogRow, Message, Page, RETURNS_MAX, Recipient, RecipientState, StoreError},
};
use crate::{
    event::{Event, EventKind},
    ids::{MessageId, RecipientKey},
};

/// Recipients that are looked at for whether something came back.
const CAME_BACK_LOOKED_MAX: usize = 1_000;
/// Recipients that wait and are named.
pub const WAITING_NAMED_MAX: usize = 20;

/// What of a message is looked at.
#[derive(Clone, Debug, Default)]
pub struct GlanceAsk {
    /// Recipients from this place in its envelope on …
    pub from: u32,
    /// … so many.
    pub recipients: usize,
    /// What happened to this recipient alone.
    pub only: Option<u32>,
    /// What happened before the event of this number.
    pub before: Option<u64>,
    /// So many entries, the newest.
    pub entries: usize,
    /// How long they are looked for; `None`: as long as it takes.
    pub within: Option<Duration>,
}

/// How many recipients stand where.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs)] // the states of recipients
pub struct Standing {
    pub waiting: u64,
    pub held: u64,
    pub succeeded: u64,
    pub failed: u64,
    pub dropped: u64,
}

impl Standing {
    /// Counts one more.
    pub fn add(&mut self, state: &RecipientState) {
        *match state {
            RecipientState::Waiting { wait, .. } if is_held(*wait) => &mut self.held,
            RecipientState::Waiting { .. } => &mut self.waiting,
            RecipientState::Final(EventKind::Succeeded) => &mut self.succeeded,
            RecipientState::Final(EventKind::Dropped) => &mut self.dropped,
            RecipientState::Final(_) => &mut self.failed,
        } += 1;
    }

    /// Recipients that are not final.
    pub fn open(&self) -> u64 {
        self.waiting + self.held
    }

    /// All of them.
    pub fn all(&self) -> u64 {
        self.open() + self.succeeded + self.failed + self.dropped
    }
}

/// A recipient, and the last thing that happened to it, as far as that may be told.
#[derive(Clone, Debug)]
pub struct Stood {
    /// The recipient.
    pub recipient: Recipient,
    /// Its last event.
    pub last: Option<Event>,
}

/// A message at a glance.
#[derive(Clone, Debug)]
pub struct Glance {
    /// The message.
    pub message: Arc<Message>,
    /// Where all its recipients stand.
    pub standing: Standing,
    /// A bounce or a complaint came back about one of the first 1,000.
    pub came_back: bool,
    /// The recipients that were asked for.
    pub recipients: Vec<Stood>,
    /// The first that wait, at most [`WAITING_NAMED_MAX`].
    pub waiting: Vec<Recipient>,
    /// The recipient whose entries were asked for.
    pub only: Option<Recipient>,
    /// What happened, oldest first.
    pub entries: Vec<LogRow>,
    /// There is more before this event.
    pub earlier: Option<u64>,
}

/// What one pass over the recipients' rows found.
#[derive(Default)]
struct Pass {
    standing: Standing,
    /// The last event of each.
    last: Vec<u64>,
    /// Those that wait, the first ones.
    waiting: Vec<u32>,
}

impl LogReader {
    /// A message at a glance; `None`: there is none, or nothing of it may be told any more.
    pub(super) fn glance(
        &mut self,
        db: &Database,
        id: MessageId,
        ask: &GlanceAsk,
    ) -> Result<Option<Glance>, StoreError> {
        let Some(message) = self.mail.message(id)? else { return Ok(None) };
        let first = first_number_of(log_floor(self.now, &self.periods));
        let pass = self.pass(db, id)?;
        let newest = pass.last.iter().copied().max().unwrap_or(0);
        let is_kept = newest >= first && self.events.get(newest).reading()?.is_some();
        if pass.standing.open() == 0 && !is_kept {
            return Ok(None);
        }
        let mut came_back = false;
        for number in pass.last.iter().take(CAME_BACK_LOOKED_MAX) {
            came_back = came_back || (*number >= first && self.is_return(*number)?);
        }
        let mut recipients = Vec::with_capacity(ask.recipients);
        let to = ask.from.saturating_add(u32::try_from(ask.recipients).unwrap_or(u32::MAX)).min(message.recipients);
        for index in ask.from..to {
            recipients.extend(self.stood(RecipientKey { message: id, index }, first)?);
        }
        let mut waiting = Vec::with_capacity(pass.waiting.len());
        for index in &pass.waiting {
            waiting.extend(self.mail.recipient(RecipientKey { message: id, index: *index })?);
        }
        let only = ask.only.map(|index| self.mail.recipient_row(RecipientKey { message: id, index })).transpose()?;
        let only = only.flatten();
        let (mut entries, earlier) = match (&only, ask.only) {
            (Some(row), _) => self.followed(vec![row.last_event], first, ask)?,
            (None, Some(_)) => (Vec::new(), None),
            (None, None) if ask.before.is_some() && pass.last.len() > FOLLOWED_MAX => self.walked(id, first, ask)?,
            (None, None) => self.followed(pass.last, first, ask)?,
        };
        entries.reverse();
        let only = only.map(|row| row.shown);
        Ok(Some(Glance { message, standing: pass.standing, came_back, recipients, waiting, only, entries, earlier }))
    }

    /// Where all recipients stand, by the first octets of their rows.
    fn pass(&self, db: &Database, id: MessageId) -> Result<Pass, StoreError> {
        use redb::ReadableDatabase;
        let table = db.begin_read().reading()?.open_table(tables::MAIL).reading()?;
        let mut pass = Pass::default();
        for entry in table.range::<&tables::MailKey>(&tables::message_key(id)..&tables::mail_end(id)).reading()? {
            let (key, row) = entry.reading()?;
            let Some(index) = tables::read_mail_key(key.value()).1 else { continue };
            let (last, state) = rows::standing_of(row.value())
                .map_err(|e| bad_row(format_args!("recipient {index} of message {id}"), e))?;
            pass.standing.add(&state);
            pass.last.push(last);
            if matches!(state, RecipientState::Waiting { .. }) && pass.waiting.len() < WAITING_NAMED_MAX {
                pass.waiting.push(index);
            }
        }
        Ok(pass)
    }

    fn is_return(&self, number: u64) -> Result<bool, StoreError> {
        let Some(row) = self.events.get(number).reading()? else { return Ok(false) };
        let head = EventHead::read(row.value()).map_err(|e| bad_row(format_args!("event {number}"), e))?;
        Ok(head.kind.is_return())
    }

    /// A recipient with its last event. A final one's answer is in its final event; what came back later stands for itself.
    fn stood(&self, key: RecipientKey, first: u64) -> Result<Option<Stood>, StoreError> {
        let Some(row) = self.mail.recipient_row(key)? else { return Ok(None) };
        let mut stood = Stood { recipient: row.shown, last: None };
        let mut number = row.last_event;
        // Behind what came back is what it came back about.
        for _ in 0..=RETURNS_MAX {
            if number < first || number == 0 {
                break;
            }
            let Some(row) = self.events.get(number).reading()? else { break };
            let (event, prev) =
                rows::read_event(number, row.value()).map_err(|e| bad_row(format_args!("event {number}"), e))?;
            let is_return = event.kind.is_return();
            if !is_return && stood.recipient.last_reply.is_empty() {
                stood.recipient.last_reply = event.detail.as_ref().map(|d| d.reply.clone()).unwrap_or_default();
            }
            if stood.last.is_none() && self.periods.keeps(event.kind, event.at, self.now) {
                stood.last = Some(event);
            }
            if !is_return {
                break;
            }
            number = if prev < number { prev } else { 0 };
        }
        Ok(Some(stood))
    }

    /// The newest entries of recipients whose last events are known: each names the one before it.
    fn followed(
        &mut self,
        last: Vec<u64>,
        first: u64,
        ask: &GlanceAsk,
    ) -> Result<(Vec<LogRow>, Option<u64>), StoreError> {
        let (end, mut found) = (ask.before.unwrap_or(u64::MAX), Vec::new());
        let mut next = BinaryHeap::from(last);
        while let Some(number) = next.pop().filter(|number| *number >= first) {
            let Some(row) = self.events.get(number).reading()? else { continue };
            let head = EventHead::read(row.value()).map_err(|e| bad_row(format_args!("event {number}"), e))?;
            if number < end && found.len() >= ask.entries {
                return Ok((found, Some(number + 1)));
            }
            // The chain only leads back, so that it ends.
            next.extend(number.checked_sub(head.back).filter(|_| head.back > 0));
            if number < end {
                found.extend(self.told(number, row.value())?);
            }
        }
        Ok((found, None))
    }

    /// The entries of a message before an event, from the log itself: as many of it as there is time for.
    fn walked(&mut self, id: MessageId, first: u64, ask: &GlanceAsk) -> Result<(Vec<LogRow>, Option<u64>), StoreError> {
        let patience = Patience::of(&self.clock, &Page { within: ask.within, ..Page::default() });
        // Nothing of it is older than its first event, which is as old as the message.
        let first = first.max(first_number_of(id.time()));
        let end = ask.before.unwrap_or(u64::MAX);
        let mut found = Vec::new();
        if first >= end {
            return Ok((found, None));
        }
        for (looked, entry) in self.events.range(first..end).reading()?.rev().enumerate() {
            let (number, row) = entry.reading()?;
            let number = number.value();
            if found.len() >= ask.entries || patience.is_over(looked) {
                return Ok((found, Some(number + 1)));
            }
            let head = EventHead::read(row.value()).map_err(|e| bad_row(format_args!("event {number}"), e))?;
            if head.message == id {
                found.extend(self.told(number, row.value())?);
            }
        }
        Ok((found, None))
    }

    /// An event as a row, if it may be told.
    fn told(&mut self, number: u64, row: &[u8]) -> Result<Option<LogRow>, StoreError> {
        let row = self.row_of(number, row)?;
        Ok(row.filter(|row| self.periods.keeps(row.event.kind, row.event.at, self.now)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::{Clock, Timestamp},
        event::AttemptDetail,
        store::{
            Returned, Store, Story,
            migrate::tests::{filled, open},
        },
    };

    fn store() -> (Store, Vec<MessageId>) {
        let clock = Clock::manual(Timestamp::from_millis(1_795_527_310_000));
        let (disk, ids) = filled(&clock);
        let store = open(&disk, &clock).unwrap().store;
        // What was delivered comes back, twice.
        for (n, kind) in [EventKind::Bounced, EventKind::Complained].into_iter().enumerate() {
            let returned = Returned {
                key: RecipientKey { message: ids[0], index: 1 },
                kind,
                at: clock.now(),
                detail: Box::new(AttemptDetail { reply: format!("550 {n}"), ..AttemptDetail::default() }),
            };
            smol::block_on(store.returned(vec![returned])).unwrap();
        }
        (store, ids)
    }

    /// Everything that happened, page by page; `walks`: found in the log itself.
    fn pages(store: &Store, id: MessageId, only: Option<u32>, walks: bool) -> Vec<(u64, Event)> {
        let (mut all, mut before) = (Vec::new(), None);
        loop {
            let ask = GlanceAsk { only, before, entries: 2, ..GlanceAsk::default() };
            let (mut entries, earlier) = match walks {
                true => store.log().unwrap().walked(id, 0, &ask).unwrap(),
                false => {
                    let glance = store.message_glance(id, &ask).unwrap().expect("it is there");
                    (glance.entries.into_iter().rev().collect(), glance.earlier)
                }
            };
            assert!(entries.len() <= 2);
            all.extend(entries.drain(..).map(|row| (row.number, row.event)));
            match earlier {
                Some(next) => {
                    assert!(before.is_none_or(|before| next < before), "each page leads further back");
                    before = Some(next);
                }
                None => break,
            }
        }
        all.reverse();
        all
    }

    fn told(story: &Story, only: Option<u32>) -> Vec<(u64, Event)> {
        let all = story.numbers.iter().copied().zip(story.events.iter().cloned());
        all.filter(|(_, event)| only.is_none_or(|index| event.key.index == index)).collect()
    }

    #[test]
    fn a_glance_says_what_the_whole_story_says() {
        let (store, ids) = store();
        let mut came_back = 0;
        for id in ids {
            let story = store.message_story(id).unwrap().expect("a story");
            let mut standing = Standing::default();
            story.recipients.iter().for_each(|r| standing.add(&r.state));
            let all = story.recipients.len();
            for (from, recipients) in [(0, all), (1, 1), (0, 0), (7, 9)] {
                let ask = GlanceAsk { from, recipients, ..GlanceAsk::default() };
                let glance = store.message_glance(id, &ask).unwrap().expect("it is there");
                assert_eq!((glance.standing, glance.standing.all()), (standing, all as u64));
                let shown: Vec<&Recipient> = glance.recipients.iter().map(|stood| &stood.recipient).collect();
                let wanted: Vec<&Recipient> = story.recipients.iter().skip(from as usize).take(recipients).collect();
                assert_eq!(format!("{shown:?}"), format!("{wanted:?}"));
                for stood in &glance.recipients {
                    let last = story.events.iter().rev().find(|event| event.key == stood.recipient.key);
                    assert_eq!(stood.last.as_ref(), last);
                }
                let waits = |r: &&Recipient| matches!(r.state, RecipientState::Waiting { .. });
                let waiting: Vec<&Recipient> = story.recipients.iter().filter(waits).take(WAITING_NAMED_MAX).collect();
                assert_eq!(format!("{:?}", glance.waiting), format!("{waiting:?}"));
                assert_eq!(glance.came_back, story.events.iter().any(|event| event.kind.is_return()));
                came_back += usize::from(glance.came_back);
                assert!(glance.entries.is_empty() && glance.only.is_none());
            }
            assert_eq!(pages(&store, id, None, false), told(&story, None));
            assert_eq!(pages(&store, id, None, true), told(&story, None), "walked");
            assert_eq!(pages(&store, id, Some(1), false), told(&story, Some(1)));
            assert_eq!(pages(&store, id, Some(99), false), Vec::new());
        }
        assert!(came_back > 0);
        assert!(store.message_glance(MessageId::from_u64(5), &GlanceAsk::default()).unwrap().is_none());
    }

    #[test]
    fn what_is_past_its_period_is_not_told() {
        let clock = Clock::manual(Timestamp::from_millis(1_795_527_310_000));
        let (disk, ids) = filled(&clock);
        let store = open(&disk, &clock).unwrap().store;
        clock.advance(Duration::from_secs(400 * 86_400));
        for id in ids {
            let glance =
                store.message_glance(id, &GlanceAsk { entries: 9, recipients: 9, ..GlanceAsk::default() }).unwrap();
            let story = store.message_story(id).unwrap();
            assert_eq!(glance.is_some(), story.is_some());
            let Some(glance) = glance else { continue };
            assert!(glance.entries.is_empty() && glance.recipients.iter().all(|stood| stood.last.is_none()));
        }
    }
}
