//! Rules of rollouts that fail and are gone back from: one test a sentence (semantics §3b, §4.24–27).

use super::testing::{World, task_spec, with_health_check};
use super::{Decision, Plan};
use crate::model::{
    Asked, CircuitBreaker, ContainerStatus, DesiredStatus, HealthStatus, LastStatus, RolloutState,
    SchedulingStrategy, ServiceDeploymentStatus, SpecHash, TaskId, TaskSpec, Threshold, basis,
};

/// A service of `count` tasks of `good`, steady, that gives a deployment up after so many failures.
pub(super) fn guarded(count: u32, good: TaskSpec, rollback: bool, threshold: u32) -> World {
    let mut world = World::of(count, good);
    world.manifest().circuit_breaker = Some(CircuitBreaker {
        rollback,
        reset_on_healthy_task: true,
        threshold: Threshold::Count(threshold),
    });
    world.steady();
    world
}

/// Every task of that specification that should run ends by itself; returns how many.
pub(super) fn crash_all(world: &mut World, spec: &SpecHash) -> usize {
    let all = world.ids(|task| {
        task.record.spec == *spec
            && task.record.desired == DesiredStatus::Running
            && !task.status.as_ref().is_some_and(|s| s.is_stopped())
    });
    for id in &all {
        world.exit(id, 1);
    }
    all.len()
}

/// Passes in which the new revision's tasks crash and everything else is well, until nothing of it is started any more.
pub(super) fn crash_loop(world: &mut World) {
    let bad = world.spec.hash();
    for _ in 0..40 {
        world.settle();
        world.stop_all();
        let failed = world.record.as_ref().is_some_and(|r| r.failure().is_some());
        if crash_all(world, &bad) == 0 && failed && world.plan().wake_at.is_none() {
            break;
        }
        world.settle();
        let wake = world.plan().wake_at.unwrap_or(world.now);
        let wait = wake.since(world.now).as_secs();
        world.pass(wait.max(1));
    }
    world.settle();
    world.stop_all();
    world.settle();
}

pub(super) fn alive(world: &World, image: &str) -> usize {
    let hash = task_hash(world, image);
    world
        .ids(|task| {
            task.record.spec == hash
                && task.record.desired == DesiredStatus::Running
                && !task.status.as_ref().is_some_and(|s| s.is_stopped())
        })
        .len()
}

fn task_hash(world: &World, image: &str) -> SpecHash {
    let found = world
        .specs
        .iter()
        .find(|(_, spec)| spec.containers[0].image == image);
    found.expect("a specification").0.clone()
}

pub(super) fn now_basis(world: &World) -> String {
    basis(
        world.service.as_ref().expect("a service"),
        Some(&world.spec.hash()),
    )
}

pub(super) fn asked() -> Asked {
    Asked {
        by: "ann".to_owned(),
        ..Asked::default()
    }
}

pub(super) fn record(world: &World) -> &crate::model::ServiceRecord {
    world.record.as_ref().expect("a record")
}

/// How many failed tasks the newest deployment has, and how it goes.
fn counted(world: &World) -> (u32, RolloutState) {
    let primary = &record(world).deployments[0];
    (primary.failed_tasks, primary.rollout)
}

fn starts(plan: &Plan) -> usize {
    let start = |d: &&Decision| matches!(d, Decision::StartTask { .. });
    plan.decisions.iter().filter(start).count()
}

pub(super) fn checked(image: &str) -> TaskSpec {
    with_health_check(task_spec(image))
}

#[test]
fn rule_24_the_deployment_fails_at_exactly_the_threshold() {
    let mut world = guarded(1, task_spec("a"), false, 4);
    world.deploy(2, task_spec("b"));
    let bad = world.spec.hash();
    for failures in 1..=4 {
        world.settle();
        assert_eq!(
            record(&world).deployments[0].rollout,
            RolloutState::InProgress
        );
        assert_eq!(crash_all(&mut world, &bad), 1);
        world.settle();
        assert_eq!(record(&world).deployments[0].failed_tasks, failures);
        world.pass(60);
    }
    let primary = &record(&world).deployments[0];
    assert_eq!(primary.rollout, RolloutState::Failed);
    assert_eq!(
        primary.rollout_reason,
        "ECS deployment circuit breaker: tasks failed to start."
    );
    world.pass(3600);
    assert_eq!(starts(&world.plan()), 0, "never again");
}

#[test]
fn rule_24_without_a_breaker_a_deployment_is_tried_for_ever() {
    let mut world = World::of(1, task_spec("a"));
    world.steady();
    world.deploy(2, task_spec("b"));
    let bad = world.spec.hash();
    for _ in 0..30 {
        world.settle();
        assert_eq!(crash_all(&mut world, &bad), 1);
        world.settle();
        world.pass(30 * 60);
    }
    assert_eq!(
        record(&world).deployments[0].rollout,
        RolloutState::InProgress
    );
}

#[test]
fn rule_24_a_task_that_ran_and_ended_before_it_was_healthy_is_a_failed_task() {
    let mut world = guarded(1, task_spec("a"), false, 2);
    world.deploy(2, task_spec("b"));
    for number in 2..=3 {
        world.settle();
        world.run_all();
        world.pass(39);
        world.exit(&world.nth(number), 1);
        world.settle();
    }
    assert_eq!(record(&world).deployments[0].rollout, RolloutState::Failed);
}

#[test]
fn rule_24_what_decides_is_how_long_it_ran_and_not_when_that_was_seen() {
    let mut world = guarded(1, task_spec("a"), false, 2);
    world.deploy(2, task_spec("b"));
    world.settle();
    // Nobody looked while it ran for 39 s, nor for an hour after.
    world.run_all();
    world.pass(39);
    world.exit(&world.nth(2), 1);
    world.pass(3600);
    world.settle();
    assert_eq!(record(&world).deployments[0].failed_tasks, 1);
    // The next ran for 40 s, and was never seen RUNNING either.
    world.run_all();
    world.pass(40);
    world.exit(&world.nth(3), 1);
    world.pass(3600);
    world.settle();
    assert_eq!(counted(&world), (0, RolloutState::InProgress));
}

#[test]
fn rule_24_stage_two_tasks_that_are_stopped_because_they_never_got_healthy_count() {
    let mut world = guarded(2, checked("a"), true, 3);
    world.deploy(2, checked("b"));
    let bad = world.spec.hash();
    for _ in 0..40 {
        world.settle();
        world.run_all();
        for id in world.ids(|task| task.record.spec == bad) {
            if world.tasks[&id]
                .status
                .as_ref()
                .is_some_and(|s| s.last_status == LastStatus::Running)
            {
                world.health(&id, HealthStatus::Unhealthy);
            }
        }
        world.settle();
        world.stop_all();
        world.pass(10);
    }
    let failed = record(&world).failure().expect("it failed");
    assert_eq!(failed.revision.revision, 2);
    assert_eq!(alive(&world, "a"), 2, "{}", world.log.join("\n"));
    assert_eq!(alive(&world, "b"), 0);
    let stopped = world
        .log
        .iter()
        .filter(|line| line.starts_with("stop web:1"));
    assert_eq!(stopped.count(), 0, "old tasks were never touched");
}

#[test]
fn rule_24_a_task_that_was_lost_or_that_somebody_stopped_is_no_failed_task() {
    let mut world = guarded(2, task_spec("a"), false, 1);
    world.deploy(2, task_spec("b"));
    world.settle();
    let (one, two) = (world.nth(3), world.nth(4));
    world.exit(&one, 137);
    let status = world.task(&one).status.as_mut().expect("a status");
    status.stop_code = Some(crate::model::StopCode::TerminationNotice);
    let task = world.task(&two);
    task.record.desired = DesiredStatus::Stopped;
    world.exit(&two, 137);
    world.settle();
    assert_eq!(counted(&world), (0, RolloutState::InProgress));
}

#[test]
fn rule_24_a_task_that_was_lost_with_its_engine_is_replaced_at_once_from_its_own_revision() {
    let mut world = guarded(2, task_spec("a"), true, 1);
    world.deploy(2, task_spec("b"));
    world.settle();
    for round in 0..4 {
        let all = world.ids(|task| task.record.desired == DesiredStatus::Running);
        for id in all {
            world.exit(&id, 137);
            let status = world.task(&id).status.as_mut().expect("a status");
            status.stop_code = Some(crate::model::StopCode::InfrastructureHealth);
        }
        world.settle();
        let throttle = &record(&world).throttle;
        assert_eq!((throttle.failures, throttle.not_before), (0, None));
        assert_eq!(alive(&world, "b"), 2, "round {round}");
    }
    assert!(record(&world).failure().is_none());
}

#[test]
fn rule_25_a_task_that_becomes_healthy_sets_the_count_back_unless_it_is_cumulative() {
    for reset in [true, false] {
        let mut world = guarded(2, checked("a"), false, 3);
        let breaker = world
            .manifest()
            .circuit_breaker
            .as_mut()
            .expect("a breaker");
        breaker.reset_on_healthy_task = reset;
        world.deploy(2, checked("b"));
        world.settle();
        for number in [3, 5] {
            world.exit(&world.nth(number), 1);
            world.settle();
            world.pass(5);
        }
        assert_eq!(record(&world).deployments[0].failed_tasks, 2);
        world.run_all();
        world.health(&world.nth(4), HealthStatus::Healthy);
        world.pass(1);
        world.settle();
        let count = if reset { 0 } else { 2 };
        assert_eq!(record(&world).deployments[0].failed_tasks, count);
    }
}

#[test]
fn rule_25_a_task_that_has_been_healthy_for_long_does_not_hide_others_that_keep_failing() {
    let mut world = guarded(2, checked("a"), false, 3);
    world.percentages(50, 200);
    world.deploy(2, checked("b"));
    world.settle();
    world.run_all();
    world.health(&world.nth(3), HealthStatus::Healthy);
    world.settle();
    for number in [4, 5, 6] {
        world.pass(30);
        world.exit(&world.nth(number), 1);
        world.settle();
        world.pass(30);
        world.settle();
    }
    assert!(
        record(&world).failure().is_some(),
        "{}",
        world.log.join("\n")
    );
}

#[test]
fn rule_26_a_failed_deployment_goes_back_to_the_last_one_that_was_completed() {
    let mut world = guarded(3, task_spec("a"), true, 3);
    let completed = record(&world).deployments[0].id.clone();
    world.deploy(2, task_spec("b"));
    crash_loop(&mut world);
    let record = record(&world);
    let primary = &record.deployments[0];
    assert_eq!(primary.id, completed);
    assert_eq!(primary.revision.revision, 1);
    assert_eq!(primary.rollout, RolloutState::Completed);
    assert!(record.steady);
    assert_eq!(record.deployments.len(), 1);
    assert_eq!(record.failure().expect("a failure").revision.revision, 2);
    let newest = &record.history[0];
    assert_eq!(newest.status, ServiceDeploymentStatus::RollbackSuccessful);
    assert_eq!((newest.revision.revision, newest.failed_tasks), (2, 3));
    assert_eq!(alive(&world, "a"), 3);
    let touched = world
        .log
        .iter()
        .filter(|line| line.starts_with("stop web:1"));
    assert_eq!(touched.count(), 0, "{}", world.log.join("\n"));
}

#[test]
fn rule_26_with_room_for_stopping_first_the_floor_holds_and_what_was_stopped_comes_back() {
    let mut world = guarded(4, task_spec("a"), true, 3);
    world.percentages(50, 100);
    world.deploy(2, task_spec("b"));
    let bad = world.spec.hash();
    for _ in 0..60 {
        world.settle();
        assert!(world.counts().1 >= 2, "{}", world.log.join("\n"));
        world.stop_all();
        world.settle();
        crash_all(&mut world, &bad);
        for id in world.ids(|task| task.record.spec != bad) {
            let now = world.now;
            let task = world.task(&id);
            let status = task.status.get_or_insert_default();
            if task.record.desired == DesiredStatus::Running
                && status.last_status < LastStatus::Running
            {
                status.last_status = LastStatus::Running;
                status.started_at = Some(now);
            }
        }
        world.pass(7);
    }
    world.settle();
    assert_eq!(alive(&world, "a"), 4);
    assert!(record(&world).steady);
}

#[test]
fn rule_26_going_back_runs_the_digests_that_were_pinned() {
    let digest = |of: &str| format!("sha256:{}", of.repeat(64));
    let mut world = World::of(2, task_spec("app:1"));
    world.percentages(0, 100);
    world.manifest().circuit_breaker = Some(CircuitBreaker {
        rollback: true,
        reset_on_healthy_task: true,
        threshold: Threshold::Count(1),
    });
    world.settle();
    for number in [1, 2] {
        let status = world.task(&TaskId::new(format!("task{number:08}{:020}", 0)));
        status.status.get_or_insert_default().containers = vec![ContainerStatus {
            name: "app".to_owned(),
            image_digest: Some(digest("a")),
            ..ContainerStatus::default()
        }];
    }
    world.steady();
    world.deploy(2, task_spec("b"));
    // Floor 0: every old task is gone before the first new one fails.
    world.settle();
    world.stop_all();
    world.settle();
    assert_eq!(alive(&world, "app:1"), 0);
    let bad = world.spec.hash();
    crash_all(&mut world, &bad);
    let mut given = Vec::new();
    for _ in 0..5 {
        let plan = world.plan();
        for decision in &plan.decisions {
            if let Decision::StartTask {
                images, revision, ..
            } = decision
            {
                given.push((revision.revision, images.get("app").cloned()));
            }
        }
        world.apply(plan);
    }
    assert_eq!(given, vec![(1, Some(digest("a"))); 2]);
}

#[test]
fn rule_26_going_back_is_in_progress_and_what_fails_then_is_not_gone_back_to_again() {
    let mut world = guarded(2, task_spec("a"), true, 2);
    world.percentages(0, 100);
    let good = world.spec.hash();
    world.deploy(2, task_spec("b"));
    let bad = world.spec.hash();
    for _ in 0..30 {
        world.settle();
        world.stop_all();
        let going_back =
            record(&world).deployments[0].spec == good && record(&world).failure().is_some();
        if going_back && record(&world).deployments[0].rollout == RolloutState::InProgress {
            let primary = &record(&world).deployments[0];
            assert_eq!(
                primary.rollout_reason,
                format!(
                    "ECS deployment circuit breaker: rolling back to deploymentId {}.",
                    primary.id
                )
            );
            crash_all(&mut world, &good);
        }
        crash_all(&mut world, &bad);
        world.settle();
        world.pass(120);
    }
    let record = record(&world);
    assert_eq!(record.deployments[0].rollout, RolloutState::Failed);
    assert_eq!(record.blocked.len(), 2);
    let failed = record.history.iter().find(|ended| ended.spec == bad);
    assert_eq!(
        failed.expect("in the history").status,
        ServiceDeploymentStatus::RollbackFailed
    );
    world.pass(24 * 3600);
    let plan = world.plan();
    assert_eq!(starts(&plan), 0, "stalled");
}

#[test]
fn rule_26_with_nothing_to_go_back_to_it_is_stalled_and_nothing_of_it_is_started() {
    let mut world = World::of(2, task_spec("a"));
    world.manifest().circuit_breaker = Some(CircuitBreaker {
        rollback: true,
        reset_on_healthy_task: true,
        threshold: Threshold::Count(2),
    });
    crash_loop(&mut world);
    assert_eq!(record(&world).deployments[0].rollout, RolloutState::Failed);
    assert!(!record(&world).steady);
    world.pass(3600 * 5);
    assert_eq!(starts(&world.plan()), 0);
}

#[test]
fn rule_26_old_tasks_serve_on_and_are_replaced_from_their_own_revision_when_a_deployment_failed() {
    let mut world = guarded(3, task_spec("a"), false, 3);
    world.deploy(2, task_spec("b"));
    crash_loop(&mut world);
    assert_eq!((alive(&world, "a"), alive(&world, "b")), (3, 0));
    let touched = world
        .log
        .iter()
        .filter(|line| line.starts_with("stop web:1"));
    assert_eq!(touched.count(), 0);
    world.exit(&world.nth(1), 1);
    world.settle();
    assert_eq!((alive(&world, "a"), alive(&world, "b")), (3, 0));
}

#[test]
fn what_failed_stays_blocked_until_the_manifest_changes() {
    let mut world = guarded(1, task_spec("a"), true, 2);
    world.deploy(2, task_spec("b"));
    crash_loop(&mut world);
    world.pass(24 * 3600);
    world.manifest().desired_count = 2;
    world.manifest().manifest_hash = "m2".to_owned();
    world.settle();
    assert_eq!(alive(&world, "b"), 0, "another count is no other version");
    assert_eq!(alive(&world, "a"), 2);
    world.manifest().health_check_grace_period = 9;
    world.settle();
    assert!(alive(&world, "b") > 0, "{}", world.log.join("\n"));
    assert!(record(&world).blocked.is_empty());
}

#[test]
fn a_new_definition_is_rolled_out_though_the_one_before_failed() {
    let mut world = guarded(1, task_spec("a"), true, 2);
    world.deploy(2, task_spec("b"));
    crash_loop(&mut world);
    world.deploy(3, task_spec("c"));
    world.steady();
    assert_eq!(alive(&world, "c"), 1);
    assert!(record(&world).failure().is_none());
}

#[test]
fn a_newer_manifest_supersedes_going_back() {
    let mut world = guarded(2, task_spec("a"), true, 2);
    world.percentages(0, 100);
    world.deploy(2, task_spec("b"));
    let bad = world.spec.hash();
    for _ in 0..10 {
        world.settle();
        world.stop_all();
        if record(&world).failure().is_some() {
            break;
        }
        crash_all(&mut world, &bad);
        world.pass(60);
    }
    world.settle();
    assert_eq!(
        record(&world).deployments[0].rollout,
        RolloutState::InProgress
    );
    world.deploy(3, task_spec("c"));
    world.steady();
    assert_eq!((alive(&world, "a"), alive(&world, "c")), (0, 2));
    let failed = record(&world)
        .history
        .iter()
        .find(|ended| ended.spec == bad);
    assert_eq!(
        failed.expect("in the history").status,
        ServiceDeploymentStatus::Stopped
    );
}

#[test]
fn a_revert_to_what_was_completed_while_another_fails_keeps_its_tasks() {
    let mut world = guarded(2, task_spec("a"), true, 5);
    world.deploy(2, task_spec("b"));
    let bad = world.spec.hash();
    world.settle();
    crash_all(&mut world, &bad);
    world.settle();
    world.deploy(1, task_spec("a"));
    world.steady();
    assert_eq!(alive(&world, "a"), 2);
    assert!(world.tasks.contains_key(&world.nth(1)));
    let first = &world.tasks[&world.nth(1)];
    assert_eq!(first.record.desired, DesiredStatus::Running);
}

#[test]
fn a_daemon_that_fails_goes_back_on_every_instance() {
    let mut world = World::of(0, task_spec("a"));
    world.manifest().scheduling = SchedulingStrategy::Daemon;
    world.percentages(0, 100);
    world.manifest().circuit_breaker = Some(CircuitBreaker {
        rollback: true,
        reset_on_healthy_task: true,
        threshold: Threshold::Count(3),
    });
    world.add_instance("other");
    world.steady();
    world.deploy(2, task_spec("b"));
    crash_loop(&mut world);
    world.run_all();
    world.pass(40);
    world.settle();
    assert_eq!(
        (alive(&world, "a"), alive(&world, "b")),
        (2, 0),
        "{}",
        world.log.join("\n")
    );
    assert!(record(&world).steady);
}

#[test]
fn rule_26_where_nothing_can_be_gone_back_to_the_count_is_still_followed() {
    let mut world = guarded(3, task_spec("a"), false, 3);
    world.deploy(2, task_spec("b"));
    crash_loop(&mut world);
    for count in [1, 4, 0] {
        world.manifest().desired_count = count;
        world.settle();
        world.stop_all();
        world.run_all();
        world.pass(40);
        world.settle();
        assert_eq!(alive(&world, "a"), count as usize);
        assert_eq!(alive(&world, "b"), 0);
        assert!(world.plan().is_empty());
    }
}

#[test]
fn rule_26_where_nothing_can_be_gone_back_to_old_tasks_still_leave_a_draining_instance() {
    let mut world = guarded(2, checked("a"), false, 2);
    world.deploy(2, checked("b"));
    crash_loop(&mut world);
    world.add_instance("other");
    if let Some((_, desired, _)) = world.instances.get_mut("local") {
        *desired = crate::model::InstanceDesired::Draining;
    }
    for _ in 0..5 {
        world.settle();
        assert!(world.counts().1 >= 2, "{}", world.log.join("\n"));
        world.run_all();
        world.all_healthy();
        world.settle();
        world.stop_all();
    }
    world.settle();
    let hosts: Vec<&str> = world
        .tasks
        .values()
        .filter(|task| task.record.desired == DesiredStatus::Running)
        .map(|task| task.record.instance.as_str())
        .collect();
    assert_eq!(hosts, ["other", "other"]);
    let one = world.ids(|task| task.record.desired == DesiredStatus::Running)[0].clone();
    world.health(&one, HealthStatus::Unhealthy);
    world.settle();
    world.run_all();
    for id in world.ids(|task| task.record.desired == DesiredStatus::Running) {
        if id != one {
            world.health(&id, HealthStatus::Healthy);
        }
    }
    world.settle();
    assert_eq!(world.tasks[&one].record.desired, DesiredStatus::Stopped);
    assert_eq!(alive(&world, "a"), 2, "{}", world.log.join("\n"));
}

#[test]
fn the_last_words_of_what_failed_are_kept_though_they_come_after_its_end() {
    let mut world = guarded(1, task_spec("a"), true, 1);
    world.deploy(2, task_spec("b"));
    world.settle();
    let id = world.nth(2);
    let status = world.task(&id).status.get_or_insert_default();
    status.last_status = LastStatus::Stopping;
    status.stop_code = Some(crate::model::StopCode::EssentialContainerExited);
    world.settle();
    let words = |world: &World| record(world).failure().map(|f| f.last_log_lines.clone());
    assert_eq!(words(&world), Some(Vec::new()));
    world.task(&id).log = vec!["cannot bind".to_owned()];
    world.exit(&id, 1);
    world.settle();
    assert_eq!(words(&world), Some(vec!["cannot bind".to_owned()]));
}
