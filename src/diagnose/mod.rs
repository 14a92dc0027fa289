//! Why is mail of a domain refused? (R10): the error log, the domain's records, the speed rules and the days before, read together.
//!
//! ```text
//!   the log ─────────────┐
//!   mail streams ────────┤                                     ┌─► words (en, ja) ─► command line, API
//!   changes of the rules ┼─► gather ─► Gathered ─► rules ─► Diagnosis
//!   the domain doctor ───┤    (shell)     (data)   (one table)
//!   suppression, warm-up ┘
//! ```
//!
//! In: a domain, perhaps a destination, a period.  Out: a [`Diagnosis`]: causes, the likeliest first, each with its figures and what to
//! do; where nothing stands out, that.
//! Always: bounded in time, rows and memory, and it says how far it looked; it only reads; the same figures give the same causes.
//! Sources: PRODUCT.md R10; issue 6 part 4.

mod delist;
mod evidence;
pub mod figures;
mod gather;
mod patterns;
pub mod rules;
#[cfg(test)]
mod scenario_tests;
pub mod tally;
pub mod topic;
pub mod words;

pub use figures::{Cause, CauseId, Diagnosis, Question};
pub use gather::{Diagnoser, NoDiagnosis, Parts};
