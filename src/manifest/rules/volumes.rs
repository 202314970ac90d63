//! Volumes and mount points.

use std::collections::HashMap;

use super::{Task, of_container};
use crate::diagnostic::{Diagnostic, codes};
use crate::manifest::document::Document;
use crate::manifest::report::{Reporting, listed, nearest};
use crate::manifest::types::{Volume, VolumeScope};

pub(super) fn check(task: &Task<'_>, found: &mut Vec<Diagnostic>) {
    let Task {
        document,
        definition,
    } = task;
    for (index, volume) in definition.volumes.iter().enumerate() {
        kinds(document, index, volume, found);
    }
    let launched = |volume: &Volume| volume.configured_at_launch == Some(true);
    let mut at_launch = (0..).zip(&definition.volumes).filter(|(_, v)| launched(v));
    if let (Some((first, _)), Some((second, _))) = (at_launch.next(), at_launch.next()) {
        let at = |index: usize| document.key(&format!("/volumes/{index}/configuredAtLaunch"));
        found.push(
            document
                .error(
                    codes::EXCLUSIVE_FIELDS,
                    at(second),
                    "only one volume of a task is configured at launch",
                )
                .related(&document.file, at(first), "the first one")
                .help("remove one of the two"),
        );
    }
    let names = || definition.volumes.iter().map(|volume| volume.name.as_str());
    for (index, container) in definition.container_definitions.iter().enumerate() {
        // Path and where it is written.
        let mut paths: HashMap<&str, String> = HashMap::new();
        let mut mounted = Vec::new();
        for (position, mount) in container.mount_points.iter().enumerate() {
            let pointer = of_container(index, &format!("/mountPoints/{position}"));
            let members = [
                ("sourceVolume", mount.source_volume.as_deref()),
                ("containerPath", mount.container_path.as_deref()),
            ];
            for (member, value) in members {
                if value.is_none_or(str::is_empty) {
                    found.push(document.error(
                        codes::MISSING_FIELD,
                        document.value(&pointer),
                        format!("`{member}` is missing"),
                    ));
                }
            }
            if let Some(source) = mount
                .source_volume
                .as_deref()
                .filter(|name| !name.is_empty())
                && !names().any(|name| name == source)
            {
                let help = match nearest(source, names()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None if definition.volumes.is_empty() => {
                        format!("add `volumes: [{{name: {source}}}]` to the task")
                    }
                    None => format!("its volumes are {}", listed(names())),
                };
                found.push(
                    document
                        .error(
                            codes::UNKNOWN_VOLUME,
                            document.value(&format!("{pointer}/sourceVolume")),
                            format!("the task has no volume `{source}`"),
                        )
                        .help(help),
                );
            }
            if let Some(path) = mount.container_path.as_deref() {
                mounted.push((path, format!("{pointer}/containerPath")));
            }
        }
        let tmpfs = container.linux_parameters.iter().flat_map(|l| &l.tmpfs);
        for (position, tmpfs) in tmpfs.enumerate() {
            let pointer = of_container(
                index,
                &format!("/linuxParameters/tmpfs/{position}/containerPath"),
            );
            mounted.push((tmpfs.container_path.as_str(), pointer));
        }
        for (path, pointer) in mounted {
            if path.is_empty() {
                continue;
            }
            absolute(document, &pointer, path, "inside the container", found);
            let plain = path.trim_end_matches('/');
            match paths.get(plain) {
                None => {
                    paths.insert(plain, pointer);
                }
                Some(before) => found.push(
                    document
                        .error(
                            codes::MOUNTED_TWICE,
                            document.value(&pointer),
                            format!("something is mounted at `{path}` already"),
                        )
                        .related(&document.file, document.value(before), "mounted here")
                        .help("write another path, or remove one of the two"),
                ),
            }
        }
    }
}

fn absolute(
    document: &Document,
    pointer: &str,
    path: &str,
    whose: &str,
    found: &mut Vec<Diagnostic>,
) {
    if !path.starts_with('/') {
        found.push(
            document
                .error(
                    codes::RELATIVE_PATH,
                    document.value(pointer),
                    format!("`{path}` is no absolute path {whose}"),
                )
                .help("begin it with `/`"),
        );
    }
}

fn kinds(document: &Document, index: usize, volume: &Volume, found: &mut Vec<Diagnostic>) {
    let has = [
        ("host", volume.host.is_some()),
        (
            "dockerVolumeConfiguration",
            volume.docker_volume_configuration.is_some(),
        ),
        (
            "efsVolumeConfiguration",
            volume.efs_volume_configuration.is_some(),
        ),
        (
            "s3filesVolumeConfiguration",
            volume.s3_files_volume_configuration.is_some(),
        ),
        (
            "fsxWindowsFileServerVolumeConfiguration",
            volume
                .fsx_windows_file_server_volume_configuration
                .is_some(),
        ),
    ];
    let kinds: Vec<&str> = has
        .into_iter()
        .filter(|(_, has)| *has)
        .map(|(name, _)| name)
        .collect();
    // Definitions that `describe-task-definition` printed may carry an empty `host` beside the real kind.
    let empty_host = volume
        .host
        .as_ref()
        .is_some_and(|h| h.source_path.is_none());
    let kinds: Vec<&str> = kinds
        .iter()
        .copied()
        .filter(|kind| !(*kind == "host" && empty_host && kinds.len() > 1))
        .collect();
    if let [first, second, ..] = kinds.as_slice() {
        found.push(
            document
                .error(
                    codes::EXCLUSIVE_FIELDS,
                    document.key(&format!("/volumes/{index}/{second}")),
                    format!("volume `{}` is of two kinds", volume.name),
                )
                .related(
                    &document.file,
                    document.key(&format!("/volumes/{index}/{first}")),
                    "the other kind",
                )
                .help(format!("remove `{first}` or `{second}`")),
        );
    }
    if let Some(path) = volume.host.as_ref().and_then(|h| h.source_path.as_deref())
        && !path.is_empty()
    {
        let pointer = format!("/volumes/{index}/host/sourcePath");
        absolute(document, &pointer, path, "on the host", found);
    }
    if let Some(docker) = &volume.docker_volume_configuration
        && docker.autoprovision == Some(true)
        && docker.scope != Some(VolumeScope::Shared)
    {
        let at = format!("/volumes/{index}/dockerVolumeConfiguration");
        found.push(
            document
                .error(
                    codes::EXCLUSIVE_FIELDS,
                    document.key(&format!("{at}/autoprovision")),
                    "only a volume of scope `shared` is provisioned",
                )
                .related(&document.file, document.value(&format!("{at}/scope")), "its scope is `task`")
                .help("write `scope: shared`, or remove `autoprovision`: a volume of scope `task` is always made"),
        );
    }
}
