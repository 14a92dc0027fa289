//! The message format: reading headers, adding trace headers, composing. Pure.

pub mod compose;
pub mod decode;
pub mod header;
pub mod html_view;
pub mod inflate;
pub mod iso2022jp;
pub mod letter;
pub mod merge;
pub mod mime_walk;
pub mod parts;
pub mod trace;
pub mod watched;
