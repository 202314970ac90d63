//! What people ask for, recorded and followed: against a store in memory and agents that do as they are told.

use std::sync::Arc;

use super::{RolloutError, RolloutOutcome};
use crate::controller::testing::task_spec;
use crate::controller::worker_tests::{Fixture, default, fixture, folder};
use crate::model::{
    Asked, CircuitBreaker, DeploymentId, Desired, RolloutState, RolloutVerb,
    ServiceDeploymentStatus, ServiceName, ServiceOverrides, ServiceRecord, Threshold,
};

async fn ask(f: &Fixture, verb: RolloutVerb) -> Result<RolloutOutcome, RolloutError> {
    let asked = Asked {
        by: "ann".to_owned(),
        ..Asked::default()
    };
    f.controller
        .rollout(&default(), &"web".into(), &verb, asked)
        .await
}

/// `web` with that image, given up after one failure.
fn web(image: &str, count: u32) -> Arc<Desired> {
    let mut desired = Desired::clone(&folder(&[("web", count, task_spec(image))]));
    let services = desired.services.get_mut(&default()).expect("a cluster");
    let (service, _) = services
        .get_mut(&ServiceName::new("web"))
        .expect("a service");
    service.circuit_breaker = Some(CircuitBreaker {
        rollback: true,
        reset_on_healthy_task: true,
        threshold: Threshold::Count(1),
    });
    Arc::new(desired)
}

fn revision(f: &Fixture) -> u32 {
    let state = f.view.read();
    let record = state.service(&default(), &"web".into()).expect("a record");
    record.primary().expect("a deployment").revision.revision
}

fn overrides(f: &Fixture) -> Option<ServiceOverrides> {
    let state = f.view.read();
    let stored = state.overrides.get(&(default(), ServiceName::new("web")));
    stored.map(|stored| (*stored.value).clone())
}

#[tokio::test(start_paused = true)]
async fn a_suspended_service_is_left_alone_until_it_is_resumed() {
    let f = fixture().await;
    f.controller.set_desired(web("a", 2));
    let _agent = f.obedient_agent();
    f.pass(60).await;
    assert!(f.steady("web"));
    let done = ask(&f, RolloutVerb::Suspend).await.expect("granted");
    assert!(done.changed && done.message.contains("by ann"), "{done:?}");
    f.crash(&f.wanted("web")[0]).await;
    f.controller.set_desired(web("b", 3));
    f.pass(600).await;
    assert_eq!((f.wanted("web").len(), revision(&f)), (1, 1));
    let again = ask(&f, RolloutVerb::Suspend).await.expect("granted");
    assert!(!again.changed, "{again:?}");
    ask(&f, RolloutVerb::Resume).await.expect("granted");
    assert_eq!(overrides(&f), None, "nothing is asked for any more");
    f.pass(60).await;
    assert_eq!((f.wanted("web").len(), revision(&f)), (3, 2));
}

#[tokio::test(start_paused = true)]
async fn rule_37_a_restart_runs_new_tasks_of_the_same_revision() {
    let f = fixture().await;
    f.controller.set_desired(web("a", 2));
    let _agent = f.obedient_agent();
    f.pass(60).await;
    let before = f.wanted("web");
    ask(&f, RolloutVerb::Restart).await.expect("granted");
    f.pass(60).await;
    let after = f.wanted("web");
    assert!(f.steady("web") && after.len() == 2);
    assert!(after.iter().all(|id| !before.contains(id)));
    assert_eq!(revision(&f), 1);
    ask(&f, RolloutVerb::Restart).await.expect("granted");
    f.pass(60).await;
    assert!(f.wanted("web").iter().all(|id| !after.contains(id)));
}

#[tokio::test(start_paused = true)]
async fn what_was_undone_stays_so_until_the_folder_says_something_else() {
    let f = fixture().await;
    let _agent = f.obedient_agent();
    for image in ["a", "b"] {
        f.controller.set_desired(web(image, 2));
        f.pass(60).await;
    }
    assert_eq!(revision(&f), 2);
    ask(&f, RolloutVerb::Undo { to: None })
        .await
        .expect("granted");
    f.pass(60).await;
    assert_eq!((revision(&f), f.steady("web")), (1, true));
    // More tasks of what runs: no other version.
    f.controller.set_desired(web("b", 3));
    f.pass(60).await;
    assert_eq!((revision(&f), f.wanted("web").len()), (1, 3));
    let unknown = ask(&f, RolloutVerb::Undo { to: Some(9) }).await;
    assert!(matches!(unknown, Err(RolloutError::NoSuchRevision(_))));
    f.controller.set_desired(web("c", 3));
    f.pass(60).await;
    assert_eq!((revision(&f), overrides(&f)), (3, None));
    ask(&f, RolloutVerb::Undo { to: Some(2) })
        .await
        .expect("granted");
    f.pass(60).await;
    assert_eq!(revision(&f), 2);
    // Back to what the folder says is nothing that is asked for on top of it.
    ask(&f, RolloutVerb::Undo { to: Some(3) })
        .await
        .expect("granted");
    f.pass(60).await;
    assert_eq!((revision(&f), overrides(&f)), (3, None));
}

#[tokio::test(start_paused = true)]
async fn what_failed_is_tried_again_when_somebody_says_so() {
    let f = fixture().await;
    let _agent = f.obedient_agent();
    f.controller.set_desired(web("a", 1));
    f.pass(60).await;
    let nothing = ask(&f, RolloutVerb::Retry).await;
    assert!(matches!(nothing, Err(RolloutError::NotNow(_))));
    let old = f.wanted("web");
    f.controller.set_desired(web("b", 1));
    f.pass(1).await;
    let new = f.wanted("web").into_iter().find(|id| !old.contains(id));
    f.crash(&new.expect("it was started")).await;
    f.pass(600).await;
    assert_eq!((revision(&f), f.wanted("web")), (1, old));
    let undo = ask(&f, RolloutVerb::Undo { to: Some(2) }).await;
    assert!(matches!(undo, Err(RolloutError::NotNow(_))), "{undo:?}");
    ask(&f, RolloutVerb::Retry).await.expect("granted");
    f.pass(60).await;
    assert_eq!((revision(&f), f.steady("web")), (2, true));
    assert_eq!(overrides(&f), None);
}

#[tokio::test(start_paused = true)]
async fn a_rollout_is_paused_only_while_there_is_one() {
    let f = fixture().await;
    let _agent = f.obedient_agent();
    f.controller.set_desired(web("a", 2));
    f.pass(60).await;
    let none = ask(&f, RolloutVerb::Pause).await;
    assert!(matches!(none, Err(RolloutError::NotNow(_))));
    f.controller.set_desired(web("b", 2));
    f.pass(1).await;
    ask(&f, RolloutVerb::Pause).await.expect("granted");
    f.pass(600).await;
    let later = ask(&f, RolloutVerb::Undo { to: None }).await;
    let later = later.expect("granted").message;
    assert!(
        later.contains("once `longshore rollout resume web`"),
        "{later}"
    );
    let undone = |f: &Fixture| overrides(f).and_then(|asked| asked.undo).is_some();
    assert!(undone(&f));
    ask(&f, RolloutVerb::Undo { to: Some(2) })
        .await
        .expect("it was not gone back from yet");
    assert!(!undone(&f));
    ask(&f, RolloutVerb::Undo { to: None })
        .await
        .expect("granted");
    ask(&f, RolloutVerb::Suspend).await.expect("granted");
    let later = ask(&f, RolloutVerb::Restart).await.expect("granted");
    assert!(later.message.contains("`longshore resume web`"));
    ask(&f, RolloutVerb::Resume).await.expect("granted");
    let in_progress = |f: &Fixture| {
        let state = f.view.read();
        let record = state.service(&default(), &"web".into()).expect("a record");
        record.primary().expect("a deployment").rollout == RolloutState::InProgress
    };
    assert!(in_progress(&f));
    assert_eq!(f.wanted("web").len(), 4, "two of each");
    let over = ask(&f, RolloutVerb::Unpause).await.expect("granted");
    assert!(over.message.contains("goes back to web:1"), "{over:?}");
    f.pass(60).await;
    assert_eq!((revision(&f), f.steady("web")), (1, true));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_recorded_for_a_service_that_is_not_there_and_nothing_is_left_of_one_that_was() {
    let f = fixture().await;
    let _agent = f.obedient_agent();
    f.controller.set_desired(web("a", 1));
    f.pass(60).await;
    let asked = Asked::default();
    let name = "other".into();
    let unknown = f
        .controller
        .rollout(&default(), &name, &RolloutVerb::Suspend, asked)
        .await;
    assert!(matches!(unknown, Err(RolloutError::NoSuchService(..))));
    ask(&f, RolloutVerb::Restart).await.expect("granted");
    f.pass(60).await;
    assert!(overrides(&f).is_some());
    f.controller.set_desired(folder(&[]));
    f.pass(2 * 3600).await;
    assert_eq!(overrides(&f), None);
    let state = f.view.read();
    assert!(state.service(&default(), &"web".into()).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_deployment_that_is_stopped_is_gone_back_from_and_one_that_is_over_cannot_be() {
    let f = fixture().await;
    f.controller.set_desired(web("a", 2));
    let agent = f.obedient_agent();
    f.pass(60).await;
    let record = |f: &Fixture| {
        let state = f.view.read();
        let stored = state.service(&default(), &"web".into());
        ServiceRecord::clone(&stored.expect("a record").value)
    };
    let stop = |deployment: &DeploymentId| RolloutVerb::Stop {
        deployment: deployment.clone(),
    };
    let first = record(&f).deployments[0].id.clone();
    let over = ask(&f, stop(&first)).await.expect_err("it is over");
    assert!(over.to_string().contains("is not under way"), "{over}");

    // Nothing runs for as long as nobody starts it.
    agent.abort();
    f.controller.set_desired(web("b", 2));
    f.pass(2).await;
    let second = record(&f).deployments[0].clone();
    assert_eq!(second.revision.revision, 2);
    ask(&f, stop(&second.id)).await.expect("granted");
    f.pass(1).await;
    let row = |f: &Fixture| {
        let record = record(f);
        let row = record.history.iter().find(|row| row.id == second.id);
        row.cloned().expect("remembered")
    };
    assert_eq!(row(&f).status, ServiceDeploymentStatus::RollbackInProgress);
    let rollback = row(&f).rollback.expect("to what");
    assert_eq!(rollback.revision.revision, 1);
    assert!(
        rollback.reason.contains("asked for by ann"),
        "{}",
        rollback.reason
    );
    let _agent = f.obedient_agent();
    f.pass(60).await;
    assert_eq!((f.wanted("web").len(), revision(&f)), (2, 1));
    assert_eq!(row(&f).status, ServiceDeploymentStatus::RollbackSuccessful);

    ask(&f, RolloutVerb::Restart).await.expect("granted");
    f.pass(1).await;
    let restart = record(&f).deployments[0].id.clone();
    let refused = ask(&f, stop(&restart)).await.expect_err("what for");
    assert!(
        refused.to_string().contains("no other revision"),
        "{refused}"
    );
}
