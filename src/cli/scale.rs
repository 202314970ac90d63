//! `longshore scale SERVICE [COUNT]`: the folder is the truth, so this says which line of it to edit, or edits it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;

use super::edit::{Folder, Found, place, refused, told};
use super::subject::{Subject, at_present, folder, or_errors};
use super::{CommandResult, Failure, Globals, output};
use crate::api::{Phase, ServiceSummary};
use crate::diagnostic::SourceFile;
use crate::manifest::edit;
use crate::manifest::types::Kind;
use crate::manifest::yaml::{self, Node};
use crate::model::{ServiceSpec, Source};

/// Arguments of `scale`.
#[derive(Debug, clap::Args)]
pub struct ScaleArgs {
    /// The service
    service: String,
    /// The count that you want
    count: Option<u32>,
    /// Write the count into the manifest, comments and order kept
    #[arg(long, requires = "count")]
    write: bool,
    /// Folder of manifests [default: manifests here, else the running Longshore's]
    #[arg(short, long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Prints `file:line:column` of the service's desiredCount, and what to write there. Changes nothing, unless it is to write it.
pub async fn run(args: &ScaleArgs, globals: &Globals) -> CommandResult {
    let subject = Subject::parse(&args.service, globals)?;
    let folder = folder(args.dir.as_deref(), globals).await;
    if let (true, Some(count)) = (args.write, args.count) {
        let (cluster, name) = write(&folder, &subject, count, globals)?;
        say_what_waits(&folder, &cluster, &name, globals).await;
        return Ok(());
    }
    let loaded = super::validate::load(std::slice::from_ref(&folder));
    let all: Vec<&(ServiceSpec, Source)> = loaded.desired.all_services().collect();
    let found = subject.among(all, |(spec, _)| (spec.cluster.as_str(), spec.name.as_str()));
    let (spec, source) = or_errors(found, &loaded.diagnostics)?;
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
    let (cluster, name) = (spec.cluster.as_str(), spec.name.as_str());
    say_what_waits(&folder, cluster, name, globals).await;
    Ok(())
}

/// Says why no task is started or stopped for another count at present, where that is so.
async fn say_what_waits(folder: &Path, cluster: &str, name: &str, globals: &Globals) {
    let summary = at_present(folder, cluster, name, globals).await;
    if let Some(why) = summary.as_ref().and_then(what_waits) {
        output::message(&why);
    }
}

fn what_waits(summary: &ServiceSummary) -> Option<String> {
    let name = &summary.name;
    if let Some(asked) = &summary.suspended {
        return Some(format!(
            "{name} is suspended {asked}: another count has no effect before `longshore resume {name}`"
        ));
    }
    if let Some(asked) = &summary.paused {
        return Some(format!(
            "the rollout of {} is paused {asked}: another count is taken, and tasks are started or stopped for it once \
             `longshore rollout resume {name}` lets the rollout go on",
            summary.revision
        ));
    }
    let failed = summary.failed.as_ref()?;
    (summary.phase == Phase::Failed).then(|| {
        format!(
            "{} failed, and no task of it is started, whatever the count (`longshore describe service {name}`)",
            failed.revision
        )
    })
}

/// Writes the count where it stands, or on a line of its own. Returns the service's cluster and name.
fn write(
    path: &Path,
    subject: &Subject,
    count: u32,
    globals: &Globals,
) -> Result<(String, String), Failure> {
    let folder = Folder::read(path)?;
    let services: Vec<(&Found, String)> = folder
        .of(Kind::Service)
        .map(|found| (found, found.cluster()))
        .collect();
    let (found, cluster) = subject.among(services, |(found, cluster)| (cluster, found.name()))?;
    let key = (cluster, found.name().to_owned());
    let document = &found.document;
    let old = document.spec["desiredCount"].as_u64();
    if old == Some(count.into()) {
        let at = place(&document.file, document.value("/desiredCount"));
        output::message(&format!("{at} desiredCount is {count} already"));
        return Ok(key);
    }
    let (to, index) = (json!(count), found.index);
    let edited = match document.node("/desiredCount") {
        Some(_) => {
            let pointer = document.pointer("/desiredCount");
            edit::set(&document.file, index, &pointer, &to)
        }
        None => {
            let spec = document.pointer("");
            edit::add(
                &document.file,
                index,
                &spec,
                "desiredCount",
                &to,
                "taskDefinition",
            )
        }
    };
    let edited = edited.map_err(|refusal| refused(&document.file, "desiredCount", &refusal))?;
    folder.replace(&edited.file, true, globals)?;
    let old = old.map_or_else(|| "nothing".to_owned(), |old| old.to_string());
    output::line(&told(&edited, &old, &count.to_string()));
    Ok(key)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_keeps_another_count_from_having_an_effect_is_told_with_what_to_say() {
        let mut summary = ServiceSummary {
            name: "web".to_owned(),
            revision: "web:2".to_owned(),
            ..ServiceSummary::default()
        };
        assert_eq!(what_waits(&summary), None);
        summary.paused = Some("by ann, since now".to_owned());
        let why = what_waits(&summary).expect("it waits");
        assert!(
            why.starts_with("the rollout of web:2 is paused by ann"),
            "{why}"
        );
        assert!(why.contains("`longshore rollout resume web`"), "{why}");
        summary.suspended = Some("by ann, since now".to_owned());
        let why = what_waits(&summary).expect("it waits");
        assert!(
            why.ends_with("no effect before `longshore resume web`"),
            "{why}"
        );
    }
}
