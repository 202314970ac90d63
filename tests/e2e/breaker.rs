//! Versions that are bad, each in its own way: they are given up and gone back from, the tasks of the good version never notice,
//! and whoever asks is told (semantics §4.24–27, P7).

use std::collections::BTreeSet;

use crate::common;
use crate::guarded::{
    self, COUNT, CRASHES, CRASHES_LATER, Guarded, NEVER_HEALTHY, NO_IMAGE, THRESHOLD, Version,
    is_told, record_of, tasks_of,
};
use crate::rig::{PATIENCE, Rig};

/// The whole story of a bad version: given up, gone back from, told of, blocked across a restart, `retried` in vain, and put
/// right.
async fn is_given_up_and_gone_back_from(name: &str, bad: Version, retried: bool) {
    let Some(mut rig) = Rig::new(name).await else {
        return;
    };
    let service = Guarded::start(&mut rig, &bad).await;

    guarded::write(&rig, &bad, COUNT);
    is_told(&rig, &rig.apply(PATIENCE.as_secs()), &bad, 2);
    service.serves_as_ever(&rig).await;
    let dump = rig.json(&["state", "dump"]);
    let (tried, record) = (tasks_of(&dump, 2), record_of(&dump));
    assert!(
        (THRESHOLD..THRESHOLD + COUNT).contains(&tried.len()),
        "{tried:?}"
    );
    assert_eq!(record["blocked"][0]["failed_tasks"], THRESHOLD, "{record}");

    // It stays so: across a restart, and when another number of tasks is wanted.
    rig.kill();
    rig.start();
    is_told(&rig, &rig.apply(PATIENCE.as_secs()), &bad, 2);
    service.serves_as_ever(&rig).await;
    let dump = rig.json(&["state", "dump"]);
    assert_eq!(tasks_of(&dump, 2), tried, "it is not tried again");

    if retried {
        is_retried_in_vain(&rig, &service, &bad, &tried).await;
    }

    // A version that is right rolls out, and nothing is said of the bad one any more.
    let right = Version {
        name: "right",
        image: common::IMAGE,
        command: "trap : TERM; sleep 100000 & wait",
        health: None,
        ..bad
    };
    guarded::write(&rig, &right, COUNT);
    rig.steady();
    let running = rig.running("web").await;
    assert_eq!(running.len(), COUNT);
    assert!(running.iter().all(|c| !service.old.contains(&c.id)));
    let described = rig.run(&["describe", "service", "web"]).stdout;
    assert!(!described.contains("DeploymentFailed"), "{described}");
    guarded::nothing_left_over(&rig).await;
    let extremes = service.recording.judge(COUNT, false);
    assert!(extremes.least_healthy >= COUNT, "{extremes:?}");
    assert!(extremes.most_tasks <= 2 * COUNT, "{extremes:?}");
}

/// A retry tries what is blocked again; it is as bad as before.
async fn is_retried_in_vain(rig: &Rig, service: &Guarded, bad: &Version, tried: &BTreeSet<String>) {
    let retried = rig.run(&["retry", "web"]);
    assert_eq!(retried.code, 0, "{}", retried.stderr);
    assert_eq!(retried.stdout, "web:2 is rolled out again\n");
    rig.until("it is tried, and given up, again", async |rig| {
        let dump = rig.json(&["state", "dump"]);
        tasks_of(&dump, 2).len() > tried.len() && record_of(&dump)["steady"] == true
    })
    .await;
    is_told(rig, &rig.apply(PATIENCE.as_secs()), bad, 2);
    service.serves_as_ever(rig).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_without_an_image_is_given_up_and_gone_back_from() {
    is_given_up_and_gone_back_from("no-image", NO_IMAGE, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_ends_at_once_is_given_up_and_gone_back_from() {
    is_given_up_and_gone_back_from("crashes", CRASHES, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_ends_after_it_was_running_is_given_up_and_gone_back_from() {
    is_given_up_and_gone_back_from("later", CRASHES_LATER, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_is_never_healthy_is_given_up_and_gone_back_from() {
    is_given_up_and_gone_back_from("unhealthy", NEVER_HEALTHY, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_tasks_of_a_service_that_was_gone_back_from_run_the_good_version() {
    let Some(mut rig) = Rig::new("more").await else {
        return;
    };
    let service = Guarded::start(&mut rig, &CRASHES).await;
    guarded::write(&rig, &CRASHES, COUNT);
    is_told(&rig, &rig.apply(PATIENCE.as_secs()), &CRASHES, 2);
    let tried = tasks_of(&rig.json(&["state", "dump"]), 2);
    guarded::write(&rig, &CRASHES, COUNT + 1);
    is_told(&rig, &rig.apply(PATIENCE.as_secs()), &CRASHES, 2);
    let running = rig.running("web").await;
    assert_eq!(running.len(), COUNT + 1);
    assert!(
        service
            .old
            .iter()
            .all(|id| running.iter().any(|c| c.id == *id))
    );
    assert_eq!(tasks_of(&rig.json(&["state", "dump"]), 2), tried);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_version_of_a_service_that_is_bad_is_given_up_and_not_started_again() {
    let Some(mut rig) = Rig::new("first").await else {
        return;
    };
    guarded::write(&rig, &CRASHES, COUNT);
    rig.start();
    let ended = rig.apply(PATIENCE.as_secs());
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    for wanted in [
        "nothing to go back to",
        CRASHES.reason,
        "the disk is on fire",
    ] {
        assert!(ended.stderr.contains(wanted), "{wanted}: {}", ended.stderr);
    }
    let tried = tasks_of(&rig.json(&["state", "dump"]), 1);
    assert!(
        (THRESHOLD..THRESHOLD + COUNT).contains(&tried.len()),
        "{tried:?}"
    );
    rig.kill();
    rig.start();
    assert_eq!(rig.apply(PATIENCE.as_secs()).code, 1);
    assert_eq!(tasks_of(&rig.json(&["state", "dump"]), 1), tried);
    assert!(rig.running("web").await.is_empty());
}
