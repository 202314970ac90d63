//! What a folder is a copy of, where several machines follow copies of one: a path says nothing there.

use std::path::{Path, PathBuf};

/// What a folder is a copy of: in a git checkout the repository's `origin` and the folder's place in it, else the folder's name.
/// Two checkouts of one repository are the same; no user or password of the address is in it.
pub fn of(folder: &Path) -> String {
    let real = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    for top in real.ancestors() {
        let Some(config) = git_config(top) else {
            continue;
        };
        let text = std::fs::read_to_string(config).unwrap_or_default();
        if let Some(origin) = origin(&text) {
            let below = real.strip_prefix(top).unwrap_or(Path::new(""));
            let below = match below.display().to_string() {
                top if top.is_empty() => ".".to_owned(),
                below => below,
            };
            return format!("{} ({below})", plain(&origin));
        }
        break;
    }
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    format!("folder {name}")
}

/// The configuration of the repository whose top that directory is; a worktree's and a submodule's is elsewhere.
fn git_config(top: &Path) -> Option<PathBuf> {
    let git = top.join(".git");
    if git.is_dir() {
        return Some(git.join("config"));
    }
    let text = std::fs::read_to_string(&git).ok()?;
    let dir = top.join(text.strip_prefix("gitdir:")?.trim());
    let common = match std::fs::read_to_string(dir.join("commondir")) {
        Ok(common) => dir.join(common.trim()),
        Err(_) => dir,
    };
    Some(common.join("config"))
}

/// The `url` of `[remote "origin"]`.
fn origin(config: &str) -> Option<String> {
    let mut inside = false;
    for line in config.lines().map(str::trim) {
        if line.starts_with('[') {
            inside = line == "[remote \"origin\"]";
        } else if inside
            && let Some((name, value)) = line.split_once('=')
            && name.trim() == "url"
        {
            return Some(value.trim().to_owned());
        }
    }
    None
}

/// An address without the user and password in it, and without what differs between ways to write one.
fn plain(url: &str) -> String {
    let url = url.trim_end_matches('/');
    let url = url.strip_suffix(".git").unwrap_or(url);
    let (host, path) = match url.split_once("://") {
        Some((_, rest)) => rest.split_once('/').unwrap_or((rest, "")),
        // user@host:path
        None => match url.split_once(':') {
            Some((host, path)) if !host.contains('/') => (host, path),
            _ => return url.to_owned(),
        },
    };
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    format!("{host}/{}", path.trim_start_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_checkouts_of_one_repository_are_copies_of_the_same_folder() {
        let home = tempfile::tempdir().expect("a directory");
        let checkout = |name: &str, url: &str| {
            let top = home.path().join(name);
            std::fs::create_dir_all(top.join(".git")).expect("made");
            std::fs::create_dir_all(top.join("deploy/shop")).expect("made");
            let config = format!("[core]\n\tbare = false\n[remote \"origin\"]\n\turl = {url}\n");
            std::fs::write(top.join(".git/config"), config).expect("written");
            top
        };
        let one = checkout("one", "https://me:secret@git.example.com/team/shop.git");
        let two = checkout("two", "git@git.example.com:team/shop.git");
        let other = checkout("other", "https://git.example.com/team/blog.git");
        let at = |top: &Path| of(&top.join("deploy/shop"));
        assert_eq!(at(&one), "git.example.com/team/shop (deploy/shop)");
        assert_eq!(at(&one), at(&two));
        assert_ne!(at(&one), at(&other));
        assert_ne!(at(&one), of(&one.join("deploy")));
        assert_eq!(of(&one), "git.example.com/team/shop (.)");
    }

    #[test]
    fn a_worktree_is_of_its_repository_and_a_folder_of_no_repository_is_its_name() {
        let home = tempfile::tempdir().expect("a directory");
        let git = home.path().join("main/.git");
        std::fs::create_dir_all(git.join("worktrees/w")).expect("made");
        std::fs::write(
            git.join("config"),
            "[remote \"origin\"]\nurl=ssh://git@h:22/r\n",
        )
        .expect("written");
        std::fs::write(git.join("worktrees/w/commondir"), "../..\n").expect("written");
        let tree = home.path().join("w");
        std::fs::create_dir(&tree).expect("made");
        let pointer = format!("gitdir: {}\n", git.join("worktrees/w").display());
        std::fs::write(tree.join(".git"), pointer).expect("written");
        assert_eq!(of(&tree), "h:22/r (.)");
        let (a, b) = (
            home.path().join("a/manifests"),
            home.path().join("b/manifests"),
        );
        assert_eq!(of(&a), "folder manifests");
        assert_eq!(of(&a), of(&b));
    }
}
