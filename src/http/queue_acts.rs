//! Acts on the queue that take longer than a page may: they go on by themselves, and people see how far they are.
//!
//! In: an act and who does it.  Out: how it ended, or that it goes on; the acts that run and those that lately ended.
//! Always: at most [`RUNNING_MAX`] run at once, and `SHOWN_MAX` are remembered, in RAM; the operation log keeps what was done. A stop
//! cuts an act between two of its steps: what is done is done, and the log has its beginning.

use std::{
    collections::VecDeque,
    future::Future,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::Duration,
};

use crate::{
    clock::{Clock, Timestamp},
    runtime::Runtime,
    store::{QueueAct, StoreError},
};

/// Acts that run at once: each walks the queue, and the writer serves them beside the mail.
pub const RUNNING_MAX: usize = 4;
/// Acts that are remembered.
const SHOWN_MAX: usize = 20;

/// How an act ended, as far as it has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ActEnd {
    /// It was done to so many.
    Done(u64),
    /// It goes on by itself; so many so far.
    GoesOn(u64),
}

/// How an act stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ActState {
    /// It runs.
    Runs,
    /// It was done at that time.
    Done(Timestamp),
    /// It broke off, for this reason; what was done is done.
    Broken(String),
}

/// An act, as people see it.
#[derive(Clone, Debug)]
pub struct ActView {
    /// What, to whom, by whom.
    pub act: QueueAct,
    /// Since when.
    pub began: Timestamp,
    /// Done to so many so far.
    pub done: u64,
    /// How it stands.
    pub state: ActState,
}

struct Entry {
    act: QueueAct,
    began: Timestamp,
    done: Arc<AtomicU64>,
    state: Mutex<ActState>,
}

impl Entry {
    fn state(&self) -> ActState {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn end(&self, state: ActState) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    fn runs(&self) -> bool {
        self.state() == ActState::Runs
    }
}

/// An act whose task ends without a word has broken off: it panicked, or the process stops.
struct Fence(Arc<Entry>);

impl Drop for Fence {
    fn drop(&mut self) {
        if self.0.runs() {
            self.0.end(ActState::Broken("it was stopped".to_owned()));
        }
    }
}

/// The acts that go on by themselves.
#[derive(Default)]
pub struct QueueActs(Mutex<VecDeque<Arc<Entry>>>);

impl QueueActs {
    /// Begins an act and waits for its end, but no longer than `patience`. `run` does it, and tells how far it is.
    ///
    /// # Errors
    /// `Refused` where [`RUNNING_MAX`] run; what the act said where it ended in time.
    pub fn start<F>(
        &self,
        runtime: &Runtime,
        clock: &Clock,
        act: QueueAct,
        patience: Duration,
        run: impl FnOnce(QueueAct, Arc<AtomicU64>) -> F,
    ) -> Result<ActEnd, StoreError>
    where
        F: Future<Output = Result<u64, StoreError>> + Send + 'static,
    {
        let entry = self.enter(act, clock.now())?;
        let (tell, told) = mpsc::sync_channel(1);
        let (task, fence, clock) = (run(entry.act.clone(), entry.done.clone()), Fence(entry.clone()), clock.clone());
        runtime.spawn("queue-act", async move {
            let result = task.await;
            match &result {
                Ok(count) => {
                    fence.0.done.store(*count, Ordering::Relaxed);
                    fence.0.end(ActState::Done(clock.now()));
                }
                Err(error) => {
                    log::error!("act=queue.{} error=\"{error}\"", fence.0.act.verb.word());
                    fence.0.end(ActState::Broken(error.to_string()));
                }
            }
            // Nobody may wait any more.
            let _ = tell.try_send(result);
        });
        match told.recv_timeout(patience) {
            Ok(result) => result.map(ActEnd::Done),
            Err(mpsc::RecvTimeoutError::Timeout) => Ok(ActEnd::GoesOn(entry.done.load(Ordering::Relaxed))),
            Err(mpsc::RecvTimeoutError::Disconnected) => Err(StoreError::Closed),
        }
    }

    fn enter(&self, act: QueueAct, began: Timestamp) -> Result<Arc<Entry>, StoreError> {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.iter().filter(|entry| entry.runs()).count() >= RUNNING_MAX {
            let why = format!("{RUNNING_MAX} acts on the queue run already: wait until one of them has ended");
            return Err(StoreError::Refused(why));
        }
        while entries.len() >= SHOWN_MAX {
            let Some(oldest) = entries.iter().rposition(|entry| !entry.runs()) else { break };
            entries.remove(oldest);
        }
        let entry = Arc::new(Entry { act, began, done: Arc::default(), state: Mutex::new(ActState::Runs) });
        entries.push_front(entry.clone());
        Ok(entry)
    }

    /// Those that run and those that lately ended, the newest first.
    pub fn views(&self) -> Vec<ActView> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let view = |entry: &Arc<Entry>| ActView {
            act: entry.act.clone(),
            began: entry.began,
            done: entry.done.load(Ordering::Relaxed),
            state: entry.state(),
        };
        entries.iter().map(view).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{QueueFilter, QueueVerb};

    fn act() -> QueueAct {
        let (operator, from) = ("mari@example.jp".to_owned(), "192.0.2.7".to_owned());
        QueueAct { verb: QueueVerb::Hold, filter: QueueFilter::default(), operator, from }
    }

    #[test]
    fn a_short_act_is_waited_for_a_long_one_goes_on_and_tells_how_far_it_is() {
        let (runtime, clock, acts) = (Runtime::start(1).unwrap(), Clock::system(), QueueActs::default());
        let long = Duration::from_secs(20);
        assert_eq!(acts.start(&runtime, &clock, act(), long, |_, _| async { Ok(7) }).unwrap(), ActEnd::Done(7));
        let (give, wait) = smol::channel::bounded::<()>(1);
        let run = |_: QueueAct, done: Arc<AtomicU64>| async move {
            done.store(3, Ordering::Relaxed);
            let _ = wait.recv().await;
            Ok(9)
        };
        let end = acts.start(&runtime, &clock, act(), Duration::from_millis(100), run).unwrap();
        assert_eq!(end, ActEnd::GoesOn(3));
        assert_eq!((acts.views()[0].done, acts.views()[0].state.clone()), (3, ActState::Runs));
        give.send_blocking(()).unwrap();
        let done = || acts.views()[0].done == 9 && matches!(acts.views()[0].state, ActState::Done(_));
        let began = clock.instant();
        while !done() && clock.instant() - began < long {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(done(), "{:?}", acts.views());
    }

    #[test]
    fn few_run_at_once_few_are_remembered_and_a_panic_leaves_none_running() {
        let (runtime, clock, acts) = (Runtime::start(1).unwrap(), Clock::system(), QueueActs::default());
        let long = Duration::from_secs(20);
        for _ in 0..SHOWN_MAX + 5 {
            acts.start(&runtime, &clock, act(), long, |_, _| async { Ok(1) }).unwrap();
        }
        assert_eq!(acts.views().len(), SHOWN_MAX);
        let broken = acts.start(&runtime, &clock, act(), long, |_, _| async { Err(StoreError::Full) });
        assert!(matches!(broken, Err(StoreError::Full)));
        assert_eq!(acts.views()[0].state, ActState::Broken("the disk is full".to_owned()));
        let panics = acts.start(&runtime, &clock, act(), long, |_, _| async { panic!("a test's") });
        assert!(matches!(panics, Err(StoreError::Closed)));
        assert!(matches!(acts.views()[0].state, ActState::Broken(_)));
        let (give, wait) = smol::channel::bounded::<()>(1);
        for _ in 0..RUNNING_MAX {
            let wait = wait.clone();
            let run = |_, _| async move {
                let _ = wait.recv().await;
                Ok(0)
            };
            acts.start(&runtime, &clock, act(), Duration::ZERO, run).unwrap();
        }
        let more = acts.start(&runtime, &clock, act(), long, |_, _| async { Ok(1) });
        assert!(matches!(more, Err(StoreError::Refused(_))));
        drop(give);
    }
}
