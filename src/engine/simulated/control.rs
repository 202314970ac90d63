//! What a test does to a simulated engine behind its API, and what it asks it afterwards.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::faults::Wrong;
use super::images::by_reference;
use super::state::Timer;
use super::{
    Behaviour, Cause, ChangingCall, FaultPlan, Habits, Operation, Probe, RegistryAnswer, SimEvent,
    SimImage, Simulated,
};
use crate::engine::{ErrorKind, ObservedContainer, ObservedNetwork, ObservedVolume};
use crate::model::Protocol;

impl Simulated {
    /// Puts an image on the engine.
    pub fn add_image(&self, reference: &str, image: SimImage) {
        self.with(|state| state.add_image(reference, image));
    }

    /// From its next start on, a container of that image behaves so.
    pub fn set_behaviour(&self, image: &str, behaviour: Behaviour) {
        self.with(|state| by_reference(&mut state.behaviours, image, behaviour));
    }

    /// From its next start on, every container behaves so.
    pub fn set_habits(&self, habits: Habits) {
        self.with(|state| state.habits = Some(habits));
    }

    /// From now on the registry answers so to a pull of that reference.
    pub fn set_registry(&self, reference: &str, answer: RegistryAnswer) {
        self.with(|state| by_reference(&mut state.registry, reference, answer));
    }

    /// Somebody pushes to the tag: the next pull brings another image.
    pub fn push(&self, reference: &str) {
        self.with(|state| {
            let reference = super::images::normalise(reference);
            *state.pushes.entry(reference).or_default() += 1;
        });
    }

    /// The next call of that kind fails and changes nothing.
    pub fn fail_next(&self, operation: Operation, kind: ErrorKind) {
        self.with(|state| state.faults.script(operation, Wrong::Fails(kind)));
    }

    /// The next call of that kind is done, and its answer is lost.
    pub fn lose_reply_next(&self, operation: Operation) {
        self.with(|state| state.faults.script(operation, Wrong::LosesReply));
    }

    /// The next call of that kind takes so much longer.
    pub fn slow_next(&self, operation: Operation, more: Duration) {
        self.with(|state| state.faults.script(operation, Wrong::IsSlow(more)));
    }

    /// From now on this goes wrong by itself.
    pub fn set_faults(&self, plan: FaultPlan) {
        self.with(|state| {
            let had = state.faults.plan().restart_every.is_some();
            let back_after = plan.restart_takes;
            state.faults.set_plan(plan);
            if !had && let Some(next) = state.faults.next_restart() {
                state.after(next, Timer::Restart { back_after });
            }
        });
    }

    /// From now on nothing goes wrong by itself.
    pub fn clear_faults(&self) {
        self.set_faults(FaultPlan::default());
    }

    /// The container's process ends with that code.
    pub fn kill_container(&self, container: &str, exit: i64) {
        self.with(|state| {
            if let Ok(id) = state.find(container) {
                state.kill(&id, exit, Cause::Injected);
            }
        });
    }

    /// The kernel kills the container for its memory.
    pub fn oom_container(&self, container: &str) {
        self.with(|state| {
            if let Ok(container) = state.container_mut(container)
                && container.is_running()
            {
                container.ending = Some(Cause::Injected);
                let id = container.id.clone();
                state.end_run_as(&id, 137, true);
            }
        });
    }

    /// Somebody else removes the container by force (`docker rm -f`), with the usual events, and it is gone at once.
    pub fn remove_behind_back(&self, container: &str) {
        self.with(|state| {
            if let Ok(id) = state.find(container) {
                state.kill(&id, 137, Cause::Injected);
                if let Ok(container) = state.container_mut(&id) {
                    container.ending = Some(Cause::Injected);
                }
                state.destroy(&id);
            }
        });
    }

    /// From now on every health check of the container finds this; `None`: what it would find by itself.
    pub fn set_health(&self, container: &str, probe: Option<Probe>) {
        self.with(|state| {
            if let Ok(container) = state.container_mut(container) {
                container.health.forced = probe;
            }
        });
    }

    /// The engine's process ends and comes back: every container ends, streams and calls are cut, and calls find nobody
    /// until it is back.
    pub fn restart_engine(&self, back_after: Duration) {
        self.with(|state| state.restart(back_after));
    }

    /// The engine's process is told to end, and comes back: it takes no new connections and asks every container to end, which
    /// may take `lasting`; who is connected hears of it. Then it is gone, as after [`restart_engine`](Self::restart_engine).
    pub fn shut_down_engine(&self, lasting: Duration, back_after: Duration) {
        self.with(|state| state.shut_down(lasting, back_after));
    }

    /// No call reaches the engine for that long; what runs goes on, and streams stay open.
    pub fn unreachable_for(&self, time: Duration) {
        self.with(|state| state.unreachable_until = Some(Instant::now() + time));
    }

    /// The network to the engine is cut for that long: calls find nobody, answers to calls that are under way and events are lost,
    /// and what was connected turns out to be dead once it is back. What runs goes on.
    pub fn cut_off_for(&self, time: Duration) {
        self.with(|state| state.cut_off(time));
    }

    /// From now on calls reach the engine again.
    pub fn reachable(&self) {
        self.with(|state| {
            state.unreachable_until = None;
            if state.cut_off_until.take().is_some() {
                state.events.cut();
            }
        });
    }

    /// Whether calls reach the engine.
    pub fn is_reachable(&self) -> bool {
        self.with(|state| state.is_reachable())
    }

    /// Every event stream ends.
    pub fn cut_events(&self) {
        self.with(|state| state.events.cut());
    }

    /// Every event stream stays open and says nothing more.
    pub fn silence_events(&self) {
        self.with(|state| state.events.silence());
    }

    /// Another program of the host listens on a port.
    pub fn occupy_port(&self, protocol: Protocol, port: u16) {
        self.with(|state| state.occupied_ports.insert((protocol, port)));
    }

    /// Every change of a container's state so far, in order.
    pub fn history(&self) -> Vec<SimEvent> {
        self.with(|state| state.history.events())
    }

    /// How many calls that change something have arrived.
    pub fn changing_calls(&self) -> u64 {
        self.calls()
            .iter()
            .filter(|(operation, _)| operation.is_changing())
            .map(|(_, count)| count)
            .sum()
    }

    /// The calls that change something, in the order of their arrival.
    pub fn changing_call_log(&self) -> Vec<ChangingCall> {
        self.with(|state| state.history.changing())
    }

    /// How many calls of each kind have arrived.
    pub fn calls(&self) -> BTreeMap<Operation, u64> {
        self.with(|state| state.history.calls())
    }

    /// Whether the container runs and has a network: `false` for one that joined another's namespace and outlived it.
    pub fn is_connected(&self, container: &str) -> bool {
        self.with(|state| match state.find(container) {
            Ok(id) => state.is_connected(&id),
            Err(_) => false,
        })
    }

    /// Every container there is, at no cost and with no fault.
    pub fn containers(&self) -> Vec<ObservedContainer> {
        self.with(|state| state.list_containers(&[]))
    }

    /// The environment of a container, `NAME=value` a line.
    pub fn environment(&self, container: &str) -> String {
        self.with(|state| {
            let env = state.container(container).map(|container| &container.env);
            let lines = env.into_iter().flatten();
            lines
                .map(|(name, value)| format!("{name}={value}\n"))
                .collect()
        })
    }

    /// Every network there is.
    pub fn networks(&self) -> Vec<ObservedNetwork> {
        self.with(|state| state.list_networks(&[]))
    }

    /// Every volume there is.
    pub fn volumes(&self) -> Vec<ObservedVolume> {
        self.with(|state| state.list_volumes(&[]))
    }
}
