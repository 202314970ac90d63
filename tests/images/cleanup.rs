//! Unused images are removed from a real engine, and only those that Longshore brought.

use longshore::engine::{ContainerState, Engine};
use longshore::model::ClusterSpec;

use crate::common::{self, Namespace, registry::Registry};
use crate::pulling::{agent, cluster_name, run, task};

#[tokio::test]
async fn an_image_that_nothing_uses_any_more_goes_if_longshore_pulled_it() {
    let (Some(engine), Some(registry)) = (common::docker().await, Registry::start()) else {
        return;
    };
    let ns = Namespace::new();
    let mut cluster = ClusterSpec::named(cluster_name(&ns));
    cluster.images.cleanup.interval = 1;
    cluster.images.cleanup.minimum_age = 0;
    ns.run(&*engine, async {
        for name in ["ours:1", "busy:1", "theirs:1"] {
            registry.push(&*engine, name, name).await;
        }
        let theirs = registry.image("theirs:1");
        engine
            .pull_image(&theirs, None, None, &|_| ())
            .await
            .expect("pulled");
        let rig = agent(&engine, &ns, &cluster).await;
        let (ours, _) = run(&rig, &task(&registry.image("ours:1"), &ns)).await;
        let (not_ours, _) = run(&rig, &task(&theirs, &ns)).await;
        // A container of somebody else holds the last one when its task is gone.
        let (busy, _) = run(&rig, &task(&registry.image("busy:1"), &ns)).await;
        let mut body = ns.body(&["true"]);
        body.image = registry.image("busy:1");
        let holder = engine
            .create_container(&ns.name("holder"), &body)
            .await
            .expect("created");
        for id in [&ours, &not_ours, &busy] {
            rig.order_stop(id).await;
            rig.until_stopped(id).await;
            rig.delete(id).await;
        }
        let has = async |name: &str| {
            let found = engine.image(&registry.image(name)).await;
            found.expect("an answer").is_some()
        };
        rig.until_true("what it pulled is removed", async || !has("ours:1").await)
            .await;
        assert!(has("theirs:1").await, "the test itself pulled that one");
        assert!(has("busy:1").await, "a container uses it");
        let seen = engine
            .inspect_container(&holder)
            .await
            .expect("it is there");
        assert_eq!(seen.state, ContainerState::Created);
        engine.remove_container(&holder).await.expect("removed");
        rig.until_true("it goes once nothing uses it", async || {
            !has("busy:1").await
        })
        .await;
        assert!(has("theirs:1").await);
    })
    .await;
}
