//! The harness of the tests that run the real binary: a daemon with a folder and an address of its own, a scripted
//! destination, a small DNS server, a raw SMTP client, the command line and the events it prints.
//!
//! Always: everything stays on 127.0.0.0/8; every wait has a limit and says what it waited for; what a test starts is
//! stopped when the test's values are dropped, whether it passed or not.

pub mod bodies;
pub mod cli;
pub mod client;
pub mod console;
pub mod daemon;
pub mod dns;
pub mod http_sink;
pub mod notify;
pub mod place;
pub mod sink;
mod sink_session;
pub mod submission;
pub mod tls;
pub mod wait;
pub mod wire;

pub use cli::{Event, Ran};
pub use client::Client;
pub use console::Browser;
pub use daemon::{Config, Relay};
pub use dns::Dns;
pub use http_sink::{HttpSink, Reply};
pub use place::Place;
pub use sink::{Act, Moment, Received, Sink, Step};
pub use wait::{Rng, long, now, say, until};
