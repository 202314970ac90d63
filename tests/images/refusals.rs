//! What a registry that does not give an image is taken for.

use longshore::engine::{Engine, EngineError, ErrorKind};

use crate::common::registry::{PASSWORD, Registry};
use crate::common::{self, Namespace};

async fn refused(
    engine: &dyn Engine,
    image: &str,
    auth: Option<&longshore::engine::RegistryAuth>,
) -> EngineError {
    let result = engine.pull_image(image, None, auth, &|_| ()).await;
    result.expect_err("no image is there")
}

#[tokio::test]
async fn a_registry_without_the_image_and_one_that_is_away_are_told_apart() {
    let (Some(engine), Some(mut registry)) = (common::docker().await, Registry::start()) else {
        return;
    };
    let engine = &*engine;
    let digest = registry.push(engine, "app:1", "one").await;
    for image in [
        registry.image("app:2"),
        registry.image("nothing:1"),
        registry.image(&format!("app@sha256:{}", "0".repeat(64))),
    ] {
        let error = refused(engine, &image, None).await;
        assert_eq!(error.kind, ErrorKind::ImageNotFound, "{error}");
    }
    registry.end();
    for image in [
        registry.image("app:1"),
        registry.image(&format!("app@{digest}")),
    ] {
        let error = refused(engine, &image, None).await;
        assert_eq!(error.kind, ErrorKind::RegistryUnavailable, "{error}");
    }
}

#[tokio::test]
async fn a_registry_that_wants_a_login_takes_the_right_one_only() {
    let (Some(engine), Some(registry)) = (common::docker().await, Registry::with_login()) else {
        return;
    };
    let ns = Namespace::new();
    let engine = &*engine;
    ns.run(engine, async {
        registry.push(engine, "app:1", "one").await;
        let image = registry.image("app:1");
        let wrong = registry.auth("wrong");
        for auth in [None, Some(&wrong)] {
            let error = refused(engine, &image, auth).await;
            assert_eq!(error.kind, ErrorKind::Unauthorized, "{error}");
        }
        let auth = registry.auth(PASSWORD);
        let told = std::sync::Mutex::new(0_u64);
        let progress = |progress: longshore::engine::PullProgress| {
            let mut told = told.lock().expect("no panic");
            *told = progress.current.max(*told);
        };
        engine
            .pull_image(&image, None, Some(&auth), &progress)
            .await
            .expect("pulled");
        assert!(engine.image(&image).await.expect("an answer").is_some());
    })
    .await;
}
