//! `longshore doctor`: what could keep Longshore from working here.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use super::output::Tone;
use super::{CommandResult, Failure, Globals, output};
use crate::api::{self, client::Client};
use crate::engine::docker::{DockerEngine, Limits};
use crate::engine::endpoint::{Endpoint, ProcessEnvironment, resolve};
use crate::engine::{
    ContainerState, EngineInfo, ErrorKind, ObservedContainer, SharedEngine, labels, lease,
};
use crate::manifest::watch;
use crate::model::{ClusterName, Desired, EngineEndpoint, NetworkMode, Protocol, fixed_host_ports};

/// Arguments of `doctor`.
#[derive(Debug, clap::Args)]
pub struct DoctorArgs {
    /// Folder of manifests to look at, too
    #[arg(default_value = "manifests", value_name = "DIR")]
    dir: PathBuf,
}

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Good,
    Warning,
    Bad,
}

/// The checks' findings, in the order they were made.
#[derive(Default)]
struct Findings {
    rows: Vec<(Verdict, &'static str, String, Option<String>)>,
}

impl Findings {
    fn good(&mut self, what: &'static str, found: impl Into<String>) {
        self.rows.push((Verdict::Good, what, found.into(), None));
    }

    fn warn(&mut self, what: &'static str, found: impl Into<String>, help: impl Into<String>) {
        self.rows
            .push((Verdict::Warning, what, found.into(), Some(help.into())));
    }

    fn bad(&mut self, what: &'static str, found: impl Into<String>, help: impl Into<String>) {
        self.rows
            .push((Verdict::Bad, what, found.into(), Some(help.into())));
    }
}

/// Runs every check, changes nothing, and exits 1 when one of them is bad.
pub async fn run(args: DoctorArgs, globals: &Globals) -> CommandResult {
    let mut findings = Findings::default();
    if let Some((engine, endpoint)) = check_engine(&mut findings).await {
        check_pools(&mut findings, &engine).await;
        let desired = super::validate::load(std::slice::from_ref(&args.dir)).desired;
        check_holders(&mut findings, &engine, &desired).await;
        match endpoint {
            Endpoint::Unix(_) => check_ports(&mut findings, &engine, &desired).await,
            _ => findings.warn(
                "ports",
                "the engine is on another machine, whose ports cannot be looked at from here",
                "run `longshore doctor` there",
            ),
        }
    }
    check_folder(&mut findings, &args.dir);
    check_inotify(&mut findings);
    check_running(&mut findings).await;

    let colour = globals.colour_on_stdout();
    let mut bad = 0;
    for (verdict, what, found, help) in &findings.rows {
        let (mark, tone) = match verdict {
            Verdict::Good => ("ok  ", Tone::Good),
            Verdict::Warning => ("warn", Tone::Warn),
            Verdict::Bad => ("BAD ", Tone::Bad),
        };
        bad += usize::from(*verdict == Verdict::Bad);
        output::line(&format!("{} {what}: {found}", tone.paint(mark, colour)));
        if let Some(help) = help {
            output::line(&format!("       {help}"));
        }
    }
    if bad > 0 {
        return Err(Failure::findings(format!(
            "{bad} of {} {} bad",
            output::count(findings.rows.len(), "check"),
            if bad == 1 { "is" } else { "are" }
        )));
    }
    Ok(())
}

async fn check_engine(findings: &mut Findings) -> Option<(SharedEngine, Endpoint)> {
    let found = match resolve(&EngineEndpoint::Local, &ProcessEnvironment) {
        Ok(found) => found,
        Err(error) => {
            findings.bad(
                "engine address",
                error.to_string(),
                "correct DOCKER_HOST, DOCKER_CONTEXT or ~/.docker/config.json",
            );
            return None;
        }
    };
    findings.good(
        "engine address",
        format!("{} ({})", found.endpoint, found.origin),
    );
    check_rights(findings, &found.endpoint);
    let engine = match DockerEngine::connect(&found.endpoint, Limits::default()).await {
        Ok(engine) => std::sync::Arc::new(engine) as SharedEngine,
        Err(error) => {
            findings.bad(
                "engine",
                error.message,
                what_to_do(error.kind, &found.endpoint),
            );
            return None;
        }
    };
    match engine.info().await {
        Ok(info) => {
            describe_engine(findings, &info);
            Some((engine, found.endpoint))
        }
        Err(error) => {
            findings.bad("engine", error.message, "look at `journalctl -u docker`");
            None
        }
    }
}

/// What helps against an engine that cannot be used.
fn what_to_do(kind: ErrorKind, endpoint: &Endpoint) -> &'static str {
    match (kind, endpoint) {
        (ErrorKind::PermissionDenied, Endpoint::Unix(_)) => {
            "add yourself to its group: `sudo usermod -aG docker $USER`, then log in again"
        }
        (_, Endpoint::Unix(_)) => "is Docker running? `systemctl start docker`",
        (_, Endpoint::Tcp(_)) => {
            "is Docker running on that machine, and does it listen there? Does DOCKER_HOST, or the context, name the right one?"
        }
        (_, Endpoint::Ssh(_)) => {
            "does `ssh` reach that machine without asking, and may you use Docker there? Try `ssh HOST docker version`"
        }
    }
}

fn describe_engine(findings: &mut Findings, info: &EngineInfo) {
    findings.good(
        "engine",
        format!(
            "{} on {}/{}, API {} (it speaks {} to {}), {} CPUs, {} MiB",
            info.version,
            info.os,
            info.architecture,
            info.api_version,
            info.api_range.1,
            info.api_range.0,
            info.cpus,
            info.memory >> 20
        ),
    );
    findings.good(
        "cgroups",
        format!(
            "version {}, driver {}",
            info.cgroup_version, info.cgroup_driver
        ),
    );
    if info.os != "linux" {
        findings.bad(
            "operating system",
            info.os.clone(),
            "Longshore runs Linux containers only",
        );
    }
    for warning in &info.warnings {
        findings.warn(
            "engine says",
            warning.clone(),
            "a limit of this host: definitions that need it will fail to start",
        );
    }
}

fn check_rights(findings: &mut Findings, endpoint: &Endpoint) {
    if let Endpoint::Unix(path) = endpoint {
        match rustix::fs::access(
            path,
            rustix::fs::Access::READ_OK | rustix::fs::Access::WRITE_OK,
        ) {
            Ok(()) => findings.good(
                "engine socket",
                format!("{} can be read and written", path.display()),
            ),
            // That it is not there is said by whoever asks it.
            Err(rustix::io::Errno::NOENT) => {}
            Err(error) => findings.bad(
                "engine socket",
                format!("{}: {error}", path.display()),
                "add yourself to its group: `sudo usermod -aG docker $USER`, then log in again",
            ),
        }
    }
}

/// An engine has about 31 default address pools, one a network.
async fn check_pools(findings: &mut Findings, engine: &SharedEngine) {
    match engine.list_networks(&[]).await {
        Ok(networks) => {
            let bridges = networks.iter().filter(|n| n.driver == "bridge").count();
            if bridges >= 28 {
                findings.warn(
                    "address pools",
                    format!("{bridges} bridge networks exist; an engine's default pools give about 31"),
                    "remove unused ones with `docker network prune`, or set default-address-pools in daemon.json",
                );
            } else {
                findings.good(
                    "address pools",
                    format!("{bridges} bridge networks exist, about 31 fit"),
                );
            }
        }
        Err(error) => findings.bad(
            "address pools",
            error.message,
            "look at `journalctl -u docker`",
        ),
    }
}

/// Who holds the clusters of the folder.
async fn check_holders(findings: &mut Findings, engine: &SharedEngine, desired: &Desired) {
    let clusters: Vec<ClusterName> = if desired.services.is_empty() {
        vec![ClusterName::default()]
    } else {
        desired.services.keys().cloned().collect()
    };
    for cluster in clusters {
        match lease::holder(engine.as_ref(), cluster.as_str()).await {
            Ok(None) => findings.good("cluster", format!("{cluster} is held by nobody")),
            Ok(Some(holder)) => {
                findings.good("cluster", format!("{cluster} is held by {holder}"));
            }
            Err(error) => findings.bad(
                "cluster",
                format!("{cluster}: {error}"),
                "look at `docker ps -a`",
            ),
        }
    }
}

/// Whether the fixed host ports of the folder are free. One that a container of Longshore's publishes is in use by right: who
/// runs a folder twice is told by the cluster's holder.
async fn check_ports(findings: &mut Findings, engine: &SharedEngine, desired: &Desired) {
    let ours = [(labels::SCHEMA.to_owned(), String::new())];
    let ours = match engine.list_containers(&ours).await {
        Ok(containers) => Ours::of(&containers),
        Err(error) => {
            findings.bad("ports", error.message, "look at `docker ps -a`");
            return;
        }
    };
    let free = |protocol: Protocol, port: u16| match protocol {
        Protocol::Tcp => TcpListener::bind(("0.0.0.0", port)).is_ok(),
        Protocol::Udp => std::net::UdpSocket::bind(("0.0.0.0", port)).is_ok(),
    };
    let (wanted, taken) = taken(desired, &ours, free);
    for (protocol, port, whose) in taken {
        findings.bad(
            "port",
            format!(
                "{port}/{} of {whose} is in use or may not be used",
                protocol.as_str()
            ),
            format!(
                "find who has it with `ss -lntup 'sport = :{port}'`, or choose another hostPort"
            ),
        );
    }
    findings.good(
        "ports",
        format!("{} looked at", output::count(wanted, "fixed host port")),
    );
}

/// What containers of Longshore's have on this engine.
#[derive(Default)]
struct Ours {
    /// Published ports.
    published: BTreeSet<(Protocol, u16)>,
    /// Families that run. In the host's network nothing is published: what runs of a family has that family's ports.
    running: BTreeSet<String>,
}

impl Ours {
    fn of(containers: &[ObservedContainer]) -> Self {
        let ports = containers.iter().flat_map(|container| &container.ports);
        let running = containers
            .iter()
            .filter(|container| container.state == ContainerState::Running);
        Self {
            published: ports.map(|port| (port.protocol, port.host_port)).collect(),
            running: running
                .filter_map(|container| container.labels.get(labels::FAMILY).cloned())
                .collect(),
        }
    }
}

/// How many fixed host ports the services want, and those of them that are not free and that no container of ours has either.
fn taken(
    desired: &Desired,
    ours: &Ours,
    is_free: impl Fn(Protocol, u16) -> bool,
) -> (usize, Vec<(Protocol, u16, String)>) {
    let mut wanted = 0;
    let mut taken = Vec::new();
    for (service, source) in desired.all_services() {
        let Some((definition, _)) = desired.task_definitions.get(&service.family) else {
            continue;
        };
        for (protocol, port) in fixed_host_ports(&definition.spec) {
            wanted += 1;
            let at_home = definition.spec.network_mode == NetworkMode::Host
                && ours.running.contains(service.family.as_str());
            if !at_home && !ours.published.contains(&(protocol, port)) && !is_free(protocol, port) {
                let whose = format!("service {} ({source})", service.name);
                taken.push((protocol, port, whose));
            }
        }
    }
    (wanted, taken)
}

fn check_folder(findings: &mut Findings, dir: &Path) {
    if !dir.is_dir() {
        findings.warn(
            "folder",
            format!("{} is not there", dir.display()),
            "`longshore init` writes one that works",
        );
        return;
    }
    match watch::network_file_system(dir) {
        Some(reason) => findings.warn(
            "folder",
            format!("{}: {reason}; it sends no events", dir.display()),
            "it is read every 2 s instead",
        ),
        None => findings.good("folder", format!("{} sends events", dir.display())),
    }
}

fn check_inotify(findings: &mut Findings) {
    let limit = |name: &str| {
        std::fs::read_to_string(format!("/proc/sys/fs/inotify/{name}"))
            .ok()
            .and_then(|text| text.trim().parse::<u64>().ok())
    };
    match (limit("max_user_watches"), limit("max_user_instances")) {
        (Some(watches), Some(instances)) if watches < 8192 || instances < 128 => findings.warn(
            "inotify",
            format!("{watches} watches and {instances} instances a user"),
            "raise them: `sysctl fs.inotify.max_user_watches=65536 fs.inotify.max_user_instances=512`",
        ),
        (Some(watches), Some(instances)) => {
            findings.good("inotify", format!("{watches} watches and {instances} instances a user"));
        }
        _ => findings.warn("inotify", "its limits cannot be read", "folders are polled where it does not work"),
    }
}

/// Every Longshore that answers, with what it is for.
async fn check_running(findings: &mut Findings) {
    let running = Client::running(None, None).await;
    if running.is_empty() {
        findings.good(
            "running",
            format!("no Longshore answers in {}", api::runtime_dir().display()),
        );
    }
    for (client, identity) in running {
        findings.good(
            "running",
            format!(
                "a Longshore follows {} on engine {}, its state in {}; it answers at {}",
                identity.folder,
                identity.engine,
                identity.state_dir,
                client.path().display()
            ),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::endpoint::parse;

    #[test]
    fn a_port_that_a_container_of_ours_has_is_free_for_it_and_every_other_is_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let service = |name: &str, mode: &str, ports: &str| {
            format!(
                "family: {name}\nnetworkMode: {mode}\ncontainerDefinitions: [{{name: c, image: i, memory: 8, portMappings: [{ports}]}}]\n---\nserviceName: {name}\ntaskDefinition: {name}\ndesiredCount: 1\n"
            )
        };
        let ports = "{containerPort: 80, hostPort: 8080}, {containerPort: 53, hostPort: 8053, protocol: udp}";
        std::fs::write(
            folder.path().join("a.yaml"),
            service("web", "bridge", ports),
        )
        .unwrap();
        let host = service("api", "host", "{containerPort: 9000}");
        std::fs::write(folder.path().join("b.yaml"), host).unwrap();
        let desired = super::super::validate::load(&[folder.path().to_owned()]).desired;
        let of = |ours: &Ours| {
            let (wanted, taken) = taken(&desired, ours, |_, _| false);
            assert_eq!(wanted, 3);
            let ports = taken.into_iter().map(|(_, port, _)| port);
            ports.collect::<BTreeSet<_>>()
        };
        assert_eq!(of(&Ours::default()), BTreeSet::from([8053, 8080, 9000]));
        // 8053 is published, but over the other transport.
        let ours = Ours {
            published: [(Protocol::Tcp, 8080), (Protocol::Tcp, 8053)].into(),
            running: ["web".to_owned(), "api".to_owned()].into(),
        };
        assert_eq!(of(&ours), BTreeSet::from([8053]));
    }

    #[test]
    fn only_missing_rights_on_a_socket_here_are_helped_by_a_group() {
        let at = |address: &str| parse(address, None).unwrap();
        let help = |kind, address: &str| what_to_do(kind, &at(address));
        let socket = "unix:///run/docker.sock";
        assert!(help(ErrorKind::PermissionDenied, socket).contains("usermod"));
        assert!(!help(ErrorKind::Unreachable, socket).contains("usermod"));
        assert!(!help(ErrorKind::Unreachable, "tcp://build:2375").contains("usermod"));
        assert!(help(ErrorKind::Unreachable, "ssh://build").contains("ssh"));
    }
}
