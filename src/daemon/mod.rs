//! Wiring: what starts in which order, and what stops in which.
//!
//! 1. The state directory and its owner id; the store, which only one process can have open, or which of several [leads](leader);
//!    the store belongs to this folder. 2. The view. 3. The socket, so that whoever asks gets an answer from then on. 4. The folder is read; for each of
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
use crate::model::{ClusterName, ServiceName};
use crate::secrets::Secrets;
use crate::store::dir::known_as;
use crate::store::etcd::Candidate;
use crate::store::{Redb, Revision, SharedStore, View, etcd};

mod clusters;
mod control;
mod core;
mod down;
#[cfg(test)]
mod ends_tests;
mod engines;
mod folder;
#[cfg(test)]
mod folder_tests;
mod instance;
pub mod leader;
mod leash;
pub mod preview;
mod protection;
mod pulls;
pub mod source;
mod standby;
mod state;
mod takeover;
#[cfg(test)]
mod testing;

pub use self::core::{Core, Parts};
pub use clusters::InstanceReport;
pub use engines::{EngineChoice, Engines};
pub use instance::InstanceState;
pub use state::{
    directory as state_directory, listing as state_listing, name_of as state_name,
    take as take_store,
};

/// How long an orderly end waits for etcd to hear of it.
const RESIGN_WITHIN: std::time::Duration = std::time::Duration::from_secs(3);

/// What to run.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder of manifests.
    pub folder: PathBuf,
    /// Where the state is; derived from the folder when absent.
    pub state_dir: Option<PathBuf>,
    /// Where the socket is; derived from the state directory when absent.
    pub socket: Option<PathBuf>,
    /// The etcd that the state is in; absent: a file in the state directory.
    pub store: Option<etcd::Options>,
    /// What the folder is a copy of, where the store is in etcd; absent: as [`source`] finds it.
    pub source: Option<String>,
    /// Whether it waits for as long as another leads the store.
    pub stand_by: bool,
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
    /// The hash of the only content of the folder that is taken; absent: any.
    pub only: Option<String>,
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
    /// It was asked to end before it began.
    #[error("it was asked to end")]
    Ended,
    /// Anything else, as a sentence with what to do.
    #[error("{0}")]
    Other(String),
}

/// Why a daemon ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// It was asked to.
    Asked,
    /// It cannot go on.
    Failed(String),
    /// Another may lead by now: whoever stands by begins anew.
    StoodDown(String),
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
    /// Where secrets come from; `None`: from the clusters' providers.
    pub secrets: Option<Arc<Secrets>>,
    /// The store, where it is a file.
    pub file: Option<Arc<Redb>>,
    /// The lead, where others may have it.
    pub leadership: Option<Arc<leader::Leadership>>,
    pub view: Arc<View>,
    /// The revision at which the store was found, before this process wrote anything.
    pub found_at: Revision,
    /// Engines that were looked at for what a lost store forgot.
    pub taken_over: Mutex<BTreeSet<takeover::TakenOver>>,
    /// Which instance each engine is.
    pub claims: Mutex<instance::Claims>,
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
    /// Starts everything; returns when the socket answers. Engines that do not answer yet are waited for in the background. Where
    /// others share the store, it first stands by until it leads.
    ///
    /// # Errors
    /// See [`StartError`]; nothing of it runs then.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let clock: SharedClock = Arc::new(SystemClock);
        let ids: SharedIds = Arc::new(RandomIds);
        let folder = known_as(&options.folder);
        let other = |error: &dyn std::fmt::Display| StartError::Other(error.to_string());

        let kept = state::open(&options, &folder).await?;
        let stop = CancellationToken::new();
        // A start that comes to nothing leaves nothing running.
        let undo = stop.clone().drop_guard();
        let view = View::start(Arc::clone(&kept.store), stop.clone());
        view.caught_up(0).await.map_err(|e| other(&e))?;
        let socket = options
            .socket
            .clone()
            .unwrap_or_else(|| api::socket_path(&kept.name));
        let identity = Identity {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started_at: clock.now(),
            owner: String::new(),
            folder: folder.display().to_string(),
            state_dir: kept.path.display().to_string(),
            engine: options.engine.as_str().to_owned(),
            holder: String::new(),
        };
        let mut start = Start {
            options,
            clock,
            ids,
            folder,
            kept,
            stop,
            view,
            socket,
            identity,
            leadership: None,
        };
        start.leadership = start.lead().await?;
        let leadership = start.leadership.clone();
        let started = start.begin().await;
        if started.is_err()
            && let Some(leadership) = leadership
        {
            leadership.resign().await;
        }
        let daemon = started?;
        undo.disarm();
        Ok(daemon)
    }

    /// What all parts share.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// How far each instance is.
    pub fn instances(&self) -> watch::Receiver<Vec<InstanceReport>> {
        self.clusters.reports()
    }

    /// Services of the folder of which nothing is decided yet, because it is not known what runs in their cluster.
    pub fn held_up(&self) -> Vec<(ClusterName, ServiceName)> {
        self.clusters.held_up()
    }

    /// Removes everything that this Longshore owns, telling `say` about it.
    pub async fn remove_everything(
        &self,
        volumes: bool,
        say: mpsc::UnboundedSender<String>,
    ) -> Result<Vec<String>, String> {
        down::run(&self.shared, &self.clusters, volumes, say).await
    }

    /// Returns when it is to end, and why.
    pub async fn ended(&self) -> End {
        let mut fatal = self.shared.fatal.subscribe();
        let deposed = async {
            match &self.shared.leadership {
                Some(leadership) => leadership.lost().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            why = deposed => End::StoodDown(why),
            () = self.shared.shutdown.cancelled() => End::Asked,
            reason = fatal.wait_for(Option::is_some) => {
                let reason = reason.ok().and_then(|r| r.clone()).unwrap_or_default();
                match &self.shared.leadership {
                    // Nobody but the next leader supersedes a leader.
                    Some(_) => End::StoodDown(reason),
                    None => End::Failed(reason),
                }
            }
        }
    }

    /// Stops in the reverse order of starting. Containers keep running.
    pub async fn stop(self) {
        self.clusters.stop().await;
        self.stop.cancel();
        self.parts.close();
        self.parts.wait().await;
        // Only now: whoever leads next finds nothing of ours at work.
        if let Some(leadership) = &self.shared.leadership {
            let resigned = tokio::time::timeout(RESIGN_WITHIN, leadership.resign()).await;
            if resigned.is_err() {
                tracing::debug!("etcd did not hear that we resign; our session runs out");
            }
        }
    }
}

/// A start that is under way.
struct Start {
    options: Options,
    clock: SharedClock,
    ids: SharedIds,
    folder: PathBuf,
    kept: state::Kept,
    stop: CancellationToken,
    view: Arc<View>,
    socket: PathBuf,
    identity: Identity,
    leadership: Option<Arc<leader::Leadership>>,
}

impl Start {
    /// Waits for the lead, where others may have it; whoever stands by answers on its socket.
    async fn lead(&self) -> Result<Option<Arc<leader::Leadership>>, StartError> {
        let Some(etcd) = &self.kept.etcd else {
            return Ok(None);
        };
        let candidate = Candidate {
            id: format!("{:016x}", self.ids.bits()),
            name: format!("process {} on {}", self.identity.pid, state::host()),
            folder: self.identity.folder.clone(),
            since: self.clock.now(),
        };
        let shutdown = CancellationToken::new();
        let (control, tell) = standby::control(&self.kept.store, &shutdown);
        let standing = self.stop.child_token();
        let server = match self.options.stand_by {
            true => {
                let owner = self
                    .view
                    .read()
                    .meta
                    .as_ref()
                    .map(|meta| meta.owner.clone());
                let context = api::ApiContext {
                    identity: Identity {
                        owner: owner.unwrap_or_default(),
                        ..self.identity.clone()
                    },
                    view: Arc::clone(&self.view),
                    engines: api::Engines::default(),
                    control,
                    status: watch::Sender::default().subscribe(),
                    clock: Arc::clone(&self.clock),
                };
                let server = api::bind(&self.socket, context);
                let server = server.map_err(|e| StartError::Other(e.to_string()))?;
                Some(tokio::spawn(server.run(standing.clone())))
            }
            false => None,
        };
        let mut stood_by = false;
        let told = |leader: &etcd::Leader| {
            let status = leader::standing(&leader.candidate);
            stood_by = true;
            let (name, since, folder) = (&status.name, status.since, &status.folder);
            tracing::info!("standing by: {name} leads since {since}, with the folder {folder}");
            tell.send_replace(Some(status));
        };
        let now = || self.clock.now();
        let stand_by = self.options.stand_by;
        let won = tokio::select! {
            won = leader::win(etcd, candidate, now, stand_by, told) => won,
            () = shutdown.cancelled() => Err(StartError::Ended),
            () = state::led_here(&self.kept, &self.options) => Err(StartError::InUse(format!(
                "a Longshore of this machine leads {} for this folder", etcd.place()
            ))),
        };
        standing.cancel();
        if let Some(server) = server {
            let _ = server.await;
        }
        let leadership = won?;
        tokio::spawn(Arc::clone(&leadership).keep(self.stop.clone()));
        tracing::info!(term = leadership.term(), "leading {}", etcd.place());
        if stood_by {
            tracing::info!("taking over what the leader before left off");
        }
        Ok(Some(leadership))
    }

    /// Everything but the lead.
    async fn begin(self) -> Result<Daemon, StartError> {
        let Self {
            options,
            clock,
            ids,
            folder,
            mut kept,
            stop,
            view,
            socket,
            mut identity,
            leadership,
        } = self;
        let other = |error: &dyn std::fmt::Display| StartError::Other(error.to_string());
        if let Some(leadership) = &leadership {
            kept.store = leadership.store();
            kept.etcd = Some(Arc::clone(leadership.etcd()));
            // What the leader before us wrote last comes before our term.
            view.caught_up(leadership.term())
                .await
                .map_err(|e| other(&e))?;
        }
        let found_at = view.read().revision;
        let owner = state::claim(&kept, &view, &folder, &options, &ids, clock.now()).await?;
        let endpoint_key = state::endpoint_key(&kept, &ids).await?;
        let term = leadership
            .as_ref()
            .map_or(0, |leadership| leadership.term());
        let holder = Holder::this_process(
            &owner,
            &folder.display().to_string(),
            &clock.now().to_string(),
        )
        .leading(term);
        identity.owner.clone_from(&owner);
        identity.holder = holder.to_string();
        let core = Core::new(Parts {
            engines: Engines::new(options.engine, Arc::clone(&clock), Arc::clone(&ids))
                .below(&folder),
            credentials: Some(instance::docker_credentials()),
            owner,
            folder: folder.clone(),
            options,
            clock,
            ids,
            endpoint_key,
            secrets: None,
            store: kept.store,
            file: kept.file,
            view,
            found_at,
            holder,
            leadership,
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
        Ok(Daemon {
            shared,
            clusters,
            parts,
            stop,
        })
    }
}
