use serde_json::json;

use super::definition::volume;
use super::*;
use crate::model::{
    ClusterSpec, Condition, ContainerSpec, EngineEndpoint, Gpus, InstanceDesired, NetworkMode,
    Protocol, ServiceName, TaskSpec, VolumeKind,
};

fn definition(json: serde_json::Value) -> TaskSpec {
    task_definition(Family::new("web"), &serde_json::from_value(json).unwrap())
}

/// The one container of a definition of the default network mode.
fn container(members: serde_json::Value) -> ContainerSpec {
    let mut container = json!({"name": "web", "image": "busybox"});
    container
        .as_object_mut()
        .unwrap()
        .extend(members.as_object().unwrap().clone());
    definition(json!({"containerDefinitions": [container]}))
        .containers
        .remove(0)
}

#[test]
fn what_is_left_out_is_as_ecs_has_it() {
    let spec = definition(json!({"containerDefinitions": [{"name": "web", "image": "busybox"}]}));
    assert_eq!(spec.network_mode, NetworkMode::Bridge);
    assert_eq!((spec.cpu, spec.memory), (None, None));
    let web = &spec.containers[0];
    assert!(web.essential);
    assert_eq!(
        (&web.log, &web.linux, &web.health_check, web.stop_timeout),
        (&None, &None, &None, None)
    );
}

#[test]
fn what_means_nothing_is_the_same_as_absent_so_it_is_no_new_revision() {
    let empty = container(json!({
        "cpu": 0, "memory": 0, "command": [], "entryPoint": [], "environment": [], "user": "", "hostname": "",
        "essential": true, "privileged": false, "linuxParameters": {"capabilities": {}, "devices": []},
        "restartPolicy": {"enabled": false},
    }));
    assert_eq!(empty, container(json!({})));
}

#[test]
fn ports_depend_on_the_network_mode() {
    let port = |mode: &str| {
        let spec = definition(json!({"networkMode": mode, "containerDefinitions": [
            {"name": "web", "image": "b", "portMappings": [{"containerPort": 80, "hostPort": 80, "protocol": "udp"}, {"containerPort": 81, "hostPort": 0}]}
        ]}));
        let mappings = &spec.containers[0].port_mappings;
        assert_eq!(mappings[0].protocol, Protocol::Udp);
        (mappings[0].host_port, mappings[1].host_port)
    };
    assert_eq!(port("bridge"), (Some(80), None));
    assert_eq!(port("host"), (Some(80), Some(81)));
    assert_eq!(port("awsvpc"), (None, None));
}

#[test]
fn links_and_volumes_from_imply_an_order_where_none_is_given() {
    let web = container(json!({
        "dependsOn": [{"containerName": "db", "condition": "HEALTHY"}],
        "links": ["db:database", "cache"],
        "volumesFrom": [{"sourceContainer": "cache"}, {"sourceContainer": "data", "readOnly": true}],
    }));
    let order: Vec<(&str, Condition)> = web
        .depends_on
        .iter()
        .map(|d| (d.container.as_str(), d.condition))
        .collect();
    assert_eq!(
        order,
        [
            ("db", Condition::Healthy),
            ("cache", Condition::Start),
            ("data", Condition::Start)
        ]
    );
    assert_eq!(
        web.volumes_from,
        [("cache".to_owned(), false), ("data".to_owned(), true)]
    );
}

#[test]
fn a_log_driver_is_kept_as_it_is_written() {
    for driver in ["awslogs", "awsfirelens", "syslog"] {
        let log =
            container(json!({"logConfiguration": {"logDriver": driver, "options": {"tag": "x"}}}))
                .log;
        let log = log.unwrap();
        assert_eq!(
            (log.driver.as_str(), log.options["tag"].as_str()),
            (driver, "x")
        );
    }
}

#[test]
fn a_range_of_ports_is_one_mapping() {
    let port = |json: serde_json::Value| {
        container(json!({"portMappings": [json]})).port_mappings[0].clone()
    };
    let range = port(json!({"containerPortRange": "8000-8009", "protocol": "udp"}));
    assert_eq!(range.container_ports(), 8000..=8009);
    assert_eq!((range.count(), range.protocol), (10, Protocol::Udp));
    assert_eq!(
        port(json!({"containerPort": 80})).container_ports(),
        80..=80
    );
}

#[test]
fn gpus_are_counted_and_all_is_all() {
    let gpus = |list: serde_json::Value| container(json!({"resourceRequirements": list})).gpus;
    assert_eq!(gpus(json!([])), None);
    assert_eq!(
        gpus(json!([{"type": "GPU", "value": "2"}])),
        Some(Gpus::Count(2))
    );
    assert_eq!(
        gpus(json!([{"type": "GPU", "value": "ALL"}])),
        Some(Gpus::All)
    );
}

#[test]
fn an_access_point_is_looked_up_by_its_own_id() {
    let kind = |efs: serde_json::Value| {
        let raw: raw::Volume =
            serde_json::from_value(json!({"name": "data", "efsVolumeConfiguration": efs})).unwrap();
        volume(&raw).kind
    };
    let of = |id: &str, root: &str| VolumeKind::FileSystem {
        id: id.to_owned(),
        root_directory: root.to_owned(),
    };
    assert_eq!(kind(json!({"fileSystemId": "fs-1"})), of("fs-1", "/"));
    assert_eq!(
        kind(json!({"fileSystemId": "fs-1", "rootDirectory": "/a"})),
        of("fs-1", "/a")
    );
    let config = json!({"accessPointId": "fsap-1", "iam": "ENABLED"});
    assert_eq!(
        kind(json!({"fileSystemId": "fs-1", "authorizationConfig": config})),
        of("fsap-1", "/")
    );
}

#[test]
fn a_health_check_and_a_restart_policy_get_their_defaults() {
    let web = container(
        json!({"healthCheck": {"command": ["CMD", "true"]}, "restartPolicy": {"enabled": true, "ignoredExitCodes": [0]}}),
    );
    let check = web.health_check.unwrap();
    assert_eq!(
        (
            check.interval,
            check.timeout,
            check.retries,
            check.start_period
        ),
        (30, 5, 3, 0)
    );
    let policy = web.restart_policy.unwrap();
    assert_eq!(
        (policy.restart_attempt_period, policy.ignored_exit_codes),
        (300, vec![0])
    );
}

#[test]
fn linux_parameters_are_as_docker_takes_them() {
    let linux = container(json!({"linuxParameters": {
        "capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]},
        "devices": [{"hostPath": "/dev/a"}, {"hostPath": "/dev/b", "containerPath": "/dev/c", "permissions": ["read", "mknod"]}],
        "tmpfs": [{"containerPath": "/tmp", "size": 64, "mountOptions": ["noexec"]}],
        "sharedMemorySize": 64, "maxSwap": 0, "initProcessEnabled": true,
    }}))
    .linux
    .unwrap();
    let device = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
    assert_eq!(
        linux.devices,
        [
            device("/dev/a", "/dev/a", "rwm"),
            device("/dev/b", "/dev/c", "rm")
        ]
    );
    assert_eq!(linux.tmpfs["/tmp"], "noexec,size=64m");
    assert_eq!(
        (linux.max_swap, linux.shared_memory_size, linux.init),
        (Some(0), Some(64), Some(true))
    );
    assert_eq!(
        (linux.cap_add, linux.cap_drop),
        (vec!["NET_ADMIN".to_owned()], vec!["ALL".to_owned()])
    );
}

#[test]
fn volumes_are_a_path_a_task_volume_or_a_shared_one() {
    let spec = definition(
        json!({"containerDefinitions": [{"name": "a", "image": "b"}], "volumes": [
            {"name": "path", "host": {"sourcePath": "/srv"}},
            {"name": "empty", "host": {}},
            {"name": "bare"},
            {"name": "task", "dockerVolumeConfiguration": {"driver": "local"}},
            {"name": "shared", "dockerVolumeConfiguration": {"scope": "shared", "autoprovision": true}},
        ]}),
    );
    let kinds: Vec<String> = spec
        .volumes
        .iter()
        .map(|v| serde_json::to_value(&v.kind).unwrap().to_string())
        .collect();
    assert_eq!(
        kinds,
        [
            r#"{"path":"/srv","type":"hostPath"}"#,
            r#"{"type":"task"}"#,
            r#"{"type":"task"}"#,
            r#"{"driver":"local","type":"task"}"#,
            r#"{"autoprovision":true,"type":"shared"}"#,
        ]
    );
}

#[test]
fn a_service_gets_the_percentages_of_its_strategy() {
    let resolved = |json: serde_json::Value| {
        let raw: raw::Service = serde_json::from_value(json).unwrap();
        service(ServiceName::new("web"), &raw, BTreeMap::new(), "h").unwrap()
    };
    let replica = resolved(json!({"taskDefinition": "web:3", "desiredCount": 2}));
    assert_eq!(
        (replica.minimum_healthy_percent, replica.maximum_percent),
        (100, 200)
    );
    assert_eq!(
        (replica.family.as_str(), replica.revision),
        ("web", Some(3))
    );
    assert_eq!(replica.cluster, ClusterName::default());
    let daemon = resolved(
        json!({"taskDefinition": "web", "desiredCount": 2, "schedulingStrategy": "DAEMON", "cluster": "arn:aws:ecs:eu:1:cluster/shop"}),
    );
    assert_eq!(
        (
            daemon.minimum_healthy_percent,
            daemon.maximum_percent,
            daemon.desired_count
        ),
        (0, 100, 0)
    );
    assert_eq!(daemon.cluster.as_str(), "shop");
}

#[test]
fn a_revision_of_aws_is_not_taken_for_one_of_here() {
    let revision =
        |text: &str| definition_reference(text).map(|(family, n)| (family.to_string(), n));
    let web = |n| Some(("web".to_owned(), n));
    assert_eq!(revision("web"), web(None));
    assert_eq!(revision("web:7"), web(Some(7)));
    assert_eq!(
        revision("arn:aws:ecs:eu-west-1:123456789012:task-definition/web:7"),
        web(None)
    );
    assert_eq!(
        revision("arn:aws:ecs:local:000000000000:task-definition/web:7"),
        web(Some(7))
    );
    for text in [
        "",
        "web:0",
        "web:x",
        "web:1:2",
        "my web",
        "arn:aws:ecs:eu-west-1:1:service/web",
    ] {
        assert_eq!(revision(text), None, "{text}");
    }
}

#[test]
fn a_cluster_without_instances_is_the_local_engine() {
    let resolved = |json: serde_json::Value| {
        let raw: raw::Cluster = serde_json::from_value(json).unwrap();
        cluster(ClusterName::new("shop"), &raw, BTreeMap::new(), "h")
    };
    let plain = resolved(json!({}));
    assert_eq!(
        ClusterSpec {
            manifest_hash: String::new(),
            ..plain
        },
        ClusterSpec::named(ClusterName::new("shop"))
    );
    let two = resolved(
        json!({"containerInstances": [{"name": "a", "status": "DRAINING"}, {"name": "b", "endpoint": "tcp://b:1"},
            {"name": "c", "endpoint": "tcp://c", "tls": {"certPath": "certs/c"}}], "healthyAfterSeconds": 1, "instanceLostAfterSeconds": 30, "faultInjection": true, "awsRegion": "eu-west-1", "publishAwsvpcPorts": false,
            "logDriverOverrides": {"awslogs": {"logDriver": "journald", "options": {"tag": "x"}}},
            "fileSystems": {"fs-1": {"nfs": "nas:/srv", "options": "nfsvers=3"}}}),
    );
    assert_eq!(two.log_drivers["awslogs"].driver, "journald");
    assert_eq!(two.log_drivers["awslogs"].options["tag"], "x");
    assert_eq!(two.file_systems["fs-1"].server, "nas");
    assert_eq!(two.file_systems["fs-1"].options, "nfsvers=3");
    assert_eq!(two.instances[0].desired, InstanceDesired::Draining);
    assert_eq!(
        two.instances[1].endpoint,
        EngineEndpoint::Address("tcp://b:1".into())
    );
    assert_eq!(
        two.instances[2].endpoint,
        EngineEndpoint::Tls {
            address: "tcp://c".into(),
            certificates: "certs/c".into(),
            verify: true,
        }
    );
    assert_eq!(two.instance_lost_after, 30);
    assert_eq!((two.healthy_after, two.publish_awsvpc_ports), (1, false));
    assert_eq!(two.aws_region.as_deref(), Some("eu-west-1"));
    assert!(two.fault_injection);
}

#[test]
fn the_percentages_that_are_advised_are_the_nearest_with_which_a_rollout_proceeds() {
    for desired in 1..500 {
        let stop = |minimum| {
            Percentages {
                minimum,
                maximum: 100,
            }
            .can_stop(desired)
        };
        let least = Percentages::stop_one_first(desired);
        assert!(stop(least) && !stop(least + 1), "{desired}");
        let start = |maximum| {
            Percentages {
                minimum: 100,
                maximum,
            }
            .can_start(desired)
        };
        let most = Percentages::start_one_first(desired);
        assert!(start(most) && !start(most - 1), "{desired}");
    }
}
