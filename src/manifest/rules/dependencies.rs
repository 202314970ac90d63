//! What containers of a task wait for: `dependsOn`, and the order that `links` and `volumesFrom` imply.

use std::collections::{HashMap, VecDeque};

use super::{Task, of_container};
use crate::diagnostic::{Diagnostic, codes};
use crate::manifest::report::{Reporting, listed, nearest};
use crate::manifest::types::ContainerCondition;

/// One container waits for another, as written at a pointer.
struct Edge {
    to: usize,
    pointer: String,
}

pub(super) fn check(task: &Task<'_>, found: &mut Vec<Diagnostic>) {
    let Task {
        document,
        definition,
    } = task;
    let containers = &definition.container_definitions;
    let mut by_name: HashMap<&str, usize> = HashMap::new();
    for (index, container) in containers.iter().enumerate() {
        by_name.entry(&container.name).or_insert(index);
    }
    let mut edges: Vec<Vec<Edge>> = containers.iter().map(|_| Vec::new()).collect();
    for (index, container) in containers.iter().enumerate() {
        let mut refer = |name: &str, pointer: String, found: &mut Vec<Diagnostic>| {
            let to = by_name.get(name).copied();
            match to {
                Some(to) => edges[index].push(Edge { to, pointer }),
                None => {
                    let near = nearest(name, by_name.keys().copied());
                    let help = near.map_or_else(
                        || {
                            format!(
                                "its containers are {}",
                                listed(containers.iter().map(|c| c.name.as_str()))
                            )
                        },
                        |near| format!("did you mean `{near}`?"),
                    );
                    found.push(
                        document
                            .error(
                                codes::UNKNOWN_CONTAINER,
                                document.value(&pointer),
                                format!("the task has no container `{name}`"),
                            )
                            .help(help),
                    );
                }
            }
            to
        };
        for (position, dependency) in container.depends_on.iter().enumerate() {
            let pointer = of_container(index, &format!("/dependsOn/{position}"));
            let name = &dependency.container_name;
            let Some(to) = refer(name, format!("{pointer}/containerName"), found) else {
                continue;
            };
            let condition = document.value(&format!("{pointer}/condition"));
            let other = &containers[to];
            match dependency.condition {
                ContainerCondition::Complete | ContainerCondition::Success
                    if other.essential != Some(false) =>
                {
                    let essential = document.value(&of_container(
                        to,
                        if other.essential.is_some() {
                            "/essential"
                        } else {
                            "/name"
                        },
                    ));
                    found.push(
                        document
                            .error(
                                codes::COMPLETE_ON_ESSENTIAL,
                                condition,
                                format!(
                                    "when `{name}` ends the task stops, because it is essential"
                                ),
                            )
                            .related(
                                &document.file,
                                essential,
                                "essential, unless it says `essential: false`",
                            )
                            .help(format!("write `essential: false` on `{name}`")),
                    );
                }
                ContainerCondition::Healthy
                    if !other.health_check.as_ref().is_some_and(|check| check.is_run()) =>
                found.push(
                    document
                        .error(
                            codes::HEALTHY_WITHOUT_CHECK,
                            condition,
                            format!("`{name}` has no `healthCheck` that is run, so it never becomes healthy"),
                        )
                        .related(
                            &document.file,
                            document.value(&of_container(to, "/name")),
                            "this container",
                        )
                        .help(format!(
                            "add a `healthCheck` to `{name}`, or wait for `START`"
                        )),
                ),
                _ => {}
            }
        }
        for (position, link) in container.links.iter().enumerate() {
            let name = link.split(':').next().unwrap_or_default();
            refer(
                name,
                of_container(index, &format!("/links/{position}")),
                found,
            );
        }
        for (position, from) in container.volumes_from.iter().enumerate() {
            let pointer = of_container(index, &format!("/volumesFrom/{position}"));
            match &from.source_container {
                Some(name) => {
                    refer(name, format!("{pointer}/sourceContainer"), found);
                }
                None => found.push(
                    document
                        .error(
                            codes::MISSING_FIELD,
                            document.value(&pointer),
                            "`sourceContainer` is missing",
                        )
                        .help("add `sourceContainer`: a container of the task"),
                ),
            }
        }
    }
    for cycle in cycles(&edges) {
        let names: Vec<&str> = cycle
            .iter()
            .map(|(from, _)| containers[*from].name.as_str())
            .collect();
        let mut places = cycle.iter().map(|(from, edge)| {
            let edge = &edges[*from][*edge];
            (document.value(&edge.pointer), &containers[edge.to].name)
        });
        let Some((first, _)) = places.next() else {
            continue;
        };
        let message = format!(
            "containers wait for each other: {} → {}",
            names.join(" → "),
            names[0]
        );
        let diagnostic = document.error(codes::DEPENDENCY_CYCLE, first, message);
        found.push(
            places
                .fold(diagnostic, |diagnostic, (span, to)| {
                    diagnostic.related(&document.file, span, format!("waits for `{to}`"))
                })
                .help("remove one of the places shown"),
        );
    }
}

/// One cycle, as short as can be, of each knot of containers that wait for each other: node and edge of every step.
fn cycles(edges: &[Vec<Edge>]) -> Vec<Vec<(usize, usize)>> {
    let mut settled = vec![false; edges.len()];
    let mut found = Vec::new();
    for start in 0..edges.len() {
        if settled[start] {
            continue;
        }
        // Breadth first from `start` back to it.
        let mut came: Vec<Option<(usize, usize)>> = vec![None; edges.len()];
        let mut queue = VecDeque::from([start]);
        let mut last = None;
        'search: while let Some(at) = queue.pop_front() {
            for (position, edge) in edges[at].iter().enumerate() {
                if edge.to == start {
                    last = Some((at, position));
                    break 'search;
                }
                if came[edge.to].is_none() {
                    came[edge.to] = Some((at, position));
                    queue.push_back(edge.to);
                }
            }
        }
        let Some(mut step) = last else { continue };
        let mut cycle = vec![step];
        while step.0 != start {
            let Some(before) = came[step.0] else { break };
            cycle.push(before);
            step = before;
        }
        cycle.reverse();
        for (node, _) in &cycle {
            settled[*node] = true;
        }
        found.push(cycle);
    }
    found
}
