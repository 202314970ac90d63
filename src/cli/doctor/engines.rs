//! The engine of each container instance: whether it can be used, and what is on it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use super::{Findings, Space, Verdict, ports, size};
use crate::cli::client_common::now;
use crate::engine::docker::{DockerEngine, Limits};
use crate::engine::endpoint::{Endpoint, ProcessEnvironment, resolve_below};
use crate::engine::{EngineError, EngineInfo, ErrorKind, SharedEngine, lease, pause};
use crate::model::{ClusterName, Desired, EngineEndpoint, InstanceId, Timestamp};

/// How long an engine may take to answer.
const ANSWER: Duration = Duration::from_secs(10);

/// How far an engine's clock may be from ours: times of containers are its own.
const CLOCKS_APART: Duration = Duration::from_secs(5);

/// Room below which an engine cannot pull or write, and below which it soon cannot.
const ROOM: (u64, u64) = (256 << 20, 2 << 30);

/// An endpoint, and the instances that it is.
struct Group {
    endpoint: EngineEndpoint,
    members: Vec<(ClusterName, InstanceId)>,
}

impl Group {
    /// `default/a, prod/a`
    fn name(&self) -> String {
        let names = self.members.iter();
        let names = names.map(|(cluster, instance)| format!("{cluster}/{instance}"));
        names.collect::<Vec<_>>().join(", ")
    }

    fn clusters(&self) -> Vec<ClusterName> {
        self.members.iter().map(|(c, _)| c.clone()).collect()
    }
}

/// The endpoints of the folder's clusters: of those that are declared or have services, else of `default`.
fn groups(desired: &Desired) -> Vec<Group> {
    let is_used = |name: &ClusterName, source: &crate::model::Source| {
        !source.file.is_empty() || desired.services.contains_key(name)
    };
    let any = desired
        .clusters
        .iter()
        .any(|(name, (_, source))| is_used(name, source));
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    for (name, (spec, source)) in &desired.clusters {
        if any && !is_used(name, source) {
            continue;
        }
        for instance in &spec.instances {
            let key = format!("{:?}", instance.endpoint);
            let group = groups.entry(key).or_insert_with(|| Group {
                endpoint: instance.endpoint.clone(),
                members: Vec::new(),
            });
            group.members.push((name.clone(), instance.name.clone()));
        }
    }
    groups.into_values().collect()
}

/// Looks at every engine.
pub(super) async fn check(findings: &mut Findings, desired: &Desired, folder: &Path) {
    // An engine is one instance of a cluster at most.
    let mut known: BTreeMap<(ClusterName, String), String> = BTreeMap::new();
    for group in groups(desired) {
        let Some((engine, endpoint, info)) = connect(findings, &group, folder).await else {
            continue;
        };
        for (cluster, instance) in &group.members {
            let key = (cluster.clone(), info.id.clone());
            if let Some(first) = known.insert(key, instance.to_string()) {
                findings.bad(
                    "engine",
                    format!("{cluster}/{instance} is the same engine as {cluster}/{first}"),
                    "an engine is one instance of a cluster at most: remove one of them from the manifest",
                );
            }
        }
        describe(findings, &group, &info);
        room(findings, &info);
        pools(findings, &engine).await;
        holders(findings, &engine, &group).await;
        images(findings, &engine, &group, desired).await;
        ports::check(findings, &engine, &endpoint, (desired, &group.clusters())).await;
    }
}

async fn connect(
    findings: &mut Findings,
    group: &Group,
    folder: &Path,
) -> Option<(SharedEngine, Endpoint, EngineInfo)> {
    let name = group.name();
    let found = match resolve_below(&group.endpoint, &ProcessEnvironment, folder) {
        Ok(found) => found,
        Err(error) => {
            let help = match group.endpoint {
                EngineEndpoint::Local => {
                    "correct DOCKER_HOST, DOCKER_CONTEXT or ~/.docker/config.json"
                }
                _ => "correct the instance's `endpoint` and `tls` in the manifest of its cluster",
            };
            findings.bad("engine address", format!("{name}: {error}"), help);
            return None;
        }
    };
    findings.good(
        "engine address",
        format!("{name}: {} ({})", found.endpoint, found.origin),
    );
    rights(findings, &found.endpoint);
    let answered = tokio::time::timeout(ANSWER, async {
        let engine = DockerEngine::connect(&found.endpoint, Limits::default()).await?;
        let info = crate::engine::Engine::info(&engine).await?;
        Ok::<_, EngineError>((std::sync::Arc::new(engine) as SharedEngine, info))
    });
    let (message, kind) = match answered.await {
        Ok(Ok((engine, info))) => return Some((engine, found.endpoint, info)),
        Ok(Err(error)) => (error.message, error.kind),
        Err(_) => (
            format!("it has not answered for {} seconds", ANSWER.as_secs()),
            ErrorKind::Unreachable,
        ),
    };
    findings.bad(
        "engine",
        format!("{name}: {message}"),
        what_to_do(kind, &found.endpoint),
    );
    None
}

/// What helps against an engine that cannot be used.
fn what_to_do(kind: ErrorKind, endpoint: &Endpoint) -> &'static str {
    match (kind, endpoint) {
        (ErrorKind::PermissionDenied, Endpoint::Unix(_)) => {
            "add yourself to its group: `sudo usermod -aG docker $USER`, then log in again"
        }
        (_, Endpoint::Unix(_)) => {
            "is Docker running? `systemctl start docker`, and `journalctl -u docker` says why it is not"
        }
        (_, Endpoint::Tcp(_)) => {
            "is Docker running on that machine, and does it listen there? Is the address right, in the manifest, in DOCKER_HOST or the \
             context?"
        }
        (_, Endpoint::Ssh(_)) => {
            "does `ssh` reach that machine without asking, and may you use Docker there? Try `ssh HOST docker version`"
        }
    }
}

fn rights(findings: &mut Findings, endpoint: &Endpoint) {
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

fn describe(findings: &mut Findings, group: &Group, info: &EngineInfo) {
    findings.good(
        "engine",
        format!(
            "{}: {} on {}/{}, API {} (it speaks {} to {}), {} CPUs, {}",
            group.name(),
            info.version,
            info.os,
            info.architecture,
            info.api_version,
            info.api_range.1,
            info.api_range.0,
            info.cpus,
            size(info.memory)
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
    } else if pause::rootfs(&info.architecture).is_none() {
        findings.bad(
            "architecture",
            format!("{} has no pause image", info.architecture),
            "Longshore runs on amd64 and arm64",
        );
    }
    for warning in &info.warnings {
        findings.warn(
            "engine says",
            warning.clone(),
            "a limit of this host: definitions that need it will fail to start",
        );
    }
    clock(findings, info.clock, now());
}

/// Times of containers are by the engine's clock, and everything else by ours.
fn clock(findings: &mut Findings, theirs: Option<Timestamp>, ours: Timestamp) {
    let Some(theirs) = theirs else {
        return;
    };
    let (apart, which) = match theirs > ours {
        true => (theirs.since(ours), "ahead of"),
        false => (ours.since(theirs), "behind"),
    };
    if apart <= CLOCKS_APART {
        findings.good("clock", "the engine's is ours");
    } else {
        findings.warn(
            "clock",
            format!("the engine's is {} s {which} ours", apart.as_secs()),
            "ages, grace periods and \"healthy after\" are off by as much: set both by NTP (`timedatectl set-ntp true`)",
        );
    }
}

/// Where the engine keeps images, containers and volumes; only of one that is here.
fn room(findings: &mut Findings, info: &EngineInfo) {
    if !info.is_here {
        return;
    }
    let Some(space) = Space::at(Path::new(&info.root_dir)) else {
        return;
    };
    let found = format!("{} in {}", space.shown(), info.root_dir);
    let help = "`docker system df` says what takes it; without room no image is pulled and no log is written";
    match space.judge(ROOM.0, ROOM.1) {
        Verdict::Good => findings.good("engine's disk", found),
        Verdict::Warning => findings.warn("engine's disk", found, help),
        Verdict::Bad => findings.bad("engine's disk", found, help),
    }
}

/// An engine has about 31 default address pools, one a network.
async fn pools(findings: &mut Findings, engine: &SharedEngine) {
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

/// Who holds the clusters there.
async fn holders(findings: &mut Findings, engine: &SharedEngine, group: &Group) {
    for cluster in group.clusters() {
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

/// Which images of the services there are on the engine.
async fn images(findings: &mut Findings, engine: &SharedEngine, group: &Group, desired: &Desired) {
    let clusters = group.clusters();
    let services = desired.all_services();
    let families = services.filter(|(spec, _)| clusters.contains(&spec.cluster));
    let definitions = families.filter_map(|(spec, _)| desired.task_definitions.get(&spec.family));
    let wanted: BTreeSet<&str> = definitions
        .flat_map(|(definition, _)| &definition.spec.containers)
        .map(|container| container.image.as_str())
        .collect();
    let mut missing = Vec::new();
    for image in &wanted {
        match engine.image(image).await {
            Ok(Some(_)) => {}
            Ok(None) => missing.push(*image),
            Err(error) => {
                findings.bad("images", error.message, "look at `journalctl -u docker`");
                return;
            }
        }
    }
    if wanted.is_empty() {
        return;
    }
    let there = format!(
        "{} of {} are there",
        wanted.len() - missing.len(),
        wanted.len()
    );
    findings.good(
        "images",
        match missing.is_empty() {
            true => there,
            false => format!("{there}; to be pulled: {}", missing.join(", ")),
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::endpoint::parse;

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

    #[test]
    fn clocks_that_are_apart_are_warned_of_with_the_direction() {
        let ours = Timestamp::from_millis(1_000_000);
        let of = |theirs: i64| {
            let mut findings = Findings::default();
            clock(&mut findings, Some(Timestamp::from_millis(theirs)), ours);
            let found = findings.0.remove(0);
            (found.verdict, found.found)
        };
        assert_eq!(of(1_005_000).0, Verdict::Good);
        let ahead = (
            Verdict::Warning,
            "the engine's is 60 s ahead of ours".to_owned(),
        );
        assert_eq!(of(1_060_000), ahead);
        let behind = (
            Verdict::Warning,
            "the engine's is 60 s behind ours".to_owned(),
        );
        assert_eq!(of(940_000), behind);
    }

    #[test]
    fn every_declared_endpoint_is_looked_at_once_and_the_local_one_where_nothing_is_declared() {
        let folder = tempfile::tempdir().unwrap();
        let of = |text: &str| {
            std::fs::write(folder.path().join("a.yaml"), text).unwrap();
            let desired = crate::cli::validate::load(&[folder.path().to_owned()]).desired;
            groups(&desired).iter().map(Group::name).collect::<Vec<_>>()
        };
        let cluster = |name: &str, instances: &str| {
            format!(
                "---\napiVersion: longshore/v1\nkind: Cluster\nmetadata: {{name: {name}}}\nspec:\n  containerInstances: {instances}\n"
            )
        };
        assert_eq!(of("# nothing\n"), ["default/local"]);
        let far = "[{name: a, endpoint: 'tcp://10.0.0.5:2375'}, {name: b, endpoint: 'tcp://10.0.0.6:2375'}]";
        assert_eq!(of(&cluster("prod", far)), ["prod/a", "prod/b"]);
        let near = "[{name: x, endpoint: 'tcp://10.0.0.5:2375'}]";
        let both = cluster("prod", far) + &cluster("test", near);
        assert_eq!(of(&both), ["prod/a, test/x", "prod/b"]);
    }
}
