//! What etcd's JSON gateway writes: bytes as base64, 64-bit numbers as text, and nothing at all for a default.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer};

use super::failure::Failure;
use crate::store::Revision;

#[derive(Debug, Default, Deserialize)]
pub(super) struct Header {
    #[serde(default, deserialize_with = "number")]
    pub(super) revision: Revision,
}

#[derive(Debug, Deserialize)]
pub(super) struct Kv {
    pub(super) key: String,
    #[serde(default)]
    pub(super) value: String,
    #[serde(default, deserialize_with = "number")]
    pub(super) mod_revision: Revision,
    #[serde(default, deserialize_with = "number")]
    pub(super) create_revision: Revision,
    /// The lease that it goes with; 0: none.
    #[serde(default, deserialize_with = "number")]
    pub(super) lease: u64,
}

#[derive(Debug, Deserialize)]
pub(super) struct RangeAnswer {
    #[serde(default)]
    pub(super) header: Header,
    #[serde(default)]
    pub(super) kvs: Vec<Kv>,
    #[serde(default)]
    pub(super) more: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct TxnAnswer {
    pub(super) header: Header,
    #[serde(default)]
    pub(super) succeeded: bool,
    #[serde(default)]
    responses: Vec<OpAnswer>,
}

#[derive(Debug, Deserialize)]
struct OpAnswer {
    response_range: Option<RangeAnswer>,
}

impl TxnAnswer {
    /// What the range at that place of the transaction found.
    pub(super) fn kv(&self, index: usize) -> Option<&Kv> {
        let range = self.responses.get(index)?.response_range.as_ref()?;
        range.kvs.first()
    }
}

/// A lease that was granted.
#[derive(Debug, Deserialize)]
pub(super) struct LeaseAnswer {
    #[serde(rename = "ID", deserialize_with = "number")]
    pub(super) id: u64,
}

/// The one line that answers a lease's keep-alive.
#[derive(Debug, Deserialize)]
pub(super) struct KeptAlive {
    pub(super) result: Option<KeptAliveResult>,
    pub(super) error: Option<serde_json::Value>,
}

#[derive(Debug, Deserialize)]
pub(super) struct KeptAliveResult {
    /// Seconds; nothing once the lease is gone.
    #[serde(default, rename = "TTL", deserialize_with = "number")]
    pub(super) ttl: u64,
}

/// A line of a watch.
#[derive(Debug, Deserialize)]
pub(super) struct WatchLine {
    pub(super) result: Option<WatchAnswer>,
    pub(super) error: Option<serde_json::Value>,
}

#[derive(Debug, Deserialize)]
pub(super) struct WatchAnswer {
    #[serde(default)]
    pub(super) header: Header,
    #[serde(default)]
    pub(super) canceled: bool,
    #[serde(default, deserialize_with = "number")]
    pub(super) compact_revision: Revision,
    #[serde(default)]
    pub(super) cancel_reason: String,
    #[serde(default)]
    pub(super) events: Vec<Event>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Event {
    /// `DELETE`, or `PUT` or nothing.
    #[serde(default, rename = "type")]
    pub(super) kind: String,
    pub(super) kv: Kv,
}

/// A 64-bit number: text as protobuf's JSON has it, or a number.
pub(super) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Number {
        Text(String),
        Number(u64),
    }
    match Number::deserialize(deserializer)? {
        Number::Number(number) => Ok(number),
        Number::Text(text) => text.parse().map_err(serde::de::Error::custom),
    }
}

pub(super) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub(super) fn decode(text: &str) -> Result<Vec<u8>, Failure> {
    STANDARD
        .decode(text)
        .map_err(|error| Failure::refused(format!("etcd wrote bad base64: {error}")))
}

/// The end of the range of everything that begins with `prefix`, encoded: the prefix with its last byte that can be raised
/// raised by one. etcd takes a zero byte for "to the end".
pub(super) fn range_end(prefix: &[u8]) -> String {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if let Some(raised) = last.checked_add(1) {
            end.push(raised);
            return encode(&end);
        }
    }
    encode(&[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_ends_where_the_prefix_does() {
        assert_eq!(range_end(b"a/"), encode(b"a0"));
        assert_eq!(range_end(b"a\xff\xff"), encode(b"b"));
        assert_eq!(range_end(b"\xff"), encode(b"\0"));
        assert_eq!(range_end(b""), encode(b"\0"));
    }
}
