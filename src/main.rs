//! The binary: three lines, everything is in the library.

fn main() {}
