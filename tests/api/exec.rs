//! Commands in containers, over the upgraded connection.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use longshore::api::client::ExecFrames;
use longshore::api::frame::Frame;
use longshore::api::streams::exec::ExecRequest;
use longshore::model::LastStatus;

use crate::fixture::{World, id, status};

fn request(command: &[&str]) -> ExecRequest {
    ExecRequest {
        task: id("aa").to_string(),
        container: Some("web".to_owned()),
        command: command.iter().map(|word| (*word).to_owned()).collect(),
        ..ExecRequest::default()
    }
}

async fn next(session: &mut ExecFrames) -> Option<Frame> {
    tokio::time::timeout(Duration::from_secs(20), session.next())
        .await
        .expect("the session stays silent")
        .transpose()
        .unwrap()
}

/// Everything up to the end: stdout, stderr, and the last frame.
async fn to_end(session: &mut ExecFrames) -> (String, String, Option<Frame>) {
    let (mut out, mut err, mut last) = (Vec::new(), Vec::new(), None);
    while let Some(frame) = next(session).await {
        match frame {
            Frame::Stdout(bytes) => out.extend_from_slice(&bytes),
            Frame::Stderr(bytes) => err.extend_from_slice(&bytes),
            other => last = Some(other),
        }
    }
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(out), text(err), last)
}

#[tokio::test]
async fn output_comes_on_its_own_stream_and_the_exit_code_last() {
    let world = World::start().await;
    world.running(&id("aa"), &[]).await;
    let script = "echo out; echo err >&2; exit 7";
    let mut session = world
        .client
        .exec(&request(&["sh", "-c", script]))
        .await
        .unwrap();
    let (out, err, last) = to_end(&mut session).await;
    assert_eq!((out.as_str(), err.as_str()), ("out\n", "err\n"));
    assert_eq!(last, Some(Frame::Exit(7)));
}

#[tokio::test]
async fn input_reaches_the_command_and_its_end_ends_it() {
    let world = World::start().await;
    world.running(&id("aa"), &[]).await;
    let asked = ExecRequest {
        stdin: true,
        ..request(&["cat"])
    };
    let mut session = world.client.exec(&asked).await.unwrap();
    session
        .send(Frame::Stdin(Bytes::from_static(b"ping\n")))
        .await
        .unwrap();
    assert_eq!(
        next(&mut session).await,
        Some(Frame::Stdout(Bytes::from_static(b"ping\n")))
    );
    session.send(Frame::StdinEnd).await.unwrap();
    let (_, _, last) = to_end(&mut session).await;
    assert_eq!(last, Some(Frame::Exit(0)));
}

#[tokio::test]
async fn a_terminal_has_one_stream_and_takes_sizes() {
    let world = World::start().await;
    world.running(&id("aa"), &[]).await;
    let asked = ExecRequest {
        stdin: true,
        tty: Some((80, 24)),
        ..request(&["sh", "-c", "echo err >&2; cat"])
    };
    let mut session = world.client.exec(&asked).await.unwrap();
    session.send(Frame::Resize(100, 30)).await.unwrap();
    session.send(Frame::StdinEnd).await.unwrap();
    let (out, err, last) = to_end(&mut session).await;
    assert!(out.starts_with("err"), "{out:?}");
    assert_eq!(err, "");
    assert_eq!(last, Some(Frame::Exit(0)));
}

#[tokio::test]
async fn without_a_container_it_is_the_only_essential_one() {
    let world = World::start().await;
    world.running(&id("aa"), &[]).await;
    let asked = ExecRequest {
        container: None,
        ..request(&["true"])
    };
    let mut session = world.client.exec(&asked).await.unwrap();
    assert_eq!(to_end(&mut session).await.2, Some(Frame::Exit(0)));
}

#[tokio::test]
async fn what_cannot_be_run_is_refused_before_anything_is_upgraded() {
    let world = World::start().await;
    world.running(&id("aa"), &[]).await;
    let mut ended = status(Some("gone".to_owned()), None);
    ended.containers[0].last_status = LastStatus::Stopped;
    world.report(&id("bb"), &ended).await;
    let refused = async |asked: ExecRequest| match world.client.exec(&asked).await {
        Err(error) => error.to_string(),
        Ok(_) => panic!("it ran"),
    };
    let asked = ExecRequest {
        container: Some("none".to_owned()),
        ..request(&["true"])
    };
    assert!(refused(asked).await.contains("it has web, clock"));
    let asked = ExecRequest {
        task: "bb".to_owned(),
        ..request(&["true"])
    };
    assert!(refused(asked).await.contains("does not run: it is STOPPED"));
    let asked = ExecRequest {
        task: "zz".to_owned(),
        ..request(&["true"])
    };
    assert_eq!(refused(asked).await, "there is no task zz");
    assert!(refused(request(&[])).await.contains("no command"));
}

#[tokio::test]
async fn a_session_ends_with_the_daemon() {
    let world = World::start().await;
    world.running(&id("aa"), &[]).await;
    let asked = ExecRequest {
        stdin: true,
        ..request(&["cat"])
    };
    let mut session = world.client.exec(&asked).await.unwrap();
    session
        .send(Frame::Stdin(Bytes::from_static(b"x\n")))
        .await
        .unwrap();
    assert!(next(&mut session).await.is_some());
    world.stop();
    assert_eq!(next(&mut session).await, None);
}
