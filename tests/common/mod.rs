//! What tests on a container engine share: the engine, the image, and a namespace that cleans up after itself.

#![allow(dead_code, reason = "each test binary uses its own part")]

pub mod registry;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::FutureExt;
use longshore::engine::docker::{DockerEngine, Limits};
use longshore::engine::endpoint::{ProcessEnvironment, resolve};
use longshore::engine::{CreateBody, Engine, EngineError, ErrorKind, NetworkBody, VolumeBody};
use longshore::model::EngineEndpoint;

/// The image that tests run: Debian's static busybox, with a link for each of its programs that tests use.
pub const IMAGE: &str = "longshore-test/busybox:1";

/// The label that every object of a test carries; its value is the test's own.
pub const RUN_LABEL: &str = "longshore-test.run";

/// The engine that docker itself would use, with [`IMAGE`] on it. Where none answers: nothing, or a failure when `CI` is `true`,
/// so that a build never passes because its tests were skipped.
pub async fn docker() -> Option<Arc<DockerEngine>> {
    let engine = match connect().await {
        Ok(engine) => engine,
        Err(why) => {
            assert!(
                std::env::var("CI").as_deref() != Ok("true"),
                "no Docker Engine answers, and with CI=true that is a failure: {why}"
            );
            eprintln!("skipped: no Docker Engine answers ({why})");
            return None;
        }
    };
    ensure_busybox(&*engine).await;
    Some(engine)
}

async fn connect() -> Result<Arc<DockerEngine>, String> {
    let resolved =
        resolve(&EngineEndpoint::Local, &ProcessEnvironment).map_err(|error| error.to_string())?;
    let engine = DockerEngine::connect(&resolved.endpoint, Limits::default())
        .await
        .map_err(|error| error.to_string())?;
    Ok(Arc::new(engine))
}

/// Puts [`IMAGE`] on an engine that does not have it.
pub async fn ensure_busybox(engine: &dyn Engine) {
    // Tests run in processes of their own; two imports at once would leave an image without a name.
    let lock = std::fs::File::create(std::env::temp_dir().join("longshore-test-image.lock"));
    let _held = lock.and_then(|file| file.lock().map(|()| file));
    if engine
        .image(IMAGE)
        .await
        .expect("the engine answers")
        .is_none()
    {
        engine
            .import_image(IMAGE, busybox_rootfs(), &[])
            .await
            .expect("busybox is imported");
    }
}

/// A root file system of Debian's `busybox-static`.
///
/// # Panics
/// Where `/bin/busybox` is missing, with what to install.
pub fn busybox_rootfs() -> Bytes {
    let program = std::fs::read("/bin/busybox")
        .expect("/bin/busybox is there (Debian and Ubuntu: apt-get install busybox-static)");
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o755);
    for directory in ["bin/", "etc/", "proc/", "sys/", "dev/", "data/"] {
        header.set_entry_type(tar::EntryType::Directory);
        header.set_size(0);
        tar.append_data(&mut header, directory, std::io::empty())
            .expect("in memory");
    }
    header.set_mode(0o1777);
    tar.append_data(&mut header, "tmp/", std::io::empty())
        .expect("in memory");
    header.set_mode(0o755);
    header.set_entry_type(tar::EntryType::Regular);
    header.set_size(u64::try_from(program.len()).expect("it fits"));
    tar.append_data(&mut header, "bin/busybox", program.as_slice())
        .expect("in memory");
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    for name in [
        "sh", "ash", "sleep", "true", "false", "echo", "printf", "cat", "test", "[", "touch", "rm",
        "mkdir", "chmod", "date", "env", "id", "kill", "ls", "hostname", "httpd", "wget", "nc",
        "nslookup", "ping", "ip", "head", "tail", "grep", "sed", "seq", "tr", "yes", "dd", "stat",
        "ps", "expr", "trap", "nproc", "mount", "df",
    ] {
        tar.append_link(&mut header, format!("bin/{name}"), "busybox")
            .expect("in memory");
    }
    Bytes::from(tar.into_inner().expect("in memory"))
}

/// The names and labels of one test. What carries its label is removed after the test, however that ended.
#[derive(Debug)]
pub struct Namespace {
    run: String,
    images: Mutex<Vec<String>>,
}

impl Namespace {
    /// A namespace that no other test and no earlier run has.
    pub fn new() -> Self {
        use longshore::clock::{IdGen, RandomIds};
        Self {
            run: format!("{:016x}", RandomIds.bits()),
            images: Mutex::new(Vec::new()),
        }
    }

    /// A name of this test's own.
    pub fn name(&self, name: &str) -> String {
        format!("lstest-{}-{name}", &self.run[..8])
    }

    /// The label of this test, for whatever it creates.
    pub fn labels(&self) -> BTreeMap<String, String> {
        BTreeMap::from([(RUN_LABEL.to_owned(), self.run.clone())])
    }

    /// Selects what this test created.
    pub fn filter(&self) -> Vec<(String, String)> {
        vec![(RUN_LABEL.to_owned(), self.run.clone())]
    }

    /// A container of [`IMAGE`] that runs this command.
    pub fn body(&self, command: &[&str]) -> CreateBody {
        CreateBody {
            image: IMAGE.to_owned(),
            cmd: Some(command.iter().map(|word| (*word).to_owned()).collect()),
            labels: self.labels(),
            ..CreateBody::default()
        }
    }

    /// A reference for an image of this test, which is removed after it.
    pub fn image(&self, name: &str) -> String {
        let reference = format!("longshore-test/{}:{name}", &self.run[..8]);
        self.images
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(reference.clone());
        reference
    }

    /// A network of this test.
    pub fn network(&self, name: &str) -> NetworkBody {
        NetworkBody {
            name: self.name(name),
            labels: self.labels(),
            ..NetworkBody::default()
        }
    }

    /// A volume of this test.
    pub fn volume(&self, name: &str) -> VolumeBody {
        VolumeBody {
            name: self.name(name),
            labels: self.labels(),
            ..VolumeBody::default()
        }
    }

    /// Runs a test in this namespace and cleans up, also when it panics.
    pub async fn run(&self, engine: &dyn Engine, test: impl Future<Output = ()>) {
        let outcome = AssertUnwindSafe(test).catch_unwind().await;
        let cleaned = self.clean(engine).await;
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
        cleaned.expect("what the test created can be removed");
    }

    /// Removes everything with this test's label.
    pub async fn clean(&self, engine: &dyn Engine) -> Result<(), EngineError> {
        let labels = self.filter();
        let gone = |result: Result<(), EngineError>| match result {
            Err(error) if error.kind != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        for container in engine.list_containers(&labels).await? {
            gone(engine.remove_container(&container.id).await)?;
        }
        for network in engine.list_networks(&labels).await? {
            gone(engine.remove_network(&network.id).await)?;
        }
        // By name, since a volume that a container made implicitly has no labels.
        let prefix = self.name("");
        for volume in engine.list_volumes(&[]).await? {
            if volume.name.starts_with(&prefix) {
                gone(engine.remove_volume(&volume.name).await)?;
            }
        }
        let images =
            std::mem::take(&mut *self.images.lock().unwrap_or_else(PoisonError::into_inner));
        for image in images {
            gone(engine.remove_image(&image).await)?;
        }
        Ok(())
    }
}
