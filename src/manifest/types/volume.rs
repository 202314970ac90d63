//! Volumes of a task definition.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::common::Switch;

/// A volume of the task. With no kind at all it is an engine volume that lives as long as the task.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Volume {
    /// What mount points call it.
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[A-Za-z0-9_-]+$"))]
    pub name: String,
    /// A path of the host; with no path, an engine volume that lives as long as the task.
    pub host: Option<HostVolumeProperties>,
    /// A volume of the engine.
    pub docker_volume_configuration: Option<DockerVolumeConfiguration>,
    /// An Amazon EFS file system.
    pub efs_volume_configuration: Option<EfsVolumeConfiguration>,
    /// An Amazon S3 Files file system.
    #[serde(rename = "s3filesVolumeConfiguration")]
    pub s3_files_volume_configuration: Option<S3FilesVolumeConfiguration>,
    /// An Amazon FSx for Windows file system.
    pub fsx_windows_file_server_volume_configuration:
        Option<FsxWindowsFileServerVolumeConfiguration>,
    /// Whether the service says what the volume is when it launches tasks.
    #[schemars(extend("default" = false))]
    pub configured_at_launch: Option<bool>,
}

/// A path of the host.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HostVolumeProperties {
    /// Absolute path on the host; the engine makes the folder when it is missing.
    pub source_path: Option<String>,
}

/// A volume of the engine.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DockerVolumeConfiguration {
    /// `task`: made and removed with the task. `shared`: one of that very name, kept.
    #[schemars(extend("default" = "task"))]
    pub scope: Option<VolumeScope>,
    /// `shared` only: make it when it is missing; otherwise a task that needs it fails.
    #[schemars(extend("default" = false))]
    pub autoprovision: Option<bool>,
    /// The volume driver; absent: `local`.
    pub driver: Option<String>,
    /// The driver's options.
    #[serde(default)]
    pub driver_opts: BTreeMap<String, String>,
    /// Labels of the volume.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum VolumeScope {
    Task,
    Shared,
}

/// An Amazon EFS file system.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EfsVolumeConfiguration {
    /// The file system's id.
    pub file_system_id: String,
    /// The folder in it to mount.
    #[schemars(extend("default" = "/"))]
    pub root_directory: Option<String>,
    /// Whether traffic to it is encrypted.
    pub transit_encryption: Option<Switch>,
    /// The port for encrypted traffic.
    pub transit_encryption_port: Option<u16>,
    /// How the task proves who it is.
    pub authorization_config: Option<EfsAuthorizationConfig>,
}

/// How a task proves to EFS who it is.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EfsAuthorizationConfig {
    /// The access point's id.
    pub access_point_id: Option<String>,
    /// Whether the task's IAM role is used.
    pub iam: Option<Switch>,
}

/// An Amazon S3 Files file system.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct S3FilesVolumeConfiguration {
    /// The file system's ARN.
    pub file_system_arn: String,
    /// The folder in it to mount.
    pub root_directory: Option<String>,
    /// The port for encrypted traffic.
    pub transit_encryption_port: Option<u16>,
    /// The access point's ARN.
    pub access_point_arn: Option<String>,
}

/// An Amazon FSx for Windows file system.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FsxWindowsFileServerVolumeConfiguration {
    /// The file system's id.
    pub file_system_id: String,
    /// The folder in it to mount.
    pub root_directory: String,
    /// Credentials for it.
    pub authorization_config: FsxWindowsFileServerAuthorizationConfig,
}

/// Credentials for an FSx for Windows file system.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FsxWindowsFileServerAuthorizationConfig {
    /// ARN of the secret with user name and password.
    pub credentials_parameter: String,
    /// Name of the Active Directory domain.
    pub domain: String,
}
