//! P4: Longshore is killed, its state is lost; containers keep running, and it converges again.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use longshore::clock::{IdGen, SeededIds};
use longshore::engine::translate::limits;
use longshore::engine::{ContainerState, Engine, labels};

use crate::floor::Recording;
use crate::rig::{Rig, Service, ids, values};

#[tokio::test]
async fn killed_twenty_times_during_rollouts_it_converges_without_duplicate_or_orphan_and_never_below_the_floor()
 {
    let Some(mut rig) = Rig::new("kill").await else {
        return;
    };
    let seed = std::env::var("LONGSHORE_SEED")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or(7);
    eprintln!("LONGSHORE_SEED={seed}");
    let random = SeededIds::new(seed);
    let web = |version| Service {
        count: 4,
        version,
        percent: (75, 150),
        mode: "awsvpc",
        health: true,
        ..Service::default()
    };
    let recording = Recording::of(&rig, "web").await;
    rig.service("web", &web("start"));
    rig.start();
    rig.steady();
    let versions = ["a", "b", "c", "d"];
    for n in 0..20 {
        if n % 5 == 0 {
            rig.service("web", &web(versions[n / 5]));
        }
        tokio::time::sleep(Duration::from_millis(random.bits() % 2500)).await;
        rig.kill();
        rig.start();
    }
    rig.steady();
    let extremes = recording.judge(4, true);
    assert!(extremes.least_healthy >= 3, "{extremes:?}");
    assert!(extremes.most_tasks <= 6, "{extremes:?}");

    // Nothing twice, nothing left over: each running task has its pause and its container, and there are four of them.
    let containers = rig.containers().await;
    let running: Vec<_> = containers
        .iter()
        .filter(|c| c.state == ContainerState::Running)
        .collect();
    let mut per_task: BTreeMap<&str, usize> = BTreeMap::new();
    for container in &running {
        *per_task.entry(&container.labels[labels::TASK]).or_default() += 1;
    }
    assert_eq!(per_task.len(), 4, "{per_task:?}");
    assert!(per_task.values().all(|n| *n == 2), "{per_task:?}");
    assert_eq!(values(&rig.running("web").await, labels::REVISION).len(), 1);
    let mine = [(labels::CLUSTER.to_owned(), rig.cluster.clone())];
    assert_eq!(
        rig.engine.list_networks(&mine).await.expect("a list").len(),
        1
    );
    assert_eq!(
        rig.engine.list_volumes(&mine).await.expect("a list").len(),
        0
    );
    let known = rig.json(&["get", "tasks", "-o", "json"]).to_string();
    for container in &containers {
        assert!(
            known.contains(&container.labels[labels::TASK])
                || container.state != ContainerState::Running
        );
    }
}

#[tokio::test]
async fn sigterm_leaves_the_containers_running_and_the_next_start_takes_them_up() {
    let Some(mut rig) = Rig::new("term").await else {
        return;
    };
    rig.service(
        "web",
        &Service {
            count: 2,
            mode: "awsvpc",
            ..Service::default()
        },
    );
    rig.start();
    rig.steady();
    let before = ids(&rig.containers().await);
    assert_eq!(rig.terminate(), 0);
    assert_eq!(rig.running("web").await.len(), 2);
    rig.start();
    rig.steady();
    assert_eq!(
        ids(&rig.containers().await),
        before,
        "a second pass changes nothing (P5)"
    );
}

#[tokio::test]
async fn neither_sigterm_nor_down_leaves_a_control_group_that_nothing_is_in() {
    let Some(mut rig) = Rig::new("groups").await else {
        return;
    };
    let info = rig.engine.info().await.expect("the engine answers");
    if !info.is_here || info.cgroup_driver != "cgroupfs" {
        eprintln!("not run: control groups are no folders of this host");
        return;
    }
    rig.service("web", &Service::default());
    for how in ["SIGTERM", "down"] {
        rig.start();
        rig.steady();
        let owner = std::fs::read_to_string(rig.state_dir().join("owner"));
        let above = limits::group(owner.expect("an owner").trim());
        let hierarchy = match info.cgroup_version {
            1 => "/sys/fs/cgroup/memory",
            _ => "/sys/fs/cgroup",
        };
        // As a worker leaves it that is ended just before it would remove it.
        let above = Path::new(hierarchy).join(above);
        let left = above.join("f".repeat(32));
        if let Err(error) = std::fs::create_dir_all(&left) {
            eprintln!("not run: control groups cannot be made here: {error}");
            return;
        }
        match how {
            "down" => {
                let down = rig.run(&["down", &rig.folder().display().to_string()]);
                assert_eq!(down.code, 0, "{}", down.stderr);
                rig.ends().await;
            }
            _ => assert_eq!(rig.terminate(), 0),
        }
        let stays = above.exists();
        let _ = std::fs::remove_dir(&left).and_then(|()| std::fs::remove_dir(&above));
        assert!(!stays, "{how}: {}", left.display());
    }
}

#[tokio::test]
async fn a_lost_store_takes_its_tasks_over_and_restarts_none() {
    let Some(mut rig) = Rig::new("lost").await else {
        return;
    };
    rig.service(
        "web",
        &Service {
            count: 3,
            mode: "awsvpc",
            health: true,
            ..Service::default()
        },
    );
    rig.start();
    rig.steady();
    let before = ids(&rig.running("web").await);
    assert_eq!(before.len(), 3);
    assert_eq!(rig.terminate(), 0);
    std::fs::remove_file(rig.state_dir().join("state.redb")).expect("the store is there");
    rig.start();
    rig.steady();
    assert_eq!(ids(&rig.running("web").await), before);

    // Numbers go on above what was: the next revision is not given twice.
    rig.service(
        "web",
        &Service {
            count: 3,
            mode: "awsvpc",
            version: "2",
            health: true,
            ..Service::default()
        },
    );
    rig.steady();
    assert_eq!(values(&rig.running("web").await, labels::REVISION), ["2"]);
}

#[tokio::test]
async fn a_second_longshore_refuses_and_says_who_holds_the_cluster() {
    let Some(mut rig) = Rig::new("holder").await else {
        return;
    };
    rig.service("web", &Service::default());
    rig.start();
    rig.steady();
    // The same folder and cluster, but a state of its own: only the engine can tell.
    let state = rig.path().join("other-state");
    let folder = rig.folder().display().to_string();
    let ended = std::process::Command::new(env!("CARGO_BIN_EXE_longshore"))
        .args(["run", &folder, "--state-dir"])
        .arg(&state)
        .arg("--socket")
        .arg(rig.path().join("other.sock"))
        .stdin(std::process::Stdio::null())
        .output()
        .expect("it ends by itself");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(2), "{said}");
    assert!(said.contains("held by") && said.contains(&folder), "{said}");
    assert_eq!(rig.running("web").await.len(), 1);
}

#[tokio::test]
async fn a_backup_of_a_running_longshore_and_a_plan_against_it_change_nothing() {
    let Some(mut rig) = Rig::new("backup").await else {
        return;
    };
    rig.service("web", &Service::default());
    rig.start();
    rig.steady();
    let before = ids(&rig.containers().await);
    let folder = rig.folder().display().to_string();
    let plan = rig.run(&["plan", &folder]);
    assert_eq!(
        (plan.code, plan.stdout.as_str()),
        (0, ""),
        "{}",
        plan.stderr
    );
    let backup = rig.path().join("copy.redb").display().to_string();
    let ended = rig.run(&["state", "backup", &backup]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let running = rig.json(&["state", "dump"]);
    assert_eq!(rig.terminate(), 0);

    // What was copied is what was there, and a Longshore starts from it.
    std::fs::rename(&backup, rig.state_dir().join("state.redb")).expect("restored");
    let restored = rig.json(&["state", "dump"]);
    let revisions = |dump: &serde_json::Value| dump["items"]["revisions/web/0000000001"].clone();
    assert_eq!(revisions(&running), revisions(&restored));
    rig.start();
    rig.steady();
    assert_eq!(ids(&rig.containers().await), before);
}
