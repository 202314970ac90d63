//! Tests of the decisions: each sentence of the semantics by example, golden plans of whole lives, and properties.

mod images;
mod lifecycle;
mod properties;
mod world;

use std::collections::BTreeMap;

use serde_json::json;

use super::facts::{Attempt, Facts, ImageFact, Readiness, Step, StepInput};
use super::{CallKey, Verb, step};
use crate::engine::{ContainerState, ErrorKind, ObservedContainer};
use crate::model::{
    DesiredStatus, HealthStatus, SpecHash, StopCode, StopOrder, TaskId, TaskLost, TaskRecord,
    TaskSpec, TaskStatus, Timestamp,
};

pub(super) fn spec(value: serde_json::Value) -> TaskSpec {
    serde_json::from_value(value).expect("a task specification")
}

/// A `host` task, so that neither a network nor a pause container stands in the way of what is tested.
pub(super) fn task(containers: serde_json::Value) -> TaskSpec {
    let mut containers = containers;
    for container in containers.as_array_mut().expect("a list") {
        let fields = container.as_object_mut().expect("an object");
        fields.entry("image").or_insert(json!("busybox"));
        fields.entry("essential").or_insert(json!(true));
    }
    spec(json!({"family": "web", "network_mode": "host", "containers": containers}))
}

pub(super) fn record(spec: &TaskSpec) -> TaskRecord {
    TaskRecord {
        id: TaskId::new("0123456789abcdef0123456789abcdef"),
        cluster: "default".into(),
        instance: "local".into(),
        group: "service:web".to_owned(),
        service: Some("web".into()),
        deployment: None,
        standalone: None,
        family: spec.family.clone(),
        revision: 1,
        spec: SpecHash::new("v1-feed"),
        desired: DesiredStatus::Running,
        stop: None,
        created_at: at(0),
        dns_names: Vec::new(),
        ports: Vec::new(),
        capacity_provider: None,
        gpus: BTreeMap::new(),
        generation: 0,
        images: BTreeMap::new(),
    }
}

/// That many seconds after the tests' day began.
pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(1_000_000 + seconds * 1_000)
}

pub(super) fn order_to_stop(reason: &str) -> StopOrder {
    StopOrder {
        code: StopCode::ServiceSchedulerInitiated,
        reason: reason.to_owned(),
        at: at(0),
    }
}

/// A container as an engine shows one that was created and nothing more.
pub(super) fn created(name: &str) -> ObservedContainer {
    ObservedContainer {
        id: format!("id-{name}"),
        name: format!("longshore-web-1-{name}-0123456789ab"),
        image: "busybox".to_owned(),
        image_id: "sha256:1".to_owned(),
        labels: BTreeMap::new(),
        state: ContainerState::Created,
        exit_code: None,
        oom_killed: false,
        error: String::new(),
        created_at: Some(at(0)),
        started_at: None,
        finished_at: None,
        health: HealthStatus::Unknown,
        health_output: None,
        pid: 0,
        addresses: BTreeMap::new(),
        ports: Vec::new(),
        volumes: Vec::new(),
    }
}

pub(super) fn running(name: &str, since: i64) -> ObservedContainer {
    ObservedContainer {
        state: ContainerState::Running,
        started_at: Some(at(since)),
        pid: 7,
        ..created(name)
    }
}

pub(super) fn exited(name: &str, code: i64, from: i64, to: i64) -> ObservedContainer {
    ObservedContainer {
        state: ContainerState::Exited,
        exit_code: Some(code),
        started_at: Some(at(from)),
        finished_at: Some(at(to)),
        ..created(name)
    }
}

pub(super) fn healthy(name: &str, health: HealthStatus) -> ObservedContainer {
    ObservedContainer {
        health,
        ..running(name, 0)
    }
}

/// A task in front of its agent.
pub(super) struct Scene {
    pub spec: TaskSpec,
    pub record: TaskRecord,
    pub lost: Option<TaskLost>,
    pub observed: BTreeMap<String, ObservedContainer>,
    pub prior: TaskStatus,
    pub facts: Facts,
    pub now: Timestamp,
}

impl Scene {
    /// Everything that the task needs from outside is there.
    pub fn of(spec: TaskSpec) -> Self {
        let present = ImageFact::Present {
            digest: None,
            pulled: None,
            ours: false,
        };
        let facts = Facts {
            images: spec
                .containers
                .iter()
                .map(|c| (c.image.clone(), present.clone()))
                .collect(),
            network: Readiness::Ready,
            pause_image: Readiness::Ready,
            volumes: spec
                .volumes
                .iter()
                .map(|v| (v.name.clone(), Readiness::Ready))
                .collect(),
            ..Facts::default()
        };
        Self {
            record: record(&spec),
            spec,
            lost: None,
            observed: BTreeMap::new(),
            prior: TaskStatus::default(),
            facts,
            now: at(100),
        }
    }

    pub fn see(mut self, name: &str, container: ObservedContainer) -> Self {
        self.observed.insert(name.to_owned(), container);
        self
    }

    pub fn gone(mut self, name: &str) -> Self {
        self.observed.remove(name);
        self
    }

    pub fn ordered_to_stop(mut self, reason: &str) -> Self {
        self.record.desired = DesiredStatus::Stopped;
        self.record.stop = Some(order_to_stop(reason));
        self
    }

    pub fn failed(mut self, verb: Verb, target: &str, kind: ErrorKind, failures: u32) -> Self {
        let attempt = Attempt {
            failures,
            at: self.now,
            kind,
            message: "no luck".to_owned(),
        };
        self.facts
            .attempts
            .insert(CallKey::new(verb, target), attempt);
        self
    }

    pub fn step(&self) -> Step {
        step(&StepInput {
            record: &self.record,
            spec: &self.spec,
            lost: self.lost.as_ref(),
            observed: &self.observed,
            prior: &self.prior,
            facts: &self.facts,
            now: self.now,
        })
    }

    /// Steps, and keeps the status as the next step's prior.
    pub fn advance(mut self) -> Self {
        self.prior = self.step().status;
        self
    }

    pub fn status(&self) -> TaskStatus {
        self.step().status
    }

    /// The actions as people read them, in order.
    pub fn actions(&self) -> Vec<String> {
        lines(&self.step())
    }
}

pub(super) fn lines(step: &Step) -> Vec<String> {
    step.actions.iter().map(ToString::to_string).collect()
}
