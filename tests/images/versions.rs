//! ECS's `versionConsistency`, by the whole program on a real engine and a real registry.

use longshore::engine::{Engine, labels};

use crate::common::registry::Registry;
use crate::rig::{Rig, ids, values};

fn write(rig: &Rig, image: &str, count: u32, version: u32, consistency: &str) {
    let text = format!(
        "apiVersion: longshore/v1
kind: TaskDefinition
metadata: {{name: web}}
spec:
  containerDefinitions:
    - name: main
      image: '{image}'
      versionConsistency: {consistency}
      environment: [{{name: VERSION, value: '{version}'}}]
      memory: 32
      stopTimeout: 1
---
apiVersion: longshore/v1
kind: Service
metadata: {{name: web}}
spec:
  cluster: {}
  taskDefinition: web
  desiredCount: {count}
",
        rig.cluster
    );
    rig.write("web.yaml", &text);
}

/// The ids of the images that the service's containers run, once each.
async fn images(rig: &Rig) -> Vec<String> {
    let running = rig.running("web").await;
    let mut images: Vec<String> = running.into_iter().map(|found| found.image_id).collect();
    images.sort();
    images.dedup();
    images
}

#[tokio::test]
async fn a_deployment_keeps_the_digest_that_its_tag_had_and_the_next_one_takes_the_new() {
    let Some(registry) = Registry::start() else {
        return;
    };
    let Some(mut rig) = Rig::new("versions").await else {
        return;
    };
    let image = registry.image("web:1");
    let engine = rig.engine.clone();
    registry.push(&*engine, "web:1", "one").await;
    write(&rig, &image, 1, 1, "enabled");
    rig.start();
    rig.steady();
    let first = images(&rig).await;
    assert_eq!(first.len(), 1);

    // The tag moves on, also on the engine itself: somebody pulls it.
    registry.push(&*engine, "web:1", "two").await;
    engine
        .pull_image(&image, None, None, &|_| ())
        .await
        .expect("pulled");
    let new = engine
        .image(&image)
        .await
        .expect("an answer")
        .expect("it is there");
    assert_ne!(vec![new.id.clone()], first);

    let before = rig.running("web").await;
    engine
        .remove_container(&before[0].id)
        .await
        .expect("killed");
    rig.until("the task is replaced", async |rig| {
        let now = rig.running("web").await;
        now.len() == 1 && ids(&now) != ids(&before)
    })
    .await;
    assert_eq!(images(&rig).await, first, "a replacement");

    write(&rig, &image, 3, 1, "enabled");
    rig.steady();
    assert_eq!(rig.running("web").await.len(), 3);
    assert_eq!(images(&rig).await, first, "more tasks");

    rig.kill();
    let before = rig.running("web").await;
    engine
        .remove_container(&before[0].id)
        .await
        .expect("killed");
    rig.start();
    rig.steady();
    let after = rig.running("web").await;
    assert_eq!(after.len(), 3);
    assert_eq!(images(&rig).await, first, "after a restart");
    let kept = |id: &String| ids(&after).contains(id);
    assert_eq!(
        ids(&before).iter().filter(|id| kept(id)).count(),
        2,
        "nothing else was replaced"
    );

    write(&rig, &image, 2, 2, "enabled");
    rig.steady();
    assert_eq!(
        images(&rig).await,
        [new.id],
        "another deployment resolves anew"
    );
    let tasks = rig.running("web").await;
    assert_eq!(values(&tasks, labels::REVISION), ["2"]);
}

#[tokio::test]
async fn with_disabled_consistency_each_task_takes_what_the_tag_means() {
    let Some(registry) = Registry::start() else {
        return;
    };
    let Some(mut rig) = Rig::new("novers").await else {
        return;
    };
    let image = registry.image("web:1");
    let engine = rig.engine.clone();
    registry.push(&*engine, "web:1", "one").await;
    write(&rig, &image, 1, 1, "disabled");
    rig.start();
    rig.steady();
    let first = images(&rig).await;
    registry.push(&*engine, "web:1", "two").await;
    write(&rig, &image, 2, 1, "disabled");
    rig.steady();
    let both = images(&rig).await;
    assert_eq!(both.len(), 2, "{both:?}");
    assert!(both.contains(&first[0]));
    let running = rig.running("web").await;
    assert!(
        running.iter().all(|found| found.image == image),
        "by its tag"
    );
}
