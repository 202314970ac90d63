//! The agent on the simulated engine, in virtual time.

mod rig;
#[path = "agent_simulated/secrets.rs"]
mod secrets;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use longshore::agent::recover;
use longshore::clock::{SeededIds, TokioClock};
use longshore::engine::simulated::{
    Behaviour, FaultPlan, Operation, RegistryAnswer, SimEventKind, SimImage, SimOptions, Simulated,
};
use longshore::engine::{ContainerState, Engine, ErrorKind, ObservedContainer, labels};
use longshore::model::{
    ClusterSpec, HealthStatus, LastStatus, PullBehavior, StopCode, TaskId, TaskSpec, Timestamp,
};
use longshore::store::keys;
use rig::{Rig, spec};
use serde_json::json;

const IMAGE: &str = "app:1";

async fn rig() -> (Rig, Arc<Simulated>) {
    let clock = TokioClock::starting_at(Timestamp::from_millis(1_700_000_000_000));
    let ids = SeededIds::new(7);
    let engine = Simulated::new(clock.clone(), SeededIds::new(1), SimOptions::default());
    engine.add_image(IMAGE, SimImage::default());
    let rig = Rig::new(engine.clone(), clock, ids).await;
    (rig, engine)
}

fn one(command: &str) -> TaskSpec {
    spec(
        IMAGE,
        json!({"family": "web", "containers": [
            {"name": "web", "command": ["sh", "-c", command], "stop_timeout": 2}
        ]}),
    )
}

fn pod() -> TaskSpec {
    spec(
        IMAGE,
        json!({"family": "pod", "network_mode": "awsvpc",
        "volumes": [{"name": "site", "kind": {"type": "task"}}],
        "containers": [
            {"name": "migrate", "essential": false, "command": ["sh", "-c", "sleep 3; exit 0"],
             "mount_points": [{"source_volume": "site", "container_path": "/site"}]},
            {"name": "web", "command": ["sleep", "1000000"], "stop_timeout": 2,
             "mount_points": [{"source_volume": "site", "container_path": "/site"}],
             "depends_on": [{"container": "migrate", "condition": "SUCCESS"}]}
        ]}),
    )
}

fn running(engine: &Simulated) -> usize {
    let all = engine.containers();
    all.iter()
        .filter(|c| c.state == ContainerState::Running)
        .count()
}

#[tokio::test(start_paused = true)]
async fn an_ordered_task_runs_and_an_ordered_stop_ends_it() {
    let (mut rig, engine) = rig().await;
    rig.start().await;
    let id = rig.order(&one("sleep 1000000")).await;
    let status = rig.until_running(&id).await;
    assert!(status.containers[0].address.is_some());
    rig.order_stop(&id).await;
    let status = rig.until_stopped(&id).await;
    assert_eq!(status.stopped_reason.as_deref(), Some("ordered"));
    assert_eq!(running(&engine), 0);
    // Its container is kept for its logs until the record goes.
    assert_eq!(engine.containers().len(), 1);
    rig.delete(&id).await;
    rig.until_true("the container is removed", async || {
        engine.containers().is_empty()
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_is_settled_once_the_store_says_what_happened_while_it_was_down() {
    let (mut rig, engine) = rig().await;
    rig.start().await;
    let ids = [
        rig.order(&one("sleep 1000000")).await,
        rig.order(&one("sleep 1000000")).await,
    ];
    for id in &ids {
        rig.until_running(id).await;
    }
    rig.kill().await;
    let dies = engine.containers().remove(0);
    engine.kill_container(&dies.id, 1);
    let dead = TaskId::new(dies.labels[labels::TASK].clone());
    tokio::time::sleep(Duration::from_secs(1)).await;
    rig.start().await;
    rig.settled().await;
    let over = |id: &TaskId| {
        let status = rig.status(id).expect("a status");
        status.last_status > LastStatus::Running
    };
    for id in &ids {
        assert_eq!(over(id), *id == dead);
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_that_cannot_be_looked_at_keeps_an_agent_from_settling_only_for_seconds() {
    let (mut rig, engine) = rig().await;
    // Its images are looked at before it is, and that fails here.
    rig.order(&one("sleep 1000000")).await;
    for _ in 0..1_000 {
        engine.fail_next(Operation::InspectImage, ErrorKind::Unknown);
    }
    rig.start().await;
    let in_time = tokio::time::timeout(Duration::from_secs(30), rig.settled()).await;
    assert!(in_time.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_task_of_several_containers_runs_in_order_and_leaves_nothing_behind() {
    let (mut rig, engine) = rig().await;
    rig.start().await;
    let id = rig.order(&pod()).await;
    let status = rig.until_running(&id).await;
    let migrate = status.container("migrate").expect("migrate");
    assert_eq!(migrate.exit_code, Some(0));
    let web = status.container("web").expect("web");
    assert!(migrate.finished_at <= web.started_at);
    assert_eq!(engine.volumes().len(), 1);
    rig.order_stop(&id).await;
    rig.until_stopped(&id).await;
    let names: Vec<_> = engine
        .containers()
        .iter()
        .filter_map(|c| c.labels.get(labels::CONTAINER).cloned())
        .collect();
    assert_eq!(
        names.len(),
        2,
        "the pause container goes with the task: {names:?}"
    );
    rig.delete(&id).await;
    rig.until_true("everything of the task is removed", async || {
        engine.containers().is_empty() && engine.volumes().is_empty()
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_round_trips_of_a_task_are_one_create_one_start_and_one_inspect() {
    let (mut rig, engine) = rig().await;
    rig.start().await;
    let first = rig.order(&one("sleep 1000000")).await;
    rig.until_running(&first).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = engine.calls();
    let second = rig.order(&one("sleep 1000000")).await;
    rig.until_running(&second).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let after = engine.calls();
    let made: Vec<_> = after
        .iter()
        .map(|(operation, count)| {
            (
                *operation,
                count - before.get(operation).copied().unwrap_or(0),
            )
        })
        .filter(|(_, count)| *count > 0)
        .collect();
    assert_eq!(
        made,
        [
            (Operation::InspectContainer, 1),
            (Operation::CreateContainer, 1),
            (Operation::StartContainer, 1)
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_converged_task_is_left_alone_also_by_the_next_agent() {
    let (mut rig, engine) = rig().await;
    rig.start().await;
    let ids = [
        rig.order(&one("sleep 1000000")).await,
        rig.order(&pod()).await,
    ];
    for id in &ids {
        rig.until_running(id).await;
    }
    let (calls, revision) = (engine.changing_calls(), rig.view.read().revision);
    tokio::time::sleep(Duration::from_secs(600)).await;
    rig.stop().await.expect("it ends well");
    rig.start().await;
    rig.connected().await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(engine.changing_calls(), calls);
    assert_eq!(
        rig.view.read().revision,
        revision,
        "nothing was written either"
    );
}

#[tokio::test(start_paused = true)]
async fn an_essential_container_that_ends_ends_its_task_with_its_last_lines() {
    let (mut rig, _engine) = rig().await;
    rig.start().await;
    let id = rig.order(&one("echo no database; sleep 5; exit 3")).await;
    let status = rig.until_stopped(&id).await;
    assert_eq!(status.stop_code, Some(StopCode::EssentialContainerExited));
    assert_eq!(status.containers[0].exit_code, Some(3));
    assert_eq!(status.last_log_lines, ["no database"]);
    assert!(status.started_at.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_container_that_is_removed_by_hand_ends_its_task() {
    let (mut rig, engine) = rig().await;
    rig.start().await;
    let id = rig.order(&one("sleep 1000000")).await;
    rig.until_running(&id).await;
    engine.remove_behind_back(&engine.containers()[0].name);
    let status = rig.until_stopped(&id).await;
    assert_eq!(status.stop_code, Some(StopCode::EssentialContainerExited));
    assert!(engine.containers().is_empty(), "it is not made again");
}

#[tokio::test(start_paused = true)]
async fn a_pause_container_that_is_removed_by_hand_ends_its_task() {
    let (mut rig, engine) = rig().await;
    rig.start().await;
    let id = rig.order(&pod()).await;
    rig.until_running(&id).await;
    let all = engine.containers();
    let pause = all
        .iter()
        .find(|c| c.labels[labels::CONTAINER] == labels::PAUSE_CONTAINER)
        .expect("a pause container");
    engine.remove_behind_back(&pause.name);
    let status = rig.until_stopped(&id).await;
    assert_eq!(status.stop_code, Some(StopCode::InfrastructureHealth));
    assert_eq!(running(&engine), 0);
}

#[tokio::test(start_paused = true)]
async fn health_is_reported_as_it_changes() {
    let (mut rig, engine) = rig().await;
    engine.set_behaviour(
        IMAGE,
        Behaviour::forever()
            .probe_after(
                Duration::from_secs(20),
                longshore::engine::simulated::Probe::Pass,
            )
            .probe_after(
                Duration::from_secs(120),
                longshore::engine::simulated::Probe::Fail,
            )
            .printing(Duration::from_secs(100), "disk full"),
    );
    rig.start().await;
    let spec = spec(
        IMAGE,
        json!({"family": "web", "containers": [
            {"name": "web", "command": ["serve"], "health_check": {"command": ["CMD", "check"], "interval": 5, "timeout": 2,
             "retries": 2, "start_period": 60}}
        ]}),
    );
    let id = rig.order(&spec).await;
    let status = rig.until_running(&id).await;
    assert_eq!(status.health, HealthStatus::Unknown);
    let status = rig
        .until(&id, "healthy", |s| s.health == HealthStatus::Healthy)
        .await;
    assert!(status.healthy_at.is_some());
    let status = rig
        .until(&id, "unhealthy, with lines", |s| {
            s.health == HealthStatus::Unhealthy && !s.last_log_lines.is_empty()
        })
        .await;
    assert_eq!(status.last_log_lines, ["disk full"]);
    assert_eq!(
        status.last_status,
        LastStatus::Running,
        "nobody but the controller stops it"
    );
}

#[tokio::test(start_paused = true)]
async fn forty_tasks_that_want_one_missing_image_pull_it_once() {
    let (mut rig, engine) = rig().await;
    engine.set_registry("ghost:1", RegistryAnswer::Unavailable);
    rig.start().await;
    let spec = spec(
        "ghost:1",
        json!({"family": "web", "containers": [{"name": "web"}]}),
    );
    let began = tokio::time::Instant::now();
    let mut ids = Vec::new();
    for _ in 0..40 {
        ids.push(rig.order(&spec).await);
    }
    for id in &ids {
        let status = rig.until_stopped(id).await;
        let reason = status.stopped_reason.unwrap_or_default();
        assert!(reason.starts_with("CannotPullContainerError: "), "{reason}");
    }
    let pulls = engine.calls()[&Operation::PullImage];
    assert!(pulls <= 4, "{pulls} pulls");
    assert!(began.elapsed() < Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn a_pull_says_when_it_was() {
    let (mut rig, engine) = rig().await;
    engine.set_registry(
        "remote:1",
        RegistryAnswer::Found {
            after: Duration::from_secs(7),
        },
    );
    rig.start().await;
    let spec = spec(
        "remote:1",
        json!({"family": "web", "containers": [{"name": "web", "command": ["sleep", "9999"]}]}),
    );
    let id = rig.order(&spec).await;
    let status = rig.until_running(&id).await;
    let (from, to) = (
        status.pull_started_at.expect("from"),
        status.pull_stopped_at.expect("to"),
    );
    assert!(to.since(from) >= Duration::from_secs(7));
    assert!(status.containers[0].image_digest.is_some());
}

#[tokio::test(start_paused = true)]
async fn containers_of_no_task_are_removed_after_a_while_and_foreign_ones_never() {
    let (mut rig, engine) = rig().await;
    rig.start().await;
    let id = rig.order(&pod()).await;
    rig.until_running(&id).await;
    let foreign = longshore::engine::CreateBody {
        image: IMAGE.to_owned(),
        cmd: Some(vec!["serve".to_owned()]),
        ..Default::default()
    };
    let foreign = engine
        .create_container("mine", &foreign)
        .await
        .expect("created");
    rig.kill().await;
    // The record goes while no agent looks.
    rig.delete(&id).await;
    rig.start().await;
    rig.connected().await;
    tokio::time::sleep(Duration::from_secs(50)).await;
    assert_eq!(
        engine.containers().len(),
        4,
        "within its grace everything is kept"
    );
    rig.until_true("what is left over is removed", async || {
        engine.containers().len() == 1 && engine.volumes().is_empty()
    })
    .await;
    assert_eq!(engine.containers()[0].id, foreign);
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_is_away_is_reported_and_nothing_is_concluded_from_its_silence() {
    let (mut rig, engine) = rig().await;
    rig.start().await;
    let id = rig.order(&one("sleep 1000000")).await;
    rig.until_running(&id).await;
    engine.unreachable_for(Duration::from_secs(100));
    engine.cut_events();
    let instance = async |connected: bool| {
        rig.until_true("the instance says whether it is connected", async || {
            let state = rig.view.read();
            state
                .instance(&rig.cluster, &"local".into())
                .and_then(|entry| entry.instance.as_ref())
                .is_some_and(|instance| instance.connected == connected)
        })
        .await;
    };
    instance(false).await;
    let second = rig.order(&one("sleep 1000000")).await;
    instance(true).await;
    rig.until_running(&second).await;
    let status = rig.status(&id).expect("a status");
    assert_eq!(status.last_status, LastStatus::Running);
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_restarts_ends_its_tasks_and_starts_none_again() {
    let (mut rig, engine) = rig().await;
    rig.start().await;
    let ids = [
        rig.order(&one("sleep 1000000")).await,
        rig.order(&pod()).await,
    ];
    for id in &ids {
        rig.until_running(id).await;
    }
    engine.restart_engine(Duration::from_secs(5));
    for id in &ids {
        rig.until_stopped(id).await;
    }
    let started = |engine: &Simulated| {
        engine
            .history()
            .iter()
            .filter(|e| e.kind == SimEventKind::Started)
            .count()
    };
    let before = started(&engine);
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(started(&engine), before);
}

/// An engine that is told to end says how its containers end before it is gone.
#[tokio::test(start_paused = true)]
async fn an_engine_that_shuts_down_in_order_ends_its_tasks_for_their_infrastructure() {
    let (mut rig, engine) = rig().await;
    rig.start().await;
    let soon = rig.order(&one("trap 'exit 0' TERM; sleep 1000000")).await;
    let late = rig.order(&one("sleep 1000000")).await;
    for id in [&soon, &late] {
        rig.until_running(id).await;
    }
    engine.shut_down_engine(Duration::from_secs(10), Duration::from_secs(5));
    tokio::time::sleep(Duration::from_secs(8)).await;
    let heard = rig.status(&soon).expect("a status");
    assert_eq!(heard.stop_code, None, "nobody knows yet why it ended");
    for id in [&soon, &late] {
        let status = rig.until_stopped(id).await;
        assert_eq!(status.stop_code, Some(StopCode::InfrastructureHealth));
        assert_eq!(
            status.stopped_reason.as_deref(),
            Some("The engine of the container instance was restarted")
        );
    }
    let own = rig.order(&one("sleep 5; exit 3")).await;
    let status = rig.until_stopped(&own).await;
    assert_eq!(status.stop_code, Some(StopCode::EssentialContainerExited));
}

#[tokio::test(start_paused = true)]
async fn a_silent_event_stream_is_noticed_by_listing() {
    let (mut rig, engine) = rig().await;
    rig.start().await;
    let id = rig.order(&one("sleep 1000000")).await;
    rig.until_running(&id).await;
    engine.silence_events();
    engine.kill_container(&engine.containers()[0].name, 9);
    let status = rig.until_stopped(&id).await;
    assert_eq!(status.containers[0].exit_code, Some(9));
}

#[tokio::test(start_paused = true)]
async fn a_create_or_start_whose_answer_is_lost_is_not_made_twice() {
    let (mut rig, engine) = rig().await;
    rig.start().await;
    engine.lose_reply_next(Operation::CreateContainer);
    engine.lose_reply_next(Operation::StartContainer);
    let id = rig.order(&one("sleep 1000000")).await;
    rig.until_running(&id).await;
    assert_eq!(engine.containers().len(), 1);
    assert_eq!(engine.calls()[&Operation::CreateContainer], 1);
    assert_eq!(engine.calls()[&Operation::StartContainer], 1);
}

#[tokio::test(start_paused = true)]
async fn a_name_that_somebody_else_holds_fails_the_task_and_is_left_alone() {
    let (mut rig, engine) = rig().await;
    let spec = one("sleep 1000000");
    let record = rig.record(&spec, "web");
    let name = longshore::engine::translate::names::container(&record, "web");
    let foreign = longshore::engine::CreateBody {
        image: IMAGE.to_owned(),
        cmd: Some(vec!["sleep".to_owned(), "1000000".to_owned()]),
        ..Default::default()
    };
    let theirs = engine
        .create_container(&name, &foreign)
        .await
        .expect("created");
    rig.start().await;
    rig.place(&spec, &record).await;
    let status = rig.until_stopped(&record.id).await;
    let reason = status.stopped_reason.unwrap_or_default();
    assert!(
        reason.starts_with("CannotCreateContainerError: the name "),
        "{reason}"
    );
    rig.delete(&record.id).await;
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(engine.containers()[0].id, theirs);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_was_replaced_stops_acting() {
    let (mut rig, _engine) = rig().await;
    rig.start().await;
    rig.connected().await;
    rig.store
        .acquire("agent/local")
        .await
        .expect("a newer epoch");
    rig.order(&one("sleep 1000000")).await;
    assert!(rig.ended().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_task_given_up_with_its_instance_is_stopped_before_anything_starts() {
    let (mut rig, engine) = rig().await;
    rig.start().await;
    let old = rig
        .order(&one("trap 'sleep 1; exit 0' TERM; sleep 1000000"))
        .await;
    rig.until_running(&old).await;
    rig.kill().await;
    rig.commit(|txn| {
        txn.put_json(
            keys::task_lost(&rig.cluster, &old),
            &longshore::model::TaskLost {
                at: rig.clock.now(),
                reason: "instance gone".to_owned(),
            },
        )
    })
    .await;
    let new = rig.order(&one("sleep 1000000")).await;
    rig.start().await;
    rig.until_running(&new).await;
    let status = rig.until_stopped(&old).await;
    assert_eq!(status.stop_code, Some(StopCode::TerminationNotice));
    let history = engine.history();
    let at = |task: &str, wanted: fn(&SimEventKind) -> bool| {
        history
            .iter()
            .position(|e| e.labels[labels::TASK] == task && wanted(&e.kind))
            .expect("it happened")
    };
    let ended = at(old.as_str(), |k| matches!(k, SimEventKind::Exited { .. }));
    let created = at(new.as_str(), |k| *k == SimEventKind::Created);
    assert!(ended < created);
}

#[tokio::test(start_paused = true)]
async fn a_transient_failure_is_tried_again_and_a_lasting_one_fails_the_task() {
    let (mut rig, engine) = rig().await;
    rig.start().await;
    engine.fail_next(Operation::CreateContainer, ErrorKind::Unknown);
    engine.fail_next(Operation::StartContainer, ErrorKind::Unknown);
    let id = rig.order(&one("sleep 1000000")).await;
    rig.until_running(&id).await;
    engine.fail_next(Operation::CreateContainer, ErrorKind::Invalid);
    let id = rig.order(&one("sleep 1000000")).await;
    let status = rig.until_stopped(&id).await;
    assert_eq!(status.stop_code, Some(StopCode::TaskFailedToStart));
}

#[tokio::test(start_paused = true)]
async fn an_image_that_was_removed_behind_our_back_is_pulled_again() {
    let (mut rig, engine) = rig().await;
    engine.set_registry(
        IMAGE,
        RegistryAnswer::Found {
            after: Duration::from_secs(1),
        },
    );
    rig.start().await;
    let id = rig.order(&one("exit 0")).await;
    rig.until_stopped(&id).await;
    rig.delete(&id).await;
    rig.until_true("gone", async || engine.containers().is_empty())
        .await;
    engine.silence_events();
    engine.remove_image(IMAGE).await.expect("removed");
    let id = rig.order(&one("sleep 1000000")).await;
    rig.until_running(&id).await;
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_ordered_to_stop_while_it_waits_for_its_turn_is_never_created() {
    let (mut rig, engine) = rig().await;
    rig.tuning.changing_calls = Some(1);
    rig.start().await;
    let keeper = rig.order(&one("sleep 1000000")).await;
    rig.until_running(&keeper).await;
    let mut ids = Vec::new();
    for _ in 0..50 {
        ids.push(rig.order(&pod()).await);
    }
    // All of them wait for their first create now.
    tokio::time::sleep(Duration::from_millis(40)).await;
    for id in &ids {
        rig.order_stop(id).await;
    }
    for id in &ids {
        let status = rig.until_stopped(id).await;
        assert_eq!(status.stopped_reason.as_deref(), Some("ordered"));
        assert_eq!(status.stop_code, Some(StopCode::ServiceSchedulerInitiated));
    }
    let calls = engine.calls();
    let creates = calls[&Operation::CreateContainer] + calls[&Operation::CreateVolume];
    assert!(creates <= 5, "{creates} creates for tasks that were over");
    assert_eq!(running(&engine), 1);
}

#[tokio::test(start_paused = true)]
async fn an_image_that_nobody_wants_any_more_when_its_turn_comes_is_not_pulled() {
    let (mut rig, engine) = rig().await;
    let mut ids = Vec::new();
    rig.start().await;
    for n in 0..6 {
        let image = format!("remote:{n}");
        let after = Duration::from_secs(60);
        engine.set_registry(&image, RegistryAnswer::Found { after });
        let container = json!({"name": "web", "command": ["sleep", "1000000"]});
        let spec = spec(&image, json!({"family": "web", "containers": [container]}));
        ids.push(rig.order(&spec).await);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let dropped = &ids[4];
    rig.order_stop(dropped).await;
    rig.until_stopped(dropped).await;
    for id in ids.iter().filter(|id| *id != dropped) {
        rig.until_running(id).await;
    }
    assert_eq!(engine.calls()[&Operation::PullImage], 5);
}

#[tokio::test(start_paused = true)]
async fn a_network_that_is_removed_by_hand_before_a_start_is_made_again() {
    for spec in [one("sleep 1000000"), pod()] {
        let (mut rig, engine) = rig().await;
        rig.start().await;
        let first = rig.order(&spec).await;
        rig.until_running(&first).await;
        rig.order_stop(&first).await;
        rig.until_stopped(&first).await;
        let remove = async || {
            for network in engine.networks() {
                // Those that are always there cannot be removed.
                let _ = engine.remove_network(&network.name).await;
            }
        };
        remove().await;
        let second = rig.order(&spec).await;
        let status = rig.until_running(&second).await;
        assert!(status.containers.iter().any(|c| c.address.is_some()));
        assert_eq!(engine.networks().len(), 4);
    }
}

#[tokio::test(start_paused = true)]
async fn names_of_all_containers_are_distinct() {
    let (mut rig, engine) = rig().await;
    rig.start().await;
    for _ in 0..5 {
        let id = rig.order(&pod()).await;
        rig.until_running(&id).await;
    }
    let names: BTreeSet<_> = engine.containers().into_iter().map(|c| c.name).collect();
    assert_eq!(names.len(), 15);
}

#[tokio::test(start_paused = true)]
async fn a_store_lost_while_tasks_run_is_restored_and_nothing_restarts() {
    let (mut rig, engine) = rig().await;
    rig.start().await;
    let ids = [
        rig.order(&one("sleep 1000000")).await,
        rig.order(&pod()).await,
    ];
    for id in &ids {
        rig.until_running(id).await;
    }
    rig.kill().await;
    let history = engine.history();

    let mut fresh = Rig::with_owner(
        Arc::clone(&rig.engine),
        Arc::clone(&rig.clock),
        Arc::clone(&rig.ids),
        rig.owner.clone(),
    )
    .await;
    let back = recover(&engine.containers());
    assert_eq!(back.tasks.len(), 2);
    let lost = back.lost_from(&fresh.view.read(), 0);
    for task in lost.tasks.values() {
        fresh
            .place(&lost.specs[&task.record.spec], &task.record)
            .await;
    }
    fresh.accounted_seq = lost.max_seq;
    fresh.start().await;
    for id in &ids {
        let status = fresh.until_running(id).await;
        assert!(status.started_at < Some(fresh.clock.now()));
    }
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(
        engine.history(),
        history,
        "nothing was created, started, stopped or removed"
    );

    // What comes back is a task like any other.
    fresh.order_stop(&ids[1]).await;
    fresh.until_stopped(&ids[1]).await;
    fresh.delete(&ids[1]).await;
    fresh
        .until_true("it is removed", async || engine.containers().len() == 1)
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_older_than_its_containers_removes_none_of_them() {
    let (mut rig, engine) = rig().await;
    for _ in 0..20 {
        rig.commit(|txn| txn.put_json("clusters/x/cluster", &json!(null)))
            .await;
    }
    rig.start().await;
    let id = rig.order(&one("sleep 1000000")).await;
    rig.until_running(&id).await;
    rig.kill().await;
    let mut old = Rig::with_owner(
        Arc::clone(&rig.engine),
        Arc::clone(&rig.clock),
        Arc::clone(&rig.ids),
        rig.owner.clone(),
    )
    .await;
    old.start().await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(running(&engine), 1);
}

#[tokio::test(start_paused = true)]
async fn a_container_that_cannot_be_looked_at_after_its_start_is_not_started_again() {
    let (mut rig, engine) = rig().await;
    rig.start().await;
    rig.connected().await;
    let spec = spec(
        IMAGE,
        json!({"family": "web", "containers": [
            {"name": "web", "command": ["serve"]},
            {"name": "job", "essential": false, "command": ["sh", "-c", "sleep 1"]}
        ]}),
    );
    engine.silence_events();
    for _ in 0..6 {
        engine.fail_next(Operation::InspectContainer, ErrorKind::Unknown);
    }
    let id = rig.order(&spec).await;
    rig.until_running(&id).await;
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert_eq!(engine.calls()[&Operation::StartContainer], 2);
}

/// A small generator of its own, so that a seed gives the same run on every version of every library.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// Orders, stops, deletions, kills of the agent, restarts and every fault of the engine, in an order that the seed gives; then
/// the engine behaves, and everything must come to what was ordered.
async fn rough_life(seed: u64) {
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let clock = TokioClock::starting_at(Timestamp::from_millis(1_700_000_000_000));
    let engine = Simulated::new(
        clock.clone(),
        SeededIds::new(seed ^ 0xABCD),
        SimOptions {
            seed,
            ..SimOptions::default()
        },
    );
    engine.add_image(IMAGE, SimImage::default());
    let mut rig = Rig::new(engine.clone(), clock, SeededIds::new(seed)).await;
    engine.set_faults(FaultPlan {
        restart_every: seed.is_multiple_of(3).then_some(Duration::from_secs(90)),
        ..FaultPlan::rough()
    });
    rig.start().await;
    let (mut live, mut stopped, mut deleted) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..40 {
        match dice.roll(10) {
            0..=3 => {
                let specs = [one("sleep 1000000"), pod(), one("sleep 20; exit 1")];
                let which = usize::try_from(dice.roll(3)).expect("small");
                live.push(rig.order(&specs[which]).await);
            }
            4 if !live.is_empty() => {
                let at = usize::try_from(dice.roll(live.len() as u64)).expect("small");
                let id = live.swap_remove(at);
                rig.order_stop(&id).await;
                stopped.push(id);
            }
            5 => {
                let over = |id: &TaskId| rig.status(id).is_some_and(|s| s.is_stopped());
                if let Some(at) = stopped.iter().position(over) {
                    let id = stopped.swap_remove(at);
                    rig.delete(&id).await;
                    deleted.push(id);
                }
            }
            6 => {
                rig.kill().await;
                rig.start().await;
            }
            _ => {}
        }
        tokio::time::sleep(Duration::from_millis(dice.roll(9_000))).await;
    }
    engine.clear_faults();
    tokio::time::sleep(Duration::from_secs(400)).await;

    for id in &live {
        let status = rig.status(id).expect("a status");
        let settled = matches!(
            status.last_status,
            LastStatus::Running | LastStatus::Stopped
        );
        assert!(settled, "seed {seed}: {id} is {status:#?}");
    }
    for id in &stopped {
        let status = rig.status(id).expect("a status");
        assert!(status.is_stopped(), "seed {seed}: {id} is {status:#?}");
    }
    let mut seen = BTreeSet::new();
    for container in engine.containers() {
        let task = TaskId::new(container.labels[labels::TASK].as_str());
        let name = container.labels[labels::CONTAINER].clone();
        assert!(
            !deleted.contains(&task),
            "seed {seed}: {} is left over",
            container.name
        );
        assert!(
            seen.insert((task.clone(), name)),
            "seed {seed}: {} is there twice",
            container.name
        );
        let over = rig.status(&task).is_some_and(|s| s.is_stopped());
        let up = container.state == ContainerState::Running;
        assert!(
            !(over && up),
            "seed {seed}: {} runs in a task that is over",
            container.name
        );
    }
    for volume in engine.volumes() {
        let task = TaskId::new(volume.labels[labels::TASK].as_str());
        assert!(
            !deleted.contains(&task),
            "seed {seed}: {} is left over",
            volume.name
        );
    }
    // A start that an agent asked for and did not live to see done may be done late, even after the next agent's. None is
    // ever asked of a container that has ended.
    let mut ended = std::collections::BTreeMap::new();
    for event in engine.history() {
        if let SimEventKind::Exited { .. } = event.kind {
            ended.entry(event.container).or_insert(event.at);
        }
    }
    for call in engine.changing_call_log() {
        let again = call.operation == Operation::StartContainer
            && ended.get(&call.target).is_some_and(|at| call.at > *at);
        assert!(
            !again,
            "seed {seed}: a container that ended is started again: {call:?}"
        );
    }
    let networks = engine.networks();
    let ours = networks
        .iter()
        .filter(|n| n.name.starts_with("longshore-"))
        .count();
    assert!(ours <= 1, "seed {seed}: {ours} networks");
}

#[tokio::test(start_paused = true)]
async fn whatever_goes_wrong_it_comes_to_what_was_ordered_with_no_duplicate_and_no_orphan() {
    let seeds: u64 = std::env::var("LONGSHORE_SEEDS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(25);
    let first: u64 = std::env::var("LONGSHORE_FIRST_SEED")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(1);
    for seed in first..first + seeds {
        rough_life(seed).await;
    }
}

/// A task of an image that comes from a registry.
fn pulled(image: &str) -> TaskSpec {
    let mut spec = one("sleep 1000000");
    spec.containers[0].image = image.to_owned();
    spec
}

fn pulls(engine: &Simulated) -> u64 {
    engine
        .calls()
        .get(&Operation::PullImage)
        .copied()
        .unwrap_or(0)
}

fn created_from(engine: &Simulated, id: &TaskId) -> String {
    let all = engine.containers();
    let of = |c: &&ObservedContainer| c.labels.get(labels::TASK) == Some(&id.to_string());
    all.iter().find(of).expect("a container").image.clone()
}

#[tokio::test(start_paused = true)]
async fn a_task_takes_what_its_tag_means_and_a_pinned_one_what_it_meant() {
    let (mut rig, engine) = rig().await;
    rig.start().await;
    let spec = pulled("shop/web:1");
    let first = rig.order(&spec).await;
    let status = rig.until_running(&first).await;
    let settled = status.containers[0].image_digest.clone().expect("a digest");
    assert_eq!(pulls(&engine), 1);

    engine.push("shop/web:1");
    let second = rig.order(&spec).await;
    let status = rig.until_running(&second).await;
    assert_ne!(status.containers[0].image_digest.as_ref(), Some(&settled));
    assert_eq!(pulls(&engine), 2, "the registry was asked again");

    let mut record = rig.record(&spec, "web");
    record.images.insert("web".to_owned(), settled.clone());
    rig.place(&spec, &record).await;
    let status = rig.until_running(&record.id).await;
    assert_eq!(status.containers[0].image_digest.as_ref(), Some(&settled));
    assert_eq!(pulls(&engine), 2, "the engine still has it");
    let pinned = format!("shop/web@{settled}");
    assert_eq!(created_from(&engine, &record.id), pinned);
    assert_eq!(
        created_from(&engine, &first),
        pinned,
        "so that what was told is what runs"
    );
}

#[tokio::test(start_paused = true)]
async fn where_the_registry_is_away_the_engines_own_image_is_run_but_only_by_default() {
    for (pull, runs) in [
        (PullBehavior::Default, true),
        (PullBehavior::PreferCached, true),
        (PullBehavior::Once, true),
        (PullBehavior::Always, false),
    ] {
        let (mut rig, engine) = rig().await;
        let mut cluster = ClusterSpec::named(rig.cluster.clone());
        cluster.images.pull = pull;
        rig.declare(&cluster).await;
        rig.start().await;
        let spec = pulled("shop/web:1");
        let first = rig.order(&spec).await;
        rig.until_running(&first).await;
        engine.set_registry("shop/web:1", RegistryAnswer::Unavailable);
        let second = rig.order(&spec).await;
        if runs {
            rig.until_running(&second).await;
        } else {
            let status = rig.until_stopped(&second).await;
            let reason = status.stopped_reason.unwrap_or_default();
            assert!(reason.starts_with("CannotPullContainerError: "), "{reason}");
            assert!(reason.contains("must reach docker.io"), "{reason}");
        }
        let asked_again = matches!(pull, PullBehavior::Default | PullBehavior::Always);
        assert_eq!(pulls(&engine) > 1, asked_again, "{pull:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_pulled_once_is_known_after_a_restart_of_the_agent() {
    let (mut rig, engine) = rig().await;
    let mut cluster = ClusterSpec::named(rig.cluster.clone());
    cluster.images.pull = PullBehavior::Once;
    rig.declare(&cluster).await;
    rig.start().await;
    // Somebody else's pull does not count.
    let anyone = engine.pull_image("shop/web:1", None, None, &|_| ()).await;
    anyone.expect("pulled");
    let first = rig.order(&pulled("shop/web:1")).await;
    rig.until_running(&first).await;
    assert_eq!(pulls(&engine), 2);
    rig.stop().await.expect("it ends well");
    rig.start().await;
    let second = rig.order(&pulled("shop/web:1")).await;
    rig.until_running(&second).await;
    assert_eq!(pulls(&engine), 2);
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_limits_pulls_is_asked_again_when_it_said() {
    let (mut rig, engine) = rig().await;
    rig.start().await;
    let wait = Duration::from_secs(300);
    engine.set_registry("shop/web:1", RegistryAnswer::RateLimitedFor(wait));
    let id = rig.order(&pulled("shop/web:1")).await;
    rig.until_true("it was refused", async || pulls(&engine) == 1)
        .await;
    engine.set_registry(
        "shop/web:1",
        RegistryAnswer::Found {
            after: Duration::ZERO,
        },
    );
    // Another task does not ask in the meantime either.
    let other = rig.order(&pulled("shop/web:1")).await;
    tokio::time::sleep(wait - Duration::from_secs(5)).await;
    assert_eq!(pulls(&engine), 1);
    for id in [id, other] {
        rig.until_running(&id).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_digest_of_a_task_that_was_taken_over_is_found_again() {
    let (mut rig, engine) = rig().await;
    rig.start().await;
    let spec = pulled("shop/web:1");
    let id = rig.order(&spec).await;
    let before = rig.until_running(&id).await;
    rig.stop().await.expect("it ends well");
    engine.push("shop/web:1");
    engine
        .pull_image("shop/web:1", None, None, &|_| ())
        .await
        .expect("pulled");

    // The store is lost; the record comes back from the labels, the digest from the container's own image.
    let lost = recover(&engine.containers());
    let record = lost.tasks[&id].record.clone();
    let mut rig = Rig::with_owner(
        engine.clone(),
        rig.clock.clone(),
        rig.ids.clone(),
        rig.owner.clone(),
    )
    .await;
    rig.place(&spec, &record).await;
    let calls = engine.changing_calls();
    rig.start().await;
    let after = rig.until_running(&id).await;
    assert_eq!(
        after.containers[0].image_digest,
        before.containers[0].image_digest
    );
    assert_eq!(engine.changing_calls(), calls);
}

/// A rig whose images are cleaned up every minute, as soon as they are unused.
async fn tidy(untracked: bool) -> (Rig, Arc<Simulated>) {
    let (rig, engine) = rig().await;
    let mut cluster = ClusterSpec::named(rig.cluster.clone());
    cluster.images.cleanup.interval = 60;
    cluster.images.cleanup.minimum_age = 0;
    cluster.images.cleanup.include_untracked = untracked;
    rig.declare(&cluster).await;
    (rig, engine)
}

async fn has(engine: &Simulated, image: &str) -> bool {
    engine.image(image).await.expect("an answer").is_some()
}

async fn ended(rig: &Rig, id: &TaskId, engine: &Simulated) {
    rig.order_stop(id).await;
    rig.until_stopped(id).await;
    rig.delete(id).await;
    rig.until_true("its containers are removed", async || {
        let of = id.to_string();
        !engine
            .containers()
            .iter()
            .any(|c| c.labels.get(labels::TASK) == Some(&of))
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_image_that_was_pulled_goes_once_no_container_uses_it_also_after_a_restart() {
    let (mut rig, engine) = tidy(false).await;
    engine
        .pull_image("theirs:1", None, None, &|_| ())
        .await
        .expect("pulled");
    rig.start().await;
    let ours = rig.order(&pulled("ours:1")).await;
    let theirs = rig.order(&pulled("theirs:1")).await;
    let other = rig.order(&pulled("other:1")).await;
    for id in [&ours, &theirs, &other] {
        rig.until_running(id).await;
    }
    // Its tag moves on: what is left of it is its digest.
    engine.push("ours:1");
    let next = rig.order(&pulled("ours:1")).await;
    rig.until_running(&next).await;
    let images = engine.list_images().await.expect("a list").len();
    rig.stop().await.expect("it ends well");
    rig.start().await;
    for id in [&ours, &theirs] {
        ended(&rig, id, &engine).await;
    }
    tokio::time::sleep(Duration::from_secs(600)).await;
    let left = engine.list_images().await.expect("a list").len();
    assert_eq!(left, images - 1, "one that it pulled and that nothing uses");
    assert!(has(&engine, "theirs:1").await, "it did not bring that one");
    assert!(
        has(&engine, "other:1").await && has(&engine, "ours:1").await,
        "in use"
    );
    assert!(has(&engine, IMAGE).await);
    ended(&rig, &next, &engine).await;
    rig.until_true("it goes as well", async || !has(&engine, "ours:1").await)
        .await;
}

#[tokio::test(start_paused = true)]
async fn an_image_that_a_task_waits_for_stays() {
    let (mut rig, engine) = tidy(false).await;
    rig.start().await;
    let mut spec = pulled("fast:1");
    let mut slow = spec.containers[0].clone();
    slow.name = "slow".to_owned();
    slow.image = "slow:1".to_owned();
    spec.containers.push(slow);
    engine.set_registry(
        "slow:1",
        RegistryAnswer::Found {
            after: Duration::from_secs(100),
        },
    );
    let id = rig.order(&spec).await;
    rig.until_running(&id).await;
    let removed = engine.calls().get(&Operation::RemoveImage).copied();
    assert_eq!(removed, None);
}

#[tokio::test(start_paused = true)]
async fn images_of_others_go_only_if_asked_for() {
    for untracked in [false, true] {
        let (mut rig, engine) = tidy(untracked).await;
        engine
            .pull_image("theirs:1", None, None, &|_| ())
            .await
            .expect("pulled");
        rig.start().await;
        let id = rig.order(&one("sleep 1000000")).await;
        rig.until_running(&id).await;
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert_eq!(has(&engine, "theirs:1").await, !untracked);
        assert!(has(&engine, IMAGE).await, "in use");
    }
}

#[tokio::test(start_paused = true)]
async fn an_engine_is_asked_whether_it_answers_as_often_as_its_cluster_s_figure_says_also_where_that_is_known_only_later()
 {
    let (mut rig, engine) = rig().await;
    rig.start().await;
    rig.settled().await;
    let mut cluster = ClusterSpec::named(rig.cluster.clone());
    cluster.instance_lost_after = 12;
    rig.declare(&cluster).await;
    let asked = || engine.calls().get(&Operation::Info).copied().unwrap_or(0);
    // The first time may still be by the figure that holds where a manifest says nothing.
    tokio::time::sleep(Duration::from_secs(10)).await;
    let before = asked();
    tokio::time::sleep(Duration::from_secs(20)).await;
    let times = asked() - before;
    assert!(
        (9..=11).contains(&times),
        "asked {times} times in 20 seconds"
    );
}
