//! The verbs that steer a service's rollouts on top of the folder.

use longshore::engine::labels;
use serde_json::Value;

use crate::rig::{Ended, Rig, Service, ids, values};

/// Three tasks, of which one at a time is replaced.
fn slowly(version: &'static str) -> Service {
    Service {
        count: 3,
        version,
        percent: (100, 134),
        ..Service::default()
    }
}

async fn revisions(rig: &Rig) -> Vec<String> {
    values(&rig.running("web").await, labels::REVISION)
}

#[track_caller]
fn done(ended: Ended) -> Ended {
    assert_eq!(ended.code, 0, "{}{}", ended.stdout, ended.stderr);
    ended
}

#[tokio::test]
async fn a_rollout_is_paused_goes_on_is_undone_and_restarted_until_the_folder_asks_for_something_else()
 {
    let Some(mut rig) = Rig::new("rollout").await else {
        return;
    };
    rig.service("web", &slowly("1"));
    rig.start();
    rig.steady();
    done(rig.run(&["rollout", "status", "web", "--timeout", "60"]));
    let refused = rig.run(&["rollout", "pause", "web"]);
    assert_eq!(refused.code, 1, "nothing is under way: {}", refused.stdout);

    rig.service("web", &slowly("2"));
    rig.until("there is a rollout to pause", async |rig| {
        rig.run(&["rollout", "pause", "web", "--reason", "lunch"])
            .code
            == 0
    })
    .await;
    let paused = rig.run(&["rollout", "status", "web", "--timeout", "60"]);
    assert_eq!(paused.code, 1, "{}", paused.stdout);
    assert!(
        paused.stderr.contains("paused") && paused.stderr.contains("lunch"),
        "{}",
        paused.stderr
    );
    assert!(revisions(&rig).await.contains(&"1".to_owned()));
    let services = done(rig.run(&["get", "services"]));
    assert!(services.stdout.contains("paused"), "{}", services.stdout);

    let resumed = done(rig.run(&["rollout", "resume", "web", "--wait", "--timeout", "100"]));
    assert!(
        resumed.stdout.contains("the rollout of web:2 is completed"),
        "{}",
        resumed.stdout
    );
    assert_eq!(revisions(&rig).await, ["2"]);

    let undone = done(rig.run(&["rollout", "undo", "web", "--wait", "--timeout", "100"]));
    assert_eq!(revisions(&rig).await, ["1"]);
    for said in [
        "the folder still says web:2",
        "environment[VERSION].value: 2 → 1",
    ] {
        assert!(undone.stderr.contains(said), "{}", undone.stderr);
    }
    let folder = rig.folder().display().to_string();
    let diff = rig.run(&["diff", "web", "--dir", &folder, "--exit-code"]);
    assert_eq!(diff.code, 2, "{}", diff.stderr);
    assert!(
        diff.stdout.contains("environment[VERSION].value: 1 → 2"),
        "{}",
        diff.stdout
    );

    let before = ids(&rig.running("web").await);
    done(rig.run(&["rollout", "restart", "web", "--wait", "--timeout", "100"]));
    let after = ids(&rig.running("web").await);
    assert!(
        after.iter().all(|id| !before.contains(id)),
        "each is a new one"
    );
    assert_eq!(
        (after.len(), revisions(&rig).await),
        (3, vec!["1".to_owned()])
    );

    rig.service("web", &slowly("3"));
    rig.until("a changed folder wins over the undo", async |rig| {
        revisions(rig).await == ["3"]
    })
    .await;
    done(rig.run(&["rollout", "status", "web", "--timeout", "100"]));
    let history = rig.json(&["rollout", "history", "web", "-o", "json"]);
    let history = history["serviceDeployments"]
        .as_array()
        .expect("a list")
        .clone();
    assert_eq!(history.len(), 5, "{history:?}");
    assert!(
        history.iter().all(|d: &Value| d["status"] == "SUCCESSFUL"),
        "{history:?}"
    );
    let table = done(rig.run(&["rollout", "history", "web"])).stdout;
    let rows: Vec<&str> = table
        .lines()
        .skip(1)
        .filter_map(|row| row.split(' ').next())
        .collect();
    assert_eq!(
        rows,
        ["web:3", "web:1", "web:1", "web:2", "web:1"],
        "{table}"
    );
}

#[tokio::test]
async fn a_suspended_service_is_left_alone_whatever_happens_until_it_is_resumed() {
    let Some(mut rig) = Rig::new("suspend").await else {
        return;
    };
    let two = |version| Service {
        count: 2,
        version,
        ..Service::default()
    };
    rig.service("web", &two("1"));
    rig.start();
    rig.steady();
    done(rig.run(&["suspend", "web", "--reason", "forensics"]));
    let running = rig.running("web").await;
    rig.engine_removes(&running[0].id);
    rig.service("web", &two("2"));
    rig.until("the drift is reported", async |rig| {
        let events = rig.run(&["events", "--cluster", &rig.cluster]).stdout;
        events.contains("forensics")
    })
    .await;
    let kept = &running[1].id;
    assert_eq!(ids(&rig.running("web").await), std::slice::from_ref(kept));
    let status = rig.run(&["rollout", "status", "web"]);
    assert_eq!(status.code, 1, "{}", status.stdout);
    assert!(status.stderr.contains("suspended"), "{}", status.stderr);
    let folder = rig.folder().display().to_string();
    let diff = rig.run(&["diff", "web", "--dir", &folder, "--exit-code"]);
    assert_eq!(diff.code, 2, "{}", diff.stderr);
    assert!(diff.stdout.contains("suspended"), "{}", diff.stdout);

    done(rig.run(&["resume", "web", "--wait", "--timeout", "100"]));
    assert_eq!(revisions(&rig).await, ["2"]);
    assert_eq!(rig.running("web").await.len(), 2);
}

impl Rig {
    /// Takes a container away behind Longshore's back.
    fn engine_removes(&self, id: &str) {
        let removed = std::process::Command::new("docker")
            .args(["rm", "-f", id])
            .output();
        assert!(removed.expect("docker runs").status.success());
    }
}
