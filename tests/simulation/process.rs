//! One life of the Longshore process: the daemon's core behind a fence. Everything that it does to the world goes through the
//! fence, and once the process has died nothing goes through it any more, in either direction: not a call, not an answer, not
//! an event. What it had sent is still done, as with a real `kill -9`.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use longshore::clock::{SharedClock, SharedIds};
use longshore::daemon::{Core, EngineChoice, Engines, Mode, Options, Parts, take_store};
use longshore::engine::lease::Holder;
use longshore::engine::simulated::Simulated;
use longshore::engine::{
    Attachment, CreateBody, Engine, EngineEvent, EngineInfo, EngineResult, EngineStream,
    ExecOptions, ExecSession, ImageInfo, LabelFilter, ListedImage, LogOptions, NetworkBody,
    ObservedContainer, ObservedNetwork, ObservedVolume, OutputChunk, PullProgress, RegistryAuth,
    SharedEngine, VolumeBody,
};
use longshore::manifest::source::Scan;
use longshore::model::EngineEndpoint;
use longshore::store::{
    Claimant, Epoch, Guard, Listing, Memory, Op, Revision, Store, StoreError, View, Watch,
};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use super::dice::Dice;
use super::folder::Folder;
use super::record::Record;

pub const OWNER: &str = "51e0000000000001";

/// Between the process and the world.
#[derive(Debug)]
pub struct Fence {
    dead: CancellationToken,
    /// The process dies at so many calls from now.
    countdown: Mutex<Option<u64>>,
    /// Commits of a thousand whose answer is an error; half of them are applied.
    store_faults: u64,
    /// So many commits from now fail.
    refused: Mutex<u64>,
}

impl Fence {
    /// Whether the next commit fails.
    fn refuses(&self) -> bool {
        let mut left = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let refuses = *left > 0;
        *left = left.saturating_sub(1);
        refuses
    }

    /// Passes through the fence once, in one direction.
    async fn pass(&self) {
        {
            let mut countdown = self
                .countdown
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            match countdown.as_mut() {
                Some(0) => self.dead.cancel(),
                Some(left) => *left -= 1,
                None => {}
            }
        }
        if self.dead.is_cancelled() {
            std::future::pending::<()>().await;
        }
    }

    async fn call<T>(&self, call: impl Future<Output = T>) -> T {
        self.pass().await;
        let answer = tokio::select! {
            biased;
            () = self.dead.cancelled() => std::future::pending().await,
            answer = call => answer,
        };
        self.pass().await;
        answer
    }
}

#[derive(Debug)]
struct FencedEngine {
    inner: Arc<Simulated>,
    fence: Arc<Fence>,
}

/// An attachment that is held on its own, so that it ends with the process wherever the process just was.
struct FencedAttachment {
    ended: CancellationToken,
    _held: AbortOnDropHandle<()>,
}

impl FencedAttachment {
    fn new(mut inner: Box<dyn Attachment>, dead: CancellationToken) -> Self {
        let ended = CancellationToken::new();
        let said = ended.clone();
        let held = tokio::spawn(async move {
            let died = dead.run_until_cancelled(inner.ended()).await.is_none();
            drop(inner);
            if !died {
                said.cancel();
            }
        });
        Self {
            ended,
            _held: AbortOnDropHandle::new(held),
        }
    }
}

#[async_trait]
impl Attachment for FencedAttachment {
    async fn ended(&mut self) {
        self.ended.cancelled().await;
    }
}

macro_rules! through {
    ($($name:ident($($arg:ident: $type:ty),*) -> $out:ty;)*) => {
        #[async_trait]
        impl Engine for FencedEngine {
            $(async fn $name(&self, $($arg: $type),*) -> EngineResult<$out> {
                self.fence.call(self.inner.$name($($arg),*)).await
            })*

            async fn events(
                &self,
                since: Option<longshore::model::Timestamp>,
            ) -> EngineResult<EngineStream<EngineEvent>> {
                let events = self.fence.call(self.inner.events(since)).await?;
                let dead = self.fence.dead.clone().cancelled_owned();
                Ok(events.take_until(dead).boxed())
            }

            async fn attach_stdin(&self, id: &str) -> EngineResult<Box<dyn Attachment>> {
                let inner = self.fence.call(self.inner.attach_stdin(id)).await?;
                Ok(Box::new(FencedAttachment::new(inner, self.fence.dead.clone())))
            }
        }
    };
}

through! {
    info() -> EngineInfo;
    list_containers(labels: &LabelFilter) -> Vec<ObservedContainer>;
    inspect_container(id: &str) -> ObservedContainer;
    create_container(name: &str, body: &CreateBody) -> String;
    start_container(id: &str) -> ();
    stop_container(id: &str, timeout: u32) -> ();
    remove_container(id: &str) -> ();
    image(reference: &str) -> Option<ImageInfo>;
    list_images() -> Vec<ListedImage>;
    pull_image(
        reference: &str,
        platform: Option<&str>,
        auth: Option<&RegistryAuth>,
        progress: &(dyn Fn(PullProgress) + Send + Sync)
    ) -> ();
    import_image(reference: &str, rootfs: Bytes, changes: &[String]) -> ();
    upload(id: &str, path: &str, archive: Bytes) -> ();
    remove_image(reference: &str) -> ();
    list_networks(labels: &LabelFilter) -> Vec<ObservedNetwork>;
    create_network(body: &NetworkBody) -> String;
    remove_network(id: &str) -> ();
    list_volumes(labels: &LabelFilter) -> Vec<ObservedVolume>;
    inspect_volume(name: &str) -> ObservedVolume;
    create_volume(body: &VolumeBody) -> ();
    remove_volume(name: &str) -> ();
    logs(id: &str, options: &LogOptions) -> EngineStream<OutputChunk>;
    exec(id: &str, options: &ExecOptions) -> ExecSession;
    stats(id: &str) -> serde_json::Value;
    exec_exit_code(exec: &str) -> Option<i64>;
    exec_resize(exec: &str, size: (u16, u16)) -> ();
}

#[derive(Debug)]
struct FencedStore {
    inner: Arc<Memory>,
    fence: Arc<Fence>,
    record: Arc<Record>,
    dice: Dice,
}

#[async_trait]
impl Store for FencedStore {
    async fn acquire(&self, name: &str) -> Result<Epoch, StoreError> {
        self.fence.call(self.inner.acquire(name)).await
    }

    async fn commit(
        &self,
        epoch: &Epoch,
        guards: &[Guard],
        ops: Vec<Op>,
    ) -> Result<Revision, StoreError> {
        let commit = async {
            let refused = self.fence.refuses();
            let fails = refused || self.dice.below(1000) < self.fence.store_faults;
            let applied = !refused && (!fails || self.dice.chance(50));
            let mut result = Err(StoreError::Unavailable {
                operation: "commit",
                message: "a fault of the simulation".to_owned(),
                maybe_applied: true,
            });
            if applied {
                let kept = ops.clone();
                let done = self.inner.commit(epoch, guards, ops).await;
                if let Ok(revision) = &done {
                    self.record.committed(*revision, &kept);
                }
                // A refusal is an answer; what fails is the way back of a success.
                if !fails || done.is_err() {
                    result = done;
                }
            }
            result
        };
        self.fence.call(commit).await
    }

    async fn list(&self, prefix: &str) -> Result<Listing, StoreError> {
        self.fence.call(self.inner.list(prefix)).await
    }

    async fn watch(&self, prefix: &str, after: Revision) -> Result<Watch, StoreError> {
        let watch = self.fence.call(self.inner.watch(prefix, after)).await?;
        let dead = self.fence.dead.clone().cancelled_owned();
        Ok(watch.take_until(dead).boxed())
    }
}

/// What outlives every process.
pub struct Outside {
    pub engines: Vec<(String, Arc<Simulated>)>,
    pub store: Arc<Memory>,
    pub clock: SharedClock,
    pub ids: SharedIds,
    pub record: Arc<Record>,
    pub dice: Dice,
}

/// A process that runs.
pub struct Process {
    fence: Arc<Fence>,
    scans: mpsc::Sender<Scan>,
    fatal: watch::Receiver<Option<String>>,
}

impl Process {
    /// Starts as the daemon does: the view, the core, then the folder.
    pub fn start(outside: &Outside, folder: &Folder, store_faults: u64) -> Self {
        let fence = Arc::new(Fence {
            dead: CancellationToken::new(),
            countdown: Mutex::new(None),
            store_faults,
            refused: Mutex::new(0),
        });
        let store: longshore::store::SharedStore = Arc::new(FencedStore {
            inner: Arc::clone(&outside.store),
            fence: Arc::clone(&fence),
            record: Arc::clone(&outside.record),
            dice: outside.dice.clone(),
        });
        let mut engines = Engines::new(
            EngineChoice::Simulated,
            Arc::clone(&outside.clock),
            Arc::clone(&outside.ids),
        );
        for (name, inner) in &outside.engines {
            let engine: SharedEngine = Arc::new(FencedEngine {
                inner: Arc::clone(inner),
                fence: Arc::clone(&fence),
            });
            engines = engines.with(&EngineEndpoint::Address(Folder::address(name)), engine);
        }
        let (scans, receiver) = mpsc::channel(64);
        let (said, fatal) = watch::channel(None);
        let _ = scans.try_send(folder.scan());
        let life = Life {
            store,
            engines,
            clock: Arc::clone(&outside.clock),
            ids: Arc::clone(&outside.ids),
            scans: receiver,
            said,
        };
        tokio::spawn(life.live());
        Self {
            fence,
            scans,
            fatal,
        }
    }

    /// Hands it what the folder holds now.
    pub fn read(&self, folder: &Folder) {
        let _ = self.scans.try_send(folder.scan());
    }

    /// It dies at the `nth` passage through its fence from now; at once for 0.
    pub fn dies_at(&self, nth: u64) {
        if nth == 0 {
            self.kill();
        }
        *self
            .fence
            .countdown
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(nth);
    }

    /// The next commits fail, so many of them, and nothing of them is applied.
    pub fn store_refuses(&self, commits: u64) {
        *self
            .fence
            .refused
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = commits;
    }

    /// Kills it.
    pub fn kill(&self) {
        self.fence.dead.cancel();
    }

    pub fn is_dead(&self) -> bool {
        self.fence.dead.is_cancelled()
    }

    pub async fn died(&self) {
        self.fence.dead.cancelled().await;
    }

    /// Why it gave up by itself, if it did.
    pub fn gave_up(&self) -> Option<String> {
        self.fatal.borrow().clone()
    }
}

/// The order of `Daemon::start`.
struct Life {
    store: longshore::store::SharedStore,
    engines: Engines,
    clock: SharedClock,
    ids: SharedIds,
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
        let folder = PathBuf::from("/sim/manifests");
        let found_at = view.read().revision;
        let claimant = Claimant {
            folder: folder.display().to_string(),
            owner: OWNER.to_owned(),
            version: "simulation".to_owned(),
            take_over: false,
        };
        while let Err(error) = take_store(&self.store, &view, &claimant, self.clock.now()).await {
            // Whoever keeps the service up starts it again.
            tracing::warn!("{error}");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let started = self.clock.now().to_string();
        let parts = Parts {
            options: Options {
                folder: folder.clone(),
                state_dir: None,
                socket: None,
                engine: EngineChoice::Simulated,
                allow_empty: false,
                take_over: false,
                poll: false,
                mode: Mode::Follow,
            },
            owner: OWNER.to_owned(),
            folder,
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
