//! From a plan to one commit: what is recorded, under which guards, and what is left for the next one.
//!
//! A commit holds the service's record and as many decisions as fit a store's limits. Any prefix of the decisions is a
//! valid state, so what does not fit is left out, and the next plan decides it again.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::decision::{Decision, NewEvent, Plan};
use super::events;
use super::inputs::{Inputs, InstanceInput};
use crate::clock::IdGen;
use crate::model::{
    ClusterName, DesiredStatus, EventLevel, InstanceId, Reservation, Reserved, ServiceEvent,
    StopOrder, TaskId, TaskRecord, TaskSpec, Timestamp,
};
use crate::store::{Epoch, TaskEntry, Txn, keys};

/// Events of a service that are kept.
pub const EVENTS_KEPT: usize = 100;

/// A commit, and whether it is all of the plan.
#[derive(Debug)]
pub(super) struct Recording {
    pub txn: Txn,
    /// How many of the plan's decisions are in it.
    pub decisions: usize,
    /// Something did not fit: plan again at once.
    pub left_out: bool,
}

/// What of `plan` goes into one commit. `None`: there is nothing to record.
pub(super) fn record(
    inputs: &Inputs,
    plan: &Plan,
    epoch: &Epoch,
    ids: &dyn IdGen,
    now: Timestamp,
) -> Option<Recording> {
    let mut limit = plan.decisions.len();
    loop {
        let draft = Draft::new(inputs, epoch, now).write(plan, limit, ids);
        if draft.txn.is_empty() {
            return None;
        }
        if draft.txn.fits() || limit == 0 {
            return Some(Recording {
                txn: draft.txn,
                decisions: limit,
                left_out: draft.left_out,
            });
        }
        limit /= 2;
    }
}

/// Whether a commit would touch what is booked on an instance.
pub(super) fn books(inputs: &Inputs, plan: &Plan) -> bool {
    plan.decisions
        .iter()
        .any(|decision| matches!(decision, Decision::StartTask { .. }))
        || settled(&inputs.instances, &inputs.tasks)
            .iter()
            .any(|(id, reserved)| inputs.instances[id].reserved.as_ref() != reserved)
}

/// Tasks with what they run, as far as the store still tells.
pub(super) type Tasks = BTreeMap<TaskId, (TaskEntry, Option<Arc<TaskSpec>>)>;

/// What each instance's books should say about these tasks: those that are over hold nothing, all others hold what they were
/// given, also those that were taken over from a lost store.
pub(super) fn settled(
    instances: &BTreeMap<InstanceId, InstanceInput>,
    tasks: &Tasks,
) -> BTreeMap<InstanceId, Reserved> {
    let mut all: BTreeMap<InstanceId, Reserved> = instances
        .iter()
        .map(|(id, input)| (id.clone(), Reserved::clone(&input.reserved)))
        .collect();
    for (id, (entry, spec)) in tasks {
        let Some(reserved) = all.get_mut(&entry.record.instance) else {
            continue;
        };
        let over = entry.status.as_ref().is_some_and(|s| s.is_stopped());
        if over || entry.lost.is_some() {
            reserved.0.remove(id);
        } else if !reserved.0.contains_key(id) {
            let held = Reservation::of(spec.as_deref(), &entry.record.ports, &entry.record.gpus);
            reserved.0.insert(id.clone(), held);
        }
    }
    all
}

/// Adds the books that have changed, each only if nobody else has changed it in the meantime.
pub(super) fn book(
    mut txn: Txn,
    cluster: &ClusterName,
    instances: &BTreeMap<InstanceId, InstanceInput>,
    reserved: &BTreeMap<InstanceId, Reserved>,
) -> Txn {
    for (id, reserved) in reserved {
        let input = &instances[id];
        if *input.reserved != *reserved {
            let key = keys::instance_reserved(cluster, id);
            txn = txn.expect(&key, input.reserved_at).put_json(&key, reserved);
        }
    }
    txn
}

/// Adds the removal of a task and all that is known of it.
pub(super) fn forget_task(
    mut txn: Txn,
    cluster: &ClusterName,
    id: &TaskId,
    entry: &TaskEntry,
) -> Txn {
    txn = txn.delete(keys::task(cluster, id));
    if entry.status.is_some() {
        txn = txn.delete(keys::task_status(cluster, id));
    }
    if entry.lost.is_some() {
        txn = txn.delete(keys::task_lost(cluster, id));
    }
    if entry.protection.is_some() {
        txn = txn.delete(keys::task_protection(cluster, id));
    }
    txn
}

struct Draft<'a> {
    inputs: &'a Inputs,
    epoch: &'a Epoch,
    txn: Txn,
    now: Timestamp,
    reserved: BTreeMap<InstanceId, Reserved>,
    started: Vec<TaskId>,
    stopped: Vec<TaskId>,
    left_out: bool,
}

impl<'a> Draft<'a> {
    fn new(inputs: &'a Inputs, epoch: &'a Epoch, now: Timestamp) -> Self {
        let (cluster, service) = &inputs.key;
        let seen = inputs.record.as_ref().map(|record| record.revision);
        Self {
            inputs,
            epoch,
            txn: Txn::new(epoch).expect(keys::service(cluster, service), seen),
            now,
            reserved: settled(&inputs.instances, &inputs.tasks),
            started: Vec::new(),
            stopped: Vec::new(),
            left_out: false,
        }
    }

    /// Replaces the transaction by what `edit` makes of it.
    fn edit(&mut self, edit: impl FnOnce(Txn) -> Txn) {
        let empty = Txn::new(self.epoch);
        self.txn = edit(std::mem::replace(&mut self.txn, empty));
    }

    fn put<T: serde::Serialize>(&mut self, key: String, value: &T) {
        self.edit(|txn| txn.put_json(key, value));
    }

    fn delete(&mut self, key: String) {
        self.edit(|txn| txn.delete(key));
    }

    fn write(mut self, plan: &Plan, limit: usize, ids: &dyn IdGen) -> Self {
        for decision in plan.decisions.iter().take(limit) {
            self.decide(decision, ids);
        }
        self.left_out = limit < plan.decisions.len();
        if plan.forget {
            self.forget();
        } else {
            self.keep(plan);
        }
        self.book();
        self
    }

    fn decide(&mut self, decision: &Decision, ids: &dyn IdGen) {
        let cluster = &self.inputs.key.0;
        match decision {
            Decision::StartTask {
                instance,
                deployment,
                revision,
                spec,
                ports,
                gpus,
                dns_names,
                images,
                ..
            } => {
                let service = self.inputs.service();
                let record = TaskRecord {
                    id: ids.task_id(),
                    cluster: cluster.clone(),
                    instance: instance.clone(),
                    group: format!("service:{service}"),
                    service: Some(service.clone()),
                    deployment: Some(deployment.clone()),
                    standalone: None,
                    family: revision.family.clone(),
                    revision: revision.revision,
                    spec: spec.clone(),
                    desired: DesiredStatus::Running,
                    stop: None,
                    created_at: self.now,
                    dns_names: dns_names.clone(),
                    ports: ports.clone(),
                    gpus: gpus.clone(),
                    images: images.clone(),
                };
                self.hold(&record);
                self.started.push(record.id.clone());
                let key = keys::task(cluster, &record.id);
                self.put(key, &record);
            }
            Decision::StopTask {
                id, code, reason, ..
            } => {
                let Some((entry, _)) = self.inputs.tasks.get(id) else {
                    return;
                };
                let mut record = TaskRecord::clone(&entry.record);
                record.desired = DesiredStatus::Stopped;
                record.stop = Some(StopOrder {
                    code: *code,
                    reason: reason.clone(),
                    at: self.now,
                });
                // Who was protected after this was decided is not stopped by it.
                let protection = keys::task_protection(cluster, id);
                let seen = entry.protection.as_ref().map(|stored| stored.revision);
                self.edit(|txn| txn.expect(protection, seen));
                if decision.stops_for_the_service() {
                    self.stopped.push(id.clone());
                }
                self.put(keys::task(cluster, id), &record);
            }
            Decision::DeleteTask { id, .. } => {
                let Some((entry, _)) = self.inputs.tasks.get(id) else {
                    return;
                };
                self.edit(|txn| forget_task(txn, cluster, id, entry));
                for reserved in self.reserved.values_mut() {
                    reserved.0.remove(id);
                }
            }
        }
    }

    /// Books what a new task was given, and writes down what it runs.
    fn hold(&mut self, task: &TaskRecord) {
        let definition = self.inputs.definition.as_ref();
        let wanted = definition.filter(|definition| definition.hash == task.spec);
        let of_another = || {
            let mut tasks = self.inputs.tasks.values();
            tasks.find_map(|(entry, spec)| spec.clone().filter(|_| entry.record.spec == task.spec))
        };
        let spec = wanted.map(|definition| definition.spec.clone());
        let held = Reservation::of(spec.or_else(of_another).as_deref(), &task.ports, &task.gpus);
        if let Some(reserved) = self.reserved.get_mut(&task.instance) {
            reserved.0.insert(task.id.clone(), held);
        }
        if let Some(definition) = wanted
            && !self.inputs.spec_stored
            && self.started.is_empty()
        {
            let key = keys::spec(&definition.hash);
            self.put(key, definition.spec.as_ref());
        }
    }

    /// Writes the service's record and its events.
    fn keep(&mut self, plan: &Plan) {
        let (cluster, service) = &self.inputs.key;
        let old = self.inputs.record.as_deref();
        let Some(mut record) = plan.record.clone().or_else(|| old.cloned()) else {
            return;
        };
        let mut said = plan.events.clone();
        let mut say = |message: String| {
            said.push(NewEvent {
                level: EventLevel::Info,
                message,
            });
        };
        if !self.started.is_empty() {
            say(events::started(service, &self.started));
        }
        if !self.stopped.is_empty() {
            say(events::stopped(service, &self.stopped));
        }
        let mut newest = self
            .inputs
            .events
            .values()
            .next_back()
            .map(|stored| ServiceEvent::clone(stored));
        let mut written: BTreeMap<u64, ServiceEvent> = BTreeMap::new();
        for event in said {
            let next = match newest.take() {
                Some(mut same) if same.message == event.message => {
                    same.count = same.count.saturating_add(1);
                    same.last_at = self.now;
                    same
                }
                last => {
                    let last = last.map_or(0, |last| last.seq);
                    record.event_counter = record.event_counter.max(last) + 1;
                    ServiceEvent {
                        cluster: cluster.clone(),
                        service: service.clone(),
                        seq: record.event_counter,
                        at: self.now,
                        last_at: self.now,
                        count: 1,
                        level: event.level,
                        message: event.message,
                    }
                }
            };
            written.insert(next.seq, next.clone());
            newest = Some(next);
        }
        for (seq, event) in &written {
            self.put(keys::event(cluster, service, *seq), event);
        }
        let fresh = written
            .keys()
            .filter(|seq| !self.inputs.events.contains_key(seq))
            .count();
        let surplus = (self.inputs.events.len() + fresh).saturating_sub(EVENTS_KEPT);
        for seq in self.inputs.events.keys().take(surplus) {
            self.delete(keys::event(cluster, service, *seq));
        }
        // Whatever is decided, the record is written with it: its revision is what guards against deciding it twice.
        let decided = !self.txn.is_empty();
        if decided || old != Some(&record) {
            self.put(keys::service(cluster, service), &record);
        }
    }

    /// Removes the service's events, and its record once nothing else of it is left.
    fn forget(&mut self) {
        let (cluster, service) = &self.inputs.key;
        let room = crate::store::MAX_OPS.saturating_sub(self.txn.len() + 10);
        for seq in self.inputs.events.keys().take(room) {
            self.delete(keys::event(cluster, service, *seq));
        }
        self.left_out |= self.inputs.events.len() > room;
        if !self.left_out {
            self.delete(keys::service(cluster, service));
        }
    }

    fn book(&mut self) {
        let inputs = self.inputs;
        let reserved = std::mem::take(&mut self.reserved);
        self.edit(|txn| book(txn, &inputs.key.0, &inputs.instances, &reserved));
    }
}
