//! Rules 3–5 and 9: what ends a task, and what is said of it.

use longshore::engine::Engine;
use longshore::model::{LastStatus, StopCode};
use serde_json::json;

use crate::{OBEDIENT, World, container, end, task};

#[tokio::test]
async fn the_exit_of_an_essential_container_stops_all_others_and_that_of_another_does_not() {
    let Some(world) = World::new().await else {
        return;
    };
    let spec = task(&[
        container(
            "web",
            "until test -e /shared/end; do sleep 0.1; done; exit 3",
            json!({}),
        ),
        container("side", OBEDIENT, json!({})),
        container("once", "echo done", json!({"essential": false})),
    ]);
    let id = world.order(&spec).await;
    let over = |status: &longshore::model::TaskStatus| {
        let once = status.container("once");
        status.last_status == LastStatus::Running
            && once.is_some_and(|c| c.last_status == LastStatus::Stopped)
    };
    let status = world
        .until(&id, "RUNNING beside a container that ended", over)
        .await;
    assert_eq!(end(&status, "once"), (Some(0), None));
    assert_eq!(status.stop_code, None);

    let side = world.container(&id, "side").await.expect("it exists");
    let told = std::process::Command::new("docker")
        .args(["exec", &side.id, "touch", "/shared/end"])
        .status();
    assert!(told.expect("docker runs").success());
    let status = world.until_stopped(&id).await;
    assert_eq!(status.stop_code, Some(StopCode::EssentialContainerExited));
    assert_eq!(
        status.stopped_reason.as_deref(),
        Some("Essential container in task exited")
    );
    assert_eq!(end(&status, "web"), (Some(3), None));
    assert_eq!(
        end(&status, "side"),
        (Some(0), None),
        "it was stopped by SIGTERM"
    );
    assert!(status.execution_stopped_at <= status.stopped_at);
}

#[tokio::test]
async fn a_container_that_takes_more_memory_than_its_limit_is_an_out_of_memory_error() {
    let Some(world) = World::new().await else {
        return;
    };
    let greedy = "x=aaaaaaaaaaaaaaaa; while true; do x=$x$x; done";
    let id = world
        .order(&task(&[container("web", greedy, json!({"memory": 16}))]))
        .await;
    let status = world.until_stopped(&id).await;
    assert_eq!(
        end(&status, "web"),
        (
            Some(137),
            Some("OutOfMemoryError: Container killed due to memory usage")
        )
    );
}

#[tokio::test]
async fn a_container_removed_behind_our_back_is_reported_as_removed_and_one_killed_as_killed() {
    let Some(world) = World::new().await else {
        return;
    };
    let spec = task(&[container("web", OBEDIENT, json!({}))]);
    let (removed, killed) = (world.order(&spec).await, world.order(&spec).await);
    for id in [&removed, &killed] {
        world.until_running(id).await;
    }
    let of = async |id| world.container(id, "web").await.expect("it runs").id;
    let id = of(&removed).await;
    world.engine.remove_container(&id).await.expect("removed");
    let id = of(&killed).await;
    let kill = std::process::Command::new("docker")
        .args(["kill", &id])
        .output();
    assert!(kill.expect("docker runs").status.success());

    let status = world.until_stopped(&removed).await;
    assert_eq!(status.stop_code, Some(StopCode::EssentialContainerExited));
    assert_eq!(
        end(&status, "web").1,
        Some("the container was removed from outside")
    );
    let status = world.until_stopped(&killed).await;
    assert_eq!(end(&status, "web"), (Some(137), None));
}

#[tokio::test]
async fn a_program_that_is_not_there_is_a_cannot_start_container_error() {
    let Some(world) = World::new().await else {
        return;
    };
    let id = world
        .order(&task(&[container(
            "web",
            "",
            json!({"entry_point": ["/nowhere"]}),
        )]))
        .await;
    let status = world.until_stopped(&id).await;
    assert_eq!(status.stop_code, Some(StopCode::TaskFailedToStart));
    let (code, reason) = end(&status, "web");
    assert_eq!(code, None, "it never ran");
    let reason = reason.expect("a reason");
    assert!(
        reason.starts_with("CannotStartContainerError: "),
        "{reason}"
    );
    assert_eq!(status.started_at, None);
}
