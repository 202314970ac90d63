//! CPU and memory, of the task and of its containers.

use super::{Task, of_container};
use crate::diagnostic::{Diagnostic, codes};
use crate::manifest::quantity::{cpu_units, memory_mib};
use crate::manifest::report::Reporting;

/// The least memory that an engine gives a container, MiB.
const LEAST_MEMORY: u32 = 6;

pub(super) fn check(task: &Task<'_>, found: &mut Vec<Diagnostic>) {
    let Task {
        document,
        definition,
    } = task;
    let mut amount = |member: &str,
                      text: Option<&str>,
                      read: fn(&str) -> Option<u32>,
                      least: u32,
                      form: &str| {
        let text = text?;
        let span = document.value(&format!("/{member}"));
        match read(text) {
            None => {
                found.push(
                    document
                        .error(
                            codes::AMOUNT,
                            span,
                            format!("`{member}` cannot be `{text}`"),
                        )
                        .help(form),
                );
                None
            }
            Some(value) if value < least => {
                found.push(document.error(
                    codes::OUT_OF_BOUNDS,
                    span,
                    format!("`{member}` of a task is at least {least}, and this is {value}"),
                ));
                None
            }
            value => value,
        }
    };
    let cpu = definition.cpu.as_ref().map(|q| q.0.as_str());
    let memory = definition.memory.as_ref().map(|q| q.0.as_str());
    let task_cpu = amount(
        "cpu",
        cpu,
        cpu_units,
        128,
        "write CPU units (\"256\"; 1024 a core) or \"0.25 vCPU\"",
    );
    let task_memory = amount(
        "memory",
        memory,
        memory_mib,
        LEAST_MEMORY,
        "write MiB (\"512\") or \"0.5 GB\"",
    );

    let containers = &definition.container_definitions;
    for (index, container) in containers.iter().enumerate() {
        let limit = container.memory.filter(|m| *m > 0);
        let reserved = container.memory_reservation.filter(|m| *m > 0);
        if limit.is_none() && reserved.is_none() && definition.memory.is_none() {
            found.push(
                document
                    .error(
                        codes::NO_MEMORY,
                        document.value(&of_container(index, "/name")),
                        format!("container `{}` has no memory setting", container.name),
                    )
                    .help("add `memory` (a limit) or `memoryReservation` to it, or `memory` to the task"),
            );
        }
        for (member, value) in [("memory", limit), ("memoryReservation", reserved)] {
            if value.is_some_and(|m| m < LEAST_MEMORY) {
                found.push(
                    document
                        .error(
                            codes::OUT_OF_BOUNDS,
                            document.value(&of_container(index, &format!("/{member}"))),
                            format!("an engine gives a container at least {LEAST_MEMORY} MiB"),
                        )
                        .help(format!("write {LEAST_MEMORY} or more; the unit is MiB")),
                );
            }
        }
        if let (Some(limit), Some(reserved)) = (limit, reserved)
            && reserved > limit
        {
            found.push(
                document
                    .error(
                        codes::RESERVATION_OVER_MEMORY,
                        document.value(&of_container(index, "/memoryReservation")),
                        format!(
                            "{reserved} MiB are reserved, and the container is killed above {limit}"
                        ),
                    )
                    .related(
                        &document.file,
                        document.value(&of_container(index, "/memory")),
                        "the limit",
                    )
                    .help("raise `memory`, or lower `memoryReservation`"),
            );
        }
        if let (Some(limit), Some(task_memory)) = (limit, task_memory)
            && limit > task_memory
        {
            found.push(
                document
                    .error(
                        codes::MEMORY_OVER_TASK,
                        document.value(&of_container(index, "/memory")),
                        format!(
                            "the container may use {limit} MiB, and its task has {task_memory}"
                        ),
                    )
                    .related(
                        &document.file,
                        document.value("/memory"),
                        "the task's memory",
                    )
                    .help("lower it, or raise the task's `memory`"),
            );
        }
    }
    let reserved: u64 = containers
        .iter()
        .map(|c| u64::from(c.memory_reservation.unwrap_or(0)))
        .sum();
    if let Some(task_memory) = task_memory.filter(|m| reserved > u64::from(*m)) {
        found.push(
            document
                .error(
                    codes::MEMORY_OVER_TASK,
                    document.value("/memory"),
                    format!(
                        "the containers reserve {reserved} MiB, and their task has {task_memory}"
                    ),
                )
                .help("raise it, or lower the containers' `memoryReservation`"),
        );
    }
    let cpu: u64 = containers
        .iter()
        .map(|c| u64::from(c.cpu.unwrap_or(0)))
        .sum();
    if let Some(task_cpu) = task_cpu.filter(|c| cpu > u64::from(*c)) {
        let last = containers
            .iter()
            .rposition(|c| c.cpu.is_some_and(|c| c > 0));
        let mut diagnostic = document.error(
            codes::CPU_OVER_TASK,
            document.value("/cpu"),
            format!("the containers want {cpu} CPU units, and their task has {task_cpu}"),
        );
        if let Some(last) = last {
            let span = document.value(&of_container(last, "/cpu"));
            diagnostic = diagnostic.related(&document.file, span, "the last of them");
        }
        found.push(diagnostic.help("raise it, or lower the containers' `cpu`"));
    }
}
