//! Handing mail over: route, hosts, connections, and what each answer means.
//!
//! In: a [`job::Job`] of the scheduler.  Out: a [`job::Outcome`], one verdict a recipient.
//!
//! ```text
//! pure     route       which hosts and addresses       verdict     what trouble means: the one table
//!          tls_policy  what a policy asks for
//! shell    attempt     the deliverer, its settings     trial       one group of recipients through its hosts
//!          hosts       DNS for the route               connection  the client's dialog on a socket
//!          pool        idle connections                body        the content, dot-stuffed
//!          memory      hosts that failed lately        report      the words and fields of the log
//! ```
//!
//! Always: nothing here knows of the queue or decides when; the sandbox stands in the deliverer's place in the demo.

pub mod attempt;
pub mod body;
mod connection;
mod hosts;
pub mod job;
mod memory;
pub mod pool;
mod report;
pub mod route;
pub mod sandbox;
#[cfg(test)]
mod tests;
pub mod tls_policy;
mod trial;
pub mod verdict;
