//! `linuxParameters`.

use serde_json::json;

use crate::world::{World, docker, task};

pub const PROOFS: &[(&str, &[&str])] = &[(
    "linux_parameters_are_seen_from_inside",
    &[
        "containerDefinitions[].linuxParameters.capabilities.add",
        "containerDefinitions[].linuxParameters.capabilities.drop",
        "containerDefinitions[].linuxParameters.devices[].hostPath",
        "containerDefinitions[].linuxParameters.devices[].containerPath",
        "containerDefinitions[].linuxParameters.devices[].permissions",
        "containerDefinitions[].linuxParameters.initProcessEnabled",
        "containerDefinitions[].linuxParameters.sharedMemorySize",
        "containerDefinitions[].linuxParameters.tmpfs[].containerPath",
        "containerDefinitions[].linuxParameters.tmpfs[].size",
        "containerDefinitions[].linuxParameters.tmpfs[].mountOptions",
        "containerDefinitions[].linuxParameters.maxSwap",
        "containerDefinitions[].linuxParameters.swappiness",
    ],
)];

/// Bits of capabilities in `/proc/<pid>/status`.
const CHOWN: u64 = 1 << 0;
const NET_ADMIN: u64 = 1 << 12;

#[tokio::test]
async fn linux_parameters_are_seen_from_inside() {
    let definition = task(
        json!({}),
        json!([{
            "name": "app",
            "memory": 64,
            "linuxParameters": {
                "capabilities": {"add": ["NET_ADMIN"], "drop": ["CHOWN"]},
                "devices": [{"hostPath": "/dev/null", "containerPath": "/dev/mine", "permissions": ["read", "write"]}],
                "initProcessEnabled": true,
                "sharedMemorySize": 16,
                "tmpfs": [{"containerPath": "/scratch", "size": 8, "mountOptions": ["noexec", "mode=1700"]}],
                "maxSwap": 32,
                "swappiness": 10,
            },
        }]),
    );
    let Some(world) = World::run(definition).await else {
        return;
    };
    let effective = world.inside("app", "sed -n 's/^CapEff:[^0-9a-f]*//p' /proc/1/status");
    let effective = u64::from_str_radix(&effective, 16).expect("hexadecimal digits");
    assert_eq!((effective & NET_ADMIN, effective & CHOWN), (NET_ADMIN, 0));

    let app = world.inspect("app");
    let device = &app["HostConfig"]["Devices"][0];
    assert_eq!(device["PathOnHost"], "/dev/null");
    assert_eq!(device["CgroupPermissions"], "rw");
    assert_eq!(
        world.inside(
            "app",
            "echo x > /dev/mine && test -c /dev/mine && echo there"
        ),
        "there"
    );

    assert!(world.inside("app", "cat /proc/1/cmdline").contains("init"));
    let kib = |path: &str| {
        let line = world.inside("app", &format!("df -k {path} | tail -n 1"));
        line.split_whitespace().nth(1).map(str::to_owned)
    };
    assert_eq!(kib("/dev/shm").as_deref(), Some("16384"));
    assert_eq!(kib("/scratch").as_deref(), Some("8192"));
    let mount = world.inside("app", "grep ' /scratch ' /proc/mounts");
    assert!(
        mount.contains("noexec") && mount.contains("mode=1700"),
        "{mount}"
    );

    // An engine whose kernel does not account for swap leaves both out.
    if docker(&["info", "--format", "{{.SwapLimit}}"]) == "true" {
        assert_eq!(app["HostConfig"]["MemorySwap"], (64 + 32) << 20);
    }
    // The difference: version 2 of control groups has no swappiness.
    let swappiness = &app["HostConfig"]["MemorySwappiness"];
    match docker(&["info", "--format", "{{.CgroupVersion}}"]).as_str() {
        "2" => assert!(swappiness.is_null(), "{swappiness}"),
        _ => assert_eq!(*swappiness, 10),
    }
}
