//! Semantics §4, rule 10: the health of a task.

use super::*;

#[test]
fn a_task_is_healthy_when_all_its_essential_checked_containers_are() {
    let spec =
        task(json!([checked("a", true), checked("b", true), checked("c", false), {"name": "d"}]));
    let scene = |a, b, c| {
        Scene::of(spec.clone())
            .see("a", healthy("a", a))
            .see("b", healthy("b", b))
            .see("c", healthy("c", c))
            .see("d", running("d", 0))
            .status()
    };
    use HealthStatus::{Healthy, Unhealthy, Unknown};
    assert_eq!(scene(Healthy, Healthy, Unhealthy).health, Healthy);
    assert_eq!(scene(Healthy, Healthy, Unhealthy).healthy_at, Some(at(100)));
    assert_eq!(scene(Healthy, Unknown, Healthy).health, Unknown);
    assert_eq!(scene(Healthy, Unknown, Healthy).healthy_at, None);
    assert_eq!(scene(Unknown, Unhealthy, Healthy).health, Unhealthy);
    assert_eq!(scene(Unhealthy, Unknown, Healthy).health, Unhealthy);
}

#[test]
fn a_health_check_of_the_image_alone_says_nothing() {
    let status = Scene::of(one())
        .see("web", healthy("web", HealthStatus::Healthy))
        .status();
    assert_eq!(status.health, HealthStatus::Unknown);
    assert_eq!(status.containers[0].health, HealthStatus::Unknown);
}

#[test]
fn an_unhealthy_task_says_what_the_check_and_the_container_said_and_is_not_stopped() {
    let spec = task(json!([checked("web", true)]));
    let ill = ObservedContainer {
        health_output: Some("wget: connection refused\n".to_owned()),
        ..healthy("web", HealthStatus::Unhealthy)
    };
    let mut scene = Scene::of(spec).see("web", ill);
    assert_eq!(
        scene.actions(),
        ["read logs of container web: its health check fails"]
    );
    scene.facts.logs.insert(
        "web".to_owned(),
        LogFact {
            ended: false,
            lines: vec!["disk full".to_owned()],
        },
    );
    assert_eq!(scene.actions(), Vec::<String>::new());
    let status = scene.status();
    assert_eq!(status.last_status, LastStatus::Running);
    assert_eq!(status.last_log_lines, ["disk full"]);
    assert_eq!(
        status.containers[0].reason.as_deref(),
        Some("the health check fails: wget: connection refused")
    );
    // Well again, there is nothing to explain.
    let scene = scene
        .advance()
        .see("web", healthy("web", HealthStatus::Healthy));
    assert_eq!(scene.status().last_log_lines, Vec::<String>::new());
}
