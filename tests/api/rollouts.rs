//! What people ask for about a service's rollouts, and what is told of those that are over.

use longshore::api::client::ClientError;
use longshore::model::{
    Asked, ClusterName, EndedDeployment, RolloutVerb, ServiceDeploymentStatus, ServiceName,
    ServiceRecord, Timestamp,
};
use longshore::store::keys;
use serde_json::json;

use crate::fixture::{NOW, World};

async fn ask(world: &World, service: &str, verb: RolloutVerb) -> Result<bool, u16> {
    let asked = Asked {
        by: "ann".to_owned(),
        reason: Some("a look at it".to_owned()),
        ..Asked::default()
    };
    let (cluster, service) = (ClusterName::default(), ServiceName::new(service));
    let answer = world.client.rollout(&cluster, &service, &verb, &asked);
    match answer.await {
        Ok(answer) => Ok(answer.changed),
        Err(ClientError::Refused { status, .. }) => Err(status),
        Err(other) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_service_is_suspended_and_resumed_and_the_conditions_say_by_whom_and_why() {
    let world = World::start().await;
    world.follow();
    assert_eq!(ask(&world, "web", RolloutVerb::Suspend).await, Ok(true));
    assert_eq!(ask(&world, "web", RolloutVerb::Suspend).await, Ok(false));
    let status = world.client.status().await.unwrap();
    let web = status
        .services
        .iter()
        .find(|s| s.name == "web" && s.cluster.as_str() == "default")
        .unwrap();
    assert_eq!(web.phase.as_str(), "suspended");
    let differs = web.differs().join("\n");
    assert!(
        differs.contains("is suspended by ann") && differs.contains("(a look at it)"),
        "{differs}"
    );
    assert_eq!(ask(&world, "web", RolloutVerb::Resume).await, Ok(true));
    assert_eq!(ask(&world, "web", RolloutVerb::Resume).await, Ok(false));
}

#[tokio::test]
async fn what_is_not_there_and_what_makes_no_sense_is_refused() {
    let world = World::start().await;
    world.follow();
    assert_eq!(ask(&world, "none", RolloutVerb::Suspend).await, Err(404));
    // This folder does not declare it any more.
    assert_eq!(ask(&world, "web", RolloutVerb::Retry).await, Err(409));
    let refused = world
        .client
        .ecs(
            "UpdateService",
            &json!({"service": "none", "forceNewDeployment": true}),
        )
        .await;
    let Err(ClientError::Refused { exception, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(exception.as_deref(), Some("ServiceNotFoundException"));
}

#[tokio::test]
async fn deployments_that_are_over_are_listed_and_described_with_what_they_ran() {
    let world = World::start().await;
    let cluster = ClusterName::default();
    let mut record = {
        let state = world.view.read();
        let stored = state.service(&cluster, &"web".into()).unwrap();
        ServiceRecord::clone(&stored.value)
    };
    let at = |seconds: i64| Timestamp::from_millis(NOW - 7_200_000 + seconds * 1000);
    let primary = record.deployments[0].clone();
    record.remember(EndedDeployment {
        id: "ecs-svc/0000000000000000007".into(),
        revision: primary.revision.clone(),
        spec: primary.spec.clone(),
        generation: 0,
        images: [("web".to_owned(), "sha256:abc".to_owned())].into(),
        started_at: at(0),
        finished_at: at(60),
        status: ServiceDeploymentStatus::RollbackSuccessful,
        reason: "ECS deployment circuit breaker: tasks failed to start.".to_owned(),
        failed_tasks: 3,
        threshold: Some(3),
        rollback: None,
    });
    let key = keys::service(&cluster, &"web".into());
    world.commit(world.txn().put_json(key, &record)).await;
    let ask = async |operation: &str, input| world.client.ecs(operation, &input).await.unwrap();
    let listed = ask("ListServiceDeployments", json!({"service": "web"})).await;
    let all = listed["serviceDeployments"].as_array().unwrap();
    let statuses: Vec<&str> = all.iter().map(|d| d["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["SUCCESSFUL", "ROLLBACK_SUCCESSFUL"]);
    let arn = &all[1]["serviceDeploymentArn"];
    let described = ask(
        "DescribeServiceDeployments",
        json!({"serviceDeploymentArns": [arn]}),
    )
    .await;
    let breaker = &described["serviceDeployments"][0]["deploymentCircuitBreaker"];
    assert_eq!(
        *breaker,
        json!({"status": "TRIGGERED", "failureCount": 3, "threshold": 3})
    );
    let revision = &all[1]["targetServiceRevisionArn"];
    let described = ask(
        "DescribeServiceRevisions",
        json!({"serviceRevisionArns": [revision, "nothing"]}),
    )
    .await;
    let image = &described["serviceRevisions"][0]["containerImages"][0];
    assert_eq!(image["imageDigest"], "sha256:abc");
    assert_eq!(described["failures"][0]["reason"], "MISSING");
}

#[tokio::test]
async fn what_cannot_be_stopped_is_refused_as_ecs_does() {
    let world = World::start().await;
    let cluster = ClusterName::default();
    let mut record = {
        let state = world.view.read();
        let stored = state.service(&cluster, &"web".into()).unwrap();
        ServiceRecord::clone(&stored.value)
    };
    let over = record.deployments[0].clone();
    record.remember(EndedDeployment {
        id: over.id.clone(),
        revision: over.revision.clone(),
        spec: over.spec.clone(),
        generation: 0,
        images: Default::default(),
        started_at: over.created_at,
        finished_at: over.updated_at,
        status: ServiceDeploymentStatus::Successful,
        reason: String::new(),
        failed_tasks: 0,
        threshold: None,
        rollback: None,
    });
    let key = keys::service(&cluster, &"web".into());
    world.commit(world.txn().put_json(key, &record)).await;
    world.follow();
    let stop = async |input| match world.client.ecs("StopServiceDeployment", &input).await {
        Err(ClientError::Refused { exception, .. }) => exception.unwrap_or_default(),
        other => panic!("{other:?}"),
    };
    let none = "arn:aws:ecs:local:000000000000:service-deployment/default/web/7";
    let unknown = stop(json!({"serviceDeploymentArn": none})).await;
    assert_eq!(unknown, "ServiceDeploymentNotFoundException");
    let listed = json!({"service": "web"});
    let listed = world
        .client
        .ecs("ListServiceDeployments", &listed)
        .await
        .unwrap();
    let arn = &listed["serviceDeployments"][0]["serviceDeploymentArn"];
    let over = stop(json!({"serviceDeploymentArn": arn, "stopType": "ROLLBACK"})).await;
    assert_eq!(over, "ConflictException");
    let abort = stop(json!({"serviceDeploymentArn": arn, "stopType": "ABORT"})).await;
    assert_eq!(abort, "UnsupportedFeatureException");
}
