//! What belongs to a task besides its containers (semantics §2c), and how it can be reached.

use super::*;

#[test]
fn volumes_are_provided_before_what_mounts_them_is_created() {
    let mut spec = task(json!([
        {"name": "web", "mount_points": [
            {"source_volume": "scratch", "container_path": "/a"},
            {"source_volume": "theirs", "container_path": "/b"},
            {"source_volume": "host", "container_path": "/c"}
        ]},
        {"name": "side"}
    ]));
    spec.volumes = serde_json::from_value(json!([
        {"name": "scratch", "kind": {"type": "task"}},
        {"name": "theirs", "kind": {"type": "shared", "autoprovision": false}},
        {"name": "host", "kind": {"type": "hostPath", "path": "/tmp"}}
    ]))
    .expect("volumes");
    let mut scene = Scene::of(spec);
    scene.facts.volumes.clear();
    assert_eq!(
        scene.actions(),
        [
            "create volume scratch: container web mounts it",
            "find volume theirs: container web mounts it",
            "create container side: the task is to run"
        ]
    );
    let scene = scene.failed(Verb::FindVolume, "theirs", ErrorKind::NotFound, 1);
    assert_eq!(
        scene.status().stopped_reason.as_deref(),
        Some("CannotCreateVolumeError: no luck")
    );
}

#[test]
fn ports_and_addresses_of_an_awsvpc_task_are_the_pause_containers() {
    let mut spec = task(json!([
        {"name": "web", "port_mappings": [{"container_port": 80}]},
        {"name": "side", "port_mappings": [{"container_port": 90}]}
    ]));
    spec.network_mode = NetworkMode::Awsvpc;
    let port = |container_port, host_port| PublishedPort {
        container_port,
        protocol: Protocol::Tcp,
        host_ip: "0.0.0.0".to_owned(),
        host_port,
    };
    let pause = ObservedContainer {
        addresses: [("net".to_owned(), "10.0.0.9".to_owned())].into(),
        ports: vec![port(80, 32_768), port(90, 32_769)],
        ..running(PAUSE_CONTAINER, 1)
    };
    let status = Scene::of(spec)
        .see(PAUSE_CONTAINER, pause)
        .see("web", running("web", 1))
        .see("side", running("side", 1))
        .status();
    let ports: Vec<_> = status
        .containers
        .iter()
        .map(|c| (c.address.as_deref(), c.network_bindings[0].host_port))
        .collect();
    assert_eq!(
        ports,
        [(Some("10.0.0.9"), 32_768), (Some("10.0.0.9"), 32_769)]
    );
}

#[test]
fn a_task_found_running_by_an_agent_without_memory_says_when_it_started() {
    let status = Scene::of(one()).see("web", running("web", 10)).status();
    assert_eq!(status.last_status, LastStatus::Running);
    assert_eq!(status.started_at, Some(at(10)));
}
