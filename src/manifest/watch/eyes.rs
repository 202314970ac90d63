//! What a watcher looks at the folder with: the file system and its notifications, or a model of both.

use std::path::Path;

use tokio::sync::mpsc;

use super::WatchOptions;
use super::hints::{Hint, Hints};
use super::places::Places;
use super::simulated::Sight;
use crate::manifest::source::walk::{Walked, Walker};

/// See the module.
pub(super) enum Eyes {
    /// The system's. They block, and are used where that is no harm.
    Real(State),
    /// Those of a simulation.
    Simulated(Sight),
}

impl Default for Eyes {
    fn default() -> Self {
        Self::Real(State::default())
    }
}

impl Eyes {
    /// Reads everything below `folder`; `None` where that panicked.
    pub(super) async fn look(self, folder: &Path) -> Option<(Self, Walked)> {
        match self {
            Self::Simulated(mut sight) => {
                let walked = sight.walk(folder).await;
                Some((Self::Simulated(sight), walked))
            }
            Self::Real(mut state) => {
                let folder = folder.to_owned();
                let read = tokio::task::spawn_blocking(move || {
                    let walked = state.walker.walk(&folder);
                    (Self::Real(state), walked)
                });
                read.await.ok()
            }
        }
    }

    /// Makes the watches be those that are wanted after that reading; `None` where that panicked.
    pub(super) async fn follow(
        self,
        mut places: Places,
        walked: Walked,
        options: WatchOptions,
    ) -> Option<(Self, Places, Followed)> {
        match self {
            Self::Simulated(mut sight) => {
                places.update_inside(&walked);
                let followed = sight.follow(options);
                Some((Self::Simulated(sight), places, followed))
            }
            Self::Real(mut state) => {
                let watching = tokio::task::spawn_blocking(move || {
                    places.update(&walked);
                    let followed = state.follow(&places, options);
                    (Self::Real(state), places, followed)
                });
                watching.await.ok()
            }
        }
    }

    /// Whatever was watched at or below `path` is not watched any more.
    pub(super) fn forget(&mut self, path: &Path) {
        if let Self::Real(State {
            hints: Some(hints), ..
        }) = self
        {
            hints.forget(path);
        }
    }
}

/// What real eyes need from one look to the next.
#[derive(Default)]
pub(super) struct State {
    walker: Walker,
    hints: Option<Hints>,
}

/// What came of asking for notifications.
pub(super) enum Followed {
    /// Every place is watched. `added`: some only from now on.
    Whole {
        source: Option<mpsc::UnboundedReceiver<Hint>>,
        added: bool,
    },
    /// Some or all places cannot be watched.
    Partly {
        source: Option<mpsc::UnboundedReceiver<Hint>>,
        reason: String,
    },
    /// Notifications are not wanted, or of no use.
    NotAsked { reason: &'static str },
}

impl State {
    /// Makes the watches be those that `places` asks for. Blocks.
    fn follow(&mut self, places: &Places, options: WatchOptions) -> Followed {
        let network = places.on_network();
        self.walker.open_first = network.is_some();
        let reason = match network {
            _ if options.poll_only => Some("as asked for"),
            network => network,
        };
        if let Some(reason) = reason {
            self.hints = None;
            return Followed::NotAsked { reason };
        }
        let mut source = None;
        let hints = match &mut self.hints {
            Some(hints) => hints,
            none => match Hints::new() {
                Ok((hints, hint_source)) => {
                    source = Some(hint_source);
                    none.insert(hints)
                }
                Err(error) => {
                    return Followed::Partly {
                        source: None,
                        reason: error,
                    };
                }
            },
        };
        match hints.follow(places.folders()) {
            Ok(added) => Followed::Whole { source, added },
            Err(reason) => Followed::Partly { source, reason },
        }
    }
}
