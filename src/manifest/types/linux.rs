//! ECS `linuxParameters`.

use schemars::JsonSchema;
use serde::Deserialize;

/// Linux settings of a container.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LinuxParameters {
    /// Capabilities beyond or below the engine's default set.
    pub capabilities: Option<KernelCapabilities>,
    /// Host devices inside the container.
    #[serde(default)]
    pub devices: Vec<Device>,
    /// Run an init process that forwards signals and reaps children.
    pub init_process_enabled: Option<bool>,
    /// Size of `/dev/shm`, MiB.
    pub shared_memory_size: Option<u32>,
    /// Memory file systems inside the container.
    #[serde(default)]
    pub tmpfs: Vec<Tmpfs>,
    /// Swap on top of `memory`, MiB; 0: none.
    pub max_swap: Option<u32>,
    /// How eagerly memory is swapped; without `maxSwap` it has no effect.
    #[schemars(range(max = 100), extend("default" = 60))]
    pub swappiness: Option<u32>,
}

/// Kernel capabilities, without the `CAP_` in front.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KernelCapabilities {
    /// Added to the engine's default set.
    #[serde(default)]
    pub add: Vec<String>,
    /// Taken from the engine's default set.
    #[serde(default)]
    pub drop: Vec<String>,
}

/// A device of the host.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Device {
    /// Its path on the host.
    pub host_path: String,
    /// Its path in the container; absent: the same.
    pub container_path: Option<String>,
    /// What the container may do with it; absent: everything.
    #[serde(default)]
    pub permissions: Vec<DevicePermission>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DevicePermission {
    Read,
    Write,
    Mknod,
}

/// A memory file system.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tmpfs {
    /// Absolute path in the container.
    pub container_path: String,
    /// Its greatest size, MiB.
    pub size: u32,
    /// Mount options.
    #[serde(default)]
    pub mount_options: Vec<String>,
}
