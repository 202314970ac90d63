//! The Docker Engine's client against an engine that answers as a test says: which API version is spoken, what becomes of
//! answers that fail or never come, and how TLS and ssh carry it. What a real engine does is in `engine_conformance.rs`.

mod scripted;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use futures_util::StreamExt;
use longshore::engine::docker::{DockerEngine, Limits, Options};
use longshore::engine::endpoint::{Endpoint, SshEndpoint, TlsFiles};
use longshore::engine::{CreateBody, Engine, ErrorKind, NetworkBody, PullProgress, RegistryAuth};
use longshore::model::Timestamp;
use scripted::{Asked, Reply, ScriptedEngine};
use serde_json::json;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

/// An engine of API 1.12 to 1.41 that answers everything else by `script`.
fn engine(script: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> ScriptedEngine {
    ScriptedEngine::on_a_socket(move |asked| {
        if asked.line.ends_with("/version") {
            Reply::version("1.41", "1.12")
        } else {
            script(asked)
        }
    })
}

async fn connect(engine: &ScriptedEngine) -> DockerEngine {
    DockerEngine::connect(&engine.endpoint, Limits::default())
        .await
        .unwrap()
}

fn no_progress(_: PullProgress) {}

#[tokio::test]
async fn every_path_carries_the_newest_version_that_both_know() {
    for (newest, oldest, spoken) in [
        ("1.41", "1.12", "1.41"),
        ("1.44", "1.24", "1.44"),
        ("1.51", "1.44", "1.51"),
        ("1.99", "1.44", "1.53"),
    ] {
        let scripted = ScriptedEngine::on_a_socket(move |asked| match asked.line.as_str() {
            line if line.ends_with("/version") => Reply::version(newest, oldest),
            line if line.contains("/networks/create") => Reply::json(&json!({"Id": "n1"})),
            line if line.contains("/json") => Reply::json(&json!([])),
            line if line.contains("/volumes") => Reply::json(&json!({"Volumes": null})),
            line if line.contains("/info") => Reply::json(&json!({})),
            _ => Reply::Status(204, String::new()),
        });
        let engine = connect(&scripted).await;
        engine.list_containers(&[]).await.unwrap();
        engine.start_container("web").await.unwrap();
        engine.list_volumes(&[]).await.unwrap();
        let body = NetworkBody {
            name: "n".into(),
            ..NetworkBody::default()
        };
        assert_eq!(engine.create_network(&body).await.unwrap(), "n1");
        let asked = scripted.asked().pop().unwrap();
        assert!(String::from_utf8_lossy(&asked.body).contains("\"CheckDuplicate\":true"));
        let events = engine.events(Some(Timestamp::from_millis(1500))).await;
        assert!(events.unwrap().next().await.is_none());

        let lines = scripted.lines();
        assert_eq!(lines[0], "GET /version", "asked before anything is known");
        let prefix = format!("/v{spoken}/");
        for line in &lines[1..] {
            assert!(
                line.contains(&prefix),
                "{line} to an engine of {oldest}–{newest}"
            );
        }
        assert!(
            lines.last().unwrap().ends_with("/events?since=1.500000000"),
            "{lines:?}"
        );
        let info = engine.info().await.unwrap();
        assert_eq!(info.api_version, spoken);
        assert_eq!(info.api_range, (newest.to_owned(), oldest.to_owned()));
    }
}

#[tokio::test]
async fn an_engine_whose_versions_are_not_ours_is_refused_with_what_to_do() {
    for (newest, oldest, advice) in [
        ("1.24", "1.12", "Docker Engine 20.10 or newer"),
        ("1.40", "1.12", "Docker Engine 20.10 or newer"),
        ("1.99", "1.98", "a newer Longshore"),
    ] {
        let scripted = ScriptedEngine::on_a_socket(move |_| Reply::version(newest, oldest));
        let error = DockerEngine::connect(&scripted.endpoint, Limits::default())
            .await
            .unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unsupported);
        assert!(error.to_string().contains(advice), "{error}");
    }
}

#[tokio::test]
async fn an_engine_that_was_upgraded_is_asked_for_its_version_again() {
    let upgraded = Arc::new(AtomicUsize::new(0));
    let state = Arc::clone(&upgraded);
    let scripted = ScriptedEngine::on_a_socket(move |asked| {
        let is_new = state.load(Ordering::SeqCst) == 1;
        match asked.line.as_str() {
            "GET /version" if is_new => Reply::version("1.51", "1.44"),
            "GET /version" => Reply::version("1.41", "1.12"),
            line if is_new && line.contains("/v1.41/") => Reply::failure(
                400,
                "client version 1.41 is too old. Minimum supported API version is 1.44, please upgrade your client to a newer version",
            ),
            _ => Reply::Status(204, String::new()),
        }
    });
    let engine = connect(&scripted).await;
    engine.start_container("a").await.unwrap();
    upgraded.store(1, Ordering::SeqCst);
    let refused = engine.start_container("b").await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Unreachable, "nothing was applied");
    assert!(refused.message.contains("1.41 is too old"), "{refused}");
    engine.start_container("b").await.unwrap();
    assert_eq!(
        scripted.lines(),
        [
            "GET /version",
            "POST /v1.41/containers/a/start",
            "POST /v1.41/containers/b/start",
            "GET /version",
            "POST /v1.51/containers/b/start",
        ]
    );
}

#[tokio::test]
async fn calls_one_after_the_other_share_a_connection() {
    let scripted = engine(|_| Reply::Status(204, String::new()));
    let engine = connect(&scripted).await;
    for _ in 0..10 {
        engine.start_container("web").await.unwrap();
        // The connection is put back by a task of its own.
        tokio::task::yield_now().await;
    }
    assert!(scripted.connections() <= 2, "{}", scripted.connections());
    for asked in scripted.asked() {
        assert_eq!(asked.header("host"), Some("docker"));
    }
}

#[tokio::test]
async fn a_connection_that_died_while_it_was_kept_does_not_fail_the_next_call() {
    // Each connection is closed after its answer, without saying so beforehand.
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("engine.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let server = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
                    break;
                }
            }
            let body = r#"{"ApiVersion": "1.41", "MinAPIVersion": "1.12"}"#;
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    let engine = DockerEngine::connect(&Endpoint::Unix(path), Limits::default())
        .await
        .unwrap();
    for _ in 0..20 {
        engine.info().await.unwrap();
    }
    server.abort();
}

#[tokio::test]
async fn an_answer_that_is_cut_may_have_been_applied() {
    let scripted = engine(|_| Reply::Cut);
    let engine = connect(&scripted).await;
    let body = CreateBody {
        image: "busybox".into(),
        ..CreateBody::default()
    };
    let error = engine.create_container("web", &body).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unknown);
    assert!(error.kind.may_have_been_applied());
    assert!(
        error.to_string().starts_with("create container web: "),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_never_answered_ends_at_its_limit_and_may_have_been_applied() {
    let scripted = engine(|_| Reply::Silence);
    let engine = connect(&scripted).await;
    let error = engine.start_container("web").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::TimedOut);
    assert!(error.message.contains("within 180 s"), "{error}");
    // A stop has the container's own time on top.
    let error = engine.stop_container("web", 1000).await.unwrap_err();
    assert!(error.message.contains("within 1030 s"), "{error}");
    let error = engine
        .pull_image("busybox:1", None, None, &no_progress)
        .await
        .unwrap_err();
    // A pull may take long, as long as it moves.
    assert!(error.message.contains("no progress within 60 s"), "{error}");
}

#[tokio::test]
async fn an_engine_that_is_not_there_is_unreachable_and_nothing_was_applied() {
    let directory = tempfile::tempdir().unwrap();
    let missing = Endpoint::Unix(directory.path().join("none.sock"));
    let error = DockerEngine::connect(&missing, Limits::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unreachable);
    assert!(
        error.to_string().contains("is it installed and running"),
        "{error}"
    );

    let deserted = directory.path().join("deserted.sock");
    drop(std::os::unix::net::UnixListener::bind(&deserted).unwrap());
    let error = DockerEngine::connect(&Endpoint::Unix(deserted), Limits::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unreachable);
    assert!(error.message.contains("connection refused"), "{error}");
}

#[tokio::test]
async fn a_container_that_vanishes_between_the_list_and_its_read_is_left_out() {
    let scripted = engine(|asked| match asked.line.as_str() {
        line if line.contains("/containers/json") => {
            assert!(!line.contains("size=true"), "{line}");
            Reply::json(&json!([{"Id": "1a"}, {"Id": "2b"}, {"Id": "3c"}]))
        }
        line if line.contains("2b") => Reply::failure(404, "No such container: 2b"),
        line if line.contains("1a") => Reply::json(&json!({"Id": "1a", "Name": "/one"})),
        _ => Reply::json(&json!({"Id": "3c", "Name": "/three"})),
    });
    let engine = connect(&scripted).await;
    let seen = engine
        .list_containers(&[("a".into(), "b".into())])
        .await
        .unwrap();
    let names: Vec<&str> = seen.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["one", "three"]);
    let listed = scripted.lines()[1].clone();
    assert!(listed.contains("all=true"), "{listed}");
    assert!(
        listed.contains("%7B%22label%22%3A%5B%22a%3Db%22%5D%7D"),
        "{listed}"
    );
}

#[tokio::test]
async fn a_list_whose_reads_fail_is_no_shorter_list() {
    let scripted = engine(|asked| {
        if asked.line.contains("/containers/json") {
            Reply::json(&json!([{"Id": "1a"}]))
        } else {
            Reply::failure(500, "out of order")
        }
    });
    let engine = connect(&scripted).await;
    let error = engine.list_containers(&[]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unknown);
}

#[tokio::test]
async fn a_pull_that_fails_inside_a_good_answer_fails() {
    let lines = [
        json!({"status": "Pulling from library/busybox", "id": "1"}),
        json!({"errorDetail": {"message": "toomanyrequests: slow down"}, "error": "toomanyrequests: slow down"}),
    ];
    let body: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    let scripted = engine(move |_| Reply::Status(200, body.clone()));
    let engine = connect(&scripted).await;
    let error = engine
        .pull_image("busybox", None, None, &no_progress)
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::RateLimited);
    assert!(
        error
            .to_string()
            .contains("pull image busybox: toomanyrequests"),
        "{error}"
    );
}

#[tokio::test]
async fn a_pull_asks_for_one_tag_with_credentials_that_an_engine_can_read() {
    let scripted = engine(|_| Reply::Status(200, "{\"status\":\"Done\"}\r\n".into()));
    let engine = connect(&scripted).await;
    // Bytes that base64 writes with `+` and `/`, which engines do not decode.
    let auth = RegistryAuth {
        username: "me".into(),
        password: "~~~???>>>ÿÿ".into(),
        server: "r:5000".into(),
        ..RegistryAuth::default()
    };
    let told = std::sync::Mutex::new(Vec::new());
    engine
        .pull_image(
            "r:5000/app",
            Some("linux/arm64"),
            Some(&auth),
            &|progress| {
                told.lock().unwrap().push(progress.status);
            },
        )
        .await
        .unwrap();
    assert_eq!(*told.lock().unwrap(), ["Done"]);
    let asked = scripted.asked().pop().unwrap();
    assert!(
        asked.line.contains("fromImage=r%3A5000%2Fapp%3Alatest"),
        "{}",
        asked.line
    );
    assert!(
        asked.line.contains("platform=linux%2Farm64"),
        "{}",
        asked.line
    );
    let header = asked.header("x-registry-auth").unwrap();
    let decoded = base64::engine::general_purpose::URL_SAFE
        .decode(header)
        .unwrap();
    let sent: serde_json::Value = serde_json::from_slice(&decoded).unwrap();
    assert_eq!(sent["password"], "~~~???>>>ÿÿ");
    assert_eq!(sent["serveraddress"], "r:5000");
}

#[tokio::test]
async fn a_removal_that_is_under_way_is_waited_for() {
    let scripted = engine(|asked| {
        if asked.line.starts_with("DELETE") {
            Reply::failure(409, "removal of container 1a is already in progress")
        } else {
            Reply::json(&json!({"StatusCode": 137}))
        }
    });
    let engine = connect(&scripted).await;
    engine.remove_container("1a").await.unwrap();
    let last = scripted.lines().pop().unwrap();
    assert_eq!(last, "POST /v1.41/containers/1a/wait?condition=removed");
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/engine_docker/tls")
        .join(name)
}

/// A TLS server that takes no client without a certificate of the test's authority.
fn acceptor() -> TlsAcceptor {
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let certificates = |name: &str| -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_file_iter(fixture(name))
            .unwrap()
            .map(Result::unwrap)
            .collect()
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates("ca.pem") {
        roots.add(certificate).unwrap();
    }
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            certificates("engine.pem"),
            PrivateKeyDer::from_pem_file(fixture("engine-key.pem")).unwrap(),
        )
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

fn client_files(ca: Option<&str>, verify: bool) -> TlsFiles {
    TlsFiles {
        ca: ca.map(fixture),
        cert: Some(fixture("client.pem")),
        key: Some(fixture("client-key.pem")),
        verify,
    }
}

#[tokio::test]
async fn tls_with_certificates_on_both_sides_carries_calls() {
    for files in [
        client_files(Some("ca.pem"), true),
        client_files(None, false),
    ] {
        let scripted = ScriptedEngine::on_a_port(Some(acceptor()), Some(files), |asked| {
            if asked.line.ends_with("/version") {
                Reply::version("1.41", "1.12")
            } else {
                Reply::Status(204, String::new())
            }
        })
        .await;
        let engine = connect(&scripted).await;
        engine.start_container("web").await.unwrap();
        let asked = scripted.asked().pop().unwrap();
        assert!(asked.header("host").unwrap().starts_with("127.0.0.1:"));
    }
}

#[tokio::test]
async fn an_engine_whose_certificate_nobody_signed_is_not_spoken_to() {
    // The client's own certificate is no authority.
    let files = client_files(Some("client.pem"), true);
    let scripted = ScriptedEngine::on_a_port(Some(acceptor()), Some(files), |_| {
        Reply::version("1.41", "1.12")
    })
    .await;
    let error = DockerEngine::connect(&scripted.endpoint, Limits::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unreachable);
    assert!(error.message.contains("certificate"), "{error}");
    assert!(scripted.asked().is_empty());
}

#[tokio::test]
async fn tls_files_that_cannot_be_used_are_named() {
    for (files, word) in [
        (client_files(Some("none.pem"), true), "none.pem"),
        (
            TlsFiles {
                key: None,
                ..client_files(None, false)
            },
            "without a key.pem",
        ),
        (
            TlsFiles {
                cert: Some(fixture("engine-key.pem")),
                ..client_files(None, false)
            },
            "engine-key.pem",
        ),
    ] {
        let scripted = ScriptedEngine::on_a_port(None, Some(files), |_| Reply::Silence).await;
        let error = DockerEngine::connect(&scripted.endpoint, Limits::default())
            .await
            .unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid);
        assert!(error.message.contains(word), "{error}");
    }
}

/// Writes a program that stands in for `ssh`.
fn fake_ssh(directory: &Path, script: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let path = directory.join("ssh");
    std::fs::write(&path, format!("#!/bin/sh\n{script}")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn ssh_endpoint() -> Endpoint {
    Endpoint::Ssh(SshEndpoint {
        user: Some("me".into()),
        host: "far".into(),
        ..SshEndpoint::default()
    })
}

#[tokio::test]
async fn ssh_carries_calls_over_its_standard_input_and_output() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("arguments");
    // Answers every request with an engine's version; a head ends with an empty line.
    let script = format!(
        r#"echo "$@" >> '{}'
body='{{"ApiVersion":"1.41","MinAPIVersion":"1.12","Id":"c1","Name":"/web"}}'
while IFS= read -r line; do
  case "$line" in
    ?) printf 'HTTP/1.1 200 OK\r\nContent-Length: %s\r\n\r\n%s' "${{#body}}" "$body" ;;
  esac
done
"#,
        log.display()
    );
    let options = Options {
        limits: Limits::default(),
        ssh: fake_ssh(directory.path(), &script),
    };
    let engine = DockerEngine::connect(&ssh_endpoint(), options)
        .await
        .unwrap();
    for _ in 0..5 {
        assert_eq!(engine.inspect_container("web").await.unwrap().id, "c1");
        tokio::task::yield_now().await;
    }
    let arguments = std::fs::read_to_string(log).unwrap();
    let first = arguments.lines().next().unwrap();
    assert!(
        first.ends_with("-l me -- far docker system dial-stdio"),
        "{first}"
    );
    assert!(
        arguments.lines().count() <= 2,
        "one ssh serves many calls:\n{arguments}"
    );
}

#[tokio::test]
async fn what_ssh_complains_about_is_what_the_user_reads() {
    let directory = tempfile::tempdir().unwrap();
    let script = "echo 'me@far: Permission denied (publickey).' >&2\nexit 255\n";
    let options = Options {
        limits: Limits::default(),
        ssh: fake_ssh(directory.path(), script),
    };
    let error = DockerEngine::connect(&ssh_endpoint(), options)
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unreachable);
    assert!(
        error
            .to_string()
            .contains("ssh://me@far: me@far: Permission denied (publickey)."),
        "{error}"
    );

    let options = Options {
        limits: Limits {
            read: Duration::from_secs(5),
            ..Limits::default()
        },
        ssh: directory.path().join("none"),
    };
    let error = DockerEngine::connect(&ssh_endpoint(), options)
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unreachable);
    assert!(error.message.contains("cannot run"), "{error}");
}
