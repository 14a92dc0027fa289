//! Leaving a list with one click: which mail is of a list, the link that each recipient gets, and who has left.
//!
//! ```text
//! intake/submit ─► filters (the list's name, stored with the message)
//! deliver ───────► links   (two header fields, for one recipient) ─► headers, token
//! http/one_click ─ token ─► list ─► the store ◄─ suppress/lookup (class 11)
//! ```
//!
//! Always: only a POST to a link that we made takes anybody off a list; who left stays off until an act that names the address;
//! the row is on disk before anybody hears that it is.
//! Sources: RFC 8058, RFC 2369 §3.2; cmc.md §8 and §12.6.

pub mod filters;
pub mod headers;
pub mod links;
pub mod list;
pub mod row;
pub mod token;

#[cfg(test)]
mod list_tests;
