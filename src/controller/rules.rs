//! ECS's rules, one test a sentence (semantics §3, §4).

use super::Decision;
use super::testing::{World, app, task_spec, with_health_check, with_port};
use crate::model::{
    DeploymentStatus, HealthStatus, InstanceDesired, LastStatus, NetworkMode, NoticeKind,
    PlacementConstraint, Protocol, RolloutState, StopCode, TaskId,
};

fn checked(image: &str) -> crate::model::TaskSpec {
    with_health_check(task_spec(image))
}

fn starts(world: &World) -> Vec<Decision> {
    let mut decisions = world.plan().decisions;
    decisions.retain(|decision| matches!(decision, Decision::StartTask { .. }));
    decisions
}

fn stops(world: &World) -> Vec<TaskId> {
    let stop = |decision: Decision| match decision {
        Decision::StopTask { id, .. } => Some(id),
        _ => None,
    };
    world
        .plan()
        .decisions
        .into_iter()
        .filter_map(stop)
        .collect()
}

fn hosts(decisions: &[Decision]) -> Vec<&str> {
    let host = |decision: &'_ Decision| match decision {
        Decision::StartTask { instance, .. } => instance.as_str().to_owned().leak() as &str,
        _ => "",
    };
    decisions.iter().map(host).collect()
}

fn ports(decisions: &[Decision]) -> Vec<u16> {
    let of = |decision: &Decision| match decision {
        Decision::StartTask { ports, .. } => ports.iter().map(|p| p.host_port).collect(),
        _ => Vec::new(),
    };
    decisions.iter().flat_map(of).collect()
}

#[test]
fn rule_19_a_task_with_a_health_check_counts_when_it_is_healthy_however_long_it_runs() {
    let mut world = World::of(1, checked("a"));
    world.settle();
    world.run_all();
    world.pass(3600);
    world.settle();
    assert!(!world.record.as_ref().expect("a record").steady);
    assert_eq!(world.plan().wake_at, None, "only its agent can say");
    world.all_healthy();
    world.settle();
    assert!(world.record.as_ref().expect("a record").steady);
}

#[test]
fn rule_20_three_tasks_at_most_125_percent_leave_no_room_to_start_a_fourth() {
    let mut world = World::of(3, task_spec("a"));
    world.percentages(100, 125);
    world.steady();
    world.deploy(2, task_spec("b"));
    world.settle();
    let record = world.record.as_ref().expect("a record");
    assert!(record.notices.contains_key(&NoticeKind::Configuration));
    assert!(starts(&world).is_empty() && stops(&world).is_empty());
}

#[test]
fn rule_22_a_healthy_old_task_that_ends_in_a_rollout_is_replaced_from_its_own_revision() {
    let mut world = World::of(3, checked("a"));
    world.percentages(100, 134);
    world.steady();
    world.deploy(2, checked("b"));
    world.settle();
    world.run_all();
    world.exit(&world.nth(1), 1);
    world.log.clear();
    let said = world.said();
    assert!(
        said.contains("start web:1 on local: stands in while ecs-svc/"),
        "{said}"
    );
    assert!(
        !said.contains("start web:2"),
        "the floor comes first: {said}"
    );
}

#[test]
fn rule_22_an_old_task_that_was_never_healthy_is_not_replaced() {
    let mut world = World::of(2, checked("a"));
    world.steady();
    world.health(&world.nth(2), HealthStatus::Unhealthy);
    world.deploy(2, checked("b"));
    world.settle();
    world.exit(&world.nth(2), 1);
    world.log.clear();
    let said = world.said();
    assert!(!said.contains("start web:1"), "{said}");
}

#[test]
fn rule_22_more_tasks_wanted_in_a_rollout_go_to_both_revisions() {
    let mut world = World::of(2, checked("a"));
    world.steady();
    world.deploy(2, checked("b"));
    world.settle();
    world.run_all();
    world.manifest().desired_count = 3;
    let starts = starts(&world);
    let of = |number| {
        let wanted = |d: &&Decision| matches!(d, Decision::StartTask { revision, .. } if revision.revision == number);
        starts.iter().filter(wanted).count()
    };
    assert_eq!((of(1), of(2)), (1, 1));
}

#[test]
fn rule_23_a_crash_after_it_was_healthy_is_not_throttled() {
    let mut world = World::of(1, task_spec("a"));
    for number in 1..=6 {
        world.steady();
        world.exit(&world.nth(number), 1);
        assert_eq!(starts(&world).len(), 1, "at once, the {number}th time too");
    }
}

#[test]
fn a_failure_counts_once_per_task_even_when_its_record_is_planned_again() {
    let mut world = World::of(2, task_spec("a"));
    world.settle();
    world.exit(&world.nth(1), 1);
    let mut plan = world.plan();
    // The service's record was written, the rest of the plan was not.
    plan.decisions.clear();
    world.apply(plan);
    world.settle();
    let record = world.record.as_ref().expect("a record");
    assert_eq!(record.throttle.failures, 1);
    assert_eq!(record.deployments[0].failed_tasks, 1);
    let told = world.log.iter().filter(|line| line.contains(") stopped: "));
    assert_eq!(told.count(), 1);
}

#[test]
fn why_a_task_ended_is_told_when_all_is_known_and_its_replacement_does_not_wait_for_that() {
    let mut world = World::of(1, task_spec("a"));
    world.steady();
    let first = world.nth(1);
    let status = world.task(&first).status.as_mut().expect("a status");
    status.last_status = LastStatus::Stopping;
    status.stop_code = Some(StopCode::EssentialContainerExited);
    let said = world.said();
    assert!(
        said.contains("start web:1") && !said.contains("WARN"),
        "{said}"
    );
    world.task(&first).log = vec!["out of disk".to_owned()];
    world.exit(&first, 28);
    let said = world.said();
    assert!(
        said.contains("exit code 28). Its last log lines: out of disk"),
        "{said}"
    );
    assert_eq!(world.said(), "");
}

#[test]
fn rule_28_the_completed_deployment_is_remembered_as_what_a_rollback_returns_to() {
    let mut world = World::of(1, task_spec("a"));
    world.settle();
    world.run_all();
    world.pass(60);
    // It has arrived, but no plan has said so before the next revision comes.
    world.deploy(2, task_spec("b"));
    world.settle();
    let record = world.record.as_ref().expect("a record");
    let completed = record.last_completed.as_ref().expect("settled first");
    assert_eq!(completed.revision.revision, 1);
    let states: Vec<_> = record
        .deployments
        .iter()
        .map(|d| (d.status, d.rollout))
        .collect();
    assert_eq!(
        states,
        [
            (DeploymentStatus::Primary, RolloutState::InProgress),
            (DeploymentStatus::Active, RolloutState::Completed),
        ]
    );
}

#[test]
fn a_rollout_that_never_arrived_is_nothing_to_return_to() {
    let mut world = World::of(1, task_spec("a"));
    world.settle();
    world.deploy(2, task_spec("b"));
    world.settle();
    assert_eq!(
        world.record.as_ref().expect("a record").last_completed,
        None
    );
    assert_eq!(stops(&world), Vec::new());
    let ids = world.ids(|task| task.record.stop.is_some());
    assert_eq!(ids, [world.nth(1)], "what never ran does not stand in");
}

#[test]
fn rule_29_what_lasts_is_said_again_after_six_hours_and_taken_back_when_it_is_over() {
    let mut world = World::of(1, with_port(task_spec("a"), Some(80)));
    world.steady();
    world.deploy(2, with_port(task_spec("b"), Some(80)));
    assert!(world.said().contains("unable to place"));
    world.pass(6 * 3600 - 1);
    assert_eq!(world.said(), "");
    world.pass(1);
    assert!(world.said().contains("unable to place"));
    world.percentages(0, 200);
    world.settle();
    assert!(world.record.as_ref().expect("a record").notices.is_empty());
}

#[test]
fn rule_30_without_any_instance_a_service_waits_a_moment_before_it_complains() {
    let mut world = World::of(1, task_spec("a"));
    world.instances.clear();
    assert!(!world.said().contains("unable to place"));
    assert!(world.plan().wake_at.is_some());
    world.pass(5);
    assert!(
        world
            .said()
            .contains("Reason: No Container Instances were found in your cluster.")
    );
}

#[test]
fn rule_31_scaling_in_takes_tasks_that_do_not_run_yet_first_then_the_newest() {
    let mut world = World::of(3, task_spec("a"));
    world.steady();
    world.manifest().desired_count = 5;
    world.settle();
    world.manifest().desired_count = 2;
    let numbers: Vec<TaskId> = [5, 4, 3].iter().map(|n| world.nth(*n)).collect();
    assert_eq!(stops(&world), numbers);
    world.run_all();
    world.pass(40);
    assert_eq!(stops(&world), numbers);
}

#[test]
fn rule_34_a_draining_instance_waits_when_the_percentages_allow_nothing() {
    let mut world = World::of(2, task_spec("a"));
    world.percentages(100, 100);
    world.steady();
    world.add_instance("other");
    if let Some((_, desired, _)) = world.instances.get_mut("local") {
        *desired = InstanceDesired::Draining;
    }
    let said = world.said();
    assert!(said.contains("unable to stop or start tasks"), "{said}");
}

#[test]
fn an_unhealthy_verdict_within_the_grace_period_is_ignored() {
    let mut world = World::of(1, checked("a"));
    world.manifest().health_check_grace_period = 300;
    world.settle();
    world.run_all();
    world.health(&world.nth(1), HealthStatus::Unhealthy);
    world.settle();
    assert!(starts(&world).is_empty());
    let wake = world.plan().wake_at.expect("the end of the grace period");
    assert_eq!(wake.since(world.now).as_secs(), 300);
    world.pass(300);
    assert_eq!(starts(&world).len(), 1);
}

#[test]
fn tasks_that_outlived_a_lost_store_are_kept_as_they_are() {
    let mut world = World::of(2, task_spec("a"));
    world.steady();
    let ids = world.ids(|_| true);
    let deployment = world.tasks[&ids[0]].record.deployment.clone();
    world.record = None;
    let said = world.said();
    assert!(
        !said.contains("start ") && !said.contains("stop "),
        "{said}"
    );
    let record = world.record.as_ref().expect("a record");
    assert!(record.steady);
    assert_eq!(Some(&record.deployments[0].id), deployment.as_ref());
    // And the next deployment gets an id that no task carries.
    world.deploy(2, task_spec("b"));
    world.settle();
    let record = world.record.as_ref().expect("a record");
    assert_ne!(Some(&record.deployments[0].id), deployment.as_ref());
}

#[test]
fn tasks_of_a_service_that_neither_folder_nor_store_know_are_stopped_and_forgotten() {
    let mut world = World::of(2, task_spec("a"));
    world.steady();
    world.record = None;
    world.service = None;
    world.settle();
    world.stop_all();
    world.settle();
    assert_eq!(world.tasks.len(), 2);
    world.pass(3600);
    world.settle();
    assert!(world.tasks.is_empty() && world.record.is_none());
}

#[test]
fn a_task_on_an_instance_whose_engine_does_not_answer_is_left_alone() {
    let mut world = World::of(2, task_spec("a"));
    world.steady();
    if let Some((instance, _, _)) = world.instances.get_mut("local") {
        instance.connected = false;
    }
    assert_eq!(world.said(), "");
    world.manifest().desired_count = 3;
    assert!(world.said().contains("encountered error \"AGENT\"."));
}

#[test]
fn nothing_healthy_is_stopped_on_account_of_tasks_whose_engine_does_not_answer() {
    let mut world = World::of(2, task_spec("a"));
    world.steady();
    world.add_instance("other");
    world.deploy(2, task_spec("b"));
    world.settle();
    world.run_all();
    world.pass(40);
    assert_eq!(stops(&world).len(), 2);
    // One of the two new tasks is on the other instance, and was healthy when it was last heard of.
    if let Some((instance, _, _)) = world.instances.get_mut("other") {
        instance.connected = false;
    }
    assert_eq!(stops(&world).len(), 1);
}

#[test]
fn a_throttled_service_still_replaces_what_had_been_healthy() {
    let mut world = World::of(2, task_spec("a"));
    world.steady();
    let healthy = world.nth(1);
    for number in 2..=5 {
        // The second crashes again and again, each time before it was healthy but for the first.
        world.exit(&world.nth(number), 1);
        world.settle();
        let wake = world.plan().wake_at;
        world.now = wake.unwrap_or(world.now);
        world.settle();
    }
    world.exit(&world.nth(6), 1);
    world.settle();
    assert!(world.plan().wake_at.is_some(), "held back");
    assert!(starts(&world).is_empty());
    world.exit(&healthy, 1);
    assert_eq!(starts(&world).len(), 1);
}

#[test]
fn tasks_spread_over_the_instances_and_then_go_where_most_memory_is_free() {
    let mut world = World::of(3, task_spec("a"));
    world.add_instance("alpha");
    world.add_instance("big");
    if let Some((instance, _, _)) = world.instances.get_mut("big") {
        instance.registered.memory = 1 << 20;
    }
    assert_eq!(hosts(&starts(&world)), ["big", "alpha", "local"]);
}

#[test]
fn a_task_goes_only_where_its_cpu_memory_and_architecture_fit() {
    let mut spec = task_spec("a");
    spec.cpu = Some(3072);
    spec.memory = Some(6000);
    let mut world = World::of(2, spec.clone());
    let said = world.said();
    assert!(
        said.contains("has insufficient CPU units available."),
        "{said}"
    );
    assert_eq!(world.tasks.len(), 1, "4096 units hold one of 3072");
    spec.cpu = None;
    let mut world = World::of(2, spec.clone());
    assert!(world.said().contains("has insufficient memory available."));
    spec.architecture = Some("arm64".to_owned());
    let mut world = World::of(1, spec);
    if let Some((instance, _, _)) = world.instances.get_mut("local") {
        let name = "ecs.cpu-architecture".to_owned();
        instance.attributes.insert(name, "x86_64".to_owned());
    }
    assert!(
        world
            .said()
            .contains("is missing an attribute required by your task")
    );
}

#[test]
fn distinct_instances_take_one_task_of_the_service_each() {
    let mut world = World::of(3, task_spec("a"));
    world.add_instance("other");
    let constraints = &mut world.manifest().placement_constraints;
    constraints.push(PlacementConstraint::DistinctInstance);
    assert_eq!(hosts(&starts(&world)), ["local", "other"]);
}

#[test]
fn ports_follow_the_network_mode() {
    let of = |mode: NetworkMode, host_port| {
        let mut spec = with_port(task_spec("a"), host_port);
        spec.network_mode = mode;
        ports(&starts(&World::of(1, spec)))
    };
    assert_eq!(of(NetworkMode::Bridge, Some(8080)), [8080]);
    assert!(of(NetworkMode::Bridge, None)[0] >= 49153);
    assert!(of(NetworkMode::Bridge, Some(0))[0] >= 49153);
    assert_eq!(of(NetworkMode::Host, None), [80]);
    assert_eq!(of(NetworkMode::Awsvpc, Some(80)), [0], "the engine chooses");
    assert!(of(NetworkMode::None, None).is_empty());
    let mut spec = with_port(task_spec("a"), None);
    spec.network_mode = NetworkMode::Awsvpc;
    let mut world = World::of(1, spec);
    world.cluster.publish_awsvpc_ports = false;
    assert!(ports(&starts(&world)).is_empty());
}

#[test]
fn a_task_that_failed_is_followed_by_one_with_another_dynamic_port() {
    let mut world = World::of(1, with_port(task_spec("a"), None));
    world.settle();
    let first = world.task(&world.nth(1)).record.ports[0].host_port;
    world.exit(&world.nth(1), 128);
    let next = ports(&starts(&world));
    assert_eq!(next.len(), 1);
    assert_ne!(next[0], first);
}

#[test]
fn a_port_that_the_instance_keeps_to_itself_is_refused() {
    let mut world = World::of(1, with_port(task_spec("a"), Some(2375)));
    if let Some((instance, _, _)) = world.instances.get_mut("local") {
        instance.reserved_ports.insert((Protocol::Tcp, 2375));
    }
    let said = world.said();
    assert!(
        said.contains("Port 2375/tcp is reserved on the instance."),
        "{said}"
    );
}

#[test]
fn a_bigger_new_task_stops_as_many_old_ones_as_it_takes_and_none_in_vain() {
    let sized = |image: &str, memory| {
        let mut spec = task_spec(image);
        spec.memory = Some(memory);
        app(&mut spec).cpu = Some(1);
        spec
    };
    let mut world = World::of(4, sized("a", 2048));
    world.percentages(25, 200);
    world.steady();
    world.deploy(2, sized("b", 4096));
    assert_eq!(stops(&world).len(), 2, "two of 2048 for one of 4096");
    let mut world = World::of(4, sized("a", 2048));
    world.percentages(25, 200);
    world.steady();
    world.deploy(2, sized("b", 9000));
    assert!(stops(&world).is_empty(), "it would fit nowhere anyway");
}

#[test]
fn when_everything_fails_at_once_events_are_few() {
    let mut world = World::of(60, task_spec("a"));
    world.steady();
    for number in 1..=60 {
        world.exit(&world.nth(number), 1);
    }
    let plan = world.plan();
    assert!(plan.events.len() <= 21, "{}", plan.events.len());
    assert!(
        plan.events
            .iter()
            .any(|e| e.message.contains("40 more events"))
    );
}

#[test]
fn rule_32_a_protected_task_stays_through_a_scale_in_that_would_have_chosen_it_first() {
    let mut world = World::of(3, task_spec("a"));
    world.steady();
    let newest = world.nth(3);
    world.manifest().desired_count = 1;
    assert_eq!(stops(&world)[0], newest, "unprotected it goes first");
    world.protect(&newest, 600);
    let mut chosen = stops(&world);
    chosen.sort();
    assert_eq!(chosen, [world.nth(1), world.nth(2)]);
    world.settle();
    world.stop_all();
    world.settle();
    assert!(world.record.as_ref().expect("a record").steady);
}

#[test]
fn rule_32_protection_that_expires_lets_a_task_go_and_the_plan_wakes_for_it() {
    let mut world = World::of(1, task_spec("a"));
    world.steady();
    world.protect(&world.nth(1), 600);
    world.manifest().desired_count = 0;
    world.settle();
    assert_eq!(stops(&world), []);
    let expiry = world.now.plus(std::time::Duration::from_secs(600));
    assert_eq!(world.plan().wake_at, Some(expiry));
    let record = world.record.as_ref().expect("a record");
    assert!(record.notices.contains_key(&NoticeKind::Protected));
    assert!(!record.steady);
    world.pass(600);
    assert_eq!(stops(&world), [world.nth(1)]);
    world.settle();
    let record = world.record.as_ref().expect("a record");
    assert!(!record.notices.contains_key(&NoticeKind::Protected));
}

#[test]
fn rule_32_a_rollout_goes_around_a_protected_task_and_completes_once_it_may_go() {
    let mut world = World::of(2, task_spec("a"));
    world.steady();
    world.protect(&world.nth(1), 3600);
    world.deploy(2, task_spec("b"));
    for _ in 0..5 {
        world.settle();
        world.run_all();
        world.stop_all();
        world.pass(40);
    }
    world.settle();
    let running = world.ids(|task| !task.status.as_ref().is_some_and(|s| s.is_stopped()));
    assert_eq!(running, [world.nth(1), world.nth(3), world.nth(4)]);
    let record = world.record.as_ref().expect("a record");
    assert_eq!(record.deployments[0].rollout, RolloutState::InProgress);
    assert_eq!(record.deployments[1].status, DeploymentStatus::Active);
    assert!(record.notices.contains_key(&NoticeKind::Protected));
    world.pass(3600);
    world.settle();
    world.stop_all();
    world.settle();
    let record = world.record.as_ref().expect("a record");
    assert_eq!(record.deployments[0].rollout, RolloutState::Completed);
    assert_eq!(record.deployments.len(), 1);
}

#[test]
fn rule_32_where_the_maximum_leaves_no_room_protection_blocks_a_rollout_and_is_named() {
    let mut world = World::of(1, task_spec("a"));
    world.percentages(0, 100);
    world.steady();
    world.protect(&world.nth(1), 600);
    world.deploy(2, task_spec("b"));
    world.settle();
    assert_eq!(stops(&world), []);
    let record = world.record.as_ref().expect("a record");
    assert!(record.notices.contains_key(&NoticeKind::Protected));
    assert!(!record.notices.contains_key(&NoticeKind::Configuration));
}

#[test]
fn rule_32_an_unhealthy_task_is_replaced_though_it_is_protected() {
    let mut world = World::of(1, checked("a"));
    world.steady();
    let first = world.nth(1);
    world.protect(&first, 3600);
    world.health(&first, HealthStatus::Unhealthy);
    world.settle();
    world.run_all();
    world.health(&world.nth(2), HealthStatus::Healthy);
    assert_eq!(stops(&world), [first]);
}

#[test]
fn rule_32_a_removed_service_takes_its_protected_tasks_with_it() {
    let mut world = World::of(1, task_spec("a"));
    world.steady();
    world.protect(&world.nth(1), 3600);
    world.service = None;
    assert_eq!(stops(&world), [world.nth(1)]);
}

#[test]
fn rule_32_a_daemon_rollout_waits_for_a_protected_task() {
    let mut world = World::of(0, task_spec("a"));
    world.manifest().scheduling = crate::model::SchedulingStrategy::Daemon;
    world.percentages(0, 100);
    world.steady();
    world.protect(&world.nth(1), 600);
    world.deploy(2, task_spec("b"));
    world.settle();
    assert_eq!(stops(&world), []);
    world.pass(600);
    assert_eq!(stops(&world), [world.nth(1)]);
}
