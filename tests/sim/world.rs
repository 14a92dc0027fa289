//! A world for the scheduler's core: a due queue on disk that answers late, destinations that behave well or badly, a
//! resolver that takes its time, and a clock that jumps to the next thing that happens.
//!
//! Always: a run is a function of its seed; what must never happen is asserted where it would happen.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use hikyaku::{
    clock::Timestamp,
    event::{AttemptDetail, Class},
    ids::{IdSource, MessageId, RecipientKey, UserKey},
    schedule::{
        backoff::{self, Jitter, NextTry},
        core::{Core, DueLane, End, LaneRef, Load, Locate, Page, Recovered, Slip, Start, Turn},
        limits::{Feedback, Limits},
        place::{Place, PushKind, Way},
    },
};

pub use super::{
    disk::{Disk, Row},
    peers::{Meeting, Peer, Rng},
};

/// When every run begins.
pub const START: Timestamp = Timestamp::from_millis(1_795_527_310_000);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Fresh(RecipientKey),
    Ended(usize),
    Applied(usize),
    Read(usize),
    Scanned(usize),
    Located(usize),
    Walked(usize),
}

struct Running {
    start: Start<()>,
    began: Timestamp,
    meeting: Option<Meeting>,
    /// Where its lane went when it began.
    place: Place,
}

struct Applying {
    at: LaneRef,
    changes: Vec<(RecipientKey, Fate)>,
}

/// What becomes of a recipient.
#[derive(Clone, Copy)]
enum Fate {
    Delivered,
    Expired,
    /// Whether it waits for its site.
    DueAt(Timestamp, bool),
}

/// A walk over those who wait for a site that came back.
struct Walk {
    found: Recovered,
    left: Vec<RecipientKey>,
    moved: bool,
}

/// A conversation that was started.
#[derive(Clone, Debug)]
pub struct Started {
    pub lane: Arc<str>,
    pub class: Class,
    pub user: UserKey,
    pub way: Way,
    pub recipients: usize,
}

/// Scheduler, disk, destinations and clock.
pub struct World {
    pub seed: u64,
    pub now: Timestamp,
    pub core: Core<()>,
    pub disk: Disk,
    pub limits: Limits,
    pub peers: HashMap<Arc<str>, Peer>,
    /// Where lanes go; a lane that is not here is a site of its own.
    pub places: HashMap<Arc<str>, Place>,
    /// Where the scheduler believes that lanes go: an answer may be old.
    believed: HashMap<Arc<str>, Place>,
    /// Ways by which nothing gets through.
    pub dead_ways: HashSet<Way>,
    /// Time from acceptance to delivery, by lane.
    pub delays: HashMap<Arc<str>, Vec<Duration>>,
    pub delay_of: HashMap<RecipientKey, Duration>,
    /// How often each recipient was delivered.
    pub delivered: HashMap<RecipientKey, u32>,
    pub expired: usize,
    /// Copies that the peer took and whose reply was lost (P3).
    pub lost_replies: usize,
    /// Conversations started, in order.
    pub started: Vec<Started>,
    /// Entries without a conversation.
    pub held_back: usize,
    pub tickets_seen: usize,
    rng: Rng,
    ids: IdSource,
    events: BinaryHeap<Reverse<(Timestamp, u64, What)>>,
    order: u64,
    running: HashMap<usize, Running>,
    applying: HashMap<usize, Applying>,
    reads: HashMap<usize, (Load, Page<()>)>,
    scans: HashMap<usize, (Vec<DueLane>, bool, Option<Timestamp>)>,
    locates: HashMap<usize, Locate>,
    walks: HashMap<usize, Walk>,
    /// When a lane was last walked over.
    walked: HashMap<Arc<str>, Timestamp>,
    /// Walks begun.
    pub walks_begun: usize,
    next_id: usize,
    busy: HashSet<RecipientKey>,
    open: HashMap<(Arc<str>, Option<Way>), usize>,
    of_rule: HashMap<Arc<str>, (usize, Timestamp)>,
    tried: HashMap<Arc<str>, Timestamp>,
    paused: HashMap<Arc<str>, Timestamp>,
    on_their_way: HashSet<RecipientKey>,
    pub schedule: Vec<Duration>,
    /// A message lives so long.
    pub lifetime: Duration,
    /// A read of the disk takes up to this many milliseconds.
    pub read_millis: u64,
    /// A question for a lane's place takes up to this many milliseconds.
    pub locate_millis: u64,
    /// Reads see messages that the scheduler is about to be told of, as after a stall of the whole process.
    pub reads_see_all: bool,
}

impl World {
    pub fn new(seed: u64, limits: Limits) -> Self {
        let schedule = [60, 300, 900, 1800, 3600, 7200, 14_400].map(Duration::from_secs).to_vec();
        World {
            seed,
            now: START,
            core: Core::new(limits, &schedule),
            disk: Disk::default(),
            limits,
            peers: HashMap::new(),
            places: HashMap::new(),
            believed: HashMap::new(),
            dead_ways: HashSet::new(),
            delays: HashMap::new(),
            delay_of: HashMap::new(),
            delivered: HashMap::new(),
            expired: 0,
            lost_replies: 0,
            started: Vec::new(),
            held_back: 0,
            tickets_seen: 0,
            rng: Rng::new(seed),
            ids: IdSource::after(MessageId::from_u64(0)),
            events: BinaryHeap::new(),
            order: 0,
            running: HashMap::new(),
            applying: HashMap::new(),
            reads: HashMap::new(),
            scans: HashMap::new(),
            locates: HashMap::new(),
            walks: HashMap::new(),
            walked: HashMap::new(),
            walks_begun: 0,
            next_id: 0,
            busy: HashSet::new(),
            open: HashMap::new(),
            of_rule: HashMap::new(),
            tried: HashMap::new(),
            paused: HashMap::new(),
            on_their_way: HashSet::new(),
            schedule,
            lifetime: Duration::from_secs(40 * 86_400),
            read_millis: 5,
            locate_millis: 5,
            reads_see_all: false,
        }
    }

    pub fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    pub fn site(&mut self, name: &str, peer: Peer) -> Arc<str> {
        let lane: Arc<str> = name.into();
        self.peers.insert(lane.clone(), peer);
        lane
    }

    fn place(&self, lane: &Arc<str>) -> Place {
        let alone = || Place::alone(lane.clone(), Duration::from_secs(300));
        self.places.get(lane).cloned().unwrap_or_else(alone)
    }

    /// A message for `recipients` of a lane is on disk; `told`: the scheduler hears of it a little later.
    pub fn accept(&mut self, lane: &Arc<str>, class: Class, recipients: u32, told: bool) -> MessageId {
        self.accept_of(UserKey::default(), lane, class, recipients, told)
    }

    /// The same of a submitter.
    pub fn accept_of(
        &mut self,
        user: UserKey,
        lane: &Arc<str>,
        class: Class,
        recipients: u32,
        told: bool,
    ) -> MessageId {
        let message = self.ids.next(self.now);
        let (now, expires_at) = (self.now, self.now.plus(self.lifetime));
        for index in 0..recipients {
            let key = RecipientKey { message, index };
            let lane = lane.clone();
            let row = Row {
                lane,
                class,
                user,
                due: now,
                tries: 0,
                accepted: now,
                expires_at,
                for_site: false,
                entry_at: now,
            };
            self.disk.put(key, row);
            if told {
                self.on_their_way.insert(key);
            }
        }
        if told {
            let wait = self.rng.millis(0, 5);
            (0..recipients).for_each(|index| self.at(wait, What::Fresh(RecipientKey { message, index })));
        } else {
            // Its shell looks at the disk when more came than it could take.
            self.core.due_at(now.plus(Duration::from_secs(2)));
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
                self.disk.put(key, Row { due: self.now.plus(Duration::from_secs(3_600)), for_site: false, ..row });
            }
        }
        self.core.kick(self.now);
    }

    /// An operator makes everybody due.
    pub fn flush(&mut self) {
        let keys: Vec<RecipientKey> = self.disk.rows.keys().copied().filter(|key| !self.busy.contains(key)).collect();
        for key in keys {
            let row = self.disk.rows[&key].clone();
            self.disk.put(key, Row { due: row.due.min(self.now), ..row });
        }
        self.core.kick(self.now);
    }

    /// The process dies and starts again: RAM is gone, the disk stays. Answers how many attempts were cut.
    pub fn crash(&mut self) -> usize {
        let tried = self.running.values().filter(|r| r.meeting.is_some());
        let cut = tried.map(|r| r.start.slips.len()).sum::<usize>()
            + self.applying.values().map(|a| a.changes.len()).sum::<usize>();
        self.core = Core::new(self.limits, &self.schedule);
        self.events.clear();
        self.running.clear();
        self.applying.clear();
        self.reads.clear();
        self.scans.clear();
        self.locates.clear();
        self.walks.clear();
        self.walked.clear();
        self.busy.clear();
        self.open.clear();
        self.of_rule.clear();
        self.paused.clear();
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
                self.now = until;
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

    /// Connections that are open.
    pub fn connections(&self) -> usize {
        self.open.iter().filter(|((_, way), _)| way.is_none()).map(|(_, count)| count).sum()
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
        while let Some(asked) = self.core.locate() {
            let (id, wait) = (self.id(), self.rng.millis(0, self.locate_millis));
            self.locates.insert(id, asked);
            self.at(wait, What::Located(id));
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
        while let Some(found) = self.core.recovered(self.now) {
            let (seed, now, lane) = (self.seed, self.now, found.lane.clone());
            let last = self.walked.insert(lane.clone(), now).unwrap_or(Timestamp::ZERO);
            assert!(now.since(last) >= Duration::from_secs(60), "seed {seed}: {lane} is walked over too often");
            self.walks_begun += 1;
            let (id, wait, left) = (self.id(), self.rng.millis(1, 20), self.disk.waits_for_site(&lane, now));
            self.walks.insert(id, Walk { found, left, moved: false });
            self.at(wait, What::Walked(id));
        }
        let seed = self.seed;
        self.tickets_seen = self.tickets_seen.max(self.core.tickets());
        assert!(self.core.tickets() <= self.limits.tickets_max, "seed {seed}: the window is over its bound");
        assert!(self.core.lanes() <= self.limits.lanes_max(), "seed {seed}: too many lanes in RAM");
    }

    /// The answer is of the moment when it was asked for; it arrives later.
    fn read(&self, load: &Load) -> Page<()> {
        let again = std::cell::Cell::new(false);
        let skip = |key: &RecipientKey| {
            let comes = self.on_their_way.contains(key) && !self.reads_see_all;
            again.set(again.get() | comes);
            comes || load.skip.contains(key)
        };
        let bounds = (load.limit, load.per_message);
        let (keys, complete, next_due) = self.disk.head((&load.lane, load.class), self.now, bounds, skip);
        let slips = keys.into_iter().map(|key| self.slip(key, false)).collect();
        Page { slips, complete, again: again.get(), next_due }
    }

    fn slip(&self, key: RecipientKey, fresh: bool) -> Slip<()> {
        let row = &self.disk.rows[&key];
        Slip {
            key,
            user: row.user,
            attempts: row.tries,
            expires_at: row.expires_at,
            payload: fresh.then_some(()),
            payload_bytes: if fresh { 10_000 } else { 0 },
        }
    }

    fn begin(&mut self, start: Start<()>) {
        let seed = self.seed;
        let place = self.believed[&start.lane].clone();
        for slip in &start.slips {
            assert!(self.busy.insert(slip.key), "seed {seed}: {:?} is tried twice at a time", slip.key);
            let row = self.disk.rows.get(&slip.key).expect("a recipient that is final is tried again");
            assert!(row.due <= self.now, "seed {seed}: {:?} is tried before its time", slip.key);
            assert_eq!((&row.lane, row.class, row.user), (&start.lane, start.class, slip.user), "seed {seed}");
        }
        assert!(start.slips.len() <= self.limits.recipients_per_attempt);
        let meeting = match &start.turn {
            Turn::HoldBack(_) => {
                self.held_back += start.slips.len();
                None
            }
            Turn::Try(conversation) => Some(self.meet(&start, conversation.way, &place)),
        };
        let wait = meeting.as_ref().map_or(Duration::ZERO, |meeting| meeting.lasts);
        let id = self.id();
        self.running.insert(id, Running { start, began: self.now, meeting, place });
        self.at(wait, What::Ended(id));
    }

    fn meet(&mut self, start: &Start<()>, way: Way, place: &Place) -> Meeting {
        let (seed, now, user) = (self.seed, self.now, start.slips[0].user);
        let (lane, class, recipients) = (start.lane.clone(), start.class, start.slips.len());
        self.started.push(Started { lane, class, user, way, recipients });
        let by_way = self.open.entry((place.site.clone(), Some(way))).or_default();
        *by_way += 1;
        let bound = self.limits.connections_per_destination;
        assert!(*by_way <= bound, "seed {seed}: too many connections to {}", place.site);
        let open = self.open.entry((place.site.clone(), None)).or_default();
        *open += 1;
        let open = *open;
        assert!(self.connections() <= self.limits.connections_total, "seed {seed}: too many connections");
        if let Some(rate) = &place.rate {
            let (running, last) = self.of_rule.entry(rate.rule.clone()).or_insert((0, Timestamp::ZERO));
            *running += 1;
            assert!(
                *running <= rate.connections_max.unwrap_or(usize::MAX),
                "seed {seed}: {} is over its limit",
                rate.rule
            );
            assert!(now.since(*last) >= rate.interval, "seed {seed}: {} starts too soon", rate.rule);
            *last = now;
        }
        let tries = self.disk.rows[&start.slips[0].key].tries;
        if let Some(until) = self.paused.get(&place.site) {
            assert!(now >= *until, "seed {seed}: {} is paused", place.site);
        }
        if self.dead_ways.contains(&way) {
            return Meeting::trouble(Duration::from_secs(5));
        }
        self.peers[&start.lane].meet(&mut self.rng, open, tries)
    }

    fn happen(&mut self, what: What) {
        match what {
            What::Fresh(key) => {
                self.on_their_way.remove(&key);
                let row = self.disk.rows.get(&key).expect("nobody else tries it").clone();
                let slip = self.slip(key, true);
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
            What::Walked(id) => self.walk(id),
            What::Located(id) => {
                let asked = self.locates.remove(&id).expect("asked for");
                let place = self.place(&asked.lane);
                self.core.located(asked.at, &place, self.now);
                self.believed.insert(asked.lane, place);
            }
        }
    }

    /// One step of a walk.
    fn walk(&mut self, id: usize) {
        let mut walk = self.walks.remove(&id).expect("it runs");
        let rest = walk.left.split_off(walk.left.len().min(256));
        for key in std::mem::replace(&mut walk.left, rest) {
            if let Some(row) = self.disk.rows.get(&key).filter(|row| row.for_site && row.due > self.now).cloned() {
                assert!(!self.busy.contains(&key), "who is tried is due");
                self.disk.put(key, Row { due: self.now, ..row });
                walk.moved = true;
            }
        }
        if walk.left.is_empty() {
            self.walked.insert(walk.found.lane, self.now);
            self.core.walked(walk.found.at, walk.moved, self.now);
        } else {
            self.walks.insert(id, walk);
            let wait = self.rng.millis(1, 20);
            self.at(wait, What::Walked(id));
        }
    }

    fn ended(&mut self, id: usize) {
        let Running { start, began, meeting, place } = self.running.remove(&id).expect("it ran");
        if let (Some(conversation), Some(meeting)) = (start.conversation(), &meeting) {
            for way in [Some(conversation.way), None] {
                *self.open.get_mut(&(place.site.clone(), way)).expect("it was open") -= 1;
            }
            if let Some(rate) = &place.rate {
                self.of_rule.get_mut(&rate.rule).expect("it counts").0 -= 1;
            }
            let said = AttemptDetail { reply: "no answer".into(), ..AttemptDetail::default() };
            let said = (!meeting.heard).then_some(&said);
            let end = End { feedback: meeting.feedback, said, push: meeting.push.as_ref(), delivered: 0, deferred: 0 };
            if let Some(push) = meeting.push.as_ref().filter(|push| push.what == PushKind::Pause) {
                self.paused.insert(place.site.clone(), self.now.plus(push.duration));
            }
            self.tried.insert(place.site.clone(), self.now);
            self.core.finished(&conversation, &end, self.now);
        }
        let taken = meeting.as_ref().is_some_and(|m| m.taken);
        let heard = meeting.as_ref().is_some_and(|m| m.heard);
        let mut changes = Vec::new();
        for slip in &start.slips {
            let row = self.disk.rows.get(&slip.key).expect("still there").clone();
            if taken {
                *self.delivered.entry(slip.key).or_default() += 1;
                self.delays.entry(start.lane.clone()).or_default().push(began.since(row.accepted));
                self.delay_of.entry(slip.key).or_insert(self.now.since(row.accepted));
                self.lost_replies += usize::from(!heard);
            }
            let fate = if heard { Fate::Delivered } else { self.fate(slip.key, &row, &place, meeting.as_ref()) };
            changes.push((slip.key, fate));
        }
        let (id, wait) = (self.id(), self.rng.millis(1, 20));
        self.applying.insert(id, Applying { at: start.at, changes });
        self.at(wait, What::Applied(id));
    }

    fn fate(&self, key: RecipientKey, row: &Row, place: &Place, meeting: Option<&Meeting>) -> Fate {
        let tried = meeting.is_some();
        let for_site = meeting.is_none_or(|m| m.feedback == Feedback::Trouble);
        let jitter = Jitter::of(key.message, row.tries + 1);
        match backoff::next_try(&self.schedule, row.tries + 1, self.now, row.expires_at, jitter) {
            NextTry::At(at) => Fate::DueAt(at, for_site),
            NextTry::Expired => {
                let last = self.tried.get(&place.site).copied().unwrap_or(Timestamp::ZERO);
                let seed = self.seed;
                assert!(tried || last >= row.entry_at, "seed {seed}: {key:?} expires untried since {}", row.entry_at);
                Fate::Expired
            }
        }
    }

    fn applied(&mut self, id: usize) {
        let Applying { at, changes } = self.applying.remove(&id).expect("it was sent");
        for (key, fate) in &changes {
            let row = self.disk.remove(*key).expect("it was there");
            match *fate {
                Fate::Delivered => {}
                Fate::Expired => self.expired += 1,
                Fate::DueAt(due, for_site) => {
                    let (tries, entry_at) = (row.tries + 1, self.now);
                    self.disk.put(*key, Row { due, tries, for_site, entry_at, ..row });
                    self.core.due_at(due);
                }
            }
            self.busy.remove(key);
        }
        self.core.released(at, changes.into_iter().map(|(key, _)| key));
    }
}
