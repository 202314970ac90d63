//! `longshore state backup|dump`.

use std::path::PathBuf;

use super::{CommandResult, Failure, Globals, output};
use crate::daemon;
use crate::store::redb;

/// Arguments of `state`.
#[derive(Debug, clap::Args)]
pub struct StateArgs {
    #[command(subcommand)]
    command: StateCommand,
    /// Folder whose state it is, when --state-dir does not say
    #[arg(long, default_value = "manifests", value_name = "DIR", global = true)]
    dir: PathBuf,
}

#[derive(Debug, clap::Subcommand)]
enum StateCommand {
    /// Copy the state to a new file that a Longshore can start from; none may be running on it
    Backup {
        /// The file to write; must not exist
        file: PathBuf,
    },
    /// Print the whole state as JSON
    Dump,
}

/// Reads the state of a Longshore that is not running.
pub fn run(args: &StateArgs, globals: &Globals) -> CommandResult {
    let folder = args.dir.canonicalize().unwrap_or_else(|_| args.dir.clone());
    let state = daemon::state_directory(globals.state_dir.as_deref(), &folder)
        .map_err(Failure::could_not_run)?;
    let state = state.join(redb::FILE);
    match &args.command {
        StateCommand::Backup { file } => {
            redb::backup(&state, file).map_err(Failure::could_not_run)?;
            output::message(&format!("wrote {}", file.display()));
        }
        StateCommand::Dump => {
            let dump = redb::dump(&state).map_err(Failure::could_not_run)?;
            let text = serde_json::to_string_pretty(&dump).map_err(Failure::could_not_run)?;
            output::line(&text);
        }
    }
    Ok(())
}
