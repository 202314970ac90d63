//! Networks, addresses, names, published ports, and volumes.

use std::collections::{BTreeMap, BTreeSet};

use super::state::{Answer, Container, Joined, Refusal, State, Volume, has_labels};
use crate::engine::{
    ErrorKind, LabelFilter, NetworkBody, ObservedNetwork, ObservedVolume, PublishedPort, VolumeBody,
};
use crate::model::Protocol;

/// The first host port that the engine gives out by itself.
pub(super) const FIRST_DYNAMIC_PORT: u16 = 32768;

#[derive(Debug, Clone)]
pub(super) struct Network {
    pub id: String,
    pub name: String,
    pub driver: String,
    pub labels: BTreeMap<String, String>,
    /// Which of the default address pools it has; none for `host` and `none`.
    pub pool: Option<u8>,
    pub builtin: bool,
}

impl Network {
    fn observe(&self) -> ObservedNetwork {
        ObservedNetwork {
            id: self.id.clone(),
            name: self.name.clone(),
            driver: self.driver.clone(),
            labels: self.labels.clone(),
            subnets: self
                .pool
                .map(|pool| format!("172.{pool}.0.0/16"))
                .into_iter()
                .collect(),
            gateways: self
                .pool
                .map(|pool| format!("172.{pool}.0.1"))
                .into_iter()
                .collect(),
        }
    }
}

/// A container's place on a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// The network's id, once it was joined: a new network of the same name is another.
    pub network: Option<String>,
    pub aliases: Vec<String>,
    /// While it runs.
    pub address: Option<String>,
}

/// `80/tcp`; `None` for what is no port.
pub(super) fn parse_port(text: &str) -> Option<(u16, Protocol)> {
    let (port, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = match protocol {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        _ => return None,
    };
    port.parse()
        .ok()
        .filter(|port| *port > 0)
        .map(|port| (port, protocol))
}

impl State {
    pub fn add_builtin_networks(&mut self) {
        for (name, driver, pool) in [
            ("bridge", "bridge", Some(17)),
            ("host", "host", None),
            ("none", "null", None),
        ] {
            let id = self.fresh_id();
            self.networks.insert(
                id.clone(),
                Network {
                    id,
                    name: name.to_owned(),
                    driver: driver.to_owned(),
                    labels: BTreeMap::new(),
                    pool,
                    builtin: true,
                },
            );
        }
    }

    fn network(&self, target: &str) -> Answer<&Network> {
        self.networks
            .values()
            .find(|network| network.name == target)
            .or_else(|| self.networks.get(target))
            .ok_or_else(|| Refusal::new(ErrorKind::NotFound, format!("network {target} not found")))
    }

    pub fn list_networks(&self, labels: &LabelFilter) -> Vec<ObservedNetwork> {
        self.networks
            .values()
            .filter(|network| has_labels(&network.labels, labels))
            .map(Network::observe)
            .collect()
    }

    pub fn create_network(&mut self, body: &NetworkBody) -> Answer<String> {
        if body.name.is_empty() {
            return Err(Refusal::new(
                ErrorKind::Invalid,
                "invalid network name: must not be empty",
            ));
        }
        if self
            .networks
            .values()
            .any(|network| network.name == body.name)
        {
            return Err(Refusal::new(
                ErrorKind::NameConflict,
                format!("network with name {} already exists", body.name),
            ));
        }
        let taken: BTreeSet<u8> = self.networks.values().filter_map(|n| n.pool).collect();
        let free = (17..=u8::MAX)
            .take(self.options.max_networks)
            .find(|pool| !taken.contains(pool))
            .ok_or_else(|| {
                Refusal::new(
                    ErrorKind::Exhausted,
                    "could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network",
                )
            })?;
        let id = self.fresh_id();
        let driver = match body.driver.as_str() {
            "" => "bridge".to_owned(),
            driver => driver.to_owned(),
        };
        self.emit_resource(
            "network",
            "create",
            &id,
            &[("name", &body.name), ("type", &driver)],
        );
        self.networks.insert(
            id.clone(),
            Network {
                id: id.clone(),
                name: body.name.clone(),
                driver,
                labels: body.labels.clone(),
                pool: Some(free),
                builtin: false,
            },
        );
        Ok(id)
    }

    pub fn remove_network(&mut self, target: &str) -> Answer<()> {
        let network = self.network(target)?.clone();
        if network.builtin {
            return Err(Refusal::new(
                ErrorKind::Invalid,
                format!("{target} is a pre-defined network and cannot be removed"),
            ));
        }
        let in_use = self.containers.values().any(|container| {
            container.endpoints.values().any(|endpoint| {
                endpoint.address.is_some() && endpoint.network.as_ref() == Some(&network.id)
            })
        });
        if in_use {
            return Err(Refusal::new(
                ErrorKind::Conflict,
                format!(
                    "error while removing network: network {} id {} has active endpoints",
                    network.name, network.id
                ),
            ));
        }
        self.networks.remove(&network.id);
        self.emit_resource(
            "network",
            "destroy",
            &network.id,
            &[("name", &network.name), ("type", &network.driver)],
        );
        Ok(())
    }

    /// Joins the networks (or the namespace) that a container is to start in and publishes its ports.
    pub fn connect(&mut self, id: &str) -> Answer<()> {
        let container = self.container(id)?;
        for mode in [
            container.body.host_config.pid_mode.as_deref(),
            container.body.host_config.ipc_mode.as_deref(),
        ] {
            if let Some(owner) = mode.and_then(|mode| mode.strip_prefix("container:")) {
                self.running(owner, "PID")?;
            }
        }
        if let Some(owner) = container.network_mode.strip_prefix("container:") {
            let owner = self.running(owner, "network")?;
            let joined = Joined {
                owner: owner.id.clone(),
                run: owner.run,
            };
            self.container_mut(id)?.joined = Some(joined);
            return Ok(());
        }
        if matches!(container.network_mode.as_str(), "host" | "none") {
            return Ok(());
        }
        let mode = container.network_mode.clone();
        let remembered = container
            .endpoints
            .get(&mode)
            .and_then(|endpoint| endpoint.network.clone());
        let network = match &remembered {
            Some(network) => self.networks.get(network).ok_or_else(|| {
                Refusal::new(ErrorKind::NotFound, format!("network {network} not found"))
            })?,
            None => self.network(&mode)?,
        };
        let (network_id, network_name) = (network.id.clone(), network.name.clone());
        let address = self.free_address(&network_id)?;
        let ports = self.publish(id)?;
        let container = self.container_mut(id)?;
        container.ports = ports;
        if let Some(endpoint) = container.endpoints.get_mut(&mode) {
            endpoint.network = Some(network_id.clone());
            endpoint.address = Some(address);
        }
        self.emit_resource(
            "network",
            "connect",
            &network_id,
            &[
                ("name", &network_name),
                ("container", id),
                ("type", "bridge"),
            ],
        );
        Ok(())
    }

    /// Undoes [`State::connect`].
    pub fn disconnect(&mut self, id: &str) {
        let Some(container) = self.containers.get_mut(id) else {
            return;
        };
        container.ports.clear();
        container.joined = None;
        let mut left = Vec::new();
        for endpoint in container.endpoints.values_mut() {
            if endpoint.address.take().is_some() {
                left.extend(endpoint.network.clone());
            }
        }
        for network in left {
            self.emit_resource(
                "network",
                "disconnect",
                &network,
                &[("container", id), ("type", "bridge")],
            );
        }
    }

    fn running(&self, target: &str, namespace: &str) -> Answer<&Container> {
        let owner = self.container(target)?;
        if owner.is_running() {
            return Ok(owner);
        }
        Err(Refusal::new(
            ErrorKind::Conflict,
            format!(
                "cannot join {namespace} of a non running container: {}",
                owner.id
            ),
        ))
    }

    fn free_address(&self, network: &str) -> Answer<String> {
        let pool = self
            .networks
            .get(network)
            .and_then(|network| network.pool)
            .unwrap_or(17);
        let taken: BTreeSet<&str> = self
            .containers
            .values()
            .flat_map(|container| container.endpoints.values())
            .filter_map(|endpoint| endpoint.address.as_deref())
            .collect();
        (2..u16::MAX)
            .map(|host| format!("172.{pool}.{}.{}", host / 256, host % 256))
            .find(|address| !taken.contains(address.as_str()))
            .ok_or_else(|| {
                Refusal::new(
                    ErrorKind::Exhausted,
                    "no available IPv4 addresses on this network's address pools",
                )
            })
    }

    /// The host ports of a container that starts. Docker publishes only bindings of ports that are exposed too.
    fn publish(&mut self, id: &str) -> Answer<Vec<PublishedPort>> {
        let container = self.container(id)?;
        let (name, body) = (container.name.clone(), container.body.clone());
        let mut taken: BTreeSet<(Protocol, u16)> = self
            .containers
            .values()
            .flat_map(|container| &container.ports)
            .map(|port| (port.protocol, port.host_port))
            .chain(self.occupied_ports.iter().copied())
            .collect();
        let mut published = Vec::new();
        for (port, bindings) in &body.host_config.port_bindings {
            let Some((container_port, protocol)) = parse_port(port) else {
                continue;
            };
            let exposed = body
                .exposed_ports
                .keys()
                .any(|exposed| parse_port(exposed) == Some((container_port, protocol)));
            if !exposed {
                continue;
            }
            for binding in bindings {
                let host_ip = match binding.host_ip.as_str() {
                    "" => "0.0.0.0".to_owned(),
                    ip => ip.to_owned(),
                };
                let host_port = match binding.host_port.parse::<u16>().unwrap_or(0) {
                    0 => self.dynamic_port(protocol, &taken)?,
                    fixed if taken.contains(&(protocol, fixed)) => {
                        return Err(Refusal::new(
                            ErrorKind::PortInUse,
                            format!(
                                "driver failed programming external connectivity on endpoint {name}: Bind for \
                                 {host_ip}:{fixed} failed: port is already allocated"
                            ),
                        ));
                    }
                    fixed => fixed,
                };
                taken.insert((protocol, host_port));
                published.push(PublishedPort {
                    container_port,
                    protocol,
                    host_ip,
                    host_port,
                });
            }
        }
        published.sort();
        Ok(published)
    }

    fn dynamic_port(
        &mut self,
        protocol: Protocol,
        taken: &BTreeSet<(Protocol, u16)>,
    ) -> Answer<u16> {
        for _ in FIRST_DYNAMIC_PORT..=u16::MAX {
            let port = self.next_port;
            self.next_port = port.checked_add(1).unwrap_or(FIRST_DYNAMIC_PORT);
            if !taken.contains(&(protocol, port)) {
                return Ok(port);
            }
        }
        Err(Refusal::new(
            ErrorKind::Exhausted,
            "all ports are allocated",
        ))
    }

    /// The names that have an address where this container is. The default network has no names.
    pub fn names_of(&self, id: &str) -> BTreeSet<String> {
        let Some(container) = self.containers.get(id) else {
            return BTreeSet::new();
        };
        let on = match &container.joined {
            Some(joined) => self
                .containers
                .get(&joined.owner)
                .filter(|owner| owner.is_running() && owner.run == joined.run),
            None => Some(container),
        };
        let networks: BTreeSet<&String> = on
            .into_iter()
            .flat_map(|container| container.endpoints.iter())
            .filter(|(mode, endpoint)| *mode != "bridge" && endpoint.address.is_some())
            .filter_map(|(_, endpoint)| endpoint.network.as_ref())
            .collect();
        if networks.is_empty() {
            return BTreeSet::new();
        }
        let mut names = BTreeSet::new();
        for other in self.containers.values() {
            for endpoint in other.endpoints.values() {
                let reachable = endpoint.address.is_some()
                    && endpoint
                        .network
                        .as_ref()
                        .is_some_and(|network| networks.contains(network));
                if reachable {
                    names.insert(other.name.clone());
                    names.extend(other.id.get(..12).map(str::to_owned));
                    names.extend(endpoint.aliases.iter().cloned());
                }
            }
        }
        // A link is a name that only this container has for another.
        let body = &container.body;
        let links = body
            .networking_config
            .iter()
            .flat_map(|config| config.endpoints_config.values())
            .flat_map(|endpoint| &endpoint.links)
            .chain(&body.host_config.links);
        for link in links {
            let (target, alias) = link.split_once(':').unwrap_or((link, link));
            if names.contains(target) {
                names.insert(alias.to_owned());
            }
        }
        names
    }

    /// Whether a running container has a network beyond its own loopback, where it was given one.
    pub fn is_connected(&self, id: &str) -> bool {
        self.containers.get(id).is_some_and(|container| {
            container.is_running()
                && match &container.joined {
                    Some(joined) => self
                        .containers
                        .get(&joined.owner)
                        .is_some_and(|owner| owner.is_running() && owner.run == joined.run),
                    None => true,
                }
        })
    }

    pub fn list_volumes(&self, labels: &LabelFilter) -> Vec<ObservedVolume> {
        self.volumes
            .values()
            .filter(|volume| has_labels(&volume.labels, labels))
            .map(observe_volume)
            .collect()
    }

    pub fn inspect_volume(&self, name: &str) -> Answer<ObservedVolume> {
        self.volumes
            .get(name)
            .map(observe_volume)
            .ok_or_else(|| no_volume(name))
    }

    pub fn create_volume(&mut self, body: &VolumeBody) -> Answer<()> {
        let driver = match body.driver.as_str() {
            "" => "local",
            driver => driver,
        };
        if driver != "local" {
            return Err(Refusal::new(
                ErrorKind::NotFound,
                format!(
                    "create {}: error looking up volume plugin {driver}: plugin \"{driver}\" not found",
                    body.name
                ),
            ));
        }
        if self.volumes.contains_key(&body.name) {
            return Ok(());
        }
        self.volumes.insert(
            body.name.clone(),
            Volume {
                name: body.name.clone(),
                driver: driver.to_owned(),
                labels: body.labels.clone(),
            },
        );
        self.emit_resource("volume", "create", &body.name, &[("driver", driver)]);
        Ok(())
    }

    pub fn remove_volume(&mut self, name: &str) -> Answer<()> {
        if !self.volumes.contains_key(name) {
            return Err(no_volume(name));
        }
        if let Some(user) = self
            .containers
            .values()
            .find(|container| container.uses_volume(name))
        {
            return Err(Refusal::new(
                ErrorKind::Conflict,
                format!("remove {name}: volume is in use - [{}]", user.id),
            ));
        }
        self.volumes.remove(name);
        self.emit_resource("volume", "destroy", name, &[("driver", "local")]);
        Ok(())
    }
}

fn no_volume(name: &str) -> Refusal {
    Refusal::new(ErrorKind::NotFound, format!("get {name}: no such volume"))
}

fn observe_volume(volume: &Volume) -> ObservedVolume {
    ObservedVolume {
        name: volume.name.clone(),
        driver: volume.driver.clone(),
        labels: volume.labels.clone(),
        mountpoint: format!("/var/lib/docker/volumes/{}/_data", volume.name),
    }
}
