//! One task, as its engine's events tell it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::folder::ServiceKey;
use super::history::TaskLine;
use crate::engine::labels::PAUSE_CONTAINER;
use crate::engine::simulated::{SimEvent, SimEventKind};
use crate::model::{TaskRecord, TaskSpec, Timestamp};

/// What a task is at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    /// Ordered, and not all of it is up: images are pulled, containers created and started.
    Pending,
    /// Up, and too early to say whether it is healthy.
    Starting,
    /// Healthy.
    Healthy,
    /// Its health check says no.
    Unhealthy,
    /// It ends.
    Stopping,
    /// Nothing of it runs any more.
    Over,
}

#[derive(Debug, Clone, Copy, Default)]
struct Container {
    running: bool,
    started: bool,
    ended: bool,
    healthy: Option<bool>,
}

/// See the [module's documentation](self).
#[derive(Debug)]
pub struct TaskSeen {
    /// Its service.
    pub service: ServiceKey,
    /// `family:revision`.
    pub revision: String,
    /// Its instance.
    pub instance: String,
    id: String,
    spec: Option<Arc<TaskSpec>>,
    containers: BTreeMap<String, Container>,
    /// Since when all of it is up.
    up_since: Option<Timestamp>,
    /// When it counts as healthy for want of a health check.
    counts_from: Option<Timestamp>,
    /// When it was ordered to stop.
    pub ordered_to_stop: Option<Timestamp>,
    /// When it stopped being healthy by itself.
    pub fell: Option<Timestamp>,
    /// Its agent says that it is over.
    pub stopped: bool,
    /// It was given up with its instance.
    pub lost: bool,
    /// Its record is gone.
    pub forgotten: bool,
    phases: Vec<(Timestamp, Phase)>,
}

impl TaskSeen {
    /// A task that was just ordered.
    pub fn new(
        record: &TaskRecord,
        service: ServiceKey,
        spec: Option<Arc<TaskSpec>>,
        now: Timestamp,
    ) -> Self {
        Self {
            service,
            revision: record.revision_ref().to_string(),
            instance: record.instance.to_string(),
            id: record.id.to_string(),
            spec,
            containers: BTreeMap::new(),
            up_since: None,
            counts_from: None,
            ordered_to_stop: None,
            fell: None,
            stopped: false,
            lost: false,
            forgotten: false,
            phases: vec![(now, Phase::Pending)],
        }
    }

    fn essential(&self, container: &str) -> bool {
        let spec = self
            .spec
            .as_ref()
            .and_then(|spec| spec.container(container));
        container == PAUSE_CONTAINER || spec.is_none_or(|container| container.essential)
    }

    fn checks(&self) -> impl Iterator<Item = &str> {
        let all = self.spec.iter().flat_map(|spec| &spec.containers);
        all.filter(|container| container.essential && container.health_check.is_some())
            .map(|container| container.name.as_str())
    }

    fn is_up(&self) -> bool {
        let Some(spec) = &self.spec else {
            return self.runs();
        };
        spec.containers.iter().all(|container| {
            let seen = self.containers.get(&container.name);
            seen.is_some_and(|seen| match container.essential {
                true => seen.running,
                false => seen.started,
            })
        })
    }

    /// Whether a container of it runs.
    pub fn runs(&self) -> bool {
        self.containers.values().any(|container| container.running)
    }

    /// Whether nothing of it runs, and nothing will.
    pub fn is_over(&self) -> bool {
        let ended = || {
            let mut all = self.containers.iter();
            all.any(|(name, container)| container.ended && self.essential(name))
        };
        !self.runs()
            && (self.stopped || self.forgotten || self.ordered_to_stop.is_some() || ended())
    }

    /// What it is now.
    pub fn phase(&self, now: Timestamp) -> Phase {
        if self.is_over() {
            return Phase::Over;
        }
        let ended =
            |(name, container): (&String, &Container)| container.ended && self.essential(name);
        let ends = self.containers.iter().any(ended);
        if ends || self.ordered_to_stop.is_some() {
            return Phase::Stopping;
        }
        if self.up_since.is_none() {
            return Phase::Pending;
        }
        let verdicts = self.checks().map(|name| {
            let seen = self.containers.get(name);
            seen.and_then(|container| container.healthy)
        });
        let mut has_check = false;
        let mut all_healthy = true;
        for verdict in verdicts {
            has_check = true;
            match verdict {
                Some(false) => return Phase::Unhealthy,
                Some(true) => {}
                None => all_healthy = false,
            }
        }
        let healthy = match has_check {
            true => all_healthy,
            false => self.counts_from.is_some_and(|from| from <= now),
        };
        match healthy {
            true => Phase::Healthy,
            false => Phase::Starting,
        }
    }

    /// Takes an event of one of its containers. Returns when it counts as healthy, where that is a matter of time: so long
    /// `after` it is up.
    pub fn take(
        &mut self,
        container: &str,
        event: &SimEvent,
        after: Duration,
    ) -> Option<Timestamp> {
        let seen = self.containers.entry(container.to_owned()).or_default();
        match event.kind {
            SimEventKind::Created => {}
            SimEventKind::Started => {
                *seen = Container {
                    running: true,
                    started: true,
                    ..Container::default()
                };
            }
            SimEventKind::Healthy => seen.healthy = Some(true),
            SimEventKind::Unhealthy => seen.healthy = Some(false),
            SimEventKind::Exited { .. } | SimEventKind::Removed { .. } => {
                seen.ended = seen.ended || seen.running;
                seen.running = false;
                seen.healthy = None;
            }
        }
        let was_up = self.up_since.is_some();
        self.up_since = match self.is_up() {
            true => self.up_since.or(Some(event.at)),
            false => None,
        };
        self.up_since?;
        if !was_up {
            self.counts_from = Some(event.at.plus(after));
            return self.counts_from;
        }
        None
    }

    /// Notes what it is now, if that is news.
    pub fn note(&mut self, now: Timestamp) {
        let phase = self.phase(now);
        match self.phases.last_mut() {
            Some((_, last)) if *last == phase => {}
            Some((at, last)) if *at == now => *last = phase,
            _ => self.phases.push((now, phase)),
        }
    }

    /// Its life from time 0 to the end; none where it was over by then.
    pub fn line(&self, zero: Timestamp, end: Duration) -> Option<TaskLine> {
        let mut phases: Vec<(Duration, Phase)> = Vec::new();
        for (at, phase) in &self.phases {
            let at = at.since(zero);
            match phases.last_mut() {
                Some((last, of)) if *last == at => *of = *phase,
                Some((_, of)) if of == phase => {}
                _ => phases.push((at, *phase)),
            }
        }
        if phases
            .first()
            .is_none_or(|(_, phase)| *phase == Phase::Over)
        {
            return None;
        }
        if phases
            .last()
            .is_some_and(|(_, phase)| *phase != Phase::Over)
        {
            phases.push((end, Phase::Over));
        }
        Some(TaskLine {
            id: self.id.clone(),
            revision: self.revision.clone(),
            instance: self.instance.clone(),
            phases,
        })
    }
}
