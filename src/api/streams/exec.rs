//! `POST /v1/exec`: a command in a running container. The connection is upgraded to [frames](crate::api::frame).

use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONNECTION, UPGRADE};
use axum::http::{HeaderValue, Request, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio_util::codec::{FramedRead, FramedWrite};

use crate::api::context::Serving;
use crate::api::frame::{Frame, FrameCodec, MAX_PAYLOAD};
use crate::engine::{ErrorKind, ExecOptions, ExecSession, OutputStream, SharedEngine};

use super::target::{Refused, Scope, exec_target};

/// The protocol that the connection is upgraded to.
pub const PROTOCOL: &str = "longshore-exec";
/// Pauses between questions for the exit code, once the output has ended: the engine needs a moment to know it.
const EXIT_CODE_PAUSES: [u64; 8] = [0, 10, 20, 50, 100, 200, 500, 1000];

/// The body of the request.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExecRequest {
    /// The cluster; sought in all when absent.
    pub cluster: Option<String>,
    /// The task: its id, or the beginning of it.
    pub task: String,
    /// The container; needed where the task has several essential ones.
    pub container: Option<String>,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Whether there will be input.
    pub stdin: bool,
    /// A terminal of these columns and rows.
    pub tty: Option<(u16, u16)>,
}

/// Answers the request.
///
/// # Errors
/// The task or container is not there or does not run, or the engine refuses the command.
pub(in crate::api) async fn exec(
    context: &Serving,
    mut request: Request<Body>,
) -> Result<Response, Refused> {
    let upgrade = request.extensions_mut().remove::<OnUpgrade>();
    let body = axum::body::to_bytes(request.into_body(), MAX_PAYLOAD)
        .await
        .map_err(|error| Refused::new(StatusCode::BAD_REQUEST, error.to_string()))?;
    let asked: ExecRequest = serde_json::from_slice(&body)
        .map_err(|error| Refused::new(StatusCode::BAD_REQUEST, error.to_string()))?;
    let Some(upgrade) = upgrade else {
        return Err(Refused::new(
            StatusCode::UPGRADE_REQUIRED,
            format!("ask with `Connection: Upgrade` and `Upgrade: {PROTOCOL}`"),
        ));
    };
    if asked.command.is_empty() {
        return Err(Refused::new(
            StatusCode::BAD_REQUEST,
            "there is no command to run",
        ));
    }
    let target = {
        let state = context.view.read();
        match Scope::find(&state, asked.cluster.as_deref(), None, Some(&asked.task))? {
            Scope::Task(cluster, id) => {
                exec_target(&state, &cluster, &id, asked.container.as_deref())?
            }
            Scope::Service(..) | Scope::All(_) => {
                return Err(Refused::new(StatusCode::BAD_REQUEST, "say which task"));
            }
        }
    };
    let engine = context
        .engines
        .get(&target.cluster, &target.instance)
        .ok_or_else(|| {
            Refused::new(
                StatusCode::BAD_GATEWAY,
                format!("there is no engine {} at present", target.instance),
            )
        })?;
    let options = ExecOptions {
        command: asked.command,
        stdin: asked.stdin,
        tty: asked.tty,
    };
    let session = engine
        .exec(&target.runtime_id, &options)
        .await
        .map_err(|error| {
            let status = match error.kind {
                ErrorKind::NotFound => StatusCode::NOT_FOUND,
                ErrorKind::Conflict => StatusCode::CONFLICT,
                ErrorKind::Invalid => StatusCode::BAD_REQUEST,
                _ => StatusCode::BAD_GATEWAY,
            };
            Refused::new(status, error.message)
        })?;
    let cancel = context.stop.clone();
    tokio::spawn(async move {
        if let Ok(connection) = upgrade.await {
            let (reading, writing) = tokio::io::split(TokioIo::new(connection));
            cancel
                .run_until_cancelled(pump(engine, session, reading, writing))
                .await;
        }
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static(PROTOCOL));
    Ok(response)
}

/// Carries frames both ways until the command has ended or the client is gone.
async fn pump(
    engine: SharedEngine,
    session: ExecSession,
    reading: impl AsyncRead + Send + Unpin,
    writing: impl AsyncWrite + Send + Unpin,
) {
    let ExecSession {
        id,
        input,
        mut output,
    } = session;
    let mut frames_out = FramedWrite::new(writing, FrameCodec);
    let sending = async {
        // What the engine says of a program that it cannot start is all the output that there is.
        let mut words = Bytes::new();
        let last = loop {
            match output.next().await {
                Some(Ok(chunk)) => {
                    if words.is_empty() {
                        words = chunk.bytes.clone();
                    }
                    for piece in chunk.bytes.chunks(MAX_PAYLOAD) {
                        let bytes = Bytes::copy_from_slice(piece);
                        let frame = match chunk.stream {
                            OutputStream::Stdout => Frame::Stdout(bytes),
                            OutputStream::Stderr => Frame::Stderr(bytes),
                        };
                        if frames_out.send(frame).await.is_err() {
                            return;
                        }
                    }
                }
                Some(Err(error)) => break Frame::Error(error.message),
                None => {
                    break match exit_frame(&engine, &id).await {
                        Frame::Exit(code) => Frame::Exit(exit_code(code, &words)),
                        frame => frame,
                    };
                }
            }
        };
        // A client that is gone has no use for it.
        let _ = frames_out.send(last).await;
        let _ = frames_out.close().await;
    };
    tokio::select! {
        () = sending => {}
        () = receive(&engine, &id, input, reading) => {}
    }
}

/// Takes input and sizes until the client is gone or sends what makes no sense. The end of the input is not the end of the
/// session.
async fn receive(
    engine: &SharedEngine,
    id: &str,
    input: std::pin::Pin<Box<dyn AsyncWrite + Send>>,
    reading: impl AsyncRead + Unpin,
) {
    let mut input = Some(input);
    let mut frames_in = FramedRead::new(reading, FrameCodec);
    while let Some(frame) = frames_in.next().await {
        match frame {
            Ok(Frame::Stdin(bytes)) => {
                let written = match &mut input {
                    Some(to) => match to.write_all(&bytes).await {
                        Ok(()) => to.flush().await,
                        Err(error) => Err(error),
                    },
                    None => Ok(()),
                };
                if written.is_err() {
                    // The command does not read any more; its output and its end still matter.
                    input = None;
                }
            }
            Ok(Frame::StdinEnd) => {
                if let Some(mut to) = input.take() {
                    let _ = to.shutdown().await;
                }
            }
            Ok(Frame::Resize(columns, rows)) => {
                // A terminal of the wrong size is no reason to end a session.
                let _ = engine.exec_resize(id, (columns, rows)).await;
            }
            Ok(Frame::Stdout(_) | Frame::Stderr(_) | Frame::Exit(_) | Frame::Error(_)) => {}
            Err(_) => return,
        }
    }
}

/// The exit code, where the engine's says too little: 127 for a program that is not there, as a shell has it and as newer
/// engines do, is 126 on older ones, like one that may not be run. `words` is the beginning of the output.
fn exit_code(code: i64, words: &[u8]) -> i64 {
    const RUNTIME: &str = "OCI runtime exec failed";
    const ABSENT: [&str; 2] = ["executable file not found", "no such file or directory"];
    let words = String::from_utf8_lossy(words);
    let absent = words.starts_with(RUNTIME) && ABSENT.iter().any(|part| words.contains(part));
    if code == 126 && absent { 127 } else { code }
}

async fn exit_frame(engine: &SharedEngine, id: &str) -> Frame {
    for pause in EXIT_CODE_PAUSES {
        tokio::time::sleep(Duration::from_millis(pause)).await;
        match engine.exec_exit_code(id).await {
            Ok(Some(code)) => return Frame::Exit(code),
            Ok(None) => {}
            Err(error) => return Frame::Error(error.message),
        }
    }
    Frame::Error(
        "the command's output has ended, and the engine does not say how it did".to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::exit_code;

    #[test]
    fn a_program_that_is_not_there_is_127_and_one_that_may_not_be_run_126() {
        let said = |why: &str| {
            format!(
                "OCI runtime exec failed: exec failed: unable to start container process: exec: \"x\": {why}: unknown\r\n"
            )
        };
        let code = |code, words: &str| exit_code(code, words.as_bytes());
        assert_eq!(code(126, &said("executable file not found in $PATH")), 127);
        assert_eq!(code(126, &said("stat /x: no such file or directory")), 127);
        assert_eq!(code(126, &said("permission denied")), 126);
        assert_eq!(code(126, "sh: x: no such file or directory"), 126);
        assert_eq!(code(1, &said("no such file or directory")), 1);
    }
}
