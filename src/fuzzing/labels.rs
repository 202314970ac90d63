//! The labels of containers: what a lost store is made from again, and what tasks' containers are created with.

use std::collections::BTreeMap;

use super::text;
use crate::agent::recover;
use crate::engine::translate::firelens;
use crate::engine::translate::{
    Additions, Context, EngineFacts, Recovery, container_body, needs_pause, pause_body,
};
use crate::engine::{ContainerState, ObservedContainer, labels};
use crate::model::{DesiredStatus, HealthStatus, TaskRecord, TaskSpec};
use crate::store::{Item, Listing, State, keys};

fn context() -> Context {
    Context {
        owner: "00112233445566ff".to_owned(),
        instance: "local".into(),
        network: "net".to_owned(),
        seq: 42,
        pause_image: "pause".to_owned(),
        facts: EngineFacts {
            cgroup_version: 2,
            architecture: "amd64".to_owned(),
            logging_driver: "json-file".to_owned(),
            cpus: 4,
            root_dir: "/var/lib/docker".to_owned(),
            cgroups: None,
        },
        publish_awsvpc_ports: true,
        log_drivers: BTreeMap::new(),
        file_systems: BTreeMap::new(),
    }
}

fn observed(id: usize, labels: BTreeMap<String, String>) -> ObservedContainer {
    ObservedContainer {
        id: id.to_string(),
        name: format!("longshore-{id}"),
        image: String::new(),
        image_id: String::new(),
        labels,
        state: ContainerState::Running,
        exit_code: None,
        oom_killed: false,
        error: String::new(),
        created_at: None,
        started_at: None,
        finished_at: None,
        health: HealthStatus::Unknown,
        health_output: None,
        pid: 1,
        addresses: BTreeMap::new(),
        ports: Vec::new(),
        volumes: Vec::new(),
    }
}

/// Either the value of `longshore.spec`: then the containers of that task, once created, tell of it again; or labels, one a
/// line and an empty line between containers: then whatever they tell can be kept.
pub fn check(data: &[u8]) {
    let Some(text) = text(data) else { return };
    if let Some(told) = Recovery::parse(text) {
        return is_told_again(&told);
    }
    let containers = text.split("\n\n").take(8).enumerate();
    let containers: Vec<ObservedContainer> = containers
        .map(|(id, labels)| {
            let labels = labels.lines().filter_map(|line| line.split_once('='));
            let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
            observed(id, labels.collect())
        })
        .collect();
    can_be_kept(&containers);
}

fn is_told_again(told: &Recovery) {
    let (spec, record) = (&told.spec, &told.record);
    let containers = created(spec, record);
    can_be_kept(&containers);
    let bearers = containers.iter();
    let bearers = bearers.filter(|c| c.labels.contains_key(labels::SPEC));
    let bearers = bearers.count();
    let names = spec.containers.iter().map(|c| &c.name);
    let distinct: std::collections::BTreeSet<_> = names.collect();
    if distinct.len() != spec.containers.len() || containers.is_empty() {
        return;
    }
    assert_eq!(bearers, 1, "{spec:?}");
    let back = recover(&containers);
    let wanted = TaskRecord {
        desired: DesiredStatus::Running,
        stop: None,
        ..record.clone()
    };
    assert_eq!(back.tasks.get(&record.id).map(|t| &t.record), Some(&wanted));
    assert_eq!(back.specs.get(&record.spec), Some(spec));
    assert_eq!((back.max_seq, back.unknown.len()), (42, 0));
}

/// The task's containers as they would be created, each the same whenever that is.
fn created(spec: &TaskSpec, record: &TaskRecord) -> Vec<ObservedContainer> {
    let (context, nothing) = (context(), Additions::default());
    let mut bodies = Vec::new();
    for container in &spec.containers {
        let body = || container_body(spec, record, container, &context, &nothing);
        assert_eq!(body(), body());
        bodies.push(body());
    }
    if needs_pause(spec) {
        bodies.push(pause_body(spec, record, &context));
    }
    let bodies = bodies.into_iter().enumerate();
    bodies.map(|(id, body)| observed(id, body.labels)).collect()
}

/// What containers tell is a function of them, belongs to the tasks that they say, and can be read once it is stored.
fn can_be_kept(containers: &[ObservedContainer]) {
    let told = recover(containers);
    assert_eq!(told, recover(containers));
    assert!(told.tasks.len() + told.unknown.len() <= containers.len());
    let mut items = Vec::new();
    for (id, task) in &told.tasks {
        assert_eq!(*id, task.record.id);
        assert!(told.specs.contains_key(&task.record.spec) && task.seq <= told.max_seq);
        items.push(Item {
            key: keys::task(&task.record.cluster, id),
            value: serde_json::to_vec(&task.record).expect("it can be written"),
            revision: 1,
        });
    }
    let named =
        |task: &TaskRecord| !task.cluster.as_str().is_empty() && !task.id.as_str().is_empty();
    let tasks = told
        .tasks
        .values()
        .filter(|task| named(&task.record))
        .count();
    let state = State::of(Listing { items, revision: 1 });
    assert_eq!((state.tasks.len(), state.corrupt.len()), (tasks, 0));
}

/// A router's configuration has the lines that its options give it: no value adds any.
pub fn router(data: &[u8]) {
    let Some(told) = text(data).and_then(Recovery::parse) else {
        return;
    };
    let Some((_, router)) = told.spec.router() else {
        return;
    };
    let lines = |spec: &TaskSpec| {
        let text = firelens::config(spec, &told.record, router);
        text.split(['\n', '\r']).count()
    };
    let mut plain = told.spec.clone();
    for container in &mut plain.containers {
        let Some(log) = &mut container.log else {
            continue;
        };
        for value in log.options.values_mut() {
            if value.contains(['\n', '\r']) {
                "plain".clone_into(value);
            }
        }
    }
    assert_eq!(lines(&told.spec), lines(&plain));
}
