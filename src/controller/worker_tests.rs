//! The controller against a store in memory and agents that do as they are told, in virtual time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::testing::{instance, service_spec, task_spec, with_port};
use super::{Controller, ControllerError};
use crate::clock::{Clock, SeededIds, SharedClock};
use crate::model::{
    ClusterName, ClusterSpec, ContainerStatus, Desired, DesiredStatus, LastStatus,
    RegisteredDefinition, ServiceName, Source, StopCode, TaskDefinitionRecord, TaskId, TaskSpec,
    TaskStatus, Timestamp,
};
use crate::store::{
    Changed, Epoch, Guard, Key, Listing, Memory, Op, Revision, SharedStore, Store, StoreError, Txn,
    View, Watch, keys,
};

mod converging;
mod previews;
mod recording;
mod saying;

/// The wall clock of tokio's paused time.
struct VirtualClock(Instant);

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_000_000).plus(self.0.elapsed())
    }
}

pub(super) struct Fixture {
    store: SharedStore,
    pub(super) view: Arc<View>,
    clock: SharedClock,
    pub(super) controller: Arc<Controller>,
    cancel: CancellationToken,
    running: tokio::task::JoinHandle<Result<(), ControllerError>>,
    agent: Epoch,
}

pub(super) fn default() -> ClusterName {
    ClusterName::default()
}

pub(super) fn folder(services: &[(&str, u32, TaskSpec)]) -> Arc<Desired> {
    let mut desired = Desired::default();
    let cluster = ClusterSpec::named(default());
    desired
        .clusters
        .insert(default(), (cluster, Source::default()));
    for (name, count, spec) in services {
        let mut spec = spec.clone();
        spec.family = (*name).into();
        let definition = RegisteredDefinition {
            input: serde_json::json!({"family": name}),
            hash: spec.hash(),
            spec: Arc::new(spec),
            labels: BTreeMap::new(),
        };
        desired
            .task_definitions
            .insert((*name).into(), (definition, Source::default()));
        let mut service = service_spec(*count);
        service.name = (*name).into();
        service.family = (*name).into();
        desired
            .services
            .entry(default())
            .or_default()
            .insert((*name).into(), (service, Source::default()));
    }
    Arc::new(desired)
}

pub(super) async fn fixture() -> Fixture {
    fixture_on(Memory::new()).await
}

async fn fixture_on(store: SharedStore) -> Fixture {
    let clock: SharedClock = Arc::new(VirtualClock(Instant::now()));
    let cancel = CancellationToken::new();
    let view = View::start(Arc::clone(&store), cancel.clone());
    let agent = store.acquire("agent/local").await.expect("acquire");
    Txn::new(&agent)
        .put_json(
            keys::instance(&default(), &"local".into()),
            &instance("local"),
        )
        .commit(&store)
        .await
        .expect("commit");
    let epoch = store.acquire("controller").await.expect("acquire");
    let controller = Controller::new(
        Arc::clone(&store),
        Arc::clone(&view),
        epoch,
        Arc::clone(&clock),
        SeededIds::new(7),
    );
    let running = tokio::spawn({
        let (controller, cancel) = (Arc::clone(&controller), cancel.clone());
        async move { controller.run(cancel).await }
    });
    Fixture {
        store,
        view,
        clock,
        controller,
        cancel,
        running,
        agent,
    }
}

impl Fixture {
    /// An agent that brings tasks up and down as soon as it is told.
    pub(super) fn obedient_agent(&self) -> tokio::task::JoinHandle<()> {
        let (store, view) = (Arc::clone(&self.store), Arc::clone(&self.view));
        let (clock, epoch) = (Arc::clone(&self.clock), self.agent.clone());
        tokio::spawn(async move {
            let mut changes = view.subscribe();
            loop {
                let mut txn = Txn::new(&epoch);
                for ((cluster, id), task) in &view.read().tasks {
                    let status = task.status.as_deref().cloned().unwrap_or_default();
                    let wanted = match task.record.desired {
                        _ if status.is_stopped() => continue,
                        DesiredStatus::Running if status.last_status == LastStatus::Running => {
                            continue;
                        }
                        DesiredStatus::Running => TaskStatus {
                            last_status: LastStatus::Running,
                            started_at: Some(clock.now()),
                            ..status
                        },
                        DesiredStatus::Stopped => TaskStatus {
                            last_status: LastStatus::Stopped,
                            stopped_at: Some(clock.now()),
                            ..status
                        },
                    };
                    if txn.len() < 90 {
                        txn = txn.put_json(keys::task_status(cluster, id), &wanted);
                    }
                }
                if txn.is_empty() {
                    if matches!(changes.recv().await, Err(_) | Ok(Changed::Everything)) {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                } else if let Ok(revision) = txn.commit(&store).await {
                    let _ = view.caught_up(revision).await;
                } else {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        })
    }

    pub(super) async fn crash(&self, id: &TaskId) {
        let now = self.clock.now();
        let old = {
            let state = self.view.read();
            let task = state.task(&default(), id).expect("a task");
            task.status.as_deref().cloned().unwrap_or_default()
        };
        let status = TaskStatus {
            last_status: LastStatus::Stopped,
            stop_code: Some(StopCode::EssentialContainerExited),
            stopped_reason: Some("Essential container in task exited".to_owned()),
            execution_stopped_at: Some(now),
            stopped_at: Some(now),
            containers: vec![ContainerStatus {
                name: "app".to_owned(),
                exit_code: Some(1),
                ..ContainerStatus::default()
            }],
            ..old
        };
        Txn::new(&self.agent)
            .put_json(keys::task_status(&default(), id), &status)
            .commit(&self.store)
            .await
            .expect("commit");
    }

    /// Lets everything run for that long in virtual time.
    pub(super) async fn pass(&self, seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    fn tasks(&self, service: &str, which: fn(DesiredStatus) -> bool) -> Vec<TaskId> {
        let state = self.view.read();
        state
            .tasks_of_service(&default(), &service.into())
            .filter(|(_, task)| which(task.record.desired))
            .filter(|(_, task)| !task.status.as_ref().is_some_and(|s| s.is_stopped()))
            .map(|(id, _)| id.clone())
            .collect()
    }

    pub(super) fn wanted(&self, service: &str) -> Vec<TaskId> {
        self.tasks(service, |desired| desired == DesiredStatus::Running)
    }

    pub(super) fn steady(&self, service: &str) -> bool {
        let state = self.view.read();
        state
            .service(&default(), &service.into())
            .is_some_and(|record| record.steady)
    }

    fn events(&self, service: &str) -> Vec<String> {
        let key = (default(), ServiceName::new(service));
        let state = self.view.read();
        let events = state.events.get(&key).into_iter().flatten();
        events.map(|(_, event)| event.to_string()).collect()
    }

    fn revision(&self) -> Revision {
        self.view.read().revision
    }
}
