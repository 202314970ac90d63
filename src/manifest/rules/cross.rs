//! What services, task definitions and clusters say about each other.

use std::collections::{BTreeMap, BTreeSet};

use crate::diagnostic::{Diagnostic, Span, codes};
use crate::manifest::document::Document;
use crate::manifest::report::{Reporting, listed, nearest};
use crate::manifest::resolve::Percentages;
use crate::manifest::types::{
    Cluster, ContainerInstanceStatus, NetworkMode, SchedulingStrategy, Service, TaskDefinition,
    TransportProtocol, VolumeScope,
};
use crate::model::ClusterName;

/// A task definition that services refer to.
#[derive(Clone, Copy)]
pub struct Definition<'a> {
    /// Where it is written; none for one that was last good and is not written now.
    pub document: Option<&'a Document>,
    /// What it says.
    pub definition: &'a TaskDefinition,
}

/// A service whose own rules hold, with what it refers to.
pub struct Subject<'a> {
    /// Where it is written.
    pub document: &'a Document,
    /// What it says.
    pub service: &'a Service,
    /// Its cluster.
    pub cluster: ClusterName,
    /// What it runs, where that is known: not for a fixed revision.
    pub definition: Option<Definition<'a>>,
}

/// The engines of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Engines {
    /// Their addresses.
    addresses: BTreeSet<String>,
    /// How many of them take tasks.
    active: u32,
}

impl Engines {
    /// Those of a cluster; of one that no document declares, the local engine.
    pub fn of(cluster: Option<&Cluster>) -> Self {
        let instances = cluster.map_or(&[][..], |cluster| &cluster.container_instances);
        if instances.is_empty() {
            return Self {
                addresses: BTreeSet::from([String::new()]),
                active: 1,
            };
        }
        let active = instances
            .iter()
            .filter(|i| i.status != Some(ContainerInstanceStatus::Draining))
            .count();
        Self {
            addresses: instances
                .iter()
                .map(|instance| instance.endpoint.clone().unwrap_or_default())
                .collect(),
            active: u32::try_from(active).unwrap_or(u32::MAX),
        }
    }
}

/// A finding between documents.
pub struct Finding {
    /// What is said. Its primary place is in the document of the service `subject`.
    pub diagnostic: Diagnostic,
    /// The services, by index, that are at fault together.
    pub at_fault: Vec<usize>,
}

/// Every rule between a service and what it refers to, and between services.
pub fn check(
    subjects: &[Subject<'_>],
    clusters: &BTreeMap<ClusterName, Engines>,
    found: &mut Vec<Finding>,
) {
    let implied = Engines::of(None);
    let mut claims: BTreeMap<(&Engines, bool, u16), Vec<Claim>> = BTreeMap::new();
    for (index, subject) in subjects.iter().enumerate() {
        let Some(definition) = subject.definition else {
            continue;
        };
        let engines = clusters.get(&subject.cluster).unwrap_or(&implied);
        let ports = fixed_ports(definition.definition);
        let mut diagnostics = Vec::new();
        rollout(subject, definition, engines, &ports, &mut diagnostics);
        targets(subject, definition, &mut diagnostics);
        grace(subject, definition, &mut diagnostics);
        let wanted = wanted(subject.service, engines);
        let fits = wanted <= engines.active;
        found.extend(diagnostics.into_iter().map(|diagnostic| Finding {
            diagnostic,
            at_fault: vec![index],
        }));
        if wanted > 0 && fits {
            for port in ports {
                claims
                    .entry((engines, port.udp, port.number))
                    .or_default()
                    .push(Claim {
                        subject: index,
                        wanted,
                        pointer: port.pointer,
                    });
            }
        }
    }
    clashes(subjects, claims, found);
}

/// How many tasks a service wants at once.
fn wanted(service: &Service, engines: &Engines) -> u32 {
    if service.scheduling_strategy == Some(SchedulingStrategy::Daemon) {
        engines.active
    } else {
        service.desired_count.unwrap_or(0)
    }
}

/// A host port with a number, and the member that says it.
struct FixedPort {
    udp: bool,
    number: u16,
    pointer: String,
}

impl FixedPort {
    fn transport(&self) -> &'static str {
        transport(self.udp)
    }
}

fn transport(udp: bool) -> &'static str {
    if udp { "UDP" } else { "TCP" }
}

fn fixed_ports(definition: &TaskDefinition) -> Vec<FixedPort> {
    let mut ports = Vec::new();
    for (index, container) in definition.container_definitions.iter().enumerate() {
        for (position, mapping) in container.port_mappings.iter().enumerate() {
            let (port, member) = match definition.network_mode {
                None | Some(NetworkMode::Bridge) => (mapping.host_port, "hostPort"),
                Some(NetworkMode::Host) => (mapping.container_port, "containerPort"),
                Some(NetworkMode::Awsvpc | NetworkMode::None) => (None, ""),
            };
            if let Some(number) = port.filter(|port| *port > 0) {
                ports.push(FixedPort {
                    udp: mapping.protocol == Some(TransportProtocol::Udp),
                    number,
                    pointer: format!(
                        "/containerDefinitions/{index}/portMappings/{position}/{member}"
                    ),
                });
            }
        }
    }
    ports
}

/// Adds a place of the task definition, if it is written.
fn beside(
    diagnostic: Diagnostic,
    definition: Definition<'_>,
    pointer: &str,
    text: &str,
) -> Diagnostic {
    match definition.document {
        Some(document) => diagnostic.related(&document.file, document.value(pointer), text),
        None => diagnostic,
    }
}

/// The place of a percentage, or of what stands for it.
fn percentage(subject: &Subject<'_>) -> Span {
    let document = subject.document;
    ["minimumHealthyPercent", "maximumPercent"]
        .iter()
        .map(|member| format!("/deploymentConfiguration/{member}"))
        .chain(["/desiredCount".to_owned()])
        .find(|pointer| document.node(pointer).is_some())
        .map_or_else(|| document.value(""), |pointer| document.value(&pointer))
}

fn rollout(
    subject: &Subject<'_>,
    definition: Definition<'_>,
    engines: &Engines,
    ports: &[FixedPort],
    found: &mut Vec<Diagnostic>,
) {
    let (document, service) = (subject.document, subject.service);
    if service.scheduling_strategy == Some(SchedulingStrategy::Daemon) || engines.active == 0 {
        return;
    }
    let Some(desired) = service.desired_count.filter(|d| *d > 0) else {
        return;
    };
    let percent = Percentages::of(service);
    if let Some(port) = ports.first() {
        let what = format!("{} port {} of the host", port.transport(), port.number);
        if desired > engines.active {
            let diagnostic = document.error(
                codes::TOO_FEW_INSTANCES,
                document.value("/desiredCount"),
                format!(
                    "{desired} tasks want {what}, and the cluster has {} instance{}",
                    engines.active,
                    if engines.active == 1 { "" } else { "s" }
                ),
            );
            found.push(
                beside(
                    diagnostic,
                    definition,
                    &port.pointer,
                    "a host port can be taken once on an instance",
                )
                .help(format!(
                    "write `desiredCount: {}`, or remove the host port: a free one is chosen then",
                    engines.active
                )),
            );
            return;
        }
        if desired == engines.active && !percent.can_stop(desired) && percent.can_start(desired) {
            let diagnostic = document.warning(
                codes::FIXED_PORT_ROLLOUT,
                percentage(subject),
                format!("a rollout cannot proceed: every task must stay, and a new one cannot have {what}"),
            );
            found.push(
                beside(diagnostic, definition, &port.pointer, "the host port")
                    .help(format!(
                        "write `minimumHealthyPercent: {}` and `maximumPercent: 100`, so that a task stops first",
                        Percentages::stop_one_first(desired)
                    ))
                    .help("or remove the host port: a free one is chosen then"),
            );
        }
    }
    // Where a host port keeps two tasks apart, or there are several anyhow, nothing new is put together.
    let apart = !ports.is_empty() && engines.active == 1;
    if desired == 1
        && percent.can_start(desired)
        && !apart
        && let Some((pointer, volume)) = writable_volume(definition.definition)
    {
        let diagnostic = document.warning(
            codes::SHARED_VOLUME_ROLLOUT,
            percentage(subject),
            format!(
                "a rollout starts the new task while the old one still writes to volume `{volume}`"
            ),
        );
        found.push(
            beside(diagnostic, definition, &pointer, "mounted writable here")
                .help("write `minimumHealthyPercent: 0` and `maximumPercent: 100`, so that the old task stops first")
                .help("or mount it with `readOnly: true`, if the container only reads it"),
        );
    }
}

/// The first mount of a volume that outlives the task and that the container may write to.
fn writable_volume(definition: &TaskDefinition) -> Option<(String, &str)> {
    let outlives = |name: &str| {
        definition.volumes.iter().any(|volume| {
            let host = volume.host.as_ref().and_then(|h| h.source_path.as_deref());
            let shared = volume
                .docker_volume_configuration
                .as_ref()
                .is_some_and(|docker| docker.scope == Some(VolumeScope::Shared));
            volume.name == name && (shared || host.is_some_and(holds_data))
        })
    };
    definition
        .container_definitions
        .iter()
        .enumerate()
        .flat_map(|(index, container)| {
            container
                .mount_points
                .iter()
                .enumerate()
                .map(move |(position, mount)| (index, position, mount))
        })
        .find_map(|(index, position, mount)| {
            let source = mount.source_volume.as_deref()?;
            (mount.read_only != Some(true) && outlives(source)).then(|| {
                (
                    format!("/containerDefinitions/{index}/mountPoints/{position}/sourceVolume"),
                    source,
                )
            })
        })
}

/// Sockets and the kernel's file systems are mounted to talk to the host, not to keep data.
fn holds_data(path: &str) -> bool {
    let kernel = ["/proc", "/sys", "/dev", "/run", "/var/run", "/etc"];
    path != "/"
        && !path.is_empty()
        && !path.ends_with(".sock")
        && !kernel
            .iter()
            .any(|root| path == *root || path.starts_with(&format!("{root}/")))
}

/// Containers and ports that load balancers and registries name.
fn targets(subject: &Subject<'_>, definition: Definition<'_>, found: &mut Vec<Diagnostic>) {
    let document = subject.document;
    let containers = &definition.definition.container_definitions;
    let balancers = subject
        .service
        .load_balancers
        .iter()
        .map(|b| ("loadBalancers", &b.container_name, b.container_port));
    let registries = subject
        .service
        .service_registries
        .iter()
        .map(|r| ("serviceRegistries", &r.container_name, r.container_port));
    let mut at: BTreeMap<&str, usize> = BTreeMap::new();
    for (list, name, port) in balancers.chain(registries) {
        let index = *at.entry(list).and_modify(|index| *index += 1).or_default();
        let Some(name) = name else { continue };
        let names = || containers.iter().map(|container| container.name.as_str());
        let Some(container) = containers.iter().find(|container| container.name == *name) else {
            let help = nearest(name, names()).map_or_else(
                || format!("its containers are {}", listed(names())),
                |near| format!("did you mean `{near}`?"),
            );
            let diagnostic = document.error(
                codes::UNKNOWN_CONTAINER,
                document.value(&format!("/{list}/{index}/containerName")),
                format!("the task definition has no container `{name}`"),
            );
            found.push(
                beside(
                    diagnostic,
                    definition,
                    "/containerDefinitions",
                    "its containers",
                )
                .help(help),
            );
            continue;
        };
        let ports: Vec<u16> = container
            .port_mappings
            .iter()
            .filter_map(|mapping| mapping.container_port)
            .collect();
        if let Some(port) = port.filter(|port| !ports.contains(port)) {
            let index_of = containers.iter().position(|c| c.name == *name).unwrap_or(0);
            let diagnostic = document.error(
                codes::UNKNOWN_PORT,
                document.value(&format!("/{list}/{index}/containerPort")),
                format!("container `{name}` has no port mapping of port {port}"),
            );
            let pointer = format!("/containerDefinitions/{index_of}/portMappings");
            let help = match ports.as_slice() {
                [] => format!("add `portMappings: [{{containerPort: {port}}}]` to the container"),
                [only] => format!("write {only}"),
                _ => "write one of its container ports".into(),
            };
            found.push(beside(diagnostic, definition, &pointer, "its ports").help(help));
        }
    }
}

fn grace(subject: &Subject<'_>, definition: Definition<'_>, found: &mut Vec<Diagnostic>) {
    let seconds = subject.service.health_check_grace_period_seconds;
    let checked = definition
        .definition
        .container_definitions
        .iter()
        .any(|container| container.health_check.is_some());
    if seconds.is_some_and(|s| s > 0) && !checked && subject.service.load_balancers.is_empty() {
        found.push(
            subject
                .document
                .warning(
                    codes::GRACE_WITHOUT_CHECK,
                    subject.document.key("/healthCheckGracePeriodSeconds"),
                    "the grace period has no effect: no container has a health check",
                )
                .help("add a `healthCheck` to a container, or remove it"),
        );
    }
}

/// A fixed host port that a service wants.
struct Claim {
    subject: usize,
    wanted: u32,
    pointer: String,
}

fn clashes(
    subjects: &[Subject<'_>],
    claims: BTreeMap<(&Engines, bool, u16), Vec<Claim>>,
    found: &mut Vec<Finding>,
) {
    for ((engines, udp, port), claims) in claims {
        let mut sum = 0_u32;
        for (position, claim) in claims.iter().enumerate() {
            sum = sum.saturating_add(claim.wanted);
            if sum <= engines.active || position == 0 {
                continue;
            }
            let (here, there) = (&subjects[claim.subject], &subjects[claims[0].subject]);
            let name = there.document.name.as_deref().unwrap_or_default();
            let mut diagnostic = here
                .document
                .error(
                    codes::HOST_PORT_CLASH,
                    here.document.value("/taskDefinition"),
                    format!(
                        "{} port {port} of the host is taken by service `{name}`",
                        transport(udp)
                    ),
                )
                .related(
                    &there.document.file,
                    there.document.value("/taskDefinition"),
                    "which runs this",
                );
            let mut places: Vec<(&Document, &str)> = Vec::new();
            for claim in [&claims[0], claim] {
                let document = subjects[claim.subject].definition.and_then(|d| d.document);
                if let Some(document) = document {
                    places.push((document, &claim.pointer));
                }
            }
            places.dedup_by(|a, b| std::ptr::eq(a.0, b.0) && a.1 == b.1);
            for (document, pointer) in places {
                diagnostic =
                    diagnostic.related(&document.file, document.value(pointer), "the host port");
            }
            found.push(Finding {
                diagnostic: diagnostic
                    .help("give one of them another host port, or none: a free one is chosen then"),
                at_fault: vec![claim.subject, claims[0].subject],
            });
        }
    }
}
