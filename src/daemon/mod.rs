//! Wiring: what starts in which order, and what stops in which.
//!
//! 1. The state directory and its owner id; the store, which only one process can have open; the store belongs to this
//!    folder. 2. The view. 3. The socket, so that whoever asks gets an answer from then on. 4. The folder is read; for each of
//!    its clusters' instances: engine, lease, takeover, agent. 5. Only then the controller hears of the folder.
//!
//! It stops in the reverse order, and never stops a container: they keep running while Longshore is down.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::agent::{Credentials, EndpointKey};
use crate::api::{self, FolderStatus, Identity};
use crate::clock::{RandomIds, SharedClock, SharedIds, SystemClock};
use crate::controller::Controller;
use crate::engine::lease::Holder;
use crate::manifest::{self, watch::WatchOptions};
use crate::store::dir::known_as;
use crate::store::{Redb, Revision, SharedStore, View};

mod clusters;
mod control;
mod core;
mod down;
mod engines;
mod folder;
mod instance;
pub mod preview;
mod protection;
mod pulls;
mod state;
mod takeover;

pub use self::core::{Core, Parts};
pub use clusters::InstanceReport;
pub use engines::{EngineChoice, Engines};
pub use instance::InstanceState;
pub use state::{directory as state_directory, name_of as state_name, take as take_store};

/// What to run.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder of manifests.
    pub folder: PathBuf,
    /// Where the state is; derived from the folder when absent.
    pub state_dir: Option<PathBuf>,
    /// Where the socket is; derived from the state directory when absent.
    pub socket: Option<PathBuf>,
    /// On what.
    pub engine: EngineChoice,
    /// Whether a folder that is missing or empty removes everything.
    pub allow_empty: bool,
    /// Whether state that belongs to another folder is taken for this one.
    pub take_over: bool,
    /// Whether the folder is only polled.
    pub poll: bool,
    /// What for.
    pub mode: Mode,
}

/// What a daemon is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Follow the folder.
    Follow,
    /// Remove everything; the folder is not read.
    Remove,
}

/// Why a daemon could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The state is in use: another Longshore runs on it.
    #[error("{0}")]
    InUse(String),
    /// Anything else, as a sentence with what to do.
    #[error("{0}")]
    Other(String),
}

/// What all parts of a daemon share.
pub struct Shared {
    pub options: Options,
    pub owner: String,
    pub folder: PathBuf,
    pub clock: SharedClock,
    pub store: SharedStore,
    /// What the ids of the tasks' metadata endpoints are made from; `None`: tasks have none.
    pub endpoint_key: Option<EndpointKey>,
    /// The store, where it is a file.
    pub file: Option<Arc<Redb>>,
    pub view: Arc<View>,
    /// The revision at which the store was found, before this process wrote anything.
    pub found_at: Revision,
    /// Engines that were looked at for what a lost store forgot.
    pub taken_over: Mutex<BTreeSet<takeover::TakenOver>>,
    pub engines: Engines,
    pub api_engines: api::Engines,
    pub holder: Holder,
    pub credentials: Option<Credentials>,
    pub status: watch::Sender<FolderStatus>,
    pub controller: Arc<Controller>,
    /// Cancelled once everything is to go: from then on the folder is not followed.
    pub removing: CancellationToken,
    /// Held while the folder is followed.
    pub reading: tokio::sync::Mutex<()>,
    /// Ends the process as SIGTERM does.
    pub shutdown: CancellationToken,
    /// Pulls that are under way, as each instance's agent tells them.
    pub pulls: pulls::Pulls,
    /// Why the process must end, where it must.
    pub fatal: watch::Sender<Option<String>>,
}

impl Shared {
    /// Who tells and grants protection of tasks.
    fn protections(&self) -> protection::Protections {
        protection::Protections {
            controller: Arc::clone(&self.controller),
            view: Arc::clone(&self.view),
            clock: Arc::clone(&self.clock),
        }
    }
}

/// A running daemon.
pub struct Daemon {
    shared: Arc<Shared>,
    clusters: Arc<clusters::Clusters>,
    parts: TaskTracker,
    stop: CancellationToken,
}

impl Daemon {
    /// Starts everything; returns when the socket answers. Engines that do not answer yet are waited for in the background.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let clock: SharedClock = Arc::new(SystemClock);
        let ids: SharedIds = Arc::new(RandomIds);
        let folder = known_as(&options.folder);
        let other = |error: &dyn std::fmt::Display| StartError::Other(error.to_string());

        let kept = state::open(&options, &folder).await?;
        let stop = CancellationToken::new();
        let view = View::start(Arc::clone(&kept.store), stop.clone());
        view.caught_up(0).await.map_err(|e| other(&e))?;
        let found_at = view.read().revision;
        let owner =
            state::claim(&kept, &view, &folder, options.take_over, &ids, clock.now()).await?;

        let endpoint_key = state::endpoint_key(&kept, &ids)?;
        let socket = options
            .socket
            .clone()
            .unwrap_or_else(|| api::socket_path(&kept.name));
        let holder = Holder::this_process(
            &owner,
            &folder.display().to_string(),
            &clock.now().to_string(),
        );
        let identity = Identity {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started_at: clock.now(),
            owner: owner.clone(),
            folder: folder.display().to_string(),
            state_dir: kept.path.display().to_string(),
            engine: options.engine.as_str().to_owned(),
            holder: holder.to_string(),
        };
        let core = Core::new(Parts {
            engines: Engines::new(options.engine, Arc::clone(&clock), Arc::clone(&ids)),
            credentials: Some(instance::docker_credentials()),
            owner,
            folder: folder.clone(),
            options,
            clock,
            ids,
            endpoint_key,
            store: kept.store,
            file: kept.file,
            view,
            found_at,
            holder,
        })
        .await
        .map_err(|e| other(&e))?;
        let (shared, clusters) = (Arc::clone(&core.shared), Arc::clone(&core.clusters));
        let parts = TaskTracker::new();

        let context = api::ApiContext {
            identity,
            view: Arc::clone(&shared.view),
            engines: shared.api_engines.clone(),
            control: Arc::new(control::DaemonControl::new(
                Arc::clone(&shared),
                Arc::clone(&clusters),
            )),
            status: shared.status.subscribe(),
            clock: Arc::clone(&shared.clock),
        };
        let server = api::bind(&socket, context).map_err(|e| other(&e))?;
        parts.spawn(server.run(stop.clone()));

        core.start(&parts, &stop);
        if shared.options.mode == Mode::Follow {
            let options = WatchOptions {
                poll_only: shared.options.poll,
                ..WatchOptions::default()
            };
            let scans = manifest::watch::watch(folder, options, stop.clone());
            parts.spawn(core.follow(scans, stop.clone()));
        }
        Ok(Self {
            shared,
            clusters,
            parts,
            stop,
        })
    }

    /// What all parts share.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// How far each instance is.
    pub fn instances(&self) -> watch::Receiver<Vec<InstanceReport>> {
        self.clusters.reports()
    }

    /// Removes everything that this Longshore owns, telling `say` about it.
    pub async fn remove_everything(
        &self,
        volumes: bool,
        say: mpsc::UnboundedSender<String>,
    ) -> Result<Vec<String>, String> {
        down::run(&self.shared, &self.clusters, volumes, say).await
    }

    /// Returns when the process is to end, with the reason if it is a bad one.
    pub async fn ended(&self) -> Option<String> {
        let mut fatal = self.shared.fatal.subscribe();
        tokio::select! {
            () = self.shared.shutdown.cancelled() => None,
            reason = fatal.wait_for(Option::is_some) => reason.ok().and_then(|r| r.clone()),
        }
    }

    /// Stops in the reverse order of starting. Containers keep running.
    pub async fn stop(self) {
        self.clusters.stop().await;
        self.stop.cancel();
        self.parts.close();
        self.parts.wait().await;
    }
}
