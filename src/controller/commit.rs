//! From a plan to one commit: what is recorded, under which guards, and what is left for the next one.
//!
//! A commit holds a plan whole: its decisions, the record and the events that speak of them. What does not fit a store's
//! limits is for the next plan. Only what stands for itself is left out of a commit: books of instances that the plan does
//! not touch, and events of a service that is forgotten.

use std::collections::{BTreeMap, BTreeSet};
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

/// Newest events of a service into which one that repeats them is folded.
const FOLDED_INTO: usize = 10;

/// A commit, and whether there is more to do.
#[derive(Debug)]
pub(super) struct Recording {
    /// Empty where there is nothing to record.
    pub txn: Txn,
    /// The plan that it records.
    pub plan: Plan,
    /// Not everything that can be done now was planned, or fits: plan again at once.
    pub more: bool,
}

/// The commit of `plan`, or where that is more than a store takes at once, of another plan of as many decisions as fit. One
/// whose very first decision does not fit is returned as it is, for the store's refusal names it.
pub(super) fn record(
    inputs: &Inputs,
    mut plan: Plan,
    epoch: &Epoch,
    ids: &dyn IdGen,
    now: Timestamp,
) -> Recording {
    loop {
        let count = plan.decisions.len();
        let write = |most: usize| Draft::new(inputs, epoch, now).write(&plan, most, ids);
        let draft = write(count);
        if draft.txn.fits() || count <= 1 {
            return Recording {
                txn: draft.txn,
                more: plan.more || draft.left_out,
                plan,
            };
        }
        let (mut fits, mut too_many) = (1, count);
        while too_many - fits > 1 {
            let most = fits.midpoint(too_many);
            match write(most).txn.fits() {
                true => fits = most,
                false => too_many = most,
            }
        }
        plan = inputs.plan_at_most(fits, now);
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
    txn: Txn,
    cluster: &ClusterName,
    instances: &BTreeMap<InstanceId, InstanceInput>,
    reserved: &BTreeMap<InstanceId, Reserved>,
) -> Txn {
    book_some(txn, cluster, instances, reserved, |_| true).0
}

/// Adds the changed books that `must` be written with the rest, and of the others as many as fit; returns whether all do.
pub(super) fn book_some(
    mut txn: Txn,
    cluster: &ClusterName,
    instances: &BTreeMap<InstanceId, InstanceInput>,
    reserved: &BTreeMap<InstanceId, Reserved>,
    must: impl Fn(&InstanceId) -> bool,
) -> (Txn, bool) {
    let changed = reserved
        .iter()
        .filter(|(id, reserved)| *instances[*id].reserved != **reserved);
    let (with, others): (Vec<_>, Vec<_>) = changed.partition(|(id, _)| must(id));
    let mut all = true;
    for (optional, (id, reserved)) in with
        .into_iter()
        .map(|book| (false, book))
        .chain(others.into_iter().map(|book| (true, book)))
    {
        let key = keys::instance_reserved(cluster, id);
        let bytes = reserved.stored_bytes() + 4 * key.len();
        if optional && !txn.has_room(2, bytes) {
            all = false;
            continue;
        }
        txn = txn
            .expect(&key, instances[id].reserved_at)
            .put_json(&key, reserved);
    }
    (txn, all)
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
    /// Instances whose books change with the decisions.
    touched: BTreeSet<InstanceId>,
    started: Vec<TaskId>,
    stopped: Vec<TaskId>,
    /// Stopped before they ran.
    called_off: Vec<TaskId>,
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
            touched: BTreeSet::new(),
            started: Vec::new(),
            stopped: Vec::new(),
            called_off: Vec::new(),
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

    /// The first `most` decisions of the plan, and everything else of it.
    fn write(mut self, plan: &Plan, most: usize, ids: &dyn IdGen) -> Self {
        for decision in plan.decisions.iter().take(most) {
            self.decide(decision, ids);
        }
        if plan.forget {
            self.book();
            self.forget();
        } else {
            self.keep(plan);
            self.book();
        }
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
                let ran = entry
                    .status
                    .as_ref()
                    .is_some_and(|s| s.started_at.is_some());
                match (decision.stops_for_the_service(), ran) {
                    (true, true) => self.stopped.push(id.clone()),
                    (true, false) => self.called_off.push(id.clone()),
                    (false, _) => {}
                }
                self.put(keys::task(cluster, id), &record);
            }
            Decision::DeleteTask { id, .. } => {
                let Some((entry, _)) = self.inputs.tasks.get(id) else {
                    return;
                };
                self.edit(|txn| forget_task(txn, cluster, id, entry));
                for (instance, reserved) in &mut self.reserved {
                    reserved.0.remove(id);
                    // Once the task is forgotten, nobody would miss it there.
                    if self.inputs.instances[instance].reserved.0.contains_key(id) {
                        self.touched.insert(instance.clone());
                    }
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
            self.touched.insert(task.instance.clone());
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
        if !self.called_off.is_empty() {
            say(events::called_off(service, &self.called_off));
        }
        let stored = &self.inputs.events;
        let skipped = stored.len().saturating_sub(FOLDED_INTO);
        let recent = stored.values().skip(skipped);
        let mut recent: Vec<ServiceEvent> =
            recent.map(|event| ServiceEvent::clone(event)).collect();
        let mut written: BTreeMap<u64, ServiceEvent> = BTreeMap::new();
        let mut moved: BTreeSet<u64> = BTreeSet::new();
        for event in said {
            let newest = recent.last().map_or(0, |newest| newest.seq);
            let mut next_seq = || {
                record.event_counter = record.event_counter.max(newest) + 1;
                record.event_counter
            };
            let same = |known: &ServiceEvent| {
                known.message == event.message && known.seq == newest
                    || events::repeats(known, &event)
            };
            let next = match recent.iter().rposition(same) {
                // It moves to where it was said last.
                Some(at) => {
                    let known = recent.remove(at);
                    written.remove(&known.seq);
                    let seq = if known.seq == newest {
                        newest
                    } else {
                        moved.insert(known.seq);
                        next_seq()
                    };
                    ServiceEvent {
                        seq,
                        count: known.count.saturating_add(1),
                        last_at: self.now,
                        message: event.message,
                        ..known
                    }
                }
                None => ServiceEvent {
                    cluster: cluster.clone(),
                    service: service.clone(),
                    seq: next_seq(),
                    at: self.now,
                    last_at: self.now,
                    count: 1,
                    level: event.level,
                    message: event.message,
                },
            };
            written.insert(next.seq, next.clone());
            recent.push(next);
        }
        for (seq, event) in &written {
            self.put(keys::event(cluster, service, *seq), event);
        }
        let is_stored = |seq: &&u64| stored.contains_key(*seq);
        let fresh = written.keys().filter(|seq| !is_stored(seq)).count();
        let gone: Vec<u64> = moved.iter().filter(is_stored).copied().collect();
        let kept = stored.len() + fresh - gone.len();
        let oldest = stored.keys().filter(|seq| !moved.contains(*seq));
        let surplus = oldest.take(kept.saturating_sub(EVENTS_KEPT)).copied();
        for seq in surplus.chain(gone) {
            self.delete(keys::event(cluster, service, seq));
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
        let touched = std::mem::take(&mut self.touched);
        let mut all = true;
        self.edit(|txn| {
            let must = |id: &InstanceId| touched.contains(id);
            let (txn, fits) = book_some(txn, &inputs.key.0, &inputs.instances, &reserved, must);
            all = fits;
            txn
        });
        self.left_out |= !all;
    }
}
