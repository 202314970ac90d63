//! A scenario as it is written. The doc comments become the descriptions in `longshore schema scenario`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// What happens to a folder's clusters while `longshore simulate` watches them, and what is expected of them.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ScenarioFile {
    /// What the simulation begins with: `nothing` runs yet, or the folder has `converged`. Time 0 is then.
    pub start: Option<Start>,
    /// How long it goes on, such as `10m`. It goes on longer where a step or an expectation needs it.
    #[serde(rename = "for")]
    #[schemars(extend("default" = "10m"))]
    pub duration: Option<String>,
    /// What ids and the lengths of calls are a function of.
    #[schemars(extend("default" = 1))]
    pub seed: Option<u64>,
    /// What is assumed of every image, container and instance where nothing else is said.
    pub assume: Option<AssumeFile>,
    /// Sizes of container instances, by name, or by `cluster/name`.
    pub instances: BTreeMap<String, SizeFile>,
    /// How certain containers behave; of several entries that fit one, what later ones say counts.
    pub behaviors: Vec<BehaviorFile>,
    /// What happens, and what is expected, in the order of their times.
    pub steps: Vec<StepFile>,
}

/// What the simulation begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    /// Nothing runs.
    #[default]
    Nothing,
    /// What the folder declares runs, and is at rest.
    Converged,
}

/// Assumptions.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AssumeFile {
    /// How long the pull of an image takes that an instance has not.
    #[schemars(extend("default" = "2s"))]
    pub pull: Option<String>,
    /// How long the engine takes to start a container.
    #[schemars(extend("default" = "500ms"))]
    pub start: Option<String>,
    /// How long after SIGTERM a container ends.
    #[schemars(extend("default" = "1s"))]
    pub stop: Option<String>,
    /// How long after its start a container runs that others wait to end (`dependsOn` with SUCCESS or COMPLETE).
    #[schemars(extend("default" = "1s"))]
    pub run: Option<String>,
    /// How long after its start a container's health check begins to pass.
    #[schemars(extend("default" = "0s"))]
    pub healthy_after: Option<String>,
    /// Cores of an instance.
    #[schemars(range(min = 1, max = 4096), extend("default" = 4))]
    pub cpu: Option<u32>,
    /// Memory of an instance, such as `16GiB`.
    #[schemars(extend("default" = "16GiB"))]
    pub memory: Option<String>,
}

/// The size of a container instance.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SizeFile {
    /// Its cores.
    #[schemars(range(min = 1, max = 4096))]
    pub cpu: Option<u32>,
    /// Its memory, such as `16GiB`.
    pub memory: Option<String>,
}

/// How the containers behave that fit everything which is named: family, container, image.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct BehaviorFile {
    /// Of tasks of this family.
    pub family: Option<String>,
    /// Of this name.
    pub container: Option<String>,
    /// Of this image, as the definition writes it.
    pub image: Option<String>,
    /// How long after its start its health check begins to pass.
    pub healthy_after: Option<String>,
    /// It ends by itself with this code.
    pub exit: Option<i64>,
    /// How long after its start it ends by itself; with code 0 where `exit` is absent.
    pub runs: Option<String>,
    /// How long after SIGTERM it ends; `never`: it has no handler and is killed.
    pub stop: Option<String>,
    /// How long the pull of `image` takes; only where nothing but `image` is named.
    pub pull: Option<String>,
}

/// Something that happens, or is expected, at a time. Exactly one thing a step.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StepFile {
    /// When, after time 0: `30s`, `1m30s`.
    pub at: String,
    /// Somebody edits the folder.
    pub edit: Option<EditFile>,
    /// This instance loses power: its containers end and its engine does not answer, until `instanceUp`.
    pub instance_down: Option<String>,
    /// This instance is back: its engine answers again.
    pub instance_up: Option<String>,
    /// This instance cannot be reached, and what runs there goes on, until `instanceUp`.
    pub partition: Option<String>,
    /// This instance is set to DRAINING in its Cluster manifest.
    pub drain: Option<String>,
    /// This instance is set to ACTIVE in its Cluster manifest.
    pub activate: Option<String>,
    /// From now on this image is bad, or good again.
    pub image: Option<ImageFile>,
    /// Running tasks of a service crash.
    pub crash: Option<CrashFile>,
    /// The Longshore process is killed and started again at once.
    pub kill: Option<Kill>,
    /// What must hold: an expectation or a list of them.
    #[schemars(extend("type" = ["string", "array"], "items" = {"type": "string"}))]
    pub expect: Option<Value>,
}

/// An edit of the folder.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct EditFile {
    /// The service that is edited, by name or as `cluster/name`.
    pub service: Option<String>,
    /// The image that a container of its task definition gets.
    pub image: Option<String>,
    /// Which container; absent: the only essential one.
    pub container: Option<String>,
    /// How many tasks it gets.
    pub desired_count: Option<u32>,
    /// Its deployments' floor from now on.
    pub minimum_healthy_percent: Option<u32>,
    /// Its deployments' ceiling from now on.
    pub maximum_percent: Option<u32>,
    /// A folder whose files are laid over the manifests; relative to the scenario.
    pub overlay: Option<String>,
    /// A folder that takes the place of the manifests; relative to the scenario.
    pub folder: Option<String>,
}

/// What becomes of an image.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImageFile {
    /// The image, as definitions write it.
    pub name: String,
    /// `pull`: no registry has it; `start`: the engine cannot start it; `crash`: it ends with code 1 after a second;
    /// `unhealthy`: its health check never passes; `slow 30s`: its pull and its health check take that long; `none`: it works.
    pub fails: String,
}

/// Tasks that crash.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CrashFile {
    /// The service, by name or as `cluster/name`.
    pub service: String,
    /// How many of its running tasks.
    #[schemars(range(min = 1), extend("default" = 1))]
    pub tasks: Option<u32>,
}

/// What is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kill {
    /// The process that runs controller and agents.
    Longshore,
}
