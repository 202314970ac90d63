//! RunTask and what the API then says of its tasks.

use longshore::api::client::ClientError;
use serde_json::{Value, json};

use crate::fixture::World;

async fn ask(world: &World, operation: &str, input: Value) -> Value {
    world.client.ecs(operation, &input).await.unwrap()
}

async fn exception(world: &World, input: Value) -> (String, String) {
    match world.client.ecs("RunTask", &input).await.unwrap_err() {
        ClientError::Refused {
            exception: Some(name),
            message,
            ..
        } => (name, message),
        other => panic!("{other:?}"),
    }
}

async fn listed(world: &World, filter: Value) -> usize {
    let answer = ask(world, "ListTasks", filter).await;
    answer["taskArns"].as_array().unwrap().len()
}

#[tokio::test]
async fn a_task_is_run_once_and_described_with_what_was_asked_for() {
    let world = World::start().await;
    world.follow();
    let overrides = json!({"containerOverrides": [
        {"name": "worker", "command": ["true"], "environment": [{"name": "A", "value": "b"}]}
    ]});
    let answer = ask(
        &world,
        "RunTask",
        json!({"taskDefinition": "worker", "count": 2, "startedBy": "cron", "overrides": overrides,
            "tags": [{"key": "team", "value": "night"}]}),
    )
    .await;
    assert_eq!(answer["failures"], json!([]));
    let tasks = answer["tasks"].as_array().unwrap();
    assert_eq!(tasks.len(), 2);
    let task = &tasks[0];
    assert_eq!(task["group"], "family:worker");
    assert_eq!(task["startedBy"], "cron");
    assert_eq!(task["lastStatus"], "PROVISIONING");
    assert_eq!(task["desiredStatus"], "RUNNING");
    assert_eq!(
        task["overrides"]["containerOverrides"],
        overrides["containerOverrides"]
    );
    let tags = json!([{"key": "team", "value": "night"}]);
    assert_eq!(task["tags"], tags);
    let arn = &task["taskArn"];
    let described = ask(
        &world,
        "DescribeTasks",
        json!({"tasks": [arn], "include": ["TAGS"]}),
    )
    .await;
    assert_eq!(&described["tasks"][0], task);
    let of = ask(&world, "ListTagsForResource", json!({"resourceArn": arn})).await;
    assert_eq!(of["tags"], tags);

    assert_eq!(listed(&world, json!({"family": "worker"})).await, 2);
    assert_eq!(listed(&world, json!({"startedBy": "cron"})).await, 2);
    assert_eq!(listed(&world, json!({"startedBy": "somebody"})).await, 0);
    assert_eq!(listed(&world, json!({"desiredStatus": "STOPPED"})).await, 0);
    ask(&world, "StopTask", json!({"task": arn, "reason": "enough"})).await;
    assert_eq!(listed(&world, json!({"desiredStatus": "STOPPED"})).await, 1);
    let stopped = ask(&world, "DescribeTasks", json!({"tasks": [arn]})).await;
    let task = &stopped["tasks"][0];
    assert_eq!(
        (&task["stopCode"], &task["stoppedReason"]),
        (&json!("UserInitiated"), &json!("enough"))
    );
}

#[tokio::test]
async fn what_cannot_be_run_is_refused_as_ecs_does_with_the_nearest_name() {
    let world = World::start().await;
    world.follow();
    let (name, message) = exception(&world, json!({"taskDefinition": "wroker"})).await;
    assert_eq!(name, "ClientException");
    assert!(
        message.ends_with("there is no task definition wroker; did you mean worker?"),
        "{message}"
    );
    let asked = json!({"taskDefinition": "worker", "overrides": {"containerOverrides": [{"name": "main"}]}});
    let (name, message) = exception(&world, asked).await;
    assert_eq!(name, "InvalidParameterException");
    assert!(
        message.contains("is not a container in the TaskDefinition. It has worker"),
        "{message}"
    );
    let (name, _) = exception(
        &world,
        json!({"taskDefinition": "worker", "cluster": "prod"}),
    )
    .await;
    assert_eq!(name, "InvalidParameterException", "prod has no instance");
    let (name, _) = exception(
        &world,
        json!({"taskDefinition": "worker", "cluster": "nowhere"}),
    )
    .await;
    assert_eq!(name, "ClusterNotFoundException");
}

#[tokio::test]
async fn a_token_makes_a_request_once_and_is_refused_for_another() {
    let world = World::start().await;
    world.follow();
    let asked = json!({"taskDefinition": "worker", "clientToken": "abc"});
    let first = ask(&world, "RunTask", asked.clone()).await;
    let second = ask(&world, "RunTask", asked).await;
    assert_eq!(first["tasks"], second["tasks"]);
    let (name, message) = exception(
        &world,
        json!({"taskDefinition": "worker", "clientToken": "abc", "count": 2}),
    )
    .await;
    assert_eq!(name, "ConflictException");
    assert!(message.contains("with other parameters"), "{message}");
}

#[tokio::test]
async fn tasks_without_a_place_are_failures_with_what_the_instance_lacks() {
    let world = World::start().await;
    world.follow();
    let big = json!({"containerOverrides": [{"name": "worker", "memory": 3000}]});
    let asked = json!({"taskDefinition": "worker", "count": 3, "overrides": big});
    let answer = ask(&world, "RunTask", asked).await;
    assert_eq!(answer["tasks"].as_array().unwrap().len(), 1);
    assert_eq!(
        answer["failures"],
        json!([{
            "arn": "arn:aws:ecs:local:000000000000:container-instance/default/local",
            "reason": "RESOURCE:MEMORY",
            "detail": "Container instance local has insufficient memory available. 2 of 3 tasks were not placed."
        }])
    );
}

#[tokio::test]
async fn changes_are_a_line_at_once_and_one_after_each_change() {
    let world = World::start().await;
    let mut changes = world.client.changes().await.unwrap();
    let first = changes.next().await.unwrap().unwrap();
    world
        .say("default", "web", 1, 1, "(service web) hello.")
        .await;
    let second = changes.next().await.unwrap().unwrap();
    assert!(second.revision > first.revision);
    world.stop();
    assert!(!matches!(changes.next().await, Ok(Some(_))));
}
