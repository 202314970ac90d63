//! Availability zones are evened out: a steady service moves one task after the other from the fullest zone to the emptiest
//! one that has room, starting the new one first (ECS `availabilityZoneRebalancing`).
//!
//! A move ends with the scale-in of semantics §4.31, which takes from the fullest zone. It begins only where the two zones
//! differ by two tasks or more, so each one makes them more alike, and there is a last one. A task that fails in its new zone
//! is held back by the throttle like any other.

use super::plan::{Definition, Draft, Seen};
use super::rolling::Band;
use crate::model::{Deployment, ProviderShare, RolloutState};

/// The task that a move under way has started, by its place in `seen`, and whether it has arrived. A move whose task is not
/// there any more, or that has come to its end, is forgotten.
pub(super) fn under_way(draft: &mut Draft<'_>, desired: u32) -> Option<(usize, bool)> {
    let since = draft.record.rebalancing?;
    let started =
        |seen: &Seen<'_>| seen.current && seen.good() && seen.view.record.created_at == since;
    let at = draft.newest(started).first().copied();
    let beyond = draft.count(|seen| seen.current && seen.good()) > desired;
    match at.filter(|_| beyond) {
        Some(at) => Some((at, draft.seen[at].healthy())),
        None => {
            draft.record.rebalancing = None;
            None
        }
    }
}

/// Begins a move if the service is steady and one makes its zones more alike. Called when all else is decided.
pub(super) fn begin(
    draft: &mut Draft<'_>,
    band: Band,
    primary: &Deployment,
    definition: &Definition<'_>,
) {
    let wanted = draft
        .input
        .desired
        .is_some_and(|spec| spec.zone_rebalancing);
    let healthy = draft.count(|seen| seen.current && seen.healthy());
    let steady = primary.rollout == RolloutState::Completed
        && !draft.acts()
        && !draft.more
        && draft.record.rebalancing.is_none()
        && healthy == band.desired
        && draft.existing() == band.desired;
    if !wanted || !steady || band.cap <= band.desired {
        return;
    }
    let zones = draft.books.zones();
    let fewest = zones
        .values()
        .filter(|zone| zone.takes)
        .map(|zone| zone.tasks);
    let Some(fewest) = fewest.min() else { return };
    let mut full: Vec<(&str, u32)> = zones
        .iter()
        .filter(|(_, zone)| zone.tasks >= fewest + 2)
        .map(|(name, zone)| (name.as_str(), zone.tasks))
        .collect();
    full.sort_by_key(|(name, tasks)| (std::cmp::Reverse(*tasks), *name));
    // Zones as full as the fullest one: the scale-in takes from one of them.
    full.retain({
        let most = full.first().map(|(_, tasks)| *tasks);
        move |(_, tasks)| Some(*tasks) == most
    });
    for (fullest, tasks) in full {
        let from = |seen: &Seen<'_>| {
            let zone = draft.books.zone_of(&seen.view.record.instance);
            seen.current && seen.good() && !seen.protected && zone == Some(fullest)
        };
        let Some(at) = draft.newest(from).first().copied() else {
            continue;
        };
        let now = draft.now();
        if let Some(until) = draft.record.throttle.gate(now) {
            draft.wake(Some(until));
            return;
        }
        if !draft.has_room() {
            return;
        }
        // Within its capacity provider, which may have one task more for as long as the move takes.
        let provider = draft.seen[at].view.record.capacity_provider.clone();
        let shares: Vec<ProviderShare> = provider
            .map(|provider| ProviderShare {
                base: band.desired.saturating_add(1),
                weight: 1,
                provider,
            })
            .into_iter()
            .collect();
        let mut request = draft.request(definition.spec);
        request.providers = &shares;
        request.wanted = band.desired.saturating_add(1);
        let Ok(placed) = draft.books.place(&request) else {
            continue;
        };
        let zone = draft.books.zone_of(&placed.instance).unwrap_or_default();
        let before = zones.get(zone).map_or(tasks, |zone| zone.tasks);
        if before + 2 > tasks {
            return;
        }
        let cause =
            format!("evens out availability zones: {tasks} tasks in {fullest}, {before} in {zone}");
        draft.record.rebalancing = Some(now);
        draft.start(placed, primary, definition, cause);
        return;
    }
}
