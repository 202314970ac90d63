//! What of an instance a task gets to itself, and what the instance must have.

use std::collections::BTreeSet;

use crate::controller::Decision;
use crate::controller::testing::{World, app, task_spec, with_port};
use crate::model::{Gpus, LogConfig, NetworkMode, PortClaim, PortRange, TaskSpec};

fn claims(world: &World) -> Vec<PortClaim> {
    let of = |decision: Decision| match decision {
        Decision::StartTask { ports, .. } => ports,
        _ => Vec::new(),
    };
    world.plan().decisions.into_iter().flat_map(of).collect()
}

fn gpus(world: &World) -> Vec<Vec<String>> {
    let of = |decision: Decision| match decision {
        Decision::StartTask { gpus, .. } => Some(gpus.into_values().flatten().collect()),
        _ => None,
    };
    world.plan().decisions.into_iter().filter_map(of).collect()
}

fn with_range(first: u16, last: u16) -> TaskSpec {
    let mut spec = with_port(task_spec("a"), None);
    let mapping = &mut app(&mut spec).port_mappings[0];
    mapping.container_port = first;
    mapping.last_container_port = Some(last);
    spec
}

fn on(world: &mut World, edit: impl FnOnce(&mut crate::model::Instance)) {
    edit(&mut world.instances.get_mut("local").expect("an instance").0);
}

#[test]
fn a_range_of_container_ports_gets_as_many_host_ports_in_a_row() {
    for mode in [NetworkMode::Bridge, NetworkMode::Awsvpc] {
        let mut spec = with_range(8000, 8009);
        spec.network_mode = mode;
        let mut world = World::of(3, spec);
        on(&mut world, |instance| {
            instance.dynamic_ports = PortRange {
                first: 50000,
                last: 50032,
            };
        });
        let claims = claims(&world);
        assert_eq!(claims.len(), 3, "{mode:?}");
        let ports: BTreeSet<u16> = claims.iter().flat_map(PortClaim::host_ports).collect();
        assert_eq!(ports.len(), 30, "no port twice: {claims:?}");
        assert!(ports.iter().all(|port| (50000..=50032).contains(port)));
        assert!(claims.iter().all(|claim| claim.count == 10));
    }
}

#[test]
fn where_no_range_is_free_the_task_is_not_placed() {
    let mut world = World::of(1, with_range(8000, 8009));
    on(&mut world, |instance| {
        instance.dynamic_ports = PortRange {
            first: 50000,
            last: 50008,
        };
    });
    let said = world.said();
    assert!(
        said.contains("no free port left for a dynamic port mapping"),
        "{said}"
    );
}

#[test]
fn dynamic_ports_lie_in_the_range_of_the_instance() {
    let world = World::of(4, with_port(task_spec("a"), None));
    let range = PortRange::default();
    assert_eq!((range.first, range.last), (49153, 65535));
    assert!(
        claims(&world)
            .iter()
            .all(|claim| range.contains(claim.host_port))
    );
}

#[test]
fn each_gpu_is_one_containers_alone() {
    let mut spec = task_spec("a");
    app(&mut spec).gpus = Some(Gpus::Count(1));
    let mut world = World::of(3, spec);
    on(&mut world, |instance| {
        instance.gpus = ["GPU-a", "GPU-b"].map(str::to_owned).into();
    });
    assert_eq!(gpus(&world), [["GPU-a"], ["GPU-b"]]);
    let said = world.said();
    assert!(
        said.contains("has insufficient GPU units available."),
        "{said}"
    );
    // One that ends gives its own back.
    world.settle();
    world.run_all();
    world.exit(&world.nth(1), 1);
    assert_eq!(gpus(&world), [["GPU-a"]]);
}

#[test]
fn all_gpus_are_those_of_the_instance_and_none_may_be_taken() {
    let mut spec = task_spec("a");
    app(&mut spec).gpus = Some(Gpus::All);
    let mut world = World::of(2, spec);
    on(&mut world, |instance| {
        instance.gpus = ["0", "1"].map(str::to_owned).into();
    });
    assert_eq!(gpus(&world), [["0", "1"]]);
}

#[test]
fn an_instance_without_a_gpu_is_told_from_one_whose_gpus_are_taken() {
    let mut spec = task_spec("a");
    app(&mut spec).gpus = Some(Gpus::Count(1));
    let mut world = World::of(1, spec);
    let said = world.said();
    assert!(said.contains("it has no GPU, as far as is known"), "{said}");
}

#[test]
fn a_log_driver_that_the_engine_does_not_have_is_named() {
    let logging = |driver: &str| {
        let mut spec = task_spec("a");
        app(&mut spec).log = Some(LogConfig {
            driver: driver.to_owned(),
            options: Default::default(),
            secret_options: Vec::new(),
        });
        let mut world = World::of(1, spec);
        on(&mut world, |instance| {
            let has = format!("{}json-file", crate::model::Instance::LOG_DRIVER);
            instance.attributes.insert(has, String::new());
        });
        world
    };
    let said = logging("splunk").said();
    assert!(
        said.contains("its engine has no log driver `splunk`"),
        "{said}"
    );
    for driver in ["json-file", "local", "awslogs"] {
        assert_eq!(logging(driver).plan().decisions.len(), 1, "{driver}");
    }
    // An override stands for it here too.
    let mut world = logging("splunk");
    let other = LogConfig {
        driver: "json-file".to_owned(),
        options: Default::default(),
        secret_options: Vec::new(),
    };
    world.cluster.log_drivers.insert("splunk".to_owned(), other);
    assert_eq!(world.plan().decisions.len(), 1);
}
