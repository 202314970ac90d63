//! This machine: the folder, the state directory, sockets, and the Longshores that run already.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::{Findings, Space, Verdict, size};
use crate::api::{self, client::Client};
use crate::cli::output;
use crate::daemon;
use crate::diagnostic::{Diagnostic, Severity};
use crate::manifest::watch;
use crate::store::dir::known_as;
use crate::store::redb::FILE;

/// Room below which the state cannot be written, and below which it soon cannot.
const ROOM: (u64, u64) = (16 << 20, 256 << 20);

pub(super) fn folder(findings: &mut Findings, dir: &Path, diagnostics: &[Diagnostic]) {
    if !dir.is_dir() {
        findings.warn(
            "folder",
            format!("{} is not there", dir.display()),
            "`longshore init` writes one that works",
        );
        return;
    }
    match watch::network_file_system(dir) {
        Some(reason) => findings.warn(
            "folder",
            format!("{}: {reason}; it sends no events", dir.display()),
            "it is read every 2 s instead",
        ),
        None => findings.good("folder", format!("{} sends events", dir.display())),
    }
    let errors = diagnostics.iter();
    let errors: Vec<&Diagnostic> = errors.filter(|d| d.severity == Severity::Error).collect();
    match errors.first() {
        None => findings.good(
            "manifests",
            match diagnostics.len() {
                0 => "all are valid".to_owned(),
                warnings => format!("all are valid, with {}", output::count(warnings, "warning")),
            },
        ),
        Some(first) => findings.bad(
            "manifests",
            format!(
                "{}, the first: {first}",
                output::count(errors.len(), "error")
            ),
            format!(
                "`longshore validate {}` shows each at its line",
                dir.display()
            ),
        ),
    }
}

pub(super) fn inotify(findings: &mut Findings) {
    let limit = |name: &str| {
        std::fs::read_to_string(format!("/proc/sys/fs/inotify/{name}"))
            .ok()
            .and_then(|text| text.trim().parse::<u64>().ok())
    };
    match (limit("max_user_watches"), limit("max_user_instances")) {
        (Some(watches), Some(instances)) if watches < 8192 || instances < 128 => findings.warn(
            "inotify",
            format!("{watches} watches and {instances} instances a user"),
            "raise them: `sysctl fs.inotify.max_user_watches=65536 fs.inotify.max_user_instances=512`",
        ),
        (Some(watches), Some(instances)) => {
            findings.good("inotify", format!("{watches} watches and {instances} instances a user"));
        }
        _ => findings.warn("inotify", "its limits cannot be read", "folders are polled where it does not work"),
    }
}

/// The state directory of a folder: whether it can be made or written, and how much room there is.
pub(super) fn state(findings: &mut Findings, named: Option<&Path>, dir: &Path) {
    let path = match daemon::state_directory(named, &known_as(dir)) {
        Ok(path) => path,
        Err(error) => {
            findings.bad("state", error, "name a directory with --state-dir");
            return;
        }
    };
    let shown = path.display();
    let Some(there) = path.ancestors().find(|above| above.exists()) else {
        return;
    };
    let access = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
    if let Err(error) = rustix::fs::access(there, access) {
        findings.bad(
            "state",
            format!("{shown} cannot be written: {}: {error}", there.display()),
            "name a directory of your own with --state-dir, or run it as the user that owns this one",
        );
        return;
    }
    if let Some(reason) = watch::network_file_system(there) {
        let reason = reason.replace("the folder", "it");
        findings.warn(
            "state",
            format!("{shown}: {reason}, where locks and syncs may not be what they promise"),
            "name a directory on a local disk with --state-dir",
        );
    }
    let others = std::fs::metadata(&path).map(|meta| meta.permissions().mode() & 0o077);
    if others.is_ok_and(|mode| mode != 0) {
        findings.warn(
            "state",
            format!("{shown} is open to other users"),
            format!("the keys of the tasks' endpoints are in it: `chmod 700 {shown}`"),
        );
    }
    let Some(space) = Space::at(there) else {
        return;
    };
    let holds = match std::fs::metadata(path.join(FILE)) {
        Ok(meta) => format!("{shown} holds {}", size(meta.len())),
        Err(_) => format!("{shown} is made at the first run"),
    };
    let found = format!("{holds}, and {}", space.shown());
    let help = "without room nothing new is decided; what runs is kept";
    match space.judge(ROOM.0, ROOM.1) {
        Verdict::Good => findings.good("state", found),
        Verdict::Warning => findings.warn("state", found, help),
        Verdict::Bad => findings.bad("state", found, help),
    }
}

/// Where the socket is made.
pub(super) fn sockets(findings: &mut Findings) {
    let dir = api::runtime_dir();
    let Some(there) = dir.ancestors().find(|above| above.exists()) else {
        return;
    };
    let access = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
    if let Err(error) = rustix::fs::access(there, access) {
        findings.bad(
            "socket",
            format!("{}: {error}", there.display()),
            "set XDG_RUNTIME_DIR to a directory of this user's, or name a socket with --socket",
        );
    }
}

/// Every Longshore that answers, with what it is for.
pub(super) async fn running(findings: &mut Findings) {
    let running = Client::running(None, None).await;
    if running.is_empty() {
        findings.good(
            "running",
            format!("no Longshore answers in {}", api::runtime_dir().display()),
        );
    }
    for (client, identity) in running {
        findings.good(
            "running",
            format!(
                "a Longshore follows {} on engine {}, its state in {}; it answers at {}",
                identity.folder,
                identity.engine,
                identity.state_dir,
                client.path().display()
            ),
        );
        let ours = env!("CARGO_PKG_VERSION");
        if identity.version != ours {
            findings.warn(
                "running",
                format!(
                    "it is Longshore {}, and this command is {ours}",
                    identity.version
                ),
                "restart it: containers keep running meanwhile",
            );
        }
        let Ok(status) = client.status().await else {
            continue;
        };
        if let Some(why) = status.not_taken() {
            findings.warn("running", why, "mend it, and it is taken at once");
        }
        if let Some(why) = &status.stale {
            findings.warn(
                "running",
                format!("it cannot follow its store: {why}"),
                "what runs is kept; nothing new is decided before the store answers",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &Path) -> Vec<(Verdict, String)> {
        let mut findings = Findings::default();
        state(&mut findings, Some(path), Path::new("manifests"));
        let found = findings.0.into_iter();
        found.map(|f| (f.verdict, f.found)).collect()
    }

    #[test]
    fn a_state_directory_is_looked_at_and_not_made_and_one_that_others_may_read_is_warned_of() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        let found = of(&path);
        assert!(found[0].1.contains("is made at the first run"), "{found:?}");
        assert!(!dir.path().join("a").exists());
        std::fs::create_dir_all(&path).unwrap();
        std::fs::write(path.join(FILE), [0; 4096]).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        let found = of(&path);
        assert_eq!(found[0].0, Verdict::Warning);
        assert!(found[0].1.ends_with("is open to other users"), "{found:?}");
        assert!(found[1].1.contains("holds 4 KiB, and "), "{found:?}");
    }
}
