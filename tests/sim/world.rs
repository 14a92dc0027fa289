//! A world for the scheduler's core: a due queue on disk that answers late, destinations that behave well or badly, and a
//! clock that jumps to the next thing that happens.
//!
//! Always: a run is a function of its seed; what must never happen is asserted where it would happen.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use hikyaku::{
    clock::Timestamp,
    event::{AttemptDetail, Class},
    ids::{MessageId, RecipientKey},
    schedule::{
        backoff::{self, Jitter, NextTry},
        core::{Core, DueLane, LaneRef, Load, Page, Slip, Start},
        limits::{Feedback, Limits},
    },
};

/// When every run begins.
pub const START: Timestamp = Timestamp::from_millis(1_795_527_310_000);

/// Small, seeded, good enough.
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5bf0_3635)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    pub fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to - from + 1))
    }
}

/// How a destination behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Site {
    /// Delivers within 100 ms.
    Fast,
    /// Delivers, after ten minutes.
    Slow,
    /// Times out after 30 s.
    Dead,
    /// Refuses connections at once.
    Refusing,
    /// Defers each recipient's first try.
    Greylisting,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Fresh(RecipientKey),
    Ended(usize),
    Applied(usize),
    Read(usize),
    Scanned(usize),
}

struct Running {
    start: Start<()>,
    began: Timestamp,
}

struct Applying {
    at: LaneRef,
    /// Who, and when each is due again; `None`: delivered.
    changes: Vec<(RecipientKey, Option<Timestamp>)>,
}

/// What the disk knows of a recipient.
#[derive(Clone)]
pub struct Row {
    pub lane: Arc<str>,
    pub class: Class,
    pub due: Timestamp,
    pub tries: u32,
    pub accepted: Timestamp,
}

/// The due queue on disk.
#[derive(Default)]
pub struct Disk {
    pub rows: HashMap<RecipientKey, Row>,
    queue: HashMap<Arc<str>, [BTreeSet<(Timestamp, RecipientKey)>; 3]>,
    earliest: BTreeSet<(Timestamp, Arc<str>)>,
}

impl Disk {
    fn first(&self, lane: &Arc<str>) -> Option<Timestamp> {
        self.queue.get(lane)?.iter().filter_map(|class| class.first()).map(|(due, _)| *due).min()
    }

    fn edit(&mut self, lane: &Arc<str>, edit: impl FnOnce(&mut [BTreeSet<(Timestamp, RecipientKey)>; 3])) {
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
        self.edit(&row.lane.clone(), |queue| {
            queue[row.class as usize].insert((row.due, key));
        });
        self.rows.insert(key, row);
    }

    fn remove(&mut self, key: RecipientKey) -> Option<Row> {
        let row = self.rows.remove(&key)?;
        self.edit(&row.lane.clone(), |queue| {
            queue[row.class as usize].remove(&(row.due, key));
        });
        Some(row)
    }

    fn lanes_due(&self, until: Timestamp, limit: usize) -> Vec<DueLane> {
        let count = |lane: &Arc<str>| self.queue[lane].iter().map(|c| c.len() as u64).sum();
        let due = self.earliest.iter().take_while(|(due, _)| *due <= until).take(limit);
        due.map(|(_, lane)| DueLane { lane: lane.clone(), count: count(lane) }).collect()
    }

    fn next_due(&self, after: Timestamp) -> Option<Timestamp> {
        self.earliest.iter().map(|(due, _)| *due).find(|due| *due > after)
    }
}

/// Scheduler, disk, destinations and clock.
pub struct World {
    pub now: Timestamp,
    pub core: Core<()>,
    pub disk: Disk,
    pub limits: Limits,
    pub sites: HashMap<Arc<str>, Site>,
    /// Seconds from acceptance to delivery, by lane.
    pub delays: HashMap<Arc<str>, Vec<Duration>>,
    /// How often each recipient was delivered.
    pub delivered: HashMap<RecipientKey, u32>,
    /// Conversations started, by class, in order.
    pub started: Vec<(Arc<str>, Class)>,
    pub suspended: usize,
    pub tickets_seen: usize,
    rng: Rng,
    events: BinaryHeap<Reverse<(Timestamp, u64, What)>>,
    order: u64,
    running: HashMap<usize, Running>,
    applying: HashMap<usize, Applying>,
    reads: HashMap<usize, (Load, Page<()>)>,
    scans: HashMap<usize, (Vec<DueLane>, bool, Option<Timestamp>)>,
    next_id: usize,
    busy: HashSet<RecipientKey>,
    lane_connections: HashMap<Arc<str>, usize>,
    on_their_way: HashSet<RecipientKey>,
    messages: u64,
    schedule: Vec<Duration>,
    /// A read of the disk takes up to this many milliseconds.
    pub read_millis: u64,
    /// Reads see messages that the scheduler is about to be told of, as after a stall of the whole process.
    pub reads_see_all: bool,
}

impl World {
    pub fn new(seed: u64, limits: Limits) -> Self {
        World {
            now: START,
            core: Core::new(limits),
            disk: Disk::default(),
            limits,
            sites: HashMap::new(),
            delays: HashMap::new(),
            delivered: HashMap::new(),
            started: Vec::new(),
            suspended: 0,
            tickets_seen: 0,
            rng: Rng::new(seed),
            events: BinaryHeap::new(),
            order: 0,
            running: HashMap::new(),
            applying: HashMap::new(),
            reads: HashMap::new(),
            scans: HashMap::new(),
            next_id: 0,
            busy: HashSet::new(),
            lane_connections: HashMap::new(),
            on_their_way: HashSet::new(),
            messages: 0,
            schedule: [60, 300, 900, 1800, 3600, 7200, 14_400].map(Duration::from_secs).to_vec(),
            read_millis: 5,
            reads_see_all: false,
        }
    }

    pub fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    pub fn site(&mut self, name: &str, site: Site) -> Arc<str> {
        let lane: Arc<str> = name.into();
        self.sites.insert(lane.clone(), site);
        lane
    }

    /// A message for `recipients` of a lane is on disk; `told`: the scheduler hears of it a little later.
    pub fn accept(&mut self, lane: &Arc<str>, class: Class, recipients: u32, told: bool) -> MessageId {
        self.messages += 1;
        let message = MessageId::from_u64(self.messages);
        for index in 0..recipients {
            let key = RecipientKey { message, index };
            let row = Row { lane: lane.clone(), class, due: self.now, tries: 0, accepted: self.now };
            self.disk.put(key, row);
            if told {
                self.on_their_way.insert(key);
            }
        }
        if told {
            let wait = self.rng.millis(0, 5);
            (0..recipients).for_each(|index| self.at(wait, What::Fresh(RecipientKey { message, index })));
        }
        message
    }

    /// An operator holds about one in `n` of those that are not being tried, for an hour, and tells the scheduler.
    pub fn hold_one_in(&mut self, n: u64) {
        let mut keys: Vec<RecipientKey> = self.disk.rows.keys().copied().collect();
        keys.sort_unstable();
        for key in keys {
            if self.rng.below(n) == 0 && !self.busy.contains(&key) && !self.on_their_way.contains(&key) {
                let row = self.disk.rows[&key].clone();
                self.disk.put(key, Row { due: self.now.plus(Duration::from_secs(3_600)), ..row });
            }
        }
        self.core.kick();
    }

    /// The process dies and starts again: RAM is gone, the disk stays. Answers how many attempts were cut.
    pub fn crash(&mut self) -> usize {
        let cut =
            self.running.values().filter(|r| r.start.suspended.is_none()).map(|r| r.start.slips.len()).sum::<usize>()
                + self.applying.values().map(|a| a.changes.len()).sum::<usize>();
        self.core = Core::new(self.limits);
        self.events.clear();
        self.running.clear();
        self.applying.clear();
        self.reads.clear();
        self.scans.clear();
        self.busy.clear();
        self.lane_connections.clear();
        self.on_their_way.clear();
        cut
    }

    /// Runs until `until`, or until nothing waits any more.
    pub fn run(&mut self, until: Timestamp) {
        loop {
            self.act();
            let wake = self.core.wake_at(self.now);
            let next = self.events.peek().map_or(Timestamp::MAX, |Reverse((time, ..))| *time);
            let nothing_left = self.disk.rows.is_empty() && self.events.is_empty();
            if next.min(wake) > until || nothing_left {
                self.now = if nothing_left { self.now } else { until };
                return;
            }
            self.now = self.now.max(next.min(wake));
            while let Some(Reverse((time, _, what))) = self.events.peek().copied()
                && time <= self.now
            {
                self.events.pop();
                self.happen(what);
            }
        }
    }

    /// Attempts that run.
    pub fn connections(&self) -> usize {
        self.lane_connections.values().sum()
    }

    fn at(&mut self, wait: Duration, what: What) {
        self.order += 1;
        self.events.push(Reverse((self.now.plus(wait), self.order, what)));
    }

    fn id(&mut self) -> usize {
        self.next_id += 1;
        self.next_id
    }

    fn act(&mut self) {
        while let Some(start) = self.core.poll(self.now) {
            self.begin(start);
        }
        if let Some(limit) = self.core.scan(self.now) {
            let lanes = self.disk.lanes_due(self.now, limit);
            let (id, more, wait) = (self.id(), lanes.len() >= limit, self.rng.millis(0, 5));
            self.scans.insert(id, (lanes, more, self.disk.next_due(self.now)));
            self.at(wait, What::Scanned(id));
        }
        while let Some(load) = self.core.load() {
            let page = self.read(&load);
            let (id, wait) = (self.id(), self.rng.millis(0, self.read_millis));
            self.reads.insert(id, (load, page));
            self.at(wait, What::Read(id));
        }
        self.tickets_seen = self.tickets_seen.max(self.core.tickets());
        assert!(self.core.tickets() <= self.limits.tickets_max, "the window is over its bound");
        assert!(self.core.lanes() <= self.limits.lanes_max(), "too many lanes in RAM");
    }

    /// The answer is of the moment when it was asked for; it arrives later.
    fn read(&self, load: &Load) -> Page<()> {
        let (mut slips, mut again, mut next_due) = (Vec::new(), false, None);
        let rows = self.disk.queue.get(&load.lane).map(|q| &q[load.class as usize]);
        for (due, key) in rows.into_iter().flatten() {
            if slips.len() == load.limit {
                break;
            }
            if *due > self.now {
                next_due = Some(*due);
                break;
            }
            if self.on_their_way.contains(key) && !self.reads_see_all {
                again = true;
            } else if !load.skip.contains(key) {
                slips.push(Slip { key: *key, payload: None, payload_bytes: 0 });
            }
        }
        let complete = slips.len() < load.limit;
        Page { slips, complete, again, next_due }
    }

    fn begin(&mut self, start: Start<()>) {
        let site = self.sites[&start.lane];
        for slip in &start.slips {
            assert!(self.busy.insert(slip.key), "{:?} is tried twice at a time", slip.key);
            let row = self.disk.rows.get(&slip.key).expect("a recipient that is final is tried again");
            assert!(row.due <= self.now, "{:?} is tried before its time", slip.key);
            assert_eq!((&row.lane, row.class), (&start.lane, start.class));
        }
        let id = self.id();
        let wait = if start.suspended.is_some() {
            self.suspended += start.slips.len();
            Duration::ZERO
        } else {
            self.started.push((start.lane.clone(), start.class));
            let connections = self.lane_connections.entry(start.lane.clone()).or_default();
            *connections += 1;
            assert!(*connections <= self.limits.connections_per_destination, "too many connections to {}", start.lane);
            assert!(self.connections() <= self.limits.connections_total, "too many connections");
            match site {
                Site::Fast | Site::Greylisting => self.rng.millis(10, 100),
                Site::Slow => Duration::from_secs(600),
                Site::Dead => Duration::from_secs(30),
                Site::Refusing => self.rng.millis(0, 3),
            }
        };
        self.running.insert(id, Running { start, began: self.now });
        self.at(wait, What::Ended(id));
    }

    fn happen(&mut self, what: What) {
        match what {
            What::Fresh(key) => {
                self.on_their_way.remove(&key);
                let row = self.disk.rows.get(&key).expect("nobody else tries it").clone();
                let slip = Slip { key, payload: Some(()), payload_bytes: 10_000 };
                self.core.fresh(&row.lane, row.class, slip, self.now);
            }
            What::Ended(id) => self.ended(id),
            What::Applied(id) => self.applied(id),
            What::Read(id) => {
                let (load, page) = self.reads.remove(&id).expect("asked for");
                self.core.loaded(load, Some(page), self.now);
            }
            What::Scanned(id) => {
                let (lanes, more, next) = self.scans.remove(&id).expect("asked for");
                self.core.scanned(lanes, more, next, self.now);
            }
        }
    }

    fn ended(&mut self, id: usize) {
        let Running { start, began } = self.running.remove(&id).expect("it ran");
        let site = self.sites[&start.lane];
        if start.suspended.is_none() {
            *self.lane_connections.get_mut(&start.lane).expect("it had a connection") -= 1;
            let (feedback, trouble) = match site {
                Site::Fast | Site::Slow | Site::Greylisting => (Feedback::Healthy, None),
                Site::Dead | Site::Refusing => {
                    (Feedback::Trouble, Some(AttemptDetail { reply: "no answer".into(), ..AttemptDetail::default() }))
                }
            };
            self.core.finished(start.at, feedback, trouble.as_ref(), self.now);
        }
        let mut changes = Vec::new();
        for slip in &start.slips {
            let row = self.disk.rows.get(&slip.key).expect("still there").clone();
            let delivers = match site {
                Site::Fast | Site::Slow => true,
                Site::Greylisting => row.tries > 0,
                Site::Dead | Site::Refusing => false,
            };
            if delivers && start.suspended.is_none() {
                *self.delivered.entry(slip.key).or_default() += 1;
                self.delays.entry(start.lane.clone()).or_default().push(began.since(row.accepted));
                changes.push((slip.key, None));
            } else {
                let jitter = Jitter::of(slip.key.message, row.tries + 1);
                let next = backoff::next_try(&self.schedule, row.tries + 1, self.now, Timestamp::MAX, jitter);
                let NextTry::At(at) = next else { panic!("nobody expires here") };
                changes.push((slip.key, Some(at)));
            }
        }
        let (id, wait) = (self.id(), self.rng.millis(1, 20));
        self.applying.insert(id, Applying { at: start.at, changes });
        self.at(wait, What::Applied(id));
    }

    fn applied(&mut self, id: usize) {
        let Applying { at, changes } = self.applying.remove(&id).expect("it was sent");
        for (key, due) in &changes {
            let row = self.disk.remove(*key).expect("it was there");
            if let Some(due) = due {
                self.disk.put(*key, Row { due: *due, tries: row.tries + 1, ..row });
                self.core.due_at(*due);
            }
            self.busy.remove(key);
        }
        self.core.released(at, changes.into_iter().map(|(key, _)| key));
    }
}
