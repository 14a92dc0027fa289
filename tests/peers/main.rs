//! Real programs as peers: Postfix and its tools, swaks, curl, Python, Knot DNS; and a disk whose sync fails.
//!
//! A test whose program is missing is skipped with a word, and fails where `HIKYAKU_PEERS=require` (as `.ci/run` sets it).
#![allow(dead_code, unused_imports, reason = "each test program uses its part of the harness")]
#![allow(clippy::unwrap_used, reason = "a failing unwrap is a failing test")]

#[path = "../support/mod.rs"]
mod support;

mod faults;
mod knot;
mod postfix;
mod program;
mod sinks;
mod submitters;
