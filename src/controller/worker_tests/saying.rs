//! What services say about it.

use super::*;

#[tokio::test(start_paused = true)]
async fn an_event_that_repeats_the_newest_is_folded_into_it() {
    let f = fixture().await;
    let mut spec = task_spec("a");
    spec.memory = Some(1 << 20);
    let desired = folder(&[("web", 1, spec)]);
    f.controller.set_desired(Arc::clone(&desired));
    f.pass(60).await;
    let before = f.events("web");
    assert!(
        before
            .last()
            .is_some_and(|e| e.contains("insufficient memory"))
    );
    f.pass(6 * 3600).await;
    let mut again = Desired::clone(&desired);
    let services = again.services.get_mut(&default()).expect("services");
    services.get_mut("web").expect("web").0.manifest_hash = "m2".to_owned();
    f.controller.set_desired(Arc::new(again));
    f.pass(1).await;
    let after = f.events("web");
    assert_eq!(after.len(), before.len());
    assert!(
        after.last().is_some_and(|e| e.ends_with("(×2)")),
        "{after:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_comes_again_with_every_try_is_one_event() {
    let f = fixture().await;
    f.controller
        .set_desired(folder(&[("web", 1, task_spec("a"))]));
    let mut last = None;
    for _ in 0..5 {
        f.pass(30).await;
        for id in f.wanted("web") {
            f.crash(&id).await;
            last = Some(id);
        }
    }
    f.pass(1).await;
    let events = f.events("web");
    let told: Vec<&String> = events
        .iter()
        .filter(|e| e.contains(") stopped: "))
        .collect();
    let last = last.expect("a crash");
    assert_eq!(told.len(), 1, "{events:#?}");
    assert!(told[0].contains(last.as_str()) && told[0].ends_with("(×5)"));
}

#[tokio::test(start_paused = true)]
async fn tasks_that_are_stopped_before_they_ran_are_not_said_to_have_been_running() {
    let f = fixture().await;
    f.controller
        .set_desired(folder(&[("web", 30, task_spec("a"))]));
    f.pass(1).await;
    f.controller
        .set_desired(folder(&[("web", 2, task_spec("a"))]));
    f.pass(1).await;
    let events = f.events("web");
    let last = events.last().expect("events");
    assert!(
        last.starts_with("(service web) has called off 28 tasks that did not run yet: (task "),
        "{last}"
    );
    assert!(last.ends_with(" and 18 more."), "{last}");
}
