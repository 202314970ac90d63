//! Image references as Docker reads them: `[registry/]name[:tag][@digest]`.

use std::fmt;

/// The registry of a reference that names none.
pub const DOCKER_HUB: &str = "docker.io";
/// Under which docker's configuration keeps Docker Hub's credentials.
pub const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";

/// An image reference, with what Docker adds to it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// The registry's host and port: `docker.io`, `localhost:5000`.
    pub domain: String,
    /// The repository there: `library/busybox`.
    pub path: String,
    /// The tag, where one is written.
    pub tag: Option<String>,
    /// `sha256:…`, where one is written.
    pub digest: Option<String>,
}

/// Why a text is no image reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no image reference: {problem}")]
pub struct ReferenceError {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl Reference {
    /// Reads a reference by Docker's rules.
    ///
    /// # Errors
    /// Text that Docker would refuse.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        let fail = |problem: &'static str| ReferenceError {
            text: text.to_owned(),
            problem,
        };
        if text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(fail(
                "64 hexadecimal digits are an image's id, not its name",
            ));
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) if is_digest(digest) => (rest, Some(digest)),
            Some(_) => return Err(fail("after @ a digest must stand, such as sha256:…")),
            None => (text, None),
        };
        // A colon after the last slash starts the tag; one before it belongs to the registry's port.
        let name_start = rest.rfind('/').map_or(0, |at| at + 1);
        let (name, tag) = match rest[name_start..].find(':') {
            Some(at) => {
                let (name, tag) = rest.split_at(name_start + at);
                (name, Some(&tag[1..]))
            }
            None => (rest, None),
        };
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(fail(
                "a tag is up to 128 letters, digits, `_`, `.` and `-`, and starts with none of the last two",
            ));
        }
        let (domain, path) = split_domain(name);
        if !is_domain(domain) {
            return Err(fail("the registry is no host name"));
        }
        if path.chars().any(|c| c.is_ascii_uppercase()) {
            return Err(fail("a repository name is lower case"));
        }
        if !path.split('/').all(is_path_component) {
            return Err(fail(
                "a repository name is lower-case letters and digits, parted by one of `.`, `_`, `__`, `-` or `/`",
            ));
        }
        let path = if domain == DOCKER_HUB && !path.contains('/') {
            format!("library/{path}")
        } else {
            path.to_owned()
        };
        if domain.len() + 1 + path.len() > 255 {
            return Err(fail("a name has at most 255 characters"));
        }
        Ok(Self {
            domain: domain.to_owned(),
            path,
            tag: tag.map(str::to_owned),
            digest: digest.map(str::to_owned),
        })
    }

    /// The same, with the tag `latest` where it has neither tag nor digest.
    pub fn with_default_tag(mut self) -> Self {
        if self.tag.is_none() && self.digest.is_none() {
            self.tag = Some("latest".to_owned());
        }
        self
    }

    /// The same repository by that digest, without the tag, as an engine pulls and creates from it.
    pub fn at_digest(&self, digest: &str) -> String {
        format!("{}@{digest}", self.familiar_name())
    }

    /// Repository as people write it: `busybox`, `me/app`, `registry:5000/app`.
    pub fn familiar_name(&self) -> String {
        if self.domain != DOCKER_HUB {
            return format!("{}/{}", self.domain, self.path);
        }
        let name = match self.path.strip_prefix("library/") {
            Some(name) if !name.contains('/') => name,
            _ => self.path.as_str(),
        };
        // `docker.io/docker.io/app`: without the first it would be another image.
        if split_domain(name) == (DOCKER_HUB, name) {
            name.to_owned()
        } else {
            format!("{DOCKER_HUB}/{name}")
        }
    }

    /// Under which docker's configuration keeps this registry's credentials.
    pub fn credentials_key(&self) -> &str {
        if self.domain == DOCKER_HUB {
            DOCKER_HUB_KEY
        } else {
            &self.domain
        }
    }
}

impl fmt::Display for Reference {
    /// The familiar form, with tag and digest.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.familiar_name())?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

/// The first part is a registry when it could not be a user's name: it has a dot, a colon or capitals, or is `localhost`.
fn split_domain(name: &str) -> (&str, &str) {
    match name.split_once('/') {
        Some((first, rest))
            if first.contains(['.', ':'])
                || first == "localhost"
                || first.chars().any(|c| c.is_ascii_uppercase()) =>
        {
            let domain = if first == "index.docker.io" {
                DOCKER_HUB
            } else {
                first
            };
            (domain, rest)
        }
        _ => (DOCKER_HUB, name),
    }
}

fn is_domain(domain: &str) -> bool {
    if let Some(rest) = domain.strip_prefix('[') {
        return rest.split_once(']').is_some_and(|(host, port)| {
            !host.is_empty()
                && host.bytes().all(|b| b.is_ascii_hexdigit() || b == b':')
                && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
        });
    }
    let (host, port) = match domain.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (domain, None),
    };
    port.is_none_or(is_port)
        && host.split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-')
        })
}

fn is_port(port: &str) -> bool {
    !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit())
}

fn is_path_component(component: &str) -> bool {
    let bytes = component.as_bytes();
    let is_word = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    if !bytes.first().is_some_and(is_word) || !bytes.last().is_some_and(is_word) {
        return false;
    }
    bytes.split(is_word).all(|separator| {
        matches!(separator, b"" | b"." | b"_" | b"__") || separator.iter().all(|b| *b == b'-')
    })
}

fn is_tag(tag: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    (1..=128).contains(&tag.len())
        && tag.bytes().next().is_some_and(is_word)
        && tag.bytes().all(|b| is_word(b) || b == b'.' || b == b'-')
}

fn is_digest(digest: &str) -> bool {
    digest.split_once(':').is_some_and(|(algorithm, hex)| {
        algorithm
            .bytes()
            .next()
            .is_some_and(|b| b.is_ascii_alphabetic())
            && algorithm
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"+._-".contains(&b))
            && hex.len() >= 32
            && hex.bytes().all(|b| b.is_ascii_hexdigit())
            && (algorithm != "sha256" || hex.len() == 64)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn references_are_read_as_docker_reads_them() {
        for (text, domain, path, tag) in [
            ("busybox", "docker.io", "library/busybox", None),
            ("busybox:1.36", "docker.io", "library/busybox", Some("1.36")),
            ("me/app", "docker.io", "me/app", None),
            ("docker.io/busybox", "docker.io", "library/busybox", None),
            ("index.docker.io/me/app", "docker.io", "me/app", None),
            ("localhost/app:x", "localhost", "app", Some("x")),
            ("localhost:5000/a/b:x", "localhost:5000", "a/b", Some("x")),
            ("ghcr.io/a/b__c-d", "ghcr.io", "a/b__c-d", None),
            ("[::1]:5000/app", "[::1]:5000", "app", None),
            (
                "000.dkr.ecr.eu-west-1.amazonaws.com/a:b",
                "000.dkr.ecr.eu-west-1.amazonaws.com",
                "a",
                Some("b"),
            ),
        ] {
            let read = Reference::parse(text).unwrap();
            assert_eq!(
                (
                    read.domain.as_str(),
                    read.path.as_str(),
                    read.tag.as_deref()
                ),
                (domain, path, tag),
                "{text}"
            );
        }
        let read = Reference::parse(&format!("a:1@{DIGEST}")).unwrap();
        assert_eq!(read.digest.as_deref(), Some(DIGEST));
        assert_eq!(read.to_string(), format!("a:1@{DIGEST}"));
    }

    #[test]
    fn what_docker_refuses_is_refused() {
        for text in [
            "",
            "Busybox",
            "a/B",
            "a:",
            "a:-x",
            "a@sha256:12",
            "a@",
            "a//b",
            "/a",
            "a/",
            "a..b",
            "a___b",
            "-a",
            "a b",
            "r:port/a",
            "../a",
            &"0".repeat(64),
            &format!("{}/x", "a".repeat(260)),
        ] {
            assert!(Reference::parse(text).is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn latest_is_meant_only_without_tag_and_digest() {
        let tagged = |text: &str| {
            Reference::parse(text)
                .unwrap()
                .with_default_tag()
                .to_string()
        };
        assert_eq!(tagged("busybox"), "busybox:latest");
        assert_eq!(tagged("busybox:1"), "busybox:1");
        assert_eq!(tagged(&format!("a@{DIGEST}")), format!("a@{DIGEST}"));
    }

    #[test]
    fn the_familiar_form_leaves_out_what_docker_adds() {
        let familiar = |text: &str| Reference::parse(text).unwrap().to_string();
        assert_eq!(familiar("docker.io/library/busybox:1"), "busybox:1");
        assert_eq!(familiar("docker.io/me/app"), "me/app");
        assert_eq!(familiar("r:5000/busybox"), "r:5000/busybox");
        assert_eq!(
            familiar("index.docker.io/docker.io/app"),
            "docker.io/docker.io/app",
            "docker.io/app is another"
        );
    }

    #[test]
    fn a_pinned_reference_keeps_the_repository_and_loses_the_tag() {
        let pinned = |text: &str| Reference::parse(text).unwrap().at_digest(DIGEST);
        assert_eq!(pinned("busybox:1"), format!("busybox@{DIGEST}"));
        assert_eq!(pinned("r:5000/me/app"), format!("r:5000/me/app@{DIGEST}"));
    }

    #[test]
    fn docker_hubs_credentials_are_kept_under_its_old_address() {
        let key = |text: &str| Reference::parse(text).unwrap().credentials_key().to_owned();
        assert_eq!(key("busybox"), "https://index.docker.io/v1/");
        assert_eq!(key("r:5000/a"), "r:5000");
    }
}
