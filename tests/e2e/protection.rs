//! Scale-in protection, as a task sets it from inside.

use longshore::engine::labels;
use serde_json::{Value, json};

use crate::metadata::{get, post};
use crate::rig::{Rig, Service, values};

const STATE: &str = "task-protection/v1/state";

fn service(count: u32) -> Service {
    Service {
        count,
        ..Service::default()
    }
}

/// The running tasks of the service.
async fn tasks(rig: &Rig) -> Vec<String> {
    values(&rig.running("work").await, labels::TASK)
}

#[tokio::test]
async fn a_task_that_protects_itself_outlives_a_scale_in_until_it_lets_go() {
    let Some(mut rig) = Rig::new("protect").await else {
        return;
    };
    rig.service("work", &service(1));
    rig.start();
    rig.steady();
    let oldest = tasks(&rig).await;
    rig.service("work", &service(3));
    rig.steady();
    // Of equals the newest goes first, so it is the one that would not be left.
    let all = rig.json(&["get", "tasks", "--cluster", &rig.cluster, "-o", "json"]);
    let mut all = all["tasks"].as_array().expect("tasks").clone();
    all.sort_by(|a, b| {
        let at = |task: &Value| task["createdAt"].as_f64().expect("a time");
        let arn = |task: &Value| task["taskArn"].to_string();
        at(a).total_cmp(&at(b)).then(arn(a).cmp(&arn(b)))
    });
    let newest = all.last().expect("a task")["taskArn"].as_str();
    let newest = newest.and_then(|arn| arn.rsplit('/').next());
    let newest = newest.expect("an id").to_owned();
    assert_ne!(vec![newest.clone()], oldest);
    let running = rig.running("work").await;
    let me = running
        .iter()
        .find(|c| c.labels[labels::TASK] == newest)
        .expect("it runs");

    let address = format!("$ECS_AGENT_URI/{STATE}");
    let before = get(&rig, &me.id, &address).await;
    assert_eq!(before["protection"]["ProtectionEnabled"], false, "{before}");
    let (status, told) = post(
        &rig,
        &me.id,
        "PUT",
        STATE,
        r#"{"ProtectionEnabled":true,"Minutes":1}"#,
    )
    .await;
    assert_eq!(
        (status, &told["error"]["Code"]),
        (400, &json!("InvalidParameterException")),
        "{told}"
    );
    let (status, told) = post(
        &rig,
        &me.id,
        "PUT",
        STATE,
        r#"{"ProtectionEnabled":true,"ExpiresInMinutes":60}"#,
    )
    .await;
    assert_eq!(status, 200, "{told}");
    assert_eq!(told["protection"]["ProtectionEnabled"], true);
    let arn = told["protection"]["TaskArn"].as_str().expect("an ARN");
    assert!(arn.ends_with(&newest), "{arn}");
    assert_eq!(get(&rig, &me.id, &address).await, told);
    let described = rig.run(&["describe", "task", &newest, "--cluster", &rig.cluster]);
    assert!(
        described.stdout.contains("Protected until"),
        "{described:?}"
    );

    // What was promised holds for the next Longshore too.
    rig.kill();
    rig.start();
    rig.service("work", &service(1));
    rig.steady();
    assert_eq!(
        tasks(&rig).await,
        std::slice::from_ref(&newest),
        "the protected one is kept"
    );

    rig.service("work", &service(0));
    rig.until("protection is said to hold the scale-in up", async |rig| {
        let events = rig.run(&["events", "--cluster", &rig.cluster]);
        events.stdout.contains("protected tasks")
    })
    .await;
    assert_eq!(tasks(&rig).await, [newest]);
    let (status, told) = post(&rig, &me.id, "PUT", STATE, r#"{"ProtectionEnabled":false}"#).await;
    assert_eq!(status, 200, "{told}");
    assert_eq!(told["protection"]["ExpirationDate"], Value::Null);
    rig.steady();
    assert_eq!(tasks(&rig).await, Vec::<String>::new());
}
