//! The console as a person meets it: in a real browser, in both languages, on a desk and on a telephone, by day and by night.
//!
//! In: headless Chromium, axe-core (`HIKYAKU_AXE` names its axe.min.js), the real binary on loopback.  Out: complaints, and
//! with `HIKYAKU_SHOTS=FOLDER` a picture of every page.
//! Always: a test whose program is missing says so and is skipped, or fails with `HIKYAKU_PEERS=require`.
#![allow(dead_code, unused_imports, reason = "each test program uses its part of the harness")]
#![allow(clippy::unwrap_used, reason = "a failing unwrap is a failing test")]

#[path = "../peers/program.rs"]
mod program;
#[path = "../support/mod.rs"]
mod support;

mod axe;
mod browser;
mod devtools;
mod fill;
mod idle;
mod keyboard;
mod look;
mod pages;
mod paths;
mod policy;
mod posts;
mod posts_door;
mod roles;
mod scene;
mod sizes;
mod speed;
mod stores;
mod tab;
mod tls;
