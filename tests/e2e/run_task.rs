//! One-off tasks: `run-task`, `stop`, and what is known of them afterwards.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use longshore::engine::{ContainerState, ObservedContainer, labels};

use crate::common;
use crate::rig::{Ended, Rig, ids, values};

/// Waits for SIGTERM and says so.
const PATIENT: &str = r#"trap "echo got TERM; exit 0" TERM; echo up; sleep 100000 & wait"#;

/// Writes the family `job`, whose one container runs this script.
fn job(rig: &Rig, script: &str) {
    definition(
        rig,
        &format!("entryPoint: [sh, -c]\n      command: ['{script}']"),
    );
}

fn definition(rig: &Rig, command: &str) {
    let text = format!(
        "apiVersion: longshore/v1
kind: TaskDefinition
metadata: {{name: job}}
spec:
  containerDefinitions:
    - name: main
      image: '{}'
      {command}
      environment: [{{name: WORD, value: folder}}, {{name: KEPT, value: 'yes'}}]
      memory: 32
      stopTimeout: 5
",
        common::IMAGE
    );
    rig.write("job.yaml", &text);
}

/// The containers of tasks that no service started, running or not.
async fn containers(rig: &Rig) -> Vec<ObservedContainer> {
    let mut all = rig.containers().await;
    all.retain(|c| !c.labels.contains_key(labels::SERVICE));
    all
}

async fn running(rig: &Rig) -> Vec<ObservedContainer> {
    let mut all = containers(rig).await;
    all.retain(|c| c.state == ContainerState::Running);
    all
}

#[track_caller]
fn started(ended: &Ended) -> Vec<String> {
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    ended.stdout.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn run_task_shows_what_the_task_writes_and_ends_with_its_exit_code() {
    let Some(mut rig) = Rig::new("runwait").await else {
        return;
    };
    job(&rig, "echo to stdout; echo to stderr >&2; exit 3");
    rig.start();
    let ended = rig.run(&["run-task", "job", "--wait"]);
    assert_eq!(ended.code, 3, "{}", ended.stderr);
    assert_eq!(ended.stdout, "to stdout\n");
    assert!(ended.stderr.contains("to stderr\n"), "{}", ended.stderr);
    let last = ended.stderr.lines().last().unwrap_or_default();
    assert!(
        last.ends_with("stopped: Essential container in task exited; main: exit code 3"),
        "{last}"
    );
    assert_eq!(
        rig.run(&["run-task", "job", "--wait", "--", "true"]).code,
        0
    );

    // It is not started again, and stays describable with its exit code and its output.
    let all = containers(&rig).await;
    assert_eq!(all.len(), 2);
    assert!(
        all.iter().all(|c| c.state == ContainerState::Exited),
        "{all:?}"
    );
    let stopped = rig.run(&["get", "tasks", "--status", "stopped"]).stdout;
    assert_eq!(stopped.matches("family:job").count(), 2, "{stopped}");
    assert!(!rig.run(&["get", "tasks"]).stdout.contains("family:job"));
    let failed = all.iter().find(|c| c.exit_code == Some(3)).expect("one");
    let id = failed.labels[labels::TASK].as_str();
    assert!(
        rig.run(&["describe", "task", id])
            .stdout
            .contains("exit code 3")
    );
    let logs = rig.run(&["logs", id]);
    assert_eq!(
        (logs.stdout.as_str(), logs.stderr.as_str()),
        ("to stdout\n", "to stderr\n")
    );
}

#[tokio::test]
async fn a_task_that_cannot_start_says_why_with_an_exit_code_of_its_own() {
    let Some(mut rig) = Rig::new("runfail").await else {
        return;
    };
    definition(&rig, "entryPoint: [/nowhere]");
    rig.start();
    let ended = rig.run(&["run-task", "job", "--wait"]);
    assert_eq!(ended.code, 125, "{}", ended.stderr);
    assert!(
        ended.stderr.contains("CannotStartContainerError: "),
        "{}",
        ended.stderr
    );
    let ended = rig.run(&["run-task", "job", "--overrides", "memory=999999999"]);
    assert_eq!(ended.code, 125, "{}", ended.stderr);
    assert!(
        ended
            .stderr
            .contains("not placed on local: RESOURCE:MEMORY"),
        "{}",
        ended.stderr
    );
}

#[tokio::test]
async fn overrides_reach_the_container() {
    let Some(mut rig) = Rig::new("runover").await else {
        return;
    };
    job(&rig, "exit 9");
    rig.start();
    let ended = rig.run(&[
        "run-task",
        "job",
        "--wait",
        "--overrides",
        "WORD=hello",
        "memory=48",
        "--",
        "echo $WORD $KEPT; cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null",
    ]);
    assert!(ended.stdout.starts_with("hello yes\n"), "{ended:?}");
    assert!(
        ended.stdout.contains(&(48 * 1024 * 1024).to_string()),
        "{ended:?}"
    );
    let file = rig.path().join("overrides.json");
    let over = r#"{"containerOverrides": [{"name": "main", "command": ["echo from a file; echo $WORD"],
        "environment": [{"name": "WORD", "value": "json"}]}]}"#;
    std::fs::write(&file, over).expect("written");
    let ended = rig.run(&[
        "run-task",
        "job",
        "--wait",
        "--overrides",
        &file.display().to_string(),
    ]);
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (0, "from a file\njson\n"),
        "{}",
        ended.stderr
    );
    assert_eq!(
        rig.run(&["run-task", "job", "--wait"]).code,
        9,
        "the definition is as it was"
    );
    let ended = rig.run(&["run-task", "job", "--overrides", "word=x"]);
    assert_eq!(ended.code, 2, "{}", ended.stdout);
}

#[tokio::test]
async fn several_tasks_run_beside_each_other_and_one_is_stopped_with_a_reason() {
    let Some(mut rig) = Rig::new("runthree").await else {
        return;
    };
    job(&rig, PATIENT);
    rig.start();
    let ended = rig.run(&[
        "run-task",
        "job",
        "--count",
        "3",
        "--group",
        "nightly",
        "--started-by",
        "cron",
    ]);
    let tasks = started(&ended);
    assert_eq!(tasks.len(), 3);
    rig.until("three run", async |rig| running(rig).await.len() == 3)
        .await;
    assert_eq!(values(&running(&rig).await, labels::TASK), tasks);
    assert_eq!(values(&running(&rig).await, labels::GROUP), ["nightly"]);
    rig.until("they are up", async |rig| {
        tasks
            .iter()
            .all(|id| rig.run(&["logs", id]).stdout == "up\n")
    })
    .await;

    let id = tasks[0].as_str();
    let stopped = rig.run(&["stop", &id[..10], "--reason", "no longer needed"]);
    assert_eq!(
        (stopped.code, stopped.stdout.trim()),
        (0, id),
        "{}",
        stopped.stderr
    );
    rig.until("it is over", async |rig| {
        rig.run(&["get", "tasks", id]).stdout.contains("STOPPED")
    })
    .await;
    let described = rig.run(&["describe", "task", id]).stdout;
    assert!(
        described.contains("UserInitiated: no longer needed"),
        "{described}"
    );
    assert!(described.contains("Started by:       cron"), "{described}");
    assert_eq!(rig.run(&["logs", id]).stdout, "up\ngot TERM\n");
    assert_eq!(values(&running(&rig).await, labels::TASK), tasks[1..]);
    let again = rig.run(&["stop", id]);
    assert!(
        again
            .stderr
            .contains("it is over already: no longer needed"),
        "{}",
        again.stderr
    );
}

#[tokio::test]
async fn a_family_that_is_not_there_is_named_with_the_nearest_and_a_longshore_that_is_not_with_what_to_start()
 {
    let Some(mut rig) = Rig::new("runnone").await else {
        return;
    };
    let ended = rig.run(&["run-task", "job"]);
    assert_eq!(ended.code, 2);
    assert!(
        ended.stderr.contains("start one with `longshore run DIR`"),
        "{}",
        ended.stderr
    );
    job(&rig, "true");
    rig.start();
    for arguments in [
        &["run-task", "jop"][..],
        &["run-task", "jop", "--overrides", "A=1"],
    ] {
        let ended = rig.run(arguments);
        assert_eq!(ended.code, 1, "{}", ended.stderr);
        assert!(
            ended.stderr.contains("did you mean job?"),
            "{}",
            ended.stderr
        );
    }
}

#[tokio::test]
async fn a_task_outlives_a_killed_longshore_and_its_family_and_is_started_once() {
    let Some(mut rig) = Rig::new("runkill").await else {
        return;
    };
    job(&rig, PATIENT);
    rig.start();
    let asked = ["run-task", "job", "--client-token", "once"];
    let tasks = started(&rig.run(&asked));
    // At once: the task is recorded, and its container may or may not have been made.
    rig.kill();
    rig.start();
    rig.until("it runs", async |rig| running(rig).await.len() == 1)
        .await;
    let before = ids(&running(&rig).await);
    rig.kill();
    rig.start();
    assert_eq!(
        started(&rig.run(&asked)),
        tasks,
        "asked again it is the same task"
    );
    assert_eq!(ids(&running(&rig).await), before);

    rig.remove("job.yaml");
    rig.steady();
    assert_eq!(
        rig.run(&["run-task", "job"]).code,
        1,
        "the family is INACTIVE"
    );
    assert_eq!(ids(&running(&rig).await), before);

    rig.terminate();
    std::fs::remove_file(rig.state_dir().join("state.redb")).expect("the store is there");
    rig.start();
    rig.steady();
    assert_eq!(
        ids(&running(&rig).await),
        before,
        "taken over from its labels"
    );
    let described = rig.run(&["describe", "task", &tasks[0]]).stdout;
    assert!(
        described.contains("family:job") && described.contains("RUNNING"),
        "{described}"
    );

    let down = rig.run(&["down"]);
    assert_eq!(down.code, 0, "{}", down.stderr);
    assert!(containers(&rig).await.is_empty());
}

#[tokio::test]
async fn watching_tasks_prints_a_row_whenever_one_changes() {
    let Some(mut rig) = Rig::new("runwatch").await else {
        return;
    };
    job(&rig, "exit 4");
    rig.start();
    rig.steady();
    let mut watch = rig
        .command(&["get", "tasks", "--watch"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("longshore runs");
    let mut rows = BufReader::new(watch.stdout.take().expect("piped")).lines();
    let header = rows.next().expect("a header").expect("text");
    assert!(
        header.starts_with("CLUSTER") && header.contains("GROUP"),
        "{header}"
    );
    let ended = rig.run(&["run-task", "job", "--wait"]);
    assert_eq!(ended.code, 4, "{}", ended.stderr);
    let last = rows
        .map_while(Result::ok)
        .find(|row| row.contains("STOPPED"));
    assert!(last.is_some_and(|row| row.contains("family:job")));
    watch.kill().expect("killed");
    watch.wait().expect("reaped");
}
