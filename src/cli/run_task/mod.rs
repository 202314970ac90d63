//! `longshore run-task FAMILY[:REVISION]`: runs a task once, by ECS's own RunTask.
//!
//! The request carries a token, so that it is made once even where its answer is lost: asked again, the running Longshore (or
//! the one that comes after it) names the tasks that it started the first time.

mod overrides;
mod wait;

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::client_common::{failure, fetch, find, or_not_taken, select, typed};
use super::output::{line, message};
use super::{CommandResult, Failure, Globals};
use crate::api::client::Client;
use crate::api::documents::{ClusterStatus, Document};
use crate::api::kinds::Kind;
use crate::clock::{IdGen, RandomIds};
use crate::model::ClusterName;
use crate::model::arn::Named;

/// The exit code where a task could not be started, or ended without an exit code of its own; `docker run`'s for the same.
const NOT_STARTED: u8 = 125;
/// How long a Longshore that went away is waited for with the same request.
const RETURN_WITHIN: Duration = Duration::from_secs(30);
/// Pause before it is asked again.
const PAUSE: Duration = Duration::from_millis(200);

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Output {
    /// The tasks' ids, a line each; with --wait what they write
    #[default]
    Text,
    /// ECS's answer; with --wait the tasks as they ended, and what they write to stderr
    Json,
}

/// Arguments of `run-task`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 started, with --wait: ended with exit code 0; 125 not started, or ended without an exit code; \
1 refused; 2 could not run; with --wait every other code is that of the essential container that ended first."
)]
pub struct RunTaskArgs {
    /// The task definition's family, as the folder declares it now; or one of its revisions
    #[arg(value_name = "FAMILY[:REVISION]")]
    definition: String,
    /// How many tasks, up to 10
    #[arg(long, default_value_t = 1, value_name = "N")]
    count: u32,
    /// What to change for these tasks: ECS's overrides as JSON or in a file (JSON or YAML, - for stdin), or NAME=VALUE for a
    /// variable, command=, cpu=, memory=, memoryReservation=, env.NAME=; CONTAINER. in front for another container than the
    /// essential one, task. for the task
    #[arg(long, num_args = 1.., value_name = "JSON|FILE|KEY=VALUE")]
    overrides: Vec<String>,
    /// Show what they write, and end as they do
    #[arg(short, long)]
    wait: bool,
    /// Their group; family:FAMILY if left out
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// Who starts them, to find them by
    #[arg(long, value_name = "WHO")]
    started_by: Option<String>,
    /// Start nothing where this was asked for before with the same token
    #[arg(long, value_name = "TOKEN")]
    client_token: Option<String>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Output,
    /// The essential container's command and its arguments, in place of the definition's
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// Starts the tasks, and with `--wait` waits for their end.
pub async fn run(args: RunTaskArgs, globals: &Globals) -> CommandResult {
    let client = find(globals).await?;
    folder_taken(&client).await?;
    let cluster = cluster(&client, globals).await?;
    let mut input = json!({
        "cluster": cluster,
        "taskDefinition": args.definition,
        "count": args.count,
        "group": args.group,
        "startedBy": args.started_by,
        "clientToken": args.client_token.clone().unwrap_or_else(|| RandomIds.task_id().to_string()),
    });
    if !args.overrides.is_empty() || !args.command.is_empty() {
        let definitions = fetch(&client, Kind::TaskDefinition, globals, true).await?;
        let definition = select(Kind::TaskDefinition, definitions, &args.definition);
        let definition = or_not_taken(&client, definition).await?;
        let containers = overrides::Containers::of(definition[0].spec.as_ref());
        let over = overrides::read(&args.overrides, &args.command, &containers)
            .map_err(Failure::could_not_run)?;
        input["overrides"] = over;
    }
    let answer = or_not_taken(&client, ask(&client, &input).await).await?;
    let tasks: Vec<String> = answer["tasks"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|task| Some(Named::parse(task["taskArn"].as_str()?).name.to_owned()))
        .collect();
    let failed = tell_failures(&answer);
    if args.wait {
        for id in &tasks {
            message(&format!("started task {id}"));
        }
        let containers = answer["tasks"][0]["containers"]
            .as_array()
            .map_or(0, Vec::len);
        let prefix = tasks.len() > 1 || containers > 1;
        wait::until_stopped(&client, &cluster, &tasks, prefix, args.output).await?;
    } else if args.output == Output::Json {
        line(&serde_json::to_string_pretty(&answer).map_err(Failure::could_not_run)?);
    } else {
        for id in &tasks {
            line(id);
        }
    }
    if failed {
        return Err(Failure::Code(NOT_STARTED));
    }
    Ok(())
}

/// Waits until the folder was taken up for the first time: before that there are no clusters and no families.
async fn folder_taken(client: &Client) -> Result<(), Failure> {
    let since = Instant::now();
    while since.elapsed() < RETURN_WITHIN {
        let status = client.status().await.map_err(failure)?;
        if status.folder.applied {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// The cluster that is meant: the one that the options name, else the only one that has instances, else ECS's `default`.
async fn cluster(client: &Client, globals: &Globals) -> Result<String, Failure> {
    if let Some(name) = &globals.cluster {
        return Ok(name.clone());
    }
    let clusters: Vec<Document<ClusterStatus>> =
        typed(fetch(client, Kind::Cluster, globals, false).await?)?;
    let mut able = clusters.into_iter().filter(|c| c.status.instances > 0);
    Ok(match (able.next(), able.next()) {
        (Some(only), None) => only.metadata.name,
        _ => ClusterName::default().to_string(),
    })
}

/// Asks for the tasks, and again where the answer broke off.
async fn ask(client: &Client, input: &Value) -> Result<Value, Failure> {
    let mut since: Option<Instant> = None;
    loop {
        let error = match client.ecs("RunTask", input).await {
            Ok(answer) => return Ok(answer),
            Err(error) if error.went_away() => error,
            Err(error) => return Err(failure(error)),
        };
        let since = *since.get_or_insert_with(|| {
            message("the running Longshore went away; asking again, with the same token");
            Instant::now()
        });
        if since.elapsed() > RETURN_WITHIN {
            return Err(Failure::could_not_run(format!(
                "{error}. It is not known whether the tasks were started; ask again with --client-token {}",
                input["clientToken"].as_str().unwrap_or_default()
            )));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Says why tasks were not placed; whether any was not.
fn tell_failures(answer: &Value) -> bool {
    let failures = answer["failures"].as_array().cloned().unwrap_or_default();
    for one in &failures {
        let text = |member: &str| one[member].as_str().unwrap_or_default();
        message(&format!(
            "not placed on {}: {}: {}",
            Named::parse(text("arn")).name,
            text("reason"),
            text("detail")
        ));
    }
    !failures.is_empty()
}
