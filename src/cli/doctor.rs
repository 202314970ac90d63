//! `longshore doctor`: what could keep Longshore from working here.

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use super::output::Tone;
use super::{CommandResult, Failure, Globals, output};
use crate::api;
use crate::engine::docker::{DockerEngine, Limits};
use crate::engine::endpoint::{Endpoint, ProcessEnvironment, resolve};
use crate::engine::{EngineInfo, SharedEngine, lease};
use crate::manifest::watch;
use crate::model::{ClusterName, Desired, EngineEndpoint, Protocol, fixed_host_ports};

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
    if let Some(engine) = check_engine(&mut findings).await {
        check_pools(&mut findings, &engine).await;
        check_holders(&mut findings, &engine, &args.dir).await;
    }
    check_folder(&mut findings, &args.dir);
    check_inotify(&mut findings);
    check_sockets(&mut findings);

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
            "{bad} of {} checks are bad",
            findings.rows.len()
        )));
    }
    Ok(())
}

async fn check_engine(findings: &mut Findings) -> Option<SharedEngine> {
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
            findings.bad("engine", error.message, "is Docker running? `systemctl start docker`; may you use its socket? `sudo usermod -aG docker $USER`");
            return None;
        }
    };
    match engine.info().await {
        Ok(info) => {
            describe_engine(findings, &info);
            Some(engine)
        }
        Err(error) => {
            findings.bad("engine", error.message, "look at `journalctl -u docker`");
            None
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
            info.api_range.0,
            info.api_range.1,
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

/// Who holds the clusters of the folder, and whether the fixed host ports that it wants are free.
async fn check_holders(findings: &mut Findings, engine: &SharedEngine, dir: &Path) {
    let desired = super::validate::load(&[dir.to_owned()]).desired;
    let clusters: Vec<ClusterName> = if desired.services.is_empty() {
        vec![ClusterName::default()]
    } else {
        desired.services.keys().cloned().collect()
    };
    let mut held = false;
    for cluster in clusters {
        match lease::holder(engine.as_ref(), cluster.as_str()).await {
            Ok(None) => findings.good("cluster", format!("{cluster} is held by nobody")),
            Ok(Some(holder)) => {
                held = true;
                findings.good("cluster", format!("{cluster} is held by {holder}"));
            }
            Err(error) => findings.bad(
                "cluster",
                format!("{cluster}: {error}"),
                "look at `docker ps -a`",
            ),
        }
    }
    // What runs already has its ports.
    if !held {
        check_ports(findings, &desired);
    }
}

fn check_ports(findings: &mut Findings, desired: &Desired) {
    let mut wanted = 0;
    for (service, source) in desired.all_services() {
        let Some((definition, _)) = desired.task_definitions.get(&service.family) else {
            continue;
        };
        for (protocol, port) in fixed_host_ports(&definition.spec) {
            wanted += 1;
            let free = match protocol {
                Protocol::Tcp => TcpListener::bind(("0.0.0.0", port)).is_ok(),
                Protocol::Udp => std::net::UdpSocket::bind(("0.0.0.0", port)).is_ok(),
            };
            if !free {
                findings.bad(
                    "port",
                    format!("{port}/{} of service {} ({source}) is in use or may not be used", protocol.as_str(), service.name),
                    format!("find who has it with `ss -lntup 'sport = :{port}'`, or choose another hostPort"),
                );
            }
        }
    }
    findings.good("ports", format!("{wanted} fixed host ports looked at"));
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

fn check_sockets(findings: &mut Findings) {
    let live = api::client::live_sockets();
    if live.is_empty() {
        findings.good(
            "running",
            format!("no Longshore answers in {}", api::runtime_dir().display()),
        );
    }
    for socket in live {
        findings.good(
            "running",
            format!("a Longshore answers at {}", socket.display()),
        );
    }
}
