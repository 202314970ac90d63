//! Semantics §4.33: a DAEMON and its constraints.

use super::*;
use crate::model::SchedulingStrategy;

fn daemon(instances: &[&str]) -> World {
    let mut world = zones(0, instances);
    let manifest = world.manifest();
    manifest.scheduling = SchedulingStrategy::Daemon;
    manifest.minimum_healthy_percent = 0;
    manifest.maximum_percent = 100;
    world
}

#[test]
fn rule_33_a_daemon_runs_on_the_instances_that_meet_its_constraints_and_is_steady_so() {
    let mut world = daemon(&["a1", "a2", "b1"]);
    member_of(&mut world, "attribute:ecs.availability-zone == a");
    assert_eq!(places(&world), ["a1", "a2"]);
    world.steady();
    assert!(world.record.as_ref().expect("a record").steady);
    // One that meets them later gets its task then.
    attribute(&mut world, "b1", ZONE, "a");
    assert_eq!(places(&world), ["b1"]);
}

#[test]
fn rule_33_a_constraint_that_is_violated_stops_the_task_and_is_said() {
    let mut world = daemon(&["a1", "b1"]);
    world.steady();
    member_of(&mut world, "attribute:ecs.availability-zone == a");
    assert_eq!(taken(&world), ["b1"]);
    let said = world.said();
    assert!(
        said.contains(
            "is stopped because container-instance b1 does not meet its placement constraint memberOf \
             `attribute:ecs.availability-zone == a` any more."
        ),
        "{said}"
    );
    world.stop_all();
    world.steady();
    assert_eq!(
        spread_out(&world).into_keys().collect::<Vec<_>>(),
        ["a1".into()]
    );
}

#[test]
fn rule_33_a_daemon_that_no_instance_may_run_is_steady_with_no_task() {
    let mut world = daemon(&["a1"]);
    member_of(&mut world, "attribute:ssd exists");
    world.steady();
    assert!(world.tasks.is_empty());
}

#[test]
fn a_constraint_about_tasks_does_not_send_the_daemons_own_task_away() {
    let mut world = daemon(&["a1", "b1"]);
    member_of(&mut world, "runningTasksCount < 1");
    assert_eq!(places(&world), ["a1", "b1"]);
    world.steady();
    assert!(taken(&world).is_empty());
}
