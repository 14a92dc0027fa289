//! Taking mail in: listeners, sessions, who may do what, and the one door through which every message enters.
//!
//! Always: SMTP, the API and our own notices enter by [`submit::Door`], so that all of them get the same id, log and retry;
//! the 250 is built from a [`crate::store::Receipt`] alone (P1).

pub mod forwarding;
pub mod hand_in;
pub mod inbound;
pub mod inlets;
pub mod listener;
pub mod notices;
pub mod policy;
pub mod proxy;
mod sandboxed;
mod session;
pub mod sink;
pub mod spam;
mod spool;
pub mod submit;
pub mod sweep;
mod trace;
