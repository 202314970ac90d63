//! `doctor`: what it looks at, and that it leaves nothing behind.

use super::Home;

#[test]
fn doctor_tells_what_is_bad_with_what_to_do_and_changes_nothing() {
    let home = Home::new();
    home.write(
        "cluster.yaml",
        "apiVersion: longshore/v1\nkind: Cluster\nmetadata: {name: default}\nspec:\n  containerInstances:\n    - {name: a, endpoint: 'unix:///nonexistent/a.sock'}\n    - {name: b, endpoint: 'tcp://127.0.0.1:1'}\n",
    );
    let (code, stdout, stderr) = home.run(&["doctor"]);
    assert_eq!(code, 1, "{stdout}{stderr}");
    for said in [
        "BAD  engine: default/a: ",
        "BAD  engine: default/b: ",
        "ok   manifests: all are valid",
        "is made at the first run, and ",
    ] {
        assert!(stdout.contains(said), "{said:?} is not in {stdout}");
    }
    assert!(stderr.starts_with("2 of "), "{stderr}");
    assert!(!home.path().join("state").exists(), "it makes no state");
    let (code, stdout, _) = home.run(&["doctor", "-o", "json"]);
    assert_eq!(code, 1);
    let report: serde_json::Value = serde_json::from_str(&stdout).expect("one document");
    let checks = report["checks"].as_array().expect("a list");
    let bad = checks.iter().filter(|check| check["verdict"] == "bad");
    assert_eq!(bad.count(), 2, "{report:#}");
}

#[test]
fn doctor_looks_at_the_store_that_is_meant_and_not_at_the_directory() {
    let home = Home::new();
    home.write("none.txt", "");
    let (code, stdout, _) = home.run(&["doctor", "--store", "etcd://127.0.0.1:1"]);
    assert_eq!(code, 1, "{stdout}");
    assert!(stdout.contains("BAD  store: 127.0.0.1:1: "), "{stdout}");
    assert!(!stdout.contains(" state: "), "{stdout}");
    let (code, _, stderr) = home.run(&["doctor", "--store", "10.0.0.1:2379"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("etcd://HOST:PORT"), "{stderr}");
}
