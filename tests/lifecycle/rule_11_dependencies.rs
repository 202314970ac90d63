//! Rules 11 and 13: what a container waits for, and what becomes of it when that never comes.

use longshore::engine::ContainerState;
use longshore::model::StopCode;
use serde_json::json;

use crate::{World, container, end, task};

fn after(dependency: &str, condition: &str) -> serde_json::Value {
    json!({"depends_on": [{"container": dependency, "condition": condition}]})
}

#[tokio::test]
async fn what_waits_for_a_sidecar_to_be_healthy_starts_after_it_is() {
    let Some(world) = World::new().await else {
        return;
    };
    let check = json!({"essential": false, "health_check": {
        "command": ["CMD-SHELL", "test -e /shared/ready"], "interval": 1, "timeout": 2, "retries": 30, "start_period": 0
    }});
    let spec = task(&[
        container("side", "sleep 1; touch /shared/ready; sleep 100000", check),
        container("main", "test -e /shared/ready", after("side", "HEALTHY")),
    ]);
    let id = world.order(&spec).await;
    let status = world.until_stopped(&id).await;
    assert_eq!(
        end(&status, "main"),
        (Some(0), None),
        "the file was there before it started"
    );
}

#[tokio::test]
async fn a_migration_that_fails_keeps_what_needs_its_success_from_starting() {
    let Some(world) = World::new().await else {
        return;
    };
    let spec = task(&[
        container(
            "migrate",
            "echo no database; exit 2",
            json!({"essential": false}),
        ),
        container("web", "echo never", after("migrate", "SUCCESS")),
    ]);
    let id = world.order(&spec).await;
    let status = world.until_stopped(&id).await;
    assert_eq!(status.stop_code, Some(StopCode::TaskFailedToStart));
    assert_eq!(
        end(&status, "web"),
        (
            Some(143),
            Some("CannotStartContainerError: dependency migrate ended with exit code 2")
        )
    );
    assert_eq!(end(&status, "migrate"), (Some(2), None));
    assert_eq!(status.last_log_lines, ["no database"]);
    let web = world.container(&id, "web").await.expect("it was created");
    assert_eq!(
        web.state,
        ContainerState::Created,
        "the engine never started it"
    );
}

#[tokio::test]
async fn a_dependency_that_exceeds_its_start_timeout_ends_the_task() {
    let Some(world) = World::new().await else {
        return;
    };
    let spec = task(&[
        container(
            "slow",
            "sleep 100000",
            json!({"essential": false, "start_timeout": 1, "stop_timeout": 1}),
        ),
        container("web", "echo never", after("slow", "COMPLETE")),
    ]);
    let id = world.order(&spec).await;
    let status = world.until_stopped(&id).await;
    let reason = "CannotStartContainerError: dependency slow was not complete within its startTimeout of 1 s";
    assert_eq!(end(&status, "web"), (Some(143), Some(reason)));
    assert_eq!(status.stopped_reason.as_deref(), Some(reason));
    let web = world.container(&id, "web").await.expect("it was created");
    assert_eq!(web.state, ContainerState::Created);
}
