//! One worker for each task: it looks, decides, carries out, and looks again.
//!
//! Calls run beside each other, and a step is made whenever one of them ends, the task's record or containers change, or
//! something falls due. The step knows which containers have a call under way and leaves them alone, so a slow pull or
//! stop holds up nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::Notify;

use super::action::{Action, Call, CallKey, Verb};
use super::cleanup::{CleanupInput, cleanup};
use super::execute::{Effect, Landed, Order, execute};
use super::facts::{Attempt, Facts, LogFact, Readiness, StepInput};
use super::shared::Shared;
use super::step;
use crate::engine::{EngineError, ErrorKind, ObservedContainer, labels, translate};
use crate::model::{TaskId, TaskLost, TaskStatus, Timestamp};
use crate::store::keys;

/// Pause before something that should be there by now is looked for again.
const SOON: Duration = Duration::from_millis(500);

/// See the module.
pub(super) struct Worker {
    shared: Arc<Shared>,
    id: TaskId,
    wake: Arc<Notify>,
    facts: Facts,
    /// The status of the last step; absent before the first one.
    prior: Option<TaskStatus>,
    flights: FuturesUnordered<BoxFuture<'static, Landed>>,
    in_flight: BTreeSet<CallKey>,
    /// The engine's session that the attempts were made in.
    session: u64,
    /// Whether a status of the task is in the store, or on its way there.
    reported: bool,
    /// Whether the task had a record while this worker watched it.
    had_record: bool,
    /// Since when it has none.
    without_record: Option<Timestamp>,
}

/// What becomes of the worker now.
enum Outlook {
    /// Look again then, if nothing happens before.
    Wait(Option<Timestamp>),
    /// Nothing is left of the task.
    Done,
}

/// What the store says about the task.
enum Ordered {
    Task {
        order: Order,
        lost: Option<Arc<TaskLost>>,
        status: Option<Arc<TaskStatus>>,
    },
    /// Its record is there and its specification is not, or not yet.
    Incomplete,
    /// It has no record; why nothing may be removed all the same, if so.
    Nothing(Option<String>),
}

impl Worker {
    pub fn new(shared: Arc<Shared>, id: TaskId, wake: Arc<Notify>) -> Self {
        Self {
            session: shared.link.session(),
            shared,
            id,
            wake,
            facts: Facts::default(),
            prior: None,
            flights: FuturesUnordered::new(),
            in_flight: BTreeSet::new(),
            reported: false,
            had_record: false,
            without_record: None,
        }
    }

    /// Works until nothing is left of the task; returns its id.
    pub async fn run(mut self) -> TaskId {
        loop {
            let wake_at = match self.look().await {
                Outlook::Done if self.in_flight.is_empty() => {
                    self.shared.cgroups.remove(&self.id).await;
                    return self.id;
                }
                Outlook::Done => None,
                Outlook::Wait(at) => at,
            };
            let due = wake_at.map(|at| at.since(self.shared.clock.now()));
            tokio::select! {
                biased;
                Some(landed) = self.flights.next(), if !self.in_flight.is_empty() => {
                    self.take(landed);
                    while let Some(Some(landed)) = self.flights.next().now_or_never() {
                        self.take(landed);
                    }
                }
                () = self.wake.notified() => {}
                () = sleep(due) => {}
            }
        }
    }

    async fn look(&mut self) -> Outlook {
        if !self.shared.link.is_up() {
            // Woken when it is.
            return Outlook::Wait(None);
        }
        let session = self.shared.link.session();
        if session != self.session {
            self.session = session;
            self.facts
                .attempts
                .retain(|_, attempt| attempt.kind != ErrorKind::Unreachable);
        }
        match self.ordered() {
            Ordered::Task {
                order,
                lost,
                status,
            } => {
                self.had_record = true;
                self.without_record = None;
                self.attend(order, lost.as_deref(), status).await
            }
            Ordered::Incomplete => {
                tracing::warn!(task = %self.id, "the task's specification is not in the store");
                self.shared.settling.looked_at(&self.id, false);
                Outlook::Wait(Some(self.soon()))
            }
            Ordered::Nothing(held) => {
                self.shared.settling.looked_at(&self.id, false);
                self.clear(held)
            }
        }
    }

    fn ordered(&self) -> Ordered {
        let (cluster, instance) = (
            &self.shared.config.cluster,
            &self.shared.config.instance.name,
        );
        let state = self.shared.view.read();
        // One of another instance has no business here: what there is of it is left over.
        let entry = state
            .task(cluster, &self.id)
            .filter(|entry| entry.record.instance == *instance);
        let Some(entry) = entry else {
            let held = if state.corrupt.contains_key(&keys::task(cluster, &self.id)) {
                Some("its record cannot be read".to_owned())
            } else {
                state.stale.clone()
            };
            return Ordered::Nothing(held.or_else(|| self.newer_than(state.revision)));
        };
        let Some(spec) = state.specs.get(&entry.record.spec) else {
            return Ordered::Incomplete;
        };
        Ordered::Task {
            order: Order {
                record: Arc::clone(&entry.record.value),
                spec: Arc::clone(spec),
                seq: entry.record_revision(),
                digests: BTreeMap::new(),
            },
            lost: entry.lost.as_ref().map(|lost| Arc::clone(&lost.value)),
            status: entry
                .status
                .as_ref()
                .map(|stored| Arc::clone(&stored.value)),
        }
    }

    /// A container that is newer than the store was made by a store that is no more: nothing may be concluded from what
    /// this one does not have.
    fn newer_than(&self, revision: u64) -> Option<String> {
        let newest = self
            .shared
            .cache
            .of_task(&self.id)
            .values()
            .filter_map(|found| found.labels.get(labels::SEQ)?.parse::<u64>().ok())
            .max()?;
        let accounted = revision.max(self.shared.config.accounted_seq);
        (newest > accounted && !self.had_record).then(|| {
            format!("its containers are newer (revision {newest}) than the store ({revision})")
        })
    }

    async fn attend(
        &mut self,
        mut order: Order,
        lost: Option<&TaskLost>,
        stored: Option<Arc<TaskStatus>>,
    ) -> Outlook {
        let here = self.shared.cache.of_task(&self.id);
        let missing = order
            .spec
            .containers
            .iter()
            .any(|container| !here.contains_key(&container.name));
        let mut looked = Ok(());
        if self.prior.is_none() {
            looked = self.look_at_digests(&order, &here, stored.as_deref()).await;
        }
        if missing && looked.is_ok() {
            looked = self.look_at_images(&order).await;
        }
        if let Err(error) = looked {
            tracing::warn!(task = %self.id, %error, "the engine's images cannot be seen");
            return Outlook::Wait(Some(self.soon()));
        }
        // In this order: what is looked at between the two counts as not seen yet, and is looked at again.
        self.look_around();
        let all_seen = self.shared.cache.unseen(&self.id).is_empty();
        let observed = self.shared.cache.of_task(&self.id);
        let prior = match self.prior.take() {
            Some(prior) => prior,
            None => {
                self.reported = stored.is_some();
                stored.map(Arc::unwrap_or_clone).unwrap_or_default()
            }
        };
        let step = step(&StepInput {
            record: &order.record,
            spec: &order.spec,
            lost,
            observed: &observed,
            prior: &prior,
            facts: &self.facts,
            now: self.shared.clock.now(),
        });
        let news = step.status != prior || !self.reported;
        // What was not seen yet is not in the status.
        if all_seen {
            self.shared.settling.looked_at(&self.id, news);
        }
        if news {
            self.reported = true;
            self.shared.reporter.status(&self.id, step.status.clone());
        }
        if step.status.last_log_lines.is_empty() {
            self.facts.logs.clear();
        }
        let digests = step.status.containers.iter().filter_map(|container| {
            let digest = container.image_digest.clone()?;
            Some((container.name.clone(), digest))
        });
        order.digests = digests.collect();
        self.prior = Some(step.status);
        let mut wake_at = step.wake_at;
        for action in step.actions {
            if lost.is_none() && begins(&action.call) && self.shared.lost_task_runs() {
                let soon = self.soon();
                wake_at = Some(wake_at.map_or(soon, |at| at.min(soon)));
                continue;
            }
            self.launch(action, Some(order.clone()));
        }
        Outlook::Wait(wake_at)
    }

    async fn look_at_images(&mut self, order: &Order) -> Result<(), EngineError> {
        self.facts.pull = self.shared.cluster().images.pull;
        let architecture = order.spec.architecture.as_deref();
        let containers = order.spec.containers.iter();
        let images: BTreeSet<String> = containers
            .map(|container| translate::image(&order.record, container))
            .collect();
        for image in images {
            let fact = self.shared.images.fact(&image, architecture).await?;
            self.facts.images.insert(image, fact);
        }
        Ok(())
    }

    /// Finds the digests of containers that were there before this worker, where the store does not tell them: an earlier
    /// agent created them, or the store was lost.
    async fn look_at_digests(
        &mut self,
        order: &Order,
        here: &BTreeMap<String, ObservedContainer>,
        stored: Option<&TaskStatus>,
    ) -> Result<(), EngineError> {
        for container in &order.spec.containers {
            let told = stored
                .and_then(|status| status.container(&container.name))
                .is_some_and(|status| status.image_digest.is_some());
            let Some(found) = here.get(&container.name).filter(|_| !told) else {
                continue;
            };
            // One that was created a moment ago and was not looked at yet.
            if found.image_id.is_empty() {
                continue;
            }
            let images = &self.shared.images;
            let digest = images.digest(&found.image_id, &container.image).await?;
            self.facts.digests.insert(container.name.clone(), digest);
        }
        Ok(())
    }

    /// What the worker itself knows: what is under way, and what is there for everybody.
    fn look_around(&mut self) {
        let under_way =
            |verb: Verb, target: &str| self.in_flight.contains(&CallKey::new(verb, target));
        let ready = |ready: bool, verb: Verb| {
            if ready {
                Readiness::Ready
            } else if under_way(verb, "") {
                Readiness::InProgress
            } else {
                Readiness::Missing
            }
        };
        let surroundings = &self.shared.surroundings;
        self.facts.network = ready(surroundings.network.is_ready(), Verb::CreateNetwork);
        self.facts.pause_image = ready(surroundings.pause_image.is_ready(), Verb::ImportPauseImage);
        for key in &self.in_flight {
            if let Verb::CreateVolume | Verb::FindVolume = key.verb {
                self.facts
                    .volumes
                    .insert(key.target.clone(), Readiness::InProgress);
            }
        }
        self.facts.busy = self.busy();
        self.facts.engine_began = self.shared.greeting.began();
    }

    /// Containers about which nothing may be decided: a call is under way, or something happened that was not seen yet.
    fn busy(&self) -> BTreeSet<String> {
        let mut busy = self.shared.cache.unseen(&self.id);
        let calls = self
            .in_flight
            .iter()
            .filter(|key| {
                matches!(
                    key.verb,
                    Verb::Create | Verb::Start | Verb::Stop | Verb::Remove
                )
            })
            .map(|key| key.target.clone());
        busy.extend(calls);
        busy
    }

    /// The task has no record: what is left of it is removed, at once where it had one a moment ago, else after a while.
    fn clear(&mut self, held: Option<String>) -> Outlook {
        let now = self.shared.clock.now();
        let busy = self.busy();
        let observed = self.shared.cache.of_task(&self.id);
        let volumes = self.shared.volumes.of_task(&self.id);
        if observed.is_empty() && volumes.is_empty() && self.in_flight.is_empty() {
            return Outlook::Done;
        }
        if let Some(why) = held {
            if self.without_record.is_none() {
                tracing::warn!(task = %self.id, %why, "containers without a task are kept");
            }
            self.without_record.get_or_insert(now);
            return Outlook::Wait(Some(now.plus(SOON * 10)));
        }
        let since = *self.without_record.get_or_insert(now);
        let due = if self.had_record {
            since
        } else {
            since.plus(self.shared.config.tuning.grace)
        };
        if due > now {
            return Outlook::Wait(Some(due));
        }
        let cause = if self.had_record {
            "the task was deleted"
        } else {
            "it belongs to no task"
        };
        let cleanup = cleanup(
            &CleanupInput {
                observed: &observed,
                volumes: &volumes,
                attempts: &self.facts.attempts,
                busy: &busy,
                now,
            },
            cause,
        );
        for action in cleanup.actions {
            self.launch(action, None);
        }
        Outlook::Wait(cleanup.wake_at)
    }

    fn launch(&mut self, action: Action, order: Option<Order>) {
        let key = action.call.key();
        if !self.in_flight.insert(key) {
            return;
        }
        tracing::debug!(task = self.id.short(), "{action}");
        if let Some(container) = action.call.container() {
            self.shared.cache.begin_call(&self.id, container);
        }
        let call = execute(
            Arc::clone(&self.shared),
            self.id.clone(),
            order,
            action.call,
        );
        self.flights.push(call.boxed());
    }

    fn take(&mut self, landed: Landed) {
        let key = landed.key();
        self.in_flight.remove(&key);
        match landed.result {
            // The next look sees why.
            Ok(Effect::Superseded) => self.lack(&landed.call),
            Ok(effect) => {
                self.facts.attempts.remove(&key);
                self.succeeded(&landed.call, effect);
            }
            Err(error) => self.failed(&landed.call, key, &error),
        }
    }

    fn succeeded(&mut self, call: &Call, effect: Effect) {
        if let (Call::ReadLogs { container, .. }, Effect::Logs(logs)) = (call, effect) {
            self.facts.logs.insert(container.clone(), logs);
        }
        if let Call::CreateVolume { volume } | Call::FindVolume { volume } = call {
            self.facts.volumes.insert(volume.clone(), Readiness::Ready);
        }
        if let Call::Pull { image, .. } = call {
            self.facts.pulled.insert(image.clone());
        }
    }

    fn failed(&mut self, call: &Call, key: CallKey, error: &EngineError) {
        tracing::warn!(task = self.id.short(), kind = ?error.kind, "{call} failed: {}", error.message);
        let gone = error.kind == ErrorKind::NotFound;
        match call {
            // Nothing is lost but an explanation.
            Call::ReadLogs {
                container, ended, ..
            } if error.kind != ErrorKind::Unreachable => {
                let nothing = LogFact {
                    ended: *ended,
                    lines: Vec::new(),
                };
                self.facts.logs.insert(container.clone(), nothing);
                return;
            }
            // Something it needs is gone, behind our back: look at everything again.
            Call::Create { .. } | Call::Start { .. } if gone => {
                self.shared.surroundings.network.forget();
                self.shared.surroundings.pause_image.forget();
                self.shared.images.forget();
                self.facts.images.clear();
                self.facts.pulled.clear();
                self.facts.volumes.clear();
            }
            _ => self.lack(call),
        }
        let failures = self
            .facts
            .attempts
            .get(&key)
            .map_or(0, |attempt| attempt.failures);
        let attempt = Attempt {
            failures: failures.saturating_add(1),
            at: self.shared.clock.now(),
            kind: error.kind,
            message: error.message.clone(),
        };
        self.facts.attempts.insert(key, attempt);
    }

    /// The call did not bring what it was made for.
    fn lack(&mut self, call: &Call) {
        if let Call::CreateVolume { volume } | Call::FindVolume { volume } = call {
            self.facts
                .volumes
                .insert(volume.clone(), Readiness::Missing);
        }
    }

    fn soon(&self) -> Timestamp {
        self.shared.clock.now().plus(SOON)
    }
}

/// Whether the call begins something that a task which was given up might still be doing.
fn begins(call: &Call) -> bool {
    matches!(call, Call::Create { .. } | Call::Start { .. })
}

async fn sleep(due: Option<Duration>) {
    match due {
        Some(due) => tokio::time::sleep(due).await,
        None => std::future::pending().await,
    }
}
