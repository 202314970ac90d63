//! One suite that holds every store to the contract of `longshore::store`.
//!
//! Each store brings a [`Fixture`]; each case of [`cases`] is a sentence about the contract. The memory store and the file
//! store run each case as a test of its own; etcd runs them all in one test, on one server.

#[macro_use]
mod cases;
mod model;

mod etcd;
mod etcd_leads;
#[path = "../common/etcd.rs"]
mod server;

use std::sync::Arc;

use longshore::store::{Memory, Redb, SharedStore};

/// A store under test.
trait Fixture: Sized + Send {
    /// Whether what was written outlives a reopening.
    const DURABLE: bool;

    /// An empty store.
    async fn fresh() -> Self;

    /// The store.
    fn store(&self) -> SharedStore;

    /// Closes the store and opens it again. Whoever holds it must have let go.
    async fn reopen(self) -> Self;

    /// Makes the store forget the commits so far, for watches.
    async fn forget(self) -> Self;
}

struct InMemory(Arc<Memory>);

impl Fixture for InMemory {
    const DURABLE: bool = false;

    async fn fresh() -> Self {
        Self(Memory::new())
    }

    fn store(&self) -> SharedStore {
        Arc::clone(&self.0) as SharedStore
    }

    async fn reopen(self) -> Self {
        self
    }

    async fn forget(self) -> Self {
        self.0.compact();
        self
    }
}

struct InFile {
    directory: tempfile::TempDir,
    store: Arc<Redb>,
}

impl Fixture for InFile {
    const DURABLE: bool = true;

    async fn fresh() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let store = Redb::open(directory.path()).await.expect("a new store");
        Self { directory, store }
    }

    fn store(&self) -> SharedStore {
        Arc::clone(&self.store) as SharedStore
    }

    async fn reopen(self) -> Self {
        let Self { directory, store } = self;
        assert_eq!(
            Arc::strong_count(&store),
            1,
            "somebody still holds the store"
        );
        drop(store);
        let store = Redb::open(directory.path()).await.expect("the same store");
        Self { directory, store }
    }

    async fn forget(self) -> Self {
        self.reopen().await
    }
}

/// One case as a test of its own.
macro_rules! test_of {
    ($fixture:ty, $case:ident) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            crate::cases::$case(<$fixture as crate::Fixture>::fresh().await).await;
        }
    };
}

mod memory {
    all_cases!(test_of, crate::InMemory);
}

mod file {
    all_cases!(test_of, crate::InFile);
}
