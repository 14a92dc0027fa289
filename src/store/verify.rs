//! Reads the whole store of a stopped daemon and compares every sum with a recount.
//!
//! In: a data directory.  Out: counts, and one line for each damage.
//! Always: changes nothing, but for putting in place what a redo log holds after a hard stop; goes on after damage; what it says names the row or the file.

use std::{collections::HashMap, io::Read, path::Path, sync::Arc};

use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata};

use super::{
    ages::Recount,
    batch::is_held,
    chain, conversations, counts,
    disk::Disk,
    events::events_of,
    fault::Reading,
    leads, memos, messages, migrate, pauses,
    rows::{self, EventHead, LaneTotals, MessageHead, RecipientRow},
    segments::{RECORD_HEAD, SEGMENT_OCTETS, SegmentRow, Segments},
    sums::{self, Sums, Whom},
    tables::{
        self, META_TOTALS, due_key, index_hash, index_key, lane_due_key, message_key, read_due_key, read_mail_key,
        recipient_key,
    },
    types::{BodyPlace, Message, RecipientState, StoreError, VerifyReport},
};
use crate::{
    event::EventKind,
    ids::{MessageId, RecipientKey, UserKey, hex},
};

/// Lines of damage that are told; more are counted.
const LINES_MAX: usize = 1000;

/// Verifies the store in `data_dir`.
pub(super) fn run(disk: Arc<dyn Disk>, data_dir: &Path) -> Result<VerifyReport, StoreError> {
    let path = data_dir.join(tables::DATABASE_FILE);
    let read = |e: std::io::Error| StoreError::Read { what: path.display().to_string(), cause: e.to_string() };
    if !disk.exists(&path).map_err(read)? {
        let cause = "there is no database".to_owned();
        return Err(StoreError::Read { what: path.display().to_string(), cause });
    }
    let (mut db, _file) = tables::open_existing(&*disk, &path)?;
    if migrate::is_due(&db)? {
        let what = path.display().to_string();
        let cause =
            "it was written by an older Hikyaku: start this version once, which brings it up to date, then verify";
        return Err(StoreError::Read { what, cause: cause.to_owned() });
    }
    let mut v = Verifier::default();
    match db.check_integrity() {
        Ok(true) => {}
        Ok(false) => v.damage(format!("{}: pages were damaged and have been repaired", path.display())),
        Err(e) => v.damage(format!("{}: {e}", path.display())),
    }
    let segments = Segments::open(disk, data_dir, SEGMENT_OCTETS).map_err(read)?;
    v.read_everything(&db, &segments)?;
    if v.untold > 0 {
        v.report.damage.push(format!("… and {} lines more", v.untold));
    }
    Ok(v.report)
}

#[derive(Default)]
struct Verifier {
    report: VerifyReport,
    /// Events met on the way back from recipients' last ones.
    chained: u64,
    untold: usize,
    waiting: u64,
    held: u64,
    body_octets: u64,
    last_id: u64,
    segments: HashMap<u64, SegmentRow>,
    ages: Recount,
    counts: counts::Recount,
    sums: Sums,
}

/// A message whose recipients are being read.
struct Open {
    id: MessageId,
    message: Message,
    head: MessageHead,
    seen: u32,
    waiting: u32,
    owed: u32,
    /// The last event of all its recipients that is not pruned, and whether it closes the message.
    last_event: Option<(u64, bool)>,
    /// Another one closes it, too.
    closed_before: bool,
    /// An event of it cannot be read.
    is_broken: bool,
}

impl Open {
    /// An event of it, in any order.
    fn meet(&mut self, number: u64, closes: bool) {
        match self.last_event {
            Some((last, closes_last)) if number < last => {
                self.closed_before |= closes;
                self.last_event = Some((last, closes_last));
            }
            Some((_, closed)) => {
                self.closed_before |= closed;
                self.last_event = Some((number, closes));
            }
            None => self.last_event = Some((number, closes)),
        }
    }
}

fn name_of(key: RecipientKey) -> String {
    format!("recipient {} of message {}", key.index, key.message)
}

impl Verifier {
    fn damage(&mut self, line: String) {
        if self.report.damage.len() < LINES_MAX {
            self.report.damage.push(line);
        } else {
            self.untold += 1;
        }
    }

    fn read_everything(&mut self, db: &Database, segments: &Segments) -> Result<(), StoreError> {
        let txn = db.begin_read().reading()?;
        self.read_mail(&txn, segments)?;
        self.read_queue(&txn)?;
        self.read_events(&txn)?;
        self.read_notices(&txn)?;
        self.read_indexes(&txn)?;
        self.read_minutes(&txn)?;
        let minutes = super::user_minutes::verify(&txn)?;
        minutes.into_iter().for_each(|line| self.damage(line));
        let counts = std::mem::take(&mut self.counts).compare(&txn)?;
        let ages = std::mem::take(&mut self.ages).compare(&txn.open_table(tables::AGES).reading()?)?;
        let (audit, ends) = chain::verify(&txn)?;
        self.report.audit_entries = ends.entries;
        self.report.audit_head = (ends.head.0, hex(&ends.head.1));
        let sums = sums::compare(&txn, &self.sums)?;
        let lines = [
            ages,
            sums,
            memos::verify(&txn)?,
            pauses::verify(&txn)?,
            leads::verify(&txn)?,
            conversations::verify(&txn)?,
            audit,
            counts,
        ];
        lines.into_iter().flatten().for_each(|line| self.damage(line));
        self.compare_sums(&txn)
    }

    // ---- messages, recipients, bodies ----

    fn read_mail(&mut self, txn: &ReadTransaction, segments: &Segments) -> Result<(), StoreError> {
        let mail = txn.open_table(tables::MAIL).reading()?;
        let due = txn.open_table(tables::DUE).reading()?;
        let events = txn.open_table(tables::EVENTS).reading()?;
        let first_event = events.first().reading()?.map_or(u64::MAX, |(n, _)| n.value());
        let mut open: Option<Open> = None;
        for entry in mail.iter().reading()? {
            let (key, row) = entry.reading()?;
            let (id, index) = read_mail_key(key.value());
            match index {
                None => {
                    self.close_message(open.take());
                    open = self.read_message(id, row.value(), segments);
                }
                Some(index) => {
                    let key = RecipientKey { message: id, index };
                    self.report.recipients += 1;
                    let row = match rows::read_recipient(key, row.value()) {
                        Ok(row) => row,
                        Err(e) => {
                            self.damage(format!("recipient {index} of message {id}: {e}"));
                            continue;
                        }
                    };
                    match open.as_mut().filter(|m| m.id == id) {
                        None => self.damage(format!("recipient {index} of message {id}: its message has no row")),
                        Some(m) => {
                            m.seen += 1;
                            m.owed += u32::try_from(row.owed.len()).unwrap_or(u32::MAX);
                            if matches!(row.shown.state, RecipientState::Waiting { .. }) {
                                m.waiting += 1;
                            }
                        }
                    }
                    // A message whose row is gone or damaged is nobody's.
                    let message = open.as_mut().filter(|m| m.id == id);
                    self.check_recipient(&row, message.as_ref().map(|m| m.head), &due)?;
                    self.check_chain(&row, message, &events, first_event)?;
                }
            }
        }
        self.close_message(open);
        Ok(())
    }

    fn read_message(&mut self, id: MessageId, row: &[u8], segments: &Segments) -> Option<Open> {
        self.report.messages += 1;
        self.last_id = self.last_id.max(id.as_u64());
        let (head, message) = match (MessageHead::read(row), rows::read_message(id, row)) {
            (Ok(head), Ok(message)) => (head, message),
            (Err(e), _) | (_, Err(e)) => {
                self.damage(format!("message {id}: {e}"));
                // The writer knew no name of its events, either.
                self.counts.lost();
                return None;
            }
        };
        if head.place != BodyPlace::Gone {
            self.read_body(&message, segments);
        }
        Some(Open {
            id,
            message,
            head,
            seen: 0,
            waiting: 0,
            owed: 0,
            last_event: None,
            closed_before: false,
            is_broken: false,
        })
    }

    fn read_body(&mut self, message: &Message, segments: &Segments) {
        self.body_octets += message.len;
        if let BodyPlace::Segment { segment, .. } = message.place {
            let row = self.segments.entry(segment).or_default();
            row.live += 1;
            row.live_octets += message.len + RECORD_HEAD as u64;
        }
        let read = messages::try_open(segments, message.id, message.place, message.len)
            .map_err(|e| e.to_string())
            .and_then(|mut body| {
                let mut block = vec![0; 64 * 1024];
                while body.read(&mut block).map_err(|e| format!("message {}: {e}", message.id))? > 0 {}
                Ok(())
            });
        match read {
            Ok(()) => self.report.bodies += 1,
            Err(why) => self.damage(why),
        }
    }

    fn close_message(&mut self, open: Option<Open>) {
        let Some(m) = open else { return };
        let id = m.id;
        if m.seen != m.message.recipients {
            self.damage(format!("message {id}: {} recipients, but {} rows", m.message.recipients, m.seen));
        }
        if m.waiting != m.head.waiting {
            self.damage(format!("message {id}: says {} waiting, but {} are", m.head.waiting, m.waiting));
        }
        if m.owed != m.head.owed {
            self.damage(format!("message {id}: says {} notices owed, but {} are", m.head.owed, m.owed));
        }
        if m.waiting == 0 && m.head.leads {
            self.damage(format!("message {id}: is finished, but says that leads of it are kept"));
        }
        if m.waiting > 0 && m.head.place == BodyPlace::Gone {
            self.damage(format!("message {id}: waits, but its body was dropped"));
        }
        if m.waiting == 0 && m.last_event.is_some_and(|(_, closes)| !closes) {
            self.damage(format!("message {id}: is finished, but its last event does not close it"));
        }
        if m.waiting == 0 && m.owed == 0 && m.last_event.is_none() && !m.is_broken {
            self.damage(format!("message {id}: is finished and its events were pruned, but its rows were not"));
        }
        if m.closed_before && !m.head.returned {
            self.damage(format!("message {id}: events follow the one that closed it, but its row does not say so"));
        }
    }

    fn check_recipient(
        &mut self,
        row: &RecipientRow,
        head: Option<MessageHead>,
        due_table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    ) -> Result<(), StoreError> {
        let RecipientState::Waiting { due, wait } = row.shown.state else { return Ok(()) };
        let key = row.shown.key;
        self.waiting += 1;
        self.held += u64::from(is_held(wait));
        let (user, since) = head.map_or((UserKey::default(), None), |h| (h.user, h.since));
        if let Some(since) = since {
            self.ages.add(row.class, since, wait);
        }
        self.sums.change(Whom { class: row.class, user, name: "" }, None, Some(wait));
        let due_key = due_key(&row.shown.lane.0, row.class, user, due, key);
        if due_table.get(due_key.as_slice()).reading()?.is_none() {
            self.damage(format!("{}: waits, but the due index does not have it", name_of(key)));
        }
        Ok(())
    }

    /// A recipient's events, from the last one back to the first that is not pruned: all of them are its own, and the newest
    /// that did not come back says what its state says (P4); no other one is final (P2).
    fn check_chain(
        &mut self,
        row: &RecipientRow,
        mut message: Option<&mut Open>,
        events: &impl ReadableTable<u64, &'static [u8]>,
        first_event: u64,
    ) -> Result<(), StoreError> {
        let (key, name) = (row.shown.key, name_of(row.shown.key));
        let expected = match row.shown.state {
            RecipientState::Final(kind) => Some(kind),
            RecipientState::Waiting { .. } => None,
        };
        let (mut number, mut state_told) = (row.last_event, false);
        // The numbers fall, so that it ends.
        while number >= first_event {
            let Some(event) = events.get(number).reading()? else {
                message.iter_mut().for_each(|m| m.is_broken = true);
                self.damage(format!("{name}: its event {number} is missing"));
                break;
            };
            let (head, read) = (EventHead::read(event.value()), rows::read_event(number, event.value()));
            // What cannot be read is told with the events.
            let (Ok(head), Ok((event, prev))) = (head, read) else {
                message.iter_mut().for_each(|m| m.is_broken = true);
                break;
            };
            if event.key != key {
                self.damage(format!("{name}: its event {number} is another recipient's"));
                break;
            }
            self.chained += 1;
            if let Some(m) = message.as_deref_mut() {
                m.meet(number, head.closes);
            }
            if !event.kind.is_return() {
                let says = event.kind.is_final().then_some(event.kind);
                if !state_told && says != expected {
                    let is = expected.map_or("waiting", EventKind::word);
                    self.damage(format!("{name}: is {is}, but its last event says {}", event.kind.word()));
                } else if state_told && says.is_some() {
                    self.damage(format!("{name}: its event {number} is final, but others follow"));
                }
                state_told = true;
            }
            if prev >= number {
                break;
            }
            number = prev;
        }
        Ok(())
    }

    // ---- the queue ----

    fn read_queue(&mut self, txn: &ReadTransaction) -> Result<(), StoreError> {
        let due = txn.open_table(tables::DUE).reading()?;
        let mail = txn.open_table(tables::MAIL).reading()?;
        let mut lane: Option<(String, LaneTotals)> = None;
        let (mut count, mut lanes) = (0u64, 0u64);
        for entry in due.iter().reading()? {
            let (key, row) = entry.reading()?;
            count += 1;
            let Some(k) = read_due_key(key.value()) else {
                self.damage("due index: a key that is none".to_owned());
                continue;
            };
            if rows::read_due(row.value()).is_err() {
                self.damage(format!("due index: the row of {}/{} is damaged", k.key.message, k.key.index));
            }
            if mail.get(&recipient_key(k.key)).reading()?.is_none() {
                self.damage(format!("due index: {}/{} has no recipient row", k.key.message, k.key.index));
            }
            if lane.as_ref().is_none_or(|(name, _)| name != k.lane) {
                lanes += u64::from(lane.is_some());
                self.close_lane(txn, lane.take())?;
                lane = Some((k.lane.to_owned(), LaneTotals { earliest: u64::MAX, ..LaneTotals::default() }));
            }
            if let Some((_, totals)) = &mut lane {
                totals.counts[k.class as usize] += 1;
                totals.earliest = totals.earliest.min(k.due.as_millis());
            }
        }
        lanes += u64::from(lane.is_some());
        self.close_lane(txn, lane)?;
        if count != self.waiting {
            self.damage(format!("due index: {count} rows, but {} recipients wait", self.waiting));
        }
        for (name, rows) in [
            ("lanes", txn.open_table(tables::LANES).reading()?.len().reading()?),
            ("lanes by due time", txn.open_table(tables::LANE_DUE).reading()?.len().reading()?),
        ] {
            if rows != lanes {
                self.damage(format!("{name}: {rows} rows, but {lanes} lanes wait"));
            }
        }
        Ok(())
    }

    fn close_lane(&mut self, txn: &ReadTransaction, lane: Option<(String, LaneTotals)>) -> Result<(), StoreError> {
        let Some((name, counted)) = lane else { return Ok(()) };
        let stored = match txn.open_table(tables::LANES).reading()?.get(name.as_bytes()).reading()? {
            Some(row) => rows::read_lane(row.value()).map_err(|e| e.to_string()),
            None => Err("it has no row".to_owned()),
        };
        match stored {
            Ok(l) if l.counts == counted.counts && l.earliest == counted.earliest => {}
            Ok(l) => self.damage(format!(
                "lane {name}: says {:?} from {}, but {:?} from {}",
                l.counts, l.earliest, counted.counts, counted.earliest
            )),
            Err(why) => self.damage(format!("lane {name}: {why}")),
        }
        let by_due = txn.open_table(tables::LANE_DUE).reading()?;
        if by_due.get(lane_due_key(counted.earliest, &name).as_slice()).reading()?.is_none() {
            self.damage(format!("lane {name}: not found by its earliest due time"));
        }
        Ok(())
    }

    // ---- the log ----

    fn read_events(&mut self, txn: &ReadTransaction) -> Result<(), StoreError> {
        let mail = txn.open_table(tables::MAIL).reading()?;
        let by_recipient = txn.open_table(tables::BY_RECIPIENT).reading()?;
        let by_api_data = txn.open_table(tables::BY_API_DATA).reading()?;
        for event in events_of(txn)? {
            let (number, event) = event?;
            self.report.events += 1;
            let event = match event {
                Ok((event, _)) => event,
                Err(e) => {
                    self.damage(format!("event {number}: {e}"));
                    self.counts.lost();
                    continue;
                }
            };
            let Some(row) = mail.get(&recipient_key(event.key)).reading()? else {
                self.damage(format!("event {number}: its recipient has no row"));
                self.counts.lost();
                continue;
            };
            let message = mail.get(&message_key(event.key.message)).reading()?;
            match message.as_ref().map(|row| MessageHead::read(row.value())) {
                Some(Ok(head)) => self.counts.add(&event, head.user),
                Some(Err(_)) | None => self.counts.lost(),
            }
            let Ok(row) = rows::read_recipient(event.key, row.value()) else { continue };
            let hash = index_hash(row.shown.address.as_str());
            let key = index_key(rows::number_time(number).day(), hash, number);
            if by_recipient.get(&key).reading()?.is_none() {
                self.damage(format!("event {number}: the index by recipient does not have it"));
            }
            let api_hash = message.and_then(|row| MessageHead::read(row.value()).ok()).and_then(|head| head.api_hash);
            if let Some(hash) = api_hash
                && by_api_data.get(&index_key(rows::number_time(number).day(), hash, number)).reading()?.is_none()
            {
                self.damage(format!("event {number}: the index by X-Api-Data does not have it"));
            }
            if event.kind == EventKind::Deferred && event.next_try.is_none() {
                self.damage(format!("event {number}: deferred without a next try"));
            }
        }
        if self.report.events != self.chained {
            let (events, chained) = (self.report.events, self.chained);
            self.damage(format!("log: {events} events, but {chained} are found from their recipients"));
        }
        Ok(())
    }

    /// Every row of an index names something that is there. Those of the events of a day go a little after the last of these:
    /// they are counted, and hold a number and a checksum.
    fn read_indexes(&mut self, txn: &ReadTransaction) -> Result<(), StoreError> {
        let events = txn.open_table(tables::EVENTS).reading()?;
        let first = events.first().reading()?.map_or(u64::MAX, |(n, _)| n.value());
        for (table, what) in [(tables::BY_RECIPIENT, "recipient"), (tables::BY_API_DATA, "X-Api-Data")] {
            for entry in txn.open_table(table).reading()?.iter().reading()? {
                let (_, _, number) = tables::read_index_key(entry.reading()?.0.value());
                if number < first {
                    self.report.index_rows_left += 1;
                } else if events.get(number).reading()?.is_none() {
                    self.damage(format!("index by {what}: event {number} is not in the log"));
                }
            }
        }
        let mail = txn.open_table(tables::MAIL).reading()?;
        for entry in txn.open_table(tables::BY_MESSAGE_ID).reading()?.iter().reading()? {
            let id = MessageId::from_u64(tables::read_index_key(entry.reading()?.0.value()).2);
            if mail.get(&message_key(id)).reading()?.is_none() {
                self.damage(format!("index by Message-ID: message {id} has no row"));
            }
        }
        Ok(())
    }

    fn read_minutes(&mut self, txn: &ReadTransaction) -> Result<(), StoreError> {
        for entry in txn.open_table(tables::MINUTES).reading()?.iter().reading()? {
            let (minute, row) = entry.reading()?;
            if let Err(e) = rows::read_minute(row.value()) {
                self.damage(format!("minute {}: {e}", minute.value()));
            }
        }
        Ok(())
    }

    fn read_notices(&mut self, txn: &ReadTransaction) -> Result<(), StoreError> {
        let mail = txn.open_table(tables::MAIL).reading()?;
        for entry in txn.open_table(tables::NOTICES).reading()?.iter().reading()? {
            let (number, row) = entry.reading()?;
            let number = number.value();
            let owed = match rows::read_notice(row.value()) {
                Ok((key, _)) => mail
                    .get(&recipient_key(key))
                    .reading()?
                    .and_then(|row| rows::read_recipient(key, row.value()).ok())
                    .is_some_and(|row| row.owed.contains(&number)),
                Err(_) => false,
            };
            if !owed {
                self.damage(format!("owed notice {number}: its recipient does not know of it"));
            }
        }
        Ok(())
    }

    fn compare_sums(&mut self, txn: &ReadTransaction) -> Result<(), StoreError> {
        let meta = txn.open_table(tables::META).reading()?;
        let [waiting, held, body_octets, last_id, _] = match meta.get(META_TOTALS).reading()? {
            None => [0; 5],
            Some(row) => rows::read_numbers(row.value()).unwrap_or([u64::MAX; 5]),
        };
        let sums = [
            ("waiting", waiting, self.waiting),
            ("held", held, self.held),
            ("body octets", body_octets, self.body_octets),
        ];
        for (name, stored, counted) in sums {
            if stored != counted {
                self.damage(format!("totals: say {stored} {name}, but there are {counted}"));
            }
        }
        if last_id < self.last_id {
            self.damage("totals: the last message id is below an existing one".to_owned());
        }
        for entry in txn.open_table(tables::SEGMENTS).reading()?.iter().reading()? {
            let (number, row) = entry.reading()?;
            let number = number.value();
            let counted = self.segments.remove(&number).unwrap_or_default();
            let [live, live_octets, _] = rows::read_numbers(row.value()).unwrap_or([u64::MAX; 3]);
            if live != counted.live || live_octets != counted.live_octets {
                let (n, octets) = (counted.live, counted.live_octets);
                self.damage(format!(
                    "segment {number:016x}: says {live} bodies ({live_octets} octets), but {n} ({octets}) live there"
                ));
            }
        }
        let lost: Vec<u64> = self.segments.keys().copied().collect();
        for number in lost {
            self.damage(format!("segment {number:016x}: bodies live there, but it has no row"));
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
