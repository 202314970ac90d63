//! One life of the Longshore process: the daemon's core behind a [`Fence`].

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::fence::{Fence, FencedEngine, FencedStore};
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
}

/// A process that runs.
pub struct Process {
    fence: Arc<Fence>,
    scans: mpsc::Sender<Scan>,
    fatal: watch::Receiver<Option<String>>,
}

impl Process {
    /// Starts as the daemon does: the view, the core, then the folder, of which `first` is the first reading. Must be
    /// called on a tokio runtime.
    pub fn start(outside: &Outside<'_>, first: Scan) -> Self {
        let fence = Arc::new(Fence::default());
        let mut engines = Engines::new(
            EngineChoice::Simulated,
            Arc::clone(&outside.clock),
            Arc::clone(&outside.ids),
        );
        for (endpoint, inner) in outside.engines {
            let fenced = FencedEngine::new(Arc::clone(inner), Arc::clone(&fence));
            engines = engines.with(endpoint, fenced);
        }
        let (scans, receiver) = mpsc::channel(READINGS);
        let (said, fatal) = watch::channel(None);
        let life = Life {
            store: FencedStore::new(Arc::clone(&outside.store), Arc::clone(&fence)),
            engines,
            clock: Arc::clone(&outside.clock),
            ids: Arc::clone(&outside.ids),
            folder: first.root.clone(),
            scans: receiver,
            said,
        };
        let _ = scans.try_send(first);
        tokio::spawn(life.live());
        Self {
            fence,
            scans,
            fatal,
        }
    }

    /// Hands it another reading of the folder.
    pub fn read(&self, scan: Scan) {
        let _ = self.scans.try_send(scan);
    }

    /// What it is behind.
    pub fn fence(&self) -> &Fence {
        &self.fence
    }

    /// Why it gave up by itself, if it did.
    pub fn gave_up(&self) -> Option<String> {
        self.fatal.borrow().clone()
    }
}

/// The order of `Daemon::start`.
struct Life {
    store: SharedStore,
    engines: Engines,
    clock: SharedClock,
    ids: SharedIds,
    folder: PathBuf,
    scans: mpsc::Receiver<Scan>,
    said: watch::Sender<Option<String>>,
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
            owner: OWNER.to_owned(),
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
            owner: OWNER.to_owned(),
            folder: self.folder,
            clock: self.clock,
            ids: self.ids,
            store: self.store,
            file: None,
            view,
            found_at,
            engines: self.engines,
            holder: Holder {
                owner: OWNER.to_owned(),
                started,
                ..Holder::default()
            },
            credentials: None,
            endpoint_key: None,
            leadership: None,
            secrets: Some(Arc::new(Secrets::imagined())),
        };
        let core = match Core::new(parts).await {
            Ok(core) => core,
            Err(error) => {
                self.said.send_replace(Some(error.to_string()));
                return;
            }
        };
        let tracker = TaskTracker::new();
        core.start(&tracker, &stop);
        tracker.spawn(core.follow(self.scans, stop));
        let mut fatal = core.fatal();
        let why = fatal
            .wait_for(Option::is_some)
            .await
            .ok()
            .and_then(|why| why.clone());
        self.said.send_replace(why);
    }
}
