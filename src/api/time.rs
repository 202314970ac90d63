//! Instants as JSON and YAML of Longshore's own write them: RFC 3339 in UTC. (ECS's protocol has seconds instead, and the store
//! milliseconds.)

use serde::{Deserialize, Serialize};

use crate::model::Timestamp;

/// An instant that is written as RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct At(pub Timestamp);

impl From<Timestamp> for At {
    fn from(at: Timestamp) -> Self {
        Self(at)
    }
}

impl Serialize for At {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for At {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.parse::<jiff::Timestamp>() {
            Ok(at) => Ok(Self(Timestamp::from_millis(at.as_millisecond()))),
            Err(error) => Err(serde::de::Error::custom(error)),
        }
    }
}

/// For `#[serde(with = …)]` on a [`Timestamp`].
pub mod rfc3339 {
    use super::{At, Deserialize, Serialize, Timestamp};

    #[expect(missing_docs, clippy::missing_errors_doc, reason = "serde calls it")]
    pub fn serialize<S: serde::Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        At(*at).serialize(to)
    }

    #[expect(missing_docs, clippy::missing_errors_doc, reason = "serde calls it")]
    pub fn deserialize<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        At::deserialize(from).map(|at| at.0)
    }
}

/// For `#[serde(with = …)]` on an `Option<Timestamp>`.
pub mod rfc3339_option {
    use super::{At, Deserialize, Serialize, Timestamp};

    #[expect(missing_docs, clippy::missing_errors_doc, reason = "serde calls it")]
    pub fn serialize<S: serde::Serializer>(
        at: &Option<Timestamp>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        at.map(At).serialize(to)
    }

    #[expect(missing_docs, clippy::missing_errors_doc, reason = "serde calls it")]
    pub fn deserialize<'de, D: serde::Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Timestamp>, D::Error> {
        Option::<At>::deserialize(from).map(|at| at.map(|at| at.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_read_back_to_the_millisecond() {
        for millis in [0, 1, 1_700_000_000_123] {
            let at = At(Timestamp::from_millis(millis));
            let text = serde_json::to_string(&at).unwrap();
            assert_eq!(serde_json::from_str::<At>(&text).unwrap(), at, "{text}");
        }
        assert!(serde_json::from_str::<At>("\"yesterday\"").is_err());
    }
}
