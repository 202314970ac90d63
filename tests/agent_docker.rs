//! The agent on a real Docker Engine.

mod common;
mod rig;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use common::{IMAGE, Namespace};
use futures_util::FutureExt;
use longshore::agent::recover;
use longshore::clock::{RandomIds, SystemClock};
use longshore::engine::{ContainerState, Engine, ErrorKind, ObservedContainer, labels};
use longshore::model::{
    HealthStatus, LastStatus, NetworkMode, PortClaim, Protocol, StopCode, TaskSpec,
};
use rig::{Rig, spec};
use serde_json::json;

/// Runs a test with an agent that has begun, and removes everything of its owner after it, however it ended.
async fn with_agent(test: impl AsyncFnOnce(&mut Rig)) {
    let Some(engine) = common::docker().await else {
        return;
    };
    let mut rig = Rig::new(engine, Arc::new(SystemClock), Arc::new(RandomIds)).await;
    rig.start().await;
    rig.connected().await;
    let outcome = AssertUnwindSafe(test(&mut rig)).catch_unwind().await;
    rig.kill().await;
    let cleaned = clean(&rig).await;
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
    cleaned.expect("what the test created can be removed");
}

async fn clean(rig: &Rig) -> Result<(), longshore::engine::EngineError> {
    let ours = owned(rig);
    let gone = |result: Result<(), longshore::engine::EngineError>| match result {
        Err(error) if error.kind != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    for container in rig.engine.list_containers(&ours).await? {
        gone(rig.engine.remove_container(&container.id).await)?;
    }
    for network in rig.engine.list_networks(&ours).await? {
        gone(rig.engine.remove_network(&network.id).await)?;
    }
    for volume in rig.engine.list_volumes(&ours).await? {
        gone(rig.engine.remove_volume(&volume.name).await)?;
    }
    Ok(())
}

fn owned(rig: &Rig) -> Vec<(String, String)> {
    vec![(labels::OWNER.to_owned(), rig.owner.clone())]
}

async fn containers(rig: &Rig) -> Vec<ObservedContainer> {
    rig.engine
        .list_containers(&owned(rig))
        .await
        .expect("the engine lists")
}

async fn of(rig: &Rig, name: &str) -> ObservedContainer {
    containers(rig)
        .await
        .into_iter()
        .find(|c| c.labels[labels::CONTAINER] == name)
        .expect("that container")
}

fn sh(script: &str) -> serde_json::Value {
    json!({"family": "web", "containers": [
        {"name": "web", "command": ["sh", "-c", script], "stop_timeout": 1, "memory": 32}
    ]})
}

fn sleeper() -> TaskSpec {
    spec(IMAGE, sh("trap 'exit 0' TERM; sleep 100000 & wait"))
}

fn pod() -> TaskSpec {
    spec(
        IMAGE,
        json!({"family": "pod", "network_mode": "awsvpc",
        "volumes": [{"name": "site", "kind": {"type": "task"}}],
        "containers": [
            {"name": "migrate", "essential": false,
             "command": ["sh", "-c", "echo 7 > /site/schema"],
             "mount_points": [{"source_volume": "site", "container_path": "/site"}]},
            {"name": "web", "command": ["sh", "-c", "exec httpd -f -p 8080 -h /site"],
             "stop_timeout": 1, "port_mappings": [{"container_port": 8080}],
             "mount_points": [{"source_volume": "site", "container_path": "/site", "read_only": true}],
             "health_check": {"command": ["CMD-SHELL", "wget -q -O - http://127.0.0.1:8080/schema | grep -q 7"],
                              "interval": 1, "timeout": 2, "retries": 2, "start_period": 0},
             "depends_on": [{"container": "migrate", "condition": "SUCCESS"}]},
            {"name": "ask", "essential": false, "stop_timeout": 1,
             "command": ["sh", "-c", "wget -q -O - http://localhost:8080/schema; wget -q -O - http://web:8080/schema"],
             "depends_on": [{"container": "web", "condition": "HEALTHY"}]}
        ]}),
    )
}

#[tokio::test]
async fn a_task_of_several_containers_shares_localhost_a_volume_and_a_name_and_leaves_nothing() {
    with_agent(async |rig| {
        let id = rig.order(&pod()).await;
        let status = rig
            .until(&id, "RUNNING, and asked", |s| {
                s.last_status == LastStatus::Running
                    && s.container("ask").is_some_and(|c| c.exit_code.is_some())
            })
            .await;
        assert_eq!(status.container("ask").and_then(|c| c.exit_code), Some(0));
        assert_eq!(status.health, HealthStatus::Healthy);
        let web = status.container("web").expect("web");
        let binding = web.network_bindings.first().expect("a published port");
        assert!(binding.host_port > 0 && binding.container_port == 8080);
        let page = tokio::net::TcpStream::connect(("127.0.0.1", binding.host_port)).await;
        assert!(page.is_ok(), "the port answers on the host");
        assert!(web.address.is_some());

        rig.order_stop(&id).await;
        rig.until_stopped(&id).await;
        let left: Vec<_> = containers(rig).await;
        assert_eq!(left.len(), 3, "the pause container goes with the task");
        rig.delete(&id).await;
        rig.until_true("containers and volumes are removed", async || {
            containers(rig).await.is_empty()
                && rig
                    .engine
                    .list_volumes(&owned(rig))
                    .await
                    .expect("it lists")
                    .iter()
                    .all(|v| !v.labels.contains_key(labels::TASK))
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn containers_of_a_bridge_task_are_linked_and_answer_to_their_services_name() {
    with_agent(async |rig| {
        let spec = spec(
            IMAGE,
            json!({"family": "web", "containers": [
                {"name": "server", "command": ["sh", "-c", "mkdir /w; echo hello > /w/index.html; exec httpd -f -p 80 -h /w"],
                 "stop_timeout": 1, "port_mappings": [{"container_port": 80, "host_port": 0}],
                 "health_check": {"command": ["CMD-SHELL", "wget -q -O - http://127.0.0.1/"],
                                  "interval": 1, "timeout": 2, "retries": 5, "start_period": 0}},
                {"name": "client", "essential": false, "links": ["server:backend"],
                 "command": ["sh", "-c", "wget -q -O - http://backend/ && wget -q -O - http://web/"],
                 "depends_on": [{"container": "server", "condition": "HEALTHY"}]}
            ]}),
        );
        let mut record = rig.record(&spec, "web");
        record.ports = vec![PortClaim {
            container: "server".to_owned(),
            container_port: 80,
            protocol: Protocol::Tcp,
            host_port: 0,
        }];
        rig.place(&spec, &record).await;
        let status = rig
            .until(&record.id, "asked", |s| {
                s.container("client").is_some_and(|c| c.exit_code.is_some())
            })
            .await;
        assert_eq!(status.container("client").and_then(|c| c.exit_code), Some(0));
        assert!(!status.containers[0].network_bindings.is_empty());
    })
    .await;
}

#[tokio::test]
async fn an_essential_container_that_fails_says_why_with_its_last_lines() {
    with_agent(async |rig| {
        let id = rig
            .order(&spec(IMAGE, sh("echo no database; exit 3")))
            .await;
        let status = rig.until_stopped(&id).await;
        assert_eq!(status.stop_code, Some(StopCode::EssentialContainerExited));
        assert_eq!(status.containers[0].exit_code, Some(3));
        assert_eq!(status.last_log_lines, ["no database"]);
    })
    .await;
}

#[tokio::test]
async fn a_program_that_is_not_there_fails_the_task_at_once_with_the_engines_words() {
    with_agent(async |rig| {
        let spec = spec(
            IMAGE,
            json!({"family": "web", "containers": [{"name": "web", "command": ["no-such-program"]}]}),
        );
        let id = rig.order(&spec).await;
        let status = rig.until_stopped(&id).await;
        assert_eq!(status.stop_code, Some(StopCode::TaskFailedToStart));
        let reason = status.stopped_reason.unwrap_or_default();
        assert!(reason.starts_with("CannotStartContainerError: "), "{reason}");
        assert!(reason.contains("no-such-program"), "{reason}");
    })
    .await;
}

#[tokio::test]
async fn an_image_that_is_nowhere_fails_the_task_with_its_name() {
    with_agent(async |rig| {
        // A registry on a port where nobody listens: as fast as a refusal can be.
        let image = "127.0.0.1:9/longshore-test/ghost:1";
        let id = rig
            .order(&spec(
                image,
                json!({"family": "web", "containers": [{"name": "web"}]}),
            ))
            .await;
        let status = rig.until_stopped(&id).await;
        assert_eq!(status.stop_code, Some(StopCode::TaskFailedToStart));
        let reason = status.stopped_reason.unwrap_or_default();
        assert!(reason.starts_with("CannotPullContainerError: "), "{reason}");
    })
    .await;
}

#[tokio::test]
async fn a_container_removed_by_hand_ends_its_task_and_a_restart_policy_restarts_in_place() {
    with_agent(async |rig| {
        let mut restarting = sleeper();
        restarting.family = "restarting".into();
        restarting.containers[0].restart_policy = Some(longshore::model::RestartPolicy {
            ignored_exit_codes: Vec::new(),
            // ECS's least is 60 s; the agent takes what it is given.
            restart_attempt_period: 0,
        });
        let removed = rig.order(&sleeper()).await;
        let restarted = rig.order(&restarting).await;
        rig.until_running(&removed).await;
        let before = rig.until_running(&restarted).await;
        let container = |status: &longshore::model::TaskStatus| {
            status.containers[0].runtime_id.clone().expect("an id")
        };
        let victim = rig.status(&removed).expect("a status");
        rig.engine
            .remove_container(&container(&victim))
            .await
            .expect("removed");
        rig.engine
            .stop_container(&container(&before), 1)
            .await
            .expect("stopped");
        let status = rig.until_stopped(&removed).await;
        assert_eq!(status.stop_code, Some(StopCode::EssentialContainerExited));
        let after = rig
            .until(&restarted, "restarted", |s| {
                s.containers[0].restart_count == 1
            })
            .await;
        assert_eq!(container(&before), container(&after));
        assert_eq!(after.last_status, LastStatus::Running);
    })
    .await;
}

#[tokio::test]
async fn a_pause_container_that_is_killed_ends_its_task() {
    with_agent(async |rig| {
        let mut spec = sleeper();
        spec.network_mode = NetworkMode::Awsvpc;
        let id = rig.order(&spec).await;
        rig.until_running(&id).await;
        let pause = of(rig, labels::PAUSE_CONTAINER).await;
        rig.engine
            .stop_container(&pause.id, 0)
            .await
            .expect("killed");
        let status = rig.until_stopped(&id).await;
        assert_eq!(status.stop_code, Some(StopCode::InfrastructureHealth));
        assert!(
            containers(rig)
                .await
                .iter()
                .all(|c| c.state != ContainerState::Running)
        );
    })
    .await;
}

#[tokio::test]
async fn an_agent_that_was_killed_takes_its_tasks_up_again_and_touches_nothing() {
    with_agent(async |rig| {
        let ids = [rig.order(&sleeper()).await, rig.order(&pod()).await];
        for id in &ids {
            rig.until_running(id).await;
        }
        let before: Vec<_> = ids.iter().map(|id| rig.status(id)).collect();
        let seen = snapshot(rig).await;
        rig.kill().await;
        rig.start().await;
        rig.connected().await;
        // One more task through the whole of it: whatever was to happen to the others has happened.
        let last = rig.order(&sleeper()).await;
        rig.until_running(&last).await;
        let after: Vec<_> = ids.iter().map(|id| rig.status(id)).collect();
        let starts = |all: &[Option<longshore::model::TaskStatus>]| -> Vec<_> {
            all.iter()
                .flatten()
                .flat_map(|s| {
                    s.containers
                        .iter()
                        .map(|c| (c.runtime_id.clone(), c.started_at))
                })
                .collect()
        };
        assert_eq!(starts(&before), starts(&after));
        let now = snapshot(rig).await;
        assert!(seen.iter().all(|container| now.contains(container)));
    })
    .await;
}

#[tokio::test]
async fn a_store_lost_while_tasks_run_is_restored_and_nothing_restarts() {
    with_agent(async |rig| {
        let ids = [rig.order(&sleeper()).await, rig.order(&pod()).await];
        for id in &ids {
            rig.until_running(id).await;
        }
        rig.until(&ids[1], "healthy", |s| s.health == HealthStatus::Healthy)
            .await;
        rig.kill().await;
        let seen = snapshot(rig).await;

        let mut fresh = Rig::with_owner(
            Arc::clone(&rig.engine),
            Arc::clone(&rig.clock),
            Arc::clone(&rig.ids),
            rig.owner.clone(),
        )
        .await;
        let lost = recover(&containers(rig).await).lost_from(&fresh.view.read());
        assert_eq!(lost.tasks.len(), 2);
        for task in lost.tasks.values() {
            fresh
                .place(&lost.specs[&task.record.spec], &task.record)
                .await;
        }
        fresh.accounted_seq = lost.max_seq;
        fresh.start().await;
        for id in &ids {
            fresh.until_running(id).await;
        }
        assert_eq!(snapshot(rig).await, seen);
        fresh.stop().await.expect("it ends well");
    })
    .await;
}

/// Every container with its start: what must not change where nothing is to happen.
async fn snapshot(rig: &Rig) -> Vec<(String, ContainerState, Option<longshore::model::Timestamp>)> {
    let mut all: Vec<_> = containers(rig)
        .await
        .into_iter()
        .filter(|c| c.labels[labels::CONTAINER] != "ask")
        .map(|c| (c.id, c.state, c.started_at))
        .collect();
    all.sort();
    all
}

#[tokio::test]
async fn foreign_containers_beside_ours_are_left_alone() {
    let Some(engine) = common::docker().await else {
        return;
    };
    let namespace = Namespace::new();
    namespace
        .run(&*engine, async {
            let foreign = engine
                .create_container(
                    &namespace.name("theirs"),
                    &namespace.body(&["sleep", "1000"]),
                )
                .await
                .expect("created");
            engine.start_container(&foreign).await.expect("started");
            let before = engine.inspect_container(&foreign).await.expect("there");
            with_agent(async |rig| {
                let id = rig.order(&sleeper()).await;
                rig.until_running(&id).await;
                rig.order_stop(&id).await;
                rig.until_stopped(&id).await;
                rig.delete(&id).await;
                rig.until_true("ours is removed", async || containers(rig).await.is_empty())
                    .await;
            })
            .await;
            let after = engine.inspect_container(&foreign).await.expect("there");
            assert_eq!(before, after);
        })
        .await;
}
