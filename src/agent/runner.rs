//! A running agent: it watches its engine and its part of the store, and keeps a worker for each task.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, broadcast, mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::cache::Cache;
use super::cgroups::Cgroups;
use super::gate::Gate;
use super::greeting::Greeting;
use super::images::{Credentials, Images};
use super::metadata::{self, EndpointKey, Metadata, Protector};
use super::observe::observe;
use super::report::Reporter;
use super::settle::{Settled, Settling};
use super::shared::{AgentConfig, Connection, Link, Shared, Volumes, Wake};
use super::surroundings::Surroundings;
use super::sweep::sweep;
use super::worker::Worker;
use crate::clock::SharedClock;
use crate::engine::{PullProgress, SharedEngine};
use crate::model::TaskId;
use crate::secrets::Secrets;
use crate::store::view::Stopped;
use crate::store::{Changed, Epoch, Key, SharedStore, StoreError, View};

/// Changing calls at once where the engine's CPUs are not known before it first answers.
const CHANGING_CALLS: usize = 8;

/// How long the last report may take when the agent is told to end.
const LAST_REPORT: Duration = Duration::from_secs(3);

/// Why an agent ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// Another agent has taken this instance over: this one may not act any more.
    #[error("{0}")]
    Superseded(#[from] StoreError),
    /// The view of the store was stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// The agent of one container instance.
pub struct Agent {
    shared: Arc<Shared>,
    wakes: mpsc::UnboundedReceiver<Wake>,
}

impl fmt::Debug for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Agent({})", self.shared.config.instance.name)
    }
}

impl Agent {
    /// An agent that has not begun. `epoch` is the right to write this instance's part of the store.
    pub fn new(
        config: AgentConfig,
        engine: SharedEngine,
        store: SharedStore,
        view: Arc<View>,
        epoch: Epoch,
        clock: SharedClock,
    ) -> Self {
        Self::with_credentials(config, engine, store, view, epoch, clock, None)
    }

    /// As [`new`](Self::new), with a source of registry credentials.
    pub fn with_credentials(
        config: AgentConfig,
        engine: SharedEngine,
        store: SharedStore,
        view: Arc<View>,
        epoch: Epoch,
        clock: SharedClock,
        credentials: Option<Credentials>,
    ) -> Self {
        let (sender, wakes) = mpsc::unbounded_channel();
        let settling = Arc::new(Settling::default());
        let reporter = Arc::new(Reporter::new(
            store,
            Arc::clone(&view),
            epoch,
            config.cluster.clone(),
            config.instance.name.clone(),
            Arc::clone(&settling),
        ));
        let shared = Shared {
            cache: Cache::default(),
            images: Arc::new(Images::new(
                Arc::clone(&engine),
                Arc::clone(&clock),
                credentials,
                Arc::clone(&reporter),
            )),
            secrets: Arc::new(Secrets::new(config.folder.clone())),
            surroundings: Surroundings::new(
                Arc::clone(&engine),
                config.cluster.clone(),
                config.owner.clone(),
                config.instance.name.clone(),
            ),
            reporter,
            settling,
            gate: Gate::new(config.tuning.changing_calls.unwrap_or(CHANGING_CALLS)),
            stops: Semaphore::new(config.tuning.stops.max(1)),
            reads: Semaphore::new(config.tuning.reads.max(1)),
            link: Link::default(),
            greeting: Greeting::default(),
            volumes: Volumes::default(),
            metadata: OnceLock::new(),
            cgroups: Cgroups::new(&config.owner),
            wakes: sender,
            config,
            engine,
            view,
            clock,
        };
        Self {
            shared: Arc::new(shared),
            wakes,
        }
    }

    /// As it is, with another way to secrets. Nobody else may have the agent yet.
    #[must_use]
    pub fn with_secrets(mut self, secrets: Arc<Secrets>) -> Self {
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.secrets = secrets;
        }
        self
    }

    /// As it is, with a metadata endpoint for its tasks, whose ids are made from this key, and who grants them protection.
    #[must_use]
    pub fn with_metadata(self, key: EndpointKey, protector: Arc<dyn Protector>) -> Self {
        let _ = self.shared.metadata.set(Metadata::new(key, protector));
        self
    }

    /// Whether its engine answers, as it changes.
    pub fn connection(&self) -> watch::Receiver<Connection> {
        self.shared.link.watch()
    }

    /// When what it found on its engine is in the store, and in the view: before that the statuses there may be those from
    /// before a crash. It follows within seconds of the engine's first answer, also where a task cannot be looked at.
    pub fn settled(&self) -> Settled {
        self.shared.settling.watch()
    }

    /// How far its image pulls are, by reference; one that has ended is gone from it.
    pub fn pulls(&self) -> watch::Receiver<BTreeMap<String, PullProgress>> {
        self.shared.images.progress()
    }

    /// Runs until `cancel`. Containers go on running then; what is known of them is written down first.
    ///
    /// # Errors
    /// When it may not go on: another agent took over, or the view was stopped.
    pub async fn run(mut self, cancel: CancellationToken) -> Result<(), AgentError> {
        let changes = self.shared.view.subscribe();
        self.shared.view.caught_up(0).await?;
        self.shared.recall_images();
        let stop_reports = CancellationToken::new();
        // Dropped with this future, and with it everything it had under way.
        let mut background = JoinSet::new();
        background.spawn(observe(Arc::clone(&self.shared)));
        background.spawn(sweep(Arc::clone(&self.shared)));
        let settling = Arc::clone(&self.shared.settling);
        background.spawn(async move { settling.give_up_in_time().await });
        background.spawn(metadata::run(Arc::clone(&self.shared)));
        let mut reports = JoinSet::new();
        reports.spawn({
            let (shared, stop) = (Arc::clone(&self.shared), stop_reports.clone());
            async move { shared.reporter.run(stop).await }
        });
        let ended = {
            let dispatching = dispatch(&self.shared, &mut self.wakes, changes);
            tokio::select! {
                biased;
                ended = reports.join_next() => ended,
                () = cancel.cancelled() => None,
                () = dispatching => None,
            }
        };
        background.shutdown().await;
        self.shared.clear_groups();
        stop_reports.cancel();
        let ended = match ended {
            Some(ended) => Some(ended),
            None => tokio::time::timeout(LAST_REPORT, reports.join_next())
                .await
                .unwrap_or_else(|_| {
                    tracing::warn!(
                        "the last report could not be written; it is made again at the next start"
                    );
                    None
                }),
        };
        match ended {
            Some(Ok(result)) => result.map_err(AgentError::from),
            _ => Ok(()),
        }
    }
}

/// Workers by task, and how to wake them.
struct Workers {
    shared: Arc<Shared>,
    running: HashMap<TaskId, Arc<Notify>>,
    set: JoinSet<TaskId>,
    /// Which task a worker is for, to tell when one fell over.
    ids: HashMap<tokio::task::Id, TaskId>,
}

async fn dispatch(
    shared: &Arc<Shared>,
    wakes: &mut mpsc::UnboundedReceiver<Wake>,
    mut changes: broadcast::Receiver<Changed>,
) {
    let mut workers = Workers {
        shared: Arc::clone(shared),
        running: HashMap::new(),
        set: JoinSet::new(),
        ids: HashMap::new(),
    };
    workers.wake_all();
    loop {
        tokio::select! {
            biased;
            Some(ended) = workers.set.join_next_with_id(), if !workers.set.is_empty() => {
                workers.ended(ended);
            }
            Some(wake) = wakes.recv() => match wake {
                Wake::Task(id) => workers.wake(id),
                Wake::All => workers.wake_all(),
            },
            change = changes.recv() => match change {
                Ok(Changed::Key(change)) => {
                    let config = &shared.config;
                    let mine = change.instance.as_ref().is_some_and(|(cluster, instance)| {
                        *cluster == config.cluster && *instance == config.instance.name
                    });
                    if let (true, Key::Task(_, id) | Key::TaskLost(_, id)) = (mine, change.key) {
                        workers.wake(id);
                    }
                }
                Ok(Changed::Everything) | Err(broadcast::error::RecvError::Lagged(_)) => {
                    workers.wake_all();
                }
                Err(broadcast::error::RecvError::Closed) => return,
            },
        }
    }
}

impl Workers {
    fn wake(&mut self, id: TaskId) {
        if let Some(wake) = self.running.get(&id) {
            wake.notify_one();
            return;
        }
        let wake = Arc::new(Notify::new());
        let worker = Worker::new(Arc::clone(&self.shared), id.clone(), Arc::clone(&wake));
        let handle = self.set.spawn(worker.run());
        self.ids.insert(handle.id(), id.clone());
        self.running.insert(id, wake);
    }

    /// Every task that is ordered here, and every one that something is left of.
    fn wake_all(&mut self) {
        let mut tasks: Vec<TaskId> = {
            let config = &self.shared.config;
            let state = self.shared.view.read();
            state
                .tasks_of_instance(&config.cluster, &config.instance.name)
                .map(|(id, _)| id.clone())
                .collect()
        };
        tasks.extend(self.shared.cache.tasks());
        tasks.extend(self.shared.volumes.tasks());
        tasks.extend(self.shared.grouped());
        tasks.sort();
        tasks.dedup();
        for task in tasks {
            self.wake(task);
        }
    }

    /// A worker ended: there is nothing left of its task, or it fell over. What came up meanwhile starts a new one.
    fn ended(&mut self, ended: Result<(tokio::task::Id, TaskId), tokio::task::JoinError>) {
        let (worker, fell) = match &ended {
            Ok((worker, _)) => (*worker, false),
            Err(error) => (error.id(), error.is_panic()),
        };
        let Some(id) = self.ids.remove(&worker) else {
            return;
        };
        self.running.remove(&id);
        if fell {
            // The next change or list looks at it again; at once would fall over at once.
            tracing::error!(task = %id, "a task's worker fell over; this is a fault of Longshore");
            return;
        }
        let config = &self.shared.config;
        let ordered = {
            let state = self.shared.view.read();
            state
                .task(&config.cluster, &id)
                .is_some_and(|entry| entry.record.instance == config.instance.name)
        };
        if ordered || !self.shared.cache.of_task(&id).is_empty() {
            self.wake(id);
        }
    }
}
