//! What all parts of a running agent share.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, mpsc, watch};

use super::cache::Cache;
use super::cgroups::Cgroups;
use super::gate::Gate;
use super::greeting::Greeting;
use super::images::Images;
use super::known::is_up;
use super::metadata::Metadata;
use super::report::Reporter;
use super::settle::Settling;
use super::surroundings::Surroundings;
use crate::clock::SharedClock;
use crate::engine::translate::{Context, EngineFacts};
use crate::engine::{
    EngineError, EngineInfo, EngineResult, ErrorKind, ObservedVolume, SharedEngine, labels, pause,
};
use crate::model::{
    ClusterName, ClusterSpec, DesiredStatus, InstanceSpec, PulledImages, TaskId, Timestamp,
};
use crate::secrets::Secrets;
use crate::store::View;

/// Which instance an agent serves, and in whose name.
#[derive(Debug, Clone)]
pub struct AgentConfig {
    /// The cluster.
    pub cluster: ClusterName,
    /// The instance as declared.
    pub instance: InstanceSpec,
    /// The state directory's id, 16 hexadecimal digits.
    pub owner: String,
    /// The highest `longshore.seq` that was accounted for when the store was last compared with its engines
    /// ([`Recovered::max_seq`](super::Recovered::max_seq)); 0 where it was not. A container of no task that is newer than
    /// both this and the store is kept: it is the store that is wrong then.
    pub accounted_seq: u64,
    /// The folder of manifests, absolute: where paths to secrets and files of variables begin.
    pub folder: PathBuf,
    /// How hard it works.
    pub tuning: Tuning,
}

/// How hard an agent works. The defaults were measured (see `docs/benchmarks.md`).
#[derive(Debug, Clone)]
pub struct Tuning {
    /// Calls at once that create, start or remove; absent: from the engine's CPUs.
    pub changing_calls: Option<usize>,
    /// Stops at once. A stop mostly waits for the container's own end.
    pub stops: usize,
    /// Reads at once.
    pub reads: usize,
    /// How long a container that belongs to no task is kept before it is removed.
    pub grace: Duration,
    /// How often everything is listed anew, against event streams that fall silent.
    pub relist: Duration,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            changing_calls: None,
            stops: 64,
            reads: 16,
            grace: Duration::from_secs(60),
            relist: Duration::from_secs(60),
        }
    }
}

/// Whether an agent's engine answers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Connection {
    /// It was not listed yet; nothing is done.
    #[default]
    Starting,
    /// It answers, and all its containers are known.
    Connected,
    /// It does not answer, and why.
    Lost(String),
}

/// Whom to wake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wake {
    Task(TaskId),
    All,
}

/// See the module.
pub(super) struct Shared {
    pub config: AgentConfig,
    pub engine: SharedEngine,
    pub view: Arc<View>,
    pub clock: SharedClock,
    pub cache: Cache,
    pub images: Arc<Images>,
    pub secrets: Arc<Secrets>,
    pub surroundings: Surroundings,
    pub reporter: Arc<Reporter>,
    pub settling: Arc<Settling>,
    pub gate: Gate,
    pub stops: Semaphore,
    pub reads: Semaphore,
    pub link: Link,
    pub greeting: Greeting,
    pub volumes: Volumes,
    /// The tasks' metadata endpoint; none where nobody gave the agent a key for it.
    pub metadata: OnceLock<Metadata>,
    pub cgroups: Cgroups,
    pub wakes: mpsc::UnboundedSender<Wake>,
}

impl Shared {
    /// Looks at a task again, soon.
    pub fn wake(&self, task: TaskId) {
        let _ = self.wakes.send(Wake::Task(task));
    }

    /// What is ordered here, for what waits until all of it was looked at.
    pub fn begin_settling(&self) {
        let config = &self.config;
        let state = self.view.read();
        let ordered = state
            .tasks_of_instance(&config.cluster, &config.instance.name)
            .map(|(id, _)| id.clone());
        self.settling.begin(ordered);
    }

    /// Looks at every task again, soon.
    pub fn wake_all(&self) {
        let _ = self.wakes.send(Wake::All);
    }

    /// Tasks that have a control group here, but for those of this owner's other clusters: their own agents look after them.
    pub fn grouped(&self) -> Vec<TaskId> {
        let mut grouped = self.cgroups.tasks();
        let state = self.view.read();
        let others: BTreeSet<&TaskId> = state
            .tasks
            .keys()
            .filter(|(cluster, _)| *cluster != self.config.cluster)
            .map(|(_, id)| id)
            .collect();
        grouped.retain(|id| !others.contains(id));
        grouped
    }

    /// Removes the control groups of tasks that were forgotten, where a worker was about to as it was ended.
    pub fn clear_groups(&self) {
        let mut forgotten = self.grouped();
        {
            let state = self.view.read();
            forgotten.retain(|id| state.task(&self.config.cluster, id).is_none());
        }
        self.cgroups.clear(&forgotten);
    }

    /// Takes up which images earlier runs of this agent have pulled.
    pub fn recall_images(&self) {
        let pulled = {
            let state = self.view.read();
            let entry = state.instance(&self.config.cluster, &self.config.instance.name);
            let images = entry.and_then(|entry| entry.images.as_ref());
            images.map(|images| PulledImages::clone(images))
        };
        self.images.recall(pulled.unwrap_or_default());
    }

    /// The surroundings of a task that was decided on at the store's revision `seq`.
    ///
    /// # Errors
    /// `Unreachable` before the engine answered for the first time.
    pub fn context(&self, seq: u64) -> EngineResult<Context> {
        let info = self.info()?;
        let cluster = {
            let state = self.view.read();
            state.clusters.get(&self.config.cluster).cloned()
        };
        Ok(Context {
            owner: self.config.owner.clone(),
            instance: self.config.instance.name.clone(),
            network: self.surroundings.network_name(),
            seq,
            pause_image: pause::image_reference(&info.architecture),
            facts: EngineFacts {
                cgroups: self.cgroups.manager(&info),
                ..EngineFacts::from(info.as_ref())
            },
            publish_awsvpc_ports: cluster.as_ref().is_none_or(|c| c.publish_awsvpc_ports),
            log_drivers: cluster
                .as_ref()
                .map(|c| c.log_drivers.clone())
                .unwrap_or_default(),
            file_systems: cluster
                .as_ref()
                .map(|c| c.file_systems.clone())
                .unwrap_or_default(),
        })
    }

    /// The cluster as its manifest declares it now.
    pub fn cluster(&self) -> Arc<ClusterSpec> {
        let state = self.view.read();
        state.clusters.get(&self.config.cluster).map_or_else(
            || Arc::new(ClusterSpec::named(self.config.cluster.clone())),
            |cluster| Arc::clone(&cluster.value),
        )
    }

    /// What the engine said about itself when it last answered.
    ///
    /// # Errors
    /// `Unreachable` before it ever did.
    pub fn info(&self) -> EngineResult<Arc<EngineInfo>> {
        self.link.info().ok_or_else(|| {
            EngineError::new(
                "describe",
                self.config.instance.name.as_str(),
                ErrorKind::Unreachable,
                "the engine has not answered yet",
            )
        })
    }

    /// Whether a task is still ordered to run here. A call that had to wait for its turn asks before it is made.
    pub fn wants(&self, task: &TaskId) -> bool {
        let state = self.view.read();
        let entry = state.task(&self.config.cluster, task);
        entry.is_some_and(|entry| {
            entry.record.instance == self.config.instance.name
                && entry.record.desired == DesiredStatus::Running
                && entry.lost.is_none()
        })
    }

    /// Whether a task that was given up with its instance still runs here. It is stopped before anything is started.
    pub fn lost_task_runs(&self) -> bool {
        let state = self.view.read();
        state
            .lost_tasks_of_instance(&self.config.cluster, &self.config.instance.name)
            .any(|(id, entry)| {
                let over = entry.status.as_ref().is_some_and(|s| s.is_stopped());
                !over
                    && self
                        .cache
                        .of_task(id)
                        .values()
                        .any(|found| is_up(found.state))
            })
    }
}

/// The connection to the engine, as the observer finds it.
#[derive(Debug, Default)]
pub(super) struct Link {
    info: Mutex<Option<Arc<EngineInfo>>>,
    /// When it last answered.
    answered: Mutex<Option<Timestamp>>,
    state: watch::Sender<Connection>,
    /// Rises with every session: what failed because the engine was away is tried again at once.
    session: AtomicU64,
    doubt: Notify,
}

impl Link {
    pub fn info(&self) -> Option<Arc<EngineInfo>> {
        self.lock().clone()
    }

    pub fn watch(&self) -> watch::Receiver<Connection> {
        self.state.subscribe()
    }

    pub fn is_up(&self) -> bool {
        *self.state.borrow() == Connection::Connected
    }

    pub fn session(&self) -> u64 {
        self.session.load(Ordering::Acquire)
    }

    /// It answered.
    pub fn answered(&self, at: Timestamp) {
        *self.answered.lock().unwrap_or_else(PoisonError::into_inner) = Some(at);
    }

    pub fn answered_at(&self) -> Option<Timestamp> {
        *self.answered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It answers, and was listed.
    pub fn up(&self, info: EngineInfo) {
        *self.lock() = Some(Arc::new(info));
        self.session.fetch_add(1, Ordering::AcqRel);
        self.state.send_replace(Connection::Connected);
    }

    /// It does not answer. Whether that is news.
    pub fn down(&self, why: &str) -> bool {
        let was = self.state.send_replace(Connection::Lost(why.to_owned()));
        !matches!(was, Connection::Lost(_))
    }

    /// A call could not reach it: the observer looks.
    pub fn suspect(&self) {
        self.doubt.notify_one();
    }

    pub async fn suspected(&self) {
        self.doubt.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<EngineInfo>>> {
        self.info.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The volumes of tasks, by task. Needed only to remove them.
#[derive(Debug, Default)]
pub(super) struct Volumes(Mutex<HashMap<TaskId, BTreeSet<String>>>);

impl Volumes {
    pub fn add(&self, task: &TaskId, volume: &str) {
        self.lock()
            .entry(task.clone())
            .or_default()
            .insert(volume.to_owned());
    }

    pub fn remove(&self, task: &TaskId, volume: &str) {
        let mut all = self.lock();
        if let Some(of_task) = all.get_mut(task) {
            of_task.remove(volume);
            if of_task.is_empty() {
                all.remove(task);
            }
        }
    }

    /// Takes in a list of the engine's volumes. One that is gone stays known until it is removed, which then says so.
    pub fn list(&self, listed: &[ObservedVolume]) {
        for volume in listed {
            if let Some(task) = volume.labels.get(labels::TASK) {
                self.add(&TaskId::new(task.as_str()), &volume.name);
            }
        }
    }

    pub fn of_task(&self, task: &TaskId) -> BTreeSet<String> {
        self.lock().get(task).cloned().unwrap_or_default()
    }

    pub fn tasks(&self) -> Vec<TaskId> {
        self.lock().keys().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TaskId, BTreeSet<String>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
