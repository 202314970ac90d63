//! The file store on a disk that loses power, fails and fills up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;

use super::disk::SimDisk;
use super::*;
use crate::clock::{IdGen, SeededIds};
use crate::store::{Change, Commit, SharedStore, WatchEvent};

impl SimDisk {
    /// The store on it, with a thread of its own as in the product.
    async fn store(&self) -> Result<Arc<Redb>, StoreError> {
        let path = PathBuf::from("disk");
        Redb::open_storage(Box::new(self.clone()), path, Capacity::default()).await
    }
}

/// What a history of commits was told. Commit `n` writes `n` to `all/<n>`, and to two keys that must always agree.
#[derive(Debug, Default)]
struct Told {
    begun: u64,
    committed: BTreeMap<u64, Revision>,
    epoch: u64,
}

impl Told {
    fn ops(n: u64) -> Vec<Op> {
        let value = n.to_string().repeat(1 + (n as usize * 97) % 900);
        [
            format!("all/{n:06}"),
            format!("left/{}", n % 7),
            format!("right/{}", n % 7),
        ]
        .into_iter()
        .map(|key| Op::Put(key, value.clone().into_bytes()))
        .collect()
    }

    /// Commits, several at once, until `rounds` are done or the store fails.
    async fn commit(&mut self, store: &Redb, rounds: u64) -> Result<(), StoreError> {
        let epoch = store.acquire("controller").await?;
        assert!(epoch.number > self.epoch, "an epoch was given twice");
        self.epoch = epoch.number;
        for round in 0..rounds {
            let numbers: Vec<u64> = (0..=round % 3).map(|n| self.begun + n).collect();
            self.begun += numbers.len() as u64;
            let commits = numbers
                .iter()
                .map(|n| store.commit(&epoch, &[], Self::ops(*n)));
            let results = futures_util::future::join_all(commits).await;
            for (n, result) in numbers.into_iter().zip(results) {
                self.committed.insert(n, result?);
            }
        }
        Ok(())
    }

    /// Everything that was answered is there, nothing is there by half, nothing is there that was never asked.
    async fn check(&self, store: &Redb, context: &str) {
        let listing = store.list("").await.expect("a listing");
        let items: BTreeMap<&str, (&[u8], Revision)> = listing
            .items
            .iter()
            .map(|item| (item.key.as_str(), (item.value.as_slice(), item.revision)))
            .collect();
        for (n, revision) in &self.committed {
            let found = items.get(format!("all/{n:06}").as_str());
            let found = found.map(|(_, revision)| revision);
            assert_eq!(found, Some(revision), "{context}: commit {n} was lost");
        }
        for n in 0..7 {
            let left = items.get(format!("left/{n}").as_str());
            let right = items.get(format!("right/{n}").as_str());
            assert_eq!(left, right, "{context}: half a commit");
        }
        let mut revisions: Vec<Revision> = Vec::new();
        for (key, (_, revision)) in &items {
            if let Some(n) = key.strip_prefix("all/") {
                let n: u64 = n.parse().expect("a number");
                assert!(n < self.begun, "{context}: {n} was never written");
                revisions.push(*revision);
            }
        }
        revisions.sort_unstable();
        let every: Vec<Revision> = (1..=listing.revision).collect();
        assert_eq!(revisions, every, "{context}: a revision without its commit");
    }
}

/// How many histories the power-cut test runs; `LONGSHORE_SEEDS` asks for more.
fn seeds() -> u64 {
    std::env::var("LONGSHORE_SEEDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(60)
}

#[tokio::test]
async fn a_power_cut_at_any_moment_loses_nothing_committed_and_leaves_nothing_half() {
    let mut cuts_while_committing = 0;
    for seed in 0..seeds() {
        let random = SeededIds::new(seed);
        let machine = SimDisk::new(Arc::clone(&random));
        let mut told = Told::default();
        for boot in 0..4 {
            let context = format!("seed {seed}, boot {boot}");
            {
                let mut disk = machine.disk();
                disk.cut_at = Some(disk.changes + 1 + random.bits() % 90);
            }
            if let Ok(store) = machine.store().await
                && told.commit(&store, 12).await.is_err()
            {
                cuts_while_committing += 1;
            }
            machine.lose_power([0, 64, 128, 256][(random.bits() % 4) as usize]);
            let store = machine.store().await.expect(&context);
            told.check(&store, &context).await;
        }
    }
    assert!(cuts_while_committing > 0, "no cut came while it mattered");
}

#[tokio::test]
async fn after_any_failed_change_the_answer_is_true_and_the_store_goes_on() {
    let mut failures = 0;
    for nth in 1..60 {
        let machine = SimDisk::new(SeededIds::new(nth));
        let store = machine.store().await.expect("a new store");
        let epoch = store.acquire("controller").await.expect("an epoch");
        let mut told = Told {
            epoch: epoch.number,
            ..Told::default()
        };
        let mut watch = store.watch("", 0).await.expect("a watch");
        {
            let mut disk = machine.disk();
            disk.fail_at = Some(disk.changes + nth);
        }
        for n in 0..8 {
            told.begun += 1;
            match store.commit(&epoch, &[], Told::ops(n)).await {
                Ok(revision) => {
                    told.committed.insert(n, revision);
                }
                Err(StoreError::Unavailable { maybe_applied, .. }) => {
                    failures += 1;
                    let found = store.list(&format!("all/{n:06}")).await.expect("a listing");
                    let applied = !found.items.is_empty();
                    assert!(
                        maybe_applied || !applied,
                        "change {nth}: it said it was not there"
                    );
                }
                Err(error) => panic!("change {nth}: {error}"),
            }
        }
        let context = format!("change {nth} fails");
        told.check(&store, &context).await;
        assert!(told.committed.len() >= 7, "{context}: it did not go on");
        assert_watch_is_true(&mut watch, &store, &context).await;
        // What was promised is on the disk, not only in its cache.
        drop(store);
        machine.lose_power(0);
        let store = machine.store().await.expect(&context);
        told.check(&store, &context).await;
    }
    assert!(failures > 20, "only {failures} changes failed");
}

/// The watch delivered every revision up to now, or was told to list again.
async fn assert_watch_is_true(watch: &mut Watch, store: &Redb, context: &str) {
    let newest = store.list("").await.expect("a listing").revision;
    for due in 1..=newest {
        let next = tokio::time::timeout(Duration::from_secs(30), watch.next());
        match next.await.expect(context) {
            Some(Ok(WatchEvent::Commit(Commit { revision, changes }))) => {
                assert_eq!(revision, due, "{context}");
                assert!(matches!(&changes[..], [Change::Put(_), ..]), "{context}");
            }
            Some(Ok(WatchEvent::Compacted)) => return,
            other => panic!("{context}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_full_disk_refuses_writes_and_serves_again_when_there_is_room() {
    let machine = SimDisk::new(SeededIds::new(1));
    let store = machine.store().await.expect("a new store");
    let shared: SharedStore = Arc::clone(&store) as SharedStore;
    let epoch = shared.acquire("controller").await.expect("an epoch");
    let big = |n: u64| vec![Op::Put(format!("big/{n}"), vec![n as u8; 300_000])];
    let first = shared.commit(&epoch, &[], big(0)).await.expect("room");
    {
        let mut disk = machine.disk();
        disk.capacity = disk.seen.len();
    }
    let mut kept = 1;
    let refused = loop {
        match shared.commit(&epoch, &[], big(kept)).await {
            Ok(_) => kept += 1,
            Err(error) => break error,
        }
        assert!(kept < 50, "the disk never filled up");
    };
    assert!(
        matches!(&refused, StoreError::Unavailable { maybe_applied: false, message, .. } if message.contains("disk")),
        "{refused:?}"
    );
    for _ in 0..3 {
        let again = shared.commit(&epoch, &[], big(kept)).await;
        assert!(again.is_err(), "{again:?}");
        let listing = shared.list("").await.expect("reading goes on");
        assert_eq!(listing.items.len() as u64, kept);
    }
    machine.disk().capacity = usize::MAX;
    let last = shared.commit(&epoch, &[], big(kept)).await.expect("room");
    assert_eq!(last, first + kept);
    let mut watch = shared.watch("", first).await.expect("a watch");
    let next = watch.next().await;
    assert!(
        matches!(&next, Some(Ok(WatchEvent::Commit(commit))) if commit.revision == first + 1),
        "nothing that was refused left a trace: {next:?}"
    );
}

#[tokio::test]
async fn a_store_that_another_process_took_meanwhile_refuses_the_old_holder() {
    let machine = SimDisk::new(SeededIds::new(1));
    let ours = machine.store().await.expect("a new store");
    let epoch = ours.acquire("controller").await.expect("an epoch");
    ours.commit(&epoch, &[], Told::ops(0))
        .await
        .expect("a commit");
    let mut watch = ours.watch("", 1).await.expect("a watch");
    // Our file fails, and before we open it again somebody else has it for a while.
    {
        let mut disk = machine.disk();
        disk.fail_at = Some(disk.changes + 1);
    }
    let failed = ours.commit(&epoch, &[], Told::ops(1)).await;
    assert!(failed.is_err(), "{failed:?}");
    machine.disk().boot += 1;
    let theirs = machine.store().await.expect("their store");
    let newer = theirs.acquire("controller").await.expect("an epoch");
    theirs
        .commit(&newer, &[], Told::ops(2))
        .await
        .expect("a commit");
    drop(theirs);

    // The first attempt may only find that the file has to be opened again.
    let mut refused = ours.commit(&epoch, &[], Told::ops(3)).await;
    if matches!(refused, Err(StoreError::Unavailable { .. })) {
        refused = ours.commit(&epoch, &[], Told::ops(3)).await;
    }
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
    let told = watch.next().await;
    assert!(matches!(told, Some(Ok(WatchEvent::Compacted))), "{told:?}");
}
