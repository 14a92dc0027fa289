//! The due queue on disk, as the store keeps it: lanes by their earliest due time, submitters by turns within a head.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use hikyaku::{
    clock::Timestamp,
    event::Class,
    ids::{MessageId, RecipientKey, UserKey},
    schedule::core::DueLane,
};

/// What the disk knows of a recipient.
#[derive(Clone)]
pub struct Row {
    pub lane: Arc<str>,
    pub class: Class,
    pub user: UserKey,
    pub due: Timestamp,
    pub tries: u32,
    pub accepted: Timestamp,
    pub expires_at: Timestamp,
    /// It waits because its site was dead.
    pub for_site: bool,
    /// When its last entry was written.
    pub entry_at: Timestamp,
}

type Queue = BTreeMap<UserKey, BTreeSet<(Timestamp, RecipientKey)>>;

/// The due queue.
#[derive(Default)]
pub struct Disk {
    pub rows: HashMap<RecipientKey, Row>,
    queue: HashMap<Arc<str>, [Queue; 3]>,
    counts: HashMap<Arc<str>, u64>,
    earliest: BTreeSet<(Timestamp, Arc<str>)>,
}

impl Disk {
    fn first(&self, lane: &Arc<str>) -> Option<Timestamp> {
        let queues = self.queue.get(lane)?.iter().flat_map(BTreeMap::values);
        queues.filter_map(|of_user| of_user.first()).map(|(due, _)| *due).min()
    }

    fn edit(&mut self, lane: &Arc<str>, edit: impl FnOnce(&mut [Queue; 3])) {
        if let Some(due) = self.first(lane) {
            self.earliest.remove(&(due, lane.clone()));
        }
        edit(self.queue.entry(lane.clone()).or_default());
        if let Some(due) = self.first(lane) {
            self.earliest.insert((due, lane.clone()));
        }
    }

    pub fn put(&mut self, key: RecipientKey, row: Row) {
        self.remove(key);
        *self.counts.entry(row.lane.clone()).or_default() += 1;
        self.edit(&row.lane.clone(), |queue| {
            queue[row.class as usize].entry(row.user).or_default().insert((row.due, key));
        });
        self.rows.insert(key, row);
    }

    pub fn remove(&mut self, key: RecipientKey) -> Option<Row> {
        let row = self.rows.remove(&key)?;
        *self.counts.entry(row.lane.clone()).or_default() -= 1;
        self.edit(&row.lane.clone(), |queue| {
            let users = &mut queue[row.class as usize];
            if let Some(of_user) = users.get_mut(&row.user) {
                of_user.remove(&(row.due, key));
                if of_user.is_empty() {
                    users.remove(&row.user);
                }
            }
        });
        Some(row)
    }

    /// Those of a lane that wait for their site until later than `now`, in the order of the disk.
    pub fn waits_for_site(&self, lane: &Arc<str>, now: Timestamp) -> Vec<RecipientKey> {
        let users = self.queue.get(lane).into_iter().flatten().flat_map(BTreeMap::values);
        let later = users.flatten().filter(|(due, key)| *due > now && self.rows[key].for_site);
        later.map(|(_, key)| *key).collect()
    }

    pub fn lanes_due(&self, until: Timestamp, limit: usize) -> Vec<DueLane> {
        let due = self.earliest.iter().take_while(|(due, _)| *due <= until).take(limit);
        due.map(|(_, lane)| DueLane { lane: lane.clone(), count: self.counts[lane] }).collect()
    }

    pub fn next_due(&self, after: Timestamp) -> Option<Timestamp> {
        self.earliest.iter().map(|(due, _)| *due).find(|due| *due > after)
    }

    /// The head of a lane and class: due rows, submitters by turns, at most `per_message` of a message; and when the first
    /// row behind them is due, if that is later.
    pub fn head(
        &self,
        (lane, class): (&Arc<str>, Class),
        now: Timestamp,
        (rows, per_message): (usize, usize),
        skip: impl Fn(&RecipientKey) -> bool,
    ) -> (Vec<RecipientKey>, bool, Option<Timestamp>) {
        let Some(users) = self.queue.get(lane).map(|queues| &queues[class as usize]) else {
            return (Vec::new(), true, None);
        };
        let mut next_due = None;
        let (mut found, mut left_out) = (Vec::new(), false);
        let mut of_message: HashMap<MessageId, usize> = HashMap::new();
        let mut columns: Vec<_> = users.values().map(|of_user| of_user.iter().filter(|(_, key)| !skip(key))).collect();
        while !columns.is_empty() && found.len() < rows {
            columns.retain_mut(|column| {
                for (due, key) in column {
                    if *due > now {
                        next_due = next_due.into_iter().chain([*due]).min();
                        return false;
                    }
                    let count = of_message.entry(key.message).or_default();
                    *count += 1;
                    if *count > per_message {
                        left_out = true;
                    } else if found.len() < rows {
                        found.push(*key);
                        return true;
                    } else {
                        left_out = true;
                        return false;
                    }
                }
                false
            });
        }
        left_out |= columns.iter_mut().any(|column| column.next().is_some_and(|(due, _)| *due <= now));
        (found, !left_out, next_due)
    }
}
