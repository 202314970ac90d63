//! The decision about one task.

use super::action::{Action, Call};
use super::facts::{LogFact, Step, StepInput};
use super::known::{Containers, Known, Phase};
use super::plan::Plan;
use super::{start, status, stop};
use crate::model::LastStatus;

/// What is to be done now about a task, what to report of it, and when to look again.
///
/// Pure, and level-triggered: it looks at how things are, not at what happened. All actions that it returns can be done at
/// once; each one's result changes the input of the next step. Where there is nothing left to do it returns no action, so
/// applying steps to a task always comes to rest.
pub fn step(input: &StepInput<'_>) -> Step {
    let decided = stop::decided(input);
    let mut all = Containers::look(input, decided.is_some());
    let stop = decided.or_else(|| {
        start::mark_failures(&mut all, input);
        stop::arising(&all, input)
    });
    let mut plan = Plan::new(*input);
    match &stop {
        Some(stop) => {
            all.stop_restarts();
            stop::plan(&all, stop, &mut plan);
        }
        None => start::plan(&all, input, &mut plan),
    }
    let culprit = stop::culprit(&all, stop.as_ref());
    let (lines, mut pending) = last_words(culprit, stop.is_some(), input, &mut plan);
    if let Some(until) = stop::unexplained_until(&all, stop.as_ref(), input) {
        plan.wake(until);
        pending = true;
    }
    Step {
        status: status::report(&all, stop.as_ref(), lines, pending, input),
        actions: plan.actions,
        wake_at: plan.wake_at,
    }
}

/// The last lines of the container at fault, and whether they are still to be read (which it then asks for).
fn last_words(
    culprit: Option<&Known<'_>>,
    stopping: bool,
    input: &StepInput<'_>,
    plan: &mut Plan<'_>,
) -> (Vec<String>, bool) {
    let before = &input.prior.last_log_lines;
    let Some(known) = culprit else {
        // A task that is well again needs no explanation; one that stops keeps the one it has.
        let kept = if stopping { before.clone() } else { Vec::new() };
        return (kept, false);
    };
    let ended = known.phase == Phase::Ended;
    let name = &known.spec.name;
    match input.facts.logs.get(name) {
        Some(LogFact { ended: e, lines }) if *e == ended => {
            let known_lines = if lines.is_empty() { before } else { lines };
            (known_lines.clone(), false)
        }
        _ if input.prior.last_status == LastStatus::Stopped => (before.clone(), false),
        _ => {
            if let Some(found) = known.observed {
                let call = Call::ReadLogs {
                    container: name.clone(),
                    id: found.id.clone(),
                    ended,
                };
                let cause = if ended {
                    "it ended"
                } else {
                    "its health check fails"
                };
                plan.want(Action::new(call, cause));
            }
            (before.clone(), true)
        }
    }
}
