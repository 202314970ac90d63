//! Real task definitions of other people's projects run as they stand, but for what this machine cannot have: their images,
//! host ports and paths.

use std::path::Path;

use serde_json::{Value, json};

use crate::common;
use crate::rig::{PATIENCE, Rig};

/// What is run: all network modes, one to two containers, volumes of every kind, dependsOn, health checks, labels, and the
/// members that only DescribeTaskDefinition writes.
const SAMPLES: [&str; 10] = [
    "2Nike2+QuizMaster__task-definition.json",
    "AleksanderSavchuk+shop-api__.aws__task-definition.json",
    "aws-samples+amazon-cloudwatch-container-insights__ecs-task-definition-templates__deployment-mode__daemon-service__fluent-bit-ecs-instance-logs__fluent-bit-ecs-instance-logs.json",
    "aws-actions+amazon-ecs-deploy-task-definition__task-definition-run-task.json",
    "aws-actions+amazon-ecs-render-task-definition__task-definition.json",
    "aws-observability+aws-otel-collector__examples__ec2__aws-cloudwatch__ecs-ec2-sidecar.json",
    "aws-samples+ecs-demo-php-simple-app__simple-app-task-def.json",
    "aws-samples+aws-containers-task-definitions__consul__ConsulServer.json",
    "olostep+olostep-mcp-server__deploy__task-definition.json",
    "robbie-williams+rust-server-docker__deploy__task-definition-test.json",
];

/// Containers whose own command runs on busybox.
const RUN_AS_THEY_ARE: [&str; 2] = ["busybox", "fluent-bit-config-init"];

#[tokio::test]
async fn ten_real_task_definitions_run_to_steady_and_go_down() {
    let Some(shared) = std::env::var_os("LONGSHORE_SHARED") else {
        eprintln!("not run: LONGSHORE_SHARED is not set, so there are no samples");
        return;
    };
    let Some(rig) = Rig::new("samples").await else {
        return;
    };
    let mut families = Vec::new();
    for name in SAMPLES {
        let path = Path::new(&shared).join("ecs/samples").join(name);
        let text = std::fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut sample: Value = serde_json::from_str(&text).expect("JSON");
        fit(&mut sample, &rig);
        let family = sample["family"].as_str().expect("a family").to_owned();
        let number = families.len();
        rig.write(&format!("{number}.json"), &sample.to_string());
        rig.write(
            &format!("{number}.yaml"),
            &format!(
                "apiVersion: longshore/v1\nkind: Service\nmetadata: {{name: {family}}}\nspec:\n  cluster: {}\n  \
                 taskDefinition: {family}\n  desiredCount: 1\n",
                rig.cluster
            ),
        );
        let containers = sample["containerDefinitions"].as_array().expect("a list");
        let lasting = containers
            .iter()
            .filter(|container| container["essential"] != json!(false))
            .count();
        families.push((family, lasting));
    }
    let applied = rig.apply(PATIENCE.as_secs());
    assert_eq!(applied.code, 0, "{}{}", applied.stdout, applied.stderr);
    for (family, lasting) in &families {
        let running = rig.running(family).await;
        assert!(
            running.len() >= *lasting,
            "{family}: {} of {lasting} essential containers run",
            running.len()
        );
    }

    let down = rig.run(&["down", &rig.folder().display().to_string(), "--volumes"]);
    assert_eq!(down.code, 0, "{}", down.stderr);
    assert!(rig.containers().await.is_empty());
}

/// Changes what this machine does not have, and nothing else.
fn fit(sample: &mut Value, rig: &Rig) {
    let mode = sample["networkMode"]
        .as_str()
        .unwrap_or("bridge")
        .to_owned();
    // Paths of the host, and names that are the whole engine's, become the test's own.
    let mut renamed = Vec::new();
    for volume in sample["volumes"].as_array_mut().into_iter().flatten() {
        let name = volume["name"].as_str().expect("a name").to_owned();
        if volume["host"]["sourcePath"].is_string() {
            let path = rig.path().join("host").join(&name);
            std::fs::create_dir_all(&path).expect("a folder");
            volume["host"]["sourcePath"] = json!(path);
        }
        if volume["dockerVolumeConfiguration"]["scope"] == json!("shared") {
            let own = format!("{name}-{}", rig.cluster);
            volume["name"] = json!(own);
            renamed.push((name, own));
        }
    }
    if mode != "awsvpc" && sample["memory"].is_string() {
        sample["memory"] = json!("128");
    }
    let containers = sample["containerDefinitions"].as_array_mut();
    for container in containers.expect("containers") {
        let members = container.as_object_mut().expect("an object");
        members.insert("image".to_owned(), json!(common::IMAGE));
        members.insert("memory".to_owned(), json!(32));
        members.insert("stopTimeout".to_owned(), json!(1));
        if members
            .get("memoryReservation")
            .is_some_and(Value::is_number)
        {
            members.insert("memoryReservation".to_owned(), json!(16));
        }
        let name = members["name"].as_str().expect("a name");
        if !RUN_AS_THEY_ARE.contains(&name) {
            members.remove("entryPoint");
            members.insert("command".to_owned(), json!(["sleep", "100000"]));
        }
        if let Some(check) = members.get_mut("healthCheck").filter(|c| c.is_object()) {
            check["command"] = json!(["CMD-SHELL", "true"]);
            check["interval"] = json!(5);
        }
        let ports = members
            .get_mut("portMappings")
            .and_then(Value::as_array_mut);
        for port in ports.into_iter().flatten().filter(|_| mode == "bridge") {
            port.as_object_mut().expect("an object").remove("hostPort");
        }
        let mounts = members.get_mut("mountPoints").and_then(Value::as_array_mut);
        for mount in mounts.into_iter().flatten() {
            for (name, own) in &renamed {
                if mount["sourceVolume"] == json!(name) {
                    mount["sourceVolume"] = json!(own);
                }
            }
        }
    }
}
