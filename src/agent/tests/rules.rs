//! Semantics §4, sentences 1–18, one test or more each.

use serde_json::json;

use super::*;
use crate::agent::LogFact;
use crate::engine::PublishedPort;
use crate::engine::labels::PAUSE_CONTAINER;
use crate::model::{LastStatus, NetworkMode, Protocol};

fn one() -> TaskSpec {
    task(json!([{"name": "web"}]))
}

fn two(second: serde_json::Value) -> TaskSpec {
    let mut web = json!({"name": "web"});
    let fields = second.as_object().expect("an object").clone();
    web.as_object_mut().expect("an object").extend(fields);
    task(json!([{"name": "dep", "essential": false}, web]))
}

fn waiting(condition: &str) -> TaskSpec {
    two(json!({"depends_on": [{"container": "dep", "condition": condition}]}))
}

fn checked(name: &str, essential: bool) -> serde_json::Value {
    json!({"name": name, "essential": essential, "health_check": {
        "command": ["CMD", "true"], "interval": 5, "timeout": 2, "retries": 2, "start_period": 0
    }})
}

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

// 9
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

// 10
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

// 12
#[test]
fn images_are_pulled_for_all_containers_at_once_whatever_they_depend_on() {
    let mut spec = waiting("SUCCESS");
    spec.containers[1].image = "nginx".to_owned();
    let mut scene = Scene::of(spec);
    scene.facts.images.clear();
    assert_eq!(
        scene.actions(),
        [
            "pull busybox: container dep needs it",
            "pull nginx: container web needs it"
        ]
    );
    scene
        .facts
        .images
        .insert("nginx".to_owned(), ImageFact::Pulling { since: at(3) });
    assert_eq!(scene.actions(), ["pull busybox: container dep needs it"]);
    assert_eq!(scene.status().pull_started_at, Some(at(3)));
    let pulled = ImageFact::Present {
        digest: Some("sha256:abc".to_owned()),
        pulled: Some((at(3), at(6))),
        ours: true,
    };
    scene
        .facts
        .images
        .insert("busybox".to_owned(), pulled.clone());
    scene.facts.images.insert("nginx".to_owned(), pulled);
    let status = scene.status();
    assert_eq!(status.pull_stopped_at, Some(at(6)));
    assert_eq!(
        status.containers[0].image_digest.as_deref(),
        Some("sha256:abc")
    );
}

#[test]
fn an_image_for_another_architecture_is_asked_for_by_platform() {
    let mut spec = one();
    spec.architecture = Some("arm64".to_owned());
    let mut scene = Scene::of(spec);
    scene.facts.images.clear();
    assert_eq!(
        scene.actions(),
        ["pull busybox for linux/arm64: container web needs it"]
    );
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

// 15
#[test]
fn a_container_is_stopped_only_after_everything_that_depends_on_it() {
    let scene = Scene::of(waiting("START"))
        .see("dep", running("dep", 1))
        .see("web", running("web", 1))
        .ordered_to_stop("down");
    assert_eq!(scene.actions(), ["stop container web within 30 s: down"]);
    let scene = scene.see("web", exited("web", 0, 1, 2));
    assert_eq!(scene.actions(), ["stop container dep within 30 s: down"]);
}

#[test]
fn the_pause_container_goes_last_and_at_once() {
    let mut spec = one();
    spec.network_mode = NetworkMode::Awsvpc;
    let scene = Scene::of(spec)
        .see(PAUSE_CONTAINER, running(PAUSE_CONTAINER, 1))
        .see("web", running("web", 1))
        .ordered_to_stop("down");
    assert_eq!(scene.actions(), ["stop container web within 30 s: down"]);
    let scene = scene.see("web", exited("web", 0, 1, 2));
    assert_eq!(
        scene.actions(),
        ["remove the pause container: every container of the task has ended"]
    );
    assert_eq!(scene.status().last_status, LastStatus::Deprovisioning);
    let scene = scene.gone(PAUSE_CONTAINER);
    assert_eq!(scene.status().last_status, LastStatus::Stopped);
}

// 16
#[test]
fn the_stop_timeout_is_the_definitions_or_30_s_and_at_least_1_s() {
    for (declared, used) in [(json!(null), 30), (json!(5), 5), (json!(0), 1)] {
        let scene = Scene::of(task(json!([{"name": "web", "stop_timeout": declared}])))
            .see("web", running("web", 1))
            .ordered_to_stop("down");
        assert_eq!(
            scene.actions(),
            [format!("stop container web within {used} s: down")]
        );
    }
}

#[test]
fn a_stop_that_fails_is_tried_again_after_a_pause() {
    let mut scene = Scene::of(one())
        .see("web", running("web", 1))
        .ordered_to_stop("down")
        .failed(Verb::Stop, "web", ErrorKind::Unknown, 2);
    let step = scene.step();
    assert_eq!(lines(&step), Vec::<String>::new());
    let wake = step.wake_at.expect("a time to try again");
    assert_eq!(wake, at(100).plus(std::time::Duration::from_millis(500)));
    scene.now = wake;
    assert_eq!(scene.actions(), ["stop container web within 30 s: down"]);
}

#[test]
fn nothing_is_decided_about_a_container_on_which_a_call_is_under_way() {
    let mut scene = Scene::of(one()).see("web", created("web"));
    scene.facts.busy.insert("web".to_owned());
    assert_eq!(scene.actions(), Vec::<String>::new());
    let scene = scene.ordered_to_stop("down");
    assert_eq!(scene.actions(), Vec::<String>::new());
    assert_eq!(scene.status().last_status, LastStatus::Stopping);
}

// 17
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

// 18
#[test]
fn a_pull_that_fails_for_good_stops_the_whole_task() {
    let mut spec = task(json!([{"name": "web"}, {"name": "side", "essential": false}]));
    spec.containers[1].image = "ghost".to_owned();
    let mut scene = Scene::of(spec).failed(Verb::Pull, "ghost", ErrorKind::ImageNotFound, 1);
    scene
        .facts
        .images
        .insert("ghost".to_owned(), ImageFact::Absent);
    let status = scene.status();
    assert_eq!(
        status.stopped_reason.as_deref(),
        Some(
            "CannotPullContainerError: no luck; check the image's name and tag, and that it was pushed to docker.io"
        )
    );
    assert_eq!(status.stop_code, Some(StopCode::TaskFailedToStart));
    assert_eq!(scene.actions(), Vec::<String>::new());
}

#[test]
fn a_pull_that_failed_for_an_earlier_reason_does_not_matter_once_the_image_is_there() {
    let scene = Scene::of(one()).failed(Verb::Pull, "busybox", ErrorKind::ImageNotFound, 9);
    assert_eq!(
        scene.actions(),
        ["create container web: the task is to run"]
    );
}

// Volumes (semantics §2c)
#[test]
fn volumes_are_provided_before_what_mounts_them_is_created() {
    let mut spec = task(json!([
        {"name": "web", "mount_points": [
            {"source_volume": "scratch", "container_path": "/a"},
            {"source_volume": "theirs", "container_path": "/b"},
            {"source_volume": "host", "container_path": "/c"}
        ]},
        {"name": "side"}
    ]));
    spec.volumes = serde_json::from_value(json!([
        {"name": "scratch", "kind": {"type": "task"}},
        {"name": "theirs", "kind": {"type": "shared", "autoprovision": false}},
        {"name": "host", "kind": {"type": "hostPath", "path": "/tmp"}}
    ]))
    .expect("volumes");
    let mut scene = Scene::of(spec);
    scene.facts.volumes.clear();
    assert_eq!(
        scene.actions(),
        [
            "create volume scratch: container web mounts it",
            "find volume theirs: container web mounts it",
            "create container side: the task is to run"
        ]
    );
    let scene = scene.failed(Verb::FindVolume, "theirs", ErrorKind::NotFound, 1);
    assert_eq!(
        scene.status().stopped_reason.as_deref(),
        Some("CannotCreateVolumeError: no luck")
    );
}

// Reported addresses
#[test]
fn ports_and_addresses_of_an_awsvpc_task_are_the_pause_containers() {
    let mut spec = task(json!([
        {"name": "web", "port_mappings": [{"container_port": 80}]},
        {"name": "side", "port_mappings": [{"container_port": 90}]}
    ]));
    spec.network_mode = NetworkMode::Awsvpc;
    let port = |container_port, host_port| PublishedPort {
        container_port,
        protocol: Protocol::Tcp,
        host_ip: "0.0.0.0".to_owned(),
        host_port,
    };
    let pause = ObservedContainer {
        addresses: [("net".to_owned(), "10.0.0.9".to_owned())].into(),
        ports: vec![port(80, 32_768), port(90, 32_769)],
        ..running(PAUSE_CONTAINER, 1)
    };
    let status = Scene::of(spec)
        .see(PAUSE_CONTAINER, pause)
        .see("web", running("web", 1))
        .see("side", running("side", 1))
        .status();
    let ports: Vec<_> = status
        .containers
        .iter()
        .map(|c| (c.address.as_deref(), c.network_bindings[0].host_port))
        .collect();
    assert_eq!(
        ports,
        [(Some("10.0.0.9"), 32_768), (Some("10.0.0.9"), 32_769)]
    );
}

#[test]
fn a_task_found_running_by_an_agent_without_memory_says_when_it_started() {
    let status = Scene::of(one()).see("web", running("web", 10)).status();
    assert_eq!(status.last_status, LastStatus::Running);
    assert_eq!(status.started_at, Some(at(10)));
}
