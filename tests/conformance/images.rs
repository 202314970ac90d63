//! Images.

use longshore::engine::{Engine, ErrorKind, LogOptions};

use super::{DEAD_REGISTRY, ended, kind, read, started};
use crate::common::{Namespace, busybox_rootfs};

async fn import(engine: &dyn Engine, reference: &str, changes: &[&str]) {
    let changes: Vec<String> = changes.iter().map(|change| (*change).to_owned()).collect();
    engine
        .import_image(reference, busybox_rootfs(), &changes)
        .await
        .expect("imported");
}

pub async fn an_imported_image_is_found_by_its_reference_and_its_id(
    engine: &dyn Engine,
    ns: &Namespace,
) {
    let reference = ns.image("fresh");
    assert_eq!(engine.image(&reference).await.expect("an answer"), None);
    import(
        engine,
        &reference,
        &["ENTRYPOINT [\"echo\"]", "CMD [\"hello\"]"],
    )
    .await;
    let image = engine
        .image(&reference)
        .await
        .expect("an answer")
        .expect("an image");
    assert_eq!(image.repo_tags, [reference.as_str()]);
    assert_eq!(
        (image.entrypoint.as_slice(), image.cmd.as_slice()),
        (
            ["echo".to_owned()].as_slice(),
            ["hello".to_owned()].as_slice()
        )
    );
    assert!(
        image.repo_digests.is_empty(),
        "nothing was pulled or pushed: {image:?}"
    );
    assert!(
        image.id.starts_with("sha256:") && image.size > 1_000_000,
        "{image:?}"
    );
    let by_id = engine.image(&image.id).await.expect("an answer");
    assert_eq!(by_id, Some(image));
}

pub async fn an_imported_image_runs_as_its_changes_say(engine: &dyn Engine, ns: &Namespace) {
    let reference = ns.image("echo");
    import(
        engine,
        &reference,
        &["ENTRYPOINT [\"echo\"]", "CMD [\"hello\"]"],
    )
    .await;
    for (name, entrypoint, cmd, expected) in [
        ("plain", None, None, "hello\n"),
        ("cmd", None, Some("you"), "you\n"),
        ("entrypoint", Some(["echo", "-n"]), None, ""),
        ("both", Some(["echo", "well,"]), Some("you"), "well, you\n"),
    ] {
        let mut body = ns.body(&[]);
        body.image.clone_from(&reference);
        body.cmd = cmd.map(|word| vec![word.to_owned()]);
        body.entrypoint = entrypoint.map(|words| words.map(str::to_owned).to_vec());
        let id = started(engine, &ns.name(name), &body).await;
        assert_eq!(ended(engine, &id).await.exit_code, Some(0));
        let log = engine
            .logs(&id, &LogOptions::default())
            .await
            .expect("a log");
        assert_eq!(read(log).await.0, expected, "{name}");
    }
}

pub async fn an_image_in_use_cannot_be_removed(engine: &dyn Engine, ns: &Namespace) {
    let reference = ns.image("used");
    import(engine, &reference, &["CMD [\"true\"]"]).await;
    let mut body = ns.body(&[]);
    body.cmd = None;
    body.image.clone_from(&reference);
    let id = engine
        .create_container(&ns.name("user"), &body)
        .await
        .expect("created");
    assert_eq!(
        kind(engine.remove_image(&reference).await),
        ErrorKind::Conflict
    );
    engine.remove_container(&id).await.expect("removed");
    engine.remove_image(&reference).await.expect("removed");
    assert_eq!(engine.image(&reference).await.expect("an answer"), None);
    assert_eq!(
        kind(engine.remove_image(&reference).await),
        ErrorKind::NotFound
    );
}

pub async fn a_registry_that_does_not_answer_is_told_apart(engine: &dyn Engine, _: &Namespace) {
    let result = engine.pull_image(DEAD_REGISTRY, None, None, &|_| ()).await;
    assert_eq!(kind(result), ErrorKind::RegistryUnavailable);
}
