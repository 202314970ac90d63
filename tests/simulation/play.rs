//! How a scenario is played: what happens, then calm, rest, and that it stays so.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use longshore::engine::labels;
use longshore::model::{ClusterName, InstanceDesired, InstanceId, RolloutVerb, ServiceName};
use tokio::time::Instant;

use super::folder::Folder;
use super::oracles::{Oracle, secrets};
use super::record::before;
use super::rest;
use super::scenario::{Act, Saves, Scenario, Weather};
use super::user::Request;
use super::world::{Outcome, World};

/// How long after the last fault everything must be at rest where starts are held back: the throttle's longest pause (27 minutes),
/// and some. A clock that was set back adds what it was set back by.
const REST_WITHIN: Duration = Duration::from_secs(35 * 60);
/// How long where nothing ever failed by itself.
const REST_SOON: Duration = Duration::from_secs(5 * 60);
/// For how long nothing may change then.
const STILL: Duration = Duration::from_secs(5 * 60);
/// How long a folder may be broken before that is told.
const TOLD_WITHIN: Duration = Duration::from_secs(30);

/// Plays the scenario and judges it. `passages`: everything that passes the fence is kept.
pub async fn play(scenario: &Scenario, passages: bool) -> Outcome {
    let began = Instant::now();
    let mut world = World::new(scenario).await;
    if passages {
        world.outside.record.seen().all_passages = Some(Vec::new());
    }
    // Reading every line that is logged costs as much as the rest.
    let listens = scenario.seed.is_multiple_of(8);
    let _log = listens.then(|| {
        let log = secrets::Log(Arc::clone(&world.outside.record));
        tracing::subscriber::set_default(log)
    });
    world.boot();
    for (at, act) in &scenario.acts {
        world.wait_until(began + *at).await;
        world.tells_what_it_serves(scenario.weather);
        world.act(act);
    }
    world.calm();
    let mut services = world.folder.services.values();
    if services.all(|service| service.image.settles()) {
        world.comes_to_rest(scenario).await;
        world.stays_at_rest("at rest").await;
        world.process_dies(Duration::from_secs(3));
        world.pass(Duration::from_secs(4)).await;
        world.stays_at_rest("after a restart of the process").await;
    } else {
        world.pass(STILL).await;
    }
    world.finish(began.elapsed())
}

/// A folder is edited while the store takes nothing for a moment; then everything must come to rest at the edit.
pub async fn edit_while_the_store_refuses(scenario: &Scenario, edited: Folder) -> Vec<String> {
    let mut world = World::new(scenario).await;
    world.boot();
    world.comes_to_rest(scenario).await;
    world.outside.refused.set(3);
    let noticed = longshore::manifest::watch::simulated::Noticed::Told;
    world.act(&Act::Edit(edited, Saves::Moved, noticed));
    world.comes_to_rest(scenario).await;
    world.found.iter().map(ToString::to_string).collect()
}

impl World {
    /// P4.
    async fn comes_to_rest(&mut self, scenario: &Scenario) {
        let began = Instant::now();
        let bound = self.bound(scenario);
        let mut rounds = 0_u32;
        // A look may come before the edit is taken, or between the last task's end and the end of its network: two in a row tell.
        let mut was = false;
        loop {
            // What somebody asked for, the same person takes back.
            if rounds.is_multiple_of(12) {
                self.take_requests_back();
            }
            rounds += 1;
            match rest::check(&self.outside, &self.folder) {
                Ok(()) if was => {
                    let took = began.elapsed();
                    self.outside.record.say(format!("at rest after {took:?}"));
                    self.outside.record.reach("rest");
                    return;
                }
                Ok(()) => was = true,
                Err((oracle, why)) if began.elapsed() > bound => {
                    let what = format!("not at rest after {bound:?}: {why}");
                    self.found.push(oracle.broken(what));
                    return;
                }
                Err(_) => was = false,
            }
            self.pass(Duration::from_secs(5)).await;
        }
    }

    /// Within what time it must be at rest.
    fn bound(&self, scenario: &Scenario) -> Duration {
        let seen = self.outside.record.seen();
        let back: i64 = seen.jumps.iter().map(|(_, by)| (-by).max(0)).sum();
        let configs = seen.configs.values().flatten();
        let mut images = configs.filter_map(|(_, service)| Some(service.as_ref()?.image));
        let calm = scenario.weather != Weather::Stormy && images.all(|image| image.settles());
        let bound = match calm {
            true => REST_SOON,
            false => REST_WITHIN,
        };
        // A protected task stays for as long as it is protected: at most ten minutes here.
        let protected = seen.reached.contains_key("a protection");
        let protection = if protected { 11 * 60 } else { 0 };
        bound + Duration::from_secs(back.unsigned_abs() + protection)
    }

    fn take_requests_back(&mut self) {
        self.requests += 1;
        // Of services that are gone, too: one that is suspended stays.
        let names: Vec<(ClusterName, ServiceName)> = {
            let seen = self.outside.record.seen();
            let all = seen.configs.iter();
            let known = all.filter_map(|(name, all)| {
                let service = all.iter().rev().find_map(|(_, service)| service.as_ref())?;
                let cluster = ClusterName::new(service.cluster);
                Some((cluster, ServiceName::new(name.as_str())))
            });
            known.collect()
        };
        for (cluster, name) in names {
            for verb in [
                RolloutVerb::Resume,
                RolloutVerb::Unpause,
                RolloutVerb::Retry,
            ] {
                self.request(Request::Rollout(cluster.clone(), name.clone(), verb));
            }
        }
        for instance in &self.folder.instances {
            let wanted = match instance.draining {
                true => InstanceDesired::Draining,
                false => InstanceDesired::Active,
            };
            let cluster = ClusterName::new(instance.cluster);
            let name = InstanceId::new(instance.name.as_str());
            self.request(Request::Instance(cluster, name, wanted));
        }
    }

    /// P5, and P4 still.
    async fn stays_at_rest(&mut self, when: &str) {
        let before: Vec<usize> = self
            .engines()
            .map(|engine| engine.changing_call_log().len())
            .collect();
        self.pass(STILL).await;
        for ((name, engine), before) in self.outside.engines.iter().zip(before) {
            let leases: BTreeSet<String> = engine
                .history()
                .iter()
                .filter(|event| event.labels.contains_key(labels::LEASE))
                .map(|event| event.container.clone())
                .collect();
            let calls = engine.changing_call_log();
            let changes: Vec<String> = calls
                .iter()
                .skip(before)
                .filter(|call| {
                    !leases.contains(&call.target) && !call.target.starts_with("longshore-lease")
                })
                .map(|call| format!("{} {} {}", call.at, call.operation, call.target))
                .collect();
            if !changes.is_empty() {
                let what = format!("{when}, and on {name}: {}", changes.join("; "));
                self.found.push(Oracle::Quiet.broken(what));
            }
        }
        if let Err((oracle, why)) = rest::check(&self.outside, &self.folder) {
            self.found
                .push(oracle.broken(format!("{when}, and later: {why}")));
        }
        self.plans_nothing(when).await;
    }

    /// P5: a plan has nothing to do either.
    async fn plans_nothing(&mut self, when: &str) {
        let Some(user) = self.user() else {
            return;
        };
        let scan = self.outside.folder.scan();
        if let Ok(changes) = user.plan(&scan).await
            && !changes.is_empty()
        {
            let what = format!("{when}, a plan would do something: {}", changes.join("; "));
            self.found.push(Oracle::Quiet.broken(what));
        }
        self.outside.record.reach("a plan at rest");
    }

    /// P1: while the folder is broken, what is served in its place is told.
    fn tells_what_it_serves(&mut self, weather: Weather) {
        let now = self.time();
        let quiet_since = before(now, TOLD_WITHIN);
        let seen = self.outside.record.seen();
        let broken = seen.broken.last();
        let long = broken.is_some_and(|b| b.until.is_none() && b.from <= quiet_since);
        let up = seen.boots.last().is_some_and(|boot| *boot <= quiet_since);
        // What a file that was never good said is told as a finding, and nothing is served.
        let known: Vec<&String> = self
            .folder
            .spoilt
            .iter()
            .filter(|name| seen.configs.contains_key(*name) && seen.stores_lost == 0)
            .collect();
        let known = !known.is_empty() && !self.folder.gone;
        if !long || !up || !known || weather == Weather::Stormy || self.is_dead() {
            return;
        }
        drop(seen);
        let status = self.process.as_ref().and_then(|process| process.folder());
        let Some(status) = status.filter(|status| status.loaded_at.is_some()) else {
            return;
        };
        let spoilt = |held: &longshore::api::HeldResource| {
            let named = self.folder.spoilt.contains(&held.name);
            named && held.because.contains(".yaml:")
        };
        self.outside.record.reach("last good told");
        if !status.held.iter().any(spoilt) {
            let what = format!(
                "{now} {:?} are broken, and what is served in their place is not told: {:?}",
                self.folder.spoilt, status.held
            );
            self.found.push(Oracle::ServesLastGood.broken(what));
        }
    }
}
