//! Whether fixed host ports are free.

use std::collections::BTreeSet;
use std::net::TcpListener;

use super::Findings;
use crate::cli::output;
use crate::engine::endpoint::Endpoint;
use crate::engine::{ContainerState, ObservedContainer, SharedEngine, labels};
use crate::model::{ClusterName, Desired, NetworkMode, Protocol, ServiceSpec, fixed_host_ports};

/// Whether the fixed host ports of the folder are free. One that a container of Longshore's publishes is in use by right: who
/// runs a folder twice is told by the cluster's holder.
pub(super) async fn check(
    findings: &mut Findings,
    engine: &SharedEngine,
    endpoint: &Endpoint,
    (desired, clusters): (&Desired, &[ClusterName]),
) {
    if !matches!(endpoint, Endpoint::Unix(_)) {
        if taken(desired, clusters, &Ours::default(), |_, _| true).0 > 0 {
            findings.warn(
                "ports",
                "the engine is on another machine, whose ports cannot be looked at from here",
                "run `longshore doctor` there",
            );
        }
        return;
    }
    let ours = [(labels::SCHEMA.to_owned(), String::new())];
    let ours = match engine.list_containers(&ours).await {
        Ok(containers) => Ours::of(&containers),
        Err(error) => {
            findings.bad("ports", error.message, "look at `docker ps -a`");
            return;
        }
    };
    let free = |protocol: Protocol, port: u16| match protocol {
        Protocol::Tcp => TcpListener::bind(("0.0.0.0", port)).is_ok(),
        Protocol::Udp => std::net::UdpSocket::bind(("0.0.0.0", port)).is_ok(),
    };
    let (wanted, taken) = taken(desired, clusters, &ours, free);
    for (protocol, port, whose) in taken {
        findings.bad(
            "port",
            format!(
                "{port}/{} of {whose} is in use or may not be used",
                protocol.as_str()
            ),
            format!(
                "find who has it with `ss -lntup 'sport = :{port}'`, or choose another hostPort"
            ),
        );
    }
    findings.good(
        "ports",
        format!("{} looked at", output::count(wanted, "fixed host port")),
    );
}

/// What containers of Longshore's have on this engine.
#[derive(Default)]
struct Ours {
    /// Published ports.
    published: BTreeSet<(Protocol, u16)>,
    /// Families that run. In the host's network nothing is published: what runs of a family has that family's ports.
    running: BTreeSet<String>,
}

impl Ours {
    fn of(containers: &[ObservedContainer]) -> Self {
        let ports = containers.iter().flat_map(|container| &container.ports);
        let running = containers
            .iter()
            .filter(|container| container.state == ContainerState::Running);
        Self {
            published: ports.map(|port| (port.protocol, port.host_port)).collect(),
            running: running
                .filter_map(|container| container.labels.get(labels::FAMILY).cloned())
                .collect(),
        }
    }
}

/// How many fixed host ports the services of some clusters want, and those of them that are not free and that no container of ours has either.
fn taken(
    desired: &Desired,
    clusters: &[ClusterName],
    ours: &Ours,
    is_free: impl Fn(Protocol, u16) -> bool,
) -> (usize, Vec<(Protocol, u16, String)>) {
    let mut wanted = 0;
    let mut taken = Vec::new();
    let here = |service: &ServiceSpec| clusters.contains(&service.cluster);
    for (service, source) in desired.all_services().filter(|(spec, _)| here(spec)) {
        let Some((definition, _)) = desired.task_definitions.get(&service.family) else {
            continue;
        };
        for (protocol, port) in fixed_host_ports(&definition.spec) {
            wanted += 1;
            let at_home = definition.spec.network_mode == NetworkMode::Host
                && ours.running.contains(service.family.as_str());
            if !at_home && !ours.published.contains(&(protocol, port)) && !is_free(protocol, port) {
                let whose = format!("service {} ({source})", service.name);
                taken.push((protocol, port, whose));
            }
        }
    }
    (wanted, taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_a_container_of_ours_has_is_free_for_it_and_every_other_is_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let service = |name: &str, mode: &str, ports: &str| {
            format!(
                "family: {name}\nnetworkMode: {mode}\ncontainerDefinitions: [{{name: c, image: i, memory: 8, portMappings: [{ports}]}}]\n---\nserviceName: {name}\ntaskDefinition: {name}\ndesiredCount: 1\n"
            )
        };
        let ports = "{containerPort: 80, hostPort: 8080}, {containerPort: 53, hostPort: 8053, protocol: udp}";
        std::fs::write(
            folder.path().join("a.yaml"),
            service("web", "bridge", ports),
        )
        .unwrap();
        let host = service("api", "host", "{containerPort: 9000}");
        std::fs::write(folder.path().join("b.yaml"), host).unwrap();
        let desired = crate::cli::validate::load(&[folder.path().to_owned()]).desired;
        let of = |ours: &Ours| {
            let (wanted, taken) = taken(&desired, &[ClusterName::default()], ours, |_, _| false);
            assert_eq!(wanted, 3);
            let ports = taken.into_iter().map(|(_, port, _)| port);
            ports.collect::<BTreeSet<_>>()
        };
        assert_eq!(of(&Ours::default()), BTreeSet::from([8053, 8080, 9000]));
        // 8053 is published, but over the other transport.
        let ours = Ours {
            published: [(Protocol::Tcp, 8080), (Protocol::Tcp, 8053)].into(),
            running: ["web".to_owned(), "api".to_owned()].into(),
        };
        assert_eq!(of(&ours), BTreeSet::from([8053]));
    }
}
