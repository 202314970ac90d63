//! The controller at work: follows the view, plans the services that something happened to, and records the plans.
//!
//! * One worker a service, several services at once. A service is planned when its record or its tasks changed, when an
//!   instance of its cluster did, when the folder says something new about it, and when its last plan asked to be woken.
//! * A plan sees a view that holds this process's own last write; it is recorded in one commit under guards on the service's
//!   record and on the books of every instance it places on. A commit that met somebody else's write is not applied:
//!   look again, decide again.
//! * Standalone tasks are looked after a cluster at a time, in the same way.
//! * Only one commit at a time touches the books, so that services do not chase each other over one instance.
//!
//! Failure modes: a store that cannot be reached is tried again, ever more slowly; an epoch that is no longer ours ends
//! [`Controller::run`] with an error, because somebody else now decides.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{Notify, broadcast, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::commit;
use super::inputs::{Inputs, Targets};
use super::queue::Queue;
use super::registrar;
use crate::clock::{SharedClock, SharedIds};
use crate::model::{ClusterName, Desired, NoticeKind, Timestamp};
use crate::store::state::ServiceKey;
use crate::store::view::Stopped;
use crate::store::{Changed, Epoch, Key, KeyChange, SharedStore, State, StoreError, View};

/// Services that are planned at the same time.
const AT_ONCE: usize = 16;
/// Pause after a failure; doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Why the controller stopped.
#[derive(Debug, thiserror::Error)]
pub enum ControllerError {
    /// Another process took over: nothing may be written any more.
    #[error("this controller no longer decides: {0}")]
    Superseded(StoreError),
    /// The view of the store was stopped under it.
    #[error("the controller cannot see the store: {0}")]
    Blind(#[from] Stopped),
}

/// What is looked at as one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    /// A service.
    Service(ServiceKey),
    /// The standalone tasks of a cluster.
    Standalone(ClusterName),
}

impl Subject {
    fn cluster(&self) -> &ClusterName {
        match self {
            Self::Service((cluster, _)) | Self::Standalone(cluster) => cluster,
        }
    }
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Service((cluster, name)) => write!(f, "service {name} of cluster {cluster}"),
            Self::Standalone(cluster) => write!(f, "standalone tasks of cluster {cluster}"),
        }
    }
}

/// See the [module's documentation](self).
pub struct Controller {
    pub(super) store: SharedStore,
    pub(super) view: Arc<View>,
    pub(super) epoch: Epoch,
    pub(super) clock: SharedClock,
    pub(super) ids: SharedIds,
    /// When it began to watch the instances.
    pub(super) since: Timestamp,
    /// What was set last and not taken up yet.
    wanted: Mutex<Option<Arc<Desired>>>,
    news: Notify,
    /// Clusters of which nothing is decided at present.
    pub(super) closed: watch::Sender<BTreeSet<ClusterName>>,
    /// What is followed; `None` until the folder was taken up for the first time.
    pub(super) following: watch::Sender<Option<Arc<Targets>>>,
    /// Held from reading the books, and what specifications are stored, to having written them.
    pub(super) booking: tokio::sync::Mutex<()>,
}

impl Controller {
    /// A controller that writes in the name of `epoch`. It does nothing until [`run`](Self::run), and nothing before it was
    /// first told what is [desired](Self::set_desired).
    pub fn new(
        store: SharedStore,
        view: Arc<View>,
        epoch: Epoch,
        clock: SharedClock,
        ids: SharedIds,
    ) -> Arc<Self> {
        Arc::new(Self {
            store,
            view,
            epoch,
            since: clock.now(),
            clock,
            ids,
            wanted: Mutex::new(None),
            news: Notify::new(),
            closed: watch::Sender::default(),
            following: watch::Sender::new(None),
            booking: tokio::sync::Mutex::new(()),
        })
    }

    /// What the folder asks for now. Whatever service is not in it is drained. The latest call counts; one that brings
    /// nothing new costs nothing.
    pub fn set_desired(&self, desired: Arc<Desired>) {
        *self.wanted.lock().unwrap_or_else(PoisonError::into_inner) = Some(desired);
        self.news.notify_one();
    }

    /// Decides nothing about these clusters from now on, and again about all others: of a cluster that is closed it is not known
    /// what runs there, or somebody else holds it. What was being decided may still be recorded.
    pub fn set_closed(&self, closed: BTreeSet<ClusterName>) {
        self.closed.send_if_modified(|current| {
            let changed = *current != closed;
            *current = closed;
            changed
        });
    }

    /// Whether nothing is decided about that cluster at present.
    pub fn is_closed(&self, cluster: &ClusterName) -> bool {
        self.closed.borrow().contains(cluster)
    }

    /// Works until `cancel` (then `Ok`) or until it may not write any more. What was being recorded when it was cancelled
    /// may or may not have been.
    pub async fn run(self: &Arc<Self>, cancel: CancellationToken) -> Result<(), ControllerError> {
        let changes = self.view.subscribe();
        let mut closed = self.closed.subscribe();
        let shut = closed.borrow_and_update().clone();
        let run = Run {
            controller: self,
            closed: shut,
            closing: closed,
            targets: None,
            queue: Queue::new(),
            passes: FuturesUnordered::new(),
            failures: BTreeMap::new(),
            registering: None,
            register_at: None,
            register_failures: 0,
        };
        match cancel.run_until_cancelled(run.until_error(changes)).await {
            None => Ok(()),
            Some(error) => Err(error),
        }
    }

    fn take_wanted(&self) -> Option<Arc<Desired>> {
        self.wanted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    fn put_back(&self, desired: Arc<Desired>) {
        self.wanted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(desired);
    }

    /// Plans one service and records the plan, until there is nothing left to record now. Returns when to look again.
    async fn pass(&self, targets: &Targets, key: &ServiceKey) -> Result<Option<Timestamp>, Halt> {
        let mut books = false;
        loop {
            let now = self.clock.now();
            let read = || Inputs::read(&self.view.read(), targets, key).watched_since(self.since);
            // A plan that was made without the books in hand, and then needs them, has to be made again.
            let mut booking = match books {
                true => Some(self.booking.lock().await),
                false => self.booking.try_lock().ok(),
            };
            let inputs = read();
            let plan = inputs.plan(&self.epoch, now);
            let settled = commit::settled(&inputs.instances, &inputs.tasks);
            books = commit::books(&plan, &settled);
            if !books {
                booking = None;
            } else if booking.is_none() {
                continue;
            }
            let ids = self.ids.as_ref();
            let recording = commit::record(&inputs, &settled, plan, &self.epoch, ids, now);
            let plan = recording.plan;
            if recording.txn.is_empty() {
                return Ok(plan.wake_at);
            }
            let revision = recording.txn.commit(&self.store).await?;
            for decision in &plan.decisions {
                tracing::debug!(cluster = %key.0, service = %key.1, "{decision}");
            }
            self.view.caught_up(revision).await?;
            drop(booking);
            if !recording.more {
                return Ok(plan.wake_at);
            }
        }
    }

    async fn look(&self, targets: &Targets, subject: &Subject) -> Result<Option<Timestamp>, Halt> {
        match subject {
            Subject::Service(key) => self.pass(targets, key).await,
            Subject::Standalone(cluster) => self.keep_standalone(cluster).await,
        }
    }

    /// Writes what a new folder content needs, and returns what services are to follow.
    async fn register(&self, desired: &Arc<Desired>) -> Result<Targets, Halt> {
        // A specification that is stored now must not be forgotten before what names it is written.
        let _booking = self.booking.lock().await;
        let (targets, commits) = {
            let state = self.view.read();
            registrar::register(&state, desired, &self.epoch, self.clock.now())
        };
        for txn in commits {
            let revision = txn.commit(&self.store).await?;
            self.view.caught_up(revision).await?;
        }
        Ok(targets)
    }
}

/// Why a pass ended without an answer.
pub(super) enum Halt {
    /// Somebody wrote first, and the view does not show it yet.
    Conflict(String),
    /// To be tried again later.
    Failed(StoreError),
    /// To be given up.
    Fatal(ControllerError),
}

impl From<StoreError> for Halt {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict { key } => Self::Conflict(key),
            StoreError::Superseded { .. } => Self::Fatal(ControllerError::Superseded(error)),
            other => Self::Failed(other),
        }
    }
}

impl From<Stopped> for Halt {
    fn from(stopped: Stopped) -> Self {
        Self::Fatal(stopped.into())
    }
}

type Passed = (Subject, Result<Option<Timestamp>, Halt>);
type Registered = (Arc<Desired>, Result<Targets, Halt>);

struct Run<'a> {
    controller: &'a Arc<Controller>,
    /// The closed clusters as they were last compared.
    closed: BTreeSet<ClusterName>,
    closing: watch::Receiver<BTreeSet<ClusterName>>,
    targets: Option<Arc<Targets>>,
    queue: Queue<Subject>,
    passes: FuturesUnordered<BoxFuture<'a, Passed>>,
    /// Failures in a row.
    failures: BTreeMap<Subject, u32>,
    /// What was set and is being registered. Beside the passes: one of them may hold what it waits for.
    registering: Option<BoxFuture<'a, Registered>>,
    /// When to try again to register what was set.
    register_at: Option<Instant>,
    register_failures: u32,
}

impl Run<'_> {
    async fn until_error(mut self, mut changes: broadcast::Receiver<Changed>) -> ControllerError {
        if let Err(stopped) = self.controller.view.caught_up(0).await {
            return stopped.into();
        }
        loop {
            self.begin_due();
            let next = match self.passes.len() < AT_ONCE {
                true => self.queue.next_at(),
                false => None,
            };
            let outcome = tokio::select! {
                biased;
                Some((key, passed)) = self.passes.next() => self.passed(key, passed),
                registered = until(&mut self.registering) => self.registered(registered),
                () = self.controller.news.notified(), if self.registering.is_none() => {
                    self.take_up();
                    Ok(())
                }
                () = at(self.register_at), if self.registering.is_none() => {
                    self.take_up();
                    Ok(())
                }
                Ok(()) = self.closing.changed() => {
                    self.reopened();
                    Ok(())
                }
                change = changes.recv() => self.all_changed(change, &mut changes),
                () = at(next) => Ok(()),
            };
            if let Err(error) = outcome {
                return error;
            }
        }
    }

    /// Begins a pass for everything that is due.
    fn begin_due(&mut self) {
        let Some(targets) = &self.targets else {
            return;
        };
        while self.passes.len() < AT_ONCE {
            let Some(key) = self.queue.pop(Instant::now()) else {
                break;
            };
            let controller = self.controller;
            // All of it is looked at again when the cluster opens.
            if controller.is_closed(key.cluster()) {
                self.queue.done(&key);
                continue;
            }
            let targets = Arc::clone(targets);
            self.passes.push(Box::pin(async move {
                let passed = controller.look(&targets, &key).await;
                (key, passed)
            }));
        }
    }

    fn passed(
        &mut self,
        key: Subject,
        passed: Result<Option<Timestamp>, Halt>,
    ) -> Result<(), ControllerError> {
        self.queue.done(&key);
        let failures = match passed {
            Ok(wake_at) => {
                self.failures.remove(&key);
                if let Some(wake_at) = wake_at {
                    // The next whole millisecond: a plan at the very instant must find it reached.
                    let wait = wake_at.since(self.controller.clock.now());
                    self.queue.push(key, Instant::now() + wait);
                }
                return Ok(());
            }
            Err(Halt::Fatal(error)) => return Err(error),
            Err(halt) => {
                let failures = self.failures.entry(key.clone()).or_default();
                *failures += 1;
                halt.say(&key.to_string(), *failures);
                *failures
            }
        };
        self.queue.push(key, Instant::now() + pause(failures));
        Ok(())
    }

    /// Begins to register what was set last.
    fn take_up(&mut self) {
        self.register_at = None;
        let controller = self.controller;
        self.registering = controller.take_wanted().map(|desired| {
            let register = async move {
                let registered = controller.register(&desired).await;
                (desired, registered)
            };
            Box::pin(register) as BoxFuture<'_, Registered>
        });
    }

    /// Looks at every service that what was registered changes.
    fn registered(&mut self, (desired, registered): Registered) -> Result<(), ControllerError> {
        self.registering = None;
        match registered {
            Ok(targets) => {
                self.register_failures = 0;
                self.follow(targets);
                Ok(())
            }
            Err(Halt::Fatal(error)) => Err(error),
            Err(halt) => {
                self.controller.put_back(desired);
                self.register_failures += 1;
                halt.say("the folder's content", self.register_failures);
                self.register_at = Some(Instant::now() + pause(self.register_failures));
                Ok(())
            }
        }
    }

    fn follow(&mut self, targets: Targets) {
        let keys: Vec<Subject> = {
            let state = self.controller.view.read();
            let old = self.targets.as_deref();
            let old = old.map(|old| (old, old.clusters_changed(&targets)));
            let differs = |subject: &Subject| match (&old, subject) {
                (Some((old, changed)), Subject::Service(key)) => {
                    changed.contains(&key.0) || !old.agrees_on(&targets, &state, key)
                }
                (Some(_), Subject::Standalone(_)) => false,
                (None, _) => true,
            };
            let mut all = subjects(&targets, &state);
            all.retain(differs);
            all
        };
        let targets = Arc::new(targets);
        self.controller
            .following
            .send_replace(Some(Arc::clone(&targets)));
        self.targets = Some(targets);
        self.look_at(keys);
    }

    /// Looks at everything in the clusters that were closed and are not any more.
    fn reopened(&mut self) {
        let now = self.closing.borrow_and_update().clone();
        let before = std::mem::replace(&mut self.closed, now);
        let Some(targets) = self.targets.clone() else {
            return;
        };
        let mut keys = subjects(&targets, &self.controller.view.read());
        keys.retain(|key| before.contains(key.cluster()) && !self.closed.contains(key.cluster()));
        self.look_at(keys);
    }

    fn look_at(&mut self, keys: impl IntoIterator<Item = Subject>) {
        let now = Instant::now();
        for key in keys {
            self.queue.push(key, now);
        }
    }

    /// Takes in a change and all others that are there by now: a commit has many, and what they concern is looked at once.
    fn all_changed(
        &mut self,
        first: Result<Changed, broadcast::error::RecvError>,
        changes: &mut broadcast::Receiver<Changed>,
    ) -> Result<(), ControllerError> {
        self.changed(first)?;
        loop {
            let next = match changes.try_recv() {
                Ok(change) => Ok(change),
                Err(broadcast::error::TryRecvError::Empty) => return Ok(()),
                Err(broadcast::error::TryRecvError::Lagged(missed)) => {
                    Err(broadcast::error::RecvError::Lagged(missed))
                }
                Err(broadcast::error::TryRecvError::Closed) => {
                    Err(broadcast::error::RecvError::Closed)
                }
            };
            self.changed(next)?;
        }
    }

    fn changed(
        &mut self,
        change: Result<Changed, broadcast::error::RecvError>,
    ) -> Result<(), ControllerError> {
        let Some(targets) = self.targets.clone() else {
            return match change {
                Err(broadcast::error::RecvError::Closed) => Err(Stopped.into()),
                _ => Ok(()),
            };
        };
        match change {
            Ok(Changed::Key(change)) => {
                let keys = {
                    let state = self.controller.view.read();
                    concerned(&change, &targets, &state)
                };
                self.look_at(keys);
            }
            Ok(Changed::Everything) | Err(broadcast::error::RecvError::Lagged(_)) => {
                let keys = subjects(&targets, &self.controller.view.read());
                self.look_at(keys);
            }
            Err(broadcast::error::RecvError::Closed) => return Err(Stopped.into()),
        }
        Ok(())
    }
}

/// Everything that there is to look at.
fn subjects(targets: &Targets, state: &State) -> Vec<Subject> {
    let services = targets.services(state).into_iter().map(Subject::Service);
    let standalone = state.clusters_with_standalone_tasks().cloned();
    let standalone = standalone.map(Subject::Standalone);
    services.chain(standalone).collect()
}

/// What a change of that key may concern.
fn concerned(change: &KeyChange, targets: &Targets, state: &State) -> Vec<Subject> {
    match (&change.key, &change.service) {
        (Key::Event(..), _) => Vec::new(),
        (_, Some(service)) => vec![Subject::Service(service.clone())],
        (Key::Task(cluster, _) | Key::TaskStatus(cluster, _) | Key::TaskLost(cluster, _), None) => {
            vec![Subject::Standalone(cluster.clone())]
        }
        (Key::Instance(cluster, _) | Key::InstanceDesired(cluster, _), None) => {
            let mut all = subjects(targets, state);
            all.retain(|subject| subject.cluster() == cluster);
            all
        }
        // Room may have come free, for instance also for other clusters on the same engine.
        (Key::InstanceReserved(..), None) => state
            .services
            .iter()
            .filter(|(_, record)| record.notices.contains_key(&NoticeKind::Placement))
            .map(|(key, _)| Subject::Service(key.clone()))
            .collect(),
        _ => Vec::new(),
    }
}

impl Halt {
    /// The first conflicts are everyday; what lasts is worth a line now and then.
    fn say(&self, what: &str, failures: u32) {
        match self {
            Self::Conflict(key) if failures.is_power_of_two() && failures >= 8 => {
                tracing::warn!(%key, failures, "{what} cannot be recorded: the store holds something else than is seen");
            }
            Self::Failed(error) if failures.is_power_of_two() => {
                tracing::warn!(%error, failures, "{what} could not be recorded; trying again");
            }
            _ => {}
        }
    }
}

fn pause(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    (FIRST_PAUSE * 2_u32.pow(doublings)).min(LONGEST_PAUSE)
}

/// What `work` comes to; for ever without any.
async fn until<T>(work: &mut Option<BoxFuture<'_, T>>) -> T {
    match work {
        Some(work) => work.await,
        None => std::future::pending().await,
    }
}

/// Waits until `instant`; for ever without one.
async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}
