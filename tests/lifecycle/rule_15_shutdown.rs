//! Rules 15 and 16: containers stop in the reverse order of their dependencies, by SIGTERM and then SIGKILL.

use futures_util::StreamExt;
use longshore::engine::{Engine, labels};
use serde_json::json;

use crate::{OBEDIENT, World, container, end, task};

#[tokio::test]
async fn containers_end_in_the_reverse_order_of_their_dependencies() {
    let Some(world) = World::new().await else {
        return;
    };
    let after = |name: &str| json!({"depends_on": [{"container": name, "condition": "START"}]});
    let spec = task(&[
        container("database", OBEDIENT, json!({})),
        container("proxy", OBEDIENT, after("web")),
        container("web", OBEDIENT, after("database")),
    ]);
    let id = world.order(&spec).await;
    world.until_running(&id).await;
    let mut events = world.engine.events(None).await.expect("a stream");
    world.order_stop(&id).await;
    let mut ended = Vec::new();
    while ended.len() < 3 {
        let event = events.next().await.expect("it goes on").expect("an event");
        let of = |label: &str| event.attributes.get(label).cloned();
        if event.action == "die" && of(labels::TASK).as_deref() == Some(id.as_str()) {
            ended.extend(of(labels::CONTAINER));
        }
    }
    assert_eq!(ended, ["proxy", "web", "database"]);
    let status = world.until_stopped(&id).await;
    assert_eq!(status.stopped_reason.as_deref(), Some("ordered"));
}

#[tokio::test]
async fn a_container_that_ignores_sigterm_is_killed_when_its_stop_timeout_is_over() {
    let Some(world) = World::new().await else {
        return;
    };
    let deaf = "trap '' TERM; while true; do sleep 0.1; done";
    let spec = task(&[
        container("deaf", deaf, json!({"stop_timeout": 1})),
        container(
            "polite",
            "trap 'exit 7' TERM; sleep 100000 & wait",
            json!({}),
        ),
    ]);
    let id = world.order(&spec).await;
    world.until_running(&id).await;
    world.order_stop(&id).await;
    let status = world.until_stopped(&id).await;
    assert_eq!(end(&status, "deaf"), (Some(137), None));
    assert_eq!(end(&status, "polite"), (Some(7), None));
}
