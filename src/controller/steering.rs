//! Rules of what rollouts say, of those that people steer, and of what is remembered of them (semantics §3b, §4.27, 28, 37).

use super::rollouts::{alive, asked, checked, crash_all, crash_loop, guarded, now_basis, record};
use super::testing::{World, task_spec, with_health_check};
use crate::model::{
    CircuitBreaker, DeploymentStatus, DesiredStatus, EarlySuccess, HealthStatus, Pause, Restart,
    Retry, RolloutState, SchedulingStrategy, ServiceDeploymentStatus, Threshold, Undo,
};

#[test]
fn a_retry_starts_what_failed_again_as_another_deployment() {
    let mut world = guarded(1, task_spec("a"), true, 2);
    world.deploy(2, task_spec("b"));
    crash_loop(&mut world);
    let failed = record(&world).failure().expect("failed").deployment.clone();
    world.overrides.retry = Some(Retry {
        basis: now_basis(&world),
        asked: asked(),
    });
    world.settle();
    assert!(world.overrides.retry.is_none(), "it is done");
    let primary = &record(&world).deployments[0];
    assert_ne!(primary.id, failed);
    assert_eq!((primary.revision.revision, primary.failed_tasks), (2, 0));
    world.steady();
    assert_eq!(alive(&world, "b"), 1);
    assert!(record(&world).failure().is_none());
}

#[test]
fn what_the_failed_attempt_of_a_daemon_left_does_not_fail_its_retry() {
    let mut world = guarded(0, with_health_check(task_spec("a")), false, 1);
    world.manifest().scheduling = SchedulingStrategy::Daemon;
    world.percentages(0, 100);
    world.add_instance("other");
    world.steady();
    world.deploy(2, with_health_check(task_spec("b")));
    world.settle();
    world.stop_all();
    world.settle();
    world.run_all();
    let hash = world.spec.hash();
    let new = world.ids(|task| task.record.spec == hash);
    world.exit(&new[0], 1);
    world.settle();
    let log = |world: &World| world.log.join("\n");
    assert!(record(&world).failure().is_some(), "{}", log(&world));
    let failed = record(&world).deployments[0].id.clone();
    world.health(&new[1], HealthStatus::Unhealthy);
    world.overrides.retry = Some(Retry {
        basis: now_basis(&world),
        asked: asked(),
    });
    world.settle();
    let primary = &record(&world).deployments[0];
    assert_ne!(primary.id, failed);
    assert_eq!(primary.failed_tasks, 0, "{}", log(&world));
    world.steady();
    assert_eq!(alive(&world, "b"), 2);
}

#[test]
fn rule_37_a_restart_replaces_every_task_with_one_of_the_same_specification() {
    let mut world = World::of(3, task_spec("a"));
    world.steady();
    world.overrides.restart = Some(Restart {
        spec: world.spec.hash(),
        generation: 1,
        asked: asked(),
    });
    world.settle();
    let primary = &record(&world).deployments[0];
    assert_eq!(
        (primary.generation, primary.status),
        (1, DeploymentStatus::Primary)
    );
    assert!(primary.images.is_empty(), "resolved anew");
    assert_eq!(
        record(&world).deployments[1].status,
        DeploymentStatus::Active
    );
    world.steady();
    let generations: Vec<u32> = world
        .ids(|task| task.record.desired == DesiredStatus::Running)
        .iter()
        .map(|id| world.tasks[id].record.generation)
        .collect();
    assert_eq!(generations, [1, 1, 1]);
    assert_eq!(record(&world).deployments.len(), 1);
    assert!(world.plan().is_empty());
}

#[test]
fn rule_37_a_restart_that_fails_goes_back_to_the_digests_of_before() {
    let mut world = guarded(2, task_spec("a"), true, 2);
    world.overrides.restart = Some(Restart {
        spec: world.spec.hash(),
        generation: 1,
        asked: asked(),
    });
    for _ in 0..20 {
        world.settle();
        for id in world.ids(|task| {
            task.record.generation == 1 && task.record.desired == DesiredStatus::Running
        }) {
            if !world.tasks[&id]
                .status
                .as_ref()
                .is_some_and(|s| s.is_stopped())
            {
                world.exit(&id, 1);
            }
        }
        world.settle();
        world.stop_all();
        world.pass(60);
    }
    world.settle();
    assert!(record(&world).steady, "{}", world.log.join("\n"));
    assert_eq!(record(&world).deployments[0].generation, 0);
    let first = &world.tasks[&world.nth(1)];
    assert_eq!(
        first.record.desired,
        DesiredStatus::Running,
        "never touched"
    );
}

#[test]
fn after_a_lost_store_restarted_tasks_are_not_restarted_again() {
    let mut world = World::of(2, task_spec("a"));
    world.steady();
    world.overrides.restart = Some(Restart {
        spec: world.spec.hash(),
        generation: 3,
        asked: asked(),
    });
    world.steady();
    world.record = None;
    world.overrides = Default::default();
    world.settle();
    let said = world.log.join("\n");
    assert!(
        !said.contains("start web") && !said.contains("stop web"),
        "{said}"
    );
    assert_eq!(record(&world).deployments[0].generation, 3);
}

#[test]
fn going_back_by_hand_runs_the_earlier_revision_until_the_folder_changes() {
    let mut world = World::of(2, task_spec("a"));
    world.steady();
    let old = record(&world).deployments[0].clone();
    world.deploy(2, task_spec("b"));
    world.steady();
    world.overrides.undo = Some(Undo {
        basis: now_basis(&world),
        revision: old.revision.clone(),
        spec: old.spec.clone(),
        generation: 0,
        images: old.images.clone(),
        asked: asked(),
    });
    world.steady();
    assert_eq!((alive(&world, "a"), alive(&world, "b")), (2, 0));
    world.deploy(3, task_spec("c"));
    world.steady();
    assert_eq!((alive(&world, "a"), alive(&world, "c")), (0, 2));
    assert!(world.overrides.undo.is_none(), "a changed manifest wins");
    // It does not come back with the content that it was about either.
    world.deploy(2, task_spec("b"));
    world.steady();
    assert_eq!((alive(&world, "a"), alive(&world, "b")), (0, 2));
}

#[test]
fn a_paused_rollout_starts_and_stops_nothing_and_replaces_what_dies_from_its_own_revision() {
    let mut world = World::of(4, checked("a"));
    world.percentages(100, 150);
    world.steady();
    world.deploy(2, checked("b"));
    world.settle();
    world.run_all();
    world.overrides.paused = Some(Pause {
        desired: None,
        basis: now_basis(&world),
        asked: asked(),
    });
    world.all_healthy();
    world.settle();
    assert_eq!(
        (alive(&world, "a"), alive(&world, "b")),
        (4, 2),
        "{}",
        world.log.join("\n")
    );
    world.exit(&world.nth(1), 1);
    world.exit(&world.nth(5), 1);
    world.settle();
    assert_eq!(
        (alive(&world, "a"), alive(&world, "b")),
        (4, 2),
        "{}",
        world.log.join("\n")
    );
    world.run_all();
    world.all_healthy();
    world.pass(3600);
    world.settle();
    assert_eq!((alive(&world, "a"), alive(&world, "b")), (4, 2));
    assert!(world.plan().is_empty());
    world.overrides.paused = None;
    world.steady();
    assert_eq!((alive(&world, "a"), alive(&world, "b")), (0, 4));
}

#[test]
fn a_task_that_ends_in_the_moment_of_a_pause_is_replaced_as_well() {
    let mut world = World::of(4, checked("a"));
    world.percentages(100, 150);
    world.steady();
    world.deploy(2, checked("b"));
    world.settle();
    world.run_all();
    world.all_healthy();
    world.overrides.paused = Some(Pause {
        desired: None,
        basis: now_basis(&world),
        asked: asked(),
    });
    world.exit(&world.nth(5), 1);
    world.settle();
    assert_eq!(
        (alive(&world, "a"), alive(&world, "b")),
        (4, 2),
        "{}",
        world.log.join("\n")
    );
}

#[test]
fn what_serves_in_place_of_what_failed_is_tried_again_when_its_replacements_fail() {
    let mut world = guarded(2, task_spec("a"), false, 1);
    let old = world.spec.hash();
    world.deploy(2, task_spec("b"));
    crash_loop(&mut world);
    for _ in 0..3 {
        world.pass(60);
        crash_all(&mut world, &old);
        world.settle();
        world.stop_all();
    }
    for _ in 0..5 {
        world.pass(60);
        world.settle();
        world.run_all();
    }
    assert_eq!(
        (alive(&world, "a"), alive(&world, "b")),
        (2, 0),
        "{}",
        world.log.join("\n")
    );
    // With pauses.
    crash_all(&mut world, &old);
    world.settle();
    world.stop_all();
    crash_all(&mut world, &old);
    world.settle();
    world.stop_all();
    assert!(world.plan().wake_at.is_some(), "{}", world.log.join("\n"));
}

#[test]
fn a_suspended_service_decides_nothing_and_says_what_it_would_do() {
    let mut world = World::of(3, task_spec("a"));
    world.steady();
    world.overrides.suspended = Some(asked());
    world.exit(&world.nth(1), 1);
    world.deploy(2, task_spec("b"));
    let plan = world.plan();
    assert!(plan.decisions.is_empty());
    world.settle();
    let said = world.log.join("\n");
    assert!(said.contains("is suspended by ann"), "{said}");
    assert!(said.contains("3 tasks would be started"), "{said}");
    world.service = None;
    world.settle();
    assert_eq!(alive(&world, "a"), 2, "not even a removal");
    world.overrides.suspended = None;
    world.settle();
    assert_eq!(alive(&world, "a"), 0);
}

#[test]
fn early_success_needs_no_more_than_its_share_of_healthy_tasks() {
    for deferred in [true, false] {
        let mut world = World::of(4, checked("a"));
        world.percentages(50, 200);
        world.manifest().early_success = Some(EarlySuccess {
            healthy_percent: 75,
            deferred_cleanup: deferred,
        });
        world.steady();
        world.deploy(2, checked("b"));
        world.settle();
        world.run_all();
        for number in [5, 6] {
            world.health(&world.nth(number), HealthStatus::Healthy);
        }
        world.settle();
        assert_eq!(
            record(&world).deployments[0].rollout,
            RolloutState::InProgress
        );
        world.health(&world.nth(7), HealthStatus::Healthy);
        world.settle();
        let rollout = record(&world).deployments[0].rollout;
        assert_eq!(rollout == RolloutState::Completed, deferred, "{rollout:?}");
        assert_eq!(
            alive(&world, "a"),
            0,
            "enough is enough for the old ones to go"
        );
        world.stop_all();
        world.settle();
        assert_eq!(
            record(&world).deployments[0].rollout,
            RolloutState::Completed
        );
        assert!(!record(&world).steady, "one is not healthy yet");
    }
}

#[test]
fn the_history_keeps_the_newest_deployments_and_how_they_ended() {
    let mut world = World::of(1, task_spec("a"));
    world.steady();
    for number in 2..30 {
        world.deploy(number, task_spec(&format!("image-{number}")));
        world.steady();
    }
    let history = &record(&world).history;
    assert_eq!(history.len(), crate::model::rollout::HISTORY_KEPT);
    assert_eq!(history[0].revision.revision, 29);
    assert!(
        history
            .iter()
            .all(|e| e.status == ServiceDeploymentStatus::Successful)
    );
    world.deploy(30, task_spec("x"));
    world.settle();
    world.deploy(31, task_spec("y"));
    world.settle();
    let newest = &record(&world).history[0];
    assert_eq!(
        (newest.revision.revision, newest.status),
        (30, ServiceDeploymentStatus::Stopped)
    );
}

#[test]
fn rule_27_reasons_and_events_are_ecs_own() {
    let mut world = World::of(2, task_spec("a"));
    world.percentages(0, 100);
    world.manifest().circuit_breaker = Some(CircuitBreaker {
        rollback: true,
        reset_on_healthy_task: true,
        threshold: Threshold::Count(2),
    });
    world.settle();
    let reason = |world: &World| record(world).deployments[0].rollout_reason.clone();
    let first = record(&world).deployments[0].id.clone();
    assert_eq!(
        reason(&world),
        format!("ECS deployment {first} in progress.")
    );
    world.steady();
    assert_eq!(reason(&world), format!("ECS deployment {first} completed."));
    world.deploy(2, task_spec("b"));
    let bad = world.spec.hash();
    let mut failed = None;
    for _ in 0..10 {
        world.settle();
        world.stop_all();
        crash_all(&mut world, &bad);
        let plan = world.plan();
        if let Some(record) = &plan.record
            && record.deployments[0].rollout == RolloutState::Failed
        {
            failed = Some(record.deployments[0].clone());
            world.apply(plan);
            break;
        }
        world.pass(60);
    }
    let failed = failed.expect("given up");
    assert_eq!(
        failed.rollout_reason,
        "ECS deployment circuit breaker: tasks failed to start."
    );
    let plan = world.plan();
    world.apply(plan);
    assert_eq!(
        reason(&world),
        format!("ECS deployment circuit breaker: rolling back to deploymentId {first}.")
    );
    let said = world.log.join("\n");
    for sentence in [
        format!(
            "(service web) (deployment {}) deployment failed: tasks failed to start.",
            failed.id
        ),
        format!(
            "(service web) (deployment {}) is rolling back to (deployment {first})",
            failed.id
        ),
    ] {
        assert!(said.contains(&sentence), "{said}");
    }
}

#[test]
fn rule_28_a_deployment_is_completed_when_its_tasks_are_healthy_and_older_ones_are_gone() {
    let mut world = guarded(2, checked("a"), true, 3);
    world.deploy(2, checked("b"));
    world.settle();
    world.run_all();
    world.all_healthy();
    world.settle();
    let state = |world: &World| record(world).deployments[0].rollout;
    assert_eq!(
        state(&world),
        RolloutState::InProgress,
        "older ones are stopping"
    );
    assert_eq!(record(&world).deployments.len(), 2);
    world.stop_all();
    world.settle();
    assert_eq!(state(&world), RolloutState::Completed);
    assert_eq!(
        record(&world).deployments.len(),
        1,
        "the older one is INACTIVE"
    );
}

#[test]
fn what_fails_after_the_deployment_was_completed_does_not_give_it_up() {
    let mut world = guarded(1, task_spec("a"), true, 1);
    for _ in 0..5 {
        let hash = world.spec.hash();
        crash_all(&mut world, &hash);
        world.settle();
        world.pass(60);
        world.settle();
    }
    assert_eq!(
        record(&world).deployments[0].rollout,
        RolloutState::Completed
    );
    assert!(record(&world).failure().is_none());
    assert_eq!(
        alive(&world, "a"),
        1,
        "it is started again, ever more slowly"
    );
}
