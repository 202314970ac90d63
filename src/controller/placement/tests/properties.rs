//! The search that is kept up from task to task finds what looking at every instance anew would.

use proptest::prelude::*;

use super::*;
use crate::controller::placement::{Books, Request};
use crate::controller::testing::work;
use crate::model::Resources;

#[derive(Debug, Clone)]
struct Machine {
    zone: u8,
    rack: u8,
    cpu: u16,
    memory: u16,
    draining: bool,
}

fn machines() -> impl Strategy<Value = Vec<Machine>> {
    let one = (
        0..3_u8,
        0..3_u8,
        0..60_u16,
        0..60_u16,
        proptest::bool::weighted(0.1),
    );
    let one = one.prop_map(|(zone, rack, cpu, memory, draining)| Machine {
        zone,
        rack,
        cpu,
        memory,
        draining,
    });
    proptest::collection::vec(one, 1..8)
}

fn strategies() -> impl Strategy<Value = Vec<PlacementStrategy>> {
    let one = prop_oneof![
        Just(PlacementStrategy::Random),
        Just(spread(ZONE)),
        Just(spread("rack")),
        Just(BY_INSTANCE),
        Just(PlacementStrategy::Binpack(BinpackField::Cpu)),
        Just(PlacementStrategy::Binpack(BinpackField::Memory)),
    ];
    proptest::collection::vec(one, 0..4)
}

fn world_of(machines: &[Machine], count: u32) -> World {
    let mut world = World::of(count, sized(10, 10));
    world.instances.clear();
    for (at, machine) in machines.iter().enumerate() {
        let name = format!("m{at}");
        world.add_instance(&name);
        attribute(&mut world, &name, ZONE, &format!("z{}", machine.zone));
        attribute(&mut world, &name, "rack", &format!("r{}", machine.rack));
        let instance = world.instances.get_mut(name.as_str()).expect("added");
        instance.0.registered = Resources {
            cpu: u64::from(machine.cpu),
            memory: u64::from(machine.memory),
        };
        if machine.draining {
            instance.1 = crate::model::InstanceDesired::Draining;
        }
    }
    world
}

proptest! {
    #[test]
    fn placing_many_at_once_is_placing_one_after_the_other(
        machines in machines(), strategies in strategies(), count in 1..20_u32, capped in any::<bool>(),
    ) {
        let mut at_once = world_of(&machines, count);
        strategy(&mut at_once, &strategies);
        if capped {
            member_of(&mut at_once, "runningTasksCount < 3");
        }
        let placed = places(&at_once);
        let mut one_by_one = world_of(&machines, count);
        strategy(&mut one_by_one, &strategies);
        if capped {
            member_of(&mut one_by_one, "runningTasksCount < 3");
        }
        let mut single = Vec::new();
        for _ in 0..placed.len() {
            let plan = one_by_one.plan_at_most(1);
            for decision in &plan.decisions {
                if let Decision::StartTask { instance, .. } = decision {
                    single.push(instance.to_string());
                }
            }
            one_by_one.apply(plan);
        }
        prop_assert_eq!(placed, single);
    }

    #[test]
    fn a_task_is_left_unplaced_only_where_no_instance_has_room(
        machines in machines(), strategies in strategies(), count in 1..20_u32,
    ) {
        let mut world = world_of(&machines, count);
        strategy(&mut world, &strategies);
        let placed = places(&world).len();
        let room: usize = machines
            .iter()
            .filter(|machine| !machine.draining)
            .map(|machine| usize::from(machine.cpu.min(machine.memory) / 10))
            .sum();
        prop_assert_eq!(placed, room.min(count as usize));
    }

    #[test]
    fn what_is_given_back_and_taken_again_leaves_no_trace(
        machines in machines(), strategies in strategies(), count in 1..12_u32, gone in 0..12_usize,
    ) {
        let mut world = world_of(&machines, count);
        strategy(&mut world, &strategies);
        world.settle();
        let records: Vec<_> = world.tasks.values().map(|task| task.record.clone()).collect();
        let views: Vec<_> = records
            .iter()
            .map(|record| {
                let spec = Some(world.spec.as_ref());
                (crate::controller::TaskView { record, status: None, lost: None, spec, protected_until: None }, false, true)
            })
            .collect();
        let groups = world.groups();
        let instances = world.views(&groups);
        let request = Request {
            spec: &world.spec,
            group: "service:web".into(),
            constraints: &[],
            strategy: &strategies,
            providers: &[],
            wanted: count,
            cluster: &world.cluster,
            only: None,
        };
        let mut books = Books::new("s", &instances, &views);
        let expected = Books::new("s", &instances, &views).place(&request);
        let without: Vec<_> = records.iter().take(gone).collect();
        let _ = books.would_fit_without(&without, &request);
        prop_assert_eq!(books.place(&request), expected);
    }
}

#[test]
fn one_more_task_costs_the_same_among_few_instances_and_many() {
    let cost = |instances: usize| {
        let names: Vec<String> = (0..instances).map(|n| format!("a{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let world = zones(80, &names);
        let (plan, cost) = work::of(|| world.plan());
        assert_eq!(plan.decisions.len(), 80);
        cost
    };
    assert_eq!(cost(10), cost(1000));
}
