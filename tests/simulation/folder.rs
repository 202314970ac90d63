//! The folder of manifests as the simulated user means it: clusters with their instances, and services with their definitions.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::images::Image;

/// Seconds after RUNNING until a task with no health check counts as healthy, in the simulated clusters.
pub const HEALTHY_AFTER: Duration = Duration::from_secs(5);
/// How long an engine may be away before its tasks are given up.
pub const LOST_AFTER: Duration = Duration::from_secs(30);
/// What every secret is.
pub const SECRET: &str = "s3cr3t-of-the-simulation";
/// The cluster that most is in.
pub const MAIN: &str = "default";

/// How a service is spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// As many tasks as are asked for.
    Replica,
    /// One on every instance.
    Daemon,
}

/// A service with its task definition, as they stand in one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    pub cluster: &'static str,
    pub kind: Kind,
    pub desired: u32,
    pub minimum: u32,
    pub maximum: u32,
    pub image: Image,
    /// Tells every content of the task definition apart; on the containers as the label `app.version`.
    pub version: u64,
    /// Whether it has a health check.
    pub check: bool,
    /// awsvpc, with a volume and a helper that is not essential.
    pub pod: bool,
    /// Whether it is given a secret.
    pub secret: bool,
    /// A circuit breaker, and whether it goes back.
    pub breaker: Option<bool>,
    /// ECS's placement strategy, by the type and the field of its first.
    pub strategy: Option<(&'static str, &'static str)>,
    /// How often its file was renamed.
    pub renamed: u32,
}

impl Service {
    /// Fewest healthy tasks that Longshore may leave, where there are to be so many.
    pub fn floor_of(&self, desired: u32) -> u32 {
        (desired * self.minimum).div_ceil(100)
    }

    /// Fewest healthy tasks that Longshore may leave.
    pub fn floor(&self) -> u32 {
        self.floor_of(self.desired)
    }

    /// Most tasks that Longshore may have at once.
    pub fn cap(&self) -> u32 {
        self.desired * self.maximum / 100
    }

    /// The containers without which a task is over.
    pub fn essential(&self) -> &'static [&'static str] {
        match self.pod {
            true => &["app", "~internal~ecs~pause"],
            false => &["app"],
        }
    }

    /// The containers that may end without an end of the task.
    pub fn others(&self) -> &'static [&'static str] {
        match self.pod {
            true => &["helper"],
            false => &[],
        }
    }

    fn definition(&self) -> Value {
        let mut app = json!({
            "name": "app", "image": self.image.reference(), "command": ["serve"], "memory": 32, "stopTimeout": 3,
            "dockerLabels": {"app.version": self.version.to_string()},
        });
        if self.check {
            app["healthCheck"] = json!({"command": ["CMD-SHELL", "true"], "interval": 5, "timeout": 2, "retries": 2});
        }
        if self.secret {
            app["secrets"] = json!([{"name": "TOKEN", "valueFrom": "token"}]);
        }
        let mut definition = json!({"containerDefinitions": [app]});
        if self.pod {
            let mount = json!([{"sourceVolume": "data", "containerPath": "/data"}]);
            definition["networkMode"] = "awsvpc".into();
            definition["volumes"] = json!([{"name": "data", "host": {}}]);
            definition["containerDefinitions"][0]["mountPoints"] = mount.clone();
            let helper = json!({
                "name": "helper", "image": Image::Good.reference(), "command": ["help"], "memory": 16, "essential": false,
                "stopTimeout": 1, "mountPoints": mount,
                "dependsOn": [{"containerName": "app", "condition": "START"}],
            });
            if let Some(all) = definition["containerDefinitions"].as_array_mut() {
                all.push(helper);
            }
        }
        definition
    }

    fn text(&self, name: &str) -> String {
        let mut deployment = json!({"minimumHealthyPercent": self.minimum});
        let mut service = json!({"cluster": self.cluster, "taskDefinition": name});
        match self.kind {
            Kind::Replica => {
                service["desiredCount"] = self.desired.into();
                deployment["maximumPercent"] = self.maximum.into();
                if let Some((kind, field)) = self.strategy {
                    service["placementStrategy"] = json!([{"type": kind, "field": field}]);
                }
            }
            Kind::Daemon => service["schedulingStrategy"] = "DAEMON".into(),
        }
        if let Some(rollback) = self.breaker {
            deployment["deploymentCircuitBreaker"] = json!({"enable": true, "rollback": rollback});
        }
        service["deploymentConfiguration"] = deployment;
        format!(
            "{}\n---\n{}\n",
            document("TaskDefinition", name, self.definition()),
            document("Service", name, service)
        )
    }
}

fn document(kind: &str, name: &str, spec: Value) -> Value {
    json!({"apiVersion": "longshore/v1", "kind": kind, "metadata": {"name": name}, "spec": spec})
}

/// A container instance as the manifest of its cluster has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    pub cluster: &'static str,
    pub name: String,
    /// Name of its engine.
    pub engine: String,
    pub draining: bool,
    pub zone: Option<&'static str>,
}

/// The folder's content.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Folder {
    pub instances: Vec<Instance>,
    pub services: BTreeMap<String, Service>,
    /// Services whose file was spoilt by an edit.
    pub spoilt: Vec<String>,
    /// Whether the whole folder is away.
    pub gone: bool,
}

impl Folder {
    /// Where the engine of that name is.
    pub fn address(engine: &str) -> String {
        format!("tcp://{engine}.sim:2375")
    }

    /// Whether everything in it can be taken; else what was taken last stays in force.
    pub fn is_valid(&self) -> bool {
        self.spoilt.is_empty() && !self.gone
    }

    /// The instances of a cluster.
    pub fn of_cluster<'a>(&'a self, cluster: &'a str) -> impl Iterator<Item = &'a Instance> {
        self.instances.iter().filter(move |i| i.cluster == cluster)
    }

    /// The file that a service stands in.
    pub fn file_of(name: &str, service: &Service) -> String {
        match service.renamed {
            0 => format!("{name}.yaml"),
            n => format!("{name}-{n}.yaml"),
        }
    }

    /// Its files; none where it is away.
    pub fn files(&self) -> BTreeMap<String, String> {
        let mut files = BTreeMap::new();
        if self.gone {
            return files;
        }
        let mut clusters: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
        for instance in &self.instances {
            let mut value =
                json!({"name": instance.name, "endpoint": Self::address(&instance.engine)});
            if instance.draining {
                value["status"] = "DRAINING".into();
            }
            if let Some(zone) = instance.zone {
                value["attributes"] = json!({"ecs.availability-zone": zone});
            }
            clusters.entry(instance.cluster).or_default().push(value);
        }
        for (name, instances) in clusters {
            let cluster = json!({
                "healthyAfterSeconds": HEALTHY_AFTER.as_secs(),
                "instanceLostAfterSeconds": LOST_AFTER.as_secs(),
                "containerInstances": instances,
                "secretProviders": [{"type": "environment"}],
            });
            let text = document("Cluster", name, cluster).to_string();
            files.insert(format!("cluster-{name}.yaml"), text);
        }
        for (name, service) in &self.services {
            let mut text = service.text(name);
            if self.spoilt.contains(name) {
                text.truncate(text.len() * 2 / 3);
            }
            files.insert(Self::file_of(name, service), text);
        }
        files
    }
}
