//! A cluster: its instances, and how its agents deal with images and secrets.

use std::collections::BTreeMap;

use super::{shares, tags};
use crate::manifest::types as raw;
use crate::model::{
    ClusterName, ClusterSpec, EngineEndpoint, EnvironmentFileSource, ImageCleanup, ImagePolicy,
    InstanceDesired, InstanceId, InstanceSpec, LogConfig, NfsExport, PullBehavior, SecretProvider,
    SecretSources,
};

/// A cluster.
pub fn cluster(
    name: ClusterName,
    cluster: &raw::Cluster,
    labels: BTreeMap<String, String>,
    manifest_hash: &str,
) -> ClusterSpec {
    let instances: Vec<InstanceSpec> = cluster
        .container_instances
        .iter()
        .map(|instance| InstanceSpec {
            name: InstanceId::new(instance.name.as_str()),
            endpoint: endpoint(instance),
            attributes: instance.attributes.clone(),
            capacity_provider: instance.capacity_provider_name.clone(),
            gpus: instance.gpus.clone(),
            desired: match instance.status {
                Some(raw::ContainerInstanceStatus::Draining) => InstanceDesired::Draining,
                _ => InstanceDesired::Active,
            },
        })
        .collect();
    ClusterSpec {
        name,
        tags: tags(&cluster.tags),
        labels,
        instances: if instances.is_empty() {
            vec![InstanceSpec::local()]
        } else {
            instances
        },
        healthy_after: cluster
            .healthy_after_seconds
            .unwrap_or(ClusterSpec::HEALTHY_AFTER),
        instance_lost_after: cluster
            .instance_lost_after_seconds
            .unwrap_or(ClusterSpec::INSTANCE_LOST_AFTER),
        publish_awsvpc_ports: cluster.publish_awsvpc_ports.unwrap_or(true),
        fault_injection: cluster.fault_injection.unwrap_or(false),
        aws_region: cluster.aws_region.clone(),
        capacity_providers: providers(cluster).into_iter().map(str::to_owned).collect(),
        default_strategy: shares(&cluster.default_capacity_provider_strategy),
        log_drivers: cluster
            .log_driver_overrides
            .iter()
            .map(|(name, other)| {
                let config = LogConfig {
                    driver: other.log_driver.clone(),
                    options: other.options.clone(),
                    secret_options: Vec::new(),
                };
                (name.clone(), config)
            })
            .collect(),
        file_systems: cluster
            .file_systems
            .iter()
            .filter_map(|(id, found)| {
                let export = NfsExport::parse(&found.nfs, found.options.as_deref())?;
                Some((id.clone(), export))
            })
            .collect(),
        secrets: SecretSources {
            providers: cluster
                .secret_providers
                .iter()
                .filter_map(secret_provider)
                .collect(),
            names: cluster.secret_names.clone(),
        },
        environment_files: cluster.environment_files.as_ref().map_or_else(
            EnvironmentFileSource::default,
            |files| EnvironmentFileSource {
                path: Some(files.path.clone()),
                names: files.names.clone(),
            },
        ),
        images: images(cluster),
        manifest_hash: manifest_hash.to_owned(),
    }
}

fn endpoint(instance: &raw::ContainerInstance) -> EngineEndpoint {
    let address = instance.endpoint.clone().filter(|text| !text.is_empty());
    match (address, &instance.tls) {
        (None, _) => EngineEndpoint::Local,
        (Some(address), None) => EngineEndpoint::Address(address),
        (Some(address), Some(tls)) => EngineEndpoint::Tls {
            address,
            certificates: tls.cert_path.clone(),
            verify: tls.verify.unwrap_or(true),
        },
    }
}

/// The capacity providers of a cluster: those that it lists, then those that only instances name.
pub fn providers(cluster: &raw::Cluster) -> Vec<&str> {
    let named = cluster
        .container_instances
        .iter()
        .filter_map(|instance| instance.capacity_provider_name.as_deref());
    let mut all: Vec<&str> = Vec::new();
    for provider in cluster
        .capacity_providers
        .iter()
        .map(String::as_str)
        .chain(named)
    {
        if !all.contains(&provider) {
            all.push(provider);
        }
    }
    all
}
/// Seconds that a provider's command may take where the manifest does not say.
const COMMAND_TIMEOUT: u32 = 10;

/// A provider of secrets; none if it lacks what its type needs.
fn secret_provider(provider: &raw::SecretProvider) -> Option<SecretProvider> {
    let path = provider.path.clone().filter(|path| !path.is_empty());
    Some(match provider.kind {
        raw::SecretProviderType::Directory => SecretProvider::Directory { path: path? },
        raw::SecretProviderType::Environment => SecretProvider::Environment {
            prefix: provider.prefix.clone().unwrap_or_default(),
        },
        raw::SecretProviderType::Command => SecretProvider::Command {
            command: Some(provider.command.clone()).filter(|command| !command.is_empty())?,
            timeout: provider.timeout.unwrap_or(COMMAND_TIMEOUT),
        },
        raw::SecretProviderType::Age => SecretProvider::Age {
            identity_file: provider.identity_file.clone()?,
            path,
        },
    })
}

fn images(cluster: &raw::Cluster) -> ImagePolicy {
    let default = ImageCleanup::default();
    ImagePolicy {
        pull: match cluster.image_pull_behavior {
            None | Some(raw::ImagePullBehavior::Default) => PullBehavior::Default,
            Some(raw::ImagePullBehavior::Always) => PullBehavior::Always,
            Some(raw::ImagePullBehavior::Once) => PullBehavior::Once,
            Some(raw::ImagePullBehavior::PreferCached) => PullBehavior::PreferCached,
        },
        cleanup: match &cluster.image_cleanup {
            None => default,
            Some(written) => ImageCleanup {
                enabled: written.enabled,
                interval: written.interval_seconds.unwrap_or(default.interval),
                minimum_age: written.minimum_age_seconds.unwrap_or(default.minimum_age),
                per_cycle: written.images_per_cycle.unwrap_or(default.per_cycle),
                include_untracked: written.include_untracked.unwrap_or(false),
                exclude: written.exclude.clone(),
            },
        },
    }
}
