//! Semantics §4, rules 1–3 and 5: the order of statuses, what is wanted, and what a task's status is made of.

use super::*;

// 1
#[test]
fn a_task_goes_through_its_statuses_in_order_and_never_back() {
    let scene = Scene::of(waiting("START"));
    assert_eq!(scene.status().last_status, LastStatus::Pending);
    let scene = scene
        .advance()
        .see("dep", created("dep"))
        .see("web", created("web"));
    assert_eq!(scene.status().last_status, LastStatus::Activating);
    let scene = scene
        .advance()
        .see("dep", running("dep", 1))
        .see("web", running("web", 1));
    assert_eq!(scene.status().last_status, LastStatus::Running);
    let scene = scene.advance().ordered_to_stop("scale in");
    assert_eq!(scene.status().last_status, LastStatus::Stopping);
    let scene = scene
        .advance()
        .see("dep", exited("dep", 0, 1, 2))
        .see("web", exited("web", 0, 1, 2));
    assert_eq!(scene.status().last_status, LastStatus::Stopped);
    // Whatever is seen afterwards, it stays STOPPED.
    let scene = scene.advance().see("web", running("web", 9));
    assert_eq!(scene.status().last_status, LastStatus::Stopped);
}

// 2
#[test]
fn a_desired_status_of_stopped_stops_a_task_that_runs() {
    let scene = Scene::of(one())
        .see("web", running("web", 1))
        .ordered_to_stop("scale in");
    assert_eq!(
        scene.actions(),
        ["stop container web within 30 s: scale in"]
    );
    let status = scene.status();
    assert_eq!(status.stop_code, Some(StopCode::ServiceSchedulerInitiated));
    assert_eq!(status.stopped_reason.as_deref(), Some("scale in"));
}

#[test]
fn a_task_ordered_to_stop_before_it_was_begun_stops_without_an_engine_call() {
    let scene = Scene::of(one()).ordered_to_stop("scale in");
    assert_eq!(scene.actions(), Vec::<String>::new());
    assert_eq!(scene.status().last_status, LastStatus::Stopped);
}

// 3
#[test]
fn a_task_is_running_only_when_every_container_runs_or_has_run() {
    let scene = Scene::of(waiting("SUCCESS"))
        .see("dep", running("dep", 1))
        .see("web", created("web"));
    assert_eq!(scene.status().last_status, LastStatus::Activating);
    let scene = scene
        .see("dep", exited("dep", 0, 1, 2))
        .see("web", running("web", 3));
    let status = scene.status();
    assert_eq!(status.last_status, LastStatus::Running);
    let of = |name: &str| status.container(name).map(|c| c.last_status);
    assert_eq!(of("dep"), Some(LastStatus::Stopped));
    assert_eq!(of("web"), Some(LastStatus::Running));
}

#[test]
fn containers_report_nothing_but_pending_running_and_stopped() {
    let scene = Scene::of(one()).see("web", created("web"));
    let status = scene.status();
    assert_eq!(status.containers[0].last_status, LastStatus::Pending);
}

// 5
#[test]
fn a_task_is_stopped_only_when_all_its_containers_are() {
    let spec = task(json!([{"name": "web"}, {"name": "side", "essential": false}]));
    let scene = Scene::of(spec)
        .see("web", exited("web", 0, 1, 7))
        .see("side", running("side", 1));
    let status = scene.status();
    assert_eq!(status.last_status, LastStatus::Stopping);
    assert_eq!(status.execution_stopped_at, Some(at(7)));
    assert_eq!(status.stopping_at, Some(at(100)));
    assert_eq!(status.stopped_at, None);
    let mut scene = scene.advance().see("side", exited("side", 143, 1, 9));
    scene.facts.logs.insert(
        "web".to_owned(),
        LogFact {
            ended: true,
            lines: vec!["bye".to_owned()],
        },
    );
    scene.now = at(101);
    let status = scene.status();
    assert_eq!(status.last_status, LastStatus::Stopped);
    assert_eq!(status.stopped_at, Some(at(101)));
    assert_eq!(status.execution_stopped_at, Some(at(7)));
}

// 1, 3
#[test]
fn of_the_containers_the_one_that_is_least_far_decides() {
    let spec = task(json!([{"name": "a"}, {"name": "b"}, {"name": "c"}]));
    let scene = Scene::of(spec).see("a", running("a", 1));
    assert_eq!(scene.status().last_status, LastStatus::Pending);
    let scene = scene.see("b", running("b", 1)).see("c", created("c"));
    assert_eq!(scene.status().last_status, LastStatus::Activating);
    let scene = scene.see("c", running("c", 1));
    assert_eq!(scene.status().last_status, LastStatus::Running);
}

// 2
#[test]
fn a_task_that_is_wanted_running_is_not_started_again_when_it_is_over() {
    let scene = Scene::of(one())
        .see("web", exited("web", 0, 1, 2))
        .advance()
        .advance();
    assert_eq!(scene.record.desired, DesiredStatus::Running);
    let scene = scene.gone("web");
    assert!(
        scene
            .actions()
            .iter()
            .all(|a| !a.starts_with("create") && !a.starts_with("start"))
    );
}
