//! Images and the registries they come from.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::state::{Answer, Refusal, State};
use crate::engine::{ErrorKind, ImageInfo, ListedImage};

/// What a registry answers to a pull.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegistryAnswer {
    /// The image, after a while.
    Found {
        /// How long the pull takes.
        after: Duration,
    },
    /// There is no such image.
    Missing,
    /// It wants other credentials.
    Unauthorized,
    /// It limits us.
    RateLimited,
    /// It limits us, and says for how long.
    RateLimitedFor(Duration),
    /// It has the image for other architectures only.
    OtherPlatform,
    /// It cannot be reached.
    Unavailable,
}

/// An image, as a test describes it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SimImage {
    /// `ENTRYPOINT`.
    pub entrypoint: Vec<String>,
    /// `CMD`. With neither, a container needs a command of its own.
    pub cmd: Vec<String>,
    /// `ENV`, as `NAME=value`.
    pub env: Vec<String>,
    /// `VOLUME`: paths that get an anonymous volume each.
    pub volumes: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Image {
    pub id: String,
    pub repo_tags: BTreeSet<String>,
    pub repo_digests: BTreeSet<String>,
    pub size: u64,
    pub entrypoint: Vec<String>,
    pub cmd: Vec<String>,
    pub env: Vec<String>,
    pub volumes: Vec<String>,
    /// Paths of the programs in it; absent: any.
    pub programs: Option<BTreeSet<String>>,
}

/// `nginx` → `nginx:latest`; Docker Hub's own prefixes are dropped.
pub(super) fn normalise(reference: &str) -> String {
    let short = [
        "docker.io/library/",
        "index.docker.io/library/",
        "docker.io/",
        "library/",
    ]
    .iter()
    .find_map(|prefix| reference.strip_prefix(prefix))
    .unwrap_or(reference);
    let last = short.rsplit('/').next().unwrap_or(short);
    if last.contains(':') || last.contains('@') {
        short.to_owned()
    } else {
        format!("{short}:latest")
    }
}

/// The repository of a reference: without tag and digest.
fn repository(reference: &str) -> String {
    let name = reference.split('@').next().unwrap_or(reference);
    let after_slash = name.rfind('/').map_or(0, |at| at + 1);
    match name[after_slash..].find(':') {
        Some(colon) => name[..after_slash + colon].to_owned(),
        None => name.to_owned(),
    }
}

fn digest_of(parts: &[&[u8]]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
        hasher.update([0]);
    }
    let hex: String = hasher
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("sha256:{hex}")
}

impl State {
    pub fn find_image(&self, reference: &str) -> Option<&Image> {
        if let Some(image) = self.images.get(reference) {
            return Some(image);
        }
        let normal = normalise(reference);
        if let Some(image) = self.tags.get(&normal).and_then(|id| self.images.get(id)) {
            return Some(image);
        }
        if normal.contains('@') {
            let (repository, digest) = (repository(&normal), normal.split('@').next_back()?);
            let pinned = format!("{repository}@{digest}");
            return self
                .images
                .values()
                .find(|image| image.repo_digests.contains(&pinned));
        }
        let wanted = reference.strip_prefix("sha256:").unwrap_or(reference);
        (wanted.len() >= 12 && wanted.chars().all(|c| c.is_ascii_hexdigit()))
            .then(|| {
                self.images.values().find(|image| {
                    image
                        .id
                        .strip_prefix("sha256:")
                        .is_some_and(|id| id.starts_with(wanted))
                })
            })
            .flatten()
    }

    pub fn image_info(&self, reference: &str) -> Option<ImageInfo> {
        self.find_image(reference).map(|image| ImageInfo {
            id: image.id.clone(),
            repo_digests: image.repo_digests.iter().cloned().collect(),
            repo_tags: image.repo_tags.iter().cloned().collect(),
            architecture: self.options.architecture.clone(),
            size: image.size,
            entrypoint: image.entrypoint.clone(),
            cmd: image.cmd.clone(),
        })
    }

    pub fn list_images(&self) -> Vec<ListedImage> {
        let listed = |image: &Image| ListedImage {
            id: image.id.clone(),
            repo_tags: image.repo_tags.iter().cloned().collect(),
            repo_digests: image.repo_digests.iter().cloned().collect(),
        };
        self.images.values().map(listed).collect()
    }

    /// What the registry answers for that reference, and how long a good answer takes.
    pub fn ask_registry(&self, reference: &str) -> Answer<Duration> {
        let normal = normalise(reference);
        let named = format!("{}:latest", repository(&normal));
        let answer = self
            .registry
            .get(&normal)
            .or_else(|| self.registry.get(&named).filter(|_| normal.contains('@')))
            .or_else(|| self.answer_by_digest(&normal));
        match answer {
            None => Ok(self.options.pull_time),
            Some(RegistryAnswer::Found { after }) => Ok(*after),
            Some(RegistryAnswer::Missing) => Err(Refusal::new(
                ErrorKind::ImageNotFound,
                format!("manifest for {normal} not found: manifest unknown: manifest unknown"),
            )),
            Some(RegistryAnswer::Unauthorized) => Err(Refusal::new(
                ErrorKind::Unauthorized,
                format!(
                    "pull access denied for {}, repository does not exist or may require 'docker login': denied",
                    repository(&normal)
                ),
            )),
            Some(RegistryAnswer::RateLimited) => Err(Refusal::new(
                ErrorKind::RateLimited,
                "toomanyrequests: You have reached your pull rate limit.",
            )),
            Some(RegistryAnswer::RateLimitedFor(wait)) => Err(Refusal::new(
                ErrorKind::RateLimited,
                format!("toomanyrequests: retry-after: {}s", wait.as_secs()),
            )),
            Some(RegistryAnswer::OtherPlatform) => Err(Refusal::new(
                ErrorKind::NoPlatform,
                format!(
                    "no matching manifest for linux/{} in the manifest list entries",
                    self.options.architecture
                ),
            )),
            Some(RegistryAnswer::Unavailable) => Err(Refusal::new(
                ErrorKind::RegistryUnavailable,
                "Get \"https://registry-1.docker.io/v2/\": dial tcp: i/o timeout",
            )),
        }
    }

    /// What was said of the tag that has this digest.
    fn answer_by_digest(&self, normal: &str) -> Option<&RegistryAnswer> {
        let (name, digest) = normal.split_once('@')?;
        let mut of_repository = self
            .registry
            .iter()
            .filter(|(tag, _)| repository(tag) == repository(name));
        of_repository
            .find(|(tag, _)| self.manifest_of(tag) == digest)
            .map(|(_, answer)| answer)
    }

    /// The digest that a tag has by now.
    fn manifest_of(&self, tag: &str) -> String {
        let pushes = self.pushes.get(tag).copied().unwrap_or(0).to_string();
        digest_of(&[b"manifest", tag.as_bytes(), pushes.as_bytes()])
    }

    /// The end of a pull. What a tag points to changes only when a test pushes to it.
    pub fn pulled(&mut self, reference: &str) {
        let normal = normalise(reference);
        let repository = repository(&normal);
        let (digest, tag) = match normal.split_once('@') {
            Some((_, digest)) => (digest.to_owned(), None),
            None => (self.manifest_of(&normal), Some(normal.clone())),
        };
        let pinned = format!("{repository}@{digest}");
        let id = digest_of(&[b"config", pinned.as_bytes()]);
        let image = self.images.entry(id.clone()).or_insert_with(|| Image {
            id: id.clone(),
            repo_tags: BTreeSet::new(),
            repo_digests: BTreeSet::new(),
            size: 4 << 20,
            entrypoint: Vec::new(),
            cmd: vec!["run".to_owned()],
            env: Vec::new(),
            volumes: Vec::new(),
            programs: None,
        });
        image.repo_digests.insert(pinned);
        if let Some(tag) = tag {
            self.tag(&tag, &id);
        }
        self.emit_resource("image", "pull", &normal, &[("name", &repository)]);
    }

    /// Points a tag at an image, and away from another.
    fn tag(&mut self, tag: &str, id: &str) {
        if let Some(old) = self.tags.insert(tag.to_owned(), id.to_owned())
            && let Some(image) = self.images.get_mut(&old)
        {
            image.repo_tags.remove(tag);
        }
        if let Some(image) = self.images.get_mut(id) {
            image.repo_tags.insert(tag.to_owned());
        }
    }

    pub fn add_image(&mut self, reference: &str, image: SimImage) {
        let normal = normalise(reference);
        let id = digest_of(&[b"local", normal.as_bytes()]);
        self.images.insert(
            id.clone(),
            Image {
                id: id.clone(),
                repo_tags: BTreeSet::new(),
                repo_digests: BTreeSet::new(),
                size: 4 << 20,
                entrypoint: image.entrypoint,
                cmd: image.cmd,
                env: image.env,
                volumes: image.volumes,
                programs: None,
            },
        );
        self.tag(&normal, &id);
    }

    /// Makes an image of a root file system, whose files are the programs that can be run.
    pub fn import_image(
        &mut self,
        reference: &str,
        rootfs: &Bytes,
        changes: &[String],
    ) -> Answer<()> {
        let normal = normalise(reference);
        let programs = files_of(rootfs).map_err(|error| {
            Refusal::new(
                ErrorKind::Invalid,
                format!("the root file system is no tar archive: {error}"),
            )
        })?;
        let number = self.images.len().to_string();
        let id = digest_of(&[b"import", number.as_bytes(), normal.as_bytes(), rootfs]);
        let mut image = Image {
            id: id.clone(),
            repo_tags: BTreeSet::new(),
            repo_digests: BTreeSet::new(),
            size: u64::try_from(rootfs.len()).unwrap_or(u64::MAX),
            entrypoint: Vec::new(),
            cmd: Vec::new(),
            env: Vec::new(),
            volumes: Vec::new(),
            programs: Some(programs),
        };
        for change in changes {
            apply_change(&mut image, change)?;
        }
        self.images.insert(id.clone(), image);
        self.tag(&normal, &id);
        self.emit_resource("image", "import", &id, &[("name", &normal)]);
        Ok(())
    }

    /// Takes a name of an image away, and removes the image with its last one. With the last tag of a repository its digests
    /// there go too.
    pub fn remove_image(&mut self, reference: &str) -> Answer<()> {
        let image = self.find_image(reference).cloned().ok_or_else(|| {
            Refusal::new(ErrorKind::NotFound, format!("No such image: {reference}"))
        })?;
        let named = normalise(reference);
        let named = match named.split_once('@') {
            Some((_, digest)) => format!("{}@{digest}", repository(&named)),
            None => named,
        };
        let (mut tags, mut digests) = (image.repo_tags.clone(), image.repo_digests.clone());
        let of_one_repository = is_of_one_repository(&tags, &digests);
        if tags.remove(&named) {
            let of = repository(&named);
            if tags.iter().all(|tag| repository(tag) != of) {
                digests.retain(|digest| repository(digest) != of);
            }
        } else if !digests.remove(&named) {
            // By its id.
            if !of_one_repository && tags.len() + digests.len() > 1 {
                return Err(Refusal::new(
                    ErrorKind::Conflict,
                    format!(
                        "conflict: unable to delete {reference} (must be forced) - image is referenced in multiple repositories"
                    ),
                ));
            }
            tags.clear();
            digests.clear();
        }
        let goes = tags.is_empty() && digests.is_empty();
        let user = self
            .containers
            .values()
            .find(|container| container.image_id == image.id);
        if let Some(user) = user.filter(|_| goes || of_one_repository) {
            return Err(Refusal::new(
                ErrorKind::Conflict,
                format!(
                    "conflict: unable to remove repository reference \"{reference}\" (must force) - container {} is \
                     using its referenced image {}",
                    user.id.get(..12).unwrap_or(&user.id),
                    image.id
                ),
            ));
        }
        for gone in image.repo_tags.difference(&tags) {
            self.tags.remove(gone);
        }
        if goes {
            self.images.remove(&image.id);
            self.emit_resource("image", "delete", &image.id, &[("name", &image.id)]);
        } else if let Some(left) = self.images.get_mut(&image.id) {
            (left.repo_tags, left.repo_digests) = (tags, digests);
            self.emit_resource("image", "untag", &image.id, &[("name", &named)]);
        }
        Ok(())
    }

    /// Whether the image has that program; the error is runc's.
    pub fn check_program(&self, image: &str, program: &str) -> Result<(), String> {
        let Some(programs) = self
            .images
            .get(image)
            .and_then(|image| image.programs.as_ref())
        else {
            return Ok(());
        };
        if program.contains('/') {
            return if programs.contains(program) {
                Ok(())
            } else {
                Err(format!("stat {program}: no such file or directory"))
            };
        }
        let found = [
            "/usr/local/sbin",
            "/usr/local/bin",
            "/usr/sbin",
            "/usr/bin",
            "/sbin",
            "/bin",
        ]
        .iter()
        .any(|directory| programs.contains(&format!("{directory}/{program}")));
        if found {
            Ok(())
        } else {
            Err("executable file not found in $PATH".to_owned())
        }
    }
}

/// Whether all names of an image are of one repository, and at most one of them is a tag.
fn is_of_one_repository(tags: &BTreeSet<String>, digests: &BTreeSet<String>) -> bool {
    let repositories: BTreeSet<String> = tags
        .iter()
        .chain(digests)
        .map(|name| repository(name))
        .collect();
    tags.len() <= 1 && repositories.len() == 1
}

fn files_of(rootfs: &Bytes) -> std::io::Result<BTreeSet<String>> {
    let mut files = BTreeSet::new();
    let mut archive = tar::Archive::new(std::io::Cursor::new(rootfs));
    for entry in archive.entries()? {
        let mut entry = entry?;
        if entry.header().entry_type().is_dir() {
            continue;
        }
        let path = entry.path()?.to_string_lossy().into_owned();
        files.insert(format!(
            "/{}",
            path.trim_start_matches("./").trim_start_matches('/')
        ));
        // A cut archive must not pass for a whole one.
        std::io::copy(&mut entry.by_ref().take(u64::MAX), &mut std::io::sink())?;
    }
    Ok(files)
}

/// One Dockerfile instruction of those that an import takes.
fn apply_change(image: &mut Image, change: &str) -> Answer<()> {
    let invalid = || {
        Refusal::new(
            ErrorKind::Invalid,
            format!("{change} is not a valid change"),
        )
    };
    let (instruction, value) = change.trim().split_once(' ').ok_or_else(invalid)?;
    let list = || -> Answer<Vec<String>> {
        match serde_json::from_str(value) {
            Ok(list) => Ok(list),
            Err(_) if value.starts_with('[') => Err(invalid()),
            Err(_) => Ok(vec![
                "/bin/sh".to_owned(),
                "-c".to_owned(),
                value.to_owned(),
            ]),
        }
    };
    match instruction.to_ascii_uppercase().as_str() {
        "ENTRYPOINT" => image.entrypoint = list()?,
        "CMD" => image.cmd = list()?,
        "VOLUME" => {
            image.volumes = serde_json::from_str(value)
                .unwrap_or_else(|_| value.split_whitespace().map(str::to_owned).collect());
        }
        "ENV" => image.env.push(value.trim().to_owned()),
        "LABEL" | "USER" | "WORKDIR" | "EXPOSE" | "STOPSIGNAL" | "ONBUILD" | "HEALTHCHECK" => {}
        _ => return Err(invalid()),
    }
    Ok(())
}

/// Behaviour, image and registry by reference: what several maps are keyed by.
pub(super) fn by_reference<T>(map: &mut BTreeMap<String, T>, reference: &str, value: T) {
    map.insert(normalise(reference), value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_to_one_image_have_one_normal_form() {
        for reference in ["nginx", "docker.io/library/nginx", "library/nginx:latest"] {
            assert_eq!(normalise(reference), "nginx:latest");
        }
        assert_eq!(normalise("host:5000/a/b"), "host:5000/a/b:latest");
        assert_eq!(normalise("host:5000/a/b:2"), "host:5000/a/b:2");
        assert_eq!(normalise("a@sha256:00"), "a@sha256:00");
    }

    #[test]
    fn a_repository_keeps_the_port_of_its_registry() {
        assert_eq!(repository("host:5000/a/b:2"), "host:5000/a/b");
        assert_eq!(repository("a@sha256:00"), "a");
        assert_eq!(repository("nginx:latest"), "nginx");
    }
}
