//! `diff`: what the folder says beside what runs.

use serde_json::Value;

use super::plan::WEB;
use super::{Home, Simulated};

#[test]
fn diff_tells_each_member_with_its_place_and_what_comes_of_it() {
    let home = Home::new();
    home.write("web.yaml", WEB);
    let running = Simulated::start(&home, &["run", "manifests", "--engine", "simulated"]);
    running.at_rest("web");
    let (code, stdout, stderr) = running.ask(&["diff", "web", "--exit-code"]);
    assert_eq!((code, stdout.as_str()), (0, ""), "{stderr}");
    assert!(
        stderr.contains("no difference: default/web is as the folder says, at web:1"),
        "{stderr}"
    );

    std::fs::create_dir(home.path().join("next")).expect("a folder");
    let write = |text: String| {
        std::fs::write(home.path().join("next/web.yaml"), text).expect("written");
    };
    // Only written otherwise: defaults are filled in.
    write(WEB.replace("    memory: 16", "    memory: 16\n    essential: true"));
    let (code, stdout, stderr) = running.ask_of(&["diff", "web", "--dir", "next", "--exit-code"]);
    assert_eq!(code, 2, "{stderr}");
    assert_eq!(
        stdout,
        "+ containerDefinitions[app].essential: true  (web.yaml:13:16; means the same: no task is replaced)\n"
    );

    write(
        WEB.replace("web:1", "web:2")
            .replace("blue", "green")
            .replace("desiredCount: 2", "desiredCount: 3")
            .replace(
                "    memory: 16",
                "    memory: 16\n    secrets: [{name: KEY, valueFrom: shop/key}]",
            ),
    );
    let (code, stdout, stderr) = running.ask_of(&["diff", "default/web", "--dir", "next"]);
    assert_eq!(code, 0, "{stderr}");
    let replaced = "another revision: tasks are replaced";
    assert_eq!(
        stdout,
        format!(
            "~ desiredCount: 2 → 3  (web.yaml:6:17; scaling only: no new deployment)\n\
             ~ containerDefinitions[app].environment[COLOUR].value: blue → green  (web.yaml:15:31; {replaced})\n\
             ~ containerDefinitions[app].image: shop/web:1 → shop/web:2  (web.yaml:11:12; {replaced})\n\
             + containerDefinitions[app].secrets: [{{\"name\":\"KEY\",\"valueFrom\":\"shop/key\"}}]  (web.yaml:13:14; {replaced})\n\
             = start 3 of web:2\n\
             = stop 2 of web:1\n"
        )
    );
    let (_, stdout, _) = running.ask_of(&["diff", "web", "--dir", "next", "-o", "json"]);
    let diff: Value = serde_json::from_str(&stdout).expect("one document");
    assert_eq!(
        (&diff["running"], &diff["planned"]),
        (&"web:1".into(), &"web:2".into())
    );
    assert_eq!(
        diff["members"][0]["effect"],
        "scaling only: no new deployment"
    );
}

#[test]
fn diff_names_what_there_is_and_what_is_wrong() {
    let home = Home::new();
    home.write("web.yaml", WEB);
    let (code, stdout, stderr) = home.run(&["diff", "web", "--exit-code"]);
    assert_eq!(code, 2, "{stderr}");
    assert!(stdout.contains("! it does not run yet"), "{stdout}");
    assert!(stdout.contains("= start 2 of web:1"), "{stdout}");
    let (code, _, stderr) = home.run(&["diff", "wbe"]);
    assert_eq!(code, 1);
    assert!(stderr.contains("did you mean web?"), "{stderr}");
    home.write(
        "other.yaml",
        &super::BROKEN.replace("name: web", "name: other"),
    );
    let (code, _, stderr) = home.run(&["diff", "web", "--exit-code"]);
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("other.yaml:7:3"), "{stderr}");
}
