//! DMARC: the record that applies to a domain, and the monitor of the reports that come back about it.
//!
//! ```text
//! mail to [bounce] report_address ─► sink ─┐
//! hikyaku dmarc import, the API ──────────►├─► keep ─► read ─► memos: reports, rows, failures
//!                                          │             │
//! views ◄─ shelf ◄─────────────────────────┴─────────────┘
//!   ▲  └─ label: whose address is it?  (spf, DNS, in the background)
//! monitor ─► console, API, command line        watch ─► alarms: reports that do not come (R2)
//! ```
//!
//! In: domains, records, reports.  Out: policies, and what the reports add up to.
//! Always: what a report says is its sender's word, and counts only as far as its sender is proven.

pub mod board;
pub mod generate;
pub mod keep;
pub mod label;
pub mod monitor;
pub mod read;
pub mod record;
pub mod report;
pub mod row;
pub mod shelf;
pub mod sink;
pub mod tree_walk;
pub mod views;
pub mod watch;
pub mod words;
