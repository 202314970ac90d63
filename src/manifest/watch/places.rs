//! Which folders must be watched so that every change to what a scan reads is noticed, and which paths in them matter.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use crate::manifest::source::walk::{Walked, is_ignored};

/// Links followed to resolve one path; the system stops at 40.
const MAX_HOPS: usize = 40;

/// The folders of a scan and, beside them, those that hold the links on the way and the targets of links.
#[derive(Default)]
pub(super) struct Places {
    /// The folder of manifests as an absolute path.
    root: PathBuf,
    /// What to watch, without links, with device and inode.
    folders: BTreeMap<PathBuf, (u64, u64)>,
    /// Of those, the folders in which everything that is not ignored matters.
    inside: HashSet<PathBuf>,
    /// Paths that matter wherever they are: links on the way, their targets, the root and its parents that are missing.
    beside: HashSet<PathBuf>,
    /// Through which paths a file that is reached by a link is reached.
    through: HashMap<String, Vec<PathBuf>>,
    /// The same for linked folders, by the beginning of the name.
    through_folders: Vec<(String, Vec<PathBuf>)>,
}

impl Places {
    pub(super) fn new(root: PathBuf) -> Self {
        Self {
            root,
            ..Self::default()
        }
    }

    /// Every folder to watch.
    pub(super) fn folders(&self) -> &BTreeMap<PathBuf, (u64, u64)> {
        &self.folders
    }

    /// Whether something that happens at `path` can change what a scan reads.
    pub(super) fn matters(&self, path: &Path) -> bool {
        if self.beside.contains(path) || self.inside.contains(path) {
            return true;
        }
        let Some((parent, name)) = path.parent().zip(path.file_name()) else {
            return false;
        };
        // `..data` is hidden, and the link that a mounted configuration is swapped by.
        let name = name.to_string_lossy();
        self.inside.contains(parent) && (!is_ignored(&name) || name.starts_with(".."))
    }

    /// The links and the target through which the file called `name` is reached; nothing for a real file.
    pub(super) fn reached_through<'p>(&'p self, name: &'p str) -> impl Iterator<Item = &'p Path> {
        let folders = self
            .through_folders
            .iter()
            .filter(move |(prefix, _)| name.starts_with(prefix.as_str()))
            .flat_map(|(_, hops)| hops);
        self.through
            .get(name)
            .into_iter()
            .flatten()
            .chain(folders)
            .map(PathBuf::as_path)
    }

    /// Takes over the folders that a walk listed, and nothing beside them.
    pub(super) fn update_inside(&mut self, walked: &Walked) {
        self.folders.clear();
        self.inside.clear();
        self.beside.clear();
        self.through.clear();
        self.through_folders.clear();
        for folder in &walked.folders {
            self.folders
                .insert(folder.real.clone(), (folder.device, folder.inode));
            self.inside.insert(folder.real.clone());
        }
    }

    /// Takes over what a walk came by. Blocks.
    pub(super) fn update(&mut self, walked: &Walked) {
        self.update_inside(walked);
        for hop in hops(&self.root) {
            self.beside(&hop);
        }
        for (name, link) in &walked.links {
            let hops = hops(link);
            for hop in &hops {
                self.beside(hop);
            }
            if name.ends_with('/') {
                self.through_folders.push((name.clone(), hops));
            } else {
                self.through.insert(name.clone(), hops);
            }
        }
    }

    /// Watches the folder that holds `path`; where that is missing, the nearest one that is there.
    fn beside(&mut self, path: &Path) {
        let mut path = path;
        while let Some(parent) = path.parent() {
            self.beside.insert(path.to_owned());
            if self.folders.contains_key(parent) {
                return;
            }
            if let Ok(meta) = std::fs::metadata(parent)
                && meta.is_dir()
            {
                self.folders
                    .insert(parent.to_owned(), (meta.dev(), meta.ino()));
                return;
            }
            path = parent;
        }
    }

    /// The kind of network file system that the folder is on, where nobody tells this machine of changes.
    pub(super) fn on_network(&self) -> Option<&'static str> {
        let there = self.root.ancestors().find(|path| path.exists())?;
        network_file_system(there)
    }
}

/// Every link that resolving `path` goes through, as a path without links before its last name, and what it ends at.
fn hops(path: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut todo: VecDeque<OsString> = names(path);
    let mut resolved = PathBuf::from("/");
    while let Some(name) = todo.pop_front() {
        if name == ".." {
            resolved.pop();
            continue;
        }
        let next = resolved.join(&name);
        match std::fs::read_link(&next) {
            Ok(target) if found.len() < MAX_HOPS => {
                found.push(next);
                if target.is_absolute() {
                    resolved = PathBuf::from("/");
                }
                for name in names(&target).into_iter().rev() {
                    todo.push_front(name);
                }
            }
            _ => resolved = next,
        }
    }
    found.push(resolved);
    found
}

fn names(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            _ => None,
        })
        .collect()
}

#[cfg(target_os = "linux")]
/// What network file system a path is on, if it is on one: those send no notifications.
pub fn network_file_system(path: &Path) -> Option<&'static str> {
    // The numbers are those of statfs(2).
    match u64::try_from(rustix::fs::statfs(path).ok()?.f_type).ok()? & 0xFFFF_FFFF {
        0x6969 => Some("the folder is on NFS"),
        0x517B | 0xFE53_4D42 | 0xFF53_4D42 => Some("the folder is on SMB"),
        0x6573_5546 => Some("the folder is on FUSE"),
        0x0102_1997 => Some("the folder is on 9P"),
        0x5346_414F | 0x6B41_4653 => Some("the folder is on AFS"),
        0x00C3_6400 => Some("the folder is on Ceph"),
        0x786F_4256 => Some("the folder is shared by VirtualBox"),
        0x7375_7245 => Some("the folder is on Coda"),
        _ => None,
    }
}

#[cfg(not(target_os = "linux"))]
pub fn network_file_system(_: &Path) -> Option<&'static str> {
    None
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::manifest::source::walk::Walker;

    #[test]
    fn every_link_on_the_way_to_a_file_is_known() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().canonicalize().unwrap();
        let at = |path: &str| top.join(path);
        fs::create_dir_all(at("m/..2024")).unwrap();
        fs::create_dir_all(at("lib/v1")).unwrap();
        fs::write(at("m/..2024/web.yaml"), "w").unwrap();
        fs::write(at("lib/v1/db.yaml"), "d").unwrap();
        symlink("..2024", at("m/..data")).unwrap();
        symlink("..data/web.yaml", at("m/web.yaml")).unwrap();
        symlink("v1", at("lib/current")).unwrap();
        symlink(at("lib/current"), at("m/lib")).unwrap();
        symlink("m", at("root")).unwrap();
        let mut places = Places::new(at("root"));
        places.update(&Walker::default().walk(&at("root")));

        let through = |name| {
            places
                .reached_through(name)
                .map(Path::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            through("web.yaml"),
            [at("m/web.yaml"), at("m/..data"), at("m/..2024/web.yaml")]
        );
        assert_eq!(
            through("lib/db.yaml"),
            [at("m/lib"), at("lib/current"), at("lib/v1")]
        );
        let watched: Vec<_> = places.folders().keys().cloned().collect();
        assert_eq!(
            watched,
            [at(""), at("lib"), at("lib/v1"), at("m"), at("m/..2024")]
                .map(|p| p.components().collect::<PathBuf>())
        );
        for path in [
            "root",
            "m",
            "m/..data",
            "m/x.yaml",
            "lib/current",
            "lib/v1/n.yaml",
            "m/..2024/web.yaml",
        ] {
            assert!(places.matters(&at(path)), "{path}");
        }
        for path in ["other", "m/.x.swp", "m/x~", "lib/v2", "m/..2024/other"] {
            assert!(!places.matters(&at(path)), "{path}");
        }
    }

    #[test]
    fn a_missing_folder_is_awaited_from_the_nearest_one_that_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().canonicalize().unwrap();
        let mut places = Places::new(top.join("a/b/c"));
        places.update(&Walker::default().walk(&top.join("a/b/c")));
        assert_eq!(places.folders().keys().collect::<Vec<_>>(), [&top]);
        assert!(places.matters(&top.join("a")));
        assert!(!places.matters(&top.join("x")));
    }

    #[test]
    fn links_in_a_circle_end() {
        let dir = tempfile::tempdir().unwrap();
        symlink("b", dir.path().join("a")).unwrap();
        symlink("a", dir.path().join("b")).unwrap();
        assert!(hops(&dir.path().join("a/x.yaml")).len() <= MAX_HOPS + 1);
    }
}
