//! `--wait`: what tasks write and where they are in their lives, until they are over. A Longshore that goes away meanwhile does
//! not end them, so it is waited for.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use tokio::time::Instant;

use super::super::client_common::{failure, typed};
use super::super::exec::exit_code;
use super::super::get::short;
use super::super::logs::Style;
use super::super::output::{line, message, write_stderr, write_stdout};
use super::super::{CommandResult, Failure};
use super::{NOT_STARTED, Output, PAUSE, RETURN_WITHIN};
use crate::api::client::{Client, ClientError};
use crate::api::documents::{Document, TaskStatusDoc};
use crate::api::kinds::Kind;
use crate::api::server::ManifestQuery;
use crate::api::streams::logs::LogQuery;

/// How long the last lines of a task that is over may take.
const LAST_LINES: Duration = Duration::from_secs(10);
/// As a shell has it for a program that was interrupted.
const INTERRUPTED: u8 = 130;

/// Follows the tasks until all are over; the exit code is theirs. With `prefix` each line says whose it is.
pub async fn until_stopped(
    client: &Client,
    cluster: &str,
    ids: &[String],
    prefix: bool,
    output: Output,
) -> CommandResult {
    let readers = ids
        .iter()
        .map(|id| read_logs(client, cluster, id, prefix, output));
    let mut reading = pin!(join_all(readers));
    let mut ending = pin!(over(client, cluster, ids));
    let mut read_out = false;
    let tasks = loop {
        tokio::select! {
            tasks = &mut ending => break tasks?,
            _ = &mut reading, if !read_out => read_out = true,
            _ = tokio::signal::ctrl_c() => {
                for id in ids {
                    message(&format!("task {} goes on; longshore stop {}", short(id), short(id)));
                }
                return Err(Failure::Code(INTERRUPTED));
            }
        }
    };
    if !read_out && tokio::time::timeout(LAST_LINES, reading).await.is_err() {
        message("the last lines of the tasks cannot be read; longshore logs shows what there is");
    }
    if output == Output::Json {
        let input = json!({"cluster": cluster, "tasks": ids, "include": ["TAGS"]});
        let ended = client.ecs("DescribeTasks", &input).await.map_err(failure)?;
        line(&serde_json::to_string_pretty(&ended).map_err(Failure::could_not_run)?);
    }
    let mut code = 0;
    for task in &tasks {
        message(&epitaph(task));
        if code == 0 {
            code = code_of(task);
        }
    }
    match code {
        0 => Ok(()),
        code => Err(Failure::Code(code)),
    }
}

/// How a task ended, in a line.
fn epitaph(task: &TaskStatusDoc) -> String {
    let mut text = format!(
        "task {} stopped: {}",
        short(&task.id),
        task.stopped_reason
            .as_deref()
            .unwrap_or("no reason is known")
    );
    for c in &task.containers {
        match (&c.reason, c.exit_code) {
            (Some(reason), Some(code)) => {
                text.push_str(&format!("; {}: {reason} (exit code {code})", c.name));
            }
            (Some(reason), None) => text.push_str(&format!("; {}: {reason}", c.name)),
            (None, Some(code)) => text.push_str(&format!("; {}: exit code {code}", c.name)),
            (None, None) => {}
        }
    }
    text
}

/// The code that a task stands for: its essential container's, and one of its own where that never ran or left none.
fn code_of(task: &TaskStatusDoc) -> u8 {
    match task.exit_code {
        _ if task.stop_code.as_deref() == Some("TaskFailedToStart") => NOT_STARTED,
        Some(0) => 0,
        Some(code) => exit_code(code),
        None => NOT_STARTED,
    }
}

/// Asks until there is an answer, as long as what went away may come back.
async fn patiently<T>(
    mut ask: impl AsyncFnMut() -> Result<T, ClientError>,
) -> Result<T, ClientError> {
    let mut since: Option<Instant> = None;
    loop {
        match ask().await {
            Err(error) if error.went_away() => {
                let since = *since.get_or_insert_with(Instant::now);
                if since.elapsed() > RETURN_WITHIN {
                    return Err(error);
                }
                tokio::time::sleep(PAUSE).await;
            }
            answer => return answer,
        }
    }
}

/// Says how far the tasks are, and returns them once all are over.
async fn over(
    client: &Client,
    cluster: &str,
    ids: &[String],
) -> Result<Vec<TaskStatusDoc>, Failure> {
    let mut said: BTreeMap<String, String> = BTreeMap::new();
    loop {
        // The line that comes at once is the first look.
        let mut changes = patiently(async || client.changes().await)
            .await
            .map_err(failure)?;
        while let Ok(Some(_)) = changes.next().await {
            let query = ManifestQuery {
                kind: Kind::Task.plural().to_owned(),
                cluster: Some(cluster.to_owned()),
                name: None,
                all: true,
            };
            let all = patiently(async || client.manifests(&query).await)
                .await
                .map_err(failure)?;
            let tasks: Vec<Document<TaskStatusDoc>> = typed(all)?;
            let mut ours: Vec<TaskStatusDoc> = tasks
                .into_iter()
                .map(|document| document.status)
                .filter(|task| ids.contains(&task.id))
                .collect();
            if let Some(lost) = ids.iter().find(|id| ours.iter().all(|t| t.id != **id)) {
                return Err(Failure::could_not_run(format!(
                    "task {lost} is not known any more: it was over long ago, or its state was lost"
                )));
            }
            ours.sort_by(|a, b| a.id.cmp(&b.id));
            for task in &ours {
                let before = said.insert(task.id.clone(), task.last_status.clone());
                if before.as_ref() != Some(&task.last_status) && task.last_status != "STOPPED" {
                    message(&format!("task {}: {}", short(&task.id), task.last_status));
                }
            }
            if ours.iter().all(|task| task.last_status == "STOPPED") {
                return Ok(ours);
            }
        }
    }
}

/// Writes what a task writes, until it is over; after a gap from where it was.
async fn read_logs(client: &Client, cluster: &str, id: &str, prefix: bool, output: Output) {
    let mut last: Option<jiff::Timestamp> = None;
    let style = Style {
        prefix,
        timestamps: false,
        colour: false,
    };
    loop {
        let query = LogQuery {
            cluster: Some(cluster.to_owned()),
            task: Some(id.to_owned()),
            follow: true,
            since: last.map(|at| at.to_string()),
            ..LogQuery::default()
        };
        let opened = patiently(async || client.logs(&query).await).await;
        let Ok((_, mut lines)) = opened else {
            return;
        };
        loop {
            let entry = match lines.next().await {
                Ok(Some(entry)) => entry,
                // The task is over.
                Ok(None) => return,
                Err(_) => break,
            };
            if let Some(error) = &entry.error {
                message(&format!("{} {}: {error}", short(id), entry.container));
                continue;
            }
            let at: Option<jiff::Timestamp> = entry.at.as_deref().and_then(|at| at.parse().ok());
            // `since` takes in the instant itself.
            if query.since.is_some() && at.is_some() && at <= last {
                continue;
            }
            last = at.or(last);
            let text = style.line(&entry);
            if output == Output::Json || entry.stream == "stderr" {
                write_stderr(&text);
            } else if !write_stdout(&text) {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(stop_code: &str, exit_code: Option<i64>) -> TaskStatusDoc {
        TaskStatusDoc {
            id: "0123456789abcdef".to_owned(),
            stop_code: Some(stop_code.to_owned()),
            stopped_reason: Some("why".to_owned()),
            exit_code,
            ..TaskStatusDoc::default()
        }
    }

    #[test]
    fn the_exit_code_is_the_containers_and_125_where_there_is_none() {
        let code = |stop, exit| code_of(&ended(stop, exit));
        assert_eq!(code("EssentialContainerExited", Some(0)), 0);
        assert_eq!(code("EssentialContainerExited", Some(3)), 3);
        assert_eq!(code("UserInitiated", Some(143)), 143);
        assert_eq!(code("EssentialContainerExited", Some(256)), 1);
        assert_eq!(code("EssentialContainerExited", None), 125);
        assert_eq!(code("TaskFailedToStart", Some(143)), 125);
    }

    #[test]
    fn the_end_of_a_task_is_one_line_with_its_containers_codes_and_reasons() {
        let task: TaskStatusDoc = serde_json::from_value(json!({
            "id": "0123456789abcdef", "stoppedReason": "Essential container in task exited",
            "containers": [{"name": "main", "exitCode": 137, "reason": "OutOfMemoryError: x"}, {"name": "side", "exitCode": 0}]
        }))
        .unwrap();
        assert_eq!(
            epitaph(&task),
            "task 0123456789ab stopped: Essential container in task exited; main: OutOfMemoryError: x (exit code 137); side: exit \
             code 0"
        );
    }
}
