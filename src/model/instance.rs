//! Container instances: an engine with its agent, its resources and what is booked on it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::cluster::InstanceSpec;
use super::ids::{InstanceId, TaskId};
use super::rollout::Asked;
use super::task_spec::{NetworkMode, Protocol, TaskSpec};
use super::time::Timestamp;

/// What a task needs of an instance, or an instance has (semantics §3d, *Resource accounting*).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// ECS CPU units, 1024 a core.
    pub cpu: u64,
    /// MiB.
    pub memory: u64,
}

impl Resources {
    /// Both together.
    pub fn plus(self, other: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_add(other.cpu),
            memory: self.memory.saturating_add(other.memory),
        }
    }

    /// What is left without `other`, at least nothing.
    pub fn minus(self, other: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(other.cpu),
            memory: self.memory.saturating_sub(other.memory),
        }
    }

    /// What a task of `spec` books: the task's own figure where it has one, else the sum of its containers'.
    pub fn needed_by(spec: &TaskSpec) -> Self {
        let cpu = spec.cpu.map_or_else(
            || {
                spec.containers
                    .iter()
                    .map(|c| u64::from(c.cpu.unwrap_or(0)))
                    .sum()
            },
            u64::from,
        );
        let memory = spec.memory.map_or_else(
            || {
                spec.containers
                    .iter()
                    .map(|c| {
                        u64::from(
                            c.memory_reservation
                                .filter(|m| *m > 0)
                                .or(c.memory)
                                .unwrap_or(0),
                        )
                    })
                    .sum()
            },
            u64::from,
        );
        Self { cpu, memory }
    }
}

/// Host ports, by transport.
pub type PortSet = BTreeSet<(Protocol, u16)>;

/// A host port booked for a port mapping of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortClaim {
    /// The container whose mapping it is.
    pub container: String,
    /// Port inside.
    pub container_port: u16,
    /// Transport.
    pub protocol: Protocol,
    /// Port on the host; 0: the engine chooses when the container starts (`awsvpc` ports published for convenience).
    pub host_port: u16,
    /// How many ports from these on, at least one: more than one is a range, without a gap on either side.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub count: u16,
}

const fn one() -> u16 {
    1
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde's skip_serializing_if asks for a reference"
)]
const fn is_one(count: &u16) -> bool {
    *count == 1
}

impl PortClaim {
    /// The ports of the host that are booked; none where the engine chooses.
    pub fn host_ports(&self) -> impl Iterator<Item = u16> + use<> {
        let booked = if self.host_port > 0 { self.count } else { 0 };
        (0..booked).filter_map({
            let first = self.host_port;
            move |offset| first.checked_add(offset)
        })
    }
}

/// The ports of a host among which placement chooses where a definition leaves it open, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortRange {
    /// The first.
    pub first: u16,
    /// The last.
    pub last: u16,
}

impl Default for PortRange {
    /// What the ECS agent takes where it cannot read the kernel's own range (semantics §2b, *hostPort*).
    fn default() -> Self {
        Self {
            first: 49153,
            last: 65535,
        }
    }
}

impl PortRange {
    /// Whether `port` is one of them.
    pub fn contains(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }

    /// How many there are, less one.
    pub fn span(self) -> u16 {
        self.last.saturating_sub(self.first)
    }
}

/// `clusters/<c>/instances/<id>`: a container instance as its agent registered it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Its name in the cluster.
    pub id: InstanceId,
    /// The engine's own id; one engine is one instance of a cluster at most.
    pub engine_id: String,
    /// The engine's version.
    pub engine_version: String,
    /// The API version that was negotiated.
    pub api_version: String,
    /// Longshore's version.
    pub agent_version: String,
    /// All that it has.
    pub registered: Resources,
    /// Ports that are never given to tasks.
    #[serde(default)]
    pub reserved_ports: PortSet,
    /// Where dynamic host ports are taken from.
    #[serde(default)]
    pub dynamic_ports: PortRange,
    /// Its GPUs, as the container runtime names them (an index or a UUID).
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub gpus: BTreeSet<String>,
    /// Built-in (`ecs.os-type`, `ecs.cpu-architecture`, …) and the manifest's own.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
    /// When its agent first registered it.
    pub registered_at: Timestamp,
    /// Whether its engine answers.
    pub connected: bool,
    /// When `connected` last changed; of one that is away, when its engine last answered, as far as is known.
    pub connected_at: Timestamp,
    /// As its cluster declared it: how it is reached once it is no longer declared, until its tasks are gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<InstanceSpec>,
    /// Whether Longshore is on another host than its engine, and can do there what the engine's API can and no more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub remote: bool,
}

impl Instance {
    /// The attribute of an instance whose engine runs on Longshore's own host: only there have tasks control groups of their own, the
    /// metadata endpoint and fault injection.
    pub const HOST: &'static str = "longshore.host";

    /// `linux`.
    pub const OS_TYPE: &'static str = "ecs.os-type";

    /// The same in capitals.
    pub const OS_FAMILY: &'static str = "ecs.os-family";

    /// `x86_64` or `arm64`.
    pub const CPU_ARCHITECTURE: &'static str = "ecs.cpu-architecture";

    /// Whether `awsvpc` tasks can run there: they can everywhere.
    pub const TASK_NETWORK: &'static str = "ecs.capability.task-eni";

    /// Every attribute that an instance may have without its manifest, but for those that begin with [`Self::LOG_DRIVER`].
    pub const BUILT_IN: [&'static str; 5] = [
        Self::OS_TYPE,
        Self::OS_FAMILY,
        Self::CPU_ARCHITECTURE,
        Self::TASK_NETWORK,
        Self::HOST,
    ];

    /// Whether an instance may have an attribute without its manifest.
    pub fn is_built_in(name: &str) -> bool {
        name.starts_with(Self::LOG_DRIVER) || Self::BUILT_IN.contains(&name)
    }

    /// What an attribute begins with that says which log driver the engine has.
    pub const LOG_DRIVER: &'static str = "com.amazonaws.ecs.capability.logging-driver.";

    /// Whether its engine can write logs with this driver. One that has not said which it has is believed to.
    pub fn has_log_driver(&self, driver: &str) -> bool {
        let mut drivers = self
            .attributes
            .keys()
            .filter_map(|name| name.strip_prefix(Self::LOG_DRIVER))
            .peekable();
        // Docker lists what can be plugged in; these two are always there.
        matches!(driver, "none" | "local")
            || drivers.peek().is_none()
            || drivers.any(|d| d == driver)
    }
}

/// `clusters/<c>/instances/<id>/endpoint`: where the task metadata endpoint of an instance listens. Running containers hold
/// the address in their environment, so it must not change while they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetadataEndpoint {
    /// The TCP port, on the gateway of the cluster's network and on loopback.
    pub port: u16,
}

/// `clusters/<c>/instances/<id>/desired`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum InstanceDesired {
    /// Tasks may be placed on it.
    #[default]
    Active,
    /// No new tasks; service tasks move away.
    Draining,
}

/// `clusters/<c>/instances/<id>/override`: what somebody asked for on top of the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceOverride {
    /// What it is to be.
    pub desired: InstanceDesired,
    /// What the manifest said then; once it says something else, this no longer holds.
    pub basis: InstanceDesired,
    /// Who wanted it.
    pub asked: Asked,
}

impl InstanceOverride {
    /// What an instance is to be that the manifest declares so; `None` where this no longer holds.
    pub fn over(&self, declared: InstanceDesired) -> Option<InstanceDesired> {
        (self.basis == declared).then_some(self.desired)
    }
}

/// What one task holds of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// CPU and memory.
    pub resources: Resources,
    /// Host ports with a number.
    #[serde(default)]
    pub ports: PortSet,
    /// GPUs.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub gpus: BTreeSet<String>,
}

impl Reservation {
    /// What a task of `spec` with those ports and GPUs holds. Where the specification is lost, its ports and GPUs are all
    /// that is known.
    pub fn of(
        spec: Option<&TaskSpec>,
        ports: &[PortClaim],
        gpus: &BTreeMap<String, Vec<String>>,
    ) -> Self {
        Self {
            resources: spec.map(Resources::needed_by).unwrap_or_default(),
            ports: ports
                .iter()
                .flat_map(|claim| claim.host_ports().map(|port| (claim.protocol, port)))
                .collect(),
            gpus: gpus.values().flatten().cloned().collect(),
        }
    }

    /// Bytes that it takes in its instance's [`Reserved`], its task's id included: at least as many as it really does.
    pub fn stored_bytes(&self) -> usize {
        const EMPTY: usize = 136;
        const PORT: usize = 15;
        let gpus: usize = self.gpus.iter().map(|gpu| gpu.len() + 3).sum();
        EMPTY + PORT * self.ports.len() + gpus
    }
}

/// `clusters/<c>/instances/<id>/reserved`: what its tasks that are not STOPPED hold. Each placement compares and sets it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Reserved(pub BTreeMap<TaskId, Reservation>);

impl Reserved {
    /// Bytes that an instance's reservations may take: one commit writes all of them, with the tasks that are new, and a
    /// store takes 1 MiB at once. Enough for 5000 tasks with a port each.
    pub const MOST_BYTES: usize = 768 << 10;

    /// Bytes that it takes in the store, at most.
    pub fn stored_bytes(&self) -> usize {
        self.0.values().map(Reservation::stored_bytes).sum()
    }

    /// The sum of all reservations.
    pub fn total(&self) -> Resources {
        self.0
            .values()
            .fold(Resources::default(), |sum, r| sum.plus(r.resources))
    }

    /// Every booked port and who holds it.
    pub fn ports(&self) -> BTreeMap<(Protocol, u16), &TaskId> {
        self.0
            .iter()
            .flat_map(|(task, r)| r.ports.iter().map(move |port| (*port, task)))
            .collect()
    }
}

/// An instance's reservations added up: what placement asks of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Booked {
    /// CPU and memory.
    pub resources: Resources,
    /// [`Reserved::stored_bytes`].
    pub bytes: usize,
    /// Every booked port and who holds it.
    pub ports: BTreeMap<(Protocol, u16), TaskId>,
    /// Every booked GPU.
    pub gpus: BTreeSet<String>,
}

impl Booked {
    /// The sums of these reservations.
    pub fn of(reserved: &Reserved) -> Self {
        let mut booked = Self::default();
        booked.add(reserved);
        booked
    }

    /// Adds those of another cluster on the same engine.
    pub fn add(&mut self, reserved: &Reserved) {
        for (task, held) in &reserved.0 {
            self.resources = self.resources.plus(held.resources);
            self.bytes += held.stored_bytes();
            let ports = held.ports.iter().map(|port| (*port, task.clone()));
            self.ports.extend(ports);
            self.gpus.extend(held.gpus.iter().cloned());
        }
    }
}

/// The fixed host ports that a task of `spec` needs. ECS never counts `awsvpc` ports; with `host` the container's port is
/// the host's.
pub fn fixed_host_ports(spec: &TaskSpec) -> PortSet {
    let mappings = spec.containers.iter().flat_map(|c| &c.port_mappings);
    match spec.network_mode {
        NetworkMode::Awsvpc | NetworkMode::None => PortSet::new(),
        NetworkMode::Host => mappings.map(|m| (m.protocol, m.container_port)).collect(),
        NetworkMode::Bridge => mappings
            .filter_map(|m| m.host_port.filter(|p| *p > 0).map(|p| (m.protocol, p)))
            .collect(),
    }
}
