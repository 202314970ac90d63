//! Semantics §4, rules 12 and 18: when images are pulled, and what a pull that fails does.

use super::*;

// 12
#[test]
fn images_are_pulled_for_all_containers_at_once_whatever_they_depend_on() {
    let mut spec = waiting("SUCCESS");
    spec.containers[1].image = "nginx".to_owned();
    let mut scene = Scene::of(spec);
    scene.facts.images.clear();
    assert_eq!(
        scene.actions(),
        [
            "pull busybox: container dep needs it",
            "pull nginx: container web needs it"
        ]
    );
    scene
        .facts
        .images
        .insert("nginx".to_owned(), ImageFact::Pulling { since: at(3) });
    assert_eq!(scene.actions(), ["pull busybox: container dep needs it"]);
    assert_eq!(scene.status().pull_started_at, Some(at(3)));
    let pulled = ImageFact::Present {
        digest: Some("sha256:abc".to_owned()),
        pulled: Some((at(3), at(6))),
        ours: true,
    };
    scene
        .facts
        .images
        .insert("busybox".to_owned(), pulled.clone());
    scene.facts.images.insert("nginx".to_owned(), pulled);
    let status = scene.status();
    assert_eq!(status.pull_stopped_at, Some(at(6)));
    assert_eq!(
        status.containers[0].image_digest.as_deref(),
        Some("sha256:abc")
    );
}

#[test]
fn an_image_for_another_architecture_is_asked_for_by_platform() {
    let mut spec = one();
    spec.architecture = Some("arm64".to_owned());
    let mut scene = Scene::of(spec);
    scene.facts.images.clear();
    assert_eq!(
        scene.actions(),
        ["pull busybox for linux/arm64: container web needs it"]
    );
}

// 18
#[test]
fn a_pull_that_fails_for_good_stops_the_whole_task() {
    let mut spec = task(json!([{"name": "web"}, {"name": "side", "essential": false}]));
    spec.containers[1].image = "ghost".to_owned();
    let mut scene = Scene::of(spec).failed(Verb::Pull, "ghost", ErrorKind::ImageNotFound, 1);
    scene
        .facts
        .images
        .insert("ghost".to_owned(), ImageFact::Absent);
    let status = scene.status();
    assert_eq!(
        status.stopped_reason.as_deref(),
        Some(
            "CannotPullContainerError: no luck; check the image's name and tag, and that it was pushed to docker.io"
        )
    );
    assert_eq!(status.stop_code, Some(StopCode::TaskFailedToStart));
    assert_eq!(scene.actions(), Vec::<String>::new());
}

#[test]
fn a_pull_that_failed_for_an_earlier_reason_does_not_matter_once_the_image_is_there() {
    let scene = Scene::of(one()).failed(Verb::Pull, "busybox", ErrorKind::ImageNotFound, 9);
    assert_eq!(
        scene.actions(),
        ["create container web: the task is to run"]
    );
}
