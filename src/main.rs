//! The `longshore` command: arguments in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    longshore::cli::main()
}
