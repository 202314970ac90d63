//! Container instances that vanished, and what becomes of their tasks. Pure.
//!
//! An instance whose engine has not answered for `instanceLostAfterSeconds` has vanished, unless no instance of its cluster answers:
//! then it is more likely that nothing can be reached from here, and there is nowhere to go. Nobody knows whether its tasks
//! run on. They are *given up*: they count no more, their replacements run elsewhere, and a returning agent stops what is
//! left of them before it starts anything (design §6). While the instance is cut off both may run, and the service says so.
//!
//! * A task of a REPLICA service that is still wanted is given up together with the start of its replacement, in one commit. One
//!   that fits nowhere else is kept: should its instance return, it goes on where it was.
//! * What is not replaced is given up at once: tasks that are to go anyway, those of an older deployment (which are replaced as
//!   any that ended), of DAEMON services, of removed services, and standalone ones.
//! * Being given up is no failure of the task: neither the throttle nor a deployment counts it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::events;
use super::placement::{InstanceView, NoFit};
use super::plan::{Definition, Draft, Seen};
use crate::model::{Deployment, EventLevel, InstanceDesired, InstanceId, NoticeKind, Timestamp};

/// What is known of the instances that do not answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Away<'a> {
    /// Those that vanished.
    pub vanished: BTreeSet<&'a InstanceId>,
    /// Those that are waited for, each until when.
    pub expected: BTreeMap<&'a InstanceId, Timestamp>,
}

impl<'a> Away<'a> {
    /// Which of `instances` are away at `now`. Time before `watching_since` does not count: nobody waited for an answer.
    pub fn of(
        instances: &[InstanceView<'a>],
        lost_after: u32,
        watching_since: Timestamp,
        now: Timestamp,
    ) -> Self {
        let mut away = Self::default();
        if !instances.iter().any(|view| view.instance.connected) {
            return away;
        }
        for view in instances.iter().filter(|view| !view.instance.connected) {
            let until = view
                .instance
                .connected_at
                .max(watching_since)
                .plus(Duration::from_secs(u64::from(lost_after)));
            if until <= now {
                away.vanished.insert(&view.instance.id);
            } else {
                away.expected.insert(&view.instance.id, until);
            }
        }
        away
    }
}

/// Why a task is given up, as its record says it.
pub(super) fn reason(instance: &InstanceId, lost_after: u32) -> String {
    format!("The engine of container instance {instance} has not answered for {lost_after} seconds")
}

/// Gives up every task on a vanished instance.
pub(super) fn give_up_all(draft: &mut Draft<'_>) {
    for at in draft.newest(Seen::is_stranded) {
        if !draft.has_room() {
            return;
        }
        draft.give_up(at);
    }
}

/// Gives up the tasks of a REPLICA service on vanished instances, each that is still wanted with a replacement; returns why there is
/// none for the rest.
pub(super) fn replace(
    draft: &mut Draft<'_>,
    desired: u32,
    primary: &Deployment,
    definition: &Definition<'_>,
) -> Option<NoFit> {
    for at in draft.newest(|seen| seen.is_stranded() && !(seen.current && seen.good())) {
        if !draft.has_room() {
            return None;
        }
        draft.give_up(at);
    }
    for at in draft.newest(Seen::is_stranded) {
        let good = draft.count(|seen| seen.current && seen.good());
        if good + draft.started > desired {
            if !draft.has_room() {
                return None;
            }
            draft.give_up(at);
            continue;
        }
        let now = draft.now();
        if draft.record.throttle.allowed(1, now) == 0 {
            draft.wake(draft.record.throttle.not_before);
            return None;
        }
        // Both or none.
        if draft.room() < 2 {
            draft.more = true;
            return None;
        }
        let placed = match draft.books.place(&draft.request(definition.spec)) {
            Ok(placed) => placed,
            Err(no_fit) => return Some(no_fit),
        };
        let task = draft.seen[at].view.record;
        let cause = format!(
            "replaces {}, given up with instance {}",
            task.id.short(),
            task.instance
        );
        draft.give_up(at);
        draft.start(placed, primary, definition, cause);
    }
    None
}

/// The instances that a DAEMON service should have a task on: the ACTIVE ones, in order of their names, and those that are
/// not registered (any more) and have one. One that does not answer and has none gets none.
pub(super) fn for_daemons(draft: &Draft<'_>) -> Vec<InstanceId> {
    let instances = draft.input.instances;
    let known: BTreeSet<&InstanceId> = instances.iter().map(|view| &view.instance.id).collect();
    let staying = draft.seen.iter().filter(|seen| seen.stays());
    let with_one: BTreeSet<&InstanceId> = staying.map(|seen| &seen.view.record.instance).collect();
    let registered = instances
        .iter()
        .filter(|view| view.desired == InstanceDesired::Active)
        .filter(|view| view.instance.connected || with_one.contains(&view.instance.id))
        .map(|view| &view.instance.id);
    let silent = with_one.difference(&known).copied();
    let all: BTreeSet<&InstanceId> = registered.chain(silent).collect();
    all.into_iter().cloned().collect()
}

/// Says that tasks were given up and may still run, once, until their instance has returned and stopped them.
pub(super) fn report(draft: &mut Draft<'_>) {
    let mut tasks = 0;
    let mut on: BTreeSet<&InstanceId> = BTreeSet::new();
    for seen in draft.seen.iter().filter(|seen| seen.may_run_on()) {
        tasks += 1;
        on.insert(&seen.view.record.instance);
    }
    let message = (tasks > 0).then(|| {
        let after = draft.input.cluster.instance_lost_after;
        events::given_up(draft.input.service, tasks, &on, after)
    });
    draft.notice(NoticeKind::Lost, EventLevel::Warn, message);
}
