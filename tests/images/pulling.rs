//! The four pull behaviours, by an agent on a real engine (semantics §4.18).

use std::sync::Arc;

use longshore::clock::{RandomIds, SystemClock};
use longshore::engine::docker::DockerEngine;
use longshore::engine::labels;
use longshore::model::{ClusterName, ClusterSpec, PullBehavior, TaskId, TaskSpec};
use serde_json::json;

use crate::agent::{self, Rig};
use crate::common::{self, Namespace, registry::Registry};

/// An agent on the real engine, whose cluster is the namespace's own.
pub async fn agent(engine: &Arc<DockerEngine>, ns: &Namespace, cluster: &ClusterSpec) -> Rig {
    let clock = Arc::new(SystemClock);
    let mut rig = Rig::new(engine.clone(), clock, Arc::new(RandomIds)).await;
    rig.cluster = cluster_name(ns);
    let cluster = ClusterSpec {
        name: rig.cluster.clone(),
        ..cluster.clone()
    };
    rig.declare(&cluster).await;
    rig.start().await;
    rig
}

pub fn cluster_name(ns: &Namespace) -> ClusterName {
    ClusterName::new(ns.name("images"))
}

/// A task of one container of that image, which carries the test's label.
pub fn task(image: &str, ns: &Namespace) -> TaskSpec {
    agent::spec(
        image,
        json!({"family": "web", "network_mode": "host", "containers": [
            {"name": "web", "stop_timeout": 1, "docker_labels": ns.labels()}
        ]}),
    )
}

/// Orders a task, waits until it runs, and returns it with the id of its image.
pub async fn run(rig: &Rig, spec: &TaskSpec) -> (TaskId, String) {
    let id = rig.order(spec).await;
    rig.until_running(&id).await;
    let of = [(labels::TASK.to_owned(), id.to_string())];
    let found = rig.engine.list_containers(&of).await.expect("a list");
    (id, found[0].image_id.clone())
}

#[tokio::test]
async fn each_behaviour_asks_the_registry_and_falls_back_as_it_says() {
    for (pull, takes_the_new, runs_without) in [
        (PullBehavior::Default, true, true),
        (PullBehavior::Always, true, false),
        (PullBehavior::Once, false, true),
        (PullBehavior::PreferCached, false, true),
    ] {
        let (Some(engine), Some(mut registry)) = (common::docker().await, Registry::start()) else {
            return;
        };
        let ns = Namespace::new();
        let mut cluster = ClusterSpec::named(cluster_name(&ns));
        cluster.images.pull = pull;
        ns.run(&*engine, async {
            registry.push(&*engine, "app:1", "one").await;
            let rig = agent(&engine, &ns, &cluster).await;
            let spec = task(&registry.image("app:1"), &ns);
            let (_, first) = run(&rig, &spec).await;
            registry.push(&*engine, "app:1", "two").await;
            let (_, second) = run(&rig, &spec).await;
            assert_eq!(first != second, takes_the_new, "{pull:?}");

            registry.end();
            if runs_without {
                let (_, third) = run(&rig, &spec).await;
                assert_eq!(third, second, "{pull:?}");
                return;
            }
            let id = rig.order(&spec).await;
            let reason = rig
                .until_stopped(&id)
                .await
                .stopped_reason
                .unwrap_or_default();
            assert!(reason.starts_with("CannotPullContainerError: "), "{reason}");
            assert!(reason.contains("connection refused"), "{reason}");
            assert!(
                reason.contains(&format!("must reach {}", registry.address())),
                "{reason}"
            );
        })
        .await;
    }
}
