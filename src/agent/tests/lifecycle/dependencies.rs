//! Semantics §4, rules 11, 13 and 14: when a container may start, and when it never will.

use super::*;

// 11
#[test]
fn start_is_met_by_a_dependency_that_runs_or_has_stopped() {
    let scene = Scene::of(waiting("START"))
        .see("dep", created("dep"))
        .see("web", created("web"));
    assert_eq!(scene.actions(), ["start container dep: the task is to run"]);
    for dep in [running("dep", 1), exited("dep", 1, 1, 2)] {
        let scene = Scene::of(waiting("START"))
            .see("dep", dep)
            .see("web", created("web"));
        assert_eq!(scene.actions(), ["start container web: dep is running"]);
    }
}

#[test]
fn complete_is_met_by_any_exit_code() {
    let scene = Scene::of(waiting("COMPLETE"))
        .see("dep", running("dep", 1))
        .see("web", created("web"));
    assert_eq!(scene.actions(), Vec::<String>::new());
    let scene = scene.see("dep", exited("dep", 9, 1, 2));
    assert_eq!(scene.actions(), ["start container web: dep is complete"]);
}

#[test]
fn success_is_met_by_exit_code_zero() {
    let scene = Scene::of(waiting("SUCCESS"))
        .see("dep", running("dep", 1))
        .see("web", created("web"));
    assert_eq!(scene.actions(), Vec::<String>::new());
    let scene = scene.see("dep", exited("dep", 0, 1, 2));
    assert_eq!(scene.actions(), ["start container web: dep is successful"]);
}

#[test]
fn healthy_is_met_by_a_healthy_dependency_and_looked_at_only_at_the_start() {
    let mut web = json!({"name": "web"});
    web["depends_on"] = json!([{"container": "dep", "condition": "HEALTHY"}]);
    let spec = task(json!([checked("dep", false), web]));
    let scene = Scene::of(spec)
        .see("dep", healthy("dep", HealthStatus::Unknown))
        .see("web", created("web"));
    assert_eq!(scene.actions(), Vec::<String>::new());
    let scene = scene.see("dep", healthy("dep", HealthStatus::Healthy));
    assert_eq!(scene.actions(), ["start container web: dep is healthy"]);
    let scene = scene
        .see("dep", healthy("dep", HealthStatus::Unhealthy))
        .see("web", running("web", 5));
    assert_eq!(scene.status().last_status, LastStatus::Running);
}

#[test]
fn a_link_is_a_start_dependency_and_volumes_from_a_create_one() {
    let spec = two(json!({"links": ["dep:cache"]}));
    let scene = Scene::of(spec)
        .see("dep", created("dep"))
        .see("web", created("web"));
    assert_eq!(scene.actions(), ["start container dep: the task is to run"]);

    let spec = two(json!({"volumes_from": [["dep", false]]}));
    let scene = Scene::of(spec);
    assert_eq!(
        scene.actions(),
        ["create container dep: the task is to run"]
    );
    let scene = scene.see("dep", created("dep"));
    assert_eq!(
        scene.actions(),
        ["create container web: the task is to run"]
    );
    let scene = scene.see("web", created("web"));
    assert_eq!(
        scene.actions(),
        [
            "start container dep: the task is to run",
            "start container web: the task is to run"
        ]
    );
}

#[test]
fn nothing_starts_before_every_container_exists() {
    let scene = Scene::of(task(json!([{"name": "a"}, {"name": "b"}]))).see("a", created("a"));
    assert_eq!(scene.actions(), ["create container b: the task is to run"]);
}

// 13
#[test]
fn a_success_dependency_that_fails_ends_its_dependant_with_143_and_an_essential_one_the_task() {
    let scene = Scene::of(waiting("SUCCESS"))
        .see("dep", exited("dep", 2, 1, 2))
        .see("web", created("web"));
    let status = scene.status();
    let web = status.container("web").expect("web");
    assert_eq!(web.last_status, LastStatus::Stopped);
    assert_eq!(web.exit_code, Some(143));
    assert_eq!(
        web.reason.as_deref(),
        Some("CannotStartContainerError: dependency dep ended with exit code 2")
    );
    assert_eq!(status.stop_code, Some(StopCode::TaskFailedToStart));
    // The lines that explain it are the dependency's.
    assert_eq!(scene.actions(), ["read logs of container dep: it ended"]);
    assert_eq!(status.last_status, LastStatus::Deprovisioning);
}

#[test]
fn a_dependant_that_is_not_essential_ends_alone() {
    let mut spec = waiting("SUCCESS");
    spec.containers[1].essential = false;
    spec.containers
        .push(task(json!([{"name": "main"}])).containers.remove(0));
    let scene = Scene::of(spec)
        .see("dep", exited("dep", 2, 1, 2))
        .see("web", created("web"))
        .see("main", running("main", 1));
    assert_eq!(scene.actions(), Vec::<String>::new());
    let status = scene.status();
    assert_eq!(status.last_status, LastStatus::Running);
    assert_eq!(status.container("web").and_then(|c| c.exit_code), Some(143));
}

#[test]
fn a_start_timeout_counts_from_the_start_of_the_dependency() {
    let mut spec = waiting("COMPLETE");
    spec.containers[0].start_timeout = Some(20);
    let mut scene = Scene::of(spec)
        .see("dep", running("dep", 90))
        .see("web", created("web"));
    let step = scene.step();
    assert_eq!(step.wake_at, Some(at(110)));
    assert_eq!(lines(&step), Vec::<String>::new());
    scene.now = at(110);
    assert_eq!(
        scene.status().stopped_reason.as_deref(),
        Some(
            "CannotStartContainerError: dependency dep was not complete within its startTimeout of 20 s"
        )
    );
}

#[test]
fn a_start_timeout_does_not_apply_to_start() {
    let mut spec = waiting("START");
    spec.containers[0].start_timeout = Some(20);
    let scene = Scene::of(spec)
        .see("dep", created("dep"))
        .see("web", created("web"));
    assert_eq!(scene.step().wake_at, None);
    assert_eq!(scene.status().stop_code, None);
}

#[test]
fn a_dependency_that_will_never_start_ends_all_that_wait_for_it() {
    let mut spec = waiting("START");
    let mut third = spec.containers[1].clone();
    third.name = "last".to_owned();
    third.depends_on[0].container = "web".to_owned();
    spec.containers.push(third);
    let scene = Scene::of(spec)
        .see("web", created("web"))
        .see("last", created("last"))
        .failed(Verb::Create, "dep", ErrorKind::Invalid, 1);
    let status = scene.status();
    let codes: Vec<_> = status.containers.iter().map(|c| c.exit_code).collect();
    assert_eq!(codes, [None, Some(143), Some(143)]);
}

// 14
#[test]
fn a_graph_that_cannot_be_resolved_is_a_task_dependency_error() {
    let spec = task(json!([
        {"name": "a", "depends_on": [{"container": "b", "condition": "START"}]},
        {"name": "b", "depends_on": [{"container": "a", "condition": "START"}]}
    ]));
    let status = Scene::of(spec).status();
    assert_eq!(
        status.stopped_reason.as_deref(),
        Some("TaskDependencyError: the containers a, b depend on each other in a circle")
    );
    assert_eq!(status.last_status, LastStatus::Stopped);
    let spec = task(json!([
        {"name": "a", "depends_on": [{"container": "ghost", "condition": "START"}]}
    ]));
    assert_eq!(
        Scene::of(spec).status().stopped_reason.as_deref(),
        Some("TaskDependencyError: container a depends on ghost, which the task does not have")
    );
}

// 11
#[test]
fn every_condition_is_waited_for_while_its_dependency_is_not_created() {
    for condition in ["START", "COMPLETE", "SUCCESS", "HEALTHY"] {
        let scene = Scene::of(waiting(condition)).see("web", created("web"));
        assert_eq!(
            scene.actions(),
            ["create container dep: the task is to run"]
        );
    }
}

// 13
#[test]
fn a_healthy_dependency_that_ends_first_or_takes_too_long_ends_its_dependant_with_143() {
    let mut web = json!({"name": "web"});
    web["depends_on"] = json!([{"container": "dep", "condition": "HEALTHY"}]);
    let mut spec = task(json!([checked("dep", false), web]));
    let ended = Scene::of(spec.clone())
        .see("dep", exited("dep", 0, 1, 2))
        .see("web", created("web"));
    let of = |scene: &Scene| {
        let web = scene.status().containers.remove(1);
        (web.exit_code, web.reason.unwrap_or_default())
    };
    let reason = "CannotStartContainerError: dependency dep ended before it was healthy";
    assert_eq!(of(&ended), (Some(143), reason.to_owned()));
    spec.containers[0].start_timeout = Some(20);
    let mut slow = Scene::of(spec)
        .see("dep", healthy("dep", HealthStatus::Unknown))
        .see("web", created("web"));
    slow.now = at(20);
    let reason =
        "CannotStartContainerError: dependency dep was not healthy within its startTimeout of 20 s";
    assert_eq!(of(&slow), (Some(143), reason.to_owned()));
}
