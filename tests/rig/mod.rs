//! An agent in front of an engine, with a memory store and a hand that orders tasks as the controller would.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use longshore::agent::{Agent, AgentConfig, AgentError, Connection, Settled, Tuning};
use longshore::clock::{IdGen, SharedClock};
use longshore::engine::SharedEngine;
use longshore::model::{
    ClusterName, ClusterSpec, DesiredStatus, InstanceSpec, LastStatus, StopCode, StopOrder, TaskId,
    TaskRecord, TaskSpec, TaskStatus,
};
use longshore::store::{Changed, Epoch, Memory, SharedStore, Txn, View, keys};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// See the module.
pub struct Rig {
    pub engine: SharedEngine,
    pub store: SharedStore,
    pub view: Arc<View>,
    pub clock: SharedClock,
    pub ids: Arc<dyn IdGen>,
    pub owner: String,
    pub tuning: Tuning,
    pub accounted_seq: u64,
    pub folder: std::path::PathBuf,
    pub cluster: ClusterName,
    controller: Epoch,
    everything: CancellationToken,
    running: Option<Running>,
}

struct Running {
    cancel: CancellationToken,
    task: JoinHandle<Result<(), AgentError>>,
    connection: watch::Receiver<Connection>,
    settled: Settled,
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.everything.cancel();
    }
}

impl Rig {
    /// A rig whose agent does not run yet.
    pub async fn new(engine: SharedEngine, clock: SharedClock, ids: Arc<dyn IdGen>) -> Self {
        let owner = format!("{:016x}", ids.bits());
        Self::with_owner(engine, clock, ids, owner).await
    }

    /// As [`new`](Self::new), with an owner of an earlier rig: the same state directory with a new store.
    pub async fn with_owner(
        engine: SharedEngine,
        clock: SharedClock,
        ids: Arc<dyn IdGen>,
        owner: String,
    ) -> Self {
        let everything = CancellationToken::new();
        let store: SharedStore = Memory::new();
        let controller = store.acquire("controller").await.expect("an epoch");
        let view = View::start(Arc::clone(&store), everything.clone());
        view.caught_up(0).await.expect("the view follows");
        Self {
            engine,
            store,
            view,
            clock,
            ids,
            owner,
            tuning: Tuning::default(),
            accounted_seq: 0,
            folder: std::env::temp_dir(),
            cluster: ClusterName::default(),
            controller,
            everything,
            running: None,
        }
    }

    /// Starts the agent.
    pub async fn start(&mut self) {
        let epoch = self.store.acquire("agent/local").await.expect("an epoch");
        let config = AgentConfig {
            cluster: self.cluster.clone(),
            instance: InstanceSpec::local(),
            owner: self.owner.clone(),
            accounted_seq: self.accounted_seq,
            folder: self.folder.clone(),
            tuning: self.tuning.clone(),
        };
        let agent = Agent::new(
            config,
            Arc::clone(&self.engine),
            Arc::clone(&self.store),
            Arc::clone(&self.view),
            epoch,
            Arc::clone(&self.clock),
        );
        let connection = agent.connection();
        let settled = agent.settled();
        let cancel = self.everything.child_token();
        let task = tokio::spawn(agent.run(cancel.clone()));
        self.running = Some(Running {
            cancel,
            task,
            connection,
            settled,
        });
    }

    /// Ends the agent as SIGTERM would.
    pub async fn stop(&mut self) -> Result<(), AgentError> {
        let running = self.running.take().expect("a running agent");
        running.cancel.cancel();
        running.task.await.expect("the agent does not fall over")
    }

    /// Ends the agent as `kill -9` would.
    pub async fn kill(&mut self) {
        if let Some(running) = self.running.take() {
            running.task.abort();
            let _ = running.task.await;
        }
    }

    /// Waits until the agent ends by itself.
    pub async fn ended(&mut self) -> Result<(), AgentError> {
        let running = self.running.take().expect("a running agent");
        running.task.await.expect("the agent does not fall over")
    }

    pub async fn connected(&mut self) {
        let running = self.running.as_mut().expect("a running agent");
        let up = |connection: &Connection| *connection == Connection::Connected;
        running.connection.wait_for(up).await.expect("it connects");
    }

    /// Waits until what the agent found at its start is in the store.
    pub async fn settled(&self) {
        let running = self.running.as_ref().expect("a running agent");
        running.settled.clone().reached().await;
    }

    /// Commits as the controller.
    pub async fn commit(&self, build: impl FnOnce(Txn) -> Txn) {
        let revision = build(Txn::new(&self.controller))
            .commit(&self.store)
            .await
            .expect("the store takes it");
        self.view
            .caught_up(revision)
            .await
            .expect("the view follows");
    }

    pub async fn declare(&self, cluster: &ClusterSpec) {
        self.commit(|txn| txn.put_json(keys::cluster(&self.cluster), cluster))
            .await;
    }

    pub fn record(&self, spec: &TaskSpec, service: &str) -> TaskRecord {
        TaskRecord {
            id: self.ids.task_id(),
            cluster: self.cluster.clone(),
            instance: "local".into(),
            group: format!("service:{service}"),
            service: Some(service.into()),
            deployment: Some("ecs-svc/0000000000000000001".into()),
            standalone: None,
            family: spec.family.clone(),
            revision: 1,
            spec: spec.hash(),
            desired: DesiredStatus::Running,
            stop: None,
            created_at: self.clock.now(),
            dns_names: vec![service.to_owned()],
            ports: Vec::new(),
            capacity_provider: None,
            gpus: std::collections::BTreeMap::new(),
            generation: 0,
            images: BTreeMap::new(),
        }
    }

    /// Orders a task to run.
    pub async fn order(&self, spec: &TaskSpec) -> TaskId {
        let record = self.record(spec, "web");
        self.place(spec, &record).await;
        record.id
    }

    pub async fn place(&self, spec: &TaskSpec, record: &TaskRecord) {
        self.commit(|txn| {
            txn.put_json(keys::spec(&record.spec), spec)
                .put_json(keys::task(&self.cluster, &record.id), record)
        })
        .await;
    }

    /// Orders a task to stop.
    pub async fn order_stop(&self, id: &TaskId) {
        let mut record = {
            let state = self.view.read();
            TaskRecord::clone(&state.task(&self.cluster, id).expect("a task").record)
        };
        record.desired = DesiredStatus::Stopped;
        record.stop = Some(StopOrder {
            code: StopCode::ServiceSchedulerInitiated,
            reason: "ordered".to_owned(),
            at: self.clock.now(),
        });
        self.commit(|txn| txn.put_json(keys::task(&self.cluster, id), &record))
            .await;
    }

    /// Deletes a task's record, as the controller does after its retention.
    pub async fn delete(&self, id: &TaskId) {
        self.commit(|txn| {
            txn.delete(keys::task(&self.cluster, id))
                .delete(keys::task_status(&self.cluster, id))
        })
        .await;
    }

    pub fn status(&self, id: &TaskId) -> Option<TaskStatus> {
        let state = self.view.read();
        let status = state.task(&self.cluster, id)?.status.as_ref()?;
        Some(TaskStatus::clone(status))
    }

    /// Waits until the store says so of the task.
    pub async fn until(
        &self,
        id: &TaskId,
        what: &str,
        done: impl Fn(&TaskStatus) -> bool,
    ) -> TaskStatus {
        let mut changes = self.view.subscribe();
        let wait = async {
            loop {
                if let Some(status) = self.status(id).filter(|status| done(status)) {
                    return status;
                }
                match changes.recv().await {
                    Ok(Changed::Key(_) | Changed::Everything) => {}
                    Err(error) => panic!("the view ended: {error}"),
                }
            }
        };
        match tokio::time::timeout(Duration::from_secs(120), wait).await {
            Ok(status) => status,
            Err(_) => panic!("{id} never was {what}: {:#?}", self.status(id)),
        }
    }

    pub async fn until_running(&self, id: &TaskId) -> TaskStatus {
        self.until(id, "RUNNING", |s| s.last_status == LastStatus::Running)
            .await
    }

    pub async fn until_stopped(&self, id: &TaskId) -> TaskStatus {
        self.until(id, "STOPPED", TaskStatus::is_stopped).await
    }

    /// Waits until a condition of the outside holds, looking again now and then.
    pub async fn until_true(&self, what: &str, mut done: impl AsyncFnMut() -> bool) {
        for _ in 0..4_000 {
            if done().await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("never: {what}");
    }
}

/// A task definition from JSON, with `image` where a container names none.
pub fn spec(image: &str, value: serde_json::Value) -> TaskSpec {
    let mut value = value;
    for container in value["containers"].as_array_mut().expect("containers") {
        let fields = container.as_object_mut().expect("an object");
        fields.entry("image").or_insert(image.into());
        fields.entry("essential").or_insert(true.into());
    }
    serde_json::from_value(value).expect("a task specification")
}
