//! Deciding a request: which tasks are to run where. Pure; the ids come in.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::request::{NotPlaced, RunError, RunOutcome, RunRequest};
use crate::clock::IdGen;
use crate::controller::commit::Booking;
use crate::controller::inputs::{
    InstanceInput, Resolved, Targets, asks_about_tasks, instances, view,
};
use crate::controller::observe::TaskView;
use crate::controller::placement::{Books, InstanceView, NoFit, Placed, Refusal, Request};
use crate::model::{
    ClusterSpec, DesiredStatus, InstanceId, Reservation, Standalone, TaskId, TaskRecord, TaskSpec,
    Timestamp,
};
use crate::store::{Epoch, State, TaskEntry, Txn, keys};

/// What becomes of a request.
#[derive(Debug)]
pub(super) enum Decided {
    /// It was made before: these are its tasks.
    Known(RunOutcome),
    /// It is to be recorded; the outcome's revision is still to come.
    New(Txn, RunOutcome),
}

/// Decides `request` on what is known. The commit books what it places, under a guard on the books that it looked at.
pub(super) fn decide(
    state: &State,
    targets: &Targets,
    request: &RunRequest,
    (epoch, ids, now): (&Epoch, &dyn IdGen, Timestamp),
) -> Result<Decided, RunError> {
    if let Some(known) = known(state, request)? {
        return Ok(Decided::Known(known));
    }
    let definition = definition(state, targets, request)?;
    let overridden = Arc::new(request.overrides.apply(&definition.spec)?);
    let hash = overridden.hash();
    let about_tasks = asks_about_tasks(&request.constraints, Some(&overridden));
    let instances = instances(state, &request.cluster, about_tasks);
    if instances.is_empty() {
        return Err(RunError::NoInstances);
    }
    let views: Vec<InstanceView<'_>> = instances.values().map(InstanceInput::view).collect();
    let group = request.group();
    let of_group: Vec<TaskView<'_>> = state
        .tasks_of_cluster(&request.cluster)
        .filter(|(_, entry)| entry.record.service.is_none() && entry.record.group == group)
        .map(|(_, entry)| view(entry, state.specs.get(&entry.record.spec).map(Arc::as_ref)))
        .collect();
    let cluster = targets.cluster(state, &request.cluster);
    let (placed, refused) = place(request, &cluster, &overridden, &views, &of_group);

    let mut standalone = Standalone {
        started_by: request.started_by.clone(),
        tags: request.tags.clone(),
        overrides: request.overrides.clone(),
        request: request.run_token(),
    };
    if request.propagate_tags {
        for (key, value) in &definition.spec.tags {
            standalone
                .tags
                .entry(key.clone())
                .or_insert_with(|| value.clone());
        }
    }
    let mut txn = Txn::new(epoch);
    if !placed.is_empty() && !state.specs.contains_key(&hash) {
        txn = txn.put_json(keys::spec(&hash), overridden.as_ref());
    }
    let mut booking = Booking::new(&instances);
    let mut tasks = Vec::new();
    for Placed {
        instance,
        provider,
        ports,
        gpus,
    } in placed
    {
        let record = TaskRecord {
            id: ids.task_id(),
            cluster: request.cluster.clone(),
            instance,
            group: group.clone(),
            service: None,
            deployment: None,
            standalone: Some(standalone.clone()),
            family: definition.revision.family.clone(),
            revision: definition.revision.revision,
            spec: hash.clone(),
            desired: DesiredStatus::Running,
            stop: None,
            created_at: now,
            dns_names: Vec::new(),
            capacity_provider: provider,
            ports,
            gpus,
            // Each resolves its tags for itself, as on ECS: only services settle them.
            generation: 0,
            images: BTreeMap::new(),
        };
        let held = Reservation::of(Some(&overridden), &record.ports, &record.gpus);
        booking.hold(&record.instance, &record.id, held);
        txn = txn.put_json(keys::task(&record.cluster, &record.id), &record);
        tasks.push(record.id);
    }
    txn = booking.write(txn, &request.cluster);
    tasks.sort();
    let outcome = RunOutcome {
        missing: request.count - u32::try_from(tasks.len()).unwrap_or(request.count),
        tasks,
        refusals: refused.as_ref().map(refusals).unwrap_or_default(),
        revision: state.revision,
    };
    Ok(Decided::New(txn, outcome))
}

/// The tasks that a request with the same token started, as far as they are remembered.
fn known(state: &State, request: &RunRequest) -> Result<Option<RunOutcome>, RunError> {
    let Some(token) = request.run_token() else {
        return Ok(None);
    };
    let of_token = |entry: &TaskEntry| {
        let asked = entry.record.standalone.as_ref()?.request.as_ref()?;
        (asked.token == token.token).then(|| asked.content == token.content)
    };
    let (mut tasks, mut same) = (Vec::new(), true);
    for (id, entry) in state.tasks_of_cluster(&request.cluster) {
        if let Some(equal) = of_token(entry) {
            same &= equal;
            tasks.push(TaskId::clone(id));
        }
    }
    match (tasks.is_empty(), same) {
        (true, _) => Ok(None),
        (false, false) => Err(RunError::TokenReused(tasks)),
        (false, true) => Ok(Some(RunOutcome {
            tasks,
            missing: 0,
            refusals: Vec::new(),
            revision: state.revision,
        })),
    }
}

/// What is to be run, where it may be.
fn definition(
    state: &State,
    targets: &Targets,
    request: &RunRequest,
) -> Result<Resolved, RunError> {
    let name = match request.revision {
        Some(number) => format!("{}:{number}", request.family),
        None => request.family.to_string(),
    };
    let Some(found) = targets.revision(state, &request.family, request.revision) else {
        let families = targets.families.keys().cloned().collect();
        return Err(RunError::Unknown(name, families));
    };
    if targets.families.contains_key(&request.family) {
        Ok(found)
    } else {
        // Its services go on; nothing new is started of it (semantics §4.36).
        Err(RunError::Inactive(found.revision.to_string()))
    }
}

/// As many places as there are for the request's tasks, and why there is no more of them.
fn place<'a>(
    request: &RunRequest,
    cluster: &ClusterSpec,
    spec: &TaskSpec,
    instances: &'a [InstanceView<'a>],
    of_group: &[TaskView<'a>],
) -> (Vec<Placed>, Option<NoFit>) {
    let is_over =
        |task: &TaskView<'_>| task.lost.is_some() || task.status.is_some_and(|s| s.is_stopped());
    let tasks: Vec<(TaskView<'a>, bool, bool)> = of_group
        .iter()
        .map(|task| {
            let over = is_over(task);
            (*task, over, !over)
        })
        .collect();
    let seed = format!("{}/{}", request.cluster, request.group());
    let mut books = Books::new(&seed, instances, &tasks);
    let wanted = Request {
        spec,
        group: request.group().into(),
        constraints: &request.constraints,
        strategy: &request.strategy,
        providers: cluster.strategy(&request.providers, request.names_launch_type),
        wanted: request.count,
        cluster,
        only: None,
    };
    let mut placed = Vec::new();
    for _ in 0..request.count {
        match books.place(&wanted) {
            Ok(place) => placed.push(place),
            Err(refused) => return (placed, Some(refused)),
        }
    }
    (placed, None)
}

fn refusals(refused: &NoFit) -> Vec<NotPlaced> {
    let of_instance = |(instance, refusal): (&InstanceId, &Refusal)| NotPlaced {
        detail: format!("Container instance {instance} {refusal}"),
        reason: refusal.ecs_reason(),
        instance: instance.clone(),
    };
    refused.iter().map(of_instance).collect()
}
