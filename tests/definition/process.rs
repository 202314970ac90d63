//! What a container runs, as whom, and in what surroundings.

use serde_json::json;

use crate::world::{World, task};

pub const PROOFS: &[(&str, &[&str])] = &[
    (
        "a_container_runs_what_its_definition_says_where_and_as_whom_it_says",
        &[
            "family",
            "containerDefinitions[].name",
            "containerDefinitions[].image",
            "containerDefinitions[].entryPoint",
            "containerDefinitions[].command",
            "containerDefinitions[].environment[].name",
            "containerDefinitions[].environment[].value",
            "containerDefinitions[].workingDirectory",
            "containerDefinitions[].user",
            "containerDefinitions[].hostname",
            "containerDefinitions[].interactive",
            "containerDefinitions[].pseudoTerminal",
            "containerDefinitions[].dockerLabels",
            "containerDefinitions[].stopTimeout",
            "tags[].key",
            "tags[].value",
            "requiresCompatibilities",
            "runtimePlatform.cpuArchitecture",
            "runtimePlatform.operatingSystemFamily: LINUX",
            "trustedExecutionConfiguration.isolationMode: SHARED",
        ],
    ),
    (
        "a_container_is_confined_as_its_definition_says",
        &[
            "containerDefinitions[].readonlyRootFilesystem",
            "containerDefinitions[].dockerSecurityOptions",
            "containerDefinitions[].ulimits[].name",
            "containerDefinitions[].ulimits[].softLimit",
            "containerDefinitions[].ulimits[].hardLimit",
            "containerDefinitions[].systemControls[].namespace",
            "containerDefinitions[].systemControls[].value",
        ],
    ),
    (
        "a_privileged_container_is_created_as_one",
        &["containerDefinitions[].privileged"],
    ),
];

#[tokio::test]
async fn a_container_runs_what_its_definition_says_where_and_as_whom_it_says() {
    let architecture = match std::env::consts::ARCH {
        "aarch64" => "ARM64",
        _ => "X86_64",
    };
    let definition = task(
        json!({
            "tags": [{"key": "team", "value": "shop"}],
            "requiresCompatibilities": ["EC2", "EXTERNAL"],
            "runtimePlatform": {"cpuArchitecture": architecture, "operatingSystemFamily": "LINUX"},
            "trustedExecutionConfiguration": {"isolationMode": "SHARED"},
        }),
        json!([{
            "name": "app",
            "entryPoint": ["sh", "-c"],
            "command": ["echo $0 $GREETING; exec sleep 100000", "said"],
            "environment": [{"name": "GREETING", "value": "good day"}, {"name": "EMPTY", "value": ""}],
            "workingDirectory": "/tmp",
            "user": "1000:1001",
            "hostname": "desk",
            "interactive": true,
            "pseudoTerminal": true,
            "dockerLabels": {"shop.colour": "blue"},
            "stopTimeout": 7,
            "versionConsistency": "disabled",
        }]),
    );
    let Some(world) = World::run(definition).await else {
        return;
    };
    let app = world.inspect("app");
    assert_eq!(app["Config"]["Image"], crate::common::IMAGE);
    assert_eq!(app["Config"]["Entrypoint"], json!(["sh", "-c"]));
    assert_eq!(app["Config"]["StopTimeout"], 7);
    assert_eq!(app["Config"]["OpenStdin"], true);
    assert_eq!(app["Config"]["Tty"], true);
    let labels = &app["Config"]["Labels"];
    assert_eq!(labels["shop.colour"], "blue");
    assert_eq!(labels["com.amazonaws.ecs.container-name"], "app");
    assert_eq!(
        labels["com.amazonaws.ecs.task-definition-family"],
        "definition"
    );
    let kept = labels["longshore.spec"]
        .as_str()
        .expect("what a lost store is made from");
    assert!(kept.contains(r#""tags":{"team":"shop"}"#), "{kept}");
    let logs = crate::world::docker(&["logs", &world.find("app")]);
    assert_eq!(logs, "said good day");
    assert_eq!(world.inside("app", "id -u; id -g"), "1000\n1001");
    assert_eq!(world.inside("app", "pwd; hostname"), "/tmp\ndesk");
    assert_eq!(
        world.inside("app", "echo \"${EMPTY-unset}$GREETING\""),
        "good day"
    );
    // A terminal, whose input stays open.
    assert_eq!(
        world.inside("app", "test -c /proc/1/fd/0 && echo yes"),
        "yes"
    );
}

#[tokio::test]
async fn a_container_is_confined_as_its_definition_says() {
    let definition = task(
        json!({}),
        json!([{
            "name": "app",
            "readonlyRootFilesystem": true,
            "dockerSecurityOptions": ["no-new-privileges"],
            "ulimits": [{"name": "nofile", "softLimit": 123, "hardLimit": 456}],
            "systemControls": [{"namespace": "net.core.somaxconn", "value": "77"}],
        }]),
    );
    let Some(world) = World::run(definition).await else {
        return;
    };
    assert_eq!(
        world.inside("app", "touch /here 2>/dev/null || echo refused"),
        "refused"
    );
    assert_eq!(
        world.inside("app", "grep NoNewPrivs /proc/1/status | tr -d '\\t'"),
        "NoNewPrivs:1"
    );
    let limits = world.inside("app", "grep 'Max open files' /proc/1/limits");
    assert_eq!(
        limits
            .split_whitespace()
            .skip(3)
            .take(2)
            .collect::<Vec<_>>(),
        ["123", "456"]
    );
    assert_eq!(
        world.inside("app", "cat /proc/sys/net/core/somaxconn"),
        "77"
    );
}

/// Whether it may then start is the engine's to say: one that has not all rights itself cannot give them.
#[tokio::test]
async fn a_privileged_container_is_created_as_one() {
    let definition = task(json!({}), json!([{"name": "app", "privileged": true}]));
    let Some(world) = World::order(definition).await else {
        return;
    };
    world
        .rig
        .until_true("it is created", async || !world.find("app").is_empty())
        .await;
    assert_eq!(world.inspect("app")["HostConfig"]["Privileged"], true);
}
