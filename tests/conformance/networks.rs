//! Networks, names, shared namespaces, published ports.

use std::collections::BTreeMap;

use longshore::engine::body::{Empty, EndpointConfig, NetworkingConfig, PortBinding};
use longshore::engine::{ContainerState, CreateBody, Engine, ErrorKind};

use super::{exec, kind, running, started};
use crate::common::Namespace;

fn on(ns: &Namespace, network: &str, alias: &str) -> CreateBody {
    let network = ns.name(network);
    let mut body = ns.body(&["sleep", "1000"]);
    body.networking_config = Some(NetworkingConfig {
        endpoints_config: BTreeMap::from([(
            network.clone(),
            EndpointConfig {
                aliases: vec![alias.to_owned()],
                ..EndpointConfig::default()
            },
        )]),
    });
    body.host_config.network_mode = Some(network);
    body
}

fn joining(ns: &Namespace, owner: &str) -> CreateBody {
    let mut body = ns.body(&["sleep", "1000"]);
    body.host_config.network_mode = Some(format!("container:{owner}"));
    body
}

fn publishing(ns: &Namespace, host_port: &str) -> CreateBody {
    let mut body = ns.body(&["sleep", "1000"]);
    body.exposed_ports.insert("8080/tcp".to_owned(), Empty {});
    body.host_config.port_bindings.insert(
        "8080/tcp".to_owned(),
        vec![PortBinding {
            host_ip: String::new(),
            host_port: host_port.to_owned(),
        }],
    );
    body
}

/// Whether a name has an address there.
async fn resolves(engine: &dyn Engine, id: &str, name: &str) -> bool {
    exec(engine, id, &["nslookup", name]).await.0 == 0
}

pub async fn a_network_is_made_found_and_removed(engine: &dyn Engine, ns: &Namespace) {
    let body = ns.network("one");
    let id = engine.create_network(&body).await.expect("created");
    let found = engine.list_networks(&ns.filter()).await.expect("a list");
    let [network] = found.as_slice() else {
        panic!("{found:?}");
    };
    assert_eq!(
        (&network.id, &network.name, network.driver.as_str()),
        (&id, &body.name, "bridge")
    );
    assert_eq!(network.labels, body.labels);
    assert_eq!(network.subnets.len(), 1, "{network:?}");
    engine.remove_network(&id).await.expect("removed");
    assert_eq!(kind(engine.remove_network(&id).await), ErrorKind::NotFound);
    assert_eq!(
        engine.list_networks(&ns.filter()).await.expect("a list"),
        []
    );
}

pub async fn a_taken_network_name_is_a_conflict(engine: &dyn Engine, ns: &Namespace) {
    engine
        .create_network(&ns.network("twice"))
        .await
        .expect("created");
    let again = engine.create_network(&ns.network("twice")).await;
    assert_eq!(kind(again), ErrorKind::NameConflict);
}

pub async fn a_network_in_use_cannot_be_removed_and_an_unused_one_can(
    engine: &dyn Engine,
    ns: &Namespace,
) {
    let network = engine
        .create_network(&ns.network("used"))
        .await
        .expect("created");
    let id = started(engine, &ns.name("user"), &on(ns, "used", "user")).await;
    assert_eq!(
        kind(engine.remove_network(&network).await),
        ErrorKind::Conflict
    );
    engine.stop_container(&id, 0).await.expect("stopped");
    engine.remove_network(&network).await.expect("removed");
    // The container knew that very network: another of the same name does not bring it back.
    engine
        .create_network(&ns.network("used"))
        .await
        .expect("created");
    assert_eq!(kind(engine.start_container(&id).await), ErrorKind::NotFound);
}

pub async fn a_missing_network_fails_the_start(engine: &dyn Engine, ns: &Namespace) {
    let id = engine
        .create_container(&ns.name("lost"), &on(ns, "nowhere", "lost"))
        .await
        .expect("created");
    assert_eq!(kind(engine.start_container(&id).await), ErrorKind::NotFound);
    let seen = engine.inspect_container(&id).await.expect("it exists");
    assert_eq!(seen.state, ContainerState::Created);
    assert!(!seen.error.is_empty());
    engine
        .create_network(&ns.network("nowhere"))
        .await
        .expect("created");
    engine.start_container(&id).await.expect("it is there now");
    let seen = engine.inspect_container(&id).await.expect("it exists");
    assert_eq!(
        (seen.state, seen.error.as_str()),
        (ContainerState::Running, "")
    );
}

pub async fn a_container_has_an_address_while_it_runs(engine: &dyn Engine, ns: &Namespace) {
    engine
        .create_network(&ns.network("net"))
        .await
        .expect("created");
    let a = started(engine, &ns.name("a"), &on(ns, "net", "a")).await;
    let b = started(engine, &ns.name("b"), &on(ns, "net", "b")).await;
    let address = async |id: &str| {
        let seen = engine.inspect_container(id).await.expect("it exists");
        seen.addresses.get(&ns.name("net")).cloned()
    };
    let (of_a, of_b) = (address(&a).await, address(&b).await);
    assert!(
        of_a.is_some() && of_b.is_some() && of_a != of_b,
        "{of_a:?} {of_b:?}"
    );
    engine.stop_container(&a, 0).await.expect("stopped");
    assert_eq!(address(&a).await, None);
}

pub async fn aliases_are_names_on_the_network(engine: &dyn Engine, ns: &Namespace) {
    engine
        .create_network(&ns.network("net"))
        .await
        .expect("created");
    let web = started(engine, &ns.name("web"), &on(ns, "net", "web")).await;
    let client = started(engine, &ns.name("client"), &on(ns, "net", "client")).await;
    assert!(resolves(engine, &client, "web").await);
    assert!(resolves(engine, &client, &ns.name("web")).await);
    assert!(!resolves(engine, &client, "nobody").await);
    engine.stop_container(&web, 0).await.expect("stopped");
    assert!(!resolves(engine, &client, "web").await);
}

pub async fn joining_a_namespace_takes_a_running_owner(engine: &dyn Engine, ns: &Namespace) {
    let owner = engine
        .create_container(&ns.name("owner"), &ns.body(&["sleep", "1000"]))
        .await
        .expect("created");
    let guest = engine
        .create_container(&ns.name("guest"), &joining(ns, &owner))
        .await
        .expect("created before its owner runs");
    assert_eq!(
        kind(engine.start_container(&guest).await),
        ErrorKind::Conflict
    );
    engine.start_container(&owner).await.expect("started");
    engine
        .start_container(&guest)
        .await
        .expect("its owner runs");

    let orphan = engine
        .create_container(&ns.name("orphan"), &joining(ns, &ns.name("nobody")))
        .await
        .expect("created before its owner exists");
    assert_eq!(
        kind(engine.start_container(&orphan).await),
        ErrorKind::NotFound
    );
}

pub async fn a_joined_namespace_is_shared_and_lost_with_its_owner(
    engine: &dyn Engine,
    ns: &Namespace,
) {
    engine
        .create_network(&ns.network("net"))
        .await
        .expect("created");
    let owner = started(engine, &ns.name("owner"), &on(ns, "net", "task")).await;
    let guest = started(engine, &ns.name("guest"), &joining(ns, &owner)).await;
    let seen = engine.inspect_container(&guest).await.expect("it exists");
    assert!(seen.addresses.is_empty(), "{seen:?}");
    assert!(resolves(engine, &guest, "task").await);

    engine.stop_container(&owner, 0).await.expect("stopped");
    let seen = engine.inspect_container(&guest).await.expect("it exists");
    assert_eq!(seen.state, ContainerState::Running);
    // Also when the owner is back: that is a new namespace, and the guest is in the old one.
    engine.start_container(&owner).await.expect("started");
    assert!(!resolves(engine, &guest, "task").await);
}

pub async fn what_a_joined_namespace_cannot_have_is_refused(engine: &dyn Engine, ns: &Namespace) {
    let owner = running(engine, ns, "owner", &["sleep", "1000"]).await;
    let mut named = joining(ns, &owner);
    named.hostname = Some("me".to_owned());
    let result = engine.create_container(&ns.name("named"), &named).await;
    assert_eq!(kind(result), ErrorKind::Invalid);
    let mut published = publishing(ns, "");
    published.host_config.network_mode = Some(format!("container:{owner}"));
    let result = engine
        .create_container(&ns.name("published"), &published)
        .await;
    assert_eq!(kind(result), ErrorKind::Invalid);
}

pub async fn a_fixed_port_is_published_once(engine: &dyn Engine, ns: &Namespace) {
    let port = std::net::TcpListener::bind("0.0.0.0:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port();
    let body = publishing(ns, &port.to_string());
    let first = started(engine, &ns.name("first"), &body).await;
    let seen = engine.inspect_container(&first).await.expect("it exists");
    assert!(
        seen.ports
            .iter()
            .any(|p| (p.container_port, p.host_port) == (8080, port)),
        "{seen:?}"
    );

    let second = engine
        .create_container(&ns.name("second"), &body)
        .await
        .expect("a clash shows at the start only");
    assert_eq!(
        kind(engine.start_container(&second).await),
        ErrorKind::PortInUse
    );
    let seen = engine.inspect_container(&second).await.expect("it exists");
    assert_eq!(seen.state, ContainerState::Created);
    assert!(
        seen.ports.is_empty() && seen.error.contains(&port.to_string()),
        "{seen:?}"
    );

    engine.stop_container(&first, 0).await.expect("stopped");
    engine
        .start_container(&second)
        .await
        .expect("the port is free");
}

pub async fn dynamic_ports_differ_and_end_with_the_container(engine: &dyn Engine, ns: &Namespace) {
    let mut ports = Vec::new();
    for name in ["a", "b"] {
        let id = started(engine, &ns.name(name), &publishing(ns, "")).await;
        let seen = engine.inspect_container(&id).await.expect("it exists");
        let port = seen.ports.first().expect("a port").clone();
        assert!(
            port.container_port == 8080 && port.host_port > 0,
            "{port:?}"
        );
        ports.push(port.host_port);
        if name == "b" {
            engine.stop_container(&id, 0).await.expect("stopped");
            let seen = engine.inspect_container(&id).await.expect("it exists");
            assert!(seen.ports.is_empty(), "{seen:?}");
        }
    }
    assert_ne!(ports[0], ports[1]);
}

pub async fn a_port_that_is_not_exposed_is_not_published(engine: &dyn Engine, ns: &Namespace) {
    let mut body = publishing(ns, "");
    body.exposed_ports.clear();
    let id = started(engine, &ns.name("hidden"), &body).await;
    let seen = engine.inspect_container(&id).await.expect("it exists");
    assert!(seen.ports.is_empty(), "{seen:?}");
}

pub async fn the_host_has_an_address_on_a_network(engine: &dyn Engine, ns: &Namespace) {
    let body = ns.network("host");
    engine.create_network(&body).await.expect("created");
    let found = engine.list_networks(&ns.filter()).await.expect("a list");
    let [network] = found.as_slice() else {
        panic!("one network: {found:?}");
    };
    let [gateway] = network.gateways.as_slice() else {
        panic!("one gateway: {network:?}");
    };
    let prefix = gateway.rsplit_once('.').expect("an IPv4 address").0;
    assert!(network.subnets[0].starts_with(prefix), "{network:?}");
    let id = started(engine, &ns.name("on"), &on(ns, "host", "on")).await;
    let seen = engine.inspect_container(&id).await.expect("it is there");
    assert_ne!(seen.addresses.get(&body.name), Some(gateway));
}
