//! What holds for every plan, whatever happens to the tasks in between.

use proptest::prelude::*;

use super::Decision;
use super::rolling::Band;
use super::testing::{World, task_spec, with_health_check, with_port};
use crate::model::{
    DesiredStatus, HealthStatus, InstanceDesired, LastStatus, SchedulingStrategy, TaskId, TaskSpec,
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
    /// A plan of that many decisions at most.
    Plan(usize),
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
        Happening::Plan(prefix) => record(world, prefix)?,
    }
    Ok(())
}

/// Plans, records the plan, and holds the result against the band.
fn record(world: &mut World, most: usize) -> Result<(), TestCaseError> {
    let plan = world.plan_at_most(most);
    let again = world.plan_at_most(most);
    prop_assert_eq!(&plan, &again, "the same input, the same plan");
    prop_assert!(plan.decisions.len() <= most);
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
    ) {
        let mut world = World::of(count, content(1, checked));
        world.percentages(BANDS[band].0, BANDS[band].1);
        world.add_instance("other");
        world.steady();
        for happening in &all {
            happen(&mut world, happening, checked)?;
        }
        calm(&mut world)?;
        let manifest = world.manifest().clone();
        let band = Band::of(&manifest, manifest.desired_count);
        if band.cap > band.floor || band.desired == 0 {
            arrived(&world, band.desired as usize)?;
        }
    }

    #[test]
    fn a_daemon_never_exceeds_its_band_and_always_arrives(
        all in happenings(), checked in any::<bool>(),
    ) {
        let mut world = World::of(0, content(1, checked));
        world.manifest().scheduling = SchedulingStrategy::Daemon;
        world.percentages(0, 100);
        world.add_instance("other");
        world.add_instance("third");
        for happening in &all {
            happen(&mut world, happening, checked)?;
        }
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
