//! Handing mail over: route, hosts, connections, and what each answer means.
//!
//! In: a [`job::Job`] of the scheduler.  Out: a [`job::Outcome`], one verdict a recipient.
//!
//! ```text
//! pure     route       which hosts and addresses       verdict     what trouble means: the one table
//!          tls_policy  how TLS is used: the table      sts_policy  what an MTA-STS policy says
//!          rules       which speed rule applies; lanes    provider    the large providers, by their names
//! shell    attempt     the deliverer, its settings     trial       one group of recipients through its hosts
//!          groups      recipients by where they go     site        which site a lane belongs to
//!          hosts       DNS for the route               explain     all decisions in words, without sending
//!          sources     local addresses, for whom       leave       by which of them an attempt goes
//!          warm_up     new addresses, day by day       responses   what replies mean beyond their codes
//!          connection  the client's dialog             pool        idle connections
//!          body        the content, dot-stuffed        memory      hosts that failed lately
//!          report      the log's words and fields      notes       what survives a restart
//!          host_tls    TLS with one host, and counts   dane        its TLSA records
//!          sts         the cache of MTA-STS policies   sts_host    where they come from
//!          sts_fetch   one question to a policy host
//!          tls_results a day's TLS, for the reports    tls_facts   the TLS part of explain
//!          shelf       where policies and results are kept
//!          rule_history when a speed rule was loosened
//!          streams     how much mail of each domain went where, day by day
//!          envelope    the sender that goes out, and who shares a transaction
//!          lead        what stands in front of a copy: signatures, and what is a recipient's own
//!          talk        what was said at the hosts, as each recipient's conversation
//!          pacing      a rule's interval between the messages of one attempt
//! ```
//!
//! Always: nothing here knows of the queue or decides when; the sandbox stands in the deliverer's place in the demo.

pub mod attempt;
pub mod body;
mod connection;
pub mod counted;
mod dane;
pub mod envelope;
mod explain;
mod groups;
pub mod host_tls;
mod hosts;
pub mod job;
pub mod lately;
pub mod lead;
mod leave;
mod memory;
pub mod notes;
mod pacing;
pub mod pool;
pub mod provider;
mod report;
mod responses;
pub mod route;
pub mod rule_history;
pub mod rules;
pub mod sandbox;
#[cfg(test)]
mod shelf;
mod site;
mod sources;
pub mod streams;
mod sts;
pub mod sts_fetch;
mod sts_host;
pub mod sts_policy;
mod talk;
#[cfg(test)]
mod tests;
mod tls_facts;
pub mod tls_policy;
pub mod tls_results;
mod trial;
pub mod verdict;
pub mod warm_up;
