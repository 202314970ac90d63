//! Rules of a service's own.

use super::cluster::tags;
use super::placement;
use crate::diagnostic::{Diagnostic, codes};
use crate::manifest::document::Document;
use crate::manifest::report::Reporting;
use crate::manifest::resolve::{Percentages, definition_reference};
use crate::manifest::types::{SchedulingStrategy, Service};

/// Every rule of a service's own.
pub fn check(document: &Document, service: &Service, found: &mut Vec<Diagnostic>) {
    tags(document, &service.tags, found);
    let start = || document.value("");
    match service.task_definition.as_deref() {
        None => found.push(
            document
                .error(codes::MISSING_FIELD, start(), "`taskDefinition` is missing")
                .help("add `taskDefinition`: the family that the service runs"),
        ),
        Some(text) if definition_reference(text).is_none() => found.push(
            document
                .error(
                    codes::PATTERN,
                    document.value("/taskDefinition"),
                    format!("`{text}` names no task definition"),
                )
                .help("write `family`, `family:revision`, or the ARN of either"),
        ),
        Some(_) => {}
    }
    if service.scheduling_strategy == Some(SchedulingStrategy::Daemon) {
        daemon(document, service, found);
    } else if service.desired_count.is_none() {
        found.push(
            document
                .error(codes::MISSING_FIELD, start(), "`desiredCount` is missing")
                .help("add `desiredCount`: how many tasks are to run"),
        );
    }
    percentages(document, service, found);
    placement::of_service(document, service, found);
    rollout(document, service, found);
}

fn daemon(document: &Document, service: &Service, found: &mut Vec<Diagnostic>) {
    let strategy = document.value("/schedulingStrategy");
    let mut wrong = |pointer: &str, message: &str, help: &str| {
        found.push(
            document
                .error(codes::DAEMON_FIELDS, document.key(pointer), message)
                .related(&document.file, strategy, "the service is a DAEMON")
                .help(help),
        );
    };
    // What `describe-services` prints always has a count.
    if service.desired_count.is_some() && !document.plain {
        wrong(
            "/desiredCount",
            "a DAEMON runs one task on each instance, so it has no `desiredCount`",
            "remove it",
        );
    }
    if !service.placement_strategy.is_empty() {
        wrong(
            "/placementStrategy",
            "a DAEMON runs on every instance, so it has no `placementStrategy`",
            "remove it",
        );
    }
    if !service.capacity_provider_strategy.is_empty() {
        wrong(
            "/capacityProviderStrategy",
            "a DAEMON runs on every instance, so it has no `capacityProviderStrategy`",
            "remove it; a `memberOf` constraint chooses instances",
        );
    }
    let maximum = service
        .deployment_configuration
        .as_ref()
        .and_then(|d| d.maximum_percent);
    if maximum.is_some_and(|m| m != 100) {
        wrong(
            "/deploymentConfiguration/maximumPercent",
            "a DAEMON has one task on each instance, so its `maximumPercent` is 100",
            "remove it, or write 100",
        );
    }
}

fn percentages(document: &Document, service: &Service, found: &mut Vec<Diagnostic>) {
    let daemon = service.scheduling_strategy == Some(SchedulingStrategy::Daemon);
    let percent = Percentages::of(service);
    let at = |member: &str| document.value(&format!("/deploymentConfiguration/{member}"));
    if daemon {
        if percent.minimum == 100 {
            found.push(
                document
                    .error(
                        codes::NEVER_ROLLS,
                        at("minimumHealthyPercent"),
                        "every task must stay, and each instance has room for one: a change could never be rolled out",
                    )
                    .help("write `minimumHealthyPercent: 0`, which is the default for a DAEMON"),
            );
        }
        return;
    }
    if percent.maximum < 100 {
        found.push(
            document
                .error(
                    codes::OUT_OF_BOUNDS,
                    at("maximumPercent"),
                    format!(
                        "`maximumPercent` is at least 100, and this is {}",
                        percent.maximum
                    ),
                )
                .help("below 100, `desiredCount` would never be reached"),
        );
        return;
    }
    let Some(desired) = service.desired_count.filter(|d| *d > 0) else {
        return;
    };
    if percent.can_start(desired) || percent.can_stop(desired) {
        return;
    }
    let written = |member: &str| {
        document
            .node(&format!("/deploymentConfiguration/{member}"))
            .is_some()
    };
    let (main, other) = if written("minimumHealthyPercent") {
        ("minimumHealthyPercent", "maximumPercent")
    } else {
        ("maximumPercent", "minimumHealthyPercent")
    };
    let mut diagnostic = document
        .error(
            codes::NEVER_ROLLS,
            at(main),
            format!(
                "of {desired} tasks {} must stay healthy and {} may exist, so a change could never be rolled out",
                percent.floor(desired),
                percent.cap(desired)
            ),
        )
        .related(&document.file, document.value("/desiredCount"), "the number of tasks");
    if written(other) {
        diagnostic = diagnostic.related(&document.file, at(other), "the other percentage");
    }
    found.push(
        diagnostic
            .help(format!(
                "to stop a task first, write `minimumHealthyPercent: {}` and `maximumPercent: 100`",
                Percentages::stop_one_first(desired)
            ))
            .help(format!(
                "to start one first, write `minimumHealthyPercent: 100` and `maximumPercent: {}`",
                Percentages::start_one_first(desired)
            )),
    );
}

/// When a deployment has failed, and when it is done early.
fn rollout(document: &Document, service: &Service, found: &mut Vec<Diagnostic>) {
    let Some(written) = &service.deployment_configuration else {
        return;
    };
    let threshold = written
        .deployment_circuit_breaker
        .as_ref()
        .and_then(|breaker| breaker.threshold_configuration.as_ref());
    if threshold.is_some_and(|threshold| threshold.value == 0) {
        let at = "/deploymentConfiguration/deploymentCircuitBreaker/thresholdConfiguration/value";
        found.push(
            document
                .error(
                    codes::OUT_OF_BOUNDS,
                    document.value(at),
                    "a deployment fails after at least one failed task, and this is 0",
                )
                .help("write 1 or more, or `enable: false`"),
        );
    }
    let minimum = Percentages::of(service).minimum;
    let early = written.early_success_criteria.as_ref();
    let Some(percent) = early.and_then(|early| early.healthy_percent) else {
        return;
    };
    if percent < minimum {
        let configuration = "/deploymentConfiguration";
        let mut diagnostic = document.error(
            codes::OUT_OF_BOUNDS,
            document.value(&format!("{configuration}/earlySuccessCriteria/healthyPercent")),
            format!("`healthyPercent` is at least `minimumHealthyPercent`, which is {minimum}, and this is {percent}"),
        );
        if written.minimum_healthy_percent.is_some() {
            diagnostic = diagnostic.related(
                &document.file,
                document.value(&format!("{configuration}/minimumHealthyPercent")),
                "the other percentage",
            );
        }
        found.push(diagnostic.help(format!(
            "write {minimum} or more, or lower `minimumHealthyPercent`"
        )));
    }
}
