//! One instance's page of the books: what is stored, and what this plan has given back and taken since.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use super::ports::{HostPort, Rotation};
use super::refusal::Refusal;
use super::request::{Needs, Offer};
use crate::controller::observe::TaskView;
use crate::model::{
    Booked, Gpus, Instance, InstanceDesired, InstanceFacts, PortClaim, Protocol, Query,
    Reservation, Reserved, Resources, TaskId, Timestamp,
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
    /// The sums of `reserved`, where somebody has them at hand; they are made when they are needed otherwise.
    pub booked: Option<&'a Booked>,
    /// What tasks of other clusters hold on the same engine.
    pub others: Vec<&'a Reserved>,
    /// Its tasks that are wanted to run, by group; none: no constraint asks for them.
    pub groups: Option<&'a BTreeMap<String, u32>>,
}

/// What a task holds: as it is stored, or where nobody booked it yet, as it should be.
pub(in crate::controller) type Held<'a> = Cow<'a, Reservation>;

#[derive(Debug)]
pub(super) struct Page<'a> {
    pub view: &'a InstanceView<'a>,
    /// Resources and bytes of what is stored, added up when first asked for.
    amounts: OnceCell<(Resources, usize)>,
    /// All of what is stored, where it is not at hand, made when first asked for.
    stored: OnceCell<Booked>,
    /// What of it is given back.
    freed: Change,
    /// What is taken besides. A plan's own new tasks have no id yet.
    taken: Change,
    /// Who holds a port that was taken besides.
    holders: BTreeMap<(Protocol, u16), TaskId>,
    /// The service's own tasks that exist here, with what each holds unless it is given back.
    own: BTreeMap<&'a TaskId, Held<'a>>,
    /// Tasks of the service that stay, for spreading.
    pub staying: u32,
    /// The same by the capacity provider that they were started for.
    pub by_provider: BTreeMap<Option<String>, u32>,
    /// New tasks of this plan.
    fresh: u32,
}

#[derive(Debug, Default)]
struct Change {
    resources: Resources,
    bytes: usize,
    ports: BTreeSet<(Protocol, u16)>,
    gpus: BTreeSet<String>,
}

impl Change {
    fn add(&mut self, held: &Reservation) {
        self.resources = self.resources.plus(held.resources);
        self.bytes += held.stored_bytes();
        self.ports.extend(&held.ports);
        self.gpus.extend(held.gpus.iter().cloned());
    }

    fn remove(&mut self, held: &Reservation) {
        self.resources = self.resources.minus(held.resources);
        self.bytes = self.bytes.saturating_sub(held.stored_bytes());
        for port in &held.ports {
            self.ports.remove(port);
        }
        for gpu in &held.gpus {
            self.gpus.remove(gpu);
        }
    }
}

impl<'a> Page<'a> {
    pub fn new(view: &'a InstanceView<'a>) -> Self {
        Self {
            view,
            amounts: OnceCell::new(),
            stored: OnceCell::new(),
            freed: Change::default(),
            taken: Change::default(),
            holders: BTreeMap::new(),
            own: BTreeMap::new(),
            staying: 0,
            by_provider: BTreeMap::new(),
            fresh: 0,
        }
    }

    /// Ports and GPUs of what is stored, those that other clusters book on the same engine among them.
    fn stored(&self) -> &Booked {
        match (self.view.booked, self.view.others.as_slice()) {
            (Some(booked), []) => booked,
            (booked, others) => self.stored.get_or_init(|| {
                let mut all = booked
                    .cloned()
                    .unwrap_or_else(|| Booked::of(self.view.reserved));
                for reserved in others {
                    all.add(reserved);
                }
                all
            }),
        }
    }

    /// Resources of what is stored, and the bytes that the cluster's own books take.
    fn amounts(&self) -> (Resources, usize) {
        *self.amounts.get_or_init(|| {
            let (mut resources, bytes) = match self.view.booked {
                Some(booked) => (booked.resources, booked.bytes),
                None => {
                    let reserved = self.view.reserved;
                    (reserved.total(), reserved.stored_bytes())
                }
            };
            for reserved in &self.view.others {
                resources = resources.plus(reserved.total());
            }
            (resources, bytes)
        })
    }

    /// What is held in all.
    pub fn used(&self) -> Resources {
        let (stored, _) = self.amounts();
        stored
            .plus(self.taken.resources)
            .minus(self.freed.resources)
    }

    fn bytes(&self) -> usize {
        let (_, stored) = self.amounts();
        (stored + self.taken.bytes).saturating_sub(self.freed.bytes)
    }

    /// Who holds a port, if somebody does.
    fn holder(&self, port: (Protocol, u16)) -> Option<Option<&TaskId>> {
        if self.taken.ports.contains(&port) {
            return Some(self.holders.get(&port));
        }
        if self.freed.ports.contains(&port) {
            return None;
        }
        self.stored().ports.get(&port).map(Some)
    }

    fn has_gpu(&self, gpu: &String) -> bool {
        self.taken.gpus.contains(gpu)
            || (self.stored().gpus.contains(gpu) && !self.freed.gpus.contains(gpu))
    }

    /// A task of the service that is over holds nothing any more.
    pub fn bury(&mut self, id: &TaskId) {
        if let Some(held) = self.view.reserved.0.get(id) {
            self.freed.add(held);
        }
    }

    /// Marks a task as the service's own, and books it if nobody has yet.
    pub fn adopt(&mut self, task: &TaskView<'a>, stays: bool) {
        let id = &task.record.id;
        let held = match self.view.reserved.0.get(id) {
            Some(held) => Cow::Borrowed(held),
            None => {
                let held = Reservation::of(task.spec, &task.record.ports, &task.record.gpus);
                self.take(Some(id), &held);
                Cow::Owned(held)
            }
        };
        self.own.insert(id, held);
        if stays {
            self.staying += 1;
            let provider = task.record.capacity_provider.clone();
            *self.by_provider.entry(provider).or_default() += 1;
        }
    }

    /// What one of the service's own tasks holds.
    pub fn held_by(&self, id: &TaskId) -> Option<Resources> {
        self.own.get(id).map(|held| held.resources)
    }

    fn take(&mut self, id: Option<&TaskId>, held: &Reservation) {
        self.taken.add(held);
        if let Some(id) = id {
            let ports = held.ports.iter().map(|port| (*port, id.clone()));
            self.holders.extend(ports);
        }
    }

    /// Gives back what one of the service's own tasks holds.
    pub fn release(&mut self, id: &TaskId) -> Option<Held<'a>> {
        let held = self.own.remove(id)?;
        if self.view.reserved.0.contains_key(id) {
            self.freed.add(&held);
        } else {
            self.taken.remove(&held);
        }
        Some(held)
    }

    /// Takes a release back.
    pub fn restore(&mut self, id: &'a TaskId, held: Held<'a>) {
        if self.view.reserved.0.contains_key(id) {
            self.freed.remove(&held);
        } else {
            self.take(Some(id), &held);
        }
        self.own.insert(id, held);
    }

    /// A new task.
    pub fn book(&mut self, resources: Resources, offer: &Offer, provider: Option<&String>) {
        let held = offer.reservation(resources);
        for port in &held.ports {
            self.holders.remove(port);
        }
        self.take(None, &held);
        self.staying += 1;
        self.fresh += 1;
        *self.by_provider.entry(provider.cloned()).or_default() += 1;
    }

    /// What is left once so much is gone, of CPU and of memory.
    pub fn left(&self, without: Resources) -> Resources {
        self.view
            .instance
            .registered
            .minus(self.used())
            .minus(without)
    }

    /// Whether it takes tasks at all.
    pub fn takes(&self) -> bool {
        self.view.desired == InstanceDesired::Active && self.view.instance.connected
    }

    /// Why no task of that kind can ever be here, whatever is booked.
    pub fn refuses(&self, needs: &Needs) -> Option<Refusal> {
        if self.view.desired == InstanceDesired::Draining {
            return Some(Refusal::Draining);
        }
        if !self.view.instance.connected {
            return Some(Refusal::Disconnected);
        }
        if let Some(constraint) = self.unmet(&needs.constant, needs) {
            return Some(constraint);
        }
        if !self.has_architecture(needs.architecture.as_deref()) {
            return Some(Refusal::Architecture);
        }
        let mut drivers = needs.log_drivers.iter();
        let missing = drivers.find(|driver| !self.view.instance.has_log_driver(driver));
        if let Some(driver) = missing {
            return Some(Refusal::LogDriver(driver.clone()));
        }
        needs
            .host
            .filter(|_| self.view.instance.remote)
            .map(Refusal::NeedsHost)
    }

    /// What a task gets here, or why there is no room for it. To be asked where nothing [`refuses`](Self::refuses) it.
    pub fn offer(&self, needs: &Needs, rotation: &mut Rotation) -> Result<Offer, Refusal> {
        #[cfg(test)]
        crate::controller::testing::work::add(1);
        if let Some(constraint) = self.unmet(&needs.changing, needs) {
            return Err(constraint);
        }
        let fits = |need: u64, used: u64, all: u64| need == 0 || used.saturating_add(need) <= all;
        let (needed, used, all) = (needs.resources, self.used(), self.view.instance.registered);
        if !fits(needed.cpu, used.cpu, all.cpu) {
            return Err(Refusal::Cpu);
        }
        if !fits(needed.memory, used.memory, all.memory) {
            return Err(Refusal::Memory);
        }
        let gpus = self.free_gpus(needs)?;
        let ports = self.claims(needs, rotation)?;
        if needs.distinct && !(self.own.is_empty() && self.fresh == 0) {
            return Err(Refusal::DistinctInstance);
        }
        let offer = Offer { ports, gpus };
        if self.bytes() + offer.reservation(needed).stored_bytes() > Reserved::MOST_BYTES {
            return Err(Refusal::Full);
        }
        Ok(offer)
    }

    fn unmet(&self, constraints: &[Query], needs: &Needs) -> Option<Refusal> {
        let facts = Facts {
            page: self,
            group: &needs.group,
        };
        let mut all = constraints.iter();
        let unmet = all.find(|query| !query.matches(&facts))?;
        Some(Refusal::Constraint(unmet.clone()))
    }

    /// A constraint that the instance does not meet; those that tasks decide about say nothing to a task that is here.
    pub fn outside(&self, needs: &Needs) -> Option<Query> {
        let newcomers: &[Query] = match self.own.is_empty() {
            true => &needs.changing,
            false => &[],
        };
        let unmet = self
            .unmet(&needs.constant, needs)
            .or_else(|| self.unmet(newcomers, needs));
        match unmet? {
            Refusal::Constraint(query) => Some(query),
            _ => None,
        }
    }

    /// A container has its GPUs to itself, as on ECS: which ones is settled here.
    fn free_gpus(&self, needs: &Needs) -> Result<BTreeMap<String, Vec<String>>, Refusal> {
        let mut given = BTreeMap::new();
        if needs.gpus.is_empty() {
            return Ok(given);
        }
        let all = &self.view.instance.gpus;
        let mut free: Vec<&String> = all.iter().filter(|gpu| !self.has_gpu(gpu)).collect();
        for (container, wanted) in &needs.gpus {
            let wanted = match wanted {
                Gpus::Count(count) => *count as usize,
                Gpus::All => all.len().max(1),
            };
            if wanted > free.len() {
                return Err(Refusal::Gpu { has: all.len() });
            }
            let mine = free.drain(..wanted).cloned().collect();
            given.insert(container.clone(), mine);
        }
        Ok(given)
    }

    fn has_architecture(&self, wanted: Option<&str>) -> bool {
        let canonical = |name: &str| match name {
            "x86_64" | "amd64" => "amd64".to_owned(),
            "aarch64" | "arm64" => "arm64".to_owned(),
            other => other.to_owned(),
        };
        let attributes = &self.view.instance.attributes;
        match (wanted, attributes.get("ecs.cpu-architecture")) {
            (Some(wanted), Some(has)) => canonical(wanted) == canonical(has),
            _ => true,
        }
    }

    fn claims(&self, needs: &Needs, rotation: &mut Rotation) -> Result<Vec<PortClaim>, Refusal> {
        let mut claims: Vec<PortClaim> = Vec::new();
        let reserved = |port| self.view.instance.reserved_ports.contains(&port);
        for want in &needs.ports {
            let (protocol, count) = (want.protocol, want.count);
            let host_port = match want.host {
                HostPort::Engine => 0,
                HostPort::Fixed(port) => {
                    let key = (protocol, port);
                    if let Some(holder) = self.holder(key) {
                        return Err(Refusal::Port(protocol, port, holder.cloned()));
                    }
                    if reserved(key) {
                        return Err(Refusal::Port(protocol, port, None));
                    }
                    port
                }
                HostPort::Dynamic => rotation
                    .pick(self.view.instance.dynamic_ports, protocol, count, |port| {
                        let key = (protocol, port);
                        let mine = |claim: &PortClaim| {
                            claim.protocol == protocol
                                && claim.host_port <= port
                                && port - claim.host_port < claim.count
                        };
                        self.holder(key).is_some()
                            // A dynamic one must not take what another mapping of the same task is bound to.
                            || needs.fixed.contains(&key)
                            || reserved(key)
                            || claims.iter().any(mine)
                    })
                    .ok_or(Refusal::Ports)?,
            };
            claims.push(PortClaim {
                container: want.container.clone(),
                container_port: want.container_port,
                protocol,
                host_port,
                count,
            });
        }
        Ok(claims)
    }
}

/// An instance as constraints see it, with this plan's new tasks.
struct Facts<'p, 'a> {
    page: &'p Page<'a>,
    group: &'p str,
}

impl InstanceFacts for Facts<'_, '_> {
    fn id(&self) -> &str {
        self.page.view.instance.id.as_str()
    }

    fn connected(&self) -> bool {
        self.page.view.instance.connected
    }

    fn agent_version(&self) -> &str {
        &self.page.view.instance.agent_version
    }

    fn attribute(&self, name: &str) -> Option<&str> {
        let attributes = &self.page.view.instance.attributes;
        attributes.get(name).map(String::as_str)
    }

    fn registered_at(&self) -> Timestamp {
        self.page.view.instance.registered_at
    }

    fn running_tasks(&self) -> u64 {
        let groups = self.page.view.groups.into_iter().flatten();
        let stored: u64 = groups.map(|(_, count)| u64::from(*count)).sum();
        stored + u64::from(self.page.fresh)
    }

    fn has_group(&self, which: &dyn Fn(&str) -> bool) -> bool {
        let mut groups = self.page.view.groups.into_iter().flatten();
        groups.any(|(group, count)| *count > 0 && which(group))
            || (self.page.fresh > 0 && which(self.group))
    }
}
