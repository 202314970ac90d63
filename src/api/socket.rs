//! Where the socket is, and making it: readable and writable by its owner only, and never stolen from a live server.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixSocket};

use crate::model::hex_sha256;

/// Longest path that a unix socket can have on Linux: `sun_path` is 108 bytes with its final NUL.
pub const MAX_PATH: usize = 107;

/// Why there is no socket to listen on.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// A Longshore answers there.
    #[error("{0}: another Longshore listens on this socket")]
    Live(PathBuf),
    /// Something that is not a socket is there.
    #[error("{0}: is there and is not a socket; remove it, or choose another path with --socket")]
    NotASocket(PathBuf),
    /// The path does not fit.
    #[error(
        "{path}: a socket's path has at most {MAX_PATH} bytes, this one has {length}; choose a shorter one with --socket"
    )]
    TooLong {
        /// The path.
        path: PathBuf,
        /// Its bytes.
        length: usize,
    },
    /// The directory is not ours alone.
    #[error("{path}: {why}; remove it, or choose another path with --socket")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The system refused.
    #[error("{path}: {source}")]
    Io {
        /// On which path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The directory that this user's sockets are in: `$XDG_RUNTIME_DIR/longshore`, for root `/run/longshore`, else
/// `/tmp/longshore-<uid>`. The first of [`runtime_dirs`].
pub fn runtime_dir() -> PathBuf {
    runtime_dirs().swap_remove(0)
}

/// Every directory where this user's sockets may be: a Longshore that systemd started may have had another environment
/// than the shell that asks for it.
pub fn runtime_dirs() -> Vec<PathBuf> {
    let uid = rustix::process::getuid().as_raw();
    let mut dirs = Vec::new();
    if let Some(xdg) = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from)
        && xdg.is_absolute()
        && fs::metadata(&xdg).is_ok_and(|meta| meta.is_dir() && meta.uid() == uid)
    {
        dirs.push(xdg.join("longshore"));
    }
    if uid == 0 {
        dirs.push(PathBuf::from("/run/longshore"));
    }
    dirs.push(PathBuf::from(format!("/tmp/longshore-{uid}")));
    dirs
}

/// The socket of the state directory of that name: `<runtime directory>/<name>.sock`. A name that would not fit in a
/// socket's path is cut, and told apart by its hash.
pub fn socket_path(state_dir_name: &str) -> PathBuf {
    let dirs = runtime_dirs();
    let first = dirs
        .iter()
        .find(|dir| dir.as_os_str().len() + SHORT_NAME < MAX_PATH)
        .or(dirs.last());
    in_directory(
        first.map_or(Path::new("/tmp"), PathBuf::as_path),
        state_dir_name,
    )
}

/// Bytes of the shortest name that [`in_directory`] gives a socket, with its slash.
const SHORT_NAME: usize = 1 + 16 + ".sock".len();

fn in_directory(dir: &Path, name: &str) -> PathBuf {
    let whole = dir.join(format!("{name}.sock"));
    if whole.as_os_str().len() <= MAX_PATH {
        return whole;
    }
    let hash = hex_sha256(name.as_bytes());
    dir.join(format!("{}.sock", hash.get(..16).unwrap_or(&hash)))
}

/// A socket that is listened on. Dropping it removes its file, if that is still this socket's.
#[derive(Debug)]
pub struct BoundSocket {
    path: PathBuf,
    inode: u64,
}

impl BoundSocket {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for BoundSocket {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|meta| meta.ino() == self.inode) {
            // A file that cannot be removed is stale, and the next start replaces it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Listens on `path`, with mode 0600. A missing parent directory is made, with mode 0700; a socket there that nobody
/// answers on is replaced. A directory of [`runtime_dirs`] must belong to this user alone.
///
/// # Errors
/// [`SocketError`]; nothing was changed, but for the directory.
pub fn bind(path: &Path) -> Result<(UnixListener, BoundSocket), SocketError> {
    let length = path.as_os_str().len();
    if length > MAX_PATH {
        return Err(SocketError::TooLong {
            path: path.to_owned(),
            length,
        });
    }
    let failed = |source| SocketError::Io {
        path: path.to_owned(),
        source,
    };
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
    if let Some(parent) = parent {
        prepare_directory(parent)?;
    }
    match fs::symlink_metadata(path) {
        Ok(meta) if !meta.file_type().is_socket() => {
            return Err(SocketError::NotASocket(path.to_owned()));
        }
        Ok(_) if is_live(path) => return Err(SocketError::Live(path.to_owned())),
        Ok(_) => fs::remove_file(path).map_err(failed)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    // Between `bind` and `listen` nobody can connect, so the mode is right before anybody can.
    let socket = UnixSocket::new_stream().map_err(failed)?;
    socket.bind(path).map_err(failed)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
    let inode = fs::symlink_metadata(path).map_err(failed)?.ino();
    let listener = socket.listen(128).map_err(failed)?;
    Ok((
        listener,
        BoundSocket {
            path: path.to_owned(),
            inode,
        },
    ))
}

/// Whether somebody answers on the socket. No right to connect means that somebody else's server may be there.
pub fn is_live(path: &Path) -> bool {
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => true,
        Err(error) => error.kind() == io::ErrorKind::PermissionDenied,
    }
}

fn prepare_directory(dir: &Path) -> Result<(), SocketError> {
    let failed = |source| SocketError::Io {
        path: dir.to_owned(),
        source,
    };
    match fs::symlink_metadata(dir) {
        Ok(meta) => {
            if runtime_dirs().iter().any(|own| own == dir) {
                check_own_directory(dir, &meta)?;
            }
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(failed),
        Err(error) => Err(failed(error)),
    }
}

/// A directory that anybody could have made (`/tmp/longshore-1000`) is trusted only when it is this user's alone.
pub(super) fn check_own_directory(dir: &Path, meta: &fs::Metadata) -> Result<(), SocketError> {
    let refuse = |why: &str| {
        Err(SocketError::Directory {
            path: dir.to_owned(),
            why: why.to_owned(),
        })
    };
    if !meta.is_dir() {
        return refuse("is not a directory");
    }
    if meta.uid() != rustix::process::getuid().as_raw() {
        return refuse("belongs to another user");
    }
    if meta.mode() & 0o022 != 0 {
        return refuse("can be written to by others");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_is_its_owners_alone_and_gone_with_its_guard() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("made/by-us/a.sock");
        let (_listener, bound) = bind(&path).unwrap();
        let mode = |p: &Path| fs::symlink_metadata(p).unwrap().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        drop(bound);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_live_socket_is_refused_and_a_stale_one_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.sock");
        let (listener, bound) = bind(&path).unwrap();
        assert!(matches!(bind(&path), Err(SocketError::Live(_))));
        drop(listener);
        // What a `kill -9` leaves: the file without its listener.
        std::mem::forget(bound);
        assert!(path.exists() && !is_live(&path));
        let (_listener, _bound) = bind(&path).unwrap();
        assert!(is_live(&path));
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.sock");
        fs::write(&path, "precious").unwrap();
        assert!(matches!(bind(&path), Err(SocketError::NotASocket(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[tokio::test]
    async fn the_guard_does_not_remove_a_socket_that_took_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.sock");
        let (listener, first) = bind(&path).unwrap();
        drop(listener);
        // Moved aside, not removed: its inode must not be used again for the second one.
        fs::rename(&path, dir.path().join("old.sock")).unwrap();
        let (_listener, _second) = bind(&path).unwrap();
        drop(first);
        assert!(path.exists());
    }

    #[test]
    fn a_name_that_does_not_fit_is_replaced_by_its_hash() {
        let dir = Path::new("/run/user/1000/longshore");
        assert_eq!(in_directory(dir, "shop-1a2b"), dir.join("shop-1a2b.sock"));
        let (a, b) = (
            in_directory(dir, &"a".repeat(200)),
            in_directory(dir, &"b".repeat(200)),
        );
        assert!(a.as_os_str().len() <= MAX_PATH);
        assert_ne!(a, b);
    }

    #[test]
    fn a_directory_that_others_may_write_to_is_not_trusted() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let meta = fs::symlink_metadata(dir.path()).unwrap();
        assert!(check_own_directory(dir.path(), &meta).is_err());
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let meta = fs::symlink_metadata(dir.path()).unwrap();
        assert!(check_own_directory(dir.path(), &meta).is_ok());
    }
}
