//! The plan of one service at one instant: a pure function of what is wanted, what was recorded and what was seen.
//!
//! No I/O, no clock, no randomness, no logging, no dependence on the order of its inputs. The same input gives the same
//! plan, and once everything is as wanted the plan is empty (P5).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::decision::{Decision, NewEvent, Plan};
use super::instances::Away;
use super::observe::{Judge, Phase, TaskView};
use super::placement::{Books, InstanceView, Placed, Request, Standing};
use super::{daemon, events, hold, images, instances, retention, rolling, service, suspend};
use crate::model::{
    ClusterSpec, Deployment, DeploymentId, DesiredStatus, EventLevel, EventName, InstanceDesired,
    InstanceId, Notice, NoticeKind, ProviderShare, RevisionRef, RolloutState, SchedulingStrategy,
    ServiceName, ServiceOverrides, ServiceRecord, ServiceSpec, SpecHash, StopCode, TaskId,
    TaskRecord, TaskSpec, TaskStatus, Timestamp,
};
use crate::store::Limits;

/// After that long something that lasts is said again (semantics §4.29).
const SAY_AGAIN: Duration = Duration::from_secs(6 * 60 * 60);

/// Most events of one plan: when everything fails at once, each task need not be heard.
const MOST_EVENTS: usize = 20;

/// Most decisions of one plan, wherever it is to be recorded.
const MOST_OF_A_PLAN: usize = 600;

/// Most decisions of one plan that is to be recorded: about as many as one commit takes. What is left is for the next plan,
/// so that a record and its events never speak of what is not recorded with them.
pub const fn most_decisions(limits: Limits) -> usize {
    let fit = limits.ops / 10 * 9;
    if fit < MOST_OF_A_PLAN {
        fit
    } else {
        MOST_OF_A_PLAN
    }
}

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
    /// What people asked for on top of the folder.
    pub overrides: Option<&'a ServiceOverrides>,
    /// What is known by its hash, as far as the record or an override names it: what can be gone back to.
    pub specs: &'a BTreeMap<SpecHash, Arc<TaskSpec>>,
    /// All tasks of the service that the store has, those that are over included.
    pub tasks: &'a [TaskView<'a>],
    /// All registered instances of the cluster.
    pub instances: &'a [InstanceView<'a>],
    /// Since when the instances are watched: an instance is away no longer than that, as far as is known.
    pub watching_since: Timestamp,
    /// The present instant.
    pub now: Timestamp,
    /// The most decisions it may make, at least one: [`most_decisions`] where they are to be recorded.
    pub most: usize,
}

/// What is to be done for the service now. See the [module's documentation](self).
pub fn plan(input: &PlanInput<'_>) -> Plan {
    let suspended = input.overrides.and_then(|o| o.suspended.as_ref());
    match suspended {
        Some(asked) => suspend::plan(input, asked),
        None => act(input),
    }
}

/// What is to be done for a service that is not suspended.
pub(super) fn act(input: &PlanInput<'_>) -> Plan {
    let Some(spec) = input.desired else {
        return service::remove(input);
    };
    let record = match input.record {
        Some(record) => record.clone(),
        None => ServiceRecord::new(spec.clone(), input.now),
    };
    let mut draft = Draft::new(input, record, spec.health_check_grace_period);
    draft.notice(NoticeKind::Suspended, EventLevel::Warn, None);
    service::follow(&mut draft, spec);
    let in_sight = draft.definition();
    service::bury(&mut draft);
    images::pin(&mut draft);
    draft.sort_into_groups();
    let definition = in_sight.as_ref().map(|(revision, hash, spec)| Definition {
        revision,
        hash,
        spec,
    });
    if !draft.stands_still() {
        draft.notice(NoticeKind::Scaling, EventLevel::Warn, None);
    }
    let wanted = match (definition, spec.scheduling) {
        _ if draft.stands_still() => {
            hold::keep(&mut draft, spec);
            None
        }
        (Some(definition), SchedulingStrategy::Replica) => {
            rolling::roll(&mut draft, spec, &definition);
            Some(spec.desired_count)
        }
        (Some(definition), SchedulingStrategy::Daemon) => {
            daemon::spread(&mut draft, spec, &definition)
        }
        (None, _) => None,
    };
    instances::report(&mut draft);
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
    /// Its instance vanished.
    pub vanished: bool,
    /// The engine of its instance does not answer: how it is by now is not known.
    pub silent: bool,
    /// It was given up with its instance, before this plan or by it.
    pub given_up: bool,
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

    /// Its worth when some have to go. One that may be healthy on an engine that does not answer is worth more than one that was not
    /// healthy yet.
    pub fn worth(&self) -> (Phase, bool) {
        (self.phase, self.silent)
    }

    /// It may be chosen to go. Protection is of tasks that work: an unhealthy one is replaced all the same.
    pub fn expendable(&self) -> bool {
        !self.protected || self.phase == Phase::Unhealthy
    }

    /// It is on an instance that vanished, and not given up yet.
    pub fn is_stranded(&self) -> bool {
        self.vanished && self.phase.exists()
    }

    /// It was given up, and its agent has not said that it is over.
    pub fn may_run_on(&self) -> bool {
        self.given_up && !self.view.status.is_some_and(TaskStatus::is_stopped)
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
    /// What people asked for that still holds.
    pub overrides: ServiceOverrides,
    /// What the folder asks for, as a hash ([`basis`](crate::model::basis)).
    pub basis: String,
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
        let lost_after = input.cluster.instance_lost_after;
        let away = Away::of(input.instances, lost_after, input.watching_since, input.now);
        let mut wake_at = None;
        let silent: BTreeSet<&InstanceId> = input
            .instances
            .iter()
            .filter(|on| !on.instance.connected)
            .map(|on| &on.instance.id)
            .collect();
        let mut seen: Vec<Seen<'a>> = input
            .tasks
            .iter()
            .map(|view| {
                let (mut phase, until) = judge.phase(view);
                // Nobody knows how it is while its engine does not answer: it is not replaced, and nothing that is healthy
                // is stopped on its account.
                if matches!(phase, Phase::Healthy | Phase::Unhealthy)
                    && silent.contains(&view.record.instance)
                {
                    phase = Phase::Warming;
                }
                soonest(&mut wake_at, until);
                let stays = phase.exists() && !phase.leaves();
                let protection = view
                    .protected_until
                    .filter(|until| stays && *until > input.now);
                soonest(&mut wake_at, protection);
                let on = &view.record.instance;
                let expected = away.expected.get(on).filter(|_| phase.exists());
                soonest(&mut wake_at, expected.copied());
                Seen {
                    vanished: away.vanished.contains(on),
                    silent: silent.contains(on),
                    given_up: view.lost.is_some(),
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
        let books = Books::none();
        Self {
            input,
            record,
            overrides: input.overrides.cloned().unwrap_or_default(),
            basis: String::new(),
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
        let draining: BTreeSet<&InstanceId> = instances
            .iter()
            .filter(|view| view.desired == InstanceDesired::Draining)
            .map(|view| &view.instance.id)
            .collect();
        for seen in &mut self.seen {
            let task = seen.view.record;
            seen.draining = draining.contains(&task.instance);
            seen.current =
                !seen.draining && primary.as_ref().is_some_and(|primary| primary.owns(task));
        }
        let tasks: Vec<(TaskView<'a>, bool, bool)> = self
            .seen
            .iter()
            .map(|seen| {
                let gone = !seen.phase.exists();
                (seen.view, gone, seen.current && seen.stays())
            })
            .collect();
        let seed = format!("{}/{}", self.input.cluster.name, self.input.service);
        self.books = Books::new(&seed, instances, &tasks);
    }

    /// What the PRIMARY deployment rolls out, where it is known what that comes down to.
    pub fn definition(&self) -> Option<(RevisionRef, SpecHash, &'a TaskSpec)> {
        let primary = self.record.primary()?;
        let folder = self.input.definition.filter(|d| *d.hash == primary.spec);
        let spec = match folder {
            Some(folder) => folder.spec,
            None => self.spec_of(&primary.spec)?,
        };
        Some((primary.revision.clone(), primary.spec.clone(), spec))
    }

    /// Somebody paused its rollouts.
    pub fn paused(&self) -> bool {
        self.overrides.paused.is_some()
    }

    /// The PRIMARY deployment was given up.
    pub fn failed(&self) -> bool {
        self.record
            .primary()
            .is_some_and(|primary| primary.rollout == RolloutState::Failed)
    }

    /// Nothing is to be rolled out at present.
    pub fn stands_still(&self) -> bool {
        let rolls = |primary: &Deployment| primary.rollout == RolloutState::InProgress;
        self.failed() || (self.paused() && self.record.primary().is_some_and(rolls))
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
        self.events.push(NewEvent {
            name: None,
            level,
            message,
        });
    }

    /// Says something that ECS has a name for.
    pub fn say_as(&mut self, name: EventName, level: EventLevel, message: String) {
        self.events.push(NewEvent {
            name: Some(name),
            level,
            message,
        });
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
            match kind.event_name() {
                Some(name) => self.say_as(name, level, message.clone()),
                None => self.say(level, message.clone()),
            }
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
            capacity_provider: placed.provider,
            ports: placed.ports,
            gpus: placed.gpus,
            dns_names: vec![self.input.service.to_string()],
            generation: deployment.generation,
            images: deployment.images.clone(),
            cause,
        });
    }

    /// Gives the task at that index up with its instance.
    pub fn give_up(&mut self, at: usize) {
        let lost_after = self.input.cluster.instance_lost_after;
        let seen = &mut self.seen[at];
        let record = seen.view.record;
        let reason = instances::reason(&record.instance, lost_after);
        (seen.given_up, seen.phase) = (true, Phase::Gone);
        self.decisions.push(Decision::GiveUpTask {
            id: record.id.clone(),
            revision: record.revision_ref(),
            instance: record.instance.clone(),
            reason,
        });
    }

    /// Starts nothing of that deployment after all.
    pub fn take_starts_back(&mut self, of: &DeploymentId) {
        let before = self.decisions.len();
        self.decisions.retain(|decision| {
            !matches!(decision, Decision::StartTask { deployment, .. } if deployment == of)
        });
        let fewer = before - self.decisions.len();
        self.started = self
            .started
            .saturating_sub(u32::try_from(fewer).unwrap_or(u32::MAX));
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
        let desired = self.input.desired;
        Request {
            spec,
            group: format!("service:{}", self.input.service).into(),
            constraints: desired.map_or(&[], |spec| &spec.placement_constraints),
            strategy: desired.map_or(&[], |spec| &spec.placement_strategy),
            providers: self.providers(),
            wanted: desired.map_or(0, |spec| spec.desired_count),
            cluster: self.input.cluster,
            only: None,
        }
    }

    /// The capacity providers that its tasks go to; none: any instance. A DAEMON is on all of them.
    fn providers(&self) -> &'a [ProviderShare] {
        let replica = |spec: &&ServiceSpec| spec.scheduling == SchedulingStrategy::Replica;
        let desired = self.input.desired.filter(replica);
        desired.map_or(&[], |spec| {
            let asked = &spec.capacity_providers;
            self.input.cluster.strategy(asked, spec.names_launch_type)
        })
    }

    /// Which of these tasks a scale-in by `count` takes, in which order (semantics §4.31): of capacity providers that have
    /// more than their share first.
    pub fn scale_in(&self, tasks: &[usize], count: usize) -> Vec<usize> {
        let desired = self.input.desired;
        let strategy = desired.map_or(&[][..], |spec| &spec.placement_strategy);
        let shares = self.providers();
        let provider = |task: &'a TaskRecord| match &task.capacity_provider {
            Some(provider) => Some(provider.as_str()),
            None if shares.is_empty() => None,
            None => self.input.cluster.provider_of(&task.instance),
        };
        let standing: Vec<Standing<'_>> = tasks
            .iter()
            .map(|at| {
                let record = self.seen[*at].view.record;
                Standing {
                    id: &record.id,
                    instance: &record.instance,
                    provider: provider(record),
                }
            })
            .collect();
        let wanted = desired.map_or(0, |spec| spec.desired_count);
        let targets = ProviderShare::targets(shares, wanted);
        let beyond: Vec<(&str, usize)> = shares
            .iter()
            .zip(targets)
            .map(|(share, target)| {
                let name = share.provider.as_str();
                let of_it = |seen: &Seen<'a>| {
                    seen.current && seen.good() && provider(seen.view.record) == Some(name)
                };
                (name, self.count(of_it).saturating_sub(target) as usize)
            })
            .collect();
        let chosen = self.books.scale_in(strategy, &beyond, &standing, count);
        chosen.into_iter().map(|at| tasks[at]).collect()
    }

    /// What a task of that specification runs, as far as any task of the service still tells.
    pub fn spec_of(&self, hash: &SpecHash) -> Option<&'a TaskSpec> {
        self.seen
            .iter()
            .find(|seen| seen.view.record.spec == *hash)
            .and_then(|seen| seen.view.spec)
            .or_else(|| self.input.specs.get(hash).map(Arc::as_ref))
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
            let summary = NewEvent {
                name: None,
                level,
                message,
            };
            self.events.splice(MOST_EVENTS / 2..end, [summary]);
        }
        if !self.record.throttle.counted.is_empty() {
            let ids: BTreeSet<&TaskId> = self.seen.iter().map(Seen::id).collect();
            self.record.throttle.counted.retain(|id| ids.contains(id));
        }
        let changed = self.input.record != Some(&self.record);
        let known = self.input.overrides.cloned().unwrap_or_default();
        let overrides = (known != self.overrides).then_some(self.overrides);
        Plan {
            decisions: self.decisions,
            record: changed.then_some(self.record),
            overrides,
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
        matches!(seen.phase, Phase::Gone | Phase::Ending) && !told && !seen.given_up
    }
}

fn soonest(earliest: &mut Option<Timestamp>, at: Option<Timestamp>) {
    *earliest = match (*earliest, at) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
}
