//! Health checks.

use futures_util::StreamExt;
use longshore::engine::body::HealthcheckBody;
use longshore::engine::{CreateBody, Engine, ObservedContainer};
use longshore::model::HealthStatus;

use super::{exec, patiently, running, started, until};
use crate::common::Namespace;

const SECOND: i64 = 1_000_000_000;

/// A check of this shell command, once a second.
pub fn check(script: &str, retries: i64) -> HealthcheckBody {
    HealthcheckBody {
        test: vec!["CMD-SHELL".to_owned(), script.to_owned()],
        interval: Some(SECOND),
        timeout: Some(20 * SECOND),
        retries: Some(retries),
        start_period: None,
    }
}

fn checked(ns: &Namespace, check: HealthcheckBody) -> CreateBody {
    CreateBody {
        healthcheck: Some(check),
        ..ns.body(&["sleep", "1000"])
    }
}

async fn until_health(engine: &dyn Engine, id: &str, health: HealthStatus) -> ObservedContainer {
    until(engine, id, health.as_str(), |seen| seen.health == health).await
}

/// Waits until its check says healthy.
pub async fn until_healthy(engine: &dyn Engine, id: &str) -> ObservedContainer {
    until_health(engine, id, HealthStatus::Healthy).await
}

pub async fn without_a_check_health_is_unknown(engine: &dyn Engine, ns: &Namespace) {
    let id = running(engine, ns, "plain", &["sleep", "1000"]).await;
    let seen = engine.inspect_container(&id).await.expect("it exists");
    assert_eq!(
        (seen.health, seen.health_output),
        (HealthStatus::Unknown, None)
    );
}

pub async fn a_passing_check_turns_unknown_to_healthy(engine: &dyn Engine, ns: &Namespace) {
    let check = HealthcheckBody {
        test: vec!["CMD".to_owned(), "true".to_owned()],
        ..check("", 1)
    };
    let id = started(engine, &ns.name("well"), &checked(ns, check)).await;
    let seen = engine.inspect_container(&id).await.expect("it exists");
    assert_eq!(seen.health, HealthStatus::Unknown);
    let seen = until_healthy(engine, &id).await;
    assert_eq!(seen.health_output, None);
}

pub async fn failing_as_often_as_its_retries_makes_it_unhealthy_with_the_output(
    engine: &dyn Engine,
    ns: &Namespace,
) {
    let mut events = engine.events(None).await.expect("events");
    let body = checked(ns, check("echo it hurts; exit 1", 3));
    let id = started(engine, &ns.name("ill"), &body).await;
    let failures = patiently("the verdict", async {
        let mut failures = 0;
        while let Some(event) = events.next().await {
            let event = event.expect("an event");
            if event.id != id {
                continue;
            }
            if event.action == "exec_die" {
                failures += 1;
            }
            if event.action == "health_status: unhealthy" {
                break;
            }
        }
        failures
    })
    .await;
    assert_eq!(failures, 3);
    let seen = engine.inspect_container(&id).await.expect("it exists");
    assert_eq!(seen.health, HealthStatus::Unhealthy);
    assert_eq!(seen.health_output.as_deref(), Some("it hurts"));
}

pub async fn health_follows_what_the_check_finds(engine: &dyn Engine, ns: &Namespace) {
    let body = checked(ns, check("test ! -f /tmp/sick", 1));
    let id = started(engine, &ns.name("moody"), &body).await;
    until_healthy(engine, &id).await;
    assert_eq!(exec(engine, &id, &["touch", "/tmp/sick"]).await.0, 0);
    until_health(engine, &id, HealthStatus::Unhealthy).await;
    assert_eq!(exec(engine, &id, &["rm", "/tmp/sick"]).await.0, 0);
    until_healthy(engine, &id).await;
}

pub async fn failures_in_the_start_period_do_not_count(engine: &dyn Engine, ns: &Namespace) {
    let mut events = engine.events(None).await.expect("events");
    let check = HealthcheckBody {
        start_period: Some(3600 * SECOND),
        ..check("test -f /tmp/ready", 1)
    };
    let id = started(engine, &ns.name("slow"), &checked(ns, check)).await;
    patiently("three checks", async {
        let mut checks = 0;
        while checks < 3 {
            let event = events.next().await.expect("more").expect("an event");
            checks += u32::from(event.id == id && event.action == "exec_die");
        }
    })
    .await;
    let seen = engine.inspect_container(&id).await.expect("it exists");
    assert_eq!(seen.health, HealthStatus::Unknown);

    // Once it was healthy, the period is over.
    assert_eq!(exec(engine, &id, &["touch", "/tmp/ready"]).await.0, 0);
    until_healthy(engine, &id).await;
    assert_eq!(exec(engine, &id, &["rm", "/tmp/ready"]).await.0, 0);
    until_health(engine, &id, HealthStatus::Unhealthy).await;
}

pub async fn a_check_that_takes_too_long_has_failed(engine: &dyn Engine, ns: &Namespace) {
    let check = HealthcheckBody {
        timeout: Some(SECOND),
        ..check("sleep 20", 1)
    };
    let id = started(engine, &ns.name("hung"), &checked(ns, check)).await;
    let seen = until_health(engine, &id, HealthStatus::Unhealthy).await;
    let output = seen.health_output.unwrap_or_default();
    assert!(output.contains("exceeded timeout"), "{output:?}");
}

pub async fn an_ended_container_is_unhealthy(engine: &dyn Engine, ns: &Namespace) {
    let id = started(engine, &ns.name("over"), &checked(ns, check("true", 1))).await;
    until_healthy(engine, &id).await;
    engine.stop_container(&id, 0).await.expect("stopped");
    let seen = engine.inspect_container(&id).await.expect("it exists");
    assert_eq!(seen.health, HealthStatus::Unhealthy);
}

pub async fn a_restart_begins_with_unknown_health(engine: &dyn Engine, ns: &Namespace) {
    let id = started(engine, &ns.name("anew"), &checked(ns, check("true", 1))).await;
    until_healthy(engine, &id).await;
    engine.stop_container(&id, 0).await.expect("stopped");
    engine.start_container(&id).await.expect("started");
    let seen = engine.inspect_container(&id).await.expect("it exists");
    assert_eq!(seen.health, HealthStatus::Unknown);
    until_healthy(engine, &id).await;
}
