//! Edits of the folder reach the engine.

use longshore::engine::{ContainerState, Engine, ErrorKind, labels};

use crate::common;
use crate::floor::Recording;
use crate::rig::{PATIENCE, Rig, Service, ids, values};

#[tokio::test]
async fn scaling_follows_the_file_and_leaves_the_other_tasks_alone() {
    let Some(mut rig) = Rig::new("scale").await else {
        return;
    };
    rig.service(
        "web",
        &Service {
            count: 2,
            ..Service::default()
        },
    );
    rig.start();
    rig.steady();
    let two = ids(&rig.running("web").await);
    assert_eq!(two.len(), 2);

    rig.service(
        "web",
        &Service {
            count: 4,
            ..Service::default()
        },
    );
    rig.steady();
    let four = ids(&rig.running("web").await);
    assert_eq!(four.len(), 4);
    assert!(
        two.iter().all(|id| four.contains(id)),
        "the first two go on running"
    );

    rig.service(
        "web",
        &Service {
            count: 1,
            ..Service::default()
        },
    );
    rig.steady();
    let one = ids(&rig.running("web").await);
    assert_eq!(one.len(), 1);
    assert!(
        four.contains(&one[0]),
        "one of them is kept, none is started"
    );

    rig.service(
        "web",
        &Service {
            count: 0,
            ..Service::default()
        },
    );
    rig.steady();
    assert_eq!(rig.running("web").await.len(), 0);
}

#[tokio::test]
async fn a_changed_definition_rolls_and_stays_between_floor_and_ceiling() {
    let Some(mut rig) = Rig::new("roll").await else {
        return;
    };
    // The floor of 4 × 75 % is 3, the ceiling of 4 × 125 % is 5.
    let web = |version| Service {
        count: 4,
        version,
        percent: (75, 125),
        health: true,
        ..Service::default()
    };
    let recording = Recording::of(&rig, "web").await;
    rig.service("web", &web("1"));
    rig.start();
    rig.steady();
    let first = rig.running("web").await;
    assert_eq!(values(&first, labels::REVISION), ["1"]);

    rig.service("web", &web("2"));
    rig.steady();
    let second = rig.running("web").await;
    assert_eq!(second.len(), 4);
    assert_eq!(values(&second, labels::REVISION), ["2"]);
    let extremes = recording.judge(4, true);
    assert!(extremes.least_healthy >= 3, "{extremes:?}");
    assert!(extremes.most_tasks <= 5, "{extremes:?}");

    // Back to what it was: ECS gives equal content its old number.
    rig.service("web", &web("1"));
    rig.steady();
    assert_eq!(values(&rig.running("web").await, labels::REVISION), ["1"]);
}

#[tokio::test]
async fn a_container_removed_by_hand_comes_back_and_an_event_says_why() {
    let Some(mut rig) = Rig::new("heal").await else {
        return;
    };
    rig.service(
        "web",
        &Service {
            count: 2,
            ..Service::default()
        },
    );
    rig.start();
    rig.steady();
    let before = rig.running("web").await;
    rig.engine
        .remove_container(&before[0].id)
        .await
        .expect("removed");
    let (gone, kept) = (before[0].id.clone(), before[1].id.clone());
    rig.until("two run again", async |rig| {
        let now = ids(&rig.running("web").await);
        now.len() == 2 && !now.contains(&gone) && now.contains(&kept)
    })
    .await;
    // `docker rm -f` kills before it removes; which of the two the agent sees first is the engine's affair.
    rig.until("the cause is in the events", async |rig| {
        let events = rig.run(&["events", "web"]).stdout;
        events.contains("removed") || events.contains("137")
    })
    .await;
}

#[tokio::test]
async fn a_task_whose_essential_container_ends_is_replaced() {
    let Some(mut rig) = Rig::new("ends").await else {
        return;
    };
    rig.service(
        "web",
        &Service {
            count: 1,
            ..Service::default()
        },
    );
    rig.start();
    rig.steady();
    let before = rig.running("web").await.remove(0);
    rig.engine
        .stop_container(&before.id, 1)
        .await
        .expect("stopped");
    rig.until("another runs", async |rig| {
        let now = rig.running("web").await;
        now.len() == 1 && now[0].id != before.id
    })
    .await;
}

#[tokio::test]
async fn a_service_whose_file_is_deleted_is_drained_and_a_neighbour_stays() {
    let Some(mut rig) = Rig::new("remove").await else {
        return;
    };
    rig.service(
        "web",
        &Service {
            count: 2,
            ..Service::default()
        },
    );
    rig.service(
        "other",
        &Service {
            count: 1,
            ..Service::default()
        },
    );
    rig.start();
    rig.steady();
    let other = ids(&rig.running("other").await);
    rig.remove("web.yaml");
    rig.until("web is gone", async |rig| {
        rig.running("web").await.is_empty()
    })
    .await;
    rig.steady();
    assert_eq!(ids(&rig.running("other").await), other);
    let services = rig.run(&["get", "services"]);
    assert!(services.stdout.contains("other"), "{}", services.stdout);
}

#[tokio::test]
async fn the_containers_of_an_awsvpc_task_share_one_namespace_and_answer_to_the_services_name() {
    let Some(mut rig) = Rig::new("awsvpc").await else {
        return;
    };
    rig.write(
        "pair.yaml",
        &format!(
            "family: pair
networkMode: awsvpc
containerDefinitions:
  - name: server
    image: {image}
    command: [sh, -c, 'mkdir /w; echo hello > /w/index.html; exec httpd -f -p 8080 -h /w']
    portMappings: [{{containerPort: 8080}}]
    memory: 32
    stopTimeout: 1
    healthCheck: {{command: [CMD-SHELL, 'wget -q -O - http://127.0.0.1:8080/'], interval: 5}}
  - name: client
    image: {image}
    essential: true
    command: [sh, -c, 'while true; do wget -q -O - http://127.0.0.1:8080/ && wget -q -O - http://pair:8080/; sleep 1; done']
    dependsOn: [{{containerName: server, condition: HEALTHY}}]
    memory: 32
    stopTimeout: 1
---
kind: Service
apiVersion: longshore/v1
metadata: {{name: pair}}
spec: {{cluster: {cluster}, taskDefinition: pair, desiredCount: 1}}
",
            image = common::IMAGE,
            cluster = rig.cluster,
        ),
    );
    rig.start();
    rig.steady();
    rig.until("the client heard the server both ways", async |rig| {
        let logs = rig.run(&["logs", "pair", "--container", "client", "--tail", "20"]);
        logs.stdout.matches("hello").count() >= 2
    })
    .await;
    let exec = rig.run(&[
        "exec",
        "pair",
        "--container",
        "client",
        "--",
        "sh",
        "-c",
        "echo inside; exit 7",
    ]);
    assert_eq!(exec.code, 7, "{}", exec.stderr);
    assert_eq!(exec.stdout.trim(), "inside");
}

#[tokio::test]
async fn down_removes_what_is_ours_and_nothing_else() {
    let Some(mut rig) = Rig::new("down").await else {
        return;
    };
    let ns = common::Namespace::new();
    let foreign = rig
        .engine
        .create_container(&ns.name("foreign"), &ns.body(&["sleep", "1000"]))
        .await
        .expect("created");
    rig.engine.start_container(&foreign).await.expect("started");
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
    assert_eq!(rig.running("web").await.len(), 2);

    let ended = rig.run(&["down"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(rig.containers().await.is_empty());
    let mine = [(labels::CLUSTER.to_owned(), rig.cluster.clone())];
    assert!(
        rig.engine
            .list_networks(&mine)
            .await
            .expect("a list")
            .is_empty()
    );
    assert!(
        rig.engine
            .list_containers(&mine)
            .await
            .expect("a list")
            .is_empty(),
        "the lease is given back"
    );
    let state = rig
        .engine
        .inspect_container(&foreign)
        .await
        .expect("it is there")
        .state;
    assert_eq!(
        state,
        ContainerState::Running,
        "a container of somebody else is not touched"
    );
    rig.engine
        .remove_container(&foreign)
        .await
        .expect("removed");
    let gone = rig
        .engine
        .inspect_container(&foreign)
        .await
        .expect_err("it is gone");
    assert_eq!(gone.kind, ErrorKind::NotFound);
}

#[tokio::test]
async fn apply_converges_once_and_says_that_nothing_supervises() {
    let Some(rig) = Rig::new("apply").await else {
        return;
    };
    rig.service(
        "web",
        &Service {
            count: 2,
            ..Service::default()
        },
    );
    let ended = rig.apply(PATIENCE.as_secs());
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(
        ended.stderr.contains("nothing supervises"),
        "{}",
        ended.stderr
    );
    assert_eq!(rig.running("web").await.len(), 2);

    // A second pass over what is there changes nothing (P5).
    let before = ids(&rig.containers().await);
    assert_eq!(rig.apply(PATIENCE.as_secs()).code, 0);
    assert_eq!(ids(&rig.containers().await), before);

    let down = rig.run(&["down", &rig.folder().display().to_string()]);
    assert_eq!(down.code, 0, "{}", down.stderr);
    assert!(rig.containers().await.is_empty());
}

#[tokio::test]
async fn apply_of_a_service_that_cannot_start_fails_with_the_cause_and_its_last_lines() {
    let Some(rig) = Rig::new("fails").await else {
        return;
    };
    rig.service(
        "web",
        &Service {
            command: "echo the disk is on fire; exit 3",
            ..Service::default()
        },
    );
    let ended = rig.apply(15);
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    let said = format!("{}{}", ended.stdout, ended.stderr);
    assert!(said.contains("the disk is on fire"), "{said}");
    assert!(
        said.contains("Essential container in task exited"),
        "{said}"
    );
}
