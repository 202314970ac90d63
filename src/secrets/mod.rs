//! Secrets and files of variables: from what a definition names to their values.
//!
//! A definition names a secret as it is called on AWS; the cluster says who has it ([`SecretSources`]): files of a
//! directory, the environment, a command, files encrypted with age. [`names`] decides what is asked for, purely;
//! [`provider`] asks one provider, [`Secrets`] all of them, in their order.
//!
//! Nothing is kept. A value is read right before the container that gets it is created, and dropped with the request that
//! holds it: a secret that was changed reaches the next container, and what is not in memory cannot leak from it. Within
//! one container each secret is read once, however many of its parts are used. Values appear in no error, no log and no
//! `Debug` (P9).
//!
//! How much work that may be is bounded: so many containers at once look for what they need, each for so long.

pub mod age;
mod command;
pub mod env_file;
pub mod names;
mod provider;
mod value;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::model::{
    ClusterSpec, ContainerSpec, EnvironmentFileKind, EnvironmentFileRef, EnvironmentFileSource,
    SecretRef, SecretSources,
};
use names::Lookup;
use provider::{Answer, Surroundings, ask, title};

pub use provider::Variables;
pub use value::{SecretValue, redact};

/// Containers at once that are looked for; each asks for one secret at a time.
const TURNS: usize = 8;
/// How long everything for one container may take.
const LIMIT: Duration = Duration::from_secs(120);
/// Bytes that a file of variables may have.
const LARGEST_FILE: u64 = 256 << 10;
/// Characters of a message, and of what one provider says in it.
const MESSAGE: usize = 1500;
const REASON: usize = 400;
/// What every secret is where none is looked for.
const IMAGINED: &str = "imagined";

/// Why something that a container is to be given cannot be had: one line, without any value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Unresolved {
    /// Whether it is about files of variables only, and no secret.
    pub only_files: bool,
    message: String,
}

impl Unresolved {
    fn secret(message: String) -> Self {
        Self {
            only_files: false,
            message,
        }
    }
}

/// What a container is given by reference.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Resolved {
    /// From files of variables; a later entry of a name wins.
    pub files: Vec<(String, SecretValue)>,
    /// From `secrets`.
    pub environment: Vec<(String, SecretValue)>,
    /// From `secretOptions`.
    pub log_options: Vec<(String, SecretValue)>,
}

/// User name and password for a registry.
#[derive(Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The user.
    pub username: String,
    /// The password.
    pub password: SecretValue,
}

/// See the module.
pub struct Secrets {
    folder: PathBuf,
    variables: Variables,
    turns: Semaphore,
    /// Whether nobody is asked.
    imagined: bool,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secrets({})", self.folder.display())
    }
}

impl Secrets {
    /// Secrets with paths that begin at `folder`, the folder of manifests, and the environment of this process.
    pub fn new(folder: PathBuf) -> Self {
        Self::with_variables(folder, Arc::new(|name| std::env::var(name).ok()))
    }

    /// The same with another environment.
    pub fn with_variables(folder: PathBuf, variables: Variables) -> Self {
        Self {
            folder,
            variables,
            turns: Semaphore::new(TURNS),
            imagined: false,
        }
    }

    /// Secrets of a simulation: no file, variable or command is touched, whatever is named has a value, and files of
    /// variables are empty.
    pub fn imagined() -> Self {
        Self {
            imagined: true,
            ..Self::with_variables(PathBuf::new(), Arc::new(|_| None))
        }
    }

    /// Everything that `container` of a task in `cluster` is given by reference; of its log driver's options those in
    /// `log_options`.
    ///
    /// # Errors
    /// Whatever cannot be had, all of it in one message.
    pub async fn of_container(
        &self,
        container: &ContainerSpec,
        log_options: &[SecretRef],
        cluster: &ClusterSpec,
    ) -> Result<Resolved, Unresolved> {
        self.in_turn(async {
            let mut asking = Asking::new(self, &cluster.secrets);
            let mut found = Resolved {
                files: asking
                    .files(&container.environment_files, &cluster.environment_files)
                    .await,
                ..Resolved::default()
            };
            for secret in &container.secrets {
                if let Some(value) = asking.secret(&secret.name, &secret.value_from).await {
                    found.environment.push((secret.name.clone(), value));
                }
            }
            for secret in log_options {
                if let Some(value) = asking.secret(&secret.name, &secret.value_from).await {
                    found.log_options.push((secret.name.clone(), value));
                }
            }
            asking.end(found)
        })
        .await
    }

    /// The registry credentials in the secret `reference`: JSON with `username` and `password`, as on ECS.
    ///
    /// # Errors
    /// It cannot be had, or is something else.
    pub async fn credentials(
        &self,
        reference: &str,
        sources: &SecretSources,
    ) -> Result<Credentials, Unresolved> {
        if self.imagined {
            return Ok(Credentials {
                username: IMAGINED.to_owned(),
                password: SecretValue::new(IMAGINED),
            });
        }
        self.in_turn(async {
            let mut asking = Asking::new(self, sources);
            let value = asking.secret("repositoryCredentials", reference).await;
            let value = asking.end(value)?;
            value.as_ref().and_then(credentials).ok_or_else(|| {
                Unresolved::secret(format!(
                    "secret repositoryCredentials ({reference}) is not JSON with `username` and `password`"
                ))
            })
        })
        .await
    }

    async fn in_turn<T>(
        &self,
        work: impl Future<Output = Result<T, Unresolved>>,
    ) -> Result<T, Unresolved> {
        let _turn = self.turns.acquire().await;
        tokio::time::timeout(LIMIT, work).await.unwrap_or_else(|_| {
            Err(Unresolved::secret(format!(
                "secrets were not answered for within {} s",
                LIMIT.as_secs()
            )))
        })
    }
}

fn credentials(value: &SecretValue) -> Option<Credentials> {
    let json: serde_json::Value = serde_json::from_str(value.expose()).ok()?;
    let text = |member: &str| json.get(member)?.as_str().map(str::to_owned);
    Some(Credentials {
        username: text("username")?,
        password: SecretValue::new(text("password")?),
    })
}

/// One container's questions.
struct Asking<'a> {
    secrets: &'a Secrets,
    sources: &'a SecretSources,
    /// By the names that were asked for.
    known: HashMap<Vec<String>, Result<SecretValue, String>>,
    problems: Vec<String>,
    /// Whether all of them are about files of variables.
    only_files: bool,
}

impl<'a> Asking<'a> {
    fn new(secrets: &'a Secrets, sources: &'a SecretSources) -> Self {
        Self {
            secrets,
            sources,
            known: HashMap::new(),
            problems: Vec::new(),
            only_files: true,
        }
    }

    fn end<T>(self, found: T) -> Result<T, Unresolved> {
        if self.problems.is_empty() {
            return Ok(found);
        }
        Err(Unresolved {
            only_files: self.only_files,
            message: cut(&self.problems.join("; "), MESSAGE),
        })
    }

    /// The value behind `reference`, for what is called `name` inside; a failure is noted.
    async fn secret(&mut self, name: &str, reference: &str) -> Option<SecretValue> {
        let found = self.value(reference).await;
        match found {
            Ok(value) => Some(value),
            Err(problem) => {
                self.only_files = false;
                self.problems
                    .push(format!("secret {name} ({reference}): {problem}"));
                None
            }
        }
    }

    async fn value(&mut self, reference: &str) -> Result<SecretValue, String> {
        if self.secrets.imagined {
            return Ok(SecretValue::new(IMAGINED));
        }
        let lookup = names::lookup(reference, &self.sources.names);
        let whole = match self.known.get(&lookup.names) {
            Some(known) => known.clone(),
            None => {
                let found = self.ask_all(reference, &lookup).await;
                self.known.insert(lookup.names.clone(), found.clone());
                found
            }
        }?;
        let value = match &lookup.json_key {
            Some(key) => member(&whole, key)?,
            None => whole,
        };
        if value.expose().contains('\0') {
            return Err("the value holds a zero byte, which no variable can".to_owned());
        }
        Ok(value)
    }

    async fn ask_all(&self, reference: &str, lookup: &Lookup) -> Result<SecretValue, String> {
        if self.sources.providers.is_empty() {
            return Err("the cluster has no secretProviders".to_owned());
        }
        if lookup.names.is_empty() {
            return Err("it names nothing".to_owned());
        }
        let surroundings = Surroundings {
            folder: &self.secrets.folder,
            variables: &self.secrets.variables,
        };
        let mut without = Vec::new();
        for provider in &self.sources.providers {
            let title = title(provider);
            let mut reasons = Vec::new();
            for name in &lookup.names {
                match ask(provider, name, reference, &surroundings).await {
                    Ok(Answer::Value(value)) => return Ok(value),
                    Ok(Answer::Absent(None)) => {}
                    Ok(Answer::Absent(Some(why))) => reasons.push(format!("{name}: {why}")),
                    Err(problem) => return Err(format!("{title}: {}", cut(&problem, REASON))),
                }
            }
            without.push(if reasons.is_empty() {
                title
            } else {
                format!("{title} ({})", cut(&reasons.join(", "), REASON))
            });
        }
        Err(format!(
            "no provider has {}; asked: {}",
            lookup.names.join(", "),
            without.join("; ")
        ))
    }

    /// The variables of all files, in an order in which a later one of a name wins; failures are noted.
    async fn files(
        &mut self,
        files: &[EnvironmentFileRef],
        source: &EnvironmentFileSource,
    ) -> Vec<(String, SecretValue)> {
        let mut read = Vec::new();
        let files = if self.secrets.imagined { &[] } else { files };
        for file in files {
            match self.file(file, source).await {
                Ok(variables) => read.push(variables),
                Err(problem) => self
                    .problems
                    .push(format!("environment file {}: {problem}", file.value)),
            }
        }
        env_file::merge(read.into_iter())
            .into_iter()
            .map(|(name, value)| (name, SecretValue::new(value)))
            .collect()
    }

    async fn file(
        &self,
        file: &EnvironmentFileRef,
        source: &EnvironmentFileSource,
    ) -> Result<Vec<(String, String)>, String> {
        let folder = &self.secrets.folder;
        let paths = match (file.kind, &source.path) {
            (EnvironmentFileKind::File, _) => vec![folder.join(&file.value)],
            (EnvironmentFileKind::S3, Some(directory)) => {
                names::object_paths(&file.value, &source.names)
                    .iter()
                    .map(|path| folder.join(directory).join(path))
                    .collect()
            }
            (EnvironmentFileKind::S3, None) => {
                return Err("the cluster has no environmentFiles.path".to_owned());
            }
        };
        for path in &paths {
            if let Some(text) = read(path).await? {
                let variables = env_file::parse(&text);
                if variables.iter().any(|(_, value)| value.contains('\0')) {
                    return Err("a value holds a zero byte, which no variable can".to_owned());
                }
                return Ok(variables);
            }
        }
        let paths: Vec<String> = paths.iter().map(|p| p.display().to_string()).collect();
        Err(format!("there is no {}", paths.join(" and no ")))
    }
}

/// A file of variables; none if there is none.
async fn read(path: &Path) -> Result<Option<String>, String> {
    let fail = |problem: &dyn std::fmt::Display| format!("{}: {problem}", path.display());
    match tokio::fs::metadata(path).await {
        Ok(meta) if !meta.is_file() => return Err(fail(&"it is not a file")),
        Ok(meta) if meta.len() > LARGEST_FILE => return Err(fail(&"it has more than 256 KiB")),
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fail(&error)),
    }
    let bytes = tokio::fs::read(path).await.map_err(|error| fail(&error))?;
    let text = String::from_utf8(bytes).map_err(|_| fail(&"it is not UTF-8 text"))?;
    Ok(Some(text))
}

/// A member of a value that is a JSON object: text as it is, anything else as JSON.
fn member(value: &SecretValue, key: &str) -> Result<SecretValue, String> {
    let object: BTreeMap<String, serde_json::Value> = serde_json::from_str(value.expose())
        .map_err(|_| format!("its value is no JSON object, so it has no key {key}"))?;
    match object.get(key) {
        Some(serde_json::Value::String(text)) => Ok(SecretValue::new(text)),
        Some(other) => Ok(SecretValue::new(other.to_string())),
        None => Err(format!("its JSON value has no key {key}")),
    }
}

fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
