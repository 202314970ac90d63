//! The trait, call by call.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::io::AsyncWrite;
use tokio::sync::watch;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_util::sync::CancellationToken;

use super::faults::Operation;
use super::history::Cause;
use super::state::Refusal;
use super::{Call, Shared, Simulated};
use crate::engine::{
    Attachment, CreateBody, Engine, EngineEvent, EngineInfo, EngineResult, EngineRun, EngineStream,
    ErrorKind, ExecOptions, ExecSession, ImageInfo, LabelFilter, ListedImage, LogOptions,
    NetworkBody, ObservedContainer, ObservedNetwork, ObservedVolume, OutputChunk, PullProgress,
    RegistryAuth, VolumeBody,
};
use crate::model::Timestamp;

/// How often a pull tells how far it is.
const PULL_STEPS: u32 = 4;
/// Bytes of a pulled image.
const PULL_SIZE: u64 = 4 << 20;

#[async_trait]
impl Engine for Simulated {
    async fn info(&self) -> EngineResult<EngineInfo> {
        self.read(Operation::Info, "", |state| {
            let options = &state.options;
            Ok(EngineInfo {
                id: options.id.clone(),
                name: options.name.clone(),
                version: "20.10.24 (simulated)".to_owned(),
                api_version: "1.41".to_owned(),
                api_range: ("1.41".to_owned(), "1.12".to_owned()),
                architecture: options.architecture.clone(),
                os: "linux".to_owned(),
                cpus: options.cpus,
                memory: options.memory,
                cgroup_version: 2,
                cgroup_driver: "systemd".to_owned(),
                logging_driver: "json-file".to_owned(),
                log_drivers: ["json-file", "local", "none"].map(str::to_owned).to_vec(),
                security_options: vec!["name=seccomp,profile=default".to_owned()],
                root_dir: "/var/lib/docker".to_owned(),
                warnings: Vec::new(),
                clock: None,
                is_here: false,
            })
        })
        .await
    }

    async fn greet(&self) -> EngineResult<EngineRun> {
        self.read(Operation::Greet, "", |state| {
            Ok(EngineRun {
                began: Some(state.began),
            })
        })
        .await
    }

    async fn list_containers(&self, labels: &LabelFilter) -> EngineResult<Vec<ObservedContainer>> {
        self.read(Operation::ListContainers, "", |state| {
            Ok(state.list_containers(labels))
        })
        .await
    }

    async fn inspect_container(&self, id: &str) -> EngineResult<ObservedContainer> {
        self.read(Operation::InspectContainer, id, |state| {
            state.inspect_container(id)
        })
        .await
    }

    async fn create_container(&self, name: &str, body: &CreateBody) -> EngineResult<String> {
        let (owned, body) = (name.to_owned(), body.clone());
        self.change(Operation::CreateContainer, name, move |state| {
            state.create_container(&owned, body)
        })
        .await
    }

    async fn start_container(&self, id: &str) -> EngineResult<()> {
        let owned = id.to_owned();
        self.change(Operation::StartContainer, id, move |state| {
            state.start_container(&owned)
        })
        .await
    }

    async fn stop_container(&self, id: &str, timeout: u32) -> EngineResult<()> {
        let owned = id.to_owned();
        self.change_then(
            Operation::StopContainer,
            id,
            move |state| state.terminate(&owned, Cause::Asked),
            move |shared, call, running| async move {
                let Some((id, ended)) = running else {
                    return Ok(());
                };
                stop(&shared, &call, &id, ended, timeout).await
            },
        )
        .await
    }

    async fn remove_container(&self, id: &str) -> EngineResult<()> {
        let owned = id.to_owned();
        self.change_then(
            Operation::RemoveContainer,
            id,
            move |state| state.begin_removal(&owned, Cause::Asked),
            |_, call, mut gone| async move {
                loop {
                    tokio::select! {
                        biased;
                        () = call.generation.cancelled() => return Err(call.cut()),
                        more = gone.changed() => if more.is_err() {
                            return Ok(());
                        },
                    }
                }
            },
        )
        .await
    }

    async fn image(&self, reference: &str) -> EngineResult<Option<ImageInfo>> {
        self.read(Operation::InspectImage, reference, |state| {
            Ok(state.image_info(reference))
        })
        .await
    }

    async fn list_images(&self) -> EngineResult<Vec<ListedImage>> {
        self.read(Operation::ListImages, "", |state| Ok(state.list_images()))
            .await
    }

    async fn pull_image(
        &self,
        reference: &str,
        platform: Option<&str>,
        _auth: Option<&RegistryAuth>,
        progress: &(dyn Fn(PullProgress) + Send + Sync),
    ) -> EngineResult<()> {
        let call = Call::arrive(&self.shared, Operation::PullImage, reference)?;
        call.wait(self.with(|state| state.options.read_time))
            .await?;
        let time = call.answer(self.with(|state| {
            let architecture = platform.and_then(|platform| platform.split('/').nth(1));
            if architecture.is_some_and(|wanted| wanted != state.options.architecture) {
                return Err(Refusal::new(
                    ErrorKind::NoPlatform,
                    format!(
                        "no matching manifest for {} in the manifest list entries",
                        platform.unwrap_or_default()
                    ),
                ));
            }
            state.ask_registry(reference)
        }))?;
        for step in 0..=PULL_STEPS {
            progress(PullProgress {
                current: PULL_SIZE * u64::from(step) / u64::from(PULL_STEPS),
                total: PULL_SIZE,
                status: if step == PULL_STEPS {
                    "Pull complete".to_owned()
                } else {
                    "Downloading".to_owned()
                },
            });
            if step < PULL_STEPS {
                tokio::select! {
                    biased;
                    () = call.generation.cancelled() => return Err(call.cut()),
                    () = tokio::time::sleep(time / PULL_STEPS) => {}
                }
            }
        }
        self.with(|state| state.pulled(reference));
        call.reply(&self.shared, Ok(())).await
    }

    async fn upload(&self, id: &str, path: &str, archive: Bytes) -> EngineResult<()> {
        let (owned, path) = (id.to_owned(), path.to_owned());
        self.change(Operation::Upload, id, move |state| {
            state.upload(&owned, &path, &archive)
        })
        .await
    }

    async fn import_image(
        &self,
        reference: &str,
        rootfs: Bytes,
        changes: &[String],
    ) -> EngineResult<()> {
        let (owned, changes) = (reference.to_owned(), changes.to_vec());
        self.change(Operation::ImportImage, reference, move |state| {
            state.import_image(&owned, &rootfs, &changes)
        })
        .await
    }

    async fn remove_image(&self, reference: &str) -> EngineResult<()> {
        let owned = reference.to_owned();
        self.change(Operation::RemoveImage, reference, move |state| {
            state.remove_image(&owned)
        })
        .await
    }

    async fn list_networks(&self, labels: &LabelFilter) -> EngineResult<Vec<ObservedNetwork>> {
        self.read(Operation::ListNetworks, "", |state| {
            Ok(state.list_networks(labels))
        })
        .await
    }

    async fn create_network(&self, body: &NetworkBody) -> EngineResult<String> {
        let owned = body.clone();
        self.change(Operation::CreateNetwork, &body.name, move |state| {
            state.create_network(&owned)
        })
        .await
    }

    async fn remove_network(&self, id: &str) -> EngineResult<()> {
        let owned = id.to_owned();
        self.change(Operation::RemoveNetwork, id, move |state| {
            state.remove_network(&owned)
        })
        .await
    }

    async fn list_volumes(&self, labels: &LabelFilter) -> EngineResult<Vec<ObservedVolume>> {
        self.read(Operation::ListVolumes, "", |state| {
            Ok(state.list_volumes(labels))
        })
        .await
    }

    async fn inspect_volume(&self, name: &str) -> EngineResult<ObservedVolume> {
        self.read(Operation::InspectVolume, name, |state| {
            state.inspect_volume(name)
        })
        .await
    }

    async fn create_volume(&self, body: &VolumeBody) -> EngineResult<()> {
        let owned = body.clone();
        self.change(Operation::CreateVolume, &body.name, move |state| {
            state.create_volume(&owned)
        })
        .await
    }

    async fn remove_volume(&self, name: &str) -> EngineResult<()> {
        let owned = name.to_owned();
        self.change(Operation::RemoveVolume, name, move |state| {
            state.remove_volume(&owned)
        })
        .await
    }

    async fn events(&self, since: Option<Timestamp>) -> EngineResult<EngineStream<EngineEvent>> {
        self.read(Operation::Events, "", |state| {
            let receiver = state.events.subscribe(since);
            Ok(Box::pin(UnboundedReceiverStream::new(receiver)) as EngineStream<EngineEvent>)
        })
        .await
    }

    async fn logs(
        &self,
        id: &str,
        options: &LogOptions,
    ) -> EngineResult<EngineStream<OutputChunk>> {
        self.read(Operation::Logs, id, |state| {
            let receiver = state.logs(id, options)?;
            Ok(Box::pin(UnboundedReceiverStream::new(receiver)) as EngineStream<OutputChunk>)
        })
        .await
    }

    async fn stats(&self, id: &str) -> EngineResult<serde_json::Value> {
        self.read(Operation::Stats, id, |state| state.stats(id))
            .await
    }

    async fn exec(&self, id: &str, options: &ExecOptions) -> EngineResult<ExecSession> {
        let shared = Arc::downgrade(&self.shared);
        self.read(Operation::Exec, id, |state| {
            let (exec, receiver) = state.exec(id, options)?;
            Ok(ExecSession {
                id: exec.clone(),
                input: Box::pin(ExecInput { shared, exec }),
                output: Box::pin(UnboundedReceiverStream::new(receiver)),
            })
        })
        .await
    }

    async fn exec_exit_code(&self, exec: &str) -> EngineResult<Option<i64>> {
        self.read(Operation::InspectExec, exec, |state| {
            state.exec_exit_code(exec)
        })
        .await
    }

    async fn exec_resize(&self, exec: &str, _size: (u16, u16)) -> EngineResult<()> {
        self.read(Operation::ResizeExec, exec, |state| {
            match state.exec_exit_code(exec)? {
                None => Ok(()),
                Some(_) => Err(Refusal::new(ErrorKind::NotFound, "no such exec")),
            }
        })
        .await
    }

    async fn attach_stdin(&self, id: &str) -> EngineResult<Box<dyn Attachment>> {
        let shared = Arc::downgrade(&self.shared);
        self.read(Operation::Attach, id, |state| {
            let generation = state.generation.clone();
            let container = state.container(id)?;
            let ended = container.ended.subscribe();
            let ends = *ended.borrow();
            Ok(Box::new(Held {
                shared,
                container: container.id.clone(),
                ends,
                ended,
                generation,
            }) as Box<dyn Attachment>)
        })
        .await
    }
}

/// Waits for the end after SIGTERM, and kills at the timeout.
async fn stop(
    shared: &Arc<Shared>,
    call: &Call,
    id: &str,
    mut ended: watch::Receiver<u64>,
    timeout: u32,
) -> EngineResult<()> {
    tokio::select! {
        biased;
        () = call.generation.cancelled() => return Err(call.cut()),
        _ = ended.changed() => {}
        () = tokio::time::sleep(Duration::from_secs(u64::from(timeout))) => {
            shared.with(|state| state.kill(id, 137, Cause::Asked));
        }
    }
    shared.with(|state| state.emit_container(id, "stop", &[]));
    Ok(())
}

/// A command's standard input.
struct ExecInput {
    shared: Weak<Shared>,
    exec: String,
}

impl ExecInput {
    fn send(&self, bytes: Option<&[u8]>) {
        if let Some(shared) = self.shared.upgrade() {
            shared.with(|state| state.exec_input(&self.exec, bytes));
        }
    }
}

impl AsyncWrite for ExecInput {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.send(Some(bytes));
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.send(None);
        Poll::Ready(Ok(()))
    }
}

impl Drop for ExecInput {
    fn drop(&mut self) {
        self.send(None);
    }
}

/// An attachment that is held.
struct Held {
    shared: Weak<Shared>,
    container: String,
    /// Ends of the container when it was made.
    ends: u64,
    ended: watch::Receiver<u64>,
    generation: CancellationToken,
}

#[async_trait]
impl Attachment for Held {
    async fn ended(&mut self) {
        tokio::select! {
            biased;
            () = self.generation.cancelled() => {}
            _ = self.ended.changed() => {}
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.with(|state| state.detach(&self.container, self.ends));
        }
    }
}
