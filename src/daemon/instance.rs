//! One container instance of a cluster, kept going: its engine, its lease, its agent.
//!
//! The order is fixed: engine, lease, takeover of what a lost store left running, agent. When the lease ends (the engine
//! restarted, or somebody removed its container) the agent stops acting at once, and the round begins anew. Whoever is told to
//! end writes down what the agent knows, and gives the lease back. Containers are untouched by all of it.

use std::collections::BTreeMap;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::leash::leashed;
use super::takeover;
use crate::agent::{Agent, AgentConfig, Credentials, Tuning};
use crate::engine::credentials::{self, InstalledHelpers};
use crate::engine::endpoint::ProcessEnvironment;
use crate::engine::lease::{self, Lease, LeaseError};
use crate::engine::{EngineError, ErrorKind, SharedEngine};
use crate::model::{ClusterName, EngineEndpoint, Instance, InstanceId, InstanceSpec};
use crate::store::{Txn, keys};

/// Pause between attempts to reach an engine.
const RETRY: Duration = Duration::from_secs(1);
/// How long an instance that is new waits for one that its engine was before.
const ELDER_WITHIN: Duration = Duration::from_secs(15);
/// How long its registration may take to be seen once it works: it is written with the first statuses.
const REGISTERED_WITHIN: Duration = Duration::from_secs(5);
/// How long an agent's orderly end may take, the writing of its last report included.
const END_WITHIN: Duration = Duration::from_secs(5);
/// How long the engine may take to let go of a lease that is given back.
const RELEASE_WITHIN: Duration = Duration::from_secs(2);

/// How far an instance is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InstanceState {
    /// Nothing was tried yet.
    Starting,
    /// Its engine does not answer.
    Waiting(String),
    /// Waiting does not help: another Longshore holds the cluster there, or this user may not use the engine.
    Held(String),
    /// Its engine is another instance of the same cluster.
    Refused(String),
    /// Its engine is ours; what runs there is being looked at.
    Settling,
    /// It works.
    Ready,
}

impl InstanceState {
    /// Whether an attempt to get it to work has come to an end, good or bad.
    pub const fn is_known(&self) -> bool {
        !matches!(self, Self::Starting | Self::Settling)
    }
}

/// One instance's supervisor.
pub struct InstanceRunner {
    pub shared: Arc<Shared>,
    pub cluster: ClusterName,
    pub instance: InstanceSpec,
    pub state: watch::Sender<InstanceState>,
    /// Told of every change of `state`, before anything is done on the strength of it.
    pub changed: Box<dyn Fn() + Send + Sync>,
}

impl InstanceRunner {
    /// Runs until `cancel`. What begins may be left off anywhere; from when the agent runs, it ends in order.
    pub async fn run(self, cancel: CancellationToken) {
        let begun = Instant::now();
        while !cancel.is_cancelled() {
            let ended = match cancel.run_until_cancelled(self.begin(begun)).await {
                None => return,
                Some(Ok(at_work)) => self.work(at_work, &cancel).await,
                Some(Err(state)) => Err(state),
            };
            let Err(state) = ended else { continue };
            let pause = async {
                self.sign_off().await;
                self.say(state);
                // Time alone may open its cluster.
                (self.changed)();
                tokio::time::sleep(RETRY).await;
            };
            if cancel.run_until_cancelled(pause).await.is_none() {
                return;
            }
        }
    }

    /// From connecting to an agent that may begin.
    async fn begin(&self, begun: Instant) -> Result<AtWork, InstanceState> {
        let engine = self.connect().await.map_err(|error| {
            let never_worked = self.shared.api_engines.all().is_empty();
            unusable(&error, never_worked)
        })?;
        self.is_the_same(&engine).await?;
        let claim = self.claim(&engine, begun).await?;
        let name = self.cluster.as_str();
        let lease = match Lease::acquire(&engine, name, &self.shared.holder).await {
            Ok(lease) => lease,
            // We are behind the times, and are about to learn it from the store.
            Err(LeaseError::HeldBy { holder, .. }) if holder.succeeds(&self.shared.holder) => {
                return Err(InstanceState::Waiting(format!("{holder} leads by now")));
            }
            Err(error @ (LeaseError::HeldBy { .. } | LeaseError::NotALease { .. })) => {
                return Err(InstanceState::Held(error.to_string()));
            }
            Err(LeaseError::Engine(error)) => {
                return Err(InstanceState::Waiting(error.to_string()));
            }
        };
        claim.holds();
        self.say(InstanceState::Settling);
        let accounted_seq = takeover::run(&self.shared, &engine, &self.cluster, &self.instance)
            .await
            .map_err(InstanceState::Waiting)?;

        let (cluster, instance) = (&self.cluster, &self.instance.name);
        self.shared
            .api_engines
            .insert(cluster.clone(), instance.clone(), Arc::clone(&engine));
        let epoch = self
            .shared
            .store
            .acquire(&format!("agent/{cluster}/{instance}"))
            .await;
        let epoch = epoch.map_err(|e| InstanceState::Waiting(e.to_string()))?;
        let config = AgentConfig {
            owner: self.shared.owner.clone(),
            cluster: cluster.clone(),
            instance: self.instance.clone(),
            accounted_seq,
            folder: self.shared.folder.clone(),
            tuning: Tuning::default(),
        };
        let in_hand = match &self.shared.leadership {
            Some(leadership) => leashed(engine, Arc::clone(leadership)),
            None => engine,
        };
        let mut agent = Agent::with_credentials(
            config,
            in_hand,
            Arc::clone(&self.shared.store),
            Arc::clone(&self.shared.view),
            epoch,
            Arc::clone(&self.shared.clock),
            self.shared.credentials.clone(),
        );
        if let Some(secrets) = &self.shared.secrets {
            agent = agent.with_secrets(Arc::clone(secrets));
        }
        if let Some(key) = &self.shared.endpoint_key {
            agent = agent.with_metadata(key.clone(), Arc::new(self.shared.protections()));
        }
        self.shared.pulls.of(cluster, instance, agent.pulls());
        Ok(AtWork {
            agent,
            lease,
            _claim: claim,
        })
    }

    /// Until the agent may not go on, the lease is lost, or `cancel`. The agent ends first, then the lease: whoever has it next
    /// finds everything done and written down.
    async fn work(&self, at_work: AtWork, cancel: &CancellationToken) -> Result<(), InstanceState> {
        let AtWork {
            agent,
            lease,
            _claim,
        } = at_work;
        let settled = agent.settled();
        // Until then the statuses in the store are those from before a crash: nobody may plan on them (P3).
        let ready = async {
            settled.reached().await;
            // What is asked for from then on must find it.
            let _ = tokio::time::timeout(REGISTERED_WITHIN, self.registered()).await;
            self.say(InstanceState::Ready);
            std::future::pending::<()>().await;
        };
        let stop = CancellationToken::new();
        let mut agent = std::pin::pin!(agent.run(stop.clone()));
        let lost = tokio::select! {
            biased;
            () = ready => false,
            result = &mut agent => {
                self.release(lease).await;
                return result.map_err(|error| InstanceState::Waiting(error.to_string()));
            }
            () = lease.lost() => {
                tracing::warn!(cluster = %self.cluster, instance = %self.instance.name,
                    "the engine ended our lease (it restarted?); holding still until it is ours again");
                true
            }
            () = cancel.cancelled() => false,
        };
        stop.cancel();
        if tokio::time::timeout(END_WITHIN, agent).await.is_err() {
            tracing::warn!(cluster = %self.cluster, instance = %self.instance.name,
                "the agent did not end in time; what it left open is taken up at the next start");
        }
        if !lost {
            self.release(lease).await;
        }
        Ok(())
    }

    /// Lets go of the lease. With an engine that says nothing it ends a moment later, with its connection.
    async fn release(&self, lease: Lease) {
        let released = tokio::time::timeout(RELEASE_WITHIN, lease.release()).await;
        if !matches!(released, Ok(Ok(()))) {
            tracing::debug!(cluster = %self.cluster, instance = %self.instance.name, ?released,
                "the lease could not be given back; it ends with our connection");
        }
    }

    /// Refuses this machine's own engine as an instance whose tasks run on another machine's: where several share a store, each
    /// would take the other's tasks for gone, and start them a second time.
    async fn is_the_same(&self, engine: &SharedEngine) -> Result<(), InstanceState> {
        let shared = &self.shared;
        let local = self.instance.endpoint == EngineEndpoint::Local;
        if shared.leadership.is_none() || !local || shared.options.take_over {
            return Ok(());
        }
        let (cluster, name) = (&self.cluster, &self.instance.name);
        let known = {
            let state = shared.view.read();
            let mut tasks = state.tasks_of_instance(cluster, name);
            let alive = tasks.any(|(_, task)| task.status.as_ref().is_none_or(|s| !s.is_stopped()));
            let entry = state.instance(cluster, name);
            let known = entry.and_then(|entry| entry.instance.as_ref());
            known.filter(|_| alive).map(|known| known.engine_id.clone())
        };
        let info = engine.info().await;
        let found = info.map_err(|e| InstanceState::Waiting(e.to_string()))?.id;
        match known.filter(|known| !known.is_empty() && *known != found) {
            None => Ok(()),
            Some(known) => Err(InstanceState::Held(format!(
                "instance {name} of cluster {cluster} is the local engine of another machine ({known}), and its tasks run there; here it \
                 is {found}. Longshores on several machines name their engines by tcp:// or ssh:// in the Cluster manifest's \
                 containerInstances. --take-over makes this engine the instance, and starts its tasks here"
            ))),
        }
    }

    /// Returns once the view shows the instance as connected.
    async fn registered(&self) {
        let mut changes = self.shared.view.subscribe();
        let is_there = || {
            let state = self.shared.view.read();
            let entry = state.instance(&self.cluster, &self.instance.name);
            let known = entry.and_then(|entry| entry.instance.as_ref());
            known.is_some_and(|known| known.connected)
        };
        while !is_there() {
            if let Err(RecvError::Closed) = changes.recv().await {
                return;
            }
        }
    }

    /// Writes down that the instance is not connected, where the store still says that it is: its agent may not have lived to
    /// say so. Nobody then takes its tasks for healthy, and none of them is replaced.
    async fn sign_off(&self) {
        let (cluster, name) = (&self.cluster, &self.instance.name);
        let registered = |shared: &Shared| {
            let state = shared.view.read();
            let entry = state.instance(cluster, name)?;
            entry.instance.as_ref().map(|stored| (**stored).clone())
        };
        let Some(known) = registered(&self.shared).filter(|known| known.connected) else {
            return;
        };
        let write = async {
            let holder = format!("agent/{cluster}/{name}");
            let epoch = self.shared.store.acquire(&holder).await?;
            let away = Instance {
                connected: false,
                connected_at: self.shared.clock.now(),
                ..known
            };
            let key = keys::instance(cluster, name);
            let txn = Txn::new(&epoch).put_json(key, &away);
            txn.commit(&self.shared.store).await
        };
        match write.await {
            Ok(revision) => {
                let _ = self.shared.view.caught_up(revision).await;
            }
            Err(error) => tracing::warn!(%error, %cluster, instance = %name,
                "that the instance is away could not be written down"),
        }
    }

    /// Takes the engine for this instance of the cluster, as long as the claim is kept. One engine is one instance of a cluster
    /// at most, however it is reached: two agents would end each other's lease, and what is free would be counted twice.
    ///
    /// Engines of the same id need not be the same, because machines are cloned. That this very process holds the cluster there
    /// already is what tells.
    async fn claim(&self, engine: &SharedEngine, begun: Instant) -> Result<Claim, InstanceState> {
        let info = engine.info().await;
        let id = info.map_err(|e| InstanceState::Waiting(e.to_string()))?.id;
        let name = &self.instance.name;
        let key = (self.cluster.clone(), id);
        let rival = {
            let claims = claims(&self.shared);
            let others = claims.get(&key).into_iter().flatten();
            let mut others = others.filter(|(other, _)| *other != name);
            others.next().map(|(other, holds)| (other.clone(), *holds))
        };
        match rival {
            Some((other, false)) => {
                return Err(InstanceState::Waiting(format!(
                    "its engine has the id of {other}'s, which comes first"
                )));
            }
            Some((other, true)) => {
                let holder = lease::holder(engine.as_ref(), self.cluster.as_str()).await;
                let holder = holder.map_err(|e| InstanceState::Waiting(e.to_string()))?;
                if holder.as_ref() == Some(&self.shared.holder) {
                    return Err(InstanceState::Refused(format!(
                        "container instance {name} is the same engine as {other}, which has it: an engine is one instance of a \
                         cluster at most. Remove one of the two; or, if {name} is to be the new name of {other}, wait until \
                         {other} has given up its tasks, or call it {other} again"
                    )));
                }
                tracing::warn!(cluster = %self.cluster, instance = %name,
                    "its engine has the same id as {other}'s and is another: was the machine cloned? Remove the file engine-id \
                     below the engine's data root (before Docker 24: /etc/docker/key.json) and restart the engine");
            }
            None => {
                if let Some(elder) = self
                    .elder(&key.1)
                    .filter(|_| begun.elapsed() < ELDER_WITHIN)
                {
                    return Err(InstanceState::Waiting(format!(
                        "its engine has the id of {elder}'s, which comes first"
                    )));
                }
            }
        }
        let mut claims = claims(&self.shared);
        let of_engine = claims.entry(key.clone()).or_default();
        of_engine.insert(name.clone(), false);
        Ok(Claim {
            shared: Arc::clone(&self.shared),
            key,
            name: name.clone(),
        })
    }

    /// Another instance that the engine of that id was before this one was ever heard of.
    fn elder(&self, engine_id: &str) -> Option<InstanceId> {
        let state = self.shared.view.read();
        let registered = |id: &InstanceId| {
            let entry = state.instance(&self.cluster, id);
            entry.is_some_and(|entry| entry.instance.is_some())
        };
        if registered(&self.instance.name) {
            return None;
        }
        let mut all = state.instances_of_cluster(&self.cluster);
        let found = all.find(|(_, entry)| {
            let known = entry.instance.as_ref();
            known.is_some_and(|known| known.engine_id == engine_id)
        });
        found.map(|(id, _)| id.clone())
    }

    async fn connect(&self) -> Result<SharedEngine, EngineError> {
        let engine = self.shared.engines.get(&self.instance.endpoint).await?;
        engine.info().await?;
        Ok(engine)
    }

    fn say(&self, state: InstanceState) {
        let news = self.state.send_if_modified(|current| {
            if *current == state {
                return false;
            }
            match &state {
                InstanceState::Waiting(why) => {
                    tracing::warn!(cluster = %self.cluster, instance = %self.instance.name, "waiting for the engine: {why}");
                }
                InstanceState::Held(who) | InstanceState::Refused(who) => {
                    tracing::error!(cluster = %self.cluster, instance = %self.instance.name, "{who}");
                }
                InstanceState::Starting | InstanceState::Settling | InstanceState::Ready => {
                    tracing::debug!(cluster = %self.cluster, instance = %self.instance.name, ?state);
                }
            }
            *current = state;
            true
        });
        if news {
            (self.changed)();
        }
    }
}

/// An agent that may begin, and by what right.
struct AtWork {
    agent: Agent,
    lease: Lease,
    _claim: Claim,
}

/// An engine that is an instance of a cluster, until this is dropped.
struct Claim {
    shared: Arc<Shared>,
    key: (ClusterName, String),
    name: InstanceId,
}

impl Claim {
    /// The cluster is held there.
    fn holds(&self) {
        if let Some(of_engine) = claims(&self.shared).get_mut(&self.key) {
            of_engine.insert(self.name.clone(), true);
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut claims = claims(&self.shared);
        if let Some(of_engine) = claims.get_mut(&self.key) {
            of_engine.remove(&self.name);
            if of_engine.is_empty() {
                claims.remove(&self.key);
            }
        }
    }
}

/// Which instances the engines of an id are, by the cluster and that id, each with whether it holds the cluster there.
pub type Claims = BTreeMap<(ClusterName, String), BTreeMap<InstanceId, bool>>;

fn claims(shared: &Shared) -> MutexGuard<'_, Claims> {
    let claims = shared.claims.lock();
    claims.unwrap_or_else(PoisonError::into_inner)
}

/// What it means that an engine cannot be used. Missing rights do not mend themselves; but once one has worked, an engine that is
/// being restarted may be about to give its socket to its group.
fn unusable(error: &EngineError, never_worked: bool) -> InstanceState {
    if error.kind == ErrorKind::PermissionDenied && never_worked {
        return InstanceState::Held(format!(
            "{error}. `sudo usermod -aG docker $USER` puts you into the group, from the next login on"
        ));
    }
    InstanceState::Waiting(error.to_string())
}

/// What `docker pull` would show a registry: `~/.docker/config.json` and its helpers, read anew for each pull. Trouble with them
/// is said and the pull goes on without: the registry's own answer tells whether they were needed.
pub fn docker_credentials() -> Credentials {
    Arc::new(|image| {
        Box::pin(async move {
            match credentials::for_image(&image, &ProcessEnvironment, &InstalledHelpers::default())
                .await
            {
                Ok(found) => found,
                Err(error) => {
                    tracing::warn!("no credentials for {image}: {error}");
                    None
                }
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_rights_at_the_start_are_not_waited_for_with_what_to_do() {
        let failed = |kind| EngineError::new("connect", "unix:///run/docker.sock", kind, "no");
        let denied = failed(ErrorKind::PermissionDenied);
        let InstanceState::Held(why) = unusable(&denied, true) else {
            panic!("it would wait for ever");
        };
        assert!(why.contains("usermod -aG docker"), "{why}");
        assert!(matches!(
            unusable(&denied, false),
            InstanceState::Waiting(_)
        ));
        let absent = failed(ErrorKind::Unreachable);
        assert!(matches!(unusable(&absent, true), InstanceState::Waiting(_)));
    }
}
