//! Where tasks run: our own executor threads, each task named and fenced, and the token that tells all of them to stop.
//!
//! Always: no blocking call on an executor thread (`smol::unblock` has its bounded pool); a panic ends its task, is logged
//! and counted, and never takes a neighbour with it.

use std::{
    future::Future,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    thread,
};

use smol::{Executor, Task, channel, future::FutureExt};

/// A handle on the executor threads; clones share them.
#[derive(Clone)]
pub struct Runtime {
    executor: Arc<Executor<'static>>,
    panics: Arc<AtomicU64>,
}

impl Runtime {
    /// Starts `threads` executor threads (0: one up to 4 cores, then a quarter of the cores).
    pub fn start(threads: usize) -> std::io::Result<Self> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let threads = if threads == 0 { (cores / 4).max(1) } else { threads };
        let runtime = Runtime { executor: Arc::new(Executor::new()), panics: Arc::default() };
        for n in 0..threads {
            let executor = runtime.executor.clone();
            thread::Builder::new().name(format!("hikyaku-{n}")).spawn(move || {
                // Runs for the life of the process: `pending` never ends.
                async_io::block_on(executor.run(std::future::pending::<()>()));
            })?;
        }
        Ok(runtime)
    }

    /// Runs `task` under a panic fence, by itself: nobody waits for it.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.task(name, task).detach();
    }

    /// Runs `task` under a panic fence; `None` is its panic. Dropping the handle cancels it.
    pub fn task<T: Send + 'static>(
        &self,
        name: &'static str,
        task: impl Future<Output = T> + Send + 'static,
    ) -> Task<Option<T>> {
        let panics = self.panics.clone();
        self.executor.spawn(async move {
            match AssertUnwindSafe(task).catch_unwind().await {
                Ok(value) => Some(value),
                Err(_) => {
                    panics.fetch_add(1, Ordering::Relaxed);
                    log::error!("task={name} panicked; it was stopped and the daemon goes on. Please report this.");
                    None
                }
            }
        })
    }

    /// Panics caught since the start.
    pub fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }
}

/// How far the daemon's stop has come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Stage {
    /// At work.
    Running,
    /// No new sessions and attempts; those that run may finish.
    Draining,
    /// Sockets are cut.
    Cutting,
}

/// Told once, heard by all: the daemon is stopping.
#[derive(Clone)]
pub struct Shutdown {
    stage: Arc<AtomicU8>,
    draining: (channel::Sender<()>, channel::Receiver<()>),
    cutting: (channel::Sender<()>, channel::Receiver<()>),
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

impl Shutdown {
    /// A daemon at work.
    pub fn new() -> Self {
        Shutdown { stage: Arc::default(), draining: channel::bounded(1), cutting: channel::bounded(1) }
    }

    /// Asks everybody to finish.
    pub fn drain(&self) {
        self.stage.fetch_max(1, Ordering::SeqCst);
        self.draining.0.close();
    }

    /// Cuts what has not finished.
    pub fn cut(&self) {
        self.stage.store(2, Ordering::SeqCst);
        self.draining.0.close();
        self.cutting.0.close();
    }

    /// Where the stop is.
    pub fn stage(&self) -> Stage {
        match self.stage.load(Ordering::SeqCst) {
            0 => Stage::Running,
            1 => Stage::Draining,
            _ => Stage::Cutting,
        }
    }

    /// Returns when the drain begins (at once after that).
    pub async fn drained(&self) {
        let _ = self.draining.1.recv().await;
    }

    /// Returns when sockets are to be cut (at once after that).
    pub async fn cut_now(&self) {
        let _ = self.cutting.1.recv().await;
    }
}
