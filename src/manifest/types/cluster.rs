//! CreateCluster's input, and what Longshore adds to it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::common::{CapacityProviderStrategyItem, Tag};

/// A cluster: the engines that its services run on.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cluster {
    /// The cluster's name. With an envelope it is `metadata.name` and may be left out.
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[A-Za-z0-9_-]+$"))]
    pub cluster_name: Option<String>,
    /// Tags of the cluster.
    #[serde(default)]
    #[schemars(length(max = 50))]
    pub tags: Vec<Tag>,
    /// Settings of the cluster.
    #[serde(default)]
    pub settings: Vec<ClusterSetting>,
    /// How commands in containers are logged, and how storage is encrypted, on AWS.
    pub configuration: Option<ClusterConfiguration>,
    /// Capacity providers of the cluster: groups of its instances, which name them as `capacityProviderName`. `FARGATE` and
    /// `FARGATE_SPOT` are all instances where none names them.
    #[serde(default)]
    pub capacity_providers: Vec<String>,
    /// What services use that name neither a launch type nor a strategy.
    #[serde(default)]
    pub default_capacity_provider_strategy: Vec<CapacityProviderStrategyItem>,
    /// The namespace that services use with Service Connect.
    pub service_connect_defaults: Option<ClusterServiceConnectDefaults>,
    /// The engines that tasks run on; none: the engine that `docker` itself would use, as instance `local`.
    #[serde(default)]
    #[schemars(extend("x-longshore" = true))]
    pub container_instances: Vec<ContainerInstance>,
    /// Seconds after RUNNING until a task with no health check counts as healthy (ECS: 40).
    #[schemars(range(max = 3600), extend("x-longshore" = true, "default" = 5))]
    pub healthy_after_seconds: Option<u32>,
    /// Seconds that an instance's engine may not answer before its tasks are given up and replaced on other instances. One that
    /// returns stops what it still runs of them before it starts anything.
    #[schemars(range(min = 10, max = 86400), extend("x-longshore" = true, "default" = 60))]
    pub instance_lost_after_seconds: Option<u32>,
    /// Whether ports of `awsvpc` tasks are published on the host too, at ports that the engine chooses.
    #[schemars(extend("x-longshore" = true, "default" = true))]
    pub publish_awsvpc_ports: Option<bool>,
    /// Whether tasks with `enableFaultInjection` may inject faults into their own network, as root on the host.
    #[schemars(extend("x-longshore" = true, "default" = false))]
    pub fault_injection: Option<bool>,
    /// What `AWS_REGION` and `AWS_DEFAULT_REGION` are in containers whose definition does not set them.
    #[schemars(length(min = 1), extend("x-longshore" = true))]
    pub aws_region: Option<String>,
    /// What stands for a log driver that definitions name, by its name: `{awslogs: {logDriver: journald}}`. Without it
    /// `awslogs` is the engine's `json-file`.
    #[serde(default)]
    #[schemars(extend("x-longshore" = true))]
    pub log_driver_overrides: BTreeMap<String, LogDriverOverride>,
    /// Where the file systems are that `efsVolumeConfiguration` names, by file system id or access point id.
    #[serde(default)]
    #[schemars(extend("x-longshore" = true))]
    pub file_systems: BTreeMap<String, FileSystem>,
    /// Where secrets come from, asked in this order; paths that are not absolute begin at the folder of manifests.
    #[serde(default)]
    #[schemars(length(max = 20), extend("x-longshore" = true))]
    pub secret_providers: Vec<SecretProvider>,
    /// What providers call a secret, by `valueFrom` as a definition writes it or by the name in it.
    #[serde(default)]
    #[schemars(extend("x-longshore" = true))]
    pub secret_names: BTreeMap<String, String>,
    /// Where `environmentFiles` of type `s3` are found.
    #[schemars(extend("x-longshore" = true))]
    pub environment_files: Option<EnvironmentFileDirectory>,
    /// When a registry is asked for an image: `default` for each task, with an image that the engine has as the fallback;
    /// `always` for each task, without it; `once` for an image that Longshore has not pulled before; `prefer-cached` for
    /// one that the engine has not.
    #[schemars(extend("x-longshore" = true, "default" = "default"))]
    pub image_pull_behavior: Option<ImagePullBehavior>,
    /// When images that nobody uses any more are removed from the engines.
    #[schemars(extend("x-longshore" = true))]
    pub image_cleanup: Option<ImageCleanup>,
}

/// A log driver that stands for another.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LogDriverOverride {
    /// A driver of the engines.
    #[schemars(length(min = 1), extend("x-longshore" = true))]
    pub log_driver: String,
    /// Its options; the definition's own stay only where it is the same driver.
    #[serde(default)]
    #[schemars(extend("x-longshore" = true))]
    pub options: BTreeMap<String, String>,
}

/// Where a file system is.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FileSystem {
    /// `server:/path` of an NFS export.
    #[schemars(length(min = 1), extend("x-longshore" = true))]
    pub nfs: String,
    /// Mount options, separated by commas.
    #[schemars(extend("x-longshore" = true, "default" = "nfsvers=4.1"))]
    pub options: Option<String>,
}

/// A place that secrets come from.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretProvider {
    /// `directory` has a file for each secret, `environment` the variables that Longshore runs with, `command` prints one, `age` has an encrypted file for each.
    #[serde(rename = "type")]
    #[schemars(extend("x-longshore" = true))]
    pub kind: SecretProviderType,
    /// `directory` and `age`: the directory of the files; with `age` absent: the folder of manifests.
    #[schemars(extend("x-longshore" = true))]
    pub path: Option<String>,
    /// `environment`: what stands before the name.
    #[schemars(regex(pattern = r"^[A-Za-z0-9_]*$"), extend("x-longshore" = true))]
    pub prefix: Option<String>,
    /// `command`: the program and its first arguments; the name follows as the last one. No shell is involved.
    #[serde(default)]
    #[schemars(extend("x-longshore" = true))]
    pub command: Vec<String>,
    /// `command`: seconds that it may take.
    #[schemars(range(min = 1, max = 300), extend("x-longshore" = true, "default" = 10))]
    pub timeout: Option<u32>,
    /// `age`: the file with the identities (`AGE-SECRET-KEY-1…`) that the files are encrypted to.
    #[schemars(extend("x-longshore" = true))]
    pub identity_file: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SecretProviderType {
    Directory,
    Environment,
    Command,
    Age,
}

impl SecretProviderType {
    /// As manifests write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Directory => "directory",
            Self::Environment => "environment",
            Self::Command => "command",
            Self::Age => "age",
        }
    }
}

/// Where files of variables are.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EnvironmentFileDirectory {
    /// The directory: absolute, or below the folder of manifests.
    #[schemars(length(min = 1), extend("x-longshore" = true))]
    pub path: String,
    /// Paths in it, by the ARN of the object or by the path in the ARN.
    #[serde(default)]
    #[schemars(extend("x-longshore" = true))]
    pub names: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ImagePullBehavior {
    Default,
    Always,
    Once,
    PreferCached,
}

/// The removal of images that nobody uses any more.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImageCleanup {
    /// Whether images are removed; unless told, they are with every pull behaviour but `prefer-cached`.
    #[schemars(extend("x-longshore" = true))]
    pub enabled: Option<bool>,
    /// Seconds between two cycles.
    #[schemars(range(min = 600), extend("x-longshore" = true, "default" = 1800))]
    pub interval_seconds: Option<u32>,
    /// Seconds since its pull before an image may be removed.
    #[schemars(extend("x-longshore" = true, "default" = 3600))]
    pub minimum_age_seconds: Option<u32>,
    /// Most images that one cycle removes.
    #[schemars(range(min = 1), extend("x-longshore" = true, "default" = 5))]
    pub images_per_cycle: Option<u32>,
    /// Whether images that Longshore did not pull are removed too, once they have been unused for the minimum age.
    #[schemars(extend("x-longshore" = true, "default" = false))]
    pub include_untracked: Option<bool>,
    /// Images that are kept though they are untracked, as `name:tag`, or as `name` for all tags.
    #[serde(default)]
    #[schemars(extend("x-longshore" = true))]
    pub exclude: Vec<String>,
}

/// A setting of a cluster.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterSetting {
    /// Its name.
    pub name: Option<ClusterSettingName>,
    /// Its value.
    pub value: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ClusterSettingName {
    ContainerInsights,
}

/// Settings of a cluster on AWS.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterConfiguration {
    /// How commands in containers are logged.
    pub execute_command_configuration: Option<ExecuteCommandConfiguration>,
    /// How storage is encrypted.
    pub managed_storage_configuration: Option<ManagedStorageConfiguration>,
}

/// How commands in containers are logged.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExecuteCommandConfiguration {
    /// The key that the session is encrypted with.
    pub kms_key_id: Option<String>,
    /// Where the log goes.
    pub logging: Option<ExecuteCommandLogging>,
    /// Where it goes with `OVERRIDE`.
    pub log_configuration: Option<ExecuteCommandLogConfiguration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum ExecuteCommandLogging {
    None,
    Default,
    Override,
}

/// Where the log of commands goes.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExecuteCommandLogConfiguration {
    /// A CloudWatch log group.
    pub cloud_watch_log_group_name: Option<String>,
    /// Whether the log is encrypted there.
    pub cloud_watch_encryption_enabled: Option<bool>,
    /// An S3 bucket.
    pub s3_bucket_name: Option<String>,
    /// Whether the log is encrypted there.
    pub s3_encryption_enabled: Option<bool>,
    /// The folder in the bucket.
    pub s3_key_prefix: Option<String>,
}

/// How storage is encrypted.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ManagedStorageConfiguration {
    /// The key for managed storage.
    pub kms_key_id: Option<String>,
    /// The key for Fargate's scratch storage.
    pub fargate_ephemeral_storage_kms_key_id: Option<String>,
}

/// The namespace that services use with Service Connect.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterServiceConnectDefaults {
    /// Name or ARN of a Cloud Map namespace.
    pub namespace: String,
}

/// A container instance: a Docker Engine that tasks are placed on.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ContainerInstance {
    /// Its name in the cluster.
    #[schemars(
        length(min = 1, max = 255),
        regex(pattern = r"^[A-Za-z0-9_.-]+$"),
        extend("x-longshore" = true)
    )]
    pub name: String,
    /// Where its engine is: `unix://…`, `tcp://host:port` or `ssh://user@host`; absent: the one that `docker` itself
    /// would use.
    #[schemars(extend("x-longshore" = true))]
    pub endpoint: Option<String>,
    /// TLS to a `tcp://` engine, with a client's certificate; absent: what `DOCKER_TLS_VERIFY` and `DOCKER_CERT_PATH` say.
    #[schemars(extend("x-longshore" = true))]
    pub tls: Option<EngineTls>,
    /// Attributes for placement.
    #[serde(default)]
    #[schemars(extend("x-longshore" = true))]
    pub attributes: BTreeMap<String, String>,
    /// The capacity provider that it belongs to.
    #[schemars(
        length(min = 1, max = 255),
        regex(pattern = r"^[A-Za-z0-9_-]+$"),
        extend("x-longshore" = true)
    )]
    pub capacity_provider_name: Option<String>,
    /// Its GPUs, as its container runtime names them (`"0"`, `GPU-8f2a…`); absent: those that NVIDIA's driver shows, where
    /// Longshore runs on the engine's own host.
    #[schemars(length(max = 64), extend("x-longshore" = true))]
    pub gpus: Option<Vec<String>>,
    /// `ACTIVE` takes tasks, `DRAINING` gives its tasks to others.
    #[schemars(extend("x-longshore" = true, "default" = "ACTIVE"))]
    pub status: Option<ContainerInstanceStatus>,
}

/// How an engine is spoken to with TLS.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EngineTls {
    /// The directory with `ca.pem`, `cert.pem` and `key.pem`, named as docker does; absolute, or below the folder of manifests.
    #[schemars(length(min = 1), extend("x-longshore" = true))]
    pub cert_path: String,
    /// Whether the engine's certificate must be valid for its address.
    #[schemars(extend("x-longshore" = true, "default" = true))]
    pub verify: Option<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum ContainerInstanceStatus {
    Active,
    Draining,
}
