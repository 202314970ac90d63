//! What the controller would do for a folder's content, without doing it (P6).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::decision::{Decision, Plan};
use super::inputs::{Inputs, InstanceInput};
use super::registrar;
use crate::model::{
    ClusterSpec, Desired, Instance, InstanceSpec, Reservation, Reserved, Resources, RevisionRef,
    SchedulingStrategy, ServiceSpec, ServiceStatus, TaskId, TaskSpec, Timestamp, fixed_host_ports,
    floor_percent,
};
use crate::store::state::{InstanceKey, ServiceKey};
use crate::store::{Epoch, Limits, Revision, State};

mod foresee;

pub use foresee::{Course, FORESEEN, Step};

/// Decisions of a service that are shown at most: more than any service has, whose count ends at 5000.
const SHOWN: usize = 20_000;

/// What would become of a service.
#[derive(Debug, Clone, PartialEq)]
pub struct ServicePreview {
    /// Which one.
    pub key: ServiceKey,
    /// What is decided now.
    pub plan: Plan,
    /// The same, and what follows if all goes well.
    pub course: Course,
    /// Its manifest is another than the one that was taken last, or it is new, or gone.
    pub manifest_changes: bool,
    /// How many tasks it is to have; `None` for one that goes.
    pub desired: Option<u32>,
    /// What its newest deployment rolls out at present.
    pub running: Option<RevisionRef>,
    /// What it is to roll out.
    pub planned: Option<RevisionRef>,
    /// Why its healthy tasks become fewer than wanted, where they do.
    pub downtime: Option<String>,
    /// The newest of the revisions at which its record, its overrides and its tasks were written; 0 where nothing is known of it.
    pub revision: Revision,
}

impl ServicePreview {
    /// Whether anything would be done.
    pub fn changes(&self) -> bool {
        self.manifest_changes || !self.course.steps.is_empty()
    }
}

/// What would become of every service that `desired` or `state` knows, in order of their keys, as if one was looked after after
/// the other.
///
/// Nothing is written and nothing is asked of an engine: instances that are declared and never registered are taken to
/// have room for everything, and all are taken to answer.
pub fn preview(desired: &Arc<Desired>, state: &State, now: Timestamp) -> Vec<ServicePreview> {
    let nobody = Epoch {
        name: String::new(),
        number: 0,
        limits: Limits::EMBEDDED,
    };
    let (targets, _) = registrar::register(state, desired, &nobody, now);
    let mut booked: BTreeMap<InstanceKey, Reserved> = BTreeMap::new();
    let mut previews = Vec::new();
    for key in targets.services(state) {
        let mut inputs = Inputs::read(state, &targets, &key);
        suppose_instances(&mut inputs, state, now);
        for (id, input) in &mut inputs.instances {
            if let Some(more) = booked.get(&(key.0.clone(), id.clone())) {
                input.others.push(Arc::new(more.clone()));
            }
        }
        let plan = inputs.plan_at_most(SHOWN, now);
        for decision in &plan.decisions {
            book(&mut booked, &inputs, decision);
        }
        previews.push(of_service(inputs, plan, now));
    }
    previews
}

fn of_service(mut inputs: Inputs, plan: Plan, now: Timestamp) -> ServicePreview {
    let record = inputs.record.as_deref();
    let active = record.is_some_and(|record| record.status == ServiceStatus::Active);
    let overrides = inputs.overrides.as_deref();
    let suspended = overrides.is_some_and(|overrides| overrides.suspended.is_some());
    let manifest_changes = match &inputs.desired {
        _ if suspended => false,
        Some(spec) => !active || record.is_none_or(|record| record.spec != *spec),
        None => active && !inputs.unknown,
    };
    let running = record.and_then(|record| record.primary());
    let running = running.map(|primary| primary.revision.clone());
    let tasks = inputs.tasks.values();
    let revision = tasks
        .map(|(entry, _)| entry.record_revision())
        .chain(inputs.record.as_ref().map(|record| record.revision))
        .chain(
            inputs
                .overrides
                .as_ref()
                .map(|overrides| overrides.revision),
        )
        .max()
        .unwrap_or_default();
    let desired = inputs.desired.clone();
    let definition = inputs.definition.clone();
    let course = foresee::course(&mut inputs, plan.clone(), SHOWN, now);
    let then = inputs.record.as_deref().filter(|_| desired.is_some());
    let planned = then.and_then(|record| record.primary());
    let count = desired.as_ref().map(|spec| match spec.scheduling {
        SchedulingStrategy::Replica => spec.desired_count,
        SchedulingStrategy::Daemon => planned.map_or(0, |primary| primary.desired_count),
    });
    let downtime = match (&desired, count) {
        (Some(spec), Some(count)) => {
            let definition = definition
                .as_ref()
                .map(|definition| definition.spec.as_ref());
            downtime(spec, count, definition, &course)
        }
        _ => None,
    };
    ServicePreview {
        planned: planned.map(|primary| primary.revision.clone()),
        key: inputs.key,
        plan,
        course,
        manifest_changes,
        desired: count,
        running,
        downtime,
        revision,
    }
}

/// Why fewer tasks than wanted are healthy at some time, where there are enough at present.
fn downtime(
    spec: &ServiceSpec,
    desired: u32,
    definition: Option<&TaskSpec>,
    course: &Course,
) -> Option<String> {
    let lowest = course.lowest();
    if lowest >= desired.min(course.healthy) {
        return None;
    }
    let (minimum, maximum) = (spec.minimum_healthy_percent, spec.maximum_percent);
    let cap = floor_percent(desired, maximum);
    let ports = definition.map(fixed_host_ports).unwrap_or_default();
    let because = if spec.scheduling == SchedulingStrategy::Daemon {
        "a DAEMON's task stops before the next one starts on its instance".to_owned()
    } else if cap <= desired {
        format!(
            "maximumPercent {maximum} allows {cap} at once, so that old ones stop before new ones start, as \
             minimumHealthyPercent {minimum} allows"
        )
    } else if let Some((protocol, port)) = ports.first() {
        format!(
            "host port {port}/{} is fixed, so that on an instance the old one stops before the new one starts, as \
             minimumHealthyPercent {minimum} allows",
            protocol.as_str()
        )
    } else {
        format!(
            "no instance has room for one more, so that old ones stop before new ones start, as \
             minimumHealthyPercent {minimum} allows"
        )
    };
    Some(match lowest {
        0 => format!("at times none of its {desired} tasks is healthy: {because}"),
        _ => format!("at times only {lowest} of its {desired} tasks are healthy: {because}"),
    })
}

/// The declared instances, all of them answering, and draining where that was asked for.
fn suppose_instances(inputs: &mut Inputs, state: &State, now: Timestamp) {
    let cluster: Arc<ClusterSpec> = Arc::clone(&inputs.cluster);
    for spec in &cluster.instances {
        let known = state.instance(&inputs.key.0, &spec.name);
        let asked = known.and_then(|entry| entry.asked.as_ref());
        let asked = asked.and_then(|asked| asked.over(spec.desired));
        let input = inputs
            .instances
            .entry(spec.name.clone())
            .or_insert_with(|| unregistered(spec, now));
        input.desired = asked.unwrap_or(spec.desired);
        if !input.instance.connected {
            let mut instance = Instance::clone(&input.instance);
            instance.connected = true;
            input.instance = Arc::new(instance);
        }
    }
}

fn unregistered(spec: &InstanceSpec, now: Timestamp) -> InstanceInput {
    InstanceInput {
        instance: Arc::new(Instance {
            id: spec.name.clone(),
            engine_id: String::new(),
            engine_version: String::new(),
            api_version: String::new(),
            agent_version: String::new(),
            registered: Resources {
                cpu: u64::MAX,
                memory: u64::MAX,
            },
            reserved_ports: Default::default(),
            dynamic_ports: Default::default(),
            // As with CPU: nothing is known of it, so nothing is short.
            gpus: match &spec.gpus {
                Some(named) => named.iter().cloned().collect(),
                None => (0..64).map(|gpu: u32| gpu.to_string()).collect(),
            },
            attributes: spec.attributes.clone(),
            registered_at: now,
            connected: true,
            connected_at: now,
            spec: Some(spec.clone()),
            remote: false,
        }),
        desired: spec.desired,
        reserved: Arc::default(),
        booked: Arc::default(),
        reserved_at: None,
        others: Vec::new(),
        groups: None,
        registered_at: None,
    }
}

fn book(booked: &mut BTreeMap<InstanceKey, Reserved>, inputs: &Inputs, decision: &Decision) {
    let Decision::StartTask {
        instance,
        ports,
        gpus,
        ..
    } = decision
    else {
        return;
    };
    let spec = inputs.definition.as_ref().map(|d| d.spec.as_ref());
    let reserved = booked
        .entry((inputs.key.0.clone(), instance.clone()))
        .or_default();
    // No id was given; any that no other has will do.
    let id = TaskId::new(format!("preview-{}", reserved.0.len()));
    reserved.0.insert(id, Reservation::of(spec, ports, gpus));
}
