//! The tree tells the architecture, and these tests hold it to that.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Each part of the crate and what it may name, besides itself. Dependencies point down.
const MAY_USE: &[(&str, &[&str])] = &[
    ("main", &["cli"]),
    ("cli", &["*"]),
    ("fuzzing", &["*"]),
    (
        "simulate",
        &[
            "api",
            "daemon",
            "manifest",
            "store",
            "engine",
            "secrets",
            "diagnostic",
            "model",
            "clock",
        ],
    ),
    (
        "daemon",
        &[
            "api",
            "controller",
            "agent",
            "manifest",
            "store",
            "engine",
            "secrets",
            "diagnostic",
            "model",
            "clock",
        ],
    ),
    (
        "api",
        &[
            "controller",
            "agent",
            "manifest",
            "store",
            "engine",
            "diagnostic",
            "model",
            "clock",
        ],
    ),
    ("controller", &["store", "model", "clock"]),
    ("agent", &["store", "engine", "secrets", "model", "clock"]),
    ("manifest", &["diagnostic", "model"]),
    ("store", &["model", "clock"]),
    ("engine", &["model", "clock"]),
    ("secrets", &["model", "clock"]),
    ("diagnostic", &["model"]),
    ("clock", &["model"]),
    ("model", &[]),
];

fn sources() -> Vec<PathBuf> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).expect("src is readable") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root(), &mut found);
    found.sort();
    found
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The part that a file belongs to: the first folder or file name below `src`.
fn part(path: &Path) -> String {
    let below = path.strip_prefix(root()).expect("below src");
    let first = below
        .components()
        .next()
        .expect("a name")
        .as_os_str()
        .to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

/// Modules of tests and what only they use.
fn is_test(path: &Path) -> bool {
    let below = path
        .strip_prefix(root())
        .expect("below src")
        .to_string_lossy()
        .into_owned();
    [
        "tests",
        "testing",
        "golden",
        "properties",
        "rules.rs",
        "fuzz.rs",
    ]
    .iter()
    .any(|name| below.contains(name))
        && !below.starts_with("manifest/rules")
}

/// Names after `crate::` in code, test modules and comments left out.
fn crates_named(text: &str) -> BTreeSet<String> {
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or(text);
    code.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| line.split("crate::").skip(1))
        .map(|rest| {
            rest.chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect::<String>()
        })
        .filter(|name| !name.is_empty())
        .collect()
}

#[test]
fn dependencies_between_the_parts_point_down() {
    let mut wrong = Vec::new();
    for path in sources() {
        let part = part(&path);
        if part == "lib" || is_test(&path) {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a source file");
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == part) else {
            panic!("{} belongs to no known part", path.display());
        };
        for named in crates_named(&text) {
            let known = MAY_USE.iter().any(|(name, _)| *name == named);
            if known
                && named != part
                && !allowed.contains(&"*")
                && !allowed.contains(&named.as_str())
            {
                wrong.push(format!("{} names crate::{named}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_the_docker_engine_names_bollard() {
    let docker = root().join("engine/docker");
    let wrong: Vec<_> = sources()
        .into_iter()
        .filter(|path| !path.starts_with(&docker))
        .filter(|path| {
            let text = fs::read_to_string(path).expect("a source file");
            text.contains("bollard::")
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn decisions_have_no_effects() {
    const EFFECTS: &[&str] = &[
        "tokio::",
        "tracing::",
        "async fn",
        ".await",
        "println!",
        "HashMap",
        "HashSet",
    ];
    // In the controller everything but these decides; the agent has more that acts than that decides.
    const WORKERS: &[&str] = &["worker", "queue", "mod"];
    const DECIDES: &[&str] = &[
        "action", "facts", "known", "order", "plan", "restart", "retry", "start", "status", "step",
        "stop", "takeover",
    ];
    let mut wrong = Vec::new();
    for path in sources() {
        let below = path
            .strip_prefix(root())
            .expect("below src")
            .to_string_lossy()
            .into_owned();
        let stem = path
            .file_stem()
            .map(|s| s.to_string_lossy().into_owned())
            .unwrap_or_default();
        let decides = below.starts_with("model/")
            || (below.starts_with("agent/") && DECIDES.contains(&stem.as_str()))
            || (below.starts_with("controller/")
                && !WORKERS.contains(&stem.as_str())
                && !is_test(&path));
        if !decides {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a source file");
        let code = text
            .split("#[cfg(test)]\nmod tests")
            .next()
            .unwrap_or(&text)
            .to_owned();
        for effect in EFFECTS {
            if code
                .lines()
                .any(|line| !line.trim_start().starts_with("//") && line.contains(effect))
            {
                wrong.push(format!("{below} has {effect}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
