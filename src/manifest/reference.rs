//! The pages that are generated from the schemas and the table of fates: `docs/manifests.md` and
//! `docs/task-definition.md`.

use std::fmt::Write as _;

use serde_json::Value as Json;

use super::fates::{self, Fate, Row};
use super::schema::{self, Member};
use super::types::Kind;

/// The pages: path from the root of the repository, and content.
pub fn pages() -> [(&'static str, String); 2] {
    [
        ("docs/manifests.md", manifests()),
        ("docs/task-definition.md", task_definition()),
    ]
}

const GENERATED: &str = "<!-- Generated from the types: LONGSHORE_BLESS=1 cargo test --lib manifest. Do not edit. -->\n\n";

fn manifests() -> String {
    let mut page = String::from(GENERATED);
    page.push_str(
        "\
# Manifests

Every `*.yaml`, `*.yml` and `*.json` below the folder is a manifest or several; hidden files and editor backups are not
looked at. A document is either in the envelope,

```yaml
apiVersion: longshore/v1
kind: Service            # Cluster, TaskDefinition or Service
metadata:
  name: web              # the cluster's, family's or service's name
  labels: {team: shop}   # to find it by
  annotations: {}        # kept, not read
spec:                    # ECS's own members
  taskDefinition: web
  desiredCount: 3
```

or plain ECS: what `aws ecs register-task-definition --cli-input-json`, `create-service` and `create-cluster` take, or what
`aws ecs describe-task-definition` and `describe-services` print. Members that are only printed are ignored there. `status`
in the envelope is ignored too, so that what `longshore get -o yaml` prints can be put back.

- YAML is YAML 1.2 core: `no` is text, `010` is ten, a key that stands twice is an error. `null` means absent.
- A file is taken whole or not at all. While anything is wrong, what it declares keeps its last good version, and nothing is
  removed.
- The cluster `default` exists without a file.
- JSON Schemas for editors are in [`schemas/`](../schemas): begin a file with
  `# yaml-language-server: $schema=PATH/longshore.schema.json`. `longshore schema` prints them.

In the tables, *must* is `yes` for a member that has to be there. *Here* says what becomes of it: nothing for a member that
is honoured as on ECS; **differs** with a difference that the text names; **no effect** and **not yet** are accepted with a
warning; **refused** (until it is honoured) and **not possible** (on plain Docker) are errors. The members of one that is not
honoured share its fate.
",
    );
    for kind in Kind::ALL {
        let _ = write!(page, "\n## {kind}\n");
        if kind == Kind::TaskDefinition {
            page.push_str(
                "\n[What becomes of each member](task-definition.md) has a page of its own.\n",
            );
        }
        page.push_str("\n| Member | Type | Must | Meaning | Here |\n|---|---|---|---|---|\n");
        let members = schema::members(kind);
        for member in &members {
            let here = fates::table(kind)
                .iter()
                .find(|row| row.path == member.path)
                .map_or_else(
                    || fates::row(kind, &member.path).map(word).unwrap_or_default(),
                    |row| match kind {
                        Kind::TaskDefinition => word(row),
                        _ => sentence(row),
                    },
                );
            let own = if member.longshore {
                " *Longshore's own.*"
            } else {
                ""
            };
            let _ = writeln!(
                page,
                "| `{}` | {} | {} | {}{}{own} | {here} |",
                member.path,
                type_of(member),
                if member.required { "yes" } else { "" },
                cell(member.description()),
                default_of(member),
            );
        }
    }
    page
}

fn task_definition() -> String {
    let mut page = String::from(GENERATED);
    page.push_str(
        "\
# A task definition, member by member

What becomes of each member of RegisterTaskDefinition's input here. [Manifests](manifests.md) has their types and meanings.

| Fate | Members | |
|---|---:|---|
",
    );
    for (fate, meaning) in MEANINGS {
        let count = counted(fate);
        let _ = writeln!(page, "| {fate} | {count} | {meaning} |");
    }
    page.push_str(
        "
A member that is empty, `false` or 0 says no more than its absence, and is never warned about. What is not honoured stands
for all members below it.

| Member | Here | |
|---|---|---|
",
    );
    for row in fates::table(Kind::TaskDefinition) {
        let _ = writeln!(
            page,
            "| `{}` | {} | {} |",
            row.path,
            row.fate.word(),
            cell(&capital(row.fate.text()))
        );
        for (value, fate) in row.values {
            if *fate != Fate::Honoured || row.fate != Fate::Honoured {
                let _ = writeln!(
                    page,
                    "| `{}: {value}` | {} | {} |",
                    row.path,
                    fate.word(),
                    cell(&capital(fate.text()))
                );
            }
        }
    }
    page
}

/// The fates in words, and what each means for who writes the member.
const MEANINGS: [(&str, &str); 6] = [
    ("honoured", "as on ECS"),
    ("differs", "honoured, with the difference that is named"),
    (
        "no effect",
        "accepted with a warning (`LS0503`): nothing here could make use of it",
    ),
    (
        "not yet",
        "accepted with a warning (`LS0501`): a later version will honour it",
    ),
    (
        "refused",
        "an error (`LS0502`) until it is honoured: without it, the container would be another one",
    ),
    (
        "not possible",
        "an error (`LS0504`): plain Docker cannot give it",
    ),
];

/// How many members of a task definition have that fate, those below one that is not put to use counted with it.
fn counted(fate: &str) -> usize {
    schema::members(Kind::TaskDefinition)
        .iter()
        .filter_map(|member| fates::row(Kind::TaskDefinition, &member.path))
        .filter(|row| row.fate.word() == fate)
        .count()
}

fn word(row: &Row) -> String {
    let mut words: Vec<&str> = std::iter::once(row.fate)
        .chain(row.values.iter().map(|(_, fate)| *fate))
        .filter(|fate| *fate != Fate::Honoured)
        .map(Fate::word)
        .collect();
    words.dedup();
    match words.as_slice() {
        [] => String::new(),
        words if row.fate == Fate::Honoured => format!("some values: **{}**", words.join("**, **")),
        words => format!("**{}**", words.join("**, **")),
    }
}

fn sentence(row: &Row) -> String {
    let one = |fate: Fate| format!("**{}**: {}", fate.word(), fate.text());
    let mut parts = Vec::new();
    if row.fate != Fate::Honoured {
        let but: Vec<String> = row
            .values
            .iter()
            .filter(|(_, fate)| *fate == Fate::Honoured)
            .map(|(value, _)| format!("`{value}`"))
            .collect();
        parts.push(if but.is_empty() {
            one(row.fate)
        } else {
            format!("{} (honoured: {})", one(row.fate), but.join(", "))
        });
    }
    for (value, fate) in row.values {
        if *fate != Fate::Honoured {
            parts.push(format!("`{value}` {}", one(*fate)));
        }
    }
    cell(&parts.join("; "))
}

fn type_of(member: &Member) -> String {
    let options = member.options();
    let kind = if options.is_empty() {
        member.kind.clone()
    } else if member.kind.starts_with("list") {
        format!("list of {}", codes(&options))
    } else {
        codes(&options)
    };
    let bound = |key: &str| member.schema.get(key).and_then(Json::as_f64);
    let is_32_bits = |n: f64| n == f64::from(i32::MAX) || n == f64::from(i32::MIN);
    let range = match (
        bound("minimum").filter(|n| !is_32_bits(*n)),
        bound("maximum").filter(|n| !is_32_bits(*n)),
    ) {
        (Some(least), Some(most)) => format!(", {least}–{most}"),
        _ => String::new(),
    };
    let length = ["maxLength", "maxItems"]
        .iter()
        .find_map(|key| bound(key))
        .map(|most| format!(", at most {most}"))
        .unwrap_or_default();
    format!("{kind}{range}{length}")
}

fn codes(options: &[&str]) -> String {
    let quoted: Vec<String> = options.iter().map(|option| format!("`{option}`")).collect();
    quoted.join(", ")
}

fn default_of(member: &Member) -> String {
    match member.schema.get("default") {
        Some(Json::String(text)) => format!(" Default: `{text}`."),
        Some(value) => format!(" Default: {value}."),
        None => String::new(),
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().chain(letters).collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_committed_pages_are_those_that_the_types_and_fates_give() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for (path, wanted) in pages() {
            let path = root.join(path);
            if std::env::var_os("LONGSHORE_BLESS").is_some() {
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(&path, &wanted).unwrap();
            }
            let found = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(
                found == wanted,
                "{} is out of date: run LONGSHORE_BLESS=1 cargo test --lib manifest",
                path.display()
            );
        }
    }

    #[test]
    fn every_member_stands_in_the_table_with_as_many_cells_as_its_head() {
        for (path, page) in pages() {
            let mut columns = 0;
            for line in page.lines() {
                let cells = line.replace("\\|", "").matches('|').count();
                if !line.starts_with('|') {
                    columns = 0;
                } else if columns == 0 {
                    columns = cells;
                } else {
                    assert_eq!(cells, columns, "{path}: {line}");
                }
            }
        }
        let (_, page) = &pages()[0];
        for kind in Kind::ALL {
            for member in schema::members(kind) {
                assert!(
                    page.contains(&format!("| `{}` |", member.path)),
                    "{}",
                    member.path
                );
            }
        }
    }
}
