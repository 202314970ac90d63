//! Where tasks go and which go first, by whole plans.

mod constraints;
mod daemon;
mod properties;
mod providers;
mod rebalance;
mod resources;
mod scale_in;
mod strategies;

use std::collections::BTreeMap;

use crate::controller::Decision;
use crate::controller::testing::{World, app, task_spec};
use crate::model::{
    BinpackField, InstanceId, PlacementConstraint, PlacementStrategy, Query, SpreadField, TaskSpec,
};

const ZONE: &str = SpreadField::ZONE;

/// A service of `count` tasks on instances that are each named with their zone, as `a1`.
fn zones(count: u32, instances: &[&str]) -> World {
    let mut world = World::of(count, sized(10, 10));
    world.instances.clear();
    for name in instances {
        world.add_instance(name);
        attribute(&mut world, name, ZONE, &name[..1]);
    }
    world
}

fn sized(cpu: u32, memory: u32) -> TaskSpec {
    let mut spec = task_spec("a");
    app(&mut spec).cpu = Some(cpu);
    app(&mut spec).memory = Some(memory);
    spec
}

fn attribute(world: &mut World, instance: &str, name: &str, value: &str) {
    let instance = world.instances.get_mut(instance).expect("an instance");
    let attributes = &mut instance.0.attributes;
    attributes.insert(name.to_owned(), value.to_owned());
}

fn spread(attribute: &str) -> PlacementStrategy {
    PlacementStrategy::Spread(SpreadField::Attribute(attribute.to_owned()))
}

const BY_INSTANCE: PlacementStrategy = PlacementStrategy::Spread(SpreadField::InstanceId);

fn strategy(world: &mut World, strategy: &[PlacementStrategy]) {
    world.manifest().placement_strategy = strategy.to_vec();
}

fn member_of(world: &mut World, expression: &str) {
    let constraint = PlacementConstraint::MemberOf(Query::new(expression));
    world.manifest().placement_constraints.push(constraint);
}

/// Where a plan puts its new tasks, in order.
fn places(world: &World) -> Vec<String> {
    let of = |decision: Decision| match decision {
        Decision::StartTask { instance, .. } => Some(instance.to_string()),
        _ => None,
    };
    world.plan().decisions.into_iter().filter_map(of).collect()
}

/// From where a plan takes tasks, in order.
fn taken(world: &World) -> Vec<String> {
    let of = |decision: Decision| match decision {
        Decision::StopTask { instance, .. } => Some(instance.to_string()),
        _ => None,
    };
    world.plan().decisions.into_iter().filter_map(of).collect()
}

/// How many existing tasks each instance has.
fn spread_out(world: &World) -> BTreeMap<InstanceId, u32> {
    let mut counts = BTreeMap::new();
    for task in world.tasks.values() {
        let over = task.status.as_ref().is_some_and(|s| s.is_stopped());
        if !over {
            *counts.entry(task.record.instance.clone()).or_default() += 1;
        }
    }
    counts
}
