//! Decides when each waiting recipient is tried: a bounded window in RAM over the due queue on disk.
//!
//! `place`, `backoff`, `limits`, `window`, `fair`, `pace`, `queue`, `lane`, `site`, `trouble` and `core` are pure: they take the time as
//! an argument and never read the store. `task` is the shell that feeds them, starts attempts and stores what became of them.

pub mod backoff;
pub mod core;
pub mod limits;
pub mod place;
pub mod task;
pub mod window;

mod attempt;
mod fair;
mod lane;
mod locate;
mod pace;
mod queue;
mod results;
mod shelf;
mod site;
pub mod trouble;

pub use shelf::Shelf;
pub use task::{Handle, Parts, Scheduler, Settings};
