//! Running a fault's commands in a task's network namespace.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::io::AsyncWriteExt;

use super::Refusal;
use super::commands::{Command, Means, Target};
use super::request::Kind;
use crate::agent::known::is_up;
use crate::agent::shared::Shared;
use crate::engine::ObservedContainer;

/// How long a command may take (ECS's agent: 5 s).
const LIMIT: Duration = Duration::from_secs(5);
/// Where a service may find system programs though its PATH does not name them.
const SYSTEM: [&str; 4] = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];

/// A task's network namespace, held open: while it is, no other can be taken for it.
pub(super) struct Namespace {
    file: File,
    nsenter: PathBuf,
}

impl Namespace {
    /// The namespace that the container of that name holds.
    ///
    /// # Errors
    /// Where it cannot be entered, and what is missing.
    pub async fn open(
        shared: &Shared,
        observed: &BTreeMap<String, ObservedContainer>,
        holder: &str,
    ) -> Result<Self, Refusal> {
        if !rustix::process::geteuid().is_root() {
            return Err(Refusal::impossible(
                "fault injection needs Longshore to run as root, to enter the task's network namespace",
            ));
        }
        let nsenter = find("nsenter")?;
        let gone = || Refusal::failed("the task's network is gone");
        let holder = observed.get(holder).ok_or_else(gone)?;
        let pid = async || {
            let seen = shared.engine.inspect_container(&holder.id).await;
            let seen = seen.map_err(|error| Refusal::failed(error.to_string()))?;
            if is_up(seen.state) && seen.pid > 0 {
                Ok(seen.pid)
            } else {
                Err(gone())
            }
        };
        let before = pid().await?;
        let file = File::open(format!("/proc/{before}/ns/net"))
            .map_err(|error| Refusal::failed(format!("the task's network: {error}")))?;
        // Had it ended meanwhile, its process id could be anybody's.
        if pid().await? != before {
            return Err(gone());
        }
        let inode = |meta: std::io::Result<std::fs::Metadata>| {
            meta.map(|meta| meta.ino())
                .map_err(|error| Refusal::failed(error.to_string()))
        };
        if inode(file.metadata())? == inode(std::fs::metadata("/proc/self/ns/net"))? {
            return Err(Refusal::failed(
                "the task has no network namespace of its own",
            ));
        }
        Ok(Self { file, nsenter })
    }

    /// Whether the fault runs.
    ///
    /// # Errors
    /// Where that cannot be found out.
    pub async fn runs(&self, target: &Target<'_>) -> Result<bool, Refusal> {
        let output = self.run(&target.check(), target.kind).await?;
        Ok(match target.means() {
            Means::Tables(_) => output.status.success(),
            Means::Queues => String::from_utf8_lossy(&output.stdout).contains("netem"),
        })
    }

    /// Starts it; where that fails, nothing of it is left.
    ///
    /// # Errors
    /// What this host cannot do, by name.
    pub async fn start(&self, target: &Target<'_>) -> Result<(), Refusal> {
        for command in target.start() {
            let output = self.run(&command, target.kind).await?;
            if !output.status.success() {
                if target.means() == Means::Queues {
                    self.all(&target.stop(), target.kind).await.ok();
                }
                return Err(refusal(target, &command, &output));
            }
        }
        Ok(())
    }

    /// Ends it.
    ///
    /// # Errors
    /// Where it does not end.
    pub async fn stop(&self, target: &Target<'_>) -> Result<(), Refusal> {
        self.all(&target.stop(), target.kind).await
    }

    async fn all(&self, commands: &[Command], kind: Kind) -> Result<(), Refusal> {
        for command in commands {
            let output = self.run(command, kind).await?;
            if !output.status.success() {
                return Err(failure(command, &output));
            }
        }
        Ok(())
    }

    async fn run(&self, command: &Command, kind: Kind) -> Result<Output, Refusal> {
        let program = find(command.program)?;
        let namespace = format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd());
        let failed =
            |error: std::io::Error| Refusal::failed(format!("{}: {error}", command.program));
        let mut child = tokio::process::Command::new(&self.nsenter)
            .arg(format!("--net={namespace}"))
            .arg("--")
            .arg(program)
            .args(&command.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let input = child.stdin.take();
        let run = async {
            if let Some(mut input) = input {
                // One that reads nothing has said why.
                let _ = input.write_all(command.input.as_bytes()).await;
            }
            child.wait_with_output().await
        };
        match tokio::time::timeout(LIMIT, run).await {
            Ok(output) => output.map_err(failed),
            Err(_) => Err(Refusal::failed(format!("{kind}: request timed out"))),
        }
    }
}

fn failure(command: &Command, output: &Output) -> Refusal {
    Refusal::failed(format!("{}: {}", command.program, said(output)))
}

/// Why a fault did not start: mostly the kernel lacks what it needs, and then it says so in one of a few ways.
fn refusal(target: &Target<'_>, command: &Command, output: &Output) -> Refusal {
    let said = said(output);
    let lacks = [
        "unknown",
        "No such file",
        "not supported",
        "Couldn't load match",
        "missing",
    ]
    .iter()
    .any(|words| said.contains(words));
    if !lacks {
        return failure(command, output);
    }
    let needed = match target.means() {
        Means::Queues => "netem (module sch_netem) and prio queues",
        Means::Tables(_) => "the filter table and the statistic match (module xt_statistic)",
    };
    Refusal::impossible(format!(
        "{} is not possible on this host: its kernel needs {needed}; {} says: {said}",
        target.kind, command.program
    ))
}

/// The first line of its complaint.
fn said(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    text.lines()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or("it failed and said nothing")
        .to_owned()
}

/// A program of the host.
fn find(program: &str) -> Result<PathBuf, Refusal> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(SYSTEM.iter().map(PathBuf::from))
        .map(|directory| directory.join(program))
        .find(|candidate| is_program(candidate))
        .ok_or_else(|| {
            let package = match program {
                "nsenter" => "util-linux",
                "tc" => "iproute2",
                _ => "iptables",
            };
            Refusal::impossible(format!(
                "fault injection needs {program} on the engine's host, and it is not there: install {package}"
            ))
        })
}

fn is_program(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|meta| meta.is_file() && meta.mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_named_with_its_package() {
        let refusal = find("no-such-program-of-the-host").expect_err("it is not there");
        assert!(refusal.message.contains("no-such-program-of-the-host"));
        assert!(refusal.message.contains("install iptables"));
        assert!(find("sh").is_ok());
    }
}
