//! etcd under the same suite: Debian's `etcd`, on loopback, with a directory of its own that goes with it.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use longshore::store::etcd::{FORMAT, Options};
use longshore::store::{Etcd, Op, SharedStore, Store, StoreError, Txn, View, keys};
use tokio_util::sync::CancellationToken;

use crate::{Fixture, cases};

/// One test at a time: the fixtures find their server by what stands in `ENDPOINT`, and tests are threads of one process.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Where the server of the running test is.
static ENDPOINT: Mutex<String> = Mutex::new(String::new());

fn endpoint() -> String {
    ENDPOINT
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone()
}

/// A running etcd; killed when it is dropped.
struct Server {
    program: PathBuf,
    ports: (u16, u16),
    directory: tempfile::TempDir,
    child: Child,
    _turn: tokio::sync::MutexGuard<'static, ()>,
}

impl Server {
    /// `None`, and a line that says so, where there is no etcd; a failure where it must be there.
    async fn start() -> Option<Self> {
        let turn = TURN.lock().await;
        let Some(program) = program() else {
            let ci = std::env::var_os("CI").is_some_and(|value| value == "true");
            assert!(!ci, "CI=true, but there is no etcd: install etcd-server");
            eprintln!("not run: there is no etcd in PATH (Debian: apt install etcd-server)");
            return None;
        };
        let directory = tempfile::tempdir().expect("a directory");
        // Somebody else may take a port between our looking and etcd's binding.
        for _ in 0..10 {
            let ports = (free_port(), free_port());
            if let Some(child) = spawn(&program, ports, &directory) {
                *ENDPOINT.lock().unwrap_or_else(PoisonError::into_inner) =
                    format!("http://127.0.0.1:{}", ports.0);
                return Some(Self {
                    program,
                    ports,
                    directory,
                    child,
                    _turn: turn,
                });
            }
        }
        panic!("etcd did not start");
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn start_again(&mut self) {
        self.child = spawn(&self.program, self.ports, &self.directory).expect("etcd starts again");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|directory| directory.join("etcd"))
        .find(|program| program.is_file())
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

/// `None` when etcd ends before it serves.
fn spawn(program: &PathBuf, ports: (u16, u16), directory: &tempfile::TempDir) -> Option<Child> {
    let client = format!("http://127.0.0.1:{}", ports.0);
    let peer = format!("http://127.0.0.1:{}", ports.1);
    let mut child = Command::new(program)
        .arg("--data-dir")
        .arg(directory.path())
        .args(["--listen-client-urls", &client])
        .args(["--advertise-client-urls", &client])
        .args(["--listen-peer-urls", &peer])
        .args(["--initial-advertise-peer-urls", &peer])
        .args(["--initial-cluster", &format!("default={peer}")])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("etcd runs");
    let mut lines = BufReader::new(child.stderr.take().expect("its log")).lines();
    let serves = lines.by_ref().map_while(Result::ok).any(|line| {
        line.contains("ready to serve client requests")
            || line.contains("serving insecure client requests")
    });
    if serves {
        // Its log has to be read to the end, or etcd would one day wait for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        return Some(child);
    }
    let _ = child.kill();
    let _ = child.wait();
    None
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
            endpoints: vec![endpoint()],
            prefix: format!("longshore-test/{n}/"),
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

    server.kill();
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
    server.start_again();
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
