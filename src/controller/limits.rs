//! What holds when there is much of something: tasks, failures, what is booked. Costs are counted, not timed.

use super::testing::MOST_DECISIONS;
use super::testing::{World, task_spec, with_health_check, with_port, work};
use super::{Decision, retention};
use crate::model::{
    DesiredStatus, HealthStatus, LastStatus, NoticeKind, Protocol, Reservation, Reserved,
    Resources, SchedulingStrategy, TaskId,
};

fn starts(world: &World) -> usize {
    let decisions = world.plan().decisions;
    let start = |decision: &&Decision| matches!(decision, Decision::StartTask { .. });
    decisions.iter().filter(start).count()
}

#[test]
fn a_count_without_measure_costs_one_small_plan_at_a_time() {
    for memory in [None, Some(4096)] {
        let mut spec = task_spec("a");
        spec.memory = memory;
        let mut world = World::of(2_000_000, spec);
        let (plan, work) = work::of(|| world.plan());
        let fits = memory.map_or(MOST_DECISIONS, |_| 2);
        assert_eq!(plan.decisions.len(), fits);
        assert_eq!(plan.more, memory.is_none());
        assert!(work < 1_000, "{work}");
        world.apply(plan);
        let (plan, work) = work::of(|| world.plan());
        assert!(plan.decisions.len() <= MOST_DECISIONS);
        assert!(work < 50_000, "{work}");
    }
}

#[test]
fn a_plan_of_many_tasks_costs_little_more_for_each() {
    let cost = |count: u32, memory: Option<u32>| {
        let mut old = with_port(task_spec("a"), None);
        old.memory = memory;
        let mut world = World::of(count, old);
        let room = &mut world
            .instances
            .get_mut("local")
            .expect("local")
            .0
            .registered;
        room.memory = u64::from(count) * u64::from(memory.unwrap_or(1));
        world.percentages(50, 100);
        world.steady();
        let mut new = with_port(task_spec("b"), None);
        // A new one needs the room of two.
        new.memory = memory.map(|memory| 2 * memory);
        world.deploy(2, new);
        let (plan, work) = work::of(|| world.plan());
        let stop = |decision: &Decision| matches!(decision, Decision::StopTask { .. });
        assert!(plan.decisions.iter().any(stop), "{plan:?}");
        work / plan.decisions.len()
    };
    for memory in [None, Some(64)] {
        let (few, many) = (cost(100, memory), cost(400, memory));
        assert!(
            many < 6 * few,
            "for each decision {few} of 100 tasks, {many} of 400"
        );
    }
}

#[test]
fn a_daemon_service_costs_as_much_more_as_it_has_instances_more() {
    let cost = |count: u32| {
        let mut world = World::of(0, task_spec("a"));
        world.instances.clear();
        for index in 0..count {
            world.add_instance(&format!("i-{index}"));
        }
        world.manifest().scheduling = SchedulingStrategy::Daemon;
        world.percentages(50, 100);
        world.steady();
        let (plan, idle) = work::of(|| world.plan());
        assert!(plan.is_empty(), "{plan:?}");
        world.deploy(2, task_spec("b"));
        let (plan, rollout) = work::of(|| world.plan());
        assert!(!plan.decisions.is_empty());
        (idle, rollout / plan.decisions.len())
    };
    let (few, many) = (cost(50), cost(200));
    assert!(many.0 < 6 * few.0, "idle: {few:?} of 50, {many:?} of 200");
    assert!(many.1 < 6 * few.1, "a stop: {few:?} of 50, {many:?} of 200");
}

#[test]
fn what_a_record_counts_is_what_is_recorded_with_it() {
    let mut world = World::of(200, task_spec("a"));
    world.settle();
    world.pass(1);
    for number in 1..=200 {
        world.exit(&world.nth(number), 1);
    }
    for counted in [90, 180] {
        let plan = world.plan();
        assert!(plan.more);
        assert_eq!(plan.decisions.len(), 90);
        let record = plan.record.as_ref().expect("changed");
        assert_eq!(record.deployments[0].failed_tasks, counted);
        world.apply(plan);
        let told = world.ids(|task| task.record.desired == DesiredStatus::Stopped);
        assert_eq!(told.len(), counted as usize);
    }
    world.settle();
    let record = world.record.as_ref().expect("a record");
    assert_eq!(record.deployments[0].failed_tasks, 200);
    assert_eq!(record.throttle.failures, 1, "they crashed together");
    assert_eq!(world.counts().0, 200);
}

#[test]
fn a_service_that_is_never_healthy_is_replaced_ever_more_slowly() {
    for scheduling in [SchedulingStrategy::Replica, SchedulingStrategy::Daemon] {
        let mut world = World::of(1, with_health_check(task_spec("a")));
        if scheduling == SchedulingStrategy::Daemon {
            world.manifest().scheduling = scheduling;
            world.percentages(0, 100);
        }
        for _ in 0..600 {
            world.settle();
            world.run_all();
            world.stop_all();
            world.pass(6);
            for id in world.ids(|task| {
                let status = task.status.as_ref();
                status.is_some_and(|status| status.last_status == LastStatus::Running)
            }) {
                world.health(&id, HealthStatus::Unhealthy);
            }
        }
        let starts = world.log.iter().filter(|line| line.starts_with("start "));
        let starts = starts.count();
        assert!((10..=16).contains(&starts), "{starts} starts in an hour");
        let record = world.record.as_ref().expect("a record");
        assert!(record.notices.contains_key(&NoticeKind::Impaired));
        assert!(record.deployments[0].failed_tasks >= 7);
    }
}

#[test]
fn a_task_that_had_been_healthy_and_is_no_more_is_replaced_at_once() {
    let mut world = World::of(1, with_health_check(task_spec("a")));
    world.steady();
    for number in 1..=6 {
        world.health(&world.nth(number), HealthStatus::Unhealthy);
        assert_eq!(starts(&world), 1, "the {number}th time too");
        world.settle();
        world.run_all();
        world.health(&world.nth(number + 1), HealthStatus::Healthy);
        world.settle();
        world.stop_all();
        world.pass(1);
    }
    assert_eq!(
        world.record.as_ref().expect("a record").throttle.failures,
        0
    );
}

#[test]
fn tasks_that_never_began_are_forgotten_before_those_that_have_something_to_tell() {
    let mut world = World::of(2, task_spec("a"));
    world.steady();
    let ran = [world.nth(1), world.nth(2)];
    for id in &ran {
        world.exit(id, 1);
    }
    world.manifest().desired_count = 80;
    world.settle();
    world.pass(1);
    world.manifest().desired_count = 0;
    world.settle();
    world.stop_all();
    world.settle();
    assert_eq!(world.tasks.len(), retention::MOST_OF_SERVICE);
    assert!(ran.iter().all(|id| world.tasks.contains_key(id)));
}

#[test]
fn an_instance_takes_no_more_tasks_than_its_books_can_hold_in_one_commit() {
    let mut world = World::of(1, with_port(task_spec("a"), None));
    let held = |port: u16| Reservation {
        resources: Resources {
            cpu: u64::MAX / 100_000,
            memory: u64::MAX / 100_000,
        },
        ports: [(Protocol::Udp, port)].into(),
        gpus: Default::default(),
    };
    let most = u16::try_from(Reserved::MOST_BYTES / held(1).stored_bytes()).expect("a port");
    assert!(most >= 5_000, "{most}");
    let (instance, _, reserved) = world.instances.get_mut("local").expect("local");
    instance.registered.cpu = u64::MAX;
    instance.registered.memory = u64::MAX;
    for port in 1..most {
        let id = TaskId::new(format!("{port:032x}"));
        reserved.0.insert(id, held(port));
    }
    let bytes = serde_json::to_vec(&*reserved).expect("JSON").len();
    assert!(bytes <= reserved.stored_bytes());
    assert_eq!(starts(&world), 1);
    let id = TaskId::new(format!("{most:032x}"));
    let reserved = &mut world.instances.get_mut("local").expect("local").2;
    reserved.0.insert(id, held(most));
    let bytes = serde_json::to_vec(&*reserved).expect("JSON").len();
    assert!(
        bytes + (200 << 10) < crate::store::Limits::SHARED.bytes,
        "{bytes}"
    );
    let plan = world.plan();
    assert!(plan.decisions.is_empty());
    assert!(
        plan.events.iter().any(|event| event.message.contains(
            "The closest matching container-instance local has as many tasks as one can have"
        )),
        "{:?}",
        plan.events
    );
}
