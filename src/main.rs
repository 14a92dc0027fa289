//! The binary: three lines, everything is in the library.

fn main() -> std::process::ExitCode {
    hikyaku::cli::main(std::env::args_os())
}
