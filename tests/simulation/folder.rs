//! The folder of manifests as the simulated user keeps it, and what a reading of it gives.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use longshore::diagnostic::SourceFile;
use longshore::engine::simulated::{Behaviour, Probe, RegistryAnswer, SimImage, Simulated};
use longshore::manifest::source::{FileContent, FolderState, Scan};
use serde_json::{Value, json};

/// Seconds after RUNNING until a task with no health check counts as healthy, in the simulated cluster.
pub const HEALTHY_AFTER: Duration = Duration::from_secs(5);

/// How what an image holds behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Image {
    /// It works.
    Good,
    /// It works, and must be pulled first.
    Pulled,
    /// It works, and has no handler for SIGTERM.
    Stubborn,
    /// It ends at once.
    Crashes,
    /// It ends after it has been healthy for a while.
    Tires,
    /// Its health comes and goes.
    Flaps,
    /// It never becomes healthy.
    Sick,
    /// The engine cannot start it.
    Unstartable,
    /// No registry has it.
    Missing,
}

impl Image {
    pub const GOOD: [Self; 3] = [Self::Good, Self::Pulled, Self::Stubborn];
    pub const BAD: [Self; 6] = [
        Self::Crashes,
        Self::Tires,
        Self::Flaps,
        Self::Sick,
        Self::Unstartable,
        Self::Missing,
    ];

    pub fn reference(self) -> String {
        format!("sim/{self:?}:1").to_lowercase()
    }

    /// Whether a service of it comes to rest.
    pub fn settles(self) -> bool {
        Self::GOOD.contains(&self)
    }

    /// Whether its tasks end before they were ever counted healthy, so that their starts are held back more and more.
    pub fn is_throttled(self) -> bool {
        matches!(self, Self::Crashes | Self::Unstartable | Self::Missing)
    }

    fn behaviour(self) -> Behaviour {
        let secs = Duration::from_secs;
        let good = Behaviour::forever().probe_after(secs(2), Probe::Pass);
        match self {
            Self::Good | Self::Pulled | Self::Missing => good,
            Self::Stubborn => good.ignoring_term(),
            Self::Crashes => Behaviour::exits(Duration::from_millis(300), 1),
            Self::Tires => Behaviour::exits(secs(25), 1).probe_after(secs(1), Probe::Pass),
            Self::Flaps => (0..40).fold(good, |behaviour, cycle| {
                behaviour
                    .probe_after(secs(cycle * 60 + 20), Probe::Fail)
                    .probe_after(secs(cycle * 60 + 40), Probe::Pass)
            }),
            Self::Sick => Behaviour::forever().probe_after(secs(0), Probe::Fail),
            Self::Unstartable => Behaviour::cannot_start("no such program in the image"),
        }
    }

    /// Teaches an engine and its registry about every image.
    pub fn teach(engine: &Simulated) {
        for image in Self::GOOD.into_iter().chain(Self::BAD) {
            let reference = image.reference();
            engine.set_behaviour(&reference, image.behaviour());
            match image {
                Self::Missing => engine.set_registry(&reference, RegistryAnswer::Missing),
                Self::Pulled => {
                    let after = Duration::from_secs(4);
                    engine.set_registry(&reference, RegistryAnswer::Found { after });
                }
                _ => engine.add_image(&reference, SimImage::default()),
            }
        }
    }
}

/// A service with its task definition, as they stand in one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
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
}

impl Service {
    /// Fewest healthy tasks that Longshore may leave.
    pub fn floor(&self) -> u32 {
        (self.desired * self.minimum).div_ceil(100)
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

    fn text(&self, name: &str) -> String {
        let mut app = json!({
            "name": "app", "image": self.image.reference(), "command": ["serve"], "memory": 32, "stopTimeout": 3,
            "dockerLabels": {"app.version": self.version.to_string()},
        });
        if self.check {
            app["healthCheck"] = json!({"command": ["CMD-SHELL", "true"], "interval": 5, "timeout": 2, "retries": 2});
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
        let deployment =
            json!({"minimumHealthyPercent": self.minimum, "maximumPercent": self.maximum});
        let service = json!({
            "taskDefinition": name, "desiredCount": self.desired, "deploymentConfiguration": deployment,
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

/// The folder's content.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Folder {
    /// Names of the engines.
    pub engines: Vec<String>,
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

    /// What reading it gives.
    pub fn scan(&self) -> Scan {
        let mut files = BTreeMap::new();
        let mut add = |path: String, text: String| {
            let file = SourceFile {
                path: path.clone(),
                text,
            };
            files.insert(path, FileContent::Text(Arc::new(file)));
        };
        let instances: Vec<Value> = self
            .engines
            .iter()
            .map(|name| json!({"name": name, "endpoint": Self::address(name)}))
            .collect();
        let cluster = json!({"healthyAfterSeconds": HEALTHY_AFTER.as_secs(), "containerInstances": instances});
        if !self.gone {
            add(
                "cluster.yaml".to_owned(),
                document("Cluster", "default", cluster).to_string(),
            );
            for (name, service) in &self.services {
                let mut text = service.text(name);
                if self.spoilt.contains(name) {
                    text.truncate(text.len() * 2 / 3);
                }
                add(format!("{name}.yaml"), text);
            }
        }
        Scan {
            root: PathBuf::from("/sim/manifests"),
            state: match self.gone {
                true => FolderState::Missing,
                false => FolderState::Present,
            },
            files,
        }
    }
}
