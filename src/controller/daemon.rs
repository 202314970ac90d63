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
    let all = by_instance(draft);
    let mut due = daemon.due(draft, &active, &all);
    for instance in &active {
        if draft.more {
            break;
        }
        let here = all.get(instance).map_or(&[][..], Vec::as_slice);
        let problem = daemon.serve(draft, instance, here, &mut due);
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

    fn due(&self, draft: &mut Draft<'_>, active: &[InstanceId], all: &ByInstance<'_>) -> u32 {
        let lacking = active.iter().filter(|instance| {
            let here = all.get(instance).map_or(&[][..], Vec::as_slice);
            pick(draft, here, |seen| seen.current && seen.good()).is_empty()
        });
        let missing = u32::try_from(lacking.count()).unwrap_or(u32::MAX);
        let now = draft.now();
        let due = draft.record.throttle.allowed(missing, now);
        if due < missing {
            draft.wake(draft.record.throttle.not_before);
        }
        due
    }

    /// Brings one instance to one healthy current task, as far as that goes now. `here` are its tasks.
    fn serve(
        &self,
        draft: &mut Draft<'_>,
        instance: &InstanceId,
        here: &[usize],
        due: &mut u32,
    ) -> Option<Blocked> {
        let good = pick(draft, here, |seen| seen.current && seen.good());
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
        let old = pick(draft, here, |seen| seen.superseded() && seen.expendable());
        let unhealthy = pick(draft, here, |seen| {
            seen.current && seen.stays() && seen.phase == Phase::Unhealthy
        });
        if good.is_empty() {
            return self.start(draft, instance, here, due, (&old, &unhealthy));
        }
        let healthy = pick(draft, here, |seen| seen.current && seen.healthy());
        if !healthy.is_empty() {
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
        here: &[usize],
        due: &mut u32,
        (old, unhealthy): (&[usize], &[usize]),
    ) -> Option<Blocked> {
        if *due == 0 || draft.failed() || !draft.has_room() {
            return None;
        }
        let exist = pick(draft, here, |seen| seen.phase.exists()).len();
        let mut request = draft.request(self.definition.spec);
        request.only = Some(instance);
        let room = exist < self.per_instance as usize && draft.existing() < self.band.cap;
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
        let gone = here.iter().map(|at| draft.seen[*at].view.record);
        let gone = gone.collect::<Vec<_>>();
        if let Err(no_fit) = draft.books.would_fit_without(&gone, &request) {
            return Some(Blocked::Placement(no_fit));
        }
        if here.iter().any(|at| draft.seen[*at].leaves()) {
            return Some(Blocked::Waiting);
        }
        for at in unhealthy {
            if !draft.has_room() {
                return None;
            }
            stop_unhealthy(draft, *at, "unhealthy, making room for its replacement");
        }
        let mut stuck = here.iter().any(|at| kept(&draft.seen[*at]));
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
        let changing = || {
            let moves = |seen: &Seen<'_>| seen.leaves() || (seen.good() && !seen.healthy());
            draft.acts() || draft.count(moves) > 0
        };
        Some(if stuck && !changing() {
            Blocked::Percentages
        } else {
            Blocked::Waiting
        })
    }
}

/// Indexes of the tasks of each instance, newest first.
type ByInstance<'a> = BTreeMap<&'a InstanceId, Vec<usize>>;

fn by_instance<'a>(draft: &Draft<'a>) -> ByInstance<'a> {
    let mut all = ByInstance::new();
    for at in draft.newest(|_| true) {
        let instance = &draft.seen[at].view.record.instance;
        all.entry(instance).or_default().push(at);
    }
    all
}

/// Those of `here` that `which` picks, in the same order.
fn pick(draft: &Draft<'_>, here: &[usize], which: impl Fn(&Seen<'_>) -> bool) -> Vec<usize> {
    let all = here.iter().copied();
    all.filter(|at| which(&draft.seen[*at])).collect()
}
