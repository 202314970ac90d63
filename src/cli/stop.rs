//! `longshore stop TASK`: ends a task, by ECS's own StopTask.

use serde_json::json;

use super::client_common::{Meant, failure, find, meant};
use super::output::{line, message};
use super::{CommandResult, Failure, Globals};

/// Arguments of `stop`.
#[derive(Debug, clap::Args)]
pub struct StopArgs {
    /// The task, by the beginning of its id. One of a service is replaced by it
    #[arg(value_name = "TASK")]
    task: String,
    /// Why; `describe task` shows it
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Orders the task to stop, and prints its id. Its containers get SIGTERM, and SIGKILL once their `stopTimeout` is over.
pub async fn run(args: StopArgs, globals: &Globals) -> CommandResult {
    let client = find(globals).await?;
    let (cluster, id) = match meant(&client, globals, &args.task).await? {
        Meant::Task(cluster, id) => (cluster, id),
        Meant::Service(_, name) => {
            return Err(Failure::findings(format!(
                "{name} is a service, which keeps its tasks running; name one of its tasks (longshore get tasks {name}), or \
edit its desiredCount (longshore scale {name} 0)"
            )));
        }
    };
    let mut input = json!({"cluster": cluster, "task": id});
    if let Some(reason) = &args.reason {
        input["reason"] = json!(reason);
    }
    let answer = client.ecs("StopTask", &input).await.map_err(failure)?;
    let task = &answer["task"];
    let text = |member: &str| task[member].as_str().unwrap_or_default();
    line(&id);
    if text("lastStatus") == "STOPPED" {
        let why = text("stoppedReason");
        message(&format!("it is over already: {why}"));
    } else if let Some(service) = text("group").strip_prefix("service:") {
        message(&format!(
            "it is ordered to stop; service {service} starts another in its place"
        ));
    } else {
        message("it is ordered to stop");
    }
    Ok(())
}
