//! Reads a recording, in the order of its times: facts of the store, events of the engines, and what was done.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::rollouts::rollouts;
use super::{History, Sample, ServiceHistory, Trouble, is_taken, without_ids};
use crate::engine::labels;
use crate::engine::simulated::{SimEvent, SimEventKind};
use crate::model::{
    Desired, DesiredStatus, NoticeKind, RolloutState, SchedulingStrategy, ServiceDeploymentStatus,
    ServiceRecord, ServiceSpec, SpecHash, TaskId, TaskSpec, Timestamp, ceil_percent, floor_percent,
};
use crate::simulate::folder::{InstanceKey, ServiceKey};
use crate::simulate::record::Fact;
use crate::simulate::tasks::{Phase, TaskSeen};
use crate::simulate::timeline::{Subject, Timeline};

/// What cannot be known at once is not held against anybody: a task that fell by itself so shortly before an order still
/// stands, as far as whoever gave it could know.
const LAG: Duration = Duration::from_secs(3);

/// How a stop order begins that is part of a rollout, or of a change of the count: nothing that must be told.
const BY_ROLLOUT: &str = "Scaling activity initiated by";

#[derive(Default)]
struct Service {
    record: Option<Arc<ServiceRecord>>,
    declared: Option<ServiceSpec>,
    /// Bounds that still count, because what they are of may not have been seen yet.
    floor: Option<u32>,
    cap: Option<u32>,
    promised: bool,
    tasks: BTreeSet<TaskId>,
    order: Vec<TaskId>,
    history: ServiceHistory,
}

impl Service {
    /// How many tasks are declared, and the fewest and the most that are promised. Until it is steady again, what was promised
    /// before may still be in force.
    fn bind(&mut self, spec: &ServiceSpec) -> (u32, u32, u32) {
        let primary = self.record.as_deref().and_then(ServiceRecord::primary);
        let desired = match spec.scheduling {
            SchedulingStrategy::Replica => spec.desired_count,
            SchedulingStrategy::Daemon => primary.map_or(0, |primary| primary.desired_count),
        };
        let floor = ceil_percent(desired, spec.minimum_healthy_percent);
        let cap = floor_percent(desired, spec.maximum_percent);
        let floor = self.floor.map_or(floor, |before| before.min(floor));
        let cap = self.cap.map_or(cap, |before| before.max(cap));
        (self.floor, self.cap) = (Some(floor), Some(cap));
        (desired, floor, cap)
    }
}

/// Reads a recording.
pub struct Reader<'a> {
    zero: Timestamp,
    now: Timestamp,
    desired: Arc<Desired>,
    services: BTreeMap<ServiceKey, Service>,
    tasks: BTreeMap<TaskId, TaskSeen>,
    specs: BTreeMap<SpecHash, Arc<TaskSpec>>,
    connected: BTreeMap<InstanceKey, bool>,
    /// When tasks without a health check count as healthy.
    wakes: BTreeSet<(Timestamp, TaskId)>,
    dirty: BTreeSet<ServiceKey>,
    timeline: Timeline,
    steps: &'a [(Timestamp, Option<Arc<Desired>>, String)],
}

impl<'a> Reader<'a> {
    /// Reads it. `steps` are what was done, with their times: what is declared from then on where that changed, and words;
    /// `first` is what is declared before them.
    pub fn read(
        zero: Timestamp,
        end: Timestamp,
        first: Arc<Desired>,
        facts: Vec<(Timestamp, Fact)>,
        events: &[SimEvent],
        steps: &'a [(Timestamp, Option<Arc<Desired>>, String)],
    ) -> History {
        let mut reader = Self {
            zero,
            now: Timestamp::default(),
            desired: Arc::new(Desired::default()),
            services: BTreeMap::new(),
            tasks: BTreeMap::new(),
            specs: BTreeMap::new(),
            connected: BTreeMap::new(),
            wakes: BTreeSet::new(),
            dirty: BTreeSet::new(),
            timeline: Timeline::default(),
            steps,
        };
        reader.declare(&first);
        let mut facts = facts.into_iter().peekable();
        let mut events = events.iter().peekable();
        let mut steps = reader.steps.iter().peekable();
        loop {
            let next = [
                steps.peek().map(|(at, ..)| (*at, 0)),
                facts.peek().map(|(at, _)| (*at, 1)),
                events.peek().map(|event| (event.at, 2)),
                reader.wakes.first().map(|(at, _)| (*at, 3)),
            ];
            let Some((at, which)) = next.into_iter().flatten().min() else {
                break;
            };
            if at > end {
                break;
            }
            reader.pass_to(at);
            match which {
                0 => {
                    if let Some((_, declared, words)) = steps.next() {
                        reader
                            .timeline
                            .add(reader.at(at), Subject::Scenario, words, 0);
                        if let Some(declared) = declared {
                            reader.declare(declared);
                        }
                    }
                }
                1 => {
                    if let Some((_, fact)) = facts.next() {
                        reader.fact(fact);
                    }
                }
                2 => {
                    if let Some(event) = events.next() {
                        reader.event(event);
                    }
                }
                _ => {
                    if let Some((_, id)) = reader.wakes.pop_first() {
                        reader.touch(&id);
                    }
                }
            }
        }
        reader.pass_to(end.plus(Duration::from_millis(1)));
        reader.finish(end)
    }

    /// After time 0; what was before is at it.
    fn at(&self, at: Timestamp) -> Duration {
        at.since(self.zero)
    }

    /// Time passes: what was touched is looked at.
    fn pass_to(&mut self, at: Timestamp) {
        if at <= self.now {
            return;
        }
        for key in std::mem::take(&mut self.dirty) {
            self.sample(&key);
        }
        // Everything has a sample at time 0.
        if self.now < self.zero && at >= self.zero {
            self.now = self.zero;
            for service in self.services.values_mut() {
                service.history.samples.clear();
                service.history.broken.clear();
            }
            let keys: Vec<ServiceKey> = self.services.keys().cloned().collect();
            keys.iter().for_each(|key| self.sample(key));
            self.timeline.forget();
        }
        self.now = at;
    }

    fn declare(&mut self, desired: &Arc<Desired>) {
        self.desired = Arc::clone(desired);
        let all = desired.services.iter().flat_map(|(cluster, services)| {
            services
                .iter()
                .map(move |(name, (spec, _))| ((cluster.clone(), name.clone()), spec.clone()))
        });
        let mut declared: BTreeMap<ServiceKey, ServiceSpec> = all.collect();
        for key in declared.keys() {
            self.services.entry(key.clone()).or_default();
        }
        for (key, service) in &mut self.services {
            service.declared = declared.remove(key);
            if let Some(spec) = service.declared.clone() {
                service.history.daemon = spec.scheduling == SchedulingStrategy::Daemon;
                // At once: whoever reads the folder may act on it within the same instant.
                service.bind(&spec);
            }
            self.dirty.insert(key.clone());
        }
    }

    fn fact(&mut self, fact: Fact) {
        match fact {
            Fact::Service(key, record) => {
                self.record(&key, record);
                self.dirty.insert(key);
            }
            Fact::Spec(hash, spec) => {
                self.specs.insert(hash, spec);
            }
            Fact::Task(record) => self.task(&record),
            Fact::Forgotten(id) => {
                if let Some(task) = self.tasks.get_mut(&id) {
                    task.forgotten = true;
                }
                self.touch(&id);
            }
            Fact::Status(id, status) => {
                if let Some(task) = self.tasks.get_mut(&id) {
                    task.stopped = status.is_stopped();
                }
                self.touch(&id);
            }
            // That it is given up says the service itself.
            Fact::Lost(id) => {
                if let Some(task) = self.tasks.get_mut(&id) {
                    task.lost = true;
                }
                self.touch(&id);
            }
            Fact::Said(key, message) => {
                let words = without_ids(&message, &key);
                let at = self.at(self.now);
                self.timeline.add(at, Subject::Service(key), &words, 0);
            }
            Fact::Connected(key, connected) => {
                let before = self.connected.insert(key.clone(), connected);
                let words = match (before, connected) {
                    (Some(true), false) => "is not connected any more",
                    (Some(false), true) => "is connected again",
                    _ => return,
                };
                let at = self.at(self.now);
                self.timeline.add(at, Subject::Instance(key), words, 0);
            }
        }
    }

    fn record(&mut self, key: &ServiceKey, record: Option<Arc<ServiceRecord>>) {
        let (at, before_zero) = (self.at(self.now), self.now < self.zero);
        let Some(service) = self.services.get_mut(key) else {
            return;
        };
        let history = &mut service.history;
        if let Some(record) = &record {
            let said = rollouts(history, record, at, before_zero);
            for words in said {
                let subject = Subject::Service(key.clone());
                self.timeline.add(at, subject, &words, 0);
            }
            let in_force = record.notices.iter().filter(|_| !record.steady);
            for (kind, notice) in in_force {
                let open = history.troubles.iter_mut().rev();
                let mut open = open.filter(|known| known.kind == *kind && known.until.is_none());
                match open.next() {
                    Some(known) => known.message.clone_from(&notice.message),
                    None => history.troubles.push(Trouble {
                        kind: *kind,
                        message: notice.message.clone(),
                        from: at,
                        until: None,
                    }),
                }
            }
            let steady = service.record.as_ref().is_some_and(|before| before.steady);
            if record.steady && !steady {
                let subject = Subject::Service(key.clone());
                self.timeline.add(at, subject, "steady", 0);
                (service.floor, service.cap) = (None, None);
            }
        }
        // What was said is kept for a while, so as not to be repeated; once a service is steady it is over.
        let unsteady = record.as_ref().filter(|record| !record.steady);
        let notices = unsteady.map(|record| &record.notices);
        for trouble in history.troubles.iter_mut().filter(|t| t.until.is_none()) {
            if notices.is_none_or(|notices| !notices.contains_key(&trouble.kind)) {
                trouble.until = Some(at);
            }
        }
        history.impaired = notices.is_some_and(|n| n.contains_key(&NoticeKind::Impaired));
        service.record = record;
    }

    fn task(&mut self, record: &crate::model::TaskRecord) {
        let Some(name) = &record.service else {
            return;
        };
        let key = (record.cluster.clone(), name.clone());
        let (now, at) = (self.now, self.at(self.now));
        let service = self.services.entry(key.clone()).or_default();
        let subject = Subject::Service(key.clone());
        if !self.tasks.contains_key(&record.id) {
            service.tasks.insert(record.id.clone());
            service.order.push(record.id.clone());
            let seen = TaskSeen::new(record, key, self.specs.get(&record.spec).cloned(), now);
            let words = format!("starts {{}} of {}", seen.revision);
            self.timeline.add(at, subject.clone(), &words, 1);
            self.tasks.insert(record.id.clone(), seen);
        }
        if record.desired == DesiredStatus::Stopped
            && let Some(task) = self.tasks.get_mut(&record.id)
            && task.ordered_to_stop.is_none()
        {
            let phase = task.phase(now);
            let was_healthy = phase == Phase::Healthy;
            task.ordered_to_stop = Some(now);
            // That one which ends by itself is taken away is no news.
            if !matches!(phase, Phase::Stopping | Phase::Over) {
                let why = record.stop.as_ref().map(|stop| stop.reason.as_str());
                let why = why.filter(|why| !why.starts_with(BY_ROLLOUT));
                let why = without_ids(why.unwrap_or_default(), &task.service);
                let words = match why.is_empty() {
                    true => format!("stops {{}} of {}", task.revision),
                    false => format!("stops {{}} of {}: {why}", task.revision),
                };
                self.timeline.add(at, subject, &words, 1);
            }
            if was_healthy {
                let key = task.service.clone();
                self.stopped(&key);
            }
        }
        self.touch(&record.id);
    }

    fn event(&mut self, event: &SimEvent) {
        let label = |name: &str| event.labels.get(name);
        let (Some(id), Some(container)) = (label(labels::TASK), label(labels::CONTAINER)) else {
            return;
        };
        let id = TaskId::new(id.as_str());
        let Some(task) = self.tasks.get_mut(&id) else {
            return;
        };
        let after = self.desired.clusters.get(&task.service.0);
        let after = after.map_or(Duration::ZERO, |(cluster, _)| {
            Duration::from_secs(u64::from(cluster.healthy_after))
        });
        let (was_healthy, was_running) = (task.phase(self.now) == Phase::Healthy, task.runs());
        let wake = task.take(container, event, after);
        let first_start = event.kind == SimEventKind::Started && !was_running;
        self.wakes.extend(wake.map(|at| (at, id.clone())));
        if first_start {
            self.started(&id);
        }
        if let Some(task) = self.tasks.get_mut(&id)
            && was_healthy
            && task.phase(self.now) != Phase::Healthy
        {
            task.fell = Some(self.now);
        }
        self.touch(&id);
    }

    /// The cap: a task that starts must have room.
    fn started(&mut self, id: &TaskId) {
        let Some(task) = self.tasks.get(id) else {
            return;
        };
        let key = task.service.clone();
        let running = self
            .of(&key)
            .filter(|task| task.runs() && !task.lost)
            .count();
        let Some(cap) = self.services.get(&key).and_then(|service| service.cap) else {
            return;
        };
        if running > cap as usize {
            let words = format!("{running} tasks, though at most {cap} are promised");
            self.broke(&key, words);
        }
    }

    /// The floor: whoever stops a healthy task must leave enough of them.
    fn stopped(&mut self, key: &ServiceKey) {
        let now = self.now;
        let stands = |task: &&TaskSeen| {
            let fell_late = task.fell.is_some_and(|fell| now.since(fell) <= LAG);
            task.phase(now) == Phase::Healthy || fell_late
        };
        let left = self.of(key).filter(stands).count();
        let declared = self.services.get(key).filter(|s| s.declared.is_some());
        let floor = declared.and_then(|service| service.floor).unwrap_or(0);
        if left < floor as usize {
            let words =
                format!("{left} healthy tasks after a stop, though at least {floor} are promised");
            self.broke(key, words);
        }
    }

    fn broke(&mut self, key: &ServiceKey, words: String) {
        let at = self.at(self.now);
        if let Some(service) = self.services.get_mut(key) {
            service.history.broken.push((at, words));
        }
    }

    fn of<'s>(&'s self, key: &ServiceKey) -> impl Iterator<Item = &'s TaskSeen> + use<'s> {
        let ids = self.services.get(key).into_iter().flat_map(|s| &s.tasks);
        ids.filter_map(|id| self.tasks.get(id))
    }

    /// Something about a task changed.
    fn touch(&mut self, id: &TaskId) {
        if let Some(task) = self.tasks.get_mut(id) {
            task.note(self.now);
            let key = task.service.clone();
            if task.is_over()
                && (task.forgotten || task.stopped)
                && let Some(service) = self.services.get_mut(&key)
            {
                service.tasks.remove(id);
            }
            self.dirty.insert(key);
        }
    }

    fn sample(&mut self, key: &ServiceKey) {
        let mut sample = Sample {
            at: self.at(self.now),
            ..Sample::default()
        };
        for task in self.of(key) {
            match task.phase(self.now) {
                Phase::Pending => sample.pending += 1,
                Phase::Starting => sample.starting += 1,
                Phase::Healthy => sample.healthy += 1,
                Phase::Unhealthy => sample.unhealthy += 1,
                Phase::Stopping => sample.stopping += 1,
                Phase::Over => {}
            }
        }
        let Some(service) = self.services.get_mut(key) else {
            return;
        };
        let bounds = match service.declared.clone() {
            Some(spec) => service.bind(&spec),
            None => (0, 0, 0),
        };
        let record = service.record.as_deref();
        if let Some(spec) = &service.declared {
            sample.declared = true;
            (sample.desired, sample.floor, sample.cap) = bounds;
            let taken =
                record.is_some_and(|record| record.steady && is_taken(record, spec, &self.desired));
            sample.converged = taken && sample.healthy >= sample.desired;
        }
        service.promised |= sample.converged;
        sample.promised = service.promised;
        if let Some(record) = record {
            sample.unplaceable =
                !record.steady && record.notices.contains_key(&NoticeKind::Placement);
            let failed = record.failure();
            sample.failed = failed.is_some()
                || record
                    .primary()
                    .is_some_and(|p| p.rollout == RolloutState::Failed);
            sample.rolled_back = failed.is_some_and(|failed| {
                record.history.iter().any(|ended| {
                    ended.id == failed.deployment
                        && ended.status == ServiceDeploymentStatus::RollbackSuccessful
                })
            });
        }
        let samples = &mut service.history.samples;
        match samples.last_mut() {
            Some(last) if last.at == sample.at => *last = sample,
            Some(last)
                if Sample {
                    at: sample.at,
                    ..*last
                } == sample => {}
            _ => samples.push(sample),
        }
    }

    fn finish(mut self, end: Timestamp) -> History {
        let end = self.at(end);
        let mut services = BTreeMap::new();
        for (key, service) in std::mem::take(&mut self.services) {
            let mut history = service.history;
            let lines = service.order.iter().filter_map(|id| self.tasks.get(id));
            history.tasks = lines.filter_map(|task| task.line(self.zero, end)).collect();
            services.insert(key, history);
        }
        History {
            services,
            timeline: self.timeline,
        }
    }
}
