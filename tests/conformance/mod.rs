//! The cases, by subject, and what they share.

pub mod containers;
pub mod events;
pub mod health;
pub mod images;
pub mod networks;
pub mod output;
pub mod stdin;
pub mod volumes;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use longshore::clock::{SeededIds, TokioClock};
use longshore::engine::simulated::{RegistryAnswer, SimOptions, Simulated};
use longshore::engine::{
    ContainerState, CreateBody, Engine, EngineResult, EngineStream, ErrorKind, ExecOptions,
    ObservedContainer, OutputChunk, OutputStream,
};
use longshore::model::Timestamp;

use crate::common::{Namespace, ensure_busybox};

/// How long anything may take before the test gives up.
const PATIENCE: Duration = Duration::from_secs(90);

/// A registry where nobody listens.
pub const DEAD_REGISTRY: &str = "127.0.0.1:1/longshore-test/nothing:1";

/// A simulated engine with the image that tests run.
pub async fn simulated() -> Arc<Simulated> {
    let engine = Simulated::new(
        TokioClock::starting_at(Timestamp::from_millis(1_800_000_000_000)),
        SeededIds::new(7),
        SimOptions::default(),
    );
    engine.set_registry(DEAD_REGISTRY, RegistryAnswer::Unavailable);
    ensure_busybox(&*engine).await;
    engine
}

/// Awaits, but not for ever.
pub async fn patiently<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: nothing within {PATIENCE:?}"),
    }
}

/// The kind of a failure.
#[track_caller]
pub fn kind<T: Debug>(result: EngineResult<T>) -> ErrorKind {
    match result {
        Ok(value) => panic!("succeeded with {value:?}"),
        Err(error) => error.kind,
    }
}

/// Creates a container and starts it.
pub async fn started(engine: &dyn Engine, name: &str, body: &CreateBody) -> String {
    let id = engine.create_container(name, body).await.expect("created");
    engine.start_container(&id).await.expect("started");
    id
}

/// A container of this test that runs this command.
pub async fn running(engine: &dyn Engine, ns: &Namespace, name: &str, cmd: &[&str]) -> String {
    started(engine, &ns.name(name), &ns.body(cmd)).await
}

/// Waits, by the engine's events, until a container looks like that.
pub async fn until(
    engine: &dyn Engine,
    id: &str,
    what: &str,
    mut holds: impl FnMut(&ObservedContainer) -> bool,
) -> ObservedContainer {
    let mut last = None;
    let waiting = async {
        let mut events = engine.events(None).await.expect("events");
        loop {
            let seen = engine.inspect_container(id).await.expect("it exists");
            if holds(&seen) {
                return seen;
            }
            last = Some(seen);
            while let Some(event) = events.next().await {
                if event.expect("an event").id == id {
                    break;
                }
            }
        }
    };
    match tokio::time::timeout(PATIENCE, waiting).await {
        Ok(seen) => seen,
        Err(_) => panic!("{what}: not within {PATIENCE:?}; last seen {last:?}"),
    }
}

/// Waits until it has ended.
pub async fn ended(engine: &dyn Engine, id: &str) -> ObservedContainer {
    until(engine, id, "ended", |seen| {
        seen.state == ContainerState::Exited
    })
    .await
}

/// Waits until there is no such container.
pub async fn gone(engine: &dyn Engine, id: &str) {
    patiently("gone", async {
        let mut events = engine.events(None).await.expect("events");
        while engine.inspect_container(id).await.is_ok() {
            while let Some(event) = events.next().await {
                if event.expect("an event").id == id {
                    break;
                }
            }
        }
    })
    .await;
}

/// All that was written to standard output and to standard error.
pub async fn read(mut stream: EngineStream<OutputChunk>) -> (String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    patiently("output", async {
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.expect("output");
            match chunk.stream {
                OutputStream::Stdout => out.extend_from_slice(&chunk.bytes),
                OutputStream::Stderr => err.extend_from_slice(&chunk.bytes),
            }
        }
    })
    .await;
    (
        String::from_utf8_lossy(&out).into_owned(),
        String::from_utf8_lossy(&err).into_owned(),
    )
}

/// Runs a command to its end: its exit code and what it wrote.
pub async fn exec(engine: &dyn Engine, id: &str, command: &[&str]) -> (i64, String, String) {
    let options = ExecOptions {
        command: command.iter().map(|word| (*word).to_owned()).collect(),
        ..ExecOptions::default()
    };
    let session = engine.exec(id, &options).await.expect("a session");
    let (out, err) = read(session.output).await;
    let code = exit_code(engine, &session.id).await;
    (code, out, err)
}

/// The exit code of a command whose output has ended: the engine may write it down a moment later.
pub async fn exit_code(engine: &dyn Engine, exec: &str) -> i64 {
    patiently("an exit code", async {
        loop {
            if let Some(code) = engine.exec_exit_code(exec).await.expect("it is known") {
                return code;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}
