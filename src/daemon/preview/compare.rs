//! Where two JSON documents differ, member by member. Lists of things that have a name are compared by it, not by position. Pure.

use serde_json::{Map, Value as Json};

/// What tells the things in a list apart, the first that all of them have.
const NAMES: [&str; 8] = [
    "name",
    "containerPort",
    "containerPath",
    "key",
    "containerName",
    "namespace",
    "sourceVolume",
    "hostPath",
];

/// A place in which two documents differ.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Difference {
    /// `containerDefinitions[app].image`
    pub member: String,
    /// JSON pointer of it in the old document, if it is there.
    pub old_at: Option<String>,
    /// JSON pointer of it in the new document, or of what it would be in.
    pub new_at: String,
    /// What it was.
    pub old: Option<Json>,
    /// What it is.
    pub new: Option<Json>,
}

/// Where `old` and `new` differ, in the order of the names of their members.
pub(super) fn differences(old: &Json, new: &Json) -> Vec<Difference> {
    let mut walk = Walk::default();
    walk.both(Place::default(), old, new);
    walk.found
}

#[derive(Debug, Clone, Default)]
struct Place {
    member: String,
    old: String,
    new: String,
}

impl Place {
    fn member(&self, name: &str) -> Self {
        let token = name.replace('~', "~0").replace('/', "~1");
        let dot = if self.member.is_empty() { "" } else { "." };
        Self {
            member: format!("{}{dot}{name}", self.member),
            old: format!("{}/{token}", self.old),
            new: format!("{}/{token}", self.new),
        }
    }

    fn item(&self, shown: &str, old: usize, new: usize) -> Self {
        Self {
            member: format!("{}[{shown}]", self.member),
            old: format!("{}/{old}", self.old),
            new: format!("{}/{new}", self.new),
        }
    }
}

#[derive(Debug, Default)]
struct Walk {
    found: Vec<Difference>,
}

impl Walk {
    fn both(&mut self, at: Place, old: &Json, new: &Json) {
        match (old, new) {
            (Json::Object(old), Json::Object(new)) => self.members(&at, old, new),
            (Json::Array(old), Json::Array(new)) if old != new => self.items(at, old, new),
            _ if old != new => self.found.push(Difference {
                member: at.member,
                old_at: Some(at.old),
                new_at: at.new,
                old: Some(old.clone()),
                new: Some(new.clone()),
            }),
            _ => {}
        }
    }

    fn members(&mut self, at: &Place, old: &Map<String, Json>, new: &Map<String, Json>) {
        let mut names: Vec<&String> = old.keys().chain(new.keys()).collect();
        names.sort();
        names.dedup();
        for name in names {
            let place = at.member(name);
            match (old.get(name), new.get(name)) {
                (Some(old), Some(new)) => self.both(place, old, new),
                (old, new) => self.one(place, &at.new, old, new),
            }
        }
    }

    fn items(&mut self, at: Place, old: &[Json], new: &[Json]) {
        let all = || old.iter().chain(new);
        let name = NAMES.iter().find(|name| {
            all().all(|item| item.get(**name).is_some())
                && distinct(old, name)
                && distinct(new, name)
        });
        let scalars = all().all(|item| !item.is_object() && !item.is_array());
        let Some(name) = name.filter(|_| !scalars) else {
            if scalars {
                self.found.push(Difference {
                    member: at.member,
                    old_at: Some(at.old),
                    new_at: at.new,
                    old: Some(Json::from(old)),
                    new: Some(Json::from(new)),
                });
                return;
            }
            for index in 0..old.len().max(new.len()) {
                let place = at.item(&index.to_string(), index, index);
                match (old.get(index), new.get(index)) {
                    (Some(old), Some(new)) => self.both(place, old, new),
                    (old, new) => self.one(place, &at.new, old, new),
                }
            }
            return;
        };
        let place_of = |items: &[Json], value: &Json| items.iter().position(|i| i[*name] == *value);
        for (index, item) in old.iter().enumerate() {
            let shown = text(&item[*name]);
            match place_of(new, &item[*name]) {
                Some(other) => self.both(at.item(&shown, index, other), item, &new[other]),
                None => self.one(at.item(&shown, index, 0), &at.new, Some(item), None),
            }
        }
        for (index, item) in new.iter().enumerate() {
            if place_of(old, &item[*name]).is_none() {
                let place = at.item(&text(&item[*name]), 0, index);
                self.one(place, &at.new, None, Some(item));
            }
        }
        let order = |items: &[Json], others: &[Json]| -> Vec<Json> {
            let kept = items.iter().map(|item| item[*name].clone());
            kept.filter(|value| place_of(others, value).is_some())
                .collect()
        };
        let (before, after) = (order(old, new), order(new, old));
        if before != after {
            self.found.push(Difference {
                member: format!("{} (order)", at.member),
                old_at: None,
                new_at: at.new,
                old: Some(Json::Array(before)),
                new: Some(Json::Array(after)),
            });
        }
    }

    /// Something that only one of the two has.
    fn one(&mut self, at: Place, above: &str, old: Option<&Json>, new: Option<&Json>) {
        self.found.push(Difference {
            member: at.member,
            old_at: old.map(|_| at.old),
            new_at: if new.is_some() {
                at.new
            } else {
                above.to_owned()
            },
            old: old.cloned(),
            new: new.cloned(),
        });
    }
}

fn distinct(items: &[Json], name: &str) -> bool {
    let repeats =
        |(index, item): (usize, &Json)| items[..index].iter().any(|i| i[name] == item[name]);
    !items.iter().enumerate().any(repeats)
}

/// A value as people read it: text as it is unless it has several lines.
pub(super) fn text(value: &Json) -> String {
    match value.as_str() {
        Some(text) if !text.is_empty() && !text.contains(char::is_control) => text.to_owned(),
        _ => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use serde_json::json;

    fn said(old: Json, new: Json) -> Vec<String> {
        let shown = |value: &Option<Json>| value.as_ref().map_or("-".to_owned(), text);
        differences(&old, &new)
            .iter()
            .map(|d| {
                format!(
                    "{} {} → {} at {}",
                    d.member,
                    shown(&d.old),
                    shown(&d.new),
                    d.new_at
                )
            })
            .collect()
    }

    #[test]
    fn things_with_a_name_are_compared_by_it_wherever_they_stand() {
        let old = json!({"c": [{"name": "app", "image": "a:1"}, {"name": "log", "image": "l"}]});
        let new = json!({"c": [{"name": "log", "image": "l"}, {"name": "app", "image": "a:2"}, {"name": "x"}]});
        assert_eq!(
            said(old, new),
            [
                "c[app].image a:1 → a:2 at /c/1/image",
                "c[x] - → {\"name\":\"x\"} at /c/2",
                "c (order) [\"app\",\"log\"] → [\"log\",\"app\"] at /c",
            ]
        );
    }

    #[test]
    fn lists_of_words_are_one_value_and_what_is_gone_is_told_where_it_was() {
        assert_eq!(
            said(
                json!({"command": ["a"], "user": "1"}),
                json!({"command": ["a", "b"]})
            ),
            [
                "command [\"a\"] → [\"a\",\"b\"] at /command",
                "user 1 → - at ",
            ]
        );
        assert_eq!(
            said(json!({"a": 1, "b": [1]}), json!({"b": [1], "a": 1})),
            [""; 0]
        );
    }
}
