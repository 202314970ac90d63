//! What `run`, `apply` and `down` share: starting a daemon in this process.

use std::path::{Path, PathBuf};

use tokio::signal::unix::{SignalKind, signal};

use super::{Failure, Globals};
use crate::daemon::{
    Daemon, EngineChoice, InstanceReport, InstanceState, Mode, Options, StartError,
};

/// Which engine to run on, as the command line names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum EngineName {
    /// A Docker Engine: DOCKER_HOST, the current Docker context, or the default socket
    #[default]
    Docker,
    /// A model of an engine, in memory: nothing real runs
    Simulated,
}

/// Options of the commands that start a daemon.
#[derive(Debug, Clone, clap::Args)]
pub struct StartArgs {
    /// Folder of manifests [default: manifests]
    #[arg(value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// The engine to run on
    #[arg(long, value_enum, default_value_t, value_name = "ENGINE")]
    pub engine: EngineName,
    /// Remove everything when the folder is missing or empty, instead of keeping it
    #[arg(long)]
    pub allow_empty: bool,
    /// Take state that belongs to another folder for this one
    #[arg(long)]
    pub take_over: bool,
    /// With --store: what this folder is a copy of, where git's `origin` and the folder's name do not say
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
    /// Only poll the folder (every 2 s); network file systems are polled by themselves
    #[arg(long)]
    pub poll: bool,
}

impl StartArgs {
    /// The folder that is meant.
    pub fn dir(&self) -> &Path {
        self.dir.as_deref().unwrap_or(Path::new("manifests"))
    }

    /// The daemon's options.
    ///
    /// # Errors
    /// The options about the store do not fit together.
    pub fn options(&self, globals: &Globals, mode: Mode) -> Result<Options, Failure> {
        Ok(Options {
            folder: self.dir().to_owned(),
            state_dir: globals.state_dir.clone(),
            socket: globals.socket.clone(),
            engine: match self.engine {
                EngineName::Docker => EngineChoice::Docker,
                EngineName::Simulated => EngineChoice::Simulated,
            },
            allow_empty: self.allow_empty,
            take_over: self.take_over,
            poll: self.poll,
            mode,
            store: globals.store()?,
            source: self.source.clone(),
            stand_by: false,
            only: None,
        })
    }
}

/// Starts a daemon; whoever else runs on the same state is an error. One that is asked to end before it began is no failure.
pub async fn start(options: Options) -> Result<Daemon, Failure> {
    if options.engine == EngineChoice::Simulated {
        tracing::warn!("the engine is simulated: nothing real runs");
    }
    Daemon::start(options).await.map_err(|error| match error {
        StartError::InUse(message) => Failure::could_not_run(format!(
            "{message}. A Longshore runs on this folder already; ask it with `longshore get services`"
        )),
        StartError::Other(message) => Failure::could_not_run(message),
        StartError::Ended => Failure::Code(0),
    })
}

/// Completes at SIGTERM or SIGINT.
pub async fn asked_to_stop() {
    let terminate = signal(SignalKind::terminate());
    let interrupt = signal(SignalKind::interrupt());
    let (Ok(mut terminate), Ok(mut interrupt)) = (terminate, interrupt) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// Who else holds a cluster that this folder declares, if somebody does.
pub fn held(reports: &[InstanceReport]) -> Option<String> {
    reports.iter().find_map(|report| match &report.state {
        InstanceState::Held(who) => Some(who.clone()),
        _ => None,
    })
}
