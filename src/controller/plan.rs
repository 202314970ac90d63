//! The plan of one service at one instant: a pure function of what is wanted, what was recorded and what was seen.
//!
//! No I/O, no clock, no randomness, no logging, no dependence on the order of its inputs. The same input gives the same
//! plan, and once everything is as wanted the plan is empty (P5).

use std::collections::BTreeSet;
use std::time::Duration;

use super::decision::{Decision, NewEvent, Plan};
use super::observe::{Judge, Phase, TaskView};
use super::placement::{Books, InstanceView, Placed, Request};
use super::{daemon, events, images, retention, rolling, service};
use crate::model::{
    ClusterSpec, Deployment, DesiredStatus, EventLevel, Notice, NoticeKind, PlacementConstraint,
    RevisionRef, SchedulingStrategy, ServiceName, ServiceRecord, ServiceSpec, SpecHash, StopCode,
    TaskId, TaskSpec, Timestamp,
};

/// After that long something that lasts is said again (semantics §4.29).
const SAY_AGAIN: Duration = Duration::from_secs(6 * 60 * 60);

/// Most events of one plan: when everything fails at once, each task need not be heard.
const MOST_EVENTS: usize = 20;

/// Most decisions of one plan that is to be recorded: about as many as one commit takes. What is left is for the next plan,
/// so that a record and its events never speak of what is not recorded with them.
pub const MOST_DECISIONS: usize = 90;

/// A registered revision: what a service is to run.
#[derive(Debug, Clone, Copy)]
pub struct Definition<'a> {
    /// Its number.
    pub revision: &'a RevisionRef,
    /// The hash of `spec`.
    pub hash: &'a SpecHash,
    /// What it resolves to.
    pub spec: &'a TaskSpec,
}

/// Everything that a plan may depend on.
#[derive(Debug, Clone)]
pub struct PlanInput<'a> {
    /// The service's cluster as declared.
    pub cluster: &'a ClusterSpec,
    /// The service's name.
    pub service: &'a ServiceName,
    /// What the folder says about it; `None`: it was removed.
    pub desired: Option<&'a ServiceSpec>,
    /// The revision that `desired` comes down to. `None`: not known, so nothing new is started.
    pub definition: Option<Definition<'a>>,
    /// The revision that `desired` names and that is not registered; `definition` is then what it runs already.
    pub unregistered: Option<&'a RevisionRef>,
    /// What was recorded; `None` for a service that is new.
    pub record: Option<&'a ServiceRecord>,
    /// All tasks of the service that the store has, those that are over included.
    pub tasks: &'a [TaskView<'a>],
    /// All registered instances of the cluster.
    pub instances: &'a [InstanceView<'a>],
    /// The present instant.
    pub now: Timestamp,
    /// The most decisions it may make, at least one: [`MOST_DECISIONS`] where they are to be recorded.
    pub most: usize,
}

/// What is to be done for the service now. See the [module's documentation](self).
pub fn plan(input: &PlanInput<'_>) -> Plan {
    let Some(spec) = input.desired else {
        return service::remove(input);
    };
    let record = match input.record {
        Some(record) => record.clone(),
        None => ServiceRecord::new(spec.clone(), input.now),
    };
    let mut draft = Draft::new(input, record, spec.health_check_grace_period);
    service::follow(&mut draft, spec);
    service::bury(&mut draft);
    images::pin(&mut draft);
    draft.sort_into_groups();
    let wanted = match (input.definition, spec.scheduling) {
        (Some(definition), SchedulingStrategy::Replica) => {
            rolling::roll(&mut draft, spec, &definition);
            Some(spec.desired_count)
        }
        (Some(definition), SchedulingStrategy::Daemon) => {
            daemon::spread(&mut draft, spec, &definition)
        }
        (None, _) => None,
    };
    service::conclude(&mut draft, wanted);
    retention::of_service(&mut draft);
    draft.finish()
}

/// A task and what this plan makes of it.
#[derive(Debug)]
pub(super) struct Seen<'a> {
    pub view: TaskView<'a>,
    pub phase: Phase,
    /// Runs what the PRIMARY deployment asks for, on an instance that it may stay on.
    pub current: bool,
    /// Its instance is DRAINING.
    pub draining: bool,
    /// This plan orders it to stop.
    pub stopping: bool,
    /// It may not be chosen to go, neither for a scale-in nor for a rollout (semantics §4.32).
    pub protected: bool,
}

impl Seen<'_> {
    pub fn id(&self) -> &TaskId {
        &self.view.record.id
    }

    /// Its containers may exist, and nothing makes it go.
    pub fn stays(&self) -> bool {
        self.phase.exists() && !self.phase.leaves() && !self.stopping
    }

    /// It stays and runs, or is on its way to it.
    pub fn good(&self) -> bool {
        self.stays() && (self.phase == Phase::Starting || self.phase.serves())
    }

    pub fn healthy(&self) -> bool {
        self.stays() && self.phase == Phase::Healthy
    }

    pub fn serves(&self) -> bool {
        self.stays() && self.phase.serves()
    }

    pub fn leaves(&self) -> bool {
        self.phase.exists() && (self.phase.leaves() || self.stopping)
    }

    /// It may be chosen to go. Protection is of tasks that work: an unhealthy one is replaced all the same.
    pub fn expendable(&self) -> bool {
        !self.protected || self.phase == Phase::Unhealthy
    }

    /// It works for an older deployment, or on an instance that it has to leave.
    pub fn superseded(&self) -> bool {
        self.stays() && !self.current
    }
}

/// A plan being put together.
pub(super) struct Draft<'a> {
    pub input: &'a PlanInput<'a>,
    pub record: ServiceRecord,
    pub judge: Judge,
    /// Oldest first.
    pub seen: Vec<Seen<'a>>,
    pub books: Books<'a>,
    /// New tasks ordered so far.
    pub started: u32,
    /// Why tasks are missing, in the order in which they are replaced.
    pub causes: Vec<String>,
    /// There was no room for something that could be done now.
    pub more: bool,
    decisions: Vec<Decision>,
    events: Vec<NewEvent>,
    wake_at: Option<Timestamp>,
}

impl<'a> Draft<'a> {
    pub fn new(input: &'a PlanInput<'a>, record: ServiceRecord, grace: u32) -> Self {
        let judge = Judge::new(input.cluster, grace, input.now);
        let mut wake_at = None;
        let mut seen: Vec<Seen<'a>> = input
            .tasks
            .iter()
            .map(|view| {
                let (mut phase, until) = judge.phase(view);
                // Nobody knows how it is while its engine does not answer: it is not replaced, and nothing that is healthy
                // is stopped on its account.
                let silent = |on: &InstanceView<'_>| {
                    !on.instance.connected && on.instance.id == view.record.instance
                };
                if matches!(phase, Phase::Healthy | Phase::Unhealthy)
                    && input.instances.iter().any(silent)
                {
                    phase = Phase::Warming;
                }
                soonest(&mut wake_at, until);
                let stays = phase.exists() && !phase.leaves();
                let protection = view
                    .protected_until
                    .filter(|until| stays && *until > input.now);
                soonest(&mut wake_at, protection);
                Seen {
                    view: *view,
                    phase,
                    current: false,
                    draining: false,
                    stopping: false,
                    protected: protection.is_some(),
                }
            })
            .collect();
        seen.sort_by_key(|seen| (seen.view.record.created_at, &seen.view.record.id));
        let books = Books::new("", &[], &[]);
        Self {
            input,
            record,
            judge,
            seen,
            books,
            started: 0,
            causes: Vec::new(),
            more: false,
            decisions: Vec::new(),
            events: Vec::new(),
            wake_at,
        }
    }

    /// Tells the tasks of the PRIMARY deployment from those that have to go, and opens the books. Called once the
    /// deployments are settled.
    pub fn sort_into_groups(&mut self) {
        let primary = self.record.primary().cloned();
        let instances = self.input.instances;
        for seen in &mut self.seen {
            let task = seen.view.record;
            seen.draining = instances.iter().any(|view| {
                view.desired == crate::model::InstanceDesired::Draining
                    && view.instance.id == task.instance
            });
            seen.current =
                !seen.draining && primary.as_ref().is_some_and(|primary| primary.owns(task));
        }
        let tasks: Vec<(&TaskView<'_>, bool, bool)> = self
            .seen
            .iter()
            .map(|seen| {
                let gone = !seen.phase.exists();
                (&seen.view, gone, seen.current && seen.stays())
            })
            .collect();
        let seed = format!("{}/{}", self.input.cluster.name, self.input.service);
        self.books = Books::new(&seed, instances, &tasks);
    }

    pub fn now(&self) -> Timestamp {
        self.input.now
    }

    pub fn count(&self, which: impl Fn(&Seen<'a>) -> bool) -> u32 {
        #[cfg(test)]
        super::testing::work::add(self.seen.len());
        let count = self.seen.iter().filter(|seen| which(seen)).count();
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// Tasks whose containers may exist once this plan is recorded: what `maximumPercent` bounds.
    pub fn existing(&self) -> u32 {
        self.count(|seen| seen.phase.exists()) + self.started
    }

    /// Indexes of the tasks that `which` picks, newest first.
    pub fn newest(&self, which: impl Fn(&Seen<'a>) -> bool) -> Vec<usize> {
        #[cfg(test)]
        super::testing::work::add(self.seen.len());
        let picked = |(at, seen): (usize, &Seen<'a>)| which(seen).then_some(at);
        self.seen
            .iter()
            .enumerate()
            .filter_map(picked)
            .rev()
            .collect()
    }

    pub fn say(&mut self, level: EventLevel, message: String) {
        self.events.push(NewEvent { level, message });
    }

    /// Says something that lasts: once, and again after six hours; `None` takes it back silently.
    pub fn notice(&mut self, kind: NoticeKind, level: EventLevel, message: Option<String>) {
        let Some(message) = message else {
            self.record.notices.remove(&kind);
            return;
        };
        let said =
            self.record.notices.get(&kind).is_some_and(|said| {
                said.message == message && self.now().since(said.at) < SAY_AGAIN
            });
        if !said {
            let at = self.now();
            self.say(level, message.clone());
            self.record.notices.insert(kind, Notice { message, at });
        }
    }

    /// Asks for another plan at `at`, if that is still to come.
    pub fn wake(&mut self, at: Option<Timestamp>) {
        soonest(&mut self.wake_at, at.filter(|at| *at > self.input.now));
    }

    /// Whether one more decision may be made. Asked when there is one to make: after the first no, the rest is for the next
    /// plan.
    pub fn has_room(&mut self) -> bool {
        self.more |= self.room() == 0;
        !self.more
    }

    /// How many more decisions may be made.
    pub fn room(&self) -> usize {
        self.input.most.saturating_sub(self.decisions.len())
    }

    /// Orders the task at that index to stop.
    pub fn stop(&mut self, at: usize, code: StopCode, reason: String, cause: String) {
        let seen = &mut self.seen[at];
        seen.stopping = true;
        let record = seen.view.record;
        self.decisions.push(Decision::StopTask {
            id: record.id.clone(),
            revision: record.revision_ref(),
            instance: record.instance.clone(),
            code,
            reason,
            cause,
        });
    }

    /// Orders a new task where it was placed.
    pub fn start(
        &mut self,
        placed: Placed,
        deployment: &Deployment,
        definition: &Definition<'_>,
        cause: String,
    ) {
        self.started += 1;
        self.decisions.push(Decision::StartTask {
            instance: placed.instance,
            deployment: deployment.id.clone(),
            revision: definition.revision.clone(),
            spec: definition.hash.clone(),
            ports: placed.ports,
            gpus: placed.gpus,
            dns_names: vec![self.input.service.to_string()],
            images: deployment.images.clone(),
            cause,
        });
    }

    pub fn delete(&mut self, at: usize, cause: String) {
        let id = self.seen[at].id().clone();
        self.decisions.push(Decision::DeleteTask { id, cause });
    }

    /// What is asked of placement for a task of `spec`.
    pub fn request<'r>(&self, spec: &'r TaskSpec) -> Request<'r>
    where
        'a: 'r,
    {
        let constraints = self.input.desired.map(|spec| &spec.placement_constraints);
        Request {
            spec,
            distinct: constraints
                .is_some_and(|all| all.contains(&PlacementConstraint::DistinctInstance)),
            publish_awsvpc: self.input.cluster.publish_awsvpc_ports,
            log_drivers: &self.input.cluster.log_drivers,
            only: None,
        }
    }

    /// What a task of that specification runs, as far as any task of the service still tells.
    pub fn spec_of(&self, hash: &SpecHash) -> Option<&'a TaskSpec> {
        self.seen
            .iter()
            .find(|seen| seen.view.record.spec == *hash)
            .and_then(|seen| seen.view.spec)
    }

    /// Whether this plan starts a task, or stops one that had not ended by itself.
    pub fn acts(&self) -> bool {
        self.started > 0
            || self
                .seen
                .iter()
                .any(|seen| seen.stopping && seen.phase > Phase::Ending)
    }

    pub fn finish(mut self) -> Plan {
        if self.events.len() > MOST_EVENTS {
            let end = self.events.len() - MOST_EVENTS / 2;
            let message = events::and_more(self.input.service, end - MOST_EVENTS / 2);
            let level = EventLevel::Warn;
            let summary = NewEvent { level, message };
            self.events.splice(MOST_EVENTS / 2..end, [summary]);
        }
        let ids: BTreeSet<&TaskId> = self.seen.iter().map(Seen::id).collect();
        self.record.throttle.counted.retain(|id| ids.contains(id));
        let changed = self.input.record != Some(&self.record);
        Plan {
            decisions: self.decisions,
            record: changed.then_some(self.record),
            forget: false,
            events: self.events,
            more: self.more,
            wake_at: self.wake_at,
        }
    }
}

impl Draft<'_> {
    /// Whether the task ended, or is ending, without having been told to.
    pub fn ends_by_itself(seen: &Seen<'_>) -> bool {
        let told = seen.view.record.desired == DesiredStatus::Stopped;
        matches!(seen.phase, Phase::Gone | Phase::Ending) && !told && !seen.view.lost
    }
}

fn soonest(earliest: &mut Option<Timestamp>, at: Option<Timestamp>) {
    *earliest = match (*earliest, at) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
}
