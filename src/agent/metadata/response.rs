//! What ECS shows a task of itself (semantics §5), from its record, its definition, its status and its containers on the engine.
//! Pure.
//!
//! Members that say something about AWS alone are left out, as ECS leaves out what it does not know: `VPCID`, `ClockDrift`,
//! `EphemeralStorageMetrics`, `Snapshotter`, and all of a network interface but its addresses.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::engine::labels::{self, PAUSE_CONTAINER};
use crate::engine::translate::names;
use crate::engine::{ContainerState, ObservedContainer};
use crate::model::{
    ContainerSpec, DesiredStatus, HealthStatus, NetworkMode, TaskRecord, TaskSpec, TaskStatus,
    Timestamp, VolumeKind, arn,
};

/// ECS counts a container without CPU shares as this many, the kernel's least.
const LEAST_CPU: u32 = 2;
const UNITS_A_CPU: f64 = 1024.0;
const AVAILABILITY_ZONE: &str = "ecs.availability-zone";

/// What the answers about one task are made from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subject<'a> {
    pub record: &'a TaskRecord,
    pub spec: &'a TaskSpec,
    /// As last reported, if it was.
    pub status: Option<&'a TaskStatus>,
    /// Its containers on the engine, by name.
    pub observed: &'a BTreeMap<String, ObservedContainer>,
    /// The cluster's network by name, its range and the host's address on it.
    pub network: (&'a str, &'a str, &'a str),
    /// The engine's default log driver.
    pub log_driver: &'a str,
    /// Whether it may ask for faults.
    pub fault_injection: bool,
    /// The instance's attributes.
    pub attributes: &'a BTreeMap<String, String>,
}

/// `…/task`
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Task {
    cluster: String,
    #[serde(rename = "TaskARN")]
    task_arn: String,
    family: String,
    revision: String,
    desired_status: DesiredStatus,
    known_status: Known,
    #[serde(skip_serializing_if = "Option::is_none")]
    limits: Option<Limits>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pull_started_at: Option<At>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pull_stopped_at: Option<At>,
    #[serde(skip_serializing_if = "Option::is_none")]
    execution_stopped_at: Option<At>,
    #[serde(skip_serializing_if = "Option::is_none")]
    availability_zone: Option<String>,
    launch_type: &'static str,
    containers: Vec<Container>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_name: Option<String>,
    group: String,
    fault_injection_enabled: bool,
    #[serde(flatten)]
    tags: Option<Tags>,
}

/// What `…/taskWithTags` adds. Tasks of services have no tags of their own here, nor have instances.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Tags {
    task_tags: BTreeMap<String, String>,
    container_instance_tags: BTreeMap<String, String>,
}

/// A container, as `…` alone shows it and as an entry of `…/task`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Container {
    docker_id: String,
    name: String,
    docker_name: String,
    image: String,
    #[serde(rename = "ImageID")]
    image_id: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ports: Vec<Port>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
    desired_status: DesiredStatus,
    known_status: Known,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<i64>,
    limits: Limits,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<At>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<At>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<At>,
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    health: Option<Health>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    volumes: Vec<Volume>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_driver: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    log_options: BTreeMap<String, String>,
    #[serde(rename = "ContainerARN")]
    container_arn: String,
    networks: Vec<Network>,
    #[serde(skip_serializing_if = "Option::is_none")]
    restart_count: Option<u32>,
}

/// CPU units for a container, CPUs for a task; MiB.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct Limits {
    #[serde(rename = "CPU", skip_serializing_if = "Option::is_none")]
    cpu: Option<f64>,
    #[serde(rename = "Memory", skip_serializing_if = "Option::is_none")]
    memory: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Port {
    container_port: u16,
    protocol: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    host_port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host_ip: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Health {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Volume {
    #[serde(skip_serializing_if = "Option::is_none")]
    docker_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    destination: String,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Network {
    network_mode: &'static str,
    #[serde(rename = "IPv4Addresses", skip_serializing_if = "Vec::is_empty")]
    addresses: Vec<String>,
    #[serde(
        rename = "IPv4SubnetCIDRBlock",
        skip_serializing_if = "Option::is_none"
    )]
    subnet: Option<String>,
    #[serde(
        rename = "SubnetGatewayIpv4Address",
        skip_serializing_if = "Option::is_none"
    )]
    gateway: Option<String>,
}

/// The agent's own statuses of tasks and containers, in the order in which they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "UPPERCASE")]
enum Known {
    None,
    Created,
    Running,
    Stopped,
}

/// RFC 3339, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct At(Timestamp);

impl Serialize for At {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&self.0)
    }
}

impl Known {
    fn of(container: Option<&ObservedContainer>) -> Self {
        match container.map(|container| container.state) {
            None => Self::None,
            Some(ContainerState::Created) => Self::Created,
            Some(ContainerState::Running | ContainerState::Paused | ContainerState::Restarting) => {
                Self::Running
            }
            Some(ContainerState::Exited | ContainerState::Dead | ContainerState::Removing) => {
                Self::Stopped
            }
        }
    }
}

/// A task. With `tags`, as `…/taskWithTags` shows it.
pub(super) fn task(subject: &Subject<'_>, tags: bool) -> Task {
    let record = subject.record;
    let stopped = subject.status.is_some_and(TaskStatus::is_stopped);
    let least = subject
        .spec
        .containers
        .iter()
        .map(|container| Known::of(subject.observed.get(&container.name)))
        .min()
        .unwrap_or(Known::None);
    let pause = subject
        .observed
        .contains_key(PAUSE_CONTAINER)
        .then_some(PAUSE_CONTAINER);
    let own = subject.spec.containers.iter().map(|c| c.name.as_str());
    let status = subject.status;
    Task {
        cluster: record.cluster.to_string(),
        task_arn: arn::task(&record.cluster, &record.id),
        family: record.family.to_string(),
        revision: record.revision.to_string(),
        desired_status: record.desired,
        known_status: if stopped { Known::Stopped } else { least },
        limits: limits_of_task(subject.spec),
        pull_started_at: status.and_then(|s| s.pull_started_at).map(At),
        pull_stopped_at: status.and_then(|s| s.pull_stopped_at).map(At),
        execution_stopped_at: status.and_then(|s| s.execution_stopped_at).map(At),
        availability_zone: subject.attributes.get(AVAILABILITY_ZONE).cloned(),
        launch_type: "EC2",
        containers: pause
            .into_iter()
            .chain(own)
            .filter_map(|name| container(subject, name))
            .collect(),
        service_name: record.service.as_ref().map(ToString::to_string),
        group: record.group.clone(),
        fault_injection_enabled: subject.fault_injection,
        tags: tags.then(|| Tags {
            task_tags: record
                .standalone
                .as_ref()
                .map(|asked| asked.tags.clone())
                .unwrap_or_default(),
            container_instance_tags: BTreeMap::new(),
        }),
    }
}

/// A container of the task by its name; `None` where the engine has none.
pub(super) fn container(subject: &Subject<'_>, name: &str) -> Option<Container> {
    let found = subject.observed.get(name)?;
    let record = subject.record;
    let spec = subject.spec.container(name);
    let status = subject.status.and_then(|status| status.container(name));
    let mut labels = found.labels.clone();
    // The task's whole definition, for a Longshore that lost its store.
    labels.remove(labels::SPEC);
    let log = spec.and_then(|spec| spec.log.as_ref());
    Some(Container {
        docker_id: found.id.clone(),
        name: name.to_owned(),
        docker_name: found.name.clone(),
        image: spec.map_or_else(|| found.image.clone(), |spec| spec.image.clone()),
        image_id: found.image_id.clone(),
        ports: spec.map_or_else(Vec::new, |spec| ports(subject, spec)),
        labels,
        desired_status: record.desired,
        known_status: Known::of(Some(found)),
        exit_code: found.exit_code,
        limits: Limits {
            cpu: Some(f64::from(
                spec.and_then(|spec| spec.cpu).unwrap_or(0).max(LEAST_CPU),
            )),
            memory: spec.and_then(|spec| spec.memory),
        },
        created_at: found.created_at.map(At),
        started_at: found.started_at.map(At),
        finished_at: found.finished_at.map(At),
        r#type: match subject.spec.network_mode {
            _ if name != PAUSE_CONTAINER => "NORMAL",
            NetworkMode::Awsvpc => "CNI_PAUSE",
            _ => "NAMESPACE_PAUSE",
        },
        health: spec
            .filter(|spec| spec.health_check.is_some())
            .map(|_| health(found)),
        volumes: spec.map_or_else(Vec::new, |spec| volumes(subject, spec)),
        log_driver: spec
            .map(|_| log.map_or_else(|| subject.log_driver.to_owned(), |log| log.driver.clone())),
        log_options: log.map(|log| log.options.clone()).unwrap_or_default(),
        container_arn: arn::container(&record.cluster, &record.id, name),
        networks: vec![network(subject, found)],
        restart_count: spec
            .filter(|spec| spec.restart_policy.is_some())
            .map(|_| status.map_or(0, |status| status.restart_count)),
    })
}

fn limits_of_task(spec: &TaskSpec) -> Option<Limits> {
    let limits = Limits {
        cpu: spec.cpu.map(|units| f64::from(units) / UNITS_A_CPU),
        memory: spec.memory,
    };
    (limits.cpu.is_some() || limits.memory.is_some()).then_some(limits)
}

/// As they are bound, each port of a range by itself; before that is reported, as they are declared.
fn ports(subject: &Subject<'_>, spec: &ContainerSpec) -> Vec<Port> {
    let bound = subject
        .status
        .and_then(|status| status.container(&spec.name))
        .map(|status| status.network_bindings.as_slice())
        .unwrap_or_default();
    if bound.is_empty() {
        return spec
            .port_mappings
            .iter()
            .flat_map(|mapping| {
                mapping.container_ports().map(|container_port| Port {
                    container_port,
                    protocol: mapping.protocol.as_str(),
                    host_port: match subject.spec.network_mode {
                        NetworkMode::Host => Some(container_port),
                        _ => mapping.host_port.filter(|port| *port > 0),
                    },
                    host_ip: None,
                })
            })
            .collect();
    }
    bound
        .iter()
        .flat_map(|binding| {
            (0..binding.count).map(|n| Port {
                container_port: binding.container_port.saturating_add(n),
                protocol: binding.protocol.as_str(),
                host_port: Some(binding.host_port.saturating_add(n)),
                host_ip: Some(binding.bind_ip.clone()),
            })
        })
        .collect()
}

fn health(found: &ObservedContainer) -> Health {
    Health {
        status: found.health.as_str(),
        output: found
            .health_output
            .clone()
            .filter(|_| found.health != HealthStatus::Healthy),
    }
}

fn volumes(subject: &Subject<'_>, spec: &ContainerSpec) -> Vec<Volume> {
    spec.mount_points
        .iter()
        .filter_map(|mount| {
            let mut all = subject.spec.volumes.iter();
            let volume = all.find(|volume| volume.name == mount.source_volume)?;
            let source = names::volume_source(subject.record, volume);
            let path = matches!(volume.kind, VolumeKind::HostPath { .. });
            let (docker_name, source) = if path {
                (None, Some(source))
            } else {
                (Some(source), None)
            };
            Some(Volume {
                docker_name,
                source,
                destination: mount.container_path.clone(),
            })
        })
        .collect()
}

fn network(subject: &Subject<'_>, found: &ObservedContainer) -> Network {
    let (name, subnet, gateway) = subject.network;
    let (network_mode, on) = match subject.spec.network_mode {
        NetworkMode::Awsvpc => ("awsvpc", subject.observed.get(PAUSE_CONTAINER)),
        NetworkMode::Bridge => ("bridge", Some(found)),
        NetworkMode::Host => ("host", None),
        NetworkMode::None => ("none", None),
    };
    let address = on.and_then(|on| on.addresses.get(name)).cloned();
    let connected = address.is_some();
    Network {
        network_mode,
        addresses: address.into_iter().collect(),
        subnet: connected.then(|| subnet.to_owned()),
        gateway: connected.then(|| gateway.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use serde_json::{Value, json};

    use crate::model::{ContainerStatus, LastStatus, NetworkBinding, Protocol};

    fn observed(name: &str, state: ContainerState) -> ObservedContainer {
        ObservedContainer {
            id: format!("id-of-{name}"),
            name: format!("longshore-web-3-{name}-0a1b"),
            image: "web:1".to_owned(),
            image_id: "sha256:77".to_owned(),
            labels: BTreeMap::from([
                (labels::SPEC.to_owned(), "all of it".to_owned()),
                (labels::ECS_CLUSTER.to_owned(), "default".to_owned()),
            ]),
            state,
            exit_code: (state == ContainerState::Exited).then_some(3),
            oom_killed: false,
            error: String::new(),
            created_at: Some(Timestamp::from_millis(1000)),
            started_at: Some(Timestamp::from_millis(2000)),
            finished_at: None,
            health: HealthStatus::Unknown,
            health_output: None,
            pid: 1,
            addresses: BTreeMap::new(),
            ports: Vec::new(),
            volumes: Vec::new(),
        }
    }

    fn spec(mode: &str) -> TaskSpec {
        serde_json::from_value(json!({
            "family": "web",
            "network_mode": mode,
            "cpu": 512, "memory": 256,
            "volumes": [
                {"name": "data", "kind": {"type": "task"}},
                {"name": "etc", "kind": {"type": "hostPath", "path": "/etc"}},
            ],
            "containers": [
                {
                    "name": "main", "image": "web:1", "essential": true, "memory": 64,
                    "port_mappings": [{"container_port": 80, "protocol": "tcp"}],
                    "mount_points": [
                        {"source_volume": "data", "container_path": "/data"},
                        {"source_volume": "etc", "container_path": "/host", "read_only": true},
                    ],
                    "log": {"driver": "gelf", "options": {"mode": "blocking"}},
                },
                {"name": "side", "image": "side:2", "essential": false, "cpu": 100},
            ],
        }))
        .expect("a specification")
    }

    fn record() -> TaskRecord {
        serde_json::from_value(json!({
            "id": "0a1b", "cluster": "default", "instance": "local", "group": "service:shop", "service": "shop",
            "family": "web", "revision": 3, "spec": "v1-0", "desired": "RUNNING", "created_at": 1,
        }))
        .expect("a record")
    }

    fn shown(
        mode: &str,
        status: Option<&TaskStatus>,
        observed: &BTreeMap<String, ObservedContainer>,
    ) -> Value {
        let attributes = BTreeMap::from([(AVAILABILITY_ZONE.to_owned(), "rack-1".to_owned())]);
        let subject = Subject {
            record: &record(),
            spec: &spec(mode),
            status,
            observed,
            network: ("net", "172.20.0.0/16", "172.20.0.1"),
            log_driver: "json-file",
            fault_injection: mode == "awsvpc",
            attributes: &attributes,
        };
        serde_json::to_value(task(&subject, false)).expect("JSON")
    }

    #[test]
    fn a_task_has_ecs_members_under_ecs_names() {
        let mut main = observed("main", ContainerState::Running);
        main.addresses
            .insert("net".to_owned(), "172.20.0.5".to_owned());
        let all = BTreeMap::from([
            ("main".to_owned(), main),
            ("side".to_owned(), observed("side", ContainerState::Exited)),
        ]);
        let status = TaskStatus {
            last_status: LastStatus::Running,
            pull_started_at: Some(Timestamp::from_millis(500)),
            containers: vec![ContainerStatus {
                name: "main".to_owned(),
                network_bindings: vec![NetworkBinding {
                    bind_ip: "0.0.0.0".to_owned(),
                    container_port: 80,
                    host_port: 32768,
                    protocol: Protocol::Tcp,
                    count: 1,
                }],
                ..ContainerStatus::default()
            }],
            ..TaskStatus::default()
        };
        let answer = shown("bridge", Some(&status), &all);
        assert_eq!(
            answer,
            json!({
                "Cluster": "default",
                "TaskARN": "arn:aws:ecs:local:000000000000:task/default/0a1b",
                "Family": "web",
                "Revision": "3",
                "DesiredStatus": "RUNNING",
                "KnownStatus": "RUNNING",
                "Limits": {"CPU": 0.5, "Memory": 256},
                "PullStartedAt": "1970-01-01T00:00:00.500Z",
                "AvailabilityZone": "rack-1",
                "LaunchType": "EC2",
                "ServiceName": "shop",
                "Group": "service:shop",
                "FaultInjectionEnabled": false,
                "Containers": [
                    {
                        "DockerId": "id-of-main",
                        "Name": "main",
                        "DockerName": "longshore-web-3-main-0a1b",
                        "Image": "web:1",
                        "ImageID": "sha256:77",
                        "Ports": [{"ContainerPort": 80, "Protocol": "tcp", "HostPort": 32768, "HostIp": "0.0.0.0"}],
                        "Labels": {"com.amazonaws.ecs.cluster": "default"},
                        "DesiredStatus": "RUNNING",
                        "KnownStatus": "RUNNING",
                        "Limits": {"CPU": 2.0, "Memory": 64},
                        "CreatedAt": "1970-01-01T00:00:01.000Z",
                        "StartedAt": "1970-01-01T00:00:02.000Z",
                        "Type": "NORMAL",
                        "Volumes": [
                            {"DockerName": "longshore-web-3-data-0a1b", "Destination": "/data"},
                            {"Source": "/etc", "Destination": "/host"},
                        ],
                        "LogDriver": "gelf",
                        "LogOptions": {"mode": "blocking"},
                        "ContainerARN": "arn:aws:ecs:local:000000000000:container/default/0a1b/main",
                        "Networks": [{
                            "NetworkMode": "bridge", "IPv4Addresses": ["172.20.0.5"],
                            "IPv4SubnetCIDRBlock": "172.20.0.0/16", "SubnetGatewayIpv4Address": "172.20.0.1",
                        }],
                    },
                    {
                        "DockerId": "id-of-side",
                        "Name": "side",
                        "DockerName": "longshore-web-3-side-0a1b",
                        "Image": "side:2",
                        "ImageID": "sha256:77",
                        "Labels": {"com.amazonaws.ecs.cluster": "default"},
                        "DesiredStatus": "RUNNING",
                        "KnownStatus": "STOPPED",
                        "ExitCode": 3,
                        "Limits": {"CPU": 100.0},
                        "CreatedAt": "1970-01-01T00:00:01.000Z",
                        "StartedAt": "1970-01-01T00:00:02.000Z",
                        "Type": "NORMAL",
                        "LogDriver": "json-file",
                        "ContainerARN": "arn:aws:ecs:local:000000000000:container/default/0a1b/side",
                        "Networks": [{"NetworkMode": "bridge"}],
                    },
                ],
            })
        );
    }

    #[test]
    fn containers_of_an_awsvpc_task_have_the_pause_containers_address() {
        let mut pause = observed(PAUSE_CONTAINER, ContainerState::Running);
        pause
            .addresses
            .insert("net".to_owned(), "172.20.0.9".to_owned());
        let all = BTreeMap::from([
            (PAUSE_CONTAINER.to_owned(), pause),
            ("main".to_owned(), observed("main", ContainerState::Running)),
        ]);
        let answer = shown("awsvpc", None, &all);
        let of = |at: usize, member: &str| answer["Containers"][at][member].clone();
        assert_eq!(answer["FaultInjectionEnabled"], true);
        assert_eq!(of(0, "Type"), "CNI_PAUSE");
        assert_eq!(of(1, "Name"), "main");
        assert_eq!(of(1, "Networks")[0]["NetworkMode"], "awsvpc");
        assert_eq!(of(1, "Networks")[0]["IPv4Addresses"], json!(["172.20.0.9"]));
        assert_eq!(answer["Containers"].as_array().map(Vec::len), Some(2));
    }

    #[test]
    fn a_task_is_as_far_as_the_least_of_its_containers() {
        let main = |state| BTreeMap::from([("main".to_owned(), observed("main", state))]);
        let known = |all: &BTreeMap<String, ObservedContainer>, status: Option<&TaskStatus>| {
            shown("bridge", status, all)["KnownStatus"].clone()
        };
        let mut all = main(ContainerState::Running);
        assert_eq!(known(&all, None), "NONE", "the other one is not there yet");
        all.insert("side".to_owned(), observed("side", ContainerState::Created));
        assert_eq!(known(&all, None), "CREATED");
        all.insert("side".to_owned(), observed("side", ContainerState::Exited));
        assert_eq!(known(&all, None), "RUNNING");
        let over = TaskStatus {
            last_status: LastStatus::Stopped,
            ..TaskStatus::default()
        };
        assert_eq!(known(&BTreeMap::new(), Some(&over)), "STOPPED");
    }
}
