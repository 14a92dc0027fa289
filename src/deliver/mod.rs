//! Handing mail over: route, hosts, connections, and what each answer means.

pub mod job;
pub mod sandbox;
