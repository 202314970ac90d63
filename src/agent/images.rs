//! Images: what the engine has, and pulls that all tasks share.
//!
//! When an image is pulled is decided in [`pulling`](super::pulling); here it is done, once, however many tasks wait for it,
//! and all of them hear the same answer. What was pulled is written down: `once` goes by it, and the cleanup removes only
//! what Longshore itself brought.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::facts::ImageFact;
use super::report::Reporter;
use crate::clock::SharedClock;
use crate::engine::reference::Reference;
use crate::engine::{
    EngineError, EngineResult, ErrorKind, ImageInfo, PullProgress, RegistryAuth, SharedEngine,
    registry,
};
use crate::model::{PulledImage, PulledImages, Timestamp};
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

/// What became of a pull.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pulled {
    /// The engine has the image.
    Here,
    /// When its turn came, nobody wanted the image any more, and it was not pulled.
    Superseded,
}

/// Whether who asked for an image still wants it.
type Wants = Box<dyn Fn() -> bool + Send + Sync>;

/// A pull that is under way, or was.
#[derive(Default)]
struct Pull {
    answer: OnceLock<EngineResult<Pulled>>,
    /// Who waits for it.
    asked: Mutex<Vec<Wants>>,
    /// Wakes those who wait in the order in which they came.
    over: CancellationToken,
}

impl Pull {
    fn join(&self, wants: Wants) {
        self.waiting().push(wants);
    }

    fn is_wanted(&self) -> bool {
        self.waiting().iter().any(|wants| wants())
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Wants>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See the module.
pub(super) struct Images {
    engine: SharedEngine,
    clock: SharedClock,
    credentials: Option<Credentials>,
    reporter: Arc<Reporter>,
    known: Mutex<HashMap<Which, Known>>,
    /// What this agent has pulled, as the store has it or is about to.
    ledger: Mutex<PulledImages>,
    /// One look at the engine at a time: all who ask at once then hear what the first one saw.
    looking: tokio::sync::Mutex<()>,
    pulls: Semaphore,
    progress: watch::Sender<BTreeMap<String, PullProgress>>,
}

/// What is known of an image.
#[derive(Default)]
struct Known {
    /// What the engine has, as it was seen last.
    found: Option<Found>,
    /// Its pulls that are under way, one for each set of credentials that definitions name.
    pulling: BTreeMap<Option<String>, Pulling>,
    /// The last pull that failed. Whoever asks right after hears the same, so that many tasks do not ask a registry that is
    /// away one by one.
    failed: Option<Failed>,
    /// The last pull that succeeded: the image's id, from when to when.
    pulled: Option<(String, Timestamp, Timestamp)>,
}

#[derive(Clone)]
struct Found {
    id: String,
    digest: Option<String>,
}

struct Pulling {
    since: Timestamp,
    pull: Arc<Pull>,
}

struct Failed {
    /// The credentials that a definition named for it.
    with: Option<String>,
    at: Timestamp,
    error: EngineError,
}

impl Failed {
    /// Whether the registry still wants to be left alone, or was asked just now.
    fn stands(&self, now: Timestamp) -> bool {
        let wait = match self.error.kind {
            ErrorKind::RateLimited => registry::asked_to_wait(&self.error.message),
            _ => None,
        };
        now.since(self.at) < wait.unwrap_or_default().max(FAILURE_STANDS)
    }
}

impl Images {
    pub fn new(
        engine: SharedEngine,
        clock: SharedClock,
        credentials: Option<Credentials>,
        reporter: Arc<Reporter>,
    ) -> Self {
        Self {
            engine,
            clock,
            credentials,
            reporter,
            known: Mutex::default(),
            ledger: Mutex::default(),
            looking: tokio::sync::Mutex::default(),
            pulls: Semaphore::new(PULLS),
            progress: watch::Sender::default(),
        }
    }

    /// How far pulls are, by reference; one that has ended is gone from it.
    pub fn progress(&self) -> watch::Receiver<BTreeMap<String, PullProgress>> {
        self.progress.subscribe()
    }

    /// Takes up what an earlier run of this agent wrote down.
    pub fn recall(&self, pulled: PulledImages) {
        *self.ledger() = pulled;
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
        match self.look(&which).await? {
            Some(found) => {
                let mut known = self.known();
                let entry = known.entry(which).or_default();
                entry.found = Some(found.clone());
                Ok(self.present(image, entry, &found))
            }
            None => Ok(ImageFact::Absent),
        }
    }

    /// The image as the engine has it. One of another architecture than the one that is asked for is not it: pulling it may
    /// give the right one.
    async fn look(&self, (image, architecture): &Which) -> EngineResult<Option<Found>> {
        let found = self.engine.image(image).await?;
        let fits = |found: &ImageInfo| {
            architecture
                .as_ref()
                .is_none_or(|wanted| *wanted == found.architecture)
        };
        Ok(found.filter(fits).map(|found| Found {
            digest: digest_of(image, &found),
            id: found.id,
        }))
    }

    /// The digest that an image has in the repository that `reference` names; asks the engine.
    ///
    /// # Errors
    /// The engine's.
    pub async fn digest(&self, id: &str, reference: &str) -> EngineResult<Option<String>> {
        let found = self.engine.image(id).await?;
        Ok(found.and_then(|found| digest_of(reference, &found)))
    }

    /// Forgets what the engine has: something about its images changed, or may have.
    pub fn forget(&self) {
        for known in self.known().values_mut() {
            known.found = None;
        }
    }

    /// Pulls the image, or waits for the pull that is under way. `wants` is asked when the pull's turn has come.
    ///
    /// # Errors
    /// The engine's, the same for all who wait.
    pub async fn pull(
        self: &Arc<Self>,
        image: &str,
        architecture: Option<&str>,
        named: Option<NamedCredentials>,
        wants: impl Fn() -> bool + Send + Sync + 'static,
    ) -> EngineResult<Pulled> {
        let pull = self.join(image, architecture, named, Box::new(wants))?;
        pull.over.cancelled().await;
        let answer = pull.answer.get().cloned();
        answer.unwrap_or_else(|| Err(broken_off(image)))
    }

    fn join(
        self: &Arc<Self>,
        image: &str,
        architecture: Option<&str>,
        named: Option<NamedCredentials>,
        wants: Wants,
    ) -> EngineResult<Arc<Pull>> {
        let which = (image.to_owned(), architecture.map(str::to_owned));
        let with = named.as_ref().map(|named| named.reference.clone());
        let since = self.clock.now();
        let mut known = self.known();
        let entry = known.entry(which.clone()).or_default();
        if let Some(pulling) = entry.pulling.get(&with) {
            pulling.pull.join(wants);
            return Ok(Arc::clone(&pulling.pull));
        }
        if let Some(failed) = &entry.failed
            && failed.with == with
            && failed.stands(since)
        {
            return Err(failed.error.clone());
        }
        let pull = Arc::new(Pull::default());
        pull.join(wants);
        let pulling = Pulling {
            since,
            pull: Arc::clone(&pull),
        };
        entry.pulling.insert(with.clone(), pulling);
        // On its own: whoever asked first may stop waiting while others go on.
        let (images, under_way) = (Arc::clone(self), Arc::clone(&pull));
        tokio::spawn(async move {
            let _over = under_way.over.clone().drop_guard();
            let _turn = images.pulls.acquire().await;
            if images.give_up(&which, &with, &under_way) {
                let _ = under_way.answer.set(Ok(Pulled::Superseded));
                return;
            }
            let (result, found) = images.pull_now(&which, named).await;
            images.settle(which, since, with, &result, found);
            let _ = under_way.answer.set(result.map(|()| Pulled::Here));
        });
        Ok(pull)
    }

    /// Forgets a pull that nobody wants any more. Whoever asks from now on begins another one.
    fn give_up(&self, which: &Which, with: &Option<String>, pull: &Pull) -> bool {
        let mut known = self.known();
        let given_up = !pull.is_wanted();
        if given_up && let Some(entry) = known.get_mut(which) {
            entry.pulling.remove(with);
        }
        given_up
    }

    /// Pulls, and looks at what the engine has then.
    async fn pull_now(
        &self,
        which: &Which,
        named: Option<NamedCredentials>,
    ) -> (EngineResult<()>, Option<Found>) {
        let before = match self.engine.image(&which.0).await {
            Ok(before) => before.map(|before| before.id),
            Err(error) => return (Err(error), None),
        };
        let result = self.ask(which, named).await;
        self.progress.send_modify(|all| {
            all.remove(&which.0);
        });
        let found = match result {
            // Who waits for it looks again.
            Ok(()) => self.look(which).await.ok().flatten(),
            Err(_) => None,
        };
        if let Some(found) = &found {
            self.note(&which.0, found, before.as_deref(), self.clock.now());
        }
        (result, found)
    }

    async fn ask(
        &self,
        (image, architecture): &Which,
        named: Option<NamedCredentials>,
    ) -> EngineResult<()> {
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

    fn settle(
        &self,
        which: Which,
        since: Timestamp,
        with: Option<String>,
        result: &EngineResult<()>,
        found: Option<Found>,
    ) {
        let at = self.clock.now();
        let mut known = self.known();
        let entry = known.entry(which).or_default();
        entry.pulling.remove(&with);
        match result {
            Ok(()) => {
                entry.failed = None;
                entry.pulled = found.clone().map(|found| (found.id, since, at));
                entry.found = found;
            }
            // No registry was asked, so there is none to be spared.
            Err(error) if error.kind == ErrorKind::Unresolved => {}
            Err(error) => {
                let error = error.clone();
                entry.failed = Some(Failed { with, at, error });
            }
        }
    }

    /// Writes a pull down. It brought the image if the reference meant another one, or none, before; what it found there is
    /// not ours to remove, unless an earlier pull of ours had brought it.
    fn note(&self, image: &str, found: &Found, before: Option<&str>, now: Timestamp) {
        let mut ledger = self.ledger();
        for other in ledger.0.values_mut() {
            other.references.remove(image);
        }
        let pulled = ledger
            .0
            .entry(found.id.clone())
            .or_insert_with(|| PulledImage {
                references: BTreeSet::new(),
                brought: false,
                pulled_at: now,
                unused_since: None,
            });
        pulled.brought |= before != Some(found.id.as_str());
        pulled.pulled_at = now;
        pulled.unused_since = None;
        pulled.references.insert(image.to_owned());
        if let (Ok(reference), Some(digest)) = (Reference::parse(image), &found.digest) {
            pulled.references.insert(reference.at_digest(digest));
        }
        self.reporter.images(ledger.clone());
    }

    /// Looks through what was pulled: `look` returns what is left of it.
    pub fn review(&self, look: impl FnOnce(&PulledImages) -> PulledImages) {
        let mut ledger = self.ledger();
        let left = look(&ledger);
        if *ledger != left {
            *ledger = left;
            self.reporter.images(ledger.clone());
        }
    }

    /// An image that was pulled is gone.
    pub fn removed(&self, id: &str) {
        let mut ledger = self.ledger();
        if ledger.0.remove(id).is_some() {
            self.reporter.images(ledger.clone());
        }
    }

    fn remembered(&self, which: &Which) -> Option<ImageFact> {
        let known = self.known();
        let entry = known.get(which)?;
        if let Some(since) = entry.pulling.values().map(|pulling| pulling.since).min() {
            return Some(ImageFact::Pulling { since });
        }
        let found = entry.found.as_ref()?;
        Some(self.present(&which.0, entry, found))
    }

    fn present(&self, image: &str, known: &Known, found: &Found) -> ImageFact {
        let pulled = known.pulled.as_ref().filter(|(id, ..)| *id == found.id);
        let ledger = self.ledger();
        let ours = ledger.0.get(&found.id);
        ImageFact::Present {
            digest: found.digest.clone(),
            pulled: pulled.map(|(_, from, to)| (*from, *to)),
            ours: ours.is_some_and(|ours| ours.references.contains(image)),
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Which, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ledger(&self) -> MutexGuard<'_, PulledImages> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
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

/// The digest that the image has in the repository its reference names: the one that the reference has itself, if so. An image
/// that was built or imported here has none.
fn digest_of(image: &str, found: &ImageInfo) -> Option<String> {
    let wanted = Reference::parse(image).ok()?;
    let mut digests = found.repo_digests.iter().filter_map(|text| {
        let known = Reference::parse(text).ok()?;
        let same = known.domain == wanted.domain && known.path == wanted.path;
        known.digest.filter(|_| same)
    });
    match &wanted.digest {
        Some(digest) => digests.find(|known| known == digest),
        None => digests.next(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_that_of_the_repository_that_the_reference_names() {
        let digest = |of: &str| format!("sha256:{}", of.repeat(64));
        let found = ImageInfo {
            repo_digests: vec![
                format!("mirror.example/busybox@{}", digest("a")),
                format!("busybox@{}", digest("b")),
                format!("busybox@{}", digest("c")),
            ],
            ..ImageInfo::default()
        };
        assert_eq!(digest_of("busybox:1.36", &found), Some(digest("b")));
        assert_eq!(
            digest_of("docker.io/library/busybox", &found),
            Some(digest("b"))
        );
        let pinned = format!("busybox@{}", digest("c"));
        assert_eq!(digest_of(&pinned, &found), Some(digest("c")));
        assert_eq!(digest_of("other/busybox", &found), None);
        assert_eq!(digest_of("busybox", &ImageInfo::default()), None);
    }
}
