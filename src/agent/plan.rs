//! A list of actions being put together: what is wanted becomes what can be done now, or a time to look again.

use super::action::Action;
use super::facts::StepInput;
use super::retry::{Verdict, verdict};
use crate::model::Timestamp;

/// See the module.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    input: StepInput<'a>,
    /// In the order they were wanted.
    pub actions: Vec<Action>,
    /// The earliest instant at which something falls due.
    pub wake_at: Option<Timestamp>,
}

impl<'a> Plan<'a> {
    /// An empty list.
    pub fn new(input: StepInput<'a>) -> Self {
        Self {
            input,
            actions: Vec::new(),
            wake_at: None,
        }
    }

    /// Takes an action in: now, later, or never, as its earlier failures say.
    pub fn want(&mut self, action: Action) {
        let key = action.call.key();
        let attempt = self.input.facts.attempts.get(&key);
        match verdict(key.verb, attempt, self.input.now) {
            Verdict::Now => {
                if self.actions.iter().all(|other| other.call.key() != key) {
                    self.actions.push(action);
                }
            }
            Verdict::At(at) => self.wake(at),
            Verdict::Never => {}
        }
    }

    /// Looks again at that instant, at the latest.
    pub fn wake(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |wake| wake.min(at)));
    }
}
