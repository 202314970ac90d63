use std::path::PathBuf;

use super::*;
use crate::diagnostic::{Span, codes};
use crate::manifest::source::FileContent;
use crate::manifest::yaml;

mod held;
mod never_panics;
mod samples;

/// A folder of these files.
pub(crate) fn folder<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Scan {
    Scan {
        root: PathBuf::from("manifests"),
        state: FolderState::Present,
        files: files
            .into_iter()
            .map(|(path, text)| {
                let file = SourceFile {
                    path: path.to_owned(),
                    text: text.to_owned(),
                };
                (path.to_owned(), FileContent::Text(Arc::new(file)))
            })
            .collect(),
    }
}

pub(crate) fn at(seconds: i64) -> LoadOptions {
    LoadOptions {
        allow_empty: false,
        now: Timestamp::from_millis(seconds * 1000),
    }
}

/// Loads one file with nothing remembered.
pub(crate) fn one(text: &str) -> Loaded {
    load(&folder([("a.yaml", text)]), &LastGood::default(), &at(0))
}

/// `code line:column` of everything found.
pub(crate) fn places(loaded: &Loaded) -> Vec<String> {
    loaded
        .diagnostics
        .iter()
        .map(|d| {
            let Span { line, column, .. } = d.primary.span;
            format!("{} {line}:{column}", d.code)
        })
        .collect()
}

#[test]
fn every_example_of_a_page_raises_its_code_and_the_right_one_does_not() {
    for page in codes::pages().filter(|page| page.code > "LS02" && !page.wrong.is_empty()) {
        let wrong = one(page.wrong);
        let hit = wrong.diagnostics.iter().find(|d| d.code == page.code);
        let hit = hit.unwrap_or_else(|| panic!("{}: {:?}", page.code, places(&wrong)));
        assert_eq!(hit.severity, page.severity, "{}", page.code);
        let right = one(page.right);
        assert!(
            right
                .diagnostics
                .iter()
                .all(|d| d.code != page.code && d.severity == Severity::Warning),
            "{}: {:?}",
            page.code,
            right.diagnostics
        );
    }
}

const WEB: &str =
    "family: web\ncontainerDefinitions:\n  - {name: web, image: busybox:1, memory: 64}\n";
const SHOP: &str =
    "family: shop\ncontainerDefinitions:\n  - {name: shop, image: busybox:1, memory: 64}\n";

fn service(name: &str, family: &str, count: u32) -> String {
    format!(
        "apiVersion: longshore/v1\nkind: Service\nmetadata: {{name: {name}}}\nspec:\n  taskDefinition: {family}\n  desiredCount: {count}\n"
    )
}

/// A key as `kind name`.
fn key(text: &str) -> ResourceKey {
    let (kind, name) = text.split_once(' ').unwrap();
    let kind = Kind::parse(kind).unwrap();
    ResourceKey {
        kind,
        cluster: (kind == Kind::Service).then(ClusterName::default),
        name: name.to_owned(),
    }
}

fn names(loaded: &Loaded) -> Vec<String> {
    loaded
        .good
        .keys()
        .map(|key| format!("{} {}", key.kind, key.name))
        .collect()
}

fn held(loaded: &Loaded) -> Vec<String> {
    loaded
        .held
        .iter()
        .map(|(key, held)| {
            format!(
                "{} {} since {}: {}",
                key.kind,
                key.name,
                held.since.as_millis() / 1000,
                held.because
            )
        })
        .collect()
}

/// All that was good at second 1, held since second 2.
fn held_whole(good: &LastGood) -> BTreeMap<ResourceKey, LastGoodDoc> {
    let mut kept = good.0.clone();
    for document in kept.values_mut() {
        document.held_since = Some(at(2).now);
    }
    kept
}

fn image(loaded: &Loaded, family: &str) -> String {
    loaded.desired.task_definitions[family].0.spec.containers[0]
        .image
        .clone()
}

fn count(loaded: &Loaded, service: &str) -> u32 {
    loaded.desired.services["default"][service].0.desired_count
}

/// Two families and a service of each, in a file each, as loaded at second 1.
fn three_files() -> (Vec<(&'static str, String)>, LastGood) {
    let files = vec![
        (
            "shop.yaml",
            format!("{SHOP}---\n{}", service("shop", "shop", 1)),
        ),
        ("web-service.yaml", service("web", "web", 1)),
        ("web.yaml", WEB.to_owned()),
    ];
    let loaded = load(&scan_of(&files), &LastGood::default(), &at(1));
    assert_eq!(loaded.diagnostics, []);
    assert_eq!(loaded.pruning, Pruning::Allowed);
    assert_eq!(loaded.held, BTreeMap::new());
    assert_eq!(
        names(&loaded),
        [
            "TaskDefinition shop",
            "TaskDefinition web",
            "Service shop",
            "Service web"
        ]
    );
    (files, LastGood(loaded.good))
}

fn scan_of(files: &[(&'static str, String)]) -> Scan {
    folder(files.iter().map(|(path, text)| (*path, text.as_str())))
}

#[test]
fn a_document_that_cannot_be_taken_raises_no_second_error_about_its_name() {
    let to = |cluster: &str| {
        service("web", "w", 1).replace("spec:\n", &format!("spec:\n  cluster: {cluster}\n"))
    };
    let loaded = |other: &'static str, text: &str| {
        let files = [("a.yaml", to("x")), (other, text.to_owned())];
        places(&load(&scan_of(&files), &LastGood::default(), &at(1)))
    };
    let family = "family: w\ncontainerDefinitions: [{name: w, image: busybox:1, memory: 64}]\n";
    let cluster = "apiVersion: longshore/v1\nkind: Cluster\nmetadata: {name: x}\n";
    assert_eq!(
        loaded("b.yaml", &format!("{cluster}---\n{family}")),
        ["LS0204 1:1"],
        "no spec"
    );
    assert_eq!(
        loaded(
            "b.yaml",
            &format!("{}spec: {{}}\n---\n{family}", cluster.replace("/v1", "/v9"))
        ),
        ["LS0212 1:13"]
    );
    // It may be a family of any name that is cut off here.
    assert_eq!(
        loaded("b.json", "{\"containerDefinitions\": [{"),
        ["LS0101 1:27"]
    );
    // What is read whole and is something else hides nothing.
    assert_eq!(
        loaded("b.yaml", "hello: there\n"),
        ["LS0402 5:12", "LS0403 6:19", "LS0210 1:1"]
    );
}

#[test]
fn an_unknown_cluster_of_what_describe_services_prints_is_shown_at_its_arn() {
    let text = r#"{"services": [
  {"serviceName": "two", "desiredCount": 1, "taskDefinition": "web:1",
   "clusterArn": "arn:aws:ecs:eu-west-1:1:cluster/nowhere"}]}"#;
    assert!(
        places(&one(text)).contains(&"LS0402 3:18".to_owned()),
        "{:?}",
        places(&one(text))
    );
}

#[test]
fn the_hash_is_of_the_content_and_not_of_how_it_is_written() {
    let hash = |text: &str| {
        let loaded = one(text);
        assert_eq!(loaded.diagnostics, [], "{text}");
        loaded.good.values().next().unwrap().hash.clone()
    };
    let plain = hash(WEB);
    assert_eq!(hash(&format!("# c\n{WEB}taskRoleArn: null\n")), plain);
    assert_eq!(
        hash(
            r#"{"containerDefinitions":[{"memory":64.0,"image":"busybox:1","name":"web"}],"family":"web","revision":7}"#
        ),
        plain
    );
    let enveloped = "apiVersion: longshore/v1\nkind: TaskDefinition\nmetadata: {name: web}\nstatus: {x: 1}\nspec: {containerDefinitions: [{name: web, image: 'busybox:1', memory: 64}]}\n";
    assert_eq!(hash(enveloped), plain);
    assert_ne!(hash(&WEB.replace("64", "65")), plain);
}

#[test]
fn what_describe_prints_is_taken_and_its_status_dropped() {
    let loaded = one(
        r#"{"taskDefinition": {"taskDefinitionArn": "arn:aws:ecs:eu-west-1:1:task-definition/web:7", "revision": 7,
        "status": "ACTIVE", "registeredBy": "me", "family": "web", "volumes": [], "placementConstraints": [],
        "containerDefinitions": [{"name": "web", "image": "busybox", "cpu": 0, "memory": 64, "command": null}]},
        "tags": [{"key": "team", "value": "shop"}]}"#,
    );
    assert_eq!(loaded.diagnostics, []);
    let (registered, _) = &loaded.desired.task_definitions["web"];
    assert_eq!(registered.input["family"], "web");
    assert_eq!(registered.input.get("revision"), None);
    assert_eq!(registered.spec.tags["team"], "shop");

    let loaded = one(&format!(
        r#"{WEB}---
{{"services": [{{"serviceArn": "arn:aws:ecs:eu-west-1:1:service/prod/web", "serviceName": "web", "runningCount": 2,
  "clusterArn": "arn:aws:ecs:eu-west-1:1:cluster/default", "status": "ACTIVE", "desiredCount": 2, "roleArn": "arn:x",
  "taskDefinition": "arn:aws:ecs:eu-west-1:1:task-definition/web:7", "deployments": [], "events": []}},
  {{"serviceName": "two", "desiredCount": 1, "taskDefinition": "web"}}], "failures": []}}"#
    ));
    assert_eq!(loaded.diagnostics, []);
    let (spec, source) = &loaded.desired.services["default"]["web"];
    assert_eq!(
        (spec.family.as_str(), spec.revision, spec.desired_count),
        ("web", None, 2)
    );
    assert_eq!(source.to_string(), "a.yaml:5");
    assert_eq!(loaded.desired.services["default"].len(), 2);
}

#[test]
fn a_name_in_the_spec_agrees_with_the_one_in_the_metadata() {
    let text = service("web", "'web:1'", 1) + "  serviceName: wbe\n";
    let loaded = one(&text);
    assert_eq!(places(&loaded)[1], "LS0214 7:16");
    assert_eq!(loaded.diagnostics[1].related[0].span.line, 3);
}

#[test]
fn the_example_folder_is_valid_without_a_single_warning() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("manifests");
    let loaded = load(
        &crate::manifest::source::scan(&folder),
        &LastGood::default(),
        &at(0),
    );
    assert_eq!(loaded.diagnostics, []);
    assert!(loaded.desired.all_services().count() >= 3);
}

#[test]
fn an_editor_and_validate_agree_about_every_example_of_a_shape() {
    let schema: Json =
        serde_json::from_str(crate::manifest::schema::embedded("longshore").unwrap()).unwrap();
    let editor = jsonschema::validator_for(&schema).unwrap();
    for page in codes::pages().filter(|page| page.code > "LS02" && !page.wrong.is_empty()) {
        let fits = |text: &str| {
            let file = Arc::new(SourceFile {
                path: "a.yaml".into(),
                text: text.into(),
            });
            yaml::parse(&file)
                .documents
                .iter()
                .all(|document| editor.is_valid(&document.to_json()))
        };
        assert!(fits(page.right), "{}", page.code);
        // Names that disagree are beyond a schema, and so are members that exclude each other.
        if page.code < "LS0214" {
            assert!(!fits(page.wrong), "{}", page.code);
        }
    }
}

#[test]
fn a_wrong_name_is_reported_once() {
    let text = service("'my web'", "'web:1'", 1);
    assert_eq!(places(&one(&text)), ["LS0206 3:18", "LS0404 5:19"]);
}
