//! A running server, and what it serves.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use longshore::api::client::Client;
use longshore::api::{
    ApiContext, Control, Engines, FolderStatus, HeldResource, Identity, InstanceTrouble, PullStatus,
};
use longshore::clock::{ManualClock, SeededIds, TokioClock};
use longshore::controller::{
    Controller, RolloutError, RolloutOutcome, RunError, RunOutcome, RunRequest, StopError,
};
use longshore::engine::simulated::{SimOptions, Simulated};
use longshore::engine::{CreateBody, Engine};
use longshore::manifest::load::{LastGood, LoadOptions, Loaded, load};
use longshore::manifest::source;
use longshore::model::{
    Asked, ClusterName, ContainerStatus, Deployment, DeploymentStatus, DesiredStatus, EventLevel,
    HealthStatus, Instance, InstanceId, LastStatus, NetworkBinding, ProtectionError,
    ProtectionRequest, Protocol, Reservation, Reserved, Resources, RevisionRef, RolloutState,
    RolloutVerb, ServiceEvent, ServiceName, ServiceRecord, StopCode, StopOrder,
    TaskDefinitionRecord, TaskId, TaskProtection, TaskRecord, TaskStatus, Timestamp,
};
use longshore::store::{Epoch, LastGoodKey, Memory, SharedStore, Txn, View, keys};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// What the folder declares: `web` in two clusters, `worker` in one.
pub const FOLDER: &str = "\
apiVersion: longshore/v1
kind: Cluster
metadata: {name: prod, labels: {tier: one}, annotations: {note: kept}}
spec: {tags: [{key: env, value: prod}]}
---
apiVersion: longshore/v1
kind: TaskDefinition
metadata: {name: web, labels: {team: shop}}
spec:
  tags: [{key: team, value: shop}]
  containerDefinitions:
    - name: web
      image: busybox:1.36.1
      cpu: 128
      memory: 64
      memoryReservation: 32
      command: [sh, -c, 'echo hello; sleep 1000']
      portMappings: [{containerPort: 8080}]
      healthCheck: {command: [CMD-SHELL, 'true']}
    - name: clock
      image: busybox:1.36.1
      essential: false
      memory: 16
      command: [sleep, '1000']
---
apiVersion: longshore/v1
kind: TaskDefinition
metadata: {name: worker}
spec:
  containerDefinitions: [{name: worker, image: 'busybox:1.36.1', memory: 16}]
---
apiVersion: longshore/v1
kind: Service
metadata: {name: web, labels: {team: shop}, annotations: {why: ''}}
spec:
  taskDefinition: web
  desiredCount: 2
  tags: [{key: team, value: shop}]
  placementConstraints: [{type: memberOf, expression: 'attribute:ecs.os-type == linux'}]
---
apiVersion: longshore/v1
kind: Service
metadata: {name: web}
spec: {cluster: prod, taskDefinition: worker, desiredCount: 0}
---
apiVersion: longshore/v1
kind: Service
metadata: {name: worker}
spec: {cluster: prod, taskDefinition: worker, desiredCount: 1}
";

/// The API's clock stands here.
pub const NOW: i64 = 1_800_000_000_000;

/// A task's id that begins with `head`.
pub fn id(head: &str) -> TaskId {
    TaskId::new(format!("{head:0<32}"))
}

/// A running server.
pub struct World {
    pub store: SharedStore,
    pub epoch: Epoch,
    pub view: Arc<View>,
    pub engine: Arc<Simulated>,
    pub client: Client,
    pub control: Arc<TestControl>,
    pub folder: watch::Sender<FolderStatus>,
    pub loaded: Loaded,
    pub clock: Arc<ManualClock>,
    stop: CancellationToken,
    dir: tempfile::TempDir,
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Does what a daemon would, as far as the API can see.
pub struct TestControl {
    store: SharedStore,
    view: Arc<View>,
    epoch: Epoch,
    /// Records what RunTask asks for. It follows the folder once a test [starts](World::follow) it.
    controller: Arc<Controller>,
    pub troubles: watch::Sender<Vec<InstanceTrouble>>,
    pub shut_down: AtomicBool,
    pub down_with_volumes: Mutex<Vec<bool>>,
}

#[async_trait]
impl Control for TestControl {
    fn troubles(&self) -> watch::Receiver<Vec<InstanceTrouble>> {
        self.troubles.subscribe()
    }

    async fn stop_task(
        &self,
        cluster: &ClusterName,
        task: &TaskId,
        reason: &str,
    ) -> Result<u64, StopError> {
        let mut record = {
            let state = self.view.read();
            let entry = state.task(cluster, task).ok_or(StopError::Unknown)?;
            TaskRecord::clone(&entry.record.value)
        };
        record.desired = DesiredStatus::Stopped;
        record.stop = Some(StopOrder {
            code: StopCode::UserInitiated,
            reason: reason.to_owned(),
            at: Timestamp::from_millis(NOW),
        });
        Txn::new(&self.epoch)
            .put_json(keys::task(cluster, task), &record)
            .commit(&self.store)
            .await
            .map_err(StopError::Store)
    }

    async fn run_task(&self, request: &RunRequest) -> Result<RunOutcome, RunError> {
        self.controller.run_task(request).await
    }

    async fn rollout(
        &self,
        cluster: &ClusterName,
        service: &ServiceName,
        verb: &RolloutVerb,
        asked: Asked,
    ) -> Result<RolloutOutcome, RolloutError> {
        self.controller.rollout(cluster, service, verb, asked).await
    }

    async fn set_instance(
        &self,
        cluster: &ClusterName,
        instance: &InstanceId,
        wanted: longshore::model::InstanceDesired,
        asked: Asked,
    ) -> Result<u64, longshore::controller::DrainError> {
        self.controller
            .set_instance(cluster, instance, wanted, asked)
            .await
    }

    fn protection(
        &self,
        cluster: &ClusterName,
        task: &TaskId,
    ) -> Result<Option<TaskProtection>, ProtectionError> {
        let now = Timestamp::from_millis(NOW);
        let told = longshore::controller::protection(&self.view.read(), cluster, task, now);
        Ok(told?)
    }

    async fn protect(
        &self,
        cluster: &ClusterName,
        task: &TaskId,
        request: ProtectionRequest,
    ) -> Result<Option<TaskProtection>, ProtectionError> {
        self.protection(cluster, task)?;
        let granted = request.granted(Timestamp::from_millis(NOW));
        let key = keys::task_protection(cluster, task);
        let txn = match &granted {
            Some(protection) => Txn::new(&self.epoch).put_json(key, protection),
            None => Txn::new(&self.epoch).delete(key),
        };
        let revision = txn.commit(&self.store).await;
        let revision = revision.map_err(|error| ProtectionError::Failed(error.to_string()))?;
        self.view.caught_up(revision).await.unwrap();
        Ok(granted)
    }

    fn pulls(&self) -> Vec<PullStatus> {
        vec![PullStatus {
            cluster: ClusterName::default(),
            instance: "local".to_owned(),
            image: "busybox:1.36.1".to_owned(),
            current: 1,
            total: 2,
            status: "Downloading".to_owned(),
        }]
    }

    async fn down(
        &self,
        volumes: bool,
        say: mpsc::UnboundedSender<String>,
    ) -> Result<Vec<String>, String> {
        self.down_with_volumes.lock().unwrap().push(volumes);
        say.send("removed container one".to_owned()).unwrap();
        say.send("removed container two".to_owned()).unwrap();
        if volumes {
            return Err("volume data is in use".to_owned());
        }
        Ok(Vec::new())
    }

    async fn dump(&self) -> Result<serde_json::Value, String> {
        Err("this test has no state".to_owned())
    }

    async fn backup(&self, _to: &std::path::Path) -> Result<(), String> {
        Err("this test has no state".to_owned())
    }

    fn shutdown(&self) {
        self.shut_down.store(true, Ordering::SeqCst);
    }
}

impl World {
    /// A server with the services of [`FOLDER`] and no tasks.
    pub async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let manifests = dir.path().join("manifests");
        std::fs::create_dir(&manifests).unwrap();
        std::fs::write(manifests.join("all.yaml"), FOLDER).unwrap();
        let options = LoadOptions {
            now: Timestamp::from_millis(NOW),
            ..LoadOptions::default()
        };
        let loaded = load(&source::scan(&manifests), &LastGood::default(), &options);
        assert!(loaded.held.is_empty(), "{:?}", loaded.diagnostics);

        let store: SharedStore = Memory::new();
        let epoch = store.acquire("controller").await.unwrap();
        let stop = CancellationToken::new();
        let view = View::start(Arc::clone(&store), stop.clone());
        let clock = ManualClock::at(Timestamp::from_millis(NOW));
        let engine = Simulated::new(
            TokioClock::starting_at(Timestamp::from_millis(NOW)),
            SeededIds::new(7),
            SimOptions {
                pull_time: Duration::from_millis(1),
                ..SimOptions::default()
            },
        );
        engine
            .pull_image("busybox:1.36.1", None, None, &|_| ())
            .await
            .unwrap();
        let engines = Engines::default();
        engines.insert(
            ClusterName::default(),
            InstanceId::new("local"),
            Arc::clone(&engine) as _,
        );
        let control = Arc::new(TestControl {
            store: Arc::clone(&store),
            view: Arc::clone(&view),
            epoch: epoch.clone(),
            controller: Controller::new(
                Arc::clone(&store),
                Arc::clone(&view),
                epoch.clone(),
                Arc::clone(&clock) as _,
                SeededIds::new(9),
            ),
            troubles: watch::Sender::new(Vec::new()),
            shut_down: AtomicBool::new(false),
            down_with_volumes: Mutex::default(),
        });
        let folder = watch::Sender::new(FolderStatus {
            folder_hash: loaded.folder_hash.clone(),
            applied: true,
            ..FolderStatus::default()
        });
        let context = ApiContext {
            identity: Identity {
                version: "0.0.0".to_owned(),
                pid: 42,
                folder: manifests.display().to_string(),
                engine: "simulated".to_owned(),
                ..Identity::default()
            },
            view: Arc::clone(&view),
            engines,
            control: Arc::clone(&control) as _,
            status: folder.subscribe(),
            clock: Arc::clone(&clock) as _,
        };
        let path = dir.path().join("api.sock");
        let server = longshore::api::bind(&path, context).unwrap();
        tokio::spawn(server.run(stop.clone()));
        let world = Self {
            store,
            epoch,
            view,
            engine,
            client: Client::at(&path),
            control,
            folder,
            loaded,
            clock,
            stop,
            dir,
        };
        world.declare().await;
        world
    }

    /// Lets a controller follow the folder, without the services: nothing but what RunTask asks for is started.
    pub fn follow(&self) {
        let mut desired = self.loaded.desired.clone();
        desired.services.clear();
        self.control.controller.set_desired(Arc::new(desired));
        let (controller, stop) = (Arc::clone(&self.control.controller), self.stop.clone());
        tokio::spawn(async move { controller.run(stop).await });
    }

    /// The local instance's status in the manifest of the cluster `default` becomes that; returns once it is taken.
    pub async fn declare_instance(&self, status: longshore::model::InstanceDesired) {
        let mut desired = self.loaded.desired.clone();
        desired.services.clear();
        let cluster = ClusterName::default();
        let declared = desired.clusters.entry(cluster.clone()).or_insert_with(|| {
            let spec = longshore::model::ClusterSpec::named(cluster.clone());
            (spec, longshore::model::Source::default())
        });
        declared.0.instances = vec![longshore::model::InstanceSpec {
            desired: status,
            ..longshore::model::InstanceSpec::local()
        }];
        self.control.controller.set_desired(Arc::new(desired));
        let local = InstanceId::new("local");
        let taken = || {
            let entry = self.state_of(&cluster, &local);
            entry.asked.is_none() && entry.desired.is_some_and(|d| *d.value == status)
        };
        let mut changes = self.view.subscribe();
        while !taken() {
            changes.recv().await.expect("the view goes on");
        }
    }

    /// What is known of an instance.
    pub fn state_of(
        &self,
        cluster: &ClusterName,
        instance: &InstanceId,
    ) -> longshore::store::InstanceEntry {
        let state = self.view.read();
        state
            .instance(cluster, instance)
            .cloned()
            .unwrap_or_default()
    }

    /// Ends the server, as the daemon does.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    pub fn txn(&self) -> Txn {
        Txn::new(&self.epoch)
    }

    /// Commits, and waits until the server sees it.
    pub async fn commit(&self, txn: Txn) {
        let revision = txn.commit(&self.store).await.unwrap();
        self.view.caught_up(revision).await.unwrap();
    }

    /// What a controller records of the folder.
    async fn declare(&self) {
        let at = Timestamp::from_millis(NOW - 3_600_000);
        let mut txn = self.txn();
        for (key, good) in &self.loaded.good {
            let key = LastGoodKey {
                kind: key.kind.to_string(),
                cluster: key.cluster.clone(),
                name: key.name.clone(),
            };
            txn = txn.put_json(keys::last_good(&key), good);
        }
        for (cluster, _) in self.loaded.desired.clusters.values() {
            txn = txn.put_json(keys::cluster(&cluster.name), cluster);
        }
        for (family, (definition, _)) in &self.loaded.desired.task_definitions {
            let id = RevisionRef {
                family: family.clone(),
                revision: 1,
            };
            let record = TaskDefinitionRecord {
                id: id.clone(),
                input: definition.input.clone(),
                spec: definition.hash.clone(),
                labels: definition.labels.clone(),
                registered_at: at,
                deregistered_at: None,
            };
            txn = txn
                .put_json(keys::revision(&id), &record)
                .put_json(keys::spec(&definition.hash), &definition.spec);
        }
        for (spec, _) in self.loaded.desired.all_services() {
            let mut record = ServiceRecord::new(spec.clone(), at);
            let (definition, _) = &self.loaded.desired.task_definitions[&spec.family];
            record.deployment_counter = 1;
            record.deployments = vec![Deployment {
                id: "ecs-svc/0000000000000000001".into(),
                status: DeploymentStatus::Primary,
                revision: RevisionRef {
                    family: spec.family.clone(),
                    revision: 1,
                },
                spec: definition.hash.clone(),
                rollout: RolloutState::Completed,
                rollout_reason: "ECS deployment ecs-svc/0000000000000000001 completed.".to_owned(),
                desired_count: spec.desired_count,
                generation: 0,
                failed_tasks: 0,
                failed_at: None,
                images: BTreeMap::new(),
                created_at: at,
                updated_at: at,
            }];
            txn = txn.put_json(keys::service(&spec.cluster, &spec.name), &record);
        }
        let cluster = ClusterName::default();
        let local = InstanceId::new("local");
        let instance = Instance {
            id: local.clone(),
            engine_id: "SIMU".to_owned(),
            engine_version: "20.10.24".to_owned(),
            api_version: "1.41".to_owned(),
            agent_version: "0.0.0".to_owned(),
            registered: Resources {
                cpu: 2048,
                memory: 4096,
            },
            reserved_ports: [(Protocol::Tcp, 22)].into(),
            dynamic_ports: Default::default(),
            gpus: Default::default(),
            attributes: [("ecs.os-type".to_owned(), "linux".to_owned())].into(),
            registered_at: at,
            connected: true,
            connected_at: at,
            spec: None,
            remote: false,
        };
        let reservation = Reservation {
            resources: Resources {
                cpu: 128,
                memory: 48,
            },
            ports: [(Protocol::Tcp, 32_768)].into(),
            gpus: Default::default(),
        };
        let reserved = Reserved([(id("aa"), reservation)].into());
        txn = txn
            .put_json(keys::instance(&cluster, &local), &instance)
            .put_json(keys::instance_reserved(&cluster, &local), &reserved);
        self.commit(txn).await;
    }

    /// The record of a service.
    pub fn service(&self, cluster: &str, name: &str) -> ServiceRecord {
        let state = self.view.read();
        let record = state.service(&cluster.into(), &ServiceName::new(name));
        ServiceRecord::clone(&record.unwrap().value)
    }

    /// Writes a service's record.
    pub async fn put_service(&self, record: &ServiceRecord) {
        let key = keys::service(&record.spec.cluster, &record.spec.name);
        self.commit(self.txn().put_json(key, record)).await;
    }

    /// A task of the service `web` as it is ordered.
    pub fn ordered(&self, task: &TaskId) -> TaskRecord {
        let (definition, _) = &self.loaded.desired.task_definitions["web"];
        TaskRecord {
            id: task.clone(),
            cluster: ClusterName::default(),
            instance: "local".into(),
            group: "service:web".to_owned(),
            service: Some("web".into()),
            deployment: Some("ecs-svc/0000000000000000001".into()),
            standalone: None,
            family: "web".into(),
            revision: 1,
            spec: definition.hash.clone(),
            desired: DesiredStatus::Running,
            stop: None,
            created_at: Timestamp::from_millis(NOW - 600_000),
            dns_names: vec!["web".to_owned()],
            ports: Vec::new(),
            capacity_provider: None,
            gpus: Default::default(),
            generation: 0,
            images: BTreeMap::new(),
        }
    }

    /// Starts a container on the engine that runs `script` and then goes on; returns its id.
    pub async fn container(&self, name: &str, script: &str) -> String {
        let body = CreateBody {
            image: "busybox:1.36.1".to_owned(),
            entrypoint: Some(vec!["sh".to_owned(), "-c".to_owned()]),
            cmd: Some(vec![script.to_owned()]),
            ..CreateBody::default()
        };
        let id = self.engine.create_container(name, &body).await.unwrap();
        self.engine.start_container(&id).await.unwrap();
        id
    }

    /// A healthy task of `web` whose containers exist on the engine; `web` writes `said`, and then nothing.
    pub async fn running(&self, task: &TaskId, said: &[&str]) {
        let lines: String = said.iter().map(|line| format!("echo {line}; ")).collect();
        let web = self
            .container(
                &format!("{}-web", task.short()),
                &format!("{lines}sleep 1000"),
            )
            .await;
        let clock = self
            .container(&format!("{}-clock", task.short()), "sleep 1000")
            .await;
        self.report(task, &status(Some(web), Some(clock))).await;
    }

    /// Writes a task's record and status.
    pub async fn report(&self, task: &TaskId, status: &TaskStatus) {
        let cluster = ClusterName::default();
        let txn = self
            .txn()
            .put_json(keys::task(&cluster, task), &self.ordered(task))
            .put_json(keys::task_status(&cluster, task), status);
        self.commit(txn).await;
    }

    /// A task of `web` that ended with code 1 and whose containers are gone.
    pub async fn failed(&self, task: &TaskId) {
        let mut status = status(Some("gone".to_owned()), None);
        status.last_status = LastStatus::Stopped;
        status.health = HealthStatus::Unknown;
        status.stop_code = Some(StopCode::EssentialContainerExited);
        status.stopped_reason = Some("Essential container in task exited".to_owned());
        status.execution_stopped_at = Some(Timestamp::from_millis(NOW - 120_000));
        status.stopped_at = Some(Timestamp::from_millis(NOW - 110_000));
        status.last_log_lines = vec!["cannot open /nowhere".to_owned()];
        status.containers[0].last_status = LastStatus::Stopped;
        status.containers[0].health = HealthStatus::Unknown;
        status.containers[0].exit_code = Some(1);
        self.report(task, &status).await;
    }

    /// Says something as a service.
    pub async fn say(&self, cluster: &str, service: &str, seq: u64, count: u32, message: &str) {
        let at = Timestamp::from_millis(NOW - 60_000 + i64::try_from(seq).unwrap());
        let event = ServiceEvent {
            cluster: cluster.into(),
            service: service.into(),
            seq,
            at,
            last_at: at.plus(Duration::from_secs(u64::from(count - 1))),
            count,
            level: EventLevel::Info,
            name: None,
            message: message.to_owned(),
        };
        let key = keys::event(&event.cluster, &event.service, seq);
        self.commit(self.txn().put_json(key, &event)).await;
    }

    /// Keeps a resource at its last good version.
    pub fn hold(&self, kind: &str, cluster: Option<&str>, name: &str) {
        self.folder.send_modify(|status| {
            status.held.push(HeldResource {
                kind: kind.to_owned(),
                cluster: cluster.map(Into::into),
                name: name.to_owned(),
                since: Timestamp::from_millis(NOW - 5000),
                accepted_at: Timestamp::from_millis(NOW - 5000),
                because: "all.yaml:3:1: error[LS0101]: it is broken".to_owned(),
            });
        });
    }

    /// The socket.
    pub fn socket(&self) -> std::path::PathBuf {
        self.dir.path().join("api.sock")
    }
}

/// The status of a healthy task of `web` with these containers on the engine.
pub fn status(web: Option<String>, clock: Option<String>) -> TaskStatus {
    let started = Timestamp::from_millis(NOW - 500_000);
    let container = |name: &str, runtime_id: Option<String>, health| ContainerStatus {
        name: name.to_owned(),
        runtime_id,
        last_status: LastStatus::Running,
        health,
        started_at: Some(started),
        ..ContainerStatus::default()
    };
    let mut web = container("web", web, HealthStatus::Healthy);
    web.image_digest = Some("sha256:0123".to_owned());
    web.address = Some("172.18.0.2".to_owned());
    web.network_bindings = vec![NetworkBinding {
        bind_ip: "0.0.0.0".to_owned(),
        container_port: 8080,
        host_port: 32_768,
        protocol: Protocol::Tcp,
        count: 1,
    }];
    TaskStatus {
        last_status: LastStatus::Running,
        health: HealthStatus::Healthy,
        containers: vec![web, container("clock", clock, HealthStatus::Unknown)],
        pull_started_at: Some(started),
        pull_stopped_at: Some(started),
        started_at: Some(started),
        healthy_at: Some(started),
        ..TaskStatus::default()
    }
}
