//! What decides and acts: the controller, and the instances of all clusters, fed with readings of the folder. It is all of a
//! daemon but its state directory, its socket and its way to the folder, so that the simulation runs the very same.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::clusters::Clusters;
use super::control::DaemonControl;
use super::leader::Leadership;
use super::pulls::Pulls;
use super::{Engines, Options, Shared, folder};
use crate::agent::{Credentials, EndpointKey};
use crate::api;
use crate::clock::{SharedClock, SharedIds};
use crate::controller::Controller;
use crate::engine::lease::Holder;
use crate::manifest::source::Scan;
use crate::secrets::Secrets;
use crate::store::{Redb, Revision, SharedStore, StoreError, View};

/// What a [`Core`] is made of.
pub struct Parts {
    /// What to run; only how to read the folder concerns a core.
    pub options: Options,
    /// The state directory's id, 16 hexadecimal digits.
    pub owner: String,
    /// The folder, as an absolute path.
    pub folder: PathBuf,
    /// The time.
    pub clock: SharedClock,
    /// Ids of new tasks.
    pub ids: SharedIds,
    /// The state.
    pub store: SharedStore,
    /// The same, where it is a file.
    pub file: Option<Arc<Redb>>,
    /// What is seen of the store; it has listed it.
    pub view: Arc<View>,
    /// The revision at which the store was found, before this process wrote anything.
    pub found_at: Revision,
    /// Where the instances' engines are.
    pub engines: Engines,
    /// In whose name clusters are held.
    pub holder: Holder,
    /// Where registry credentials come from.
    pub credentials: Option<Credentials>,
    /// What the ids of the tasks' metadata endpoints are made from; `None`: tasks have none.
    pub endpoint_key: Option<EndpointKey>,
    /// Where secrets come from; `None`: from the clusters' providers.
    pub secrets: Option<Arc<Secrets>>,
    /// The lead, where others may have it; `None` where nobody else can open the store.
    pub leadership: Option<Arc<Leadership>>,
}

/// See the [module's documentation](self).
pub struct Core {
    pub(super) shared: Arc<Shared>,
    pub(super) clusters: Arc<Clusters>,
}

impl Core {
    /// Becomes the store's controller. Nothing runs yet.
    ///
    /// # Errors
    /// The store's.
    pub async fn new(parts: Parts) -> Result<Self, StoreError> {
        let epoch = parts.store.acquire("controller").await?;
        let controller = Controller::new(
            Arc::clone(&parts.store),
            Arc::clone(&parts.view),
            epoch,
            Arc::clone(&parts.clock),
            parts.ids,
        );
        let shared = Arc::new(Shared {
            options: parts.options,
            owner: parts.owner,
            folder: parts.folder,
            clock: parts.clock,
            store: parts.store,
            file: parts.file,
            view: parts.view,
            found_at: parts.found_at,
            taken_over: Mutex::default(),
            claims: Mutex::default(),
            engines: parts.engines,
            api_engines: api::Engines::default(),
            holder: parts.holder,
            credentials: parts.credentials,
            endpoint_key: parts.endpoint_key,
            secrets: parts.secrets,
            leadership: parts.leadership,
            status: watch::Sender::default(),
            controller,
            removing: CancellationToken::new(),
            reading: tokio::sync::Mutex::default(),
            shutdown: CancellationToken::new(),
            pulls: Pulls::default(),
            fatal: watch::Sender::new(None),
        });
        let clusters = Arc::new(Clusters::new(Arc::clone(&shared)));
        Ok(Self { shared, clusters })
    }

    /// Starts the controller. It decides nothing before [`follow`](Self::follow) has brought it a folder, and that only
    /// after what runs in the folder's clusters is known.
    pub fn start(&self, parts: &TaskTracker, stop: &CancellationToken) {
        parts.spawn(Arc::clone(&self.clusters).tidy(stop.clone()));
        let (shared, stop) = (Arc::clone(&self.shared), stop.clone());
        parts.spawn(async move {
            if let Err(error) = shared.controller.run(stop).await {
                shared.fatal.send_replace(Some(error.to_string()));
            }
        });
    }

    /// Follows readings of the folder until `stop`, or until there are no more.
    pub fn follow(
        &self,
        scans: mpsc::Receiver<Scan>,
        stop: CancellationToken,
    ) -> impl Future<Output = ()> + Send + use<> {
        let (shared, clusters) = (Arc::clone(&self.shared), Arc::clone(&self.clusters));
        folder::follow(shared, clusters, scans, stop)
    }

    /// What answers for it on a socket.
    pub fn control(&self) -> Arc<dyn api::Control> {
        let (shared, clusters) = (Arc::clone(&self.shared), Arc::clone(&self.clusters));
        Arc::new(DaemonControl::new(shared, clusters))
    }

    /// What is known of the folder.
    pub fn folder_status(&self) -> watch::Receiver<api::FolderStatus> {
        self.shared.status.subscribe()
    }

    /// Why everything must end, once it must.
    pub fn fatal(&self) -> watch::Receiver<Option<String>> {
        self.shared.fatal.subscribe()
    }
}
