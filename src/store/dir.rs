//! The state directory: where it is, how it is made, and the owner that it gives to everything on the engines.

use std::ffi::OsString;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::Access;
use rustix::io::Errno;

use crate::clock::IdGen;
use crate::model::hex_sha256;

/// The file that holds the owner.
pub const OWNER: &str = "owner";
/// The file that holds the key from which the ids of metadata endpoints are made. It is not in the store: whoever reads a
/// dump or a backup of that must not be able to ask in a task's name.
pub const ENDPOINT_KEY: &str = "endpoint-key";
/// Hexadecimal digits of an endpoint key.
const KEY_DIGITS: usize = 64;

/// What decides where state directories are, when none is named.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// Whether the process is root's: then they are under `/var/lib/longshore`.
    pub root: bool,
    /// `XDG_STATE_HOME`; passed over unless it is absolute, as the XDG specification asks.
    pub xdg_state_home: Option<OsString>,
    /// `HOME`.
    pub home: Option<OsString>,
}

impl Surroundings {
    /// Those of this process.
    pub fn of_this_process() -> Self {
        Self {
            root: rustix::process::geteuid().is_root(),
            xdg_state_home: std::env::var_os("XDG_STATE_HOME"),
            home: std::env::var_os("HOME"),
        }
    }
}

/// The path by which a folder is known, whether or not it is there: absolute and of names only. Symbolic links in it stand for
/// themselves, so that a link which a deploy points elsewhere (`releases/current`) goes on being the same folder. A link that `..`
/// follows is resolved: its parent is that of where it leads.
pub fn known_as(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut known = PathBuf::new();
    for part in absolute.components() {
        if part == Component::ParentDir {
            known = known.canonicalize().unwrap_or(known);
            known.pop();
        } else {
            known.push(part);
        }
    }
    known
}

/// The state directory of a folder of manifests: `<base>/<the folder's name>-<8 hexadecimal digits>`. The digits are from the
/// hash of `folder`, which is as [`known_as`] gives it, so that two folders of one name have two. The base is
/// `/var/lib/longshore` for root, else `$XDG_STATE_HOME/longshore`, else `~/.local/state/longshore`.
pub fn default_path(folder: &Path, surroundings: &Surroundings) -> Result<PathBuf, DirError> {
    let absolute = |path: &OsString| Path::new(path).is_absolute();
    let base = if surroundings.root {
        PathBuf::from("/var/lib/longshore")
    } else if let Some(state) = surroundings.xdg_state_home.as_ref().filter(|p| absolute(p)) {
        Path::new(state).join("longshore")
    } else if let Some(home) = surroundings.home.as_ref().filter(|p| absolute(p)) {
        Path::new(home).join(".local/state/longshore")
    } else {
        return Err(DirError::NoHome);
    };
    let digits = hex_sha256(folder.as_os_str().as_bytes());
    let mut name = folder.file_name().map(OsString::from).unwrap_or_default();
    name.push("-");
    name.push(&digits[..8]);
    Ok(base.join(name))
}

/// Why there is no usable state directory. Every message says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DirError {
    /// There is nowhere to put it.
    #[error(
        "there is no place for the state: neither HOME nor XDG_STATE_HOME is set. Give a directory with --state-dir"
    )]
    NoHome,
    /// This user may not write there.
    #[error(
        "the state directory {path} cannot be written by this user (uid {uid}). Run as its owner, change its owner with chown, or give another with --state-dir"
    )]
    NotWritable {
        /// The directory, or the part of it that exists.
        path: String,
        /// Who tried.
        uid: u32,
    },
    /// Nobody may write there.
    #[error(
        "the state directory {path} is on a read-only file system. Give one elsewhere with --state-dir, or mount it writable"
    )]
    ReadOnly {
        /// The directory, or the part of it that exists.
        path: String,
    },
    /// Something else is there.
    #[error(
        "the state directory {path} is not a directory. Move it away, or give another with --state-dir"
    )]
    NotADirectory {
        /// What is there.
        path: String,
    },
    /// The owner file was damaged.
    #[error(
        "{path} does not hold 16 hexadecimal digits. Bring it back from a backup; the owner also stands on the containers, as the label longshore.owner. Without it Longshore cannot know which containers are its own"
    )]
    BadOwner {
        /// The file.
        path: String,
    },
    /// Something else went wrong.
    #[error("{operation} {path}: {message}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: String,
        /// The cause.
        message: String,
    },
}

impl DirError {
    fn new(operation: &'static str, path: &Path, error: &io::Error) -> Self {
        let path = path.display().to_string();
        match error.kind() {
            io::ErrorKind::PermissionDenied => Self::NotWritable {
                path,
                uid: rustix::process::geteuid().as_raw(),
            },
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { path },
            io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
                Self::NotADirectory { path }
            }
            _ => Self::Io {
                operation,
                path,
                message: error.to_string(),
            },
        }
    }
}

/// A state directory that exists and can be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateDir {
    path: PathBuf,
}

impl StateDir {
    /// Makes the directory for this user only (mode 0700, parents too) where it is not there, and checks that it can be
    /// written. The rights of one that exists are left as they are.
    pub fn open(path: &Path) -> Result<Self, DirError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(|error| DirError::new("making", nearest(path), &error))?;
        let access = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
        rustix::fs::accessat(rustix::fs::CWD, path, access, rustix::fs::AtFlags::EACCESS).or_else(
            |error| match error {
                // The C library may not know how to ask for the effective user; then writing will tell.
                Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP => Ok(()),
                error => Err(DirError::new("using", path, &error.into())),
            },
        )?;
        Ok(Self {
            path: path.to_owned(),
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The owner, if it has been given one.
    pub fn owner(&self) -> Result<Option<String>, DirError> {
        let path = self.path.join(OWNER);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => String::new(),
            Err(error) => return Err(DirError::new("reading", &path, &error)),
        };
        let owner = text.trim_end();
        if is_owner(owner) {
            Ok(Some(owner.to_owned()))
        } else {
            Err(DirError::BadOwner {
                path: path.display().to_string(),
            })
        }
    }

    /// The owner; given now if there is none: the one that the store remembers (its file was lost), else a fresh one. To be
    /// called while the store is open, so that only one process gives one.
    pub fn ensure_owner(
        &self,
        remembered: Option<&str>,
        ids: &dyn IdGen,
    ) -> Result<String, DirError> {
        if let Some(owner) = self.owner()? {
            return Ok(owner);
        }
        let owner = remembered
            .filter(|owner| is_owner(owner))
            .map_or_else(|| format!("{:016x}", ids.bits()), str::to_owned);
        self.write(OWNER, &owner)
            .map_err(|error| DirError::new("writing", &self.path.join(OWNER), &error))?;
        Ok(owner)
    }

    /// The key of metadata endpoints, 64 hexadecimal digits; made now if there is none, or one that is damaged. With another
    /// key, containers that run already are no longer answered. To be called while the store is open.
    pub fn ensure_endpoint_key(&self, ids: &dyn IdGen) -> Result<String, DirError> {
        let path = self.path.join(ENDPOINT_KEY);
        match std::fs::read_to_string(&path) {
            Ok(text) if is_digits(text.trim_end(), KEY_DIGITS) => {
                return Ok(text.trim_end().to_owned());
            }
            Ok(_) => {
                tracing::warn!(
                    "{} is damaged and made anew: tasks that run now lose their metadata endpoint",
                    path.display()
                );
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(DirError::new("reading", &path, &error)),
        }
        let key: String = (0..KEY_DIGITS / 16)
            .map(|_| format!("{:016x}", ids.bits()))
            .collect();
        self.write(ENDPOINT_KEY, &key)
            .map_err(|error| DirError::new("writing", &path, &error))?;
        Ok(key)
    }

    /// Whole or not at all, and on the disk before the first container carries what follows from it.
    fn write(&self, name: &str, content: &str) -> io::Result<()> {
        let unfinished = self.path.join(format!("{name}.new"));
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&unfinished)?;
        writeln!(file, "{content}")?;
        file.sync_all()?;
        std::fs::rename(&unfinished, self.path.join(name))?;
        File::open(&self.path)?.sync_all()
    }
}

fn is_owner(text: &str) -> bool {
    is_digits(text, 16)
}

fn is_digits(text: &str, count: usize) -> bool {
    text.len() == count && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// The deepest part of `path` that exists: what stands in the way of making the rest.
fn nearest(path: &Path) -> &Path {
    path.ancestors()
        .find(|part| part.symlink_metadata().is_ok())
        .unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use crate::clock::SeededIds;

    fn surroundings(root: bool, xdg: Option<&str>, home: Option<&str>) -> Surroundings {
        Surroundings {
            root,
            xdg_state_home: xdg.map(OsString::from),
            home: home.map(OsString::from),
        }
    }

    #[test]
    fn the_default_directory_follows_the_user_and_the_folder() {
        let folder = Path::new("/srv/shop/manifests");
        let at = |s: Surroundings| default_path(folder, &s).map(|path| path.display().to_string());
        let name = format!("manifests-{}", &hex_sha256(b"/srv/shop/manifests")[..8]);
        assert_eq!(
            at(surroundings(true, Some("/x"), Some("/root"))),
            Ok(format!("/var/lib/longshore/{name}"))
        );
        assert_eq!(
            at(surroundings(false, Some("/x"), Some("/home/u"))),
            Ok(format!("/x/longshore/{name}"))
        );
        for xdg in [None, Some(""), Some("relative")] {
            assert_eq!(
                at(surroundings(false, xdg, Some("/home/u"))),
                Ok(format!("/home/u/.local/state/longshore/{name}"))
            );
        }
        assert_eq!(at(surroundings(false, None, None)), Err(DirError::NoHome));
    }

    #[test]
    fn a_folder_is_known_by_its_link_and_not_by_where_the_link_leads_today() {
        let home = tempfile::tempdir().expect("a directory");
        let top = home.path().canonicalize().expect("there");
        for version in ["v1", "v2"] {
            std::fs::create_dir_all(top.join("releases").join(version)).expect("made");
        }
        let current = top.join("current");
        for version in ["v1", "v2"] {
            let _ = std::fs::remove_file(&current);
            std::os::unix::fs::symlink(top.join("releases").join(version), &current)
                .expect("a link");
            for written in ["current", "current/", "./current/.", "releases/../current"] {
                assert_eq!(
                    known_as(&top.join(written)).as_os_str(),
                    current.as_os_str()
                );
            }
        }
        assert_eq!(known_as(&top.join("current/..")), top.join("releases"));
        assert_eq!(known_as(Path::new("/not/there")), Path::new("/not/there"));
        assert_eq!(known_as(Path::new("/..")), Path::new("/"));
    }

    #[test]
    fn two_folders_of_one_name_have_two_directories() {
        let s = surroundings(true, None, None);
        let path = |folder: &str| default_path(Path::new(folder), &s);
        assert_ne!(path("/a/manifests"), path("/b/manifests"));
        assert!(path("/").is_ok());
    }

    #[test]
    fn a_directory_is_made_for_its_user_only() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("deep/down/state");
        let dir = StateDir::open(&path).expect("made");
        assert_eq!(dir.path(), path);
        let mode = |p: &Path| p.metadata().expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(&home.path().join("deep")), 0o700);
        assert_eq!(StateDir::open(&path), Ok(dir), "one that exists is taken");
    }

    #[test]
    fn what_is_no_directory_is_named() {
        let home = tempfile::tempdir().expect("a directory");
        let file = home.path().join("file");
        std::fs::write(&file, "").expect("written");
        for path in [file.clone(), file.join("state")] {
            let error = StateDir::open(&path).expect_err("a file is in the way");
            assert_eq!(
                error,
                DirError::NotADirectory {
                    path: file.display().to_string()
                }
            );
        }
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_refused_with_what_to_do() {
        // `/proc` refuses everybody, root too; another user's directory refuses everybody but root.
        let error = StateDir::open(Path::new("/proc/longshore-state")).expect_err("not there");
        assert!(error.to_string().contains("/proc"), "{error}");
        let error = io::Error::from(Errno::ACCESS);
        let text = DirError::new("making", Path::new("/srv"), &error).to_string();
        let uid = rustix::process::geteuid().as_raw();
        for part in ["/srv", &format!("uid {uid}"), "chown", "--state-dir"] {
            assert!(text.contains(part), "{text}");
        }
        let error = io::Error::from(Errno::ROFS);
        let text = DirError::new("making", Path::new("/srv"), &error).to_string();
        assert!(
            text.contains("read-only") && text.contains("--state-dir"),
            "{text}"
        );
    }

    #[test]
    fn an_owner_is_given_once_and_read_after() {
        let home = tempfile::tempdir().expect("a directory");
        let dir = StateDir::open(home.path()).expect("there");
        assert_eq!(dir.owner(), Ok(None));
        let ids = SeededIds::new(1);
        let owner = dir.ensure_owner(None, ids.as_ref()).expect("given");
        assert!(is_owner(&owner), "{owner}");
        assert_eq!(dir.ensure_owner(None, ids.as_ref()), Ok(owner.clone()));
        let remembered = Some("00000000000000aa");
        assert_eq!(dir.ensure_owner(remembered, ids.as_ref()), Ok(owner));
        let file = home.path().join(OWNER).metadata().expect("there");
        assert_eq!(file.mode() & 0o777, 0o600);
    }

    #[test]
    fn a_lost_owner_file_is_written_again_from_what_the_store_remembers() {
        let home = tempfile::tempdir().expect("a directory");
        let dir = StateDir::open(home.path()).expect("there");
        let remembered = Some("00000000000000aa");
        let owner = dir.ensure_owner(remembered, SeededIds::new(1).as_ref());
        assert_eq!(owner.as_deref(), Ok("00000000000000aa"));
        assert_eq!(dir.owner(), Ok(Some("00000000000000aa".to_owned())));
    }

    #[test]
    fn a_damaged_owner_file_is_refused_and_left_alone() {
        let home = tempfile::tempdir().expect("a directory");
        let dir = StateDir::open(home.path()).expect("there");
        for text in [&b""[..], b"0123", b"0123456789ABCDEF\n", b"\xff\xfe"] {
            std::fs::write(home.path().join(OWNER), text).expect("written");
            let refused = dir.ensure_owner(None, SeededIds::new(1).as_ref());
            assert!(
                matches!(refused, Err(DirError::BadOwner { .. })),
                "{refused:?}"
            );
        }
    }

    #[test]
    fn the_endpoint_key_is_its_users_alone_and_stays() {
        let home = tempfile::tempdir().expect("a directory");
        let dir = StateDir::open(home.path()).expect("made");
        let ids = SeededIds::new(1);
        let key = dir.ensure_endpoint_key(ids.as_ref()).expect("made");
        assert_eq!(dir.ensure_endpoint_key(ids.as_ref()), Ok(key.clone()));
        let file = home.path().join(ENDPOINT_KEY);
        let mode = file.metadata().expect("there").permissions().mode() & 0o777;
        assert_eq!((key.len(), mode), (64, 0o600));
        std::fs::write(&file, "half").expect("damaged");
        let other = dir.ensure_endpoint_key(ids.as_ref()).expect("made anew");
        assert_ne!(other, key);
    }
}
