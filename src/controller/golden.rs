//! Plans as text: whole scenarios, as `longshore plan` and the log would show them.

use super::succession::deployment_id;
use super::testing::{World, task_spec, with_health_check, with_port};
use crate::model::HealthStatus;

/// Compares with ids shortened: tasks are numbered from 1 in the order of their starts, deployments likewise.
pub(super) fn shows(world: &mut World, expected: &str) {
    let said = world.said();
    let text: String = said.lines().map(|line| shorten(line) + "\n").collect();
    let expected: String = expected
        .trim()
        .lines()
        .map(|line| format!("{}\n", line.trim()))
        .collect();
    assert_eq!(text, expected, "\n{text}");
}

fn shorten(line: &str) -> String {
    let mut text = line.to_owned();
    for number in 1..=9 {
        let id = deployment_id("default", "web", number);
        text = text.replace(id.as_str(), &format!("D{number}"));
    }
    for number in 1..=99 {
        let id = World::of(0, task_spec("a")).nth(number);
        text = text.replace(id.as_str(), &format!("T{number}"));
        text = text.replace(id.short(), &format!("T{number}"));
    }
    text
}

fn end_of_throttle(world: &World) -> Option<u64> {
    let wake = world.plan().wake_at?;
    Some(wake.since(world.now).as_secs())
}

#[test]
fn a_new_service_and_then_a_new_revision_of_it() {
    let mut world = World::of(3, task_spec("a"));
    shows(
        &mut world,
        "start web:1 on local: rollout of D1, 1 of 3 started
         start web:1 on local: rollout of D1, 2 of 3 started
         start web:1 on local: rollout of D1, 3 of 3 started
         INFO: (service web) (deployment D1) deployment in progress: web:1.",
    );
    world.run_all();
    shows(&mut world, "");
    assert_eq!(
        end_of_throttle(&world),
        Some(40),
        "healthy 40 s after RUNNING"
    );
    world.pass(40);
    shows(
        &mut world,
        "INFO: (service web) (deployment D1) deployment completed.
         INFO: (service web) has reached a steady state.",
    );
    world.deploy(2, task_spec("b"));
    shows(
        &mut world,
        "start web:2 on local: rollout of D2, 1 of 3 started
         start web:2 on local: rollout of D2, 2 of 3 started
         start web:2 on local: rollout of D2, 3 of 3 started
         INFO: (service web) (deployment D2) deployment in progress: web:2, replacing web:1.",
    );
    world.run_all();
    shows(&mut world, "");
    world.pass(40);
    shows(
        &mut world,
        "stop web:1 T3 on local: superseded by D2
         stop web:1 T2 on local: superseded by D2
         stop web:1 T1 on local: superseded by D2",
    );
    world.stop_all();
    shows(
        &mut world,
        "INFO: (service web) (deployment D2) deployment completed.
         INFO: (service web) has reached a steady state.",
    );
}

#[test]
fn with_no_room_above_the_desired_count_old_tasks_stop_first_down_to_the_floor() {
    let mut world = World::of(4, with_health_check(task_spec("a")));
    world.percentages(50, 100);
    world.steady();
    world.deploy(2, with_health_check(task_spec("b")));
    shows(
        &mut world,
        "stop web:1 T4 on local: makes room for web:2, 3 healthy stay and 2 must
         stop web:1 T3 on local: makes room for web:2, 2 healthy stay and 2 must
         INFO: (service web) (deployment D2) deployment in progress: web:2, replacing web:1.",
    );
    world.stop_all();
    shows(
        &mut world,
        "start web:2 on local: rollout of D2, 1 of 4 started
         start web:2 on local: rollout of D2, 2 of 4 started",
    );
    world.run_all();
    shows(&mut world, "");
    world.all_healthy();
    shows(
        &mut world,
        "stop web:1 T2 on local: makes room for web:2, 3 healthy stay and 2 must
         stop web:1 T1 on local: makes room for web:2, 2 healthy stay and 2 must",
    );
    world.stop_all();
    shows(
        &mut world,
        "start web:2 on local: rollout of D2, 3 of 4 started
         start web:2 on local: rollout of D2, 4 of 4 started",
    );
}

#[test]
fn a_task_whose_container_ends_is_replaced_at_once_with_the_cause() {
    let mut world = World::of(2, task_spec("a"));
    world.steady();
    let first = world.nth(1);
    world.task(&first).log = vec!["cannot open the database".to_owned(), "bye".to_owned()];
    world.exit(&first, 3);
    shows(
        &mut world,
        "stop web:1 T1 on local: ended by itself: Essential container in task exited (container app: exit code 3)
         start web:1 on local: replaces T1: Essential container in task exited (container app: exit code 3)
         WARN: (service web) (task T1) stopped: Essential container in task exited (container app: exit code 3). Its last \
         log lines: cannot open the database … bye",
    );
    world.run_all();
    world.pass(40);
    shows(
        &mut world,
        "INFO: (service web) has reached a steady state.",
    );
}

#[test]
fn a_task_that_keeps_failing_waits_longer_each_time_and_a_new_manifest_resets_that() {
    let mut world = World::of(1, task_spec("a"));
    world.settle();
    let mut waits = Vec::new();
    for number in 1..=5 {
        world.exit(&world.nth(number), 1);
        world.settle();
        let wait = end_of_throttle(&world);
        waits.push(wait);
        world.pass(wait.unwrap_or(0));
        world.settle();
    }
    assert_eq!(waits, [None, Some(1), Some(2), Some(4), Some(8)]);
    let impaired = "WARN: (service web) is unable to consistently start tasks successfully.";
    assert_eq!(world.log.iter().filter(|line| *line == impaired).count(), 1);
    world.exit(&world.nth(6), 1);
    world.settle();
    assert_eq!(end_of_throttle(&world), Some(16));
    world.log.clear();
    world.manifest().manifest_hash = "m2".to_owned();
    shows(
        &mut world,
        "start web:1 on local: rollout of D1, 1 of 1 started",
    );
}

#[test]
fn a_change_of_the_desired_count_alone_makes_no_new_deployment() {
    let mut world = World::of(1, task_spec("a"));
    world.steady();
    world.manifest().desired_count = 3;
    shows(
        &mut world,
        "start web:1 on local: 2 of 3 wanted
         start web:1 on local: 3 of 3 wanted",
    );
    world.manifest().desired_count = 0;
    shows(
        &mut world,
        "stop web:1 T3 on local: scaling in to 0
         stop web:1 T2 on local: scaling in to 0
         stop web:1 T1 on local: scaling in to 0",
    );
    world.stop_all();
    shows(
        &mut world,
        "INFO: (service web) has reached a steady state.",
    );
    let record = world.record.expect("a record");
    assert_eq!(record.deployment_counter, 1);
    assert_eq!(record.deployments.len(), 1);
}

#[test]
fn a_removed_service_drains_turns_inactive_and_is_forgotten_after_an_hour() {
    let mut world = World::of(2, task_spec("a"));
    world.steady();
    world.service = None;
    shows(
        &mut world,
        "stop web:1 T2 on local: the service was removed
         stop web:1 T1 on local: the service was removed",
    );
    let status = |world: &World| world.record.as_ref().map(|record| record.status.as_str());
    assert_eq!(status(&world), Some("DRAINING"));
    world.stop_all();
    shows(&mut world, "");
    assert_eq!(status(&world), Some("INACTIVE"));
    assert_eq!(end_of_throttle(&world), Some(3600));
    world.pass(3600);
    shows(
        &mut world,
        "delete T2: the service was removed an hour ago
         delete T1: the service was removed an hour ago
         forget the service",
    );
    assert!(world.plan().is_empty());
}

#[test]
fn a_service_that_comes_back_while_it_drains_begins_anew() {
    let mut world = World::of(1, task_spec("a"));
    world.steady();
    let manifest = world.service.take();
    world.settle();
    world.log.clear();
    world.service = manifest;
    shows(
        &mut world,
        "start web:1 on local: rollout of D2, 1 of 1 started
         INFO: (service web) (deployment D2) deployment in progress: web:1.",
    );
}

#[test]
fn an_unhealthy_task_is_stopped_after_its_replacement_is_healthy() {
    let mut world = World::of(2, with_health_check(task_spec("a")));
    world.steady();
    world.health(&world.nth(1), HealthStatus::Unhealthy);
    shows(
        &mut world,
        "start web:1 on local: replaces T1, which is unhealthy",
    );
    world.run_all();
    shows(&mut world, "");
    world.health(&world.nth(3), HealthStatus::Healthy);
    shows(
        &mut world,
        "stop web:1 T1 on local: unhealthy, and no longer needed
         WARN: (service web) (task T1) failed container health checks.",
    );
}

#[test]
fn without_room_for_replacements_unhealthy_tasks_are_stopped_one_by_one() {
    let mut world = World::of(2, with_health_check(task_spec("a")));
    world.percentages(50, 100);
    world.steady();
    world.health(&world.nth(1), HealthStatus::Unhealthy);
    world.health(&world.nth(2), HealthStatus::Unhealthy);
    shows(
        &mut world,
        "stop web:1 T1 on local: unhealthy, making room for its replacement
         WARN: (service web) (task T1) failed container health checks.",
    );
    world.stop_all();
    shows(
        &mut world,
        "start web:1 on local: replaces T2, which is unhealthy",
    );
    world.run_all();
    shows(&mut world, "");
    world.health(&world.nth(3), HealthStatus::Healthy);
    shows(
        &mut world,
        "stop web:1 T2 on local: unhealthy, making room for its replacement
         WARN: (service web) (task T2) failed container health checks.",
    );
}

#[test]
fn percentages_that_can_never_roll_are_said_once() {
    let mut world = World::of(2, task_spec("a"));
    world.percentages(75, 100);
    world.steady();
    world.deploy(2, task_spec("b"));
    shows(
        &mut world,
        "INFO: (service web) (deployment D2) deployment in progress: web:2, replacing web:1.
         WARN: (service web) was unable to stop or start tasks during a deployment because of the service deployment \
         configuration. Update the minimumHealthyPercent or maximumPercent value and try again.",
    );
    world.pass(60);
    shows(&mut world, "");
    world.percentages(50, 100);
    shows(
        &mut world,
        "stop web:1 T2 on local: makes room for web:2, 1 healthy stay and 1 must",
    );
}

#[test]
fn a_fixed_port_makes_a_rollout_stop_first_where_the_floor_allows_it() {
    let mut world = World::of(1, with_port(task_spec("a"), Some(8080)));
    world.percentages(0, 200);
    world.steady();
    world.deploy(2, with_port(task_spec("b"), Some(8080)));
    shows(
        &mut world,
        "stop web:1 T1 on local: makes room for web:2, 0 healthy stay and 0 must
         INFO: (service web) (deployment D2) deployment in progress: web:2, replacing web:1.",
    );
    world.stop_all();
    shows(
        &mut world,
        "start web:2 on local: rollout of D2, 1 of 1 started",
    );
}

#[test]
fn a_fixed_port_that_the_floor_does_not_let_go_is_named_once() {
    let mut world = World::of(1, with_port(task_spec("a"), Some(8080)));
    world.steady();
    world.deploy(2, with_port(task_spec("b"), Some(8080)));
    shows(
        &mut world,
        "INFO: (service web) (deployment D2) deployment in progress: web:2, replacing web:1.
         ERROR: (service web) was unable to place a task because no container instance met all of its requirements. The \
         closest matching container-instance local is already using a port required by your task. Port 8080/tcp is held by \
         task T1.",
    );
    world.pass(60);
    shows(&mut world, "");
}

#[test]
fn a_revert_in_the_middle_of_a_rollout_keeps_the_tasks_that_already_run_it() {
    let mut world = World::of(2, task_spec("a"));
    world.steady();
    world.deploy(2, task_spec("b"));
    world.settle();
    world.log.clear();
    world.deploy(1, task_spec("a"));
    shows(
        &mut world,
        "stop web:2 T4 on local: superseded by D3
         stop web:2 T3 on local: superseded by D3
         INFO: (service web) (deployment D3) deployment in progress: web:1, replacing web:2.",
    );
    world.stop_all();
    shows(
        &mut world,
        "INFO: (service web) (deployment D3) deployment completed.
         INFO: (service web) has reached a steady state.",
    );
}

#[test]
fn tasks_of_a_draining_instance_move_within_the_percentages_and_starting_ones_stop_at_once() {
    let mut world = World::of(2, task_spec("a"));
    world.add_instance("other");
    world.steady();
    world.manifest().desired_count = 3;
    shows(&mut world, "start web:1 on local: 3 of 3 wanted");
    if let Some((_, desired, _)) = world.instances.get_mut("local") {
        *desired = crate::model::InstanceDesired::Draining;
    }
    shows(
        &mut world,
        "stop web:1 T3 on local: instance local is draining
         start web:1 on other: 2 of 3 wanted
         start web:1 on other: 3 of 3 wanted",
    );
    world.run_all();
    world.pass(40);
    shows(
        &mut world,
        "stop web:1 T1 on local: instance local is draining",
    );
}

#[test]
fn a_daemon_runs_one_task_on_every_active_instance() {
    let mut world = World::of(0, task_spec("a"));
    world.manifest().scheduling = crate::model::SchedulingStrategy::Daemon;
    world.percentages(0, 100);
    world.add_instance("other");
    shows(
        &mut world,
        "start web:1 on local: rollout of D1
         start web:1 on other: rollout of D1
         INFO: (service web) (deployment D1) deployment in progress: web:1.",
    );
    world.steady();
    world.deploy(2, task_spec("b"));
    shows(
        &mut world,
        "stop web:1 T1 on local: makes room for web:2
         stop web:1 T2 on other: makes room for web:2
         INFO: (service web) (deployment D2) deployment in progress: web:2, replacing web:1.",
    );
    world.stop_all();
    shows(
        &mut world,
        "start web:2 on local: rollout of D2
         start web:2 on other: rollout of D2",
    );
    world.steady();
    if let Some((_, desired, _)) = world.instances.get_mut("other") {
        *desired = crate::model::InstanceDesired::Draining;
    }
    shows(
        &mut world,
        "stop web:2 T4 on other: instance other is draining",
    );
    world.stop_all();
    shows(
        &mut world,
        "INFO: (service web) has reached a steady state.",
    );
}

#[test]
fn of_dead_tasks_that_ended_long_ago_the_newest_ten_are_kept() {
    let mut world = World::of(1, task_spec("a"));
    for number in 1..=12 {
        world.steady();
        world.pass(1);
        world.exit(&world.nth(number), 0);
    }
    shows(
        &mut world,
        "stop web:1 T12 on local: ended by itself: Essential container in task exited (container app: exit code 0)
         start web:1 on local: replaces T12: Essential container in task exited (container app: exit code 0)
         delete T2: it was over an hour ago, and 10 newer tasks of the service are
         WARN: (service web) (task T12) stopped: Essential container in task exited (container app: exit code 0).",
    );
    let kept = world.ids(|task| task.status.as_ref().is_some_and(|s| s.is_stopped()));
    assert_eq!(kept.len(), 10);
}

#[test]
fn dead_tasks_of_the_last_hour_are_kept_up_to_fifty() {
    let mut world = World::of(1, task_spec("a"));
    let dead = |world: &World| {
        let stopped = world.ids(|task| task.status.as_ref().is_some_and(|s| s.is_stopped()));
        stopped.len()
    };
    // Each was healthy, so that none of their successors has to wait.
    for number in 1..=60 {
        world.settle();
        world.run_all();
        world.pass(41);
        world.settle();
        world.exit(&world.nth(number), 0);
        if number == 20 {
            world.settle();
            assert_eq!(dead(&world), 20);
        }
    }
    world.settle();
    assert_eq!(dead(&world), 50);
    world.run_all();
    world.pass(60 * 60);
    world.settle();
    assert_eq!(dead(&world), 10);
    assert_eq!(world.plan().wake_at, None);
}
