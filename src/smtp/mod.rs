//! The wire language of SMTP, without sockets: bytes in, steps out.
//!
//! Always: nothing here reads a socket, a clock or a table; a core is fed and answers, so that every dialog runs in
//! microseconds in tests, in the fuzzer and in the live daemon alike.

pub mod address;
pub mod answer;
pub mod auth;
pub mod capability;
pub mod client;
pub mod command;
pub mod content;
pub mod conversation;
pub mod delivery_params;
pub mod line;
pub mod params;
pub mod reply;
pub mod server;
pub mod step;
