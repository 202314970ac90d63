//! The folder of manifests as the user of a run keeps it: services, each with its task definition in one file.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::common;

/// The label on containers that tells every content of a service apart.
pub const VERSION: &str = "app.version";
/// The container without which a task is over, beside the pause container of an awsvpc task.
pub const APP: &str = "app";

/// What a version of a service runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// It works.
    Good,
    /// It works, and pays no heed to SIGTERM.
    Stubborn,
    /// It ends as soon as it starts.
    Crashes,
    /// It runs, and its health check never passes.
    NeverHealthy,
    /// Its image is nowhere.
    NoImage,
}

impl Program {
    /// Whether a service of it comes to rest.
    pub fn works(self) -> bool {
        matches!(self, Self::Good | Self::Stubborn)
    }

    fn image(self) -> &'static str {
        match self {
            Self::NoImage => "127.0.0.1:1/longshore-test/none:1",
            _ => common::IMAGE,
        }
    }

    fn command(self) -> &'static str {
        match self {
            Self::Good | Self::NoImage => "touch /tmp/up; trap : TERM; sleep 100000 & wait",
            Self::Stubborn => "touch /tmp/up; trap '' TERM; while true; do sleep 1000 & wait; done",
            Self::Crashes => "echo it cannot go on; exit 1",
            Self::NeverHealthy => "trap : TERM; sleep 100000 & wait",
        }
    }
}

/// A service and its task definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// The file's name, without its ending.
    pub file: String,
    pub desired: u32,
    pub minimum: u32,
    pub maximum: u32,
    pub program: Program,
    /// On the containers as the label [`VERSION`].
    pub version: u64,
    /// Whether it has a health check.
    pub check: bool,
    /// awsvpc, with limits of the task's own, a volume, and a helper that is not essential.
    pub pod: bool,
    /// Whether it has a circuit breaker that goes back.
    pub guarded: bool,
}

impl Service {
    /// Fewest healthy tasks that Longshore may leave.
    pub fn floor(&self) -> usize {
        (self.desired * self.minimum).div_ceil(100) as usize
    }

    /// Most tasks that Longshore may have at once.
    pub fn cap(&self) -> usize {
        (self.desired * self.maximum / 100) as usize
    }

    /// The containers without which a task is over.
    pub fn essential(&self) -> &'static [&'static str] {
        match self.pod {
            true => &[APP, longshore::engine::labels::PAUSE_CONTAINER],
            false => &[APP],
        }
    }

    /// The containers that may end without an end of the task.
    pub fn others(&self) -> &'static [&'static str] {
        match self.pod {
            true => &["helper"],
            false => &[],
        }
    }

    fn text(&self, name: &str, cluster: &str) -> String {
        let mut app = json!({
            "name": APP, "image": self.program.image(), "entryPoint": ["sh", "-c"], "command": [self.program.command()],
            "memory": 32, "stopTimeout": 1, "dockerLabels": {VERSION: self.version.to_string()},
        });
        if self.check {
            app["healthCheck"] = json!({"command": ["CMD-SHELL", "test -e /tmp/up"], "interval": 5, "timeout": 4, "retries": 2});
        }
        let mut definition = json!({"networkMode": "bridge", "containerDefinitions": [app]});
        if self.pod {
            let mount = json!([{"sourceVolume": "data", "containerPath": "/data"}]);
            definition["networkMode"] = "awsvpc".into();
            definition["memory"] = "128".into();
            definition["volumes"] = json!([{"name": "data", "host": {}}]);
            definition["containerDefinitions"][0]["mountPoints"] = mount.clone();
            let helper = json!({
                "name": "helper", "image": common::IMAGE, "entryPoint": ["sh", "-c"],
                "command": ["trap : TERM; sleep 100000 & wait"], "memory": 16, "essential": false, "stopTimeout": 1,
                "mountPoints": mount, "dependsOn": [{"containerName": APP, "condition": "START"}],
            });
            if let Some(all) = definition["containerDefinitions"].as_array_mut() {
                all.push(helper);
            }
        }
        let mut deployment =
            json!({"minimumHealthyPercent": self.minimum, "maximumPercent": self.maximum});
        if self.guarded {
            deployment["deploymentCircuitBreaker"] = json!({
                "enable": true, "rollback": true, "thresholdConfiguration": {"type": "COUNT", "value": 3},
            });
        }
        let service = json!({
            "cluster": cluster, "taskDefinition": name, "desiredCount": self.desired, "deploymentConfiguration": deployment,
        });
        format!(
            "{}\n---\n{}\n",
            document("TaskDefinition", name, definition),
            document("Service", name, service)
        )
    }
}

fn document(kind: &str, name: &str, spec: Value) -> Value {
    json!({"apiVersion": "longshore/v1", "kind": kind, "metadata": {"name": name}, "spec": spec})
}

/// How a file is not what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spoilt {
    /// Somebody saved it with a mistake.
    Broken,
    /// Somebody is still writing it.
    Half,
}

/// The folder's content, but for the cluster's manifest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Folder {
    pub services: BTreeMap<String, Service>,
    /// Services whose file is not what it should be.
    pub spoilt: BTreeMap<String, Spoilt>,
}

impl Folder {
    /// Whether everything in it can be taken; else nothing is removed.
    pub fn is_valid(&self) -> bool {
        self.spoilt.is_empty()
    }

    /// The files by their names, and those of them that are still being written with what they will hold.
    pub fn files(&self, cluster: &str) -> (BTreeMap<String, String>, BTreeSet<String>) {
        let mut files = BTreeMap::new();
        let mut unfinished = BTreeSet::new();
        for (name, service) in &self.services {
            let file = format!("{}.yaml", service.file);
            let mut text = service.text(name, cluster);
            match self.spoilt.get(name) {
                Some(Spoilt::Broken) => text = text.replacen("desiredCount", "desiredCont", 1),
                Some(Spoilt::Half) => {
                    unfinished.insert(file.clone());
                }
                None => {}
            }
            files.insert(file, text);
        }
        (files, unfinished)
    }
}
