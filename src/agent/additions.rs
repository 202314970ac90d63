//! What a container gets besides its definition, found right before it is created; and the credentials for its image, found
//! right before the pull.
//!
//! A list of sources, each of which adds its part. None of them remembers anything: what is found lives as long as the
//! create call that it is found for.

use std::sync::Arc;

use super::execute::Order;
use super::images::NamedCredentials;
use super::metadata;
use super::shared::Shared;
use crate::engine::reference::Reference;
use crate::engine::translate::{self, Additions};
use crate::engine::{EngineError, EngineResult, ErrorKind, RegistryAuth};
use crate::model::ContainerSpec;
use crate::secrets::{SecretValue, Unresolved};

/// Finds everything that one container of a task is given besides its definition.
///
/// # Errors
/// What is missing, as an error of the create call: it fails the task with that reason.
pub(super) async fn find(
    shared: &Shared,
    order: &Order,
    container: &str,
) -> EngineResult<Additions> {
    let mut found = Additions {
        image: image(order, container),
        ..Additions::default()
    };
    // The pause container has no definition.
    if let Some(spec) = order.spec.container(container) {
        references(shared, spec, &mut found).await?;
    }
    metadata::variables(shared, order, container, &mut found).await?;
    Ok(found)
}

/// `environmentFiles`, `secrets` and `secretOptions`.
async fn references(
    shared: &Shared,
    spec: &ContainerSpec,
    found: &mut Additions,
) -> EngineResult<()> {
    if spec.environment_files.is_empty() && spec.secrets.is_empty() && !spec.has_secret_options() {
        return Ok(());
    }
    let cluster = shared.cluster();
    // The driver that stands for the one which is named may have no use for its options.
    let log = spec.log.as_ref();
    let log = log.map(|log| log.on_engine(&cluster.log_drivers));
    let options = log.map(|log| log.secret_options).unwrap_or_default();
    let resolved = shared
        .secrets
        .of_container(spec, &options, &cluster)
        .await
        .map_err(|error| unresolved("create container", &spec.name, &error))?;
    let open = |pairs: Vec<(String, SecretValue)>| {
        pairs
            .into_iter()
            .map(|(name, value)| (name, value.into_exposed()))
    };
    found.defaults.extend(open(resolved.files));
    found.environment.extend(open(resolved.environment));
    found.log_options.extend(open(resolved.log_options));
    Ok(())
}

/// The credentials that the task names for an image, if it does: those of the first container which has it and names some.
pub(super) fn credentials(shared: &Shared, order: &Order, image: &str) -> Option<NamedCredentials> {
    let containers = order.spec.containers.iter();
    let reference = containers
        .filter(|of| translate::image(&order.record, of) == image)
        .find_map(|of| of.repository_credentials.clone())?;
    let cluster = shared.cluster();
    let (secrets, image) = (Arc::clone(&shared.secrets), image.to_owned());
    Some(NamedCredentials {
        reference: reference.clone(),
        find: Box::pin(async move {
            let found = secrets
                .credentials(&reference, &cluster.secrets)
                .await
                .map_err(|error| unresolved("pull image", &image, &error))?;
            let server = Reference::parse(&image)
                .map(|parsed| parsed.credentials_key().to_owned())
                .unwrap_or_default();
            Ok(RegistryAuth {
                username: found.username,
                password: found.password.into_exposed(),
                identity_token: String::new(),
                server,
            })
        }),
    })
}

fn unresolved(operation: &'static str, target: &str, error: &Unresolved) -> EngineError {
    let message = if error.only_files {
        format!("failed to read env files: {error}")
    } else {
        format!("unable to pull secrets or registry auth: {error}")
    };
    EngineError::new(operation, target, ErrorKind::Unresolved, message)
}

/// The image by its digest: the one that the deployment is pinned to, else the one that was found and reported for this very
/// task.
fn image(order: &Order, container: &str) -> Option<String> {
    let of = order.spec.container(container)?;
    match order.digests.get(container) {
        Some(digest) if of.resolves_once() && !order.record.images.contains_key(container) => {
            Some(Reference::parse(&of.image).ok()?.at_digest(digest))
        }
        _ => Some(translate::image(&order.record, of)),
    }
}
