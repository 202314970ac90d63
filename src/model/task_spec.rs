//! A task definition, resolved: defaults filled in, units fixed, every reference checked. What an agent needs to run a
//! task, and no more. Two definitions that resolve to the same `TaskSpec` have the same [`SpecHash`] and are one revision.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::ids::{Family, SpecHash};
use super::query::Query;
use super::reference::{EnvironmentFileRef, SecretRef};

/// How a task's containers are connected (ECS `networkMode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkMode {
    /// A namespace a container, on the cluster's Docker network. ECS's default.
    #[default]
    Bridge,
    /// The host's namespace.
    Host,
    /// One namespace for all containers, held by a pause container on the cluster's Docker network.
    Awsvpc,
    /// Loopback only.
    None,
}

/// A resolved task definition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskSpec {
    /// The family it is a version of.
    pub family: Family,
    /// How its containers are connected.
    #[serde(default)]
    pub network_mode: NetworkMode,
    /// At least one, at least one of them essential; names are unique.
    pub containers: Vec<ContainerSpec>,
    /// What containers mount, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<VolumeSpec>,
    /// Task-level CPU in ECS units (1024 a core).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<u32>,
    /// Task-level memory in MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u32>,
    /// `host` or `task`; absent: a namespace a container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid_mode: Option<NamespaceMode>,
    /// `host`, `task` or `none`; absent: the engine's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipc_mode: Option<NamespaceMode>,
    /// Docker's architecture name (`amd64`, `arm64`) where the definition asks for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// Whether it may ask its metadata endpoint to make its network worse; its cluster must allow that too.
    #[serde(default, skip_serializing_if = "is_false")]
    pub enable_fault_injection: bool,
    /// `memberOf` expressions that an instance must meet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub placement_constraints: Vec<Query>,
    /// Tags of the definition.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// Whose namespace a task's containers share (ECS `pidMode`, `ipcMode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NamespaceMode {
    /// The host's.
    Host,
    /// One for the task.
    Task,
    /// A private one that nobody can join (`ipcMode` only).
    None,
}

/// One container of a task, resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// Unique in the task.
    pub name: String,
    /// The image reference as written.
    pub image: String,
    /// Each task takes what the tag means when it starts (ECS `versionConsistency: disabled`).
    #[serde(default, skip_serializing_if = "is_false")]
    pub tag_at_each_start: bool,
    /// Whether the task stops when this container ends. ECS's default is true.
    pub essential: bool,
    /// CPU in ECS units, as written; absent and 0 become 2 shares on the container (ECS agent's floor).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<u32>,
    /// Hard memory limit, MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u32>,
    /// Soft memory limit, MiB; what placement books when it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_reservation: Option<u32>,
    /// Replaces the image's `ENTRYPOINT` when there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry_point: Option<Vec<String>>,
    /// Replaces the image's `CMD` when there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// In the definition's order; a later entry of the same name wins, as in Docker.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub environment: Vec<(String, String)>,
    /// Files of variables, in the definition's order: the first that has a variable wins, and `environment` over all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub environment_files: Vec<EnvironmentFileRef>,
    /// Variables whose values are secrets; they win over `environment`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretRef>,
    /// The secret with user name and password that this container's image is pulled with, as the definition writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository_credentials: Option<String>,
    /// Published or exposed ports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub port_mappings: Vec<PortMapping>,
    /// Volumes of the task inside this container.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mount_points: Vec<MountPoint>,
    /// Containers of the task whose volumes this one mounts too: name and read-only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes_from: Vec<(String, bool)>,
    /// `bridge` only: `name` or `name:alias` of containers of the task.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<String>,
    /// What must have happened before this container starts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<Dependency>,
    /// Seconds, counted from this container's start, within which a dependant's COMPLETE, SUCCESS or HEALTHY must come true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_timeout: Option<u32>,
    /// Seconds between SIGTERM and SIGKILL; absent: 30 (the ECS agent's default).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<u32>,
    /// The container health check that ECS monitors. An image's own `HEALTHCHECK` is not one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheck>,
    /// Restart in place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_policy: Option<RestartPolicy>,
    /// Where output goes; absent: the engine's default driver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<LogConfig>,
    /// Docker's `User`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Docker's `WorkingDir`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_directory: Option<String>,
    /// Docker's `Hostname`; never with `awsvpc`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Docker's `NetworkDisabled`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub disable_networking: bool,
    /// Docker's `Privileged`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub privileged: bool,
    /// Docker's `ReadonlyRootfs`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub readonly_root_filesystem: bool,
    /// Docker's `OpenStdin`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub interactive: bool,
    /// Docker's `Tty`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub pseudo_terminal: bool,
    /// Docker's `Dns`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns_servers: Vec<String>,
    /// Docker's `DnsSearch`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns_search_domains: Vec<String>,
    /// `hostname`, `address` pairs; never with `awsvpc`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extra_hosts: Vec<(String, String)>,
    /// Docker's `SecurityOpt`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub docker_security_options: Vec<String>,
    /// The user's labels; Longshore's own win over them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub docker_labels: BTreeMap<String, String>,
    /// Name, soft and hard limit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ulimits: Vec<Ulimit>,
    /// Docker's `Sysctls`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub system_controls: BTreeMap<String, String>,
    /// ECS `linuxParameters`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub linux: Option<LinuxSpec>,
    /// ECS `resourceRequirements` of type GPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpus: Option<Gpus>,
    /// Makes it the log router of the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firelens: Option<Firelens>,
}

/// ECS `firelensConfiguration`, resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Firelens {
    /// What runs in the container.
    pub router: Router,
    /// Whether each record says which task it is of.
    pub metadata: bool,
    /// A file in the container that the generated configuration includes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub include: Option<String>,
}

/// A kind of log router.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Router {
    /// Fluentd.
    Fluentd,
    /// Fluent Bit.
    Fluentbit,
}

impl Router {
    /// The folder that a router reads its configuration from.
    pub const fn config_folder(self) -> &'static str {
        match self {
            Self::Fluentd => "/fluentd/etc",
            Self::Fluentbit => "/fluent-bit/etc",
        }
    }
}

impl Firelens {
    /// The log driver by which definitions ask for the router.
    pub const DRIVER: &str = "awsfirelens";
    /// The task's volume with the socket, in the router at [`Firelens::SOCKET_FOLDER`]. No volume of a definition has a dot in
    /// its name.
    pub const SOCKET_VOLUME: &str = "firelens.socket";
    /// The task's volume with the configuration, in the router at [`Router::config_folder`].
    pub const CONFIG_VOLUME: &str = "firelens.config";
    /// Where the router makes its socket.
    pub const SOCKET_FOLDER: &str = "/var/run";
}

/// How many of an instance's GPUs a container has to itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Gpus {
    /// So many, at least one.
    Count(u32),
    /// All of them.
    All,
}

impl ContainerSpec {
    /// Whether a deployment settles once which image its tag means: it has a tag, or none, and wants it so.
    pub fn resolves_once(&self) -> bool {
        !self.tag_at_each_start && !self.image.contains('@')
    }
}

/// ECS `linuxParameters`, resolved.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LinuxSpec {
    /// Docker's `CapAdd`.
    pub cap_add: Vec<String>,
    /// Docker's `CapDrop`.
    pub cap_drop: Vec<String>,
    /// Host path, container path, cgroup permissions (`rwm`).
    pub devices: Vec<(String, String, String)>,
    /// Docker's `Init`.
    pub init: Option<bool>,
    /// `/dev/shm`, MiB.
    pub shared_memory_size: Option<u32>,
    /// Container path and its mount options (`size=…` included), as Docker's `Tmpfs` takes them.
    pub tmpfs: BTreeMap<String, String>,
    /// Swap above `memory`, MiB.
    pub max_swap: Option<u32>,
    /// 0–100; without `max_swap` it has no effect (ECS).
    pub swappiness: Option<u32>,
}

/// One `ulimit`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    /// As Docker names it (`nofile`).
    pub name: String,
    /// Soft limit.
    pub soft: i64,
    /// Hard limit.
    pub hard: i64,
}

/// Transport protocol of a port.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// ECS's default.
    #[default]
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// `tcp` or `udp`, as Docker and ECS write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// One entry of ECS `portMappings`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortMapping {
    /// Port inside the container; of a range its first.
    pub container_port: u16,
    /// The last port of a range (ECS `containerPortRange`); absent: one port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_container_port: Option<u16>,
    /// Port on the host; absent in `bridge`: chosen when the task is placed. In `host` it is the container's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_port: Option<u16>,
    /// Transport.
    #[serde(default)]
    pub protocol: Protocol,
    /// The port's name, for service discovery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl PortMapping {
    /// Every port inside the container.
    pub fn container_ports(&self) -> std::ops::RangeInclusive<u16> {
        let last = self.last_container_port.unwrap_or(self.container_port);
        self.container_port..=last.max(self.container_port)
    }

    /// How many ports it maps, at least one.
    pub fn count(&self) -> u16 {
        let ports = self.container_ports();
        (ports.end() - ports.start()).saturating_add(1)
    }
}

/// When a dependency counts as met (semantics §4.11).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Condition {
    /// Running, or already stopped.
    Start,
    /// Stopped, whatever its exit code.
    Complete,
    /// Stopped with exit code 0.
    Success,
    /// Its health check says healthy.
    Healthy,
}

/// One entry of ECS `dependsOn`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    /// A container of the same task.
    pub container: String,
    /// What it must have reached.
    pub condition: Condition,
}

/// One entry of ECS `mountPoints`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountPoint {
    /// Name of one of the task's volumes.
    pub source_volume: String,
    /// Absolute path inside the container.
    pub container_path: String,
    /// Mounted read-only.
    #[serde(default, skip_serializing_if = "is_false")]
    pub read_only: bool,
}

/// A volume of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeSpec {
    /// What mount points call it.
    pub name: String,
    /// What it is.
    pub kind: VolumeKind,
}

/// What a volume is on the engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum VolumeKind {
    /// A path of the host, bind-mounted.
    HostPath {
        /// Absolute.
        path: String,
    },
    /// An engine volume that lives as long as the task (ECS `host: {}` and Docker volumes of scope `task`).
    Task {
        /// Volume driver; absent: the engine's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        driver: Option<String>,
        /// Driver options.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        driver_opts: BTreeMap<String, String>,
        /// The user's labels.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        labels: BTreeMap<String, String>,
    },
    /// A file system elsewhere (ECS `efsVolumeConfiguration`); the cluster says where. The engine's volume lives as long as the
    /// task, what is in it stays.
    FileSystem {
        /// Its id on AWS, or that of the access point by which the definition reaches it.
        id: String,
        /// The folder in it.
        root_directory: String,
    },
    /// An engine volume of that very name, shared between tasks and kept after them.
    Shared {
        /// Create it when it is missing; otherwise a missing volume fails the task.
        autoprovision: bool,
        /// Volume driver; absent: the engine's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        driver: Option<String>,
        /// Driver options.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        driver_opts: BTreeMap<String, String>,
        /// The user's labels.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        labels: BTreeMap<String, String>,
    },
}

/// ECS `healthCheck`, defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// `CMD …` or `CMD-SHELL …`, as Docker's `Healthcheck.Test` takes it.
    pub command: Vec<String>,
    /// Seconds, 5–300, default 30.
    pub interval: u32,
    /// Seconds, 2–60, default 5.
    pub timeout: u32,
    /// 1–10, default 3.
    pub retries: u32,
    /// Seconds, 0–300, default 0.
    pub start_period: u32,
}

/// ECS `restartPolicy` of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartPolicy {
    /// Exit codes after which the container is not restarted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignored_exit_codes: Vec<i64>,
    /// Seconds that it must have run since its last (re)start, 60–1800, default 300.
    pub restart_attempt_period: u32,
}

/// A log driver of the engine and its options.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogConfig {
    /// As the definition names it: Docker's `LogConfig.Type`, or one of the drivers that need AWS.
    pub driver: String,
    /// As the definition has them: Docker's `LogConfig.Config`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
    /// Options whose values are secrets; they win over `options`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secret_options: Vec<SecretRef>,
}

impl LogConfig {
    /// What `json-file` is given where nobody says how its files are rotated: Docker's own default keeps everything.
    pub const ROTATION: [(&'static str, &'static str); 2] =
        [("max-size", "10m"), ("max-file", "3")];

    /// The driver of the engine that stands for this one, with its options. `overrides` are the cluster's, by the driver that
    /// a definition names; an override to the very same driver adds its options to the definition's. Without one `awslogs`,
    /// which needs AWS, becomes `json-file`, where `longshore logs` reads. `awsfirelens` stays: it leads to the task's own
    /// router.
    pub fn on_engine(&self, overrides: &BTreeMap<String, Self>) -> Self {
        let mut found = match overrides.get(&self.driver) {
            Some(other) if other.driver == self.driver => {
                let mut merged = self.clone();
                merged.options.extend(other.options.clone());
                merged
            }
            Some(other) => other.clone(),
            None if self.driver == "awslogs" => Self {
                driver: "json-file".to_owned(),
                options: BTreeMap::new(),
                secret_options: Vec::new(),
            },
            None => self.clone(),
        };
        let says_nothing = Self::ROTATION
            .iter()
            .all(|(option, _)| !found.options.contains_key(*option));
        if found.driver == "json-file" && says_nothing {
            let rotation = Self::ROTATION.map(|(name, value)| (name.to_owned(), value.to_owned()));
            found.options.extend(rotation);
        }
        found
    }
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde's skip_serializing_if asks for a reference"
)]
fn is_false(value: &bool) -> bool {
    !*value
}

impl ContainerSpec {
    /// Whether the log driver gets secrets. Drivers quote their options where something is wrong with them.
    pub fn has_secret_options(&self) -> bool {
        let options = self.log.as_ref().map(|log| &log.secret_options);
        options.is_some_and(|options| !options.is_empty())
    }
}

impl TaskSpec {
    /// The versioned hash of this specification: `v1-` and the SHA-256 of its JSON with sorted keys. A field that is absent
    /// is not part of it, so that a new version of Longshore with new fields gives an old specification its old hash (P5).
    pub fn hash(&self) -> SpecHash {
        let value = serde_json::to_value(self).unwrap_or_default();
        SpecHash::new(format!("v1-{}", hex_sha256(value.to_string().as_bytes())))
    }

    /// The container of that name.
    pub fn container(&self, name: &str) -> Option<&ContainerSpec> {
        self.containers
            .iter()
            .find(|container| container.name == name)
    }

    /// The log router of the task.
    pub fn router(&self) -> Option<(&ContainerSpec, &Firelens)> {
        let routes = |c: &'_ ContainerSpec| c.firelens.is_some();
        let router = self.containers.iter().find(|c| routes(c))?;
        Some((router, router.firelens.as_ref()?))
    }

    /// Whether ECS would judge this task's health: an essential container has a health check.
    pub fn has_health_check(&self) -> bool {
        self.containers
            .iter()
            .any(|container| container.essential && container.health_check.is_some())
    }
}

/// The lower-case hexadecimal SHA-256 of `bytes`.
pub fn hex_sha256(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes)
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}
