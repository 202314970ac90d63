//! Taking over what runs when the store was lost, or an older one was restored (P4): the engine's labels tell what the
//! store forgot. Nothing is started, stopped or removed by it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, MutexGuard, PoisonError};

use serde_json::json;

use super::Shared;
use crate::agent::takeover::{Recovered, recover};
use crate::engine::{ObservedContainer, SharedEngine, labels};
use crate::model::{
    ClusterName, InstanceId, InstanceSpec, Reservation, Reserved, TaskDefinitionRecord, TaskSpec,
};
use crate::store::{Epoch, State, Txn, keys};

/// An engine as an instance of a cluster, by the engine's own id.
pub type TakenOver = (ClusterName, InstanceId, String);

/// Looks at this owner's containers on the engine and writes what the store does not know: the first time in a process that
/// the engine is looked at. After that, what the store does not have was deleted. Returns the highest `longshore.seq` among
/// them, which is then accounted for.
pub async fn run(
    shared: &Arc<Shared>,
    engine: &SharedEngine,
    cluster: &ClusterName,
    instance: &InstanceSpec,
) -> Result<u64, String> {
    let here = [
        (labels::CLUSTER.to_owned(), cluster.to_string()),
        (labels::INSTANCE.to_owned(), instance.name.to_string()),
        (labels::TASK.to_owned(), String::new()),
    ];
    let all = engine
        .list_containers(&here)
        .await
        .map_err(|e| e.to_string())?;
    let (ours, others): (Vec<ObservedContainer>, Vec<_>) = all
        .into_iter()
        .partition(|c| c.labels.get(labels::OWNER) == Some(&shared.owner));
    warn_of(&others);
    let recovered = recover(&ours);
    let engine_id = engine.info().await.map_err(|e| e.to_string())?.id;
    let looked_at = (cluster.clone(), instance.name.clone(), engine_id);
    if taken_over(shared).contains(&looked_at) {
        return Ok(recovered.max_seq);
    }
    let lost = recovered.lost_from(&shared.view.read(), shared.found_at);
    if lost.is_empty() {
        taken_over(shared).insert(looked_at);
        return Ok(lost.max_seq);
    }
    tracing::warn!(
        cluster = %cluster,
        "the state does not know {} tasks that run here as ours; taking them over as they are",
        lost.tasks.len()
    );
    let epoch = shared
        .store
        .acquire("takeover")
        .await
        .map_err(|e| e.to_string())?;
    let mut last = 0;
    let txns = writes(&lost, &shared.view.read(), &epoch, cluster, instance);
    for txn in txns {
        last = txn.commit(&shared.store).await.map_err(|e| e.to_string())?;
    }
    shared
        .view
        .caught_up(last)
        .await
        .map_err(|e| e.to_string())?;
    taken_over(shared).insert(looked_at);
    Ok(lost.max_seq)
}

fn taken_over(shared: &Shared) -> MutexGuard<'_, BTreeSet<TakenOver>> {
    shared
        .taken_over
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
}

/// Containers of another owner in a cluster of ours: they are left alone, and that is worth saying.
fn warn_of(others: &[ObservedContainer]) {
    let mut owners: BTreeMap<&str, usize> = BTreeMap::new();
    for container in others {
        let owner = container
            .labels
            .get(labels::OWNER)
            .map_or("", String::as_str);
        *owners.entry(owner).or_default() += 1;
    }
    for (owner, count) in owners {
        tracing::warn!(
            "{count} containers of this cluster belong to owner {owner} and are left alone. They are this folder's if its state \
             directory was lost: write {owner} to the file `owner` there and start again"
        );
    }
}

/// The commits, each of them a valid state: what a task runs before the task, and what it holds with it.
fn writes(
    lost: &Recovered,
    state: &State,
    epoch: &Epoch,
    cluster: &ClusterName,
    instance: &InstanceSpec,
) -> Vec<Txn> {
    let mut txns = Vec::new();
    for (hash, spec) in &lost.specs {
        txns.push(Txn::new(epoch).put_json(keys::spec(hash), spec));
    }
    for (id, hash) in &lost.revisions {
        let Some(spec) = lost
            .specs
            .get(hash)
            .filter(|_| !state.revisions.contains_key(id))
        else {
            continue;
        };
        let record = TaskDefinitionRecord {
            id: id.clone(),
            input: outline(spec),
            spec: hash.clone(),
            labels: BTreeMap::new(),
            registered_at: lost
                .tasks
                .values()
                .filter(|task| task.record.spec == *hash)
                .map(|task| task.record.created_at)
                .min()
                .unwrap_or_default(),
            deregistered_at: None,
        };
        txns.push(Txn::new(epoch).put_json(keys::revision(id), &record));
    }
    let known = state
        .instance(cluster, &instance.name)
        .and_then(|entry| entry.reserved.clone());
    let mut reserved = known.map_or_else(Reserved::default, |stored| (*stored.value).clone());
    let mut puts = Vec::new();
    for (id, task) in &lost.tasks {
        if let Some(spec) = lost.specs.get(&task.record.spec) {
            let held = Reservation::of(Some(spec), &task.record.ports, &task.record.gpus);
            reserved.0.insert(id.clone(), held);
        }
        puts.push((keys::task(cluster, id), &task.record));
    }
    txns.push(
        Txn::new(epoch).put_json(keys::instance_reserved(cluster, &instance.name), &reserved),
    );
    for chunk in puts.chunks(40) {
        let txn = chunk.iter().fold(Txn::new(epoch), |txn, (key, record)| {
            txn.put_json(key.clone(), record)
        });
        txns.push(txn);
    }
    txns
}

/// The definition as it was written is lost with the store; its outline is what the containers tell.
fn outline(spec: &TaskSpec) -> serde_json::Value {
    let containers: Vec<_> = spec
        .containers
        .iter()
        .map(|c| json!({"name": c.name, "image": c.image, "essential": c.essential}))
        .collect();
    json!({"family": spec.family, "containerDefinitions": containers})
}
