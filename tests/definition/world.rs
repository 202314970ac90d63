//! A task on the engine that answers here, and looks at it.

use std::process::{Command, Stdio};
use std::sync::Arc;

use longshore::clock::{RandomIds, SystemClock};
use longshore::engine::labels;
use longshore::manifest::load::{LastGood, LoadOptions, load};
use longshore::manifest::source::scan;
use longshore::model::{ClusterSpec, LastStatus, TaskId, TaskSpec, TaskStatus, Timestamp};
use serde_json::{Value, json};

use crate::common;
use crate::rig::Rig;

/// An agent on the engine, and one task.
pub struct World {
    pub rig: Rig,
    pub spec: TaskSpec,
    pub id: TaskId,
}

impl World {
    /// Orders the task that `definition` describes; nothing where no engine answers (not with `CI=true`).
    pub async fn order(definition: Value) -> Option<Self> {
        Self::in_cluster(definition, json!({}), |_| {}).await
    }

    /// The same, and waits until it runs.
    pub async fn run(definition: Value) -> Option<Self> {
        let world = Self::order(definition).await?;
        world.running().await;
        Some(world)
    }

    /// The same in a cluster whose manifest says this, with what the manifest cannot say put in.
    pub async fn in_cluster(
        definition: Value,
        cluster: Value,
        edit: impl FnOnce(&mut TaskSpec),
    ) -> Option<Self> {
        let engine = common::docker().await?;
        let (mut spec, cluster) = resolved(definition, cluster);
        edit(&mut spec);
        let rig = Rig::new(engine, Arc::new(SystemClock), Arc::new(RandomIds)).await;
        let mut world = Self {
            id: TaskId::new(""),
            rig,
            spec,
        };
        world.rig.declare(&cluster).await;
        world.rig.start().await;
        world.id = world.rig.order(&world.spec).await;
        Some(world)
    }

    pub async fn running(&self) -> TaskStatus {
        self.rig
            .until(&self.id, "RUNNING", |status| {
                assert!(!status.is_stopped(), "it stopped: {status:#?}");
                status.last_status == LastStatus::Running
            })
            .await
    }

    pub async fn stopped(&self) -> TaskStatus {
        self.rig.until_stopped(&self.id).await
    }

    /// Stops the task and deletes its record, and waits until the engine has nothing left of it.
    pub async fn gone(&self) {
        self.rig.order_stop(&self.id).await;
        self.stopped().await;
        self.rig.delete(&self.id).await;
        let mine = format!("label={}={}", labels::TASK, self.id);
        self.rig
            .until_true("all of it is removed", async || {
                docker(&["ps", "-aq", "--filter", &mine]).is_empty()
                    && docker(&["volume", "ls", "-q", "--filter", &mine]).is_empty()
            })
            .await;
    }

    /// What `docker inspect` says of a container of the task.
    #[track_caller]
    pub fn inspect(&self, container: &str) -> Value {
        let found = self.find(container);
        assert!(!found.is_empty(), "there is no container {container}");
        let text = docker(&["inspect", &found]);
        let mut all: Value = serde_json::from_str(&text).expect("JSON");
        all[0].take()
    }

    /// The pause container.
    #[track_caller]
    pub fn pause(&self) -> Value {
        self.inspect(labels::PAUSE_CONTAINER)
    }

    /// The engine's id of a container; empty where there is none.
    pub fn find(&self, container: &str) -> String {
        let task = format!("label={}={}", labels::TASK, self.id);
        let name = format!("label={}={container}", labels::CONTAINER);
        docker(&[
            "ps",
            "-aq",
            "--no-trunc",
            "--filter",
            &task,
            "--filter",
            &name,
        ])
    }

    /// What a script prints inside a running container.
    #[track_caller]
    pub fn inside(&self, container: &str, script: &str) -> String {
        docker(&["exec", &self.find(container), "sh", "-c", script])
    }

    /// The name of one of the task's volumes on the engine.
    #[track_caller]
    pub fn mounted(&self, container: &str, path: &str) -> Value {
        let inspected = self.inspect(container);
        let mounts = inspected["Mounts"].as_array().expect("mounts");
        let mount = mounts.iter().find(|mount| mount["Destination"] == path);
        mount
            .unwrap_or_else(|| panic!("nothing is mounted at {path}: {mounts:#?}"))
            .clone()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the task: {:#?}", self.rig.status(&self.id));
        }
        // Not by the program under test: what a test leaves behind must go even when that is broken.
        let mine = format!("label={}={}", labels::OWNER, self.rig.owner);
        for (list, remove) in [
            (["ps", "-aq"].as_slice(), ["rm", "-f", "-v"].as_slice()),
            (&["network", "ls", "-q"], &["network", "rm"]),
            (&["volume", "ls", "-q"], &["volume", "rm", "-f"]),
        ] {
            let found = ask(&[list, &["--filter", &mine]].concat()).unwrap_or_default();
            if !found.is_empty() {
                let _ = ask(&[remove, &found.split_whitespace().collect::<Vec<_>>()].concat());
            }
        }
    }
}

/// What a folder with this task definition and this cluster comes down to. It has no error.
fn resolved(definition: Value, cluster: Value) -> (TaskSpec, ClusterSpec) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let manifest = json!({
        "apiVersion": "longshore/v1", "kind": "Cluster", "metadata": {"name": "default"}, "spec": cluster,
    });
    for (name, document) in [("task.json", &definition), ("cluster.json", &manifest)] {
        std::fs::write(folder.path().join(name), document.to_string()).expect("written");
    }
    let options = LoadOptions {
        allow_empty: false,
        now: Timestamp::from_millis(0),
    };
    let loaded = load(&scan(folder.path()), &LastGood::default(), &options);
    let (found, _) = loaded
        .desired
        .task_definitions
        .values()
        .next()
        .unwrap_or_else(|| panic!("it is not valid: {:#?}", loaded.diagnostics));
    let (cluster, _) = loaded.desired.clusters.values().next().expect("a cluster");
    (TaskSpec::clone(&found.spec), ClusterSpec::clone(cluster))
}

/// A task definition of these members and containers. What a container does not say about image, memory and command is
/// something that runs.
pub fn task(members: Value, containers: Value) -> Value {
    let mut task = json!({"family": "definition", "containerDefinitions": containers});
    let object = task.as_object_mut().expect("an object");
    object.extend(members.as_object().expect("an object").clone());
    for container in task["containerDefinitions"].as_array_mut().expect("a list") {
        let container = container.as_object_mut().expect("an object");
        container.entry("image").or_insert(json!(common::IMAGE));
        container.entry("memory").or_insert(json!(32));
        container.entry("stopTimeout").or_insert(json!(1));
        container
            .entry("command")
            .or_insert(json!(["sleep", "100000"]));
    }
    task
}

/// What `docker` prints.
#[track_caller]
pub fn docker(arguments: &[&str]) -> String {
    ask(arguments).unwrap_or_else(|said| panic!("docker {arguments:?}: {said}"))
}

fn ask(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("docker")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(text(&output.stderr))
    }
}
