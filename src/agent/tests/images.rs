//! When a registry is asked, and what is run (semantics §4.18, `versionConsistency`).

use serde_json::json;

use super::{Scene, at, running, task};
use crate::agent::Verb;
use crate::agent::facts::ImageFact;
use crate::engine::ErrorKind;
use crate::model::{LastStatus, PullBehavior, Timestamp};

const CREATE: &str = "create container web: the task is to run";
const PULL: &str = "pull busybox: container web needs it";

fn digest(of: &str) -> String {
    format!("sha256:{}", of.repeat(64))
}

/// What the engine has: an image from a registry, pulled by nobody that we know.
fn present() -> ImageFact {
    ImageFact::Present {
        digest: Some(digest("a")),
        pulled: None,
        ours: false,
    }
}

fn scene(pull: PullBehavior, fact: ImageFact) -> Scene {
    let mut scene = Scene::of(task(json!([{"name": "web"}])));
    scene.facts.pull = pull;
    scene.facts.images.insert("busybox".to_owned(), fact);
    scene
}

#[test]
fn each_behaviour_asks_a_registry_when_it_says() {
    use PullBehavior::{Always, Default, Once, PreferCached};
    let local = ImageFact::Present {
        digest: None,
        pulled: None,
        ours: false,
    };
    let ours = ImageFact::Present {
        digest: Some(digest("a")),
        pulled: None,
        ours: true,
    };
    let asked = |to: Timestamp| ImageFact::Present {
        digest: Some(digest("a")),
        pulled: Some((at(-9), to)),
        ours: true,
    };
    let rows = [
        // The task was ordered at 0.
        ("absent", ImageFact::Absent, [PULL, PULL, PULL, PULL]),
        ("from a registry", present(), [PULL, PULL, PULL, CREATE]),
        ("built here", local, [CREATE, PULL, PULL, CREATE]),
        ("pulled by us before", ours, [PULL, PULL, CREATE, CREATE]),
        (
            "pulled for an earlier task",
            asked(at(-1)),
            [PULL, PULL, CREATE, CREATE],
        ),
        ("pulled since it was ordered", asked(at(1)), [CREATE; 4]),
    ];
    for (what, fact, expected) in rows {
        for (pull, expected) in [Default, Always, Once, PreferCached]
            .into_iter()
            .zip(expected)
        {
            let scene = scene(pull, fact.clone());
            assert_eq!(scene.actions(), [expected], "{what}, {pull:?}");
            let mut pulled = scene;
            pulled.facts.pulled.insert("busybox".to_owned());
            if fact != ImageFact::Absent {
                assert_eq!(
                    pulled.actions(),
                    [CREATE],
                    "pulled for this task: {what}, {pull:?}"
                );
            }
        }
    }
}

#[test]
fn only_default_falls_back_to_the_image_that_the_engine_has() {
    for (pull, falls_back) in [
        (PullBehavior::Default, true),
        (PullBehavior::Always, false),
        (PullBehavior::Once, false),
    ] {
        let failed =
            |kind, failures| scene(pull, present()).failed(Verb::Pull, "busybox", kind, failures);
        // Also where trying again might help: the task need not wait for it.
        let scene = failed(ErrorKind::RegistryUnavailable, 1);
        assert_eq!(scene.actions() == [CREATE], falls_back, "{pull:?}");
        let refused = failed(ErrorKind::Unauthorized, 1);
        let reason = refused.status().stopped_reason;
        assert_eq!(reason.is_none(), falls_back, "{pull:?}: {reason:?}");
        if !falls_back {
            let reason = reason.unwrap_or_default();
            assert!(
                reason.starts_with(
                    "CannotPullContainerError: no luck; docker.io wants other credentials"
                ),
                "{reason}"
            );
        }
    }
    // It is the engine that is away, not the registry.
    let away = scene(PullBehavior::Default, present());
    let away = away.failed(Verb::Pull, "busybox", ErrorKind::Unreachable, 1);
    assert_eq!(away.actions(), Vec::<String>::new());
}

#[test]
fn a_digest_is_reported_once_it_is_settled_which_image_is_run() {
    let mut scene = scene(PullBehavior::Default, present());
    assert_eq!(
        scene.status().containers[0].image_digest,
        None,
        "the tag may mean another by now"
    );
    scene.facts.pulled.insert("busybox".to_owned());
    assert_eq!(scene.status().containers[0].image_digest, Some(digest("a")));
    // What was reported stays: the container is created from it, whatever the tag means later.
    let moved = ImageFact::Present {
        digest: Some(digest("b")),
        pulled: Some((at(1), at(2))),
        ours: true,
    };
    let mut scene = scene.advance();
    scene.facts.images.insert("busybox".to_owned(), moved);
    assert_eq!(scene.status().containers[0].image_digest, Some(digest("a")));
}

#[test]
fn a_pinned_container_needs_its_digest_and_not_its_tag() {
    let mut scene = scene(PullBehavior::Default, present());
    scene.record.images.insert("web".to_owned(), digest("d"));
    let pinned = format!("busybox@{}", digest("d"));
    assert_eq!(
        scene.actions(),
        [format!("pull {pinned}: container web needs it")]
    );
    let fact = ImageFact::Present {
        digest: Some(digest("d")),
        pulled: None,
        ours: false,
    };
    scene.facts.images.insert(pinned.clone(), fact);
    assert_eq!(
        scene.actions(),
        [CREATE],
        "its content cannot change: nothing is asked"
    );
    assert_eq!(scene.status().containers[0].image_digest, Some(digest("d")));
    scene.facts.pull = PullBehavior::Always;
    assert_eq!(
        scene.actions(),
        [format!("pull {pinned}: container web needs it")]
    );
}

#[test]
fn a_container_that_was_there_before_is_reported_by_the_digest_of_its_own_image() {
    let mut scene = scene(PullBehavior::Default, present()).see("web", running("web", 1));
    scene
        .facts
        .digests
        .insert("web".to_owned(), Some(digest("c")));
    let status = scene.status();
    assert_eq!(status.last_status, LastStatus::Running);
    assert_eq!(status.containers[0].image_digest, Some(digest("c")));
    scene.facts.digests.insert("web".to_owned(), None);
    assert_eq!(scene.status().containers[0].image_digest, None);
}
