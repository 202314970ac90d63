//! Resources as manifests again, for `get -o yaml`: what comes out can be put back in.

use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::{Map, Value as Json, json};

use super::load::LastGoodDoc;
use super::types::{API_VERSION, Kind};
use super::yaml;
use crate::diagnostic::SourceFile;
use crate::model::RegisteredDefinition;

/// A remembered document in the envelope, with a `status` if there is one to tell. The name stands in `metadata` only.
pub fn document(kept: &LastGoodDoc, status: Option<Json>) -> Json {
    let mut document = kept.document.clone();
    let kind = document["kind"].as_str().and_then(Kind::parse);
    if let Some(kind) = kind {
        strip_name(kind, &mut document);
    }
    with_status(document, status)
}

/// A registered task definition in the envelope.
pub fn task_definition(registered: &RegisteredDefinition, status: Option<Json>) -> Json {
    let mut metadata = Map::new();
    metadata.insert("name".into(), json!(registered.spec.family));
    if !registered.labels.is_empty() {
        metadata.insert("labels".into(), json!(registered.labels));
    }
    let mut document = json!({
        "apiVersion": API_VERSION,
        "kind": Kind::TaskDefinition.as_str(),
        "metadata": metadata,
        "spec": registered.input,
    });
    strip_name(Kind::TaskDefinition, &mut document);
    with_status(document, status)
}

/// A resource that no file declares, such as the cluster `default`.
pub fn implied(kind: Kind, name: &str, status: Option<Json>) -> Json {
    let document = json!({
        "apiVersion": API_VERSION,
        "kind": kind.as_str(),
        "metadata": { "name": name },
        "spec": {},
    });
    with_status(document, status)
}

/// Documents as YAML, `---` between them. Keys are in the envelope's order, which is that of the alphabet.
pub fn to_yaml(documents: &[Json]) -> String {
    documents
        .iter()
        .map(one_to_yaml)
        .collect::<Vec<_>>()
        .join("---\n")
}

/// The writer takes some rare characters, such as U+2028, for ends of lines, as YAML 1.1 did. A document that would not be
/// read back as it is, is written as JSON, which is YAML too.
fn one_to_yaml(document: &Json) -> String {
    let text = serde_yaml::to_string(document).unwrap_or_default();
    let file = Arc::new(SourceFile {
        path: String::new(),
        text,
    });
    let read = yaml::parse(&file);
    if let [node] = read.documents.as_slice()
        && read.diagnostics.is_empty()
        && node.to_json() == *document
    {
        return file.text.clone();
    }
    let plain = serde_json::to_string_pretty(document).unwrap_or_default();
    let mut text = String::with_capacity(plain.len() + 1);
    for letter in plain.chars() {
        let is_rare = matches!(
            letter,
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
        );
        if is_rare {
            let _ = write!(text, "\\u{:04x}", u32::from(letter));
        } else {
            text.push(letter);
        }
    }
    text.push('\n');
    text
}

fn strip_name(kind: Kind, document: &mut Json) {
    if let Some(spec) = document["spec"].as_object_mut() {
        spec.remove(kind.name_member());
    }
}

fn with_status(mut document: Json, status: Option<Json>) -> Json {
    if let Some(status) = status {
        document["status"] = status;
    }
    document
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::manifest::load::tests::{folder, one};
    use crate::manifest::load::{LastGood, LoadOptions, ResourceKey, load};

    #[test]
    fn what_comes_out_can_be_put_back_in_and_is_the_same_resource() {
        let loaded = one("\
family: web
cpu: '256'
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64, command: ['yes', '0x10', '1e3', '~', 'a: b # c', \"x\\ny\"], essential: null}
---
apiVersion: longshore/v1
kind: Service
metadata: {name: web, labels: {team: 'no'}, annotations: {why: ''}}
spec: {taskDefinition: web, desiredCount: 2}
");
        assert_eq!(loaded.diagnostics, []);
        let out: Vec<Json> = loaded
            .good
            .values()
            .map(|kept| document(kept, Some(json!({"runningCount": 2}))))
            .collect();
        let text = to_yaml(&out);
        assert!(
            text.starts_with(
                "apiVersion: longshore/v1\nkind: TaskDefinition\nmetadata:\n  name: web\nspec:\n"
            ),
            "{text}"
        );
        let again = load(
            &folder([("b.yaml", text.as_str())]),
            &LastGood::default(),
            &LoadOptions::default(),
        );
        assert_eq!(again.diagnostics, [], "{text}");
        let hashes = |loaded: &crate::manifest::load::Loaded| -> Vec<(ResourceKey, String)> {
            let good = loaded.good.iter();
            good.map(|(key, kept)| (key.clone(), kept.hash.clone()))
                .collect()
        };
        assert_eq!(hashes(&again), hashes(&loaded), "{text}");
    }

    #[test]
    fn a_registered_definition_has_its_labels_and_no_second_name() {
        let loaded = one("\
apiVersion: longshore/v1
kind: TaskDefinition
metadata: {name: web, labels: {team: shop}}
spec:
  containerDefinitions: [{name: web, image: busybox, memory: 64}]
");
        let (registered, _) = loaded.desired.task_definitions.values().next().unwrap();
        assert_eq!(registered.input["family"], "web");
        assert_eq!(
            task_definition(registered, None),
            json!({
                "apiVersion": "longshore/v1",
                "kind": "TaskDefinition",
                "metadata": {"name": "web", "labels": {"team": "shop"}},
                "spec": {"containerDefinitions": [{"name": "web", "image": "busybox", "memory": 64}]},
            })
        );
    }

    #[test]
    fn text_that_the_writer_would_fold_is_written_as_json() {
        let document = json!({"key": "\u{2028}a", "other": "\u{85}"});
        let text = to_yaml(std::slice::from_ref(&document));
        assert_eq!(
            text,
            "{\n  \"key\": \"\\u2028a\",\n  \"other\": \"\\u0085\"\n}\n"
        );
        assert_eq!(serde_json::from_str::<Json>(&text).unwrap(), document);
    }

    proptest! {
        #[test]
        fn any_text_survives_the_way_out_and_in(value in "(?s).{0,12}|[\\x00-\\x1f\\x7f-\\x9f\\u{2028}\\u{2029}\\u{feff} a]{0,6}|[\\n\\t \"':#~&*!|>%@`{}\\[\\],?-]{0,8}|[0-9_.xoe+-]{0,6}") {
            let document = json!({"a": {"key": value.as_str(), value.as_str(): "x"}});
            let file = std::sync::Arc::new(crate::diagnostic::SourceFile {
                path: "a.yaml".into(),
                text: to_yaml(std::slice::from_ref(&document)),
            });
            let parsed = crate::manifest::yaml::parse(&file);
            prop_assert_eq!(&parsed.diagnostics, &[], "{}", file.text);
            prop_assert_eq!(parsed.documents[0].to_json(), document, "{}", file.text);
        }
    }
}
