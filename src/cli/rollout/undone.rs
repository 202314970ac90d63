//! After an undo: how the folder differs from what is gone back to, and what to edit so that it stays.

use serde_json::Value as Json;

use super::Service;
use crate::api::documents::Document;
use crate::api::kinds::Kind;
use crate::api::server::ManifestQuery;
use crate::cli::output;
use crate::daemon::preview::diff::{MemberDiff, between};

/// Says it on stderr. What cannot be found out is left out: the undo itself has been granted.
pub async fn say(service: &Service) {
    let Some((folder, back, source)) = both(service).await else {
        return;
    };
    let (Some(written), Some(wanted)) = (&folder.spec, &back.spec) else {
        return;
    };
    let differences = between(written, wanted);
    if differences.is_empty() {
        return;
    }
    output::message(&format!(
        "the folder still says {}{}. So that it stays at {}, change there (folder → what runs):",
        called(&folder),
        source
            .map(|source| format!(" ({source})"))
            .unwrap_or_default(),
        called(&back)
    ));
    for difference in &differences {
        output::message(&format!("  {}", difference.line()));
    }
    if let Some(command) = command(&service.name, &differences) {
        output::message(&format!("which is: {command}"));
    }
}

/// What the folder has registered last, what is gone back to, and where the folder says it.
async fn both(service: &Service) -> Option<(Document, Document, Option<String>)> {
    let of = |kind: Kind, cluster: Option<String>| ManifestQuery {
        kind: kind.plural().to_owned(),
        cluster,
        name: None,
        all: true,
    };
    let client = &service.client;
    let undone = service.summary().await.ok()??.undone?;
    let (family, number) = undone.split(' ').next()?.split_once(':')?;
    let number: u64 = number.parse().ok()?;
    let definitions = client
        .manifests(&of(Kind::TaskDefinition, None))
        .await
        .ok()?;
    let mut all = definitions
        .into_iter()
        .filter(|d| d.metadata.name == family);
    let (mut folder, mut back) = (None, None);
    for document in all.by_ref() {
        if document.status["revision"] == number {
            back = Some(document.clone());
        }
        if document.status["newest"] == true {
            folder = Some(document);
        }
    }
    let folder = folder?;
    let source = folder.status["source"].as_str().map(str::to_owned);
    Some((folder, back?, source))
}

fn called(definition: &Document) -> String {
    format!(
        "{}:{}",
        definition.metadata.name, definition.status["revision"]
    )
}

/// `longshore set-image …`, where images are all that differs.
fn command(service: &str, differences: &[MemberDiff]) -> Option<String> {
    let image = |difference: &MemberDiff| {
        let container = difference
            .member
            .strip_prefix("containerDefinitions[")?
            .strip_suffix("].image")?;
        let image = difference.folder.as_ref().and_then(Json::as_str)?;
        Some(format!("{container}={image}"))
    };
    let images: Option<Vec<String>> = differences.iter().map(image).collect();
    Some(format!(
        "longshore set-image {service} {}",
        images?.join(" ")
    ))
}
