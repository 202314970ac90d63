//! Containers: created, looked at, removed.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::behaviour::Behaviour;
use super::health::Health;
use super::history::{Cause, SimEventKind};
use super::networks::{Endpoint, parse_port};
use super::output::Log;
use super::state::{Answer, Container, Mount, Refusal, State, Stdin, Timer, Volume, has_labels};
use crate::engine::body::CreateBody;
use crate::engine::{ContainerState, ErrorKind, LabelFilter, ObservedContainer};

/// The least memory that the engine accepts for a container.
const LEAST_MEMORY: i64 = 6 * 1024 * 1024;
/// How long the engine works on a removal, during which the name is still taken.
const REMOVAL: Duration = Duration::from_millis(15);

impl State {
    /// Unpacks an archive. Every folder is taken to be there.
    pub fn upload(&mut self, target: &str, path: &str, archive: &[u8]) -> Answer<()> {
        let container = self.container_mut(target)?;
        let unpacked = unpack(path, archive)
            .map_err(|error| Refusal::new(ErrorKind::Invalid, error.to_string()))?;
        container.files.extend(unpacked);
        Ok(())
    }

    pub fn create_container(&mut self, name: &str, body: CreateBody) -> Answer<String> {
        check_name(name)?;
        check_body(&body)?;
        let image = self.find_image(&body.image).cloned().ok_or_else(|| {
            Refusal::new(
                ErrorKind::NotFound,
                format!("No such image: {}", body.image),
            )
        })?;
        let argv = command_line(&body, &image.entrypoint, &image.cmd);
        if argv.is_empty() {
            return Err(Refusal::new(ErrorKind::Invalid, "No command specified"));
        }
        if let Some(owner) = self.names.get(name) {
            return Err(Refusal::new(
                ErrorKind::NameConflict,
                format!(
                    "Conflict. The container name \"/{name}\" is already in use by container \"{owner}\". You have to \
                     remove (or rename) that container to be able to reuse that name."
                ),
            ));
        }
        let mut env = BTreeMap::new();
        for entry in image.env.iter().chain(&body.env) {
            let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
            env.insert(name.to_owned(), value.to_owned());
        }
        Behaviour::hinted(&env).map_err(|error| Refusal::new(ErrorKind::Invalid, error))?;
        let health = Health::of(body.healthcheck.as_ref(), &env)?;
        let network_mode = self.network_mode(&body);
        let endpoints = endpoints(&network_mode, &body);
        let mounts = self.mounts(&body, &image.volumes)?;

        let id = self.fresh_id();
        let (created_at, _) = self.stamp();
        let log = Log::new(body.host_config.log_config.as_ref());
        let stdin = Stdin {
            buffer: Vec::new(),
            ended: body.open_stdin != Some(true),
        };
        self.containers.insert(
            id.clone(),
            Container {
                id: id.clone(),
                name: name.to_owned(),
                image_id: image.id,
                argv,
                env,
                state: ContainerState::Created,
                exit_code: None,
                oom_killed: false,
                error: String::new(),
                created_at,
                started_at: None,
                finished_at: None,
                since: Instant::now(),
                run: 0,
                pid: 0,
                process: None,
                behaviour: None,
                health,
                network_mode,
                endpoints,
                joined: None,
                ports: Vec::new(),
                mounts,
                files: BTreeMap::new(),
                stdin,
                log,
                ended: watch::Sender::new(0),
                ending: None,
                body,
            },
        );
        self.names.insert(name.to_owned(), id.clone());
        self.record(&id, SimEventKind::Created);
        self.emit_container(&id, "create", &[]);
        Ok(id)
    }

    /// Kills it if it runs and begins its removal, which a timer ends; returns what ends then. Where somebody else's removal
    /// has begun, that one's end.
    pub fn begin_removal(&mut self, target: &str, cause: Cause) -> Answer<watch::Receiver<u64>> {
        let id = self.find(target)?;
        self.kill(&id, 137, cause);
        let container = self.container_mut(&id)?;
        let gone = container.ended.subscribe();
        if container.state != ContainerState::Removing {
            container.ending = Some(cause);
            self.mark_removing(&id);
        }
        Ok(gone)
    }

    pub fn mark_removing(&mut self, id: &str) {
        if let Some(container) = self.containers.get_mut(id) {
            container.state = ContainerState::Removing;
            self.after(
                REMOVAL,
                Timer::Destroy {
                    container: id.to_owned(),
                },
            );
        }
    }

    /// The end of a removal: the name is free, anonymous volumes are gone.
    pub fn destroy(&mut self, id: &str) {
        let Some(container) = self.containers.get(id) else {
            return;
        };
        let cause = container.ending.unwrap_or(Cause::Asked);
        self.record(id, SimEventKind::Removed { cause });
        self.emit_container(id, "destroy", &[]);
        let Some(container) = self.containers.remove(id) else {
            return;
        };
        self.names.remove(&container.name);
        self.execs.retain(|_, exec| exec.container != id);
        for mount in container.mounts.iter().filter(|mount| mount.anonymous) {
            let used = self
                .containers
                .values()
                .any(|other| other.uses_volume(&mount.volume));
            if !used && self.volumes.remove(&mount.volume).is_some() {
                self.emit_resource("volume", "destroy", &mount.volume, &[("driver", "local")]);
            }
        }
    }

    pub fn list_containers(&self, labels: &LabelFilter) -> Vec<ObservedContainer> {
        let mut found: Vec<&Container> = self
            .containers
            .values()
            .filter(|container| has_labels(&container.body.labels, labels))
            .collect();
        found.sort_by(|a, b| (b.created_at, &b.id).cmp(&(a.created_at, &a.id)));
        found.into_iter().map(observe).collect()
    }

    pub fn inspect_container(&self, target: &str) -> Answer<ObservedContainer> {
        self.container(target).map(observe)
    }

    /// The network mode as the engine keeps it: a container by its id where it is there already.
    fn network_mode(&self, body: &CreateBody) -> String {
        let mode = match body.host_config.network_mode.as_deref() {
            None | Some("" | "default") => "bridge",
            Some(mode) => mode,
        };
        if body.network_disabled == Some(true) {
            return "none".to_owned();
        }
        match mode
            .strip_prefix("container:")
            .map(|owner| self.find(owner))
        {
            Some(Ok(id)) => format!("container:{id}"),
            _ => mode.to_owned(),
        }
    }

    /// Named volumes of `Binds` (made where they are missing), anonymous ones of the image, those of `VolumesFrom`.
    fn mounts(&mut self, body: &CreateBody, image_volumes: &[String]) -> Answer<Vec<Mount>> {
        let (mut mounts, mut targets) = (Vec::new(), Vec::new());
        for bind in &body.host_config.binds {
            let mut parts = bind.split(':');
            let (Some(source), Some(target)) = (parts.next(), parts.next()) else {
                return Err(Refusal::new(
                    ErrorKind::Invalid,
                    format!("invalid volume specification: '{bind}'"),
                ));
            };
            if !target.starts_with('/') {
                return Err(Refusal::new(
                    ErrorKind::Invalid,
                    format!(
                        "invalid mount config for type \"volume\": invalid mount path: '{target}' mount path must be absolute"
                    ),
                ));
            }
            targets.push(target.to_owned());
            if !source.starts_with('/') {
                self.ensure_volume(source);
                mounts.push(Mount {
                    volume: source.to_owned(),
                    anonymous: false,
                });
            }
        }
        for from in &body.host_config.volumes_from {
            let from = from.split(':').next().unwrap_or(from);
            mounts.extend(self.container(from)?.mounts.iter().cloned());
        }
        for target in image_volumes {
            if !targets.contains(target) {
                let volume = self.fresh_id();
                self.ensure_volume(&volume);
                mounts.push(Mount {
                    volume,
                    anonymous: true,
                });
            }
        }
        Ok(mounts)
    }

    fn ensure_volume(&mut self, name: &str) {
        if !self.volumes.contains_key(name) {
            self.volumes.insert(
                name.to_owned(),
                Volume {
                    name: name.to_owned(),
                    driver: "local".to_owned(),
                    labels: BTreeMap::new(),
                },
            );
            self.emit_resource("volume", "create", name, &[("driver", "local")]);
        }
    }
}

/// What an inspection shows.
pub(super) fn observe(container: &Container) -> ObservedContainer {
    let ended = matches!(
        container.state,
        ContainerState::Exited | ContainerState::Dead
    );
    ObservedContainer {
        id: container.id.clone(),
        name: container.name.clone(),
        image: container.body.image.clone(),
        image_id: container.image_id.clone(),
        labels: container.body.labels.clone(),
        state: container.state,
        exit_code: container.exit_code.filter(|_| ended),
        oom_killed: container.oom_killed,
        error: container.error.clone(),
        created_at: Some(container.created_at),
        started_at: container.started_at,
        finished_at: container.finished_at,
        health: container.health.status(),
        health_output: container.health.output(),
        pid: container.pid,
        addresses: container
            .endpoints
            .iter()
            .filter_map(|(network, endpoint)| Some((network.clone(), endpoint.address.clone()?)))
            .collect(),
        ports: container.ports.clone(),
        volumes: sorted(
            container
                .mounts
                .iter()
                .map(|mount| mount.volume.clone())
                .collect(),
        ),
    }
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names
}

/// `ENTRYPOINT` and `CMD` as Docker combines them: an entry point in the request drops the image's command.
fn command_line(body: &CreateBody, entrypoint: &[String], cmd: &[String]) -> Vec<String> {
    let cmd = match (&body.cmd, &body.entrypoint) {
        (Some(cmd), _) if !cmd.is_empty() => cmd.as_slice(),
        (_, Some(entrypoint)) if !entrypoint.is_empty() => &[],
        _ => cmd,
    };
    let entrypoint = body
        .entrypoint
        .as_deref()
        .filter(|entrypoint| !entrypoint.is_empty())
        .unwrap_or(entrypoint);
    entrypoint.iter().chain(cmd).cloned().collect()
}

/// The endpoints that a container will have, with the names it answers to.
fn endpoints(network_mode: &str, body: &CreateBody) -> BTreeMap<String, Endpoint> {
    if matches!(network_mode, "host" | "none") || network_mode.starts_with("container:") {
        return BTreeMap::new();
    }
    let aliases = body
        .networking_config
        .as_ref()
        .and_then(|config| config.endpoints_config.get(network_mode))
        .map(|endpoint| endpoint.aliases.clone())
        .unwrap_or_default();
    let endpoint = Endpoint {
        network: None,
        aliases,
        address: None,
    };
    BTreeMap::from([(network_mode.to_owned(), endpoint)])
}

fn check_name(name: &str) -> Answer<()> {
    let mut chars = name.chars();
    let first = chars.next().is_some_and(|c| c.is_ascii_alphanumeric());
    let rest = chars.as_str();
    let valid = first
        && !rest.is_empty()
        && rest
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
    if valid {
        return Ok(());
    }
    Err(Refusal::new(
        ErrorKind::Invalid,
        format!("Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"),
    ))
}

fn check_body(body: &CreateBody) -> Answer<()> {
    let invalid = |message: String| Err(Refusal::new(ErrorKind::Invalid, message));
    let host = &body.host_config;
    if host.memory.is_some_and(|m| m > 0 && m < LEAST_MEMORY) {
        return invalid("Minimum memory limit allowed is 6MB".to_owned());
    }
    if let (Some(memory), Some(reservation)) = (host.memory, host.memory_reservation)
        && memory > 0
        && reservation > memory
    {
        return invalid(
            "Minimum memory limit can not be less than memory reservation limit, see usage"
                .to_owned(),
        );
    }
    for port in body.exposed_ports.keys().chain(host.port_bindings.keys()) {
        if parse_port(port).is_none() {
            return invalid(format!("invalid port specification: \"{port}\""));
        }
    }
    for binding in host.port_bindings.values().flatten() {
        if !binding.host_port.is_empty() && binding.host_port.parse::<u16>().is_err() {
            return invalid(format!(
                "invalid port specification: \"{}\"",
                binding.host_port
            ));
        }
    }
    let joins = host
        .network_mode
        .as_deref()
        .is_some_and(|mode| mode.starts_with("container:"));
    if joins && body.hostname.is_some() {
        return invalid("conflicting options: hostname and the network mode".to_owned());
    }
    if joins && !host.port_bindings.is_empty() {
        return invalid(
            "conflicting options: port publishing and the container type network mode".to_owned(),
        );
    }
    if body
        .networking_config
        .as_ref()
        .is_some_and(|config| config.endpoints_config.len() > 1)
    {
        return invalid("Container cannot be connected to network endpoints".to_owned());
    }
    Ok(())
}

/// The files of an archive by their path below `path`.
fn unpack(path: &str, archive: &[u8]) -> std::io::Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    for entry in tar::Archive::new(archive).entries()? {
        let mut entry = entry?;
        let name = entry.path()?.to_string_lossy().into_owned();
        let mut text = String::new();
        std::io::Read::read_to_string(&mut entry, &mut text)?;
        files.insert(format!("{}/{name}", path.trim_end_matches('/')), text);
    }
    Ok(files)
}
