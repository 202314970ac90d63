//! Names, essential containers, environment, health checks, labels and logs.

use std::collections::HashMap;

use super::{Task, of_container};
use crate::diagnostic::{Diagnostic, Span, codes};
use crate::manifest::document::Document;
use crate::manifest::report::Reporting;
use crate::manifest::types::{ContainerDefinition, LogDriver, NetworkMode};

pub(super) fn check(task: &Task<'_>, found: &mut Vec<Diagnostic>) {
    let Task {
        document,
        definition,
    } = task;
    let containers = &definition.container_definitions;
    let names = containers.iter().map(|container| container.name.as_str());
    duplicates(
        document,
        names,
        |i| document.value(&of_container(i, "/name")),
        "containers",
        found,
    );
    let volumes = definition.volumes.iter().map(|volume| volume.name.as_str());
    duplicates(
        document,
        volumes,
        |i| document.value(&format!("/volumes/{i}/name")),
        "volumes",
        found,
    );
    if !containers.is_empty() && containers.iter().all(|c| c.essential == Some(false)) {
        found.push(
            document
                .error(
                    codes::NO_ESSENTIAL,
                    document.value(&of_container(0, "/essential")),
                    "no container is essential",
                )
                .help("remove `essential: false` from the container that the task is about"),
        );
    }
    for (index, container) in containers.iter().enumerate() {
        if definition.network_mode == Some(NetworkMode::Awsvpc) && container.name == "pause" {
            found.push(
                document
                    .error(
                        codes::RESERVED_NAME,
                        document.value(&of_container(index, "/name")),
                        "in `awsvpc`, `pause` is the container that holds the task's network",
                    )
                    .help("give the container another name"),
            );
        }
        environment(document, index, container, found);
        health_check(document, index, container, found);
        labels(document, index, container, found);
    }
    awslogs(document, containers, found);
}

/// Said once a task: what holds for one container holds for all.
fn awslogs(document: &Document, containers: &[ContainerDefinition], found: &mut Vec<Diagnostic>) {
    let named = |container: &ContainerDefinition| {
        let log = container.log_configuration.as_ref();
        log.is_some_and(|log| log.log_driver == LogDriver::Awslogs)
    };
    let Some(first) = containers.iter().position(named) else {
        return;
    };
    let message = match containers.iter().filter(|c| named(c)).count() {
        1 => "output stays here instead of going to CloudWatch".to_owned(),
        count => format!("output of {count} containers stays here instead of going to CloudWatch"),
    };
    found.push(
        document
            .warning(
                codes::AWSLOGS,
                document.value(&of_container(first, "/logConfiguration/logDriver")),
                message,
            )
            .help("read it with `longshore logs`, or name another driver in `logDriverOverrides` of the cluster"),
    );
}

/// Reports each name that was there before, with the first place.
fn duplicates<'a>(
    document: &Document,
    names: impl Iterator<Item = &'a str>,
    span: impl Fn(usize) -> Span,
    what: &str,
    found: &mut Vec<Diagnostic>,
) {
    let mut first = HashMap::new();
    for (index, name) in names.enumerate() {
        if name.is_empty() {
            continue;
        }
        if let Some(before) = first.get(name) {
            found.push(
                document
                    .error(
                        codes::DUPLICATE_NAME,
                        span(index),
                        format!("two {what} are named `{name}`"),
                    )
                    .related(&document.file, span(*before), "the first one")
                    .help("rename one of them"),
            );
        } else {
            first.insert(name, index);
        }
    }
}

fn environment(
    document: &Document,
    index: usize,
    container: &ContainerDefinition,
    found: &mut Vec<Diagnostic>,
) {
    let mut first: HashMap<&str, usize> = HashMap::new();
    for (position, variable) in container.environment.iter().enumerate() {
        let pointer = of_container(index, &format!("/environment/{position}"));
        let name = variable.name.as_deref().unwrap_or_default();
        if name.is_empty() || name.contains('=') || name.contains('\0') {
            let (span, message) = if variable.name.is_some() {
                (
                    document.value(&format!("{pointer}/name")),
                    format!("`{name}` cannot be the name of an environment variable"),
                )
            } else {
                (
                    document.value(&pointer),
                    "an environment variable has no name".to_owned(),
                )
            };
            found.push(
                document
                    .error(codes::VARIABLE_NAME, span, message)
                    .help("a name is not empty and holds no `=`"),
            );
            continue;
        }
        if let Some(before) = first.insert(name, position) {
            let before = of_container(index, &format!("/environment/{before}/name"));
            found.push(
                document
                    .warning(
                        codes::VARIABLE_TWICE,
                        document.value(&format!("{pointer}/name")),
                        format!("`{name}` is set twice, and this value wins"),
                    )
                    .related(&document.file, document.value(&before), "set here before")
                    .help("remove one of the two"),
            );
        }
    }
}

fn health_check(
    document: &Document,
    index: usize,
    container: &ContainerDefinition,
    found: &mut Vec<Diagnostic>,
) {
    let Some(check) = &container.health_check else {
        return;
    };
    let command = &check.command;
    let at = |position: usize| {
        document.value(&of_container(
            index,
            &format!("/healthCheck/command/{position}"),
        ))
    };
    match command.first().map(String::as_str) {
        None => {}
        Some("CMD" | "CMD-SHELL") if command.len() < 2 => found.push(
            document
                .error(
                    codes::HEALTH_CHECK_COMMAND,
                    at(0),
                    "the health check has nothing to run",
                )
                .help("add the program, or the script, after it"),
        ),
        Some("CMD") => {}
        Some("CMD-SHELL") if command.len() > 2 => found.push(
            document
                .warning(
                    codes::SHELL_ARGUMENTS,
                    at(2),
                    "the shell runs only the item after `CMD-SHELL`; the others are its arguments",
                )
                .help("write the whole script as one item"),
        ),
        Some("CMD-SHELL") => {}
        Some(first) => {
            // A program by its path needs no shell, and its image may have none.
            if first.starts_with('/') && !first.contains(char::is_whitespace) {
                let items: Vec<String> = command.iter().map(|item| format!("{item:?}")).collect();
                found.push(
                    wrong_start(document, at(0))
                        .help(format!("write [\"CMD\", {}]", items.join(", "))),
                );
                return;
            }
            let script = command.join(" ");
            let script = first
                .strip_prefix("CMD-SHELL")
                .map_or(script.as_str(), |rest| rest.trim_start_matches([',', ' ']));
            found.push(
                wrong_start(document, at(0)).help(format!("write [\"CMD-SHELL\", {script:?}]")),
            );
        }
    }
}

/// Neither Docker nor ECS runs such a check, and both take it.
fn wrong_start(document: &Document, span: Span) -> Diagnostic {
    document.warning(
        codes::HEALTH_CHECK_UNRUN,
        span,
        "this health check is never run: it begins with neither `CMD` nor `CMD-SHELL`",
    )
}

fn labels(
    document: &Document,
    index: usize,
    container: &ContainerDefinition,
    found: &mut Vec<Diagnostic>,
) {
    for key in container.docker_labels.keys() {
        if key.starts_with("longshore.") || key.starts_with("com.amazonaws.ecs.") {
            let token = key.replace('~', "~0").replace('/', "~1");
            found.push(
                document
                    .warning(
                        codes::RESERVED_LABEL,
                        document.key(&of_container(index, &format!("/dockerLabels/{token}"))),
                        format!(
                            "Longshore may set the label `{key}` itself, and its own value wins"
                        ),
                    )
                    .help("use another prefix than `longshore.` and `com.amazonaws.ecs.`"),
            );
        }
    }
}
