//! What is known of each container of a task: the engine's word where there is one, else the last status.

use super::action::{CallKey, Verb};
use super::facts::StepInput;
use super::{restart, retry};
use crate::engine::labels::PAUSE_CONTAINER;
use crate::engine::{ContainerState, ObservedContainer};
use crate::model::{ContainerSpec, ContainerStatus, HealthStatus, LastStatus, Timestamp};

/// Stands for the engine's own words about a container whose log driver was given secrets: they may quote them, and nobody
/// knows the values any more that would have to be taken out (P9).
pub(super) const WITHHELD: &str = "the engine could not run it; its words are not repeated, since they may hold the value of a secret log option (see `docker inspect`)";

/// How far a container is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Phase {
    /// It does not exist and never ran.
    Absent,
    /// It exists and never ran.
    Created,
    /// It runs, or is paused by somebody.
    Running,
    /// It ended, and its restart policy starts it again.
    Restarting,
    /// It ran and ended for good, or it ran and was removed.
    Ended,
    /// It never ran and never will.
    Failed(Failure),
}

/// Why a container never ran.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Failure {
    /// `<ErrorName>: <message>` (semantics §4.9); absent where the task stopped before its turn came.
    pub reason: Option<String>,
    /// 143 where a dependency was at fault (semantics §4.13).
    pub exit_code: Option<i64>,
    /// Stops the task also where the container is not essential (semantics §4.18).
    pub fatal: bool,
}

/// One container of a task.
#[derive(Debug, Clone)]
pub(super) struct Known<'a> {
    pub spec: &'a ContainerSpec,
    pub observed: Option<&'a ObservedContainer>,
    pub prior: Option<&'a ContainerStatus>,
    /// A call on it is under way.
    pub busy: bool,
    pub phase: Phase,
}

/// A task's containers.
#[derive(Debug, Clone)]
pub(super) struct Containers<'a> {
    /// In the definition's order.
    pub all: Vec<Known<'a>>,
    /// The pause container, if it exists.
    pub pause: Option<&'a ObservedContainer>,
    /// A call on the pause container is under way.
    pub pause_busy: bool,
}

impl<'a> Containers<'a> {
    /// Looks at everything. In a task that is `stopping` nothing is restarted.
    pub fn look(input: &StepInput<'a>, stopping: bool) -> Self {
        let all = input
            .spec
            .containers
            .iter()
            .map(|spec| Known::look(spec, input, stopping))
            .collect();
        Self {
            all,
            pause: input.observed.get(PAUSE_CONTAINER),
            pause_busy: input.facts.busy.contains(PAUSE_CONTAINER),
        }
    }

    /// The container of that name.
    pub fn get(&self, name: &str) -> Option<&Known<'a>> {
        self.all.iter().find(|known| known.spec.name == name)
    }

    /// Nothing is restarted any more: what ended has ended.
    pub fn stop_restarts(&mut self) {
        for known in &mut self.all {
            if known.phase == Phase::Restarting {
                known.phase = Phase::Ended;
            }
        }
    }

    /// Whether every container runs or has run, or never will: nothing is left to be started (semantics §4.3).
    pub fn all_up(&self) -> bool {
        self.all
            .iter()
            .all(|known| !matches!(known.phase, Phase::Absent | Phase::Created))
    }

    /// Whether any container ran, now or before.
    pub fn any_ran(&self) -> bool {
        self.all.iter().any(|known| known.started_at().is_some())
    }
}

impl<'a> Known<'a> {
    fn look(spec: &'a ContainerSpec, input: &StepInput<'a>, stopping: bool) -> Self {
        let observed = input.observed.get(&spec.name);
        let mut known = Self {
            spec,
            observed,
            prior: input.prior.container(&spec.name),
            busy: input.facts.busy.contains(&spec.name),
            phase: Phase::Absent,
        };
        known.phase = known.phase_now(input, stopping);
        known
    }

    fn phase_now(&self, input: &StepInput<'_>, stopping: bool) -> Phase {
        let over = self
            .prior
            .is_some_and(|p| p.last_status == LastStatus::Stopped);
        match self.observed {
            Some(found) if is_up(found.state) => Phase::Running,
            Some(found) if self.ran(found) => {
                let start = CallKey::new(Verb::Start, &self.spec.name);
                let attempt = input.facts.attempts.get(&start);
                let restart = !stopping
                    && restart::wanted(self.spec.restart_policy.as_ref(), found)
                    && retry::verdict(Verb::Start, attempt, input.now) != retry::Verdict::Never;
                if restart {
                    Phase::Restarting
                } else {
                    Phase::Ended
                }
            }
            _ if over && self.started_at().is_none() => Phase::Failed(self.earlier_failure()),
            Some(found) if found.state == ContainerState::Created => Phase::Created,
            // Being removed, or dead, and never ran: as good as gone. Its name comes free when the engine is done.
            Some(_) => Phase::Absent,
            None if over || self.started_at().is_some() => Phase::Ended,
            None => Phase::Absent,
        }
    }

    fn ran(&self, found: &ObservedContainer) -> bool {
        match found.state {
            ContainerState::Exited => true,
            ContainerState::Dead | ContainerState::Removing => self.started_at().is_some(),
            _ => false,
        }
    }

    fn earlier_failure(&self) -> Failure {
        Failure {
            reason: self.prior.and_then(|p| p.reason.clone()),
            exit_code: self.prior.and_then(|p| p.exit_code),
            fatal: false,
        }
    }

    /// When it last started, if it ever did.
    pub fn started_at(&self) -> Option<Timestamp> {
        self.observed
            .and_then(|found| found.started_at)
            .or_else(|| self.prior.and_then(|p| p.started_at))
    }

    /// When it ended, as far as somebody saw it.
    pub fn finished_at(&self) -> Option<Timestamp> {
        self.observed
            .and_then(|found| found.finished_at)
            .or_else(|| self.prior.and_then(|p| p.finished_at))
    }

    /// Its exit code, once it has ended; none where it was removed before anybody saw it end.
    pub fn exit_code(&self) -> Option<i64> {
        match &self.phase {
            Phase::Failed(failure) => failure.exit_code,
            Phase::Ended | Phase::Restarting => self
                .observed
                .and_then(|found| found.exit_code)
                .or_else(|| self.prior.and_then(|p| p.exit_code)),
            _ => None,
        }
    }

    /// Its health, by the definition's health check only (semantics §4.10). What has ended keeps its last verdict.
    pub fn health(&self) -> HealthStatus {
        if self.spec.health_check.is_none() {
            return HealthStatus::Unknown;
        }
        match (&self.phase, self.observed) {
            (Phase::Running, Some(found)) => found.health,
            _ => self.prior.map_or(HealthStatus::Unknown, |p| p.health),
        }
    }

    /// Whether it runs or is about to run again.
    pub fn lives(&self) -> bool {
        matches!(self.phase, Phase::Running | Phase::Restarting)
    }

    /// Whether it will do nothing any more, unless somebody starts it.
    pub fn is_down(&self) -> bool {
        !self.busy && !self.lives()
    }
}

/// Whether a container in that state has a process.
pub(super) fn is_up(state: ContainerState) -> bool {
    matches!(
        state,
        ContainerState::Running | ContainerState::Paused | ContainerState::Restarting
    )
}
