//! What the controller would do for a folder's content, without doing it (P6).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::decision::{Decision, Plan};
use super::inputs::{Inputs, InstanceInput};
use super::registrar;
use crate::model::{
    ClusterSpec, Desired, Instance, InstanceSpec, Reservation, Reserved, Resources, TaskId,
    Timestamp,
};
use crate::store::state::{InstanceKey, ServiceKey};
use crate::store::{Epoch, State};

/// Decisions of a service that are shown at most: more than any service has, whose count ends at 5000.
const SHOWN: usize = 20_000;

/// The plan of every service that `desired` or `state` knows, in order of their keys, as if recorded one after the other.
///
/// Nothing is written and nothing is asked of an engine: instances that are declared and never registered are taken to
/// have room for everything, and all are taken to answer.
pub fn preview(desired: &Arc<Desired>, state: &State, now: Timestamp) -> Vec<(ServiceKey, Plan)> {
    let nobody = Epoch {
        name: String::new(),
        number: 0,
    };
    let (targets, _) = registrar::register(state, desired, &nobody, now);
    let mut booked: BTreeMap<InstanceKey, Reserved> = BTreeMap::new();
    let mut plans = Vec::new();
    for key in targets.services(state) {
        let mut inputs = Inputs::read(state, &targets, &key);
        suppose_instances(&mut inputs, now);
        for (id, input) in &mut inputs.instances {
            if let Some(more) = booked.get(&(key.0.clone(), id.clone())) {
                input.others.push(Arc::new(more.clone()));
            }
        }
        let plan = inputs.plan_at_most(SHOWN, now);
        for decision in &plan.decisions {
            book(&mut booked, &inputs, decision);
        }
        plans.push((key, plan));
    }
    plans
}

/// The declared instances, all of them answering.
fn suppose_instances(inputs: &mut Inputs, now: Timestamp) {
    let cluster: Arc<ClusterSpec> = Arc::clone(&inputs.cluster);
    for spec in &cluster.instances {
        let input = inputs
            .instances
            .entry(spec.name.clone())
            .or_insert_with(|| unregistered(spec, now));
        input.desired = spec.desired;
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
        }),
        desired: spec.desired,
        reserved: Arc::default(),
        reserved_at: None,
        others: Vec::new(),
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
