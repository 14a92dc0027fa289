//! The message format: reading headers, adding trace headers, composing. Pure.

pub mod header;
