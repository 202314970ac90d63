//! Asking a program for a secret.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

use super::provider::{Answer, LARGEST, value};
use super::value::redact;

/// The secret's name, for programs that would rather read it here than as an argument.
const NAME: &str = "LONGSHORE_SECRET_NAME";
/// What the definition writes: an ARN with its version, say.
const REFERENCE: &str = "LONGSHORE_SECRET_REFERENCE";
/// Bytes that are read of what a program says of its failure, and characters that are shown.
const SAID: usize = 8 << 10;
const SHOWN: usize = 200;

/// Runs `command` with the name as its last argument. Exit code 0: standard output is the value; another: it has none, and
/// standard error says why. There is no shell, and nothing on standard input.
///
/// # Errors
/// Why the program did not answer: it cannot be run, takes longer than `limit`, was killed, or prints no value.
pub(super) async fn ask(
    command: &[String],
    name: &str,
    reference: &str,
    folder: &Path,
    limit: Duration,
) -> Result<Answer, String> {
    let Some((program, arguments)) = command.split_first() else {
        return Err("it names no program".to_owned());
    };
    // The program would take it for an option.
    if name.starts_with('-') {
        let why = "a name that begins with `-` is not passed to a command";
        return Ok(Answer::Absent(Some(why.to_owned())));
    }
    let mut command = Command::new(located(program, folder));
    command
        .args(arguments)
        .arg(name)
        .env(NAME, name)
        .env(REFERENCE, reference)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // A group of its own, so that what the program starts ends with it.
        .process_group(0)
        .kill_on_drop(true);
    if folder.is_dir() {
        command.current_dir(folder);
    }
    let mut group = Group(
        command
            .spawn()
            .map_err(|error| format!("{program}: {error}"))?,
    );
    let ran = tokio::time::timeout(limit, group.run()).await;
    let (status, output, said) = match ran {
        Ok(Ok(ran)) => ran,
        Ok(Err(error)) => return Err(format!("{program}: {error}")),
        Err(_) => {
            return Err(format!(
                "{program} did not answer within {} s",
                limit.as_secs()
            ));
        }
    };
    if status.success() {
        return value(output).map(Answer::Value);
    }
    let Some(code) = status.code() else {
        return Err(format!("{program} was killed"));
    };
    let (output, said) = (
        String::from_utf8_lossy(&output),
        String::from_utf8_lossy(&said),
    );
    Ok(Answer::Absent(Some(failure(code, &output, &said))))
}

/// What a program said of its failure, in one line. What it printed before may be the value, or a part of it.
fn failure(code: i32, output: &str, said: &str) -> String {
    let said = redact(said, [output]);
    let words: Vec<&str> = said.split_whitespace().collect();
    let words = words.join(" ");
    let mut shown: String = words.chars().take(SHOWN).collect();
    if shown.len() < words.len() {
        shown.push('…');
    }
    if shown.is_empty() {
        format!("exit code {code}")
    } else {
        format!("exit code {code}: {shown}")
    }
}

/// A program with a path that is not absolute is one below the folder of manifests; one without is sought in `PATH`.
fn located(program: &str, folder: &Path) -> PathBuf {
    if program.contains('/') {
        super::provider::absolute(folder, program)
    } else {
        PathBuf::from(program)
    }
}

/// A program and all that it started. Dropped, none of it is left.
struct Group(Child);

impl Group {
    async fn run(&mut self) -> std::io::Result<(ExitStatus, Vec<u8>, Vec<u8>)> {
        let (stdout, stderr) = (self.0.stdout.take(), self.0.stderr.take());
        let (output, said) = tokio::join!(first(stdout, LARGEST + 2), first(stderr, SAID));
        Ok((self.0.wait().await?, output?, said?))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let id = self.0.id().and_then(|id| i32::try_from(id).ok());
        if let Some(group) = id.and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }
}

/// The first `most` bytes of a stream, which is read to its end.
async fn first(stream: Option<impl AsyncRead + Unpin>, most: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(mut stream) = stream {
        let mut limited = (&mut stream).take(most as u64);
        limited.read_to_end(&mut bytes).await?;
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::SecretValue;

    async fn run(script: &str, name: &str, limit: u64) -> Result<Answer, String> {
        let command = ["/bin/sh", "-c", script, "vault"].map(str::to_owned);
        let folder = std::env::temp_dir();
        ask(&command, name, "arn:x", &folder, Duration::from_secs(limit)).await
    }

    #[tokio::test]
    async fn the_name_is_the_last_argument_and_the_output_is_the_value() {
        let script =
            r#"echo "$# $1 $LONGSHORE_SECRET_NAME $LONGSHORE_SECRET_REFERENCE"; echo noise >&2"#;
        let wanted = "1 shop/$(db); shop/$(db); arn:x";
        let found = run(script, "shop/$(db);", 60).await.unwrap();
        assert_eq!(found, Answer::Value(SecretValue::new(wanted)));
    }

    #[tokio::test]
    async fn another_exit_code_means_that_it_has_none_and_standard_error_says_why() {
        let said = "echo no such >&2; echo entry >&2; exit 3";
        let answer = run(said, "a", 60).await.unwrap();
        assert_eq!(
            answer,
            Answer::Absent(Some("exit code 3: no such entry".to_owned()))
        );
        let quiet = run("exit 1", "a", 60).await.unwrap();
        assert_eq!(quiet, Answer::Absent(Some("exit code 1".to_owned())));
    }

    #[tokio::test]
    async fn what_was_printed_before_a_failure_is_not_repeated_from_standard_error() {
        let script = "echo planted-value; echo cannot show planted-value or planted >&2; exit 1";
        let answer = run(script, "a", 60).await.unwrap();
        let said = "exit code 1: cannot show [hidden] or [hidden]";
        assert_eq!(answer, Answer::Absent(Some(said.to_owned())));
    }

    #[tokio::test]
    async fn a_program_that_does_not_end_is_ended_with_all_that_it_started() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("alive");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        // Both processes hold the pipe open: reading it ends when both have ended.
        let script = format!(
            "exec 3<>{0}; exec 4>{0}; exec 3<&-; sleep 1000 & sleep 1000",
            pipe.display()
        );
        let watch = tokio::task::spawn_blocking(move || std::fs::read(pipe));
        let error = run(&script, "a", 1).await.unwrap_err();
        assert_eq!(error, "/bin/sh did not answer within 1 s");
        assert_eq!(watch.await.unwrap().unwrap(), b"");
    }

    #[tokio::test]
    async fn a_program_that_cannot_be_run_or_prints_too_much_has_not_answered() {
        let missing = ["longshore-no-such-program".to_owned()];
        let folder = std::env::temp_dir();
        let limit = Duration::from_secs(60);
        let error = ask(&missing, "a", "a", &folder, limit).await.unwrap_err();
        assert!(error.starts_with("longshore-no-such-program: "), "{error}");
        let error = run("head -c 70000 /dev/zero", "a", 60).await.unwrap_err();
        assert!(error.contains("64 KiB"), "{error}");
        let error = run("kill -9 $$", "a", 60).await.unwrap_err();
        assert_eq!(error, "/bin/sh was killed");
    }

    #[tokio::test]
    async fn a_name_is_never_an_option() {
        let answer = run("echo value", "--help", 60).await.unwrap();
        assert!(matches!(answer, Answer::Absent(Some(_))));
    }

    #[test]
    fn a_program_by_path_is_one_of_the_folder() {
        let folder = Path::new("/m");
        assert_eq!(located("bin/get", folder), Path::new("/m/bin/get"));
        assert_eq!(located("/bin/get", folder), Path::new("/bin/get"));
        assert_eq!(located("get", folder), Path::new("get"));
    }
}
