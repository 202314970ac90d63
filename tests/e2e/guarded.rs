//! Services with a circuit breaker, versions of them that are bad in their own way, and what is the same for all of these when
//! Longshore has given one up.

use std::collections::BTreeSet;

use longshore::engine::{ContainerState, Engine, labels};
use serde_json::Value;

use crate::common;
use crate::floor::Recording;
use crate::rig::{Declared, Ended, Rig, ids, values};

/// How many tasks the service has.
pub const COUNT: usize = 2;

/// How many failed tasks are too many.
pub const THRESHOLD: usize = 3;

/// A version of the service `web`.
#[derive(Debug, Clone, Copy)]
pub struct Version {
    pub name: &'static str,
    pub image: &'static str,
    pub command: &'static str,
    /// What its health check runs, if it has one.
    pub health: Option<&'static str>,
    /// Part of the reason that is given for its failure.
    pub reason: &'static str,
    /// What it wrote last.
    pub last_words: Option<&'static str>,
    /// After how long without a health check a task counts as healthy.
    pub healthy_after: u32,
}

const GOOD: Version = Version {
    name: "good",
    image: common::IMAGE,
    command: "echo good; trap : TERM; sleep 100000 & wait",
    health: None,
    reason: "",
    last_words: None,
    healthy_after: 1,
};

/// Its image is nowhere.
pub const NO_IMAGE: Version = Version {
    name: "no-image",
    image: "127.0.0.1:1/longshore-test/none:1",
    reason: "CannotPullContainerError",
    ..GOOD
};

/// It ends as soon as it starts.
pub const CRASHES: Version = Version {
    name: "crashes",
    command: "echo the disk is on fire; exit 1",
    reason: "exit code 1",
    last_words: Some("the disk is on fire"),
    ..GOOD
};

/// It runs for a while before it ends, but not for as long as it takes to count as healthy.
pub const CRASHES_LATER: Version = Version {
    name: "crashes-later",
    command: "echo it ran for a moment; sleep 2; exit 3",
    reason: "exit code 3",
    last_words: Some("it ran for a moment"),
    healthy_after: 5,
    ..GOOD
};

/// It runs, and its health check never passes.
pub const NEVER_HEALTHY: Version = Version {
    name: "never-healthy",
    command: "echo nobody asks me; trap : TERM; sleep 100000 & wait",
    health: Some("false"),
    reason: "failed container health checks",
    last_words: Some("nobody asks me"),
    ..GOOD
};

/// A circuit breaker that goes back after [`THRESHOLD`] failed tasks.
pub fn breaker() -> String {
    format!(
        "deploymentConfiguration:
  deploymentCircuitBreaker:
    enable: true
    rollback: true
    thresholdConfiguration: {{type: COUNT, value: {THRESHOLD}}}"
    )
}

/// Writes `version` of the service, which wants `count` tasks.
pub fn write(rig: &Rig, version: &Version, count: usize) {
    let health = version.health.map_or(String::new(), |command| {
        format!("healthCheck: {{command: [CMD, '{command}'], interval: 5, timeout: 2, retries: 1}}")
    });
    let container = format!(
        "environment: [{{name: VERSION, value: '{}'}}]\nstopTimeout: 1\n{health}",
        version.name
    );
    rig.declare(
        "web",
        &Declared {
            image: version.image,
            script: version.command,
            container: &container,
            service: &format!("desiredCount: {count}\n{}", breaker()),
            ..Declared::default()
        },
    );
}

/// A service whose good version runs, and what the engine says of it from its beginning on.
pub struct Guarded {
    pub recording: Recording,
    /// The containers of the good version.
    pub old: Vec<String>,
}

impl Guarded {
    /// Starts Longshore on a service that runs a good version; `bad` is still to come.
    pub async fn start(rig: &mut Rig, bad: &Version) -> Self {
        rig.write(
            "cluster.yaml",
            &format!(
                "apiVersion: longshore/v1\nkind: Cluster\nmetadata:\n  name: {}\nspec:\n  healthyAfterSeconds: {}\n",
                rig.cluster, bad.healthy_after
            ),
        );
        let recording = Recording::of(rig, "web").await;
        write(rig, &GOOD, COUNT);
        rig.start();
        rig.steady();
        let old = ids(&rig.running("web").await);
        assert_eq!(old.len(), COUNT);
        Self { recording, old }
    }

    /// The old tasks run, nothing else does, and nobody has touched them from their start to now.
    pub async fn serves_as_ever(&self, rig: &Rig) {
        let running = rig.running("web").await;
        assert_eq!(ids(&running), self.old, "log: {}", rig.log());
        assert_eq!(values(&running, labels::REVISION), ["1"]);
        for id in &self.old {
            let happened = self.recording.actions(id);
            let touched: Vec<&String> = happened
                .iter()
                .filter(|action| !["create", "start"].contains(&action.as_str()))
                .filter(|action| !action.starts_with("exec_"))
                .collect();
            assert!(touched.is_empty(), "{id}: {happened:?}");
        }
    }
}

/// The ids of all tasks that were ever started of that revision of `web`, as the store knows them.
pub fn tasks_of(dump: &Value, revision: u64) -> BTreeSet<String> {
    let items = dump["items"].as_object().expect("items");
    items
        .iter()
        .filter(|(key, _)| key.contains("/tasks/"))
        .filter(|(_, item)| {
            let record = &item["value"];
            record["service"] == "web" && record["revision"].as_u64() == Some(revision)
        })
        .map(|(key, _)| key.rsplit('/').next().unwrap_or_default().to_owned())
        .collect()
}

/// What the store says of the service.
pub fn record_of(dump: &Value) -> Value {
    let items = dump["items"].as_object().expect("items");
    let found = items.iter().find(|(key, _)| key.ends_with("/services/web"));
    found.expect("the service is known").1["value"].clone()
}

/// `apply` and whoever asks are told that the folder's version failed, why, and what runs in its place.
#[track_caller]
pub fn is_told(rig: &Rig, ended: &Ended, bad: &Version, revision: u32) {
    let said = format!("{}{}", ended.stdout, ended.stderr);
    assert_eq!(ended.code, 1, "{said}\nlog: {}", rig.log());
    let failed = format!("web:{revision} failed");
    for wanted in [
        "what runs is not what the folder says",
        &failed,
        "web:1 runs in its place",
        "longshore retry web",
        bad.reason,
        bad.last_words.unwrap_or_default(),
    ] {
        assert!(said.contains(wanted), "{wanted:?} is not in: {said}");
    }
    let listed = rig.run(&["get", "services"]).stdout;
    assert!(listed.contains("rolled back"), "{listed}");
    let described = rig.run(&["describe", "service", "web"]).stdout;
    for wanted in [
        "rolled back",
        &format!("web:{revision} was given up after {THRESHOLD} failed tasks"),
        "web:1 runs in its place",
        bad.reason,
        bad.last_words.unwrap_or_default(),
    ] {
        assert!(
            described.contains(wanted),
            "{wanted:?} is not in: {described}"
        );
    }
}

/// Of everything that was started nothing is left but the tasks that run.
pub async fn nothing_left_over(rig: &Rig) {
    let containers = rig.containers().await;
    let running = containers
        .iter()
        .filter(|c| c.state == ContainerState::Running);
    assert_eq!(running.count(), COUNT);
    let mine = [(labels::CLUSTER.to_owned(), rig.cluster.clone())];
    let networks = rig.engine.list_networks(&mine).await.expect("a list");
    assert_eq!(networks.len(), 1);
    let volumes = rig.engine.list_volumes(&mine).await.expect("a list");
    assert_eq!(volumes.len(), 0);
    let known = rig.json(&["state", "dump"]).to_string();
    for container in &containers {
        let task = &container.labels[labels::TASK];
        assert!(known.contains(task), "nobody knows of {task}");
    }
}
