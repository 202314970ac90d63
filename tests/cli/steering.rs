//! What was asked for on top of the folder, and failed rollouts: what whoever edits or looks is told.

use super::plan::WEB;
use super::{Home, Simulated};

const RUN: [&str; 4] = ["run", "manifests", "--engine", "simulated"];

#[test]
fn an_edit_of_a_suspended_service_is_told_of_once_with_what_to_say() {
    let home = Home::new();
    home.write("web.yaml", WEB);
    let running = Simulated::start(&home, &RUN);
    running.at_rest("web");
    assert_eq!(running.ask(&["scale", "web", "2"]).2.lines().count(), 1);
    let (code, _, stderr) = running.ask(&["suspend", "web", "--reason", "looking"]);
    assert_eq!(code, 0, "{stderr}");
    let (code, _, stderr) = running.ask(&["scale", "web", "5", "--write"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("web is suspended by "), "{stderr}");
    assert!(
        stderr.contains("(looking): another count has no effect before `longshore resume web`")
    );
    let drift = ": 3 tasks would be started now; `longshore resume web` takes that back";
    let told = |(_, stdout, _): &(i32, String, String)| stdout.contains(drift);
    let (_, stdout, stderr) = running.until(&["diff", "web"], told);
    assert_eq!(stdout.matches("suspended").count(), 1, "{stdout}");
    assert!(
        stderr.starts_with("default/web: web:1 runs.  ~ changed (running → folder) · ! "),
        "{stderr}"
    );
    let (code, _, stderr) = running.ask(&["plan"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains(drift), "{stderr}");
}

#[test]
fn a_count_that_waits_for_a_paused_rollout_is_said_to() {
    let home = Home::new();
    let slow = WEB.replace(
        "    memory: 16",
        "    memory: 16\n    healthCheck: {command: [CMD, 'false'], interval: 5, startPeriod: 300}",
    );
    home.write("web.yaml", WEB);
    let running = Simulated::start(&home, &RUN);
    running.at_rest("web");
    home.write("web.yaml", &slow);
    running.until(&["rollout", "pause", "web"], |(code, ..)| *code == 0);
    let (code, stdout, stderr) = running.ask(&["scale", "web", "5", "--write"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("2 → 5"), "{stdout}");
    assert!(
        stderr.contains("the rollout of web:2 is paused by "),
        "{stderr}"
    );
    assert!(stderr.contains("once `longshore rollout resume web` lets the rollout go on"));
}

#[test]
fn plan_of_what_was_rolled_back_has_nothing_to_do_and_is_1_all_the_same() {
    let home = Home::new();
    let version = |script: &str| {
        WEB.replace(
            "    memory: 16",
            &format!("    memory: 16\n    entryPoint: [sh, -c]\n    command: ['{script}']"),
        )
        .replace(
            "  desiredCount: 2",
            "  desiredCount: 2\n  deploymentConfiguration: {deploymentCircuitBreaker: {enable: true, rollback: true}}",
        )
    };
    home.write("web.yaml", &version("sleep 100000"));
    let running = Simulated::start(&home, &RUN);
    running.at_rest("web");
    home.write("web.yaml", &version("exit 3"));
    running.until(&["get", "services"], |(_, stdout, _)| {
        stdout.contains("rolled back")
    });
    let (code, stdout, stderr) = running.ask(&["plan", "--exit-code"]);
    assert_eq!((code, stdout.as_str()), (1, ""), "{stderr}");
    for said in [
        "nothing to do",
        "default/web: web:2 failed: 3 of its tasks did, the last: ",
        "exit code 3",
        "web:1 runs in its place",
        "what the folder asks for was given up: default/web",
    ] {
        assert!(stderr.contains(said), "{said:?} is not in {stderr}");
    }
    assert_eq!(running.ask(&["plan"]).0, 0);
    assert_eq!(running.ask(&["diff", "web", "--exit-code"]).0, 2);
    let (code, stdout, stderr) = running.ask(&["rollout", "history", "web"]);
    assert_eq!(code, 0, "{stderr}");
    let row = stdout
        .lines()
        .find(|line| line.starts_with("web:2"))
        .expect("a row");
    assert!(
        row.contains("tasks failed to start. 3 failed, the last: "),
        "{row}"
    );
    assert!(row.contains("; went back to web:1"), "{row}");
    let first = stdout
        .lines()
        .find(|line| line.starts_with("web:1"))
        .expect("a row");
    assert!(first.trim_end().ends_with(" -"), "{first}");
    // Once the folder says what runs, nothing is given up any more.
    home.write("web.yaml", &version("sleep 100000"));
    running.at_rest("web");
    assert_eq!(running.ask(&["plan", "--exit-code"]).0, 0);
}
