//! etcd under the same suite: Debian's `etcd`, on loopback, with a directory of its own that goes with it.

use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use longshore::store::etcd::{FORMAT, Options, TlsFiles};
use longshore::store::{Etcd, Op, SharedStore, Store, StoreError, Txn, View, keys};
use tokio_util::sync::CancellationToken;

use crate::server::Server as Process;
use crate::{Fixture, cases};

/// One test at a time: the fixtures find their server by what stands in `REACHED`, and tests are threads of one process.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// How the server of the running test is reached.
static REACHED: Mutex<Option<Options>> = Mutex::new(None);

fn options() -> Options {
    let reached = REACHED.lock().unwrap_or_else(PoisonError::into_inner);
    reached.clone().expect("a server runs")
}

/// The server of the running test.
struct Server {
    process: Process,
    _turn: tokio::sync::MutexGuard<'static, ()>,
}

impl Server {
    async fn start() -> Option<Self> {
        Self::start_with(&[], None).await
    }

    /// The same with these arguments, reached with these files.
    async fn start_with(arguments: &[&str], tls: Option<TlsFiles>) -> Option<Self> {
        let turn = TURN.lock().await;
        let process = Process::start_with(arguments)?;
        let options = Options {
            endpoints: vec![process.endpoint()],
            prefix: String::new(),
            tls,
            user: None,
        };
        *REACHED.lock().unwrap_or_else(PoisonError::into_inner) = Some(options);
        Some(Self {
            process,
            _turn: turn,
        })
    }
}

struct InEtcd {
    store: Arc<Etcd>,
    options: Options,
}

impl InEtcd {
    async fn connect(options: Options) -> Self {
        let store = Etcd::connect(options.clone()).await.expect("a store");
        Self { store, options }
    }
}

impl Fixture for InEtcd {
    const DURABLE: bool = true;

    async fn fresh() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let n = NEXT.fetch_add(1, Ordering::SeqCst);
        Self::connect(Options {
            prefix: format!("longshore-test/{n}/"),
            ..options()
        })
        .await
    }

    fn store(&self) -> SharedStore {
        Arc::clone(&self.store) as SharedStore
    }

    async fn reopen(self) -> Self {
        Self::connect(self.options).await
    }

    async fn forget(self) -> Self {
        let newest = self.store.list("").await.expect("a listing").revision;
        self.store.compact(newest).await.expect("compacted");
        self
    }
}

/// One case after the other, on one server.
macro_rules! in_turn {
    ($fixture:ty, $case:ident) => {
        eprintln!("etcd: {}", stringify!($case));
        cases::$case(<$fixture as Fixture>::fresh().await).await;
    };
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcd_keeps_the_contract() {
    let Some(_server) = Server::start().await else {
        return;
    };
    all_cases!(in_turn, InEtcd);
}

/// An authority, and certificates of it for etcd and its clients; `None`, said aloud, where there is no openssl (not with `CI=true`).
fn certificates() -> Option<tempfile::TempDir> {
    let directory = tempfile::tempdir().expect("a directory");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/certificates.sh");
    let made = Command::new(script)
        .arg(directory.path())
        .arg("IP:127.0.0.1")
        .status();
    if made.is_ok_and(|status| status.success()) {
        return Some(directory);
    }
    let ci = std::env::var_os("CI").is_some_and(|value| value == "true");
    assert!(
        !ci,
        "CI=true, but no certificates can be made: install openssl"
    );
    eprintln!("not run: no certificates can be made (Debian: apt install openssl)");
    None
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcd_keeps_the_contract_over_tls_to_whoever_shows_a_certificate_and_to_nobody_else() {
    let Some(directory) = certificates() else {
        return;
    };
    let path = |name: &str| directory.path().join(name);
    let text = |name: &str| path(name).display().to_string();
    let arguments = [
        format!("--cert-file={}", text("server.pem")),
        format!("--key-file={}", text("server-key.pem")),
        format!("--trusted-ca-file={}", text("ca.pem")),
        "--client-cert-auth".to_owned(),
    ];
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ca = TlsFiles {
        ca: Some(path("ca.pem")),
        ..TlsFiles::default()
    };
    let shown = TlsFiles {
        cert: Some(path("cert.pem")),
        key: Some(path("key.pem")),
        ..ca.clone()
    };
    let Some(_server) = Server::start_with(&arguments, Some(shown)).await else {
        return;
    };
    all_cases!(in_turn, InEtcd);

    let nothing_shown = Options {
        tls: Some(ca),
        ..options()
    };
    let refused = Etcd::connect(nothing_shown).await.map(|_| ());
    let said = refused.expect_err("it wants a certificate").to_string();
    assert!(said.contains("--store-cert"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_prefixes_of_one_etcd_know_nothing_of_each_other() {
    let Some(_server) = Server::start().await else {
        return;
    };
    let (one, two) = (InEtcd::fresh().await, InEtcd::fresh().await);
    let first = one.store.acquire("controller").await.expect("an epoch");
    let second = two.store.acquire("controller").await.expect("an epoch");
    assert_eq!((first.number, second.number), (1, 1));
    let ops = || vec![Op::Put("a".to_owned(), b"1".to_vec())];
    one.store
        .commit(&first, &[], ops())
        .await
        .expect("a commit");
    let other = two.store.list("").await.expect("a listing");
    assert_eq!(other.items, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_layout_in_etcd_is_refused_by_its_number() {
    let Some(_server) = Server::start().await else {
        return;
    };
    // A store inside another's tree: what is a key to the outer one is the inner one's own description.
    let InEtcd { store, mut options } = InEtcd::fresh().await;
    let epoch = store.acquire("controller").await.expect("an epoch");
    let newer = (FORMAT + 1).to_string().into_bytes();
    let ops = vec![Op::Put("format".to_owned(), newer)];
    store.commit(&epoch, &[], ops).await.expect("a commit");
    options.prefix.push_str("tree/");
    let refused = Etcd::connect(options).await.map(|_| ());
    assert!(
        matches!(refused, Err(StoreError::NewerFormat { found, known: FORMAT, .. }) if found == FORMAT + 1),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_outlives_an_etcd_that_is_killed_and_started_again() {
    let Some(mut server) = Server::start().await else {
        return;
    };
    let fixture = InEtcd::fresh().await;
    let store = fixture.store();
    let epoch = store.acquire("controller").await.expect("an epoch");
    let cancel = CancellationToken::new();
    let view = View::start(store.clone(), cancel.clone());
    let key = |n: u32| {
        keys::last_good(&keys::LastGoodKey {
            kind: "Service".to_owned(),
            cluster: None,
            name: n.to_string(),
        })
    };
    let txn = |n: u32| Txn::new(&epoch).put_json(key(n), &n);
    let first = txn(1).commit(&store).await.expect("a commit");
    view.caught_up(first).await.expect("followed");
    // A commit that changes nothing can be waited for, too.
    let nothing = Txn::new(&epoch).expect_unchanged(key(1), first);
    let checked = nothing.commit(&store).await.expect("the guard holds");
    view.caught_up(checked).await.expect("followed");

    server.process.kill();
    let lost = txn(2).commit(&store).await;
    assert!(
        matches!(lost, Err(StoreError::Unavailable { .. })),
        "{lost:?}"
    );
    assert_eq!(
        view.read().last_good.len(),
        1,
        "what was known is still known"
    );
    server.process.start_again();
    let second = loop {
        // The server may still be finding its feet.
        if let Ok(revision) = txn(3).commit(&store).await {
            break revision;
        }
        tokio::task::yield_now().await;
    };
    view.caught_up(second).await.expect("followed again");
    let names: Vec<String> = view
        .read()
        .last_good
        .keys()
        .map(|k| k.name.clone())
        .collect();
    assert_eq!(names, ["1", "3"]);
    cancel.cancel();
}
