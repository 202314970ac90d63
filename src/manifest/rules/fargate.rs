//! What Fargate would refuse. Harmless here, so it is warned about: the definition would surprise its author on AWS.

use super::{Task, of_container};
use crate::diagnostic::{Diagnostic, Span, codes};
use crate::manifest::quantity::{cpu_units, fits_fargate, memory_mib};
use crate::manifest::report::Reporting;
use crate::manifest::types::{Compatibility, NetworkMode};

pub(super) fn check(task: &Task<'_>, found: &mut Vec<Diagnostic>) {
    let Task {
        document,
        definition,
    } = task;
    let asked = definition
        .requires_compatibilities
        .iter()
        .position(|c| *c == Compatibility::Fargate);
    let Some(asked) = asked else { return };
    let asked = document.value(&format!("/requiresCompatibilities/{asked}"));
    let mut warn = |span: Span, message: String| {
        found.push(
            document
                .warning(codes::FARGATE, span, message)
                .related(&document.file, asked, "FARGATE is asked for here")
                .help("it runs here all the same; change it, or remove FARGATE"),
        );
    };
    if definition.network_mode != Some(NetworkMode::Awsvpc) {
        let written = definition.network_mode.is_some();
        warn(
            if written {
                document.value("/networkMode")
            } else {
                asked
            },
            "Fargate runs tasks in the network mode `awsvpc` only".into(),
        );
    }
    let cpu = definition.cpu.as_ref().map(|q| cpu_units(&q.0));
    let memory = definition.memory.as_ref().map(|q| memory_mib(&q.0));
    match (cpu, memory) {
        (Some(Some(cpu)), Some(Some(memory))) if !fits_fargate(cpu, memory) => warn(
            document.value("/memory"),
            format!("Fargate has no tasks of {cpu} CPU units and {memory} MiB"),
        ),
        (None, _) | (_, None) => warn(asked, "Fargate needs `cpu` and `memory` of the task".into()),
        _ => {}
    }
    for (index, volume) in definition.volumes.iter().enumerate() {
        if volume
            .host
            .as_ref()
            .is_some_and(|h| h.source_path.is_some())
        {
            warn(
                document.value(&format!("/volumes/{index}/host/sourcePath")),
                "Fargate has no paths of a host".into(),
            );
        }
        if volume.docker_volume_configuration.is_some() {
            warn(
                document.key(&format!("/volumes/{index}/dockerVolumeConfiguration")),
                "Fargate has no Docker volumes".into(),
            );
        }
    }
    for (index, container) in definition.container_definitions.iter().enumerate() {
        let at = |member: &str| of_container(index, member);
        if container.privileged == Some(true) {
            warn(
                document.key(&at("/privileged")),
                "Fargate refuses privileged containers".into(),
            );
        }
        let devices = container
            .linux_parameters
            .as_ref()
            .is_some_and(|l| !l.devices.is_empty());
        if devices {
            warn(
                document.key(&at("/linuxParameters/devices")),
                "Fargate has no devices".into(),
            );
        }
        for (member, value, least) in [
            ("startTimeout", container.start_timeout, 2),
            ("stopTimeout", container.stop_timeout, 0),
        ] {
            if let Some(value) = value.filter(|v| *v > 120 || *v < least) {
                warn(
                    document.value(&at(&format!("/{member}"))),
                    format!("Fargate's `{member}` is from {least} to 120, and this is {value}"),
                );
            }
        }
    }
}
