//! The wire language of SMTP, without sockets: bytes in, steps out.
//!
//! Always: nothing here reads a socket, a clock or a table; a core is fed and answers, so that every dialog runs in
//! microseconds in tests, in the fuzzer and in the live daemon alike.

pub mod address;
pub mod params;
pub mod reply;
pub mod step;
