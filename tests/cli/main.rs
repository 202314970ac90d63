//! The commands that need no engine, as a user runs them: what they print where, and how they end.

use std::path::Path;
use std::process::{Command, Output};

mod diff;
mod doctor;
mod not_taken;
mod plan;
mod set_image;
mod steering;

const BROKEN: &str = "apiVersion: longshore/v1
kind: Service
metadata:
  name: web
spec:
  taskDefinition: web
  desiredCont: 3
";

struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        let home = Self(tempfile::tempdir().expect("a temporary folder"));
        std::fs::create_dir(home.path().join("manifests")).expect("a folder");
        home
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path().join("manifests").join(name), text).expect("written");
    }

    /// The command in this folder, with no engine and no state but its own.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_longshore"));
        command
            .args(arguments)
            .current_dir(self.path())
            .env("DOCKER_HOST", "unix:///nonexistent/docker.sock")
            .env("LONGSHORE_STATE_DIR", self.path().join("state"))
            .env("LONGSHORE_SOCKET", self.path().join("s.sock"))
            .env_remove("GITHUB_ACTIONS");
        command
    }

    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        ended(self.command(arguments).output().expect("it runs"))
    }
}

fn ended(output: Output) -> (i32, String, String) {
    (
        output.status.code().unwrap_or(-1),
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

#[test]
fn what_init_writes_is_valid_by_the_strictest_standard_and_is_never_overwritten() {
    let home = Home::new();
    let (code, stdout, stderr) = home.run(&["init", "new"]);
    assert_eq!((code, stdout.as_str()), (0, ""), "{stderr}");
    assert_eq!(home.run(&["validate", "--strict", "new"]).0, 0);
    let (code, _, stderr) = home.run(&["init", "new"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("exists already"), "{stderr}");
}

#[test]
fn validate_shows_the_line_suggests_the_name_and_exits_with_1() {
    let home = Home::new();
    home.write("web.yaml", BROKEN);
    let (code, stdout, _) = home.run(&["validate"]);
    assert_eq!(code, 1);
    assert!(stdout.contains("manifests/web.yaml:7:3"), "{stdout}");
    assert!(stdout.contains("did you mean `desiredCount`?"), "{stdout}");
}

#[test]
fn a_path_that_is_not_there_is_2_and_named_and_what_the_others_hold_is_shown() {
    let home = Home::new();
    home.write("web.yaml", BROKEN);
    let (code, stdout, stderr) = home.run(&["validate", "gone"]);
    assert_eq!(code, 2, "{stdout}{stderr}");
    assert!(stderr.contains("nothing at gone"), "{stderr}");
    let (code, stdout, stderr) = home.run(&["validate", "gone", "manifests", "away.yaml"]);
    assert_eq!(code, 2, "{stdout}{stderr}");
    assert!(stderr.contains("nothing at away.yaml, gone"), "{stderr}");
    assert!(stdout.contains("manifests/web.yaml:7:3"), "{stdout}");
    assert!(!stdout.contains("let this user read"), "{stdout}");
}

#[test]
fn json_and_sarif_are_one_document_each_also_where_nothing_is_wrong() {
    let home = Home::new();
    home.write(
        "worker.json",
        r#"{"family": "w", "containerDefinitions": [{"name": "c", "image": "i", "memory": 32}]}"#,
    );
    for format in ["json", "sarif"] {
        let (code, stdout, stderr) = home.run(&["validate", "--format", format]);
        assert_eq!(code, 0, "{stdout}{stderr}");
        serde_json::from_str::<serde_json::Value>(&stdout).expect("one document");
    }
}

#[test]
fn in_a_workflow_of_github_findings_are_workflow_commands() {
    let home = Home::new();
    home.write("web.yaml", BROKEN);
    let output = home
        .command(&["validate"])
        .env("GITHUB_ACTIONS", "true")
        .output();
    let (code, stdout, _) = ended(output.expect("it runs"));
    assert_eq!(code, 1);
    assert!(
        stdout.contains("::error file=manifests/web.yaml,line=7,col=3,"),
        "{stdout}"
    );
}

#[test]
fn plan_says_what_would_start_and_leaves_nothing_behind() {
    let home = Home::new();
    home.run(&["init", "new"]);
    let (code, stdout, stderr) = home.run(&["plan", "new"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains(": start "), "{stdout}");
    assert!(
        !home.path().join("state").exists(),
        "plan makes no state (P6)"
    );
}

#[test]
fn a_simulated_engine_converges_with_no_docker_and_says_that_nothing_real_runs() {
    let home = Home::new();
    home.run(&["init", "new"]);
    let (code, _, stderr) =
        home.run(&["apply", "new", "--engine", "simulated", "--timeout", "100"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("nothing real runs"), "{stderr}");
}

#[test]
fn apply_on_an_engine_that_does_not_answer_is_not_steady() {
    let home = Home::new();
    home.run(&["init", "new"]);
    let (code, _, stderr) = home.run(&["apply", "new", "--timeout", "4"]);
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("waiting for the engine"), "{stderr}");
}

/// A Longshore on a simulated engine, found as users' are: by its own runtime directory and no variable.
struct Simulated<'h> {
    home: &'h Home,
    process: std::process::Child,
}

impl<'h> Simulated<'h> {
    fn start(home: &'h Home, arguments: &[&str]) -> Self {
        let runtime = home.path().join("runtime");
        std::fs::create_dir(&runtime).expect("a directory");
        let mut process = Self::command(home, arguments)
            .stderr(std::process::Stdio::piped())
            .spawn()
            .expect("it runs");
        let said = process.stderr.take().expect("it is piped");
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(said));
        let up = lines.any(|line| line.expect("text").contains("follows this folder"));
        assert!(up, "it ended");
        // Whoever writes to a closed pipe is killed.
        std::thread::spawn(move || lines.for_each(drop));
        Self { home, process }
    }

    fn command(home: &Home, arguments: &[&str]) -> Command {
        let mut command = home.command(arguments);
        command
            .env("XDG_RUNTIME_DIR", home.path().join("runtime"))
            .env("XDG_STATE_HOME", home.path().join("states"))
            .env_remove("LONGSHORE_SOCKET")
            .env_remove("LONGSHORE_STATE_DIR");
        command
    }

    /// What it says of another folder than its own: its socket is named.
    fn ask_of(&self, arguments: &[&str]) -> (i32, String, String) {
        let runtime = self.home.path().join("runtime/longshore");
        let sockets = std::fs::read_dir(runtime).expect("a folder").flatten();
        let socket = sockets
            .map(|entry| entry.path())
            .find(|path| path.extension().is_some_and(|e| e == "sock"))
            .expect("a socket");
        let mut all = arguments.to_vec();
        let socket = socket.display().to_string();
        all.extend(["--socket", &socket]);
        self.ask(&all)
    }

    /// Waits until the service is as the folder says, and has come to rest.
    fn at_rest(&self, service: &str) {
        self.until(&["diff", service, "--exit-code"], |(code, ..)| *code == 0);
    }

    /// Asks until the answer is as wanted; returns it.
    fn until(
        &self,
        arguments: &[&str],
        wanted: impl Fn(&(i32, String, String)) -> bool,
    ) -> (i32, String, String) {
        for _ in 0..600 {
            let answer = self.ask(arguments);
            if wanted(&answer) {
                return answer;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        panic!("{:?}", self.ask(arguments));
    }

    fn ask(&self, arguments: &[&str]) -> (i32, String, String) {
        ended(
            Self::command(self.home, arguments)
                .output()
                .expect("it runs"),
        )
    }
}

impl Drop for Simulated<'_> {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_longshore_is_found_by_its_state_directory_and_by_the_link_that_it_follows() {
    let home = Home::new();
    home.run(&["init", "v1"]);
    home.run(&["init", "v2"]);
    let current = home.path().join("current");
    std::os::unix::fs::symlink("v1", &current).expect("a link");
    let arguments = [
        "run",
        "current",
        "--engine",
        "simulated",
        "--state-dir",
        "mine",
    ];
    let running = Simulated::start(&home, &arguments);

    let (code, _, stderr) = running.ask(&["get", "services", "--state-dir", "mine"]);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(
        running.ask(&["get", "services", "--state-dir", "other"]).0,
        2
    );
    // A deploy: the link leads to another folder now, and is the same folder of manifests.
    std::os::unix::fs::symlink("v2", home.path().join("next")).expect("a link");
    std::fs::rename(home.path().join("next"), &current).expect("renamed");
    let (code, stdout, stderr) = running.ask(&["state", "dump", "--dir", "current"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("\"items\""), "{stdout}");
    let (code, _, stderr) = running.ask(&["plan", "current"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(!stderr.contains("from nothing"), "{stderr}");
    let (_, _, stderr) = running.ask(&["plan", "current", "--state-dir", "other"]);
    assert!(stderr.contains("from nothing"), "{stderr}");
    assert!(
        stderr.contains("a Longshore runs for this folder"),
        "{stderr}"
    );
    let (code, _, stderr) = running.ask(&["down", "current"]);
    assert_eq!(code, 0, "{stderr}");
}

#[test]
fn scale_names_the_line_to_edit_and_changes_nothing() {
    let home = Home::new();
    home.write(
        "web.yaml",
        &format!(
            "{}---\nfamily: web\ncontainerDefinitions: [{{name: c, image: i, memory: 32}}]\n",
            BROKEN.replace("Cont", "Count")
        ),
    );
    let (code, stdout, stderr) = home.run(&["scale", "web", "5"]);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(stdout.trim(), "manifests/web.yaml:7:3");
    assert!(stderr.contains("write 5"), "{stderr}");
    let (code, stdout, stderr) = home.run(&["scale", "web", "5", "--write"]);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(stdout, "manifests/web.yaml:7:17 3 → 5\n");
    let text =
        std::fs::read_to_string(home.path().join("manifests/web.yaml")).expect("it is there");
    assert!(text.contains("  desiredCount: 5\n"), "{text}");
}

#[test]
fn asking_with_nothing_running_says_what_to_start() {
    let home = Home::new();
    for command in [
        &["get", "services"][..],
        &["events"],
        &["logs"],
        &["describe", "service", "web"],
    ] {
        let (code, stdout, stderr) = home.run(command);
        assert_eq!((code, stdout.as_str()), (2, ""), "{command:?}");
        assert!(stderr.contains("longshore run"), "{stderr}");
    }
}

#[test]
fn bad_usage_is_2_and_help_is_0() {
    let home = Home::new();
    assert_eq!(home.run(&["validate", "--format", "prose"]).0, 2);
    assert_eq!(home.run(&["--help"]).0, 0);
    let (code, script, _) = home.run(&["completions", "bash"]);
    assert_eq!(code, 0);
    for verb in ["set-image", "diff", "rollout", "retry", "suspend", "resume"] {
        assert!(script.contains(verb), "{verb}");
        assert_eq!(home.run(&[verb, "--help"]).0, 0, "{verb}");
    }
    let (code, stdout, _) = home.run(&["explain", "LS0201"]);
    assert_eq!(code, 0);
    assert!(stdout.starts_with("LS0201"), "{stdout}");
}
