//! Where everything is kept: the layout of the tree, as functions that write keys and [`Key::parse`] that reads them.
//!
//! | Key | Written by | Holds |
//! |---|---|---|
//! | `meta` | controller | [`Meta`](super::Meta) |
//! | `revisions/<family>/<n, 10 digits>` | controller | [`TaskDefinitionRecord`](crate::model::TaskDefinitionRecord) |
//! | `specs/<hash>` | controller | [`TaskSpec`](crate::model::TaskSpec) |
//! | `last-good/<kind>/<cluster or ->/<name>` | controller | the last valid document of a resource |
//! | `clusters/<c>/cluster` | controller | [`ClusterSpec`](crate::model::ClusterSpec) |
//! | `clusters/<c>/instances/<id>` | agent | [`Instance`](crate::model::Instance) |
//! | `clusters/<c>/instances/<id>/endpoint` | agent | [`MetadataEndpoint`](crate::model::MetadataEndpoint) |
//! | `clusters/<c>/instances/<id>/desired` | controller | [`InstanceDesired`](crate::model::InstanceDesired) |
//! | `clusters/<c>/instances/<id>/override` | controller | [`InstanceOverride`](crate::model::InstanceOverride) |
//! | `clusters/<c>/instances/<id>/reserved` | controller | [`Reserved`](crate::model::Reserved) |
//! | `clusters/<c>/instances/<id>/images` | agent | [`PulledImages`](crate::model::PulledImages) |
//! | `clusters/<c>/tasks/<id>` | controller | [`TaskRecord`](crate::model::TaskRecord) |
//! | `clusters/<c>/tasks/<id>/status` | agent | [`TaskStatus`](crate::model::TaskStatus) |
//! | `clusters/<c>/tasks/<id>/lost` | controller | [`TaskLost`](crate::model::TaskLost) |
//! | `clusters/<c>/tasks/<id>/protection` | controller | [`TaskProtection`](crate::model::TaskProtection) |
//! | `clusters/<c>/services/<name>` | controller | [`ServiceRecord`](crate::model::ServiceRecord) |
//! | `clusters/<c>/services/<name>/overrides` | controller | [`ServiceOverrides`](crate::model::ServiceOverrides) |
//! | `clusters/<c>/events/<service>/<seq, 20 digits>` | controller | [`ServiceEvent`](crate::model::ServiceEvent) |
//!
//! Names stand in keys percent-encoded: all but ASCII letters, digits, `-`, `_`, `.` and `~` become `%XX`. ECS's own names
//! need none of it, instance names may. Every key has exactly one spelling, so `parse` and `Display` are each other's inverse.

use std::fmt::{self, Write as _};

use crate::model::{ClusterName, Family, InstanceId, RevisionRef, ServiceName, SpecHash, TaskId};

/// The key of the store's own description.
pub const META: &str = "meta";
/// Every registered revision.
pub const REVISIONS: &str = "revisions/";
/// Every resolved specification.
pub const SPECS: &str = "specs/";
/// Every last valid document.
pub const LAST_GOOD: &str = "last-good/";
/// Everything that belongs to one cluster or another.
pub const CLUSTERS: &str = "clusters/";

/// Which resource a last valid document is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LastGoodKey {
    /// The manifest's kind, for example `Service`.
    pub kind: String,
    /// Its cluster, where the kind has one.
    pub cluster: Option<ClusterName>,
    /// Its name.
    pub name: String,
}

/// A key of the tree, read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// `meta`
    Meta,
    /// `revisions/<family>/<n>`
    Revision(RevisionRef),
    /// `specs/<hash>`
    Spec(SpecHash),
    /// `last-good/<kind>/<cluster or ->/<name>`
    LastGood(LastGoodKey),
    /// `clusters/<c>/cluster`
    Cluster(ClusterName),
    /// `clusters/<c>/instances/<id>`
    Instance(ClusterName, InstanceId),
    /// `clusters/<c>/instances/<id>/endpoint`
    InstanceEndpoint(ClusterName, InstanceId),
    /// `clusters/<c>/instances/<id>/desired`
    InstanceDesired(ClusterName, InstanceId),
    /// `clusters/<c>/instances/<id>/override`
    InstanceOverride(ClusterName, InstanceId),
    /// `clusters/<c>/instances/<id>/reserved`
    InstanceReserved(ClusterName, InstanceId),
    /// `clusters/<c>/instances/<id>/images`
    InstanceImages(ClusterName, InstanceId),
    /// `clusters/<c>/tasks/<id>`
    Task(ClusterName, TaskId),
    /// `clusters/<c>/tasks/<id>/status`
    TaskStatus(ClusterName, TaskId),
    /// `clusters/<c>/tasks/<id>/lost`
    TaskLost(ClusterName, TaskId),
    /// `clusters/<c>/tasks/<id>/protection`
    TaskProtection(ClusterName, TaskId),
    /// `clusters/<c>/services/<name>`
    Service(ClusterName, ServiceName),
    /// `clusters/<c>/services/<name>/overrides`
    ServiceOverrides(ClusterName, ServiceName),
    /// `clusters/<c>/events/<service>/<seq>`
    Event(ClusterName, ServiceName, u64),
}

impl Key {
    /// Reads a key. `None`: not one of the layout, or not spelled as this module spells it.
    pub fn parse(text: &str) -> Option<Self> {
        let segments: Vec<&str> = text.split('/').collect();
        let key = match segments.as_slice() {
            ["meta"] => Self::Meta,
            ["revisions", family, number] => Self::Revision(RevisionRef {
                family: Family::new(decode(family)?),
                revision: number.parse().ok()?,
            }),
            ["specs", hash] => Self::Spec(SpecHash::new(decode(hash)?)),
            ["last-good", kind, cluster, name] => Self::LastGood(LastGoodKey {
                kind: decode(kind)?,
                cluster: match *cluster {
                    "-" => None,
                    cluster => Some(ClusterName::new(decode(cluster)?)),
                },
                name: decode(name)?,
            }),
            ["clusters", cluster, rest @ ..] => {
                Self::parse_in_cluster(ClusterName::new(decode(cluster)?), rest)?
            }
            _ => return None,
        };
        (key.to_string() == text).then_some(key)
    }

    fn parse_in_cluster(cluster: ClusterName, rest: &[&str]) -> Option<Self> {
        Some(match rest {
            ["cluster"] => Self::Cluster(cluster),
            ["instances", id] => Self::Instance(cluster, InstanceId::new(decode(id)?)),
            ["instances", id, "endpoint"] => {
                Self::InstanceEndpoint(cluster, InstanceId::new(decode(id)?))
            }
            ["instances", id, "desired"] => {
                Self::InstanceDesired(cluster, InstanceId::new(decode(id)?))
            }
            ["instances", id, "override"] => {
                Self::InstanceOverride(cluster, InstanceId::new(decode(id)?))
            }
            ["instances", id, "reserved"] => {
                Self::InstanceReserved(cluster, InstanceId::new(decode(id)?))
            }
            ["instances", id, "images"] => {
                Self::InstanceImages(cluster, InstanceId::new(decode(id)?))
            }
            ["tasks", id] => Self::Task(cluster, TaskId::new(decode(id)?)),
            ["tasks", id, "status"] => Self::TaskStatus(cluster, TaskId::new(decode(id)?)),
            ["tasks", id, "lost"] => Self::TaskLost(cluster, TaskId::new(decode(id)?)),
            ["tasks", id, "protection"] => Self::TaskProtection(cluster, TaskId::new(decode(id)?)),
            ["services", name] => Self::Service(cluster, ServiceName::new(decode(name)?)),
            ["services", name, "overrides"] => {
                Self::ServiceOverrides(cluster, ServiceName::new(decode(name)?))
            }
            ["events", service, seq] => Self::Event(
                cluster,
                ServiceName::new(decode(service)?),
                seq.parse().ok()?,
            ),
            _ => return None,
        })
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&match self {
            Self::Meta => META.to_owned(),
            Self::Revision(id) => revision(id),
            Self::Spec(hash) => spec(hash),
            Self::LastGood(key) => last_good(key),
            Self::Cluster(c) => cluster(c),
            Self::Instance(c, id) => instance(c, id),
            Self::InstanceEndpoint(c, id) => instance_endpoint(c, id),
            Self::InstanceDesired(c, id) => instance_desired(c, id),
            Self::InstanceOverride(c, id) => instance_override(c, id),
            Self::InstanceReserved(c, id) => instance_reserved(c, id),
            Self::InstanceImages(c, id) => instance_images(c, id),
            Self::Task(c, id) => task(c, id),
            Self::TaskStatus(c, id) => task_status(c, id),
            Self::TaskLost(c, id) => task_lost(c, id),
            Self::TaskProtection(c, id) => task_protection(c, id),
            Self::Service(c, name) => service(c, name),
            Self::ServiceOverrides(c, name) => service_overrides(c, name),
            Self::Event(c, service, seq) => event(c, service, *seq),
        })
    }
}

/// `revisions/<family>/<n>`; numbers are padded so that key order is their order.
pub fn revision(id: &RevisionRef) -> String {
    format!("{}{:010}", revisions_of(&id.family), id.revision)
}

/// The prefix of a family's revisions.
pub fn revisions_of(family: &Family) -> String {
    format!("{REVISIONS}{}/", encode(family.as_str()))
}

/// `specs/<hash>`
pub fn spec(hash: &SpecHash) -> String {
    format!("{SPECS}{}", encode(hash.as_str()))
}

/// `last-good/<kind>/<cluster or ->/<name>`; a cluster whose name is `-` stands there as `%2D`.
pub fn last_good(key: &LastGoodKey) -> String {
    let cluster = match &key.cluster {
        None => "-".to_owned(),
        Some(name) if name.as_str() == "-" => "%2D".to_owned(),
        Some(name) => encode(name.as_str()),
    };
    format!(
        "{LAST_GOOD}{}/{cluster}/{}",
        encode(&key.kind),
        encode(&key.name)
    )
}

/// The prefix of everything in one cluster.
pub fn in_cluster(cluster: &ClusterName) -> String {
    format!("{CLUSTERS}{}/", encode(cluster.as_str()))
}

/// `clusters/<c>/cluster`
pub fn cluster(cluster: &ClusterName) -> String {
    format!("{}cluster", in_cluster(cluster))
}

/// The prefix of a cluster's instances.
pub fn instances_of(cluster: &ClusterName) -> String {
    format!("{}instances/", in_cluster(cluster))
}

/// `clusters/<c>/instances/<id>`
pub fn instance(cluster: &ClusterName, id: &InstanceId) -> String {
    format!("{}{}", instances_of(cluster), encode(id.as_str()))
}

/// `clusters/<c>/instances/<id>/endpoint`
pub fn instance_endpoint(cluster: &ClusterName, id: &InstanceId) -> String {
    format!("{}/endpoint", instance(cluster, id))
}

/// `clusters/<c>/instances/<id>/desired`
pub fn instance_desired(cluster: &ClusterName, id: &InstanceId) -> String {
    format!("{}/desired", instance(cluster, id))
}

/// `clusters/<c>/instances/<id>/override`
pub fn instance_override(cluster: &ClusterName, id: &InstanceId) -> String {
    format!("{}/override", instance(cluster, id))
}

/// `clusters/<c>/instances/<id>/reserved`
pub fn instance_reserved(cluster: &ClusterName, id: &InstanceId) -> String {
    format!("{}/reserved", instance(cluster, id))
}

/// `clusters/<c>/instances/<id>/images`
pub fn instance_images(cluster: &ClusterName, id: &InstanceId) -> String {
    format!("{}/images", instance(cluster, id))
}

/// The prefix of a cluster's tasks.
pub fn tasks_of(cluster: &ClusterName) -> String {
    format!("{}tasks/", in_cluster(cluster))
}

/// `clusters/<c>/tasks/<id>`
pub fn task(cluster: &ClusterName, id: &TaskId) -> String {
    format!("{}{}", tasks_of(cluster), encode(id.as_str()))
}

/// `clusters/<c>/tasks/<id>/status`
pub fn task_status(cluster: &ClusterName, id: &TaskId) -> String {
    format!("{}/status", task(cluster, id))
}

/// `clusters/<c>/tasks/<id>/lost`
pub fn task_lost(cluster: &ClusterName, id: &TaskId) -> String {
    format!("{}/lost", task(cluster, id))
}

/// `clusters/<c>/tasks/<id>/protection`
pub fn task_protection(cluster: &ClusterName, id: &TaskId) -> String {
    format!("{}/protection", task(cluster, id))
}

/// The prefix of a cluster's services.
pub fn services_of(cluster: &ClusterName) -> String {
    format!("{}services/", in_cluster(cluster))
}

/// `clusters/<c>/services/<name>`
pub fn service(cluster: &ClusterName, name: &ServiceName) -> String {
    format!("{}{}", services_of(cluster), encode(name.as_str()))
}

/// `clusters/<c>/services/<name>/overrides`
pub fn service_overrides(cluster: &ClusterName, name: &ServiceName) -> String {
    format!("{}/overrides", service(cluster, name))
}

/// The prefix of a service's events.
pub fn events_of(cluster: &ClusterName, service: &ServiceName) -> String {
    format!(
        "{}events/{}/",
        in_cluster(cluster),
        encode(service.as_str())
    )
}

/// `clusters/<c>/events/<service>/<seq>`; numbers are padded so that key order is their order.
pub fn event(cluster: &ClusterName, service: &ServiceName, seq: u64) -> String {
    format!("{}{seq:020}", events_of(cluster, service))
}

fn encode(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// `None` for an empty segment, a bad escape or bytes that are not UTF-8.
fn decode(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        if byte == b'%' {
            let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = tail.get(2..)?;
        } else {
            bytes.push(byte);
            rest = tail;
        }
    }
    if bytes.is_empty() {
        return None;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    fn any_key() -> impl Strategy<Value = Key> {
        let name = || prop_oneof!["[a-zA-Z0-9_-]{1,12}", "[\\PC/%]{1,6}", Just("-".to_owned())];
        (0..18_u8, name(), name(), name(), any::<u64>(), any::<u32>()).prop_map(
            |(kind, a, b, c, seq, number)| {
                let cluster = ClusterName::new(a.clone());
                let (instance, task, service) = (
                    InstanceId::new(b.clone()),
                    TaskId::new(b.clone()),
                    ServiceName::new(b.clone()),
                );
                match kind {
                    0 => Key::Meta,
                    1 => Key::Revision(RevisionRef {
                        family: Family::new(a),
                        revision: number,
                    }),
                    2 => Key::Spec(SpecHash::new(a)),
                    3 => Key::LastGood(LastGoodKey {
                        kind: b,
                        cluster: (number % 2 == 0).then_some(cluster),
                        name: c,
                    }),
                    4 => Key::Cluster(cluster),
                    5 => Key::Instance(cluster, instance),
                    6 => Key::InstanceDesired(cluster, instance),
                    7 => Key::InstanceReserved(cluster, instance),
                    8 => Key::Task(cluster, task),
                    9 => Key::TaskStatus(cluster, task),
                    10 => Key::TaskLost(cluster, task),
                    11 => Key::Service(cluster, service),
                    12 => Key::InstanceEndpoint(cluster, instance),
                    13 => Key::InstanceImages(cluster, instance),
                    14 => Key::TaskProtection(cluster, task),
                    15 => Key::ServiceOverrides(cluster, service),
                    16 => Key::InstanceOverride(cluster, instance),
                    _ => Key::Event(cluster, service, seq),
                }
            },
        )
    }

    proptest! {
        #[test]
        fn every_key_is_read_back_as_it_was_written(key in any_key()) {
            prop_assert_eq!(Key::parse(&key.to_string()), Some(key));
        }

        #[test]
        fn no_text_makes_the_parser_panic_and_what_it_reads_has_one_spelling(text in "[a-z0-9/%-]{0,40}") {
            if let Some(key) = Key::parse(&text) {
                prop_assert_eq!(key.to_string(), text);
            }
        }
    }

    #[test]
    fn keys_are_spelled_as_the_layout_says() {
        let c = ClusterName::default();
        let id = RevisionRef {
            family: "web".into(),
            revision: 7,
        };
        assert_eq!(revision(&id), "revisions/web/0000000007");
        assert_eq!(
            event(&c, &"web".into(), 3),
            "clusters/default/events/web/00000000000000000003"
        );
        assert_eq!(
            instance_desired(&c, &"rack 1/a".into()),
            "clusters/default/instances/rack%201%2Fa/desired"
        );
        let family = LastGoodKey {
            kind: "TaskDefinition".into(),
            cluster: None,
            name: "web".into(),
        };
        assert_eq!(last_good(&family), "last-good/TaskDefinition/-/web");
    }

    #[test]
    fn other_spellings_and_unknown_keys_are_not_read() {
        for text in [
            "",
            "/",
            "meta/",
            "revisions/web/7",
            "revisions/web/+000000007",
            "revisions//0000000007",
            "clusters/default/tasks/",
            "clusters/default/tasks/a%2db",
            "clusters/default/tasks/%61",
            "clusters/default/tasks/%F",
            "clusters/default/tasks/%FF",
            "clusters/default/tasks/a/status/more",
            "clusters/default/newer-kind/a",
        ] {
            assert_eq!(Key::parse(text), None, "{text}");
        }
    }
}
