//! REPLICA: `desiredCount` tasks of the PRIMARY deployment, reached without leaving the band between
//! `minimumHealthyPercent` and `maximumPercent` (P3; semantics §3b, §4.19–22, 28, 34).
//!
//! * The cap bounds every task whose containers may exist, also those that are ordered to stop.
//! * A healthy task is stopped only if the healthy ones that stay reach the floor.
//! * New tasks come first as long as the cap and the instances have room (start-first). Only for a start that has none are
//!   older tasks stopped, and only if stopping them makes room (stop-first). The percentages decide which it is.
//!
//! * A protected task is not chosen, whatever that holds up, until its protection ends (semantics §4.32).
//!
//! *Superseded* tasks are those of older deployments, and those on DRAINING instances. They stand in until healthy current
//! ones take over.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::observe::Phase;
use super::placement::{Books, NoFit, Request};
use super::plan::{Definition, Draft, Seen};
use super::victims::{Left, Search, count};
use super::{events, instances, rebalance, service};
use crate::model::{
    Deployment, DeploymentStatus, EarlySuccess, EventLevel, NoticeKind, ServiceSpec, SpecHash,
    StopCode, TaskRecord, ceil_percent, floor_percent,
};

/// How long a cluster may be without any registered instance before a service says so: agents register as they start.
const REGISTRATION: Duration = Duration::from_secs(5);

/// The band in which the number of tasks may move.
#[derive(Debug, Clone, Copy)]
pub(super) struct Band {
    pub desired: u32,
    /// Fewest healthy tasks that stopping may leave.
    pub floor: u32,
    /// Most tasks that may exist at once.
    pub cap: u32,
}

impl Band {
    pub fn of(spec: &ServiceSpec, desired: u32) -> Self {
        Self {
            desired,
            floor: ceil_percent(desired, spec.minimum_healthy_percent),
            cap: floor_percent(desired, spec.maximum_percent),
        }
    }
}

/// Why starts that are due were not made.
#[derive(Debug)]
pub(super) enum Blocked {
    /// They will be possible once what is on its way is gone.
    Waiting,
    /// The percentages allow neither a start nor a stop.
    Percentages,
    /// They fit nowhere.
    Placement(NoFit),
    /// The rollout stands still, and this comes of it.
    Standing(String),
}

pub(super) fn roll(draft: &mut Draft<'_>, spec: &ServiceSpec, definition: &Definition<'_>) {
    let Some(primary) = draft.record.primary().cloned() else {
        return;
    };
    let rolling = Rolling {
        band: Band::of(spec, spec.desired_count),
        primary,
        definition: *definition,
        early: spec.early_success,
    };
    let stranded = instances::replace(draft, spec.desired_count, &rolling.primary, definition);
    rolling.stop_surplus(draft);
    if draft.failed() {
        // One of those was one too many: what comes next is for the next plan.
        return;
    }
    rolling.stop_superseded(draft);
    let due = rolling.due(draft);
    rolling.replace_old(draft, due);
    let unplaced = rolling.start_missing(draft, due);
    let blocked = match unplaced {
        0 => stranded.map(Blocked::Placement),
        unplaced => rolling.make_room(draft, unplaced),
    };
    let quiet = blocked.is_none();
    report(draft, blocked);
    report_protected(draft, spec.desired_count);
    if quiet {
        rebalance::begin(draft, rolling.band, &rolling.primary, definition);
    }
}

/// It would have to go and may not.
pub(super) fn kept(seen: &Seen<'_>) -> bool {
    seen.superseded() && !seen.expendable()
}

/// Says that protected tasks stand where others should, or where nothing should, once.
pub(super) fn report_protected(draft: &mut Draft<'_>, desired: u32) {
    let protected = draft.count(|seen| seen.stays() && !seen.expendable());
    let superseded = draft.count(kept);
    let message = if protected > desired {
        Some(events::too_many_protected(draft.input.service))
    } else {
        (superseded > 0).then(|| events::protected(draft.input.service, superseded))
    };
    draft.notice(NoticeKind::Protected, EventLevel::Warn, message);
}

/// Says what holds starts up, once, and takes it back when it no longer does.
pub(super) fn report(draft: &mut Draft<'_>, blocked: Option<Blocked>) {
    if draft.more {
        // Not all was tried.
        return;
    }
    let service = draft.input.service;
    let (mut configuration, mut placement) = (None, None);
    match blocked {
        None | Some(Blocked::Waiting) => {}
        // What holds it up then is protection, and that is said by itself.
        Some(Blocked::Percentages) if draft.count(kept) > 0 => {}
        Some(Blocked::Percentages) => configuration = Some(events::configuration(service)),
        Some(Blocked::Standing(why)) => configuration = Some(why),
        Some(Blocked::Placement(no_fit)) if no_fit.is_empty() => {
            let since = draft.record.primary().map(|primary| primary.updated_at);
            let until = since.unwrap_or_default().plus(REGISTRATION);
            if draft.now() < until {
                draft.wake(Some(until));
            } else {
                placement = Some(events::unplaced(service, &no_fit));
            }
        }
        Some(Blocked::Placement(no_fit)) => placement = Some(events::unplaced(service, &no_fit)),
    }
    draft.notice(NoticeKind::Configuration, EventLevel::Warn, configuration);
    draft.notice(NoticeKind::Placement, EventLevel::Error, placement);
}

struct Rolling<'a> {
    band: Band,
    primary: Deployment,
    definition: Definition<'a>,
    early: Option<EarlySuccess>,
}

impl Rolling<'_> {
    /// Current tasks beyond `desiredCount`: not yet running ones go first, then unhealthy ones, then the newest.
    fn stop_surplus(&self, draft: &mut Draft<'_>) {
        let desired = self.band.desired;
        let moving = rebalance::under_way(draft, desired);
        // Until it has arrived, a task that is moved to another zone is one beyond.
        let kept = desired + u32::from(moving.is_some_and(|(_, arrived)| !arrived));
        let good = draft.count(|seen| seen.current && seen.good());
        let mut victims = draft.newest(|seen| seen.current && seen.good());
        victims.retain(|at| moving.is_none_or(|(moved, _)| moved != *at));
        let mut victims = in_order_of_use(draft, victims, good.saturating_sub(kept));
        victims.retain(|at| draft.seen[*at].expendable());
        for at in victims {
            if !draft.has_room() {
                return;
            }
            let cause = match moving {
                Some(_) => "evens out availability zones".to_owned(),
                None => format!("scaling in to {desired}"),
            };
            stop_scaled(draft, at, &self.primary, cause);
        }
        // An unhealthy task stands in until a healthy one has taken its place (semantics §4.21).
        let healthy = draft.count(|seen| seen.current && seen.healthy());
        let unhealthy = draft.newest(|seen| seen.current && is_unhealthy(seen));
        let kept = desired.saturating_sub(healthy) as usize;
        let surplus = unhealthy.len().saturating_sub(kept);
        for at in unhealthy.into_iter().take(surplus) {
            if !draft.has_room() {
                return;
            }
            stop_unhealthy(draft, at, "unhealthy, and no longer needed");
        }
    }

    /// How many superseded tasks must stand in for current ones that are not healthy yet.
    fn needed(&self, draft: &Draft<'_>) -> u32 {
        let healthy = draft.count(|seen| seen.current && seen.healthy());
        let desired = self.band.desired;
        // Enough for the deployment to be done is enough for older tasks to go.
        let early = self.early.map(|e| ceil_percent(desired, e.healthy_percent));
        match early {
            Some(enough) if healthy >= enough.max(self.band.floor) => 0,
            _ => desired.saturating_sub(healthy),
        }
    }

    /// Superseded tasks that no longer stand in for anything, the least useful first.
    fn stop_superseded(&self, draft: &mut Draft<'_>) {
        let needed = self.needed(draft);
        let mut standing = self.superseded(draft, |seen| seen.phase > Phase::Starting);
        let surplus = standing.len().saturating_sub(needed as usize);
        standing.truncate(surplus);
        standing.retain(|at| draft.seen[*at].expendable());
        for at in standing {
            if !draft.has_room() {
                break;
            }
            let cause = self.superseded_cause(&draft.seen[at]);
            self.stop_old(draft, at, cause);
        }
        self.trim(draft, needed);
        self.stop_idle_starts(draft);
    }

    /// No older deployment wants more tasks than still have to stand in.
    fn trim(&self, draft: &mut Draft<'_>, needed: u32) {
        let mut left = needed;
        for deployment in &mut draft.record.deployments {
            if deployment.status == DeploymentStatus::Active {
                deployment.desired_count = deployment.desired_count.min(left);
                left -= deployment.desired_count;
            }
        }
    }

    /// Tasks that never ran and are superseded already, but for those that replace one that stood in.
    fn stop_idle_starts(&self, draft: &mut Draft<'_>) {
        let mut good: BTreeMap<(SpecHash, u32), u32> = BTreeMap::new();
        let kind = |task: &TaskRecord| (task.spec.clone(), task.generation);
        for seen in draft.seen.iter().filter(|seen| seen.good()) {
            *good.entry(kind(seen.view.record)).or_default() += 1;
        }
        for at in draft
            .newest(|seen| seen.superseded() && seen.phase == Phase::Starting && seen.expendable())
        {
            let seen = &draft.seen[at];
            let task = seen.view.record;
            let mut deployments = draft.record.deployments.iter();
            let deployment = deployments
                .find(|d| d.status == DeploymentStatus::Active && d.owns(task) && !seen.draining);
            let of_it = good.entry(kind(task)).or_default();
            let wanted = deployment.is_some_and(|deployment| *of_it <= deployment.desired_count);
            if !wanted {
                if !draft.has_room() {
                    return;
                }
                *of_it = of_it.saturating_sub(1);
                let cause = self.superseded_cause(&draft.seen[at]);
                stop_scaled(draft, at, &self.primary, cause);
            }
        }
    }

    /// How many current tasks are to be started now, as far as the throttle allows.
    fn due(&self, draft: &mut Draft<'_>) -> u32 {
        // What was started so far took the place of a task that was given up.
        let good = draft.count(|seen| seen.current && seen.good()) + draft.started;
        let missing = self.band.desired.saturating_sub(good);
        let now = draft.now();
        let due = draft.record.throttle.allowed(missing, now);
        if due < missing {
            draft.wake(draft.record.throttle.not_before);
        }
        due
    }

    /// A task of an older deployment that had been healthy and is no more, in the middle of a rollout: it is replaced from its
    /// own revision while it still has to stand in (semantics §4.22): first for the floor, else with room to spare.
    fn replace_old(&self, draft: &mut Draft<'_>, due: u32) {
        let kept = draft.count(|seen| seen.superseded() && seen.good());
        let healthy = draft.count(Seen::healthy);
        let coming = draft.count(|seen| seen.superseded() && seen.good() && !seen.healthy());
        let for_the_floor = self.band.floor.saturating_sub(healthy + coming);
        let room = self.band.cap.saturating_sub(draft.existing());
        let mut budget = self
            .needed(draft)
            .saturating_sub(kept)
            .min(for_the_floor.max(room.saturating_sub(due)));
        let old: Vec<Deployment> = draft
            .record
            .deployments
            .iter()
            .filter(|d| {
                d.status == DeploymentStatus::Active
                    && d.rollout != crate::model::RolloutState::Failed
            })
            .cloned()
            .collect();
        for deployment in old {
            let good = draft.count(|seen| seen.good() && deployment.owns(seen.view.record));
            let Some(spec) = draft.spec_of(&deployment.spec) else {
                continue;
            };
            let definition = Definition {
                revision: &deployment.revision,
                hash: &deployment.spec,
                spec,
            };
            let missing = deployment.desired_count.saturating_sub(good);
            for _ in 0..missing.min(budget) {
                if draft.existing() >= self.band.cap || !draft.has_room() {
                    return;
                }
                let Ok(placed) = draft.books.place(&draft.request(spec)) else {
                    break;
                };
                let cause = format!(
                    "stands in while {} rolls out, from its own revision",
                    self.primary.id
                );
                draft.start(placed, &deployment, &definition, cause);
                budget -= 1;
            }
        }
    }

    /// Starts what is due as far as cap and instances allow; returns how many were not placed.
    fn start_missing(&self, draft: &mut Draft<'_>, due: u32) -> u32 {
        let good = draft.count(|seen| seen.current && seen.good());
        let room = self.band.cap.saturating_sub(draft.existing());
        let unhealthy = draft
            .newest(|seen| seen.current && is_unhealthy(seen))
            .into_iter()
            .map(|at| {
                format!(
                    "replaces {}, which is unhealthy",
                    draft.seen[at].id().short()
                )
            })
            .collect::<Vec<String>>();
        let mut causes = std::mem::take(&mut draft.causes)
            .into_iter()
            .chain(unhealthy);
        for placed_before in 0..due {
            if placed_before >= room {
                return due - placed_before;
            }
            if !draft.has_room() {
                return 0;
            }
            let Ok(placed) = draft.books.place(&draft.request(self.definition.spec)) else {
                return due - placed_before;
            };
            let cause = causes.next().unwrap_or_else(|| {
                let nth = good + placed_before + 1;
                self.start_cause(nth)
            });
            draft.start(placed, &self.primary, &self.definition, cause);
        }
        0
    }

    fn start_cause(&self, nth: u32) -> String {
        let desired = self.band.desired;
        match self.primary.rollout {
            crate::model::RolloutState::InProgress => {
                format!("rollout of {}, {nth} of {desired} started", self.primary.id)
            }
            _ => format!("{nth} of {desired} wanted"),
        }
    }

    /// Stops what may be stopped and has to be for `unplaced` starts, and says what is in the way if that is not enough.
    fn make_room(&self, draft: &mut Draft<'_>, unplaced: u32) -> Option<Blocked> {
        if !draft.has_room() {
            return None;
        }
        let request = draft.request(self.definition.spec);
        let room = u32::try_from(draft.room()).unwrap_or(u32::MAX);
        let (victims, blocked) = self.victims(draft, &request, unplaced.min(room));
        for at in victims {
            if draft.failed() || !draft.has_room() {
                break;
            }
            let seen = &draft.seen[at];
            if seen.current {
                stop_unhealthy(draft, at, "unhealthy, making room for its replacement");
                continue;
            }
            let healthy = draft.count(Seen::healthy);
            let cause = match draft.seen[at].phase {
                Phase::Healthy => format!(
                    "makes room for {}, {} healthy stay and {} must",
                    self.primary.revision,
                    healthy - 1,
                    self.band.floor
                ),
                _ => format!("makes room for {}", self.primary.revision),
            };
            self.stop_old(draft, at, cause);
        }
        blocked
    }

    fn victims(
        &self,
        draft: &mut Draft<'_>,
        request: &Request<'_>,
        unplaced: u32,
    ) -> (Vec<usize>, Option<Blocked>) {
        let mut search = Search {
            // Nothing is placed in this plan any more.
            books: std::mem::replace(&mut draft.books, Books::none()),
            existing: draft.existing(),
            cap: self.band.cap,
            floor: self.band.floor,
            left: Left::of(draft),
        };
        for seen in draft.seen.iter().filter(|seen| seen.leaves()) {
            search.books.release(seen.view.record);
            search.existing -= 1;
        }
        let mut free = self.candidates(draft);
        let mut victims: Vec<usize> = Vec::new();
        for _ in 0..unplaced {
            if search.existing < search.cap && search.books.place(request).is_ok() {
                search.existing += 1;
                continue;
            }
            let one = search.one(draft, request, &free).map(|victim| vec![victim]);
            let Some(chosen) = one.or_else(|| search.several(draft, request, &free)) else {
                let stops = !victims.is_empty();
                let blocked = self.blocked(draft, &mut search, request, stops);
                return (victims, Some(blocked));
            };
            search.existing = (search.existing + 1).saturating_sub(count(&chosen));
            let gone: BTreeSet<usize> = chosen.iter().copied().collect();
            free.retain(|at| !gone.contains(at));
            victims.extend(chosen);
        }
        (victims, Some(Blocked::Waiting))
    }

    /// Tasks that may have to go for a new one, the least useful first.
    fn candidates(&self, draft: &Draft<'_>) -> Vec<usize> {
        let superseded =
            |phase: Phase| self.superseded(draft, |seen| seen.phase == phase && seen.expendable());
        let mut all = superseded(Phase::Starting);
        all.extend(superseded(Phase::Unhealthy));
        // One by one: only when nothing else is under way (semantics §4.21).
        let busy = draft.started > 0
            || draft
                .seen
                .iter()
                .any(|seen| seen.leaves() || (seen.current && seen.good() && !seen.healthy()));
        if !busy {
            let unhealthy = draft.newest(|seen| seen.current && is_unhealthy(seen));
            all.extend(unhealthy.last());
        }
        all.extend(superseded(Phase::Warming));
        all.extend(superseded(Phase::Healthy));
        all
    }

    fn blocked(
        &self,
        draft: &Draft<'_>,
        search: &mut Search<'_>,
        request: &Request<'_>,
        stops: bool,
    ) -> Blocked {
        match search.books.place(request) {
            _ if stops => Blocked::Waiting,
            Err(no_fit) => Blocked::Placement(no_fit),
            Ok(_) if search.existing >= self.band.cap => {
                let changing = draft.acts()
                    || draft
                        .seen
                        .iter()
                        .any(|seen| seen.leaves() || (seen.good() && !seen.healthy()));
                if changing {
                    Blocked::Waiting
                } else {
                    Blocked::Percentages
                }
            }
            Ok(_) => Blocked::Waiting,
        }
    }

    /// Superseded tasks that `which` picks, the least useful first: by worth, then unprotected ones, then those that are on a
    /// DRAINING instance, then those of the oldest deployment, then the newest task.
    fn superseded(&self, draft: &Draft<'_>, which: impl Fn(&Seen<'_>) -> bool) -> Vec<usize> {
        let mut all = draft.newest(|seen| seen.superseded() && which(seen));
        let age = |seen: &Seen<'_>| {
            let position = draft
                .record
                .deployments
                .iter()
                .position(|d| d.owns(seen.view.record));
            std::cmp::Reverse(position.unwrap_or(usize::MAX))
        };
        all.sort_by_key(|at| {
            let seen = &draft.seen[*at];
            (seen.worth(), seen.protected, !seen.draining, age(seen))
        });
        all
    }

    fn superseded_cause(&self, seen: &Seen<'_>) -> String {
        if seen.draining {
            format!("instance {} is draining", seen.view.record.instance)
        } else {
            format!("superseded by {}", self.primary.id)
        }
    }

    /// Stops a task that stood in; its deployment wants one less.
    fn stop_old(&self, draft: &mut Draft<'_>, at: usize, cause: String) {
        let task = draft.seen[at].view.record;
        let good = draft.count(|seen| {
            let other = seen.view.record;
            seen.good() && other.spec == task.spec && other.generation == task.generation
        });
        let unhealthy = is_unhealthy(&draft.seen[at]);
        let owner = draft
            .record
            .deployments
            .iter_mut()
            .find(|d| d.status == DeploymentStatus::Active && d.owns(task));
        // An unhealthy task may stand in beyond what its deployment wants; then it is no loss.
        if let Some(owner) = owner
            && (!unhealthy || good < owner.desired_count)
        {
            owner.desired_count = owner.desired_count.saturating_sub(1);
        }
        stop_scaled(draft, at, &self.primary, cause);
    }
}

/// The `count` of `tasks` that a scale-in takes: the least useful first. Of equals a protected one is what is kept; it counts as
/// gone all the same, or a more useful one would go for it.
fn in_order_of_use(draft: &Draft<'_>, mut tasks: Vec<usize>, count: u32) -> Vec<usize> {
    let class = |at: &usize| (draft.seen[*at].worth(), draft.seen[*at].protected);
    tasks.sort_by_key(class);
    let mut left = count as usize;
    let mut chosen = Vec::new();
    for alike in tasks.chunk_by(|a, b| class(a) == class(b)) {
        let of_these = left.min(alike.len());
        left -= of_these;
        chosen.extend(draft.scale_in(alike, of_these.min(draft.room().saturating_add(1))));
    }
    chosen
}

fn is_unhealthy(seen: &Seen<'_>) -> bool {
    seen.stays() && seen.phase == Phase::Unhealthy
}

pub(super) fn stop_scaled(draft: &mut Draft<'_>, at: usize, by: &Deployment, cause: String) {
    let reason = format!("Scaling activity initiated by (deployment {})", by.id);
    draft.stop(at, StopCode::ServiceSchedulerInitiated, reason, cause);
}

pub(super) fn stop_unhealthy(draft: &mut Draft<'_>, at: usize, cause: &str) {
    let message = events::unhealthy(draft.input.service, draft.seen[at].id());
    draft.say(EventLevel::Warn, message);
    service::count_unhealthy(draft, at);
    let reason = "Task failed container health checks".to_owned();
    let code = StopCode::ServiceSchedulerInitiated;
    draft.stop(at, code, reason, cause.to_owned());
}
