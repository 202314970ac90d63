//! `longshore exec TASK -- COMMAND`: runs a command in a container of a task, and ends as it does.

use std::io::{IsTerminal, stdin, stdout};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::io::AsyncReadExt;
use tokio::signal::unix::{SignalKind, signal};

use super::client_common::{Meant, failure, fetch, find, meant, running_task, typed};
use super::get::short;
use super::output::{write_stderr, write_stdout};
use super::{CommandResult, Failure, Globals};
use crate::api::client::{Client, ExecFrames};
use crate::api::documents::{Document, TaskStatusDoc};
use crate::api::frame::Frame;
use crate::api::kinds::Kind;
use crate::api::streams::exec::ExecRequest;

/// Arguments of `exec`.
#[derive(Debug, clap::Args)]
pub struct ExecArgs {
    /// A task by the beginning of its id, or a service, for a running task of it
    #[arg(value_name = "TASK")]
    task: String,
    /// The container; needed where a task has several essential ones
    #[arg(short, long, value_name = "NAME")]
    container: Option<String>,
    /// Give the command this command's standard input; without it, it has none
    #[arg(short, long)]
    interactive: bool,
    /// Give the command a terminal
    #[arg(short, long)]
    tty: bool,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// Runs the command; its exit code is this command's.
pub async fn run(args: ExecArgs, globals: &Globals) -> CommandResult {
    if args.tty && args.interactive && !stdin().is_terminal() {
        return Err(Failure::could_not_run(
            "standard input is no terminal; leave -t out, or -i",
        ));
    }
    let client = find(globals).await?;
    let (cluster, task) = match meant(&client, globals, &args.task).await? {
        Meant::Task(cluster, task) => (cluster, task),
        Meant::Service(cluster, service) => {
            let task = task_of(&client, globals, &cluster, &service).await?;
            (cluster, task)
        }
    };
    let request = ExecRequest {
        cluster: Some(cluster),
        task,
        container: args.container,
        command: args.command,
        stdin: args.interactive,
        tty: args.tty.then(size),
    };
    let session = client.exec(&request).await.map_err(failure)?;
    let raw = RawMode::enter(args.tty && args.interactive)?;
    let ended = carry(session, args.interactive, args.tty).await;
    drop(raw);
    match ended? {
        0 => Ok(()),
        code => Err(Failure::Code(exit_code(code))),
    }
}

/// Exit codes have eight bits; what has more must not turn into success.
pub(super) fn exit_code(code: i64) -> u8 {
    match u8::try_from(code & 0xff) {
        Ok(0) | Err(_) => 1,
        Ok(code) => code,
    }
}

async fn task_of(
    client: &Client,
    globals: &Globals,
    cluster: &str,
    service: &str,
) -> Result<String, Failure> {
    let mut tasks: Vec<Document<TaskStatusDoc>> =
        typed(fetch(client, Kind::Task, globals, false).await?)?;
    tasks.retain(|t| t.status.cluster == cluster && t.status.service.as_deref() == Some(service));
    let task = running_task(&tasks)
        .ok_or_else(|| Failure::findings(format!("service {service} has no running task")))?;
    let running = tasks
        .iter()
        .filter(|t| t.status.last_status == "RUNNING")
        .count();
    if running > 1 {
        write_stderr(
            format!(
                "in task {}, one of {running} of service {service}\n",
                short(&task.status.id)
            )
            .as_bytes(),
        );
    }
    Ok(task.status.id.clone())
}

/// The terminal's size; where there is none, one that every program can live with.
fn size() -> (u16, u16) {
    crossterm::terminal::size().unwrap_or((80, 24))
}

/// Raw mode of the terminal, left when this is dropped.
struct RawMode(bool);

impl RawMode {
    fn enter(wanted: bool) -> Result<Self, Failure> {
        let wanted = wanted && stdout().is_terminal();
        if wanted {
            crossterm::terminal::enable_raw_mode().map_err(Failure::could_not_run)?;
        }
        Ok(Self(wanted))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        if self.0 {
            // A terminal that is gone needs no repair.
            let _ = crossterm::terminal::disable_raw_mode();
        }
    }
}

/// Carries input, output and sizes until the command has ended; returns its exit code.
async fn carry(session: ExecFrames, interactive: bool, tty: bool) -> Result<i64, Failure> {
    let (mut sink, mut frames) = session.split();
    let mut resized = signal(SignalKind::window_change()).map_err(Failure::could_not_run)?;
    let input = async move {
        if !interactive {
            // Sizes still have to be sent.
            if tty {
                while resized.recv().await.is_some() {
                    let (columns, rows) = size();
                    if sink.send(Frame::Resize(columns, rows)).await.is_err() {
                        break;
                    }
                }
            }
            return std::future::pending::<()>().await;
        }
        let mut stdin = tokio::io::stdin();
        let mut buffer = vec![0; 32 * 1024];
        let mut open = true;
        loop {
            let frame = tokio::select! {
                read = stdin.read(&mut buffer), if open => match read {
                    Ok(0) | Err(_) => {
                        open = false;
                        Frame::StdinEnd
                    }
                    Ok(n) => Frame::Stdin(Bytes::copy_from_slice(&buffer[..n])),
                },
                Some(()) = resized.recv(), if tty => {
                    let (columns, rows) = size();
                    Frame::Resize(columns, rows)
                }
                else => return std::future::pending::<()>().await,
            };
            if sink.send(frame).await.is_err() {
                // The session has ended; the other half says how.
                return std::future::pending::<()>().await;
            }
        }
    };
    let output = async {
        while let Some(frame) = frames.next().await {
            match frame {
                Ok(Frame::Stdout(bytes)) => {
                    // A closed stdout ends the session as it would end a local command.
                    if !write_stdout(&bytes) {
                        return Ok(141);
                    }
                }
                Ok(Frame::Stderr(bytes)) => write_stderr(&bytes),
                Ok(Frame::Exit(code)) => return Ok(code),
                Ok(Frame::Error(message)) => return Err(Failure::could_not_run(message)),
                Ok(Frame::Stdin(_) | Frame::StdinEnd | Frame::Resize(..)) => {}
                Err(error) => return Err(Failure::could_not_run(error)),
            }
        }
        Err(Failure::could_not_run(
            "the session broke off before the command had ended; it may still run",
        ))
    };
    tokio::select! {
        ended = output => ended,
        () = input => Err(Failure::could_not_run("standard input failed")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_never_becomes_success_by_having_too_many_bits() {
        assert_eq!(
            [exit_code(1), exit_code(137), exit_code(256), exit_code(-1)],
            [1, 137, 1, 255]
        );
    }
}
