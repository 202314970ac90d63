//! Rollouts that fail, are gone back from, and stand still, as text.

use super::golden::shows;
use super::rollouts::{asked, guarded, now_basis};
use super::testing::{World, task_spec, with_health_check};
use crate::model::{
    ContainerStatus, DesiredStatus, HealthStatus, LastStatus, Pause, Retry, StopCode, TaskId,
};

/// The task's image cannot be had.
fn no_image(world: &mut World, number: u32) {
    let id = world.nth(number);
    world.exit(&id, 0);
    let status = world.task(&id).status.as_mut().expect("a status");
    let reason = "CannotPullContainerError: manifest for b not found";
    status.stop_code = Some(StopCode::TaskFailedToStart);
    status.stopped_reason = Some(reason.to_owned());
    status.containers = vec![ContainerStatus {
        name: "app".to_owned(),
        reason: Some(reason.to_owned()),
        ..ContainerStatus::default()
    }];
}

fn crash(world: &mut World, number: u32) {
    let id = world.nth(number);
    world.task(&id).log = vec!["cannot bind".to_owned()];
    world.exit(&id, 1);
}

fn running(world: &World) -> Vec<TaskId> {
    world.ids(|task| {
        task.record.desired == DesiredStatus::Running
            && task
                .status
                .as_ref()
                .is_some_and(|s| s.last_status == LastStatus::Running)
    })
}

/// What was planned until now is told, and what happens next is headed by that.
fn then(world: &mut World, what: &str) {
    world.settle();
    world.log.push(format!("== {what}"));
}

#[test]
fn a_bad_image_is_given_up_and_gone_back_from_and_the_old_tasks_never_notice() {
    let mut world = guarded(2, task_spec("a"), true, 3);
    world.deploy(2, task_spec("b"));
    then(&mut world, "no image for both");
    no_image(&mut world, 3);
    no_image(&mut world, 4);
    then(&mut world, "nor for the next");
    no_image(&mut world, 5);
    then(&mut world, "what was left over is gone");
    world.stop_all();
    then(&mut world, "an hour later");
    world.pass(3600);
    shows(&mut world, BAD_IMAGE);
}

const BAD_IMAGE: &str = "
start web:2 on local: rollout of D2, 1 of 2 started
start web:2 on local: rollout of D2, 2 of 2 started
INFO: (service web) (deployment D2) deployment in progress: web:2, replacing web:1.
== no image for both
stop web:2 T3 on local: ended by itself: CannotPullContainerError: manifest for b not found
stop web:2 T4 on local: ended by itself: CannotPullContainerError: manifest for b not found
start web:2 on local: replaces T3: CannotPullContainerError: manifest for b not found
WARN: (service web) (task T3) stopped: CannotPullContainerError: manifest for b not found.
WARN: (service web) (task T4) stopped: CannotPullContainerError: manifest for b not found.
== nor for the next
stop web:2 T5 on local: ended by itself: CannotPullContainerError: manifest for b not found
WARN: (service web) (task T5) stopped: CannotPullContainerError: manifest for b not found.
ERROR: (service web) (deployment D2) deployment failed: tasks failed to start. 3 tasks of web:2 failed, and 3 are too many; the last: CannotPullContainerError: manifest for b not found.
WARN: (service web) is unable to consistently start tasks successfully.
WARN: (service web) (deployment D2) is rolling back to (deployment D1): web:1 in place of web:2.
INFO: (service web) (deployment D1) deployment completed.
INFO: (service web) has reached a steady state.
== what was left over is gone
== an hour later
";

#[test]
fn a_crash_loop_without_rollback_is_given_up_and_nothing_more_of_it_is_started() {
    let mut world = guarded(1, task_spec("a"), false, 2);
    world.deploy(2, task_spec("b"));
    then(&mut world, "it runs for 3 s");
    world.run_all();
    world.pass(3);
    crash(&mut world, 2);
    then(&mut world, "and again");
    world.run_all();
    world.pass(3);
    crash(&mut world, 3);
    then(&mut world, "an hour later the old one ends too");
    world.pass(3600);
    crash(&mut world, 1);
    shows(&mut world, CRASH_LOOP);
}

const CRASH_LOOP: &str = "
start web:2 on local: rollout of D2, 1 of 1 started
INFO: (service web) (deployment D2) deployment in progress: web:2, replacing web:1.
== it runs for 3 s
stop web:2 T2 on local: ended by itself: Essential container in task exited (container app: exit code 1)
start web:2 on local: replaces T2: Essential container in task exited (container app: exit code 1)
WARN: (service web) (task T2) stopped: Essential container in task exited (container app: exit code 1). Its last log lines: cannot bind
== and again
stop web:2 T3 on local: ended by itself: Essential container in task exited (container app: exit code 1)
WARN: (service web) (task T3) stopped: Essential container in task exited (container app: exit code 1). Its last log lines: cannot bind
ERROR: (service web) (deployment D2) deployment failed: tasks failed to start. 2 tasks of web:2 failed, and 2 are too many; the last: Essential container in task exited (container app: exit code 1).
== an hour later the old one ends too
stop web:1 T1 on local: ended by itself: Essential container in task exited (container app: exit code 1)
start web:1 on local: replaces one of its own revision, while the rollout stands still
WARN: (service web) (task T1) stopped: Essential container in task exited (container app: exit code 1). Its last log lines: cannot bind
";

#[test]
fn a_version_that_never_gets_healthy_is_given_up_and_gone_back_from() {
    let mut world = guarded(2, with_health_check(task_spec("a")), true, 3);
    world.percentages(100, 150);
    world.deploy(2, with_health_check(task_spec("b")));
    for _ in 0..4 {
        then(
            &mut world,
            "what runs of it is unhealthy, what stops is gone",
        );
        world.run_all();
        let bad = world.spec.hash();
        for id in running(&world) {
            if world.tasks[&id].record.spec == bad {
                world.health(&id, HealthStatus::Unhealthy);
            }
        }
        world.settle();
        world.stop_all();
        world.pass(30);
    }
    shows(&mut world, NEVER_HEALTHY);
}

const NEVER_HEALTHY: &str = "
start web:2 on local: rollout of D2, 1 of 2 started
INFO: (service web) (deployment D2) deployment in progress: web:2, replacing web:1.
== what runs of it is unhealthy, what stops is gone
stop web:2 T3 on local: unhealthy, making room for its replacement
WARN: (service web) (task T3) failed container health checks.
start web:2 on local: rollout of D2, 1 of 2 started
== what runs of it is unhealthy, what stops is gone
stop web:2 T4 on local: unhealthy, making room for its replacement
WARN: (service web) (task T4) failed container health checks.
start web:2 on local: rollout of D2, 1 of 2 started
== what runs of it is unhealthy, what stops is gone
stop web:2 T5 on local: unhealthy, making room for its replacement
WARN: (service web) (task T5) failed container health checks.
ERROR: (service web) (deployment D2) deployment failed: tasks failed to start. 3 tasks of web:2 failed, and 3 are too many; the last: it failed container health checks.
WARN: (service web) (deployment D2) is rolling back to (deployment D1): web:1 in place of web:2.
INFO: (service web) (deployment D1) deployment completed.
INFO: (service web) has reached a steady state.
== what runs of it is unhealthy, what stops is gone
";

#[test]
fn a_retry_rolls_out_again_what_failed() {
    let mut world = guarded(1, task_spec("a"), true, 1);
    world.deploy(2, task_spec("b"));
    then(&mut world, "it crashes");
    crash(&mut world, 2);
    then(&mut world, "a retry");
    world.overrides.retry = Some(Retry {
        basis: now_basis(&world),
        asked: asked(),
    });
    shows(&mut world, RETRY);
}

const RETRY: &str = "
start web:2 on local: rollout of D2, 1 of 1 started
INFO: (service web) (deployment D2) deployment in progress: web:2, replacing web:1.
== it crashes
stop web:2 T2 on local: ended by itself: Essential container in task exited (container app: exit code 1)
WARN: (service web) (task T2) stopped: Essential container in task exited (container app: exit code 1). Its last log lines: cannot bind
ERROR: (service web) (deployment D2) deployment failed: tasks failed to start. 1 tasks of web:2 failed, and 1 are too many; the last: Essential container in task exited (container app: exit code 1).
WARN: (service web) (deployment D2) is rolling back to (deployment D1): web:1 in place of web:2.
INFO: (service web) (deployment D1) deployment completed.
INFO: (service web) has reached a steady state.
== a retry
start web:2 on local: rollout of D3, 1 of 1 started
INFO: (service web) (deployment D3) deployment in progress: web:2, replacing web:1.
";

#[test]
fn a_paused_rollout_keeps_both_revisions_as_they_are() {
    let mut world = World::of(2, task_spec("a"));
    world.percentages(100, 150);
    world.steady();
    world.deploy(2, task_spec("b"));
    then(&mut world, "paused while the new one warms up");
    world.run_all();
    world.overrides.paused = Some(Pause {
        desired: None,
        basis: now_basis(&world),
        asked: asked(),
    });
    world.pass(40);
    then(&mut world, "one of each ends");
    crash(&mut world, 1);
    crash(&mut world, 3);
    then(&mut world, "their replacements are healthy");
    world.run_all();
    world.pass(40);
    then(&mut world, "it goes on");
    world.overrides.paused = None;
    shows(&mut world, PAUSED);
}

const PAUSED: &str = "
start web:2 on local: rollout of D2, 1 of 2 started
INFO: (service web) (deployment D2) deployment in progress: web:2, replacing web:1.
== paused while the new one warms up
== one of each ends
stop web:1 T1 on local: ended by itself: Essential container in task exited (container app: exit code 1)
stop web:2 T3 on local: ended by itself: Essential container in task exited (container app: exit code 1)
start web:2 on local: replaces one of its own revision, while the rollout stands still
start web:1 on local: replaces one of its own revision, while the rollout stands still
WARN: (service web) (task T1) stopped: Essential container in task exited (container app: exit code 1). Its last log lines: cannot bind
WARN: (service web) (task T3) stopped: Essential container in task exited (container app: exit code 1). Its last log lines: cannot bind
== their replacements are healthy
== it goes on
stop web:1 T5 on local: superseded by D2
";

#[test]
fn a_suspended_service_says_what_it_does_not_do() {
    let mut world = World::of(2, task_spec("a"));
    world.steady();
    world.overrides.suspended = Some(asked());
    then(&mut world, "a task ends");
    crash(&mut world, 1);
    then(&mut world, "it is resumed");
    world.overrides.suspended = None;
    shows(&mut world, SUSPENDED);
}

const SUSPENDED: &str = "
WARN: (service web) is suspended by ann, since 1970-01-01T00:00:00.000Z: there is nothing to do for it now.
== a task ends
WARN: (service web) is suspended by ann, since 1970-01-01T00:00:00.000Z: 1 tasks would be started now.
== it is resumed
stop web:1 T1 on local: ended by itself: Essential container in task exited (container app: exit code 1)
start web:1 on local: replaces T1: Essential container in task exited (container app: exit code 1)
WARN: (service web) (task T1) stopped: Essential container in task exited (container app: exit code 1). Its last log lines: cannot bind
";
