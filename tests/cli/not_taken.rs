//! A folder of which something is not taken: whoever asks is told, also where nothing of it ever was.

use super::plan::WEB;
use super::{Home, Simulated};

const RUN: [&str; 4] = ["run", "manifests", "--engine", "simulated"];
const WHERE: &str = "web.yaml:6:3: a service has no member `desiredCont`";

#[test]
fn an_invalid_first_folder_is_told_of_by_everything_that_finds_nothing() {
    let home = Home::new();
    home.write("web.yaml", &WEB.replace("desiredCount", "desiredCont"));
    let running = Simulated::start(&home, &RUN);
    let told = |(_, _, stderr): &(i32, String, String)| stderr.contains(WHERE);
    let (code, stdout, stderr) = running.until(&["get", "services"], told);
    assert_eq!((code, stdout.as_str()), (0, ""));
    let first = stderr.lines().next();
    assert_eq!(first, Some("no services"), "{stderr}");
    assert!(stderr.contains("/manifests has an error, and the file that it is in was not taken"));
    for kind in ["services", "clusters", "tasks"] {
        let (code, _, stderr) = running.ask(&["describe", kind]);
        assert_eq!(code, 0, "{kind}: {stderr}");
        assert!(stderr.contains(WHERE), "{kind}: {stderr}");
    }
    for missing in [
        &["get", "service", "web"][..],
        &["describe", "service", "web"],
        &["events", "web"],
        &["logs", "web"],
        &["exec", "web", "--", "true"],
        &["rollout", "status", "web"],
        &["suspend", "web"],
        &["run-task", "web"],
        &["diff", "web"],
        &["scale", "web"],
    ] {
        let (code, stdout, stderr) = running.ask(missing);
        assert_ne!(code, 0, "{missing:?}");
        assert_eq!(stdout, "", "{missing:?}");
        assert!(stderr.contains("web.yaml:6:3"), "{missing:?}: {stderr}");
    }
    // Programs get their documents, and nothing else on stdout.
    let (code, stdout, _) = running.ask(&["get", "services", "-o", "json"]);
    assert_eq!(code, 0);
    let shapes: serde_json::Value = serde_json::from_str(&stdout).expect("one document");
    assert_eq!(shapes["services"], serde_json::json!([]));
    home.write("web.yaml", WEB);
    running.at_rest("web");
    let (_, _, stderr) = running.ask(&["get", "services"]);
    assert_eq!(stderr, "", "it is mended");
}
