//! What a scenario can do, and that it is done.

use super::{Home, findings, service, web};

#[test]
fn a_crashed_task_is_replaced_and_the_dip_is_told() {
    let home = Home::of(&web(3, "web:1", ""));
    let report = home
        .play(
            "start: converged\nfor: 2m\nsteps:\n\
             - {at: 10s, crash: {service: web, tasks: 2}}\n\
             - {at: 10s, expect: [healthy(web) == 1, not floorKept, converged within 60s]}\n",
        )
        .with(0)
        .json();
    let web = service(&report, "web");
    assert_eq!(web["lowest"]["tasks"], 1);
    assert_eq!(web["lowest"]["promised"], 3);
    assert_eq!(web["dips"].as_array().map(Vec::len), Some(1), "{web:#}");
    assert_eq!(web["dips"][0]["from"], 10.0);
}

#[test]
fn longshore_may_be_killed_in_the_middle_of_a_rollout() {
    let home = Home::of(&web(3, "web:2", ""));
    home.write("main/all.yaml", &web(3, "web:1", ""));
    home.write(
        "scenario.yaml",
        "steps:\n\
         - {at: 1s, kill: longshore}\n\
         - {at: 3s, kill: longshore}\n\
         - {at: 9s, kill: longshore}\n\
         - {at: 0s, expect: [converged within 2m, healthy(web) >= 3 always, capKept always]}\n",
    );
    let arguments = [
        "--from",
        "main",
        "--scenario",
        "scenario.yaml",
        "-o",
        "json",
    ];
    let report = home.simulate(&arguments).with(0).json();
    assert_eq!(
        service(&report, "web")["rollouts"][0]["outcome"],
        "completed"
    );
}

#[test]
fn a_drained_instance_gives_its_tasks_away_within_the_percentages() {
    let home = Home::of(&web(4, "web:1", ""));
    home.play(
        "start: converged\nfor: 5m\nsteps:\n\
         - {at: 0s, drain: b}\n\
         - {at: 0s, expect: [converged within 2m, healthy(web) >= 4 always, capKept always]}\n\
         - {at: 3m, activate: b}\n\
         - {at: 3m, expect: converged for 1m}\n",
    )
    .with(0);
}

#[test]
fn an_instance_that_goes_down_and_comes_back_leaves_everything_whole() {
    let home = Home::of(&web(4, "web:1", ""));
    let report = home
        .play(
            "start: converged\nfor: 10m\nsteps:\n\
             - {at: 0s, instanceDown: b}\n\
             - {at: 0s, expect: [not converged, not floorKept within 1s, converged within 90s]}\n\
             - {at: 5m, instanceUp: b}\n\
             - {at: 5m, expect: converged within 2m}\n",
        )
        .with(0)
        .json();
    assert_eq!(findings(&report), [""; 0]);
}

#[test]
fn an_instance_that_is_cut_off_keeps_what_runs_there() {
    let home = Home::of(&web(4, "web:1", ""));
    home.play(
        "start: converged\nfor: 10m\nsteps:\n\
         - {at: 0s, partition: b}\n\
         - {at: 0s, expect: healthy(web) >= 4 always}\n\
         - {at: 5m, instanceUp: b}\n\
         - {at: 5m, expect: converged within 2m}\n",
    )
    .with(0);
}

#[test]
fn the_loss_of_each_instance_is_told_on_its_own() {
    let home = Home::of(&web(2, "web:1", ""));
    let report = home
        .simulate(&["--each-instance-down", "-o", "json"])
        .with(0)
        .json();
    let losses = report["losses"].as_array().expect("losses");
    let names: Vec<_> = losses
        .iter()
        .filter_map(|loss| loss["instance"].as_str())
        .collect();
    assert_eq!(names, ["default/a", "default/b"]);
    let touched = losses
        .iter()
        .any(|loss| loss["services"][0]["service"] == "default/web");
    assert!(touched, "{losses:#?}");
}

#[test]
fn a_folder_that_needs_every_instance_is_found() {
    let home = Home::of(&web(4, "web:1", ""));
    let arguments = ["--each-instance-down", "--memory", "600MiB", "-o", "json"];
    let report = home.simulate(&arguments).with(1).json();
    assert_eq!(findings(&report), ["loss", "loss"]);
}

#[test]
fn an_overlay_and_another_folder_are_edits_like_any_other() {
    let home = Home::of(&web(1, "web:1", ""));
    home.write(
        "over/more.yaml",
        "serviceName: second\ntaskDefinition: web\ndesiredCount: 2\n",
    );
    home.write("other/all.yaml", &web(3, "web:2", ""));
    let report = home
        .play(
            "start: converged\nfor: 5m\nsteps:\n\
             - {at: 10s, edit: {overlay: over}}\n\
             - {at: 10s, expect: [running(second) >= 2 within 60s, converged within 60s]}\n\
             - {at: 2m, edit: {folder: other}}\n\
             - {at: 2m, expect: [tasks(second) == 0 within 60s, running(web) == 3 within 60s, converged within 60s]}\n",
        )
        .with(0)
        .json();
    assert_eq!(service(&report, "web")["desired"], 3);
}

#[test]
fn behaviors_say_what_containers_do() {
    let home = Home::of(&web(1, "web:1", ""));
    let quick = |more: &str| {
        let ended = home.play(&format!("behaviors: [{{family: web, {more}}}]\n"));
        let report = ended.json();
        (ended.code, report["convergedAt"].as_f64())
    };
    let (code, plain) = quick("stop: 2s");
    assert_eq!(code, 0);
    let (code, slow) = quick("healthyAfter: 20s");
    assert_eq!(code, 0);
    assert!(slow > plain, "{slow:?} {plain:?}");
    assert_eq!(quick("container: app, exit: 1, runs: 3s"), (1, None));
}

#[test]
fn containers_that_others_wait_for_end_by_themselves() {
    let home = Home::of(
        "family: job
containerDefinitions:
- {name: migrate, image: 'm:1', memory: 32, essential: false}
- {name: app, image: 'a:1', memory: 32, dependsOn: [{containerName: migrate, condition: SUCCESS}]}
---
serviceName: job
taskDefinition: job
desiredCount: 1
",
    );
    home.simulate(&[]).with(0);
}
