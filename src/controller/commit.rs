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
    StopOrder, TaskId, TaskLost, TaskRecord, TaskSpec, Timestamp,
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
/// whose very first decision does not fit is returned as it is, for the store's refusal names it. `settled` are the books of `inputs`.
pub(super) fn record(
    inputs: &Inputs,
    settled: &Booking<'_>,
    mut plan: Plan,
    epoch: &Epoch,
    ids: &dyn IdGen,
    now: Timestamp,
) -> Recording {
    loop {
        let count = plan.decisions.len();
        let draft = Draft::new(inputs, settled.clone(), epoch, now).write(&plan, ids);
        if draft.txn.fits() || count <= 1 {
            return Recording {
                txn: draft.txn,
                more: plan.more || draft.left_out,
                plan,
            };
        }
        // Decisions are about alike: writing all of them to find the last that fits would cost more than the one or two that
        // this may leave for the next commit.
        let fitting = draft.txn.share_that_fits(count).clamp(1, count - 1);
        plan = inputs.plan_at_most(fitting, now);
    }
}

/// Whether a commit would touch what is booked on an instance, as [`settled`] has it.
pub(super) fn books(plan: &Plan, settled: &Booking<'_>) -> bool {
    plan.decisions.iter().any(|decision| {
        matches!(
            decision,
            Decision::StartTask { .. } | Decision::GiveUpTask { .. }
        )
    }) || settled.is_changed()
}

/// Tasks with what they run, as far as the store still tells.
pub(super) type Tasks = BTreeMap<TaskId, (Arc<TaskEntry>, Option<Arc<TaskSpec>>)>;

/// What instances' books are to say. Only those that come to say something else are copied: a cluster may have a thousand.
#[derive(Clone)]
pub(super) struct Booking<'a> {
    instances: &'a BTreeMap<InstanceId, InstanceInput>,
    edited: BTreeMap<InstanceId, Reserved>,
}

impl<'a> Booking<'a> {
    /// As they are.
    pub fn new(instances: &'a BTreeMap<InstanceId, InstanceInput>) -> Self {
        Self {
            instances,
            edited: BTreeMap::new(),
        }
    }

    fn of(&self, instance: &InstanceId) -> Option<&Reserved> {
        let stored = || Some(self.instances.get(instance)?.reserved.as_ref());
        self.edited.get(instance).or_else(stored)
    }

    /// Whether a task holds something there as stored.
    pub fn is_stored(&self, instance: &InstanceId, task: &TaskId) -> bool {
        let input = self.instances.get(instance);
        input.is_some_and(|input| input.reserved.0.contains_key(task))
    }

    fn edit(&mut self, instance: &InstanceId) -> Option<&mut Reserved> {
        if !self.edited.contains_key(instance) {
            let stored = self.instances.get(instance)?;
            let copy = Reserved::clone(&stored.reserved);
            self.edited.insert(instance.clone(), copy);
        }
        self.edited.get_mut(instance)
    }

    /// That task holds this there from now on. Nothing is booked on an instance that is not known.
    pub fn hold(&mut self, instance: &InstanceId, task: &TaskId, held: Reservation) {
        if let Some(reserved) = self.edit(instance) {
            reserved.0.insert(task.clone(), held);
        }
    }

    /// That task holds nothing there any more.
    pub fn release(&mut self, instance: &InstanceId, task: &TaskId) {
        let holds = |reserved: &Reserved| reserved.0.contains_key(task);
        if self.of(instance).is_some_and(holds)
            && let Some(reserved) = self.edit(instance)
        {
            reserved.0.remove(task);
        }
    }

    /// Those that say something else than what is stored.
    fn changed(&self) -> impl Iterator<Item = (&InstanceId, &Reserved)> {
        let all = self.edited.iter();
        all.filter(|(id, reserved)| *self.instances[*id].reserved != **reserved)
    }

    /// Those that say something else than what is stored, for whoever only supposes.
    pub fn into_changed(self) -> BTreeMap<InstanceId, Reserved> {
        let instances = self.instances;
        let all = self.edited.into_iter();
        all.filter(|(id, reserved)| *instances[id].reserved != *reserved)
            .collect()
    }

    fn is_changed(&self) -> bool {
        self.changed().next().is_some()
    }

    /// Adds what has changed, each only if nobody else has changed it in the meantime.
    pub fn write(&self, txn: Txn, cluster: &ClusterName) -> Txn {
        self.write_some(txn, cluster, |_| true).0
    }

    /// Adds the changed books that `must` be written with the rest, and of the others as many as fit; returns whether all do.
    pub fn write_some(
        &self,
        mut txn: Txn,
        cluster: &ClusterName,
        must: impl Fn(&InstanceId) -> bool,
    ) -> (Txn, bool) {
        let (with, others): (Vec<_>, Vec<_>) = self.changed().partition(|(id, _)| must(id));
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
                .expect(&key, self.instances[id].reserved_at)
                .put_json(&key, reserved);
        }
        (txn, all)
    }
}

/// What the books should say about these tasks: those that are over hold nothing, all others hold what they were given, also
/// those that were taken over from a lost store.
pub(super) fn settled<'a>(
    instances: &'a BTreeMap<InstanceId, InstanceInput>,
    tasks: &Tasks,
) -> Booking<'a> {
    let mut booking = Booking::new(instances);
    for (id, (entry, spec)) in tasks {
        let instance = &entry.record.instance;
        let Some(books) = instances.get(instance) else {
            continue;
        };
        let held = books.reserved.0.contains_key(id);
        let over = entry.status.as_ref().is_some_and(|s| s.is_stopped());
        if over || entry.lost.is_some() {
            if held {
                booking.release(instance, id);
            }
        } else if !held {
            let held = Reservation::of(spec.as_deref(), &entry.record.ports, &entry.record.gpus);
            booking.hold(instance, id, held);
        }
    }
    booking
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
    booking: Booking<'a>,
    /// Instances whose books change with the decisions.
    touched: BTreeSet<InstanceId>,
    /// Instances that must still be away.
    vanished: BTreeSet<InstanceId>,
    started: Vec<TaskId>,
    stopped: Vec<TaskId>,
    /// Stopped before they ran.
    called_off: Vec<TaskId>,
    left_out: bool,
}

impl<'a> Draft<'a> {
    fn new(inputs: &'a Inputs, booking: Booking<'a>, epoch: &'a Epoch, now: Timestamp) -> Self {
        let (cluster, service) = &inputs.key;
        let seen = inputs.record.as_ref().map(|record| record.revision);
        // Whoever is told that a service is suspended sees nothing more of it being started.
        let asked = inputs.overrides.as_ref().map(|stored| stored.revision);
        Self {
            inputs,
            epoch,
            txn: Txn::new(epoch)
                .expect(keys::service(cluster, service), seen)
                .expect(keys::service_overrides(cluster, service), asked),
            now,
            booking,
            touched: BTreeSet::new(),
            vanished: BTreeSet::new(),
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

    /// The plan, whole.
    fn write(mut self, plan: &Plan, ids: &dyn IdGen) -> Self {
        for decision in &plan.decisions {
            self.decide(decision, ids);
        }
        if let Some(overrides) = &plan.overrides {
            let key = keys::service_overrides(&self.inputs.key.0, &self.inputs.key.1);
            match overrides.is_empty() {
                true => self.delete(key),
                false => self.put(key, overrides),
            }
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
            Decision::StartTask { .. } => {
                let key = (cluster, self.inputs.service());
                let Some(record) = decision.ordered(ids.task_id(), key, self.now) else {
                    return;
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
            Decision::GiveUpTask {
                id,
                instance,
                reason,
                ..
            } => {
                let lost = TaskLost {
                    at: self.now,
                    reason: reason.clone(),
                };
                // Only as long as the instance is as it was seen: one that has just returned keeps its tasks.
                if self.vanished.insert(instance.clone()) {
                    let key = keys::instance(cluster, instance);
                    let seen = self.inputs.instances.get(instance);
                    let seen = seen.and_then(|input| input.registered_at);
                    self.edit(|txn| txn.expect(key, seen));
                }
                self.booking.release(instance, id);
                self.put(keys::task_lost(cluster, id), &lost);
            }
            Decision::DeleteTask { id, .. } => {
                let Some((entry, _)) = self.inputs.tasks.get(id) else {
                    return;
                };
                self.edit(|txn| forget_task(txn, cluster, id, entry));
                let instance = &entry.record.instance;
                self.booking.release(instance, id);
                // Once the task is forgotten, nobody would miss it there.
                if self.booking.is_stored(instance, id) {
                    self.touched.insert(instance.clone());
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
            tasks
                .find_map(|(entry, spec)| spec.clone().filter(|_| entry.record.spec == task.spec))
                .or_else(|| self.inputs.specs.get(&task.spec).cloned())
        };
        let spec = wanted.map(|definition| definition.spec.clone());
        let held = Reservation::of(spec.or_else(of_another).as_deref(), &task.ports, &task.gpus);
        self.booking.hold(&task.instance, &task.id, held);
        self.touched.insert(task.instance.clone());
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
                name: None,
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
                        name: event.name,
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
                    name: event.name,
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
        let room = self.txn.limits().ops.saturating_sub(self.txn.len() + 10);
        for seq in self.inputs.events.keys().take(room) {
            self.delete(keys::event(cluster, service, *seq));
        }
        self.left_out |= self.inputs.events.len() > room;
        if !self.left_out {
            if self.inputs.overrides.is_some() {
                self.delete(keys::service_overrides(cluster, service));
            }
            self.delete(keys::service(cluster, service));
        }
    }

    fn book(&mut self) {
        let inputs = self.inputs;
        let booking = std::mem::replace(&mut self.booking, Booking::new(&inputs.instances));
        let touched = std::mem::take(&mut self.touched);
        let mut all = true;
        self.edit(|txn| {
            let must = |id: &InstanceId| touched.contains(id);
            let (txn, fits) = booking.write_some(txn, &inputs.key.0, must);
            all = fits;
            txn
        });
        self.left_out |= !all;
    }
}
