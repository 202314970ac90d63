//! `pidMode`, `ipcMode`, and the network modes that are nobody's own.

use serde_json::{Value, json};

use crate::world::{World, task};

pub const PROOFS: &[(&str, &[&str])] = &[
    (
        "the_containers_of_a_task_share_the_tasks_namespaces",
        &["pidMode", "ipcMode"],
    ),
    (
        "a_task_in_the_namespaces_of_the_host_is_in_those",
        &["networkMode"],
    ),
];

/// Two containers.
fn pair(members: Value) -> Value {
    task(members, json!([{"name": "a"}, {"name": "b"}]))
}

/// Links that name the namespaces of process `pid`.
fn namespace(world: &World, container: &str, kind: &str) -> String {
    world.inside(
        container,
        &format!("stat -c %N /proc/self/ns/{kind} | sed 's/.*-> //'"),
    )
}

fn of_host(kind: &str) -> String {
    let link = std::fs::read_link(format!("/proc/self/ns/{kind}")).expect("a link");
    format!("'{}'", link.display())
}

#[tokio::test]
async fn the_containers_of_a_task_share_the_tasks_namespaces() {
    let Some(world) = World::run(pair(json!({"pidMode": "task", "ipcMode": "task"}))).await else {
        return;
    };
    for kind in ["pid", "ipc"] {
        let found = namespace(&world, "a", kind);
        assert_eq!(found, namespace(&world, "b", kind), "{kind}");
        assert_ne!(found, of_host(kind));
    }
    // Each sees the other's processes, and process 1 reaps what they leave behind.
    let processes = world.inside("a", "ps");
    assert_eq!(processes.matches("sleep 100000").count(), 2, "{processes}");
    assert_eq!(world.pause()["HostConfig"]["Init"], true);
    assert_eq!(world.pause()["HostConfig"]["IpcMode"], "shareable");
    // Their networks are their own.
    assert_ne!(namespace(&world, "a", "net"), namespace(&world, "b", "net"));
    world.gone().await;
}

#[tokio::test]
async fn without_a_mode_each_container_has_namespaces_of_its_own() {
    let Some(world) = World::run(pair(json!({"ipcMode": "none"}))).await else {
        return;
    };
    for kind in ["pid", "ipc", "net"] {
        assert_ne!(
            namespace(&world, "a", kind),
            namespace(&world, "b", kind),
            "{kind}"
        );
    }
    assert_eq!(world.inspect("a")["HostConfig"]["IpcMode"], "none");
    assert_eq!(
        world.find(longshore::engine::labels::PAUSE_CONTAINER),
        "",
        "nobody needs one"
    );
}

#[tokio::test]
async fn a_task_in_the_namespaces_of_the_host_is_in_those() {
    let modes = json!({"pidMode": "host", "ipcMode": "host", "networkMode": "host"});
    let Some(world) = World::run(task(modes, json!([{"name": "a"}]))).await else {
        return;
    };
    for (mode, kind) in [
        ("PidMode", "pid"),
        ("IpcMode", "ipc"),
        ("NetworkMode", "net"),
    ] {
        assert_eq!(world.inspect("a")["HostConfig"][mode], "host");
        // Only where the engine runs on this very host, and not in namespaces of its own.
        if of_host("uts") == world.inside("a", "stat -c %N /proc/1/ns/uts | sed 's/.*-> //'") {
            assert_eq!(namespace(&world, "a", kind), of_host(kind), "{kind}");
        }
    }
}

#[tokio::test]
async fn a_task_without_a_network_has_nothing_but_loopback() {
    let Some(world) =
        World::run(task(json!({"networkMode": "none"}), json!([{"name": "a"}]))).await
    else {
        return;
    };
    let interfaces = world.inside("a", "ls /proc/sys/net/ipv4/conf");
    assert!(
        interfaces.contains("lo") && !interfaces.contains("eth"),
        "{interfaces}"
    );
}
