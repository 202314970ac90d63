//! ContainerDefinition.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::common::{KeyValuePair, LogConfiguration, Secret};
use super::linux::LinuxParameters;

/// One container of a task.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ContainerDefinition {
    /// Its name, unique in the task.
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[A-Za-z0-9_-]+$"))]
    pub name: String,
    /// The image reference, as `docker pull` takes it.
    #[schemars(length(min = 1))]
    pub image: String,
    /// Credentials for a private registry, by reference.
    pub repository_credentials: Option<RepositoryCredentials>,
    /// CPU shares, 1024 a core; absent and 0 are 2, the ECS agent's floor.
    pub cpu: Option<u32>,
    /// Hard limit, MiB: a container that needs more is killed.
    pub memory: Option<u32>,
    /// Soft limit, MiB; what placement books when it is there.
    pub memory_reservation: Option<u32>,
    /// `bridge` only: `name` or `name:alias` of containers of the task.
    #[serde(default)]
    pub links: Vec<String>,
    /// Ports that are published or exposed.
    #[serde(default)]
    pub port_mappings: Vec<PortMapping>,
    /// Whether the task stops when this container ends.
    #[schemars(extend("default" = true))]
    pub essential: Option<bool>,
    /// Restart the container in place when it ends.
    pub restart_policy: Option<ContainerRestartPolicy>,
    /// Replaces the image's `ENTRYPOINT`; empty is absent.
    #[serde(default)]
    pub entry_point: Vec<String>,
    /// Replaces the image's `CMD`; empty is absent.
    #[serde(default)]
    pub command: Vec<String>,
    /// Environment variables.
    #[serde(default)]
    pub environment: Vec<KeyValuePair>,
    /// Files of environment variables.
    #[serde(default)]
    #[schemars(length(max = 10))]
    pub environment_files: Vec<EnvironmentFile>,
    /// Volumes of the task inside this container.
    #[serde(default)]
    pub mount_points: Vec<MountPoint>,
    /// Containers of the task whose volumes this one mounts too.
    #[serde(default)]
    pub volumes_from: Vec<VolumeFrom>,
    /// Linux settings.
    pub linux_parameters: Option<LinuxParameters>,
    /// Secrets that become environment variables.
    #[serde(default)]
    pub secrets: Vec<Secret>,
    /// What must have happened before this container starts.
    #[serde(default)]
    pub depends_on: Vec<ContainerDependency>,
    /// Seconds, counted from this container's start, within which what others wait for must come true.
    pub start_timeout: Option<u32>,
    /// Seconds between SIGTERM and SIGKILL.
    #[schemars(extend("default" = 30))]
    pub stop_timeout: Option<u32>,
    /// Whether a tag is resolved to one digest for all tasks of a deployment.
    #[schemars(extend("default" = "enabled"))]
    pub version_consistency: Option<VersionConsistency>,
    /// Host name inside the container; not with `awsvpc`.
    pub hostname: Option<String>,
    /// User: `user`, `user:group`, `uid`, `uid:gid`, `user:gid` or `uid:group`.
    pub user: Option<String>,
    /// Directory in which the command runs.
    pub working_directory: Option<String>,
    /// No network at all.
    #[schemars(extend("default" = false))]
    pub disable_networking: Option<bool>,
    /// All rights of the host's root.
    #[schemars(extend("default" = false))]
    pub privileged: Option<bool>,
    /// Make the root file system read-only.
    #[schemars(extend("default" = false))]
    pub readonly_root_filesystem: Option<bool>,
    /// DNS servers.
    #[serde(default)]
    pub dns_servers: Vec<String>,
    /// DNS search domains.
    #[serde(default)]
    pub dns_search_domains: Vec<String>,
    /// Lines for `/etc/hosts`; not with `awsvpc`.
    #[serde(default)]
    pub extra_hosts: Vec<HostEntry>,
    /// `no-new-privileges`, `apparmor:PROFILE`, `label:VALUE`.
    #[serde(default)]
    pub docker_security_options: Vec<String>,
    /// Keep standard input open.
    #[schemars(extend("default" = false))]
    pub interactive: Option<bool>,
    /// Give the container a terminal.
    #[schemars(extend("default" = false))]
    pub pseudo_terminal: Option<bool>,
    /// Labels of the container; those that Longshore sets itself win.
    #[serde(default)]
    pub docker_labels: BTreeMap<String, String>,
    /// Resource limits of the container's processes.
    #[serde(default)]
    pub ulimits: Vec<Ulimit>,
    /// Where output goes; absent: the engine's default driver.
    pub log_configuration: Option<LogConfiguration>,
    /// How the container's health is checked. An image's own `HEALTHCHECK` does not count.
    pub health_check: Option<HealthCheck>,
    /// Kernel parameters inside the container's namespaces.
    #[serde(default)]
    pub system_controls: Vec<SystemControl>,
    /// GPUs and other accelerators.
    #[serde(default)]
    pub resource_requirements: Vec<ResourceRequirement>,
    /// Makes this container the log router of the task.
    pub firelens_configuration: Option<FirelensConfiguration>,
    /// Credential specifications for Active Directory.
    #[serde(default)]
    #[schemars(length(max = 1))]
    pub credential_specs: Vec<String>,
}

/// Credentials for a private registry.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RepositoryCredentials {
    /// ARN or name of the secret that holds them.
    pub credentials_parameter: String,
}

/// One port of a container.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PortMapping {
    /// Port inside the container.
    pub container_port: Option<u16>,
    /// Port on the host; 0 or absent in `bridge`: chosen when the task is placed. In `host` and `awsvpc` it is the
    /// container's port.
    pub host_port: Option<u16>,
    /// Transport.
    #[schemars(extend("default" = "tcp"))]
    pub protocol: Option<TransportProtocol>,
    /// Name of the port, for Service Connect.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[a-z0-9_][a-z0-9_-]*$"))]
    pub name: Option<String>,
    /// What is spoken on the port, for Service Connect.
    pub app_protocol: Option<ApplicationProtocol>,
    /// A range of ports, `first-last`, in place of `containerPort`.
    #[schemars(regex(pattern = r"^[0-9]{1,5}-[0-9]{1,5}$"))]
    pub container_port_range: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TransportProtocol {
    Tcp,
    Udp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ApplicationProtocol {
    Http,
    Http2,
    Grpc,
}

/// Restart a container in place.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ContainerRestartPolicy {
    /// Whether the policy holds.
    pub enabled: bool,
    /// Exit codes after which it is not restarted.
    #[serde(default)]
    #[schemars(length(max = 50))]
    pub ignored_exit_codes: Vec<i32>,
    /// Seconds that it must have run before it is restarted.
    #[schemars(range(min = 60, max = 1800), extend("default" = 300))]
    pub restart_attempt_period: Option<u32>,
}

/// A file of environment variables.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EnvironmentFile {
    /// ARN of the object; for a `file`, its path: absolute, or below the folder of manifests.
    pub value: String,
    /// Where the file is kept. `file` is Longshore's own.
    #[serde(rename = "type")]
    pub kind: EnvironmentFileType,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EnvironmentFileType {
    S3,
    File,
}

/// A volume inside the container.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MountPoint {
    /// Name of one of the task's volumes.
    pub source_volume: Option<String>,
    /// Absolute path inside the container.
    pub container_path: Option<String>,
    /// Mount it read-only.
    #[schemars(extend("default" = false))]
    pub read_only: Option<bool>,
}

/// Another container's volumes.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VolumeFrom {
    /// A container of the task.
    pub source_container: Option<String>,
    /// Mount them read-only.
    #[schemars(extend("default" = false))]
    pub read_only: Option<bool>,
}

/// What must have happened to another container first.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ContainerDependency {
    /// A container of the task.
    pub container_name: String,
    /// What it must have reached: `START` running, `COMPLETE` ended, `SUCCESS` ended with exit code 0, `HEALTHY`.
    pub condition: ContainerCondition,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum ContainerCondition {
    Start,
    Complete,
    Success,
    Healthy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum VersionConsistency {
    Enabled,
    Disabled,
}

/// A line of `/etc/hosts`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HostEntry {
    /// The name.
    #[schemars(length(min = 1))]
    pub hostname: String,
    /// Its address.
    #[schemars(length(min = 1))]
    pub ip_address: String,
}

/// A limit of the container's processes; -1 is no limit.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ulimit {
    /// Which limit.
    pub name: UlimitName,
    /// The soft limit.
    pub soft_limit: i64,
    /// The hard limit.
    pub hard_limit: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum UlimitName {
    Core,
    Cpu,
    Data,
    Fsize,
    Locks,
    Memlock,
    Msgqueue,
    Nice,
    Nofile,
    Nproc,
    Rss,
    Rtprio,
    Rttime,
    Sigpending,
    Stack,
}

impl UlimitName {
    /// As Docker names it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Cpu => "cpu",
            Self::Data => "data",
            Self::Fsize => "fsize",
            Self::Locks => "locks",
            Self::Memlock => "memlock",
            Self::Msgqueue => "msgqueue",
            Self::Nice => "nice",
            Self::Nofile => "nofile",
            Self::Nproc => "nproc",
            Self::Rss => "rss",
            Self::Rtprio => "rtprio",
            Self::Rttime => "rttime",
            Self::Sigpending => "sigpending",
            Self::Stack => "stack",
        }
    }
}

/// How a container's health is checked.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HealthCheck {
    /// `["CMD", program, …]` or `["CMD-SHELL", script]`; exit code 0 is healthy.
    #[schemars(length(min = 1))]
    pub command: Vec<String>,
    /// Seconds between checks.
    #[schemars(range(min = 5, max = 300), extend("default" = 30))]
    pub interval: Option<u32>,
    /// Seconds after which a check has failed.
    #[schemars(range(min = 2, max = 60), extend("default" = 5))]
    pub timeout: Option<u32>,
    /// Failures in a row that make it unhealthy.
    #[schemars(range(min = 1, max = 10), extend("default" = 3))]
    pub retries: Option<u32>,
    /// Seconds after its start in which failures do not count.
    #[schemars(range(max = 300), extend("default" = 0))]
    pub start_period: Option<u32>,
}

impl HealthCheck {
    /// Whether an engine runs it: one whose command does not begin with how it is run is taken and left alone.
    pub fn is_run(&self) -> bool {
        let first = self.command.first().map(String::as_str);
        matches!(first, Some("CMD" | "CMD-SHELL"))
    }
}

/// A kernel parameter.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SystemControl {
    /// Its name: `net.…`, `fs.mqueue.…`, or one of `kernel.msg…`, `kernel.sem`, `kernel.shm…`.
    pub namespace: Option<String>,
    /// Its value.
    pub value: Option<String>,
}

/// A GPU or another accelerator.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResourceRequirement {
    /// How many, or which.
    pub value: Option<String>,
    /// Of what kind.
    #[serde(rename = "type")]
    pub kind: ResourceType,
    /// How a GPU is shared between containers.
    pub sharing_strategy: Option<SharingStrategy>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum ResourceType {
    #[serde(rename = "GPU")]
    Gpu,
    InferenceAccelerator,
    NeuronDevice,
}

/// How a GPU is shared.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SharingStrategy {
    /// By NVIDIA's multi-process service.
    pub nvidia_mps: Option<NvidiaMpsAllocation>,
}

/// A share of a GPU under NVIDIA's multi-process service.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NvidiaMpsAllocation {
    /// GPU memory, MiB.
    #[schemars(range(min = 1))]
    pub memory: u32,
    /// The greatest part of the GPU's threads.
    #[schemars(range(min = 1, max = 100))]
    pub max_compute_percent: Option<u32>,
}

/// The log router of a task.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FirelensConfiguration {
    /// The router's kind.
    #[serde(rename = "type")]
    pub kind: FirelensType,
    /// The router's options.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FirelensType {
    Fluentd,
    Fluentbit,
}
