//! Semantics §3a, *availabilityZoneRebalancing*.

use proptest::prelude::*;

use super::*;
use crate::model::{LastStatus, TaskId};

fn rebalanced(count: u32, instances: &[&str]) -> World {
    let mut world = zones(count, instances);
    world.manifest().zone_rebalancing = true;
    world
}

fn add(world: &mut World, name: &str) {
    world.add_instance(name);
    attribute(world, name, ZONE, &name[..1]);
}

fn by_zone(world: &World) -> Vec<u32> {
    let mut zones: BTreeMap<String, u32> = BTreeMap::new();
    for (id, (instance, ..)) in &world.instances {
        let zone = instance.attributes.get(ZONE).cloned().unwrap_or_default();
        let tasks = spread_out(world).get(id).copied().unwrap_or(0);
        *zones.entry(zone).or_default() += tasks;
    }
    zones.into_values().collect()
}

/// One plan, recorded, and what follows from it; returns whether it began a move, and how many tasks existed.
fn step(world: &mut World) -> (bool, u32) {
    let plan = world.plan();
    let moves = plan.decisions.iter().any(|decision| {
        matches!(decision, Decision::StartTask { cause, .. } if cause.starts_with("evens out"))
    });
    world.apply(plan);
    let existing = world.counts().0;
    world.run_all();
    world.stop_all();
    world.pass(u64::from(world.cluster.healthy_after));
    (moves, existing)
}

#[test]
fn section_3a_a_zone_that_comes_back_gets_its_tasks_one_by_one_each_started_first() {
    let mut world = rebalanced(4, &["a1"]);
    world.steady();
    add(&mut world, "b1");
    let said = world.said();
    assert_eq!(
        said,
        "start web:1 on b1: evens out availability zones: 4 tasks in a, 0 in b"
    );
    assert!(world.plan().decisions.is_empty(), "it is not healthy yet");
    world.run_all();
    world.pass(60);
    let said = world.said();
    assert!(
        said.starts_with("stop web:1 ") && said.contains(" on a1: evens out"),
        "{said}"
    );
    for _ in 0..20 {
        let (_, existing) = step(&mut world);
        assert!(existing <= 5, "one at a time");
    }
    assert_eq!(by_zone(&world), [2, 2]);
    world.steady();
    assert_eq!(world.plan().decisions, []);
}

#[test]
fn section_3a_nothing_moves_where_the_percentages_leave_no_room_or_it_is_off() {
    for (on, maximum) in [(false, 200), (true, 100)] {
        let mut world = rebalanced(4, &["a1"]);
        world.percentages(50, maximum);
        world.manifest().zone_rebalancing = on;
        world.steady();
        add(&mut world, "b1");
        assert!(world.plan().decisions.is_empty());
    }
}

#[test]
fn section_3a_protected_tasks_are_not_moved() {
    let mut world = rebalanced(3, &["a1"]);
    world.steady();
    for number in 1..=3 {
        let id = world.nth(number);
        world.protect(&id, 100_000);
    }
    add(&mut world, "b1");
    assert!(world.plan().decisions.is_empty());
    let id = world.nth(2);
    world.task(&id).protected_until = None;
    assert_eq!(places(&world), ["b1"]);
    for _ in 0..6 {
        step(&mut world);
    }
    let gone = |id: &TaskId| {
        let status = world.tasks.get(id).and_then(|task| task.status.as_ref());
        status.is_none_or(|status| status.last_status == LastStatus::Stopped)
    };
    assert!(gone(&id) && !gone(&world.nth(1)) && !gone(&world.nth(3)));
}

#[test]
fn a_task_that_fails_in_its_new_zone_is_tried_ever_more_slowly_and_the_others_stay() {
    let mut world = rebalanced(2, &["a1"]);
    world.steady();
    add(&mut world, "b1");
    let mut starts = 0;
    for _ in 0..600 {
        world.settle();
        for id in world.ids(|task| task.status.is_none() && task.record.instance == "b1".into()) {
            starts += 1;
            world.exit(&id, 1);
        }
        world.pass(6);
        assert_eq!(spread_out(&world)[&InstanceId::from("a1")], 2);
    }
    assert!((3..=16).contains(&starts), "{starts} in an hour");
}

#[test]
fn a_task_that_has_left_a_zone_is_no_reason_to_go_on_moving_out_of_it() {
    let mut world = rebalanced(5, &["a1"]);
    world.steady();
    for number in 1..=3 {
        let id = world.nth(number);
        world.protect(&id, 100_000);
    }
    add(&mut world, "b1");
    world.add_instance("b2");
    attribute(&mut world, "b2", ZONE, "c");
    for _ in 0..8 {
        step(&mut world);
    }
    assert_eq!(by_zone(&world), [3, 1, 1]);
    assert_eq!(
        world.plan().decisions,
        [],
        "what is left there is protected"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn rebalancing_comes_to_an_end_within_the_band_and_leaves_zones_alike(
        at in proptest::collection::vec(0..4_usize, 1..10), rooms in proptest::collection::vec(prop_oneof![1..12_u64, 10..20_u64], 4),
        protected in proptest::collection::vec(proptest::bool::weighted(0.2), 10),
    ) {
        let names = ["a1", "a2", "b1", "c1"];
        let mut world = zones(u32::try_from(at.len()).expect("few"), &names);
        world.steady();
        let of_number = |number: usize| u32::try_from(number + 1).expect("few");
        for (number, (at, protected)) in at.iter().zip(protected).enumerate() {
            let id = world.nth(of_number(number));
            world.task(&id).record.instance = names[*at].into();
            if protected {
                world.protect(&id, 1_000_000);
            }
        }
        for (at, (instance, _, reserved)) in world.instances.values_mut().enumerate() {
            instance.registered.cpu = 10 * rooms[at];
            reserved.0.clear();
        }
        world.manifest().zone_rebalancing = true;
        let desired = world.manifest().desired_count;
        let mut moves = 0;
        for _ in 0..120 {
            let (moved, existing) = step(&mut world);
            moves += u32::from(moved);
            prop_assert!(existing <= desired + 1, "one at a time");
            prop_assert!(world.counts().1 >= desired, "started first");
        }
        prop_assert!(moves <= desired, "{} moves", moves);
        let plan = world.plan();
        prop_assert!(plan.decisions.is_empty(), "{:?}", plan.decisions);
        let room = rooms.iter().all(|room| *room >= 10);
        let free = world.tasks.values().all(|task| task.protected_until.is_none());
        if room && free {
            let zones = by_zone(&world);
            let (least, most) = (zones.iter().min(), zones.iter().max());
            prop_assert!(most.zip(least).is_some_and(|(most, least)| most - least <= 1), "{:?}", zones);
        }
    }
}
