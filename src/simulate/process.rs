//! One life of the Longshore process: the daemon's core behind a [`Fence`].

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::fence::{Fence, FencedEngine, FencedStore, Warden};
use crate::api::{Control, FolderStatus};
use crate::clock::{SharedClock, SharedIds};
use crate::daemon::{Core, EngineChoice, Engines, Mode, Options, Parts, take_store};
use crate::engine::lease::Holder;
use crate::engine::simulated::Simulated;
use crate::manifest::source::Scan;
use crate::model::EngineEndpoint;
use crate::secrets::Secrets;
use crate::store::{Claimant, SharedStore, View};

/// The owner of everything that a simulated Longshore creates.
pub const OWNER: &str = "51e0000000000001";

/// Readings of the folder that may wait to be taken.
const READINGS: usize = 64;
/// Pause before a store is asked for again that could not be taken.
const TAKE_AGAIN: Duration = Duration::from_secs(1);

/// What outlives every process.
pub struct Outside<'a> {
    /// Where engines are, and what they are.
    pub engines: &'a [(EngineEndpoint, Arc<Simulated>)],
    /// The state.
    pub store: SharedStore,
    /// The time.
    pub clock: SharedClock,
    /// Ids of new tasks.
    pub ids: SharedIds,
    /// In whose name.
    pub owner: &'a str,
    /// Where secrets come from; `None`: whatever is named has a value.
    pub secrets: Option<Arc<Secrets>>,
    /// Who stands at the fence.
    pub warden: Option<Arc<dyn Warden>>,
}

/// A process that runs.
pub struct Process {
    fence: Arc<Fence>,
    /// Where readings of the folder go that are handed in.
    scans: Option<mpsc::Sender<Scan>>,
    said: watch::Receiver<Said>,
}

/// What a process lets others know.
#[derive(Default)]
struct Said {
    /// Why it gave up.
    fatal: Option<String>,
    /// What the socket would be answered by.
    inside: Option<(Arc<dyn Control>, watch::Receiver<FolderStatus>)>,
}

impl Process {
    /// Starts as the daemon does: the view, the core, then the folder, of which `first` is the first reading and others are handed
    /// in ([`read`](Self::read)). Must be called on a tokio runtime.
    pub fn start(outside: &Outside<'_>, first: Scan) -> Self {
        let (scans, receiver) = mpsc::channel(READINGS);
        let folder = first.root.clone();
        let _ = scans.try_send(first);
        let mut process = Self::follow(outside, folder, |_| receiver);
        process.scans = Some(scans);
        process
    }

    /// The same with a folder that is watched: `watch` is given what ends with the process, and returns the readings.
    pub fn follow(
        outside: &Outside<'_>,
        folder: PathBuf,
        watch: impl FnOnce(CancellationToken) -> mpsc::Receiver<Scan>,
    ) -> Self {
        let fence = Arc::new(Fence::guarded(outside.warden.clone()));
        let mut engines = Engines::new(
            EngineChoice::Simulated,
            Arc::clone(&outside.clock),
            Arc::clone(&outside.ids),
        );
        for (endpoint, inner) in outside.engines {
            let fenced = FencedEngine::new(Arc::clone(inner), Arc::clone(&fence));
            engines = engines.with(endpoint, fenced);
        }
        let (said, hears) = watch::channel(Said::default());
        let secrets = outside.secrets.clone();
        let life = Life {
            store: FencedStore::new(Arc::clone(&outside.store), Arc::clone(&fence)),
            engines,
            clock: Arc::clone(&outside.clock),
            ids: Arc::clone(&outside.ids),
            owner: outside.owner.to_owned(),
            secrets: secrets.unwrap_or_else(|| Arc::new(Secrets::imagined())),
            folder,
            scans: watch(fence.death()),
            said,
        };
        tokio::spawn(life.live());
        Self {
            fence,
            scans: None,
            said: hears,
        }
    }

    /// Hands it another reading of the folder, where it does not watch one.
    pub fn read(&self, scan: Scan) {
        if let Some(scans) = &self.scans {
            let _ = scans.try_send(scan);
        }
    }

    /// What it is behind.
    pub fn fence(&self) -> &Arc<Fence> {
        &self.fence
    }

    /// What its socket would ask, once it would answer. Calls of it have to be taken through the fence.
    pub fn control(&self) -> Option<Arc<dyn Control>> {
        let said = self.said.borrow();
        said.inside.as_ref().map(|(control, _)| Arc::clone(control))
    }

    /// What it says about the folder, once it says anything.
    pub fn folder(&self) -> Option<FolderStatus> {
        let said = self.said.borrow();
        let (_, status) = said.inside.as_ref()?;
        let status = status.borrow().clone();
        Some(status)
    }

    /// Why it gave up by itself, if it did.
    pub fn gave_up(&self) -> Option<String> {
        self.said.borrow().fatal.clone()
    }
}

/// The order of `Daemon::start`.
struct Life {
    store: SharedStore,
    engines: Engines,
    clock: SharedClock,
    ids: SharedIds,
    owner: String,
    secrets: Arc<Secrets>,
    folder: PathBuf,
    scans: mpsc::Receiver<Scan>,
    said: watch::Sender<Said>,
}

impl Life {
    async fn live(self) {
        let stop = CancellationToken::new();
        let view = View::start(Arc::clone(&self.store), stop.clone());
        if view.caught_up(0).await.is_err() {
            return;
        }
        let found_at = view.read().revision;
        let claimant = Claimant {
            folder: self.folder.display().to_string(),
            owner: self.owner.clone(),
            version: "simulation".to_owned(),
            take_over: false,
        };
        while let Err(error) = take_store(&self.store, &view, &claimant, self.clock.now()).await {
            // Whoever keeps the service up starts it again.
            tracing::warn!("{error}");
            tokio::time::sleep(TAKE_AGAIN).await;
        }
        let started = self.clock.now().to_string();
        let parts = Parts {
            options: Options {
                folder: self.folder.clone(),
                state_dir: None,
                socket: None,
                store: None,
                source: None,
                stand_by: false,
                engine: EngineChoice::Simulated,
                allow_empty: false,
                take_over: false,
                poll: false,
                mode: Mode::Follow,
                only: None,
            },
            owner: self.owner.clone(),
            folder: self.folder,
            clock: self.clock,
            ids: self.ids,
            store: self.store,
            file: None,
            view,
            found_at,
            engines: self.engines,
            holder: Holder {
                owner: self.owner,
                started,
                ..Holder::default()
            },
            credentials: None,
            endpoint_key: None,
            leadership: None,
            secrets: Some(self.secrets),
        };
        let core = match Core::new(parts).await {
            Ok(core) => core,
            Err(error) => {
                let fatal = Some(error.to_string());
                self.said.send_modify(|said| said.fatal = fatal);
                return;
            }
        };
        let inside = (core.control(), core.folder_status());
        self.said.send_modify(|said| said.inside = Some(inside));
        let tracker = TaskTracker::new();
        core.start(&tracker, &stop);
        tracker.spawn(core.follow(self.scans, stop));
        let mut fatal = core.fatal();
        let why = fatal
            .wait_for(Option::is_some)
            .await
            .ok()
            .and_then(|why| why.clone());
        self.said.send_modify(|said| said.fatal = why);
    }
}
