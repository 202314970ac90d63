//! An etcd of the test's own: Debian's `etcd`, on loopback, with a directory that goes with it.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A running etcd; killed when it is dropped.
pub struct Server {
    program: PathBuf,
    ports: (u16, u16),
    directory: tempfile::TempDir,
    arguments: Vec<String>,
    child: Child,
}

impl Server {
    /// `None`, and a line that says so, where there is no etcd; a failure where it must be there.
    pub fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    /// The same with these arguments beside the usual ones. With `--cert-file` among them it serves TLS only.
    pub fn start_with(arguments: &[&str]) -> Option<Self> {
        let Some(program) = program() else {
            let ci = std::env::var_os("CI").is_some_and(|value| value == "true");
            assert!(!ci, "CI=true, but there is no etcd: install etcd-server");
            eprintln!("not run: there is no etcd in PATH (Debian: apt install etcd-server)");
            return None;
        };
        let arguments: Vec<String> = arguments.iter().map(|&a| a.to_owned()).collect();
        let directory = tempfile::tempdir().expect("a directory");
        // Somebody else may take a port between our looking and etcd's binding.
        for _ in 0..10 {
            let ports = (free_port(), free_port());
            if let Some(child) = spawn(&program, ports, directory.path(), &arguments) {
                return Some(Self {
                    program,
                    ports,
                    directory,
                    arguments,
                    child,
                });
            }
        }
        panic!("etcd did not start");
    }

    /// `host:port`
    pub fn endpoint(&self) -> String {
        format!("127.0.0.1:{}", self.ports.0)
    }

    /// Kills it, as a crash does.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again with what it had.
    pub fn start_again(&mut self) {
        let started = spawn(
            &self.program,
            self.ports,
            self.directory.path(),
            &self.arguments,
        );
        self.child = started.expect("etcd starts again");
    }

    /// Asks its gateway, in clear; returns the answer's body.
    pub fn post(&self, path: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(self.endpoint()).expect("it answers");
        write!(
            stream,
            "POST /v3/{path} HTTP/1.1\r\nHost: etcd\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|directory| directory.join("etcd"))
        .find(|program| program.is_file())
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

/// `None` when etcd ends before it serves.
fn spawn(
    program: &Path,
    ports: (u16, u16),
    directory: &Path,
    arguments: &[String],
) -> Option<Child> {
    let encrypted = arguments.iter().any(|a| a.starts_with("--cert-file"));
    let scheme = if encrypted { "https" } else { "http" };
    let client = format!("{scheme}://127.0.0.1:{}", ports.0);
    let peer = format!("http://127.0.0.1:{}", ports.1);
    let mut child = Command::new(program)
        .arg("--data-dir")
        .arg(directory)
        .args(["--listen-client-urls", &client])
        .args(["--advertise-client-urls", &client])
        .args(["--listen-peer-urls", &peer])
        .args(["--initial-advertise-peer-urls", &peer])
        .args(["--initial-cluster", &format!("default={peer}")])
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("etcd runs");
    let mut lines = BufReader::new(child.stderr.take().expect("its log")).lines();
    let serves = lines.by_ref().map_while(Result::ok).any(|line| {
        line.contains("ready to serve client requests")
            || line.contains("serving insecure client requests")
            || line.contains("serving client requests on")
    });
    if serves {
        // Its log has to be read to the end, or etcd would one day wait for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        return Some(child);
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}
