//! Logs, and commands run in containers.

use futures_util::StreamExt;
use longshore::engine::body::LogConfigBody;
use longshore::engine::{Engine, ErrorKind, ExecOptions, LogOptions, OutputStream};
use longshore::model::Timestamp;
use tokio::io::AsyncWriteExt;

use super::{ended, exec, exit_code, kind, patiently, read, running, started};
use crate::common::Namespace;

async fn log(engine: &dyn Engine, id: &str, options: LogOptions) -> (String, String) {
    read(engine.logs(id, &options).await.expect("a log")).await
}

pub async fn logs_keep_streams_apart_and_lines_in_order(engine: &dyn Engine, ns: &Namespace) {
    let script = "echo one; echo two >&2; echo three";
    let id = running(engine, ns, "talk", &["sh", "-c", script]).await;
    ended(engine, &id).await;
    let (out, err) = log(engine, &id, LogOptions::default()).await;
    assert_eq!((out.as_str(), err.as_str()), ("one\nthree\n", "two\n"));
}

pub async fn the_tail_of_a_log_is_its_last_lines(engine: &dyn Engine, ns: &Namespace) {
    let id = running(engine, ns, "long", &["sh", "-c", "echo a; echo b; echo c"]).await;
    ended(engine, &id).await;
    let tail = async |lines| {
        let options = LogOptions {
            tail: Some(lines),
            ..LogOptions::default()
        };
        log(engine, &id, options).await.0
    };
    assert_eq!(tail(2).await, "b\nc\n");
    assert_eq!(tail(9).await, "a\nb\nc\n");
    assert_eq!(tail(0).await, "");
}

pub async fn a_log_can_be_read_since_an_instant(engine: &dyn Engine, ns: &Namespace) {
    let script = "echo early; sleep 2; echo late";
    let id = running(engine, ns, "aged", &["sh", "-c", script]).await;
    let seen = ended(engine, &id).await;
    let end = seen.finished_at.expect("it has ended").as_millis();
    let options = LogOptions {
        since: Some(Timestamp::from_millis(end - 1000)),
        ..LogOptions::default()
    };
    assert_eq!(log(engine, &id, options).await.0, "late\n");
}

pub async fn log_lines_carry_their_time_when_asked(engine: &dyn Engine, ns: &Namespace) {
    let id = running(engine, ns, "timed", &["echo", "hello"]).await;
    let seen = ended(engine, &id).await;
    let options = LogOptions {
        timestamps: true,
        ..LogOptions::default()
    };
    let (line, _) = log(engine, &id, options).await;
    let (time, text) = line.split_once(' ').expect("a time and a text");
    assert_eq!(text, "hello\n");
    let at = Timestamp::parse_rfc3339(time);
    assert!(at.is_some() && at >= seen.created_at, "{line}");
}

pub async fn a_followed_log_goes_on_to_the_end_of_the_container(
    engine: &dyn Engine,
    ns: &Namespace,
) {
    let script = "echo first; while ! test -f /tmp/go; do sleep 1; done; echo last";
    let id = running(engine, ns, "tale", &["sh", "-c", script]).await;
    let options = LogOptions {
        follow: true,
        ..LogOptions::default()
    };
    let mut stream = engine.logs(&id, &options).await.expect("a log");
    let first = patiently("the first line", stream.next()).await;
    let first = first.expect("more").expect("a line");
    assert_eq!(
        (first.stream, first.bytes.as_ref()),
        (OutputStream::Stdout, b"first\n".as_slice())
    );
    assert_eq!(exec(engine, &id, &["touch", "/tmp/go"]).await.0, 0);
    assert_eq!(read(stream).await.0, "last\n");
    ended(engine, &id).await;
}

pub async fn a_log_goes_on_over_a_restart(engine: &dyn Engine, ns: &Namespace) {
    let id = running(engine, ns, "twice", &["echo", "hello"]).await;
    ended(engine, &id).await;
    engine.start_container(&id).await.expect("started again");
    ended(engine, &id).await;
    let (out, _) = log(engine, &id, LogOptions::default()).await;
    assert_eq!(out, "hello\nhello\n");
}

pub async fn a_driver_that_cannot_be_read_is_unsupported(engine: &dyn Engine, ns: &Namespace) {
    let mut body = ns.body(&["echo", "hello"]);
    body.host_config.log_config = Some(LogConfigBody {
        r#type: "none".to_owned(),
        ..LogConfigBody::default()
    });
    let id = started(engine, &ns.name("mute"), &body).await;
    ended(engine, &id).await;
    let result = engine.logs(&id, &LogOptions::default()).await.map(|_| ());
    assert_eq!(kind(result), ErrorKind::Unsupported);
    let result = engine
        .logs(&ns.name("nobody"), &LogOptions::default())
        .await
        .map(|_| ());
    assert_eq!(kind(result), ErrorKind::NotFound);
}

pub async fn the_environment_reaches_the_process(engine: &dyn Engine, ns: &Namespace) {
    let mut body = ns.body(&["sh", "-c", "echo \"$A-${B}-$C\""]);
    body.env = ["A=1", "B=two words", "C=a=b"].map(str::to_owned).to_vec();
    let id = started(engine, &ns.name("env"), &body).await;
    ended(engine, &id).await;
    assert_eq!(
        log(engine, &id, LogOptions::default()).await.0,
        "1-two words-a=b\n"
    );
}

pub async fn a_command_has_its_output_and_its_exit_code(engine: &dyn Engine, ns: &Namespace) {
    let id = running(engine, ns, "host", &["sleep", "1000"]).await;
    let script = "echo out; echo err >&2; exit 4";
    let (code, out, err) = exec(engine, &id, &["sh", "-c", script]).await;
    assert_eq!((code, out.as_str(), err.as_str()), (4, "out\n", "err\n"));
}

pub async fn a_command_reads_its_standard_input(engine: &dyn Engine, ns: &Namespace) {
    let id = running(engine, ns, "host", &["sleep", "1000"]).await;
    let options = ExecOptions {
        command: vec!["cat".to_owned()],
        stdin: true,
        tty: None,
    };
    let mut session = engine.exec(&id, &options).await.expect("a session");
    session
        .input
        .write_all(b"one\ntwo\n")
        .await
        .expect("written");
    session.input.shutdown().await.expect("closed");
    assert_eq!(read(session.output).await.0, "one\ntwo\n");
    assert_eq!(exit_code(engine, &session.id).await, 0);
}

pub async fn a_command_that_runs_has_no_exit_code_and_ends_with_its_container(
    engine: &dyn Engine,
    ns: &Namespace,
) {
    let id = running(engine, ns, "host", &["sleep", "1000"]).await;
    let options = ExecOptions {
        command: ["sh", "-c", "echo on; sleep 1000"]
            .map(str::to_owned)
            .to_vec(),
        ..ExecOptions::default()
    };
    let mut session = engine.exec(&id, &options).await.expect("a session");
    let first = patiently("output", session.output.next()).await;
    assert_eq!(
        first.expect("more").expect("a line").bytes.as_ref(),
        b"on\n"
    );
    assert_eq!(
        engine.exec_exit_code(&session.id).await.expect("known"),
        None
    );
    engine.stop_container(&id, 0).await.expect("stopped");
    assert_eq!(read(session.output).await, (String::new(), String::new()));
}

pub async fn a_program_that_does_not_exist_is_no_command(engine: &dyn Engine, ns: &Namespace) {
    let id = running(engine, ns, "host", &["sleep", "1000"]).await;
    let (code, out, err) = exec(engine, &id, &["/no/such/program"]).await;
    assert!(matches!(code, 126 | 127), "{code}");
    assert!(
        format!("{out}{err}").contains("/no/such/program"),
        "{out}{err}"
    );
}

pub async fn a_command_needs_a_running_container(engine: &dyn Engine, ns: &Namespace) {
    let options = ExecOptions {
        command: vec!["true".to_owned()],
        ..ExecOptions::default()
    };
    let id = running(engine, ns, "over", &["true"]).await;
    ended(engine, &id).await;
    let result = engine.exec(&id, &options).await;
    assert_eq!(kind(result), ErrorKind::Conflict);
    let result = engine.exec(&ns.name("nobody"), &options).await;
    assert_eq!(kind(result), ErrorKind::NotFound);
}

pub async fn an_unknown_command_is_not_found(engine: &dyn Engine, _: &Namespace) {
    let unknown = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    assert_eq!(
        kind(engine.exec_exit_code(unknown).await),
        ErrorKind::NotFound
    );
    let result = engine.exec_resize(unknown, (80, 24)).await;
    assert_eq!(kind(result), ErrorKind::NotFound);
}

pub async fn stats_are_one_sample_of_what_runs(engine: &dyn Engine, ns: &Namespace) {
    let id = running(engine, ns, "busy", &["sleep", "1000"]).await;
    let stats = engine.stats(&id).await.expect("stats");
    assert_eq!(stats["id"], id);
    assert_eq!(stats["name"], format!("/{}", ns.name("busy")));
    let read = stats["read"].as_str().expect("a time");
    assert!(Timestamp::parse_rfc3339(read).is_some(), "{read}");
    assert!(stats["cpu_stats"]["cpu_usage"]["total_usage"].is_u64());
    assert_eq!(stats["precpu_stats"]["cpu_usage"]["total_usage"], 0);
    assert!(stats["memory_stats"]["limit"].is_u64(), "{stats}");
    assert!(stats["networks"]["eth0"]["rx_bytes"].is_u64(), "{stats}");
}

pub async fn who_joins_a_namespace_has_its_networks_in_its_stats(
    engine: &dyn Engine,
    ns: &Namespace,
) {
    let owner = running(engine, ns, "owner", &["sleep", "1000"]).await;
    let mut body = ns.body(&["sleep", "1000"]);
    body.host_config.network_mode = Some(format!("container:{owner}"));
    let id = started(engine, &ns.name("guest"), &body).await;
    let stats = engine.stats(&id).await.expect("stats");
    assert!(stats["networks"]["eth0"]["rx_bytes"].is_u64(), "{stats}");
}

pub async fn what_does_not_run_uses_nothing(engine: &dyn Engine, ns: &Namespace) {
    let id = running(engine, ns, "brief", &["true"]).await;
    ended(engine, &id).await;
    let stats = engine.stats(&id).await.expect("stats");
    assert_eq!(stats["cpu_stats"]["cpu_usage"]["total_usage"], 0, "{stats}");
    assert!(stats["memory_stats"]["usage"].is_null(), "{stats}");
    assert_eq!(
        kind(engine.stats(&ns.name("nobody")).await),
        ErrorKind::NotFound
    );
}
