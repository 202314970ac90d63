//! Semantics §3c: constraints are binding, and §4.30: why there is no place.

use super::*;

#[test]
fn section_3c_member_of_constraints_of_service_and_task_definition_are_binding() {
    let mut world = zones(3, &["a1", "a2", "b1"]);
    attribute(&mut world, "a2", "ssd", "yes");
    attribute(&mut world, "b1", "ssd", "yes");
    member_of(&mut world, "attribute:ssd == yes");
    let mut spec = sized(10, 10);
    spec.placement_constraints = vec![Query::new("attribute:ecs.availability-zone != b")];
    world.deploy(1, spec);
    assert_eq!(places(&world), ["a2", "a2", "a2"]);
    member_of(&mut world, "attribute:ssd == no");
    assert!(places(&world).is_empty(), "the task stays PENDING");
}

#[test]
fn rule_30_instances_that_do_not_meet_a_constraint_are_counted_and_the_closest_match_is_named() {
    let mut world = zones(1, &["a1", "a2", "b1"]);
    member_of(&mut world, "attribute:ecs.availability-zone == a");
    world.instances.get_mut("a2").expect("a2").0.registered.cpu = 5;
    world.instances.get_mut("a1").expect("a1").0.connected = false;
    let said = world.said();
    assert!(
        said.contains(
            "(service web) was unable to place a task because no container instance met all of its requirements. The \
             closest matching container-instance a2 has insufficient CPU units available. Of 3: 1 outside of a memberOf \
             constraint, 1 short of CPU, 1 whose engine does not answer."
        ),
        "{said}"
    );
    let mut world = zones(1, &["a1"]);
    member_of(&mut world, "attribute:stack == prod");
    let said = world.said();
    assert!(
        said.contains(
            "a1 does not meet the placement constraint memberOf `attribute:stack == prod`."
        ),
        "{said}"
    );
}

#[test]
fn an_expression_that_cannot_be_read_is_met_by_no_instance_and_said_to_be_wrong() {
    let mut world = zones(1, &["a1"]);
    member_of(&mut world, "attribute:stack = prod");
    let said = world.said();
    assert!(
        said.contains("No instance does, because it cannot be read: there is no operator `=` (at character 17)."),
        "{said}"
    );
}

#[test]
fn tasks_of_another_group_are_kept_away_from() {
    let mut world = zones(2, &["a1", "b1"]);
    member_of(&mut world, "not(task:group == database)");
    world.settle();
    let id = world.nth(1);
    world.task(&id).record.group = "database".to_owned();
    world.manifest().desired_count = 3;
    let at = world.task(&id).record.instance.to_string();
    let placed = places(&world);
    assert_eq!(placed.len(), 1);
    assert!(!placed.contains(&at), "{placed:?} without {at}");
}

#[test]
fn a_constraint_about_tasks_counts_those_that_the_same_plan_places() {
    let mut world = zones(9, &["a1", "b1"]);
    member_of(&mut world, "runningTasksCount < 2");
    assert_eq!(places(&world), ["a1", "b1", "a1", "b1"]);
    let mut world = zones(5, &["a1", "b1"]);
    member_of(&mut world, "task:group != service:web");
    assert_eq!(places(&world), ["a1", "b1"]);
}

#[test]
fn what_constraints_say_of_an_instance_is_what_it_registered() {
    let mut world = zones(1, &["a1", "b1"]);
    world.instances.get_mut("b1").expect("b1").0.agent_version = "1.2.3".to_owned();
    for (expression, at) in [
        ("agentVersion >= 1.2", "b1"),
        ("ec2InstanceId in [b1, c1]", "b1"),
        ("ec2InstanceId =~ 'a.*'", "a1"),
        (
            "attribute:ecs.availability-zone exists and agentConnected == true",
            "a1",
        ),
        ("registeredAt < 1970-01-02", "a1"),
    ] {
        world.manifest().placement_constraints.clear();
        member_of(&mut world, expression);
        assert_eq!(places(&world), [at], "{expression}");
    }
}
