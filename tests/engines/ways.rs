//! The ways to an engine: TCP, TLS with a client's certificate, and ssh. The same is asked of each: tasks, their output, a command in
//! one of them, and what happens when one ends.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

use crate::common::IMAGE;
use crate::engines::{Engines, there_is};
use crate::machines::{Machines, Member};
use crate::rig::{Service, ids};

#[tokio::test]
async fn an_engine_does_the_same_over_tcp_tls_and_ssh() {
    let has_ssh = there_is("sshd") && there_is("ssh");
    if !has_ssh {
        let why = "an instance by ssh: there is no sshd on this machine (Debian: openssh-server)";
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{why}");
        eprintln!("not run: {why}");
    }
    let Some(engines) = Engines::up(3, "2") else {
        return;
    };
    let mut environment = Vec::new();
    let mut over_ssh = None;
    if has_ssh {
        engines.sh(&["sshd", "3"]);
        // Longshore runs `ssh` as docker does; here it has the test's own key and configuration.
        let programs = engines.dir().join("programs");
        std::fs::create_dir(&programs).expect("a folder");
        let program = programs.join("ssh");
        let config = engines.dir().join("ssh/config");
        let text = format!(
            "#!/bin/sh\nexec /usr/bin/ssh -F {} \"$@\"\n",
            config.display()
        );
        std::fs::write(&program, text).expect("written");
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("set");
        let path = std::env::var("PATH").unwrap_or_default();
        environment.push(("PATH".to_owned(), format!("{}:{path}", programs.display())));
        let (host, socket) = (engines.host(3), engines.socket(3));
        over_ssh = Some(format!("ssh://root@{host}{}", socket.display()));
    }
    let mut machines = Machines::on(engines, 3, "ways", environment).await;
    machines.members = vec![machines.member("tcp", 1), machines.member("tls", 2)];
    if let Some(address) = over_ssh {
        machines.members.push(Member {
            name: "ssh",
            engine: 3,
            entry: format!("endpoint: {address}"),
            status: "ACTIVE",
        });
    }
    machines.declare();
    // One task an instance, in a namespace of its own: the pause image and the cluster's network are made over each way.
    let each = Service {
        count: u32::try_from(machines.members.len()).expect("few"),
        mode: "awsvpc",
        health: true,
        ..Service::default()
    };
    machines.rig.service("web", &each);
    machines.rig.start();
    machines.rig.steady();

    for member in machines.members.clone() {
        let (name, engine) = (member.name, member.engine);
        let here = machines.on_engine(engine, "web").await;
        assert_eq!(here.len(), 2, "{name}: a task and its pause container");
        let main = here.iter().find(|c| {
            c.labels
                .get("longshore.container")
                .is_some_and(|n| n == "main")
        });
        let task = main.expect("its container").labels["longshore.task"].clone();
        let instance = machines.instance(name);
        let host = instance["attributes"]
            .as_array()
            .expect("attributes")
            .iter();
        assert!(
            host.clone().all(|a| a["name"] != "longshore.host"),
            "{name} is another host"
        );
        drop(host);

        let logs = machines
            .rig
            .run(&["logs", &task, "--cluster", &machines.rig.cluster]);
        assert!(logs.stdout.contains("version 1"), "{name}: {logs:?}");
        let exec = machines.rig.run(&[
            "exec",
            &task,
            "--cluster",
            &machines.rig.cluster,
            "--",
            "echo",
            "here",
        ]);
        assert_eq!(exec.stdout.trim(), "here", "{name}: {exec:?}");

        // Its end is seen by the engine's events, and it is replaced.
        let before = ids(&here);
        longshore::engine::Engine::remove_container(machines.client(engine), &main.expect("it").id)
            .await
            .expect("removed");
        let begun = tokio::time::Instant::now();
        loop {
            let now = machines.on_engine(engine, "web").await;
            if now.len() == 2 && ids(&now).iter().all(|id| !before.contains(id)) {
                break;
            }
            assert!(
                begun.elapsed() < crate::rig::PATIENCE,
                "{name}: {}",
                machines.rig.log()
            );
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    }
    machines.rig.steady();
    needs_the_host(&machines).await;
}

/// What only Longshore's own host can do is placed on none of them, whatever the way there, and its service says why.
async fn needs_the_host(machines: &Machines) {
    let rig = &machines.rig;
    let allowed = machines
        .manifest(&rig.cluster, &machines.members)
        .replace("spec:\n", "spec:\n  faultInjection: true\n");
    rig.write("cluster.yaml", &allowed);
    let container =
        json!({"name": "main", "image": IMAGE, "memory": 16, "command": ["sleep", "100000"]});
    let faulty = json!({
        "family": "faulty", "networkMode": "awsvpc", "enableFaultInjection": true, "containerDefinitions": [container],
    });
    rig.write("faulty.json", &faulty.to_string());
    let service = json!({
        "apiVersion": "longshore/v1", "kind": "Service", "metadata": {"name": "faulty"},
        "spec": {"cluster": rig.cluster, "taskDefinition": "faulty", "desiredCount": 1},
    });
    rig.write("faulty-service.json", &service.to_string());
    let count = machines.members.len();
    rig.until("the reason is said", async |rig| {
        let said = rig.run(&["events", "faulty"]).stdout;
        said.contains("no container instance met all of its requirements")
            && said.contains("longshore.host")
            && said.contains("`enableFaultInjection` needs the engine's own host")
            && said.contains(&format!("{count} on another host"))
    })
    .await;
    for member in &machines.members {
        let here = machines.on_engine(member.engine, "faulty").await;
        assert_eq!(here.len(), 0, "{}", member.name);
    }
}
