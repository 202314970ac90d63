//! Status and enveloped documents: what tables and `-o yaml` are made of.

use std::sync::atomic::Ordering;

use longshore::api::documents::{
    ClusterStatus, Document, InstanceStatusDoc, ServiceStatusDoc, TaskStatusDoc,
};
use longshore::api::server::ManifestQuery;
use longshore::api::{InstanceTrouble, Phase};
use longshore::diagnostic::{Diagnostic, Severity};
use longshore::manifest::load::{LastGood, LoadOptions, load};
use longshore::manifest::source;
use longshore::model::{DeploymentStatus, RolloutState, ServiceStatus, Timestamp};

use crate::fixture::{NOW, World, id, status};

async fn documents(world: &World, kind: &str) -> Vec<Document> {
    let query = ManifestQuery {
        kind: kind.to_owned(),
        all: true,
        ..ManifestQuery::default()
    };
    world.client.manifests(&query).await.unwrap()
}

async fn web(world: &World) -> ServiceStatusDoc {
    let services = documents(world, "services").await;
    let web = services
        .into_iter()
        .find(|d| d.status["cluster"] == "default")
        .unwrap();
    web.typed().unwrap().status
}

#[tokio::test]
async fn what_comes_out_can_be_put_back_in() {
    let world = World::start().await;
    let mut yaml = String::new();
    for kind in ["clusters", "task-definitions", "services"] {
        for document in documents(&world, kind).await {
            yaml += &format!("---\n{}", serde_yaml::to_string(&document).unwrap());
        }
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("out.yaml"), &yaml).unwrap();
    let again = load(
        &source::scan(dir.path()),
        &LastGood::default(),
        &LoadOptions::default(),
    );
    let errors = |d: &&Diagnostic| d.severity == Severity::Error;
    assert_eq!(again.diagnostics.iter().find(errors), None, "{yaml}");
    for (key, before) in &world.loaded.good {
        assert_eq!(again.good[key].hash, before.hash, "{key:?}\n{yaml}");
    }
}

#[tokio::test]
async fn a_service_is_steady_with_one_completed_deployment_and_enough_healthy_tasks() {
    let world = World::start().await;
    world.running(&id("aa"), &[]).await;
    let one = web(&world).await;
    assert_eq!(
        (one.steady, one.phase.as_str(), one.healthy_count),
        (false, "converging", 1)
    );
    world.running(&id("bb"), &[]).await;
    let two = web(&world).await;
    assert_eq!(
        (two.steady, two.phase.as_str(), two.healthy_count),
        (true, "steady", 2)
    );
    assert!(two.source.unwrap().starts_with("all.yaml:"));
    assert_eq!(two.images, ["busybox:1.36.1"]);

    let mut record = world.service("default", "web");
    let mut old = record.deployments[0].clone();
    old.status = DeploymentStatus::Active;
    old.id = "ecs-svc/0000000000000000000".into();
    record.deployments.push(old);
    world.put_service(&record).await;
    let rolling = web(&world).await;
    assert_eq!(
        (rolling.steady, rolling.phase.as_str()),
        (false, "deploying")
    );
}

#[tokio::test]
async fn a_failed_deployment_names_the_task_its_reason_and_its_last_words() {
    let world = World::start().await;
    world.failed(&id("cc")).await;
    let mut record = world.service("default", "web");
    record.deployments[0].rollout = RolloutState::Failed;
    record.deployments[0].rollout_reason =
        "ECS deployment circuit breaker: tasks failed to start.".to_owned();
    world.put_service(&record).await;
    let report = world.client.status().await.unwrap();
    let web = report.services.iter().find(|s| s.name == "web").unwrap();
    assert_eq!(web.phase, Phase::Failed);
    let failure = web.failure.as_ref().unwrap();
    assert_eq!(failure.task, id("cc").as_str());
    assert_eq!(
        failure.reason,
        "Essential container in task exited; web: exit code 1"
    );
    assert_eq!(failure.last_log_lines, ["cannot open /nowhere"]);
    assert!(!report.steady);
}

#[tokio::test]
async fn throttled_starts_and_last_good_versions_are_conditions() {
    let world = World::start().await;
    let mut record = world.service("default", "web");
    record.throttle.not_before = Some(Timestamp::from_millis(NOW + 5000));
    world.put_service(&record).await;
    world.hold("Service", Some("default"), "web");
    world.hold("Service", Some("prod"), "web");
    let status = web(&world).await;
    assert_eq!(status.phase, "throttled");
    let kinds: Vec<&str> = status.conditions.iter().map(|c| c.kind.as_str()).collect();
    assert_eq!(kinds, ["Steady", "Throttled", "ServingLastGood"]);
    let held = &status.conditions[2].message;
    assert!(
        held.contains("serving last good since 2027-01-15T07:59:55.000Z"),
        "{held}"
    );
    assert!(held.contains("all.yaml:3:1"), "{held}");
    // The throttle ends with its time, without anybody writing anything.
    world.clock.advance_to(Timestamp::from_millis(NOW + 5000));
    assert_eq!(web(&world).await.phase, "converging");
}

#[tokio::test]
async fn a_task_without_a_verdict_does_not_count_as_healthy() {
    let world = World::start().await;
    let mut reported = status(None, None);
    reported.health = longshore::model::HealthStatus::Unknown;
    world.report(&id("aa"), &reported).await;
    let tasks = documents(&world, "tasks").await;
    let task: Document<TaskStatusDoc> = tasks[0].clone().typed().unwrap();
    assert!(!task.status.healthy);
    assert_eq!(task.status.last_status, "RUNNING");
    assert_eq!(task.status.containers[0].ports, ["0.0.0.0:32768->8080/tcp"]);
}

#[tokio::test]
async fn a_listing_leaves_stopped_tasks_and_other_clusters_out_unless_they_are_asked_for() {
    let world = World::start().await;
    world.running(&id("aa"), &[]).await;
    world.failed(&id("cc")).await;
    let ask = async |kind: &str, cluster: Option<&str>, all: bool| {
        let query = ManifestQuery {
            kind: kind.to_owned(),
            cluster: cluster.map(str::to_owned),
            name: None,
            all,
        };
        world.client.manifests(&query).await.unwrap().len()
    };
    assert_eq!(ask("tasks", None, false).await, 1);
    assert_eq!(ask("tasks", None, true).await, 2);
    assert_eq!(ask("tasks", Some("prod"), true).await, 0);
    assert_eq!(ask("services", None, false).await, 3);
    assert_eq!(ask("svc", Some("prod"), false).await, 2);
    assert_eq!(ask("deployments", Some("prod"), false).await, 2);
    assert_eq!(ask("instances", None, false).await, 1);
    assert_eq!(ask("clusters", None, false).await, 2);
    let mut gone = world.service("prod", "web");
    gone.status = ServiceStatus::Inactive;
    world.put_service(&gone).await;
    assert_eq!(ask("services", None, false).await, 2);
    assert_eq!(ask("services", None, true).await, 3);
    let query = ManifestQuery {
        kind: "tasks".to_owned(),
        cluster: Some("prdo".to_owned()),
        ..ManifestQuery::default()
    };
    let refused = world.client.manifests(&query).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "there is no cluster prdo; did you mean prod?"
    );
}

#[tokio::test]
async fn an_instance_that_never_registered_or_is_refused_is_listed_with_its_reason() {
    let world = World::start().await;
    let trouble = |cluster: &str, instance: &str, refused: bool| InstanceTrouble {
        cluster: cluster.into(),
        instance: instance.into(),
        refused,
        why: format!("{instance} is in trouble"),
    };
    world.control.troubles.send_replace(vec![
        trouble("default", "local", false),
        trouble("default", "twice", true),
        trouble("prod", "far", false),
    ]);
    let instances: Vec<Document<InstanceStatusDoc>> = documents(&world, "instances")
        .await
        .into_iter()
        .map(|document| document.typed().unwrap())
        .collect();
    let shown: Vec<_> = instances
        .iter()
        .map(|d| {
            let s = &d.status;
            (s.id.as_str(), s.status.as_str(), s.reason.as_str())
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("local", "ACTIVE", "local is in trouble"),
            ("twice", "REGISTRATION_FAILED", "twice is in trouble"),
            ("far", "REGISTERING", "far is in trouble"),
        ]
    );
    let connected = &instances[1].status.conditions[0];
    assert_eq!(
        (connected.status.as_str(), connected.reason.as_str()),
        ("False", "Refused")
    );
    let clusters = documents(&world, "clusters").await;
    let said = |name: &str| -> Vec<String> {
        let cluster = clusters.iter().find(|d| d.metadata.name == name).unwrap();
        let cluster: Document<ClusterStatus> = cluster.clone().typed().unwrap();
        let conditions = cluster.status.conditions.into_iter();
        conditions
            .map(|c| format!("{} {}: {}", c.kind, c.reason, c.message))
            .collect()
    };
    assert_eq!(
        said("default"),
        ["InstancesMissing Refused: local: local is in trouble; twice: twice is in trouble"]
    );
    assert_eq!(
        said("prod"),
        ["InstancesMissing NotReached: far: far is in trouble"]
    );
}

#[tokio::test]
async fn the_status_names_who_answers_the_folder_and_what_is_pulled() {
    let world = World::start().await;
    let report = world.client.status().await.unwrap();
    assert_eq!(report.identity.pid, 42);
    assert!(report.identity.folder.ends_with("manifests"));
    assert_eq!(report.folder.folder_hash, world.loaded.folder_hash);
    assert!(report.folder.applied);
    assert_eq!(report.pulls[0].image, "busybox:1.36.1");
    let names: Vec<String> = report
        .services
        .iter()
        .map(|s| format!("{}/{}", s.cluster, s.name))
        .collect();
    assert_eq!(names, ["default/web", "prod/web", "prod/worker"]);
}

#[tokio::test]
async fn shutting_down_is_the_daemons_to_do() {
    let world = World::start().await;
    world.client.shutdown().await.unwrap();
    assert!(world.control.shut_down.load(Ordering::SeqCst));
}

#[tokio::test]
async fn removing_everything_tells_each_step_and_what_could_not_be_removed() {
    let world = World::start().await;
    let mut said = Vec::new();
    world
        .client
        .down(false, |line| said.push(line.to_owned()))
        .await
        .unwrap();
    assert_eq!(said, ["removed container one", "removed container two"]);
    let error = world.client.down(true, |_| ()).await.unwrap_err();
    assert_eq!(error.to_string(), "volume data is in use");
    assert_eq!(
        *world.control.down_with_volumes.lock().unwrap(),
        [false, true]
    );
}
