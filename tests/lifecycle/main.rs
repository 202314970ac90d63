//! The lifecycle of a task (semantics §4, rules 3–17) on a real Docker Engine: what of it can be seen from outside. Every sentence is
//! tried on the decisions alone in `src/agent/tests/lifecycle`; here the agent runs them, and the engine says what came of it.

#[path = "../common/mod.rs"]
mod common;
#[path = "../rig/mod.rs"]
mod rig;

mod rule_04_ends;
mod rule_11_dependencies;
mod rule_15_shutdown;
mod rule_17_restart;

use std::ops::Deref;
use std::process::Command;
use std::sync::Arc;

use longshore::clock::{IdGen, RandomIds, SystemClock};
use longshore::engine::docker::DockerEngine;
use longshore::engine::{Engine, ObservedContainer, labels};
use longshore::model::{TaskId, TaskSpec, TaskStatus};
use serde_json::{Value, json};

use rig::Rig;

/// A running agent with a cluster of its own on the engine; what it made is removed when this is dropped.
struct World {
    rig: Rig,
    engine: Arc<DockerEngine>,
}

impl Deref for World {
    type Target = Rig;

    fn deref(&self) -> &Rig {
        &self.rig
    }
}

impl World {
    /// `None` where no engine answers (not with `CI=true`).
    async fn new() -> Option<Self> {
        let engine = common::docker().await?;
        let mut rig = Rig::new(engine.clone(), Arc::new(SystemClock), Arc::new(RandomIds)).await;
        rig.cluster = format!("lifecycle-{:016x}", RandomIds.bits())
            .as_str()
            .into();
        rig.start().await;
        Some(Self { rig, engine })
    }

    /// A task's container on the engine.
    async fn container(&self, task: &TaskId, name: &str) -> Option<ObservedContainer> {
        let filter = [
            (labels::TASK.to_owned(), task.to_string()),
            (labels::CONTAINER.to_owned(), name.to_owned()),
        ];
        self.engine
            .list_containers(&filter)
            .await
            .expect("a list")
            .pop()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let label = format!("label={}={}", labels::CLUSTER, self.rig.cluster);
        for (list, remove) in [
            (["ps", "-aq"].as_slice(), ["rm", "-f"].as_slice()),
            (&["volume", "ls", "-q"], &["volume", "rm", "-f"]),
        ] {
            let found = Command::new("docker")
                .args(list)
                .args(["--filter", &label])
                .output();
            let Ok(found) = found else { continue };
            let found = String::from_utf8_lossy(&found.stdout).into_owned();
            if !found.trim().is_empty() {
                let _ = Command::new("docker")
                    .args(remove)
                    .args(found.split_whitespace())
                    .output();
            }
        }
    }
}

/// A container that runs this script, with more members.
fn container(name: &str, script: &str, more: Value) -> Value {
    let mut container =
        json!({"name": name, "entry_point": ["sh", "-c"], "command": [script], "stop_timeout": 5});
    let members = container.as_object_mut().expect("an object");
    members.extend(more.as_object().expect("an object").clone());
    container
}

/// A task of these containers without a network, all of which see one volume at `/shared`.
fn task(containers: &[Value]) -> TaskSpec {
    let mut containers = containers.to_vec();
    for container in &mut containers {
        container["mount_points"] =
            json!([{"source_volume": "shared", "container_path": "/shared"}]);
    }
    rig::spec(
        common::IMAGE,
        json!({"family": "life", "network_mode": "none", "containers": containers,
            "volumes": [{"name": "shared", "kind": {"type": "task"}}]}),
    )
}

/// What is known of a container: its exit code and its reason.
fn end<'s>(status: &'s TaskStatus, name: &str) -> (Option<i64>, Option<&'s str>) {
    let container = status.container(name).expect("a container of the task");
    (container.exit_code, container.reason.as_deref())
}

/// Ends at once when it is told to.
const OBEDIENT: &str = "trap 'exit 0' TERM; sleep 100000 & wait";
