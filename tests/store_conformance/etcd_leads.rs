//! What only etcd has: leaders that fence each other, answers that get lost, TLS, users, and its own refusals.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use longshore::model::Timestamp;
use longshore::store::etcd::lead::Standing;
use longshore::store::etcd::{Candidate, Options, Session, TlsFiles, User};
use longshore::store::{Epoch, Etcd, Guard, Op, Store, StoreError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;

use crate::cases::put;
use crate::server::Server;

const TTL: Duration = Duration::from_secs(5);
const SOON: Duration = Duration::from_secs(5);

fn at(endpoint: &str) -> Options {
    Options::parse(&format!("etcd://{endpoint}/test")).expect("an address")
}

fn candidate(id: &str) -> Candidate {
    Candidate {
        id: id.to_owned(),
        name: format!("process {id}"),
        folder: "/srv".to_owned(),
        since: Timestamp::from_millis(1),
    }
}

async fn lead(etcd: &Arc<Etcd>, id: &str) -> Option<Session> {
    etcd.lead(&candidate(id), TTL).await.expect("etcd answers")
}

async fn write(etcd: &Etcd, epoch: &Epoch, value: &str) -> Result<u64, StoreError> {
    etcd.commit(epoch, &[], vec![put("a", value)]).await
}

fn is_deposed<T: std::fmt::Debug>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::Superseded { name, .. }) if name == "leader")
}

#[tokio::test]
async fn one_leads_and_whoever_led_before_can_neither_write_nor_acquire() {
    let Some(server) = Server::start() else {
        return;
    };
    let etcd = Etcd::connect(at(&server.endpoint()))
        .await
        .expect("a store");
    assert_eq!(etcd.leader().await.expect("an answer"), None);
    let first = lead(&etcd, "one").await.expect("nobody leads");
    assert!(lead(&etcd, "two").await.is_none(), "one does");
    let leader = etcd.leader().await.expect("an answer").expect("one");
    assert_eq!(
        (leader.candidate.id.as_str(), leader.term),
        ("one", first.term())
    );
    let epoch = first.store().acquire("controller").await.expect("an epoch");
    write(first.store(), &epoch, "1")
        .await
        .expect("the leader writes");
    let kept = first.keep_alive(SOON).await.expect("an answer");
    assert_eq!(kept, Standing::Alive);

    // Its session is over, as if it had been held up; nobody else leads yet.
    let waiting = {
        let etcd = Arc::clone(&etcd);
        let term = first.term();
        tokio::spawn(async move { etcd.until_leaderless(term).await })
    };
    first.resign().await;
    waiting.await.expect("no panic").expect("it is told");
    assert_eq!(
        first.keep_alive(SOON).await.expect("an answer"),
        Standing::Gone
    );
    assert!(is_deposed(&write(first.store(), &epoch, "2").await));
    assert!(is_deposed(&first.store().acquire("agent").await));

    let second = lead(&etcd, "two").await.expect("nobody leads");
    assert!(second.term() > first.term());
    assert!(is_deposed(&write(first.store(), &epoch, "3").await));
    assert!(is_deposed(&first.store().acquire("controller").await));
    assert!(!first.leads().await.expect("an answer"));
    // Giving up what is somebody else's takes nothing from them.
    first.resign().await;
    assert!(second.leads().await.expect("an answer"));
    let listed = etcd.list("").await.expect("a listing");
    assert_eq!(listed.items[0].value, b"1");
}

#[tokio::test]
async fn a_leader_that_is_no_more_loses_the_lead_within_its_sessions_time() {
    let Some(server) = Server::start() else {
        return;
    };
    let etcd = Etcd::connect(at(&server.endpoint()))
        .await
        .expect("a store");
    let silent = etcd.lead(&candidate("one"), Duration::from_secs(2)).await;
    let silent = silent.expect("an answer").expect("nobody leads");
    let told = tokio::time::timeout(SOON * 6, etcd.until_leaderless(silent.term()));
    told.await.expect("in time").expect("it is told");
    assert!(lead(&etcd, "two").await.is_some());
}

/// Passes requests on to etcd; an answer to one that it is told of is not brought back.
struct Proxy {
    endpoint: String,
    /// What requests of the path are to be left without an answer, once.
    lose: Arc<Mutex<Option<&'static str>>>,
    /// Transactions that reached etcd.
    txns: Arc<AtomicUsize>,
}

impl Proxy {
    async fn before(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let proxy = Self {
            endpoint: listener.local_addr().expect("an address").to_string(),
            lose: Arc::default(),
            txns: Arc::default(),
        };
        let (to, lose, txns) = (
            server.endpoint(),
            Arc::clone(&proxy.lose),
            Arc::clone(&proxy.txns),
        );
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(
                    client,
                    to.clone(),
                    Arc::clone(&lose),
                    Arc::clone(&txns),
                ));
            }
        });
        proxy
    }

    async fn lose_the_answer_to(&self, path: &'static str) {
        *self.lose.lock().await = Some(path);
    }
}

async fn carry(
    mut client: TcpStream,
    to: String,
    lose: Arc<Mutex<Option<&'static str>>>,
    txns: Arc<AtomicUsize>,
) {
    let Ok(mut etcd) = TcpStream::connect(to).await else {
        return;
    };
    let (mut up, mut down) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let mut losing = false;
    loop {
        tokio::select! {
            read = client.read(&mut up) => {
                let Ok(count @ 1..) = read else { return };
                let text = String::from_utf8_lossy(&up[..count]).into_owned();
                if text.starts_with("POST /v3/kv/txn") {
                    txns.fetch_add(1, Ordering::SeqCst);
                }
                let mut wanted = lose.lock().await;
                if wanted.is_some_and(|path| text.starts_with(&format!("POST /v3/{path} "))) {
                    *wanted = None;
                    losing = true;
                }
                if etcd.write_all(&up[..count]).await.is_err() { return; }
            }
            read = etcd.read(&mut down) => {
                let Ok(count @ 1..) = read else { return };
                // etcd has done it; the connection ends without a word.
                if losing { return; }
                if client.write_all(&down[..count]).await.is_err() { return; }
            }
        }
    }
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_made_once_and_told_as_maybe_applied() {
    let Some(server) = Server::start() else {
        return;
    };
    let proxy = Proxy::before(&server).await;
    let etcd = Etcd::connect(at(&proxy.endpoint)).await.expect("a store");
    let epoch = etcd.acquire("controller").await.expect("an epoch");
    let before = proxy.txns.load(Ordering::SeqCst);
    proxy.lose_the_answer_to("kv/txn").await;
    let guards = [Guard::Absent("a".to_owned())];
    let commit = || etcd.commit(&epoch, &guards, vec![put("a", "1"), put("n", "1")]);
    let lost = commit().await;
    assert!(
        matches!(
            lost,
            Err(StoreError::Unavailable {
                maybe_applied: true,
                ..
            })
        ),
        "{lost:?}"
    );
    assert_eq!(
        proxy.txns.load(Ordering::SeqCst),
        before + 1,
        "it is not sent again"
    );
    let listed = etcd.list("").await.expect("a listing");
    assert_eq!(listed.items.len(), 2, "etcd had done it");
    // Whoever decides it again, on the same grounds, is told that they hold no more.
    let again = commit().await;
    assert!(
        matches!(&again, Err(StoreError::Conflict { key }) if key == "a"),
        "{again:?}"
    );
    assert_eq!(etcd.list("").await.expect("a listing").items, listed.items);
}

#[tokio::test]
async fn a_lead_or_an_epoch_whose_answer_is_lost_is_had_once() {
    let Some(server) = Server::start() else {
        return;
    };
    let proxy = Proxy::before(&server).await;
    let etcd = Etcd::connect(at(&proxy.endpoint)).await.expect("a store");
    proxy.lose_the_answer_to("kv/txn").await;
    let session = lead(&etcd, "one").await.expect("it leads all the same");
    assert!(session.leads().await.expect("an answer"));
    proxy.lose_the_answer_to("kv/txn").await;
    let lost = session.store().acquire("controller").await;
    assert!(
        matches!(lost, Err(StoreError::Unavailable { .. })),
        "{lost:?}"
    );
    let epoch = session
        .store()
        .acquire("controller")
        .await
        .expect("an epoch");
    assert_eq!(epoch.number, 2, "the first one was given, and is nobody's");
    write(session.store(), &epoch, "1")
        .await
        .expect("it writes");
}

#[tokio::test]
async fn an_endpoint_that_is_away_is_passed_over() {
    let Some(server) = Server::start() else {
        return;
    };
    // Nobody listens on a port that was given back.
    let free = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let dead = free.local_addr().expect("an address");
    drop(free);
    let etcd = Etcd::connect(at(&format!("{dead},{}", server.endpoint()))).await;
    let etcd = etcd.expect("the other one answers");
    etcd.acquire("controller").await.expect("an epoch");
    let nobody = Etcd::connect(at(&dead.to_string())).await.map(|_| ());
    let text = nobody.expect_err("nobody answers").to_string();
    assert!(
        text.contains(&dead.to_string()) && text.contains("refused"),
        "{text}"
    );
}

fn tls(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/engine_docker/tls")
        .join(name)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tls_etcd_is_trusted_by_its_authority_only() {
    let file = |name: &str| tls(name).display().to_string();
    let (cert, key) = (file("engine.pem"), file("engine-key.pem"));
    let arguments = [format!("--cert-file={cert}"), format!("--key-file={key}")];
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let Some(server) = Server::start_with(&arguments) else {
        return;
    };
    let with = |files: TlsFiles| Options {
        tls: Some(files),
        ..at(&server.endpoint())
    };
    let ca = TlsFiles {
        ca: Some(tls("ca.pem")),
        ..TlsFiles::default()
    };
    let etcd = Etcd::connect(with(ca.clone())).await.expect("a store");
    let session = lead(&etcd, "one").await.expect("nobody leads");
    let epoch = session
        .store()
        .acquire("controller")
        .await
        .expect("an epoch");
    write(session.store(), &epoch, "1").await.expect("a commit");
    let shown = TlsFiles {
        cert: Some(tls("client.pem")),
        key: Some(tls("client-key.pem")),
        ..ca.clone()
    };
    Etcd::connect(with(shown))
        .await
        .expect("a certificate does no harm");

    let refused = async |options: Options| {
        let refused = Etcd::connect(options).await.map(|_| ());
        refused.expect_err("it is not trusted").to_string()
    };
    let unknown = refused(with(TlsFiles::default())).await;
    assert!(unknown.contains("--store-ca"), "{unknown}");
    let clear = refused(at(&server.endpoint())).await;
    assert!(clear.contains("etcds://"), "{clear}");
    let half = TlsFiles {
        cert: Some(tls("client.pem")),
        ..ca
    };
    let half = refused(with(half)).await;
    assert!(half.contains("--store-key"), "{half}");
}

#[tokio::test]
async fn an_etcd_in_clear_is_not_spoken_to_in_tls() {
    let Some(server) = Server::start() else {
        return;
    };
    let options = Options {
        tls: Some(TlsFiles {
            ca: Some(tls("ca.pem")),
            ..TlsFiles::default()
        }),
        ..at(&server.endpoint())
    };
    let refused = Etcd::connect(options).await.map(|_| ());
    let text = refused.expect_err("it speaks no TLS").to_string();
    assert!(text.contains("etcd:// and not etcds://"), "{text}");
}

#[tokio::test]
async fn a_user_writes_what_it_may_and_is_told_what_it_may_not() {
    let Some(server) = Server::start() else {
        return;
    };
    let base64 = |text: &str| {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(text)
    };
    for (path, body) in [
        (
            "auth/user/add",
            r#"{"name":"root","password":"r"}"#.to_owned(),
        ),
        (
            "auth/user/grant",
            r#"{"user":"root","role":"root"}"#.to_owned(),
        ),
        (
            "auth/user/add",
            r#"{"name":"ship","password":"s"}"#.to_owned(),
        ),
        ("auth/role/add", r#"{"name":"store"}"#.to_owned()),
        (
            "auth/role/grant",
            format!(
                r#"{{"name":"store","perm":{{"permType":"READWRITE","key":"{}","range_end":"{}"}}}}"#,
                base64("test/"),
                base64("test0")
            ),
        ),
        (
            "auth/user/grant",
            r#"{"user":"ship","role":"store"}"#.to_owned(),
        ),
        ("auth/enable", "{}".to_owned()),
    ] {
        let answer = server.post(path, &body);
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
    }
    let with = |name: &str, password: &str| Options {
        user: Some(User {
            name: name.to_owned(),
            password: password.to_owned(),
        }),
        ..at(&server.endpoint())
    };
    let etcd = Etcd::connect(with("ship", "s")).await.expect("a store");
    let session = lead(&etcd, "one").await.expect("nobody leads");
    let epoch = session
        .store()
        .acquire("controller")
        .await
        .expect("an epoch");
    write(session.store(), &epoch, "1").await.expect("a commit");
    assert_eq!(
        session.keep_alive(SOON).await.expect("an answer"),
        Standing::Alive
    );

    let refused = async |options: Options| {
        let refused = Etcd::connect(options).await.map(|_| ());
        refused.expect_err("it may not").to_string()
    };
    let nobody = refused(at(&server.endpoint())).await;
    assert!(nobody.contains("LONGSHORE_STORE_USER"), "{nobody}");
    let wrong = refused(with("ship", "wrong-secret")).await;
    assert!(
        wrong.contains("LONGSHORE_STORE_PASSWORD") && !wrong.contains("wrong-secret"),
        "{wrong}"
    );
    let elsewhere = refused(Options {
        prefix: "other/".to_owned(),
        ..with("ship", "s")
    })
    .await;
    assert!(elsewhere.contains("grant-permission"), "{elsewhere}");
}

#[tokio::test]
async fn a_full_etcd_refuses_with_what_to_do_and_certainly_did_nothing() {
    let Some(server) = Server::start_with(&["--quota-backend-bytes=2097152"]) else {
        return;
    };
    let etcd = Etcd::connect(at(&server.endpoint()))
        .await
        .expect("a store");
    let epoch = etcd.acquire("controller").await.expect("an epoch");
    for n in 0..40 {
        let value = Op::Put(format!("k{n}"), vec![b'x'; 200_000]);
        match etcd.commit(&epoch, &[], vec![value]).await {
            Ok(_) => {}
            Err(StoreError::Unavailable {
                message,
                maybe_applied,
                ..
            }) => {
                assert!(message.contains("alarm disarm"), "{message}");
                assert!(!maybe_applied);
                etcd.list("").await.expect("it can be read");
                return;
            }
            Err(error) => panic!("{error}"),
        }
    }
    panic!("etcd was never full");
}
