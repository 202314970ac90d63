//! What `plan` and `diff` share, which look ahead and change nothing: how they print, and how they end.

use super::{CommandResult, Failure};

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// A line for people each, with its cause
    #[default]
    Text,
    /// One document
    Json,
}

/// Their options.
#[derive(Debug, clap::Args)]
pub struct PreviewArgs {
    /// How to print
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
    /// Exit 0 when there is nothing, 2 when there is something, 1 when anything is wrong
    #[arg(long)]
    pub exit_code: bool,
}

impl PreviewArgs {
    /// How the command ends that found something or nothing, or failed.
    pub fn ended(&self, found: Result<bool, Failure>) -> CommandResult {
        match found {
            Ok(true) if self.exit_code => Err(Failure::Code(2)),
            Ok(_) => Ok(()),
            // 2 means something else here.
            Err(Failure::CouldNotRun(message)) if self.exit_code => {
                Err(Failure::findings(format!("error: {message}")))
            }
            Err(failure) => Err(failure),
        }
    }
}
