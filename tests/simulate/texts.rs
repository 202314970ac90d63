//! What is printed: the same bytes for the same input, whatever machine it is.

use super::{Home, web};

#[test]
fn a_folder_that_converges_ends_with_0_and_says_how() {
    let home = Home::of(&web(3, "web:1", ""));
    let ended = home.simulate(&[]).with(0);
    assert_eq!(ended.err, "");
    insta::assert_snapshot!(ended.out);
}

#[test]
fn a_rollout_is_watched_from_the_folder_that_runs_before() {
    let home = Home::of(&web(3, "web:2", ""));
    home.write("main/all.yaml", &web(3, "web:1", ""));
    let ended = home.simulate(&["--from", "main", "--for", "2m"]).with(0);
    insta::assert_snapshot!(ended.out);
}

#[test]
fn a_scenario_with_its_findings_reads_as_one_page() {
    let home = Home::of(&web(3, "web:1", ""));
    home.write(
        "scenario.yaml",
        "start: converged\nfor: 5m\nassume: {cpu: 2, memory: 1GiB}\nsteps:\n\
         - {at: 10s, crash: {service: web}}\n\
         - {at: 10s, expect: [converged within 60s, tasks(web) <= 6 for 1m]}\n\
         - {at: 2m, edit: {service: web, desiredCount: 30}}\n\
         - {at: 2m, expect: [converged within 60s]}\n",
    );
    let ended = home.simulate(&["--scenario", "scenario.yaml"]).with(1);
    assert_eq!(ended.err, "3 findings\n");
    insta::assert_snapshot!(ended.out);
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let home = Home::of(&web(4, "web:2", ""));
    home.write("main/all.yaml", &web(3, "web:1", ""));
    home.write(
        "scenario.yaml",
        "steps:\n- {at: 5s, kill: longshore}\n- {at: 30s, instanceDown: b}\n- {at: 3m, instanceUp: b}\n",
    );
    let arguments = [
        "--from",
        "main",
        "--scenario",
        "scenario.yaml",
        "--each-instance-down",
    ];
    for output in ["text", "json"] {
        let run = |svg: &str, seed: &str| {
            let mut all = arguments.to_vec();
            all.extend(["-o", output, "--svg", svg, "--seed", seed]);
            let ended = home.simulate(&all);
            let drawn = std::fs::read_to_string(home.path().join(svg)).expect("it is drawn");
            (ended.code, ended.out, ended.err, drawn)
        };
        assert_eq!(run("a.svg", "7"), run("b.svg", "7"));
        assert_ne!(
            run("a.svg", "7").1,
            run("c.svg", "8").1,
            "the seed is in it"
        );
    }
}

#[test]
fn the_picture_is_whole_xml_with_a_lane_a_service() {
    let home = Home::of(&web(3, "web:1", ""));
    home.simulate(&["--svg", "out.svg"]).with(0);
    let text = std::fs::read_to_string(home.path().join("out.svg")).expect("it is drawn");
    let mut open: Vec<&str> = Vec::new();
    let mut rest = text.as_str();
    while let Some(at) = rest.find('<') {
        assert!(
            !rest[..at].contains('>'),
            "a bracket alone: {}",
            &rest[..at]
        );
        let end = rest[at..].find('>').expect("a tag ends") + at;
        let tag = &rest[at + 1..end];
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        let name = tag
            .split([' ', '/'])
            .find(|part| !part.is_empty())
            .expect("a name");
        match (tag.starts_with('/'), tag.ends_with('/')) {
            (true, _) => assert_eq!(open.pop(), Some(name)),
            (false, true) => {}
            (false, false) => open.push(name),
        }
        rest = &rest[end + 1..];
    }
    assert!(open.is_empty(), "{open:?}");
    assert!(text.starts_with("<svg xmlns=") && text.trim_end().ends_with("</svg>"));
    assert!(text.contains(">web</text>") && text.contains(">web:1</text>"));
    assert_eq!(
        text.matches("<g><title>web:1 on ").count(),
        3,
        "a bar a task"
    );
    assert!(!text.contains("NaN") && !text.contains("inf"));
}

#[test]
fn the_example_folder_simulates_clean() {
    let home = Home::empty();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/manifests");
    let ended = home.simulate(&[folder, "-o", "json"]).with(0);
    let report = ended.json();
    assert_eq!(report["ok"], true);
    assert_eq!(report["services"].as_array().map(Vec::len), Some(3));
}
