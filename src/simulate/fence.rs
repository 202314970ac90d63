//! Between a process and its world: everything that it does to the world goes through here, and once the process has died
//! nothing goes through any more, in either direction: not a call, not an answer, not an event. What it had sent is still
//! done, as with a real `kill -9`.
//!
//! A [`Warden`] at the fence sees every passage and may let the others go first: the order in which tasks are polled is tokio's
//! own, always the same, and whoever passes here is where another order would have been as good.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::engine::simulated::Simulated;
use crate::engine::{
    Attachment, CreateBody, Engine, EngineEvent, EngineInfo, EngineResult, EngineRun, EngineStream,
    ExecOptions, ExecSession, ImageInfo, LabelFilter, ListedImage, LogOptions, NetworkBody,
    ObservedContainer, ObservedNetwork, ObservedVolume, OutputChunk, PullProgress, RegistryAuth,
    VolumeBody,
};
use crate::model::Timestamp;
use crate::store::{Epoch, Guard, Listing, Op, Revision, SharedStore, Store, StoreError, Watch};

/// Who stands at a fence.
pub trait Warden: Send + Sync {
    /// Something passes: what, and to or from whom.
    fn sees(&self, what: &'static str, whom: &str);

    /// How often whoever passes now lets everybody else go first.
    fn turns(&self) -> u32;
}

/// See the [module's documentation](self).
#[derive(Default)]
pub struct Fence {
    dead: CancellationToken,
    /// The process dies at so many passages from now.
    countdown: Mutex<Option<u64>>,
    warden: Option<Arc<dyn Warden>>,
}

impl std::fmt::Debug for Fence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Fence(dead: {})", self.is_dead())
    }
}

impl Fence {
    /// A fence with somebody at it.
    pub fn guarded(warden: Option<Arc<dyn Warden>>) -> Self {
        Self {
            warden,
            ..Self::default()
        }
    }

    /// The process is dead from now on.
    pub fn kill(&self) {
        self.dead.cancel();
    }

    /// It dies at the `nth` passage from now; at once for 0.
    pub fn kill_at(&self, nth: u64) {
        if nth == 0 {
            self.kill();
        }
        *self.lock() = Some(nth);
    }

    /// Whether it is dead.
    pub fn is_dead(&self) -> bool {
        self.dead.is_cancelled()
    }

    /// Is cancelled when it dies.
    pub fn death(&self) -> CancellationToken {
        self.dead.child_token()
    }

    /// Returns once it is dead.
    pub async fn died(&self) {
        self.dead.cancelled().await;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<u64>> {
        self.countdown
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Whoever awaits this comes after some of those who are ready now, as the warden says.
    async fn turn(&self, what: &'static str, whom: &str) {
        let Some(warden) = &self.warden else {
            return;
        };
        warden.sees(what, whom);
        for _ in 0..warden.turns() {
            tokio::task::yield_now().await;
        }
    }

    /// Passes through the fence once, in one direction.
    async fn pass(&self, what: &'static str, whom: &str) {
        self.turn(what, whom).await;
        match self.lock().as_mut() {
            Some(0) => self.dead.cancel(),
            Some(left) => *left -= 1,
            None => {}
        }
        if self.is_dead() {
            std::future::pending::<()>().await;
        }
    }

    /// Takes a call through, and its answer back. It never returns once the process is dead.
    pub async fn call<T>(
        &self,
        what: &'static str,
        whom: &str,
        call: impl Future<Output = T>,
    ) -> T {
        self.pass(what, whom).await;
        let answer = tokio::select! {
            biased;
            () = self.dead.cancelled() => std::future::pending().await,
            answer = call => answer,
        };
        self.pass("answer", what).await;
        answer
    }
}

/// An engine behind the fence.
#[derive(Debug)]
pub struct FencedEngine {
    inner: Arc<Simulated>,
    /// What the warden knows it by.
    name: String,
    fence: Arc<Fence>,
}

impl FencedEngine {
    /// `inner` for whoever is behind `fence`.
    pub fn new(inner: Arc<Simulated>, fence: Arc<Fence>) -> Arc<Self> {
        let name = inner.name();
        Arc::new(Self { inner, name, fence })
    }
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
                self.fence.call(stringify!($name), &self.name, self.inner.$name($($arg),*)).await
            })*

            async fn events(
                &self,
                since: Option<Timestamp>,
            ) -> EngineResult<EngineStream<EngineEvent>> {
                let call = self.inner.events(since);
                let events = self.fence.call("events", &self.name, call).await?;
                let dead = self.fence.dead.clone().cancelled_owned();
                let fence = Arc::clone(&self.fence);
                let events = events.then(move |event| {
                    let fence = Arc::clone(&fence);
                    async move {
                        fence.turn("event", "").await;
                        event
                    }
                });
                Ok(events.take_until(dead).boxed())
            }

            async fn attach_stdin(&self, id: &str) -> EngineResult<Box<dyn Attachment>> {
                let call = self.inner.attach_stdin(id);
                let inner = self.fence.call("attach_stdin", &self.name, call).await?;
                Ok(Box::new(FencedAttachment::new(inner, self.fence.dead.clone())))
            }
        }
    };
}

through! {
    info() -> EngineInfo;
    greet() -> EngineRun;
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

/// A store behind the fence.
#[derive(Debug)]
pub struct FencedStore {
    inner: SharedStore,
    fence: Arc<Fence>,
}

impl FencedStore {
    /// `inner` for whoever is behind `fence`.
    pub fn new(inner: SharedStore, fence: Arc<Fence>) -> Arc<Self> {
        Arc::new(Self { inner, fence })
    }
}

#[async_trait]
impl Store for FencedStore {
    async fn acquire(&self, name: &str) -> Result<Epoch, StoreError> {
        let call = self.inner.acquire(name);
        self.fence.call("acquire", name, call).await
    }

    async fn commit(
        &self,
        epoch: &Epoch,
        guards: &[Guard],
        ops: Vec<Op>,
    ) -> Result<Revision, StoreError> {
        let call = self.inner.commit(epoch, guards, ops);
        self.fence.call("commit", &epoch.name, call).await
    }

    async fn list(&self, prefix: &str) -> Result<Listing, StoreError> {
        let call = self.inner.list(prefix);
        self.fence.call("list", prefix, call).await
    }

    async fn watch(&self, prefix: &str, after: Revision) -> Result<Watch, StoreError> {
        let call = self.inner.watch(prefix, after);
        let watch = self.fence.call("watch", prefix, call).await?;
        let dead = self.fence.dead.clone().cancelled_owned();
        let fence = Arc::clone(&self.fence);
        let watch = watch.then(move |event| {
            let fence = Arc::clone(&fence);
            async move {
                fence.turn("news", "").await;
                event
            }
        });
        Ok(watch.take_until(dead).boxed())
    }
}
