//! How the instances of a daemon end when it is told to, on the simulated engine and in virtual time.

use std::time::Duration;

use super::testing::{World, web};
use crate::engine::simulated::{FaultPlan, Operation, Simulated};
use crate::engine::{ContainerState, ObservedContainer, labels};
use crate::model::{LastStatus, TaskId};
use crate::store::State;

/// A daemon that keeps one task running.
async fn at_work() -> World {
    let world = World::new().await;
    world.read(&web(1));
    world
        .until("its task runs", |state| !running(state).is_empty())
        .await;
    world
}

fn running(state: &State) -> Vec<TaskId> {
    let runs = state.tasks.iter().filter(|(_, task)| {
        let status = task.status.as_ref();
        status.is_some_and(|status| status.last_status == LastStatus::Running)
    });
    runs.map(|((_, id), _)| id.clone()).collect()
}

/// The containers of tasks.
fn of_task(engine: &Simulated) -> Vec<ObservedContainer> {
    let mut all = engine.containers();
    all.retain(|container| container.labels.contains_key(labels::TASK));
    all
}

#[tokio::test(start_paused = true)]
async fn what_an_agent_has_not_written_yet_is_written_before_a_daemon_ends() {
    let world = at_work().await;
    world.gate.shut(true);
    let container = of_task(&world.engine).remove(0);
    world.engine.kill_container(&container.id, 3);
    world.gate.is_waited_at().await;
    let opens = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        world.gate.shut(false);
    };
    tokio::join!(world.core.clusters.stop(), opens);
    let id = &container.labels[labels::TASK];
    world
        .until("how its container ended is in the store", |state| {
            let mut tasks = state.tasks.iter();
            let task = tasks.find(|((_, task), _)| task.as_str() == id);
            let status = task.and_then(|(_, task)| task.status.as_ref());
            status.is_some_and(|status| status.containers[0].exit_code == Some(3))
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_ends_gives_its_lease_back_instead_of_leaving_it_to_its_connections_end() {
    let world = at_work().await;
    let removals = || {
        let calls = world.engine.calls();
        calls.get(&Operation::RemoveContainer).copied().unwrap_or(0)
    };
    let before = removals();
    world.core.clusters.stop().await;
    assert_eq!(removals(), before + 1);
    let left = world.engine.containers();
    assert_eq!(left.len(), 1, "its task's container: {left:?}");
    assert_eq!(left[0].state, ContainerState::Running);
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_answers_nothing_any_more_keeps_no_daemon_from_ending() {
    let world = at_work().await;
    world.engine.set_faults(FaultPlan {
        hung: 1_000,
        ..FaultPlan::default()
    });
    let ended = world.core.clusters.stop();
    let ended = tokio::time::timeout(Duration::from_secs(10), ended).await;
    assert!(ended.is_ok(), "systemd would kill it");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_takes_nothing_any_more_keeps_no_daemon_from_ending() {
    let world = at_work().await;
    world.gate.shut(true);
    let container = of_task(&world.engine).remove(0);
    world.engine.kill_container(&container.id, 3);
    world.gate.is_waited_at().await;
    let ended = world.core.clusters.stop();
    let ended = tokio::time::timeout(Duration::from_secs(10), ended).await;
    assert!(ended.is_ok(), "systemd would kill it");
}
