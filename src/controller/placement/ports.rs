//! Host ports of a task: fixed ones as declared, dynamic ones chosen here, in turn.

use std::rc::Rc;

use crate::model::{NetworkMode, PortRange, PortSet, Protocol, TaskRecord, TaskSpec};

/// A port mapping and what it asks of the host.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Want {
    pub container: String,
    pub container_port: u16,
    pub protocol: Protocol,
    /// How many ports in a row.
    pub count: u16,
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
pub(super) fn wanted(spec: &TaskSpec, publish_awsvpc: bool) -> Vec<Want> {
    let mut all = Vec::new();
    for container in &spec.containers {
        for mapping in &container.port_mappings {
            let host = match (spec.network_mode, mapping.host_port) {
                (NetworkMode::None, _) => continue,
                (NetworkMode::Awsvpc, _) if !publish_awsvpc => continue,
                // An engine chooses one port at a time, so a range without a gap is chosen here.
                (NetworkMode::Awsvpc, _) if mapping.count() > 1 => HostPort::Dynamic,
                (NetworkMode::Awsvpc, _) => HostPort::Engine,
                (NetworkMode::Host, _) => HostPort::Fixed(mapping.container_port),
                (NetworkMode::Bridge, Some(port)) if port > 0 => HostPort::Fixed(port),
                (NetworkMode::Bridge, _) => HostPort::Dynamic,
            };
            all.push(Want {
                container: container.name.clone(),
                container_port: mapping.container_port,
                protocol: mapping.protocol,
                count: mapping.count(),
                host,
            });
        }
    }
    all
}

/// Where the search for the next dynamic port begins, and what it passes over as long as others are free.
#[derive(Debug, Clone, Default)]
pub(super) struct Rotation {
    /// The port to begin with, where it is one of the instance's.
    next: Option<u16>,
    /// Decides where the search begins otherwise.
    scatter: u32,
    /// Shared: what is tried has a rotation of its own.
    avoid: Rc<PortSet>,
}

impl Rotation {
    /// Continues behind the port that the newest of `tasks` got among those that `dynamic` says were chosen, so that a port
    /// is not used again at once. Ports of tasks that are over are avoided: one of them may be what somebody outside holds.
    pub fn new<'a>(
        seed: &str,
        tasks: impl Iterator<Item = (&'a TaskRecord, bool)>,
        dynamic: impl Fn(&TaskRecord, u16) -> bool,
    ) -> Self {
        let mut avoid = PortSet::new();
        let mut newest: Option<(&TaskRecord, u16)> = None;
        for (task, gone) in tasks {
            for claim in &task.ports {
                if gone {
                    avoid.extend(claim.host_ports().map(|port| (claim.protocol, port)));
                }
                let Some(last) = claim.host_ports().last() else {
                    continue;
                };
                let key = |task: &TaskRecord, port| (task.created_at, port);
                if dynamic(task, last)
                    && newest.is_none_or(|(other, port)| key(task, last) > key(other, port))
                {
                    newest = Some((task, last));
                }
            }
        }
        Self {
            next: newest.and_then(|(_, port)| port.checked_add(1)),
            scatter: scatter(seed),
            avoid: Rc::new(avoid),
        }
    }

    /// The first of the next `count` ports in a row, of `range`, of which `taken` names none.
    pub fn pick(
        &mut self,
        range: PortRange,
        protocol: Protocol,
        count: u16,
        taken: impl Fn(u16) -> bool,
    ) -> Option<u16> {
        let begin = self
            .next
            .filter(|port| range.contains(*port))
            .unwrap_or_else(|| match (self.next, u32::from(range.span()) + 1) {
                (Some(_), _) => range.first,
                (None, ports) => {
                    range.first + u16::try_from(self.scatter % ports).unwrap_or_default()
                }
            });
        let avoided = |port| self.avoid.contains(&(protocol, port));
        let search = |free: &dyn Fn(u16) -> bool| {
            run_of(begin..=range.last, count, free)
                .or_else(|| run_of(range.first..=range.last, count, free))
        };
        let port = search(&|port| !taken(port) && !avoided(port))
            .or_else(|| search(&|port| !taken(port)))?;
        self.next = Some(port.saturating_add(count));
        Some(port)
    }
}

/// The first of `count` ports in a row that are free.
fn run_of(
    ports: std::ops::RangeInclusive<u16>,
    count: u16,
    free: &dyn Fn(u16) -> bool,
) -> Option<u16> {
    let mut run = 0;
    for port in ports {
        run = if free(port) { run + 1 } else { 0 };
        if run == count.max(1) {
            return Some(port - (run - 1));
        }
    }
    None
}

/// Different services begin at different ports, the same service always at the same.
fn scatter(seed: &str) -> u32 {
    seed.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGE: PortRange = PortRange {
        first: 40000,
        last: 40009,
    };

    fn rotation(next: u16, avoid: &[u16]) -> Rotation {
        Rotation {
            next: Some(next),
            scatter: 0,
            avoid: Rc::new(avoid.iter().map(|port| (Protocol::Tcp, *port)).collect()),
        }
    }

    #[test]
    fn ports_are_given_in_turn_and_wrap_around() {
        let mut rotation = rotation(RANGE.last, &[]);
        let mut pick = || rotation.pick(RANGE, Protocol::Tcp, 1, |port| port == RANGE.first);
        assert_eq!(pick(), Some(RANGE.last));
        assert_eq!(pick(), Some(RANGE.first + 1));
    }

    #[test]
    fn a_port_of_a_dead_task_is_used_only_when_nothing_else_is_free() {
        let mut rotation = rotation(40000, &[40000]);
        let mut pick = |taken: &dyn Fn(u16) -> bool| rotation.pick(RANGE, Protocol::Tcp, 1, taken);
        assert_eq!(pick(&|_| false), Some(40001));
        assert_eq!(pick(&|port| port != 40000), Some(40000));
        assert_eq!(pick(&|_| true), None);
    }

    #[test]
    fn a_range_is_free_ports_in_a_row_and_never_wraps() {
        let mut rotation = rotation(40007, &[]);
        let mut pick = |count| rotation.pick(RANGE, Protocol::Tcp, count, |port| port == 40002);
        assert_eq!(pick(4), Some(40003));
        assert_eq!(pick(3), Some(40007));
        assert_eq!(pick(8), None);
    }

    #[test]
    fn each_instance_has_its_own_range() {
        let mut rotation = rotation(40003, &[]);
        let other = PortRange::default();
        let mut pick = |range| rotation.pick(range, Protocol::Tcp, 1, |_| false);
        assert_eq!(pick(RANGE), Some(40003));
        assert_eq!(pick(other), Some(49153));
        assert_eq!(pick(RANGE), Some(40000));
    }

    #[test]
    fn services_begin_at_scattered_ports_within_the_range() {
        let range = PortRange::default();
        let starts: std::collections::BTreeSet<u16> = ["web", "api", "db"]
            .iter()
            .filter_map(|seed| {
                let mut rotation = Rotation::new(seed, std::iter::empty(), |_, _| true);
                rotation.pick(range, Protocol::Tcp, 1, |_| false)
            })
            .collect();
        assert_eq!(starts.len(), 3);
        assert!(starts.iter().all(|port| range.contains(*port)));
    }
}
