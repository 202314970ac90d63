//! RegisterTaskDefinition's input, task level.

use schemars::JsonSchema;
use serde::Deserialize;

use super::common::{KeyValuePair, Quantity, Tag};
use super::container::ContainerDefinition;
use super::volume::Volume;

/// A task definition: containers that run together, and what they share.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TaskDefinition {
    /// The family; revisions of it are numbered. With an envelope it is `metadata.name` and may be left out.
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[A-Za-z0-9_-]+$"))]
    pub family: Option<String>,
    /// IAM role that the containers would take on AWS.
    pub task_role_arn: Option<String>,
    /// IAM role that the container agent would take on AWS to pull images and write logs.
    pub execution_role_arn: Option<String>,
    /// How containers are connected: `bridge` one namespace each, `awsvpc` one for all of the task, `host` the host's,
    /// `none` loopback only.
    #[schemars(extend("default" = "bridge"))]
    pub network_mode: Option<NetworkMode>,
    /// The containers; at least one must be essential.
    #[schemars(length(min = 1))]
    pub container_definitions: Vec<ContainerDefinition>,
    /// Volumes that containers mount by name.
    #[serde(default)]
    pub volumes: Vec<Volume>,
    /// What an instance must meet to be given such a task.
    #[serde(default)]
    #[schemars(length(max = 10))]
    pub placement_constraints: Vec<TaskDefinitionPlacementConstraint>,
    /// Launch types to validate against.
    #[serde(default)]
    pub requires_compatibilities: Vec<Compatibility>,
    /// CPU of the whole task: units (`"256"`, 1024 a core) or `"0.25 vCPU"`.
    pub cpu: Option<Quantity>,
    /// Memory of the whole task: MiB (`"512"`) or `"0.5 GB"`.
    pub memory: Option<Quantity>,
    /// Tags of the definition.
    #[serde(default)]
    #[schemars(length(max = 50))]
    pub tags: Vec<Tag>,
    /// Whose process namespace containers share; absent: each has its own.
    pub pid_mode: Option<PidMode>,
    /// Whose IPC namespace containers share; absent: the engine's default.
    pub ipc_mode: Option<IpcMode>,
    /// App Mesh proxy.
    pub proxy_configuration: Option<ProxyConfiguration>,
    /// Elastic Inference accelerators, a service that AWS has ended.
    #[serde(default)]
    pub inference_accelerators: Vec<InferenceAccelerator>,
    /// Size of the task's scratch storage on Fargate.
    pub ephemeral_storage: Option<EphemeralStorage>,
    /// Platform that the task's containers are built for.
    pub runtime_platform: Option<RuntimePlatform>,
    /// Whether the task may ask its metadata endpoint for injected faults.
    #[schemars(extend("default" = false))]
    pub enable_fault_injection: Option<bool>,
    /// Sandbox that the task runs in.
    pub trusted_execution_configuration: Option<TrustedExecutionConfiguration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NetworkMode {
    Bridge,
    Host,
    Awsvpc,
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PidMode {
    Host,
    Task,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum IpcMode {
    Host,
    Task,
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Compatibility {
    Ec2,
    Fargate,
    External,
    ManagedInstances,
}

/// A condition that an instance must meet.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TaskDefinitionPlacementConstraint {
    /// The kind of condition.
    #[serde(rename = "type")]
    pub kind: Option<TaskPlacementConstraintType>,
    /// A cluster query expression.
    #[schemars(length(max = 2000))]
    pub expression: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum TaskPlacementConstraintType {
    MemberOf,
}

/// App Mesh proxy.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProxyConfiguration {
    /// The kind of proxy.
    #[serde(rename = "type")]
    pub kind: Option<ProxyType>,
    /// The container that is the proxy.
    pub container_name: String,
    /// The proxy's settings.
    #[serde(default)]
    pub properties: Vec<KeyValuePair>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum ProxyType {
    Appmesh,
}

/// An Elastic Inference accelerator.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InferenceAccelerator {
    /// What containers call it.
    pub device_name: String,
    /// Its type.
    pub device_type: String,
}

/// Scratch storage on Fargate.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EphemeralStorage {
    /// GiB.
    #[serde(rename = "sizeInGiB")]
    #[schemars(range(min = 21, max = 200))]
    pub size_in_gib: u32,
}

/// Platform that images are built for.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RuntimePlatform {
    /// CPU architecture; instances of another are not used.
    pub cpu_architecture: Option<CpuArchitecture>,
    /// Operating system; only `LINUX` runs here.
    pub operating_system_family: Option<OperatingSystemFamily>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum CpuArchitecture {
    #[serde(rename = "X86_64")]
    X86_64,
    #[serde(rename = "ARM64")]
    Arm64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum OperatingSystemFamily {
    #[serde(rename = "LINUX")]
    Linux,
    #[serde(rename = "WINDOWS_SERVER_2019_FULL")]
    WindowsServer2019Full,
    #[serde(rename = "WINDOWS_SERVER_2019_CORE")]
    WindowsServer2019Core,
    #[serde(rename = "WINDOWS_SERVER_2016_FULL")]
    WindowsServer2016Full,
    #[serde(rename = "WINDOWS_SERVER_2004_CORE")]
    WindowsServer2004Core,
    #[serde(rename = "WINDOWS_SERVER_2022_CORE")]
    WindowsServer2022Core,
    #[serde(rename = "WINDOWS_SERVER_2022_FULL")]
    WindowsServer2022Full,
    #[serde(rename = "WINDOWS_SERVER_2025_CORE")]
    WindowsServer2025Core,
    #[serde(rename = "WINDOWS_SERVER_2025_FULL")]
    WindowsServer2025Full,
    #[serde(rename = "WINDOWS_SERVER_20H2_CORE")]
    WindowsServer20H2Core,
}

/// Sandbox that the task runs in.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TrustedExecutionConfiguration {
    /// How far the task is kept from others.
    pub isolation_mode: IsolationMode,
    /// The policy that an attestation is checked against.
    pub attestation_policy: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum IsolationMode {
    Shared,
    IsolatedSandbox,
    ConfidentialSandbox,
}
