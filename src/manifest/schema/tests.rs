use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::*;

/// The folder with ECS's own lists of members, for whoever has it (`LONGSHORE_SHARED`).
fn reference(name: &str) -> Option<String> {
    let Some(shared) = std::env::var_os("LONGSHORE_SHARED") else {
        eprintln!("not run: LONGSHORE_SHARED is not set, so there is no {name} to compare with");
        return None;
    };
    let path = PathBuf::from(shared).join("ecs").join(name);
    Some(std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display())))
}

#[test]
fn the_committed_schemas_are_those_that_the_types_give() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas");
    for file in FILES {
        let wanted = render(&generate(file.kind));
        if std::env::var_os("LONGSHORE_BLESS").is_some() {
            std::fs::write(folder.join(file.name), &wanted).unwrap();
        } else {
            assert!(
                file.text == wanted,
                "schemas/{} is out of date: run LONGSHORE_BLESS=1 cargo test",
                file.name
            );
        }
    }
}

#[test]
fn every_published_schema_is_a_schema() {
    for file in FILES {
        let schema: Value = serde_json::from_str(file.text).unwrap();
        assert!(jsonschema::meta::is_valid(&schema), "{}", file.name);
        jsonschema::validator_for(&schema).unwrap();
    }
}

/// Words that a member of ECS's may be here only.
const OWN_WORDS: &[(&str, &str)] = &[("containerDefinitions[].environmentFiles[].type", "file")];

#[test]
fn the_schemas_have_exactly_the_members_of_ecs_and_the_marked_additions() {
    for (kind, name, count) in [
        (Kind::TaskDefinition, "register-task-definition.tsv", 169),
        (Kind::Service, "create-service.tsv", 166),
        (Kind::Cluster, "create-cluster.tsv", 27),
    ] {
        let Some(table) = reference(name) else { return };
        let mut wanted: BTreeMap<String, Vec<String>> = table
            .lines()
            .skip(1)
            .map(|line| {
                let mut columns = line.split('\t').map(str::to_owned);
                (columns.next().unwrap_or_default(), columns.collect())
            })
            .collect();
        assert_eq!(
            wanted.len(),
            count,
            "{name} has as many rows as ECS has members"
        );
        for member in members(kind) {
            let Some(columns) = wanted.remove(&member.path) else {
                assert!(
                    member.longshore,
                    "{kind}: {} is no member of ECS's",
                    member.path
                );
                continue;
            };
            assert!(!member.longshore, "{kind}: {} is ECS's own", member.path);
            let options: BTreeSet<&str> = member
                .options()
                .into_iter()
                .filter(|word| !OWN_WORDS.contains(&(member.path.as_str(), *word)))
                .collect();
            let of_ecs: BTreeSet<&str> = columns[2].split('|').filter(|o| !o.is_empty()).collect();
            assert_eq!(options, of_ecs, "{kind}: the words of {}", member.path);
            if columns[1] == "required" && member.path != kind.name_member() {
                assert!(member.required, "{kind}: {} is required", member.path);
            }
            for (key, bound) in [("min=", "minimum"), ("max=", "maximum")] {
                let Some(text) = columns[3]
                    .split(' ')
                    .find_map(|word| word.strip_prefix(key))
                else {
                    continue;
                };
                let found = match member.kind.as_str() {
                    "integer" => member.schema.get(bound),
                    "text" => member.schema.get(if bound == "minimum" {
                        "minLength"
                    } else {
                        "maxLength"
                    }),
                    _ => member.schema.get(if bound == "minimum" {
                        "minItems"
                    } else {
                        "maxItems"
                    }),
                };
                if text != "0" {
                    assert_eq!(
                        found,
                        Some(&json!(text.parse::<i64>().unwrap())),
                        "{kind}: {bound} of {}",
                        member.path
                    );
                }
            }
        }
        assert!(wanted.is_empty(), "{kind} lacks {:?}", wanted.keys());
    }
}

#[test]
fn every_member_has_a_description_of_one_line() {
    for kind in Kind::ALL {
        for member in members(kind) {
            let text = member.description();
            assert!(
                text.ends_with('.') && !text.contains('\n'),
                "{kind}: {}: {text:?}",
                member.path
            );
        }
    }
}

fn accepts(kind: Option<Kind>, document: &Value) -> bool {
    let name = kind.map_or("longshore", Kind::as_str);
    let schema: Value = serde_json::from_str(embedded(name).unwrap()).unwrap();
    jsonschema::validator_for(&schema)
        .unwrap()
        .is_valid(document)
}

#[test]
fn an_editor_is_told_of_unknown_members_and_allows_null_for_absent_ones() {
    let service = |spec: Value| json!({"apiVersion": "longshore/v1", "kind": "Service", "metadata": {"name": "web"}, "spec": spec});
    let good = service(
        json!({"taskDefinition": "web", "desiredCount": 1, "role": null, "launchType": null}),
    );
    let bad = service(json!({"taskDefinition": "web", "desiredcount": 1}));
    for kind in [None, Some(Kind::Service)] {
        assert!(accepts(kind, &good));
        assert!(!accepts(kind, &bad));
    }
    assert!(!accepts(Some(Kind::Cluster), &good), "it is no cluster");
}

#[test]
fn an_editor_takes_plain_ecs_documents_and_what_describe_prints() {
    let plain = json!({"family": "web", "containerDefinitions": [{"name": "web", "image": "busybox", "cpu": 0, "command": null}]});
    assert!(accepts(None, &plain));
    assert!(!accepts(
        None,
        &json!({"family": "web", "containerDefinitions": []})
    ));
    let mut described = plain.clone();
    described["revision"] = json!(3);
    assert!(accepts(None, &described));
    assert!(accepts(
        None,
        &json!({"taskDefinition": described, "tags": []})
    ));
    assert!(accepts(
        None,
        &json!({"services": [{"serviceName": "web", "runningCount": 1, "taskDefinition": "web"}]})
    ));
    assert!(!accepts(None, &json!({"version": 3})));
}

#[test]
fn a_schema_is_found_by_any_usual_spelling_of_its_kind() {
    for name in [
        "TaskDefinition",
        "task-definition",
        "task-definitions",
        "taskdefinitions",
    ] {
        assert_eq!(embedded(name), Some(FILES[2].text), "{name}");
    }
    assert_eq!(embedded("Services"), Some(FILES[3].text));
    assert_eq!(embedded("longshore"), Some(FILES[0].text));
    assert_eq!(embedded("Pod"), None);
}
