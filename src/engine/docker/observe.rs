//! Docker's answers as Longshore's observations. Pure.

use std::collections::BTreeMap;

use bollard::models;

use crate::engine::{
    ContainerState, EngineInfo, EngineRun, ImageInfo, ListedImage, ObservedContainer,
    ObservedNetwork, ObservedVolume, PublishedPort,
};
use crate::model::{HealthStatus, Protocol, Timestamp};

/// The most of a health check's output that is kept, in bytes.
const HEALTH_OUTPUT: usize = 512;

/// A container from `GET /containers/<id>/json`.
pub(super) fn container(answer: models::ContainerInspectResponse) -> ObservedContainer {
    let state = answer.state.unwrap_or_default();
    let status = container_state(&state);
    let ended = matches!(status, ContainerState::Exited | ContainerState::Dead);
    let started_at = time(state.started_at.as_deref());
    let mut finished_at = time(state.finished_at.as_deref());
    if ended {
        // An engine notes the start once the process runs already, so a very short one seems to end before it started.
        finished_at = finished_at.max(started_at);
    }
    let config = answer.config.unwrap_or_default();
    let settings = answer.network_settings.unwrap_or_default();
    let (health, health_output) = health(state.health);
    let mut volumes: Vec<String> = answer
        .mounts
        .unwrap_or_default()
        .into_iter()
        .filter(|mount| mount.typ.as_deref() == Some("volume"))
        .filter_map(|mount| mount.name)
        .collect();
    volumes.sort();
    ObservedContainer {
        id: answer.id.unwrap_or_default(),
        name: answer
            .name
            .unwrap_or_default()
            .trim_start_matches('/')
            .to_owned(),
        image: config.image.unwrap_or_default(),
        image_id: answer.image.unwrap_or_default(),
        labels: config.labels.unwrap_or_default().into_iter().collect(),
        state: status,
        exit_code: state.exit_code.filter(|_| ended),
        oom_killed: state.oom_killed.unwrap_or(false),
        error: state.error.unwrap_or_default(),
        created_at: time(answer.created.as_deref()),
        started_at,
        finished_at,
        health,
        health_output,
        pid: state.pid.unwrap_or(0),
        addresses: addresses(settings.networks.unwrap_or_default()),
        ports: ports(settings.ports.unwrap_or_default()),
        volumes,
    }
}

fn time(text: Option<&str>) -> Option<Timestamp> {
    text.and_then(Timestamp::parse_rfc3339)
}

fn container_state(state: &models::ContainerState) -> ContainerState {
    use models::ContainerStateStatusEnum as Status;
    match state.status {
        Some(Status::CREATED) => ContainerState::Created,
        Some(Status::RUNNING) => ContainerState::Running,
        Some(Status::PAUSED) => ContainerState::Paused,
        Some(Status::RESTARTING) => ContainerState::Restarting,
        Some(Status::REMOVING) => ContainerState::Removing,
        Some(Status::DEAD) => ContainerState::Dead,
        Some(Status::EXITED) => ContainerState::Exited,
        _ if state.running == Some(true) => ContainerState::Running,
        _ => ContainerState::Created,
    }
}

fn health(health: Option<models::Health>) -> (HealthStatus, Option<String>) {
    use models::HealthStatusEnum as Status;
    let Some(health) = health else {
        return (HealthStatus::Unknown, None);
    };
    let status = match health.status {
        Some(Status::HEALTHY) => HealthStatus::Healthy,
        Some(Status::UNHEALTHY) => HealthStatus::Unhealthy,
        _ => HealthStatus::Unknown,
    };
    let failed = health
        .log
        .unwrap_or_default()
        .into_iter()
        .rev()
        .find(|run| run.exit_code.is_some_and(|code| code != 0));
    let output = failed
        .and_then(|run| run.output)
        .map(|text| cut(text.trim(), HEALTH_OUTPUT).to_owned())
        .filter(|text| !text.is_empty());
    (status, output)
}

/// At most `most` bytes of `text`, whole characters.
fn cut(text: &str, most: usize) -> &str {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn addresses(
    networks: impl IntoIterator<Item = (String, models::EndpointSettings)>,
) -> BTreeMap<String, String> {
    networks
        .into_iter()
        .filter_map(|(name, endpoint)| {
            [endpoint.ip_address, endpoint.global_ipv6_address]
                .into_iter()
                .flatten()
                .find(|address| !address.is_empty())
                .map(|address| (name, address))
        })
        .collect()
}

fn ports(
    published: impl IntoIterator<Item = (String, Option<Vec<models::PortBinding>>)>,
) -> Vec<PublishedPort> {
    let mut ports = Vec::new();
    for (inside, bindings) in published {
        let Some((container_port, protocol)) = port_and_protocol(&inside) else {
            continue;
        };
        for binding in bindings.unwrap_or_default() {
            let Some(host_port) = binding.host_port.and_then(|port| port.parse().ok()) else {
                continue;
            };
            ports.push(PublishedPort {
                container_port,
                protocol,
                host_ip: binding.host_ip.unwrap_or_default(),
                host_port,
            });
        }
    }
    ports.sort();
    ports
}

/// `80/tcp`. SCTP, which ECS does not have, is left out.
fn port_and_protocol(text: &str) -> Option<(u16, Protocol)> {
    let (port, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = match protocol {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        _ => return None,
    };
    Some((port.parse().ok()?, protocol))
}

/// An image from `GET /images/<name>/json`.
pub(super) fn image(answer: models::ImageInspect) -> ImageInfo {
    let config = answer.config.unwrap_or_default();
    ImageInfo {
        id: answer.id.unwrap_or_default(),
        repo_digests: answer.repo_digests.unwrap_or_default(),
        repo_tags: answer.repo_tags.unwrap_or_default(),
        architecture: answer.architecture.unwrap_or_default(),
        size: answer
            .size
            .and_then(|size| u64::try_from(size).ok())
            .unwrap_or(0),
        entrypoint: config.entrypoint.unwrap_or_default(),
        cmd: config.cmd.unwrap_or_default(),
    }
}

/// An image of a list.
pub(super) fn listed_image(answer: models::ImageSummary) -> ListedImage {
    ListedImage {
        id: answer.id,
        repo_tags: answer.repo_tags,
        repo_digests: answer.repo_digests,
    }
}

/// A network of a list.
pub(super) fn network(answer: models::Network) -> ObservedNetwork {
    let ranges = answer.ipam.and_then(|ipam| ipam.config).unwrap_or_default();
    ObservedNetwork {
        id: answer.id.unwrap_or_default(),
        name: answer.name.unwrap_or_default(),
        driver: answer.driver.unwrap_or_default(),
        labels: answer.labels.unwrap_or_default().into_iter().collect(),
        subnets: ranges
            .iter()
            .filter_map(|range| range.subnet.clone())
            .collect(),
        gateways: ranges
            .into_iter()
            .filter_map(|range| range.gateway)
            .collect(),
    }
}

/// The engine's run, by its default network.
pub(super) fn run(answer: &[u8]) -> EngineRun {
    #[derive(serde::Deserialize)]
    struct Made {
        #[serde(rename = "Created")]
        created: String,
    }
    let made = serde_json::from_slice::<Made>(answer);
    EngineRun {
        began: made.ok().and_then(|made| time(Some(&made.created))),
    }
}

/// A volume.
pub(super) fn volume(answer: models::Volume) -> ObservedVolume {
    ObservedVolume {
        name: answer.name,
        driver: answer.driver,
        labels: answer.labels.into_iter().collect(),
        mountpoint: answer.mountpoint,
    }
}

/// The engine's description, from `GET /info` and `GET /version`.
pub(super) fn info(
    info: models::SystemInfo,
    version: &models::SystemVersion,
    in_use: String,
    range: (String, String),
) -> EngineInfo {
    EngineInfo {
        id: info.id.unwrap_or_default(),
        name: info.name.unwrap_or_default(),
        version: info.server_version.unwrap_or_default(),
        api_version: in_use,
        api_range: range,
        architecture: version.arch.clone().unwrap_or_default(),
        os: info.os_type.unwrap_or_default(),
        cpus: info
            .ncpu
            .and_then(|cpus| u32::try_from(cpus).ok())
            .unwrap_or(0),
        memory: info
            .mem_total
            .and_then(|bytes| u64::try_from(bytes).ok())
            .unwrap_or(0),
        cgroup_version: info
            .cgroup_version
            .and_then(|version| version.to_string().parse().ok())
            .unwrap_or(1),
        cgroup_driver: info
            .cgroup_driver
            .map(|driver| driver.to_string())
            .unwrap_or_default(),
        logging_driver: info.logging_driver.unwrap_or_default(),
        log_drivers: info
            .plugins
            .and_then(|plugins| plugins.log)
            .unwrap_or_default(),
        security_options: info
            .security_options
            .unwrap_or_default()
            .iter()
            .map(|option| security_option(option))
            .collect(),
        root_dir: info.docker_root_dir.unwrap_or_default(),
        warnings: info.warnings.unwrap_or_default(),
        clock: time(info.system_time.as_deref()),
        is_here: false,
    }
}

/// `seccomp` of `name=seccomp,profile=default`.
fn security_option(text: &str) -> String {
    text.split(',')
        .find_map(|part| part.strip_prefix("name="))
        .unwrap_or(text)
        .to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn observed(value: serde_json::Value) -> ObservedContainer {
        container(serde_json::from_value(value).unwrap())
    }

    #[test]
    fn a_running_container_is_read_with_its_ports_addresses_and_volumes() {
        let seen = observed(json!({
            "Id": "1f", "Name": "/web", "Image": "sha256:aa", "Created": "2024-05-01T10:00:00.5Z",
            "State": {"Status": "running", "Running": true, "Pid": 42, "ExitCode": 0, "StartedAt": "2024-05-01T10:00:01Z",
                      "FinishedAt": "0001-01-01T00:00:00Z", "Health": {"Status": "starting", "Log": []}},
            "Config": {"Image": "busybox:1", "Labels": {"a": "b"}},
            "Mounts": [{"Type": "volume", "Name": "v"}, {"Type": "bind", "Source": "/x"}],
            "NetworkSettings": {
                "Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "32768"}, {"HostIp": "::", "HostPort": "32768"}],
                          "53/udp": null, "9/sctp": [{"HostIp": "", "HostPort": "9"}]},
                "Networks": {"n": {"IPAddress": "172.18.0.2"}, "six": {"IPAddress": "", "GlobalIPv6Address": "fd::2"},
                             "none": {"IPAddress": ""}}}
        }));
        assert_eq!(
            (seen.name.as_str(), seen.image.as_str()),
            ("web", "busybox:1")
        );
        assert_eq!(seen.state, ContainerState::Running);
        assert_eq!(seen.exit_code, None);
        assert_eq!(seen.finished_at, None);
        assert_eq!(
            seen.created_at.unwrap().to_string(),
            "2024-05-01T10:00:00.500Z"
        );
        assert_eq!(seen.health, HealthStatus::Unknown);
        assert_eq!(seen.volumes, ["v"]);
        assert_eq!(
            seen.addresses.get("n").map(String::as_str),
            Some("172.18.0.2")
        );
        assert_eq!(seen.addresses.get("six").map(String::as_str), Some("fd::2"));
        assert_eq!(seen.addresses.len(), 2);
        assert_eq!(seen.ports.len(), 2);
        assert_eq!(
            (seen.ports[0].container_port, seen.ports[0].host_port),
            (80, 32768)
        );
    }

    #[test]
    fn an_ended_container_has_an_exit_code_and_a_created_one_has_none() {
        let ended =
            observed(json!({"State": {"Status": "exited", "ExitCode": 137, "OOMKilled": true}}));
        assert_eq!(ended.exit_code, Some(137));
        assert!(ended.oom_killed);
        let created = observed(json!({"State": {"Status": "created", "ExitCode": 0}}));
        assert_eq!(created.exit_code, None);
        // A start that failed leaves the code on a container that is still "created".
        let failed =
            observed(json!({"State": {"Status": "created", "ExitCode": 127, "Error": "exec"}}));
        assert_eq!((failed.exit_code, failed.error.as_str()), (None, "exec"));
    }

    #[test]
    fn a_run_never_ends_before_it_started_but_an_earlier_run_may_have() {
        let seen = |status: &str, started: &str, finished: &str| {
            let seen = observed(
                json!({"State": {"Status": status, "StartedAt": started, "FinishedAt": finished}}),
            );
            (seen.started_at.unwrap(), seen.finished_at)
        };
        let (started, finished) =
            seen("exited", "2024-05-01T10:00:01.2Z", "2024-05-01T10:00:01.1Z");
        assert_eq!(finished, Some(started));
        let (started, finished) = seen("running", "2024-05-01T10:00:02Z", "2024-05-01T10:00:01Z");
        assert!(finished.unwrap() < started);
    }

    #[test]
    fn the_last_failed_health_check_speaks_and_is_cut_at_a_whole_character() {
        let long = "ä".repeat(400);
        let seen = observed(
            json!({"State": {"Status": "running", "Health": {"Status": "unhealthy", "Log": [
            {"ExitCode": 1, "Output": "old"}, {"ExitCode": 1, "Output": long}, {"ExitCode": 0, "Output": "fine"}]}}}),
        );
        assert_eq!(seen.health, HealthStatus::Unhealthy);
        let output = seen.health_output.unwrap();
        assert!(output.starts_with('ä') && output.len() <= HEALTH_OUTPUT);
    }

    #[test]
    fn security_options_are_named_plainly() {
        assert_eq!(security_option("name=seccomp,profile=default"), "seccomp");
        assert_eq!(security_option("name=rootless"), "rootless");
        assert_eq!(security_option("apparmor"), "apparmor");
    }
}
