//! One container instance of a cluster, kept going: its engine, its lease, its agent.
//!
//! The order is fixed: engine, lease, takeover of what a lost store left running, agent. When the lease ends (the engine
//! restarted, or somebody removed its container) the agent stops acting at once, and the round begins anew. Containers are
//! untouched by all of it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::takeover;
use crate::agent::{Agent, AgentConfig, Credentials, Tuning};
use crate::engine::credentials::{self, InstalledHelpers};
use crate::engine::endpoint::ProcessEnvironment;
use crate::engine::lease::{Lease, LeaseError};
use crate::engine::{EngineError, SharedEngine};
use crate::model::{ClusterSpec, InstanceSpec};

/// Pause between attempts to reach an engine.
const RETRY: Duration = Duration::from_secs(1);

/// How far an instance is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InstanceState {
    /// Its engine does not answer yet.
    Waiting(String),
    /// Another Longshore holds the cluster there.
    Held(String),
    /// It works.
    Ready,
}

/// One instance's supervisor.
pub struct InstanceRunner {
    pub shared: Arc<Shared>,
    pub cluster: ClusterSpec,
    pub instance: InstanceSpec,
    pub state: watch::Sender<InstanceState>,
}

impl InstanceRunner {
    /// Runs until `cancel`.
    pub async fn run(self, cancel: CancellationToken) {
        while !cancel.is_cancelled() {
            let ended = cancel.run_until_cancelled(self.round(&cancel)).await;
            match ended {
                None => return,
                Some(Ok(())) => {}
                Some(Err(state)) => {
                    self.say(state);
                    if cancel
                        .run_until_cancelled(tokio::time::sleep(RETRY))
                        .await
                        .is_none()
                    {
                        return;
                    }
                }
            }
        }
    }

    /// From connecting to the loss of the lease.
    async fn round(&self, cancel: &CancellationToken) -> Result<(), InstanceState> {
        let engine = self
            .connect()
            .await
            .map_err(|e| InstanceState::Waiting(e.to_string()))?;
        let name = self.cluster.name.as_str();
        let lease = match Lease::acquire(&engine, name, &self.shared.holder).await {
            Ok(lease) => lease,
            Err(error @ (LeaseError::HeldBy { .. } | LeaseError::NotALease { .. })) => {
                return Err(InstanceState::Held(error.to_string()));
            }
            Err(LeaseError::Engine(error)) => {
                return Err(InstanceState::Waiting(error.to_string()));
            }
        };
        let accounted_seq = takeover::run(&self.shared, &engine, &self.cluster, &self.instance)
            .await
            .map_err(InstanceState::Waiting)?;

        let stop = cancel.child_token();
        let (cluster, instance) = (&self.cluster.name, &self.instance.name);
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
        let mut agent = Agent::with_credentials(
            config,
            engine,
            Arc::clone(&self.shared.store),
            Arc::clone(&self.shared.view),
            epoch,
            Arc::clone(&self.shared.clock),
            self.shared.credentials.clone(),
        );
        if let Some(key) = &self.shared.endpoint_key {
            agent = agent.with_metadata(key.clone());
        }
        self.shared.pulls.of(cluster, instance, agent.pulls());
        let settled = agent.settled();
        // Until then the statuses in the store are those from before a crash: nobody may plan on them (P3).
        let ready = async {
            settled.reached().await;
            self.say(InstanceState::Ready);
            std::future::pending::<()>().await;
        };
        let mut agent = std::pin::pin!(agent.run(stop.clone()));
        tokio::select! {
            biased;
            () = ready => {}
            result = &mut agent => {
                let _ = lease.release().await;
                return result.map_err(|error| InstanceState::Waiting(error.to_string()));
            }
            () = lease.lost() => {
                tracing::warn!(cluster = %self.cluster.name, instance = %self.instance.name,
                    "the engine ended our lease (it restarted?); holding still until it is ours again");
                stop.cancel();
                let _ = agent.await;
            }
            () = cancel.cancelled() => {
                stop.cancel();
                let _ = agent.await;
                let _ = lease.release().await;
            }
        }
        Ok(())
    }

    async fn connect(&self) -> Result<SharedEngine, EngineError> {
        let engine = self.shared.engines.get(&self.instance.endpoint).await?;
        engine.info().await?;
        Ok(engine)
    }

    fn say(&self, state: InstanceState) {
        self.state.send_if_modified(|current| {
            if *current == state {
                return false;
            }
            match &state {
                InstanceState::Waiting(why) => {
                    tracing::warn!(cluster = %self.cluster.name, instance = %self.instance.name, "waiting for the engine: {why}");
                }
                InstanceState::Held(who) => {
                    tracing::error!(cluster = %self.cluster.name, instance = %self.instance.name, "{who}");
                }
                InstanceState::Ready => {
                    tracing::debug!(cluster = %self.cluster.name, instance = %self.instance.name, "ready");
                }
            }
            *current = state;
            true
        });
    }
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
