//! Secrets, files of variables and registry credentials: containers get them, and nobody else does (P9).

use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use longshore::clock::{IdGen, RandomIds};
use longshore::engine::labels;
use serde_json::Value;

use crate::common;
use crate::rig::Rig;

/// A key that `age-keygen` made for this test, and what `age` encrypted to it.
const IDENTITY: &str =
    "AGE-SECRET-KEY-15TNAE33HTFN4JVVZ8HLRP6TGPV7LFEUXK0TAD3AED24PK0VKH3WQRTJ0UX\n";
const IN_AGE: &str = "planted-age-5c1f0e7b92d84a36";
const ENCRYPTED: &str = "-----BEGIN AGE ENCRYPTED FILE-----
YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSBXNk1FSlZSVk1sczc5aExC
a2pQdVlRS1FkYXgzaElpdjFORDhkTUhxOFhZCnpyWi9VU1pobW5Ldk02dWxRU2M0
akM2NXNiVUIvNUp2UVhIWEEzeG5ycWcKLS0tICtUVnZqSWtxaThxUTdSSXV2UE9k
bm0zbEhXT2lSNkhrUmI4MFpMVDEyL1kKb0jcJrVyY/i89i2QiCL+2khnQf2I5Y1c
MC5fvvjOcBN5eQKVmUV/imXrGz54nkD0Z4+u0uxlzp2UCXYiTQ==
-----END AGE ENCRYPTED FILE-----
";

/// A value that is nowhere else in the world.
fn planted(what: &str) -> String {
    format!("planted-{what}-{:016x}", RandomIds.bits())
}

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    std::fs::write(path, text).expect("written");
}

/// The cluster of a rig, with these members.
fn cluster(rig: &Rig, members: &str) {
    let text = format!(
        "apiVersion: longshore/v1\nkind: Cluster\nmetadata: {{name: {}}}\nspec:\n  healthyAfterSeconds: 1\n{members}",
        rig.cluster
    );
    rig.write("cluster.yaml", &text);
}

/// A service of one container that waits, with these members more.
fn service(rig: &Rig, name: &str, members: &str) {
    let members: String = members
        .lines()
        .map(|line| format!("      {line}\n"))
        .collect();
    let text = format!(
        "apiVersion: longshore/v1
kind: TaskDefinition
metadata: {{name: {name}}}
spec:
  containerDefinitions:
    - name: main
      image: '{}'
      command: [sh, -c, 'trap : TERM; sleep 100000 & wait']
      memory: 32
      stopTimeout: 1
{members}---
apiVersion: longshore/v1
kind: Service
metadata: {{name: {name}}}
spec: {{cluster: {}, taskDefinition: {name}, desiredCount: 1}}
",
        common::IMAGE,
        rig.cluster
    );
    rig.write(&format!("{name}.yaml"), &text);
}

fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker")
        .args(arguments)
        .output()
        .expect("docker runs");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The environment that the container of a service has, seen from inside.
async fn environment(rig: &Rig, service: &str) -> Vec<String> {
    let found = rig.running(service).await;
    let seen = docker(&["exec", &found[0].id, "env"]);
    seen.lines().map(str::to_owned).collect()
}

/// What the newest stopped task of a service says of itself, once one has stopped.
async fn stopped(rig: &Rig, service: &str) -> Value {
    let mut found = Value::Null;
    rig.until(&format!("a task of {service} has stopped"), async |rig| {
        let tasks = rig.json(&["get", "tasks", "--all", "-o", "json"]);
        let group = format!("service:{service}");
        let over = |task: &&Value| task["group"] == *group && task["lastStatus"] == "STOPPED";
        let all = tasks["tasks"].as_array().expect("tasks");
        found = all.iter().find(over).cloned().unwrap_or_default();
        !found.is_null()
    })
    .await;
    found
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.is_file() {
            found.push(path);
        }
    }
    found
}

#[tokio::test]
async fn secrets_reach_their_container_and_nothing_else() {
    let Some(engine) = common::docker().await else {
        return;
    };
    let [
        directory,
        variable,
        command,
        option,
        own,
        object,
        bad,
        worse,
    ] = [
        "directory",
        "variable",
        "command",
        "option",
        "own",
        "object",
        "bad",
        "worse",
    ]
    .map(planted);
    let daemon = vec![
        ("E2E_PLANTED".to_owned(), variable.clone()),
        // As much as it can say.
        ("LONGSHORE_LOG".to_owned(), "trace".to_owned()),
    ];
    let mut rig = Rig::on(engine, "p9", daemon);
    let outside = rig.path().join("outside");
    write(&outside.join("key"), IDENTITY);
    for (name, value) in [
        ("directory", &directory),
        ("option", &option),
        ("bad", &bad),
        ("worse", &worse),
    ] {
        write(&outside.join("secrets").join(name), &format!("{value}\n"));
    }
    write(&outside.join("vault"), &command);
    write(
        &outside.join("get"),
        "[ \"$1\" = shop/printed ] || { echo \"no $1\" >&2; exit 1; }\ncat \"$(dirname \"$0\")/vault\"\n",
    );
    write(&outside.join("s3/app.env"), &format!("OBJECT={object}\n"));
    write(&rig.folder().join("env/own.env"), &format!("OWN={own}\n"));
    write(&rig.folder().join("encrypted.age"), ENCRYPTED);
    cluster(
        &rig,
        &format!(
            "  secretProviders:
    - {{type: directory, path: {0}/secrets}}
    - {{type: environment, prefix: E2E_}}
    - {{type: age, identityFile: {0}/key}}
    - {{type: command, command: [sh, {0}/get], timeout: 30}}
  environmentFiles: {{path: {0}/s3}}
",
            outside.display()
        ),
    );
    service(
        &rig,
        "good",
        "secrets:
  - {name: DIRECTORY, valueFrom: 'arn:aws:secretsmanager:eu-west-1:123456789012:secret:shop/directory-AbCdEf'}
  - {name: VARIABLE, valueFrom: /shop/planted}
  - {name: AGE, valueFrom: 'arn:aws:ssm:eu-west-1:123456789012:parameter/shop/encrypted'}
  - {name: COMMAND, valueFrom: shop/printed}
environmentFiles:
  - {type: file, value: env/own.env}
  - {type: s3, value: 'arn:aws:s3:::bucket/config/app.env'}
logConfiguration:
  logDriver: json-file
  secretOptions: [{name: tag, valueFrom: option}]",
    );
    // The engine quotes such values: the first at the create, the second at the start.
    service(
        &rig,
        "bad",
        "logConfiguration:
  logDriver: json-file
  secretOptions: [{name: mode, valueFrom: bad}]",
    );
    service(
        &rig,
        "worse",
        "logConfiguration:
  logDriver: json-file
  secretOptions: [{name: max-size, valueFrom: worse}]",
    );
    rig.start_with(&["-vv"]);
    rig.until("the good one runs", async |rig| {
        !rig.running("good").await.is_empty()
    })
    .await;

    let seen = environment(&rig, "good").await;
    for (name, value) in [
        ("DIRECTORY", directory.as_str()),
        ("VARIABLE", &variable),
        ("AGE", IN_AGE),
        ("COMMAND", &command),
        ("OWN", &own),
        ("OBJECT", &object),
    ] {
        assert!(
            seen.contains(&format!("{name}={value}")),
            "{name}: {seen:?}"
        );
    }
    let id = rig.running("good").await[0].id.clone();
    let tag = docker(&[
        "inspect",
        "-f",
        "{{index .HostConfig.LogConfig.Config \"tag\"}}",
        &id,
    ]);
    assert_eq!(tag.trim(), option);

    let at_create = stopped(&rig, "bad").await;
    let reason = at_create["stoppedReason"].as_str().expect("a reason");
    assert!(
        reason.starts_with("CannotCreateContainerError: ") && reason.contains("[hidden]"),
        "{reason}"
    );
    let at_start = stopped(&rig, "worse").await;
    let reason = at_start["stoppedReason"].as_str().expect("a reason");
    assert!(
        reason.starts_with("CannotStartContainerError: ") && reason.contains("docker inspect"),
        "{reason}"
    );

    // The same again with messages in JSON, from what is stored.
    rig.terminate();
    rig.start_with(&["-vv", "--log-format", "json"]);
    let folder = rig.folder().display().to_string();
    let mut texts = vec![("log".to_owned(), rig.log())];
    let kinds = [
        "clusters",
        "services",
        "tasks",
        "task-definitions",
        "deployments",
        "instances",
    ];
    for kind in kinds {
        for output in ["table", "wide", "json", "yaml"] {
            let asked = ["get", kind, "--all", "-o", output];
            let ended = rig.run(&asked);
            assert_eq!(ended.code, 0, "{asked:?}: {}", ended.stderr);
            texts.push((asked.join(" "), ended.stdout + &ended.stderr));
        }
        let ended = rig.run(&["describe", kind]);
        texts.push((format!("describe {kind}"), ended.stdout + &ended.stderr));
    }
    for asked in [
        ["events"].as_slice(),
        &["events", "-o", "json"],
        &["state", "dump"],
        &["validate", &folder],
        &["validate", &folder, "--format", "json"],
        &["plan", &folder],
        &["apply", &folder, "--timeout", "5"],
        &["logs", "good"],
    ] {
        let ended = rig.run(asked);
        texts.push((asked.join(" "), ended.stdout + &ended.stderr));
    }
    for container in rig.containers().await {
        let labels = docker(&[
            "inspect",
            "-f",
            "{{json .Config.Labels}} {{.Name}}",
            &container.id,
        ]);
        texts.push((format!("labels of {}", container.name), labels));
    }
    // After everything that may write to it.
    rig.terminate();
    texts.push(("log".to_owned(), rig.log()));
    for file in files(&rig.state_dir()) {
        let bytes = std::fs::read(&file).expect("readable");
        texts.push((
            file.display().to_string(),
            String::from_utf8_lossy(&bytes).into_owned(),
        ));
    }
    let of = |name: &str| texts.iter().filter(|(what, _)| what.contains(name)).count();
    assert!(
        of("labels of") >= 3 && of("state") >= 2,
        "something was looked at"
    );
    // What a search would miss if nothing were there to be found.
    for (what, found) in [
        ("log", "good"),
        ("state dump", "/shop/planted"),
        ("get tasks --all -o json", "stoppedReason"),
    ] {
        let (_, text) = texts.iter().find(|(name, _)| name == what).expect("asked");
        assert!(text.contains(found), "{what}: {text}");
    }

    let values = [
        directory,
        variable,
        command,
        option,
        own,
        object,
        bad,
        worse,
        IN_AGE.to_owned(),
    ];
    let mut leaks = Vec::new();
    for (what, text) in &texts {
        for value in &values {
            if text.contains(value) || text.contains(&STANDARD.encode(value)) {
                leaks.push(format!("{value} is in {what}"));
            }
        }
    }
    assert_eq!(leaks, [] as [String; 0]);
}

#[tokio::test]
async fn a_variable_comes_from_secrets_then_environment_then_the_first_file() {
    let Some(mut rig) = Rig::new("precedence").await else {
        return;
    };
    let secrets = rig.path().join("outside");
    write(
        &secrets.join("db"),
        r#"{"user": "from the secret", "port": 5432}"#,
    );
    write(
        &rig.folder().join("first.env"),
        "# ALL=comment\nALL=first\nFILES=first\nQUOTED=\"a = b\"\nEMPTY=\nno sign\n",
    );
    write(
        &rig.folder().join("second.env"),
        "ALL=second\nFILES=second\nPLAIN=second\nSECOND=second\n",
    );
    cluster(
        &rig,
        &format!(
            "  secretProviders: [{{type: directory, path: {}}}]\n  secretNames: {{/shop/prod/database: db}}\n",
            secrets.display()
        ),
    );
    service(
        &rig,
        "web",
        "environmentFiles: [{type: file, value: first.env}, {type: file, value: second.env}]
environment: [{name: ALL, value: plain}, {name: PLAIN, value: plain}]
secrets:
  - {name: ALL, valueFrom: 'arn:aws:secretsmanager:eu-west-1:123456789012:secret:db-AbCdEf:user::'}
  - {name: PORT, valueFrom: 'arn:aws:secretsmanager:eu-west-1:123456789012:secret:db-AbCdEf:port:AWSPREVIOUS:'}
  - {name: MAPPED, valueFrom: /shop/prod/database}",
    );
    rig.start();
    rig.steady();
    let seen = environment(&rig, "web").await;
    for wanted in [
        "ALL=from the secret",
        "PLAIN=plain",
        "FILES=first",
        "SECOND=second",
        "QUOTED=\"a = b\"",
        "EMPTY=",
        "PORT=5432",
        "MAPPED={\"user\": \"from the secret\", \"port\": 5432}",
    ] {
        assert!(seen.iter().any(|line| line == wanted), "{wanted}: {seen:?}");
    }

    // A file or a secret that changes is no new revision: what runs is left alone.
    let before = rig.running("web").await[0].id.clone();
    write(&rig.folder().join("first.env"), "FILES=changed\n");
    write(&secrets.join("db"), r#"{"user": "changed", "port": 1}"#);
    rig.steady();
    assert_eq!(rig.running("web").await[0].id, before);
    docker(&["rm", "-f", &before]);
    rig.until("the task is replaced", async |rig| {
        let now = rig.running("web").await;
        now.first().is_some_and(|found| found.id != before)
    })
    .await;
    let seen = environment(&rig, "web").await;
    for wanted in ["ALL=changed", "FILES=changed"] {
        assert!(seen.iter().any(|line| line == wanted), "{wanted}: {seen:?}");
    }
}

#[tokio::test]
async fn a_secret_that_is_missing_is_named_by_apply_and_describe_and_found_once_it_is_there() {
    let Some(mut rig) = Rig::new("missing").await else {
        return;
    };
    let secrets = rig.path().join("outside");
    cluster(
        &rig,
        &format!(
            "  secretProviders: [{{type: directory, path: {}}}]\n",
            secrets.display()
        ),
    );
    service(
        &rig,
        "web",
        "secrets: [{name: PASSWORD, valueFrom: /shop/db-password}]",
    );
    rig.start();
    let task = stopped(&rig, "web").await;
    let reason = format!(
        "ResourceInitializationError: unable to pull secrets or registry auth: secret PASSWORD (/shop/db-password): \
         no provider has /shop/db-password, db-password; asked: directory {}",
        secrets.display()
    );
    assert_eq!(task["stopCode"], "TaskFailedToStart");
    assert_eq!(task["stoppedReason"], *reason);
    assert_eq!(task["containers"][0]["reason"], *reason);
    let arn = task["taskArn"].as_str().expect("an ARN");
    let id = arn.rsplit('/').next().expect("an id");
    let described = rig.run(&["describe", "task", id]);
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        words(&described.stdout).contains("no provider has /shop/db-password"),
        "{}",
        described.stdout
    );
    let applied = rig.apply(5);
    assert_ne!(applied.code, 0);
    let said = words(&(applied.stdout + &applied.stderr));
    assert!(said.contains("no provider has /shop/db-password"), "{said}");

    write(&secrets.join("db-password"), "here");
    rig.steady();
    assert!(
        environment(&rig, "web")
            .await
            .contains(&"PASSWORD=here".to_owned())
    );
    let mine = rig.containers().await;
    assert!(mine.iter().all(|c| c.labels.contains_key(labels::TASK)));
}
