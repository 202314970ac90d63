//! A Docker Engine, API 1.41 and newer, by way of bollard. Nothing outside this module names bollard.
//!
//! [`DockerEngine`] makes each method of [`Engine`] one request (or a list and its reads). Under it, `client` agrees on
//! the API version and keeps to time limits, `transport` and `dial` carry requests, `errors` names what went wrong, and
//! `request`, `observe`, `pull` and `streams` convert. Nothing here retries, polls or logs.

use async_trait::async_trait;
use bollard::query_parameters as query;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio_util::io::ReaderStream;

use super::endpoint::Endpoint;
use super::reference::Reference;
use super::{
    Attachment, CreateBody, Engine, EngineError, EngineEvent, EngineInfo, EngineResult, EngineRun,
    EngineStream, ErrorKind, ExecOptions, ExecSession, ImageInfo, LabelFilter, ListedImage,
    LogOptions, NetworkBody, ObservedContainer, ObservedNetwork, ObservedVolume, OutputChunk,
    PullProgress, RegistryAuth, VolumeBody,
};
use crate::model::Timestamp;

mod client;
mod dial;
mod errors;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod observe;
mod pull;
mod request;
mod streams;
mod tls;
mod transport;
mod version;

use client::{Client, Raw, What};
pub use client::{Limits, Options};
use errors::Asked;
use streams::Framing;

// bollard writes request bodies, secrets among them, to `log` at debug. The feature `max_level_info` compiles that out (P9).
const _: () = assert!(log::STATIC_MAX_LEVEL as usize <= log::LevelFilter::Info as usize);

/// How many containers of a list are read at once.
const INSPECTIONS: usize = 8;

/// A Docker Engine. See the [module's documentation](self).
#[derive(Debug)]
pub struct DockerEngine {
    client: Client,
    place: String,
    /// Whether it is reached over a socket of this host.
    by_socket: bool,
}

impl DockerEngine {
    /// Connects to an engine and agrees on an API version with it.
    ///
    /// An engine that is upgraded later is asked again by itself.
    ///
    /// # Errors
    /// `Unreachable` and `PermissionDenied` for an engine that does not answer, `Unsupported` for one whose API versions
    /// are not ours, `Invalid` for TLS files that cannot be used.
    pub async fn connect(endpoint: &Endpoint, options: impl Into<Options>) -> EngineResult<Self> {
        let client = Client::new(endpoint, options.into())?;
        client.agree().await?;
        Ok(Self {
            client,
            place: endpoint.to_string(),
            by_socket: matches!(endpoint, Endpoint::Unix(_)),
        })
    }

    /// Makes the request for a container, a network or another thing that has a name.
    async fn inspect(&self, what: What<'_>, id: &str) -> EngineResult<ObservedContainer> {
        let answer = self
            .client
            .call(what, self.client.limits.read, |docker| {
                docker.inspect_container(id, None)
            })
            .await?;
        Ok(observe::container(answer))
    }

    /// The engine's own clock, from which "from now on" is counted: its answer to `/events` begins before it listens.
    async fn now(&self) -> EngineResult<Option<Timestamp>> {
        let what = What::new("read the clock of", &self.place);
        let info = self
            .client
            .call(what, self.client.limits.read, |docker| docker.info())
            .await?;
        Ok(info
            .system_time
            .as_deref()
            .and_then(Timestamp::parse_rfc3339))
    }

    /// Pulls `image`, which has a tag or a digest, and tells how far that is.
    async fn pull(
        &self,
        what: What<'_>,
        options: query::CreateImageOptions,
        auth: Option<&RegistryAuth>,
        progress: &(dyn Fn(PullProgress) + Send + Sync),
    ) -> EngineResult<()> {
        let silence = self.client.limits.pull_silence;
        let silent = || errors::pull_stalled(what.target, "the pull made no progress", silence);
        let (lines, first) = self
            .client
            .call(what, self.client.limits.pull, |docker| async move {
                let mut lines =
                    docker.create_image(Some(options), None, auth.map(request::credentials));
                let first = match tokio::time::timeout(silence, lines.next()).await {
                    Ok(line) => Some(line.transpose()?),
                    Err(_) => None,
                };
                Ok((lines, first))
            })
            .await?;
        let mut lines = Box::pin(lines);
        let mut meter = pull::PullMeter::default();
        let mut line = first.ok_or_else(silent)?;
        while let Some(told) = line {
            progress(meter.take(&told));
            line = tokio::time::timeout(silence, lines.next())
                .await
                .map_err(|_| silent())?
                .transpose()
                .map_err(|error| what.failed(&error))?;
        }
        Ok(())
    }

    /// Opens a raw connection to a container or a command.
    async fn hijack(&self, what: What<'_>, raw: Raw<'_>) -> EngineResult<streams::Connection> {
        let limit = self.client.limits.read;
        let response = self.client.raw(what, limit, raw.upgraded()).await?;
        let upgraded = tokio::time::timeout(limit, hyper::upgrade::on(response))
            .await
            .map_err(|_| errors::timed_out(what.operation, what.target, limit))?;
        upgraded.map(TokioIo::new).map_err(|error| {
            EngineError::new(
                what.operation,
                what.target,
                ErrorKind::Unknown,
                format!("the engine did not hand the connection over: {error}"),
            )
        })
    }
}

/// Whether the engine behind a socket runs on this host and sees the same files. A socket can be forwarded from elsewhere, or
/// be mounted into the container that Longshore runs in: then its host's name or its data directory is not to be seen here.
fn shares_this_host(info: &EngineInfo) -> bool {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname");
    name.is_ok_and(|name| name.trim() == info.name) && std::path::Path::new(&info.root_dir).is_dir()
}

#[async_trait]
impl Engine for DockerEngine {
    async fn info(&self) -> EngineResult<EngineInfo> {
        let what = What::new("describe", &self.place);
        let version = self.client.agree().await;
        let version = self.client.notice(version)?;
        let info = self
            .client
            .call(what, self.client.limits.read, |docker| docker.info())
            .await?;
        let agreed = self.client.agreement();
        let (in_use, range) = agreed.map_or_else(Default::default, |agreed| {
            (agreed.version.to_string(), (agreed.newest, agreed.oldest))
        });
        let mut info = observe::info(info, &version, in_use, range);
        info.is_here = self.by_socket && shares_this_host(&info);
        Ok(info)
    }

    async fn greet(&self) -> EngineResult<EngineRun> {
        let what = What::new("greet", &self.place);
        let limit = self.client.limits.read;
        // Each run makes this network anew, unless containers outlived the one before.
        let raw = Raw::get("/networks/bridge").anew();
        let read = async {
            match self.client.raw(what, limit, raw).await {
                Ok(response) => {
                    let body = response.into_body().collect().await;
                    let body = body.map_err(|error| what.failed(&error.into()))?;
                    Ok(observe::run(&body.to_bytes()))
                }
                // It was started without.
                Err(error) if error.kind == ErrorKind::NotFound => Ok(EngineRun::default()),
                Err(error) => Err(error),
            }
        };
        tokio::time::timeout(limit, read)
            .await
            .unwrap_or_else(|_| Err(errors::timed_out(what.operation, what.target, limit)))
    }

    async fn list_containers(&self, labels: &LabelFilter) -> EngineResult<Vec<ObservedContainer>> {
        let what = What::new("list containers of", &self.place);
        let options = query::ListContainersOptions {
            all: true,
            filters: Some(request::label_filters(labels)),
            ..Default::default()
        };
        let listed = self
            .client
            .call(what, self.client.limits.list, |docker| {
                docker.list_containers(Some(options))
            })
            .await?;
        let ids: Vec<String> = listed.into_iter().filter_map(|one| one.id).collect();
        let inspected = futures_util::stream::iter(ids)
            .map(|id| async move { self.inspect_container(&id).await })
            .buffered(INSPECTIONS)
            .filter_map(|read| async move {
                match read {
                    // It was removed after the list was made.
                    Err(error) if error.kind == ErrorKind::NotFound => None,
                    other => Some(other),
                }
            });
        inspected.try_collect().await
    }

    async fn inspect_container(&self, id: &str) -> EngineResult<ObservedContainer> {
        let what = What::new("inspect container", id);
        what.check()?;
        self.inspect(what, id).await
    }

    async fn create_container(&self, name: &str, body: &CreateBody) -> EngineResult<String> {
        let what = What::new("create container", name).asking(Asked::Create);
        what.check()?;
        let body = request::create_body(body).map_err(|problem| {
            EngineError::new(what.operation, name, ErrorKind::Invalid, problem)
        })?;
        let options = query::CreateContainerOptions {
            name: Some(name.to_owned()),
            ..Default::default()
        };
        let created = self
            .client
            .call(what, self.client.limits.create, |docker| {
                docker.create_container(Some(options), body)
            })
            .await?;
        Ok(created.id)
    }

    async fn start_container(&self, id: &str) -> EngineResult<()> {
        let what = What::new("start container", id).asking(Asked::Start);
        what.check()?;
        self.client
            .call(what, self.client.limits.start, |docker| {
                docker.start_container(id, None)
            })
            .await
    }

    async fn stop_container(&self, id: &str, timeout: u32) -> EngineResult<()> {
        let what = What::new("stop container", id);
        what.check()?;
        let options = query::StopContainerOptions {
            t: Some(i32::try_from(timeout).unwrap_or(i32::MAX)),
            ..Default::default()
        };
        let grace = std::time::Duration::from_secs(u64::from(timeout));
        self.client
            .call(what, self.client.limits.stop + grace, |docker| {
                docker.stop_container(id, Some(options))
            })
            .await
    }

    async fn remove_container(&self, id: &str) -> EngineResult<()> {
        let what = What::new("remove container", id);
        what.check()?;
        let options = query::RemoveContainerOptions {
            v: true,
            force: true,
            ..Default::default()
        };
        let removed = self
            .client
            .call(what, self.client.limits.change, |docker| {
                docker.remove_container(id, Some(options))
            })
            .await;
        match removed {
            Err(error)
                if error.kind == ErrorKind::Conflict && error.message.contains("in progress") =>
            {
                // Somebody else's removal, or the engine's own: it is done once theirs is.
                let options = query::WaitContainerOptions {
                    condition: "removed".to_owned(),
                };
                let waited = self
                    .client
                    .call(what, self.client.limits.change, |docker| async move {
                        let mut answers = docker.wait_container(id, Some(options));
                        while let Some(answer) = answers.next().await {
                            match answer {
                                // The exit code of what is removed is nobody's concern here.
                                Ok(_)
                                | Err(bollard::errors::Error::DockerContainerWaitError {
                                    ..
                                }) => {}
                                Err(error) => return Err(error),
                            }
                        }
                        Ok(())
                    })
                    .await;
                match waited {
                    Err(error) if error.kind == ErrorKind::NotFound => Ok(()),
                    other => other,
                }
            }
            other => other,
        }
    }

    async fn image(&self, reference: &str) -> EngineResult<Option<ImageInfo>> {
        let what = What::new("inspect image", reference);
        what.check()?;
        let answer = self
            .client
            .call(what, self.client.limits.read, |docker| {
                docker.inspect_image(reference)
            })
            .await;
        match answer {
            Ok(image) => Ok(Some(observe::image(image))),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn list_images(&self) -> EngineResult<Vec<ListedImage>> {
        let what = What::new("list images of", &self.place);
        let listed = self
            .client
            .call(what, self.client.limits.list, |docker| {
                docker.list_images(None::<query::ListImagesOptions>)
            })
            .await?;
        Ok(listed.into_iter().map(observe::listed_image).collect())
    }

    async fn pull_image(
        &self,
        reference: &str,
        platform: Option<&str>,
        auth: Option<&RegistryAuth>,
        progress: &(dyn Fn(PullProgress) + Send + Sync),
    ) -> EngineResult<()> {
        let what = What::new("pull image", reference).asking(Asked::Pull);
        let image = Reference::parse(reference)
            .map_err(|error| {
                EngineError::new(
                    what.operation,
                    reference,
                    ErrorKind::Invalid,
                    error.to_string(),
                )
            })?
            // Without a tag an engine would pull all of them.
            .with_default_tag();
        let options = query::CreateImageOptions {
            from_image: Some(image.to_string()),
            platform: platform.unwrap_or_default().to_owned(),
            ..Default::default()
        };
        let limit = self.client.limits.pull;
        tokio::time::timeout(limit, self.pull(what, options, auth, progress))
            .await
            .unwrap_or_else(|_| {
                Err(errors::pull_stalled(
                    reference,
                    "the pull was not done",
                    limit,
                ))
            })
    }

    async fn upload(&self, id: &str, path: &str, archive: Bytes) -> EngineResult<()> {
        let what = What::new("copy files into container", id);
        what.check()?;
        let options = query::UploadToContainerOptions {
            path: path.to_owned(),
            ..Default::default()
        };
        self.client
            .call(what, self.client.limits.create, |docker| async move {
                let body = bollard::body_full(archive);
                docker.upload_to_container(id, Some(options), body).await
            })
            .await
    }

    async fn import_image(
        &self,
        reference: &str,
        rootfs: Bytes,
        changes: &[String],
    ) -> EngineResult<()> {
        let what = What::new("import image", reference);
        let image = Reference::parse(reference)
            .map_err(|error| {
                EngineError::new(
                    what.operation,
                    reference,
                    ErrorKind::Invalid,
                    error.to_string(),
                )
            })?
            .with_default_tag();
        let options = query::CreateImageOptions {
            from_src: Some("-".to_owned()),
            repo: Some(image.familiar_name()),
            tag: image.tag,
            changes: changes.to_vec(),
            ..Default::default()
        };
        self.client
            .call(what, self.client.limits.import, |docker| async move {
                let body = bollard::body_full(rootfs);
                let mut lines = docker.create_image(Some(options), Some(body), None);
                while lines.try_next().await?.is_some() {}
                Ok(())
            })
            .await
    }

    async fn remove_image(&self, reference: &str) -> EngineResult<()> {
        let what = What::new("remove image", reference);
        what.check()?;
        self.client
            .call(what, self.client.limits.change, |docker| {
                docker.remove_image(reference, None::<query::RemoveImageOptions>, None)
            })
            .await
            .map(|_| ())
    }

    async fn list_networks(&self, labels: &LabelFilter) -> EngineResult<Vec<ObservedNetwork>> {
        let what = What::new("list networks of", &self.place);
        let options = query::ListNetworksOptions {
            filters: Some(request::label_filters(labels)),
        };
        let networks = self
            .client
            .call(what, self.client.limits.list, |docker| {
                docker.list_networks(Some(options))
            })
            .await?;
        Ok(networks.into_iter().map(observe::network).collect())
    }

    async fn create_network(&self, body: &NetworkBody) -> EngineResult<String> {
        #[derive(serde::Deserialize)]
        struct Created {
            #[serde(rename = "Id")]
            id: String,
        }
        let what = What::new("create network", &body.name).asking(Asked::Create);
        what.check()?;
        let limit = self.client.limits.change;
        let raw = Raw::post("/networks/create", Some(request::network_body(body)));
        let response = self.client.raw(what, limit, raw).await?;
        let read = tokio::time::timeout(limit, response.into_body().collect())
            .await
            .map_err(|_| errors::timed_out(what.operation, what.target, limit))?
            .map_err(|error| what.failed(&error.into()))?;
        serde_json::from_slice::<Created>(&read.to_bytes())
            .map(|created| created.id)
            .map_err(|error| what.failed(&error.into()))
    }

    async fn remove_network(&self, id: &str) -> EngineResult<()> {
        let what = What::new("remove network", id);
        what.check()?;
        self.client
            .call(what, self.client.limits.change, |docker| {
                docker.remove_network(id)
            })
            .await
    }

    async fn list_volumes(&self, labels: &LabelFilter) -> EngineResult<Vec<ObservedVolume>> {
        let what = What::new("list volumes of", &self.place);
        let options = query::ListVolumesOptions {
            filters: Some(request::label_filters(labels)),
        };
        let listed = self
            .client
            .call(what, self.client.limits.list, |docker| {
                docker.list_volumes(Some(options))
            })
            .await?;
        Ok(listed
            .volumes
            .unwrap_or_default()
            .into_iter()
            .map(observe::volume)
            .collect())
    }

    async fn inspect_volume(&self, name: &str) -> EngineResult<ObservedVolume> {
        let what = What::new("inspect volume", name);
        what.check()?;
        self.client
            .call(what, self.client.limits.read, |docker| {
                docker.inspect_volume(name)
            })
            .await
            .map(observe::volume)
    }

    async fn create_volume(&self, body: &VolumeBody) -> EngineResult<()> {
        let what = What::new("create volume", &body.name).asking(Asked::Create);
        what.check()?;
        self.client
            .call(what, self.client.limits.change, |docker| {
                docker.create_volume(request::volume_body(body))
            })
            .await
            .map(|_| ())
    }

    async fn remove_volume(&self, name: &str) -> EngineResult<()> {
        let what = What::new("remove volume", name);
        what.check()?;
        self.client
            .call(what, self.client.limits.change, |docker| {
                docker.remove_volume(name, None::<query::RemoveVolumeOptions>)
            })
            .await
    }

    async fn events(&self, since: Option<Timestamp>) -> EngineResult<EngineStream<EngineEvent>> {
        let since = match since {
            Some(at) => Some(at),
            None => self.now().await?,
        };
        let path = since.map_or_else(
            || "/events".to_owned(),
            |at| format!("/events?since={}", request::since(at)),
        );
        let what = What::new("read events of", &self.place);
        let response = self
            .client
            .raw(what, self.client.limits.read, Raw::get(&path))
            .await?;
        Ok(streams::events(
            &self.place,
            response.into_body().into_data_stream(),
        ))
    }

    async fn logs(
        &self,
        id: &str,
        options: &LogOptions,
    ) -> EngineResult<EngineStream<OutputChunk>> {
        let what = What::new("read logs of", id);
        what.check()?;
        let limit = self.client.limits.read;
        let inspected = self
            .client
            .call(what, limit, |docker| docker.inspect_container(id, None))
            .await?;
        let terminal = inspected.config.and_then(|config| config.tty) == Some(true);
        let framing = if terminal {
            Framing::Raw
        } else {
            Framing::Multiplexed
        };
        let path = request::logs_path(id, options);
        let response = self.client.raw(what, limit, Raw::get(&path)).await?;
        Ok(streams::output(
            what,
            response.into_body().into_data_stream(),
            framing,
        ))
    }

    async fn stats(&self, id: &str) -> EngineResult<serde_json::Value> {
        let what = What::new("read stats of", id);
        what.check()?;
        let limit = self.client.limits.read;
        let path = format!("/containers/{id}/stats?stream=false&one-shot=true");
        let response = self.client.raw(what, limit, Raw::get(&path)).await?;
        let read = tokio::time::timeout(limit, response.into_body().collect())
            .await
            .map_err(|_| errors::timed_out(what.operation, id, limit))?
            .map_err(|error| what.failed(&error.into()))?;
        serde_json::from_slice(&read.to_bytes()).map_err(|error| what.failed(&error.into()))
    }

    async fn exec(&self, id: &str, options: &ExecOptions) -> EngineResult<ExecSession> {
        let what = What::new("run a command in", id);
        what.check()?;
        let limit = self.client.limits.read;
        let tty = options.tty.is_some();
        let config = bollard::models::ExecConfig {
            attach_stdin: Some(options.stdin),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            tty: Some(tty),
            cmd: Some(options.command.clone()),
            ..Default::default()
        };
        let created = self
            .client
            .call(what, limit, |docker| docker.create_exec(id, config))
            .await?;
        let path = format!("/exec/{}/start", created.id);
        let start = Raw::post(&path, Some(json!({"Detach": false, "Tty": tty})));
        let connection = self.hijack(what, start).await?;
        if let Some(size) = options.tty {
            // It may be over already, and then its size matters to nobody.
            let _ = self.exec_resize(&created.id, size).await;
        }
        let framing = if tty {
            Framing::Raw
        } else {
            Framing::Multiplexed
        };
        let (reader, writer) = tokio::io::split(connection);
        let (input, kept): (_, Option<_>) = if options.stdin {
            let input: std::pin::Pin<Box<dyn tokio::io::AsyncWrite + Send>> =
                Box::pin(streams::ClosingInput::new(writer));
            (input, None)
        } else {
            // Closing our half of a connection that nobody reads could end the other half too.
            (Box::pin(tokio::io::sink()) as _, Some(writer))
        };
        let reader = streams::KeptReader {
            reader,
            _kept: kept,
        };
        Ok(ExecSession {
            id: created.id,
            input,
            output: streams::output(what, ReaderStream::new(reader), framing),
        })
    }

    async fn exec_exit_code(&self, exec: &str) -> EngineResult<Option<i64>> {
        let what = What::new("inspect command", exec);
        what.check()?;
        let answer = self
            .client
            .call(what, self.client.limits.read, |docker| {
                docker.inspect_exec(exec)
            })
            .await?;
        let running = answer.running.unwrap_or(false);
        Ok(answer.exit_code.filter(|_| !running))
    }

    async fn exec_resize(&self, exec: &str, size: (u16, u16)) -> EngineResult<()> {
        let what = What::new("resize the terminal of", exec);
        what.check()?;
        let (width, height) = size;
        self.client
            .call(what, self.client.limits.read, |docker| {
                docker.resize_exec(exec, bollard::exec::ResizeExecOptions { height, width })
            })
            .await
    }

    async fn attach_stdin(&self, id: &str) -> EngineResult<Box<dyn Attachment>> {
        let what = What::new("attach to", id);
        what.check()?;
        // Its output is asked for too: without it an engine keeps the connection open after the container has ended.
        let path = format!("/containers/{id}/attach?stream=1&stdin=1&stdout=1&stderr=1");
        let connection = self.hijack(what, Raw::post(&path, None)).await?;
        Ok(Box::new(streams::Held::new(connection)))
    }
}
