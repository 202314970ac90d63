//! A registry of a test's own: Debian's `docker-registry` on a free port of the loopback, where engines need no TLS.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use longshore::engine::{Engine, RegistryAuth};

/// Who may use a registry that wants a login.
pub const USER: &str = "user";
/// That user's password.
pub const PASSWORD: &str = "secret";
/// The two as `htpasswd -B` writes them.
const HTPASSWD: &str = "user:$2b$04$YOnKJ1hhdKCcyCUk2PiXjeAe73GF2bjt1mXwu8bHSEcYPiPJWViMO\n";

/// See the module. Dropped, nothing of it is left, on the engine either.
pub struct Registry {
    dir: tempfile::TempDir,
    child: Option<Child>,
    port: u16,
}

impl Registry {
    /// One that anybody may use; `None`, said aloud, where the program is not installed (not with `CI=true`).
    pub fn start() -> Option<Self> {
        Self::new("")
    }

    /// One that wants [`USER`]'s login.
    pub fn with_login() -> Option<Self> {
        Self::new("auth: {htpasswd: {realm: test, path: HTPASSWD}}\n")
    }

    fn new(auth: &str) -> Option<Self> {
        let installed = Command::new("docker-registry")
            .arg("--version")
            .stdout(Stdio::null())
            .status();
        if let Err(why) = installed {
            assert!(
                std::env::var("CI").as_deref() != Ok("true"),
                "docker-registry is not installed, and with CI=true that is a failure: {why}"
            );
            eprintln!(
                "skipped: docker-registry is not installed (Debian: apt-get install docker-registry)"
            );
            return None;
        }
        let dir = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(dir.path().join("htpasswd"), HTPASSWD).expect("written");
        let auth = auth.replace(
            "HTPASSWD",
            &dir.path().join("htpasswd").display().to_string(),
        );
        let mut registry = Self {
            dir,
            child: None,
            port: 0,
        };
        // Somebody else may take the port between the look and the start.
        for _ in 0..10 {
            registry.port = free_port();
            if registry.run(&auth) {
                return Some(registry);
            }
        }
        panic!("docker-registry does not start");
    }

    /// Starts the process; whether it listens.
    fn run(&mut self, auth: &str) -> bool {
        let config = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '127.0.0.1:{}'}}\n{auth}",
            self.dir.path().join("data").display(),
            self.port
        );
        let path = self.dir.path().join("config.yml");
        std::fs::write(&path, config).expect("written");
        let mut child = Command::new("docker-registry")
            .arg("serve")
            .arg(path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("docker-registry starts");
        for _ in 0..500 {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                self.child = Some(child);
                return true;
            }
            if child.try_wait().expect("a child").is_some() {
                return false;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = child.kill();
        let _ = child.wait();
        false
    }

    /// Nobody answers there any more.
    pub fn end(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// `127.0.0.1:<port>`
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The reference of a name there.
    pub fn image(&self, name: &str) -> String {
        format!("{}/longshore-test/{name}", self.address())
    }

    /// The login that it takes, with this password.
    pub fn auth(&self, password: &str) -> RegistryAuth {
        RegistryAuth {
            username: USER.to_owned(),
            password: password.to_owned(),
            server: self.address(),
            ..RegistryAuth::default()
        }
    }

    /// What `docker login` writes into `config.json` for it.
    pub fn config(&self, password: &str) -> String {
        use base64::Engine as _;
        let auth = base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{password}"));
        format!(
            r#"{{"auths": {{"{}": {{"auth": "{auth}"}}, "localhost:{}": {{"auth": "{auth}"}}}}}}"#,
            self.address(),
            self.port
        )
    }

    /// Pushes an image under that name whose default command prints `text` and waits; returns its digest. The engine that it
    /// is made on does not keep it, and nothing there is called by the name that it gets.
    pub async fn push(&self, engine: &dyn Engine, name: &str, text: &str) -> String {
        let other = format!("localhost:{}/longshore-test/{name}", self.port);
        let changes = [format!(
            r#"CMD ["sh", "-c", "echo {text}; trap : TERM; sleep 100000 & wait"]"#
        )];
        engine
            .import_image(&other, super::busybox_rootfs(), &changes)
            .await
            .expect("imported");
        std::fs::write(self.dir.path().join("config.json"), self.config(PASSWORD))
            .expect("written");
        let pushed = self.docker(&["push", &other]);
        let said = String::from_utf8_lossy(&pushed.stdout).into_owned();
        engine.remove_image(&other).await.expect("removed");
        let problem = String::from_utf8_lossy(&pushed.stderr);
        let digest = said
            .split_whitespace()
            .find(|word| word.starts_with("sha256:"));
        digest
            .unwrap_or_else(|| panic!("not pushed: {said} {problem}"))
            .to_owned()
    }

    fn docker(&self, arguments: &[&str]) -> Output {
        Command::new("docker")
            .arg("--config")
            .arg(self.dir.path())
            .args(arguments)
            .output()
            .expect("docker runs")
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.end();
        let of = format!("reference={}/*/*", self.address());
        let found = self.docker(&["images", "-q", "--no-trunc", "--filter", &of]);
        let ids = String::from_utf8_lossy(&found.stdout).into_owned();
        for id in ids.split_whitespace() {
            self.docker(&["rmi", "-f", id]);
        }
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}
