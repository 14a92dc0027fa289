//! The message format: reading headers, adding trace headers, composing. Pure.

pub mod compose;
pub mod header;
pub mod mime_walk;
pub mod trace;
pub mod watched;
