//! What starts when, what is watched, and what is started again.

use longshore::model::HealthStatus;
use serde_json::{Value, json};

use crate::world::{World, docker, task};

pub const PROOFS: &[(&str, &[&str])] = &[
    (
        "containers_start_in_the_order_that_their_conditions_ask_for",
        &[
            "containerDefinitions[].dependsOn[].containerName",
            "containerDefinitions[].dependsOn[].condition",
            "containerDefinitions[].healthCheck.command",
            "containerDefinitions[].healthCheck.interval",
            "containerDefinitions[].healthCheck.timeout",
            "containerDefinitions[].healthCheck.retries",
            "containerDefinitions[].healthCheck.startPeriod",
        ],
    ),
    (
        "a_dependency_that_takes_longer_than_its_start_timeout_ends_the_task",
        &["containerDefinitions[].startTimeout"],
    ),
    (
        "the_task_ends_with_an_essential_container_and_goes_on_without_another",
        &["containerDefinitions[].essential"],
    ),
    (
        "a_container_is_restarted_in_place_unless_its_exit_code_is_ignored_or_it_ran_too_short",
        &[
            "containerDefinitions[].restartPolicy.enabled",
            "containerDefinitions[].restartPolicy.ignoredExitCodes",
            "containerDefinitions[].restartPolicy.restartAttemptPeriod",
        ],
    ),
];

fn time(world: &World, container: &str, member: &str) -> String {
    world.inspect(container)["State"][member]
        .as_str()
        .expect("a time")
        .to_owned()
}

#[tokio::test]
async fn containers_start_in_the_order_that_their_conditions_ask_for() {
    let waits =
        |name: &str, condition: &str| json!([{"containerName": name, "condition": condition}]);
    let definition = task(
        json!({}),
        json!([
            {"name": "last", "dependsOn": waits("checked", "HEALTHY")},
            {"name": "checked", "dependsOn": waits("migrated", "SUCCESS"), "healthCheck": {
                "command": ["CMD-SHELL", "test -e /tmp/up"], "interval": 5, "timeout": 3, "retries": 4, "startPeriod": 2},
             "command": ["sh", "-c", "touch /tmp/up; exec sleep 100000"]},
            {"name": "migrated", "essential": false, "dependsOn": waits("tried", "COMPLETE"), "command": ["sh", "-c", "exit 0"]},
            {"name": "tried", "essential": false, "dependsOn": waits("first", "START"), "command": ["sh", "-c", "exit 3"]},
            {"name": "first"},
        ]),
    );
    let Some(world) = World::run(definition).await else {
        return;
    };
    let checked = world.inspect("checked");
    assert_eq!(
        checked["Config"]["Healthcheck"],
        json!({
            "Test": ["CMD-SHELL", "test -e /tmp/up"], "Interval": 5_000_000_000_u64, "Timeout": 3_000_000_000_u64,
            "Retries": 4, "StartPeriod": 2_000_000_000_u64,
        })
    );
    assert_eq!(checked["State"]["Health"]["Status"], "healthy");
    let status = world.running().await;
    assert_eq!(
        status.container("checked").map(|c| c.health),
        Some(HealthStatus::Healthy)
    );
    // RFC 3339 in one zone orders as text.
    let order = [
        time(&world, "first", "StartedAt"),
        time(&world, "tried", "StartedAt"),
        time(&world, "migrated", "StartedAt"),
        time(&world, "checked", "StartedAt"),
        time(&world, "last", "StartedAt"),
    ];
    assert!(order.is_sorted(), "{order:#?}");
    assert!(time(&world, "tried", "FinishedAt") <= time(&world, "migrated", "StartedAt"));
    assert_eq!(world.inspect("tried")["State"]["ExitCode"], 3);
}

#[tokio::test]
async fn a_dependency_that_takes_longer_than_its_start_timeout_ends_the_task() {
    let definition = task(
        json!({}),
        json!([
            {"name": "slow", "essential": false, "startTimeout": 2},
            {"name": "app", "dependsOn": [{"containerName": "slow", "condition": "SUCCESS"}]},
        ]),
    );
    let Some(world) = World::order(definition).await else {
        return;
    };
    world.stopped().await;
    let app = world.inspect("app");
    assert_eq!(app["State"]["Status"], "created", "it was never started");
    assert_eq!(world.inspect("slow")["State"]["Running"], false);
}

#[tokio::test]
async fn the_task_ends_with_an_essential_container_and_goes_on_without_another() {
    let definition = task(
        json!({}),
        json!([
            {"name": "app", "command": ["sh", "-c", "while ! test -e /tmp/end; do sleep 0.1; done; exit 4"]},
            {"name": "side", "essential": false, "command": ["true"]},
            {"name": "other"},
        ]),
    );
    let Some(world) = World::run(definition).await else {
        return;
    };
    world
        .rig
        .until_true("the side container has ended", async || {
            world.inspect("side")["State"]["Status"] == "exited"
        })
        .await;
    assert_eq!(world.inspect("other")["State"]["Running"], true);
    world.inside("app", "touch /tmp/end");
    world.stopped().await;
    assert_eq!(world.inspect("app")["State"]["ExitCode"], 4);
    assert_eq!(world.inspect("other")["State"]["Running"], false);
}

#[tokio::test]
async fn a_container_is_restarted_in_place_unless_its_exit_code_is_ignored_or_it_ran_too_short() {
    // Runs until it is told how to end; what it is told stays, so a second run sees it and goes on.
    let script = "test -e /tmp/again && exec sleep 100000; while ! test -e /tmp/end; do sleep 0.1; done; \
                  touch /tmp/again; exit $(cat /tmp/end)";
    let policy = json!({"enabled": true, "ignoredExitCodes": [7], "restartAttemptPeriod": 60});
    let container = |name: &str| -> Value {
        json!({"name": name, "essential": false, "restartPolicy": policy, "command": ["sh", "-c", script]})
    };
    let mut short = container("short");
    short["command"] = json!(["sh", "-c", "exit 5"]);
    let definition = task(
        json!({}),
        json!([{"name": "app"}, container("again"), container("ignored"), short]),
    );
    // A minute is the least that ECS takes; the rule is the same for a moment.
    let moment = |spec: &mut longshore::model::TaskSpec| {
        for container in spec.containers.iter_mut().filter(|c| c.name != "short") {
            if let Some(policy) = &mut container.restart_policy {
                policy.restart_attempt_period = 0;
            }
        }
    };
    let Some(world) = World::in_cluster(definition, json!({}), moment).await else {
        return;
    };
    world.running().await;
    let before = world.find("again");
    world.inside("ignored", "echo 7 > /tmp/end.new; mv /tmp/end.new /tmp/end");
    world.inside("again", "echo 5 > /tmp/end.new; mv /tmp/end.new /tmp/end");
    world
        .rig
        .until(&world.id, "restarted", |status| {
            status
                .container("again")
                .is_some_and(|c| c.restart_count == 1)
        })
        .await;
    world
        .rig
        .until_true("the others have ended", async || {
            ["ignored", "short"]
                .iter()
                .all(|name| world.inspect(name)["State"]["Status"] == "exited")
        })
        .await;
    assert_eq!(world.find("again"), before, "the same container");
    assert_eq!(world.inspect("again")["State"]["Running"], true);
    assert_eq!(world.inspect("ignored")["State"]["ExitCode"], 7);
    let policy = docker(&[
        "inspect",
        "--format",
        "{{.HostConfig.RestartPolicy.Name}}",
        &before,
    ]);
    assert_eq!(policy, "no", "the agent decides, not the engine");
}
