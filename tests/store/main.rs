//! The store's promises, on a simulated disk that crashes and on the real one.

// A test that cannot go on says so by panicking; the sizes print what they measured.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod archive;
mod blocked;
mod crash;
mod dmarc;
mod faults;
mod filters;
mod follow;
mod housework;
mod large;
mod leads;
mod log;
mod memory;
mod model;
mod opening;
mod queue;
mod returned;
mod said;
mod sandboxed;
#[allow(clippy::print_stdout, reason = "measured figures are for people")]
mod sizes;
mod support;
mod turns;
