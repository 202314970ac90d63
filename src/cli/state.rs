//! `longshore state backup|dump`.

use std::path::PathBuf;

use super::{CommandResult, Failure, Globals, output};
use crate::api::{self, client::Client};
use crate::daemon;
use crate::store::{StoreError, redb};

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
    /// Copy the state to a new file that a Longshore can start from
    Backup {
        /// The file to write; must not exist
        file: PathBuf,
    },
    /// Print the whole state as JSON
    Dump,
}

/// Reads the state, or asks the Longshore that has it open.
pub async fn run(args: &StateArgs, globals: &Globals) -> CommandResult {
    let folder = args.dir.canonicalize().unwrap_or_else(|_| args.dir.clone());
    let directory = daemon::state_directory(globals.state_dir.as_deref(), &folder)
        .map_err(Failure::could_not_run)?;
    let state = directory.join(redb::FILE);
    let socket = globals.socket.clone();
    let running =
        Client::at(socket.unwrap_or_else(|| api::socket_path(&daemon::state_name(&directory))));
    match &args.command {
        StateCommand::Backup { file } => {
            let file = std::path::absolute(file).map_err(Failure::could_not_run)?;
            match redb::backup(&state, &file) {
                Err(StoreError::InUse { .. }) => {
                    running
                        .backup(&file)
                        .await
                        .map_err(Failure::could_not_run)?;
                }
                done => {
                    done.map_err(Failure::could_not_run)?;
                }
            }
            output::message(&format!("wrote {}", file.display()));
        }
        StateCommand::Dump => {
            let dump = match redb::dump(&state) {
                Err(StoreError::InUse { .. }) => {
                    running.state().await.map_err(Failure::could_not_run)?
                }
                done => done.map_err(Failure::could_not_run)?,
            };
            let text = serde_json::to_string_pretty(&dump).map_err(Failure::could_not_run)?;
            output::line(&text);
        }
    }
    Ok(())
}
