//! What a container gets that its definition does not hold itself.

use std::collections::BTreeMap;
use std::fmt;

/// What the agent finds out right before it creates a container: values behind references, addresses, digests. It goes into
/// the create body and nowhere else: never into the store, a label, an event or a message (P9), so its `Debug` shows names
/// only.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Additions {
    /// Variables that the definition's `environment` wins over (ECS: `environmentFiles`, and what the agent presets). The first
    /// of a name is replaced by a later one.
    pub defaults: Vec<(String, String)>,
    /// Variables that win over the definition's `environment` (ECS: `secrets`, and the agent's own endpoints).
    pub environment: Vec<(String, String)>,
    /// Options of the log driver that win over the definition's (ECS: `secretOptions`).
    pub log_options: BTreeMap<String, String>,
    /// The image to create from, where it is not the reference as written: one that is pinned to a digest.
    pub image: Option<String>,
}

impl Additions {
    /// Every value, none of which may be repeated in a message.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        let pairs = self.defaults.iter().chain(&self.environment);
        pairs
            .map(|(_, value)| value.as_str())
            .chain(self.log_options.values().map(String::as_str))
    }
}

impl fmt::Debug for Additions {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |pairs: &[(String, String)]| -> Vec<String> {
            pairs.iter().map(|(name, _)| name.clone()).collect()
        };
        out.debug_struct("Additions")
            .field("defaults", &names(&self.defaults))
            .field("environment", &names(&self.environment))
            .field("log_options", &self.log_options.keys())
            .field("image", &self.image)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_of_additions_has_names_and_no_values() {
        let pair = |name: &str| (name.to_owned(), "planted".to_owned());
        let additions = Additions {
            defaults: vec![pair("A")],
            environment: vec![pair("B")],
            log_options: BTreeMap::from([pair("token")]),
            image: None,
        };
        let text = format!("{additions:?}");
        assert!(text.contains("\"A\"") && text.contains("\"B\"") && text.contains("token"));
        assert!(!text.contains("planted"), "{text}");
    }
}
