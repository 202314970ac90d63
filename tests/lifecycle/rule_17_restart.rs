//! Rule 17: restart in place.

use longshore::engine::ContainerState;
use longshore::model::{LastStatus, TaskStatus};
use serde_json::json;

use crate::{World, container, end, task};

#[tokio::test]
async fn a_container_is_restarted_in_place_with_its_id_and_counted() {
    let Some(world) = World::new().await else {
        return;
    };
    // The first run leaves a mark in the container's own file system, which the same container still has.
    let script = "test -e /tmp/second && exec sleep 100000; touch /tmp/second; sleep 2; exit 1";
    let policy = json!({"restart_policy": {"restart_attempt_period": 1}});
    let id = world
        .order(&task(&[container("web", script, policy)]))
        .await;
    let before = world.until_running(&id).await.containers.remove(0);
    assert_eq!(before.restart_count, 0);
    let again = |status: &TaskStatus| {
        status.containers[0].restart_count == 1
            && status.containers[0].last_status == LastStatus::Running
    };
    let status = world.until(&id, "restarted", again).await;
    assert_eq!(
        status.last_status,
        LastStatus::Running,
        "the task never stopped"
    );
    assert_eq!(status.containers[0].runtime_id, before.runtime_id);
    assert!(status.containers[0].last_restart_at > before.started_at);
    let web = world.container(&id, "web").await.expect("it exists");
    assert_eq!(
        (Some(&web.id), web.state),
        (before.runtime_id.as_ref(), ContainerState::Running)
    );
}

#[tokio::test]
async fn an_exit_code_that_the_policy_ignores_ends_the_task() {
    let Some(world) = World::new().await else {
        return;
    };
    let policy =
        json!({"restart_policy": {"restart_attempt_period": 1, "ignored_exit_codes": [42]}});
    let id = world
        .order(&task(&[container("web", "sleep 2; exit 42", policy)]))
        .await;
    let status = world.until_stopped(&id).await;
    assert_eq!(end(&status, "web"), (Some(42), None));
    assert_eq!(status.containers[0].restart_count, 0);
}
