//! Docker's own configuration: credentials of registries, and contexts.

use std::io;
use std::path::Path;

use async_trait::async_trait;

use super::{first_line, text};
use crate::engine::credentials::{Helpers, for_image};
use crate::engine::endpoint::{Environment, resolve};
use crate::model::EngineEndpoint;

/// Stands for a secret in what is read.
const SECRET: &str = "pl4nted-s3cret";

struct Machine<'a> {
    config: &'a str,
    answer: &'a str,
}

impl Environment for Machine<'_> {
    fn variable(&self, name: &str) -> Option<String> {
        (name == "HOME").then(|| "/home/me".to_owned())
    }

    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        let config = path.ends_with(".docker/config.json");
        let text = if config { self.config } else { self.answer };
        Ok((!text.is_empty()).then(|| text.as_bytes().to_vec()))
    }
}

#[async_trait]
impl Helpers for Machine<'_> {
    async fn get(&self, helper: &str, _registry: &str) -> io::Result<(bool, Vec<u8>)> {
        assert!(!helper.is_empty() && !helper.contains('/'));
        let fails = self.answer.starts_with('!');
        Ok((!fails, self.answer.as_bytes().to_vec()))
    }
}

/// The first line is an image, the second what a helper answers (`!` in front: it fails) and what a context's file holds, the
/// rest `config.json`. A secret in the configuration is in no error and in no `Debug`.
pub fn check(data: &[u8]) {
    let Some((image, rest)) = text(data).map(first_line) else {
        return;
    };
    let (answer, config) = first_line(rest);
    let (answer, config) = (
        answer.replace("$SECRET", SECRET),
        config.replace("$SECRET", SECRET),
    );
    let machine = Machine {
        config: &config,
        answer: &answer,
    };
    let found = futures_util::FutureExt::now_or_never(for_image(image, &machine, &machine));
    let found = found.expect("nothing is waited for");
    // Names of helpers, registries and images are no secrets, and what a helper that fails says is said.
    let named = helper_names(&config).contains(SECRET) || answer.starts_with('!');
    let user = matches!(&found, Ok(Some(auth)) if auth.username.contains(SECRET));
    if !named && !user && !image.contains(SECRET) {
        let shown = match &found {
            Ok(found) => format!("{found:?}"),
            Err(error) => format!("{error} {error:?}"),
        };
        assert!(!shown.contains(SECRET), "{shown}");
    }
    if let Ok(Some(auth)) = found {
        assert!(!auth.server.is_empty());
    }
    if let Err(error) = resolve(&EngineEndpoint::Local, &machine) {
        assert!(!error.to_string().is_empty());
    }
}

/// Whatever of the configuration names helpers.
fn helper_names(config: &str) -> String {
    let read: serde_json::Value = serde_json::from_str(config).unwrap_or_default();
    format!("{}{}", read["credsStore"], read["credHelpers"])
}
