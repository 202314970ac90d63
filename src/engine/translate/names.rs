//! Names on the engine: a function of what they are for, so that a repeated create meets its own container (409) and adopts
//! it, and so that a person who reads `docker ps` knows what is what.

use crate::engine::labels::PAUSE_CONTAINER;
use crate::model::{ClusterName, Firelens, TaskRecord, VolumeKind, VolumeSpec, hex_sha256};

/// Longest name that is used as it is. A volume's name becomes a directory's, which ends at 255 bytes.
const LONGEST: usize = 200;
/// How much of a longer name is kept before its hash.
const KEPT: usize = 180;

/// `longshore-<family>-<revision>-<container>-<task, 12 digits>`; for [`PAUSE_CONTAINER`] the middle is `pause`.
pub fn container(record: &TaskRecord, container: &str) -> String {
    match container {
        PAUSE_CONTAINER => of_task(record, "pause"),
        // A dot is allowed by Docker and not by ECS, so no other container can have this name.
        "pause" => of_task(record, "pause.app"),
        other => of_task(record, other),
    }
}

/// `longshore-<family>-<revision>-<volume>-<task, 12 digits>`: a volume that lives as long as its task.
pub fn task_volume(record: &TaskRecord, volume: &str) -> String {
    // Part of the path of a socket, which Linux takes only if it is short.
    if volume == Firelens::SOCKET_VOLUME {
        return format!("longshore-{volume}-{}", record.id.short());
    }
    of_task(record, volume)
}

/// What a task's volume is called on the engine: a name of its own, the shared name, or the host's path.
pub fn volume_source(record: &TaskRecord, volume: &VolumeSpec) -> String {
    match &volume.kind {
        VolumeKind::HostPath { path } => path.clone(),
        VolumeKind::Task { .. } | VolumeKind::FileSystem { .. } => {
            task_volume(record, &volume.name)
        }
        VolumeKind::Shared { .. } => volume.name.clone(),
    }
}

/// `longshore-<cluster>-<owner, 8 digits>`.
pub fn network(cluster: &ClusterName, owner: &str) -> String {
    let owner = owner.get(..8).unwrap_or(owner);
    bounded(format!("longshore-{cluster}-{owner}"))
}

fn of_task(record: &TaskRecord, part: &str) -> String {
    bounded(format!(
        "longshore-{}-{}-{part}-{}",
        record.family,
        record.revision,
        record.id.short()
    ))
}

fn bounded(name: String) -> String {
    if name.len() <= LONGEST {
        return name;
    }
    let hash = hex_sha256(name.as_bytes());
    // ECS's names are ASCII, so characters are bytes.
    let kept: String = name.chars().take(KEPT).collect();
    format!("{kept}-{}", &hash[..12])
}
