//! Rules of a cluster's own, and of tags, which every kind has.

use std::collections::HashMap;

use crate::diagnostic::{Diagnostic, codes};
use crate::manifest::document::Document;
use crate::manifest::report::Reporting;
use crate::manifest::types::{Cluster, Tag};
use crate::model::NfsExport;

/// Every rule of a cluster's own.
pub fn check(document: &Document, cluster: &Cluster, found: &mut Vec<Diagnostic>) {
    tags(document, &cluster.tags, found);
    for (id, found_at) in &cluster.file_systems {
        if NfsExport::parse(&found_at.nfs, None).is_none() {
            let token = id.replace('~', "~0").replace('/', "~1");
            found.push(
                document
                    .error(
                        codes::PATTERN,
                        document.value(&format!("/fileSystems/{token}/nfs")),
                        format!("`{}` is no NFS export", found_at.nfs),
                    )
                    .help("write `server:/path`"),
            );
        }
    }
    super::secrets::providers(document, cluster, found);
    super::placement::of_cluster(document, cluster, found);
    super::attributes::of_cluster(document, cluster, found);
    let mut names: HashMap<&str, usize> = HashMap::new();
    let mut endpoints: HashMap<&str, usize> = HashMap::new();
    for (index, instance) in cluster.container_instances.iter().enumerate() {
        let pointer = format!("/containerInstances/{index}");
        let endpoint = instance.endpoint.as_deref().unwrap_or_default();
        if !endpoint.is_empty() {
            endpoint_form(document, &format!("{pointer}/endpoint"), endpoint, found);
        }
        if instance.tls.is_some() && !endpoint.starts_with("tcp://") {
            found.push(
                document
                    .error(
                        codes::PATTERN,
                        document.key(&format!("{pointer}/tls")),
                        "TLS is of `tcp://` endpoints, and this one is none".to_owned(),
                    )
                    .help("remove `tls`, or write `endpoint: tcp://host:2376`"),
            );
        }
        let twice = [
            (&mut names, instance.name.as_str(), "name"),
            (&mut endpoints, endpoint.trim_end_matches('/'), "endpoint"),
        ];
        for (seen, value, member) in twice {
            let Some(before) = seen.get(value).copied() else {
                seen.insert(value, index);
                continue;
            };
            let message = match (member, value) {
                ("name", _) => format!("two instances are named `{value}`"),
                (_, "") => "two instances have no endpoint, so both are the local engine".into(),
                _ => format!("two instances are the engine at `{value}`"),
            };
            let at =
                |index: usize| document.value(&format!("/containerInstances/{index}/{member}"));
            found.push(
                document
                    .error(codes::INSTANCE_TWICE, at(index), message)
                    .related(&document.file, at(before), "the first one")
                    .help("an engine is one instance of a cluster at most; remove or change one"),
            );
        }
        for (name, value) in &instance.attributes {
            let token = name.replace('~', "~0").replace('/', "~1");
            let fits = |text: &str, more: &str| {
                (1..=128).contains(&text.chars().count())
                    && text.chars().all(|c| {
                        c.is_ascii_alphanumeric() || "-_./\\".contains(c) || more.contains(c)
                    })
            };
            if !fits(name, "") || !fits(value, "@: ") || value.trim() != value {
                found.push(
                    document
                        .error(
                            codes::PATTERN,
                            document.key(&format!("{pointer}/attributes/{token}")),
                            format!("`{name}: {value}` cannot be an attribute"),
                        )
                        .help("name and value have 1 to 128 letters, digits, `-`, `_`, `.`, `/` and `\\`, the value also `@`, `:` and spaces inside"),
                );
            }
        }
    }
}

fn endpoint_form(document: &Document, pointer: &str, endpoint: &str, found: &mut Vec<Diagnostic>) {
    let good = match endpoint.split_once("://") {
        Some(("unix", path)) => path.starts_with('/'),
        Some(("tcp" | "ssh", rest)) => {
            !rest.is_empty() && !rest.starts_with('/') && !rest.contains(char::is_whitespace)
        }
        _ => false,
    };
    if !good {
        found.push(
            document
                .error(
                    codes::PATTERN,
                    document.value(pointer),
                    format!("`{endpoint}` is no address of an engine"),
                )
                .help(
                    "write `unix:///path/to/docker.sock`, `tcp://host:port` or `ssh://user@host`",
                ),
        );
    }
}

/// Tags: no key twice, none that AWS keeps for itself.
pub fn tags(document: &Document, tags: &[Tag], found: &mut Vec<Diagnostic>) {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    for (index, tag) in tags.iter().enumerate() {
        let at = |index: usize| document.value(&format!("/tags/{index}/key"));
        if tag.key.to_ascii_lowercase().starts_with("aws:") {
            found.push(
                document
                    .error(
                        codes::PATTERN,
                        at(index),
                        format!("`{}` cannot be the key of a tag", tag.key),
                    )
                    .help("keys that begin with `aws:` are AWS's own"),
            );
        }
        match seen.get(tag.key.as_str()) {
            None => {
                seen.insert(&tag.key, index);
            }
            Some(before) => found.push(
                document
                    .error(
                        codes::DUPLICATE_NAME,
                        at(index),
                        format!("two tags have the key `{}`", tag.key),
                    )
                    .related(&document.file, at(*before), "the first one")
                    .help("remove one of them"),
            ),
        }
    }
}
