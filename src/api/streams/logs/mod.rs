//! `GET /v1/logs`: what containers wrote. Without `follow` all of it in order of time; with it the same as it comes, and the
//! output of tasks that are started meanwhile.
//!
//! Containers restarted in place are read on from where they were; a container that the engine no longer has gives the
//! last lines that its agent kept of it.

#[cfg(any(test, fuzzing))]
pub(in crate::api) mod fuzz;
mod lines;
mod reader;

use std::collections::BTreeSet;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::api::context::Serving;
use crate::store::Changed;

use super::Lines;
use super::target::{Refused, Scope, Target};
use reader::{Line, Reader};

/// Lines that come within this time of each other are put in order of time before they are sent.
const SETTLE: Duration = Duration::from_millis(20);
/// Lines that are put in order at once at most.
const BATCH: usize = 1024;
/// Changes that come within this time of each other are looked at once.
const GATHER: Duration = Duration::from_millis(50);

/// The query.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct LogQuery {
    /// Only of this cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Only of this service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Only of this task: its id, or the beginning of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// Only of containers of this name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Go on as lines are written.
    pub follow: bool,
    /// Only lines from this instant on, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Only the last so many lines of each container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tail: Option<u32>,
}

/// The first line of the answer: what is to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogHeader {
    /// Containers that are read from the start.
    pub containers: usize,
    /// Whether others may join.
    pub more: bool,
}

/// Every further line of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LogLine {
    /// The cluster.
    pub cluster: String,
    /// The service, where one started the task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The task's id.
    pub task: String,
    /// The container's name.
    pub container: String,
    /// `stdout` or `stderr`.
    pub stream: String,
    /// When it was written, RFC 3339 with nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// The line without its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<String>,
    /// The same where it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<Vec<u8>>,
    /// Why this container's output cannot be read; then there is no line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Answers the request.
///
/// # Errors
/// What is named is not there or is ambiguous, or `since` is no time.
pub(in crate::api) fn logs(context: &Serving, query: &LogQuery) -> Result<Response, Refused> {
    let since = match query.since.as_deref().map(str::parse::<jiff::Timestamp>) {
        None => None,
        Some(Ok(since)) => Some(since),
        Some(Err(error)) => {
            return Err(Refused::new(
                StatusCode::BAD_REQUEST,
                format!("since: {error}"),
            ));
        }
    };
    let scope = {
        let state = context.view.read();
        let scope = Scope::find(
            &state,
            query.cluster.as_deref(),
            query.service.as_deref(),
            query.task.as_deref(),
        )?;
        check_container(&scope, &state, query.container.as_deref())?;
        scope
    };
    let (lines, response) = Lines::response();
    let request = Request {
        context: context.clone(),
        scope,
        container: query.container.clone(),
        since,
        tail: query.tail,
    };
    if query.follow {
        tokio::spawn(request.follow(lines));
    } else {
        tokio::spawn(request.merge(lines));
    }
    Ok(response)
}

/// A container that no task of the scope has is a mistake, and would only ever be silent.
fn check_container(
    scope: &Scope,
    state: &crate::store::State,
    container: Option<&str>,
) -> Result<(), Refused> {
    let Some(name) = container else { return Ok(()) };
    let tasks = scope.tasks(state);
    let known: BTreeSet<String> = tasks
        .iter()
        .flat_map(|task| {
            let spec = state.specs.get(&task.record.spec).map(AsRef::as_ref);
            crate::api::shapes::task::containers(task, spec)
        })
        .map(|c| c.name)
        .collect();
    if known.is_empty() || known.contains(name) {
        return Ok(());
    }
    let known: Vec<String> = known.into_iter().collect();
    Err(Refused::not_found(format!(
        "there is no container {name}; there are {}",
        known.join(", ")
    )))
}

struct Request {
    context: Serving,
    scope: Scope,
    container: Option<String>,
    since: Option<jiff::Timestamp>,
    tail: Option<u32>,
}

impl Request {
    fn targets(&self) -> Vec<Target> {
        self.scope
            .targets(&self.context.view.read(), self.container.as_deref())
    }

    fn reader(&self, target: Target, follow: bool, tail: Option<u32>) -> Reader {
        Reader {
            context: self.context.clone(),
            target,
            follow,
            since: self.since,
            tail,
        }
    }

    /// Everything that is there, in order of time: of all containers the earliest next line comes first.
    async fn merge(self, lines: Lines) {
        let targets = self.targets();
        let header = LogHeader {
            containers: targets.len(),
            more: false,
        };
        if !lines.send(&header).await {
            return;
        }
        // Dropping the set ends all readers.
        let mut readers = JoinSet::new();
        let mut sources = Vec::new();
        for target in targets {
            let (sender, receiver) = mpsc::channel(64);
            readers.spawn(self.reader(target, false, self.tail).run(sender));
            sources.push(receiver);
        }
        let mut heads: Vec<Option<Line>> = Vec::new();
        for source in &mut sources {
            heads.push(source.recv().await);
        }
        loop {
            let earliest = heads
                .iter()
                .enumerate()
                .filter_map(|(index, head)| head.as_ref().map(|line| (line.at, index)))
                .min();
            let Some((_, index)) = earliest else { return };
            let next = tokio::select! {
                next = sources[index].recv() => next,
                () = self.context.stop.cancelled() => return,
            };
            if let Some(line) = std::mem::replace(&mut heads[index], next)
                && !lines.send(&line.line).await
            {
                return;
            }
        }
    }

    async fn follow(self, lines: Lines) {
        let mut changes = self.context.view.subscribe();
        let mut known: BTreeSet<Target> = self.targets().into_iter().collect();
        let header = LogHeader {
            containers: known.len(),
            more: true,
        };
        if !lines.send(&header).await {
            return;
        }
        let (sender, receiver) = mpsc::channel(BATCH);
        let mut readers = JoinSet::new();
        for target in &known {
            readers.spawn(
                self.reader(target.clone(), true, self.tail)
                    .run(sender.clone()),
            );
        }
        let mut printer = tokio::spawn(send_in_order(receiver, lines.clone()));
        loop {
            // A single task is followed to its end, anything else until nobody listens.
            if readers.is_empty() && self.is_over() {
                drop(sender);
                let _ = (&mut printer).await;
                return;
            }
            tokio::select! {
                changed = changes.recv() => match changed {
                    Ok(Changed::Key(change)) if change.instance.is_none() && change.service.is_none() => continue,
                    Ok(_) | Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => break,
                },
                Some(_) = readers.join_next() => {}
                () = lines.closed() => break,
                () = self.context.stop.cancelled() => break,
            }
            tokio::time::sleep(GATHER).await;
            while changes.try_recv().is_ok() {}
            for target in self.targets() {
                if known.insert(target.clone()) {
                    // It started while we were listening, so all it says is new.
                    readers.spawn(self.reader(target, true, None).run(sender.clone()));
                }
            }
        }
        printer.abort();
    }

    fn is_over(&self) -> bool {
        let Scope::Task(cluster, id) = &self.scope else {
            return false;
        };
        let state = self.context.view.read();
        state.task(cluster, id).is_none_or(|task| {
            crate::api::standing::last_status(task) == crate::model::LastStatus::Stopped
        })
    }
}

/// Sends lines as they come; what comes at about the same time in order of time.
async fn send_in_order(mut receiver: mpsc::Receiver<Line>, lines: Lines) {
    let mut batch = Vec::new();
    while let Some(first) = receiver.recv().await {
        batch.push(first);
        let settled = tokio::time::sleep(SETTLE);
        tokio::pin!(settled);
        while batch.len() < BATCH {
            tokio::select! {
                line = receiver.recv() => match line {
                    Some(line) => batch.push(line),
                    None => break,
                },
                () = &mut settled => break,
            }
        }
        // Stable: lines of one instant and one container stay as they were written.
        batch.sort_by_key(|line| line.at);
        for line in batch.drain(..) {
            if !lines.send(&line.line).await {
                return;
            }
        }
    }
}
