//! Random histories: every store lists what a plain map would hold.

use std::collections::BTreeMap;

use longshore::store::{Guard, Op, Revision, SharedStore, StoreError};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::Fixture;
use crate::cases::holder;

const HISTORIES: usize = 8;
const COMMITS: usize = 25;

/// One commit of a history: keys are few, so that they meet.
#[derive(Debug, Clone)]
struct Step {
    /// Key, and whether the guard is to be one that holds.
    guards: Vec<(u8, bool)>,
    /// Key and value; `None` removes.
    ops: Vec<(u8, Option<Vec<u8>>)>,
}

fn step() -> impl Strategy<Value = Step> {
    let value = prop::option::weighted(0.7, prop::collection::vec(any::<u8>(), 0..20));
    (
        prop::collection::vec((0..12_u8, prop::bool::weighted(0.8)), 0..3),
        prop::collection::vec((0..12_u8, value), 0..6),
    )
        .prop_map(|(guards, ops)| Step { guards, ops })
}

fn key(number: u8) -> String {
    format!("keys/{}/{}", number % 3, number)
}

type Map = BTreeMap<String, (Vec<u8>, Revision)>;

pub async fn any_history_lists_as_a_map_would<F: Fixture>(f: F) {
    let mut fixture = f;
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    for _ in 0..HISTORIES {
        let history = prop::collection::vec(step(), COMMITS)
            .new_tree(&mut runner)
            .expect("a history")
            .current();
        let mut map = Map::new();
        {
            let store = fixture.store();
            follow(&store, &history, &mut map).await;
        }
        fixture = fixture.reopen().await;
        let store = fixture.store();
        assert_lists(&store, &map, &history).await;
        // The next history begins with an empty tree.
        let epoch = holder(&store).await;
        let clear = map.keys().cloned().map(Op::Delete).collect();
        store.commit(&epoch, &[], clear).await.expect("a commit");
    }
}

async fn follow(store: &SharedStore, history: &[Step], map: &mut Map) {
    let epoch = holder(store).await;
    for step in history {
        let guards: Vec<Guard> = step
            .guards
            .iter()
            .map(|(number, holds)| {
                let key = key(*number);
                let found = map.get(&key).map(|(_, revision)| *revision);
                match (found, holds) {
                    (Some(revision), true) => Guard::Unchanged(key, revision),
                    (Some(_), false) => Guard::Absent(key),
                    (None, true) => Guard::Absent(key),
                    (None, false) => Guard::Unchanged(key, 1),
                }
            })
            .collect();
        let ops: Vec<Op> = step
            .ops
            .iter()
            .map(|(number, value)| match value {
                Some(value) => Op::Put(key(*number), value.clone()),
                None => Op::Delete(key(*number)),
            })
            .collect();
        let first_that_fails = step.guards.iter().find(|(_, holds)| !holds);
        match store.commit(&epoch, &guards, ops.clone()).await {
            Ok(revision) => {
                assert_eq!(first_that_fails, None, "a guard was passed over: {step:?}");
                for op in ops {
                    match op {
                        Op::Put(key, value) => map.insert(key, (value, revision)),
                        Op::Delete(key) => map.remove(&key),
                    };
                }
            }
            Err(StoreError::Conflict { key: refused }) => {
                let expected = first_that_fails.map(|(number, _)| key(*number));
                assert_eq!(Some(refused), expected, "{step:?}");
            }
            Err(error) => panic!("{step:?}: {error}"),
        }
        assert_lists(store, map, history).await;
    }
}

async fn assert_lists(store: &SharedStore, map: &Map, history: &[Step]) {
    let listing = store.list("").await.expect("a listing");
    let listed: Map = listing
        .items
        .into_iter()
        .map(|item| (item.key, (item.value, item.revision)))
        .collect();
    assert_eq!(&listed, map, "after {history:?}");
}
