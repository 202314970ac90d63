//! Carrying out one call, and looking at its object right after: a failed call may have been applied all the same.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;

use super::action::{Call, CallKey};
use super::additions;
use super::facts::LogFact;
use super::gate::Priority;
use super::images::Pulled;
use super::known::{WITHHELD, is_up};
use super::shared::Shared;
use crate::engine::labels::PAUSE_CONTAINER;
use crate::engine::translate::{self, Additions, Context, firelens, is_same, names};
use crate::engine::{
    ContainerState, CreateBody, EngineError, EngineResult, ErrorKind, LogOptions, ObservedContainer,
};
use crate::model::{
    ClusterName, ContainerSpec, HealthStatus, TaskId, TaskRecord, TaskSpec, VolumeKind,
};
use crate::secrets::redact;

/// Last lines that are kept of a container.
const LINES: u32 = 20;
/// Bytes that are read of them, and characters that are kept of each.
const LOG_BYTES: usize = 16 << 10;
const LINE_CHARS: usize = 400;
/// How long their reading may take. A stopped task's status waits for it.
const LOG_TIME: Duration = Duration::from_secs(5);

/// Pause before a look that failed is made again; doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// A task as its calls need it.
#[derive(Debug, Clone)]
pub(super) struct Order {
    pub record: Arc<TaskRecord>,
    pub spec: Arc<TaskSpec>,
    /// The store's revision that the task was decided on.
    pub seq: u64,
    /// The digests that were reported of its containers: what is created is what was reported, also if the tag moves in
    /// between.
    pub digests: BTreeMap<String, String>,
}

/// What a call brought besides its effect on the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Effect {
    Nothing,
    Logs(LogFact),
    /// None: when its turn came, the task was no longer to run. Neither done nor failed.
    Superseded,
}

/// A call that is over.
#[derive(Debug)]
pub(super) struct Landed {
    pub call: Call,
    pub result: EngineResult<Effect>,
}

impl Landed {
    pub fn key(&self) -> CallKey {
        self.call.key()
    }
}

/// Makes one call for a task; `order` is absent where the task has no record, and then only what removes things is asked.
pub(super) async fn execute(
    shared: Arc<Shared>,
    task: TaskId,
    order: Option<Order>,
    call: Call,
) -> Landed {
    let hands = Hands {
        shared: &shared,
        task: &task,
    };
    let mut result = hands.make(order.as_ref(), &call).await;
    if let Err(error) = &result
        && !matches!(error.kind, ErrorKind::Unreachable | ErrorKind::Unresolved)
        && begins(&call)
        && let Err(going_down) = shared.greeting.confirm(&*shared.engine).await
    {
        result = Err(going_down);
    }
    if let Some(container) = call.container() {
        shared.cache.end_call(&task, container);
    }
    if let Err(error) = &result
        && error.kind == ErrorKind::Unreachable
    {
        shared.link.suspect();
    }
    Landed { call, result }
}

/// Whether the call brings something up. What is taken down is tried until it is done.
fn begins(call: &Call) -> bool {
    !matches!(
        call,
        Call::Stop { .. } | Call::Remove { .. } | Call::RemoveVolume { .. } | Call::ReadLogs { .. }
    )
}

struct Hands<'a> {
    shared: &'a Arc<Shared>,
    task: &'a TaskId,
}

impl Hands<'_> {
    async fn make(&self, order: Option<&Order>, call: &Call) -> EngineResult<Effect> {
        let shared = self.shared;
        match (call, order) {
            (Call::CreateNetwork, _) => shared.surroundings.ensure_network().await?,
            (Call::ImportPauseImage, _) => {
                let info = shared.info()?;
                let surroundings = &shared.surroundings;
                surroundings.ensure_pause_image(&info.architecture).await?;
            }
            (Call::Pull { image, .. }, Some(order)) => {
                let architecture = order.spec.architecture.as_deref();
                let named = additions::credentials(shared, order, image);
                let wants = {
                    let (shared, task) = (Arc::clone(shared), self.task.clone());
                    move || shared.wants(&task)
                };
                let pulled = shared.images.pull(image, architecture, named, wants).await;
                // Others may have waited for it without asking.
                shared.wake_all();
                if pulled? == Pulled::Superseded {
                    return Ok(Effect::Superseded);
                }
            }
            (Call::CreateVolume { volume }, Some(order)) => {
                return self.create_volume(order, volume).await;
            }
            (Call::FindVolume { volume }, _) => self.find_volume(volume).await?,
            (Call::Create { container }, Some(order)) => {
                return self.create(order, container).await;
            }
            (Call::Start { id, container }, order) => {
                let spec = order.and_then(|order| order.spec.container(container));
                let secret = spec.is_some_and(ContainerSpec::has_secret_options);
                let started = self.start(order, container, id).await;
                return started.map_err(|error| if secret { withheld(error) } else { error });
            }
            (Call::Stop { id, timeout, .. }, _) => self.stop(id, *timeout).await?,
            (Call::Remove { id, .. }, _) => self.remove(id).await?,
            (Call::RemoveVolume { volume }, _) => self.remove_volume(volume).await?,
            (Call::ReadLogs { id, ended, .. }, _) => {
                let lines = self.last_lines(id).await?;
                let ended = *ended;
                return Ok(Effect::Logs(LogFact { ended, lines }));
            }
            (Call::Pull { .. } | Call::CreateVolume { .. } | Call::Create { .. }, None) => {
                return Err(EngineError::new(
                    "act for",
                    self.task.as_str(),
                    ErrorKind::Invalid,
                    "a task without a record is only removed",
                ));
            }
        }
        Ok(Effect::Nothing)
    }

    async fn create(&self, order: &Order, container: &str) -> EngineResult<Effect> {
        let context = self.shared.context(order.seq)?;
        if let Some(why) = firelens::unreachable(&order.spec, &order.record, &context) {
            let kind = ErrorKind::Invalid;
            return Err(EngineError::new("create container", container, kind, why));
        }
        let name = names::container(&order.record, container);
        let additions = additions::find(self.shared, order, container).await?;
        let body = body(order, container, &context, &additions)?;
        self.limit(order, &context).await?;
        let permit = self.shared.gate.enter(Priority::Begin).await;
        if !self.shared.wants(self.task) {
            return Ok(Effect::Superseded);
        }
        let result = self.shared.engine.create_container(&name, &body).await;
        drop(permit);
        let result = result.map_err(|error| EngineError {
            message: redact(&error.message, additions.values()),
            ..error
        });
        match result {
            Ok(id) => {
                // Nothing is asked of the engine that it has just been told.
                let seen = as_created(id, name, body);
                self.shared.cache.put(self.shared.cache.ticket(), seen);
            }
            Err(error) if error.kind == ErrorKind::Unreachable => return Err(error),
            Err(error) => {
                self.adopt(order, container, &name, &context, error).await?;
            }
        }
        Ok(Effect::Nothing)
    }

    /// A create failed. If the very container it was to make is there, made by a call whose answer was lost or by the agent
    /// before this one, it is taken; anything else that has its name is somebody else's.
    async fn adopt(
        &self,
        order: &Order,
        container: &str,
        name: &str,
        context: &Context,
        error: EngineError,
    ) -> EngineResult<()> {
        let ticket = self.shared.cache.ticket();
        let conflict = error.kind == ErrorKind::NameConflict;
        let retry = |message: &str| {
            Err(EngineError {
                kind: ErrorKind::Conflict,
                message: message.to_owned(),
                ..error.clone()
            })
        };
        match self.shared.engine.inspect_container(name).await {
            Ok(found) if found.state == ContainerState::Removing => {
                retry("a container of that name is being removed")
            }
            Ok(found) if is_same(&found.labels, &order.record, container, &context.owner) => {
                self.shared.cache.put(ticket, found);
                Ok(())
            }
            Ok(found) if conflict => Err(EngineError {
                message: format!(
                    "the name {name} is taken by container {}, which is not this task's",
                    found.id.get(..12).unwrap_or(&found.id)
                ),
                ..error
            }),
            Err(gone) if gone.kind == ErrorKind::NotFound && conflict => {
                retry("a container of that name was just removed")
            }
            _ => Err(error),
        }
    }

    /// Makes sure of the task's control group, if it has one.
    async fn limit(&self, order: &Order, context: &Context) -> EngineResult<()> {
        match translate::task_cgroup(&order.spec, &order.record, context) {
            Some(group) => self.shared.cgroups.ensure(self.task, &group).await,
            None => Ok(()),
        }
    }

    async fn start(
        &self,
        order: Option<&Order>,
        container: &str,
        id: &str,
    ) -> EngineResult<Effect> {
        if let Some(order) = order {
            let context = self.shared.context(order.seq)?;
            self.limit(order, &context).await?;
            if let Some((folder, archive)) = firelens::upload(&order.spec, &order.record, container)
            {
                let _permit = self.shared.gate.enter(Priority::Finish).await;
                self.shared.engine.upload(id, folder, archive).await?;
            }
        }
        let permit = self.shared.gate.enter(Priority::Finish).await;
        if !self.shared.wants(self.task) {
            return Ok(Effect::Superseded);
        }
        let result = self.shared.engine.start_container(id).await;
        drop(permit);
        match self.look(id, true).await {
            Look::Seen(state) if is_up(state) => {}
            Look::Seen(_) | Look::Gone => result?,
        }
        Ok(Effect::Nothing)
    }

    async fn stop(&self, id: &str, timeout: u32) -> EngineResult<()> {
        let permit = self.shared.stops.acquire().await;
        let result = self.shared.engine.stop_container(id, timeout).await;
        drop(permit);
        match self.look(id, false).await {
            Look::Gone => Ok(()),
            Look::Seen(state) if !is_up(state) => Ok(()),
            Look::Seen(_) => result,
        }
    }

    async fn remove(&self, id: &str) -> EngineResult<()> {
        let permit = self.shared.gate.enter(Priority::Finish).await;
        let result = self.shared.engine.remove_container(id).await;
        drop(permit);
        let gone = match &result {
            Ok(()) => true,
            Err(error) if error.kind == ErrorKind::NotFound => true,
            Err(_) => self.look(id, false).await == Look::Gone,
        };
        if gone {
            self.shared.cache.gone(self.shared.cache.ticket(), id);
            Ok(())
        } else {
            result
        }
    }

    /// Looks at a container and remembers what it sees. Does not give up: until somebody has looked, what the call did is not
    /// known, and deciding from what was seen before could start a container twice. An end that nobody asked for is `doubted`: the
    /// engine may be going down.
    async fn look(&self, id: &str, doubted: bool) -> Look {
        let mut pause = FIRST_PAUSE;
        loop {
            let seen = {
                let _turn = self.shared.reads.acquire().await;
                let ticket = self.shared.cache.ticket();
                let seen = self.shared.engine.inspect_container(id).await;
                (ticket, seen)
            };
            let seen = match seen {
                (ticket, Ok(seen)) if doubted && self.shared.cache.is_new_end(&seen) => {
                    let goes_on = self.shared.greeting.confirm(&*self.shared.engine).await;
                    (ticket, goes_on.map(|()| seen))
                }
                other => other,
            };
            match seen {
                (ticket, Ok(seen)) => {
                    let state = seen.state;
                    self.shared.cache.put(ticket, seen);
                    return Look::Seen(state);
                }
                (ticket, Err(error)) if error.kind == ErrorKind::NotFound => {
                    self.shared.cache.gone(ticket, id);
                    return Look::Gone;
                }
                (_, Err(error)) => {
                    if error.kind == ErrorKind::Unreachable {
                        self.shared.link.suspect();
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    async fn create_volume(&self, order: &Order, volume: &str) -> EngineResult<Effect> {
        let context = self.shared.context(order.seq)?;
        let bodies = translate::volume_bodies(&order.spec, &order.record, &context);
        let kind = order.spec.volumes.iter().find(|spec| spec.name == volume);
        let kind = kind.map(|spec| &spec.kind);
        let Some(body) = bodies.get(volume) else {
            return match kind {
                Some(VolumeKind::FileSystem { id, .. }) => {
                    Err(unmapped(volume, id, &order.record.cluster))
                }
                _ => Ok(Effect::Nothing),
            };
        };
        let of_task = matches!(
            kind,
            Some(VolumeKind::Task { .. } | VolumeKind::FileSystem { .. })
        );
        let _permit = self.shared.gate.enter(Priority::Begin).await;
        if !self.shared.wants(self.task) {
            return Ok(Effect::Superseded);
        }
        // Before the call: an answer that is lost must not leave a volume that nobody removes.
        if of_task {
            self.shared.volumes.add(self.task, &body.name);
        }
        self.shared.engine.create_volume(body).await?;
        Ok(Effect::Nothing)
    }

    async fn find_volume(&self, volume: &str) -> EngineResult<()> {
        let found = self.shared.engine.inspect_volume(volume).await;
        found.map(|_| ()).map_err(|error| match error.kind {
            ErrorKind::NotFound => EngineError {
                message: format!(
                    "the shared volume {volume} does not exist, and autoprovision is not set"
                ),
                ..error
            },
            _ => error,
        })
    }

    async fn remove_volume(&self, volume: &str) -> EngineResult<()> {
        let _permit = self.shared.gate.enter(Priority::Finish).await;
        match self.shared.engine.remove_volume(volume).await {
            Err(error) if error.kind != ErrorKind::NotFound => Err(error),
            _ => {
                self.shared.volumes.remove(self.task, volume);
                Ok(())
            }
        }
    }

    async fn last_lines(&self, id: &str) -> EngineResult<Vec<String>> {
        let _turn = self.shared.reads.acquire().await;
        let options = LogOptions {
            tail: Some(LINES),
            ..LogOptions::default()
        };
        let read = async {
            let mut stream = self.shared.engine.logs(id, &options).await?;
            let mut bytes: Vec<u8> = Vec::new();
            while let Some(chunk) = stream.next().await {
                bytes.extend_from_slice(&chunk?.bytes);
                // The last bytes are the interesting ones.
                if bytes.len() > 2 * LOG_BYTES {
                    bytes.drain(..bytes.len() - LOG_BYTES);
                }
            }
            Ok(last_lines(&bytes))
        };
        match tokio::time::timeout(LOG_TIME, read).await {
            Ok(lines) => lines,
            Err(_) => Err(EngineError::new(
                "read logs of",
                id,
                ErrorKind::Unknown,
                "the engine did not answer in time",
            )),
        }
    }
}

/// A file system that its cluster does not know.
fn unmapped(volume: &str, id: &str, cluster: &ClusterName) -> EngineError {
    EngineError::new(
        "create volume",
        volume,
        ErrorKind::Invalid,
        format!(
            "cluster {cluster} does not say where file system {id} is: write `fileSystems: {{{id}: {{nfs: 'server:/path'}}}}` \
             in its manifest"
        ),
    )
}

/// The same failure without the engine's own words, where it is the engine that speaks.
fn withheld(error: EngineError) -> EngineError {
    match error.kind {
        ErrorKind::Unreachable | ErrorKind::PermissionDenied | ErrorKind::NotFound => error,
        _ => EngineError {
            message: WITHHELD.to_owned(),
            ..error
        },
    }
}

/// What was seen of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    Seen(ContainerState),
    Gone,
}

fn body(
    order: &Order,
    container: &str,
    context: &Context,
    additions: &Additions,
) -> EngineResult<CreateBody> {
    if container == PAUSE_CONTAINER {
        return Ok(translate::pause_body(&order.spec, &order.record, context));
    }
    match order.spec.container(container) {
        Some(spec) => Ok(translate::container_body(
            &order.spec,
            &order.record,
            spec,
            context,
            additions,
        )),
        None => Err(EngineError::new(
            "create container",
            container,
            ErrorKind::Invalid,
            "the task definition has no such container",
        )),
    }
}

fn as_created(id: String, name: String, body: CreateBody) -> ObservedContainer {
    ObservedContainer {
        id,
        name,
        image: body.image,
        image_id: String::new(),
        labels: body.labels,
        state: ContainerState::Created,
        exit_code: None,
        oom_killed: false,
        error: String::new(),
        created_at: None,
        started_at: None,
        finished_at: None,
        health: HealthStatus::Unknown,
        health_output: None,
        pid: 0,
        addresses: BTreeMap::new(),
        ports: Vec::new(),
        volumes: Vec::new(),
    }
}

fn last_lines(bytes: &[u8]) -> Vec<String> {
    let start = bytes.len().saturating_sub(LOG_BYTES);
    let text = String::from_utf8_lossy(&bytes[start..]);
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let first = lines.len().saturating_sub(LINES as usize);
    lines[first..]
        .iter()
        .map(|line| line.trim_end().chars().take(LINE_CHARS).collect())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_few_and_short() {
        let text: String = (0..50).map(|n| format!("line {n}\r\n\n")).collect();
        let lines = last_lines(text.as_bytes());
        assert_eq!(lines.len(), 20);
        assert_eq!(lines[19], "line 49");
        let long = last_lines("x".repeat(100_000).as_bytes());
        assert_eq!(long, ["x".repeat(LINE_CHARS)]);
        assert!(last_lines(b"").is_empty());
    }
}
