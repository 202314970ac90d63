//! What is booked and kept of standalone tasks once they were started: tasks that are over hold nothing, and are remembered for
//! a while. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::controller::commit::{self, Tasks};
use crate::controller::inputs::{InstanceInput, instances};
use crate::controller::retention::REMEMBERED;
use crate::model::{ClusterName, InstanceId, Reserved, SpecHash, TaskId, Timestamp};
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
    /// Of what tasks that are over ran and no revision is: the tasks that run it.
    overridden: BTreeMap<SpecHash, BTreeSet<TaskId>>,
}

/// Every cluster that has a standalone task.
pub(in crate::controller) fn clusters(state: &State) -> BTreeSet<ClusterName> {
    let standalone = |entry: &TaskEntry| entry.record.service.is_none();
    let of = state.tasks.iter().filter(|(_, entry)| standalone(entry));
    of.map(|((cluster, _), _)| cluster.clone()).collect()
}

impl Inputs {
    pub fn read(state: &State, cluster: &ClusterName) -> Self {
        let tasks: Tasks = state
            .tasks_of_cluster(cluster)
            .filter(|(_, entry)| entry.record.service.is_none())
            .map(|(id, entry)| {
                let spec = state.specs.get(&entry.record.spec).map(Arc::clone);
                (id.clone(), (entry.clone(), spec))
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
            instances: instances(state, cluster),
            overridden,
        }
    }
}

fn is_over(entry: &TaskEntry) -> bool {
    entry.status.as_ref().is_some_and(|s| s.is_stopped())
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
    /// When to look again though nothing happens.
    pub wake_at: Option<Timestamp>,
}

/// Which tasks are forgotten at `now`.
pub(super) fn plan(inputs: &Inputs, now: Timestamp) -> Upkeep {
    let mut over: Vec<(Timestamp, &TaskId)> = inputs
        .tasks
        .iter()
        .filter(|(_, (entry, _))| is_over(entry))
        .map(|(id, (entry, _))| {
            let stopped = entry.status.as_ref().and_then(|s| s.stopped_at);
            (stopped.unwrap_or(entry.record.created_at), id)
        })
        .collect();
    over.sort();
    over.reverse();
    let mut upkeep = Upkeep {
        forget: Vec::new(),
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
    upkeep
}

/// What of it goes into one commit, and how many tasks that forgets. `None`: there is nothing to record.
pub(super) fn record(inputs: &Inputs, upkeep: &Upkeep, epoch: &Epoch) -> Option<(Txn, usize)> {
    let mut txn = Txn::new(epoch);
    let mut reserved: BTreeMap<InstanceId, Reserved> =
        commit::settled(&inputs.instances, &inputs.tasks);
    let gone: BTreeSet<&TaskId> = upkeep
        .forget
        .iter()
        .take(AT_ONCE)
        .map(|(id, _)| id)
        .collect();
    for id in &gone {
        if let Some((entry, _)) = inputs.tasks.get(*id) {
            txn = commit::forget_task(txn, &inputs.cluster, id, entry);
        }
        for reserved in reserved.values_mut() {
            reserved.0.remove(*id);
        }
    }
    // What only they ran is of no use to anybody any more.
    for (hash, holders) in &inputs.overridden {
        if holders.iter().all(|id| gone.contains(id)) {
            txn = txn.delete(keys::spec(hash));
        }
    }
    // Once a task is forgotten, nobody would miss it in the books.
    let names_gone = |instance: &InstanceId| {
        let booked = &inputs.instances[instance].reserved.0;
        gone.iter().any(|id| booked.contains_key(*id))
    };
    let with = (&inputs.cluster, &inputs.instances, &reserved);
    (txn, _) = commit::book_some(txn, with.0, with.1, with.2, names_gone);
    (!txn.is_empty()).then_some((txn, gone.len()))
}
