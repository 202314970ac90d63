//! Whether an engine that says something goes on, or says it on its way down.
//!
//! An engine that is told to end takes no new connections from then on, ends its containers, and goes on answering on the
//! connections that it has until it is gone. What it says of ends and failures in that time is true and misleading: nothing is
//! wrong with the tasks. So it is believed once the engine has answered a new connection after it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::engine::{Engine, EngineError, EngineResult, EngineRun, ErrorKind};
use crate::model::Timestamp;

/// Asks for all who want to know at a time with one greeting.
#[derive(Debug, Default)]
pub(super) struct Greeting {
    /// Rises with everybody who wants to know.
    asked: AtomicU64,
    /// Everybody up to this one was answered.
    answered: tokio::sync::Mutex<u64>,
    /// The run that was listed.
    run: Mutex<EngineRun>,
}

impl Greeting {
    /// When the run of the engine began that is being watched, if it tells.
    pub fn began(&self) -> Option<Timestamp> {
        self.known().began
    }

    /// Takes up which run answers now. Called before everything is listed.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn begin(&self, engine: &dyn Engine) -> EngineResult<()> {
        let run = answer_of(engine).await?;
        *self.run.lock().unwrap_or_else(PoisonError::into_inner) = run.unwrap_or_default();
        Ok(())
    }

    /// Whether the engine goes on, after everything that it has said so far.
    ///
    /// # Errors
    /// `Unreachable` where it does not, or where that cannot be seen: what it said means nothing then, or not yet.
    pub async fn confirm(&self, engine: &dyn Engine) -> EngineResult<()> {
        let mine = self.asked.fetch_add(1, Ordering::AcqRel) + 1;
        let mut answered = self.answered.lock().await;
        if *answered >= mine {
            return Ok(());
        }
        let all = self.asked.load(Ordering::Acquire);
        let gone = |target: &str, why: &str| {
            EngineError::new("greet", target, ErrorKind::Unreachable, why)
        };
        match answer_of(engine).await {
            Ok(Some(run)) if run != self.known() => {
                return Err(gone("the engine", "it was restarted a moment ago"));
            }
            Ok(_) => {}
            Err(error) => return Err(gone(&error.target, &error.message)),
        }
        *answered = all;
        Ok(())
    }

    fn known(&self) -> EngineRun {
        *self.run.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which run answers; `None` where one does and does not let itself be asked.
async fn answer_of(engine: &dyn Engine) -> EngineResult<Option<EngineRun>> {
    match engine.greet().await {
        Ok(run) => Ok(Some(run)),
        Err(error) => match error.kind {
            ErrorKind::Unreachable | ErrorKind::TimedOut | ErrorKind::Unknown => Err(error),
            _ => Ok(None),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::clock::{SeededIds, TokioClock};
    use crate::engine::simulated::{Operation, SimOptions, Simulated};

    fn engine() -> Arc<Simulated> {
        let clock = TokioClock::starting_at(Timestamp::from_millis(1_800_000_000_000));
        Simulated::new(clock, SeededIds::new(1), SimOptions::default())
    }

    #[tokio::test(start_paused = true)]
    async fn what_an_engine_says_while_it_goes_down_is_not_confirmed_before_it_is_back() {
        let engine = engine();
        let greeting = Greeting::default();
        greeting.begin(&*engine).await.expect("it answers");
        assert!(greeting.confirm(&*engine).await.is_ok());
        engine.shut_down_engine(Duration::from_secs(10), Duration::from_secs(5));
        assert!(engine.info().await.is_ok(), "who is connected is answered");
        let refused = greeting.confirm(&*engine).await.expect_err("going down");
        assert_eq!(refused.kind, ErrorKind::Unreachable);
        tokio::time::sleep(Duration::from_secs(20)).await;
        let other = greeting.confirm(&*engine).await.expect_err("another run");
        assert_eq!(other.kind, ErrorKind::Unreachable);
        greeting.begin(&*engine).await.expect("it is back");
        assert!(greeting.confirm(&*engine).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn everybody_who_asks_at_a_time_is_answered_by_one_greeting() {
        let engine = engine();
        let greeting = Greeting::default();
        greeting.begin(&*engine).await.expect("it answers");
        let asking = (0..40).map(|_| greeting.confirm(&*engine));
        let answers = futures_util::future::join_all(asking).await;
        assert!(answers.iter().all(Result::is_ok));
        // The one that was under way when the others came, and one for all of them.
        assert!(engine.calls()[&Operation::Greet] <= 3);
    }
}
