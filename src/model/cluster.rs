//! Clusters as their manifests declare them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ids::{ClusterName, InstanceId};
use super::image::ImagePolicy;
use super::instance::InstanceDesired;
use super::reference::{EnvironmentFileSource, SecretSources};
use super::service::ProviderShare;
use super::task_spec::LogConfig;

/// A Cluster manifest, resolved. The cluster `default` has [`ClusterSpec::named`] when no file declares it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterSpec {
    /// Its name.
    pub name: ClusterName,
    /// ECS `tags`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// `metadata.labels`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Never empty: the local engine when the manifest names none.
    pub instances: Vec<InstanceSpec>,
    /// Seconds after RUNNING until a task without a health check counts as healthy (ECS: 40).
    pub healthy_after: u32,
    /// Whether `awsvpc` ports are published on the host, at ports that the engine chooses.
    pub publish_awsvpc_ports: bool,
    /// What stands for a log driver that a definition names, by its name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub log_drivers: BTreeMap<String, LogConfig>,
    /// Where file systems are, by their id or an access point's on AWS.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub file_systems: BTreeMap<String, NfsExport>,
    /// Where secrets come from.
    #[serde(default, skip_serializing_if = "SecretSources::is_empty")]
    pub secrets: SecretSources,
    /// Where files of variables come from.
    #[serde(default, skip_serializing_if = "EnvironmentFileSource::is_empty")]
    pub environment_files: EnvironmentFileSource,
    /// How its agents deal with images.
    #[serde(default)]
    pub images: ImagePolicy,
    /// Whether tasks whose definition asks for it may inject faults into their own network.
    #[serde(default)]
    pub fault_injection: bool,
    /// What `AWS_REGION` and `AWS_DEFAULT_REGION` are preset to in containers; absent: they are not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aws_region: Option<String>,
    /// Seconds without an answer after which tasks of an instance are replaced elsewhere.
    #[serde(
        default = "instance_lost_after",
        skip_serializing_if = "is_instance_lost_after"
    )]
    pub instance_lost_after: u32,
    /// Capacity providers by name: groups of its instances.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub capacity_providers: Vec<String>,
    /// Which of them services and tasks use that name neither a launch type nor a strategy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub default_strategy: Vec<ProviderShare>,
    /// Hash of the manifest it came from; empty for the implied `default`.
    #[serde(default)]
    pub manifest_hash: String,
}

const fn instance_lost_after() -> u32 {
    ClusterSpec::INSTANCE_LOST_AFTER
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde's skip_serializing_if asks for a reference"
)]
const fn is_instance_lost_after(seconds: &u32) -> bool {
    *seconds == ClusterSpec::INSTANCE_LOST_AFTER
}

impl ClusterSpec {
    /// Seconds without an answer after which an instance counts as vanished, unless the manifest says otherwise.
    pub const INSTANCE_LOST_AFTER: u32 = 60;

    /// A task without a health check counts as healthy this many seconds after RUNNING, unless a manifest says otherwise. ECS
    /// waits 40 (semantics §4.19), which makes every rollout wait that long.
    pub const HEALTHY_AFTER: u32 = 5;

    /// A cluster with nothing but a name: the local engine, ECS's defaults.
    pub fn named(name: ClusterName) -> Self {
        Self {
            name,
            tags: BTreeMap::new(),
            labels: BTreeMap::new(),
            instances: vec![InstanceSpec::local()],
            healthy_after: Self::HEALTHY_AFTER,
            publish_awsvpc_ports: true,
            log_drivers: BTreeMap::new(),
            file_systems: BTreeMap::new(),
            secrets: SecretSources::default(),
            environment_files: EnvironmentFileSource::default(),
            images: ImagePolicy::default(),
            fault_injection: false,
            aws_region: None,
            instance_lost_after: Self::INSTANCE_LOST_AFTER,
            capacity_providers: Vec::new(),
            default_strategy: Vec::new(),
            manifest_hash: String::new(),
        }
    }
}

impl ClusterSpec {
    /// Whether a capacity provider of that name is all instances, because none is said to be its own: Fargate has no instances
    /// on AWS.
    pub fn is_everywhere(&self, provider: &str) -> bool {
        let own = |spec: &InstanceSpec| spec.capacity_provider.as_deref() == Some(provider);
        matches!(provider, "FARGATE" | "FARGATE_SPOT") && !self.instances.iter().any(own)
    }

    /// The capacity provider that an instance belongs to.
    pub fn provider_of(&self, instance: &InstanceId) -> Option<&str> {
        let spec = self.instances.iter().find(|spec| spec.name == *instance)?;
        spec.capacity_provider.as_deref()
    }

    /// The strategy that counts: the one that was asked for, or the cluster's own where neither a strategy nor a launch type
    /// was.
    pub fn strategy<'a>(
        &'a self,
        asked: &'a [ProviderShare],
        names_launch_type: bool,
    ) -> &'a [ProviderShare] {
        match (asked, names_launch_type) {
            ([], false) => &self.default_strategy,
            (asked, _) => asked,
        }
    }
}

/// A folder that a server exports by NFS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NfsExport {
    /// Name or address of the server.
    pub server: String,
    /// Absolute path there.
    pub path: String,
    /// Mount options, separated by commas.
    pub options: String,
}

impl NfsExport {
    /// Mount options where the manifest has none: the protocol that EFS speaks.
    pub const OPTIONS: &'static str = "nfsvers=4.1";

    /// Reads `server:/path`; none if it is not of that form.
    pub fn parse(text: &str, options: Option<&str>) -> Option<Self> {
        let (server, path) = text.split_once(":/")?;
        let bare = server.trim_start_matches('[').trim_end_matches(']');
        let good = !bare.is_empty() && !bare.contains([' ', ',', '/']) && !path.contains(',');
        good.then(|| Self {
            server: bare.to_owned(),
            path: format!("/{}", path.trim_end_matches('/')),
            options: options
                .filter(|options| !options.is_empty())
                .unwrap_or(Self::OPTIONS)
                .to_owned(),
        })
    }

    /// What Docker's `local` driver mounts a folder below the export with.
    pub fn driver_opts(&self, root_directory: &str) -> BTreeMap<String, String> {
        let below = root_directory.trim_matches('/');
        let path = match (self.path.as_str(), below) {
            (path, "") => path.to_owned(),
            ("/", below) => format!("/{below}"),
            (path, below) => format!("{path}/{below}"),
        };
        [
            ("type", "nfs".to_owned()),
            ("o", format!("addr={},{}", self.server, self.options)),
            ("device", format!(":{path}")),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }
}

/// A container instance as a Cluster manifest declares it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceSpec {
    /// Its name in the cluster.
    pub name: InstanceId,
    /// Where its engine is.
    pub endpoint: EngineEndpoint,
    /// Attributes for placement.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// The capacity provider that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity_provider: Option<String>,
    /// ACTIVE or DRAINING.
    #[serde(default)]
    pub desired: InstanceDesired,
    /// Its GPUs, as the container runtime names them; absent: those that its agent finds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpus: Option<Vec<String>>,
}

impl InstanceSpec {
    /// Whether both are served in the same way: whether tasks are placed on an instance is not its agent's business.
    pub fn is_served_like(&self, other: &Self) -> bool {
        let desired = other.desired;
        Self {
            desired,
            ..self.clone()
        } == *other
    }

    /// The instance that a cluster has when it names none.
    pub fn local() -> Self {
        Self {
            name: InstanceId::new("local"),
            endpoint: EngineEndpoint::Local,
            attributes: BTreeMap::new(),
            capacity_provider: None,
            desired: InstanceDesired::Active,
            gpus: None,
        }
    }
}

/// How an engine is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EngineEndpoint {
    /// What `docker` itself would use: `DOCKER_HOST`, then the current context, then the default socket.
    Local,
    /// A `unix://`, `tcp://` or `ssh://` address.
    Address(String),
    /// A `tcp://` address with TLS of its own.
    Tls {
        /// The address.
        address: String,
        /// The directory of docker's `ca.pem`, `cert.pem` and `key.pem`; a path that is not absolute begins at the folder of
        /// manifests.
        certificates: String,
        /// Whether the engine's certificate must be valid for its address.
        verify: bool,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_export_is_mounted_at_the_folder_that_the_volume_names() {
        let device = |text: &str, below: &str| {
            let export = NfsExport::parse(text, None)?;
            let options = export.driver_opts(below);
            Some(format!("{} {}", options["o"], options["device"]))
        };
        let line = |text: &str| Some(format!("addr={text}"));
        assert_eq!(
            device("nas:/srv/data", "/"),
            line("nas,nfsvers=4.1 :/srv/data")
        );
        assert_eq!(
            device("nas:/srv/data/", "/a/b/"),
            line("nas,nfsvers=4.1 :/srv/data/a/b")
        );
        assert_eq!(device("10.0.0.1:/", "a"), line("10.0.0.1,nfsvers=4.1 :/a"));
        assert_eq!(device("[fd00::1]:/x", "/"), line("fd00::1,nfsvers=4.1 :/x"));
        for wrong in ["nas", "nas:srv", ":/srv", "a,b:/srv"] {
            assert_eq!(NfsExport::parse(wrong, None), None, "{wrong}");
        }
    }
}
