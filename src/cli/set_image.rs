//! `longshore set-image SERVICE CONTAINER=IMAGE…`: what a CI job runs after a build. Edits the manifest in place.

use std::path::PathBuf;

use serde_json::{Value as Json, json};

use super::edit::{Folder, Found, place, refused, told};
use super::subject::{Subject, candidates, folder};
use super::{CommandResult, Failure, Globals, output};
use crate::engine::reference::Reference;
use crate::manifest::edit;
use crate::manifest::resolve::definition_reference;
use crate::manifest::types::Kind;

/// Arguments of `set-image`.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "longshore set-image [OPTIONS] SERVICE CONTAINER=IMAGE...\n       longshore set-image [OPTIONS] --task-definition FAMILY CONTAINER=IMAGE...",
    after_help = "Only the image's own bytes are replaced: comments, order and quotes stay, in YAML and in JSON. The result is \
validated before it takes the file's place; a link stays a link. Prints `file:line:column OLD → NEW`.\n\n\
Examples:\n  longshore set-image web app=registry.example.com/shop/web:1.42.0\n  \
longshore set-image prod/web app=web:2 sidecar=proxy:7 --dir deploy\n  \
longshore set-image --task-definition migrate migrate=web:2\n\n\
Exit codes: 0 written, or nothing to change; 1 refused, or with --check something to change; 2 could not run."
)]
pub struct SetImageArgs {
    /// The service (`web`, `prod/web`) whose containers are meant, and each container with its image
    #[arg(required = true, value_name = "SERVICE CONTAINER=IMAGE")]
    words: Vec<String>,
    /// A task definition's family in place of a service
    #[arg(long, value_name = "FAMILY")]
    task_definition: Option<String>,
    /// Folder of manifests, or one file of them [default: manifests here, else the running Longshore's]
    #[arg(short, long, value_name = "PATH")]
    dir: Option<PathBuf>,
    /// Say what would change; change nothing
    #[arg(long)]
    dry_run: bool,
    /// Say what would change; change nothing, and exit 1 if there is something
    #[arg(long)]
    check: bool,
}

/// What to do.
#[derive(Debug, PartialEq, Eq)]
struct Wanted<'a> {
    service: Option<&'a str>,
    /// By container.
    images: Vec<(&'a str, &'a str)>,
}

impl SetImageArgs {
    fn wanted(&self) -> Result<Wanted<'_>, Failure> {
        let bad = |message: String| Err(Failure::could_not_run(message));
        let (service, pairs) = match (&self.task_definition, self.words.split_first()) {
            (Some(_), _) | (None, None) => (None, self.words.as_slice()),
            (None, Some((first, rest))) => (Some(first.as_str()), rest),
        };
        if let Some(service) = service.filter(|service| service.contains('=')) {
            return bad(format!(
                "name the service first: `longshore set-image SERVICE {service}`"
            ));
        }
        if pairs.is_empty() {
            return bad("say what to set: CONTAINER=IMAGE".to_owned());
        }
        let mut images: Vec<(&str, &str)> = Vec::new();
        for pair in pairs {
            match pair.split_once('=') {
                Some((container, image)) if !container.is_empty() && !image.is_empty() => {
                    if images.iter().any(|(known, _)| *known == container) {
                        return bad(format!("container {container} is given twice"));
                    }
                    if let Err(error) = Reference::parse(image) {
                        return bad(format!("`{image}` is no image: {error}"));
                    }
                    images.push((container, image));
                }
                _ => return bad(format!("`{pair}` is not CONTAINER=IMAGE")),
            }
        }
        Ok(Wanted { service, images })
    }
}

/// Changes what is not so already, all of it or nothing.
pub async fn run(args: &SetImageArgs, globals: &Globals) -> CommandResult {
    let wanted = args.wanted()?;
    let path = folder(args.dir.as_deref(), globals).await;
    let folder = Folder::read(&path)?;
    let family = match (wanted.service, &args.task_definition) {
        (Some(service), _) => family_of(&folder, &Subject::parse(service, globals)?)?,
        (None, family) => family.clone().unwrap_or_default(),
    };
    let definition = definition(&folder, &family)?;
    let mut file = (*definition.document.file).clone();
    let mut lines = Vec::new();
    for (container, image) in wanted.images {
        let pointer = pointer_of(definition, container)?;
        let value = &definition.document.spec;
        let old = value.pointer(&pointer).and_then(Json::as_str);
        if old == Some(image) {
            let at = place(
                &definition.document.file,
                definition.document.value(&pointer),
            );
            output::message(&format!("{at} {container} is at {image} already"));
            continue;
        }
        let what = format!("the image of container {container}");
        let whole = definition.document.pointer(&pointer);
        let edited = edit::set(&file, definition.index, &whole, &json!(image))
            .map_err(|refusal| refused(&file, &what, &refusal))?;
        lines.push(told(&edited, old.unwrap_or("nothing"), image));
        file = (*edited.file).clone();
    }
    if lines.is_empty() {
        output::message("nothing to change");
        return Ok(());
    }
    let write = !args.dry_run && !args.check;
    folder.replace(&file.into(), write, globals)?;
    for line in &lines {
        output::line(line);
    }
    tell_others(&folder, &family, wanted.service);
    if args.check {
        return Err(Failure::findings("--check: nothing was written"));
    }
    if args.dry_run {
        output::message("--dry-run: nothing was written");
    }
    Ok(())
}

/// The family that a service runs.
fn family_of(folder: &Folder, subject: &Subject) -> Result<String, Failure> {
    let services: Vec<(&Found, String)> = folder
        .of(Kind::Service)
        .map(|found| (found, found.cluster()))
        .collect();
    let places: Vec<String> = services
        .iter()
        .filter(|(found, cluster)| {
            found.name() == subject.name && subject.cluster.as_ref().is_none_or(|c| c == cluster)
        })
        .map(|(found, cluster)| format!("{} ({cluster}/{})", found.place(), found.name()))
        .collect();
    let (service, _) = subject
        .among(services, |(found, cluster)| (cluster, found.name()))
        .map_err(|failure| match failure {
            Failure::Findings(message) if !places.is_empty() => {
                Failure::findings(format!("{message}\n  {}", places.join("\n  ")))
            }
            Failure::Findings(message) => {
                Failure::findings(format!("{message}{}", folder.unread()))
            }
            other => other,
        })?;
    let document = &service.document;
    let written = document.spec["taskDefinition"].as_str().unwrap_or_default();
    let at = place(&document.file, document.value("/taskDefinition"));
    match definition_reference(written) {
        None => Err(Failure::findings(format!(
            "{at}: service {} names no task definition",
            subject.name
        ))),
        Some((family, Some(number))) => Err(Failure::findings(format!(
            "{at}: service {} stays at revision {number} of {family}, and a changed definition is another revision. Write \
             `taskDefinition: {family}` there, or change the definition alone with --task-definition {family}",
            subject.name
        ))),
        Some((family, None)) => Ok(family.to_string()),
    }
}

/// The one manifest of a family.
fn definition<'f>(folder: &'f Folder, family: &str) -> Result<&'f Found, Failure> {
    let all = || folder.of(Kind::TaskDefinition);
    let meant: Vec<&Found> = all().filter(|found| found.name() == family).collect();
    match meant.as_slice() {
        [one] => Ok(one),
        [] => Err(Failure::findings(format!(
            "there is no task definition {family}{}{}",
            candidates(family, all().map(Found::name)),
            folder.unread()
        ))),
        several => {
            let places: Vec<String> = several.iter().map(|found| found.place()).collect();
            Err(Failure::findings(format!(
                "task definition {family} is declared more than once; keep one of them, or name its file with --dir:\n  {}",
                places.join("\n  ")
            )))
        }
    }
}

/// Where in a definition's spec the image of a container is.
fn pointer_of(definition: &Found, container: &str) -> Result<String, Failure> {
    let containers = definition.document.spec["containerDefinitions"].as_array();
    let names: Vec<&str> = containers
        .into_iter()
        .flatten()
        .map(|c| c["name"].as_str().unwrap_or_default())
        .collect();
    let mut meant = (0..names.len()).filter(|at| names[*at] == container);
    match (meant.next(), meant.next()) {
        (Some(at), None) => Ok(format!("/containerDefinitions/{at}/image")),
        (None, _) => Err(Failure::findings(format!(
            "{}: task definition {} has no container {container}{}",
            definition.place(),
            definition.name(),
            candidates(container, names.into_iter())
        ))),
        (Some(_), Some(_)) => Err(Failure::findings(format!(
            "{}: task definition {} has two containers {container}",
            definition.place(),
            definition.name()
        ))),
    }
}

/// Other services follow the same definition: that is not to be a surprise.
fn tell_others(folder: &Folder, family: &str, service: Option<&str>) {
    let mut others: Vec<String> = folder
        .of(Kind::Service)
        .filter(|found| {
            let written = found.document.spec["taskDefinition"].as_str();
            let named = written.and_then(definition_reference);
            named.is_some_and(|(of, revision)| of.as_str() == family && revision.is_none())
        })
        .map(|found| format!("{}/{}", found.cluster(), found.name()))
        .collect();
    if service.is_some() && others.len() < 2 {
        return;
    }
    others.sort();
    if !others.is_empty() {
        output::message(&format!(
            "{family} is what {} {}",
            others.join(", "),
            if others.len() == 1 { "runs" } else { "run" }
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str], family: Option<&str>) -> SetImageArgs {
        SetImageArgs {
            words: words.iter().map(|&word| word.to_owned()).collect(),
            task_definition: family.map(str::to_owned),
            dir: None,
            dry_run: false,
            check: false,
        }
    }

    #[test]
    fn the_service_comes_first_and_a_family_takes_its_place() {
        let args = words(&["web", "app=a:1", "log=b:2"], None);
        let wanted = args.wanted().unwrap();
        assert_eq!(wanted.service, Some("web"));
        assert_eq!(wanted.images, [("app", "a:1"), ("log", "b:2")]);
        let args = words(&["app=a:1"], Some("web"));
        assert_eq!(args.wanted().unwrap().service, None);
        for bad in [
            &["web"][..],
            &["app=a"],
            &["web", "app"],
            &["web", "a=", "b=1"],
            &["web", "a=1", "a=2"],
        ] {
            assert!(
                matches!(words(bad, None).wanted(), Err(Failure::CouldNotRun(_))),
                "{bad:?}"
            );
        }
    }
}
