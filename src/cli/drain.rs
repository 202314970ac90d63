//! `longshore drain INSTANCE…` and `longshore activate INSTANCE…`, by ECS's own UpdateContainerInstancesState.

use serde_json::{Value, json};

use super::client_common::{failure, fetch, find, no_such, user};
use super::output::{line, message};
use super::{CommandResult, Failure, Globals};
use crate::api::kinds::Kind;
use crate::model::arn::Named;

/// Arguments of `drain` and `activate`.
#[derive(Debug, clap::Args)]
pub struct DrainArgs {
    /// Container instances, by name
    #[arg(value_name = "INSTANCE", required = true, num_args = 1..=10)]
    instances: Vec<String>,
    /// Why; `describe instance` shows it with your name
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Takes no new tasks to them, and moves those of services away as their percentages allow.
pub async fn drain(args: &DrainArgs, globals: &Globals) -> CommandResult {
    set(args, "DRAINING", globals).await
}

/// Lets them take tasks again.
pub async fn activate(args: &DrainArgs, globals: &Globals) -> CommandResult {
    set(args, "ACTIVE", globals).await
}

async fn set(args: &DrainArgs, status: &str, globals: &Globals) -> CommandResult {
    let client = find(globals).await?;
    let cluster = match &globals.cluster {
        Some(cluster) => cluster.clone(),
        None => only_cluster(&client, args, globals).await?,
    };
    let input = json!({
        "cluster": cluster, "containerInstances": args.instances, "status": status,
        "askedBy": user(), "reason": args.reason,
    });
    let answer = client
        .ecs("UpdateContainerInstancesState", &input)
        .await
        .map_err(failure)?;
    let elsewhere = match status {
        "DRAINING" => takes_tasks(&client, &cluster, globals).await?,
        _ => true,
    };
    let list = |member: &str| answer[member].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for instance in list("containerInstances") {
        let arn = text(&instance["containerInstanceArn"]);
        let name = Named::parse(&arn).name;
        line(name);
        let left = instance["runningTasksCount"].as_u64().unwrap_or_default()
            + instance["pendingTasksCount"].as_u64().unwrap_or_default();
        message(&match status {
            "ACTIVE" => format!("{name} takes tasks"),
            _ if left == 0 => format!("{name} is drained: no task is on it"),
            _ if elsewhere => format!(
                "{name} takes no new tasks; {left} are on it, and those of services are replaced elsewhere (longshore describe \
instance {name})"
            ),
            _ => format!(
                "{name} takes no new tasks; {left} are on it, and stay: cluster {cluster} has no other instance that takes any"
            ),
        });
    }
    let failures = list("failures");
    if failures.is_empty() {
        let on_top = list("containerInstances")
            .iter()
            .any(|instance| instance["statusReason"].is_string());
        message(match on_top {
            true => "this holds until the cluster's manifest is given another `status` for it",
            false => "that is what the cluster's manifest says",
        });
        return Ok(());
    }
    let said: Vec<String> = failures
        .iter()
        .map(|f| {
            let arn = text(&f["arn"]);
            let name = Named::parse(&arn).name;
            match f["detail"].as_str() {
                Some(detail) => format!("{name}: {detail}"),
                None => format!("there is no container instance {name} in cluster {cluster}"),
            }
        })
        .collect();
    Err(Failure::findings(said.join("\n")))
}

/// Whether any instance of the cluster still takes tasks.
async fn takes_tasks(
    client: &crate::api::client::Client,
    cluster: &str,
    globals: &Globals,
) -> Result<bool, Failure> {
    let all = fetch(client, Kind::ContainerInstance, globals, false).await?;
    let of_cluster = all
        .iter()
        .filter(|document| text_of(&document.status, "cluster") == cluster);
    Ok(of_cluster
        .filter(|document| document.status["connected"] == true)
        .any(|document| text_of(&document.status, "status") == "ACTIVE"))
}

/// The one cluster that has all of them.
async fn only_cluster(
    client: &crate::api::client::Client,
    args: &DrainArgs,
    globals: &Globals,
) -> Result<String, Failure> {
    let all = fetch(client, Kind::ContainerInstance, globals, false).await?;
    let mut clusters: Vec<String> = all
        .iter()
        .filter(|document| args.instances.contains(&document.metadata.name))
        .map(|document| text_of(&document.status, "cluster"))
        .collect();
    clusters.sort();
    clusters.dedup();
    match (clusters.as_slice(), args.instances.first()) {
        ([one], _) => Ok(one.clone()),
        ([], first) => Err(no_such(
            Kind::ContainerInstance,
            first.map_or("", String::as_str),
            all.iter().map(|document| document.metadata.name.as_str()),
        )),
        (several, _) => Err(Failure::findings(format!(
            "clusters {} have instances of that name; choose one with --cluster",
            several.join(" and ")
        ))),
    }
}

fn text_of(status: &Value, member: &str) -> String {
    status[member].as_str().unwrap_or_default().to_owned()
}
