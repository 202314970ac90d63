//! Instances that are cut off, and instances that drain (semantics §4.34; design §6, `tasks/<id>/lost`), one test a sentence.

use super::Decision;
use super::testing::{Task, World, app, task_spec, with_health_check};
use crate::model::{
    DesiredStatus, InstanceDesired, LastStatus, NoticeKind, SchedulingStrategy, TaskId, TaskSpec,
    Timestamp,
};

/// A small task: eight of them fill an instance.
fn small() -> TaskSpec {
    let mut spec = task_spec("a");
    app(&mut spec).memory = Some(1024);
    spec
}

/// `count` healthy tasks on the instances a, b and c.
fn three(count: u32, spec: TaskSpec) -> World {
    let mut world = World::of(count, spec);
    world.instances.clear();
    for id in ["a", "b", "c"] {
        world.add_instance(id);
    }
    world.cluster.instances = ["a", "b", "c"].map(declared).into();
    world.steady();
    world
}

fn on(instance: &str) -> impl Fn(&Task) -> bool {
    move |task| {
        let over = task.status.as_ref().is_some_and(|s| s.is_stopped());
        task.record.instance.as_str() == instance && !over
    }
}

fn kinds(decisions: &[Decision]) -> Vec<&'static str> {
    let kind = |decision: &Decision| match decision {
        Decision::StartTask { .. } => "start",
        Decision::StopTask { .. } => "stop",
        Decision::GiveUpTask { .. } => "give up",
        Decision::DeleteTask { .. } => "delete",
    };
    decisions.iter().map(kind).collect()
}

fn given_up(world: &World) -> Vec<TaskId> {
    world.ids(|task| task.lost.is_some())
}

/// What is left of given up tasks is stopped, as a returning agent does.
fn return_of(world: &mut World, instance: &str) {
    world.answers(instance, true);
    let now = world.now;
    for task in world.tasks.values_mut().filter(|task| task.lost.is_some()) {
        let status = task.status.get_or_insert_default();
        status.last_status = LastStatus::Stopped;
        status.stopped_at = Some(now);
    }
}

#[test]
fn a_task_of_an_instance_that_does_not_answer_is_waited_for_until_the_time_is_up_and_no_longer() {
    let mut world = three(3, task_spec("a"));
    world.answers("c", false);
    world.settle();
    let until = world.now.plus(std::time::Duration::from_secs(60));
    assert_eq!(world.plan().wake_at, Some(until));
    world.pass(59);
    assert!(world.plan().decisions.is_empty(), "{}", world.said());
    world.pass(1);
    assert_eq!(kinds(&world.plan().decisions), ["give up", "start"]);
}

#[test]
fn each_task_that_is_given_up_has_its_replacement_in_the_same_plan() {
    let mut world = three(9, task_spec("a"));
    world.answers("c", false);
    world.pass(60);
    let plan = world.plan();
    let expected = ["give up", "start"].repeat(3);
    assert_eq!(kinds(&plan.decisions), expected);
    for decision in &plan.decisions {
        if let Decision::StartTask { instance, .. } = decision {
            assert_ne!(instance.as_str(), "c");
        }
    }
    world.steady();
    assert_eq!(world.counts().1, 9 + 3, "the lost ones may run on");
}

#[test]
fn however_few_decisions_a_plan_may_make_nothing_is_given_up_without_its_replacement() {
    let mut world = three(9, task_spec("a"));
    world.answers("c", false);
    world.pass(60);
    let plan = world.plan_at_most(3);
    assert_eq!(kinds(&plan.decisions), ["give up", "start"]);
    assert!(plan.more);
}

#[test]
fn a_task_that_fits_nowhere_else_is_kept_and_goes_on_when_its_instance_returns() {
    let mut world = three(23, small());
    // Of 24 places one is free; eight tasks are on c.
    let crowded = ["a", "b", "c"].map(|id| world.ids(on(id)).len());
    assert_eq!(crowded.iter().sum::<usize>(), 23);
    let stranded = world.ids(on("c")).len();
    let room = 16 - world.ids(on("a")).len() - world.ids(on("b")).len();
    world.answers("c", false);
    world.pass(60);
    world.settle();
    world.run_all();
    world.pass(60);
    world.settle();
    assert_eq!(given_up(&world).len(), room);
    let record = world.record.as_ref().expect("a record");
    assert!(!record.steady);
    assert!(record.notices.contains_key(&NoticeKind::Placement));

    return_of(&mut world, "c");
    world.settle();
    assert_eq!(world.ids(on("c")).len(), stranded - room);
    let stopped = world.log.iter().filter(|line| line.starts_with("stop "));
    assert_eq!(stopped.count(), 0, "{}", world.log.join("\n"));
    assert!(world.record.as_ref().expect("a record").steady);
}

#[test]
fn where_no_instance_answers_nothing_is_given_up() {
    let mut world = three(3, task_spec("a"));
    for id in ["a", "b", "c"] {
        world.answers(id, false);
    }
    world.pass(3600);
    assert!(world.plan().decisions.is_empty());
}

#[test]
fn a_longshore_that_was_away_itself_waits_anew_before_it_gives_anything_up() {
    let mut world = three(3, task_spec("a"));
    world.answers("c", false);
    world.pass(3600);
    world.watching_since = world.now;
    assert!(world.plan().decisions.is_empty());
    world.pass(60);
    assert_eq!(kinds(&world.plan().decisions), ["give up", "start"]);
}

#[test]
fn how_long_is_waited_is_the_clusters_setting() {
    let mut world = three(3, task_spec("a"));
    world.cluster.instance_lost_after = 600;
    world.answers("c", false);
    world.pass(599);
    assert!(world.plan().decisions.is_empty());
    world.pass(1);
    assert_eq!(kinds(&world.plan().decisions), ["give up", "start"]);
}

#[test]
fn tasks_that_were_given_up_count_as_no_failure_and_their_service_becomes_steady_without_them() {
    let mut world = three(3, task_spec("a"));
    world.answers("c", false);
    world.pass(60);
    world.steady();
    let record = world.record.as_ref().expect("a record");
    assert!(record.steady);
    assert_eq!(record.throttle.failures, 0);
    assert_eq!(record.primary().expect("a deployment").failed_tasks, 0);
}

#[test]
fn that_both_may_run_is_said_while_the_instance_is_cut_off_and_taken_back_when_it_has_returned() {
    let mut world = three(3, task_spec("a"));
    world.answers("c", false);
    world.pass(60);
    world.settle();
    let said = |world: &World| {
        let record = world.record.as_ref().expect("a record");
        record.notices.get(&NoticeKind::Lost).cloned()
    };
    let notice = said(&world).expect("a notice");
    assert!(
        notice
            .message
            .starts_with("(service web) gave up 1 task with container instance c: its engine has not answered for 60 seconds."),
        "{}",
        notice.message
    );
    // It answers, and the task is still being stopped.
    world.answers("c", true);
    world.settle();
    assert!(said(&world).is_some());
    return_of(&mut world, "c");
    world.settle();
    assert_eq!(said(&world), None);
}

#[test]
fn a_task_that_was_to_stop_anyway_holds_nothing_up_once_its_instance_vanished() {
    let mut world = three(3, task_spec("a"));
    world.percentages(100, 100);
    world.manifest().desired_count = 2;
    world.settle();
    let leaving = world.ids(|task| task.record.stop.is_some());
    let instance = world.tasks[&leaving[0]].record.instance.to_string();
    world.answers(&instance, false);
    world.pass(60);
    world.settle();
    assert_eq!(given_up(&world), leaving);
    assert!(world.record.as_ref().expect("a record").steady);
}

#[test]
fn a_surplus_task_is_given_up_without_a_replacement() {
    let mut world = three(3, task_spec("a"));
    world.answers("c", false);
    world.manifest().desired_count = 2;
    world.pass(60);
    world.settle();
    let starts = world.log.iter().filter(|line| line.starts_with("start "));
    assert_eq!(starts.count(), 0, "{}", world.log.join("\n"));
    assert_eq!(given_up(&world).len(), 1);
}

#[test]
fn in_a_rollout_a_stranded_old_task_is_replaced_from_its_own_revision() {
    let mut world = three(3, task_spec("a"));
    world.percentages(100, 134);
    world.deploy(2, task_spec("b"));
    world.answers("c", false);
    world.pass(60);
    world.settle();
    let old = world.specs.values().find(|s| s.hash() != world.spec.hash());
    let old = old.expect("the old one").hash();
    let lost = given_up(&world);
    assert_eq!(lost.len(), 1);
    assert_eq!(world.tasks[&lost[0]].record.spec, old);
    world.run_all();
    world.pass(60);
    for _ in 0..6 {
        world.settle();
        world.run_all();
        world.stop_all();
        world.pass(60);
    }
    assert!(world.record.as_ref().expect("a record").steady);
}

#[test]
fn a_rollout_stops_no_task_whose_engine_does_not_answer_for_one_that_has_only_started() {
    let mut world = three(6, with_health_check(task_spec("a")));
    world.percentages(75, 125);
    world.answers("c", false);
    world.deploy(2, with_health_check(task_spec("b")));
    world.settle();
    world.run_all();
    world.settle();
    let ordered = |task: &Task| task.record.desired == DesiredStatus::Stopped;
    assert_eq!(world.ids(ordered), []);
    world.answers("c", true);
    world.settle();
    assert_ne!(world.ids(ordered), []);
    world.steady();
}

#[test]
fn a_next_version_takes_the_place_of_what_never_got_healthy_and_not_of_what_does_not_answer() {
    let mut world = three(3, with_health_check(task_spec("a")));
    world.percentages(100, 200);
    world.answers("c", false);
    world.deploy(2, with_health_check(task_spec("b")));
    world.settle();
    world.run_all();
    let never_healthy = world.spec.hash();
    world.deploy(3, with_health_check(task_spec("c")));
    world.settle();
    let ordered = |task: &Task| task.record.desired == DesiredStatus::Stopped;
    let stopped = world.ids(ordered);
    assert!(!stopped.is_empty());
    for id in stopped {
        assert_eq!(world.tasks[&id].record.spec, never_healthy);
    }
}

#[test]
fn a_daemon_service_wants_no_task_where_the_engine_is_gone_and_one_again_when_it_returns() {
    let mut world = three(0, task_spec("a"));
    world.manifest().scheduling = SchedulingStrategy::Daemon;
    world.percentages(0, 100);
    world.steady();
    assert_eq!(world.ids(|_| true).len(), 3);
    world.answers("c", false);
    world.settle();
    assert!(
        !world.record.as_ref().expect("a record").steady,
        "waited for"
    );
    world.pass(60);
    world.settle();
    assert_eq!(given_up(&world).len(), 1);
    assert!(world.record.as_ref().expect("a record").steady);
    return_of(&mut world, "c");
    world.steady();
    assert_eq!(world.ids(on("c")).len(), 1);
}

#[test]
fn a_removed_service_is_not_held_up_by_an_instance_that_vanished() {
    let mut world = three(3, task_spec("a"));
    world.answers("c", false);
    world.service = None;
    world.settle();
    world.stop_all();
    let alive = world.ids(on("c"));
    for id in &alive {
        // Nobody there to stop it.
        world
            .task(id)
            .status
            .as_mut()
            .expect("a status")
            .last_status = LastStatus::Running;
    }
    world.pass(60);
    world.settle();
    assert_eq!(
        given_up(&world).len(),
        world.ids(|t| t.lost.is_some()).len()
    );
    world.pass(3600);
    world.settle();
    assert!(world.record.is_none(), "forgotten with its tasks");
}

#[test]
fn what_was_given_up_is_remembered_until_its_agent_has_stopped_it() {
    let mut world = three(3, task_spec("a"));
    world.answers("c", false);
    world.pass(60);
    world.settle();
    let lost = given_up(&world);
    world.pass(48 * 3600);
    world.settle();
    assert_eq!(given_up(&world), lost, "its agent knows it by its record");

    // The instance leaves the manifest: nothing will be heard of it.
    world.cluster.instances.pop();
    world.settle();
    assert_eq!(given_up(&world), Vec::<TaskId>::new());
}

fn declared(name: &str) -> crate::model::InstanceSpec {
    crate::model::InstanceSpec {
        name: name.into(),
        ..crate::model::InstanceSpec::local()
    }
}

#[test]
fn rule_34_a_draining_instance_gets_nothing_new_and_its_tasks_are_replaced_within_the_percentages()
{
    let mut world = three(3, task_spec("a"));
    world.percentages(100, 134);
    world.instances.get_mut("c").expect("c").1 = InstanceDesired::Draining;
    assert_eq!(kinds(&world.plan().decisions), ["start"]);
    world.settle();
    assert_eq!(
        world.ids(on("c")).len(),
        1,
        "until its replacement is healthy"
    );
    world.run_all();
    world.pass(u64::from(world.cluster.healthy_after));
    assert_eq!(kinds(&world.plan().decisions), ["stop"]);
    world.settle();
    world.stop_all();
    world.settle();
    assert_eq!(world.ids(on("c")), Vec::<TaskId>::new());
    assert!(world.record.as_ref().expect("a record").steady);
}

#[test]
fn rule_34_tasks_that_are_pending_on_a_draining_instance_stop_at_once() {
    let mut world = three(3, task_spec("a"));
    world.manifest().desired_count = 6;
    world.settle();
    let pending = world.ids(|task| on("c")(task) && task.status.is_none());
    assert_eq!(pending.len(), 1);
    world.instances.get_mut("c").expect("c").1 = InstanceDesired::Draining;
    let stopped = world.plan().decisions.into_iter().find_map(|d| match d {
        Decision::StopTask { id, .. } => Some(id),
        _ => None,
    });
    assert_eq!(stopped.as_ref(), pending.first());
}

#[test]
fn rule_34_a_draining_instance_that_vanishes_is_left_for_good() {
    let mut world = three(3, task_spec("a"));
    world.percentages(100, 100);
    world.instances.get_mut("c").expect("c").1 = InstanceDesired::Draining;
    world.settle();
    assert_eq!(world.ids(on("c")).len(), 1, "the percentages allow nothing");
    world.answers("c", false);
    world.pass(60);
    world.steady();
    assert_eq!(given_up(&world).len(), 1);
    assert!(world.watching_since <= Timestamp::from_millis(0));
}
