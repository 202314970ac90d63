//! A queue of keys, each due at an instant: the earliest wish wins, and a key is worked on by one worker at a time.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;

/// See the [module's documentation](self).
#[derive(Debug)]
pub(super) struct Queue<K> {
    due: BTreeMap<K, Instant>,
    order: BTreeSet<(Instant, K)>,
    /// Keys that are being worked on. Wishes for them wait in `due` but not in `order`.
    busy: BTreeSet<K>,
}

impl<K: Ord + Clone> Queue<K> {
    pub fn new() -> Self {
        Self {
            due: BTreeMap::new(),
            order: BTreeSet::new(),
            busy: BTreeSet::new(),
        }
    }

    /// Asks for `key` at `at`; an earlier wish stands.
    pub fn push(&mut self, key: K, at: Instant) {
        match self.due.get(&key) {
            Some(earlier) if *earlier <= at => return,
            Some(later) => {
                self.order.remove(&(*later, key.clone()));
            }
            None => {}
        }
        self.due.insert(key.clone(), at);
        if !self.busy.contains(&key) {
            self.order.insert((at, key));
        }
    }

    /// When the next key is due.
    pub fn next_at(&self) -> Option<Instant> {
        self.order.first().map(|(at, _)| *at)
    }

    /// Takes the next key that is due at `now`; it is busy until [`done`](Self::done).
    pub fn pop(&mut self, now: Instant) -> Option<K> {
        if self.next_at()? > now {
            return None;
        }
        let (_, key) = self.order.pop_first()?;
        self.due.remove(&key);
        self.busy.insert(key.clone());
        Some(key)
    }

    /// The work on `key` is over; what was wished for in the meantime counts from now on.
    pub fn done(&mut self, key: &K) {
        self.busy.remove(key);
        if let Some(at) = self.due.get(key) {
            self.order.insert((*at, key.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn the_earliest_wish_for_a_key_wins() {
        let now = Instant::now();
        let later = now + Duration::from_secs(5);
        let mut queue = Queue::new();
        queue.push("web", later);
        queue.push("web", now);
        queue.push("web", later);
        assert_eq!(queue.pop(now), Some("web"));
        queue.done(&"web");
        assert_eq!(queue.next_at(), None, "asked for once, done once");
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_is_worked_on_waits_and_is_not_forgotten() {
        let now = Instant::now();
        let mut queue = Queue::new();
        queue.push("web", now);
        assert_eq!(queue.pop(now), Some("web"));
        queue.push("web", now);
        queue.push("api", now);
        assert_eq!(queue.pop(now), Some("api"));
        assert_eq!(queue.pop(now), None, "one worker a key");
        queue.done(&"web");
        assert_eq!(queue.pop(now), Some("web"));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_taken_before_it_is_due() {
        let now = Instant::now();
        let mut queue = Queue::new();
        queue.push("web", now + Duration::from_secs(1));
        assert_eq!(queue.pop(now), None);
        assert_eq!(queue.pop(now + Duration::from_secs(1)), Some("web"));
    }
}
