//! An engine that ends while a version warms up takes its tasks with it. That is no fault of the version's: it is started again, and
//! nothing is gone back from.

use longshore::engine::{ContainerState, Engine, labels};
use serde_json::Value;

use crate::common;
use crate::engines::Engines;
use crate::machines::{Machines, Member};

/// Tasks of the service, and how many failed ones are too many.
const COUNT: usize = 3;

/// A cluster on the engine, whose tasks count as healthy after so many seconds.
fn declare(machines: &Machines, healthy_after: u32) {
    let manifest = machines.manifest(&machines.rig.cluster, &machines.members);
    let wanted = format!("healthyAfterSeconds: {healthy_after}");
    let manifest = manifest.replace("healthyAfterSeconds: 1", &wanted);
    machines.rig.write("cluster.yaml", &manifest);
}

/// A service in the engine's own network namespace: no pause container tells of its end. It goes at once when it is told to.
fn service(machines: &Machines, version: &str) {
    let text = format!(
        "apiVersion: longshore/v1
kind: TaskDefinition
metadata: {{name: web}}
spec:
  networkMode: host
  containerDefinitions:
    - name: main
      image: '{image}'
      entryPoint: [sh, -c]
      command: ['trap \"exit 0\" TERM; sleep 100000 & wait']
      environment: [{{name: VERSION, value: '{version}'}}]
      memory: 32
---
apiVersion: longshore/v1
kind: Service
metadata: {{name: web}}
spec:
  cluster: {cluster}
  taskDefinition: web
  desiredCount: {COUNT}
  deploymentConfiguration:
    minimumHealthyPercent: 100
    maximumPercent: 200
    deploymentCircuitBreaker: {{enable: true, rollback: true, thresholdConfiguration: {{type: COUNT, value: {COUNT}}}}}
",
        image = common::IMAGE,
        cluster = machines.rig.cluster,
    );
    machines.rig.write("web.yaml", &text);
}

/// The service as ECS would describe it.
fn described(machines: &Machines) -> Value {
    let cluster = &machines.rig.cluster;
    let found = machines
        .rig
        .json(&["get", "service", "web", "--cluster", cluster, "-o", "json"]);
    found["services"][0].clone()
}

/// Tasks of the second version that run.
async fn warming(machines: &Machines) -> Vec<String> {
    let all = machines.on_engine(1, "web").await;
    let second = all.iter().filter(|c| c.labels[labels::REVISION] == "2");
    second.map(|c| c.labels[labels::TASK].clone()).collect()
}

/// Three tasks of the second version run, and none of them is one of `before`.
async fn until_warming(machines: &Machines, what: &str, before: &[String]) -> Vec<String> {
    let begun = tokio::time::Instant::now();
    loop {
        let now = warming(machines).await;
        if now.len() == COUNT && now.iter().all(|task| !before.contains(task)) {
            return now;
        }
        assert!(
            begun.elapsed() < crate::rig::PATIENCE,
            "waited in vain until {what}: {now:?}\n{:#}\nlog: {}",
            described(machines),
            machines.rig.log()
        );
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

/// Nothing failed, and the second version is still being rolled out.
fn is_rolling_out(machines: &Machines, when: &str) {
    let service = described(machines);
    let newest = &service["deployments"][0];
    assert_eq!(newest["rolloutState"], "IN_PROGRESS", "{when}: {service:#}");
    assert_eq!(newest["failedTasks"], 0, "{when}: {service:#}");
    let definition = newest["taskDefinition"].as_str().unwrap_or_default();
    assert!(definition.ends_with("web:2"), "{when}: {service:#}");
}

#[tokio::test]
async fn an_engine_that_stops_or_is_killed_while_a_version_warms_up_does_not_have_it_rolled_back() {
    // With TLS: without, an engine waits for 15 seconds before it starts, in case somebody reads its warning.
    let Some(engines) = Engines::up(1, "1") else {
        return;
    };
    let mut machines = Machines::on(engines, 1, "restarts", Vec::new()).await;
    let socket = machines.engines.socket(1);
    machines.members = vec![Member {
        name: "a",
        engine: 1,
        entry: format!("endpoint: unix://{}", socket.display()),
        status: "ACTIVE",
    }];
    declare(&machines, 1);
    service(&machines, "1");
    machines.rig.start();
    machines.rig.steady();
    declare(&machines, 600);
    service(&machines, "2");
    let mut before = until_warming(&machines, "the second version warms up", &[]).await;

    for (how, reason) in [("stop", "stopped in order"), ("kill", "killed")] {
        machines.engines.sh(&[how, "1"]);
        machines.engines.sh(&["start", "1"]);
        machines.reconnect(1).await;
        let now = until_warming(&machines, reason, &before).await;
        is_rolling_out(&machines, reason);
        for task in &before {
            let cluster = &machines.rig.cluster;
            let told = machines
                .rig
                .run(&["describe", "task", task, "--cluster", cluster]);
            assert!(
                told.stdout
                    .contains("The engine of the container instance was restarted"),
                "{reason}: {}{}",
                told.stdout,
                told.stderr
            );
        }
        before = now;
    }

    // What ends by itself counts as ever.
    let all = machines.on_engine(1, "web").await;
    let one = all
        .iter()
        .find(|c| before.contains(&c.labels[labels::TASK]));
    let one = one.expect("a task").id.clone();
    machines
        .client(1)
        .stop_container(&one, 1)
        .await
        .expect("stopped");
    let ended = machines
        .client(1)
        .inspect_container(&one)
        .await
        .expect("there");
    assert_eq!(ended.state, ContainerState::Exited);
    machines
        .rig
        .until("its end is counted", async |rig| {
            let service = rig.json(&[
                "get",
                "service",
                "web",
                "--cluster",
                &rig.cluster,
                "-o",
                "json",
            ]);
            service["services"][0]["deployments"][0]["failedTasks"] == 1
        })
        .await;
}
