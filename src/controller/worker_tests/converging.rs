//! From a folder to steady services, and what becomes of them.

use super::*;

#[tokio::test(start_paused = true)]
async fn forty_tasks_are_ordered_in_one_commit_after_the_folder_is_registered() {
    let f = fixture().await;
    f.pass(1).await;
    let before = f.revision();
    f.controller
        .set_desired(folder(&[("web", 40, with_port(task_spec("a"), None))]));
    let mut changes = f.view.subscribe();
    while f.wanted("web").len() < 40 {
        changes.recv().await.expect("the view lives");
    }
    assert_eq!(f.revision() - before, 2, "registered, then ordered");
    let state = f.view.read();
    let local = state.instance(&default(), &"local".into()).expect("local");
    let reserved = local.reserved.as_ref().expect("booked");
    assert_eq!(reserved.0.len(), 40);
    assert_eq!(reserved.ports().len(), 40, "a port for each");
    let task = state.tasks.values().next().expect("a task");
    assert_eq!(task.record.dns_names, ["web"]);
    assert_eq!(task.record.group, "service:web");
    assert!(state.specs.contains_key(&task.record.spec));
}

#[tokio::test(start_paused = true)]
async fn a_folder_becomes_steady_services_and_then_nothing_is_written_any_more() {
    let f = fixture().await;
    let agent = f.obedient_agent();
    let desired = folder(&[("web", 3, task_spec("a")), ("api", 2, task_spec("b"))]);
    f.controller.set_desired(Arc::clone(&desired));
    f.pass(60).await;
    assert!(f.steady("web") && f.steady("api"));
    assert_eq!((f.wanted("web").len(), f.wanted("api").len()), (3, 2));
    let events = f.events("api");
    assert_eq!(events.len(), 4, "{events:#?}");
    assert!(events[1].starts_with("(service api) has started 2 tasks: (task "));
    assert_eq!(events[3], "(service api) has reached a steady state.");

    let revision = f.revision();
    for _ in 0..20 {
        f.controller.set_desired(Arc::new(Desired::clone(&desired)));
        f.pass(600).await;
    }
    assert_eq!(f.revision(), revision);
    agent.abort();
}

#[tokio::test(start_paused = true)]
async fn a_new_revision_replaces_the_tasks_and_a_revert_finds_the_old_number() {
    let f = fixture().await;
    let agent = f.obedient_agent();
    let mut numbers = Vec::new();
    for image in ["a", "b", "a", "c"] {
        f.controller
            .set_desired(folder(&[("web", 2, task_spec(image))]));
        f.pass(120).await;
        assert!(f.steady("web"));
        let state = f.view.read();
        let record = state.service(&default(), &"web".into()).expect("a record");
        assert_eq!(record.deployments.len(), 1);
        numbers.push(record.deployments[0].revision.revision);
    }
    assert_eq!(numbers, [1, 2, 1, 3]);
    agent.abort();
}

#[tokio::test(start_paused = true)]
async fn a_service_that_left_the_folder_is_drained_and_after_an_hour_all_of_it_is_gone() {
    let f = fixture().await;
    let agent = f.obedient_agent();
    f.controller
        .set_desired(folder(&[("web", 3, task_spec("a"))]));
    f.pass(60).await;
    f.controller.set_desired(folder(&[]));
    f.pass(60).await;
    {
        let state = f.view.read();
        let record = state.service(&default(), &"web".into()).expect("kept");
        assert_eq!(record.status.as_str(), "INACTIVE");
        let local = state.instance(&default(), &"local".into()).expect("local");
        assert!(local.reserved.as_ref().expect("written").0.is_empty());
        let revision = state.revisions.values().next().expect("kept");
        assert!(
            revision.deregistered_at.is_some(),
            "its family left as well"
        );
    }
    assert!(f.wanted("web").is_empty());
    f.pass(3600).await;
    let state = f.view.read();
    assert!(state.services.is_empty() && state.tasks.is_empty() && state.events.is_empty());
    agent.abort();
}

#[tokio::test(start_paused = true)]
async fn a_service_is_removed_only_once_the_whole_folder_was_read() {
    let f = fixture().await;
    let agent = f.obedient_agent();
    f.controller
        .set_desired(folder(&[("web", 3, task_spec("a"))]));
    f.pass(60).await;
    let nothing = folder(&[]);
    let incomplete = Desired {
        incomplete: true,
        ..Desired::clone(&nothing)
    };
    f.controller.set_desired(Arc::new(incomplete));
    f.pass(60).await;
    assert_eq!(f.wanted("web").len(), 3);
    let active = |revision: &TaskDefinitionRecord| revision.deregistered_at.is_none();
    assert!(
        f.view
            .read()
            .revisions
            .values()
            .all(|stored| active(stored))
    );
    f.controller.set_desired(nothing);
    f.pass(60).await;
    assert!(f.wanted("web").is_empty());
    agent.abort();
}

#[tokio::test(start_paused = true)]
async fn a_crashed_task_is_replaced_and_its_room_is_given_back() {
    let f = fixture().await;
    let agent = f.obedient_agent();
    f.controller
        .set_desired(folder(&[("web", 2, with_port(task_spec("a"), None))]));
    f.pass(60).await;
    let victim = f.wanted("web")[0].clone();
    f.crash(&victim).await;
    f.pass(1).await;
    assert_eq!(f.wanted("web").len(), 2);
    let events = f.events("web");
    assert!(
        events.iter().any(|event| event.contains(&format!(
            "(task {victim}) stopped: Essential container in task exited (container app: exit code 1)"
        ))),
        "{events:#?}"
    );
    let state = f.view.read();
    let local = state.instance(&default(), &"local".into()).expect("local");
    let reserved = local.reserved.as_ref().expect("booked");
    assert_eq!(reserved.0.len(), 2);
    assert!(!reserved.0.contains_key(&victim));
    agent.abort();
}

#[tokio::test(start_paused = true)]
async fn a_crash_loop_costs_few_starts_and_at_most_a_hundred_events_are_kept() {
    let f = fixture().await;
    f.controller
        .set_desired(folder(&[("web", 1, task_spec("a"))]));
    let mut crashes = 0;
    for _ in 0..(6 * 3600) {
        f.pass(1).await;
        for id in f.wanted("web") {
            f.crash(&id).await;
            crashes += 1;
        }
    }
    // About 27 minutes of doubling pauses, then two an hour.
    assert!(
        (20..=30).contains(&crashes),
        "{crashes} crashes in six hours"
    );
    let known = f.view.read().tasks.len();
    assert!(
        known <= crate::controller::KEPT + 1,
        "{known} tasks are kept, those of the last hour among them"
    );
    for n in 0..200 {
        let mut desired = Desired::clone(&folder(&[("web", 1, task_spec("a"))]));
        let services = desired.services.get_mut(&default()).expect("services");
        services.get_mut("web").expect("web").0.manifest_hash = format!("m{n}");
        f.controller.set_desired(Arc::new(desired));
        f.pass(1).await;
        for id in f.wanted("web") {
            f.crash(&id).await;
        }
    }
    let events = f.events("web");
    assert_eq!(events.len(), crate::controller::EVENTS_KEPT);
}

#[tokio::test(start_paused = true)]
async fn more_tasks_than_one_commit_holds_are_ordered_in_several_and_never_too_many() {
    let f = fixture().await;
    let agent = f.obedient_agent();
    let mut changes = f.view.subscribe();
    f.controller
        .set_desired(folder(&[("web", 230, task_spec("a"))]));
    let mut orders: BTreeMap<Revision, usize> = BTreeMap::new();
    while orders.values().sum::<usize>() < 230 {
        if let Ok(Changed::Key(change)) = changes.recv().await
            && matches!(change.key, Key::Task(..))
        {
            *orders.entry(change.revision).or_default() += 1;
        }
    }
    assert!((3..=5).contains(&orders.len()), "{orders:?}");
    f.pass(60).await;
    assert!(f.steady("web"));
    assert_eq!(f.wanted("web").len(), 230);
    f.controller.set_desired(folder(&[]));
    f.pass(2 * 3600).await;
    assert!(f.view.read().services.is_empty());
    agent.abort();
}

#[tokio::test(start_paused = true)]
async fn services_that_start_together_never_share_a_port() {
    let f = fixture().await;
    let names: Vec<String> = (0..30).map(|n| format!("s{n}")).collect();
    let services: Vec<(&str, u32, TaskSpec)> = names
        .iter()
        .map(|name| (name.as_str(), 3, with_port(task_spec("a"), None)))
        .collect();
    f.controller.set_desired(folder(&services));
    f.pass(5).await;
    let state = f.view.read();
    assert_eq!(state.tasks.len(), 90);
    let ports: std::collections::BTreeSet<u16> = state
        .tasks
        .values()
        .map(|task| task.record.ports[0].host_port)
        .collect();
    assert_eq!(ports.len(), 90);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_room_is_looked_at_when_another_service_gives_some_back() {
    let f = fixture().await;
    let agent = f.obedient_agent();
    let port = || with_port(task_spec("a"), Some(8080));
    f.controller.set_desired(folder(&[("one", 1, port())]));
    f.pass(60).await;
    f.controller
        .set_desired(folder(&[("one", 1, port()), ("two", 1, port())]));
    f.pass(60).await;
    assert!(f.wanted("two").is_empty());
    assert!(
        f.events("two")
            .iter()
            .any(|e| e.contains("Port 8080/tcp is held by task"))
    );
    f.controller.set_desired(folder(&[("two", 1, port())]));
    f.pass(1).await;
    assert_eq!(f.wanted("two").len(), 1);
    agent.abort();
}
