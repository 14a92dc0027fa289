//! Event webhooks: what happens to mail and to the suppression list is posted to URLs of the operator's, as CMC does it.
//!
//! In: the log, the outbox of the list, `[[webhook]]`.  Out: posts; their history; how each endpoint stands.
//! Always: nothing is copied out of the log: each endpoint follows it from a stored place of its own, so nothing is lost over a
//! restart, order is kept for each kind of event, and a post that was not answered 2xx is posted again with the same id; each
//! endpoint is a task of its own, which holds up no other and no mail; what fails for `retry_for` is set aside and the rest
//! goes on. A new endpoint begins with what happens next; one that leaves the config keeps its place for three days.
//! Sources: cmc.md §10.1; Standard Webhooks.
//!
//! `payload` builds records and bodies, `page` cuts the stream into posts, `place` is what is stored, `sender` posts one and
//! reads the answer, `endpoint` is the task and `worker` its work, `outbox` keeps changes of the list, `history` what was posted. The files that begin
//! with `inbound` post mail that comes in:
//!
//! ```text
//! mail that comes in ─► inbound ─► queue ─► inbound_deliver ─► inbound_body ─► inbound_post ─► the program
//!                                   ▲ in lanes of inbound_lane
//! ```

pub mod history;
pub mod inbound;
pub mod inbound_deliver;
pub mod inbound_lane;
pub mod outbox;
pub mod page;
pub mod payload;
pub mod place;
pub mod retry;
pub mod sender;
pub mod sign;
pub mod target;
pub mod view;

mod endpoint;
mod house;
mod inbound_body;
mod inbound_post;
#[cfg(test)]
mod tests;
mod worker;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use smol::{Timer, channel, future::FutureExt};

use crate::{
    clock::{Clock, Timestamp},
    config::{self, Config, InForce},
    event::EventKind,
    metrics::Metrics,
    runtime::{Runtime, Shutdown},
    store::{MemoKind, Store, StoreError},
};
use endpoint::{Bell, Order};
use outbox::Outbox;
use page::Post;
use payload::{Feed, Style};
use place::{Mark, number_at};
use sender::{Aim, Sender, Sent, Ways};
use view::View;

/// How long an order of the operator's waits for the endpoint's running post.
const ORDER_WAIT: Duration = Duration::from_secs(5);
/// How long a stop waits for places to be written.
const STOP_WAIT: Duration = Duration::from_secs(3);
/// Endpoints of the store that are read at once, gone ones included.
const MARKS_MAX: usize = 10_000;

/// What the room is made of.
pub struct Parts {
    /// Where its tasks run.
    pub runtime: Runtime,
    /// The store.
    pub store: Store,
    /// The time.
    pub clock: Clock,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// The daemon's stop.
    pub shutdown: Shutdown,
    /// The config in force.
    pub config: InForce,
    /// Where posts go out.
    pub ways: Ways,
}

/// The door to the room; clones share it.
#[derive(Clone)]
pub struct Webhooks(Arc<Shared>);

pub(crate) struct Shared {
    runtime: Option<Runtime>,
    store: Store,
    clock: Clock,
    metrics: Arc<Metrics>,
    shutdown: Shutdown,
    config: InForce,
    ways: Ways,
    outbox: Arc<Outbox>,
    /// The endpoints that have a task.
    running: Mutex<HashMap<String, Running>>,
    /// Held by a test post.
    testing: smol::lock::Mutex<()>,
    /// Rung when the last task of a stop has written its place.
    stopped: (channel::Sender<()>, channel::Receiver<()>),
}

struct Running {
    bell: Bell,
    view: View,
}

/// What an endpoint was told of some events.
#[derive(Clone, Debug)]
pub struct PostsAbout {
    /// The endpoint.
    pub name: String,
    /// The posts, newest first, each with the numbers of the events that it told.
    pub posts: Vec<(history::Tried, Vec<u64>)>,
}

/// Why an order was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// There is no such endpoint.
    #[error("there is no webhook of that name")]
    Unknown,
    /// The history does not have such a post.
    #[error("there is no such post among the last that are remembered")]
    NoPost,
    /// A post is on its way; the order is carried out behind it.
    #[error("a post is on its way: it is done as soon as that has ended")]
    Later,
    /// The store's.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Webhooks {
    /// Starts a task for each endpoint of the config. Blocking, short.
    ///
    /// # Errors
    /// The store's.
    pub fn start(parts: Parts) -> Result<Self, StoreError> {
        let Parts { runtime, store, clock, metrics, shutdown, config, ways } = parts;
        let outbox = open_outbox(&store, &clock, &config)?;
        let (running, stopped) = (Mutex::default(), channel::bounded(1));
        let shared = Shared {
            runtime: Some(runtime.clone()),
            store,
            clock,
            metrics,
            shutdown,
            config,
            ways,
            outbox,
            running,
            testing: smol::lock::Mutex::new(()),
            stopped,
        };
        let this = Webhooks(Arc::new(shared));
        this.reconfigure();
        runtime.spawn("webhook house", house::run(this.0.clone()));
        Ok(this)
    }

    /// The door without tasks, for tests of those who show it.
    #[cfg(test)]
    pub(crate) fn without_tasks(store: Store, clock: Clock, config: InForce) -> Self {
        let outbox = open_outbox(&store, &clock, &config).expect("the store can be read");
        let resolver = crate::net::dns::Resolver::new(clock.clone(), Arc::default(), &config.get().dns);
        let ways = Ways { client: None, resolver, clock: clock.clone(), config: config.clone() };
        let (running, stopped) = (Mutex::default(), channel::bounded(1));
        Webhooks(Arc::new(Shared {
            runtime: None,
            store,
            clock,
            metrics: Arc::default(),
            shutdown: Shutdown::new(),
            config,
            ways,
            outbox,
            running,
            testing: smol::lock::Mutex::new(()),
            stopped,
        }))
    }

    /// Lets an endpoint of the config stand so, without a task: its orders wait for ever.
    #[cfg(test)]
    pub(crate) fn stand_in(&self, view: View) {
        let (bell, _) = endpoint::bell();
        self.0.running().insert(view.name.clone(), Running { bell, view });
    }

    /// The config has no endpoint any more.
    #[cfg(test)]
    pub(crate) fn forget_all(&self) {
        let config = Config { webhooks: Vec::new(), ..(*self.0.config.get()).clone() };
        self.0.config.swap(config);
    }

    /// Who writes changes of the suppression list down.
    pub fn outbox(&self) -> Arc<Outbox> {
        self.0.outbox.clone()
    }

    /// The config changed: new endpoints get a task, those that left end, the others look at their settings.
    pub fn reconfigure(&self) {
        let Some(runtime) = &self.0.runtime else { return };
        let mut running = self.0.running();
        for hook in &self.0.config.get().webhooks {
            running.entry(hook.name.clone()).or_insert_with(|| {
                let (bell, orders) = endpoint::bell();
                runtime.spawn("webhook", endpoint::run(self.0.clone(), hook.name.clone(), orders));
                Running { bell, view: View::new(hook) }
            });
        }
        for one in running.values() {
            one.bell.ring();
        }
    }

    /// How each endpoint of the config stands, by its place in it.
    pub fn views(&self) -> Vec<View> {
        let config = self.0.config.get();
        let running = self.0.running();
        let view = |hook: &config::Webhook| running.get(&hook.name).map_or_else(|| View::new(hook), |r| r.view.clone());
        config.webhooks.iter().map(view).collect()
    }

    /// The last posts of an endpoint, newest first. Blocking.
    ///
    /// # Errors
    /// `Unknown`; the store's.
    pub fn history(&self, name: &str, limit: usize) -> Result<Vec<history::Tried>, OrderError> {
        self.hook(name).ok_or(OrderError::Unknown)?;
        Ok(history::list(&self.0.store, name, limit)?)
    }

    /// The posts that told of these events, by endpoint in the order of the config, the newest of each first: at most `limit` an
    /// endpoint, and none that is older than its last [`history::KEPT`]. Blocking.
    ///
    /// # Errors
    /// The store's.
    pub fn posts_about(&self, events: &[(u64, EventKind)], limit: usize) -> Result<Vec<PostsAbout>, StoreError> {
        let mut out = Vec::new();
        for hook in &self.0.config.get().webhooks {
            let posts = history::telling(&self.0.store, hook, events, limit)?;
            if !posts.is_empty() {
                out.push(PostsAbout { name: hook.name.clone(), posts });
            }
        }
        Ok(out)
    }

    /// Posts everything behind an event's number again. Answers the number from which it begins.
    ///
    /// # Errors
    /// As for all orders.
    pub async fn replay_from(&self, name: &str, number: u64) -> Result<u64, OrderError> {
        self.order(name, Order::From(number)).await
    }

    /// Posts again what was set aside. Answers the number of ranges.
    ///
    /// # Errors
    /// As for all orders.
    pub async fn replay_parked(&self, name: &str) -> Result<u64, OrderError> {
        self.order(name, Order::Parked).await
    }

    /// Posts again what was in one post of the history, by its `webhook-id`. Answers 1; 0: too much waits to be posted again already.
    ///
    /// # Errors
    /// As for all orders; `NoPost` where the history does not have it any more.
    pub async fn replay_post(&self, name: &str, id: &str) -> Result<u64, OrderError> {
        let (there, of) = (self.0.clone(), name.to_owned());
        let kept = history::KEPT as usize;
        let rows = smol::unblock(move || history::list(&there.store, &of, kept)).await?;
        let tried = rows.iter().find(|tried| tried.id == id).ok_or(OrderError::NoPost)?;
        let list = Feed::is_of_list(&tried.event_type);
        self.order(name, Order::Range { list, first: tried.first, last: tried.last }).await
    }

    /// Posts nothing more until [`Webhooks::resume`]; what happens meanwhile waits in the log, as long as that is kept.
    ///
    /// # Errors
    /// As for all orders.
    pub async fn pause(&self, name: &str, by: &str) -> Result<u64, OrderError> {
        self.order(name, Order::Pause(by.to_owned())).await
    }

    /// Tries at once, whatever the back-off says, whether it was gone, and whoever stopped it.
    ///
    /// # Errors
    /// As for all orders.
    pub async fn resume(&self, name: &str) -> Result<u64, OrderError> {
        self.order(name, Order::Resume).await
    }

    async fn order(&self, name: &str, order: Order) -> Result<u64, OrderError> {
        let answer = {
            let running = self.0.running();
            running.get(name).ok_or(OrderError::Unknown)?.bell.order(order).ok_or(OrderError::Later)?
        };
        let late = async {
            Timer::after(ORDER_WAIT).await;
            Err(OrderError::Later)
        };
        let done = async { answer.recv().await.map_err(|_| OrderError::Later)?.map_err(OrderError::Store) };
        done.or(late).await
    }

    /// Posts a made-up event to an endpoint, now and once; one at a time, since whoever asks waits for the answer. `None`: there
    /// is no such endpoint.
    pub async fn test(&self, name: &str) -> Option<Sent> {
        let config = self.0.config.get();
        let hook = config.webhooks.iter().find(|hook| hook.name == name)?;
        let Some(_alone) = self.0.testing.try_lock() else {
            let error = Some("another test post is on its way: try again when it has ended".to_owned());
            return Some(Sent { status: 0, took: Duration::ZERO, error, gone: false, wait: None });
        };
        let style = Style::of(hook, &config);
        let post = test_post(name, &style, &config, self.0.clock.now());
        Some(Sender::new(self.0.ways.clone()).send(&Aim::of(hook, &style), &post).await)
    }

    pub(crate) fn hook(&self, name: &str) -> Option<config::Webhook> {
        self.0.config.get().webhooks.iter().find(|hook| hook.name == name).cloned()
    }

    /// Returns when every endpoint has written its place, or it takes too long: then some posts come twice. Called once the
    /// shutdown drains.
    pub async fn stopped(&self) {
        let all = async {
            while !self.0.running().is_empty() {
                let _ = self.0.stopped.1.recv().await;
            }
        };
        let late = async {
            Timer::after(STOP_WAIT).await;
            log::warn!("webhook act=stop what=\"a post is still on its way; it is posted again at the next start\"");
        };
        all.or(late).await;
    }
}

impl Shared {
    fn running(&self) -> std::sync::MutexGuard<'_, HashMap<String, Running>> {
        // Each change is one insertion or removal: a panic elsewhere cannot leave half of one.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Every stored endpoint. Blocking.
fn marks(store: &Store) -> Result<Vec<(String, Mark)>, StoreError> {
    let rows = store.memos(MemoKind::Webhooks, "", None, MARKS_MAX)?;
    Ok(rows.into_iter().filter_map(|(name, value)| Some((name, Mark::read(&value)?))).collect())
}

fn open_outbox(store: &Store, clock: &Clock, config: &InForce) -> Result<Arc<Outbox>, StoreError> {
    let floor = marks(store)?.iter().map(|(_, mark)| mark.list.after).max().unwrap_or(0);
    Outbox::open(store.clone(), clock.clone(), config.clone(), floor)
}

/// The event of `hikyaku webhook test`: a delivery from and to nobody.
fn test_post(name: &str, style: &Style, config: &Config, now: Timestamp) -> Post {
    let number = number_at(now);
    let record = style.made_up(&config.server.hostname, now);
    Post {
        feed: Feed::Deliveries,
        id: sign::id(name, Feed::Deliveries, number, number),
        events: 1,
        first: number,
        last: number,
        body: style.body(Feed::Deliveries, &[record], &[number]).into(),
    }
}
