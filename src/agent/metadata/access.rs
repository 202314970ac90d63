//! Where the endpoint listens: chosen once, recorded, and taken again by the next Longshore.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;

use super::Metadata;
use super::serve;
use crate::agent::known::is_up;
use crate::agent::shared::{Connection, Shared};
use crate::engine::{EngineError, ObservedNetwork};
use crate::model::{MetadataEndpoint, NetworkMode, hex_sha256};
use crate::store::StoreError;
use crate::store::state::seen;

/// Ports that are tried, from below Linux's ephemeral range: there a connection of anybody may hold one while Longshore is down.
const FIRST_PORT: u16 = 20_000;
const PORTS: u16 = 12_000;
/// Ports that are tried before it is given up for the time being.
const ATTEMPTS: u16 = 50;
/// How long the recorded port is waited for. After that running containers lose their endpoint, and new ones have another.
const PORT_WAIT: u32 = 10;
const PAUSE: Duration = Duration::from_secs(1);
/// After that long without a place to listen, it is looked for again.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// Whether the endpoint can be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Access {
    /// It is not known yet, or nobody needs it.
    Starting,
    /// It listens.
    Open(Place),
    /// It cannot, and why.
    Closed(String),
}

/// Where it listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The host's address on the cluster's network.
    pub gateway: Ipv4Addr,
    /// That network's range, CIDR.
    pub subnet: String,
    /// The port, there and on loopback.
    pub port: u16,
    /// How often the network had been doubted when its address was read.
    pub doubts: u64,
}

/// Why it does not listen.
enum Trouble {
    /// It cannot from this process.
    Elsewhere(String),
    /// It may work later.
    Passing(String),
    /// Nobody needs it.
    Unneeded,
}

impl From<EngineError> for Trouble {
    fn from(error: EngineError) -> Self {
        Self::Passing(error.to_string())
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Passing(error.to_string())
    }
}

/// Listens and answers as long as it is polled; returns only where there is no endpoint.
pub(in crate::agent) async fn run(shared: Arc<Shared>) {
    let Some(metadata) = shared.metadata.get() else {
        return;
    };
    let mut connection = shared.link.watch();
    let mut said = String::new();
    let mut tries = 0;
    let mut asked = false;
    loop {
        if connection
            .wait_for(|c| *c == Connection::Connected)
            .await
            .is_err()
        {
            return;
        }
        let opener = Opener {
            shared: &shared,
            asked,
            patient: tries < PORT_WAIT,
        };
        match opener.open().await {
            Ok(open) => {
                (tries, asked) = (0, false);
                said.clear();
                serve_until_doubted(&shared, metadata, open).await;
            }
            Err(Trouble::Unneeded) => {
                metadata.wanted.notified().await;
                asked = true;
            }
            Err(Trouble::Passing(why)) => {
                tries += 1;
                if why != said {
                    tracing::warn!(cluster = %shared.config.cluster, instance = %shared.config.instance.name,
                        "the task metadata endpoint does not listen yet: {why}");
                    said = why;
                }
                tokio::time::sleep(PAUSE).await;
            }
            Err(Trouble::Elsewhere(why)) => {
                metadata.access.send_replace(Access::Closed(why));
                let _ = tokio::time::timeout(LOOK_AGAIN, connection.changed()).await;
            }
        }
    }
}

struct Open {
    place: Place,
    listeners: Vec<TcpListener>,
}

/// Answers until the network may be another one.
async fn serve_until_doubted(shared: &Arc<Shared>, metadata: &Metadata, open: Open) {
    let Open {
        mut place,
        listeners,
    } = open;
    // Dropped at the end, which closes the listeners.
    let _serving = serve::start(shared, listeners);
    loop {
        let current = shared.surroundings.network.doubts();
        if place.doubts != current {
            let same = match shared.surroundings.find_network().await {
                Ok(Some(network)) => address(&network).is_ok_and(|(gateway, subnet)| {
                    gateway == place.gateway && subnet == place.subnet
                }),
                Ok(None) => false,
                Err(_) => {
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            if !same {
                metadata.access.send_replace(Access::Starting);
                return;
            }
            place.doubts = current;
        }
        metadata.access.send_replace(Access::Open(place.clone()));
        shared.surroundings.network.doubted().await;
    }
}

struct Opener<'a> {
    shared: &'a Shared,
    /// Whether a container is about to be created.
    asked: bool,
    /// Whether a recorded port that is taken is waited for.
    patient: bool,
}

impl Opener<'_> {
    async fn open(&self) -> Result<Open, Trouble> {
        let surroundings = &self.shared.surroundings;
        let doubts = surroundings.network.doubts();
        let mut network = surroundings.find_network().await?;
        if network.is_none() && (self.asked || self.hosts_tasks()) {
            surroundings.ensure_network().await?;
            network = surroundings.find_network().await?;
        }
        let recorded = self.recorded();
        let Some(network) = network.filter(|_| self.asked || recorded.is_some()) else {
            return Err(Trouble::Unneeded);
        };
        here(&network)?;
        let (gateway, subnet) = address(&network)?;
        let (listeners, port) = self.listen(gateway, recorded).await?;
        if recorded != Some(port) {
            self.record(port).await?;
        }
        Ok(Open {
            place: Place {
                gateway,
                subnet,
                port,
                doubts,
            },
            listeners,
        })
    }

    fn recorded(&self) -> Option<u16> {
        let config = &self.shared.config;
        let state = self.shared.view.read();
        let entry = state.instance(&config.cluster, &config.instance.name)?;
        Some(entry.endpoint.as_ref()?.port)
    }

    /// Whether a task runs here that is not on the cluster's network and has the endpoint's address.
    fn hosts_tasks(&self) -> bool {
        let config = &self.shared.config;
        let state = self.shared.view.read();
        state
            .tasks_of_instance(&config.cluster, &config.instance.name)
            .any(|(id, entry)| {
                let spec = state.specs.get(&entry.record.spec);
                spec.is_some_and(|spec| spec.network_mode == NetworkMode::Host)
                    && self
                        .shared
                        .cache
                        .of_task(id)
                        .values()
                        .any(|found| is_up(found.state))
            })
    }

    /// The recorded port, or the first of its own that is free.
    async fn listen(
        &self,
        gateway: Ipv4Addr,
        recorded: Option<u16>,
    ) -> Result<(Vec<TcpListener>, u16), Trouble> {
        if let Some(port) = recorded {
            match bind(gateway, port).await {
                Ok(listeners) => return Ok((listeners, port)),
                Err(why) if self.patient => return Err(Trouble::Passing(why)),
                Err(why) => {
                    tracing::warn!(cluster = %self.shared.config.cluster,
                        "the task metadata endpoint moves to another port, and running tasks lose it: {why}");
                }
            }
        }
        let config = &self.shared.config;
        let seed = format!(
            "{}/{}/{}",
            config.owner, config.cluster, config.instance.name
        );
        let mut why = String::new();
        for port in candidates(&seed).filter(|port| Some(*port) != recorded) {
            match bind(gateway, port).await {
                Ok(listeners) => return Ok((listeners, port)),
                Err(error) => why = error,
            }
        }
        Err(Trouble::Passing(why))
    }

    async fn record(&self, port: u16) -> Result<(), Trouble> {
        let config = &self.shared.config;
        let seen = {
            let state = self.shared.view.read();
            let entry = state.instance(&config.cluster, &config.instance.name);
            seen(entry.and_then(|entry| entry.endpoint.as_ref()))
        };
        let endpoint = MetadataEndpoint { port };
        let instance = &config.instance.name;
        let reporter = &self.shared.reporter;
        let revision = reporter.endpoint(instance, endpoint, seen).await?;
        let caught_up = self.shared.view.caught_up(revision).await;
        caught_up.map_err(|stopped| Trouble::Passing(stopped.to_string()))?;
        // From now on the port is not given to tasks.
        crate::agent::register::write(self.shared, true);
        Ok(())
    }
}

/// Whether the network's bridge is on this machine, in this network namespace: the only proof that its address is ours.
fn here(network: &ObservedNetwork) -> Result<(), Trouble> {
    let bridge = format!("br-{}", network.id.get(..12).unwrap_or(&network.id));
    if Path::new("/sys/class/net").join(&bridge).exists() {
        return Ok(());
    }
    Err(Trouble::Elsewhere(format!(
        "the engine's bridge {bridge} is not on this machine, so containers could not reach this process. Run Longshore on \
         the engine's host, in its network namespace (in a container: --network host)"
    )))
}

/// The host's address on the network, and the network's range.
fn address(network: &ObservedNetwork) -> Result<(Ipv4Addr, String), Trouble> {
    let gateway = network.gateways.iter().find_map(|text| {
        let text = text.split('/').next().unwrap_or(text);
        text.parse().ok()
    });
    let subnet = network.subnets.iter().find(|subnet| subnet.contains('.'));
    match (gateway, subnet) {
        (Some(gateway), Some(subnet)) => Ok((gateway, subnet.clone())),
        _ => Err(Trouble::Elsewhere(format!(
            "the network {} has no IPv4 address of the host's",
            network.name
        ))),
    }
}

/// Listens at both addresses.
async fn bind(gateway: Ipv4Addr, port: u16) -> Result<Vec<TcpListener>, String> {
    let mut listeners = Vec::new();
    for ip in [gateway, Ipv4Addr::LOCALHOST] {
        let at = SocketAddr::from((ip, port));
        let listener = TcpListener::bind(at).await;
        listeners.push(listener.map_err(|error| format!("{at}: {error}"))?);
    }
    Ok(listeners)
}

/// Ports to try, another first one for each cluster, instance and owner.
fn candidates(seed: &str) -> impl Iterator<Item = u16> {
    let hash = hex_sha256(seed.as_bytes());
    let first = hash
        .get(..4)
        .and_then(|digits| u16::from_str_radix(digits, 16).ok())
        .unwrap_or_default();
    (0..ATTEMPTS).map(move |n| FIRST_PORT + (first % PORTS + n) % PORTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_to_try_follow_from_the_cluster_and_stay_below_the_ephemeral_range() {
        let ports = |seed: &str| candidates(seed).collect::<Vec<u16>>();
        assert_eq!(ports("a/default/local"), ports("a/default/local"));
        assert_ne!(ports("a/default/local"), ports("a/prod/local"));
        for n in 0..200 {
            for port in ports(&n.to_string()) {
                assert!((FIRST_PORT..32_768).contains(&port), "{port}");
            }
        }
    }

    #[test]
    fn the_hosts_address_is_read_with_and_without_its_range() {
        let network = |gateway: &str| ObservedNetwork {
            id: "0".repeat(64),
            name: "n".to_owned(),
            driver: "bridge".to_owned(),
            labels: std::collections::BTreeMap::new(),
            subnets: vec!["fd00::/64".to_owned(), "172.20.0.0/16".to_owned()],
            gateways: vec!["fd00::1".to_owned(), gateway.to_owned()],
        };
        for text in ["172.20.0.1", "172.20.0.1/16"] {
            let found = address(&network(text)).ok();
            let wanted = (Ipv4Addr::new(172, 20, 0, 1), "172.20.0.0/16".to_owned());
            assert_eq!(found, Some(wanted), "{text}");
        }
        assert!(address(&network("")).is_err());
    }

    #[test]
    fn a_network_whose_bridge_is_not_here_is_elsewhere() {
        let network = ObservedNetwork {
            id: "f".repeat(64),
            name: "n".to_owned(),
            driver: "bridge".to_owned(),
            labels: std::collections::BTreeMap::new(),
            subnets: Vec::new(),
            gateways: Vec::new(),
        };
        let Err(Trouble::Elsewhere(why)) = here(&network) else {
            panic!("it was taken for ours");
        };
        assert!(why.contains("br-ffffffffffff"), "{why}");
    }
}
