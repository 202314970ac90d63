//! Steps through a [`Program`] in virtual time: a container's process, or a command run in a container.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::shell::{Op, Program};
use crate::engine::OutputStream;

/// Steps without time passing after which a program is taken for one that spins for ever.
const SPIN: usize = 10_000;

/// How a process answers SIGTERM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnTerm {
    /// It ends with this status, this long after the signal.
    Exit {
        /// Time to clean up.
        after: Duration,
        /// Its status.
        code: i64,
    },
    /// Nothing: process 1 of a container has no default actions, so one without a handler ignores the signal.
    Ignore,
}

impl OnTerm {
    /// A server with a handler, as most images have.
    pub const GRACEFUL: Self = Self::Exit {
        after: Duration::from_millis(50),
        code: 143,
    };
}

/// What a process sees of its container.
pub struct World<'a> {
    /// Files that were written, by path.
    pub files: &'a mut BTreeMap<String, String>,
    /// Names that have an address on its networks.
    pub names: &'a BTreeSet<String>,
    /// What was written to standard input and not read yet.
    pub input: &'a mut Vec<u8>,
    /// Whether standard input has ended.
    pub input_ended: bool,
}

/// What a process does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// It wrote; ask again.
    Print(OutputStream, Vec<u8>),
    /// Ask again after that long; never, if absent.
    Sleep(Option<Duration>),
    /// Ask again when standard input has more, or has ended.
    Read,
    /// It has ended.
    End(i64),
}

/// A running program.
#[derive(Debug, Clone)]
pub struct Process {
    program: Arc<Program>,
    at: usize,
    status: i64,
    on_term: OnTerm,
    /// It is a shell with a trap, which waits for its child in the foreground before it runs that.
    trapped: bool,
    in_foreground: bool,
    pending: Option<i64>,
}

impl Process {
    /// A process at the start of `program`.
    pub fn new(program: Arc<Program>, on_term: OnTerm) -> Self {
        Self {
            program,
            at: 0,
            status: 0,
            on_term,
            trapped: false,
            in_foreground: false,
            pending: None,
        }
    }

    /// Whether it asks for addresses.
    pub fn resolves_names(&self) -> bool {
        self.program.resolves_names()
    }

    /// Delivers SIGTERM: in how long it ends with which status, or `None` when it goes on (for ever, or until its child ends).
    pub fn terminate(&mut self) -> Option<(Duration, i64)> {
        match self.on_term {
            OnTerm::Ignore => None,
            OnTerm::Exit { code, .. } if self.trapped && self.in_foreground => {
                self.pending = Some(code);
                None
            }
            OnTerm::Exit { after, code } => Some((after, code)),
        }
    }

    /// Goes on until something happens that others can see.
    pub fn turn(&mut self, world: &mut World<'_>) -> Turn {
        self.in_foreground = false;
        for _ in 0..SPIN {
            if let Some(status) = self.pending {
                return Turn::End(status);
            }
            let Some(op) = self.program.ops.get(self.at).cloned() else {
                return Turn::End(self.status);
            };
            self.at += 1;
            match op {
                Op::Print(stream, text) => return Turn::Print(stream, text.into_bytes()),
                Op::Sleep {
                    time,
                    interruptible,
                } => {
                    self.in_foreground = !interruptible;
                    return Turn::Sleep(time);
                }
                Op::Status(status) => self.status = status,
                Op::Negate => self.status = i64::from(self.status == 0),
                Op::Exit(status) => return Turn::End(status.unwrap_or(self.status)),
                Op::Write(path, text, append) => {
                    let file = world.files.entry(path).or_default();
                    if !append {
                        file.clear();
                    }
                    file.push_str(&text);
                }
                Op::Touch(path) => {
                    world.files.entry(path).or_default();
                }
                Op::Remove(path) => {
                    world.files.remove(&path);
                }
                Op::Exists(path) => {
                    self.status = i64::from(!world.files.contains_key(&path));
                }
                Op::Cat => {
                    if !world.input.is_empty() {
                        self.at -= 1;
                        return Turn::Print(OutputStream::Stdout, std::mem::take(world.input));
                    }
                    if !world.input_ended {
                        self.at -= 1;
                        return Turn::Read;
                    }
                    self.status = 0;
                }
                Op::CatFile(path) => match world.files.get(&path) {
                    Some(text) => {
                        return Turn::Print(OutputStream::Stdout, text.clone().into_bytes());
                    }
                    None => {
                        self.status = 1;
                        let error =
                            format!("cat: can't open '{path}': No such file or directory\n");
                        return Turn::Print(OutputStream::Stderr, error.into_bytes());
                    }
                },
                Op::Resolve(name) => self.status = i64::from(!world.names.contains(&name)),
                Op::Jump(to) => self.at = to,
                Op::JumpIf(success, to) => {
                    if (self.status == 0) == success {
                        self.at = to;
                    }
                }
                Op::Trap(status) => {
                    self.trapped = true;
                    self.on_term = status.map_or(OnTerm::Ignore, |code| OnTerm::Exit {
                        after: Duration::ZERO,
                        code,
                    });
                }
                Op::Unknown(_) => {
                    self.status = 0;
                    if self.at == self.program.ops.len() {
                        self.on_term = OnTerm::GRACEFUL;
                        return Turn::Sleep(None);
                    }
                }
            }
        }
        Turn::Sleep(None)
    }
}

/// What a command that is run to its end without anybody watching comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// How long it took; `None`: it never ends.
    pub took: Option<Duration>,
    /// Its status.
    pub status: i64,
    /// What it wrote, both streams.
    pub output: String,
}

/// Runs a program in one go (a health check): time is added up, not waited for.
pub fn run_to_end(program: &Arc<Program>, world: &mut World<'_>) -> Outcome {
    let mut process = Process::new(Arc::clone(program), OnTerm::Ignore);
    let mut outcome = Outcome {
        took: Some(Duration::ZERO),
        status: 0,
        output: String::new(),
    };
    for _ in 0..SPIN {
        match process.turn(world) {
            Turn::Print(_, bytes) => outcome.output.push_str(&String::from_utf8_lossy(&bytes)),
            Turn::Sleep(Some(time)) => outcome.took = outcome.took.map(|took| took + time),
            Turn::Sleep(None) | Turn::Read => {
                outcome.took = None;
                return outcome;
            }
            Turn::End(status) => {
                outcome.status = status;
                return outcome;
            }
        }
    }
    outcome.took = None;
    outcome
}

#[cfg(test)]
mod tests {
    use super::super::shell::compile;
    use super::*;

    fn process(script: &str) -> Process {
        let argv = ["sh", "-c", script].map(str::to_owned);
        Process::new(Arc::new(compile(&argv, &BTreeMap::new())), OnTerm::Ignore)
    }

    fn all_turns(mut process: Process, files: &mut BTreeMap<String, String>) -> Vec<Turn> {
        let (names, mut input) = (BTreeSet::new(), Vec::new());
        let mut turns = Vec::new();
        while turns.len() < 20 {
            let turn = process.turn(&mut World {
                files,
                names: &names,
                input: &mut input,
                input_ended: true,
            });
            let last = matches!(turn, Turn::End(_) | Turn::Sleep(None));
            turns.push(turn);
            if last {
                break;
            }
        }
        turns
    }

    #[test]
    fn time_passes_between_what_it_prints() {
        let turns = all_turns(
            process("echo a; sleep 2; echo b; exit 4"),
            &mut BTreeMap::new(),
        );
        let line = |text: &str| Turn::Print(OutputStream::Stdout, text.as_bytes().to_vec());
        assert_eq!(
            turns,
            [
                line("a\n"),
                Turn::Sleep(Some(Duration::from_secs(2))),
                line("b\n"),
                Turn::End(4)
            ]
        );
    }

    #[test]
    fn a_loop_without_time_is_a_process_that_runs_for_ever() {
        let turns = all_turns(process("while true; do true; done"), &mut BTreeMap::new());
        assert_eq!(turns, [Turn::Sleep(None)]);
    }

    #[test]
    fn files_decide_a_test() {
        let mut files = BTreeMap::new();
        let check = || process("test ! -f /tmp/sick");
        assert_eq!(all_turns(check(), &mut files), [Turn::End(0)]);
        all_turns(process("touch /tmp/sick"), &mut files);
        assert_eq!(all_turns(check(), &mut files), [Turn::End(1)]);
    }

    #[test]
    fn a_trap_waits_for_the_child_in_the_foreground_and_not_for_one_in_the_background() {
        let run = |script: &str| {
            let mut process = process(script);
            let (names, mut input, mut files) = (BTreeSet::new(), Vec::new(), BTreeMap::new());
            let mut world = World {
                files: &mut files,
                names: &names,
                input: &mut input,
                input_ended: true,
            };
            process.turn(&mut world);
            (process.terminate(), process.turn(&mut world))
        };
        assert_eq!(
            run("trap 'exit 7' TERM; sleep 9; echo never"),
            (None, Turn::End(7))
        );
        assert_eq!(
            run("trap 'exit 7' TERM; sleep 9 & wait; echo x").0,
            Some((Duration::ZERO, 7))
        );
    }
}
