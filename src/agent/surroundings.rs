//! What all tasks of an instance share on its engine: the cluster's network and the pause image. Made when the first task
//! needs them, by one caller while the others wait.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::{Mutex, Notify};

use crate::engine::translate::{self, names};
use crate::engine::{
    EngineError, EngineResult, ErrorKind, ObservedNetwork, SharedEngine, labels, pause,
};
use crate::model::{ClusterName, InstanceId};

/// Something that is there once it was made.
#[derive(Debug, Default)]
pub(super) struct Once {
    ready: AtomicBool,
    making: Mutex<()>,
    doubts: AtomicU64,
    doubted: Notify,
}

impl Once {
    /// Whether it is known to be there.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// It may be gone.
    pub fn forget(&self) {
        self.ready.store(false, Ordering::Release);
        self.doubts.fetch_add(1, Ordering::AcqRel);
        self.doubted.notify_one();
    }

    /// How often it was forgotten. What was found out about it before is true as long as this does not change.
    pub fn doubts(&self) -> u64 {
        self.doubts.load(Ordering::Acquire)
    }

    /// Returns when it was forgotten since the last call. For one caller.
    pub async fn doubted(&self) {
        self.doubted.notified().await;
    }

    async fn ensure(&self, make: impl Future<Output = EngineResult<()>>) -> EngineResult<()> {
        let _turn = self.making.lock().await;
        if !self.is_ready() {
            make.await?;
            self.ready.store(true, Ordering::Release);
        }
        Ok(())
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Surroundings {
    engine: SharedEngine,
    cluster: ClusterName,
    owner: String,
    instance: InstanceId,
    pub network: Once,
    pub pause_image: Once,
}

impl Surroundings {
    pub fn new(
        engine: SharedEngine,
        cluster: ClusterName,
        owner: String,
        instance: InstanceId,
    ) -> Self {
        Self {
            engine,
            cluster,
            owner,
            instance,
            network: Once::default(),
            pause_image: Once::default(),
        }
    }

    /// The network's name.
    pub fn network_name(&self) -> String {
        names::network(&self.cluster, &self.owner)
    }

    /// Adopts the cluster's network, or creates it.
    ///
    /// # Errors
    /// The engine's; `NameConflict` where a network of somebody else has its name.
    pub async fn ensure_network(&self) -> EngineResult<()> {
        self.network.ensure(self.make_network()).await
    }

    /// Looks whether the network is there, and creates nothing.
    ///
    /// # Errors
    /// The engine's.
    pub async fn look_for_network(&self) -> EngineResult<()> {
        if self.has_network().await? {
            self.network.ready.store(true, Ordering::Release);
        } else {
            self.network.forget();
        }
        Ok(())
    }

    async fn has_network(&self) -> EngineResult<bool> {
        Ok(self.find_network().await?.is_some())
    }

    /// The cluster's network, if it is there.
    ///
    /// # Errors
    /// The engine's.
    pub async fn find_network(&self) -> EngineResult<Option<ObservedNetwork>> {
        let ours = [
            (labels::OWNER.to_owned(), self.owner.clone()),
            (labels::CLUSTER.to_owned(), self.cluster.to_string()),
        ];
        let name = self.network_name();
        let found = self.engine.list_networks(&ours).await?;
        Ok(found.into_iter().find(|network| network.name == name))
    }

    async fn make_network(&self) -> EngineResult<()> {
        if self.has_network().await? {
            return Ok(());
        }
        let body = translate::network_body(&self.cluster, &self.owner, &self.instance);
        match self.engine.create_network(&body).await {
            Ok(_) => Ok(()),
            // Made meanwhile, or by a call whose answer was lost.
            Err(error)
                if error.kind == ErrorKind::NameConflict || error.kind.may_have_been_applied() =>
            {
                if self.has_network().await? {
                    Ok(())
                } else {
                    Err(error)
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Adopts the pause image, or imports it.
    ///
    /// # Errors
    /// The engine's; `Unsupported` on an architecture without a pause program.
    pub async fn ensure_pause_image(&self, architecture: &str) -> EngineResult<()> {
        let make = async {
            pause::ensure_for(self.engine.as_ref(), architecture)
                .await
                .map(|_| ())
                .map_err(|error| EngineError {
                    operation: "import the pause image",
                    ..error
                })
        };
        self.pause_image.ensure(make).await
    }
}
