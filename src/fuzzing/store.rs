//! What a store holds, whoever wrote it: keys, values, the tree that is made of them, and what is decided and answered from it.

use std::collections::BTreeMap;

use tokio_util::sync::CancellationToken;

use super::{folder, text, world};
use crate::api::ecs;
use crate::daemon::preview;
use crate::model::Timestamp;
use crate::store::{Item, Key, Listing, State, keys, redb};

/// A line is a key, a space, and its value. The tree is the same in whatever order it is read, what is read of it is what was
/// written, a plan from it is a function of it, and ECS's operations answer about it.
pub fn check(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let pairs: BTreeMap<&str, &str> = text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .collect();
    let items: Vec<Item> = pairs
        .iter()
        .zip(1..)
        .map(|((key, value), revision)| Item {
            key: (*key).to_owned(),
            value: value.as_bytes().to_vec(),
            revision,
        })
        .collect();
    let listing = Listing {
        revision: items.len() as u64,
        items,
    };
    let state = State::of(listing.clone());
    let mut backwards = listing.clone();
    backwards.items.reverse();
    assert_eq!(State::of(backwards), state);
    for key in pairs.keys() {
        if let Some(read) = Key::parse(key) {
            assert_eq!(read.to_string(), **key);
        }
    }
    is_what_was_written(&state);
    // A dump keeps JSON and not its bytes.
    let dumped = redb::read_dump(&redb::dump_listing(&listing)).expect("a dump is one");
    let dumped = State::of(dumped);
    assert_eq!(dumped.tasks, state.tasks);
    assert_eq!(dumped.services, state.services);
    is_planned(&state);
    is_told(&listing);
}

/// Every value that was read is read again as the same once it is written.
fn is_what_was_written(state: &State) {
    let mut items = Vec::new();
    let mut put = |key: String, value: serde_json::Result<Vec<u8>>, revision: u64| {
        let value = value.expect("it can be written");
        items.push(Item {
            key,
            value,
            revision,
        });
    };
    macro_rules! all {
        ($values:expr, $key:expr) => {
            let key = $key;
            for (id, stored) in $values {
                put(key(id), serde_json::to_vec(&*stored.value), stored.revision);
            }
        };
    }
    all!(state.meta.iter().map(|meta| ((), meta)), |()| keys::META
        .to_owned());
    all!(&state.clusters, keys::cluster);
    all!(&state.services, |(c, name): &(_, _)| keys::service(c, name));
    all!(&state.overrides, |(c, name): &(_, _)| {
        keys::service_overrides(c, name)
    });
    all!(&state.revisions, keys::revision);
    all!(&state.last_good, keys::last_good);
    for (hash, spec) in &state.specs {
        put(keys::spec(hash), serde_json::to_vec(&**spec), 0);
    }
    for ((c, service), events) in &state.events {
        all!(events, |seq: &u64| keys::event(c, service, *seq));
    }
    for ((c, id), task) in &state.tasks {
        all!([((), &task.record)], |()| keys::task(c, id));
        all!(task.status.iter().map(|s| ((), s)), |()| keys::task_status(
            c, id
        ));
        all!(task.lost.iter().map(|s| ((), s)), |()| keys::task_lost(
            c, id
        ));
        all!(task.protection.iter().map(|s| ((), s)), |()| {
            keys::task_protection(c, id)
        });
    }
    for ((c, id), of) in &state.instances {
        all!(of.instance.iter().map(|s| ((), s)), |()| keys::instance(
            c, id
        ));
        all!(of.endpoint.iter().map(|s| ((), s)), |()| {
            keys::instance_endpoint(c, id)
        });
        all!(of.desired.iter().map(|s| ((), s)), |()| {
            keys::instance_desired(c, id)
        });
        all!(of.asked.iter().map(|s| ((), s)), |()| {
            keys::instance_override(c, id)
        });
        all!(of.reserved.iter().map(|s| ((), s)), |()| {
            keys::instance_reserved(c, id)
        });
        all!(of.images.iter().map(|s| ((), s)), |()| {
            keys::instance_images(c, id)
        });
    }
    let again = State::of(Listing {
        items,
        revision: state.revision,
    });
    assert_eq!(again.corrupt, BTreeMap::new());
    assert_eq!(again.meta, state.meta);
    assert_eq!(again.clusters, state.clusters);
    assert_eq!(again.services, state.services);
    assert_eq!(again.overrides, state.overrides);
    assert_eq!(again.revisions, state.revisions);
    assert_eq!(again.last_good, state.last_good);
    assert_eq!(again.specs, state.specs);
    assert_eq!(again.events, state.events);
    assert_eq!(again.tasks, state.tasks);
    assert_eq!(again.instances, state.instances);
}

fn is_planned(state: &State) {
    let scan = folder::scan(world::FOLDER);
    let plan = || {
        let preview = preview::compute(&scan, state, Timestamp::from_millis(world::NOW));
        format!("{preview:?}")
    };
    assert_eq!(plan(), plan());
}

fn is_told(listing: &Listing) {
    const ASKED: [(&str, &str); 9] = [
        ("ListClusters", "{}"),
        ("DescribeClusters", r#"{"include": ["STATISTICS", "TAGS"]}"#),
        ("ListServices", "{}"),
        (
            "DescribeServices",
            r#"{"services": ["web"], "include": ["TAGS"]}"#,
        ),
        ("ListTasks", "{}"),
        (
            "DescribeTasks",
            r#"{"tasks": ["aa000000000000000000000000000000"], "include": ["TAGS"]}"#,
        ),
        ("DescribeTaskDefinition", r#"{"taskDefinition": "web"}"#),
        (
            "DescribeContainerInstances",
            r#"{"containerInstances": ["local"]}"#,
        ),
        (
            "DescribeServiceDeployments",
            r#"{"serviceDeploymentArns": ["arn:aws:ecs:local:000000000000:service-deployment/default/web/0000000000000000001"]}"#,
        ),
    ];
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let stop = CancellationToken::new();
    runtime.block_on(async {
        let items = listing.items.iter();
        let items = items.map(|item| (item.key.clone(), item.value.clone()));
        let (store, _) = world::store(items).await;
        let context = world::context(store, stop.clone()).await;
        for (operation, body) in ASKED {
            match ecs::dispatch(&context, operation, body.as_bytes()).await {
                Ok(answer) => assert!(answer.is_object()),
                Err(error) => assert!((400..=500).contains(&error.status())),
            }
        }
        crate::api::summaries(&context.view.read(), context.clock.now());
        stop.cancel();
    });
}
