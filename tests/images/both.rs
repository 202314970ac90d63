//! Images that come from a registry, on both engines: the same cases on the simulated one and on a Docker Engine with a real
//! registry. Where the two differ, the simulated one is wrong.

use std::sync::Arc;

use async_trait::async_trait;
use longshore::clock::{SeededIds, TokioClock};
use longshore::engine::docker::DockerEngine;
use longshore::engine::simulated::{SimOptions, Simulated};
use longshore::engine::{CreateBody, Engine, ErrorKind, ImageInfo, ListedImage};
use longshore::model::Timestamp;

use crate::common::registry::Registry;
use crate::common::{self, Namespace};

/// An engine and a registry that images can be pushed to.
#[async_trait]
trait Shelf {
    fn engine(&self) -> &dyn Engine;
    /// Pushes another image of that name; returns its reference.
    async fn push(&self, name: &str) -> String;
}

struct Real {
    engine: Arc<DockerEngine>,
    registry: Registry,
}

#[async_trait]
impl Shelf for Real {
    fn engine(&self) -> &dyn Engine {
        &*self.engine
    }

    async fn push(&self, name: &str) -> String {
        self.registry.push(&*self.engine, name, name).await;
        self.registry.image(name)
    }
}

#[async_trait]
impl Shelf for Arc<Simulated> {
    fn engine(&self) -> &dyn Engine {
        &**self
    }

    async fn push(&self, name: &str) -> String {
        let reference = format!("registry.test:5000/longshore-test/{name}");
        Simulated::push(self, &reference);
        reference
    }
}

macro_rules! on_both {
    ($($case:ident),* $(,)?) => {
        mod simulated {
            $(
                #[tokio::test(start_paused = true)]
                async fn $case() {
                    let clock = super::TokioClock::starting_at(super::Timestamp::from_millis(0));
                    let ids = super::SeededIds::new(3);
                    let engine = super::Simulated::new(clock, ids, super::SimOptions::default());
                    super::$case(&engine, &super::Namespace::new()).await;
                }
            )*
        }

        mod docker {
            $(
                #[tokio::test]
                async fn $case() {
                    let engine = super::common::docker().await;
                    let (Some(engine), Some(registry)) = (engine, super::Registry::start()) else {
                        return;
                    };
                    let shelf = super::Real { engine, registry };
                    let ns = super::Namespace::new();
                    let engine = std::sync::Arc::clone(&shelf.engine);
                    ns.run(&*engine, super::$case(&shelf, &ns)).await;
                }
            )*
        }
    };
}

on_both! {
    a_pulled_image_is_found_by_its_tag_and_by_its_digest,
    a_tag_that_moved_brings_another_image_and_the_old_one_is_left_with_its_digest,
    what_is_pulled_by_digest_has_no_tag,
    an_image_goes_with_its_last_tag_unless_a_container_uses_it,
    a_container_is_created_from_a_digest,
}

async fn pull(engine: &dyn Engine, reference: &str) -> ImageInfo {
    let pulled = engine.pull_image(reference, None, None, &|_| ()).await;
    pulled.expect("pulled");
    found(engine, reference).await.expect("it is there")
}

async fn found(engine: &dyn Engine, reference: &str) -> Option<ImageInfo> {
    engine.image(reference).await.expect("an answer")
}

async fn listed(engine: &dyn Engine, id: &str) -> Option<ListedImage> {
    let all = engine.list_images().await.expect("a list");
    all.into_iter().find(|image| image.id == id)
}

fn names(image: &ListedImage) -> Vec<&str> {
    image.names().collect()
}

async fn a_pulled_image_is_found_by_its_tag_and_by_its_digest(shelf: &dyn Shelf, _: &Namespace) {
    let engine = shelf.engine();
    let tag = shelf.push("app:1").await;
    let image = pull(engine, &tag).await;
    assert_eq!(image.repo_tags, [tag.as_str()]);
    assert_eq!(image.repo_digests.len(), 1, "{image:?}");
    let digest = &image.repo_digests[0];
    let repository = tag.strip_suffix(":1").expect("a tag");
    assert!(
        digest.starts_with(&format!("{repository}@sha256:")),
        "{digest}"
    );
    assert_eq!(found(engine, digest).await.as_ref(), Some(&image));
    let of_list = listed(engine, &image.id).await.expect("it is listed");
    assert_eq!(names(&of_list), [tag.as_str(), digest.as_str()]);
    assert_eq!(pull(engine, &tag).await, image, "nothing new");
}

async fn a_tag_that_moved_brings_another_image_and_the_old_one_is_left_with_its_digest(
    shelf: &dyn Shelf,
    _: &Namespace,
) {
    let engine = shelf.engine();
    let tag = shelf.push("app:1").await;
    let old = pull(engine, &tag).await;
    shelf.push("app:1").await;
    assert_eq!(
        found(engine, &tag).await.as_ref(),
        Some(&old),
        "a push brings nothing"
    );
    let new = pull(engine, &tag).await;
    assert_ne!(new.id, old.id);
    let left = found(engine, &old.repo_digests[0]).await.expect("it stays");
    assert_eq!((left.id, left.repo_tags), (old.id.clone(), Vec::new()));
    let left = listed(engine, &old.id).await.expect("it is listed");
    assert_eq!(names(&left), [old.repo_digests[0].as_str()]);
}

async fn what_is_pulled_by_digest_has_no_tag(shelf: &dyn Shelf, _: &Namespace) {
    let engine = shelf.engine();
    let tag = shelf.push("app:1").await;
    let image = pull(engine, &tag).await;
    let digest = image.repo_digests[0].clone();
    engine.remove_image(&tag).await.expect("removed");
    assert_eq!(
        found(engine, &digest).await,
        None,
        "the digest went with the tag"
    );
    shelf.push("app:1").await;
    let pinned = pull(engine, &digest).await;
    assert_eq!(pinned.id, image.id, "whatever the tag means by now");
    assert_eq!(pinned.repo_digests, [digest.as_str()]);
    assert_eq!(pinned.repo_tags, Vec::<String>::new());
    assert_eq!(found(engine, &tag).await, None);
    let removed = engine.remove_image(&digest).await;
    removed.expect("removed");
    assert_eq!(listed(engine, &image.id).await, None);
}

async fn an_image_goes_with_its_last_tag_unless_a_container_uses_it(
    shelf: &dyn Shelf,
    ns: &Namespace,
) {
    let engine = shelf.engine();
    let tag = shelf.push("app:1").await;
    let image = pull(engine, &tag).await;
    let body = CreateBody {
        image: tag.clone(),
        labels: ns.labels(),
        ..CreateBody::default()
    };
    let id = engine
        .create_container(&ns.name("user"), &body)
        .await
        .expect("created");
    for name in [&tag, &image.id] {
        let error = engine.remove_image(name).await.expect_err("it is used");
        assert_eq!(error.kind, ErrorKind::Conflict, "{error}");
    }
    engine
        .remove_image(&image.repo_digests[0])
        .await
        .expect_err("it is used");
    assert_eq!(
        found(engine, &tag).await.as_ref(),
        Some(&image),
        "it has its names"
    );
    engine.remove_container(&id).await.expect("removed");
    // Its digest can go alone; the tag stays.
    engine
        .remove_image(&image.repo_digests[0])
        .await
        .expect("removed");
    let left = listed(engine, &image.id).await.expect("it is listed");
    assert_eq!(names(&left), [tag.as_str()]);
    engine.remove_image(&tag).await.expect("removed");
    assert_eq!(listed(engine, &image.id).await, None);
}

async fn a_container_is_created_from_a_digest(shelf: &dyn Shelf, ns: &Namespace) {
    let engine = shelf.engine();
    let tag = shelf.push("app:1").await;
    let image = pull(engine, &tag).await;
    let body = CreateBody {
        image: image.repo_digests[0].clone(),
        labels: ns.labels(),
        ..CreateBody::default()
    };
    let id = engine
        .create_container(&ns.name("user"), &body)
        .await
        .expect("created");
    let seen = engine.inspect_container(&id).await.expect("it is there");
    assert_eq!(
        (seen.image, seen.image_id),
        (image.repo_digests[0].clone(), image.id)
    );
}
