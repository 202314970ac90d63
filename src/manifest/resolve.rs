//! From manifests as written to the model: defaults filled in, units fixed, what ECS implies made explicit.
//!
//! Nothing here fails. What cannot be resolved has been reported and its document is not taken; for a document that was
//! last good under other rules, what cannot be resolved is left out.

use std::collections::{BTreeMap, BTreeSet};

use super::quantity::{cpu_units, memory_mib};
use super::types as raw;
use crate::model::arn::Named;
use crate::model::{
    BinpackField, CircuitBreaker, ClusterName, ClusterSpec, Condition, ContainerSpec, Dependency,
    EarlySuccess, EngineEndpoint, EnvironmentFileKind, EnvironmentFileRef, EnvironmentFileSource,
    Family, Firelens, Gpus, HealthCheck, ImageCleanup, ImagePolicy, InstanceDesired, InstanceId,
    InstanceSpec, LinuxSpec, LogConfig, MountPoint, NamespaceMode, NetworkMode, NfsExport,
    PlacementConstraint, PlacementStrategy, PortMapping, Protocol, ProviderShare, PullBehavior,
    Query, RestartPolicy, Router, SchedulingStrategy, SecretProvider, SecretRef, SecretSources,
    ServiceName, ServiceSpec, SpreadField, TaskSpec, Threshold, Ulimit, VolumeKind, VolumeSpec,
    ceil_percent, floor_percent,
};

/// The family and revision that `taskDefinition` names: `family`, `family:revision`, or the ARN of either. The revision in
/// an ARN of AWS counts AWS's revisions, so it says nothing here and is not taken. None if the text is no such name.
pub fn definition_reference(text: &str) -> Option<(Family, Option<u32>)> {
    let named = Named::parse(text);
    if named.kind.is_some_and(|kind| kind != "task-definition") {
        return None;
    }
    let (family, revision) = match named.name.split_once(':') {
        None => (named.name, None),
        Some((family, number)) => (family, Some(number.parse().ok().filter(|n| *n > 0)?)),
    };
    let good = (1..=255).contains(&family.len())
        && family
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    let of_aws = named.kind.is_some() && !text.starts_with("arn:aws:ecs:local:");
    good.then(|| (Family::new(family), revision.filter(|_| !of_aws)))
}

/// The cluster that `cluster` names, by name or ARN; absent: `default`.
pub fn cluster_reference(text: Option<&str>) -> ClusterName {
    text.map_or_else(ClusterName::default, |text| {
        ClusterName::new(Named::parse(text).name)
    })
}

/// A service's percentages with ECS's defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Percentages {
    /// `minimumHealthyPercent`.
    pub minimum: u32,
    /// `maximumPercent`.
    pub maximum: u32,
}

impl Percentages {
    /// Those of a service.
    pub fn of(service: &raw::Service) -> Self {
        let (minimum, maximum) = match service.scheduling_strategy {
            Some(raw::SchedulingStrategy::Daemon) => (0, 100),
            _ => (100, 200),
        };
        let written = service.deployment_configuration.as_ref();
        Self {
            minimum: written
                .and_then(|d| d.minimum_healthy_percent)
                .unwrap_or(minimum),
            maximum: written.and_then(|d| d.maximum_percent).unwrap_or(maximum),
        }
    }

    /// The fewest healthy tasks of `desired`.
    pub fn floor(self, desired: u32) -> u32 {
        ceil_percent(desired, self.minimum)
    }

    /// The most tasks of `desired`.
    pub fn cap(self, desired: u32) -> u32 {
        floor_percent(desired, self.maximum)
    }

    /// Whether a rollout may start a task before it stops one.
    pub fn can_start(self, desired: u32) -> bool {
        self.cap(desired) > desired
    }

    /// Whether a rollout may stop a task before it starts one.
    pub fn can_stop(self, desired: u32) -> bool {
        self.floor(desired) < desired
    }

    /// The greatest `minimumHealthyPercent` that lets one of `desired` tasks stop first.
    pub fn stop_one_first(desired: u32) -> u32 {
        let desired = u64::from(desired.max(1));
        u32::try_from((desired - 1) * 100 / desired).unwrap_or(0)
    }

    /// The least `maximumPercent` that lets one task more than `desired` start.
    pub fn start_one_first(desired: u32) -> u32 {
        let desired = u64::from(desired.max(1));
        u32::try_from(((desired + 1) * 100).div_ceil(desired)).unwrap_or(200)
    }
}

fn tags(tags: &[raw::Tag]) -> BTreeMap<String, String> {
    tags.iter()
        .map(|tag| (tag.key.clone(), tag.value.clone().unwrap_or_default()))
        .collect()
}

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

/// A capacity provider strategy.
pub fn shares(strategy: &[raw::CapacityProviderStrategyItem]) -> Vec<ProviderShare> {
    strategy
        .iter()
        .map(|item| ProviderShare {
            provider: item.capacity_provider.clone(),
            weight: item.weight.unwrap_or(0),
            base: item.base.unwrap_or(0),
        })
        .collect()
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

/// A service; none if it names no task definition.
pub fn service(
    name: ServiceName,
    service: &raw::Service,
    labels: BTreeMap<String, String>,
    manifest_hash: &str,
) -> Option<ServiceSpec> {
    let (family, revision) = definition_reference(service.task_definition.as_deref()?)?;
    let percent = Percentages::of(service);
    let daemon = service.scheduling_strategy == Some(raw::SchedulingStrategy::Daemon);
    Some(ServiceSpec {
        cluster: cluster_reference(service.cluster.as_deref()),
        name,
        family,
        revision,
        desired_count: if daemon {
            0
        } else {
            service.desired_count.unwrap_or(0)
        },
        scheduling: if daemon {
            SchedulingStrategy::Daemon
        } else {
            SchedulingStrategy::Replica
        },
        minimum_healthy_percent: percent.minimum,
        maximum_percent: percent.maximum,
        circuit_breaker: breaker(service),
        early_success: early_success(service, percent),
        health_check_grace_period: service.health_check_grace_period_seconds.unwrap_or(0),
        placement_constraints: service
            .placement_constraints
            .iter()
            .filter_map(
                |constraint| match (constraint.kind?, &constraint.expression) {
                    (raw::PlacementConstraintType::DistinctInstance, _) => {
                        Some(PlacementConstraint::DistinctInstance)
                    }
                    (raw::PlacementConstraintType::MemberOf, Some(expression)) => Some(
                        PlacementConstraint::MemberOf(Query::new(expression.as_str())),
                    ),
                    (raw::PlacementConstraintType::MemberOf, None) => None,
                },
            )
            .collect(),
        zone_rebalancing: !daemon
            && service.availability_zone_rebalancing != Some(raw::Switch::Disabled)
            && spreads_over_zones(service),
        placement_strategy: service
            .placement_strategy
            .iter()
            .filter_map(placement_strategy)
            .collect(),
        capacity_providers: shares(&service.capacity_provider_strategy),
        names_launch_type: service.launch_type.is_some(),
        tags: tags(&service.tags),
        labels,
        enable_execute_command: service.enable_execute_command.unwrap_or(false),
        manifest_hash: manifest_hash.to_owned(),
    })
}

/// The circuit breaker, where it is enabled.
fn breaker(service: &raw::Service) -> Option<CircuitBreaker> {
    let written = service.deployment_configuration.as_ref()?;
    let breaker = written.deployment_circuit_breaker.as_ref()?;
    let threshold = match &breaker.threshold_configuration {
        None => Threshold::default(),
        Some(threshold) => match threshold.kind {
            raw::ThresholdType::Count => Threshold::Count(threshold.value),
            raw::ThresholdType::BoundedPercent => Threshold::BoundedPercent(threshold.value),
            raw::ThresholdType::UnboundedPercent => Threshold::UnboundedPercent(threshold.value),
        },
    };
    breaker.enable.then_some(CircuitBreaker {
        rollback: breaker.rollback,
        reset_on_healthy_task: breaker.reset_on_healthy_task.unwrap_or(true),
        threshold,
    })
}

/// The criteria of early success, where they are enabled.
fn early_success(service: &raw::Service, percent: Percentages) -> Option<EarlySuccess> {
    let written = service.deployment_configuration.as_ref()?;
    let early = written.early_success_criteria.as_ref()?;
    early.enable.then_some(EarlySuccess {
        healthy_percent: early.healthy_percent.unwrap_or(percent.minimum),
        deferred_cleanup: early.source_service_revision_cleanup
            == Some(raw::RevisionCleanup::Deferred),
    })
}

/// What a `spread` strategy's field names; none if that is nothing tasks could be spread over.
pub fn spread_field(text: &str) -> Option<SpreadField> {
    if matches!(text, "instanceId" | "host") {
        return Some(SpreadField::InstanceId);
    }
    let name = text.strip_prefix("attribute:")?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./\\".contains(c);
    let good = (1..=128).contains(&name.len()) && name.chars().all(plain);
    good.then(|| SpreadField::Attribute(name.to_owned()))
}

/// Whether availability zones come first in what a service is spread over: by default, or by its strategy.
pub fn spreads_over_zones(service: &raw::Service) -> bool {
    let zone = || SpreadField::Attribute(SpreadField::ZONE.to_owned());
    let first = service.placement_strategy.first();
    first.is_none_or(|first| placement_strategy(first) == Some(PlacementStrategy::Spread(zone())))
}

/// One strategy as written; none if it is not one.
pub fn placement_strategy(strategy: &raw::PlacementStrategy) -> Option<PlacementStrategy> {
    let field = strategy.field.as_deref();
    Some(match strategy.kind? {
        raw::PlacementStrategyType::Random => PlacementStrategy::Random,
        raw::PlacementStrategyType::Spread => PlacementStrategy::Spread(spread_field(field?)?),
        raw::PlacementStrategyType::Binpack => {
            PlacementStrategy::Binpack(BinpackField::parse(field?)?)
        }
    })
}

/// A task definition.
pub fn task_definition(family: Family, definition: &raw::TaskDefinition) -> TaskSpec {
    let network_mode = match definition.network_mode {
        None | Some(raw::NetworkMode::Bridge) => NetworkMode::Bridge,
        Some(raw::NetworkMode::Host) => NetworkMode::Host,
        Some(raw::NetworkMode::Awsvpc) => NetworkMode::Awsvpc,
        Some(raw::NetworkMode::None) => NetworkMode::None,
    };
    let mut containers: Vec<ContainerSpec> = definition
        .container_definitions
        .iter()
        .map(|c| container(c, network_mode))
        .collect();
    let mut volumes: Vec<VolumeSpec> = definition.volumes.iter().map(volume).collect();
    route_logs(&mut containers, &mut volumes);
    TaskSpec {
        family,
        network_mode,
        containers,
        volumes,
        cpu: definition.cpu.as_ref().and_then(|q| cpu_units(&q.0)),
        memory: definition.memory.as_ref().and_then(|q| memory_mib(&q.0)),
        pid_mode: definition.pid_mode.map(|mode| match mode {
            raw::PidMode::Host => NamespaceMode::Host,
            raw::PidMode::Task => NamespaceMode::Task,
        }),
        ipc_mode: definition.ipc_mode.map(|mode| match mode {
            raw::IpcMode::Host => NamespaceMode::Host,
            raw::IpcMode::Task => NamespaceMode::Task,
            raw::IpcMode::None => NamespaceMode::None,
        }),
        architecture: definition
            .runtime_platform
            .as_ref()
            .and_then(|platform| platform.cpu_architecture)
            .map(|architecture| {
                match architecture {
                    raw::CpuArchitecture::X86_64 => "amd64",
                    raw::CpuArchitecture::Arm64 => "arm64",
                }
                .to_owned()
            }),
        enable_fault_injection: definition.enable_fault_injection.unwrap_or(false),
        placement_constraints: definition
            .placement_constraints
            .iter()
            .filter_map(|constraint| constraint.expression.as_deref().map(Query::new))
            .collect(),
        tags: tags(&definition.tags),
    }
}

/// What a log router implies: the volumes with its socket and its configuration, and that it starts before the containers
/// that log to it.
fn route_logs(containers: &mut [ContainerSpec], volumes: &mut Vec<VolumeSpec>) {
    let Some(at) = containers.iter().position(|c| c.firelens.is_some()) else {
        return;
    };
    let name = containers[at].name.clone();
    let before = waited_for(containers, &name);
    for container in containers.iter_mut() {
        let logs = container.log.as_ref();
        let uses = logs.is_some_and(|log| log.driver == Firelens::DRIVER);
        let says = container.depends_on.iter().any(|d| d.container == name);
        if uses && !says && !before.contains(&container.name) {
            container.depends_on.push(Dependency {
                container: name.clone(),
                condition: Condition::Start,
            });
        }
    }
    let Some(router) = containers[at].firelens.as_ref().map(|f| f.router) else {
        return;
    };
    for (volume, folder) in [
        (Firelens::SOCKET_VOLUME, Firelens::SOCKET_FOLDER),
        (Firelens::CONFIG_VOLUME, router.config_folder()),
    ] {
        volumes.push(VolumeSpec {
            name: volume.to_owned(),
            kind: VolumeKind::Task {
                driver: None,
                driver_opts: BTreeMap::new(),
                labels: BTreeMap::new(),
            },
        });
        containers[at].mount_points.push(MountPoint {
            source_volume: volume.to_owned(),
            container_path: folder.to_owned(),
            read_only: false,
        });
    }
}

/// The containers that `name` waits for, and those that they wait for, itself among them.
fn waited_for(containers: &[ContainerSpec], name: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut left = vec![name.to_owned()];
    while let Some(name) = left.pop() {
        if found.insert(name.clone()) {
            let container = containers.iter().find(|c| c.name == name);
            let waits = container.into_iter().flat_map(|c| &c.depends_on);
            left.extend(waits.map(|dependency| dependency.container.clone()));
        }
    }
    found
}

fn container(c: &raw::ContainerDefinition, network_mode: NetworkMode) -> ContainerSpec {
    let some = |list: &Vec<String>| (!list.is_empty()).then(|| list.clone());
    let text = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    ContainerSpec {
        name: c.name.clone(),
        image: c.image.clone(),
        tag_at_each_start: c.version_consistency == Some(raw::VersionConsistency::Disabled),
        essential: c.essential.unwrap_or(true),
        cpu: c.cpu.filter(|cpu| *cpu > 0),
        memory: c.memory.filter(|memory| *memory > 0),
        memory_reservation: c.memory_reservation.filter(|memory| *memory > 0),
        entry_point: some(&c.entry_point),
        command: some(&c.command),
        environment: c
            .environment
            .iter()
            .filter_map(|pair| Some((pair.name.clone()?, pair.value.clone().unwrap_or_default())))
            .collect(),
        environment_files: c
            .environment_files
            .iter()
            .map(|file| EnvironmentFileRef {
                kind: match file.kind {
                    raw::EnvironmentFileType::S3 => EnvironmentFileKind::S3,
                    raw::EnvironmentFileType::File => EnvironmentFileKind::File,
                },
                value: file.value.clone(),
            })
            .collect(),
        secrets: secrets(&c.secrets),
        repository_credentials: c
            .repository_credentials
            .as_ref()
            .map(|credentials| credentials.credentials_parameter.clone())
            .filter(|parameter| !parameter.is_empty()),
        port_mappings: c
            .port_mappings
            .iter()
            .filter_map(|mapping| port(mapping, network_mode))
            .collect(),
        mount_points: c
            .mount_points
            .iter()
            .filter_map(|mount| {
                Some(MountPoint {
                    source_volume: mount.source_volume.clone()?,
                    container_path: mount.container_path.clone()?,
                    read_only: mount.read_only.unwrap_or(false),
                })
            })
            .collect(),
        volumes_from: c
            .volumes_from
            .iter()
            .filter_map(|from| {
                Some((
                    from.source_container.clone()?,
                    from.read_only.unwrap_or(false),
                ))
            })
            .collect(),
        links: c.links.clone(),
        depends_on: dependencies(c),
        start_timeout: c.start_timeout,
        stop_timeout: c.stop_timeout,
        health_check: c
            .health_check
            .as_ref()
            .filter(|check| check.is_run())
            .map(|check| HealthCheck {
                command: check.command.clone(),
                interval: check.interval.unwrap_or(30),
                timeout: check.timeout.unwrap_or(5),
                retries: check.retries.unwrap_or(3),
                start_period: check.start_period.unwrap_or(0),
            }),
        restart_policy: c
            .restart_policy
            .as_ref()
            .filter(|policy| policy.enabled)
            .map(|policy| RestartPolicy {
                ignored_exit_codes: policy
                    .ignored_exit_codes
                    .iter()
                    .map(|code| i64::from(*code))
                    .collect(),
                restart_attempt_period: policy.restart_attempt_period.unwrap_or(300),
            }),
        log: c.log_configuration.as_ref().map(log),
        user: text(&c.user),
        working_directory: text(&c.working_directory),
        hostname: text(&c.hostname),
        disable_networking: c.disable_networking.unwrap_or(false),
        privileged: c.privileged.unwrap_or(false),
        readonly_root_filesystem: c.readonly_root_filesystem.unwrap_or(false),
        interactive: c.interactive.unwrap_or(false),
        pseudo_terminal: c.pseudo_terminal.unwrap_or(false),
        dns_servers: c.dns_servers.clone(),
        dns_search_domains: c.dns_search_domains.clone(),
        extra_hosts: c
            .extra_hosts
            .iter()
            .map(|host| (host.hostname.clone(), host.ip_address.clone()))
            .collect(),
        docker_security_options: c.docker_security_options.clone(),
        docker_labels: c.docker_labels.clone(),
        ulimits: c
            .ulimits
            .iter()
            .map(|limit| Ulimit {
                name: limit.name.as_str().to_owned(),
                soft: limit.soft_limit,
                hard: limit.hard_limit,
            })
            .collect(),
        system_controls: c
            .system_controls
            .iter()
            .filter_map(|control| Some((control.namespace.clone()?, control.value.clone()?)))
            .collect(),
        linux: c
            .linux_parameters
            .as_ref()
            .map(linux)
            .filter(|linux| *linux != LinuxSpec::default()),
        gpus: gpus(&c.resource_requirements),
        firelens: c.firelens_configuration.as_ref().map(|configuration| {
            let option = |name: &str| configuration.options.get(name).map(String::as_str);
            Firelens {
                router: match configuration.kind {
                    raw::FirelensType::Fluentd => Router::Fluentd,
                    raw::FirelensType::Fluentbit => Router::Fluentbit,
                },
                metadata: option("enable-ecs-log-metadata") != Some("false"),
                include: option("config-file-value")
                    .filter(|_| option("config-file-type") == Some("file"))
                    .map(str::to_owned),
            }
        }),
    }
}

/// What the container asks of GPUs in all.
pub fn gpus(requirements: &[raw::ResourceRequirement]) -> Option<Gpus> {
    requirements
        .iter()
        .filter(|requirement| requirement.kind == raw::ResourceType::Gpu)
        .filter_map(|requirement| match requirement.value.as_deref()? {
            "ALL" => Some(Gpus::All),
            number => number.parse().ok().filter(|n| *n > 0).map(Gpus::Count),
        })
        .reduce(|one, other| match (one, other) {
            (Gpus::Count(one), Gpus::Count(other)) => Gpus::Count(one.saturating_add(other)),
            _ => Gpus::All,
        })
}

/// First and last port of `first-last`; none if it is no range.
pub fn port_range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-')?;
    let range: (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
    (range.0 > 0 && range.0 < range.1).then_some(range)
}

fn secrets(secrets: &[raw::Secret]) -> Vec<SecretRef> {
    secrets
        .iter()
        .map(|secret| SecretRef {
            name: secret.name.clone(),
            value_from: secret.value_from.clone(),
        })
        .collect()
}

fn port(mapping: &raw::PortMapping, network_mode: NetworkMode) -> Option<PortMapping> {
    let range = mapping.container_port_range.as_deref();
    let (container_port, last_container_port) = match range.and_then(port_range) {
        Some((first, last)) => (first, Some(last)),
        None => (mapping.container_port?, None),
    };
    Some(PortMapping {
        container_port,
        last_container_port,
        host_port: match network_mode {
            NetworkMode::Bridge => mapping.host_port.filter(|port| *port > 0),
            NetworkMode::Host => Some(container_port),
            NetworkMode::Awsvpc | NetworkMode::None => None,
        },
        protocol: match mapping.protocol {
            Some(raw::TransportProtocol::Udp) => Protocol::Udp,
            _ => Protocol::Tcp,
        },
        name: mapping.name.clone(),
    })
}

/// `dependsOn`, and the order that `links` and `volumesFrom` imply where it says nothing about those containers.
fn dependencies(c: &raw::ContainerDefinition) -> Vec<Dependency> {
    let mut all: Vec<Dependency> = c
        .depends_on
        .iter()
        .map(|dependency| Dependency {
            container: dependency.container_name.clone(),
            condition: match dependency.condition {
                raw::ContainerCondition::Start => Condition::Start,
                raw::ContainerCondition::Complete => Condition::Complete,
                raw::ContainerCondition::Success => Condition::Success,
                raw::ContainerCondition::Healthy => Condition::Healthy,
            },
        })
        .collect();
    let links = c.links.iter().filter_map(|link| link.split(':').next());
    let volumes = c
        .volumes_from
        .iter()
        .filter_map(|from| from.source_container.as_deref());
    for name in links.chain(volumes) {
        if !all.iter().any(|dependency| dependency.container == name) {
            all.push(Dependency {
                container: name.to_owned(),
                condition: Condition::Start,
            });
        }
    }
    all
}

/// As written: what a driver becomes is the cluster's to say.
fn log(log: &raw::LogConfiguration) -> LogConfig {
    LogConfig {
        driver: log.log_driver.as_str().to_owned(),
        options: log.options.clone(),
        secret_options: secrets(&log.secret_options),
    }
}

fn linux(linux: &raw::LinuxParameters) -> LinuxSpec {
    let capabilities = linux.capabilities.as_ref();
    LinuxSpec {
        cap_add: capabilities.map(|c| c.add.clone()).unwrap_or_default(),
        cap_drop: capabilities.map(|c| c.drop.clone()).unwrap_or_default(),
        devices: linux
            .devices
            .iter()
            .map(|device| {
                let permissions: String = device
                    .permissions
                    .iter()
                    .map(|permission| match permission {
                        raw::DevicePermission::Read => 'r',
                        raw::DevicePermission::Write => 'w',
                        raw::DevicePermission::Mknod => 'm',
                    })
                    .collect();
                (
                    device.host_path.clone(),
                    device
                        .container_path
                        .clone()
                        .unwrap_or_else(|| device.host_path.clone()),
                    if permissions.is_empty() {
                        "rwm".to_owned()
                    } else {
                        permissions
                    },
                )
            })
            .collect(),
        init: linux.init_process_enabled,
        shared_memory_size: linux.shared_memory_size.filter(|size| *size > 0),
        tmpfs: linux
            .tmpfs
            .iter()
            .map(|tmpfs| {
                let options: Vec<String> = tmpfs
                    .mount_options
                    .iter()
                    .cloned()
                    .chain([format!("size={}m", tmpfs.size)])
                    .collect();
                (tmpfs.container_path.clone(), options.join(","))
            })
            .collect(),
        max_swap: linux.max_swap,
        swappiness: linux.swappiness,
    }
}

/// What the cluster's `fileSystems` are asked for: an access point leads to another folder than the file system itself.
pub fn file_system_key(efs: &raw::EfsVolumeConfiguration) -> &str {
    efs.authorization_config
        .as_ref()
        .and_then(|config| config.access_point_id.as_deref())
        .filter(|id| !id.is_empty())
        .unwrap_or(&efs.file_system_id)
}

fn volume(volume: &raw::Volume) -> VolumeSpec {
    let path = volume
        .host
        .as_ref()
        .and_then(|host| host.source_path.clone())
        .filter(|path| !path.is_empty());
    if let Some(efs) = &volume.efs_volume_configuration {
        return VolumeSpec {
            name: volume.name.clone(),
            kind: VolumeKind::FileSystem {
                id: file_system_key(efs).to_owned(),
                root_directory: efs.root_directory.clone().unwrap_or_else(|| "/".to_owned()),
            },
        };
    }
    let kind = match (&volume.docker_volume_configuration, path) {
        (Some(docker), _) if docker.scope == Some(raw::VolumeScope::Shared) => VolumeKind::Shared {
            autoprovision: docker.autoprovision.unwrap_or(false),
            driver: docker.driver.clone(),
            driver_opts: docker.driver_opts.clone(),
            labels: docker.labels.clone(),
        },
        (Some(docker), _) => VolumeKind::Task {
            driver: docker.driver.clone(),
            driver_opts: docker.driver_opts.clone(),
            labels: docker.labels.clone(),
        },
        (None, Some(path)) => VolumeKind::HostPath { path },
        (None, None) => VolumeKind::Task {
            driver: None,
            driver_opts: BTreeMap::new(),
            labels: BTreeMap::new(),
        },
    };
    VolumeSpec {
        name: volume.name.clone(),
        kind,
    }
}

#[cfg(test)]
#[path = "resolve/tests.rs"]
mod tests;
