//! The work of one endpoint: looks what is new, posts it in order, waits where it fails, gives up what is too old.
//!
//! In: the streams, the endpoint's settings, the operator's orders.  Out: posts; its row in the store; how it stands.
//! Always: one post at a time; the cuts of a page are stored before its first post leaves; what was posted is stored with the
//! next page's cuts, or a second later; while nothing is written to the store it looks at a counter and no further.

use std::{sync::Arc, time::Duration};

use smol::{Task as Running, Timer, future::FutureExt};

use super::{
    Shared,
    endpoint::{Ears, KEPT, Order},
    history,
    history::Tried,
    page::{Page, Post, Reader, Window},
    payload::{Style, Wants},
    place::{Mark, Paused, Place, number_at},
    sender::{Aim, Sender, Sent},
    sign::fingerprint,
    view::shown,
};
use crate::{
    clock::Timestamp,
    config::{Config, Webhook},
    runtime::Stage,
    store::{MemoChange, MemoKind, Store, StoreError},
};

mod outcome;

/// How often it is looked whether there is news, at least …
const LOOK_MIN: Duration = Duration::from_millis(20);
/// … and at most.
const LOOK_MAX: Duration = Duration::from_millis(250);
/// After so long the streams are read whatever the counter of commits says.
const LOOK_ALWAYS: Duration = Duration::from_secs(2);
/// A place that moved is written after this time at the latest.
const SAVE_AFTER: Duration = Duration::from_secs(1);
/// The longest sleep: a gone endpoint still gives up what is too old.
const SLEEP_MAX: Duration = Duration::from_secs(60);
/// How long a post that is on its way may go on when the daemon stops.
const STOP_GRACE: Duration = Duration::from_secs(2);
/// Rows of history that one write takes.
const HISTORY_ROWS: usize = 200;

/// The settings of an endpoint, made ready, and the config they are from.
struct Settings {
    config: Arc<Config>,
    hook: Webhook,
    reader: Reader,
    aim: Aim,
}

impl Settings {
    fn of(config: Arc<Config>, name: &str) -> Option<Self> {
        let hook = config.webhooks.iter().find(|hook| hook.name == name)?.clone();
        let style = Style::of(&hook, &config);
        let aim = Aim::of(&hook, &style);
        let (wants, batch_max) = (Wants::of(&hook), hook.batch_max.max(1));
        Some(Settings { reader: Reader { name: name.to_owned(), wants, style, batch_max }, config, hook, aim })
    }
}

/// Which of an endpoint's places.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Which {
    Again,
    Log,
    List,
}

/// What comes next.
enum Next {
    Go,
    Sleep(Duration),
    End,
}

/// A page of the log that was read while the one before it was posted.
struct Ahead {
    after: u64,
    config: Arc<Config>,
    page: Running<Result<Page, StoreError>>,
}

/// See the file's head.
pub(super) struct Worker {
    shared: Arc<Shared>,
    name: String,
    ears: Ears,
    mark: Mark,
    settings: Settings,
    sender: Sender,
    ahead: Option<Ahead>,
    tried: Vec<Tried>,
    /// The row moved since it was written.
    moved: bool,
    saved_at: Timestamp,
    /// Commits and time of the last look that found nothing to post.
    looked: (u64, Timestamp),
    /// When what was seen there is to be posted.
    due: Option<Timestamp>,
    list_first: bool,
}

impl Worker {
    /// `None`: the endpoint is not in the config any more.
    pub(super) async fn load(shared: &Arc<Shared>, name: &str, ears: &Ears) -> Result<Option<Self>, StoreError> {
        let now = shared.clock.now();
        let Some(settings) = Settings::of(shared.config.get(), name) else { return Ok(None) };
        let (there, key) = (shared.clone(), name.to_owned());
        let (stored, end) = smol::unblock(move || {
            Ok::<_, StoreError>((there.store.memo(MemoKind::Webhooks, &key)?, there.store.log_end()?))
        })
        .await?;
        let stored = stored.and_then(|value| {
            let mark = Mark::read(&value);
            if mark.is_none() {
                log::error!("webhook={name:?} what=\"its place cannot be read; it begins with what happens next\"");
            }
            mark
        });
        let kept = stored.filter(|mark| mark.removed_at.is_none_or(|at| Timestamp::from_millis(at).plus(KEPT) > now));
        let is_new = kept.is_none();
        let mut mark = kept.unwrap_or_else(|| Mark::new(&settings.hook.url, end, shared.outbox.end()));
        mark.removed_at = None;
        let mut worker = Worker {
            shared: shared.clone(),
            name: name.to_owned(),
            ears: ears.clone(),
            sender: Sender::new(shared.ways.clone()),
            mark,
            settings,
            ahead: None,
            tried: Vec::new(),
            moved: false,
            saved_at: now,
            looked: (u64::MAX, Timestamp::ZERO),
            due: None,
            list_first: false,
        };
        worker.url_changed();
        if is_new {
            log::info!("webhook={name:?} act=start what=\"it begins with what happens next\"");
            worker.save().await?;
        }
        worker.publish(|_| ());
        Ok(Some(worker))
    }

    /// Works until the endpoint leaves the config or the shutdown drains.
    pub(super) async fn work(&mut self) -> Result<(), StoreError> {
        loop {
            let next = self.step().await?;
            match next {
                Next::Go => {}
                Next::Sleep(wait) => {
                    self.save_if_old().await?;
                    let slept = async {
                        Timer::after(wait.min(SLEEP_MAX)).await;
                    };
                    let rung = async {
                        let _ = self.ears.ring.recv().await;
                    };
                    slept.or(rung).or(self.shared.shutdown.drained()).await;
                }
                Next::End => {
                    self.save().await?;
                    return Ok(());
                }
            }
        }
    }

    async fn step(&mut self) -> Result<Next, StoreError> {
        if self.shared.shutdown.stage() != Stage::Running {
            return Ok(Next::End);
        }
        if !self.refresh() {
            self.mark.removed_at = Some(self.shared.clock.now().as_millis());
            log::info!(
                "webhook={:?} act=stop what=\"it left the config; its place is kept for three days\"",
                self.name
            );
            return Ok(Next::End);
        }
        while let Ok((order, answer)) = self.ears.orders.try_recv() {
            let done = self.obey(order).await;
            let _ = answer.try_send(done);
        }
        let now = self.shared.clock.now();
        let next_try = Timestamp::from_millis(self.mark.next_try);
        if self.mark.paused.is_some() {
            self.see_what_waits(now).await?;
            return Ok(Next::Sleep(SLEEP_MAX));
        }
        if self.mark.gone || now < next_try {
            if self.mark.gone {
                self.give_up_old(now).await?;
            }
            let wait = if self.mark.gone { SLEEP_MAX } else { next_try.since(now) };
            return Ok(Next::Sleep(wait.max(Duration::from_millis(1))));
        }
        if self.has_nothing_new(now) {
            return Ok(Next::Sleep(self.pause(now)));
        }
        self.look(now).await
    }

    /// The settings of this moment; false: the endpoint is not in the config any more.
    fn refresh(&mut self) -> bool {
        let config = self.shared.config.get();
        if Arc::ptr_eq(&config, &self.settings.config) {
            return true;
        }
        let Some(settings) = Settings::of(config, &self.name) else { return false };
        self.settings = settings;
        self.ahead = None;
        self.looked.1 = Timestamp::ZERO;
        // A reload may have mended it.
        self.mark.next_try = 0;
        self.url_changed();
        let (url, events) = (shown(&self.settings.hook.url), self.settings.hook.events.clone());
        self.publish(|view| {
            view.url = url;
            view.events = events;
        });
        true
    }

    fn url_changed(&mut self) {
        let url = fingerprint(&self.settings.hook.url);
        if self.mark.url != url {
            self.mark.url = url;
            self.mark.gone = false;
            self.mark.next_try = 0;
            self.moved = true;
        }
    }

    async fn obey(&mut self, order: Order) -> Result<u64, StoreError> {
        let (now, mark) = (self.shared.clock.now(), &mut self.mark);
        let answer = match order {
            Order::From(number) => {
                // What has not been posted yet stays ahead of it.
                let log = number.saturating_sub(1).min(mark.log.after);
                let list = number.saturating_sub(1).min(mark.list.after);
                mark.log.jump(log);
                mark.list.jump(list);
                mark.caught_up = false;
                log + 1
            }
            Order::Parked => mark.unpark() as u64,
            Order::Range { list, first, last } => u64::from(mark.post_again(list, first, last)),
            Order::Pause(by) => {
                mark.paused.get_or_insert(Paused { at: now.as_millis(), by });
                0
            }
            Order::Resume => {
                mark.resume();
                0
            }
        };
        if mark.paused.is_none() {
            mark.gone = false;
            mark.next_try = 0;
        }
        self.ahead = None;
        self.looked.1 = Timestamp::ZERO;
        self.save().await?;
        self.publish(|_| ());
        Ok(answer)
    }

    /// While somebody stopped it, it still tells since when something waits.
    async fn see_what_waits(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let mut behind: Option<Timestamp> = None;
        for which in [Which::Log, Which::List] {
            let Page { windows, rest, .. } = self.page(which, now).await?;
            let waits = windows.iter().chain(&rest).find(|window| !window.posts.is_empty());
            behind = behind.into_iter().chain(waits.map(Window::began)).min();
        }
        if behind.is_some() {
            self.mark.caught_up = false;
        }
        self.publish(|view| view.behind_since = behind);
        Ok(())
    }

    /// Nothing was committed since the last look, and what it saw is not due yet.
    fn has_nothing_new(&self, now: Timestamp) -> bool {
        let (commits, at) = self.looked;
        let mark = &self.mark;
        let is_under_way = !(mark.again.is_empty() && mark.log.cuts.is_empty() && mark.list.cuts.is_empty());
        !is_under_way
            && self.due.is_none_or(|due| now < due)
            && commits == self.shared.store.commits().0
            && now.since(at) < LOOK_ALWAYS
            && now >= at
    }

    /// How long to sleep while nothing is to be posted.
    fn pause(&self, now: Timestamp) -> Duration {
        let look = (self.settings.hook.interval / 4).clamp(LOOK_MIN, LOOK_MAX);
        self.due.map_or(look, |due| look.min(due.since(now)).max(Duration::from_millis(1)))
    }

    /// Reads what is next, and posts it if it is due.
    async fn look(&mut self, now: Timestamp) -> Result<Next, StoreError> {
        let commits = self.shared.store.commits().0;
        self.due = None;
        let mut behind: Option<Timestamp> = None;
        for which in self.order_of_places() {
            if which == Which::Again && self.place(which).is_over() {
                self.finish_again();
                return Ok(Next::Go);
            }
            let page = self.page(which, now).await?;
            let Page { mut windows, rest, more } = page;
            if let Some(rest) = rest {
                if rest.posts.is_empty() {
                    // Nothing of it is wanted.
                    if windows.is_empty() {
                        self.place(which).pass(rest.last);
                        self.moved = true;
                    }
                } else if windows.is_empty() {
                    let due = rest.began().plus(self.settings.hook.interval);
                    if which == Which::Again || more || due <= now {
                        windows.push(rest);
                    } else {
                        behind = Some(behind.map_or(rest.began(), |b| b.min(rest.began())));
                        self.due = Some(self.due.map_or(due, |d| d.min(due)));
                    }
                }
            }
            if which == Which::Again && windows.is_empty() {
                if !more {
                    self.finish_again();
                }
                return Ok(Next::Go);
            }
            if !windows.is_empty() {
                self.list_first = which == Which::Log;
                return self.post(which, windows, more).await;
            }
            if more {
                // A stretch of the log in which nothing is wanted.
                return Ok(Next::Go);
            }
        }
        self.looked = (commits, now);
        if behind.is_none() && !self.mark.caught_up {
            self.mark.caught_up = true;
            self.moved = true;
        }
        self.publish(|view| view.behind_since = behind);
        Ok(Next::Sleep(self.pause(now)))
    }

    fn finish_again(&mut self) {
        let done = self.mark.again.remove(0);
        self.moved = true;
        log::info!("webhook={:?} act=replay what=\"done\" through={}", self.name, done.after);
    }

    /// The places to look at: one whose posts are under way comes first, then the others by turns.
    fn order_of_places(&self) -> Vec<Which> {
        if !self.mark.again.is_empty() {
            return vec![Which::Again];
        }
        match (self.mark.log.cuts.is_empty(), self.mark.list.cuts.is_empty()) {
            (false, _) => vec![Which::Log],
            (true, false) => vec![Which::List],
            (true, true) if self.list_first => vec![Which::List, Which::Log],
            (true, true) => vec![Which::Log, Which::List],
        }
    }

    fn place(&mut self, which: Which) -> &mut Place {
        match which {
            Which::Again => self.mark.again.first_mut().expect("only asked for while there is one"),
            Which::Log => &mut self.mark.log,
            Which::List => &mut self.mark.list,
        }
    }

    async fn page(&mut self, which: Which, now: Timestamp) -> Result<Page, StoreError> {
        let place = self.place(which).clone();
        let wants = self.settings.reader.wants;
        let is_wanted = if place.list { wants.outbox() } else { !wants.kinds().is_empty() };
        if !is_wanted {
            // Nobody wants this stream: whoever wants it later begins then.
            if place.to.is_none() {
                let end = if place.list { self.shared.outbox.end() } else { log_end(&self.shared.store).await? };
                self.moved |= end != place.after;
                self.place(which).jump(end);
            }
            return Ok(Page::default());
        }
        if which == Which::Log && place.cuts.is_empty() {
            self.skip_what_is_pruned(now);
            if let Some(ahead) = self.ahead.take()
                && ahead.after == self.mark.log.after
                && Arc::ptr_eq(&ahead.config, &self.settings.config)
            {
                return ahead.page.await;
            }
        }
        let place = self.place(which).clone();
        let (store, reader) = (self.shared.store.clone(), self.settings.reader.clone());
        smol::unblock(move || reader.page(&store, &place)).await
    }

    /// Past its period the log has nothing any more.
    fn skip_what_is_pruned(&mut self, now: Timestamp) {
        let retention = &self.settings.config.retention;
        let floor = number_at(now.minus(retention.delivery_log.max(retention.error_log))).saturating_sub(1);
        let place = &mut self.mark.log;
        if place.after >= floor {
            return;
        }
        if !self.mark.caught_up && place.after > 0 {
            log::warn!(
                "webhook={:?} what=\"it was so far behind that the log had nothing of some events any more; it goes on with \
                 what is there\" after={} through={floor}",
                self.name,
                place.after
            );
        }
        place.jump(floor);
        self.moved = true;
    }

    /// Posts these windows in order.
    async fn post(&mut self, which: Which, windows: Vec<Window>, more: bool) -> Result<Next, StoreError> {
        let cuts: Vec<u64> = windows.iter().map(|window| window.last).collect();
        let end = cuts.last().copied().unwrap_or_default();
        if which == Which::Log && more {
            self.read_ahead(end);
        }
        if self.place(which).cuts != cuts {
            self.place(which).cuts = cuts;
            self.mark.caught_up = false;
            self.save().await?;
        }
        let behind = windows.first().map(Window::began);
        self.publish(|view| view.behind_since = behind);
        for window in windows {
            let is_pair = window.posts.len() > 1;
            for (n, post) in window.posts.iter().enumerate() {
                if self.place(which).half && is_pair && n == 0 {
                    continue;
                }
                let at = self.shared.clock.now();
                let Some(sent) = self.send(post).await else { return Ok(Next::End) };
                self.note(post, at, &sent);
                if sent.error.is_some() {
                    self.failed(post, sent).await?;
                    return Ok(Next::Go);
                }
                self.succeeded(post);
                self.place(which).half = is_pair && n == 0;
            }
            self.place(which).pass(window.last);
            self.moved = true;
            if self.tried.len() >= HISTORY_ROWS {
                self.save().await?;
            }
            // The rest keeps its cuts; it is read again by them.
            if !self.ears.orders.is_empty() || self.shared.shutdown.stage() != Stage::Running {
                break;
            }
        }
        self.publish(|_| ());
        self.save_if_old().await?;
        Ok(Next::Go)
    }

    fn read_ahead(&mut self, after: u64) {
        let (store, reader) = (self.shared.store.clone(), self.settings.reader.clone());
        let page = smol::unblock(move || reader.page(&store, &Place::at(false, after)));
        self.ahead = Some(Ahead { after, config: self.settings.config.clone(), page });
    }

    /// Sends one; `None`: the daemon stops, and what became of it is not known.
    async fn send(&mut self, post: &Post) -> Option<Sent> {
        let (shared, sender, aim) = (self.shared.clone(), &mut self.sender, &self.settings.aim);
        let sending = async { Some(sender.send(aim, post).await) };
        let stopped = async {
            shared.shutdown.drained().await;
            Timer::after(STOP_GRACE).await;
            None
        };
        sending.or(stopped).await
    }

    async fn save_if_old(&mut self) -> Result<(), StoreError> {
        let old = self.shared.clock.now().since(self.saved_at) >= SAVE_AFTER;
        if (self.moved || !self.tried.is_empty()) && old { self.save().await } else { Ok(()) }
    }

    async fn save(&mut self) -> Result<(), StoreError> {
        let value = Some(self.mark.write());
        let mut changes = vec![MemoChange { kind: MemoKind::Webhooks, key: self.name.clone(), value }];
        let tried = std::mem::take(&mut self.tried);
        changes.extend(tried.iter().rev().take(HISTORY_ROWS).map(|tried| history::row(&self.name, tried)));
        self.shared.store.put_memos(changes).await?;
        self.moved = false;
        self.saved_at = self.shared.clock.now();
        Ok(())
    }

    /// Tells how it stands.
    fn publish(&self, change: impl FnOnce(&mut super::view::View)) {
        if let Some(running) = self.shared.running().get_mut(&self.name) {
            running.view.mark.clone_from(&self.mark);
            change(&mut running.view);
        }
    }
}

/// The number of the last event of the log.
async fn log_end(store: &Store) -> Result<u64, StoreError> {
    let store = store.clone();
    smol::unblock(move || store.log_end()).await
}
