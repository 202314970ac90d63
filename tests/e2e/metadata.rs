//! The task metadata endpoint, asked from inside containers.

use futures_util::StreamExt;
use longshore::engine::{Engine, ExecOptions, ObservedContainer, labels};
use serde_json::Value;

use crate::rig::{Rig, Service, ids};

/// What a shell script in a container writes, and its exit code.
pub async fn script(rig: &Rig, id: &str, script: &str) -> (String, i64) {
    let options = ExecOptions {
        command: ["sh", "-c", script].map(str::to_owned).to_vec(),
        ..ExecOptions::default()
    };
    let mut session = rig.engine.exec(id, &options).await.expect("it runs");
    let mut output = Vec::new();
    while let Some(chunk) = session.output.next().await {
        output.extend_from_slice(&chunk.expect("its output").bytes);
    }
    let code = rig.engine.exec_exit_code(&session.id).await;
    let code = code.expect("the command is known").expect("it has ended");
    (String::from_utf8_lossy(&output).into_owned(), code)
}

/// What is found at an address that is an expression of the container's shell.
pub async fn get(rig: &Rig, id: &str, address: &str) -> Value {
    let (text, code) = script(rig, id, &format!("wget -qO- \"{address}\"")).await;
    assert_eq!(code, 0, "{address}: {text}\nlog: {}", rig.log());
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{address}: {e}: {text}"))
}

fn label<'a>(container: &'a ObservedContainer, label: &str) -> &'a str {
    &container.labels[label]
}

const TASK: &str = "$ECS_CONTAINER_METADATA_URI_V4/task";

#[tokio::test]
async fn a_container_is_told_of_its_own_task_in_every_network_mode() {
    let Some(mut rig) = Rig::new("told").await else {
        return;
    };
    for mode in ["awsvpc", "bridge", "host", "none"] {
        rig.service(
            mode,
            &Service {
                mode,
                health: mode == "bridge",
                ..Service::default()
            },
        );
    }
    rig.start();
    rig.steady();
    for mode in ["awsvpc", "bridge", "host"] {
        let running = rig.running(mode).await;
        let me = &running[0];
        let task = get(&rig, &me.id, TASK).await;
        let arn = format!(
            "arn:aws:ecs:local:000000000000:task/{}/{}",
            rig.cluster,
            label(me, labels::TASK)
        );
        assert_eq!(task["TaskARN"], arn, "{mode}");
        assert_eq!(task["Cluster"], rig.cluster);
        assert_eq!(task["Family"], mode);
        assert_eq!(task["Revision"], "1");
        assert_eq!(task["ServiceName"], mode);
        assert_eq!(task["DesiredStatus"], "RUNNING");
        assert_eq!(task["KnownStatus"], "RUNNING");
        assert_eq!(task["LaunchType"], "EC2");
        let own = task["Containers"].as_array().expect("containers");
        let own = own.iter().find(|c| c["Name"] == "main").expect("itself");

        let container = get(&rig, &me.id, "$ECS_CONTAINER_METADATA_URI_V4").await;
        assert_eq!(container, *own, "{mode}");
        assert_eq!(container["DockerId"], me.id);
        assert_eq!(container["DockerName"], me.name);
        assert_eq!(container["ImageID"], me.image_id);
        assert_eq!(container["Limits"]["Memory"], 32);
        assert_eq!(container["Networks"][0]["NetworkMode"], mode);
        assert_eq!(
            container["Health"]["status"],
            if mode == "bridge" {
                "HEALTHY".into()
            } else {
                Value::Null
            }
        );
        let older = get(&rig, &me.id, "$ECS_CONTAINER_METADATA_URI/task").await;
        assert_eq!(older["TaskARN"], arn);
        let tagged = get(&rig, &me.id, &format!("{TASK}WithTags")).await;
        assert!(tagged["TaskTags"].is_object(), "{tagged}");

        let stats = get(&rig, &me.id, "$ECS_CONTAINER_METADATA_URI_V4/stats").await;
        let used = |member: &str| stats[member]["cpu_usage"]["total_usage"].as_u64();
        assert!(used("precpu_stats") > Some(0), "{mode}: {stats}");
        assert!(used("cpu_stats") >= used("precpu_stats"));
        let connected = mode != "host";
        assert_eq!(stats["network_rate_stats"].is_object(), connected, "{mode}");
        let of_task = get(&rig, &me.id, &format!("{TASK}/stats")).await;
        assert!(of_task[&me.id]["memory_stats"].is_object(), "{of_task}");

        let (variable, _) = script(&rig, &me.id, "echo $AWS_EXECUTION_ENV").await;
        assert_eq!(variable.trim(), "AWS_ECS_EC2");
    }
    let cut_off = rig.running("none").await;
    let (variables, _) = script(&rig, &cut_off[0].id, "env").await;
    assert!(!variables.contains("METADATA"), "{variables}");
}

#[tokio::test]
async fn one_task_cannot_ask_in_the_name_of_another() {
    let Some(mut rig) = Rig::new("names").await else {
        return;
    };
    for mode in ["awsvpc", "bridge"] {
        rig.service(
            mode,
            &Service {
                mode,
                count: 2,
                ..Service::default()
            },
        );
    }
    rig.start();
    rig.steady();
    for mode in ["awsvpc", "bridge"] {
        let both = rig.running(mode).await;
        let (address, _) = script(&rig, &both[0].id, &format!("echo {TASK}")).await;
        let address = address.trim();
        let own = get(&rig, &both[0].id, address).await;
        assert!(own["TaskARN"].is_string(), "{own}");
        let (said, code) = script(&rig, &both[1].id, &format!("wget -O- {address} 2>&1")).await;
        assert_ne!(code, 0, "{mode}: {said}");
        assert!(said.contains("404"), "{mode}: {said}");
        // One digit of the signature is another one.
        let last = address.len() - "/task".len() - 1;
        let digit = if address.as_bytes()[last] == b'0' {
            "1"
        } else {
            "0"
        };
        let forged = format!("{}{digit}/task", &address[..last]);
        let (said, code) = script(&rig, &both[0].id, &format!("wget -O- {forged} 2>&1")).await;
        assert_ne!(code, 0, "{mode}: {said}");
        assert!(said.contains("404"), "{mode}: {said}");
    }
}

#[tokio::test]
async fn what_a_container_was_told_holds_after_a_crash() {
    let Some(mut rig) = Rig::new("holds").await else {
        return;
    };
    for mode in ["awsvpc", "host"] {
        rig.service(
            mode,
            &Service {
                mode,
                ..Service::default()
            },
        );
    }
    rig.start();
    rig.steady();
    let before = rig.containers().await;
    let mut told = Vec::new();
    for mode in ["awsvpc", "host"] {
        let running = rig.running(mode).await;
        told.push(get(&rig, &running[0].id, TASK).await["TaskARN"].clone());
    }
    rig.kill();
    let running = rig.running("awsvpc").await;
    let (said, code) = script(&rig, &running[0].id, &format!("wget -O- {TASK} 2>&1")).await;
    assert_ne!(code, 0, "nobody is there to answer: {said}");
    rig.start();
    rig.steady();
    for (mode, told) in ["awsvpc", "host"].iter().zip(told) {
        let running = rig.running(mode).await;
        assert_eq!(get(&rig, &running[0].id, TASK).await["TaskARN"], told);
    }
    assert_eq!(ids(&rig.containers().await), ids(&before));
}

/// Sends a request to the agent's own API of a container, from inside it: the answer's status and body.
pub async fn post(rig: &Rig, id: &str, method: &str, path: &str, body: &str) -> (u16, Value) {
    // Debian's wget of busybox has no PUT. The request's end stays open until the answer has come.
    let request = format!(
        "u=${{ECS_AGENT_URI#http://}}; a=${{u%%/*}}; f=/tmp/ask$$; busybox mkfifo $f
         ( printf '%s /%s/{path} HTTP/1.0\\r\\nContent-Type: application/json\\r\\nContent-Length: {length}\\r\\n\\r\\n%s' \
         {method} \"${{u#*/}}\" '{body}'; exec sleep 60 ) > $f 2>/dev/null &
         nc ${{a%:*}} ${{a#*:}} < $f; kill $!; rm $f",
        length = body.len(),
    );
    let (answer, _) = script(rig, id, &request).await;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("{method} {path}: {answer:?}\nlog: {}", rig.log()));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    let body = serde_json::from_str(body).unwrap_or_else(|e| panic!("{e}: {answer}"));
    (status.expect("a status"), body)
}
