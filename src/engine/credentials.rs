//! Registry credentials, from docker's own configuration: what `docker login` stored, or a credential helper.
//!
//! For a registry, in docker's order: the helper that `credHelpers` names for it, else the helper of `credsStore`, else
//! `auths` itself. A helper is a program `docker-credential-<name>` that takes the registry on its standard input and
//! answers with JSON. What a helper or the file says of a secret is never logged and never part of an error.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::RegistryAuth;
use super::endpoint::Environment;
use super::reference::{Reference, ReferenceError};

/// How long a helper may take.
const HELPER_LIMIT: Duration = Duration::from_secs(30);
/// What a helper answers as user name when the secret is an identity token.
const TOKEN_USER: &str = "<token>";

/// Why there are no credentials although there should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// The image has no registry to ask for.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// Docker's configuration cannot be used.
    #[error("cannot use {path}: {problem}", path = path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// Why not.
        problem: String,
    },
    /// The helper failed.
    #[error("docker-credential-{helper} gave no credentials for {registry}: {problem}")]
    Helper {
        /// Its name.
        helper: String,
        /// For which registry.
        registry: String,
        /// Why not.
        problem: String,
    },
}

/// Runs credential helpers.
#[async_trait]
pub trait Helpers: Send + Sync {
    /// What `docker-credential-<helper> get` answers for `registry`: its exit code's success, and its standard output.
    async fn get(&self, helper: &str, registry: &str) -> std::io::Result<(bool, Vec<u8>)>;
}

/// The helpers of this machine.
#[derive(Debug, Clone, Default)]
pub struct InstalledHelpers {
    /// Where they are; absent: wherever `PATH` says.
    pub directory: Option<PathBuf>,
}

#[async_trait]
impl Helpers for InstalledHelpers {
    async fn get(&self, helper: &str, registry: &str) -> std::io::Result<(bool, Vec<u8>)> {
        let program = PathBuf::from(format!("docker-credential-{helper}"));
        let program = match &self.directory {
            Some(directory) => directory.join(program),
            None => program,
        };
        let mut child = Command::new(program)
            .arg("get")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let run = async {
            if let Some(mut stdin) = child.stdin.take() {
                // A helper that does not care for its input may have closed it.
                let _ = stdin.write_all(registry.as_bytes()).await;
            }
            child.wait_with_output().await
        };
        let output = tokio::time::timeout(HELPER_LIMIT, run)
            .await
            .map_err(|_| {
                std::io::Error::new(
                    std::io::ErrorKind::TimedOut,
                    format!("it did not answer within {HELPER_LIMIT:?}"),
                )
            })??;
        Ok((output.status.success(), output.stdout))
    }
}

/// What of docker's `config.json` is about registries.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Config {
    auths: BTreeMap<String, Stored>,
    creds_store: String,
    cred_helpers: BTreeMap<String, String>,
}

/// One entry of `auths`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Stored {
    /// Base64 of `user:password`.
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
}

/// A helper's answer.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(default)]
    username: String,
    #[serde(default)]
    secret: String,
}

/// The credentials that docker would use to pull `image`; `None` when it would use none. Reads the file each time, so a new
/// `docker login` counts at once.
///
/// # Errors
/// Text that is no image reference, a configuration that cannot be read, and a helper that fails for another reason than
/// having nothing.
pub async fn for_image(
    image: &str,
    environment: &dyn Environment,
    helpers: &dyn Helpers,
) -> Result<Option<RegistryAuth>, CredentialError> {
    let reference = Reference::parse(image)?;
    let registry = reference.credentials_key();
    let Some(directory) = environment.docker_config_dir() else {
        return Ok(None);
    };
    let path = directory.join("config.json");
    let config = match environment.read(&path) {
        Ok(Some(bytes)) => parse(&path, &bytes)?,
        Ok(None) => return Ok(None),
        Err(error) => {
            return Err(CredentialError::Config {
                path,
                problem: error.to_string(),
            });
        }
    };
    let helper = config
        .cred_helpers
        .get(registry)
        .or_else(|| config.cred_helpers.get(&reference.domain))
        .unwrap_or(&config.creds_store);
    if !helper.is_empty() {
        return from_helper(helper, registry, helpers).await;
    }
    match find(&config.auths, registry) {
        Some(stored) => from_file(&path, registry, stored),
        None => Ok(None),
    }
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Config, CredentialError> {
    serde_json::from_slice(bytes).map_err(|error| CredentialError::Config {
        path: path.to_owned(),
        // The parser's words could quote a secret; where it stopped is enough.
        problem: format!(
            "it is not what docker writes (line {}, column {})",
            error.line(),
            error.column()
        ),
    })
}

/// The entry for a registry. Old versions of docker wrote keys with a scheme and a path; those count too.
fn find<'a>(auths: &'a BTreeMap<String, Stored>, registry: &str) -> Option<&'a Stored> {
    fn host(key: &str) -> &str {
        let key = key
            .strip_prefix("https://")
            .or_else(|| key.strip_prefix("http://"))
            .unwrap_or(key);
        key.split('/').next().unwrap_or(key)
    }
    auths.get(registry).or_else(|| {
        auths
            .iter()
            .find(|(key, _)| host(key) == host(registry))
            .map(|(_, stored)| stored)
    })
}

fn from_file(
    path: &Path,
    registry: &str,
    stored: &Stored,
) -> Result<Option<RegistryAuth>, CredentialError> {
    let fail = |problem: &str| CredentialError::Config {
        path: path.to_owned(),
        problem: format!("the entry of {registry:?} in auths {problem}; run `docker login` again"),
    };
    let (mut username, mut password) = (stored.username.clone(), stored.password.clone());
    if !stored.auth.is_empty() {
        let decoded = STANDARD
            .decode(&stored.auth)
            .map_err(|_| fail("is not base64"))?;
        let text = String::from_utf8(decoded).map_err(|_| fail("is not text"))?;
        let (user, secret) = text
            .split_once(':')
            .ok_or_else(|| fail("is not user:password"))?;
        username = user.to_owned();
        // Docker pads what it wrote with zeros in some versions.
        password = secret.trim_end_matches('\0').to_owned();
    }
    let auth = RegistryAuth {
        username,
        password,
        identity_token: stored.identitytoken.clone(),
        server: registry.to_owned(),
    };
    let has_any = !auth.identity_token.is_empty() || !auth.username.is_empty();
    Ok(has_any.then_some(auth))
}

async fn from_helper(
    helper: &str,
    registry: &str,
    helpers: &dyn Helpers,
) -> Result<Option<RegistryAuth>, CredentialError> {
    let fail = |problem: String| CredentialError::Helper {
        helper: helper.to_owned(),
        registry: registry.to_owned(),
        problem,
    };
    // It becomes a program's name.
    if helper.contains('/') {
        return Err(fail("that is no name of a helper".to_owned()));
    }
    let (success, output) = helpers
        .get(helper, registry)
        .await
        .map_err(|error| fail(error.to_string()))?;
    if !success {
        // A helper says on its standard output, in these words, that it has nothing: then docker asks without.
        let said = String::from_utf8_lossy(&output);
        if said.contains("credentials not found") {
            return Ok(None);
        }
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        return Err(fail(said.chars().take(200).collect()));
    }
    let answer: Answer = serde_json::from_slice(&output)
        .map_err(|_| fail("its answer is not what a credential helper answers".to_owned()))?;
    let auth = if answer.username == TOKEN_USER {
        RegistryAuth {
            identity_token: answer.secret,
            server: registry.to_owned(),
            ..RegistryAuth::default()
        }
    } else {
        RegistryAuth {
            username: answer.username,
            password: answer.secret,
            server: registry.to_owned(),
            ..RegistryAuth::default()
        }
    };
    Ok(Some(auth))
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    struct Fake {
        config: Option<&'static str>,
        answer: io::Result<(bool, &'static str)>,
    }

    impl Fake {
        fn file(config: &'static str) -> Self {
            Self {
                config: Some(config),
                answer: Err(io::ErrorKind::NotFound.into()),
            }
        }

        fn answering(self, success: bool, answer: &'static str) -> Self {
            Self {
                answer: Ok((success, answer)),
                ..self
            }
        }

        async fn auth(&self, image: &str) -> Result<Option<RegistryAuth>, CredentialError> {
            for_image(image, self, self).await
        }
    }

    impl Environment for Fake {
        fn variable(&self, name: &str) -> Option<String> {
            (name == "DOCKER_CONFIG").then(|| "/docker".to_owned())
        }

        fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
            assert_eq!(path, Path::new("/docker/config.json"));
            Ok(self.config.map(|text| text.as_bytes().to_vec()))
        }
    }

    #[async_trait]
    impl Helpers for Fake {
        async fn get(&self, helper: &str, registry: &str) -> io::Result<(bool, Vec<u8>)> {
            match &self.answer {
                Ok((success, answer)) => {
                    let answer = answer
                        .replace("HELPER", helper)
                        .replace("REGISTRY", registry);
                    Ok((*success, answer.into_bytes()))
                }
                Err(error) => Err(error.kind().into()),
            }
        }
    }

    fn parts(auth: Option<RegistryAuth>) -> (String, String, String, String) {
        let auth = auth.expect("credentials");
        (
            auth.username,
            auth.password,
            auth.identity_token,
            auth.server,
        )
    }

    // user:pass:word
    const STORED: &str = r#"{"auths": {"https://index.docker.io/v1/": {"auth": "dXNlcjpwYXNzOndvcmQ="},
        "r:5000": {"auth": "dXNlcjpwYXNzOndvcmQ=", "identitytoken": "tok"},
        "https://old.example.com/v1/": {"username": "u", "password": "p"}, "empty.example.com": {}}}"#;

    #[tokio::test]
    async fn what_docker_login_stored_is_found_by_the_images_registry() {
        let fake = Fake::file(STORED);
        let (user, password, token, server) = parts(fake.auth("busybox:1").await.unwrap());
        assert_eq!((user.as_str(), password.as_str()), ("user", "pass:word"));
        assert_eq!(
            (token.as_str(), server.as_str()),
            ("", "https://index.docker.io/v1/")
        );

        let (_, _, token, server) = parts(fake.auth("r:5000/me/app").await.unwrap());
        assert_eq!((token.as_str(), server.as_str()), ("tok", "r:5000"));

        let (user, ..) = parts(fake.auth("old.example.com/app").await.unwrap());
        assert_eq!(user, "u");

        assert_eq!(fake.auth("ghcr.io/me/app").await.unwrap(), None);
        assert_eq!(fake.auth("empty.example.com/app").await.unwrap(), None);
    }

    #[tokio::test]
    async fn without_a_configuration_there_are_none() {
        let fake = Fake {
            config: None,
            answer: Err(io::ErrorKind::NotFound.into()),
        };
        assert_eq!(fake.auth("busybox").await.unwrap(), None);
    }

    #[tokio::test]
    async fn the_registrys_own_helper_wins_over_the_store_and_the_store_over_the_file() {
        let fake = Fake::file(
            r#"{"credsStore": "all", "credHelpers": {"ghcr.io": "own"}, "auths": {"r:1": {"auth": "eDp5"}}}"#,
        )
        .answering(true, r#"{"ServerURL": "x", "Username": "HELPER", "Secret": "REGISTRY"}"#);
        let (user, secret, ..) = parts(fake.auth("ghcr.io/a").await.unwrap());
        assert_eq!((user.as_str(), secret.as_str()), ("own", "ghcr.io"));
        let (user, secret, ..) = parts(fake.auth("busybox").await.unwrap());
        assert_eq!(
            (user.as_str(), secret.as_str()),
            ("all", "https://index.docker.io/v1/")
        );
        let (user, ..) = parts(fake.auth("r:1/a").await.unwrap());
        assert_eq!(user, "all");
    }

    #[tokio::test]
    async fn a_helpers_token_is_an_identity_token() {
        let fake = Fake::file(r#"{"credsStore": "x"}"#)
            .answering(true, r#"{"Username": "<token>", "Secret": "tok"}"#);
        let (user, password, token, _) = parts(fake.auth("a.io/b").await.unwrap());
        assert_eq!(
            (user.as_str(), password.as_str(), token.as_str()),
            ("", "", "tok")
        );
    }

    #[tokio::test]
    async fn a_helper_that_has_nothing_is_no_error_and_one_that_fails_is() {
        let config = r#"{"credsStore": "x"}"#;
        let nothing =
            Fake::file(config).answering(false, "credentials not found in native keychain\n");
        assert_eq!(nothing.auth("a.io/b").await.unwrap(), None);

        let locked = Fake::file(config).answering(false, "the keychain\nis locked");
        let text = locked.auth("a.io/b").await.unwrap_err().to_string();
        assert_eq!(
            text,
            "docker-credential-x gave no credentials for a.io: the keychain is locked"
        );
        assert!(
            Fake::file(config).auth("a.io/b").await.is_err(),
            "it is not installed"
        );
        let path = Fake::file(r#"{"credsStore": "../x"}"#).answering(true, "{}");
        assert!(path.auth("a.io/b").await.is_err());
    }

    #[tokio::test]
    async fn no_error_and_no_debug_output_shows_a_secret() {
        for config in [
            r#"{"auths": {"a.io": {"auth": "s3cr3t!"}}}"#,
            r#"{"auths": {"a.io": {"auth": "s3cr3t"}}}"#,
            r#"{"auths": {"a.io": {"auth": 7, "password": "s3cr3t"}}}"#,
            r#"{"auths": {"a.io": "s3cr3t"}}"#,
        ] {
            let error = Fake::file(config).auth("a.io/b").await.unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("s3cr3t"), "{shown}");
            assert!(shown.contains("/docker/config.json"), "{shown}");
        }
        let answer = Fake::file(r#"{"credsStore": "x"}"#).answering(true, r#"{"Secret": s3cr3t}"#);
        let error = answer.auth("a.io/b").await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("s3cr3t"));
        let auth = Fake::file(STORED).auth("busybox").await.unwrap();
        assert!(!format!("{auth:?}").contains("pass"));
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn an_installed_helper_is_run_with_the_registry_on_its_input() {
        use std::os::unix::fs::PermissionsExt as _;

        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("docker-credential-echo");
        std::fs::write(&path, "#!/bin/sh\necho \"$1 $(cat)\"; echo secret >&2\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let helpers = InstalledHelpers {
            directory: Some(directory.path().to_owned()),
        };
        let ran = loop {
            // Another test's fork may still hold the file open for writing for an instant.
            match helpers.get("echo", "r:5000").await {
                Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => {}
                ran => break ran,
            }
        };
        assert_eq!(ran.unwrap(), (true, b"get r:5000\n".to_vec()));
        let missing = helpers.get("none", "r").await.unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }
}
