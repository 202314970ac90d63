//! Everything short that people and other programs write: references, addresses, names, amounts, times, keys.

use std::collections::BTreeMap;
use std::time::Duration;

use super::text;
use crate::engine::endpoint;
use crate::engine::reference::Reference;
use crate::engine::registry::asked_to_wait;
use crate::manifest::quantity::{cpu_units, memory_mib};
use crate::manifest::resolve::definition_reference;
use crate::model::arn::{self, Named};
use crate::model::{ClusterName, ServiceName, Timestamp};
use crate::secrets::names::{lookup, object_paths};
use crate::simulate::scenario::memory;
use crate::simulate::time;
use crate::store::{Key, etcd};

/// Each line is read as each of them. What is taken prints to something that reads back as the same.
pub fn check(data: &[u8]) {
    let Some(text) = text(data) else { return };
    for line in text.lines().take(8) {
        image(line);
        engine_address(line);
        store_address(line);
        arns(line);
        amounts(line);
        secret(line);
        key(line);
    }
}

fn image(text: &str) {
    let Ok(reference) = Reference::parse(text) else {
        return;
    };
    assert!(!text.contains(char::is_whitespace) && !text.contains(char::is_control));
    let printed = reference.to_string();
    assert_eq!(
        Reference::parse(&printed).as_ref(),
        Ok(&reference),
        "{text}"
    );
    assert!(printed.len() <= text.len(), "{text} prints {printed}");
    let tagged = reference.clone().with_default_tag();
    assert!(tagged.tag.is_some() || tagged.digest.is_some());
    assert_eq!(tagged.clone().with_default_tag(), tagged);
    let digest = format!("sha256:{}", "0".repeat(64));
    let pinned = reference.at_digest(&digest);
    let pinned = Reference::parse(&pinned).expect("a pinned reference is one");
    assert_eq!(pinned.digest.as_deref(), Some(digest.as_str()));
    assert_eq!(
        (pinned.domain, pinned.path),
        (reference.domain, reference.path)
    );
}

fn engine_address(text: &str) {
    match endpoint::parse(text, None) {
        Ok(read) => {
            let printed = read.to_string();
            let again = endpoint::parse(&printed, None);
            assert_eq!(again.as_ref(), Ok(&read), "{text} prints {printed}");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn store_address(text: &str) {
    if let Ok(read) = etcd::Options::parse(text) {
        let printed = read.to_string();
        let again = etcd::Options::parse(&printed);
        assert_eq!(again.as_ref(), Ok(&read), "{text} prints {printed}");
        assert!(!read.endpoints.is_empty() && read.prefix.ends_with('/'));
        // Each part of the address is somewhere in what was read: nothing is dropped silently.
        let hosts = text.split_once("://").map_or("", |(_, rest)| rest);
        let hosts = hosts.split('/').next().unwrap_or_default();
        for (host, endpoint) in hosts.split(',').zip(&read.endpoints) {
            let name = match host.find(']') {
                Some(end) => &host[..=end],
                None => host.split(':').next().unwrap_or_default(),
            };
            let port = &host[name.len()..];
            assert!(port.is_empty() || port.starts_with(':'), "{text}");
            assert!(endpoint.starts_with(name), "{host} of {text} is {endpoint}");
        }
    } else if text.contains('@') {
        let told = etcd::Options::parse(text).unwrap_err();
        let (_, secret) = text.split_once("://").unwrap_or_default();
        let secret = secret.split('@').next().unwrap_or_default();
        assert!(secret.len() < 24 || !told.contains(secret), "{told}");
    }
}

fn arns(text: &str) {
    let named = Named::parse(text);
    assert!(text.ends_with(named.name));
    if let Some((family, revision)) = definition_reference(text) {
        let printed = match revision {
            Some(revision) => format!("{family}:{revision}"),
            None => family.to_string(),
        };
        assert_eq!(
            definition_reference(&printed),
            Some((family, revision)),
            "{text}"
        );
    }
    if text.is_empty() || text.contains(['/', ':']) {
        return;
    }
    let (cluster, service) = (ClusterName::new(text), ServiceName::new(text));
    let whole = arn::service(&cluster, &service);
    let named = Named::parse(&whole);
    assert_eq!((named.cluster, named.name), (Some(text), text));
    assert!(named.fits("service", &cluster));
}

fn amounts(text: &str) {
    for read in [cpu_units, memory_mib] {
        if let Some(amount) = read(text) {
            assert_eq!(read(&amount.to_string()), Some(amount), "{text}");
        }
    }
    if let Some(read) = time::parse(text) {
        assert!(read <= Duration::from_secs(366 * 24 * 3600), "{text}");
        let shown = time::show(read);
        let again = time::parse(&shown).unwrap_or_else(|| panic!("{text} is shown as {shown}"));
        assert_eq!(time::show(again), shown, "{text}");
    }
    if let Some(bytes) = memory(text) {
        assert!(bytes >= 1 << 20 && bytes.is_multiple_of(1 << 20), "{text}");
        assert_eq!(
            memory(&format!("{}MiB", bytes >> 20)),
            Some(bytes),
            "{text}"
        );
    }
    if let Some(wait) = asked_to_wait(text) {
        assert!(wait <= Duration::from_secs(60 * 60), "{text}");
    }
    if let Some(at) = Timestamp::parse_rfc3339(text) {
        assert_eq!(
            Timestamp::parse_rfc3339(&at.to_string()),
            Some(at),
            "{text}"
        );
    }
}

fn secret(text: &str) {
    let nothing = BTreeMap::new();
    let found = lookup(text, &nothing);
    assert!(found.names.len() <= 4 && found.names.iter().all(|name| !name.is_empty()));
    assert!(found.names.iter().all(|name| text.contains(name.as_str())));
    assert!(text.is_empty() || text.contains(':') || !found.names.is_empty());
    let mapped = lookup(
        text,
        &BTreeMap::from([(text.to_owned(), "kept".to_owned())]),
    );
    assert_eq!(mapped.names, ["kept"]);
    assert_eq!(mapped.json_key, found.json_key);
    let paths = object_paths(text, &nothing);
    assert!(paths.len() <= 2 && paths.iter().all(|path| !path.is_empty()));
}

fn key(text: &str) {
    if let Some(key) = Key::parse(text) {
        assert_eq!(key.to_string(), text);
    }
}
