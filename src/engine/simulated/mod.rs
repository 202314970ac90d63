//! A Docker Engine that exists only in memory: its state machine, its error kinds, its events and its time, and whatever can go
//! wrong with it.
//!
//! Time is tokio's. In the product (`longshore run --engine simulated`) it is real; under `tokio::time::pause` it is virtual,
//! and a run is a function of its seeds. What a container's process does is decided by [`behaviour`] and [`shell`];
//! what goes wrong by a [`FaultPlan`] or, for one call, by a test ([`Simulated::fail_next`] and its neighbours in
//! `control`). [`Simulated::history`] tells afterwards what happened.
//!
//! The conformance tests in `tests/engine_conformance.rs` run on this engine and on a real one: where the two differ, this
//! one is wrong. Known to be left out: networks other than bridges, resource limits (memory ends a container only where its
//! behaviour says so), files shared through volumes, and everything a registry does but answer.
//!
//! A call that changes something goes on when its caller is dropped, as a request that was sent does; a read and a pull do
//! not.

pub mod behaviour;
mod containers;
mod control;
mod engine;
mod events;
pub mod faults;
mod health;
pub mod history;
pub mod images;
mod networks;
mod output;
pub mod process;
mod run;
pub mod shell;
mod state;
mod stats;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub use behaviour::{Behaviour, HINT, Habits, Probe, Run};
pub use faults::{FaultPlan, Operation};
pub use history::{Cause, ChangingCall, SimEvent, SimEventKind};
pub use images::{RegistryAnswer, SimImage};
pub use process::OnTerm;

use self::faults::Wrong;
use self::state::{Answer, State};
use super::{EngineError, EngineResult, ErrorKind};
use crate::clock::{SharedClock, SharedIds};

/// How long callers wait for an answer that does not come.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a simulated engine is like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimOptions {
    /// Its id; stays over restarts.
    pub id: String,
    /// Its host's name.
    pub name: String,
    /// Docker's name for the architecture.
    pub architecture: String,
    /// Logical CPUs.
    pub cpus: u32,
    /// Bytes of memory.
    pub memory: u64,
    /// What the faults are a function of.
    pub seed: u64,
    /// Networks that it has addresses for, the default one included (a real one has about 31).
    pub max_networks: usize,
    /// How long a pull takes where nothing else was said.
    pub pull_time: Duration,
    /// How long a call takes that only reads.
    pub read_time: Duration,
    /// How long a call takes that changes something.
    pub change_time: Duration,
    /// How long the start of a container takes; `None`: twice what other changes take.
    pub start_time: Option<Duration>,
}

impl Default for SimOptions {
    fn default() -> Self {
        Self {
            id: "SIMU:LATE:DENG:INE0".to_owned(),
            name: "simulated".to_owned(),
            architecture: "amd64".to_owned(),
            cpus: 4,
            memory: 16 << 30,
            seed: 0,
            max_networks: 31,
            pull_time: Duration::from_secs(2),
            read_time: Duration::from_millis(2),
            change_time: Duration::from_millis(30),
            start_time: None,
        }
    }
}

struct Shared {
    state: Mutex<State>,
    /// Something was scheduled.
    scheduled: Arc<Notify>,
}

impl Shared {
    /// Looks at, or changes, everything at once; what is due happens first.
    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.settle();
        let result = f(&mut state);
        drop(state);
        self.scheduled.notify_one();
        result
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.scheduled.notify_one();
    }
}

/// A simulated engine. See the [module's documentation](self).
pub struct Simulated {
    shared: Arc<Shared>,
}

impl fmt::Debug for Simulated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Simulated")
    }
}

impl Simulated {
    /// An engine with nothing on it. Must be called on a tokio runtime, which also moves the engine's time.
    pub fn new(clock: SharedClock, ids: SharedIds, options: SimOptions) -> Arc<Self> {
        let scheduled = Arc::new(Notify::new());
        let shared = Arc::new(Shared {
            state: Mutex::new(State::new(clock, ids, options)),
            scheduled: Arc::clone(&scheduled),
        });
        tokio::spawn(beat(Arc::downgrade(&shared), scheduled));
        Arc::new(Self { shared })
    }

    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        self.shared.with(f)
    }

    /// Its host's name.
    pub fn name(&self) -> String {
        self.with(|state| state.options.name.clone())
    }

    /// A call that reads: it takes its time, then sees what is there.
    async fn read<T>(
        &self,
        operation: Operation,
        target: &str,
        f: impl FnOnce(&mut State) -> Answer<T> + Send,
    ) -> EngineResult<T> {
        let call = Call::arrive(&self.shared, operation, target)?;
        call.wait(self.with(|state| state.options.read_time))
            .await?;
        let result = call.answer(self.with(f));
        call.reply(&self.shared, result).await
    }

    /// A call that changes something: once it was sent, it is done, whether anybody waits for the answer or not.
    async fn change<T: Send + 'static>(
        &self,
        operation: Operation,
        target: &str,
        f: impl FnOnce(&mut State) -> Answer<T> + Send + 'static,
    ) -> EngineResult<T> {
        self.change_then(operation, target, f, async |_, _, value| Ok(value))
            .await
    }

    /// [`Simulated::change`] with something to wait for before the answer.
    async fn change_then<T, U, F, Then, Waits>(
        &self,
        operation: Operation,
        target: &str,
        f: F,
        then: Then,
    ) -> EngineResult<U>
    where
        T: Send + 'static,
        U: Send + 'static,
        F: FnOnce(&mut State) -> Answer<T> + Send + 'static,
        Then: FnOnce(Arc<Shared>, Arc<Call>, T) -> Waits + Send + 'static,
        Waits: Future<Output = EngineResult<U>> + Send + 'static,
    {
        let call = Arc::new(Call::arrive(&self.shared, operation, target)?);
        let shared = Arc::clone(&self.shared);
        let time = self.with(|state| {
            let options = &state.options;
            match operation {
                Operation::StartContainer => options.start_time.unwrap_or(options.change_time * 2),
                _ => options.change_time,
            }
        });
        let failed = call.error(ErrorKind::Unknown, "the engine failed");
        let done = tokio::spawn(async move {
            call.wait(time).await?;
            let value = call.answer(shared.with(f))?;
            let result = then(Arc::clone(&shared), Arc::clone(&call), value).await;
            call.reply(&shared, result).await
        });
        done.await.unwrap_or(Err(failed))
    }
}

/// One call on its way through the engine.
struct Call {
    operation: Operation,
    target: String,
    wrong: Option<Wrong>,
    /// Ends when the engine restarts.
    generation: CancellationToken,
}

impl Call {
    /// The call reaches the engine, or does not.
    fn arrive(shared: &Arc<Shared>, operation: Operation, target: &str) -> EngineResult<Self> {
        let (reachable, wrong, generation) = shared.with(|state| {
            let (at, _) = state.stamp();
            state.history.count(at, operation, target);
            let reachable =
                state.is_reachable() && !(state.closing && operation == Operation::Greet);
            let wrong = reachable.then(|| state.faults.of_call(operation)).flatten();
            (reachable, wrong, state.generation.clone())
        });
        let call = Self {
            operation,
            target: target.to_owned(),
            wrong,
            generation,
        };
        if !reachable {
            return Err(call.error(
                ErrorKind::Unreachable,
                "Cannot connect to the Docker daemon. Is the docker daemon running?",
            ));
        }
        if call.wrong == Some(Wrong::Fails(ErrorKind::Unreachable)) {
            return Err(call.error(ErrorKind::Unreachable, "connection refused"));
        }
        Ok(call)
    }

    fn error(&self, kind: ErrorKind, message: impl Into<String>) -> EngineError {
        EngineError::new(self.operation.as_str(), self.target.clone(), kind, message)
    }

    /// The time that it takes. A restart of the engine cuts it.
    async fn wait(&self, time: Duration) -> EngineResult<()> {
        let more = match self.wrong {
            Some(Wrong::IsSlow(more)) => more,
            _ => Duration::ZERO,
        };
        tokio::select! {
            biased;
            () = self.generation.cancelled() => return Err(self.cut()),
            () = tokio::time::sleep(time + more) => {}
        }
        match self.wrong {
            Some(Wrong::Fails(kind)) => {
                Err(self.error(kind, "a fault of the simulated engine, nothing was done"))
            }
            Some(Wrong::Hangs { done: false }) => Err(self.hang().await),
            _ => Ok(()),
        }
    }

    /// Nothing comes back, until whoever called has waited long enough.
    async fn hang(&self) -> EngineError {
        tokio::select! {
            biased;
            () = self.generation.cancelled() => self.cut(),
            () = tokio::time::sleep(PATIENCE) => self.error(
                ErrorKind::TimedOut,
                format!("no answer within {} seconds", PATIENCE.as_secs()),
            ),
        }
    }

    fn cut(&self) -> EngineError {
        self.error(ErrorKind::Unknown, "unexpected EOF: the engine went away")
    }

    fn answer<T>(&self, answer: Answer<T>) -> EngineResult<T> {
        answer.map_err(|refusal| self.error(refusal.kind, refusal.message))
    }

    /// The answer, if it arrives.
    async fn reply<T>(&self, shared: &Shared, result: EngineResult<T>) -> EngineResult<T> {
        match self.wrong {
            Some(Wrong::LosesReply) => {
                Err(self.error(ErrorKind::Unknown, "unexpected EOF: the reply was lost"))
            }
            Some(Wrong::FailsDone) => Err(self.error(
                ErrorKind::Unknown,
                "500: a fault of the simulated engine, and it was done",
            )),
            Some(Wrong::Hangs { .. }) => Err(self.hang().await),
            _ if shared.with(|state| state.is_cut_off()) => Err(self.hang().await),
            _ => result,
        }
    }
}

/// Moves the engine's time: wakes at the next timer, or when one is scheduled.
async fn beat(shared: Weak<Shared>, scheduled: Arc<Notify>) {
    loop {
        let Some(alive) = shared.upgrade() else {
            return;
        };
        let next = {
            let mut state = alive.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.settle();
            state.next_timer()
        };
        drop(alive);
        match next {
            Some(at) => {
                tokio::select! {
                    biased;
                    () = scheduled.notified() => {}
                    () = tokio::time::sleep_until(at) => {}
                }
            }
            None => scheduled.notified().await,
        }
    }
}
