//! Rollouts that stand still, paused or given up: what is kept up all the same, and what is said of the rest; one test a sentence.

use super::rollouts::{alive, asked, checked, crash_loop, guarded, now_basis, record};
use super::testing::{World, app, task_spec};
use super::{Decision, Plan};
use crate::model::{HealthStatus, InstanceDesired, NoticeKind, Pause, RolloutState, TaskSpec};

/// The rollout that is under way is paused.
fn pause(world: &mut World) {
    let desired = Some(world.manifest().desired_count);
    world.overrides.paused = Some(Pause {
        basis: now_basis(world),
        desired,
        asked: asked(),
    });
}

/// Four healthy tasks of a service whose rollout is paused in its middle, with an instance beside theirs.
fn paused(spec: fn(&str) -> TaskSpec, percent: (u32, u32)) -> World {
    let mut world = World::of(4, spec("a"));
    world.percentages(percent.0, percent.1);
    world.steady();
    world.deploy(2, spec("b"));
    // As many are started as there is room for, after others have made it.
    world.settle();
    world.stop_all();
    world.settle();
    pause(&mut world);
    for _ in 0..3 {
        world.settle();
        world.run_all();
        world.all_healthy();
        world.stop_all();
        world.pass(40);
    }
    world.settle();
    assert_eq!(
        record(&world).deployments[0].rollout,
        RolloutState::InProgress
    );
    world.add_instance("other");
    world.log.clear();
    world
}

fn drain(world: &mut World, id: &str) {
    let (_, desired, _) = world.instances.get_mut(id).expect("an instance");
    *desired = InstanceDesired::Draining;
}

fn live_on(world: &World, id: &str) -> usize {
    let on = world.ids(|task| {
        let over = task.status.as_ref().is_some_and(|s| s.is_stopped());
        task.record.instance.as_str() == id && !over && task.lost.is_none()
    });
    on.len()
}

/// What comes of it within so many rounds; the fewest healthy tasks and the most existing ones on the way.
fn play(world: &mut World, rounds: usize) -> (u32, u32) {
    let (mut fewest, mut most) = (u32::MAX, 0);
    for _ in 0..rounds {
        world.settle();
        let (existing, healthy) = world.counts();
        (fewest, most) = (fewest.min(healthy), most.max(existing));
        world.run_all();
        world.all_healthy();
        world.pass(40);
        world.settle();
        world.stop_all();
    }
    (fewest, most)
}

fn said(world: &World, kind: NoticeKind) -> Option<&str> {
    let notice = record(world).notices.get(&kind)?;
    Some(notice.message.as_str())
}

#[test]
fn a_paused_service_leaves_a_draining_instance_one_by_one_where_only_the_floor_leaves_room() {
    let mut world = paused(checked, (50, 100));
    drain(&mut world, "local");
    let (fewest, most) = play(&mut world, 12);
    assert_eq!(live_on(&world, "local"), 0, "{}", world.log.join("\n"));
    assert_eq!(live_on(&world, "other"), 4);
    assert!(fewest >= 2 && most <= 4, "{fewest} {most}");
    assert_eq!(said(&world, NoticeKind::Configuration), None);
}

#[test]
fn a_paused_service_stops_nothing_on_a_draining_instance_that_fits_nowhere_else() {
    let big = |image: &str| {
        let mut spec = checked(image);
        app(&mut spec).memory = Some(2048);
        spec
    };
    let mut world = paused(big, (50, 100));
    drain(&mut world, "other");
    drain(&mut world, "local");
    let (fewest, _) = play(&mut world, 6);
    assert_eq!(fewest, 4, "{}", world.log.join("\n"));
    assert!(said(&world, NoticeKind::Placement).is_some());
}

#[test]
fn a_paused_service_that_its_percentages_keep_on_a_draining_instance_says_what_to_do() {
    let mut world = paused(checked, (50, 100));
    world.percentages(100, 100);
    pause(&mut world);
    drain(&mut world, "local");
    play(&mut world, 4);
    assert_eq!(live_on(&world, "local"), 4);
    let why = said(&world, NoticeKind::Configuration).expect("said");
    assert!(
        why.contains("unable to move 4 tasks off draining instances while its rollout is paused")
            && why.contains("minimumHealthyPercent or maximumPercent"),
        "{why}"
    );
    let events = world
        .log
        .iter()
        .filter(|line| line.contains("draining instances"));
    assert_eq!(events.count(), 1, "{}", world.log.join("\n"));
    world.percentages(50, 100);
    pause(&mut world);
    play(&mut world, 12);
    assert_eq!(live_on(&world, "local"), 0);
    assert_eq!(said(&world, NoticeKind::Configuration), None);
}

#[test]
fn what_is_left_of_a_failed_deployment_on_a_draining_instance_is_said_with_the_way_out() {
    let mut world = guarded(2, checked("a"), false, 1);
    world.percentages(50, 100);
    world.deploy(2, checked("b"));
    let new = |world: &World| {
        world.ids(|task| {
            let over = task.status.as_ref().is_some_and(|s| s.is_stopped());
            task.record.revision == 2 && !over
        })
    };
    // The first of the new ones gets healthy, the second fails.
    for round in 0..2 {
        world.settle();
        world.stop_all();
        world.settle();
        world.run_all();
        for id in new(&world) {
            world.health(&id, HealthStatus::Healthy);
        }
        assert_eq!(new(&world).len(), round + 1, "{}", world.log.join("\n"));
        if round == 1 {
            let last = new(&world)[1].clone();
            world.health(&last, HealthStatus::Unknown);
            world.task(&last).status.get_or_insert_default().healthy_at = None;
            world.exit(&last, 1);
        }
    }
    world.settle();
    assert!(
        record(&world).failure().is_some(),
        "{}",
        world.log.join("\n")
    );
    world.add_instance("other");
    drain(&mut world, "local");
    play(&mut world, 6);
    assert_eq!(live_on(&world, "local"), 1, "{}", world.log.join("\n"));
    let why = said(&world, NoticeKind::Configuration).expect("said");
    assert!(
        why.contains("keeps 1 task on draining instances") && why.contains("longshore retry web"),
        "{why}"
    );
}

#[test]
fn a_count_that_is_not_followed_while_a_rollout_is_paused_is_said() {
    let mut world = paused(checked, (50, 100));
    assert_eq!(said(&world, NoticeKind::Scaling), None);
    world.manifest().desired_count = 2;
    play(&mut world, 3);
    assert_eq!(world.counts().0, 4);
    let why = said(&world, NoticeKind::Scaling).expect("said");
    assert!(
        why.contains("wants 2 tasks and is kept at 4")
            && why.contains("longshore rollout resume web"),
        "{why}"
    );
    world.manifest().desired_count = 4;
    play(&mut world, 1);
    assert_eq!(said(&world, NoticeKind::Scaling), None);
    world.manifest().desired_count = 2;
    play(&mut world, 1);
    world.overrides.paused = None;
    play(&mut world, 12);
    assert_eq!(said(&world, NoticeKind::Scaling), None);
    assert_eq!((alive(&world, "a"), alive(&world, "b")), (0, 2));
}

fn starts_and_losses(plan: &Plan) -> (usize, usize) {
    let count = |which: fn(&Decision) -> bool| plan.decisions.iter().filter(|d| which(d)).count();
    (
        count(|d| matches!(d, Decision::StartTask { .. })),
        count(|d| matches!(d, Decision::GiveUpTask { .. })),
    )
}

#[test]
fn a_task_of_a_vanished_instance_is_given_up_with_its_replacement_also_while_a_rollout_is_paused() {
    let mut world = paused(checked, (100, 200));
    let before = live_on(&world, "local");
    world.answers("local", false);
    world.pass(61);
    let plan = world.plan_at_most(3);
    assert_eq!(starts_and_losses(&plan), (1, 1), "both or none");
    let plan = world.plan();
    assert_eq!(starts_and_losses(&plan), (before, before));
    play(&mut world, 4);
    assert_eq!(live_on(&world, "other"), before);
}

#[test]
fn a_task_of_a_vanished_instance_that_fits_nowhere_else_is_kept_also_while_a_rollout_is_paused() {
    let big = |image: &str| {
        let mut spec = checked(image);
        app(&mut spec).memory = Some(2048);
        spec
    };
    let mut world = paused(big, (50, 100));
    drain(&mut world, "other");
    world.answers("local", false);
    world.pass(61);
    play(&mut world, 3);
    let lost = world.ids(|task| task.lost.is_some());
    assert_eq!(lost.len(), 0, "{}", world.log.join("\n"));
    assert!(said(&world, NoticeKind::Placement).is_some());
}

#[test]
fn what_serves_of_a_failed_deployment_is_not_given_up_with_its_instance_before_others_serve() {
    let mut world = World::of(2, checked("a"));
    world.manifest().circuit_breaker = Some(crate::model::CircuitBreaker {
        rollback: false,
        reset_on_healthy_task: false,
        threshold: crate::model::Threshold::Count(1),
    });
    world.settle();
    world.run_all();
    world.health(&world.nth(1), HealthStatus::Healthy);
    world.exit(&world.nth(2), 1);
    world.settle();
    assert_eq!(record(&world).deployments[0].rollout, RolloutState::Failed);
    world.add_instance("other");
    world.answers("local", false);
    world.pass(61);
    world.settle();
    assert!(
        world.ids(|task| task.lost.is_some()).is_empty(),
        "it may be all that serves"
    );
}

#[test]
fn a_restart_of_what_runs_in_place_of_what_failed_leaves_the_history_of_that_alone() {
    let mut world = guarded(2, task_spec("a"), true, 2);
    world.deploy(2, task_spec("b"));
    crash_loop(&mut world);
    let failed = record(&world).history[0].clone();
    let back = record(&world).deployments[0].clone();
    assert_eq!(failed.revision.revision, 2);
    world.overrides.restart = Some(crate::model::Restart {
        spec: back.spec.clone(),
        generation: 1,
        asked: asked(),
    });
    world.settle();
    let restarted = record(&world).deployments[0].clone();
    assert_eq!((restarted.generation, restarted.revision.revision), (1, 1));
    assert!(
        restarted.rollout_reason.ends_with("in progress."),
        "{}",
        restarted.rollout_reason
    );
    let rows = |world: &World| -> Vec<_> {
        let rows = record(world).history.iter();
        rows.filter(|row| row.id == failed.id).cloned().collect()
    };
    assert_eq!(rows(&world), std::slice::from_ref(&failed));
    world.steady();
    assert_eq!(rows(&world), std::slice::from_ref(&failed));
    let newest = &record(&world).history[0];
    assert_eq!(newest.id, restarted.id);
    assert_eq!(
        record(&world).failure().expect("still").revision.revision,
        2
    );
}

#[test]
fn a_service_that_is_restarted_and_fails_again_and_again_remembers_a_few_of_the_failures() {
    let mut world = guarded(2, task_spec("a"), true, 1);
    let good = world.spec.hash();
    for generation in 1..=12 {
        world.overrides.restart = Some(crate::model::Restart {
            spec: good.clone(),
            generation,
            asked: asked(),
        });
        for _ in 0..6 {
            world.settle();
            let failing = world.ids(|task| {
                task.record.generation == generation
                    && !task.status.as_ref().is_some_and(|s| s.is_stopped())
            });
            for id in failing {
                world.exit(&id, 1);
            }
            world.settle();
            world.stop_all();
            world.pass(60);
        }
        assert!(record(&world).is_blocked(&good, generation));
        assert_eq!(record(&world).deployments[0].generation, 0, "gone back");
    }
    assert_eq!(record(&world).blocked.len(), 1);
    assert_eq!(alive(&world, "a"), 2);
}
