//! The contract, a sentence a case.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::StreamExt;
use longshore::store::{
    Change, Commit, Epoch, Guard, Item, Limits, Op, Revision, SharedStore, StoreError, Watch,
    WatchEvent,
};

use crate::Fixture;

/// Hands every case to `$each`.
macro_rules! all_cases {
    ($each:ident, $fixture:ty) => {
        $each!($fixture, what_is_written_is_listed_with_its_revision);
        $each!($fixture, a_commit_applies_whole_or_not_at_all);
        $each!($fixture, guards_hold_exactly_when_the_key_is_as_it_was_seen);
        $each!($fixture, a_commit_without_operations_only_checks);
        $each!($fixture, the_last_of_several_operations_on_a_key_counts);
        $each!($fixture, removing_what_is_not_there_changes_nothing);
        $each!($fixture, a_superseded_holder_never_writes_again);
        $each!($fixture, an_epoch_that_was_never_given_is_refused);
        $each!($fixture, prefixes_match_by_bytes);
        $each!($fixture, any_bytes_are_kept_as_they_are);
        $each!(
            $fixture,
            a_commit_is_bounded_and_takes_at_least_what_every_store_does
        );
        $each!(
            $fixture,
            a_watch_delivers_commits_whole_and_only_under_its_prefix
        );
        $each!(
            $fixture,
            a_watch_goes_on_from_a_listing_without_gap_or_repeat
        );
        $each!(
            $fixture,
            a_watch_from_before_what_is_known_is_told_to_list_again
        );
        $each!(
            $fixture,
            a_removal_at_the_edge_of_what_is_known_is_never_passed_over
        );
        $each!(
            $fixture,
            a_watch_from_a_revision_that_is_not_yet_is_told_to_list_again
        );
        $each!($fixture, writers_that_compare_and_set_lose_no_update);
        $each!($fixture, what_was_written_outlives_a_reopening);
        $each!($fixture, any_history_lists_as_a_map_would);
    };
}

pub use crate::model::any_history_lists_as_a_map_would;

/// Long enough for any machine; only a failing test ever waits for it.
const PATIENCE: Duration = Duration::from_secs(30);

pub fn put(key: &str, value: &str) -> Op {
    Op::Put(key.to_owned(), value.into())
}

pub fn delete(key: &str) -> Op {
    Op::Delete(key.to_owned())
}

fn absent(key: &str) -> Guard {
    Guard::Absent(key.to_owned())
}

fn unchanged(key: &str, revision: Revision) -> Guard {
    Guard::Unchanged(key.to_owned(), revision)
}

pub async fn holder(store: &SharedStore) -> Epoch {
    store.acquire("controller").await.expect("an epoch")
}

async fn write(store: &SharedStore, epoch: &Epoch, ops: Vec<Op>) -> Revision {
    store.commit(epoch, &[], ops).await.expect("a commit")
}

async fn texts(store: &SharedStore, prefix: &str) -> Vec<(String, String)> {
    let listing = store.list(prefix).await.expect("a listing");
    listing
        .items
        .into_iter()
        .map(|item| (item.key, String::from_utf8(item.value).expect("text")))
        .collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

async fn next(watch: &mut Watch) -> Option<WatchEvent> {
    tokio::time::timeout(PATIENCE, watch.next())
        .await
        .expect("the watch says something in time")
        .map(|event| event.expect("the watch does not fail"))
}

/// The next commit that changes something; stores may also say how far they are without one.
async fn next_commit(watch: &mut Watch) -> Commit {
    loop {
        match next(watch).await {
            Some(WatchEvent::Commit(commit)) if commit.changes.is_empty() => {}
            Some(WatchEvent::Commit(commit)) => return commit,
            other => panic!("a commit was due, not {other:?}"),
        }
    }
}

fn put_change(key: &str, value: &str, revision: Revision) -> Change {
    Change::Put(Item {
        key: key.to_owned(),
        value: value.into(),
        revision,
    })
}

pub async fn what_is_written_is_listed_with_its_revision<F: Fixture>(f: F) {
    let store = f.store();
    let empty = store.list("").await.expect("a listing");
    assert_eq!(empty.items, []);
    let epoch = holder(&store).await;
    let first = write(&store, &epoch, vec![put("b", "1"), put("a", "1")]).await;
    let second = write(&store, &epoch, vec![put("b", "2")]).await;
    assert!(empty.revision < first && first < second);
    let listing = store.list("").await.expect("a listing");
    assert!(listing.revision >= second);
    let found: Vec<(&str, Revision)> = listing
        .items
        .iter()
        .map(|item| (item.key.as_str(), item.revision))
        .collect();
    assert_eq!(found, [("a", first), ("b", second)]);
}

pub async fn a_commit_applies_whole_or_not_at_all<F: Fixture>(f: F) {
    let store = f.store();
    let epoch = holder(&store).await;
    let seen = write(&store, &epoch, vec![put("a", "1")]).await;
    write(&store, &epoch, vec![put("b", "1")]).await;
    let before = store.list("").await.expect("a listing");
    let refused = store
        .commit(
            &epoch,
            &[unchanged("a", seen), absent("b"), absent("a")],
            vec![put("a", "2"), delete("b"), put("c", "1")],
        )
        .await;
    assert!(
        matches!(&refused, Err(StoreError::Conflict { key }) if key == "b"),
        "the first guard that does not hold is named: {refused:?}"
    );
    assert_eq!(store.list("").await.expect("a listing"), before);
    let applied = store
        .commit(
            &epoch,
            &[unchanged("a", seen), absent("c")],
            vec![put("a", "2"), delete("b"), put("c", "1")],
        )
        .await;
    assert!(applied.is_ok(), "{applied:?}");
    assert_eq!(texts(&store, "").await, pairs(&[("a", "2"), ("c", "1")]));
}

pub async fn guards_hold_exactly_when_the_key_is_as_it_was_seen<F: Fixture>(f: F) {
    let store = f.store();
    let epoch = holder(&store).await;
    let first = write(&store, &epoch, vec![put("a", "1")]).await;
    let same_again = write(&store, &epoch, vec![put("a", "1")]).await;
    assert!(same_again > first, "writing the same again is a change");
    write(&store, &epoch, vec![put("gone", "1")]).await;
    let removed = write(&store, &epoch, vec![delete("gone")]).await;
    let cases = [
        (unchanged("a", first), false),
        (unchanged("a", same_again), true),
        (unchanged("a", same_again + 1), false),
        (absent("a"), false),
        (absent("never"), true),
        (absent("gone"), true),
        (unchanged("gone", removed), false),
        (unchanged("never", 0), false),
    ];
    for (guard, holds) in cases {
        let result = store.commit(&epoch, std::slice::from_ref(&guard), Vec::new());
        match result.await {
            Ok(_) => assert!(holds, "{guard:?} held"),
            Err(StoreError::Conflict { key }) => {
                assert!(!holds, "{guard:?} did not hold");
                assert_eq!(key, guard.key());
            }
            Err(error) => panic!("{guard:?}: {error}"),
        }
    }
}

pub async fn a_commit_without_operations_only_checks<F: Fixture>(f: F) {
    let store = f.store();
    let epoch = holder(&store).await;
    let seen = write(&store, &epoch, vec![put("a", "1")]).await;
    let before = store.list("").await.expect("a listing").items;
    let checked = store
        .commit(&epoch, &[unchanged("a", seen)], Vec::new())
        .await
        .expect("the guard holds");
    assert!(checked >= seen);
    assert_eq!(store.list("").await.expect("a listing").items, before);
}

pub async fn the_last_of_several_operations_on_a_key_counts<F: Fixture>(f: F) {
    let store = f.store();
    let epoch = holder(&store).await;
    let from = store.list("").await.expect("a listing").revision;
    let ops = vec![put("a", "1"), delete("b"), delete("a"), put("b", "1")];
    write(&store, &epoch, ops).await;
    let last = write(&store, &epoch, vec![put("b", "2"), put("b", "3")]).await;
    assert_eq!(texts(&store, "").await, pairs(&[("b", "3")]));
    let mut watch = store.watch("", from).await.expect("a watch");
    assert_eq!(next_commit(&mut watch).await.changes.len(), 1);
    let second = next_commit(&mut watch).await;
    assert_eq!(second.changes, [put_change("b", "3", last)]);
}

pub async fn removing_what_is_not_there_changes_nothing<F: Fixture>(f: F) {
    let store = f.store();
    let epoch = holder(&store).await;
    let first = write(&store, &epoch, vec![put("a", "1")]).await;
    write(&store, &epoch, vec![delete("b")]).await;
    let removed = write(&store, &epoch, vec![delete("a"), delete("c")]).await;
    let mut watch = store.watch("", first).await.expect("a watch");
    let commit = next_commit(&mut watch).await;
    assert_eq!(commit.revision, removed);
    assert_eq!(commit.changes, [Change::Delete("a".to_owned())]);
    assert_eq!(texts(&store, "").await, []);
}

pub async fn a_superseded_holder_never_writes_again<F: Fixture>(f: F) {
    let store = f.store();
    let first = holder(&store).await;
    let agent = store.acquire("agent/local").await.expect("an epoch");
    write(&store, &first, vec![put("a", "1")]).await;
    let second = holder(&store).await;
    assert_eq!((first.number, second.number, agent.number), (1, 2, 1));
    for guards in [vec![], vec![absent("nothing")]] {
        let refused = store.commit(&first, &guards, vec![put("a", "2")]).await;
        assert!(
            matches!(
                &refused,
                Err(StoreError::Superseded { name, held: 2, ours: 1 }) if name == "controller"
            ),
            "{refused:?}"
        );
    }
    let refused = store.commit(&first, &[], Vec::new()).await;
    assert!(
        matches!(refused, Err(StoreError::Superseded { .. })),
        "{refused:?}"
    );
    assert_eq!(texts(&store, "").await, pairs(&[("a", "1")]));
    write(&store, &second, vec![put("a", "3")]).await;
    write(&store, &agent, vec![put("b", "1")]).await;
}

pub async fn an_epoch_that_was_never_given_is_refused<F: Fixture>(f: F) {
    let store = f.store();
    holder(&store).await;
    for (name, number) in [
        ("controller", 0),
        ("controller", 2),
        ("other", 0),
        ("other", 1),
    ] {
        let epoch = Epoch {
            name: name.to_owned(),
            number,
            limits: Limits::SHARED,
        };
        let refused = store.commit(&epoch, &[], vec![put("a", "1")]).await;
        assert!(
            matches!(refused, Err(StoreError::Superseded { .. })),
            "{epoch:?}: {refused:?}"
        );
    }
    assert_eq!(texts(&store, "").await, []);
}

pub async fn prefixes_match_by_bytes<F: Fixture>(f: F) {
    let store = f.store();
    let epoch = holder(&store).await;
    let keys = [
        "a",
        "a/",
        "a/b",
        "a/b/c",
        "a/bc",
        "a0",
        "b",
        "ä",
        "ä/x",
        "\u{10FFFF}",
    ];
    let ops = keys.iter().map(|key| put(key, "1")).collect();
    let revision = write(&store, &epoch, ops).await;
    for prefix in ["", "a", "a/", "a/b", "a/b/", "a/bc", "ä", "\u{10FFFF}", "c"] {
        let expected: BTreeSet<&str> = keys
            .into_iter()
            .filter(|key| key.starts_with(prefix))
            .collect();
        let found: Vec<String> = texts(&store, prefix)
            .await
            .into_iter()
            .map(|(key, _)| key)
            .collect();
        assert!(found.iter().eq(&expected), "{prefix:?}: {found:?}");
        if expected.is_empty() {
            continue;
        }
        let mut watch = store.watch(prefix, revision - 1).await.expect("a watch");
        let commit = next_commit(&mut watch).await;
        assert!(
            commit.changes.iter().map(Change::key).eq(expected),
            "{prefix:?}: {commit:?}"
        );
    }
}

pub async fn any_bytes_are_kept_as_they_are<F: Fixture>(f: F) {
    let store = f.store();
    let epoch = holder(&store).await;
    let from = store.list("").await.expect("a listing").revision;
    let values: [Vec<u8>; 3] = [Vec::new(), vec![0, 255, 10, 13, 34], (0..=255).collect()];
    let keys = ["empty", "odd \"\\\n\u{0}key", "ключ"];
    let ops = keys.iter().zip(&values);
    let ops = ops.map(|(key, value)| Op::Put((*key).to_owned(), value.clone()));
    write(&store, &epoch, ops.collect()).await;
    let expected: BTreeMap<&str, &Vec<u8>> = keys.into_iter().zip(&values).collect();
    let listing = store.list("").await.expect("a listing");
    let listed: BTreeMap<&str, &Vec<u8>> = listing
        .items
        .iter()
        .map(|item| (item.key.as_str(), &item.value))
        .collect();
    assert_eq!(listed, expected);
    let mut watch = store.watch("", from).await.expect("a watch");
    let commit = next_commit(&mut watch).await;
    let watched: BTreeMap<&str, &Vec<u8>> = commit
        .changes
        .iter()
        .map(|change| match change {
            Change::Put(item) => (item.key.as_str(), &item.value),
            Change::Delete(key) => panic!("{key} was not removed"),
        })
        .collect();
    assert_eq!(watched, expected);
}

pub async fn a_commit_is_bounded_and_takes_at_least_what_every_store_does<F: Fixture>(f: F) {
    let store = f.store();
    let epoch = holder(&store).await;
    let Limits { ops: most, bytes } = epoch.limits;
    assert!(most >= Limits::SHARED.ops && bytes >= Limits::SHARED.bytes);
    let keys = |count: usize| (0..count).map(|n| format!("k{n:04}"));
    let half = most / 2;
    let guards: Vec<Guard> = keys(half).map(Guard::Absent).collect();
    let ops = |count: usize| keys(count).map(|key| Op::Put(key, b"1".to_vec())).collect();
    let too_many = store.commit(&epoch, &guards, ops(half + 1)).await;
    assert!(
        matches!(too_many, Err(StoreError::TooLarge { ops, .. }) if ops == most + 1),
        "{too_many:?}"
    );
    let too_big = vec![Op::Put("k".to_owned(), vec![b'x'; bytes])];
    let too_big = store.commit(&epoch, &[], too_big).await;
    assert!(
        matches!(too_big, Err(StoreError::TooLarge { bytes: found, .. }) if found == bytes + 1),
        "{too_big:?}"
    );
    assert_eq!(texts(&store, "").await, []);
    let full = store.commit(&epoch, &guards, ops(half)).await;
    assert!(full.is_ok(), "{full:?}");
    let only_guards: Vec<Guard> = (0..most).map(|n| absent(&format!("none{n}"))).collect();
    let checked = store.commit(&epoch, &only_guards, Vec::new()).await;
    assert!(checked.is_ok(), "{checked:?}");
    let biggest = vec![Op::Put("k".to_owned(), vec![0xA5; bytes - 1])];
    let biggest = store.commit(&epoch, &[], biggest).await;
    assert!(biggest.is_ok(), "{biggest:?}");
    let listing = store.list("k").await.expect("a listing");
    assert_eq!(listing.items.len(), half + 1);
    assert_eq!(listing.items[0].value, vec![0xA5; bytes - 1]);
}

pub async fn a_watch_delivers_commits_whole_and_only_under_its_prefix<F: Fixture>(f: F) {
    let store = f.store();
    let epoch = holder(&store).await;
    let from = write(&store, &epoch, vec![put("a/0", "0"), put("b/0", "0")]).await;
    let mut watch = store.watch("a/", from).await.expect("a watch");
    let one = write(
        &store,
        &epoch,
        vec![
            put("b/1", "1"),
            put("a/2", "1"),
            delete("a/0"),
            put("a/1", "1"),
        ],
    )
    .await;
    write(&store, &epoch, vec![put("b/1", "2")]).await;
    let three = write(&store, &epoch, vec![put("a/1", "3")]).await;
    let first = next_commit(&mut watch).await;
    assert_eq!(
        first.changes,
        [
            Change::Delete("a/0".to_owned()),
            put_change("a/1", "1", one),
            put_change("a/2", "1", one),
        ]
    );
    let second = next_commit(&mut watch).await;
    assert_eq!(
        second,
        Commit {
            revision: three,
            changes: vec![put_change("a/1", "3", three)]
        }
    );
}

pub async fn a_watch_goes_on_from_a_listing_without_gap_or_repeat<F: Fixture>(f: F) {
    const WRITERS: usize = 4;
    const COMMITS: usize = 40;
    let store = f.store();
    let epoch = holder(&store).await;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let (store, epoch) = (store.clone(), epoch.clone());
        writers.spawn(async move {
            let mut revisions = Vec::new();
            for n in 0..COMMITS {
                let mut ops = vec![
                    put(&format!("t/{writer}/{}", n % 5), &n.to_string()),
                    put("t/last", &format!("{writer}/{n}")),
                ];
                if n % 3 == 0 {
                    ops.push(delete(&format!("t/{writer}/{}", (n + 1) % 5)));
                }
                revisions.push(write(&store, &epoch, ops).await);
            }
            revisions
        });
    }
    // Watchers that begin while the writers write.
    let mut watchers = tokio::task::JoinSet::new();
    let end = WRITERS * COMMITS;
    for _ in 0..3 {
        tokio::task::yield_now().await;
        let store = store.clone();
        watchers.spawn(async move {
            let listing = store.list("t/").await.expect("a listing");
            let mut tree: BTreeMap<String, Item> = listing
                .items
                .into_iter()
                .map(|item| (item.key.clone(), item))
                .collect();
            let from = listing.revision;
            let mut watch = store.watch("t/", from).await.expect("a watch");
            let mut revisions = Vec::new();
            while !tree.contains_key("t/end") {
                let commit = next_commit(&mut watch).await;
                revisions.push(commit.revision);
                for change in commit.changes {
                    match change {
                        Change::Put(item) => {
                            assert_eq!(item.revision, commit.revision);
                            tree.insert(item.key.clone(), item);
                        }
                        Change::Delete(key) => {
                            assert!(tree.remove(&key).is_some(), "{key} was not there");
                        }
                    }
                }
            }
            (from, revisions, tree)
        });
    }
    let mut committed: Vec<Revision> = writers.join_all().await.into_iter().flatten().collect();
    committed.push(write(&store, &epoch, vec![put("t/end", "1")]).await);
    committed.sort_unstable();
    let distinct: BTreeSet<&Revision> = committed.iter().collect();
    assert_eq!(distinct.len(), end + 1, "every commit has its own revision");
    let listed = store.list("t/").await.expect("a listing").items;
    for (from, revisions, tree) in watchers.join_all().await {
        let due: Vec<Revision> = committed.iter().copied().filter(|r| *r > from).collect();
        assert_eq!(revisions, due);
        assert!(tree.into_values().eq(listed.iter().cloned()));
    }
}

pub async fn a_watch_from_before_what_is_known_is_told_to_list_again<F: Fixture>(f: F) {
    let store = f.store();
    let epoch = holder(&store).await;
    let first = write(&store, &epoch, vec![put("a", "1")]).await;
    for n in 0..5 {
        write(&store, &epoch, vec![put("a", &n.to_string())]).await;
    }
    drop(store);
    let f = f.forget().await;
    let store = f.store();
    let mut watch = store.watch("", first).await.expect("a watch");
    assert_eq!(next(&mut watch).await, Some(WatchEvent::Compacted));
    assert_eq!(next(&mut watch).await, None, "it ends with that");
    // What the message asks for works.
    let listing = store.list("").await.expect("a listing");
    let mut watch = store.watch("", listing.revision).await.expect("a watch");
    let epoch = holder(&store).await;
    let last = write(&store, &epoch, vec![put("a", "z")]).await;
    assert_eq!(next_commit(&mut watch).await.revision, last);
}

pub async fn a_removal_at_the_edge_of_what_is_known_is_never_passed_over<F: Fixture>(f: F) {
    let store = f.store();
    let epoch = holder(&store).await;
    write(&store, &epoch, vec![put("a", "1"), put("b", "1")]).await;
    let seen = write(&store, &epoch, vec![put("b", "2")]).await;
    let removed = write(&store, &epoch, vec![delete("a"), put("b", "3")]).await;
    drop(store);
    let f = f.forget().await;
    let store = f.store();
    let mut watch = store.watch("", seen).await.expect("a watch");
    match next(&mut watch).await {
        Some(WatchEvent::Compacted) => {}
        Some(WatchEvent::Commit(commit)) => {
            let whole = [
                Change::Delete("a".to_owned()),
                put_change("b", "3", removed),
            ];
            assert_eq!(commit.changes, whole);
        }
        None => panic!("the watch ended"),
    }
    // Who has seen the removal goes on.
    let mut watch = store.watch("", removed).await.expect("a watch");
    let epoch = holder(&store).await;
    let last = write(&store, &epoch, vec![put("c", "1")]).await;
    assert_eq!(next_commit(&mut watch).await.revision, last);
}

pub async fn a_watch_from_a_revision_that_is_not_yet_is_told_to_list_again<F: Fixture>(f: F) {
    let store = f.store();
    let epoch = holder(&store).await;
    let last = write(&store, &epoch, vec![put("a", "1")]).await;
    let mut watch = store.watch("", last + 1000).await.expect("a watch");
    assert_eq!(next(&mut watch).await, Some(WatchEvent::Compacted));
}

pub async fn writers_that_compare_and_set_lose_no_update<F: Fixture>(f: F) {
    const WRITERS: usize = 4;
    const STEPS: usize = 15;
    let store = f.store();
    let epoch = holder(&store).await;
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..WRITERS {
        let (store, epoch) = (store.clone(), epoch.clone());
        writers.spawn(async move {
            let mut steps = 0;
            while steps < STEPS {
                let items = store.list("counter").await.expect("a listing").items;
                let (guard, value) = match items.first() {
                    None => (absent("counter"), 0),
                    Some(item) => {
                        let text = std::str::from_utf8(&item.value).expect("text");
                        let value: usize = text.parse().expect("a number");
                        (unchanged("counter", item.revision), value)
                    }
                };
                let ops = vec![put("counter", &(value + 1).to_string())];
                match store.commit(&epoch, &[guard], ops).await {
                    Ok(_) => steps += 1,
                    Err(StoreError::Conflict { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        });
    }
    writers.join_all().await;
    let total = (WRITERS * STEPS).to_string();
    assert_eq!(texts(&store, "").await, pairs(&[("counter", &total)]));
}

pub async fn what_was_written_outlives_a_reopening<F: Fixture>(f: F) {
    if !F::DURABLE {
        return;
    }
    let store = f.store();
    let old = holder(&store).await;
    let held = holder(&store).await;
    write(&store, &held, vec![put("a", "1"), put("b", "1")]).await;
    let last = write(&store, &held, vec![delete("b"), put("c", "2")]).await;
    let before = store.list("").await.expect("a listing");
    drop(store);

    let f = f.reopen().await;
    let store = f.store();
    assert_eq!(store.list("").await.expect("a listing"), before);
    let refused = store.commit(&old, &[], vec![put("a", "2")]).await;
    assert!(
        matches!(
            refused,
            Err(StoreError::Superseded {
                held: 2,
                ours: 1,
                ..
            })
        ),
        "{refused:?}"
    );
    let next = write(&store, &held, vec![put("a", "2")]).await;
    assert!(next > last, "revisions never fall");
    assert_eq!(holder(&store).await.number, 3);
}
