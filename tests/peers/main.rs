//! Real programs as peers: Postfix and its tools, swaks, curl, Python, Knot DNS, Unbound; and a disk whose sync fails.
//!
//! A test whose program is missing is skipped with a word, and fails where `HIKYAKU_PEERS=require` (as `.ci/run` sets it).
#![allow(dead_code, unused_imports, reason = "each test program uses its part of the harness")]
#![allow(clippy::unwrap_used, reason = "a failing unwrap is a failing test")]

#[path = "../support/mod.rs"]
mod support;

mod api;
mod dane;
mod dkim;
mod dkim_mails;
mod dkim_rotate;
mod doctor;
mod faults;
mod knot;
mod mta_sts;
mod policy_host;
mod postfix;
mod program;
mod returned;
mod signed_dns;
mod sinks;
mod spf;
mod submitters;
