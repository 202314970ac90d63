//! Several clusters of one folder: one that is in trouble or goes away concerns no other, and `down` comes to an end with all.

use longshore::engine::{Engine, labels};

use crate::common;
use crate::rig::{Rig, Service};

/// An address that nobody listens on.
const NOBODY: &str = "tcp://127.0.0.1:1";

fn second(rig: &Rig, endpoint: &str) -> String {
    let name = format!("{}-b", rig.cluster);
    let instances = match endpoint {
        "" => String::new(),
        endpoint => {
            format!("\n  containerInstances: [{{name: there, endpoint: '{endpoint}'}}]")
        }
    };
    rig.write(
        "second.yaml",
        &format!(
            "apiVersion: longshore/v1\nkind: Cluster\nmetadata:\n  name: {name}\nspec:\n  healthyAfterSeconds: 1{instances}\n"
        ),
    );
    name
}

/// Moves a service of one plain container into another cluster.
fn service_of(rig: &Rig, service: &str, cluster: &str) {
    service_with(rig, service, cluster, "");
}

/// The same with a line of the task definition itself.
fn service_with(rig: &Rig, service: &str, cluster: &str, line: &str) {
    let text = format!(
        "apiVersion: longshore/v1
kind: TaskDefinition
metadata: {{name: {service}}}
spec:
  {line}
  containerDefinitions:
    - {{name: main, image: '{image}', memory: 32, stopTimeout: 1, command: [sleep, '100000']}}
---
apiVersion: longshore/v1
kind: Service
metadata: {{name: {service}}}
spec: {{cluster: {cluster}, taskDefinition: {service}, desiredCount: 1}}
",
        image = common::IMAGE,
    );
    rig.write(&format!("{service}.yaml"), &text);
}

#[tokio::test]
async fn an_engine_that_is_away_holds_no_other_cluster_up_and_down_says_what_it_could_not_reach() {
    let Some(mut rig) = Rig::new("away").await else {
        return;
    };
    let other = second(&rig, NOBODY);
    service_of(&rig, "far", &other);
    rig.service("web", &Service::default());
    rig.start();
    rig.until("the cluster at hand works", async |rig| {
        rig.running("web").await.len() == 1
    })
    .await;
    rig.service(
        "web",
        &Service {
            count: 2,
            ..Service::default()
        },
    );
    rig.until("the folder is followed", async |rig| {
        rig.running("web").await.len() == 2
    })
    .await;

    let ended = rig.run(&["down"]);
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    assert!(ended.stderr.contains("left: "), "{}", ended.stderr);
    assert!(ended.stderr.contains("127.0.0.1:1"), "{}", ended.stderr);
    let mine = [(labels::CLUSTER.to_owned(), rig.cluster.clone())];
    // The engine removes the lease by itself, a moment after its holder let go.
    rig.until("no container is left", async |rig| {
        let containers = rig.engine.list_containers(&mine).await.expect("a list");
        containers.is_empty()
    })
    .await;
    let networks = rig.engine.list_networks(&mine).await.expect("a list");
    assert!(networks.is_empty(), "{networks:?}");
    rig.ends().await;
}

#[tokio::test]
async fn apply_calls_nothing_steady_of_which_nothing_is_decided_yet() {
    let Some(mut rig) = Rig::new("unknown").await else {
        return;
    };
    let other = second(&rig, NOBODY);
    service_of(&rig, "far", &other);
    rig.start();
    // By then the others would have been gone on with, had there been any.
    let ended = rig.apply(14);
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    let said = format!("nothing is decided about {other}/far until it is known what runs");
    assert!(ended.stderr.contains(&said), "{}", ended.stderr);
    let status = rig.json(&["get", "clusters", "-o", "json"]).to_string();
    assert!(status.contains(&other), "{status}");
}

#[tokio::test]
async fn control_groups_of_one_cluster_are_no_concern_of_another_on_the_same_engine() {
    let Some(mut rig) = Rig::new("groups").await else {
        return;
    };
    let other = second(&rig, "");
    service_with(&rig, "here", &rig.cluster.clone(), "memory: '64'");
    service_with(&rig, "there", &other, "memory: '64'");
    rig.start();
    rig.steady();
    // The agents of the next process look at every group that they find.
    rig.kill();
    rig.start();
    rig.steady();
    assert!(!rig.log().contains(" stays"), "{}", rig.log());
    let ended = rig.run(&["down"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
}

#[tokio::test]
async fn the_network_of_a_cluster_that_left_the_folder_is_removed() {
    let Some(mut rig) = Rig::new("moved").await else {
        return;
    };
    service_of(&rig, "web", &rig.cluster.clone());
    rig.start();
    rig.steady();
    let mine = [(labels::CLUSTER.to_owned(), rig.cluster.clone())];
    let networks = rig.engine.list_networks(&mine).await.expect("a list");
    assert_eq!(networks.len(), 1);

    let other = second(&rig, "");
    service_of(&rig, "web", &other);
    rig.remove("cluster.yaml");
    rig.until("the old cluster's network is gone", async |rig| {
        let networks = rig.engine.list_networks(&mine).await.expect("a list");
        networks.is_empty()
    })
    .await;
    assert!(rig.running("web").await.is_empty());
    rig.steady();
    let ended = rig.run(&["down"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
}

#[tokio::test]
async fn a_volume_that_an_earlier_down_kept_goes_with_volumes() {
    let Some(mut rig) = Rig::new("kept").await else {
        return;
    };
    let volume = format!("{}-data", rig.cluster);
    rig.write(
        "web.yaml",
        &format!(
            "apiVersion: longshore/v1
kind: TaskDefinition
metadata: {{name: web}}
spec:
  volumes: [{{name: data, dockerVolumeConfiguration: {{scope: shared, autoprovision: true}}}}]
  containerDefinitions:
    - name: main
      image: '{image}'
      memory: 32
      stopTimeout: 1
      command: [sleep, '100000']
      mountPoints: [{{sourceVolume: data, containerPath: /data}}]
---
apiVersion: longshore/v1
kind: Service
metadata: {{name: web}}
spec: {{cluster: {cluster}, taskDefinition: web, desiredCount: 1}}
",
            image = common::IMAGE,
            cluster = rig.cluster,
        )
        .replace("name: data,", &format!("name: {volume},"))
        .replace("sourceVolume: data", &format!("sourceVolume: {volume}")),
    );
    rig.start();
    rig.steady();
    let kept = rig.run(&["down"]);
    assert_eq!(kept.code, 0, "{}", kept.stderr);
    assert!(kept.stderr.contains("kept volume"), "{}", kept.stderr);
    rig.ends().await;
    let mine = [(labels::CLUSTER.to_owned(), rig.cluster.clone())];
    assert_eq!(
        rig.engine.list_volumes(&mine).await.expect("a list").len(),
        1
    );

    let folder = rig.folder().display().to_string();
    let gone = rig.run(&["down", &folder, "--volumes"]);
    assert_eq!(gone.code, 0, "{}", gone.stderr);
    let volumes = rig.engine.list_volumes(&mine).await.expect("a list");
    assert!(volumes.is_empty(), "{volumes:?}\n{}", gone.stderr);
}
