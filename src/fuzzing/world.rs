//! A small cluster to ask questions about: what its store holds, and a server in front of it whose daemon does nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value as Json, json};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::folder;
use crate::api::{ApiContext, Control, Engines, FolderStatus, Identity, PullStatus};
use crate::clock::ManualClock;
use crate::controller::{
    DrainError, RolloutError, RolloutOutcome, RunError, RunOutcome, RunRequest, StopError,
};
use crate::manifest::load;
use crate::manifest::load::{LastGood, LoadOptions};
use crate::model::{
    Asked, ClusterName, Deployment, DeploymentStatus, InstanceDesired, InstanceId, ProtectionError,
    ProtectionFailure, ProtectionRequest, RevisionRef, RolloutState, RolloutVerb, ServiceName,
    ServiceRecord, TaskDefinitionRecord, TaskId, TaskProtection, Timestamp,
};
use crate::store::{Epoch, LastGoodKey, Memory, Op, SharedStore, View, keys};

/// When it is, in milliseconds.
pub const NOW: i64 = 1_800_000_000_000;

/// What the folder declares.
pub const FOLDER: &str = "\
kind: Cluster
apiVersion: longshore/v1
metadata: {name: prod}
spec: {}
---
kind: TaskDefinition
apiVersion: longshore/v1
metadata: {name: web, labels: {team: shop}}
spec:
  containerDefinitions:
  - {name: app, image: 'shop/web:1', memory: 64, portMappings: [{containerPort: 80}]}
  - {name: side, image: busybox, memory: 16, essential: false}
---
kind: Service
apiVersion: longshore/v1
metadata: {name: web}
spec: {taskDefinition: web, desiredCount: 2}
---
kind: Service
apiVersion: longshore/v1
metadata: {name: job}
spec: {cluster: prod, taskDefinition: web, schedulingStrategy: DAEMON}
";

/// Of what the folder declares and what became of it: keys of the store, and their values.
pub fn items() -> BTreeMap<String, Json> {
    let at = Timestamp::from_millis(NOW - 3_600_000);
    let options = LoadOptions {
        now: at,
        ..LoadOptions::default()
    };
    let loaded = load(&folder::scan(FOLDER), &LastGood::default(), &options);
    assert_eq!(loaded.diagnostics, []);
    let mut items = BTreeMap::new();
    let mut put = |key: String, value: Json| items.insert(key, value);
    for (key, good) in &loaded.good {
        let key = LastGoodKey {
            kind: key.kind.to_string(),
            cluster: key.cluster.clone(),
            name: key.name.clone(),
        };
        put(keys::last_good(&key), json!(good));
    }
    for (cluster, _) in loaded.desired.clusters.values() {
        put(keys::cluster(&cluster.name), json!(cluster));
    }
    let mut spec = String::new();
    for (family, (definition, _)) in &loaded.desired.task_definitions {
        let record = TaskDefinitionRecord {
            id: RevisionRef {
                family: family.clone(),
                revision: 1,
            },
            input: definition.input.clone(),
            spec: definition.hash.clone(),
            labels: definition.labels.clone(),
            registered_at: at,
            deregistered_at: None,
        };
        put(keys::revision(&record.id), json!(record));
        put(keys::spec(&definition.hash), json!(definition.spec));
        spec = definition.hash.to_string();
    }
    for (service, _) in loaded.desired.all_services() {
        let mut record = ServiceRecord::new(service.clone(), at);
        record.deployment_counter = 1;
        record.deployments = vec![Deployment {
            id: "ecs-svc/0000000000000000001".into(),
            status: DeploymentStatus::Primary,
            revision: RevisionRef {
                family: service.family.clone(),
                revision: 1,
            },
            spec: spec.as_str().into(),
            rollout: RolloutState::InProgress,
            rollout_reason: String::new(),
            desired_count: service.desired_count,
            generation: 0,
            failed_tasks: 0,
            failed_at: None,
            images: BTreeMap::new(),
            created_at: at,
            updated_at: at,
        }];
        put(
            keys::service(&service.cluster, &service.name),
            json!(record),
        );
    }
    let default = ClusterName::default();
    let local = InstanceId::new("local");
    put(
        keys::instance(&default, &local),
        json!({"id": "local", "engine_id": "E", "engine_version": "20.10.24", "api_version": "1.41",
            "agent_version": "0.1.0", "registered": {"cpu": 2048, "memory": 4096}, "reserved_ports": [],
            "attributes": {"ecs.os-type": "linux"}, "registered_at": NOW, "connected": true, "connected_at": NOW}),
    );
    for (id, desired, status) in [("aa", "RUNNING", "RUNNING"), ("bb", "STOPPED", "STOPPED")] {
        let id = TaskId::new(format!("{id:0<32}"));
        put(
            keys::task(&default, &id),
            json!({"id": id, "cluster": "default", "instance": "local", "group": "service:web", "service": "web",
                "deployment": "ecs-svc/0000000000000000001", "family": "web", "revision": 1, "spec": spec,
                "desired": desired, "created_at": NOW - 60_000}),
        );
        put(
            keys::task_status(&default, &id),
            json!({"last_status": status, "health": "UNKNOWN", "started_at": NOW - 50_000,
                "containers": [{"name": "app", "runtime_id": "0a", "last_status": status, "health": "UNKNOWN"}]}),
        );
    }
    let web = ServiceName::new("web");
    put(
        keys::event(&default, &web, 1),
        json!({"cluster": "default", "service": "web", "seq": 1, "at": NOW - 9000, "last_at": NOW - 8000, "count": 2,
            "level": "INFO", "message": "(service web) has reached a steady state."}),
    );
    items
}

/// A store that holds these, with the right to write it.
pub async fn store(items: impl IntoIterator<Item = (String, Vec<u8>)>) -> (SharedStore, Epoch) {
    let store: SharedStore = Memory::new();
    let epoch = store.acquire("controller").await.expect("memory");
    for (key, value) in items {
        let ops = vec![Op::Put(key, value)];
        store.commit(&epoch, &[], ops).await.expect("memory");
    }
    (store, epoch)
}

/// What a server is given that answers from this store.
pub async fn context(store: SharedStore, stop: CancellationToken) -> ApiContext {
    let view = View::start(Arc::clone(&store), stop);
    let revision = store.list("").await.expect("memory").revision;
    let seen = view.caught_up(revision).await;
    assert!(seen.is_ok(), "the view stopped");
    let (_, status) = watch::channel(FolderStatus::default());
    ApiContext {
        identity: Identity {
            folder: "/manifests".to_owned(),
            ..Identity::default()
        },
        view,
        engines: Engines::default(),
        control: Arc::new(Idle),
        status,
        clock: ManualClock::at(Timestamp::from_millis(NOW)),
    }
}

/// A daemon that does nothing it is asked, but looks whether it may be asked so.
struct Idle;

#[async_trait]
impl Control for Idle {
    async fn run_task(&self, request: &RunRequest) -> Result<RunOutcome, RunError> {
        assert!((1..=10).contains(&request.count));
        assert!(!request.family.as_str().is_empty() && request.revision != Some(0));
        Err(RunError::NotReady)
    }

    async fn stop_task(
        &self,
        _cluster: &ClusterName,
        _task: &TaskId,
        _reason: &str,
    ) -> Result<u64, StopError> {
        Err(StopError::Ending)
    }

    fn protection(
        &self,
        _cluster: &ClusterName,
        _task: &TaskId,
    ) -> Result<Option<TaskProtection>, ProtectionError> {
        Ok(None)
    }

    async fn protect(
        &self,
        _cluster: &ClusterName,
        _task: &TaskId,
        request: ProtectionRequest,
    ) -> Result<Option<TaskProtection>, ProtectionError> {
        if let ProtectionRequest::Protect { minutes } = request {
            assert!(ProtectionRequest::MINUTES.contains(&i64::from(minutes)));
        }
        let failure = ProtectionFailure {
            reason: "TASK_NOT_VALID",
            detail: String::new(),
        };
        Err(failure.into())
    }

    async fn rollout(
        &self,
        _cluster: &ClusterName,
        _service: &ServiceName,
        _verb: &RolloutVerb,
        _asked: Asked,
    ) -> Result<RolloutOutcome, RolloutError> {
        Err(RolloutError::Ending)
    }

    async fn set_instance(
        &self,
        _cluster: &ClusterName,
        _instance: &InstanceId,
        _wanted: InstanceDesired,
        _asked: Asked,
    ) -> Result<u64, DrainError> {
        Err(DrainError::NotReady)
    }

    fn pulls(&self) -> Vec<PullStatus> {
        Vec::new()
    }

    async fn down(
        &self,
        _volumes: bool,
        _say: mpsc::UnboundedSender<String>,
    ) -> Result<Vec<String>, String> {
        Ok(Vec::new())
    }

    async fn dump(&self) -> Result<Json, String> {
        Ok(Json::Null)
    }

    async fn backup(&self, _to: &std::path::Path) -> Result<(), String> {
        Ok(())
    }

    fn shutdown(&self) {}
}
