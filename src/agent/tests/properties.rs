//! Properties: whatever happens to a task, in whatever order.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::json;

use super::world::World;
use super::*;
use crate::engine::labels::PAUSE_CONTAINER;
use crate::model::{LastStatus, NetworkMode};

/// Something that happens between two looks.
#[derive(Debug, Clone)]
enum Event {
    End(usize, i64),
    Remove(usize),
    RemovePause,
    Health(usize, bool),
    Pause(usize),
    StartOutside(usize),
    OrderStop,
    Lost,
    ForgetFacts,
    Fail(u8, usize, u8, u32),
    Busy(usize),
    Idle,
    Pass(i64),
    Round,
}

fn event() -> impl Strategy<Value = Event> {
    let container = 0..4_usize;
    prop_oneof![
        3 => (container.clone(), prop_oneof![Just(0_i64), Just(1), Just(42)])
            .prop_map(|(c, code)| Event::End(c, code)),
        1 => container.clone().prop_map(Event::Remove),
        1 => Just(Event::RemovePause),
        3 => (container.clone(), any::<bool>()).prop_map(|(c, well)| Event::Health(c, well)),
        1 => container.clone().prop_map(Event::Pause),
        1 => container.clone().prop_map(Event::StartOutside),
        1 => Just(Event::OrderStop),
        1 => Just(Event::Lost),
        1 => Just(Event::ForgetFacts),
        2 => (0..6_u8, container.clone(), 0..4_u8, 1..4_u32)
            .prop_map(|(verb, c, kind, n)| Event::Fail(verb, c, kind, n)),
        1 => container.prop_map(Event::Busy),
        1 => Just(Event::Idle),
        3 => (1..100_i64).prop_map(Event::Pass),
        8 => Just(Event::Round),
    ]
}

/// A task of up to four containers whose dependencies only point back, so that there is no circle.
fn a_task() -> impl Strategy<Value = TaskSpec> {
    let container = (
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        prop::collection::vec((0..4_usize, 0..4_usize), 0..3),
        prop::option::of(1..50_u32),
    );
    (prop::collection::vec(container, 1..5), any::<bool>()).prop_map(|(parts, awsvpc)| {
        let containers: Vec<_> = parts
            .iter()
            .enumerate()
            .map(|(at, (essential, checked, restarts, depends, timeout))| {
                let mut container = json!({
                    "name": format!("c{at}"),
                    "image": format!("image{}", at % 2),
                    "essential": at == 0 || *essential,
                    "start_timeout": timeout,
                });
                if *checked {
                    container["health_check"] = json!({
                        "command": ["CMD", "true"], "interval": 5, "timeout": 2, "retries": 2,
                        "start_period": 0
                    });
                }
                if *restarts {
                    container["restart_policy"] =
                        json!({"restart_attempt_period": 60, "ignored_exit_codes": [42]});
                }
                let mut seen = BTreeSet::new();
                let depends: Vec<_> = depends
                    .iter()
                    .filter(|(on, _)| *on < at && seen.insert(*on))
                    .map(|(on, condition)| {
                        let conditions = ["START", "COMPLETE", "SUCCESS", "HEALTHY"];
                        json!({"container": format!("c{on}"), "condition": conditions[*condition]})
                    })
                    .collect();
                container["depends_on"] = json!(depends);
                container
            })
            .collect();
        let mut spec = spec(json!({"family": "web", "containers": containers}));
        spec.network_mode = if awsvpc {
            NetworkMode::Awsvpc
        } else {
            NetworkMode::Bridge
        };
        spec
    })
}

fn happen(world: &mut World, event: &Event) {
    let name = |at: usize| format!("c{at}");
    let scene = &mut world.scene;
    match event {
        Event::End(at, code) => world.end(&name(*at), *code),
        Event::Remove(at) => {
            scene.observed.remove(&name(*at));
        }
        Event::RemovePause => {
            scene.observed.remove(PAUSE_CONTAINER);
        }
        Event::Health(at, well) => {
            let health = if *well {
                HealthStatus::Healthy
            } else {
                HealthStatus::Unhealthy
            };
            world.health(&name(*at), health);
        }
        Event::Pause(at) => {
            if let Some(found) = scene.observed.get_mut(&name(*at))
                && found.state == ContainerState::Running
            {
                found.state = ContainerState::Paused;
            }
        }
        Event::StartOutside(at) => {
            if let Some(found) = scene.observed.get_mut(&name(*at)) {
                found.state = ContainerState::Running;
                found.started_at = Some(scene.now);
            }
        }
        Event::OrderStop => {
            scene.record.desired = DesiredStatus::Stopped;
            scene.record.stop = Some(order_to_stop("ordered"));
        }
        Event::Lost => {
            scene.lost = Some(TaskLost {
                at: scene.now,
                reason: "lost".to_owned(),
            });
        }
        Event::ForgetFacts => scene.facts = Facts::default(),
        Event::Fail(verb, at, kind, failures) => {
            let verbs = [
                (Verb::Create, name(*at)),
                (Verb::Start, name(*at)),
                (Verb::Stop, name(*at)),
                (Verb::Pull, format!("image{}", at % 2)),
                (Verb::CreateNetwork, String::new()),
                (Verb::Remove, PAUSE_CONTAINER.to_owned()),
            ];
            let (verb, target) = verbs[usize::from(*verb)].clone();
            let kinds = [
                ErrorKind::Invalid,
                ErrorKind::Unknown,
                ErrorKind::NotFound,
                ErrorKind::Unreachable,
            ];
            let attempt = Attempt {
                failures: *failures,
                at: scene.now,
                kind: kinds[usize::from(*kind)],
                message: "no luck".to_owned(),
            };
            scene
                .facts
                .attempts
                .insert(CallKey::new(verb, target), attempt);
        }
        Event::Busy(at) => {
            scene.facts.busy.insert(name(*at));
        }
        Event::Idle => scene.facts.busy.clear(),
        Event::Pass(seconds) => {
            scene.now = scene.now.plus(std::time::Duration::from_secs(
                u64::try_from(*seconds).expect("forward"),
            ));
        }
        Event::Round => {
            world.round();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// `World` itself fails on a start with an unmet dependency, on a stop before a dependant, on a second start of what
    /// ran, on an action for a busy container, on a status that moves backwards, and on a task that never comes to rest.
    #[test]
    fn whatever_happens_no_rule_is_broken_and_the_task_comes_to_rest(
        spec in a_task(),
        events in prop::collection::vec(event(), 0..40),
    ) {
        let mut world = World::new(spec);
        for event in &events {
            happen(&mut world, event);
        }
        world.scene.facts.busy.clear();
        world.settle();
        // At rest, a second look changes nothing at all (promise P5).
        let step = world.scene.step();
        prop_assert!(step.actions.is_empty());
        prop_assert_eq!(&step.status, &world.scene.prior);
    }

    #[test]
    fn a_task_that_is_ordered_to_stop_is_stopped_with_nothing_running_and_no_pause_container(
        spec in a_task(),
        events in prop::collection::vec(event(), 0..40),
    ) {
        let mut world = World::new(spec);
        for event in &events {
            happen(&mut world, event);
        }
        happen(&mut world, &Event::OrderStop);
        world.scene.facts.busy.clear();
        world.scene.facts.attempts.clear();
        world.settle();
        prop_assert_eq!(world.status(), LastStatus::Stopped);
        prop_assert!(world.scene.prior.stop_code.is_some());
        prop_assert!(!world.scene.observed.contains_key(PAUSE_CONTAINER));
        for found in world.scene.observed.values() {
            prop_assert!(found.state != ContainerState::Running, "{} runs", found.name);
        }
    }

    #[test]
    fn a_healthy_task_is_never_stopped_by_its_agent(spec in a_task()) {
        let mut world = World::new(spec);
        world.settle();
        for round in 0..6 {
            for at in 0..4 {
                world.health(&format!("c{at}"), HealthStatus::Healthy);
                // What others wait for ends well; what nobody waits for runs on.
                let name = format!("c{at}");
                let ends = world.scene.spec.containers.iter().flat_map(|c| &c.depends_on).any(|d| {
                    d.container == name
                        && matches!(d.condition, crate::model::Condition::Success | crate::model::Condition::Complete)
                });
                let essential = world.scene.spec.container(&name).is_some_and(|c| c.essential);
                if ends && !essential && round > 2 {
                    world.end(&name, 0);
                }
            }
            world.settle();
        }
        let asked = world.done.iter().find(|line| line.starts_with("stop"));
        prop_assert!(
            asked.is_none() || world.scene.prior.stop_code == Some(StopCode::TaskFailedToStart),
            "{asked:?}: {:?}", world.scene.prior
        );
    }
}
