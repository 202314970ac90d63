//! What is booked on each instance, and what still fits.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::ports::{HostPort, Rotation, wanted};
use super::refusal::{NoFit, Refusal};
use crate::controller::observe::TaskView;
use crate::model::{
    Gpus, Instance, InstanceDesired, InstanceId, LogConfig, PortClaim, Protocol, Reservation,
    Reserved, Resources, TaskId, TaskRecord, TaskSpec,
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

/// One instance's page.
#[derive(Debug)]
struct Page<'a> {
    instance: &'a Instance,
    draining: bool,
    used: Resources,
    /// Who holds a port. A plan's own new tasks have no id yet.
    ports: BTreeMap<(Protocol, u16), Option<TaskId>>,
    /// GPUs that are taken.
    gpus: BTreeSet<String>,
    /// What the service's own tasks hold, to give it back.
    own: BTreeMap<TaskId, Reservation>,
    /// Bytes of what is booked on it, at most.
    bytes: usize,
    /// Tasks of the service that stay, for spreading.
    staying: u32,
    /// New tasks of this plan.
    fresh: u32,
}

/// See the [module's documentation](super). Never copied, which would cost more than any plan needs: what is only tried is
/// taken back.
#[derive(Debug)]
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
    /// What stands for a log driver that the task names.
    pub log_drivers: &'a BTreeMap<String, LogConfig>,
    /// Only here.
    pub only: Option<&'a InstanceId>,
}

/// Where a task goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::controller) struct Placed {
    pub instance: InstanceId,
    pub ports: Vec<PortClaim>,
    /// By container.
    pub gpus: BTreeMap<String, Vec<String>>,
}

/// What a task would get of an instance besides its CPU and memory.
#[derive(Debug, Clone)]
struct Offer {
    ports: Vec<PortClaim>,
    gpus: BTreeMap<String, Vec<String>>,
}

impl Offer {
    fn reservation(&self, resources: Resources) -> Reservation {
        let mut held = Reservation::of(None, &self.ports, &self.gpus);
        held.resources = resources;
        held
    }
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
        let dynamic = |task: &TaskRecord, port: u16| {
            instances.iter().any(|view| {
                view.instance.id == task.instance && view.instance.dynamic_ports.contains(port)
            })
        };
        let rotation = Rotation::new(
            seed,
            tasks.iter().map(|(task, gone, _)| (task.record, *gone)),
            dynamic,
        );
        Self { pages, rotation }
    }

    /// Books a task where it fits best.
    pub fn place(&mut self, request: &Request<'_>) -> Result<Placed, NoFit> {
        let (at, offer, rotation) = self.find(request)?;
        self.rotation = rotation;
        let page = &mut self.pages[at];
        page.book(Resources::needed_by(request.spec), &offer);
        Ok(Placed {
            instance: page.instance.id.clone(),
            ports: offer.ports,
            gpus: offer.gpus,
        })
    }

    /// Whether a task would fit if those of the service were gone.
    pub fn would_fit_without(
        &mut self,
        gone: &[&TaskRecord],
        request: &Request<'_>,
    ) -> Result<(), NoFit> {
        let held: Vec<Option<Reservation>> = gone.iter().map(|task| self.release(task)).collect();
        let found = self.find(request).map(|_| ());
        for (task, held) in gone.iter().zip(held) {
            self.restore(task, held);
        }
        found
    }

    /// Where a task fits best, and what it would get there.
    fn find(&self, request: &Request<'_>) -> Result<(usize, Offer, Rotation), NoFit> {
        let needed = Resources::needed_by(request.spec);
        let mut refusals = Vec::new();
        let mut best: Option<(usize, Offer, Rotation)> = None;
        for (at, page) in self.pages.iter().enumerate() {
            if request.only.is_some_and(|only| *only != page.instance.id) {
                continue;
            }
            let mut rotation = self.rotation.clone();
            match page.offer(request, needed, &mut rotation) {
                Err(refusal) => refusals.push((page.instance.id.clone(), refusal)),
                Ok(offer) => {
                    let better = best
                        .as_ref()
                        .and_then(|(best, ..)| self.pages.get(*best))
                        .is_none_or(|best| page.rank() < best.rank());
                    if better {
                        best = Some((at, offer, rotation));
                    }
                }
            }
        }
        best.ok_or(NoFit(refusals))
    }

    /// Gives back what a task of the service holds, and returns it.
    pub fn release(&mut self, task: &TaskRecord) -> Option<Reservation> {
        self.page_of(task)?.release(&task.id)
    }

    /// Takes a release back.
    pub fn restore(&mut self, task: &TaskRecord, held: Option<Reservation>) {
        if let (Some(held), Some(page)) = (held, self.page_of(task)) {
            page.hold(Some(&task.id), &held);
            page.own.insert(task.id.clone(), held);
        }
    }

    fn page_of(&mut self, task: &TaskRecord) -> Option<&mut Page<'a>> {
        self.pages
            .iter_mut()
            .find(|page| page.instance.id == task.instance)
    }
}

impl<'a> Page<'a> {
    fn new(view: &InstanceView<'a>, gone: &BTreeSet<&TaskId>) -> Self {
        let mut page = Self {
            instance: view.instance,
            draining: view.desired == InstanceDesired::Draining,
            used: Resources::default(),
            ports: BTreeMap::new(),
            gpus: BTreeSet::new(),
            own: BTreeMap::new(),
            bytes: 0,
            staying: 0,
            fresh: 0,
        };
        let there = |reserved: &&'a Reserved| {
            let all = reserved.0.iter();
            all.filter(|(task, _)| !gone.contains(task))
        };
        for (task, reservation) in view.others.iter().flat_map(there) {
            page.hold(Some(task), reservation);
        }
        // Those of other clusters stand in books of their own.
        page.bytes = 0;
        for (task, reservation) in there(&view.reserved) {
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
        self.gpus.extend(reservation.gpus.iter().cloned());
        self.bytes += reservation.stored_bytes();
    }

    /// Marks a task as the service's own, and books it if nobody has yet.
    fn adopt(&mut self, task: &TaskView<'_>, booked: Option<&Reservation>, stays: bool) {
        let id = &task.record.id;
        let held = match booked {
            Some(held) => held.clone(),
            None => {
                let held = Reservation::of(task.spec, &task.record.ports, &task.record.gpus);
                self.hold(Some(id), &held);
                held
            }
        };
        self.own.insert(id.clone(), held);
        self.staying += u32::from(stays);
    }

    fn release(&mut self, id: &TaskId) -> Option<Reservation> {
        let held = self.own.remove(id)?;
        self.used.cpu = self.used.cpu.saturating_sub(held.resources.cpu);
        self.used.memory = self.used.memory.saturating_sub(held.resources.memory);
        for port in &held.ports {
            if self
                .ports
                .get(port)
                .is_some_and(|by| by.as_ref() == Some(id))
            {
                self.ports.remove(port);
            }
        }
        for gpu in &held.gpus {
            self.gpus.remove(gpu);
        }
        self.bytes = self.bytes.saturating_sub(held.stored_bytes());
        Some(held)
    }

    fn book(&mut self, resources: Resources, offer: &Offer) {
        self.hold(None, &offer.reservation(resources));
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

    /// What a task would get here, or why it cannot be here.
    fn offer(
        &self,
        request: &Request<'_>,
        needed: Resources,
        rotation: &mut Rotation,
    ) -> Result<Offer, Refusal> {
        #[cfg(test)]
        crate::controller::testing::work::add(1);
        if self.draining {
            return Err(Refusal::Draining);
        }
        if !self.instance.connected {
            return Err(Refusal::Disconnected);
        }
        if !self.has_architecture(request.spec.architecture.as_deref()) {
            return Err(Refusal::Architecture);
        }
        if let Some(driver) = self.missing_log_driver(request) {
            return Err(Refusal::LogDriver(driver));
        }
        let fits = |need: u64, used: u64, all: u64| need == 0 || used.saturating_add(need) <= all;
        let all = self.instance.registered;
        if !fits(needed.cpu, self.used.cpu, all.cpu) {
            return Err(Refusal::Cpu);
        }
        if !fits(needed.memory, self.used.memory, all.memory) {
            return Err(Refusal::Memory);
        }
        let gpus = self.free_gpus(request.spec)?;
        let ports = self.claims(request, rotation)?;
        if request.distinct && !(self.own.is_empty() && self.fresh == 0) {
            return Err(Refusal::DistinctInstance);
        }
        let offer = Offer { ports, gpus };
        if self.bytes + offer.reservation(needed).stored_bytes() > Reserved::MOST_BYTES {
            return Err(Refusal::Full);
        }
        Ok(offer)
    }

    /// A container has its GPUs to itself, as on ECS: which ones is settled here.
    fn free_gpus(&self, spec: &TaskSpec) -> Result<BTreeMap<String, Vec<String>>, Refusal> {
        let all = &self.instance.gpus;
        let mut free: Vec<&String> = all.difference(&self.gpus).collect();
        let mut given = BTreeMap::new();
        for container in &spec.containers {
            let wanted = match container.gpus {
                None => continue,
                Some(Gpus::Count(count)) => count as usize,
                Some(Gpus::All) => all.len().max(1),
            };
            if wanted > free.len() {
                return Err(Refusal::Gpu { has: all.len() });
            }
            let mine = free.drain(..wanted).cloned().collect();
            given.insert(container.name.clone(), mine);
        }
        Ok(given)
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

    fn missing_log_driver(&self, request: &Request<'_>) -> Option<String> {
        let logs = request.spec.containers.iter().flat_map(|c| &c.log);
        logs.map(|log| match log.on_engine(request.log_drivers).driver {
            // The engine hands the output over to the task's own router.
            firelens if firelens == "awsfirelens" => "fluentd".to_owned(),
            driver => driver,
        })
        .find(|driver| !self.instance.has_log_driver(driver))
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
            let (protocol, count) = (want.mapping.protocol, want.mapping.count());
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
                    .pick(self.instance.dynamic_ports, protocol, count, |port| {
                        let key = (protocol, port);
                        let mine = |claim: &PortClaim| {
                            claim.protocol == protocol
                                && claim.host_port <= port
                                && port - claim.host_port < claim.count
                        };
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
                count,
            });
        }
        Ok(claims)
    }
}
