//! Ports, names and resolvers.

use longshore::model::{NetworkBinding, Protocol};
use serde_json::json;

use crate::world::{World, docker, task};

pub const PROOFS: &[(&str, &[&str])] = &[
    (
        "a_bridge_task_is_on_the_clusters_network_with_its_ports_published",
        &[
            "networkMode: bridge",
            "containerDefinitions[].portMappings[].containerPort",
            "containerDefinitions[].portMappings[].hostPort",
            "containerDefinitions[].portMappings[].protocol",
            "containerDefinitions[].portMappings[].name",
            "containerDefinitions[].portMappings[].containerPortRange",
        ],
    ),
    (
        "an_awsvpc_task_shares_one_network_that_its_pause_container_holds",
        &["networkMode: awsvpc", "requiresCompatibilities: FARGATE"],
    ),
    (
        "a_container_resolves_names_as_its_definition_says",
        &[
            "containerDefinitions[].links",
            "containerDefinitions[].dnsServers",
            "containerDefinitions[].dnsSearchDomains",
            "containerDefinitions[].extraHosts[].hostname",
            "containerDefinitions[].extraHosts[].ipAddress",
            "containerDefinitions[].disableNetworking",
        ],
    ),
];

#[tokio::test]
async fn a_bridge_task_is_on_the_clusters_network_with_its_ports_published() {
    // Somebody's port that is free now; nothing else on this machine asks for a fixed one of that range.
    let free = std::net::TcpListener::bind("0.0.0.0:0").and_then(|l| l.local_addr());
    let free = free.expect("a port").port();
    let definition = task(
        json!({}),
        json!([{
            "name": "app",
            "command": ["httpd", "-f", "-p", "80", "-h", "/etc"],
            "portMappings": [
                {"containerPort": 80, "hostPort": free, "name": "web"},
                {"containerPort": 81},
                {"containerPort": 53, "protocol": "udp"},
                {"containerPortRange": "9000-9002"},
            ],
        }]),
    );
    let Some(world) = World::run(definition).await else {
        return;
    };
    let app = world.inspect("app");
    let ports = &app["NetworkSettings"]["Ports"];
    assert_eq!(ports["80/tcp"][0]["HostPort"], free.to_string());
    for port in ["81/tcp", "53/udp", "9000/tcp", "9001/tcp", "9002/tcp"] {
        assert!(ports[port][0]["HostPort"].is_string(), "{port}: {ports:#}");
    }
    let kept = app["Config"]["Labels"]["longshore.spec"]
        .as_str()
        .unwrap_or_default();
    assert!(kept.contains(r#""name":"web""#), "{kept}");
    // The difference: not docker0, but a network of the cluster, on which the service's name leads to its tasks.
    let networks = app["NetworkSettings"]["Networks"]
        .as_object()
        .expect("networks");
    let (name, network) = networks.iter().next().expect("one");
    assert!(
        networks.len() == 1 && name.starts_with("longshore-default-"),
        "{name}"
    );
    let aliases = network["Aliases"].as_array().expect("aliases");
    assert!(aliases.contains(&json!("web")), "{aliases:?}");

    // What is reported is what the engine published; the range as one.
    let status = world.running().await;
    let bindings = &status.containers[0].network_bindings;
    let of = |port: u16| -> Vec<&NetworkBinding> {
        bindings
            .iter()
            .filter(|b| b.container_port == port)
            .collect()
    };
    assert_eq!(
        (of(80)[0].host_port, of(53)[0].protocol),
        (free, Protocol::Udp)
    );
    assert!(of(9000).iter().all(|b| b.count == 3), "{bindings:?}");
    assert!(of(9001).is_empty(), "{bindings:?}");
}

#[tokio::test]
async fn an_awsvpc_task_shares_one_network_that_its_pause_container_holds() {
    let definition = task(
        json!({"networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"], "cpu": "256", "memory": "512"}),
        json!([
            {"name": "web", "command": ["sh", "-c", "echo hello > /tmp/index.html; exec httpd -f -p 8080 -h /tmp"],
             "portMappings": [{"containerPort": 8080}], "dnsServers": ["10.9.8.7"]},
            {"name": "client"},
        ]),
    );
    let Some(world) = World::run(definition).await else {
        return;
    };
    let pause = world.pause();
    let joined = format!("container:{}", pause["Id"].as_str().expect("an id"));
    for container in ["web", "client"] {
        assert_eq!(
            world.inspect(container)["HostConfig"]["NetworkMode"],
            joined.as_str()
        );
    }
    assert_eq!(pause["HostConfig"]["Dns"], json!(["10.9.8.7"]));
    // The difference: the port is published on the host besides, by the engine's choice.
    assert!(pause["NetworkSettings"]["Ports"]["8080/tcp"][0]["HostPort"].is_string());
    let page = "timeout 10 nc 127.0.0.1 8080 <<EOF | tail -n 1\nGET / HTTP/1.0\n\nEOF";
    world
        .rig
        .until_true("one answers the other on localhost", async || {
            world.inside("client", page).contains("hello")
        })
        .await;
}

#[tokio::test]
async fn a_container_resolves_names_as_its_definition_says() {
    let definition = task(
        json!({}),
        json!([
            {"name": "db"},
            {"name": "app", "links": ["db:store"], "dnsServers": ["10.9.8.7"], "dnsSearchDomains": ["shop.example"],
             "extraHosts": [{"hostname": "printer", "ipAddress": "10.1.2.3"}]},
            {"name": "alone", "disableNetworking": true},
        ]),
    );
    let Some(world) = World::run(definition).await else {
        return;
    };
    let app = world.inspect("app");
    assert_eq!(app["HostConfig"]["Dns"], json!(["10.9.8.7"]));
    assert!(
        world
            .inside("app", "cat /etc/hosts")
            .contains("10.1.2.3\tprinter")
    );
    assert!(
        world
            .inside("app", "cat /etc/resolv.conf")
            .contains("search shop.example")
    );
    // The link is a name of the other container that only this one knows.
    let address = |container: &str| {
        let found = world.inspect(container)["NetworkSettings"]["Networks"].take();
        let first = found
            .as_object()
            .and_then(|all| all.values().next())
            .cloned();
        first.expect("a network")["IPAddress"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let pinged = world.inside("app", "ping -c 1 -W 1 store | head -n 1");
    assert!(pinged.contains(&address("db")), "{pinged}");
    assert_eq!(
        world.inside("db", "ping -c 1 -W 1 store >/dev/null 2>&1 || echo unknown"),
        "unknown"
    );

    let alone = docker(&[
        "inspect",
        "--format",
        "{{.HostConfig.NetworkMode}}",
        &world.find("alone"),
    ]);
    assert_eq!(alone, "none");
    let interfaces = world.inside("alone", "ls /proc/sys/net/ipv4/conf");
    assert!(!interfaces.contains("eth"), "{interfaces}");
}
