//! What is on the other side of the process: engines, store, folder, clock.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use longshore::clock::{SharedClock, SharedIds};
use longshore::engine::simulated::Simulated;
use longshore::manifest::watch::WatchOptions;
use longshore::manifest::watch::simulated::{Noticed, SimFolder};
use longshore::model::EngineEndpoint;
use longshore::secrets::Secrets;
pub use longshore::simulate::process::OWNER;
use longshore::simulate::process::{self, Process};
use longshore::store::{Memory, SharedStore, StoreError};
use tokio::sync::Notify;

use super::dice::Dice;
use super::folder::{Folder, SECRET};
use super::oracles::engines::RIVAL;
use super::order::{Jumpy, Order};
use super::record::Record;
use super::store::{FaultyStore, Kept, Refused};

/// Where the folder is.
pub const ROOT: &str = "/sim/manifests";

/// What outlives every process.
pub struct Outside {
    pub engines: Vec<(String, Arc<Simulated>)>,
    pub kept: Kept,
    pub clock: SharedClock,
    /// The clock of Longshore's machine.
    pub jumpy: Arc<Jumpy>,
    pub ids: SharedIds,
    pub record: Arc<Record>,
    pub order: Arc<Order>,
    pub dice: Dice,
    pub refused: Arc<Refused>,
    /// Told when the power is gone.
    pub dark: Arc<Notify>,
    pub folder: SimFolder,
    /// The store as the newest process opened it.
    pub store: Mutex<Option<SharedStore>>,
}

impl Outside {
    /// Starts a process. Of a thousand of its commits so many fail.
    ///
    /// # Errors
    /// The store cannot be opened.
    pub fn start(&self, store_faults: u64) -> Result<Process, StoreError> {
        let opened = self.kept.open()?;
        *self.store.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&opened));
        let store = FaultyStore {
            inner: opened,
            disk: match &self.kept {
                Kept::Memory(_) => None,
                Kept::Disk(disk) => Some(disk.clone()),
            },
            dark: Arc::clone(&self.dark),
            record: Arc::clone(&self.record),
            dice: self.dice.clone(),
            faults: store_faults,
            refused: Arc::clone(&self.refused),
        };
        let engines = self.endpoints();
        let outside = process::Outside {
            engines: &engines,
            store: Arc::new(store),
            clock: Arc::clone(&self.jumpy) as SharedClock,
            ids: Arc::clone(&self.ids),
            owner: OWNER,
            secrets: Some(secrets()),
            warden: Some(Arc::clone(&self.order) as _),
        };
        Ok(Process::follow(&outside, ROOT.into(), |end| {
            self.folder.watch(WatchOptions::default(), end)
        }))
    }

    /// The store, past all faults.
    pub fn opened(&self) -> Option<SharedStore> {
        self.store
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Starts another Longshore for what `folder` says, with a state of its own.
    pub fn start_rival(&self, folder: &Folder) -> Process {
        let engines = self.endpoints();
        let outside = process::Outside {
            engines: &engines,
            store: Memory::new(),
            clock: Arc::clone(&self.clock),
            ids: Arc::clone(&self.ids),
            owner: RIVAL,
            secrets: Some(secrets()),
            warden: None,
        };
        let theirs = SimFolder::new(Path::new("/sim/elsewhere"));
        for (name, text) in folder.files() {
            theirs.replace(&name, &text, Noticed::Told);
        }
        Process::follow(&outside, "/sim/elsewhere".into(), |end| {
            theirs.watch(WatchOptions::default(), end)
        })
    }

    fn endpoints(&self) -> Vec<(EngineEndpoint, Arc<Simulated>)> {
        let at = |(name, engine): &(String, Arc<Simulated>)| {
            let endpoint = EngineEndpoint::Address(Folder::address(name));
            (endpoint, Arc::clone(engine))
        };
        self.engines.iter().map(at).collect()
    }
}

fn secrets() -> Arc<Secrets> {
    let variables = Arc::new(|_: &str| Some(SECRET.to_owned()));
    Arc::new(Secrets::with_variables(ROOT.into(), variables))
}
