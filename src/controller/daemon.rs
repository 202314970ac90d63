//! DAEMON: one task of the PRIMARY deployment on every ACTIVE instance (semantics §4.33).
//!
//! The band is counted over the instances: floor and cap are percentages of how many there are. On each instance a new
//! task comes after the old one (ECS asks for a maximum of 100 percent), and tasks on DRAINING instances stop, as do
//! those on instances that do not meet its placement constraints (any more).

use std::collections::BTreeMap;

use super::observe::Phase;
use super::plan::{Definition, Draft, Seen};
use super::rolling::{Band, Blocked, kept, report, report_protected, stop_scaled, stop_unhealthy};
use super::{events, instances};
use crate::model::{
    Deployment, DeploymentStatus, EventLevel, InstanceId, Query, RolloutState, ServiceSpec,
    floor_percent,
};

/// Plans a DAEMON service; returns how many tasks there should be, `None` while no instance is known.
pub(super) fn spread(
    draft: &mut Draft<'_>,
    spec: &ServiceSpec,
    definition: &Definition<'_>,
) -> Option<u32> {
    let primary = draft.record.primary().cloned()?;
    let outside = draft.books.outside(&draft.request(definition.spec));
    instances::give_up_all(draft);
    let mut active: Vec<InstanceId> = instances::for_daemons(draft);
    active.retain(|instance| !outside.contains_key(instance));
    let desired = u32::try_from(active.len()).unwrap_or(u32::MAX);
    let daemon = Daemon {
        band: Band::of(spec, desired),
        per_instance: floor_percent(1, spec.maximum_percent).max(1),
        primary,
        definition: *definition,
    };
    for deployment in &mut draft.record.deployments {
        if deployment.status == DeploymentStatus::Active {
            deployment.desired_count = 0;
        }
    }
    if draft.failed() {
        return (desired > 0 || !outside.is_empty()).then_some(desired);
    }
    daemon.leave_instances(draft, &outside);
    let mut blocked = None;
    let mut due = daemon.due(draft, &active);
    for instance in &active {
        if draft.more {
            break;
        }
        let problem = daemon.serve(draft, instance, &mut due);
        blocked = blocked.or(problem);
    }
    report(draft, blocked);
    report_protected(draft, desired);
    (desired > 0 || !outside.is_empty()).then_some(desired)
}

struct Daemon<'a> {
    band: Band,
    /// Most tasks of the service on one instance at once.
    per_instance: u32,
    primary: Deployment,
    definition: Definition<'a>,
}

impl Daemon<'_> {
    fn leave_instances(&self, draft: &mut Draft<'_>, outside: &BTreeMap<InstanceId, Query>) {
        let goes = |seen: &Seen<'_>| {
            let out = outside.contains_key(&seen.view.record.instance);
            seen.stays() && (seen.draining || out) && seen.expendable()
        };
        for at in draft.newest(goes) {
            if !draft.has_room() {
                return;
            }
            let seen = &draft.seen[at];
            let instance = seen.view.record.instance.clone();
            let unmet = outside.get(&instance).filter(|_| !seen.draining);
            let cause = match unmet {
                None => format!("instance {instance} is draining"),
                Some(query) => {
                    let service = draft.input.service;
                    let message = events::violates(service, seen.id(), &instance, query);
                    draft.say(EventLevel::Error, message);
                    format!("instance {instance} does not meet memberOf `{query}`")
                }
            };
            stop_scaled(draft, at, &self.primary, cause);
        }
    }

    fn due(&self, draft: &mut Draft<'_>, active: &[InstanceId]) -> u32 {
        let lacking = active.iter().filter(|instance| {
            draft.count(|seen| on(seen, instance) && seen.current && seen.good()) == 0
        });
        let missing = u32::try_from(lacking.count()).unwrap_or(u32::MAX);
        let now = draft.now();
        let due = draft.record.throttle.allowed(missing, now);
        if due < missing {
            draft.wake(draft.record.throttle.not_before);
        }
        due
    }

    /// Brings one instance to one healthy current task, as far as that goes now.
    fn serve(
        &self,
        draft: &mut Draft<'_>,
        instance: &InstanceId,
        due: &mut u32,
    ) -> Option<Blocked> {
        let good = draft.newest(|seen| on(seen, instance) && seen.current && seen.good());
        let surplus = good.iter().filter(|at| draft.seen[**at].expendable());
        let surplus: Vec<usize> = surplus
            .copied()
            .take(good.len().saturating_sub(1))
            .collect();
        for at in &surplus {
            if !draft.has_room() {
                return None;
            }
            let cause = "one task an instance".to_owned();
            stop_scaled(draft, *at, &self.primary, cause);
        }
        let old = draft.newest(|seen| on(seen, instance) && seen.superseded() && seen.expendable());
        let unhealthy = draft.newest(|seen| {
            on(seen, instance) && seen.current && seen.stays() && seen.phase == Phase::Unhealthy
        });
        if good.is_empty() {
            return self.start(draft, instance, due, &old, &unhealthy);
        }
        let healthy = draft.count(|seen| on(seen, instance) && seen.current && seen.healthy()) > 0;
        if healthy {
            for at in old {
                if !draft.has_room() {
                    return None;
                }
                let cause = format!("superseded by {}", self.primary.id);
                stop_scaled(draft, at, &self.primary, cause);
            }
            for at in unhealthy {
                if !draft.has_room() {
                    return None;
                }
                stop_unhealthy(draft, at, "unhealthy, and no longer needed");
            }
        }
        None
    }

    fn start(
        &self,
        draft: &mut Draft<'_>,
        instance: &InstanceId,
        due: &mut u32,
        old: &[usize],
        unhealthy: &[usize],
    ) -> Option<Blocked> {
        if *due == 0 || draft.failed() || !draft.has_room() {
            return None;
        }
        let here = draft.count(|seen| on(seen, instance) && seen.phase.exists());
        let mut request = draft.request(self.definition.spec);
        request.only = Some(instance);
        let room = here < self.per_instance && draft.existing() < self.band.cap;
        if room && let Ok(placed) = draft.books.place(&request) {
            *due -= 1;
            let cause = match draft.causes.is_empty() {
                false => draft.causes.remove(0),
                true if self.primary.rollout == RolloutState::InProgress => {
                    format!("rollout of {}", self.primary.id)
                }
                true => "one task an instance".to_owned(),
            };
            draft.start(placed, &self.primary, &self.definition, cause);
            return None;
        }
        // Would it fit if nothing of the service were here?
        let gone = draft.seen.iter().filter(|seen| on(seen, instance));
        let gone = gone.map(|seen| seen.view.record).collect::<Vec<_>>();
        if let Err(no_fit) = draft.books.would_fit_without(&gone, &request) {
            return Some(Blocked::Placement(no_fit));
        }
        if draft
            .seen
            .iter()
            .any(|seen| on(seen, instance) && seen.leaves())
        {
            return Some(Blocked::Waiting);
        }
        for at in unhealthy {
            if !draft.has_room() {
                return None;
            }
            stop_unhealthy(draft, *at, "unhealthy, making room for its replacement");
        }
        let mut stuck = draft.count(|seen| on(seen, instance) && kept(seen)) > 0;
        for at in old {
            if !draft.has_room() {
                return None;
            }
            let seen = &draft.seen[*at];
            let enough = match seen.phase {
                Phase::Healthy => draft.count(Seen::healthy) > self.band.floor,
                Phase::Warming => draft.count(Seen::serves) > self.band.floor,
                _ => true,
            };
            if enough {
                let cause = format!("makes room for {}", self.primary.revision);
                stop_scaled(draft, *at, &self.primary, cause);
            } else {
                stuck = true;
            }
        }
        let changing = draft.acts()
            || draft
                .seen
                .iter()
                .any(|seen| seen.leaves() || (seen.good() && !seen.healthy()));
        Some(if stuck && !changing {
            Blocked::Percentages
        } else {
            Blocked::Waiting
        })
    }
}

fn on(seen: &Seen<'_>, instance: &InstanceId) -> bool {
    seen.view.record.instance == *instance
}
