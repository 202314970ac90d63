//! What a container is given by reference, and what becomes of its task where that cannot be had.

use longshore::model::{ClusterName, ClusterSpec, SecretProvider, StopCode};
use serde_json::json;

use super::{IMAGE, rig, running, spec};

fn with_directory(path: &str) -> ClusterSpec {
    let mut cluster = ClusterSpec::named(ClusterName::default());
    cluster.secrets.providers = vec![SecretProvider::Directory {
        path: path.to_owned(),
    }];
    cluster
}

#[tokio::test(start_paused = true)]
async fn a_task_whose_secret_nobody_has_fails_to_start_and_says_who_was_asked() {
    let (mut rig, engine) = rig().await;
    rig.start().await;
    // The container that lacks it is not essential: it is the task's affair all the same.
    let wants = spec(
        IMAGE,
        json!({"family": "web", "containers": [
            {"name": "web", "command": ["sleep", "1000000"]},
            {"name": "side", "essential": false, "command": ["sleep", "1000000"],
             "secrets": [{"name": "PASSWORD", "value_from": "/shop/db"}]},
        ]}),
    );
    let id = rig.order(&wants).await;
    let status = rig.until_stopped(&id).await;
    let reason = "ResourceInitializationError: unable to pull secrets or registry auth: \
                  secret PASSWORD (/shop/db): the cluster has no secretProviders";
    assert_eq!(status.stop_code, Some(StopCode::TaskFailedToStart));
    assert_eq!(status.stopped_reason.as_deref(), Some(reason));
    let side = status.container("side").expect("side");
    assert_eq!(side.reason.as_deref(), Some(reason));
    assert!(status.containers.iter().all(|c| c.started_at.is_none()));

    // A provider that the cluster's manifest has got meanwhile is asked for the next task.
    rig.declare(&with_directory("secrets")).await;
    let id = rig.order(&wants).await;
    let status = rig.until_stopped(&id).await;
    let reason = status.stopped_reason.unwrap_or_default();
    assert!(
        reason.ends_with("no provider has /shop/db, db; asked: directory secrets"),
        "{reason}"
    );
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("db"), "value").expect("written");
    let path = folder.path().display().to_string();
    rig.declare(&with_directory(&path)).await;
    let id = rig.order(&wants).await;
    rig.until_running(&id).await;
    assert_eq!(running(&engine), 2);
}

#[tokio::test(start_paused = true)]
async fn a_file_of_variables_that_is_not_there_fails_the_task() {
    let (mut rig, _engine) = rig().await;
    rig.start().await;
    let wants = spec(
        IMAGE,
        json!({"family": "web", "containers": [
            {"name": "web", "environment_files": [{"kind": "file", "value": "no/such.env"}]},
        ]}),
    );
    let id = rig.order(&wants).await;
    let status = rig.until_stopped(&id).await;
    let reason = status.stopped_reason.unwrap_or_default();
    let start = "ResourceInitializationError: failed to read env files: environment file no/such.env: there is no /";
    assert!(reason.starts_with(start), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn an_image_is_not_pulled_without_the_credentials_that_its_container_names() {
    let (mut rig, engine) = rig().await;
    engine.push("private:1");
    rig.start().await;
    let wants = spec(
        "private:1",
        json!({"family": "web", "containers": [{"name": "web", "repository_credentials": "registry"}]}),
    );
    let id = rig.order(&wants).await;
    let status = rig.until_stopped(&id).await;
    let reason = "ResourceInitializationError: unable to pull secrets or registry auth: \
                  secret repositoryCredentials (registry): the cluster has no secretProviders";
    assert_eq!(status.stopped_reason.as_deref(), Some(reason));
    assert_eq!(status.stop_code, Some(StopCode::TaskFailedToStart));

    let folder = tempfile::tempdir().expect("a folder");
    let secret = r#"{"username": "me", "password": "word"}"#;
    std::fs::write(folder.path().join("registry"), secret).expect("written");
    let path = folder.path().display().to_string();
    rig.declare(&with_directory(&path)).await;
    let id = rig.order(&wants).await;
    rig.until_running(&id).await;
}
