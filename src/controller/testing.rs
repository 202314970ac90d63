//! A small world to plan in: one service, its tasks, some instances, a clock that tests move.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::placement::InstanceView;
use super::plan::most_decisions;
use super::{Decision, Definition, Plan, PlanInput, TaskView, plan};
use crate::model::{
    ClusterName, ClusterSpec, ContainerSpec, ContainerStatus, DesiredStatus, HealthCheck,
    HealthStatus, Instance, InstanceDesired, InstanceId, LastStatus, PortMapping, Reservation,
    Reserved, Resources, RevisionRef, SchedulingStrategy, ServiceOverrides, ServiceRecord,
    ServiceSpec, StopCode, StopOrder, TaskId, TaskRecord, TaskSpec, TaskStatus, Timestamp,
};
use crate::store::Limits;

/// Most decisions of a plan here: what every store takes.
pub const MOST_DECISIONS: usize = most_decisions(Limits::SHARED);

/// How much was looked at, by this thread: tasks once each time they are gone through, and instances once each time a task is
/// tried there. What a test says of costs, it says in these.
pub mod work {
    use std::cell::Cell;

    thread_local! {
        static DONE: Cell<usize> = const { Cell::new(0) };
    }

    pub fn add(more: usize) {
        DONE.set(DONE.get() + more);
    }

    /// What `of` costs.
    pub fn of<T>(of: impl FnOnce() -> T) -> (T, usize) {
        let before = DONE.get();
        let result = of();
        (result, DONE.get() - before)
    }
}

/// A task specification with one essential container.
pub fn task_spec(image: &str) -> TaskSpec {
    serde_json::from_value(serde_json::json!({
        "family": "web",
        "containers": [{"name": "app", "image": image, "essential": true}],
    }))
    .expect("a task specification")
}

pub fn app(spec: &mut TaskSpec) -> &mut ContainerSpec {
    &mut spec.containers[0]
}

pub fn with_health_check(mut spec: TaskSpec) -> TaskSpec {
    app(&mut spec).health_check = Some(HealthCheck {
        command: vec!["CMD".to_owned(), "true".to_owned()],
        interval: 30,
        timeout: 5,
        retries: 3,
        start_period: 0,
    });
    spec
}

pub fn with_port(mut spec: TaskSpec, host_port: Option<u16>) -> TaskSpec {
    app(&mut spec).port_mappings.push(PortMapping {
        container_port: 80,
        last_container_port: None,
        host_port,
        protocol: crate::model::Protocol::Tcp,
        name: None,
    });
    spec
}

pub fn service_spec(count: u32) -> ServiceSpec {
    ServiceSpec {
        cluster: ClusterName::default(),
        name: "web".into(),
        family: "web".into(),
        revision: None,
        desired_count: count,
        scheduling: SchedulingStrategy::Replica,
        minimum_healthy_percent: 100,
        maximum_percent: 200,
        circuit_breaker: None,
        early_success: None,
        health_check_grace_period: 0,
        placement_constraints: Vec::new(),
        placement_strategy: Vec::new(),
        capacity_providers: Vec::new(),
        names_launch_type: false,
        zone_rebalancing: false,
        tags: BTreeMap::new(),
        labels: BTreeMap::new(),
        enable_execute_command: false,
        manifest_hash: "m1".to_owned(),
    }
}

pub fn instance(id: &str) -> Instance {
    Instance {
        id: id.into(),
        engine_id: format!("engine-{id}"),
        engine_version: "20.10".to_owned(),
        api_version: "1.41".to_owned(),
        agent_version: "0".to_owned(),
        registered: Resources {
            cpu: 4096,
            memory: 8192,
        },
        reserved_ports: Default::default(),
        dynamic_ports: Default::default(),
        gpus: Default::default(),
        attributes: BTreeMap::new(),
        registered_at: Timestamp::from_millis(0),
        connected: true,
        connected_at: Timestamp::from_millis(0),
        spec: None,
        remote: false,
    }
}

pub struct Task {
    pub record: TaskRecord,
    pub status: Option<TaskStatus>,
    /// Until when it is protected.
    pub protected_until: Option<Timestamp>,
    /// When it was given up.
    pub lost: Option<Timestamp>,
    /// What every container of it writes before it ends.
    pub log: Vec<String>,
}

pub struct World {
    pub cluster: ClusterSpec,
    pub service: Option<ServiceSpec>,
    pub revision: u32,
    pub spec: Arc<TaskSpec>,
    pub record: Option<ServiceRecord>,
    pub overrides: ServiceOverrides,
    pub tasks: BTreeMap<TaskId, Task>,
    pub specs: BTreeMap<crate::model::SpecHash, Arc<TaskSpec>>,
    pub instances: BTreeMap<InstanceId, (Instance, InstanceDesired, Reserved)>,
    pub now: Timestamp,
    /// Since when a controller has watched the instances.
    pub watching_since: Timestamp,
    /// Lines of all plans since they were last asked for.
    pub log: Vec<String>,
    ids: u32,
}

impl World {
    /// `count` tasks wanted, nothing there, one instance.
    pub fn of(count: u32, spec: TaskSpec) -> Self {
        let mut world = Self {
            // As long as ECS has it, so that what happens in between has time to.
            cluster: ClusterSpec {
                healthy_after: 40,
                ..ClusterSpec::named(ClusterName::default())
            },
            service: Some(service_spec(count)),
            revision: 0,
            spec: Arc::new(spec.clone()),
            record: None,
            overrides: ServiceOverrides::default(),
            tasks: BTreeMap::new(),
            specs: BTreeMap::new(),
            instances: BTreeMap::new(),
            now: Timestamp::from_millis(1_000_000),
            watching_since: Timestamp::default(),
            log: Vec::new(),
            ids: 0,
        };
        world.deploy(1, spec);
        world.add_instance("local");
        world
    }

    pub fn add_instance(&mut self, id: &str) {
        let view = (instance(id), InstanceDesired::Active, Reserved::default());
        self.instances.insert(id.into(), view);
    }

    /// The family's newest revision becomes that.
    pub fn deploy(&mut self, revision: u32, spec: TaskSpec) {
        self.revision = revision;
        self.spec = Arc::new(spec);
        self.specs.insert(self.spec.hash(), Arc::clone(&self.spec));
    }

    pub fn manifest(&mut self) -> &mut ServiceSpec {
        self.service.as_mut().expect("a service")
    }

    pub fn percentages(&mut self, minimum: u32, maximum: u32) {
        let manifest = self.manifest();
        manifest.minimum_healthy_percent = minimum;
        manifest.maximum_percent = maximum;
    }

    pub fn plan(&self) -> Plan {
        self.plan_at_most(MOST_DECISIONS)
    }

    pub fn plan_at_most(&self, most: usize) -> Plan {
        self.plan_with(most, false)
    }

    /// The plan when tasks and instances are handed over in the opposite order.
    pub fn plan_of_reversed(&self) -> Plan {
        self.plan_with(MOST_DECISIONS, true)
    }

    /// The tasks that are wanted to run, by instance and group.
    pub fn groups(&self) -> BTreeMap<InstanceId, BTreeMap<String, u32>> {
        let mut groups: BTreeMap<InstanceId, BTreeMap<String, u32>> = BTreeMap::new();
        for task in self.tasks.values() {
            let over = task.status.as_ref().is_some_and(TaskStatus::is_stopped);
            if task.record.desired == DesiredStatus::Running && !over {
                let of_instance = groups.entry(task.record.instance.clone()).or_default();
                *of_instance.entry(task.record.group.clone()).or_default() += 1;
            }
        }
        groups
    }

    /// The instances as a plan sees them.
    pub fn views<'a>(
        &'a self,
        groups: &'a BTreeMap<InstanceId, BTreeMap<String, u32>>,
    ) -> Vec<InstanceView<'a>> {
        self.instances
            .values()
            .map(|(instance, desired, reserved)| InstanceView {
                instance,
                desired: *desired,
                reserved,
                booked: None,
                others: Vec::new(),
                groups: groups.get(&instance.id),
            })
            .collect()
    }

    fn plan_with(&self, most: usize, reversed: bool) -> Plan {
        let mut tasks: Vec<TaskView<'_>> = self
            .tasks
            .values()
            .map(|task| TaskView {
                record: &task.record,
                status: task.status.as_ref(),
                lost: task.lost,
                protected_until: task.protected_until,
                spec: self.specs.get(&task.record.spec).map(Arc::as_ref),
            })
            .collect();
        let groups = self.groups();
        let mut instances = self.views(&groups);
        if reversed {
            tasks.reverse();
            instances.reverse();
        }
        let revision = RevisionRef {
            family: "web".into(),
            revision: self.revision,
        };
        let hash = self.spec.hash();
        plan(&PlanInput {
            cluster: &self.cluster,
            service: &"web".into(),
            desired: self.service.as_ref(),
            definition: self.service.as_ref().map(|_| Definition {
                revision: &revision,
                hash: &hash,
                spec: &self.spec,
            }),
            unregistered: None,
            record: self.record.as_ref(),
            overrides: Some(&self.overrides),
            specs: &self.specs,
            tasks: &tasks,
            instances: &instances,
            watching_since: self.watching_since,
            now: self.now,
            most,
        })
    }

    /// Records a plan as the worker would.
    pub fn apply(&mut self, plan: Plan) {
        self.release();
        for decision in plan.decisions {
            self.log.push(decision.to_string());
            self.decide(decision);
        }
        for event in plan.events {
            self.log
                .push(format!("{:?}: {event}", event.level).to_uppercase_level());
        }
        if let Some(overrides) = plan.overrides {
            self.overrides = overrides;
        }
        if plan.forget {
            self.record = None;
            self.log.push("forget the service".to_owned());
        } else if let Some(record) = plan.record {
            self.record = Some(record);
        }
        self.release();
    }

    fn decide(&mut self, decision: Decision) {
        match decision {
            Decision::StartTask { .. } => {
                self.ids += 1;
                let id = TaskId::new(format!("task{:08}{:020}", self.ids, 0));
                let key = (&ClusterName::default(), &"web".into());
                let record = decision.ordered(id.clone(), key, self.now);
                let record = record.expect("a start");
                let spec = &self.specs[&record.spec];
                let held = Reservation::of(Some(spec), &record.ports, &record.gpus);
                let booked = &mut self.instances.get_mut(&record.instance).expect("placed").2;
                for (other, reservation) in &booked.0 {
                    assert!(
                        reservation.ports.is_disjoint(&held.ports),
                        "{other} holds a port of {id}"
                    );
                    assert!(
                        reservation.gpus.is_disjoint(&held.gpus),
                        "{other} holds a GPU of {id}"
                    );
                }
                booked.0.insert(id.clone(), held);
                let task = Task {
                    record,
                    status: None,
                    protected_until: None,
                    lost: None,
                    log: Vec::new(),
                };
                self.tasks.insert(id, task);
            }
            Decision::StopTask {
                id, code, reason, ..
            } => {
                let at = self.now;
                let task = self.task(&id);
                assert_eq!(task.record.desired, DesiredStatus::Running, "stopped twice");
                task.record.desired = DesiredStatus::Stopped;
                task.record.stop = Some(StopOrder { code, reason, at });
            }
            Decision::GiveUpTask { id, .. } => {
                let now = self.now;
                let before = self.task(&id).lost.replace(now);
                assert_eq!(before, None, "given up twice");
            }
            Decision::DeleteTask { id, .. } => {
                let task = self.tasks.remove(&id).expect("a task to delete");
                let over = task.status.is_some_and(|status| status.is_stopped());
                assert!(over || task.lost.is_some());
            }
        }
    }

    fn release(&mut self) {
        for (_, _, reserved) in self.instances.values_mut() {
            reserved.0.retain(|id, _| {
                let holds = |task: &Task| {
                    let status = task.status.as_ref();
                    task.lost.is_none() && status.is_none_or(|status| !status.is_stopped())
                };
                self.tasks.get(id).is_some_and(holds)
            });
        }
    }

    /// Plans and applies until a plan changes nothing.
    pub fn settle(&mut self) {
        for _ in 0..50 {
            let plan = self.plan();
            if plan.is_empty() {
                return;
            }
            self.apply(plan);
        }
        panic!("plans without end:\n{}", self.log.join("\n"));
    }

    /// What was planned since this was last asked, one line each.
    pub fn said(&mut self) -> String {
        self.settle();
        std::mem::take(&mut self.log).join("\n")
    }

    pub fn pass(&mut self, seconds: u64) {
        self.now = self.now.plus(Duration::from_secs(seconds));
    }

    pub fn task(&mut self, id: &TaskId) -> &mut Task {
        self.tasks.get_mut(id).expect("a task")
    }

    pub fn ids(&self, which: impl Fn(&Task) -> bool) -> Vec<TaskId> {
        self.tasks
            .iter()
            .filter(|(_, task)| which(task))
            .map(|(id, _)| id.clone())
            .collect()
    }

    /// The task with that number, in the order of their starts from 1.
    pub fn nth(&self, number: u32) -> TaskId {
        TaskId::new(format!("task{number:08}{:020}", 0))
    }

    /// Every task that should run and does not yet becomes RUNNING.
    pub fn run_all(&mut self) {
        let now = self.now;
        for task in self.tasks.values_mut() {
            let wanted = task.record.desired == DesiredStatus::Running;
            let status = task.status.get_or_insert_default();
            if wanted && status.last_status < LastStatus::Running {
                status.last_status = LastStatus::Running;
                status.started_at = Some(now);
            }
        }
    }

    /// Every task that is ordered to stop has stopped.
    pub fn stop_all(&mut self) {
        let now = self.now;
        for task in self.tasks.values_mut() {
            let status = task.status.get_or_insert_default();
            if task.record.desired == DesiredStatus::Stopped && !status.is_stopped() {
                status.last_status = LastStatus::Stopped;
                status.stopped_at = Some(now);
            }
        }
    }

    pub fn health(&mut self, id: &TaskId, health: HealthStatus) {
        let now = self.now;
        let status = self.task(id).status.get_or_insert_default();
        status.health = health;
        if health == HealthStatus::Healthy {
            status.healthy_at.get_or_insert(now);
        }
    }

    /// Every RUNNING task's health check passes.
    pub fn all_healthy(&mut self) {
        for id in self.ids(|task| {
            task.status
                .as_ref()
                .is_some_and(|status| status.last_status == LastStatus::Running)
        }) {
            self.health(&id, HealthStatus::Healthy);
        }
    }

    /// The instance's engine answers, or does not, from now on.
    pub fn answers(&mut self, id: &str, connected: bool) {
        let now = self.now;
        let (instance, ..) = self.instances.get_mut(id).expect("an instance");
        (instance.connected, instance.connected_at) = (connected, now);
    }

    /// The task may not be chosen to go for so many seconds.
    pub fn protect(&mut self, id: &TaskId, seconds: u64) {
        let until = self.now.plus(Duration::from_secs(seconds));
        self.task(id).protected_until = Some(until);
    }

    /// The task's container ends by itself.
    pub fn exit(&mut self, id: &TaskId, code: i64) {
        let now = self.now;
        let task = self.task(id);
        let log = task.log.clone();
        let status = task.status.get_or_insert_default();
        status.stop_code = Some(match status.last_status < LastStatus::Running {
            true => StopCode::TaskFailedToStart,
            false => StopCode::EssentialContainerExited,
        });
        status.last_status = LastStatus::Stopped;
        status.stopped_reason = Some("Essential container in task exited".to_owned());
        status.execution_stopped_at = Some(now);
        status.stopped_at = Some(now);
        status.last_log_lines = log;
        status.containers = vec![ContainerStatus {
            name: "app".to_owned(),
            exit_code: Some(code),
            finished_at: Some(now),
            ..ContainerStatus::default()
        }];
    }

    /// Runs the wanted number of healthy tasks and forgets how it came to that.
    pub fn steady(&mut self) {
        for _ in 0..20 {
            self.settle();
            self.run_all();
            self.all_healthy();
            self.stop_all();
            self.pass(u64::from(self.cluster.healthy_after));
        }
        self.settle();
        assert!(self.record.as_ref().is_none_or(|record| record.steady));
        self.log.clear();
    }

    /// Counts of existing tasks and healthy ones, as the promise P3 counts them.
    pub fn counts(&self) -> (u32, u32) {
        let (mut existing, mut healthy) = (0, 0);
        for (id, task) in &self.tasks {
            let over = task.status.as_ref().is_some_and(|s| s.is_stopped());
            existing += u32::from(!over);
            healthy += u32::from(self.is_healthy(id));
        }
        (existing, healthy)
    }

    /// Whether the promise P3 counts that task as healthy.
    pub fn is_healthy(&self, id: &TaskId) -> bool {
        let task = &self.tasks[id];
        let status = task.status.clone().unwrap_or_default();
        let checked = self.specs[&task.record.spec].has_health_check();
        let fine = match (checked, status.started_at) {
            (true, _) => status.health == HealthStatus::Healthy,
            (false, Some(started)) => {
                self.now.since(started).as_secs() >= u64::from(self.cluster.healthy_after)
            }
            (false, None) => false,
        };
        task.record.desired == DesiredStatus::Running
            && fine
            && status.last_status == LastStatus::Running
            && status.execution_stopped_at.is_none()
    }

    pub fn manifest_is_replica(&self) -> bool {
        let spec = self.service.as_ref();
        spec.is_some_and(|spec| spec.scheduling == SchedulingStrategy::Replica)
    }
}

trait UppercaseLevel {
    fn to_uppercase_level(self) -> String;
}

impl UppercaseLevel for String {
    fn to_uppercase_level(self) -> String {
        match self.split_once(':') {
            Some((level, rest)) => format!("{}:{rest}", level.to_uppercase()),
            None => self,
        }
    }
}
