//! Semantics §3c, *Placement*: strategies in the order of the list, best effort.

use super::*;

#[test]
fn section_3c_without_a_strategy_tasks_are_spread_over_availability_zones() {
    let world = zones(6, &["a1", "a2", "a3", "b1"]);
    let placed = places(&world);
    assert_eq!(placed, ["a1", "b1", "a2", "b1", "a3", "b1"]);
}

#[test]
fn instances_without_the_attribute_are_one_more_value_of_it() {
    let mut world = zones(4, &["a1", "b1"]);
    for name in ["x1", "x2"] {
        world.add_instance(name);
    }
    assert_eq!(places(&world), ["x1", "a1", "b1", "x2"]);
}

#[test]
fn section_3c_strategies_count_in_the_order_of_the_list() {
    let mut world = zones(4, &["a1", "a2", "b1", "b2"]);
    attribute(&mut world, "a1", "rack", "1");
    attribute(&mut world, "a2", "rack", "2");
    attribute(&mut world, "b1", "rack", "1");
    attribute(&mut world, "b2", "rack", "2");
    strategy(&mut world, &[spread("rack"), BY_INSTANCE]);
    let mut racks: Vec<String> = places(&world);
    assert_eq!(racks[..2], ["a1", "a2"]);
    racks.sort();
    assert_eq!(racks, ["a1", "a2", "b1", "b2"]);
    // Within the fullest-first zone the memory decides where one is packed after the spread.
    let memory = PlacementStrategy::Binpack(BinpackField::Memory);
    strategy(&mut world, &[spread(ZONE), memory]);
    let room = &mut world.instances.get_mut("a2").expect("a2").0.registered;
    room.memory = 100;
    assert_eq!(places(&world), ["a2", "b1", "a2", "b1"]);
}

#[test]
fn section_3c_binpack_fills_the_instance_with_the_least_left_that_still_fits() {
    for (field, size) in [
        (BinpackField::Cpu, sized(100, 1)),
        (BinpackField::Memory, sized(1, 100)),
    ] {
        let mut world = zones(5, &["a1", "a2", "a3"]);
        world.deploy(1, size);
        for (name, room) in [("a1", 1000), ("a2", 300), ("a3", 250)] {
            let registered = &mut world.instances.get_mut(name).expect("there").0.registered;
            registered.cpu = room;
            registered.memory = room;
        }
        strategy(&mut world, &[PlacementStrategy::Binpack(field)]);
        assert_eq!(places(&world), ["a3", "a3", "a2", "a2", "a2"], "{field:?}");
    }
}

#[test]
fn section_3c_spread_over_instances_evens_them_out_whatever_their_zone() {
    let mut world = zones(6, &["a1", "a2", "b1"]);
    strategy(&mut world, &[BY_INSTANCE]);
    world.settle();
    assert!(spread_out(&world).values().all(|count| *count == 2));
}

#[test]
fn random_uses_all_instances_and_gives_the_same_plan_for_the_same_state() {
    let names: Vec<String> = (0..10).map(|n| format!("a{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut world = zones(80, &names);
    strategy(&mut world, &[PlacementStrategy::Random]);
    let placed = places(&world);
    assert_eq!(placed, places(&world));
    assert_eq!(world.plan(), world.plan_of_reversed());
    world.settle();
    let counts = spread_out(&world);
    assert_eq!(counts.len(), 10, "{counts:?}");
    assert!(counts.values().any(|n| *n != 8), "not in turn: {counts:?}");
}

#[test]
fn section_3c_strategies_are_best_effort_where_the_preferred_zone_is_full() {
    let mut world = zones(4, &["a1", "b1"]);
    world.instances.get_mut("b1").expect("b1").0.registered.cpu = 10;
    assert_eq!(places(&world), ["a1", "b1", "a1", "a1"]);
}

#[test]
fn a_spread_that_comes_after_another_strategy_breaks_its_ties() {
    let mut world = zones(4, &["a1", "a2", "b1", "b2"]);
    let cpu = PlacementStrategy::Binpack(BinpackField::Cpu);
    world.deploy(1, task_spec("a"));
    // Tasks that need no CPU leave all instances alike.
    strategy(&mut world, &[cpu, spread(ZONE)]);
    assert_eq!(places(&world), ["a1", "b1", "a2", "b2"]);
}
