//! The judge and the plan by themselves: what must be found is found, and what is nobody's fault is not held against anybody.

use std::collections::BTreeMap;
use std::time::Duration;

use longshore::engine::{EngineEvent, labels};
use longshore::model::{EventLevel, ServiceEvent, StopCode, StopOrder, Timestamp};
use longshore::store::keys;
use serde_json::json;

use crate::common;
use crate::folder::{APP, Folder, Program, Service};
use crate::judge::Judge;
use crate::plan::{Act, NAMES, Plan};
use crate::witness::{Fact, Order, Seen, Span};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(1_000_000 + seconds * 1_000)
}

/// Two tasks of `worker` are wanted, not fewer, and not more than three, on two engines.
fn trial() -> Seen {
    let service = Service {
        file: "worker".to_owned(),
        desired: 2,
        minimum: 100,
        maximum: 150,
        program: Program::Good,
        version: 1,
        check: false,
        pod: false,
        guarded: false,
    };
    let mut seen = Seen::default();
    seen.configs.set("worker", at(-100), Some(service));
    seen
}

impl Seen {
    fn happens(&mut self, seconds: i64, engine: u32, action: &str, task: &str) {
        let mut attributes: BTreeMap<String, String> = [
            (labels::SERVICE, "worker"),
            (labels::TASK, task),
            (labels::CONTAINER, APP),
        ]
        .map(|(label, value)| (label.to_owned(), value.to_owned()))
        .into();
        if task == "foreign" {
            attributes.insert(common::RUN_LABEL.to_owned(), "1".to_owned());
        }
        let event = EngineEvent {
            kind: "container".to_owned(),
            action: action.to_owned(),
            id: format!("container-of-{task}"),
            attributes,
            at: at(seconds),
            at_nanos: at(seconds).as_millis() * 1_000_000,
        };
        self.facts.push((at(seconds), Fact::Event(engine, event)));
    }

    fn ordered(&mut self, seconds: i64, task: &str) {
        let order = Order {
            service: "worker".to_owned(),
            started: at(seconds),
            stop: None,
            lost: None,
        };
        self.orders.insert(task.to_owned(), order);
    }

    /// It is ordered, and starts.
    fn starts(&mut self, seconds: i64, engine: u32, task: &str) {
        self.ordered(seconds, task);
        self.happens(seconds, engine, "start", task);
    }

    /// It is ordered to stop at `ordered`, and later that is begun.
    fn stops(&mut self, ordered: i64, seconds: i64, engine: u32, task: &str) {
        let order = self.orders.get_mut(task).expect("it was started");
        order.stop = Some(StopOrder {
            code: StopCode::ServiceSchedulerInitiated,
            reason: "scaling".to_owned(),
            at: at(ordered),
        });
        self.happens(seconds, engine, "kill", task);
        self.happens(seconds, engine, "die", task);
    }

    fn strike(&mut self, seconds: i64, engine: u32, task: &str) {
        let struck = Fact::Struck(format!("container-of-{task}"));
        self.facts.push((at(seconds), struck));
        self.happens(seconds, engine, "kill", task);
        self.happens(seconds, engine, "die", task);
    }

    /// What is wrong, one word each.
    #[track_caller]
    fn is_judged(&self, words: &[&str]) {
        let wrong = Judge::new(self).judge().wrong;
        assert_eq!(wrong.len(), words.len(), "{wrong:?}");
        for (wrong, word) in wrong.iter().zip(words) {
            assert!(wrong.contains(word), "{word}: {wrong}");
        }
    }
}

#[test]
fn a_healthy_task_that_is_stopped_below_the_floor_is_found() {
    let mut seen = trial();
    seen.starts(0, 1, "a");
    seen.starts(0, 2, "b");
    seen.starts(1, 1, "c");
    seen.stops(10, 10, 1, "a");
    seen.is_judged(&[]);
    seen.stops(20, 21, 2, "b");
    seen.is_judged(&["worker has 1 healthy and needs 2"]);
}

#[test]
fn a_task_that_fell_a_moment_before_an_order_was_not_known_to_have_fallen() {
    for (ordered, wrong) in [(11, &[][..]), (14, &[]), (16, &["needs 2"])] {
        let mut seen = trial();
        seen.starts(0, 1, "a");
        seen.starts(0, 2, "b");
        seen.starts(1, 1, "c");
        seen.strike(10, 1, "c");
        seen.stops(ordered, ordered, 1, "a");
        seen.is_judged(wrong);
    }
}

#[test]
fn what_fell_with_its_engine_or_while_the_disk_was_full_is_known_after_their_return() {
    for (by_disk, ordered, wrong) in [
        (false, 33, &[][..]),
        (false, 36, &["needs 2"]),
        (true, 33, &[]),
        (true, 36, &["needs 2"]),
    ] {
        let mut seen = trial();
        seen.starts(0, 1, "a");
        seen.starts(0, 1, "b");
        seen.starts(1, 2, "c");
        let span = Span {
            from: at(10),
            until: Some(at(30)),
        };
        if by_disk {
            seen.disk_full.push(span);
            seen.strike(12, 2, "c");
        } else {
            seen.away.push((2, span));
            seen.facts.push((at(10), Fact::EngineEnds(2)));
            seen.facts.push((at(30), Fact::Listed(2, Vec::new())));
        }
        seen.stops(ordered, ordered, 1, "a");
        seen.is_judged(wrong);
    }
}

#[test]
fn an_engine_that_ends_stops_its_tasks_itself() {
    let mut seen = trial();
    seen.starts(0, 1, "a");
    seen.starts(0, 1, "b");
    seen.facts.push((at(10), Fact::EngineEnds(1)));
    seen.happens(10, 1, "kill", "a");
    seen.happens(10, 1, "kill", "foreign");
    seen.is_judged(&[]);
}

#[test]
fn a_task_that_starts_without_room_or_an_order_is_found() {
    let mut seen = trial();
    for task in ["a", "b", "c"] {
        seen.starts(0, 1, task);
    }
    seen.is_judged(&[]);
    seen.starts(1, 2, "d");
    seen.happens(2, 2, "start", "stray");
    seen.is_judged(&["may have 3", "nobody ordered it"]);
}

#[test]
fn an_order_whose_task_was_forgotten_before_anybody_looked_is_known_by_its_event() {
    let mut seen = trial();
    seen.happens(1, 1, "start", "a");
    seen.is_judged(&["nobody ordered it"]);
    let event = |seq: u64, message: &str| {
        let event = ServiceEvent {
            cluster: "c".into(),
            service: "worker".into(),
            seq,
            at: at(0),
            last_at: at(0),
            count: 1,
            level: EventLevel::Info,
            name: None,
            message: message.to_owned(),
        };
        let key = keys::event(&event.cluster, &event.service, seq);
        (key, json!({"value": event}))
    };
    let said = [
        event(
            1,
            "(service worker) has started 2 tasks: (task b) (task a).",
        ),
        event(
            2,
            "(service worker) has called off 1 tasks that did not run yet: (task a).",
        ),
        event(3, "(service worker) (task never) stopped: it ended."),
    ];
    seen.take_orders(&said.into_iter().collect());
    seen.is_judged(&[]);
    let known: Vec<&String> = seen.orders.keys().collect();
    assert_eq!(known, ["a", "b"]);
}

#[test]
fn a_healthy_task_that_is_stopped_without_an_order_is_found() {
    let mut seen = trial();
    for task in ["a", "b", "c"] {
        seen.starts(0, 1, task);
    }
    seen.happens(5, 1, "kill", "a");
    seen.is_judged(&["without an order"]);
}

#[test]
fn asking_for_everything_to_go_orders_what_is_stopped_from_then_on_and_nothing_before() {
    for (asked, wrong) in [(4, &[][..]), (6, &["without an order"])] {
        let mut seen = trial();
        for task in ["a", "b", "c"] {
            seen.starts(0, 1, task);
        }
        seen.configs.set("worker", at(asked), None);
        seen.down = Some(at(asked));
        // Each is ordered to stop and forgotten before anybody looks.
        seen.happens(5, 1, "kill", "a");
        seen.happens(7, 1, "kill", "b");
        seen.happens(7, 1, "kill", "c");
        seen.is_judged(wrong);
    }
}

#[test]
fn a_start_after_everything_was_asked_to_go_is_still_judged() {
    let mut seen = trial();
    seen.starts(0, 1, "a");
    seen.configs.set("worker", at(10), None);
    seen.down = Some(at(10));
    seen.happens(11, 1, "start", "stray");
    seen.is_judged(&["nobody ordered it"]);
}

#[test]
fn an_edit_that_an_engine_was_away_for_is_in_force_no_longer_for_that() {
    for (ordered, wrong) in [(14, &[][..]), (17, &["needs 2"])] {
        let mut seen = trial();
        for task in ["a", "b"] {
            seen.starts(0, 1, task);
        }
        let raised = seen.configs.in_force("worker", at(0), at(0)).remove(0);
        let lowered = raised.clone().map(|service| Service {
            desired: 1,
            ..service
        });
        seen.configs.set("worker", at(5), lowered);
        seen.configs.set("worker", at(10), raised);
        // Another engine, which nothing runs on.
        let span = Span {
            from: at(6),
            until: Some(at(20)),
        };
        seen.away.push((2, span));
        seen.stops(ordered, ordered, 1, "a");
        seen.is_judged(wrong);
    }
}

#[test]
fn an_edit_counts_from_before_the_order_to_the_deed() {
    let mut seen = trial();
    for task in ["a", "b"] {
        seen.starts(0, 1, task);
    }
    // The count was lowered, and raised again before the order was carried out.
    let raised = seen.configs.in_force("worker", at(0), at(0)).remove(0);
    let lowered = raised.clone().map(|service| Service {
        desired: 1,
        ..service
    });
    seen.configs.set("worker", at(10), lowered);
    seen.configs.set("worker", at(12), raised);
    seen.stops(11, 13, 1, "a");
    seen.is_judged(&[]);
}

#[test]
fn touching_what_is_somebody_elses_is_found() {
    for action in ["kill", "die", "destroy", "rename", "pause"] {
        let mut seen = trial();
        seen.happens(5, 1, action, "foreign");
        seen.is_judged(&["P2"]);
    }
}

#[test]
fn an_order_for_a_suspended_service_is_found() {
    let mut seen = trial();
    seen.suspended.push((
        "worker".to_owned(),
        Span {
            from: at(10),
            until: Some(at(20)),
        },
    ));
    seen.starts(9, 1, "a");
    seen.starts(21, 1, "b");
    seen.is_judged(&[]);
    seen.starts(15, 1, "c");
    seen.is_judged(&["suspended"]);
}

#[test]
fn a_plan_is_a_function_of_its_seed_deals_everything_and_ends_well() {
    let storm = Duration::from_secs(600);
    for seed in 1..20 {
        let plan = Plan::new(seed, 2, storm);
        let text = format!("{plan:?}");
        assert_eq!(text, format!("{:?}", Plan::new(seed, 2, storm)));
        for what in [
            "Kill",
            "Remove",
            "Process",
            "Sicken",
            "Terminated",
            "KilledTwice",
            "Stopped",
            "Cut",
            "Restart",
            "Pause",
            "Unpause",
            "Suspend",
            "Resume",
            "Retry",
            "Undo",
            "StopTask",
            "Drain",
            "Activate",
            "DiskFull",
            "DiskFree",
            "Half",
            "Broken",
            "NeverHealthy",
            "NoImage",
            "Crashes",
            "service restored",
            "file renamed",
            "reverted",
            "percentages changed",
        ] {
            assert!(text.contains(what), "seed {seed}: {what}");
        }
        assert!(plan.acts.is_sorted_by_key(|(at, _)| *at), "seed {seed}");
        assert_ends_well(&plan.last);
        // Whatever the user saves can be told apart from what was before.
        let edits = plan
            .acts
            .iter()
            .filter(|(_, act)| matches!(act, Act::Edit(..)));
        assert!(edits.count() > 20, "seed {seed}");
    }
}

fn assert_ends_well(folder: &Folder) {
    assert!(folder.is_valid());
    for name in NAMES {
        assert!(folder.services[name].program.works(), "{name}");
    }
}
