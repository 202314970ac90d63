//! The engine's events.

use futures_util::StreamExt;
use longshore::engine::{Engine, EngineEvent, EngineStream};

use super::{ended, patiently, running};
use crate::common::{Namespace, RUN_LABEL};

/// Events up to the first that is wanted, of those that pass the filter.
async fn up_to(
    events: &mut EngineStream<EngineEvent>,
    mine: impl Fn(&EngineEvent) -> bool,
    last: impl Fn(&EngineEvent) -> bool,
) -> Vec<EngineEvent> {
    let mut seen = Vec::new();
    patiently("events", async {
        while let Some(event) = events.next().await {
            let event = event.expect("an event");
            if mine(&event) {
                let done = last(&event);
                seen.push(event);
                if done {
                    break;
                }
            }
        }
    })
    .await;
    seen
}

pub async fn a_life_is_told_with_its_labels(engine: &dyn Engine, ns: &Namespace) {
    let mut events = engine.events(None).await.expect("events");
    let id = running(engine, ns, "life", &["sh", "-c", "exit 3"]).await;
    ended(engine, &id).await;
    engine.remove_container(&id).await.expect("removed");
    let told = up_to(
        &mut events,
        |event| event.id == id,
        |event| event.action == "destroy",
    )
    .await;
    let actions: Vec<&str> = told
        .iter()
        .map(|event| event.action.as_str())
        .filter(|action| matches!(*action, "create" | "start" | "die" | "destroy"))
        .collect();
    assert_eq!(actions, ["create", "start", "die", "destroy"]);
    for event in &told {
        assert_eq!(event.kind, "container");
        assert_eq!(event.attributes.get(RUN_LABEL), ns.labels().get(RUN_LABEL));
        assert_eq!(event.attributes.get("name"), Some(&ns.name("life")));
    }
    let die = told
        .iter()
        .find(|event| event.action == "die")
        .expect("it died");
    assert_eq!(
        die.attributes.get("exitCode").map(String::as_str),
        Some("3")
    );
    let nanos: Vec<i64> = told.iter().map(|event| event.at_nanos).collect();
    assert!(nanos.is_sorted(), "{nanos:?}");
    assert!(
        told.iter()
            .all(|event| event.at_nanos / 1_000_000 == event.at.as_millis()),
        "{told:?}"
    );
}

pub async fn events_since_an_instant_include_that_instant(engine: &dyn Engine, ns: &Namespace) {
    let mut events = engine.events(None).await.expect("events");
    let id = running(engine, ns, "past", &["sh", "-c", "exit 3"]).await;
    let told = up_to(
        &mut events,
        |event| event.id == id,
        |event| event.action == "die",
    )
    .await;
    let die = told.last().expect("it died").clone();
    let mut again = engine.events(Some(die.at)).await.expect("events");
    let told = up_to(
        &mut again,
        |event| event.id == id,
        |event| event.action == "die",
    )
    .await;
    assert_eq!(told.last(), Some(&die));
    // And they go on with what comes.
    engine.remove_container(&id).await.expect("removed");
    let told = up_to(
        &mut again,
        |event| event.id == id,
        |event| event.action == "destroy",
    )
    .await;
    assert_eq!(told.len(), 1, "{told:?}");
}

pub async fn networks_and_volumes_have_events(engine: &dyn Engine, ns: &Namespace) {
    let mut events = engine.events(None).await.expect("events");
    let network = engine
        .create_network(&ns.network("net"))
        .await
        .expect("created");
    let volume = ns.volume("data");
    engine.create_volume(&volume).await.expect("created");
    engine.remove_volume(&volume.name).await.expect("removed");
    engine.remove_network(&network).await.expect("removed");
    let told = up_to(
        &mut events,
        |event| event.id == network || event.id == volume.name,
        |event| event.kind == "network" && event.action == "destroy",
    )
    .await;
    let told: Vec<(&str, &str)> = told
        .iter()
        .map(|event| (event.kind.as_str(), event.action.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            ("network", "create"),
            ("volume", "create"),
            ("volume", "destroy"),
            ("network", "destroy")
        ]
    );
}
