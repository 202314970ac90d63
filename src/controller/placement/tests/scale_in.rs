//! Semantics §4.31.

use super::*;

/// The tasks of instances as given, healthy, where a scale-in to `count` follows.
fn scaled_in(world: &mut World, count: u32) -> Vec<String> {
    world.manifest().desired_count = count;
    taken(world)
}

/// Puts the tasks of a steady service where the test wants them, in the order of their starts.
fn standing(world: &mut World, at: &[&str]) {
    world.manifest().desired_count = u32::try_from(at.len()).expect("few");
    world.steady();
    for reserved in world.instances.values_mut() {
        reserved.2.0.clear();
    }
    for (number, name) in (1..).zip(at) {
        let id = world.nth(number);
        world.task(&id).record.instance = (*name).into();
    }
    assert!(world.plan().decisions.is_empty());
}

#[test]
fn rule_31_the_zone_with_the_most_tasks_gives_one_then_its_instance_with_the_most() {
    let mut world = zones(0, &["a1", "a2", "b1"]);
    standing(&mut world, &["a1", "a1", "a2", "b1", "b1"]);
    assert_eq!(scaled_in(&mut world, 4), ["a1"]);
    assert_eq!(scaled_in(&mut world, 3), ["a1", "b1"]);
    assert_eq!(scaled_in(&mut world, 1).len(), 4);
    // Three on one instance of a zone with three, two on one of a zone with four.
    let mut world = zones(0, &["a1", "a2", "b1"]);
    standing(&mut world, &["b1", "b1", "b1", "a1", "a1", "a2", "a2"]);
    assert_eq!(
        scaled_in(&mut world, 6),
        ["a2"],
        "zone a, and of equals the newest"
    );
}

#[test]
fn rule_31_with_a_spread_what_is_left_is_balanced() {
    let mut world = zones(0, &["a1", "a2", "a3", "b1"]);
    for (name, rack) in [("a1", "1"), ("a2", "1"), ("a3", "2"), ("b1", "2")] {
        attribute(&mut world, name, "rack", rack);
    }
    strategy(&mut world, &[spread("rack")]);
    standing(&mut world, &["a1", "a1", "a2", "a3", "b1"]);
    assert_eq!(scaled_in(&mut world, 4), ["a1"], "rack 1 has three");
    let left = scaled_in(&mut world, 2);
    let of_rack_1 = left.iter().filter(|name| *name == "a1" || *name == "a2");
    assert_eq!((of_rack_1.count(), left.len()), (2, 3));
}

#[test]
fn rule_31_where_tasks_are_packed_the_instance_that_ends_with_the_most_free_gives_one() {
    let mut world = zones(0, &["a1", "a2", "b1"]);
    strategy(
        &mut world,
        &[PlacementStrategy::Binpack(BinpackField::Memory)],
    );
    standing(&mut world, &["a1", "a1", "a1", "b1", "a2"]);
    for (name, memory) in [("a1", 100), ("a2", 60), ("b1", 40)] {
        let instance = world.instances.get_mut(name).expect("there");
        instance.0.registered.memory = memory;
    }
    // 70, 50 and 30 are free.
    assert_eq!(scaled_in(&mut world, 4), ["a1"]);
    let instance = world.instances.get_mut("a2").expect("there");
    instance.0.registered.memory = 5000;
    assert_eq!(scaled_in(&mut world, 4), ["a2"]);
}

#[test]
fn rule_31_a_protected_task_is_never_chosen_and_counts_as_gone() {
    let mut world = zones(0, &["a1", "b1"]);
    standing(&mut world, &["a1", "a1", "a1", "b1"]);
    for number in 1..=3 {
        let id = world.nth(number);
        world.protect(&id, 600);
    }
    assert_eq!(scaled_in(&mut world, 3), ["b1"], "the only one that may go");
}

#[test]
fn rule_31_a_task_that_does_not_run_yet_goes_before_a_healthy_one_of_a_fuller_zone() {
    let mut world = zones(0, &["a1", "b1"]);
    standing(&mut world, &["a1", "a1", "a1", "b1"]);
    let id = world.nth(4);
    world.task(&id).status = None;
    assert_eq!(scaled_in(&mut world, 3), ["b1"]);
}
