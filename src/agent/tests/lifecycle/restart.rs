//! Semantics §4, rule 17: restart in place.

use super::*;

fn restarting(essential: bool) -> TaskSpec {
    task(json!([
        {"name": "main"},
        {"name": "web", "essential": essential,
         "restart_policy": {"restart_attempt_period": 60, "ignored_exit_codes": [42]}}
    ]))
}

fn ended(code: i64, ran: i64) -> Scene {
    Scene::of(restarting(true))
        .see("main", running("main", 1))
        .see("web", running("web", 1))
        .advance()
        .see("web", exited("web", code, 1, 1 + ran))
}

#[test]
fn a_container_is_restarted_in_place_when_it_ran_for_its_period() {
    let scene = ended(1, 60);
    assert_eq!(
        scene.actions(),
        ["start container web: its restart policy, after exit code 1"]
    );
    let status = scene.status();
    assert_eq!(status.last_status, LastStatus::Running);
    assert_eq!(status.stop_code, None);
    // It is decided again the same way until the start is seen: nothing need be remembered.
    let scene = scene.advance();
    assert_eq!(scene.actions().len(), 1);
    let scene = scene.see("web", running("web", 90));
    let web = scene.status().containers.remove(1);
    assert_eq!(web.restart_count, 1);
    assert_eq!(web.last_restart_at, Some(at(90)));
    let scene = scene.advance();
    assert_eq!(scene.status().containers[1].restart_count, 1);
}

#[test]
fn a_container_is_not_restarted_before_its_period_or_for_an_ignored_exit_code() {
    for scene in [ended(1, 59), ended(42, 600)] {
        let status = scene.status();
        assert_eq!(status.stop_code, Some(StopCode::EssentialContainerExited));
        assert!(!scene.actions().iter().any(|a| a.starts_with("start")));
    }
}

#[test]
fn a_container_of_a_task_that_is_to_stop_is_not_restarted() {
    let scene = ended(1, 600).ordered_to_stop("down");
    assert_eq!(scene.actions(), ["stop container main within 30 s: down"]);
}

#[test]
fn a_dependency_that_is_being_restarted_is_not_complete() {
    let mut spec = waiting("COMPLETE");
    spec.containers[0].restart_policy = restarting(false).containers[1].restart_policy.clone();
    let scene = Scene::of(spec)
        .see("dep", exited("dep", 1, 1, 90))
        .see("web", created("web"));
    assert_eq!(
        scene.actions(),
        ["start container dep: its restart policy, after exit code 1"]
    );
}

#[test]
fn without_a_restart_policy_nothing_is_restarted() {
    let mut spec = restarting(true);
    spec.containers[1].restart_policy = None;
    let scene = Scene::of(spec)
        .see("main", running("main", 1))
        .see("web", running("web", 1))
        .advance()
        .see("web", exited("web", 1, 1, 1_000));
    assert!(!scene.actions().iter().any(|a| a.starts_with("start")));
    assert_eq!(
        scene.status().stop_code,
        Some(StopCode::EssentialContainerExited)
    );
}

#[test]
fn the_period_counts_from_the_last_restart_and_the_container_keeps_its_id() {
    let scene = ended(1, 60)
        .advance()
        .see("web", running("web", 90))
        .advance();
    let before = scene.status().containers.remove(1);
    assert_eq!(before.restart_count, 1);
    // It ran for 59 s since its restart, however long ago it was first started.
    let soon = scene.see("web", exited("web", 1, 90, 149));
    assert_eq!(
        soon.status().stop_code,
        Some(StopCode::EssentialContainerExited)
    );
    let late = soon.see("web", exited("web", 1, 90, 150));
    assert_eq!(
        late.actions(),
        ["start container web: its restart policy, after exit code 1"]
    );
    let again = late
        .advance()
        .see("web", running("web", 151))
        .status()
        .containers
        .remove(1);
    assert_eq!(
        (again.restart_count, &again.runtime_id),
        (2, &before.runtime_id)
    );
}
