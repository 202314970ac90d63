//! `--overrides`: ECS's overrides from files and from `KEY=VALUE`.

use std::io::Read as _;
use std::path::Path;

use serde_json::{Value, json};

/// The containers of a definition.
#[derive(Debug, Clone, Default)]
pub struct Containers {
    /// All names.
    names: Vec<String>,
    /// The first essential one.
    main: String,
}

impl Containers {
    /// Those of RegisterTaskDefinition's input.
    pub fn of(input: Option<&Value>) -> Self {
        let all = input.and_then(|input| input["containerDefinitions"].as_array());
        let all: Vec<&Value> = all.into_iter().flatten().collect();
        let name = |container: &&Value| container["name"].as_str().unwrap_or_default().to_owned();
        let main = all
            .iter()
            .find(|container| container["essential"] != false)
            .or(all.first());
        Self {
            names: all.iter().map(name).collect(),
            main: main.map(name).unwrap_or_default(),
        }
    }
}

/// ECS's `overrides`, of files and assignments in their order and then the command.
///
/// # Errors
/// A file cannot be read, or an assignment says nothing that can be overridden; as a sentence.
pub fn read(
    given: &[String],
    command: &[String],
    containers: &Containers,
) -> Result<Value, String> {
    let mut overrides = json!({});
    for text in given {
        // As `aws ecs run-task` takes it.
        let inline = text.trim_start().starts_with('{');
        match text.split_once('=') {
            Some((key, value)) if !inline && !Path::new(text).exists() => {
                assign(&mut overrides, key, value, containers)?;
            }
            _ => {
                if overrides != json!({}) {
                    return Err(format!(
                        "--overrides {text}: JSON or a file comes first, and only one of them"
                    ));
                }
                overrides = match inline {
                    true => object(text, text)?,
                    false => file(text)?,
                };
            }
        }
    }
    if !command.is_empty() {
        of_container(&mut overrides, &containers.main)?["command"] = json!(command);
    }
    Ok(overrides)
}

fn file(name: &str) -> Result<Value, String> {
    let mut text = String::new();
    let read = match name.strip_prefix("file://").unwrap_or(name) {
        "-" => std::io::stdin().read_to_string(&mut text),
        path => std::fs::File::open(path).and_then(|mut file| file.read_to_string(&mut text)),
    };
    read.map_err(|error| format!("--overrides {name}: {error}"))?;
    object(name, &text)
}

/// ECS's overrides, as JSON or YAML.
fn object(name: &str, text: &str) -> Result<Value, String> {
    let value: Value =
        serde_yaml::from_str(text).map_err(|error| format!("--overrides {name}: {error}"))?;
    if !value.is_object() {
        return Err(format!(
            "--overrides {name}: write an object, for example {{\"containerOverrides\": [{{\"name\": \"main\", \"command\": [\"true\"]}}]}}"
        ));
    }
    Ok(value)
}

/// The override of that container, made where there is none.
fn of_container<'a>(overrides: &'a mut Value, name: &str) -> Result<&'a mut Value, String> {
    let list = &mut overrides["containerOverrides"];
    if list.is_null() {
        *list = json!([]);
    }
    let list = list
        .as_array_mut()
        .ok_or("containerOverrides is no list".to_owned())?;
    let at = list.iter().position(|over| over["name"] == name);
    let at = at.unwrap_or_else(|| {
        list.push(json!({"name": name}));
        list.len() - 1
    });
    list.get_mut(at)
        .ok_or_else(|| "containerOverrides is no list".to_owned())
}

fn assign(
    overrides: &mut Value,
    key: &str,
    value: &str,
    containers: &Containers,
) -> Result<(), String> {
    let number = || {
        value
            .parse::<u32>()
            .map(|number| json!(number))
            .map_err(|_| format!("--overrides {key}={value}: {value:?} is no number"))
    };
    if let Some(member @ ("cpu" | "memory")) = key.strip_prefix("task.") {
        overrides[member] = json!(value);
        return Ok(());
    }
    // The longest name first: one may be the beginning of another.
    let mut names: Vec<&String> = containers.names.iter().collect();
    names.sort_by_key(|name| std::cmp::Reverse(name.len()));
    let named = names.into_iter().find_map(|name| {
        let rest = key.strip_prefix(name.as_str())?.strip_prefix('.')?;
        Some((name.as_str(), rest))
    });
    let (container, member) = named.unwrap_or((containers.main.as_str(), key));
    let over = of_container(overrides, container)?;
    match member {
        "command" => over["command"] = words(value)?,
        "cpu" | "memory" | "memoryReservation" => over[member] = number()?,
        _ => {
            let name = member
                .strip_prefix("env.")
                .or_else(|| member.strip_prefix("environment."))
                .or_else(|| is_plain_variable(member).then_some(member))
                .ok_or_else(|| {
                    format!(
                        "--overrides {key}={value}: write NAME=VALUE or env.NAME=VALUE for a variable, command=, cpu=, memory= \
or memoryReservation=; CONTAINER. in front for one of {}, task.cpu= and task.memory= for the task",
                        containers.names.join(", ")
                    )
                })?;
            let variables = &mut over["environment"];
            if variables.is_null() {
                *variables = json!([]);
            }
            let variables = variables
                .as_array_mut()
                .ok_or_else(|| "environment is no list".to_owned())?;
            variables.retain(|variable| variable["name"] != name);
            variables.push(json!({"name": name, "value": value}));
        }
    }
    Ok(())
}

/// Variables are in capitals by custom; a misspelt member is not one.
fn is_plain_variable(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name
            .bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

/// A JSON list, or words with a space between.
fn words(value: &str) -> Result<Value, String> {
    if value.trim_start().starts_with('[') {
        let list: Vec<String> = serde_json::from_str(value)
            .map_err(|error| format!("--overrides command={value}: {error}"))?;
        return Ok(json!(list));
    }
    Ok(json!(value.split_whitespace().collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn containers() -> Containers {
        Containers::of(Some(&json!({"containerDefinitions": [
            {"name": "init", "essential": false}, {"name": "main"}, {"name": "main.side", "essential": false}
        ]})))
    }

    fn of(given: &[&str], command: &[&str]) -> Result<Value, String> {
        let given: Vec<String> = given.iter().map(|text| (*text).to_owned()).collect();
        let command: Vec<String> = command.iter().map(|text| (*text).to_owned()).collect();
        read(&given, &command, &containers())
    }

    #[test]
    fn assignments_are_for_the_essential_container_unless_they_name_another() {
        let over = of(
            &[
                "VERSION=2=3",
                "env.path=/x",
                "init.command=[\"sh\", \"-c\", \"exit 1\"]",
                "main.side.cpu=64",
                "memory=128",
                "task.memory=1 GB",
                "VERSION=4",
            ],
            &["echo", "a b"],
        );
        assert_eq!(
            over.unwrap(),
            json!({
                "memory": "1 GB",
                "containerOverrides": [
                    {"name": "main", "memory": 128, "command": ["echo", "a b"], "environment": [
                        {"name": "path", "value": "/x"}, {"name": "VERSION", "value": "4"}
                    ]},
                    {"name": "init", "command": ["sh", "-c", "exit 1"]},
                    {"name": "main.side", "cpu": 64}
                ]
            })
        );
        assert_eq!(
            of(&["command=sleep 5"], &[]).unwrap(),
            json!({"containerOverrides": [{"name": "main", "command": ["sleep", "5"]}]})
        );
    }

    #[test]
    fn a_file_in_ecs_form_comes_first_and_may_be_added_to() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a=b.yaml");
        std::fs::write(
            &path,
            "containerOverrides: [{name: main, command: ['true']}]",
        )
        .unwrap();
        let path = path.display().to_string();
        assert_eq!(
            of(&[&path, "A=1"], &[]).unwrap(),
            json!({"containerOverrides": [
                {"name": "main", "command": ["true"], "environment": [{"name": "A", "value": "1"}]}
            ]})
        );
        assert!(
            of(&["A=1", &path], &[])
                .unwrap_err()
                .contains("a file comes first")
        );
        assert!(
            of(&["nowhere.json"], &[])
                .unwrap_err()
                .starts_with("--overrides nowhere.json: ")
        );
    }

    #[test]
    fn ecss_json_may_stand_on_the_command_line_itself() {
        let json =
            r#"{"cpu": "256", "containerOverrides": [{"name": "main", "command": ["a=b"]}]}"#;
        assert_eq!(
            of(&[json, "MONTH=05"], &[]).unwrap(),
            json!({"cpu": "256", "containerOverrides": [
                {"name": "main", "command": ["a=b"], "environment": [{"name": "MONTH", "value": "05"}]}
            ]})
        );
        assert!(
            of(&["MONTH=05", json], &[])
                .unwrap_err()
                .contains("comes first")
        );
        assert!(
            of(&["{no"], &[])
                .unwrap_err()
                .starts_with("--overrides {no: ")
        );
    }

    #[test]
    fn what_says_nothing_that_can_be_overridden_is_an_error_that_says_what_can() {
        let error = of(&["comand=true"], &[]).unwrap_err();
        assert!(
            error.contains("command=") && error.contains("init, main"),
            "{error}"
        );
        assert!(of(&["cpu=much"], &[]).unwrap_err().contains("no number"));
    }
}
