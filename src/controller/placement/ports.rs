//! Host ports of a task: fixed ones as declared, dynamic ones chosen here, in turn.

use crate::model::{
    ContainerSpec, NetworkMode, PortMapping, PortSet, Protocol, TaskRecord, TaskSpec,
};

/// First port that is given to a mapping without a host port (Linux's default ephemeral range).
const FIRST: u16 = 32768;
/// Last such port.
const LAST: u16 = 60999;
const COUNT: u16 = LAST - FIRST + 1;

/// A port mapping and what it asks of the host.
pub(super) struct Wanted<'a> {
    pub container: &'a ContainerSpec,
    pub mapping: &'a PortMapping,
    pub host: HostPort,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HostPort {
    /// This one and no other.
    Fixed(u16),
    /// One that placement chooses and books.
    Dynamic,
    /// One that the engine chooses when the container starts; it is not booked.
    Engine,
}

/// What a task of `spec` asks of the host's ports, in the order of containers and their mappings.
pub(super) fn wanted(spec: &TaskSpec, publish_awsvpc: bool) -> Vec<Wanted<'_>> {
    let mut all = Vec::new();
    for container in &spec.containers {
        for mapping in &container.port_mappings {
            let host = match (spec.network_mode, mapping.host_port) {
                (NetworkMode::None, _) => continue,
                (NetworkMode::Awsvpc, _) if !publish_awsvpc => continue,
                (NetworkMode::Awsvpc, _) => HostPort::Engine,
                (NetworkMode::Host, _) => HostPort::Fixed(mapping.container_port),
                (NetworkMode::Bridge, Some(port)) if port > 0 => HostPort::Fixed(port),
                (NetworkMode::Bridge, _) => HostPort::Dynamic,
            };
            all.push(Wanted {
                container,
                mapping,
                host,
            });
        }
    }
    all
}

/// Where the search for the next dynamic port begins, and what it passes over as long as others are free.
#[derive(Debug, Clone)]
pub(super) struct Rotation {
    next: u16,
    avoid: PortSet,
}

impl Rotation {
    /// Continues behind the port that the newest of `tasks` got, so that a port is not used again at once. Ports of tasks
    /// that are over are avoided: one of them may be what somebody outside holds.
    pub fn new<'a>(seed: &str, tasks: impl Iterator<Item = (&'a TaskRecord, bool)>) -> Self {
        let mut avoid = PortSet::new();
        let mut newest: Option<(&TaskRecord, u16)> = None;
        for (task, gone) in tasks {
            for claim in task.ports.iter().filter(|claim| claim.host_port > 0) {
                if gone {
                    avoid.insert((claim.protocol, claim.host_port));
                }
                let dynamic = (FIRST..=LAST).contains(&claim.host_port);
                let key = |task: &TaskRecord, port| (task.created_at, port);
                if dynamic
                    && newest
                        .is_none_or(|(other, port)| key(task, claim.host_port) > key(other, port))
                {
                    newest = Some((task, claim.host_port));
                }
            }
        }
        let next = match newest {
            Some((_, port)) => following(port),
            None => FIRST + scatter(seed),
        };
        Self { next, avoid }
    }

    /// The next port that `taken` does not name.
    pub fn pick(&mut self, protocol: Protocol, taken: impl Fn(u16) -> bool) -> Option<u16> {
        let avoided = |port| self.avoid.contains(&(protocol, port));
        let from = |first: u16| {
            let mut port = first;
            (0..COUNT).map(move |_| {
                let this = port;
                port = following(port);
                this
            })
        };
        let port = from(self.next)
            .find(|port| !taken(*port) && !avoided(*port))
            .or_else(|| from(self.next).find(|port| !taken(*port)))?;
        self.next = following(port);
        Some(port)
    }
}

fn following(port: u16) -> u16 {
    if port >= LAST { FIRST } else { port + 1 }
}

/// Different services begin at different ports, the same service always at the same.
fn scatter(seed: &str) -> u16 {
    let hash = seed.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    u16::try_from(hash % u32::from(COUNT)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rotation(next: u16, avoid: &[u16]) -> Rotation {
        Rotation {
            next,
            avoid: avoid.iter().map(|port| (Protocol::Tcp, *port)).collect(),
        }
    }

    #[test]
    fn ports_are_given_in_turn_and_wrap_around() {
        let mut rotation = rotation(LAST, &[]);
        let mut pick = || rotation.pick(Protocol::Tcp, |port| port == FIRST);
        assert_eq!(pick(), Some(LAST));
        assert_eq!(pick(), Some(FIRST + 1));
    }

    #[test]
    fn a_port_of_a_dead_task_is_used_only_when_nothing_else_is_free() {
        let mut rotation = rotation(40000, &[40000]);
        assert_eq!(rotation.pick(Protocol::Tcp, |_| false), Some(40001));
        assert_eq!(
            rotation.pick(Protocol::Tcp, |port| port != 40000),
            Some(40000)
        );
        assert_eq!(rotation.pick(Protocol::Tcp, |_| true), None);
    }

    #[test]
    fn services_begin_at_scattered_ports_within_the_range() {
        let starts: std::collections::BTreeSet<u16> = ["web", "api", "db"]
            .iter()
            .map(|seed| Rotation::new(seed, std::iter::empty()).next)
            .collect();
        assert_eq!(starts.len(), 3);
        assert!(starts.iter().all(|port| (FIRST..=LAST).contains(port)));
    }
}
