//! Semantics §4, rule 9: the typed errors of containers.

use super::*;

#[test]
fn a_create_that_can_never_work_fails_the_task_with_its_error() {
    let scene = Scene::of(one()).failed(Verb::Create, "web", ErrorKind::Invalid, 1);
    let status = scene.status();
    assert_eq!(status.stop_code, Some(StopCode::TaskFailedToStart));
    assert_eq!(
        status.stopped_reason.as_deref(),
        Some("CannotCreateContainerError: no luck")
    );
    assert_eq!(status.containers[0].reason, status.stopped_reason);
    assert_eq!(status.last_status, LastStatus::Stopped);
    // The memory of the attempt is gone after a restart of the agent; the verdict is not.
    let mut scene = scene.advance();
    scene.facts.attempts.clear();
    assert_eq!(scene.status(), scene.prior);
    assert_eq!(scene.actions(), Vec::<String>::new());
}

#[test]
fn a_start_that_can_never_work_fails_the_task_with_its_error() {
    let scene = Scene::of(one()).see("web", created("web")).failed(
        Verb::Start,
        "web",
        ErrorKind::Invalid,
        1,
    );
    let status = scene.status();
    assert_eq!(
        status.stopped_reason.as_deref(),
        Some("CannotStartContainerError: no luck")
    );
    assert_eq!(status.started_at, None);
}

#[test]
fn another_container_that_cannot_be_created_does_not_stop_the_task() {
    let spec = task(json!([{"name": "web"}, {"name": "side", "essential": false}]));
    let scene = Scene::of(spec).see("web", created("web")).failed(
        Verb::Create,
        "side",
        ErrorKind::Invalid,
        1,
    );
    assert_eq!(scene.actions(), ["start container web: the task is to run"]);
    let scene = scene.advance().see("web", running("web", 1));
    let status = scene.status();
    assert_eq!(status.last_status, LastStatus::Running);
    assert_eq!(
        status.container("side").and_then(|c| c.reason.as_deref()),
        Some("CannotCreateContainerError: no luck")
    );
}

#[test]
fn a_container_killed_for_its_memory_says_so() {
    let killed = ObservedContainer {
        oom_killed: true,
        ..exited("web", 137, 1, 2)
    };
    let status = Scene::of(one()).see("web", killed).status();
    assert_eq!(
        status.containers[0].reason.as_deref(),
        Some("OutOfMemoryError: Container killed due to memory usage")
    );
}

#[test]
fn a_network_or_pause_container_that_cannot_be_made_fails_the_task() {
    let mut spec = one();
    spec.network_mode = NetworkMode::Awsvpc;
    let mut scene = Scene::of(spec);
    scene.facts.network = Readiness::Missing;
    let scene = scene.failed(Verb::CreateNetwork, "", ErrorKind::Invalid, 1);
    assert_eq!(
        scene.status().stopped_reason.as_deref(),
        Some("ResourceInitializationError: no luck")
    );
    let mut scene = scene;
    scene.facts.network = Readiness::Ready;
    scene.facts.attempts.clear();
    let scene = scene
        .see(PAUSE_CONTAINER, created(PAUSE_CONTAINER))
        .see("web", created("web"))
        .failed(Verb::Start, PAUSE_CONTAINER, ErrorKind::Unknown, 3);
    assert_eq!(
        scene.status().stopped_reason.as_deref(),
        Some("ContainerNetworkingError: no luck")
    );
}

#[test]
fn a_create_or_start_that_the_engine_does_not_finish_is_a_docker_timeout_error() {
    let create = Scene::of(one()).failed(Verb::Create, "web", ErrorKind::TimedOut, 3);
    assert_eq!(
        create.status().stopped_reason.as_deref(),
        Some("DockerTimeoutError: Could not transition to created; no luck")
    );
    let start = Scene::of(one()).see("web", created("web"));
    let start = start.failed(Verb::Start, "web", ErrorKind::TimedOut, 3);
    let status = start.status();
    assert_eq!(
        status.containers[0].reason.as_deref(),
        Some("DockerTimeoutError: Could not transition to started; no luck")
    );
    assert_eq!(status.stop_code, Some(StopCode::TaskFailedToStart));
}

#[test]
fn a_call_that_may_work_when_it_is_made_again_is_no_error_yet() {
    let scene = Scene::of(one()).failed(Verb::Create, "web", ErrorKind::TimedOut, 2);
    assert_eq!(scene.status().stop_code, None);
    assert!(scene.step().wake_at.is_some());
}
