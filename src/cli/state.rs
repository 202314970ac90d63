//! `longshore state backup|dump`.

use std::path::PathBuf;

use super::{CommandResult, Failure, Globals, output, subject};
use crate::api::client::Client;
use crate::daemon;
use crate::store::dir::known_as;
use crate::store::redb;

/// Arguments of `state`.
#[derive(Debug, clap::Args)]
pub struct StateArgs {
    #[command(subcommand)]
    command: StateCommand,
    /// Folder whose state it is, when --state-dir does not say [default: manifests here, else the running Longshore's]
    #[arg(long, value_name = "DIR", global = true)]
    dir: Option<PathBuf>,
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

/// Asks the Longshore that runs for the folder, else reads etcd or the state's file.
pub async fn run(args: &StateArgs, globals: &Globals) -> CommandResult {
    let folder = subject::folder(args.dir.as_deref(), globals).await;
    let folder = known_as(&folder);
    let directory = daemon::state_directory(globals.state_dir.as_deref(), &folder)
        .map_err(Failure::could_not_run)?;
    let file = directory.join(redb::FILE);
    let running = Client::telling(&globals.into(), &folder, &directory)
        .await
        .map_err(Failure::could_not_run)?;
    let store = match &running {
        Some(_) => None,
        None => globals.store()?,
    };
    let listing = match store {
        Some(store) => Some(
            daemon::state_listing(store)
                .await
                .map_err(Failure::could_not_run)?,
        ),
        None => None,
    };
    if running.is_none() && listing.is_none() && !file.exists() {
        return Err(Failure::could_not_run(format!(
            "there is no state of {} in {}: no Longshore has run for it here. Name its folder with --dir, or the directory with \
             --state-dir",
            folder.display(),
            directory.display()
        )));
    }
    match &args.command {
        StateCommand::Backup { file: to } => {
            let to = std::path::absolute(to).map_err(Failure::could_not_run)?;
            match (running, &listing) {
                (Some(running), _) => running.backup(&to).await.map_err(Failure::could_not_run)?,
                (None, Some(listing)) => {
                    redb::write_new(listing, &to).map_err(Failure::could_not_run)?;
                }
                (None, None) => {
                    redb::backup(&file, &to).map_err(Failure::could_not_run)?;
                }
            }
            output::message(&format!("wrote {}", to.display()));
        }
        StateCommand::Dump => {
            let dump = match (running, &listing) {
                (Some(running), _) => running.state().await.map_err(Failure::could_not_run)?,
                (None, Some(listing)) => redb::dump_listing(listing),
                (None, None) => redb::dump(&file).map_err(Failure::could_not_run)?,
            };
            let text = serde_json::to_string_pretty(&dump).map_err(Failure::could_not_run)?;
            output::line(&text);
        }
    }
    Ok(())
}
