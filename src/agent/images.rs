//! Images: what the engine has, and pulls that all tasks share.
//!
//! An image that the engine has is used as it is: no registry is asked, so an engine without a network starts its tasks at
//! once. One that it has not is pulled once, however many tasks wait for it, and all of them hear the same answer.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::facts::ImageFact;
use crate::clock::SharedClock;
use crate::engine::reference::Reference;
use crate::engine::{
    EngineError, EngineResult, ErrorKind, ImageInfo, PullProgress, RegistryAuth, SharedEngine,
};
use crate::model::Timestamp;
use crate::secrets::redact;

/// Pulls at once; a registry's connection is shared by them.
const PULLS: usize = 4;
/// For how long a failure answers for the next pull too: less than the pause before a first retry.
const FAILURE_STANDS: Duration = Duration::from_millis(900);

/// Where credentials for an image come from: called with its reference before it is pulled.
pub type Credentials =
    Arc<dyn Fn(String) -> BoxFuture<'static, Option<RegistryAuth>> + Send + Sync>;

/// Credentials that a definition names for its image.
pub(super) struct NamedCredentials {
    /// What it names: pulls with other credentials are other pulls.
    pub reference: String,
    /// Finds them; awaited only where a pull begins.
    pub find: BoxFuture<'static, EngineResult<RegistryAuth>>,
}

/// An image's reference, and the architecture that is asked for.
type Which = (String, Option<String>);

/// A pull that is under way, or was.
#[derive(Debug, Default)]
struct Pull {
    answer: OnceLock<EngineResult<()>>,
    /// Wakes those who wait in the order in which they came.
    over: CancellationToken,
}

/// See the module.
pub(super) struct Images {
    engine: SharedEngine,
    clock: SharedClock,
    credentials: Option<Credentials>,
    known: Mutex<HashMap<Which, Known>>,
    /// One look at the engine at a time: all who ask at once then hear what the first one saw.
    looking: tokio::sync::Mutex<()>,
    pulls: Semaphore,
    progress: watch::Sender<BTreeMap<String, PullProgress>>,
}

enum Known {
    Present {
        digest: Option<String>,
        pulled: Option<(Timestamp, Timestamp)>,
    },
    Pulling {
        since: Timestamp,
        /// The credentials that a definition named for it.
        with: Option<String>,
        pull: Arc<Pull>,
    },
    /// The last pull failed. Whoever asks right after hears the same, so that many tasks do not ask a registry that is away
    /// one by one.
    Failed {
        at: Timestamp,
        with: Option<String>,
        error: EngineError,
    },
}

impl Images {
    pub fn new(engine: SharedEngine, clock: SharedClock, credentials: Option<Credentials>) -> Self {
        Self {
            engine,
            clock,
            credentials,
            known: Mutex::default(),
            looking: tokio::sync::Mutex::default(),
            pulls: Semaphore::new(PULLS),
            progress: watch::Sender::default(),
        }
    }

    /// How far pulls are, by reference; one that has ended is gone from it.
    pub fn progress(&self) -> watch::Receiver<BTreeMap<String, PullProgress>> {
        self.progress.subscribe()
    }

    /// Whether the engine has the image, asking it where that is not known.
    ///
    /// # Errors
    /// The engine's.
    pub async fn fact(&self, image: &str, architecture: Option<&str>) -> EngineResult<ImageFact> {
        let which = (image.to_owned(), architecture.map(str::to_owned));
        if let Some(fact) = self.remembered(&which) {
            return Ok(fact);
        }
        let _turn = self.looking.lock().await;
        if let Some(fact) = self.remembered(&which) {
            return Ok(fact);
        }
        let Some(found) = self.engine.image(image).await? else {
            return Ok(ImageFact::Absent);
        };
        // Of another architecture than the one that is asked for: pulling it may give the right one.
        if architecture.is_some_and(|wanted| wanted != found.architecture) {
            return Ok(ImageFact::Absent);
        }
        let digest = digest_of(image, &found);
        self.lock().insert(
            which,
            Known::Present {
                digest: digest.clone(),
                pulled: None,
            },
        );
        Ok(ImageFact::Present {
            digest,
            pulled: None,
        })
    }

    /// Forgets what the engine has: something about its images changed, or may have.
    pub fn forget(&self) {
        self.lock()
            .retain(|_, known| !matches!(known, Known::Present { .. }));
    }

    /// Pulls the image, or waits for the pull that is under way.
    ///
    /// # Errors
    /// The engine's, the same for all who wait.
    pub async fn pull(
        self: &Arc<Self>,
        image: &str,
        architecture: Option<&str>,
        named: Option<NamedCredentials>,
    ) -> EngineResult<()> {
        let pull = self.join(image, architecture, named)?;
        pull.over.cancelled().await;
        let answer = pull.answer.get().cloned();
        answer.unwrap_or_else(|| Err(broken_off(image)))
    }

    fn join(
        self: &Arc<Self>,
        image: &str,
        architecture: Option<&str>,
        named: Option<NamedCredentials>,
    ) -> EngineResult<Arc<Pull>> {
        let which = (image.to_owned(), architecture.map(str::to_owned));
        let wanted = named.as_ref().map(|named| named.reference.clone());
        let mut known = self.lock();
        let since = self.clock.now();
        match known.get(&which) {
            Some(Known::Pulling { pull, with, .. }) if *with == wanted => {
                return Ok(Arc::clone(pull));
            }
            Some(Known::Failed { at, with, error })
                if *with == wanted && since.since(*at) < FAILURE_STANDS =>
            {
                return Err(error.clone());
            }
            _ => {}
        }
        let pull = Arc::new(Pull::default());
        let pulling = Known::Pulling {
            since,
            with: wanted.clone(),
            pull: Arc::clone(&pull),
        };
        known.insert(which.clone(), pulling);
        // On its own: whoever asked first may stop waiting while others go on.
        let (images, under_way) = (Arc::clone(self), Arc::clone(&pull));
        tokio::spawn(async move {
            let _over = under_way.over.clone().drop_guard();
            let result = images.pull_now(&which, named).await;
            images.settle(&which, since, wanted, &result).await;
            let _ = under_way.answer.set(result);
        });
        Ok(pull)
    }

    async fn pull_now(
        &self,
        (image, architecture): &Which,
        named: Option<NamedCredentials>,
    ) -> EngineResult<()> {
        let _turn = self.pulls.acquire().await;
        let auth = match (named, &self.credentials) {
            (Some(named), _) => Some(named.find.await?),
            (None, Some(credentials)) => credentials(image.clone()).await,
            (None, None) => None,
        };
        let platform = architecture.as_ref().map(|of| format!("linux/{of}"));
        let progress = |progress: PullProgress| {
            self.progress.send_modify(|all| {
                all.insert(image.clone(), progress);
            });
        };
        self.engine
            .pull_image(image, platform.as_deref(), auth.as_ref(), &progress)
            .await
            .map_err(|error| EngineError {
                message: redact(
                    &error.message,
                    auth.iter().map(|auth| auth.password.as_str()),
                ),
                ..error
            })
    }

    async fn settle(
        &self,
        which: &Which,
        since: Timestamp,
        with: Option<String>,
        result: &EngineResult<()>,
    ) {
        let found = match result {
            Ok(()) => self.engine.image(&which.0).await.ok().flatten(),
            Err(_) => None,
        };
        self.progress.send_modify(|all| {
            all.remove(&which.0);
        });
        let mut known = self.lock();
        // One with other credentials may have begun since: this failure is not its.
        let own =
            matches!(known.get(which), Some(Known::Pulling { with: now, .. }) if *now == with);
        match (found, result) {
            (Some(found), _) => {
                let present = Known::Present {
                    digest: digest_of(&which.0, &found),
                    pulled: Some((since, self.clock.now())),
                };
                known.insert(which.clone(), present);
            }
            (None, _) if !own => {}
            // No registry was asked, so there is none to be spared.
            (None, Err(error)) if error.kind == ErrorKind::Unresolved => {
                known.remove(which);
            }
            (None, Err(error)) => {
                let failed = Known::Failed {
                    at: self.clock.now(),
                    with,
                    error: error.clone(),
                };
                known.insert(which.clone(), failed);
            }
            (None, Ok(())) => {
                known.remove(which);
            }
        }
    }

    fn remembered(&self, which: &Which) -> Option<ImageFact> {
        Some(match self.lock().get(which)? {
            Known::Present { digest, pulled } => ImageFact::Present {
                digest: digest.clone(),
                pulled: *pulled,
            },
            Known::Pulling { since, .. } => ImageFact::Pulling { since: *since },
            Known::Failed { .. } => return None,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Which, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn broken_off(image: &str) -> EngineError {
    EngineError::new(
        "pull image",
        image,
        ErrorKind::Unknown,
        "the pull was broken off",
    )
}

/// The digest that the image has in the repository its reference names. An image that was built or imported here has none.
fn digest_of(image: &str, found: &ImageInfo) -> Option<String> {
    let wanted = Reference::parse(image).ok()?;
    found.repo_digests.iter().find_map(|text| {
        let known = Reference::parse(text).ok()?;
        let same = known.domain == wanted.domain && known.path == wanted.path;
        known.digest.filter(|_| same)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_that_of_the_repository_that_the_reference_names() {
        let found = ImageInfo {
            repo_digests: vec![
                format!("mirror.example/busybox@sha256:{}", "a".repeat(64)),
                format!("busybox@sha256:{}", "b".repeat(64)),
            ],
            ..ImageInfo::default()
        };
        let digest = format!("sha256:{}", "b".repeat(64));
        assert_eq!(digest_of("busybox:1.36", &found), Some(digest.clone()));
        assert_eq!(digest_of("docker.io/library/busybox", &found), Some(digest));
        assert_eq!(digest_of("other/busybox", &found), None);
        assert_eq!(digest_of("busybox", &ImageInfo::default()), None);
    }
}
