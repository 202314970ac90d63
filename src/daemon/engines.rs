//! Which engine stands behind an endpoint.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::clock::{SharedClock, SharedIds};
use crate::engine::docker::{DockerEngine, Limits};
use crate::engine::endpoint::{ProcessEnvironment, resolve_below};
use crate::engine::simulated::{SimOptions, Simulated};
use crate::engine::{EngineError, EngineResult, ErrorKind, SharedEngine};
use crate::model::EngineEndpoint;

/// What kind of engine to run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EngineChoice {
    /// A Docker Engine.
    #[default]
    Docker,
    /// A model of one, in memory: nothing real runs.
    Simulated,
}

impl EngineChoice {
    /// `docker` or `simulated`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Simulated => "simulated",
        }
    }
}

/// Connections, one an endpoint, so that clusters that share an engine share its limits.
pub struct Engines {
    choice: EngineChoice,
    clock: SharedClock,
    ids: SharedIds,
    /// Where paths of TLS files begin.
    folder: PathBuf,
    connected: Mutex<HashMap<String, SharedEngine>>,
}

impl Engines {
    /// No connections yet.
    pub fn new(choice: EngineChoice, clock: SharedClock, ids: SharedIds) -> Self {
        Self {
            choice,
            clock,
            ids,
            folder: PathBuf::new(),
            connected: Mutex::default(),
        }
    }

    /// The same, with paths of TLS files that begin at that folder of manifests.
    #[must_use]
    pub fn below(self, folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            ..self
        }
    }

    /// The same with an engine that is there already, for whoever asks for `endpoint`.
    #[must_use]
    pub fn with(self, endpoint: &EngineEndpoint, engine: SharedEngine) -> Self {
        self.lock().insert(format!("{endpoint:?}"), engine);
        self
    }

    /// The engine at `endpoint`, connecting when it is the first to ask.
    pub async fn get(&self, endpoint: &EngineEndpoint) -> EngineResult<SharedEngine> {
        let key = format!("{endpoint:?}");
        if let Some(engine) = self.lock().get(&key) {
            return Ok(Arc::clone(engine));
        }
        let engine: SharedEngine = match self.choice {
            EngineChoice::Simulated => {
                let mut options = SimOptions::default();
                if let EngineEndpoint::Address(address) | EngineEndpoint::Tls { address, .. } =
                    endpoint
                {
                    // Another one each.
                    options.id.clone_from(address);
                }
                Simulated::new(Arc::clone(&self.clock), Arc::clone(&self.ids), options)
            }
            EngineChoice::Docker => {
                let found = resolve_below(endpoint, &ProcessEnvironment, &self.folder).map_err(
                    |error| {
                        EngineError::new(
                            "find",
                            "the engine",
                            ErrorKind::Invalid,
                            error.to_string(),
                        )
                    },
                )?;
                Arc::new(DockerEngine::connect(&found.endpoint, Limits::default()).await?)
            }
        };
        Ok(Arc::clone(self.lock().entry(key).or_insert(engine)))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, SharedEngine>> {
        self.connected
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
