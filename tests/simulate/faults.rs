//! Folders and scenarios with something wrong in them: what is found, and the exit code.

use super::{Home, findings, service, web};

#[test]
fn a_task_that_fits_nowhere_is_found_with_the_reason() {
    let home = Home::of(&web(3, "web:1", ""));
    let ended = home.simulate(&["--memory", "400MiB", "-o", "json"]).with(1);
    let report = ended.json();
    assert_eq!(findings(&report), ["unplaceable", "notConverged"]);
    let why = service(&report, "web")["unplaceable"]
        .as_str()
        .expect("why");
    assert!(why.contains("insufficient memory available"), "{why}");
    assert!(report["convergedAt"].is_null());
}

#[test]
fn a_rollout_that_the_percentages_forbid_to_make_room_for_is_found() {
    // Each instance has the port once, and no task may be stopped before another is healthy.
    let port = |image: &str, more: &str| {
        let text = web(2, image, more);
        text.replace(
            "    stopTimeout: 5\n",
            "    portMappings: [{containerPort: 80, hostPort: 80}]\n",
        )
    };
    let home = Home::of(&port("web:2", ""));
    home.write("main/all.yaml", &port("web:1", ""));
    let ended = home.simulate(&["--from", "main", "-o", "json"]).with(1);
    let report = ended.json();
    assert_eq!(findings(&report), ["unplaceable", "notConverged"]);
    let because = service(&report, "web")["because"].as_str().expect("why");
    assert!(
        because.contains("already using a port required by your task"),
        "{because}"
    );
    assert_eq!(
        service(&report, "web")["lowest"]["tasks"],
        2,
        "and nothing was stopped"
    );
    // With a floor of half of them there is a way.
    let half = "  deploymentConfiguration: {minimumHealthyPercent: 50}\n";
    home.write("manifests/all.yaml", &port("web:2", half));
    home.simulate(&["--from", "main"]).with(0);
}

#[test]
fn percentages_that_could_never_work_are_refused_before_anything_runs() {
    let fixed = "  deploymentConfiguration: {minimumHealthyPercent: 100, maximumPercent: 100}\n";
    let home = Home::of(&web(2, "web:1", fixed));
    let ended = home.simulate(&[]).with(1);
    assert!(ended.err.contains("error[LS0406]"), "{}", ended.err);
    assert_eq!(ended.out, "");
}

#[test]
fn an_image_that_crashes_never_takes_what_runs_away() {
    for fails in ["crash", "pull", "start", "unhealthy"] {
        let home = Home::of(&web(3, "web:1", ""));
        let report = home
            .play(&format!(
                "start: converged\nfor: 5m\nsteps:\n\
                 - {{at: 1s, image: {{name: 'web:2', fails: {fails}}}}}\n\
                 - {{at: 2s, edit: {{service: web, image: 'web:2'}}}}\n\
                 - {{at: 2s, expect: [healthy(web) >= 3 always, not converged always, capKept always]}}\n"
            ))
            .with(1)
            .json();
        assert_eq!(findings(&report), ["notConverged"], "{fails}: {report:#}");
        assert_eq!(service(&report, "web")["lowest"]["tasks"], 3, "{fails}");
    }
}

#[test]
fn an_image_that_is_only_slow_comes_up_within_its_grace_period() {
    let home = Home::of(&web(2, "web:1", "  healthCheckGracePeriodSeconds: 120\n"));
    let report = home
        .play(
            "start: converged\nfor: 10m\nsteps:\n\
             - {at: 0s, image: {name: 'web:2', fails: slow 45s}}\n\
             - {at: 0s, edit: {service: web, image: 'web:2'}}\n\
             - {at: 0s, expect: [not converged for 45s, converged within 5m, floorKept always]}\n",
        )
        .with(0)
        .json();
    assert_eq!(
        service(&report, "web")["rollouts"][0]["outcome"],
        "completed"
    );
}

#[test]
fn what_was_expected_and_did_not_come_is_said_with_its_place() {
    let home = Home::of(&web(3, "web:1", ""));
    let ended = home
        .play("steps:\n- {at: 0s, expect: converged within 1s}\n")
        .with(1);
    let report = ended.json();
    assert_eq!(findings(&report), ["expectation"]);
    let message = report["findings"][0]["message"]
        .as_str()
        .expect("a message");
    assert!(
        message.starts_with("scenario.yaml:2:20: converged within 1s (at 0:01.0: web has 0 of 3"),
        "{message}"
    );
}

#[test]
fn a_scenario_that_is_none_or_does_not_fit_ends_with_2_and_the_place() {
    let home = Home::of(&web(3, "web:1", ""));
    for (scenario, said) in [
        ("stepps: []\n", "did you mean `steps`?"),
        (
            "steps:\n- {at: 1s, crash: {service: wbe}}\n",
            "there is no service wbe; did you mean web?",
        ),
        (
            "steps:\n- {at: 1s, instanceDown: c}\n",
            "there is no container instance c",
        ),
        (
            "steps:\n- {at: 1s, edit: {service: web, desiredCount: 6000}}\n",
            "the folder would not be valid",
        ),
        (
            "steps:\n- {at: 1s, edit: {overlay: nowhere}}\n",
            "there is no folder nowhere",
        ),
    ] {
        let ended = home.play(scenario).with(2);
        assert!(ended.err.contains(said), "{}", ended.err);
        assert!(ended.err.contains("scenario.yaml:"), "{}", ended.err);
        assert_eq!(ended.out, "");
    }
    home.simulate(&["--scenario", "nowhere.yaml"]).with(2);
}

#[test]
fn a_folder_that_is_not_valid_ends_with_1_and_one_that_is_not_there_with_2() {
    let home = Home::of(&web(3, "web:1", "  desiredCont: 3\n"));
    let ended = home.simulate(&[]).with(1);
    assert!(
        ended.err.contains("did you mean `desiredCount`?"),
        "{}",
        ended.err
    );
    home.simulate(&["nowhere"]).with(2);
    home.simulate(&["--for", "soon"]).with(2);
    home.write("empty/readme.txt", "");
    home.simulate(&["empty"]).with(2);
}

#[test]
fn secrets_are_neither_read_nor_needed() {
    let home = Home::of(
        "apiVersion: longshore/v1
kind: Cluster
metadata: {name: default}
spec:
  secretProviders: [{type: command, command: [sh, -c, 'touch was-asked; exit 1']}]
---
family: web
containerDefinitions:
- name: app
  image: web:1
  memory: 64
  secrets: [{name: PASSWORD, valueFrom: 'shop/db:password::'}]
---
serviceName: web
taskDefinition: web
desiredCount: 1
",
    );
    home.simulate(&[]).with(0);
    assert!(!home.path().join("was-asked").exists());
    assert!(!home.path().join("manifests/was-asked").exists());
}

#[test]
fn a_bad_version_is_rolled_back_by_the_circuit_breaker_and_said_with_its_reason() {
    let breaker = "  deploymentConfiguration:
    deploymentCircuitBreaker: {enable: true, rollback: true}
";
    let home = Home::of(&web(3, "web:1", breaker));
    let steps = "start: converged\nfor: 10m\nsteps:\n\
         - {at: 1s, image: {name: 'web:2', fails: crash}}\n\
         - {at: 2s, edit: {service: web, image: 'web:2'}}\n\
         - {at: 2s, expect: [healthy(web) >= 3 always, capKept always]}\n";
    let report = home.play(steps).with(1).json();
    assert_eq!(findings(&report), ["rolloutFailed", "notConverged"]);
    let web = service(&report, "web");
    assert_eq!(web["rollouts"][0]["outcome"], "rolledBack", "{web:#}");
    assert_eq!(web["lowest"]["tasks"], 3);
    let said = report["findings"][0]["message"]
        .as_str()
        .expect("a message");
    assert!(said.contains("web:2 was rolled back"), "{said}");
    assert!(said.contains("exit code 1"), "{said}");
    // Whoever expects it has no finding.
    let expected = format!("{steps}- {{at: 2s, expect: rolledBack(web) within 5m}}\n");
    let report = home.play(&expected).with(0).json();
    assert_eq!(report["ok"], true);
    assert_eq!(report["findings"][0]["expected"], true);
}
