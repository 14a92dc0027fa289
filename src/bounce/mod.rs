//! Bounces: those that we write (`dsn_write`, `notice`).

pub mod dsn_write;
pub mod notice;

mod dsn_text;
