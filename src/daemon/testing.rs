//! A daemon's core on a simulated engine, for tests in virtual time.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Core, EngineChoice, Engines, Mode, Options, Parts};
use crate::api::FolderStatus;
use crate::clock::{SeededIds, SharedClock, SharedIds, TokioClock};
use crate::diagnostic::SourceFile;
use crate::engine::lease::Holder;
use crate::engine::simulated::{SimImage, SimOptions, Simulated};
use crate::manifest::source::{FileContent, FolderState, Scan};
use crate::model::{EngineEndpoint, Timestamp};
use crate::secrets::Secrets;
use crate::store::{
    Epoch, Guard, Listing, Memory, Op, Revision, SharedStore, State, Store, StoreError, View, Watch,
};

const ROOT: &str = "/manifests";
const IMAGE: &str = "app:1";
/// How long anything is waited for, in virtual time.
const PATIENCE: Duration = Duration::from_secs(120);

/// See the module.
pub(super) struct World {
    pub engine: Arc<Simulated>,
    pub core: Core,
    pub gate: Arc<Gate>,
    scans: mpsc::Sender<Scan>,
    stop: CancellationToken,
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl World {
    /// A core that follows a folder of which nothing was read yet.
    pub async fn new() -> Self {
        let clock: SharedClock = TokioClock::starting_at(Timestamp::from_millis(1_700_000_000_000));
        let ids: SharedIds = SeededIds::new(7);
        let engine = Simulated::new(Arc::clone(&clock), SeededIds::new(1), SimOptions::default());
        engine.add_image(IMAGE, SimImage::default());
        let gate = Gate::before(Memory::new());
        let store: SharedStore = gate.clone();
        let stop = CancellationToken::new();
        let view = View::start(Arc::clone(&store), stop.clone());
        view.caught_up(0).await.expect("the view follows");
        let found_at = view.read().revision;
        let owner = "0123456789abcdef".to_owned();
        let core = Core::new(Parts {
            options: Options {
                folder: PathBuf::from(ROOT),
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
            holder: Holder {
                owner: owner.clone(),
                ..Holder::default()
            },
            owner,
            folder: PathBuf::from(ROOT),
            engines: Engines::new(
                EngineChoice::Simulated,
                Arc::clone(&clock),
                Arc::clone(&ids),
            )
            .with(&EngineEndpoint::Local, engine.clone()),
            clock,
            ids,
            store,
            file: None,
            found_at,
            view,
            credentials: None,
            endpoint_key: None,
            secrets: Some(Arc::new(Secrets::imagined())),
            leadership: None,
        })
        .await
        .expect("a core");
        let tracker = TaskTracker::new();
        let (scans, receiver) = mpsc::channel(64);
        core.start(&tracker, &stop);
        tracker.spawn(core.follow(receiver, stop.clone()));
        Self {
            engine,
            core,
            gate,
            scans,
            stop,
        }
    }

    /// The folder is read, and was changed to this.
    pub fn read(&self, scan: &Scan) {
        self.scans.try_send(scan.clone()).expect("there is room");
    }

    /// Waits until the store says so.
    pub async fn until(&self, what: &str, done: impl Fn(&State) -> bool) {
        let view = &self.core.shared.view;
        let mut changes = view.subscribe();
        let waited = async {
            while !done(&view.read()) {
                changes.recv().await.expect("the view goes on");
            }
        };
        let waited = tokio::time::timeout(PATIENCE, waited).await;
        assert!(waited.is_ok(), "never: {what}");
    }

    /// Waits until this is said of the folder.
    pub async fn until_said(&self, what: &str, said: impl Fn(&FolderStatus) -> bool) {
        let mut status = self.core.folder_status();
        let waited = tokio::time::timeout(PATIENCE, status.wait_for(said)).await;
        assert!(waited.is_ok(), "never said of the folder: {what}");
    }
}

/// A folder with the service `web` of so many tasks, each of which runs until it is stopped.
pub(super) fn web(count: u32) -> Scan {
    let text = format!(
        "family: web\ncontainerDefinitions:\n- {{name: app, image: '{IMAGE}', command: [sleep, '1000000'], memory: 32}}\n---\n\
         apiVersion: longshore/v1\nkind: Service\nmetadata: {{name: web}}\nspec: {{taskDefinition: web, desiredCount: {count}}}\n"
    );
    let path = "web.yaml".to_owned();
    let file = SourceFile {
        path: path.clone(),
        text,
    };
    Scan {
        root: PathBuf::from(ROOT),
        state: FolderState::Present,
        files: [(path, FileContent::Text(Arc::new(file)))].into(),
    }
}

/// A store at which the statuses of tasks may have to wait before they are written.
#[derive(Debug)]
pub(super) struct Gate {
    inner: SharedStore,
    shut: watch::Sender<bool>,
    waiting: watch::Sender<usize>,
}

impl Gate {
    fn before(inner: SharedStore) -> Arc<Self> {
        Arc::new(Self {
            inner,
            shut: watch::Sender::new(false),
            waiting: watch::Sender::new(0),
        })
    }

    /// From now on they wait, or do not.
    pub fn shut(&self, is: bool) {
        self.shut.send_replace(is);
    }

    /// Returns once one waits.
    pub async fn is_waited_at(&self) {
        let mut waiting = self.waiting.subscribe();
        let waited = tokio::time::timeout(PATIENCE, waiting.wait_for(|count| *count > 0)).await;
        assert!(waited.is_ok(), "no status is about to be written");
    }
}

#[async_trait]
impl Store for Gate {
    async fn acquire(&self, name: &str) -> Result<Epoch, StoreError> {
        self.inner.acquire(name).await
    }

    async fn commit(
        &self,
        epoch: &Epoch,
        guards: &[Guard],
        ops: Vec<Op>,
    ) -> Result<Revision, StoreError> {
        let is_status = |op: &Op| matches!(op, Op::Put(key, _) if key.ends_with("/status"));
        if ops.iter().any(is_status) {
            self.waiting.send_modify(|count| *count += 1);
            let mut shut = self.shut.subscribe();
            let _ = shut.wait_for(|shut| !shut).await;
            self.waiting.send_modify(|count| *count -= 1);
        }
        self.inner.commit(epoch, guards, ops).await
    }

    async fn list(&self, prefix: &str) -> Result<Listing, StoreError> {
        self.inner.list(prefix).await
    }

    async fn watch(&self, prefix: &str, after: Revision) -> Result<Watch, StoreError> {
        self.inner.watch(prefix, after).await
    }
}
