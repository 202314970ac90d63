//! What is booked and kept of standalone tasks once they were started: tasks that are over hold nothing, and are remembered for
//! a while; those on an instance that vanished are given up. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::controller::commit::{self, Tasks};
use crate::controller::inputs::{InstanceInput, instances};
use crate::controller::instances::Away;
use crate::controller::placement::InstanceView;
use crate::controller::retention::REMEMBERED;
use crate::model::{ClusterName, ClusterSpec, InstanceId, SpecHash, TaskId, TaskLost, Timestamp};
use crate::store::{Epoch, State, TaskEntry, Txn, keys};

/// Most standalone tasks of a cluster that are over and remembered: of more, the oldest go before their hour is over.
pub const MOST_KEPT: usize = 100;
/// Tasks that one commit forgets at most.
const AT_ONCE: usize = 20;

/// The standalone tasks of a cluster, and what they need of the rest.
#[derive(Debug)]
pub(super) struct Inputs {
    cluster: ClusterName,
    tasks: Tasks,
    instances: BTreeMap<InstanceId, InstanceInput>,
    /// The cluster as declared.
    spec: Arc<ClusterSpec>,
    /// Since when the instances are watched.
    watching_since: Timestamp,
    /// Of what tasks that are over ran and no revision is: the tasks that run it.
    overridden: BTreeMap<SpecHash, BTreeSet<TaskId>>,
}

impl Inputs {
    pub fn read(state: &State, cluster: &ClusterName, watching_since: Timestamp) -> Self {
        let tasks: Tasks = state
            .standalone_tasks(cluster)
            .map(|(id, entry)| {
                let spec = state.specs.get(&entry.record.spec).map(Arc::clone);
                (id.clone(), (Arc::new(entry.clone()), spec))
            })
            .collect();
        let mut overridden: BTreeMap<SpecHash, BTreeSet<TaskId>> = tasks
            .values()
            .filter(|(entry, _)| is_over(entry) && is_overridden(entry))
            .map(|(entry, _)| (entry.record.spec.clone(), BTreeSet::new()))
            .collect();
        if !overridden.is_empty() {
            for revision in state.revisions.values() {
                overridden.remove(&revision.spec);
            }
            for ((_, id), entry) in &state.tasks {
                if let Some(holders) = overridden.get_mut(&entry.record.spec) {
                    holders.insert(id.clone());
                }
            }
        }
        Self {
            cluster: cluster.clone(),
            tasks,
            instances: instances(state, cluster, false),
            spec: state.clusters.get(cluster).map_or_else(
                || Arc::new(ClusterSpec::named(cluster.clone())),
                |stored| Arc::clone(&stored.value),
            ),
            watching_since,
            overridden,
        }
    }
}

fn is_over(entry: &TaskEntry) -> bool {
    entry.status.as_ref().is_some_and(|s| s.is_stopped())
}

impl Inputs {
    /// Whether nothing of the task will be heard any more: it is over, or was given up with an instance that left the manifest.
    fn is_history(&self, entry: &TaskEntry) -> bool {
        let declared = |id: &InstanceId| self.spec.instances.iter().any(|i| i.name == *id);
        is_over(entry) || (entry.lost.is_some() && !declared(&entry.record.instance))
    }
}

fn is_overridden(entry: &TaskEntry) -> bool {
    let asked = entry.record.standalone.as_ref();
    asked.is_some_and(|asked| !asked.overrides.is_empty())
}

/// What is to be done about them now.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Upkeep {
    /// Tasks to forget, the oldest last, each with why.
    pub forget: Vec<(TaskId, String)>,
    /// Tasks to give up with their instance.
    pub give_up: Vec<TaskId>,
    /// When to look again though nothing happens.
    pub wake_at: Option<Timestamp>,
}

/// Which tasks are forgotten at `now`.
pub(super) fn plan(inputs: &Inputs, now: Timestamp) -> Upkeep {
    let mut over: Vec<(Timestamp, &TaskId)> = inputs
        .tasks
        .iter()
        .filter(|(_, (entry, _))| inputs.is_history(entry))
        .map(|(id, (entry, _))| {
            let stopped = entry.status.as_ref().and_then(|s| s.stopped_at);
            let stopped = stopped.or(entry.lost.as_ref().map(|lost| lost.at));
            (stopped.unwrap_or(entry.record.created_at), id)
        })
        .collect();
    over.sort();
    over.reverse();
    let mut upkeep = Upkeep {
        forget: Vec::new(),
        give_up: Vec::new(),
        wake_at: None,
    };
    for (rank, (ended, id)) in over.into_iter().enumerate() {
        let until = ended.plus(REMEMBERED);
        if rank >= MOST_KEPT {
            let cause = format!("{MOST_KEPT} newer standalone tasks are over");
            upkeep.forget.push((id.clone(), cause));
        } else if until <= now {
            let cause = "it was over an hour ago".to_owned();
            upkeep.forget.push((id.clone(), cause));
        } else {
            // The newest come first, so the last one left is the next to go.
            upkeep.wake_at = Some(until);
        }
    }
    give_up(inputs, &mut upkeep, now);
    upkeep
}

/// Finds the tasks on instances that vanished.
fn give_up(inputs: &Inputs, upkeep: &mut Upkeep, now: Timestamp) {
    let views: Vec<InstanceView<'_>> = inputs.instances.values().map(InstanceInput::view).collect();
    let lost_after = inputs.spec.instance_lost_after;
    let away = Away::of(&views, lost_after, inputs.watching_since, now);
    for (id, (entry, _)) in &inputs.tasks {
        if is_over(entry) || entry.lost.is_some() {
            continue;
        }
        if away.vanished.contains(&entry.record.instance) {
            upkeep.give_up.push(id.clone());
        } else if let Some(until) = away.expected.get(&entry.record.instance) {
            upkeep.wake_at = Some(upkeep.wake_at.map_or(*until, |at| at.min(*until)));
        }
    }
}

/// What of it goes into one commit, and how many tasks that forgets. `None`: there is nothing to record.
pub(super) fn record(
    inputs: &Inputs,
    upkeep: &Upkeep,
    epoch: &Epoch,
    now: Timestamp,
) -> Option<(Txn, usize)> {
    let mut txn = Txn::new(epoch);
    let mut booking = commit::settled(&inputs.instances, &inputs.tasks);
    // Once a task is forgotten, nobody would miss it in the books.
    let mut names_gone: BTreeSet<InstanceId> = BTreeSet::new();
    let gone: BTreeSet<&TaskId> = upkeep
        .forget
        .iter()
        .take(AT_ONCE)
        .map(|(id, _)| id)
        .collect();
    for id in &gone {
        if let Some((entry, _)) = inputs.tasks.get(*id) {
            txn = commit::forget_task(txn, &inputs.cluster, id, entry);
            let instance = &entry.record.instance;
            booking.release(instance, id);
            if booking.is_stored(instance, id) {
                names_gone.insert(instance.clone());
            }
        }
    }
    let given_up: Vec<&TaskId> = upkeep.give_up.iter().take(AT_ONCE).collect();
    let mut still_away = BTreeSet::new();
    for id in &given_up {
        let Some((entry, _)) = inputs.tasks.get(*id) else {
            continue;
        };
        let instance = &entry.record.instance;
        // One that has just returned keeps its tasks.
        if still_away.insert(instance) {
            let seen = inputs.instances.get(instance).and_then(|i| i.registered_at);
            txn = txn.expect(keys::instance(&inputs.cluster, instance), seen);
        }
        let lost = TaskLost {
            at: now,
            reason: crate::controller::instances::reason(instance, inputs.spec.instance_lost_after),
        };
        txn = txn.put_json(keys::task_lost(&inputs.cluster, id), &lost);
        booking.release(instance, id);
    }
    // What only they ran is of no use to anybody any more.
    for (hash, holders) in &inputs.overridden {
        if holders.iter().all(|id| gone.contains(id)) {
            txn = txn.delete(keys::spec(hash));
        }
    }
    (txn, _) = booking.write_some(txn, &inputs.cluster, |id| names_gone.contains(id));
    (!txn.is_empty()).then_some((txn, gone.len()))
}
