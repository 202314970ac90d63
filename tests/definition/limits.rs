//! CPU, memory and GPUs.

use std::path::PathBuf;

use longshore::model::Gpus;
use serde_json::{Value, json};

use crate::world::{World, docker, task};

pub const PROOFS: &[(&str, &[&str])] = &[
    (
        "a_container_has_its_own_shares_and_limits",
        &[
            "containerDefinitions[].cpu",
            "containerDefinitions[].memory",
            "containerDefinitions[].memoryReservation",
        ],
    ),
    (
        "the_limits_of_a_task_are_those_of_all_its_containers_together",
        &["cpu", "memory"],
    ),
    (
        "gpus_are_asked_of_the_engine_and_one_without_says_so_plainly",
        &[
            "containerDefinitions[].resourceRequirements[].type",
            "containerDefinitions[].resourceRequirements[].value",
        ],
    ),
];

#[tokio::test]
async fn a_container_has_its_own_shares_and_limits() {
    let definition = task(
        json!({}),
        json!([
            {"name": "app", "cpu": 256, "memory": 64, "memoryReservation": 32},
            {"name": "least", "essential": false},
        ]),
    );
    let Some(world) = World::run(definition).await else {
        return;
    };
    let config = world.inspect("app")["HostConfig"].take();
    assert_eq!(config["CpuShares"], 256);
    assert_eq!(config["Memory"], 64 << 20);
    assert_eq!(config["MemoryReservation"], 32 << 20);
    assert_eq!(config["NanoCpus"], 0);
    // Where nothing is said: the ECS agent's floor, not Docker's 1024.
    assert_eq!(world.inspect("least")["HostConfig"]["CpuShares"], 2);
}

#[tokio::test]
async fn the_limits_of_a_task_are_those_of_all_its_containers_together() {
    // The second container takes more than the task has, though less than nothing bounds it by itself.
    let greedy = [
        "sh",
        "-c",
        "sleep 1; exec dd if=/dev/zero of=/dev/null bs=120M count=1",
    ];
    let definition = task(
        json!({"cpu": "512", "memory": "96"}),
        json!([
            {"name": "app", "cpu": 128, "memory": 64},
            {"name": "greedy", "memory": 0, "memoryReservation": 16, "essential": false, "command": greedy},
        ]),
    );
    let Some(world) = World::order(definition).await else {
        return;
    };
    world.running().await;
    let (app, other) = (world.inspect("app"), world.inspect("greedy"));
    let parent = app["HostConfig"]["CgroupParent"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    if parent.is_empty() {
        // The nearest thing, where this test may not make control groups: each is bound by the task's figures by itself.
        assert!(!may_make_groups(), "control groups could be made");
        let limits = |c: &Value| {
            (
                c["HostConfig"]["Memory"].clone(),
                c["HostConfig"]["NanoCpus"].clone(),
            )
        };
        assert_eq!(limits(&app), (json!(64 << 20), json!(500_000_000)));
        assert_eq!(limits(&other), (json!(96 << 20), json!(500_000_000)));
        return;
    }
    assert_eq!(other["HostConfig"]["CgroupParent"], parent.as_str());
    assert_eq!(app["HostConfig"]["Memory"], 64 << 20);
    assert_eq!(other["HostConfig"]["Memory"], 0);
    for config in [&app, &other] {
        assert_eq!(config["HostConfig"]["NanoCpus"], 0);
    }
    if !parent.ends_with(".slice") {
        let read = |v1: &str, v2: &str| {
            let one = PathBuf::from("/sys/fs/cgroup").join(v1.replace("{}", &parent));
            let two = PathBuf::from("/sys/fs/cgroup").join(v2.replace("{}", &parent));
            let text = std::fs::read_to_string(one).or_else(|_| std::fs::read_to_string(two));
            text.expect("the kernel's file").trim().to_owned()
        };
        let memory = read("memory{}/memory.limit_in_bytes", ".{}/memory.max");
        assert_eq!(memory, (96 << 20).to_string());
        let cpu = read("cpu{}/cpu.cfs_quota_us", ".{}/cpu.max");
        assert_eq!(cpu.split(' ').next(), Some("50000"));
        // The kernel counts the process of the container to it.
        let found = std::fs::read_dir(PathBuf::from("/sys/fs/cgroup/memory").join(&parent[1..]))
            .or_else(|_| std::fs::read_dir(PathBuf::from("/sys/fs/cgroup").join(&parent[1..])));
        let ids: Vec<String> = found
            .expect("the group")
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        assert!(ids.contains(&world.find("app")), "{ids:?}");
    }
    world
        .rig
        .until_true(
            "the kernel ends the container that takes too much",
            async || world.inspect("greedy")["State"]["ExitCode"] == 137,
        )
        .await;
    assert_eq!(world.inspect("app")["State"]["Running"], true);
    world.gone().await;
    group_is_gone(&world, &parent).await;
}

/// Waits until the control group of a task that is gone is gone, too, and the one above it.
async fn group_is_gone(world: &World, parent: &str) {
    if parent.ends_with(".slice") {
        return;
    }
    let above = parent.rsplit_once('/').map_or("", |(above, _)| above);
    world
        .rig
        .until_true(
            "its control group is gone, and the one above it",
            async || {
                ["memory", "cpu", "pids", "."].iter().all(|hierarchy| {
                    let group = format!("/sys/fs/cgroup/{hierarchy}{above}");
                    !PathBuf::from(group).exists()
                })
            },
        )
        .await;
}

#[tokio::test]
async fn a_control_group_goes_with_its_task_also_where_an_earlier_longshore_made_it() {
    let definition = task(json!({"memory": "64"}), json!([{"name": "app"}]));
    let Some(mut world) = World::run(definition).await else {
        return;
    };
    let config = world.inspect("app")["HostConfig"].take();
    let parent = config["CgroupParent"].as_str().unwrap_or_default();
    if parent.is_empty() {
        eprintln!("not run: no control groups can be made here");
        return;
    }
    // One that starts no task of its own.
    world.rig.stop().await.expect("it ends");
    world.rig.start().await;
    world.rig.settled().await;
    world.gone().await;
    group_is_gone(&world, parent).await;
}

#[tokio::test]
async fn a_control_group_of_a_task_that_was_forgotten_does_not_outlive_longshore() {
    let definition = task(json!({"memory": "64"}), json!([{"name": "app"}]));
    let Some(mut world) = World::run(definition).await else {
        return;
    };
    let config = world.inspect("app")["HostConfig"].take();
    let parent = config["CgroupParent"].as_str().unwrap_or_default();
    let own = PathBuf::from(format!("/sys/fs/cgroup/memory{parent}"));
    if parent.is_empty() || !own.exists() {
        eprintln!("not run: control groups are none of version 1 here, or none can be made");
        return;
    }
    // As a worker leaves it that is ended just before it would remove it.
    let forgotten = own.with_file_name("f".repeat(32));
    std::fs::create_dir(&forgotten).expect("a group");
    world.rig.stop().await.expect("it ends");
    assert!(!forgotten.exists(), "nobody knows its task");
    assert!(own.exists(), "its task runs on");
    world.rig.start().await;
    world.gone().await;
    group_is_gone(&world, parent).await;
}

/// Whether the engine's groups are folders of this host that this test may write to.
fn may_make_groups() -> bool {
    let driver = docker(&["info", "--format", "{{.CgroupDriver}} {{.Name}}"]);
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let probe = PathBuf::from("/sys/fs/cgroup/memory")
        .join(format!("longshore-probe-{}", std::process::id()));
    let made = std::fs::create_dir(&probe).is_ok();
    let _ = std::fs::remove_dir(&probe);
    made && driver == format!("cgroupfs {}", name.trim())
}

#[tokio::test]
async fn gpus_are_asked_of_the_engine_and_one_without_says_so_plainly() {
    let definition = task(
        json!({}),
        json!([{"name": "app", "resourceRequirements": [{"type": "GPU", "value": "1"}]}]),
    );
    let Some(world) = World::order(definition).await else {
        return;
    };
    assert_eq!(world.spec.containers[0].gpus, Some(Gpus::Count(1)));
    world
        .rig
        .until_true("it is created", async || !world.find("app").is_empty())
        .await;
    let request = world.inspect("app")["HostConfig"]["DeviceRequests"][0].take();
    assert_eq!(request["Capabilities"], json!([["gpu"]]));
    assert_eq!(request["Count"], 1);
    if docker(&["info", "--format", "{{json .Runtimes}}"]).contains("nvidia") {
        return;
    }
    let status = world.stopped().await;
    let reason = status.containers[0].reason.clone().unwrap_or_default();
    assert!(
        reason.starts_with(
            "CannotStartContainerError: this engine has no driver for GPUs: install the NVIDIA"
        ),
        "{reason}"
    );
}
