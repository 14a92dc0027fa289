//! Domains over the control socket: one table of what may be asked and done, one file a subject below `domains/`.
//!
//! In: requests under `/control/domains/`; the domain is in the query (`name`).  Out: what the verb's own file says.

pub mod check;
mod diagnose;
mod keys;

use super::{Answer, Refused, act, read};
use crate::http::{
    daemon::{About, Daemon},
    exchange::Request,
};

/// How a verb is asked.
#[derive(Clone, Copy)]
enum How {
    /// GET: it only looks.
    Read,
    /// POST: it acts, and notes that in the operation log.
    Act,
}

/// One verb: its path below `/control/domains/`, and what answers it.
type Verb = (&'static str, How, fn(&dyn Daemon, &About, &Request) -> Answer);

/// All verbs.
const VERBS: &[Verb] = &[
    ("names", How::Read, check::names),
    ("check", How::Read, check::check),
    ("records", How::Read, check::records),
    ("diagnose", How::Read, diagnose::diagnose),
    ("keys", How::Read, keys::list),
    ("rotate", How::Act, keys::rotate),
    ("rotate/abort", How::Act, keys::abort),
    ("look", How::Act, keys::look),
];

/// Answers `/control/domains/…`.
pub(super) fn route(daemon: &dyn Daemon, about: &About, request: &Request, rest: &[&str]) -> Answer {
    let path = rest.join("/");
    match VERBS.iter().find(|(name, ..)| *name == path) {
        Some((_, How::Read, answer)) => read(request, || answer(daemon, about, request)),
        Some((_, How::Act, answer)) => act(request, || answer(daemon, about, request)),
        None => Err(Refused::new(404, "no such control route: command line and daemon are of different versions", "")),
    }
}
