//! Reading one container's output, to its end or for as long as it goes on.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::mpsc;

use super::LogLine;
use super::lines::{Splitter, Timed};
use crate::api::context::Serving;
use crate::api::standing::last_status;
use crate::api::streams::target::Target;
use crate::engine::{
    ContainerState, EngineError, ErrorKind, LogOptions, OutputStream, SharedEngine,
};
use crate::model::{LastStatus, Timestamp};

/// How often a container whose output has ended is looked at again, where no change of its task says so earlier.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// A line on its way, with the time to order it by.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) at: jiff::Timestamp,
    pub(super) line: LogLine,
}

/// One container to read.
pub(super) struct Reader {
    pub(super) context: Serving,
    pub(super) target: Target,
    pub(super) follow: bool,
    pub(super) since: Option<jiff::Timestamp>,
    pub(super) tail: Option<u32>,
}

/// How a reading of the engine's stream ended.
enum Ended {
    /// There is no more.
    AtEnd,
    /// Nobody reads any more.
    Unread,
    /// The engine failed.
    Failed(EngineError),
}

impl Reader {
    /// Reads and sends until the end, or until nobody receives.
    pub(super) async fn run(self, lines: mpsc::Sender<Line>) {
        let Some(engine) = self
            .context
            .engines
            .get(&self.target.cluster, &self.target.instance)
        else {
            let why = format!("there is no engine {} at present", self.target.instance);
            let _ = lines.send(self.error(why)).await;
            return;
        };
        // The time of the last line that was sent: after a restart in place only later ones are new.
        let mut last: Option<jiff::Timestamp> = None;
        loop {
            // Which run is about to be read, so that a later one is known as such, however short it is.
            let run = if self.follow {
                self.started_at(&engine).await
            } else {
                None
            };
            match self.read(&engine, &lines, &mut last).await {
                Ended::Unread => return,
                Ended::AtEnd => {}
                Ended::Failed(error) if error.kind == ErrorKind::NotFound => {
                    if last.is_none() {
                        self.send_kept(&lines).await;
                    }
                    return;
                }
                Ended::Failed(error) if !self.follow || !error.kind.is_transient() => {
                    let _ = lines.send(self.error(error.message)).await;
                    return;
                }
                Ended::Failed(_) => {}
            }
            if !self.follow || !self.goes_on(&engine, run, &lines).await {
                return;
            }
        }
    }

    async fn read(
        &self,
        engine: &SharedEngine,
        lines: &mpsc::Sender<Line>,
        last: &mut Option<jiff::Timestamp>,
    ) -> Ended {
        let from = last.or(self.since);
        let options = LogOptions {
            follow: self.follow,
            since: from.map(|at| Timestamp::from_millis(at.as_millisecond())),
            // What comes after an interruption is all new.
            tail: self.tail.filter(|_| last.is_none()),
            timestamps: true,
        };
        let mut chunks = match engine.logs(&self.target.runtime_id, &options).await {
            Ok(chunks) => chunks,
            Err(error) => return Ended::Failed(error),
        };
        let resumed_after = *last;
        let is_new = |at: Option<jiff::Timestamp>| match at {
            Some(at) => {
                resumed_after.is_none_or(|seen| at > seen)
                    && self.since.is_none_or(|since| at >= since)
            }
            None => true,
        };
        let mut splitters = [Splitter::default(), Splitter::default()];
        let streams = [OutputStream::Stdout, OutputStream::Stderr];
        let mut ended = Ended::AtEnd;
        loop {
            let chunk = tokio::select! {
                chunk = chunks.next() => chunk,
                () = lines.closed() => return Ended::Unread,
            };
            let (index, whole) = match chunk {
                None => break,
                Some(Err(error)) => {
                    ended = Ended::Failed(error);
                    break;
                }
                Some(Ok(chunk)) => {
                    let index = usize::from(chunk.stream == OutputStream::Stderr);
                    (index, splitters[index].take(&chunk.bytes))
                }
            };
            for timed in whole {
                if is_new(timed.0) && !self.send(lines, streams[index], timed, last).await {
                    return Ended::Unread;
                }
            }
        }
        for (splitter, stream) in splitters.iter_mut().zip(streams) {
            if let Some(timed) = splitter.rest()
                && is_new(timed.0)
                && !self.send(lines, stream, timed, last).await
            {
                return Ended::Unread;
            }
        }
        ended
    }

    async fn send(
        &self,
        lines: &mpsc::Sender<Line>,
        stream: OutputStream,
        (at, bytes): Timed,
        last: &mut Option<jiff::Timestamp>,
    ) -> bool {
        *last = at.or(*last);
        let mut line = self.line();
        line.stream = match stream {
            OutputStream::Stdout => "stdout".to_owned(),
            OutputStream::Stderr => "stderr".to_owned(),
        };
        line.at = at.map(|at| format!("{at:.9}"));
        match String::from_utf8(bytes.to_vec()) {
            Ok(text) => line.line = Some(text),
            Err(error) => line.bytes = Some(error.into_bytes()),
        }
        // A line without a time stays behind the one before it.
        let at = last.unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        lines.send(Line { at, line }).await.is_ok()
    }

    async fn started_at(&self, engine: &SharedEngine) -> Option<Timestamp> {
        let container = engine.inspect_container(&self.target.runtime_id).await;
        container.ok().and_then(|container| container.started_at)
    }

    /// Waits until there may be more to read after `run`, for `true`, or its task is over.
    async fn goes_on(
        &self,
        engine: &SharedEngine,
        run: Option<Timestamp>,
        lines: &mpsc::Sender<Line>,
    ) -> bool {
        let mut changes = self.context.view.subscribe();
        let mut first = true;
        loop {
            match engine.inspect_container(&self.target.runtime_id).await {
                Ok(container) if container.started_at > run => return true,
                // The same run goes on, and only its stream broke off. Not at once: it may be about to end.
                Ok(container) if container.state == ContainerState::Running && !first => {
                    return true;
                }
                Err(error) if error.kind == ErrorKind::NotFound => return false,
                Ok(_) | Err(_) => {}
            }
            first = false;
            if self.task_is_over() {
                return false;
            }
            let ours = async {
                loop {
                    match changes.recv().await {
                        Ok(crate::store::Changed::Key(change)) => match change.key {
                            crate::store::Key::Task(_, id)
                            | crate::store::Key::TaskStatus(_, id)
                            | crate::store::Key::TaskLost(_, id)
                                if id == self.target.task =>
                            {
                                return;
                            }
                            _ => {}
                        },
                        Ok(crate::store::Changed::Everything) => return,
                        Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => return,
                        Err(tokio::sync::broadcast::error::RecvError::Closed) => {
                            std::future::pending::<()>().await;
                        }
                    }
                }
            };
            tokio::select! {
                () = ours => {}
                () = tokio::time::sleep(LOOK_AGAIN) => {}
                () = lines.closed() => return false,
                () = self.context.stop.cancelled() => return false,
            }
        }
    }

    fn task_is_over(&self) -> bool {
        let state = self.context.view.read();
        state
            .task(&self.target.cluster, &self.target.task)
            .is_none_or(|task| last_status(task) == LastStatus::Stopped)
    }

    /// The engine no longer has the container: what its agent kept of the container at fault is all that is left.
    async fn send_kept(&self, lines: &mpsc::Sender<Line>) {
        let (kept, at) = {
            let state = self.context.view.read();
            let Some(status) = state
                .task(&self.target.cluster, &self.target.task)
                .and_then(|task| task.status.as_ref())
            else {
                return;
            };
            let at_fault = status
                .containers
                .iter()
                .find(|c| c.exit_code.is_some_and(|code| code != 0))
                .or(status.containers.first());
            if at_fault.is_none_or(|c| c.name != self.target.container) {
                return;
            }
            let at = status.execution_stopped_at.or(status.stopped_at);
            (status.last_log_lines.clone(), at)
        };
        let known = at.and_then(|at| jiff::Timestamp::from_millisecond(at.as_millis()).ok());
        let at = known.unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        if self.since.is_some_and(|since| at < since) {
            return;
        }
        let skip = self
            .tail
            .and_then(|tail| kept.len().checked_sub(usize::try_from(tail).ok()?))
            .unwrap_or(0);
        for text in kept.into_iter().skip(skip) {
            let mut line = self.line();
            line.stream = "stdout".to_owned();
            // When the task ended: the lines' own times are gone with the container.
            line.at = known.map(|at| format!("{at:.9}"));
            line.line = Some(text);
            if lines.send(Line { at, line }).await.is_err() {
                return;
            }
        }
    }

    fn line(&self) -> LogLine {
        LogLine {
            cluster: self.target.cluster.to_string(),
            service: self.target.service.as_ref().map(ToString::to_string),
            task: self.target.task.to_string(),
            container: self.target.container.clone(),
            ..LogLine::default()
        }
    }

    fn error(&self, why: String) -> Line {
        let mut line = self.line();
        line.error = Some(why);
        Line {
            at: jiff::Timestamp::UNIX_EPOCH,
            line,
        }
    }
}
