//! A copy of the whole tree in memory, typed, kept up to date by listing and watching.
//!
//! Readers take [`View::read`] and look; that never waits for the store. Whoever writes waits with [`View::caught_up`]
//! until the view has seen its write before deciding again. Changes are announced on a broadcast channel as the keys that
//! were touched; they say where to look, never what happened.
//!
//! When the watch breaks (the store failed, or has forgotten the commits that were missed) the view keeps what it has, says
//! why in [`State::stale`], lists everything again and announces [`Changed::Everything`].

use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::{Notify, broadcast};
use tokio_util::sync::CancellationToken;

use super::decoded::Decoded;
use super::keys::Key;
use super::state::{InstanceKey, ServiceKey, State};
use super::{Commit, Revision, SharedStore, StoreError, WatchEvent};

/// Announcements that a slow subscriber may be behind before it is told `Lagged`.
const ANNOUNCEMENTS: usize = 4096;
/// Pause before the first retry after an error; doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What a view announces. A receiver that is told `Lagged` looks at everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// This key was written or removed.
    Key(KeyChange),
    /// The tree was listed anew: anything may have changed.
    Everything,
}

/// A key that changed, and whose business it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyChange {
    /// The key.
    pub key: Key,
    /// The commit it changed in; the view holds all of that commit.
    pub revision: Revision,
    /// The service it belongs to: its record, its events, its tasks (also a task that was just removed).
    pub service: Option<ServiceKey>,
    /// The instance it belongs to: its own parts, and the tasks placed on it.
    pub instance: Option<InstanceKey>,
}

/// The view was stopped, so it will never see that revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the view of the store was stopped")]
pub struct Stopped;

/// See the [module's documentation](self).
#[derive(Debug)]
pub struct View {
    state: RwLock<State>,
    changed: broadcast::Sender<Changed>,
    progress: Progress,
}

/// How far a view is. Those who wait go on in the order in which they came; a watch channel of tokio wakes them in a random
/// one, and a simulated run is to be a function of its seed.
#[derive(Debug, Default)]
struct Progress {
    seen: Mutex<Seen>,
    moved: Notify,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Seen {
    /// The store was not listed yet.
    #[default]
    Nothing,
    /// The state holds everything up to that revision.
    UpTo(Revision),
    /// The view has stopped.
    Stopped,
}

impl Progress {
    fn get(&self) -> Seen {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, seen: Seen) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen;
        self.moved.notify_waiters();
    }
}

impl View {
    /// Begins to follow `store` until `cancel`. It is empty until [`caught_up`](Self::caught_up) with 0 returns.
    pub fn start(store: SharedStore, cancel: CancellationToken) -> Arc<Self> {
        let view = Arc::new(Self {
            state: RwLock::default(),
            changed: broadcast::Sender::new(ANNOUNCEMENTS),
            progress: Progress::default(),
        });
        let follower = Follower {
            view: Arc::clone(&view),
            store,
        };
        tokio::spawn(async move {
            // Dropping the follower wakes everybody who waits for a revision.
            cancel.run_until_cancelled_owned(follower.run()).await;
        });
        view
    }

    /// The tree as of now. Hold it briefly and never over an await: the next commit waits for it.
    pub fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Announcements of changes from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Changed> {
        self.changed.subscribe()
    }

    /// Waits until the view holds everything up to `revision`; with 0, until it has listed the store once.
    pub async fn caught_up(&self, revision: Revision) -> Result<(), Stopped> {
        loop {
            let moved = self.progress.moved.notified();
            match self.progress.get() {
                Seen::UpTo(seen) if seen >= revision => return Ok(()),
                Seen::Stopped => return Err(Stopped),
                Seen::UpTo(_) | Seen::Nothing => moved.await,
            }
        }
    }
}

struct Follower {
    view: Arc<View>,
    store: SharedStore,
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.view.progress.set(Seen::Stopped);
    }
}

impl Follower {
    async fn run(self) {
        let mut pause = FIRST_PAUSE;
        loop {
            let before = self.view.progress.get();
            let reason = match self.follow().await {
                Ok(reason) => reason.to_owned(),
                Err(error) => error.to_string(),
            };
            if self.view.progress.get() != before {
                pause = FIRST_PAUSE;
            }
            // Once for each time that it breaks off.
            if pause == FIRST_PAUSE {
                tracing::warn!(%reason, "the store cannot be followed; listing it again");
            } else {
                tracing::debug!(%reason, "the store can still not be followed");
            }
            self.edit(|state| state.stale = Some(reason));
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Lists and watches until the watch breaks, and says why it did.
    async fn follow(&self) -> Result<&'static str, StoreError> {
        let listing = self.store.list("").await?;
        let revision = listing.revision;
        let fresh = State::of(listing);
        // The old state is dropped here, outside the lock.
        let _old = self.edit(|state| std::mem::replace(state, fresh));
        self.view.progress.set(Seen::UpTo(revision));
        let _ = self.view.changed.send(Changed::Everything);

        let mut watch = self.store.watch("", revision).await?;
        while let Some(event) = watch.next().await {
            match event? {
                WatchEvent::Commit(commit) => self.take(&commit),
                WatchEvent::Compacted => return Ok("its recent history is gone"),
            }
        }
        Ok("its watch ended")
    }

    fn take(&self, commit: &Commit) {
        let decoded: Vec<Decoded> = commit.changes.iter().filter_map(Decoded::read).collect();
        let changes: Vec<KeyChange> = self.edit(|state| {
            state.revision = commit.revision;
            decoded
                .into_iter()
                .map(|decoded| {
                    let key = decoded.key.clone();
                    let touched = state.apply(decoded);
                    KeyChange {
                        key,
                        revision: commit.revision,
                        service: touched.service,
                        instance: touched.instance,
                    }
                })
                .collect()
        });
        self.view.progress.set(Seen::UpTo(commit.revision));
        for change in changes {
            let _ = self.view.changed.send(Changed::Key(change));
        }
    }

    fn edit<T>(&self, edit: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self
            .view
            .state
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        edit(&mut state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;

    use crate::clock::{IdGen, SeededIds};
    use crate::model::{
        ClusterName, DesiredStatus, InstanceDesired, InstanceId, LastStatus, Reserved, SpecHash,
        TaskId, TaskLost, TaskProtection, TaskRecord, TaskStatus, Timestamp,
    };
    use crate::store::memory::Capacity;
    use crate::store::{Epoch, Guard, Listing, Memory, Op, Store, Txn, Watch, keys};

    fn record(id: &str, service: &str, instance: &str) -> TaskRecord {
        TaskRecord {
            id: TaskId::new(id),
            cluster: ClusterName::default(),
            instance: instance.into(),
            group: format!("service:{service}"),
            service: Some(service.into()),
            deployment: None,
            standalone: None,
            family: "web".into(),
            revision: 1,
            spec: SpecHash::new("v1-0"),
            desired: DesiredStatus::Running,
            stop: None,
            created_at: Timestamp::from_millis(1),
            dns_names: Vec::new(),
            ports: Vec::new(),
            capacity_provider: None,
            gpus: std::collections::BTreeMap::new(),
            generation: 0,
            images: BTreeMap::new(),
        }
    }

    fn task_key(id: &str) -> String {
        keys::task(&ClusterName::default(), &id.into())
    }

    fn status_key(id: &str) -> String {
        keys::task_status(&ClusterName::default(), &id.into())
    }

    fn running() -> TaskStatus {
        TaskStatus {
            last_status: LastStatus::Running,
            ..TaskStatus::default()
        }
    }

    fn ids_of(view: &View, service: &str) -> Vec<String> {
        let state = view.read();
        state
            .tasks_of_service(&ClusterName::default(), &service.into())
            .map(|(id, _)| id.to_string())
            .collect()
    }

    struct Fixture {
        store: SharedStore,
        memory: Arc<Memory>,
        epoch: Epoch,
        cancel: CancellationToken,
    }

    async fn fixture(capacity: Capacity) -> Fixture {
        let memory = Arc::new(Memory::with_capacity(capacity));
        let epoch = memory.acquire("controller").await.expect("acquire");
        Fixture {
            store: Arc::clone(&memory) as SharedStore,
            memory,
            epoch,
            cancel: CancellationToken::new(),
        }
    }

    impl Fixture {
        fn view(&self) -> Arc<View> {
            View::start(Arc::clone(&self.store), self.cancel.clone())
        }

        fn txn(&self) -> Txn {
            Txn::new(&self.epoch)
        }

        async fn commit(&self, txn: Txn) -> Revision {
            txn.commit(&self.store).await.expect("commit")
        }

        async fn put_raw(&self, key: String, value: &str) -> Revision {
            let ops = vec![Op::Put(key, value.into())];
            self.memory
                .commit(&self.epoch, &[], ops)
                .await
                .expect("commit")
        }
    }

    #[tokio::test(start_paused = true)]
    async fn tasks_that_were_given_up_are_found_by_their_instance_for_as_long_as_they_are() {
        let f = fixture(Capacity::default()).await;
        let view = f.view();
        let lost_key = |id: &str| keys::task_lost(&ClusterName::default(), &id.into());
        let lost = TaskLost {
            at: Timestamp::from_millis(2),
            reason: "gone".to_owned(),
        };
        let found = |instance: &str| -> Vec<String> {
            let state = view.read();
            state
                .lost_tasks_of_instance(&ClusterName::default(), &instance.into())
                .map(|(id, _)| id.to_string())
                .collect()
        };
        // One is lost before its record is seen.
        f.commit(f.txn().put_json(lost_key("a"), &lost)).await;
        let mut txn = f.txn();
        for (id, instance) in [("a", "one"), ("b", "one"), ("c", "two")] {
            txn = txn.put_json(task_key(id), &record(id, "web", instance));
        }
        let revision = f.commit(txn.put_json(lost_key("b"), &lost)).await;
        view.caught_up(revision).await.expect("running");
        assert_eq!(found("one"), ["a", "b"]);
        assert!(found("two").is_empty());
        let revision = f
            .commit(f.txn().delete(lost_key("a")).delete(task_key("b")))
            .await;
        view.caught_up(revision).await.expect("running");
        assert!(found("one").is_empty());
    }

    #[tokio::test]
    async fn a_view_holds_what_was_there_and_what_comes_after() {
        let f = fixture(Capacity::default()).await;
        let first = record("a", "web", "one");
        f.commit(f.txn().put_json(task_key("a"), &first)).await;
        let view = f.view();
        view.caught_up(0).await.expect("listed");
        assert_eq!(ids_of(&view, "web"), ["a"]);

        let mut changes = view.subscribe();
        let both = f
            .txn()
            .put_json(task_key("b"), &record("b", "web", "two"))
            .put_json(status_key("a"), &running());
        let revision = f.commit(both).await;
        view.caught_up(revision).await.expect("running");
        assert_eq!(ids_of(&view, "web"), ["a", "b"]);
        let state = view.read();
        let entry = state.task(&ClusterName::default(), &"a".into()).expect("a");
        assert_eq!(entry.status_revision(), Some(revision));
        assert_eq!(entry.record_revision(), 1);
        assert_eq!(
            state
                .tasks_of_instance(&ClusterName::default(), &"two".into())
                .count(),
            1
        );
        for id in ["a", "b"] {
            let Ok(Changed::Key(change)) = changes.try_recv() else {
                panic!("no announcement for {id}");
            };
            assert_eq!(change.revision, revision);
            assert_eq!(
                change.service,
                Some((ClusterName::default(), "web".into())),
                "{change:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_removed_task_is_announced_with_the_service_it_had() {
        let f = fixture(Capacity::default()).await;
        f.commit(
            f.txn()
                .put_json(task_key("a"), &record("a", "web", "one"))
                .put_json(status_key("a"), &running()),
        )
        .await;
        let view = f.view();
        view.caught_up(1).await.expect("listed");
        let mut changes = view.subscribe();
        let gone = f.txn().delete(task_key("a")).delete(status_key("a"));
        let revision = f.commit(gone).await;
        view.caught_up(revision).await.expect("running");
        let Ok(Changed::Key(change)) = changes.try_recv() else {
            panic!("no announcement");
        };
        assert_eq!(change.service, Some((ClusterName::default(), "web".into())));
        assert_eq!(
            change.instance,
            Some((ClusterName::default(), "one".into()))
        );
        let empty = State::of(Listing {
            items: Vec::new(),
            revision,
        });
        assert_eq!(
            *view.read(),
            empty,
            "nothing is left behind, indexes included"
        );
    }

    #[tokio::test]
    async fn a_status_waits_for_its_record() {
        let f = fixture(Capacity::default()).await;
        let view = f.view();
        let status = f
            .commit(f.txn().put_json(status_key("a"), &running()))
            .await;
        view.caught_up(status).await.expect("running");
        assert!(view.read().tasks.is_empty());
        let record = record("a", "web", "one");
        let revision = f.commit(f.txn().put_json(task_key("a"), &record)).await;
        view.caught_up(revision).await.expect("running");
        let state = view.read();
        let entry = state.task(&ClusterName::default(), &"a".into()).expect("a");
        assert_eq!(entry.status_revision(), Some(status));
    }

    #[tokio::test]
    async fn a_value_that_cannot_be_read_is_named_and_kept_out_until_it_can() {
        let f = fixture(Capacity::default()).await;
        let view = f.view();
        let good = record("a", "web", "one");
        f.commit(f.txn().put_json(task_key("a"), &good)).await;
        // A record that stands at another task's key, one that is no JSON, and a key of a later version.
        f.commit(f.txn().put_json(task_key("b"), &good)).await;
        f.put_raw("clusters/default/balloons/red".to_owned(), "{")
            .await;
        let bad = f.put_raw(task_key("a"), "{\"id\":").await;
        view.caught_up(bad).await.expect("running");
        {
            let state = view.read();
            assert!(state.tasks.is_empty());
            let corrupt: Vec<&String> = state.corrupt.keys().collect();
            assert_eq!(corrupt, [&task_key("a"), &task_key("b")]);
            assert_eq!(state.corrupt[&task_key("a")].revision, bad);
        }
        f.commit(f.txn().delete(task_key("b"))).await;
        let mended = f.commit(f.txn().put_json(task_key("a"), &good)).await;
        view.caught_up(mended).await.expect("running");
        assert_eq!(ids_of(&view, "web"), ["a"]);
        assert!(view.read().corrupt.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_view_that_was_left_behind_lists_again_and_says_so() {
        let f = fixture(Capacity {
            commits: 2,
            bytes: 1 << 20,
        })
        .await;
        let view = f.view();
        view.caught_up(0).await.expect("listed");
        let mut changes = view.subscribe();
        // This test's thread does not yield, so the view misses all but the last two.
        let mut last = 0;
        for n in 0..10 {
            let id = format!("t{n}");
            let record = record(&id, "web", "one");
            last = f.commit(f.txn().put_json(task_key(&id), &record)).await;
        }
        view.caught_up(last).await.expect("running");
        assert_eq!(ids_of(&view, "web").len(), 10);
        assert_eq!(changes.recv().await, Ok(Changed::Everything));
        assert_eq!(view.read().stale, None);
    }

    #[tokio::test]
    async fn who_waits_is_told_when_the_view_stops() {
        let f = fixture(Capacity::default()).await;
        let view = f.view();
        let waiting = tokio::spawn({
            let view = Arc::clone(&view);
            async move { view.caught_up(99).await }
        });
        view.caught_up(0).await.expect("listed");
        f.cancel.cancel();
        assert_eq!(waiting.await.expect("no panic"), Err(Stopped));
    }

    /// A random change of a small tree: tasks that move between services and instances, parts without their records,
    /// instances by parts, and values that cannot be read.
    fn any_change(txn: Txn, random: &dyn Fn(u64) -> u64) -> Txn {
        let cluster: ClusterName = ["default", "other"][random(2) as usize].into();
        let id = TaskId::new(format!("t{}", random(4)));
        let instance = InstanceId::new(format!("i{}", random(2)));
        let key = match random(7) {
            0 | 1 => keys::task(&cluster, &id),
            2 => keys::task_status(&cluster, &id),
            3 => keys::task_lost(&cluster, &id),
            4 => keys::task_protection(&cluster, &id),
            5 => keys::instance_desired(&cluster, &instance),
            _ => keys::instance_reserved(&cluster, &instance),
        };
        match random(8) {
            0..3 => return txn.delete(key),
            3 => return txn.put_json(key, "nothing that belongs here"),
            _ => {}
        }
        match Key::parse(&key) {
            Some(Key::Task(cluster, id)) => {
                let service = format!("s{}", random(2));
                let mut record = record(id.as_str(), &service, instance.as_str());
                record.cluster = cluster;
                record.service = record.service.filter(|_| random(4) > 0);
                txn.put_json(key, &record)
            }
            Some(Key::TaskStatus(..)) => txn.put_json(key, &running()),
            Some(Key::TaskLost(..)) => {
                let at = Timestamp::from_millis(1);
                let reason = "gone".to_owned();
                txn.put_json(key, &TaskLost { at, reason })
            }
            Some(Key::TaskProtection(..)) => {
                let expires_at = Timestamp::from_millis(1);
                txn.put_json(key, &TaskProtection { expires_at })
            }
            Some(Key::InstanceDesired(..)) => txn.put_json(key, &InstanceDesired::Draining),
            _ => txn.put_json(key, &Reserved::default()),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn after_any_history_a_view_is_what_a_fresh_listing_would_be() {
        for seed in 0..20 {
            let ids = SeededIds::new(seed);
            let random = |bound: u64| ids.bits() % bound;
            // Some of these views are left behind and list again.
            let capacity = Capacity {
                commits: 3 + random(20) as usize,
                bytes: 1 << 20,
            };
            let f = fixture(capacity).await;
            let view = f.view();
            view.caught_up(0).await.expect("listed");
            for _ in 0..40 {
                let mut last = 0;
                for _ in 0..=random(5) {
                    let changes = 1 + random(3);
                    let txn = (0..changes).fold(f.txn(), |txn, _| any_change(txn, &random));
                    last = f.commit(txn).await;
                }
                view.caught_up(last).await.expect("running");
                let listing = f.store.list("").await.expect("a listing");
                assert_eq!(*view.read(), State::of(listing), "seed {seed}");
            }
            f.cancel.cancel();
        }
    }

    /// Fails the first calls of each kind, and ends every watch after one message.
    #[derive(Debug)]
    struct Flaky {
        inner: Arc<Memory>,
        failures: AtomicUsize,
    }

    impl Flaky {
        fn fail(&self, operation: &'static str) -> Result<(), StoreError> {
            let left = self.failures.load(Ordering::SeqCst);
            if left == 0 {
                return Ok(());
            }
            self.failures.store(left - 1, Ordering::SeqCst);
            Err(StoreError::Unavailable {
                operation,
                message: "no route".to_owned(),
                maybe_applied: false,
            })
        }
    }

    #[async_trait]
    impl Store for Flaky {
        async fn acquire(&self, name: &str) -> Result<Epoch, StoreError> {
            self.inner.acquire(name).await
        }

        async fn commit(
            &self,
            epoch: &Epoch,
            guards: &[Guard],
            ops: Vec<Op>,
        ) -> Result<Revision, StoreError> {
            self.inner.commit(epoch, guards, ops).await
        }

        async fn list(&self, prefix: &str) -> Result<Listing, StoreError> {
            self.fail("list")?;
            self.inner.list(prefix).await
        }

        async fn watch(&self, prefix: &str, after: Revision) -> Result<Watch, StoreError> {
            self.fail("watch")?;
            let watch = self.inner.watch(prefix, after).await?;
            Ok(Box::pin(watch.take(1)))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_view_outlives_a_store_that_fails_and_says_why_it_is_behind() {
        let f = fixture(Capacity::default()).await;
        let flaky = Arc::new(Flaky {
            inner: Arc::clone(&f.memory),
            failures: AtomicUsize::new(5),
        });
        let view = View::start(Arc::clone(&flaky) as SharedStore, f.cancel.clone());
        view.caught_up(0).await.expect("running");
        let mut last = 0;
        for n in 0..5 {
            let id = format!("t{n}");
            let record = record(&id, "web", "one");
            last = f.commit(f.txn().put_json(task_key(&id), &record)).await;
            view.caught_up(last).await.expect("running");
        }
        assert_eq!(ids_of(&view, "web").len(), 5);

        flaky.failures.store(usize::MAX, Ordering::SeqCst);
        f.commit(f.txn().delete(task_key("t0"))).await;
        while view.read().stale.is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // What it knew it still knows, and it says that it may be old.
        assert!(ids_of(&view, "web").len() >= 4);
        assert!(view.read().revision >= last);
    }
}
