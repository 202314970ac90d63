//! Semantics §4, rules 15 and 16: in which order containers stop, and how.

use super::*;

// 15
#[test]
fn a_container_is_stopped_only_after_everything_that_depends_on_it() {
    let scene = Scene::of(waiting("START"))
        .see("dep", running("dep", 1))
        .see("web", running("web", 1))
        .ordered_to_stop("down");
    assert_eq!(scene.actions(), ["stop container web within 30 s: down"]);
    let scene = scene.see("web", exited("web", 0, 1, 2));
    assert_eq!(scene.actions(), ["stop container dep within 30 s: down"]);
}

#[test]
fn the_pause_container_goes_last_and_at_once() {
    let mut spec = one();
    spec.network_mode = NetworkMode::Awsvpc;
    let scene = Scene::of(spec)
        .see(PAUSE_CONTAINER, running(PAUSE_CONTAINER, 1))
        .see("web", running("web", 1))
        .ordered_to_stop("down");
    assert_eq!(scene.actions(), ["stop container web within 30 s: down"]);
    let scene = scene.see("web", exited("web", 0, 1, 2));
    assert_eq!(
        scene.actions(),
        ["remove the pause container: every container of the task has ended"]
    );
    assert_eq!(scene.status().last_status, LastStatus::Deprovisioning);
    let scene = scene.gone(PAUSE_CONTAINER);
    assert_eq!(scene.status().last_status, LastStatus::Stopped);
}

// 16
#[test]
fn the_stop_timeout_is_the_definitions_or_30_s_and_at_least_1_s() {
    for (declared, used) in [(json!(null), 30), (json!(5), 5), (json!(0), 1)] {
        let scene = Scene::of(task(json!([{"name": "web", "stop_timeout": declared}])))
            .see("web", running("web", 1))
            .ordered_to_stop("down");
        assert_eq!(
            scene.actions(),
            [format!("stop container web within {used} s: down")]
        );
    }
}

#[test]
fn a_stop_that_fails_is_tried_again_after_a_pause() {
    let mut scene = Scene::of(one())
        .see("web", running("web", 1))
        .ordered_to_stop("down")
        .failed(Verb::Stop, "web", ErrorKind::Unknown, 2);
    let step = scene.step();
    assert_eq!(lines(&step), Vec::<String>::new());
    let wake = step.wake_at.expect("a time to try again");
    assert_eq!(wake, at(100).plus(std::time::Duration::from_millis(500)));
    scene.now = wake;
    assert_eq!(scene.actions(), ["stop container web within 30 s: down"]);
}

#[test]
fn nothing_is_decided_about_a_container_on_which_a_call_is_under_way() {
    let mut scene = Scene::of(one()).see("web", created("web"));
    scene.facts.busy.insert("web".to_owned());
    assert_eq!(scene.actions(), Vec::<String>::new());
    let scene = scene.ordered_to_stop("down");
    assert_eq!(scene.actions(), Vec::<String>::new());
    assert_eq!(scene.status().last_status, LastStatus::Stopping);
}

// 15
#[test]
fn a_chain_is_stopped_from_its_end_and_a_link_that_ended_holds_nothing_up() {
    let mut spec = waiting("START");
    let mut last = spec.containers[1].clone();
    last.name = "last".to_owned();
    last.depends_on[0].container = "web".to_owned();
    spec.containers.push(last);
    let scene = Scene::of(spec)
        .see("dep", running("dep", 1))
        .see("web", running("web", 1))
        .see("last", running("last", 1))
        .ordered_to_stop("down");
    assert_eq!(scene.actions(), ["stop container last within 30 s: down"]);
    // As in the ECS agent only direct dependants count, and the one of dep has ended.
    let scene = scene.see("web", exited("web", 1, 1, 2));
    assert_eq!(
        scene.actions(),
        [
            "stop container dep within 30 s: down",
            "stop container last within 30 s: down"
        ]
    );
}

// 16
#[test]
fn stopping_is_tried_again_without_end_but_not_on_a_container_that_is_gone() {
    let mut scene = Scene::of(one())
        .see("web", running("web", 1))
        .advance()
        .ordered_to_stop("down")
        .failed(Verb::Stop, "web", ErrorKind::Unknown, 1_000);
    assert_eq!(scene.step().wake_at, Some(at(130)));
    scene.now = at(130);
    assert_eq!(scene.actions(), ["stop container web within 30 s: down"]);
    let gone = scene.gone("web");
    assert_eq!(gone.actions(), Vec::<String>::new());
    assert_eq!(gone.status().last_status, LastStatus::Stopped);
}
