//! Semantics §4, rules 4 and 7: what stops a task, and the code and reason that it then has.

use super::*;

// 4
#[test]
fn the_exit_of_an_essential_container_stops_all_others() {
    let spec = task(json!([{"name": "web"}, {"name": "side"}]));
    let scene = Scene::of(spec)
        .see("web", exited("web", 3, 1, 2))
        .see("side", running("side", 1));
    assert_eq!(
        scene.actions(),
        [
            "stop container side within 30 s: Essential container in task exited",
            "read logs of container web: it ended"
        ]
    );
    let status = scene.status();
    assert_eq!(status.stop_code, Some(StopCode::EssentialContainerExited));
    assert_eq!(
        status.stopped_reason.as_deref(),
        Some("Essential container in task exited")
    );
    assert_eq!(status.containers[0].exit_code, Some(3));
}

#[test]
fn the_exit_of_another_container_stops_nothing() {
    let spec = task(json!([{"name": "web"}, {"name": "side", "essential": false}]));
    let scene = Scene::of(spec)
        .see("web", running("web", 1))
        .see("side", exited("side", 1, 1, 2));
    assert_eq!(scene.actions(), Vec::<String>::new());
    assert_eq!(scene.status().last_status, LastStatus::Running);
}

#[test]
fn a_container_removed_from_outside_counts_as_ended() {
    let scene = Scene::of(one())
        .see("web", running("web", 1))
        .advance()
        .gone("web");
    let status = scene.status();
    assert_eq!(status.stop_code, Some(StopCode::EssentialContainerExited));
    assert_eq!(status.last_status, LastStatus::Stopped);
    let web = &status.containers[0];
    assert_eq!(web.exit_code, None);
    assert_eq!(
        web.reason.as_deref(),
        Some("the container was removed from outside")
    );
    assert_eq!(web.finished_at, Some(at(100)));
}

#[test]
fn a_container_removed_before_it_ever_ran_is_created_again() {
    let scene = Scene::of(waiting("HEALTHY"))
        .see("dep", running("dep", 1))
        .see("web", created("web"))
        .advance()
        .gone("web");
    assert_eq!(
        scene.actions(),
        ["create container web: the task is to run"]
    );
}

#[test]
fn a_container_started_from_outside_in_a_task_that_is_over_is_stopped() {
    let scene = Scene::of(one())
        .see("web", exited("web", 0, 1, 2))
        .advance();
    let scene = scene.see("web", running("web", 50));
    assert_eq!(
        scene.actions(),
        ["stop container web within 30 s: Essential container in task exited"]
    );
}

#[test]
fn a_paused_container_is_left_alone_and_reported() {
    let paused = ObservedContainer {
        state: ContainerState::Paused,
        ..running("web", 1)
    };
    let scene = Scene::of(one()).see("web", paused);
    assert_eq!(scene.actions(), Vec::<String>::new());
    let status = scene.status();
    assert_eq!(status.last_status, LastStatus::Running);
    assert_eq!(
        status.containers[0].reason.as_deref(),
        Some("the container was paused from outside")
    );
}

// 7
#[test]
fn the_first_cause_of_a_stop_stays_its_cause() {
    let scene = Scene::of(one())
        .see("web", exited("web", 1, 1, 2))
        .advance()
        .ordered_to_stop("scale in");
    let status = scene.status();
    assert_eq!(status.stop_code, Some(StopCode::EssentialContainerExited));
}

#[test]
fn a_task_that_was_given_up_with_its_instance_is_stopped_when_the_instance_returns() {
    let mut scene = Scene::of(one()).see("web", running("web", 1));
    scene.lost = Some(TaskLost {
        at: at(50),
        reason: "instance gone".to_owned(),
    });
    assert_eq!(
        scene.actions(),
        ["stop container web within 30 s: instance gone"]
    );
    assert_eq!(scene.status().stop_code, Some(StopCode::TerminationNotice));
}

#[test]
fn a_task_whose_pause_container_is_gone_stops_for_its_infrastructure() {
    let mut spec = one();
    spec.network_mode = NetworkMode::Awsvpc;
    let scene = Scene::of(spec)
        .see(PAUSE_CONTAINER, running(PAUSE_CONTAINER, 1))
        .see("web", running("web", 1))
        .advance();
    assert_eq!(scene.prior.last_status, LastStatus::Running);
    let scene = scene.gone(PAUSE_CONTAINER);
    assert_eq!(
        scene.actions(),
        ["stop container web within 30 s: the pause container of the task was removed"]
    );
    assert_eq!(
        scene.status().stop_code,
        Some(StopCode::InfrastructureHealth)
    );
    let scene = scene.see(PAUSE_CONTAINER, exited(PAUSE_CONTAINER, 137, 1, 2));
    assert_eq!(
        scene.status().stopped_reason.as_deref(),
        Some("the pause container of the task ended")
    );
}

#[test]
fn a_pause_container_removed_before_anything_ran_is_created_again() {
    let mut spec = one();
    spec.network_mode = NetworkMode::Awsvpc;
    let scene = Scene::of(spec).see("web", created("web"));
    assert_eq!(
        scene.actions(),
        ["create the pause container: the task's containers share its namespaces"]
    );
}

// 7
#[test]
fn an_order_to_stop_gives_the_task_its_code_and_its_words() {
    for code in [StopCode::UserInitiated, StopCode::ServiceSchedulerInitiated] {
        let mut scene = Scene::of(one())
            .see("web", running("web", 1))
            .ordered_to_stop("no longer needed");
        scene.record.stop.as_mut().expect("ordered").code = code;
        let status = scene.status();
        assert_eq!(status.stop_code, Some(code));
        assert_eq!(status.stopped_reason.as_deref(), Some("no longer needed"));
    }
}

// 4
#[test]
fn a_container_that_is_killed_by_its_removal_is_reported_as_removed() {
    let mut scene = Scene::of(one()).see("web", running("web", 1)).advance();
    // `docker rm -f` kills and then removes; between the two the container looks like any that was killed.
    scene = scene.see("web", exited("web", 137, 1, 99));
    scene.facts.logs.insert(
        "web".to_owned(),
        LogFact {
            ended: true,
            lines: vec!["bye".to_owned()],
        },
    );
    let step = scene.step();
    assert_eq!(step.status.last_status, LastStatus::Deprovisioning);
    let until = at(100).plus(std::time::Duration::from_millis(500));
    assert_eq!(step.wake_at, Some(until));

    let removed = scene.advance().gone("web").status();
    assert_eq!(removed.last_status, LastStatus::Stopped);
    assert_eq!(removed.containers[0].exit_code, Some(137));
    let reason = removed.containers[0].reason.as_deref();
    assert_eq!(reason, Some("the container was removed from outside"));
}

#[test]
fn a_container_that_was_killed_and_is_still_there_after_a_moment_was_only_killed() {
    let mut scene = Scene::of(one())
        .see("web", running("web", 1))
        .advance()
        .see("web", exited("web", 137, 1, 99));
    scene.facts.logs.insert(
        "web".to_owned(),
        LogFact {
            ended: true,
            lines: Vec::new(),
        },
    );
    let mut scene = scene.advance();
    scene.now = at(101);
    let killed = scene.status();
    assert_eq!(killed.last_status, LastStatus::Stopped);
    assert_eq!(killed.containers[0].reason, None);
    // What becomes of the container later does not matter.
    let later = scene.advance().gone("web").status();
    assert_eq!(later.containers[0].reason, None);
    assert_eq!(later.containers[0].exit_code, Some(137));
}

#[test]
fn the_end_of_a_container_that_was_killed_by_order_or_for_its_memory_waits_for_nothing() {
    let ordered = Scene::of(one())
        .see("web", exited("web", 137, 1, 99))
        .ordered_to_stop("down");
    assert_eq!(ordered.status().last_status, LastStatus::Stopped);
    let killed = ObservedContainer {
        oom_killed: true,
        ..exited("web", 137, 1, 99)
    };
    let mut scene = Scene::of(one()).see("web", killed);
    scene.facts.logs.insert(
        "web".to_owned(),
        LogFact {
            ended: true,
            lines: Vec::new(),
        },
    );
    assert_eq!(scene.status().last_status, LastStatus::Stopped);
}

#[test]
fn a_task_whose_engine_was_restarted_while_it_ran_stops_for_its_infrastructure() {
    for code in [0, 137, 255] {
        let mut scene = Scene::of(one()).see("web", running("web", 1)).advance();
        scene.facts.engine_began = Some(at(90));
        let ended = scene.see("web", exited("web", code, 1, 88)).status();
        assert_eq!(ended.stop_code, Some(StopCode::InfrastructureHealth));
        assert_eq!(ended.containers[0].exit_code, Some(code));
        assert_eq!(
            ended.stopped_reason.as_deref(),
            Some("The engine of the container instance was restarted")
        );
    }
}

#[test]
fn what_ends_in_the_run_of_the_engine_that_started_it_ends_by_itself() {
    let mut scene = Scene::of(one()).see("web", running("web", 91)).advance();
    scene.facts.engine_began = Some(at(90));
    let ended = scene.see("web", exited("web", 1, 91, 95)).status();
    assert_eq!(ended.stop_code, Some(StopCode::EssentialContainerExited));
}

#[test]
fn an_end_that_was_seen_before_the_engine_was_restarted_stays_the_tasks_own() {
    let mut scene = Scene::of(one())
        .see("web", running("web", 1))
        .advance()
        .see("web", exited("web", 1, 1, 50))
        .advance();
    scene.facts.engine_began = Some(at(90));
    assert_eq!(
        scene.status().stop_code,
        Some(StopCode::EssentialContainerExited)
    );
}

#[test]
fn a_dependency_that_its_engine_ended_is_no_failure_of_the_task() {
    let spec = task(serde_json::json!([
        {"name": "migrate", "essential": false},
        {"name": "web", "depends_on": [{"container": "migrate", "condition": "SUCCESS"}]},
    ]));
    let mut scene = Scene::of(spec)
        .see("migrate", running("migrate", 1))
        .see("web", created("web"))
        .advance();
    scene = scene.see("migrate", exited("migrate", 137, 1, 88));
    assert_eq!(scene.status().stop_code, Some(StopCode::TaskFailedToStart));
    scene.facts.engine_began = Some(at(90));
    assert_eq!(
        scene.status().stop_code,
        Some(StopCode::InfrastructureHealth)
    );
}
