//! Which instances run: one [`InstanceRunner`] for each that the folder declares, and for each that still has tasks, also after a
//! restart: how it is reached stands in its registration.
//!
//! A cluster is *closed* to the controller while it is not known what runs in it: while one of its instances is looked at, is
//! held by another Longshore, or does not answer and nothing was ever heard of it. Each cluster by itself: an engine that is
//! away holds no other cluster up. An instance that was there before and does not answer is written down as not connected
//! instead, and its cluster goes on; one of which nothing was ever heard is waited for as long as one that vanished, and then
//! the cluster goes on without it.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Shared;
use super::folder;
use super::instance::{InstanceRunner, InstanceState};
use crate::api::InstanceTrouble;
use crate::engine::translate;
use crate::model::{
    ClusterName, ClusterSpec, Desired, InstanceId, InstanceSpec, ServiceName, Timestamp,
};

/// How long a change of the folder waits for new engines before it goes on without them.
const KNOWN_WITHIN: Duration = Duration::from_secs(10);
/// How often, at most, it is looked whether a cluster that the folder no longer declares has come to its end.
const TIDY_EVERY: Duration = Duration::from_secs(1);

/// How far an instance is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceReport {
    /// Its cluster.
    pub cluster: ClusterName,
    /// Its name.
    pub instance: InstanceId,
    /// Waiting, held by another, or ready.
    pub state: InstanceState,
}

impl InstanceReport {
    /// What is wrong with it, if something is.
    fn trouble(&self) -> Option<InstanceTrouble> {
        let (refused, why) = match &self.state {
            InstanceState::Waiting(why) => (false, why),
            InstanceState::Held(why) | InstanceState::Refused(why) => (true, why),
            InstanceState::Starting | InstanceState::Settling | InstanceState::Ready => {
                return None;
            }
        };
        Some(InstanceTrouble {
            cluster: self.cluster.clone(),
            instance: self.instance.clone(),
            refused,
            why: why.clone(),
        })
    }

    /// What its engine is waited for because of, if it is.
    pub fn waits_for(&self) -> Option<String> {
        match &self.state {
            InstanceState::Waiting(why) | InstanceState::Refused(why) => Some(why.clone()),
            _ => None,
        }
    }
}

struct Running {
    spec: InstanceSpec,
    /// Until when its cluster is closed though nothing was ever heard of it.
    patience: Timestamp,
    /// Until when a change of the folder waits for it to be known.
    known_by: Instant,
    stop: CancellationToken,
    state: watch::Receiver<InstanceState>,
}

type Key = (ClusterName, InstanceId);

/// All instances of all clusters.
pub struct Clusters {
    shared: Arc<Shared>,
    running: Mutex<BTreeMap<Key, Running>>,
    /// What the folder asked for last.
    desired: Mutex<Arc<Desired>>,
    /// Held while runners are started and stopped.
    changing: tokio::sync::Mutex<()>,
    tasks: TaskTracker,
    reports: watch::Sender<Vec<InstanceReport>>,
    troubles: watch::Sender<Vec<InstanceTrouble>>,
}

impl Clusters {
    /// None yet.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            running: Mutex::default(),
            desired: Mutex::default(),
            changing: tokio::sync::Mutex::default(),
            tasks: TaskTracker::new(),
            reports: watch::Sender::new(Vec::new()),
            troubles: watch::Sender::new(Vec::new()),
        }
    }

    /// Follows how far each instance is.
    pub fn reports(&self) -> watch::Receiver<Vec<InstanceReport>> {
        self.reports.subscribe()
    }

    /// Follows which instances do not work.
    pub fn troubles(&self) -> watch::Receiver<Vec<InstanceTrouble>> {
        self.troubles.subscribe()
    }

    /// Takes this up, and waits until its instances are [known](Self::known).
    pub async fn follow(self: &Arc<Self>, desired: &Arc<Desired>) {
        self.take_up(desired).await;
        self.known().await;
    }

    /// Starts what the folder declares and does not run yet, and stops what it no longer declares and nothing needs.
    pub async fn take_up(self: &Arc<Self>, desired: &Arc<Desired>) {
        *self.desired.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(desired);
        self.start_and_stop(desired).await;
    }

    /// Waits until it is known what instances are up to, each for a while after it was started. Clusters that are not known by
    /// then are closed until they are. Nothing comes of leaving off.
    pub async fn known(&self) {
        let waited_for: Vec<_> = {
            let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            let all = running.values();
            all.map(|entry| (entry.state.clone(), entry.known_by))
                .collect()
        };
        for (mut state, known_by) in waited_for {
            let known = state.wait_for(InstanceState::is_known);
            let _ = tokio::time::timeout_at(known_by, known).await;
        }
        let closed = self.closed();
        if !closed.is_empty() {
            let names: Vec<&str> = closed.iter().map(ClusterName::as_str).collect();
            tracing::warn!(
                "nothing is done in cluster {} until it is known what runs there; going on with the others",
                names.join(", ")
            );
        }
    }

    /// Services of the folder of which nothing is decided yet.
    pub fn held_up(&self) -> Vec<(ClusterName, ServiceName)> {
        let desired = {
            let desired = self.desired.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(&desired)
        };
        folder::held_up(&self.shared, &desired)
    }

    /// Looks after clusters that the folder no longer declares until `stop`: when the last of their tasks is over their network
    /// goes, and when nothing is left of them their lease is given back.
    pub async fn tidy(self: Arc<Self>, stop: CancellationToken) {
        let mut changes = self.shared.view.subscribe();
        loop {
            let change = stop.run_until_cancelled(changes.recv()).await;
            if matches!(change, None | Some(Err(RecvError::Closed))) {
                return;
            }
            // Many changes are one look.
            let pause = tokio::time::sleep(TIDY_EVERY);
            if stop.run_until_cancelled(pause).await.is_none() {
                return;
            }
            while changes.try_recv().is_ok() {}
            if stop
                .run_until_cancelled(self.look_for_ends())
                .await
                .is_none()
            {
                return;
            }
        }
    }

    async fn look_for_ends(self: &Arc<Self>) {
        let desired = {
            let desired = self.desired.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(&desired)
        };
        let declared = self.declared(&desired);
        let undeclared: Vec<Key> = {
            let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            let is_declared = |(cluster, instance): &Key| {
                let spec = declared.get(cluster);
                spec.is_some_and(|spec| spec.instances.iter().any(|i| i.name == *instance))
            };
            let all = running.keys().filter(|key| !is_declared(key));
            all.cloned().collect()
        };
        let mut ended = false;
        for key in undeclared {
            let idle = {
                let state = self.shared.view.read();
                let mut tasks = state.tasks_of_instance(&key.0, &key.1);
                tasks.all(|(_, task)| task.status.as_ref().is_some_and(|s| s.is_stopped()))
            };
            if idle {
                self.remove_network(&key.0, &key.1).await;
            }
            ended |= !self.has_tasks(&key) && !self.wanted(&desired).contains_key(&key);
        }
        if ended {
            self.start_and_stop(&desired).await;
            // Their records go, too.
            self.shared.controller.set_desired(desired);
        }
    }

    /// Removes the network of a cluster that no task runs in. One that is gone, or in use by somebody else, is left as it is.
    async fn remove_network(&self, cluster: &ClusterName, instance: &InstanceId) {
        let Some(engine) = self.shared.api_engines.get(cluster, instance) else {
            return;
        };
        let ours = translate::ours(cluster, &self.shared.owner, instance);
        let found = engine.list_networks(&ours).await.unwrap_or_default();
        for network in found {
            match engine.remove_network(&network.id).await {
                Ok(()) => tracing::info!(%cluster, "removed network {}", network.name),
                Err(error) => {
                    tracing::debug!(%cluster, %error, "the network could not be removed yet");
                }
            }
        }
    }

    /// Brings the runners to what is wanted.
    async fn start_and_stop(self: &Arc<Self>, desired: &Desired) {
        let _turn = self.changing.lock().await;
        let wanted = self.wanted(desired);
        let mut stopped = Vec::new();
        {
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            running.retain(|key, entry| {
                // One that has tasks left goes on until they are over.
                let keep = match wanted.get(key) {
                    Some(spec) => spec.is_served_like(&entry.spec),
                    None => self.has_tasks(key),
                };
                if !keep {
                    entry.stop.cancel();
                    stopped.push((key.clone(), entry.state.clone()));
                }
                keep
            });
        }
        // A runner whose settings changed must have let go of its lease before its successor asks for it.
        for ((cluster, instance), mut state) in stopped {
            while state.changed().await.is_ok() {}
            self.shared.api_engines.remove(&cluster, &instance);
        }
        {
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            for (key, spec) in wanted {
                if let Entry::Vacant(slot) = running.entry(key.clone()) {
                    slot.insert(self.start(key.0, spec));
                }
            }
        }
        self.report();
    }

    /// Stops all runners and waits until their leases are given back.
    pub async fn stop(&self) {
        for entry in self
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
        {
            entry.stop.cancel();
        }
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn has_tasks(&self, (cluster, instance): &Key) -> bool {
        let state = self.shared.view.read();
        state.tasks_of_instance(cluster, instance).next().is_some()
    }

    /// What the folder declares. The implied cluster `default` counts only when something is in it, or when task definitions
    /// are all that the folder has: they are there to be run once.
    fn declared(&self, desired: &Desired) -> BTreeMap<ClusterName, ClusterSpec> {
        let only_definitions = desired.clusters.len() == 1
            && desired.all_services().next().is_none()
            && !desired.task_definitions.is_empty();
        let used = |name: &ClusterName| {
            let services = desired.services.get(name);
            services.is_some_and(|services| !services.is_empty())
        };
        desired
            .clusters
            .iter()
            .filter(|(name, (spec, _))| {
                !spec.manifest_hash.is_empty() || used(name) || only_definitions
            })
            .map(|(name, (spec, _))| (name.clone(), spec.clone()))
            .collect()
    }

    /// What the folder declares, the clusters that have tasks or services left from before, and instances that do.
    fn wanted(&self, desired: &Desired) -> BTreeMap<Key, InstanceSpec> {
        let mut specs = self.declared(desired);
        let state = self.shared.view.read();
        let left: BTreeSet<ClusterName> = state
            .tasks
            .keys()
            .map(|(cluster, _)| cluster.clone())
            .chain(state.services.keys().map(|(cluster, _)| cluster.clone()))
            .collect();
        for name in left {
            specs.entry(name.clone()).or_insert_with(|| {
                state.clusters.get(&name).map_or_else(
                    || ClusterSpec::named(name.clone()),
                    |stored| (*stored.value).clone(),
                )
            });
        }
        let declared = specs.into_values().flat_map(|spec| {
            let name = spec.name;
            let instances = spec.instances.into_iter();
            instances.map(move |instance| ((name.clone(), instance.name.clone()), instance))
        });
        let mut wanted: BTreeMap<Key, InstanceSpec> = declared.collect();
        for (key, entry) in &state.instances {
            let registered = entry.instance.as_ref().and_then(|i| i.spec.clone());
            if let Some(spec) = registered
                && state.tasks_of_instance(&key.0, &key.1).next().is_some()
            {
                wanted.entry(key.clone()).or_insert(spec);
            }
        }
        wanted
    }

    fn start(self: &Arc<Self>, cluster: ClusterName, spec: InstanceSpec) -> Running {
        let stop = CancellationToken::new();
        let (sender, state) = watch::channel(InstanceState::Starting);
        let clusters = Arc::downgrade(self);
        let lost_after = {
            let desired = self.desired.lock().unwrap_or_else(PoisonError::into_inner);
            let declared = desired.clusters.get(&cluster);
            declared.map_or(ClusterSpec::INSTANCE_LOST_AFTER, |(spec, _)| {
                spec.instance_lost_after
            })
        };
        let patience = Duration::from_secs(u64::from(lost_after));
        let runner = InstanceRunner {
            shared: Arc::clone(&self.shared),
            cluster,
            instance: spec.clone(),
            state: sender,
            changed: Box::new(move || {
                if let Some(clusters) = clusters.upgrade() {
                    clusters.report();
                }
            }),
        };
        self.tasks.spawn(runner.run(stop.clone()));
        Running {
            spec,
            patience: self.shared.clock.now().plus(patience),
            known_by: Instant::now() + KNOWN_WITHIN,
            stop,
            state,
        }
    }

    /// Tells the controller and whoever follows the reports.
    fn report(&self) {
        // Held to the end: of two reports the later one counts.
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let reports: Vec<InstanceReport> = running
            .iter()
            .map(|((cluster, instance), entry)| InstanceReport {
                cluster: cluster.clone(),
                instance: instance.clone(),
                state: entry.state.borrow().clone(),
            })
            .collect();
        let troubles: Vec<_> = reports.iter().filter_map(InstanceReport::trouble).collect();
        self.troubles.send_if_modified(|current| {
            let changed = *current != troubles;
            *current = troubles;
            changed
        });
        self.reports.send_if_modified(|current| {
            let changed = *current != reports;
            *current = reports;
            changed
        });
        self.shared.controller.set_closed(self.closing(&running));
        drop(running);
    }

    fn closed(&self) -> BTreeSet<ClusterName> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        self.closing(&running)
    }

    /// Clusters that nothing may be decided about: see the [module](self).
    fn closing(&self, running: &BTreeMap<Key, Running>) -> BTreeSet<ClusterName> {
        let state = self.shared.view.read();
        let now = self.shared.clock.now();
        let holds_up = |key: &Key, entry: &Running| {
            let known = state.instance(&key.0, &key.1);
            match known.and_then(|entry| entry.instance.as_ref()) {
                Some(known) => known.connected,
                None => now < entry.patience,
            }
        };
        let closes = |(key, entry): &(&Key, &Running)| match &*entry.state.borrow() {
            InstanceState::Ready | InstanceState::Refused(_) => false,
            InstanceState::Held(_) | InstanceState::Settling => true,
            InstanceState::Starting | InstanceState::Waiting(_) => holds_up(key, entry),
        };
        let closing = running.iter().filter(closes);
        closing.map(|((cluster, _), _)| cluster.clone()).collect()
    }
}
