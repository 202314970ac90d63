//! Health checks as Docker runs them: the first after one interval, each next one an interval after the last one's end;
//! failures within the start period count only once it was healthy; a container that has ended counts as unhealthy.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::behaviour::Probe;
use super::history::SimEventKind;
use super::process::{World, run_to_end};
use super::shell::{Program, compile};
use super::state::{Answer, Refusal, State, Timer};
use crate::engine::ErrorKind;
use crate::engine::body::HealthcheckBody;
use crate::model::HealthStatus;

/// How long a check takes that answers.
const PROBE: Duration = Duration::from_millis(10);
/// Docker's default interval and timeout.
const DEFAULT_PERIOD: Duration = Duration::from_secs(30);
/// Docker's default number of failures until unhealthy.
const DEFAULT_RETRIES: i64 = 3;
/// Bytes of a check's output that are shown.
const OUTPUT: usize = 512;
/// Results that the engine remembers.
const RESULTS: usize = 5;

#[derive(Debug, Clone)]
struct Check {
    program: Arc<Program>,
    display: String,
    interval: Duration,
    timeout: Duration,
    retries: i64,
    start_period: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    None,
    Starting,
    Healthy,
    Unhealthy,
}

/// A container's health.
#[derive(Debug, Clone)]
pub(super) struct Health {
    check: Option<Check>,
    status: Status,
    streak: i64,
    /// What the last checks wrote that failed; nothing for one that passed.
    recent: VecDeque<Option<String>>,
    /// What a test says that every check finds from now on.
    pub forced: Option<Probe>,
}

impl Health {
    /// The health of a container that was created with this check.
    pub fn of(body: Option<&HealthcheckBody>, env: &BTreeMap<String, String>) -> Answer<Self> {
        let mut health = Self {
            check: None,
            status: Status::None,
            streak: 0,
            recent: VecDeque::new(),
            forced: None,
        };
        let Some(body) = body else {
            return Ok(health);
        };
        let argv = match body.test.split_first() {
            None => return Ok(health),
            Some((kind, _)) if kind == "NONE" => return Ok(health),
            Some((kind, argv)) if kind == "CMD" && !argv.is_empty() => argv.to_vec(),
            Some((kind, [script])) if kind == "CMD-SHELL" => {
                vec!["/bin/sh".to_owned(), "-c".to_owned(), script.clone()]
            }
            Some((kind, _)) => {
                return Err(Refusal::new(
                    ErrorKind::Invalid,
                    format!("Unknown healthcheck type {kind}"),
                ));
            }
        };
        let time = |nanos: Option<i64>, default: Duration| match nanos {
            None | Some(0) => Ok(default),
            Some(nanos) if nanos < 1_000_000 => Err(Refusal::new(
                ErrorKind::Invalid,
                "a time of the Healthcheck cannot be less than 1ms",
            )),
            Some(nanos) => Ok(Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))),
        };
        health.check = Some(Check {
            display: argv.join(" "),
            program: Arc::new(compile(&argv, env)),
            interval: time(body.interval, DEFAULT_PERIOD)?,
            timeout: time(body.timeout, DEFAULT_PERIOD)?,
            retries: body
                .retries
                .filter(|retries| *retries > 0)
                .unwrap_or(DEFAULT_RETRIES),
            start_period: time(body.start_period, Duration::ZERO)?,
        });
        Ok(health)
    }

    /// A run begins: when its first check is due.
    pub fn begin(&mut self) -> Option<Duration> {
        let check = self.check.as_ref()?;
        self.status = Status::Starting;
        self.streak = 0;
        self.recent.clear();
        Some(check.interval)
    }

    /// A run has ended.
    pub fn end(&mut self) {
        if self.check.is_some() {
            self.status = Status::Unhealthy;
        }
    }

    pub fn status(&self) -> HealthStatus {
        match self.status {
            Status::None | Status::Starting => HealthStatus::Unknown,
            Status::Healthy => HealthStatus::Healthy,
            Status::Unhealthy => HealthStatus::Unhealthy,
        }
    }

    /// What the last check that failed wrote, as long as the engine remembers it.
    pub fn output(&self) -> Option<String> {
        self.recent
            .iter()
            .rev()
            .flatten()
            .next()
            .filter(|text| !text.is_empty())
            .cloned()
    }

    /// Takes a check's result; returns the new verdict if that changed.
    fn judge(&mut self, age: Duration, passed: bool, output: &str) -> Option<HealthStatus> {
        let check = self.check.as_ref()?;
        let before = self.status;
        if passed {
            self.streak = 0;
            self.status = Status::Healthy;
        } else {
            let counts = self.status != Status::Starting || age >= check.start_period;
            if counts {
                self.streak += 1;
                if self.streak >= check.retries {
                    self.status = Status::Unhealthy;
                }
            }
        }
        if self.recent.len() == RESULTS {
            self.recent.pop_front();
        }
        self.recent.push_back((!passed).then(|| cut(output.trim())));
        (self.status != before).then(|| self.status())
    }
}

fn cut(text: &str) -> String {
    let end = text
        .char_indices()
        .map(|(at, c)| at + c.len_utf8())
        .take_while(|end| *end <= OUTPUT)
        .last()
        .unwrap_or(0);
    text.get(..end).unwrap_or_default().to_owned()
}

impl State {
    /// A check is due.
    pub fn probe(&mut self, id: &str, run: u64) {
        let asks = self
            .containers
            .get(id)
            .and_then(|container| container.health.check.as_ref())
            .is_some_and(|check| check.program.resolves_names());
        let names = if asks {
            self.names_of(id)
        } else {
            BTreeSet::new()
        };
        let Some(container) = self.containers.get_mut(id) else {
            return;
        };
        if container.run != run || !container.is_running() {
            return;
        }
        let Some(check) = container.health.check.clone() else {
            return;
        };
        let age = container.since.elapsed();
        let by_behaviour = container
            .behaviour
            .as_ref()
            .and_then(|behaviour| behaviour.probe_at(age));
        let (found, took, output) = match container.health.forced.or(by_behaviour) {
            Some(probe) => (probe, PROBE, String::new()),
            None if check.program.is_understood() => {
                let outcome = run_to_end(
                    &check.program,
                    &mut World {
                        files: &mut container.files,
                        names: &names,
                        input: &mut Vec::new(),
                        input_ended: true,
                    },
                );
                match outcome.took {
                    Some(took) if took < check.timeout && outcome.status == 0 => {
                        (Probe::Pass, took + PROBE, outcome.output)
                    }
                    Some(took) if took < check.timeout => {
                        (Probe::Fail, took + PROBE, outcome.output)
                    }
                    _ => (Probe::Hang, check.timeout, String::new()),
                }
            }
            None => (Probe::Pass, PROBE, String::new()),
        };
        let (took, output) = match found {
            Probe::Hang => (
                check.timeout,
                format!("Health check exceeded timeout ({:?})", check.timeout),
            ),
            _ => (took, output),
        };
        self.emit_container(id, &format!("exec_create: {}", check.display), &[]);
        self.emit_container(id, &format!("exec_start: {}", check.display), &[]);
        self.after(
            took,
            Timer::Verdict {
                container: id.to_owned(),
                run,
                passed: found == Probe::Pass,
                output,
            },
        );
    }

    /// A check has its result.
    pub fn verdict(&mut self, id: &str, run: u64, passed: bool, output: String) {
        let Some(container) = self.containers.get(id) else {
            return;
        };
        if container.run != run || !container.is_running() {
            return;
        }
        let code = if passed { "0" } else { "1" };
        self.emit_container(id, "exec_die", &[("exitCode", code.to_owned())]);
        let Some(container) = self.containers.get_mut(id) else {
            return;
        };
        let age = container.since.elapsed();
        let changed = container.health.judge(age, passed, &output);
        let interval = container.health.check.as_ref().map(|check| check.interval);
        match changed {
            Some(HealthStatus::Healthy) => {
                self.record(id, SimEventKind::Healthy);
                self.emit_container(id, "health_status: healthy", &[]);
            }
            Some(HealthStatus::Unhealthy) => {
                self.record(id, SimEventKind::Unhealthy);
                self.emit_container(id, "health_status: unhealthy", &[]);
            }
            _ => {}
        }
        if let Some(interval) = interval {
            self.after(
                interval,
                Timer::Probe {
                    container: id.to_owned(),
                    run,
                },
            );
        }
    }
}
