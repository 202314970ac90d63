//! `plan` with its order, exit codes and files, and `apply --plan`.

use serde_json::Value;

use super::{Home, Simulated};

pub const WEB: &str = "apiVersion: longshore/v1
kind: Service
metadata: {name: web}
spec:
  taskDefinition: web
  desiredCount: 2
---
family: web
containerDefinitions:
  - name: app
    image: shop/web:1
    memory: 16
    environment:
      - {name: COLOUR, value: blue}
---
apiVersion: longshore/v1
kind: Cluster
metadata: {name: default}
spec: {healthyAfterSeconds: 1}
";

const RUN: [&str; 4] = ["run", "manifests", "--engine", "simulated"];

#[test]
fn plan_tells_the_order_and_its_exit_code_says_whether_there_is_anything() {
    let home = Home::new();
    home.write("web.yaml", WEB);
    let (code, stdout, stderr) = home.run(&["plan", "--exit-code"]);
    assert_eq!(code, 2, "{stderr}");
    assert!(
        stdout.starts_with("default/web: start web:1 on "),
        "{stdout}"
    );
    assert_eq!(stdout.lines().count(), 2, "{stdout}");
    // Anything wrong is 1 then, also where it would be 2 else.
    assert_eq!(
        home.run(&["plan", "--exit-code", "--out", "no/such/folder/plan"])
            .0,
        1
    );
    assert_eq!(home.run(&["plan", "--out", "no/such/folder/plan"]).0, 2);

    let running = Simulated::start(&home, &RUN);
    running.at_rest("web");
    let (code, stdout, stderr) = running.ask(&["plan", "--exit-code"]);
    assert_eq!((code, stdout.as_str()), (0, ""), "{stderr}");
    assert!(stderr.contains("nothing to do"), "{stderr}");

    std::fs::create_dir(home.path().join("next")).expect("a folder");
    let next = home.path().join("next/web.yaml");
    std::fs::write(&next, WEB.replace("web:1", "web:2")).expect("written");
    let (code, stdout, stderr) = running.ask_of(&["plan", "next", "--exit-code"]);
    assert_eq!(code, 2, "{stderr}");
    let lines: Vec<&str> = stdout.lines().collect();
    assert_eq!(lines.len(), 4, "{stdout}");
    assert!(
        lines[0].starts_with("default/web: start web:2 on "),
        "{stdout}"
    );
    assert!(
        lines[2].starts_with("default/web: then stop web:1 "),
        "{stdout}"
    );
    assert!(!stderr.contains("warning"), "{stderr}");

    let tight = WEB.replace("web:1", "web:2").replace(
        "  desiredCount: 2",
        "  desiredCount: 2\n  deploymentConfiguration: {minimumHealthyPercent: 0, maximumPercent: 100}",
    );
    std::fs::write(&next, tight).expect("written");
    let (code, stdout, stderr) = running.ask_of(&["plan", "next", "-o", "json"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(
        stderr.contains("warning: default/web: at times none of its 2 tasks is healthy"),
        "{stderr}"
    );
    let plan: Value = serde_json::from_str(&stdout).expect("one document");
    let web = &plan["services"][0];
    assert_eq!(plan["changes"], true);
    assert_eq!(
        (&web["healthy"], &web["lowestHealthy"]),
        (&2.into(), &0.into())
    );
    assert_eq!(web["steps"][0][0]["action"], "stop");
    assert_eq!(web["steps"][1][0]["taskDefinition"], "web:2");
    assert!(web["stateRevision"].as_u64().expect("a number") > 0);
}

#[test]
fn a_plan_with_errors_is_1_and_is_not_kept() {
    let home = Home::new();
    home.write("web.yaml", &WEB.replace("desiredCount", "desiredCont"));
    let (code, _, stderr) = home.run(&["plan", "--out", "kept.json"]);
    assert_eq!(code, 1, "{stderr}");
    assert!(!home.path().join("kept.json").exists());
}

#[test]
fn apply_does_a_kept_plan_and_refuses_once_the_folder_has_moved() {
    let home = Home::new();
    home.write("web.yaml", WEB);
    let apply = [
        "apply",
        "--plan",
        "kept.json",
        "--engine",
        "simulated",
        "--timeout",
        "60",
    ];
    assert_eq!(home.run(&apply).0, 2, "there is no such file");
    std::fs::write(home.path().join("kept.json"), "{}").expect("written");
    let (code, _, stderr) = home.run(&apply);
    assert_eq!(code, 2);
    assert!(stderr.contains("it is no plan"), "{stderr}");

    let (code, _, stderr) = home.run(&["plan", "--out", "kept.json"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(
        stderr.contains("longshore apply --plan kept.json"),
        "{stderr}"
    );
    home.write("web.yaml", &WEB.replace("blue", "green"));
    home.write(
        "more.yaml",
        "family: job\ncontainerDefinitions: [{name: c, image: i, memory: 16}]\n",
    );
    let (code, _, stderr) = home.run(&apply);
    assert_eq!(code, 1, "{stderr}");
    for moved in [
        "web.yaml was changed",
        "more.yaml was added",
        "nothing was changed",
    ] {
        assert!(stderr.contains(moved), "{stderr}");
    }
    std::fs::remove_file(home.path().join("manifests/more.yaml")).expect("removed");
    home.write("web.yaml", WEB);
    let (code, _, stderr) = home.run(&apply);
    assert_eq!(code, 0, "{stderr}");
    assert!(
        !stderr.contains("supervises"),
        "nothing is left of it: {stderr}"
    );

    // The plan says which folder it is of.
    let other = home.path().join("other");
    std::fs::rename(home.path().join("manifests"), &other).expect("renamed");
    assert_eq!(home.run(&["plan", "other", "--out", "kept.json"]).0, 0);
    let (code, _, stderr) = home.run(&apply);
    assert_eq!(code, 0, "{stderr}");
    std::fs::create_dir(home.path().join("third")).expect("a folder");
    std::fs::write(home.path().join("third/web.yaml"), WEB).expect("written");
    let mut of_another = apply.to_vec();
    of_another.push("third");
    let (code, _, stderr) = home.run(&of_another);
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("the plan is of "), "{stderr}");
}

#[test]
fn a_kept_plan_does_not_hold_once_the_state_has_moved() {
    let home = Home::new();
    home.write("web.yaml", WEB);
    let running = Simulated::start(&home, &RUN);
    running.at_rest("web");
    assert_eq!(running.ask(&["plan", "--out", "kept.json"]).0, 0);
    // There and back: the folder is the same, and the tasks are others.
    home.write("web.yaml", &WEB.replace("blue", "green"));
    running.at_rest("web");
    home.write("web.yaml", WEB);
    running.at_rest("web");
    let (code, _, stderr) = running.ask(&["apply", "--plan", "kept.json"]);
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("default/web was at revision "), "{stderr}");
}
