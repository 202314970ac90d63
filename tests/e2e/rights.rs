//! Whoever may use Docker may use Longshore: it needs no root, only the group of the socket.

use std::os::unix::fs::MetadataExt as _;

use crate::rig::{Rig, Service};

/// `nobody`: a user with no rights of its own.
const USER: u32 = 65534;

#[tokio::test]
async fn a_user_of_the_sockets_group_who_is_not_root_can_do_everything() {
    let may_become_another = std::fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0);
    if !may_become_another {
        eprintln!("not run: only root can run Longshore as another user");
        return;
    }
    let Some(group) = socket_group() else {
        return;
    };
    let Some(mut rig) = Rig::new("rights").await else {
        return;
    };
    rig.run_by(USER, group);
    rig.service(
        "web",
        &Service {
            count: 2,
            mode: "awsvpc",
            health: true,
            ..Service::default()
        },
    );
    rig.start();
    let process = std::fs::metadata(format!("/proc/{}", rig.pid())).expect("it runs");
    assert_eq!((process.uid(), process.gid()), (USER, group));
    rig.steady();
    assert_eq!(rig.running("web").await.len(), 2);

    let tasks = rig.run(&["get", "tasks"]);
    assert_eq!(tasks.code, 0, "{}", tasks.stderr);
    assert_eq!(
        tasks.stdout.matches("RUNNING").count(),
        2,
        "{}",
        tasks.stdout
    );
    let logs = rig.run(&["logs", "web"]);
    assert!(
        logs.stdout.contains("version 1"),
        "{} {}",
        logs.stdout,
        logs.stderr
    );

    let down = rig.run(&["down"]);
    assert_eq!(down.code, 0, "{}\nlog: {}", down.stderr, rig.log());
    assert!(rig.containers().await.is_empty());

    // With none running, the command does all of it in a process of its own.
    let applied = rig.apply(crate::rig::PATIENCE.as_secs());
    assert_eq!(applied.code, 0, "{}{}", applied.stdout, applied.stderr);
    assert_eq!(rig.running("web").await.len(), 2);
    let down = rig.run(&["down", &rig.folder().display().to_string()]);
    assert_eq!(down.code, 0, "{}", down.stderr);
    assert!(rig.containers().await.is_empty());
    let state = std::fs::metadata(rig.state_dir()).expect("it has its state");
    assert_eq!(state.uid(), USER);
}

/// The group that may use the engine's socket; `None`, said aloud, where there is none but root's.
fn socket_group() -> Option<u32> {
    let address =
        std::env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".to_owned());
    let Some(path) = address.strip_prefix("unix://") else {
        eprintln!("not run: the engine at {address} has no socket with a group");
        return None;
    };
    let Ok(socket) = std::fs::metadata(path) else {
        eprintln!("not run: there is no socket {path}");
        return None;
    };
    if socket.gid() == 0 {
        eprintln!("not run: {path} belongs to the group root, so only root may use it");
        return None;
    }
    Some(socket.gid())
}
