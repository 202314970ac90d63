//! Faults that a task injects into its own network.

use serde_json::{Value, json};

use crate::common;
use crate::metadata::{get, post, script};
use crate::rig::Rig;

const PORT: &str = r#"{"Port":8080,"Protocol":"tcp","TrafficType":"egress"}"#;

/// A server on the cluster's network, and clients in two network modes that may ask for faults.
fn write(rig: &Rig, allowed: bool) {
    rig.write(
        "cluster.yaml",
        &format!(
            "apiVersion: longshore/v1\nkind: Cluster\nmetadata:\n  name: {}\nspec:\n  healthyAfterSeconds: 1\n  faultInjection: {allowed}\n",
            rig.cluster
        ),
    );
    let mut text = String::new();
    for (name, mode, command) in [
        (
            "server",
            "bridge",
            "echo here > /tmp/f; httpd -f -p 8080 -h /tmp",
        ),
        ("client", "awsvpc", "trap : TERM; sleep 100000 & wait"),
        ("bridged", "bridge", "trap : TERM; sleep 100000 & wait"),
    ] {
        text += &format!(
            "apiVersion: longshore/v1
kind: TaskDefinition
metadata: {{name: {name}}}
spec:
  networkMode: {mode}
  enableFaultInjection: {enabled}
  containerDefinitions:
    - {{name: main, image: '{image}', entryPoint: [sh, -c], command: ['{command}'], memory: 32, stopTimeout: 1}}
---
apiVersion: longshore/v1
kind: Service
metadata: {{name: {name}}}
spec: {{cluster: {cluster}, taskDefinition: {name}, desiredCount: 1}}
---
",
            enabled = name != "server",
            image = common::IMAGE,
            cluster = rig.cluster,
        );
    }
    rig.write("services.yaml", &text);
}

/// Whether the server answers the client.
async fn reaches(rig: &Rig, client: &str) -> bool {
    let ask = "busybox timeout 3 wget -qO- http://server:8080/f";
    script(rig, client, ask).await.0.trim() == "here"
}

async fn ask(rig: &Rig, client: &str, fault: &str, action: &str, body: &str) -> (u16, Value) {
    let path = format!("fault/v1/{fault}/{action}");
    post(rig, client, "POST", &path, body).await
}

fn is(answer: (u16, Value), status: &str) {
    assert_eq!(answer, (200, json!({ "Status": status })));
}

fn error(answer: &(u16, Value)) -> &str {
    answer.1["Error"].as_str().expect("an error")
}

#[tokio::test]
async fn a_blocked_port_is_blocked_until_it_is_unblocked_also_by_the_next_longshore() {
    let Some(mut rig) = Rig::new("faults").await else {
        return;
    };
    write(&rig, true);
    rig.start();
    rig.steady();
    let running = rig.running("client").await;
    let client = running[0].id.clone();
    let fault = "network-blackhole-port";
    let task = get(&rig, &client, "$ECS_CONTAINER_METADATA_URI_V4/task").await;
    assert_eq!(task["FaultInjectionEnabled"], true);
    assert!(reaches(&rig, &client).await, "before anything is wrong");
    is(
        ask(&rig, &client, fault, "status", PORT).await,
        "not-running",
    );
    is(ask(&rig, &client, fault, "start", PORT).await, "running");
    assert!(!reaches(&rig, &client).await, "it is blocked");
    is(ask(&rig, &client, fault, "start", PORT).await, "running");
    let other = PORT.replace("8080", "8081");
    is(
        ask(&rig, &client, fault, "status", &other).await,
        "not-running",
    );

    rig.kill();
    rig.start();
    rig.steady();
    is(ask(&rig, &client, fault, "status", PORT).await, "running");
    assert!(!reaches(&rig, &client).await, "it still is");
    is(ask(&rig, &client, fault, "stop", PORT).await, "stopped");
    assert!(reaches(&rig, &client).await, "it is unblocked");
    is(ask(&rig, &client, fault, "stop", PORT).await, "stopped");
    is(
        ask(&rig, &client, fault, "status", PORT).await,
        "not-running",
    );
    let spared =
        r#"{"Port":8080,"Protocol":"tcp","TrafficType":"egress","SourcesToFilter":["0.0.0.0/0"]}"#;
    is(ask(&rig, &client, fault, "start", spared).await, "running");
    assert!(reaches(&rig, &client).await, "everybody is exempt");
    is(ask(&rig, &client, fault, "stop", spared).await, "stopped");
}

#[tokio::test]
async fn lost_packets_are_lost_and_late_ones_late_or_refused_by_name() {
    let Some(mut rig) = Rig::new("lossy").await else {
        return;
    };
    write(&rig, true);
    rig.start();
    rig.steady();
    let running = rig.running("client").await;
    let client = running[0].id.clone();
    let all = r#"{"LossPercent":100,"Sources":["0.0.0.0/0"]}"#;
    let fault = "network-packet-loss";
    is(ask(&rig, &client, fault, "start", all).await, "running");
    assert!(!reaches(&rig, &client).await, "every packet is lost");
    let again = ask(&rig, &client, fault, "start", all).await;
    assert_eq!(again.0, 409, "{again:?}");
    is(ask(&rig, &client, fault, "stop", "").await, "stopped");
    assert!(reaches(&rig, &client).await);
    let half = r#"{"LossPercent":50,"Sources":["10.0.0.0/8"]}"#;
    is(ask(&rig, &client, fault, "start", half).await, "running");
    is(ask(&rig, &client, fault, "status", "").await, "running");
    is(ask(&rig, &client, fault, "stop", "").await, "stopped");

    let late = r#"{"DelayMilliseconds":100,"JitterMilliseconds":1,"Sources":["0.0.0.0/0"]}"#;
    let started = ask(&rig, &client, "network-latency", "start", late).await;
    if started.0 == 200 {
        is(started, "running");
        is(
            ask(&rig, &client, "network-latency", "stop", "").await,
            "stopped",
        );
    } else {
        assert_eq!(started.0, 501, "{started:?}");
        assert!(error(&started).contains("netem"), "{started:?}");
    }
    is(
        ask(&rig, &client, "network-latency", "status", "").await,
        "not-running",
    );
    assert!(reaches(&rig, &client).await, "nothing is left of it");
}

#[tokio::test]
async fn faults_are_refused_where_definition_cluster_or_network_mode_do_not_allow_them() {
    let Some(mut rig) = Rig::new("refused").await else {
        return;
    };
    write(&rig, false);
    rig.start();
    rig.steady();
    let fault = "network-blackhole-port";
    let mut client = String::new();
    for (service, wanted) in [
        ("server", "enableFaultInjection is not enabled"),
        ("client", "faultInjection"),
    ] {
        let running = rig.running(service).await;
        client.clone_from(&running[0].id);
        let told = ask(&rig, &client, fault, "start", PORT).await;
        assert_eq!(told.0, 400, "{told:?}");
        assert!(error(&told).contains(wanted), "{told:?}");
    }
    let task = get(&rig, &client, "$ECS_CONTAINER_METADATA_URI_V4/task").await;
    assert_eq!(task["FaultInjectionEnabled"], false);
    write(&rig, true);
    rig.steady();
    let bridged = rig.running("bridged").await;
    let told = ask(&rig, &bridged[0].id, fault, "start", PORT).await;
    assert_eq!(told.0, 400, "{told:?}");
    assert!(error(&told).contains("bridge mode"), "{told:?}");
    let told = ask(&rig, &client, fault, "start", r#"{"Port":8080}"#).await;
    assert_eq!(error(&told), "required parameter Protocol is missing");
}
