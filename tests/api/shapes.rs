//! ECS's shapes against ECS's API model: every member that is answered is one of the shape.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::fixture::{World, id};

/// Members of ECS's TaskDefinition that are not in RegisterTaskDefinition's input.
const TASK_DEFINITION_OUTPUT: [&str; 9] = [
    "taskDefinitionArn",
    "revision",
    "status",
    "requiresAttributes",
    "compatibilities",
    "registeredAt",
    "registeredBy",
    "deregisteredAt",
    "deleteRequestedAt",
];

/// The members of a shape as `a`, `a.b`, `a[].b`; `None` where the model is not at hand.
fn model(name: &str) -> Option<BTreeSet<String>> {
    let Ok(shared) = std::env::var("LONGSHORE_SHARED") else {
        eprintln!("not run: LONGSHORE_SHARED names no folder with ecs/{name}.tsv");
        return None;
    };
    let path = format!("{shared}/ecs/{name}.tsv");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let members = text.lines().skip(1);
    Some(
        members
            .filter_map(|line| line.split('\t').next())
            .map(str::to_owned)
            .collect(),
    )
}

fn paths(value: &Value, at: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let path = if at.is_empty() {
                    name.clone()
                } else {
                    format!("{at}.{name}")
                };
                found.insert(path.clone());
                paths(value, &path, found);
            }
        }
        Value::Array(items) => {
            for item in items {
                paths(item, &format!("{at}[]"), found);
            }
        }
        _ => {}
    }
}

/// Checks the answered things against a shape, and that there was something to check.
fn check(shape: &str, answered: &Value, also: &[&str]) {
    let items = answered.as_array().unwrap();
    assert!(!items.is_empty(), "{shape}");
    let Some(mut known) = model(shape) else {
        return;
    };
    known.extend(also.iter().map(|name| (*name).to_owned()));
    for item in items {
        let mut found = BTreeSet::new();
        paths(item, "", &mut found);
        let unknown: Vec<&String> = found.difference(&known).collect();
        assert!(unknown.is_empty(), "{shape} has no {unknown:?}");
    }
}

#[tokio::test]
async fn every_member_that_is_answered_is_one_of_ecs() {
    let world = World::start().await;
    world.running(&id("aa"), &["hello"]).await;
    world.failed(&id("cc")).await;
    world
        .say("default", "web", 1, 1, "(service web) hello.")
        .await;
    let ask =
        async |operation: &str, input: Value| world.client.ecs(operation, &input).await.unwrap();
    let all = ["TAGS", "STATISTICS"];

    let answer = ask(
        "DescribeClusters",
        json!({"clusters": ["default", "prod"], "include": all}),
    )
    .await;
    check("cluster", &answer["clusters"], &[]);
    let answer = ask(
        "DescribeServices",
        json!({"services": ["web"], "include": all}),
    )
    .await;
    check("service", &answer["services"], &[]);
    check("deployment", &answer["services"][0]["deployments"], &[]);
    let answer = ask(
        "DescribeTasks",
        json!({"tasks": [id("aa"), id("cc")], "include": all}),
    )
    .await;
    assert_eq!(answer["tasks"].as_array().unwrap().len(), 2);
    check("task", &answer["tasks"], &[]);
    let answer = ask(
        "DescribeContainerInstances",
        json!({"containerInstances": ["local"], "include": all}),
    )
    .await;
    check("container-instance", &answer["containerInstances"], &[]);
    let arn = "arn:aws:ecs:local:000000000000:service-deployment/default/web/0000000000000000001";
    let answer = ask(
        "DescribeServiceDeployments",
        json!({"serviceDeploymentArns": [arn]}),
    )
    .await;
    check("service-deployment", &answer["serviceDeployments"], &[]);
    let answer = ask("ListServiceDeployments", json!({"service": "web"})).await;
    check(
        "service-deployment",
        &answer["serviceDeployments"],
        &["targetServiceRevisionArn"],
    );
    let answer = ask("DescribeTaskDefinition", json!({"taskDefinition": "web"})).await;
    let definition = json!([answer["taskDefinition"]]);
    check(
        "register-task-definition",
        &definition,
        &TASK_DEFINITION_OUTPUT,
    );

    world.follow();
    let answer = ask(
        "RunTask",
        json!({"taskDefinition": "worker", "startedBy": "cron", "tags": [{"key": "a", "value": "b"}], "overrides": {
            "cpu": "64", "memory": "64", "containerOverrides": [{"name": "worker", "command": ["true"], "cpu": 32, "memory": 32,
                "memoryReservation": 16, "environment": [{"name": "A", "value": "b"}]}]}}),
    )
    .await;
    check("task", &answer["tasks"], &[]);
    assert_eq!(answer["failures"], json!([]));
}
