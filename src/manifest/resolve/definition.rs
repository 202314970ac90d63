//! A task definition: its containers and volumes.

use std::collections::{BTreeMap, BTreeSet};

use super::tags;
use crate::manifest::quantity::{cpu_units, memory_mib};
use crate::manifest::types as raw;
use crate::model::{
    Condition, ContainerSpec, Dependency, EnvironmentFileKind, EnvironmentFileRef, Family,
    Firelens, Gpus, HealthCheck, LinuxSpec, LogConfig, MountPoint, NamespaceMode, NetworkMode,
    PortMapping, Protocol, Query, RestartPolicy, Router, SecretRef, TaskSpec, Ulimit, VolumeKind,
    VolumeSpec,
};

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

pub(super) fn volume(volume: &raw::Volume) -> VolumeSpec {
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
