//! `longshore rollout history SERVICE`: the deployments that there were, newest first.

use serde_json::{Value as Json, json};

use super::Service;
use crate::cli::client_common::{failure, now};
use crate::cli::get::Output;
use crate::cli::output::{Table, Tone, age, cell, line, message, write_stdout};
use crate::cli::{CommandResult, Failure, Globals};
use crate::model::Timestamp;
use crate::model::arn::Named;

/// Arguments of `rollout history`.
#[derive(Debug, clap::Args)]
pub struct HistoryArgs {
    /// The service: `web`, or `prod/web`
    service: String,
    /// How to print; JSON and YAML are ECS's serviceDeployments
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Output,
}

/// Prints them.
pub async fn run(args: &HistoryArgs, globals: &Globals) -> CommandResult {
    let service = Service::find(&args.service, globals).await?;
    let (deployments, revisions) = fetch(&service).await?;
    match args.output {
        Output::Json => {
            let all = json!({"serviceDeployments": deployments});
            line(&serde_json::to_string_pretty(&all).map_err(Failure::could_not_run)?);
        }
        Output::Yaml => {
            let all = json!({"serviceDeployments": deployments});
            write_stdout(
                serde_yaml::to_string(&all)
                    .map_err(Failure::could_not_run)?
                    .as_bytes(),
            );
        }
        Output::Table | Output::Wide => {
            if deployments.is_empty() {
                message("no deployments");
                return Ok(());
            }
            let wide = args.output == Output::Wide;
            table(&deployments, &revisions, wide, now()).print(globals);
        }
    }
    Ok(())
}

/// The deployments, newest first, and what they rolled out.
async fn fetch(service: &Service) -> Result<(Vec<Json>, Vec<Json>), Failure> {
    let listed = service
        .client
        .ecs(
            "ListServiceDeployments",
            &json!({"cluster": service.cluster, "service": service.name, "maxResults": 100}),
        )
        .await
        .map_err(failure)?;
    let members = |member: &str| -> Vec<Json> {
        let all = listed["serviceDeployments"]
            .as_array()
            .into_iter()
            .flatten();
        all.map(|brief| brief[member].clone()).collect()
    };
    let mut deployments = Vec::new();
    for chunk in members("serviceDeploymentArn").chunks(20) {
        let mut answer = service
            .client
            .ecs(
                "DescribeServiceDeployments",
                &json!({"serviceDeploymentArns": chunk}),
            )
            .await
            .map_err(failure)?;
        if let Json::Array(items) = answer["serviceDeployments"].take() {
            deployments.extend(items);
        }
    }
    let mut revisions = Vec::new();
    for chunk in members("targetServiceRevisionArn").chunks(20) {
        let mut answer = service
            .client
            .ecs(
                "DescribeServiceRevisions",
                &json!({"serviceRevisionArns": chunk}),
            )
            .await
            .map_err(failure)?;
        if let Json::Array(items) = answer["serviceRevisions"].take() {
            revisions.extend(items);
        }
    }
    Ok((deployments, revisions))
}

/// What a service revision rolls out: `web:3`, and its images with the digests that they were pinned to.
fn rolled<'a>(revisions: &'a [Json], arn: &Json) -> (&'a str, String) {
    let Some(revision) = revisions.iter().find(|r| r["serviceRevisionArn"] == *arn) else {
        return ("", String::new());
    };
    let text = |value: &'a Json| value.as_str().unwrap_or_default();
    let images = revision["containerImages"].as_array().into_iter().flatten();
    let images = images.map(|image| match image["imageDigest"].as_str() {
        Some(digest) => {
            let hex = digest.trim_start_matches("sha256:");
            format!(
                "{} ({})",
                text(&image["image"]),
                hex.get(..12).unwrap_or(hex)
            )
        }
        None => text(&image["image"]).to_owned(),
    });
    let images: Vec<String> = images.collect();
    (
        Named::parse(text(&revision["taskDefinition"])).name,
        images.join(", "),
    )
}

/// Why it ended as it did, where that is more than its status says: what failed, what it was gone back to, what took its place.
fn reason(deployment: &Json, deployments: &[Json], revisions: &[Json]) -> String {
    let text = |value: &'_ Json| value.as_str().unwrap_or_default().to_owned();
    let said = text(&deployment["statusReason"]);
    let said = said.trim_end_matches('.');
    let said = match said.strip_prefix("ECS deployment ") {
        None => said.to_owned(),
        Some(rest) if rest.ends_with(" in progress") || rest.ends_with(" completed") => {
            String::new()
        }
        Some(rest) => match (rest.split_once(" superseded by "), rest.split_once(": ")) {
            (Some((_, by)), _) => {
                let by = Named::parse(by).name;
                let newer = deployments.iter().find(|other| {
                    let arn = text(&other["serviceDeploymentArn"]);
                    by.rsplit('/').next() == arn.rsplit('/').next()
                });
                let newer = newer.map(|n| rolled(revisions, &n["targetServiceRevision"]["arn"]).0);
                format!("superseded by {}", newer.unwrap_or(by))
            }
            (None, Some((_, why))) => why.to_owned(),
            (None, None) => rest.to_owned(),
        },
    };
    let back = &deployment["rollback"]["serviceRevisionArn"];
    if back.is_null() {
        return said;
    }
    let (to, _) = rolled(revisions, back);
    let to = if to.is_empty() { "what was before" } else { to };
    match text(&deployment["status"]).as_str() {
        "ROLLBACK_SUCCESSFUL" => format!("{said}; went back to {to}"),
        "ROLLBACK_FAILED" => format!("{said}; {to} could not be gone back to either"),
        _ => format!("{said}; goes back to {to}"),
    }
}

fn table(deployments: &[Json], revisions: &[Json], wide: bool, now: Timestamp) -> Table {
    let mut header = vec!["REVISION", "STATUS", "BEGUN", "TOOK", "FAILED", "REASON"];
    if wide {
        header.extend(["DEPLOYMENT", "IMAGES"]);
    }
    let mut table = Table::new(&header).wrapping_from(5);
    for deployment in deployments {
        let text = |member: &str| deployment[member].as_str().unwrap_or_default();
        let at = |member: &str| {
            let seconds = deployment[member].as_f64()?;
            #[expect(clippy::cast_possible_truncation, reason = "milliseconds since 1970")]
            Some(Timestamp::from_millis((seconds * 1000.0) as i64))
        };
        let status = text("status");
        let tone = match status {
            "SUCCESSFUL" => Tone::Good,
            "IN_PROGRESS" => Tone::Warn,
            "STOPPED" => Tone::Faint,
            _ => Tone::Bad,
        };
        let begun = at("startedAt").map(|at| format!("{} ago", age(now.since(at))));
        let took = at("startedAt").map(|begun| age(at("finishedAt").unwrap_or(now).since(begun)));
        let breaker = &deployment["deploymentCircuitBreaker"];
        let (failed, most) = (&breaker["failureCount"], &breaker["threshold"]);
        let failed = match (failed.as_u64(), most.as_u64()) {
            (Some(failed), Some(most)) if most > 0 => format!("{failed} of {most}"),
            (Some(failed), _) => failed.to_string(),
            (None, _) => String::new(),
        };
        let reason = reason(deployment, deployments, revisions);
        let (revision, images) = rolled(revisions, &deployment["targetServiceRevision"]["arn"]);
        table.row(vec![
            cell(revision),
            (status.to_owned(), tone),
            cell(begun.unwrap_or_default()),
            cell(took.unwrap_or_default()),
            cell(failed),
            cell(reason),
            cell(Named::parse(text("serviceDeploymentArn")).name),
            cell(images),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deployment_is_a_row_with_what_it_rolled_out_and_how_it_ended() {
        let arn =
            |kind: &str, n: u32| format!("arn:aws:ecs:local:000000000000:{kind}/default/web/{n}");
        let deployments = [
            json!({"serviceDeploymentArn": arn("service-deployment", 2), "startedAt": 1000.0, "finishedAt": 1042.0,
                   "status": "ROLLBACK_SUCCESSFUL",
                   "statusReason": "ECS deployment circuit breaker: tasks failed to start. 3 failed, the last: exit code 1",
                   "targetServiceRevision": {"arn": arn("service-revision", 2)},
                   "deploymentCircuitBreaker": {"failureCount": 3, "threshold": 3},
                   "rollback": {"reason": "ECS deployment circuit breaker: rolling back to deploymentId ecs-svc/1.",
                                "serviceRevisionArn": arn("service-revision", 1)}}),
            json!({"serviceDeploymentArn": arn("service-deployment", 1), "startedAt": 0.0, "finishedAt": 7.0,
                   "status": "SUCCESSFUL", "statusReason": "ECS deployment ecs-svc/1 completed.",
                   "targetServiceRevision": {"arn": arn("service-revision", 1)},
                   "deploymentCircuitBreaker": {"failureCount": 0, "threshold": 0}}),
        ];
        let revisions = [
            json!({"serviceRevisionArn": arn("service-revision", 2),
            "taskDefinition": "arn:aws:ecs:local:000000000000:task-definition/web:2",
            "containerImages": [{"image": "web:2", "imageDigest": "sha256:0123456789abcdef"}]}),
            json!({"serviceRevisionArn": arn("service-revision", 1),
            "taskDefinition": "arn:aws:ecs:local:000000000000:task-definition/web:1", "containerImages": []}),
        ];
        let text = table(
            &deployments,
            &revisions,
            true,
            Timestamp::from_millis(1_060_000),
        )
        .plain();
        let rows: Vec<Vec<&str>> = text
            .lines()
            .map(|line| {
                line.split("  ")
                    .map(str::trim)
                    .filter(|c| !c.is_empty())
                    .collect()
            })
            .collect();
        assert_eq!(
            rows[1],
            [
                "web:2",
                "ROLLBACK_SUCCESSFUL",
                "60s ago",
                "42s",
                "3 of 3",
                "tasks failed to start. 3 failed, the last: exit code 1; went back to web:1",
                "web/2",
                "web:2 (0123456789ab)"
            ]
        );
        assert_eq!(
            rows[2],
            [
                "web:1",
                "SUCCESSFUL",
                "17m ago",
                "7s",
                "0",
                "-",
                "web/1",
                "-"
            ]
        );
    }

    #[test]
    fn a_reason_that_only_repeats_the_status_is_left_out_and_a_successor_is_named_by_what_it_rolled_out()
     {
        let arn =
            |kind: &str, n: u32| format!("arn:aws:ecs:local:000000000000:{kind}/default/web/{n}");
        let of = |n: u32, status: &str, reason: &str| {
            json!({"serviceDeploymentArn": arn("service-deployment", n), "status": status, "statusReason": reason,
                   "targetServiceRevision": {"arn": arn("service-revision", n)}})
        };
        let deployments = [
            of(3, "IN_PROGRESS", "ECS deployment ecs-svc/3 in progress."),
            of(
                2,
                "STOPPED",
                "ECS deployment ecs-svc/2 superseded by ecs-svc/3.",
            ),
            of(
                1,
                "STOPPED",
                "ECS deployment ecs-svc/1 superseded by ecs-svc/9.",
            ),
        ];
        let revisions = [json!({"serviceRevisionArn": arn("service-revision", 3),
            "taskDefinition": "arn:aws:ecs:local:000000000000:task-definition/web:3"})];
        let reasons = deployments
            .each_ref()
            .map(|d| reason(d, &deployments, &revisions));
        assert_eq!(
            reasons,
            ["", "superseded by web:3", "superseded by ecs-svc/9"]
        );
    }
}
