//! Volumes.

use longshore::engine::{Engine, ErrorKind};

use super::{kind, running};
use crate::common::{Namespace, busybox_rootfs};

pub async fn a_volume_is_made_once_found_and_removed(engine: &dyn Engine, ns: &Namespace) {
    let body = ns.volume("data");
    engine.create_volume(&body).await.expect("created");
    engine
        .create_volume(&body)
        .await
        .expect("it is there already");
    let seen = engine.inspect_volume(&body.name).await.expect("it exists");
    assert_eq!((&seen.name, &seen.labels), (&body.name, &body.labels));
    assert_eq!(seen.driver, "local");
    assert!(!seen.mountpoint.is_empty());
    assert_eq!(
        engine.list_volumes(&ns.filter()).await.expect("a list"),
        [seen]
    );
    engine.remove_volume(&body.name).await.expect("removed");
    assert_eq!(
        kind(engine.remove_volume(&body.name).await),
        ErrorKind::NotFound
    );
    assert_eq!(
        kind(engine.inspect_volume(&body.name).await),
        ErrorKind::NotFound
    );
}

pub async fn a_volume_in_use_cannot_be_removed(engine: &dyn Engine, ns: &Namespace) {
    let volume = ns.volume("data");
    engine.create_volume(&volume).await.expect("created");
    let mut body = ns.body(&["true"]);
    body.host_config.binds = vec![format!("{}:/data", volume.name)];
    let id = engine
        .create_container(&ns.name("user"), &body)
        .await
        .expect("created");
    let seen = engine.inspect_container(&id).await.expect("it exists");
    assert_eq!(seen.volumes, [volume.name.as_str()]);
    let result = engine.remove_volume(&volume.name).await;
    assert_eq!(
        kind(result),
        ErrorKind::Conflict,
        "used by one that never ran"
    );
    engine.remove_container(&id).await.expect("removed");
    engine.remove_volume(&volume.name).await.expect("removed");
}

pub async fn a_bound_volume_is_made_and_outlives_its_container(
    engine: &dyn Engine,
    ns: &Namespace,
) {
    let name = ns.name("implied");
    let mut body = ns.body(&["true"]);
    body.host_config.binds = vec![format!("{name}:/data:ro")];
    let id = engine
        .create_container(&ns.name("user"), &body)
        .await
        .expect("created");
    engine.inspect_volume(&name).await.expect("it was made");
    engine.remove_container(&id).await.expect("removed");
    engine
        .inspect_volume(&name)
        .await
        .expect("it is still there");
}

pub async fn an_anonymous_volume_goes_with_its_container(engine: &dyn Engine, ns: &Namespace) {
    let image = ns.image("volume");
    let changes = ["VOLUME [\"/data\"]".to_owned()];
    engine
        .import_image(&image, busybox_rootfs(), &changes)
        .await
        .expect("imported");
    let mut body = ns.body(&["sleep", "1000"]);
    body.image = image;
    let id = engine
        .create_container(&ns.name("user"), &body)
        .await
        .expect("created");
    let seen = engine.inspect_container(&id).await.expect("it exists");
    let [volume] = seen.volumes.as_slice() else {
        panic!("{seen:?}");
    };
    engine.inspect_volume(volume).await.expect("it was made");
    engine.remove_container(&id).await.expect("removed");
    assert_eq!(
        kind(engine.inspect_volume(volume).await),
        ErrorKind::NotFound
    );
    // The image can be removed only when nothing uses it.
    let other = running(engine, ns, "other", &["sleep", "1000"]).await;
    engine.remove_container(&other).await.expect("removed");
}
