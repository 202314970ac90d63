//! `longshore completions SHELL`.

use clap_complete::Shell;

use super::CommandResult;

/// Arguments of `completions`.
#[derive(Debug, clap::Args)]
pub struct CompletionsArgs {
    /// The shell to write for
    shell: Shell,
}

/// Prints the script for the shell; for bash: `source <(longshore completions bash)`.
pub fn run(args: &CompletionsArgs, command: &mut clap::Command) -> CommandResult {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, command, "longshore", &mut script);
    super::output::write_stdout(&script);
    Ok(())
}
