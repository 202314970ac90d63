//! Edits of a folder, made on a reading of it: nothing is written.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::scenario::{Edit, Set};
use crate::diagnostic::{Severity, SourceFile};
use crate::manifest::document::{self, Document};
use crate::manifest::load::{LastGood, LoadOptions, Loaded};
use crate::manifest::source::{self, FileContent, FolderState, Scan};
use crate::manifest::types::Kind;
use crate::manifest::{self, yaml};
use crate::model::{
    ClusterName, Desired, InstanceDesired, InstanceId, ServiceName, Source, TaskSpec, Timestamp,
};

/// A cluster's name and a service's.
pub type ServiceKey = (ClusterName, ServiceName);
/// A cluster's name and an instance's.
pub type InstanceKey = (ClusterName, InstanceId);

/// What a reading of the folder declares, as Longshore takes it when it knows nothing else.
pub fn load(scan: &Scan) -> Loaded {
    let options = LoadOptions {
        allow_empty: true,
        now: Timestamp::default(),
    };
    manifest::load(scan, &LastGood::default(), &options)
}

/// The first error of a reading, as `file:line:col: …`.
fn first_error(loaded: &Loaded) -> Option<String> {
    let mut errors = loaded.diagnostics.iter();
    errors
        .find(|finding| finding.severity == Severity::Error)
        .map(ToString::to_string)
}

/// A reading of another folder, in the place of this one.
fn other(scan: &Scan, path: &Path) -> Result<Scan, String> {
    let other = source::scan(path);
    match other.state {
        FolderState::Present => Ok(Scan {
            root: scan.root.clone(),
            ..other
        }),
        _ => Err(format!("there is no folder {}", path.display())),
    }
}

/// The folder after an edit, and what it then declares.
///
/// # Errors
/// Why it cannot be made, in a sentence.
pub fn edited(scan: &Scan, desired: &Desired, edit: &Edit) -> Result<(Scan, Desired), String> {
    let scan = match edit {
        Edit::Service { service, set } => {
            let key = service_of(desired, service)?;
            set_members(scan, desired, &key, set)?
        }
        Edit::Overlay(path) => {
            let over = other(scan, path)?;
            let mut scan = scan.clone();
            scan.files.extend(over.files);
            scan
        }
        Edit::Folder(path) => other(scan, path)?,
    };
    taken(scan)
}

/// The folder with an instance ACTIVE or DRAINING.
///
/// # Errors
/// Why that cannot be, in a sentence.
pub fn with_instance(
    scan: &Scan,
    desired: &Desired,
    (cluster, instance): &InstanceKey,
    status: InstanceDesired,
) -> Result<(Scan, Desired), String> {
    let (spec, source) = desired
        .clusters
        .get(cluster)
        .ok_or_else(|| format!("there is no cluster {cluster}"))?;
    let at = spec.instances.iter().position(|i| i.name == *instance);
    let declared = !spec.manifest_hash.is_empty();
    let status = match status {
        InstanceDesired::Active => "ACTIVE",
        InstanceDesired::Draining => "DRAINING",
    };
    let is = |of: &Document| of.kind == Kind::Cluster && named(of, cluster.as_str());
    let scan = changed(scan, source, is, |spec| {
        let listed = spec["containerInstances"].as_array_mut();
        let Some(entry) = listed.and_then(|all| all.get_mut(at?)).filter(|_| declared) else {
            return Err(format!(
                "cluster {cluster} lists no containerInstances, whose status could be set"
            ));
        };
        entry["status"] = status.into();
        Ok(())
    })?;
    taken(scan)
}

fn taken(scan: Scan) -> Result<(Scan, Desired), String> {
    let loaded = load(&scan);
    match first_error(&loaded) {
        Some(error) => Err(format!("the folder would not be valid: {error}")),
        None => Ok((scan, loaded.desired)),
    }
}

/// The service that is meant by `name` or `cluster/name`.
///
/// # Errors
/// There is none, or several.
pub fn service_of(desired: &Desired, name: &str) -> Result<ServiceKey, String> {
    let all = desired.services.iter().flat_map(|(cluster, services)| {
        services
            .keys()
            .map(|service| (cluster.clone(), service.clone()))
    });
    one_of(all, name, "service")
}

/// The instance that is meant by `name` or `cluster/name`.
///
/// # Errors
/// There is none, or several.
pub fn instance_of(
    instances: impl IntoIterator<Item = InstanceKey>,
    name: &str,
) -> Result<InstanceKey, String> {
    one_of(instances.into_iter(), name, "container instance")
}

fn one_of<T: ToString>(
    all: impl Iterator<Item = (ClusterName, T)>,
    name: &str,
    noun: &str,
) -> Result<(ClusterName, T), String> {
    let (cluster, bare) = match name.split_once('/') {
        Some((cluster, bare)) => (Some(cluster), bare),
        None => (None, name),
    };
    let all: Vec<(ClusterName, T)> = all.collect();
    let names: Vec<String> = all.iter().map(|(_, thing)| thing.to_string()).collect();
    let mut meant = all.into_iter().filter(|(of, thing)| {
        thing.to_string() == bare && cluster.is_none_or(|cluster| cluster == of.as_str())
    });
    match (meant.next(), meant.next()) {
        (Some(one), None) => Ok(one),
        (Some((a, _)), Some((b, _))) => Err(format!(
            "clusters {a} and {b} both have a {noun} {bare}; write {a}/{bare} or {b}/{bare}"
        )),
        (None, _) => {
            let near = manifest::report::nearest(bare, names.iter().map(String::as_str));
            let near = near.map(|near| format!("; did you mean {near}?"));
            Err(format!(
                "there is no {noun} {name}{}",
                near.unwrap_or_default()
            ))
        }
    }
}

fn set_members(
    scan: &Scan,
    desired: &Desired,
    (cluster, name): &ServiceKey,
    set: &Set,
) -> Result<Scan, String> {
    let missing = || format!("there is no service {name}");
    let services = desired.services.get(cluster).ok_or_else(missing)?;
    let (service, source) = services.get(name).ok_or_else(missing)?;
    let of_cluster = |of: &Document| {
        let written = of.spec["cluster"].as_str().unwrap_or("default");
        written.rsplit('/').next() == Some(cluster.as_str())
    };
    let is = |of: &Document| of.kind == Kind::Service && named(of, name.as_str()) && of_cluster(of);
    let mut scan = changed(scan, source, is, |spec| {
        let numbers = [
            ("/minimumHealthyPercent", set.minimum_healthy_percent),
            ("/maximumPercent", set.maximum_percent),
        ];
        if let Some(count) = set.desired_count {
            spec["desiredCount"] = count.into();
        }
        for (pointer, number) in numbers {
            if let Some(number) = number {
                if !spec["deploymentConfiguration"].is_object() {
                    spec["deploymentConfiguration"] = json!({});
                }
                spec["deploymentConfiguration"][&pointer[1..]] = number.into();
            }
        }
        Ok(())
    })?;
    let Some(image) = &set.image else {
        return Ok(scan);
    };
    if service.revision.is_some() {
        return Err(format!(
            "service {name} runs a fixed revision of {}, so an image of that family changes nothing",
            service.family
        ));
    }
    let (definition, source) = desired
        .task_definitions
        .get(&service.family)
        .ok_or_else(|| format!("the folder has no task definition {}", service.family))?;
    let container = container_of(&definition.spec, set.container.as_deref())?;
    let family = service.family.as_str();
    let is = |of: &Document| of.kind == Kind::TaskDefinition && named(of, family);
    scan = changed(&scan, source, is, |spec| {
        let all = spec["containerDefinitions"].as_array_mut();
        let found = all.into_iter().flatten().find(|of| of["name"] == container);
        if let Some(found) = found {
            found["image"] = image.as_str().into();
        }
        Ok(())
    })?;
    Ok(scan)
}

/// The container whose image an edit sets.
fn container_of(spec: &TaskSpec, named: Option<&str>) -> Result<String, String> {
    let names = |all: &mut dyn Iterator<Item = &str>| all.collect::<Vec<_>>().join(", ");
    if let Some(named) = named {
        return spec
            .container(named)
            .map(|found| found.name.clone())
            .ok_or_else(|| {
                let all = names(&mut spec.containers.iter().map(|c| c.name.as_str()));
                format!("{} has no container {named}, but {all}", spec.family)
            });
    }
    let essential: Vec<&str> = spec
        .containers
        .iter()
        .filter(|container| container.essential)
        .map(|container| container.name.as_str())
        .collect();
    match essential.as_slice() {
        [only] => Ok((*only).to_owned()),
        several => Err(format!(
            "{} has several essential containers: say which `container` ({})",
            spec.family,
            several.join(", ")
        )),
    }
}

/// The folder with one document's spec changed; its file is written anew, as JSON.
fn changed(
    scan: &Scan,
    source: &Source,
    is: impl Fn(&Document) -> bool,
    change: impl FnOnce(&mut Value) -> Result<(), String>,
) -> Result<Scan, String> {
    let Some(FileContent::Text(file)) = scan.files.get(&source.file) else {
        return Err("the folder has no manifest of it that could be edited".to_owned());
    };
    let mut change = Some(change);
    let mut texts = Vec::new();
    for document in documents(file) {
        let mut whole = document.enveloped();
        if is(&document)
            && let Some(change) = change.take()
        {
            change(&mut whole["spec"])?;
        }
        texts.push(whole.to_string());
    }
    if change.is_some() {
        return Err(format!("{} does not declare it", source.file));
    }
    let file = SourceFile {
        path: source.file.clone(),
        text: texts.join("\n---\n"),
    };
    let mut files: BTreeMap<_, _> = scan.files.clone();
    files.insert(source.file.clone(), FileContent::Text(Arc::new(file)));
    Ok(Scan {
        files,
        ..scan.clone()
    })
}

fn named(document: &Document, name: &str) -> bool {
    document.name.as_deref() == Some(name)
}

fn documents(file: &Arc<SourceFile>) -> Vec<Document> {
    let mut found = Vec::new();
    yaml::parse(file)
        .documents
        .into_iter()
        .flat_map(|root| document::read(file, root, &mut found))
        .filter(|document| Kind::ALL.contains(&document.kind))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn folder(text: &str) -> (Scan, Desired) {
        let file = SourceFile {
            path: "all.yaml".to_owned(),
            text: text.to_owned(),
        };
        let scan = Scan {
            root: PathBuf::from("manifests"),
            state: FolderState::Present,
            files: [("all.yaml".to_owned(), FileContent::Text(Arc::new(file)))].into(),
        };
        taken(scan).expect("it is valid")
    }

    const WEB: &str = "\
family: web
containerDefinitions:
- {name: app, image: 'web:1', memory: 32}
- {name: side, image: 'side:1', memory: 32, essential: false}
---
apiVersion: longshore/v1
kind: Service
metadata: {name: web}
spec: {taskDefinition: web, desiredCount: 2}
---
apiVersion: longshore/v1
kind: Cluster
metadata: {name: default}
spec: {containerInstances: [{name: a, endpoint: 'tcp://a:1'}, {name: b, endpoint: 'tcp://b:1'}]}
";

    fn set(set: Set) -> Edit {
        Edit::Service {
            service: "web".to_owned(),
            set,
        }
    }

    #[test]
    fn an_edit_sets_what_it_names_and_nothing_else() {
        let (scan, desired) = folder(WEB);
        let edit = set(Set {
            image: Some("web:2".to_owned()),
            desired_count: Some(5),
            maximum_percent: Some(150),
            ..Set::default()
        });
        let (again, after) = edited(&scan, &desired, &edit).expect("it can be made");
        let key = service_of(&after, "web").expect("it is there");
        let (service, _) = &after.services[&key.0][&key.1];
        assert_eq!((service.desired_count, service.maximum_percent), (5, 150));
        let images = |desired: &Desired| -> Vec<String> {
            let (definition, _) = &desired.task_definitions[&service.family];
            let containers = definition.spec.containers.iter();
            containers.map(|c| c.image.clone()).collect()
        };
        assert_eq!(images(&after), ["web:2", "side:1"]);
        let back = set(Set {
            image: Some("web:1".to_owned()),
            ..Set::default()
        });
        let (_, back) = edited(&again, &after, &back).expect("it can be made");
        let hash = |desired: &Desired| desired.task_definitions[&service.family].0.hash.clone();
        assert_eq!(hash(&back), hash(&desired), "the same content is the same");
    }

    #[test]
    fn an_instance_is_drained_in_its_manifest() {
        let (scan, desired) = folder(WEB);
        let keys = desired.clusters.iter().flat_map(|(cluster, (spec, _))| {
            let names = spec.instances.iter().map(|i| i.name.clone());
            names
                .map(|name| (cluster.clone(), name))
                .collect::<Vec<_>>()
        });
        let key = instance_of(keys, "b").expect("it is there");
        let (_, after) = with_instance(&scan, &desired, &key, InstanceDesired::Draining)
            .expect("it can be made");
        let (spec, _) = &after.clusters[&key.0];
        let states: Vec<_> = spec.instances.iter().map(|i| i.desired).collect();
        assert_eq!(states, [InstanceDesired::Active, InstanceDesired::Draining]);
    }

    #[test]
    fn an_edit_that_cannot_be_made_says_why() {
        let (scan, desired) = folder(WEB);
        let why = |edit: Edit| edited(&scan, &desired, &edit).map(|_| ()).unwrap_err();
        let other = Edit::Service {
            service: "wbe".to_owned(),
            set: Set::default(),
        };
        assert_eq!(why(other), "there is no service wbe; did you mean web?");
        let image = Set {
            image: Some("web:2".to_owned()),
            container: Some("ap".to_owned()),
            ..Set::default()
        };
        assert_eq!(why(set(image)), "web has no container ap, but app, side");
        let bad = Set {
            desired_count: Some(6000),
            ..Set::default()
        };
        assert!(why(set(bad)).contains("would not be valid: all.yaml:"));
        let missing = Edit::Overlay(PathBuf::from("/nowhere/at/all"));
        assert_eq!(why(missing), "there is no folder /nowhere/at/all");
    }
}
