//! `longshore scale SERVICE [COUNT]`: the folder is the truth, so this says which line of it to edit.

use std::path::PathBuf;
use std::sync::Arc;

use super::{CommandResult, Failure, Globals, output};
use crate::api::client::Client;
use crate::diagnostic::SourceFile;
use crate::manifest::yaml::{self, Node};
use crate::model::{ServiceSpec, Source};

/// Arguments of `scale`.
#[derive(Debug, clap::Args)]
pub struct ScaleArgs {
    /// The service
    service: String,
    /// The count that you want
    count: Option<u32>,
    /// Folder of manifests; a running Longshore knows its own
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Prints `file:line:column` of the service's desiredCount, and what to write there. Changes nothing.
pub async fn run(args: &ScaleArgs, globals: &Globals) -> CommandResult {
    let folder = folder(args, globals).await;
    let loaded = super::validate::load(std::slice::from_ref(&folder));
    let found: Vec<&(ServiceSpec, Source)> = loaded
        .desired
        .all_services()
        .filter(|(spec, _)| spec.name.as_str() == args.service)
        .filter(|(spec, _)| {
            globals
                .cluster
                .as_deref()
                .is_none_or(|c| spec.cluster.as_str() == c)
        })
        .collect();
    let (spec, source) = match found.as_slice() {
        [one] => one,
        [] => {
            return Err(Failure::findings(format!(
                "no valid manifest in {} declares a service {}",
                folder.display(),
                args.service
            )));
        }
        several => {
            let clusters: Vec<&str> = several
                .iter()
                .map(|(spec, _)| spec.cluster.as_str())
                .collect();
            return Err(Failure::findings(format!(
                "service {} is in clusters {}; choose one with --cluster",
                args.service,
                clusters.join(" and ")
            )));
        }
    };
    let path = PathBuf::from(&source.file);
    let (line, column, present) = position(&path, source).unwrap_or((source.line, 1, false));
    let wanted = args
        .count
        .map_or_else(|| "COUNT".to_owned(), |count| count.to_string());
    output::line(&format!("{}:{line}:{column}", path.display()));
    output::message(&if present {
        format!(
            "desiredCount is {} there; write {wanted}, and the running Longshore follows",
            spec.desired_count
        )
    } else {
        format!(
            "desiredCount is {} by default; add `desiredCount: {wanted}` to this manifest's spec",
            spec.desired_count
        )
    });
    Ok(())
}

async fn folder(args: &ScaleArgs, globals: &Globals) -> PathBuf {
    if let Some(dir) = &args.dir {
        return dir.clone();
    }
    if let Ok(client) = Client::find(globals).await
        && let Ok(status) = client.status().await
    {
        return PathBuf::from(status.identity.folder);
    }
    PathBuf::from("manifests")
}

/// Where desiredCount stands in the document that begins at the source's line.
fn position(path: &std::path::Path, source: &Source) -> Option<(u32, u32, bool)> {
    let text = std::fs::read_to_string(path).ok()?;
    let file = Arc::new(SourceFile {
        path: source.file.clone(),
        text,
    });
    let parsed = yaml::parse(&file);
    let document: &Node = parsed
        .documents
        .iter()
        .rev()
        .find(|d| d.span.line <= source.line)?;
    let pointers = ["/spec/desiredCount", "/desiredCount"];
    let span = pointers
        .iter()
        .find_map(|pointer| document.key_span(pointer))?;
    Some((span.line, span.column, true))
}
