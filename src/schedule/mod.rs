//! Decides when each waiting recipient is tried: a bounded window in RAM over the due queue on disk.
//!
//! `core`, `backoff` and `limits` are pure: they take the time as an argument and never read the store.  `task` is the shell
//! that feeds them, starts attempts and stores what became of them.

pub mod backoff;
pub mod core;
pub mod limits;
pub mod task;

mod attempt;
mod lane;
mod results;
mod shelf;

pub use shelf::Shelf;
pub use task::{Handle, Parts, Scheduler, Settings};
