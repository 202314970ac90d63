//! The members of a kind, looked up by where they are.

use std::collections::HashMap;
use std::sync::OnceLock;

use crate::manifest::schema::{self, Member};
use crate::manifest::types::Kind;

/// The path in tables of what is at a JSON pointer.
pub(super) fn table_path(pointer: &str) -> String {
    pointer
        .split('/')
        .skip(1)
        .fold(String::new(), |mut path, token| {
            if token.parse::<usize>().is_ok() {
                path.push_str("[]");
            } else {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(token);
            }
            path
        })
}

/// The members of a kind, ready to be looked up when something is wrong.
pub(super) struct Catalogue {
    pub(super) by_path: HashMap<String, Member>,
    pub(super) children: HashMap<String, Vec<String>>,
}

impl Catalogue {
    pub(super) fn of(kind: Kind) -> &'static Self {
        static ALL: [OnceLock<Catalogue>; 3] = [const { OnceLock::new() }; 3];
        ALL[kind as usize].get_or_init(|| Self::from(schema::members(kind)))
    }

    pub(super) fn from(members: Vec<Member>) -> Self {
        let mut children: HashMap<String, Vec<String>> = HashMap::new();
        let mut by_path = HashMap::new();
        for member in members {
            let (above, name) = member.path.rsplit_once('.').unwrap_or(("", &member.path));
            children
                .entry(above.to_owned())
                .or_default()
                .push(name.to_owned());
            by_path.insert(member.path.clone(), member);
        }
        Self { by_path, children }
    }

    pub(super) fn member(&self, pointer: &str) -> Option<&Member> {
        self.by_path.get(&table_path(pointer))
    }
}
