//! Bounces: those that we write (`dsn_write`, `notice`), and those that come back to our return addresses (`envelope_from`,
//! `verp`, `keys`, `return_paths`), are read (`read`) and understood (`classify`): `mailroom` takes them, `find` says whom they
//! are about, `returned` what is written of it, and `forward` passes them on.

pub mod classify;
pub mod dsn_write;
pub mod envelope_from;
pub mod find;
pub mod forward;
pub mod keys;
pub mod mailroom;
pub mod normalise;
pub mod notice;
pub mod plain;
pub mod read;
pub mod return_paths;
pub mod returned;
pub mod verp;

mod dsn_text;
