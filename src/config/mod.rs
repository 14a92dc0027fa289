//! One TOML file becomes one typed value, or every error at once with line, key, reason and fix.

mod types;

pub use types::*;
