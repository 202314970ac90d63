//! Commits that are large, refused or lost, and controllers that are superseded, cancelled or closed.

use super::*;

#[tokio::test(start_paused = true)]
async fn books_of_more_instances_than_one_commit_takes_are_written_all_the_same() {
    let f = fixture().await;
    let agent = f.obedient_agent();
    let mut txn = Txn::new(&f.agent);
    let names: Vec<String> = (0..80).map(|n| format!("i{n}")).collect();
    for name in &names {
        let key = keys::instance(&default(), &name.as_str().into());
        txn = txn.put_json(key, &instance(name));
    }
    txn.commit(&f.store).await.expect("commit");
    f.controller
        .set_desired(folder(&[("web", 81, task_spec("a"))]));
    f.pass(60).await;
    assert!(f.steady("web"));
    let booked = || {
        let state = f.view.read();
        let entries = state.instances.values();
        let held = entries.map(|e| e.reserved.as_ref().map_or(0, |r| r.0.len()));
        held.sum::<usize>()
    };
    assert_eq!(booked(), 81, "one on each");
    f.controller
        .set_desired(folder(&[("web", 0, task_spec("a"))]));
    f.pass(60).await;
    assert_eq!(booked(), 0);
    agent.abort();
}

#[tokio::test(start_paused = true)]
async fn a_controller_whose_epoch_is_over_stops_with_an_error() {
    let f = fixture().await;
    f.pass(1).await;
    f.store.acquire("controller").await.expect("acquire");
    f.controller
        .set_desired(folder(&[("web", 1, task_spec("a"))]));
    let ended = f.running.await.expect("no panic");
    assert!(
        matches!(ended, Err(ControllerError::Superseded(_))),
        "{ended:?}"
    );
    f.cancel.cancel();
}

#[tokio::test(start_paused = true)]
async fn a_controller_that_is_cancelled_ends_without_an_error() {
    let f = fixture().await;
    f.cancel.cancel();
    assert!(f.running.await.expect("no panic").is_ok());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_removed_before_the_folder_was_read() {
    let f = fixture().await;
    let agent = f.obedient_agent();
    f.controller
        .set_desired(folder(&[("web", 2, task_spec("a"))]));
    f.pass(60).await;
    f.running.abort();
    let revision = f.revision();
    let epoch = f.store.acquire("controller").await.expect("acquire");
    let next = Controller::new(
        Arc::clone(&f.store),
        Arc::clone(&f.view),
        epoch,
        Arc::clone(&f.clock),
        SeededIds::new(8),
    );
    let running = tokio::spawn({
        let (next, cancel) = (Arc::clone(&next), f.cancel.clone());
        async move { next.run(cancel).await }
    });
    f.pass(600).await;
    assert_eq!(f.revision(), revision);
    next.set_desired(folder(&[("web", 2, task_spec("a"))]));
    f.pass(600).await;
    assert_eq!(
        f.revision(),
        revision,
        "and the same folder changes nothing"
    );
    running.abort();
    agent.abort();
}

/// Refuses most commits, and says of some that it does not know.
#[derive(Debug)]
struct Flaky {
    inner: SharedStore,
    calls: AtomicU32,
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
        let lost = |maybe_applied| StoreError::Unavailable {
            operation: "commit",
            message: "no route".to_owned(),
            maybe_applied,
        };
        if epoch.name != "controller" {
            return self.inner.commit(epoch, guards, ops).await;
        }
        match self.calls.fetch_add(1, Ordering::SeqCst) % 3 {
            0 => Err(lost(false)),
            1 => {
                self.inner.commit(epoch, guards, ops).await?;
                Err(lost(true))
            }
            _ => self.inner.commit(epoch, guards, ops).await,
        }
    }

    async fn list(&self, prefix: &str) -> Result<Listing, StoreError> {
        self.inner.list(prefix).await
    }

    async fn watch(&self, prefix: &str, after: Revision) -> Result<Watch, StoreError> {
        self.inner.watch(prefix, after).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_and_loses_replies_gets_no_task_twice() {
    let store = Arc::new(Flaky {
        inner: Memory::new(),
        calls: AtomicU32::new(0),
    });
    let f = fixture_on(store).await;
    let agent = f.obedient_agent();
    f.controller.set_desired(folder(&[
        ("web", 5, task_spec("a")),
        ("api", 5, with_port(task_spec("b"), None)),
    ]));
    f.pass(120).await;
    assert!(f.steady("web") && f.steady("api"));
    assert_eq!(f.view.read().tasks.len(), 10);
    f.controller
        .set_desired(folder(&[("web", 5, task_spec("c"))]));
    f.pass(300).await;
    assert!(f.steady("web"));
    assert_eq!(f.wanted("web").len(), 5);
    assert!(f.wanted("api").is_empty());
    agent.abort();
}

#[tokio::test(start_paused = true)]
async fn nothing_is_decided_about_a_closed_cluster_until_it_opens() {
    let f = fixture().await;
    let _agent = f.obedient_agent();
    f.controller.set_closed([default()].into());
    f.controller
        .set_desired(folder(&[("web", 2, task_spec("a"))]));
    f.pass(60).await;
    assert!(
        f.wanted("web").is_empty(),
        "it is not known what runs there"
    );
    f.controller.set_closed([].into());
    f.pass(60).await;
    assert_eq!(f.wanted("web").len(), 2);

    f.controller.set_closed([default()].into());
    f.pass(1).await;
    f.controller
        .set_desired(folder(&[("web", 5, task_spec("a"))]));
    f.pass(60).await;
    assert_eq!(f.wanted("web").len(), 2);
    f.controller.set_closed([].into());
    f.pass(60).await;
    assert_eq!(
        f.wanted("web").len(),
        5,
        "what happened meanwhile is made up for"
    );
}
