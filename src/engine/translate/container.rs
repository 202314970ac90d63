//! Create bodies of a task's containers.

use std::collections::BTreeMap;

use super::{Additions, Context, firelens, identity, limits, names};
use crate::engine::body::{
    CreateBody, DeviceBody, DeviceRequestBody, Empty, EndpointConfig, HealthcheckBody, HostConfig,
    LogConfigBody, NetworkingConfig, PortBinding, UlimitBody,
};
use crate::engine::labels::PAUSE_CONTAINER;
use crate::model::{
    ContainerSpec, Firelens, Gpus, HealthCheck, LogConfig, NamespaceMode, NetworkMode, PortMapping,
    TaskRecord, TaskSpec,
};

const MIB: i64 = 1 << 20;
/// The ECS agent raises a smaller limit to this (semantics §2b, *memory*).
const LEAST_MEMORY: i64 = 4 * MIB;
/// Docker takes 0 for 1024 shares, so the ECS agent never sends less than 2, nor more than the kernel's bound.
const CPU_SHARES: std::ops::RangeInclusive<i64> = 2..=262_144;
const NANOS: i64 = 1_000_000_000;
/// The ECS agent's `ECS_CONTAINER_STOP_TIMEOUT`, seconds.
pub(super) const STOP_TIMEOUT: u32 = 30;

/// What a container of the task is created from. `container` is one of `spec.containers`.
pub fn container_body(
    spec: &TaskSpec,
    record: &TaskRecord,
    container: &ContainerSpec,
    context: &Context,
    additions: &Additions,
) -> CreateBody {
    let network = Network::of(spec, record, container, context);
    CreateBody {
        image: additions
            .image
            .clone()
            .unwrap_or_else(|| container.image.clone()),
        entrypoint: container.entry_point.clone(),
        cmd: container.command.clone(),
        env: environment(
            &[
                additions.defaults.as_slice(),
                &container.environment,
                &additions.environment,
                &firelens::environment(spec, record, container),
            ]
            .concat(),
        ),
        labels: identity::of_container(
            &container.docker_labels,
            spec,
            record,
            &container.name,
            context,
        ),
        user: container.user.clone(),
        working_dir: container.working_directory.clone(),
        hostname: network
            .own_namespace
            .then(|| container.hostname.clone())
            .flatten(),
        network_disabled: container.disable_networking.then_some(true),
        open_stdin: container.interactive.then_some(true),
        stdin_once: None,
        tty: container.pseudo_terminal.then_some(true),
        exposed_ports: network.exposed,
        healthcheck: container.health_check.as_ref().map(health_check),
        stop_timeout: Some(i64::from(container.stop_timeout.unwrap_or(STOP_TIMEOUT))),
        host_config: HostConfig {
            port_bindings: network.bindings,
            network_mode: Some(network.mode),
            dns: network.dns,
            dns_search: network.dns_search,
            extra_hosts: network.extra_hosts,
            pid_mode: namespace(spec.pid_mode, record),
            ipc_mode: namespace(spec.ipc_mode, record),
            ..host_config(spec, record, container, context, additions)
        },
        networking_config: network.endpoints,
    }
}

/// What the pause container of the task is created from: it holds the namespaces, and in `awsvpc` the network with all
/// that belongs to it (names, ports, resolvers), because those that join have no say in it.
pub fn pause_body(spec: &TaskSpec, record: &TaskRecord, context: &Context) -> CreateBody {
    let awsvpc = spec.network_mode == NetworkMode::Awsvpc;
    let mut exposed = BTreeMap::new();
    let mut bindings = BTreeMap::new();
    if awsvpc {
        for container in &spec.containers {
            let publish = context.publish_awsvpc_ports;
            ports(record, container, publish, &mut exposed, &mut bindings);
        }
    }
    let all = |list: fn(&ContainerSpec) -> &Vec<String>| {
        let mut merged: Vec<String> = Vec::new();
        for value in spec.containers.iter().filter(|_| awsvpc).flat_map(list) {
            if !merged.contains(value) {
                merged.push(value.clone());
            }
        }
        merged
    };
    CreateBody {
        image: context.pause_image.clone(),
        labels: identity::of_container(&BTreeMap::new(), spec, record, PAUSE_CONTAINER, context),
        exposed_ports: exposed,
        // Nothing in it needs time to end: an engine that stops need not wait for it.
        stop_timeout: Some(1),
        host_config: HostConfig {
            port_bindings: bindings,
            network_mode: Some(if awsvpc {
                context.network.clone()
            } else {
                "none".to_owned()
            }),
            ipc_mode: (spec.ipc_mode == Some(NamespaceMode::Task)).then(|| "shareable".to_owned()),
            // It is process 1 of all containers then, and has to reap what they leave behind.
            init: (spec.pid_mode == Some(NamespaceMode::Task)).then_some(true),
            cpu_shares: Some(*CPU_SHARES.start()),
            cgroup_parent: limits::task_cgroup(spec, record, context).map(|group| group.parent),
            log_config: Some(LogConfigBody {
                r#type: "none".to_owned(),
                config: BTreeMap::new(),
            }),
            dns: all(|c| &c.dns_servers),
            dns_search: all(|c| &c.dns_search_domains),
            ..HostConfig::default()
        },
        networking_config: awsvpc.then(|| endpoint(context, record.dns_names.clone(), Vec::new())),
        ..CreateBody::default()
    }
}

/// How one container is connected.
struct Network {
    mode: String,
    own_namespace: bool,
    exposed: BTreeMap<String, Empty>,
    bindings: BTreeMap<String, Vec<PortBinding>>,
    dns: Vec<String>,
    dns_search: Vec<String>,
    extra_hosts: Vec<String>,
    endpoints: Option<NetworkingConfig>,
}

impl Network {
    fn of(
        spec: &TaskSpec,
        record: &TaskRecord,
        container: &ContainerSpec,
        context: &Context,
    ) -> Self {
        let mut network = Self {
            mode: match spec.network_mode {
                NetworkMode::Bridge if container.disable_networking => "none".to_owned(),
                NetworkMode::Bridge => context.network.clone(),
                NetworkMode::Host => "host".to_owned(),
                NetworkMode::None => "none".to_owned(),
                NetworkMode::Awsvpc => joined(record),
            },
            own_namespace: spec.network_mode != NetworkMode::Awsvpc,
            exposed: BTreeMap::new(),
            bindings: BTreeMap::new(),
            dns: Vec::new(),
            dns_search: Vec::new(),
            extra_hosts: Vec::new(),
            endpoints: None,
        };
        // Docker refuses all of these for a container that joins another's namespace; the pause container has them.
        if network.own_namespace {
            network.dns.clone_from(&container.dns_servers);
            network.dns_search.clone_from(&container.dns_search_domains);
            network.extra_hosts = container
                .extra_hosts
                .iter()
                .map(|(host, address)| format!("{host}:{address}"))
                .collect();
        }
        if spec.network_mode == NetworkMode::Bridge && !container.disable_networking {
            ports(
                record,
                container,
                true,
                &mut network.exposed,
                &mut network.bindings,
            );
            let aliases = if answers(spec, container) {
                record.dns_names.clone()
            } else {
                Vec::new()
            };
            network.endpoints = Some(endpoint(context, aliases, links(record, container)));
        }
        network
    }
}

/// Whether a container of a `bridge` task answers to the task's names.
fn answers(spec: &TaskSpec, container: &ContainerSpec) -> bool {
    !container.port_mappings.is_empty()
        || spec.containers.iter().all(|c| c.port_mappings.is_empty())
}

fn endpoint(context: &Context, aliases: Vec<String>, links: Vec<String>) -> NetworkingConfig {
    let config = EndpointConfig { aliases, links };
    NetworkingConfig {
        endpoints_config: BTreeMap::from([(context.network.clone(), config)]),
    }
}

/// ECS's `name[:alias]`, with the name that the engine knows.
fn links(record: &TaskRecord, container: &ContainerSpec) -> Vec<String> {
    let resolve = |link: &String| {
        let (name, alias) = link.split_once(':').unwrap_or((link, link));
        format!("{}:{alias}", names::container(record, name))
    };
    container.links.iter().map(resolve).collect()
}

fn joined(record: &TaskRecord) -> String {
    format!("container:{}", names::container(record, PAUSE_CONTAINER))
}

fn namespace(mode: Option<NamespaceMode>, record: &TaskRecord) -> Option<String> {
    Some(match mode? {
        NamespaceMode::Host => "host".to_owned(),
        NamespaceMode::None => "none".to_owned(),
        NamespaceMode::Task => joined(record),
    })
}

/// Adds a container's ports. Each mapping takes the next claim that was booked for it; one without a number lets the engine
/// choose.
fn ports(
    record: &TaskRecord,
    container: &ContainerSpec,
    publish: bool,
    exposed: &mut BTreeMap<String, Empty>,
    bindings: &mut BTreeMap<String, Vec<PortBinding>>,
) {
    let mut claims: Vec<_> = record
        .ports
        .iter()
        .filter(|claim| claim.container == container.name)
        .collect();
    for mapping in &container.port_mappings {
        let booked = claims
            .iter()
            .position(|c| {
                c.container_port == mapping.container_port && c.protocol == mapping.protocol
            })
            .filter(|_| publish)
            .map(|at| claims.remove(at).host_port);
        for (offset, port) in (0..).zip(mapping.container_ports()) {
            let port = format!("{port}/{}", mapping.protocol.as_str());
            exposed.insert(port.clone(), Empty {});
            if publish {
                bindings.entry(port).or_default().push(PortBinding {
                    host_ip: String::new(),
                    host_port: host_port(mapping, booked, offset),
                });
            }
        }
    }
}

fn host_port(mapping: &PortMapping, booked: Option<u16>, offset: u16) -> String {
    match booked.or(mapping.host_port) {
        None | Some(0) => String::new(),
        Some(first) => first.saturating_add(offset).to_string(),
    }
}

/// `NAME=value`, each name once: of several, Docker would hand all to the process, which mostly reads the first.
fn environment(pairs: &[(String, String)]) -> Vec<String> {
    pairs
        .iter()
        .enumerate()
        .filter(|(at, (name, _))| !pairs[at + 1..].iter().any(|(later, _)| later == name))
        .map(|(_, (name, value))| format!("{name}={value}"))
        .collect()
}

fn health_check(check: &HealthCheck) -> HealthcheckBody {
    let nanos = |seconds: u32| Some(i64::from(seconds) * NANOS);
    HealthcheckBody {
        test: check.command.clone(),
        interval: nanos(check.interval),
        timeout: nanos(check.timeout),
        retries: Some(i64::from(check.retries)),
        start_period: (check.start_period > 0)
            .then(|| nanos(check.start_period))
            .flatten(),
    }
}

/// Everything of `HostConfig` but network and namespaces.
fn host_config(
    spec: &TaskSpec,
    record: &TaskRecord,
    container: &ContainerSpec,
    context: &Context,
    additions: &Additions,
) -> HostConfig {
    let linux = container.linux.clone().unwrap_or_default();
    let group = limits::task_cgroup(spec, record, context);
    // Where the task itself is limited, a container has its own limit only.
    let memory = memory(spec.memory.filter(|_| group.is_none()), container);
    HostConfig {
        binds: binds(spec, record, container),
        volumes_from: container
            .volumes_from
            .iter()
            .map(|(source, read_only)| {
                let name = names::container(record, source);
                if *read_only {
                    format!("{name}:ro")
                } else {
                    name
                }
            })
            .collect(),
        cpu_shares: Some(
            i64::from(container.cpu.unwrap_or(0)).clamp(*CPU_SHARES.start(), *CPU_SHARES.end()),
        ),
        nano_cpus: nano_cpus(spec, context).filter(|_| group.is_none()),
        cgroup_parent: group.map(|group| group.parent),
        memory,
        memory_reservation: container
            .memory_reservation
            .filter(|mib| *mib > 0)
            .map(|mib| i64::from(mib) * MIB),
        memory_swap: memory
            .zip(linux.max_swap)
            .map(|(memory, swap)| memory + i64::from(swap) * MIB),
        // cgroup v2 has no swappiness, and Docker refuses it there.
        memory_swappiness: linux
            .swappiness
            .filter(|_| linux.max_swap.is_some() && context.facts.cgroup_version < 2)
            .map(i64::from),
        log_config: log_config(spec, record, container, context, additions),
        privileged: container.privileged.then_some(true),
        readonly_rootfs: container.readonly_root_filesystem.then_some(true),
        init: linux.init,
        cap_add: linux.cap_add,
        cap_drop: linux.cap_drop,
        devices: linux
            .devices
            .into_iter()
            .map(|(host, inside, permissions)| DeviceBody {
                path_on_host: host,
                path_in_container: inside,
                cgroup_permissions: permissions,
            })
            .collect(),
        security_opt: container.docker_security_options.clone(),
        shm_size: linux.shared_memory_size.map(|mib| i64::from(mib) * MIB),
        sysctls: container.system_controls.clone(),
        tmpfs: linux.tmpfs,
        device_requests: gpus(record, container).into_iter().collect(),
        ulimits: container
            .ulimits
            .iter()
            .map(|limit| UlimitBody {
                name: limit.name.clone(),
                soft: limit.soft,
                hard: limit.hard,
            })
            .collect(),
        ..HostConfig::default()
    }
}

/// The GPUs that were booked for the container, by name, so that no two tasks get the same.
fn gpus(record: &TaskRecord, container: &ContainerSpec) -> Option<DeviceRequestBody> {
    let wanted = container.gpus?;
    let device_ids = record.gpus.get(&container.name).cloned();
    let count = match (&device_ids, wanted) {
        (Some(_), _) => None,
        (None, Gpus::Count(count)) => Some(i64::from(count)),
        (None, Gpus::All) => Some(-1),
    };
    Some(DeviceRequestBody {
        count,
        device_ids: device_ids.unwrap_or_default(),
        capabilities: vec![vec!["gpu".to_owned()]],
    })
}

fn memory(of_task: Option<u32>, container: &ContainerSpec) -> Option<i64> {
    container
        .memory
        .filter(|mib| *mib > 0)
        .or(of_task)
        .map(|mib| (i64::from(mib) * MIB).max(LEAST_MEMORY))
}

/// The task's CPU as a limit. One that the whole machine could not exceed is left out: Docker refuses it.
fn nano_cpus(spec: &TaskSpec, context: &Context) -> Option<i64> {
    let nanos = i64::from(spec.cpu.filter(|units| *units > 0)?) * NANOS / 1024;
    (nanos < i64::from(context.facts.cpus) * NANOS).then_some(nanos)
}

fn binds(spec: &TaskSpec, record: &TaskRecord, container: &ContainerSpec) -> Vec<String> {
    let bind = |mount: &crate::model::MountPoint| {
        let volume = spec
            .volumes
            .iter()
            .find(|v| v.name == mount.source_volume)?;
        let source = names::volume_source(record, volume);
        let suffix = if mount.read_only { ":ro" } else { "" };
        Some(format!("{source}:{}{suffix}", mount.container_path))
    };
    container.mount_points.iter().filter_map(bind).collect()
}

fn log_config(
    spec: &TaskSpec,
    record: &TaskRecord,
    container: &ContainerSpec,
    context: &Context,
    additions: &Additions,
) -> Option<LogConfigBody> {
    match &container.log {
        Some(log) => {
            let log = log.on_engine(&context.log_drivers);
            if log.driver == Firelens::DRIVER && spec.router().is_some() {
                return Some(firelens::log_config(&log, record, container, context));
            }
            let LogConfig {
                driver,
                options: mut config,
                ..
            } = log;
            if driver != "none" {
                buffer(&mut config);
                config.extend(additions.log_options.clone());
            }
            Some(LogConfigBody {
                r#type: driver,
                config,
            })
        }
        None if context.facts.logging_driver == "json-file" => Some(LogConfigBody {
            r#type: "json-file".to_owned(),
            config: LogConfig::ROTATION
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
        }),
        None => None,
    }
}

/// ECS's defaults for how a container and its log driver are decoupled.
fn buffer(options: &mut BTreeMap<String, String>) {
    let mode = options
        .entry("mode".to_owned())
        .or_insert_with(|| "non-blocking".to_owned());
    if mode == "non-blocking" {
        options
            .entry("max-buffer-size".to_owned())
            .or_insert_with(|| "10m".to_owned());
    }
}
