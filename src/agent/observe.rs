//! Watching an engine: everything is listed, then its events say where to look. After any gap everything is listed again, and
//! once a minute besides, because a stream can fall silent without an error. Whether it answers at all is asked more often: a
//! connection whose other end is cut off says nothing for a long time.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::{Instant, sleep_until};

use super::cache::{Reaction, identity};
use super::register;
use super::shared::Shared;
use crate::engine::translate::ours;
use crate::engine::{EngineError, EngineEvent, EngineInfo, EngineResult, ErrorKind};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// How a session ended.
enum End {
    /// The engine does not answer.
    Away(EngineError),
    /// It answers, and the stream of its events ended or something could not be read.
    Gap(Option<EngineError>),
}

/// Watches for ever.
pub(super) async fn observe(shared: Arc<Shared>) {
    let mut pause = FIRST_PAUSE;
    loop {
        let before = shared.link.session();
        match session(&shared).await {
            End::Away(error) => {
                if shared.link.down(&error.message) {
                    tracing::warn!(instance = %shared.config.instance.name, %error, "the engine does not answer");
                    register::write(&shared, false);
                }
            }
            End::Gap(error) => {
                tracing::debug!(
                    ?error,
                    "the engine's events have a gap; everything is listed again"
                );
            }
        }
        if shared.link.session() != before {
            pause = FIRST_PAUSE;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn session(shared: &Arc<Shared>) -> End {
    let info = match shared.engine.info().await {
        Ok(info) => info,
        Err(error) => return End::Away(error),
    };
    if let Err(error) = shared.greeting.begin(&*shared.engine).await {
        return match error.kind {
            ErrorKind::Unreachable => End::Away(error),
            _ => End::Gap(Some(error)),
        };
    }
    shared.link.answered(shared.clock.now());
    // The stream first: what happens while the list is made is in it.
    let mut events = match shared.engine.events(None).await {
        Ok(events) => events,
        Err(error) => return End::Gap(Some(error)),
    };
    shared.images.forget();
    shared.surroundings.pause_image.forget();
    // Beside the events: what happens to a container while a list is made is looked at for itself, and that look counts.
    let mut listing = Some(list(shared).boxed());
    let mut answered = Some(info);
    let mut again = tokio::time::interval(shared.config.tuning.relist);
    again.reset();
    let mut asked_at = Instant::now();
    let mut beat = None;
    loop {
        // Looked up each time: a cluster's own figure is known only once its manifest was taken.
        let (every, patience) = heartbeat(shared.cluster().instance_lost_after);
        tokio::select! {
            biased;
            answered = maybe(&mut beat) => {
                beat = None;
                match answered {
                    Ok(()) => shared.link.answered(shared.clock.now()),
                    Err(error) => return End::Away(error),
                }
            }
            () = sleep_until(asked_at + every), if beat.is_none() => {
                asked_at = Instant::now();
                beat = Some(ask(shared, patience).boxed());
            }
            listed = maybe(&mut listing) => {
                listing = None;
                if let Err(error) = listed {
                    return End::Gap(Some(error));
                }
                if let Some(info) = answered.take() {
                    come_up(shared, info);
                    shared.begin_settling();
                }
                shared.wake_all();
            }
            _ = again.tick(), if listing.is_none() => listing = Some(list(shared).boxed()),
            () = shared.link.suspected() => {
                if let Err(error) = shared.engine.info().await {
                    return End::Away(error);
                }
            }
            event = events.next() => match event {
                Some(Ok(event)) => handle(shared, &event),
                Some(Err(error)) => return End::Gap(Some(error)),
                None => return End::Gap(None),
            },
        }
    }
}

/// How often an engine is asked whether it answers, and how long it may take to: so that an instance is known to be away well
/// before it counts as vanished.
fn heartbeat(lost_after: u32) -> (Duration, Duration) {
    let part =
        |of: u32, most: u32| Duration::from_secs(u64::from((lost_after / of).clamp(2, most)));
    (part(6, 10), part(3, 20))
}

/// Asks whether the engine answers. What it says does not matter.
async fn ask(shared: &Shared, patience: Duration) -> EngineResult<()> {
    match tokio::time::timeout(patience, shared.engine.info()).await {
        Ok(Err(error)) if error.kind == ErrorKind::Unreachable => Err(error),
        Ok(_) => Ok(()),
        Err(_) => Err(EngineError::new(
            "reach",
            shared.config.instance.name.as_str(),
            ErrorKind::Unreachable,
            format!("it has not answered within {} seconds", patience.as_secs()),
        )),
    }
}

/// What is being waited for, if anything is.
async fn maybe<T>(work: &mut Option<BoxFuture<'_, T>>) -> T {
    match work {
        Some(work) => work.await,
        None => std::future::pending().await,
    }
}

fn come_up(shared: &Shared, info: EngineInfo) {
    if shared.config.tuning.changing_calls.is_none() {
        shared.gate.resize(changing_calls(info.cpus));
    }
    // Now, and not at the first start: groups that an earlier process made are this one's to remove.
    shared.cgroups.manager(&info);
    let back = !shared.link.is_up();
    shared.link.up(info);
    if back {
        tracing::info!(instance = %shared.config.instance.name, "the engine answers");
    }
    register::write(shared, true);
}

/// Changing calls at once. Measured with 2 CPUs: 8 are as fast as any number, fewer leave the engine idle (design §8).
fn changing_calls(cpus: u32) -> usize {
    usize::try_from(cpus)
        .unwrap_or(1)
        .saturating_mul(4)
        .clamp(4, 32)
}

/// Lists containers and volumes of this instance, and looks for the network.
async fn list(shared: &Shared) -> EngineResult<()> {
    let config = &shared.config;
    let filter = ours(&config.cluster, &config.owner, &config.instance.name);
    let ticket = shared.cache.ticket();
    let listed = shared.engine.list_containers(&filter).await?;
    if listed.iter().any(|seen| shared.cache.is_new_end(seen)) {
        shared.greeting.confirm(&*shared.engine).await?;
    }
    let missing = shared.cache.list(ticket, listed);
    let mut looks: FuturesUnordered<_> = missing.iter().map(|id| inspect(shared, id)).collect();
    while let Some(looked) = looks.next().await {
        looked?;
    }
    shared
        .volumes
        .list(&shared.engine.list_volumes(&filter).await?);
    shared.surroundings.look_for_network().await
}

/// Looks at one container and remembers what it sees, also that it is gone.
async fn inspect(shared: &Shared, id: &str) -> EngineResult<()> {
    let (ticket, seen) = {
        let _turn = shared.reads.acquire().await;
        let ticket = shared.cache.ticket();
        (ticket, shared.engine.inspect_container(id).await)
    };
    let task = match seen {
        Ok(seen) => {
            if shared.cache.is_new_end(&seen) {
                shared.greeting.confirm(&*shared.engine).await?;
            }
            shared.cache.put(ticket, seen)
        }
        Err(error) if error.kind == ErrorKind::NotFound => shared.cache.gone(ticket, id),
        Err(error) => return Err(error),
    };
    if let Some(task) = task {
        shared.wake(task);
    }
    Ok(())
}

fn handle(shared: &Arc<Shared>, event: &EngineEvent) {
    match event.kind.as_str() {
        "container" => container_event(shared, event),
        "image"
            if matches!(
                event.action.as_str(),
                "delete" | "untag" | "tag" | "import" | "load" | "pull"
            ) =>
        {
            shared.images.forget();
        }
        "network" if event.action == "destroy" => {
            let ours = shared.surroundings.network_name();
            if event
                .attributes
                .get("name")
                .is_some_and(|name| *name == ours)
            {
                shared.surroundings.network.forget();
            }
        }
        _ => {}
    }
}

fn container_event(shared: &Arc<Shared>, event: &EngineEvent) {
    // Each run of a health check is three of these.
    if event.action.starts_with("exec_") || !is_news(&event.action) {
        return;
    }
    let config = &shared.config;
    let mine = ours(&config.cluster, &config.owner, &config.instance.name)
        .iter()
        .all(|(name, value)| event.attributes.get(name) == Some(value));
    let Some((task, container)) = identity(&event.attributes).filter(|_| mine) else {
        return;
    };
    if shared.cache.react(event, &task, container) == Reaction::Nothing {
        return;
    }
    let (shared, id) = (Arc::clone(shared), event.id.clone());
    tokio::spawn(async move {
        let mut pause = FIRST_PAUSE;
        loop {
            match inspect(&shared, &id).await {
                Ok(()) if shared.cache.inspected(&id) => pause = FIRST_PAUSE,
                Ok(()) => break,
                Err(error) => {
                    tracing::debug!(%error, "a container could not be looked at; it is tried again");
                    shared.link.suspect();
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
        // Also where a later read was faster: until now nothing was decided about it.
        shared.wake(task);
    });
}

/// Whether an event of that action can change what is known of a container.
fn is_news(action: &str) -> bool {
    let action = action.split_once(':').map_or(action, |(action, _)| action);
    matches!(
        action,
        "create"
            | "start"
            | "die"
            | "destroy"
            | "oom"
            | "pause"
            | "unpause"
            | "rename"
            | "restart"
            | "health_status"
    )
}
