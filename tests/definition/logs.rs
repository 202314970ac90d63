//! `logConfiguration`.

use serde_json::{Value, json};

use crate::world::{World, docker, task};

pub const PROOFS: &[(&str, &[&str])] = &[(
    "output_goes_to_the_driver_that_is_named_or_stands_for_it",
    &[
        "containerDefinitions[].logConfiguration.logDriver",
        "containerDefinitions[].logConfiguration.logDriver: awslogs",
        "containerDefinitions[].logConfiguration.options",
    ],
)];

#[tokio::test]
async fn output_goes_to_the_driver_that_is_named_or_stands_for_it() {
    let logging = |name: &str, driver: &str, options: Value| {
        json!({"name": name, "command": ["sh", "-c", "echo said by $0; exec sleep 100000", name],
               "logConfiguration": {"logDriver": driver, "options": options}})
    };
    let definition = task(
        json!({}),
        json!([
            {"name": "silent"},
            logging("file", "json-file", json!({})),
            logging("own", "json-file", json!({"max-size": "1m", "mode": "blocking"})),
            logging("cloud", "awslogs", json!({"awslogs-group": "web", "awslogs-region": "eu-west-1"})),
            logging("mapped", "journald", json!({"tag": "of the definition"})),
        ]),
    );
    let cluster = json!({"logDriverOverrides": {"journald": {"logDriver": "local", "options": {"max-size": "2m"}}}});
    let Some(world) = World::in_cluster(definition, cluster, |_| {}).await else {
        return;
    };
    world.running().await;
    let config = |name: &str| world.inspect(name)["HostConfig"]["LogConfig"].take();
    let rotated = json!({"Type": "json-file", "Config": {
        "max-size": "10m", "max-file": "3", "mode": "non-blocking", "max-buffer-size": "10m"}});
    assert_eq!(config("file"), rotated);
    // The difference: what would go to CloudWatch stays in files of the engine, and its options have no effect.
    assert_eq!(config("cloud"), rotated);
    // The engine adds what its own configuration says about options that are left out.
    let own = config("own")["Config"].take();
    assert_eq!(
        (&own["max-size"], &own["mode"]),
        (&json!("1m"), &json!("blocking"))
    );
    assert_eq!(own["max-buffer-size"], Value::Null);
    assert_eq!(
        config("mapped"),
        json!({"Type": "local", "Config": {"max-size": "2m", "mode": "non-blocking", "max-buffer-size": "10m"}})
    );
    if docker(&["info", "--format", "{{.LoggingDriver}}"]) == "json-file" {
        assert_eq!(
            config("silent"),
            json!({"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}})
        );
    }
    for name in ["file", "own", "cloud", "mapped"] {
        let expected = format!("said by {name}");
        world
            .rig
            .until_true("its output is there", async || {
                docker(&["logs", &world.find(name)]) == expected
            })
            .await;
    }
}
