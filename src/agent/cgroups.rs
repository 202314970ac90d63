//! Control groups of tasks, where this process runs on the engine's host and may make them. Which group a task has and how it
//! is limited is decided in [`translate::limits`](crate::engine::translate::limits); this only carries it out.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use tokio::process::Command;

use crate::engine::translate::limits::{self, CPU_PERIOD, CgroupManager, TaskCgroup};
use crate::engine::{EngineError, EngineInfo, EngineResult, ErrorKind};
use crate::model::TaskId;

/// Control groups of version 1 that carry limits, each a hierarchy of its own.
const CPU: &str = "cpu";
const MEMORY: &str = "memory";

/// See the module.
#[derive(Debug)]
pub(super) struct Cgroups {
    root: PathBuf,
    owner: String,
    /// Version and manager, once they were looked for. Rights do not change while a process runs.
    found: OnceLock<Option<(u8, CgroupManager)>>,
}

impl Cgroups {
    /// Those below `/sys/fs/cgroup`.
    pub fn new(owner: &str) -> Self {
        Self::below(PathBuf::from("/sys/fs/cgroup"), owner)
    }

    fn below(root: PathBuf, owner: &str) -> Self {
        Self {
            root,
            owner: owner.to_owned(),
            found: OnceLock::new(),
        }
    }

    /// What groups can be made with; none where they cannot be.
    pub fn manager(&self, info: &EngineInfo) -> Option<CgroupManager> {
        let found = self.found.get_or_init(|| {
            let found = self.find(info);
            if found.is_none() && info.is_here {
                tracing::info!(
                    "no control groups can be made here, so task-level cpu and memory limit each container by itself"
                );
            }
            found
        });
        found.map(|(_, manager)| manager)
    }

    fn find(&self, info: &EngineInfo) -> Option<(u8, CgroupManager)> {
        if !info.is_here
            || info
                .security_options
                .iter()
                .any(|option| option == "rootless")
        {
            return None;
        }
        let version = info.cgroup_version;
        match info.cgroup_driver.as_str() {
            "cgroupfs" => {
                let may = self.prepare(version).is_ok();
                self.tidy(version);
                may.then_some((version, CgroupManager::Files))
            }
            "systemd" => {
                let may = rustix::process::geteuid().is_root()
                    && Path::new("/run/systemd/system").is_dir();
                may.then_some((version, CgroupManager::Systemd))
            }
            _ => None,
        }
    }

    /// Makes the group above those of all tasks; fails where there is no right to, or no such hierarchy.
    fn prepare(&self, version: u8) -> io::Result<()> {
        let group = limits::group(&self.owner);
        if version < 2 {
            for hierarchy in [CPU, MEMORY] {
                std::fs::create_dir_all(self.root.join(hierarchy).join(&group))?;
            }
            let limit = self
                .root
                .join(MEMORY)
                .join(&group)
                .join("memory.limit_in_bytes");
            return std::fs::metadata(limit).map(|_| ());
        }
        let folder = self.root.join(&group);
        delegate(&self.root)?;
        std::fs::create_dir_all(&folder)?;
        delegate(&folder)
    }

    /// Makes the group of a task with its limits, or sets them anew. Groups do not outlive the host, so this comes before
    /// each start.
    ///
    /// # Errors
    /// `PermissionDenied` or `Unknown`, with what could not be written.
    pub async fn ensure(&self, task: &TaskId, group: &TaskCgroup) -> EngineResult<()> {
        let failed = |message: String, kind: ErrorKind| {
            EngineError::new("limit task", task.as_str(), kind, message)
        };
        match self.found.get().copied().flatten() {
            None => Ok(()),
            Some((version, CgroupManager::Files)) => {
                let made = self
                    .prepare(version)
                    .map_err(|error| (self.root.clone(), error))
                    .and_then(|()| write_all(&files(&self.root, version, group)));
                made.map_err(|(path, error)| {
                    let kind = match error.kind() {
                        io::ErrorKind::PermissionDenied => ErrorKind::PermissionDenied,
                        _ => ErrorKind::Unknown,
                    };
                    failed(format!("{}: {error}", path.display()), kind)
                })
            }
            Some((_, CgroupManager::Systemd)) => systemctl(&set_property(group))
                .await
                .map_err(|message| failed(message, ErrorKind::Unknown)),
        }
    }

    /// Removes the group of a task of which nothing is left.
    pub async fn remove(&self, task: &TaskId) {
        let Some((version, manager)) = self.found.get().copied().flatten() else {
            return;
        };
        match manager {
            CgroupManager::Files => {
                for (folder, error) in self.remove_folders(version, task) {
                    tracing::warn!(task = task.short(), %error, "{} stays", folder.display());
                }
                self.tidy(version);
            }
            CgroupManager::Systemd => {
                let parent = limits::parent(manager, &self.owner, task);
                for verb in ["stop", "revert"] {
                    let arguments = [verb.to_owned(), parent.clone()];
                    if let Err(error) = systemctl(&arguments).await {
                        tracing::debug!(task = task.short(), error, "{parent} was not there");
                    }
                }
            }
        }
    }

    /// Removes the groups of tasks of which nothing should be left, as far as no process is in them.
    pub fn clear(&self, tasks: &[TaskId]) {
        let Some((version, CgroupManager::Files)) = self.found.get().copied().flatten() else {
            return;
        };
        for task in tasks {
            for (folder, error) in self.remove_folders(version, task) {
                tracing::debug!(task = task.short(), %error, "{} stays", folder.display());
            }
        }
        self.tidy(version);
    }

    /// Removes the folders of a task; returns those that stay, and why.
    fn remove_folders(&self, version: u8, task: &TaskId) -> Vec<(PathBuf, io::Error)> {
        let parent = limits::parent(CgroupManager::Files, &self.owner, task);
        let mut stay = Vec::new();
        for hierarchy in self.hierarchies(version) {
            let folder = hierarchy.join(parent.trim_start_matches('/'));
            match remove_group(&folder) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    stay.push((folder, error));
                }
                _ => {}
            }
        }
        stay
    }

    /// Removes the group above those of all tasks if there is none below it; whoever needs it makes it again.
    fn tidy(&self, version: u8) {
        let group = limits::group(&self.owner);
        for hierarchy in self.hierarchies(version) {
            // One that is in use is not removed, and one that is not there need not be.
            let _ = std::fs::remove_dir(hierarchy.join(&group));
        }
    }

    /// Tasks of this owner that have a folder of their own: of those that nothing else is left of, it is to be removed.
    pub fn tasks(&self) -> Vec<TaskId> {
        let Some((version, CgroupManager::Files)) = self.found.get().copied().flatten() else {
            return Vec::new();
        };
        let hierarchy = if version < 2 {
            self.root.join(MEMORY)
        } else {
            self.root.clone()
        };
        std::fs::read_dir(hierarchy.join(limits::group(&self.owner)))
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .map(|entry| TaskId::new(entry.file_name().to_string_lossy()))
            .collect()
    }

    /// An engine makes a container's group in every hierarchy, and with it the one above.
    fn hierarchies(&self, version: u8) -> Vec<PathBuf> {
        if version >= 2 {
            return vec![self.root.clone()];
        }
        std::fs::read_dir(&self.root)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.is_dir())
            .collect()
    }
}

/// Removes a group with those below it: an engine that was killed leaves those of its containers behind. The kernel removes none
/// that a process is in.
fn remove_group(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)?.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_group(&entry.path())?;
        }
    }
    std::fs::remove_dir(folder)
}

/// Lets groups below `folder` have limits (version 2).
fn delegate(folder: &Path) -> io::Result<()> {
    std::fs::write(folder.join("cgroup.subtree_control"), "+cpu +memory")
}

/// The files that limit a task, with what is written to each.
fn files(root: &Path, version: u8, group: &TaskCgroup) -> Vec<(PathBuf, String)> {
    let path = group.parent.trim_start_matches('/');
    let mut files = Vec::new();
    if version < 2 {
        let cpu = root.join(CPU).join(path);
        files.push((cpu.join("cpu.shares"), group.cpu_shares.to_string()));
        if let Some(quota) = group.cpu_quota {
            files.push((cpu.join("cpu.cfs_period_us"), CPU_PERIOD.to_string()));
            files.push((cpu.join("cpu.cfs_quota_us"), quota.to_string()));
        }
        if let Some(memory) = group.memory {
            let file = root.join(MEMORY).join(path).join("memory.limit_in_bytes");
            files.push((file, memory.to_string()));
        }
        return files;
    }
    let folder = root.join(path);
    files.push((
        folder.join("cpu.weight"),
        weight(group.cpu_shares).to_string(),
    ));
    if let Some(quota) = group.cpu_quota {
        files.push((folder.join("cpu.max"), format!("{quota} {CPU_PERIOD}")));
    }
    if let Some(memory) = group.memory {
        files.push((folder.join("memory.max"), memory.to_string()));
    }
    files
}

/// Version 2's weight for version 1's shares, as container runtimes convert it: 2 to 262144 become 1 to 10000.
fn weight(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9_999 / 262_142
}

fn write_all(files: &[(PathBuf, String)]) -> Result<(), (PathBuf, io::Error)> {
    for (path, text) in files {
        let folder = path.parent().unwrap_or(path);
        std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(path, text))
            .map_err(|error| (path.clone(), error))?;
    }
    Ok(())
}

/// What systemd is asked for. The settings last until the host goes down, as the slice does.
fn set_property(group: &TaskCgroup) -> Vec<String> {
    let mut arguments = vec![
        "--runtime".to_owned(),
        "set-property".to_owned(),
        group.parent.clone(),
        format!("CPUWeight={}", weight(group.cpu_shares)),
    ];
    if let Some(quota) = group.cpu_quota {
        // Per cent of one CPU, two decimals.
        let hundredths = quota * 10_000 / CPU_PERIOD;
        arguments.push(format!(
            "CPUQuota={}.{:02}%",
            hundredths / 100,
            hundredths % 100
        ));
    }
    if let Some(memory) = group.memory {
        arguments.push(format!("MemoryMax={memory}"));
    }
    arguments
}

async fn systemctl(arguments: &[String]) -> Result<(), String> {
    let output = Command::new("systemctl")
        .args(arguments)
        .output()
        .await
        .map_err(|error| format!("systemctl cannot be run: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(format!("systemctl {}: {said}", arguments.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(parent: &str) -> TaskCgroup {
        TaskCgroup {
            parent: parent.to_owned(),
            cpu_quota: Some(25_000),
            cpu_shares: 256,
            memory: Some(64 << 20),
        }
    }

    #[test]
    fn each_version_has_its_own_files() {
        let lines = |version| -> Vec<String> {
            files(Path::new("/c"), version, &group("/longshore-1/t"))
                .into_iter()
                .map(|(path, text)| format!("{} {text}", path.display()))
                .collect()
        };
        assert_eq!(
            lines(1),
            [
                "/c/cpu/longshore-1/t/cpu.shares 256",
                "/c/cpu/longshore-1/t/cpu.cfs_period_us 100000",
                "/c/cpu/longshore-1/t/cpu.cfs_quota_us 25000",
                "/c/memory/longshore-1/t/memory.limit_in_bytes 67108864",
            ]
        );
        assert_eq!(
            lines(2),
            [
                "/c/longshore-1/t/cpu.weight 10",
                "/c/longshore-1/t/cpu.max 25000 100000",
                "/c/longshore-1/t/memory.max 67108864",
            ]
        );
    }

    #[test]
    fn a_slice_gets_the_same_limits_as_properties() {
        assert_eq!(
            set_property(&group("longshore_1-t.slice")).join(" "),
            "--runtime set-property longshore_1-t.slice CPUWeight=10 CPUQuota=25.00% MemoryMax=67108864"
        );
    }

    #[test]
    fn shares_and_weights_meet_at_both_ends() {
        assert_eq!(
            (weight(0), weight(2), weight(262_144), weight(1 << 30)),
            (1, 1, 10_000, 10_000)
        );
    }

    #[tokio::test]
    async fn a_group_is_made_listed_and_removed() {
        let root = tempfile::tempdir().unwrap();
        let groups = Cgroups::below(root.path().to_owned(), "0123456789abcdef");
        let info = EngineInfo {
            is_here: true,
            cgroup_version: 2,
            cgroup_driver: "cgroupfs".to_owned(),
            ..EngineInfo::default()
        };
        assert_eq!(groups.manager(&info), Some(CgroupManager::Files));
        let task = TaskId::new("t");
        let parent = limits::parent(CgroupManager::Files, "0123456789abcdef", &task);
        groups.ensure(&task, &group(&parent)).await.unwrap();
        assert_eq!(groups.tasks(), std::slice::from_ref(&task));
        let folder = root.path().join("longshore-01234567/t");
        assert_eq!(
            std::fs::read_to_string(folder.join("memory.max")).unwrap(),
            "67108864"
        );
        // The kernel's own files go with their folder; these have to be taken out.
        for file in std::fs::read_dir(&folder).unwrap() {
            std::fs::remove_file(file.unwrap().path()).unwrap();
        }
        std::fs::remove_file(
            root.path()
                .join("longshore-01234567/cgroup.subtree_control"),
        )
        .unwrap();
        groups.remove(&task).await;
        assert!(groups.tasks().is_empty());
        assert!(!root.path().join("longshore-01234567").exists());
    }

    #[tokio::test]
    async fn what_a_killed_engine_left_below_a_tasks_group_goes_with_it() {
        let root = tempfile::tempdir().unwrap();
        let groups = Cgroups::below(root.path().to_owned(), "0123456789abcdef");
        for hierarchy in [CPU, MEMORY, "pids"] {
            let left = root.path().join(hierarchy).join("longshore-01234567/t/c");
            std::fs::create_dir_all(left.join("deeper")).unwrap();
        }
        let found = groups.found.set(Some((1, CgroupManager::Files)));
        assert!(found.is_ok());
        groups.remove(&TaskId::new("t")).await;
        for hierarchy in [CPU, MEMORY, "pids"] {
            let above = root.path().join(hierarchy).join("longshore-01234567");
            assert!(!above.exists(), "{hierarchy}");
        }
    }

    #[test]
    fn no_group_is_made_on_another_host_or_by_an_engine_without_root() {
        for info in [
            EngineInfo {
                cgroup_driver: "cgroupfs".to_owned(),
                ..EngineInfo::default()
            },
            EngineInfo {
                is_here: true,
                cgroup_driver: "cgroupfs".to_owned(),
                security_options: vec!["rootless".to_owned()],
                ..EngineInfo::default()
            },
            EngineInfo {
                is_here: true,
                cgroup_driver: "none".to_owned(),
                ..EngineInfo::default()
            },
        ] {
            let root = tempfile::tempdir().unwrap();
            let groups = Cgroups::below(root.path().to_owned(), "o");
            assert_eq!(groups.manager(&info), None, "{info:?}");
            assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
        }
    }
}
