//! What containers and commands write: logs, and commands run in containers.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::process::{OnTerm, Process, Turn, World};
use super::shell::{Op, Program, compile};
use super::state::{Answer, Refusal, State, Timer};
use crate::engine::body::LogConfigBody;
use crate::engine::{EngineResult, ErrorKind, ExecOptions, LogOptions, OutputChunk, OutputStream};

/// Lines that are kept of one container.
const KEPT: usize = 10_000;
/// From the start of a command to its first instruction.
const LAUNCH: Duration = Duration::from_millis(2);

pub(super) type Sender = mpsc::UnboundedSender<EngineResult<OutputChunk>>;
pub(super) type Receiver = mpsc::UnboundedReceiver<EngineResult<OutputChunk>>;

#[derive(Debug, Clone)]
struct Line {
    nanos: i64,
    stream: OutputStream,
    bytes: Bytes,
}

impl Line {
    fn chunk(&self, timestamps: bool) -> OutputChunk {
        let bytes = if timestamps {
            let at = jiff::Timestamp::from_nanosecond(i128::from(self.nanos)).unwrap_or_default();
            let mut with_time = format!("{at:.9} ").into_bytes();
            with_time.extend_from_slice(&self.bytes);
            Bytes::from(with_time)
        } else {
            self.bytes.clone()
        };
        OutputChunk {
            stream: self.stream,
            bytes,
        }
    }
}

/// A container's log.
#[derive(Debug)]
pub(super) struct Log {
    lines: VecDeque<Line>,
    followers: Vec<(Sender, bool)>,
    readable: bool,
}

impl Log {
    pub fn new(config: Option<&LogConfigBody>) -> Self {
        let driver = config.map_or("", |config| config.r#type.as_str());
        Self {
            lines: VecDeque::new(),
            followers: Vec::new(),
            readable: matches!(driver, "" | "json-file" | "local" | "journald"),
        }
    }

    pub fn write(&mut self, nanos: i64, stream: OutputStream, bytes: &[u8], tty: bool) {
        let stream = if tty { OutputStream::Stdout } else { stream };
        for bytes in bytes.split_inclusive(|byte| *byte == b'\n') {
            let line = Line {
                nanos,
                stream,
                bytes: Bytes::copy_from_slice(bytes),
            };
            self.followers
                .retain(|(sender, timestamps)| sender.send(Ok(line.chunk(*timestamps))).is_ok());
            if self.lines.len() == KEPT {
                self.lines.pop_front();
            }
            self.lines.push_back(line);
        }
    }

    /// Ends every follower's stream.
    pub fn cut(&mut self) {
        self.followers.clear();
    }
}

/// A command that runs, or ran, in a container.
#[derive(Debug)]
pub(super) struct Exec {
    pub container: String,
    process: Process,
    sender: Option<Sender>,
    tty: bool,
    exit_code: Option<i64>,
    input: Vec<u8>,
    input_ended: bool,
}

impl State {
    pub fn logs(&mut self, target: &str, options: &LogOptions) -> Answer<Receiver> {
        let container = self.container_mut(target)?;
        let follow = options.follow && container.is_running();
        let log = &mut container.log;
        if !log.readable {
            return Err(Refusal::new(
                ErrorKind::Unsupported,
                "configured logging driver does not support reading",
            ));
        }
        let (sender, receiver) = mpsc::unbounded_channel();
        let since = options.since.map_or(i64::MIN, |since| {
            since.as_millis().saturating_mul(1_000_000)
        });
        let lines: Vec<&Line> = log
            .lines
            .iter()
            .filter(|line| line.nanos >= since)
            .collect();
        let tail = options
            .tail
            .and_then(|tail| usize::try_from(tail).ok())
            .unwrap_or(usize::MAX);
        for line in lines.iter().skip(lines.len().saturating_sub(tail)) {
            let _ = sender.send(Ok(line.chunk(options.timestamps)));
        }
        if follow {
            log.followers.push((sender, options.timestamps));
        }
        Ok(receiver)
    }

    pub fn exec(&mut self, target: &str, options: &ExecOptions) -> Answer<(String, Receiver)> {
        let container = self.container(target)?;
        if !container.is_running() {
            return Err(Refusal::new(
                ErrorKind::Conflict,
                format!("Container {} is not running", container.id),
            ));
        }
        let Some(name) = options.command.first() else {
            return Err(Refusal::new(
                ErrorKind::Invalid,
                "No exec command specified",
            ));
        };
        let program = match self.check_program(&container.image_id, name) {
            Ok(()) => told(compile(&options.command, &container.env)),
            Err(why) => failed(
                126,
                format!(
                    "OCI runtime exec failed: exec failed: unable to start container process: exec: \"{name}\": {why}: unknown\r\n"
                ),
            ),
        };
        let container = container.id.clone();
        let id = self.fresh_id();
        let (sender, receiver) = mpsc::unbounded_channel();
        self.execs.insert(
            id.clone(),
            Exec {
                container: container.clone(),
                process: Process::new(program.into(), OnTerm::Ignore),
                sender: Some(sender),
                tty: options.tty.is_some(),
                exit_code: None,
                input: Vec::new(),
                input_ended: !options.stdin,
            },
        );
        let display = options.command.join(" ");
        self.emit_container(&container, &format!("exec_create: {display}"), &[]);
        self.emit_container(&container, &format!("exec_start: {display}"), &[]);
        self.after(LAUNCH, Timer::ExecStep { exec: id.clone() });
        Ok((id, receiver))
    }

    pub fn exec_exit_code(&self, id: &str) -> Answer<Option<i64>> {
        self.execs
            .get(id)
            .map(|exec| exec.exit_code)
            .ok_or_else(|| no_exec(id))
    }

    /// Lets a command go on.
    pub fn step_exec(&mut self, id: &str) {
        loop {
            let names = match self.execs.get(id) {
                Some(exec) if exec.process.resolves_names() => self.names_of(&exec.container),
                _ => BTreeSet::new(),
            };
            let Some(exec) = self.execs.get_mut(id) else {
                return;
            };
            if exec.exit_code.is_some() {
                return;
            }
            let Some(container) = self.containers.get_mut(&exec.container) else {
                return;
            };
            let turn = exec.process.turn(&mut World {
                files: &mut container.files,
                names: &names,
                input: &mut exec.input,
                input_ended: exec.input_ended,
            });
            match turn {
                Turn::Print(stream, bytes) => {
                    let stream = if exec.tty {
                        OutputStream::Stdout
                    } else {
                        stream
                    };
                    if let Some(sender) = &exec.sender {
                        let _ = sender.send(Ok(OutputChunk {
                            stream,
                            bytes: Bytes::from(bytes),
                        }));
                    }
                }
                Turn::Sleep(Some(time)) => {
                    self.after(
                        time,
                        Timer::ExecStep {
                            exec: id.to_owned(),
                        },
                    );
                    return;
                }
                Turn::Sleep(None) | Turn::Read => return,
                Turn::End(code) => {
                    self.end_exec(id, code);
                    return;
                }
            }
        }
    }

    fn end_exec(&mut self, id: &str, code: i64) {
        let Some(exec) = self.execs.get_mut(id) else {
            return;
        };
        exec.exit_code = Some(code);
        exec.sender = None;
        let container = exec.container.clone();
        self.emit_container(&container, "exec_die", &[("exitCode", code.to_string())]);
    }

    /// A container has ended: so have the commands in it.
    pub fn end_execs_of(&mut self, container: &str) {
        let running: Vec<String> = self
            .execs
            .iter()
            .filter(|(_, exec)| exec.container == container && exec.exit_code.is_none())
            .map(|(id, _)| id.clone())
            .collect();
        for id in running {
            self.end_exec(&id, 137);
        }
    }

    /// Bytes for a command's standard input; `None`: it has ended.
    pub fn exec_input(&mut self, id: &str, bytes: Option<&[u8]>) {
        if let Some(exec) = self.execs.get_mut(id) {
            match bytes {
                Some(bytes) => exec.input.extend_from_slice(bytes),
                None => exec.input_ended = true,
            }
            self.step_exec(id);
        }
    }

    /// An attachment to a container's standard input has ended, in the run of the container that it was made for.
    pub fn detach(&mut self, id: &str, ends: u64) {
        if let Some(until) = self.cut_off_until.filter(|_| self.is_cut_off()) {
            // The engine does not hear of it before.
            let timer = Timer::Detach {
                container: id.to_owned(),
                ends,
            };
            self.after(until.duration_since(Instant::now()), timer);
            return;
        }
        let Some(container) = self.containers.get_mut(id) else {
            return;
        };
        let same_run = *container.ended.borrow() == ends;
        if !same_run || container.body.stdin_once != Some(true) {
            return;
        }
        container.stdin.ended = true;
        let run = container.run;
        self.step(id, run);
    }
}

fn no_exec(id: &str) -> Refusal {
    Refusal::new(ErrorKind::NotFound, format!("No such exec instance: {id}"))
}

fn failed(code: i64, message: String) -> Program {
    Program {
        ops: vec![
            Op::Print(OutputStream::Stdout, message),
            Op::Exit(Some(code)),
        ],
    }
}

/// A command that is not known here says so and ends, rather than run for ever.
fn told(program: Program) -> Program {
    match program.ops.as_slice() {
        [Op::Unknown(name)] => Program {
            ops: vec![
                Op::Print(
                    OutputStream::Stderr,
                    format!("{name}: the simulated engine does not run this program\n"),
                ),
                Op::Exit(Some(0)),
            ],
        },
        _ => program,
    }
}
