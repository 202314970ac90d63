//! The Cluster Query Language.

use super::text;
use crate::model::query::LONGEST;
use crate::model::{InstanceFacts, Query, Timestamp};

/// A mistake lies in the text, an expression reads back as what it prints, and any instance can be asked.
pub fn check(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let query = Query::new(text);
    let instances = [
        Asked {
            attributes: &[],
            version: "",
            at: 0,
        },
        Asked {
            attributes: &[
                ("rack", "a1"),
                ("ecs.os-type", "linux"),
                ("size", "-12"),
                ("none", ""),
            ],
            version: "v1.10.3",
            at: 1_767_225_600_000,
        },
        Asked {
            attributes: &[("rack", "ä'b"), ("size", "9e99999")],
            version: "1..x",
            at: i64::MIN,
        },
    ];
    let expr = match query.expr() {
        Ok(expr) => expr,
        Err(error) => {
            let at = error.at.clone();
            assert!(
                at.start <= at.end && text.get(at.clone()).is_some(),
                "{at:?} of {text:?}"
            );
            assert!(!error.message.is_empty() && !error.message.contains('\n'));
            assert!(instances.iter().all(|instance| !query.matches(instance)));
            return;
        }
    };
    let printed = expr.to_string();
    if printed.chars().count() > LONGEST {
        return;
    }
    let again = Query::new(printed.as_str());
    assert_eq!(again.expr(), Ok(expr), "{text:?} prints {printed:?}");
    assert_eq!(again.expr().map(ToString::to_string).as_ref(), Ok(&printed));
    assert_eq!(query.is_about_tasks(), again.is_about_tasks());
    for instance in &instances {
        assert_eq!(
            query.matches(instance),
            again.matches(instance),
            "{printed:?}"
        );
        let not = Query::new(format!("!({text})"));
        if not.expr().is_ok() {
            assert_ne!(query.matches(instance), not.matches(instance), "{text:?}");
        }
    }
}

struct Asked {
    attributes: &'static [(&'static str, &'static str)],
    version: &'static str,
    at: i64,
}

impl InstanceFacts for Asked {
    fn id(&self) -> &str {
        "local"
    }

    fn connected(&self) -> bool {
        self.at > 0
    }

    fn agent_version(&self) -> &str {
        self.version
    }

    fn attribute(&self, name: &str) -> Option<&str> {
        let mut all = self.attributes.iter();
        all.find(|(known, _)| *known == name)
            .map(|(_, value)| *value)
    }

    fn registered_at(&self) -> Timestamp {
        Timestamp::from_millis(self.at)
    }

    fn running_tasks(&self) -> u64 {
        self.attributes.len() as u64
    }

    fn has_group(&self, which: &dyn Fn(&str) -> bool) -> bool {
        self.at > 0 && (which("service:web") || which(""))
    }
}
