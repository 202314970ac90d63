//! The instance as its agent registers it.

use super::host;
use super::report::registered;
use super::shared::Shared;
use crate::engine::EngineInfo;
use crate::model::{
    Instance, InstanceDesired, InstanceSpec, PortSet, Protocol, Resources, Timestamp,
};

/// Ports that the ECS agent never gives to tasks: SSH, Docker's two, and its own (semantics §2b, *hostPort*).
const RESERVED_PORTS: [u16; 6] = [22, 2375, 2376, 51678, 51679, 51680];

/// Registers the instance as it is now, if that is news.
pub(super) fn write(shared: &Shared, connected: bool) {
    let config = &shared.config;
    let before = registered(&shared.view, &config.cluster, &config.instance.name);
    let Some(info) = shared.link.info() else {
        // It never answered: all that can be said is that it does not.
        if let Some(before) = before.filter(|before| before.connected) {
            shared.reporter.instance(Instance {
                connected: false,
                connected_at: shared.clock.now(),
                ..before
            });
        }
        return;
    };
    let now = shared.clock.now();
    let fresh = describe(shared, &info, connected, now);
    let instance = match &before {
        Some(before) => Instance {
            registered_at: before.registered_at,
            connected_at: if before.connected == connected {
                before.connected_at
            } else if connected {
                now
            } else {
                shared.link.answered_at().unwrap_or(now)
            },
            ..fresh
        },
        None => fresh,
    };
    if before.as_ref() != Some(&instance) {
        shared.reporter.instance(instance);
    }
}

fn describe(shared: &Shared, info: &EngineInfo, connected: bool, now: Timestamp) -> Instance {
    let spec = &shared.config.instance;
    let mut attributes = attributes(info);
    if info.is_here {
        attributes.insert(Instance::HOST.to_owned(), String::new());
    }
    // The manifest's own win: somebody may know better.
    attributes.extend(spec.attributes.clone());
    Instance {
        id: spec.name.clone(),
        engine_id: info.id.clone(),
        engine_version: info.version.clone(),
        api_version: info.api_version.clone(),
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        registered: Resources {
            cpu: 1024 * u64::from(info.cpus),
            memory: info.memory >> 20,
        },
        reserved_ports: RESERVED_PORTS
            .iter()
            .copied()
            .chain(endpoint_port(shared))
            .map(|port| (Protocol::Tcp, port))
            .collect::<PortSet>(),
        dynamic_ports: host::dynamic_ports(info),
        gpus: match &spec.gpus {
            Some(named) => named.iter().cloned().collect(),
            None => host::gpus(info),
        },
        attributes,
        registered_at: now,
        connected,
        connected_at: now,
        spec: Some(InstanceSpec {
            desired: InstanceDesired::Active,
            ..spec.clone()
        }),
        remote: !info.is_here,
    }
}

/// The port of the tasks' metadata endpoint, once there is one: a task that was given it could not start.
fn endpoint_port(shared: &Shared) -> Option<u16> {
    let config = &shared.config;
    let state = shared.view.read();
    let entry = state.instance(&config.cluster, &config.instance.name)?;
    Some(entry.endpoint.as_ref()?.port)
}

/// The built-in attributes (semantics §3c) and the ECS agent's capabilities that an engine tells of.
fn attributes(info: &EngineInfo) -> std::collections::BTreeMap<String, String> {
    let architecture = match info.architecture.as_str() {
        "amd64" => "x86_64",
        other => other,
    };
    let mut attributes = std::collections::BTreeMap::from([
        (Instance::OS_TYPE.to_owned(), info.os.clone()),
        (Instance::OS_FAMILY.to_owned(), info.os.to_ascii_uppercase()),
        (
            Instance::CPU_ARCHITECTURE.to_owned(),
            architecture.to_owned(),
        ),
    ]);
    for driver in &info.log_drivers {
        let name = format!("{}{driver}", Instance::LOG_DRIVER);
        attributes.insert(name, String::new());
    }
    attributes.insert(Instance::TASK_NETWORK.to_owned(), String::new());
    debug_assert!(attributes.keys().all(|name| Instance::is_built_in(name)));
    attributes
}
