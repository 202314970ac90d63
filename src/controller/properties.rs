//! What holds for every plan, whatever happens to the tasks in between.

use proptest::prelude::*;

use super::rolling::Band;
use super::rollouts::{asked, now_basis};
use super::testing::{World, task_spec, with_health_check, with_port};
use super::{Decision, Plan};
use crate::model::{
    CircuitBreaker, DesiredStatus, HealthStatus, InstanceDesired, LastStatus, Pause, Restart,
    Retry, RolloutState, SchedulingStrategy, TaskId, TaskSpec, Threshold,
};

#[derive(Debug, Clone)]
enum Happening {
    /// The nth task gets one step further in its life.
    Advance(usize),
    Crash(usize),
    Health(usize, HealthStatus),
    Pass(u16),
    Count(u32),
    Percentages(usize),
    Deploy(u32),
    Drain(bool),
    /// The nth task is protected for so many seconds.
    Protect(usize, u16),
    /// Somebody asks for something.
    Ask(u8),
    /// A plan of that many decisions at most.
    Plan(usize),
}

/// After so many failed tasks a deployment is given up in these worlds, and whether it is gone back from.
type Breaker = Option<(u32, bool)>;

fn breakers() -> impl Strategy<Value = Breaker> {
    proptest::option::of((1..5_u32, any::<bool>()))
}

fn guard(world: &mut World, breaker: Breaker) {
    world.manifest().circuit_breaker = breaker.map(|(count, rollback)| CircuitBreaker {
        rollback,
        reset_on_healthy_task: true,
        threshold: Threshold::Count(count),
    });
}

/// Some leave no room to move for some counts.
const BANDS: [(u32, u32); 6] = [
    (100, 200),
    (50, 100),
    (50, 150),
    (0, 100),
    (0, 200),
    (34, 100),
];

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let health = prop_oneof![
        3 => Just(HealthStatus::Healthy),
        1 => Just(HealthStatus::Unhealthy),
    ];
    let one = prop_oneof![
        12 => (0..12_usize).prop_map(Happening::Advance),
        2 => (0..12_usize).prop_map(Happening::Crash),
        6 => (0..12_usize, health).prop_map(|(n, health)| Happening::Health(n, health)),
        4 => (1..60_u16).prop_map(Happening::Pass),
        1 => (0..6_u32).prop_map(Happening::Count),
        1 => (0..BANDS.len()).prop_map(Happening::Percentages),
        3 => (1..4_u32).prop_map(Happening::Deploy),
        1 => any::<bool>().prop_map(Happening::Drain),
        2 => (0..12_usize, 1..1800_u16).prop_map(|(n, seconds)| Happening::Protect(n, seconds)),
        1 => (0..6_u8).prop_map(Happening::Ask),
        8 => (0..6_usize).prop_map(Happening::Plan),
    ];
    proptest::collection::vec(one, 1..120)
}

fn content(revision: u32, checked: bool) -> TaskSpec {
    let spec = with_port(task_spec(&format!("image-{revision}")), None);
    if checked {
        with_health_check(spec)
    } else {
        spec
    }
}

/// The nth of the tasks that exist.
fn nth(world: &World, n: usize) -> Option<TaskId> {
    let alive = world.ids(|task| !task.status.as_ref().is_some_and(|s| s.is_stopped()));
    (!alive.is_empty()).then(|| alive[n % alive.len()].clone())
}

fn happen(world: &mut World, happening: &Happening, checked: bool) -> Result<(), TestCaseError> {
    match *happening {
        Happening::Advance(n) => {
            let Some(id) = nth(world, n) else {
                return Ok(());
            };
            let now = world.now;
            let task = world.task(&id);
            let status = task.status.get_or_insert_default();
            status.last_status = match (task.record.desired, status.last_status) {
                (DesiredStatus::Stopped, LastStatus::Stopping) => LastStatus::Stopped,
                (DesiredStatus::Stopped, _) => LastStatus::Stopping,
                (DesiredStatus::Running, LastStatus::Provisioning) => LastStatus::Pending,
                (DesiredStatus::Running, LastStatus::Pending) => LastStatus::Running,
                (DesiredStatus::Running, same) => same,
            };
            match status.last_status {
                LastStatus::Running => {
                    status.started_at.get_or_insert(now);
                }
                LastStatus::Stopped => status.stopped_at = Some(now),
                _ => {}
            }
        }
        Happening::Crash(n) => {
            if let Some(id) = nth(world, n) {
                world.exit(&id, 1);
            }
        }
        Happening::Health(n, health) => {
            if let Some(id) = nth(world, n).filter(|_| checked) {
                world.health(&id, health);
            }
        }
        Happening::Pass(seconds) => world.pass(u64::from(seconds)),
        Happening::Count(count) => world.manifest().desired_count = count,
        Happening::Percentages(which) => {
            if world.manifest().scheduling == SchedulingStrategy::Replica {
                world.percentages(BANDS[which].0, BANDS[which].1);
            }
        }
        Happening::Deploy(revision) => world.deploy(revision, content(revision, checked)),
        Happening::Drain(drain) => {
            if let Some((_, desired, _)) = world.instances.get_mut("local") {
                *desired = match drain {
                    true => InstanceDesired::Draining,
                    false => InstanceDesired::Active,
                };
            }
        }
        Happening::Protect(n, seconds) => {
            if let Some(id) = nth(world, n) {
                world.protect(&id, u64::from(seconds));
            }
        }
        Happening::Ask(what) => ask(world, what),
        Happening::Plan(prefix) => record(world, prefix)?,
    }
    Ok(())
}

fn ask(world: &mut World, what: u8) {
    let basis = now_basis(world);
    let spec = world.spec.hash();
    match what {
        0 => {
            world.overrides.paused = Some(Pause {
                desired: None,
                basis,
                asked: asked(),
            });
        }
        1 => world.overrides.paused = None,
        2 => world.overrides.suspended = Some(asked()),
        3 => world.overrides.suspended = None,
        4 => {
            world.overrides.retry = Some(Retry {
                basis,
                asked: asked(),
            });
        }
        _ => {
            let last = world.overrides.restart.as_ref();
            let generation = 1 + last.map_or(0, |restart| restart.generation);
            world.overrides.restart = Some(Restart {
                spec,
                generation,
                asked: asked(),
            });
        }
    }
}

/// Nothing stands in the way of what the folder says any more.
fn clear(world: &mut World) -> Result<(), TestCaseError> {
    world.overrides.paused = None;
    world.overrides.suspended = None;
    // What has failed by now is one thing, what is tried again from now on is another.
    for _ in 0..20 {
        record(world, usize::MAX)?;
    }
    ask(world, 4);
    Ok(())
}

/// What failed is not started, and costs no healthy task of another revision its place.
fn spares(world: &World, plan: &Plan) -> Result<(), TestCaseError> {
    let Some(record) = plan.record.as_ref().or(world.record.as_ref()) else {
        return Ok(());
    };
    for decision in &plan.decisions {
        if let Decision::StartTask {
            spec, generation, ..
        } = decision
        {
            let failed = record
                .blocked
                .iter()
                .any(|b| b.spec == *spec && b.generation == *generation);
            prop_assert!(!failed, "{decision}");
        }
    }
    let before = world
        .record
        .as_ref()
        .map_or(0, |record| record.blocked.len());
    let breaker = world.service.as_ref().and_then(|spec| spec.circuit_breaker);
    if let Some(breaker) = breaker.filter(|_| record.blocked.len() > before) {
        let failed = &record.blocked[record.blocked.len() - 1];
        prop_assert!(
            failed.failed_tasks >= breaker.threshold.tasks(1),
            "{failed:?}"
        );
    }
    let failed = record
        .primary()
        .is_some_and(|primary| primary.rollout == RolloutState::Failed);
    if failed && world.manifest_is_replica() {
        let (_, healthy) = world.counts();
        let wanted = world.service.as_ref().map_or(0, |spec| spec.desired_count);
        let stopped = plan.decisions.iter().filter(|decision| match decision {
            Decision::StopTask { id, cause, .. } => {
                world.is_healthy(id) && !cause.contains("draining")
            }
            _ => false,
        });
        let stopped = u32::try_from(stopped.count()).expect("few");
        prop_assert!(
            stopped == 0 || healthy - stopped >= wanted,
            "{stopped} of {healthy} healthy tasks are stopped: {:?}",
            plan.decisions
        );
    }
    Ok(())
}

/// Plans, records the plan, and holds the result against the band.
fn record(world: &mut World, most: usize) -> Result<(), TestCaseError> {
    let plan = world.plan_at_most(most);
    let again = world.plan_at_most(most);
    prop_assert_eq!(&plan, &again, "the same input, the same plan");
    prop_assert!(plan.decisions.len() <= most);
    let suspended = world.overrides.suspended.is_some();
    prop_assert!(!suspended || plan.decisions.is_empty(), "{plan:?}");
    spares(world, &plan)?;
    for decision in &plan.decisions {
        if let Decision::StopTask { id, reason, .. } = decision {
            let protected = world.tasks[id].protected_until;
            let protected = protected.is_some_and(|until| until > world.now);
            let chosen = reason.starts_with("Scaling activity");
            let unhealthy = world.tasks[id].status.as_ref();
            let unhealthy = unhealthy.is_some_and(|s| s.health == HealthStatus::Unhealthy);
            prop_assert!(!(protected && chosen && !unhealthy), "{decision}");
        }
    }
    let band = match world.manifest().scheduling {
        SchedulingStrategy::Replica => {
            let manifest = world.manifest().clone();
            Band::of(&manifest, manifest.desired_count)
        }
        SchedulingStrategy::Daemon => {
            let active = world.instances.values();
            let active = active.filter(|(_, desired, _)| *desired == InstanceDesired::Active);
            let count = u32::try_from(active.count()).expect("few");
            let manifest = world.manifest().clone();
            Band::of(&manifest, count)
        }
    };
    let starts = plan
        .decisions
        .iter()
        .any(|decision| matches!(decision, Decision::StartTask { .. }));
    let (_, healthy_before) = world.counts();
    world.apply(plan);
    let (existing, healthy) = world.counts();
    if starts {
        prop_assert!(existing <= band.cap, "{existing} tasks, {band:?}");
    }
    if healthy < healthy_before && world.manifest().scheduling == SchedulingStrategy::Replica {
        prop_assert!(healthy >= band.floor, "{healthy} healthy, {band:?}");
    }
    Ok(())
}

/// From now on nothing goes wrong.
fn calm(world: &mut World) -> Result<(), TestCaseError> {
    for _ in 0..40 {
        record(world, usize::MAX)?;
        world.run_all();
        world.all_healthy();
        world.stop_all();
        world.pass(60 * 27);
    }
    Ok(())
}

fn arrived(world: &World, count: usize) -> Result<(), TestCaseError> {
    let running = world.ids(|task| !task.status.as_ref().is_some_and(|s| s.is_stopped()));
    let log = || world.log.join("\n");
    prop_assert_eq!(running.len(), count, "{}", log());
    for id in &running {
        prop_assert_eq!(&world.tasks[id].record.spec, &world.spec.hash());
        prop_assert_eq!(world.tasks[id].record.desired, DesiredStatus::Running);
    }
    let record = world.record.as_ref().expect("a record");
    prop_assert!(record.steady, "{}", log());
    prop_assert_eq!(record.deployments.len(), 1);
    let again = world.plan();
    prop_assert!(again.is_empty(), "not empty when converged: {:?}", again);
    let dead = world.tasks.len() - running.len();
    prop_assert!(dead <= super::MOST_OF_SERVICE);
    // Only to forget a task in its time.
    prop_assert!(again.wake_at.is_none() || dead > super::KEPT);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn a_rollout_never_leaves_its_band_and_always_arrives(
        all in happenings(), checked in any::<bool>(), count in 1..6_u32, band in 0..BANDS.len(),
        breaker in breakers(),
    ) {
        let mut world = World::of(count, content(1, checked));
        world.percentages(BANDS[band].0, BANDS[band].1);
        guard(&mut world, breaker);
        world.add_instance("other");
        world.steady();
        for happening in &all {
            happen(&mut world, happening, checked)?;
        }
        clear(&mut world)?;
        calm(&mut world)?;
        let manifest = world.manifest().clone();
        let band = Band::of(&manifest, manifest.desired_count);
        if band.cap > band.floor || band.desired == 0 {
            arrived(&world, band.desired as usize)?;
        }
    }

    #[test]
    fn a_daemon_never_exceeds_its_band_and_always_arrives(
        all in happenings(), checked in any::<bool>(), breaker in breakers(),
    ) {
        let mut world = World::of(0, content(1, checked));
        world.manifest().scheduling = SchedulingStrategy::Daemon;
        world.percentages(0, 100);
        guard(&mut world, breaker);
        world.add_instance("other");
        world.add_instance("third");
        for happening in &all {
            happen(&mut world, happening, checked)?;
        }
        clear(&mut world)?;
        calm(&mut world)?;
        let active = world.instances.values();
        let wanted = active.filter(|(_, desired, _)| *desired == InstanceDesired::Active).count();
        arrived(&world, wanted)?;
    }

    #[test]
    fn a_plan_does_not_depend_on_the_order_of_what_it_is_given(all in happenings()) {
        let mut world = World::of(3, content(1, true));
        world.add_instance("other");
        for happening in &all {
            happen(&mut world, happening, true)?;
        }
        prop_assert_eq!(world.plan(), world.plan_of_reversed());
    }
}
