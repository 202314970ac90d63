//! Volumes, mounts, and what outlives a task.

use serde_json::json;

use crate::world::{World, docker, task};

pub const PROOFS: &[(&str, &[&str])] = &[
    (
        "a_task_has_its_volumes_where_its_containers_mount_them",
        &[
            "volumes[].name",
            "volumes[].host.sourcePath",
            "volumes[].dockerVolumeConfiguration.scope",
            "volumes[].dockerVolumeConfiguration.autoprovision",
            "volumes[].dockerVolumeConfiguration.driver",
            "volumes[].dockerVolumeConfiguration.driverOpts",
            "volumes[].dockerVolumeConfiguration.labels",
            "volumes[].configuredAtLaunch",
            "containerDefinitions[].mountPoints[].sourceVolume",
            "containerDefinitions[].mountPoints[].containerPath",
            "containerDefinitions[].mountPoints[].readOnly",
            "containerDefinitions[].volumesFrom[].sourceContainer",
            "containerDefinitions[].volumesFrom[].readOnly",
        ],
    ),
    (
        "a_file_system_of_aws_is_the_nfs_export_that_the_cluster_names",
        &[
            "volumes[].efsVolumeConfiguration",
            "volumes[].efsVolumeConfiguration.fileSystemId",
            "volumes[].efsVolumeConfiguration.rootDirectory",
            "volumes[].efsVolumeConfiguration.transitEncryption",
            "volumes[].efsVolumeConfiguration.transitEncryption: ENABLED",
            "volumes[].efsVolumeConfiguration.authorizationConfig.accessPointId",
            "volumes[].efsVolumeConfiguration.authorizationConfig.iam: DISABLED",
        ],
    ),
];

#[tokio::test]
async fn a_task_has_its_volumes_where_its_containers_mount_them() {
    let host = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(host.path().join("given"), "by the host").expect("written");
    let shared = format!("longshore-test-shared-{}", std::process::id());
    let mount = |volume: &str, path: &str, read_only: bool| json!({"sourceVolume": volume, "containerPath": path, "readOnly": read_only});
    let definition = task(
        json!({"volumes": [
            {"name": "conf", "host": {"sourcePath": host.path()}},
            {"name": "scratch", "host": {}},
            {"name": "block", "configuredAtLaunch": true},
            {"name": "memory", "dockerVolumeConfiguration": {"scope": "task", "driver": "local", "labels": {"shop.kind": "cache"},
                "driverOpts": {"type": "tmpfs", "device": "tmpfs", "o": "size=4m"}}},
            {"name": shared, "dockerVolumeConfiguration": {"scope": "shared", "autoprovision": true}},
        ]}),
        json!([
            {"name": "app", "mountPoints": [
                mount("conf", "/conf", true), mount("scratch", "/scratch", false), mount("block", "/block", false),
                mount("memory", "/memory", false), mount(&shared, "/shared", false),
            ]},
            {"name": "reader", "volumesFrom": [{"sourceContainer": "app", "readOnly": true}]},
        ]),
    );
    let Some(world) = World::run(definition).await else {
        return;
    };
    assert_eq!(world.inside("app", "cat /conf/given"), "by the host");
    assert_eq!(
        world.inside("app", "touch /conf/x 2>/dev/null || echo refused"),
        "refused"
    );
    let size = world.inside("app", "df -k /memory | tail -n 1");
    assert_eq!(size.split_whitespace().nth(1), Some("4096"), "{size}");
    // One container writes, the other reads the same, and no more than that.
    let seen =
        "for d in scratch block memory shared; do echo $d > /$d/note; done; cat /scratch/note";
    assert_eq!(world.inside("app", seen), "scratch");
    assert_eq!(
        world.inside(
            "reader",
            "cat /conf/given /scratch/note /block/note /memory/note /shared/note | tr '\\n' ' '"
        ),
        "by the hostscratch block memory shared"
    );
    assert_eq!(
        world.inside("reader", "touch /scratch/x 2>/dev/null || echo refused"),
        "refused"
    );

    let volume = |path: &str| {
        let name = world.mounted("app", path)["Name"]
            .as_str()
            .expect("a volume")
            .to_owned();
        let text = docker(&["volume", "inspect", &name]);
        let found: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        (name, found[0].clone())
    };
    let (_, memory) = volume("/memory");
    assert_eq!(
        (&memory["Driver"], &memory["Options"]["o"]),
        (&json!("local"), &json!("size=4m"))
    );
    assert_eq!(memory["Labels"]["shop.kind"], "cache");
    // The difference: an engine volume where ECS attaches a disk.
    assert_eq!(volume("/block").1["Driver"], "local");
    let (kept, _) = volume("/shared");
    assert_eq!(kept, shared, "by that very name");

    // Those of the task go with it; the shared one stays.
    world.gone().await;
    assert_eq!(
        docker(&[
            "volume",
            "ls",
            "-q",
            "--filter",
            &format!("name=^{shared}$")
        ]),
        shared
    );
    assert!(host.path().join("given").is_file());
}

#[tokio::test]
async fn a_shared_volume_that_nobody_made_fails_the_task_with_that_reason() {
    let name = format!("longshore-test-missing-{}", std::process::id());
    let definition = task(
        json!({"volumes": [{"name": name, "dockerVolumeConfiguration": {"scope": "shared"}}]}),
        json!([{"name": "app", "mountPoints": [{"sourceVolume": name, "containerPath": "/v"}]}]),
    );
    let Some(world) = World::order(definition).await else {
        return;
    };
    let status = world.stopped().await;
    let reason = status.containers[0].reason.clone().unwrap_or_default();
    assert!(
        reason.starts_with("CannotCreateVolumeError")
            && reason.contains("autoprovision is not set"),
        "{reason}"
    );
}

/// Only the volume is looked at: whether it can be mounted is the kernel's to say.
#[tokio::test]
async fn a_file_system_of_aws_is_the_nfs_export_that_the_cluster_names() {
    let definition = task(
        json!({"volumes": [
            {"name": "whole", "efsVolumeConfiguration": {
                "fileSystemId": "fs-12345678", "rootDirectory": "/app", "transitEncryption": "ENABLED",
                "authorizationConfig": {"iam": "DISABLED"},
            }},
            {"name": "part", "efsVolumeConfiguration": {
                "fileSystemId": "fs-12345678", "transitEncryption": "DISABLED",
                "authorizationConfig": {"accessPointId": "fsap-1"},
            }},
        ]}),
        json!([{"name": "app", "mountPoints": [
            {"sourceVolume": "whole", "containerPath": "/whole"}, {"sourceVolume": "part", "containerPath": "/part"},
        ]}]),
    );
    let cluster = json!({"fileSystems": {
        "fs-12345678": {"nfs": "192.0.2.1:/srv"},
        "fsap-1": {"nfs": "192.0.2.1:/srv/part", "options": "nfsvers=3"},
    }});
    let Some(world) = World::in_cluster(definition, cluster, |_| {}).await else {
        return;
    };
    let mine = format!("label=longshore.task={}", world.id);
    let list = || docker(&["volume", "ls", "-q", "--filter", &mine]);
    world
        .rig
        .until_true("both volumes are there", async || {
            list().lines().count() == 2
        })
        .await;
    let mut options: Vec<String> = list()
        .lines()
        .map(|name| {
            let format = "{{.Driver}} {{.Options.type}} {{.Options.o}} {{.Options.device}}";
            docker(&["volume", "inspect", "--format", format, name])
        })
        .collect();
    options.sort();
    // The difference: nothing of `transitEncryption` is left; the mount options say what is spoken.
    assert_eq!(
        options,
        [
            "local nfs addr=192.0.2.1,nfsvers=3 :/srv/part",
            "local nfs addr=192.0.2.1,nfsvers=4.1 :/srv/app"
        ]
    );
}
