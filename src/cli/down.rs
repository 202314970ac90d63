//! `longshore down`: stops and removes everything that this folder's Longshore created, and nothing else.

use tokio::sync::mpsc;

use super::start::{EngineName, StartArgs, start};
use super::{CommandResult, Failure, Globals, output};
use crate::api::client::Client;
use crate::daemon::Mode;

/// Arguments of `down`.
#[derive(Debug, clap::Args)]
pub struct DownArgs {
    /// Folder whose containers to remove; a running Longshore knows its own
    #[arg(value_name = "DIR")]
    dir: Option<std::path::PathBuf>,
    /// Remove volumes, too; their data is lost
    #[arg(long)]
    volumes: bool,
}

/// Asks the running Longshore, which ends with it; with none running, does it in this process.
pub async fn run(args: DownArgs, globals: &Globals) -> CommandResult {
    let left = match Client::find_for(globals, args.dir.as_deref()).await {
        Ok(client) => {
            let left = client.down(args.volumes, output::message).await;
            left.map_err(Failure::could_not_run)?
        }
        Err(error) if error.is_not_running() => alone(&args, globals).await?,
        Err(error) => return Err(Failure::could_not_run(error)),
    };
    if left.is_empty() {
        output::message("everything is removed");
        return Ok(());
    }
    for what in left {
        output::message(&format!("left: {what}"));
    }
    Err(Failure::findings(
        "not everything could be removed. `longshore down` again tries what is left",
    ))
}

async fn alone(args: &DownArgs, globals: &Globals) -> Result<Vec<String>, Failure> {
    let start_args = StartArgs {
        dir: args.dir.clone(),
        engine: EngineName::Docker,
        allow_empty: true,
        take_over: false,
        poll: false,
        source: None,
    };
    let daemon = start(start_args.options(globals, Mode::Remove)?).await?;
    let (say, mut said) = mpsc::unbounded_channel::<String>();
    let talk = tokio::spawn(async move {
        while let Some(line) = said.recv().await {
            output::message(&line);
        }
    });
    let result = daemon.remove_everything(args.volumes, say).await;
    let _ = talk.await;
    daemon.stop().await;
    result.map_err(Failure::could_not_run)
}
