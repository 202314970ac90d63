//! The command line: a file per command. Only this module prints; stdout is data, stderr is messages.
//!
//! Exit codes, everywhere: 0 done; 1 findings (a manifest is invalid, a service is not steady, a name does not exist);
//! 2 could not run (bad usage, no engine, no Longshore running, a folder that belongs to somebody else).
//! `exec` passes the command's own code through.

pub mod client_common;
pub mod describe;
pub mod events;
pub mod exec;
pub mod get;
pub mod globals;
pub mod logs;
pub mod output;

pub use globals::Globals;

/// How a command ended when it did not simply succeed.
#[derive(Debug)]
pub enum Failure {
    /// Exit code 1: the command ran and has findings; the text, if any, is for stderr.
    Findings(String),
    /// Exit code 2: the command could not run.
    CouldNotRun(String),
    /// Another exit code, passed through from a command inside a container.
    Code(u8),
}

/// What every command returns.
pub type CommandResult = Result<(), Failure>;

impl Failure {
    /// Exit code 2 with this message.
    pub fn could_not_run(message: impl std::fmt::Display) -> Self {
        Self::CouldNotRun(message.to_string())
    }

    /// Exit code 1 with this message.
    pub fn findings(message: impl std::fmt::Display) -> Self {
        Self::Findings(message.to_string())
    }
}
