//! Which instances run: one [`InstanceRunner`] for each that the folder declares, and for each that still has tasks.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Shared;
use super::instance::{InstanceRunner, InstanceState};
use crate::model::{ClusterName, ClusterSpec, Desired, InstanceId, InstanceSpec};

/// How long a change of the folder waits for new engines before it goes on without them.
const READY_WITHIN: Duration = Duration::from_secs(10);

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
    /// What its engine is waited for because of, if it is.
    pub fn waits_for(&self) -> Option<String> {
        match &self.state {
            InstanceState::Waiting(why) => Some(why.clone()),
            InstanceState::Held(_) | InstanceState::Ready => None,
        }
    }
}

struct Running {
    spec: (ClusterSpec, InstanceSpec),
    stop: CancellationToken,
    state: watch::Receiver<InstanceState>,
}

/// All instances of all clusters.
pub struct Clusters {
    shared: Arc<Shared>,
    running: Mutex<BTreeMap<(ClusterName, InstanceId), Running>>,
    tasks: TaskTracker,
    reports: watch::Sender<Vec<InstanceReport>>,
}

impl Clusters {
    /// None yet.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            running: Mutex::default(),
            tasks: TaskTracker::new(),
            reports: watch::Sender::new(Vec::new()),
        }
    }

    /// Follows how far each instance is.
    pub fn reports(&self) -> watch::Receiver<Vec<InstanceReport>> {
        self.reports.subscribe()
    }

    /// Starts what the folder declares and does not run yet, stops what it no longer declares and nothing needs, and waits
    /// until the new ones are ready: nobody may decide about a cluster before what runs there is known. The first time it
    /// waits for as long as it takes; later a new engine that does not answer holds nobody up.
    pub async fn follow(self: &Arc<Self>, desired: &Desired, first: bool) {
        let wanted = self.wanted(desired);
        let mut fresh = Vec::new();
        let mut stopped = Vec::new();
        {
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            running.retain(|key, entry| {
                let keep = wanted.get(key) == Some(&entry.spec);
                if !keep {
                    entry.stop.cancel();
                    stopped.push(entry.state.clone());
                }
                keep
            });
        }
        // A runner whose settings changed must have let go of its lease before its successor asks for it.
        for mut state in stopped {
            while state.changed().await.is_ok() {}
        }
        {
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            for (key, spec) in wanted {
                if let Entry::Vacant(slot) = running.entry(key) {
                    let entry = slot.insert(self.start(spec));
                    fresh.push(entry.state.clone());
                }
            }
        }
        self.report();
        let ready = async {
            for mut state in fresh {
                let _ = state.wait_for(|s| *s == InstanceState::Ready).await;
            }
        };
        if first {
            ready.await;
        } else if tokio::time::timeout(READY_WITHIN, ready).await.is_err() {
            tracing::warn!("a new instance is not ready yet; going on with the others");
        }
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

    /// What the folder declares, and the clusters that have tasks or services left from before. The implied cluster
    /// `default` counts only when something is in it, or when task definitions are all that the folder has: they are there
    /// to be run once.
    fn wanted(
        &self,
        desired: &Desired,
    ) -> BTreeMap<(ClusterName, InstanceId), (ClusterSpec, InstanceSpec)> {
        let mut specs: BTreeMap<ClusterName, ClusterSpec> = BTreeMap::new();
        let only_definitions = desired.clusters.len() == 1
            && desired.all_services().next().is_none()
            && !desired.task_definitions.is_empty();
        for (name, (spec, _)) in &desired.clusters {
            let implied = spec.manifest_hash.is_empty();
            let used = desired
                .services
                .get(name)
                .is_some_and(|services| !services.is_empty());
            if !implied || used || only_definitions {
                specs.insert(name.clone(), spec.clone());
            }
        }
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
        specs
            .into_values()
            .flat_map(|spec| {
                let instances = spec.instances.clone();
                instances.into_iter().map(move |instance| {
                    (
                        (spec.name.clone(), instance.name.clone()),
                        (spec.clone(), instance),
                    )
                })
            })
            .collect()
    }

    fn start(self: &Arc<Self>, spec: (ClusterSpec, InstanceSpec)) -> Running {
        let stop = CancellationToken::new();
        let (sender, state) = watch::channel(InstanceState::Waiting("starting".to_owned()));
        let runner = InstanceRunner {
            shared: Arc::clone(&self.shared),
            cluster: spec.0.clone(),
            instance: spec.1.clone(),
            state: sender,
        };
        self.tasks.spawn(runner.run(stop.clone()));
        self.tasks.spawn({
            let (clusters, mut state) = (Arc::clone(self), state.clone());
            async move {
                while state.changed().await.is_ok() {
                    clusters.report();
                }
            }
        });
        Running { spec, stop, state }
    }

    fn report(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let reports = running
            .iter()
            .map(|((cluster, instance), entry)| InstanceReport {
                cluster: cluster.clone(),
                instance: instance.clone(),
                state: entry.state.borrow().clone(),
            })
            .collect();
        drop(running);
        self.reports.send_if_modified(|current| {
            let changed = *current != reports;
            *current = reports;
            changed
        });
    }
}
