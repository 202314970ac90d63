//! Golden bodies of representative tasks, and each rule that a golden body would not explain.

use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::engine::labels::PAUSE_CONTAINER;
use crate::model::{
    DesiredStatus, PortClaim, Protocol, SpecHash, StopCode, StopOrder, TaskId, Timestamp,
};

pub(super) fn spec(value: serde_json::Value) -> TaskSpec {
    serde_json::from_value(value).expect("a task specification")
}

fn one(container: serde_json::Value) -> TaskSpec {
    let mut base = json!({"name": "app", "image": "busybox:1", "essential": true});
    let fields = container.as_object().expect("an object").clone();
    base.as_object_mut().expect("an object").extend(fields);
    spec(json!({"family": "web", "containers": [base]}))
}

pub(super) fn record(spec: &TaskSpec) -> TaskRecord {
    TaskRecord {
        id: TaskId::new("0123456789abcdef0123456789abcdef"),
        cluster: "default".into(),
        instance: "local".into(),
        group: "service:web".to_owned(),
        service: Some("web".into()),
        deployment: Some("ecs-svc/0000000000000000001".into()),
        standalone: None,
        family: spec.family.clone(),
        revision: 3,
        spec: SpecHash::new("v1-feed"),
        desired: DesiredStatus::Running,
        stop: None,
        created_at: Timestamp::from_millis(1_000),
        dns_names: vec!["web".to_owned()],
        ports: Vec::new(),
        capacity_provider: None,
        gpus: BTreeMap::new(),
        generation: 0,
        images: BTreeMap::new(),
    }
}

fn context() -> Context {
    Context {
        owner: "00112233445566ff".to_owned(),
        instance: "local".into(),
        network: "longshore-default-00112233".to_owned(),
        seq: 42,
        pause_image: "longshore/pause:1".to_owned(),
        facts: EngineFacts {
            cgroup_version: 1,
            architecture: "amd64".to_owned(),
            logging_driver: "json-file".to_owned(),
            cpus: 4,
            root_dir: "/var/lib/docker".to_owned(),
            cgroups: None,
        },
        publish_awsvpc_ports: true,
        log_drivers: BTreeMap::new(),
        file_systems: BTreeMap::new(),
    }
}

/// The body of the container at that index.
pub(super) fn body_of(spec: &TaskSpec, index: usize) -> crate::engine::CreateBody {
    container_body(
        spec,
        &record(spec),
        &spec.containers[index],
        &context(),
        &Additions::default(),
    )
}

fn body(spec: &TaskSpec) -> crate::engine::CreateBody {
    container_body(
        spec,
        &record(spec),
        &spec.containers[0],
        &context(),
        &Additions::default(),
    )
}

fn claim(container: &str, container_port: u16, host_port: u16) -> PortClaim {
    PortClaim {
        container: container.to_owned(),
        container_port,
        protocol: Protocol::Tcp,
        host_port,
        count: 1,
    }
}

#[test]
fn a_small_bridge_task_becomes_exactly_this() {
    let spec = one(json!({"memory": 32, "port_mappings": [{"container_port": 80}]}));
    let mut record = record(&spec);
    record.ports = vec![claim("app", 80, 32_768)];
    let body = container_body(
        &spec,
        &record,
        &spec.containers[0],
        &context(),
        &Additions::default(),
    );
    insta::assert_json_snapshot!("bridge", body);
}

#[test]
fn every_honoured_member_becomes_exactly_this() {
    let text = r#"{
        "family": "all",
        "pid_mode": "host",
        "ipc_mode": "none",
        "volumes": [
            {"name": "conf", "kind": {"type": "hostPath", "path": "/etc/app"}},
            {"name": "scratch", "kind": {"type": "task"}},
            {"name": "data", "kind": {"type": "shared", "autoprovision": true}}
        ],
        "containers": [
            {
                "name": "app", "image": "app:1", "essential": true,
                "cpu": 256, "memory": 128, "memory_reservation": 64,
                "entry_point": ["/bin/app"], "command": ["serve"],
                "environment": [["A", "1"], ["B", "2"], ["A", "3"]],
                "port_mappings": [
                    {"container_port": 80, "host_port": 8080},
                    {"container_port": 53, "protocol": "udp"}
                ],
                "mount_points": [
                    {"source_volume": "conf", "container_path": "/conf", "read_only": true},
                    {"source_volume": "scratch", "container_path": "/scratch"},
                    {"source_volume": "data", "container_path": "/data"}
                ],
                "volumes_from": [["side", true]],
                "links": ["side:cache", "side"],
                "stop_timeout": 7,
                "health_check": {
                    "command": ["CMD-SHELL", "true"],
                    "interval": 5, "timeout": 2, "retries": 2, "start_period": 10
                },
                "log": {"driver": "json-file", "options": {"max-size": "1m"}},
                "user": "1000:1000", "working_directory": "/work", "hostname": "host",
                "privileged": true, "readonly_root_filesystem": true,
                "interactive": true, "pseudo_terminal": true,
                "dns_servers": ["9.9.9.9"], "dns_search_domains": ["example.com"],
                "extra_hosts": [["db", "10.0.0.1"]],
                "docker_security_options": ["no-new-privileges"],
                "docker_labels": {"team": "shop", "longshore.owner": "me", "longshore.lease": "1"},
                "ulimits": [{"name": "nofile", "soft": 1024, "hard": 2048}],
                "system_controls": {"net.core.somaxconn": "1024"},
                "linux": {
                    "cap_add": ["NET_ADMIN"], "cap_drop": ["ALL"],
                    "devices": [["/dev/fuse", "/dev/fuse", "rwm"]],
                    "init": true, "shared_memory_size": 64,
                    "tmpfs": {"/run": "size=16m"},
                    "max_swap": 32, "swappiness": 10
                }
            },
            {"name": "side", "image": "side:1", "essential": false}
        ]
    }"#;
    let spec = spec(serde_json::from_str(text).expect("JSON"));
    insta::assert_json_snapshot!("everything", body(&spec));
    let volumes = volume_bodies(&spec, &record(&spec), &context());
    assert_eq!(volumes.keys().collect::<Vec<_>>(), ["data", "scratch"]);
    assert_eq!(volumes["data"].name, "data");
    assert!(!volumes["data"].labels.contains_key(labels::TASK));
    assert_eq!(
        volumes["scratch"].name,
        "longshore-all-3-scratch-0123456789ab"
    );
    assert_eq!(
        volumes["scratch"].labels[labels::TASK],
        "0123456789abcdef0123456789abcdef"
    );
}

#[test]
fn an_awsvpc_task_becomes_exactly_this() {
    let spec = spec(json!({
        "family": "pod", "network_mode": "awsvpc",
        "containers": [
            {"name": "web", "image": "web:1", "essential": true, "hostname": "no",
             "port_mappings": [{"container_port": 80, "host_port": 80}], "dns_servers": ["1.1.1.1"]},
            {"name": "side", "image": "side:1", "essential": false,
             "port_mappings": [{"container_port": 90}], "dns_servers": ["1.1.1.1", "8.8.8.8"]}
        ]
    }));
    let mut record = record(&spec);
    record.ports = vec![claim("web", 80, 0), claim("side", 90, 0)];
    let bodies = [
        pause_body(&spec, &record, &context()),
        container_body(
            &spec,
            &record,
            &spec.containers[0],
            &context(),
            &Additions::default(),
        ),
    ];
    insta::assert_json_snapshot!("awsvpc", bodies);

    let quiet = Context {
        publish_awsvpc_ports: false,
        ..context()
    };
    let pause = pause_body(&spec, &record, &quiet);
    assert!(pause.host_config.port_bindings.is_empty());
    assert_eq!(pause.exposed_ports.len(), 2);
}

#[test]
fn the_cluster_network_is_named_and_labelled_as_its_owners() {
    let body = network_body(&"prod".into(), "00112233445566ff", &"local".into());
    assert_eq!(body.name, "longshore-prod-00112233");
    assert_eq!(body.driver, "bridge");
    assert_eq!(body.labels[labels::OWNER], "00112233445566ff");
    assert_eq!(body.labels[labels::CLUSTER], "prod");
}

#[test]
fn cpu_shares_stay_between_2_and_262144() {
    let shares = |cpu: serde_json::Value| body(&one(json!({"cpu": cpu}))).host_config.cpu_shares;
    assert_eq!(shares(json!(null)), Some(2));
    assert_eq!(shares(json!(0)), Some(2));
    assert_eq!(shares(json!(512)), Some(512));
    assert_eq!(shares(json!(400_000)), Some(262_144));
}

#[test]
fn memory_is_bytes_and_never_below_4_mib() {
    let memory = |mib: u32| body(&one(json!({"memory": mib}))).host_config.memory;
    assert_eq!(memory(128), Some(128 << 20));
    assert_eq!(memory(1), Some(4 << 20));
    assert_eq!(body(&one(json!({}))).host_config.memory, None);
}

#[test]
fn swap_is_memory_plus_max_swap_and_swappiness_needs_it() {
    let swap = |linux: serde_json::Value, version: u8| {
        let spec = one(json!({"memory": 64, "linux": linux}));
        let mut context = context();
        context.facts.cgroup_version = version;
        let body = container_body(
            &spec,
            &record(&spec),
            &spec.containers[0],
            &context,
            &Additions::default(),
        );
        (
            body.host_config.memory_swap,
            body.host_config.memory_swappiness,
        )
    };
    assert_eq!(
        swap(json!({"max_swap": 32, "swappiness": 5}), 1),
        (Some(96 << 20), Some(5))
    );
    assert_eq!(swap(json!({"max_swap": 0}), 1), (Some(64 << 20), None));
    assert_eq!(swap(json!({"swappiness": 5}), 1), (None, None));
    assert_eq!(
        swap(json!({"max_swap": 32, "swappiness": 5}), 2),
        (Some(96 << 20), None)
    );
}

#[test]
fn task_level_cpu_and_memory_bound_a_container_that_has_no_tighter_bound() {
    let mut spec = one(json!({}));
    (spec.cpu, spec.memory) = (Some(512), Some(256));
    let config = body(&spec).host_config;
    assert_eq!(
        (config.nano_cpus, config.memory),
        (Some(500_000_000), Some(256 << 20))
    );
    spec.containers[0].memory = Some(64);
    assert_eq!(body(&spec).host_config.memory, Some(64 << 20));
    // Four CPUs are all there are.
    spec.cpu = Some(4096);
    assert_eq!(body(&spec).host_config.nano_cpus, None);
}

#[test]
fn the_host_and_none_modes_publish_nothing_and_join_nothing() {
    for (mode, docker) in [("host", "host"), ("none", "none")] {
        let mut spec = one(json!({"port_mappings": [{"container_port": 80}]}));
        spec.network_mode = serde_json::from_value(json!(mode)).expect("a mode");
        let body = body(&spec);
        assert_eq!(body.host_config.network_mode.as_deref(), Some(docker));
        assert!(body.host_config.port_bindings.is_empty());
        assert_eq!(body.networking_config, None);
        assert!(!needs_network(&spec));
    }
}

#[test]
fn a_sidecar_of_a_bridge_task_does_not_answer_to_the_services_name() {
    let spec = spec(json!({"family": "web", "containers": [
        {"name": "web", "image": "a", "essential": true, "port_mappings": [{"container_port": 80}]},
        {"name": "side", "image": "a", "essential": false}
    ]}));
    let aliases = |at: usize| {
        let body = container_body(
            &spec,
            &record(&spec),
            &spec.containers[at],
            &context(),
            &Additions::default(),
        );
        body.networking_config
            .expect("a network")
            .endpoints_config
            .into_values()
            .next()
            .expect("one endpoint")
            .aliases
    };
    assert_eq!(aliases(0), ["web"]);
    assert_eq!(aliases(1), Vec::<String>::new());
}

#[test]
fn two_mappings_of_one_port_take_their_own_claims() {
    let spec = one(json!({"port_mappings": [
        {"container_port": 80, "host_port": 8080}, {"container_port": 80}
    ]}));
    let mut record = record(&spec);
    record.ports = vec![claim("app", 80, 8080), claim("app", 80, 40_000)];
    let body = container_body(
        &spec,
        &record,
        &spec.containers[0],
        &context(),
        &Additions::default(),
    );
    let ports: Vec<_> = body.host_config.port_bindings["80/tcp"]
        .iter()
        .map(|b| b.host_port.as_str())
        .collect();
    assert_eq!(ports, ["8080", "40000"]);
}

#[test]
fn a_task_namespace_is_the_pause_containers() {
    let mut spec = one(json!({}));
    spec.pid_mode = Some(NamespaceMode::Task);
    spec.ipc_mode = Some(NamespaceMode::Task);
    let joined = format!(
        "container:{}",
        names::container(&record(&spec), PAUSE_CONTAINER)
    );
    let config = body(&spec).host_config;
    assert_eq!(config.pid_mode.as_ref(), Some(&joined));
    assert_eq!(config.ipc_mode.as_ref(), Some(&joined));
    assert_eq!(
        config.network_mode.as_deref(),
        Some("longshore-default-00112233")
    );
    let pause = pause_body(&spec, &record(&spec), &context());
    assert_eq!(pause.host_config.ipc_mode.as_deref(), Some("shareable"));
    assert_eq!(pause.host_config.network_mode.as_deref(), Some("none"));
    assert_eq!(pause.networking_config, None);
}

#[test]
fn logs_are_rotated_where_nobody_says_otherwise_and_non_blocking_where_a_driver_is_named() {
    let log = |container: serde_json::Value, driver: &str| {
        let spec = one(container);
        let mut context = context();
        context.facts.logging_driver = driver.to_owned();
        container_body(
            &spec,
            &record(&spec),
            &spec.containers[0],
            &context,
            &Additions::default(),
        )
        .host_config
        .log_config
    };
    let rotated = log(json!({}), "json-file").expect("a log");
    assert_eq!(rotated.config["max-size"], "10m");
    assert_eq!(log(json!({}), "local"), None);
    let named = log(json!({"log": {"driver": "syslog"}}), "json-file").expect("a log");
    assert_eq!(named.config["mode"], "non-blocking");
    let none = log(json!({"log": {"driver": "none"}}), "json-file").expect("a log");
    assert_eq!(none.config, BTreeMap::new());
}

#[test]
fn an_image_health_check_is_left_alone() {
    assert_eq!(body(&one(json!({}))).healthcheck, None);
}

#[test]
fn exactly_one_container_carries_what_a_lost_store_needs_and_it_reads_back() {
    let spec = spec(json!({"family": "web", "containers": [
        {"name": "init", "image": "a", "essential": false},
        {"name": "web", "image": "a", "essential": true}
    ]}));
    let mut record = record(&spec);
    let labelled: Vec<_> = spec
        .containers
        .iter()
        .map(|c| container_body(&spec, &record, c, &context(), &Additions::default()).labels)
        .collect();
    assert!(!labelled[0].contains_key(labels::SPEC));
    let label = labelled[1][labels::SPEC].clone();
    let back = Recovery::parse(&label).expect("it reads back");
    assert_eq!((&back.spec, &back.record), (&spec, &record));

    // It does not change with what is ordered of the task later: a repeated create is the same create.
    record.desired = DesiredStatus::Stopped;
    record.stop = Some(StopOrder {
        code: StopCode::UserInitiated,
        reason: "x".to_owned(),
        at: Timestamp::from_millis(5),
    });
    assert_eq!(Recovery::label(&spec, &record), label);

    let mut shared = spec.clone();
    shared.network_mode = NetworkMode::Awsvpc;
    assert!(!body(&shared).labels.contains_key(labels::SPEC));
    let pause = pause_body(&shared, &record, &context());
    assert!(pause.labels.contains_key(labels::SPEC));
}

#[test]
fn only_the_very_same_container_is_adopted() {
    let spec = one(json!({}));
    let record = record(&spec);
    let found = body(&spec).labels;
    assert!(is_same(&found, &record, "app", "00112233445566ff"));
    assert!(!is_same(&found, &record, "app", "ffffffffffffffff"));
    assert!(!is_same(&found, &record, "other", "00112233445566ff"));
    for label in [labels::TASK, labels::SPEC_HASH, labels::OWNER] {
        let mut other = found.clone();
        other.insert(label.to_owned(), "other".to_owned());
        assert!(!is_same(&other, &record, "app", "00112233445566ff"));
        other.remove(label);
        assert!(!is_same(&other, &record, "app", "00112233445566ff"));
    }
}

#[test]
fn names_are_short_distinct_and_never_the_pause_containers() {
    let spec = one(json!({}));
    let mut record = record(&spec);
    assert_eq!(
        names::container(&record, "app"),
        "longshore-web-3-app-0123456789ab"
    );
    assert_eq!(
        names::container(&record, PAUSE_CONTAINER),
        "longshore-web-3-pause-0123456789ab"
    );
    assert_ne!(
        names::container(&record, "pause"),
        names::container(&record, PAUSE_CONTAINER)
    );
    record.family = "f".repeat(255).as_str().into();
    let (a, b) = (
        names::container(&record, "a"),
        names::container(&record, "b"),
    );
    assert!(a.len() <= 200 && b.len() <= 200 && a != b);
}

#[test]
fn a_range_is_published_port_by_port() {
    let spec =
        one(json!({"port_mappings": [{"container_port": 8000, "last_container_port": 8002}]}));
    let mut record = record(&spec);
    record.ports = vec![PortClaim {
        count: 3,
        ..claim("app", 8000, 50_000)
    }];
    let body = container_body(
        &spec,
        &record,
        &spec.containers[0],
        &context(),
        &Additions::default(),
    );
    let ports: Vec<_> = body
        .host_config
        .port_bindings
        .iter()
        .map(|(inside, outside)| format!("{inside} {}", outside[0].host_port))
        .collect();
    assert_eq!(
        ports,
        ["8000/tcp 50000", "8001/tcp 50001", "8002/tcp 50002"]
    );
}

#[test]
fn gpus_are_asked_for_by_the_names_that_were_booked() {
    let spec = one(json!({"gpus": {"count": 2}}));
    let mut record = record(&spec);
    let gpus = ["GPU-a", "GPU-b"].map(str::to_owned).to_vec();
    record.gpus.insert("app".to_owned(), gpus.clone());
    let body = container_body(
        &spec,
        &record,
        &spec.containers[0],
        &context(),
        &Additions::default(),
    );
    let requests = body.host_config.device_requests;
    assert_eq!(requests.len(), 1);
    assert_eq!((requests[0].count, &requests[0].device_ids), (None, &gpus));
    assert_eq!(requests[0].capabilities, [["gpu"]]);
}

/// Driver and options of a container whose definition and cluster say this.
fn logging(log: serde_json::Value, overrides: serde_json::Value) -> (String, Vec<String>) {
    let spec = one(json!({"log": log}));
    let context = Context {
        log_drivers: serde_json::from_value(overrides).expect("drivers"),
        ..context()
    };
    let body = container_body(
        &spec,
        &record(&spec),
        &spec.containers[0],
        &context,
        &Additions::default(),
    );
    let config = body.host_config.log_config.expect("a log configuration");
    let options = config
        .config
        .iter()
        .map(|(name, value)| format!("{name}={value}"));
    (config.r#type, options.collect())
}

#[test]
fn a_named_driver_has_the_defaults_of_ecs_where_the_definition_says_nothing() {
    let options = |log| logging(log, json!({})).1;
    assert_eq!(
        options(json!({"driver": "json-file"})),
        [
            "max-buffer-size=10m",
            "max-file=3",
            "max-size=10m",
            "mode=non-blocking"
        ]
    );
    assert_eq!(
        options(json!({"driver": "json-file", "options": {"max-size": "1m", "mode": "blocking"}})),
        ["max-size=1m", "mode=blocking"]
    );
    assert_eq!(
        options(json!({"driver": "syslog", "options": {"max-buffer-size": "1m"}})),
        ["max-buffer-size=1m", "mode=non-blocking"]
    );
}

#[test]
fn a_driver_of_aws_is_a_file_unless_the_cluster_names_another() {
    let log = json!({"driver": "awslogs", "options": {"awslogs-group": "web"}});
    let (driver, options) = logging(log.clone(), json!({}));
    assert_eq!(driver, "json-file");
    assert!(!options.iter().any(|option| option.starts_with("awslogs")));
    let journal = json!({"awslogs": {"driver": "journald", "options": {"tag": "x"}}});
    assert_eq!(
        logging(log.clone(), journal),
        (
            "journald".to_owned(),
            ["max-buffer-size=10m", "mode=non-blocking", "tag=x"]
                .map(str::to_owned)
                .to_vec()
        )
    );
    // The real one, for engines that have credentials: the definition's options stay.
    let real =
        json!({"awslogs": {"driver": "awslogs", "options": {"awslogs-region": "eu-west-1"}}});
    let (driver, options) = logging(log, real);
    assert_eq!(driver, "awslogs");
    assert!(options.contains(&"awslogs-group=web".to_owned()));
    assert!(options.contains(&"awslogs-region=eu-west-1".to_owned()));
}

#[test]
fn a_file_system_is_an_nfs_volume_of_the_task_where_the_cluster_knows_it() {
    let spec = spec(json!({
        "family": "web",
        "volumes": [{"name": "data", "kind": {"type": "fileSystem", "id": "fs-1", "root_directory": "/app"}}],
        "containers": [{"name": "app", "image": "busybox:1", "essential": true,
                        "mount_points": [{"source_volume": "data", "container_path": "/data"}]}],
    }));
    let record = record(&spec);
    assert!(volume_bodies(&spec, &record, &context()).is_empty());
    let context = Context {
        file_systems: [(
            "fs-1".to_owned(),
            NfsExport::parse("nas:/srv", None).expect("an export"),
        )]
        .into(),
        ..context()
    };
    let body = &volume_bodies(&spec, &record, &context)["data"];
    assert_eq!(
        (body.name.as_str(), body.driver.as_str()),
        ("longshore-web-3-data-0123456789ab", "local")
    );
    assert_eq!(body.driver_opts["type"], "nfs");
    assert_eq!(body.driver_opts["device"], ":/srv/app");
    assert_eq!(body.driver_opts["o"], "addr=nas,nfsvers=4.1");
    assert_eq!(body.labels[labels::TASK], record.id.as_str());
}

/// Memory limit, CPU limit and parent of each container of a task.
fn limits_of(
    spec: &TaskSpec,
    cgroups: Option<CgroupManager>,
) -> Vec<(Option<i64>, Option<i64>, Option<String>)> {
    let mut context = context();
    context.facts.cgroups = cgroups;
    let body = |container| {
        container_body(
            spec,
            &record(spec),
            container,
            &context,
            &Additions::default(),
        )
    };
    let limits = |body: crate::engine::CreateBody| {
        let config = body.host_config;
        (
            config.memory.map(|bytes| bytes >> 20),
            config.nano_cpus,
            config.cgroup_parent,
        )
    };
    spec.containers.iter().map(body).map(limits).collect()
}

#[test]
fn where_a_control_group_can_be_made_the_task_is_limited_and_each_container_only_by_itself() {
    let spec = spec(json!({
        "family": "web", "cpu": 512, "memory": 256,
        "containers": [
            {"name": "a", "image": "busybox:1", "essential": true, "memory": 64, "cpu": 128},
            {"name": "b", "image": "busybox:1", "essential": false},
        ],
    }));
    let parent = "/longshore-00112233/0123456789abcdef0123456789abcdef".to_owned();
    assert_eq!(
        limits_of(&spec, Some(CgroupManager::Files)),
        [
            (Some(64), None, Some(parent.clone())),
            (None, None, Some(parent.clone()))
        ]
    );
    let mut context = context();
    context.facts.cgroups = Some(CgroupManager::Files);
    assert_eq!(
        task_cgroup(&spec, &record(&spec), &context),
        Some(TaskCgroup {
            parent,
            cpu_quota: Some(50_000),
            cpu_shares: 512,
            memory: Some(256 << 20),
        })
    );
    context.facts.cgroups = Some(CgroupManager::Systemd);
    let slice = task_cgroup(&spec, &record(&spec), &context)
        .expect("a group")
        .parent;
    assert_eq!(
        slice,
        "longshore_00112233-0123456789abcdef0123456789abcdef.slice"
    );
    // Without a bound of the task's own its weight is that of its containers.
    let unbound = TaskSpec {
        cpu: None,
        ..spec.clone()
    };
    let group = task_cgroup(&unbound, &record(&spec), &context).expect("a group");
    assert_eq!((group.cpu_quota, group.cpu_shares), (None, 130));
    let neither = TaskSpec {
        memory: None,
        ..unbound
    };
    assert_eq!(task_cgroup(&neither, &record(&spec), &context), None);
}

#[test]
fn where_no_control_group_can_be_made_each_container_is_bound_by_the_task() {
    let spec = spec(json!({
        "family": "web", "cpu": 512, "memory": 256,
        "containers": [
            {"name": "a", "image": "busybox:1", "essential": true, "memory": 64},
            {"name": "b", "image": "busybox:1", "essential": false},
        ],
    }));
    assert_eq!(
        limits_of(&spec, None),
        [
            (Some(64), Some(500_000_000), None),
            (Some(256), Some(500_000_000), None)
        ]
    );
}
