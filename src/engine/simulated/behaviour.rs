//! What the process of a container does, where its command alone does not say it.
//!
//! Looked up when a container starts, first hit wins: the environment variable [`HINT`], the engine's [`Habits`], a behaviour
//! that a test set for the image, the command as [`shell`](super::shell) understands it. What nobody knows runs for ever and is healthy.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::process::OnTerm;
use super::shell::{Op, Program};
use crate::engine::OutputStream;

/// The environment variable that tells a simulated container how to behave: clauses separated by `;`, for example
/// `exit 1 after 5s; healthy after 3s`. The clauses: `run`, `exit CODE [after TIME]`, `oom [after TIME]`, `read stdin`,
/// `cannot start`, `ignore term`, `term CODE [after TIME]`, `healthy [after TIME]`, `unhealthy [after TIME]`,
/// `hang [after TIME]`, `print TEXT [after TIME]`. A time is `500ms`, `5s`, `2m`.
pub const HINT: &str = "LONGSHORE_SIMULATE";

/// What containers do, by their labels and the image that they were created with; `None`: see the [module](self).
pub type Habits = Arc<dyn Fn(&BTreeMap<String, String>, &str) -> Option<Behaviour> + Send + Sync>;

/// How a process runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Run {
    /// Until somebody stops it.
    Forever,
    /// It ends by itself.
    For {
        /// After its start.
        after: Duration,
        /// With this exit code.
        code: i64,
    },
    /// The kernel kills it for its memory.
    OutOfMemory {
        /// After its start.
        after: Duration,
    },
    /// Until its standard input ends; then it ends with 0.
    UntilInputEnds,
    /// The engine cannot start it.
    CannotStart {
        /// The engine's words.
        message: String,
    },
}

/// What a health check finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// Success.
    Pass,
    /// Failure.
    Fail,
    /// No answer within its timeout.
    Hang,
}

/// What a container's process does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Behaviour {
    /// How it runs.
    pub run: Run,
    /// How it answers SIGTERM.
    pub on_term: OnTerm,
    /// What its health check finds from each time after the start on; before the first it fails. Absent: what the
    /// check's command comes to, or success where that is not understood.
    pub health: Option<Vec<(Duration, Probe)>>,
    /// What it prints, and when after its start.
    pub output: Vec<(Duration, OutputStream, String)>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self::forever()
    }
}

impl Behaviour {
    /// A server: it runs until it is asked to end, and ends soon then.
    pub const fn forever() -> Self {
        Self {
            run: Run::Forever,
            on_term: OnTerm::GRACEFUL,
            health: None,
            output: Vec::new(),
        }
    }

    /// It ends with `code` after `after`, at every start.
    pub fn exits(after: Duration, code: i64) -> Self {
        Self {
            run: Run::For { after, code },
            ..Self::forever()
        }
    }

    /// The kernel kills it after `after`.
    pub fn out_of_memory(after: Duration) -> Self {
        Self {
            run: Run::OutOfMemory { after },
            ..Self::forever()
        }
    }

    /// It ends when its standard input does.
    pub fn reads_input() -> Self {
        Self {
            run: Run::UntilInputEnds,
            ..Self::forever()
        }
    }

    /// The engine fails to start it.
    pub fn cannot_start(message: &str) -> Self {
        Self {
            run: Run::CannotStart {
                message: message.to_owned(),
            },
            ..Self::forever()
        }
    }

    /// It has no handler for SIGTERM.
    #[must_use]
    pub fn ignoring_term(mut self) -> Self {
        self.on_term = OnTerm::Ignore;
        self
    }

    /// From `after` on its health check finds `probe`; before the first of these it fails.
    #[must_use]
    pub fn probe_after(mut self, after: Duration, probe: Probe) -> Self {
        let health = self.health.get_or_insert_default();
        health.push((after, probe));
        health.sort_by_key(|(after, _)| *after);
        self
    }

    /// It prints a line.
    #[must_use]
    pub fn printing(mut self, after: Duration, text: &str) -> Self {
        self.output
            .push((after, OutputStream::Stdout, format!("{text}\n")));
        self.output.sort_by_key(|(after, _, _)| *after);
        self
    }

    /// What a health check finds at `age` after the start, where this behaviour decides it.
    pub fn probe_at(&self, age: Duration) -> Option<Probe> {
        let health = self.health.as_ref()?;
        Some(
            health
                .iter()
                .rev()
                .find(|(after, _)| *after <= age)
                .map_or(Probe::Fail, |(_, probe)| *probe),
        )
    }

    /// The program that does this.
    pub(super) fn program(&self) -> Arc<Program> {
        let mut ops = Vec::new();
        let mut at = Duration::ZERO;
        let end = match &self.run {
            Run::For { after, .. } | Run::OutOfMemory { after } => Some(*after),
            _ => None,
        };
        let wait = |ops: &mut Vec<Op>, at: &mut Duration, until: Duration| {
            if until > *at {
                ops.push(Op::Sleep {
                    time: Some(until - *at),
                    interruptible: true,
                });
                *at = until;
            }
        };
        for (after, stream, text) in &self.output {
            if end.is_some_and(|end| *after > end) {
                break;
            }
            wait(&mut ops, &mut at, *after);
            ops.push(Op::Print(*stream, text.clone()));
        }
        match &self.run {
            Run::Forever | Run::CannotStart { .. } => ops.push(Op::Sleep {
                time: None,
                interruptible: true,
            }),
            Run::For { after, code } => {
                wait(&mut ops, &mut at, *after);
                ops.push(Op::Exit(Some(*code)));
            }
            Run::OutOfMemory { after } => {
                wait(&mut ops, &mut at, *after);
                ops.push(Op::Exit(Some(137)));
            }
            Run::UntilInputEnds => ops.push(Op::Cat),
        }
        Arc::new(Program { ops })
    }

    /// Reads a [`HINT`]; an error says which clause is wrong.
    pub fn parse(hint: &str) -> Result<Self, String> {
        let mut behaviour = Self::forever();
        for clause in hint.split(';').map(str::trim).filter(|c| !c.is_empty()) {
            let wrong = || format!("{HINT}: {clause:?} is not a behaviour");
            let words: Vec<&str> = clause.split_whitespace().collect();
            let (words, after) = match words.as_slice() {
                [what @ .., "after", time] => (what, duration(time).ok_or_else(wrong)?),
                what => (what, Duration::ZERO),
            };
            let code = |code: &str| code.parse::<i64>().map_err(|_| wrong());
            match words {
                ["run"] => behaviour.run = Run::Forever,
                ["exit", number] => {
                    behaviour.run = Run::For {
                        after,
                        code: code(number)?,
                    }
                }
                ["oom"] => behaviour.run = Run::OutOfMemory { after },
                ["read", "stdin"] => behaviour.run = Run::UntilInputEnds,
                ["cannot", "start"] => {
                    behaviour.run = Run::CannotStart {
                        message: "the simulated process cannot start".to_owned(),
                    }
                }
                ["ignore", "term"] => behaviour.on_term = OnTerm::Ignore,
                ["term", number] => {
                    behaviour.on_term = OnTerm::Exit {
                        after,
                        code: code(number)?,
                    }
                }
                ["healthy"] => behaviour = behaviour.probe_after(after, Probe::Pass),
                ["unhealthy"] => {
                    if behaviour.health.is_none() && after > Duration::ZERO {
                        behaviour = behaviour.probe_after(Duration::ZERO, Probe::Pass);
                    }
                    behaviour = behaviour.probe_after(after, Probe::Fail);
                }
                ["hang"] => behaviour = behaviour.probe_after(after, Probe::Hang),
                ["print", text @ ..] => behaviour = behaviour.printing(after, &text.join(" ")),
                _ => return Err(wrong()),
            }
        }
        Ok(behaviour)
    }

    /// The behaviour that an environment asks for.
    pub(super) fn hinted(env: &BTreeMap<String, String>) -> Result<Option<Self>, String> {
        env.get(HINT).map(|hint| Self::parse(hint)).transpose()
    }
}

/// `500ms`, `5s`, `2m`.
fn duration(text: &str) -> Option<Duration> {
    if let Some(millis) = text.strip_suffix("ms") {
        return millis.parse().ok().map(Duration::from_millis);
    }
    if let Some(minutes) = text.strip_suffix('m') {
        return minutes
            .parse::<u32>()
            .ok()
            .map(|m| Duration::from_secs(60) * m);
    }
    let seconds: u32 = text.strip_suffix('s')?.parse().ok()?;
    Some(Duration::from_secs(u64::from(seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_hint_reads_as_the_behaviour_that_it_describes() {
        assert_eq!(
            Behaviour::parse(
                "exit 1 after 5s; healthy after 3s; print ready after 1s; ignore term"
            ),
            Ok(Behaviour::exits(secs(5), 1)
                .probe_after(secs(3), Probe::Pass)
                .printing(secs(1), "ready")
                .ignoring_term())
        );
        assert!(Behaviour::parse("dance").is_err());
        assert!(Behaviour::parse("exit 1 after soon").is_err());
    }

    #[test]
    fn the_latest_probe_that_has_begun_decides() {
        let behaviour =
            Behaviour::parse("healthy after 3s; unhealthy after 9s").unwrap_or_default();
        let at = |seconds| behaviour.probe_at(secs(seconds));
        assert_eq!(
            [at(0), at(3), at(8), at(9)],
            [
                Some(Probe::Fail),
                Some(Probe::Pass),
                Some(Probe::Pass),
                Some(Probe::Fail)
            ]
        );
        assert_eq!(Behaviour::forever().probe_at(secs(1)), None);
    }

    #[test]
    fn lines_after_the_end_are_never_printed() {
        let behaviour = Behaviour::exits(secs(2), 3)
            .printing(secs(1), "one")
            .printing(secs(5), "never");
        let printed = behaviour
            .program()
            .ops
            .iter()
            .filter(|op| matches!(op, Op::Print(..)))
            .count();
        assert_eq!(printed, 1);
    }
}
