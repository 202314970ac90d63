//! Which of several Longshores on one store leads: asking for the lead, standing by, keeping it, and noticing that it is gone.
//!
//! The leader keeps a session in etcd alive. While etcd does not answer it goes on: what it decides cannot be recorded, but its
//! agents keep the tasks as they are. It stands down once etcd says that its session is over. A process that was held up (SIGSTOP,
//! a machine that slept) does not know whether somebody else leads by now: until etcd has told it, its agents make no changing call
//! ([`Leadership::assured`]), and what it writes is refused by etcd in any case.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::StartError;
use crate::api::LeaderStatus;
use crate::clock::since_boot;
use crate::store::etcd::lead::Standing;
use crate::store::etcd::{Candidate, Leader, Session};
use crate::store::{Etcd, Revision, SharedStore};

/// How long a session outlives the last sign of its process: within this, and a little, another leads.
pub const TTL: Duration = Duration::from_secs(5);
/// How often the session is kept alive, and how long one attempt may take.
const KEEP: Duration = Duration::from_millis(1500);
/// For how long a command that does not stand by waits for a leader that may be dying.
const PATIENCE: Duration = Duration::from_secs(8);
/// At most this long between looks at who leads, should a watch say nothing.
const LOOK: Duration = Duration::from_secs(10);
/// Pause after etcd did not answer; doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How often it is looked whether a process that was held up may go on.
const ASSURED: Duration = Duration::from_millis(50);

/// The lead, for as long as it is had.
#[derive(Debug)]
pub struct Leadership {
    session: Session,
    candidate: Candidate,
    /// Why it is gone, once it is.
    lost: watch::Sender<Option<String>>,
    assurance: Assurance,
}

/// Since when nobody can lead in our place without etcd having said so to us.
#[derive(Debug)]
struct Assurance {
    /// When the last request began that counts, by `clock`.
    asked: Mutex<Duration>,
    /// Also goes on while the machine sleeps: sessions do.
    clock: fn() -> Duration,
}

impl Assurance {
    /// From now on.
    fn new(clock: fn() -> Duration) -> Self {
        Self {
            asked: Mutex::new(clock()),
            clock,
        }
    }

    fn now(&self) -> Duration {
        (self.clock)()
    }

    fn holds(&self) -> bool {
        self.now().saturating_sub(self.asked()) < TTL
    }

    /// The session stood when the request that began `at` was answered.
    fn confirmed(&self, at: Duration) {
        *self.lock() = at;
    }

    /// The request that began `at` was not answered: etcd is away, for whoever may want to lead as well. That is no news after a time
    /// in which nobody asked, as when the machine slept: then it may be only us whom it does not answer.
    fn unanswered(&self, at: Duration) {
        let mut asked = self.lock();
        if at.saturating_sub(*asked) < TTL {
            *asked = at;
        }
    }

    fn asked(&self) -> Duration {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Duration> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Leadership {
    fn new(session: Session, candidate: Candidate) -> Arc<Self> {
        Arc::new(Self {
            session,
            candidate,
            lost: watch::Sender::new(None),
            assurance: Assurance::new(since_boot),
        })
    }

    /// The store as the leader has it.
    pub fn store(&self) -> SharedStore {
        Arc::clone(self.session.store()) as SharedStore
    }

    /// The same, as what it is.
    pub fn etcd(&self) -> &Arc<Etcd> {
        self.session.store()
    }

    /// The leader's term: it rises with every leader.
    pub fn term(&self) -> Revision {
        self.session.term()
    }

    /// What the status says.
    pub fn status(&self) -> LeaderStatus {
        LeaderStatus {
            leading: !self.is_lost(),
            ..standing(&self.candidate)
        }
    }

    /// Keeps the session alive until `stop`, or until it is gone.
    pub async fn keep(self: Arc<Self>, stop: CancellationToken) {
        let mut beat = tokio::time::interval(KEEP);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut failures = 0_u32;
        let keep = async {
            loop {
                beat.tick().await;
                let begun = self.assurance.now();
                match self.session.keep_alive(KEEP).await {
                    Ok(Standing::Gone) => return,
                    Ok(Standing::Alive) => {
                        self.assurance.confirmed(begun);
                        if std::mem::take(&mut failures) > 0 {
                            tracing::info!("etcd answers again; still leading");
                        }
                    }
                    Err(error) => {
                        self.assurance.unanswered(begun);
                        failures += 1;
                        if failures == 2 {
                            tracing::warn!(
                                "{error}. Tasks are kept as they are; nothing new is decided until it answers"
                            );
                        }
                    }
                }
            }
        };
        if stop.run_until_cancelled(keep).await.is_some() {
            let why = "etcd has given up our session: another Longshore may lead by now";
            self.lost.send_replace(Some(why.to_owned()));
        }
    }

    fn is_lost(&self) -> bool {
        self.lost.borrow().is_some()
    }

    /// Returns once the lead is gone, with the reason.
    pub async fn lost(&self) -> String {
        let mut lost = self.lost.subscribe();
        let reason = lost.wait_for(Option::is_some).await;
        reason.ok().and_then(|why| why.clone()).unwrap_or_default()
    }

    /// Returns at once while the process goes on as it should; after it was held up for longer than a session lasts, once etcd has
    /// confirmed the session; and never when the lead is gone.
    pub async fn assured(&self) {
        loop {
            if self.is_lost() {
                return std::future::pending().await;
            }
            if self.assurance.holds() {
                return;
            }
            tokio::time::sleep(ASSURED).await;
        }
    }

    /// Gives the lead up, so that the next has it at once.
    pub async fn resign(&self) {
        if !self.is_lost() {
            self.session.resign().await;
        }
    }
}

/// What the status says of somebody who leads.
pub fn standing(candidate: &Candidate) -> LeaderStatus {
    LeaderStatus {
        leading: false,
        name: candidate.name.clone(),
        folder: candidate.folder.clone(),
        since: candidate.since,
    }
}

/// Asks for the lead until it is had, and tells `told` of everybody who has it in the meantime. Without `stand_by` it gives up on a
/// leader that lives.
///
/// # Errors
/// [`StartError::Other`] with who leads.
pub async fn win(
    etcd: &Arc<Etcd>,
    mut candidate: Candidate,
    now: impl Fn() -> crate::model::Timestamp,
    stand_by: bool,
    mut told: impl FnMut(&Leader),
) -> Result<Arc<Leadership>, StartError> {
    let begun = Instant::now();
    let mut known: Option<Revision> = None;
    let mut pause = FIRST_PAUSE;
    loop {
        let failed = match etcd.leader().await {
            Ok(Some(leader)) => {
                if known.replace(leader.term) != Some(leader.term) {
                    told(&leader);
                }
                if !stand_by && begun.elapsed() >= PATIENCE {
                    return Err(StartError::Other(led_by(&leader)));
                }
                let look = if stand_by { LOOK } else { KEEP };
                match tokio::time::timeout(look, etcd.until_leaderless(leader.term)).await {
                    Ok(Err(error)) => Some(error),
                    Ok(Ok(())) | Err(_) => None,
                }
            }
            Ok(None) => {
                candidate.since = now();
                match etcd.lead(&candidate, TTL).await {
                    Ok(Some(session)) => return Ok(Leadership::new(session, candidate)),
                    Ok(None) => None,
                    Err(error) => Some(error),
                }
            }
            Err(error) => Some(error),
        };
        match failed {
            None => pause = FIRST_PAUSE,
            Some(error) if !stand_by && begun.elapsed() >= PATIENCE => {
                return Err(StartError::Other(error.to_string()));
            }
            Some(error) => {
                if pause == FIRST_PAUSE {
                    tracing::warn!("{error}; trying again");
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// What whoever may not lead is told.
fn led_by(leader: &Leader) -> String {
    let Candidate {
        name,
        folder,
        since,
        ..
    } = &leader.candidate;
    format!(
        "{name} leads this store since {since}, with its folder {folder}, and applies what is in that. Change that folder, or stop \
         that Longshore first"
    )
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn a_machine_that_slept_longer_than_a_session_lasts_does_nothing_before_etcd_has_answered() {
        static NOW: AtomicU64 = AtomicU64::new(100);
        let second = |n| NOW.store(n, Ordering::SeqCst);
        let assurance = Assurance::new(|| Duration::from_secs(NOW.load(Ordering::SeqCst)));
        assert!(assurance.holds());
        // A request was under way when the machine went to sleep; its answer lay there when it woke.
        let begun = assurance.now();
        second(4000);
        assurance.confirmed(begun);
        assert!(!assurance.holds());
        // The network is not back yet, and somebody else may lead.
        assurance.unanswered(assurance.now());
        assert!(!assurance.holds());
        second(4002);
        assurance.confirmed(assurance.now());
        assert!(assurance.holds());
    }

    #[test]
    fn while_etcd_is_away_the_leader_that_goes_on_asking_goes_on() {
        static NOW: AtomicU64 = AtomicU64::new(100);
        let assurance = Assurance::new(|| Duration::from_secs(NOW.load(Ordering::SeqCst)));
        for _ in 0..20 {
            NOW.fetch_add(3, Ordering::SeqCst);
            assurance.unanswered(assurance.now());
            assert!(assurance.holds());
        }
        NOW.fetch_add(TTL.as_secs(), Ordering::SeqCst);
        assert!(!assurance.holds());
    }
}
