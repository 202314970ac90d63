//! What is booked on each instance, and what still fits.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::ports::{HostPort, Rotation, wanted};
use super::refusal::{NoFit, Refusal};
use crate::controller::observe::TaskView;
use crate::model::{
    Instance, InstanceDesired, InstanceId, PortClaim, Protocol, Reservation, Reserved, Resources,
    TaskId, TaskRecord, TaskSpec,
};

/// A container instance as a plan sees it.
#[derive(Debug, Clone)]
pub struct InstanceView<'a> {
    /// As its agent registered it.
    pub instance: &'a Instance,
    /// ACTIVE or DRAINING.
    pub desired: InstanceDesired,
    /// What its tasks hold.
    pub reserved: &'a Reserved,
    /// What tasks of other clusters hold on the same engine.
    pub others: Vec<&'a Reserved>,
}

/// What a task of `spec` with those ports holds of its instance.
pub fn reservation(spec: Option<&TaskSpec>, ports: &[PortClaim]) -> Reservation {
    Reservation {
        resources: spec.map(Resources::needed_by).unwrap_or_default(),
        ports: ports
            .iter()
            .filter(|claim| claim.host_port > 0)
            .map(|claim| (claim.protocol, claim.host_port))
            .collect(),
    }
}

/// One instance's page.
#[derive(Debug, Clone)]
struct Page<'a> {
    instance: &'a Instance,
    draining: bool,
    used: Resources,
    /// Who holds a port. A plan's own new tasks have no id yet.
    ports: BTreeMap<(Protocol, u16), Option<TaskId>>,
    /// What the service's own tasks hold, to give it back.
    own: BTreeMap<TaskId, Reservation>,
    /// Tasks of the service that stay, for spreading.
    staying: u32,
    /// New tasks of this plan.
    fresh: u32,
}

/// See the [module's documentation](super).
#[derive(Debug, Clone)]
pub(in crate::controller) struct Books<'a> {
    pages: Vec<Page<'a>>,
    rotation: Rotation,
}

/// What is to be placed.
#[derive(Debug, Clone, Copy)]
pub(in crate::controller) struct Request<'a> {
    pub spec: &'a TaskSpec,
    /// Each task of the service on an instance of its own.
    pub distinct: bool,
    /// Whether `awsvpc` ports are published.
    pub publish_awsvpc: bool,
    /// Only here.
    pub only: Option<&'a InstanceId>,
}

/// Where a task goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::controller) struct Placed {
    pub instance: InstanceId,
    pub ports: Vec<PortClaim>,
}

impl<'a> Books<'a> {
    /// The books as stored. `tasks` are the service's own, each with whether it is gone (then it holds nothing any more)
    /// and whether it stays.
    pub fn new(
        seed: &str,
        instances: &[InstanceView<'a>],
        tasks: &[(&TaskView<'_>, bool, bool)],
    ) -> Self {
        let gone: BTreeSet<&TaskId> = tasks
            .iter()
            .filter(|(_, gone, _)| *gone)
            .map(|(task, _, _)| &task.record.id)
            .collect();
        let mut pages: Vec<Page<'a>> = instances
            .iter()
            .map(|view| Page::new(view, &gone))
            .collect();
        for (task, _, stays) in tasks.iter().filter(|(_, gone, _)| !gone) {
            let of_task = instances
                .iter()
                .zip(&mut pages)
                .find(|(view, _)| view.instance.id == task.record.instance);
            if let Some((view, page)) = of_task {
                page.adopt(task, view.reserved.0.get(&task.record.id), *stays);
            }
        }
        let rotation = Rotation::new(
            seed,
            tasks.iter().map(|(task, gone, _)| (task.record, *gone)),
        );
        Self { pages, rotation }
    }

    /// Books a task where it fits best.
    pub fn place(&mut self, request: &Request<'_>) -> Result<Placed, NoFit> {
        let needed = Resources::needed_by(request.spec);
        let mut refusals = Vec::new();
        let mut best: Option<(usize, Vec<PortClaim>, Rotation)> = None;
        for (at, page) in self.pages.iter().enumerate() {
            if request.only.is_some_and(|only| *only != page.instance.id) {
                continue;
            }
            let mut rotation = self.rotation.clone();
            match page.offer(request, needed, &mut rotation) {
                Err(refusal) => refusals.push((page.instance.id.clone(), refusal)),
                Ok(ports) => {
                    let better = best
                        .as_ref()
                        .and_then(|(best, ..)| self.pages.get(*best))
                        .is_none_or(|best| page.rank() < best.rank());
                    if better {
                        best = Some((at, ports, rotation));
                    }
                }
            }
        }
        let Some((at, ports, rotation)) = best else {
            return Err(NoFit(refusals));
        };
        self.rotation = rotation;
        let page = &mut self.pages[at];
        page.book(needed, &ports);
        Ok(Placed {
            instance: page.instance.id.clone(),
            ports,
        })
    }

    /// Gives back what a task of the service holds.
    pub fn release(&mut self, task: &TaskRecord) {
        for page in &mut self.pages {
            if page.instance.id == task.instance {
                page.release(&task.id);
            }
        }
    }
}

impl<'a> Page<'a> {
    fn new(view: &InstanceView<'a>, gone: &BTreeSet<&TaskId>) -> Self {
        let mut page = Self {
            instance: view.instance,
            draining: view.desired == InstanceDesired::Draining,
            used: Resources::default(),
            ports: BTreeMap::new(),
            own: BTreeMap::new(),
            staying: 0,
            fresh: 0,
        };
        let reservations = std::iter::once(&view.reserved)
            .chain(&view.others)
            .flat_map(|reserved| &reserved.0)
            .filter(|(task, _)| !gone.contains(task));
        for (task, reservation) in reservations {
            page.hold(Some(task), reservation);
        }
        page
    }

    fn hold(&mut self, task: Option<&TaskId>, reservation: &Reservation) {
        self.used.cpu = self.used.cpu.saturating_add(reservation.resources.cpu);
        self.used.memory = self
            .used
            .memory
            .saturating_add(reservation.resources.memory);
        for port in &reservation.ports {
            self.ports.insert(*port, task.cloned());
        }
    }

    /// Marks a task as the service's own, and books it if nobody has yet.
    fn adopt(&mut self, task: &TaskView<'_>, booked: Option<&Reservation>, stays: bool) {
        let id = &task.record.id;
        let held = match booked {
            Some(held) => held.clone(),
            None => {
                let held = reservation(task.spec, &task.record.ports);
                self.hold(Some(id), &held);
                held
            }
        };
        self.own.insert(id.clone(), held);
        self.staying += u32::from(stays);
    }

    fn release(&mut self, id: &TaskId) {
        let Some(held) = self.own.remove(id) else {
            return;
        };
        self.used.cpu = self.used.cpu.saturating_sub(held.resources.cpu);
        self.used.memory = self.used.memory.saturating_sub(held.resources.memory);
        self.ports.retain(|_, holder| holder.as_ref() != Some(id));
    }

    fn book(&mut self, resources: Resources, ports: &[PortClaim]) {
        let mut held = reservation(None, ports);
        held.resources = resources;
        self.hold(None, &held);
        self.staying += 1;
        self.fresh += 1;
    }

    /// Smaller is better.
    fn rank(&self) -> (u32, Reverse<u64>, &InstanceId) {
        let free = self
            .instance
            .registered
            .memory
            .saturating_sub(self.used.memory);
        (self.staying, Reverse(free), &self.instance.id)
    }

    /// The ports that a task would get here, or why it cannot be here.
    fn offer(
        &self,
        request: &Request<'_>,
        needed: Resources,
        rotation: &mut Rotation,
    ) -> Result<Vec<PortClaim>, Refusal> {
        if self.draining {
            return Err(Refusal::Draining);
        }
        if !self.instance.connected {
            return Err(Refusal::Disconnected);
        }
        if !self.has_architecture(request.spec.architecture.as_deref()) {
            return Err(Refusal::Architecture);
        }
        let fits = |need: u64, used: u64, all: u64| need == 0 || used.saturating_add(need) <= all;
        let all = self.instance.registered;
        if !fits(needed.cpu, self.used.cpu, all.cpu) {
            return Err(Refusal::Cpu);
        }
        if !fits(needed.memory, self.used.memory, all.memory) {
            return Err(Refusal::Memory);
        }
        let ports = self.claims(request, rotation)?;
        if request.distinct && !(self.own.is_empty() && self.fresh == 0) {
            return Err(Refusal::DistinctInstance);
        }
        Ok(ports)
    }

    fn has_architecture(&self, wanted: Option<&str>) -> bool {
        let canonical = |name: &str| match name {
            "x86_64" | "amd64" => "amd64".to_owned(),
            "aarch64" | "arm64" => "arm64".to_owned(),
            other => other.to_owned(),
        };
        match (wanted, self.instance.attributes.get("ecs.cpu-architecture")) {
            (Some(wanted), Some(has)) => canonical(wanted) == canonical(has),
            _ => true,
        }
    }

    fn claims(
        &self,
        request: &Request<'_>,
        rotation: &mut Rotation,
    ) -> Result<Vec<PortClaim>, Refusal> {
        let mut claims: Vec<PortClaim> = Vec::new();
        let wanted = wanted(request.spec, request.publish_awsvpc);
        // Fixed ports first: a dynamic one must not take what another mapping of the same task is bound to.
        let fixed: BTreeSet<(Protocol, u16)> = wanted
            .iter()
            .filter_map(|want| match want.host {
                HostPort::Fixed(port) => Some((want.mapping.protocol, port)),
                HostPort::Dynamic | HostPort::Engine => None,
            })
            .collect();
        let reserved = |port| self.instance.reserved_ports.contains(&port);
        for want in &wanted {
            let protocol = want.mapping.protocol;
            let host_port = match want.host {
                HostPort::Engine => 0,
                HostPort::Fixed(port) => {
                    let key = (protocol, port);
                    if let Some(holder) = self.ports.get(&key) {
                        return Err(Refusal::Port(protocol, port, holder.clone()));
                    }
                    if reserved(key) {
                        return Err(Refusal::Port(protocol, port, None));
                    }
                    port
                }
                HostPort::Dynamic => rotation
                    .pick(protocol, |port| {
                        let key = (protocol, port);
                        let mine = |claim: &PortClaim| (claim.protocol, claim.host_port) == key;
                        self.ports.contains_key(&key)
                            || fixed.contains(&key)
                            || reserved(key)
                            || claims.iter().any(mine)
                    })
                    .ok_or(Refusal::Ports)?,
            };
            claims.push(PortClaim {
                container: want.container.name.clone(),
                container_port: want.mapping.container_port,
                protocol,
                host_port,
            });
        }
        Ok(claims)
    }
}
