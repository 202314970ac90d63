//! How many changing calls are made of an engine at once.
//!
//! An engine does most of a start under locks of its own: past a few calls at once, each only takes longer (design §8). What
//! brings a begun task further goes first, so that tasks are finished one after another rather than all at the end.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// Which call goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Priority {
    /// Starts and removals: the end of something begun.
    Finish,
    /// Creates.
    Begin,
}

/// See the module. Cloning shares it.
#[derive(Debug, Clone)]
pub(super) struct Gate(Arc<Mutex<Waiting>>);

#[derive(Debug)]
struct Waiting {
    calls: usize,
    /// Below zero after the gate was narrowed under calls that are still being made.
    free: isize,
    finish: VecDeque<oneshot::Sender<Permit>>,
    begin: VecDeque<oneshot::Sender<Permit>>,
}

/// The right to make one call, until it is dropped.
#[derive(Debug)]
pub(super) struct Permit(Option<Gate>);

impl Gate {
    /// Lets `calls` through at once.
    pub fn new(calls: usize) -> Self {
        Self(Arc::new(Mutex::new(Waiting {
            calls: 0,
            free: 0,
            finish: VecDeque::new(),
            begin: VecDeque::new(),
        })))
        .resized(calls)
    }

    fn resized(self, calls: usize) -> Self {
        self.resize(calls);
        self
    }

    /// Lets `calls` through at once from now on.
    pub fn resize(&self, calls: usize) {
        let calls = calls.max(1);
        let more = {
            let mut waiting = self.lock();
            let more = calls.cast_signed() - waiting.calls.cast_signed();
            waiting.calls = calls;
            if more < 0 {
                waiting.free += more;
            }
            more
        };
        for _ in 0..more {
            self.clone().leave();
        }
    }

    /// Waits for a turn.
    pub async fn enter(&self, priority: Priority) -> Permit {
        let receiver = {
            let mut waiting = self.lock();
            if waiting.free > 0 {
                waiting.free -= 1;
                return Permit(Some(self.clone()));
            }
            let (sender, receiver) = oneshot::channel();
            match priority {
                Priority::Finish => waiting.finish.push_back(sender),
                Priority::Begin => waiting.begin.push_back(sender),
            }
            receiver
        };
        // The sender lives in the queue, which lives as long as this gate.
        receiver.await.unwrap_or(Permit(None))
    }

    fn leave(self) {
        let mut permit = Permit(Some(self.clone()));
        loop {
            let next = {
                let mut waiting = self.lock();
                // Narrowed meanwhile: this turn is not given on.
                let next = if waiting.free < 0 {
                    None
                } else {
                    waiting
                        .finish
                        .pop_front()
                        .or_else(|| waiting.begin.pop_front())
                };
                if next.is_none() {
                    waiting.free += 1;
                    // This one gives nothing back when it is dropped: it just did.
                    permit.0 = None;
                }
                next
            };
            match next.map(|next| next.send(permit)) {
                None | Some(Ok(())) => return,
                // Whoever waited is gone: the next one.
                Some(Err(back)) => permit = back,
            }
        }
    }
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(gate) = self.0.take() {
            gate.leave();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_finishes_a_task_goes_before_what_begins_one() {
        let gate = Gate::new(1);
        let held = gate.enter(Priority::Begin).await;
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut waiters = Vec::new();
        for (name, priority) in [
            ("create a", Priority::Begin),
            ("create b", Priority::Begin),
            ("start c", Priority::Finish),
        ] {
            let (gate, order) = (gate.clone(), Arc::clone(&order));
            waiters.push(tokio::spawn(async move {
                let _permit = gate.enter(priority).await;
                order.lock().unwrap().push(name);
            }));
            tokio::task::yield_now().await;
        }
        drop(held);
        for waiter in waiters {
            waiter.await.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), ["start c", "create a", "create b"]);
    }

    #[tokio::test]
    async fn a_turn_that_nobody_waits_for_any_more_goes_to_the_next() {
        let gate = Gate::new(1);
        let held = gate.enter(Priority::Begin).await;
        let gone = tokio::spawn({
            let gate = gate.clone();
            async move { drop(gate.enter(Priority::Finish).await) }
        });
        tokio::task::yield_now().await;
        gone.abort();
        assert!(gone.await.is_err());
        drop(held);
        drop(gate.enter(Priority::Begin).await);
        drop(gate.enter(Priority::Begin).await);
    }

    #[tokio::test]
    async fn a_gate_can_be_widened_and_narrowed_under_way() {
        let gate = Gate::new(1);
        let first = gate.enter(Priority::Begin).await;
        let waiting = tokio::spawn({
            let gate = gate.clone();
            async move { gate.enter(Priority::Begin).await }
        });
        tokio::task::yield_now().await;
        gate.resize(2);
        let second = waiting.await.unwrap();
        gate.resize(1);
        drop(first);
        let third = tokio::spawn({
            let gate = gate.clone();
            async move { gate.enter(Priority::Begin).await }
        });
        tokio::task::yield_now().await;
        assert!(!third.is_finished(), "one call is still being made");
        drop(second);
        drop(third.await.unwrap());
    }
}
