//! When an agent is settled: every task that was ordered here as it began has been looked at on the engine, and what was
//! seen is in the store. Until then the store tells how things were when somebody last wrote them down, which may be before
//! a crash, and nobody may decide on that (P3).

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::model::TaskId;

/// How long it waits for a task that cannot be looked at or written down, from the first list. One such task must not keep
/// a whole cluster from being looked after.
const AT_MOST: Duration = Duration::from_secs(15);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Settling {
    missing: Mutex<BTreeMap<TaskId, Look>>,
    stage: watch::Sender<Stage>,
}

/// How far a task is that is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// It was not looked at, or not all of it.
    Missing,
    /// It was, and its status is on its way to the store.
    Reported,
}

/// How far an agent is with what it found when it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Stage {
    /// The engine was not listed yet.
    #[default]
    Unlisted,
    /// It was, and tasks are waited for.
    Looking,
    /// Nothing is waited for any more.
    Settled,
}

/// Follows whether an agent is [settled](super::Agent::settled).
#[derive(Debug, Clone)]
pub struct Settled(watch::Receiver<Stage>);

impl Settled {
    /// Returns once it is; for ever pending where the agent ends before.
    pub async fn reached(mut self) {
        let ended = {
            let settled = self.0.wait_for(|stage| *stage == Stage::Settled).await;
            settled.is_err()
        };
        if ended {
            std::future::pending::<()>().await;
        }
    }
}

impl Settling {
    pub fn watch(&self) -> Settled {
        Settled(self.stage.subscribe())
    }

    /// The engine was listed, and these tasks are ordered here. Only the first list counts.
    pub fn begin(&self, tasks: impl IntoIterator<Item = TaskId>) {
        if *self.stage.borrow() != Stage::Unlisted {
            return;
        }
        self.lock()
            .extend(tasks.into_iter().map(|task| (task, Look::Missing)));
        self.stage.send_replace(Stage::Looking);
        self.check();
    }

    /// All of the task was looked at. Where there is `news` its status is handed over to be written, and waited for; as is
    /// one that was handed over before and is still on its way.
    pub fn looked_at(&self, task: &TaskId, news: bool) {
        if !news {
            self.drop_if(task, Look::Missing);
        } else if let Some(look) = self.lock().get_mut(task) {
            *look = Look::Reported;
        }
    }

    /// The newest status that was handed over is in the store.
    pub fn written(&self, task: &TaskId) {
        self.drop_if(task, Look::Reported);
    }

    /// Whether anything is still waited for.
    pub fn is_looking(&self) -> bool {
        *self.stage.borrow() == Stage::Looking
    }

    /// Gives up on what is missing some time after the first list.
    pub async fn give_up_in_time(&self) {
        let mut stage = self.stage.subscribe();
        if stage.wait_for(|s| *s != Stage::Unlisted).await.is_err() {
            return;
        }
        let settled = stage.wait_for(|s| *s == Stage::Settled);
        if tokio::time::timeout(AT_MOST, settled).await.is_ok() {
            return;
        }
        let missing = std::mem::take(&mut *self.lock());
        for (task, look) in missing {
            let what = match look {
                Look::Missing => "looked at",
                Look::Reported => "written down",
            };
            tracing::warn!(%task, "the task could not be {what} yet; going on with what was known of it before");
        }
        self.check();
    }

    fn drop_if(&self, task: &TaskId, look: Look) {
        let mut missing = self.lock();
        if missing.get(task) == Some(&look) {
            missing.remove(task);
            drop(missing);
            self.check();
        }
    }

    fn check(&self) {
        let nothing_missing = self.lock().is_empty();
        self.stage.send_if_modified(|stage| {
            let settles = *stage == Stage::Looking && nothing_missing;
            if settles {
                *stage = Stage::Settled;
            }
            settles
        });
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<TaskId, Look>> {
        self.missing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::FutureExt;

    use super::*;

    fn settling(tasks: &[&str]) -> Settling {
        let settling = Settling::default();
        settling.begin(tasks.iter().map(|task| TaskId::new(*task)));
        settling
    }

    fn is_settled(settling: &Settling) -> bool {
        settling.watch().reached().now_or_never().is_some()
    }

    #[test]
    fn nothing_is_settled_before_the_first_list_and_an_empty_list_settles_at_once() {
        assert!(!is_settled(&Settling::default()));
        assert!(is_settled(&settling(&[])));
    }

    #[test]
    fn a_task_counts_once_it_was_seen_unchanged_or_its_status_is_in_the_store() {
        let settling = settling(&["a", "b"]);
        settling.looked_at(&"a".into(), false);
        settling.looked_at(&"b".into(), true);
        // A second look finds nothing new, because the first one's status is still on its way.
        settling.looked_at(&"b".into(), false);
        assert!(!is_settled(&settling));
        settling.written(&"b".into());
        assert!(is_settled(&settling));
    }

    #[test]
    fn a_status_from_before_the_whole_task_was_seen_does_not_count() {
        let settling = settling(&["a"]);
        settling.written(&"a".into());
        assert!(!is_settled(&settling));
    }

    #[test]
    fn only_the_first_list_is_waited_for() {
        let settling = settling(&[]);
        settling.begin([TaskId::new("late")]);
        assert!(is_settled(&settling));
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_cannot_be_looked_at_is_waited_for_only_so_long() {
        let settling = Arc::new(settling(&["a"]));
        let watched = settling.watch();
        let started = tokio::time::Instant::now();
        let ((), ()) = tokio::join!(settling.give_up_in_time(), watched.reached());
        assert_eq!(started.elapsed(), AT_MOST);
    }
}
