//! What placement books of the host, and what it says where there is none of it.

use serde_json::{Value, json};

use crate::common;
use crate::rig::Rig;

/// A task definition `name` of one container with these members, and a service of it.
fn declare(rig: &Rig, name: &str, members: Value) {
    declare_with(rig, name, members, json!({}));
}

/// The same with members of the task definition itself.
fn declare_with(rig: &Rig, name: &str, members: Value, of_task: Value) {
    let mut container = json!({
        "name": "app", "image": common::IMAGE, "memory": 16, "stopTimeout": 1, "command": ["sleep", "100000"],
    });
    let object = container.as_object_mut().expect("an object");
    object.extend(members.as_object().expect("an object").clone());
    let mut task = json!({"family": name, "containerDefinitions": [container]});
    let object = task.as_object_mut().expect("an object");
    object.extend(of_task.as_object().expect("an object").clone());
    rig.write(&format!("{name}.json"), &task.to_string());
    let service = json!({
        "apiVersion": "longshore/v1", "kind": "Service", "metadata": {"name": name},
        "spec": {"cluster": rig.cluster, "taskDefinition": name, "desiredCount": 1},
    });
    rig.write(&format!("{name}-service.json"), &service.to_string());
}

#[tokio::test]
async fn a_range_of_ports_is_published_without_a_gap_where_the_host_chooses_its_own() {
    let Some(mut rig) = Rig::new("ranges").await else {
        return;
    };
    declare(
        &rig,
        "range",
        json!({"portMappings": [{"containerPortRange": "9000-9004"}, {"containerPort": 80}]}),
    );
    rig.start();
    rig.steady();
    let running = rig.running("range").await;
    let ports = &running[0].ports;
    let host = |inside: u16| {
        let found = ports.iter().find(|port| port.container_port == inside);
        found.map(|port| port.host_port).expect("published")
    };
    let row: Vec<u16> = (9000..=9004).map(host).collect();
    assert!(row.windows(2).all(|pair| pair[1] == pair[0] + 1), "{row:?}");
    let kernel =
        std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let bounds: Vec<u16> = kernel
        .split_whitespace()
        .filter_map(|n| n.parse().ok())
        .collect();
    if let [first, last] = bounds[..] {
        assert!(
            row.iter()
                .chain([&host(80)])
                .all(|port| (first..=last).contains(port)),
            "{row:?}"
        );
    }
    let shown = rig
        .json(&["get", "tasks", "--cluster", &rig.cluster, "-o", "json"])
        .to_string();
    // ECS reports it as one.
    let range = format!(r#""hostPortRange":"{}-{}""#, row[0], row[4]);
    assert!(shown.contains(&range), "{shown}");
}

#[tokio::test]
async fn a_gpu_that_no_instance_has_keeps_the_task_from_being_placed_and_the_service_says_so() {
    let Some(mut rig) = Rig::new("gpus").await else {
        return;
    };
    if std::path::Path::new("/proc/driver/nvidia/gpus").is_dir() {
        eprintln!("not run: this machine has GPUs");
        return;
    }
    let gpu = json!({"resourceRequirements": [{"type": "GPU", "value": "1"}]});
    declare(&rig, "gpu", gpu);
    rig.start();
    rig.until("the service says why", async |rig| {
        let said = rig
            .run(&["describe", "service", "gpu", "--cluster", &rig.cluster])
            .stdout;
        said.split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .contains("has insufficient GPU units available: it has no GPU")
    })
    .await;
    assert!(rig.containers().await.is_empty());
}

#[tokio::test]
async fn a_task_runs_where_its_definitions_constraint_holds_and_is_not_placed_where_it_does_not() {
    let Some(mut rig) = Rig::new("constraints").await else {
        return;
    };
    for (name, system) in [("here", "linux"), ("nowhere", "windows")] {
        let expression = format!("attribute:ecs.os-type == {system}");
        let constraint = json!([{"type": "memberOf", "expression": expression}]);
        let constraints = json!({"placementConstraints": constraint});
        declare_with(&rig, name, json!({}), constraints);
    }
    rig.start();
    rig.until(
        "the one runs, and the other's service says why not",
        async |rig| {
            let said = rig
                .run(&["describe", "service", "nowhere", "--cluster", &rig.cluster])
                .stdout;
            rig.running("here").await.len() == 1 && said.contains("unable to place a task")
        },
    )
    .await;
    assert!(rig.running("nowhere").await.is_empty());
}
